"""A chart's curvature: how its pull-back changes along a direction, forward over reverse.

In: a :class:`~relrep_sym.declare.chart.Chart`. Out: a frozen :class:`Curvature`, one straight-line
program that gives, for adjoints ∂L/∂θ_i held fixed and a direction t in the coordinates,

    Σ_i ∂L/∂θ_i Σ_m ∂²θ_i/∂λ_j∂λ_m t_m    for every j,

the curvature term of a Hessian in the chart, one direction at a time. It costs a few times the
chart's own program, so that a whole Hessian grows like P times the program's length. Targets of the
program that are no entry of θ have no adjoint of their own, unless they are said to be ``fed``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import sympy as sp

from relrep_sym.declare.chart import Chart
from relrep_sym.declare.symbols import Parameter
from relrep_sym.equations.program import slopes

__all__ = ["Curvature", "adjoint", "bent", "curvature", "tangent"]

Step = tuple[sp.Symbol, sp.Expr]


def adjoint(name: str) -> sp.Symbol:
    """The symbol of ∂L/∂(name): an input for an entry of θ, then with what later entries add."""
    return sp.Symbol(f"d_{name}", real=True)


def tangent(name: str) -> sp.Symbol:
    """The symbol of a target's, or a coordinate's, change along the direction."""
    return sp.Symbol(f"g_{name}", real=True)


def bent(name: str) -> sp.Symbol:
    """The symbol of an adjoint's change along the direction."""
    return sp.Symbol(f"b_{name}", real=True)


@dataclass(frozen=True)
class Curvature:
    """The program of a chart's curvature term.

    Attributes:
        steps: assignments in order, to a target's ``tangent``, its ``adjoint``, or its ``bent``
            adjoint. They read coordinates, the chart's own targets, ``tangent`` of coordinates
            (inputs, marked by :attr:`directions`), and ``adjoint`` of entries of θ (inputs).
        directions: the inputs t_m, in the coordinates' order.
        results: one expression for each coordinate; all zero where the chart is linear.
    """

    steps: tuple[Step, ...]
    directions: tuple[sp.Symbol, ...]
    results: tuple[sp.Expr, ...]

    @property
    def vanishes(self) -> bool:
        """Whether the chart is linear, so that there is no curvature term."""
        return all(r == 0 for r in self.results)


def curvature(
    chart: Chart,
    fed: Iterable[Parameter] | None = None,
    form: Callable[[sp.Expr], sp.Expr] = lambda e: e,
) -> Curvature:
    """Derive the curvature term of a chart; ``fed`` are the targets that have an adjoint of their
    own, by default the entries of θ. Constants do not move. ``form`` says how each local derivative
    is written.

    >>> from relrep_sym.declare.charts import relative
    >>> from relrep_sym.declare.model import mixture
    >>> model = mixture("normal", components=3, weights="1/3", scales=1)
    >>> found = curvature(relative(model, "mu", gap="square"))
    >>> [f"{t} = {e}" for t, e in found.steps], found.results
    (['d_mu_2 = d_mu_2 + d_mu_3'], (0, 2*d_mu_2*g_at_2, 2*d_mu_3*g_at_3))
    >>> curvature(relative(model, "mu")).vanishes
    True
    """
    directions = tuple(tangent(f"at_{j}") for j, _ in enumerate(chart.symbols, start=1))
    moves: dict[sp.Symbol, sp.Expr] = dict(zip(chart.symbols, directions, strict=True))
    local: dict[sp.Symbol, list[tuple[sp.Symbol, sp.Expr]]] = {}
    steps: list[Step] = []
    for target, rule in chart.program:
        local[target] = [(s, form(e)) for s, e in slopes(chart, target, rule) if s in moves]
        moves[target] = _named(tangent(target.name), _along(local[target], moves), steps)

    given = {p.symbol for p in chart.model.parameters} if fed is None else set(fed)
    bars: dict[sp.Symbol, list[sp.Expr]] = {t: [] for t, _ in chart.program}
    bends: dict[sp.Symbol, list[sp.Expr]] = {s: [] for s in moves}
    for target, _ in reversed(chart.program):
        own, inner = adjoint(target.name), bars[target]
        if target in given:
            bar = own
            if inner:
                steps.append((own, sp.Add(own, *inner)))
        else:
            bar = _named(own, sp.Add(*inner), steps)
        bend = _named(bent(target.name), sp.Add(*bends[target]), steps)
        for symbol, slope in local[target]:
            if symbol in bars and bar != 0:
                bars[symbol].append(slope * bar)
            second = [
                (s, form(sp.diff(slope, s))) for s in _ordered(slope.free_symbols) if s in moves
            ]
            term = bar * _along(second, moves) + slope * bend
            if term != 0:
                bends[symbol].append(term)
    results = tuple(sp.Add(*bends[s]) for s in chart.symbols)
    return Curvature(_needed(steps, results), directions, results)


def _along(slopes: list[tuple[sp.Symbol, sp.Expr]], moves: dict[sp.Symbol, sp.Expr]) -> sp.Expr:
    """Σ ∂/∂s · (the change of s)."""
    return sp.Add(*(slope * moves[s] for s, slope in slopes))


def _named(symbol: sp.Symbol, value: sp.Expr, steps: list[Step]) -> sp.Expr:
    """The value itself where it is zero or a symbol, else a step of that name."""
    if value == 0 or value.is_Symbol:
        return value
    steps.append((symbol, value))
    return symbol


def _needed(steps: list[Step], results: tuple[sp.Expr, ...]) -> tuple[Step, ...]:
    """The steps that the results read, directly or not."""
    wanted = {s for r in results for s in r.free_symbols}
    kept: list[Step] = []
    for symbol, value in reversed(steps):
        if symbol in wanted:
            kept.append((symbol, value))
            wanted |= value.free_symbols
    return tuple(kept[::-1])


def _ordered(symbols: set[sp.Symbol]) -> list[sp.Symbol]:
    return sorted(symbols, key=lambda s: (s.name, isinstance(s, Parameter)))
