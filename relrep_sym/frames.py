"""Axes to look at dynamics in: a chart's own coordinates, another chart's, or a view's functions.

In: a module whose dynamics are drawn, and what to look at them in. Out: a :class:`Frame` that takes
points of its axes to the module's coordinates and back, and velocities with them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from relrep_sym.declare.view import View
from relrep_sym.equations.view_inverse import solve_view
from relrep_sym.errors import DataError, RelrepError, problem

__all__ = ["Frame", "by_halves", "frame_of"]

Table = NDArray[np.float64]
Map = Callable[[Table], Table]


@dataclass(frozen=True)
class Frame:
    """Axes by name; points are (N, axes), coordinates (N, P), NaN where there is none.

    ``ends`` are the domains of those axes that have one.
    """

    names: tuple[str, ...]
    to_coords: Map
    from_coords: Map
    push: Callable[[Table, Table, Table], Table]
    ends: dict[str, tuple[float, float]]


def frame_of(module: Any, view: Any, constants: dict[str, float]) -> Frame:
    """The frame of None (the module's own coordinates), of a view, or of another chart's module.

    ``constants`` are those of the other chart. Raises DataError for anything else, for another
    model, and for a view without as many functions as there are coordinates.
    """
    if view is None:
        return Frame(tuple(module.COORDINATES), _same, _same, lambda _, __, v: v, _ends(module))
    if isinstance(view, View):
        return _of_view(module, view)
    other = view.compile() if hasattr(view, "compile") and hasattr(view, "chart") else view
    if not (hasattr(other, "COORDINATES") and hasattr(other, "from_model")):
        right = "None, a view, or a derivation or module of the same model in another chart"
        raise DataError(problem("view is nothing to look in", type(view).__name__, right))
    if tuple(other.PARAMETERS) != tuple(module.PARAMETERS) or dict(other.FIXED) != dict(
        module.FIXED
    ):
        right = f"a chart of the model with ({', '.join(module.PARAMETERS)})"
        raise DataError(problem("view is of another model", ", ".join(other.PARAMETERS), right))

    def push(points: Table, coords: Table, velocity: Table) -> Table:
        theta = (module.jacobian(coords) @ velocity[..., None])[..., 0]
        there = other.jacobian(points, **constants)
        if there.shape[-1] == there.shape[-2]:
            return np.asarray(np.linalg.solve(there, theta[..., None])[..., 0])
        return np.asarray((np.linalg.pinv(there) @ theta[..., None])[..., 0])

    return Frame(
        tuple(other.COORDINATES),
        lambda points: np.asarray(module.from_model(other.to_model(points, **constants))),
        lambda coords: np.asarray(other.from_model(module.to_model(coords), **constants)),
        push,
        _ends(other),
    )


def _of_view(module: Any, view: View) -> Frame:
    symbols = list(view.chart.symbols)
    if [s.name for s in symbols] != list(module.COORDINATES):
        given = ", ".join(s.name for s in symbols)
        right = f"a view of the chart with ({', '.join(module.COORDINATES)})"
        raise DataError(problem("the view is of another chart", given, right))
    names = tuple(f.name for f in view.symbols)
    if len(names) != len(symbols):
        right = f"{len(symbols)} functions, so that a point of the axes is a point of the chart"
        raise DataError(
            problem("the view cannot be turned round", f"{len(names)} functions", right)
        )
    solved = solve_view(view)
    back = _function(view.symbols, [solved.coordinates[s] for s in symbols])
    there = _function(symbols, view.expressions)
    slopes = _function(symbols, [e.diff(s) for e in view.expressions for s in symbols])

    def push(_: Table, coords: Table, velocity: Table) -> Table:
        matrix = slopes(coords).reshape(len(coords), len(names), len(symbols))
        return np.asarray((matrix @ velocity[..., None])[..., 0])

    return Frame(names, back, there, push, {})


def _function(symbols: Any, expressions: Any) -> Map:
    """Expressions of symbols over rows, (N, n) to (N, m)."""
    compiled = sp.lambdify(list(symbols), list(expressions), modules=["scipy", "numpy"])

    def call(rows: Table) -> Table:
        with np.errstate(all="ignore"):
            found = compiled(*rows.T)
        return np.stack([np.broadcast_to(f, len(rows)) for f in found], axis=-1).astype(float)

    return call


def _same(points: Table) -> Table:
    return points


def _ends(module: Any) -> dict[str, tuple[float, float]]:
    chart = module._solver().chart
    rows = zip(chart.coordinates, chart.lower, chart.upper, strict=False)
    return {name: (low, high) for name, low, high in rows}


def by_halves(call: Callable[..., Any], width: int, *tables: Table) -> Table:
    """``call`` of rows, NaN where it refuses them: halves of what is refused are tried again, so
    that a rim costs the logarithm of the grid. Raises where it refuses all.
    """
    sound = np.logical_and.reduce([np.isfinite(t).all(axis=-1) for t in tables])
    out, worst = np.full((len(tables[0]), width), np.nan), None
    todo = [np.flatnonzero(sound)] if sound.any() else []
    while todo:
        some = todo.pop()
        try:
            out[some] = call(*(t[some] for t in tables))
        except (RelrepError, np.linalg.LinAlgError) as why:
            if len(some) > 1:
                todo += [some[len(some) // 2 :], some[: len(some) // 2]]
            else:
                worst = why
    if worst is not None and not np.isfinite(out).any():
        raise worst
    return out
