"""Differences of components that nearly coincide, from the derivatives of a log-density.

In: a point whose form has slopes, points x, and the log-odds as differences of two log-densities.
Out: the log-odds to their digits. Where log f separates, log f(x | φ + δ) − log f(x | φ) is known
in closed form without cancellation (``Form.odds``); where it does not, it is the integral of the
slopes along the way,

    Σ_i δ_i ∫₀¹ ∂_i log f(x | φ + t δ) dt,

which keeps the digits of δ. Where a kink |x − μ| lies on the way, the way is cut there. The
difference of two slopes is the same integral of second derivatives, where no kink lies on it.
"""

from __future__ import annotations

import itertools

import numpy as np

from relrep_sym.runtime.check import Array
from relrep_sym.runtime.point import Point

__all__ = ["contrast_by_curves", "log_odds_by_slopes"]


def _rule(count: int) -> list[tuple[float, float]]:
    points, masses = np.polynomial.legendre.leggauss(count)
    return [(0.5 * (1.0 + float(p)), 0.5 * float(m)) for p, m in zip(points, masses, strict=True)]


_FINE, _CHECK = _rule(10), _rule(7)
_SLACK = 32 * np.finfo(float).eps


def log_odds_by_slopes(point: Point, x: Array, plain: Array, last: Array) -> Array:
    """log f_k − log f_K, (K − 1, B, n), at points x, (n,) or (B, n).

    Two Gauss-Legendre rules must agree to rounding, or to what rounding has left of ``plain``, the
    difference of two log-densities, of which ``last`` is one; where they do not, the components
    are far apart for this x, and ``plain`` stands.
    """
    form, c = point.form, point.components
    assert form.slopes is not None
    steps = tuple(d[..., None] for d in c.differences)
    start = tuple(p[-1:, :, None] for p in c.parameters)
    cuts = [np.zeros(1), np.ones(1)]
    if form.kink is not None:
        before = form.kink(x, *start)
        change = form.kink(x, *(s + d for s, d in zip(start, steps, strict=True))) - before
        with np.errstate(all="ignore"):
            crossing = np.where(change != 0.0, -before / change, 0.0)
        cuts.insert(1, np.clip(np.nan_to_num(crossing), 0.0, 1.0))
    fine, check, size = (np.zeros(plain.shape) for _ in range(3))
    with np.errstate(all="ignore"):
        for low, high in itertools.pairwise(cuts):
            for total, rule in ((fine, _FINE), (check, _CHECK)):
                for t, w in rule:
                    at = low + (high - low) * t
                    here = (s + at * d for s, d in zip(start, steps, strict=True))
                    slopes = form.slopes(x, *here)
                    for slope, d in zip(slopes, steps, strict=True):
                        part = (w * (high - low)) * (slope * d)
                        total += part
                        if total is fine:
                            size += np.abs(part)
        room = np.maximum(_SLACK * size, 4 * np.finfo(float).eps * (1.0 + np.abs(last)))
        good = np.abs(fine - check) <= room
    out: Array = np.where(good, fine, plain)
    return out


def contrast_by_curves(
    point: Point, x: Array, plain: list[Array], sizes: list[Array]
) -> list[tuple[Array, Array]]:
    """∂ log f_k/∂φ − ∂ log f_K/∂φ by family parameter, and the size of its terms, (K − 1, B, n).

    ``plain`` are the differences of the slopes themselves, and ``sizes`` the sums of their absolute
    values: these stand where the two rules do not agree, or where a kink lies between the two.
    """
    form, c = point.form, point.components
    assert form.curves is not None
    roles = len(form.names)
    pairs = [(i, j) for i in range(roles) for j in range(i, roles)]
    steps = tuple(d[..., None] for d in c.differences)
    start = tuple(p[-1:, :, None] for p in c.parameters)
    fine, check, size = (np.zeros((roles, *plain[0].shape)) for _ in range(3))
    with np.errstate(all="ignore"):
        for total, rule in ((fine, _FINE), (check, _CHECK)):
            for t, w in rule:
                here = (s + t * d for s, d in zip(start, steps, strict=True))
                for (i, j), curve in zip(pairs, form.curves(x, *here), strict=True):
                    for row, step in {(i, j), (j, i)}:
                        part = w * (curve * steps[step])
                        total[row] += part
                        if total is fine:
                            size[row] += np.abs(part)
        apart = np.zeros(plain[0].shape, bool)
        if form.kink is not None:
            end = (s + d for s, d in zip(start, steps, strict=True))
            apart |= form.kink(x, *start) * form.kink(x, *end) <= 0.0
    out = []
    for i, (difference, terms) in enumerate(zip(plain, sizes, strict=True)):
        room = np.maximum(_SLACK * size[i], 4 * np.finfo(float).eps * terms)
        good = ~apart & (np.abs(fine[i] - check[i]) <= room)
        out.append((np.where(good, fine[i], difference), np.where(good, size[i], terms)))
    return out
