"""Confidence intervals: Wald's in the chart, mapped to θ where the map is of one coordinate.

In: an estimate's root (:mod:`.inference`) and a level. Out: intervals inside the domains.

Which coordinates are used matters here: an interval is symmetric in the coordinate in which it is
made. A parameter that depends on one coordinate alone has the image of that coordinate's interval
(σ = exp ξ: an interval that is positive and not symmetric); one of several, and a view's function,
is taken as normal itself, by the delta method.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from relrep_sym.errors import DataError, problem
from relrep_sym.runtime.check import Array, Coords, Entries
from relrep_sym.runtime.inference import Estimate, estimate, pushed

if TYPE_CHECKING:
    from relrep_sym.runtime.solver import Solver

__all__ = ["confidence_intervals"]

_ALONG = 65
"""Points of an interval at which a function of its coordinate is looked at."""


def confidence_intervals(
    solver: Solver,
    x: ArrayLike | None,
    coords: Entries,
    level: float = 0.95,
    kind: str = "observed",
    of: str = "coordinates",
    weights: ArrayLike | None = None,
    count: float | None = None,
) -> Array:
    """Lower and upper ends, (…, Q, 2)."""
    number = isinstance(level, int | float | np.number) and not isinstance(level, bool)
    if not number or not 0 < level < 1:
        raise DataError(problem("level is no probability of an interval", level, "in (0, 1)"))
    reach = -NormalDist().inv_cdf(0.5 * (1.0 - float(level)))
    found = estimate(solver, x, coords, kind, weights, count)
    error = np.linalg.norm(pushed(solver, found, of), axis=-1).T
    chart, rows = solver.chart, found.given.rows
    names, batch = chart.coordinates, rows.shape[1]
    if of == "view":
        assert chart.view is not None  # `pushed` has refused it
        centre = np.array([np.broadcast_to(v, batch) for v in chart.view(rows)])
        return _shaped(found, centre - reach * error, centre + reach * error)
    low, high = (np.array(e[: len(names)])[:, None] for e in (chart.lower, chart.upper))
    if of == "coordinates":
        centre = rows[: len(names)]
        lower, upper = centre - reach * error, centre + reach * error
        return _shaped(found, np.maximum(lower, low), np.minimum(upper, high))
    centre = np.array([np.broadcast_to(v, batch) for v in chart.to_model(rows)])
    lower, upper = centre - reach * error, centre + reach * error
    own = reach * np.linalg.norm(found.root, axis=-1).T
    ends = np.array([np.maximum(rows[: len(names)] - own, low),
                     np.minimum(rows[: len(names)] + own, high)])  # fmt: skip
    for j, entries in _of_one(solver, rows).items():
        least, most = _image(solver, found.given, j, ends[:, j])
        lower[entries], upper[entries] = least[entries], most[entries]
    low, high = _ends_of_theta(solver, centre)
    return _shaped(found, np.maximum(lower, low), np.minimum(upper, high))


def _shaped(found: Estimate, lower: Array, upper: Array) -> Array:
    return found.shaped(np.stack([lower.T, upper.T], axis=-1))


def _of_one(solver: Solver, rows: Array) -> dict[int, list[int]]:
    """Coordinates with the entries of θ that depend on that coordinate alone.

    An entry depends on a coordinate where it is NaN when the coordinate is.
    """
    chart, count = solver.chart, len(solver.chart.coordinates)
    asked = np.repeat(rows[:, :1], count, axis=1)
    asked[np.arange(count), np.arange(count)] = np.nan
    found = np.array([np.broadcast_to(v, count) for v in chart.to_model(asked)])
    depends = np.isnan(found)
    out: dict[int, list[int]] = {}
    for i in np.flatnonzero(depends.sum(axis=1) == 1):
        out.setdefault(int(depends[i].argmax()), []).append(int(i))
    return out


def _image(solver: Solver, given: Coords, j: int, ends: Array) -> tuple[Array, Array]:
    """The least and the largest values of θ along coordinate j's interval, (Pθ, B) each.

    Exact where they are at its ends: where the map is monotone.
    """
    part = np.linspace(0.0, 1.0, _ALONG)[:, None]
    moved = np.repeat(given.rows[:, None, :], _ALONG, axis=1)
    moved[j] = (1.0 - part) * ends[0] + part * ends[1]
    found = solver.chart.to_model(moved.reshape(len(moved), -1))
    values = np.array([np.broadcast_to(v, moved[0].size) for v in found])
    values = values.reshape(len(values), *moved[0].shape)
    return values.min(axis=1), values.max(axis=1)


def _ends_of_theta(solver: Solver, theta: Array) -> tuple[Array, Array]:
    """The ends of the domain of each entry of θ, (Pθ, 1) each.

    An entry is a weight, or a parameter of the family, by which of these is NaN when it is.
    """
    count, form = len(theta), solver.form
    asked = np.repeat(theta[:, :1], count, axis=1)
    asked[np.arange(count), np.arange(count)] = np.nan
    with np.errstate(invalid="ignore"):
        weights, parameters, _ = solver.chart.model_components(asked)
    lower, upper = np.full((2, count, 1), np.inf)
    lower *= -1.0
    is_weight = np.isnan(weights).any(axis=0)
    lower[is_weight], upper[is_weight] = 0.0, 1.0
    highest = form.upper or (np.inf,) * len(form.names)
    for row, positive, top in zip(parameters, form.positive, highest, strict=True):
        own = np.isnan(row).any(axis=0)
        lower[own] = 0.0 if positive else -np.inf
        upper[own] = top
    return lower, upper
