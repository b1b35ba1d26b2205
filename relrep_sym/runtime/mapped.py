"""A model in a chart: coordinates to θ, to components and back, each checked on its way.

In: a :class:`~relrep_sym.runtime.chart.Chart` and a :class:`~relrep_sym.runtime.point.Form`, both
made of generated functions. Out: :class:`Mapped`, the ground of
:class:`~relrep_sym.runtime.solver.Solver`, and how rows (P, B) are given out over leading axes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import lru_cache, partial
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from relrep_sym.errors import DataError, DomainError, NoInverseError, problem
from relrep_sym.runtime import check
from relrep_sym.runtime.chart import Chart
from relrep_sym.runtime.check import Array, Coords, Entries
from relrep_sym.runtime.guard import entries_behind, guarded
from relrep_sym.runtime.labels import relabelled
from relrep_sym.runtime.point import Components, Form, Parts, Point
from relrep_sym.runtime.unit_chart import Units
from relrep_sym.runtime.units import insist_units

__all__ = ["Mapped", "columns", "scalars"]


class Mapped:
    """A model in a chart: its map, and its mixtures made ready."""

    constants: Sequence[ArrayLike] = ()
    units: Units | None = None
    """Those of the coordinates and of x, where they are not the caller's."""

    def __init__(self, chart: Chart, form: Form) -> None:
        self.chart = guarded(chart)
        self.form = form

    def at_member(self, shape: tuple[int, ...], member: int) -> Self:
        """The solver with the constants of one member of a batch."""
        if not self.chart.constants:
            return self
        return self.given(*self._given(shape)[:, member])

    def given(self, *constants: ArrayLike) -> Self:
        """The solver with the chart's constants: numbers, or arrays over the leading axes."""
        out = copy(self)
        out.constants = constants
        return out

    # -------------------------------------------------------------------------- the chart's map

    def _coords(self, coords: Entries) -> Coords:
        c, count = self.chart, len(self.chart.coordinates)
        given = check.coordinates(
            coords, c.coordinates, c.lower[:count], c.upper[:count], c.open_lower[:count]
        )
        if not c.constants:
            return given
        return given._replace(rows=np.concatenate([given.rows, self._given(given.shape)]))

    def _given(self, shape: tuple[int, ...]) -> Array:
        """The constants as rows over a batch of this shape."""
        c, count = self.chart, len(self.chart.coordinates)
        ends = zip(c.lower[count:], c.upper[count:], c.open_lower[count:], strict=True)
        rows = [
            check.constant(value, name, shape, *where)
            for value, name, where in zip(self.constants, c.constants, ends, strict=True)
        ]
        return np.array(rows)

    def _components(self, rows: Array, made: Callable[..., Parts] | None = None) -> Components:
        """Components of a batch, checked against the model's own domain."""
        return self._referred(rows, made, -1)[0]

    def _referred(
        self, rows: Array, made: Callable[..., Parts] | None, reference: int | None
    ) -> tuple[Components, NDArray[np.intp] | None]:
        """The same, with the component brought to the end that derivatives are relative to."""
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            found, order = Components.of((made or self.chart.components)(rows), reference)
            finite = [bool(np.isfinite(values.sum())) for values in found.parameters]
        low = found.weights.min()
        if not low >= 0:
            if not low >= -4 * np.finfo(float).eps * len(found.weights):
                k = int(np.argwhere(~(found.weights >= 0))[0][0])
                raise DomainError(
                    problem(
                        f"the weight of component {k + 1} is negative",
                        f"{low}",
                        "weights >= 0 that sum to one",
                    )
                )
            found = found._replace(weights=np.maximum(found.weights, 0.0))
        for name, positive, values, sure in zip(
            self.form.names, self.form.positive, found.parameters, finite, strict=True
        ):
            if not sure and not np.isfinite(values).all():
                raise DomainError(
                    problem(
                        f"{name} is not finite at these coordinates",
                        "an overflow, or a division by zero",
                        "numbers",
                    )
                )
            if positive and not values.min() > 0:
                k = int(np.argwhere(~(values > 0))[0][0])
                right = f"{name} > 0 in every component"
                raise DomainError(
                    problem(
                        f"{name} of component {k + 1} is not positive", f"{values.min()}", right
                    )
                )
        check.below(self.form.names, self.form.upper, found.parameters, "")
        return found, order

    def point(self, coords: Entries) -> tuple[Coords, Point]:
        """Checked coordinates, and their mixtures made ready for the data pass."""
        given = self._coords(coords)
        found = self._components(given.rows)
        if self.units is None and self.form.units:
            insist_units(self.form, found)
        return given, Point(self.form, found)

    def _point(self, coords: Entries) -> tuple[Coords, Point]:
        """The same for derivatives: relative to the component that the chart refers them to."""
        given = self._coords(coords)
        return given, self._pointed(given.rows)

    def _pointed(self, rows: Array) -> Point:
        """Mixtures ready for derivatives, at rows (P + C, B)."""
        found, order = self._referred(rows, None, self.chart.reference)
        if self.units is None and self.form.units:
            insist_units(self.form, found)
        return Point(self.form, found, order)

    def point_at(self, rows: Array) -> Point:
        """The mixtures at rows (P + C, B) of coordinates and constants, ready for the data pass."""
        return Point(self.form, self._components(rows))

    def rows_of(self, coords: Array) -> Array:
        """Rows (P + C, 1) of one point, the constants below its coordinates."""
        rows = coords[:, None]
        return np.concatenate([rows, self._given(())]) if self.chart.constants else rows

    def theta_of(self, rows: Array) -> dict[str, Array]:
        """θ by name, (B,) each, at rows (P + C, B)."""
        theta = np.broadcast_arrays(*self.chart.to_model(rows), rows[0])
        return dict(zip(self.chart.parameters, theta, strict=False))

    def to_model(self, coords: Entries) -> Array:
        """θ = c(λ), (…, Pθ)."""
        given = self._coords(coords)
        self._components(given.rows)
        return columns(self.chart.to_model(given.rows), given)

    def from_model(self, theta: Entries) -> Array:
        """λ with c(λ) = θ, (…, P); θ is (…, Pθ), or by name as in ``Fit.parameters``."""
        array = check.numbers(check.named(theta, self.chart.parameters, "theta"), "theta")
        rows = self._theta_rows(array)
        self._components(rows, self.chart.model_components)
        return self._inverted(rows, array.shape[:-1])

    def _theta_rows(self, array: Array) -> Array:
        names = self.chart.parameters
        if array.ndim == 0 or array.shape[-1] != len(names) or not array.size:
            right = f"shape (…, {len(names)}) for ({', '.join(names)})"
            raise DataError(problem("theta has the wrong shape", f"shape {array.shape}", right))
        return np.ascontiguousarray(array.reshape(-1, len(names)).T)

    def relabel(self, theta: Entries) -> Array:
        """θ with its components in an order that the chart can take, (…, Pθ)."""
        array = check.numbers(check.named(theta, self.chart.parameters, "theta"), "theta")
        rows = self._theta_rows(array)
        self._components(rows, self.chart.model_components)
        out = np.array(
            [relabelled(self, column, array.shape[:-1], b) for b, column in enumerate(rows.T)]
        )
        return out.reshape(array.shape)

    def _preimage(
        self, theta: Array, known: Array, exact: Mapping[int, Array] | None = None
    ) -> tuple[Array, NDArray[np.bool_]]:
        """Coordinates (P, B) of θ (Pθ, B) at the constants, and which of them are: (B,).

        ``exact`` gives coordinates that are known better than θ tells them.
        """
        c = self.chart
        if c.from_model is None:
            raise NoInverseError(c.why["from_model"])
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            found = c.from_model(theta, known)
            rows = check.stacked(found, theta.shape[1])
        for j, row in (exact or {}).items():
            rows[j] = row
        there: NDArray[np.bool_] = np.logical_and.reduce(self._inside(rows), axis=0)
        if there.all():
            near, _ = self._off_image(rows, theta, known)
            there = np.logical_and.reduce(near, axis=0)
        elif there.any():
            near, _ = self._off_image(rows[:, there], theta[:, there], known[:, there])
            there[there] = near.all(axis=0)
        return rows, there

    def _inside(self, rows: Array) -> NDArray[np.bool_]:
        """Which coordinates are in their domain, (P, B)."""
        lower, upper, strict = _columns_of_ends(self.chart, len(rows))
        out: NDArray[np.bool_] = np.where(strict, rows > lower, rows >= lower) & (rows <= upper)
        return out & np.isfinite(rows)

    def _off_image(
        self, rows: Array, theta: Array, known: Array
    ) -> tuple[NDArray[np.bool_], Array]:
        """Which entries of θ the coordinates give back, and what they give, (Pθ, B)."""
        whole = np.concatenate([rows, known]) if len(known) else rows
        back = check.stacked(self.chart.to_model(whole), rows.shape[1])
        size, form = np.abs(theta), self.form
        largest = np.empty_like(size)  # of the entries that have one unit
        for which in _alike(self.chart.parameters, form.names, form.location, form.scale):
            largest[which] = size[which].max(axis=0)
        slack = 1e-9 * (size + np.abs(back)) + 1e-15 * largest
        return np.abs(back - theta) <= slack, back

    def _inverted(self, theta: Array, shape: tuple[int, ...]) -> Array:
        c = self.chart
        known = self._given(shape) if c.constants else theta[:0]
        rows, there = self._preimage(theta, known)
        if not there.all():
            inside = self._inside(rows)
            for j, (name, row) in enumerate(zip(c.coordinates, rows, strict=True)):
                if not inside[j].all():
                    b = int(inside[j].argmin())
                    assert c.from_model is not None  # else there is no preimage
                    inverse = partial(c.from_model, given=known[:, b : b + 1])
                    behind = entries_behind(inverse, c.parameters, theta, j, b)
                    so = f"no real {name}" if np.isnan(row[b]) else f"{name} = {row[b]}"
                    right = check.interval(c.lower[j], c.upper[j], c.open_lower[j])
                    raise DomainError(
                        problem(
                            "theta is not in the image of the chart: "
                            f"{name} would leave its domain",
                            f"{behind}, so {so}",
                            f"{name} in {right}",
                        )
                    )
            near, back = self._off_image(rows, theta, known)
            i, b = (int(n) for n in np.argwhere(np.logical_not(near))[0])
            raise DomainError(
                problem(
                    "theta is not in the image of the chart",
                    f"{c.parameters[i]} = {theta[i, b]}",
                    f"{c.parameters[i]} = {back[i, b]}, as its coordinates give",
                )
            )
        return rows.T.reshape(*shape, len(rows))

    def jacobian(self, coords: Entries) -> Array:
        """∂θ/∂λ, (…, Pθ, P)."""
        given = self._coords(coords)
        self._components(given.rows)
        count, batch = len(self.chart.parameters), given.rows.shape[1]
        seeds = np.broadcast_to(np.eye(count)[:, :, None], (count, count, batch))
        rows = self.chart.pull_back_model(given.rows, seeds)
        out = np.array([np.broadcast_to(r, (count, batch)) for r in rows])
        return np.moveaxis(out, (2, 1, 0), (0, 1, 2)).reshape(*given.shape, count, len(rows))

    def components(self, coords: Entries) -> tuple[Array, ...]:
        """(weights, then the family's parameters), (…, K) each: usable as a truth."""
        given = self._coords(coords)
        found = self._components(given.rows)
        shape = (*given.shape, self.form.components)
        return tuple(a.T.reshape(shape).copy() for a in (found.weights, *found.parameters))


@lru_cache(maxsize=64)
def _alike(
    parameters: tuple[str, ...], roles: tuple[str, ...], location: int | None, scale: int | None
) -> tuple[list[int], ...]:
    """The entries of θ that have one unit: by family parameter, those of a location and its scale
    together, and the weights.

    >>> _alike(("pi_1", "mu_1", "mu_2", "sigma"), ("mu", "sigma"), 0, 1)
    ([0], [1, 2, 3])
    """
    groups: dict[object, list[int]] = {}
    for i, name in enumerate(parameters):
        stem = name if name in roles else name.rpartition("_")[0]
        role = roles.index(stem) if stem in roles else None
        both = role is not None and role in (location, scale)
        groups.setdefault("place" if both else role, []).append(i)
    return tuple(groups.values())


def _columns_of_ends(chart: Chart, count: int) -> tuple[Array, Array, NDArray[np.bool_]]:
    """The ends of the coordinates' domains and which of the lower ones are open, (P, 1) each."""
    return _ends(chart.lower[:count], chart.upper[:count], chart.open_lower[:count])


@lru_cache(maxsize=64)
def _ends(
    lower: tuple[float, ...], upper: tuple[float, ...], strict: tuple[bool, ...]
) -> tuple[Array, Array, NDArray[np.bool_]]:
    low, high, open_ = (np.array(e)[:, None] for e in (lower, upper, strict))
    return low, high, open_.astype(bool)


def columns(rows: Sequence[Array] | Array, given: Coords) -> Array:
    """Rows (P, B) as (…, P)."""
    batch = given.rows.shape[1]
    out = np.empty((batch, len(rows)))
    for j, row in enumerate(rows):
        out[:, j] = row
    return out.reshape(*given.shape, len(rows))


def scalars(values: Array, given: Coords) -> Array:
    """Values (B,) as (…,), a number for one point."""
    return values.reshape(given.shape)[()]
