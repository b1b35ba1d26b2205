"""What each component claims of a sample, for passes that are taken again and again.

In: a point and a weighted sample. Out: :class:`Claims`, whose passes give blocks of w_n r_k(x_n)
under the point's responsibilities. Of a small sample they are kept; of a large one they are
computed anew, block by block, in threads.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from relrep_sym.runtime import kernel
from relrep_sym.runtime.block import Evaluated, Workspace
from relrep_sym.runtime.check import Array
from relrep_sym.runtime.edges import inside
from relrep_sym.runtime.point import Point

__all__ = ["Claims", "claimed"]

_SMALL = 3 * kernel.BLOCK
"""Points times members up to which claims are kept: so few blocks are worth no threads."""

Use = Callable[[slice, slice, Array, Array, Workspace], Array]
"""(members, points, x, shares (K, b, n), buffers) → what the block adds, (…, b)."""


class Claims:
    """w r_k of a batch of mixtures at the points x, (n,) or (B, n) as the weights are."""

    def __init__(
        self, point: Point, x: Array, weights: Array | None, kept: Array | None = None
    ) -> None:
        self.point, self.x, self.weights = point, x, weights
        self.batch = point.heights.shape[1]
        self._given = kept

    def take(self, members: slice | NDArray[np.intp]) -> Claims:
        """Those of some of the batch."""
        x, w = self.x, self.weights
        return Claims(
            self.point.take(members),
            x[members] if x.ndim == 2 else x,
            w[members] if w is not None and w.ndim == 2 else w,
            self._kept[:, members] if self.small else None,
        )

    @property
    def small(self) -> bool:
        """Whether they are kept."""
        return self.batch * self.x.shape[-1] <= _SMALL

    @cached_property
    def _kept(self) -> Array:
        if self._given is not None:
            return self._given
        out = np.empty((len(self.point.heights), self.batch, self.x.shape[-1]))

        def use(b, i, part, _, block, __):  # type: ignore[no-untyped-def]
            out[:, b, i] = claimed(part, block)

        kernel.over_blocks(self.point, self.x, self.weights, use)
        return out

    @cached_property
    def _inside(self) -> Array:
        return inside(self.point.form, self.x)

    @cached_property
    def _work(self) -> dict[tuple[int, int], Workspace]:
        return {}

    def total(self, lead: tuple[int, ...], use: Use) -> Array:
        """The mean over the sample of what ``use`` makes of its blocks, (*lead, B)."""
        out = np.zeros((*lead, self.batch))
        x = self._inside

        def part_of(b: slice, i: slice) -> Array:
            return x[b, i] if x.ndim == 2 else x[i]

        if self.small:
            kept, form = self._kept, self.point.form
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                for b, i in kernel.blocks(self.batch, self.x.shape[-1]):
                    shape = (b.stop - b.start, i.stop - i.start)
                    if shape not in self._work:
                        flat = np.empty(Workspace.size(form, shape[0] * shape[1]))
                        self._work[shape] = Workspace(form, flat, *shape)
                    out[..., b] += use(b, i, part_of(b, i), kept[:, b, i], self._work[shape])
        else:

            def each(b, i, part, _, block, work):  # type: ignore[no-untyped-def]
                share = claimed(part, block)
                return b, use(b, i, part_of(b, i), share, work)

            for b, row in kernel.over_blocks(self.point, self.x, self.weights, each):
                out[..., b] += row
        return out if self.weights is not None else out * (1.0 / self.x.shape[-1])


def claimed(part: Point, block: Evaluated) -> Array:
    """w r_k of a block, (K, b, n)."""
    out: Array = block.ratios * part.shares
    if not part.shares.all():  # zero times what may be infinite
        np.copyto(out, 0.0, where=part.shares == 0.0)
    return out
