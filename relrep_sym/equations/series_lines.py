r"""What a series shows: one line for each function, then the moments and what else stands in it.

In: a :class:`~.series.Series` and the chart's :class:`~.generic.Generic`. Out: lines, and in words
how far the series is valid.
"""

from __future__ import annotations

import sympy as sp

from relrep_sym.declare.symbols import script
from relrep_sym.equations import lines as show
from relrep_sym.equations.chart_lines import view_name
from relrep_sym.equations.generic import Generic
from relrep_sym.equations.lines import Line
from relrep_sym.equations.nodes import (
    Auxiliary,
    Density,
    Entry,
    Expectation,
    LogSumExp,
    Terms,
)
from relrep_sym.equations.overlap import Group
from relrep_sym.equations.series import Moment, Row, Series

__all__ = ["series_lines", "validity"]

_ETA = sp.Symbol("eta", positive=True)


def series_lines(series: Series, g: Generic) -> tuple[Line, ...]:
    r"""The rows, each with its O(·); then M_n, and the posterior probabilities of what stays apart.

    >>> from relrep_sym.declare.chart import identity
    >>> from relrep_sym.declare.model import mixture
    >>> from relrep_sym.declare.view import view
    >>> from relrep_sym.equations.series import expand_in
    >>> chart = identity(mixture("normal", 2, weights="1/2", scales=1))
    >>> seen = view(chart, {"u": "mu_1 - mu_2", "w": "(mu_1 + mu_2)/2"})
    >>> for line in series_lines(expand_in(seen, "u", 2), Generic(chart)):
    ...     print(line.left, "=", line.right)
    \frac{@du}{@d@t} = eta*Terms(u*Terms(M[2], -1)/2, @O(u^2))
    \frac{@dw}{@d@t} = eta*Terms(M[1]/2, -M[1]*u**2/8, @O(u^3))
    M[j] = Expectation((-w + x)**@j, x, q)
    """
    out = [Line(_left(series, g, row), _right(series, g, row)) for row in series.rows]
    x = series.overlap.family.x
    if series.moments:
        centre = _barred(series, g, series.centre)
        mean = Expectation((x - centre) ** sp.Symbol("@j"), x, sp.Symbol("q"))
        out.append(Line(Auxiliary.of("M", "j"), mean))
    if len(series.overlap.groups) > 1:
        out += _apart(series, g)
    return tuple(out)


def validity(series: Series, g: Generic) -> str:
    """In LaTeX's text: how far the series holds."""
    view = series.view
    vanishing = [view_name(g, view, s.name) for s in series.overlap.vanishing]
    held = [view_name(g, view, n) for n in view.names if n not in series.overlap.names]
    to = ", ".join(rf"${n} \to 0$" for n in vanishing)
    scale = "" if len(vanishing) == 1 else r" in proportion to $@\varepsilon$"
    at = f" at fixed ${', '.join(held)}$" if held else ""
    small = r"@\varepsilon" if scale else vanishing[0]
    order = rf"$@L$ is taken to order {series.order} in ${small}$"
    if series.of == "log_density":
        how = "for each $@x$, not uniformly in $@x$"
    else:
        how = r"for a density $@q$ with finite moments; it need not converge"
    return f"{order}. The expansion is asymptotic as {to}{scale}{at}, {how}."


def _left(series: Series, g: Generic, row: Row) -> str:
    if series.of == "averaged":
        return show.rate_left(view_name(g, series.view, row.name))
    return r"\log @p(@x)" if series.of == "log_density" else "@L"


def _right(series: Series, g: Generic, row: Row) -> sp.Expr:
    """Σ uⁿ c_n + O(·), in ascending order."""
    terms = [
        _barred(series, g, _shown(series, series.whole(n, c)))
        for n, c in sorted(row.coefficients.items())
    ]
    first = view_name(g, series.view, series.overlap.vanishing[0].name)
    base = first if series.overlap.single else r"@\varepsilon"
    power = script(str(row.remainder))
    left_out = base if row.remainder == 1 else f"{base}^{power}" if row.remainder else "1"
    body = Terms(*terms, sp.Symbol(f"@O({left_out})"))
    return _ETA * body if series.of == "averaged" else body


def _shown(series: Series, term: sp.Expr) -> sp.Expr:
    """A term whose long sum may be broken over lines, its posteriors under their own names."""
    names: dict[sp.Basic, sp.Basic] = {}
    if len(series.overlap.groups) > 1:  # of one group the posterior probability is the number 1
        pairs = zip(series.overlap.responsibilities, series.overlap.groups, strict=True)
        names = {node: _posterior(group) for node, group in pairs}
    moments = {m: Auxiliary.of("M", m.power) for m in term.atoms(Moment)}
    named = term.xreplace({**names, **moments})
    if series.overlap.family.support == "integers":
        named = named.replace(sp.loggamma, lambda a: sp.log(sp.factorial(a - 1)))
    factors = sp.Mul.make_args(named)
    random = (Auxiliary, Expectation, series.overlap.family.x)
    sums = [f for f in factors if f.is_Add and f.has(*random)]
    if len(sums) != 1 or series.of == "log_density" or named.has(LogSumExp):
        return named
    content, inner = sums[0].primitive()
    ordered = sorted(inner.args, key=lambda a: (-_degree(a), sp.default_sort_key(a)))
    return sp.Mul(content, *(f for f in factors if f is not sums[0]), Terms(*ordered))


def _degree(term: sp.Expr) -> int:
    """The power of x whose mean it holds."""
    found = [int(m.index) for m in term.atoms(Auxiliary)]
    for e in term.atoms(Expectation):
        bases = [f.as_base_exp() for f in sp.Mul.make_args(e.args[0])]
        found += [int(n) for base, n in bases if n.is_Integer and e.args[1] in base.free_symbols]
    return max(found, default=0)


def _posterior(group: Group) -> sp.Symbol:
    """The name of a group's posterior probability: that of its components' numbers."""
    numbers = ",".join(str(k + 1) for k in group.members)
    return sp.Symbol(rf"@{{rho}}_{{{numbers}}}(@x)")


def _barred(series: Series, g: Generic, expression: sp.Expr) -> sp.Expr:
    """An expression in the view's functions, those under a bar that are named under one."""
    names = {n: view_name(g, series.view, n) for n in series.view.names}
    bars = {sp.Symbol(n): Entry(f"-{n}") for n, shown in names.items() if r"\bar" in shown}
    return expression.xreplace(bars)


def _apart(series: Series, g: Generic) -> list[Line]:
    """ρ_g(x) and the mixture where the overlap vanishes."""
    family = series.overlap.family
    fixed = [p.name in g.constants for p in family.parameters]
    groups = series.overlap.groups
    weighted = []
    for group in groups:
        free = [v for v, known in zip(group.parameters, fixed, strict=True) if not known]
        weighted.append(_barred(series, g, group.weight * Density(*free)))
    whole = sp.Symbol("@p_0(@x)")
    lines = [
        Line(_posterior(group), w / whole)
        for group, w in zip(groups[:-1], weighted[:-1], strict=True)
    ]
    return [*lines, Line(whole, Terms(*weighted))]
