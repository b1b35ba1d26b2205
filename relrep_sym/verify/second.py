"""Second derivatives of the mean log-likelihood, by differences of exact scores.

In: the oracle's located mixture, a weighted sample. Out: the Hessian, each entry a
:class:`Measured`. Scores carry ninety digits, of which a central difference with steps of 1e-20
leaves thirty even where the family's own functions are good to fifty only.
"""

from __future__ import annotations

from collections.abc import Sequence

import mpmath
from mpmath import mp

from relrep_sym.errors import CertificateError, problem
from relrep_sym.verify.jets import Located, Memo, Number
from relrep_sym.verify.quadrature import Budget
from relrep_sym.verify.yardstick import Measured

__all__ = ["hessian"]

STEP = mpmath.mpf("1e-20")

RESOLVED = mpmath.mpf("1e-22")
"""Below this part of E|score| over the step's unit an entry has no sixteen digits here: a central
difference is wrong by 1e-40 of it. It joins the yardstick like a summand of that size."""

Rows = list[list[Number]]


def hessian(
    place: Located, xs: Sequence[Number], weights: Sequence[Number], budget: Budget
) -> tuple[tuple[Measured, ...], ...]:
    """Σ_n w_n ∂² log p(x_n)/∂λ_i ∂λ_j; CertificateError where a point lies on a kink."""
    kinks = place.density.kinks
    on = {x for x in xs for phi in place.phis if kinks is not None and x in kinks(*phi)}
    if on:
        given = ", ".join(f"x = {mpmath.nstr(x, 8)}" for x in sorted(on)[:4])
        right = "points off the kinks of every component"
        raise CertificateError(problem("no second derivative on a kink", given, right))
    size = len(place.coords)
    memo: Memo = {}
    steps = [STEP * min(abs(c) or mp.one, mp.one) for c in place.coords]

    def scores(*moves: tuple[int, int]) -> Rows:
        """One score for each x, with λ_j moved by that many of its steps."""
        budget.check()
        coords = list(place.coords)
        for j, count in moves:
            coords[j] += count * steps[j]
        moved = Located(place.density, place.chart, coords)
        return [score for _, score in moved.jets(xs, memo)]

    def mean(rows: Rows) -> list[Number]:
        return [mp.fdot(weights, column) for column in zip(*rows, strict=True)]

    backward = [scores((j, -1)) for j in range(size)]
    values, scales = [], []
    for j in range(size):
        pairs = zip(scores((j, 1)), backward[j], strict=True)
        rows = [[(u - d) / (2 * steps[j]) for u, d in zip(*p, strict=True)] for p in pairs]
        values.append(mean(rows))
        scales.append(mean([[abs(v) for v in row] for row in rows]))

    here = scores()
    base, single = mean(here), [mean(rows) for rows in backward]
    sizes = mean([[abs(v) for v in row] for row in here])
    floors = [[RESOLVED * sizes[i] * STEP / steps[j] for i in range(size)] for j in range(size)]
    sensitivities = [[mp.zero] * size for _ in range(size)]
    for j in range(size):
        for k in range(j + 1):
            double = mean(scores((j, -1), (k, -1)))
            parts = zip(double, single[j], single[k], base, strict=True)
            third = [(d - a - b + c) / (steps[j] * steps[k]) for d, a, b, c in parts]
            # ∂_k of row j, and by symmetry ∂_j of row k
            for i, t in enumerate(third):
                sensitivities[j][i] += abs(place.coords[k] * t)
                if j != k:
                    sensitivities[k][i] += abs(place.coords[j] * t)
    order = range(size)
    method = "central differences of scores at 90 digits"
    return tuple(
        tuple(
            Measured(
                values[i][j],
                scales[i][j] + max(floors[i][j], floors[j][i]),
                sensitivities[i][j],
                mp.zero,
                method,
            )
            for j in order
        )
        for i in order
    )
