"""The functions of a generated module, over the generated chart and form.

In: a :class:`~relrep_sym.runtime.chart.Chart` and a :class:`~relrep_sym.runtime.point.Form`, both
made of generated functions. Out: :class:`Solver`, whose methods a generated module gives out under
its own docstrings. Checks what comes in, broadcasts over leading axes, and leaves the work to the
kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from relrep_sym.errors import DataError, DomainError, NoInverseError, problem
from relrep_sym.runtime import check, kernel
from relrep_sym.runtime.ascent import optimality
from relrep_sym.runtime.block import insist_finite, log_density, score_rows
from relrep_sym.runtime.chart import Chart
from relrep_sym.runtime.check import Array, Coords
from relrep_sym.runtime.ecm import Order, ecm_step
from relrep_sym.runtime.em import Expected, em_step, objective_of
from relrep_sym.runtime.expectation import Nodes, Truth, divergence, weighted_nodes
from relrep_sym.runtime.fitted import Fit
from relrep_sym.runtime.gradient_em import Climb, gradient_em_step, responsibility_gram, step_of
from relrep_sym.runtime.guard import entries_behind, guarded
from relrep_sym.runtime.inference import Criteria, covariance, criteria, standard_errors
from relrep_sym.runtime.intervals import confidence_intervals
from relrep_sym.runtime.kinks import bend_of_kinks, insist_density
from relrep_sym.runtime.labels import relabelled
from relrep_sym.runtime.natural import Natural, cut_off, solve, warn_of_rank
from relrep_sym.runtime.point import Components, Form, Parts, Point
from relrep_sym.runtime.rates import Rates, ecm_rates
from relrep_sym.runtime.second import hessian
from relrep_sym.runtime.step import Step

if TYPE_CHECKING:
    from relrep_sym.runtime.members import Stop

__all__ = ["Solver"]


class Solver:
    """A model in a chart, ready to compute."""

    constants: Sequence[ArrayLike] = ()

    def __init__(self, chart: Chart, form: Form) -> None:
        self.chart = guarded(chart)
        self.form = form

    def at_member(self, shape: tuple[int, ...], member: int) -> Solver:
        """The solver with the constants of one member of a batch."""
        if not self.chart.constants:
            return self
        return self.given(*self._given(shape)[:, member])

    def given(self, *constants: ArrayLike) -> Solver:
        """The solver with the chart's constants: numbers, or arrays over the leading axes."""
        out = copy(self)
        out.constants = constants
        return out

    # -------------------------------------------------------------------------- the chart's map

    def _coords(self, coords: ArrayLike) -> Coords:
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

    def point(self, coords: ArrayLike) -> tuple[Coords, Point]:
        """Checked coordinates, and their mixtures made ready for the data pass."""
        given = self._coords(coords)
        return given, Point(self.form, self._components(given.rows))

    def _point(self, coords: ArrayLike) -> tuple[Coords, Point]:
        """The same for derivatives: relative to the component that the chart refers them to."""
        given = self._coords(coords)
        return given, Point(self.form, *self._referred(given.rows, None, self.chart.reference))

    def to_model(self, coords: ArrayLike) -> Array:
        """θ = c(λ), (…, Pθ)."""
        given = self._coords(coords)
        self._components(given.rows)
        return _columns(self.chart.to_model(given.rows), given)

    def from_model(self, theta: ArrayLike) -> Array:
        """λ with c(λ) = θ, (…, P)."""
        array = check.numbers(theta, "theta")
        rows = self._theta_rows(array)
        self._components(rows, self.chart.model_components)
        return self._inverted(rows, array.shape[:-1])

    def _theta_rows(self, array: Array) -> Array:
        names = self.chart.parameters
        if array.ndim == 0 or array.shape[-1] != len(names) or not array.size:
            right = f"shape (…, {len(names)}) for ({', '.join(names)})"
            raise DataError(problem("theta has the wrong shape", f"shape {array.shape}", right))
        return np.ascontiguousarray(array.reshape(-1, len(names)).T)

    def relabel(self, theta: ArrayLike) -> Array:
        """θ with its components in an order that the chart can take, (…, Pθ)."""
        array = check.numbers(theta, "theta")
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
        size = np.abs(theta)
        slack = 1e-9 * (size + np.abs(back)) + 1e-15 * size.max(axis=0)
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

    def jacobian(self, coords: ArrayLike) -> Array:
        """∂θ/∂λ, (…, Pθ, P)."""
        given = self._coords(coords)
        self._components(given.rows)
        count, batch = len(self.chart.parameters), given.rows.shape[1]
        seeds = np.broadcast_to(np.eye(count)[:, :, None], (count, count, batch))
        rows = self.chart.pull_back_model(given.rows, seeds)
        out = np.array([np.broadcast_to(r, (count, batch)) for r in rows])
        return np.moveaxis(out, (2, 1, 0), (0, 1, 2)).reshape(*given.shape, count, len(rows))

    def components(self, coords: ArrayLike) -> tuple[Array, ...]:
        """(weights, then the family's parameters), (…, K) each: usable as a truth."""
        given = self._coords(coords)
        found = self._components(given.rows)
        shape = (*given.shape, self.form.components)
        return tuple(a.T.reshape(shape).copy() for a in (found.weights, *found.parameters))

    # -------------------------------------------------------------------------- point by point

    def _samplewise(
        self, x: ArrayLike, coords: ArrayLike, *, derived: bool = False
    ) -> tuple[Array, Coords, Point, tuple[int, ...]]:
        points = check.sample(x, self.form.support)
        given, point = self._point(coords) if derived else self.point(coords)
        return points, given, point, (*given.shape, *np.shape(x))

    def log_density(self, x: ArrayLike, coords: ArrayLike, out: Array | None = None) -> Array:
        """log p(x | c(λ)), (…, N)."""
        points, given, point, shape = self._samplewise(x, coords)
        found = np.empty((given.rows.shape[1], points.size))

        def use(b, i, part, _, block, work):  # type: ignore[no-untyped-def]
            found[b, i] = log_density(part, block, work.spare)

        kernel.over_blocks(point, points, None, use)
        if self.form.common is not None:
            found += self.form.common(points)
        insist_finite(found, "a log-density")
        return _filled(found.reshape(shape), out)

    def responsibilities(self, x: ArrayLike, coords: ArrayLike, out: Array | None = None) -> Array:
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
        return _filled(np.moveaxis(found, 0, -1).reshape(*shape, self.form.components), out)

    def score_samples(self, x: ArrayLike, coords: ArrayLike, out: Array | None = None) -> Array:
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
        return _filled(np.moveaxis(found, 0, -1).reshape(*shape, len(names)), out)

    # -------------------------------------------------------------------------- means

    def statistics(
        self, x: ArrayLike, coords: ArrayLike, weights: ArrayLike | None = None
    ) -> tuple[Array, ...]:
        """(N_k, then Σ_n w_n r_k(x_n) b_j(x_n) for each basis function), (…, K) each."""
        points = check.sample(x, self.form.support)
        given, point = self.point(coords)
        found = kernel.statistics(point, points, check.sample_weights(weights, points.size))
        share = point.components.weights
        with np.errstate(over="ignore", invalid="ignore"):
            rows = [np.where(share > 0, share * a, 0.0) for a in (found.mass, *found.moments)]
        for row in rows:
            insist_finite(row, "a statistic")
        return tuple(row.T.reshape(*given.shape, self.form.components) for row in rows)

    def log_likelihood(
        self, x: ArrayLike, coords: ArrayLike, weights: ArrayLike | None = None
    ) -> Array:
        """The mean of log p over the sample, (…,)."""
        points = check.sample(x, self.form.support)
        given, point = self.point(coords)
        share = check.sample_weights(weights, points.size)
        found = kernel.statistics(point, points, share, want_log=True)
        return _scalars(found.log_likelihood, given)

    def score(self, x: ArrayLike, coords: ArrayLike, weights: ArrayLike | None = None) -> Array:
        """∇_λ of the mean log-likelihood, (…, P)."""
        points = check.sample(x, self.form.support)
        given, point = self._point(coords)
        share = check.sample_weights(weights, points.size)
        return _columns(self._gradient(given.rows, point, points, share), given)

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

    def hessian(self, x: ArrayLike, coords: ArrayLike, weights: ArrayLike | None = None) -> Array:
        """∂²/∂λ∂λ of the mean log-likelihood, exactly symmetric, (…, P, P)."""
        points = check.sample(x, self.form.support)
        given, point = self._point(coords)
        share = check.sample_weights(weights, points.size)
        found = hessian(self.chart, given.rows, point, points, share)
        return found.reshape(*given.shape, *found.shape[1:])

    # -------------------------------------------------------------------------- expectations

    def _truth(self, truth: object) -> Truth | Nodes:
        return Truth.of(truth, self.form)

    def nodes(self, truth: object, coords: ArrayLike) -> Nodes:
        """One weighted sample that stands for the truth at one point of the chart."""
        given, point = self.point(coords)
        if given.shape:
            right = "one point, shape (P,)"
            raise DataError(problem("coords has leading axes", f"shape {np.shape(coords)}", right))
        density = self._truth(truth)
        if isinstance(density, Nodes):
            return density
        parts = [(n.reshape(-1), w.reshape(-1)) for _, n, w in weighted_nodes(point, density)]
        nodes, weights = zip(*parts, strict=True)
        return Nodes(np.concatenate(nodes), np.concatenate(weights))

    def averaged_field(self, coords: ArrayLike, truth: object) -> Array:
        """∇_λ E_q[log p(X | c(λ))], (…, P)."""
        given, point = self._point(coords)
        return _columns(self._field(given.rows, point, self._truth(truth)), given)

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

    def averaged_hessian(self, coords: ArrayLike, truth: object) -> Array:
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

    def kl(self, coords: ArrayLike, truth: object) -> Array:
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
        return _scalars(divergence(point, density), given)

    def fisher(self, coords: ArrayLike) -> Array:
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

    def responsibility_gram(self, coords: ArrayLike, truth: object) -> Array:
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

    def natural_field(
        self,
        coords: ArrayLike,
        truth: object,
        *,
        rcond: float | None = None,
        full_output: bool = False,
    ) -> Array | Natural:
        """F⁺ ∇_λ E_q[log p(X | c(λ))], (…, P)."""
        given, point = self._point(coords)
        field = self._field(given.rows, point, self._truth(truth))[: len(self.chart.coordinates)]
        found = solve(self.information(given.rows, point), field.T, rcond)
        found = found.shaped(given.shape)
        if full_output:
            return found
        warn_of_rank(found, self.chart.coordinates, rcond)
        return found.field

    def flow(
        self,
        start: ArrayLike,
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
            return b, scores @ scores.swapaxes(1, 2)

        for b, part in kernel.over_blocks(point, nodes, None, use):
            out[b] += part
        return out

    # -------------------------------------------------------------------------- views

    def to_view(self, coords: ArrayLike) -> Array:
        """b(λ), (…, Pb)."""
        given = self._coords(coords)
        self._components(given.rows)
        if self.chart.view is None:
            raise NoInverseError(self.chart.why["view"])
        return _columns(self.chart.view(given.rows), given)

    def view_field(self, coords: ArrayLike, truth: object, rates: ArrayLike | None = None) -> Array:
        """db/dt = J diag(η) ∇_λ E_q[log p], (…, Pb)."""
        given, point = self._point(coords)
        if self.chart.push_view is None:
            raise NoInverseError(self.chart.why["view"])
        field = self._field(given.rows, point, self._truth(truth))
        if rates is not None:
            count = len(self.chart.coordinates)
            field = field * check.per_coordinate(rates, count, "rates", positive=True)[:, None]
        return _columns(self.chart.push_view(given.rows, field), given)

    # -------------------------------------------------------------------------- learning

    def em_step(
        self,
        x: ArrayLike,
        coords: ArrayLike,
        weights: ArrayLike | None = None,
        *,
        full_output: bool = False,
    ) -> Array | Step:
        """One E-step, then the joint maximiser of Q over the chart's closed domain, (…, P)."""
        points = check.sample(x, self.form.support)
        given, point = self.point(coords)
        share = check.sample_weights(weights, points.size)
        taken = em_step(self.chart, self._preimage, given.rows, point, points, share)
        taken.insist()
        if full_output:
            return self._step(given, taken.rows, taken.expected, taken.notes)
        return _columns(taken.rows, given)

    def ecm_step(
        self,
        x: ArrayLike,
        coords: ArrayLike,
        order: object = None,
        sweeps: int = 1,
        *,
        weights: ArrayLike | None = None,
        full_output: bool = False,
    ) -> Array | Step:
        """One E-step, then conditional maximisers of Q in an order, (…, P)."""
        chosen = Order.of(self.chart, self.form, order, sweeps)
        points = check.sample(x, self.form.support)
        given, point = self.point(coords)
        share = check.sample_weights(weights, points.size)
        found = ecm_step(self.chart, given.rows, point, points, share, chosen, watch=full_output)
        found.taken.insist()
        if not full_output:
            return _columns(found.taken.rows, given)
        made = self._step(given, found.taken.rows, found.taken.expected, found.taken.notes)
        return replace(
            made,
            multipliers={
                n: found.multipliers[self.chart.coordinates.index(n)].reshape(given.shape)[()]
                for n in made.multipliers
            },
            residual=found.residual.reshape(given.shape)[()],
        )

    def ecm_rates(
        self,
        x: ArrayLike,
        coords: ArrayLike,
        order: object = None,
        sweeps: int = 1,
        *,
        weights: ArrayLike | None = None,
    ) -> Rates:
        """How fast EM and ECM converge near a fixed point."""
        return ecm_rates(self, x, coords, order, sweeps, weights)

    def gradient_em_step(
        self,
        x: ArrayLike,
        coords: ArrayLike,
        rate: ArrayLike | None = None,
        *,
        weights: ArrayLike | None = None,
        full_output: bool = False,
    ) -> Array | Step:
        """One step uphill on Q: at a rate, the chart's safe one, or a line search's, (…, P)."""
        points = check.sample(x, self.form.support)
        given = self._coords(coords)
        share = check.sample_weights(weights, points.size)
        found = self.climb(given.rows, points, share, self.rates(rate))
        found.taken.insist()
        if full_output:
            return step_of(self.chart, self.point_at, given, found, points, share)
        return _columns(found.taken.rows, given)

    def rates(self, rate: ArrayLike | None) -> Array | None:
        """A rate for each coordinate, (P,); None stays None."""
        if rate is None:
            return None
        return check.per_coordinate(rate, len(self.chart.coordinates), "rate", positive=True)

    def climb(self, rows: Array, x: Array, weights: Array | None, rate: Array | None) -> Climb:
        """One step of gradient EM of a batch, checked data, member by member."""
        point = Point(self.form, *self._referred(rows, None, self.chart.reference))
        return gradient_em_step(
            self.chart, self._pulled, self.point_at, rows, point, x, weights, rate
        )

    def _step(
        self,
        given: Coords,
        rows: Array,
        seen: Expected,
        notes: Mapping[int, str],
        free: Sequence[int] | None = None,
    ) -> Step:
        """What a step found, its multipliers and residual those of the coordinates ``free``."""
        c, count = self.chart, len(rows)
        everyone = np.arange(rows.shape[1])
        objective = objective_of(c, self.form, given.rows, seen, everyone)
        whole = np.concatenate([rows, given.rows[count:]])
        best = optimality(objective, whole, free)
        ends = [low > -np.inf or high < np.inf for low, high in zip(c.lower, c.upper, strict=True)]
        said = [
            note if not given.shape else f"member {b}: {note}" for b, note in sorted(notes.items())
        ]
        return Step.of(
            c.coordinates,
            rows,
            given.shape,
            objective.gain(whole),
            best.multipliers,
            best.residual,
            ends[:count],
            said,
        )

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

    def fit(self, x: ArrayLike, start: ArrayLike | str, method: str = "em", **options: Any) -> Fit:
        """Maximise the mean log-likelihood from one start or many, until no step gains more."""
        from relrep_sym.runtime.learn import learn

        return learn(self, x, start, method, **options)

    # -------------------------------------------------------------------------- inference

    def covariance(
        self,
        x: ArrayLike | None,
        coords: ArrayLike,
        kind: str = "observed",
        *,
        of: str = "coordinates",
        weights: ArrayLike | None = None,
        count: float | None = None,
    ) -> Array:
        """The estimated covariance of the maximum likelihood estimator, (…, Q, Q)."""
        return covariance(self, x, coords, kind, of, weights, count)

    def standard_errors(
        self,
        x: ArrayLike | None,
        coords: ArrayLike,
        kind: str = "observed",
        *,
        of: str = "coordinates",
        weights: ArrayLike | None = None,
        count: float | None = None,
    ) -> Array:
        """The square roots of its diagonal, (…, Q)."""
        return standard_errors(self, x, coords, kind, of, weights, count)

    def confidence_intervals(
        self,
        x: ArrayLike | None,
        coords: ArrayLike,
        level: float = 0.95,
        kind: str = "observed",
        *,
        of: str = "coordinates",
        weights: ArrayLike | None = None,
        count: float | None = None,
    ) -> Array:
        """Wald's intervals, (…, Q, 2)."""
        return confidence_intervals(self, x, coords, level, kind, of, weights, count)

    def criteria(
        self,
        x: ArrayLike,
        coords: ArrayLike,
        weights: ArrayLike | None = None,
        *,
        count: float | None = None,
    ) -> Criteria:
        """AIC and BIC."""
        return criteria(self, x, coords, weights, count)

    def sample(self, rng: np.random.Generator, n: int, coords: ArrayLike) -> Array:
        """n draws from the model, (…, n)."""
        given = self._coords(coords)
        found = self._components(given.rows)
        if self.chart.sampler is None:
            raise DomainError(self.chart.why["sample"])
        if not isinstance(rng, np.random.Generator):
            right = "a numpy.random.Generator, such as numpy.random.default_rng(0)"
            raise DataError(problem("rng is not a generator", type(rng).__name__, right))
        if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
            raise DataError(problem("n is not a number of draws", n, "an integer >= 1"))
        draw = self.chart.sampler
        out = np.empty((given.rows.shape[1], int(n)))
        for b, row in enumerate(out):
            edges = np.cumsum(found.weights[:, b])
            which = np.searchsorted(edges[:-1], rng.random(int(n)) * edges[-1], side="right")
            try:
                row[:] = draw(rng, *(p[which, b] for p in found.parameters))
            except ValueError as why:
                shown = ", ".join(
                    f"{n} = {p[:, b]}"
                    for n, p in zip(self.form.names, found.parameters, strict=True)
                )
                right = "parameters that NumPy's generator can draw from"
                raise DomainError(problem(f"no draw: {why}", shown, right)) from None
        return out.reshape(*given.shape, int(n))


def _columns_of_ends(chart: Chart, count: int) -> tuple[Array, Array, NDArray[np.bool_]]:
    """The ends of the coordinates' domains and which of the lower ones are open, (P, 1) each."""
    return _ends(chart.lower[:count], chart.upper[:count], chart.open_lower[:count])


@lru_cache(maxsize=64)
def _ends(
    lower: tuple[float, ...], upper: tuple[float, ...], strict: tuple[bool, ...]
) -> tuple[Array, Array, NDArray[np.bool_]]:
    low, high, open_ = (np.array(e)[:, None] for e in (lower, upper, strict))
    return low, high, open_.astype(bool)


def _columns(rows: Sequence[Array] | Array, given: Coords) -> Array:
    batch = given.rows.shape[1]
    out = np.empty((batch, len(rows)))
    for j, row in enumerate(rows):
        out[:, j] = row
    return out.reshape(*given.shape, len(rows))


def _scalars(values: Array, given: Coords) -> Array:
    return values.reshape(given.shape)[()]


def _filled(found: Array, out: Array | None) -> Array:
    if out is None:
        return found
    fits = isinstance(out, np.ndarray) and out.shape == found.shape and out.dtype == np.float64
    if not fits or not out.flags.writeable:
        raise DataError(
            problem(
                "out does not fit",
                f"{getattr(out, 'dtype', type(out).__name__)} {np.shape(out)}",
                f"writeable float64 {found.shape}",
            )
        )
    np.copyto(out, found)
    return out
