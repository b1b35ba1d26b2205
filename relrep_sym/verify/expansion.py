"""The oracle of series: coefficients of log p and of its learning along a path, from the density.

In: a density, a map from coordinates to components, functions of the coordinates (a view), and a
path of coordinates in one complex number ε. Out: for any x the coefficients of powers of ε, by
Cauchy's formula on a circle, at a precision at which neither its radius nor rounding is seen. No
formula of the engine is used: what it claims of the coordinates along the path is checked by the
view.

>>> import mpmath
>>> from relrep_sym.verify.jets import Density
>>> def normal(x, mu):
...     return -((x - mu) ** 2) / 2 - mpmath.log(2 * mpmath.pi) / 2
>>> def components(c):
...     return [mpmath.mpf(1) / 4, mpmath.mpf(3) / 4], [(c[0],), (c[1],)]
>>> path = Path(Density(normal), components, lambda c: [c[0] - c[1], c[1]],
...             lambda e: [e, 0], lambda e: [e, 0])
>>> [mpmath.nstr(c, 12) for c in Expansion(path, order=2).log_density(mpmath.mpf(2))]
['-2.9189385332', '0.5', '0.25']
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import mpmath
from mpmath import mp

from relrep_sym.errors import CertificateError, problem
from relrep_sym.verify.jets import Chart, Density, Number
from relrep_sym.verify.quadrature import Budget, integrate
from relrep_sym.verify.truth import Truth, Weighing

__all__ = ["Expansion", "Path", "average"]

Functions = Callable[[Sequence[Number]], Sequence[Number]]


@dataclass(frozen=True)
class Path:
    """A path ε → coordinates, and what lies along it.

    ``view`` maps coordinates to the view's functions, which along the path must be ``seen(ε)``.
    """

    density: Density
    components: Chart
    view: Functions
    coordinates: Callable[[Number], Sequence[Number]]
    seen: Callable[[Number], Sequence[Number]]


def average(
    fn: Callable[[Number], Sequence[Number]],
    density: Density,
    truth: Truth,
    model: Truth,
    digits: int,
    growth: int,
) -> list[tuple[Number, Number]]:
    """E[fn(X)] and E|fn(X) + 1| for X from the truth, entry by entry, to digits of the latter:
    where a coefficient vanishes, its rounding is nothing that could be integrated.

    ``model`` is the mixture near the overlap, whose components are features of ``fn``; ``growth``
    is the power of x with which ``fn`` grows, for which the truth's tails are taken farther out.
    """
    q = Weighing(density, truth)
    deep = digits + 4 * growth

    def rows(xs: list[Number]) -> list[list[Number]]:
        return [
            [d, *(d * (v + 1) for v in fn(x))] for d, x in zip(q.densities(xs), xs, strict=True)
        ]

    support = density.support
    features = Weighing(density, model).landmarks(digits, support)
    found = integrate(
        rows, support, q.landmarks(deep, support), features, digits, Budget(None, "a series")
    )
    return [(v - 1, a) for v, a in zip(found.values[1:], found.absolutes[1:], strict=True)]


@dataclass(frozen=True)
class _Place:
    """The mixture at one ε of the circle: components, their slopes by λ, and the view's."""

    weights: Sequence[Number]
    phis: Sequence[Sequence[Number]]
    slopes: Sequence[tuple[Sequence[Number], Sequence[Sequence[Number]]]]
    jacobian: Sequence[Sequence[Number]]


@dataclass(frozen=True)
class Expansion:
    """Coefficients along a path, of ε^low … ε^order; ``digits`` of them are good.

    The circle has the radius 10⁻ʳ, within which components must be analytic.
    """

    path: Path
    order: int
    digits: int = 30
    low: int = 0
    radius: int = 6

    @property
    def points(self) -> int:
        """On the circle: beyond the orders asked for, so that others alias to radius**points."""
        return 2 * ((max(12, self.order - self.low + 8) + 1) // 2)

    @property
    def kept(self) -> int:
        """Decimal digits of what is on the circle."""
        return self.digits + self.radius * (self.order + 1) + 15

    @property
    def precision(self) -> int:
        """Decimal digits of the computation: derivatives are differences at a third of them."""
        return self.kept * 3 // 2

    @cached_property
    def _circle(self) -> list[tuple[Number, Number]]:
        """The upper half of the circle with its weights: maps are real on the real line."""
        with mp.workdps(self.precision):
            half = self.points // 2
            found = []
            for k in range(half + 1):
                e = mpmath.mpf(10) ** -self.radius * mpmath.expjpi(2 * mpmath.mpf(k) / self.points)
                found.append((e, mpmath.mpf(1 if k in (0, half) else 2) / self.points))
            return found

    @cached_property
    def _places(self) -> list[_Place]:
        with mp.workdps(self.precision):
            return [self._place(e) for e, _ in self._circle]

    def _place(self, e: Number) -> _Place:
        path = self.path
        coords = [mpmath.mpmathify(c) for c in path.coordinates(e)]
        for found, wanted in zip(path.view(coords), path.seen(e), strict=True):
            if abs(found - wanted) > mpmath.mpf(10) ** (-self.precision // 2):
                given = f"{mpmath.nstr(found, 12)} at ε = {mpmath.nstr(e, 6)}"
                right = mpmath.nstr(wanted, 12)
                raise CertificateError(
                    problem("the path leaves the view's functions", given, right)
                )
        weights, phis = path.components(coords)
        slopes, rows = [], []
        for j in range(len(coords)):
            up, down = self._moved(coords, j)
            two = up[j] - down[j]
            (w_up, p_up), (w_down, p_down) = path.components(up), path.components(down)
            slopes.append(
                (
                    [(a - b) / two for a, b in zip(w_up, w_down, strict=True)],
                    [
                        [(a - b) / two for a, b in zip(f, g, strict=True)]
                        for f, g in zip(p_up, p_down, strict=True)
                    ],
                )
            )
            pairs = zip(path.view(up), path.view(down), strict=True)
            rows.append([(a - b) / two for a, b in pairs])
        return _Place(weights, phis, slopes, rows)

    def _moved(self, values: Sequence[Number], j: int) -> tuple[list[Number], list[Number]]:
        step = mpmath.mpf(10) ** (-self.precision // 3)
        up, down = list(values), list(values)
        up[j], down[j] = up[j] + step, down[j] - step
        return up, down

    def _taylor(self, values: Sequence[Number]) -> list[Number]:
        """Cauchy's formula from values on the upper half circle."""
        out = []
        for n in range(self.low, self.order + 1):
            pairs = zip(self._circle, values, strict=True)
            out.append(mpmath.fsum((v * e**-n).real * w for (e, w), v in pairs))
        return out

    def log_density(self, x: Number) -> list[Number]:
        """The coefficients of log p(x)."""
        f = self.path.density.component_log_density
        self._places  # noqa: B018 - at their own precision
        with mp.workdps(self.kept):
            values = []
            for place in self._places:
                logs = [f(x, *phi) for phi in place.phis]
                shift = max(v.real for v in logs)
                pairs = zip(place.weights, logs, strict=True)
                total = mpmath.fsum(w * mpmath.exp(v - shift) for w, v in pairs)
                values.append(shift + mpmath.log(total))
            return self._taylor(values)

    def rates(self, x: Number) -> list[Number]:
        """The coefficients of J ∇_λ log p(x), one function of the view after another."""
        with mp.workdps(self.precision):
            columns = zip(*(self._rates_at(place, x) for place in self._places), strict=True)
            return [c for column in columns for c in self._taylor(column)]

    def _rates_at(self, place: _Place, x: Number) -> list[Number]:
        f = self.path.density.component_log_density
        logs = [f(x, *phi) for phi in place.phis]
        shift = max(v.real for v in logs)
        parts = [mpmath.exp(v - shift) for v in logs]
        total = mpmath.fsum(w * p for w, p in zip(place.weights, parts, strict=True))
        by_phi = []
        for phi in place.phis:
            row = []
            for a in range(len(phi)):
                up, down = self._moved(phi, a)
                row.append((f(x, *up) - f(x, *down)) / (up[a] - down[a]))
            by_phi.append(row)
        gradient = []
        for by_weight, by_component in place.slopes:
            terms = []
            for k, part in enumerate(parts):
                along = mpmath.fdot(by_phi[k], by_component[k])
                terms.append(part * (by_weight[k] + place.weights[k] * along))
            gradient.append(mpmath.fsum(terms) / total)
        count = len(place.jacobian[0])
        return [mpmath.fdot(gradient, [row[i] for row in place.jacobian]) for i in range(count)]
