r"""The observed Hessian in a chart: what is printed of it, and its value in SymPy.

In: a chart, the score in θ and the components' log-weighted densities. Out: lines, and
∂² log p/∂λ∂λ entry by entry, responsibilities opaque:

.. math:: J^\top H_\theta J + \sum_i \frac{\partial \log p}{\partial \theta_i}
    \frac{\partial^2 \theta_i}{\partial \lambda \partial \lambda^\top}

The kernels take neither: they sum a covariance (:mod:`relrep_sym.runtime.second`) and the chart's
:mod:`.curvature`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sympy as sp

from relrep_sym.declare.chart import Chart
from relrep_sym.declare.symbols import Parameter, script
from relrep_sym.equations.generic import Generic
from relrep_sym.equations.lines import (
    Line,
    density_latex,
    jacobian_line,
    log_weighted_latex,
)
from relrep_sym.equations.nodes import Responsibility
from relrep_sym.equations.program import jacobian

__all__ = ["hessian_lines", "second_derivatives"]


def hessian_lines(g: Generic, *, bends: bool) -> tuple[Line, ...]:
    r"""H_θ by components, and H_λ; the curvature term only where the chart ``bends``.

    >>> from relrep_sym.declare.chart import identity
    >>> from relrep_sym.declare.model import mixture
    >>> [line.left for line in hessian_lines(Generic(identity(mixture("normal", 2))), bends=False)]
    ['@\\ell_@k(@x)', '@{score}(@x)', '@H_@\\theta', '@H_@\\lambda', '@J']
    """
    lines = []
    if g.model.components == 1:
        inner = _second(rf"\log {density_latex(g, 1)}")
    else:
        own = r"@\ell_@k(@x)"
        count = script(str(g.model.components))
        inner = (
            rf"\sum_{{@k=1}}^{count} @r_@k(@x) \left({_second(own)} + {_outer(_slope(own))}\right)"
            r" - @{score}(@x) \, @{score}(@x)^{\top}"
        )
        lines.append(log_weighted_latex(g, own))
    if g.model.components > 1 or bends:
        lines.append(Line("@{score}(@x)", _slope(r"\log @p(@x)")))
    lines.append(Line(r"@H_@\theta", rf"@E_@q\left[{inner}\right]"))
    pulled = r"@J^{\top} @H_@\theta @J"
    if bends:
        bend = _second(r"@\theta_@i", r"@\lambda")
        pulled += rf" + \sum_@i @E_@q[@{{score}}_@i(@x)] \, {bend}"
    lines += [Line(r"@H_@\lambda", pulled), jacobian_line()]
    return tuple(lines)


def _slope(of: str, by: str = r"@\theta") -> str:
    return rf"\frac{{\partial {of}}}{{\partial {by}}}"


def _second(of: str, by: str = r"@\theta") -> str:
    return rf"\frac{{\partial^2 {of}}}{{\partial {by} \, \partial {by}^{{\top}}}}"


def _outer(slope: str) -> str:
    return rf"{slope} \left({slope}\right)^{{\top}}"


def second_derivatives(
    chart: Chart,
    score: Mapping[Parameter, sp.Expr],
    log_weighted: Sequence[sp.Expr],
    responsibilities: Sequence[Responsibility],
) -> sp.ImmutableMatrix:
    """∂² log p/∂λ_i∂λ_j, one triangle derived and mirrored.

    >>> from relrep_sym.declare.chart import identity
    >>> from relrep_sym.declare.model import mixture
    >>> from relrep_sym.equations.record import Record
    >>> record = Record("demo", identity(mixture("poisson", components=1)))
    >>> record["hessian"].value
    Matrix([[Expectation(-x/rate_1**2, x, q)]])
    """
    entries = [p.symbol for p in chart.model.parameters]
    firsts = [[sp.diff(log, s) for s in entries] for log in log_weighted]

    def in_theta(i: int, j: int) -> sp.Expr:
        terms = []
        for r, log, first in zip(responsibilities, log_weighted, firsts, strict=True):
            inner = sp.diff(log, entries[i], entries[j]) + first[i] * first[j]
            terms.append(r * inner)
        return sp.Add(*terms) - score[entries[i]] * score[entries[j]]

    if len(log_weighted) == 1:  # the one responsibility is 1, and the squares are the same
        whole = sp.hessian(log_weighted[0], entries)
    else:
        whole = _mirrored(len(entries), in_theta)
    slopes = jacobian(chart)
    pulled = slopes.T * whole * slopes
    maps = [(s, chart.unrolled[s]) for s in entries]

    def in_chart(i: int, j: int) -> sp.Expr:
        a, b = chart.symbols[i], chart.symbols[j]
        bends = [score[s] * sp.diff(m, a, b) for s, m in maps if m.has(a) and m.has(b)]
        return pulled[i, j] + sp.Add(*bends)

    return _mirrored(len(chart.symbols), in_chart)


def _mirrored(count: int, entry) -> sp.ImmutableMatrix:  # type: ignore[no-untyped-def]
    upper = {(i, j): entry(i, j) for i in range(count) for j in range(i, count)}
    return sp.ImmutableMatrix(count, count, lambda i, j: upper[min(i, j), max(i, j)])
