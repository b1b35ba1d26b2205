r"""How the joint M-step of a chart is solved: mapped, ordered, in the coordinates, or not closed.

In: a chart. Out: a frozen :class:`JointStep`, which says the way and in words why. The family's own
M-step (:mod:`.em`) is the maximiser of Q over all of θ: in a chart that reaches every θ it is the
joint step, mapped by the chart's inverse (EM is one and the same in all such charts). Where the
chart keeps parameters in order, the constrained problem is an isotonic regression
(:mod:`.isotonic`); where it ties them by equations that are linear in its coordinates, weighted
least squares; where one coordinate is behind all entries of a parameter, one equation in one
unknown. Else ∂Q/∂λ = 0 has no closed form that is seen here, and Newton's method solves it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import sympy as sp

from relrep_sym.declare.chart import Chart
from relrep_sym.declare.model import Mixture
from relrep_sym.declare.symbols import Constant, Parameter
from relrep_sym.equations.covers import Need, interval_of, uncovered
from relrep_sym.equations.em import (
    MStep,
    component_objective,
    derive_m_step,
    shift_symbol,
    statistic_symbol,
)
from relrep_sym.equations.isotonic import (
    Pull,
    Regression,
    held_by,
    inverse_link,
    pull_of,
    regression,
)
from relrep_sym.equations.median import MedianStep, median_step
from relrep_sym.equations.orders import Orders, find_orders, unfolded, weight_needs
from relrep_sym.equations.program import find_inverse
from relrep_sym.errors import DerivationError, NoInverseError

__all__ = ["JointStep", "LeastSquares", "OneUnknown", "Profile", "joint_step", "profile_of"]

Way = Literal["mapped", "ordered", "coordinates", "partly", "none"]


@dataclass(frozen=True)
class LeastSquares:
    """θ_role = A β + C with Q quadratic in θ_role: β⁺ = (Aᵀ W A)⁻¹ Aᵀ W (m − C).

    ``matrix`` has a row for each component and a column for each of ``names``; W holds
    N_k v_k, v_k the pull's factor; ``given`` are the parameters that it holds.
    """

    role: str
    names: tuple[str, ...]
    matrix: sp.ImmutableMatrix
    offset: tuple[sp.Expr, ...]
    pull: Pull
    given: tuple[str, ...]


@dataclass(frozen=True)
class OneUnknown:
    """Every entry of a role as a function of one coordinate: Σ_k ∂Q/∂φ_k dφ_k/dλ = 0.

    ``degree`` is that of the polynomial equation in ``unknown`` (the coordinate, or its
    exponential); None where it is no polynomial. ``value`` is the root where there is one alone,
    in N_k (times the pull's factor v_k) and s_k; else the real roots inside of the domain, and the
    domain's ends, are to be compared by Q.
    """

    role: str
    name: str
    entries: tuple[sp.Expr, ...]
    pull: Pull
    unknown: sp.Expr
    degree: int | None
    value: sp.Expr | None
    given: tuple[str, ...]


@dataclass(frozen=True)
class JointStep:
    """The way of a chart's joint M-step, and why.

    Attributes:
        way: ``"mapped"``: the closed form in θ, by the inverse of the chart, always;
            ``"ordered"``: that where it is so ordered, else exactly by pooling components;
            ``"coordinates"``: a closed form in the coordinates;
            ``"partly"``: the closed form in θ where it lies in the chart's image, else Newton;
            ``"none"``: Newton.
        reason: why, in words.
        orders: what the chart asks of θ.
        theta: the M-step over all of θ, where it has a closed form.
        regressions: of each ordered parameter, or in words why there is none.
        squares: parameters tied by linear equations.
        roots: parameters behind which there is one coordinate.
        medians: the M-step over all of θ where it is one of weighted medians.
    """

    way: Way
    reason: str
    orders: Orders
    theta: MStep | None
    regressions: tuple[Regression | str, ...] = ()
    squares: tuple[LeastSquares, ...] = ()
    roots: tuple[OneUnknown, ...] = ()
    medians: MedianStep | None = None

    def __repr__(self) -> str:
        return f"<JointStep: {self.way}; {self.reason}>"


def joint_step(chart: Chart) -> JointStep:
    """How the joint M-step of a chart is solved.

    >>> from relrep_sym.declare.charts import affine, log, relative
    >>> from relrep_sym.declare.model import mixture
    >>> m = mixture("normal", components=3, scales=1)
    >>> joint_step(log(mixture("normal", components=3), "sigma")).way
    'mapped'
    >>> joint_step(relative(m, "mu")).way
    'ordered'
    >>> joint_step(affine(m, [[1, 0], [1, 1], [1, 2]], parameter="mu")).way
    'coordinates'
    >>> joint_step(relative(mixture("normal", components=3), "mu")).reason
    'the ordered means are an isotonic regression only at given scales'
    """
    model, orders = chart.model, find_orders(chart)
    theta, missing = _over_theta(chart)
    if theta is not None and orders.unconstrained:
        return JointStep("mapped", "the chart reaches every θ", orders, theta)
    ordered = tuple(o.role for o in orders.orders)
    regressions = tuple(regression(model, o, ordered) for o in orders.orders)
    if theta is not None and orders.exact:
        whys = [_why_not(chart, r) for r in regressions]
        if not any(whys):
            reason = "what the chart asks of θ separates, and is solved by pooling components"
            return JointStep("ordered", reason, orders, theta, regressions)
        reason = "; ".join(w for w in whys if w)
        return JointStep("partly", reason, orders, theta, regressions)
    medians = None if missing is None else median_step(model)
    if medians is not None:
        if orders.unconstrained:
            return JointStep("mapped", "the chart reaches every θ", orders, None, medians=medians)
        why_not = "; ".join(w for w in (*map(str, filter(_told, regressions)), orders.why) if w)
        return JointStep("partly", why_not, orders, None, regressions, medians=medians)
    if missing is not None:
        return JointStep("none", missing, orders, None, regressions)
    squares, roots, why = _in_coordinates(chart, orders)
    if why is None:
        reason = "∂Q/∂λ = 0 is solved in the coordinates"
        return JointStep("coordinates", reason, orders, theta, regressions, squares, roots)
    bijective = len(chart.coordinates) == len(model.parameters) and _invertible(chart)
    way: Way = "partly" if bijective else "none"
    return JointStep(way, why, orders, theta, regressions, squares, roots)


@dataclass(frozen=True)
class Profile:
    """A tied parameter whose equation holds others' maximisers: Σ_k N_k slope(φ) = 0.

    ``slope`` is that of one component with its own parameters at their maximisers ``own``, in
    t_j and the tied parameter's symbol; ``degree`` the degree of the polynomial equation, for all
    components.
    """

    role: str
    slope: sp.Expr
    own: tuple[tuple[str, sp.Expr], ...]
    degree: int


def profile_of(model: Mixture) -> Profile | None:
    """The profile equation of a model with one tied parameter that the others' depend on.

    >>> from relrep_sym.declare.model import mixture
    >>> found = profile_of(mixture("normal", components=3, means="tied"))
    >>> found.slope, found.degree
    (-(mu - t_1)/(mu**2 - 2*mu*t_1 + t_2), 5)
    """
    family = model.family
    pairs = list(zip(family.parameters, model.patterns, strict=True))
    tied = [p for p, q in pairs if q == "tied"]
    own = [p for p, q in pairs if q == "free"]
    q = component_objective(family)
    if q is None or len(tied) != 1 or not own or len(tied) + len(own) < len(pairs):
        return None
    values: list[tuple[str, sp.Expr]] = []
    (p,) = tied
    for other in own:
        pull = pull_of(family, other.name)
        moved = family.location is not None and p.name == family.location.name
        back = {shift_symbol(family): p.symbol} if moved else {}
        value = None if pull is None else inverse_link(pull, pull.statistic.xreplace(back))
        if value is None or value.free_symbols & {o.symbol for o in own}:
            return None
        values.append((other.name, value))
        q = q.subs(other.symbol, value)
    whole = q / statistic_symbol(0)
    slope = sp.factor(sp.diff(whole, p.symbol))
    parts = sp.fraction(slope)
    if not all(e.is_polynomial(p.symbol) for e in parts):
        return None  # such as digamma of a shape: no polynomial whose roots could be compared
    above, below = (sp.Poly(e, p.symbol) for e in parts)
    degree = above.degree() + (model.components - 1) * below.degree()
    return Profile(p.name, slope, tuple(values), degree)


def _told(found: Regression | str) -> bool:
    return isinstance(found, str)


def _over_theta(chart: Chart) -> tuple[MStep | None, str | None]:
    """The M-step over θ, or in words why it has no closed form."""
    try:
        return derive_m_step(chart.model), None
    except DerivationError as none:
        return None, str(none)


def _invertible(chart: Chart) -> bool:
    try:
        find_inverse(chart)
    except NoInverseError:
        return False
    return True


def _why_not(chart: Chart, found: Regression | str) -> str:
    if isinstance(found, str):
        return found
    if found.exact:
        return ""
    family = chart.model.family
    plural = family.parameter(found.order.role).plural
    held = " and ".join(family.parameter(n).plural for n in found.given)
    return f"the ordered {plural} are an isotonic regression only at given {held}"


# ------------------------------------------------------------------- closed in the coordinates


def _in_coordinates(
    chart: Chart, orders: Orders
) -> tuple[tuple[LeastSquares, ...], tuple[OneUnknown, ...], str | None]:
    """Roles that are solved in their coordinates; and why that is not all, or None."""
    model, rules = chart.model, dict(chart.program)
    domains = {c.symbol: c.domain for c in chart.coordinates}
    if orders.orders or orders.floors:
        return (), (), orders.why
    squares: list[LeastSquares] = []
    roots: list[OneUnknown] = []
    done: set[sp.Symbol] = set()
    below = {p.symbol: _read(chart, p.symbol) for p in model.parameters}
    for p in model.family.parameters:
        entries = model.component(p.name)
        pull = pull_of(model.family, p.name)
        if pull is None or not all(isinstance(e, Parameter) for e in entries):
            continue
        own = frozenset().union(*(below[e] for e in entries))
        others = [below[q.symbol] for q in model.parameters if q.role != p.name]
        full = len(own) == len(set(entries)) and _reached(chart, p.name)
        if not own or full or any(own & read for read in others):
            continue
        values = [unfolded(chart, e) for e in entries]
        names = tuple(c.name for c in chart.coordinates if c.symbol in own)
        held = held_by(model, pull, ())
        square = _squares(values, names, pull, held) if pull.quadratic else None
        if square is not None and all(domains[s].name == "real" for s in own):
            squares.append(square)
        elif len(own) == 1:
            (s,) = own
            above = domains[s].lower >= 0
            roots.append(_one_unknown(names[0], values, pull, held, above))
        else:
            continue
        done |= own | {e for e in entries if isinstance(e, Parameter)}
    _, needs, spoken = weight_needs(chart)
    done |= spoken
    needs += [
        Need(e.name, rules[e.symbol], interval_of(e.domain), e.symbol)
        for e in model.parameters
        if e.symbol not in done
    ]
    why = uncovered(needs, rules, domains, done)
    if chart.whole is not None:
        why = orders.why
    plurals = {p.name: p.plural for p in model.family.parameters}
    for role, given in [*((s.role, s.given) for s in squares), *((r.role, r.given) for r in roots)]:
        if given and why is None:
            held_there = " and ".join(plurals[n] for n in given)
            why = f"the equations of the {plurals[role]} are closed only at given {held_there}"
    for root in roots:
        if root.degree is None and why is None:
            why = f"the equation for {root.name} is no polynomial"
    return tuple(squares), tuple(roots), why


def _read(chart: Chart, entry: sp.Symbol) -> frozenset[sp.Symbol]:
    coordinates = frozenset(chart.symbols)
    return frozenset(chart.every_value[entry].free_symbols) & coordinates


def _reached(chart: Chart, role: str) -> bool:
    """Whether a role's entries take every value in their coordinates."""
    rules = dict(chart.program)
    domains = {c.symbol: c.domain for c in chart.coordinates}
    needs = [
        Need(p.name, rules[p.symbol], interval_of(p.domain), p.symbol)
        for p in chart.model.of_role(role)
    ]
    return uncovered(needs, rules, domains, set()) is None


def _squares(
    values: list[sp.Expr], names: tuple[str, ...], pull: Pull, given: tuple[str, ...]
) -> LeastSquares | None:
    """θ = A β + C where every entry is affine in the coordinates; else None."""
    symbols = [sp.Symbol(n) for n in names]
    rows = [[sp.expand(sp.diff(v, s)) for s in symbols] for v in values]
    if any(not isinstance(s, Constant) for row in rows for e in row for s in e.free_symbols):
        return None
    zero = dict.fromkeys(symbols, sp.Integer(0))
    offset = tuple(v.xreplace(zero) for v in values)
    return LeastSquares(pull.role, names, sp.ImmutableMatrix(rows), offset, pull, given)


_MOST = 6
"""Entries whose equation in one unknown is brought over one denominator."""


def entry_symbol(stem: str, k: int) -> sp.Symbol:
    """N_k or s_k of component k, from one on."""
    return sp.Symbol(f"{stem}_{k}", positive=True)


def _one_unknown(
    name: str, values: list[sp.Expr], pull: Pull, given: tuple[str, ...], positive: bool
) -> OneUnknown:
    """One equation in one unknown, as a polynomial where it is one."""
    symbol = sp.Symbol(name)
    degree, value, unknown = None, None, symbol
    if len(values) <= _MOST and not given:
        s = sp.Dummy("s")
        slope = pull.shape * (s - pull.link)
        terms = [
            entry_symbol("N", k)
            * slope.xreplace({pull.symbol: v, s: entry_symbol("s", k)})
            * sp.diff(v, symbol)
            for k, v in enumerate(values, start=1)
        ]
        power = sp.Dummy("z", positive=True)
        numerator = sp.expand(sp.numer(sp.together(sp.Add(*terms))))
        exponentials = numerator.atoms(sp.exp)
        if exponentials and all(e.args[0].coeff(symbol).is_Integer for e in exponentials):
            in_power = sp.expand(sp.numer(sp.together(numerator.subs(sp.exp(symbol), power))))
            if not in_power.has(symbol):
                numerator, unknown = in_power, sp.exp(symbol)
        base = power if unknown != symbol else symbol
        positive = positive or base is power
        if numerator.is_polynomial(base):
            polynomial = sp.Poly(numerator, base)
            lowest = min(n for (n,) in polynomial.monoms())
            if base is power:  # which is never zero
                polynomial = sp.Poly(sp.cancel(polynomial.as_expr() / power**lowest), power)
            degree = polynomial.degree()
            terms_left = polynomial.terms()
            if len(terms_left) == 2 and (degree == 1 or positive) and terms_left[1][0] == (0,):
                (_, above), (_, below) = terms_left  # a zⁿ + b, of which one root is positive
                root = sp.factor(-below / above) ** sp.Rational(1, degree)
                value = sp.log(root) if base is power else root
    return OneUnknown(pull.role, name, tuple(values), pull, unknown, degree, value, given)
