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


numbers = st.fractions(-9, 9, max_denominator=9).map(Num)


def nodes(
    leaves: Sequence[Node], ops: Sequence[str] = (*ARITHMETIC, *_UNARY, "power")
) -> st.SearchStrategy[Node]:
    """Expressions over the leaves and exact numbers, with repeated parts."""

    def extend(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
        many = st.lists(inner, min_size=2, max_size=4).map(tuple)
        two = st.tuples(inner, inner)
        kinds = {
            "add": many, "mul": many, "sub": two, "div": two, "power": two,
        }  # fmt: skip
        one = st.tuples(inner)
        single = [st.builds(Op, st.just(op), kinds.get(op, one)) for op in ops]
        twice = st.builds(lambda a, b: Op("mul", (a, Op("add", (a, b)))), inner, inner)
        return st.one_of(*single, twice)

    return st.recursive(st.sampled_from(list(leaves)) | numbers, extend, max_leaves=14)


@st.composite
def programs(draw: st.DrawFn, inputs: Sequence[str]) -> list[Assign]:
    """Assignments, each over the inputs and the targets before it; some share their parts."""
    leaves: list[Node] = [Var(n) for n in inputs]
    pool: list[Node] = []
    out = []
    for k in range(draw(st.integers(1, 5))):
        value = draw(nodes([*leaves, *pool]))
        out.append(Assign(f"b{k}", value))
        leaves.append(Var(f"b{k}"))
        pool += [value, *(a for a in getattr(value, "args", ()) if isinstance(a, Op))]
    return out


def values(inputs: Sequence[str]) -> st.SearchStrategy[dict[str, Fraction]]:
    """A number for each input."""
    return st.fixed_dictionaries({n: st.fractions(-5, 5, max_denominator=12) for n in inputs})
