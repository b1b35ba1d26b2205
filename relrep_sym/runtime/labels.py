"""Components in an order that a chart can take.

In: a solver and θ. Out: θ with its components renumbered so that it lies in the chart's image.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from relrep_sym.errors import DomainError, problem
from relrep_sym.runtime.check import Array

if TYPE_CHECKING:
    from relrep_sym.runtime.mapped import Mapped

__all__ = ["relabelled"]


def relabelled(solver: Mapped, theta: Array, shape: tuple[int, ...], member: int) -> Array:
    """One θ (Pθ,) as it is if the chart takes it, else with its components sorted.

    Components are sorted by each family parameter and by the weights, up and down, until the chart
    takes one. ``member`` is its place in a batch of leading ``shape``. Raises DomainError where the
    chart takes none of these orders, or what is fixed forbids them.
    """
    whole = solver.at_member(shape, member)
    first: DomainError | None = None
    for column in _orders(whole, theta):
        try:
            whole.from_model(column)
        except DomainError as why:
            first = first or why
        else:
            return column
    right = "components whose order by one parameter the chart can take"
    raise DomainError(problem("no order of the components lies in the chart", str(first), right))


def _orders(solver: Mapped, theta: Array) -> Iterator[Array]:
    yield theta
    weights, parameters, _ = solver.chart.model_components(theta[:, None])
    for row in (*parameters, weights):
        for order in (np.argsort(row[:, 0], kind="stable"), np.argsort(-row[:, 0], kind="stable")):
            moved = [a[order] for a in (weights, *parameters)]
            out = np.array([np.ravel(v)[0] for v in solver.chart.to_parameters(*moved)])
            back, again, _ = solver.chart.model_components(out[:, None])
            slack = 1e-12
            kept = (
                np.allclose(a, b, rtol=slack, atol=slack * np.abs(b).max())
                for a, b in zip((back, *again), moved, strict=True)
            )
            if all(kept):
                yield out
