r"""LaTeX of a derivation: one labelled document, or one fragment for each equation; amsmath alone.

In: a :class:`~relrep_sym.equations.record.Record` or one of its equations, and the user's
:class:`~.notation.Notation`. Out: text. A fragment is an equation environment and its label, to
\input in a paper, with what it assumes and cites (:mod:`.assumptions`); long lines are broken to
fit a column of article's text width. The same for the same record, always.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

import sympy as sp

from relrep_sym.declare.support import Support
from relrep_sym.declare.symbols import latex_name, split_index
from relrep_sym.emit import assumptions
from relrep_sym.emit.measure import filled, width
from relrep_sym.emit.notation import PLAIN, Notation, plain
from relrep_sym.emit.typeset import marked, pieces, tex
from relrep_sym.equations.lines import Line, density_latex, listed, mixture_latex, name_at
from relrep_sym.equations.nodes import Hat
from relrep_sym.equations.record import Equation, Record
from relrep_sym.equations.sources import SOURCES, cited

__all__ = [
    "display",
    "document",
    "fragment",
    "in_words",
    "one_line",
    "overview",
    "passage",
    "printed_names",
    "tex",
]

_ROOM = 310.0
"""Points that a line may take: article's text width less the equation's number."""
_INDENT = 20.0
_ROWS = 20
"""An equation with more rows may break over pages."""


def one_line(line: Line, notation: Notation = PLAIN) -> str:
    r"""A line as one text, for docstrings.

    >>> one_line(Line(r"\pi_@k", "@N_@k", "@k = 1, 2"))
    '\\pi_k = N_k, \\quad k = 1, 2'
    """
    shown = f"{marked(line.left)} = {marked(line.right)}"
    return notation.written(rf"{shown}, \quad {line.where}" if line.where else shown)


def in_words(equation: Equation, text: str, notation: Notation = PLAIN) -> str:
    """A text that speaks of an equation, the formulas in it written as in the equation."""
    return notation_of(equation, notation).in_words(text)


def notation_of(equation: Equation, notation: Notation = PLAIN) -> Notation:
    """A notation for an equation, with the names that its document prints."""
    names = equation.names()
    return plain(names) if notation is PLAIN else notation.knowing(names)


def fragment(equation: Equation, notation: Notation = PLAIN) -> str:
    r"""One equation with its label, and nothing else.

    >>> from relrep_sym.declare.chart import identity
    >>> from relrep_sym.declare.model import mixture
    >>> record = Record("demo", identity(mixture("poisson", components=2)))
    >>> print(fragment(record["log_likelihood"]))
    \begin{equation}
    \label{eq:demo:log-likelihood}
      L(\lambda) = \operatorname{E}_q\left[\log \sum_{k=1}^2 \pi_k f(x \mid \rho_k)\right]
    \end{equation}
    <BLANKLINE>
    """
    rows = _rows(equation.lines, notation_of(equation, notation))
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


def passage(
    record: Record, equation: Equation, notation: Notation = PLAIN, typeset: bool = False
) -> str:
    r"""A fragment to \input, with what it assumes and cites: in comments, or typeset after it.

    >>> from relrep_sym.declare.chart import identity
    >>> from relrep_sym.declare.model import mixture
    >>> record = Record("demo", identity(mixture("poisson", components=2)))
    >>> print(passage(record, record["jacobian"]).splitlines()[-1])
    % domain derivatives are one-sided.
    """
    notation = notation_of(equation, notation)
    said = [assumptions.coordinates(record), *_exceptions(record, notation)]
    said += [assumptions.fixed(record), assumptions.constants(record)]
    said += [*_marks_said(equation, notation), equation.words]
    said += [*assumptions.needed(record, equation), _see(equation)]
    text = notation.in_words(" ".join(s for s in said if s)).replace(_DOLLAR, "$")
    start = "" if typeset else "% "
    body = textwrap.fill(
        text, 100, initial_indent=start, subsequent_indent=start,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    return f"{fragment(equation, notation)}{body}\n"


def _see(equation: Equation) -> str:
    cites = ", ".join(_cite(c) for c in equation.cites)
    return f"See {cites}." if cites else ""


def _exceptions(record: Record, notation: Notation) -> list[str]:
    """What one component's own symbol stands for, where others keep the general one."""
    names = [split_index(n)[0] for n in {*record.chart.names, *record.model.names}]
    alone = {latex_name(f"{n}_1") for n in names if names.count(n) == 1 and n != "pi"}
    pairs = [f"${new}$ is ${old}$" for old, new in notation.exceptions() if old not in alone]
    # what stands between these dollars is written as it is meant already
    return [f"Here {', '.join(pairs)}.".replace("$", _DOLLAR)] if pairs else []


_DOLLAR = "\x00"


def display(equation: Equation, notation: Notation = PLAIN) -> str:
    r"""An equation for a notebook, without its label.

    >>> from relrep_sym.declare.chart import identity
    >>> from relrep_sym.declare.model import mixture
    >>> record = Record("demo", identity(mixture("poisson", components=2)))
    >>> print(display(record["averaged"]).splitlines()[0])
    $$\begin{aligned}
    """
    inner = " \\\\\n".join(_rows(equation.lines, notation_of(equation, notation)))
    return f"$$\\begin{{aligned}}\n{inner}\n\\end{{aligned}}$$"


def overview(record: Record, notation: Notation = PLAIN) -> str:
    """A derivation in a few lines for a notebook: density, chart and averaged equations."""
    notation = notation_of(record["averaged"], notation)
    model = Line("@p(@x)", mixture_latex(record.generic))
    learned = record["averaged"].lines[:_FEW]
    rows = _rows([model, *record["chart"].lines, *learned], notation)
    inner = " \\\\\n".join(rows)
    return f"$$\\begin{{aligned}}\n{inner}\n\\end{{aligned}}$$"


_FEW = 12
"""Lines of an overview's learning equations at most."""


def _rows(lines: Sequence[Line], notation: Notation) -> list[str]:
    """Aligned rows, each no wider than the room in the symbols in which they are written."""

    def measure(text: str) -> float:
        return width(notation.spelled(text))

    left = max(measure(marked(line.left)) for line in lines) + width("=")
    room = _ROOM - left
    rows: list[str] = []
    for line in lines:
        whole = marked(line.right)
        where = rf", \quad {line.where}" if line.where else ""
        if f"({notation.written(whole)})" == notation.written(marked(line.left)):
            continue  # a weight that is written as what it is
        parts = [whole]
        if measure(whole) > room:
            longer = max(measure(whole) / width(whole), 1.0)
            broken = pieces(line.right, (room - _INDENT) / longer)
            parts = filled(broken, room - _INDENT, measure)
        if where and measure(parts[-1] + where) > room:
            parts.append(rf"\qquad {line.where}")
        else:
            parts[-1] += where
        rows.append(notation.written(f"{marked(line.left)} &= {parts[0]}"))
        rows += [notation.written(rf"&\quad {p}") for p in parts[1:]]
    return rows


def printed_names(record: Record) -> dict[str, str]:
    r"""Every name that a record's equations print, stems too, with its LaTeX.

    >>> from relrep_sym.declare.chart import identity
    >>> from relrep_sym.declare.model import mixture
    >>> sorted(printed_names(Record("demo", identity(mixture("poisson", components=2)))))
    ['pi', 'pi_1', 'pi_2', 'rate', 'rate_1', 'rate_2']
    """
    return dict(record.printed_names)


# ------------------------------------------------------------------------------ the document


def document(record: Record, notation: Notation = PLAIN) -> str:
    """A whole document for one derivation, with what it is of at its head."""
    notation = notation.knowing(record.printed_names) if notation.symbols else notation
    if notation is PLAIN:
        notation = plain(record.printed_names)
    body = [notation.in_words(text).replace(_DOLLAR, "$") for text in _head(record, notation)]
    for equation in record:
        said, shown = _paragraph(record, equation, notation)
        body += [notation.in_words(said), shown]
    sources = cited(c for e in record for c in e.cites)
    if sources:
        body += [r"\begin{thebibliography}{9}"]
        body += [rf"\bibitem{{{s.key}}} {_words(s.text)}." for s in sources]
        body += [r"\end{thebibliography}"]
    lines = [
        r"\documentclass[a4paper]{article}",
        *_packages(notation),
        r"\allowdisplaybreaks",
        r"\raggedbottom",
        r"\emergencystretch=3em",
        r"\displaywidowpenalty=10000",
        *notation.definitions().splitlines(),
        r"\begin{document}",
        *body,
        r"\end{document}",
        "",
    ]
    return "\n".join(lines)


def _packages(notation: Notation) -> list[str]:
    """Packages: amsmath alone, and what the user's own symbols are likely to need."""
    wanted = " ".join(text for _, text in (*notation.symbols, *notation.own))
    packages = ["amsmath"]
    if "\\" in wanted:
        packages.append("amssymb")
    if re.search(r"\\bm\b", wanted):
        packages.append("bm")
    return [rf"\usepackage{{{','.join(packages)}}}"]


def _head(record: Record, notation: Notation) -> list[str]:
    """The model, the density of the data, the chart and its domains."""
    model, g = record.model, record.generic
    count = model.components
    theta = rf"@\theta = ({listed(model.names)})"
    formula = mixture_latex(g)
    if width(formula) + width(theta) < _ROOM - 60:
        stated = [rf"\[ @p(@x) = {formula}, \qquad {theta}, \]"]
    else:
        stated = [rf"\[ @p(@x) = {formula}, \]", rf"with ${theta}$,"]
    integral = _mean(model.family.support)
    free = count > 1 and "weight" not in g.constants
    weights = r"the weights $\pi_@k \ge 0$ sum to one, and " if free else ""
    return [
        rf"\section*{{{_words(record.name)}}}",
        rf"\paragraph{{Model.}} A {_proper(model.describe())}. The density of $@x$ is",
        *stated,
        rf"where {weights}${density_latex(g, None)}$ is the {_proper(model.family.name)} density, "
        rf"{_meanings(record)}written out in~(\ref{{{record.label('responsibilities')}}}). "
        rf"{assumptions.constants(record)}".rstrip(),
        "",
        rf"\paragraph{{Data.}} $@E_@q[@g(@x)] = {integral}$ is the mean under the "
        r"density $@q$ that the data come from; for a sample $@x_1, \dots, @x_@n$ with weights "
        r"$@\omega_@i$ that sum to one it is $\sum_@i @\omega_@i @g(@x_@i)$. "
        rf"{assumptions.truth(record)} Derivatives then pass under these means. "
        rf"{_at_kinks(record)}"
        r"$@E_@p$ is the mean under the model. $@\eta > 0$ is the rate of learning.",
        "",
        r"\paragraph{Notation.} $@\lambda^+$ is $@\lambda$ after a step, and so is any name with "
        r"that mark; $@I_@\lambda^{\dagger}$ is the Moore--Penrose pseudo-inverse of "
        r"$@I_@\lambda$.",
        "",
        " ".join(
            [
                rf"\paragraph{{Coordinates.}} {assumptions.coordinates(record)}",
                *_exceptions(record, notation),
                *([assumptions.ONE_SIDED] if assumptions.has_ends(record) else []),
            ]
        ),
        "",
    ]


def _at_kinks(record: Record) -> str:
    """Which side a derivative takes, where the density has kinks."""
    return "" if record.model.family.kink is None else f"{assumptions.AT_KINKS} "


def _meanings(record: Record) -> str:
    """What the family's parameters are called, where there are any that are no given number."""
    g, model = record.generic, record.model
    shown = [
        f"{p.plural} "
        f"${name_at(p.name, 'k' if p.name not in g.tied and model.components > 1 else None)}$"
        for p in model.family.parameters
        if p.name not in g.constants
    ]
    return f"in {' and '.join(shown)}, " if shown else ""


def _mean(support: Support) -> str:
    """What E_q[g(x)] is on a support."""
    if isinstance(support, str):
        return {
            "integers": r"\sum_{@x=0}^\infty @g(@x) \, @q(@x)",
            "half-line": r"\int_0^\infty @g(@x) \, @q(@x) \, @d@x",
        }.get(support, r"\int @g(@x) \, @q(@x) \, @d@x")
    kind, *ends = support
    if kind == "finite":
        return r"\sum_@x @g(@x) \, @q(@x)"
    if kind == "integers":
        return rf"\sum_{{@x={ends[0]}}}^{{{ends[1]}}} @g(@x) \, @q(@x)"
    return rf"\int_{{{ends[0]:g}}}^{{{ends[1]:g}}} @g(@x) \, @q(@x) \, @d@x"


_PROSE = {
    "chart": r"The map from $@\lambda$ to $@\theta$; entries of $@\theta$ without a line are "
    "coordinates.",
    "score": r"By the chain rule through the chart, each component differentiated with its "
    r"$@r_@k(@x)$ held.",
    "averaged": r"Gradient ascent $@d@\lambda/@d@t = @\eta \, \nabla_@\lambda @L$.",
    "view": r"Functions $@b(@\lambda)$ in which the dynamics are looked at.",
    "averaged_in_view": r"$@d@b/@d@t = @\eta @J_@b \nabla_@\lambda @L$: the learning of the "
    "chart, seen in the view.",
    "natural": r"Gradient ascent in the Fisher metric. Where $@I_@\lambda$ is singular "
    r"$@I_@\lambda^{\dagger}$ is its Moore--Penrose pseudo-inverse, which depends on the "
    "coordinates; elsewhere it is the inverse.",
    "covariance": r"Of the maximum likelihood estimator. The sandwich holds too where the model is "
    r"wrong. $@C$ is any of the four; of functions of the coordinates it is by the delta method.",
    "q": r"The mean of $\log @p(@x, @z \mid @\lambda^+)$, the component $@z$ drawn from its "
    r"posterior $@r_@k(@x)$ at the present $@\lambda$, which is held; the M-step maximises it over "
    r"$@\lambda^+$.",
    "cm_steps": r"$@Q$ is maximised over one coordinate after another, the others held. On a right "
    r"side coordinates are the latest ones, $@N_@k$ and $@r_@k(@x)$ those of the one E-step.",
    "gradient_em": r"One step uphill on $@Q(@\lambda' \mid @\lambda) = "
    r"@E_@q[\sum_@k @r_@k(@x) \log {weight} @f(@x \mid @\phi_@k')]$, the responsibilities held "
    r"at $@\lambda$: gradient ascent on $@L$, which is gradient descent on "
    r"$@{KL}(@q \,\|\, @p)$.",
    "stein": r"The gradient of the loss by second moments of the responsibilities.",
}


def _paragraph(record: Record, equation: Equation, notation: Notation) -> tuple[str, str]:
    """An equation's title and what is said of it; the equation."""
    g = record.generic
    weight = r"\pi_@k'" if "weight" not in g.constants else marked(g.constants["weight"])
    prose = [_PROSE.get(equation.name, "").replace("{weight}", weight)]
    prose += _marks_said(equation, notation)
    if equation.name == "chart" and g.clashes:
        prose.append("A tilde marks a coordinate that is spelled like what it is not.")
    if equation.words:
        prose.append(equation.words)
    if equation.name == "m_step":
        labels = [rf"(\ref{{{e.label}}})" for e in record.constrained_m_step]
        if labels:
            prose.append(f"Where a constraint binds, see {', '.join(labels)}.")
    if equation.name in ("fisher", "hessian", "covariance"):
        prose.append(rf"$@J$ is the Jacobian~(\ref{{{record.label('jacobian')}}}).")
    if equation.name == "covariance":
        prose.append(
            rf"$@H_@\lambda$ is the Hessian~(\ref{{{record.label('hessian')}}}), $@I_@\lambda$ the "
            rf"Fisher information~(\ref{{{record.label('fisher')}}})."
        )
    if equation.name == "natural":
        prose.append(
            rf"$@I_@\lambda$ is the Fisher information~(\ref{{{record.label('fisher')}}})."
        )
    if equation.name == "mobility" and record.mobility_is_seen:
        prose.append(
            r"$@J_@b$ is in the coordinates, $@J_@b @J_@b^{\top}$ in the view's functions."
        )
    said_before = [assumptions.truth(record), assumptions.ONE_SIDED, assumptions.AT_KINKS]
    if equation.name != "view":
        said_before.append(assumptions.SMOOTH)
    prose += [s for s in assumptions.needed(record, equation) if s not in said_before]
    if equation.kernels:
        names = ", ".join(rf"\texttt{{{_words(k)}}}" for k in equation.kernels)
        prose.append(f"Computed by {names}.")
    prose.append(_see(equation))
    title = _titled(record, equation.title[0].upper() + equation.title[1:])
    text = " ".join(p for p in prose if p)
    return rf"\paragraph{{{title}.}} {text}", fragment(equation, notation)


def _marks_said(equation: Equation, notation: Notation) -> list[str]:
    """What a hat and the multiplier of a bound are, where the equation has them."""
    rights = [e for line in equation.lines for e in (line.left, line.right)]
    out = []
    if any(isinstance(e, sp.Basic) and e.has(Hat) for e in rights):
        out.append(f"{notation.marks['hat']} marks the unconstrained value.")
    if equation.name == "cm_steps" and any(r"@\kappa" in marked(e) for e in rights):
        out.append(r"$@\kappa$ is the multiplier of a bound.")
    return out


def _cite(cite: str) -> str:
    r"""A citation by its BibTeX key.

    >>> _cite("EN22, Eq. (2)")
    '\\cite[Eq.~(2)]{EsserNielsen2022}'
    """
    key, _, place = cite.partition(", ")
    where = _words(place).replace(" ", "~")
    found = SOURCES[key].key
    return rf"\cite[{where}]{{{found}}}" if place else rf"\cite{{{found}}}"


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
