"""Where certificates are taken: ordinary points and the hard ones.

In: the number of components and the roles of a component's parameters. Out: named points in
component space, each with a sample that holds the extremes and, where quadrature is meant to work,
a truth. The caller maps a point into a chart by its inverse and certifies at the *coordinates*, the
floats that come out, taken exactly. Everything is seeded: the same call gives the same floats.

Locations, scales and rates ascend with k, so that ordered and relative charts can reach them; where
a chart cannot (a clearance wider than the merging distance) its inverse says so and the caller
skips the point. Eight components are ``points(8, …)[:1]``.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from relrep_sym.errors import CertificateError, problem

__all__ = ["ROLES", "Point", "points"]

ROLES = ("location", "scale", "rate", "shape", "probability", "real")
"""Real; positive in units of x; positive; positive and dimensionless; between 0 and 1; real, but
not a location."""
Support = str | tuple[Any, ...]
Phis = tuple[tuple[float, ...], ...]

_MORE = (
    {"probability": 0.35, "real": -0.3},
    {"probability": 0.8, "real": 0.6},
    {"probability": 0.55, "real": 0.1},
)
"""Three components of a truth, in the roles that are rarer."""


@dataclass(frozen=True)
class Point:
    """A point of component space, with what to evaluate there.

    ``parameters[k]`` is φ_k. ``truth`` is (weights, then each parameter), its weights dyadic so
    that they sum to one exactly; None where only kernels on given x are certified.
    """

    name: str
    weights: tuple[float, ...]
    parameters: Phis
    sample: tuple[float, ...]
    sample_weights: tuple[float, ...]
    truth: tuple[tuple[float, ...], ...] | None


def points(
    components: int,
    roles: Sequence[str],
    support: Support = "line",
    fixed: Sequence[float | None] = (),
    size: int = 24,
    seed: int = 20,
    *,
    kinked: bool = False,
) -> list[Point]:
    """The named points of a mixture; ``fixed`` holds a parameter of every component at a number.

    Where the log-density is ``kinked`` at a location, no sample point lies on one: a rounding of
    the location would decide on which side it is.

    >>> [p.name for p in points(3, ("location", "scale"))][:5]
    ['ordinary', 'merging 1e-3', 'merging 1e-6', 'merging 1e-12', 'first weight 1e-12']
    >>> points(2, ("location", "scale"), fixed=(None, 1.0))[1].parameters
    ((-1.25, 1.0), (-1.249, 1.0))
    """
    unknown = [role for role in roles if role not in ROLES]
    if unknown or not roles or components < 1:
        given = f"{components} components with roles {tuple(roles)}"
        raise CertificateError(problem("points", given, f"K ≥ 1 and roles of {ROLES}"))
    held = (*fixed, *(None for _ in range(len(roles) - len(fixed))))
    maker = _Maker(tuple(roles), held, support, components, size, seed, kinked)
    return maker.all()


@dataclass(frozen=True)
class _Maker:
    roles: tuple[str, ...]
    fixed: tuple[float | None, ...]
    support: Support
    count: int
    size: int
    seed: int
    kinked: bool = False

    def all(self) -> list[Point]:
        ordinary = self.ordinary(self.count)
        weights = self.weights(self.count)
        truth = self.truth()
        result = [self.point("ordinary", weights, ordinary, truth)]
        if self.count > 1:
            for text in ("1e-3", "1e-6", "1e-12"):
                phis = self.merged(ordinary, float(text))
                result.append(self.point(f"merging {text}", weights, phis, truth))
            rest = self.weights(self.count - 1)
            tiny = tuple(w * (1 - 1e-12) for w in rest)
            result.append(self.point("first weight 1e-12", (1e-12, *tiny), ordinary, truth))
            result.append(self.point("last weight 1e-12", (*tiny, 1e-12), ordinary, truth))
            if self.free("scale") or self.free("rate"):
                for text, kept in (("100", truth), ("1e6", None)):
                    phis = self.spread(ordinary, float(text))
                    result.append(self.point(f"scale ratio {text}", weights, phis, kept))
        tails = self.sample(ordinary, random.Random(self.seed + 1), 40.0)
        result.append(self.point("far tails", weights, ordinary, None, tails))
        if self.free("location") or self.free("rate"):
            away = tuple(self.moved(phi) for phi in ordinary)
            moved = map(self.moved, zip(*truth[1:], strict=True))
            there = (truth[0], *zip(*moved, strict=True))
            result.append(self.point("far away", weights, away, there))
        return result

    def free(self, role: str) -> bool:
        return any(r == role and f is None for r, f in zip(self.roles, self.fixed, strict=True))

    def point(
        self,
        name: str,
        weights: Sequence[float],
        phis: Phis,
        truth: tuple[tuple[float, ...], ...] | None,
        sample: list[float] | None = None,
    ) -> Point:
        rng = random.Random(f"{self.seed} {name}")
        xs = self.sample(phis, rng, 8.0) if sample is None else sample
        sample_weights = tuple(2.0 ** rng.uniform(-4, 4) for _ in xs)
        return Point(name, tuple(weights), phis, tuple(xs), sample_weights, truth)

    def fill(self, values: dict[str, float]) -> tuple[float, ...]:
        pairs = zip(self.roles, self.fixed, strict=True)
        return tuple(values[role] if held is None else held for role, held in pairs)

    def ordinary(self, count: int) -> Phis:
        return tuple(
            self.fill(
                {
                    "location": 2.5 * k - 1.25 * (count - 1),
                    "scale": 0.75 + 0.125 * k,
                    "rate": 0.7 * 1.9**k,
                    "shape": 1.5 + 0.75 * k,
                    "probability": (k + 0.7) / (count + 0.6),
                    "real": 0.5 * k - 0.25 * (count - 1),
                }
            )
            for k in range(count)
        )

    @staticmethod
    def weights(count: int) -> tuple[float, ...]:
        parts = [1 + 0.4 * ((3 * k) % count) for k in range(count)]
        return tuple(p / sum(parts) for p in parts)

    def truth(self) -> tuple[tuple[float, ...], ...]:
        """Two components for a model of three, three for one of two; neither is in the model."""
        values = [
            {"location": -0.8, "scale": 1.2, "rate": 0.9, "shape": 1.7, **_MORE[0]},
            {"location": 1.9, "scale": 0.7, "rate": 2.3, "shape": 2.9, **_MORE[1]},
            {"location": 0.4, "scale": 1.5, "rate": 1.6, "shape": 2.2, **_MORE[2]},
        ]
        weights = (0.25, 0.25, 0.5) if self.count == 2 else (0.375, 0.625)
        phis = map(self.fill, values[: len(weights)])
        return (weights, *zip(*phis, strict=True))

    def merged(self, phis: Phis, distance: float) -> Phis:
        """Component 2 is component 1 with its location moved; without one, all grow relatively."""
        located = self.free("location")

        def near(value: float, role: str, held: float | None) -> float:
            if held is not None or (located and role != "location"):
                return value
            return value + distance if role in ("location", "real") else value * (1 + distance)

        return (phis[0], tuple(map(near, phis[0], self.roles, self.fixed)), *phis[2:])

    def spread(self, phis: Phis, by: float) -> Phis:
        """The last component's scale or rate is ``by`` times the first's, and still the largest."""

        def ends(low: float, high: float, role: str, held: float | None) -> tuple[float, float]:
            if held is not None or role not in ("scale", "rate"):
                return low, high
            top = max(low * by**0.5, high)
            return top / by, top

        first, last = zip(*map(ends, phis[0], phis[-1], self.roles, self.fixed), strict=True)
        return (first, *phis[1:-1], last)

    def moved(self, phi: Sequence[float]) -> tuple[float, ...]:
        """Locations plus 1e5; without one, rates times 1e5, or 1e4 where x are counts."""
        factor = 1e4 if self.support == "integers" else 1e5
        located = self.free("location")

        def away(value: float, role: str, held: float | None) -> float:
            if held is not None:
                return value
            if role == "location":
                return value + 1e5
            return value * factor if role == "rate" and not located else value

        return tuple(map(away, phi, self.roles, self.fixed))

    def value(self, phi: Sequence[float], role: str, default: float) -> float:
        return phi[self.roles.index(role)] if role in self.roles else default

    def centre(self, phi: Sequence[float]) -> float:
        rate = self.value(phi, "rate", 1.0)
        if self.support == "integers" and "probability" in self.roles:
            rate = 1 / self.value(phi, "probability", 0.5) - 1
        if self.discrete:
            low, high = self.ends()
            return low + (high - low) * self.value(phi, "probability", 0.5)
        return self.value(phi, "location", rate if self.support == "integers" else 0.0)

    @property
    def discrete(self) -> bool:
        """Whether the support is a finite set."""
        return isinstance(self.support, tuple) and self.support[0] != "interval"

    def ends(self) -> tuple[float, float]:
        """The first and the last point of a finite set."""
        if self.support[0] == "finite":
            return float(self.support[1][0]), float(self.support[1][-1])
        return float(self.support[1]), float(self.support[2])

    def spacing(self, phi: Sequence[float]) -> float:
        rate = self.value(phi, "rate", 1.0)
        if self.support == "integers" and "probability" in self.roles:
            return 1 / self.value(phi, "probability", 0.5)
        if self.discrete:
            low, high = self.ends()
            return math.sqrt(high - low) / 2 or 1.0
        return self.value(phi, "scale", math.sqrt(rate) if self.support == "integers" else 1 / rate)

    def sample(self, phis: Phis, rng: random.Random, reach: float) -> list[float]:
        """Log-uniform distances from the components, with the extremes in."""
        xs = []
        for n in range(max(self.size, 4 * self.count)):
            phi = phis[n % len(phis)]
            extreme = n // len(phis)
            distance = (0.0, reach, 1e-12)[extreme] if extreme < 3 else 10 ** rng.uniform(-6, 0.9)
            sign = rng.choice((-1, 1))
            room = 1e-9 * (1 + abs(self.centre(phi)))
            if self.kinked:  # a rounding of the location decides on which side of it x lies
                distance = max(distance, room)
            x = self.inside(self.centre(phi), sign * distance, self.spacing(phi))
            for _ in range(100):
                if not self.kinked or all(abs(x - self.centre(p)) >= room for p in phis):
                    break
                distance = 1.5 * distance + room
                x = self.inside(self.centre(phi), sign * distance, self.spacing(phi))
            xs.append(x)
        return xs

    def inside(self, centre: float, distance: float, unit: float) -> float:
        """The point at that many units of the centre, folded into the support."""
        if self.support == "integers":
            return float(max(0, round(centre + distance * unit)))
        if self.support == "half-line":
            return abs(centre + distance * unit) or unit
        if self.discrete:
            low, high = self.ends()
            at = min(max(centre + distance * unit, low), high)
            if self.support[0] == "integers":
                return float(round(at))
            return float(min(self.support[1], key=lambda v: (abs(v - at), v)))
        if isinstance(self.support, tuple):
            low, high = self.support[1], self.support[2]
            fraction = 1e-12 + (abs(distance) % 1) * (1 - 2e-12)
            return low + (high - low) * (fraction if distance >= 0 else 1 - fraction)
        return centre + distance * unit
