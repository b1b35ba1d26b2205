"""Expectations: Fisher information, divergence, averaged fields; each against something else."""

from __future__ import annotations

import tracemalloc

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import relrep_sym as rs
from relrep_sym.errors import DataError, DomainError
from relrep_sym.oracle_input import oracle_of
from relrep_sym.runtime.expectation import Nodes
from relrep_sym.verify.yardstick import ratio
from tests.runtime import models
from tests.runtime.models import compiled, declared, derived, normals, poissons, theta

NORMAL_TRUTHS = {
    1: ([1.0], [0.7], [1.3]),
    2: ([0.4, 0.6], [-0.5, 1.5], [1.0, 0.5]),
    4: ([0.1, 0.2, 0.3, 0.4], [-2.0, 0.0, 1.0, 3.0], [0.5, 1.0, 2.0, 0.75]),
}
POISSON_TRUTHS = {
    1: ([1.0], [2.5]),
    2: ([0.4, 0.6], [0.5, 3.0]),
    4: ([0.1, 0.2, 0.3, 0.4], [0.25, 1.0, 4.0, 9.0]),
}
CASES = [
    ("normal", k, c)
    for k in (1, 2, 3, 5)
    for c in ("identity", "relative", "log")
    if k > 1 or c != "relative"
]
CASES += [("poisson", k, c) for k in (1, 2, 3) for c in ("identity", "log")]


def point(family, components, chart, seed=1):
    module = compiled(family, components, chart)
    mixture = normals(components, seed) if family == "normal" else poissons(components, seed)
    return module, module.from_model(theta(module, mixture))


def truths(family):
    return NORMAL_TRUTHS if family == "normal" else POISSON_TRUTHS


# ------------------------------------------------------------------------------ Fisher


@pytest.mark.parametrize(("family", "components", "chart"), CASES)
def test_fisher_is_symmetric_and_positive_semidefinite(family, components, chart):
    module, coords = point(family, components, chart)
    many = np.stack([coords, coords * 1.01, coords * 0.97])
    found = module.fisher(many)
    np.testing.assert_array_equal(found, found.swapaxes(1, 2))
    values = np.linalg.eigvalsh(found)
    assert (values[:, 0] >= -1e-13 * values[:, -1]).all()
    for whole, c in zip(found, many, strict=True):
        np.testing.assert_allclose(module.fisher(c), whole, rtol=1e-12, atol=1e-14 * values.max())


@pytest.mark.parametrize(
    ("family", "components", "chart"), [c for c in CASES if c[2] != "identity"]
)
def test_fisher_pulls_back(family, components, chart):
    """I_λ = Jᵀ I_θ J."""
    module, coords = point(family, components, chart)
    plain = compiled(family, components)
    j = module.jacobian(coords)
    expected = j.T @ plain.fisher(module.to_model(coords)) @ j
    np.testing.assert_allclose(
        module.fisher(coords), expected, rtol=1e-11, atol=1e-13 * np.abs(expected).max()
    )


@pytest.mark.parametrize("components", [1, 3])
def test_fisher_is_the_mean_square_of_the_score(components):
    module, coords = point("normal", components, "identity")
    x = module.sample(coords, 200_000, rng=0)
    scores = module.score_samples(x, coords)
    products = scores[:, :, None] * scores[:, None]
    error = products.std(axis=0) / np.sqrt(len(x))
    assert (np.abs(products.mean(axis=0) - module.fisher(coords)) < 5 * error + 1e-12).all()


def test_fisher_of_a_single_normal_and_of_a_single_rate():
    sigma = 1.7
    expected = np.diag([1.0, 2.0]) / sigma**2
    np.testing.assert_allclose(compiled("normal", 1).fisher([0.4, sigma]), expected, atol=4e-16)
    for rate in (1e-3, 1.0, 1e4):
        found = compiled("poisson", 1).fisher([rate])
        np.testing.assert_allclose(found, [[1 / rate]], rtol=2e-13)
        np.testing.assert_allclose(
            compiled("poisson", 1, "log").fisher([np.log(rate)]), [[rate]], rtol=2e-13
        )


def test_fisher_does_not_depend_on_the_origin():
    module = compiled("normal", 3, "relative")
    coords = np.array([0.2, 0.3, 0.0, 0.5, 1.5, 1.0, 0.75, 1.25])
    away = coords.copy()
    away[2] = 2.0**20
    np.testing.assert_allclose(module.fisher(away), module.fisher(coords), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("gap", [1e-3, 1e-8, 1e-13])
def test_fisher_where_components_merge(gap):
    """The weight's information vanishes like the gap squared, and is known to its last digits."""
    module = compiled("normal", 2, "relative", scales=1)
    found = module.fisher([0.3, 0.0, gap])
    assert found[0, 0] == pytest.approx(gap**2, rel=3 * gap + 1e-13)
    np.testing.assert_allclose(found[1, 1], 1.0, rtol=max(1e-13, gap**2))


def test_fisher_that_is_infinite_is_an_error():
    """A component without weight and with heavier tails: ∫ f_1²/f_2 has no bound."""
    module = compiled("normal", 2)
    with pytest.raises(DomainError, match="the Fisher information overflows"):
        module.fisher([0.0, 0.0, 1.0, 2.0, 1.0])
    assert np.isfinite(module.fisher([0.0, 0.0, 1.0, 1.0, 2.0])).all()


@pytest.mark.parametrize("scale", [1.2, 10.0])
def test_fisher_of_a_hardly_weighted_component_with_heavier_tails(scale):
    """E_p[(R_1 − R_2)²] at a weight of 1e-12: 40 scales out, where the light one takes over."""
    found = compiled("normal", 2).fisher([1e-12, 0.0, 1.0, scale, 1.0])[0, 0]

    def square(x):
        wide, narrow = (
            mpmath.npdf(x, mpmath.mpf(m), mpmath.mpf(s)) for m, s in ((0, scale), (1, 1))
        )
        light = mpmath.mpf(1e-12)
        return (wide - narrow) ** 2 / (light * wide + (1 - light) * narrow)

    with mpmath.workdps(25):
        value = mpmath.quad(square, [-150, *range(-60, 61, 2), 150])
        assert abs(found / value - 1) < 1e-13


def units(found, measured):
    flat = [m for row in measured for m in (row if isinstance(row, tuple) else (row,))]
    return max(float(ratio(float(v), m)) for v, m in zip(np.ravel(found), flat, strict=True))


def test_fisher_field_and_divergence_are_the_oracles():
    chart = declared("normal", 2, "relative", scales="tied")
    module = compiled("normal", 2, "relative", scales="tied")
    coords = [0.35, -0.5, 1.25, 0.75]
    at = oracle_of(chart).at(coords)
    assert units(module.fisher(coords), at.fisher()) < 16
    truth = NORMAL_TRUTHS[4]
    assert units(module.averaged_field(coords, truth), at.averaged_field(truth)) < 16
    assert units(module.kl(coords, truth), (at.kl(truth),)) < 16


# ------------------------------------------------------------------------------ divergence


@pytest.mark.parametrize(("family", "components", "chart"), CASES)
@pytest.mark.parametrize("count", [1, 2, 4])
def test_divergence_is_positive_and_zero_at_the_model(family, components, chart, count):
    module, coords = point(family, components, chart)
    assert module.kl(coords, truths(family)[count]) > 1e-3
    assert 0.0 <= module.kl(coords, module.components(coords)) < 1e-15


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 4))
def test_divergence_is_never_negative(seed, components, count):
    module = compiled("normal", components)
    coords = theta(module, normals(components, seed))
    assert module.kl(coords, normals(count, seed + 1)) >= 0.0


@pytest.mark.parametrize("mean", [0.0, 0.5, 10.0, -1e4])
@pytest.mark.parametrize("scale", [0.02, 0.5, 1.0, 3.0, 50.0])
def test_divergence_between_single_normals(mean, scale):
    """KL(N(m, s) ‖ N(0, 1)) = (s² + m² − 1)/2 − log s."""
    found = compiled("normal", 1).kl([0.0, 1.0], ([1.0], [mean], [scale]))
    expected = 0.5 * (scale**2 + mean**2 - 1.0) - np.log(scale)
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("mean", [1e6, 1e10, 1e12, 1e16, 1e100, 1e160])
def test_what_lies_too_many_scales_away_is_refused_and_the_rest_is_exact(mean):
    """Beyond 1e11 scales the nodes' own rounding would be seen; at 1e16 nothing would be left."""
    module, truth = compiled("normal", 1), ([1.0], [mean], [1.0])
    if mean > 1e11:
        for f in (module.kl, module.averaged_field):
            with pytest.raises(DomainError, match=r"too far away for quadrature; given: mu = \[1"):
                f([0.0, 1.0], truth)
    else:
        np.testing.assert_allclose(module.kl([0.0, 1.0], truth), 0.5 * mean * mean, rtol=1e-13)
        found = module.averaged_field([0.0, 1.0], truth)
        np.testing.assert_allclose(found, [mean, mean * mean], rtol=1e-13)


@pytest.mark.parametrize("scale", [1e-200, 1e-300])
def test_scales_too_extreme_for_quadrature_are_refused(scale):
    module, coords = compiled("normal", 2), [0.5, 0.0, 0.0, 1.0, scale]
    with pytest.raises(DomainError, match="too extreme for quadrature"):
        module.fisher(coords)
    with pytest.raises(DomainError, match="too extreme"):
        module.averaged_field(coords, NORMAL_TRUTHS[1])
    with pytest.raises(DomainError, match=r"too (extreme|far away) for quadrature"):
        module.kl(coords, NORMAL_TRUTHS[1])


@pytest.mark.parametrize("rates", [(1e-3, 2e-3), (1.0, 0.25), (1e4, 1.01e4), (3.0, 40.0)])
def test_divergence_between_single_rates(rates):
    q, p = rates
    found = compiled("poisson", 1).kl([p], ([1.0], [q]))
    with mpmath.workdps(30):
        exact = float(mpmath.mpf(q) * mpmath.log(mpmath.mpf(q) / p) + p - q)
    np.testing.assert_allclose(found, exact, rtol=1e-11, atol=1e-18)


@pytest.mark.parametrize(
    ("family", "components", "chart"), [CASES[1], CASES[3], CASES[6], CASES[-3]]
)
def test_divergence_is_half_the_squared_length_of_small_steps(family, components, chart):
    """KL(λ ‖ λ + δ) + KL(λ ‖ λ − δ) = δᵀ I δ + O(δ⁴): the terms of third order cancel."""
    module, coords = point(family, components, chart)
    direction = np.random.default_rng(2).normal(size=coords.size) * np.maximum(np.abs(coords), 0.1)
    truth, information = module.components(coords), module.fisher(coords)
    for size in (1e-3, 1e-4):
        delta = size * direction
        both = module.kl(np.stack([coords + delta, coords - delta]), truth).sum()
        square = delta @ information @ delta
        assert both == pytest.approx(square, rel=300 * size**2 + 1e-11)


def test_divergence_from_a_truth_with_a_component_of_no_weight():
    module, coords = point("normal", 2, "identity")
    with_zero = ([0.4, 0.0, 0.6], [-0.5, 40.0, 1.5], [1.0, 1e-3, 0.5])
    np.testing.assert_array_equal(module.kl(coords, with_zero), module.kl(coords, NORMAL_TRUTHS[2]))
    field = module.averaged_field(coords, NORMAL_TRUTHS[2])
    np.testing.assert_array_equal(module.averaged_field(coords, with_zero), field)


# ------------------------------------------------------------------------------ fields


@pytest.mark.parametrize(("family", "components", "chart"), CASES)
@pytest.mark.parametrize("count", [1, 2, 4])
def test_the_averaged_field_is_the_mean_score_of_many_draws(family, components, chart, count):
    module, coords = point(family, components, chart)
    truth = truths(family)[count]
    source = compiled(family, count)
    x = source.sample(theta(source, truth), 40_000, rng=0)
    scores = module.score_samples(x, coords)
    error = scores.std(axis=0) / np.sqrt(len(x))
    assert (
        np.abs(scores.mean(axis=0) - module.averaged_field(coords, truth)) < 5 * error + 1e-13
    ).all()


@pytest.mark.parametrize(("family", "components", "chart"), CASES)
def test_the_averaged_field_vanishes_at_the_truth(family, components, chart):
    module, coords = point(family, components, chart)
    field = module.averaged_field(coords, module.components(coords))
    scale = np.sqrt(np.diag(module.fisher(coords)))
    assert (np.abs(field) < 1e-14 * (1.0 + scale) * (1.0 + np.abs(coords))).all()


@pytest.mark.parametrize(("family", "components", "chart"), CASES)
def test_the_averaged_field_is_the_slope_of_the_divergence(family, components, chart):
    module, coords = point(family, components, chart)
    truth = truths(family)[2]
    steps = 1e-4 * np.diag(np.maximum(np.abs(coords), 0.1))
    width = 2e-4 * np.maximum(np.abs(coords), 0.1)
    slopes = (module.kl(coords - steps, truth) - module.kl(coords + steps, truth)) / width
    np.testing.assert_allclose(module.averaged_field(coords, truth), slopes, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("family", "components", "chart"), CASES)
def test_a_weighted_sample_is_a_truth(family, components, chart):
    """(nodes, weights) gives the score of the weighted sample."""
    module, coords = point(family, components, chart)
    rng = np.random.default_rng(0)
    x = rng.normal(size=50) if family == "normal" else rng.integers(0, 9, 50).astype(float)
    weights = rng.random(50)
    many = np.stack([coords, 1.01 * coords])
    pair = (x, weights) if family == "normal" else Nodes(x, weights)
    np.testing.assert_array_equal(module.averaged_field(many, pair), module.score(x, many, weights))
    np.testing.assert_array_equal(
        module.averaged_field(coords, Nodes(x, np.ones(50))), module.score(x, coords, np.ones(50))
    )


@pytest.mark.parametrize("components", [1, 3])
def test_a_field_on_a_grid_is_its_points(components):
    module, coords = point("normal", components, "identity")
    grid = coords + 0.3 * np.random.default_rng(0).random((4, 6, coords.size)) * (coords > 0.5)
    truth = NORMAL_TRUTHS[2]
    found = module.averaged_field(grid, truth)
    alone = np.array([[module.averaged_field(c, truth) for c in row] for row in grid])
    np.testing.assert_allclose(found, alone, rtol=1e-11, atol=1e-14)
    found, alone = module.kl(grid, truth), [[module.kl(c, truth) for c in row] for row in grid]
    np.testing.assert_allclose(found, alone, rtol=1e-12)


def test_declared_truths_are_taken_too():
    module, coords = point("normal", 2, "identity")
    q = rs.truth("normal", weights=["2/5", "3/5"], means=["-1/2", "3/2"], scales=[1, "1/2"])
    found = module.averaged_field(coords, q)
    np.testing.assert_array_equal(found, module.averaged_field(coords, NORMAL_TRUTHS[2]))


def test_nodes_stand_for_the_truth():
    module, coords = point("normal", 2, "identity")
    d = derived("normal", 2)
    for truth in NORMAL_TRUTHS.values():
        weights, means, scales = truth
        q = rs.truth("normal", weights=weights, means=means, scales=scales)
        x, w = rs.nodes(q, coords, derivation=d)
        assert w.sum() == pytest.approx(1.0, abs=1e-14)
        scores = w @ module.score_samples(x, coords)
        np.testing.assert_allclose(
            scores, module.averaged_field(coords, truth), rtol=1e-12, atol=1e-14
        )
    with pytest.raises(DataError, match="coords has leading axes"):
        rs.nodes(q, [coords], derivation=d)


# ------------------------------------------------------------------------------ sums over counts


@pytest.mark.parametrize("rate", [1e-3, 1.0, 1e4])
@pytest.mark.parametrize("components", [1, 2])
def test_sums_over_counts_are_exact(rate, components):
    """Against a sum over every count that SciPy gives any mass."""
    module = compiled("poisson", components)
    mixture = ([1.0], [rate]) if components == 1 else ([0.25, 0.75], [0.5 * rate, 2.0 * rate])
    coords = theta(module, mixture)
    truth = ([0.5, 0.5], [0.8 * rate, 1.1 * rate])
    top = int(2.2 * rate + 20 * np.sqrt(2.2 * rate) + 60)
    x = np.arange(top + 1.0)

    log_q, log_p = models.log_density(x, truth), models.log_density(x, mixture)
    q, p, scores = np.exp(log_q), np.exp(log_p), module.score_samples(x, coords)
    summands = np.abs(scores).T @ q
    assert (
        np.abs(module.averaged_field(coords, truth) - q @ scores) <= 1e-11 * summands
    ).all()  # SciPy has no more digits
    gram = (p[:, None] * scores).T @ scores
    np.testing.assert_allclose(module.fisher(coords), gram, rtol=1e-10, atol=1e-13)
    divergence = (q * (log_q - log_p)).sum()
    np.testing.assert_allclose(module.kl(coords, truth), divergence, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("rate", [1e-6, 1e-9, 1e-10, 1e-12, 1e-21, 1e-100])
def test_small_rates(rate):
    """E[(x/rate − 1)²] = 1/rate comes from x = 1 and x = 2, however rare these are."""
    np.testing.assert_allclose(compiled("poisson", 1).fisher([rate]), [[1 / rate]], rtol=1e-13)
    truth = ([1.0], [3 * rate])
    np.testing.assert_allclose(
        compiled("poisson", 1).averaged_field([rate], truth), [2], rtol=1e-13
    )


def test_a_divergence_over_a_wide_gap_does_not_sum_the_gap():
    tracemalloc.start()
    try:
        found = compiled("poisson", 1).kl([1e8], ([1.0], [1.0]))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    np.testing.assert_allclose(found, 1e8 - 1.0 - np.log(1e8), rtol=1e-12)
    assert peak < 2e8


def test_truths_with_rates_far_apart():
    """Two windows of counts, a small one and a far one, with nothing between them."""
    module = compiled("poisson", 1)
    truth = ([0.5, 0.5], [1e-3, 1e4])
    mean = 0.5 * (1e-3 + 1e4)
    np.testing.assert_allclose(module.averaged_field([3.0], truth), [mean / 3.0 - 1.0], rtol=1e-12)
    exact = 0.5 * (np.log(1e4 / mean) * 1e4) + 0.5 * (np.log(1e-3 / mean) * 1e-3) - np.log(2.0)
    np.testing.assert_allclose(module.kl([mean], truth), exact, rtol=1e-9)
