r"""What is assumed where an equation is printed, in words that a paper can keep.

In: a :class:`~relrep_sym.equations.record.Record`, one of its equations. Out: sentences in LaTeX,
formulas between dollars: where the coordinates lie, what is fixed and what is given, what is asked
of the density that data come from, and where the formula holds. They are made from the model, the
chart and the family's own log-density; no family is known by name.
"""

from __future__ import annotations

import re
from itertools import groupby

import sympy as sp

from relrep_sym.declare.domains import Domain
from relrep_sym.declare.symbols import latex_name
from relrep_sym.emit.typeset import marked
from relrep_sym.equations.em import MStep, statistics_of
from relrep_sym.equations.lines import listed
from relrep_sym.equations.record import Equation, Record
from relrep_sym.errors import DerivationError

__all__ = [
    "AT_KINKS",
    "ONE_SIDED",
    "SAMPLE",
    "SMOOTH",
    "constants",
    "coordinates",
    "fixed",
    "has_ends",
    "needed",
    "truth",
]

ONE_SIDED = "At an end of a coordinate's domain derivatives are one-sided."

AT_KINKS = (
    r"Where $@x$ lies on a kink of the density $\operatorname{sign}(0) = 0$: a derivative there is "
    "the mean of those from both sides."
)

SAMPLE = (
    r"$@E_@q$ is the mean over a sample of $@n$ points; to first order in $1/@n$, at a "
    "maximum inside the domain where the information is not singular."
)

SMOOTH = "The view's functions are differentiable where they are used."


def coordinates(record: Record) -> str:
    r"""The coordinates with their domains, neighbours of one domain together.

    >>> from relrep_sym.declare.charts import relative
    >>> from relrep_sym.declare.model import mixture
    >>> record = Record("demo", relative(mixture("normal", components=2, scales=1), "mu"))
    >>> coordinates(record)
    'The coordinates $@\\lambda$: $\\pi_1 \\in [0, 1]$; $\\mu_1$ real; $\\Delta_1 \\ge 0$.'
    """
    chart, g = record.chart, record.generic
    shown = []
    for _, group in groupby(chart.coordinates, key=lambda c: c.domain.name):
        members = list(group)
        marked = [("~" if c.symbol in g.clashes else "") + c.name for c in members]
        shown.append(_in_domain(listed(marked), members[0].domain))
    noun = "coordinate" if len(chart.coordinates) == 1 else "coordinates"
    return rf"The {noun} $@\lambda$: {'; '.join(shown)}."


def _in_domain(names: str, domain: Domain) -> str:
    """Names and where they lie; a line may be broken after each comma."""
    names = names.replace(", ", "$, $")
    if domain.lower == float("-inf"):
        return f"${names}$ real"
    if domain.upper == float("inf"):
        sign = ">" if domain.open_lower else r"\ge"
        return f"${names} {sign} {domain.lower:g}$"
    return rf"${names} \in [{domain.lower:g}, {domain.upper:g}]$"


def fixed(record: Record) -> str:
    r"""What is fixed in the model.

    >>> from relrep_sym.declare.chart import identity
    >>> from relrep_sym.declare.model import mixture
    >>> model = mixture("normal", components=2, means=[0, None], scales=1)
    >>> fixed(Record("demo", identity(model)))
    'The scales are fixed at $1$. $\\mu_1 = 0$ is fixed.'
    """
    model, g = record.model, record.generic
    plurals = {"weight": "weights", **{p.name: p.plural for p in model.family.parameters}}
    out = [
        f"The {plurals[role]} are fixed at ${marked(value)}$."
        for role, value in g.constants.items()
        if model.components > 1 or role != "weight"
    ]
    roles = {"pi" if role == "weight" else role for role in g.constants}
    single = [
        f"${latex_name(name)} = {marked(value)}$"
        for name, value in model.fixed.items()
        if name.rpartition("_")[0] not in roles
    ]
    if single:
        out.append(f"{_and(single)} {_is(single)} fixed.")
    return " ".join(out)


def constants(record: Record) -> str:
    r"""What is given and never learned: a chart's constants, or its clearance in numbers.

    >>> from relrep_sym.declare.charts import relative
    >>> from relrep_sym.declare.model import mixture
    >>> chart = relative(mixture("normal", components=2, scales=1), "mu", clearance="1/10")
    >>> constants(Record("demo", chart))
    'The clearance $\\frac{1}{10}$ is given, not learned; the gaps do not contain it.'
    """
    declared = tuple(getattr(record.chart, "constants", ()))
    if declared:
        shown = [_in_domain(latex_name(c.name), c.domain) for c in declared]
        noun = "The constant" if len(shown) == 1 else "The constants"
        return f"{noun} {_and(shown)} {_is(shown)} given, not learned."
    room = re.search(r"clearance (\d+(?:/\d+)?)$", record.chart.title)
    if room is None:
        return ""
    number = marked(sp.Rational(room[1]))
    return f"The clearance ${number}$ is given, not learned; the gaps do not contain it."


def truth(record: Record) -> str:
    r"""What is asked of the density q, so that L is finite and derivatives pass under its means.

    A component's log-density is a sum of functions of x times smooth functions of its parameters.
    With r_k ≤ 1, every mean that is printed, and its derivative, is then bounded near each point by
    the means of these functions.

    >>> from relrep_sym.declare.chart import identity
    >>> from relrep_sym.declare.model import mixture
    >>> truth(Record("demo", identity(mixture("normal", components=2))))
    '$@q$ is any density with $@E_@q[@x^2] < \\infty$; it need not be in the model.'
    """
    try:
        bounds = _bounds(record)
    except DerivationError:
        asked = "for which these means exist and derivatives pass under them"
    else:
        asked = "with " + _and([rf"$@E_@q[{b}] < \infty$" for b in bounds])
    return f"$@q$ is any density {asked}; it need not be in the model."


def _bounds(record: Record) -> list[str]:
    """Functions of x whose means bound all others, in LaTeX: the highest power, and the rest."""
    family = record.model.family
    y, x = sp.Symbol("y", real=True), family.x
    functions = [f for f in statistics_of(family)[1] if f != 1]
    powers = [f.as_base_exp()[1] for f in functions if f.as_base_exp()[0] == y]
    highest = max((int(n) for n in powers if n.is_Integer and n > 0), default=0)
    out = []
    if highest:
        plain = highest % 2 == 0 or family.support != "line"
        out.append(marked(x**highest) if plain else f"|{marked(x**highest)}|")
    for f in functions:
        base, power = f.as_base_exp()
        if base == y and power.is_Integer and power > 0:
            continue
        moved = f.subs(y, x)
        if isinstance(moved, sp.loggamma) and family.support == "integers":
            out.append(marked(sp.log(sp.factorial(moved.args[0] - 1))))
        else:
            out.append(f"|{marked(moved)}|")
    return out


def needed(record: Record, equation: Equation) -> list[str]:
    """Where an equation holds, and what it asks of the truth: a sentence each."""
    name, g = equation.name, record.generic
    out: list[str] = []
    if name == "covariance":
        return [SAMPLE]
    if name == "stein":
        return [stein_truth(record)]
    if any("@E_@q" in marked(s) for line in equation.lines for s in _sides(line)):
        out.append(truth(record))
    if name == "kl":
        out.append(r"It asks for $@E_@q[|\log @q(@x)|] < \infty$.")
    free = record.model.components > 1 and "weight" not in g.constants
    divides = name in ("score", "averaged", "averaged_in_view", "fisher", "gradient_em")
    if divides and free:
        out.append(r"It holds where every weight that is learned is positive, $\pi_@k > 0$.")
    if divides or name == "jacobian":
        if has_ends(record):
            out.append(ONE_SIDED)
        if name != "jacobian" and record.model.family.kink is not None:
            out.append(AT_KINKS)
    if name == "chart":
        out.append(
            r"It is used where $@\theta$ lies in the model's own domain"
            + (": " + _model_domain(record) if _model_domain(record) else "")
            + "."
        )
    if name == "m_step":
        out += _m_step_needs(record)
    if name == "cm_steps" and record.model.components > 1:
        out.append("It holds where $@N_@k > 0$ for every component.")
    if name == "gradient_em":
        out.append(rates(record))
    if name in ("view", "mobility", "averaged_in_view") and not _is_polynomial(record):
        out.append(SMOOTH)
    return out


def stein_truth(record: Record) -> str:
    r"""What the Stein form takes q to be.

    >>> from relrep_sym.declare.chart import identity
    >>> from relrep_sym.declare.model import mixture
    >>> stein_truth(Record("demo", identity(mixture("normal", components=2, scales=2))))
    '$@q$ is the density of a normal distribution with mean $0$ and variance $4$.'
    """
    variance = marked(record.stein_form.scale**2)
    return f"$@q$ is the density of a normal distribution with mean $0$ and variance ${variance}$."


def rates(record: Record) -> str:
    r"""At which rates gradient EM lowers L for no q.

    >>> from relrep_sym.declare.charts import relative
    >>> from relrep_sym.declare.model import mixture
    >>> chart = relative(mixture("normal", components=2, weights="1/2", scales=1), "mu")
    >>> rates(Record("demo", chart))[:52]
    'With $0 < @\\eta < 1$ no step lowers $@L$, whatever $'
    """
    found = record.safe_rate_or_reason
    if isinstance(found, str):
        return "No rate is safe for every $@q$: the step's length is searched along the gradient."
    return (
        rf"With $0 < @\eta < {marked(found.sharp)}$ no step lowers $@L$, whatever $@q$ is; above "
        r"it, some $@q$ refute that. It is $2 / \max_@k @\gamma_@k |@a_@k|^2$, the $@a_@k$ being "
        r"the rows of the linear chart and the $@\gamma_@k$ the curvatures of $-\log @f$; "
        r"$2 / \|\sum_@k @\gamma_@k @a_@k @a_@k^{\top}\|_2 "
        rf"= {found.rate:.3f}\dots$ is no larger."
    )


def _sides(line: object) -> tuple[sp.Basic | str, ...]:
    return (line.left, line.right)  # type: ignore[attr-defined]


def has_ends(record: Record) -> bool:
    """Whether a coordinate's domain has an end that belongs to it."""
    return any(_has_end(c.domain) for c in record.chart.coordinates)


def _has_end(domain: Domain) -> bool:
    return domain.upper != float("inf") or (domain.lower != float("-inf") and not domain.open_lower)


def _is_polynomial(record: Record) -> bool:
    """Whether the record's view has a derivative wherever it is defined, as polynomials do."""
    symbols = record.chart.symbols
    return record.view is not None and all(
        e.is_polynomial(*symbols) for e in record.view.expressions
    )


def _model_domain(record: Record) -> str:
    """θ's own domain, where it has bounds."""
    model, g = record.model, record.generic
    parts = []
    if model.components > 1 and "weight" not in g.constants:
        parts.append(r"$\pi_@k \ge 0$ with sum one")
    for p in model.family.parameters:
        if p.name in g.constants or p.domain.lower == float("-inf"):
            continue
        parts.append(_in_domain(latex_name(p.name, None if p.name in g.tied else "@k"), p.domain))
    return _and(parts)


def _m_step_needs(record: Record) -> list[str]:
    """What the M-step divides by, and what its new values must be."""
    step = record.m_step_or_reason
    if not isinstance(step, MStep) or record.joint.way == "none":
        return []
    out = []
    if record.model.components > 1:
        out.append("It holds where $@N_@k > 0$ for every component.")
    bounded = [
        p.plural
        for p in record.model.family.parameters
        if any(u.parameter == p.name for u in step.updates) and p.domain.open_lower
    ]
    if bounded:
        out.append(f"The new {_and(bounded)} must come out positive.")
    return out


def _and(items: list[str]) -> str:
    """Items in a row, the last after an and."""
    return (
        items[0]
        if len(items) == 1
        else ", ".join(items[:-1]) + " and " + items[-1]
        if items
        else ""
    )


def _is(items: list[str]) -> str:
    return "is" if len(items) == 1 else "are"
