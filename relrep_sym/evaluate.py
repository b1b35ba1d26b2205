"""Identities in numbers: each side as it stands, from the densities, at ninety digits.

In: a side of an identity (:class:`~relrep_sym.declare.identity.Scope` reads it) and a point. Out:
its value with what is needed to judge it. Nothing that was derived is used: responsibilities and
densities come from the declared log-density, means from the quadrature of ``verify``, derivatives
from central differences at ninety digits, taken of integrands *under* the integral so that every
mean and its derivatives share their nodes and have their own measured errors.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import mpmath
import sympy as sp
from mpmath import mp

from relrep_sym.declare.chart import identity
from relrep_sym.declare.family import Family
from relrep_sym.declare.identity import Scope
from relrep_sym.declare.model import mixture
from relrep_sym.declare.nodes import At, Atom, Expected, Node, Slope
from relrep_sym.declare.symbols import Parameter
from relrep_sym.errors import CertificateError, problem
from relrep_sym.oracle_input import callable_of, oracle_of
from relrep_sym.verify.jets import WORKING
from relrep_sym.verify.quadrature import Budget, Mark, integrate
from relrep_sym.verify.truth import Weighing

__all__ = ["Evaluation", "Evaluator", "Place", "order_of"]

Number = Any
Path = tuple[tuple[sp.Symbol, int], ...]
"""Symbols that are moved by one step of the difference, up (1) or down (-1)."""
MAX_ORDER = 3
_STEPS = {0: 30, 1: 30, 2: 22, 3: 18}
"""Digits of the step by the highest order of a derivative: truncation and rounding in balance."""
_MOVED = mpmath.mpf("1e-30")
"""By so much of itself an argument is moved, to see how its rounding reaches a function."""
_FLOOR = {0: 60, 1: 45, 2: 38, 3: 32}
"""Below this power of ten an integrand is rounding: it counts as zero."""


@dataclass(frozen=True)
class Place:
    """A point: exact numbers for coordinates, constants and the truth's symbols, and perhaps x."""

    values: Mapping[sp.Symbol, sp.Rational]
    x: sp.Rational | None = None
    name: str = "ordinary"

    def __str__(self) -> str:
        shown = [f"{s.name} = {_decimal(v)}" for s, v in self.values.items()]
        return ", ".join(shown + ([f"x = {_decimal(self.x)}"] if self.x is not None else []))


@dataclass(frozen=True)
class Evaluation:
    """A value, the sum of the moduli of what was added up, and the relative error of means."""

    value: Number
    scale: Number
    error: Number


def order_of(e: sp.Basic) -> int:
    """How many derivatives are within one another."""
    inner = max((order_of(a) for a in e.args), default=0)
    return inner + isinstance(e, Slope)


class _Component:
    """A family's declared density; what has no x in its logarithm is computed once for each φ."""

    def __init__(self, family: Family) -> None:
        self.density = oracle_of(identity(mixture(family, 1))).density
        fixed, moving = family.log_density.as_independent(family.x, as_Add=True)
        self._fixed = callable_of(family.symbols, fixed)
        self._moving = callable_of((family.x, *family.symbols), moving)
        self._heights: dict[tuple[Number, ...], Number] = {}
        self._numbers: dict[tuple[Number, ...], int] = {}
        self._known: dict[Number, dict[int, Number]] = {}

    def number(self, phi: tuple[Number, ...]) -> int:
        """A number for φ, by which values are remembered."""
        if phi not in self._numbers:
            self._numbers[phi] = len(self._numbers)
            self._heights[phi] = self._fixed(*phi)
        return self._numbers[phi]

    def values(
        self, x: Number, phis: Sequence[tuple[Number, ...]], numbers: Sequence[int]
    ) -> list[Number]:
        """f(x | φ) for each φ: mpmath's exponents have no end, so nothing underflows."""
        known = self._known.get(x)
        if known is None:
            if len(self._known) > 256:
                self._known.clear()
            known = self._known[x] = {}
        for number, phi in zip(numbers, phis, strict=True):
            if number not in known:
                known[number] = mpmath.exp(self._moving(x, *phi) + self._heights[phi])
        return [known[n] for n in numbers]


class _Mixture:
    """A mixture at one place: weights, parameters, its density's callable."""

    def __init__(
        self, component: _Component, weights: list[Number], phis: list[tuple[Number, ...]]
    ) -> None:
        self.component, self.weights, self.phis = component, weights, phis
        self._numbers = [component.number(phi) for phi in phis]

    def values(self, x: Number) -> list[Number]:
        """f(x | φ_k)."""
        return self.component.values(x, self.phis, self._numbers)

    def density(self, x: Number, k: int) -> Number:
        """Its density, or that of component k."""
        found = self.values(x)
        return found[k - 1] if k else mp.fdot(self.weights, found)

    def weighing(self, k: int) -> Weighing:
        """What quadrature takes."""
        chosen = [k - 1] if k else range(len(self.weights))
        weights = [mp.one] if k else self.weights
        rows = zip(*(self.phis[i] for i in chosen), strict=True)
        return Weighing(self.component.density, [weights, *rows])


@dataclass
class Evaluator:
    """Evaluates sides of identities in one scope, at one place at a time."""

    scope: Scope
    digits: int = 30
    seconds: float = 120.0

    _plans: dict[sp.Expr, Any] = field(default_factory=dict, repr=False)
    _functions: dict[type[sp.Function], Any] = field(default_factory=dict, repr=False)

    def at(self, place: Place, sides: Sequence[sp.Expr]) -> list[Evaluation]:
        """Both sides at a place; CertificateError where a mean cannot be had to its digits."""
        with mp.workdps(WORKING):
            return _Run(self, place, sides).evaluations()

    # ---- callables, made once

    @cached_property
    def densities(self) -> dict[str, _Component]:
        """The component densities of the model and the truth."""
        out = {"p": _Component(self.scope.model.family)}
        if self.scope.truth is not None:
            out["q"] = _Component(self.scope.truth.family)
        return out

    @cached_property
    def theta(self) -> dict[sp.Symbol, Callable[..., Number]]:
        """θ by the coordinates and the constants of the chart."""
        inputs = (*self.scope.coordinates, *self.scope.constants)
        return {t: callable_of(inputs, e) for t, e in self.scope.theta.items()}

    @cached_property
    def rows(self) -> dict[str, tuple[tuple[sp.Symbol, ...], list[list[Callable[..., Number]]]]]:
        """Weights and parameters of the model by θ, and of the truth by its symbols."""
        model, truth = self.scope.model, self.scope.truth
        inputs = tuple(p.symbol for p in model.parameters)
        rows = [model.weight_expressions]
        rows += [model.component(p.name) for p in model.family.parameters]
        out = {"p": (inputs, [[callable_of(inputs, e) for e in row] for row in rows])}
        if truth is not None:
            found = [[callable_of(truth.symbols, e) for e in r] for r in _truth_rows(truth)]
            out["q"] = (tuple(truth.symbols), found)
        return out

    def plan(self, e: sp.Expr) -> tuple[Callable[..., Number], list[sp.Symbol], list[sp.Expr]]:
        """A callable of what stands in ``e``: symbols and nodes."""
        if e not in self._plans:
            nodes = {n: sp.Dummy("n") for n in _outer_nodes(e)}
            plain = e.xreplace(nodes)
            symbols = sorted(plain.free_symbols - set(nodes.values()), key=sp.default_sort_key)
            self._plans[e] = callable_of([*symbols, *nodes.values()], plain), symbols, list(nodes)
        return self._plans[e]

    def function(self, kind: type[sp.Function]) -> Callable[[Number], Number]:
        """A function of one argument."""
        if kind not in self._functions:
            argument = sp.Dummy("a")
            self._functions[kind] = callable_of([argument], kind(argument))
        return self._functions[kind]


class _Run:
    """Two sides at one place."""

    def __init__(self, evaluator: Evaluator, place: Place, sides: Sequence[sp.Expr]) -> None:
        self.of, self.place, self.sides = evaluator, place, sides
        order = max(map(order_of, sides))
        if order > MAX_ORDER:
            right = f"at most {MAX_ORDER} within one another"
            raise CertificateError(problem("derivatives of too high an order", order, right))
        self.order = order
        self.step = mpmath.mpf(10) ** -_STEPS[order]
        self.floor = mpmath.mpf(10) ** -_FLOOR[order]
        self.digits = min(evaluator.digits, 25 if order == 3 else evaluator.digits)
        self.x = _number(place.x) if place.x is not None else None
        self.base = {s: _number(v) for s, v in place.values.items()}
        self.budget = Budget(time.monotonic() + evaluator.seconds, str(place))
        self.integrals: dict[tuple[sp.Expr, tuple[sp.Symbol, ...]], tuple[Number, Number]] = {}
        self.error = mp.zero
        self._places: dict[frozenset[Any], dict[str, Any]] = {}
        self._marks: dict[str, list[list[Mark]]] = {}

    def evaluations(self) -> list[Evaluation]:
        levels: dict[int, dict[tuple[sp.Expr, tuple[sp.Symbol, ...]], None]] = {}
        for side in self.sides:
            for mean, chain in _means(side, ()):
                for size in range(len(chain) + 1):
                    for chosen in itertools.combinations(chain, size):
                        key = (mean, _sorted(chosen))
                        levels.setdefault(_depth(mean), {})[key] = None
        for depth in sorted(levels):
            groups: dict[sp.Symbol, list[Any]] = {}
            for key in levels[depth]:
                groups.setdefault(key[0].args[1], []).append(key)
            for density, keys in groups.items():
                self._integrate(density, keys)
        out = []
        for side in self.sides:
            value = mpmath.mpmathify(self.value(side, self.x, ()))
            if isinstance(value, mpmath.mpc) or not mpmath.isfinite(value):
                raise CertificateError(problem("no real value", mpmath.nstr(value, 8), "a number"))
            out.append(Evaluation(value, self.scale(side), self.error))
        return out

    # ---- values

    def value(self, e: sp.Expr, x: Number, path: Path) -> Number:
        """The value of an expression at x, some symbols moved."""
        function, symbols, nodes = self.of.plan(e)
        numbers = self._symbols(symbols, x, path)
        return function(*numbers, *(self._node(n, x, path) for n in nodes))

    def _node(self, node: sp.Expr, x: Number, path: Path) -> Number:
        if isinstance(node, At):
            return self.value(node.args[0], self.value(node.args[1], x, path), path)
        if isinstance(node, Expected):
            return self._mean(node, path)
        inner, variable = node.args
        if variable == self.of.scope.x:
            step = self.step * self._room(x)
            up, down = (self.value(inner, x + s * step, path) for s in (1, -1))
            return (up - down) / (2 * step)
        up, down = (self.value(inner, x, (*path, (variable, s))) for s in (1, -1))
        return (up - down) / (2 * self.step)

    def _room(self, x: Number) -> Number:
        """How far x may move, at most one: no difference reaches over an end of the support."""
        support = self.of.scope.model.family.support
        if support == "half-line":
            return min(mp.one, x)
        if isinstance(support, str):
            return mp.one
        return min(mp.one, x - support[1], support[2] - x)

    def _mean(self, mean: sp.Expr, path: Path) -> Number:
        total = mp.zero
        for size in range(len(path) + 1):
            for chosen in itertools.combinations(path, size):
                factor = mp.one
                for _, sign in chosen:
                    factor *= sign * self.step
                key = (mean, _sorted([s for s, _ in chosen]))
                total += factor * self.integrals[key][0]
        return total

    def _symbols(self, symbols: Sequence[sp.Symbol], x: Number, path: Path) -> list[Number]:
        place = self._place(path)
        out = []
        for s in symbols:
            if isinstance(s, Atom):
                out.append(self._atom(s, x, place))
            elif s == self.of.scope.x:
                out.append(x)
            elif isinstance(s, Parameter):
                out.append(place["theta"][s])
            else:
                out.append(place["values"][s])
        if any(v is None for v in out):
            raise CertificateError(problem("x stands free", str(symbols), "a point with an x"))
        return out

    def _place(self, path: Path) -> dict[str, Any]:
        """Values, θ and the mixtures, some symbols moved."""
        moves: dict[sp.Symbol, int] = {}
        for s, sign in path:
            moves[s] = moves.get(s, 0) + sign
        key = frozenset((s, n) for s, n in moves.items() if n)
        if key not in self._places:
            moved = dict(key)
            values = {s: v + moved.get(s, 0) * self.step for s, v in self.base.items()}
            scope = self.of.scope
            inputs = [values[s] for s in (*scope.coordinates, *scope.constants)]
            theta = {t: f(*inputs) + moved.get(t, 0) * self.step for t, f in self.of.theta.items()}
            found: dict[str, Any] = {"values": values, "theta": theta, "key": key}
            for name, (symbols, rows) in self.of.rows.items():
                given = [theta[s] if name == "p" else values[s] for s in symbols]
                weights, *phis = [[mpmath.mpmathify(f(*given)) for f in row] for row in rows]
                both = list(zip(*phis, strict=True))
                found[name] = _Mixture(self.of.densities[name], weights, both)
            self._places[key] = found
        return self._places[key]

    def _atom(self, atom: Atom, x: Number, place: dict[str, Any]) -> Number:
        """r_k, f_k, p, log p, q or log q at x."""
        name = atom.name
        if name[0] in "rf":
            here: _Mixture = place["p"]
            values, k = here.values(x), int(name[2:]) - 1
            return (
                values[k]
                if name[0] == "f"
                else here.weights[k] * values[k] / mp.fdot(here.weights, values)
            )
        density = place[name[-1]].density(x, 0)
        return mpmath.log(density) if name.startswith("log") else density

    # ---- means

    def _integrate(self, density: sp.Symbol, keys: Sequence[Any]) -> None:
        name, _, number = density.name.partition("_")
        k = int(number or 0)
        base = self._place(())
        here: _Mixture = base[name]
        q = here.weighing(k)
        support = here.component.density.support

        def rows(xs: list[Number]) -> list[list[Number]]:
            out = []
            for x in xs:
                d = here.density(x, k)
                out.append([d, *(d * self._column(m, s, x, d, name, k) for m, s in keys)])
            return out

        marks = q.landmarks(self.digits, support)
        features = self._features(support)
        try:
            found = integrate(rows, support, marks, features, self.digits, self.budget)
        except CertificateError:  # the integrand reaches further than its density
            wide = q.landmarks(2 * self.digits + 20, support) + features
            found = integrate(rows, support, wide, features, self.digits, self.budget)
        if not abs(found.values[0] - 1) <= mpmath.mpf(10) ** (1 - self.digits):
            given = mpmath.nstr(found.values[0], self.digits)
            raise CertificateError(problem(f"the integral of {density}", given, "1"))
        for key, value, scale in zip(keys, found.values[1:], found.absolutes[1:], strict=True):
            self.integrals[key] = value, scale
        self.error = max(self.error, found.error)

    def _features(self, support: Any) -> list[list[Mark]]:
        if "p" not in self._marks:
            self._marks["p"] = self._place(())["p"].weighing(0).landmarks(self.digits, support)
        return self._marks["p"]

    def _column(
        self, mean: sp.Expr, moved: Sequence[sp.Symbol], x: Number, d: Number, name: str, k: int
    ) -> Number:
        """The difference quotient of an integrand in the symbols that are moved."""
        total = mp.zero
        for signs in itertools.product((1, -1), repeat=len(moved)):
            path = tuple(zip(moved, signs, strict=True))
            value = self.value(mean.args[0], x, path)
            if path:
                value *= self._place(path)[name].density(x, k) / d
            for sign in signs:
                value *= sign
            total += value
        total /= (2 * self.step) ** len(moved)
        return total if abs(total) > self.floor else mp.zero

    # ---- scales

    def scale(self, e: sp.Expr) -> Number:
        """The sum of the moduli of what is added up, also inside of functions."""
        if isinstance(e, sp.Add):
            return mpmath.fsum(self.scale(a) for a in e.args)
        if isinstance(e, sp.Mul):
            return mpmath.fprod(self.scale(a) for a in e.args)
        value = abs(self.value(e, self.x, ()))
        if isinstance(e, sp.Pow) and value and e.exp.is_Rational:
            base, inner = abs(self.value(e.base, self.x, ())), self.scale(e.base)
            return value * (inner / base) ** abs(int(sp.ceiling(abs(e.exp))))
        if isinstance(e, Expected):
            return max(value, self.integrals[e, ()][1])
        if isinstance(e, Slope):
            within = e.atoms(Expected)
            means = [s for (m, _), (_, s) in self.integrals.items() if m in within]
            return value + mpmath.fsum(means) + mpmath.mpf("1e-10") * self.scale(e.args[0])
        if isinstance(e, sp.Function) and len(e.args) == 1:
            return value + self._slope(e) * self.scale(e.args[0])
        return value

    def _slope(self, e: sp.Expr) -> Number:
        """The modulus of the slope of a function in its argument, the larger of both sides'."""
        function = self.of.function(e.func)
        at = self.value(e.args[0], self.x, ())
        step = _MOVED * (abs(at) or 1)
        here, found = function(at), mp.zero
        for moved in (at - step, at + step):
            try:
                found = max(found, abs(function(moved) - here) / step)
            except (ArithmeticError, ValueError):  # an end of its domain
                continue
        return found


def _means(e: sp.Basic, chain: tuple[sp.Symbol, ...]) -> Iterator[tuple[sp.Expr, Any]]:
    """Every mean with the symbols in which something around it is differentiated."""
    if isinstance(e, Expected):
        yield e, chain
        yield from _means(e.args[0], chain)
    elif isinstance(e, Slope):
        x = e.args[1].name == "x"
        yield from _means(e.args[0], chain if x else (*chain, e.args[1]))
    else:
        for a in e.args:
            yield from _means(a, chain)


def _depth(e: sp.Basic) -> int:
    """How many means are within one another."""
    return max((_depth(a) for a in e.args), default=0) + isinstance(e, Expected)


def _sorted(symbols: Sequence[sp.Symbol]) -> tuple[sp.Symbol, ...]:
    return tuple(sorted(symbols, key=lambda s: (s.name, isinstance(s, Parameter))))


def _outer_nodes(e: sp.Basic) -> list[sp.Expr]:
    """The nodes that stand in no other node."""
    out: dict[sp.Expr, None] = {}
    stack = [e]
    while stack:
        node = stack.pop()
        if isinstance(node, Node):
            out[node] = None
        else:
            stack.extend(node.args)
    return list(out)


def _truth_rows(truth: Any) -> list[tuple[sp.Expr, ...]]:
    return [truth.weights, *truth.parameters]


def _number(value: sp.Expr) -> Number:
    return mpmath.mpf(int(value.p)) / int(value.q)


def _decimal(value: sp.Expr) -> str:
    """A short number as it would be typed."""
    text = f"{float(value):.12g}"
    return text if sp.Rational(text) == value else str(value)
