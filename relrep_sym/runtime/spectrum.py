"""Symmetric matrices by the eigenvalues of what they are at unit diagonal.

In: a batch of information matrices. Out: whether double precision can invert them, along which
coordinate it cannot, and roots of their inverses. Scaled to a unit diagonal the answers do not
depend on the coordinates' units.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from relrep_sym.runtime.check import Array
from relrep_sym.runtime.natural import cut_off

__all__ = ["Spectrum"]


class Spectrum(NamedTuple):
    """Eigenvalues (B, P) and vectors of a batch of symmetric matrices scaled to a unit diagonal.

    ``matrix`` is what they are of, (B, P, P), and ``scale`` (B, P) what it was multiplied with from
    both sides.
    """

    values: Array
    vectors: Array
    scale: Array
    matrix: Array

    @staticmethod
    def of(matrix: Array) -> Spectrum:
        """That of matrices (B, P, P), whose units do not matter."""
        size = np.sqrt(np.abs(np.einsum("bii->bi", matrix)))
        with np.errstate(divide="ignore"):
            scale = np.where(size > 0, 1.0 / size, 1.0)
        unit = matrix * scale[:, :, None] * scale[:, None, :]
        return Spectrum(*np.linalg.eigh(unit), scale, unit)

    @property
    def least(self) -> Array:
        """The least eigenvalue over the largest in size."""
        out: Array = self.values[:, 0] / np.maximum(np.abs(self.values).max(axis=1), 1e-300)
        return out

    @property
    def cut(self) -> float:
        """The least part of the largest eigenvalue that double precision can tell from zero."""
        return cut_off(None, self.values.shape[1])

    @property
    def singular(self) -> NDArray[np.bool_]:
        """Which members double precision cannot invert, or are not positive definite."""
        out: NDArray[np.bool_] = ~(self.least > self.cut)
        return out

    @property
    def condition(self) -> Array:
        """The condition number of each member; infinite or negative where it is singular."""
        with np.errstate(divide="ignore", invalid="ignore"):
            out: Array = self.values[:, -1] / self.values[:, 0]
        return out

    def along(self, b: int, names: tuple[str, ...]) -> str:
        """The direction of the least eigenvalue: the coordinate with the largest part in it."""
        vector = self.vectors[b, :, 0]
        return names[int(np.abs(vector).argmax())]

    def take(self, members: NDArray[np.bool_]) -> Spectrum:
        """Those of some members."""
        return Spectrum(*(a[members] for a in self))

    def inverse_root(self) -> Array:
        """R with R Rᵀ the inverse, by Cholesky's factor, of members that are not singular.

        What is nearly singular among some coordinates costs the others no digits.

        >>> root = Spectrum.of(np.array([[[4.0, 0.0], [0.0, 1e-20]]])).inverse_root()[0]
        >>> root @ root.T
        array([[2.5e-01, 0.0e+00],
               [0.0e+00, 1.0e+20]])
        """
        lower = np.linalg.cholesky(self.matrix)
        count = lower.shape[1]
        out = np.zeros_like(lower)  # of L⁻¹, row by row
        for i in range(count):
            out[:, i, i] = 1.0
            out[:, i] -= (lower[:, i, None, :i] @ out[:, :i])[:, 0]
            out[:, i] /= lower[:, i, i, None]
        return self.scale[:, :, None] * out.swapaxes(1, 2)
