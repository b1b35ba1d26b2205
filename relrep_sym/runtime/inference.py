"""Inference: covariances of estimates, standard errors, intervals, information criteria.

In: a solver, a weighted sample, coordinates and a kind of information. Out: the estimated
covariance of the maximum likelihood estimator in the chart, in θ or in a view, what follows from
it, and plain warnings where it does not mean what it says (:mod:`.regularity`).

With H the mean Hessian, I the Fisher information, s the score of one point, N the number of points
and E the mean over the sample:

    observed (−H)⁻¹/N,   expected I⁻¹/N,   opg E[s sᵀ]⁻¹/N,   sandwich H⁻¹ E[s sᵀ] H⁻¹/N

(Louis 1982 for H of a mixture; White 1982 for the sandwich, which needs no right model). A function
g of the coordinates has G C Gᵀ with G = ∂g/∂λ: the delta method. All is kept as a root R, C = R Rᵀ,
from the Cholesky factor of the matrix scaled to a unit diagonal (:mod:`.spectrum`): variances are
sums of squares, and units of the coordinates do not matter.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from relrep_sym.errors import (
    ConditionWarning,
    DataError,
    DerivationError,
    DomainError,
    InferenceWarning,
    NoInverseError,
    problem,
)
from relrep_sym.runtime import check, kernel
from relrep_sym.runtime.block import insist_finite, score_rows
from relrep_sym.runtime.chart import Chart
from relrep_sym.runtime.check import Array, Coords, Entries
from relrep_sym.runtime.criteria import Criteria, information_criteria, number_of_points
from relrep_sym.runtime.point import Point
from relrep_sym.runtime.products import outer
from relrep_sym.runtime.regularity import (
    bounds,
    kinks_move,
    nearest,
    place,
    warn_of_bounds,
    warn_of_folds,
    warn_of_overlap,
)
from relrep_sym.runtime.second import hessian
from relrep_sym.runtime.spectrum import Spectrum

if TYPE_CHECKING:
    from relrep_sym.runtime.solver import Solver

__all__ = [
    "Estimate",
    "covariance",
    "criteria",
    "estimate",
    "pushed",
    "standard_errors",
]

_KINDS = ("observed", "expected", "opg", "sandwich")
_OF = ("coordinates", "parameters", "view")

_DIGITS = 1e10
"""Condition number of the scaled information above which fewer than six digits are left."""

_FAR = 1.0
"""Standard errors from the maximum above which a point is said not to be it."""


# ------------------------------------------------------------------------------ one estimate


class Estimate(NamedTuple):
    """A root of the coordinates' covariance, (B, P, M), and where it is of."""

    given: Coords
    root: Array

    def shaped(self, found: Array) -> Array:
        """What is (B, …) with the leading axes that came in."""
        return found.reshape(*self.given.shape, *found.shape[1:])


def estimate(
    solver: Solver,
    x: ArrayLike | None,
    coords: Entries,
    kind: str,
    weights: ArrayLike | None,
    count: float | None,
    *,
    level: int = 7,
) -> Estimate:
    """A root of the covariance in the chart's coordinates, with all warnings given."""
    if kind not in _KINDS:
        raise DataError(problem("unknown kind of covariance", kind, "one of " + ", ".join(_KINDS)))
    names = solver.chart.coordinates
    points, share, size = _sample(solver, x, kind, weights, count)
    given, point = solver._point(coords)
    rows, shape = given
    score: Array | None = None
    if kind == "expected":
        main = solver.information(rows, point)
    elif kind == "opg":
        main = _outer(solver, rows, point, points, share)
    else:
        if kinks_move(solver.chart, solver.form, rows):
            raise DerivationError(
                problem(
                    "log f has a kink whose place is learned: second derivatives do not see it",
                    f'kind="{kind}"',
                    'kind="expected" or "opg"',
                )
            )
        main = -hessian(solver.chart, rows, point, points, share)
        found = solver._gradient(rows, point, points, share)
        score = np.array([np.broadcast_to(row, rows[0].shape) for row in found])
    spectrum = Spectrum.of(main)
    _insist_regular(spectrum, kind, solver.chart, given, score)
    root = spectrum.inverse_root() / np.sqrt(size)
    if score is not None:
        _warn_of_distance(solver, rows, root, score * size, shape, level)
    if kind == "sandwich":
        meat = root.swapaxes(1, 2) @ _outer(solver, rows, point, points, share) @ root
        values, vectors = np.linalg.eigh(size * meat)  # the identity where the model is right
        root = root @ vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
    insist_finite(root, "the covariance")
    warn_of_bounds(solver.chart, rows, shape, level)
    warn_of_folds(solver.chart, rows, shape, level)
    _warn_of_condition(spectrum, names, shape, level)
    near = nearest(solver.chart, solver.form, rows, root)
    warn_of_overlap(near, shape, "standard errors", level)
    return Estimate(given, root)


def _sample(
    solver: Solver,
    x: ArrayLike | None,
    kind: str,
    weights: ArrayLike | None,
    count: float | None,
) -> tuple[Array, Array | None, float]:
    """(points, normalised weights, N); the points are empty where none are needed."""
    if x is None:
        if kind != "expected" or count is None:
            right = 'a sample, or kind="expected" with count='
            raise DataError(problem("there is no sample", "x = None", right))
        return np.empty(0), None, number_of_points((), None, count)
    points = check.sample(x, solver.form.support)
    share = check.sample_weights(weights, points.size)
    return points, share, number_of_points(points, share, count)


def _outer(solver: Solver, rows: Array, point: Point, x: Array, weights: Array | None) -> Array:
    """E[s sᵀ] over the sample, s the score in the chart, (B, P, P)."""
    count = len(solver.chart.coordinates)
    out = np.zeros((rows.shape[1], count, count))

    def use(b, i, part, _, block, work):  # type: ignore[no-untyped-def]
        pulled = solver._pulled(rows[:, b, None], *score_rows(part, block, work))
        shape = (b.stop - b.start, i.stop - i.start)
        root = 1.0 if weights is None else np.sqrt(weights[i])
        scores = np.stack([np.broadcast_to(row * root, shape) for row in pulled], axis=1)
        return b, outer(scores, scores)

    for b, part in kernel.over_blocks(point, x, None, use):
        out[b] += part
    if weights is None:
        out /= x.size
    insist_finite(out, "the scores' outer product")
    lower = np.tril(out)
    return lower + np.tril(lower, -1).swapaxes(1, 2)


# ------------------------------------------------------------------------------ what is refused


_MATRIX = {
    "observed": "the observed information −H",
    "sandwich": "the observed information −H",
    "expected": "the Fisher information",
    "opg": "the mean outer product of scores",
}


def _insist_regular(
    spectrum: Spectrum, kind: str, chart: Chart, given: Coords, score: Array | None
) -> None:
    """Refuse an information that is not positive definite, or that cannot be inverted."""
    bad = spectrum.singular
    if not bad.any():
        return
    names, where = chart.coordinates, place(bad, given.shape)
    b = int(bad.argmax())
    least, cut = float(spectrum.least[b]), spectrum.cut
    worst = f"least eigenvalue {least:.1e} of the largest, mostly along {spectrum.along(b, names)}"
    if least < -cut:
        assert score is not None  # the others are positive semidefinite
        at = np.logical_or(*bounds(chart, given.rows))[:, b]
        ends = ", ".join(names[j] for j in np.flatnonzero(at))
        held = f"; or {ends} held at the end of its domain (moving=)" if ends else ""
        raise DomainError(
            problem(
                f"{_MATRIX[kind]} is not positive definite {where}: the point is no maximum of the "
                "log-likelihood inside the chart's domain",
                f"{worst}; the mean score's norm is {np.linalg.norm(score[:, b]):.1e}",
                'a maximum, such as fit finds; kind="expected" and "opg" are defined elsewhere too'
                + held,
            )
        )
    raise DomainError(
        problem(
            f"{_MATRIX[kind]} is singular in double precision {where}: there is no covariance",
            worst,
            f"more than {cut:.1e}; merging components, empty ones, or coordinates that do the same "
            "are singular, and what is not to be learned can be held (moving=)",
        )
    )


def _warn_of_condition(
    spectrum: Spectrum, names: tuple[str, ...], shape: tuple[int, ...], level: int
) -> None:
    condition = spectrum.condition
    bad = ~(condition < _DIGITS)
    if bad.any():
        b = int(bad.argmax())
        text = problem(
            f"the information is so near to singular {place(bad, shape)} that few digits of its "
            "inverse are right",
            f"condition number {condition[b]:.1e} at unit diagonal, mostly along "
            f"{spectrum.along(b, names)}",
            f"below {_DIGITS:.0e}",
        )
        warnings.warn(text, ConditionWarning, stacklevel=level)


def _warn_of_distance(
    solver: Solver,
    rows: Array,
    root: Array,
    score: Array,
    shape: tuple[int, ...],
    level: int,
) -> None:
    """An InferenceWarning where a Newton step is longer than a standard error.

    A coordinate that presses against its bound is left out: its slope stays.
    """
    low, high = bounds(solver.chart, rows)
    free = np.where((low & (score < 0)) | (high & (score > 0)), 0.0, score)
    far = np.linalg.norm(root.swapaxes(1, 2) @ free.T[:, :, None], axis=1)[:, 0]
    bad = far > _FAR
    if bad.any():
        text = problem(
            f"this is not the maximum of the log-likelihood {place(bad, shape)}: its errors are "
            "those of another point",
            f"{far[int(bad.argmax())]:.2g} standard errors from there by Newton's step",
            f"at most {_FAR:g}; fit with a smaller tol",
        )
        warnings.warn(text, InferenceWarning, stacklevel=level)


# ------------------------------------------------------------------------------ functions of them


def _slopes(solver: Solver, given: Coords, of: str) -> Array | None:
    """G = ∂g/∂λ of what is asked for, (B, Q, P); None for the coordinates themselves."""
    chart, rows = solver.chart, given.rows
    count, batch = len(chart.coordinates), rows.shape[1]
    if of not in _OF:
        raise DataError(problem("unknown of=", of, "one of " + ", ".join(_OF)))
    if of == "coordinates":
        return None
    if of == "parameters":
        entries = len(chart.parameters)
        seeds = np.broadcast_to(np.eye(entries)[:, :, None], (entries, entries, batch))
        found = chart.pull_back_model(rows, seeds)
        whole = np.array([np.broadcast_to(row, (entries, batch)) for row in found[:count]])
        return whole.transpose(2, 1, 0)
    if chart.push_view is None:
        raise NoInverseError(chart.why["view"])
    columns = []
    for unit in np.eye(count):
        moved = chart.push_view(rows, np.broadcast_to(unit[:, None], (count, batch)))
        columns.append([np.broadcast_to(row, batch) for row in moved])
    return np.array(columns).transpose(2, 1, 0)


def pushed(solver: Solver, found: Estimate, of: str) -> Array:
    """The root of what is asked for, (B, Q, M)."""
    slopes = _slopes(solver, found.given, of)
    if slopes is None:
        return found.root
    out: Array = slopes @ found.root
    insist_finite(out, "the covariance")
    return out


def covariance(
    solver: Solver,
    x: ArrayLike | None,
    coords: Entries,
    kind: str = "observed",
    of: str = "coordinates",
    weights: ArrayLike | None = None,
    count: float | None = None,
) -> Array:
    """The estimated covariance, (…, Q, Q), exactly symmetric and positive semidefinite."""
    found = estimate(solver, x, coords, kind, weights, count)
    root = pushed(solver, found, of)
    lower = np.tril(root @ root.swapaxes(1, 2))
    return found.shaped(lower + np.tril(lower, -1).swapaxes(1, 2))


def standard_errors(
    solver: Solver,
    x: ArrayLike | None,
    coords: Entries,
    kind: str = "observed",
    of: str = "coordinates",
    weights: ArrayLike | None = None,
    count: float | None = None,
) -> Array:
    """The square roots of the variances, (…, Q)."""
    found = estimate(solver, x, coords, kind, weights, count)
    return found.shaped(np.linalg.norm(pushed(solver, found, of), axis=-1))


def criteria(
    solver: Solver,
    x: ArrayLike,
    coords: Entries,
    weights: ArrayLike | None = None,
    count: float | None = None,
) -> Criteria:
    """AIC and BIC, and a ConditionWarning where the model is too near to where it is singular."""
    mean = solver.log_likelihood(x, coords, weights)
    points = check.sample(x, solver.form.support)
    size = number_of_points(points, check.sample_weights(weights, points.size), count)
    (rows, shape), point = solver._point(coords)
    names = solver.chart.coordinates
    spectrum = Spectrum.of(solver.information(rows, point))
    bad = spectrum.singular
    if bad.any():
        b = int(bad.argmax())
        text = problem(
            f"the Fisher information is singular in double precision {place(bad, shape)}: AIC and "
            "BIC count parameters that the data do not see",
            f"least eigenvalue {spectrum.least[b]:.1e} of the largest, mostly along "
            f"{spectrum.along(b, names)}",
            "a point where the model is regular, or a model with fewer components",
        )
        warnings.warn(text, ConditionWarning, stacklevel=5)
    if not bad.all():
        root = spectrum.take(~bad).inverse_root() / np.sqrt(size)
        near = nearest(solver.chart, solver.form, rows[:, ~bad], root)
        warn_of_overlap(near, shape if not bad.any() else root.shape[:1], "AIC and BIC", 6)
    learned = min(len(names), len(solver.chart.parameters))
    return information_criteria(mean, learned, size)
