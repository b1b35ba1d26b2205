"""Expectation maximisation: the driver and its result.

In: a chart's generated M-step, a model point and a weighted sample. Out: :class:`Fit`. Not
converged is a flag with a reason, never an exception, and never silent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from relrep_sym.errors import DataError, DerivationError, DomainError, problem
from relrep_sym.runtime import kernel
from relrep_sym.runtime.block import dots, insist_finite
from relrep_sym.runtime.chart import Chart
from relrep_sym.runtime.check import Array
from relrep_sym.runtime.kernel import Statistics
from relrep_sym.runtime.point import Components, Form, Point

__all__ = ["Fit", "em_step", "fit"]

_FAR = 8.0
"""New scales that a component may move in one step before its statistics are expanded anew."""


@dataclass(frozen=True)
class Fit:
    """What a fit found.

    Attributes:
        coords: the last coordinates, (P,).
        parameters: θ by name.
        history: mean log-likelihood at the start and after each iteration.
        iterations: how many steps were taken.
        converged: whether the last step raised the mean log-likelihood by no more than ``tol``.
        reason: why the fit stopped, in words.
    """

    coords: Array
    parameters: dict[str, float]
    history: Array = field(repr=False)
    iterations: int
    converged: bool
    reason: str

    @property
    def log_likelihood(self) -> float:
        """Mean log-likelihood at :attr:`coords`."""
        return float(self.history[-1])


def em_step(
    chart: Chart, point: Point, x: Array, weights: Array | None
) -> tuple[Components, Statistics]:
    """One E-step and the joint maximiser of Q; also the statistics, with the present
    log-likelihood.

    Raises DerivationError where the M-step has no closed form, DomainError where it has no maximum
    (an empty component, a scale that collapses).
    """
    if chart.m_step is None:
        raise DerivationError(chart.why["m_step"])
    found = kernel.statistics(point, x, weights, want_log=True)
    with np.errstate(over="ignore", invalid="ignore"):  # of a component without weight
        mass = point.components.weights * found.mass
    if not (found.mass.min() > 0 and mass.min() > 0):
        k = int(np.argwhere(~((found.mass > 0) & (mass > 0)))[0][0])
        raise DomainError(
            problem(
                f"component {k + 1} is empty: no point has a responsibility above rounding",
                f"N_{k + 1} = {mass[k].min()}",
                "a start in which every component claims some of the data",
            )
        )
    for row in found.moments:
        insist_finite(row, "a statistic")
    old = point.components.parameters
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        shares, parameters = chart.m_step(mass, found.moments / found.mass, *old)
        about = _recentred(point.form, old, parameters)
        if about is not None:
            moments = _moments_about(about, point, x, weights)
            shares, parameters = chart.m_step(mass, moments / found.mass, *about)
    _insist_scales(point.form, old, parameters)
    differences = tuple(p[:-1] - p[-1] for p in parameters)
    return Components(shares, tuple(parameters), differences), found


def _recentred(
    form: Form, old: tuple[Array, ...], new: tuple[Array, ...]
) -> tuple[Array, ...] | None:
    """Parameters to expand the statistics about, where the present ones cost digits; or None.

    A scale is a small difference of large moments where its component moves by many new scales.
    """
    if form.location is None or form.scale is None:
        return None
    moved = np.abs(new[form.location] - old[form.location])
    if not (moved > _FAR * new[form.scale]).any() and np.isfinite(new[form.scale]).all():
        return None
    return tuple(
        n if i == form.location else o for i, (n, o) in enumerate(zip(new, old, strict=True))
    )


def _moments_about(
    parameters: tuple[Array, ...], point: Point, x: Array, weights: Array | None
) -> Array:
    """Means of R_k b_j with the present ratios R_k and basis functions at other parameters."""
    form = point.form
    other = Point(form, point.components._replace(parameters=parameters))
    total = np.zeros((form.basis, *point.heights.shape))

    def use(b, i, part, _, block, work):  # type: ignore[no-untyped-def]
        form.block(x[i], other.take(b).coefficients, work.basis, work.spare)
        return b, [dots(block.ratios, basis) * part.heights for basis in work.basis]

    for b, rows in kernel.over_blocks(point, x, weights, use):
        total[..., b] += rows
    return total if weights is not None else total / x.size


def _insist_scales(form: Form, old: tuple[Array, ...], new: tuple[Array, ...]) -> None:
    """Refuse a positive parameter that is zero, or a scale below the spacing of numbers there."""
    for i, (name, positive, values) in enumerate(zip(form.names, form.positive, new, strict=True)):
        if not positive:
            continue
        least = np.zeros_like(values)
        if i == form.scale and form.location is not None:
            places = np.maximum(np.abs(old[form.location]), np.abs(new[form.location]))
            least = np.where(values == old[i], 0.0, 8 * np.finfo(float).eps * places)
        if not (values > least).all():
            k = int(np.argwhere(~(values > least))[0][0])
            raise DomainError(
                problem(
                    f"{name} of component {k + 1} collapses, where the likelihood has no maximum",
                    f"{name} = {np.nan_to_num(values[k]).min()}",
                    f"data that keep {name} above zero in every component",
                )
            )


def fit(
    chart: Chart,
    coords_of: Callable[[Components], Array],
    theta_of: Callable[[Array], Sequence[Array]],
    point: Point,
    rows: Array,
    x: Array,
    weights: Array | None,
    *,
    tol: float,
    max_iter: int,
) -> Fit:
    """EM from one point until a step gains no more than ``tol`` in mean log-likelihood.

    ``coords_of`` gives the coordinates of a mixture, or raises DomainError where it has none;
    ``theta_of`` gives θ at coordinates.
    """
    if not isinstance(tol, int | float | np.integer | np.floating) or not 0 <= tol < np.inf:
        raise DataError(problem("tol is not a tolerance", tol, "a number >= 0"))
    if isinstance(max_iter, bool) or not isinstance(max_iter, int | np.integer) or max_iter < 1:
        raise DataError(problem("max_iter is not a count", max_iter, "an integer >= 1"))
    history: list[float] = []
    converged, reason = False, f"max_iter = {max_iter} steps were taken"
    coords = rows[:, 0]
    while True:
        try:
            components, found = em_step(chart, point, x, weights)
        except DomainError as stopped:
            reason = str(stopped)
            history.append(float(kernel.statistics(point, x, weights, want_log=True)[3][0]))
            break
        history.append(float(found.log_likelihood[0]))
        if len(history) > 1 and history[-1] - history[-2] <= tol:
            converged, reason = True, f"a step gained {history[-1] - history[-2]:.3g} <= tol"
            break
        if len(history) > max_iter:
            break
        try:
            after = coords_of(components)
        except DomainError as stopped:
            reason = f"the maximiser leaves the chart: {stopped}"
            break
        point, coords = Point(point.form, components), after
    theta = theta_of(coords)
    parameters = {n: float(np.ravel(v)[0]) for n, v in zip(chart.parameters, theta, strict=True)}
    return Fit(coords, parameters, np.array(history), len(history) - 1, converged, reason)
