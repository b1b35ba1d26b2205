r"""What the M-step shows: N_k, and each parameter's new value as a textbook has it.

In: a :class:`~relrep_sym.equations.generic.Generic` and its M-step. Out: lines. An update is
derived in t_j = E_q[r_k T_j(x − μ_k)]/N_k, statistics about the present location: that is how it is
computed without cancellation. Here it is shown about the new location, or about none, wherever the
present one is proven to cancel; where it does not, as it was derived.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby

import sympy as sp
from sympy.core.sympify import _sympify

from relrep_sym.declare.symbols import Parameter
from relrep_sym.equations.em import MStep, Update, shift_symbol, statistic_symbol, statistics_of
from relrep_sym.equations.generic import Generic
from relrep_sym.equations.linear import summed
from relrep_sym.equations.lines import Line, numbers_to, where_text
from relrep_sym.equations.nodes import (
    Auxiliary,
    ComponentSum,
    Entry,
    Expectation,
    Index,
    Terms,
)

__all__ = [
    "m_step_lines",
    "mass_of",
    "new_entry",
    "plain_value",
    "relocated",
    "stayed",
    "sum_over",
    "uncentred",
    "weight_lines",
]

_Q = sp.Symbol("q")


def m_step_lines(g: Generic, step: MStep) -> tuple[Line, ...]:
    """N_k, then each parameter's new value."""
    updated: set[tuple[str, int]] = set()
    updates: list[Line] = []
    gone: set[int] = set()
    for u in step.updates:
        updates += _update_lines(g, u, updated, gone)
        gone |= {k + 1 for k in u.components if u.shift}
    return (*weight_lines(g), *updates)


def weight_lines(g: Generic) -> tuple[Line, ...]:
    """N_k, and the new weights: N_k over what the free ones sum to."""
    count = g.model.components
    lines: list[Line] = []
    if count > 1:
        n = Expectation(g.posterior("k"), g.model.family.x, _Q)
        lines.append(Line(mass_of(g, "k"), n, where_text(numbers_to(count))))
    free = [k + 1 for k in g.model.free_weights]
    if free and "weight" not in g.constants:
        room = 1 - sum((w for w in g.model.weights if isinstance(w, sp.Expr)), sp.Integer(0))
        share = mass_of(g, "k")
        if len(free) < count:
            share = room * share / sum_over(g, lambda i: mass_of(g, i), free)
        lines.append(Line(new_entry("pi", "k"), share, where_text(free)))
    return tuple(lines)


def mass_of(g: Generic, i: Index) -> sp.Expr:
    """N_i."""
    return Auxiliary.of("N", i) if g.model.components > 1 else sp.Integer(1)


def new_entry(stem: str, i: Index | None) -> Entry:
    """A parameter's value after the step."""
    return Entry(f"{stem}^+" if i is None else f"{stem}^+[{i}]")


def sum_over(g: Generic, term: Callable[[Index], sp.Expr], members: Sequence[int]) -> sp.Expr:
    """The sum over some components; the masses of all of them sum to one."""
    if term("k") == mass_of(g, "k") and len(members) == g.model.components:
        return sp.Integer(1)
    if len(members) > 2 and members[-1] - members[0] == len(members) - 1:
        return ComponentSum.over(term("k"), "k", members[0], members[-1])
    terms = [term(i) for i in members]
    if len(terms) > 1 and all(t.as_coeff_Mul()[0].is_negative for t in terms):
        return -Terms(*(-t for t in terms))
    return terms[0] if len(terms) == 1 else Terms(*terms)


def _update_lines(
    g: Generic, u: Update, updated: set[tuple[str, int]], gone: set[int]
) -> list[Line]:
    """One update, for the components that share it."""
    members = [k + 1 for k in u.components]
    location = g.model.family.location
    moved = location is not None and all((location.name, k) in updated for k in members)
    show: Callable[[sp.Expr, Index], sp.Expr] = partial(_central if moved else plain_value, g)
    if u.totals:
        right = _tied_shift(g, u, members) if u.shift else None
        if right is None:
            sums = {s: _total(g, e, show, members, gone) for s, e in u.totals}
            value = show(u.value, members[0]).xreplace(sums)
            right = Terms(Parameter(u.parameter), value) if u.shift else value
        line = Line(new_entry(u.parameter, None), right)
    else:
        i: Index = "k" if len(members) > 1 else members[0]
        where = where_text(members) if len(members) > 1 else ""
        right = uncentred(g, u.value, i) if u.shift else show(u.value, i)
        line = Line(new_entry(u.parameter, i), right, where)
    if not u.shift or u.value == statistic_symbol(1):
        updated.update((u.parameter, k) for k in members)
    return [line]


def _total(
    g: Generic,
    e: sp.Expr,
    show: Callable[[sp.Expr, Index], sp.Expr],
    members: Sequence[int],
    gone: set[int],
) -> sp.Expr:
    """The sum of what a component adds, those whose location has moved apart from the others."""
    if g.model.family.location is None or not e.has(shift_symbol(g.model.family)):
        return sum_over(g, partial(show, e), members)
    runs = [list(run) for _, run in groupby(members, key=lambda k: k in gone)]
    return summed(
        [sum_over(g, partial(relocated if r[0] in gone else stayed, g, e), r) for r in runs]
    )


def _expected(g: Generic, function: sp.Expr, i: Index) -> sp.Expr:
    """E_q[r_i T(x)]."""
    return Expectation(g.posterior(i) * function, g.model.family.x, _Q)


def _with(g: Generic, value: sp.Expr, i: Index, centre: sp.Expr) -> sp.Expr:
    """N → N_i, t_j → E_q[r_i T_j(x − centre)]/N_i, the family's parameters → component i's."""
    family = g.model.family
    y = sp.Symbol("y", real=True)
    back: dict[sp.Basic, sp.Basic] = {statistic_symbol(0): mass_of(g, i)}
    for j, function in enumerate(statistics_of(family)[0], start=1):
        inner = function.subs(y, family.x - centre)
        back[statistic_symbol(j)] = _expected(g, inner, i) / mass_of(g, i)
    back |= {p.symbol: _sympify(g.phi(p.name, i)) for p in family.parameters}
    return value.xreplace(back)


def plain_value(g: Generic, value: sp.Expr, i: Index) -> sp.Expr:
    """Statistics about the present location."""
    location = g.model.family.location
    return _with(g, value, i, sp.Integer(0) if location is None else g.phi(location.name, i))


def _central(g: Generic, value: sp.Expr, i: Index) -> sp.Expr:
    """Statistics about the new location, where the value is one in them alone; else as it stands.

    With d the step t_1 of the location and y = y′ + d, each T_j(y) is a sum of T_l(y′) and powers
    of d, and E[r y′] = 0. The value is shown about the new location if d is gone then: a proof.
    """
    about = _aboutnew_entry(g, value, sp.Symbol("d", real=True), sp.Integer(0))
    if about is None:
        return plain_value(g, value, i)
    assert g.model.family.location is not None
    return _with(g, about, i, new_entry(g.model.family.location.name, i))


def _aboutnew_entry(g: Generic, value: sp.Expr, d: sp.Symbol, first: sp.Expr) -> sp.Expr | None:
    """A value in statistics about the location's present place plus d; None if d or it stays."""
    family = g.model.family
    assert family.location is not None
    y = sp.Symbol("y", real=True)
    functions = statistics_of(family)[0]
    known = {f: statistic_symbol(j) for j, f in enumerate(functions, start=1)}
    known |= {sp.Integer(1): sp.Integer(1), y: first}
    recentred: dict[sp.Basic, sp.Basic] = {}
    for j, function in enumerate(functions, start=1):
        total: sp.Expr = sp.Integer(0)
        for term in sp.Add.make_args(sp.expand(function.subs(y, y + d))):
            coefficient, basis = term.as_independent(y, as_Add=False)
            if basis not in known:
                return None
            total += coefficient * known[basis]
        recentred[statistic_symbol(j)] = total
    about = sp.expand(value.xreplace(recentred))
    return None if about.has(d) or about.has(family.location.symbol) else about


def relocated(g: Generic, value: sp.Expr, i: Index) -> sp.Expr:
    """Statistics about the new location, whatever it is; about the present one where d stays."""
    location = g.model.family.location
    assert location is not None
    d = shift_symbol(g.model.family)
    new = new_entry(location.name, None if location.name in g.tied else i)
    about = _aboutnew_entry(g, value, d, statistic_symbol(1))
    if about is None:
        return plain_value(g, value, i).xreplace({d: new - g.phi(location.name, i)})
    return _with(g, about, i, new)


def stayed(g: Generic, value: sp.Expr, i: Index) -> sp.Expr:
    """Statistics about a location that has not moved."""
    return plain_value(
        g, sp.expand(value.xreplace({shift_symbol(g.model.family): sp.Integer(0)})), i
    )


def uncentred(g: Generic, value: sp.Expr, i: Index) -> sp.Expr:
    """The present location plus a value, in E_q[r x] where the present one cancels: a proof."""
    location = g.model.family.location
    assert location is not None
    y, m, mean = sp.Symbol("y", real=True), sp.Symbol("m", real=True), sp.Symbol("M", real=True)
    if statistics_of(g.model.family)[0][0] == y:
        whole = sp.expand(m + value.xreplace({statistic_symbol(1): mean - m}))
        if whole.free_symbols == {mean}:
            return whole.xreplace({mean: _expected(g, g.model.family.x, i) / mass_of(g, i)})
    return Terms(g.phi(location.name, i), plain_value(g, value, i))


def _tied_shift(g: Generic, u: Update, members: Sequence[int]) -> sp.Expr | None:
    """A tied location μ + Σ(A_k − μ B_k)/Σ B_k as ΣA_k/ΣB_k; None where it is not of that form."""
    y, m, mean = sp.Symbol("y", real=True), sp.Symbol("m", real=True), sp.Symbol("M", real=True)
    if len(u.totals) != 2 or statistics_of(g.model.family)[0][0] != y:
        return None
    for (s, above), (t, below) in (u.totals, u.totals[::-1]):
        first = sp.expand(above.xreplace({statistic_symbol(1): mean - m}) + m * below)
        if u.value == s / t and not first.has(m) and not first.has(statistic_symbol(2)):

            def raw(i: Index, e: sp.Expr = first) -> sp.Expr:
                x = _expected(g, g.model.family.x, i) / mass_of(g, i)
                return plain_value(g, e, i).xreplace({mean: x})

            over = sum_over(g, partial(plain_value, g, below), members)
            return sum_over(g, raw, members) / over
    return None
