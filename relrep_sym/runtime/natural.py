"""The natural gradient: Fisher information solved for the gradient, member by member.

In: Fisher matrices (B, P, P) and gradients (B, P). Out: F† ∇L (B, P), with each member's condition
number and rank. What double precision cannot invert is cut, and the cut is stated.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from relrep_sym.errors import ConditionWarning, DataError, problem
from relrep_sym.runtime.check import Array

__all__ = ["Natural", "cut_off", "solve", "warn_of_rank"]

_UNITS = 64.0
"""The cut-off in units of P·eps: a Fisher matrix is known to some such units of its diagonal."""


class Natural(NamedTuple):
    """A natural gradient, and how well its Fisher information could be inverted.

    Attributes:
        field: F† ∇L, (…, P).
        condition: (…,), the condition number of the Fisher matrix scaled to a unit diagonal:
            relative errors of F and of ∇L are multiplied with up to this. Infinite where a matrix
            is singular.
        rank: (…,), how many of the P eigenvalues were kept. P: the inverse. Below: the
            Moore–Penrose pseudo-inverse.
    """

    field: Array
    condition: Array
    rank: NDArray[np.intp]

    def shaped(self, shape: tuple[int, ...]) -> Natural:
        """The same with the batch's axis made of these."""
        field, condition, rank = self
        whole = field.reshape(*shape, field.shape[-1])
        return Natural(whole, condition.reshape(shape)[()], rank.reshape(shape)[()])


def cut_off(rcond: float | None, count: int) -> float:
    """The least eigenvalue that is kept, over the largest: ``rcond``, or 64 P eps.

    >>> cut_off(None, 5)
    7.1e-14
    """
    if rcond is None:
        return _UNITS * count * float(np.finfo(float).eps)
    number = isinstance(rcond, int | float | np.number) and not isinstance(rcond, bool)
    if not number or not 0 <= rcond < 1:
        raise DataError(problem("rcond is no cut-off", rcond, "a number in [0, 1)"))
    return float(rcond)


def solve(
    fisher: Array,
    gradient: Array,
    rcond: float | None = None,
    powers: NDArray[np.int32] | None = None,
) -> Natural:
    """F† g for each member of a batch; fisher (B, P, P), gradient (B, P).

    The eigenvalues are those of D F D with unit diagonal, so that what is cut off does not depend
    on the units of the coordinates. Where none is cut the result is F⁻¹ g, which pushes forward to
    the same vector in every diffeomorphic chart. Where some are, it is the Moore–Penrose
    pseudo-inverse's in the chart's own Euclidean metric, the canonical choice (van Oostrum,
    Müller and Ay 2023): of all vectors d with F d = g, projected on the range of F, the shortest.
    That one does depend on the chart. ``powers`` (P,) says that the coordinates here are the
    chart's over 2^powers: the metric is the chart's.

    >>> solve(np.array([[[4.0, 0.0], [0.0, 1e-20]]]), np.array([[1.0, 1.0]])).field
    array([[2.5e-01, 1.0e+20]])
    >>> ones = np.ones((1, 2, 2))  # the direction (1, -1) is invisible
    >>> field, condition, rank = solve(ones, np.array([[1.0, 1.0]]))
    >>> field.round(15), int(rank[0])
    (array([[0.5, 0.5]]), 1)
    """
    count = fisher.shape[-1]
    least = cut_off(rcond, count)
    diagonal = np.sqrt(np.einsum("bii->bi", fisher))
    scale = 1.0 / np.where(diagonal > 0, diagonal, 1.0)
    values, vectors = np.linalg.eigh(fisher * scale[:, :, None] * scale[:, None, :])
    top = values[:, -1]
    kept = values > least * top[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = np.where(kept, 1.0 / values, 0.0)
        condition = np.where(values[:, 0] > 0, top / values[:, 0], np.inf)
    rank = kept.sum(axis=1)
    field = _applied(vectors, inverse, scale, gradient)
    own = np.ones(count) if powers is None else np.exp2(powers - powers.max())
    for b in np.flatnonzero(rank < count):
        null = _orthonormal(own[:, None] * (scale[b, :, None] * vectors[b, :, ~kept[b]].T))
        slope = gradient[b] / own
        inside = own * (slope - null @ (null.T @ slope))
        found = own * _applied(vectors[b], inverse[b], scale[b], inside)
        field[b] = (found - null @ (null.T @ found)) / own
    return Natural(field, condition, rank)


def _applied(vectors: Array, inverse: Array, scale: Array, gradient: Array) -> Array:
    """D V diag(inverse) Vᵀ D g."""
    inner = inverse * np.vecdot(np.swapaxes(vectors, -1, -2), (scale * gradient)[..., None, :])
    return scale * np.vecdot(vectors, inner[..., None, :])


def _orthonormal(columns: Array) -> Array:
    """An orthonormal basis of the span of independent columns."""
    sized: Array = columns / np.linalg.norm(columns, axis=0)
    return np.linalg.qr(sized)[0]


def warn_of_rank(found: Natural, names: Sequence[str], rcond: float | None) -> None:
    """A ConditionWarning where eigenvalues were cut off: how many members, and which first."""
    count = len(names)
    short = np.argwhere(np.asarray(found.rank) < count)
    if not len(short):
        return
    first = tuple(int(i) for i in short[0])
    worst = float(np.asarray(found.condition)[first])
    which = f" (member {list(first)} is the first)" if first else ""
    members = f"{len(short)} of {found.rank.size} points{which}" if first else "this point"
    warnings.warn(
        problem(
            f"the Fisher information in ({', '.join(names)}) is singular in double precision at "
            f"{members}: its pseudo-inverse in these coordinates was taken",
            f"condition number {worst:.1e}, rank {int(found.rank[first])} of {count}",
            f"eigenvalues of the matrix scaled to a unit diagonal above "
            f"{cut_off(rcond, count):.1e} of the largest; the rest is cut off",
        ),
        ConditionWarning,
        stacklevel=5,
    )
