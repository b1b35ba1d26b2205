"""The EM objective and its maximiser, solved for rather than written down.

In: a mixture at the old coordinates and a weighted sample. Out: Q(λ'|λ), its gradient, and the
coordinates that maximise it, each a :class:`Measured`. A closed-form M-step is judged by this: from
a start near the kernel's answer, Newton's method at fifty digits solves ∇Q = 0 in the chart's own
coordinates, so that no formula for a maximiser enters; the Hessian must then be negative definite.
"""

from __future__ import annotations

from collections.abc import Sequence

import mpmath
from mpmath import mp

from relrep_sym.errors import CertificateError, problem
from relrep_sym.verify.jets import DIGITS, WORKING, Located, Memo, Number, exact
from relrep_sym.verify.yardstick import Measured

__all__ = ["Columns", "EMObjective", "inverse", "responsibilities"]

Columns = dict[tuple[int, int], Number]
"""Entries (i, j) of the Hessian, whole columns of them."""

STEP = mpmath.mpf("1e-25")
"""Relative step of the Hessian's differences: 25 digits, far more than Newton's method needs."""
MOST_TABLES = 4096
"""Tables of jets that are remembered: the faces of a domain share most components."""


def responsibilities(
    place: Located, xs: Sequence[Number], weights: Sequence[Number]
) -> list[list[Number]]:
    """w_n r_k(x_n), one list for each component."""
    rows = []
    for logs, weight in zip(place.log_components(xs), weights, strict=True):
        shift = max(logs)
        pairs = zip(place.weights, logs, strict=True)
        joint = [w * mpmath.exp(value - shift) for w, value in pairs]
        total = mpmath.fsum(joint)
        rows.append([weight * v / total for v in joint])
    return [list(column) for column in zip(*rows, strict=True)]


class EMObjective:
    """Q(λ'|λ) = Σ_n w_n Σ_k r_k(x_n; λ) [log π_k(λ') + log f(x_n | φ_k(λ'))].

    ``old`` is the mixture at λ, ``near[j]`` the same with λ_j (1 + ``nudge``).
    """

    def __init__(
        self,
        old: Located,
        near: Sequence[Located],
        nudge: Number,
        xs: Sequence[Number],
        weights: Sequence[Number],
        names: Sequence[str],
    ) -> None:
        self.old, self.near, self.nudge = old, near, nudge
        self.xs, self.sample_weights, self.names = xs, weights, list(names)
        self.mass = responsibilities(old, xs, weights)
        self._memo: Memo = {}

    def __call__(self, coords: Sequence[float]) -> Number:
        """Q at these coordinates."""
        with mp.workdps(WORKING):
            place = self.at(coords)
            columns = zip(*place.log_components(self.xs), strict=True)
            total = mp.zero
            for column, mass, weight in zip(columns, self.mass, place.weights, strict=True):
                share = mpmath.fsum(mass)
                total += mp.fdot(mass, column) + (share * mpmath.log(weight) if share else 0)
            return total

    def gradient(self, coords: Sequence[float]) -> list[Number]:
        """∂Q/∂λ' at these coordinates; of a coordinate held at its bound, the sign is what counts.

        A maximiser on a bound λ_j = 0 of λ_j ≥ 0 has a gradient ≤ 0 there.
        """
        with mp.workdps(WORKING):
            return self.slope(self.at(coords), self.mass)

    def maximise(
        self, start: Sequence[float], free: Sequence[str] | None = None
    ) -> tuple[Measured, ...]:
        """The coordinates that maximise Q over ``free`` (all, if None), the others held at start.

        Newton's method from ``start``, the answer to be judged. For each free coordinate the mean
        absolute summand is that of its influence function, E|−H⁻¹∇q(X)|, and the sensitivity is to
        the old coordinates and to those held. Raises :class:`CertificateError` where it does not
        converge, or converges to something other than a local maximum.
        """
        index = [self.names.index(name) for name in (self.names if free is None else free)]
        with mp.workdps(WORKING):
            coords = [exact(c) for c in start]
            for _ in range(60):
                gradient, hessian = self.newton_system(coords, index)
                step = inverse(hessian, index) * mpmath.matrix([gradient[i] for i in index])
                for i, s in zip(index, step, strict=True):
                    coords[i] -= s
                moves = zip(step, (coords[i] for i in index), strict=True)
                small = mpmath.mpf(10) ** (8 - DIGITS)
                if all(abs(s) <= small * (abs(c) + small / 10**20) for s, c in moves):
                    return self._measured(coords, index)
        given = f"60 steps, then at {', '.join(mpmath.nstr(c, 12) for c in coords)}"
        text = problem("Newton's method on the EM objective does not end", given, "a maximum")
        raise CertificateError(text)

    def at(self, coords: Sequence[Number]) -> Located:
        """The mixture at other coordinates."""
        return Located(self.old.density, self.old.chart, coords)

    def slope(self, place: Located, mass: list[list[Number]]) -> list[Number]:
        """∇Q at a place, with these w_n r_k."""
        tangent: dict[int, Number] = {}
        tables = place.tables(self.xs, self._memo)
        number = len(place.weights)
        for k, (table, share) in enumerate(zip(tables, mass, strict=True)):
            total = mpmath.fsum(share)
            tangent[k] = total / place.weights[k] if total else mp.zero
            for column in zip(*(gradient for _, gradient in table), strict=True):
                tangent[number] = mp.fdot(share, column)
                number += 1
        return place.pull_back(tangent)

    def newton_system(
        self, coords: list[Number], columns: Sequence[int]
    ) -> tuple[list[Number], Columns]:
        """∇Q, and columns of the Hessian by differences of it."""
        if len(self._memo) > MOST_TABLES:
            self._memo.clear()
        gradient = self.slope(self.at(coords), self.mass)
        hessian = {}
        for j in columns:
            moved = list(coords)
            step = -STEP * coords[j] or STEP  # toward zero: no other weight becomes negative
            moved[j] += step
            other = self.slope(self.at(moved), self.mass)
            for i, (g, o) in enumerate(zip(gradient, other, strict=True)):
                hessian[i, j] = (o - g) / step
        return gradient, hessian

    def _insist_maximum(self, hessian: Columns, index: list[int]) -> None:
        """−H is positive definite where all its pivots are positive."""
        rows = [[-(hessian[i, j] + hessian[j, i]) / 2 for j in index] for i in index]
        for a, row in enumerate(rows):
            if not row[a] > 0:
                given = f"curvature {mpmath.nstr(-row[a], 5)} along {self.names[index[a]]}"
                text = problem("the stationary point of Q is no local maximum", given, "negative")
                raise CertificateError(text)
            for other in rows[a + 1 :]:
                factor = other[a] / row[a]
                for b in range(a, len(rows)):
                    other[b] -= factor * row[b]

    def _measured(self, coords: list[Number], index: list[int]) -> tuple[Measured, ...]:
        _, hessian = self.newton_system(coords, range(len(coords)))
        self._insist_maximum(hessian, index)
        bend, place = inverse(hessian, index), self.at(coords)
        spread = mpmath.matrix(len(index), 1)
        for n in range(len(self.xs)):
            slope = self.summand_gradient(place, n)
            spread += (bend * mpmath.matrix([slope[i] for i in index])).apply(abs)
        sensitivity = mpmath.matrix(len(index), 1)
        for j, old in enumerate(self.old.coords):
            if old:
                mass = responsibilities(self.near[j], self.xs, self.sample_weights)
                slope = self.slope(place, mass)
                moved = bend * mpmath.matrix([slope[i] / self.nudge for i in index])
                sensitivity += moved.apply(abs)
            if j not in index:
                moved = bend * mpmath.matrix([hessian[i, j] * coords[j] for i in index])
                sensitivity += moved.apply(abs)
        rows = zip(index, spread, sensitivity, strict=True)
        method = "Newton's method on Q at 50 digits"
        return tuple(Measured(coords[i], s, t, mp.zero, method) for i, s, t in rows)

    def summand_gradient(self, place: Located, n: int) -> list[Number]:
        """The gradient of the n-th summand of Q, its weight included."""
        tangent: dict[int, Number] = {}
        number = len(place.weights)
        for k, table in enumerate(place.tables(self.xs, self._memo)):
            share = self.mass[k][n]
            tangent[k] = share / place.weights[k] if share else mp.zero
            for slope in table[n][1]:
                tangent[number] = share * slope
                number += 1
        return place.pull_back(tangent)

    def pair_gradients(self, place: Located) -> list[list[Number]]:
        """The gradient of each summand of Q, one for every point and component."""
        out = []
        number = len(place.weights)
        for k, table in enumerate(place.tables(self.xs, self._memo)):
            size = len(place.phis[k])
            for (_, slopes), share in zip(table, self.mass[k], strict=True):
                if share:
                    tangent = {number + a: share * slope for a, slope in enumerate(slopes)}
                    tangent[k] = share / place.weights[k]
                    out.append(place.pull_back(tangent))
            number += size
        return out


def inverse(hessian: Columns, index: Sequence[int]) -> Number:
    """H⁻¹ over the free coordinates. Raises :class:`CertificateError` where there is none."""
    block = mpmath.matrix([[hessian[i, j] for j in index] for i in index])
    try:
        return block**-1
    except ZeroDivisionError:
        text = problem("the Hessian of Q is singular", f"{len(index)} coordinates", "a maximum")
        raise CertificateError(text) from None
