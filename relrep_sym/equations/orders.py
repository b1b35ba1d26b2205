r"""The orders of a chart: which parameters it keeps apart, and by how much.

In: a chart. Out: frozen :class:`Orders`, read off the chart's program and of no chart by name: for
each family parameter whose entries are a chain

.. math:: \theta_{k+1} = \theta_k + g(\Delta_k) + c_k \quad\text{or}\quad
          \log\theta_{k+1} = \log\theta_k + g(\Delta_k) + c_k

an :class:`Order`; for weights that are kept above a clearance the floors; and whether all else
leaves the model unconstrained, so that the maximiser of Q, where it is so ordered, has coordinates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import sympy as sp

from relrep_sym.declare.chart import Chart
from relrep_sym.declare.functions import LogTotal, Softplus
from relrep_sym.declare.symbols import Constant, Parameter
from relrep_sym.equations.covers import REALS, Need, interval_of, uncovered

__all__ = ["Floor", "Order", "Orders", "Reference", "find_orders", "unfolded", "weight_needs"]

Kind = Literal["plain", "square", "exp", "softplus"]
Reference = Literal["first", "last"]


@dataclass(frozen=True)
class Order:
    """One family parameter, kept in order: θ_{k+1} − θ_k (or of logarithms) = steps_k + room_k.

    Attributes:
        role: the family parameter's name.
        gaps: the coordinates Δ_1 … Δ_{K−1}, from the first component to the last.
        kinds: what each gap is a function of: ``"plain"`` Δ, ``"square"`` Δ², ``"exp"`` e^Δ or
            ``"softplus"`` log(1 + e^Δ).
        steps: those functions, in the coordinates.
        clearances: c_1 … c_{K−1}, numbers or expressions in constants.
        reference: which end of the chain has a coordinate of its own.
        base: that end's value (of a multiplicative order its logarithm) in the coordinates.
        multiplicative: whether it is the logarithms that are in a chain; a clearance c then is a
            factor e^c.
        closed: whether every gap reaches zero: plain and square ones do, exp and softplus only
            approach it.
    """

    role: str
    gaps: tuple[str, ...]
    kinds: tuple[Kind, ...]
    steps: tuple[sp.Expr, ...]
    clearances: tuple[sp.Expr, ...]
    reference: Reference
    base: sp.Expr
    multiplicative: bool
    closed: bool

    @property
    def kind(self) -> Kind | None:
        """The one kind of all gaps, or None where they differ."""
        return self.kinds[0] if len(set(self.kinds)) == 1 else None

    @property
    def clearance(self) -> sp.Expr | None:
        """The one clearance of all links, or None where they differ."""
        return self.clearances[0] if len(set(self.clearances)) == 1 else None

    @property
    def totals(self) -> tuple[sp.Expr, ...]:
        """0, c_1, c_1 + c_2, …: what is taken off θ_k to leave an order without a clearance."""
        out: list[sp.Expr] = [sp.Integer(0)]
        for c in self.clearances:
            out.append(out[-1] + c)
        return tuple(out)


@dataclass(frozen=True)
class Floor:
    """π_k ≥ bound for one component (from zero on), or > where the bound is not reached."""

    component: int
    bound: sp.Expr
    closed: bool


@dataclass(frozen=True)
class Orders:
    """What a chart asks of θ.

    Attributes:
        orders: the parameters it keeps in order.
        floors: the weights it keeps above a clearance.
        why: None where nothing else constrains θ; else what does, or what is not seen through.
    """

    orders: tuple[Order, ...]
    floors: tuple[Floor, ...]
    why: str | None

    @property
    def exact(self) -> bool:
        """Whether orders and floors are all that the chart asks of θ."""
        return self.why is None

    @property
    def unconstrained(self) -> bool:
        """Whether the chart reaches every θ: EM in it is EM, mapped."""
        return self.exact and not self.orders and not self.floors

    def of_role(self, role: str) -> Order | None:
        """The order of a family parameter, if it has one."""
        return next((o for o in self.orders if o.role == role), None)


def find_orders(chart: Chart) -> Orders:
    """The orders of a chart, its floors, and whether anything else constrains θ.

    >>> from relrep_sym.declare.charts import relative
    >>> from relrep_sym.declare.model import mixture
    >>> model = mixture("normal", components=3)
    >>> found = find_orders(relative(model, "mu", gap="square", clearance="lam"))
    >>> (order,) = found.orders
    >>> order.role, order.gaps, order.kind, order.clearance, order.reference, found.exact
    ('mu', ('Delta_1', 'Delta_2'), 'square', lam, 'first', True)

    Source: Esser and Nielsen 2022, section 2.
    """
    rules: dict[sp.Symbol, sp.Expr] = dict(chart.program)
    domains = {c.symbol: c.domain for c in chart.coordinates}
    below = _below(chart)
    orders: list[Order] = []
    needs: list[Need] = []
    done: set[sp.Symbol] = set()
    for p in chart.model.family.parameters:
        order = _order(chart, rules, below, p.name)
        if order is None:
            continue
        orders.append(order)
        entries = chart.model.component(p.name)
        base = entries[0 if order.reference == "first" else -1]
        done |= {sp.Symbol(n) for n in order.gaps} | {e for e in entries if e != base}
    floors, needed, spoken = weight_needs(chart)
    needs += needed
    done |= spoken
    for entry in chart.model.parameters:
        if entry.symbol not in done:
            where = interval_of(entry.domain)
            needs.append(Need(entry.name, rules[entry.symbol], where, entry.symbol))
    why = None
    if chart.whole is not None:
        still = [n for n in chart.whole.names if n not in chart.names]
        why = f"{', '.join(still)} held"
    why = why or uncovered(needs, rules, domains, done)
    return Orders(tuple(orders), floors, why)


def _below(chart: Chart) -> dict[sp.Symbol, frozenset[sp.Symbol]]:
    """For each target of the program the coordinates that it depends on."""
    out: dict[sp.Symbol, frozenset[sp.Symbol]] = {s: frozenset({s}) for s in chart.symbols}
    for target, rule in chart.program:
        out[target] = frozenset().union(*(out.get(s, frozenset()) for s in rule.free_symbols))
    return out


# ------------------------------------------------------------------------------ one order


def _order(
    chart: Chart,
    rules: Mapping[sp.Symbol, sp.Expr],
    below: Mapping[sp.Symbol, frozenset[sp.Symbol]],
    role: str,
) -> Order | None:
    """The order of one family parameter, or None where its entries are no such chain."""
    entries = chart.model.component(role)
    if len(entries) < 2 or len(set(entries)) < len(entries):
        return None
    if not all(isinstance(e, Parameter) for e in entries):
        return None
    levels = [_exponent(rules, e) for e in entries]
    multiplicative = all(level is not None for level in levels)
    chain = levels if multiplicative else list(entries)
    place = {t: n for n, (t, _) in enumerate(chart.program)}
    links = []
    for here, after in pairwise(chain):
        step = _difference(after, here, rules, place)
        link = None if step is None else _link(chart, step)
        if link is None:
            return None
        links.append(link)
    gaps = [s for s, *_ in links]
    others = [below[p.symbol] for p in chart.model.parameters if p.role != role]
    if len(set(gaps)) < len(gaps) or any(set(gaps) & read for read in others):
        return None
    free = [end for end in (0, -1) if not below[entries[end]] & set(gaps)]
    if not free:
        return None
    end = free[0]
    return Order(
        role=role,
        gaps=tuple(s.name for s in gaps),
        kinds=tuple(kind for _, kind, *_ in links),
        steps=tuple(step for _, _, step, *_ in links),
        clearances=tuple(room for *_, room, _ in links),
        reference="first" if end == 0 else "last",
        base=unfolded(chart, chain[end]),
        multiplicative=multiplicative,
        closed=all(closed for *_, closed in links),
    )


def _exponent(rules: Mapping[sp.Symbol, sp.Expr], entry: sp.Symbol) -> sp.Expr | None:
    rule = rules[entry]
    return rule.args[0] if isinstance(rule, sp.exp) else None


_MOST = 64
"""Symbols that a difference may have on the way, and steps that it may take."""


def _difference(
    after: sp.Expr,
    here: sp.Expr,
    rules: Mapping[sp.Symbol, sp.Expr],
    place: Mapping[sp.Symbol, int],
) -> sp.Expr | None:
    """after − here in coordinates and constants, what is computed last written out first."""
    value = sp.expand_mul(after - here)
    for _ in range(_MOST):
        inner = [s for s in value.free_symbols if s in place]
        if not inner:
            return value
        last = max(inner, key=lambda s: place[s])
        value = sp.expand_mul(value.xreplace({last: rules[last]}))
        if len(value.free_symbols) > _MOST:
            return None
    return None


def unfolded(chart: Chart, value: sp.Expr) -> sp.Expr:
    """An expression in the coordinates and constants, multiplied out."""
    known = {s: chart.every_value[s] for s in value.free_symbols if s in chart.every_value}
    return sp.expand_mul(value.xreplace(known))


def _link(chart: Chart, step: sp.Expr) -> tuple[sp.Symbol, Kind, sp.Expr, sp.Expr, bool] | None:
    """(coordinate, kind, gap, clearance, whether the gap reaches zero) of one link; or None."""
    domains = {c.symbol: c.domain for c in chart.coordinates}
    terms = sp.Add.make_args(step)
    moving = [t for t in terms if t.free_symbols & set(domains)]
    if len(moving) != 1 or len(moving[0].free_symbols) != 1:
        return None
    (gap,), (symbol,) = moving, moving[0].free_symbols
    domain, room = domains[symbol], sp.Add(*(t for t in terms if t is not gap))
    if gap == symbol and domain.lower == 0.0 and domain.upper == float("inf"):
        return symbol, "plain", gap, room, not domain.open_lower
    kinds: tuple[tuple[Kind, sp.Expr], ...] = (
        ("square", symbol**2),
        ("exp", sp.exp(symbol)),
        ("softplus", Softplus(symbol)),
    )
    for kind, form in kinds:
        if gap == form and (domain.name == "real" or (kind == "square" and domain.lower == 0.0)):
            if domain.upper == float("inf"):
                return symbol, kind, gap, room, kind == "square" and not domain.open_lower
    return None


# ------------------------------------------------------------------------------ weights

_Weights = tuple[tuple[Floor, ...], list[Need], set[sp.Symbol]]


def weight_needs(chart: Chart) -> _Weights:
    """The floors of the weights, what must be reached for them, and which are spoken for."""
    rules: dict[sp.Symbol, sp.Expr] = dict(chart.program)
    entries = [p.symbol for p in chart.model.of_role("weight")]
    found = _softmax(chart, rules, entries) or _sticks(chart, rules, entries)
    return found or _cleared(chart, rules, entries)


def _whole(chart: Chart) -> sp.Expr:
    """What the free weights share."""
    given = () if isinstance(chart.model.weights, str) else chart.model.weights
    return 1 - sp.Add(*(w for w in given if w is not None))


def _floors(chart: Chart, bound: sp.Expr, closed: bool) -> tuple[Floor, ...]:
    free = chart.model.free_weights
    return tuple(Floor(k, bound, closed) for k in free) if bound != 0 else ()


def _softmax(
    chart: Chart, rules: Mapping[sp.Symbol, sp.Expr], entries: list[Parameter]
) -> _Weights | None:
    """π_k = c + s exp(a_k − log(1 + Σ e^a)), every a_k free to be any real number."""
    bounds, levels, totals = set(), [], set()
    for e in entries:
        terms = sp.Add.make_args(rules[e])
        powers = [t for t in terms if t.has(sp.exp)]
        if len(powers) != 1:
            return None
        share, power = powers[0].as_independent(sp.exp, as_Add=False)
        room = sp.Add(*(t for t in terms if t is not powers[0]))
        if not isinstance(power, sp.exp) or not (_given(room) and _given(share)):
            return None
        read = {s: rules[s] for s in power.free_symbols if isinstance(rules.get(s), LogTotal)}
        inner = power.args[0]
        found = [*read, *(a for a in sp.Add.make_args(-inner) if isinstance(a, LogTotal))]
        if len(found) != 1:
            return None
        bounds.add((room, sp.expand(share)))
        levels.append(inner + found[0])
        totals.add(rules.get(found[0], found[0]))
    if len(bounds) != 1 or len(totals) != 1:
        return None
    ((room, share),) = bounds
    (total,) = totals
    left = sp.expand(_whole(chart) - (len(entries) + 1) * room - share)
    if left != 0 or sorted(total.args, key=str) != sorted(levels, key=str):
        return None
    needs = [Need(e.name, a, REALS) for e, a in zip(entries, levels, strict=True)]
    return _floors(chart, room, closed=False), needs, set(entries)


def _sticks(
    chart: Chart, rules: Mapping[sp.Symbol, sp.Expr], entries: list[Parameter]
) -> _Weights | None:
    """π_k = c + v_k L_k with L_{k+1} = L_k (1 − v_k), every v_k in [0, 1]."""
    if not entries:
        return None
    needs: list[Need] = []
    left, bound = None, None
    made = {sp.expand(r): t for t, r in rules.items()}
    for n, e in enumerate(entries):
        unknown = [s for s in rules[e].free_symbols if not isinstance(s, Constant) and s != left]
        if len(unknown) != 1:
            return None
        (v,) = unknown
        room = rules[e].xreplace({v: sp.Integer(0)})
        slope = sp.expand(sp.diff(rules[e], v))
        if bound is None:
            bound = room
            left = sp.expand(_whole(chart) - (len(entries) + 1) * room)
        if room != bound or not _given(room) or sp.expand(slope - left) != 0:
            return None
        needs.append(Need(e.name, v, (sp.Integer(0), sp.Integer(1))))
        if n + 1 < len(entries):
            left = made.get(sp.expand(left * (1 - v)))
            if left is None:
                return None
    assert bound is not None
    if bound == 0 and len(entries) == 1:
        return None  # one weight that is a coordinate: nothing to be seen through
    return _floors(chart, bound, closed=True), needs, set(entries)


def _cleared(
    chart: Chart, rules: Mapping[sp.Symbol, sp.Expr], entries: list[Parameter]
) -> _Weights:
    """π_k = ω_k + c for all but the last, which has no floor."""
    domains = {c.symbol: c.domain for c in chart.coordinates}
    floors, spoken = [], set()
    for k, e in zip(chart.model.free_weights, entries, strict=False):
        unknown = [s for s in rules[e].free_symbols if s in domains]
        if len(unknown) != 1 or domains[unknown[0]].name != "unit":
            continue
        room = sp.expand(rules[e] - unknown[0])
        if room != 0 and _given(room):
            floors.append(Floor(k, room, closed=True))
            spoken |= {e, unknown[0]}
    return tuple(floors), [], spoken


def _given(expression: sp.Expr) -> bool:
    return all(isinstance(s, Constant) for s in expression.free_symbols)
