"""Which way Q rises from a point, whatever its curvature there.

In: the gradient and the Hessian of Q at a point, and the coordinates that move. Out: an uphill
step, Newton's own where the Hessian is negative definite; and the direction of most rising
curvature, along which a saddle is left.
"""

from __future__ import annotations

from collections.abc import Sequence

import mpmath
from mpmath import mp

from relrep_sym.verify.em import Columns
from relrep_sym.verify.jets import Number

__all__ = ["rising", "uphill"]

CURVED = 40
"""Digits of the eigenvalues of an indefinite Hessian."""
BENT = mpmath.mpf("1e-20")
"""Of the largest: an eigenvalue below this is flat."""


def _positive(rows: Sequence[Sequence[Number]]) -> bool:
    """Whether all pivots are positive."""
    rest = [list(row) for row in rows]
    for a, row in enumerate(rest):
        if not row[a] > 0:
            return False
        for other in rest[a + 1 :]:
            factor = other[a] / row[a]
            for b in range(a, len(rest)):
                other[b] -= factor * row[b]
    return True


def uphill(
    gradient: Sequence[Number], hessian: Columns, free: Sequence[int]
) -> tuple[dict[int, Number], bool]:
    """−H⁻¹∇Q over some coordinates, and whether H is negative definite.

    Where it is not, each of its eigenvalues is taken with the sign that leads uphill.
    """
    rows = [[-(hessian[i, j] + hessian[j, i]) / 2 for j in free] for i in free]
    slope = [gradient[i] for i in free]
    if _positive(rows):
        step = mpmath.lu_solve(mpmath.matrix(rows), mpmath.matrix(slope))
        return dict(zip(free, step, strict=True)), True
    values, vectors, scale = _curvatures(rows)
    with mp.workdps(CURVED):
        least = mpmath.mpf(10) ** -30 * max(abs(v) for v in values) or mp.one  # Q is flat there
        parts = vectors.T * mpmath.matrix([g / s for g, s in zip(slope, scale, strict=True)])
        for a in range(len(free)):
            parts[a] /= max(abs(values[a]), least)
        turned = vectors * parts
        step = [v / s for v, s in zip(turned, scale, strict=True)]
    return dict(zip(free, step, strict=True)), False


def rising(hessian: Columns, free: Sequence[int]) -> dict[int, Number] | None:
    """The direction along which Q curves upward most, of unit length in the coordinates' widths;
    None where it curves upward along none.
    """
    rows = [[-(hessian[i, j] + hessian[j, i]) / 2 for j in free] for i in free]
    if not free or _positive(rows):
        return None
    values, vectors, scale = _curvatures(rows)
    a = min(range(len(free)), key=lambda n: values[n])
    if not values[a] < -BENT * max(abs(v) for v in values):
        return None
    return {i: vectors[b, a] / scale[b] for b, i in enumerate(free)}


def _curvatures(rows: Sequence[Sequence[Number]]) -> tuple[Number, Number, list[Number]]:
    """Eigenvalues and eigenvectors of a matrix scaled to a unit diagonal, and the scales."""
    scale = [mpmath.sqrt(abs(row[a])) or mp.one for a, row in enumerate(rows)]
    with mp.workdps(CURVED):
        scaled = [[v / s / t for t, v in zip(scale, row, strict=True)]
                  for s, row in zip(scale, rows, strict=True)]  # fmt: skip
        values, vectors = mpmath.eigsy(mpmath.matrix(scaled))
    return values, vectors, scale
