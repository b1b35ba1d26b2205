"""The equations of steps: Q, the M-step, conditional steps, gradient EM, Stein's form.

In: :class:`~relrep_sym.equations.informed.Informed`. Out: :class:`Stepping`, which adds them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial

import sympy as sp

from relrep_sym.declare.truth import Truth
from relrep_sym.equations import values
from relrep_sym.equations.cm import CMStep, cm_steps
from relrep_sym.equations.cm_lines import cm_lines, cm_words
from relrep_sym.equations.cm_values import conditional_steps
from relrep_sym.equations.em import MStep, derive_m_step
from relrep_sym.equations.em_lines import m_step_lines
from relrep_sym.equations.equation import Equation
from relrep_sym.equations.gradient_em import ETA, gradient_em_column, gradient_em_lines
from relrep_sym.equations.informed import Informed
from relrep_sym.equations.joint import JointStep, Profile, joint_step, profile_of
from relrep_sym.equations.joint_lines import (
    coordinate_lines,
    joint_words,
    median_lines,
    profile_lines,
    stationary_lines,
)
from relrep_sym.equations.lines import Line
from relrep_sym.equations.ordered_lines import (
    floor_lines,
    floor_words,
    ordered_lines,
    ordered_words,
    regression_column,
)
from relrep_sym.equations.q_lines import expected_complete, q_lines
from relrep_sym.equations.safe_rate import SafeRate, safe_rate
from relrep_sym.equations.stein import SteinForm, insist_apart, pulled_back, stein_form
from relrep_sym.equations.stein_lines import stein_lines
from relrep_sym.errors import DerivationError

__all__ = ["Stepping"]


@dataclass(frozen=True)
class Stepping(Informed):
    """The steps of EM and its kin in a chart."""

    @cached_property
    def _q(self) -> Equation:
        return self._equation(
            "q",
            "expected complete-data log-likelihood",
            partial(q_lines, self.generic),
            self._expected_complete,
            ("DLR77", "EN22, section 4.1"),
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
            ("MR93", "EN22, section 4.2"),
            ("ecm_step",),
            say=self._cm_words,
        )

    def _cm_words(self) -> str:
        return cm_words(self.generic, self.cm_steps)

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
            ("DLR77", "EN22, section 4.1"),
            ("em_step", "fit"),
            say=self._m_step_words,
            names=self.names_of,
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
        real = {s: sp.Dummy(s.name, real=True) for s in self.chart.symbols}
        back = {d: s for s, d in real.items()}
        q = self._expected_complete().xreplace(real)
        return sp.ImmutableMatrix([sp.diff(q, d).xreplace(back) for d in real.values()])

    @cached_property
    def constrained_m_step(self) -> tuple[Equation, ...]:
        """The step where a constraint binds: an equation for each ordered parameter, and one for
        weights that are kept above a clearance.

        Where coordinates are held there is none: it would move what is held.
        """
        out: list[Equation] = []
        if self.chart.whole is not None:
            return ()
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
                    ("BBBB72", "RWD88", "EN22, appendix B"),
                    ("em_step",),
                    say=partial(ordered_words, self.generic, r),
                    names=self.names_of,
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
                    ("EN22, section 2",),
                    ("em_step",),
                    say=partial(floor_words, self.generic, floors),
                    names=self.names_of,
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
            ("BWY17", "XFD24, Eq. (3) and Fact 1"),
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
            ("XFD24, Lemma 9 and Corollary 10", "ST81"),
            ("responsibility_gram",) if truth is None else (),
            names=self.names_of,
        )

    def _stein_column(self, form: SteinForm, truth: Truth | None) -> sp.ImmutableMatrix:
        return sp.ImmutableMatrix([*pulled_back(self.chart, form, form.gradient(truth)).values()])
