r"""The conditional steps of ECM in exact SymPy, coordinate by coordinate.

In: a chart, its conditional steps and the responsibilities as opaque nodes. Out: for each
coordinate λ_j an equation, λ_j⁺ = … where there is a closed form and ∂Q/∂λ_j = 0 where there is
none. Right sides are in the coordinates and the parameters, the latest ones, with r_k(x) of the
E-step.
"""

from __future__ import annotations

from collections.abc import Sequence

import sympy as sp
from sympy.core.sympify import _sympify

from relrep_sym.declare.chart import Chart
from relrep_sym.declare.symbols import split_index
from relrep_sym.equations.cm import CMStep, gap_of, powers_of, root_of
from relrep_sym.equations.em import shift_symbol, statistic_symbol, statistics_of
from relrep_sym.equations.isotonic import Pull
from relrep_sym.equations.nodes import Responsibility
from relrep_sym.equations.values import mean

__all__ = ["conditional_steps", "new_symbol"]

_Y = sp.Symbol("y", real=True)


def new_symbol(name: str) -> sp.Symbol:
    """λ_j⁺, the coordinate of that name after its step."""
    return sp.Symbol(f"{name}^+", real=True)


def conditional_steps(
    chart: Chart,
    steps: Sequence[CMStep],
    responsibilities: Sequence[Responsibility],
    gradient: sp.MatrixBase,
) -> sp.Tuple:
    """An equation for each coordinate, in order; ``gradient`` is ∂Q/∂λ.

    >>> from relrep_sym.declare.charts import relative
    >>> from relrep_sym.declare.model import mixture
    >>> from relrep_sym.equations.record import Record
    >>> model = mixture("normal", components=2, weights="1/2", scales=1)
    >>> Record("demo", relative(model, "mu"))["cm_steps"].value[1].rhs
    Max(0, Delta_1 + Expectation((-mu_2 + x)*r_2(x), x, q)/Expectation(r_2(x), x, q))
    """
    made = _Values(chart, responsibilities)
    out = []
    for n, step in enumerate(steps):
        if step.kind == "none":
            out.append(sp.Eq(gradient[n], 0, evaluate=False))
        else:
            out.append(sp.Eq(new_symbol(step.name), made.value(step), evaluate=False))
    return sp.Tuple(*out)


class _Values:
    """N_k and s_k of every component, and the closed forms made of them."""

    def __init__(self, chart: Chart, responsibilities: Sequence[Responsibility]) -> None:
        self.chart, self.r = chart, responsibilities
        self.mass = [mean(r, chart.model.family.x) for r in responsibilities]
        self.domains = {c.name: c.domain for c in chart.coordinates}

    def value(self, step: CMStep) -> sp.Expr:
        """λ_j⁺ of a step that has a closed form."""
        if step.kind in ("simplex", "softmax", "stick"):
            return self._weight(step)
        symbol = sp.Symbol(step.name)
        gap = gap_of(step.gap, symbol)
        if step.kind == "own" and gap in dict(self.chart.program).values():  # nothing is added
            return gap_of(step.gap, self._root(step), inverse=True)
        found = gap + self._moved(step)
        if step.gap == "plain":
            return sp.Max(0, found) if self.domains[step.name].name == "nonnegative" else found
        if step.gap == "square":
            return sp.sqrt(sp.Max(0, found))
        return gap_of(step.gap, found, inverse=True)

    def _weight(self, step: CMStep) -> sp.Expr:
        symbol = sp.Symbol(step.name)
        _, number = split_index(step.name)
        values = self.chart.weight_expressions
        if step.kind == "simplex":
            rules = dict(self.chart.program)
            k = next(k for k, w in enumerate(values) if rules.get(w) == symbol)
            last = self.chart.model.free_weights[-1]
            share = self.mass[k] / (self.mass[k] + self.mass[last])
            return (values[k] + values[last]) * share
        assert number is not None
        k = number - 1
        if step.kind == "stick":
            return self.mass[k] / sp.Add(*self.mass[k:])
        n, p = self.mass[k], values[k]
        return symbol + sp.log(n / (1 - n)) - sp.log(p / (1 - p))

    def _moved(self, step: CMStep) -> sp.Expr:
        """By how much the gap's function of the coordinate changes."""
        pull, family = step.pull, self.chart.model.family
        assert pull is not None
        if step.kind == "shift":
            above = [a * self._factor(pull, k) * self._residual(pull, k) for k, a in step.slopes]
            below = [a**2 * self._factor(pull, k) * self.mass[k] for k, a in step.slopes]
            return sp.Add(*above) / sp.Add(*below)
        if step.kind == "own":
            now = _sympify(self.chart.model.component(pull.role)[step.members[0]])
            return self._root(step) - now
        powers = powers_of(family, pull.role)
        assert powers is not None
        a, b = powers
        now_at = [_sympify(v) for v in self.chart.model.component(pull.role)]
        top = [self._factor(pull, k) * self._statistic(pull, k) * now_at[k] ** b
               for k in step.members]  # fmt: skip
        bottom = [self._factor(pull, k) * self.mass[k] * now_at[k] ** (a + b)
                  for k in step.members]  # fmt: skip
        return sp.log(sp.Add(*top) / sp.Add(*bottom)) / a

    def _root(self, step: CMStep) -> sp.Expr:
        """The one parameter that a coordinate is behind, a component's own or tied."""
        pull, family = step.pull, self.chart.model.family
        assert pull is not None
        found = root_of(family, pull.role)
        assert found is not None
        root, s = found
        above = [self._factor(pull, k) * self._statistic(pull, k) for k in step.members]
        below = [self._factor(pull, k) * self.mass[k] for k in step.members]
        return root.xreplace({s: sp.Add(*above) / sp.Add(*below)})

    def _at(self, expression: sp.Expr, k: int) -> sp.Expr:
        family = self.chart.model.family
        return expression.xreplace(
            {p.symbol: _sympify(self.chart.model.component(p.name)[k]) for p in family.parameters}
        )

    def _factor(self, pull: Pull, k: int) -> sp.Expr:
        whole = pull.factor * (pull.shape if pull.quadratic else sp.Integer(1))
        return self._at(whole, k)

    def _residual(self, pull: Pull, k: int) -> sp.Expr:
        """N_k (s_k − φ_k) of a parameter in which Q is quadratic."""
        located = self.chart.model.family.location
        if located is not None and located.name == pull.role:
            return self._statistic(pull, k)  # about the present location already
        return self._statistic(pull, k) - self.mass[k] * self._at(pull.symbol, k)

    def _statistic(self, pull: Pull, k: int) -> sp.Expr:
        """N_k s_k, functions of x about the latest location."""
        family = self.chart.model.family
        value, place = pull.statistic, sp.Integer(0)
        if family.location is not None:
            value = value.subs(shift_symbol(family), 0)
            place = _sympify(self.chart.model.component(family.location.name)[k])
        terms = []
        functions = statistics_of(family)[0]
        rest = sp.expand(value)
        for j, function in enumerate(functions, start=1):
            t = statistic_symbol(j)
            slope = sp.diff(rest, t)
            if slope != 0:
                inner = self.r[k] * function.subs(_Y, family.x - place)
                terms.append(self._at(slope, k) * mean(inner, family.x))
                rest = sp.expand(rest - slope * t)
        return sp.Add(*terms, self._at(rest, k) * self.mass[k])
