"""The ends of coordinates' domains, and moves that stay between them.

In: the ends that a generated chart states. Out: :class:`Ends`, which every search of the runtime
projects its trials with. Arrays are (P, B) by coordinate and member of a batch.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from relrep_sym.runtime.chart import Chart
from relrep_sym.runtime.check import Array

__all__ = ["Ends"]


class Ends(NamedTuple):
    """The ends of the coordinates' domains, (P, 1) each, and which of the lower ones are open."""

    lower: Array
    upper: Array
    strict: NDArray[np.bool_]

    @staticmethod
    def of(chart: Chart) -> Ends:
        """Those of a chart's coordinates, its constants left out."""
        count = len(chart.coordinates)
        low, high, strict = (
            np.array(e[:count])[:, None] for e in (chart.lower, chart.upper, chart.open_lower)
        )
        return Ends(low, high, strict.astype(bool))

    def at(self, rows: Array) -> NDArray[np.bool_]:
        """Which coordinates are at an end that belongs to their domain."""
        out: NDArray[np.bool_] = (rows <= self.lower) | (rows >= self.upper)
        return out

    def blocked(self, rows: Array, move: Array) -> NDArray[np.bool_]:
        """Which coordinates are at an end that a move, however short, goes beyond, or stay."""
        out: NDArray[np.bool_] = ((rows <= self.lower) & (move <= 0.0)) | (
            (rows >= self.upper) & (move >= 0.0)
        )
        return out

    def clipped(self, rows: Array, move: Array) -> Array:
        """Rows after a move, projected onto the domain; into an open end nine tenths of the way."""
        with np.errstate(invalid="ignore"):  # no finite end is open but the lower one
            inner = np.where(self.strict, self.lower + 0.1 * (rows - self.lower), self.lower)
        out: Array = np.clip(rows + move, inner, self.upper)
        return out
