"""Expressions made of expectations, over the nodes and kernels of a generated module.

In: a module's solver, coordinates, a truth, and generated functions: one integrand for each mean,
and what combines the means. Out: the values, one for each point of the chart (and each x). Data
pass and quadrature are the module's own: responsibilities and log-densities come from the blocked
kernel, nodes from :meth:`~relrep_sym.runtime.solver.Solver.nodes`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from relrep_sym.errors import DataError, problem
from relrep_sym.runtime import check, kernel
from relrep_sym.runtime.block import log_density
from relrep_sym.runtime.check import Array, Entries
from relrep_sym.runtime.edges import inside
from relrep_sym.runtime.expectation import Nodes, Truth, nodes_of_both
from relrep_sym.runtime.solver import Solver

__all__ = ["Mean", "expression"]

Integrand = Callable[[Array, Array, Array, Array, Array, Sequence[Any], Sequence[float]], Any]
"""(x, r, log_p, log_q, c, m, s): points and what is given there, coordinates, the means before
it, the truth's symbols."""


class Mean(NamedTuple):
    """One mean: its density ("q", "q_2", "p", "p_1", …), its integrand, whether log q is in it."""

    density: str
    integrand: Integrand
    both: bool = False


def expression(
    solver: Solver,
    means: Sequence[Mean],
    combine: Integrand,
    coords: Entries,
    truth: object = None,
    *,
    symbols: Sequence[float] = (),
    x: ArrayLike | None = None,
) -> Array:
    """What ``combine`` makes of the means: (…,), or (…, N) where it is asked at points x (N,)."""
    given, _ = solver.point(coords)
    points = None if x is None else check.sample(x, solver.form.support)
    rows = [_one(solver, means, combine, row, truth, symbols, points) for row in given.rows.T]
    shape = given.shape
    if points is not None and x is not None and np.ndim(x):
        shape = (*shape, points.size)
    return np.array(rows, dtype=float).reshape(shape)[()]


def _one(
    solver: Solver,
    means: Sequence[Mean],
    combine: Integrand,
    c: Array,
    truth: object,
    symbols: Sequence[float],
    points: Array | None,
) -> Any:
    known: dict[tuple[str, bool], tuple[Array, ...]] = {}
    values: list[Any] = []
    for density, integrand, both in means:
        key = (density, both)
        if key not in known:
            x, weights = _nodes(solver, density, c, truth, both)
            known[key] = (weights, x, *_given(solver, x, c, truth))
        weights, at, r, log_p, log_q = known[key]
        row = np.broadcast_to(integrand(at, r, log_p, log_q, c, values, symbols), weights.shape)
        values.append(float(weights @ row))
    if points is None:
        nothing = np.empty(0)
        return combine(nothing, nothing, nothing, nothing, c, values, symbols)
    found = combine(points, *_given(solver, points, c, truth), c, values, symbols)
    return np.broadcast_to(found, points.shape)


def _nodes(solver: Solver, density: str, c: Array, truth: object, both: bool) -> Nodes:
    """Nodes and weights of a mean; fit for the truth's own logarithm where that is in it."""
    taken = _density(solver, density, c, truth)
    if not both:
        return solver.nodes(taken, c)
    own, under = Truth.of(truth, solver.form), Truth.of(taken, solver.form)
    if isinstance(own, Nodes) or isinstance(under, Nodes):
        raise _no_density(solver)
    return nodes_of_both(solver.point(c)[1], own, under)


def _density(solver: Solver, density: str, c: Array, truth: object) -> object:
    """What a mean is taken under, as the solver takes a truth."""
    name, _, number = density.partition("_")
    if name == "p":
        arrays = solver.components(c)
    else:
        if truth is None:
            right = "(weights, " + ", ".join(solver.form.names) + ")"
            raise DataError(problem("a mean under the truth needs one", "truth=None", right))
        if not number:
            return truth
        arrays = _arrays(solver, truth)
    if not number:
        return arrays
    k = int(number) - 1
    return (np.ones(1), *(a[k : k + 1] for a in arrays[1:]))


def _arrays(solver: Solver, truth: object) -> tuple[Array, ...]:
    found = Truth.of(truth, solver.form)
    if isinstance(found, Nodes):
        raise _no_density(solver)
    parts = found.point.components
    return tuple(a[:, 0] for a in (parts.weights, *parts.parameters))


def _no_density(solver: Solver) -> DataError:
    right = "a mixture truth: (weights, " + ", ".join(solver.form.names) + ")"
    return DataError(problem("a weighted sample has no density", "(nodes, weights)", right))


def _given(solver: Solver, x: Array, c: Array, truth: object) -> tuple[Array, Array, Array]:
    """r (K, n), log p and log q (n,) at x; log q is empty without a truth that has a density."""
    shares = solver.responsibilities(x, c).T
    log_p = solver.log_density(x, c)
    found = None if truth is None else Truth.of(truth, solver.form)
    if found is None or isinstance(found, Nodes):
        return shares, log_p, np.empty(0)
    log_q = np.empty((1, x.size))

    def use(b, i, part, _, block, work):  # type: ignore[no-untyped-def]
        log_q[b, i] = log_density(part, block, work.spare)

    kernel.over_blocks(found.point, x, None, use)
    if solver.form.common is not None:
        log_q += solver.form.common(inside(solver.form, x))
    return shares, log_p, log_q[0]
