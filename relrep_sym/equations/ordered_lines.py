r"""The constrained M-step as a textbook prints it: an isotonic regression and its multipliers.

In: a :class:`~.generic.Generic`, and a :class:`~.isotonic.Regression` or floors of weights. Out:
lines and words. The constrained problem, its solution by max and min over pooled components, the
new parameters and gaps, stationarity of the Lagrangian, complementary slackness, and what the chart
makes of the multipliers: ∂Q/∂Δ_k = −g′(Δ_k) ν_k.
"""

from __future__ import annotations

import sympy as sp

from relrep_sym.declare.symbols import latex_name, script, split_index
from relrep_sym.equations.em_lines import new_entry
from relrep_sym.equations.generic import Generic
from relrep_sym.equations.isotonic import Regression, inverse_link
from relrep_sym.equations.lines import Line, mark_at, name_at, numbers_to, spaced, where_text
from relrep_sym.equations.nodes import Auxiliary, ComponentSum, Entry, Index, Terms
from relrep_sym.equations.orders import Floor, Order, find_orders
from relrep_sym.equations.pull_lines import (
    affected,
    blocks_compared,
    factor_at,
    new_value,
    role_line,
    target_at,
)

__all__ = [
    "floor_lines",
    "floor_words",
    "gap_slope",
    "ordered_lines",
    "ordered_words",
    "regression_column",
]


def ordered_lines(g: Generic, r: Regression) -> tuple[Line, ...]:
    """The regression, its solution, new values, multipliers."""
    count, order = g.model.components, r.order
    every, links = where_text(numbers_to(count)), where_text(numbers_to(count - 1))
    rows = [Line(Auxiliary.of("y", "k"), _target(g, r, "k"), every)]
    rows.append(Line(Auxiliary.of("w", "k"), _weight(g, r, "k"), every))
    rows += _clearances(g, order)
    up = r.pull.rising
    sign = r"\le" if up else r"\ge"
    chain = rf"@u_1 {sign} \dots {sign} @u_{script(str(count))}"
    if count < 4:
        chain = rf" {sign} ".join(f"@u_{k}" for k in numbers_to(count))
    half = r"\tfrac{1}{2}"
    total = rf"{half} \sum_{{@k=1}}^{script(str(count))} @w_@k (@y_@k - @u_@k)^2"
    rows.append(Line(f"({_row(count)})", rf"\operatorname*{{arg\,min}}_{{{chain}}} {total}"))
    outer, inner = (r"\max", r"\min") if up else (r"\min", r"\max")
    mean = r"\frac{\sum_{@l=@i}^@j @w_@l @y_@l}{\sum_{@l=@i}^@j @w_@l}"
    pooled = rf"{outer}_{{1 \le @i \le @k}} \, {inner}_{{@k \le @j \le {count}}} \, {mean}"
    rows.append(Line(_fitted("k"), pooled, every))
    rows.append(_new_line(g, r, every))
    rows += [line for role in affected(g, order.role) if (line := role_line(g, role))]
    rows += _gap_lines(g, order)
    rows.append(Line(_nu("k"), _multiplier(g, r), links))
    slack = rf"@\nu_@k ({_difference(r)})"
    rows.append(Line(slack, "0", rf"@\nu_@k \ge 0, \quad {links}"))
    rows += _gap_gradients(g, order, links)
    return tuple(rows)


def regression_column(g: Generic, r: Regression) -> sp.ImmutableMatrix:
    """Targets y_k and weights w_k, a row for each component, as they are printed."""
    count = g.model.components
    return sp.ImmutableMatrix([[_target(g, r, k), _weight(g, r, k)] for k in numbers_to(count)])


def _nu(i: Index) -> sp.Expr:
    return Auxiliary.of(r"\nu", i)


def _fitted(i: Index) -> sp.Expr:
    """u_i⁺."""
    return Auxiliary(f"u^+[{i}]")


def _row(count: int) -> str:
    shown = [f"@u_{k}^+" for k in numbers_to(count)]
    return ", ".join(shown if count < 4 else [shown[0], r"\dots", f"@u_{script(str(count))}^+"])


def _clearance(order: Order, i: Index) -> sp.Expr:
    """C_i, what is taken off component i: (i − 1) c, or its own symbol."""
    c = order.clearance
    if c == 0:
        return sp.Integer(0)
    if c is None:
        return Auxiliary.of("B", i)
    return c * ((sp.Symbol(f"@{i}") if isinstance(i, str) else sp.Integer(i)) - 1)


def _clearances(g: Generic, order: Order) -> list[Line]:
    if order.clearance is not None:
        return []
    names = ", ".join(f"@B_{script(str(k))}" for k in numbers_to(g.model.components))
    return [Line(rf"({names})\,", sp.ImmutableMatrix([list(order.totals)]))]


def _target(g: Generic, r: Regression, i: Index) -> sp.Expr:
    shown, c = target_at(g, r.pull, i), _clearance(r.order, i)
    if r.exponent is not None:
        return shown * sp.exp(-r.exponent * c)
    return Terms(shown, -c) if c != 0 else shown


def _weight(g: Generic, r: Regression, i: Index) -> sp.Expr:
    return factor_at(g, r.pull, i) * sp.exp(r.tilt * _clearance(r.order, i))


def _new_line(g: Generic, r: Regression, where: str) -> Line:
    """φ_k⁺ of u_k⁺."""
    role, new = r.order.role, _fitted("k")
    c = _clearance(r.order, "k")
    value = inverse_link(r.pull, new)
    if value is None:  # such as digamma, which has no inverse in closed form
        link = r.pull.link.xreplace({r.pull.symbol: new_value(g, role, "k")})
        return Line(link, new, where)
    if c != 0:
        value = value * sp.exp(c) if r.order.multiplicative else Terms(value, c)
    return Line(new_value(g, role, "k"), value, where)


def _regular(order: Order) -> bool:
    """Whether the gaps are of one kind and numbered 1 … K − 1 under one stem."""
    split = [split_index(n) for n in order.gaps]
    stems = {s for s, _ in split}
    numbers = [n for _, n in split]
    regular = len(stems) == 1 and numbers == list(range(1, len(split) + 1))
    return regular and order.kind is not None and order.clearance is not None


def _gap_lines(g: Generic, order: Order) -> list[Line]:
    """The gaps' functions at their new values, from neighbours."""

    def right(k: Index, after: Index, c: sp.Expr) -> sp.Expr:
        low, high = new_value(g, order.role, k), new_value(g, order.role, after)
        apart: tuple[sp.Expr, ...] = (high, -low)
        if order.multiplicative:
            apart = (sp.log(high / low, evaluate=False),)
        return Terms(*apart, *([-c] if c != 0 else []))

    if _regular(order):
        stem = _gap_stem(g, order)
        (s,) = order.steps[0].free_symbols
        left = order.steps[0].xreplace({s: new_entry(stem, "k")})
        assert order.clearance is not None
        where = where_text(numbers_to(g.model.components - 1))
        return [Line(left, right("k", "k+1", order.clearance), where)]
    out = []
    parts = zip(order.gaps, order.steps, order.clearances, strict=True)
    for k, (name, step, c) in enumerate(parts, start=1):
        left = step.xreplace({sp.Symbol(name): Entry(f"{_shown(g, name)}^+")})
        out.append(Line(left, right(k, k + 1, c)))
    return out


def _shown(g: Generic, name: str) -> str:
    return ("~" if sp.Symbol(name) in g.clashes else "") + name


def _gap_stem(g: Generic, order: Order) -> str:
    return split_index(_shown(g, order.gaps[0]))[0]


def _difference(r: Regression) -> str:
    a, b = ("k+1", "k") if r.pull.rising else ("k", "k+1")
    return f"{mark_at('u', a)}^+ - {mark_at('u', b)}^+"


def _multiplier(g: Generic, r: Regression) -> sp.Expr:
    """ν_k = Σ_{j ≤ k} ∂Q/∂φ_j, of logarithms where it is these that are in order."""
    new = _fitted("j")
    shape, at = r.pull.shape, new_value(g, r.order.role, "j")
    if r.order.multiplicative:  # the clearance's factors are in y, w and u
        shape, inner = shape * r.pull.symbol, inverse_link(r.pull, new)
        at = at if inner is None else inner
    slope = sp.powdenest(sp.simplify(shape).xreplace({r.pull.symbol: at}), force=True)
    shared = factor_at(g, r.pull, "j", tied=True)
    apart = Terms(Auxiliary.of("y", "j"), -new)
    return shared * ComponentSum.over(Auxiliary.of("w", "j") * slope * apart, "j", 1, "k")


def gap_slope(step: sp.Expr, symbol: sp.Symbol) -> sp.Expr:
    """g′(Δ) of a gap.

    >>> d = sp.Symbol("d")
    >>> gap_slope(d**2, d), gap_slope(sp.exp(d), d)
    (2*d, exp(d))
    """
    return sp.diff(step, symbol).rewrite(sp.exp)


def _gap_gradients(g: Generic, order: Order, where: str) -> list[Line]:
    """∂Q/∂Δ_k = −g′(Δ_k) ν_k."""
    if _regular(order):
        stem = _gap_stem(g, order)
        (s,) = order.steps[0].free_symbols
        slope = gap_slope(order.steps[0], s).xreplace({s: new_entry(stem, "k")})
        left = rf"\frac{{\partial @Q}}{{\partial {spaced(name_at(stem, 'k'))}^+}}"
        return [Line(left, -slope * _nu("k"), where)]
    out = []
    for k, (name, step) in enumerate(zip(order.gaps, order.steps, strict=True), start=1):
        symbol = sp.Symbol(name)
        slope = gap_slope(step, symbol).xreplace({symbol: Entry(f"{_shown(g, name)}^+")})
        left = rf"\frac{{\partial @Q}}{{\partial {spaced(latex_name(_shown(g, name)))}^+}}"
        out.append(Line(left, -slope * _nu(k)))
    return out


# ------------------------------------------------------------------------------ words


def ordered_words(g: Generic, r: Regression) -> str:
    """What is said of an ordered step, formulas between dollars."""
    family, order = g.model.family, r.order
    plural = family.parameter(order.role).plural
    out = []
    if r.exact:
        out.append(
            f"The joint step over the ordered {plural}: where their unconstrained values are in "
            "order nothing is pooled and every multiplier is zero; else neighbours are pooled "
            "until they are (pool adjacent violators)."
        )
    else:
        held = " and ".join(family.parameter(n).plural for n in r.given)
        how = "they are found numerically, by steps that never lower $@Q$"
        if len(find_orders(g.chart).orders) == 1 and blocks_compared(g, order.role):
            how = "the local maxima of all blocks of pooled components are compared"
        out.append(
            f"What the ordered {plural} satisfy at the joint maximum, where the {held} are new "
            f"ones too: at given {held} it is the step; together they have no closed form, and "
            f"{how}."
        )
    if not r.pull.quadratic:
        out.append(
            "Pooled components have the parameter at which the weighted mean of their $@y_@k$ is "
            "stationary, so that the solution is that of least squares."
        )
    nu, count = r"@\nu", script(str(g.model.components))
    here, after = (name_at(order.role, i) + "^+" for i in ("k", "k+1"))
    if order.multiplicative:
        here, after = rf"\log {here}", rf"\log {after}"
    room, what = _room(order)
    out.append(
        rf"${nu}_@k$ are the multipliers of the Lagrangian $@Q + \sum_@k {nu}_@k ({after} - {here}"
        rf"{room})$, stationary in every component with ${nu}_0 = {nu}_{count} = 0${what}."
    )
    if "square" in order.kinds:
        out.append(
            rf"A square gap is stationary at zero whatever ${nu}_@k$ is: it may be the maximum "
            rf"(${nu}_@k \ge 0$) or not (${nu}_@k < 0$), and gradients do not tell."
        )
    if not order.closed:
        kinds = [k for k in dict.fromkeys(order.kinds) if k in ("exp", "softplus")]
        names = " and ".join({"exp": "An exponential", "softplus": "A softplus"}[k] for k in kinds)
        out.append(
            f"{names} gap does not reach zero: where components are pooled the supremum of $@Q$ is "
            r"approached as the gap's coordinate goes to $-\infty$ and is not attained."
        )
    return " ".join(out)


# ------------------------------------------------------------------------------ weights

_NU = Auxiliary(r"\nu")


def floor_lines(g: Generic, floors: tuple[Floor, ...]) -> tuple[Line, ...]:
    """π_k⁺ = max(c, N_k/ν), ν from the sum, and the multipliers."""
    free = [k + 1 for k in g.model.free_weights]
    bounds = {f.component + 1: f.bound for f in floors}
    room = 1 - sp.Add(*(w for w in g.model.weights if isinstance(w, sp.Expr)))
    share = Auxiliary.of("N", "k") / _NU
    rows = []
    for bound in dict.fromkeys(bounds.values()):
        those = [k for k in free if bounds.get(k) == bound]
        rows.append(Line(new_entry("pi", "k"), _larger(bound, share), where_text(those)))
    rest = [k for k in free if k not in bounds]
    for k in rest:
        rows.append(
            Line(new_entry("pi", k), share.xreplace({Auxiliary.of("N", "k"): Auxiliary.of("N", k)}))
        )
    whole = Entry("pi^+[k]")
    total = (
        ComponentSum.over(whole, "k", free[0], free[-1])
        if free == list(range(free[0], free[-1] + 1))
        else Terms(*(new_entry("pi", k) for k in free))
    )
    rows.append(Line(total, room))
    those = [k for k in free if k in bounds]
    kappa = Auxiliary.of(r"\kappa", "k")
    rows.append(Line(kappa, _NU - Auxiliary.of("N", "k") / whole, where_text(those)))
    for bound in dict.fromkeys(bounds.values()):
        above = Terms(whole, -bound)
        where = where_text([k for k in free if bounds.get(k) == bound])
        rows.append(Line(kappa * above, sp.Integer(0), rf"@\kappa_@k \ge 0, \quad {where}"))
    return tuple(rows)


def _larger(bound: sp.Expr, share: sp.Expr) -> sp.Expr:
    return sp.Max(bound, share, evaluate=False)


def floor_words(g: Generic, floors: tuple[Floor, ...]) -> str:
    """What is said of weights that are kept above a clearance."""
    out = (
        r"The weights above their clearance share what is left in proportion to $@N_@k$; $@\nu$ is "
        "the one number with which they sum to what they share."
    )
    if not all(f.closed for f in floors):
        out += (
            " A softmax does not reach its clearance: where a weight would lie on it the supremum "
            "of $@Q$ is approached and not attained."
        )
    return out


def _room(order: Order) -> tuple[str, str]:
    """What the Lagrangian subtracts for the clearance, and what is said of its letter."""
    clearance = order.clearance
    if clearance == 0:
        return "", ""
    if isinstance(clearance, sp.Symbol):
        return f" - {latex_name(clearance.name)}", ""
    if clearance is not None and clearance.is_Integer:
        return f" - {clearance}", ""
    return (
        (" - @c", ", $@c$ being the clearance")
        if clearance is not None
        else (
            " - @c_@k",
            ", $@c_@k$ being the clearances",
        )
    )
