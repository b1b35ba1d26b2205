r"""LaTeX: symbols as in the papers, long sums broken, stable labels; amsmath alone.

In: a :class:`~relrep_sym.equations.record.Record`. Out: fragments by label, or one document.
"""

from __future__ import annotations

import sympy as sp
from sympy.printing.latex import LatexPrinter

from relrep_sym.declare.symbols import latex_name
from relrep_sym.equations.record import PAPERS, Equation, Line, Record

__all__ = ["document", "fragment", "tex"]

WIDTH = 110
"""Characters of LaTeX source after which a sum goes on in a new line."""


class _Printer(LatexPrinter):
    """SymPy's printer with this package's names and opaque nodes."""

    def _print_Symbol(self, expr: sp.Symbol, style: str = "plain") -> str:
        name = expr.name
        if "\\" in name or "{" in name:
            return name
        if name.endswith("^+"):
            return latex_name(name[:-2]) + "^{+}"
        return latex_name(name)

    _print_Parameter = _print_Symbol

    def _print_Derivative(self, expr: sp.Derivative) -> str:
        over, below = expr.args[0], expr.args[1][0]
        if isinstance(over, sp.core.function.AppliedUndef):
            return rf"\frac{{d{latex_name(over.func.__name__)}}}{{d{self._print(below)}}}"
        return rf"\frac{{\partial {self._print(over)}}}{{\partial {self._print(below)}}}"

    def _print_Float(self, expr: sp.Float) -> str:
        return str(expr)


def tex(expression: sp.Basic | str) -> str:
    r"""The LaTeX of an expression, in the papers' symbols.

    >>> tex(sp.Symbol("Delta_sigma_1") ** 2)
    '\\left(\\Delta^{\\sigma}_{1}\\right)^{2}'
    """
    if isinstance(expression, str):
        return expression
    return _Printer({"mul_symbol": None}).doprint(expression)


def fragment(equation: Equation) -> str:
    r"""One equation as an ``align`` with its label, to \input where it is needed."""
    rows = [_row(line) for line in equation.lines]
    body = " \\\\\n".join(rows)
    return (
        "\\begin{align}\n\\begin{split}\n"
        + body
        + "\n\\end{split}\n\\label{"
        + equation.label
        + "}\n\\end{align}\n"
    )


def _row(line: Line) -> str:
    left = tex(line.left)
    pieces = _broken(line.right)
    first, *rest = pieces
    out = f"  {left} &= {first}"
    for piece in rest:
        out += f" \\\\\n    &\\quad {piece}"
    return out


def _broken(right: sp.Basic | str) -> list[str]:
    """The right side in pieces of about WIDTH characters, broken between terms of a sum."""
    whole = tex(right)
    if len(whole) <= WIDTH or not isinstance(right, sp.Add):
        return [whole]
    pieces, current = [], ""
    for term in right.as_ordered_terms():
        shown = tex(term)
        joined = shown if shown.startswith("-") else f"+ {shown}"
        if current and len(current) + len(joined) > WIDTH:
            pieces.append(current)
            current = joined
        else:
            current = f"{current} {joined}" if current else shown
    return [*pieces, current]


def document(record: Record) -> str:
    """A whole document for one derivation: it compiles with amsmath alone."""
    lines = [
        r"\documentclass[a4paper]{article}",
        r"\usepackage{amsmath,amssymb}",
        r"\begin{document}",
    ]
    for equation in record:
        lines += [rf"\paragraph{{{equation.title}.}}", fragment(equation)]
    cited = sorted({c.split(",")[0] for e in record for c in e.cites})
    if cited:
        lines.append(r"\paragraph{Sources.}")
        lines += [rf"{key}: {PAPERS[key]}.\par" for key in cited]
    lines += [r"\end{document}", ""]
    return "\n".join(lines)
