"""Special functions that NumPy lacks."""

from __future__ import annotations

import math

import numpy as np

from relrep_sym.runtime.check import Array

__all__ = ["log_gamma"]

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
