"""The ECM step of a batch of mixtures: one data pass, then conditional maximisers of Q in an order.

In: a chart's generated functions, points, a weighted sample and an :class:`Order`. Out:
:class:`~relrep_sym.runtime.em.Taken`, member by member. Each entry of the order maximises Q over
one coordinate, or over a block of them together, in their closed domain, the others held at their
latest values (Meng and Rubin 1993; Esser and Nielsen 2022, Algorithms 1 and 2). Q never falls.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np

from relrep_sym.errors import DataError, DerivationError, problem
from relrep_sym.runtime.chart import Chart
from relrep_sym.runtime.check import Array
from relrep_sym.runtime.conditional import Kind, Present, kinds_of
from relrep_sym.runtime.em import Preimage, Taken, em_step, expected, objective_of
from relrep_sym.runtime.point import Form, Point
from relrep_sym.runtime.stationary import optimality

__all__ = ["Conducted", "Order", "ecm_step"]


class Order(NamedTuple):
    """Entries of coordinates' numbers, and how often they are gone through."""

    entries: tuple[tuple[int, ...], ...]
    sweeps: int

    @staticmethod
    def of(chart: Chart, form: Form, order: object, sweeps: object) -> Order:
        """An order as a user states it, checked: names, or tuples of names for joint blocks.

        None is all coordinates of the weights as one block, then every other in the chart's order.
        Raises DataError for names that are no coordinates, for one that stands twice, for empty
        orders and blocks, and where there is no sweep.
        """
        whole = isinstance(sweeps, int | np.integer) and not isinstance(sweeps, bool)
        if not whole or sweeps < 1:  # type: ignore[operator]
            raise DataError(problem("sweeps is not a count", sweeps, "an integer >= 1"))
        count = int(sweeps)  # type: ignore[call-overload]
        if order is None:
            weights = tuple(weights_of(kinds_of(chart.conditional, form.names)))
            rest = tuple((j,) for j in range(len(chart.coordinates)) if j not in weights)
            return Order((*([weights] if weights else []), *rest), count)
        right = "coordinates' names, or tuples of names, such as " + repr(chart.coordinates[:2])
        if isinstance(order, str) or not isinstance(order, Sequence):
            raise DataError(problem("order is not a sequence", order, right))
        if not order:
            raise DataError(problem("order is empty", order, right))
        entries = tuple(_entry(chart, entry, right) for entry in order)
        flat = [j for entry in entries for j in entry]
        twice = next((j for j in flat if flat.count(j) > 1), None)
        if twice is not None:
            name = chart.coordinates[twice]
            raise DataError(
                problem(f"{name} stands twice in the order", order, "each coordinate once at most")
            )
        return Order(entries, count)


def _entry(chart: Chart, entry: object, right: str) -> tuple[int, ...]:
    names = (entry,) if isinstance(entry, str) else entry
    if not isinstance(names, Sequence) or not all(isinstance(n, str) for n in names):
        raise DataError(problem("an entry of the order is no name", entry, right))
    if not names:
        raise DataError(problem("a block of the order is empty", entry, right))
    for name in names:
        if name not in chart.coordinates:
            known = "one of " + ", ".join(chart.coordinates)
            raise DataError(problem("the order names no coordinate", name, known))
    return tuple(chart.coordinates.index(n) for n in names)


def weights_of(kinds: Sequence[Kind]) -> list[int]:
    """The coordinates that the weights depend on."""
    return [
        j
        for j, k in enumerate(kinds)
        if k.name in ("simplex", "softmax", "stick", "weight", "mixed")
    ]


class Conducted(NamedTuple):
    """A step, and where it was watched the multipliers (P, B) and the residual (B,) of each entry
    right after it was taken, in the last sweep.
    """

    taken: Taken
    multipliers: Array
    residual: Array


@np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore")
def ecm_step(
    chart: Chart,
    rows: Array,
    point: Point,
    x: Array,
    weights: Array | None,
    order: Order,
    *,
    preimage: Preimage | None = None,
    watch: bool = False,
) -> Conducted:
    """One E-step, then ``order``, from ``rows`` (P + C, B), whose mixtures are ``point``.

    One block of all coordinates is the joint M-step.

    Raises DerivationError where Q has no second derivatives to be searched with.
    """
    form, count = point.form, len(chart.coordinates)
    if form.second is None and form.curves is None:
        raise DerivationError(chart.why["m_step"])
    if preimage is not None and len(order.entries) == 1 and len(order.entries[0]) == count:
        return _joint(em_step(chart, preimage, rows, point, x, weights), chart, form, rows, watch)
    seen = expected(point, x, weights)
    failures, notes = dict(seen.failures), dict[int, str]()
    out = rows[:count].copy()
    multipliers, residual = np.zeros_like(out), np.zeros(rows.shape[1])
    todo = np.array([b for b in range(rows.shape[1]) if b not in failures], dtype=np.intp)
    if todo.size:
        objective = objective_of(chart, form, rows, seen, todo)
        now = Present(objective, point, seen, todo, x, weights)
        free = weights_of(now.kinds)
        runs = _runs(order, now.kinds) if not watch else [[e] for e in order.entries]
        for sweep in range(order.sweeps):
            last = watch and sweep == order.sweeps - 1
            now.clipped.clear()
            for run in runs:
                if len(run) == 1 and len(run[0]) > 1:
                    now.block(run[0], sorted(run[0]) == free)
                elif len(run) == 1 and list(run[0]) == free:
                    now.block(run[0], whole=True)
                else:
                    now.step([entry[0] for entry in run])
                if last:
                    own = [j for entry in run for j in entry]
                    best = optimality(now.objective, now.rows, own)
                    multipliers[np.array(own)[:, None], todo] = best.multipliers[own]
                    residual[todo] = np.maximum(residual[todo], best.residual)
        said = _said(now)
        for i, b in enumerate(todo):
            if i in now.failures:
                failures[int(b)] = now.failures[i]
            else:
                out[:, b] = now.rows[:count, i]
                if i in said:
                    notes[int(b)] = said[i]
    return Conducted(Taken(out, seen, failures, notes), multipliers, residual)


def _joint(taken: Taken, chart: Chart, form: Form, rows: Array, watch: bool) -> Conducted:
    """The joint M-step as the one entry of an order."""
    multipliers, residual = np.zeros_like(taken.rows), np.zeros(rows.shape[1])
    todo = np.array([b for b in range(rows.shape[1]) if b not in taken.failures], dtype=np.intp)
    if watch and todo.size:
        whole = np.concatenate([taken.rows[:, todo], rows[len(taken.rows) :, todo]])
        best = optimality(objective_of(chart, form, rows, taken.expected, todo), whole)
        multipliers[:, todo], residual[todo] = best.multipliers, best.residual
    return Conducted(taken, multipliers, residual)


def _runs(order: Order, kinds: Sequence[Kind]) -> list[list[tuple[int, ...]]]:
    """Entries one after another that one method takes together."""

    def key(item: tuple[int, tuple[int, ...]]) -> tuple[object, ...]:
        n, entry = item
        kind = kinds[entry[0]]
        if len(entry) > 1 or kind.name not in ("shift", "own"):
            return (n,)
        return (kind.name, kind.role)

    return [[e for _, e in group] for _, group in groupby(enumerate(order.entries), key=key)]


def _said(now: Present) -> dict[int, str]:
    """What happened to members whose steps were cut off at a bound."""
    out: dict[int, list[str]] = {}
    if not now.clipped:
        return {}
    _, parameters, _ = now.chart.components(now.rows)
    for i, j in sorted(now.clipped):
        name, value = now.chart.coordinates[j], now.rows[j, i]
        text = f"the step of {name} is clipped onto {value:g}"
        same = [
            (a + 1, b + 1)
            for a in range(now.form.components)
            for b in range(a + 1, now.form.components)
            if all(p[a, i] == p[b, i] for p in parameters)
        ]
        located = [
            (a + 1, a + 2)
            for a in range(now.form.components - 1)
            if any(p[a, i] == p[a + 1, i] for p in parameters)
        ]
        if same:
            pairs = " and ".join(f"components {a} and {b} coincide" for a, b in same)
            text += f": {pairs}, a singularity of the model"
        elif located:
            pairs = " and ".join(f"{a} and {b}" for a, b in located)
            text += f": components {pairs} differ in their other parameters alone"
        out.setdefault(i, []).append(text)
    return {i: "; ".join(texts) for i, texts in out.items()}
