"""The size of each coordinate of a chart, by which an absolute tolerance is measured.

In: a solver, coordinates and a truth. Out: for each member and coordinate the step that changes, to
first order, a weight by one, a positive parameter by itself or a location by its component's
scale: the least of these. It has the coordinate's units, so that tolerances in it hold in any.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from relrep_sym.runtime.check import Array
from relrep_sym.runtime.expectation import Nodes, Truth
from relrep_sym.runtime.point import Parts
from relrep_sym.runtime.pulled import stacked

if TYPE_CHECKING:
    from relrep_sym.runtime.evaluated import Evaluated

__all__ = ["scales"]


def scales(solver: Evaluated, rows: Array, truth: Truth | Nodes) -> Array:
    """Positive sizes (P, B) at coordinates and constants (…, B)."""
    chart, form = solver.chart, solver.form
    count, batch = len(chart.coordinates), rows.shape[1]
    roles, k = len(form.names), form.components
    with np.errstate(all="ignore"):
        parts = chart.components(rows)
        sizes = _sizes(solver, rows, parts, truth)
        # weights but the last, then family parameters
        seeds = [np.zeros((k, batch, k - 1 + roles * k)) for _ in range(1 + roles)]
        for i in range(k - 1):
            seeds[0][i, :, i] = 1.0
        for f in range(roles):
            for i in range(k):
                seeds[1 + f][i, :, k - 1 + f * k + i] = 1.0
        found = stacked(chart.pull_back(rows[..., None], *seeds), seeds[0].shape[1:])
        units = np.concatenate([np.ones((k - 1, batch)), sizes.reshape(-1, batch)])
        room = units.T / np.abs(found)  # (P, B, entries)
        out: Array = np.where(np.isnan(room), np.inf, room).min(axis=2, initial=np.inf)
        for j, b in np.argwhere(~((out > 0) & np.isfinite(out))):
            out[j, b] = _bent(solver, rows[:, b], j, parts, sizes, b)
    assert out.shape == (count, batch)
    return out


def _sizes(solver: Evaluated, rows: Array, parts: Parts, truth: Truth | Nodes) -> Array:
    """What each family parameter is measured by, (roles, K, B)."""
    form = solver.form
    out = []
    for f, (values, positive) in enumerate(zip(parts[1], form.positive, strict=True)):
        if positive:
            out.append(np.abs(values))
        elif f == form.location and form.scale is not None:
            out.append(np.abs(parts[1][form.scale]))
        elif f == form.location:
            x, w = solver.nodes(truth, rows[:, 0])
            centre = np.average(x, weights=w)
            width = np.sqrt(np.average((x - centre) ** 2, weights=w))
            out.append(np.full_like(values, width if width > 0 else 1.0))
        else:
            out.append(np.maximum(np.abs(values), 1.0))
    shape = np.broadcast_shapes(*(a.shape for a in out), (form.components, rows.shape[1]))
    return np.stack([np.broadcast_to(a, shape) for a in out])


def _bent(solver: Evaluated, row: Array, j: int, parts: Parts, sizes: Array, b: int) -> float:
    """The same for a coordinate that moves nothing to first order, as a square at zero does."""
    moved = row.copy()
    step = max(1.0, abs(row[j]))
    moved[j] += step
    there = solver.chart.components(moved[:, None])
    most = float(np.max(np.abs(there[0][:, 0] - parts[0][:, b]), initial=0.0))
    for size, after, before in zip(sizes, there[1], parts[1], strict=True):
        change = np.abs(after[:, 0] - before[:, b]) / size[:, b]
        most = max(most, float(np.nanmax(change, initial=0.0)))
    return step / np.sqrt(most) if 0 < most < np.inf else step
