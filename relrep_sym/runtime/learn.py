"""What ``fit`` of a generated module does before it iterates: methods, starts, and the floor.

In: a solver and what a user passed. Out: a :class:`~relrep_sym.runtime.fitted.Fit`, or an error
that names what was wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from relrep_sym.errors import DataError, DomainError, problem
from relrep_sym.runtime import check
from relrep_sym.runtime.check import Array, Coords, Entries
from relrep_sym.runtime.criteria import number_of_points
from relrep_sym.runtime.ecm import Order, ecm_step
from relrep_sym.runtime.edges import insist_slopes
from relrep_sym.runtime.em import Taken, em_step
from relrep_sym.runtime.ending import Judge, StepFunction, ends_of_fits
from relrep_sym.runtime.fit import Options, fit
from relrep_sym.runtime.fitted import Callback, Fit
from relrep_sym.runtime.floor import Floor
from relrep_sym.runtime.point import Point
from relrep_sym.runtime.refusals import insist_spread, starting, warn_of_few
from relrep_sym.runtime.starts import named_starts

if TYPE_CHECKING:
    from relrep_sym.runtime.learning import Learning

__all__ = ["learn"]

_METHODS = ("em", "ecm", "gradient_em")


def learn(
    solver: Learning,
    x: ArrayLike,
    start: Entries | str,
    method: str = "em",
    *,
    order: object = None,
    sweeps: int = 1,
    rate: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    tol: float = 1e-10,
    max_iter: int = 1000,
    floor: float | None = None,
    starts: int | None = None,
    rng: int | np.random.Generator = 0,
    callback: Callback | None = None,
    progress: bool = False,
    count: float | None = None,
) -> Fit:
    """Maximise the mean log-likelihood from one start or many by a method's steps."""
    _insist_method(method, order, sweeps, rate)
    options = Options.of(tol, max_iter, callback, progress, rated=rate is not None)
    points = check.sample(x, solver.form.support)
    share = check.sample_weights(weights, points.size)
    size = number_of_points(points, share, count)
    if floor is None:
        insist_spread(solver, points, share)
    bound = None if floor is None else Floor(solver, floor)
    given, point = _starts(solver, start, starts, rng, points, share, floor)
    insist_slopes(solver.chart, point, points)
    if bound is not None:
        bound.insist(point, given.shape)
        solver = copy(solver)
        solver.chart = bound.chart(given.rows)
    warn_of_few(solver, points, share, stacklevel=6)
    step = _step(solver, method, order, sweeps, rate)
    held: StepFunction = step if bound is None else partial(bound.held, step)
    allowed = solver.point_at if bound is None else bound.point_at
    beside = partial(_em, solver) if method == "gradient_em" else step
    judge: Judge = partial(ends_of_fits, solver, allowed, points, share, options.tol, beside)
    if bound is not None:
        judge = partial(bound.judged, judge)
    return fit(
        held,
        solver.point_at,
        solver.theta_of,
        given.rows,
        given.shape,
        points,
        share,
        options,
        judge,
        count=len(solver.chart.coordinates),
        size=size,
    )


def _em(solver: Learning, rows: Array, point: Point, x: Array, weights: Array | None) -> Taken:
    return em_step(solver.chart, solver._preimage, rows, point, x, weights)


def _step(
    solver: Learning, method: str, order: object, sweeps: int, rate: ArrayLike | None
) -> StepFunction:
    """The step of a method, its options checked."""
    if method == "gradient_em":
        return partial(_gradient_em, solver, solver.rates(rate))
    if method == "ecm":
        return partial(_ecm, solver, Order.of(solver.chart, solver.form, order, sweeps))
    return partial(_em, solver)


def _gradient_em(
    solver: Learning, rate: Array | None, rows: Array, _: Point, x: Array, weights: Array | None
) -> Taken:
    return solver.climb(rows, x, weights, rate).taken


def _ecm(
    solver: Learning, order: Order, rows: Array, point: Point, x: Array, weights: Array | None
) -> Taken:
    return ecm_step(solver.chart, rows, point, x, weights, order, preimage=solver._preimage).taken


def _insist_method(method: object, order: object, sweeps: object, rate: object) -> None:
    if not isinstance(method, str) or method not in _METHODS:
        right = " or ".join(f'"{m}"' for m in _METHODS)
        raise DataError(problem("unknown method", method, right))
    for name, value, given, owner in (
        ("order", order, order is not None, "ecm"),
        ("sweeps", sweeps, not isinstance(sweeps, int) or sweeps != 1, "ecm"),
        ("rate", rate, rate is not None, "gradient_em"),
    ):
        if given and method != owner:
            right = f'method="{owner}", or no {name}'
            raise DataError(problem(f'method "{method}" takes no {name}', value, right))


def _starts(
    solver: Learning,
    start: Entries | str,
    starts: object,
    rng: object,
    x: Array,
    weights: Array | None,
    floor: float | None,
) -> tuple[Coords, Point]:
    """Checked coordinates, those of a named start made first."""
    if not isinstance(start, str):
        if starts is not None:
            right = 'starts=None, or a named start such as "k-means++"'
            raise DataError(problem("starts counts named starts", starts, right))
        return starting(solver, _by_parameters(solver, start))
    whole = isinstance(starts, int | np.integer) and not isinstance(starts, bool)
    if starts is not None and (not whole or starts < 1):  # type: ignore[operator]
        raise DataError(problem("starts is not a count", starts, "an integer >= 1, or None"))
    count = 1 if starts is None else int(starts)  # type: ignore[call-overload]
    rows = named_starts(solver, start, count, check.generator(rng), x, weights, floor)
    return starting(solver, rows[:, 0] if starts is None else rows.T)


def _by_parameters(solver: Learning, start: Entries) -> Entries:
    """A start by the names of θ, such as ``Fit.parameters``, as coordinates; others as they are.

    Where names of coordinates and of θ are the same, they are the coordinates.
    """
    keys = set(start.keys()) if isinstance(start, Mapping) else set()
    chart = solver.chart
    if keys == set(chart.coordinates) or keys != set(chart.parameters):
        return start
    try:
        return solver.from_model(start)
    except DomainError as why:
        raise DomainError(f"start: {why}") from None
