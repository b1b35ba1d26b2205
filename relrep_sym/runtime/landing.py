"""The maximiser of Q along one coordinate where log f has a kink: on a point of the sample.

In: an objective over a sample, rows, a coordinate. Out: rows in which the coordinate has the value
that puts a component's kink on a point x_n, the one at which the slope of Q along it changes its
sign, found by bisection among all such values. Where log f is straight beside its kink, Q is
concave along the coordinate, and this is a weighted median, or another quantile, to the last digit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from relrep_sym.runtime.check import Array
from relrep_sym.runtime.kinks import kink_places
from relrep_sym.runtime.point import Form
from relrep_sym.runtime.reach import reach
from relrep_sym.runtime.sampled import Sampled
from relrep_sym.runtime.stationary import ROUNDING

__all__ = ["landed", "moving"]

_STRAIGHT = 1e-13
"""How far a kink's place may be from linear in the coordinate, relative to its size."""


def landed(objective: Sampled, rows: Array, j: int) -> tuple[Array, NDArray[np.bool_]]:
    """Rows (P + C, B) with coordinate j on a kink, and in which members there is such a maximum.

    The places must be linear in the coordinate; elsewhere, and where the slope changes its sign
    between two kinks or nowhere, the rows stay as they were.
    """
    objective = objective.exact()  # more points than one may be near
    out, batch = rows.copy(), rows.shape[1]
    found = np.zeros(batch, bool)
    values, moves = _values(objective, rows, j)
    counts = np.isfinite(values).sum(axis=1)
    low, high = np.full(batch, -1), counts.copy()
    trial, every = rows.copy(), np.arange(batch)
    moves &= counts > 0
    while (open_ := moves & ~found & (high - low > 1)).any():
        middle = np.clip((low + high) // 2, 0, np.maximum(counts - 1, 0))
        trial[j] = np.where(open_, values[every, middle], rows[j])
        sign = _sign(objective, trial, j)
        low = np.where(open_ & (sign > 0), middle, low)
        high = np.where(open_ & (sign < 0), middle, high)
        here = open_ & (sign == 0)
        found |= here
        low, high = np.where(here, middle, low), np.where(here, middle, high)
    if not found.any():
        return out, found
    best = values[every, np.clip(low, 0, values.shape[1] - 1)]
    out[j] = np.where(found, _centred(objective, rows, j, values, best, found), rows[j])
    return out, found


def moving(objective: Sampled, rows: Array, which: Sequence[int]) -> bool:
    """Whether a kink moves with any of these coordinates."""
    slopes = objective.jacobian(rows)
    return any(np.any(_speeds(objective.form, slopes[j]) != 0.0) for j in which)


def _centred(
    objective: Sampled, rows: Array, j: int, values: Array, best: Array, found: NDArray[np.bool_]
) -> Array:
    """The middle of the interval between two kinks where Q is level between them."""
    ends = []
    for side in (-1, 1):
        beyond = np.where(side * (values - best[:, None]) > 0.0, values, side * np.inf)
        end = (side * beyond).min(axis=1) * side
        trial = rows.copy()
        there = found & np.isfinite(end)
        trial[j] = np.where(there, end, best)
        ends.append(np.where(there & (_sign(objective, trial, j) == 0), end, best))
    return np.where(ends[0] == ends[1], best, ends[0] + 0.5 * (ends[1] - ends[0]))


def _sign(objective: Sampled, rows: Array, j: int) -> Array:
    """The sign of ∂Q/∂λ_j; zero where a kink, or the lower end, lets the slope be zero."""
    slopes = objective.slopes(rows)
    slope, size = slopes.gradient[j], slopes.size[j]
    ended = (rows[j] == objective.chart.lower[j]) & (slope < 0.0)
    out: Array = np.where((np.abs(slope) > ROUNDING * size) & ~ended, np.sign(slope), 0.0)
    return out


def _values(objective: Sampled, rows: Array, j: int) -> tuple[Array, NDArray[np.bool_]]:
    """The values of a coordinate at which a kink stands on a point, and its lower end, ascending,
    NaN last, (B, K n + 1); and in which members kinks move with it, all in proportion to it.
    """
    chart, form = objective.chart, objective.form
    count, batch = len(chart.coordinates), rows.shape[1]
    _, parameters, _ = chart.components(rows)
    assert form.jumps is not None
    bent = any(np.any(jump != 0.0) for jump in form.jumps(*parameters))
    x = objective.claims.x
    if not bent:
        return np.full((batch, 1), np.nan), np.zeros(batch, bool)
    along = np.zeros((count, batch))
    along[j] = 1.0
    length = reach(chart, form, rows, along)
    speeds = _speeds(form, objective.jacobian(rows)[j])
    places = kink_places(form, parameters)
    straight = np.ones(batch, bool)
    for step in (0.5 * length, length):
        moved = rows.copy()
        moved[j] += step
        there = kink_places(form, chart.components(moved)[1])
        size = np.abs(there) + np.abs(places) + np.abs(speeds * step)
        straight &= (np.abs(there - places - speeds * step) <= _STRAIGHT * size).all(axis=0)
    straight &= (speeds != 0.0).any(axis=0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        start = places - speeds * rows[j]
        points = np.broadcast_to(x, (batch, x.shape[-1]))
        values = (points[None] - start[..., None]) / speeds[..., None]
    values = np.concatenate([*values, np.full((batch, 1), chart.lower[j])], axis=1)
    inside = np.isfinite(values) & (values >= chart.lower[j]) & (values <= chart.upper[j])
    if chart.open_lower[j]:
        inside &= values > chart.lower[j]
    return np.sort(np.where(inside, values, np.nan), axis=1), straight


def _speeds(form: Form, slopes: Array) -> Array:
    """∂m_k/∂λ_j of the kinks' places, (K, B), from ∂(π, φ)/∂λ_j, (B, K + K · roles)."""
    k, roles = form.components, len(form.names)
    by_role = slopes.reshape(-1, 1 + roles, k)[:, 1:]
    still = tuple(np.zeros((1, 1)) for _ in range(roles))
    out = np.zeros((k, len(slopes)))
    for i in range(roles):
        unit = tuple(np.ones((1, 1)) if a == i else s for a, s in enumerate(still))
        rate = kink_places(form, unit) - kink_places(form, still)  # linear in the parameters
        out += rate * by_role[:, i].T
    return out
