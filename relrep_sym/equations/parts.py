r"""What a family's log-density gives under the integral sign: ratios, moments, parts.

In: a :class:`~relrep_sym.declare.family.Family`. Out: ρ(x) = f(x + 1)/f(x) on the integers, moments
in closed form, and whether integrating (or summing) by parts leaves nothing at the ends. Derived
from the log-density alone.
"""

from __future__ import annotations

from functools import cache

import sympy as sp

from relrep_sym.declare.family import Family

__all__ = ["may_part", "moment", "ratio"]


@cache
def ratio(family: Family) -> sp.Expr:
    """ρ(x) = f(x + 1)/f(x) of a family on the integers.

    >>> from relrep_sym.declare.family import family_named
    >>> ratio(family_named("poisson"))
    rate/(x + 1)
    """
    x = family.x
    step = family.log_density.subs(x, x + 1) - family.log_density
    opened = sp.expand(step).replace(sp.loggamma, lambda a: sp.log(sp.gamma(a)))
    return sp.factor(sp.gammasimp(sp.Mul(*(sp.exp(s) for s in sp.Add.make_args(opened)))))


@cache
def may_part(family: Family) -> bool:
    """Whether sums and integrals by parts leave nothing at the ends, proven.

    Tails must fall exponentially, so that polynomials times bounded functions vanish there, and on
    the half-line x f(x) must vanish at zero.
    """
    x = sp.Symbol("x", positive=True)
    if family.log_density.has(sp.Piecewise):
        return False
    try:
        if family.support == "integers":
            limit = sp.limit(ratio(family).subs(family.x, x), x, sp.oo)
            return limit.is_finite is not False and sp.simplify(limit - 1) != 0
        ends = [family.log_density.subs(family.x, x)]
        if family.support == "line":
            ends.append(family.log_density.subs(family.x, -x))
        elif family.support == "half-line":
            at_zero = sp.limit(x * sp.diff(ends[0], x), x, 0, "+")
            if not (at_zero + 1).is_positive:
                return False
        else:
            return False
        slopes = [sp.limit(sp.diff(e, x), x, sp.oo) for e in ends]
        return all(s is sp.S.NegativeInfinity or s.is_negative for s in slopes)
    except (NotImplementedError, ValueError, TypeError):
        return False


@cache
def moment(family: Family, degree: int) -> sp.Expr | None:
    """E[x^degree] in the family's symbols, by parts from the moments below; or None.

    >>> from relrep_sym.declare.family import family_named
    >>> moment(family_named("normal"), 3), moment(family_named("poisson"), 2)
    (mu**3 + 3*mu*sigma**2, rate**2 + rate)
    """
    if degree == 0:
        return sp.Integer(1)
    if degree > 40 or not may_part(family):
        return None
    x = family.x
    for power in range(degree):
        relation = _vanishing(family, x**power)
        if not relation.is_polynomial(x):
            return None
        p = sp.Poly(relation, x)
        if p.degree() == degree:
            below = [(n, c) for (n,), c in p.terms() if n < degree]
            known = [(c, moment(family, n)) for n, c in below]
            if any(m is None for _, m in known):
                return None
            rest = sp.Add(*(c * m for c, m in known))
            return sp.expand(sp.cancel(-rest / p.LC()))
    return None


def _vanishing(family: Family, g: sp.Expr) -> sp.Expr:
    """A function of mean zero, from a function of x alone."""
    x = family.x
    if family.support == "integers":
        return sp.expand(sp.cancel(x * g - (x + 1) * ratio(family) * g.subs(x, x + 1)))
    h = x * g if family.support == "half-line" else g
    return sp.expand(sp.diff(h, x) + h * sp.diff(family.log_density, x))
