"""Stiff stretches of a flow: one member by SciPy's implicit Radau method.

In: a member, where and when it is. Out: its coordinates at the times that are due, until it arrives
or stops. The Jacobian of the gradient's flow is the model's averaged Hessian, as derived; where it
is not known, and for the natural gradient, SciPy takes differences. SciPy is imported here, when a
member first needs it.

A solution that runs along an end of the domain, nearer to it than the tolerance, is sometimes
computed beyond. Where the field there points back inside nothing was left: the last step is taken
again with a finer tolerance.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np

from relrep_sym.errors import NotInstalledError, RelrepError, problem
from relrep_sym.runtime.check import Array
from relrep_sym.runtime.members import Members, Spent

__all__ = ["crossing", "follow"]

_FINEST, _TIGHTER = 3e-14, 1e-2
"""The least relative tolerance, and by how much one is made finer at a time."""


def follow(
    members: Members,
    m: int,
    time: float,
    values: Array,
    step: float,
    past: Array,
    rtol: float,
    atol: Array,
) -> list[Array]:
    """Coordinates of member m at the times ``past``, ascending, fewer where it was stopped.

    It is at ``values`` (P,) at ``time``, and ``step`` long was its last step.
    """
    way = _Way(members, m, time, values, step, past)
    try:
        while way.onwards(rtol, atol):
            if rtol <= _FINEST:
                members.stop(m, way.time, way.values, members.unresolved(way.beyond, m))
                break
            rtol, atol = max(rtol * _TIGHTER, _FINEST), atol * _TIGHTER
    except Spent:
        members.stop(m, way.time, way.values, members.spent(m))
    except (RelrepError, ValueError, np.linalg.LinAlgError) as why:  # SciPy refuses NaN by these
        reason = ("the field", f"the implicit step failed: {why}")
        members.stop(m, way.time, way.values, reason)
    return way.out


class _Way:
    """A member on its way: where it is, and what has been written."""

    def __init__(
        self, members: Members, m: int, time: float, values: Array, step: float, past: Array
    ) -> None:
        self.members, self.m, self.past = members, m, past
        self.time, self.values, self.step, self.beyond = time, values, step, values
        self.out: list[Array] = []
        self.known: Array | None = None

    def onwards(self, rtol: float, atol: Array) -> bool:
        """Go on to the end, or until stopped; whether a finer tolerance is asked for."""
        try:
            from scipy.integrate import Radau
        except ImportError:
            right = "pip install scipy, or times that end before the flow is stiff"
            raise NotInstalledError(
                problem("a stiff flow needs SciPy", "it is not installed", right)
            ) from None

        members, m, end = self.members, self.m, float(self.past[-1])
        with np.errstate(all="ignore"):
            solver = Radau(
                self._field, self.time, self.values, end, rtol=rtol, atol=cast(Any, atol),
                vectorized=True, first_step=min(self.step, end - self.time),
                jac=self._jacobian if members.has_jacobian else None,
            )  # fmt: skip
            while solver.status != "finished":
                members.forget()
                solver.step()
                if solver.status == "failed":
                    velocity = self._field(self.time, self.values)
                    why = members.heading(m, self.values, velocity, end)
                    members.stop(m, self.time, self.values, why)
                    return False
                left = self._write(solver.dense_output(), solver.t, solver.y)
                if left is not None:
                    self.beyond = left
                    self.step = 0.1 * (solver.t - self.time)
                    return bool(members.active[m])
                self.step = solver.t - self.time
                self.time, self.values = solver.t, solver.y
        return False

    def _write(self, dense: Callable[[float], Array], then: float, values: Array) -> Array | None:
        """Write what fell due in a step. Where it leads outside, where that is; the member is
        stopped there if it is leaving.
        """
        members, m, low = self.members, self.m, self.time
        before = len(self.out)
        upto = int(np.searchsorted(self.past, then, side="right"))
        for when in [*self.past[before:upto].tolist(), then]:
            there = values if when == then else dense(when)
            if members.margin(there, m) < 0:
                left = crossing(lambda t: members.margin(dense(t), m), low, when)
                if members.leaving(dense(left), self._field(left, dense(left)), m):
                    members.stop(m, left, dense(left), members.outside(there, m))
                else:
                    del self.out[before:]
                return there
            low = when
            if len(self.out) < upto:
                self.out.append(members.clipped(there[:, None])[:, 0])
        return None

    def _field(self, _: float, at: Array) -> Array:
        columns = at.reshape(len(at), -1)
        found = self.members.field_of(columns, np.full(columns.shape[1], self.m))
        return found.reshape(at.shape)

    def _jacobian(self, _: float, at: Array) -> Array:
        try:
            self.known = self.members.jacobian(at, self.m)
        except RelrepError:
            if self.known is None:
                raise
        return self.known


def crossing(margin: Callable[[float], float], low: float, high: float) -> float:
    """Where a margin that is not negative at ``low`` and negative at ``high`` becomes negative.

    By bisection to the last digit, of which there are few more than sixty halvings.

    >>> crossing(lambda t: 0.3 - t, 0.0, 1.0)
    0.3
    """
    if not margin(low) > 0:
        return low
    for _ in range(200):
        middle = 0.5 * (low + high)
        if not low < middle < high:
            break
        if margin(middle) >= 0:
            low = middle
        else:
            high = middle
    return low
