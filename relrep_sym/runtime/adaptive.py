"""Rules for expectations where nothing is known of the integrand: nested, with their estimate.

In: a model, a truth, and what is to be integrated under it. Out: rules like those of
:mod:`.quadrature`, one for each group of the batch, with a measured error estimate.

The range is broken at every component's centre and at kinks; on each piece stands the
double-exponential rule of :mod:`.nested`, which sees a narrow component at the end of a piece and
bears with singular ends and heavy tails. Its step is halved until the integrals of all that is
asked for have settled: the estimate is the last change, relative to the mean absolute value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from relrep_sym.errors import DomainError, problem
from relrep_sym.runtime.check import Array, Support
from relrep_sym.runtime.nested import piece_nodes
from relrep_sym.runtime.places import ends, places, widths
from relrep_sym.runtime.point import Point
from relrep_sym.runtime.quadrature import Indices, Rule

__all__ = ["Measure", "component_logs", "nested_rules"]

TOLERANCE = 1e-13
"""The largest estimate that passes, relative to the mean absolute integrand, short of what rounding
of the nodes costs at that distance from the origin."""

_SETTLED = 2e-15
"""Halving stops when the last change is below this in any case."""
_STEEP = 1e-3
"""A change that fell to this part of the one before is far above the error: the digits double."""
_HALVINGS = 9
_AT_ONCE = 400_000
"""Nodes times components that are worked on at once."""

Measure = Callable[[Indices, Array, Array], tuple[Array, Array]]
"""(members, nodes, steps) → integrals and their yardsticks, (R, m) each, summed over the nodes."""


class _Grid(NamedTuple):
    """Breaks (M, m) of each member, and for each a length for infinite pieces, and the condition:
    the largest distance from the origin over the smallest width.
    """

    breaks: Array
    support: Support
    length: Array
    condition: Array

    def take(self, chosen: Indices) -> _Grid:
        rows = self.breaks[:, chosen], self.length[chosen], self.condition[chosen]
        return _Grid(rows[0], self.support, *rows[1:])

    def nodes(self, t: Array) -> tuple[Array, Array]:
        """Nodes and dx/dt of every piece at t, (m, pieces · len(t)) each."""
        low, high = ends(self.support)
        count = self.breaks.shape[1]
        edges = np.concatenate([np.full((1, count), low), self.breaks, np.full((1, count), high)])
        x, slope = piece_nodes(edges[:-1, :, None], edges[1:, :, None], t, self.length[:, None])
        return (np.moveaxis(v, 0, 1).reshape(count, -1) for v in (x, slope))  # type: ignore[return-value]


def component_logs(point: Point, x: Array) -> Array:
    """log f_k at points, (n,), (B, n) or (K, B, n): (K, B, n), without the term of x alone.

    What is no number, far out where a square overflows, has no mass.
    """
    form = point.form
    k, batch = point.heights.shape
    wide = x.ndim == 3
    shape = (k, batch, x.shape[-1])
    basis = tuple(
        np.empty(shape if form.own or wide else (1, *shape[1:])) for _ in range(form.basis)
    )
    out, spare = np.empty(shape), np.empty(shape)
    with np.errstate(all="ignore"):
        form.block(x, point.coefficients, basis, spare)
        form.exponents(point.coefficients, basis, slice(None), out, spare)
        out += (np.log(point.heights) + point.log_height)[..., None]
    return np.where(np.isnan(out), -np.inf, out)


def _grid(points: list[Point], count: int) -> _Grid:
    """Breaks at the centres and kinks of all components of some mixtures."""
    form = points[0].form
    breaks, length, narrow = [], np.full(count, np.inf), np.full(count, np.inf)
    for point in points:
        c = point.components
        shape = c.weights.shape

        def logs(x: Array, point: Point = point) -> Array:
            found = component_logs(point, x)
            return found if form.common is None else found + form.common(x)

        if form.location is not None:
            centre = c.parameters[form.location]
            width = widths(logs, centre, form.support)
        else:
            centre, width = places(logs, shape, form.support)
        breaks.append(np.broadcast_to(centre, (shape[0], count)))
        if form.kink is not None:
            at = -form.kink(np.zeros(1), *(p[..., None] for p in c.parameters))[..., 0]
            if form.location is None or not np.array_equal(at, centre):
                breaks.append(np.broadcast_to(at, (shape[0], count)))
        length = np.minimum(length, width.max(axis=0))
        narrow = np.minimum(narrow, width.min(axis=0))
    low, high = ends(form.support)
    rows = np.sort(np.clip(np.concatenate(breaks), low, high), axis=0)
    return _Grid(rows, form.support, length, np.abs(rows).max(axis=0) / narrow)


def nested_rules(
    points: list[Point], members: Indices, measure: Measure, weight: Callable[..., Array]
) -> Iterator[Rule]:
    """Rules for the members of a batch, each with its estimate.

    Args:
        points: mixtures whose features break the range: the truth, the model; a batch of the
            members, or one for all.
        members: indices into the batch.
        measure: see :data:`Measure`; of what is integrated.
        weight: (members, nodes) → the density of the truth there; a node without any is moved to
            where there is some, with a step of zero.

    Raises DomainError where the estimate stays above the tolerance.
    """
    grid = _grid(points, len(members))
    per = (len(grid.breaks) + 1) * 432 * points[0].form.components
    deep = max(1, _AT_ONCE // per)
    for i in range(0, len(members), deep):
        some = np.arange(i, min(i + deep, len(members)))
        yield from _settled(grid.take(some), members[some], measure, weight)


def _settled(
    grid: _Grid, members: Indices, measure: Measure, weight: Callable[..., Array]
) -> Iterator[Rule]:
    count = len(members)
    allowed = TOLERANCE + 8 * np.finfo(float).eps * grid.condition
    alive = np.arange(count)
    nodes, slopes = np.empty((count, 0)), np.empty((count, 0))
    total = size = np.zeros((1, count))
    last = np.full(count, np.inf)
    for level in range(2, _HALVINGS + 1):
        h = 0.5**level
        t = np.arange(-6.75, 6.75 + h, h)[slice(None) if level == 2 else slice(1, None, 2)]
        part = grid.take(alive)
        x, slope = part.nodes(t)
        density = weight(members[alive], x)
        density = np.where(np.isfinite(density), density, 0.0)  # a node rounded onto a singular end
        heavy = np.argmax(density, axis=1)[:, None]
        safe = np.take_along_axis(x, heavy, axis=1)
        useful = (slope > 0.0) & (density > 0.0)
        x, slope = np.where(useful, x, safe), np.where(useful, slope, 0.0)
        values, sizes = measure(members[alive], x, slope)
        nodes, slopes = np.concatenate([nodes, x], axis=1), np.concatenate([slopes, slope], axis=1)
        if level == 2:
            total, size, change = h * values, h * sizes, np.full(len(alive), np.inf)
        else:
            before = total
            total, size = 0.5 * total + h * values, 0.5 * size + h * sizes
            with np.errstate(all="ignore"):
                moved = np.where(size > 0.0, np.abs(total - before) / size, 0.0)
            change = moved.max(axis=0)
            change[~np.isfinite(total).all(axis=0)] = np.inf
        good = change <= allowed[alive]
        # one more halving only where the change neither fell steeply nor has stopped to fall
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = change / last[alive]
        clear = (ratio <= _STEEP) | (ratio >= 0.25) | (level == _HALVINGS)
        done = (change <= _SETTLED) | (good & clear)
        last[alive] = change
        if level == _HALVINGS and not done.all():
            b = int(np.argmax(np.where(done, 0.0, change)))
            raise DomainError(
                problem(
                    "the quadrature does not settle",
                    f"an estimate of {change[b]:.1e} of the mean absolute integrand with "
                    f"{nodes.shape[1]} nodes",
                    f"at most {allowed[alive][b]:.1e}: components that are not so extreme, or "
                    "nodes and weights of your own",
                )
            )
        if done.any():
            chosen = alive[done]
            yield Rule(
                nodes[done].T,
                h * slopes[done].T,
                members[chosen],
                None,
                "nested",
                float(change[done].max()),
            )
        alive, nodes, slopes = alive[~done], nodes[~done], slopes[~done]
        total, size = total[:, ~done], size[:, ~done]
        if not len(alive):
            return
