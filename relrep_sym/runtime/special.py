"""Special functions that NumPy lacks."""

from __future__ import annotations

import math

import numpy as np

from relrep_sym.runtime.check import Array

__all__ = ["log_gamma", "log_ratio", "stirling_remainder"]

_TABLE = 1 << 20


def log_gamma(x: Array) -> Array:
    """log Γ(x) for x > 0, elementwise; quick where x are integers below a million.

    >>> log_gamma(np.array([1.0, 5.0])).round(12)
    array([0.        , 3.17805383])
    """
    if x.size > 64 and x.max() < _TABLE and (x == np.floor(x)).all():
        table = np.array([0.0, *map(math.lgamma, range(1, int(x.max()) + 1))])
        return table[x.astype(np.intp)]
    flat = [math.lgamma(v) for v in x.ravel().tolist()]
    return np.array(flat).reshape(x.shape)


def log_ratio(difference: Array, base: Array, whole: Array) -> Array:
    """log(whole/base) for positive numbers with whole = base + difference, all three as known.

    >>> log_ratio(np.array([1e-20]), np.array([1.0]), np.array([1.0]))
    array([1.e-20])
    """
    relative = difference / base
    near = np.abs(relative) < 0.5
    with np.errstate(over="ignore", divide="ignore"):
        far = np.log(whole / base)
    if not np.isfinite(far).all():  # the ratio left double precision; its logarithm has not
        far = np.where(np.isfinite(far), far, np.log(whole) - np.log(base))
    return np.where(near, np.log1p(np.where(near, relative, 0.0)), far)


def stirling_remainder(x: Array) -> Array:
    """log Γ(x + 1) − x log x + x for x ≥ 0: its large terms never meet, so that no digit is lost.

    >>> float(stirling_remainder(np.array([0.0, 1.0, 1e6]))[2].round(10))
    7.8266938955
    """
    small = np.minimum(x, 16.0)
    safe = np.maximum(small, 1e-290)
    direct = log_gamma(small + 1.0) - small * np.log(safe) + small
    large = np.maximum(x, 16.0)
    square = (1.0 / large) ** 2
    series = np.zeros_like(square)
    for coefficient in (
        -691 / 360360,
        1 / 1188,
        -1 / 1680,
        1 / 1260,
        -1 / 360,
        1 / 12,
    ):
        series = series * square + coefficient
    return np.where(
        x < 16.0, direct, 0.5 * (math.log(2.0 * math.pi) + np.log(large)) + series / large
    )
