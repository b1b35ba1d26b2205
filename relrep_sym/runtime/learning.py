"""The steps of learning of a model in a chart: EM, ECM, gradient EM, and fits by them.

In: :class:`~relrep_sym.runtime.evaluated.Evaluated`. Out: :class:`Learning`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from relrep_sym.runtime import check
from relrep_sym.runtime.check import Array, Coords, Entries
from relrep_sym.runtime.ecm import Order, ecm_step
from relrep_sym.runtime.edges import insist_slopes
from relrep_sym.runtime.em import Expected, em_step, objective_between
from relrep_sym.runtime.evaluated import Evaluated
from relrep_sym.runtime.fitted import Fit
from relrep_sym.runtime.gradient_em import Climb, gradient_em_step, step_of
from relrep_sym.runtime.mapped import columns
from relrep_sym.runtime.rates import Rates, ecm_rates
from relrep_sym.runtime.stationary import optimality
from relrep_sym.runtime.step import Step
from relrep_sym.runtime.units import in_units

__all__ = ["Learning"]


class Learning(Evaluated):
    """A model in a chart, and how it learns."""

    @in_units("coords")
    def em_step(
        self,
        x: ArrayLike,
        coords: Entries,
        weights: ArrayLike | None = None,
        *,
        full_output: bool = False,
    ) -> Array | Step:
        """One E-step, then the joint maximiser of Q over the chart's closed domain, (…, P)."""
        points = check.sample(x, self.form.support)
        given, point = self.point(coords)
        insist_slopes(self.chart, point, points)
        share = check.sample_weights(weights, points.size)
        taken = em_step(self.chart, self._preimage, given.rows, point, points, share)
        taken.insist()
        if full_output:
            return self._step(given, taken.rows, taken.expected, taken.notes)
        return columns(taken.rows, given)

    @in_units("coords")
    def ecm_step(
        self,
        x: ArrayLike,
        coords: Entries,
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
        insist_slopes(self.chart, point, points)
        share = check.sample_weights(weights, points.size)
        found = ecm_step(
            self.chart,
            given.rows,
            point,
            points,
            share,
            chosen,
            preimage=self._preimage,
            watch=full_output,
        )
        found.taken.insist()
        if not full_output:
            return columns(found.taken.rows, given)
        made = self._step(given, found.taken.rows, found.taken.expected, found.taken.notes)
        return replace(
            made,
            multipliers={
                n: found.multipliers[self.chart.coordinates.index(n)].reshape(given.shape)[()]
                for n in made.multipliers
            },
            residual=found.residual.reshape(given.shape)[()],
        )

    @in_units("same")
    def ecm_rates(
        self,
        x: ArrayLike,
        coords: Entries,
        order: object = None,
        sweeps: int = 1,
        *,
        weights: ArrayLike | None = None,
    ) -> Rates:
        """How fast EM and ECM converge near a fixed point."""
        return ecm_rates(self, x, coords, order, sweeps, weights)

    @in_units("coords")
    def gradient_em_step(
        self,
        x: ArrayLike,
        coords: Entries,
        rate: ArrayLike | None = None,
        *,
        weights: ArrayLike | None = None,
        full_output: bool = False,
    ) -> Array | Step:
        """One step uphill on Q: at a rate, the chart's safe one, or a line search's, (…, P)."""
        points = check.sample(x, self.form.support)
        given, point = self.point(coords)
        insist_slopes(self.chart, point, points)
        share = check.sample_weights(weights, points.size)
        found = self.climb(given.rows, points, share, self.rates(rate))
        found.taken.insist()
        if full_output:
            return step_of(self.chart, self.point_at, given, found, points, share)
        return columns(found.taken.rows, given)

    def rates(self, rate: ArrayLike | None) -> Array | None:
        """A rate for each coordinate, (P,); None stays None."""
        if rate is None:
            return None
        return check.per_coordinate(rate, len(self.chart.coordinates), "rate", positive=True)

    def climb(self, rows: Array, x: Array, weights: Array | None, rate: Array | None) -> Climb:
        """One step of gradient EM of a batch, checked data, member by member."""
        point = self._pointed(rows)
        return gradient_em_step(
            self.chart, self._pulled, self.point_at, rows, point, x, weights, rate
        )

    @np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore")
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
        whole = np.concatenate([rows, given.rows[count:]])
        objective = objective_between(c, self.form, given.rows, seen, whole)
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

    @in_units("fit")
    def fit(self, x: ArrayLike, start: Entries | str, method: str = "em", **options: Any) -> Fit:
        """Maximise the mean log-likelihood from one start or many, until no step gains more."""
        from relrep_sym.runtime.learn import learn

        return learn(self, x, start, method, **options)
