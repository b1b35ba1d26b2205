"""Named, seeded starts of a fit: a split of the sample, then the M-step's maximiser for it.

In: a solver, a name, how many starts and a seed. Out: coordinates (P, S). SciPy clusters for
``"k-means++"``, and is imported there.

* ``"quantiles"``: the sorted sample is cut into K parts of equal weight; further starts cut it at
  random places.
* ``"k-means++"``: K clusters by Lloyd's method from seeds that k-means++ draws (Arthur and
  Vassilvitskii 2007).
* ``"random"``: each point gets random responsibilities, uniform on the simplex.

Where no M-step is known for responsibilities alone, each part gives its mean and its standard
deviation to a location and a scale. A component whose own maximiser is at an edge of its domain, as
the scale of equal points, takes that parameter from the whole sample. Components are renumbered
into an order that the chart takes; where a clearance asks for more room than they have, they are
moved apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from relrep_sym.errors import (
    DataError,
    DerivationError,
    DomainError,
    NotInstalledError,
    problem,
)
from relrep_sym.runtime.ascent import maximise
from relrep_sym.runtime.block import Workspace
from relrep_sym.runtime.check import Array
from relrep_sym.runtime.edges import inside
from relrep_sym.runtime.median import weighted_median
from relrep_sym.runtime.objective import Objective
from relrep_sym.runtime.placing import Placed, placed
from relrep_sym.runtime.point import Components, Form, Point

if TYPE_CHECKING:
    from relrep_sym.runtime.learning import Learning

__all__ = ["KINDS", "named_starts"]

KINDS = ("quantiles", "k-means++", "random")

_TRIES = 20
"""Random splits that are tried until one gives every component some of the sample."""

_STRETCH = 32768
"""Points that are summed over at once."""


class _Sample(NamedTuple):
    """A sample, its weights, and their weighted mean and standard deviation."""

    x: Array
    weights: Array
    mean: float
    spread: float

    @staticmethod
    def of(x: Array, weights: Array | None) -> _Sample:
        share = np.full(x.size, 1.0 / x.size) if weights is None else weights
        mean = float(x[0] + (share * (x - x[0])).sum())
        return _Sample(x, share, mean, float(np.sqrt((share * (x - mean) ** 2).sum())))


@np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore")
def named_starts(
    solver: Learning,
    kind: str,
    count: int,
    rng: np.random.Generator,
    x: Array,
    weights: Array | None,
    floor: float | None,
) -> Array:
    """Coordinates (P, S) of ``count`` starts of a kind.

    Raises DataError for an unknown kind, DerivationError where the family has neither an M-step
    nor a location, DomainError where no such start has coordinates.
    """
    if kind not in KINDS:
        right = "coordinates (…, P), or one of " + ", ".join(f'"{k}"' for k in KINDS)
        raise DataError(problem("unknown start", kind, right))
    if not _has_m_step(solver) and solver.form.location is None:
        raise DerivationError(
            problem(
                f'the start "{kind}" needs an M-step or a location, and this family has neither',
                solver.chart.why["m_step"],
                "coordinates to start from",
            )
        )
    sample = _Sample.of(x, weights)
    return np.stack(
        [_one(solver.at_member((count,), s), kind, s, rng, sample, floor) for s in range(count)],
        axis=1,
    )


def _has_m_step(solver: Learning) -> bool:
    """Whether responsibilities alone give parameters."""
    chart, form = solver.chart, solver.form
    separates = form.second is not None and form.odds is not None
    return chart.m_step is not None or chart.medians is not None or separates


def _one(
    solver: Learning,
    kind: str,
    number: int,
    rng: np.random.Generator,
    sample: _Sample,
    floor: float | None,
) -> Array:
    """The coordinates (P,) of one start; random splits are drawn anew where one fails."""
    first: DomainError | None = None
    tries = 1 if kind == "quantiles" and number == 0 else _TRIES
    for _ in range(tries):
        try:
            split = _split(kind, number, rng, sample, solver.form.components)
            _insist_all(split)
            return _coordinates(solver, split * sample.weights, sample, floor)
        except DomainError as why:
            first = first or why
    right = "a larger sample, or coordinates to start from"
    raise DomainError(
        problem(f'no start "{kind}" has coordinates in this chart', str(first), right)
    )


# ------------------------------------------------------------------------------- splits


def _insist_all(split: Array) -> None:
    """Refuse a split that leaves a component without points."""
    empty = np.flatnonzero(~split.any(axis=1))
    if empty.size:
        right = "at least as many distinct points as components"
        raise DomainError(problem("a part of the sample is empty", f"part {empty[0] + 1}", right))


def _split(
    kind: str, number: int, rng: np.random.Generator, sample: _Sample, components: int
) -> Array:
    """Responsibilities (K, N), each column summing to one."""
    if kind == "random":
        return np.ascontiguousarray(rng.dirichlet(np.ones(components), sample.x.size).T)
    if kind == "quantiles":
        share = np.full(components, 1.0 / components)
        if number:
            share = rng.dirichlet(np.full(components, 2.0))
        return _cut(sample, share)
    labels = _clusters(sample, components, rng)
    return (labels == np.arange(components)[:, None]).astype(float)


def _cut(sample: _Sample, share: Array) -> Array:
    """The sorted sample in parts of these shares; a point on a cut is divided."""
    order = np.argsort(sample.x, kind="stable")
    after = np.cumsum(sample.weights[order])
    edges = np.concatenate([[0.0], np.cumsum(share)])
    edges[-1] = after[-1] = max(after[-1], 1.0)
    before = np.concatenate([[0.0], after[:-1]])
    inside = np.minimum(after, edges[1:, None]) - np.maximum(before, edges[:-1, None])
    weight = after - before
    parts = np.divide(np.maximum(inside, 0.0), weight, out=np.zeros_like(inside), where=weight > 0)
    out = np.empty_like(parts)
    out[:, order] = parts
    return out


def _clusters(sample: _Sample, components: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Labels (N,) of SciPy's k-means from k-means++ seeds.

    SciPy's takes no weights: with weights it clusters a sample drawn in proportion to them, and
    each point goes to the nearest centre.
    """
    from inspect import signature

    try:
        from scipy.cluster.vq import ClusterError, kmeans2
    except ImportError:
        right = 'pip install scipy, or start="quantiles" or "random", which need NumPy alone'
        wrong = 'the start "k-means++" needs SciPy'
        raise NotInstalledError(problem(wrong, "it is not installed", right)) from None

    x = sample.x
    if np.ptp(sample.weights) > 0:
        x = rng.choice(x, x.size, p=sample.weights / sample.weights.sum())
    given = "rng" if "rng" in signature(kmeans2).parameters else "seed"
    centred = (x - sample.mean) / (sample.spread or 1.0)
    cluster: Any = kmeans2
    try:
        with np.errstate(all="ignore"):
            centres, _ = cluster(
                centred[:, None], components, minit="++", missing="raise", **{given: rng}
            )
    except (ClusterError, ValueError) as why:
        right = "at least as many distinct points as components"
        raise DomainError(problem("k-means++ leaves a cluster empty", str(why), right)) from None
    where = (sample.x - sample.mean) / (sample.spread or 1.0)
    found: NDArray[np.intp] = np.abs(where - centres).argmin(axis=0)
    return found


# ------------------------------------------------------------------------------- M-steps


def _coordinates(solver: Learning, share: Array, sample: _Sample, floor: float | None) -> Array:
    """The M-step's maximiser for weighted responsibilities (K, N), as coordinates (P,)."""
    form = solver.form
    mass = share.sum(axis=1)[:, None]
    about = _neutral(solver, share, sample)
    if solver.chart.medians is not None or not _has_m_step(solver):
        weights, about = _spread_out(solver, share, sample, mass, about)
        return _insisted(solver, weights, _above(form, about, floor), sample).coords
    if solver.chart.m_step is not None:
        for _ in range(2):  # the second time about the parameters found: no digits are lost
            about = _maximised(solver, share, sample, mass, about)
        weights = np.asarray(
            solver.chart.m_step(mass, _means(solver, share, sample, about), *about)[0]
        )
        return _insisted(solver, weights, _above(form, about, floor), sample).coords
    here = _insisted(solver, mass / mass.sum(), about, sample)
    share, mass = share[here.order], mass[here.order]
    rows = solver.rows_of(here.coords)
    at = solver.chart.components(rows)[1]
    objective = Objective(solver.chart, form, rows, mass, _means(solver, share, sample, at))
    best = maximise(objective, rows)
    # a start need not be a maximum of Q: where there is none, the moments' place is one
    return best.rows[: len(here.coords), 0] if best.converged[0] else here.coords


def _above(form: Form, parameters: tuple[Array, ...], floor: float | None) -> tuple[Array, ...]:
    """The parameters with no scale below the floor."""
    if floor is None or form.scale is None:
        return parameters
    return tuple(np.fmax(p, floor) if i == form.scale else p for i, p in enumerate(parameters))


def _spread_out(
    solver: Learning, share: Array, sample: _Sample, mass: Array, about: tuple[Array, ...]
) -> tuple[Array, tuple[Array, ...]]:
    """Each part's median and what follows from it; without an M-step, its mean and deviation."""
    form, how = solver.form, solver.chart.medians
    order = np.argsort(sample.x, kind="stable")
    places, scales = (
        np.array(about[i]) if i is not None else None for i in (form.location, form.scale)
    )
    if how is not None:
        places = about[how.location].copy()
        for group in how.groups:
            total = (how.tension(*about)[list(group)] * share[list(group)]).sum(axis=0)
            places[list(group)] = weighted_median(sample.x[order], total[order])
        away = (share * np.abs(sample.x - places)).sum(axis=1)[:, None] / mass
        new = tuple(places if i == how.location else p for i, p in enumerate(about))
        weights, found = how.step(mass, away, *new)
        good = found[form.scale] > 1e-6 * sample.spread if form.scale is not None else True
        return weights, tuple(
            np.where(good, p, about[i]) if i == form.scale else p for i, p in enumerate(found)
        )
    assert places is not None  # else there is no such start
    square = (share * (sample.x - places) ** 2).sum(axis=1)[:, None] / mass
    if scales is not None:
        scales = np.where(square > (1e-6 * sample.spread) ** 2, np.sqrt(square), scales)
        about = tuple(scales if i == form.scale else p for i, p in enumerate(about))
    weights = mass / mass.sum()
    return weights, _fixed(solver, weights, about)


def _insisted(
    solver: Learning, weights: Array, parameters: tuple[Array, ...], sample: _Sample
) -> Placed:
    found = placed(solver, weights, parameters, sample.spread or 1.0)
    if found is None:
        shown = ", ".join(
            f"{name} = {np.round(p[:, 0], 6).tolist()}"
            for name, p in zip(solver.form.names, parameters, strict=True)
        )
        right = "components that the chart takes in some order, moved apart if need be"
        raise DomainError(problem("the start is not in the image of the chart", shown, right))
    return found


def _neutral(solver: Learning, share: Array, sample: _Sample) -> tuple[Array, ...]:
    """Parameters (K, 1) inside every domain: each part's mean and the sample's spread, else one."""
    form = solver.form
    mass = share.sum(axis=1)[:, None]
    ends = form.upper or (np.inf,) * len(form.names)
    rows = []
    for i, (positive, end) in enumerate(zip(form.positive, ends, strict=True)):
        if i == form.location:
            offset = (share @ (sample.x - sample.mean))[:, None]
            rows.append(sample.mean + offset / mass)
        elif i == form.scale:
            rows.append(np.full_like(mass, sample.spread or 1.0))
        else:
            one = min(1.0, 0.5 * end) if positive else min(0.0, end - 1.0)
            rows.append(np.full_like(mass, one))
    return _fixed(solver, mass / mass.sum(), tuple(rows))


def _fixed(solver: Learning, weights: Array, parameters: tuple[Array, ...]) -> tuple[Array, ...]:
    """The parameters with what the model fixes or ties put in."""
    theta = solver.chart.to_parameters(weights, *parameters)
    whole = np.array(np.broadcast_arrays(*theta, parameters[0][0])[:-1]).reshape(-1, 1)
    return tuple(solver.chart.model_components(whole)[1])


def _maximised(
    solver: Learning, share: Array, sample: _Sample, mass: Array, about: tuple[Array, ...]
) -> tuple[Array, ...]:
    """The closed form's parameters; at an edge of a domain those of the whole sample."""
    form, step = solver.form, solver.chart.m_step
    assert step is not None
    with np.errstate(all="ignore"):
        found = step(mass, _means(solver, share, sample, about), *about)[1]
        equal = np.broadcast_to(sample.weights / len(mass), share.shape)
        even = equal.sum(axis=1)[:, None]
        common = step(even, _means(solver, equal, sample, about), *about)[1]
    ends = form.upper or (np.inf,) * len(form.names)
    out = []
    for i, (own, whole, positive, end) in enumerate(
        zip(found, common, form.positive, ends, strict=True)
    ):
        least = 0.0 if positive else -np.inf
        if i == form.scale:  # equal points, but for rounding
            least = 1e-6 * sample.spread
        good = np.isfinite(own) & (own > least) & (own < end)
        value = np.where(good, own, whole)
        if not (
            np.isfinite(value) & (value > (0.0 if positive else -np.inf)) & (value < end)
        ).all():
            raise DomainError(
                problem(
                    f"{form.names[i]} has no maximiser inside its domain for this sample",
                    f"{form.names[i]} = {value[:, 0].tolist()}",
                    "points that differ",
                )
            )
        out.append(value)
    return tuple(out)


def _means(solver: Learning, share: Array, sample: _Sample, about: tuple[Array, ...]) -> Array:
    """Means of b_j (J, K, 1) under weighted responsibilities, the functions at ``about``."""
    form = solver.form
    weights = np.full_like(about[0], 1.0 / len(share))
    point = Point(form, Components(weights, about, tuple(p[:-1] - p[-1] for p in about)))
    total = np.zeros((form.basis, len(share), 1))
    for i in range(0, sample.x.size, _STRETCH):
        part = inside(form, sample.x[i : i + _STRETCH])
        work = Workspace(form, np.empty(Workspace.size(form, part.size)), 1, part.size)
        form.block(part, point.coefficients, work.basis, work.spare)
        for row, basis in zip(total, work.basis, strict=True):
            row[:, 0] += (share[:, i : i + _STRETCH] * basis[:, 0]).sum(axis=1)
    out: Array = total / share.sum(axis=1)[:, None]
    return out
