r"""The record: every equation of one derivation, named, labelled, cited.

In: a model, a chart and (where asked for) a view. Out: a frozen :class:`Record` whose equations are
derived when they are first asked for. The LaTeX writer, the kernels and the docstrings all read the
same record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial

import sympy as sp
from sympy.core.sympify import _sympify

from relrep_sym.declare.chart import Chart
from relrep_sym.declare.model import Mixture
from relrep_sym.declare.symbols import Parameter, latex_name
from relrep_sym.declare.truth import Truth
from relrep_sym.declare.view import View
from relrep_sym.equations import chart_lines as maps
from relrep_sym.equations import lines as show
from relrep_sym.equations import values
from relrep_sym.equations.cm import CMStep, cm_steps
from relrep_sym.equations.cm_lines import cm_lines
from relrep_sym.equations.cm_values import conditional_steps
from relrep_sym.equations.component import ComponentForm, component_form
from relrep_sym.equations.curvature import Curvature, curvature
from relrep_sym.equations.em import MStep, derive_m_step
from relrep_sym.equations.em_lines import m_step_lines
from relrep_sym.equations.equation import PAPERS, Equation
from relrep_sym.equations.generic import Generic
from relrep_sym.equations.gradient_em import ETA, gradient_em_column, gradient_em_lines
from relrep_sym.equations.hessian import hessian_lines, second_derivatives
from relrep_sym.equations.inference import covariance_lines, observed_covariance
from relrep_sym.equations.joint import JointStep, Profile, joint_step, profile_of
from relrep_sym.equations.joint_lines import (
    coordinate_lines,
    joint_words,
    median_lines,
    profile_lines,
    stationary_lines,
)
from relrep_sym.equations.lines import Line
from relrep_sym.equations.natural import natural_column, natural_lines
from relrep_sym.equations.nodes import LogSumExp, Responsibility
from relrep_sym.equations.ordered_lines import (
    floor_lines,
    floor_words,
    ordered_lines,
    ordered_words,
    regression_column,
)
from relrep_sym.equations.pointwise import Pointwise, pointwise
from relrep_sym.equations.program import invert_view, jacobian
from relrep_sym.equations.q_lines import expected_complete, q_lines
from relrep_sym.equations.safe_rate import SafeRate, safe_rate
from relrep_sym.equations.second import SecondForm, second_form
from relrep_sym.equations.stein import SteinForm, insist_apart, pulled_back, stein_form
from relrep_sym.equations.stein_lines import stein_lines
from relrep_sym.errors import DeclarationError, DerivationError, problem

__all__ = ["PAPERS", "Equation", "Line", "Record"]


@dataclass(frozen=True)
class Record:
    """All equations of a model in a chart, seen in a view where one is given.

    >>> from relrep_sym.declare.charts import relative
    >>> from relrep_sym.declare.model import mixture
    >>> record = Record("demo", relative(mixture("normal", components=2, scales=1), "mu"))
    >>> [e.name for e in record]  # doctest: +NORMALIZE_WHITESPACE
    ['chart', 'jacobian', 'log_likelihood', 'responsibilities', 'score', 'averaged', 'kl',
     'fisher', 'natural', 'hessian', 'covariance', 'q', 'm_step', 'm_step_mu', 'cm_steps',
     'gradient_em', 'stein']
    >>> record["score"].value[2]
    (-mu_2 + x)*r_2(x)
    >>> record["score"].lines[2].right  # what is printed
    r[2]*(-mu[2] + x)
    """

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

    @property
    def names(self) -> tuple[str, ...]:
        """The equations' names, in order."""
        stein = ("stein",) if isinstance(self.stein_or_reason, SteinForm) else ()
        constrained = (e.name for e in self.constrained_m_step)
        return (*self._always, "m_step", *constrained, "cm_steps", "gradient_em", *stein)

    @property
    def _always(self) -> tuple[str, ...]:
        """The names of what every derivation has: nothing is solved for them."""
        base = ("chart", "jacobian", "log_likelihood", "responsibilities", "score", "averaged")
        seen = ("view", "mobility", "averaged_in_view") if self.view is not None else ()
        return (*base, *seen, "kl", "fisher", "natural", "hessian", "covariance", "q")

    def __iter__(self) -> Iterator[Equation]:
        return (self[name] for name in self.names)

    def __getitem__(self, name: str) -> Equation:
        if name.startswith("m_step_"):
            for equation in self.constrained_m_step:
                if equation.name == name:
                    return equation
        if name == "stein":
            _ = self.stein_form  # raises with the reason where there is none
        elif name not in ("m_step", "cm_steps", "gradient_em", *self._always):
            raise DerivationError(
                problem("no such equation", name, "one of " + ", ".join(self.names))
            )
        return getattr(self, f"_{name}")

    def label(self, name: str) -> str:
        """The LaTeX label of an equation of this record."""
        return f"eq:{self.name}:{name.replace('_', '-')}"

    # ------------------------------------------------------------------------- pieces

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

    # ------------------------------------------------------------------------- equations

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
    ) -> Equation:
        return Equation(name, title, self.label(name), show, derive, cites, kernels, symmetric)

    @cached_property
    def _chart(self) -> Equation:
        return self._equation(
            "chart",
            self.chart.title,
            partial(maps.chart_lines, self.generic),
            self._rules,
            ("000, section 2",) if "relative" in self.chart.title else (),
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
            ("000, Eq. (2)",),
            ("averaged_field",),
        )

    def _averaged_lines(self) -> tuple[Line, ...]:
        if self.generic.regular:
            return show.averaged_lines(self.generic)
        if self.chart.intermediates:
            return show.pulled_averaged_lines(self.generic)
        rates = zip(self.chart.names, self._averaged_column(), strict=True)
        return tuple(Line(show.rate_left(latex_name(n), self.generic.time()), r) for n, r in rates)

    def _averaged_column(self) -> sp.ImmutableMatrix:
        return sp.ImmutableMatrix([ETA * self._mean(s) for s in self.chart_score])

    def _mean(self, expression: sp.Expr) -> sp.Expr:
        return values.mean(expression, self.x)

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
            ("PO09, Eq. (17)", "000, appendix D"),
            (),
            symmetric=True,
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
            ("000, appendix D",),
            ("view_field",),
        )

    def _seen_lines(self, view: View) -> tuple[Line, ...]:
        if self.generic.regular:
            return maps.seen_lines(self.generic, view)
        if self.chart.intermediates:
            return maps.pushed_lines(self.generic, view)
        rates = zip(view.names, self._seen(view), strict=True)
        return tuple(
            Line(show.rate_left(latex_name(n), self.generic.time(view.names)), r) for n, r in rates
        )

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
            ("000, section 5.1", "LC98"),
            ("fisher",),
            symmetric=True,
        )

    def _information(self) -> sp.ImmutableMatrix:
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
        names = None if self.view is None else self.view.names
        return self._equation(
            "covariance",
            "covariance of the estimates",
            partial(covariance_lines, self.generic, names),
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
            partial(natural_lines, self.generic),
            self._natural_column,
            ("A98", "002, section 2"),
            ("natural_field", "flow"),
        )

    def _natural_column(self) -> sp.MatMul:
        return natural_column(self._information(), self._averaged_column())

    @cached_property
    def _q(self) -> Equation:
        return self._equation(
            "q",
            "expected complete-data log-likelihood",
            partial(q_lines, self.generic),
            self._expected_complete,
            ("DLR77", "000, section 4.1"),
        )

    def _expected_complete(self) -> sp.Expr:
        logs = self.component_log_densities
        return expected_complete(self.chart, logs, self.responsibilities, self.x)

    @cached_property
    def cm_steps(self) -> tuple[CMStep, ...]:
        """How Q is maximised over each coordinate, the others held."""
        return cm_steps(self.chart)

    @cached_property
    def _cm_steps(self) -> Equation:
        return self._equation(
            "cm_steps",
            "conditional steps of ECM",
            self._cm_lines,
            self._conditional_steps,
            ("MR93", "000, section 4.2"),
            ("ecm_step",),
        )

    def _cm_lines(self) -> tuple[Line, ...]:
        return cm_lines(self.generic, self.cm_steps)

    def _conditional_steps(self) -> sp.Tuple:
        return conditional_steps(
            self.chart, self.cm_steps, self.responsibilities, self._averaged_column() / ETA
        )

    @cached_property
    def m_step_or_reason(self) -> MStep | str:
        """The joint M-step of the model, or in words why it has no closed form."""
        try:
            return derive_m_step(self.model)
        except DerivationError as why:
            return str(why)

    @property
    def m_step(self) -> MStep:
        """The joint M-step of the model; DerivationError where there is no closed form."""
        if isinstance(self.m_step_or_reason, str):
            raise DerivationError(self.m_step_or_reason)
        return self.m_step_or_reason

    @cached_property
    def joint(self) -> JointStep:
        """How the joint M-step is solved in the chart."""
        return joint_step(self.chart)

    @cached_property
    def _m_step(self) -> Equation:
        over_theta = self.joint.way in ("mapped", "ordered", "partly")
        over_theta = over_theta and self.joint.theta is not None
        return Equation(
            "m_step",
            "joint M-step",
            self.label("m_step"),
            self._m_step_lines,
            self._new_parameters if over_theta else self._slopes_of_q,
            ("DLR77", "000, section 4.1"),
            ("em_step", "fit"),
            say=self._m_step_words,
        )

    @cached_property
    def profile(self) -> Profile | None:
        """The tied parameter's equation with the others at their best, a polynomial; or None."""
        return profile_of(self.model) if self.joint.theta is None else None

    def _m_step_lines(self) -> tuple[Line, ...]:
        g, joint = self.generic, self.joint
        if joint.medians is not None:
            return median_lines(g, joint.medians)
        if joint.way == "none":
            same = self.profile is not None and self.chart.title == "identity chart"
            if same and self.profile is not None:
                return profile_lines(g, self.profile)
            return stationary_lines(g)
        if joint.way == "coordinates":
            return coordinate_lines(g, joint)
        return m_step_lines(g, self.m_step)

    def _m_step_words(self) -> str:
        return joint_words(self.generic, self.joint, self.profile)

    def _slopes_of_q(self) -> sp.ImmutableMatrix:
        q = self._expected_complete()
        return sp.ImmutableMatrix([sp.diff(q, s) for s in self.chart.symbols])

    @cached_property
    def constrained_m_step(self) -> tuple[Equation, ...]:
        """The step where a constraint binds: an equation for each ordered parameter, and one for
        weights that are kept above a clearance."""
        out: list[Equation] = []
        for r in self.joint.regressions:
            if isinstance(r, str):
                continue
            role = r.order.role
            plural = self.model.family.parameter(role).plural
            name = f"m_step_{role}"
            out.append(
                Equation(
                    name,
                    f"M-step of the ordered {plural}",
                    self.label(name),
                    partial(ordered_lines, self.generic, r),
                    partial(regression_column, self.generic, r),
                    ("BBBB72", "RWD88", "000, appendix B"),
                    ("em_step",),
                    say=partial(ordered_words, self.generic, r),
                )
            )
        floors = self.joint.orders.floors
        if floors:
            out.append(
                Equation(
                    "m_step_weights",
                    "M-step of weights with a clearance",
                    self.label("m_step_weights"),
                    partial(floor_lines, self.generic, floors),
                    partial(sp.ImmutableMatrix, [f.bound for f in floors]),
                    ("000, section 2",),
                    ("em_step",),
                    say=partial(floor_words, self.generic, floors),
                )
            )
        return tuple(out)

    def _new_parameters(self) -> sp.ImmutableMatrix:
        return values.new_parameters(self.model, self.m_step, self.responsibilities)

    @cached_property
    def _gradient_em(self) -> Equation:
        return self._equation(
            "gradient_em",
            "gradient EM",
            self._gradient_em_lines,
            self._gradient_em_column,
            ("BWY17", "004, Eq. (3) and Fact 1"),
            ("gradient_em_step",),
        )

    def _gradient_em_lines(self) -> tuple[Line, ...]:
        irregular = not self.generic.regular and not self.chart.intermediates
        return gradient_em_lines(self.generic, self._gradient_em_column() if irregular else ())

    def _gradient_em_column(self) -> sp.ImmutableMatrix:
        return gradient_em_column(self.chart, self.chart_score, self.x)

    @cached_property
    def safe_rate_or_reason(self) -> SafeRate | str:
        """The rate below which gradient EM is safe for all data, or in words why there is none."""
        try:
            return safe_rate(self.chart)
        except DerivationError as why:
            return str(why)

    @cached_property
    def stein_or_reason(self) -> SteinForm | str:
        """Slopes of the responsibilities in x, or in words why they do not lead to Stein's form."""
        try:
            form = stein_form(self.model, partial(getattr, self, "responsibilities"))
            insist_apart(self.chart, form)
        except DerivationError as why:
            return str(why)
        return form

    @property
    def stein_form(self) -> SteinForm:
        """The same; DerivationError where there is none."""
        if isinstance(self.stein_or_reason, str):
            raise DerivationError(self.stein_or_reason)
        return self.stein_or_reason

    @cached_property
    def _stein(self) -> Equation:
        return self.stein_under(None)

    def stein_under(self, truth: Truth | None) -> Equation:
        """∇ KL(q ‖ p) by second moments of the responsibilities; by default q is N(0, σ²)."""
        form = self.stein_form
        return Equation(
            "stein",
            "gradient of the loss by Stein's identity",
            self.label("stein") + ("" if truth is None else "-truth"),
            partial(stein_lines, self.generic, form, truth),
            partial(self._stein_column, form, truth),
            ("004, Lemma 9 and Corollary 10", "ST81"),
            ("responsibility_gram",) if truth is None else (),
        )

    def _stein_column(self, form: SteinForm, truth: Truth | None) -> sp.ImmutableMatrix:
        return sp.ImmutableMatrix([*pulled_back(self.chart, form, form.gradient(truth)).values()])
