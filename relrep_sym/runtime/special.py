"""Special functions that NumPy lacks."""

from __future__ import annotations

import math

import numpy as np

from relrep_sym.runtime.check import Array

__all__ = ["log_gamma", "stirling_remainder"]

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


def stirling_remainder(x: Array) -> Array:
    """log Γ(x + 1) − x log x + x for x ≥ 0: its large terms never meet, so that no digit is lost.

    >>> float(stirling_remainder(np.array([0.0, 1.0, 1e6]))[2].round(10))
    7.826693977
    """
    small = np.minimum(x, 16.0)
    safe = np.maximum(small, 1e-290)
    direct = log_gamma(small + 1.0) - small * np.log(safe) + small
    large = np.maximum(x, 16.0)
    square = 1.0 / (large * large)
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
    return np.where(x < 16.0, direct, 0.5 * np.log(2.0 * np.pi * large) + series / large)
