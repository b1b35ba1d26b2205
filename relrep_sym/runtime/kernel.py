"""The data pass: responsibilities times basis functions, reduced in blocks.

In: a :class:`~relrep_sym.runtime.point.Point` and a weighted sample. Out: :class:`Statistics`, or
what is made of each block (:mod:`relrep_sym.runtime.block`). Neither the chart nor the family is
known here, and data and quadrature nodes go the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

import numpy as np

from relrep_sym.runtime.block import (
    Evaluated,
    Workspace,
    dots,
    evaluate,
    insist_finite,
    summed_log_density,
)
from relrep_sym.runtime.check import Array
from relrep_sym.runtime.edges import Edges, inside
from relrep_sym.runtime.point import Point
from relrep_sym.runtime.threads import in_threads

__all__ = ["BLOCK", "Statistics", "blocks", "gradient", "over_blocks", "statistics"]

T = TypeVar("T")

BLOCK = 32768
"""Sample points times model points that are worked on at once (some 3 MB of workspace at K = 3)."""

_FREE: list[Array] = []
"""Memory of passes that are over, for the next: fresh memory costs a page fault for each page."""


def _borrow(size: int) -> Array:
    """Memory for ``size`` numbers, that of an earlier pass where it is large enough."""
    while _FREE:
        try:
            flat = _FREE.pop()
        except IndexError:  # another thread was first
            break
        if flat.size >= size:
            return flat
    return np.empty(size)


def _give_back(flat: Array) -> None:
    if len(_FREE) < 8:
        _FREE.append(flat)


class Statistics(NamedTuple):
    """Means over the sample: of R_k (K, B), of R_k b_j (J, K, B), of R_k − R_K (K − 1, B), of log
    p.
    """

    mass: Array
    moments: Array
    differences: Array
    log_likelihood: Array


def blocks(batch: int, count: int, size: int = BLOCK) -> list[tuple[slice, slice]]:
    """Slices of model points and of sample points that make blocks of about ``size``."""
    wide = min(count, size)
    deep = max(1, size // wide) if batch > 1 else 1
    return [
        (slice(b, min(b + deep, batch)), slice(i, min(i + wide, count)))
        for b in range(0, batch, deep)
        for i in range(0, count, wide)
    ]


class _Pass:
    """One thread's way through its blocks: workspace and restricted point are kept between them."""

    def __init__(self, point: Point, edges: Edges, weights: Array | None, flat: Array) -> None:
        self.point, self.edges, self.weights, self.flat = point, edges, weights, flat
        self.x = edges.moved
        self.part, self.members = point, slice(None)
        self.work: Workspace | None = None

    def __call__(self, b: slice, i: slice) -> tuple[Point, Array | None, Evaluated, Workspace]:
        """(the point restricted to the block's members, their weights, the block, its buffers)."""
        x, weights = self.x, self.weights
        if b != self.members:
            whole = self.point.heights.shape[1] == b.stop - b.start
            self.part = self.point if whole else self.point.take(b)
            self.members = b
        within = x[b, i] if x.ndim == 2 else x[i]
        shape = (b.stop - b.start, i.stop - i.start)
        if self.work is None or self.work.shape != shape:
            self.work = Workspace(self.point.form, self.flat, *shape)
        share = None if weights is None else weights[b, i] if weights.ndim == 2 else weights[i]
        block = evaluate(self.part, within, share, self.work)
        if self.edges.touched:
            self.edges.settle(self.part, block, b, i)
        return self.part, share, block, self.work


def over_blocks(
    point: Point,
    x: Array,
    weights: Array | None,
    use: Callable[[slice, slice, Point, Array | None, Evaluated, Workspace], T],
    size: int = BLOCK,
) -> list[T]:
    """``use`` of every block of the pass over x, (n,) or (B, n), in the blocks' order.

    Several blocks are worked on at once where there are cores for it; what comes out does not
    depend on how many.
    """
    todo = blocks(point.heights.shape[1], x.shape[-1], size)
    largest = max((b.stop - b.start) * (i.stop - i.start) for b, i in todo)
    edges = Edges.of(point.form, x)

    def work(claimed: Iterator[int], results: list[T | None]) -> None:
        flat = _borrow(Workspace.size(point.form, largest))
        step = _Pass(point, edges, weights, flat)
        # what overflows is refused where it is used; a thread has its own error state
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            for n in claimed:
                b, i = todo[n]
                results[n] = use(b, i, *step(b, i))
        _give_back(flat)

    return in_threads(work, len(todo))


def statistics(
    point: Point, x: Array, weights: Array | None, *, want_log: bool = False
) -> Statistics:
    """The expected statistics of a weighted sample: the one data pass of first-order learning.

    ``x`` is (N,), shared by the batch, or (B, N); ``weights`` alike, or None for equal ones.
    """
    form, (k, batch) = point.form, point.heights.shape

    def reduce(
        b: slice, _: slice, part: Point, share: Array | None, block: Evaluated, work: Workspace
    ) -> tuple[slice, Array, Array | None]:
        rows = np.empty((2 + form.basis, k, b.stop - b.start))
        np.multiply(np.add.reduce(block.ratios, axis=2), part.heights, out=rows[0])
        for j, basis in enumerate(block.basis):
            np.multiply(dots(block.ratios, basis), part.heights, out=rows[2 + j])
        np.subtract(rows[0], rows[0, -1], out=rows[1])
        if block.close is not None and block.differences is not None:
            exact = np.add.reduce(block.differences, axis=2)
            rows[1, :-1] = np.where(block.close, exact, rows[1, :-1])
        logs = summed_log_density(part, block, share, work.spare) if want_log else None
        return b, rows, logs

    total, log_likelihood = np.zeros((2 + form.basis, k, batch)), np.zeros(batch)
    for b, rows, logs in over_blocks(point, x, weights, reduce):
        total[..., b] += rows
        if logs is not None:
            log_likelihood[b] += logs
    if want_log and form.common is not None:
        value = form.common(inside(form, x))
        log_likelihood += value.sum(axis=-1) if weights is None else np.vecdot(value, weights)
    if weights is None:
        total *= 1.0 / x.shape[-1]
        log_likelihood *= 1.0 / x.shape[-1]
    insist_finite(log_likelihood, "the log-likelihood")
    return Statistics(total[0], total[2:], total[1, :-1], log_likelihood)


def gradient(point: Point, found: Statistics) -> tuple[Array, tuple[Array, ...]]:
    """∂L/∂π_k, relative to the component that stands last, and ∂L/∂φ_k (K, B) by family parameter.

    The first has K − 1 rows where that is the model's last, else K, its own zero.
    """
    out: list[Array] = []
    with np.errstate(over="ignore", invalid="ignore"):
        for row in point.score:
            total = np.zeros_like(found.mass)
            for cell, moment in zip(row, found.moments, strict=True):
                if cell is not None:
                    slope, offset = cell
                    total += slope * (moment + offset * found.mass)
            out.append(point.components.weights * total)
    for rows in (found.differences, *out):
        insist_finite(rows, "the score")
    return point.placed(found.differences, out)
