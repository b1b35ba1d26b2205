"""How a family's parameters follow a change of the unit of x.

In: a family. Out: the powers d_i with c·f(c x | c^{d_1} φ_1, …) = f(x | φ) for every c > 0: 1 for a
location and a scale, −1 for a rate, 0 for a shape. In logarithms, differentiated at c = 1,

    1 + x ∂_x log f + Σ_i d_i φ_i ∂_{φ_i} log f = 0,

which is linear in the powers: they are solved for at some points and held at others, to 40 digits.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache
from typing import Any

import mpmath
import sympy as sp

from relrep_sym.declare.density import Family

__all__ = ["unit_powers"]

_DIGITS = 40
_MORE = 8
"""Points at which powers that solve the equation at others are held against it."""


@cache
def unit_powers(family: Family) -> tuple[float, ...] | None:
    """The powers of a length that the parameters are, or None where the family has no free unit.

    Powers that are not multiples of a half are not looked for.

    >>> from relrep_sym.declare.family import family_named
    >>> [unit_powers(family_named(n)) for n in ("normal", "gamma", "exponential", "poisson")]
    [(1.0, 1.0), (0.0, 1.0), (-1.0,), None]
    """
    if family.support not in ("line", "half-line"):
        return None
    variables = (family.x, *family.symbols)
    slopes = [v * sp.diff(family.log_density, v) for v in variables]
    evaluate = sp.lambdify(variables, slopes, modules="mpmath")
    count, rng = len(family.symbols), random.Random(1)
    rows: list[list[Any]] = []
    with mpmath.workdps(_DIGITS):
        for _ in range(50 * (count + _MORE)):
            found = evaluate(*_point(family, rng))
            if all(isinstance(v, mpmath.mpf | int | float) and mpmath.isfinite(v) for v in found):
                rows.append(found)
            if len(rows) == count + _MORE:
                break
        else:
            return None
        try:
            solved = mpmath.lu_solve(
                mpmath.matrix([r[1:] for r in rows[:count]]),
                mpmath.matrix([-1 - r[0] for r in rows[:count]]),
            )
        except ZeroDivisionError:  # a parameter that does nothing
            return None
        powers = [mpmath.nint(2 * v) / 2 for v in solved]
        if any(_off(row, powers) > mpmath.mpf(10) ** (8 - _DIGITS) for row in rows):
            return None
        return tuple(float(p) for p in powers)


def _off(row: Sequence[Any], powers: Sequence[Any]) -> Any:
    """By how much a point misses the equation, relative to its terms."""
    terms = [mpmath.mpf(1), row[0], *(p * v for p, v in zip(powers, row[1:], strict=True))]
    return abs(mpmath.fsum(terms)) / mpmath.fsum(terms, absolute=True)


def _point(family: Family, rng: random.Random) -> list[Any]:
    """x and the parameters somewhere in their domains."""
    out = [_between(rng, 0.25, 4.0) if family.support == "half-line" else _between(rng, -2.0, 3.0)]
    for p in family.parameters:
        if p.domain.upper < float("inf"):
            out.append(_between(rng, 0.1, 0.9))
        elif p.domain.lower >= 0.0:
            out.append(_between(rng, 0.5, 3.0))
        else:
            out.append(_between(rng, -2.0, 2.0))
    return out


def _between(rng: random.Random, low: float, high: float) -> Any:
    return mpmath.mpf(round(rng.uniform(low, high) * 2**20)) / 2**20
