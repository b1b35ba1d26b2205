r"""Q, the expected complete-data log-likelihood that the M-step maximises.

In: a chart, the log-weighted densities and the responsibilities of its model. Out: its value and
its lines,

.. math:: Q(\lambda^+ \mid \lambda) = \sum_k N_k \log \pi_k^+
          + \sum_k \mathbb{E}_q[r_k(x) \log f(x \mid \varphi_k^+)].

It is E[log p(x, z)], z drawn from its posterior at the present λ. Not E[log p(x)], as line 5 of
Esser and Nielsen's (2022) Algorithm 1 prints: nothing in log p(x) depends on z, so that its mean
over z is the log-likelihood itself, and to maximise it is what EM avoids.
"""

from __future__ import annotations

from collections.abc import Sequence

import sympy as sp

from relrep_sym.declare.chart import Chart
from relrep_sym.equations.generic import Generic
from relrep_sym.equations.lines import (
    Line,
    density,
    density_latex,
    name_at,
    numbers_to,
    where_text,
)
from relrep_sym.equations.nodes import (
    Auxiliary,
    ComponentSum,
    Entry,
    Expectation,
    Responsibility,
    Terms,
)
from relrep_sym.equations.values import mean

__all__ = ["expected_complete", "mass_line", "new_density", "q_left", "q_lines"]


def expected_complete(
    chart: Chart,
    log_densities: Sequence[sp.Expr],
    responsibilities: Sequence[Responsibility],
    x: sp.Symbol,
) -> sp.Expr:
    """Q as a function of the new coordinates; the present parameters are in r_k(x) alone.

    New coordinates are plain symbols, present parameters those of θ: they differ also where they
    are spelled alike, so that a derivative by a coordinate holds the responsibilities.
    """
    new = chart.every_value
    total: list[sp.Expr] = []
    terms = zip(chart.weight_expressions, log_densities, responsibilities, strict=True)
    for weight, density_of, r in terms:
        total.append(sp.log(weight.xreplace(new)) * mean(r, x))
        total.append(mean(r * density_of.xreplace(new), x))
    return sp.Add(*total)


def q_left() -> str:
    """Q(λ⁺ | λ)."""
    return r"@Q(@\lambda^+ \mid @\lambda)"


def new_density(g: Generic, i: str | int | None) -> str:
    r"""f(x | φ_i⁺)."""
    shown = [
        name_at(p.name, None if p.name in g.tied else i) + "^+"
        for p in g.model.family.parameters
        if p.name not in g.constants
    ]
    return rf"@f(@x \mid {', '.join(shown)})" if shown else "@f(@x)"


def mass_line(g: Generic) -> Line:
    """N_k = E_q[r_k]."""
    n = Expectation(g.posterior("k"), g.model.family.x, sp.Symbol("q"))
    return Line(Auxiliary.of("N", "k"), n, where_text(numbers_to(g.model.components)))


def q_lines(g: Generic) -> tuple[Line, ...]:
    r"""Q in the components' densities, N_k, and the density.

    >>> from relrep_sym.declare.chart import identity
    >>> from relrep_sym.declare.model import mixture
    >>> for line in q_lines(Generic(identity(mixture("poisson", components=2)))):
    ...     print(line.left, "=", line.right)  # doctest: +ELLIPSIS
    @Q(@\lambda^+ \mid @\lambda) = Terms(ComponentSum(N[k]*log(pi^+[k]), k, 1, 2), Compo...
    N[k] = Expectation(r[k], x, q)
    @f(@x \mid \rho) = rate**x*exp(-rate)/factorial(x)
    """
    x, count = g.model.family.x, g.model.components
    shown = new_density(g, "k" if count > 1 else 1)
    logarithm = sp.log(sp.Symbol(shown), evaluate=False)
    last = Line(density_latex(g, None), density(g))
    if count == 1:
        return Line(q_left(), Expectation(logarithm, x, sp.Symbol("q"))), last
    inner = Expectation(g.posterior("k") * logarithm, x, sp.Symbol("q"))
    data = ComponentSum.over(inner, "k", 1, count)
    given = g.constants.get("weight")
    if given is None:
        weights = ComponentSum.over(
            Auxiliary.of("N", "k") * sp.log(Entry("pi^+[k]"), evaluate=False), "k", 1, count
        )
    else:  # the masses sum to one
        weights = sp.log(given)
    first = Line(q_left(), Terms(weights, data))
    return (first, mass_line(g), last) if given is None else (first, last)
