"""The equations of a chart and of learning in it: Jacobian, score, averaged learning, views.

In: :class:`~relrep_sym.equations.stated.Stated`. Out: :class:`Averaged`, which adds them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial

import sympy as sp

from relrep_sym.declare.symbols import latex_name
from relrep_sym.declare.view import View
from relrep_sym.equations import chart_lines as maps
from relrep_sym.equations import lines as show
from relrep_sym.equations import values
from relrep_sym.equations.equation import Equation
from relrep_sym.equations.gradient_em import ETA
from relrep_sym.equations.lines import Line
from relrep_sym.equations.program import invert_view, jacobian
from relrep_sym.equations.stated import Stated

__all__ = ["Averaged"]


@dataclass(frozen=True)
class Averaged(Stated):
    """The equations of a chart, and of gradient learning in it."""

    @cached_property
    def _chart(self) -> Equation:
        return self._equation(
            "chart",
            self.chart.title,
            partial(maps.chart_lines, self.generic),
            self._rules,
            ("EN22, section 2",) if "relative" in self.chart.title else (),
            ("to_model", "from_model"),
        )

    def _rules(self) -> sp.ImmutableMatrix:
        return sp.ImmutableMatrix([rule for _, rule in self.chart.program])

    @cached_property
    def jacobian(self) -> sp.ImmutableMatrix:
        """∂θ/∂λ."""
        return jacobian(self.chart)

    @cached_property
    def _jacobian(self) -> Equation:
        return self._equation(
            "jacobian",
            "Jacobian of the chart",
            self._jacobian_lines,
            partial(getattr, self, "jacobian"),
            (),
            ("jacobian",),
        )

    def _jacobian_lines(self) -> tuple[Line, ...]:
        count = max(len(self.chart.coordinates), len(self.model.parameters))
        if self.generic.slopes and self.generic.regular:
            return maps.weight_slope_lines(self.generic)
        if self.chart.intermediates and (count > maps.MATRIX or self._wide()):
            return maps.local_slope_lines(self.generic)
        small = count <= maps.MATRIX and maps.is_small(self.jacobian)
        if small or not self.generic.regular or self.generic.falling:
            return maps.matrix_lines(self.generic, self.jacobian)
        return maps.slope_lines(self.generic)

    def _wide(self) -> bool:
        """Whether the Jacobian is no small matrix."""
        return not maps.is_small(self.jacobian)

    @cached_property
    def _log_likelihood(self) -> Equation:
        return self._equation(
            "log_likelihood",
            "averaged log-likelihood",
            partial(show.likelihood_lines, self.generic),
            self._mean_log_density,
            (),
            ("log_likelihood", "log_density"),
        )

    def _mean_log_density(self) -> sp.Expr:
        return self._mean(self.log_density)

    @cached_property
    def _responsibilities(self) -> Equation:
        return self._equation(
            "responsibilities",
            "E-step: responsibilities",
            partial(show.density_lines, self.generic),
            self._all_responsibilities,
            ("DLR77",),
            ("responsibilities", "statistics"),
        )

    def _all_responsibilities(self) -> sp.ImmutableMatrix:
        return sp.ImmutableMatrix([self.responsibility(k) for k in range(self.model.components)])

    @cached_property
    def _score(self) -> Equation:
        return self._equation(
            "score",
            "score in the chart",
            self._score_lines,
            self._score_column,
            (),
            ("score_samples", "score"),
        )

    def _score_lines(self) -> tuple[Line, ...]:
        if self.generic.regular:
            return show.score_lines(self.generic)
        if self.chart.intermediates:
            return show.pulled_score_lines(self.generic)
        pairs = zip(self.chart.names, self.chart_score, strict=True)
        return tuple(Line(show.score_left(latex_name(n)), s) for n, s in pairs)

    def _score_column(self) -> sp.ImmutableMatrix:
        return sp.ImmutableMatrix(self.chart_score)

    @cached_property
    def _averaged(self) -> Equation:
        return self._equation(
            "averaged",
            "averaged learning equations",
            self._averaged_lines,
            self._averaged_column,
            ("EN22, Eq. (2)",),
            ("averaged_field",),
        )

    def _averaged_lines(self) -> tuple[Line, ...]:
        if self.generic.regular:
            return show.averaged_lines(self.generic)
        if self.chart.intermediates:
            return show.pulled_averaged_lines(self.generic)
        rates = zip(self.chart.names, self._averaged_column(), strict=True)
        return tuple(Line(show.rate_left(latex_name(n)), r) for n, r in rates)

    def _averaged_column(self) -> sp.ImmutableMatrix:
        return sp.ImmutableMatrix([ETA * self._mean(s) for s in self.chart_score])

    def view_jacobian(self, view: View) -> sp.ImmutableMatrix:
        """J = ∂b/∂λ in the chart's coordinates."""
        return sp.ImmutableMatrix(
            [[sp.diff(e, s) for s in self.chart.symbols] for e in view.expressions]
        )

    def mobility(self, view: View) -> sp.ImmutableMatrix:
        """JJᵀ, in the view's own functions where they can be solved for the coordinates."""
        j = self.view_jacobian(view)
        product = j * j.T
        back = invert_view(view.expressions, view.symbols, self.chart.symbols)
        if back is not None:
            product = product.xreplace(dict(back))
        return sp.ImmutableMatrix(product.applyfunc(values.expanded))

    @cached_property
    def mobility_is_seen(self) -> bool:
        """Whether the record's view can be solved, so that its mobility is in its own functions."""
        return self.view is not None and self.is_seen(self.view)

    def is_seen(self, view: View) -> bool:
        """Whether a view can be solved for the coordinates."""
        return invert_view(view.expressions, view.symbols, self.chart.symbols) is not None

    @cached_property
    def _view(self) -> Equation:
        assert self.view is not None
        return self._equation(
            "view",
            "view",
            partial(maps.view_lines, self.generic, self.view),
            partial(sp.ImmutableMatrix, self.view.expressions),
            (),
            ("to_view",),
        )

    @cached_property
    def _mobility(self) -> Equation:
        assert self.view is not None
        return self.mobility_in(self.view)

    def mobility_in(self, view: View) -> Equation:
        """J_b and J_b J_bᵀ of a view; of a view not the record's own, its names in the label."""
        return Equation(
            "mobility",
            "Jacobian of the view, and mobility",
            self._view_label("mobility", view),
            partial(self._mobility_lines, view),
            partial(self.mobility, view),
            ("PO09, Eq. (17)", "EN22, appendix D"),
            (),
            symmetric=True,
            names=partial(self.names_of, view),
        )

    def _view_label(self, name: str, view: View) -> str:
        label = self.label(name)
        if view != self.view:
            label += "".join(f"-{n.replace('_', '-')}" for n in view.names)
        return label

    def _mobility_lines(self, view: View) -> tuple[Line, ...]:
        j, product = self.view_jacobian(view), self.mobility(view)
        return maps.mobility_lines(self.generic, view, j, product, self.is_seen(view))

    @cached_property
    def _averaged_in_view(self) -> Equation:
        assert self.view is not None
        return self.averaged_in(self.view)

    def averaged_in(self, view: View) -> Equation:
        """db/dt = η J ∇_λ L, exact.

        A view that is not the record's own has its functions' names in the label.
        """
        return Equation(
            "averaged_in_view",
            "averaged learning equations in the view",
            self._view_label("averaged_in_view", view),
            partial(self._seen_lines, view),
            partial(self._seen, view),
            ("EN22, appendix D",),
            ("view_field",),
            names=partial(self.names_of, view),
        )

    def _seen_lines(self, view: View) -> tuple[Line, ...]:
        if self.generic.regular:
            return maps.seen_lines(self.generic, view)
        if self.chart.intermediates:
            return maps.pushed_lines(self.generic, view)
        rates = zip(view.names, self._seen(view), strict=True)
        return tuple(Line(show.rate_left(latex_name(n)), r) for n, r in rates)

    def _seen(self, view: View) -> sp.ImmutableMatrix:
        rates = []
        for e in view.expressions:
            parts = [
                sp.diff(e, s) * self._mean(score)
                for s, score in zip(self.chart.symbols, self.chart_score, strict=True)
                if e.has(s)
            ]
            rates.append(ETA * sp.Add(*parts))
        return sp.ImmutableMatrix(rates)
