r"""When two components that meet stay together: whether Δ_k = 0 absorbs EM, and ECM.

In: a chart and one of its location gaps. Out: a frozen :class:`Absorption`, a proof in its parts.

At Δ_k = 0 without a clearance the components k and k + 1 have one location. If their other
parameters are the same too, and only then, r_{k+1}(x)/r_k(x) = π_{k+1}/π_k at every x, whatever
the data: their means m_k, m_{k+1} are one, so that the EM step has Δ_k⁺ = 0. Otherwise
m_{k+1} − m_k has either sign, and Δ_k leaves zero where it is positive.

A sweep of ECM adds G (λ − λ^EM) (:mod:`.sweep`). With Δ_k and its EM value both zero, what is left
are the terms of the other coordinates: Δ_k = 0 absorbs for all data where G has none of them in
the row of Δ_k. So it does in the order (μ_1, Δ_1) of Esser and Nielsen's (2022) Algorithm 1, and
not in the order (Δ_1, μ_1), where Δ_1⁺ = max(0, μ_1^EM − μ_1).

From Δ_k > 0, scales equal, neither reaches zero: r_{k+1}/r_k rises with x there, so that
m_{k+1} > m_k unless all points are one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sympy as sp
from sympy.core.sympify import _sympify

from relrep_sym.declare.chart import Chart
from relrep_sym.declare.symbols import Parameter
from relrep_sym.equations.cm import cm_steps
from relrep_sym.equations.sweep import em_symbol, sweep
from relrep_sym.errors import DerivationError, problem

__all__ = ["Absorption", "absorption"]


@dataclass(frozen=True)
class Absorption:
    """Whether a gap of zero stays zero.

    Attributes:
        gap: the coordinate.
        components: the two that meet, from one on.
        condition: what must hold of the other parameters for them to be one component: a SymPy
            condition, ``true`` where it always holds and ``false`` where it never does.
        em: whether the EM step keeps the gap at zero, under ``condition``.
        order: the coordinates of the ECM sweep.
        step: the gap after that sweep from zero, under ``condition``, before it is clipped: in the
            other coordinates and their EM values.
        ecm: whether that is zero for all data.
    """

    gap: str
    components: tuple[int, int]
    condition: sp.Basic
    em: bool
    order: tuple[str, ...]
    step: sp.Expr
    ecm: bool

    def __str__(self) -> str:
        """In words."""
        a, b = self.components
        if self.condition == sp.false:
            return (
                f"{self.gap} = 0 absorbs neither EM nor ECM: components {a} and {b} are never one "
                "and the same, and the gap opens wherever the means of their points ask for it"
            )
        when = "always" if self.condition == sp.true else f"where {_spelled(self.condition)}"
        inner = ", ".join(self.order)
        if self.ecm:
            after = f"and ECM in the order {inner} too"
        else:
            after = f"ECM in the order {inner} does not: its step is max(0, {self.step})"
        return f"{self.gap} = 0 absorbs EM {when}; {after}"


def _spelled(condition: sp.Basic) -> str:
    parts = condition.args if isinstance(condition, sp.And) else (condition,)
    return " and ".join(f"{p.args[0]} = {p.args[1]}" for p in parts)


def absorption(chart: Chart, gap: str, order: Sequence[str] | None = None) -> Absorption:
    """Whether a location gap at zero stays there, in EM and in an order of ECM.

    Raises DerivationError where ``gap`` is no gap of a location between two neighbours that
    reaches zero, or has a clearance, which keeps the components apart.

    >>> from relrep_sym.declare.charts import relative
    >>> from relrep_sym.declare.model import mixture
    >>> c = relative(mixture("normal", components=2), "mu")
    >>> print(absorption(c, "Delta_1"))
    Delta_1 = 0 absorbs EM where sigma_1 = sigma_2; and ECM in the order mu_1, Delta_1 too
    >>> print(absorption(c, "Delta_1", ["Delta_1", "mu_1"]).step)
    -mu_1 + mu_1^EM
    """
    pair = _neighbours(chart, gap)
    condition = _same(chart, pair)
    made = sweep(chart, order)
    if gap not in made.order:
        raise DerivationError(
            problem("the order leaves the gap out", ", ".join(made.order), f"{gap} in it")
        )
    row = made.matrix.row(made.order.index(gap))
    terms = [
        slope * (h - em_symbol(n))
        for slope, h, n in zip(row, made.gaps, made.order, strict=True)
        if n != gap
    ]
    step = sp.Add(*(sp.expand(t) if t.is_polynomial() else t for t in terms if t != 0))
    proven = condition != sp.false and _proportional(chart, pair)
    return Absorption(gap, pair, condition, proven, made.order, step, proven and step == 0)


def _neighbours(chart: Chart, gap: str) -> tuple[int, int]:
    """The two components that a gap is between, from one on."""
    step = next((s for s in cm_steps(chart) if s.name == gap), None)
    location = chart.model.family.location
    right = "a gap of a location, such as Delta_1 of rs.relative(model)"
    if step is None or step.kind != "shift" or location is None or step.role != location.name:
        raise DerivationError(problem("this is no gap of a location", gap, right))
    if step.gap not in ("plain", "square"):
        raise DerivationError(
            problem(f"{gap} never makes a gap of zero", f"a gap of kind {step.gap}", right)
        )
    moved, count = set(step.members), chart.model.components
    edges = [k for k in range(count - 1) if (k in moved) != (k + 1 in moved)]
    if len(edges) != 1:
        raise DerivationError(problem("this is no gap between two neighbours", gap, right))
    (k,) = edges
    values = [chart.every_value[e] for e in chart.model.component(step.role)]
    apart = sp.expand(values[k + 1] - values[k]).xreplace({sp.Symbol(gap): sp.Integer(0)})
    if apart != 0:
        raise DerivationError(
            problem("the components stay apart", f"a distance of {apart} at {gap} = 0", right)
        )
    return k + 1, k + 2


def _same(chart: Chart, pair: tuple[int, int]) -> sp.Basic:
    """What must hold for the other parameters of two components to be the same."""
    model = chart.model
    parts = []
    for p in model.family.parameters:
        if model.family.location is not None and p.name == model.family.location.name:
            continue
        a, b = (_sympify(model.component(p.name)[k - 1]) for k in pair)
        if a == b:
            continue
        if not (isinstance(a, Parameter) or isinstance(b, Parameter)):
            return sp.false
        parts.append(sp.Eq(a, b))
    return sp.And(*parts) if parts else sp.true


def _proportional(chart: Chart, pair: tuple[int, int]) -> bool:
    """Proof that components with the same parameters have responsibilities as their weights."""
    family, model = chart.model.family, chart.model
    a, b = (
        {p.symbol: _sympify(model.component(p.name)[k - 1]) for p in family.parameters}
        for k in pair
    )
    equal = {v: a[s] for s, v in b.items() if isinstance(v, Parameter)}
    first = family.log_density.xreplace(a)
    return bool(family.log_density.xreplace(b).xreplace(equal) - first == 0)
