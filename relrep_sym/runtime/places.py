"""Where components lie: a centre and a width of each, from their log-densities alone.

In: log-densities of components at points, and a support. Out: for each component a centre (its
location where the family has one, else the highest point of its mass on the support's own axis) and
a width about it. Quadrature breaks its range at the centres, so that a narrow component is seen.

The support's own axis: on the half-line log x, on an interval the logit, on the line asinh x.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from relrep_sym.runtime.check import Array, Support

__all__ = ["ends", "places"]

_ZOOMS = 12
_GRID = 129
_STRIDE = 20
"""Between powers of two at which a width of unknown size is looked for first."""


def ends(support: Support) -> tuple[float, float]:
    """The two ends of a continuous support.

    >>> ends("half-line"), ends(("interval", 0.0, 1.0))
    ((0.0, inf), (0.0, 1.0))
    """
    if support == "line":
        return -np.inf, np.inf
    if support == "half-line":
        return 0.0, np.inf
    low, high = support[1], support[2]
    return float(low), float(high)


def places(
    log_density: Callable[[Array], Array], shape: tuple[int, int], support: Support
) -> tuple[Array, Array]:
    """Centres and widths, (K, B) each, of unimodal densities.

    ``log_density`` takes points (K, B, n) and gives log f_k at them.

    >>> two = np.array([3.0, -1e4])[:, None, None]
    >>> centre, width = places(lambda x: -0.5 * (x - two) ** 2, (2, 1), "line")
    >>> centre.round(3).ravel(), bool((np.abs(np.log2(width)) < 4).all())
    (array([    3., -10000.]), True)
    """
    reach = 80.0 if support == "line" else 600.0 if support == "half-line" else 36.0
    low, high = np.full((*shape, 1), -reach), np.full((*shape, 1), reach)
    part = np.linspace(0.0, 1.0, _GRID)
    # the axis of the line is finer where x is next to zero
    for _ in range(2 * _ZOOMS if support == "line" else _ZOOMS):
        t = low + (high - low) * part
        x, slope = _axis(support, t)
        with np.errstate(all="ignore"):
            height = np.nan_to_num(log_density(x) + np.log(slope), nan=-np.inf, posinf=-np.inf)
        best = np.argmax(height, axis=2)[..., None]
        low, high = (
            np.take_along_axis(t, np.clip(best + i, 0, _GRID - 1), axis=2) for i in (-1, 1)
        )
    centre, _ = _axis(support, 0.5 * (low + high))
    return centre[..., 0], widths(log_density, centre[..., 0], support)


def widths(log_density: Callable[[Array], Array], centre: Array, support: Support) -> Array:
    """A distance from each centre at which a density has fallen by a factor, (K, B).

    It is right within a factor of two, and found on the side where the density falls faster.
    """
    low, high = ends(support)
    with np.errstate(all="ignore"):
        top = log_density(centre[..., None])

        def fallen(distance: Array) -> Array:
            """The first distance at which it has fallen to one side, infinite without one."""
            out = np.full(centre.shape, np.inf)
            for sign in (-1.0, 1.0):
                x = centre[..., None] + sign * distance
                below = (log_density(x) < top - 0.5) & (low < x) & (x < high)
                first = np.argmax(below, axis=2)[..., None]
                found = np.take_along_axis(distance, first, axis=2)[..., 0]
                out = np.where(below.any(axis=2), np.minimum(out, found), out)
            return out

        whole = np.ones((*centre.shape, 1))
        best = fallen(np.ldexp(np.abs(centre)[..., None], np.arange(-50, 51)))
        if not np.isfinite(best).all() or not (best > 0.0).all():
            # a centre that is next to zero says nothing of the width: every double is tried
            rough = fallen(np.ldexp(whole, np.arange(-1060, 1020, _STRIDE)))
            finer = np.ldexp(rough[..., None], np.arange(-_STRIDE, 1))
            wide = np.where(np.isfinite(rough), fallen(finer), np.inf)
            best = np.where(np.isfinite(best) & (best > 0.0), best, wide)
    fallback = np.where(centre != 0.0, np.abs(centre), min(high - low, 1.0))
    return np.where(np.isfinite(best), best, fallback)


def _axis(support: Support, t: Array) -> tuple[Array, Array]:
    """x(t) and dx/dt."""
    if support == "line":
        return np.sinh(t), np.cosh(t)
    if support == "half-line":
        x = np.exp(t)
        return x, x
    low, high = ends(support)
    share = 1.0 / (1.0 + np.exp(np.abs(t)))
    x = np.where(t < 0.0, low + (high - low) * share, high - (high - low) * share)
    return x, (high - low) * share * (1.0 - share)
