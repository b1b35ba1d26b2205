"""The functions of a generated module, over the generated chart and form.

In: a :class:`~relrep_sym.runtime.chart.Chart` and a :class:`~relrep_sym.runtime.point.Form`, both
made of generated functions. Out: :class:`Solver`, whose methods a generated module gives out under
its own docstrings. Checks what comes in, broadcasts over leading axes, and leaves the work to the
kernel: the map (:mod:`.mapped`), expectations (:mod:`.evaluated`), steps (:mod:`.learning`), and
here inference and draws.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from relrep_sym.errors import DataError, DomainError, problem
from relrep_sym.runtime import check
from relrep_sym.runtime.check import Array, Entries
from relrep_sym.runtime.criteria import Criteria
from relrep_sym.runtime.inference import covariance, criteria, standard_errors
from relrep_sym.runtime.intervals import confidence_intervals
from relrep_sym.runtime.learning import Learning
from relrep_sym.runtime.units import in_units

__all__ = ["Solver"]


class Solver(Learning):
    """A model in a chart, ready to compute."""

    # -------------------------------------------------------------------------- inference

    @in_units("covariance")
    def covariance(
        self,
        x: ArrayLike | None,
        coords: Entries,
        kind: str = "observed",
        *,
        of: str = "coordinates",
        weights: ArrayLike | None = None,
        count: float | None = None,
    ) -> Array:
        """The estimated covariance of the maximum likelihood estimator, (…, Q, Q)."""
        return covariance(self, x, coords, kind, of, weights, count)

    @in_units("errors")
    def standard_errors(
        self,
        x: ArrayLike | None,
        coords: Entries,
        kind: str = "observed",
        *,
        of: str = "coordinates",
        weights: ArrayLike | None = None,
        count: float | None = None,
    ) -> Array:
        """The square roots of its diagonal, (…, Q)."""
        return standard_errors(self, x, coords, kind, of, weights, count)

    @in_units("intervals")
    def confidence_intervals(
        self,
        x: ArrayLike | None,
        coords: Entries,
        level: float = 0.95,
        kind: str = "observed",
        *,
        of: str = "coordinates",
        weights: ArrayLike | None = None,
        count: float | None = None,
    ) -> Array:
        """Wald's intervals, (…, Q, 2)."""
        return confidence_intervals(self, x, coords, level, kind, of, weights, count)

    @in_units("same")
    def criteria(
        self,
        x: ArrayLike,
        coords: Entries,
        weights: ArrayLike | None = None,
        *,
        count: float | None = None,
    ) -> Criteria:
        """AIC and BIC."""
        return criteria(self, x, coords, weights, count)

    def sample(self, coords: Entries, n: int, *, rng: int | np.random.Generator = 0) -> Array:
        """n draws from the model, (…, n)."""
        given = self._coords(coords)
        found = self._components(given.rows)
        if self.chart.sampler is None:
            raise DomainError(self.chart.why["sample"])
        source = check.generator(rng)
        if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
            raise DataError(problem("n is not a number of draws", n, "an integer >= 1"))
        draw = self.chart.sampler
        out = np.empty((given.rows.shape[1], int(n)))
        for b, row in enumerate(out):
            edges = np.cumsum(found.weights[:, b])
            which = np.searchsorted(edges[:-1], source.random(int(n)) * edges[-1], side="right")
            try:
                row[:] = draw(source, *(p[which, b] for p in found.parameters))
            except ValueError as why:
                shown = ", ".join(
                    f"{n} = {p[:, b]}"
                    for n, p in zip(self.form.names, found.parameters, strict=True)
                )
                right = "parameters that NumPy's generator can draw from"
                raise DomainError(problem(f"no draw: {why}", shown, right)) from None
        return out.reshape(*given.shape, int(n))
