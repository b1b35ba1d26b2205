r"""LaTeX of a derivation: one labelled document, or one fragment for each equation; amsmath alone.

In: a :class:`~relrep_sym.equations.record.Record` or one of its equations. Out: text. A fragment is
an equation environment and its label, to \input in a paper; long lines are broken to fit a column
of article's text width. The same for the same record, always.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby

from relrep_sym.declare.domains import Domain
from relrep_sym.declare.support import Support
from relrep_sym.declare.symbols import latex_name
from relrep_sym.emit.measure import filled, width
from relrep_sym.emit.typeset import pieces, tex
from relrep_sym.equations.lines import Line, density_latex, listed, mixture_latex
from relrep_sym.equations.record import PAPERS, Equation, Record

__all__ = ["display", "document", "fragment", "one_line", "tex"]

_ROOM = 310.0
"""Points that a line may take: article's text width less the equation's number."""
_INDENT = 20.0
_ROWS = 20
"""An equation with more rows may break over pages."""


def one_line(line: Line) -> str:
    r"""A line as one text, for docstrings.

    >>> one_line(Line(r"\pi_k", "N_k", "k = 1, 2"))
    '\\pi_k = N_k, \\quad k = 1, 2'
    """
    shown = f"{tex(line.left)} = {tex(line.right)}"
    return rf"{shown}, \quad {line.where}" if line.where else shown


def fragment(equation: Equation) -> str:
    r"""One equation with its label, to \input where it is needed.

    >>> from relrep_sym.declare.chart import identity
    >>> from relrep_sym.declare.model import mixture
    >>> record = Record("demo", identity(mixture("poisson", components=2)))
    >>> print(fragment(record["log_likelihood"]))
    \begin{equation}
    \label{eq:demo:log-likelihood}
      L(\lambda) = \operatorname{E}_q\left[\log \sum_{k=1}^2 \pi_k f(x \mid \mathrm{rate}_k)\right]
    \end{equation}
    <BLANKLINE>
    """
    rows = _rows(equation.lines)
    label = rf"\label{{{equation.label}}}"
    if len(rows) == 1:
        body = [r"\begin{equation}", label, "  " + rows[0].replace("&", "", 1), r"\end{equation}"]
    elif len(rows) <= _ROWS:
        inner = " \\\\\n".join(f"    {r}" for r in rows)
        body = [
            r"\begin{equation}",
            label,
            r"  \begin{aligned}",
            inner,
            r"  \end{aligned}",
            r"\end{equation}",
        ]
    else:
        inner = " \\\\\n".join(f"  {r} \\notag" for r in rows[:-1])
        body = [r"\begin{align}", inner + r" \\", f"  {rows[-1]} {label}", r"\end{align}"]
    return "\n".join(body) + "\n"


def display(equation: Equation) -> str:
    r"""An equation for a notebook, without its label.

    >>> from relrep_sym.declare.chart import identity
    >>> from relrep_sym.declare.model import mixture
    >>> record = Record("demo", identity(mixture("poisson", components=2)))
    >>> print(display(record["averaged"]).splitlines()[0])
    $$\begin{aligned}
    """
    inner = " \\\\\n".join(_rows(equation.lines))
    return f"$$\\begin{{aligned}}\n{inner}\n\\end{{aligned}}$$"


def _rows(lines: Sequence[Line]) -> list[str]:
    """Aligned rows, each no wider than the room."""
    left = max(width(tex(line.left)) for line in lines) + width("=")
    room = _ROOM - left
    rows: list[str] = []
    for line in lines:
        whole = tex(line.right)
        where = rf", \quad {line.where}" if line.where else ""
        parts = [whole]
        if width(whole) > room:
            parts = filled(pieces(line.right, room - _INDENT), room - _INDENT)
        if where and width(parts[-1] + where) > room:
            parts.append(rf"\qquad {line.where}")
        else:
            parts[-1] += where
        rows.append(f"{tex(line.left)} &= {parts[0]}")
        rows += [rf"&\quad {p}" for p in parts[1:]]
    return rows


# ------------------------------------------------------------------------------ the document


def document(record: Record) -> str:
    """A whole document for one derivation, with what it is of at its head."""
    body = [*_head(record)]
    for equation in record:
        body += _paragraph(record, equation)
    cited = sorted({_key(c) for e in record for c in e.cites})
    if cited:
        body += [r"\begin{thebibliography}{DLR77}"]
        body += [rf"\bibitem[{key}]{{{key}}} {PAPERS[key]}." for key in cited]
        body += [r"\end{thebibliography}"]
    lines = [
        r"\documentclass[a4paper]{article}",
        r"\usepackage{amsmath}",
        r"\allowdisplaybreaks",
        r"\raggedbottom",
        r"\emergencystretch=3em",
        r"\displaywidowpenalty=10000",
        r"\begin{document}",
        *body,
        r"\end{document}",
        "",
    ]
    return "\n".join(lines)


def _head(record: Record) -> list[str]:
    """The model, the density of the data, the chart and its domains."""
    model, g = record.model, record.generic
    count = model.components
    theta = rf"\theta = ({listed(model.names)})"
    formula = mixture_latex(g)
    if width(formula) + width(theta) < _ROOM - 60:
        stated = [rf"\[ p(x) = {formula}, \qquad {theta}, \]"]
    else:
        stated = [rf"\[ p(x) = {formula}, \]", rf"with ${theta}$,"]
    integral = _mean(model.family.support)
    free = count > 1 and "weight" not in g.constants
    weights = r"the weights $\pi_k \ge 0$ sum to one, and " if free else ""
    return [
        rf"\section*{{{_words(record.name)}}}",
        rf"\paragraph{{Model.}} A {_proper(model.describe())}. The density of $x$ is",
        *stated,
        rf"where {weights}${density_latex(g, None)}$ is the {_proper(model.family.name)} density, "
        rf"written out in~(\ref{{{record.label('responsibilities')}}}).",
        "",
        rf"\paragraph{{Data.}} $\operatorname{{E}}_q[g(x)] = {integral}$ is the mean under the "
        r"density $q$ that the data come from, which need not be in the model; for a sample "
        r"$x_1, \dots, x_N$ with weights $w_n$ that sum to one it is $\sum_n w_n g(x_n)$. These "
        r"means are taken to exist, and derivatives to pass under them. $\operatorname{E}_p$ is "
        r"the mean under the model. $\eta > 0$ is the rate of learning.",
        "",
        rf"\paragraph{{Coordinates.}} {_domains(record)}",
        "",
    ]


def _mean(support: Support) -> str:
    """What E_q[g(x)] is on a support."""
    if isinstance(support, str):
        return {
            "integers": r"\sum_{x=0}^\infty g(x) \, q(x)",
            "half-line": r"\int_0^\infty g(x) \, q(x) \, dx",
        }.get(support, r"\int g(x) \, q(x) \, dx")
    kind, *ends = support
    if kind == "finite":
        return r"\sum_x g(x) \, q(x)"
    if kind == "integers":
        return rf"\sum_{{x={ends[0]}}}^{{{ends[1]}}} g(x) \, q(x)"
    return rf"\int_{{{ends[0]:g}}}^{{{ends[1]:g}}} g(x) \, q(x) \, dx"


_PROSE = {
    "chart": r"The map $\theta = c(\lambda)$; entries of $\theta$ without a line are coordinates.",
    "score": r"By the chain rule through the chart, each component differentiated with its "
    r"$r_k(x)$ held.",
    "averaged": r"Gradient ascent $d\lambda/d{time} = \eta \, \nabla_\lambda L$.",
    "view": r"Functions $b(\lambda)$ in which the dynamics are looked at.",
    "averaged_in_view": r"$db/d{time} = \eta J \nabla_\lambda L$: the learning of the chart, seen "
    r"in the view.",
    "m_step": r"New values of $\theta$; where they lie in its image, the coordinates follow by the "
    r"inverse of the chart.",
}


def _paragraph(record: Record, equation: Equation) -> list[str]:
    seen = record.view.names if record.view and equation.name == "averaged_in_view" else ()
    prose = [_PROSE.get(equation.name, "").replace("{time}", record.generic.time(seen))]
    if equation.name == "chart" and record.generic.clashes:
        prose.append("A tilde marks a coordinate that is spelled like what it is not.")
    if equation.name == "m_step" and len(record.chart.coordinates) == len(record.model.parameters):
        if all(r.shape == r.reads[0].entry for r in record.generic.rules if r.reads):
            prose = ["New values of the parameters."]
    if equation.name == "fisher":
        prose.append(rf"$J$ is the Jacobian~(\ref{{{record.label('jacobian')}}}).")
    if equation.name == "mobility" and record.mobility_is_seen:
        prose.append("$J$ is in the coordinates, $J J^{\\top}$ in the view's functions.")
    if equation.kernels:
        names = ", ".join(rf"\texttt{{{_words(k)}}}" for k in equation.kernels)
        prose.append(f"Computed by {names}.")
    if equation.cites:
        prose.append(f"See {', '.join(_cite(c) for c in equation.cites)}.")
    title = _titled(record, equation.title[0].upper() + equation.title[1:])
    text = " ".join(p for p in prose if p)
    return [rf"\paragraph{{{title}.}} {text}", fragment(equation)]


def _key(cite: str) -> str:
    return cite.partition(",")[0]


def _cite(cite: str) -> str:
    key, _, place = cite.partition(", ")
    where = _words(place).replace(" ", "~")
    return rf"\cite[{where}]{{{key}}}" if place else rf"\cite{{{key}}}"


def _domains(record: Record) -> str:
    """The coordinates with their domains, neighbours of one domain together."""
    chart, g = record.chart, record.generic
    shown = []
    for _, group in groupby(chart.coordinates, key=lambda c: c.domain.name):
        members = list(group)
        marked = [("~" if c.symbol in g.clashes else "") + c.name for c in members]
        shown.append(_in_domain(listed(marked), members[0].domain))
    noun = "coordinate" if len(chart.coordinates) == 1 else "coordinates"
    return f"The {noun} $\\lambda$: {'; '.join(shown)}."


def _in_domain(names: str, domain: Domain) -> str:
    """Names and where they lie; a line may be broken after each comma."""
    names = names.replace(", ", "$, $")
    if domain.lower == float("-inf"):
        return f"${names}$ real"
    if domain.upper == float("inf"):
        sign = ">" if domain.open_lower else r"\ge"
        return f"${names} {sign} {domain.lower:g}$"
    return rf"${names} \in [{domain.lower:g}, {domain.upper:g}]$"


def _proper(text: str) -> str:
    """A text, names of people with a capital."""
    return re.sub(r"\b(poisson|laplace)\b", lambda m: m[0].capitalize(), _words(text))


def _titled(record: Record, text: str) -> str:
    """A title in words, the family's parameters among them in their symbols."""
    words = _words(text)
    for p in record.model.family.parameters:
        symbol = f"${latex_name(p.name)}$"
        words = re.sub(rf"\b{p.name}\b", symbol.replace("\\", r"\\"), words)
    return words


_SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


def _words(text: str) -> str:
    r"""A text with LaTeX's own characters written out.

    >>> _words("normal2_relative: 50 %, Kullback–Leibler")
    'normal2\\_relative: 50 \\%, Kullback--Leibler'
    """
    escaped = re.sub(r"[\\~^]", lambda m: _SPECIAL[m[0]], text)
    return re.sub(r"(?<!\\)([_%&#$])", r"\\\1", escaped).replace("–", "--")
