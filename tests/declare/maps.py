"""Charts as functions of numbers: their programs carried out in mpmath, one rule after another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

import mpmath
import sympy as sp

from relrep_sym.declare.chart import Chart
from relrep_sym.declare.functions import spelled_out

Values = dict[str, mpmath.mpf]


def number(rule: sp.Expr, values: Mapping[sp.Symbol, mpmath.mpf]) -> mpmath.mpf:
    symbols = sorted(rule.free_symbols, key=lambda s: (s.name, type(s).__name__))
    return _callable(rule, tuple(symbols))(*(values[s] for s in symbols))


@cache
def _callable(rule: sp.Expr, symbols: tuple[sp.Symbol, ...]) -> Callable[..., mpmath.mpf]:
    apart = [sp.Dummy() for _ in symbols]  # a coordinate may be called like an entry of θ
    plain = spelled_out(rule).xreplace(dict(zip(symbols, apart, strict=True)))
    return sp.lambdify(apart, plain, "mpmath")


def targets(chart: Chart, point: Mapping[str, object]) -> dict[sp.Symbol, mpmath.mpf]:
    """Everything that the program computes at coordinates and constants given by name."""
    values = {s: mpmath.mpmathify(point[s.name]) for s in chart.inputs}
    for target, rule in chart.program:
        values[target] = number(rule, values)
    return values


def theta(chart: Chart, point: Mapping[str, object]) -> Values:
    """θ at a point, by name."""
    values = targets(chart, point)
    return {p.name: values[p.symbol] for p in chart.model.parameters}


def weights(chart: Chart, point: Mapping[str, object]) -> list[mpmath.mpf]:
    """π_1 … π_K as the chart says them."""
    values = targets(chart, point)
    return [number(sp.sympify(w), values) for w in chart.weight_expressions]


def ordinary(chart: Chart, seed: int = 0) -> dict[str, mpmath.mpf]:
    """A point inside the domain; constants are small."""
    out = {}
    count = sum(c.domain.upper == 1 for c in chart.coordinates)
    for j, c in enumerate((*chart.coordinates, *chart.constants)):
        base = mpmath.mpf(7 * j + 3 * seed + 2) / (5 * j + seed + 9)
        if c in chart.constants:
            base /= 128
        elif c.domain.upper == 1:
            base = base / (2 * (count + 1))
        elif c.domain.lower < 0 and (j + seed) % 3 == 1:
            base = -base
        out[c.name] = base
    return out
