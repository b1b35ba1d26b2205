"""Gradient EM: one step uphill on Q, at a rate that is given, safe for all data, or searched for.

In: a chart's generated functions, points and a weighted sample. Out:
:class:`~relrep_sym.runtime.em.Taken`, member by member. The direction is the score, since
∇_λ' Q(λ'|λ) = ∇L(λ) at λ' = λ (Xu, Fazel and Du 2024, Fact 1). Without a rate,

- a chart with a safe rate (:mod:`relrep_sym.equations.safe_rate`) takes half of the least upper
  bound of such rates, at which the rise that is guaranteed is largest;
- any other is searched: the first trial is the maximiser of Q's own parabola along the gradient,
  and it is halved until Q has risen by Armijo's share of what the slope promises. Q is below L up
  to a constant that meets it here, so L rises by no less; and Q costs no pass over the data. Where
  Q says nothing of L (a weight of zero; a family whose log-density has no statistics) it is L
  itself that is searched.

Trial points are projected onto the coordinates' domains; into an open end a step goes nine tenths
of the way. Arrays are (K, B) by component and (P, B) by coordinate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from relrep_sym.errors import DomainError, problem
from relrep_sym.runtime import check, kernel
from relrep_sym.runtime.chart import Chart
from relrep_sym.runtime.check import Array, Coords
from relrep_sym.runtime.em import Expected, Taken, objective_of
from relrep_sym.runtime.ends import Ends
from relrep_sym.runtime.objective import Objective
from relrep_sym.runtime.point import Components, Point
from relrep_sym.runtime.products import outer
from relrep_sym.runtime.reach import reach
from relrep_sym.runtime.step import Step

__all__ = ["Climb", "gradient_em_step", "responsibility_gram", "step_of"]

_HALVINGS = 60
_DOUBLINGS = 12
_SHARE = 1e-4
_ROUNDING = 16.0 * np.finfo(float).eps

Pull = Callable[[Array, Array, Sequence[Array]], Sequence[Array]]
"""(rows, ∂/∂π_k, ∂/∂φ_k) → ∂/∂λ_j."""
Gain = Callable[[Array, NDArray[np.intp]], Array]
"""(rows, members) → by how much the objective is higher there, −∞ outside the model's domain."""


class _Uphill(NamedTuple):
    """The E-step in the model's order, and ∇L, (P, B)."""

    seen: Expected
    gradient: Array


class Climb(NamedTuple):
    """A step of a batch, member by member, and ∇L where it started, (P, B)."""

    taken: Taken
    gradient: Array


@np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore")
def gradient_em_step(
    chart: Chart,
    pulled: Pull,
    point_at: Callable[[Array], Point],
    rows: Array,
    point: Point,
    x: Array,
    weights: Array | None,
    rate: Array | None,
) -> Climb:
    """One step of gradient EM from ``rows`` (P + C, B), whose mixtures are ``point``.

    ``rate`` is (P,), or None for the chart's safe rate or a search. A component that no point
    belongs to stays where it is. A member that a given rate takes out of the domain is a failure,
    which names the coordinate and what rate stays inside.
    """
    count = len(chart.coordinates)
    seen, gradient = _uphill(pulled, rows, point, x, weights)
    if rate is not None:
        out = rows[:count] + rate[:, None] * gradient
        left = _left(chart, point_at, rows, out, rate)
        for b in left:
            out[:, b] = rows[:count, b]
        return Climb(Taken(out, seen, left, {}), gradient)
    ends = Ends.of(chart)
    notes: dict[int, str] = {}
    if chart.sharp_rate is not None:
        out = ends.clipped(rows[:count], 0.5 * chart.sharp_rate * gradient)
    else:
        out = _searched(chart, point_at, ends, rows, point, seen, gradient, x, weights, notes)
    for b in range(rows.shape[1]):
        onto = [
            f"{name} = {out[j, b]:g}"
            for j, name in enumerate(chart.coordinates)
            if ends.at(out)[j, b] and not ends.at(rows[:count])[j, b]
        ]
        if onto:
            notes[b] = "; ".join([*([notes[b]] if b in notes else []), _ONTO + ", ".join(onto)])
    return Climb(Taken(out, seen, {}, notes), gradient)


@np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore")
def step_of(
    chart: Chart,
    point_at: Callable[[Array], Point],
    given: Coords,
    climb: Climb,
    x: Array,
    weights: Array | None,
) -> Step:
    """What a step found: multipliers and residual those of ∇L = ∇Q where it started.

    The gain is that of Q, or of L where Q has none: on a weight of zero.
    """
    taken, gradient = climb
    count, rows = len(gradient), given.rows
    new = np.concatenate([taken.rows, rows[count:]])
    point = point_at(rows)
    objective = objective_of(chart, point.form, rows, taken.expected, np.arange(rows.shape[1]))
    gain = objective.gain(new)
    for b in np.flatnonzero(~np.isfinite(gain)):
        there = _likelihood(point_at, new[:, b : b + 1], x, weights)[0]
        gain[b] = there - taken.expected.found.log_likelihood[b]
    ends = Ends.of(chart)
    held = ends.blocked(rows[:count], gradient)
    slopes, hessian = objective.expansion(rows)
    size = np.maximum(slopes.size, np.sqrt(np.abs(np.einsum("bpp->pb", hessian))))
    off = np.where(held, 0.0, np.abs(gradient) / np.where(size > 0.0, size, 1.0))
    bounded = (np.isfinite(ends.lower) | np.isfinite(ends.upper)).ravel()
    said = sorted(taken.notes.items())
    return Step.of(
        chart.coordinates,
        taken.rows,
        given.shape,
        gain,
        np.where(held, np.abs(gradient), 0.0),
        off.max(axis=0),
        list(bounded),
        [note if not given.shape else f"member {b}: {note}" for b, note in said],
    )


_ONTO = "the step ends on a bound of the domain: "


def _uphill(pulled: Pull, rows: Array, point: Point, x: Array, weights: Array | None) -> _Uphill:
    """One pass over the sample: N_k, means of b_j, log-likelihood and gradient."""
    found = kernel.statistics(point, x, weights, want_log=True)
    gradient = np.array(
        np.broadcast_arrays(*pulled(rows, *kernel.gradient(point, found)), rows[0])[:-1]
    )
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        mass = point.components.weights * found.mass
        means = np.where((found.mass > 0) & (mass > 0), found.moments / found.mass, 0.0)
    mass = np.where(mass > 0, mass, 0.0)
    placed = np.array([point.in_place(m) for m in means]).reshape(means.shape)
    sample = (_in_place(point), x, weights)
    return _Uphill(Expected(point.in_place(mass), placed, found, {}, sample), gradient)


def _in_place(point: Point) -> Point:
    """The point with its components in the model's order."""
    if point.order is None:
        return point
    c = point.components
    rows = tuple(point.in_place(p) for p in c.parameters)
    differences = tuple(row[:-1] - row[-1] for row in rows)
    return Point(point.form, Components(point.in_place(c.weights), rows, differences))


# ------------------------------------------------------------------------------ the line search


class _Lengths(NamedTuple):
    """First trials (B,), and the slopes ∂π_k/∂λ (P, B, K) of the weights.

    ``by_q`` is the maximiser of Q's parabola along the gradient, ``by_l`` that of the parabola
    without light components, whose weights bend Q without bound, but not L.
    """

    by_q: Array
    by_l: Array
    slopes: Array


_NOTHING = 1e-12
"""A weight next to nothing."""
_LIGHT = 0.1
"""Share of 1/K below which a component is light."""


def _lengths(ends: Ends, objective: Objective, gradient: Array) -> _Lengths:
    rows = objective.rows
    count, k = len(gradient), len(objective.mass)
    free = np.where(ends.blocked(rows[:count], gradient), 0.0, gradient)
    with np.errstate(divide="ignore", invalid="ignore"):  # its length does not matter here
        free = np.nan_to_num(free / np.abs(free).max(axis=0))
    with np.errstate(all="ignore"):
        slopes = objective.jacobian(rows)[..., :k]
        by_q = _top(objective, free)
        heavy = np.where(objective.weights > _LIGHT / k, objective.mass, 0.0)
        rest = Objective(objective.chart, objective.form, rows, heavy, objective.means)
        by_l = _top(rest, free)
    by_l = np.where(np.isfinite(by_l), by_l, 1.0)
    by_q = np.where(np.isfinite(by_q), by_q, 0.0)
    return _Lengths(by_q, np.maximum(by_l, by_q), np.where(np.isfinite(slopes), slopes, 0.0))


def _top(objective: Objective, free: Array) -> Array:
    """The maximiser of the parabola along a gradient, (B,), of the curvatures' sizes if convex."""
    hessian = objective.hessian(objective.rows)
    square = (free**2).sum(axis=0)
    bend = -np.einsum("pb,bpq,qb->b", free, hessian, free)
    size = np.einsum("pb,bpp->b", free**2, np.abs(hessian))
    found: Array = square / np.where(bend > 1e-12 * size, bend, size)
    return found


def _searched(
    chart: Chart,
    point_at: Callable[[Array], Point],
    ends: Ends,
    rows: Array,
    point: Point,
    seen: Expected,
    gradient: Array,
    x: Array,
    weights: Array | None,
    notes: dict[int, str],
) -> Array:
    """Coordinates after a step along the gradient that raises Q, or L where Q says too little."""
    count, batch = gradient.shape
    out = rows[:count].copy()
    moving = (~ends.blocked(rows[:count], gradient) & (gradient != 0.0)).any(axis=0)
    todo = np.flatnonzero(moving)
    present = seen.found.log_likelihood
    slack = _ROUNDING * (1.0 + np.abs(present))

    def of_l(trial: Array, part: NDArray[np.intp]) -> Array:
        return _likelihood(point_at, trial, x, weights) - present[part]

    if point.form.second is None or point.form.odds is None:
        faces = np.zeros((count, batch, 0)), np.zeros((0, batch))
        first = reach(chart, point.form, rows, gradient)
        new, taken = _climbed(ends, faces, rows, gradient, todo, first, of_l, slack, widen=True)
        out[:, taken] = new[:count, taken]
        return _stuck(out, todo, taken, notes)
    everyone = np.arange(batch)
    objective = objective_of(chart, point.form, rows, seen, everyone)
    lengths = _lengths(ends, objective, gradient)
    faces = lengths.slopes, objective.weights - _floor(objective.weights, objective.mass)

    def of_q(trial: Array, part: NDArray[np.intp]) -> Array:
        return (objective if part.size == batch else objective.take(part)).gain(trial)

    inside: NDArray[np.bool_] = np.logical_and.reduce(objective.weights > 0.0, axis=0)
    inside &= lengths.by_q > 0.0
    tells = inside & (lengths.by_l <= 4.0 * lengths.by_q)
    done = np.zeros(0, dtype=np.intp)
    for who, first, gain, room in (
        (todo[~tells[todo]], lengths.by_l, of_l, slack),
        (todo[inside[todo]], lengths.by_q, of_q, np.zeros(batch)),
    ):
        left = np.setdiff1d(who, done)
        new, taken = _climbed(ends, faces, rows, gradient, left, first, gain, room)
        out[:, taken] = new[:count, taken]
        done = np.union1d(done, taken)
    return _stuck(out, todo, done, notes)


def _floor(weights: Array, mass: Array) -> Array:
    """What each weight does not fall below in this step, (K, B).

    A weight of zero is where ∂L/∂π_k = E[R_k] may have no bound that doubles hold: it is reached
    only from where it is next to nothing and E[R_k] is not large.
    """
    away = np.minimum(weights, np.maximum(0.1 * weights, 1e-100))
    return np.where((weights <= _NOTHING) & (mass <= 1e3 * weights), 0.0, away)


def _stuck(
    out: Array, todo: NDArray[np.intp], done: NDArray[np.intp], notes: dict[int, str]
) -> Array:
    for b in np.setdiff1d(todo, done):
        notes[int(b)] = "no step along the gradient raises the likelihood beyond rounding"
    return out


def _climbed(
    ends: Ends,
    faces: tuple[Array, Array],
    rows: Array,
    gradient: Array,
    members: NDArray[np.intp],
    first: Array,
    gain: Gain,
    slack: Array,
    *,
    widen: bool = False,
) -> tuple[Array, NDArray[np.intp]]:
    """Rows (P + C, B) after a step of ``members``, and those of them whose step was taken.

    A trial that does not rise by Armijo's share is followed by the maximiser of the parabola
    through it, between a tenth and a half of its length. With ``widen`` the first trial says
    little of the best: one that is taken at once is doubled for as long as that raises the gain.
    """
    count = len(gradient)
    out, length, best = rows.copy(), first.copy(), np.zeros(rows.shape[1])
    with np.errstate(over="ignore"):
        slope = (gradient**2).sum(axis=0)
    left, once = members, members[:0]
    taken = np.zeros(rows.shape[1], bool)
    for turn in range(_HALVINGS):
        if not left.size:
            break
        trial = _moved(ends, faces, rows, gradient, length, left)
        found = gain(trial, left)
        promised = (gradient[:, left] * (trial[:count] - rows[:count, left])).sum(axis=0)
        enough = (found > slack[left]) & (found >= _SHARE * promised) & (promised > 0.0)
        done = left[enough]
        out[:, done], best[done], taken[done] = trial[:, enough], found[enough], True
        once = done if turn == 0 else once
        left, found = left[~enough], found[~enough]
        with np.errstate(invalid="ignore", over="ignore"):
            rise = slope[left] * length[left]
            shorter = np.where(np.isfinite(found), 0.5 * rise / (rise - found), 0.5)
        length[left] *= np.clip(shorter, 0.1, 0.5)
    for _ in range(_DOUBLINGS if widen else 0):
        if not once.size:
            break
        length[once] *= 2.0
        trial = _moved(ends, faces, rows, gradient, length, once)
        found = gain(trial, once)
        better = found > best[once]
        once, trial = once[better], trial[:, better]
        out[:, once], best[once] = trial, found[better]
    return out, members[taken[members]]


def _moved(
    ends: Ends,
    faces: tuple[Array, Array],
    rows: Array,
    gradient: Array,
    length: Array,
    members: NDArray[np.intp],
) -> Array:
    """Rows of some members after a move, projected onto the domain and weights off their floors.

    ``faces`` are the slopes of the weights and how far each may fall. One that falls further is
    brought back along its slope: exact where the weights are linear in the coordinates, and else a
    trial like any other.
    """
    count = len(gradient)
    out = rows[:, members].copy()
    slopes, room = faces[0][:, members], faces[1][:, members]
    here = out[:count].copy()
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        move = length[members] * gradient[:, members]
        for _ in range(4 * len(room)):
            move = ends.clipped(here, move) - here
            below = room + np.einsum("pb,pbk->kb", move, slopes)
            worst = below.argmin(axis=0) if len(below) else np.zeros(0, dtype=np.intp)
            if not len(below) or not (below < 0.0).any():
                break
            each = np.arange(members.size)
            under = np.minimum(below[worst, each], 0.0)
            normal = slopes[:, each, worst]
            norm = (normal**2).sum(axis=0)
            move = move - np.where(norm > 0.0, under / norm, 0.0) * normal
        out[:count] = ends.clipped(here, move)
    return out


def _likelihood(
    point_at: Callable[[Array], Point], rows: Array, x: Array, weights: Array | None
) -> Array:
    """Mean log-likelihoods, (B,); −∞ outside the model's domain."""
    out = np.full(rows.shape[1], -np.inf)
    for b in range(rows.shape[1]):
        try:
            point = point_at(rows[:, b : b + 1])
            out[b] = kernel.statistics(point, x, weights, want_log=True).log_likelihood[0]
        except DomainError:
            continue
    return out


# ------------------------------------------------------------------------------ a given rate


def _left(
    chart: Chart, point_at: Callable[[Array], Point], rows: Array, out: Array, rate: Array
) -> dict[int, DomainError]:
    """Members that a given rate takes out of the domain, each with what rate would not."""
    failures: dict[int, DomainError] = {}
    count = len(out)
    try:
        _insist(chart, point_at, np.concatenate([out, rows[count:]]))
    except DomainError:
        pass
    else:
        return failures
    for b in range(rows.shape[1]):
        here, there = rows[:, b : b + 1], np.concatenate([out[:, b], rows[count:, b]])[:, None]
        try:
            _insist(chart, point_at, there)
        except DomainError as why:
            share = _inside(chart, point_at, here, there)
            wrong = str(why).partition(";")[0]
            given = f"rate {_rates(rate)}"
            right = (
                f"a rate of at most {_rates(share * rate)}, or rate=None"
                if share > 0.0
                else "rate=None, which stays on the bound"
            )
            failures[b] = DomainError(problem(f"the step leaves the domain: {wrong}", given, right))
    return failures


def _rates(rate: Array) -> str:
    same = (rate == rate[0]).all()
    return f"{rate[0]:.6g}" if same else "(" + ", ".join(f"{r:.6g}" for r in rate) + ")"


def _insist(chart: Chart, point_at: Callable[[Array], Point], rows: Array) -> None:
    """Raise DomainError where coordinates, or the mixture that they give, leave the domain."""
    count = len(chart.coordinates)
    check.coordinates(
        rows[:count].T,
        chart.coordinates,
        chart.lower[:count],
        chart.upper[:count],
        chart.open_lower[:count],
    )
    point_at(rows)


def _inside(chart: Chart, point_at: Callable[[Array], Point], here: Array, there: Array) -> float:
    """The share of a step that stays inside, rounded down to six digits; by bisection."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        try:
            _insist(chart, point_at, here + middle * (there - here))
        except DomainError:
            high = middle
        else:
            low = middle
    digits = 6 - int(np.ceil(np.log10(low))) if low > 0.0 else 0
    return float(np.floor(low * 10.0**digits) / 10.0**digits) if low > 1e-12 else 0.0


# ------------------------------------------------------------------------------ second moments


def responsibility_gram(point: Point, x: Array, weights: Array | None) -> Array:
    """Σ w r_k r_j over weighted points, exactly symmetric, (B, K, K); x is (n,) or (B, n)."""
    form, (k, batch) = point.form, point.heights.shape
    out = np.zeros((batch, k, k))

    def use(b, i, part, _, block, __):  # type: ignore[no-untyped-def]
        posterior = block.ratios * part.shares
        if not part.shares.all():  # zero times what may be infinite
            np.copyto(posterior, 0.0, where=part.shares == 0.0)
        inside = None if weights is None else weights[b, i] if weights.ndim == 2 else weights[i]
        root = posterior if inside is None else posterior * np.sqrt(inside)
        rows = np.ascontiguousarray(np.moveaxis(root, 1, 0))
        return b, outer(rows, rows)

    if form.components == 1:
        total = np.ones(batch) if weights is None else np.broadcast_to(weights.sum(axis=-1), batch)
        return total.reshape(batch, 1, 1).copy()
    for b, part in kernel.over_blocks(point, x, None, use):
        out[b] += part
    if weights is None:
        out *= 1.0 / x.shape[-1]
    lower = np.tril(out)
    whole: Array = lower + np.tril(lower, -1).swapaxes(1, 2)
    return whole
