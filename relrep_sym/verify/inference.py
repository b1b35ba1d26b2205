"""The oracle of covariances: an information matrix inverted at fifty digits.

In: the oracle's information (Fisher, or minus its Hessian), as Measured. Out: its inverse as
Measured, the yardstick widened by the conditioning: to first order δC = −C δA C, entry by entry,
with δA as large as its own yardstick allows and the rounding of a matrix scaled to a unit diagonal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import mpmath
from mpmath import mp

from relrep_sym.errors import CertificateError, problem
from relrep_sym.verify.jets import WORKING
from relrep_sym.verify.yardstick import Measured

__all__ = ["inverse", "negative"]


def negative(matrix: Sequence[Sequence[Measured]]) -> tuple[tuple[Measured, ...], ...]:
    """Minus a matrix."""
    return tuple(tuple(replace(cell, value=-cell.value) for cell in row) for row in matrix)


def inverse(matrix: Sequence[Sequence[Measured]]) -> tuple[tuple[Measured, ...], ...]:
    """A⁻¹, the yardstick of each entry widened by the conditioning.

    >>> one, half = (Measured(mpmath.mpf(v), abs(mpmath.mpf(v)), mp.zero) for v in (1, 0.5))
    >>> (a, b), _ = inverse([[one, half], [half, one]])
    >>> round(float(a.value), 12), round(float(b.value), 12)
    (1.333333333333, -0.666666666667)
    >>> round(float(a.scale), 12)  # (3 4/3 + 2 2/3) 4/3 + (2 4/3 + 3 2/3) 2/3
    10.222222222222
    """
    with mp.workdps(WORKING):
        size = range(len(matrix))
        try:
            found = mpmath.matrix([[cell.value for cell in row] for row in matrix]) ** -1
        except ZeroDivisionError:
            text = problem("the information", "a singular matrix", "one with an inverse")
            raise CertificateError(text) from None
        root = [mpmath.sqrt(abs(matrix[i][i].value)) for i in size]

        def blur(j: int, k: int) -> mpmath.mpf:
            m = matrix[j][k]
            return abs(m.value) + m.scale + m.sensitivity + root[j] * root[k]

        def widened(parts: Sequence[Sequence[mpmath.mpf]], a: int, b: int) -> mpmath.mpf:
            return mp.fsum(
                abs(found[a, j]) * parts[j][k] * abs(found[k, b]) for j in size for k in size
            )

        blurs = [[blur(j, k) for k in size] for j in size]
        errors = [[matrix[j][k].error for k in size] for j in size]
        return tuple(
            tuple(
                Measured(
                    found[a, b],
                    widened(blurs, a, b),
                    mp.zero,
                    widened(errors, a, b),
                    f"inverted at {WORKING} digits, yardstick times the conditioning",
                )
                for b in size
            )
            for a in size
        )
