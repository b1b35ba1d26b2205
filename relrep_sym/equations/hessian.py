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
from relrep_sym.equations import single
from relrep_sym.equations.generic import Generic
from relrep_sym.equations.linear import mean
from relrep_sym.equations.lines import (
    Line,
    at_one,
    jacobian_line,
    log_weighted_latex,
)
from relrep_sym.equations.nodes import Responsibility
from relrep_sym.equations.program import jacobian
from relrep_sym.equations.single import almost_everywhere

__all__ = ["hessian_lines", "second_derivatives"]


def hessian_lines(g: Generic, *, bends: bool) -> tuple[Line, ...]:
    r"""H_θ by components, and H_λ; the curvature term only where the chart ``bends``.

    >>> from relrep_sym.declare.chart import identity
    >>> from relrep_sym.declare.model import mixture
    >>> [line.left for line in hessian_lines(Generic(identity(mixture("normal", 2))), bends=False)]
    ['@\\ell_@k(@x)', '@{score}(@x)', '@H_@\\theta', '@H_@\\lambda', '@J']
    """
    lines = []
    whole: sp.Basic | str
    if g.model.components == 1:
        x = g.model.family.x
        whole = at_one(g, single.second(g.model.family)).applyfunc(lambda e: mean(e, x))
    else:
        own = r"@\ell_@k(@x)"
        count = script(str(g.model.components))
        inner = (
            rf"\sum_{{@k=1}}^{count} @r_@k(@x) \left({_second(own)} + {_outer(_slope(own))}\right)"
            r" - @{score}(@x) \, @{score}(@x)^{\top}"
        )
        whole = rf"@E_@q\left[{inner}\right]"
        lines.append(log_weighted_latex(g, own))
    if g.model.components > 1 or bends:
        lines.append(Line("@{score}(@x)", _slope(r"\log @p(@x)")))
    lines.append(Line(r"@H_@\theta", whole))
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
    real = {s: sp.Dummy(s.name, real=True) for s in entries}
    back = {d: s for s, d in real.items()}
    logs = [log.xreplace(real) for log in log_weighted]

    def slope(log: sp.Expr, *by: sp.Symbol) -> sp.Expr:
        return almost_everywhere(sp.diff(log, *(real[s] for s in by))).xreplace(back)

    firsts = [[slope(log, s) for s in entries] for log in logs]

    def in_theta(i: int, j: int) -> sp.Expr:
        terms = []
        for r, log, first in zip(responsibilities, logs, firsts, strict=True):
            inner = slope(log, entries[i], entries[j]) + first[i] * first[j]
            terms.append(r * inner)
        return sp.Add(*terms) - score[entries[i]] * score[entries[j]]

    if len(log_weighted) == 1:  # the one responsibility is 1, and the squares are the same
        whole = _mirrored(len(entries), lambda i, j: slope(logs[0], entries[i], entries[j]))
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
