r"""The M-step of densities with |x − μ| in the exponent: weighted medians.

In: a model. Out: a frozen :class:`MedianStep`, where

.. math:: \log f(x \mid \varphi) = a(\psi) - c(\psi)\,|x - \mu| + g(x),

with c > 0 and ψ the other parameters of the family. Q is then piecewise linear in each μ, falls on
both sides of the responsibilities' weighted median of x, and is largest there whatever ψ is; what
is left in ψ is a sum of N_k and E[r_k |x − μ_k|], the new μ_k put in, and solved as any M-step.
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from relrep_sym.declare.family import Family
from relrep_sym.declare.model import Mixture
from relrep_sym.equations.em import Update, statistic_symbol

__all__ = ["MedianStep", "median_step"]


@dataclass(frozen=True)
class MedianStep:
    """New values of a model's parameters.

    Attributes:
        location: the family parameter μ.
        groups: components that share one free μ, each group with a median of its own; none for
            those whose μ is fixed.
        tension: c(ψ), what a component's share counts in its group's median.
        free_weights: the components whose weight is learned.
        updates: new values of ψ, in N and t_1 = E[r |x − μ|]/N about the new μ.
    """

    location: str
    groups: tuple[tuple[int, ...], ...]
    tension: sp.Expr
    free_weights: tuple[int, ...]
    updates: tuple[Update, ...]


def median_step(model: Mixture) -> MedianStep | None:
    """The joint maximiser of Q over the model's θ; None where it is of another form.

    >>> from relrep_sym.declare.model import mixture
    >>> found = median_step(mixture("laplace", components=3))
    >>> found.groups, [(u.parameter, u.value) for u in found.updates]
    (((0,), (1,), (2,)), [('b', t_1)])
    >>> tied = median_step(mixture("laplace", components=2, scales="tied"))
    >>> tied.updates[0].value.xreplace(dict(tied.updates[0].totals))
    t_1
    """
    family = model.family
    parts = _parts(family)
    if parts is None or family.location is None:
        return None
    constant, tension = parts
    location = family.location.name
    patterns = dict(zip((p.name for p in family.parameters), model.patterns, strict=True))
    others = [p for p in family.parameters if p.name != location]
    own = {p.name: _owned(model, p.name) for p in others}
    if patterns[location] == "tied":
        groups: tuple[tuple[int, ...], ...] = (tuple(range(model.components)),)
        free = [p for p in others if tension.has(p.symbol) and patterns[p.name] != "tied"]
        if any(own[p.name] for p in free):
            return None  # the shares of the components in the median change with ψ
    else:
        groups = tuple((k,) for k in _owned(model, location))
    updates: list[Update] = []
    q = statistic_symbol(0) * (constant - tension * statistic_symbol(1))
    learned = [p for p in others if patterns[p.name] == "tied" or own[p.name]]
    if len(learned) > 1:
        return None
    for p in learned:
        equation = sp.expand(sp.diff(q, p.symbol))
        whole = tuple(range(model.components))
        tied = patterns[p.name] == "tied"
        totals: list[tuple[sp.Symbol, sp.Expr]] = []
        if tied:
            fixed = {o.symbol for o in others if o is not p}
            if equation.free_symbols & fixed:
                return None
            n, t = statistic_symbol(0), statistic_symbol(1)
            sums = sp.symbols("total_1 total_2", positive=True)
            totals = [(sums[0], n), (sums[1], n * t)]
            equation = sp.expand(equation).subs(n * t, sums[1]).subs(n, sums[0])
        root = _highest(equation, p.symbol)
        if root is None:
            return None
        updates.append(Update(p.name, whole if tied else own[p.name], root, tuple(totals), False))
    return MedianStep(location, groups, tension, model.free_weights, tuple(updates))


def _owned(model: Mixture, name: str) -> tuple[int, ...]:
    """The components that have a free parameter of that name for themselves."""
    found = {k for q in model.of_role(name) for k in q.components if len(q.components) == 1}
    return tuple(sorted(found))


def _parts(family: Family) -> tuple[sp.Expr, sp.Expr] | None:
    """(a, c) of log f = a − c |x − μ| + g(x); None where it is not of that form."""
    location, kink = family.location, family.kink
    if kink is None or location is None or sp.expand(kink - family.x + location.symbol) != 0:
        return None
    away = sp.Dummy("u", nonnegative=True)

    def named(inner: sp.Expr) -> sp.Expr:
        if not inner.free_symbols & set(family.symbols):
            return sp.Abs(inner)
        return sp.Abs(sp.diff(inner, family.x)) * away

    expanded = sp.expand(sp.expand_log(family.log_density.replace(sp.Abs, named), force=True))
    constant, tension, own = sp.Integer(0), sp.Integer(0), set(family.symbols)
    for term in sp.Add.make_args(expanded):
        coefficient, power = term.as_independent(away, as_Add=False)
        if power == away:
            tension -= coefficient
        elif power != 1:
            return None
        elif coefficient.free_symbols & own:
            constant += coefficient
    strange = {family.x, location.symbol}
    if constant.free_symbols & strange or tension.free_symbols & strange:
        return None
    tension = sp.factor(tension)
    return (constant, tension) if tension.is_positive else None


def _highest(equation: sp.Expr, unknown: sp.Symbol) -> sp.Expr | None:
    """Where ∂Q/∂ψ is zero and falls, if it is linear in ψ once it is cleared; else None."""
    numerator = sp.numer(sp.together(equation))
    try:
        polynomial = sp.Poly(numerator, unknown)
    except sp.PolynomialError:
        return None
    if polynomial.degree() != 1:
        return None
    slope, rest = polynomial.all_coeffs()
    root = sp.simplify(-rest / slope)
    positive = {s: sp.Dummy(s.name, positive=True) for s in root.free_symbols}
    falls = sp.simplify(sp.diff(equation, unknown).subs(unknown, root).xreplace(positive))
    return root if falls.is_negative else None
