r"""Rates at which gradient EM never lowers the likelihood, whatever the data: linear charts.

In: a chart. Out: :class:`SafeRate`, or a DerivationError that says why there is none.

Let the weights be given, every learned parameter one role φ_k, and −∂² log f/∂φ² a positive number
c_k (1/σ_k² for a normal mean), and let the chart be linear, φ_k = a_kᵀλ + b_k. Then in all of λ

.. math:: -\nabla^2 L = \sum_k N_k c_k a_k a_k^\top - \operatorname{E}[\operatorname{Cov}_r(
    \partial_\lambda \log f)] \preceq \sum_k N_k c_k a_k a_k^\top,

since a covariance is positive semidefinite. With M = max_k c_k |a_k|² the right side is no larger
than M: λ_max of a sum of the matrices c_k a_k a_kᵀ with weights N_k ≥ 0 of sum one is convex in
them, so that it is largest at N = e_k. Therefore

.. math:: L(\lambda + \eta g) \ge L(\lambda) + \eta \left(1 - \tfrac{1}{2} \eta M\right) |g|^2

along the whole step, g = ∇L: no fall for 0 < η < 2/M (``sharp``), and the guaranteed rise is
largest at η = 1/M. For a step projected onto a box the same holds, as (P(λ + ηg) − λ)·g ≥
|P(λ + ηg) − λ|²/η. With every N_k replaced by one, M ≤ λ_max(Aᵀ diag(c) A): its rate
2/λ_max(AᵀCA) (``rate``) is safe too and never larger. 2/M cannot be raised: where one component
claims all the data and the others are far, L is the parabola of that bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import mpmath
import sympy as sp
from sympy.core.sympify import _sympify

from relrep_sym.declare.chart import Chart
from relrep_sym.errors import DerivationError, problem

__all__ = ["SafeRate", "safe_rate"]

_EXACT = 8
"""Coordinates up to which the characteristic polynomial is formed."""


@dataclass(frozen=True)
class SafeRate:
    """The chart's rows a_k and the curvatures c_k, exact.

    >>> from relrep_sym.declare.charts import relative
    >>> from relrep_sym.declare.model import mixture
    >>> found = safe_rate(relative(mixture("normal", 3, weights="1/3", scales=1), "mu"))
    >>> found.matrix
    Matrix([
    [1, 0, 0],
    [1, 1, 0],
    [1, 1, 1]])
    >>> round(found.rate, 3), found.sharp
    (0.396, 2/3)
    """

    matrix: sp.ImmutableMatrix
    curvatures: tuple[sp.Expr, ...]

    @property
    def sharp(self) -> sp.Expr:
        """2/max_k c_k |a_k|², exact: below it L never falls, above it for some data it does."""
        rows = (self.matrix.row(k) for k in range(self.matrix.rows))
        return 2 / max(
            c * sum((e**2 for e in row), sp.Integer(0))
            for c, row in zip(self.curvatures, rows, strict=True)
        )

    @cached_property
    def gram(self) -> sp.ImmutableMatrix:
        """Aᵀ diag(c) A."""
        return sp.ImmutableMatrix(self.matrix.T * sp.diag(*self.curvatures) * self.matrix)

    @cached_property
    def largest(self) -> sp.Expr:
        """λ_max(Aᵀ diag(c) A): the exact algebraic number, or 30 digits where there are many."""
        if self.gram.rows <= _EXACT:
            y = sp.Symbol("y")
            return max(sp.real_roots(self.gram.charpoly(y).as_expr(), y), key=lambda r: sp.N(r, 30))
        with mpmath.workdps(40):
            values = mpmath.eigsy(mpmath.matrix(self.gram.evalf(40).tolist()), eigvals_only=True)
            return sp.Float(str(max(values)), 30)

    @cached_property
    def rate(self) -> float:
        """2/λ_max(Aᵀ diag(c) A), rounded down."""
        return _below(2 / self.largest)

    @cached_property
    def sharp_rate(self) -> float:
        """:attr:`sharp`, rounded down."""
        return _below(self.sharp)


def _below(value: sp.Expr) -> float:
    exact = sp.Rational(str(sp.N(value, 30)))
    near = float(exact)
    return near if sp.Rational(near) <= exact else near * (1 - 2.0**-53)


def safe_rate(chart: Chart) -> SafeRate:
    """The rows and curvatures that the bound is made of.

    Raises DerivationError, with the reason, where a weight is learned, more than one role is, the
    chart is not linear or has a constant among its slopes, or the curvature of the log-density is
    no given number.
    """
    model, family = chart.model, chart.model.family
    roles = {p.role for p in model.parameters}
    if "weight" in roles:
        raise _none("weights that are learned", "weights that are given")
    if len(roles) > 1:
        raise _none(f"{' and '.join(sorted(roles))} learned together", "one of them given")
    (role,) = roles
    symbol = family.parameter(role).symbol
    values = {p.symbol: model.component(p.name) for p in family.parameters}
    bend = sp.expand(-sp.diff(family.log_density, symbol, 2))
    curvatures, rows = [], []
    for k, parameter in enumerate(model.component(role)):
        c = sp.simplify(bend.xreplace({s: _sympify(v[k]) for s, v in values.items()}))
        if not c.is_number or not c.is_positive:
            raise _none(
                f"−∂² log f/∂{role}² = {sp.simplify(bend)}", "a log-density with a given curvature"
            )
        rule = _sympify(parameter).xreplace(chart.unrolled)
        slopes = [sp.expand(sp.diff(rule, s)) for s in chart.symbols]
        for s, name in zip(slopes, chart.names, strict=True):
            if not s.is_number:
                raise _none(f"∂{role}_{k + 1}/∂{name} = {s}", "a chart that is linear in numbers")
        curvatures.append(c)
        rows.append(slopes)
    return SafeRate(sp.ImmutableMatrix(rows), tuple(curvatures))


def _none(given: str, right: str) -> DerivationError:
    return DerivationError(problem("no rate is safe for all data", given, right))
