"""The oracle of the natural gradient: F x = ∇L solved at fifty digits, and how well x is known.

In: the oracle's Fisher information and averaged field, as Measured. Out: x as Measured, its
yardstick widened by the conditioning: to first order δx = F⁻¹ (δg − δF x), entry by entry, with
δg and δF as large as their own yardsticks allow.
"""

from __future__ import annotations

from collections.abc import Sequence

import mpmath
from mpmath import mp

from relrep_sym.errors import CertificateError, problem
from relrep_sym.verify.jets import WORKING
from relrep_sym.verify.yardstick import Measured

__all__ = ["condition", "natural_field"]


def condition(fisher: Sequence[Sequence[Measured]]) -> float:
    """The condition number of the matrix scaled to a unit diagonal; infinite if singular.

    >>> one, half = (Measured(mpmath.mpf(v), mp.zero, mp.zero) for v in (1, 0.5))
    >>> round(condition([[one, half], [half, one]]), 12)
    3.0
    """
    with mp.workdps(WORKING):
        size = range(len(fisher))
        if not all(fisher[i][i].value > 0 for i in size):
            return float("inf")
        root = [mpmath.sqrt(fisher[i][i].value) for i in size]
        scaled = mpmath.matrix(
            [[fisher[i][j].value / (root[i] * root[j]) for j in size] for i in size]
        )
        values = mpmath.eigsy(scaled, eigvals_only=True)
        least, most = min(values), max(values)
        return float(most / least) if least > 0 else float("inf")


def natural_field(
    fisher: Sequence[Sequence[Measured]], field: Sequence[Measured]
) -> tuple[Measured, ...]:
    """F⁻¹ ∇L, the yardstick of each entry widened by the conditioning.

    >>> one, half = (Measured(mpmath.mpf(v), abs(mpmath.mpf(v)), mp.zero) for v in (1, 0.5))
    >>> x, y = natural_field([[one, half], [half, one]], [one, one])
    >>> round(float(x.value), 12), round(float(x.scale), 12)  # 2 (2 + (2 + 1 + 1 + 1) 2/3)
    (0.666666666667, 10.666666666667)
    """
    with mp.workdps(WORKING):
        size = range(len(field))
        matrix = mpmath.matrix([[cell.value for cell in row] for row in fisher])
        try:
            inverse = matrix**-1
        except ZeroDivisionError:
            text = problem("the Fisher information", "a singular matrix", "one with an inverse")
            raise CertificateError(text) from None
        found = [mp.fsum(inverse[i, j] * field[j].value for j in size) for i in size]
        root = [mpmath.sqrt(abs(fisher[i][i].value)) for i in size]

        def unit(m: Measured) -> mpmath.mpf:
            return abs(m.value) + m.scale + m.sensitivity

        blur = [
            unit(field[j])
            + mp.fsum((unit(fisher[j][k]) + root[j] * root[k]) * abs(found[k]) for k in size)
            for j in size
        ]
        own = [
            field[j].error + mp.fsum(fisher[j][k].error * abs(found[k]) for k in size) for j in size
        ]
        return tuple(
            Measured(
                found[i],
                mp.fsum(abs(inverse[i, j]) * blur[j] for j in size),
                mp.zero,
                mp.fsum(abs(inverse[i, j]) * own[j] for j in size),
                f"solved at {WORKING} digits, yardstick times the conditioning",
            )
            for i in size
        )
