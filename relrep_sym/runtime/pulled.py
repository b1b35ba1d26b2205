"""Second-order tables by component brought into a chart: its pull-back from one side or from both.

In: a generated chart, its coordinates (…, B) and adjoints by component. Out: tables by coordinate.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from relrep_sym.runtime.chart import Chart
from relrep_sym.runtime.check import Array
from relrep_sym.runtime.point import Point

__all__ = ["both_sides", "pulled", "stacked"]


def pulled(
    chart: Chart, point: Point, rows: Array, by_weight: Array | None, by_family: Sequence[Array]
) -> Sequence[Array]:
    """The chart's pull-back of adjoints by component as they stand in the point, (K, B, …).

    Those by weights are relative to the last, K − 1 rows, or None for zero.
    """
    families = tuple(by_family)
    if by_weight is None:
        whole = np.zeros((len(families[0]), *(1,) * (rows.ndim - 1)))
    else:
        whole = np.concatenate([by_weight, np.zeros_like(by_weight[:1])])
        whole = point.in_place(whole)
    return chart.pull_back(rows, whole, *(point.in_place(a) for a in families))


def stacked(rows: Sequence[Array | float], shape: tuple[int, ...]) -> Array:
    """The rows of a pull-back as one table, those that are zero or shared filled in."""
    out = np.empty((len(rows), *shape))
    for target, row in zip(out, rows, strict=True):
        target[...] = row
    return out


def both_sides(chart: Chart, rows: Array, point: Point, sides: Sequence[Array]) -> Array:
    """J T Jᵀ (B, P, P) of a symmetric table T: ``sides[j]`` is (K, B, K, roles), the entries of
    family parameter j of each component against each of each.
    """
    k, batch, _, roles = sides[0].shape
    count = len(chart.coordinates)
    half = stacked(pulled(chart, point, rows[..., None, None], None, sides), (batch, k, roles))
    inner = [half[..., i].transpose(2, 1, 0) for i in range(roles)]
    whole = pulled(chart, point, rows[..., None], None, inner)
    return stacked(whole, (batch, count)).swapaxes(0, 1)
