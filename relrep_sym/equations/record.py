r"""The record: every equation of one derivation, named, labelled, cited.

In: a model, a chart and (where asked for) a view. Out: a frozen :class:`Record` whose equations are
derived when they are first asked for. The LaTeX writer, the kernels and the docstrings all read the
same record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial

import sympy as sp
from sympy.core.sympify import _sympify

from relrep_sym.declare.chart import Chart
from relrep_sym.declare.model import Mixture
from relrep_sym.declare.symbols import Parameter, latex_name
from relrep_sym.declare.view import View
from relrep_sym.equations import lines as show
from relrep_sym.equations.component import ComponentForm, component_form
from relrep_sym.equations.em import (
    MStep,
    derive_m_step,
    statistic_symbol,
    statistics_of,
)
from relrep_sym.equations.em_lines import m_step_lines
from relrep_sym.equations.generic import Generic
from relrep_sym.equations.lines import Line
from relrep_sym.equations.nodes import Expectation, LogSumExp, Responsibility
from relrep_sym.equations.program import invert_view, jacobian, pull_back
from relrep_sym.errors import DerivationError, problem

__all__ = ["PAPERS", "Equation", "Line", "Record"]

PAPERS = {
    "000": "On the Influence of Enforcing Model Identifiability on Learning dynamics of Gaussian "
    "Mixture Models (2022)",
    "PO09": "Park and Ozeki, Singularity and slow convergence of the EM algorithm for Gaussian "
    "mixtures, Neural Processing Letters 29 (2009)",
    "DLR77": "Dempster, Laird and Rubin, Maximum likelihood from incomplete data via the EM "
    "algorithm, JRSS B 39 (1977)",
    "LC98": "Lehmann and Casella, Theory of Point Estimation, 2nd ed. (1998), section 2.6",
}
"""What equations cite, by key."""


@dataclass(frozen=True)
class Equation:
    """A named, labelled, cited equation, its parts derived when they are first asked for.

    Attributes:
        name: what it is called in ``relrep show`` and in the record.
        title: in words.
        label: its LaTeX label.
        show: gives its lines.
        derive: gives its value.
        cites: keys of :data:`PAPERS`, with the place.
        kernels: functions of the generated module that compute it.
        symmetric: whether the value is a symmetric matrix.
    """

    name: str
    title: str
    label: str
    show: Callable[[], tuple[Line, ...]] = field(repr=False, compare=False)
    derive: Callable[[], sp.Basic] = field(repr=False, compare=False)
    cites: tuple[str, ...] = ()
    kernels: tuple[str, ...] = ()
    symmetric: bool = False

    @cached_property
    def lines(self) -> tuple[Line, ...]:
        """What is printed: left = right, one line for all components that share a formula."""
        return self.show()

    @cached_property
    def value(self) -> sp.Basic:
        """The right side in SymPy, entry by entry: an expression, a column or a matrix."""
        return self.derive()


@dataclass(frozen=True)
class Record:
    """All equations of a model in a chart, seen in a view where one is given.

    >>> from relrep_sym.declare.chart import relative
    >>> from relrep_sym.declare.model import mixture
    >>> record = Record("demo", relative(mixture("normal", components=2, scales=1), "mu"))
    >>> [e.name for e in record]  # doctest: +NORMALIZE_WHITESPACE
    ['chart', 'jacobian', 'log_likelihood', 'responsibilities', 'score', 'averaged', 'kl',
     'fisher', 'm_step']
    >>> record["score"].lines[2].right
    -(mu_2 - x)*r_2(x)
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
        base = ("chart", "jacobian", "log_likelihood", "responsibilities", "score", "averaged")
        seen = ("mobility", "averaged_in_view") if self.view is not None else ()
        last = ("m_step",) if isinstance(self.m_step_or_reason, MStep) else ()
        return (*base, *seen, "kl", "fisher", *last)

    def __iter__(self) -> Iterator[Equation]:
        return (self[name] for name in self.names)

    def __getitem__(self, name: str) -> Equation:
        if name not in self.names:
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

    def responsibility(self, k: int) -> Responsibility:
        """r_{k+1}(x)."""
        return Responsibility(k + 1, *self.log_weighted)

    @cached_property
    def model_score(self) -> dict[Parameter, sp.Expr]:
        """∂ log p/∂θ_i, each component differentiated with its responsibility opaque."""
        family, model = self.model.family, self.model
        values = {p.symbol: model.component(p.name) for p in family.parameters}
        slopes = {p.name: _shortest(sp.diff(family.log_density, p.symbol)) for p in family.parameters}
        out = {}
        for p in model.parameters:
            terms = []
            for k in range(model.components):
                if p.role == "weight":
                    weight = model.weight_expressions[k]
                    slope = sp.diff(weight, p.symbol) / weight
                elif k in p.components:
                    slope = slopes[p.role].xreplace({s: _sympify(v[k]) for s, v in values.items()})
                else:
                    continue
                terms.append(self.responsibility(k) * slope)
            out[p.symbol] = sp.Add(*terms)
        return out

    @cached_property
    def chart_score(self) -> tuple[sp.Expr, ...]:
        """∂ log p/∂λ_j: the model's score pulled back through the chart's program."""
        bars: dict[sp.Symbol, sp.Expr] = {
            sp.Symbol(f"d_{t.name}"): e for t, e in self.model_score.items()
        }
        found: dict[str, sp.Expr] = {}
        coordinates = set(self.chart.symbols)
        for target, rule in pull_back(self.chart):
            value = rule.xreplace({s: bars[s] for s in rule.free_symbols if s in bars})
            if target in coordinates and target not in bars:
                found[target.name] = value
            else:
                bars[target] = value
        return tuple(found[n] for n in self.chart.names)

    # ------------------------------------------------------------------------- equations

    @cached_property
    def _chart(self) -> Equation:
        lines = tuple(Line(t, r) for t, r in self.chart.program)
        return Equation(
            "chart", self.chart.title, self.label("chart"), lines,
            ("000, section 2",) if "relative" in self.chart.title else (),
            ("to_model", "from_model"),
        )

    @cached_property
    def jacobian(self) -> sp.ImmutableMatrix:
        """∂θ/∂λ."""
        return jacobian(self.chart)

    @cached_property
    def _jacobian(self) -> Equation:
        left = r"\frac{\partial \theta}{\partial \lambda}"
        return Equation(
            "jacobian", "Jacobian of the chart", self.label("jacobian"),
            (Line(left, self.jacobian),), (), ("jacobian",),
        )

    @cached_property
    def _log_likelihood(self) -> Equation:
        right = self._mean(self.log_density)
        return Equation(
            "log_likelihood", "averaged log-likelihood", self.label("log_likelihood"),
            (Line("L", right),), (), ("log_likelihood", "log_density"),
        )

    @cached_property
    def _responsibilities(self) -> Equation:
        rows = tuple(
            Line(self.responsibility(k), a) for k, a in enumerate(self.log_weighted)
        )
        return Equation(
            "responsibilities", "E-step", self.label("responsibilities"), rows,
            ("DLR77",), ("responsibilities", "statistics"),
        )

    @cached_property
    def _score(self) -> Equation:
        lines = tuple(
            Line(_partial(r"\log p(x)", c.symbol), s)
            for c, s in zip(self.chart.coordinates, self.chart_score, strict=True)
        )
        return Equation(
            "score", "score in the chart", self.label("score"), lines, (),
            ("score_samples", "score"),
        )

    @cached_property
    def _averaged(self) -> Equation:
        eta = sp.Symbol("eta")
        lines = tuple(
            Line(_rate(c.symbol), eta * self._mean(s))
            for c, s in zip(self.chart.coordinates, self.chart_score, strict=True)
        )
        return Equation(
            "averaged", "averaged learning equations", self.label("averaged"), lines,
            ("000, Eq. (2)",), ("averaged_field",),
        )

    def _mean(self, expression: sp.Expr) -> sp.Expr:
        return Expectation(expression, self.x, sp.Symbol("q"))

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
        return sp.ImmutableMatrix(product.applyfunc(sp.expand))

    @cached_property
    def _mobility(self) -> Equation:
        assert self.view is not None
        return Equation(
            "mobility", "Jacobian of the view and mobility", self.label("mobility"),
            (Line("J", self.view_jacobian(self.view)), Line(r"J J^{\top}", self.mobility(self.view))),
            ("PO09, Eq. (17)", "000, appendix D"), (), symmetric=True,
        )

    @cached_property
    def _averaged_in_view(self) -> Equation:
        assert self.view is not None
        return self.averaged_in(self.view)

    def averaged_in(self, view: View) -> Equation:
        """db/dt = η J ∇_λ L, exact."""
        eta = sp.Symbol("eta")
        lines = []
        for symbol, e in zip(view.symbols, view.expressions, strict=True):
            rate = sp.Add(
                *(
                    sp.diff(e, s) * self._mean(score)
                    for s, score in zip(self.chart.symbols, self.chart_score, strict=True)
                )
            )
            lines.append(Line(_rate(symbol), eta * rate))
        return Equation(
            "averaged_in_view", "averaged learning equations in the view",
            self.label("averaged_in_view"), tuple(lines), ("000, appendix D",),
            ("to_view", "view_field"),
        )

    @cached_property
    def _kl(self) -> Equation:
        right = self._mean(sp.Symbol(r"\log q(x)") - self.log_density)
        return Equation(
            "kl", "Kullback–Leibler divergence from the truth", self.label("kl"),
            (Line(r"\mathrm{KL}(q \,\|\, p)", right),), (), ("kl",),
        )

    @cached_property
    def _fisher(self) -> Equation:
        s = sp.Symbol(r"\partial_\theta \log p\, \partial_\theta \log p^{\top}")
        left = r"I_\theta"
        mean = Expectation(s, self.x, sp.Symbol("p"))
        j = sp.Symbol(r"\left(\frac{\partial \theta}{\partial \lambda}\right)^{\!\top} I_\theta \, \frac{\partial \theta}{\partial \lambda}")
        return Equation(
            "fisher", "Fisher information and its pull-back", self.label("fisher"),
            (Line(left, mean), Line(r"I_\lambda", j)),
            ("000, section 5.1", "LC98"), ("fisher",), symmetric=True,
        )

    @cached_property
    def m_step_or_reason(self) -> MStep | str:
        """The joint M-step of the model, or in words why it has no closed form."""
        try:
            return derive_m_step(self.model)
        except DerivationError as why:
            return str(why)

    @property
    def has_m_step(self) -> bool:
        """Whether the joint M-step has a closed form."""
        return isinstance(self.m_step_or_reason, MStep)

    @property
    def m_step(self) -> MStep:
        """The joint M-step of the model; DerivationError where there is no closed form."""
        if isinstance(self.m_step_or_reason, str):
            raise DerivationError(self.m_step_or_reason)
        return self.m_step_or_reason

    @cached_property
    def _m_step(self) -> Equation:
        step = self.m_step
        lines = [
            Line(_mass(k), self._mean(self.responsibility(k))) for k in range(self.model.components)
        ]
        total = sp.Add(*(_mass(k) for k in step.free_weights))
        fixed = [w for k, w in enumerate(self.model.weights) if k not in step.free_weights]
        room = 1 - sp.Add(*fixed) if self.model.weights != "free" else sp.Integer(1)
        for k in step.free_weights:
            share = _mass(k) if room == 1 else room * _mass(k) / total
            lines.append(Line(_new(f"pi_{k + 1}"), share))
        for u in step.updates:
            lines += self._update_lines(u)
        return Equation(
            "m_step", "joint M-step", self.label("m_step"), tuple(lines),
            ("DLR77", "000, section 4.1"), ("em_step", "fit"),
        )


    def _update_lines(self, u: Update) -> list[Line]:
        """One update for each of its components, statistics written as expectations."""
        model = self.model
        tied = bool(u.totals)
        out = []
        for k in u.components[:1] if tied else u.components:
            name = u.parameter if tied else f"{u.parameter}_{k + 1}"
            sums = {
                symbol: sp.Add(*(self._with_expectations(e, j) for j in u.components))
                for symbol, e in u.totals
            }
            value = self._with_expectations(u.value, k).xreplace(sums)
            if u.shift:
                value = model.component(u.parameter)[k] + value
            out.append(Line(_new(name), value))
        return out

    def _with_expectations(self, value: sp.Expr, k: int) -> sp.Expr:
        """N → N_k, t_j → E_q[r_k T_j]/N_k, family parameters → component k's."""
        family = self.model.family
        centre = self.model.component(family.location.name)[k] if family.location else 0
        y = sp.Symbol("y", real=True)
        functions, _ = statistics_of(family)
        back: dict[sp.Basic, sp.Basic] = {statistic_symbol(0): _mass(k)}
        for j, function in enumerate(functions, start=1):
            inner = self.responsibility(k) * function.subs(y, self.x - centre)
            back[statistic_symbol(j)] = self._mean(inner) / _mass(k)
        for p in family.parameters:
            back[p.symbol] = _sympify(self.model.component(p.name)[k])
        return value.xreplace(back)


def _shortest(expression: sp.Expr) -> sp.Expr:
    """The expression as it stands or factored, whichever has fewer operations."""
    return min((expression, sp.factor(expression)), key=sp.count_ops)


def _mass(k: int) -> sp.Symbol:
    return sp.Symbol(f"N_{k + 1}")


def _new(name: str) -> sp.Symbol:
    """The value of a parameter after the step."""
    return sp.Symbol(f"{name}^+")


def _rate(symbol: sp.Symbol) -> sp.Basic:
    return sp.Derivative(sp.Function(symbol.name)(sp.Symbol("t")), sp.Symbol("t"))


def _partial(of: str, symbol: sp.Symbol) -> sp.Basic:
    return sp.Derivative(sp.Symbol(of), symbol, evaluate=False)
