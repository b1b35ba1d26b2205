"""What the end point of a fit is: a local maximum of the likelihood, or something else by name.

In: a solver, a weighted sample and points at which fits stopped. Out: an :class:`End` for each,
from the gradient, the observed Hessian in the chart, the bounds, and the likelihood beside the
point. It is asked once, when the iteration has stopped.

* ``"maximum"``: no free coordinate slopes, and the Hessian over the free coordinates does not rise.
  On a bound that holds a coordinate, and where the Hessian is flat, the notes say so.
* ``"saddle"``: the likelihood is higher beside the point, which ``beside`` holds: a saddle, an
  inflection, or a point where components coincide.
* ``"no maximum"``: the likelihood rises towards an end that no coordinate reaches.
* ``"slope"``: it still rises by more than the tolerance can explain.
* ``"rounding"``: the likelihood is not known well enough there to say.
* ``"unknown"``: the family has no second derivatives, or they overflow there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from relrep_sym.errors import DerivationError, DomainError
from relrep_sym.runtime import kernel
from relrep_sym.runtime.check import Array
from relrep_sym.runtime.em import Taken, expected, objective_of
from relrep_sym.runtime.ends import Ends
from relrep_sym.runtime.objective import Objective, Slopes
from relrep_sym.runtime.point import Point
from relrep_sym.runtime.regularity import kinks_move
from relrep_sym.runtime.second import hessian
from relrep_sym.runtime.stationary import around, held_by, scaled_curvature

if TYPE_CHECKING:
    from relrep_sym.runtime.learning import Learning

__all__ = ["End", "Judge", "StepFunction", "ends_of_fits"]

_EXPLAINED = 1e4
"""Gains of one step that a slow iteration may leave undone: its rate is at most 0.9999."""
_LEAST = 1e-9
"""What the mean log-likelihood may still rise by whatever the tolerance is."""
_SLOPED = 1e-6
"""The share of its absolute terms above which a slope is none of rounding."""
_STEEP = 1e-2
"""The same above which an iteration did not come to rest at all."""
_PRESSED = 1e-4
"""The same below which a coordinate at a bound is not pressed against it, but rests there."""
_FLAT = 1e-7
"""Complete information in the logarithm of a way to infinity below which a coordinate is lost."""
_STEEPER = 1e3
"""By how much steeper the map to θ is one width away from where it is folded."""
_SINGULAR = 1e-9
"""The scaled curvature of the observed information below which a direction is flat."""
_FURTHER = np.array([2.0, 16.0, 256.0, 65536.0])
"""Multiples of the way at which the likelihood is looked at, towards an end at infinity."""


_TURNS = 8
"""Steps that are taken from points around a flat direction."""

StepFunction = Callable[[Array, Point, Array, Array | None], Taken]
"""(rows (P + C, B), their point, x, weights) → the step of each member, or why it took none."""


class End(NamedTuple):
    """What one end point is, in a word; notes; and a higher point beside it, (P + C,), or None."""

    kind: str
    notes: tuple[str, ...] = ()
    beside: Array | None = None


Judge = Callable[[Array], list[End]]
"""(rows (P + C, B)) → what each end point is."""


@np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore")
def ends_of_fits(
    solver: Learning,
    point_at: Callable[[Array], Point],
    x: Array,
    weights: Array | None,
    tol: float,
    step: StepFunction,
    rows: Array,
) -> list[End]:
    """What the points ``rows`` (P + C, B) are; ``point_at`` raises where a fit may not be.

    ``step`` is taken from points around one with a flat direction: where components coincide the
    likelihood rises along curves, which a step finds.
    """
    try:
        return _ends(solver, point_at, x, weights, tol, step, rows)
    except DerivationError:
        return [End("unknown")] * rows.shape[1]
    except DomainError as why:
        if rows.shape[1] == 1:
            return [End("unknown", (f"the end point is not judged: {why}",))]
    return [
        ends_of_fits(solver, point_at, x, weights, tol, step, rows[:, [b]])[0]
        for b in range(rows.shape[1])
    ]


def _ends(
    solver: Learning,
    point_at: Callable[[Array], Point],
    x: Array,
    weights: Array | None,
    tol: float,
    step: StepFunction,
    rows: Array,
) -> list[End]:
    chart, form, batch = solver.chart, solver.form, rows.shape[1]
    count = len(chart.coordinates)
    point = solver.point_at(rows)
    seen = expected(point, x, weights)
    if seen.failures:
        raise seen.failures[min(seen.failures)]
    objective = objective_of(chart, form, rows, seen, np.arange(batch))
    slopes, complete = objective.expansion(rows)  # ∇Q is ∇L here
    kinked = kinks_move(chart, form, rows)
    if kinked:  # second derivatives do not see the kink: Q's curvature alone would be no judge
        curved = complete
    else:
        referred = Point(form, *solver._referred(rows, None, chart.reference))
        curved = hessian(chart, rows, referred, x, weights)
    ends, moving = Ends.of(chart), np.ones((count, 1), bool)
    mean = _Mean(point_at, x, weights)
    present = seen.found.log_likelihood
    bound = held_by(ends, rows[:count], slopes)
    held = bound.copy()
    room = np.maximum(_EXPLAINED * tol, _LEAST * (1.0 + np.abs(present)))
    # a coordinate that creeps to its bound, or a weight to zero, is as good as there
    end = np.where(slopes.gradient > 0.0, ends.upper, ends.lower)
    with np.errstate(invalid="ignore"):
        held |= np.abs(slopes.gradient * (end - rows[:count])) <= np.where(np.isinf(end), 0.0, room)
    k = len(objective.mass)
    light = (objective.weights <= room).any(axis=0)
    held |= light & (objective.jacobian(rows)[..., :k] != 0.0).any(axis=2)
    steep = ~held & (np.abs(slopes.gradient) > _STEEP * slopes.size)
    calm = slopes._replace(  # what a tolerance leaves presses no coordinate against its bound
        gradient=np.where(np.abs(slopes.gradient) > _PRESSED * slopes.size, slopes.gradient, 0.0)
    )
    higher: dict[int, Array] = {}
    noise = np.zeros(batch)
    if not kinked:
        for b, trial in around(
            ends,
            rows,
            calm,
            curved,
            moving,
            np.asarray(~steep.any(axis=0)),
            complete,
            _bending(objective, rows, complete),
        ).items():
            noise[b] = mean.noise(rows[:, [b]])
            found = None
            if noise[b] <= room[b]:
                found = mean.higher(trial, float(present[b]) + room[b] + 8.0 * noise[b], step)
            if found is not None:
                higher[b] = found
    left, flat = _left(slopes, curved, complete, ~held)
    out = []
    for b in range(batch):
        endless = _endless(mean, ends, rows, slopes, ~bound, b, float(present[b]))
        if endless is None:
            endless = _level(mean, ends, rows, complete[b], b, float(present[b]))
        if endless is not None:
            out.append(End("no maximum", (_towards(solver, rows, endless, b),)))
        elif noise[b] > room[b]:
            said = f"rounding leaves the mean log-likelihood there known to {noise[b]:.1g} alone"
            out.append(End("rounding", (said,)))
        elif b in higher:
            out.append(End("saddle", (), higher[b]))
        elif steep[:, b].any():
            name = chart.coordinates[int(steep[:, b].argmax())]
            out.append(End("slope", (f"the mean log-likelihood still rises along {name}",)))
        elif not kinked and left[b] > room[b]:
            said = f"the mean log-likelihood still rises, by about {left[b]:.2g} to its maximum"
            out.append(End("slope", (said,)))
        else:
            pressed = held[:, b] & (calm.gradient[:, b] != 0.0)
            names = [chart.coordinates[j] for j in np.flatnonzero(pressed)]
            notes = []
            if names:
                notes.append(f"at a bound of its domain, which the likelihood presses against: "
                             f"{', '.join(names)}")  # fmt: skip
            if flat[b] >= 0 and not kinked:
                notes.append(
                    "the observed information is singular: no isolated maximum, the likelihood is "
                    f"flat mostly along {chart.coordinates[int(flat[b])]}"
                )
            out.append(End("maximum", tuple(notes)))
    return out


def _bending(objective: Objective, rows: Array, complete: Array) -> NDArray[np.bool_]:
    """Coordinates whose map to θ is far steeper one width away: here it may have no slope, (P, B).

    So is a gap Δ² where Δ is next to zero, whose curvature then is that of rounding.
    """
    count, batch = len(objective.chart.coordinates), rows.shape[1]
    bend = np.abs(np.einsum("bpp->pb", complete))
    width = np.where(bend > 0.0, 1.0 / np.sqrt(np.where(bend > 0.0, bend, 1.0)), 1.0)
    same = np.tile(np.arange(batch), count)
    moved = rows[:, same].copy()
    own = np.repeat(np.arange(count), batch)
    moved[own, np.arange(own.size)] += width.ravel()
    with np.errstate(all="ignore"):
        before = np.abs(objective.jacobian(rows)).sum(axis=2)
        try:
            after = np.abs(objective.take(same).jacobian(moved)).sum(axis=2)
        except DomainError:  # the chart has no slope there
            return np.zeros((count, batch), bool)
    steep = after[own, np.arange(own.size)].reshape(count, batch)
    out: NDArray[np.bool_] = np.isfinite(steep) & (steep > _STEEPER * before)
    return out


def _left(
    slopes: Slopes, curved: Array, complete: Array, free: NDArray[np.bool_]
) -> tuple[Array, NDArray[np.intp]]:
    """By how much Newton's step would raise the likelihood, (B,), and the coordinate of a flat
    direction, −1 without one: the observed information is seen in units of the complete one.
    """
    scaled, scale = scaled_curvature(curved, free, complete)
    values, vectors = np.linalg.eigh(scaled)
    pulled = np.where(free, slopes.gradient, 0.0).T * scale
    along = np.einsum("bpq,bp->bq", vectors, pulled)
    sound = values > _SINGULAR
    left = 0.5 * np.where(sound, along**2 / np.where(sound, values, 1.0), 0.0).sum(axis=1)
    worst = np.abs(vectors[:, :, 0]).argmax(axis=1)
    return left, np.where(sound[:, 0], -1, worst)


def _endless(
    mean: _Mean,
    ends: Ends,
    rows: Array,
    slopes: Slopes,
    free: NDArray[np.bool_],
    b: int,
    present: float,
) -> int | None:
    """A coordinate along which the likelihood rises however far it goes, to an end that is open."""
    gradient, now = slopes.gradient[:, b], rows[: len(free), b]
    low = np.where(np.isfinite(ends.lower[:, 0]), ends.lower[:, 0], 0.0)
    inner = ends.strict[:, 0] & (gradient < 0.0)
    outer = np.isinf(np.where(gradient > 0.0, ends.upper[:, 0], ends.lower[:, 0]))
    outer &= gradient * (now - low) > 0.0
    tends = free[:, b] & (np.abs(gradient) > _SLOPED * slopes.size[:, b]) & (inner | outer)
    for j in np.flatnonzero(tends):
        factors = 1.0 / _FURTHER if inner[j] else _FURTHER
        trial = np.repeat(rows[:, [b]], factors.size, axis=1)
        trial[j] = low[j] + (now[j] - low[j]) * factors
        values = np.array([present, *mean.at(trial)])
        values = values[np.isfinite(values)]  # overflow far out says nothing
        grain = 64.0 * np.finfo(float).eps * (1.0 + abs(present))
        if values.size > 2 and values[1] > present and (np.diff(values) >= -grain).all():
            return int(j)
    return None


def _level(
    mean: _Mean, ends: Ends, rows: Array, complete: Array, b: int, present: float
) -> int | None:
    """A coordinate that has gone so far towards infinity that the likelihood is flat from there."""
    count = len(complete)
    low = np.where(np.isfinite(ends.lower[:, 0]), ends.lower[:, 0], 0.0)
    way = rows[:count, b] - low
    flat = np.abs(np.diag(complete)) * way**2 < _FLAT
    flat &= np.isinf(np.where(way > 0.0, ends.upper[:, 0], ends.lower[:, 0])) & (np.abs(way) > 1.0)
    for j in np.flatnonzero(flat):
        trial = np.repeat(rows[:, [b]], _FURTHER.size, axis=1)
        trial[j] = low[j] + way[j] * _FURTHER
        values = mean.at(trial)[:2]
        if (np.abs(values - present) <= _FLAT * (1.0 + abs(present))).all():
            return int(j)
    return None


def _towards(solver: Learning, rows: Array, j: int, b: int) -> str:
    chart = solver.chart
    name, now = chart.coordinates[j], rows[j, b]
    low = chart.lower[j] if np.isfinite(chart.lower[j]) else 0.0
    way = "grows" if now > low else "falls"
    text = f"the likelihood has no maximum: it rises while {name} {way} without end"
    if chart.open_lower[j] and now - low < 1.0:
        text = f"the likelihood has no maximum: it rises while {name} tends to {low:g}"
    return f"{text} ({name} = {now:.6g})"


class _Mean:
    """The mean log-likelihood of one sample."""

    def __init__(self, point_at: Callable[[Array], Point], x: Array, weights: Array | None) -> None:
        self.point_at, self.x, self.weights = point_at, x, weights

    def at(self, rows: Array) -> Array:
        """Mean log-likelihoods (B,) at rows (P + C, B), −∞ outside the model's domain."""
        try:
            point = self.point_at(rows)
            found = kernel.statistics(point, self.x, self.weights, want_log=True)
        except DomainError:
            if rows.shape[1] == 1:
                return np.full(1, -np.inf)
            half = rows.shape[1] // 2
            return np.concatenate([self.at(rows[:, :half]), self.at(rows[:, half:])])
        return found.log_likelihood

    def noise(self, rows: Array) -> float:
        """By how much the mean log-likelihood changes at (P + C, 1) with the last digits."""
        moves = 1.0 + 2.0 * np.finfo(float).eps * np.array([0.0, 1.0, -1.0, 2.0, 3.0, -2.0])
        values = self.at(rows * moves)
        values = values[np.isfinite(values)]
        return float(np.ptp(values)) if values.size else 0.0

    def higher(self, trial: Array, height: float, step: StepFunction) -> Array | None:
        """The highest of some points, or of what steps from them lead to, above a height."""
        height += 64.0 * np.finfo(float).eps * (1.0 + abs(height))
        for turn in range(_TURNS + 1):
            values = self.at(trial)
            if values.max() > height:
                best: Array = trial[:, int(values.argmax())]
                return best
            good = np.flatnonzero(np.isfinite(values))
            if turn == _TURNS or not good.size:
                break
            trial = self._stepped(trial[:, good], step)
        return None

    def _stepped(self, rows: Array, step: StepFunction) -> Array:
        """Rows after a step of each; those that take none stay where they are."""
        try:
            taken = step(rows, self.point_at(rows), self.x, self.weights)
        except DerivationError:
            return rows
        except DomainError:
            if rows.shape[1] == 1:
                return rows
            half = rows.shape[1] // 2
            parts = [self._stepped(rows[:, :half], step), self._stepped(rows[:, half:], step)]
            return np.concatenate(parts, axis=1)
        out = rows.copy()
        out[: len(taken.rows)] = taken.rows
        return out
