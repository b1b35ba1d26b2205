"""First-order jets of a mixture: its log-density with every derivative, from callables alone.

In: one component's log-density and a chart's map to components, both callables of mpmath numbers.
Out: :class:`Located`, the mixture at one coordinate point, which turns a list of x into pairs
``(log p(x), ∂ log p(x)/∂λ)``. The oracle integrates and averages these; nothing here knows a
formula of a score. Callables are differentiated by complex step, the sum over components by dual
numbers, the chart by a complex step of its own.

Two precisions: results are good to :data:`DIGITS`, and :data:`GUARD` more are carried, because
mpmath's ``erf``, ``atan`` and Bessel functions round a tiny imaginary part relative to the real
one. At 90 digits a step of 1e-40 then still leaves 50.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import mpmath
from mpmath import mp

from relrep_sym.errors import CertificateError, problem

__all__ = [
    "DIGITS",
    "GUARD",
    "WORKING",
    "Chart",
    "Density",
    "Dual",
    "Jet",
    "Located",
    "Memo",
    "Number",
    "exact",
]

VANISHING = mpmath.mpf("1e-60")
"""Slopes below this are looked at again: the complex step's own error is of order 1e-80."""
DIGITS = 50
"""Digits that a pointwise value is good to."""
GUARD = 40
"""Digits carried beyond :data:`DIGITS`; the derivative's step is ten to the minus GUARD."""
WORKING = DIGITS + GUARD
"""The precision at which everything in this floor is evaluated."""

Number = Any
"""An mpmath number, ``mpf`` or ``mpc``: mpmath carries no types."""
Jet = tuple[Number, list[Number]]
"""A value and its gradient."""
Memo = dict[tuple[Number, ...], list[Jet]]
"""The jets of one component by its φ, at one list of x."""
Chart = Callable[[Sequence[Number]], tuple[Sequence[Number], Sequence[Sequence[Number]]]]
"""Coordinates to ``(weights, [phi_1, …, phi_K])``, analytic."""


@dataclass(frozen=True)
class Density:
    """One component's log-density, and where its x lives.

    ``component_log_density(x, *phi)`` takes and returns mpmath numbers. ``support`` is ``"line"``,
    ``"half-line"``, ``"integers"`` (0, 1, 2, …), ``("interval", a, b)``, ``("integers", a, b)`` or
    ``("finite", (x_1, …))``. With ``analytic`` false (an absolute value, a Piecewise) parameters
    are differentiated by a symmetric difference quotient at higher precision instead of by complex
    step: at a kink that is the mean of the slopes on its two sides, as sign(0) = 0 gives.
    ``kinks(*phi)`` lists the x at which the log-density is not smooth: integrals are cut there.

    >>> Density(lambda x, rate: mpmath.log(rate) - rate * x, "half-line").support
    'half-line'
    """

    component_log_density: Callable[..., Number]
    support: str | tuple[Any, ...] = "line"
    analytic: bool = True
    kinks: Callable[..., Sequence[Number]] | None = None

    def __post_init__(self) -> None:
        named = self.support in ("line", "half-line", "integers")
        given = self.support[0] if isinstance(self.support, tuple) and self.support else None
        if not named and given not in ("interval", "integers", "finite"):
            right = (
                "'line', 'half-line', 'integers', ('interval', a, b), ('integers', a, b) or "
                "('finite', (x_1, …))"
            )
            raise CertificateError(problem("unknown support", self.support, right))


class Dual:
    """A number and its tangent, kept sparse: value + Σ_i tangent[i] ε_i, with ε_i ε_j = 0.

    >>> y = (Dual(mpmath.mpf(2), {0: 1}) * Dual(mpmath.mpf(3), {1: 1})).log()
    >>> float(y.tangent[0]), round(float(y.tangent[1]), 6)
    (0.5, 0.333333)
    """

    __slots__ = ("tangent", "value")

    def __init__(self, value: Number, tangent: dict[int, Number]) -> None:
        self.value = value
        self.tangent = tangent

    def __add__(self, other: Dual) -> Dual:
        tangent = dict(self.tangent)
        for i, t in other.tangent.items():
            tangent[i] = tangent[i] + t if i in tangent else t
        return Dual(self.value + other.value, tangent)

    def __mul__(self, other: Dual) -> Dual:
        tangent = {i: t * other.value for i, t in self.tangent.items()}
        for i, t in other.tangent.items():
            part = self.value * t
            tangent[i] = tangent[i] + part if i in tangent else part
        return Dual(self.value * other.value, tangent)

    def exp(self) -> Dual:
        """Its exponential."""
        value = mpmath.exp(self.value)
        return Dual(value, {i: t * value for i, t in self.tangent.items()})

    def log(self) -> Dual:
        """Its logarithm."""
        slope = 1 / self.value
        return Dual(mpmath.log(self.value), {i: t * slope for i, t in self.tangent.items()})


def exact(value: Any) -> Number:
    """A float, int or mpmath number as an ``mpf`` without rounding.

    >>> exact(0.5)
    mpf('0.5')
    """
    return value if isinstance(value, mpmath.mpf) else mpmath.mpf(float(value))


def _complex_step(f: Callable[..., Number], args: Sequence[Number], j: int) -> Number:
    moved = list(args)
    moved[j] = mpmath.mpc(args[j], mpmath.mpf(10) ** -GUARD)
    return f(*moved)


def _quotient(f: Callable[..., Number], args: Sequence[Number], j: int) -> Number:
    """The symmetric quotient: at a kink the mean of the slopes on its two sides."""
    with mp.workdps(3 * GUARD + DIGITS):
        step = mpmath.mpf(10) ** -(2 * GUARD)
        up, down = list(args), list(args)
        up[j], down[j] = args[j] + step, args[j] - step
        return (f(*up) - f(*down)) / (2 * step)


def _component_jet(density: Density, x: Number, phi: Sequence[Number]) -> Jet:
    """(log f(x|φ), [∂ log f/∂φ_a]): one evaluation of the callable for each parameter."""
    f = density.component_log_density
    if not density.analytic:
        args = (x, *phi)
        return f(*args), [_quotient(f, args, a + 1) for a in range(len(phi))]
    if not phi:
        return f(x), []
    scale = 10**GUARD
    steps = [mpmath.mpc(_complex_step(f, (x, *phi), a + 1)) for a in range(len(phi))]
    slopes = [s.imag * scale for s in steps]
    for a, slope in enumerate(slopes):
        if slope and abs(slope) < VANISHING:
            slopes[a] = _unless_zero(f, (x, *phi), a + 1, slope)
    return steps[0].real, slopes


def _unless_zero(f: Callable[..., Number], args: Sequence[Number], j: int, slope: Number) -> Number:
    """A tiny slope; zero where it is the step's own error, which falls as the step's square."""
    with mp.workdps(3 * GUARD + DIGITS):
        moved, shorter = list(args), mpmath.mpf(10) ** -(3 * GUARD // 2)
        moved[j] = mpmath.mpc(args[j], shorter)
        again = mpmath.im(f(*moved)) / shorter
    return again if abs(again) > abs(slope) * mpmath.mpf("1e-20") else mp.zero


def _insist(what: str, stepped: Number, quotient: Number, at: str) -> None:
    """A callable that is not analytic gives a wrong complex step silently: compare once."""
    tiny = mpmath.mpf(10) ** -25
    if not abs(stepped - quotient) <= tiny * (abs(quotient) + tiny):
        given = f"complex step {mpmath.nstr(stepped, 9)}, quotient {mpmath.nstr(quotient, 9)}"
        right = "a callable analytic in its parameters, or Density(…, analytic=False)"
        raise CertificateError(problem(f"{what} is not analytic at {at}", given, right))


class Located:
    """The mixture at one coordinate point: its components and the chart's own Jacobian.

    Parameters are numbered flat: weights 0 … K−1, then the φ of component after component.
    ``jacobian[j]`` lists the pairs (number, ∂parameter/∂λ_j) that are not zero.
    """

    def __init__(self, density: Density, chart: Chart, coords: Sequence[Number]) -> None:
        self.density = density
        self.chart = chart
        self.coords = [exact(c) for c in coords]
        weights, phis = chart(self.coords)
        self.weights = [mpmath.mpmathify(w) for w in weights]
        self.phis = [tuple(mpmath.mpmathify(v) for v in phi) for phi in phis]
        if len(self.weights) != len(self.phis) or not self.weights:
            given = f"{len(self.weights)} weights and {len(self.phis)} components"
            raise CertificateError(problem("the chart's map", given, "K ≥ 1 of each"))
        if any(not w >= 0 for w in self.weights):
            given = ", ".join(mpmath.nstr(w, 8) for w in self.weights)
            raise CertificateError(problem("a weight is negative", given, "weights ≥ 0"))
        self.jacobian = [self._column(j) for j in range(len(self.coords))]
        self._cache: dict[Number, Jet] = {}

    def _flat(self, coords: Sequence[Number]) -> list[Number]:
        weights, phis = self.chart(coords)
        return [mpmath.mpmathify(v) for v in (*weights, *(v for phi in phis for v in phi))]

    def _column(self, j: int) -> list[tuple[int, Number]]:
        def flat(*c: Number) -> list[Number]:
            return self._flat(c)

        stepped = [mpmath.im(v) * 10**GUARD for v in _complex_step(flat, self.coords, j)]
        return [(i, v) for i, v in enumerate(stepped) if v]

    def insist_analytic(self, xs: Sequence[Number]) -> None:
        """Refuse callables whose complex step is not their derivative, here and at these x."""
        size = len(self.weights) + sum(map(len, self.phis))
        for j, column in enumerate(self.jacobian):
            dense = dict(column)
            for i in range(size):
                quotient = _quotient(lambda *c, i=i: self._flat(c)[i], self.coords, j)
                _insist("the chart", dense.get(i, mp.zero), quotient, f"coordinate {j}")
        f = self.density.component_log_density
        for phi in self.phis if self.density.analytic else []:
            for x in xs:
                at = f"x = {mpmath.nstr(x, 8)}"
                for a, stepped in enumerate(_component_jet(self.density, x, phi)[1]):
                    _insist("the log-density", stepped, _quotient(f, (x, *phi), a + 1), at)

    def moved(self, j: int, relative: Number) -> Located:
        """The same mixture with λ_j (1 + relative)."""
        coords = list(self.coords)
        coords[j] = coords[j] * (1 + relative)
        return Located(self.density, self.chart, coords)

    def log_components(self, xs: Sequence[Number]) -> list[list[Number]]:
        """log f(x|φ_k), no derivatives: one row for each x."""
        f = self.density.component_log_density
        return [[f(x, *phi) for phi in self.phis] for x in xs]

    def tables(self, xs: Sequence[Number], memo: Memo | None = None) -> list[list[Jet]]:
        """One table for each component: (log f, its φ-gradient) at each x.

        ``memo`` keeps the tables of one list of x by φ: neighbours share most components.
        """
        memo = {} if memo is None else memo
        for phi in self.phis:
            if phi not in memo:
                memo[phi] = [_component_jet(self.density, x, phi) for x in xs]
        return [memo[phi] for phi in self.phis]

    def joint(self, row: Sequence[Jet]) -> tuple[Number, list[Dual]]:
        """(shift, duals of w_k f_k(x) e^{-shift}) from the components' jets at one x."""
        shift = max(value for value, _ in row)
        duals = []
        number = len(self.weights)
        for k, (value, gradient) in enumerate(row):
            exponent = Dual(value - shift, dict(enumerate(gradient, start=number)))
            duals.append(Dual(self.weights[k], {k: mpmath.mpf(1)}) * exponent.exp())
            number += len(gradient)
        return shift, duals

    def pull_back(self, tangent: dict[int, Number]) -> list[Number]:
        """A tangent in the flat parameters, seen in the coordinates."""
        return [
            mp.fdot([(tangent[i], v) for i, v in column if i in tangent])
            for column in self.jacobian
        ]

    def jets(self, xs: Sequence[Number], memo: Memo | None = None) -> list[Jet]:
        """(log p(x), [∂ log p(x)/∂λ_j]) for each x; remembered unless ``memo`` is given."""
        if memo is not None:
            return [self._jet(row) for row in zip(*self.tables(xs, memo), strict=True)]
        fresh = [x for x in xs if x not in self._cache]
        for x, row in zip(fresh, zip(*self.tables(fresh), strict=True), strict=True):
            self._cache[x] = self._jet(row)
        return [self._cache[x] for x in xs]

    def _jet(self, row: Sequence[Jet]) -> Jet:
        shift, duals = self.joint(row)
        total = duals[0]
        for dual in duals[1:]:
            total = total + dual
        if not total.value > 0:
            raise CertificateError(problem("p(x) is not positive", "weights and x", "p(x) > 0"))
        log_p = total.log()
        return log_p.value + shift, self.pull_back(log_p.tangent)
