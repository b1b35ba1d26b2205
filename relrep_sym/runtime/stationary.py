"""What the end of a climb of Q is: a maximum, a saddle, a point on the way to no maximum, or none.

In: an objective, coordinates at which a climb ended, the slopes and the Hessian there. Out:
:class:`Optimality`, by which an end is judged; a higher point beside it, where the curvature shows
that it is a saddle or an inflection; and the error that says what was not reached.

A point is accepted where Karush, Kuhn and Tucker's conditions hold to :data:`ACCEPTED`. That is
not enough where Q rises towards an end that no coordinate reaches (an open end, infinity): there
the gain that is left falls below rounding somewhere on the way. At a maximum the terms of ∂Q/∂λ_j
cancel; on such a way they do not, and Newton's step stays a fixed share of the way to the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from relrep_sym.errors import DomainError, problem
from relrep_sym.runtime.chart import Chart
from relrep_sym.runtime.check import Array
from relrep_sym.runtime.ends import Ends
from relrep_sym.runtime.objective import Objective, Slopes

__all__ = [
    "ACCEPTED",
    "ROUNDING",
    "Optimality",
    "around",
    "aside",
    "free_of",
    "judged",
    "near_no_end",
    "optimality",
    "unended",
]

ACCEPTED = 1e-8
"""The scaled residual of Karush, Kuhn and Tucker's conditions above which a point is no maximum."""

ROUNDING = 4.0 * np.finfo(float).eps

_SLOPED = 1e-6
"""The share of the sum of its absolute terms above which a slope is none of rounding."""
_LONG = 1e-3
"""The share of the way to an end that a Newton step goes at least where it tends there."""
_SETTLED = 1e-4
"""The residual above which a climb is not near enough to its end to say where it tends."""
_SHRUNK = 1e-6
"""The share of the way to an open end that is left at most where a coordinate has come near it."""
_FLAT = 1e-11
"""The share of its curvature in the logarithm of that way that is left at most, where Q is flat."""
_LEVEL = 1e-7
"""The curvature in the logarithm of the way to infinity below which Q is flat, its mass one."""
_BENT = 1e-8
"""A scaled curvature that is no maximum's, relative to the largest: flat, or rising."""
_FOLDED = 1e-3
"""The sum of a slope's absolute terms, in √|∂²Q/∂λ_j²|, below which the map to θ has no slope."""
_LENGTHS = 0.25 ** np.arange(32.0)
"""Trials beside a point, in widths of the curvature."""
_MIXED = 0.1
"""The part of a direction above which a coordinate is tried alone too."""
_WAYS = 4
"""Directions that are tried beside a point, the most rising first."""


class Optimality(NamedTuple):
    """How far points are from a maximum over some coordinates.

    Attributes:
        multipliers: |∂Q/∂λ_j| where a bound holds the coordinate, (P, B), zero elsewhere.
        residual: the largest scaled slope of a coordinate that is free, (B,).
        worst: which coordinate that is, (B,).
        drift: the coordinate along which Q rises towards an end that is not attained, (B,); −1
            where there is none.
    """

    multipliers: Array
    residual: Array
    worst: NDArray[np.intp]
    drift: NDArray[np.intp]

    @staticmethod
    def unknown(count: int, batch: int) -> Optimality:
        """Of points that were not looked at."""
        none = np.full(batch, -1, np.intp)
        return Optimality(np.zeros((count, batch)), np.full(batch, np.inf), none + 1, none)

    def take(self, members: NDArray[np.intp]) -> Optimality:
        """Those of some members."""
        multipliers, residual, worst, drift = self
        return Optimality(
            multipliers[:, members], residual[members], worst[members], drift[members]
        )

    def put(self, members: NDArray[np.intp], own: Optimality) -> None:
        """Give some members what is known of them."""
        for part, values in zip(self, own, strict=True):
            part[..., members] = values

    @property
    def accepted(self) -> NDArray[np.bool_]:
        """Whether the conditions hold, and no end that is not attained is the reason, (B,)."""
        out: NDArray[np.bool_] = (self.residual <= ACCEPTED) & (self.drift < 0)
        return out


def free_of(count: int, free: Sequence[int] | None) -> NDArray[np.bool_]:
    """Which coordinates a search moves, (P, 1): all, if None."""
    moving = np.zeros((count, 1), bool)
    moving[list(range(count)) if free is None else list(free)] = True
    return moving


def optimality(objective: Objective, rows: Array, free: Sequence[int] | None = None) -> Optimality:
    """How far points (P + C, B) are from a maximum of Q over the coordinates ``free``."""
    chart = objective.chart
    moving = free_of(len(chart.coordinates), free)
    return judged(Ends.of(chart), rows, *objective.expansion(rows), moving)


def judged(
    ends: Ends, rows: Array, slopes: Slopes, hessian: Array, moving: NDArray[np.bool_]
) -> Optimality:
    """The same from slopes and Hessian (B, P, P) that are known."""
    here, gradient = rows[: len(moving)], slopes.gradient
    held = held_by(ends, here, slopes) & moving
    bend = np.abs(np.einsum("bpp->pb", hessian))
    with np.errstate(invalid="ignore"):
        size = np.maximum(slopes.size, np.sqrt(bend))
        size = np.where(size > 0.0, size, 1.0)
        off = np.where(held | ~moving, 0.0, np.abs(gradient) / size)
    off = np.where(np.isnan(off), np.inf, off)
    force = np.abs(gradient)
    pushed = held & (force > ROUNDING * size)  # what rounding leaves is no multiplier
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        far = np.where(gradient < 0.0, here - ends.lower, here - np.maximum(ends.lower, 0.0))
        below = (gradient < 0.0) & np.where(np.isfinite(ends.lower), ends.strict, here < 0.0)
        far = np.where(below & ~np.isfinite(ends.lower), -here, far)
        above = (gradient > 0.0) & ~np.isfinite(ends.upper) & (far > 0.0)
        tends = (below | above) & moving & ~held & (force > _SLOPED * slopes.size)
        share = np.where(tends, force / (bend * far), 0.0)  # of the way, that Newton's step goes
    share = np.where(np.isnan(share), np.inf, share)
    residual = off.max(axis=0)
    near = (share > _LONG).any(axis=0) & (residual <= _SETTLED)
    drift = np.where(near, share.argmax(axis=0), -1)
    return Optimality(np.where(pushed, force, 0.0), residual, off.argmax(axis=0), drift)


def near_no_end(objective: Objective, start: Array, rows: Array, end: Optimality) -> None:
    """Write into ``end`` which members came so near an end that is not attained that Q is flat.

    An end is open where a domain says so, at infinity, and at zero where Q has no slope there. The
    way that is left, or that was gone, is compared with that at the ``start``, and so is ∂²Q by its
    logarithm: a scale that is as small as its data has the curvature that it had.
    """
    ends = Ends.of(objective.chart)
    count = len(ends.lower)
    finite = np.isfinite(ends.lower)
    zero = np.where(finite, ends.lower, 0.0)
    before, after = np.abs(start[:count] - zero), np.abs(rows[:count] - zero)
    close = (after < _SHRUNK * before) & (ends.strict | ~finite) & (after > 0.0)
    far = (after > before / _SHRUNK) & (before > 0.0) & np.isinf(ends.upper)
    for b in np.flatnonzero((close | far).any(axis=0)):
        part = objective.take(np.array([b]))
        was, now = (
            np.abs(np.einsum("bpp->pb", part.hessian(at[:, [b]]))[:, 0]) * way[:, b] ** 2
            for at, way in ((start, before), (rows, after))
        )
        flat = ~(now > np.where(far[:, b], _LEVEL, _FLAT * was))
        for j in np.flatnonzero((close | far)[:, b] & flat):
            there = rows[:, [b]]
            there[j] = zero[j]
            if far[j, b] or ends.strict[j, 0] or not _has_slopes(part, there):
                end.drift[b] = j


def _has_slopes(objective: Objective, rows: Array) -> bool:
    """Whether Q is finite at a point, and its slopes are."""
    try:
        with np.errstate(all="ignore"):
            finite = np.isfinite(objective.slopes(rows).gradient).all()
    except DomainError:
        return False
    return bool(finite and np.isfinite(objective.gain(rows)).all())


def held_by(ends: Ends, rows: Array, slopes: Slopes) -> NDArray[np.bool_]:
    """Which coordinates are at an end that Q pushes them against; at a flat one they stay too."""
    rising = slopes.gradient > ROUNDING * slopes.size
    falling = slopes.gradient < -ROUNDING * slopes.size
    out: NDArray[np.bool_] = ((rows <= ends.lower) & ~rising) | ((rows >= ends.upper) & ~falling)
    return out


def scaled_curvature(
    hessian: Array, open_: NDArray[np.bool_], units: Array | None = None
) -> tuple[Array, Array]:
    """−H of the coordinates that are open (P, B), at a unit diagonal, (B, P, P), and its units.

    ``units`` (B, P, P) is the matrix whose diagonal they are of, if it is not H.
    """
    mask = open_.T
    diagonal = np.abs(np.einsum("bpp->bp", hessian if units is None else units))
    good = mask & (diagonal > 0.0) & np.isfinite(diagonal)
    scale = np.where(good, 1.0 / np.sqrt(np.where(good, diagonal, 1.0)), 1.0)
    inside = mask[:, :, None] & mask[:, None, :]
    with np.errstate(invalid="ignore", over="ignore"):
        scaled = np.where(inside, -hessian * scale[:, :, None] * scale[:, None, :], 0.0)
    scaled += np.eye(scaled.shape[1]) * ~mask[:, :, None]
    scaled[~np.isfinite(scaled)] = 0.0
    return scaled, scale


def around(
    ends: Ends,
    rows: Array,
    slopes: Slopes,
    hessian: Array,
    moving: NDArray[np.bool_],
    asked: NDArray[np.bool_],
    units: Array | None = None,
    bending: NDArray[np.bool_] | None = None,
) -> dict[int, Array]:
    """Points (P + C, n) around those of ``rows`` (P + C, B) that are ``asked``, by member.

    Where the function is stationary and its curvature along a direction is not that of a maximum
    (a saddle, an inflection, a flat direction), points to both its sides; so along a coordinate
    from which the map to θ has next to no slope there. A coordinate that rests flat on a bound may
    leave it. Around any other maximum there are none. ``units`` is the matrix whose diagonal gives
    the coordinates' widths, if not the Hessian; ``bending`` names more coordinates to try, (P, B).
    """
    count = len(moving)
    flat = np.abs(slopes.gradient) <= ROUNDING * slopes.size
    open_ = moving & (flat | ~held_by(ends, rows[:count], slopes))
    scaled, scale = scaled_curvature(hessian, open_, units)
    values, vectors = np.linalg.eigh(scaled)
    bent = values <= _BENT * np.abs(values).max(axis=1, keepdims=True)
    bent[:, _WAYS:] = False
    folded = np.abs(slopes.gradient) > _SLOPED * slopes.size
    folded |= slopes.size < _FOLDED * np.sqrt(np.abs(np.einsum("bpp->pb", hessian)))
    if bending is not None:
        folded |= bending
    folded &= open_
    lengths = np.concatenate([_LENGTHS, -_LENGTHS])
    out: dict[int, Array] = {}
    for b in np.flatnonzero(asked & (bent.any(axis=1) | folded.any(axis=0))).tolist():
        along = vectors[b][:, bent[b]]  # flat directions come mixed: their coordinates alone too
        alone = open_[:, b] & (folded[:, b] | (np.abs(along) > _MIXED).any(axis=1))
        ways = np.concatenate([along, np.eye(count)[:, alone]], axis=1)
        ways = np.where(open_[:, [b]], ways * scale[b][:, None], 0.0)
        moves = (ways[:, :, None] * lengths).reshape(count, -1)
        out[b] = np.repeat(rows[:, [b]], moves.shape[1], axis=1)
        out[b][:count] = ends.clipped(out[b][:count], moves)
    return out


def aside(
    objective: Objective,
    ends: Ends,
    rows: Array,
    slopes: Slopes,
    hessian: Array,
    moving: NDArray[np.bool_],
    asked: NDArray[np.bool_],
) -> dict[int, tuple[Array, float]]:
    """The highest of the points around those that are ``asked``, and Q there, where it is higher,
    by member.
    """
    out: dict[int, tuple[Array, float]] = {}
    for b, trial in around(ends, rows, slopes, hessian, moving, asked).items():
        same = np.full(1 + trial.shape[1], b)  # the point itself is the first
        gains = objective.take(same).gain(np.concatenate([rows[:, [b]], trial], axis=1))
        i = int(np.where(np.isfinite(gains), gains, -np.inf).argmax())
        if gains[i] > gains[0] + 64.0 * ROUNDING * (1.0 + np.abs(gains[0])):
            out[b] = trial[:, i - 1], float(gains[i])
    return out


def unended(
    chart: Chart, rows: Array, end: Optimality, b: int, free: Sequence[int] | None = None
) -> DomainError:
    """Why a climb over the coordinates ``free`` reached no maximum in member b."""
    which = range(len(chart.coordinates)) if free is None else free
    along = "in the chart" if free is None else "along " + ", ".join(
        chart.coordinates[j] for j in which
    )  # fmt: skip
    j = int(end.drift[b])
    if j >= 0:
        name, now = chart.coordinates[j], rows[j, b]
        low = chart.lower[j]
        start = low if np.isfinite(low) else 0.0
        way = "grows without end" if now > start else "falls without end"
        if (chart.open_lower[j] and now - low < 1.0) or abs(now) < _SHRUNK:
            way = f"tends to {start:g}, which does not belong to its domain"
        return DomainError(
            problem(
                f"Q has no maximum {along}: it rises while {name} {way}",
                f"{name} = {now:.6g}, where Q is flat along it",
                "data whose maximum lies inside of the image, or a chart that reaches it",
            )
        )
    at = ", ".join(f"{chart.coordinates[i]} = {rows[i, b]:.6g}" for i in which)
    worst = chart.coordinates[int(end.worst[b])]
    return DomainError(
        problem(
            f"Newton's method reaches no maximum of Q {along}",
            f"it stood at {at}, where the scaled slope along {worst} is {end.residual[b]:.1e}",
            f"a slope of at most {ACCEPTED:g}: data and a chart in which Q has a maximum inside "
            "the domain or on a closed end of it, or another start",
        )
    )
