"""One block of the data pass: ratios R_k = f_k/p at some points, for one or many mixtures.

In: a :class:`~relrep_sym.runtime.point.Point`, points x and a :class:`Workspace`. Out: an
:class:`Evaluated` block, from which log p and the score's rows are made.

Arrays are (K, B, n): component, model point, sample. Everything is computed from the log-odds
d_k = log f_k − log f_K to the last component, K − 1 exponentials for a point. Where two components
nearly coincide, R_k − R_K is taken from expm1 of log-odds whose coefficients vanish with the
parameters' differences; elsewhere it is a difference of numbers that differ. Where the last
component is far, every component is taken from its own log-density.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np

from relrep_sym.errors import DomainError, problem
from relrep_sym.runtime.check import Array
from relrep_sym.runtime.point import Form, Point
from relrep_sym.runtime.segment import log_odds_by_slopes

__all__ = [
    "Evaluated",
    "Workspace",
    "dots",
    "evaluate",
    "insist_finite",
    "log_density",
    "score_rows",
    "summed_log_density",
]

_STRETCH = 4096
_TOP = 60.0
_BOTTOM = -600.0


class Workspace:
    """Buffers for blocks of up to some size, in one piece of memory."""

    def __init__(self, form: Form, flat: Array, batch: int, count: int) -> None:
        self.form, self.shape = form, (batch, count)
        self._flat, self._used = flat, 0
        k = form.components
        self.ratios = self._rows(k)
        self.basis = tuple(self._rows(k if form.own else 1) for _ in range(form.basis))
        self.total = self._rows(1)[0]
        self.spare = self._rows(k)

    @staticmethod
    def size(form: Form, points: int) -> int:
        """How many numbers a block of so many points takes."""
        k = form.components
        return points * (3 * k + 1 + k * (form.basis + len(form.names)))

    def _rows(self, count: int) -> Array:
        start = self._used
        self._used += count * self.shape[0] * self.shape[1]
        return self._flat[start : self._used].reshape(count, *self.shape)

    @cached_property
    def difference(self) -> Array:
        """Room for R_k − R_K."""
        return self._rows(self.form.components - 1)

    @cached_property
    def rows(self) -> list[Array]:
        """Room for the score by each family parameter."""
        return [self._rows(self.form.components) for _ in self.form.names]


class Evaluated(NamedTuple):
    """One block: C_k⁻¹ w R_k (K, B, n), and w (R_k − R_K) for the components close to the last.

    ``total`` is p/f_K without the last component's height, or where a shift was needed, p/h_K
    relative to exp(``shift``).
    """

    ratios: Array
    basis: tuple[Array, ...]
    close: Array | None
    differences: Array | None
    total: Array
    shift: Array | None


def evaluate(point: Point, x: Array, weights: Array | None, work: Workspace) -> Evaluated:
    """Ratios of one block of points x, (n,) or (B, n), for a batch of models."""
    form = point.form
    ratios, total, spare = work.ratios, work.total, work.spare
    odds, last = ratios[:-1], ratios[-1]
    shift: Array | None = None
    numerator = 1.0 if weights is None else weights
    if point.anchors is None:
        form.block(x, point.coefficients, work.basis, spare)
    else:  # near components, far from zero: each sees x from its own place
        places, coefficients = point.anchors
        form.block(x - places, coefficients, work.basis, spare)
    if not len(odds):  # a single component
        total.fill(1.0)  # p is f_K
        np.copyto(last, numerator)
        return Evaluated(ratios, work.basis, None, None, total, None)
    if form.log_odds is not None:
        form.log_odds(point.coefficients, work.basis, odds, spare)
    else:
        _log_odds(point, work.basis, odds)
    close = _close(point, odds)
    exact: Array | None = None
    if close is not None:  # two log-densities would lose the digits of their difference
        if form.odds is not None:
            exact = np.empty_like(odds)
            _log_odds(point, work.basis, exact)
        else:
            exact = log_odds_by_slopes(point, x, odds, work.basis[0][-1])
        np.copyto(odds, exact - point.log_ratio, where=close[..., None])
    shares = point.shares
    if odds.max() <= _TOP and (point.anchored or odds.min() >= _BOTTOM):
        np.exp(odds, out=odds)
        np.multiply(odds[0], shares[0], out=total)
        for k in range(1, len(odds)):
            np.multiply(odds[k], shares[k], out=spare[0])
            np.add(total, spare[0], out=total)
        np.add(total, shares[-1], out=total)
        np.divide(numerator, total, out=last)
        np.multiply(odds, last, out=odds)
    else:
        shift = _shifted(point, work)
        np.divide(numerator, total, out=spare[0])
        np.multiply(ratios, spare[0], out=ratios)
    found = None if exact is None else _differences(point, exact, ratios)
    return Evaluated(ratios, work.basis, close, found, total, shift)


def log_density(point: Point, block: Evaluated, spare: Array) -> Array:
    """log p of a block's points, (B, n), without the term that no parameter enters."""
    out = np.log(block.total, out=block.total)
    out += point.log_height[:, None]
    out += _reference(point, block, spare) if block.shift is None else block.shift
    return out


def _reference(point: Point, block: Evaluated, spare: Array) -> Array:
    """log f_K less its height, (B, n)."""
    out = np.empty_like(block.total)
    last = slice(-1, None)
    point.form.exponents(point.coefficients, block.basis, last, out[None], spare)
    return out


def summed_log_density(
    point: Point, block: Evaluated, weights: Array | None, spare: Array
) -> Array:
    """Σ w log p over a block's points, (B,)."""
    if weights is not None or block.shift is not None:
        values = log_density(point, block, spare)
        return values.sum(axis=1) if weights is None else dots(values, weights)
    reference = _reference(point, block, spare)
    count = reference.shape[1]
    return reference.sum(axis=1) + _sum_of_logs(block.total) + count * point.log_height


def _sum_of_logs(values: Array) -> Array:
    """Σ log over the last axis: logs of products of eight, where those neither over- nor
    underflow.
    """
    batch, count = values.shape
    eighth = count // 8
    if eighth:
        products = values[:, : 8 * eighth].reshape(batch, 8, eighth).prod(axis=1)
        if products.min() > 1e-280 and products.max() < 1e280:
            rest = np.log(values[:, 8 * eighth :]).sum(axis=1)
            return np.log(products).sum(axis=1) + rest
    return np.log(values).sum(axis=1)


def _close(point: Point, odds: Array) -> Array | None:
    """Which (component, batch member) pairs nearly coincide with the last component here."""
    few = odds[:, :, :: max(1, odds.shape[2] // 64)] + point.log_ratio
    near = np.abs(few, out=few) < 0.25
    flags = 2 * np.count_nonzero(near, axis=2) >= few.shape[2]  # outliers do not count
    return flags if flags.any() else None


def _log_odds(point: Point, basis: tuple[Array, ...], out: Array) -> None:
    """Σ_j e_j b_j in the last component's basis functions, heights included."""
    first, *rest = point.odds
    out[...] = first
    for e, b in zip(rest, basis, strict=True):
        out += e * b[-1]


def _differences(point: Point, value: Array, ratios: Array) -> Array:
    """w (R_k − R_K) from expm1 of the exact log-odds, which are overwritten."""
    apart = value > 1.0  # outliers, at which the ratios differ, and expm1 may overflow
    np.minimum(value, 1.0, out=value)
    np.expm1(value, out=value)
    value *= ratios[-1]
    if apart.any():
        plain = ratios[:-1] * point.heights[:-1, :, None] - ratios[-1]
        np.copyto(value, plain, where=apart)
    return value


def _shifted(point: Point, work: Workspace) -> Array:
    """Every component from its own log-density, relative to the largest term m of p; returns m.

    For blocks in which the last component is far from some points: there the log-odds to it would
    lose the digits of the odds between others, and exp of them would overflow. Leaves exp(q_k − m)
    in the ratios and Σ C_k π_k exp(q_k − m) in the total.
    """
    ratios, total, spare = work.ratios, work.total, work.spare
    point.form.exponents(point.coefficients, work.basis, slice(None), ratios, spare)
    with np.errstate(divide="ignore"):
        logs = np.log(point.shares)
    np.add(ratios, logs, out=spare)
    shift = spare.max(axis=0)
    insist_finite(shift, "a log-density")
    if not np.isfinite(ratios).all():  # a ratio of zero, whatever its basis functions overflow to
        for b in work.basis:
            b[~np.isfinite(b)] = 0.0
    np.subtract(ratios, shift, out=ratios)
    np.minimum(ratios, 709.0, out=ratios)
    np.exp(ratios, out=ratios)
    np.multiply(ratios, point.shares, out=spare)
    np.add.reduce(spare, axis=0, out=total)
    if not point.shares.all():  # a component without weight, whose R_k has no bound
        np.copyto(ratios, np.inf, where=(point.shares == 0.0) & (ratios > 8e307))
    return shift


def insist_finite(values: Array, what: str) -> None:
    """Refuse what has overflowed: points absurdly far from a component, or a weight of zero.

    >>> insist_finite(np.array([1.0, np.inf]), "a log-density")
    Traceback (most recent call last):
    relrep_sym.errors.DomainError: a log-density overflows double precision; given: inf; expected:
    ...
    """
    low, high = values.min(initial=0.0), values.max(initial=0.0)
    if not (-np.inf < low and high < np.inf):
        raise DomainError(
            problem(
                f"{what} overflows double precision",
                f"{low if high < np.inf else high}",
                "points within 1e150 scales of each component, weights that are not zero",
            )
        )


def dots(a: Array, b: Array) -> Array:
    """Σ a b over the last axis, in stretches short enough that BLAS starts no threads of its own.

    >>> dots(np.ones(10_000), np.full(10_000, 2.0))
    np.float64(20000.0)
    """
    count = a.shape[-1]
    if count <= _STRETCH:
        return np.vecdot(a, b)
    whole = count - count % _STRETCH
    left = a[..., :whole].reshape(*a.shape[:-1], -1, _STRETCH)
    right = b[..., :whole].reshape(*b.shape[:-1], -1, _STRETCH)
    return np.vecdot(left, right).sum(axis=-1) + np.vecdot(a[..., whole:], b[..., whole:])


def score_rows(point: Point, block: Evaluated, work: Workspace) -> tuple[Array, tuple[Array, ...]]:
    """∂ log p/∂π_k (K − 1, b, n) and ∂ log p/∂φ_k, one (K, b, n) a family parameter, of one block.

    The arrays belong to the workspace: the next block overwrites them.
    """
    ratios, heights = block.ratios, point.heights[..., None]
    difference = np.multiply(ratios[:-1], heights[:-1], out=work.difference)
    difference -= ratios[-1]
    if block.close is not None and block.differences is not None:
        np.copyto(difference, block.differences, where=block.close[..., None])
    for out, row in zip(work.rows, point.slopes, strict=True):
        first = True
        for cell, basis in zip(row, block.basis, strict=True):
            if cell is None:
                continue
            slope, offset = cell
            term = out if first else work.spare
            if offset is None:
                np.multiply(basis, slope, out=term)
            else:
                np.add(basis, offset, out=term)
                np.multiply(term, slope, out=term)
            if not first:
                np.add(out, term, out=out)
            first = False
        np.multiply(out, ratios, out=out)
    return point.placed(difference, work.rows)
