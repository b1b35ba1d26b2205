"""Equations in a terminal: two-dimensional, as wide as the window, in Unicode or plain ASCII.

In: an :class:`~relrep_sym.equations.record.Equation`. Out: text to read, not to parse: r_k(x)
stands for a responsibility, E_q[…] for an expectation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import sympy as sp
from sympy.printing.pretty.pretty import PrettyPrinter
from sympy.printing.pretty.pretty_symbology import greek_unicode, pretty_use_unicode
from sympy.printing.pretty.stringpict import prettyForm

from relrep_sym.equations.nodes import Expectation, LogSumExp, Responsibility
from relrep_sym.equations.record import PAPERS, Equation, Line

__all__ = ["show", "sources"]


def show(equation: Equation, *, width: int = 80, unicode: bool = True) -> str:
    """The equation with its title, label, sources and functions.

    >>> from relrep_sym.declare.chart import relative
    >>> from relrep_sym.declare.model import mixture
    >>> from relrep_sym.equations.record import Record
    >>> record = Record("demo", relative(mixture("normal", components=2, scales=1), "mu"))
    >>> print(show(record["jacobian"], unicode=False).partition("functions")[0])
    jacobian: Jacobian of the chart
      label      eq:demo:jacobian
    >>> print(show(record["score"], unicode=False).splitlines()[-2])
      --------(log p(x)) = (-mu_2 + x)*r_2(x)
    """
    head = [f"{equation.name}: {equation.title}", f"  label      {equation.label}"]
    head += [f"  source     {cited}" for cited in equation.cites]
    if equation.kernels:
        head.append(f"  functions  {', '.join(equation.kernels)}")
    before = pretty_use_unicode(unicode)  # SymPy keeps it for the whole process
    try:
        shown = [_line(line, width, unicode) for line in equation.lines]
    finally:
        pretty_use_unicode(before)
    text = "\n\n".join(["\n".join(head), *shown])
    return text if unicode else text.replace("–", "-").encode("ascii", "replace").decode()


def sources(equations: Iterable[Equation]) -> str:
    """What the keys that equations cite stand for."""
    keys = sorted({c.split(",")[0] for e in equations for c in e.cites})
    return "\n".join(f"{key}: {PAPERS[key]}" for key in keys if key in PAPERS)


class _Printer(PrettyPrinter):
    """SymPy's printer with this package's nodes, and with names that are LaTeX read aloud."""

    def _print_Symbol(self, expr: sp.Symbol, bold_name: bool = False) -> prettyForm:
        name, new, _ = expr.name.partition("^+")
        if new:  # the value after a step
            mark = "⁺" if self._use_unicode else "^+"
            return prettyForm(*self._print(sp.Symbol(name)).right(mark))
        if "\\" in name:
            return prettyForm(_plain(name, self._use_unicode))
        return super()._print_Symbol(expr, bold_name)

    _print_Parameter = _print_Symbol

    def _print_Responsibility(self, expr: Responsibility) -> prettyForm:
        return self._print(sp.Function(f"r_{expr.component}")(sp.Symbol("x")))

    def _print_LogSumExp(self, expr: LogSumExp) -> prettyForm:
        return self._print(sp.log(sp.Add(*(_weighted(a) for a in expr.args)), evaluate=False))

    def _print_Expectation(self, expr: Expectation) -> prettyForm:
        inner = prettyForm(*self._print(expr.args[0]).parens("[", "]"))
        return prettyForm(*inner.left(f"E_{expr.args[2]}"), binding=prettyForm.FUNC)

    def _print_Derivative(self, expr: sp.Derivative) -> prettyForm:
        over, below = expr.args[0], expr.args[1][0]
        if isinstance(over, sp.core.function.AppliedUndef):  # λ(t): its rate
            over = sp.Symbol(over.func.__name__)
            return prettyForm(*prettyForm("d").right(self._print(over))) / prettyForm(
                *prettyForm("d").right(self._print(below))
            )
        return super()._print_Derivative(expr)

    @property
    def _use_unicode(self) -> bool:
        return bool(self._settings["use_unicode"])


def _weighted(logarithm: sp.Expr) -> sp.Expr:
    """exp of a log-weighted density: logarithms come out as factors."""
    terms = sp.Add.make_args(logarithm)
    logs = [t for t in terms if t.has(sp.log) and not t.has(sp.Symbol("x", real=True))]
    rest = sp.Add(*(t for t in terms if t not in logs))
    return sp.Mul(sp.exp(sp.Add(*logs)), sp.exp(rest), evaluate=False)


def _line(line: Line, width: int, unicode: bool) -> str:
    left, right, sign = line.left, line.right, "="
    if isinstance(left, Responsibility) and right == left.args[left.component]:
        right, sign = _weighted(right), "∝" if unicode else "~"
    shown_left, shown_right = _side(left, unicode), _side(right, unicode)
    joined = prettyForm(*shown_left.right(f" {sign} "))
    joined = prettyForm(*joined.right(shown_right))
    settings = {"wrap_line": True, "num_columns": max(width - 2, 30), "use_unicode": unicode}
    text = joined.render(**settings)
    return "\n".join(f"  {row}".rstrip() for row in text.split("\n"))


def _side(side: sp.Basic | str, unicode: bool) -> prettyForm:
    if isinstance(side, str):
        return prettyForm(_plain(side, unicode))
    return _Printer({"use_unicode": unicode, "wrap_line": False})._print(side)


_WORDS = {
    r"\partial": ("∂", "d"),
    r"^{\top}": ("ᵀ", "^T"),
    r"^{\!\top}": ("ᵀ", "^T"),
    r"\|": ("‖", "||"),
}


def _plain(latex: str, unicode: bool) -> str:
    r"""LaTeX of the record's own, as it is read.

    >>> _plain(r"\frac{\partial \theta}{\partial \lambda}", True)
    '∂θ/∂λ'
    >>> _plain(r"\mathrm{KL}(q \,\|\, p)", False)
    'KL(q || p)'
    """
    text = latex
    for word, (fancy, ascii_) in _WORDS.items():
        text = text.replace(word, fancy if unicode else ascii_)
    text = re.sub(r"\\(left|right|,|!|;)", "", text)
    text = re.sub(r"\\mathrm\{(.*?)\}", r"\1", text)
    text = re.sub(r"\\frac\{(.*?)\}\{(.*?)\}", r"\1/\2", text)
    text = re.sub(r"([∂d]) +(?=\\)", r"\1", text)

    def named(found: re.Match[str]) -> str:
        return greek_unicode.get(found[1], found[1]) if unicode else found[1]

    return re.sub(r" +", " ", re.sub(r"\\([A-Za-z]+)", named, text)).strip()
