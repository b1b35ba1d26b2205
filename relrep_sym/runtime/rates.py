"""How fast EM and ECM converge near a fixed point, and in which order ECM is faster.

In: a solver, a weighted sample, and coordinates at a fixed point. Out: :class:`Rates`. With
H = −∂²Q/∂λ∂λ, the information of complete data, and I = −∂²L/∂λ∂λ, the observed one, an error e
becomes

    EM:  (1 − H⁻¹ I) e,        ECM:  (1 − (1 − Gˢ) H⁻¹ I) e,   G = 1 − (D + L)⁻¹ H,

D + L the (block) lower triangle of H in the order, s the number of sweeps; with one sweep that is
1 − (D + L)⁻¹ I (Dempster, Laird and Rubin 1977; Meng 1994). The rate is the spectral radius: the
factor by which an error shrinks in one iteration, in the long run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations_with_replacement, permutations
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from relrep_sym.errors import DataError, DomainError, problem
from relrep_sym.runtime import check
from relrep_sym.runtime.check import Array, Entries
from relrep_sym.runtime.ecm import Order
from relrep_sym.runtime.edges import insist_slopes
from relrep_sym.runtime.em import expected, objective_of
from relrep_sym.runtime.objective import Objective

if TYPE_CHECKING:
    from relrep_sym.runtime.learning import Learning

__all__ = ["Rates", "ecm_rates"]

Entry = tuple[int, ...]
_ALL = 7
"""Entries of an order whose permutations are all gone through; of more, by exchanges of two."""


_PASSES = 50
"""Passes over all exchanges of two at most: the best order so far is an order like any other."""


class Rates(NamedTuple):
    """Factors by which errors shrink in one iteration, near a fixed point.

    Attributes:
        em: EM's, over the coordinates of the order, the others held.
        ecm: ECM's in the order that was asked for.
        order: that order.
        best: the smallest of ECM's.
        best_order: an order that has it; its reverse has it too.
        residual: the largest |∂L/∂λ_j| of a coordinate that is not held by a bound, relative to
            √|H_jj|: it is small at a fixed point, where alone the rates are those of the iteration.
    """

    em: float
    ecm: float
    order: tuple[str | tuple[str, ...], ...]
    best: float
    best_order: tuple[str | tuple[str, ...], ...]
    residual: float


def ecm_rates(
    solver: Learning,
    x: ArrayLike,
    coords: Entries,
    order: object,
    sweeps: int,
    weights: ArrayLike | None,
) -> Rates:
    """The rates at one point. Coordinates held at a bound, and those left out, do not move.

    Raises DataError for a batch, DomainError where the information of complete data is singular.
    """
    chart = solver.chart
    chosen = Order.of(chart, solver.form, order, sweeps)
    points = check.sample(x, solver.form.support)
    given, point = solver.point(coords)
    insist_slopes(solver.chart, point, points)
    if given.shape:
        right = "one point, shape (P,)"
        raise DataError(problem("coords has leading axes", f"{given.shape} of them", right))
    share = check.sample_weights(weights, points.size)
    seen = expected(point, points, share)
    if seen.failures:
        raise seen.failures[0]
    objective = objective_of(chart, solver.form, given.rows, seen, np.arange(1))
    slopes, curved = objective.expansion(given.rows)
    complete = -curved[0]
    observed = -np.asarray(solver.hessian(x, coords, weights))
    count = len(chart.coordinates)
    now, gradient = given.rows[:count, 0], slopes.gradient[:, 0]
    low, high = (np.array(e[:count]) for e in (chart.lower, chart.upper))
    held = ((now <= low) & (gradient < 0.0)) | ((now >= high) & (gradient > 0.0))
    entries = [tuple(j for j in e if not held[j]) for e in chosen.entries]
    entries = [e for e in entries if e]
    moving = sorted(j for e in entries for j in e)
    _insist_definite(objective, given.rows, complete, moving)
    scale = np.sqrt(np.diag(complete)[moving])
    for matrix in (complete, observed):  # at unit diagonal, whatever the coordinates' units are
        matrix[np.ix_(moving, moving)] /= np.outer(scale, scale)
    off = np.abs(gradient[moving]) / scale if moving else np.zeros(1)
    em = _radius(_em(complete, observed, moving))
    inner = {j: n for n, j in enumerate(moving)}
    small = complete[np.ix_(moving, moving)], observed[np.ix_(moving, moving)]
    placed = [tuple(inner[j] for j in e) for e in entries]

    def rate(trial: Sequence[Entry]) -> float:
        return _radius(_ecm(*small, trial, chosen.sweeps))

    best, found = rate(placed), tuple(placed)
    for trial in _orders(placed, rate):
        value = rate(trial)
        if value < best * (1.0 - 1e-12):
            best, found = value, tuple(trial)

    def named(those: Sequence[Entry]) -> tuple[str | tuple[str, ...], ...]:
        names = [tuple(chart.coordinates[moving[n]] for n in e) for e in those]
        return tuple(e[0] if len(e) == 1 else e for e in names)

    return Rates(em, rate(placed), named(placed), best, named(found), float(off.max()))


def _insist_definite(objective: Objective, rows: Array, complete: Array, free: list[int]) -> None:
    """Refuse an information that is singular, or of which an entry is what rounding left."""
    names = objective.chart.coordinates
    diagonal = np.diag(complete)
    bends = _bends(objective, rows)
    flat = [names[j] for j in free if not diagonal[j] > 1e-12 * bends[j]]
    part = complete[np.ix_(free, free)]
    scale = np.sqrt(np.diag(part)) if not flat else np.ones(len(free))
    least = 0.0 if flat else float(np.linalg.eigvalsh(part / np.outer(scale, scale)).min())
    if not least > 1e-13:
        which = ", ".join(flat) or ", ".join(names[j] for j in free)
        if least < -1e-8 or (diagonal[free] < -1e-8 * bends[free]).any():
            wrong = "Q is not concave at this point: it has no maximum here, and no rate is linear"
            right = "a fixed point of EM, such as fit finds, in the inside of the chart"
            raise DomainError(problem(wrong, f"Q curves up along {which}", right))
        raise DomainError(
            problem(
                "the information of complete data is singular: no rate is linear there",
                f"a flat direction of Q in {which}",
                "a fixed point in the inside of the chart, where it is regular",
            )
        )


def _bends(objective: Objective, rows: Array) -> Array:
    """What −∂²Q/∂λ_j² is a sum of, in absolute values, (P,)."""
    here = objective._at(rows)
    weights, parameters, means = here
    outer = objective.jacobian(rows)[:, 0]
    roles = len(parameters)
    pairs = combinations_with_replacement(range(roles), 2)
    curves = zip(pairs, objective._curves(parameters, means), strict=True)
    own = [objective.mass / weights**2, *(c for (i, j), c in curves if i == j)]
    out: Array = outer**2 @ np.abs(np.concatenate(own)[:, 0])
    if objective.chart.bend is not None:
        spans = (objective.mass / weights, *objective._spans(parameters, means))
        count = len(objective.chart.coordinates)
        bent = objective.chart.bend(
            rows[..., None], np.eye(count)[:, None, :], *(np.abs(s)[..., None] for s in spans)
        )
        out = out + np.abs(np.diag([np.broadcast_to(b, (1, count))[0] for b in bent]))
    return out


def _em(complete: Array, observed: Array, free: Sequence[int]) -> Array:
    part = np.ix_(free, free)
    out: Array = np.eye(len(free)) - np.linalg.solve(complete[part], observed[part])
    return out


def _ecm(complete: Array, observed: Array, entries: Sequence[Entry], sweeps: int) -> Array:
    size = len(complete)
    place = np.empty(size, dtype=np.intp)
    for n, entry in enumerate(entries):
        place[list(entry)] = n
    lower = np.where(place[:, None] >= place[None], complete, 0.0)
    one = np.eye(size) - np.linalg.solve(lower, complete)
    moved = np.eye(size) - np.linalg.matrix_power(one, sweeps)
    out: Array = np.eye(size) - moved @ np.linalg.solve(complete, observed)
    return out


def _radius(matrix: Array) -> float:
    return float(np.abs(np.linalg.eigvals(matrix)).max()) if matrix.size else 0.0


def _orders(
    entries: Sequence[Entry], rate: Callable[[Sequence[Entry]], float]
) -> Iterator[Sequence[Entry]]:
    """Orders to compare: all but reversals of few entries, exchanges of two of many."""
    if len(entries) <= _ALL:
        for trial in permutations(entries):
            if len(entries) < 2 or trial[0] < trial[-1]:  # an order and its reverse are alike
                yield trial
        return
    here, value = list(entries), rate(entries)
    better = True
    for _ in range(_PASSES):
        if not better:
            break
        better = False
        for i in range(len(here)):
            for j in range(i + 1, len(here)):
                swapped = list(here)
                swapped[i], swapped[j] = swapped[j], swapped[i]
                other = rate(swapped)
                if other < value * (1.0 - 1e-9):
                    here, value, better = swapped, other, True
                    yield swapped
