"""The joint M-step of a chart that keeps parameters in order, where the order holds some together.

In: the maximiser of Q without the order, and N_k. Out: :class:`Answer`, the maximiser with it: the
other parameters at their best beside the ordered ones, and each gap exactly, zero where it is
active. What the orders are is in :class:`~relrep_sym.runtime.closed.Order`, plain numbers that a
derivation has found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from relrep_sym.errors import DomainError, problem
from relrep_sym.runtime.check import Array
from relrep_sym.runtime.closed import Order
from relrep_sym.runtime.ordered import Ordered, location_and_scale, ordered, pools
from relrep_sym.runtime.stationary import ACCEPTED
from relrep_sym.runtime.terms import Logit, Power, Profile, Quadratic, Terms

if TYPE_CHECKING:
    from relrep_sym.runtime.chart import Chart
    from relrep_sym.runtime.point import Form

__all__ = ["Answer", "in_order", "keep_signs"]

_TURNS = 12
"""Turns between locations and scales before Newton's method takes over."""


class Answer(NamedTuple):
    """Ordered maximisers of a batch.

    Attributes:
        parameters: the family's, (K, B) each.
        exact: coordinates of gaps by position, (B,) each.
        solved: which members are: others are left to Newton's method.
        settled: which members need no more steps.
        failures: members whose maximum is not attained.
        notes: what there is to say, by member.
    """

    parameters: tuple[Array, ...]
    exact: dict[int, Array]
    solved: NDArray[np.bool_]
    settled: NDArray[np.bool_]
    failures: dict[int, DomainError]
    notes: dict[int, str]


def in_order(
    chart: Chart,
    form: Form,
    mass: Array,
    free: tuple[Array, ...],
    present: tuple[Array, ...],
    rows: Array,
) -> Answer:
    """The maximiser of Q under the chart's orders.

    ``free`` are the family's parameters at their best without an order, ``present`` those now,
    ``rows`` (P + C, B) the present coordinates and the constants.
    """
    batch = mass.shape[1]
    assert chart.clearances is not None
    given = chart.clearances(rows[len(chart.coordinates) :])
    rooms = [
        np.array([np.broadcast_to(np.asarray(c, float), (batch,)) for c in links])
        for links in given
    ]
    solved = np.ones(batch, dtype=bool)
    for order, room in zip(chart.orders, rooms, strict=True):
        high = 1.0 if order.shape[0] == "logit" else np.inf
        low = -np.inf if order.shape[0] == "location" else 0.0
        peak = free[order.role]
        solved &= ((peak > low) & (peak < high)).all(axis=0) & (room > -np.inf).all(axis=0)
        trial = _terms(order, mass[:, :1], tuple(p[:, :1] for p in free), form)
        if not pools(trial, room, order.multiplicative):
            if order.multiplicative:  # a probability, with a clearance
                solved[:] = False
            solved &= (room >= 0).all(axis=0) | isinstance(trial, Profile)
    out = [p.copy() for p in free]
    answers: list[tuple[Order, Ordered]] = []
    settled = np.ones(batch, dtype=bool)
    some = np.flatnonzero(solved)
    if some.size:
        inner, rooms = tuple(p[:, some] for p in free), [r[:, some] for r in rooms]
        n, now = mass[:, some], tuple(p[:, some] for p in present)
        answers, settled[some], best = _solved(chart.orders, rooms, form, n, inner, now)
        for _, found in answers:  # what pooling or a search of peaks left is left to Newton
            settled[some] &= found.residual <= ACCEPTED
        for row, values in zip(out, best, strict=True):
            row[:, some] = values
    exact: dict[int, Array] = {}
    failures: dict[int, DomainError] = {}
    notes: dict[int, list[str]] = {}
    for order, found in answers:
        for link, (j, kind) in enumerate(zip(order.gaps, order.kinds, strict=True)):
            exact[j] = rows[j].copy()
            unit = chart.gap_units[j] if chart.gap_units else 1.0
            exact[j][some] = _coordinate(kind, found.gaps[link] * unit, rows[j, some])
            for i in np.flatnonzero(found.gaps[link] == 0.0):
                _say(chart, j, kind, found.multipliers[link, i], int(some[i]), failures, notes)
    if len({o.shape[0] for o in chart.orders}) > 1:
        for b in some:
            notes.setdefault(int(b), []).append(
                "locations and scales are in order both: a local maximum of Q, no lower than from "
                "the present point; that it is the global one is not proven"
            )
    said = {b: "; ".join(lines) for b, lines in notes.items() if b not in failures}
    return Answer(tuple(out), exact, solved, settled, failures, said)


def keep_signs(chart: Chart, found: Array, rows: Array) -> None:
    """Give square gaps of coordinates found from θ, which does not tell Δ from −Δ, their signs."""
    for order in chart.orders:
        for j, kind in zip(order.gaps, order.kinds, strict=True):
            if kind == "square":
                found[j] = np.where(found[j] == 0.0, 0.0, np.copysign(found[j], rows[j]))


def _solved(
    orders: tuple[Order, ...],
    rooms: list[Array],
    form: Form,
    mass: Array,
    free: tuple[Array, ...],
    present: tuple[Array, ...],
) -> tuple[list[tuple[Order, Ordered]], NDArray[np.bool_], tuple[Array, ...]]:
    """The ordered problems' solutions, who is settled, and all parameters."""
    out = list(free)
    settled = np.ones(mass.shape[1], dtype=bool)
    roles = {o.role: (o, room) for o, room in zip(orders, rooms, strict=True)}
    place, scale = form.location, form.scale
    if place in roles and scale in roles:
        assert place is not None
        assert scale is not None
        (first, c), (second, d) = roles[place], roles[scale]
        factor = float(first.shape[1])
        both = location_and_scale(
            free[place],
            free[scale],
            factor * mass,
            c,
            d,
            second.multiplicative,
            present[scale],
            _TURNS,
        )
        out[place], out[scale] = both.location.values, both.scale.values
        return [(first, both.location), (second, both.scale)], both.settled, tuple(out)
    answers = []
    for order, room in roles.values():
        terms = _terms(order, mass, free, form)
        found = ordered(terms, room, order.multiplicative)
        out[order.role] = found.values
        answers.append((order, found))
        if order.shape[0] == "location" and order.shape[2] != "fixed":
            assert scale is not None
            missed = free[order.role] - found.values
            if order.shape[2] == "tied":
                whole = (mass * np.square(missed)).sum(axis=0) / mass.sum(axis=0)
                out[scale] = np.hypot(free[scale], np.sqrt(whole))
                found = found._replace(multipliers=found.multipliers / np.square(out[scale][:1]))
                answers[-1] = (order, found)
            else:
                out[scale] = np.hypot(free[scale], missed)
    return answers, settled, tuple(out)


def _terms(order: Order, mass: Array, free: tuple[Array, ...], form: Form) -> Terms:
    """The terms of one order, the other parameters at their best."""
    shape, peak = order.shape, free[order.role]
    weight = float(shape[1]) * mass
    if shape[0] == "location":
        if shape[2] == "own":
            return Profile(peak, weight, free[_scale(form)])
        if shape[2] == "tied":  # the best location does not depend on the scale
            return Quadratic(peak, weight)
        return Quadratic(peak, weight / np.square(free[_scale(form)]))
    if shape[0] == "power":
        p, q = float(shape[3]), float(shape[4])
        if (shape[2] == "alpha") != (p == -1.0):  # N c is the coefficient that 1/y has not
            weight = weight * peak ** ((q - p) * (1.0 if p == -1.0 else -1.0))
        return Power(peak, weight, p, q)
    return Logit(peak, weight if shape[2] == "a+b" else weight / peak)


def _scale(form: Form) -> int:
    assert form.scale is not None
    return form.scale


def _coordinate(kind: str, gap: Array, now: Array) -> Array:
    """Δ of a gap; a square's keeps the sign that it has."""
    with np.errstate(divide="ignore"):
        if kind == "square":
            return np.where(gap == 0.0, 0.0, np.copysign(np.sqrt(gap), now))
        if kind == "exp":
            return np.log(gap)
        if kind == "softplus":
            return gap + np.log(-np.expm1(-gap))
    return gap


def _say(
    chart: Chart,
    j: int,
    kind: str,
    multiplier: float,
    b: int,
    failures: dict[int, DomainError],
    notes: dict[int, list[str]],
) -> None:
    """What there is to say of a gap that is zero."""
    name = chart.coordinates[j]
    if kind in ("exp", "softplus"):
        failures.setdefault(
            b,
            DomainError(
                problem(
                    f"Q has no maximum in the chart: it rises while {name} falls without end, and "
                    f"its supremum is at {name} → −∞",
                    f"a gap of zero with multiplier {multiplier:.6g}",
                    "a plain gap, which may be zero, or data whose maximiser is strictly in order",
                )
            ),
        )
    elif kind == "square":
        notes.setdefault(b, []).append(
            f"{name} = 0: the gap is {name}², so that the point is stationary in {name} whatever "
            f"its multiplier; that of the gap is {multiplier:.6g}, and gradient ascent does not "
            "leave it"
        )
