"""A mixture put where a chart has it: renumbered, and moved apart where it must be.

In: a solver and one mixture. Out: :class:`Placed`, or None where no order of its components lies in
the chart's image, however far they are moved apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from relrep_sym.errors import DomainError
from relrep_sym.runtime.check import Array

if TYPE_CHECKING:
    from relrep_sym.runtime.mapped import Mapped

__all__ = ["Placed", "placed"]

_APART = (0.0, *(1e-3 * 2.0**i for i in range(14)))
"""By how much components are moved apart, in units of the sample's spread, as far as is needed."""

_Mixture = tuple[Array, tuple[Array, ...], NDArray[np.intp]]
"""Weights (K, 1), parameters (K, 1), and which component stands where."""


class Placed(NamedTuple):
    """Coordinates (P,), and the order in which the components stand."""

    coords: Array
    order: NDArray[np.intp]


def placed(
    solver: Mapped, weights: Array, parameters: tuple[Array, ...], unit: float
) -> Placed | None:
    """The coordinates of a mixture, weights and parameters (K, 1), or of one close to it.

    First every order by one parameter is tried, then the components of each order a little apart:
    a location by addition in steps of ``unit``, a positive parameter by multiplication; last, each
    parameter sorted by itself. Where no order keeps every component's own values because some are
    fixed, the first that the chart takes has the fixed ones.
    """
    chart = solver.chart
    tried = list(_candidates(solver, weights, parameters, unit))
    columns = []
    for shares, moved, _ in tried:
        theta = chart.to_parameters(shares, *moved)
        columns.append(np.array(np.broadcast_arrays(*theta, shares[0])[:-1]).reshape(-1))
    table = np.array(columns).T
    known = np.repeat(
        solver.rows_of(np.zeros(len(chart.coordinates)))[len(chart.coordinates) :],
        table.shape[1],
        axis=1,
    )
    with np.errstate(all="ignore"):
        rows, inside = solver._preimage(table, known)
        back, again, _ = chart.model_components(table)
    nearest: Placed | None = None
    for n, (shares, moved, order) in enumerate(tried):
        if not inside[n] or not _sound(solver, back[:, n], [a[:, n] for a in again]):
            continue
        kept = (
            np.allclose(a[:, n], b[:, 0], rtol=1e-12, atol=1e-12 * np.abs(b).max())
            for a, b in zip((back, *again), (shares, *moved), strict=True)
        )
        own = (order == np.arange(len(order))).all()  # what is fixed then stands where it belongs
        if own or all(kept):
            return Placed(rows[:, n].copy(), order)
        # in this order a component gets a weight or a parameter that is fixed at another value
        nearest = nearest or Placed(rows[:, n].copy(), order)
    return nearest or _beside(solver, rows, known, tried)


def _beside(solver: Mapped, rows: Array, known: Array, tried: list[_Mixture]) -> Placed | None:
    """Coordinates that the chart's inverse gives of a θ outside of its image, as of a held chart's.

    The mixture there has the held values.
    """
    for n in np.flatnonzero(np.logical_and.reduce(solver._inside(rows), axis=0)):
        try:
            solver.point_at(np.concatenate([rows[:, n : n + 1], known[:, n : n + 1]]))
        except DomainError:
            continue
        return Placed(rows[:, n].copy(), tried[n][2])
    return None


def _sound(solver: Mapped, weights: Array, parameters: list[Array]) -> bool:
    """Whether a mixture is in the model's own domain."""
    form = solver.form
    ends = form.upper or (np.inf,) * len(form.names)
    good = bool((weights >= 0.0).all())
    for values, positive, end in zip(parameters, form.positive, ends, strict=True):
        good &= bool(np.isfinite(values).all() and (values < end).all())
        good &= not positive or bool((values > 0.0).all())
    return good


def _candidates(
    solver: Mapped, weights: Array, parameters: tuple[Array, ...], unit: float
) -> Iterator[_Mixture]:
    positive = solver.form.positive
    count = len(weights)
    rows = [*parameters, weights]
    orders = [np.arange(count)]
    for row in rows:
        for sign in (1.0, -1.0):
            orders.append(np.argsort(sign * row[:, 0], kind="stable"))
    for order in orders:
        yield weights[order], tuple(p[order] for p in parameters), order
    rank = np.arange(count)[:, None] - 0.5 * (count - 1)
    for apart in _APART[1:]:
        for i, p in enumerate(parameters):
            for sign in (1.0, -1.0):
                order = np.argsort(sign * p[:, 0], kind="stable")
                step = sign * apart * rank
                moved = [q[order] for q in parameters]
                moved[i] = moved[i] * np.exp(step) if positive[i] else moved[i] + unit * step
                yield weights[order], tuple(moved), order
    first = np.argsort(parameters[0][:, 0], kind="stable")
    for apart in _APART:
        for signs in product((1.0, -1.0), repeat=len(parameters)):
            moved = []
            for p, sign, up in zip(parameters, signs, positive, strict=True):
                ordered = sign * np.sort(sign * p, axis=0)
                step = sign * apart * rank
                moved.append(ordered * np.exp(step) if up else ordered + unit * step)
            yield weights[first], tuple(moved), first
