"""Conditional maximisers of Q over one coordinate, or over a run of them, the others held.

In: :class:`Present`, the latest coordinates of a batch with the statistics of one E-step. Out: the
same, moved. Where the generated chart says how (:attr:`Chart.conditional`), a step is exact and
costs nothing that grows with the sample; else Q is searched along the coordinate.

- ``shift``: Q is quadratic in the gap's function h of the coordinate, and in several such together,
  so that Σ_k a_k (residual of component k) over Σ_k a_k² (its curvature) is the step of h;
- ``own``, ``added``: the generated closed form of one family parameter;
- weights: N_k, as a block, or the remainder shared with the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from relrep_sym.errors import DomainError, problem
from relrep_sym.runtime.ascent import Maximum, maximise
from relrep_sym.runtime.check import Array
from relrep_sym.runtime.em import Expected, _collapsed, _means_about, _recentred
from relrep_sym.runtime.landing import landed, moving
from relrep_sym.runtime.objective import Objective
from relrep_sym.runtime.point import Point
from relrep_sym.runtime.reach import reach
from relrep_sym.runtime.sampled import Sampled
from relrep_sym.runtime.stationary import optimality, unended

__all__ = ["Kind", "Present", "kinds_of"]

_UNIT = {"plain": (0.0, 1.0), "square": (0.5, 1.0), "exp": (0.0, 1.0), "softplus": (0.0, 0.5)}
"""For each gap h a place and h′ there."""


class Kind(NamedTuple):
    """How one coordinate's step is taken: see :attr:`Chart.conditional`."""

    name: str
    gap: str = "plain"
    role: int = -1
    component: int = -1


@lru_cache(maxsize=256)
def kinds_of(words: tuple[str, ...], roles: tuple[str, ...]) -> tuple[Kind, ...]:
    """The kinds that a generated chart states in words.

    >>> kinds_of(("simplex 0", "shift exp mu 1"), ("mu", "sigma"))[1]
    Kind(name='shift', gap='exp', role=0, component=1)
    """
    out = []
    for text in words:
        name, *more = text.split()
        if len(more) == 3:
            out.append(Kind(name, more[0], roles.index(more[1]), int(more[2])))
        else:
            out.append(Kind(name, component=int(more[0]) if more else -1))
    return tuple(out)


def _gap(kind: str, value: Array) -> Array:
    if kind == "square":
        return value * value
    if kind == "exp":
        return np.exp(value)
    return np.logaddexp(0.0, value) if kind == "softplus" else value


class Present:
    """The latest coordinates of some members of a batch, and Q.

    ``members`` are their numbers in ``rows``; ``failures`` and ``notes`` are by place among them.
    """

    def __init__(
        self,
        objective: Objective,
        point: Point,
        seen: Expected,
        members: NDArray[np.intp],
        x: Array,
        weights: Array | None,
    ) -> None:
        self.objective, self.point, self.seen, self.members = objective, point, seen, members
        self.chart, self.form = objective.chart, objective.form
        self.x, self.weights = x, weights
        self.rows = objective.rows.copy()
        self.count = len(self.chart.coordinates)
        self.kinds = kinds_of(self.chart.conditional, self.form.names)
        self.units = self.chart.gap_units or (1.0,) * self.count
        self.failures: dict[int, DomainError] = {}
        self.clipped: set[tuple[int, int]] = set()  # (place, coordinate)

    # ------------------------------------------------------------------------- a run of steps

    def step(self, run: Sequence[int]) -> None:
        """Single steps, one after another, of coordinates that one method takes together."""
        name = self.kinds[run[0]].name
        if name == "shift":
            self._shifts(run)
        elif name in ("own", "added"):
            self._parameters(run)
        elif name in ("simplex", "softmax", "stick"):
            for j in run:
                self._weight(j)
        else:
            for j in run:
                self.search((j,))

    def block(self, which: tuple[int, ...], whole: bool) -> None:
        """A joint step; ``whole`` says that all coordinates of the weights, and no others, move."""
        names = {self.kinds[j].name for j in which}
        if whole and "mixed" not in names and self._weights(which):
            return
        if names <= {"own"} and len({self.kinds[j].role for j in which}) == 1:
            self._parameters(which)
        elif names == {"shift"} and self._together(which):
            return
        else:
            self.search(which)

    # ------------------------------------------------------------------------- locations

    def _shifts(self, run: Sequence[int]) -> None:
        role = self.kinds[run[0]].role
        tilt, bend = self._quadratic(role)
        designs = self._designs(run, role)
        for j, design in zip(run, designs, strict=True):
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                size = np.abs(design).max(axis=0)
                unit = design / size  # a square of the design may overflow
                pull = (unit * tilt).sum(axis=0)
                step = pull / (unit * unit * bend).sum(axis=0) / size
                self._overflown(j, np.isfinite(step) | (pull == 0.0))
                step = np.where(np.isfinite(step), step, 0.0)
                moved = self._put(j, step)
            tilt = tilt - bend * design * moved

    def _quadratic(self, role: int) -> tuple[Array, Array]:
        """∂Q/∂φ_k, and what it falls by with φ_k, (K, B) each."""
        _, parameters, means = self.objective._at(self.rows)
        roles = len(parameters)
        pairs = [(i, j) for i in range(roles) for j in range(i, roles)]
        tilt = self.objective._tilts(parameters, means)[role]
        bend = self.objective._curves(parameters, means)[pairs.index((role, role))]
        return tilt, -bend

    def _designs(self, run: Sequence[int], role: int) -> list[Array]:
        """∂φ_k/∂h of each coordinate's gap, (K, B): constants, whatever the coordinates are."""
        rows = self.rows.copy()
        for j, kind in enumerate(self.kinds):
            if kind.name == "shift":
                rows[j] = _UNIT[kind.gap][0]
        k, batch = self.objective.mass.shape
        zero = np.zeros((k, batch, k))
        seeds = [zero] * (1 + len(self.form.names))
        seeds[1 + role] = np.broadcast_to(np.eye(k)[:, None, :], (k, batch, k))
        found = self.chart.pull_back(rows[..., None], *seeds)
        scales = [_UNIT[self.kinds[j].gap][1] / self.units[j] for j in run]
        return [
            np.broadcast_to(found[j], (batch, k)).T / scale
            for j, scale in zip(run, scales, strict=True)
        ]

    def _put(self, j: int, step: Array) -> Array:
        """Move the gap of a coordinate by a step, inside of its domain; by how much it moved."""
        kind = self.kinds[j].gap
        now = self.rows[j].copy()
        if kind == "plain":
            new = now + step
        else:
            old = self._height(j, now)
            whole = old + step
            if kind == "square":
                new = np.copysign(np.sqrt(np.maximum(whole, 0.0)), now)
                new = np.where(new == 0.0, 0.0, new)
                self._mark(j, whole < 0.0)
            else:
                self._endless(j, whole > 0.0)
                whole = np.where(whole > 0.0, whole, old) * self.units[j]
                new = np.log(whole if kind == "exp" else np.expm1(np.minimum(whole, 700.0)))
                new = np.where(whole > 36.0, whole, new) if kind == "softplus" else new
        self._set(j, new)
        moved: Array = self._height(j, self.rows[j]) - self._height(j, now)
        return moved

    def _height(self, j: int, value: Array) -> Array:
        """The function of a coordinate's gap, in the family's units."""
        return _gap(self.kinds[j].gap, value) / self.units[j]

    def _set(self, j: int, new: Array) -> None:
        """Give a coordinate its new value, the nearest one in its domain."""
        low, high, strict = (
            e[j] for e in (self.chart.lower, self.chart.upper, self.chart.open_lower)
        )
        if strict:
            self._endless(j, new > low)
            new = np.where(new > low, new, self.rows[j])
        if low > -np.inf and not strict:
            self._mark(j, new < low)
            new = np.maximum(new, low)
        if high < np.inf:
            self._mark(j, new > high)
            new = np.minimum(new, high)
        self.rows[j] = new

    def _mark(self, j: int, which: NDArray[np.bool_]) -> None:
        self.clipped |= {(int(i), j) for i in np.flatnonzero(which)}

    def _endless(self, j: int, fine: NDArray[np.bool_]) -> None:
        """Members in which Q rises towards an end of the domain that no coordinate reaches."""
        for i in np.flatnonzero(~fine):
            name = self.chart.coordinates[j]
            self._fail(
                int(i),
                f"Q rises towards the open end of {name}'s domain, the other coordinates held",
                f"{name} = {self.rows[j, i]:.6g}",
                "a gap whose domain holds its end (plain or square), or another start",
            )

    def _overflown(self, j: int, fine: NDArray[np.bool_]) -> None:
        """Members whose step of a coordinate has no value in double precision."""
        for i in np.flatnonzero(~fine):
            self._fail(
                int(i),
                f"the conditional maximiser along {self.chart.coordinates[j]} is not finite",
                f"{self.chart.coordinates[j]} = {self.rows[j, i]:.6g} before the step",
                "points within 1e150 scales of each component, weights that are not zero",
            )

    def _fail(self, i: int, wrong: str, given: str, right: str) -> None:
        self.failures.setdefault(i, DomainError(problem(wrong, given, right)))

    def _together(self, which: Sequence[int]) -> bool:
        """The joint step of several gaps, where no bound is in its way; whether there was none."""
        role = self.kinds[which[0]].role
        tilt, bend = self._quadratic(role)
        designs = np.array(self._designs(which, role))
        hessian = np.einsum("pkb,kb,qkb->bpq", designs, bend, designs)
        slope = np.einsum("pkb,kb->bp", designs, tilt)
        try:
            steps = np.linalg.solve(hessian, slope[..., None])[..., 0].T
        except np.linalg.LinAlgError:
            return False
        for j, step in zip(which, steps, strict=True):
            kind = self.kinds[j].gap
            whole = self._height(j, self.rows[j]) + step
            low = self.chart.lower[j] if kind == "plain" else 0.0
            above = whole >= low if kind in ("plain", "square") else whole > low
            if not (above & (whole <= self.chart.upper[j] if kind == "plain" else above)).all():
                return False
        for j, step in zip(which, steps, strict=True):
            self._put(j, step)
        return True

    # ------------------------------------------------------------------------- own parameters

    def _parameters(self, run: Sequence[int]) -> None:
        """Steps of coordinates that are each behind one parameter of one role."""
        role = self.kinds[run[0]].role
        parameters, value = self._closed(role)
        failed = _collapsed(
            self.form,
            tuple(p[:, self.members] for p in self.point.components.parameters),
            tuple(value if i == role else p for i, p in enumerate(parameters)),
            np.arange(value.shape[1]),
        )
        for i, why in failed.items():
            self.failures.setdefault(i, why)
        for j in run:
            kind = self.kinds[j]
            new = value[kind.component]
            if kind.name == "added":
                with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                    self._put(j, new - parameters[role][kind.component])
            elif kind.gap == "plain":
                fine = np.isfinite(new) & (new > 0.0 if self.form.positive[role] else True)
                self._overflown(j, fine)
                self._set(j, np.where(fine, new, self.rows[j]))
            else:
                with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                    self._put(j, new - self._height(j, self.rows[j]))

    def _closed(self, role: int) -> tuple[tuple[Array, ...], Array]:
        """Family parameters, and one role's maximiser of Q at the others, (K, B)."""
        assert self.chart.conditional_step is not None
        mass = self.objective.mass
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            _, parameters, means = self.objective._at(self.rows)
            value = self.chart.conditional_step(mass, means, *parameters)[role]
            assert value is not None
            new = tuple(value if i == role else p for i, p in enumerate(parameters))
            about = _recentred(self.form, self.objective.about, new)
            if about is not None:
                part = self.point.take(self.members)
                fresh = _means_about(
                    about, part, self.seen.found, self.members, self.x, self.weights
                )
                self.objective = Objective(
                    self.chart, self.form, self.objective.rows, mass, fresh, about
                )
                _, parameters, means = self.objective._at(self.rows)
                value = self.chart.conditional_step(mass, means, *parameters)[role]
                assert value is not None
        return parameters, value

    # ------------------------------------------------------------------------- weights

    def _free(self) -> list[int]:
        """The components whose weights are learned, the one that takes the remainder the last."""
        named = [int(n[3:]) - 1 for n in self.chart.parameters if n.startswith("pi_")]
        last = self.chart.reference
        return [*named, len(self.objective.mass) - 1 if last is None else last]

    def _weight(self, j: int) -> None:
        """One coordinate of the weights."""
        kind, mass = self.kinds[j], self.objective.mass
        k = kind.component
        weights, _, _ = self.chart.components(self.rows)
        if kind.name == "simplex":
            last = self._free()[-1]
            shared = weights[k] + weights[last]
            new = shared * mass[k] / (mass[k] + mass[last])
        elif kind.name == "stick":
            new = mass[k] / mass[k:].sum(axis=0)
        else:
            rest = np.delete(np.arange(len(mass)), k)
            odds = mass[k] / mass[rest].sum(axis=0) * (weights[rest].sum(axis=0) / weights[k])
            new = self.rows[j] + np.log(odds)
        self._set(j, new)

    def _weights(self, which: Sequence[int]) -> bool:
        """All weights at N_k, where the chart reaches them; whether it does."""
        mass = self.objective.mass
        weights, parameters, _ = self.chart.components(self.rows)
        free = self._free()
        shares = weights.copy()
        room = weights[free].sum(axis=0)
        shares[free] = room * mass[free] / mass[free].sum(axis=0)
        if all(self.kinds[j].name == "simplex" for j in which):
            for j in which:
                self.rows[j] = shares[self.kinds[j].component]
            return True
        if self.chart.from_model is None:
            return False
        trial = self.rows.copy()
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            theta = np.array(np.broadcast_arrays(*self.chart.to_parameters(shares, *parameters)))
            found = self.chart.from_model(theta, self.rows[self.count :])
            for j in which:
                trial[j] = found[j]
        low, high, strict = (
            np.array(e)[list(which), None]
            for e in (self.chart.lower, self.chart.upper, self.chart.open_lower)
        )
        own = trial[list(which)]
        inside = np.where(strict, own > low, own >= low) & (own <= high) & np.isfinite(own)
        if not inside.all():
            return False
        back, _, _ = self.chart.components(trial)
        if not (np.abs(back - shares) <= 1e-12 * shares + 1e-15).all():
            return False
        self.rows = trial
        return True

    # ------------------------------------------------------------------------- a search

    def search(self, which: Sequence[int]) -> None:
        """The maximiser over coordinates of no known form: a kink on a point, or a climb's end."""
        kinked = self.form.kink is not None and len(which) == 1
        part = self.objective
        if isinstance(part, Sampled) and (np.abs(part.gain(self.rows)) > 1.0).any():
            part = part.moved(self.rows)  # beside the gain so far Q would lose its digits
        best = self._landed(part, which[0]) if kinked else self._climbed(part, which)
        for i in np.flatnonzero(~best.converged):
            why = unended(self.chart, best.rows, best.end, int(i), which)
            self.failures.setdefault(int(i), why)
        done = best.converged
        for j in which:
            low = self.chart.lower[j]
            self._mark(j, done & (best.rows[j] <= low) & (self.rows[j] > low))
            self.rows[j, done] = best.rows[j, done]

    def _landed(self, objective: Objective, j: int) -> Maximum:
        """The better of the kink at which Q stops to rise and of a climb's end.

        Where log f is straight beside its kinks, Q is concave and no climb is needed.
        """
        assert isinstance(objective, Sampled)
        rows, found = landed(objective, self.rows, j)
        gain, end = objective.gain(rows), optimality(objective, rows, (j,))
        found &= end.accepted & np.isfinite(gain)
        if (found & (objective.hessian(self.rows)[:, j, j] == 0.0)).all():
            return Maximum(rows, gain, found, end)
        best = self._climbed(objective, (j,))
        better = found & (~best.converged | (gain > best.gain))
        members = np.flatnonzero(better)
        best.end.put(members, end.take(members))
        return Maximum(
            np.where(better, rows, best.rows),
            np.where(better, gain, best.gain),
            best.converged | better,
            best.end,
        )

    def _climbed(self, part: Objective, which: Sequence[int]) -> Maximum:
        """The best of several starts climbed.

        Along one coordinate Q may have several maxima: a grid over the domain is looked through
        before the best is climbed from.
        """
        still = False
        if isinstance(part, Sampled) and part.kinked and not moving(part, self.rows, which):
            part, still = part.exact(), True  # points near a kink that stays are not on it
        best = maximise(part, self.rows, which, smooth=still)
        if len(which) == 1:
            start = self._grid(which[0])
            better = part.gain(start) > best.gain
            if better.any():
                again = maximise(part, start, which, smooth=still)
                better &= again.converged & (again.gain > best.gain)
                best = best._replace(
                    rows=np.where(better, again.rows, best.rows),
                    converged=np.where(better, True, best.converged),
                )
        return best

    def _grid(self, j: int) -> Array:
        """The best of a grid along one coordinate, (P + C, B)."""
        now, batch = self.rows[j], self.rows.shape[1]
        low, high = self.chart.lower[j], self.chart.upper[j]
        bend = np.abs(self.objective.hessian(self.rows)[:, j, j])
        width = np.where(bend > 0.0, 1.0 / np.sqrt(np.where(bend > 0.0, bend, 1.0)), 0.0)
        if not width.all():  # Q is straight along it, but for kinks
            along = np.zeros((self.count, batch))
            along[j] = 1.0
            length = reach(self.chart, self.form, self.rows, along)
            width = np.where(width > 0.0, width, length)
        spread = np.sinh(np.linspace(-5.0, 5.0, _GRID))[:, None]
        if low > -np.inf and high < np.inf:
            places = low + (high - low) * (np.arange(_GRID)[:, None] + 0.5) / _GRID + 0.0 * now
        elif low > -np.inf:
            size = np.maximum(now - low, width)
            places = low + size * np.exp(np.linspace(-7.0, 7.0, _GRID))[:, None]
        else:
            places = now + np.maximum(width, 1e-3 * np.abs(now)) * spread
        many = np.repeat(np.arange(batch), _GRID)
        trial = self.rows[:, many].copy()
        trial[j] = places.T.ravel()
        gains = self.objective.take(many).gain(trial).reshape(batch, _GRID)
        best = gains.argmax(axis=1)
        out: Array = trial.reshape(len(trial), batch, _GRID)[:, np.arange(batch), best]
        return out


_GRID = 40
"""Places along a coordinate of no known form that are looked at."""
