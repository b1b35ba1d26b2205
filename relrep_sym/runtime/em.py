"""The EM step of a batch of mixtures: one data pass, then the joint maximiser of Q in the chart.

In: a chart's generated functions, points and a weighted sample. Out: :class:`Taken`, member by
member: new coordinates, or in words why there are none. Where the family's own closed form lies in
the chart's image it is mapped there; where the chart keeps parameters in order and it does not, the
ordered problem is solved exactly (:mod:`relrep_sym.runtime.orders`); else Q is maximised over the
chart's closed domain by Newton's method with the derived gradient and Hessian
(:mod:`relrep_sym.runtime.ascent`), which never lowers it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from relrep_sym.errors import DerivationError, DomainError, problem
from relrep_sym.runtime import kernel
from relrep_sym.runtime.ascent import Maximum, maximise
from relrep_sym.runtime.block import dots
from relrep_sym.runtime.chart import Chart
from relrep_sym.runtime.check import Array, stacked
from relrep_sym.runtime.claims import Claims
from relrep_sym.runtime.edges import inside
from relrep_sym.runtime.kernel import Statistics
from relrep_sym.runtime.median import median_parameters
from relrep_sym.runtime.objective import Objective
from relrep_sym.runtime.orders import in_order, keep_signs
from relrep_sym.runtime.point import Form, Point
from relrep_sym.runtime.roots import best_root
from relrep_sym.runtime.sampled import Sampled
from relrep_sym.runtime.stationary import unended

__all__ = ["Expected", "Taken", "em_step", "expected", "objective_between", "objective_of"]

_FAR = 8.0
"""New scales that a component may move in one step before its statistics are expanded anew."""

Preimage = Callable[..., tuple[Array, NDArray[np.bool_]]]
"""(θ (Pθ, B), constants (C, B), coordinates known better by position) → coordinates (P, B), and
which of them map to θ."""


_Best = tuple[Array, tuple[Array, ...]]
"""Weights and family parameters, (K, B) each."""


class Expected(NamedTuple):
    """What the E-step leaves: N_k (K, B), means of b_j (J, K, B), all statistics, and who failed.

    ``failures`` are by member: a component that no point belongs to. ``sample`` is what the
    responsibilities are of: point, x and weights.
    """

    mass: Array
    means: Array
    found: Statistics
    failures: dict[int, DomainError]
    sample: tuple[Point, Array, Array | None]


class Taken(NamedTuple):
    """The coordinates after a step, (P, B), those of failed members as they were.

    ``expected`` holds the E-step, ``failures`` why a member took no step, ``notes`` what there is
    to say about a member's.
    """

    rows: Array
    expected: Expected
    failures: dict[int, DomainError]
    notes: dict[int, str]

    def insist(self) -> None:
        """Raise what the first failed member failed with; a step is numbers, or an error."""
        if self.failures:
            raise self.failures[min(self.failures)]
        if not np.isfinite(self.rows).all():
            right = "data within 1e150 scales of each component"
            raise DomainError(problem("a step overflows double precision", "no number", right))


def expected(point: Point, x: Array, weights: Array | None) -> Expected:
    """The E-step: one pass over the sample."""
    found = kernel.statistics(point, x, weights, want_log=True)
    failures: dict[int, DomainError] = {}
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        mass = point.components.weights * found.mass
        means = found.moments / found.mass
    if found.mass.min() > 0 and mass.min() > 0 and np.isfinite(means.sum()):
        return Expected(mass, means, found, failures, (point, x, weights))
    full = (found.mass > 0) & (mass > 0)
    for b in np.flatnonzero(~full.all(axis=0)):
        k = int(np.argmin(full[:, b]))
        failures[int(b)] = DomainError(
            problem(
                f"component {k + 1} is empty: no point has a responsibility above rounding",
                f"N_{k + 1} = {mass[k, b]}",
                "a start in which every component claims some of the data",
            )
        )
    sound = np.isfinite(means).all(axis=(0, 1))
    for b in np.flatnonzero(~sound):
        if int(b) not in failures:
            failures[int(b)] = DomainError(
                problem(
                    "a statistic overflows double precision",
                    "an infinity",
                    "points within 1e150 scales of each component, weights that are not zero",
                )
            )
    return Expected(mass, means, found, failures, (point, x, weights))


def objective_of(
    chart: Chart, form: Form, rows: Array, seen: Expected, members: NDArray[np.intp]
) -> Objective:
    """Q of some members, all of whose components have mass."""
    if form.second is None:
        whole = Sampled(chart, form, rows, seen.mass, Claims(*seen.sample))
        return whole if len(members) == rows.shape[1] else whole.take(members)
    return Objective(chart, form, rows[:, members], seen.mass[:, members], seen.means[..., members])


def objective_between(
    chart: Chart, form: Form, rows: Array, seen: Expected, new: Array
) -> Objective:
    """Q of all members, its statistics expanded where the step to rows ``new`` keeps its digits."""
    everyone = np.arange(rows.shape[1])
    point, x, weights = seen.sample
    about = None
    if form.second is not None and not seen.failures:
        about = _recentred(form, point.components.parameters, chart.components(new)[1])
    if about is None:
        return objective_of(chart, form, rows, seen, everyone)
    means = _means_about(about, point, seen.found, everyone, x, weights)
    return Objective(chart, form, rows, seen.mass, means, about)


@np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore")
def em_step(
    chart: Chart, preimage: Preimage, rows: Array, point: Point, x: Array, weights: Array | None
) -> Taken:
    """One E-step, and the joint maximiser of Q over the chart's closed domain.

    ``rows`` (P + C, B) are coordinates and constants. Raises DerivationError where the family has
    neither a closed form nor second derivatives.
    """
    if chart.m_step is None and point.form.second is None and point.form.curves is None:
        raise DerivationError(chart.why["m_step"])
    count = len(chart.coordinates)
    seen = expected(point, x, weights)
    failures = dict(seen.failures)
    todo = np.arange(rows.shape[1])
    if failures:
        todo = np.array([b for b in todo if b not in failures], dtype=np.intp)
    notes: dict[int, str] = {}
    closed: _Best | None = None
    if (chart.m_step is not None or chart.medians is not None) and todo.size:
        closed, collapsed = _closed(chart, point, seen, x, weights, todo)
        if collapsed:
            failures |= collapsed
            going = np.array([int(b) not in collapsed for b in todo])
            todo, closed = todo[going], _some(closed, going)
    out = rows[:count].copy()
    starts = rows[:, todo]
    if closed is not None and chart.from_model is not None and todo.size:
        found, inside = preimage(_theta(chart, closed), starts[count:])
        keep_signs(chart, found, starts)
        if todo.size == rows.shape[1] and inside.all():
            return Taken(found, seen, failures, notes)
        out[:, todo[inside]] = found[:, inside]
        starts[:count] = np.where(np.isfinite(found), found, starts[:count])
        todo, closed, starts = todo[~inside], _some(closed, ~inside), starts[:, ~inside]
        if chart.orders and todo.size:
            left, starts = _in_order(
                chart, preimage, point, rows, seen, todo, closed, starts, (out, failures, notes)
            )
            todo = todo[left]
    if todo.size:
        best = _climbed(chart, point, rows, seen, x, weights, todo, starts)
        failures |= _unended(chart, best, todo)
        out[:, todo[best.converged]] = best.rows[:count, best.converged]
    return Taken(out, seen, failures, notes)


def _some(best: _Best, which: NDArray[np.bool_]) -> _Best:
    shares, parameters = best
    return shares[:, which], tuple(p[:, which] for p in parameters)


def _theta(chart: Chart, best: _Best) -> Array:
    shares, parameters = best
    return stacked(chart.to_parameters(shares, *parameters), shares.shape[1])


def _in_order(
    chart: Chart,
    preimage: Preimage,
    point: Point,
    rows: Array,
    seen: Expected,
    members: NDArray[np.intp],
    best: _Best,
    starts: Array,
    taken: tuple[Array, dict[int, DomainError], dict[int, str]],
) -> tuple[NDArray[np.bool_], Array]:
    """The ordered maximisers put where they lie in the chart; which members are left, and starts.

    All that an order asks is asked by the chart, so that where the ordered maximiser lies in the
    chart, it is the chart's.
    """
    out, failures, notes = taken
    count = len(chart.coordinates)
    now = tuple(p[:, members] for p in point.components.parameters)
    answer = in_order(chart, point.form, seen.mass[:, members], best[1], now, rows[:, members])
    theta = _theta(chart, (best[0], answer.parameters))
    found, inside = preimage(theta, rows[count:, members], answer.exact)
    failed = np.array([i in answer.failures for i in range(len(members))])
    failures |= {int(members[i]): why for i, why in answer.failures.items()}
    done = answer.solved & inside & ~failed
    rough = np.flatnonzero(done & ~answer.settled)
    if rough.size:  # Newton's method from there: it does not lower Q
        objective = objective_of(chart, point.form, rows, seen, members[rough])
        whole = np.concatenate([found[:, rough], rows[count:, members[rough]]])
        climbed = maximise(objective.moved(whole), whole)
        found[:, rough] = climbed.rows[:count]
        lost = _unended(chart, climbed, members[rough])
        failures |= lost
        done &= ~np.isin(members, list(lost))
        failed |= np.isin(members, list(lost))
    out[:, members[done]] = found[:, done]
    notes |= {int(members[i]): said for i, said in answer.notes.items() if done[i]}
    left = ~done & ~failed
    use = answer.solved & np.isfinite(found).all(axis=0)
    starts[:count] = np.where(use, found, starts[:count])
    return left, starts[:, left]


def _unended(chart: Chart, best: Maximum, members: NDArray[np.intp]) -> dict[int, DomainError]:
    """Members of which no maximum was reached, and why."""
    left = np.flatnonzero(~best.converged)
    return {int(members[i]): unended(chart, best.rows, best.end, int(i)) for i in left}


def _closed(
    chart: Chart,
    point: Point,
    seen: Expected,
    x: Array,
    weights: Array | None,
    members: NDArray[np.intp],
) -> tuple[_Best, dict[int, DomainError]]:
    """The family's closed form, and members of which a scale collapses."""
    form = point.form
    old, mass, means = point.components.parameters, seen.mass, seen.means
    if members.size < mass.shape[1]:
        old = tuple(p[:, members] for p in old)
        mass, means = mass[:, members], means[..., members]
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        if chart.medians is not None:
            medians = median_parameters(chart.medians, point, seen.mass, x, weights, members)
            shares, parameters = medians
            about = None
        else:
            assert chart.m_step is not None
            shares, parameters = chart.m_step(mass, means, *old)
            about = _recentred(form, old, parameters)
        if about is not None and chart.m_step is not None:
            means = _means_about(about, point.take(members), seen.found, members, x, weights)
            shares, parameters = chart.m_step(mass, means, *about)
    return (shares, tuple(parameters)), _collapsed(form, old, parameters, members)


def _climbed(
    chart: Chart,
    point: Point,
    rows: Array,
    seen: Expected,
    x: Array,
    weights: Array | None,
    members: NDArray[np.intp],
    starts: Array,
) -> Maximum:
    """What Newton's method reaches from the better of two starts."""
    count = len(chart.coordinates)
    objective = objective_of(chart, point.form, rows, seen, members)
    present = rows[:, members]
    ends = [np.array(e[:count])[:, None] for e in (chart.lower, chart.upper, chart.open_lower)]
    low = np.where(ends[2].astype(bool), present[:count], ends[0])
    starts[:count] = np.clip(starts[:count], low, ends[1])
    better = objective.gain(starts) > 0.0
    start = _weighed(chart, objective.mass, np.where(better, starts, present))
    best = maximise(objective, start)
    if chart.roots is not None:  # Q may have several maxima: the greatest
        best = best_root(chart, objective, best)
    old = tuple(p[:, members] for p in point.components.parameters)
    _, new, _ = chart.components(best.rows)
    about = _recentred(point.form, old, new)
    if about is not None:
        means = _means_about(about, point.take(members), seen.found, members, x, weights)
        again = Objective(chart, point.form, present, seen.mass[:, members], means, about)
        best = maximise(again, best.rows)
    return best


def _weighed(chart: Chart, mass: Array, rows: Array) -> Array:
    """Rows with the weights in proportion to N_k, where they are coordinates of their own: there
    Q separates, and beside a weight of 1e-12 a climb of the others' sum would creep.
    """
    kinds = [words.split() for words in chart.conditional]
    own = {int(k[1]): j for j, k in enumerate(kinds) if k[0] == "simplex"}
    if not own or any(k[0] in ("softmax", "stick", "weight", "mixed") for k in kinds):
        return rows
    last = len(mass) - 1 if chart.reference is None else chart.reference
    free = [*own, last]
    weights, _, _ = chart.components(rows)
    out = rows.copy()
    for k, j in own.items():
        out[j] = weights[free].sum(axis=0) * mass[k] / mass[free].sum(axis=0)
    return out


def _recentred(
    form: Form, old: tuple[Array, ...], new: tuple[Array, ...]
) -> tuple[Array, ...] | None:
    """Parameters to expand the statistics about, where the present ones cost digits; or None.

    A scale is a small difference of large moments where its component moves by many new scales.
    """
    if form.location is None or form.scale is None or form.second is None:
        return None
    moved = np.abs(new[form.location] - old[form.location])
    if not (moved > _FAR * new[form.scale]).any() and np.isfinite(new[form.scale]).all():
        return None
    return tuple(
        n if i == form.location else o for i, (n, o) in enumerate(zip(new, old, strict=True))
    )


def _means_about(
    parameters: tuple[Array, ...],
    point: Point,
    found: Statistics,
    members: NDArray[np.intp],
    x: Array,
    weights: Array | None,
) -> Array:
    """Means of b_j under the present responsibilities, the functions at other parameters."""
    form = point.form
    other = Point(form, point.components._replace(parameters=parameters))
    total, within = np.zeros((form.basis, *point.heights.shape)), inside(form, x)

    def use(b, i, part, _, block, work):  # type: ignore[no-untyped-def]
        form.block(within[i], other.take(b).coefficients, work.basis, work.spare)
        return b, [dots(block.ratios, basis) * part.heights for basis in work.basis]

    for b, rows in kernel.over_blocks(point, x, weights, use):
        total[..., b] += rows
    whole = total if weights is not None else total / x.size
    out: Array = whole / found.mass[:, members]
    return out


def _collapsed(
    form: Form, old: tuple[Array, ...], new: tuple[Array, ...], members: NDArray[np.intp]
) -> dict[int, DomainError]:
    """Members with a positive parameter that is zero, a scale below the spacing of numbers, or a
    parameter at an upper end that does not belong to its domain.
    """
    out: dict[int, DomainError] = {}
    for name, end, values in zip(form.names, form.upper, new, strict=False):
        for k, b in np.argwhere(values >= end):
            wrong = f"{name} of component {k + 1} reaches {end:g}, which it cannot be: no maximum"
            right = f"data that keep {name} below {end:g} in every component"
            given = f"{name} = {values[k, b]}"
            out.setdefault(int(members[b]), DomainError(problem(wrong, given, right)))
    for i, (name, positive, values) in enumerate(zip(form.names, form.positive, new, strict=True)):
        if not positive:
            continue
        least = np.zeros_like(values)
        if i == form.scale and form.location is not None:
            places = np.maximum(np.abs(old[form.location]), np.abs(new[form.location]))
            least = np.where(values == old[i], 0.0, 8 * np.finfo(float).eps * places)
        above = values > least
        if above.all():
            continue
        for b in np.flatnonzero(~above.all(axis=0)):
            k = int(np.argmin(above[:, b]))
            out.setdefault(
                int(members[b]),
                DomainError(
                    problem(
                        f"{name} of component {k + 1} collapses, where the likelihood has no "
                        "maximum",
                        f"{name} = {np.nan_to_num(values[k, b])}",
                        f"data that keep {name} above zero in every component",
                    )
                ),
            )
    return out
