"""Learning flows dλ/dt: many starts under one right-hand side, by SciPy's Runge–Kutta methods.

In: a solver, starts, a truth and times. Out: coordinates at those times, and the members that were
stopped. It needs SciPy, which its functions import. What a member's velocity is, and where it may
be, is in :mod:`.members`.

Every member keeps its own clock and its own step, as in a ``solve_ivp`` call of its own, and all
share each evaluation of the field: the equations do not know the time, so with h_m the step of
member m SciPy's stepper integrates dλ_m/ds = h_m f(λ_m) by steps of one in s. Whether a member's
step is accepted, and how long its next one is, follows SciPy's rule on its own error norm (root
mean square over its P coordinates, in units of ``atol + rtol |λ|``). One that is not leaves the
others unharmed.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from relrep_sym.errors import DataError, problem
from relrep_sym.runtime import check
from relrep_sym.runtime.check import Array, Coords
from relrep_sym.runtime.expectation import Nodes, Truth
from relrep_sym.runtime.members import Members, Stop

if TYPE_CHECKING:
    from relrep_sym.runtime.evaluated import Evaluated

__all__ = ["flow"]

_SHORTEST = 1e-12
"""The shortest step over the whole time: a member that needs a shorter one is stopped."""

_METHODS = ("DOP853", "RK45", "RK23")
"""Those of SciPy's methods whose steppers are explicit."""

_TOGETHER = 512
"""Members that are stepped at once."""

_SAFETY, _LEAST, _MOST = 0.9, 0.2, 10.0
"""How a step follows from the one before, as in SciPy."""


def flow(
    solver: Evaluated,
    start: Coords,
    truth: Truth | Nodes,
    times: ArrayLike,
    field: str = "gradient",
    *,
    rates: ArrayLike | None = None,
    method: str = "DOP853",
    rtol: float = 1e-8,
    atol: ArrayLike = 1e-10,
    rcond: float | None = None,
) -> tuple[Array, list[Stop], int]:
    """Coordinates at the times (…, len(times), P), the stops, and how many members were singular.

    What is wrong in the arguments raises DataError; what happens to a member on its way is in the
    stops, and its later entries are NaN.
    """
    count, size = len(solver.chart.coordinates), start.rows.shape[1]
    clock = _times(times)
    if field not in ("gradient", "natural"):
        raise DataError(problem("unknown field", field, '"gradient" or "natural"'))
    if method not in _METHODS:
        raise DataError(problem("unknown method", method, "one of " + ", ".join(_METHODS)))
    absolute = check.per_coordinate(atol, count, "atol", positive=False)
    speed = None if rates is None else check.per_coordinate(rates, count, "rates", positive=True)
    if not isinstance(rtol, int | float | np.number) or not 3e-14 <= rtol < 1:
        raise DataError(problem("rtol is no tolerance", rtol, "a number from 3e-14 to below 1"))

    out = np.full((size, len(clock), count), np.nan)
    stops, cut = [], 0
    for first in range(0, size, _TOGETHER):
        some = slice(first, min(first + _TOGETHER, size))
        members = Members(solver, start.rows[:, some], truth, field, speed, rcond)
        run = _Run(members, clock, _stepper(method), rtol, absolute, out[some])
        run.all()
        for m, name, when, coords, why in members.stopped:
            place = tuple(int(i) for i in np.unravel_index(first + m, start.shape or (1,)))
            which = place if start.shape else ()
            stops.append(Stop(which, name, float(clock[0]) + when, coords, why))
        cut += int(members.singular.sum())
    return out.reshape(*start.shape, len(clock), count), sorted(stops, key=_which), cut


def _which(stop: Stop) -> tuple[int, ...]:
    return stop.member


class _Run:
    """Some members on their way; tables are (P, M), and ``out`` is (M, len(times), P)."""

    def __init__(
        self, members: Members, clock: Array, stepper: Any, rtol: float, atol: Array, out: Array
    ) -> None:
        self.members, self.out = members, out
        self.past = clock - clock[0]  # no digits are lost to the origin of time
        self.end = float(self.past[-1])
        values = members.start
        out[:, 0] = values.T
        self.time = np.zeros(members.size)
        self.due = np.ones(members.size, dtype=np.intp)  # the next entry of out to fill
        self.rejected = np.zeros(members.size, dtype=bool)
        members.active[:] = self.end > 0
        if self.end > 0:
            scale = np.repeat(atol, members.size)
            self.stepper = stepper(members, values, rtol=rtol, atol=scale)
            self.velocity = members.begin()
            self.step = self._first_steps(values, rtol, atol[:, None])

    def _first_steps(self, values: Array, rtol: float, atol: Array) -> Array:
        """Steps to begin with, as in SciPy (Hairer, Nørsett and Wanner, section II.4)."""
        members, order = self.members, self.stepper.error_estimator_order
        scale = atol + np.abs(values) * rtol
        with np.errstate(all="ignore"):
            size, speed = _rms(values / scale), _rms(self.velocity / scale)
            short = np.where((size < 1e-5) | (speed < 1e-5), 1e-6, 0.01 * size / speed)
            short = np.minimum(short, self.end)
            bend = _rms((members.field_at(values + short * self.velocity) - self.velocity) / scale)
            most = np.fmax(speed, bend / short)
            step = np.where(
                most <= 1e-15, np.maximum(1e-6, short * 1e-3), (0.01 / most) ** (1 / (order + 1))
            )
        return np.fmin(np.fmin(100 * short, step), self.end)

    def all(self) -> None:
        """Go on until every member is at the end, or was stopped."""
        while self.members.active.any():
            self._once()

    def _once(self) -> None:
        """One step of every active member, each its own."""
        members, stepper = self.members, self.stepper
        active = members.active.copy()
        left = self.end - self.time
        last = self.step >= left
        self.step = np.where(last, left, self.step)
        members.steps = np.where(active, self.step, 0.0)
        members.table(stepper.f)[:] = np.where(active, self.velocity * members.steps, 0.0)
        before = members.table(stepper.y).copy()
        members.forget()
        stepper.step()
        values, velocity = members.table(stepper.y), members.velocity
        norms = stepper.norms
        good = active & (norms < 1)
        after = np.where(last, self.end, self.time + self.step)
        self._record(np.flatnonzero(good), values, after)
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = np.fmax(_SAFETY * norms**stepper.error_exponent, _LEAST)
        factor = np.where(good, np.fmin(factor, np.where(self.rejected, 1.0, _MOST)), factor)
        for m in np.flatnonzero(active & ~good & (self.step <= _SHORTEST * self.end)):
            why = members.heading(int(m), before[:, m], self.velocity[:, m], self.end)
            members.stop(int(m), self.time[m], before[:, m], why)
        self.step *= np.where(active, factor, 1.0)
        self.rejected = active & ~good
        self.time = np.where(good, after, self.time)
        self.velocity = np.where(good, velocity, self.velocity)
        values[:, ~good] = before[:, ~good]  # the stepper goes on from here
        members.active &= self.time < self.end

    # ------------------------------------------------------------------------- what is written

    def _record(self, good: NDArray[np.intp], values: Array, after: Array) -> None:
        """Write what fell due in accepted steps; stop members seen outside, where they crossed."""
        members = self.members
        inside = np.ones(members.size, dtype=bool)
        inside[good] = members.inside(values[:, good], good)
        upto = np.searchsorted(self.past, after, side="right")
        upto[inside & (self.past[upto - 1] == after)] -= 1  # what is due at the end is known
        upto = np.maximum(upto, self.due)
        who = np.repeat(good, (upto - self.due)[good])
        when = np.concatenate([np.arange(self.due[m], upto[m]) for m in good] or [good])
        if len(who) or not inside[good].all():
            dense = self._dense(np.union1d(who, good[~inside[good]]))
            fraction = (self.past[when] - self.time[who]) / self.step[who]
            seen = self._there(dense, fraction, who)
            fine = members.inside(seen, who)
            for m in good[~inside[good]].tolist() + sorted(set(who[~fine & inside[who]].tolist())):
                mine = np.flatnonzero(who == m)
                first = mine[~fine[mine]][:1]
                kept = mine[mine < first[0]] if len(first) else mine
                low = float(fraction[kept[-1]]) if len(kept) else 0.0
                high = float(fraction[first[0]]) if len(first) else 1.0
                self._stop(dense, m, low, high, seen[:, first[0]] if len(first) else values[:, m])
                fine[mine[len(kept) :]] = False
                inside[m] = False
            self.out[who[fine], when[fine]] = members.clipped(seen[:, fine]).T
        self.due[good] = upto[good]
        there = good[
            inside[good] & (self.past[np.minimum(upto, len(self.past) - 1)] == after)[good]
        ]
        self.out[there, upto[there]] = members.clipped(values[:, there]).T
        self.due[there] += 1

    def _dense(self, who: NDArray[np.intp]) -> Any:
        """SciPy's continuous output of the step; the field is evaluated for these members only."""
        members = self.members
        active, members.active = members.active, np.isin(np.arange(members.size), who)
        dense = self.stepper.dense_output()
        members.active = active
        return dense

    def _there(self, dense: Any, fraction: Array, who: NDArray[np.intp]) -> Array:
        """Coordinates (P, n) of members at fractions of their steps."""
        found = np.empty((self.members.count, len(who)))
        for i in range(0, len(who), 256):
            some = slice(i, i + 256)
            columns = dense(dense.t_old + fraction[some])
            table = columns.reshape(self.members.count, self.members.size, -1)
            found[:, some] = table[:, who[some], np.arange(len(who[some]))]
        return found

    def _stop(self, dense: Any, m: int, low: float, high: float, there: Array) -> None:
        """Stop a member: inside at a fraction ``low`` of its step, outside at ``high``."""
        from scipy.optimize import brentq

        members, one = self.members, np.array([m])

        def at(fraction: float) -> Array:
            return self._there(dense, np.array([fraction]), one)[:, 0]

        ends = members.margin(at(low), m), members.margin(at(high), m)
        crossed = low if ends[0] <= 0 else high
        if ends[1] < 0 < ends[0]:
            crossed = brentq(lambda f: members.margin(at(f), m), low, high, xtol=1e-15, rtol=1e-15)
        time = float(self.time[m] + crossed * self.step[m])
        members.stop(m, time, at(crossed), members.outside(there, m))


# ------------------------------------------------------------------------------- SciPy's steppers


class _Own:
    """What is changed in SciPy's steppers: a step of one is taken, and each member's norm kept."""

    norms: Array

    def __init__(self, members: Members, values: Array, **tolerances: Any) -> None:
        self.members = members
        super().__init__(  # type: ignore[call-arg]
            members.velocities, 0.0, values.ravel(), np.inf, first_step=1.0, max_step=1.0,
            **tolerances,
        )  # fmt: skip

    def _estimate_error_norm(self, stages: Array, _: float, scale: Array) -> float:
        with np.errstate(all="ignore"):
            self.norms = self._each(stages, scale)
        return 0.0  # whose step counts is decided member by member

    def _each(self, stages: Array, scale: Array) -> Array:
        return _rms(self.members.table(self.E @ stages / scale))  # type: ignore[attr-defined]


class _OwnOfTwo(_Own):
    """The same for DOP853, whose norm is made of two estimates."""

    def _each(self, stages: Array, scale: Array) -> Array:
        both = (self.E5, self.E3)  # type: ignore[attr-defined]
        fifth, third = (_rms(self.members.table(e @ stages / scale)) for e in both)
        together = np.hypot(fifth, 0.1 * third)
        return np.where(together == 0.0, 0.0, fifth * (fifth / together))


@cache
def _stepper(method: str) -> Any:
    """SciPy's stepper of that name, changed."""
    from scipy import integrate

    own = _OwnOfTwo if method == "DOP853" else _Own
    return type(f"_{method}", (own, getattr(integrate, method)), {})


def _rms(table: Array) -> Array:
    """The root mean square of each column."""
    found: Array = np.sqrt((table * table).mean(axis=0))
    return found


# ------------------------------------------------------------------------------- arguments


def _times(times: ArrayLike) -> Array:
    clock = check.numbers(times, "times")
    if clock.ndim != 1 or not clock.size:
        right = "shape (n,), the first the time of the start"
        raise DataError(problem("times has the wrong shape", f"shape {clock.shape}", right))
    if not (np.diff(clock) > 0).all():
        n = int(np.argmin(np.diff(clock) > 0))
        given = f"times[{n}] = {clock[n]}, times[{n + 1}] = {clock[n + 1]}"
        raise DataError(problem("times do not ascend", given, "each later than the one before"))
    return clock
