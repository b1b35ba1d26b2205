"""The yardstick of a Hessian in a chart: the mean absolute summand of the chain rule.

In: the oracle of one point in a chart, and that of the same mixture in its own weights and
parameters. Out: the Hessian in the chart, some of its scales widened. What is summed for an entry
is

    Σ_{a,b} ∂τ_a/∂λ_i ∂τ_b/∂λ_j ∂² log p/∂τ_a∂τ_b + Σ_a ∂²τ_a/∂λ_i∂λ_j ∂ log p/∂τ_a

over the weights and every component's own parameters τ, and over the sample. Where those summands
cancel, the mean absolute summand is theirs; elsewhere it is that of the entry itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import mpmath
from mpmath import mp

from relrep_sym.verify.jets import WORKING, Located, Number
from relrep_sym.verify.oracle import Oracle, OracleAt
from relrep_sym.verify.yardstick import Measured

__all__ = ["Chain"]

STEP = mpmath.mpf("1e-20")


@dataclass(frozen=True)
class Chain:
    """The Hessian of ``at`` judged by the chain rule.

    ``plain`` is the oracle in (π_1 … π_{K−1}, then each parameter's K entries). ``own`` says that
    the chart is a map of the user's own, of which every entry counts; ``mapped`` that the chart
    makes the weights of other coordinates: every entry by one of these counts. With three
    components or more an entry counts that is by a weight and by something else, which several
    components may share; with two where both share it by different slopes.
    """

    at: OracleAt
    plain: Oracle
    own: bool = False
    mapped: bool = False

    def hessian(self, x: Sequence[float], w: Sequence[float]) -> tuple[tuple[Measured, ...], ...]:
        """The mean Hessian of a weighted sample."""
        strict = self.at.hessian(x, w)
        size = range(len(strict))
        if not any(self._counts(i, j) for i in size for j in size):
            return strict
        with mp.workdps(WORKING):
            place = self.at.located
            inner = self.plain.at(_entries(place, _flat(place)))
            scales = self._scales(inner.hessian(x, w), inner.score(x, w))
            return tuple(
                tuple(
                    m.widened(scale=scales[i][j]) if self._counts(i, j) else m
                    for j, m in enumerate(row)
                )
                for i, row in enumerate(strict)
            )

    def _counts(self, i: int, j: int) -> bool:
        count = len(self.at.located.weights)
        by = [any(n < count for n, _ in self.at.located.jacobian[k]) for k in (i, j)]
        mixed = by[0] != by[1] and (count > 2 or self._uneven(i) or self._uneven(j))
        return self.own or (self.mapped and any(by)) or mixed

    def _uneven(self, j: int) -> bool:
        """Whether a coordinate moves one parameter of several components by different slopes."""
        place = self.at.located
        count, roles = len(place.weights), len(place.phis[0])
        slopes: dict[int, set[Number]] = {}
        for n, value in place.jacobian[j]:
            if n >= count and value:
                slopes.setdefault((n - count) % roles, set()).add(value)
        return any(len(found) > 1 for found in slopes.values())

    def _scales(
        self, hessian: Sequence[Sequence[Measured]], score: Sequence[Measured]
    ) -> list[list[Number]]:
        place = self.at.located
        size = range(len(place.coords))
        columns = [_entries(place, _dense(place, j)) for j in size]
        out = []
        for i in size:
            moved = list(place.coords)
            moved[i] = moved[i] + STEP
            near = Located(place.density, place.chart, moved)
            half = [mp.fsum(abs(c) * m.scale for c, m in zip(columns[i], row, strict=True))
                    for row in hessian]  # fmt: skip
            line = []
            for j in size:
                there = _entries(near, _dense(near, j))
                bends = [abs(a - b) / STEP for a, b in zip(there, columns[j], strict=True)]
                total = mp.fsum(abs(c) * h for c, h in zip(columns[j], half, strict=True))
                line.append(total + mp.fsum(b * m.scale for b, m in zip(bends, score, strict=True)))
            out.append(line)
        return out


def _flat(place: Located) -> list[Number]:
    return [*place.weights, *(v for phi in place.phis for v in phi)]


def _dense(place: Located, j: int) -> list[Number]:
    """∂(flat parameter)/∂λ_j."""
    out = [mp.zero] * len(_flat(place))
    for n, value in place.jacobian[j]:
        out[n] = value
    return out


def _entries(place: Located, flat: Sequence[Number]) -> list[Number]:
    """The entries of a mixture's own coordinates among its flat parameters."""
    count, roles = len(place.weights), len(place.phis[0])
    rest = [flat[count + k * roles + f] for f in range(roles) for k in range(count)]
    return [*flat[: count - 1], *rest]
