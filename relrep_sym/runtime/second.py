"""The second data pass: the Hessian of the mean log-likelihood in a chart.

In: a generated chart and form, a :class:`~relrep_sym.runtime.point.Point` and a weighted sample.
Out: Σ w ∂² log p/∂λ∂λ for each member of the batch, exactly symmetric. With ℓ_k = log π_k f_k,

    ∂² log p = Σ_k r_k ∂²ℓ_k + Cov_r(∂ℓ),
    Cov_r(a) = Σ_k r_k (a_k − ā)(a_k − ā)ᵀ,  ā = Σ_l r_l a_l,

and the covariance is never the difference of Σ r a aᵀ and of the score's square, which would lose,
where components merge, all digits of what is left (:mod:`relrep_sym.runtime.mixing`). Entries by
weights are taken together with −1/π² and never divide by a weight.

Arrays are (K, B, n) as in :mod:`relrep_sym.runtime.block`; what is summed is (…, B).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from relrep_sym.errors import DerivationError
from relrep_sym.runtime import kernel
from relrep_sym.runtime.block import Evaluated, dots, insist_finite
from relrep_sym.runtime.chart import Chart
from relrep_sym.runtime.check import Array
from relrep_sym.runtime.edges import inside
from relrep_sym.runtime.mixing import Spread, cancels, in_chart, spread, spread_in_chart
from relrep_sym.runtime.point import Point
from relrep_sym.runtime.products import outer
from relrep_sym.runtime.pulled import both_sides, pulled, stacked
from relrep_sym.runtime.segment import contrast_by_curves

__all__ = ["hessian", "of_components"]

_ROOM = 1 << 17
"""Numbers that a block's arrays may take together: some 1 MB."""


class _Sums(NamedTuple):
    """What one block adds, for the members of its batch.

    Attributes:
        covariance: Σ w Cov_r(∂ log f): of two components in the chart, (B, P, P), of more in parts
            that one pull-back puts together.
        weights: Σ w ∂²/∂π_i∂π_j, (K − 1, K − 1, B).
        mixed: by family parameter Σ w ∂²/∂π_i∂φ_l, (K, B, K − 1), less what ``common`` holds.
        common: by family parameter Σ w R_K ∂ log f_K, (K, B, K − 1), at i and, with a minus, at K
            for the components i close to the last: a chart in which they move together adds the
            two to zero, and what is left is in ``mixed`` to its own digits.
    """

    covariance: Array | Spread
    weights: Array
    mixed: list[Array]
    common: list[Array] | None


def hessian(chart: Chart, rows: Array, point: Point, x: Array, weights: Array | None) -> Array:
    """Σ w ∂² log p/∂λ_i∂λ_j over the sample, (B, P, P); ``weights`` None means equal ones.

    ``rows`` are the chart's coordinates, (…, B); x is (n,), or (B, n) as the weights are.

    Raises DerivationError where the family has no second derivatives, DomainError for an overflow.
    """
    if point.form.second is None and point.form.curves is None:
        raise DerivationError(chart.why["hessian"])
    count, batch = len(chart.coordinates), rows.shape[1]
    found = kernel.statistics(point, x, weights)
    curved = _curved(point, found, x, weights)
    out = of_components(chart, rows, point, curved)
    if chart.bend is not None:
        by_weight, by_family = kernel.gradient(point, found)  # in the model's order already
        if len(by_weight) < len(by_family[0]):
            by_weight = np.concatenate([by_weight, np.zeros_like(by_family[0][:1])])
        inputs = (by_weight[..., None], *(a[..., None] for a in by_family))
        bent = chart.bend(rows[..., None], np.eye(count)[:, None, :], *inputs)
        out += stacked(bent, (batch, count)).swapaxes(0, 1)
    if point.form.components > 1:
        out += _of_the_mixing(chart, rows, point, x, weights)
    insist_finite(out, "the Hessian")
    lower = np.tril(out)
    return lower + np.tril(lower, -1).swapaxes(1, 2)


def _curved(point: Point, found: kernel.Statistics, x: Array, weights: Array | None) -> list[Array]:
    """Σ w R_k ∂² log f_k/∂φ_i∂φ_j for each pair i ≤ j, (K, B)."""
    form = point.form
    out: list[Array] = []
    if form.second is not None:
        with np.errstate(over="ignore", invalid="ignore"):
            for constant, *slopes in form.second(*point.components.parameters):
                total = np.zeros_like(found.mass) if constant is None else constant * found.mass
                for slope, moment in zip(slopes, found.moments, strict=True):
                    if slope is not None:
                        total = total + slope * moment
                out.append(total)
        return out
    within = inside(form, x)

    def use(b, i, part, share, block, _):  # type: ignore[no-untyped-def]
        assert form.curves is not None
        columns = (p[..., None] for p in part.components.parameters)
        curves = form.curves(within[b, i] if x.ndim == 2 else within[i], *columns)
        rows = []
        for curve in np.broadcast_arrays(block.ratios, *curves)[1:]:
            sound = np.isfinite(curve)
            if not sound.all():  # a ratio of zero, whatever the curve overflows to
                curve = np.where(sound | (block.ratios > 0.0), curve, 0.0)
            rows.append(part.heights * dots(block.ratios, curve))
        return b, rows

    roles = len(form.names)
    sums = np.zeros((roles * (roles + 1) // 2, *found.mass.shape))
    for b, rows in kernel.over_blocks(point, x, weights, use):
        sums[..., b] += rows
    if weights is None:
        sums *= 1.0 / x.shape[-1]
    return list(sums)


def of_components(chart: Chart, rows: Array, point: Point, curved: Sequence[Array]) -> Array:
    """Σ w r_k ∂² log f_k, pulled back from both sides, (B, P, P); ``curved`` are those of R_k."""
    form, share = point.form, point.components.weights
    k, batch = share.shape
    roles = len(form.names)
    sides = [np.zeros((k, batch, k, roles)) for _ in range(roles)]
    pairs = [(i, j) for i in range(roles) for j in range(i, roles)]
    each = np.arange(k)
    with np.errstate(over="ignore", invalid="ignore"):
        for (i, j), total in zip(pairs, curved, strict=True):
            sides[j][each, :, each, i] = sides[i][each, :, each, j] = share * total
        return both_sides(chart, rows, point, sides)


def _of_the_mixing(
    chart: Chart, rows: Array, point: Point, x: Array, weights: Array | None
) -> Array:
    """What the responsibilities' own change adds, (B, P, P)."""
    form, (k, batch) = point.form, point.heights.shape
    count, roles = len(chart.coordinates), len(form.names)

    def use(b, i, part, _, block, __):  # type: ignore[no-untyped-def]
        inside = None if weights is None else weights[b, i] if weights.ndim == 2 else weights[i]
        here = x[b, i] if x.ndim == 2 else x[i]
        return b, _sums(chart, rows[:, b], part, here, inside, block)

    out = np.zeros((batch, count, count))
    by_weight = np.zeros((k - 1, k - 1, batch))
    mixed = [np.zeros((k, batch, k - 1)) for _ in form.names]
    common = [np.zeros((k, batch, k - 1)) for _ in form.names]
    size = max(512, _ROOM // (count + k * (5 + 4 * roles)))
    parts = Spread.zeros(roles, batch, k) if k > 2 else None
    for b, sums in kernel.over_blocks(point, x, None, use, size):
        if isinstance(sums.covariance, Spread):
            assert parts is not None
            parts.add(b, sums.covariance)
        else:
            out[b] += sums.covariance
        by_weight[..., b] += sums.weights
        for f in range(roles):
            mixed[f][:, b] += sums.mixed[f]
            if sums.common is not None:
                common[f][:, b] += sums.common[f]
    if weights is None:
        for total in (out, by_weight, *mixed, *common, *(parts or ())):
            total *= 1.0 / x.shape[-1]
    if parts is not None:
        with np.errstate(over="ignore", invalid="ignore"):
            out += spread_in_chart(chart, rows, point, parts)
    # half of the part by weights and the whole of the mixed one: the transpose adds the rest
    bases = rows[..., None]
    with np.errstate(over="ignore", invalid="ignore"):
        half = 0.5 * by_weight.swapaxes(1, 2)
        side = stacked(pulled(chart, point, bases, half, mixed), (batch, k - 1))
        if any(a.any() for a in common):
            side += stacked(pulled(chart, point, bases, None, common), (batch, k - 1))
        still = [np.zeros((k, batch, 1))] * roles
        both = pulled(chart, point, bases, side.transpose(2, 1, 0), still)
        whole = stacked(both, (batch, count)).swapaxes(0, 1)
    return out + whole + whole.swapaxes(1, 2)


def _sums(
    chart: Chart, rows: Array, point: Point, x: Array, weights: Array | None, block: Evaluated
) -> _Sums:
    ratios = block.ratios * point.heights[..., None]
    posterior = block.ratios * point.shares
    if not point.shares.all():  # zero times what may be infinite
        np.copyto(posterior, 0.0, where=point.shares == 0.0)
    slopes = _slopes(point, block)
    gaps = ratios[:-1] - ratios[-1]
    if block.close is not None and block.differences is not None:
        np.copyto(gaps, block.differences, where=block.close[..., None])
    weighted = gaps if weights is None else gaps * weights
    square = -outer(weighted.swapaxes(0, 1), gaps.swapaxes(0, 1)).transpose(1, 2, 0)
    if len(ratios) == 2:
        covariance, mixed, common = _of_two(
            chart, rows, point, x, weights, block, ratios, posterior, slopes
        )
        return _Sums(covariance, square, mixed, common)
    others = _others(posterior)
    moving = [posterior * g for g in slopes]
    contrast = [] if block.close is None else _contrast(point, x, block, slopes)
    rest = _mixed(weights, weighted, block, ratios, posterior, others, slopes, moving, contrast)
    if cancels(posterior, others, slopes, moving):
        found = in_chart(chart, rows, point, weights, posterior, others, slopes, moving)
        return _Sums(found, square, *rest)
    apart = [
        np.where(4.0 * size <= np.abs(g[:-1]) + np.abs(g[-1]), exact, g[:-1] - g[-1])
        for g, (exact, size) in zip(slopes, contrast, strict=False)
    ]
    return _Sums(spread(posterior, others, weights, slopes, moving, apart), square, *rest)


def _others(posterior: Array) -> Array:
    """1 − r_k as the sum of the others, to its digits where it is small."""
    out = np.zeros_like(posterior)
    for k, row in enumerate(posterior):
        out[:k] += row
        out[k + 1 :] += row
    return out


def _slopes(point: Point, block: Evaluated) -> list[Array]:
    """∂ log f_k/∂φ by family parameter, (K, B, n) each."""
    out = []
    for row in point.score:
        total: Array | None = None
        for cell, basis in zip(row, block.basis, strict=True):
            if cell is not None:
                slope, offset = (np.asarray(a)[..., None] for a in cell)
                term = (basis + offset if offset.any() else basis) * slope
                total = term if total is None else np.add(total, term, out=total)
        assert total is not None
        out.append(total)
    return out


def _mixed(
    weights: Array | None,
    weighted: Array,
    block: Evaluated,
    ratios: Array,
    posterior: Array,
    others: Array,
    slopes: list[Array],
    moving: list[Array],
    contrast: list[tuple[Array, Array]],
) -> tuple[list[Array], list[Array] | None]:
    """The last fields of :class:`_Sums`; ``weighted`` is w (R_k − R_K).

    By π_i and π_K = 1 − …, ∂r_l = R_K (δ_il − δ_Kl) + (R_i − R_K)(δ_il − r_l). Where component i is
    close to the last, the first term's sum over l is R_K (∂ log f_i − ∂ log f_K), a difference
    taken from the difference of their parameters; elsewhere the terms at i and at K are put
    together so that all are of one sign.
    """
    last, close = ratios[-1], block.close
    across = weighted.swapaxes(0, 1)
    mixed = [-outer(rg.swapaxes(0, 1), across).transpose(1, 0, 2) for rg in moving]
    common = [np.zeros_like(full) for full in mixed]
    share = last if weights is None else last * weights
    for i, row in enumerate(weighted):
        ratio = ratios[i] if weights is None else ratios[i] * weights
        own = ratio * others[i] + share * posterior[i]
        other = share * others[-1] + ratio * posterior[-1]
        for f, (g, full) in enumerate(zip(slopes, mixed, strict=True)):
            at_own, at_last = dots(own, g[i]), -dots(other, g[-1])
            if close is not None and close[i].any():
                exact = dots(share, contrast[f][0][i]) + dots(row * others[i], g[i])
                together = np.where(close[i], dots(share, g[-1]), 0.0)
                at_own = np.where(close[i], exact, at_own)
                at_last = np.where(close[i], full[-1, :, i], at_last)
                common[f][i, :, i], common[f][-1, :, i] = together, -together
            full[i, :, i], full[-1, :, i] = at_own, at_last
    return mixed, common if contrast else None


def _of_two(
    chart: Chart,
    rows: Array,
    point: Point,
    x: Array,
    weights: Array | None,
    block: Evaluated,
    ratios: Array,
    posterior: Array,
    slopes: list[Array],
) -> tuple[Array, list[Array], list[Array]]:
    """The other fields of :class:`_Sums` for two components, d = ∂ log f_1 − ∂ log f_2:

    Σ w r_1 r_2 d dᵀ in the chart, and Σ w R_1 R_2 d. Where it is small, point by point, d is taken
    from the difference of the parameters.
    """
    change, root = ratios[0] * ratios[1], posterior[0] * posterior[1]
    if weights is not None:
        change *= weights
        root *= weights
    np.sqrt(root, out=root)
    apart, shared = [], []
    for g, (exact, size) in zip(slopes, _contrast(point, x, block, slopes), strict=True):
        near = 4.0 * size[0] <= np.abs(g[0]) + np.abs(g[1])
        if block.close is not None:
            near |= block.close[0][:, None]
        second = np.where(near, g[1], 0.0)
        apart.append(np.array([np.where(near, exact[0], g[0]), second - g[1]]))
        shared.append(np.array([second, -second]))
    bases = rows[..., None]
    buffer = np.empty((len(root), len(chart.coordinates), root.shape[1]))
    parts = (pulled(chart, point, bases, None, side) for side in (apart, shared))
    for j, (own, both) in enumerate(zip(*parts, strict=True)):
        np.multiply(own + both, root, out=buffer[:, j])
    covariance = outer(buffer, buffer)
    mixed = [dots(change, a)[..., None] for a in apart]
    return covariance, mixed, [dots(change, a)[..., None] for a in shared]


def _contrast(
    point: Point, x: Array, block: Evaluated, slopes: list[Array]
) -> list[tuple[Array, Array]]:
    """∂ log f_k/∂φ − ∂ log f_K/∂φ for k < K by family parameter, and the size of its terms.

    Both are (K − 1, B, n); ``slopes`` are the ∂ log f_k/∂φ themselves.
    """
    c, form = point.components, point.form
    if form.contrast is None:
        plain = [g[:-1] - g[-1] for g in slopes]
        sizes = [np.abs(g[:-1]) + np.abs(g[-1]) for g in slopes]
        return contrast_by_curves(point, x, plain, sizes)
    reference = tuple(p[-1:] for p in c.parameters)
    own = tuple(p[:-1] for p in c.parameters)
    shape = (*point.heights[:-1].shape, block.ratios.shape[2])
    out = []
    for constant, *factors in form.contrast(*reference, *c.differences, *own):
        total = np.zeros(shape)
        total += 0.0 if constant is None else np.asarray(constant)[..., None]
        size = np.abs(total)
        for slope, basis in zip(factors, block.basis, strict=True):
            if slope is not None:
                term = np.asarray(slope)[..., None] * basis[-1]
                total += term
                size += np.abs(term, out=term)
        out.append((total, size))
    return out
