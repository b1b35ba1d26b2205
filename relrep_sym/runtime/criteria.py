"""Akaike's and Schwarz's information criteria: one formula for fits and for any coordinates.

In: a mean log-likelihood, how many coordinates were learned, and of how many points. Out:
:class:`Criteria`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from relrep_sym.errors import DataError, problem
from relrep_sym.runtime.check import Array

__all__ = ["Criteria", "information_criteria", "number_of_points"]


class Criteria(NamedTuple):
    """Information criteria of a fit; smaller is better.

    Attributes:
        aic: −2 ℓ + 2 P, (…,).
        bic: −2 ℓ + P log N, (…,).
        log_likelihood: ℓ, the total one: N times the mean, (…,).
        parameters: P, how many coordinates were learned (at most as many as θ has).
        points: N.
    """

    aic: Array
    bic: Array
    log_likelihood: Array
    parameters: int
    points: float


def information_criteria(mean: ArrayLike, parameters: int, points: float) -> Criteria:
    """AIC and BIC from the mean log-likelihood over N points.

    >>> information_criteria(-1.5, 2, 100.0)[:3]
    (np.float64(304.0), np.float64(309.2103403719762), np.float64(-150.0))
    """
    total = points * np.asarray(mean, dtype=float)[()]
    return Criteria(
        2.0 * parameters - 2.0 * total,
        parameters * np.log(points) - 2.0 * total,
        total,
        parameters,
        points,
    )


def number_of_points(x: ArrayLike, weights: Array | None, count: float | None) -> float:
    """N: ``count`` where it is given, else how many points have a positive weight.

    >>> number_of_points([3, 4, 5], np.array([0.5, 0.0, 0.5]), None)
    2.0
    """
    if count is None:
        return float(np.size(x) if weights is None else np.count_nonzero(weights))
    number = isinstance(count, int | float | np.number) and not isinstance(count, bool)
    if not number or not 0 < count < np.inf:
        raise DataError(problem("count is no number of points", count, "a number > 0"))
    return float(count)
