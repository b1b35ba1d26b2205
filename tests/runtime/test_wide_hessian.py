"""The Hessian of components of very different scales keeps its digits."""

from __future__ import annotations

import numpy as np
import pytest

import relrep_sym as rs


def _longdouble(x, weights, means, scales):
    """∂²/∂σ_i∂σ_j of the mean log-likelihood, by its definition in extended precision."""
    x = np.asarray(x, np.longdouble)
    w, m, s = (np.asarray(a, np.longdouble)[:, None] for a in (weights, means, scales))
    z = (x - m) / s
    terms = np.log(w / s) - z * z / 2
    r = np.exp(terms - terms.max(axis=0))
    r /= r.sum(axis=0)
    slope = (z * z - 1) / s
    own = (1 - 3 * z * z) / (s * s)
    mixed = np.eye(len(w))[:, :, None] * r[:, None] - r[:, None] * r[None]
    inner = mixed * slope[:, None] * slope[None]
    diagonal = np.eye(len(w))[:, :, None] * (r * own)[:, None]
    return (inner + diagonal).mean(axis=2)


@pytest.mark.parametrize("ratio", [2.0, 100.0, 1e6])
@pytest.mark.parametrize("count", [3, 5])
def test_scales_of_any_ratio(ratio, count):
    rng = np.random.default_rng(count)
    k = rs.derive(rs.mixture("normal", components=count)).compile()
    scales = np.geomspace(ratio**-0.5, ratio**0.5, count)
    means = 2.5 * np.arange(count)
    weights = np.full(count, 1.0 / count)
    x = np.concatenate([m + s * rng.uniform(-8, 8, 8) for m, s in zip(means, scales, strict=True)])
    found = k.hessian(x, [*weights[:-1], *means, *scales])[-count:, -count:]
    right = _longdouble(x, [*weights[:-1], 1 - weights[:-1].sum()], means, scales)
    size = np.sqrt(np.abs(np.diag(right)))
    np.testing.assert_allclose(
        found / np.outer(size, size), (right / np.outer(size, size)).astype(float), atol=1e-12
    )
