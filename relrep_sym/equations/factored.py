"""Coefficients of a series as a person would write them: a common factor, and factored rest.

In: elements of a field of rational functions with integer coefficients. Out: SymPy expressions,
equal to them exactly. Factoring is done on polynomials of the field's own ring, where it is cheap.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import sympy as sp

from relrep_sym.equations.truncated import Coefficient

__all__ = ["Factors", "common_factor", "product_of"]


_LONG = 16
"""A polynomial of more terms is not factored: it would take longer than deriving it."""
Factors = tuple[sp.Expr, ...]
"""Factors still apart: SymPy multiplies a lone sum by a number out."""


def common_factor(
    field: Coefficient, values: Sequence[Coefficient]
) -> tuple[Factors, list[Factors]]:
    """The factors of what all values share, and those of what is left of each.

    >>> v = sp.Symbol("v")
    >>> field = sp.ZZ.frac_field(v)
    >>> common_factor(field, [field.from_sympy(e) for e in (v - v**2, (v**2 - v) / 2)])
    ((1/2, 1 - v, v), [(2,), (-1,)])
    """
    if not hasattr(field, "field"):
        numbers = [sp.Rational(field.to_sympy(c)) for c in values]
        shared = sp.Rational(sp.igcd(*(c.p for c in numbers)), sp.ilcm(1, *(c.q for c in numbers)))
        shared = -shared if numbers[0] < 0 else shared
        return (shared,), [(c / shared,) for c in numbers]
    below = reduce(lambda a, b: a.lcm(b), (c.denom for c in values))
    above = [c.numer * below.exquo(c.denom) for c in values]
    shared = reduce(lambda a, b: a.gcd(b), above)
    rest = [a.exquo(shared) for a in above]
    if rest[0].LC < 0:
        shared, rest = -shared, [-r for r in rest]
    return product_of(field, shared, below), [product_of(field, r) for r in rest]


def product_of(field: Coefficient, above: Coefficient, below: Coefficient = None) -> Factors:
    """A polynomial (over another) as its irreducible factors, 1 − v before −(v − 1)."""
    number, factors = _factor_list(above)
    if below is not None:
        denominator, under = _factor_list(below)
        number = sp.Rational(int(number), int(denominator))
        factors = [*factors, *((f, -n) for f, n in under)]
    number, parts = sp.Rational(int(number)) if below is None else number, []
    for factor, n in factors:
        value = factor.as_expr(*field.symbols)
        if number < 0 and n % 2 and _is_shifted_symbol(value):
            value, number = -value, -number
        parts.append(sp.Pow(value, n))
    return tuple(parts) if number == 1 and parts else (number, *parts)


def _factor_list(polynomial: Coefficient) -> tuple[Coefficient, list[tuple[Coefficient, int]]]:
    """The number and the factors of a polynomial; a long one only freed of its number."""
    if len(polynomial) <= _LONG:
        return polynomial.factor_list()
    number, rest = polynomial.primitive()
    return (-number, [(-rest, 1)]) if rest.LC < 0 else (number, [(rest, 1)])


def _is_shifted_symbol(value: sp.Expr) -> bool:
    """Whether it is v − 1."""
    return bool(value.is_Add and len(value.args) == 2 and (value + 1).is_Symbol)
