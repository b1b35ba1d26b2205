"""What a record is made from: a model in a chart, its densities and its generic component.

In: a model, a chart and perhaps a view. Out: :class:`Stated`, the ground of
:class:`~relrep_sym.equations.record.Record`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import sympy as sp
from sympy.core.sympify import _sympify

from relrep_sym.declare.chart import Chart
from relrep_sym.declare.model import Mixture
from relrep_sym.declare.symbols import Parameter
from relrep_sym.declare.view import View
from relrep_sym.equations import values
from relrep_sym.equations.component import ComponentForm, component_form
from relrep_sym.equations.equation import Equation
from relrep_sym.equations.generic import Generic
from relrep_sym.equations.lines import Line
from relrep_sym.equations.nodes import LogSumExp, Responsibility
from relrep_sym.equations.printed import printed_names

__all__ = ["Stated"]


@dataclass(frozen=True)
class Stated:
    """A model in a chart, seen in a view where one is given."""

    name: str
    chart: Chart
    view: View | None = None

    @property
    def model(self) -> Mixture:
        """The model of the chart."""
        return self.chart.model

    @cached_property
    def form(self) -> ComponentForm:
        """What was derived from the family."""
        return component_form(self.model.family)

    @cached_property
    def x(self) -> sp.Symbol:
        """The observation."""
        return self.model.family.x

    def label(self, name: str) -> str:
        """The LaTeX label of an equation of this record."""
        return f"eq:{self.name}:{name.replace('_', '-')}"

    @cached_property
    def component_log_densities(self) -> tuple[sp.Expr, ...]:
        """log f(x | φ_k) in θ, for each component."""
        family = self.model.family
        values = {p.symbol: self.model.component(p.name) for p in family.parameters}
        return tuple(
            family.log_density.xreplace({s: _sympify(v[k]) for s, v in values.items()})
            for k in range(self.model.components)
        )

    @cached_property
    def log_weighted(self) -> tuple[sp.Expr, ...]:
        """log π_k + log f(x | φ_k), the arguments of every responsibility."""
        return tuple(
            sp.log(w) + f
            for w, f in zip(
                self.model.weight_expressions, self.component_log_densities, strict=True
            )
        )

    @cached_property
    def log_density(self) -> LogSumExp:
        """log p(x | θ) as one opaque node."""
        return LogSumExp(*self.log_weighted)

    @cached_property
    def responsibilities(self) -> tuple[Responsibility, ...]:
        """r_1(x) … r_K(x)."""
        count = self.model.components
        return tuple(Responsibility(k + 1, *self.log_weighted) for k in range(count))

    def responsibility(self, k: int) -> Responsibility:
        """r_{k+1}(x)."""
        return self.responsibilities[k]

    @cached_property
    def model_score(self) -> Mapping[Parameter, sp.Expr]:
        """∂ log p/∂θ_i, each component differentiated with its responsibility opaque."""
        return values.model_score(self.model, self.responsibilities)

    @cached_property
    def chart_score(self) -> tuple[sp.Expr, ...]:
        """∂ log p/∂λ_j: the model's score pulled back through the chart's program."""
        return values.chart_score(self.chart, self.model_score)

    @cached_property
    def generic(self) -> Generic:
        """The chart's expressions for every component at once, of which the lines are made."""
        return Generic(self.chart)

    def _equation(
        self,
        name: str,
        title: str,
        show: Callable[[], tuple[Line, ...]],
        derive: Callable[[], sp.Basic],
        cites: tuple[str, ...] = (),
        kernels: tuple[str, ...] = (),
        symmetric: bool = False,
        say: Callable[[], str] | None = None,
    ) -> Equation:
        return Equation(
            name,
            title,
            self.label(name),
            show,
            derive,
            cites,
            kernels,
            symmetric,
            say,
            self.names_of,
        )

    @cached_property
    def printed_names(self) -> Mapping[str, str]:
        """Every name of a user's that the equations print, stems too, with its LaTeX."""
        return printed_names(self.generic, self.view)

    def names_of(self, view: View | None = None) -> Mapping[str, str]:
        """The same, with the names of another view than the record's own."""
        if view is None or view == self.view:
            return self.printed_names
        return {**self.printed_names, **printed_names(self.generic, view)}

    def _mean(self, expression: sp.Expr) -> sp.Expr:
        return values.mean(expression, self.x)
