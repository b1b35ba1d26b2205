"""The maximiser of Q over coordinates in their domain, where no closed form gives it.

In: an :class:`~relrep_sym.runtime.objective.Objective` and a batch of starts. Out:
:class:`Maximum`: a point at which no coordinate can move inside its domain and raise Q, found by
Newton's method with the derived gradient and Hessian. A trial point is projected onto the domain
(Bertsekas 1982), a direction of wrong curvature is turned uphill, and Q never falls. What the climb
ended at is judged by :mod:`.stationary`: a saddle is left, and a search that finds no step where Q
still slopes has not converged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from relrep_sym.runtime.check import Array
from relrep_sym.runtime.ends import Ends
from relrep_sym.runtime.landing import landed, moving
from relrep_sym.runtime.objective import SHARPER, Objective, Slopes
from relrep_sym.runtime.sampled import Sampled
from relrep_sym.runtime.stationary import (
    ACCEPTED,
    ROUNDING,
    Optimality,
    aside,
    free_of,
    held_by,
    judged,
    near_no_end,
    optimality,
    scaled_curvature,
)

__all__ = ["Maximum", "maximise"]

_STEPS = 100
"""Steps of Newton's method after which it is given up, unconverged."""
_HALVINGS = 60
_TURNS = 20
"""Turns between the kinks and the other coordinates; where kinks rest on points, two are enough."""
_LOOK = 25
"""Steps after which a climb that goes on is judged: it may creep towards an inflection."""
_COARSEST = 1e-10
"""The largest share of Q that is taken for its rounding, after searches that found no step."""


class Maximum(NamedTuple):
    """Coordinates and constants (P + C, B), the gain in Q (B,), and who came to a maximum, (B,).

    ``end`` says how far each is from one.
    """

    rows: Array
    gain: Array
    converged: NDArray[np.bool_]
    end: Optimality


def maximise(
    objective: Objective,
    rows: Array,
    free: Sequence[int] | None = None,
    ceiling: int = _STEPS,
    *,
    smooth: bool = False,
) -> Maximum:
    """Maximise Q over the coordinates ``free`` (all, if None) from ``rows`` (P + C, B).

    The gain is counted from the objective's present point; Q at the result is no less than at
    ``rows``, but for rounding. Where Q has kinks, smooth objectives that tend to it are climbed one
    after the other, each from where the line through the last two results points; not where Q is
    ``smooth`` in the coordinates that are free.
    """
    stages = () if smooth else objective.stages()
    if not stages:
        return _ascended(objective, rows, free, ceiling)
    count = len(objective.chart.coordinates)
    ends = Ends.of(objective.chart)
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
    here = _sharpened(objective, here, free, ceiling)
    gain, base = objective.gain(here), objective.gain(rows)
    worse = ~(gain >= base)
    here, gain = np.where(worse, rows, here), np.where(worse, base, gain)
    end = optimality(objective, here, free)
    near_no_end(objective, rows, here, end)
    return Maximum(here, gain, end.accepted & np.isfinite(gain), end)


def _sharpened(
    objective: Objective, rows: Array, free: Sequence[int] | None, ceiling: int
) -> Array:
    """The kinks put onto the points of the sample that they came near, and the other coordinates
    climbed, by turns, where Q does not fall.
    """
    if not isinstance(objective, Sampled):
        return rows
    every = range(len(objective.chart.coordinates)) if free is None else free
    movers = [j for j in every if moving(objective, rows, (j,))]
    others = [j for j in every if j not in movers]
    here = rows
    for _ in range(_TURNS if movers else 0):
        before = here
        for j in movers:
            put, found = landed(objective, here, j)
            found &= objective.moved(here).gain(put) >= -ROUNDING
            here = np.where(found, put, here)
        if others:
            here = _ascended(objective.exact().moved(here), here, others, ceiling).rows
        if np.allclose(here, before, rtol=ROUNDING, atol=0.0, equal_nan=True):
            break
    return here


def _ascended(
    objective: Objective, rows: Array, free: Sequence[int] | None, ceiling: int
) -> Maximum:
    """The same for an objective without kinks."""
    count = len(objective.chart.coordinates)
    moving, ends = free_of(count, free), Ends.of(objective.chart)
    here = rows.copy()
    value = objective.gain(here)
    batch = value.size
    done = ~np.isfinite(value)
    best, last = value.copy(), np.full(batch, np.inf)
    grain = np.full(batch, 8.0 * ROUNDING)
    end = Optimality.unknown(count, batch)
    for turn in range(1, ceiling + 1):
        todo = np.flatnonzero(~done)
        if not todo.size:
            break
        part = objective if todo.size == batch else objective.take(todo)
        now, height = here[:, todo], value[todo]
        slopes, hessian = part.expansion(now)
        open_ = moving & ~held_by(ends, now[:count], slopes)
        direction = _newton(slopes.gradient, hessian, open_)
        # at a bound, a direction out of the domain would only be cut off
        stuck = ends.at(now[:count]) & (ends.clipped(now[:count], direction) == now[:count])
        if stuck.any():
            open_ &= ~stuck
            direction = _newton(slopes.gradient, hessian, open_)
        promise = np.where(open_, slopes.gradient * direction, 0.0).sum(axis=0)
        flat = (np.abs(slopes.gradient) <= ROUNDING * slopes.size) | ~open_
        noise = grain[todo] * (1.0 + np.abs(height))
        fine = promise <= noise
        same = (promise >= 0.5 * last[todo]) & (promise <= 2.0 * last[todo])
        over = flat.all(axis=0) | (fine & same)
        last[todo] = np.where(fine, promise, np.inf)
        reached, gained = _searched(part, ends, now, height, direction, slopes, noise, fine, over)
        stalled = ~over & (reached == now).all(axis=0)
        which = np.flatnonzero(over | stalled | (turn % _LOOK == 0))
        if which.size:
            at = (ends, now[:, which], slopes.take(which), hessian[which], moving)
            own = judged(*at)
            end.put(todo[which], own)
            rest = own.residual <= ACCEPTED
            rough = ~rest & stalled[which] & (grain[todo[which]] < _COARSEST)
            grain[todo[which[rough]]] *= 32.0  # Q tells less than was thought: its slopes tell
            done[todo[which]] = rest | ((over | stalled)[which] & ~rough)
            still = which[rest]
            reached[:, still], gained[still] = now[:, still], height[still]
            for i, (row, new) in aside(part.take(which), *at, rest).items():
                j = which[i]  # a saddle, or an inflection: on from a higher point beside it
                reached[:, j], gained[j] = row, new
                last[todo[j]], done[todo[j]] = np.inf, False
        here[:, todo], value[todo] = reached, gained
    # steps too small for Q to tell are kept: the gradient tells them, where Q falls by rounding
    worse = value < best - grain * (1.0 + np.abs(best))
    here[:, worse], value[worse] = rows[:, worse], best[worse]
    left = np.flatnonzero(worse | ~done)
    if left.size:
        end.put(left, optimality(objective.take(left), here[:, left], free))
    near_no_end(objective, rows, here, end)
    return Maximum(here, value, end.accepted & np.isfinite(value), end)


def _newton(gradient: Array, hessian: Array, open_: NDArray[np.bool_]) -> Array:
    """The Newton step of the coordinates that are open, (P, B), uphill whatever the curvature."""
    mask = open_.T
    scaled, scale = scaled_curvature(hessian, open_)
    values, vectors = np.linalg.eigh(scaled)
    values = np.maximum(np.abs(values), 1e-10 * np.abs(values).max(axis=1, keepdims=True))
    values = np.where(values > 0.0, values, 1.0)  # no curvature at all: along the slope
    along = np.einsum("bpq,bp->bq", vectors, np.where(mask, gradient.T * scale, 0.0)) / values
    out: Array = np.where(mask, np.einsum("bpq,bq->bp", vectors, along) * scale, 0.0).T
    return out


def _searched(
    objective: Objective,
    ends: Ends,
    rows: Array,
    value: Array,
    direction: Array,
    slopes: Slopes,
    noise: Array,
    fine: NDArray[np.bool_],
    over: NDArray[np.bool_],
) -> tuple[Array, Array]:
    """The first of ever shorter steps that raises Q enough; where ``fine``, Q cannot tell.

    ``noise`` is what Q cannot tell.
    """
    count = len(direction)
    out, found = rows.copy(), value.copy()
    left = np.flatnonzero(~over)
    length = 1.0
    for _ in range(_HALVINGS):
        if not left.size:
            break
        part = objective if left.size == value.size else objective.take(left)
        trial = rows[:, left].copy()
        trial[:count] = ends.clipped(trial[:count], length * direction[:, left])
        gained = part.gain(trial)
        promised = (slopes.gradient[:, left] * (trial[:count] - rows[:count, left])).sum(axis=0)
        enough = gained >= value[left] + 1e-4 * promised
        enough |= fine[left] & (gained >= value[left] - noise[left])
        enough &= np.isfinite(gained)
        taken = left[enough]
        out[:, taken], found[taken] = trial[:, enough], gained[enough]
        left = left[~enough]
        length *= 0.5
    return out, found
