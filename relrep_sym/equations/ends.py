r"""How a density behaves at a finite end of its support: like a power of the distance from it.

In: a family. Out: for each finite end the exponent A(φ) of f(x | φ) ~ C t^A, t the distance. Where
A = 0 the density is finite and positive at the end itself, where A > 0 it is zero there, and where
A < 0 infinite. A gamma density has A = shape − 1 at zero.
"""

from __future__ import annotations

from functools import cache

import sympy as sp

from relrep_sym.declare.family import Family
from relrep_sym.equations.component import opened

__all__ = ["end_exponents"]

_MOST = 4
"""The highest order of a zero inside of a logarithm that is looked for."""


@cache
def end_exponents(family: Family) -> tuple[sp.Expr, ...]:
    """The exponent at each finite end, infinite where f falls faster than every power.

    Empty where all are zero, where the support has no end in a continuum, and where one is not
    found.

    >>> from relrep_sym.declare.family import family_named
    >>> end_exponents(family_named("gamma")), end_exponents(family_named("exponential"))
    ((shape - 1,), ())
    """
    support = family.support
    t = sp.Symbol("t", positive=True)
    if support == "half-line":
        places = [t]
    elif not isinstance(support, str) and support[0] == "interval":
        low, high = (sp.Rational(repr(float(e))) for e in support[1:])
        places = [low + t, high - t]
    else:
        return ()
    found = [_exponent(sp.expand(opened(family.log_density.subs(family.x, p))), t) for p in places]
    if any(e is None for e in found) or all(e == 0 for e in found):
        return ()
    return tuple(e for e in found if e is not None)


def _exponent(log_density: sp.Expr, t: sp.Symbol) -> sp.Expr | None:
    total: sp.Expr = sp.Integer(0)
    for term in sp.Add.make_args(log_density):
        coefficient, function = term.as_independent(t, as_Add=False)
        order = _order(function, t)
        if order is None:
            return None
        total += sp.oo if order is sp.oo else coefficient * order
    return sp.oo if total.has(sp.oo) else sp.factor(total)


def _order(function: sp.Expr, t: sp.Symbol) -> sp.Expr | None:
    """How many times log t the function is as t → 0: infinity where it grows faster."""
    if not function.has(t):
        return sp.Integer(0)
    if isinstance(function, sp.log):
        return _order_of_zero(function.args[0], t)
    power, rest = sp.Integer(0), []
    for factor in sp.Mul.make_args(function):
        base, exponent = factor.as_base_exp()
        if base == t:
            power += exponent
        else:
            rest.append(factor)
    if power.is_positive:
        return sp.Integer(0)
    if power.is_negative or any(isinstance(r.as_base_exp()[0], sp.log) for r in rest):
        return sp.oo  # such as -1/t or -(log t)**2: a density cannot grow like that
    if power != 0:
        return None
    return sp.Integer(0) if _is_finite(function.subs(t, 0)) else None


def _order_of_zero(inner: sp.Expr, t: sp.Symbol) -> sp.Expr | None:
    if inner == t:
        return sp.Integer(1)
    slope = inner
    for n in range(_MOST):
        value = slope.subs(t, 0)
        if not _is_finite(value):
            return None
        if sp.simplify(value) != 0:
            return sp.Integer(n)
        slope = sp.diff(slope, t)
    return None


def _is_finite(value: sp.Expr) -> bool:
    return not value.has(sp.nan, sp.zoo, sp.oo, -sp.oo)
