r"""The values of equations: exact SymPy, entry by entry, responsibilities opaque.

In: a model or a chart, and the responsibilities r_1(x) … r_K(x) as nodes. Out: the score in θ and
in the coordinates, Fisher information, the M-step's new parameters. The record hands them out when
they are asked for; what is printed is :mod:`.lines`, and the tests hold the one against the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import sympy as sp
from sympy.core.sympify import _sympify

from relrep_sym.declare.chart import Chart
from relrep_sym.declare.family import Family
from relrep_sym.declare.model import Mixture
from relrep_sym.declare.symbols import Parameter
from relrep_sym.equations.em import MStep, shift_symbol, statistic_symbol, statistics_of
from relrep_sym.equations.nodes import Expectation, Responsibility
from relrep_sym.equations.program import pull_back

__all__ = ["chart_score", "expanded", "information", "mean", "model_score", "new_parameters"]

Nodes = Sequence[Responsibility]


def mean(expression: sp.Expr, x: sp.Symbol, density: str = "q") -> sp.Expr:
    """E_q of an expression in x; itself where it does not depend on x."""
    if not expression.has(x):
        return expression
    return Expectation(expression, x, sp.Symbol(density))


def model_score(model: Mixture, responsibilities: Nodes) -> Mapping[Parameter, sp.Expr]:
    """∂ log p/∂θ_i, each component differentiated with its responsibility opaque."""
    family = model.family
    values = {p.symbol: model.component(p.name) for p in family.parameters}
    slopes = _slopes(family)
    weighing = [(k, w, w.free_symbols) for k, w in enumerate(model.weight_expressions)]
    out = {}
    for p in model.parameters:
        if p.role == "weight":
            terms = [
                sp.diff(w, p.symbol) / w * responsibilities[k]
                for k, w, symbols in weighing
                if p.symbol in symbols
            ]
        else:
            terms = [
                responsibilities[k]
                * slopes[p.role].xreplace({s: _sympify(v[k]) for s, v in values.items()})
                for k in p.components
            ]
        out[p.symbol] = sp.Add(*terms)
    return out


@cache
def _slopes(family: Family) -> Mapping[str, sp.Expr]:
    """∂ log f/∂φ of each parameter, as it stands or factored, whichever is shorter."""
    found = {p.name: sp.diff(family.log_density, p.symbol) for p in family.parameters}
    return {n: min((e, sp.factor(e)), key=sp.count_ops) for n, e in found.items()}


def chart_score(chart: Chart, score: Mapping[Parameter, sp.Expr]) -> tuple[sp.Expr, ...]:
    """∂ log p/∂λ_j: the model's score pulled back through the chart's program."""
    bars: dict[sp.Symbol, sp.Expr] = {_bar(t.name): e for t, e in score.items()}
    found: dict[str, sp.Expr] = {}
    coordinates = set(chart.symbols)
    for target, rule in pull_back(chart, _bar):
        here = {s: bars[s] for s in rule.free_symbols if s in bars}
        value = rule.xreplace(here)
        if target in coordinates:
            found[target.name] = value
        else:
            bars[target] = value
    inner = {t: chart.every_value[t] for t in chart.intermediates}
    return tuple(found[n].xreplace(inner) for n in chart.names)


def _bar(name: str) -> sp.Symbol:
    """The symbol of ∂L/∂(name), which no name of a user's can be."""
    return sp.Symbol(f"∂{name}")


def information(score: Sequence[sp.Expr], x: sp.Symbol) -> sp.ImmutableMatrix:
    """E_p[s sᵀ] of a score s, the lower triangle the mirror of the upper."""
    count = len(score)
    upper = {
        (i, j): mean(score[i] * score[j], x, "p") for i in range(count) for j in range(i, count)
    }
    return sp.ImmutableMatrix(count, count, lambda i, j: upper[min(i, j), max(i, j)])


def new_parameters(model: Mixture, step: MStep, responsibilities: Nodes) -> sp.ImmutableMatrix:
    """The M-step's values of θ, in the order of θ, statistics written as expectations."""
    found: dict[str, sp.Expr] = {}
    masses = [mean(r, model.family.x) for r in responsibilities]
    total = sp.Add(*(masses[k] for k in step.free_weights))
    room = 1 - sum((w for w in model.weights if isinstance(w, sp.Expr)), sp.Integer(0))
    for k in step.free_weights:
        found[f"pi_{k + 1}"] = room * masses[k] / total

    def at(value: sp.Expr, k: int) -> sp.Expr:
        return _at(model, value, k, responsibilities[k], found)

    for u in step.updates:
        sums = {symbol: sp.Add(*(at(e, j) for j in u.components)) for symbol, e in u.totals}
        for k in u.components:
            value = at(u.value, k).xreplace(sums)
            present = model.component(u.parameter)[k]
            name = present.name if isinstance(present, Parameter) else u.parameter
            found[name] = present + value if u.shift else value
    return sp.ImmutableMatrix([found[n] for n in model.names])


def _at(
    model: Mixture,
    value: sp.Expr,
    k: int,
    responsibility: Responsibility,
    found: Mapping[str, sp.Expr],
) -> sp.Expr:
    """N → E_q[r_k], t_j → E_q[r_k T_j]/E_q[r_k], parameters → component k's, new where found."""
    family = model.family
    centre = model.component(family.location.name)[k] if family.location else sp.Integer(0)
    y = sp.Symbol("y", real=True)
    functions, _ = statistics_of(family)
    mass = mean(responsibility, family.x)
    back: dict[sp.Basic, sp.Basic] = {statistic_symbol(0): mass}
    for j, function in enumerate(functions, start=1):
        inner = responsibility * function.subs(y, family.x - centre)
        back[statistic_symbol(j)] = mean(inner, family.x) / mass
    for p in family.parameters:
        present = _sympify(model.component(p.name)[k])
        back[p.symbol] = found.get(str(present), present)
    if family.location:
        back[shift_symbol(family)] = back[family.location.symbol] - centre
    return value.xreplace(back)


def expanded(expression: sp.Expr) -> sp.Expr:
    """A polynomial expanded; anything else as it stands.

    >>> v, w = sp.symbols("v w")
    >>> expanded(v * (1 - v)), expanded(v * (1 - v) * sp.exp(w))
    (-v**2 + v, v*(1 - v)*exp(w))
    """
    symbols = sorted(expression.free_symbols, key=str)
    return sp.expand(expression) if expression.is_polynomial(*symbols) else expression
