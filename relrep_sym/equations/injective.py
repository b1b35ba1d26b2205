"""Whether a chart tells its points apart: the verdict on λ → density, with a pair that collides.

In: a :class:`~relrep_sym.declare.chart.Chart`. Out: a frozen :class:`Injectivity`, on the inside
of the chart's domain (weights strictly between 0 and 1, gaps strictly positive). Two questions in a
row: whether λ → θ is one to one (an inverse that inverts symbolically proves it), and whether θ →
density is: up to the order of components for families whose finite mixtures are known to be
identifiable, so that a proven order of one parameter settles it and a permutation that stays in the
chart's image refutes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import sympy as sp
from sympy.codegen.cfunctions import expm1
from sympy.core.sympify import _sympify

from relrep_sym.declare.chart import Chart, Coordinate, Given
from relrep_sym.declare.functions import spelled_out
from relrep_sym.declare.model import Mixture
from relrep_sym.declare.symbols import Constant, Intermediate, Parameter
from relrep_sym.equations.program import find_inverse, steps
from relrep_sym.errors import NoInverseError

__all__ = ["Injectivity", "verdict"]

IDENTIFIABLE = {
    "normal": "Teicher 1963",
    "poisson": "Teicher 1961",
    "exponential": "Teicher 1961",
    "gamma": "Teicher 1963",
    "geometric": "Teicher 1961",
}
"""Families whose finite mixtures determine their components, and where that is proven."""

Point = Mapping[sp.Symbol, sp.Expr]


@dataclass(frozen=True)
class Injectivity:
    """Whether a chart is injective: ``"proven"``, ``"refuted"`` or ``"unknown"``.

    ``reason`` says why in words. ``collision`` is a pair of points (coordinates by name) with the
    same density where one was found.
    """

    status: str
    reason: str
    collision: tuple[dict[str, float], dict[str, float]] | None = None

    def __bool__(self) -> bool:
        return self.status == "proven"

    def __repr__(self) -> str:
        return f"<Injectivity: {self.status}: {self.reason}>"

    def __str__(self) -> str:
        text = f"{self.status}: {self.reason}"
        if self.collision is not None:
            first, second = (
                ", ".join(f"{n} = {v:g}" for n, v in p.items()) for p in self.collision
            )
            text += f"; ({first}) and ({second}) have the same density"
        return text


def verdict(chart: Chart) -> Injectivity:
    """The verdict on λ → density, on the inside of the chart's domain.

    >>> from relrep_sym.declare.chart import identity
    >>> from relrep_sym.declare.charts import relative
    >>> from relrep_sym.declare.model import mixture
    >>> model = mixture("normal", components=3)
    >>> verdict(identity(model)).status, verdict(relative(model, "mu")).status
    ('refuted', 'proven')
    >>> verdict(relative(model, "mu", gap="square")).collision[1]["Delta_1"] < 0
    True
    """
    into = _one_to_one(chart)
    if into.status != "proven":
        return into
    return _identified(chart, into.reason)


# ------------------------------------------------------------------------------ λ → θ


def _one_to_one(chart: Chart) -> Injectivity:
    """Whether different coordinates give different θ."""
    try:
        solution = find_inverse(chart)
    except NoInverseError as why:
        pair = _mirrored(chart)
        if pair is not None:
            return Injectivity("refuted", "two points give the same θ", pair)
        return Injectivity("unknown", str(why).partition(";")[0])
    inside = _inside(chart)
    values: dict[sp.Symbol, sp.Expr] = {t: e.xreplace(inside) for t, e in chart.every_value.items()}
    values |= {s: inside[s] for s in inside if isinstance(s, Constant)}
    proven = True
    for symbol, rule in solution:
        if isinstance(symbol, Intermediate):
            values.setdefault(symbol, rule.xreplace(values))
            continue
        back = rule.xreplace(values)
        want = inside[symbol]
        values[symbol] = want
        if back != want and sp.expand(sp.expand_log(back - want)) != 0:
            proven = False
    if proven:
        return Injectivity("proven", "θ determines the coordinates")
    pair = _mirrored(chart)
    if pair is not None:
        return Injectivity("refuted", "two points give the same θ", pair)
    return Injectivity("unknown", "the inverse was not proven to invert")


def _inside(chart: Chart) -> dict[sp.Symbol, sp.Expr]:
    """Coordinates and constants with what holds inside of their domains."""
    out: dict[sp.Symbol, sp.Expr] = {}
    entries: list[Coordinate | Given] = [*chart.coordinates, *chart.constants]
    for c in entries:
        if c.domain.lower < 0:
            out[c.symbol] = sp.Dummy(c.name, real=True)
        else:
            out[c.symbol] = sp.Dummy(c.name, positive=True)
    return out


def _mirrored(chart: Chart) -> tuple[dict[str, float], dict[str, float]] | None:
    """A point inside and one with a coordinate's sign changed that give the same θ."""
    for point in _probes(chart):
        for c in chart.coordinates:
            if c.domain.lower < 0:
                other = {**point, c.symbol: -point[c.symbol]}
                if all(abs(a - b) < 1e-20 for a, b in zip(
                    _theta(chart, point), _theta(chart, other), strict=True
                )):  # fmt: skip
                    return _shown(chart, point), _shown(chart, other)
    return None


def _probes(chart: Chart) -> Iterator[dict[sp.Symbol, sp.Expr]]:
    """Points inside the domain, exact and not special."""
    weights = max(len([c for c in chart.coordinates if c.domain.upper == 1]), 1)
    entries: list[Coordinate | Given] = [*chart.coordinates, *chart.constants]
    for n in range(3):
        point: dict[sp.Symbol, sp.Expr] = {}
        for j, c in enumerate(entries):
            value = sp.Rational(7 + 3 * j + 5 * n, 11 + 2 * j + n)
            if isinstance(c, Given):
                value /= 100
            elif c.domain.upper == 1:
                value = sp.Rational(3 + j + n, (5 + j + 2 * n) * (weights + 1))
            point[c.symbol] = value
        yield point


def _theta(chart: Chart, point: Point) -> list[sp.Expr]:
    return [sp.N(spelled_out(e).xreplace(dict(point)), 40) for e in chart.unrolled.values()]


def _shown(chart: Chart, point: Point) -> dict[str, float]:
    return {c.name: float(point[c.symbol]) for c in chart.coordinates}


# ------------------------------------------------------------------------------ θ → density


def _identified(chart: Chart, so_far: str) -> Injectivity:
    """Whether different θ of the chart's image give different densities."""
    model, name = chart.model, chart.model.family.name
    source = IDENTIFIABLE.get(name)
    if model.components == 1:
        return Injectivity("proven", f"{so_far}, and one component has no label")
    pair = _relabelled(chart)
    if pair is not None:
        return Injectivity("refuted", "components may change places within the chart", pair)
    ordered = [p.name for p in model.family.parameters if _ordered(chart, p.name)]
    if not ordered and not _labelled(model):
        return Injectivity("unknown", "no parameter is proven to be in order")
    if source is None:
        return Injectivity("unknown", f"no theorem is known here for mixtures of the {name} family")
    why = f"{ordered[0]} is in order" if ordered else "the fixed weights tell components apart"
    return Injectivity(
        "proven",
        f"{so_far}, {why}, and finite {name} mixtures determine their components ({source}), "
        "weights strictly inside and components distinct",
    )


def _labelled(model: Mixture) -> bool:
    """Whether two components have different fixed weights, and so never change places."""
    return (
        model.components == 2
        and not isinstance(model.weights, str)
        and None not in model.weights
        and model.weights[0] != model.weights[1]
    )


def _ordered(chart: Chart, role: str) -> bool:
    """Whether every step of a role has one proven sign inside the domain."""
    inside = _inside(chart)
    values = {t: e.xreplace(inside) for t, e in chart.every_value.items()}
    found = steps(chart, role)
    if found is None:
        row = [_sympify(v).xreplace(values) for v in chart.model.component(role)]
        found = [after - here for here, after in pairwise(row)]
    found = [e.replace(expm1, lambda exponent: exponent) for e in found]  # a factor, of that sign
    signs = [e.xreplace({**inside, **values}) for e in found]
    return all(s.is_positive for s in signs) or all(s.is_negative for s in signs)


def _relabelled(chart: Chart) -> tuple[dict[str, float], dict[str, float]] | None:
    """A point inside, and one at which two components have changed places, both in the chart."""
    model = chart.model
    try:
        solution = find_inverse(chart)
    except NoInverseError:
        return None
    for point in _probes(chart):
        theta = dict(zip([p.symbol for p in model.parameters], _theta(chart, point), strict=True))
        for i, j in combinations(range(model.components), 2):
            swapped = _swapped(model, theta, i, j)
            other = None if swapped is None else _solved(chart, solution, swapped, point)
            if other is not None:
                return _shown(chart, point), _shown(chart, other)
    return None


def _swapped(
    model: Mixture, theta: Mapping[Parameter, sp.Expr], i: int, j: int
) -> dict[sp.Symbol, sp.Expr] | None:
    """θ with components i and j in each other's place; None where what is fixed forbids it."""
    rows = [model.weight_expressions]
    rows += [model.component(p.name) for p in model.family.parameters]
    put: dict[sp.Symbol, sp.Expr] = dict(theta)
    for row in rows:
        first, second = (_sympify(row[k]) for k in (i, j))
        for target, source in ((first, second), (second, first)):
            value = source.xreplace(dict(theta))
            if isinstance(target, Parameter):
                put[target] = value
            elif target.is_number and abs(sp.N(target - value, 30)) > 1e-25:
                return None
    return put


def _solved(
    chart: Chart,
    solution: Sequence[tuple[sp.Symbol, sp.Expr]],
    theta: Mapping[sp.Symbol, sp.Expr],
    point: Point,
) -> dict[sp.Symbol, sp.Expr] | None:
    """The chart's point for θ, where there is one inside the domain."""
    known: dict[sp.Symbol, sp.Expr] = dict(theta)
    known |= {c.symbol: point[c.symbol] for c in chart.constants}
    for symbol, rule in solution:
        known[symbol] = sp.N(spelled_out(rule).xreplace(known), 40)
        if not known[symbol].is_real:
            return None
    out = {s: known[s] for s in chart.inputs}
    for c in chart.coordinates:
        value = out[c.symbol]
        if not c.domain.lower < value < c.domain.upper:
            return None
    back = _theta(chart, out)
    wanted = [theta[p.symbol] for p in chart.model.parameters]
    return out if all(abs(a - b) < 1e-20 for a, b in zip(back, wanted, strict=True)) else None
