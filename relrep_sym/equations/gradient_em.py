r"""Gradient EM: one step uphill on Q, which is one step of gradient ascent on L.

In: a chart, the components' log-weighted densities, the score. Out: the step's value and lines, and
both sides of what it rests on,

.. math:: \nabla_{\lambda'} Q(\lambda' \mid \lambda) \big|_{\lambda' = \lambda}
    = \nabla_\lambda L(\lambda),
    \quad Q(\lambda' \mid \lambda) = \operatorname{E}_q\Bigl[\sum_k r_k(x \mid \lambda)
    \log \pi_k f(x \mid \phi_k)\big|_{\lambda'}\Bigr],

the left with r_k held at λ and primed coordinates differentiated, the right through the mixture's
own logarithm (:func:`sides`). L is E_q[log p], so the step is gradient descent on KL(q ‖ p). Xu,
Fazel and Du (2024) say so of Q and of L = KL both (Fact 1), of which one has the other sign; their
equation (3) has Q without the factor ½, and with a minus.
"""

from __future__ import annotations

from collections.abc import Sequence

import sympy as sp

from relrep_sym.declare.chart import Chart
from relrep_sym.equations.generic import Generic
from relrep_sym.equations.lines import Line, each, pulled_averaged_lines
from relrep_sym.equations.nodes import Entry, Index, LogSumExp, Responsibility, Terms
from relrep_sym.equations.values import mean

__all__ = ["ETA", "gradient_em_column", "gradient_em_lines", "sides"]

ETA = sp.Symbol("eta", positive=True)
"""The rate: no coordinate has assumptions, so that it is another symbol than theirs."""


def sides(
    chart: Chart, log_weighted: Sequence[sp.Expr]
) -> tuple[sp.ImmutableMatrix, sp.ImmutableMatrix]:
    """Integrands of ∇_λ' Q(λ'|λ) at λ' = λ, and of ∇_λ L, each derived on its own; in coordinates.

    ``log_weighted`` are log π_k f_k in θ. In Q the responsibilities are put as numbers that no
    primed coordinate moves; in L there are none, and they come of differentiating log Σ exp.

    >>> from relrep_sym.declare.charts import relative
    >>> from relrep_sym.declare.model import mixture
    >>> from relrep_sym.equations.record import Record
    >>> chart = relative(mixture("normal", components=3, scales=1), "mu", gap="square")
    >>> q, l = sides(chart, Record("demo", chart).log_weighted)
    >>> (q - l).applyfunc(sp.expand) == sp.zeros(5, 1)
    True
    """
    primed = {s: sp.Dummy(f"{s.name}'") for s in chart.symbols}
    back = {d: s for s, d in primed.items()}
    logs = [a.xreplace(chart.unrolled) for a in log_weighted]
    held = [sp.Dummy(f"r_{k}") for k in range(1, len(logs) + 1)]
    q = sp.Add(*(r * a.xreplace(primed) for r, a in zip(held, logs, strict=True)))
    r = {h: Responsibility(k, *logs) for k, h in enumerate(held, start=1)}
    if len(logs) == 1:
        r = {held[0]: sp.Integer(1)}
    uphill = [sp.diff(q, primed[s]).xreplace(back).xreplace(r) for s in chart.symbols]
    total = LogSumExp(*logs) if len(logs) > 1 else logs[0]
    slopes = [sp.diff(total, s) for s in chart.symbols]
    return sp.ImmutableMatrix(uphill), sp.ImmutableMatrix(slopes)


def gradient_em_column(chart: Chart, score: Sequence[sp.Expr], x: sp.Symbol) -> sp.ImmutableMatrix:
    """λ⁺, entry by entry: each coordinate plus η times its mean score."""
    return sp.ImmutableMatrix(
        [s + ETA * mean(e, x) for s, e in zip(chart.symbols, score, strict=True)]
    )


def gradient_em_lines(g: Generic, column: Sequence[sp.Expr]) -> tuple[Line, ...]:
    r"""The step, what its direction is, and each coordinate's new value.

    >>> from relrep_sym.declare.chart import identity
    >>> from relrep_sym.declare.model import mixture
    >>> lines = gradient_em_lines(Generic(identity(mixture("poisson", components=2))), ())
    >>> lines[0].left, lines[1].right
    ('@\\lambda^+', '\\nabla_@\\lambda @L(@\\lambda)')
    >>> lines[-1].right
    Terms(rate[k], eta*Expectation(r[k]*(-rate[k] + x), x, q)/rate[k])
    """
    p = r"@\lambda"
    uphill = rf"\nabla_{{{p}'}} @Q({p}' \mid {p}) \big|_{{{p}' = {p}}}"
    lines = [
        Line(f"{p}^+", rf"{p} + @\eta \, {uphill}"),
        Line(uphill, rf"\nabla_{p} @L({p})"),
    ]
    if g.regular:
        for run in g.runs:
            i, where = each(run)
            step = Terms(_entry(run.stem, i), ETA * g.averaged(run, i))
            lines.append(Line(_entry(f"{run.stem}^+", i), step, where))
        return tuple(lines)
    if g.chart.intermediates:
        _, *parts = pulled_averaged_lines(g)
        total = r"@J^{\top} \frac{\partial @L}{\partial @\theta}"
        return (*lines, Line(rf"\nabla_{p} @L({p})", total), *parts)
    for name, value in zip(g.chart.names, column, strict=True):
        stem, number = g.entry(name)
        lines.append(Line(_entry(f"{stem}^+", number), value))
    return tuple(lines)


def _entry(stem: str, i: Index | None) -> Entry:
    return Entry(stem) if i is None else Entry.of(stem, i)
