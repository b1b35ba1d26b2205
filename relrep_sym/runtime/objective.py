"""Q, the expected complete log-likelihood, as a function of the new coordinates.

In: a generated chart and form, the present coordinates, and N_k with the responsibility-weighted
means of the basis functions: what one data pass leaves. Out: :class:`Objective`, whose gain,
gradient and Hessian cost nothing that grows with the sample:

    Q(λ'|λ) = Σ_k N_k (log π_k(λ') + E_k[log f(x | φ_k(λ'))]),   E_k = E[r_k ·]/N_k.

Arrays are (K, B) by component and (P, B) by coordinate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from relrep_sym.errors import DerivationError
from relrep_sym.runtime.chart import Chart
from relrep_sym.runtime.check import Array
from relrep_sym.runtime.point import Form

__all__ = ["SHARPER", "Objective", "Place", "Slopes", "jacobian"]


SHARPER = 0.05
"""By what factor each of an objective's stages is nearer to its kinks than the one before."""

Place = tuple[Array, tuple[Array, ...], Array]
"""Weights, family parameters, and the means of b_j about those."""


class Slopes(NamedTuple):
    """∂Q/∂λ_j, (P, B), and the sum of the absolute values that each is the sum of."""

    gradient: Array
    size: Array

    def take(self, members: NDArray[np.intp]) -> Slopes:
        """Those of some members of a batch."""
        return Slopes(self.gradient[:, members], self.size[:, members])


class Objective:
    """Q(λ'|λ) − Q(λ|λ) of a batch of mixtures in a chart.

    ``rows`` (P + C, B) are the present coordinates and the chart's constants, ``mass`` (K, B) the
    N_k, ``means`` (J, K, B) those of b_j about the parameters ``about`` (the present ones, if
    None).

    Raises DerivationError where the family's log-density does not separate into statistics.
    """

    def __init__(
        self,
        chart: Chart,
        form: Form,
        rows: Array,
        mass: Array,
        means: Array,
        about: tuple[Array, ...] | None = None,
    ) -> None:
        if form.second is None or form.odds is None:
            raise DerivationError(chart.why["hessian"])
        self.chart, self.form, self.rows = chart, form, rows
        self.mass, self.means = mass, means
        self.weights, self.parameters, _ = chart.components(rows)
        self.about = self.parameters if about is None else about
        if about is not None:  # the gain is counted from the present point
            self.start = self._expected(self.parameters)
        else:
            self.start = np.zeros(rows.shape[1])

    def take(self, members: slice | NDArray[np.intp]) -> Objective:
        """The objective of some of the batch."""
        return Objective(
            self.chart,
            self.form,
            self.rows[:, members],
            self.mass[:, members],
            self.means[:, :, members],
            tuple(p[:, members] for p in self.about),
        )

    def moved(self, rows: Array) -> Objective:
        """The same Q, its gain counted from other coordinates, near which it keeps its digits."""
        return Objective(self.chart, self.form, rows, self.mass, self._at(rows)[2])

    def stages(self) -> Sequence[Objective]:
        """Smooth objectives to climb one after the other where this one has kinks; else none."""
        return ()

    # ------------------------------------------------------------------------- values

    def gain(self, rows: Array) -> Array:
        """Q at these coordinates less Q at the present ones, (B,); −∞ outside the model's domain.

        It is built of differences of parameters: near the present point it keeps its digits.
        """
        with np.errstate(all="ignore"):
            weights, parameters, _ = self.chart.components(rows)
            inside = (weights >= 0.0).all(axis=0)
            for positive, values in zip(self.form.positive, parameters, strict=True):
                inside &= np.isfinite(values).all(axis=0)
                if positive:
                    inside &= (values > 0.0).all(axis=0)
            for end, values in zip(self.form.upper, parameters, strict=False):
                inside &= (values < end).all(axis=0)
            ratio = (weights - self.weights) / self.weights
            counts = (self.mass > 0.0) & ~self._lost(weights)
            logs = np.where(counts, self.mass * np.log1p(ratio), 0.0).sum(axis=0)
            total = logs + self._expected(parameters) - self.start
        return np.where(inside & np.isfinite(total), total, -np.inf)

    def _expected(self, parameters: Sequence[Array]) -> Array:
        """Σ_k N_k E_k[log f(x | φ'_k) − log f(x | φ_k)], φ_k those that the means are about."""
        assert self.form.odds is not None
        moved = tuple(p - old for p, old in zip(parameters, self.about, strict=True))
        constant, *slopes = self.form.odds(*self.about, *moved, *parameters)
        total = constant + np.zeros_like(self.mass)
        for slope, mean in zip(slopes, self.means, strict=True):
            total = total + slope * mean
        out: Array = np.where(self.mass > 0.0, self.mass * total, 0.0).sum(axis=0)
        return out

    def _lost(self, weights: Array) -> NDArray[np.bool_]:
        """Weights that rounding made zero: one less the others cannot hold so small a mass."""
        out: NDArray[np.bool_] = (weights == 0.0) & (self.mass < np.finfo(float).eps)
        return out

    def _ratio(self, weights: Array) -> Array:
        """N_k/π_k; of a weight that is lost to rounding its value at the maximum, Σ N_k."""
        ratio = np.where(self.mass > 0.0, self.mass / weights, 0.0)
        out: Array = np.where(self._lost(weights) & (self.mass > 0.0), self.mass.sum(axis=0), ratio)
        return out

    # ------------------------------------------------------------------------- derivatives

    def gradient(self, rows: Array) -> Array:
        """∂Q/∂λ', (P, B)."""
        return self._pulled(rows, *self._outer(*self._at(rows)))

    def slopes(self, rows: Array) -> Slopes:
        """∂Q/∂λ', and the sum of the absolute values of its terms."""
        here = self._at(rows)
        return self._slopes(rows, here, self.jacobian(rows))

    def expansion(self, rows: Array) -> tuple[Slopes, Array]:
        """The slopes, and ∂²Q/∂λ'∂λ', (B, P, P), exactly symmetric."""
        here = self._at(rows)
        outer = self.jacobian(rows)
        return self._slopes(rows, here, outer), self._hessian(rows, here, outer)

    def hessian(self, rows: Array) -> Array:
        """∂²Q/∂λ'∂λ', (B, P, P), exactly symmetric."""
        return self._hessian(rows, self._at(rows), self.jacobian(rows))

    def _slopes(self, rows: Array, here: Place, outer: Array) -> Slopes:
        size = np.einsum("pbi,ib->pb", np.abs(outer), self._sizes(*here))
        return Slopes(self._pulled(rows, *self._outer(*here)), size)

    def _hessian(self, rows: Array, here: Place, outer: Array) -> Array:
        weights, parameters, means = here
        count, batch = len(self.chart.coordinates), rows.shape[1]
        k, roles = len(weights), len(parameters)
        outer = outer.reshape(count, batch, 1 + roles, k)
        curved = np.zeros((batch, 1 + roles, 1 + roles, k))
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            counts = (self.mass > 0.0) & ~self._lost(weights)
            by_weight = np.where(counts, -self.mass / weights**2, 0.0)
        curved[:, 0, 0] = by_weight.T
        pairs = [(i, j) for i in range(roles) for j in range(i, roles)]
        for (i, j), total in zip(pairs, self._curves(parameters, means), strict=True):
            curved[:, 1 + i, 1 + j] = curved[:, 1 + j, 1 + i] = total.T
        half = np.einsum("pbik,bijk->pbjk", outer, curved)
        out = np.einsum("pbjk,qbjk->bpq", half, outer)
        if self.chart.bend is not None:
            inputs = (a[..., None] for a in self._outer(*here))
            bent = self.chart.bend(rows[..., None], np.eye(count)[:, None, :], *inputs)
            out += np.array([np.broadcast_to(b, (batch, count)) for b in bent]).swapaxes(0, 1)
        lower = np.tril(out)
        whole: Array = lower + np.tril(lower, -1).swapaxes(1, 2)
        return whole

    def jacobian(self, rows: Array) -> Array:
        """∂(π_1 … π_K, φ_1 …)/∂λ, (P, B, K + K · roles)."""
        return jacobian(self.chart, self.form, rows)

    def _at(self, rows: Array) -> Place:
        """Weights and parameters at coordinates, and the means of b_j about those."""
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            weights, parameters, _ = self.chart.components(rows)
            if self.form.rebased is None:
                return weights, parameters, self.means
            means = np.zeros_like(self.means)
            table = self.form.rebased(*self.about, *parameters)
            for out, (constant, *slopes) in zip(means, table, strict=True):
                if constant is not None:
                    out += constant
                for slope, mean in zip(slopes, self.means, strict=True):
                    if slope is not None:
                        out += slope * mean
        return weights, parameters, means

    def _outer(
        self, weights: Array, parameters: Sequence[Array], means: Array
    ) -> tuple[Array, ...]:
        """∂Q/∂π_k, less that of the chart's reference, and ∂Q/∂φ_k."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            ratio = self._ratio(weights)
        reference = self.chart.reference
        if reference is None:
            last = np.take_along_axis(ratio, weights.argmax(axis=0)[None], axis=0)
        else:
            last = ratio[reference]
        return ratio - last, *self._tilts(parameters, means)

    def _sizes(self, weights: Array, parameters: Sequence[Array], means: Array) -> Array:
        """The absolute terms of ∂Q/∂(π, φ), (K + K · roles, B)."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            ratio = self._ratio(weights)
        return np.concatenate([ratio, *self._spans(parameters, means)])

    # --------------------------------------------------- by family parameter, from statistics

    def _tilts(self, parameters: Sequence[Array], means: Array) -> list[Array]:
        """∂Q/∂φ_k by family parameter, (K, B)."""
        out = []
        for row in self.form.score(*parameters):
            total = np.zeros_like(self.mass)
            for cell, mean in zip(row, means, strict=True):
                if cell is not None:
                    slope, offset = cell
                    total += slope * (mean + offset)
            out.append(self.mass * total)
        return out

    def _spans(self, parameters: Sequence[Array], means: Array) -> list[Array]:
        """The sums of the absolute values of the terms of those.

        That of a standard variable's function is at least one: its mean may vanish by symmetry.
        """
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            sizes = np.abs(means)
            if self.form.rebased is not None:
                sizes = np.ones_like(means)
                table = self.form.rebased(*self.about, *parameters)
                for out, (constant, *slopes) in zip(sizes, table, strict=True):
                    out += 0.0 if constant is None else np.abs(constant)
                    for slope, mean in zip(slopes, self.means, strict=True):
                        out += 0.0 if slope is None else np.abs(slope * mean)
        whole = []
        for row in self.form.score(*parameters):
            total = np.zeros_like(self.mass)
            for cell, size in zip(row, sizes, strict=True):
                if cell is not None:
                    slope, offset = cell
                    total += np.abs(slope) * (size + np.abs(offset))
            whole.append(self.mass * total)
        return whole

    def _curves(self, parameters: Sequence[Array], means: Array) -> list[Array]:
        """∂²Q/∂φ_ik∂φ_jk by pairs i ≤ j, (K, B)."""
        assert self.form.second is not None
        out = []
        for constant, *slopes in self.form.second(*parameters):
            total = np.zeros_like(self.mass) if constant is None else constant + 0.0 * self.mass
            for slope, mean in zip(slopes, means, strict=True):
                if slope is not None:
                    total = total + slope * mean
            out.append(self.mass * total)
        return out

    def _pulled(self, rows: Array, *outer: Array) -> Array:
        found = self.chart.pull_back(rows, *outer)
        return np.array([np.broadcast_to(row, rows[0].shape) for row in found])


def jacobian(chart: Chart, form: Form, rows: Array) -> Array:
    """∂(π_1 … π_K, φ_1 …)/∂λ at rows (P + C, B), (P, B, K + K · roles)."""
    k, batch, kinds = form.components, rows.shape[1], 1 + len(form.names)
    many = k * kinds
    seeds = np.broadcast_to(np.eye(many).reshape(kinds, k, 1, many), (kinds, k, batch, many))
    found = chart.pull_back(rows[..., None], *seeds)
    out = np.array([np.broadcast_to(row, (batch, many)) for row in found])
    last = chart.reference
    if last is not None:  # the chart takes derivatives by weights relative to this one's
        out[..., last] = 0.0
        out[..., last] = -out[..., :k].sum(axis=-1)
    return out
