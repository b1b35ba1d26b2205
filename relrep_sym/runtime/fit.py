"""Fits: many starts at once under one iteration, each until it stops for a reason of its own.

In: a step of learning, starts and a weighted sample. Out: :class:`Fit`. All active members share
each pass over the sample; one that converges or fails drops out and leaves the others unharmed. Not
converged is a flag with a reason, never an exception, and never silent.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from time import monotonic
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from relrep_sym.errors import DataError, DomainError, problem
from relrep_sym.runtime import kernel
from relrep_sym.runtime.check import Array
from relrep_sym.runtime.ending import Judge, StepFunction
from relrep_sym.runtime.fitted import Callback, Fit, State, shaped
from relrep_sym.runtime.point import Point

__all__ = ["Options", "fit"]


class _Advance(NamedTuple):
    """One step of some members: the next coordinates (P, B), and the present log-likelihoods."""

    rows: Array
    log_likelihood: Array
    failures: dict[int, DomainError]
    notes: dict[int, str]


_ROUNDING = 2.0**-26
"""By how much of itself a mean log-likelihood can fall and it is rounding, also far from zero."""

_SADDLES = 8
"""Saddles that a fit leaves at most."""

_EVERY = 0.1
"""Seconds between two lines of progress."""


class Options(NamedTuple):
    """When a fit stops, and who is told on the way."""

    tol: float
    max_iter: int
    callback: Callback | None
    progress: bool
    blame: str = "the likelihood is not told beyond rounding there"

    @staticmethod
    def of(
        tol: object, max_iter: object, callback: object, progress: object, *, rated: bool = False
    ) -> Options:
        """The options of a fit, checked; ``rated`` says that steps have a rate of the user's."""
        number = isinstance(tol, int | float | np.integer | np.floating)
        if not number or isinstance(tol, bool) or not 0 <= tol < np.inf:  # type: ignore[operator]
            raise DataError(problem("tol is not a tolerance", tol, "a number >= 0"))
        whole = isinstance(max_iter, int | np.integer) and not isinstance(max_iter, bool)
        if not whole or max_iter < 1:  # type: ignore[operator]
            raise DataError(problem("max_iter is not a count", max_iter, "an integer >= 1"))
        if callback is not None and not callable(callback):
            right = "a function of a State, or None"
            raise DataError(problem("callback is not a function", callback, right))
        if not isinstance(progress, bool | np.bool_):
            raise DataError(problem("progress is not a switch", progress, "True or False"))
        blame = "as a rate that is too large does" if rated else Options._field_defaults["blame"]
        return Options(float(tol), int(max_iter), callback, bool(progress), blame)  # type: ignore[arg-type, call-overload]


def fit(
    step: StepFunction,
    point_at: Callable[[Array], Point],
    theta_of: Callable[[Array], dict[str, Array]],
    rows: Array,
    shape: tuple[int, ...],
    x: Array,
    weights: Array | None,
    options: Options,
    judge: Judge,
    *,
    count: int,
    size: float,
) -> Fit:
    """Step from each start until a step gains no more than ``tol`` in mean log-likelihood.

    ``rows`` (P + C, B) are the starts and the constants, ``count`` is P, ``shape`` the starts'
    leading axes, ``size`` how many observations there are; ``point_at`` makes a point of such rows,
    ``theta_of`` θ by name. ``judge`` says what the end points are: a fit that comes to rest at a
    saddle goes on from a higher point beside it, a few times.
    """
    run = _Run(step, point_at, rows, shape, x, weights, options, count)
    run.all(judge)
    parameters = {name: shaped(values, shape) for name, values in theta_of(run.rows).items()}
    history, path = run.history()
    return Fit(
        run.rows[:count].T.reshape(*shape, count).copy(),
        parameters,
        history.reshape(*shape, history.shape[-1]),
        path.reshape(*shape, *path.shape[1:]),
        shaped(run.iterations, shape),
        shaped(run.converged, shape),
        shaped(run.reasons, shape),
        shaped(run.valid, shape),
        shaped(run.notes(), shape),
        size,
    )


class _Run:
    """All members of a fit; ``going`` are those that have not stopped."""

    def __init__(
        self,
        step: StepFunction,
        point_at: Callable[[Array], Point],
        rows: Array,
        shape: tuple[int, ...],
        x: Array,
        weights: Array | None,
        options: Options,
        count: int,
    ) -> None:
        self.step, self.point_at, self.x, self.weights = step, point_at, x, weights
        self.shape, self.options, self.count = shape, options, count
        self.rows = rows.copy()
        size = rows.shape[1]
        self.going = np.arange(size)
        self.present = np.full(size, np.nan)
        self.iterations = np.zeros(size, dtype=np.intp)
        self.converged = np.zeros(size, dtype=bool)
        self.valid = np.ones(size, dtype=bool)
        self.reasons = np.full(size, "", dtype=object)
        self.resting = np.zeros(size, dtype=bool)
        self._seen: list[tuple[NDArray[np.intp], NDArray[np.intp], Array, Array]] = []
        self._notes: dict[int, dict[str, None]] = {}

    def all(self, judge: Judge) -> None:
        """Step until every member has stopped, and judge where; go on from beside a saddle."""
        ticker = _Ticker(self.options.max_iter) if self.options.progress else None
        # a start that is no mixture raises
        self._iterate(self.rows.copy(), self.point_at(self.rows), ticker)
        for turn in range(_SADDLES + 1):
            beside = self._ended(judge, last=turn == _SADDLES)
            if not beside:
                break
            self.going = np.array(sorted(beside), dtype=np.intp)
            rows = np.stack([beside[int(b)] for b in self.going], axis=1)
            self.iterations[self.going] += 1
            self.rows[:, self.going] = rows
            rows, point = self._pointed(rows)
            self._iterate(rows, point, ticker)
        if ticker is not None:
            ticker.close()

    def _iterate(self, rows: Array, point: Point | None, ticker: _Ticker | None) -> None:
        """Step those that are going until each has stopped."""
        most = int(self.iterations[self.going].max()) if self.going.size else 0
        while point is not None:
            taken = self._attempt(rows, point)
            first = not self._seen
            if first and np.isnan(taken.log_likelihood).all():
                raise taken.failures[0]  # nothing was found that a Fit could hold
            keep = self._judged(rows, taken, most)
            if ticker is not None:
                ticker.tell(most, self.going.size, self.present, over=not self.going.size)
            if self._told(most):
                self._stop(np.ones(self.going.size, bool), "stopped by the callback")
                self.resting[:] = False
                break
            if not self.going.size:
                break
            after = taken.rows
            if len(rows) > self.count:
                after = np.concatenate([after, rows[self.count :]])
            rows = after if keep is None else after[:, keep]
            rows, point = self._pointed(rows)
            self.rows[:, self.going] = rows
            self.iterations[self.going] += 1
            most += 1

    def _ended(self, judge: Judge, *, last: bool) -> dict[int, Array]:
        """What the members that came to rest have come to; points beside saddles by member."""
        which = np.flatnonzero(self.resting)
        self.resting[:] = False
        beside: dict[int, Array] = {}
        if not which.size:
            return beside
        for b, end in zip(which.tolist(), judge(self.rows[:, which]), strict=True):
            rested = self.converged[b]
            more = not last and self.iterations[b] < self.options.max_iter
            if end.kind == "saddle" and more and end.beside is not None:
                beside[b] = end.beside
                self.converged[b] = False
                said = f"a saddle of the likelihood was left after step {self.iterations[b]}"
                self._notes.setdefault(b, {})[said] = None
            elif end.kind in ("maximum", "unknown"):
                if rested:
                    self._notes.setdefault(b, {}).update(dict.fromkeys(end.notes))
            else:
                said = "the likelihood is higher beside this point: a saddle, no maximum"
                self.reasons[b] = "; ".join(end.notes or (said,)) + (
                    f" ({self.reasons[b]})" if end.kind != "no maximum" else ""
                )
                self.converged[b] = False
        return beside

    # ------------------------------------------------------------------------- one iteration

    def _attempt(self, rows: Array, point: Point) -> _Advance:
        """A step of these members and their present log-likelihoods.

        Where the whole batch raises, halves of it are tried, until it is known who it was.
        """
        try:
            taken = self.step(rows, point, self.x, self.weights)
        except DomainError as why:
            batch = rows.shape[1]
            if batch == 1:
                return self._failed(rows, point, why)
            half = batch // 2
            halves = [slice(0, half), slice(half, batch)]
            return _joined([self._attempt(rows[:, part], point.take(part)) for part in halves])
        value = taken.expected.found.log_likelihood
        return _Advance(taken.rows, value, taken.failures, taken.notes)

    def _failed(self, rows: Array, point: Point, why: DomainError) -> _Advance:
        """A member that raised, with its log-likelihood if it has one."""
        try:
            found = kernel.statistics(point, self.x, self.weights, want_log=True)
            value = found.log_likelihood
        except DomainError:
            value = np.full(1, np.nan)
        return _Advance(rows[: self.count], value, {0: why}, {})

    def _judged(self, rows: Array, taken: _Advance, most: int) -> NDArray[np.bool_] | None:
        """Note what a step found and stop those that are over; the rest, None where that is all."""
        going, options, values = self.going, self.options, taken.log_likelihood
        self._seen.append((going, self.iterations[going], values, rows[: self.count]))
        for member, note in taken.notes.items():
            self._notes.setdefault(int(going[member]), {})[note] = None
        over = np.zeros(going.size, dtype=bool)
        for failed, why in taken.failures.items():
            over[failed] = True
            self.reasons[going[failed]] = str(why)
            self.valid[going[failed]] = False
        gained = values - self.present[going]
        fell = gained < -np.maximum(options.tol, _ROUNDING * np.maximum(1.0, np.abs(values)))
        for b in np.flatnonzero(fell & ~over):
            over[b] = True
            lost = f"a step lowered the mean log-likelihood by {-gained[b]:.3g}: {options.blame}"
            self.reasons[going[b]] = lost
            self.resting[going[b]] = True
        small = gained <= options.tol
        if small.any():  # at the start nothing was gained: NaN is not small
            for b in np.flatnonzero(small & ~over):
                over[b] = True
                self.converged[going[b]] = self.resting[going[b]] = True
                self.reasons[going[b]] = f"a step gained {gained[b]:.3g} <= tol"
        self.present[going] = values
        if most >= options.max_iter:
            for b in np.flatnonzero(~over & (self.iterations[going] >= options.max_iter)):
                over[b] = True
                self.reasons[going[b]] = f"max_iter = {options.max_iter} steps were taken"
        if not over.any():
            return None
        self.going = going[~over]
        return ~over

    def _stop(self, which: NDArray[np.bool_], why: str) -> None:
        """Stop some of those that go on, and forget the others: all of them are over."""
        self.reasons[self.going[which]] = why
        self.going = self.going[:0]

    def _pointed(self, rows: Array) -> tuple[Array, Point | None]:
        """The members' points at new rows; those that have none stop where they were."""
        try:
            return rows, self.point_at(rows)
        except DomainError as why:
            if rows.shape[1] == 1:
                self.reasons[self.going] = str(why)
                self.valid[self.going] = False
                self.going = self.going[:0]
                return rows[:, :0], None
        everyone, kept = self.going, []
        for b in range(len(everyone)):  # rare: which of them it was
            self.going = everyone[b : b + 1]
            if self._pointed(rows[:, b : b + 1])[1] is not None:
                kept.append(b)
        self.going = everyone[kept]
        return rows[:, kept], self.point_at(rows[:, kept]) if kept else None

    # ------------------------------------------------------------------------- who is told

    def _told(self, iteration: int) -> bool:
        """Tell the callback; whether it says to stop."""
        if self.options.callback is None:
            return False
        active = np.zeros(self.rows.shape[1], dtype=bool)
        active[self.going] = True
        coords = self.rows[: self.count].T.reshape(*self.shape, self.count).copy()
        value = shaped(self.present.copy(), self.shape)
        answer = self.options.callback(State(iteration, coords, value, shaped(active, self.shape)))
        return isinstance(answer, bool | np.bool_) and bool(answer)

    def history(self) -> tuple[Array, Array]:
        """(B, T + 1) and (B, T + 1, P), NaN after a member's last iterate."""
        batch, most = self.rows.shape[1], int(self.iterations.max()) + 1
        values, path = np.full((batch, most), np.nan), np.full((batch, most, self.count), np.nan)
        for members, when, found, rows in self._seen:
            values[members, when] = found
            path[members, when] = rows.T
        path[np.arange(batch), self.iterations] = self.rows[: self.count].T
        return values, path

    def notes(self) -> NDArray[np.object_]:
        """Each member's notes in the order in which they came, each once."""
        out = np.empty(self.rows.shape[1], dtype=object)
        for b in range(len(out)):
            out[b] = tuple(self._notes.get(b, ()))
        return out


def _joined(parts: list[_Advance]) -> _Advance:
    """The steps of neighbouring parts of a batch as one."""
    failures: dict[int, DomainError] = {}
    notes: dict[int, str] = {}
    first = 0
    for part in parts:
        failures |= {first + b: why for b, why in part.failures.items()}
        notes |= {first + b: note for b, note in part.notes.items()}
        first += part.rows.shape[1]
    rows = np.concatenate([part.rows for part in parts], axis=1)
    return _Advance(rows, np.concatenate([p.log_likelihood for p in parts]), failures, notes)


class _Ticker:
    """One line on standard error that says how far the fit is."""

    def __init__(self, most: int) -> None:
        self.most, self.last, self.width = most, -np.inf, 0

    def tell(self, iteration: int, active: int, values: Array, *, over: bool) -> None:
        """Say it, if there was time enough since the last time."""
        now = monotonic()
        if not over and now - self.last < _EVERY:
            return
        self.last = now
        finite = values[np.isfinite(values)]
        best = f"{finite.max():.10g}" if finite.size else "not finite"
        head = f"iteration {iteration} of at most {self.most}"
        text = f"{head}: {active} of {values.size} active, mean log-likelihood {best}"
        sys.stderr.write("\r" + text.ljust(self.width))
        sys.stderr.flush()
        self.width = len(text)

    def close(self) -> None:
        """End the line."""
        sys.stderr.write("\n")
        sys.stderr.flush()
