"""A chart's generated functions, held to finite values: a clear error instead of NaN or a warning.

In: a :class:`~relrep_sym.runtime.chart.Chart`. Out: the same, its maps, pull-backs and view under
guard. A map that its user wrote may divide by zero or take a logarithm at the end of a domain: what
has no finite value there is named, with the coordinates that were given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from relrep_sym.errors import DomainError, problem
from relrep_sym.runtime.chart import Chart
from relrep_sym.runtime.check import Array

__all__ = ["entries_behind", "guarded"]


def guarded(chart: Chart) -> Chart:
    """The chart with its functions under guard; a function that is None stays None."""
    changed: dict[str, Any] = {
        name: partial(_pulled, chart, getattr(chart, name))
        for name in ("pull_back", "pull_back_model")
    }
    changed |= {
        name: partial(_seen, chart, getattr(chart, name), what)
        for name, what in (("view", "is not finite"), ("push_view", "has no finite derivative"))
        if getattr(chart, name) is not None
    }
    return chart._replace(to_model=partial(_quiet, chart.to_model), **changed)


def _quiet(function: Callable[..., Any], *arguments: Any) -> Any:
    """A function whose values are checked elsewhere."""
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        return function(*arguments)


def _pulled(chart: Chart, function: Callable[..., Any], rows: Array, *bars: Any) -> Any:
    """A pull-back: where a division by zero happens in it, the chart's slope that is infinite."""
    try:
        with np.errstate(divide="raise", invalid="raise"):
            return function(rows, *bars)
    except FloatingPointError:
        _insist_slopes(chart, rows)
        return _quiet(function, rows, *bars)  # what came in was infinite


def _insist_slopes(chart: Chart, rows: Array) -> None:
    """Refuse coordinates at which an entry of the Jacobian is not finite."""
    flat = np.ascontiguousarray(rows.reshape(len(rows), -1))
    count, batch = len(chart.parameters), flat.shape[1]
    seeds = np.broadcast_to(np.eye(count)[:, :, None], (count, count, batch))
    for name, row in zip(
        chart.coordinates, _quiet(chart.pull_back_model, flat, seeds), strict=False
    ):
        slopes = np.broadcast_to(row, (count, batch))
        bad = np.argwhere(~np.isfinite(slopes))
        if len(bad):  # in the pull-back of another entry an infinite slope is zero times infinity
            infinite = np.argwhere(np.isinf(slopes))
            i, b = (int(n) for n in (infinite if len(infinite) else bad)[0])
            raise DomainError(
                problem(
                    f"the derivative of {chart.parameters[i]} by {name} is not finite",
                    _at(chart, flat, b),
                    "coordinates where the chart has a derivative",
                )
            )


def _seen(chart: Chart, function: Callable[..., Any], what: str, rows: Array, *more: Any) -> Any:
    """A view's functions, or their rates, each of which must be finite."""
    values = _quiet(function, rows, *more)
    if all(np.isfinite(row).all() for row in more):
        names = chart.view_names or [str(n) for n in range(1, len(values) + 1)]
        for name, row in zip(names, values, strict=True):
            bad = ~np.isfinite(np.broadcast_to(row, rows[0].shape))
            if bad.any():
                raise DomainError(
                    problem(
                        f"the view function {name} {what} at these coordinates",
                        _at(chart, rows, int(np.argwhere(bad)[0][0])),
                        "coordinates where it has a finite value and slope",
                    )
                )
    return values


def _at(chart: Chart, rows: Array, b: int) -> str:
    """One point in words."""
    return ", ".join(f"{n} = {row[b]}" for n, row in zip(chart.coordinates, rows, strict=False))


def entries_behind(
    from_model: Callable[..., Sequence[Any]], names: Sequence[str], theta: Array, j: int, b: int
) -> str:
    """The entries of θ that coordinate j comes from, with their values at member b, in words.

    They are found by asking which entry of a harmless θ makes that coordinate NaN when it is NaN.

    >>> theta = np.array([[0.5], [1.0], [0.0]])
    >>> gaps = lambda t: (t[0], t[1], np.sqrt(t[2] - t[1]))
    >>> entries_behind(gaps, ("pi_1", "mu_1", "mu_2"), theta, 2, 0)
    'mu_1 = 1.0, mu_2 = 0.0'
    """
    count, found = len(names), list[int]()
    for step in (0.5 / count**2, 10.0):  # rooms for weights, and for gaps with a clearance
        tame = np.repeat(theta[:, b : b + 1], count + 1, axis=1)
        tame[:count] = step * np.arange(1.0, count + 1.0)[:, None]
        for i in range(count):
            tame[i, i] = np.nan
        row = np.broadcast_to(_quiet(from_model, tame)[j], tame.shape[1])
        if np.isfinite(row[-1]):
            found = [i for i in range(count) if np.isnan(row[i])]
            break
    shown = found or range(count)
    return ", ".join(f"{names[i]} = {theta[i, b]}" for i in shown)
