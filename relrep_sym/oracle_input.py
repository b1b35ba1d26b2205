"""What was declared, as callables in mpmath: the input of the oracle.

In: a family's log-density, a chart's map. Out: mpmath functions of them as they were declared, and
an :class:`~relrep_sym.verify.oracle.Oracle`; nothing that was derived enters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import mpmath
import sympy as sp

from relrep_sym.declare.chart import Chart
from relrep_sym.declare.family import Family
from relrep_sym.declare.model import Mixture
from relrep_sym.verify.jets import Density
from relrep_sym.verify.oracle import Oracle

__all__ = ["callable_of", "components_of", "density_of", "oracle_of"]


def oracle_of(chart: Chart) -> Oracle:
    """The oracle of a chart's model: the declared density and the declared map, as callables.

    >>> import relrep_sym as rs
    >>> chart = rs.identity(rs.mixture("poisson", components=1))
    >>> float(oracle_of(chart).at([2.0]).log_density(0.0).value)
    -2.0
    """
    return Oracle(density_of(chart.model.family), components_of(chart), chart.names)


def callable_of(arguments: Sequence[sp.Symbol], expression: sp.Expr) -> Callable[..., Any]:
    """An expression as a function of its symbols, in mpmath."""
    if isinstance(expression, sp.NumberSymbol):  # mpmath's own takes the precision of its use
        constant = sp.lambdify([], expression, modules="mpmath")
        return lambda *_: +mpmath.mpmathify(constant())
    return sp.lambdify(list(arguments), expression, modules=[_STABLE, "mpmath"], dummify=True)


def _log_total(*values: Any) -> Any:
    top = max([mpmath.mpf(0), *(mpmath.re(v) for v in values)])
    return top + mpmath.log(mpmath.exp(-top) + mpmath.fsum(mpmath.exp(v - top) for v in values))


_STABLE: dict[str, Callable[..., Any]] = {
    "Softplus": lambda x: _log_total(x),
    "Logistic": lambda x: 1 / (1 + mpmath.exp(-x)),
    "SoftplusInverse": lambda y: mpmath.log(mpmath.expm1(y)),
    "LogTotal": _log_total,
}
"""Declared functions in mpmath, by their definitions."""


def _remembered(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The function at the present precision: a component's parameters are the same at every x."""

    @lru_cache(maxsize=4096, typed=True)
    def at(precision: int, value: Any) -> Any:
        return function(value)

    return lambda value: at(mpmath.mp.prec, value)


_REMEMBERED = {"log": _remembered(mpmath.log), "loggamma": _remembered(mpmath.loggamma)}


def density_of(family: Family) -> Density:
    """A family's log-density, with where it is not smooth."""
    inputs = (family.x, *family.symbols)
    log_density = sp.lambdify(
        inputs, family.log_density, modules=[_REMEMBERED, "mpmath"], dummify=True
    )
    kinks = None
    if family.kink is not None:
        at = [callable_of(family.symbols, x) for x in sp.solve(family.kink, family.x)]

        def kinks(*phi: Any) -> list[Any]:
            return [mpmath.mpmathify(x(*phi)) for x in at]

    smooth = not family.log_density.has(sp.Abs, sp.sign)
    return Density(log_density, family.support, smooth, kinks)


def components_of(chart: Chart) -> Callable[[Sequence[Any]], Any]:
    """Coordinates → (weights, [φ_1 …]), by the declared program, one assignment after another."""
    model: Mixture = chart.model
    inputs: list[sp.Symbol] = list(chart.symbols)
    steps = []
    for target, rule in chart.program:
        steps.append(callable_of(inputs, rule))
        inputs.append(target)
    outputs = [chart.weight_expressions]
    outputs += [model.component(p.name) for p in model.family.parameters]
    rows = [[callable_of(inputs, e) for e in row] for row in outputs]

    def components(coords: Sequence[Any]) -> Any:
        values = list(coords)
        for step in steps:
            values.append(step(*values))
        weights, *families = [[mpmath.mpmathify(f(*values)) for f in row] for row in rows]
        return weights, [tuple(phi) for phi in zip(*families, strict=True)]

    return components
