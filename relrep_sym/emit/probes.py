"""Points at which an expression is tried: ordinary ones, zeros from near, far ends of the domain.

In: for each variable the name of its domain. Out: an array of points, the same at every call.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["beside_zeros", "points"]

Array = NDArray[np.float64]

_SMALL = (1e-15, 1e-12, 1e-9, 1e-6, 1e-4, 1e-2, 0.1)
_LARGE = (0.5, 1.0, 2.7, 7.0, 19.0, 38.0, 140.0, 420.0, 760.0, 1e4, 1e8, 1e12, 1e15)
_NEAR = (1e-3, -1e-6, 1e-9, -1e-13)
_ORDINARY = {
    "real": (0.7, -1.3, 2.1),
    "positive": (0.8, 1.9, 0.45),
    "nonnegative": (0.8, 1.9, 0.45),
    "unit": (0.35, 0.6, 0.8),
    "integers": (2.0, 5.0, 1.0),
}
_FAR = (0.3, 3.0, 8.0, 24.0, -0.3, -3.0, -8.0, -24.0)
_MIXED = 60


def _pool(kind: str) -> Array:
    """Values of one variable, with full mantissas but for counts."""
    if kind == "integers":
        return np.array([0.0, 1.0, 2.0, 3.0, 7.0, 30.0, 1000.0, 1e6])
    rng = np.random.default_rng(7)
    if kind == "unit":
        low = np.array([1e-12, 1e-6, 1e-2, 0.2, 0.4]) * rng.uniform(0.7, 1.3, 5)
        return np.concatenate([low, 1.0 - low])
    sizes = np.array([*_SMALL, *_LARGE]) * rng.uniform(0.8, 1.2, len(_SMALL) + len(_LARGE))
    if kind == "real":
        return np.concatenate([[0.0], sizes, -sizes])
    return np.concatenate([sizes, 1.0 + np.array(_NEAR)])


def points(kinds: Sequence[str]) -> Array:
    """(number of variables, number of points): each variable's pool, pairs that nearly agree.

    >>> points(("real", "positive")).shape[0]
    2
    """
    rng = np.random.default_rng(13)
    pools = [_pool(k) for k in kinds]
    ordinary = [_ORDINARY[k] for k in kinds]
    columns: list[list[float]] = []
    for n, pool in enumerate(pools):
        for turn in range(2):
            rest = [o[(turn + i) % 3] for i, o in enumerate(ordinary)]
            columns += [[*rest[:n], float(v), *rest[n + 1 :]] for v in pool]
    for a, b in itertools.permutations(range(len(kinds)), 2):
        if kinds[b] == "integers":
            continue
        for turn, near, sign in itertools.product(range(2), _NEAR, (1.0, -1.0)):
            at = [o[(turn + i) % 3] for i, o in enumerate(ordinary)]
            at[a] *= 1.0 + 0.1 * rng.random()
            at[b] = sign * at[a] * (1.0 + near)
            if sign > 0 or kinds[b] == "real":
                columns.append(at)
    for a, b in itertools.combinations(range(len(kinds)), 2):  # both far, on the same side or not
        for one, other in itertools.product(_FAR, repeat=2):
            at = [o[(i) % 3] for i, o in enumerate(ordinary)]
            at[a], at[b] = one * 1.03, other * 0.97
            if all(v > 0.0 or k == "real" for v, k in zip(at, kinds, strict=True)):
                columns.append(at)
    if len(kinds) > 1:
        columns += [[float(rng.choice(p[p != 0.0])) for p in pools] for _ in range(_MIXED)]
    out = np.array(columns, dtype=float).T
    unit = [k == "unit" for k in kinds]
    inside = ((out > 0.0) & (out < 1.0))[unit].all(axis=0)
    return np.ascontiguousarray(out[:, inside])


def beside_zeros(f: Callable[[Array], Array], kinds: Sequence[str], most: int = 6) -> Array:
    """Points near zeros of a function of such points, along one variable at a time."""
    found: list[Array] = []
    for n, kind in enumerate(kinds):
        if kind == "integers":
            continue
        for turn in range(2):
            rest = np.array([_ORDINARY[k][(turn + i) % 3] for i, k in enumerate(kinds)])
            line = np.sort(_pool(kind))
            line = line[(np.abs(line) < 50.0)]
            there = np.repeat(rest[:, None], len(line), axis=1)
            there[n] = line
            values = f(there)
            ok = np.isfinite(values)
            changes = np.flatnonzero(
                ok[:-1] & ok[1:] & (np.sign(values[:-1]) * np.sign(values[1:]) < 0)
            )
            for i in changes[:3]:
                zero = _bisected(f, rest, n, float(line[i]), float(line[i + 1]))
                for near in (1e-2, -1e-4, 1e-6, -1e-9, 1e-12):
                    at = rest.copy()
                    at[n] = zero * (1.0 + near)
                    found.append(at)
            if len(found) >= 5 * most:
                break
    return np.array(found).T if found else np.empty((len(kinds), 0))


def _bisected(f: Callable[[Array], Array], rest: Array, n: int, low: float, high: float) -> float:
    at = rest[:, None].copy()
    at[n] = low
    sign = np.sign(f(at)[0])
    for _ in range(60):
        middle = 0.5 * (low + high)
        at[n] = middle
        low, high = (middle, high) if np.sign(f(at)[0]) == sign else (low, middle)
    return 0.5 * (low + high)
