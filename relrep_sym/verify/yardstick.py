"""The yardstick: how near a double-precision value must come to the oracle's.

For a value v that is a mean of summands s and a function of the coordinates λ,

    |error| ≤ 64 u (|v| + E|s| + Σ_j |λ_j ∂_j v|),    u = 2⁻⁵³ :

the value, the mean absolute summand (what any summation loses), and the sensitivity to inputs that
are themselves only known to u. The three are computed, at every point anew.

>>> v = Measured(mpmath.mpf(2), mpmath.mpf(2), mpmath.mpf(0))
>>> float(ratio(2.0, v)), float(ratio(2.0 * (1 + 2.0**-50), v))
(0.0, 4.0)
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import mpmath
from mpmath import mp

from relrep_sym.verify.jets import WORKING, Number

__all__ = ["LIMIT", "UNDERFLOW", "UNIT", "Measured", "bound", "ratio"]

UNIT = 2.0**-53
"""The unit roundoff of double precision."""
LIMIT = 64
"""The largest ratio that passes."""
UNDERFLOW = 1e-300
"""Below this every value counts as zero: kernels clamp exponents at −700, and e⁻⁷⁰⁰ is 1e-304."""


@dataclass(frozen=True)
class Measured:
    """The oracle's value, with what its yardstick needs.

    ``scale`` is E|s|, the mean absolute summand; ``sensitivity`` is Σ_j |λ_j ∂_j v|, good to two
    digits; ``error`` is the oracle's own, measured, in the units of the value; ``method`` says how
    the value was reached. ``narrow`` is scale plus sensitivity before a tolerance was widened, None
    where none was.
    """

    value: Number
    scale: Number
    sensitivity: Number
    error: Number = mp.zero
    method: str = "evaluated at 50 digits"
    narrow: Number | None = None

    def widened(self, scale: Number | None = None, sensitivity: Number | None = None) -> Measured:
        """With a larger scale or sensitivity, and what they were remembered.

        >>> m = Measured(mp.one, mp.one, mp.zero).widened(scale=mpmath.mpf(3))
        >>> float(m.scale), float(m.narrow)
        (3.0, 1.0)
        """
        before = self.scale + self.sensitivity
        return replace(
            self,
            scale=self.scale if scale is None else max(self.scale, scale),
            sensitivity=self.sensitivity if sensitivity is None else sensitivity,
            narrow=before if self.narrow is None else min(self.narrow, before),
        )

    @property
    def plain(self) -> Measured:
        """What it was before any tolerance was widened."""
        if self.narrow is None:
            return self
        return replace(self, scale=self.narrow, sensitivity=mp.zero, narrow=None)


def bound(measured: Measured) -> Number:
    """The largest error that passes, 64 u (|v| + E|s| + sensitivity), plus the underflow floor."""
    total = abs(measured.value) + measured.scale + measured.sensitivity
    return LIMIT * UNIT * total + UNDERFLOW


def ratio(kernel_value: float, measured: Measured) -> Number:
    """|error| in units of the yardstick; infinite for a value that is not finite.

    Passes where it is at most :data:`LIMIT`.
    """
    if not math.isfinite(kernel_value):
        return mp.inf
    with mp.workdps(WORKING):
        error = abs(mpmath.mpf(float(kernel_value)) - measured.value)
        return LIMIT * error / bound(measured)
