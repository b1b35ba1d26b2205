"""Random expressions of the statement language, and what they mean, exactly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from hypothesis import strategies as st

from relrep_sym.statements.language import Assign, Item, Node, Num, Op, Var

__all__ = ["ARITHMETIC", "evaluate", "nodes", "programs", "run", "values"]

ARITHMETIC = ("add", "mul", "sub", "div", "neg", "square")
_UNARY = ("exp", "log", "tanh", "sqrt")


def evaluate(node: Node, at: Mapping[str, Fraction]) -> Fraction:
    """The exact value; functions are stood for by rational maps, each its own.

    Raises ZeroDivisionError where there is none.
    """
    if isinstance(node, Num):
        return Fraction(node.value)
    if isinstance(node, Var):
        return at[node.name]
    if isinstance(node, Item):
        return at[f"{node.name}[{node.index}]"]
    args = [evaluate(a, at) for a in node.args]
    first, rest = args[0], args[1:]
    match node.op:
        case "add":
            return sum(args, Fraction(0))
        case "mul":
            for a in rest:
                first *= a
            return first
        case "sub":
            return first - rest[0]
        case "div":
            return first / rest[0]
        case "neg":
            return -first
        case "square":
            return first * first
        case "power":
            return (first + 3) / (rest[0] * rest[0] + 2)
    return (first + 5) / (first * first + 2 + _UNARY.index(node.op))


def run(assigns: Iterable[Assign], at: Mapping[str, Fraction]) -> dict[str, Fraction]:
    """The values of all names after the assignments, one after another."""
    known = dict(at)
    for a in assigns:
        known[a.target] = evaluate(a.value, known)
    return known


_KINDS = (*ARITHMETIC, *_UNARY, "power")
_ARGUMENTS = {"add": 3, "mul": 3, "sub": 2, "div": 2, "power": 2}
_step = st.tuples(
    st.sampled_from(_KINDS),
    st.integers(2, 4),
    st.lists(st.integers(0, 99), min_size=4, max_size=4),
    st.fractions(-9, 9, max_denominator=9),
)
LARGEST = 60
"""Nodes of one tree; parts are drawn again and again, and would double at each step."""


def size(node: Node) -> int:
    """The number of nodes of a tree."""
    return 1 + sum(map(size, node.args)) if isinstance(node, Op) else 1


def grown(leaves: Sequence[Node], steps: Sequence[tuple]) -> list[Node]:
    """Trees over the leaves and what was made before, one for each step."""
    made: list[Node] = []
    for op, width, picks, value in steps:
        pool = [*leaves, Num(value), *made]
        wide = width if op in ("add", "mul") else _ARGUMENTS.get(op, 1)
        node = Op(op, tuple(pool[-1 - pick % len(pool)] for pick in picks[:wide]))
        made.append(node if size(node) <= LARGEST else leaves[picks[0] % len(leaves)])
    return made


def nodes(leaves: Sequence[Node]) -> st.SearchStrategy[Node]:
    """Expressions over the leaves and exact numbers, with repeated parts."""
    return st.lists(_step, min_size=1, max_size=7).map(lambda steps: grown(leaves, steps)[-1])


def programs(inputs: Sequence[str]) -> st.SearchStrategy[list[Assign]]:
    """Assignments, each over the inputs and the targets before it; they share their parts."""

    def assigned(steps: Sequence[tuple], count: int) -> list[Assign]:
        leaves: list[Node] = [Var(n) for n in inputs]
        out = []
        for k in range(count):
            out.append(Assign(f"b{k}", grown(leaves, steps[k:])[-1]))
            leaves.append(Var(f"b{k}"))
        return out

    return st.builds(assigned, st.lists(_step, min_size=5, max_size=9), st.integers(1, 5))


def values(inputs: Sequence[str]) -> st.SearchStrategy[dict[str, Fraction]]:
    """A number for each input."""
    return st.fixed_dictionaries({n: st.fractions(-5, 5, max_denominator=12) for n in inputs})
