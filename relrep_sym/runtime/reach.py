"""How far a search goes at first where no curvature says so: by a parameter's own size.

In: a chart, coordinates and a direction. Out: a length of the direction that does not depend on the
units of x, nor on those of the coordinates.
"""

from __future__ import annotations

import numpy as np

from relrep_sym.runtime.chart import Chart
from relrep_sym.runtime.check import Array
from relrep_sym.runtime.objective import jacobian
from relrep_sym.runtime.point import Form

__all__ = ["reach"]


def reach(chart: Chart, form: Form, rows: Array, direction: Array) -> Array:
    """The multiple of a direction (P, B) that changes a parameter by its own size, (B,).

    The size of a weight is one, that of a location, and of whatever else is a power of a length,
    comes from its component's scale. Where the direction moves no parameter the multiple is one.
    """
    with np.errstate(all="ignore"):
        _, parameters, _ = chart.components(rows)
        sizes = [np.ones((form.components, rows.shape[1]))]
        scales = [
            p ** (1.0 / d)
            for p, d, positive in zip(parameters, form.units, form.positive, strict=False)
            if d and positive
        ]
        for i, (p, positive) in enumerate(zip(parameters, form.positive, strict=True)):
            power = form.units[i] if form.units else 0.0
            if positive:
                sizes.append(p)
            elif power and scales:
                sizes.append(scales[0] ** power)
            else:
                sizes.append(np.maximum(np.abs(p), 1.0))  # a number without a unit
        slopes = jacobian(chart, form, rows)
        speed = np.abs(np.einsum("pbi,pb->ib", slopes, direction)) / np.concatenate(sizes)
        out = 1.0 / speed.max(axis=0)
    return np.where(np.isfinite(out) & (out > 0.0), out, 1.0)
