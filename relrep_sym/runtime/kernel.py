"""The data pass: responsibilities times basis functions, reduced in blocks.

In: a :class:`Form` (the generated functions of one family), a :class:`Point` (one or many models as
component arrays) and a weighted sample. Out: :class:`Statistics`, or per-sample rows. Neither the
chart nor the family is known here, and data and quadrature nodes go the same way.

Arrays are (K, B, n): component, model point, sample. With component densities f_k, mixture density
p and ratios R_k = f_k/p (so that π_k R_k is the responsibility), everything is computed from the
log-odds d_k = log f_k − log f_K to the last component, K − 1 exponentials for a point. Where two
components nearly coincide, R_k − R_K is taken from expm1 of log-odds whose coefficients vanish
with the parameters' differences; elsewhere it is a difference of numbers that differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from relrep_sym.errors import DomainError, problem
from relrep_sym.runtime.check import Array
from relrep_sym.runtime.threads import in_threads

__all__ = [
    "Components",
    "Evaluated",
    "Form",
    "Parts",
    "Point",
    "Statistics",
    "Workspace",
    "gradient",
    "insist_finite",
    "log_density",
    "over_blocks",
    "score_rows",
    "statistics",
]

T = TypeVar("T")

BLOCK = 32768
"""Sample points times model points that are worked on at once (some 3 MB of workspace at K = 3)."""


_STRETCH = 4096
_TOP = 60.0
_BOTTOM = -600.0


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
        support: ``"line"``, ``"half-line"`` or ``"integers"``.
        own: whether basis functions differ from component to component.
        basis: how many basis functions b_1 … b_J there are.
        prepare: family parameters (K, B) → (per-sample coefficients, heights (K, B)).
        block: (x, coefficients, basis buffers, spare) → fills the basis functions.
        log_odds: (coefficients, basis, out, spare) → fills log f_k − log f_K less heights; None
            where the basis is shared, and the log-odds come from the coefficients of ``odds``.
        exponents: (coefficients, basis, rows, out, spare) → fills log f_k less its height for some
            rows k.
        odds: (reference parameters, differences, own parameters) → coefficients e_0 … e_J of the
        log-odds. score: family parameters → for each, over b_1 … b_J, (slope, offset) or None: ∂
            log f is the sum of slope · (b_j + offset).
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
    log_odds: Callable[..., None] | None
    exponents: Callable[..., None]
    odds: Callable[..., tuple[Array, ...]]
    score: Callable[..., tuple[tuple[Slope | None, ...], ...]]
    common: Callable[[Array], Array] | None = None
    quadratic: Callable[..., tuple[Array, Array, Array]] | None = None
    location: int | None = None
    scale: int | None = None


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


class Workspace:
    """Buffers for blocks of up to some size, in one piece of memory."""

    def __init__(self, form: Form, flat: Array, batch: int, count: int) -> None:
        self.form, self.shape = form, (batch, count)
        self._flat, self._used = flat, 0
        k = form.components
        self.ratios = self._rows(k)
        self.basis = tuple(self._rows(k if form.own else 1) for _ in range(form.basis))
        self.total = self._rows(1)[0]
        self.spare = self._rows(k)

    @staticmethod
    def size(form: Form, points: int) -> int:
        """How many numbers a block of so many points takes."""
        k = form.components
        return points * (3 * k + 1 + k * (form.basis + len(form.names)))

    def _rows(self, count: int) -> Array:
        start = self._used
        self._used += count * self.shape[0] * self.shape[1]
        return self._flat[start : self._used].reshape(count, *self.shape)

    @cached_property
    def difference(self) -> Array:
        """Room for R_k − R_K."""
        return self._rows(self.form.components - 1)

    @cached_property
    def rows(self) -> list[Array]:
        """Room for the score by each family parameter."""
        return [self._rows(self.form.components) for _ in self.form.names]


_FREE: list[Array] = []
"""Memory of passes that are over, for the next: fresh memory costs a page fault for each page."""


def _borrow(size: int) -> Array:
    """Memory for ``size`` numbers, that of an earlier pass where it is large enough."""
    while _FREE:
        try:
            flat = _FREE.pop()
        except IndexError:  # another thread was first
            break
        if flat.size >= size:
            return flat
    return np.empty(size)


def _give_back(flat: Array) -> None:
    if len(_FREE) < 8:
        _FREE.append(flat)


class Evaluated(NamedTuple):
    """One block: C_k⁻¹ w R_k (K, B, n), and w (R_k − R_K) for the components close to the last.

    ``total`` is p/f_K without the last component's height, or where a shift was needed, p/h_K
    relative to exp(``shift``).
    """

    ratios: Array
    basis: tuple[Array, ...]
    close: Array | None
    differences: Array | None
    total: Array
    shift: Array | None


def evaluate(point: Point, x: Array, weights: Array | None, work: Workspace) -> Evaluated:
    """Ratios of one block of points x, (n,) or (B, n), for a batch of models."""
    form = point.form
    ratios, total, spare = work.ratios, work.total, work.spare
    odds, last = ratios[:-1], ratios[-1]
    shift: Array | None = None
    numerator = 1.0 if weights is None else weights
    form.block(x, point.coefficients, work.basis, spare)
    if not len(odds):  # a single component
        total.fill(1.0)  # p is f_K
        np.copyto(last, numerator)
        return Evaluated(ratios, work.basis, None, None, total, None)
    if form.log_odds is not None:
        form.log_odds(point.coefficients, work.basis, odds, spare)
    else:
        _log_odds(point, work.basis, odds)
    close = _close(point, odds)
    exact: Array | None = None
    if close is not None:  # two log-densities would lose the digits of their difference
        exact = np.empty_like(odds)
        _log_odds(point, work.basis, exact)
        np.copyto(odds, exact - point.log_ratio, where=close[..., None])
    shares = point.shares
    if odds.max() <= _TOP and (point.anchored or odds.min() >= _BOTTOM):
        np.exp(odds, out=odds)
        np.multiply(odds[0], shares[0], out=total)
        for k in range(1, len(odds)):
            np.multiply(odds[k], shares[k], out=spare[0])
            np.add(total, spare[0], out=total)
        np.add(total, shares[-1], out=total)
        np.divide(numerator, total, out=last)
        np.multiply(odds, last, out=odds)
    else:
        shift = _shifted(point, work)
        np.divide(numerator, total, out=spare[0])
        np.multiply(ratios, spare[0], out=ratios)
    found = None if exact is None else _differences(point, exact, ratios)
    return Evaluated(ratios, work.basis, close, found, total, shift)


def log_density(point: Point, block: Evaluated, spare: Array) -> Array:
    """log p of a block's points, (B, n), without the term that no parameter enters."""
    out = np.log(block.total, out=block.total)
    out += point.log_height[:, None]
    out += _reference(point, block, spare) if block.shift is None else block.shift
    return out


def _reference(point: Point, block: Evaluated, spare: Array) -> Array:
    """log f_K less its height, (B, n)."""
    out = np.empty_like(block.total)
    last = slice(-1, None)
    point.form.exponents(point.coefficients, block.basis, last, out[None], spare)
    return out


def _summed_log_density(
    point: Point, block: Evaluated, weights: Array | None, spare: Array
) -> Array:
    """Σ w log p over a block's points, (B,)."""
    if weights is not None or block.shift is not None:
        values = log_density(point, block, spare)
        return values.sum(axis=1) if weights is None else dots(values, weights)
    reference = _reference(point, block, spare)
    count = reference.shape[1]
    return reference.sum(axis=1) + _sum_of_logs(block.total) + count * point.log_height


def _sum_of_logs(values: Array) -> Array:
    """Σ log over the last axis: logs of products of eight, where those neither over- nor
    underflow.
    """
    batch, count = values.shape
    eighth = count // 8
    if eighth:
        products = values[:, : 8 * eighth].reshape(batch, 8, eighth).prod(axis=1)
        if products.min() > 1e-280 and products.max() < 1e280:
            rest = np.log(values[:, 8 * eighth :]).sum(axis=1)
            return np.log(products).sum(axis=1) + rest
    return np.log(values).sum(axis=1)


def _close(point: Point, odds: Array) -> Array | None:
    """Which (component, batch member) pairs nearly coincide with the last component here."""
    few = odds[:, :, :: max(1, odds.shape[2] // 64)] + point.log_ratio
    near = np.abs(few, out=few) < 0.25
    flags = 2 * np.count_nonzero(near, axis=2) >= few.shape[2]  # outliers do not count
    return flags if flags.any() else None


def _log_odds(point: Point, basis: tuple[Array, ...], out: Array) -> None:
    """Σ_j e_j b_j in the last component's basis functions, heights included."""
    first, *rest = point.odds
    out[...] = first
    for e, b in zip(rest, basis, strict=True):
        out += e * b[-1]


def _differences(point: Point, value: Array, ratios: Array) -> Array:
    """w (R_k − R_K) from expm1 of the exact log-odds, which are overwritten."""
    apart = value > 1.0  # outliers, at which the ratios differ, and expm1 may overflow
    np.minimum(value, 1.0, out=value)
    np.expm1(value, out=value)
    value *= ratios[-1]
    if apart.any():
        plain = ratios[:-1] * point.heights[:-1, :, None] - ratios[-1]
        np.copyto(value, plain, where=apart)
    return value


def _shifted(point: Point, work: Workspace) -> Array:
    """Every component from its own log-density, relative to the largest term m of p; returns m.

    For blocks in which the last component is far from some points: there the log-odds to it would
    lose the digits of the odds between others, and exp of them would overflow. Leaves exp(q_k − m)
    in the ratios and Σ C_k π_k exp(q_k − m) in the total.
    """
    ratios, total, spare = work.ratios, work.total, work.spare
    point.form.exponents(point.coefficients, work.basis, slice(None), ratios, spare)
    with np.errstate(divide="ignore"):
        logs = np.log(point.shares)
    np.add(ratios, logs, out=spare)
    shift = spare.max(axis=0)
    insist_finite(shift, "a log-density")
    if not np.isfinite(ratios).all():  # a ratio of zero, whatever its basis functions overflow to
        for b in work.basis:
            b[~np.isfinite(b)] = 0.0
    np.subtract(ratios, shift, out=ratios)
    np.minimum(ratios, 709.0, out=ratios)
    np.exp(ratios, out=ratios)
    np.multiply(ratios, point.shares, out=spare)
    np.add.reduce(spare, axis=0, out=total)
    if not point.shares.all():  # a component without weight, whose R_k has no bound
        np.copyto(ratios, np.inf, where=(point.shares == 0.0) & (ratios > 8e307))
    return shift


def insist_finite(values: Array, what: str) -> None:
    """Refuse what has overflowed: points absurdly far from a component, or a weight of zero.

    >>> insist_finite(np.array([1.0, np.inf]), "a log-density")
    Traceback (most recent call last):
    relrep_sym.errors.DomainError: a log-density overflows double precision; given: inf; expected:
    ...
    """
    low, high = values.min(initial=0.0), values.max(initial=0.0)
    if not (-np.inf < low and high < np.inf):
        raise DomainError(
            problem(
                f"{what} overflows double precision",
                f"{low if high < np.inf else high}",
                "points within 1e150 scales of each component, weights that are not zero",
            )
        )


def dots(a: Array, b: Array) -> Array:
    """Σ a b over the last axis, in stretches short enough that BLAS starts no threads of its own.

    >>> dots(np.ones(10_000), np.full(10_000, 2.0))
    np.float64(20000.0)
    """
    count = a.shape[-1]
    if count <= _STRETCH:
        return np.vecdot(a, b)
    whole = count - count % _STRETCH
    left = a[..., :whole].reshape(*a.shape[:-1], -1, _STRETCH)
    right = b[..., :whole].reshape(*b.shape[:-1], -1, _STRETCH)
    return np.vecdot(left, right).sum(axis=-1) + np.vecdot(a[..., whole:], b[..., whole:])


class Statistics(NamedTuple):
    """Means over the sample: of R_k (K, B), of R_k b_j (J, K, B), of R_k − R_K (K − 1, B), of log
    p.
    """

    mass: Array
    moments: Array
    differences: Array
    log_likelihood: Array


def blocks(batch: int, count: int, size: int = BLOCK) -> list[tuple[slice, slice]]:
    """Slices of model points and of sample points that make blocks of about ``size``."""
    wide = min(count, size)
    deep = max(1, size // wide) if batch > 1 else 1
    return [
        (slice(b, min(b + deep, batch)), slice(i, min(i + wide, count)))
        for b in range(0, batch, deep)
        for i in range(0, count, wide)
    ]


class _Pass:
    """One thread's way through its blocks: workspace and restricted point are kept between them."""

    def __init__(self, point: Point, x: Array, weights: Array | None, flat: Array) -> None:
        self.point, self.x, self.weights, self.flat = point, x, weights, flat
        self.part, self.members = point, slice(None)
        self.work: Workspace | None = None

    def __call__(self, b: slice, i: slice) -> tuple[Point, Array | None, Evaluated, Workspace]:
        """(the point restricted to the block's members, their weights, the block, its buffers)."""
        x, weights = self.x, self.weights
        if b != self.members:
            whole = self.point.heights.shape[1] == b.stop - b.start
            self.part = self.point if whole else self.point.take(b)
            self.members = b
        inside = x[b, i] if x.ndim == 2 else x[i]
        shape = (b.stop - b.start, i.stop - i.start)
        if self.work is None or self.work.shape != shape:
            self.work = Workspace(self.point.form, self.flat, *shape)
        share = None if weights is None else weights[b, i] if weights.ndim == 2 else weights[i]
        block = evaluate(self.part, inside, share, self.work)
        return self.part, share, block, self.work


def over_blocks(
    point: Point,
    x: Array,
    weights: Array | None,
    use: Callable[[slice, slice, Point, Array | None, Evaluated, Workspace], T],
    size: int = BLOCK,
) -> list[T]:
    """``use`` of every block of the pass over x, (n,) or (B, n), in the blocks' order.

    Several blocks are worked on at once where there are cores for it; what comes out does not
    depend on how many.
    """
    todo = blocks(point.heights.shape[1], x.shape[-1], size)
    largest = max((b.stop - b.start) * (i.stop - i.start) for b, i in todo)

    def work(claimed: Iterator[int], results: list[T | None]) -> None:
        flat = _borrow(Workspace.size(point.form, largest))
        step = _Pass(point, x, weights, flat)
        # what overflows is refused where it is used; a thread has its own error state
        with np.errstate(over="ignore", invalid="ignore"):
            for n in claimed:
                b, i = todo[n]
                results[n] = use(b, i, *step(b, i))
        _give_back(flat)

    return in_threads(work, len(todo))


def statistics(
    point: Point, x: Array, weights: Array | None, *, want_log: bool = False
) -> Statistics:
    """The expected statistics of a weighted sample: the one data pass of first-order learning.

    ``x`` is (N,), shared by the batch, or (B, N); ``weights`` alike, or None for equal ones.
    """
    form, (k, batch) = point.form, point.heights.shape

    def reduce(
        b: slice, _: slice, part: Point, share: Array | None, block: Evaluated, work: Workspace
    ) -> tuple[slice, Array, Array | None]:
        rows = np.empty((2 + form.basis, k, b.stop - b.start))
        np.multiply(np.add.reduce(block.ratios, axis=2), part.heights, out=rows[0])
        for j, basis in enumerate(block.basis):
            np.multiply(dots(block.ratios, basis), part.heights, out=rows[2 + j])
        np.subtract(rows[0], rows[0, -1], out=rows[1])
        if block.close is not None and block.differences is not None:
            exact = np.add.reduce(block.differences, axis=2)
            rows[1, :-1] = np.where(block.close, exact, rows[1, :-1])
        logs = _summed_log_density(part, block, share, work.spare) if want_log else None
        return b, rows, logs

    total, log_likelihood = np.zeros((2 + form.basis, k, batch)), np.zeros(batch)
    for b, rows, logs in over_blocks(point, x, weights, reduce):
        total[..., b] += rows
        if logs is not None:
            log_likelihood[b] += logs
    if want_log and form.common is not None:
        value = form.common(x)
        log_likelihood += value.sum(axis=-1) if weights is None else np.vecdot(value, weights)
    if weights is None:
        total *= 1.0 / x.shape[-1]
        log_likelihood *= 1.0 / x.shape[-1]
    insist_finite(log_likelihood, "the log-likelihood")
    return Statistics(total[0], total[2:], total[1, :-1], log_likelihood)


def gradient(point: Point, found: Statistics) -> tuple[Array, tuple[Array, ...]]:
    """∂L/∂π_k (K − 1, B), the last weight being the rest, and ∂L/∂φ_k (K, B) by family
    parameter.
    """
    out = []
    with np.errstate(over="ignore", invalid="ignore"):
        for row in point.score:
            total = np.zeros_like(found.mass)
            for cell, moment in zip(row, found.moments, strict=True):
                if cell is not None:
                    slope, offset = cell
                    total += slope * (moment + offset * found.mass)
            out.append(point.components.weights * total)
    for rows in (found.differences, *out):
        insist_finite(rows, "the score")
    return found.differences, tuple(out)


def score_rows(point: Point, block: Evaluated, work: Workspace) -> tuple[Array, list[Array]]:
    """∂ log p/∂π_k (K − 1, b, n) and ∂ log p/∂φ_k, one (K, b, n) a family parameter, of one block.

    The arrays belong to the workspace: the next block overwrites them.
    """
    ratios, heights = block.ratios, point.heights[..., None]
    difference = np.multiply(ratios[:-1], heights[:-1], out=work.difference)
    difference -= ratios[-1]
    if block.close is not None and block.differences is not None:
        np.copyto(difference, block.differences, where=block.close[..., None])
    for out, row in zip(work.rows, point.slopes, strict=True):
        first = True
        for cell, basis in zip(row, block.basis, strict=True):
            if cell is None:
                continue
            slope, offset = cell
            term = out if first else work.spare
            if offset is None:
                np.multiply(basis, slope, out=term)
            else:
                np.add(basis, offset, out=term)
                np.multiply(term, slope, out=term)
            if not first:
                np.add(out, term, out=out)
            first = False
        np.multiply(out, ratios, out=out)
    return difference, work.rows
