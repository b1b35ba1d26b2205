"""What a kink adds to the Hessian of an expected log-likelihood.

In: a chart, points whose components have a kink |x − m_k|, and a truth. Out: for each component the
jump of its slope where x passes m_k, times the density of x there. Summed over a sample, second
derivatives hold almost everywhere; in an expectation the kinks of all x together bend the mean, and
a weighted sample of nodes, none of which lies on a kink, cannot tell by how much.
"""

from __future__ import annotations

import numpy as np

from relrep_sym.errors import DerivationError, problem
from relrep_sym.runtime import kernel
from relrep_sym.runtime.chart import Chart
from relrep_sym.runtime.check import Array, Support
from relrep_sym.runtime.expectation import Nodes, Truth, density_at
from relrep_sym.runtime.point import Form, Point
from relrep_sym.runtime.second import of_components

__all__ = ["bend_of_kinks", "insist_density", "kink_places"]


def insist_density(form: Form, truth: Truth | Nodes) -> None:
    """Refuse nodes without a density for a family with a kink."""
    if form.kink is not None and isinstance(truth, Nodes) and _continuous(form.support):
        raise DerivationError(
            problem(
                "the Hessian of an expectation needs the truth's density where log f has a kink",
                "(nodes, weights)",
                "a mixture truth: (weights, " + ", ".join(form.names) + "); or `hessian`, which "
                "holds almost everywhere for a sample",
            )
        )


def kink_places(form: Form, parameters: tuple[Array, ...]) -> Array:
    """The x at which each component has its kink, of the shape of its parameters."""
    assert form.kink is not None
    out: Array = -form.kink(np.zeros(1), *parameters) + 0.0 * parameters[0]
    return out


def bend_of_kinks(chart: Chart, rows: Array, point: Point, truth: Truth) -> Array:
    """Σ_k q(m_k) r_k(m_k) times the jumps of the slopes there, in the chart, (B, P, P)."""
    form, (k, batch) = point.form, point.heights.shape
    count = len(chart.coordinates)
    if form.jumps is None or not _continuous(form.support):
        return np.zeros((batch, count, count))
    places = kink_places(form, point.components.parameters)
    at = np.ascontiguousarray(places.T)  # (B, K): K points for each member
    low, high = _ends(form.support)
    inside = (at > low) & (at < high)
    density = np.where(inside, density_at(truth, np.where(inside, at, _within(low, high))), 0.0).T
    ratios = np.zeros((k, batch))

    def use(b, i, part, _, block, __):  # type: ignore[no-untyped-def]
        here = block.ratios * part.heights[..., None]
        for n in range(i.start, i.stop):
            ratios[n, b] = here[n, :, n - i.start]

    kernel.over_blocks(point, at, None, use)
    jumps = form.jumps(*point.components.parameters)
    curved = [density * np.where(density > 0.0, ratios, 0.0) * jump for jump in jumps]
    return of_components(chart, rows, point, curved)


def _continuous(support: Support) -> bool:
    return support in ("line", "half-line") or (
        not isinstance(support, str) and support[0] == "interval"
    )


def _ends(support: Support) -> tuple[float, float]:
    if isinstance(support, str):
        return (0.0 if support == "half-line" else -np.inf), np.inf
    return float(support[1]), float(support[2])


def _within(low: float, high: float) -> float:
    if np.isfinite(low):
        return 0.5 * (low + high) if np.isfinite(high) else low + 1.0
    return 0.0
