"""What a step of learning found: :class:`Step`, for those who ask with ``full_output=True``.

In: coordinates before and after. Out: the step's gain in Q, its multipliers, and in words what
happened on the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from relrep_sym.runtime.check import Array

__all__ = ["Step"]


@dataclass(frozen=True)
class Step:
    """One step of EM, ECM or gradient EM.

    Attributes:
        coords: the coordinates after the step, (…, P).
        gain: by how much the step raised Q, (…,): the increase of the mean log-likelihood is at
            least that.
        multipliers: by the name of each coordinate that is bounded, ∂Q/∂λ_j into the bound where it
            is active, else zero, (…,): Karush, Kuhn and Tucker's, never negative but for rounding.
        residual: the largest |∂Q/∂λ_j| of the coordinates that the step moves freely, relative to
            the sum of the absolute values of its terms, or to √|∂²Q/∂λ_j²| if that is more, (…,).
        notes: what happened in words, such as a step that clipped onto a singularity.
    """

    coords: Array
    gain: Array
    multipliers: dict[str, Array]
    residual: Array
    notes: tuple[str, ...] = ()

    @property
    def active(self) -> tuple[str, ...]:
        """The coordinates that a multiplier holds at their bound, in any member of the batch."""
        return tuple(name for name, value in self.multipliers.items() if np.any(value > 0.0))

    @staticmethod
    def of(
        names: Sequence[str],
        rows: Array,
        shape: tuple[int, ...],
        gain: Array,
        multipliers: Array,
        residual: Array,
        bounded: Sequence[bool],
        notes: Sequence[str] = (),
    ) -> Step:
        """From rows (P, B), as the runtime holds them, to leading axes ``shape``."""
        return Step(
            rows.T.reshape(*shape, len(rows)),
            gain.reshape(shape)[()],
            {
                name: row.reshape(shape)[()]
                for name, row, ends in zip(names, multipliers, bounded, strict=True)
                if ends
            },
            residual.reshape(shape)[()],
            tuple(notes),
        )
