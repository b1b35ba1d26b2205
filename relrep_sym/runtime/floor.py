"""A lower bound on the scales of a fit, so that none of them can collapse.

In: a solver, the bound and the starts. Out: :class:`Floor`: the solver with the bound in its chart
and its M-step, and a step that says so when a scale is held, or when the bound cannot be kept.

Where the closed form of the M-step gives the other parameters whatever the scale is (a location of
a log-density that is quadratic in x, a median; a family with no other parameter), Q is unimodal in
each scale given the rest, so the maximiser over scales ≥ floor is the free one clipped at the
floor. Elsewhere Q is climbed over the chart's domain, in which a coordinate that is a scale itself
has the floor as its end.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from relrep_sym.errors import DataError, DomainError, problem
from relrep_sym.runtime.chart import Chart
from relrep_sym.runtime.check import Array
from relrep_sym.runtime.em import Taken
from relrep_sym.runtime.ending import End, Judge, StepFunction
from relrep_sym.runtime.point import Point
from relrep_sym.runtime.refusals import learned_of

if TYPE_CHECKING:
    from relrep_sym.runtime.learning import Learning

__all__ = ["Floor"]

_ROUNDING = 16.0 * np.finfo(float).eps
"""How far below the floor a scale may come out of the chart's map by rounding, relative."""


class Floor:
    """A floor under the learned scales of a solver's model.

    Raises DataError where no scale is learned or the bound is no positive number, DomainError where
    a start is below it.
    """

    def __init__(self, solver: Learning, floor: object) -> None:
        form = solver.form
        if form.scale is None or not learned_of(solver, form.scale):
            raise DataError(
                problem(
                    "floor is a lower bound on scales, and this model learns none",
                    f"floor = {floor!r}",
                    "a model with free or tied scales, or floor=None",
                )
            )
        number = isinstance(floor, int | float | np.integer | np.floating)
        if not number or isinstance(floor, bool) or not 0 < floor < np.inf:  # type: ignore[operator]
            right = "a positive number, in units of the scales"
            raise DataError(problem("floor is no lower bound", floor, right))
        self.value, self.solver, self.form = float(floor), solver, form  # type: ignore[arg-type]
        self.role = form.scale
        which = np.zeros((form.components, 1), dtype=bool)
        which[sorted(learned_of(solver, form.scale))] = True
        self.learned = which

    def insist(self, point: Point, shape: tuple[int, ...]) -> None:
        """Refuse starts with a learned scale below the floor."""
        scales = point.components.parameters[self.role]
        below = self.learned & (scales < self.value)
        if below.any():
            b, k = (int(i) for i in np.argwhere(below.T)[0])
            place = [int(i) for i in np.unravel_index(b, shape)] if shape else []
            name = self.form.names[self.role]
            raise DomainError(
                problem(
                    f"start{place or ''}: {name} of component {k + 1} is below the floor",
                    f"{name} = {scales[k, b]}",
                    f"{name} >= {self.value}",
                )
            )

    def chart(self, rows: Array) -> Chart:
        """The chart with the floor in its M-step, and as the end of coordinates that are scales.

        ``rows`` (P + C, B) are the starts.
        """
        chart, form = self.solver.chart, self.form
        ends = list(chart.lower)
        strict = list(chart.open_lower)
        for j in _standing_alone(chart, form.names[self.role], rows):
            ends[j], strict[j] = max(ends[j], self.value), False
        step = chart.m_step
        quadratic = form.location is not None and form.quadratic is not None
        if step is not None and (quadratic or len(form.names) == 1):
            step = partial(_clipped, step, self)
        else:
            step = None
        medians = chart.medians
        if medians is not None:
            medians = medians._replace(step=partial(_clipped, medians.step, self))
        return chart._replace(
            lower=tuple(ends),
            open_lower=tuple(strict),
            m_step=step,
            medians=medians,
            roots=None,  # they are those without a floor
        )

    def point_at(self, rows: Array) -> Point:
        """The mixtures at rows (P + C, B); DomainError where a learned scale is below the floor."""
        point = self.solver.point_at(rows)
        self.insist(point, (rows.shape[1],))
        return point

    def judged(self, judge: Judge, rows: Array) -> list[End]:
        """What end points are, those at the floor maxima over what the floor leaves."""
        with np.errstate(all="ignore"):
            scales = self.solver.chart.components(rows)[1][self.role]
        touching = (self.learned & (scales <= self.value * (1.0 + _ROUNDING))).any(axis=0)
        free = np.flatnonzero(~np.asarray(touching))
        found = iter(judge(rows[:, free]) if free.size else [])
        return [End("maximum") if held else next(found) for held in np.asarray(touching).tolist()]

    def held(
        self, step: StepFunction, rows: Array, point: Point, x: Array, weights: Array | None
    ) -> Taken:
        """A step, whose scales are held against the floor."""
        taken = step(rows, point, x, weights)
        after = np.concatenate([taken.rows, rows[len(taken.rows) :]])
        with np.errstate(all="ignore"):
            scales = self.solver.chart.components(after)[1][self.role]
        failures, notes = dict(taken.failures), dict(taken.notes)
        name = self.form.names[self.role]
        least = self.value * (1.0 - _ROUNDING)
        for b in np.flatnonzero((self.learned & ~(scales >= least)).any(axis=0)):
            k = int(np.argmax(self.learned[:, 0] & ~(scales[:, b] >= least)))
            failures.setdefault(
                int(b),
                DomainError(
                    problem(
                        "this step does not keep the floor in this chart",
                        f"{name} of component {k + 1} = {scales[k, b]}",
                        f"{name} >= {self.value}: a chart in which the scales are coordinates",
                    )
                ),
            )
        touching = self.learned & (scales <= self.value * (1.0 + _ROUNDING))
        for b in np.flatnonzero(touching.any(axis=0)):
            if int(b) not in failures:
                parts = ", ".join(str(k + 1) for k in np.flatnonzero(touching[:, b]))
                said = f"{name} of component {parts} is held at the floor {self.value:g}"
                notes[int(b)] = f"{notes[int(b)]}; {said}" if int(b) in notes else said
        return taken._replace(failures=failures, notes=notes)


def _clipped(
    step: Callable[..., tuple[Array, tuple[Array, ...]]],
    floor: Floor,
    mass: Array,
    means: Array,
    *old: Array,
) -> tuple[Array, tuple[Array, ...]]:
    """The M-step's maximiser, its learned scales clipped at the floor; a 0/0 of rounding is one."""
    shares, parameters = step(mass, means, *old)
    scale = parameters[floor.role]
    clipped = np.where(floor.learned, np.fmax(scale, floor.value), scale)
    return shares, tuple(clipped if i == floor.role else p for i, p in enumerate(parameters))


def _standing_alone(chart: Chart, scale: str, rows: Array) -> list[int]:
    """Coordinates that are a scale themselves, as far as the map and its slopes at the starts say.

    What they do not say is caught by :meth:`Floor.held`.
    """
    count = len(chart.coordinates)
    theta = np.array(np.broadcast_arrays(*chart.to_model(rows)))
    seeds = np.broadcast_to(np.eye(len(theta))[:, :, None], (len(theta), len(theta), rows.shape[1]))
    found = chart.pull_back_model(rows, seeds)
    slopes = np.array([np.broadcast_to(row, seeds.shape[1:]) for row in found])
    out = []
    for i, name in enumerate(chart.parameters):
        if name != scale and name.rpartition("_")[0] != scale:
            continue
        for j in range(count):
            same = (rows[j] == theta[i]).all() and (slopes[j, i] == 1.0).all()
            if same and not np.delete(slopes[:, i], j, axis=0).any():
                out.append(j)
    return out
