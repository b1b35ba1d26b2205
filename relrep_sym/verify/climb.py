"""The highest point of Q over a box of coordinates: every face of it is searched.

In: an :class:`~relrep_sym.verify.em.EMObjective`, the coordinates that move, their domains and
points to start from. Out: the points at which the conditions of Karush, Kuhn and Tucker hold, the
best first. For each set of coordinates held at an end of their domain, Newton's method runs on the
others from each start, kept inside the domain and never downhill; what it ends at is kept where no
coordinate would rather leave its end. No formula for a constrained maximiser enters.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import mpmath
from mpmath import mp

from relrep_sym.errors import CertificateError, problem
from relrep_sym.verify.em import Columns, EMObjective
from relrep_sym.verify.jets import Number
from relrep_sym.verify.kinked import has_jump, settled
from relrep_sym.verify.uphill import rising, uphill

__all__ = ["MOST_FACES", "Ends", "NoMaximumError", "Peak", "peaks"]

Ends = tuple[float, float, bool]
"""The lower and the upper end of a coordinate's domain, and whether the lower one is open."""
Face = Mapping[int, Number]
"""The coordinates that are held at an end, with the end."""

MOST_FACES = 243
"""More faces than these are not searched."""
STEPS = 60
LENGTHS = 24
"""Trials to either side of a saddle, each half as far as the one before."""
SMALL = mpmath.mpf("1e-45")
"""The step at which Newton's method ends, relative to the coordinate and its curvature's width."""
CLOSE = mpmath.mpf("1e-14")
"""The step at which a peak that is known already is recognised."""
FLAT = mpmath.mpf("1e-35")
"""Of the mean absolute summand: a slope below this is zero."""


@dataclass(frozen=True)
class Peak:
    """A point where the conditions hold: its coordinates, Q there, and which lie at an end."""

    coords: tuple[Number, ...]
    value: Number
    active: tuple[int, ...]

    def ended(self, active: tuple[int, ...]) -> Peak:
        """The same, with the coordinates that lie at an end."""
        return replace(self, active=active)


class NoMaximumError(CertificateError):
    """Q has no maximum in the domain: every climb leaves for an open end, or for infinity."""


class _Slid(Exception):
    """The climb left for an open end, or to infinity; or it does not end: how high it came."""

    def __init__(self, shown: str, height: Number = -mp.inf) -> None:
        super().__init__(shown)
        self.height = height


def peaks(
    objective: EMObjective,
    start: Sequence[Number],
    index: Sequence[int],
    ends: Sequence[Ends],
    near: Sequence[Number] | None = None,
    tries: int = 1,
    *,
    explore: bool = True,
) -> list[Peak]:
    """Every point found at which the conditions hold over the coordinates ``index``, best first.

    The others are held at ``start``. Climbs begin at ``start``, at ``near`` (an answer that is to
    be judged) where given, and at ``tries`` seeded random points. Raises
    :class:`CertificateError` where no maximum is found, or where the faces are too many.
    """
    box = _Box(objective, list(start), tuple(index), tuple(ends))
    if not explore and near is None:
        raise CertificateError(problem("one climb", "no start", "near=, the point it starts from"))
    kinked = any(has_jump(objective.old.density, phi) for phi in objective.old.phis)
    faces = box.faces() if explore or near is None else [box.face_of(near)]
    found: list[Peak] = []
    slid: list[_Slid] = []
    for face in faces:
        for begin in box.starts(near, tries if explore else -1, face):
            try:
                peak = settled(box, begin, face) if kinked else box.climb(begin, face, found)
            except _Slid as stopped:
                slid.append(stopped)
                continue
            if peak is not None and not any(_same(peak.coords, p.coords) for p in found):
                found.append(peak)
    if not found:
        given = str(slid[0]) if slid else "no start lies in it"
        right = "a maximum in the chart's closed domain"
        raise NoMaximumError(problem("Q has no maximum on any face", given, right))
    found.sort(key=lambda peak: -peak.value)
    above = [stopped for stopped in slid if stopped.height > found[0].value]
    if above:
        given = f"after {STEPS} steps at {above[0]}"
        right = f"nothing above the best, {box.shown(found[0].coords)}"
        raise CertificateError(problem("a climb of Q that did not end is higher", given, right))
    return found


def _same(one: Sequence[Number], other: Sequence[Number], tiny: float = 1e-25) -> bool:
    return all(abs(a - b) <= tiny * (1e-3 + abs(a)) for a, b in zip(one, other, strict=True))


@dataclass(frozen=True)
class _Box:
    objective: EMObjective
    start: list[Number]
    index: tuple[int, ...]
    ends: tuple[Ends, ...]

    # ---- faces and starts --------------------------------------------------------------------

    def faces(self) -> list[Face]:
        """The inside, and every face on which Q is finite somewhere near the start."""
        options: list[list[tuple[int, Number] | None]] = []
        for i in self.index:
            low, high, is_open = self.ends[i]
            here = [mpmath.mpf(e) for e in ([] if is_open else [low]) + [high] if mp.isfinite(e)]
            options.append([None, *((i, end) for end in here if self._finite_at(i, end))])
        count = 1
        for option in options:
            count *= len(option)
        if count > MOST_FACES:
            raise CertificateError(problem("faces of the domain", count, f"at most {MOST_FACES}"))
        return [dict(filter(None, chosen)) for chosen in itertools.product(*options)]

    def face_of(self, near: Sequence[Number]) -> Face:
        """The coordinates that lie at an end."""
        return {i: near[i] for i in self.index if self.at_end(near, i)}

    def _finite_at(self, i: int, end: Number) -> bool:
        moved = list(self.start)
        moved[i] = end
        return self.value(moved) is not None

    def starts(
        self, near: Sequence[Number] | None, tries: int, face: Face
    ) -> Iterator[list[Number]]:
        """Points on a face at which Q is finite: ``near`` alone if ``tries`` is negative."""
        for given in (near, self.start if tries >= 0 else None):
            if given is not None:
                begin = self._on(given, face)
                if self.value(begin) is not None:
                    yield begin
        rng = random.Random(f"{len(face)} {sorted(face)}")
        for _ in range(tries):
            reach = 1.0
            for _ in range(12):
                begin = self._on(self._thrown(rng, reach), face)
                if self.value(begin) is not None:
                    yield begin
                    break
                reach /= 2

    def _on(self, given: Sequence[Number], face: Face) -> list[Number]:
        out = list(self.start)
        for i in self.index:
            out[i] = face.get(i, given[i])
        return out

    def _thrown(self, rng: random.Random, reach: float) -> list[Number]:
        out = list(self.start)
        for i in self.index:
            low, high, _ = self.ends[i]
            by = rng.gauss(0, reach)
            if mp.isinf(low):
                out[i] = out[i] + by * (1 + abs(out[i]))
            elif mp.isinf(high):
                out[i] = (out[i] or mpmath.mpf(0.25)) * mpmath.exp(by)
            else:
                inside = low + (high - low) * rng.random()
                out[i] = out[i] + min(reach, 1.0) * (inside - out[i])
        return out

    # ---- Q, where there is one ---------------------------------------------------------------

    def value(self, coords: Sequence[Number]) -> Number | None:
        """Q, or None where it is not finite or the coordinates are outside their domains."""
        for i in self.index:
            low, high, is_open = self.ends[i]
            if not low <= coords[i] <= high or (is_open and coords[i] == low):
                return None
        o = self.objective
        try:
            weights, phis = o.old.chart(coords)
        except (ZeroDivisionError, ValueError):
            return None
        f, total = o.old.density.component_log_density, mp.zero
        for weight, phi, mass in zip(weights, phis, o.mass, strict=True):
            share = mpmath.fsum(mass)
            if not share:
                continue
            if not weight > 0:
                return None
            try:
                logs = [f(x, *phi) for x in o.xs]
            except (ZeroDivisionError, ValueError):
                return None
            if any(isinstance(v, mpmath.mpc) or not mp.isfinite(v) for v in logs):
                return None
            total += mp.fdot(mass, logs) + share * mpmath.log(weight)
        return total

    # ---- one climb ---------------------------------------------------------------------------

    def climb(
        self,
        coords: list[Number],
        face: Face,
        known: Sequence[Peak] = (),
        held: Collection[int] = (),
        unjudged: Collection[int] = (),
    ) -> Peak | None:
        """Newton's method from a start on a face; None where it comes to a peak that is known, or
        where a coordinate of the face, other than those ``unjudged``, would rather leave its end.

        The coordinates ``held`` stay where they are.
        """
        height = self.value(coords)
        moving = [i for i in self.index if i not in face and i not in held]
        judged = {i: end for i, end in face.items() if i not in unjudged}
        for _ in range(STEPS):
            gradient, hessian = self.objective.newton_system(coords, moving)
            outward = {i for i in moving if self._outward(coords, gradient, i)}
            step, full = self._direction(coords, gradient, hessian, moving, outward)
            units = {i: abs(coords[i]) + _width(hessian[i, i]) for i in moving}
            if full and all(abs(s) <= SMALL * units[i] for i, s in step.items()):
                return self._kept(coords, gradient, height, judged, {*face, *outward})
            close = full and all(abs(s) <= CLOSE * units[i] for i, s in step.items())
            if close and any(_same(coords, peak.coords, 1e-10) for peak in known):
                return None
            if not full and all(abs(s) <= CLOSE * units[i] for i, s in step.items()):
                aside = self._aside(
                    coords, hessian, [i for i in moving if i not in outward], height
                )
                if aside is not None:  # a saddle: on from a higher point beside it
                    coords, height = aside
                    continue
            after = self._line(coords, step, height)
            if after is None:  # nothing is gained along an uphill direction: its end
                if all(abs(s) <= mpmath.sqrt(SMALL) * units[i] for i, s in step.items()):
                    return self._kept(coords, gradient, height, judged, {*face, *outward})
                raise CertificateError(
                    problem("a climb of Q is stuck", self.shown(coords), "a stationary point")
                )
            coords, height = after
        raise _Slid(self.shown(coords), height)

    def shown(self, coords: Sequence[Number]) -> str:
        """Coordinates by name."""
        pairs = zip(self.objective.names, coords, strict=True)
        return ", ".join(f"{n} = {mpmath.nstr(c, 8)}" for n, c in pairs)

    def at_end(self, coords: Sequence[Number], i: int) -> int:
        """−1 at the lower end, 1 at the upper, 0 between."""
        low, high, _ = self.ends[i]
        return -1 if coords[i] == low else (1 if coords[i] == high else 0)

    def _outward(self, coords: Sequence[Number], gradient: Sequence[Number], i: int) -> bool:
        return self.at_end(coords, i) * gradient[i] > 0

    def _direction(
        self,
        coords: Sequence[Number],
        gradient: Sequence[Number],
        hessian: Columns,
        moving: list[int],
        held: set[int],
    ) -> tuple[dict[int, Number], bool]:
        """An uphill step for each coordinate that is not held, and whether it is Newton's own."""
        free = [i for i in moving if i not in held]
        waiting: list[int] = []
        while free:
            step, plain = uphill(gradient, hessian, free)
            blocked = [i for i in free if self.at_end(coords, i) * step[i] > 0]
            if not blocked:
                break
            waiting += blocked
            free = [i for i in free if i not in blocked]
        else:
            step, plain = {}, True
        if waiting:  # they would rather move inward: each on its own, once the others rest
            plain = False
            if all(abs(s) <= mpmath.mpf("1e-20") * (1 + abs(coords[i])) for i, s in step.items()):
                for i in waiting:
                    step[i] = uphill(gradient, hessian, [i])[0][i]
        return step, plain

    def _aside(
        self, coords: list[Number], hessian: Columns, free: list[int], height: Number
    ) -> tuple[list[Number], Number] | None:
        """The highest of some points to both sides along the most rising curvature, where higher.

        A coordinate that would leave its end stays there.
        """
        along = rising(hessian, free)
        best = None
        for n in range(LENGTHS if along else 0):
            for sign in (1, -1):
                step = {i: sign * v / 2**n for i, v in (along or {}).items()}
                moved = self._moved(coords, step, mp.one)
                value = self.value(moved)
                if value is not None and value > (height if best is None else best[1]):
                    best = moved, value
        return best

    def _line(
        self, coords: list[Number], step: dict[int, Number], height: Number
    ) -> tuple[list[Number], Number] | None:
        """The first halving of the step, cut at the ends, that does not go down.

        Where the whole step leaves Q's domain each coordinate is first kept inside on its own: a
        weight of 1e-12 would otherwise hold all the others back.
        """
        whole = self._moved(coords, step, mp.one)
        if self.value(whole) is None:
            inside = {i: s * self._room(coords, i, s) for i, s in step.items()}
            found = self._halved(coords, inside, height, 8)
            if found is not None:
                return found
        return self._halved(coords, step, height, 120)

    def _halved(
        self, coords: list[Number], step: dict[int, Number], height: Number, most: int
    ) -> tuple[list[Number], Number] | None:
        factor, slack = mp.one, mpmath.mpf(10) ** -80 * (1 + abs(height))
        for _ in range(most):
            moved = self._moved(coords, step, factor)
            value = self.value(moved)
            if value is not None and value >= height - slack and moved != coords:
                return moved, value
            factor /= 2
        return None

    def _moved(self, coords: list[Number], step: dict[int, Number], factor: Number) -> list[Number]:
        moved = list(coords)
        for i, s in step.items():
            low, high, is_open = self.ends[i]
            to = coords[i] + factor * s
            moved[i] = min(to if is_open else max(to, mpmath.mpf(low)), mpmath.mpf(high))
        return moved

    def _room(self, coords: list[Number], i: int, step: Number) -> Number:
        """The share of one coordinate's own step that keeps a tenth of its way to the edge."""
        share = mp.one
        for _ in range(200):
            if self.value(self._moved(coords, {i: step}, share)) is not None:
                break
            share /= 2
        return share if share == 1 else mpmath.mpf("0.9") * share

    def _kept(
        self,
        coords: Sequence[Number],
        gradient: Sequence[Number],
        height: Number,
        face: Face,
        active: set[int],
    ) -> Peak | None:
        size = max((abs(g) for g in gradient), default=mp.one) + 1
        for i, end in face.items():
            sign = -1 if end == self.ends[i][0] else 1
            if sign * gradient[i] < -FLAT * size:
                return None
        return Peak(tuple(coords), height, tuple(sorted(active)))


def _width(curvature: Number) -> Number:
    return 1 / mpmath.sqrt(abs(curvature)) if curvature else mp.zero
