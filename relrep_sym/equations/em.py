r"""The M-step of a mixture, from ∂Q/∂θ = 0.

In: a model. Out: a frozen :class:`MStep`: for each family parameter that is learned, its closed
form in the responsibilities' statistics. With r_k held,

.. math:: Q = \sum_k N_k \log\pi_k + \sum_k \mathbb{E}[r_k \log f(x \mid \varphi_k)]

is a sum of statistics N_k = E[r_k] and N_k t_{jk}, t_{jk} = E[r_k T_j(y)]/N_k, times functions of
φ, where y is x less the component's present location (proven to be a location) or x itself. The
stationarity equations are solved one unknown at a time, a component's own parameters first; tied
ones then, their equations summed over the components.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import sympy as sp

from relrep_sym.declare.family import Family
from relrep_sym.declare.model import Mixture
from relrep_sym.equations.component import component_form, opened
from relrep_sym.errors import DerivationError, problem

__all__ = [
    "MStep",
    "Update",
    "component_objective",
    "derive_m_step",
    "shift_symbol",
    "statistic_symbol",
    "statistics_of",
]


def statistic_symbol(index: int) -> sp.Symbol:
    """N for index 0, else t_index, the responsibility-weighted mean of the statistic T_index."""
    return sp.Symbol("N", positive=True) if index == 0 else sp.Symbol(f"t_{index}", real=True)


def shift_symbol(family: Family) -> sp.Symbol:
    """A component's new location less its present one."""
    assert family.location is not None
    return sp.Symbol(f"shift_{family.location.name}", real=True)


@dataclass(frozen=True)
class Update:
    """The new value of one family parameter for some components.

    ``value`` is in N, t_j, in the family's symbols for what is fixed or already updated (a
    location as :func:`shift_symbol`), and in ``totals``: symbols that stand for sums over the
    components of the paired expression. A location's value is added to the present one
    (``shift``). ``components`` all share the formula.
    """

    parameter: str
    components: tuple[int, ...]
    value: sp.Expr
    totals: tuple[tuple[sp.Symbol, sp.Expr], ...]
    shift: bool


@dataclass(frozen=True)
class MStep:
    """Updates in order of computation; weights are N_k over what the free ones sum to."""

    free_weights: tuple[int, ...]
    updates: tuple[Update, ...]


@cache
def statistics_of(family: Family) -> tuple[tuple[sp.Expr, ...], dict[sp.Expr, sp.Expr]]:
    """(T_1 … T_J as functions of y, the log-density's coefficient of each, and of 1).

    The new parameters are the family's symbols, a location replaced by the shift from the present.

    >>> from relrep_sym.declare.family import family_named
    >>> statistics_of(family_named("normal"))[0]
    (y, y**2)
    """
    y = sp.Symbol("y", real=True)
    moved = {family.x: y}
    expression = sp.expand(opened(family.log_density.subs(moved)))
    parts: dict[sp.Expr, sp.Expr] = {}
    for term in sp.Add.make_args(expression):
        coefficient, function = term.as_independent(y, as_Add=False)
        parts[function] = parts.get(function, sp.Integer(0)) + coefficient
    functions = [b for b, c in parts.items() if b != 1 and c.free_symbols & set(family.symbols)]
    functions.sort(key=lambda b: (sp.count_ops(b), sp.default_sort_key(b)))
    return tuple(functions), parts


def derive_m_step(model: Mixture) -> MStep:
    """The joint maximiser of Q over the model's θ.

    Raises DerivationError where an equation has no closed form in the unknowns' order, and says
    which.

    >>> from relrep_sym.declare.model import mixture
    >>> step = derive_m_step(mixture("normal", components=3))
    >>> [(u.parameter, u.value) for u in step.updates]
    [('mu', t_1), ('sigma', sqrt(-t_1**2 + t_2))]
    """
    family = model.family
    if component_form(family).slopes is not None:
        raise DerivationError(
            problem(
                "the M-step has no closed form",
                f"the {family.name} log-density {family.log_density}",
                "a sum of products of a function of x and one of the parameters; the mean "
                "log-likelihood can be climbed by its score",
            )
        )
    kinds = [_kinds(model, k) for k in range(model.components)]
    updates: list[Update] = []
    for kind in dict.fromkeys(kinds):
        members = tuple(k for k, other in enumerate(kinds) if other == kind)
        updates += _solve_own(family, kind, members)
    tied = [p.name for p, q in zip(family.parameters, model.patterns, strict=True) if q == "tied"]
    if tied:
        updates = _solve_tied(model, updates, tied, kinds)
    return MStep(model.free_weights, tuple(updates))


def _kinds(model: Mixture, k: int) -> tuple[str, ...]:
    """For component k, each family parameter's kind: own, tied or fixed."""
    out = []
    for p, pattern in zip(model.family.parameters, model.patterns, strict=True):
        if pattern == "tied":
            out.append("tied")
        elif any(k in q.components for q in model.of_role(p.name)):
            out.append("own")
        else:
            out.append("fixed")
    return tuple(out)


def _objective(family: Family) -> sp.Expr:
    """Q of one component, a location's symbol standing for the shift from the present one."""
    functions, parts = statistics_of(family)
    q = parts.get(sp.Integer(1), sp.Integer(0))
    for j, function in enumerate(functions, start=1):
        q += statistic_symbol(j) * parts[function]
    return statistic_symbol(0) * q


def component_objective(family: Family) -> sp.Expr | None:
    """Q of one component, in N, t_j and the family's symbols (a location's the shift); or None.

    None where the log-density is no sum of products of a function of x and one of the parameters.
    """
    return None if component_form(family).slopes is not None else _objective(family)


def _solve_own(family: Family, kind: tuple[str, ...], members: tuple[int, ...]) -> list[Update]:
    location = family.location
    return [
        Update(name, members, value, (), location is not None and name == location.name)
        for name, value in _solutions(family, kind)
    ]


@cache
def _solutions(family: Family, kind: tuple[str, ...]) -> tuple[tuple[str, sp.Expr], ...]:
    """One generic component's own parameters, solved one at a time: (name, value) in order."""
    q = _objective(family)
    location = family.location
    if location is not None:  # a location that is fixed has not moved from the present one
        index = family.parameters.index(location)
        if kind[index] == "fixed":
            q = q.subs(location.symbol, 0)
    unknown = [p for p, how in zip(family.parameters, kind, strict=True) if how == "own"]
    out: list[tuple[str, sp.Expr]] = []
    while unknown:
        for p in unknown:
            others = {o.symbol for o in unknown if o is not p}
            value = _root(sp.diff(q, p.symbol), p.symbol, p.domain.name)
            if value is not None and not value.free_symbols & others:
                q = q.subs(p.symbol, value)
                out.append((p.name, value))
                unknown.remove(p)
                break
        else:
            raise DerivationError(
                problem(
                    "the M-step has no closed form",
                    f"the equations for {', '.join(p.name for p in unknown)} of the "
                    f"{family.name} family",
                    "equations that can be solved one unknown at a time",
                )
            )
    return tuple(out)


@cache
def _root(equation: sp.Expr, unknown: sp.Symbol, domain_name: str) -> sp.Expr | None:
    """The one root that lies in the domain for every sample, or None."""
    numerator = sp.numer(sp.together(equation))
    if not numerator.has(unknown):
        return None
    roots = _roots(numerator, unknown)
    if domain_name == "positive":
        roots = [r for r in roots if not _negative_at_probe(r)]
    return sp.simplify(roots[0]) if len(roots) == 1 else None


def _roots(numerator: sp.Expr, unknown: sp.Symbol) -> list[sp.Expr]:
    """The roots of an equation that is algebraic in the unknown, or in one exp, log or power of it.

    Of any other (digamma, |x − μ|) there is no root in closed form, and none is looked for.
    """
    plain = sp.Dummy("u")  # assumptions of the unknown would hide roots
    moved = sp.expand(numerator.subs(unknown, plain))
    generators = [g for g in sp.Poly(moved).gens if g.has(plain)] if moved.has(plain) else []
    elementary = all(not g.atoms(sp.Function) - g.atoms(sp.exp, sp.log) for g in generators)
    if len(generators) != 1 or not elementary:
        return []
    try:
        found = sp.solve(moved, plain)
    except NotImplementedError:
        return []
    return list(found)


def _negative_at_probe(root: sp.Expr) -> bool:
    """Sign of a root at statistics that a real sample could have (t_2 > t_1²)."""
    probe = {s: sp.Rational(7, 4) for s in root.free_symbols}
    probe |= {statistic_symbol(0): sp.Rational(1, 2), statistic_symbol(1): sp.Rational(1, 3)}
    return not _is_positive(root.subs(probe))


def _is_positive(value: sp.Expr) -> bool:
    """Whether a number is real and above zero."""
    number = sp.N(value)
    return bool(number.is_extended_real and number > 0)


def _solve_tied(
    model: Mixture, own: list[Update], tied: list[str], kinds: list[tuple[str, ...]]
) -> list[Update]:
    """The tied parameters, one after another: their equations summed over the components."""
    family = model.family
    for name in tied:
        blocked = [u.parameter for u in own if u.value.has(family.parameter(name).symbol)]
        if blocked:
            raise DerivationError(
                problem(
                    f"no closed form: the update of {', '.join(blocked)} depends on the tied "
                    f"{name}",
                    model.describe(),
                    f"{family.parameter(blocked[0]).plural} fixed or tied otherwise",
                )
            )
    q = _tied_objective(family, own, kinds)
    updates = list(own)
    unsolved = list(tied)
    while unsolved:
        for name in unsolved:
            update = _tied_update(model, q, name, [n for n in unsolved if n != name])
            if update is not None:
                break
        else:
            raise DerivationError(
                problem(
                    f"no closed form for the tied {', '.join(unsolved)}",
                    model.describe(),
                    "equations that can be solved one unknown at a time",
                )
            )
        updates.append(update)
        unsolved.remove(name)
        if update.shift:
            q = q.subs(family.parameter(name).symbol, shift_symbol(family))
    return updates


def _tied_objective(family: Family, own: list[Update], kinds: list[tuple[str, ...]]) -> sp.Expr:
    """Q of one component with its own parameters maximised, the same for every component.

    Where components differ in what is their own and what is fixed, both stay: the family's symbols
    then are new values, a location's the shift, which is zero where it is fixed.
    """
    q, location = _objective(family), family.location
    if len(set(kinds)) == 1:
        (kind,) = set(kinds)
        if location is not None and kind[family.parameters.index(location)] == "fixed":
            q = q.subs(location.symbol, 0)
        for u in own:
            q = q.subs(family.parameter(u.parameter).symbol, u.value)
        return q
    if location is not None and kinds[0][family.parameters.index(location)] != "tied":
        q = q.subs(location.symbol, shift_symbol(family))
    return q


def _tied_update(model: Mixture, q: sp.Expr, name: str, others: list[str]) -> Update | None:
    """The root of one tied parameter's equation, where it is free of the other unknown ones."""
    family = model.family
    symbol = family.parameter(name).symbol
    unknown = [symbol, *(family.parameter(n).symbol for n in others)]
    totals: dict[sp.Expr, tuple[sp.Symbol, sp.Expr]] = {}
    found: dict[sp.Expr, sp.Expr] = {}
    for term in sp.Add.make_args(sp.expand(sp.diff(q, symbol))):
        c, g = term.as_independent(*unknown, as_Add=False)
        found[g] = found.get(g, sp.Integer(0)) + c
    for power, share in found.items():
        negative = share.could_extract_minus_sign()
        g, c = (-power, -share) if negative else (power, share)
        totals[g] = (sp.Symbol(f"total_{len(totals) + 1}", real=True), c)
    equation = sum((s * g for g, (s, _) in totals.items()), sp.Integer(0))
    numerator = sp.numer(sp.together(equation))
    roots = _roots(numerator, symbol) if numerator.has(symbol) else []
    if family.parameter(name).domain.name == "positive":
        probe = {s: e.subs(_PROBE) for s, e in totals.values()}
        roots = [r for r in roots if not _negative(r.subs(probe))]
    if len(roots) != 1 or roots[0].free_symbols & set(unknown):
        return None
    every = tuple(range(model.components))
    shift = family.location is not None and family.location.name == name
    return Update(name, every, sp.simplify(roots[0]), tuple(totals.values()), shift)


def _negative(value: sp.Expr) -> bool:
    rest = {s: sp.Rational(7, 4) for s in value.free_symbols}
    return not _is_positive(value.subs(rest))


_PROBE = {
    statistic_symbol(0): sp.Rational(1, 2),
    statistic_symbol(1): sp.Rational(1, 3),
    statistic_symbol(2): sp.Rational(7, 4),
}
