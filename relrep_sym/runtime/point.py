"""Mixtures made ready for the data pass, and the generated functions that make them so.

In: a :class:`Form` (the generated functions of one family) and :class:`Components` (one or many
mixtures as arrays). Out: a :class:`Point`, which keeps what a pass needs of them. Neither the chart
nor the family is known here. Arrays are (K, B): component, model point.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from relrep_sym.errors import DomainError, problem
from relrep_sym.runtime.check import Array, Support

__all__ = ["Components", "Form", "Parts", "Point", "Slope"]

Slope = tuple[Array, Array | float]
"""A factor and what is added to a basis function before it."""


Parts = tuple[Array, tuple[Array, ...], tuple[Array | None, ...]]
"""What generated functions return of a mixture: weights, family parameters, and steps
φ_{k+1} − φ_k (K − 1, B) of each where the chart knows them better than their difference."""


class Components(NamedTuple):
    """A batch of mixtures: weights (K, B), each family parameter (K, B), and differences to the
    last.

    ``differences`` holds, for each family parameter, φ_k − φ_K (K − 1, B) as the chart knows it;
    ``steps`` holds φ_{k+1} − φ_k (K − 1, B) in the model's order, or None where the chart does not
    know them better than their difference. It is empty for mixtures that come from no chart.
    """

    weights: Array
    parameters: tuple[Array, ...]
    differences: tuple[Array, ...]
    steps: tuple[Array | None, ...] = ()

    @staticmethod
    def of(parts: Parts, reference: int | None = -1) -> tuple[Components, NDArray[np.intp] | None]:
        """A mixture with one component brought to the end, and the order that does it.

        ``reference`` is that component, or None for one of each mixture: the heaviest, or of two
        that nearly coincide the heavier, unless it is light. The order (K, B) is None where nothing
        moves.
        """
        weights, parameters, steps = parts
        count, batch = weights.shape
        if reference is None:
            last = _of_the_nearest(weights, parameters)
        else:
            last = np.full(batch, reference % count)
        moves = bool((last != count - 1).any())
        differences = []
        for row, step in zip(parameters, steps, strict=True):
            if step is None:
                differences.append(row - np.take_along_axis(row, last[None], axis=0))
            else:
                differences.append(_towards(step, last) if moves else _to_the_last(step))
        if not moves:
            short = tuple(d[: count - 1] for d in differences)
            return Components(weights, parameters, short, steps), None
        order = np.broadcast_to(np.arange(count)[:, None], weights.shape).copy()
        order[-1] = last
        np.put_along_axis(order, last[None], count - 1, axis=0)
        weights, *rows = (
            np.take_along_axis(a, order, axis=0) for a in (weights, *parameters, *differences)
        )
        half = len(parameters)
        own, away = tuple(rows[:half]), tuple(r[:-1] for r in rows[half:])
        return Components(weights, own, away, steps), order


_NEAR = 0.05
"""Distance of two components, in the range of all, below which their difference must be exact."""
_LIGHT = 1 / 16
"""Share of the heaviest weight below which a component is no reference: its R is too large."""


_CLOSE = 0.25
"""Distance of two neighbours, in scales, below which rounding their places can cost more digits
than the places' own sensitivity accounts for."""
_GRAIN = 2.0**-54
"""What a distance may lack, in scales."""
_LACKING = 2.0**-40
"""What a distance may lack, in itself, where a family has no scale."""


def _of_the_nearest(weights: Array, parameters: Sequence[Array]) -> NDArray[np.intp]:
    """The heaviest component of each mixture, (B,), or the heavier of the nearest two.

    A chart may subtract the rows of two components (the last piece of a broken stick does): where
    these merge, what is left is exact only if one of them is the reference.
    """
    heaviest = weights.argmax(axis=0)
    count = len(weights)
    if count < 3:
        return heaviest
    first, second = np.triu_indices(count, 1)
    distance = np.zeros((len(first), weights.shape[1]))
    for p in parameters:
        span = np.ptp(p, axis=0)
        distance += np.abs(p[first] - p[second]) / np.where(span > 0.0, span, np.inf)
    above = np.maximum(weights[first], weights[second])
    distance[above < _LIGHT * weights.max(axis=0)] = np.inf
    nearest = distance.argmin(axis=0)
    members = np.arange(weights.shape[1])
    one, other = first[nearest], second[nearest]
    heavier = np.where(weights[one, members] > weights[other, members], one, other)
    return np.where(distance[nearest, members] < _NEAR, heavier, heaviest)


def _to_the_last(step: Array) -> Array:
    """φ_k − φ_K for k < K."""
    return -np.cumsum(step[::-1], axis=0)[::-1]


def _towards(step: Array, last: NDArray[np.intp]) -> Array:
    """φ_k − φ_m for every k, (K, B), summed outwards from m: no sum passes through another's."""
    count = len(step) + 1
    out = np.zeros((count, step.shape[1]))
    for k in range(count - 2, -1, -1):
        out[k] = np.where(k < last, out[k + 1] - step[k], 0.0)
    for k in range(1, count):
        out[k] = np.where(k > last, out[k - 1] + step[k - 1], out[k])
    return out


class Form(NamedTuple):
    """The generated functions of one family, and what they leave to be known.

    Attributes:
        components: K.
        names: the family's parameters.
        positive: which of them must be positive.
        support: ``"line"``, ``"half-line"``, ``"integers"``, ``("interval", a, b)``,
            ``("integers", a, b)`` or ``("finite", (x_1, …))``.
        own: whether basis functions differ from component to component.
        basis: how many basis functions b_1 … b_J there are.
        prepare: family parameters (K, B) → (per-sample coefficients, heights (K, B)).
        block: (x, coefficients, basis buffers, spare) → fills the basis functions.
        log_odds: (coefficients, basis, out, spare) → fills log f_k − log f_K less heights; None
            where the basis is shared, and the log-odds come from the coefficients of ``odds``.
        exponents: (coefficients, basis, rows, out, spare) → fills log f_k less its height for some
            rows k.
        odds: (reference parameters, differences, own parameters) → coefficients e_0 … e_J of the
            log-odds; None where they come from the slopes: the log-density does not separate.
        score: family parameters → for each, over b_1 … b_J, (slope, offset) or None: ∂
            log f is the sum of slope · (b_j + offset).
        common: x → log g(x), the term without parameters; None where there is none.
        quadratic: family parameters → log f_k as c_0 + c_1 x + c_2 x², (3, K, B); None where the
            log-density is no quadratic on the line.
        location: which family parameter is a location, and scale: a scale; None where none is.
        second: family parameters → for each i ≤ j the coefficients of ∂² log f/∂φ_i∂φ_j over
            1, b_1 … b_J, None for zero; None where they are not known.
        contrast: as for ``odds`` → for each family parameter the coefficients of ∂ log f_k − ∂ log
            f_K over 1, b_1 … b_J in the last component's basis.
        rebased: (family parameters, new ones) → for each b_j the coefficients over 1, b_1 … b_J of
            the same function at the new parameters; None where all components share the basis.
        upper: what each family parameter must be below; empty where nothing is.
        slopes: (x, family parameters) → ∂ log f/∂φ_i; None where ``second`` is known. Where
            ``odds`` is not, the basis is log f and these.
        curves: (x, family parameters) → ∂² log f/∂φ_i∂φ_j, i ≤ j, wherever there are ``slopes``,
            unless they need a function without a kernel.
        jumps: family parameters → what stands before δ(x − m) in those; None without a kink at m.
        softened: (x, family parameters, ε) → log f with √((x − m)² + ε²) for |x − m|, its slopes,
            its second derivatives; None without a kink.
        kink: (x, family parameters) → what stands inside of |…| in log f; None without one.
        ends: family parameters → for each finite end of the support the power of the distance from
            it that f goes like; None where f is finite and positive at all.
        steep: for each such end the numbers of the family parameters in that power.
        units: what power of a length each family parameter is; empty without a unit of x.
    """

    components: int
    names: tuple[str, ...]
    positive: tuple[bool, ...]
    support: Support
    own: bool
    basis: int
    prepare: Callable[..., tuple[tuple[Array, ...], Array]]
    block: Callable[..., None]
    log_odds: Callable[..., None] | None
    exponents: Callable[..., None]
    odds: Callable[..., tuple[Array, ...]] | None
    score: Callable[..., tuple[tuple[Slope | None, ...], ...]]
    common: Callable[[Array], Array] | None = None
    quadratic: Callable[..., tuple[Array, Array, Array]] | None = None
    location: int | None = None
    scale: int | None = None
    second: Callable[..., tuple[tuple[Array | float | None, ...], ...]] | None = None
    contrast: Callable[..., tuple[tuple[Array | float | None, ...], ...]] | None = None
    rebased: Callable[..., tuple[tuple[Array | float | None, ...], ...]] | None = None
    upper: tuple[float, ...] = ()
    slopes: Callable[..., tuple[Array | float, ...]] | None = None
    kink: Callable[..., Array] | None = None
    curves: Callable[..., tuple[Array | float, ...]] | None = None
    jumps: Callable[..., tuple[Array | float, ...]] | None = None
    softened: Callable[..., tuple[Array | float, ...]] | None = None
    ends: Callable[..., tuple[Array | float, ...]] | None = None
    steep: tuple[tuple[int, ...], ...] = ()
    units: tuple[float, ...] = ()


class Point:
    """One or many mixtures made ready for the data pass.

    ``order`` (K, B) says which component of the model stands where, or is None: as in the model.
    """

    def __init__(
        self, form: Form, components: Components, order: NDArray[np.intp] | None = None
    ) -> None:
        self.form = form
        self.components = components
        self.order = order
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            coefficients, heights = form.prepare(*components.parameters)
            self.coefficients = tuple(c[..., None] for c in coefficients)
            self.log_height = np.log(heights[-1])
            self.heights = heights / heights[-1]  # C_k: heights relative to the last component's
            self.log_ratio = np.log(self.heights[:-1])[..., None]
        for found in (*coefficients, self.log_height, self.log_ratio):
            if not np.isfinite(found).all():
                raise DomainError(
                    problem(
                        f"a component's {' or '.join(form.names)} is too extreme",
                        "an overflow",
                        "scales and their ratios within 1e-300 and 1e300",
                    )
                )

    def take(self, members: slice | NDArray[np.intp]) -> Point:
        """The point restricted to some of its batch."""
        if isinstance(members, slice) and members == slice(None):
            return self
        c = self.components
        return Point(
            self.form,
            Components(
                c.weights[:, members],
                tuple(p[:, members] for p in c.parameters),
                tuple(d[:, members] for d in c.differences),
                tuple(None if s is None else s[:, members] for s in c.steps),
            ),
            None if self.order is None else self.order[:, members],
        )

    def placed(self, differences: Array, rows: Sequence[Array]) -> tuple[Array, tuple[Array, ...]]:
        """Derivatives by component in the model's order: by weights, and by family parameters.

        Where another component than the model's last stands last here, those by weights get a row
        of zeros for it.
        """
        if self.order is None:
            return differences, tuple(rows)
        whole = np.concatenate([differences, np.zeros_like(rows[0][:1])])
        return self.in_place(whole), tuple(self.in_place(r) for r in rows)

    def in_place(self, rows: Array) -> Array:
        """Rows (K, B, …) by component, back in the model's order."""
        if self.order is None:
            return rows
        order = self.order.reshape(*self.order.shape, *(1,) * (rows.ndim - 2))
        out = np.empty_like(rows)
        np.put_along_axis(out, np.broadcast_to(order, rows.shape), rows, axis=0)
        return out

    def tame(self, x: Array) -> bool:
        """Whether no power or quotient that the kernels form can overflow, by a look at the
        sizes.
        """
        c = self.components
        top = max(float(np.abs(p).max()) for p in (*c.parameters, x))
        scales = [
            p for p, positive in zip(c.parameters, self.form.positive, strict=True) if positive
        ]
        least = min((float(s.min()) for s in (*scales, c.weights)), default=1.0)
        return top < 1e30 and least > 1e-30

    @cached_property
    def anchors(self) -> tuple[Array, tuple[Array, ...]] | None:
        """Locations μ_k (K, B, 1) to subtract from x first, and the coefficients of what they lack.

        The chart knows the distance of two near components to more digits than two doubles far from
        zero can hold it. The exact location of component k is μ_k + ε_k, ε_k the sum of what the
        differences of doubles lack of the chart's steps, and x − μ_k − ε_k keeps these digits. None
        where no two neighbours are near, or where the last component is one of the only two: its
        distances are in ``differences``.
        """
        i, c = self.form.location, self.components
        if i is None or len(c.weights) < 3 or not c.steps:
            return None
        step = c.steps[i]
        if step is None:
            return None
        scale = None if self.form.scale is None else c.parameters[self.form.scale]
        if scale is not None and np.abs(step).min() >= _CLOSE * scale.max():
            return None
        place = self.in_place(c.parameters[i])
        lacking = (place[:-1] - place[1:]) + step
        if scale is None:
            near = np.abs(lacking) > _LACKING * np.abs(step)
        else:
            scale = self.in_place(scale)
            least = np.minimum(scale[:-1], scale[1:])
            near = (np.abs(step) < _CLOSE * least) & (np.abs(lacking) > _GRAIN * least)
        if not near.any():
            return None
        rest = np.concatenate([np.zeros_like(lacking[:1]), np.cumsum(lacking, axis=0)])
        if self.order is not None:
            rest = np.take_along_axis(rest, self.order, axis=0)
        about = tuple(rest if j == i else p for j, p in enumerate(c.parameters))
        coefficients, _ = self.form.prepare(*about)
        return c.parameters[i][..., None], tuple(a[..., None] for a in coefficients)

    @cached_property
    def odds(self) -> tuple[Array, ...]:
        """Coefficients e_0 … e_J (K − 1, B, 1) of the log-odds, free of cancellation."""
        reference = tuple(p[-1:] for p in self.components.parameters)
        own = tuple(p[:-1] for p in self.components.parameters)
        assert self.form.odds is not None  # else they come from the slopes
        found = self.form.odds(*reference, *self.components.differences, *own)
        return tuple(np.broadcast_to(e, self.heights[:-1].shape)[..., None] for e in found)

    @cached_property
    def shares(self) -> Array:
        """C_k π_k, (K, B, 1): what exp(d_k) is multiplied with in p/f_K."""
        return (self.components.weights * self.heights)[..., None]

    @cached_property
    def anchored(self) -> bool:
        """Whether p/f_K cannot underflow: the last share is not small beside the others."""
        return bool((self.shares[-1] >= 1e-3 * self.shares.max(axis=0)).all())

    @cached_property
    def score(self) -> tuple[tuple[Slope | None, ...], ...]:
        """∂ log f_k/∂φ_i over the basis, (slope, offset) with slopes (K, B)."""
        return self.form.score(*self.components.parameters)

    @cached_property
    def slopes(self) -> tuple[tuple[tuple[Array, Array | None] | None, ...], ...]:
        """:attr:`score` for rows of R_k/C_k: slopes times π_k C_k, with a last axis for samples."""

        def cell(found: Slope | None) -> tuple[Array, Array | None] | None:
            if found is None:
                return None
            slope, offset = found
            scaled = (slope * self.components.weights * self.heights)[..., None]
            moved = np.asarray(offset)
            return scaled, (moved[..., None] if moved.ndim else moved) if moved.any() else None

        return tuple(tuple(cell(c) for c in row) for row in self.score)
