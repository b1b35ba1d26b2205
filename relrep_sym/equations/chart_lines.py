r"""What the equations of a chart and of a view show: the maps, their Jacobians, the mobility.

In: a :class:`~relrep_sym.equations.generic.Generic`, and a view. Out: lines. A matrix is shown as
one where it is small; else by its entries that are not zero, those of one rule together.
"""

from __future__ import annotations

import sympy as sp

from relrep_sym.declare.symbols import latex_name, split_index
from relrep_sym.declare.view import View
from relrep_sym.equations.generic import TAKEN, TAKEN_STEMS, Generic, Rule
from relrep_sym.equations.linear import scaled, summed
from relrep_sym.equations.lines import (
    Line,
    listed,
    name_at,
    rate_left,
    spaced,
    where_text,
)
from relrep_sym.equations.nodes import ComponentSum, Entry, Index, Terms

__all__ = [
    "MATRIX",
    "chart_lines",
    "is_small",
    "local_slope_lines",
    "matrix_lines",
    "mobility_lines",
    "pushed_lines",
    "seen_lines",
    "slope_lines",
    "view_lines",
    "view_name",
    "weight_slope_lines",
]

_POINT = r"@\lambda"
_ENTRY = r"\frac{\partial @\theta_@i}{\partial @\lambda_@j}"
MATRIX = 10
"""Jacobians with more rows or columns are shown by their nonzero entries."""
_MATRIX_WIDTH = 48
"""So are those whose columns' longest entries have more characters together."""


def chart_lines(g: Generic) -> tuple[Line, ...]:
    """The coordinates, the rules that say something, the last weight, and what is given."""
    model = g.model
    names = [("~" if c.symbol in g.clashes else "") + c.name for c in g.chart.coordinates]
    rules = [block for block in _blocks(g) if not _trivial(block[0])]
    row = rf"({listed(names)})"
    lines = [Line(r"@\lambda", row if rules else rf"@\theta = {row}")]
    for block in rules:
        rule = block[0]
        if len(block) == 1:
            i: Index | None = rule.index
            where = ""
        else:
            i, where = "k", where_text(sorted(r.index for r in block if r.index is not None))
        lines.append(Line(g.target(rule, i), g.at(rule.shape, i), where))
    for name, value in model.fixed.items():
        role = "weight" if name.startswith("pi_") else name.rpartition("_")[0]
        if role not in g.constants:
            lines.append(Line(latex_name(name), value))
    free = model.free_weights
    known = {t.name for t in g.chart.intermediates}
    if len(free) > 1 and "weight" not in g.constants and f"pi_{free[-1] + 1}" not in known:
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
        follows = (
            last is not None
            and last.key == rule.key
            and last.index is not None
            and rule.index is not None
            and abs(last.index - rule.index) == 1
        )
        if follows:
            out[-1].append(rule)
        else:
            out.append([rule])
    return out


def _trivial(rule: Rule) -> bool:
    """Whether an entry of θ is the coordinate, or the constant, of its own name."""
    if not rule.reads and isinstance(rule.shape, Entry):
        stem, number = split_index(rule.target.name)
        return rule.shape == (Entry(stem) if number is None else Entry.of(stem, number))
    own = len(rule.reads) == 1 and rule.shape == rule.reads[0].entry
    return own and rule.reads[0].name == rule.target.name


def matrix_lines(g: Generic, matrix: sp.ImmutableMatrix) -> tuple[Line, ...]:
    """The Jacobian as a matrix."""
    return (Line(r"\frac{\partial @\theta}{\partial @\lambda}", _entries(g, matrix)),)


def slope_lines(g: Generic, skip: frozenset[sp.Expr] = frozenset()) -> tuple[Line, ...]:
    """The Jacobian's entries that are not zero, in runs, but those of the weights that ``skip``
    names and of intermediates.
    """
    lines = []
    for block in _blocks(g):
        rule = block[0]
        if rule.target in skip or rule.target in g.chart.intermediates:
            continue
        chained = bool(rule.parents)
        many = len(block) > 1
        numbers = [r.index for r in block if r.index is not None]
        last = g.chains[rule.role][1] if g.in_chain(rule.role, rule.index) else None
        for read in rule.reads:
            stem, number = g.entry(read.name)
            if not many and last is None:
                below = name_at(stem, number)
                lines.append(_slope(g, rule, rule.index, below, read.partial, rule.index, ""))
            elif last is None or number is None or rule.index is None:
                offset = 0 if number is None or rule.index is None else number - rule.index
                below = name_at(stem, None if number is None else _plus("k", offset))
                lines.append(_slope(g, rule, "k", below, read.partial, "k", where_text(numbers)))
            elif not chained:  # where the chain starts
                where = where_text(list(range(rule.index, last + 1)))
                below = name_at(stem, number)
                lines.append(_slope(g, rule, "k", below, read.partial, rule.index, where))
            else:
                back = rule.index - number
                below = name_at(stem, "j")
                sign = {0: r"@j \le @k", 1: "@j < @k"}.get(back, rf"@j{back:+d} \le @k")
                where = rf"{number} \le {sign} \le {last}"
                lines.append(_slope(g, rule, "k", below, read.partial, _plus("j", back), where))
    return (*lines, Line(_ENTRY, "0", r"\text{otherwise}"))


def weight_slope_lines(g: Generic) -> tuple[Line, ...]:
    """The Jacobian of a chart of the weights, in the weights themselves; then the other entries."""
    lines = []
    for run in g.runs:
        if run.stem not in g.slopes:
            continue
        found = g.slopes[run.stem]
        left = (
            rf"\frac{{\partial {name_at('pi', 'k')}}}{{\partial {spaced(name_at(run.stem, 'j'))}}}"
        )
        sides = {"@k < @j": found.before, "@k = @j": found.here, "@k > @j": found.after}
        if found.before == found.after:
            sides = {"@k = @j": found.here, r"@k \ne @j": found.before}
        for where, value in sides.items():
            if value is not None:
                shown = sp.Integer(0) if value == 0 else Entry.of("pi", "k") * g.at(value, "j")
                lines.append(Line(left, shown, where))
    return (*lines, *slope_lines(g, skip=frozenset(g.chart.weights or ())))


def local_slope_lines(g: Generic) -> tuple[Line, ...]:
    """The derivative of each value by what it is made of, where intermediates stand between."""
    inner = r"\frac{\partial @v}{\partial @\lambda_@j}"
    chain = rf"\sum_@v \frac{{\partial @\theta_@i}}{{\partial @v}} {inner}"
    lines = [Line(_ENTRY, rf"\left.{_ENTRY}\right|_@v + {chain}")]
    for block in _blocks(g):
        rule = block[0]
        numbers = sorted(r.index for r in block if r.index is not None)
        many = len(block) > 1
        for symbol in sorted(rule.shape.free_symbols, key=lambda s: s.name):
            read = next((r for r in rule.reads if r.entry == symbol), None)
            if read is None and not symbol.name.startswith("^"):
                continue  # a constant
            partial = read.partial if read is not None else sp.diff(rule.shape, symbol)
            here = rule.index if not many else "k"
            shown = g.at(symbol, here)
            below = name_at(shown.stem, shown.index or None)
            where = where_text(numbers) if many else ""
            lines.append(_slope(g, rule, here, below, partial, here, where))
    end = Line(_ENTRY, "0", r"\text{otherwise}")
    return (*lines, end) if len(lines) > 1 else tuple(lines)


def _entries(g: Generic, matrix: sp.ImmutableMatrix) -> sp.ImmutableMatrix:
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
    above = latex_name(rule.target.name) if k is None else name_at(stem, k)
    left = rf"\frac{{\partial {spaced(above)}}}{{\partial {spaced(below)}}}"
    return Line(left, g.at(partial, at), where)


def is_small(matrix: sp.ImmutableMatrix) -> bool:
    """Whether a matrix can be shown as a whole."""
    rows, columns = matrix.shape
    if max(rows, columns) > MATRIX:
        return False
    widths = [max(len(str(matrix[i, j])) for i in range(rows)) for j in range(columns)]
    return sum(widths) <= _MATRIX_WIDTH


# ------------------------------------------------------------------------------ the view


def view_name(g: Generic, view: View, name: str) -> str:
    """A view function's name, with a bar where it is spelled like something that it is not."""
    symbol = sp.Symbol(name)
    taken = {*g.model.names, *g.chart.names, g.model.family.x.name, *TAKEN, *TAKEN_STEMS}
    same = symbol in g.chart.symbols and view.expressions[view.names.index(name)] == symbol
    apart = name in taken and not same
    return latex_name("-" + name if apart else name)


def view_lines(g: Generic, view: View) -> tuple[Line, ...]:
    """The view's functions."""
    pairs = zip(view.names, view.expressions, strict=True)
    return tuple(Line(view_name(g, view, n), g.shown(e)) for n, e in pairs)


def mobility_lines(
    g: Generic, view: View, j: sp.ImmutableMatrix, product: sp.ImmutableMatrix, seen: bool
) -> tuple[Line, ...]:
    """J and JJᵀ; what is too large for a matrix by its entries, or by its rule.

    ``seen`` says whether the product is in the view's functions.
    """
    names = [("~" if c.symbol in g.clashes else "") + c.name for c in g.chart.coordinates]
    above = [view_name(g, view, n) for n in view.names]
    if is_small(j):
        left = rf"@J_@b = \frac{{\partial ({', '.join(above)})}}{{\partial ({listed(names)})}}"
        lines = [Line(left, _entries(g, j))]
    else:
        lines = [
            Line(
                rf"\frac{{\partial {spaced(a)}}}{{\partial {spaced(latex_name(n))}}}",
                g.shown(j[row, column]),
            )
            for row, a in enumerate(above)
            for column, n in enumerate(names)
            if j[row, column] != 0
        ]
        entry = r"\frac{\partial @b_@i}{\partial @\lambda_@j}"
        lines.append(Line(entry, "0", r"\text{otherwise}"))
        lines.append(Line("(@J_@b)_{@i@j}", entry))
    if is_small(product):
        barred = {
            sp.Symbol(n): Entry(f"-{n}")
            for n, a in zip(view.names, above, strict=True)
            if r"\bar" in a
        }
        shown = product.xreplace(barred) if seen else _entries(g, product)
        return (*lines, Line(r"@J_@b @J_@b^{\top}", shown))
    rule = r"\sum_@k (@J_@b)_{@i@k} (@J_@b)_{@j@k}"
    return (*lines, Line(r"(@J_@b @J_@b^{\top})_{@i@j}", rule))


def pushed_lines(g: Generic, view: View) -> tuple[Line, ...]:
    """db/dt from dλ/dt, for charts with intermediates."""
    b = ", ".join(view_name(g, view, n) for n in view.names)
    rates = rf"\frac{{\partial ({b})}}{{\partial @\lambda}} {rate_left(_POINT)}"
    return (Line(rate_left(f"({b})"), rates),)


def seen_lines(g: Generic, view: View) -> tuple[Line, ...]:
    """db/dt = η J ∇_λ L."""
    eta = sp.Symbol("eta", positive=True)
    means: dict[str, sp.Expr] = {}
    for run in g.runs:
        for n, name in enumerate(run.names):
            means[name] = g.averaged(run, run.numbers[n] if run.numbers else None)
    lines = []
    for name, e in zip(view.names, view.expressions, strict=True):
        terms = []
        slopes = [sp.diff(e, c.symbol) for c in g.chart.coordinates]
        if max(len(str(s)) for s in slopes) > _MATRIX_WIDTH:
            left = view_name(g, view, name)
            rates = (
                rf"\frac{{\partial {left}}}{{\partial @\lambda_@j}} "
                r"\frac{@d@\lambda_@j}{@d@t}"
            )
            lines.append(Line(rate_left(left), rf"\sum_@j {rates}"))
            continue
        for c, slope in zip(g.chart.coordinates, slopes, strict=True):
            if slope != 0:
                terms.append(scaled(g.shown(slope), means[c.name]))
        right = eta * summed(terms)
        lines.append(Line(rate_left(view_name(g, view, name)), right))
    return tuple(lines)
