"""Mixtures made ready for the data pass, and the generated functions that make them so.

In: a :class:`Form` (the generated functions of one family) and :class:`Components` (one or many
mixtures as arrays). Out: a :class:`Point`, which keeps what a pass needs of them. Neither the chart
nor the family is known here. Arrays are (K, B): component, model point.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from relrep_sym.errors import DomainError, problem
from relrep_sym.runtime.check import Array, Support

__all__ = ["Components", "Form", "Parts", "Point", "Slope"]

Slope = tuple[Array, Array | float]
"""A factor and what is added to a basis function before it."""


Parts = tuple[Array, tuple[Array, ...], tuple[Array, ...]]
"""What generated functions return of a mixture: the fields of :class:`Components`."""


class Components(NamedTuple):
    """A batch of mixtures: weights (K, B), each family parameter (K, B), and differences to the
    last.

    ``differences`` holds, for each family parameter, φ_k − φ_K (K − 1, B) as the chart knows it.
    """

    weights: Array
    parameters: tuple[Array, ...]
    differences: tuple[Array, ...]


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
            log-odds; None where they come from the slopes.
        score: family parameters → for each, over b_1 … b_J, (slope, offset) or None: ∂
            log f is the sum of slope · (b_j + offset).
        common: x → log g(x), the term without parameters; None where there is none.
        quadratic: family parameters → log f_k as c_0 + c_1 x + c_2 x², (3, K, B); None where the
            log-density is no quadratic on the line.
        location: which family parameter is a location, and scale: a scale; None where none is.
        upper: what each family parameter must be below; empty where nothing is.
        slopes: (x, family parameters) → ∂ log f/∂φ_i; None where the log-density separates. Then
            the basis is log f and these.
        kink: (x, family parameters) → what stands inside of |…| in log f; None without one.
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
    upper: tuple[float, ...] = ()
    slopes: Callable[..., tuple[Array, ...]] | None = None
    kink: Callable[..., Array] | None = None


class Point:
    """One or many mixtures made ready for the data pass."""

    def __init__(self, form: Form, components: Components) -> None:
        self.form = form
        self.components = components
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
            ),
        )

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
