"""The data pass: responsibilities times basis functions, reduced in blocks.

In: a :class:`Form` (the generated functions of one family), a :class:`Point` (one or many models as
component arrays) and a weighted sample. Out: :class:`Statistics`, or per-sample rows. Neither the
chart nor the family is known here, and data and quadrature nodes go the same way.

Arrays are (K, B, n): component, model point, sample. With component densities f_k, mixture density p
and ratios R_k = f_k/p (so that π_k R_k is the responsibility), everything is computed from the log-odds
d_k = log f_k − log f_K to the last component, K − 1 exponentials for a point. Where two components
nearly coincide, R_k − R_K is taken from expm1 of log-odds whose coefficients vanish with the
parameters' differences; elsewhere it is a difference of numbers that differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from relrep_sym.errors import DomainError, problem
from relrep_sym.runtime.check import Array

__all__ = ["Components", "Form", "Point", "Statistics", "blocks", "gradient", "score_blocks"]

BLOCK = 8192
"""Sample points times model points that are worked on at once (some 0.5 MB of workspace at K = 3)."""

_TOP = 600.0
_BOTTOM = -700.0


class Components(NamedTuple):
    """A batch of mixtures: weights (K, B), each family parameter (K, B), and differences to the last.

    ``differences`` holds, for each family parameter, φ_k − φ_K (K − 1, B) as the chart knows it.
    """

    weights: Array
    parameters: tuple[Array, ...]
    differences: tuple[Array, ...]


@dataclass(frozen=True)
class Form:
    """The generated functions of one family, and what they leave to be known.

    Attributes:
        components: K.
        names: the family's parameters.
        positive: which of them must be positive.
        support: ``"line"``, ``"half-line"`` or ``"integers"``.
        own: whether basis functions differ from component to component.
        basis: how many basis functions b_1 … b_J there are.
        prepare: family parameters (K, B) → (per-sample coefficients, heights (K, B)).
        block: (x, coefficients, basis buffers, spare) → fills the basis functions.
        exponents: (coefficients, basis, out, spare) → fills log f_k − log f_K without heights.
        reference: (coefficients, basis, out, spare) → fills log f_K without its height.
        odds: (reference parameters, differences) → coefficients e_0 … e_J of the log-odds.
        score: family parameters → for each the coefficients a_0 … a_J (None where zero) of ∂ log f.
        common: x → log g(x), the term without parameters; None where there is none.
        quadratic: family parameters → log f_k as c_0 + c_1 x + c_2 x², (3, K, B); None where the
            log-density is no quadratic on the line.
        location: which family parameter is a location, and scale: a scale; None where none is.
    """

    components: int
    names: tuple[str, ...]
    positive: tuple[bool, ...]
    support: str
    own: bool
    basis: int
    prepare: Callable[..., tuple[tuple[Array, ...], Array]]
    block: Callable[..., None]
    exponents: Callable[..., None]
    reference: Callable[..., None]
    odds: Callable[..., tuple[Array, ...]]
    score: Callable[..., tuple[tuple[Array | None, ...], ...]]
    common: Callable[[Array], Array] | None = None
    quadratic: Callable[..., tuple[Array, Array, Array]] | None = None
    location: int | None = None
    scale: int | None = None


class Point:
    """One or many mixtures made ready for the data pass."""

    def __init__(self, form: Form, components: Components) -> None:
        self.form = form
        self.components = components
        coefficients, heights = form.prepare(*components.parameters)
        self.coefficients = tuple(c[..., None] for c in coefficients)
        self.log_height = np.log(heights[-1])
        self.heights = heights / heights[-1]  # C_k: heights relative to the last component's

    def take(self, members: slice | Array) -> Point:
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

    @cached_property
    def odds(self) -> tuple[Array, ...]:
        """Coefficients e_0 … e_J (K − 1, B, 1) of the log-odds, free of cancellation."""
        reference = tuple(p[-1:] for p in self.components.parameters)
        found = self.form.odds(*reference, *self.components.differences)
        return tuple(np.broadcast_to(e, self.heights[:-1].shape)[..., None] for e in found)

    @cached_property
    def score(self) -> tuple[tuple[Array | None, ...], ...]:
        """Coefficients of ∂ log f_k/∂φ_i over the basis, (K, B) each."""
        return self.form.score(*self.components.parameters)


class Workspace:
    """Buffers of one block size, allocated once."""

    def __init__(self, form: Form, batch: int, count: int) -> None:
        k = form.components
        rows = k if form.own else 1
        self.ratios = np.empty((k, batch, count))
        self.basis = tuple(np.empty((rows, batch, count)) for _ in range(form.basis))
        self.total = np.empty((batch, count))
        self.inverse = np.empty((batch, count))
        self.spare = np.empty((k, batch, count))

    def fits(self, batch: int, count: int) -> bool:
        """Whether a block of this shape is the one the buffers were made for."""
        return self.total.shape == (batch, count)


class Evaluated(NamedTuple):
    """One block: C_k⁻¹ w R_k (K, B, n), differences w (R_k − R_K) where close, and log p if asked."""

    ratios: Array
    basis: tuple[Array, ...]
    close: Array | None
    differences: Array | None
    log_density: Array | None


def evaluate(
    point: Point, x: Array, weights: Array | None, work: Workspace, want_log: bool
) -> Evaluated:
    """Ratios of one block of points x, (n,) or (B, n), for a batch of models."""
    form = point.form
    ratios, total, inverse, spare = work.ratios, work.total, work.inverse, work.spare
    form.block(x, point.coefficients, work.basis, spare)
    odds = ratios[:-1]
    log_reference: Array | None = None
    if want_log:
        log_reference = np.empty_like(total)
        form.reference(point.coefficients, work.basis, log_reference, spare[0])
        log_reference += point.log_height[:, None]
    if not len(odds):  # a single component
        np.copyto(inverse, 1.0 if weights is None else weights)
        ratios[-1] = inverse
        return Evaluated(ratios, work.basis, None, None, log_reference)
    form.exponents(point.coefficients, work.basis, odds, spare)
    close = _close(point, odds)
    shares = point.components.weights * point.heights
    if odds.max() <= _TOP:
        np.maximum(odds, _BOTTOM, out=odds)
        np.exp(odds, out=odds)
        np.multiply(odds[0], shares[0, :, None], out=total)
        for k in range(1, len(odds)):
            np.multiply(odds[k], shares[k, :, None], out=spare[0])
            np.add(total, spare[0], out=total)
        np.add(total, shares[-1, :, None], out=total)
        np.divide(1.0 if weights is None else weights, total, out=inverse)
        np.multiply(odds, inverse, out=odds)
        ratios[-1] = inverse
        if want_log:
            np.log(total, out=total)
    else:
        _shifted(odds, shares, total, inverse, spare)
        np.divide(1.0 if weights is None else weights, total, out=total)
        np.multiply(odds, total, out=odds)
        np.multiply(inverse, total, out=ratios[-1])
        if want_log:
            np.divide(1.0 if weights is None else weights, total, out=total)
            np.log(total, out=total)
            np.add(total, spare[-1], out=total)
    log_density = None if log_reference is None else np.add(log_reference, total, out=log_reference)
    if close is None:
        return Evaluated(ratios, work.basis, None, None, log_density)
    return Evaluated(
        ratios, work.basis, close, _differences(point, work.basis, ratios[-1]), log_density
    )


def _close(point: Point, odds: Array) -> Array | None:
    """Which (component, batch member) pairs nearly coincide with the last component here."""
    few = odds[:, :, :: max(1, odds.shape[2] // 64)] + np.log(point.heights[:-1])[..., None]
    flags = np.abs(few).mean(axis=2) < 0.125
    return flags if flags.any() else None


def _differences(point: Point, basis: tuple[Array, ...], reference: Array) -> Array:
    """w (R_k − R_K) from expm1 of the log-odds in the last component's basis functions."""
    first, *rest = point.odds
    value = np.empty((len(first), *reference.shape))
    value[...] = first
    for e, b in zip(rest, basis, strict=True):
        value += e * b[-1]
    np.clip(value, _BOTTOM, _TOP, out=value)
    np.expm1(value, out=value)
    value *= reference
    return value


def _shifted(odds: Array, shares: Array, total: Array, last: Array, spare: Array) -> None:
    """Ratios relative to the largest term: for blocks in which an unshifted exp would overflow.

    Leaves exp(d_k − m) in ``odds``, exp(−m) in ``last``, Σ C_k π_k e^{d_k − m} in ``total`` and m in
    ``spare[-1]``.
    """
    if np.isnan(odds).any():
        raise DomainError(
            problem(
                "a log-density overflows double precision",
                "points some 1e150 scales away from a component",
                "points within 1e150 scales",
            )
        )
    with np.errstate(divide="ignore"):
        logs = np.log(shares)[..., None]
    shift = spare[-1]
    np.max(odds + logs[:-1], axis=0, out=shift)
    np.maximum(shift, logs[-1], out=shift)
    np.negative(shift, out=last)
    np.clip(last, -745.0, 709.0, out=last)
    np.exp(last, out=last)
    np.subtract(odds, shift, out=odds)
    np.clip(odds, -745.0, 709.0, out=odds)
    np.exp(odds, out=odds)
    np.multiply(last, shares[-1, :, None], out=total)
    for k in range(len(odds)):
        total += odds[k] * shares[k, :, None]


class Statistics(NamedTuple):
    """Means over the sample: of R_k (K, B), of R_k b_j (J, K, B), of R_k − R_K (K − 1, B), of log p."""

    mass: Array
    moments: Array
    differences: Array
    log_likelihood: Array


def blocks(batch: int, count: int) -> Iterator[tuple[slice, slice]]:
    """Slices of model points and of sample points that make blocks of about :data:`BLOCK`."""
    wide = min(count, BLOCK)
    deep = max(1, BLOCK // wide) if batch > 1 else 1
    for b in range(0, batch, deep):
        for i in range(0, count, wide):
            yield slice(b, min(b + deep, batch)), slice(i, min(i + wide, count))


def _evaluated(
    point: Point, x: Array, weights: Array | None, want_log: bool
) -> Iterator[tuple[slice, slice, Point, Evaluated]]:
    """Each block of the pass over x, (n,) or (B, n), with the point restricted to its members."""
    batch, count = point.heights.shape[1], x.shape[-1]
    work: Workspace | None = None
    part, members = point, None
    for b, i in blocks(batch, count):
        if b != members:
            part = point.take(b) if batch > b.stop - b.start else point
            members = b
        inside = x[b, i] if x.ndim == 2 else x[i]
        shape = (b.stop - b.start, i.stop - i.start)
        if work is None or not work.fits(*shape):
            work = Workspace(point.form, *shape)
        share = None if weights is None else weights[b, i] if weights.ndim == 2 else weights[i]
        yield b, i, part, evaluate(part, inside, share, work, want_log)


def statistics(
    point: Point, x: Array, weights: Array | None, *, want_log: bool = False
) -> Statistics:
    """The expected statistics of a weighted sample: the one data pass of first-order learning.

    ``x`` is (N,), shared by the batch, or (B, N); ``weights`` alike, or None for equal ones.
    """
    form, (k, batch) = point.form, point.heights.shape
    mass, moments = np.zeros((k, batch)), np.zeros((form.basis, k, batch))
    differences = np.zeros((k - 1, batch))
    log_likelihood = np.zeros(batch)
    scale = 1.0 if weights is not None else 1.0 / x.shape[-1]
    for b, i, part, block in _evaluated(point, x, weights, want_log):
        heights = part.heights
        own = block.ratios.sum(axis=2) * heights
        mass[:, b] += own
        for j, basis in enumerate(block.basis):
            moments[j, :, b] += np.vecdot(block.ratios, basis) * heights
        difference = own[:-1] - own[-1]
        if block.close is not None and block.differences is not None:
            difference = np.where(block.close, block.differences.sum(axis=2), difference)
        differences[:, b] += difference
        if block.log_density is not None:
            if weights is None:
                log_likelihood[b] += block.log_density.sum(axis=1)
            else:
                share = weights[b, i] if weights.ndim == 2 else weights[i]
                log_likelihood[b] += np.vecdot(block.log_density, share)
    if want_log and form.common is not None:
        value = form.common(x)
        log_likelihood += (value.sum(axis=-1) if weights is None else np.vecdot(value, weights))
    return Statistics(mass * scale, moments * scale, differences * scale, log_likelihood * scale)


def gradient(point: Point, found: Statistics) -> tuple[Array, tuple[Array, ...]]:
    """∂L/∂π_k (K − 1, B), the last weight being the rest, and ∂L/∂φ_k (K, B) by family parameter."""
    out = []
    for row in point.score:
        total = np.zeros_like(found.mass)
        for a, moment in zip(row, (found.mass, *found.moments), strict=True):
            if a is not None:
                total += a * moment
        out.append(point.components.weights * total)
    return found.differences, tuple(out)


def score_blocks(
    point: Point, x: Array
) -> Iterator[tuple[slice, slice, Array, list[Array]]]:
    """Per-sample ∂ log p/∂π_k (K − 1, b, n) and ∂ log p/∂φ_k, one (K, b, n) a family parameter.

    The arrays are overwritten by the next block.
    """
    for b, i, part, block in _evaluated(point, x, None, False):
        heights = part.heights[..., None]
        np.multiply(block.ratios, heights, out=block.ratios)
        difference = block.ratios[:-1] - block.ratios[-1]
        if block.close is not None and block.differences is not None:
            difference = np.where(block.close[..., None], block.differences, difference)
        np.multiply(block.ratios, part.components.weights[..., None], out=block.ratios)
        rows = []
        for row in part.score:
            total: Array | None = None
            for a, basis in zip(row, (None, *block.basis), strict=True):
                if a is None:
                    continue
                term = a[..., None] if basis is None else a[..., None] * basis
                total = term if total is None else total + term
            rows.append(block.ratios * (0.0 if total is None else total))
        yield b, i, difference, rows


def density_blocks(point: Point, x: Array) -> Iterator[tuple[slice, slice, Point, Evaluated]]:
    """Blocks with log p (without the term that no parameter enters) and unweighted ratios."""
    yield from _evaluated(point, x, None, True)
