"""Equations in a terminal: two-dimensional, as wide as the window, in Unicode or plain ASCII.

In: an :class:`~relrep_sym.equations.record.Equation`. Out: text to read. Both sides are read from
the LaTeX that a paper gets, so that terms stand in the same order and a symbol looks the same; what
is too wide is broken where the paper's lines may be, a matrix between its columns.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable

import sympy as sp
from sympy.printing.pretty.pretty_symbology import greek_unicode, pretty_use_unicode, vobj
from sympy.printing.pretty.pretty_symbology import sub as SUBSCRIPTS
from sympy.printing.pretty.pretty_symbology import sup as SUPERSCRIPTS
from sympy.printing.pretty.stringpict import prettyForm, stringPict

from relrep_sym.emit.latex import notation_of
from relrep_sym.emit.measure import filled
from relrep_sym.emit.notation import Notation
from relrep_sym.emit.typeset import marked, pieces
from relrep_sym.equations.record import Equation, Line
from relrep_sym.equations.sources import SOURCES, cited

__all__ = ["show", "sources", "takes_unicode"]


def show(equation: Equation, *, width: int = 80, unicode: bool = True) -> str:
    """The equation with its title, label, sources and functions.

    >>> from relrep_sym.declare.charts import relative
    >>> from relrep_sym.declare.model import mixture
    >>> from relrep_sym.equations.record import Record
    >>> record = Record("demo", relative(mixture("normal", components=8, scales=1), "mu"))
    >>> print(show(record["chart"], unicode=False).partition("functions")[0])
    chart: relative chart on mu, plain gap
      label      eq:demo:chart
      source     EsserNielsen2022, section 2
    >>> print(show(record["chart"], unicode=False).splitlines()[7])
      mu_k = mu_(k-1) + Delta_(k-1)    (k = 2, ..., 8)
    """
    head = [f"{equation.name}: {equation.title}", f"  label      {equation.label}"]
    head += [f"  source     {_source(c)}" for c in equation.cites]
    if equation.kernels:
        head.append(f"  functions  {', '.join(equation.kernels)}")
    before = pretty_use_unicode(unicode)  # SymPy keeps it for the whole process
    try:
        notation = notation_of(equation)
        shown = [_line(line, width, unicode, notation) for line in equation.lines]
    finally:
        pretty_use_unicode(before)
    text = "\n\n".join(["\n".join(head), *shown])
    return text if unicode else text.replace("–", "-").encode("ascii", "replace").decode()


def sources(equations: Iterable[Equation]) -> str:
    """What the keys that equations cite stand for."""
    found = cited(c for e in equations for c in e.cites)
    return "\n".join(f"{s.key}: {s.text}" for s in found)


def _source(cite: str) -> str:
    """A citation by its BibTeX key, as in the LaTeX, and the place."""
    key, mark, place = cite.partition(", ")
    return SOURCES[key].key + mark + place


def takes_unicode() -> bool:
    """Whether standard output can print what a Unicode equation is made of."""
    try:
        "⎡∂θ≤⎤".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def _line(line: Line, width: int, unicode: bool, notation: Notation) -> str:
    """One line: whole, or in rows that are each no wider than the window where they can be."""
    layout = _Layout(unicode, notation)
    left = _row(layout.read(marked(line.left)), prettyForm(" = "))
    where = prettyForm("")
    if line.where:
        where = _row(prettyForm("    ("), layout.read(line.where), prettyForm(")"))
    room = max(width - 2, 30) - left.width()
    rows = [layout.read(marked(line.right))]
    if rows[0].width() + where.width() > room:
        rows = _broken(line.right, layout, room)
    forms = [_row(left, rows[0]), *(_row(prettyForm(" " * left.width()), r) for r in rows[1:])]
    if where.width() and (len(forms) > 1 or forms[0].width() + where.width() > width - 2):
        forms.append(_row(prettyForm(" " * left.width()), where))
    else:
        forms[0] = _row(forms[0], where)
    settings = {"wrap_line": True, "num_columns": max(width - 2, 30), "use_unicode": unicode}
    shown = [form.render(**settings) for form in forms]
    return "\n".join(f"  {row}".rstrip() for text in shown for row in text.split("\n"))


def _broken(right: sp.Basic | str, layout: _Layout, room: int) -> list[prettyForm]:
    """A right side in rows."""
    if isinstance(right, sp.MatrixBase):
        return _blocks(right, layout, room)
    rows: list[prettyForm] = []
    for points in (5.0, 3.0, 1.5, 0.0):  # on paper, for a column of the window, about
        parts = pieces(right, room * points)
        lines = filled(parts, room, lambda p: layout.read(p).width())
        rows = [layout.read(line) for line in lines]
        if max(row.width() for row in rows) <= room:
            break
    return rows


def _blocks(matrix: sp.MatrixBase, layout: _Layout, room: int) -> list[prettyForm]:
    """A matrix in blocks of columns that fit, each with the numbers of its columns above."""
    rows: list[prettyForm] = []
    first = 0
    while first < matrix.cols:
        last = first + 1
        block = layout.read(marked(matrix[:, first:last]))
        while last < matrix.cols:
            wider = layout.read(marked(matrix[:, first : last + 1]))
            if wider.width() > room:
                break
            block, last = wider, last + 1
        if last - first < matrix.cols:
            columns = f"column {last}" if last - first == 1 else f"{first + 1} to {last}"
            rows.append(prettyForm(f"{columns} of {matrix.cols}:"))
        rows.append(block)
        first = last
    return rows


def _row(*parts: stringPict) -> prettyForm:
    return prettyForm(*stringPict.next(*parts)) if parts else prettyForm("")


# ----------------------------------------------------------------------------- LaTeX, laid out

_TOKEN = re.compile(r"\\operatorname\*|\\[A-Za-z]+|\\.|[{}_^]|\s+|[^\\{}_^\s]")
_SIGNS = {  # LaTeX: Unicode, ASCII
    r"\partial": ("∂", "d"),
    r"\nabla": ("∇", "grad"),
    r"\sum": ("Σ", "Sum"),
    r"\big": ("", ""),
    r"\mid": ("|", "|"),
    r"\|": ("‖", "||"),
    r"\dots": ("…", "..."),
    r"\cdot": ("⋅", "*"),
    r"\infty": ("∞", "inf"),
    r"\times": ("×", "x"),
    r"\le": ("≤", "<="),
    r"\ge": ("≥", ">="),
    r"\ne": ("≠", "!="),
    r"\quad": ("  ", "  "),
    r"\,": (" ", " "),
    r"\!": ("", ""),
    **dict.fromkeys((r"\bigl", r"\bigr", r"\Bigl", r"\Bigr"), ("", "")),
    r"\top": ("ᵀ", "T"),
    r"\dagger": ("†", "dagger"),
}
_ACCENTS = {r"\tilde": ("\u0303", "~"), r"\bar": ("\u0304", "_bar")}


class _Layout:
    """Lays out what the record writes in LaTeX: scripts, fractions, brackets, sums, words."""

    def __init__(self, unicode: bool, notation: Notation) -> None:
        self.unicode, self.notation = unicode, notation
        self.tokens: list[str] = []

    def read(self, latex: str) -> prettyForm:
        """The LaTeX as a form; what it does not know is shown as it is written."""
        text = self.notation.written(latex)
        outer, self.tokens = self.tokens, _TOKEN.findall(text)[::-1]
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
            thin = token == r"\," and bool(parts) and str(parts[-1]).isspace()
            parts.append(prettyForm("") if thin else self._atom(token))
            if thin and self.tokens and self.tokens[-1].isspace():
                self.tokens.pop()
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
        if token == r"\sqrt":
            return self._root()
        if token == r"\begin":
            return self._matrix()
        if token == r"\left":
            left = self.tokens.pop()
            inner = self._until(r"\right")
            right = self.tokens.pop()
            if left == ".":  # a bar on the right alone: a value at a point
                return prettyForm(*inner.right(vobj(right, inner.height())))
            return prettyForm(*inner.parens(left, right))
        if token in _ACCENTS:
            return _row(self._group(), prettyForm(_ACCENTS[token][not self.unicode]))
        if token in (r"\mathrm", r"\operatorname", r"\operatorname*", r"\text"):
            return self._group()
        if token in ("_", "^"):
            return self._script(token)
        return prettyForm(self._word(token))

    def _root(self) -> prettyForm:
        inner = self._group()
        if inner.height() > 1 or not str(inner).isalnum() or not self.unicode:
            inner = prettyForm(*inner.parens())
        return _row(prettyForm("√" if self.unicode else "sqrt"), inner)

    def _matrix(self) -> prettyForm:
        """Cells up to the end, in columns."""
        name = str(self._group())
        if name == "array":
            self._group()  # how its columns are set
        cells: list[list[prettyForm]] = [[]]
        mark = "&"
        while mark != r"\end":
            inner: list[stringPict] = []
            mark = ""
            while self.tokens and mark not in ("&", "\\\\", r"\end"):
                mark = self.tokens.pop()
                if mark not in ("&", "\\\\", r"\end"):
                    inner.append(self._atom(mark))
            cells[-1].append(_trimmed(_row(*inner)))
            if mark == "\\\\":
                cells.append([])
            if not self.tokens:
                break
        self._group()
        return _stacked(cells, name)

    def _sum(self) -> prettyForm:
        limits = {"_": prettyForm(""), "^": prettyForm("")}
        while self.tokens and self.tokens[-1] in limits:
            mark = self.tokens.pop()
            limits[mark] = self._group()
        return self.sigma(limits["_"], limits["^"])

    def _script(self, mark: str) -> prettyForm:
        text = str(self._group())
        table = (
            SUBSCRIPTS if mark == "_" else {**SUPERSCRIPTS, "ᵀ": "ᵀ", "†": "†", "⁺": "⁺", "+": "⁺"}
        )
        if self.unicode and all(c in table for c in text):
            return prettyForm("".join(table[c] for c in text))
        return prettyForm(mark + (text if text.isalnum() or text == "+" else f"({text})"))

    def _word(self, token: str) -> str:
        if token in _SIGNS:
            if token in (r"\partial", r"\,") and self.tokens and self.tokens[-1].isspace():
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


def _trimmed(form: prettyForm) -> prettyForm:
    """A cell without the blanks around it."""
    lines = form.picture
    left = min((len(r) - len(r.lstrip()) for r in lines if r.strip()), default=0)
    longest = max((len(r.rstrip()) for r in lines), default=0)
    rows = (r[left:longest].ljust(longest - left) for r in lines)
    return prettyForm("\n".join(rows), form.baseline)


def _stacked(cells: list[list[prettyForm]], name: str) -> prettyForm:
    """Cells in rows and columns, between brackets."""
    widths = [max(row[j].width() for row in cells) for j in range(len(cells[0]))]
    tall = any(c.height() > 1 for row in cells for c in row)
    lines: list[str] = []
    for row in cells:
        parts: list[stringPict] = []
        for j, cell in enumerate(row):
            room = widths[j] - cell.width()
            parts += [prettyForm("  ")] if j else []
            parts += [prettyForm(" " * (room // 2)), cell, prettyForm(" " * (room - room // 2))]
        lines += [""] if lines and tall else []
        lines += _row(*(p for p in parts if p.width())).picture
    longest = max(map(len, lines))
    form = prettyForm("\n".join(line.ljust(longest) for line in lines), len(lines) // 2)
    return form if name == "array" else prettyForm(*form.parens("[", "]"))
