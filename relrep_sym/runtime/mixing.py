"""The covariance of the components' scores in a chart, by matrix products that keep its digits.

In: posteriors and slopes of a block. Out: :class:`Spread`, sums that know no chart, and from all of
them Σ w Cov_r(a) with a_k = Σ_f J_kf s_kf, s_kf = ∂ log f_k/∂φ_f and J the chart's Jacobian.

Where components merge the slopes nearly agree and a coordinate that moves several components has a
small covariance, which must not be the difference of large sums. At each point s_kf = m_f + e_kf
with the mean slope m_f = Σ_k r_k s_kf, so that Σ_k r_k e_kf = 0, and

    Cov_r(a) = Σ_kl (δ_kl r_k − r_k r_l) J_k (e_k s_lᵀ + m e_lᵀ) J_lᵀ
             + Σ_{k<l} r_k r_l (J_k − J_l) m mᵀ (J_k − J_l)ᵀ.

Summed over the points the first line is one table by component and parameter: its terms are as
small as the e_k, so it loses nothing when it is pulled back. In the second line only differences of
the chart's own rows occur. With W_kl = Σ w r_k r_l m_f m_g it is the quadratic form of the graph
with weights W, and eliminating one component after another (Grassmann, Taksar and Heyman 1985)
writes it as a sum of squares of contrasts in which nothing is subtracted from W. For f ≠ g the
points where m_f m_g is positive and those where it is negative make two graphs.

Where a component's own slopes are far smaller than the mean slope (scales of ratio 1e6) the two
lines cancel; :func:`cancels` tells such blocks, and :func:`in_chart` takes a_k − ā point by point,
at a cost that grows with K³ instead of K².
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from relrep_sym.runtime.block import dots
from relrep_sym.runtime.chart import Chart
from relrep_sym.runtime.check import Array
from relrep_sym.runtime.point import Point
from relrep_sym.runtime.products import outer
from relrep_sym.runtime.pulled import both_sides, pulled, stacked

__all__ = ["Spread", "cancels", "contrasts", "in_chart", "spread", "spread_in_chart"]

_LOST = 16.0
"""How much larger the squared mean slope may be than a component's own, at the points it shares."""


class Spread(NamedTuple):
    """Sums over points, tables by family parameter and component, (B, F K, F K).

    Attributes:
        own: Σ w (δ_kl r_k − r_k r_l)(e_kf s_lg + m_f e_lg).
        signed: Σ w r_k r_l m_f m_g.
        sizes: Σ w r_k r_l |m_f m_g|.
    """

    own: Array
    signed: Array
    sizes: Array

    @classmethod
    def zeros(cls, roles: int, batch: int, components: int) -> Spread:
        """Empty sums."""
        shape = (batch, roles * components, roles * components)
        return cls(np.zeros(shape), np.zeros(shape), np.zeros(shape))

    def add(self, members: slice, part: Spread) -> None:
        """Add a block's sums to those of its members."""
        for total, own in zip(self, part, strict=True):
            total[members] += own


def cancels(posterior: Array, others: Array, slopes: list[Array], moving: list[Array]) -> bool:
    """Whether the mean slope outweighs some component's own, in the terms that :func:`spread` adds.

    All are (K, B, n): posteriors r_k, 1 − r_k, slopes by parameter and r_k times them.
    """
    shared = posterior * others
    for slope, moved in zip(slopes, moving, strict=True):
        mean = moved.sum(axis=0)
        by_mean = dots(shared, np.broadcast_to(mean * mean, shared.shape))
        if not (by_mean <= _LOST * dots(shared, slope * slope)).all():
            return True
    return False


def in_chart(
    chart: Chart,
    rows: Array,
    point: Point,
    weights: Array | None,
    posterior: Array,
    others: Array,
    slopes: list[Array],
    moving: list[Array],
) -> Array:
    """A block's Σ w Σ_k r_k (a_k − ā)(a_k − ā)ᵀ in the chart, (B, P, P), point by point."""
    k, batch, n = posterior.shape
    count = len(chart.coordinates)
    out = np.zeros((batch, count, count))
    moved = [np.negative(a) for a in moving]
    for i in range(k):
        for full, slope, back in zip(moved, slopes, moving, strict=True):
            if i:
                np.negative(back[i - 1], out=full[i - 1])
            np.multiply(slope[i], others[i], out=full[i])
        root = np.sqrt(posterior[i] if weights is None else posterior[i] * weights)
        apart = stacked(pulled(chart, point, rows[..., None], None, moved), (batch, n))
        apart = (apart * root).swapaxes(0, 1)
        out += outer(apart, apart)
    return out


def spread(
    posterior: Array,
    others: Array,
    weights: Array | None,
    slopes: list[Array],
    moving: list[Array],
    apart_from_last: list[Array],
) -> Spread:
    """A block's sums: (K, B, n) posteriors r_k, 1 − r_k, slopes by parameter and r_k times them.

    ``apart_from_last`` are the s_kf − s_Kf (K − 1, B, n) to more digits than their difference has,
    or nothing.
    """
    k, batch, n = posterior.shape
    roles = len(slopes)
    shape = (batch, roles * k, n)
    # r s, w r e and r m, one parameter after the other
    scores, apart, still = np.empty(shape), np.empty(shape), np.empty(shape)
    rows = [slice(f * k, f * k + k) for f in range(roles)]
    means = [moved.sum(axis=0) for moved in moving]
    buffer = np.empty_like(posterior)
    for f, (slope, moved, mean) in enumerate(zip(slopes, moving, means, strict=True)):
        scores[:, rows[f]] = moved.swapaxes(0, 1)
        if apart_from_last:
            far = apart_from_last[f]
            centre = (posterior[:-1] * far).sum(axis=0)
            np.subtract(far, centre, out=buffer[:-1])
            np.negative(centre, out=buffer[-1])
        else:
            np.subtract(slope, mean, out=buffer)
        np.multiply(buffer, posterior, out=apart[:, rows[f]].swapaxes(0, 1))
        np.multiply(mean, posterior, out=still[:, rows[f]].swapaxes(0, 1))
    inside = still
    if weights is not None:
        apart *= weights[..., None, :]
        inside = still * weights[..., None, :]
    own = outer(apart, scores)
    own += outer(still, apart)
    np.negative(own, out=own)
    each = np.arange(k)
    diagonal = np.zeros((roles, roles, k, batch))
    for f in range(roles):
        np.multiply(apart[:, rows[f]].swapaxes(0, 1), others, out=buffer)
        for g in range(roles):
            diagonal[f, g] += dots(buffer, slopes[g])
            diagonal[g, f] += dots(buffer, np.broadcast_to(means[g], buffer.shape))
    for f in range(roles):
        for g in range(roles):
            own[:, f * k + each, g * k + each] = diagonal[f, g].T
    signed = outer(still, inside)
    if roles == 1:
        return Spread(own, signed, signed)
    return Spread(own, signed, outer(np.abs(still), np.abs(inside)))


def spread_in_chart(chart: Chart, rows: Array, point: Point, sums: Spread) -> Array:
    """Σ w Cov_r(a), (B, P, P)."""
    roles, count = len(point.form.names), len(chart.coordinates)
    k, batch = point.heights.shape
    table = sums.own.reshape(batch, roles, k, roles, k)
    sides = [table[:, :, :, g].transpose(3, 0, 2, 1) for g in range(roles)]
    out = both_sides(chart, rows, point, sides)

    graphs, ends = [], []  # weights by pairs of components, and whose contrasts they weigh
    shape = (batch, roles, k, roles, k)
    signed, sizes = sums.signed.reshape(shape), sums.sizes.reshape(shape)
    for f in range(roles):
        graphs.append(signed[:, f, :, f])
        ends.append((f, f, 1.0))
        for g in range(f + 1, roles):
            sum_, size = signed[:, f, :, g], sizes[:, f, :, g]
            graphs += [np.maximum(0.5 * (size + sum_), 0.0), np.maximum(0.5 * (size - sum_), 0.0)]
            ends += [(f, g, 1.0), (f, g, -1.0)]
    # the chart's Jacobian, (B, P, K) by family parameter
    columns = [np.zeros((k, batch, roles, k)) for _ in range(roles)]
    for f, column in enumerate(columns):
        column[np.arange(k), :, f, np.arange(k)] = 1.0
    flat = [column.reshape(k, batch, -1) for column in columns]
    slopes = stacked(pulled(chart, point, rows[..., None], None, flat), flat[0].shape[1:])
    jacobian = slopes.reshape(count, batch, roles, k).transpose(2, 1, 0, 3)
    seen = contrasts(np.array(graphs), jacobian)  # (roles, graphs, B, P, K − 1)
    left = np.concatenate([seen[f, n] for n, (f, _, _) in enumerate(ends)], axis=2)
    right = np.concatenate(
        [seen[g, n] * (0.5 if f == g else sign) for n, (f, g, sign) in enumerate(ends)], axis=2
    )
    half = outer(left, right)
    total: Array = out + half + half.swapaxes(1, 2)
    return total


def contrasts(weights: Array, rows: Array) -> Array:
    """Tables u with Σ_{k<l} W_kl (a_k − a_l)(b_k − b_l)ᵀ = Σ_i u_i(a) u_i(b)ᵀ for all rows a, b.

    W is (graphs, B, K, K), symmetric and nowhere negative; its diagonal does not count. Rows are
    (roles, B, P, K), u is (roles, graphs, B, P, K − 1). Only differences of the rows occur, and
    nothing is subtracted from W: u has the digits of both, and is zero where a row is constant.

    >>> w = np.array([[0.0, 2.0, 1e-9], [2.0, 0.0, 3e-9], [1e-9, 3e-9, 0.0]])
    >>> u = contrasts(w[None, None], np.array([[[[5.0, 5.0, 6.0]]]]))[0, 0, 0]
    >>> float((u @ u.T)[0, 0])  # W_13 + W_23, where a difference of sums had W_12 to lose
    4e-09
    """
    k, (roles, batch, count, _) = weights.shape[-1], rows.shape
    left = weights.copy()
    out = np.zeros((roles, len(weights), batch, count, k - 1))
    for i in range(k - 1):
        row = left[..., i, i + 1 :].copy()
        total = row.sum(axis=-1)
        share = row / np.where(total > 0, total, 1.0)[..., None]
        root = np.sqrt(total)[..., None]
        for found, one in zip(out, rows, strict=True):
            apart = outer(one[..., i, None] - one[..., i + 1 :], share.swapaxes(0, 1))
            found[..., i] = apart.transpose(2, 0, 1) * root
        left[..., i + 1 :, i + 1 :] += share[..., :, None] * row[..., None, :]
    return out
