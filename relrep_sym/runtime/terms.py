"""What one component adds to Q, as a function of its own ordered parameter.

In: statistics of the components, (K, B). Out: the four shapes that the exact ordered steps of
:mod:`relrep_sym.runtime.ordered` know. Each has one peak, a slope and its derivative ("bend"), the
places where either of these turns, and its gain over the peak. A derivation finds which of them a
family's parameter has (``equations/shapes.py``); nothing here knows a family.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np

from relrep_sym.runtime.check import Array

__all__ = ["Logit", "Power", "Profile", "Quadratic", "Terms"]


def _log_ratio(a: Array, b: Array) -> Array:
    """log(a/b), to the last digit also where the two nearly agree."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        excess = (a - b) / b
        return np.where(np.abs(excess) < 0.5, np.log1p(excess), np.log(a / b))


@dataclass(frozen=True)
class Terms:
    """K terms of B problems.

    Attributes:
        peak: where each is greatest, (K, B).
        mass: a positive factor of each, (K, B).
    """

    peak: Array
    mass: Array

    concave = True
    """Whether every term is concave, so that sums of them have one peak, too."""
    low, high = -np.inf, np.inf
    """The open interval of the parameter."""

    def lifted(self, change: Callable[[Array], Array]) -> Self:
        """The terms with every array changed alike: indexed, or given more axes."""
        arrays = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(
            self, **{n: change(a) for n, a in arrays.items() if isinstance(a, np.ndarray)}
        )

    def slope(self, y: Array) -> Array:
        """The derivative of each term at y."""
        raise NotImplementedError

    def bend(self, y: Array) -> Array:
        """The second derivative."""
        raise NotImplementedError

    def gain(self, y: Array) -> Array:
        """What each term is above its peak: ≤ 0."""
        raise NotImplementedError

    def turns(self) -> list[Array]:
        """Where the slope or the bend of a term has an extremum."""
        raise NotImplementedError


@dataclass(frozen=True)
class Quadratic(Terms):
    """−½ mass (peak − y)²: a location under a known scale, mass N/σ²."""

    def slope(self, y: Array) -> Array:
        """Mass times what is missing to the peak."""
        return self.mass * (self.peak - y)

    def bend(self, y: Array) -> Array:
        """Minus the mass."""
        return np.broadcast_to(-self.mass, y.shape)

    def gain(self, y: Array) -> Array:
        """−½ mass (peak − y)²."""
        return -0.5 * self.mass * np.square(self.peak - y)

    def turns(self) -> list[Array]:
        """None: the bend is constant."""
        return []


@dataclass(frozen=True)
class Profile(Terms):
    """−½ mass log(s² + (peak − y)²): a location whose own scale is the best for it.

    ``spread`` is s, the scale that is best at the peak.
    """

    spread: Array

    concave = False

    def slope(self, y: Array) -> Array:
        """mass·d/(s² + d²), d = peak − y."""
        d = self.peak - y
        return self.mass * d / (np.square(self.spread) + np.square(d))

    def bend(self, y: Array) -> Array:
        """mass·(d² − s²)/(s² + d²)²."""
        d = np.abs(self.peak - y)
        whole = np.square(self.spread) + np.square(d)
        return self.mass * ((d - self.spread) / whole) * ((d + self.spread) / whole)

    def gain(self, y: Array) -> Array:
        """−½ mass log(1 + d²/s²)."""
        return -0.5 * self.mass * np.log1p(np.square((self.peak - y) / self.spread))

    def turns(self) -> list[Array]:
        """Peak ± s, where the slope turns, and peak ± √3 s, where the bend does."""
        s = self.spread
        return [self.peak + c * s for c in (-np.sqrt(3.0), -1.0, 1.0, np.sqrt(3.0))]


@dataclass(frozen=True)
class Power(Terms):
    """A slope α yᵖ − β y^q on y > 0, p < q, with p = −1 or q = −1.

    ``mass`` is the coefficient of 1/y: β where q = −1 (a scale: p = −3 for a normal one), α where
    p = −1 (rates). With n = q − p and r = (peak/y)ⁿ the slope is β y^q (r − 1).
    """

    p: float
    q: float

    low = 0.0

    @property
    def concave(self) -> bool:  # type: ignore[override]
        """Whether p r − q < 0 for every r > 0."""
        return self.p <= 0.0 <= self.q

    @property
    def beta(self) -> Array:
        """The coefficient of y^q."""
        return self.mass if self.q == -1 else self.mass * self.peak ** (self.p - self.q)

    def _excess(self, y: Array) -> Array:
        """r − 1, without cancellation near the peak."""
        n = self.q - self.p
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            excess = (y - self.peak) / self.peak
            near = np.expm1(-n * np.log1p(excess))
            return np.where(np.abs(excess) < 0.5, near, (self.peak / y) ** n - 1)

    def slope(self, y: Array) -> Array:
        """β y^q (r − 1)."""
        return self.beta * y**self.q * self._excess(y)

    def bend(self, y: Array) -> Array:
        """β y^(q − 1) (p r − q)."""
        return self.beta * y ** (self.q - 1) * (self.p * self._excess(y) + (self.p - self.q))

    def gain(self, y: Array) -> Array:
        """(mass/n)(log z − z + 1) with z = r where q = −1, 1/r where p = −1."""
        n = self.q - self.p
        with np.errstate(over="ignore", invalid="ignore"):
            log = (-n if self.q == -1 else n) * _log_ratio(y, self.peak)
            out = self.mass / n * (log - np.expm1(log))
        return np.where(y > 0, out, -np.inf)

    def turns(self) -> list[Array]:
        """Where p r = q and where p (p − 1) r = q (q − 1)."""
        p, q = self.p, self.q
        pairs = ((p, q), (p * (p - 1), q * (q - 1)))
        return [self.peak * (a / b) ** (1 / (q - p)) for a, b in pairs if b and a / b > 0]


@dataclass(frozen=True)
class Logit(Terms):
    """mass·(peak log y + (1 − peak) log(1 − y)) on 0 < y < 1: a probability."""

    low, high = 0.0, 1.0

    def slope(self, y: Array) -> Array:
        """mass·(peak − y)/(y (1 − y))."""
        return self.mass * (self.peak - y) / (y * (1 - y))

    def bend(self, y: Array) -> Array:
        """−mass·(peak/y² + (1 − peak)/(1 − y)²)."""
        return -self.mass * (self.peak / np.square(y) + (1 - self.peak) / np.square(1 - y))

    def gain(self, y: Array) -> Array:
        """mass·(peak log(y/peak) + (1 − peak) log((1 − y)/(1 − peak)))."""
        p = self.peak
        out = p * _log_ratio(y, p) + (1 - p) * _log_ratio(1 - y, 1 - p)
        return np.where((y > 0) & (y < 1), self.mass * out, -np.inf)

    def turns(self) -> list[Array]:
        """Where the bend turns: (1 − y)³ peak = y³ (1 − peak)."""
        return [1 / (1 + np.cbrt((1 - self.peak) / self.peak))]
