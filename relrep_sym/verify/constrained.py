"""What an M-step must give in a chart's closed domain, jointly or one block after another.

In: an :class:`~relrep_sym.verify.em.EMObjective`, the coordinates' domains, blocks of coordinates.
Out: an :class:`Optimum`: the coordinates, the multipliers and the gain in Q, each a
:class:`~relrep_sym.verify.yardstick.Measured`. Each block is maximised by :mod:`.climb`, the others
held where they then are; one block of all coordinates is the joint M-step, and a list of blocks the
conditional steps. The yardstick follows the steps: the sensitivity is that of the whole map of the
old coordinates, and what a block inherits from the ones before counts with their own summands.
Summands are those of Q, one for each point and component: where components merge, a gap is the
difference of two means, each with a summand of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import mpmath
from mpmath import mp

from relrep_sym.errors import CertificateError
from relrep_sym.verify.climb import Ends, Peak, peaks
from relrep_sym.verify.em import Columns, EMObjective, inverse, responsibilities
from relrep_sym.verify.jets import WORKING, Located, Number, exact
from relrep_sym.verify.kinked import Hold, has_jump, hold, nearest_slope
from relrep_sym.verify.yardstick import LIMIT, UNIT, Measured

__all__ = ["Optimum", "optimum"]

REST = mpmath.mpf("1e-20")
"""Of the curvature's width: a free coordinate and its summands below this are zero."""
METHOD = "Newton's method on Q at 50 digits, over every face of the domain"


@dataclass(frozen=True)
class Optimum:
    """Where Q is highest in the domain.

    ``multipliers[j]`` is ∂Q/∂λ_j there: zero of a coordinate inside its domain, ≤ 0 at a lower end
    and ≥ 0 at an upper one. ``gain`` is Q there less Q at the old coordinates. ``active`` names the
    coordinates at an end; ``rivals`` counts the other points at which the conditions hold.
    """

    coords: tuple[Measured, ...]
    multipliers: tuple[Measured, ...]
    gain: Measured
    active: tuple[str, ...]
    rivals: int


def optimum(
    objective: EMObjective,
    ends: Sequence[Ends],
    *,
    blocks: Sequence[Sequence[str]] | None = None,
    sweeps: int = 1,
    near: Sequence[float] | None = None,
    tries: int = 1,
    explore: bool = True,
) -> Optimum:
    """The joint maximiser over the closed domain, or the end of conditional steps.

    ``blocks`` are names of coordinates, in order (None: all of them as one block), gone through
    ``sweeps`` times with the responsibilities held. ``near`` is the answer that is to be judged: a
    start, and of points whose Q is the same to rounding the nearest to it is the reference.
    Without ``explore`` only the face of ``near`` is climbed, from there.

    Raises :class:`CertificateError` where Q has no maximum in the domain.
    """
    names = objective.names
    order = [tuple(names)] if blocks is None else [tuple(block) for block in blocks]
    with mp.workdps(WORKING):
        path = _Path(objective, tuple(ends))
        answer = None if near is None else [exact(c) for c in near]
        for _ in range(sweeps):
            for block in order:
                path.move([names.index(n) for n in block], answer, tries, explore)
        return path.optimum()


class _Path:
    """The coordinates as they move, with ∂λ/∂λ_old λ_old and the mean absolute summands."""

    def __init__(self, objective: EMObjective, ends: tuple[Ends, ...]) -> None:
        old = objective.old.coords
        size = range(len(old))
        self.objective, self.ends = objective, ends
        self.coords: list[Number] = list(old)
        self.slopes = [[old[i] if i == j else mp.zero for j in size] for i in size]
        self.scales = [mp.zero for _ in size]
        self.strict: dict[int, Number] = {}  # scales before a coordinate was forgiven
        self.multipliers = [Measured(mp.zero, mp.zero, mp.zero) for _ in size]
        self.active: set[int] = set()
        self.rivals = 0
        self.kinked = any(has_jump(objective.old.density, phi) for phi in objective.old.phis)
        self._masses = [
            responsibilities(near, objective.xs, objective.sample_weights)
            for near in objective.near
        ]

    def move(
        self, index: list[int], near: Sequence[Number] | None, tries: int, explore: bool
    ) -> None:
        """Maximise over one block."""
        found = peaks(self.objective, self.coords, index, self.ends, near, tries, explore=explore)
        best = self._chosen(found, near)
        self.rivals = max(self.rivals, len(found) - 1)
        before = self.coords
        self.coords = list(best.coords)
        place = self.objective.at(self.coords)
        inside = [i for i in index if i not in best.active]
        pinned = hold(self.objective, self.coords, inside) if self.kinked else Hold((), (), ())
        free = [i for i in inside if i not in pinned.coords]
        _, hessian = self.objective.newton_system(self.coords, range(len(self.coords)))
        gradients = self.objective.pair_gradients(place)
        mixed = self._mixed(place)
        held = [i for i in range(len(self.coords)) if i not in free]
        for i in set(index) - set(free):
            self.scales[i], self.slopes[i] = mp.zero, [mp.zero] * len(before)
        if pinned.coords:
            self._pin(pinned)
        if free:
            ended = set(index) - set(pinned.coords)
            self._follow(free, held, hessian, gradients, mixed, ended)
        for i in index:
            self.multipliers[i] = Measured(mp.zero, mp.zero, mp.zero)
            self.strict.pop(i, None)
        self.active -= set(index)
        for i in best.active:
            self.active.add(i)
            self.multipliers[i] = self._multiplier(i, hessian, gradients, mixed)
            self._forgive(i, free, hessian, gradients)

    def _chosen(self, found: list[Peak], near: Sequence[Number] | None) -> Peak:
        """The best; of those that are the same to rounding, the nearest to the answer."""
        o = self.objective
        size = mpmath.fsum(abs(v) for v in _summands(o, o.at(found[0].coords)))
        level = found[0].value - LIMIT * UNIT * size
        same = [peak for peak in found if peak.value >= level]
        if near is None:
            return same[0]
        return min(same, key=lambda p: mpmath.fsum(
            abs(a - b) / (1 + abs(b)) for a, b in zip(p.coords, near, strict=True)
        ))  # fmt: skip

    def _mixed(self, place: Located) -> list[list[Number]]:
        """λ_j ∂/∂λ_j of ∇Q by the old coordinates, one list of P for each j."""
        o = self.objective
        base = o.slope(place, o.mass)
        out = []
        for j, old in enumerate(o.old.coords):
            if old:
                moved = o.slope(place, self._masses[j])
                out.append([(m - b) / o.nudge for m, b in zip(moved, base, strict=True)])
            else:
                out.append([mp.zero] * len(base))
        return out

    def _pin(self, pinned: Hold) -> None:
        """What coordinates do that keep kinks on points of the sample, when others move."""
        own, size = pinned.coords, range(len(self.coords))
        grid = mpmath.matrix([[row[i] for i in own] for row in pinned.rows])
        solved = (grid.T * grid) ** -1 * grid.T
        others = [h for h in size if h not in own]
        rest = solved * mpmath.matrix([[row[h] for h in others] for row in pinned.rows])
        known = [self.scales[h] + (abs(self.coords[h]) if self.scales[h] else 0) for h in others]
        for a, i in enumerate(own):
            self.slopes[i] = [
                -mpmath.fsum(rest[a, b] * self.slopes[h][j] for b, h in enumerate(others))
                for j in size
            ]
            beside = [abs(rest[a, b]) * v for b, v in enumerate(known)]
            points = [abs(solved[a, t] * x) for t, x in enumerate(pinned.points)]
            self.scales[i] = mpmath.fsum(points) + mpmath.fsum(beside)

    def _follow(
        self,
        free: list[int],
        held: list[int],
        hessian: Columns,
        gradients: Sequence[Sequence[Number]],
        mixed: Sequence[Sequence[Number]],
        index: set[int],
    ) -> None:
        """The implicit function theorem: what the free coordinates do when others move."""
        bend = inverse(hessian, free)
        spread = mpmath.matrix(len(free), 1)
        for slope in gradients:
            spread += (bend * mpmath.matrix([slope[i] for i in free])).apply(abs)
        for h in held:
            if h in index:
                continue  # at an end, which is exact
            pull = (bend * mpmath.matrix([hessian[i, h] for i in free])).apply(abs)
            known = self.scales[h] + (abs(self.coords[h]) if self.scales[h] else 0)
            spread += pull * known
        columns = []
        for j in range(len(self.coords)):
            right = [
                mixed[j][i] + mp.fsum(hessian[i, h] * self.slopes[h][j] for h in held) for i in free
            ]
            columns.append(-bend * mpmath.matrix(right))
        for a, i in enumerate(free):
            self.scales[i] = spread[a]
            width = 1 / mpmath.sqrt(abs(hessian[i, i]))
            if spread[a] + abs(self.coords[i]) < REST * width:
                self.scales[i] = width  # every summand vanishes with it: Δ = 0 where Δ² is the gap
            self.slopes[i] = [column[a] for column in columns]

    def _multiplier(
        self,
        j: int,
        hessian: Columns,
        gradients: Sequence[Sequence[Number]],
        mixed: Sequence[Sequence[Number]],
    ) -> Measured:
        value = mpmath.fsum(g[j] for g in gradients)
        if self.kinked:
            value = nearest_slope(self.objective, self.coords, j)
        size = range(len(self.coords))
        scale = mpmath.fsum(abs(g[j]) for g in gradients)
        scale += mpmath.fsum(
            abs(hessian[i, j]) * (self.scales[i] + (abs(self.coords[i]) if self.scales[i] else 0))
            for i in size
        )
        moved = [
            mixed[m][j] + mpmath.fsum(hessian[i, j] * self.slopes[i][m] for i in size) for m in size
        ]
        return Measured(value, scale, mpmath.fsum(map(abs, moved)), mp.zero, METHOD)

    def _forgive(
        self, j: int, free: list[int], hessian: Columns, gradients: Sequence[Sequence[Number]]
    ) -> None:
        """A coordinate whose multiplier is rounding may as well lie a rounding inside."""
        m = self.multipliers[j]
        if abs(m.value) > LIMIT * UNIT * (m.scale + m.sensitivity):
            return
        both = [*free, j]
        try:
            bend = inverse(hessian, both)
        except CertificateError:
            return
        rows = [bend * mpmath.matrix([slope[i] for i in both]) for slope in gradients]
        for i in both:
            self.strict.setdefault(i, self.scales[i])
        self.scales[j] = mpmath.fsum(abs(row[len(free)]) for row in rows)
        for a, i in enumerate(free):
            self.scales[i] = max(self.scales[i], mpmath.fsum(abs(row[a]) for row in rows))

    def optimum(self) -> Optimum:
        """What was found, with the gain."""
        rows = zip(self.coords, self.scales, self.slopes, strict=True)
        coords = tuple(
            Measured(c, self.strict.get(i, s), mpmath.fsum(map(abs, d)), mp.zero, METHOD)
            for i, (c, s, d) in enumerate(rows)
        )
        coords = tuple(
            m.widened(scale=self.scales[i]) if i in self.strict else m for i, m in enumerate(coords)
        )
        names = self.objective.names
        active = tuple(names[i] for i in sorted(self.active))
        return Optimum(coords, tuple(self.multipliers), self._gain(), active, self.rivals)

    def _gain(self) -> Measured:
        """Q(new) − Q(old), summed as one difference for each point and component."""
        o = self.objective
        new = o.at(self.coords)
        pairs = list(zip(_summands(o, new), _summands(o, o.old), strict=True))
        value = mpmath.fsum(a - b for a, b in pairs)
        scale = mpmath.fsum(abs(a - b) for a, b in pairs)
        slope = o.slope(new, o.mass)
        sensitivity = mp.zero
        for j, old in enumerate(o.old.coords):
            if not old:
                continue
            mass = self._masses[j]
            there = mpmath.fsum(_summands(o, new, mass)) - mpmath.fsum(
                _summands(o, o.near[j], mass)
            )
            moved = (there - value) / o.nudge
            sensitivity += abs(moved + mp.fdot(slope, [d[j] for d in self.slopes]))
        return Measured(value, scale, sensitivity, mp.zero, METHOD)


def _summands(
    objective: EMObjective, place: Located, mass: list[list[Number]] | None = None
) -> list[Number]:
    """w_n r_k(x_n) log(π_k f_k(x_n)), one for each component and point."""
    out = []
    columns = zip(*place.log_components(objective.xs), strict=True)
    for column, share, weight in zip(columns, mass or objective.mass, place.weights, strict=True):
        log_weight = mpmath.log(weight) if weight else mp.zero
        out += [r * (v + log_weight) if r else mp.zero for r, v in zip(share, column, strict=True)]
    return out
