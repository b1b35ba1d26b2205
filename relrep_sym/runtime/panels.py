"""Gauss-Legendre panels on the line, each as long as what lies off the line lets it be.

In: ranges and landmarks, an array column for each member of a batch. A landmark is a singularity of
the integrand (`zeros`), or stands for a weight of known scale: a Gaussian of scale s asks for
panels of at most `WIDEST` s, which is what a singularity at the height `RISE` s above asks for.
Out: the panels' edges, and their nodes and steps.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["PANEL_ERROR", "RISE", "WIDEST", "panel_edges", "panel_nodes"]

Array = NDArray[np.float64]

_POINTS = 16
_RHO = 3.6  # landmarks are outside the Bernstein ellipse with this sum of half-axes on each panel
_KAPPA = 0.5 * (_RHO + 1.0 / _RHO)
_MOST = 4096  # panels of one member

PANEL_ERROR = 400.0 * _RHO ** (-2.0 * _POINTS)
"""Relative error with double poles on the ellipse, and the weight's growth there (measured)."""

WIDEST = 2.5
"""Panel length over the scale of the weight."""

RISE = 0.5 * WIDEST * (_KAPPA - 1.0 / _KAPPA)


def panel_edges(start: Array, end: Array, left: Array, right: Array, height: Array) -> Array:
    """Panel edges (n + 1, m) from `start` to `end`, the last repeated where a member has fewer.

    A panel [x, x + l] keeps clear of z where |z - x| + |z - x - l| >= kappa l, which is linear in
    l: l (kappa**2 - 1) <= 2 (kappa |z - x| - Re(z - x)). A landmark from `left` to `right` stands
    where it is nearest to x.
    """
    edges, x = [start], start
    square, scale = height * height, 2.0 / (_KAPPA**2 - 1.0)
    while (x < end).any() and len(edges) <= _MOST:
        ahead = np.clip(x, left, right) - x
        length = (_KAPPA * np.sqrt(ahead * ahead + square) - ahead).min(axis=0)
        x = np.minimum(x + scale * length, end)
        edges.append(x)
    panels = np.array(edges)
    panels[:, x < end] = np.nan
    return panels


@lru_cache(maxsize=1)
def _gauss() -> tuple[Array, Array, Array]:
    """Nodes and weights (16, 1) of Gauss-Legendre on [-1, 1], and D^T: D differentiates there."""
    nodes, weights = np.polynomial.legendre.leggauss(_POINTS)
    gaps = nodes[:, None] - nodes + np.eye(_POINTS)
    pole = gaps.prod(axis=1)
    matrix = pole[:, None] / pole / gaps
    np.fill_diagonal(matrix, 0.0)
    np.fill_diagonal(matrix, -matrix.sum(axis=1))
    return nodes[:, None], weights[:, None], matrix.T


def panel_nodes(edges: Array) -> tuple[Array, Array]:
    """Nodes and steps (16 n, m) of panels with `edges` (n + 1, m).

    A node x rounds by delta: the steps lose D^T (steps delta), so that the rule stays exact for
    polynomials of degree 15 at the nodes as they are.
    """
    nodes, weights, transposed = _gauss()
    low = edges[:-1, None]
    half = 0.5 * (edges[1:, None] - low)
    offset = half * (1.0 + nodes)
    x = low + offset
    steps = half * weights - transposed @ (weights * ((x - low) - offset))
    return x.reshape(-1, edges.shape[1]), steps.reshape(-1, edges.shape[1])
