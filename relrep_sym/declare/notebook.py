r"""How a family, a model, a chart, a view and a truth show themselves.

In: what was declared. Out: for a notebook, LaTeX between double dollars, of names and expressions
as they were stated; for a prompt, lists that stay short. Equations are set by
:mod:`relrep_sym.emit`, a floor above; this is for a look.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import sympy as sp
from sympy.printing.latex import LatexPrinter

from relrep_sym.declare.symbols import latex_name

if TYPE_CHECKING:
    from relrep_sym.declare.chart import Chart
    from relrep_sym.declare.density import Family
    from relrep_sym.declare.model import Mixture
    from relrep_sym.declare.truth import Truth
    from relrep_sym.declare.view import View

__all__ = ["chart_latex", "family_latex", "listed", "mixture_latex", "truth_latex", "view_latex"]


def listed(items: Iterable[object], most: int = 8, mark: str = ", ") -> str:
    """A list on one line, its middle left out where it is long.

    >>> listed("abc"), listed(range(100), most=4)
    ('a, b, c', '0, 1, 2, …, 99 (100 of them)')
    """
    shown = [text if len(text := str(item)) <= 60 else f"{text[:57]}…" for item in items]
    if len(shown) <= most:
        return mark.join(shown)
    return f"{mark.join([*shown[: most - 1], '…', shown[-1]])} ({len(shown)} of them)"


class _Printer(LatexPrinter):
    """SymPy's printer, names set as the equations set them."""

    def _print_Symbol(self, expr: sp.Symbol, style: str = "plain") -> str:
        return latex_name(expr.name)

    _print_Parameter = _print_Constant = _print_Symbol


def _aligned(rows: Iterable[tuple[str, str]]) -> str:
    return _rows([f"{left} &= {right}" for left, right in rows])


def _rows(rows: Iterable[str]) -> str:
    inner = " \\\\\n".join(rows)
    return f"$$\\begin{{aligned}}\n{inner}\n\\end{{aligned}}$$"


def _printed(expression: sp.Expr) -> str:
    return _Printer({"mul_symbol": None, "fold_short_frac": False}).doprint(expression)


def family_latex(family: Family) -> str:
    r"""The logarithm of the density.

    >>> from relrep_sym.declare.family import family_named
    >>> print(family_latex(family_named("exponential")))
    $$\begin{aligned}
    \log f(x \mid \rho) &= - \rho x + \log{\left(\rho \right)}
    \end{aligned}$$
    """
    names = ", ".join(latex_name(p.name) for p in family.parameters)
    return _aligned([(rf"\log f(x \mid {names})", _printed(family.log_density))])


def truth_latex(truth: Truth) -> str:
    r"""The density of the truth.

    >>> from relrep_sym.declare.truth import truth
    >>> print(truth_latex(truth("poisson", weights=["1/3", "2/3"], rates=[1, 4])))
    $$\begin{aligned}
    q(x) &= \frac{1}{3} f(x \mid 1) + \frac{2}{3} f(x \mid 4), \quad f \text{ poisson}
    \end{aligned}$$
    """
    terms = []
    for weight, *row in zip(truth.weights, *truth.parameters, strict=True):
        factor = "" if weight == 1 else _printed(weight) + " "
        terms.append(rf"{factor}f(x \mid {', '.join(map(_printed, row))})")
    name = "".join(c if c.isalnum() else " " for c in truth.family.name)
    return _aligned([("q(x)", rf"{' + '.join(terms)}, \quad f \text{{ {name}}}")])


def mixture_latex(model: Mixture) -> str:
    r"""The density, and what is fixed.

    >>> from relrep_sym.declare.model import mixture
    >>> print(mixture_latex(mixture("normal", components=2, scales=1)))
    $$\begin{aligned}
    p(x) &= \sum_{k=1}^{2} \pi_k f(x \mid \mu_k, \sigma_k), \quad f \text{ normal} \\
    \theta &= \left(\pi_1, \mu_1, \mu_2\right) \\
    \sigma_1 &= 1 \\
    \sigma_2 &= 1
    \end{aligned}$$
    """
    tied = {
        p.name
        for p, pattern in zip(model.family.parameters, model.patterns, strict=True)
        if pattern == "tied"
    }
    inner = ", ".join(
        latex_name(p.name, None if p.name in tied else "k") for p in model.family.parameters
    )
    density = rf"\sum_{{k=1}}^{{{model.components}}} \pi_k f(x \mid {inner})"
    name = "".join(c if c.isalnum() else " " for c in model.family.name)
    rows = [("p(x)", rf"{density}, \quad f \text{{ {name}}}")]
    rows.append((r"\theta", rf"\left({', '.join(map(latex_name, model.names))}\right)"))
    rows += [(latex_name(n), _printed(v)) for n, v in model.fixed.items()]
    return _aligned(rows)


def chart_latex(chart: Chart) -> str:
    r"""The coordinates, and the entries of θ that are something else.

    >>> from relrep_sym.declare.charts import relative
    >>> from relrep_sym.declare.model import mixture
    >>> print(chart_latex(relative(mixture("poisson", components=2), "rate")))
    $$\begin{aligned}
    \left(\pi_1, \rho_1, \Delta_{\rho,1}\right) &\in [0, 1] \times (0, \infty) \times [0, \infty) \\
    \rho_2 &= \rho_1 + \Delta_{\rho,1}
    \end{aligned}$$
    """
    names = ", ".join(latex_name(n) for n in chart.names)
    where = r" \times ".join(c.domain.latex for c in chart.coordinates)
    rows = [
        f"{latex_name(p.name)} &= {_printed(rule)}"
        for p, rule in chart.program
        if not (rule.is_Symbol and rule.name == p.name)
    ]
    return _rows([rf"\left({names}\right) &\in {where}", *rows])


def view_latex(view: View) -> str:
    r"""The view's functions of the coordinates.

    >>> from relrep_sym.declare.chart import identity
    >>> from relrep_sym.declare.model import mixture
    >>> from relrep_sym.declare.view import view
    >>> print(view_latex(view(identity(mixture("poisson", components=2)), {"v": "2*pi_1"})))
    $$\begin{aligned}
    v &= 2 \pi_1
    \end{aligned}$$
    """
    pairs = zip(view.names, view.expressions, strict=True)
    return _aligned((latex_name(n), _printed(e)) for n, e in pairs)
