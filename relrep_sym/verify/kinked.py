"""The highest point of Q over a box where log f has a kink: most locations end on sample points.

In: a box of coordinates (:mod:`.climb`), a start on one of its faces. Out: a peak, found by turns:
along every direction that moves kinks Q is evaluated where a kink meets a point of the sample, and
the best is taken; the coordinates that no kink then holds are climbed. At the end the one-sided
slopes of Q along all these directions, the bounds' included, must not rise. No median is computed.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import mpmath
from mpmath import mp

from relrep_sym.errors import CertificateError, problem
from relrep_sym.verify.jets import GUARD, Density, Number

if TYPE_CHECKING:
    from relrep_sym.verify.climb import Peak, _Box
    from relrep_sym.verify.em import EMObjective

__all__ = ["Hold", "has_jump", "hold", "nearest_slope", "settled"]

ROUNDS = 40
MOST_DIRECTIONS = 64
"""Beside the axes: of more, none is gone along."""
TIGHT = mpmath.mpf("1e-60")
"""How near a kink is to a point that it stands on."""
BESIDE = mpmath.mpf("1e-40")
"""The step of one-sided slopes."""
RISES = mpmath.mpf("1e-30")
"""Of the sum of the masses: a one-sided slope below this, by the direction's unit, is zero."""
GAINED = mpmath.mpf("1e-75")
"""A gain in Q that is none of rounding."""

Direction = dict[int, Number]


@dataclass(frozen=True)
class Hold:
    """Coordinates that kinks hold: rows ∂m_k/∂λ of the kinks that stand on a point, and the points.

    ``rows[t]`` is over all coordinates.
    """

    coords: tuple[int, ...]
    rows: tuple[tuple[Number, ...], ...]
    points: tuple[Number, ...]


def has_jump(density: Density, phi: Sequence[Number]) -> bool:
    """Whether the slope of log f jumps where it is said not to be smooth."""
    if density.analytic or density.kinks is None:
        return False
    f = density.component_log_density
    for m in density.kinks(*phi):
        bend = f(m + BESIDE, *phi) + f(m - BESIDE, *phi) - 2 * f(m, *phi)
        if abs(bend) > mpmath.mpf("1e-15") * BESIDE:
            return True
    return False


def _places(o: EMObjective, coords: Sequence[Number]) -> list[Number]:
    """The kinks of all components that have mass."""
    assert o.old.density.kinks is not None
    out = []
    for phi, mass in zip(o.old.chart(coords)[1], o.mass, strict=True):
        if any(mass):
            out += list(o.old.density.kinks(*phi))
    return out


def _moves(o: EMObjective, coords: Sequence[Number]) -> list[list[Number]]:
    """∂m_k/∂λ_j, one row for each kink, by complex step."""
    columns = []
    for j in range(len(coords)):
        moved = list(coords)
        moved[j] = mpmath.mpc(coords[j], mpmath.mpf(10) ** -GUARD)
        columns.append([mpmath.im(m) * 10**GUARD for m in _places(o, moved)])
    return [list(row) for row in zip(*columns, strict=True)]


def hold(o: EMObjective, coords: Sequence[Number], among: Sequence[int]) -> Hold:
    """The coordinates of ``among`` that are held by kinks on points of the sample.

    Raises :class:`CertificateError` where kinks hold a combination of coordinates that is free
    otherwise.
    """
    rows, points = [], []
    for m, row in zip(_places(o, coords), _moves(o, coords), strict=True):
        near = min((abs(x - m), x) for x in o.xs)[1]
        if abs(near - m) <= TIGHT * (1 + abs(near)) and any(row[i] for i in among):
            rows.append(tuple(row))
            points.append(near)
    own = tuple(i for i in among if any(row[i] for row in rows))
    if own:
        grid = mpmath.matrix([[row[i] for i in own] for row in rows])
        sizes = mpmath.svd_r(grid, compute_uv=False)
        if sum(1 for s in sizes if s > mpmath.mpf("1e-30") * sizes[0]) < len(own):
            names = ", ".join(o.names[i] for i in own)
            text = problem("kinks hold a combination of coordinates", names, "each by itself")
            raise CertificateError(text)
    return Hold(own, tuple(rows), tuple(points))


def nearest_slope(o: EMObjective, coords: Sequence[Number], j: int) -> Number:
    """Of the slopes of Q along a coordinate that a kink lets be, the one nearest to zero."""
    sides = []
    here = o(coords)
    for sign in (-1, 1):
        moved = list(coords)
        moved[j] += sign * BESIDE
        sides.append(sign * (o(moved) - here) / BESIDE)
    low, high = min(sides), max(sides)
    return low if low > 0 else min(high, mp.zero)


def settled(box: _Box, begin: Sequence[Number], face: Mapping[int, Number]) -> Peak | None:
    """A peak of a face, from a start; None where it would rather be left."""
    o, coords = box.objective, list(begin)
    height = box.value(coords)
    for _ in range(ROUNDS):
        before = height
        coords, height = _landed(box, coords, height, face)
        inside = [i for i in box.index if i not in face and not box.at_end(coords, i)]
        movers = _movers(o, coords, box.index)
        ended = [i for i in movers if box.at_end(coords, i)]
        held = (*hold(o, coords, inside).coords, *ended)
        peak = box.climb(coords, face, held=held, unjudged=movers)
        if peak is None:
            return None
        coords, height = list(peak.coords), peak.value
        if height <= before + GAINED * (1 + abs(height)):
            break
    else:
        given = f"{ROUNDS} rounds, then at {box.shown(coords)}"
        raise CertificateError(
            problem("a climb of Q along its kinks does not end", given, "a peak")
        )
    rising = _rising(box, coords, height)
    if rising is None:
        active = tuple(i for i in box.index if i in face or box.at_end(coords, i))
        return peak.ended(active)
    if any(i in face or box.at_end(coords, i) for i in rising):
        return None
    along = ", ".join(o.names[i] for i in rising)
    given = f"a slope along {along} at {box.shown(coords)}"
    raise CertificateError(problem("a climb of Q ends where it rises", given, "a peak"))


def _movers(o: EMObjective, coords: Sequence[Number], among: Sequence[int]) -> list[int]:
    """The coordinates that move a kink."""
    moves = _moves(o, coords)
    return [i for i in among if any(row[i] for row in moves)]


def _directions(
    o: EMObjective, coords: Sequence[Number], among: Sequence[int]
) -> Iterator[Direction]:
    """The axes, and the directions that leave all kinks but those of some components in place."""
    movers = _movers(o, coords, among)
    for i in movers:
        yield {i: mp.one}
    rows = [[row[i] for i in movers] for row in _moves(o, coords)]
    chosen = list(itertools.combinations(rows, len(movers) - 1)) if len(movers) > 1 else []
    for kept in chosen if len(chosen) <= MOST_DIRECTIONS else []:
        minors = []
        for a in range(len(movers)):
            left = mpmath.matrix([[v for b, v in enumerate(row) if b != a] for row in kept])
            minors.append((-1) ** a * mpmath.det(left))
        found = {i: v for i, v in zip(movers, minors, strict=True) if v}
        if len(found) > 1:  # an axis, or nothing, where it is one
            yield found


def _landed(
    box: _Box, coords: list[Number], height: Number, face: Mapping[int, Number]
) -> tuple[list[Number], Number]:
    """The best where a kink meets a point, along one direction after another while Q grows."""
    o = box.objective
    free = [i for i in box.index if i not in face]
    for _ in range(ROUNDS):
        before = height
        for direction in _directions(o, coords, free):
            for moved in _meetings(box, coords, direction):
                value = box.value(moved)
                if value is not None and value > height + GAINED * (1 + abs(height)):
                    coords, height = moved, value
        if height == before:
            break
    return coords, height


def _meetings(box: _Box, coords: list[Number], direction: Direction) -> list[list[Number]]:
    """Where along a direction a kink stands on a point of the sample, or a coordinate at an end."""
    o, out = box.objective, []

    def at(t: Number) -> list[Number]:
        return [c + t * direction.get(i, mp.zero) for i, c in enumerate(coords)]

    def speed(t: Number) -> list[Number]:
        moves = _moves(o, at(t))
        return [mpmath.fsum(row[i] * v for i, v in direction.items()) for row in moves]

    places, speeds = _places(o, coords), speed(mp.zero)
    unit = mp.one
    straight = all(
        abs(there - m - unit * s) <= TIGHT * (1 + abs(m) + abs(s))
        for there, m, s in zip(_places(o, at(unit)), places, speeds, strict=True)
    )
    for k, (m, s) in enumerate(zip(places, speeds, strict=True)):
        if not s:
            continue
        for x in o.xs:
            t = (x - m) / s
            for _ in range(0 if straight else 60):
                slope = speed(t)[k]
                step = (_places(o, at(t))[k] - x) / slope if slope else mp.inf
                t -= step
                if not mp.isfinite(t) or abs(step) <= mpmath.mpf("1e-85") * (1 + abs(t)):
                    break
            if mp.isfinite(t):
                out.append(at(t))
    for i, v in direction.items():
        for end in box.ends[i][:2]:
            if mp.isfinite(end):
                moved = at((mpmath.mpf(end) - coords[i]) / v)
                moved[i] = mpmath.mpf(end)
                out.append(moved)
    return out


def _rising(box: _Box, coords: list[Number], height: Number) -> Direction | None:
    """A direction along which Q rises inside the domain, both sides of every kink looked at."""
    o = box.objective
    size = mpmath.fsum(mpmath.fsum(mass) for mass in o.mass)
    for direction in _directions(o, coords, box.index):
        for sign in (1, -1):
            moved = list(coords)
            for i, v in direction.items():
                moved[i] += sign * BESIDE * v
            value = box.value(moved)
            if value is not None and value - height > RISES * BESIDE * size:
                return direction
    return None
