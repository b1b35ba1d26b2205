r"""Ordered parameters: when the constrained M-step is an isotonic regression, and of what.

In: a family, and an :class:`~.orders.Order` of one of its parameters φ. Out: a frozen
:class:`Regression`, derived from ∂Q/∂φ alone. Where

.. math:: \frac{\partial Q}{\partial \varphi_k} = N_k \, v_k \, h(\varphi_k) \,
          \bigl(s_k - g(\varphi_k)\bigr)

with a monotone g, components that are pooled have g(φ) at the weighted mean of their s_k, so that
the maximiser under φ_1 ≤ … ≤ φ_K has g(φ_k) = u_k, the isotonic regression of s_k with weights
N_k v_k (Barlow et al. 1972; Robertson, Wright and Dykstra 1988). A clearance c_k is taken off
where that leaves the form: from the targets where Q is quadratic in φ, as a factor where g and h
are powers and the clearance is a factor itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import sympy as sp

from relrep_sym.declare.family import Family
from relrep_sym.declare.model import Mixture
from relrep_sym.equations.em import component_objective, shift_symbol, statistic_symbol
from relrep_sym.equations.orders import Order

__all__ = ["Pull", "Regression", "held_by", "inverse_link", "pull_of", "regression"]


@dataclass(frozen=True)
class Pull:
    """∂Q_k/∂φ = N v h(φ) (s − g(φ)) of one component.

    Attributes:
        role: the parameter φ.
        symbol: φ; of a location the shift from the present one.
        statistic: s, in t_j and in the other parameters (the location's shift too).
        link: g, in φ alone.
        factor: v, free of φ.
        shape: h, in φ alone.
        rising: whether g rises with φ.
    """

    role: str
    symbol: sp.Symbol
    statistic: sp.Expr
    link: sp.Expr
    factor: sp.Expr
    shape: sp.Expr
    rising: bool

    @property
    def quadratic(self) -> bool:
        """Whether Q is quadratic in φ: g is φ itself and h a number."""
        return self.link == self.symbol and not self.shape.has(self.symbol)

    @property
    def slope(self) -> sp.Expr:
        """∂Q_k/∂φ over N_k, put together again."""
        return self.factor * self.shape * (self.statistic - self.link)


@cache
def pull_of(family: Family, role: str) -> Pull | None:
    """The form above, or None where ∂Q/∂φ has it not.

    >>> from relrep_sym.declare.family import family_named
    >>> p = pull_of(family_named("normal"), "sigma")
    >>> p.statistic, p.link, p.factor, p.shape, p.rising
    (shift_mu**2 - 2*shift_mu*t_1 + t_2, sigma**2, 1, sigma**(-3), True)
    >>> pull_of(family_named("gamma"), "scale").statistic
    t_1/shape
    """
    q = component_objective(family)
    if q is None:
        return None
    location, symbol = family.location, family.parameter(role).symbol
    if location is not None and location.name != role:
        q = q.subs(location.symbol, shift_symbol(family))
    slope = sp.expand(sp.diff(q, symbol) / statistic_symbol(0))
    statistics = sorted((s for s in slope.free_symbols if s.name.startswith("t_")), key=str)
    rest = slope.xreplace(dict.fromkeys(statistics, sp.Integer(0)))
    parts = {t: sp.factor(sp.diff(slope, t)) for t in statistics}
    if not parts or any(c.has(*statistics) for c in parts.values()):
        return None
    lead = min(parts.values(), key=sp.count_ops)
    ratios = {t: sp.simplify(c / lead) for t, c in parts.items()}
    if any(r.has(symbol) for r in ratios.values()):
        return None
    offset, moving = sp.expand(sp.simplify(-rest / lead)).as_independent(symbol, as_Add=True)
    scale, link = moving.as_independent(symbol, as_Add=False)
    if link == 1 or link.free_symbols != {symbol}:
        return None
    bend = sp.factor(sp.diff(link, symbol))
    if symbol.is_nonnegative:  # of an end of the domain nothing need be known
        bend = bend.xreplace({symbol: sp.Dummy("u", positive=True)})
    if not (bend.is_positive or bend.is_negative):
        return None
    factor, shape = (lead * scale).as_independent(symbol, as_Add=False)
    if shape.free_symbols - {symbol}:
        return None
    if factor.could_extract_minus_sign():
        factor, shape = -factor, -shape
    found = sum((t * r for t, r in ratios.items()), sp.Integer(0))
    statistic = sp.expand((found - offset) / scale)
    return Pull(role, symbol, statistic, link, factor, shape, bool(bend.is_positive))


def inverse_link(pull: Pull, value: sp.Expr) -> sp.Expr | None:
    """φ with g(φ) = value, φ in its domain; None where it is not in closed form.

    >>> from relrep_sym.declare.family import family_named
    >>> u = sp.Symbol("u")
    >>> inverse_link(pull_of(family_named("normal"), "sigma"), u)
    sqrt(u)
    """
    power = _power(pull.link, pull.symbol)
    if power is None:
        return None
    factor = sp.simplify(pull.link / pull.symbol**power)
    return (value / factor) ** (1 / power)


@dataclass(frozen=True)
class Regression:
    """The joint step over one ordered parameter, as a regression on u_1 ≤ … ≤ u_K.

    Attributes:
        order: the order.
        pull: ∂Q/∂φ.
        exponent: a in the target s_k e^{−a C_k} of a multiplicative clearance; None where the
            target is s_k − C_k (which is s_k where there is no clearance).
        tilt: b in the weight N_k v_k e^{b C_k}.
        given: the parameters that must be held for it: empty where it is part of the joint step.
    """

    order: Order
    pull: Pull
    exponent: sp.Expr | None
    tilt: sp.Expr
    given: tuple[str, ...]

    @property
    def exact(self) -> bool:
        """Whether it is the joint maximiser, not only the one at given other parameters."""
        return not self.given


def regression(model: Mixture, order: Order, ordered: tuple[str, ...]) -> Regression | str:
    """The regression of an order, or in words why there is none.

    ``ordered`` are all the parameters that the chart keeps in order.

    >>> from relrep_sym.declare.charts import log, relative
    >>> from relrep_sym.declare.model import mixture
    >>> from relrep_sym.equations.orders import find_orders
    >>> m = mixture("normal", components=3, means=0)
    >>> c = relative(log(m, "sigma"), "log_sigma", clearance="kappa")
    >>> found = regression(m, find_orders(c).orders[0], ("sigma",))
    >>> found.exponent, found.tilt, found.given
    (2, 0, ())
    """
    family = model.family
    pull = pull_of(family, order.role)
    plural = family.parameter(order.role).plural
    if pull is None:
        return f"the ordered {plural} are no isotonic regression of a statistic"
    given = held_by(model, pull, ordered)
    if all(c == 0 for c in order.clearances):
        return Regression(order, pull, None, sp.Integer(0), given)
    if not order.multiplicative:
        if pull.quadratic:
            return Regression(order, pull, None, sp.Integer(0), given)
        if _concave(pull):
            return (
                f"with a clearance the ordered {plural} are no isotonic regression: Q is concave "
                "in them, but pooled components have no closed form"
            )
        return (
            f"with an additive clearance Q is not concave in the ordered {plural}, and there may "
            "be several maxima"
        )
    power = _power(pull.link, pull.symbol)
    tilt = _power(pull.symbol * pull.shape, pull.symbol)
    if power is None or tilt is None:
        return f"with such a clearance the ordered {plural} are no isotonic regression"
    return Regression(order, pull, power, sp.simplify(power + tilt), given)


def held_by(model: Mixture, pull: Pull, ordered: tuple[str, ...]) -> tuple[str, ...]:
    """Parameters that the regression's weights or targets hold at values of their own."""
    family = model.family
    out = []
    for p, pattern in zip(family.parameters, model.patterns, strict=True):
        moved = family.location is not None and p.name == family.location.name
        symbol = shift_symbol(family) if moved else p.symbol
        fixed = not isinstance(pattern, str) and all(v is not None for v in pattern)
        if p.name == pull.role or fixed:
            continue
        weighs = pull.factor.has(symbol) and pattern != "tied"  # a tied factor drops out
        aims = pull.statistic.has(symbol) and (p.name in ordered or not moved)
        if weighs or aims:
            out.append(p.name)
    return tuple(out)


def _power(expression: sp.Expr, symbol: sp.Symbol) -> sp.Expr | None:
    """The exponent of an expression that is a power of a symbol, times a number; or None."""
    exponent = sp.simplify(symbol * sp.diff(expression, symbol) / expression)
    return exponent if exponent.is_number else None


def _concave(pull: Pull) -> bool:
    """Whether ∂²Q/∂φ² ≤ 0 wherever the statistic is not negative."""
    s = sp.Dummy("s", nonnegative=True)
    bend = sp.expand(sp.diff(pull.shape * (s - pull.link), pull.symbol))
    parts = (sp.simplify(bend.coeff(s)), sp.simplify(bend.coeff(s, 0)))
    return all(b.is_nonpositive for b in parts)
