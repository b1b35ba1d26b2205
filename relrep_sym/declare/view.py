"""Views: functions of a chart's coordinates in which the dynamics are looked at.

In: a chart and named expressions. Out: a frozen :class:`View`, its expressions in coordinates
alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import sympy as sp

from relrep_sym.declare.chart import Chart
from relrep_sym.declare.notebook import listed, view_latex
from relrep_sym.declare.own_map import insist_smooth
from relrep_sym.declare.parser import check_name, expression, substitute
from relrep_sym.errors import DeclarationError, problem

__all__ = ["View", "view"]


@dataclass(frozen=True)
class View:
    """Named functions b(λ) of a chart's coordinates.

    Learning goes on in the chart, by db/dt = η J ∇_λ L with J = ∂b/∂λ; the view only looks.
    """

    chart: Chart
    names: tuple[str, ...]
    expressions: tuple[sp.Expr, ...]

    def __repr__(self) -> str:
        pairs = zip(self.names, self.expressions, strict=True)
        return (
            f"<View of the {self.chart.title}: {listed((f'{n} = {e}' for n, e in pairs), most=5)}>"
        )

    def _repr_latex_(self) -> str:
        return view_latex(self)

    @cached_property
    def symbols(self) -> tuple[sp.Symbol, ...]:
        """The view's own symbols, in order."""
        return tuple(sp.Symbol(n) for n in self.names)


def view(chart: Chart | View, functions: Mapping[str, object]) -> View:
    """A view of a chart: for each name an expression in coordinates or in the model's parameters.

    A name that is both means the coordinate; the chart's constants may stand in it too. Of a view
    in the chart's place, the functions may be used by their names before all else: views compose.
    Raises DeclarationError for no functions, bad names or
    names that are neither; ParseError for a text that is not an expression.

    >>> from relrep_sym.declare.charts import relative
    >>> from relrep_sym.declare.model import mixture
    >>> c = relative(mixture("normal", components=2, scales=1), "mu")
    >>> seen = view(c, {"v": "pi_1", "u": "mu_1 - mu_2", "w": "pi_1*mu_1 + (1 - pi_1)*mu_2"})
    >>> [str(sp.expand(e)) for e in seen.expressions]
    ['pi_1', '-Delta_1', '-Delta_1*pi_1 + Delta_1 + mu_1']
    """
    inner: dict[sp.Symbol, sp.Expr] = {}
    known: dict[str, sp.Symbol] = {}
    if isinstance(chart, View):
        known = {n: sp.Dummy(n) for n in chart.names}
        inner = dict(zip(known.values(), chart.expressions, strict=True))
        chart = chart.chart
    if not isinstance(chart, Chart):
        raise DeclarationError(problem("a view is of a chart", type(chart).__name__, "a chart"))
    if not isinstance(functions, Mapping) or not functions:
        raise DeclarationError(
            problem("a view needs functions", functions, "{name: expression}, at least one")
        )
    below: dict[str, sp.Symbol] = {p.name: p.symbol for p in chart.model.parameters}
    below |= {c.name: c.symbol for c in chart.constants}
    below |= {c.name: c.symbol for c in chart.coordinates}
    known = {**below, **known}
    names, expressions = [], []
    for name, value in functions.items():
        names.append(check_name(name, kind="view function"))
        rule = expression(value, known, where=f"the view function {name}")
        insist_smooth(rule, f"the view function {name}")
        values = {**chart.unrolled, **inner}
        expressions.append(substitute(rule, values, where=f"the view function {name}"))
    return View(chart, tuple(names), tuple(expressions))
