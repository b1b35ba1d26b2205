r"""How a model, a chart and a view show themselves in a notebook.

In: what was declared. Out: LaTeX between double dollars, of names and expressions as they were
stated. Equations are set by :mod:`relrep_sym.emit`, a floor above; this is for a look.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import sympy as sp
from sympy.printing.latex import LatexPrinter

from relrep_sym.declare.symbols import latex_name

if TYPE_CHECKING:
    from relrep_sym.declare.chart import Chart
    from relrep_sym.declare.model import Mixture
    from relrep_sym.declare.view import View

__all__ = ["chart_latex", "mixture_latex", "view_latex"]


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
