"""The maximiser of Q over coordinates in their domain, where no closed form gives it.

In: an :class:`~relrep_sym.runtime.objective.Objective` and a batch of starts. Out:
:class:`Maximum`: a point at which no coordinate can move inside its domain and raise Q, found by
Newton's method with the derived gradient and Hessian. A trial point is projected onto the domain
(Bertsekas 1982), a direction of wrong curvature is turned uphill, and Q never falls.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from relrep_sym.runtime.check import Array
from relrep_sym.runtime.objective import SHARPER, Objective, Slopes

__all__ = ["Maximum", "Optimality", "maximise", "optimality"]

_STEPS = 200
"""Steps of Newton's method after which it is given up: what was reached then is returned."""
_HALVINGS = 60
_ROUNDING = 4.0 * np.finfo(float).eps


class Maximum(NamedTuple):
    """Coordinates and constants (P + C, B), the gain in Q (B,), and who came to an end, (B,)."""

    rows: Array
    gain: Array
    converged: NDArray[np.bool_]


class Optimality(NamedTuple):
    """Multipliers of the bounds (P, B), zero where inactive, and the KKT residual (B,)."""

    multipliers: Array
    residual: Array


def maximise(
    objective: Objective, rows: Array, free: Sequence[int] | None = None, ceiling: int = _STEPS
) -> Maximum:
    """Maximise Q over the coordinates ``free`` (all, if None) from ``rows`` (P + C, B).

    The gain is counted from the objective's present point; Q at the result is no less than at
    ``rows``, but for rounding. Where Q has kinks, smooth objectives that tend to it are climbed one
    after the other, each from where the line through the last two results points.
    """
    stages = objective.stages()
    if not stages:
        return _ascended(objective, rows, free, ceiling)
    count = len(objective.chart.coordinates)
    c = objective.chart
    ends = _Ends.of(c.lower[:count], c.upper[:count], c.open_lower[:count])
    here, before = rows, None
    for stage in stages:
        start = here
        if before is not None:
            guess = here.copy()
            move = SHARPER * (here - before)[:count]
            guess[:count] = ends.clipped(here[:count], move)
            start = np.where(stage.gain(guess) > stage.gain(here), guess, here)
        best = _ascended(stage, start, free, ceiling)
        before, here = here, best.rows
    gain, base = objective.gain(here), objective.gain(rows)
    worse = ~(gain >= base)
    return Maximum(
        np.where(worse, rows, here), np.where(worse, base, gain), best.converged & np.isfinite(gain)
    )


def _ascended(
    objective: Objective, rows: Array, free: Sequence[int] | None, ceiling: int
) -> Maximum:
    """The same for an objective without kinks."""
    chart = objective.chart
    count = len(chart.coordinates)
    moving = np.zeros(count, bool)
    moving[list(range(count)) if free is None else list(free)] = True
    ends = _Ends.of(chart.lower[:count], chart.upper[:count], chart.open_lower[:count])
    here = rows.copy()
    value = objective.gain(here)
    done = ~np.isfinite(value)
    best, last = value.copy(), np.full(value.shape, np.inf)
    for _ in range(ceiling):
        todo = np.flatnonzero(~done)
        if not todo.size:
            break
        part = objective if todo.size == value.size else objective.take(todo)
        now = here[:, todo]
        slopes, hessian = part.expansion(now)
        open_ = moving[:, None] & ~ends.active(now[:count], slopes)
        direction = _newton(slopes.gradient, hessian, open_)
        # at a bound, a direction out of the domain would only be cut off
        stuck = ends.at(now[:count]) & (ends.clipped(now[:count], direction) == now[:count])
        if stuck.any():
            open_ &= ~stuck
            direction = _newton(slopes.gradient, hessian, open_)
        promise = np.where(open_, slopes.gradient * direction, 0.0).sum(axis=0)
        flat = (np.abs(slopes.gradient) <= _ROUNDING * slopes.size) | ~open_
        fine = promise <= 8.0 * _ROUNDING * (1.0 + np.abs(value[todo]))
        over = flat.all(axis=0) | (fine & (promise >= 0.25 * last[todo]))
        last[todo] = np.where(fine, promise, np.inf)
        reached, gained = _searched(part, ends, now, value[todo], direction, slopes, fine, over)
        moved = (reached != now).any(axis=0)
        here[:, todo], value[todo] = reached, gained
        done[todo] = over | ~moved
    # steps too small for Q to tell are kept: the gradient tells them, where Q falls by rounding
    worse = value < best - 8.0 * _ROUNDING * (1.0 + np.abs(best))
    here[:, worse], value[worse] = rows[:, worse], best[worse]
    return Maximum(here, value, done)


def optimality(objective: Objective, rows: Array, free: Sequence[int] | None = None) -> Optimality:
    """How far a point is from Karush, Kuhn and Tucker's conditions over some coordinates."""
    chart = objective.chart
    count = len(chart.coordinates)
    moving = np.zeros((count, 1), bool)
    moving[list(range(count)) if free is None else list(free)] = True
    ends = _Ends.of(chart.lower[:count], chart.upper[:count], chart.open_lower[:count])
    slopes, hessian = objective.expansion(rows)
    held = ends.active(rows[:count], slopes) & moving
    size = np.maximum(slopes.size, np.sqrt(np.abs(np.einsum("bpp->pb", hessian))))
    size = np.where(size > 0.0, size, 1.0)
    off = np.where(held | ~moving, 0.0, np.abs(slopes.gradient) / size)
    force = np.abs(slopes.gradient)
    pushed = held & (force > _ROUNDING * size)  # what rounding leaves is no multiplier
    return Optimality(np.where(pushed, force, 0.0), off.max(axis=0))


class _Ends(NamedTuple):
    """The ends of the coordinates' domains, (P, 1) each."""

    lower: Array
    upper: Array
    strict: NDArray[np.bool_]

    @staticmethod
    def of(lower: Sequence[float], upper: Sequence[float], strict: Sequence[bool]) -> _Ends:
        return _Ends(
            np.array(lower)[:, None], np.array(upper)[:, None], np.array(strict, bool)[:, None]
        )

    def at(self, rows: Array) -> NDArray[np.bool_]:
        """Which coordinates are at an end."""
        out: NDArray[np.bool_] = (rows <= self.lower) | (rows >= self.upper)
        return out

    def active(self, rows: Array, slopes: Slopes) -> NDArray[np.bool_]:
        """Which are at an end that Q pushes them against; at a flat one they stay too."""
        rising = slopes.gradient > _ROUNDING * slopes.size
        falling = slopes.gradient < -_ROUNDING * slopes.size
        out: NDArray[np.bool_] = ((rows <= self.lower) & ~rising) | (
            (rows >= self.upper) & ~falling
        )
        return out

    def clipped(self, rows: Array, move: Array) -> Array:
        """Rows after a move, projected onto the domain; into an open end nine tenths of the way."""
        with np.errstate(invalid="ignore"):  # no finite end is open but the lower one
            inner = np.where(self.strict, self.lower + 0.1 * (rows - self.lower), self.lower)
        out: Array = np.clip(rows + move, inner, self.upper)
        return out


def _newton(gradient: Array, hessian: Array, open_: NDArray[np.bool_]) -> Array:
    """The Newton step of the coordinates that are open, (P, B), uphill whatever the curvature."""
    mask = open_.T
    diagonal = np.abs(np.einsum("bpp->bp", hessian))
    scale = np.where(
        mask & (diagonal > 0.0), 1.0 / np.sqrt(np.where(diagonal > 0.0, diagonal, 1)), 1
    )
    inside = mask[:, :, None] & mask[:, None, :]
    scaled = np.where(inside, -hessian * scale[:, :, None] * scale[:, None, :], 0.0)
    scaled += np.eye(scaled.shape[1]) * ~mask[:, :, None]
    scaled[~np.isfinite(scaled)] = 0.0
    values, vectors = np.linalg.eigh(scaled)
    values = np.maximum(np.abs(values), 1e-10 * np.abs(values).max(axis=1, keepdims=True))
    along = np.einsum("bpq,bp->bq", vectors, np.where(mask, gradient.T * scale, 0.0)) / values
    out: Array = np.where(mask, np.einsum("bpq,bq->bp", vectors, along) * scale, 0.0).T
    return out


def _searched(
    objective: Objective,
    ends: _Ends,
    rows: Array,
    value: Array,
    direction: Array,
    slopes: Slopes,
    fine: NDArray[np.bool_],
    over: NDArray[np.bool_],
) -> tuple[Array, Array]:
    """The first of ever shorter steps that raises Q enough; where ``fine``, Q cannot tell."""
    count = len(direction)
    out, found = rows.copy(), value.copy()
    left = np.flatnonzero(~over)
    length = 1.0
    slack = 8.0 * _ROUNDING * (1.0 + np.abs(value))
    for _ in range(_HALVINGS):
        if not left.size:
            break
        part = objective if left.size == value.size else objective.take(left)
        trial = rows[:, left].copy()
        trial[:count] = ends.clipped(trial[:count], length * direction[:, left])
        gained = part.gain(trial)
        promised = (slopes.gradient[:, left] * (trial[:count] - rows[:count, left])).sum(axis=0)
        enough = gained >= value[left] + 1e-4 * promised
        enough |= fine[left] & (gained >= value[left] - slack[left])
        enough &= np.isfinite(gained)
        taken = left[enough]
        out[:, taken], found[taken] = trial[:, enough], gained[enough]
        left = left[~enough]
        length *= 0.5
    return out, found
