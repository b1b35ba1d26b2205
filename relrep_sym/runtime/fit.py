"""Fits: the driver and its result.

In: a chart's generated functions, a start and a weighted sample. Out: :class:`Fit`. Not
converged is a flag with a reason, never an exception, and never silent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from relrep_sym.errors import DataError, problem
from relrep_sym.runtime.chart import Chart
from relrep_sym.runtime.check import Array
from relrep_sym.runtime.em import Preimage, em_step
from relrep_sym.runtime.point import Point

__all__ = ["Fit", "fit"]


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


def fit(
    chart: Chart,
    preimage: Preimage,
    point_at: Callable[[Array], Point],
    rows: Array,
    x: Array,
    weights: Array | None,
    *,
    tol: float,
    max_iter: int,
) -> Fit:
    """EM from one start until a step gains no more than ``tol`` in mean log-likelihood.

    ``rows`` (P + C, 1) are the start and the constants; ``point_at`` makes a point of such rows.
    """
    if not isinstance(tol, int | float | np.integer | np.floating) or not 0 <= tol < np.inf:
        raise DataError(problem("tol is not a tolerance", tol, "a number >= 0"))
    if isinstance(max_iter, bool) or not isinstance(max_iter, int | np.integer) or max_iter < 1:
        raise DataError(problem("max_iter is not a count", max_iter, "an integer >= 1"))
    history: list[float] = []
    converged, reason = False, f"max_iter = {max_iter} steps were taken"
    count = len(chart.coordinates)
    while True:
        taken = em_step(chart, preimage, rows, point_at(rows), x, weights)
        history.append(float(taken.expected.found.log_likelihood[0]))
        if len(history) > 1 and history[-1] - history[-2] <= tol:
            converged, reason = True, f"a step gained {history[-1] - history[-2]:.3g} <= tol"
            break
        if len(history) > max_iter:
            break
        if taken.failures:
            reason = str(taken.failures[0])
            break
        rows = np.concatenate([taken.rows, rows[count:]])
    theta = chart.to_model(rows)
    parameters = {n: float(np.ravel(v)[0]) for n, v in zip(chart.parameters, theta, strict=True)}
    return Fit(rows[:count, 0], parameters, np.array(history), len(history) - 1, converged, reason)
