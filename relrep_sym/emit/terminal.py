"""Equations in a terminal: two-dimensional, as wide as the window, in Unicode or plain ASCII.

In: an :class:`~relrep_sym.equations.record.Equation`, its sides SymPy or the record's own LaTeX.
Out: text to read. Both kinds of sides go through one layout, so that a symbol looks the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import sympy as sp
from sympy.printing.pretty.pretty import PrettyPrinter
from sympy.printing.pretty.pretty_symbology import greek_unicode, pretty_use_unicode
from sympy.printing.pretty.pretty_symbology import sub as SUBSCRIPTS
from sympy.printing.pretty.pretty_symbology import sup as SUPERSCRIPTS
from sympy.printing.pretty.stringpict import prettyForm, stringPict

from relrep_sym.declare.symbols import latex_name
from relrep_sym.equations.nodes import ComponentSum, Expectation, Posterior, Terms
from relrep_sym.equations.record import PAPERS, Equation, Line

__all__ = ["show", "sources"]


def show(equation: Equation, *, width: int = 80, unicode: bool = True) -> str:
    """The equation with its title, label, sources and functions.

    >>> from relrep_sym.declare.charts import relative
    >>> from relrep_sym.declare.model import mixture
    >>> from relrep_sym.equations.record import Record
    >>> record = Record("demo", relative(mixture("normal", components=8, scales=1), "mu"))
    >>> print(show(record["chart"], unicode=False).partition("functions")[0])
    chart: relative chart on mu, plain gap
      label      eq:demo:chart
      source     000, section 2
    >>> print(show(record["chart"], unicode=False).splitlines()[7])
      mu_k = Delta_(k-1) + mu_(k-1)    (k = 2, ..., 8)
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


def _line(line: Line, width: int, unicode: bool) -> str:
    layout = _Layout(unicode)
    form = _row(layout.side(line.left), prettyForm(" = "), layout.side(line.right))
    if line.where:
        form = _row(form, prettyForm("    ("), layout.read(line.where), prettyForm(")"))
    settings = {"wrap_line": True, "num_columns": max(width - 2, 30), "use_unicode": unicode}
    return "\n".join(f"  {row}".rstrip() for row in form.render(**settings).split("\n"))


def _row(*parts: stringPict) -> prettyForm:
    return prettyForm(*stringPict.next(*parts)) if parts else prettyForm("")


def _name(symbol: sp.Symbol) -> str:
    """A symbol in LaTeX: ``mu[k-1]`` is an entry, ``mu^+`` the value after a step."""
    if "\\" in symbol.name:
        return str(symbol.name)
    stem, _, index = symbol.name.partition("[")
    stem, new, _ = stem.partition("^+")
    shown = latex_name(stem, index[:-1] or None) + new
    return f"{shown}(x)" if isinstance(symbol, Posterior) else shown


class _Printer(PrettyPrinter):
    """SymPy's printer with this package's nodes."""

    def __init__(self, layout: _Layout) -> None:
        super().__init__({"use_unicode": layout.unicode, "wrap_line": False})
        self.layout = layout

    def _print_Symbol(self, expr: sp.Symbol) -> prettyForm:
        return self.layout.read(_name(expr))

    _print_Parameter = _print_Entry = _print_Posterior = _print_Symbol

    def _print_Expectation(self, expr: Expectation) -> prettyForm:
        inner = prettyForm(*self._print(expr.args[0]).parens("[", "]"))
        return prettyForm(*inner.left(f"E_{expr.args[2]}"), binding=prettyForm.FUNC)

    def _print_Terms(self, expr: Terms) -> prettyForm:
        return self._print_Add(sp.Add(*expr.args, evaluate=False), order="none")

    def _print_ComponentSum(self, expr: ComponentSum) -> prettyForm:
        body, letter, first, last = expr.args
        inner = self._print(body)
        if inner.binding in (prettyForm.ADD, prettyForm.NEG) or isinstance(body, Terms):
            inner = prettyForm(*inner.parens())
        sigma = self.layout.sigma(prettyForm(f"{letter}={first}"), prettyForm(str(last)))
        return prettyForm(*sigma.right(" ", inner), binding=prettyForm.MUL)


# ----------------------------------------------------------------------------- LaTeX, laid out

_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|[{}_^]|\s+|[^\\{}_^\s]")
_SIGNS = {  # LaTeX: Unicode, ASCII
    r"\partial": ("∂", "d"),
    r"\sum": ("Σ", "Sum"),
    r"\mid": ("|", "|"),
    r"\|": ("‖", "||"),
    r"\dots": ("…", "..."),
    r"\le": ("≤", "<="),
    r"\quad": ("  ", "  "),
    r"\,": ("", ""),
    r"\!": ("", ""),
    r"\top": ("ᵀ", "T"),
}
_ACCENTS = {r"\tilde": ("\u0303", "~"), r"\bar": ("\u0304", "_bar")}


class _Layout:
    """Lays out what the record writes in LaTeX: scripts, fractions, brackets, sums, words."""

    def __init__(self, unicode: bool) -> None:
        self.unicode = unicode
        self.tokens: list[str] = []

    def side(self, side: sp.Basic | str) -> prettyForm:
        return self.read(side) if isinstance(side, str) else _Printer(self)._print(side)

    def read(self, latex: str) -> prettyForm:
        """The LaTeX as a form; what it does not know is shown as it is written."""
        outer, self.tokens = self.tokens, _TOKEN.findall(latex)[::-1]
        form = self._until("")
        self.tokens = outer
        return form

    def sigma(self, below: prettyForm, above: prettyForm) -> prettyForm:
        form = prettyForm(_SIGNS[r"\sum"][not self.unicode])
        form = prettyForm(*form.below(below))
        height = above.height()
        form = prettyForm(*form.above(above))
        form.baseline = height
        return form

    def _until(self, end: str) -> prettyForm:
        parts: list[stringPict] = []
        while self.tokens:
            token = self.tokens.pop()
            if token == end:
                break
            parts.append(self._atom(token))
        return _row(*parts)

    def _group(self) -> prettyForm:
        """The next argument: what stands in braces, or one token."""
        token = self.tokens.pop() if self.tokens else ""
        return self._until("}") if token == "{" else self._atom(token)

    def _atom(self, token: str) -> prettyForm:
        if token == "{":
            return self._until("}")
        if token in (r"\frac", r"\tfrac"):
            above = self._group()
            return above / self._group()
        if token == r"\sum":
            return self._sum()
        if token == r"\left":
            left = self.tokens.pop()
            inner = self._until(r"\right")
            return prettyForm(*inner.parens(left, self.tokens.pop()))
        if token in _ACCENTS:
            return _row(self._group(), prettyForm(_ACCENTS[token][not self.unicode]))
        if token in (r"\mathrm", r"\operatorname", r"\text"):
            return self._group()
        if token in ("_", "^"):
            return self._script(token)
        return prettyForm(self._word(token))

    def _sum(self) -> prettyForm:
        limits = {"_": prettyForm(""), "^": prettyForm("")}
        while self.tokens and self.tokens[-1] in limits:
            mark = self.tokens.pop()
            limits[mark] = self._group()
        return self.sigma(limits["_"], limits["^"])

    def _script(self, mark: str) -> prettyForm:
        text = str(self._group())
        table = SUBSCRIPTS if mark == "_" else {**SUPERSCRIPTS, "ᵀ": "ᵀ", "⁺": "⁺", "+": "⁺"}
        if self.unicode and all(c in table for c in text):
            return prettyForm("".join(table[c] for c in text))
        return prettyForm(mark + (text if text.isalnum() or text == "+" else f"({text})"))

    def _word(self, token: str) -> str:
        if token in _SIGNS:
            if token == r"\partial" and self.tokens and self.tokens[-1].isspace():
                self.tokens.pop()
            return _SIGNS[token][not self.unicode]
        if token.isspace():
            return " "
        name = token.removeprefix("\\")
        if name in greek_unicode and token != name:
            return str(greek_unicode[name]) if self.unicode else name
        if token != name and self.tokens and self.tokens[-1].startswith("\\"):
            return f"{name} "  # \log\sigma
        return name
