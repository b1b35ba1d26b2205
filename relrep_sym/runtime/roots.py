"""The best of all stationary points of Q along one coordinate, where its equation is a polynomial.

In: a chart whose derivation found, for one coordinate, Σ_k a_k(z)/b_k(z) = 0 with polynomials a_k
and b_k, and a maximum that Newton's method reached. Out: the maximum, or a better one: from every
real root inside of the domain, and from the domain's closed ends, Q is maximised over the other
coordinates, then over all; the greatest is taken. Newton's method alone ends at the nearest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.polynomial import polynomial

from relrep_sym.runtime.ascent import Maximum, maximise
from relrep_sym.runtime.check import Array
from relrep_sym.runtime.closed import Roots
from relrep_sym.runtime.objective import Objective

if TYPE_CHECKING:
    from relrep_sym.runtime.chart import Chart

__all__ = ["best_root", "real_roots"]

_NEARLY = 1e-4
"""Imaginary part, relative to the root, below which it may be real: two that nearly meet."""


def real_roots(above: Array, below: Array) -> Array:
    """The real roots of Σ_k a_k(z) Π_{j ≠ k} b_j(z), (R, B), NaN where a member has fewer.

    >>> above = np.array([[[1.0], [3.0]], [[-1.0], [-1.0]]])  # (1 − z) + (3 − z)
    >>> real_roots(above, np.ones((1, 2, 1)))
    array([[2.]])
    """
    _, count, batch = above.shape
    found: list[Array] = []
    for b in range(batch):
        top, bottom = above[:, :, b].T, below[:, :, b].T
        sizes = np.abs(bottom).max(axis=1, keepdims=True)
        top, bottom = top / sizes, bottom / sizes
        total = np.zeros(1)
        for k in range(count):
            term = top[k]
            for j in range(count):
                if j != k:
                    term = polynomial.polymul(term, bottom[j])
            total = polynomial.polyadd(total, term)
        if not np.isfinite(total).all() or not total.any():
            found.append(np.empty(0))
            continue
        roots = polynomial.polyroots(total)
        real = np.abs(roots.imag) <= _NEARLY * (np.abs(roots) + np.finfo(float).tiny)
        found.append(np.unique(roots.real[real]))
    out = np.full((max((len(r) for r in found), default=0), batch), np.nan)
    for b, row in enumerate(found):
        out[: len(row), b] = row
    return out


def best_root(chart: Chart, objective: Objective, best: Maximum) -> Maximum:
    """The greatest maximum of Q from all roots, all ends and the one that is known."""
    assert chart.roots is not None
    index, count = chart.roots.coordinate, len(chart.coordinates)
    values = _candidates(chart, chart.roots, objective)
    if not len(values):
        return best
    batch = objective.mass.shape[1]
    members = np.tile(np.arange(batch), len(values))
    rows = best.rows[:, members]
    here = values.ravel()
    use = np.isfinite(here)
    rows[index, use] = here[use]
    others = [j for j in range(count) if j != index]
    many = objective.take(members)
    gains = many.gain(rows)
    if others:  # the others at their best beside the root
        inside = np.isfinite(gains)
        if inside.any():
            part = maximise(many.take(np.flatnonzero(inside)), rows[:, inside], others)
            rows[:, inside], gains[inside] = part.rows, part.gain
    table = np.where(np.isfinite(gains) & use, gains, -np.inf).reshape(values.shape)
    first = table.argmax(axis=0)
    start = rows[:, first * batch + np.arange(batch)]
    better = table.max(axis=0) > best.gain
    if not better.any():
        return best
    which = np.flatnonzero(better)
    found = maximise(objective.take(which), start[:, which])
    everyone = np.arange(batch)
    out = Maximum(
        best.rows.copy(), best.gain.copy(), best.converged.copy(), best.end.take(everyone)
    )
    for i, b in enumerate(which):
        if found.converged[i] and (found.gain[i] > best.gain[b] or not best.converged[b]):
            out.rows[:, b], out.gain[b] = found.rows[:, i], found.gain[i]
            out.converged[b] = True
            out.end.put(np.array([b]), found.end.take(np.array([i])))
    return out


def _candidates(chart: Chart, roots: Roots, objective: Objective) -> Array:
    """Values of the coordinate at the roots and at closed ends, (R, B), NaN outside the domain."""
    index = roots.coordinate
    z = real_roots(*roots.terms(objective.mass, objective.means, *objective.parameters))
    if roots.kind == "shift":
        z = objective.rows[index] + z
    elif roots.kind == "exp":
        with np.errstate(divide="ignore", invalid="ignore"):
            z = np.log(np.where(z > 0.0, z, np.nan))
    low, high, strict = chart.lower[index], chart.upper[index], chart.open_lower[index]
    with np.errstate(invalid="ignore"):
        inside = (z > low if strict else z >= low) & (z <= high)
    z = np.where(inside, z, np.nan)
    ends = [low] if np.isfinite(low) and not strict else []
    ends += [high] if np.isfinite(high) else []
    rows = [np.full((1, z.shape[1]), e) for e in ends]
    out: Array = np.concatenate([z, *rows]) if rows else z
    return out
