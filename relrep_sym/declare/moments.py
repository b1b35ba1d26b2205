r"""Moments E[(X − a)ⁿ] of a family's density, in closed form, by a recursion that is proven.

In: a :class:`~.family.Family`, its parameters and a. Out: the moments of that density. Nothing
about a family is looked up. Where the density has a derivative in x, integration by parts gives

    E[m(X) g′(X) + (m′(X) + m(X) s(X)) g(X)] = 0,    s = ∂ log f/∂x,

with m = 1 on the line and m = x on the half-line, where boundary terms vanish; on the integers
f(x + 1)/f(x) = p(x)/(x + 1) gives E[X g(X)] = E[p(X) g(X + 1)]. With g = (x − a)ⁿ each is a
recursion, if m s (or p) is of degree one at most, as it is for the normal and the Poisson density.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import sympy as sp

from relrep_sym.declare.family import Family
from relrep_sym.errors import DerivationError, problem

__all__ = ["MOST", "component_moments"]

MOST = 64
"""The highest moment that is written out."""


def component_moments(
    family: Family, parameters: Sequence[sp.Expr], n: int, about: sp.Expr
) -> tuple[sp.Expr, ...]:
    """E[(X − about)^k] for k = 0 … n of one component with these parameters.

    Raises DerivationError for a family whose recursion is not found.

    >>> from relrep_sym.declare.family import family_named
    >>> rate, mu = sp.symbols("rate mu")
    >>> component_moments(family_named("poisson"), [rate], 2, sp.Integer(0))
    (1, rate, rate**2 + rate)
    >>> component_moments(family_named("normal"), [mu, sp.Rational(1, 2)], 4, mu)
    (1, 0, 1/4, 0, 3/16)
    """
    given = dict(zip(family.symbols, parameters, strict=True))
    constant, leading = (c.xreplace(given) for c in _rules(family))
    if family.support == "line":
        return _by_parts(constant + leading * about, leading, n)
    raw = _summed if family.support == "integers" else _by_parts_from_zero
    return _shifted(raw(constant, leading, n), about)


@cache
def _rules(family: Family) -> tuple[sp.Expr, ...]:
    """(c_0, c_1) of m s = c_0 + c_1 x; on the integers of p."""
    return _ratio(family) if family.support == "integers" else _slope(family)


def _refused(family: Family, why: str) -> DerivationError:
    wrong = f"no closed form is found for the moments of the {family.name} family"
    return DerivationError(problem(wrong, why, "a family such as the normal or the Poisson"))


def _slope(family: Family) -> tuple[sp.Expr, ...]:
    x = family.x
    slope = sp.cancel((x if family.support == "half-line" else 1) * family.log_density.diff(x))
    # a negative leading coefficient makes every boundary term vanish far out; at zero, m does
    if slope.is_polynomial(x) and sp.degree(slope, x) == 1:
        line = sp.Poly(slope, x)
        if sp.factor(line.LC()).is_negative:
            return line.coeff_monomial(1), line.coeff_monomial(x)
    raise _refused(family, f"∂ log f/∂x = {family.log_density.diff(x)}")


def _by_parts(constant: sp.Expr, leading: sp.Expr, n: int) -> tuple[sp.Expr, ...]:
    """On the line, in y = x − about: k E[y^(k−1)] + E[(constant + leading y) y^k] = 0."""
    known = [sp.Integer(1)]
    for k in range(n):
        before = k * known[k - 1] if k else sp.Integer(0)
        known.append(sp.expand(-(before + constant * known[k]) / leading))
    return tuple(known)


def _by_parts_from_zero(constant: sp.Expr, leading: sp.Expr, n: int) -> tuple[sp.Expr, ...]:
    """On the half-line: (k + 1) E[x^k] + E[(constant + leading x) x^k] = 0."""
    known = [sp.Integer(1)]
    for k in range(n):
        known.append(sp.expand(-(k + 1 + constant) * known[k] / leading))
    return tuple(known)


def _summed(constant: sp.Expr, leading: sp.Expr, n: int) -> tuple[sp.Expr, ...]:
    """On the integers: E[X X^k] = E[(constant + leading X) (X + 1)^k]."""
    known = [sp.Integer(1)]
    for k in range(n):
        terms = [sp.binomial(k, j) * constant * known[j] for j in range(k + 1)]
        terms += [sp.binomial(k, j) * leading * known[j + 1] for j in range(k)]
        known.append(sp.expand(sp.Add(*terms) / (1 - leading)))
    return tuple(known)


def _shifted(raw: Sequence[sp.Expr], about: sp.Expr) -> tuple[sp.Expr, ...]:
    """Moments about a point from those about zero."""
    return tuple(
        sp.expand(sp.Add(*(sp.binomial(k, j) * (-about) ** (k - j) * raw[j] for j in range(k + 1))))
        for k in range(len(raw))
    )


def _ratio(family: Family) -> tuple[sp.Expr, ...]:
    x = family.x
    step = sp.expand_log(family.log_density.subs(x, x + 1) - family.log_density, force=True)
    ratio = sp.powsimp(sp.exp(sp.expand(_reduced(step, x))), force=True)
    p = sp.cancel(ratio * (x + 1))
    if not p.is_polynomial(x) or sp.degree(p, x) > 1 or sp.Poly(p, x).coeff_monomial(x) == 1:
        raise _refused(family, f"f(x + 1)/f(x) = {ratio}")
    return sp.Poly(p, x).coeff_monomial(1), sp.Poly(p, x).coeff_monomial(x)


def _reduced(expression: sp.Expr, x: sp.Symbol) -> sp.Expr:
    """Every log Γ(x + n) as log Γ(x + 1) and logarithms."""

    def lowered(argument: sp.Expr) -> sp.Expr:
        n = argument - x
        if not (n.is_Integer and 1 <= n <= 3):
            return sp.loggamma(argument)
        return sp.loggamma(x + 1) + sp.Add(*(sp.log(x + i) for i in range(1, int(n))))

    return expression.replace(sp.loggamma, lowered)
