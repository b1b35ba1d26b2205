"""Named starts: the M-step of a split of the sample, for any family and chart, by a seed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import linear_sum_assignment

import relrep_sym as rs
from relrep_sym.data import faithful
from relrep_sym.errors import DataError, DomainError, NoInverseError
from tests.runtime.models import compiled

WAITING = faithful()[:, 1]
KINDS = ["quantiles", "k-means++", "random"]


def start_of(module, kind, x=WAITING, **options):
    """The log-likelihood of the start, and the fit of one step from it."""
    seen = module.fit(x, kind, max_iter=1, tol=0, **options)
    return seen.history[..., 0], seen


def built(family, components, chart, **patterns):
    model = rs.mixture(family, components=components, **patterns)
    return rs.derive(model, chart(model)).compile()


# ------------------------------------------------------------------------------ what they are


@pytest.mark.parametrize("components", [1, 2, 3, 4])
def test_quantiles_are_the_moments_of_equal_parts(components):
    module = compiled("normal", components)
    x = np.sort(np.random.default_rng(0).normal(size=components * 25))
    parts = x.reshape(components, 25)
    start = [*np.full(components - 1, 1 / components), *parts.mean(axis=1), *parts.std(axis=1)]
    shuffled = np.random.default_rng(1).permutation(x)
    value, found = start_of(module, "quantiles", shuffled)
    assert value == pytest.approx(module.log_likelihood(x, start), rel=1e-12)
    np.testing.assert_allclose(found.coords, module.em_step(x, start), rtol=1e-10)


def test_quantiles_of_a_weighted_sample_divide_its_weight():
    """A point that counts three times, written once with weight three; a point on a cut."""
    module, x = compiled("normal", 3), np.array([0.0, 1.0, 2.5, 4.0, 7.0, 7.5, 9.0, 11.0])
    counts = np.array([3, 1, 2, 1, 2, 3, 1, 2])
    value, _ = start_of(module, "quantiles", x, weights=counts)
    whole, _ = start_of(module, "quantiles", np.repeat(x, counts))
    assert value == pytest.approx(whole, rel=1e-12)


def test_clusters_are_those_of_well_separated_clumps():
    rng = np.random.default_rng(2)
    clumps = [rng.normal(m, 0.3, n) for m, n in ((-20.0, 30), (0.0, 50), (5.0, 20))]
    x = rng.permutation(np.concatenate(clumps))
    start = [0.3, 0.5, *(c.mean() for c in clumps), *(c.std() for c in clumps)]
    module = compiled("normal", 3, "relative")
    coords = module.from_model(start)
    for weights in (None, np.ones(100), rng.uniform(0.99, 1.01, 100)):
        found = module.fit(x, "k-means++", starts=4, rng=3, weights=weights).best
        cost = np.abs(np.subtract.outer(found.coords, coords)).sum()
        assert np.isfinite(cost)
        exact = module.fit(x, coords, weights=weights)
        np.testing.assert_allclose(found.coords, exact.coords, rtol=1e-5)


def test_random_responsibilities_are_near_the_whole_sample():
    """Each part is the sample, but for a share of order N^(−1/2)."""
    rng = np.random.default_rng(0)
    x = rng.normal(3.0, 2.0, 20_000)
    value, _ = start_of(compiled("normal", 3), "random", x)
    assert value == pytest.approx(stats.norm.logpdf(x, x.mean(), x.std()).mean(), abs=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_is_the_same_start(kind):
    module = compiled("normal", 3)
    one, again, other = (
        module.fit(WAITING, kind, starts=3, rng=seed, max_iter=2).coords for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, again)
    usual = module.fit(WAITING, kind, starts=3, max_iter=2).coords
    np.testing.assert_array_equal(one, usual)
    drawn = module.fit(WAITING, kind, starts=3, rng=np.random.default_rng(0), max_iter=2).coords
    np.testing.assert_array_equal(one, drawn)
    assert (one[1:] != other[1:]).any()
    assert (one[0] != one[1]).any()
    single = module.fit(WAITING, kind, max_iter=2)
    np.testing.assert_allclose(single.coords, one[0], rtol=1e-9)
    assert isinstance(single.iterations, int)


# ------------------------------------------------------------------------------ any family, chart


def drawn(family, rng, size=60):
    if family in ("poisson", "geometric"):
        return rng.poisson(rng.choice([1.0, 6.0, 20.0], size)).astype(float)
    if family == "binomial":
        return rng.binomial(10, rng.choice([0.2, 0.5, 0.9], size)).astype(float)
    if family in ("exponential", "gamma"):
        return rng.gamma(2.0, rng.choice([0.5, 3.0], size))
    return rng.normal(rng.choice([-3.0, 0.0, 4.0], size), 0.8)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "family", ["normal", "poisson", "exponential", "geometric", "binomial", "gamma"]
)
def test_every_family_with_an_m_step_has_every_start(family, kind):
    arguments = {"trials": 10} if family == "binomial" else {}
    model = rs.mixture(family, components=3, **arguments)
    module = rs.derive(model).compile()
    x = drawn(family, np.random.default_rng(4))
    found = module.fit(x, kind, starts=2, max_iter=2)
    assert found.valid.all(), found.reason
    assert (np.diff(found.history, axis=-1) >= -1e-12).all()


CHARTS = {
    "relative": lambda m: rs.relative(m, "mu"),
    "square with clearance": lambda m: rs.relative(m, "mu", gap="square", clearance="1/8"),
    "exponential gaps": lambda m: rs.relative(m, "mu", gap="exp", clearance=2),
    "softplus gaps, far apart": lambda m: rs.relative(m, "mu", gap="softplus", clearance=2),
    "ordered scales": lambda m: rs.relative(m, "sigma"),
    "both ordered": lambda m: rs.relative(m, "mu") @ rs.relative(m, "sigma"),
    "log scales": lambda m: rs.log(m, "sigma"),
    "softmax": lambda m: rs.softmax(m),
    "stick-breaking": lambda m: rs.stick_breaking(m),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chart", CHARTS)
def test_every_chart_has_every_start(chart, kind):
    """Renumbered where the chart is ordered, moved apart where a clearance asks for room."""
    module = built("normal", 3, CHARTS[chart])
    x = drawn("normal", np.random.default_rng(5))
    found = module.fit(x, kind, starts=3, max_iter=3)
    for state in found.history[:, 0]:
        assert np.isfinite(state)
    means = module.components(found.coords)[1]
    if "clearance" in chart or "far" in chart:
        least = 0.125 if "clearance" in chart else 2.0
        assert (np.diff(means, axis=-1) >= least * (1 - 1e-12)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_fixed_or_tied_stays(kind):
    fixed = compiled("normal", 3, means=(None, "1/2", None), scales=(1, None, None))
    mixture = fixed.components(fixed.fit(WAITING / 30, kind, max_iter=1).coords)
    assert mixture[1][1] == 0.5
    assert mixture[2][0] == 1.0
    tied = compiled("normal", 3, scales="tied", weights="tied")
    mixture = tied.components(tied.fit(WAITING, kind, max_iter=1).coords)
    np.testing.assert_allclose(mixture[0], 1 / 3)
    assert len(set(mixture[2].tolist())) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_whose_m_step_is_climbed_has_starts(kind):
    """Tied means with free scales: no closed form, but Q has a maximiser."""
    module = compiled("normal", 2, means="tied")
    found = module.fit(WAITING, kind, max_iter=5)
    assert found.valid
    assert (np.diff(found.history) >= -1e-12).all()


def test_constants_of_a_chart_are_given_along():
    model = rs.mixture("normal", components=3)
    chart = rs.relative(model, "mu", clearance="lam")
    module = rs.derive(model, chart).compile()
    found = module.fit(WAITING, "k-means++", starts=2, lam=[2.0, 9.0], max_iter=4)
    means = module.components(found.coords, lam=[2.0, 9.0])[1]
    assert (np.diff(means, axis=-1) >= np.array([[2.0], [9.0]]) * (1 - 1e-12)).all()


def test_restarts_find_the_same_maximum_in_some_order():
    """The clumps are found by every start; which component is which is the start's."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(m, 0.5, 60) for m in (-6.0, 0.0, 7.0)])
    module = compiled("normal", 3)
    found = module.fit(x, "k-means++", starts=5, tol=1e-12)
    means = module.components(found.coords)[1]
    for row in means:
        which = linear_sum_assignment(np.abs(np.subtract.outer(row, means[0])))[1]
        if found.log_likelihood.max() - module.log_likelihood(x, found.coords[0]) < 1e-9:
            assert sorted(which) == [0, 1, 2]
    np.testing.assert_allclose(
        np.sort(module.components(found.best.coords)[1]), [-6, 0, 7], atol=0.3
    )


def test_a_part_of_equal_points_takes_the_scale_of_the_sample():
    """It has no scale of its own, and a start with none would be a collapse."""
    module = compiled("normal", 3)
    x = np.append(np.repeat([0.0, 4.0], 20), np.linspace(8.0, 11.0, 20))
    value, _ = start_of(module, "quantiles", x)
    start = [1 / 3, 1 / 3, 0.0, 4.0, 9.5, x.std(), x.std(), x[40:].std()]
    assert value == pytest.approx(module.log_likelihood(x, start), rel=1e-12)


def test_a_part_of_zero_counts_takes_the_rate_of_the_sample():
    module = compiled("poisson", 2)
    x = np.array([0, 0, 0, 0, 3, 5, 2, 6], dtype=float)
    value, _ = start_of(module, "quantiles", x)
    assert value == pytest.approx(module.log_likelihood(x, [0.5, 2.0, 4.0]), rel=1e-12)


# ------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("start", "options", "text"),
    [
        ("kmeans", {}, 'unknown start; given: kmeans; expected: .* "quantiles", "k-means'),
        ("random", {"starts": 0}, "starts is not a count; given: 0"),
        ("random", {"starts": 2.5}, "starts is not a count"),
        ("random", {"rng": -1}, "rng is no source of random numbers; given: -1"),
        ("random", {"rng": None}, "rng is no source of random numbers; given: None"),
        ("random", {"rng": "seed"}, "rng is no source"),
    ],
)
def test_bad_starts_are_refused(start, options, text):
    with pytest.raises(DataError, match=text):
        compiled("normal", 2).fit(WAITING, start, **options)


@pytest.mark.parametrize("kind", KINDS)
def test_a_family_of_medians_starts_at_medians(kind):
    module = rs.derive(rs.mixture("laplace", components=2)).compile()
    found = module.fit(WAITING, kind, starts=2, max_iter=4)
    assert found.valid.all()
    assert (np.diff(found.history, axis=-1) >= -1e-12).all()
    low, high = np.sort(WAITING).reshape(2, -1)
    middle = [np.median(low), np.median(high)]
    away = [np.abs(part - m).mean() for part, m in zip((low, high), middle, strict=True)]
    value, _ = start_of(module, "quantiles")
    expected = module.log_likelihood(WAITING, [0.5, *middle, *away])
    assert value == pytest.approx(expected, rel=1e-12)


def test_a_chart_without_an_inverse_says_so():
    model = rs.mixture("normal", components=2, scales=1)
    maps = {"pi_1": "v", "mu_1": "a + b + a**3*b**5", "mu_2": "a - b + exp(a*b)"}
    module = rs.derive(model, rs.chart(model, maps, domains={"v": "unit"})).compile()
    with pytest.raises(NoInverseError):
        module.fit(WAITING, "quantiles")


@pytest.mark.filterwarnings("ignore::relrep_sym.errors.FitWarning")
def test_fewer_points_than_components_leave_clusters_empty():
    module = compiled("normal", 5, scales=1)
    with pytest.raises(DomainError, match='no start "k-means'):
        module.fit([0.0, 1.0, 1.0, 0.0], "k-means++")


def test_a_fixed_weight_stays_with_its_place_where_the_chart_sorts():
    """π_1 = 1/4 is the lowest component's, whichever cluster that is."""
    model = rs.mixture("normal", components=3, weights=["1/4", None, None], scales="tied")
    module = rs.derive(model, rs.relative(model, "mu")).compile()
    rng = np.random.default_rng(5)
    x = np.concatenate([rng.normal(c, 0.3, n) for c, n in ((0.0, 60), (5.0, 10), (10.0, 30))])
    found = module.fit(x, "k-means++", starts=6, rng=0)
    assert found.valid.all()
    weights, means, _ = module.components(found.best.coords)
    assert weights[0] == 0.25
    assert (np.diff(means) > 0).all()


@pytest.mark.parametrize("kind", ["quantiles", "k-means++", "random"])
def test_what_is_held_is_put_into_a_named_start(kind):
    model = rs.mixture("normal", components=2)
    moving = ["mu_1", "Delta_1", "sigma_1", "sigma_2"]
    held = rs.derive(model, rs.relative(model, "mu"), moving=moving).compile()
    found = held.fit(WAITING, kind, starts=2, rng=0, pi_1=0.5)
    assert found.converged.all()
    np.testing.assert_allclose(found.log_likelihood, -3.835593, atol=1e-6)
