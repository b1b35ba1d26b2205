"""The data pass against SciPy, a complex step and mpmath: everywhere, and where it is hard."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import relrep_sym as rs
from relrep_sym.errors import DomainError
from relrep_sym.oracle_input import oracle_of
from relrep_sym.runtime import block, kernel
from relrep_sym.verify.yardstick import ratio
from tests.runtime import models
from tests.runtime.models import compiled, complex_step, declared, normals, poissons, theta

UNIT = 2.0**-53
COUNTS = [1, 2, 3, 5, 8]
CHARTS = ["identity", "relative", "square", "log"]
CASES = [
    ("normal", k, chart)
    for k in COUNTS
    for chart in CHARTS
    if k > 1 or chart in ("identity", "log")
] + [("poisson", k, chart) for k in (1, 2, 3, 5, 8) for chart in ("identity", "log")]


def point_of(family, components, chart, seed=0):
    """(module, coordinates, mixture, sample)."""
    mixture = normals(components, seed) if family == "normal" else poissons(components, seed)
    module = compiled(family, components, chart)
    if chart == "square":  # the means ascend by more than the clearance
        mixture = (
            mixture[0],
            mixture[1][0] + np.cumsum(0.3 + np.diff(mixture[1], prepend=0)),
            *mixture[2:],
        )
    coords = module.from_model(theta(module, mixture))
    rng = np.random.default_rng(seed)
    x = rng.normal(1.0, 4.0, 60) if family == "normal" else rng.integers(0, 40, 60).astype(float)
    return module, coords, module.components(coords), x


@pytest.mark.parametrize(("family", "components", "chart"), CASES)
def test_log_density_responsibilities_and_score(family, components, chart):
    module, coords, mixture, x = point_of(family, components, chart)
    exact = models.log_density(x, mixture)
    size = 1.0 + np.abs(models.log_terms(x, mixture)).max(axis=0)
    assert (np.abs(module.log_density(x, coords) - exact) <= 64 * UNIT * size).all()
    np.testing.assert_allclose(module.log_likelihood(x, coords), exact.mean(), rtol=1e-13)

    r = module.responsibilities(x, coords)
    np.testing.assert_allclose(r, models.responsibilities(x, mixture), rtol=1e-11, atol=1e-200)
    np.testing.assert_allclose(r.sum(axis=1), 1.0, rtol=4e-16 * components)

    def mean(c):
        return models.mean_log_likelihood(x, c, components, chart, family)

    stepped = complex_step(mean, coords)
    scores = module.score_samples(x, coords)
    scale = np.abs(scores).mean(axis=0)
    assert (np.abs(module.score(x, coords) - stepped) <= 1e-13 * scale + 1e-14).all()
    assert (np.abs(scores.mean(axis=0) - stepped) <= 1e-13 * scale + 1e-14).all()


@pytest.mark.parametrize(("family", "components", "chart"), CASES)
def test_statistics_are_sums_of_responsibilities_times_the_basis(family, components, chart):
    module, coords, mixture, x = point_of(family, components, chart)
    r = models.responsibilities(x, mixture)
    mass, *moments = module.statistics(x, coords)
    np.testing.assert_allclose(mass, r.mean(axis=0), rtol=1e-11)
    if family == "poisson":
        rows = [x[:, None] + 0.0 * r]
    else:
        z = (x[:, None] - mixture[1]) / mixture[2] / np.sqrt(2.0)
        rows = [z, z * z]
    for found, row in zip(moments, rows, strict=True):
        assert (
            np.abs(found - (r * row).mean(axis=0)) <= 1e-12 * np.abs(r * row).mean(axis=0)
        ).all()


# ------------------------------------------------------------------ weights, batches, blocks


@pytest.mark.parametrize(("family", "components", "chart"), [CASES[1], CASES[9], CASES[-1]])
def test_integer_weights_are_repetition(family, components, chart):
    module, coords, _, x = point_of(family, components, chart)
    times = np.random.default_rng(3).integers(0, 4, x.size)
    again = np.repeat(x, times)
    for f in (module.score, module.log_likelihood, module.statistics):
        for a, b in zip(
            np.atleast_1d(f(x, coords, 0.37 * times)), np.atleast_1d(f(again, coords)), strict=True
        ):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("components", "size"), [(2, 7), (3, 1000), (5, 70_000)])
def test_a_batch_gives_what_its_members_give(components, size):
    module, coords, _, _ = point_of("normal", components, "relative")
    x = np.random.default_rng(0).normal(1.0, 3.0, size)
    weights = np.random.default_rng(1).random(size)
    batch = coords * (1.0 + 0.01 * np.arange(5)[:, None])
    for w in (None, weights):
        together, alone = module.score(x, batch, w), [module.score(x, c, w) for c in batch]
        scale = np.abs(module.score_samples(x[:500], coords)).mean(axis=0)
        assert (np.abs(together - alone) <= 32 * UNIT * scale).all()
        np.testing.assert_allclose(
            module.log_likelihood(x, batch, w),
            [module.log_likelihood(x, c, w) for c in batch],
            rtol=4e-15,
        )
    np.testing.assert_allclose(
        module.log_density(x, batch),
        [module.log_density(x, c) for c in batch],
        rtol=64 * UNIT,
        atol=64 * UNIT,
    )


def test_blocks_agree_with_one_block(monkeypatch):
    module, coords, _, _ = point_of("normal", 3, "relative")
    x = np.random.default_rng(0).normal(1.0, 3.0, 1000)
    whole = module.score(x, coords), module.log_likelihood(x, coords), module.log_density(x, coords)
    blocks = kernel.blocks
    for size in (1, 7, 64, 999, 1000):
        monkeypatch.setattr(kernel, "blocks", lambda b, n, *_, size=size: blocks(b, n, size))
        np.testing.assert_allclose(module.score(x, coords), whole[0], rtol=1e-12)
        np.testing.assert_allclose(module.log_likelihood(x, coords), whole[1], rtol=1e-14)
        np.testing.assert_allclose(module.log_density(x, coords), whole[2], rtol=1e-14)
        batch = np.stack([coords, coords * 1.01, coords * 0.99])
        np.testing.assert_allclose(module.score(x, batch)[0], whole[0], rtol=1e-12)


def test_the_same_call_gives_the_same_bits():
    module, coords, _, _ = point_of("normal", 3, "relative")
    x = np.random.default_rng(0).normal(1.0, 3.0, 200_000)
    np.testing.assert_array_equal(module.score(x, coords), module.score(x, coords))
    np.testing.assert_array_equal(
        module.score(x[: 2 * kernel.BLOCK], coords),
        module.score(x[: 2 * kernel.BLOCK].copy(), coords),
    )


@pytest.mark.parametrize("weighted", [False, True])
def test_memory_is_of_the_size_of_a_block(weighted):
    """Two million points at K = 3: far below one array of them for each component."""
    module, coords, _, _ = point_of("normal", 3, "relative")
    x = np.random.default_rng(0).normal(size=2_000_000)
    weights = np.ones(x.size) if weighted else None
    tracemalloc.start()
    try:
        module.score(x, coords, weights)
        module.log_likelihood(x, coords, weights)
        module.em_step(x, coords, weights)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    normalised = 2 * x.nbytes if weighted else 0
    assert peak - normalised < x.nbytes


# ------------------------------------------------------------------ the shifted path


@pytest.mark.parametrize(("family", "components", "chart"), [CASES[1], CASES[9], CASES[-3]])
def test_the_shifted_path_gives_what_the_plain_path_gives(monkeypatch, family, components, chart):
    module, coords, _, x = point_of(family, components, chart)
    x = x[np.abs(x - 1.0) < 8.0]
    functions = [
        module.log_density, module.responsibilities, module.score_samples, module.score,
        module.log_likelihood, module.em_step,
    ]  # fmt: skip
    monkeypatch.setattr(block, "_TOP", 600.0)
    plain = [f(x, coords) for f in functions]
    monkeypatch.setattr(block, "_TOP", -np.inf)
    shifted = [f(x, coords) for f in functions]
    for f, a, b in zip(functions, plain, shifted, strict=True):
        np.testing.assert_allclose(a, b, rtol=3e-13, atol=1e-13, err_msg=f.__name__)


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("away", [20.0, 40.0, 1e3, 1e8])
def test_components_far_apart(order, away):
    """Each point is far from one component, also from the last."""
    mixture = ([0.25, 0.75], [0.0, away][::order], [1.0, 2.0])
    module = compiled("normal", 2)
    coords = theta(module, mixture)
    x = np.array([0.3, -1.0, away + 0.25, 0.5 * away])
    np.testing.assert_allclose(
        module.log_density(x, coords), models.log_density(x, mixture), rtol=4e-14
    )
    for n in range(4):

        def value(c, n=n):
            return models.mean_log_likelihood(x[n : n + 1], c, 2, "identity")

        found = module.score_samples(x[n], coords)
        np.testing.assert_allclose(found, complex_step(value, coords), rtol=1e-8, atol=1e-15)


# ------------------------------------------------------------------ hard places


def entries(found, measured):
    """Units of the yardstick, for arrays of the same shape."""
    flat = []

    def unfold(rows):
        for row in rows:
            if hasattr(row, "value"):
                flat.append(row)
            else:
                unfold(row)

    unfold(measured)
    return [float(ratio(float(v), m)) for v, m in zip(np.ravel(found), flat, strict=True)]


@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_responsibilities_are_probabilities_and_scores_are_finite(seed, components):
    """Scales over twelve decades, weights down to 1e-200, points anywhere."""
    rng = np.random.default_rng(seed)
    weights = 10.0 ** rng.uniform(-200, 0, components) * (rng.random(components) > 0.2)
    weights[rng.integers(components)] = 1.0
    weights /= weights.sum()
    means = rng.normal(size=components) * 10.0 ** rng.uniform(-3, 6, components)
    scales = 10.0 ** rng.uniform(-6, 6, components)
    module = compiled("normal", components)
    coords = theta(module, (weights, means, scales))
    x = rng.choice(means, 50) + rng.normal(size=50) * 10.0 ** rng.uniform(-8, 8, 50)
    mixture = module.components(coords)
    r = module.responsibilities(x, coords)
    assert ((r >= 0) & (r <= 1 + 4 * UNIT)).all()
    np.testing.assert_allclose(r.sum(axis=1), 1.0, rtol=1e-15 * components)
    exact = models.log_density(x, mixture)
    np.testing.assert_allclose(module.log_density(x, coords), exact, rtol=1e-13, atol=1e-12)
    if mixture[0].all():
        assert np.isfinite(module.score_samples(x, coords)).all()
        assert np.isfinite(module.score(x, coords)).all()


@pytest.mark.parametrize("distance", [1e2, 1e4, 1e8])
@pytest.mark.parametrize("last", [1.0, 1e-6, 1e6])
def test_tails_are_exact(distance, last):
    """Points up to 1e8 scales away; the last component as wide as the first, or 1e6 times so."""
    chart = declared("normal", 3, "relative")
    module = compiled("normal", 3, "relative")
    coords = [0.2, 0.3, -1.0, 0.5, 2.0, 1.0, 1.5, last]
    at = oracle_of(chart).at(coords)
    x = [-distance, distance, 1.5 + 40.0 * last, 1.5 - distance * last]
    assert max(entries(module.log_density(x, coords), [at.log_density(v) for v in x])) < 64
    assert max(entries(module.score_samples(x, coords), [at.score_sample(v) for v in x])) < 64
    assert (
        max(entries(module.responsibilities(x, coords), [at.responsibilities(v) for v in x])) < 64
    )


@pytest.mark.parametrize("far", [1e155, 1e160, 1e300, np.finfo(float).max])
@pytest.mark.parametrize("components", [1, 2, 3])
@pytest.mark.parametrize(
    "name", ["log_density", "score_samples", "log_likelihood", "score", "em_step", "statistics"]
)
def test_absurdly_far_points_are_a_clear_error(name, components, far):
    module, coords, _, _ = point_of("normal", components, "identity")
    for x in ([far, 0.1], [-far], np.append(np.zeros(1000), far)):
        with pytest.raises(DomainError, match="overflows double precision"):
            getattr(module, name)(x, coords)


@pytest.mark.parametrize("scale", [5e-324, 1e-310])
@pytest.mark.parametrize("which", [3, 4])
def test_absurd_scales_are_a_clear_error(scale, which):
    coords = [0.3, 0.0, 2.0, 1.0, 0.5]
    coords[which] = scale
    with pytest.raises(DomainError, match=r"too extreme|overflows double precision"):
        compiled("normal", 2).score([0.1, 0.7], coords)


@pytest.mark.parametrize("scale", [1e-60, 1e-30, 1e30, 1e100])
@pytest.mark.parametrize("which", [0, 1])
def test_extreme_scales_are_exact(scale, which):
    """A component without a point near it, or one that is flat."""
    mixture = (np.array([0.3, 0.7]), np.array([0.0, 2.0]), np.array([1.0, 0.5]))
    mixture[2][which] = scale
    module = compiled("normal", 2)
    coords, x = theta(module, mixture), np.array([0.1, -3.0])
    logs, r = models.log_terms(x, mixture), models.responsibilities(x, mixture)
    z = (x[:, None] - mixture[1]) / mixture[2]
    np.testing.assert_allclose(module.log_density(x, coords), np.logaddexp(*logs), atol=5e-14)
    np.testing.assert_allclose(module.responsibilities(x, coords), r, rtol=1e-12, atol=1e-300)
    expected = r * (z**2 - 1.0) / mixture[2]
    found = module.score_samples(x, coords)[:, 3:]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1e-150, 1e150, 1e200, 1e300])
@pytest.mark.parametrize("x", [0.1, 1e20, 1e100])
def test_beyond_the_extreme_there_is_an_error_or_a_number(scale, x):
    module, coords = compiled("normal", 2), [0.3, 0.0, 2.0, 1.0, scale]
    for f in (module.log_density, module.responsibilities, module.score_samples, module.score):
        try:
            found = f([x, 0.2], coords)
        except DomainError:
            continue
        assert np.isfinite(found).all()


@pytest.mark.parametrize("weights", [(0.0, 1.0), (1.0, 0.0), (1e-300, 1.0), (1e-12, 1 - 1e-12)])
@pytest.mark.parametrize("away", [3.0, 30.0, 100.0])
def test_components_of_no_or_hardly_any_weight(weights, away):
    mixture = (weights, [0.0, away], [1.0, 1.0])
    module = compiled("normal", 2)
    coords = theta(module, mixture)
    x = np.array([away, 0.0, 0.5 * away, -2.0])
    exact = models.log_density(x, mixture)
    for sample, expected in [(x, exact), (x[:1], exact[:1])]:  # alone, and in a block with others
        found = module.log_density(sample, coords)
        np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-13)
        np.testing.assert_allclose(
            module.log_likelihood(sample, coords), expected.mean(), rtol=1e-13
        )
    r = module.responsibilities(x, coords)
    np.testing.assert_allclose(r, models.responsibilities(x, mixture), rtol=1e-11, atol=1e-300)


def test_a_weight_of_1e_300_has_a_score_and_a_weight_of_zero_may_have_none():
    module = compiled("normal", 2)
    score = module.score_samples(0.0, [1e-300, 0.0, 100.0, 1.0, 1.0])
    np.testing.assert_allclose(score, [1e300, 0.0, 0.0, -1.0, 0.0], rtol=1e-14, atol=1e-12)
    near = module.score_samples(0.0, [0.0, 0.0, 2.0, 1.0, 1.0])
    np.testing.assert_allclose(near[0], np.expm1(2.0), rtol=1e-15)
    for f in (module.score_samples, module.score):
        with pytest.raises(DomainError, match="overflows"):  # f_1/f_2 is e^5000
            f([0.0, 100.0], [0.0, 0.0, 100.0, 1.0, 1.0])


@pytest.mark.parametrize("gap", [1e-3, 1e-6, 1e-9, 1e-12, 1e-15])
@pytest.mark.parametrize("scales", ["free", "tied"])
def test_the_weight_score_of_merging_components_keeps_its_digits(gap, scales):
    """Relative accuracy, in the relative chart, where the gap is known to its last digit."""
    module = compiled("normal", 2, "relative", scales=scales)
    chart = declared("normal", 2, "relative", scales=scales)
    coords = [0.3, 0.4, gap, *([0.75] if scales == "tied" else [0.75, 0.75])]
    at = oracle_of(chart).at(coords)
    for x in (-3.0, 0.41, 0.9, 2.0, 7.0, 40.0):
        found, exact = module.score_samples(x, coords)[0], at.score_sample(x)[0].value
        assert abs(found - exact) <= 32 * UNIT * abs(exact) * (1 + gap / abs(x - 0.4 - gap / 2))
    sample = [-3.0, -0.5, 0.9, 2.0, 7.0]
    found, exact = module.score(sample, coords)[0], at.score(sample)[0].value
    assert abs(found - exact) <= 64 * UNIT * abs(exact)


@pytest.mark.parametrize("gap", [1e-3, 1e-6, 1e-9, 1e-12])
def test_merging_in_the_identity_chart_is_exact_for_the_coordinates_given(gap):
    module, chart = compiled("normal", 2), declared("normal", 2)
    coords = [0.3, 0.5, 0.5 + gap, 1.0, 1.0]
    at = oracle_of(chart).at(coords)
    for x in (-3.0, 0.9, 2.0):
        found, exact = module.score_samples(x, coords)[0], at.score_sample(x)[0].value
        assert abs(found - exact) <= 32 * UNIT * abs(exact)


@pytest.mark.parametrize("gap", [1e-3, 1e-6, 1e-12])
def test_the_last_of_several_merging(gap):
    module, chart = compiled("normal", 3, "relative"), declared("normal", 3, "relative")
    coords = [0.3, 0.3, -1.0, 2.0, gap, 1.0, 1.5, 1.5]
    at = oracle_of(chart).at(coords)
    for x in (-3.0, 0.9, 4.0):
        found, exact = module.score_samples(x, coords)[1], at.score_sample(x)[1].value
        assert abs(found - exact) <= 32 * UNIT * abs(exact)


@pytest.mark.parametrize("outlier", [1e6, -1e6, 1e5, -1e5])
@pytest.mark.parametrize("place", [0, 500, 501, -1])
def test_an_outlier_among_merging_components(outlier, place):
    """A block in which nearly all points see no difference, and one sees e^1000."""
    module = compiled("normal", 2, "relative")
    coords = [0.3, 0.0, 1e-3, 1.0, 1.0]
    x = np.linspace(-3.0, 3.0, 1001)
    x[place] = outlier
    found, some = module.score_samples(x, coords), [*range(0, 1001, 60), 500, 501, place]
    exact = np.array([module.score_samples(v, coords) for v in x[some]])
    np.testing.assert_allclose(found[some], exact, rtol=1e-12, atol=1e-18)
    score = 1.0 / 0.3 if outlier < 0 else -1.0 / 0.7
    np.testing.assert_allclose(found[place, 0], score, rtol=1e-12)
    np.testing.assert_allclose(module.score(x, coords)[0], found[:, 0].mean(), rtol=1e-12)


def test_merging_poisson_rates():
    chart = rs.relative(rs.mixture("poisson", components=2), "rate")
    module = rs.derive(chart.model, chart, name="merging").compile()
    for gap in (1e-3, 1e-9, 1e-15):
        coords = [0.3, 2.5, gap]
        at = oracle_of(chart).at(coords)
        for x in (0.0, 1.0, 2.0, 9.0):
            found, exact = module.score_samples(x, coords)[0], at.score_sample(x)[0].value
            assert abs(found - exact) <= 64 * UNIT * abs(exact)


@pytest.mark.parametrize(
    ("rates", "x"),
    [
        ((1e-3, 1.0), [0.0, 1.0, 3.0, 50.0]),
        ((1.0, 1e4), [0.0, 1.0, 3.0, 50.0, 9950.0]),
        ((1e-3, 1.0), [9950.0]),
        ((1e-10, 2.0), [1.0, 3.0, 50.0, 9950.0]),
        ((2.0, 1e-10), [1.0, 3.0, 50.0, 9950.0]),
        ((1e-3, 1e4), [1.0, 3.0, 50.0, 9950.0]),
        ((1e-20, 3.0), [0.0, 1.0, 3.0]),
        ((1.0, 2.0), [1e6]),
        ((1.0, 2.0), [1e12]),
        ((1.0, 2.0), [1e17]),
    ],
    ids=repr,
)
def test_poisson_rates_and_counts_far_apart(rates, x):
    chart = declared("poisson", 2)
    module, coords = compiled("poisson", 2), [0.5, *rates]
    at = oracle_of(chart).at(coords)
    densities, scores = [at.log_density(v) for v in x], [at.score_sample(v) for v in x]
    assert max(entries(module.log_density(x, coords), densities)) < 64
    assert max(entries(module.score_samples(x, coords), scores)) < 64
    r, exact = module.responsibilities(x, coords), [at.responsibilities(v) for v in x]
    assert max(entries(r, exact)) < 64


@pytest.mark.parametrize("x", [1e306, 1e308])
def test_counts_whose_factorial_overflows_are_a_clear_error(x):
    with pytest.raises(DomainError, match="overflows"):
        compiled("poisson", 2).log_density([x], [0.5, 1.0, 2.0])


# ------------------------------------------------------------------ a single component


def test_a_single_component():
    module = compiled("normal", 1)
    x = np.array([-1.0, 0.5, 3.0])
    np.testing.assert_allclose(
        module.log_density(x, [0.5, 2.0]), models.log_density(x, ([1], [0.5], [2]))
    )
    np.testing.assert_array_equal(module.responsibilities(x, [0.5, 2.0]), np.ones((3, 1)))
    z = (x - 0.5) / 2.0
    expected = np.stack([z / 2.0, (z * z - 1.0) / 2.0], axis=1)
    np.testing.assert_allclose(module.score_samples(x, [0.5, 2.0]), expected, rtol=1e-15)
    np.testing.assert_allclose(module.score(x, [0.5, 2.0]), expected.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(module.em_step(x, [0.5, 2.0]), [x.mean(), x.std()], rtol=1e-15)


# ------------------------------------------------------------------ pieces of the kernel


def test_dots_in_stretches():
    rng = np.random.default_rng(0)
    for count in (1, 4096, 4097, 20_001):
        a, b = rng.normal(size=(2, 3, 2, count))
        np.testing.assert_allclose(block.dots(a, b), (a * b).sum(axis=-1), rtol=1e-11, atol=1e-11)
    a, b = rng.normal(size=(3, 2, 9000)), rng.normal(size=9000)
    np.testing.assert_allclose(block.dots(a, b), (a * b).sum(axis=-1), rtol=1e-11)


@pytest.mark.parametrize(
    ("batch", "count"), [(1, 1), (1, 100_000), (7, 3), (100, 1000), (5, 50_000)]
)
def test_blocks_cover_each_pair_once(batch, count):
    seen = np.zeros((batch, count), dtype=int)
    for b, i in kernel.blocks(batch, count):
        seen[b, i] += 1
        assert seen[b, i].size <= max(kernel.BLOCK, count)
    assert (seen == 1).all()
