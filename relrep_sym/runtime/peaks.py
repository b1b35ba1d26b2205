"""Every local maximum of the sum of a run of terms: interval subdivision, then bracketed roots.

In: :class:`~relrep_sym.runtime.terms.Terms`, offsets and a range. Out: candidates for the value of
a pooled block, of which none that matters is missing: between the turns of all terms each slope and
each bend is monotone, so its range is that of the ends, and an interval is left only where the
ranges prove that the sum has no peak in it, or one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from relrep_sym.runtime.check import Array
from relrep_sym.runtime.isotonic import balanced, runs
from relrep_sym.runtime.terms import Terms

__all__ = ["peaks", "settled"]

_LEVELS = 44
"""Halvings after which an interval that cannot be decided is taken for a candidate."""
_MOST = 400_000
"""Undecided intervals at once, beyond which all of them are taken for candidates."""


def peaks(
    terms: Terms,
    offsets: Array,
    low: Array,
    high: Array,
    pairs: list[tuple[int, int]],
    want: NDArray[np.bool_],
) -> Array:
    """Local maxima in u of Σ_{k=i}^{j} g_k(u + offset_k) between ``low`` and ``high`` (B,).

    ``pairs`` lists (i, j), both inclusive; ``want`` (pairs, B) says for which problems each is
    asked. Returns (C, B), NaN where a problem has fewer.
    """
    count, batch = terms.peak.shape
    places = [terms.peak - offsets, *(t - offsets for t in terms.turns())]
    marks = np.concatenate([low[None], high[None], *places])
    marks = np.sort(np.clip(marks, low, high), axis=0)
    y = marks + offsets[:, None]
    wide = terms.lifted(lambda a: a[:, None])
    slopes, bends = wide.slope(y), wide.bend(y)
    found: list[tuple[NDArray[np.intp], Array]] = []
    boxes: list[tuple[NDArray[Any], ...]] = []
    most, least = (
        np.maximum(slopes[:, 1:], slopes[:, :-1]),
        np.minimum(slopes[:, 1:], slopes[:, :-1]),
    )
    steepest = np.minimum(bends[:, 1:], bends[:, :-1])
    for (i, j), asked in zip(pairs, want, strict=True):
        block = slice(i, j + 1)
        kept = asked & (marks[1:] > marks[:-1]) & (most[block].sum(axis=0) >= 0)
        kept &= (least[block].sum(axis=0) <= 0) & (steepest[block].sum(axis=0) <= 0)
        m, b = np.nonzero(kept)
        inside = np.zeros((count, len(b)))
        inside[block] = 1.0
        at = (slopes[:, m, b], bends[:, m, b], slopes[:, m + 1, b], bends[:, m + 1, b])
        boxes.append((b, inside, marks[m, b], marks[m + 1, b], *at))
    b, inside, left, right, s0, b0, s1, b1 = (
        np.concatenate([box[n] for box in boxes], axis=-1) for n in range(8)
    )
    for level in range(_LEVELS + 1):
        start, end = (inside * s0).sum(axis=0), (inside * s1).sum(axis=0)
        crosses = (start > 0) & (end <= 0)
        possible = ((inside * np.maximum(s0, s1)).sum(axis=0) >= 0) & (
            (inside * np.minimum(s0, s1)).sum(axis=0) <= 0
        )
        falls = (inside * np.maximum(b0, b1)).sum(axis=0) < 0
        rises = (inside * np.minimum(b0, b1)).sum(axis=0) > 0
        single = possible & crosses & falls
        open_ = possible & ~falls & ~rises
        last = level == _LEVELS or np.count_nonzero(open_) > _MOST
        if last:
            single |= open_ & crosses
            found.append((b[open_ & ~crosses], (left + (right - left) / 2)[open_ & ~crosses]))
        if single.any():
            root = _root(terms, offsets, b[single], inside[:, single], left[single], right[single])
            found.append((b[single], root))
        if last or not open_.any():
            break
        b, inside, left, right = b[open_], inside[:, open_], left[open_], right[open_]
        s0, b0, s1, b1 = (a[:, open_] for a in (s0, b0, s1, b1))
        middle = left + (right - left) / 2
        here, moved = terms.lifted(lambda a, b=b: a[:, b]), middle + offsets[:, b]  # type: ignore[misc]
        s, h = here.slope(moved), here.bend(moved)
        b, inside = np.concatenate([b, b]), np.concatenate([inside, inside], axis=1)
        left, right = np.concatenate([left, middle]), np.concatenate([middle, right])
        s0, s1 = np.concatenate([s0, s], axis=1), np.concatenate([s, s1], axis=1)
        b0, b1 = np.concatenate([b0, h], axis=1), np.concatenate([h, b1], axis=1)
    return _gathered(found, batch)


def _gathered(found: list[tuple[NDArray[np.intp], Array]], batch: int) -> Array:
    """Values by problem as columns, NaN below."""
    member = np.concatenate([b for b, _ in found]) if found else np.zeros(0, dtype=np.intp)
    value = np.concatenate([v for _, v in found]) if found else np.zeros(0)
    order = np.argsort(member, kind="stable")
    member, value = member[order], value[order]
    sizes = np.bincount(member, minlength=batch)
    out = np.full((int(sizes.max(initial=0)), batch), np.nan)
    first = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    out[np.arange(len(member)) - first[member], member] = value
    return out


def _root(
    terms: Terms,
    offsets: Array,
    member: NDArray[np.intp],
    inside: Array,
    left: Array,
    right: Array,
) -> Array:
    """The root of falling sums in brackets: Newton's steps, or halves where these leave them."""
    here, shift = terms.lifted(lambda a: a[:, member]), offsets[:, member]
    left, right = left.copy(), right.copy()
    u = left + (right - left) / 2
    for turn in range(120):
        slope = (inside * here.slope(u + shift)).sum(axis=0)
        bend = (inside * here.bend(u + shift)).sum(axis=0)
        left, right = np.where(slope > 0, u, left), np.where(slope > 0, right, u)
        with np.errstate(divide="ignore", invalid="ignore"):
            after = u - slope / bend
        good = (after > left) & (after < right) & (turn % 4 != 3)
        settled = np.abs(after - u) <= np.spacing(np.abs(u))
        after = np.where(good | settled, after, left + (right - left) / 2)
        done = settled | (slope == 0) | (right - left <= np.spacing(np.abs(u)))
        u = np.where(slope == 0, u, np.clip(after, left, right))
        if done.all():
            break
    return u


def settled(
    terms: Terms, offsets: Array, start: Array, low: Array, high: Array
) -> tuple[Array, NDArray[np.bool_]]:
    """Ascending values brought to rest in their slopes, and which links hold, (K − 1, B).

    The sum of gains tells a component of mass 1e-12 from its neighbours to four digits only: its
    slope tells it to all of them. A block that still slopes moves to its nearest rest, or to the
    block in its way and on with that; a block whose parts pull apart is parted, each link once.
    """
    count = len(start)
    u = start.copy()
    held = u[1:] == u[:-1]
    parted = np.zeros_like(held)
    for _ in range(4 * count):
        y = u + offsets
        slopes = terms.slope(y)
        grain = np.abs(slopes) + np.abs(terms.bend(y)) * np.maximum(np.abs(y), np.abs(offsets))
        room = 4 * np.finfo(float).eps * runs(np.add, grain, held)
        sums = runs(np.add, slopes, held)
        apart = held & (balanced(slopes, held) < -room[1:]) & ~parted
        if apart.any():
            held, parted = held & ~apart, parted | apart
            continue
        first = np.abs(sums) > room
        first[1:] &= ~held
        k, b = np.nonzero(first)
        if not len(k):
            break
        up = sums[k, b] > 0
        until = k.copy()  # the last of the block
        for _ in range(count - 1):
            more = until + 1 < count
            until += more & held[np.minimum(until, count - 2), b]
        link = np.where(up, until, k - 1)
        beside = (link >= 0) & (link < count - 1)
        other = np.clip(np.where(up, until + 1, k - 1), 0, count - 1)
        end = np.where(beside, u[other, b], np.where(up, high[b], low[b]))
        here, shift = terms.lifted(lambda a, b=b: a[:, b]), offsets[:, b]  # type: ignore[misc]
        index = np.arange(count)[:, None]
        inside = (index >= k) & (index <= until)
        there = np.where(inside, here.slope(end + shift), 0.0).sum(axis=0)
        runs_on = np.where(up, there > 0, there < 0) | (end == u[k, b])
        left, right = np.minimum(u[k, b], end), np.maximum(u[k, b], end)
        rest = _root(terms, offsets, b, inside.astype(float), left, right)
        u[:, b] = np.where(inside, np.where(runs_on, end, rest), u[:, b])
        joins = runs_on & beside
        held[link[joins], b[joins]] = True
        held |= u[1:] < u[:-1]
        u = runs(np.maximum, u, held)
    return u, held
