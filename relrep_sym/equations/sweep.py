r"""What a sweep of conditional steps does to the EM step: one is linear in the other.

In: a chart in which Q is quadratic in some coordinates (a location's), and an order. Out: a frozen
:class:`Sweep`. Where no step is clipped, conditional steps in an order are Gauss and Seidel's
iteration on Q's own quadratic form, whose maximiser is the EM step:

.. math:: \lambda^+ = \lambda^{EM} + G^s (\lambda - \lambda^{EM}), \qquad
          G = I - (D + L)^{-1} H,

s sweeps with H = −∂²Q/∂λ∂λ, D + L its lower triangle in that order. Near a fixed point, where
λ^EM moves by I − H^{-1} I_obs, one sweep then moves by

.. math:: I - (D + L)^{-1} I_{obs}

(Meng 1994). The transpose of D + L is that of the reverse order, so that an order and its reverse
have the same rate: of two blocks neither comes first in the long run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sympy as sp

from relrep_sym.declare.chart import Chart
from relrep_sym.equations.cm import CMStep, cm_steps, gap_of
from relrep_sym.errors import DeclarationError, DerivationError, problem

__all__ = ["Sweep", "precision_symbol", "sweep"]


def precision_symbol(k: int) -> sp.Symbol:
    """w_k = N_k/σ_k², component k's curvature of −Q, from one on."""
    return sp.Symbol(f"w_{k}", positive=True)


@dataclass(frozen=True)
class Sweep:
    """The linear relation of s sweeps to the EM step, in the gaps' functions of the coordinates.

    Attributes:
        order: the coordinates, in the order of their steps.
        sweeps: how often it is gone through.
        gaps: what moves: each coordinate itself, or the gap's function of it, in ``order``.
        hessian: H = −∂²Q by those, in w_k = N_k v_k.
        matrix: G^s.
    """

    order: tuple[str, ...]
    sweeps: int
    gaps: tuple[sp.Expr, ...]
    hessian: sp.ImmutableMatrix
    matrix: sp.ImmutableMatrix

    def new(self) -> tuple[sp.Expr, ...]:
        """Each gap after the sweeps, in those before (h) and the EM values (h^EM).

        >>> from relrep_sym.declare.charts import relative
        >>> from relrep_sym.declare.model import mixture
        >>> c = relative(mixture("normal", components=2, weights="1/2", scales=1), "mu")
        >>> sweep(c).new()[1]
        Delta_1*w_2/(w_1 + w_2) + Delta_1^EM*w_1/(w_1 + w_2)
        """
        em = [em_symbol(n) for n in self.order]
        out = []
        for j in range(len(self.order)):
            row = list(self.matrix.row(j))
            rest = [sp.factor((1 if i == j else 0) - g) for i, g in enumerate(row)]
            terms = [c * s for c, s in zip([*rest, *row], [*em, *self.gaps], strict=True)]
            out.append(sp.Add(*terms))
        return tuple(out)


def em_symbol(name: str) -> sp.Symbol:
    """The EM step's value of a coordinate's gap."""
    return sp.Symbol(f"{name}^EM", real=True)


def sweep(chart: Chart, order: Sequence[str] | None = None, sweeps: int = 1) -> Sweep:
    """The relation of a sweep through ``order`` (None: all such coordinates, in the chart's order).

    Raises DeclarationError for names that are no coordinates or stand twice, and DerivationError
    where Q is not quadratic in one of them.

    >>> from relrep_sym.declare.charts import relative
    >>> from relrep_sym.declare.model import mixture
    >>> c = relative(mixture("normal", components=2), "mu")
    >>> sweep(c).matrix
    Matrix([
    [0, -w_2/(w_1 + w_2)],
    [0,  w_2/(w_1 + w_2)]])

    Source: Meng and Rubin 1993; Meng 1994; of Esser and Nielsen's (2022) Algorithm 1.
    """
    steps = {s.name: s for s in cm_steps(chart)}
    if order is None:
        chosen = tuple(n for n, s in steps.items() if s.kind == "shift")
    else:
        chosen = _checked(chart, order)
    if isinstance(sweeps, bool) or not isinstance(sweeps, int) or sweeps < 1:
        raise DeclarationError(problem("sweeps is not a count", sweeps, "an integer >= 1"))
    for name in chosen:
        if steps[name].kind != "shift":
            why = steps[name].reason or "it is no location"
            raise DerivationError(
                problem(f"Q is not quadratic in {name}", why, "coordinates of a location")
            )
    if not chosen:
        right = "a chart with coordinates in which Q is quadratic, such as means"
        raise DerivationError(problem("no sweep is linear here", chart.title, right))
    rows = [_row(chart, steps[n]) for n in chosen]
    count = chart.model.components
    weights = sp.diag(*(precision_symbol(k + 1) for k in range(count)))
    design = sp.Matrix(rows)
    hessian = design * weights * design.T
    matrix = sp.eye(len(rows))
    for _ in range(sweeps):
        for j in range(len(rows)):  # each step makes its own slope zero
            others = [i for i in range(len(rows)) if i != j and hessian[j, i] != 0]
            for n in range(len(rows)):
                total = sp.Add(*(hessian[j, i] * matrix[i, n] for i in others))
                matrix[j, n] = sp.factor(-total / hessian[j, j])
    gaps = tuple(gap_of(steps[n].gap, sp.Symbol(n)) for n in chosen)
    return Sweep(chosen, sweeps, gaps, sp.ImmutableMatrix(hessian), sp.ImmutableMatrix(matrix))


def _row(chart: Chart, step: CMStep) -> list[sp.Expr]:
    out = [sp.Integer(0)] * chart.model.components
    for k, slope in step.slopes:
        out[k] = slope
    return out


def _checked(chart: Chart, order: object) -> tuple[str, ...]:
    right = "the names of coordinates, such as " + repr(list(chart.names[:2]))
    if isinstance(order, str) or not isinstance(order, Sequence) or not order:
        raise DeclarationError(problem("order is no list of names", order, right))
    for name in order:
        if name not in chart.names:
            known = "one of " + ", ".join(chart.names)
            raise DeclarationError(problem("the order names no coordinate", name, known))
    if len(set(order)) < len(order):
        raise DeclarationError(problem("a coordinate stands twice in the order", order, right))
    return tuple(order)
