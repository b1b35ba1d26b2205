"""Matrix products in pieces so small that BLAS starts no threads of its own.

In: tables with the sample along their last axis. Out: sums over the sample.

A linear-algebra library behind NumPy brings threads of its own, as many as there are cores, which
``RELREP_NUM_THREADS`` does not know of; several passes at once then hold each other up. All of them
work in one thread where a product is small: OpenBLAS up to 2¹⁸ multiplications.
"""

from __future__ import annotations

import numpy as np

from relrep_sym.runtime.check import Array

__all__ = ["ALONE", "outer"]

ALONE = 1 << 17
"""Multiplications of a product for which no library that NumPy is built with starts threads."""

_ROWS, _COLUMNS, _LEAST = 64, 32, 64


def outer(a: Array, b: Array) -> Array:
    """Σ_n a_pn b_qn for each member of a batch: (B, P, n) and (B, Q, n) give (B, P, Q).

    >>> a = np.arange(6.0).reshape(1, 2, 3)
    >>> outer(a, a)
    array([[[ 5., 14.],
            [14., 50.]]])
    """
    (batch, p, n), q = a.shape, b.shape[1]
    rows, columns = min(p, _ROWS), min(q, _COLUMNS)
    stretch = max(_LEAST, ALONE // max(1, rows * columns))
    if p <= rows and q <= columns and n <= stretch:
        whole: Array = a @ b.swapaxes(1, 2)
        return whole
    out = np.zeros((batch, p, q))
    for i in range(0, n, stretch):
        left = a[:, :, i : i + stretch]
        right = b[:, :, i : i + stretch].swapaxes(1, 2)
        for j in range(0, p, rows):
            for k in range(0, q, columns):
                out[:, j : j + rows, k : k + columns] += (
                    left[:, j : j + rows] @ right[:, :, k : k + columns]
                )
    return out
