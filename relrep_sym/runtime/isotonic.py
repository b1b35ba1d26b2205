"""Weighted isotonic regression of many short sequences at once.

In: values and positive weights, (K, B), a sequence a column. Out: the nearest ascending sequences,
with the multipliers of u_k ≤ u_{k+1}. The first term of every ordered M-step; NumPy only.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from relrep_sym.errors import DataError, problem
from relrep_sym.runtime.check import Array

__all__ = ["Isotonic", "balanced", "isotonic", "runs"]


class Isotonic(NamedTuple):
    """Where ½ Σ_k w_k (v_k − u_k)² is least among u_1 ≤ … ≤ u_K.

    Attributes:
        fit: u, (K, B); equal bits within a pooled block.
        multipliers: y_k ≥ 0 of u_k ≤ u_{k+1}, (K − 1, B): the sum of w_l (v_l − u_l) over l ≤ k;
            zero where the inequality is strict.
        residual: what is left of the Karush-Kuhn-Tucker conditions, (B,), relative to
            Σ w (|v| + |u|): rounding, some 1e-16.
    """

    fit: Array
    multipliers: Array
    residual: Array


def isotonic(values: Array, weights: Array) -> Isotonic:
    """The ascending sequences nearest to ``values`` (K, B) in the weights (K, B), all > 0.

    By u_k = max_{i ≤ k} min_{j ≥ k} of the weighted mean of v_i … v_j (Robertson, Wright & Dykstra
    1988, chapter 1): K(K + 1)/2 means, no branch, and ascending to the last bit. The means of
    the blocks that come out are then computed anew about themselves, to the last digits also where
    weights differ by 1e24.

    Raises DataError for a value that is not finite, and for a weight that is not positive and
    finite: a point of weight zero has no one place.

    >>> import numpy as np
    >>> found = isotonic(np.array([[1.0], [3.0], [2.0]]), np.ones((3, 1)))
    >>> found.fit[:, 0], found.multipliers[:, 0]
    (array([1. , 2.5, 2.5]), array([0. , 0.5]))
    """
    if np.ndim(values) != 2 or np.shape(values) != np.shape(weights) or len(values) < 1:
        shapes = f"{np.shape(values)} and {np.shape(weights)}"
        raise DataError(problem("values and weights differ in shape", shapes, "(K, B), both"))
    if not np.isfinite(values).all():
        raise DataError(problem("a value is not finite", _odd(values), "finite values"))
    if not (weights > 0).all() or not np.isfinite(weights).all():
        wrong = "a weight of an isotonic regression is not positive"
        raise DataError(problem(wrong, _odd(weights, above=0.0), "finite weights > 0"))
    pooled = np.zeros((len(values) - 1, values.shape[1]), dtype=bool)
    some = np.flatnonzero((values[1:] < values[:-1]).any(axis=0))
    if len(some):
        fit = _minimax(values[:, some], weights[:, some])
        pooled[:, some] = fit[1:] == fit[:-1]
    for _ in range(2 * len(values)):
        high, low = _means(values, weights, pooled)
        falls = high[1:] < high[:-1]  # blocks that rounding alone told apart
        multipliers, residual = _multipliers(values, weights, high, low, pooled)
        apart = pooled & (multipliers < 0)  # blocks that rounding alone made one
        if not falls.any() and not apart.any():
            break
        pooled = (pooled & ~apart) | falls
    return Isotonic(high, np.maximum(multipliers, 0.0), residual)


def _odd(values: Array, above: float = -np.inf) -> str:
    good = np.isfinite(values) & (values > above)
    k, b = np.argwhere(~good)[0]
    return f"{values[k, b]} at {k + 1} of sequence {b}"


def _minimax(values: Array, weights: Array) -> Array:
    """max_{i ≤ k} min_{j ≥ k} of the means of i … j."""
    count = len(values)
    out = np.full(values.shape, -np.inf)
    means = np.empty(values.shape)
    for i in range(count):
        total = weights[i].copy()
        means[i] = values[i]
        for j in range(i + 1, count):
            total += weights[j]
            means[j] = means[j - 1] + (values[j] - means[j - 1]) * (weights[j] / total)
        least = np.full(values.shape[1], np.inf)
        for j in range(count - 1, i - 1, -1):
            np.minimum(least, means[j], out=least)
            np.maximum(out[j], least, out=out[j])
    return out


def _means(values: Array, weights: Array, pooled: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Means over the runs of rows that ``pooled`` (K − 1, B) joins: (K, B), and what rounding left.

    The sum of both is the mean to nearly twice the digits of a double.
    """
    high, low = values.astype(float), np.zeros(values.shape)
    if not pooled.any():
        return high, low
    some = np.flatnonzero(pooled.any(axis=0))
    v, w, joined = values[:, some], weights[:, some], pooled[:, some]
    mass = runs(np.add, w, joined)
    about = runs(np.maximum, v, joined)  # any point of the run would do
    for _ in range(2):
        about = about + runs(np.add, w * (v - about), joined) / mass
    difference, rest = _two_difference(v, about)
    left = runs(np.add, w * (difference + rest), joined) / mass
    high[:, some] = about + left
    low[:, some] = (about - high[:, some]) + left
    return high, low


def runs(combine: np.ufunc, rows: Array, joined: NDArray[np.bool_]) -> Array:
    """The rows combined over each run that ``joined`` makes, given to all of the run."""
    out = rows.copy()
    for k in range(1, len(out)):
        out[k] = np.where(joined[k - 1], combine(out[k - 1], out[k]), out[k])
    for k in range(len(out) - 1, 0, -1):
        out[k - 1] = np.where(joined[k - 1], out[k], out[k - 1])
    return out


def _two_difference(a: Array, b: Array) -> tuple[Array, Array]:
    """a − b rounded, and its rounding error (Knuth)."""
    s = a - b
    t = s - a
    return s, (a - (s - t)) - (b + t)


def _multipliers(
    values: Array, weights: Array, high: Array, low: Array, pooled: NDArray[np.bool_]
) -> tuple[Array, Array]:
    """Σ_{l ≤ k} w_l (v_l − u_l) within blocks, and the residual of the conditions."""
    count, batch = values.shape
    if not pooled.any():
        return np.zeros((count - 1, batch)), np.zeros(batch)
    difference, rest = _two_difference(values, high)
    found = balanced(weights * (difference + (rest - low)), pooled)
    scale = (weights * (np.abs(values) + np.abs(high))).sum(axis=0)
    whole = np.abs(runs(np.add, weights * (values - high), pooled))
    worst = np.maximum(whole.max(axis=0), -found.min(axis=0, initial=0.0))
    return found, np.divide(worst, scale, out=np.zeros(batch), where=scale > 0)


def balanced(pulls: Array, pooled: NDArray[np.bool_]) -> Array:
    """The sum of a block's pulls up to k, (K − 1, B): a multiplier; zero between blocks.

    A block's pulls sum to zero, so that those after k give it, too: the side with less in it, which
    has less rounding, is taken.
    """
    sides = []
    for rows, joined in ((pulls[:-1], pooled[:-1]), (pulls[:0:-1], pooled[:0:-1])):
        total, size = rows.copy(), np.abs(rows)
        for k in range(1, len(rows)):
            total[k] += np.where(joined[k - 1], total[k - 1], 0.0)
            size[k] += np.where(joined[k - 1], size[k - 1], 0.0)
        sides.append((total, size))
    (left, left_size), (right, right_size) = sides
    found = np.where(left_size <= right_size[::-1], left, -right[::-1])
    return np.where(pooled, found, 0.0)
