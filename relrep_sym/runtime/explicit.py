"""Steps of an explicit Runge–Kutta method, taken by many members at once, each its own step.

In: a field on (P, M) tables and a :class:`~relrep_sym.runtime.tableaux.Tableau`. Out: the tables at
the steps' ends, error norms by member, and what lies between. All members share each evaluation of
the field; SciPy's steppers take one step for all, which is why they are not used here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from relrep_sym.runtime.check import Array
from relrep_sym.runtime.tableaux import Row, Tableau

__all__ = ["Dense", "Stepper", "rms"]

Field = Callable[[Array], Array]


class Stepper:
    """The last step of all members; ``stages`` are the fields met on the way, (stages, P, M)."""

    def __init__(self, tableau: Tableau, shape: tuple[int, int]) -> None:
        self.tableau = tableau
        count = len(tableau.stages) + 1 + len(tableau.extra)
        self.stages = np.zeros((count, *shape))
        self.steps = np.zeros(shape[1])
        self.values = self.after = self.last = np.zeros(shape)

    def step(self, field: Field, values: Array, velocity: Array, steps: Array) -> Array:
        """The tables a step later; ``velocity`` is the field at ``values``."""
        stages, rows = self.stages, self.tableau.stages
        self.values, self.steps = values, steps
        with np.errstate(all="ignore"):
            stages[0] = velocity
            for n, row in enumerate(rows[1:], 1):
                self.last = values + steps * _combined(row, stages)
                stages[n] = field(self.last)
            self.after = values + steps * _combined(self.tableau.end, stages)
            stages[len(rows)] = field(self.after)
        return self.after

    @property
    def velocity(self) -> Array:
        """The field at the steps' ends."""
        out: Array = self.stages[len(self.tableau.stages)]
        return out

    def norms(self, scale: Array) -> Array:
        """The error of each member in units of ``scale``, NaN where the field did not exist."""
        with np.errstate(all="ignore"):
            sizes = [
                np.abs(self.steps) * rms(_combined(row, self.stages) / scale)
                for row in self.tableau.errors
            ]
            if len(sizes) == 1:
                return sizes[0]
            fifth, third = sizes
            together = np.hypot(fifth, 0.1 * third)
            return np.where(together == 0.0, 0.0, fifth * (fifth / together))

    def stiffness(self, scale: Array) -> Array:
        """h times the field's Lipschitz constant, from the last two stages (Hairer and Wanner,
        Solving Ordinary Differential Equations II, section IV.2).
        """
        n = len(self.tableau.stages)
        with np.errstate(all="ignore"):
            change = rms((self.stages[n] - self.stages[n - 1]) / scale)
            apart = rms((self.after - self.last) / scale)
            return np.where(apart > 0, np.abs(self.steps) * change / apart, 0.0)

    def dense(self, field: Field) -> Dense:
        """What lies between the ends; where the method needs more stages the field is evaluated."""
        table, stages = self.tableau, self.stages
        with np.errstate(all="ignore"):
            for n, row in enumerate(table.extra, len(table.stages) + 1):
                stages[n] = field(self.values + self.steps * _combined(row, stages))
            rows = [self.steps * _combined(row, stages) for row in table.dense]
            if not table.extra:
                return Dense(self.values, rows, False)
            whole, first = self.after - self.values, self.steps * stages[0]
            nested = [whole, first - whole, 2 * whole - self.steps * (self.velocity + stages[0])]
            return Dense(self.values, [*nested, *rows], True)


class Dense:
    """The solution inside of a step, as polynomials of the fraction of it."""

    def __init__(self, values: Array, rows: Sequence[Array], nested: bool) -> None:
        self.values, self.rows, self.nested = values, rows, nested

    def __call__(self, fraction: Array, who: NDArray[np.intp]) -> Array:
        """Coordinates (P, n) of members at fractions of their steps, (n,) each."""
        out = np.zeros((len(self.values), len(who)))
        with np.errstate(all="ignore"):
            for n, row in enumerate(reversed(self.rows)):
                out += row[:, who]
                out *= 1.0 - fraction if self.nested and n % 2 else fraction
            return out + self.values[:, who]


def _combined(row: Row, stages: Array) -> Array:
    out = np.zeros(stages.shape[1:])
    for n, coefficient in row.items():
        out += coefficient * stages[n]
    return out


def rms(table: Array) -> Array:
    """The root mean square of each column."""
    found: Array = np.sqrt((table * table).mean(axis=0))
    return found
