"""What fits found: :class:`Fit`, of one start or of many, and :class:`State` on the way.

In: coordinates, histories and reasons by member. Out: one frozen record, whose entries are plain
numbers for one start and arrays over the starts' leading axes for many.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relrep_sym.errors import DataError, DomainError, problem
from relrep_sym.runtime.check import Array
from relrep_sym.runtime.criteria import Criteria, information_criteria

__all__ = ["Callback", "Fit", "State", "shaped"]


@dataclass(frozen=True)
class State:
    """Where a fit is, as a callback sees it; its arrays are copies.

    Attributes:
        iteration: how many steps were taken: 0 at the start.
        coords: the present coordinates, (…, P); of members that have stopped, their last.
        log_likelihood: the mean log-likelihood there, (…,).
        active: which members go on, (…,).
    """

    iteration: int
    coords: Array
    log_likelihood: Any
    active: Any


Callback = Callable[[State], object]
"""What is called at the start and after each iteration; its answer True stops the fit."""


@dataclass(frozen=True)
class Fit:
    """What a fit found: numbers for one start, arrays over the leading axes for many.

    ``found[i]`` is the fit of one of many starts, by an index of the leading axes.

    Attributes:
        coords: the last coordinates, (…, P).
        parameters: θ by name, (…,) each.
        history: mean log-likelihood at the start and after each iteration, (…, T + 1): T
            iterations in the longest fit, and NaN after the last of a shorter one.
        iterations: how many steps were taken, (…,).
        path: the coordinates of every iterate, the start included, (…, T + 1, P), NaN as in
            ``history``.
        converged: whether the fit ended at a local maximum of the likelihood over the chart's
            closed domain: the last step gained no more than ``tol``, no free coordinate slopes by
            more than that explains, and the observed Hessian does not rise along a free direction.
            A saddle, a likelihood that rises towards an end without reaching it, and a slope that
            is left are none; ``reason`` says which.
        reason: why the fit stopped, in words.
        valid: whether no step failed: False where the likelihood has no maximum on the way (an
            empty component, a scale that collapses).
        notes: what else there is to say of the steps, a tuple of sentences.
        size: N in :attr:`bic`: ``count``, or how many points have a positive weight. Weights are
            normalised, so their sum does not count observations.
    """

    coords: Array
    parameters: dict[str, Any]
    history: Array = field(repr=False)
    path: Array = field(repr=False)
    iterations: Any
    converged: Any
    reason: Any
    valid: Any = True
    notes: Any = ()
    size: float = field(default=1, repr=False)

    def __repr__(self) -> str:
        count = np.size(self.converged)
        if np.ndim(self.converged):
            done, mean = np.count_nonzero(self.converged), np.asarray(self.log_likelihood)
            valid = mean[np.asarray(self.valid) & np.isfinite(mean)]
            best = f"{valid.max():.10g}" if valid.size else "none"
            said = f"{count} starts, {done} converged; best mean log-likelihood {best}"
        else:
            mark = "converged" if self.converged else f"NOT converged ({self.reason})"
            noted = "" if not self.notes else f", {len(self.notes)} notes"
            said = (
                f"{mark}, {self.iterations} iterations{noted}; mean log-likelihood "
                f"{self.log_likelihood:.10g};\n {_listed(self.parameters)}"
            )
        return f"<Fit: {said}>"

    def _repr_html_(self) -> str:
        """θ as a table, for a notebook."""
        said = repr(self)[1:-1].partition("\n")[0].rstrip(";")
        if np.ndim(self.converged):
            return f"<p>{said}</p>"
        pairs = self.parameters.items()
        rows = "".join(f"<tr><td>{n}</td><td>{float(v):.6g}</td></tr>" for n, v in pairs)
        return f"<p>{said}</p><table>{rows}</table>"

    @property
    def log_likelihood(self) -> Any:
        """Mean log-likelihood at :attr:`coords`, (…,)."""
        last = np.expand_dims(np.asarray(self.iterations), -1)
        found = np.take_along_axis(self.history, last, axis=-1)[..., 0]
        return float(found) if found.ndim == 0 else found

    @property
    def aic(self) -> Any:
        """Akaike's criterion 2P − 2 N L, L the mean log-likelihood and P the coordinates learned.

        The lower the better, (…,).
        """
        return self._criteria.aic

    @property
    def bic(self) -> Any:
        """Schwarz's criterion P ln N − 2 N L, as :attr:`aic`, (…,)."""
        return self._criteria.bic

    @property
    def _criteria(self) -> Criteria:
        return information_criteria(self.log_likelihood, self.coords.shape[-1], self.size)

    @property
    def best(self) -> Fit:
        """The valid fit of highest likelihood; DomainError where every one has failed."""
        if np.ndim(self.converged) == 0:
            return self
        value = np.where(self.valid, self.log_likelihood, -np.inf)
        value = np.where(np.isnan(value), -np.inf, value)
        if not np.isfinite(value).any():
            first = next(iter(self.reason.flat))
            raise DomainError(
                problem(f"none of {value.size} fits is valid", first, "other starts, or a floor")
            )
        place = np.unravel_index(int(value.argmax()), value.shape)
        return self[tuple(int(i) for i in place)]

    def __getitem__(self, index: int | tuple[int, ...]) -> Fit:
        """The fit of one member, by its index in the leading axes."""
        shape = np.shape(self.converged)
        place = index if isinstance(index, tuple) else (index,)
        if len(place) != len(shape):
            right = f"an index of shape {shape}" if shape else "a fit of many starts"
            raise DataError(problem("no such member of a fit", index, right))
        iterations = int(self.iterations[place])
        return Fit(
            self.coords[place].copy(),
            {name: float(values[place]) for name, values in self.parameters.items()},
            self.history[place][: iterations + 1].copy(),
            self.path[place][: iterations + 1].copy(),
            iterations,
            bool(self.converged[place]),
            str(self.reason[place]),
            bool(self.valid[place]),
            self.notes[place],
            self.size,
        )


def _listed(parameters: dict[str, Any]) -> str:
    """θ on a line, its middle left out where it is long."""
    shown = [f"{name} = {float(value):.6g}" for name, value in parameters.items()]
    if len(shown) > 8:
        shown = [*shown[:7], "…", shown[-1]]
    return ", ".join(shown)


def shaped(flat: NDArray[Any], shape: tuple[int, ...]) -> Any:
    """Entries by member as they are given out: a plain number for one start."""
    return flat.reshape(shape) if shape else flat[0].item() if flat.dtype != object else flat[0]
