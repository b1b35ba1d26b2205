"""The covariance of the components' scores: exact arithmetic, mpmath, and how its work grows."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

import relrep_sym as rs
from relrep_sym.oracle_input import oracle_of
from relrep_sym.runtime import mixing, second
from relrep_sym.runtime.mixing import contrasts
from relrep_sym.runtime.products import ALONE, outer
from tests.runtime.test_hessian import misses


@pytest.mark.parametrize("components", [2, 3, 7])
def test_contrasts_keep_the_digits_of_every_cut(components):
    """Σ over pairs across a cut of W_kl, weights over thirty orders of magnitude, in fractions."""
    rng = np.random.default_rng(components)
    for _ in range(20):
        w = np.exp(rng.uniform(-70, 0, (components, components)))
        w = np.tril(w, -1) + np.tril(w, -1).T
        w[rng.random(w.shape) < 0.2] = 0.0
        w = np.minimum(w, w.T)
        sides = rng.random((5, components)) < 0.5
        u = contrasts(w[None, None], sides[None, None] + 7.0)[0, 0, 0]
        for side, found in zip(sides, (u**2).sum(axis=1).tolist(), strict=True):
            cut = sum((Fraction(w[i, j]) for i in np.flatnonzero(side)
                       for j in np.flatnonzero(~side)), Fraction(0))  # fmt: skip
            assert abs(Fraction(found) - cut) <= Fraction(1, 10**14) * cut


@pytest.mark.parametrize("shape", [(2, 1), (3, 5), (64, 32), (65, 33), (130, 70)])
@pytest.mark.parametrize("points", [1, 63, 64, 200])
def test_products_in_pieces_are_products(shape, points):
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-8, 8, (2, p, points)).astype(float) for p in shape)
    np.testing.assert_array_equal(outer(a, b), a @ b.swapaxes(1, 2))


def test_no_piece_of_a_product_is_long_enough_for_threads():
    """What NumPy is asked for, piece by piece."""
    seen = []

    class Watched(np.ndarray):
        def __array_ufunc__(self, ufunc, method, *inputs, out=(), **options):
            plain = [np.asarray(a) for a in inputs]
            if ufunc is np.matmul:
                seen.append(plain[0].shape[-2] * plain[0].shape[-1] * plain[1].shape[-1])
            return getattr(ufunc, method)(*plain, **options)

    for p, q, n in [(1, 1, 10**6), (6, 6, 10**5), (200, 3, 5000), (300, 300, 100)]:
        a, b = np.ones((1, p, n)).view(Watched), np.ones((1, q, n)).view(Watched)
        outer(a, b)
        assert sum(seen) == p * q * n
        assert max(seen) <= ALONE
        seen.clear()


MERGED = [
    ("normal", 3, {"scales": 1}, "plain"),
    ("normal", 5, {"scales": "tied"}, "plain"),
    ("normal", 6, {}, "plain"),
    ("normal", 5, {}, "square"),
    ("poisson", 4, {}, "plain"),
]


@pytest.mark.parametrize(("family", "components", "patterns", "gap"), MERGED)
@pytest.mark.parametrize("size", [1.0, 1e-5, 1e-10, 0.0])
def test_merging_components_keep_their_digits_in_the_tails_too(
    family, components, patterns, gap, size
):
    """Curvature, covariance and all: the oracle's, with points forty scales away."""
    model = rs.mixture(family, components=components, weights=f"1/{components}", **patterns)
    chart = rs.relative(model, "mu" if family == "normal" else "rate", gap=gap)
    module = rs.derive(model, chart).compile()
    rng = np.random.default_rng(components)
    coords = []
    for name in module.COORDINATES:
        far = name.startswith("Delta") and rng.random() < 0.7
        coords.append(size * rng.uniform(0.5, 1.5) if far else rng.uniform(0.7, 1.3))
    coords = np.array(coords)
    x = np.array([-9.0, -2.0, 0.1, 0.9, 3.0, 25.0, 39.0])
    if family == "poisson":
        x = np.array([0.0, 1.0, 3.0, 12.0, 40.0])
    found = module.hessian(x, coords)
    assert misses(found, oracle_of(chart).at(coords.tolist()), x.tolist()) <= 16


def test_twice_the_components_cost_no_more_than_five_times_the_work(monkeypatch):
    """Multiplications of all products, K = 64 and 128: what is done grows as K², not as K³."""
    count = [0]

    def counted(a, b):
        count[0] += a.shape[0] * a.shape[1] * b.shape[1] * a.shape[2]
        return outer(a, b)

    monkeypatch.setattr(mixing, "outer", counted)
    monkeypatch.setattr(second, "outer", counted)
    work = []
    for components in (64, 128):
        model = rs.mixture("normal", components=components)
        module = rs.derive(model, rs.relative(model, "mu")).compile()
        rng = np.random.default_rng(0)
        parts = np.full(components - 1, 1 / components), np.linspace(-9, 9, components)
        coords = module.from_model(np.concatenate([*parts, rng.uniform(0.5, 1.5, components)]))
        count[0] = 0
        module.hessian(rng.normal(size=500) * 6, coords)
        work.append(count[0])
    assert work[1] <= 5 * work[0]
