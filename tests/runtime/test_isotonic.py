"""Isotonic regression: SciPy's, and the optimality conditions in exact fractions."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import isotonic_regression

from relrep_sym.errors import DataError
from relrep_sym.runtime.isotonic import isotonic

EPS = np.finfo(float).eps


def _exact(values, weights):
    """(fit, multipliers) in fractions, by pooling adjacent violators."""
    blocks = []
    for v, w in zip(map(Fraction, values), map(Fraction, weights), strict=True):
        blocks.append([w * v, w, 1])
        while len(blocks) > 1 and blocks[-2][0] * blocks[-1][1] > blocks[-1][0] * blocks[-2][1]:
            last = blocks.pop()
            blocks[-1] = [a + b for a, b in zip(blocks[-1], last, strict=True)]
    fit = [s / w for s, w, n in blocks for _ in range(n)]
    pulls = [Fraction(w) * (Fraction(v) - u) for v, w, u in zip(values, weights, fit, strict=True)]
    multipliers = [sum(pulls[: k + 1]) for k in range(len(fit) - 1)]
    # the conditions themselves: dual feasible, complementary, and their sum is zero
    assert sum(pulls) == 0
    assert all(y >= 0 for y in multipliers)
    assert all(y == 0 or fit[k] == fit[k + 1] for k, y in enumerate(multipliers))
    return fit, multipliers


@pytest.mark.parametrize("count", [2, 3, 5, 8, 50])
def test_fits_are_scipys(count):
    rng = np.random.default_rng(count)
    values = rng.normal(size=(count, 300)) - np.arange(count)[:, None] * rng.normal(size=300)
    values[:, ::3] = np.round(values[:, ::3])  # ties
    weights = 10.0 ** rng.uniform(-3, 3, size=values.shape)
    found = isotonic(values, weights)
    for b in range(values.shape[1]):
        theirs = isotonic_regression(values[:, b], weights=weights[:, b])
        np.testing.assert_allclose(found.fit[:, b], theirs.x, rtol=0, atol=1e-13 * count)
    assert (np.diff(found.fit, axis=0) >= 0).all()


@pytest.mark.parametrize("count", [2, 3, 5, 8, 50])
@pytest.mark.parametrize("scale", [0, 12])
def test_fits_and_multipliers_are_exact_to_the_last_digits(count, scale):
    rng = np.random.default_rng(10 * count + scale)
    batch = 40 if count < 50 else 10
    values = 1e5 + rng.normal(size=(count, batch)) * 10.0 ** rng.uniform(-6, 3, size=batch)
    values[:, ::2] -= np.arange(count)[:, None] * 0.5  # many active sets
    weights = 10.0 ** rng.uniform(-scale, scale, size=values.shape)
    found = isotonic(values, weights)
    assert found.residual.max() < 2 * EPS
    for b in range(batch):
        fit, multipliers = _exact(values[:, b], weights[:, b])
        assert all(
            abs(Fraction(u) - v) <= Fraction(EPS) * abs(v)
            for u, v in zip(found.fit[:, b], fit, strict=True)
        )
        pulls = [
            float(abs(Fraction(w) * (Fraction(v) - u)))
            for v, w, u in zip(values[:, b], weights[:, b], fit, strict=True)
        ]
        for k, y in enumerate(multipliers):
            room = 8 * EPS * min(sum(pulls[: k + 1]), sum(pulls[k + 1 :]))
            assert abs(found.multipliers[k, b] - float(y)) <= room + 4 * EPS * float(y)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(-4, 4).map(float), st.sampled_from([1e-12, 0.5, 1.0, 3.0, 1e12])),
        min_size=1,
        max_size=9,
    )
)
def test_ties_and_extreme_weights_keep_the_conditions(pairs):
    values, weights = np.array(pairs).T
    found = isotonic(values[:, None], weights[:, None])
    fit, multipliers = _exact(values, weights)
    for u, exact in zip(found.fit[:, 0], fit, strict=True):
        block = np.array([v == exact for v in fit])
        spread = np.average(np.abs(values)[block], weights=weights[block])
        assert abs(float(Fraction(u) - exact)) <= 2 * EPS * spread
    total = float((weights * np.abs(values - found.fit[:, 0])).sum())
    np.testing.assert_allclose(
        found.multipliers[:, 0], [float(y) for y in multipliers], rtol=1e-14, atol=8 * EPS * total
    )


def test_a_sequence_that_ascends_is_its_own_fit_and_nothing_is_active():
    values = np.array([[1.0, 1e5], [1.0 + EPS, 1e5], [2.0, 1e5 + 1e-9]])
    found = isotonic(values, np.full_like(values, 1e-12))
    assert (found.fit == values).all()
    assert (found.multipliers == 0).all()


def test_what_has_no_place_is_refused():
    ones = np.ones((3, 2))
    for weight in (0.0, -1.0, np.nan, np.inf):
        weights = ones.copy()
        weights[1, 1] = weight
        with pytest.raises(DataError, match="2 of sequence 1"):
            isotonic(ones, weights)
    with pytest.raises(DataError, match="not finite"):
        isotonic(np.array([[1.0], [np.nan]]), np.ones((2, 1)))
    with pytest.raises(DataError, match="shape"):
        isotonic(ones, ones[:2])
