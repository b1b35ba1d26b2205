"""The M-step of weighted medians, exactly.

In: a generated :class:`~relrep_sym.runtime.closed.Medians`, a point and a weighted sample. Out: for
each member of the batch the weights and family parameters that maximise Q: μ is a weighted median
of x, found by sorting, and the rest follows from E[r |x − μ|] in closed form.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from relrep_sym.runtime import kernel
from relrep_sym.runtime.check import Array
from relrep_sym.runtime.claims import claimed
from relrep_sym.runtime.closed import Medians
from relrep_sym.runtime.point import Point

__all__ = ["median_parameters", "weighted_median"]


def weighted_median(x: Array, shares: Array) -> float:
    """The middle of the points at which Σ shares |x − m| is least; x sorted, (n,) both.

    >>> weighted_median(np.array([1.0, 2.0, 4.0, 7.0]), np.array([1.0, 1.0, 1.0, 1.0]))
    3.0
    >>> weighted_median(np.array([1.0, 2.0, 4.0]), np.array([1.0, 1.0, 9.0]))
    4.0
    """
    below = np.cumsum(shares)
    half = 0.5 * below[-1]
    slack = 4.0 * np.finfo(float).eps * below[-1]
    first, last = np.searchsorted(below, [half - slack, half + slack])
    first, last = (min(int(i), len(x) - 1) for i in (first, last))
    while shares[last] == 0.0 and last > first:  # what has no share is no end of the interval
        last -= 1
    return float(x[first] + 0.5 * (x[last] - x[first]))


def median_parameters(
    how: Medians,
    point: Point,
    mass: Array,
    x: Array,
    weights: Array | None,
    members: NDArray[np.intp],
) -> tuple[Array, tuple[Array, ...]]:
    """Weights and family parameters after the step, (K, members) each."""
    part = point.take(members)
    old = part.components.parameters
    tension = how.tension(*old)
    places, away = old[how.location].copy(), np.zeros_like(old[how.location])
    order: NDArray[np.intp] | None = None
    for i, b in enumerate(members):
        here = x[b] if x.ndim == 2 else x
        if order is None or x.ndim == 2:
            order = np.argsort(here, kind="stable")
            ordered = here[order]
        shares = _shares(part.take(np.array([i])), here, _of(weights, b))
        for group in how.groups:
            total = sum(tension[k, i] * shares[k] for k in group)
            places[list(group), i] = weighted_median(ordered, np.asarray(total)[order])
        for k, share in enumerate(shares):
            away[k, i] = share @ np.abs(here - places[k, i]) / share.sum()
    new = tuple(places if j == how.location else p for j, p in enumerate(old))
    return how.step(mass[:, members], away, *new)


def _of(weights: Array | None, member: int) -> Array | None:
    return weights[member] if weights is not None and weights.ndim == 2 else weights


def _shares(alone: Point, x: Array, weights: Array | None) -> Array:
    """w r_k of one member at every point, (K, n)."""
    out = np.empty((len(alone.heights), x.size))

    def use(_, i, part, __, block, ___):  # type: ignore[no-untyped-def]
        out[:, i] = claimed(part, block)[:, 0]

    kernel.over_blocks(alone, x, weights, use)
    return out
