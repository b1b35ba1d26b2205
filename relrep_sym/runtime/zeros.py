"""Where a mixture density vanishes off the real line: what limits every quadrature rule.

In: numbers only. Component k of a mixture is log(pi_k) + log f_k(x) = c0 + c1 u + c2 u**2 with
u = x - origin, so a model at B points is an array `coefficients` of shape (3, K, B).
Out: how far from the real axis no zero lies (`nearest_zero`), and the zeros themselves, thinned
out (`landmarks`). Stands in front of `quadrature`, which turns both into nodes.

Two components j, k alone vanish together where their log-odds a u**2 + b u + c equals
i pi (2n + 1). Three and more components have no closed form; their zeros lie at most a factor
(K - 1)**(-1 / (2 pi)) nearer than the nearest pair's. That is an observation, not a theorem: K - 1
equal narrow components against a wide one reach exp(-asinh(log(K - 1) / (2 pi))), which is a little
less near, and no search, random or by descent, has found anything nearer.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["landmarks", "nearest_zero", "zero_margin"]

Array = NDArray[np.float64]


@lru_cache(maxsize=64)
def _pairs(components: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    first, second = np.triu_indices(components, 1)
    return first, second


def zero_margin(components: int) -> float:
    """How much nearer a zero of K components can lie than the nearest zero of any two.

    >>> zero_margin(2), round(zero_margin(3), 4), round(zero_margin(8), 4)
    (1.0, 0.8955, 0.7337)
    """
    return (components - 1.0) ** (-0.5 / math.pi) if components > 2 else 1.0


def nearest_zero(coefficients: Array) -> Array:
    """Half-width of the strip about the real axis in which the mixture has no zero.

    `coefficients` is (3, K, B), the result (B,): for each pair the imaginary part of the nearest
    root of a u**2 + b u + c = i pi, in a form without cancellation, times `zero_margin`. With
    A = b**2 - 4 a c and t**2 = (|A + 4 pi i a| + |A|) / 2 it is pi / t where A >= 0, else
    t / (2 |a|). Infinite for one component, for equal components, and beside a weight of zero.

    Equal scales, pi sigma**2 / |mu_1 - mu_2|:

    >>> halves = np.array([[-0.125, -0.125], [-0.5, 0.5], [-0.5, -0.5]])[:, :, None]
    >>> bool(nearest_zero(halves)[0] == np.pi)
    True
    """
    components = coefficients.shape[1]
    if components < 2:
        return np.full(coefficients.shape[2], np.inf)
    first, second = _pairs(components)
    with np.errstate(all="ignore"):
        c, b, a = coefficients[:, first] - coefficients[:, second]
        discriminant = b * b - 4.0 * a * c
        size, twice_a = np.abs(discriminant), 2.0 * np.abs(a)
        t = np.sqrt(0.5 * (size + np.hypot(size, (2.0 * np.pi) * twice_a)))
        height = np.where(discriminant >= 0.0, np.pi / t, t / twice_a)
    height[np.isinf(c)] = np.inf  # a weight of zero: the component takes part in no zero
    nearest: Array = height.min(axis=0)
    return nearest * zero_margin(components)


def _orders(largest: float) -> Array:
    """2n + 1 for n = 0, 1, 2, 3, 4, 6, 8, 12, …: dense enough, as the zeros lie on a hyperbola."""
    n = [0]
    while n[-1] < largest and len(n) < 100:
        n.append(n[-1] + max(1, 1 << max(0, n[-1].bit_length() - 2)))
    return 2.0 * np.array(n) + 1.0


def landmarks(coefficients: Array, extent: float, rise: float) -> tuple[Array, Array, Array]:
    """The zeros that panels must respect, as (left, right, height), each (Z, B), left <= right.

    Of each pair's zeros in the upper half plane both branches are followed, up to where real part
    times height exceeds about 30 `extent`**2; a zero at which a third component outweighs the pair
    is none of the mixture's and is moved to infinite height. Heights carry `zero_margin`. Real
    parts are about the origin, and a zero has left = right.

    Where two densities do not cross, the lesser is a bump on the other, of width 1 / sqrt(2 |a|),
    and its square has width w = 1 / sqrt(4 |a|). The pair's nearest zero is then lowered to the
    height `rise` w and stretched by 6 w to either side, so that an expectation of that square
    alone is resolved, even at a weight of 1e-12.
    """
    components, batch = coefficients.shape[1:]
    if components < 2:
        return (np.empty((0, batch)),) * 3
    first, second = _pairs(components)
    c, b, a = coefficients[:, first] - coefficients[:, second]
    absent = ~np.isfinite(c)  # a weight of zero: no zero, but still a bump
    c = np.where(absent, 0.0, c)
    order = _orders(20.0 * float(np.abs(a).max(initial=0.0)) * extent**2)[:, None, None]
    with np.errstate(all="ignore"):
        discriminant = b * b - 4.0 * a * c
        root = np.sqrt(discriminant + (4.0j * np.pi) * order * a)
        half = -0.5 * (b + np.where(b < 0.0, -root, root))
        zero = np.stack([half / a, (c - (1j * np.pi) * order) / half])  # neither cancels
        real, height = zero.real, np.abs(zero.imag) * zero_margin(components)
        real[:, :, absent] = np.nan
        bump = (absent | (discriminant < 0.0)) & (a != 0.0)
        width = np.where(bump, 0.5 / np.sqrt(np.abs(a)), 0.0)
        real[:, 0] = np.where(bump, -0.5 * b / a, real[:, 0])
        height[:, 0] = np.where(bump, np.fmin(height[:, 0], rise * width), height[:, 0])
    known = np.isfinite(real) & np.isfinite(height)
    if components > 2:
        real, height = np.where(known, real, 0.0), np.where(known, height, 0.0)
        c0, c1, c2 = coefficients[:, :, None, None, None]
        size = c0 + real * (c1 + c2 * real) - c2 * (height * height)  # (K, 2, n, P, B)
        pair = np.arange(len(first))
        own = np.maximum(size[first, :, :, pair], size[second, :, :, pair])  # (P, 2, n, B)
        excess = size.max(axis=0) - np.moveaxis(own, 0, 2)
        known &= excess < math.log(components - 1.0) + 1.0
    real, height = np.where(known, real, 0.0), np.where(known, height, np.inf)
    stretch = np.zeros_like(real)
    stretch[:, 0] = 6.0 * width
    flat = (-1, batch)
    return (real - stretch).reshape(flat), (real + stretch).reshape(flat), height.reshape(flat)
