"""Learning flows dλ/dt: many starts under one right-hand side, each with its own step.

In: a solver, starts, a truth and times. Out: coordinates at those times, and the members that were
stopped. What a member's velocity is, and where it may be, is in :mod:`.members`.

Every member keeps its own clock and its own step, as in a ``solve_ivp`` call of its own, and all
share each evaluation of the field (:mod:`.explicit`). Whether a member's step is accepted, and how
long its next one is, follows SciPy's rule on its own error norm: the root mean square over its P
coordinates, in units of ``atol`` times the coordinate's size (:mod:`.scales`) plus ``rtol |λ|``.
A member whose steps stability bounds, with many of them still to go, is stiff: it goes on alone by
an implicit method (:mod:`.stiff`). Every member has a bound on its evaluations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from relrep_sym.errors import DataError, problem
from relrep_sym.runtime import check
from relrep_sym.runtime.check import Array, Coords
from relrep_sym.runtime.expectation import Nodes, Truth
from relrep_sym.runtime.explicit import Dense, Stepper, rms
from relrep_sym.runtime.members import Members, Stop
from relrep_sym.runtime.scales import scales
from relrep_sym.runtime.stiff import crossing, follow
from relrep_sym.runtime.tableaux import TABLEAUX

if TYPE_CHECKING:
    from relrep_sym.runtime.evaluated import Evaluated

__all__ = ["flow"]

_SHORTEST = 1e-12
"""The shortest step over the whole time: a member that needs a shorter one is stopped."""

_METHODS = ("auto", "DOP853", "RK45", "RK23", "Radau")

_TOGETHER = 512
"""Members that are stepped at once."""

_SAFETY, _LEAST, _MOST = 0.9, 0.2, 10.0
"""How a step follows from the one before, as in SciPy."""

_STIFF, _SMOOTH, _LEFT, _TURNED = 15, 6, 100, 3
"""Steps bounded by stability that make a member stiff, steps in a row without that make it none,
and the steps that must still be ahead (Hairer and Wanner); steps that an error led beyond an end of
the domain."""


def flow(
    solver: Evaluated,
    start: Coords,
    truth: Truth | Nodes,
    times: ArrayLike,
    field: str = "gradient",
    *,
    rates: ArrayLike | None = None,
    method: str = "auto",
    rtol: float = 1e-8,
    atol: ArrayLike = 1e-10,
    rcond: float | None = None,
    max_evaluations: int = 20_000,
) -> tuple[Array, list[Stop], int]:
    """Coordinates at the times (…, len(times), P), the stops, and how many members were singular.

    Times ascend, or descend: then the flow is followed backwards. What is wrong in the arguments
    raises DataError; what happens to a member on its way is in the stops, and its later entries
    are NaN.
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
    whole = isinstance(max_evaluations, int | np.integer) and not isinstance(max_evaluations, bool)
    if not whole or max_evaluations < 1:
        right = "a positive whole number"
        raise DataError(problem("max_evaluations is no count", max_evaluations, right))
    sign = -1.0 if len(clock) > 1 and clock[1] < clock[0] else 1.0
    if sign < 0:
        speed = -(np.ones(count) if speed is None else speed)

    out = np.full((size, len(clock), count), np.nan)
    stops, cut = [], 0
    for first in range(0, size, _TOGETHER):
        some = slice(first, min(first + _TOGETHER, size))
        rows = start.rows[:, some]
        members = Members(solver, rows, truth, field, speed, rcond, int(max_evaluations))
        if len(clock) > 1:
            least = absolute[:, None] * scales(solver, rows, truth)
            _Run(members, sign * (clock - clock[0]), method, rtol, least, out[some]).all()
        else:
            out[some, 0] = members.start.T
        for m, name, when, coords, why in members.stopped:
            place = tuple(int(i) for i in np.unravel_index(first + m, start.shape or (1,)))
            which = place if start.shape else ()
            stops.append(Stop(which, name, float(clock[0]) + sign * when, coords, why))
        cut += int(members.singular.sum())
    return out.reshape(*start.shape, len(clock), count), sorted(stops, key=_which), cut


def _which(stop: Stop) -> tuple[int, ...]:
    return stop.member


class _Run:
    """Some members on their way; tables are (P, M), and ``out`` is (M, len(times), P).

    ``past`` are the times since the start, so that no digits are lost to the origin of time.
    """

    def __init__(
        self, members: Members, past: Array, method: str, rtol: float, atol: Array, out: Array
    ) -> None:
        self.members, self.out, self.past = members, out, past
        self.rtol, self.atol, self.method = rtol, atol, method
        self.end = float(past[-1])
        self.values = members.start.copy()
        out[:, 0] = self.values.T
        size = members.size
        self.time = np.zeros(size)
        self.due = np.ones(size, dtype=np.intp)  # the next entry of out to fill
        self.rejected = np.zeros(size, dtype=bool)
        self.stiff, self.smooth = np.zeros(size, dtype=np.intp), np.zeros(size, dtype=np.intp)
        self.turned = np.zeros(size, dtype=np.intp)  # steps that led beyond an end by an error
        tableau = TABLEAUX[method if method in TABLEAUX else "DOP853"]
        self.stepper = Stepper(tableau, self.values.shape)
        self.velocity = members.begin()
        self.step = self._first_steps()

    def _first_steps(self) -> Array:
        """Steps to begin with, as in SciPy (Hairer, Nørsett and Wanner, section II.4)."""
        members, order = self.members, self.stepper.tableau.order
        scale = self.atol + np.abs(self.values) * self.rtol
        with np.errstate(all="ignore"):
            size, speed = rms(self.values / scale), rms(self.velocity / scale)
            short = np.where((size < 1e-5) | (speed < 1e-5), 1e-6 * self.end, 0.01 * size / speed)
            short = np.minimum(short, self.end)
            ahead = members.field_at(self.values + short * self.velocity)
            most = np.fmax(speed, rms((ahead - self.velocity) / scale) / short)
            step = np.where(
                most * self.end <= 1e-15, 1e-3 * short, (0.01 / most) ** (1 / (order + 1))
            )
        return np.fmin(np.fmin(100 * short, step), self.end)

    def all(self) -> None:
        """Go on until every member is at the end, or was stopped."""
        if self.method == "Radau":
            for m in np.flatnonzero(self.members.active):
                self._implicitly(int(m))
        while self.members.active.any():
            self._once()

    def _once(self) -> None:
        """One step of every active member, each its own."""
        members, stepper = self.members, self.stepper
        active = members.active.copy()
        left = self.end - self.time
        last = self.step >= left
        self.step = np.where(last, left, self.step)
        before, start = self.values, np.where(active, self.velocity, 0.0)
        members.forget()
        after = stepper.step(members.field_at, before, start, np.where(active, self.step, 0.0))
        with np.errstate(all="ignore"):
            scale = self.atol + np.maximum(np.abs(before), np.abs(after)) * self.rtol
        norms = stepper.norms(scale)
        good = active & (norms < 1)
        then = np.where(last, self.end, self.time + self.step)
        inside = ~good
        inside[good] = members.inside(after[:, good], np.flatnonzero(good))
        for m in np.flatnonzero(~inside):  # computed beyond an end from which the field leads back
            if not members.leaving(after[:, m], stepper.velocity[:, m], int(m)):
                good[m], inside[m], norms[m] = False, True, np.inf
                self.turned[m] += 1
        self._record(np.flatnonzero(good), after, then, inside)
        with np.errstate(divide="ignore", invalid="ignore"):
            exponent = -1.0 / (stepper.tableau.order + 1)
            factor = np.fmax(_SAFETY * norms**exponent, _LEAST)
        factor = np.where(good, np.fmin(factor, np.where(self.rejected, 1.0, _MOST)), factor)
        for m in np.flatnonzero(active & ~good & (self.step <= _SHORTEST * self.end)):
            why = members.heading(int(m), before[:, m], self.velocity[:, m], self.end)
            members.stop(int(m), self.time[m], before[:, m], why)
        stiff = self._stiff(good, scale, left)
        self.step = self.step * np.where(active, factor, 1.0)
        self.rejected = active & ~good
        self.time = np.where(good, then, self.time)
        self.velocity = np.where(good, stepper.velocity, self.velocity)
        self.values = np.where(good, after, before)
        members.active &= self.time < self.end
        for m in np.flatnonzero(stiff & members.active):
            self._implicitly(int(m))
        for m in np.flatnonzero(members.active & (members.evaluations >= members.most)):
            members.stop(int(m), self.time[m], self.values[:, m], members.spent(int(m)))

    def _stiff(self, good: NDArray[np.bool_], scale: Array, left: Array) -> NDArray[np.bool_]:
        """Members whose accepted steps are as long as stability allows, again and again."""
        if self.method != "auto":
            return np.zeros_like(good)
        bounded = self.stepper.stiffness(scale) > self.stepper.tableau.limit
        self.smooth = np.where(good, np.where(bounded, 0, self.smooth + 1), self.smooth)
        counted = np.where(self.smooth >= _SMOOTH, 0, self.stiff + bounded)
        self.stiff = np.where(good, counted, self.stiff)
        along = self.turned >= _TURNED  # an end that attracts and is not reached
        return ((self.stiff >= _STIFF) & (left > _LEFT * self.step)) | along

    def _implicitly(self, m: int) -> None:
        """Follow one member to the end by the implicit method."""
        due = self.past[self.due[m] :]
        found = follow(
            self.members, m, float(self.time[m]), self.values[:, m], float(self.step[m]),
            due, self.rtol, self.atol[:, m],
        )  # fmt: skip
        for n, row in enumerate(found, self.due[m]):
            self.out[m, n] = row
        self.members.active[m] = False

    # ------------------------------------------------------------------------- what is written

    def _record(
        self, good: NDArray[np.intp], values: Array, after: Array, inside: NDArray[np.bool_]
    ) -> None:
        """Write what fell due in accepted steps; stop members seen outside, where they crossed."""
        members = self.members
        upto = np.searchsorted(self.past, after, side="right")
        upto[inside & (self.past[upto - 1] == after)] -= 1  # what is due at the end is known
        upto = np.maximum(upto, self.due)
        who = np.repeat(good, (upto - self.due)[good])
        when = np.concatenate([np.arange(self.due[m], upto[m]) for m in good] or [good])
        if len(who) or not inside[good].all():
            dense = self._dense(np.union1d(who, good[~inside[good]]))
            fraction = (self.past[when] - self.time[who]) / self.step[who]
            seen = dense(fraction, who)
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

    def _dense(self, who: NDArray[np.intp]) -> Dense:
        """The step's interpolant; the field is evaluated for these members only."""
        members = self.members
        active, members.active = members.active, np.isin(np.arange(members.size), who)
        dense = self.stepper.dense(members.field_at)
        members.active = active
        return dense

    def _stop(self, dense: Dense, m: int, low: float, high: float, there: Array) -> None:
        """Stop a member: inside at a fraction ``low`` of its step, outside at ``high``."""
        members, one = self.members, np.array([m])

        def at(fraction: float) -> Array:
            return dense(np.array([fraction]), one)[:, 0]

        crossed = crossing(lambda f: members.margin(at(f), m), low, high)
        time = float(self.time[m] + crossed * self.step[m])
        members.stop(m, time, at(crossed), members.outside(there, m))


# ------------------------------------------------------------------------------- arguments


def _times(times: ArrayLike) -> Array:
    clock = check.numbers(times, "times")
    if clock.ndim != 1 or not clock.size:
        right = "shape (n,), the first the time of the start"
        raise DataError(problem("times has the wrong shape", f"shape {clock.shape}", right))
    if len(clock) > 1:
        steps = np.diff(clock) * (-1.0 if clock[1] < clock[0] else 1.0)
        if not (steps > 0).all():
            n = int(np.argmin(steps > 0))
            given = f"times[{n}] = {clock[n]}, times[{n + 1}] = {clock[n + 1]}"
            right = "each later than the one before, or each earlier"
            raise DataError(problem("times neither ascend nor descend", given, right))
    return clock
