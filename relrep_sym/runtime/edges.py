"""Points at an end of the support, where f goes like a power of the distance from it.

In: a family's exponents there (``Form.ends``), and samples that touch an end. Out: the sample with
such points moved inside by what no digit tells, and blocks whose components are right *at* the end:
a component of exponent zero has its value there, one of a positive exponent has none, and one of a
negative exponent is infinite, which is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from relrep_sym.errors import DomainError, problem
from relrep_sym.runtime.check import Array
from relrep_sym.runtime.point import Form, Point

if TYPE_CHECKING:
    from relrep_sym.runtime.block import Evaluated
    from relrep_sym.runtime.chart import Chart

__all__ = ["Edges", "inside", "insist_slopes"]

_NEAR_ZERO = 1e-250
"""Where x = 0 is moved: products with scales neither under- nor overflow, and no digit tells."""


def _places(form: Form) -> tuple[float, ...]:
    """The finite ends of the support."""
    if form.ends is None:
        return ()
    return (0.0,) if form.support == "half-line" else tuple(map(float, form.support[1:]))


def inside(form: Form, x: Array) -> Array:
    """The sample with what lies on an end of the support moved inside."""
    return Edges.of(form, x).moved


class Edges(NamedTuple):
    """A sample off the ends of the support, and which of its points lie on which.

    ``touched`` holds the numbers of the ends and where x lies on them; empty where none does.
    """

    moved: Array
    touched: tuple[tuple[int, NDArray[np.bool_]], ...]

    @staticmethod
    def of(form: Form, x: Array) -> Edges:
        """Those of a sample; nothing is copied where it touches no end."""
        places = _places(form)
        if not places or (x.min() > places[0] and (len(places) < 2 or x.max() < places[1])):
            return Edges(x, ())
        moved, touched = x.copy(), []
        for e, place in enumerate(places):
            on = x == place
            if on.any():
                zero = place == 0.0 and e == 0
                moved[on] = _NEAR_ZERO if zero else np.nextafter(place, _middle(places))
                touched.append((e, on))
        return Edges(moved, tuple(touched))

    def settle(self, part: Point, block: Evaluated, b: slice, i: slice) -> None:
        """A block's ratios at the ends, exactly; DomainError where a density is infinite there, or
        where that of the model is zero.
        """
        for e, mask in self.touched:
            on = np.flatnonzero(mask[i]) if mask.ndim == 1 else None
            if on is None:
                on = np.flatnonzero(mask[b, i].any(axis=0))
            if len(on) == 0:
                continue
            alive = _alive(part, e)
            _take(block, alive, part, on)


def _middle(places: Sequence[float]) -> float:
    return 0.5 * (places[0] + places[-1])


def _exponents(point: Point, e: int) -> Array:
    """A of each component at an end, (K, B)."""
    assert point.form.ends is not None  # else no end is touched
    found = point.form.ends(*point.components.parameters)[e]
    return np.broadcast_to(found, point.components.weights.shape)


def _alive(point: Point, e: int) -> NDArray[np.bool_]:
    """Which components have a value at the end, (K, B)."""
    place, exponent = _places(point.form)[e], _exponents(point, e)
    present = point.components.weights > 0.0
    infinite = present & (exponent < 0.0)
    if infinite.any():
        k, n = (int(v) for v in np.argwhere(infinite)[0])
        raise DomainError(
            problem(
                f"a component's density is infinite at x = {place:g}, an end of the support",
                _component(point, k, n),
                f"a sample without x = {place:g}, or parameters at which it is finite there",
            )
        )
    alive = present & (exponent == 0.0)
    if not alive.any(axis=0).all():
        n = int(np.argmin(alive.any(axis=0)))
        raise DomainError(
            problem(
                f"the model's density is zero at x = {place:g}, an end of the support, and log p "
                "is minus infinity there",
                "; ".join(_component(point, k, n) for k in range(min(3, len(alive)))),
                f"a sample without x = {place:g}, or a component that has a density there",
            )
        )
    return alive


def _component(point: Point, k: int, n: int) -> str:
    number = k if point.order is None else int(point.order[k, n])
    rows = zip(point.form.names, point.components.parameters, strict=True)
    return f"component {number + 1} with " + ", ".join(f"{m} = {p[k, n]:.6g}" for m, p in rows)


def _take(block: Evaluated, alive: NDArray[np.bool_], part: Point, on: NDArray[np.intp]) -> None:
    """Ratios and the total at some points from the components that are alive there."""
    ratios = block.ratios[..., on]
    whole = (part.shares * ratios).sum(axis=0)  # the points' weights
    ratios = np.where(alive[..., None], ratios, 0.0)
    kept = (part.shares * ratios).sum(axis=0)
    scale = np.where(kept > 0.0, whole / np.where(kept > 0.0, kept, 1.0), 0.0)
    block.ratios[..., on] = ratios * scale
    block.total[..., on] *= np.where(whole > 0.0, kept / np.where(whole > 0.0, whole, 1.0), 1.0)
    if block.differences is not None:
        full = block.ratios[..., on] * part.heights[..., None]
        block.differences[..., on] = full[:-1] - full[-1]


def insist_slopes(chart: Chart, point: Point, x: Array) -> None:
    """Refuse derivatives by a parameter that the exponent at an end depends on, where a component
    has a value at that end and the sample touches it: they are infinite.
    """
    form = point.form
    for e, _ in Edges.of(form, x).touched:
        alive = point.in_place(_alive(point, e).astype(float)) > 0.0
        for role in form.steep[e]:
            name = form.names[role]
            for k in np.flatnonzero(alive.any(axis=1)):
                own = f"{name}_{k + 1}"
                if name in chart.parameters or own in chart.parameters:
                    n = int(np.argmax(alive[k]))
                    at = point.in_place(point.components.parameters[role])[k, n]
                    place = _places(form)[e]
                    raise DomainError(
                        problem(
                            f"the derivative by {own} is infinite at x = {place:g}, an end of the "
                            "support",
                            f"{own} = {at:.6g}, where the density there is finite",
                            f"a sample without x = {place:g}, or {name} of that component given",
                        )
                    )
