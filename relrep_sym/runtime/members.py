"""The members of a flow: their field, where they may be, and which of them go on.

In: a solver, starts and a truth. Out: :class:`Members`, whose velocities a stepper integrates, and
a :class:`Stop` for each member that failed, left the chart's domain or used up its evaluations.
NumPy only.

A stepper tries points ahead of the solution. One outside the chart's domain is evaluated where the
model goes on (a plain gap below zero); weights a little below zero are taken as zero and the rest
scaled, which continues the field, so that a crossing is met in the middle of a step and located
there. Where the field does not exist at all the step is made shorter.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from relrep_sym.errors import ConditionWarning, FlowWarning, RelrepError, problem
from relrep_sym.runtime import natural
from relrep_sym.runtime.check import Array
from relrep_sym.runtime.expectation import Nodes, Truth, weighted_nodes
from relrep_sym.runtime.kinks import bend_of_kinks
from relrep_sym.runtime.point import Components, Parts, Point
from relrep_sym.runtime.second import hessian

if TYPE_CHECKING:
    from relrep_sym.runtime.evaluated import Evaluated

__all__ = ["Members", "Spent", "Stop", "warn_of_cuts", "warn_of_stops"]

_BEYOND = 0.25
"""How far below zero a weight may be at a trial point."""

_SLACK = 1e-13
"""How far outside its domain a coordinate still counts as on its end, by rounding."""

_SHOWN = 6
"""Stops that a warning names one by one."""


class Stop(NamedTuple):
    """A member that was stopped: which, on account of what, when, where and why.

    Attributes:
        member: its index in the leading axes of the starts, () where there are none.
        name: the coordinate, or what else of the model was about to leave its domain.
        time: when it left, located inside the step; or the last time it could be followed to.
        coords: its coordinates then, (P,).
        reason: in words.
    """

    member: tuple[int, ...]
    name: str
    time: float
    coords: Array
    reason: str

    def __str__(self) -> str:
        which = f"member {list(self.member)}" if self.member else "the trajectory"
        return f"{which} at t = {self.time:.8g}: {self.reason}"


class Spent(Exception):
    """A member has no evaluation left."""


class Members:
    """Some members of a flow, the columns of every (P, M) table here.

    ``rates`` multiply the field; they are negative where time runs backwards. ``most`` evaluations
    are allowed to each member.
    """

    def __init__(
        self,
        solver: Evaluated,
        rows: Array,
        truth: Truth | Nodes,
        field: str,
        rates: Array | None,
        rcond: float | None,
        most: int,
    ) -> None:
        self.solver, self.truth, self.field, self.rcond = solver, truth, field, rcond
        self.count, self.size = len(solver.chart.coordinates), rows.shape[1]
        self.start, self.constants = rows[: self.count], rows[self.count :]
        self.rates = None if rates is None else rates[:, None]
        self.least = natural.cut_off(rcond, self.count)
        self.most, self.evaluations = most, np.zeros(self.size, dtype=np.intp)
        self.active = np.ones(self.size, dtype=bool)
        self.singular = np.zeros(self.size, dtype=bool)
        self.stopped: list[tuple[int, str, float, Array, str]] = []
        self._failures: dict[int, tuple[str, str]] = {}  # what first stood in a member's way

    def begin(self) -> Array:
        """Velocities at the start; members that have none are stopped there, or all raise."""
        found = self.field_at(self.start)
        bad = np.flatnonzero(~np.isfinite(found).all(axis=0))
        if len(bad) == self.size:
            self._evaluate(self.start[:, :1], np.arange(1))  # says what is wrong
        for m in bad:
            self.stop(int(m), 0.0, self.start[:, m], self.failure(int(m)))
        return found

    # ------------------------------------------------------------------------- the field

    def field_at(self, values: Array) -> Array:
        """dλ/dt at a (P, M) table, zero where a member was stopped, NaN where there is none."""
        members = np.flatnonzero(self.active)
        out = np.zeros((self.count, self.size))
        self.evaluations[members] += 1
        out[:, members] = self._field(values[:, members], members)
        return out

    def field_of(self, values: Array, members: NDArray[np.intp]) -> Array:
        """dλ/dt at (P, B), for these members. Raises Spent where one has no evaluation left."""
        np.add.at(self.evaluations, members, 1)
        if (self.evaluations[members] > self.most).any():
            raise Spent
        return self._field(values, members)

    @property
    def has_jacobian(self) -> bool:
        """Whether the field's derivative is known: the averaged Hessian, for the gradient."""
        form = self.solver.form
        known = form.second is not None or form.curves is not None
        kink = form.kink is not None and isinstance(self.truth, Nodes)
        return self.field == "gradient" and known and not kink

    def jacobian(self, values: Array, m: int) -> Array:
        """∂(dλ/dt)/∂λ of one member at (P,), (P, P). It counts as P evaluations."""
        self.evaluations[m] += self.count
        if self.evaluations[m] > self.most:
            raise Spent
        rows = np.concatenate([values, self.constants[:, m]])[:, None]
        point, chart = self._point(self._mixtures(rows)[0]), self.solver.chart
        if isinstance(self.truth, Nodes):
            found = hessian(chart, rows, point, *self.truth)[0]
        else:
            parts = weighted_nodes(point, self.truth)
            found = np.sum([hessian(chart, rows, point, n, w)[0] for _, n, w in parts], axis=0)
            if self.solver.form.kink is not None:
                found = found + bend_of_kinks(chart, rows, point, self.truth)[0]
        return found if self.rates is None else found * self.rates

    def _field(self, values: Array, members: NDArray[np.intp]) -> Array:
        """dλ/dt at (P, B), for these members; NaN where it does not exist."""
        try:
            found = self._evaluate(values, members)
        except RelrepError:
            found = np.full_like(values, np.nan)
            for i in range(len(members)):  # rare: which of them it was
                one = slice(i, i + 1)
                try:
                    found[:, one] = self._evaluate(values[:, one], members[one])
                except RelrepError as why:
                    self._failures.setdefault(int(members[i]), ("the field", str(why)))
        return found if self.rates is None else found * self.rates

    def _evaluate(self, values: Array, members: NDArray[np.intp]) -> Array:
        """The field where the model exists, NaN elsewhere; RelrepError where it overflows."""
        rows = np.concatenate([values, self.constants[:, members]])
        (shares, parameters, steps), margins = self._mixtures(rows)
        weights, rest = margins[: len(shares)], margins[len(shares) :]
        allowed = np.concatenate([weights >= -_BEYOND, rest >= 0, np.isfinite(values)])
        good = np.all(allowed, axis=0)
        if not good.all():
            for i in np.flatnonzero(~good):
                why = self._beyond(values[:, i], margins[:, i])
                self._failures.setdefault(int(members[i]), why)
            out = np.full_like(values, np.nan)
            if good.any():
                out[:, good] = self._evaluate(values[:, good], members[good])
            return out
        point = self._point((shares, parameters, steps))
        gradient = self.solver._field(rows, point, self.truth)[: self.count]
        if self.field == "gradient":
            return gradient
        inverted = natural.solve(self.solver.information(rows, point), gradient.T, self.rcond)
        self.singular[members] |= inverted.rank < self.count
        return inverted.field.T

    def _point(self, parts: Parts) -> Point:
        """Mixtures as the kernels take them; weights below zero are taken as zero."""
        shares, parameters, steps = parts
        if not (shares >= 0).all():
            positive = np.maximum(shares, 0.0)
            shares = positive / positive.sum(axis=0)
        reference = self.solver.chart.reference
        return Point(self.solver.form, *Components.of((shares, parameters, steps), reference))

    # ------------------------------------------------------------------------- the domain

    def _mixtures(self, rows: Array) -> tuple[Parts, Array]:
        """The mixtures at rows, and by how much each weight and positive parameter is allowed."""
        form = self.solver.form
        with np.errstate(all="ignore"):
            found = self.solver.chart.components(rows)
            least = np.finfo(float).smallest_normal
            parts = [found[0]]
            for values, positive in zip(found[1], form.positive, strict=True):
                finite = np.where(np.isfinite(values), 1.0, -1.0)
                parts.append(np.minimum(values - least, finite) if positive else finite)
            margins = np.concatenate(np.broadcast_arrays(*parts))
        return found, np.where(np.isnan(margins), -1.0, margins)

    def _margins(self, values: Array, members: NDArray[np.intp]) -> Array:
        """By how much everything is inside its domain, (…, B): coordinates, then the model."""
        chart = self.solver.chart
        low, high = (np.array(e[: self.count])[:, None] for e in (chart.lower, chart.upper))
        least = np.where(chart.open_lower[: self.count], -np.finfo(float).smallest_normal, _SLACK)[
            :, None
        ]
        _, model = self._mixtures(np.concatenate([values, self.constants[:, members]]))
        weights = self.solver.form.components
        model[:weights] += _SLACK
        with np.errstate(invalid="ignore"):
            top = np.where(np.isfinite(high), _SLACK * np.abs(high), 0.0)
            own = np.concatenate([values - low + least, high - values + top, model])
        return np.where(np.isnan(own), -1.0, np.clip(own, -1e300, 1e300))

    def inside(self, values: Array, members: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Whether each of these is in the chart's domain and in the model's, (B,)."""
        return np.asarray(np.all(self._margins(values, members) >= 0, axis=0))

    def margin(self, values: Array, m: int) -> float:
        """How far inside one member is, negative outside."""
        return float(self._margins(values[:, None], np.array([m])).min())

    def _beyond(self, values: Array, model: Array) -> tuple[str, str]:
        """What is outside its domain, and in words."""
        chart, form = self.solver.chart, self.solver.form
        for name, value, low, high, strict in zip(
            chart.coordinates, values, chart.lower, chart.upper, chart.open_lower, strict=False
        ):
            if not np.isfinite(value):
                return name, f"{name} is not finite"
            if value < low - _SLACK or value > high + _SLACK or (strict and value <= low):
                end = high if value > high else low
                return name, f"{name} leaves its domain at {end:g}"
        k = form.components
        names = ["weight", *form.names]
        for i in np.flatnonzero(model < np.where(np.arange(len(model)) < k, -_SLACK, 0.0)):
            role, number = names[i // k], i % k + 1
            what = "becomes negative" if role == "weight" else "is not positive and finite"
            return f"{role} of component {number}", f"the {role} of component {number} {what}"
        return "the field", "the field is not finite"

    def clipped(self, values: Array) -> Array:
        """Onto the ends of the domain where rounding is beyond them."""
        chart, count = self.solver.chart, self.count
        low, high = (np.array(e[:count])[:, None] for e in (chart.lower, chart.upper))
        return np.clip(values, low, high)

    # ------------------------------------------------------------------------- who is stopped

    def outside(self, values: Array, m: int) -> tuple[str, str]:
        """What of a member is outside its domain here, and in words."""
        rows = np.concatenate([values, self.constants[:, m]])[:, None]
        return self._beyond(values, self._mixtures(rows)[1][:, 0])

    def forget(self) -> None:
        """Forget what stood in the members' way: a new step is tried."""
        self._failures.clear()

    def failure(self, m: int) -> tuple[str, str]:
        """What first stood in a member's way in the step that was tried."""
        rough = ("the field", "the field needs steps shorter than 1e-12 of the time")
        return self._failures.get(m, rough)

    def leaving(self, values: Array, velocity: Array, m: int) -> bool:
        """Whether a member on an end of its domain is going out, or computed out by an error."""
        here = self.margin(values, m)
        with np.errstate(all="ignore"):
            sizes = np.abs(values[velocity != 0] / velocity[velocity != 0])
        soon = 1e-3 * float(np.min(sizes, initial=np.inf))
        if not 0 < soon < np.inf or not np.isfinite(velocity).all():
            return True
        return self.margin(values + soon * velocity, m) < here

    def unresolved(self, values: Array, m: int) -> tuple[str, str]:
        """That this chart cannot tell a member from an end of its domain."""
        name, why = self.outside(values, m)
        return name, f"{why}, or is too near to it for double precision to tell in this chart"

    def spent(self, m: int) -> tuple[str, str]:
        """That a member's evaluations are used up."""
        most = f"max_evaluations = {self.most} evaluations of the field were not enough"
        return "max_evaluations", f"{most} to follow it further"

    def heading(self, m: int, values: Array, velocity: Array, end: float) -> tuple[str, str]:
        """What a member that cannot be followed is about to leave, or what is in its way."""
        for soon in 10.0 ** np.arange(-13.0, -5.0) * end:
            ahead = values + soon * velocity
            if self.margin(ahead, m) < 0:
                return self.outside(ahead, m)
        return self.failure(m)

    def stop(self, m: int, time: float, values: Array, reason: tuple[str, str]) -> None:
        """Stop a member here, for this reason."""
        name, why = reason
        self.active[m] = False
        self.stopped.append((m, name, time, self.clipped(values[:, None])[:, 0], why))


def warn_of_stops(stops: Sequence[Stop], size: int) -> None:
    """A FlowWarning that names the members that were stopped, where there are any."""
    if not stops:
        return
    shown = [str(s) for s in stops[:_SHOWN]]
    if len(stops) > _SHOWN:
        shown.append(f"and {len(stops) - _SHOWN} more (full_output=True lists them)")
    head = f"{len(stops)} of {size} members were stopped, later entries are NaN: "
    warnings.warn(head + "; ".join(shown), FlowWarning, stacklevel=5)


def warn_of_cuts(cut: int, size: int, least: float) -> None:
    """A ConditionWarning where Fisher matrices were cut along a flow."""
    if cut:
        text = "the Fisher information was singular in double precision along the flow, and its "
        text += "pseudo-inverse in these coordinates was taken"
        right = f"eigenvalues of the scaled matrix above {least:.1e} of the largest"
        given = f"{cut} of {size} members"
        warnings.warn(problem(text, given, right), ConditionWarning, stacklevel=5)
