r"""What the equations of a derivation show: lines left = right, for every component at once.

In: a :class:`~relrep_sym.equations.generic.Generic` (and for some equations a view or an M-step).
Out: tuples of :class:`Line`. A line says what its equation's ``value`` says entry by entry; the tests
read the printed lines back and hold them against it. Nothing here costs more than a few lines, however
many components there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sympy as sp
from sympy.core.sympify import _sympify

from relrep_sym.declare.symbols import latex_name, script, split_index
from relrep_sym.declare.view import View
from relrep_sym.equations.generic import Coordinates, Generic, Rule
from relrep_sym.equations.nodes import ComponentSum, Index, Terms

__all__ = [
    "Line",
    "averaged_lines",
    "chart_lines",
    "density",
    "density_latex",
    "density_lines",
    "fisher_lines",
    "jacobian_lines",
    "kl_lines",
    "likelihood_lines",
    "listed",
    "mixture_latex",
    "mobility_lines",
    "score_lines",
    "seen_lines",
    "view_lines",
]

MATRIX = 10
"""Jacobians with more rows or columns are shown by their nonzero entries."""
_MATRIX_WIDTH = 48
"""So are those whose columns' longest entries have more characters together."""


@dataclass(frozen=True)
class Line:
    r"""One line of an equation: left side and right side in SymPy or ready LaTeX.

    ``where`` says in LaTeX for which components a generic line holds, such as ``k = 1, \dots, 8``;
    it is empty where there is nothing to say.
    """

    left: sp.Basic | str
    right: sp.Basic | str
    where: str = ""


# ------------------------------------------------------------------------------ words in LaTeX


def listed(names: Sequence[str]) -> str:
    r"""Names in a row; of a run of more than three numbers the first and the last.

    >>> listed(["mu_1", "Delta_1", "Delta_2", "Delta_3", "Delta_4"])
    '\\mu_1, \\Delta_1, \\dots, \\Delta_4'
    """
    groups: list[list[str]] = []
    before: tuple[str, int | None] | None = None
    for name in names:
        stem, number = split_index(name)
        follows = before is not None and number is not None and before == (stem, number - 1)
        if follows:
            groups[-1].append(name)
        else:
            groups.append([name])
        before = (stem, number)
    shown: list[str] = []
    for group in groups:
        words = [latex_name(group[0]), r"\dots", latex_name(group[-1])]
        shown += words if len(group) > 3 else [latex_name(n) for n in group]
    return ", ".join(shown)


def where_text(numbers: Sequence[int], letter: str = "k") -> str:
    """For which numbers a generic line holds."""
    if len(numbers) > 3 and list(numbers) == list(range(numbers[0], numbers[-1] + 1)):
        return rf"{letter} = {numbers[0]}, \dots, {numbers[-1]}"
    return f"{letter} = {', '.join(map(str, numbers))}"


def numbers_to(count: int) -> list[int]:
    """The components' numbers."""
    return list(range(1, count + 1))


def _name(stem: str, i: Index | None) -> str:
    return latex_name(stem, None if i is None else str(i))


def _each(run: Coordinates) -> tuple[Index | None, str]:
    """The index at which a run is shown, and where it holds."""
    if not run.numbers:
        return None, ""
    if len(run.numbers) == 1:
        return run.numbers[0], ""
    return "k", where_text(run.numbers)


# ------------------------------------------------------------------------------ the model


def _arguments(g: Generic, i: Index | None) -> str:
    """What stands after the bar in f(x | …): the family's parameters that are no given number."""
    shown = []
    for p in g.model.family.parameters:
        if p.name not in g.constants:
            shown.append(_name(p.name, None if p.name in g.tied else i))
    return ", ".join(shown)


def density_latex(g: Generic, i: Index | None) -> str:
    """F(x | φ_i)."""
    inner = _arguments(g, i)
    return rf"f(x \mid {inner})" if inner else "f(x)"


def mixture_latex(g: Generic, letter: str = "k") -> str:
    r"""Σ_k π_k f(x | φ_k).

    >>> from relrep_sym.declare.chart import identity
    >>> from relrep_sym.declare.model import mixture
    >>> mixture_latex(Generic(identity(mixture("poisson", components=2))))
    '\\sum_{k=1}^2 \\pi_k f(x \\mid \\mathrm{rate}_k)'
    """
    count = g.model.components
    if count == 1:
        return density_latex(g, 1)
    head = rf"\sum_{{{letter}=1}}^{script(str(count))} "
    return head + _weighted(g, letter)


def _weighted(g: Generic, i: Index) -> str:
    weight = g.constants.get("weight")
    if weight is None:
        shown = _name("pi", i)
    else:
        shown = rf"\tfrac{{{weight.p}}}{{{weight.q}}}" if weight.is_Rational else str(weight)
    return f"{shown} {density_latex(g, i)}"


def density(g: Generic) -> sp.Expr:
    """One component's density, as a product: powers, factorials and one exponential.

    >>> from relrep_sym.declare.chart import identity
    >>> from relrep_sym.declare.model import mixture
    >>> density(Generic(identity(mixture("poisson", components=2))))
    rate**x*exp(-rate)/factorial(x)
    """
    family = g.model.family
    logarithm = family.log_density.xreplace(
        {
            p.symbol: _sympify(g.constants[p.name])
            for p in family.parameters
            if p.name in g.constants
        }
    )
    factors, exponent = [], []
    for term in sp.Add.make_args(logarithm):
        rest, logs = term.as_independent(sp.log, sp.loggamma, as_Add=False)
        if isinstance(logs, sp.log):
            factors.append(logs.args[0] ** rest)
        elif isinstance(logs, sp.loggamma) and rest == -1:
            whole = family.support == "integers"
            factors.append(
                1 / (sp.factorial(logs.args[0] - 1) if whole else sp.gamma(logs.args[0]))
            )
        else:
            exponent.append(term)
    return sp.Mul(*factors, sp.exp(sp.Add(*exponent)))


def density_lines(g: Generic) -> tuple[Line, ...]:
    """The E-step: responsibilities, and the component's density written out."""
    count = g.model.components
    if count == 1:
        first = Line(_r(1), sp.Integer(1))
    else:
        ratio = rf"\frac{{{_weighted(g, 'k')}}}{{{mixture_latex(g, 'j')}}}"
        first = Line(_r("k"), ratio, where_text(numbers_to(count)))
    return (first, Line(density_latex(g, None), density(g)))


def _r(i: Index) -> str:
    return _name("r", i) + "(x)"


def likelihood_lines(g: Generic) -> tuple[Line, ...]:
    """L(λ) = E_q[log p]."""
    return (Line(r"L(\lambda)", rf"\operatorname{{E}}_q\left[\log {mixture_latex(g)}\right]"),)


def kl_lines(g: Generic) -> tuple[Line, ...]:
    """KL(q ‖ p)."""
    ratio = rf"\log \frac{{q(x)}}{{{mixture_latex(g)}}}"
    return (Line(r"\mathrm{KL}(q \,\|\, p)", rf"\operatorname{{E}}_q\left[{ratio}\right]"),)


def fisher_lines() -> tuple[Line, ...]:
    """Fisher information in θ, and its pull-back."""
    s = r"\frac{\partial \log p(x)}{\partial \theta}"
    outer = rf"\operatorname{{E}}_p\left[{s} \left({s}\right)^{{\top}}\right]"
    return (
        Line(r"I_\theta", outer),
        Line(r"I_\lambda", r"J^{\top} I_\theta J"),
        Line("J", r"\frac{\partial \theta}{\partial \lambda}"),
    )


# ------------------------------------------------------------------------------ the chart


def chart_lines(g: Generic) -> tuple[Line, ...]:
    """The coordinates, the rules that say something, the last weight, and what is given."""
    model = g.model
    names = [("~" if c.symbol in g.clashes else "") + c.name for c in g.chart.coordinates]
    rules = [block for block in _blocks(g) if not _trivial(block[0])]
    row = rf"({listed(names)})"
    lines = [Line(r"\lambda", row if rules else rf"\theta = {row}")]
    for block in rules:
        rule = block[0]
        if len(block) == 1:
            i: Index | None = rule.index
            where = ""
        else:
            i, where = "k", where_text([r.index for r in block if r.index is not None])
        lines.append(Line(g.target(rule, i), g.at(rule.shape, i), where))
    for name, value in model.fixed.items():
        role = "weight" if name.startswith("pi_") else name.rpartition("_")[0]
        if role not in g.constants:
            lines.append(Line(latex_name(name), value))
    free = model.free_weights
    if len(free) > 1 and "weight" not in g.constants:
        room = 1 - sum((w for w in model.weights if isinstance(w, sp.Expr)), sp.Integer(0))
        others = [k + 1 for k in free[:-1]]
        if len(others) > 3 and others == list(range(others[0], others[-1] + 1)):
            taken = [-ComponentSum.over(g.weight("k"), "k", others[0], others[-1])]
        else:
            taken = [-g.weight(i) for i in others]
        lines.append(Line(g.weight(free[-1] + 1), Terms(room, *taken)))
    return tuple(lines)


def _blocks(g: Generic) -> list[list[Rule]]:
    """The chart's rules in order, those that are one generic rule together."""
    out: list[list[Rule]] = []
    for rule in g.rules:
        last = out[-1][-1] if out else None
        joins = last is not None and last.key == rule.key and rule.index is not None
        if joins and last is not None and last.index == rule.index - 1:
            out[-1].append(rule)
        else:
            out.append([rule])
    return out


def _trivial(rule: Rule) -> bool:
    """Whether an entry of θ is the coordinate of its own name."""
    own = len(rule.reads) == 1 and rule.shape == rule.reads[0].entry
    return own and rule.reads[0].name == rule.target.name


def matrix_lines(g: Generic, matrix: sp.ImmutableMatrix) -> tuple[Line, ...]:
    """The Jacobian as a matrix."""
    return (Line(r"\frac{\partial \theta}{\partial \lambda}", _shown(g, matrix)),)


def slope_lines(g: Generic) -> tuple[Line, ...]:
    """The Jacobian's entries that are not zero, in runs."""
    lines = []
    for block in _blocks(g):
        rule = block[0]
        chained = bool(rule.parents)
        many = len(block) > 1
        numbers = [r.index for r in block if r.index is not None]
        last = g.chains[rule.role][1] if g.in_chain(rule.role, rule.index) else None
        for read in rule.reads:
            stem, number = g.entry(read.name)
            if not many and last is None:
                below = _name(stem, number)
                lines.append(_slope(g, rule, rule.index, below, read.partial, rule.index, ""))
            elif last is None or number is None or rule.index is None:
                offset = 0 if number is None or rule.index is None else number - rule.index
                below = _name(stem, None if number is None else _plus("k", offset))
                lines.append(_slope(g, rule, "k", below, read.partial, "k", where_text(numbers)))
            elif not chained:  # where the chain starts
                where = where_text(list(range(rule.index, last + 1)))
                below = _name(stem, number)
                lines.append(_slope(g, rule, "k", below, read.partial, rule.index, where))
            else:
                back = rule.index - number
                below = _name(stem, "j")
                sign = {0: r"j \le k", 1: "j < k"}.get(back, rf"j{back:+d} \le k")
                where = rf"{number} \le {sign} \le {last}"
                lines.append(_slope(g, rule, "k", below, read.partial, _plus("j", back), where))
    end = Line(r"\frac{\partial \theta_i}{\partial \lambda_j}", "0", r"\text{otherwise}")
    return (*lines, end)


def _shown(g: Generic, matrix: sp.ImmutableMatrix) -> sp.ImmutableMatrix:
    """A matrix in coordinates, in entries where a name clashes."""
    return sp.ImmutableMatrix(matrix.applyfunc(g.shown)) if g.clashes else matrix


def _plus(letter: str, offset: int) -> str:
    return letter + (f"{offset:+d}" if offset else "")


def _slope(
    g: Generic,
    rule: Rule,
    k: Index | None,
    below: str,
    partial: sp.Expr,
    at: Index | None,
    where: str,
) -> Line:
    stem = "pi" if rule.role == "weight" else rule.role
    above = latex_name(rule.target.name) if k is None else _name(stem, k)
    left = rf"\frac{{\partial {_spaced(above)}}}{{\partial {_spaced(below)}}}"
    return Line(left, g.at(partial, at), where)


def is_small(matrix: sp.ImmutableMatrix) -> bool:
    """Whether a matrix can be shown as a whole."""
    rows, columns = matrix.shape
    if max(rows, columns) > MATRIX:
        return False
    widths = [max(len(str(matrix[i, j])) for i in range(rows)) for j in range(columns)]
    return sum(widths) <= _MATRIX_WIDTH


# ------------------------------------------------------------------------------ the gradient


def score_left(coordinate: str) -> str:
    """∂ log p(x)/∂λ_j, the coordinate in LaTeX."""
    return rf"\frac{{\partial \log p(x)}}{{\partial {_spaced(coordinate)}}}"


def rate_left(coordinate: str, time: str = "t") -> str:
    """dλ_j/dt, the coordinate in LaTeX."""
    return rf"\frac{{d{_spaced(coordinate)}}}{{d{time}}}"


def _spaced(name: str) -> str:
    """A name after d or ∂: a word stands a little apart."""
    return rf"\, {name}" if name.startswith((r"\mathrm", r"\log")) else name


def score_lines(g: Generic) -> tuple[Line, ...]:
    """∂ log p(x)/∂λ_j."""
    lines = []
    for run in g.runs:
        i, where = _each(run)
        lines.append(Line(score_left(_name(run.stem, i)), g.score(run, i), where))
    return tuple(lines)


def averaged_lines(g: Generic) -> tuple[Line, ...]:
    """dλ_j/dt = η E_q[…]."""
    eta = sp.Symbol("eta")
    lines = []
    for run in g.runs:
        i, where = _each(run)
        lines.append(Line(rate_left(_name(run.stem, i), g.time), eta * g.averaged(run, i), where))
    return tuple(lines)


# ------------------------------------------------------------------------------ the view


def _view_name(g: Generic, view: View, name: str) -> str:
    """A view function's name, with a bar where it is spelled like something that it is not."""
    symbol = sp.Symbol(name)
    taken = {*g.model.names, *g.chart.names, g.model.family.x.name}
    same = symbol in g.chart.symbols and view.expressions[view.names.index(name)] == symbol
    shown = latex_name(name)
    if name not in taken or same:
        return shown
    head, mark, below = shown.partition("_")
    return rf"\bar{{{head}}}{mark}{below}"


def view_lines(g: Generic, view: View) -> tuple[Line, ...]:
    """The view's functions."""
    pairs = zip(view.names, view.expressions, strict=True)
    return tuple(Line(_view_name(g, view, n), g.shown(e)) for n, e in pairs)


def mobility_lines(
    g: Generic, view: View, j: sp.ImmutableMatrix, product: sp.ImmutableMatrix
) -> tuple[Line, ...]:
    """J and JJᵀ; what is too large for a matrix by its entries, or by its rule."""
    names = [("~" if c.symbol in g.clashes else "") + c.name for c in g.chart.coordinates]
    above = [_view_name(g, view, n) for n in view.names]
    if is_small(j):
        left = rf"J = \frac{{\partial ({', '.join(above)})}}{{\partial ({listed(names)})}}"
        lines = [Line(left, _shown(g, j))]
    else:
        lines = [
            Line(rf"\frac{{\partial {b}}}{{\partial {latex_name(n)}}}", g.shown(j[row, column]))
            for row, b in enumerate(above)
            for column, n in enumerate(names)
            if j[row, column] != 0
        ]
        lines.append(Line(r"\frac{\partial b_i}{\partial \lambda_j}", "0", r"\text{otherwise}"))
        lines.append(Line("J_{ij}", r"\frac{\partial b_i}{\partial \lambda_j}"))
    if is_small(product):
        return (*lines, Line(r"J J^{\top}", product))
    return (*lines, Line(r"(J J^{\top})_{ij}", r"\sum_k J_{ik} J_{jk}"))


def seen_lines(g: Generic, view: View) -> tuple[Line, ...]:
    """db/dt = η J ∇_λ L."""
    eta = sp.Symbol("eta")
    means: dict[str, sp.Expr] = {}
    for run in g.runs:
        for n, name in enumerate(run.names):
            means[name] = g.averaged(run, run.numbers[n] if run.numbers else None)
    lines = []
    for name, e in zip(view.names, view.expressions, strict=True):
        terms = []
        slopes = [sp.diff(e, c.symbol) for c in g.chart.coordinates]
        if max(len(str(s)) for s in slopes) > _MATRIX_WIDTH:
            left = _view_name(g, view, name)
            rates = (
                rf"\frac{{\partial {left}}}{{\partial \lambda_j}} \frac{{d\lambda_j}}{{d{g.time}}}"
            )
            lines.append(Line(rate_left(left, g.time), rf"\sum_j {rates}"))
            continue
        for c, slope in zip(g.chart.coordinates, slopes, strict=True):
            if slope != 0:
                terms.append(g.shown(slope) * means[c.name])
        right = eta * (terms[0] if len(terms) == 1 else Terms(*terms))
        lines.append(Line(rate_left(_view_name(g, view, name), g.time), right))
    return tuple(lines)
