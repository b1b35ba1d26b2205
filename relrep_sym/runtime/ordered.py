"""The exact maximiser of a sum of one-peaked terms over parameters in order, with clearances.

In: :class:`~relrep_sym.runtime.terms.Terms` g_1 … g_K and clearances c_1 … c_{K−1}. Out:
:class:`Ordered`, where Σ_k g_k(θ_k) is greatest among θ_{k+1} ≥ θ_k + c_k, or among
θ_{k+1} ≥ θ_k e^{c_k}. With θ_k = u_k + c_1 + … + c_{k−1} the u ascend.

Where a block's best value is a weighted mean of its members' (of powers of them, of shares), this
is isotonic regression: a location under known scales in the weights N_k/σ_k² (Robertson, Wright &
Dykstra 1988); an exponential family's mean in the weights N_k (Barlow, Bartholomew, Bremner & Brunk
1972, chapter 2), a normal scale as its square. Elsewhere (a location with its own free scale,
an additive clearance between scales) Q is not concave: the blocks of the maximiser sit each at a
local maximum of the sum of their terms, so all of those are found, and the best ascending choice
among them by dynamic programming is the global maximiser.
"""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from relrep_sym.errors import DomainError, problem
from relrep_sym.runtime.check import Array
from relrep_sym.runtime.isotonic import balanced, isotonic, runs
from relrep_sym.runtime.peaks import peaks, settled
from relrep_sym.runtime.terms import Logit, Power, Profile, Quadratic, Terms

__all__ = ["Both", "Ordered", "location_and_scale", "ordered", "pools"]

_EPS = np.finfo(float).eps
_CELLS = 1 << 22
"""Slopes that are held at once."""


class Ordered(NamedTuple):
    """A maximiser in order.

    Attributes:
        values: θ, (K, B).
        gaps: θ_{k+1} − θ_k − c_k, or of a multiplicative order log θ_{k+1} − log θ_k − c_k,
            (K − 1, B): exactly zero where the order holds the two together.
        multipliers: −∂Q/∂gap_k ≥ 0, every other gap and the base held or moved alike, (K − 1, B).
        residual: the largest slope of a block that is left, (B,), relative to the sum of its terms'
            slopes and of their changes with the last digits of θ.
    """

    values: Array
    gaps: Array
    multipliers: Array
    residual: Array


def pools(terms: Terms, clearances: Array, multiplicative: bool) -> bool:
    """Whether blocks have their best value in closed form, so that the problem is isotonic."""
    if isinstance(terms, Quadratic):
        return not multiplicative
    if isinstance(terms, Power):
        return multiplicative or not clearances.any()
    return isinstance(terms, Logit) and not clearances.any()


def ordered(terms: Terms, clearances: Array, multiplicative: bool = False) -> Ordered:
    """Where Σ_k g_k(θ_k) is greatest under the order; ``clearances`` are (K − 1, B), all ≥ 0.

    Raises DomainError where the clearances leave no room, and for a multiplicative clearance of
    what is neither a scale nor a rate.

    >>> import numpy as np
    >>> means = Quadratic(np.array([[0.0], [3.0], [1.0]]), np.ones((3, 1)))
    >>> found = ordered(means, np.full((2, 1), 0.5))
    >>> found.values[:, 0], found.gaps[:, 0], found.multipliers[:, 0]
    (array([0. , 1.75, 2.25]), array([1.25, 0. ]), array([0. , 1.25]))
    """
    if pools(terms, clearances, multiplicative):
        return _pooled(terms, clearances, multiplicative)
    if multiplicative:
        wrong = f"a multiplicative clearance of a {type(terms).__name__.lower()} term is not solved"
        raise DomainError(problem(wrong, float(clearances.max()), "clearance zero"))
    count, batch = terms.peak.shape
    step = max(1, _CELLS // (5 * count**4))
    parts = [
        _searched(
            terms.lifted(lambda a, b=b: a[:, b : b + step]),  # type: ignore[misc]
            clearances[:, b : b + step],
        )
        for b in range(0, batch, step)
    ]
    return Ordered(*(np.concatenate(rows, axis=-1) for rows in zip(*parts, strict=True)))


def _totals(clearances: Array) -> Array:
    """0, c_1, c_1 + c_2, …"""
    return np.concatenate([np.zeros_like(clearances[:1]), np.cumsum(clearances, axis=0)])


# ------------------------------------------------------------------------------ isotonic


def _pooled(terms: Terms, clearances: Array, multiplicative: bool) -> Ordered:
    """By isotonic regression of what averages."""
    shift = _totals(clearances)
    if isinstance(terms, Quadratic):
        found = isotonic(terms.peak - shift, terms.mass)
        values, factor = found.fit + shift, np.ones_like(found.fit)
    elif isinstance(terms, Power):
        p, q = terms.p, terms.q
        n = q - p
        moved = terms.peak * np.exp(-shift)
        found = isotonic(moved**n, terms.beta * np.exp((q + 1) * shift))
        level = found.fit ** (1 / n)
        values = level * np.exp(shift)
        factor = level ** (q + (1 if multiplicative else 0)) / found.fit
    else:
        found = isotonic(terms.peak, terms.mass)
        values = found.fit
        factor = 1 / ((1 - values) * (1.0 if multiplicative else values))
    together = found.fit[1:] == found.fit[:-1]
    alone = np.ones(values.shape, dtype=bool)
    alone[1:] &= ~together
    alone[:-1] &= ~together
    values = np.where(alone, terms.peak, values)
    if multiplicative:
        with np.errstate(over="ignore"):
            gaps = np.log(values[1:] / values[:-1]) - clearances
    else:
        gaps = values[1:] - values[:-1] - clearances
    gaps = np.where(together, 0.0, np.maximum(gaps, 0.0))
    return Ordered(values, gaps, found.multipliers * factor[:-1], found.residual)


# ------------------------------------------------------------------------------ all blocks' peaks


def _searched(terms: Terms, clearances: Array) -> Ordered:
    """By the local maxima of all blocks that matter, and dynamic programming over them."""
    count, batch = terms.peak.shape
    shift = _totals(clearances)
    places = terms.peak - shift
    candidates = places
    low, high = _range(terms, shift, places)
    apart = _apart(places)
    if not apart.all():
        pairs = list(combinations(range(count), 2))
        want = np.array([~apart[i:j].any(axis=0) for i, j in pairs])
        candidates = np.concatenate([places, peaks(terms, shift, low, high, pairs, want)])
    u, together = settled(terms, shift, _best(terms, shift, candidates), low, high)
    values = u + shift
    gaps = np.where(together, 0.0, np.maximum(u[1:] - u[:-1], 0.0))
    slopes = terms.slope(values)
    found = balanced(slopes, together)
    whole = np.abs(runs(np.add, slopes, together)).max(axis=0)
    worst = np.maximum(whole, -found.min(axis=0, initial=0.0))
    size = np.maximum(np.abs(values), shift)
    scale = (np.abs(slopes) + np.abs(terms.bend(values)) * size).sum(axis=0)
    residual = np.divide(worst, scale, out=np.zeros(batch), where=scale > 0)
    return Ordered(values, gaps, np.maximum(found, 0.0), residual)


def _apart(places: Array) -> NDArray[np.bool_]:
    """Where no peak before lies above one after, (K − 1, B): the two sides are problems apart.

    Terms rise to their peak and fall after it, so each side alone has a maximiser among its own
    peaks' range, and these two are in order.
    """
    before = np.maximum.accumulate(places, axis=0)[:-1]
    after = np.minimum.accumulate(places[::-1], axis=0)[::-1][1:]
    out: NDArray[np.bool_] = before <= after
    return out


def _range(terms: Terms, shift: Array, places: Array) -> tuple[Array, Array]:
    """Between the extreme peaks, and inside of the terms' domain: no block peaks elsewhere."""
    low, high = places.min(axis=0), places.max(axis=0)
    floor, ceiling = terms.low - shift[0], terms.high - shift[-1]
    if not (floor < ceiling).all():
        b = int(np.argmin(floor < ceiling))
        given = f"a sum of {shift[-1, b]} in an interval of length {terms.high - terms.low}"
        raise DomainError(problem("the clearances leave no room", given, "less clearance"))
    worst = np.zeros_like(terms.peak)
    if not terms.concave:  # the least slope there is of each term
        worst = np.min([terms.slope(t) for t in terms.turns()], axis=0)
    for end, sign in ((0, 1.0), (-1, -1.0)):
        edge = floor if end == 0 else ceiling
        reach = low if end == 0 else high
        near = np.abs(places[end] - edge)
        outside = sign * (reach - edge) <= 0
        for _ in range(600):
            if not outside.any():
                break
            near = np.where(outside, near / 4, near)
            u = edge + sign * near
            slopes = sign * terms.slope(u + shift)
            if terms.concave:
                sums = np.cumsum(slopes if end == 0 else slopes[::-1], axis=0).min(axis=0)
            else:
                others = np.delete(np.minimum(worst, 0.0), end, axis=0).sum(axis=0)
                sums = slopes[end] + others
            good = outside & (sums > 0)
            reach = np.where(good, u, reach)
            outside &= ~good
        low, high = (reach, high) if end == 0 else (low, reach)
    return low, high


def _best(terms: Terms, shift: Array, candidates: Array) -> Array:
    """The ascending choice (K, B) of candidates (C, B) with the greatest sum of gains."""
    count, batch = terms.peak.shape
    columns = np.sort(candidates, axis=0)  # NaN comes last
    y = columns + shift[:, None]
    gains = terms.lifted(lambda a: a[:, None]).gain(y)
    gains = np.where(np.isnan(gains), -np.inf, gains)
    index = np.arange(len(columns))[:, None]
    total, came = gains[0], []
    for k in range(1, count):
        most = np.maximum.accumulate(total, axis=0)
        came.append(np.maximum.accumulate(np.where(total == most, index, 0), axis=0))
        total = most + gains[k]
    members = np.arange(batch)
    chosen = [total.argmax(axis=0)]
    for back in reversed(came):
        chosen.append(back[chosen[-1], members])
    return columns[np.array(chosen[::-1]), members]


# ------------------------------------------------------------------------------ both at once


class Both(NamedTuple):
    """Ordered locations and ordered scales, and who came to rest, (B,)."""

    location: Ordered
    scale: Ordered
    settled: NDArray[np.bool_]


_FIRST = 12
"""Turns from each start before the best of them goes on alone."""


def location_and_scale(
    places: Array,
    spreads: Array,
    mass: Array,
    clearances: Array,
    scale_clearances: Array,
    multiplicative: bool,
    present: Array,
    turns: int = 1000,
) -> Both:
    """Ordered μ and ordered σ of Σ_k N_k (−log σ_k − (s_k² + (m_k − μ_k)²)/(2σ_k²)).

    ``places`` m and ``spreads`` s (K, B) maximise it without an order. By turns, each exactly: from
    the ``present`` scales, from s, and from the scales that are best for the locations of a free
    scale each; the best of the three comes out. Q never falls below what it was. This is a
    stationary point once it is settled; that it is the global maximum is not proven.
    """

    def moved(sigma: Array, b: NDArray[np.intp]) -> tuple[Ordered, Ordered]:
        m, s, n = places[:, b], spreads[:, b], mass[:, b]
        mu = ordered(Quadratic(m, n / np.square(sigma)), clearances[:, b])
        terms = Power(np.hypot(s, m - mu.values), n, -3.0, -1.0)
        return mu, ordered(terms, scale_clearances[:, b], multiplicative)

    def height(mu: Array, sigma: Array) -> Array:
        ratio = np.hypot(spreads, places - mu) / sigma
        # against s at its own best: digits are kept where little is lost
        return (mass * (np.log(spreads / sigma) - 0.5 * np.square(ratio) + 0.5)).sum(axis=0)

    def turned(sigma: Array, many: int) -> tuple[list[Array], NDArray[np.bool_]]:
        """The eight arrays of both after some turns, and who came to rest."""
        todo = np.arange(sigma.shape[1])
        out = [a for part in moved(sigma, todo) for a in part]
        settled = np.zeros(todo.shape, dtype=bool)
        for _ in range(many):
            if not todo.size:
                break
            one, two = moved(out[4][:, todo], todo)
            change = np.abs(one.values - out[0][:, todo]) / two.values
            change = np.maximum(change, np.abs(two.values / out[4][:, todo] - 1))
            for old, new in zip(out, (*one, *two), strict=True):
                old[..., todo] = new
            near = _EPS * np.abs(one.values).max(axis=0) / two.values.min(axis=0)
            rest = change.max(axis=0) <= 4 * _EPS + near
            settled[todo[rest]] = True
            todo = todo[~rest]
        return out, settled

    free = ordered(Profile(places, mass, spreads), clearances)
    starts = (present, spreads, np.hypot(spreads, places - free.values))
    tried = [turned(sigma, min(turns, _FIRST)) for sigma in starts]
    best = np.argmax([height(found[0], found[4]) for found, _ in tried], axis=0)
    out = [np.choose(best, [found[i] for found, _ in tried]) for i in range(8)]
    settled = np.choose(best, [rest for _, rest in tried]).astype(bool)
    if turns > _FIRST and not settled.all():
        out, settled = turned(out[4], turns - _FIRST)
    return Both(Ordered(*out[:4]), Ordered(*out[4:]), settled)
