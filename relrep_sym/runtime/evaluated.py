"""Densities, scores, means and expectations of a model in a chart.

In: :class:`~relrep_sym.runtime.mapped.Mapped`. Out: :class:`Evaluated`, which adds what is computed
of a sample, point by point or as a mean, and under a truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from relrep_sym.errors import DataError, NoInverseError, problem
from relrep_sym.runtime import check, kernel
from relrep_sym.runtime.block import insist_finite, log_density, score_rows
from relrep_sym.runtime.check import Array, Coords, Entries
from relrep_sym.runtime.edges import inside, insist_slopes
from relrep_sym.runtime.expectation import Nodes, Truth, divergence, weighted_nodes
from relrep_sym.runtime.gradient_em import responsibility_gram
from relrep_sym.runtime.kinks import bend_of_kinks, insist_density
from relrep_sym.runtime.natural import Natural, cut_off, solve, warn_of_rank
from relrep_sym.runtime.point import Point
from relrep_sym.runtime.products import outer
from relrep_sym.runtime.second import hessian

if TYPE_CHECKING:
    from relrep_sym.runtime.members import Stop

from relrep_sym.runtime.mapped import Mapped, columns, scalars
from relrep_sym.runtime.units import in_units

__all__ = ["Evaluated"]


class Evaluated(Mapped):
    """A model in a chart, its densities and their means."""

    # -------------------------------------------------------------------------- point by point

    def _samplewise(
        self, x: ArrayLike, coords: Entries, *, derived: bool = False
    ) -> tuple[Array, Coords, Point, tuple[int, ...]]:
        points = check.sample(x, self.form.support)
        given, point = self._point(coords) if derived else self.point(coords)
        if derived:
            insist_slopes(self.chart, point, points)
        shape = (*given.shape, points.size) if np.ndim(x) else given.shape
        return points, given, point, shape

    @in_units("density")
    def log_density(self, x: ArrayLike, coords: Entries, out: Array | None = None) -> Array:
        """log p(x | c(λ)), (…, N)."""
        points, given, point, shape = self._samplewise(x, coords)
        found = np.empty((given.rows.shape[1], points.size))

        def use(b, i, part, _, block, work):  # type: ignore[no-untyped-def]
            found[b, i] = log_density(part, block, work.spare)

        kernel.over_blocks(point, points, None, use)
        if self.form.common is not None:
            found += self.form.common(inside(self.form, points))
        insist_finite(found, "a log-density")
        return check.filled(found.reshape(shape), out)

    @in_units("same")
    def responsibilities(self, x: ArrayLike, coords: Entries, out: Array | None = None) -> Array:
        """r_k(x), (…, N, K)."""
        points, given, point, shape = self._samplewise(x, coords)
        found = np.empty((self.form.components, given.rows.shape[1], points.size))

        def use(b, i, part, _, block, __):  # type: ignore[no-untyped-def]
            np.multiply(block.ratios, part.shares, out=found[:, b, i])
            if not part.shares.all():  # zero times what may be infinite
                np.copyto(found[:, b, i], 0.0, where=part.shares == 0.0)

        kernel.over_blocks(point, points, None, use)
        if not point.tame(points):
            insist_finite(found, "a responsibility")
        return check.filled(np.moveaxis(found, 0, -1).reshape(*shape, self.form.components), out)

    @in_units("gradient")
    def score_samples(self, x: ArrayLike, coords: Entries, out: Array | None = None) -> Array:
        """∂ log p(x | c(λ))/∂λ, (…, N, P)."""
        points, given, point, shape = self._samplewise(x, coords, derived=True)
        names = self.chart.coordinates
        found = np.empty((len(names), given.rows.shape[1], points.size))

        def use(b, i, part, _, block, work):  # type: ignore[no-untyped-def]
            rows = self._pulled(given.rows[:, b, None], *score_rows(part, block, work))
            for target, row in zip(found, rows, strict=True):
                target[b, i] = row

        kernel.over_blocks(point, points, None, use)
        if not point.tame(points):
            insist_finite(found, "a score")
        return check.filled(np.moveaxis(found, 0, -1).reshape(*shape, len(names)), out)

    # -------------------------------------------------------------------------- means

    def statistics(
        self, x: ArrayLike, coords: Entries, weights: ArrayLike | None = None
    ) -> tuple[Array, ...]:
        """(N_k, then Σ_n w_n r_k(x_n) b_j(x_n) for each basis function), (…, K) each."""
        points = check.sample(x, self.form.support)
        given = self._coords(coords)
        point = self.point_at(given.rows)  # in the model's own units, which they may have
        found = kernel.statistics(point, points, check.sample_weights(weights, points.size))
        share = point.components.weights
        with np.errstate(over="ignore", invalid="ignore"):
            rows = [np.where(share > 0, share * a, 0.0) for a in (found.mass, *found.moments)]
        for row in rows:
            insist_finite(row, "a statistic")
        return tuple(row.T.reshape(*given.shape, self.form.components) for row in rows)

    @in_units("density")
    def log_likelihood(
        self, x: ArrayLike, coords: Entries, weights: ArrayLike | None = None
    ) -> Array:
        """The mean of log p over the sample, (…,)."""
        points = check.sample(x, self.form.support)
        given, point = self.point(coords)
        share = check.sample_weights(weights, points.size)
        found = kernel.statistics(point, points, share, want_log=True)
        return scalars(found.log_likelihood, given)

    @in_units("gradient")
    def score(self, x: ArrayLike, coords: Entries, weights: ArrayLike | None = None) -> Array:
        """∇_λ of the mean log-likelihood, (…, P)."""
        points = check.sample(x, self.form.support)
        given, point = self._point(coords)
        insist_slopes(self.chart, point, points)
        share = check.sample_weights(weights, points.size)
        return columns(self._gradient(given.rows, point, points, share), given)

    def _gradient(
        self, rows: Array, point: Point, x: Array, weights: Array | None
    ) -> Sequence[Array]:
        found = kernel.statistics(point, x, weights)
        return self._pulled(rows, *kernel.gradient(point, found))

    def _pulled(self, rows: Array, by_weight: Array, by_family: Sequence[Array]) -> Sequence[Array]:
        """∂/∂λ from ∂/∂π_k (K − 1 or K rows, the reference's own last or zero) and ∂/∂φ_k."""
        if self.chart.reference is None and len(by_weight) < self.form.components:
            by_weight = np.concatenate([by_weight, np.zeros_like(by_family[0][:1])])
        return self.chart.pull_back(rows, by_weight, *by_family)

    @in_units("second")
    def hessian(self, x: ArrayLike, coords: Entries, weights: ArrayLike | None = None) -> Array:
        """∂²/∂λ∂λ of the mean log-likelihood, exactly symmetric, (…, P, P)."""
        points = check.sample(x, self.form.support)
        given, point = self._point(coords)
        insist_slopes(self.chart, point, points)
        share = check.sample_weights(weights, points.size)
        found = hessian(self.chart, given.rows, point, points, share)
        return found.reshape(*given.shape, *found.shape[1:])

    # -------------------------------------------------------------------------- expectations

    def _truth(self, truth: object) -> Truth | Nodes:
        return Truth.of(truth, self.form)

    @in_units("nodes")
    def nodes(self, truth: object, coords: Entries) -> Nodes:
        """One weighted sample that stands for the truth at one point of the chart."""
        given, point = self.point(coords)
        if given.shape:
            right = "one point, shape (P,)"
            raise DataError(problem("coords has leading axes", f"{given.shape} of them", right))
        density = self._truth(truth)
        if isinstance(density, Nodes):
            return density
        parts = [(n.reshape(-1), w.reshape(-1)) for _, n, w in weighted_nodes(point, density)]
        nodes, weights = zip(*parts, strict=True)
        return Nodes(np.concatenate(nodes), np.concatenate(weights))

    @in_units("gradient")
    def averaged_field(self, coords: Entries, truth: object) -> Array:
        """∇_λ E_q[log p(X | c(λ))], (…, P)."""
        given, point = self._point(coords)
        return columns(self._field(given.rows, point, self._truth(truth)), given)

    def _field(self, rows: Array, point: Point, truth: Truth | Nodes) -> Array:
        if isinstance(truth, Nodes):
            nodes, weights = truth
            return np.array(
                np.broadcast_arrays(*self._gradient(rows, point, nodes, weights), rows[0])[:-1]
            )
        out = np.zeros((len(self.chart.coordinates), rows.shape[1]))
        for members, nodes, weights in weighted_nodes(point, truth):
            part = point.take(members)
            found = self._gradient(rows[:, members], part, nodes, weights)
            for target, row in zip(out, found, strict=True):
                target[members] += row
        return out

    @in_units("second")
    def averaged_hessian(self, coords: Entries, truth: object) -> Array:
        """∂²/∂λ∂λ of E_q[log p(X | c(λ))], exactly symmetric, (…, P, P)."""
        given, point = self._point(coords)
        density = self._truth(truth)
        insist_density(self.form, density)
        if isinstance(density, Nodes):
            found = hessian(self.chart, given.rows, point, *density)
        else:
            count = len(self.chart.coordinates)
            found = np.zeros((given.rows.shape[1], count, count))
            for members, nodes, weights in weighted_nodes(point, density):
                rows, part = given.rows[:, members], point.take(members)
                found[members] += hessian(self.chart, rows, part, nodes, weights)
            if self.form.kink is not None:
                found += bend_of_kinks(self.chart, given.rows, point, density)
        return found.reshape(*given.shape, *found.shape[1:])

    @in_units("same")
    def kl(self, coords: Entries, truth: object) -> Array:
        """KL(truth ‖ model), (…,)."""
        given, point = self.point(coords)
        density = self._truth(truth)
        if isinstance(density, Nodes):
            raise DataError(
                problem(
                    "a weighted sample has no density",
                    "(nodes, weights)",
                    "a mixture truth: (weights, " + ", ".join(self.form.names) + ")",
                )
            )
        return scalars(divergence(point, density), given)

    @in_units("second")
    def fisher(self, coords: Entries) -> Array:
        """E_p[∂ log p ∂ log pᵀ] in the chart, exactly symmetric, (…, P, P)."""
        given, point = self._point(coords)
        whole = self.information(given.rows, point)
        return whole.reshape(*given.shape, *whole.shape[1:])

    def information(self, rows: Array, point: Point) -> Array:
        """Fisher information of a batch, (B, P, P)."""
        count, batch = len(self.chart.coordinates), rows.shape[1]
        out = np.zeros((batch, count, count))
        centred = self._centred(point)
        truth = Truth.of_components(centred.components, self.form)
        for members, nodes, weights in weighted_nodes(centred, truth, own=True):
            out[members] += self._gram(rows[:, members], centred.take(members), nodes, weights)
        insist_finite(out, "the Fisher information")
        lower = np.tril(out)
        return lower + np.tril(lower, -1).swapaxes(1, 2)

    @in_units("same")
    def responsibility_gram(self, coords: Entries, truth: object) -> Array:
        """C = E_q[ψψᵀ], ψ the responsibilities, exactly symmetric, (…, K, K)."""
        given, point = self.point(coords)
        density = self._truth(truth)
        if isinstance(density, Nodes):
            found = responsibility_gram(point, *density)
        else:
            k = self.form.components
            found = np.zeros((given.rows.shape[1], k, k))
            for members, nodes, weights in weighted_nodes(point, density):
                found[members] += responsibility_gram(point.take(members), nodes, weights)
        return found.reshape(*given.shape, *found.shape[1:])

    @in_units("coords")
    def natural_field(
        self,
        coords: Entries,
        truth: object,
        *,
        rcond: float | None = None,
        full_output: bool = False,
    ) -> Array | Natural:
        """F† ∇_λ E_q[log p(X | c(λ))], (…, P)."""
        given, point = self._point(coords)
        field = self._field(given.rows, point, self._truth(truth))[: len(self.chart.coordinates)]
        powers = None if self.units is None else self.units.steps
        found = solve(self.information(given.rows, point), field.T, rcond, powers)
        found = found.shaped(given.shape)
        if full_output:
            return found
        warn_of_rank(found, self.chart.coordinates, rcond)
        return found.field

    @in_units("flow")
    def flow(
        self,
        start: Entries,
        truth: object,
        times: ArrayLike,
        field: str = "gradient",
        *,
        full_output: bool = False,
        **options: Any,
    ) -> Array | tuple[Array, list[Stop]]:
        """λ(t) along dλ/dt = the field, (…, len(times), P)."""
        from relrep_sym.runtime import flow, members

        given, _ = self.point(start)
        out, stops, cut = flow.flow(self, given, self._truth(truth), times, field, **options)
        size, least = given.rows.shape[1], cut_off(options.get("rcond"), len(out.T))
        members.warn_of_cuts(cut, size, least)
        if full_output:
            return out, stops
        members.warn_of_stops(stops, size)
        return out

    def _centred(self, point: Point) -> Point:
        """The same mixtures moved so that the last location is zero: nothing is lost to the origin.

        The score's moments under the model itself do not change under translation, and the chart
        knows the locations' differences better than their values.
        """
        i, c = self.form.location, point.components
        if i is None:
            return point
        moved = np.concatenate([c.differences[i], np.zeros_like(c.weights[:1])])
        parameters = tuple(moved if j == i else p for j, p in enumerate(c.parameters))
        return Point(self.form, c._replace(parameters=parameters), point.order)

    def _gram(self, rows: Array, point: Point, nodes: Array, weights: Array) -> Array:
        """Σ w s sᵀ over the nodes for each member, s the score in the chart, (members, P, P)."""
        count = len(self.chart.coordinates)
        out = np.zeros((rows.shape[1], count, count))

        def use(b, i, part, _, block, work):  # type: ignore[no-untyped-def]
            pulled = self._pulled(rows[:, b, None], *score_rows(part, block, work))
            root = np.sqrt(weights[b, i])
            scores = np.stack([np.broadcast_to(row * root, root.shape) for row in pulled], axis=1)
            return b, outer(scores, scores)

        for b, part in kernel.over_blocks(point, nodes, None, use):
            out[b] += part
        return out

    # -------------------------------------------------------------------------- views

    def to_view(self, coords: Entries) -> Array:
        """b(λ), (…, Pb)."""
        given = self._coords(coords)
        self._components(given.rows)
        if self.chart.view is None:
            raise NoInverseError(self.chart.why["view"])
        return columns(self.chart.view(given.rows), given)

    @in_units("same")
    def view_field(self, coords: Entries, truth: object, rates: ArrayLike | None = None) -> Array:
        """db/dt = J diag(η) ∇_λ E_q[log p], (…, Pb)."""
        given, point = self._point(coords)
        if self.chart.push_view is None:
            raise NoInverseError(self.chart.why["view"])
        field = self._field(given.rows, point, self._truth(truth))
        if rates is not None:
            count = len(self.chart.coordinates)
            field = field * check.per_coordinate(rates, count, "rates", positive=True)[:, None]
        return columns(self.chart.push_view(given.rows, field), given)
