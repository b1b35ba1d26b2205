"""Q as a function of the new coordinates, where the log-density does not separate.

In: a generated chart, a point and the weighted sample that its responsibilities are of. Out:
:class:`Sampled`, an :class:`~relrep_sym.runtime.objective.Objective` with the same gain, gradient
and Hessian: each of them is a pass over the sample with the old responsibilities
(:mod:`relrep_sym.runtime.claims`), and log f, its slopes or its second derivatives at the new
parameters.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from relrep_sym.errors import DerivationError
from relrep_sym.runtime.block import Workspace, dots
from relrep_sym.runtime.chart import Chart
from relrep_sym.runtime.check import Array
from relrep_sym.runtime.claims import Claims
from relrep_sym.runtime.objective import SHARPER, Objective, Place, Slopes
from relrep_sym.runtime.point import Form

__all__ = ["Sampled"]

_NEAR = 1e-3
"""Mean |log f(x | φ') − log f(x | φ)| below which it is taken from the slopes between the two."""

_PINNED = 1e-10
"""The part of the mean |x − m| within which a kink stands on a point of the sample."""

_SHARP = 1e-13
"""The part of the mean |x − m| within which a kink is rounded off in the end."""

_POINTS, _MASSES = np.polynomial.legendre.leggauss(5)
_RULE = [(0.5 * (1.0 + float(p)), 0.5 * float(m)) for p, m in zip(_POINTS, _MASSES, strict=True)]


class Sampled(Objective):
    """Q(λ'|λ) − Q(λ|λ) of a batch of mixtures in a chart, from the sample itself.

    ``rows`` (P + C, B) are the present coordinates and constants, ``claims`` those of the mixtures
    there, in the model's order, ``mass`` (K, B) the N_k.

    Raises DerivationError where the family has no second derivatives.
    """

    def __init__(
        self,
        chart: Chart,
        form: Form,
        rows: Array,
        mass: Array,
        claims: Claims,
    ) -> None:
        if form.curves is None:
            raise DerivationError(chart.why["hessian"])
        self.chart, self.form, self.rows = chart, form, rows
        self.mass, self.means = mass, np.empty((0, *mass.shape))
        self.claims = claims
        self.weights, self.parameters, _ = chart.components(rows)
        self.about = self.parameters
        self.start = np.zeros(rows.shape[1])
        self.kinked, self.pinned = form.kink is not None, _PINNED
        self._before: dict[tuple[int, int], Array] = {}

    def take(self, members: slice | NDArray[np.intp]) -> Sampled:
        """The objective of some of the batch."""
        part = Sampled(
            self.chart,
            self.form,
            self.rows[:, members],
            self.mass[:, members],
            self.claims.take(members),
        )
        part.pinned = self.pinned
        return part

    def moved(self, rows: Array) -> Sampled:
        """The same Q, its gain counted from other coordinates, near which it keeps its digits."""
        out = Sampled(self.chart, self.form, rows, self.mass, self.claims)
        out.pinned = self.pinned
        return out

    def exact(self) -> Sampled:
        """The same, a kink on a point only where it is there to rounding."""
        out = copy.copy(self)
        out.pinned = 0.0
        return out

    def stages(self) -> Sequence[Objective]:
        """The objective with ever smaller ε in √((x − m)² + ε²) for |x − m|; none without a kink.

        The last ε is a part in 1e13 of the mean |x − m|, or what rounding leaves of x − m.
        """
        if not self.kinked or self.form.softened is None:
            return ()
        finest = np.finfo(float).eps * np.abs(self.claims.x).max(axis=-1)
        spread = np.maximum(self._spread, np.maximum(finest, np.finfo(float).tiny))
        count = math.ceil(math.log(_SHARP) / math.log(SHARPER))
        return [
            _Softened(self, np.maximum(spread * SHARPER**n, finest)) for n in range(1, count + 1)
        ]

    @cached_property
    def _spread(self) -> Array:
        """The mean |x − m| at the present point, (B,)."""
        kink = self.form.kink
        assert kink is not None

        def use(b: slice, _: slice, x: Array, share: Array, __: Workspace) -> Array:
            away = np.abs(kink(x, *(p[:, b, None] for p in self.parameters)))
            return dots(share, away).sum(axis=0)

        return self.claims.total((), use)

    # ------------------------------------------------------------------------- values

    def _expected(self, parameters: Sequence[Array]) -> Array:
        """Σ_k E[r_k (log f(x | φ'_k) − log f(x | φ_k))], φ_k the present ones."""
        form = self.form
        sound = np.ones(self.mass.shape, bool)
        for positive, values in zip(form.positive, parameters, strict=True):
            sound &= np.isfinite(values) & ((values > 0.0) | (not positive))
        for end, values in zip(form.upper, parameters, strict=False):
            sound &= values < end
        new = [
            np.where(sound.all(axis=0), p, old)
            for p, old in zip(parameters, self.parameters, strict=True)
        ]

        def use(b: slice, i: slice, x: Array, share: Array, work: Workspace) -> Array:
            moved = tuple(p[:, b] for p in new)
            old = tuple(p[:, b] for p in self.parameters)
            key = (b.start, i.start)
            before = self._before.get(key)
            if before is None:
                before = self._logs(x, old, b, work)
                if self.claims.small:
                    self._before[key] = before
            change = self._change(x, old, moved, before, share, b, work)
            np.copyto(change, 0.0, where=share == 0.0)
            return dots(share, change).sum(axis=0)

        return self.claims.total((), use)

    def _change(
        self,
        x: Array,
        old: tuple[Array, ...],
        moved: tuple[Array, ...],
        before: Array,
        share: Array,
        b: slice,
        work: Workspace,
    ) -> Array:
        """log f(x | φ'_k) − log f(x | φ_k), (K, b, n); small ones are integrals of the slopes."""
        form = self.form
        change = self._logs(x, moved, b, work)
        change -= before
        size = np.abs(change)
        near = dots(share, np.where(share > 0.0, size, 0.0)) <= _NEAR * share.sum(axis=-1)
        if not near.any():
            return change
        steps = [(m - p)[..., None] for m, p in zip(moved, old, strict=True)]
        exact = np.zeros_like(change)
        for t, w in _RULE:
            here = (p[..., None] + t * d for p, d in zip(old, steps, strict=True))
            for slope, d in zip(self._first(x, here, b), steps, strict=True):
                exact += (w * d) * slope
        smooth = near[..., None] & (size < 0.1)
        if self.kinked and form.kink is not None:
            ends = [form.kink(x, *(p[..., None] for p in at)) for at in (old, moved)]
            smooth &= ends[0] * ends[1] > 0.0
        np.copyto(change, exact, where=smooth)
        return change

    def _logs(self, x: Array, parameters: tuple[Array, ...], b: slice, work: Workspace) -> Array:
        """log f_k, (K, b, n), less what no parameter enters."""
        coefficients, heights = self.form.prepare(*parameters)
        columns = tuple(c[..., None] for c in coefficients)
        out = np.empty((len(heights), *work.shape))
        self.form.block(x, columns, work.basis, work.spare)
        self.form.exponents(columns, work.basis, slice(None), out, work.spare)
        out += np.log(heights)[..., None]
        return out

    def _first(self, x: Array, columns: Iterable[Array], b: slice) -> Sequence[Array | float]:
        """∂ log f/∂φ_i."""
        assert self.form.slopes is not None
        return self.form.slopes(x, *columns)

    def _both(
        self, x: Array, columns: tuple[Array, ...], b: slice
    ) -> tuple[Sequence[Array | float], Sequence[Array | float]]:
        """∂ log f/∂φ_i, and ∂² log f/∂φ_i∂φ_j by pairs i ≤ j."""
        assert self.form.curves is not None
        return self._first(x, columns, b), self.form.curves(x, *columns)

    # ------------------------------------------------------------------------- derivatives

    def _at(self, rows: Array) -> tuple[Array, tuple[Array, ...], Array]:
        """Weights and parameters at coordinates, and by family parameter E[r_k ·] there of the
        slopes, of their absolute values, of how far a kink at a point of the sample lets them move
        to either side, and by pairs of the second derivatives, stacked.
        """
        form = self.form
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            weights, parameters, _ = self.chart.components(rows)
        roles = len(form.names)
        count = 3 * roles + roles * (roles + 1) // 2

        def use(b: slice, _: slice, x: Array, share: Array, __: Workspace) -> Array:
            columns = tuple(p[:, b, None] for p in parameters)
            pinned = [np.zeros_like(share[..., 0])] * roles
            if self.kinked:
                x, pinned = self._pinned(x, columns, share, b)
            slopes, curves = self._both(x, columns, b)
            first = [_whole(s, share) for s in slopes]
            rows = [*first, *map(np.abs, first), *(_whole(c, share) for c in curves)]
            found = [dots(share, r) for r in rows]
            return np.array([*found[: 2 * roles], *pinned, *found[2 * roles :]])

        sums = self.claims.total((count, len(weights)), use)
        return weights, parameters, sums

    def _tilts(self, parameters: Sequence[Array], means: Array) -> list[Array]:
        return list(means[: len(parameters)])

    def _spans(self, parameters: Sequence[Array], means: Array) -> list[Array]:
        roles = len(parameters)
        return list(means[roles : 2 * roles])

    def _curves(self, parameters: Sequence[Array], means: Array) -> list[Array]:
        return list(means[3 * len(parameters) :])

    def _pinned(
        self, x: Array, columns: tuple[Array, ...], share: Array, b: slice
    ) -> tuple[Array, list[Array]]:
        """The points with those that a kink stands on put exactly there, where the slope is the
        middle of its two sides; and half the jump, by family parameter (K, b).
        """
        form = self.form
        assert form.kink is not None
        assert form.jumps is not None
        here, still = form.kink(np.zeros(1), *columns), [np.zeros(1)] * len(columns)
        away = form.kink(x, *columns)
        rounding = 4.0 * np.finfo(float).eps * np.abs(x)
        on = np.abs(away) <= np.maximum(self.pinned * self._spread[b][:, None], rounding)
        held = dots(share, on.astype(float))
        jumps, halves, roles = form.jumps(*columns), [], len(columns)
        for i in range(roles):
            moved = [np.ones(1) if j == i else c for j, c in enumerate(still)]
            # |∂m/∂φ_i|, a number: the kink's place is linear in the parameters
            rate = np.abs(form.kink(np.zeros(1), *moved) - form.kink(np.zeros(1), *still))
            jump = np.abs(np.broadcast_to(jumps[i * roles - i * (i - 1) // 2], here.shape))[..., 0]
            ratio = np.where(rate > 0.0, jump / np.where(rate > 0.0, rate, 1.0), 0.0)
            halves.append(0.5 * held * ratio)
        return np.where(on, -here, x), halves

    def _slopes(self, rows: Array, here: Place, outer: Array) -> Slopes:
        """As for any objective; of the slopes that a kink lets be, those nearest to zero."""
        found = super()._slopes(rows, here, outer)
        if not self.kinked:
            return found
        roles = len(self.form.names)
        halves = np.concatenate([np.zeros_like(self.mass), *here[2][2 * roles : 3 * roles]])
        slack = np.einsum("pbi,ib->pb", np.abs(outer), halves)
        g = found.gradient
        return found._replace(gradient=np.sign(g) * np.maximum(np.abs(g) - slack, 0.0))


class _Softened(Sampled):
    """The objective of a log-density whose kinks are rounded off, by ε (B,)."""

    def __init__(self, sharp: Sampled, softness: Array) -> None:
        super().__init__(sharp.chart, sharp.form, sharp.rows, sharp.mass, sharp.claims)
        self.kinked, self.softness = False, softness

    def take(self, members: slice | NDArray[np.intp]) -> _Softened:
        """The objective of some of the batch."""
        return _Softened(super().take(members), self.softness[members])

    def moved(self, rows: Array) -> _Softened:
        """The same Q, its gain counted from other coordinates."""
        return _Softened(super().moved(rows), self.softness)

    def _values(self, x: Array, columns: Iterable[Array], b: slice) -> Sequence[Array | float]:
        assert self.form.softened is not None
        return self.form.softened(x, *columns, self.softness[b][:, None])

    def _logs(self, x: Array, parameters: tuple[Array, ...], b: slice, work: Workspace) -> Array:
        found = self._values(x, (p[..., None] for p in parameters), b)[0]
        return np.array(np.broadcast_to(found, (len(parameters[0]), *work.shape)))

    def _first(self, x: Array, columns: Iterable[Array], b: slice) -> Sequence[Array | float]:
        return self._values(x, columns, b)[1 : 1 + len(self.form.names)]

    def _both(
        self, x: Array, columns: tuple[Array, ...], b: slice
    ) -> tuple[Sequence[Array | float], Sequence[Array | float]]:
        _, *found = self._values(x, columns, b)
        return found[: len(self.form.names)], found[len(self.form.names) :]


def _whole(values: Array | float, share: Array) -> Array:
    """Values by component and point, zero where they overflow and no share is there."""
    out = np.broadcast_to(values, share.shape)
    sound = np.isfinite(out)
    return out if sound.all() else np.where(sound | (share > 0.0), out, 0.0)
