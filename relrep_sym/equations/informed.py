"""The equations of information: KL, Fisher, Hessian, covariance, natural gradient.

In: :class:`~relrep_sym.equations.averaged.Averaged`. Out: :class:`Informed`, which adds them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial

import sympy as sp

from relrep_sym.equations import lines as show
from relrep_sym.equations import single, values
from relrep_sym.equations.averaged import Averaged
from relrep_sym.equations.curvature import Curvature, curvature
from relrep_sym.equations.equation import Equation
from relrep_sym.equations.hessian import hessian_lines, second_derivatives
from relrep_sym.equations.inference import covariance_lines, observed_covariance
from relrep_sym.equations.lines import Line
from relrep_sym.equations.natural import natural_column, natural_lines
from relrep_sym.equations.pointwise import Pointwise, pointwise
from relrep_sym.equations.second import SecondForm, second_form
from relrep_sym.errors import DeclarationError, DerivationError

__all__ = ["Informed"]


@dataclass(frozen=True)
class Informed(Averaged):
    """The equations of information in a chart."""

    @cached_property
    def _kl(self) -> Equation:
        return self._equation(
            "kl",
            "Kullback–Leibler divergence from the truth",
            partial(show.kl_lines, self.generic),
            self._divergence,
            (),
            ("kl",),
        )

    def _divergence(self) -> sp.Expr:
        return self._mean(sp.log(sp.Function("q")(self.x)) - self.log_density)

    @cached_property
    def _fisher(self) -> Equation:
        return self._equation(
            "fisher",
            "Fisher information and its pull-back",
            partial(show.fisher_lines, self.generic),
            self._information,
            ("EN22, section 5.1", "LC98"),
            ("fisher",),
            symmetric=True,
        )

    def _information(self) -> sp.ImmutableMatrix:
        if self.model.components == 1:
            slopes = self.jacobian
            whole = single.learned(self.model, single.information(self.model.family))
            return sp.ImmutableMatrix(slopes.T * whole * slopes)
        return values.information(self.chart_score, self.x)

    @cached_property
    def curvature(self) -> Curvature:
        """The chart's curvature term, one direction at a time."""
        fed = [p.symbol for p in self.model.parameters]
        last = self.chart.last_weight
        return curvature(self.chart, fed if last is None else [*fed, last])

    @cached_property
    def second_or_reason(self) -> SecondForm | Pointwise | str:
        """The family's second derivatives, or in words why there are none to compute with."""
        try:
            return second_form(self.form)
        except DerivationError:
            try:
                return pointwise(self.model.family)
            except (DeclarationError, DerivationError) as why:
                return str(why)

    @cached_property
    def _hessian(self) -> Equation:
        return self._equation(
            "hessian",
            "observed Hessian in the chart",
            self._hessian_lines,
            self._second_derivatives,
            ("LO82",),
            ("hessian",),
            symmetric=True,
        )

    def _hessian_lines(self) -> tuple[Line, ...]:
        return hessian_lines(self.generic, bends=not self.curvature.vanishes)

    def _second_derivatives(self) -> sp.ImmutableMatrix:
        found = second_derivatives(
            self.chart, self.model_score, self.log_weighted, self.responsibilities
        )
        return found.applyfunc(self._mean)

    @cached_property
    def _covariance(self) -> Equation:
        return self._equation(
            "covariance",
            "covariance of the estimates",
            partial(covariance_lines, self.view is not None),
            self._observed_covariance,
            ("LO82", "W82"),
            ("covariance", "standard_errors", "confidence_intervals"),
            symmetric=True,
        )

    def _observed_covariance(self) -> sp.Inverse:
        return observed_covariance(self._second_derivatives())

    @cached_property
    def _natural(self) -> Equation:
        return self._equation(
            "natural",
            "natural gradient learning",
            natural_lines,
            self._natural_column,
            ("A98", "OMA23, section 2"),
            ("natural_field", "flow"),
        )

    def _natural_column(self) -> sp.MatMul:
        return natural_column(self._information(), self._averaged_column())
