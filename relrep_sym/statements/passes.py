"""Passes over assignments: each is a plain function from a list to a list.

* :func:`hoist` splits a per-sample value into per-fit coefficients and what is left for the sample.
* :func:`share` gives a name to what is computed more than once, in a stable order.
* :func:`prune` drops assignments that nothing reads.
* :func:`count` is the report: adds, multiplies, divides and function calls.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from relrep_sym.statements.language import Assign, Node, Num, Op, Stage, Var, names, stage

__all__ = ["count", "hoist", "prune", "share"]


def hoist(value: Node, stages: Mapping[str, Stage], prefix: str, found: list[Assign]) -> Node:
    """``value`` with every largest per-fit subexpression replaced by a name.

    The new assignments, named ``prefix1``, ``prefix2``, …, are appended to ``found`` (an equal
    expression reuses its name). Factors of one product, or terms of one sum, that do not depend on
    the sample are gathered first.

    >>> from relrep_sym.statements.language import Var
    >>> found = []
    >>> v = Op("mul", (Var("a"), Op("sub", (Var("x"), Var("m"))), Op("exp", (Var("b"),))))
    >>> hoist(v, {"x": Stage.SAMPLE}, "c", found)
    Op(op='mul', args=(Op(op='sub', args=(Var(name='x'), Var(name='m'))), Var(name='c1')))
    >>> found[0].target, found[0].value.op
    ('c1', 'mul')
    """
    if not isinstance(value, Op):
        return value
    if stage(value, stages) is Stage.FIT:
        return _named(value, prefix, found)
    if value.op == "div" and stage(value.args[1], stages) is Stage.FIT:
        above, below = value.args  # one reciprocal for a point, then multiplications
        factors = above.args if isinstance(above, Op) and above.op == "mul" else (above,)
        own = tuple(a for a in factors if stage(a, stages) is Stage.FIT)
        top: Node = own[0] if len(own) == 1 else Op("mul", own) if own else Num(Fraction(1))
        rest = tuple(a for a in factors if stage(a, stages) is not Stage.FIT)
        return hoist(Op("mul", (*rest, Op("div", (top, below)))), stages, prefix, found)
    if value.op in ("add", "mul"):
        per_fit = [a for a in value.args if stage(a, stages) is Stage.FIT]
        varying = [hoist(a, stages, prefix, found) for a in value.args if a not in per_fit]
        if len(per_fit) > 1:
            per_fit = [_named(Op(value.op, tuple(per_fit)), prefix, found)]
        elif per_fit:
            per_fit = [_named(per_fit[0], prefix, found)]
        return Op(value.op, (*varying, *per_fit))
    return Op(value.op, tuple(hoist(a, stages, prefix, found) for a in value.args))


def _named(value: Node, prefix: str, found: list[Assign]) -> Node:
    if not isinstance(value, Op):
        return value
    for known in found:
        if known.value == value:
            return Var(known.target)
    found.append(Assign(f"{prefix}{len(found) + 1}", value))
    return Var(found[-1].target)


def share(assigns: Sequence[Assign], prefix: str = "t") -> list[Assign]:
    """The assignments with repeated subexpressions computed once, in order of first need.

    >>> from relrep_sym.statements.language import Var
    >>> e = Op("exp", (Var("a"),))
    >>> out = share([Assign("b", Op("neg", (e,))), Assign("c", Op("sub", (Var("b"), e)))])
    >>> [a.target for a in out]
    ['t1', 'b', 'c']
    """
    uses: Counter[Op] = Counter()

    def visit(node: Node) -> None:
        if isinstance(node, Op):
            uses[node] += 1
            if uses[node] == 1:
                for a in node.args:
                    visit(a)

    for assign in assigns:
        visit(assign.value)
    taken = {a.target for a in assigns} | {n for a in assigns for n in names(a.value)}
    given: dict[Op, str] = {}
    out: list[Assign] = []

    def rebuild(node: Node, top: bool) -> Node:
        if not isinstance(node, Op):
            return node
        if node in given:
            return Var(given[node])
        new = Op(node.op, tuple(rebuild(a, False) for a in node.args))
        if top or uses[node] < 2:
            return new
        number = len(given) + 1
        while f"{prefix}{number}" in taken:
            number += 1
        given[node] = f"{prefix}{number}"
        taken.add(given[node])
        out.append(Assign(given[node], new))
        return Var(given[node])

    for assign in assigns:
        value = rebuild(assign.value, True)
        out.append(Assign(assign.target, value))
        if isinstance(assign.value, Op) and uses[assign.value] > 1:
            given.setdefault(assign.value, assign.target)
    return out


def prune(assigns: Sequence[Assign], wanted: Iterable[str]) -> list[Assign]:
    """The assignments that ``wanted`` needs, directly or not, in their order.

    >>> from relrep_sym.statements.language import Var
    >>> [a.target for a in prune([Assign("a", Var("x")), Assign("b", Var("x"))], ["b"])]
    ['b']
    """
    needed = set(wanted)
    kept: list[Assign] = []
    for assign in reversed(assigns):
        if assign.target in needed:
            kept.append(assign)
            needed.update(names(assign.value))
    return kept[::-1]


def count(assigns: Iterable[Assign]) -> dict[str, int]:
    """How many operations of each kind the assignments hold.

    >>> from relrep_sym.statements.language import Var
    >>> count([Assign("a", Op("add", (Var("x"), Var("y"), Var("z"))))])
    {'add': 2}
    """
    total: Counter[str] = Counter()

    def visit(node: Node) -> None:
        if isinstance(node, Op):
            total[node.op] += len(node.args) - 1 if node.op in ("add", "mul") else 1
            for a in node.args:
                visit(a)

    for assign in assigns:
        visit(assign.value)
    return dict(sorted(total.items()))
