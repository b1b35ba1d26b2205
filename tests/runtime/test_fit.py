"""Expectation maximisation against textbooks, a published run, scikit-learn; and how it fails."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

import relrep_sym as rs
from relrep_sym.data import faithful
from relrep_sym.errors import DataError, DerivationError, DomainError
from relrep_sym.runtime.fitted import Fit
from relrep_sym.runtime.solver import Solver
from tests.runtime import models
from tests.runtime.models import compiled, normals, poissons, textbook_em, theta

ULP = np.finfo(float).eps
SEEDS = st.integers(0, 2**32 - 1)
PATTERNS = {
    "free": {},
    "tied scales": {"scales": "tied"},
    "unit scales": {"scales": 1},
    "scales in part": {"scales": (1, None, None)},
    "means in part": {"means": (None, "1/2", None)},
    "means and scales in part": {"means": (0, None, None), "scales": (None, 2, None)},
    "fixed means": {"means": (-1, 0, 2)},
    "fixed means, tied scales": {"means": (-1, 0, 2), "scales": "tied"},
    "tied means": {"means": "tied", "scales": (1, 2, "1/2")},
    "tied weights": {"weights": "tied"},
    "weights in part": {"weights": (None, "1/5", None)},
    "only weights": {"means": (-1, 0, 2), "scales": 1},
}


def sample(rng, size=80):
    """Clumps of different widths."""
    return rng.normal(rng.choice([-2.0, 0.0, 1.0, 5.0], size), rng.uniform(0.3, 2.0, size))


def patterned(module, mixture):
    """Coordinates of a mixture in a module, its fixed numbers put in, and the mixture they give."""
    coords = theta(module, mixture)
    return coords, module.components(coords)


def by_hand(x, mixture, patterns, share):
    """One EM step for any pattern, as a textbook writes it."""
    weights, means, scales = mixture
    k = len(weights)
    r = models.responsibilities(x, mixture) * share[:, None]
    mass = r.sum(axis=0)

    def free(name):
        pattern = patterns.get(name, "free")
        if pattern == "tied":
            return np.zeros(k, dtype=bool)
        if isinstance(pattern, tuple):
            return np.array([p is None for p in pattern])
        return np.full(k, pattern == "free")

    some = free("weights")
    if some.any():
        weights = np.where(some, (1 - weights[~some].sum()) * mass / mass[some].sum(), weights)
    centre = (r * x[:, None]).sum(axis=0) / mass
    if patterns.get("means") == "tied":
        precision = mass / scales**2
        means = np.full(k, (precision * centre).sum() / precision.sum())
    else:
        means = np.where(free("means"), centre, means)
    square = (r * (x[:, None] - means) ** 2).sum(axis=0)
    if patterns.get("scales") == "tied":
        scales = np.full(k, np.sqrt(square.sum() / mass.sum()))
    else:
        scales = np.where(free("scales"), np.sqrt(square / mass), scales)
    return weights, means, scales


# ------------------------------------------------------------------------------ one step


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("weighted", [False, True])
def test_a_step_is_the_textbooks(pattern, weighted):
    patterns = PATTERNS[pattern]
    module = compiled("normal", 3, **patterns)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        x = sample(rng)
        weights = rng.random(x.size) if weighted else None
        weighting, means, scales = normals(3, seed)
        if "tied" in (patterns.get("scales"), patterns.get("means")):
            scales, means = (
                np.full(3, scales[0]),
                means if patterns.get("scales") else np.full(3, 0.3),
            )
        coords, mixture = patterned(module, (weighting, means, scales))
        share = np.ones(x.size) if weights is None else weights
        expected = by_hand(x, mixture, patterns, share)
        found = module.components(module.em_step(x, coords, weights))
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("components", [1, 2, 3, 5])
@pytest.mark.parametrize("family", ["normal", "poisson"])
def test_a_step_of_either_family_is_the_textbooks(family, components):
    module = compiled(family, components)
    rng = np.random.default_rng(components)
    mixture = normals(components, 7) if family == "normal" else poissons(components, 7)
    x = sample(rng) if family == "normal" else rng.poisson(4.0, 90).astype(float)
    weights = rng.random(x.size)
    expected = theta(module, textbook_em(x, mixture, weights))
    np.testing.assert_allclose(
        module.em_step(x, theta(module, mixture), weights), expected, rtol=1e-12
    )


@given(SEEDS, st.sampled_from([*PATTERNS]), st.booleans())
def test_a_step_never_descends(seed, pattern, weighted):
    ascends(compiled("normal", 3, **PATTERNS[pattern]), 3, seed, weighted, pattern)


@given(SEEDS, st.integers(1, 5), st.booleans())
def test_a_step_never_descends_for_any_number_of_components(seed, components, weighted):
    ascends(compiled("normal", components), components, seed, weighted, "free")


@given(SEEDS, st.integers(1, 5), st.booleans())
def test_a_step_of_counts_never_descends(seed, components, weighted):
    rng = np.random.default_rng(seed)
    module, mixture = compiled("poisson", components), poissons(components, seed)
    x = rng.poisson(rng.choice([0.5, 3.0, 12.0], 60)).astype(float)
    never_descends(module, x, theta(module, mixture), rng.random(x.size) if weighted else None)


def ascends(module, components, seed, weighted, pattern):
    rng = np.random.default_rng(seed)
    x = sample(rng)
    weights = rng.random(x.size) if weighted else None
    weighting, means, scales = normals(components, seed)
    if "tied" in pattern:
        scales = np.full(components, scales[0])
    never_descends(module, x, theta(module, (weighting, means, scales)), weights)


def never_descends(module, x, coords, weights):
    before = module.log_likelihood(x, coords, weights)
    for _ in range(4):
        coords = next_iterate(module, x, coords, weights)
        if coords is None:
            return
        after = module.log_likelihood(x, coords, weights)
        assert after >= before - 8 * ULP * (1 + abs(before))
        before = after


def next_iterate(module, x, coords, weights):
    """One step, or None where Q has no maximum."""
    try:
        return module.em_step(x, coords, weights)
    except DomainError as why:
        if "collapses" not in str(why) and "empty" not in str(why):
            raise
        return None


@pytest.mark.parametrize("chart", ["relative", "square", "log"])
@pytest.mark.parametrize("components", [2, 3, 5])
def test_a_step_is_the_same_in_every_chart(chart, components):
    plain, module = compiled("normal", components), compiled("normal", components, chart)
    x = sample(np.random.default_rng(1), 300)
    middles = np.linspace(-3.0, 6.0, components)
    given_theta = theta(plain, (np.full(components, 1 / components), middles, np.ones(components)))
    step = plain.em_step(x, given_theta)
    try:
        expected = module.from_model(step)
    except DomainError:
        assert chart in ("relative", "square")
        with pytest.raises(DomainError, match="not in the image of the chart"):
            module.em_step(x, module.from_model(given_theta))
        return
    found = module.em_step(x, module.from_model(given_theta))
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_a_step_is_the_same_in_a_map_of_ones_own():
    plain, module = compiled("normal", 2, scales=1), compiled("normal", 2, "own", scales=1)
    x = sample(np.random.default_rng(1), 300)
    start = np.array([0.4, -1.0, 3.0])
    found = module.to_model(module.em_step(x, module.from_model(start)))
    np.testing.assert_allclose(found, plain.em_step(x, start), rtol=1e-12)


def test_a_batch_of_steps_is_its_members():
    module = compiled("normal", 3)
    x = sample(np.random.default_rng(1))
    many = np.stack([theta(module, normals(3, seed)) for seed in range(4)])
    alone = [module.em_step(x, c) for c in many]
    np.testing.assert_allclose(module.em_step(x, many), alone, rtol=1e-11)


def test_a_population_step_from_the_truth_stays():
    """With quadrature nodes for data, the truth is a fixed point."""
    module = compiled("normal", 3)
    mixture = normals(3, 2)
    coords = theta(module, mixture)
    nodes, weights = rs.nodes(
        rs.truth(
            "normal", weights=list(mixture[0]), means=list(mixture[1]), scales=list(mixture[2])
        )
    )
    np.testing.assert_allclose(module.em_step(nodes, coords, weights), coords, rtol=1e-11)


@pytest.mark.parametrize("place", [0.0, 1e3, 1e6, -1e8])
@pytest.mark.parametrize("scale", [1.0, 1e3, 1e8])
def test_a_step_from_far_away_keeps_its_digits(place, scale):
    """The second moment about the old mean is 10¹⁶ times the new variance."""
    x = place + np.array([-1.0, 0.0, 0.5, 2.0])
    exact = np.array([place + 0.375, np.std([-1.0, 0.0, 0.5, 2.0])])
    for start in (place, 0.0, place + 1e3 * scale):
        found = compiled("normal", 1).em_step(x, [start, scale])
        np.testing.assert_allclose(found, exact, rtol=1e-13 + 4 * ULP * abs(place))
    two = compiled("normal", 2, scales="tied")
    found = two.em_step(x, [0.5, place + 1e3 * scale, place + 1e3 * scale, scale])
    np.testing.assert_allclose(
        found[1:], [exact[0], exact[0], exact[1]], rtol=1e-13 + 4 * ULP * abs(place)
    )


# ------------------------------------------------------------------------------ fits


WAITING, START = faithful()[:, 1], [0.5, 55.0, 80.0, 5.0]


def test_old_faithful_is_the_published_fit():
    """mixtools 1.x, vignette: normalmixEM(waiting, lambda = .5, mu = c(55, 80), sigma = 5)."""
    module = compiled("normal", 2, scales="tied")
    found = module.fit(WAITING, START, max_iter=9, tol=0)
    assert found.iterations == 9
    assert not found.converged
    pi, low, high, scale = found.coords
    assert f"{pi:.7f} {1 - pi:.7f}" == "0.3608498 0.6391502"
    assert f"{low:.5f} {high:.5f} {scale:.6f}" == "54.61364 80.09031 5.869089"
    assert f"{272 * found.history[9]:.3f}" == "-1034.002"
    assert found.parameters == dict(zip(module.PARAMETERS, found.coords.tolist(), strict=True))


@pytest.mark.parametrize("chart", ["identity", "relative", "square", "log"])
def test_old_faithful_goes_on_to_the_maximum(chart):
    plain, module = (
        compiled("normal", 2, scales="tied"),
        compiled("normal", 2, chart, scales="tied"),
    )
    found = module.fit(WAITING, module.from_model(START), tol=0)
    assert found.converged
    assert "<= tol" in found.reason
    np.testing.assert_allclose(
        module.to_model(found.coords), [0.36084944, 54.6136263, 80.0903036, 5.8690914], rtol=1e-8
    )
    scores = np.abs(module.score_samples(WAITING, found.coords)).mean(axis=0)
    assert (np.abs(module.score(WAITING, found.coords)) < 1e-6 * scores).all()
    reference = plain.fit(WAITING, START, tol=0)
    count = min(found.history.size, reference.history.size)
    np.testing.assert_allclose(found.history[:count], reference.history[:count], rtol=1e-13)


def test_the_published_run_stops_where_its_rule_says():
    """mixtools' rule, a total gain below 1e-8, stops at the ninth iterate, not at the maximum."""
    module = compiled("normal", 2, scales="tied")
    found = module.fit(WAITING, START, tol=1e-8 / 272)
    assert found.converged
    assert found.iterations == 9
    gains = 272 * np.diff(found.history)
    assert gains[-1] <= 1e-8 < gains[-2]
    best = module.fit(WAITING, START, tol=0)
    assert best.iterations > 9
    assert best.log_likelihood > found.log_likelihood


def test_old_faithfuls_maximum_is_one():
    """No gradient, a Hessian that is negative definite, and SciPy finds nothing higher."""
    module = compiled("normal", 2, scales="tied")
    best = module.fit(WAITING, START, tol=0).coords
    hessian = module.hessian(WAITING, best)
    assert np.linalg.eigvalsh(hessian).max() < 0
    np.testing.assert_allclose(np.linalg.solve(hessian, module.score(WAITING, best)), 0, atol=2e-7)
    other = minimize(
        lambda c: -module.log_likelihood(WAITING, c), START, method="L-BFGS-B",
        jac=lambda c: -module.score(WAITING, c),
        bounds=[(1e-3, 1 - 1e-3), (40, 100), (40, 100), (1, 20)],
        options={"ftol": 1e-16, "gtol": 1e-10},
    )  # fmt: skip
    np.testing.assert_allclose(other.x, best, rtol=1e-6)
    assert -other.fun <= module.log_likelihood(WAITING, best) + 1e-14


def test_a_fixed_point_has_no_score():
    """In every direction, for data that are no mixture at all."""
    x = np.random.default_rng(0).exponential(size=200)
    for module in (compiled("normal", 2), compiled("normal", 2, "log")):
        found = module.fit(x, module.from_model([0.5, 0.5, 2.0, 0.5, 1.0]), tol=0, max_iter=20_000)
        assert found.converged
        scores = np.abs(module.score_samples(x, found.coords)).mean(axis=0)
        assert (np.abs(module.score(x, found.coords)) < 1e-6 * scores).all()


def test_the_history_is_the_likelihood_of_each_iterate():
    module = compiled("normal", 2)
    x, coords = sample(np.random.default_rng(2)), np.array([0.5, -1.0, 3.0, 1.0, 2.0])
    weights = np.random.default_rng(3).random(x.size)
    found = module.fit(x, coords, weights=weights, max_iter=6, tol=0)
    expected = []
    for _ in range(7):
        expected.append(module.log_likelihood(x, coords, weights))
        last, coords = coords, module.em_step(x, coords, weights)
    np.testing.assert_allclose(found.history, expected, rtol=1e-14)
    np.testing.assert_allclose(found.coords, last, rtol=1e-12)
    assert found.log_likelihood == found.history[-1]
    assert found.iterations == 6
    assert found.reason == "max_iter = 6 steps were taken"
    assert (np.diff(found.history) > 0).all()


def test_the_tolerance_is_on_the_gain_in_mean_log_likelihood():
    module = compiled("normal", 2, scales="tied")
    for tol in (1e-2, 1e-4, 1e-8):
        found = module.fit(WAITING, START, tol=tol)
        gains = np.diff(found.history)
        assert found.converged
        assert gains[-1] <= tol
        assert (gains[:-1] > tol).all()


def their_history(x, weights, means, scales, tied, iterations):
    """scikit-learn's mean log-likelihood at each iterate, one fit for each number of steps."""
    mixture = pytest.importorskip("sklearn.mixture", reason="scikit-learn is not installed")
    precisions = 1 / np.asarray(scales) ** 2
    out = []
    for steps in range(1, iterations + 1):
        theirs = mixture.GaussianMixture(
            len(weights), covariance_type="tied" if tied else "diag", reg_covar=0.0, tol=0.0,
            max_iter=steps, weights_init=weights, means_init=np.reshape(means, (-1, 1)),
            precisions_init=precisions[:1, None] if tied else precisions[:, None],
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it has not converged, as it was told to
            out.append(theirs.fit(x[:, None]).score(x[:, None]))
    return np.array(out)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("components", [2, 3, 5])
def test_scikit_learn_takes_the_same_steps(components, tied):
    module = compiled("normal", components, **({"scales": "tied"} if tied else {}))
    weights = np.full(components, 1 / components)
    means, scales = np.linspace(52.0, 88.0, components), np.full(components, 5.0)
    theirs = their_history(WAITING, weights, means, scales, tied, 12)
    start = theta(module, (weights, means, scales))
    ours = module.fit(WAITING, start, tol=0, max_iter=12).history
    np.testing.assert_allclose(ours[1:], theirs, rtol=1e-8)


# ------------------------------------------------------------------------------ never silent


CLOUD = np.random.default_rng(0).normal(size=200)
EMPTY, COLLAPSED = "component 1 is empty", "sigma of component 1 collapses"
AT = CLOUD[7]
FAILING = {
    "an empty component": (CLOUD, [0.05, 500.0, 0.0, 1.0, 1.0], EMPTY),
    "a component without weight": (CLOUD, [0.0, 0.5, 0.0, 1.0, 1.0], EMPTY),
    "a component without weight, far away": (CLOUD, [0.0, 99.0, 0.0, 1.0, 1.0], EMPTY),
    "a start on one point": (CLOUD, [0.05, AT, 0.0, 1e-4, 1.0], COLLAPSED),
    "a start near one point": (CLOUD, [0.05, AT + 1e-4, 0.0, 1e-3, 1.0], COLLAPSED),
    "constant data": (np.full(10, 0.1), [0.3, 0.0, 2.0, 1.0, 0.5], COLLAPSED),
    "constant data far away": (np.full(10, 1e7 / 3), [0.3, 0.0, 2.0, 1e6, 1e6], COLLAPSED),
    "constant data at the mean": (np.full(10, 0.1), [0.3, 0.1, 0.1, 1.0, 0.5], COLLAPSED),
    "one point": (0.1, [0.3, 0.0, 2.0, 1.0, 0.5], COLLAPSED),
    "one point of weight": ([0.1, 0.3], [0.3, 0.0, 2.0, 1.0, 0.5], COLLAPSED),
}


@pytest.mark.parametrize("case", FAILING)
def test_a_step_without_a_maximum_is_an_error_and_a_fit_stops_with_a_reason(case):
    x, start, text = FAILING[case]
    weights = [1.0, 0.0] if case == "one point of weight" else None
    module = compiled("normal", 2)
    with pytest.raises(DomainError, match=text):
        module.em_step(x, start, weights)
    if case.startswith(("constant", "one point")):
        with pytest.raises(DataError, match="all points of the sample are equal"):
            module.fit(x, start, weights=weights)
        return
    found = module.fit(x, start, weights=weights)
    assert not found.converged
    assert not found.valid
    assert text in found.reason
    np.testing.assert_array_equal(found.coords, start)
    assert found.iterations == 0
    np.testing.assert_array_equal(found.history, [module.log_likelihood(x, start, weights)])


@pytest.mark.parametrize("x", [np.full(10, 0.1), 0.1, np.full(3, 1e10 / 3), np.full(4, -1e-10 / 7)])
@pytest.mark.parametrize("start", [0.0, 0.1, 1e3])
def test_constant_data_have_no_best_scale(x, start):
    module = compiled("normal", 1)
    with pytest.raises(DomainError, match="sigma of component 1 collapses"):
        module.em_step(x, [start, 2.0])
    with pytest.raises(DataError, match="where the likelihood has no maximum in sigma"):
        module.fit(x, [start, 2.0])


def test_a_scale_that_collapses_on_the_way_stops_with_the_last_good_iterate():
    x = np.append(np.random.default_rng(1).normal(size=60), 9.0)
    module = compiled("normal", 2)
    start = [0.98, 0.0, 9.5, 1.0, 0.7]
    found = module.fit(x, start, tol=0)
    assert not found.converged
    assert "sigma of component 2 collapses" in found.reason
    assert found.iterations >= 1
    assert np.isfinite(found.history).all()
    assert found.history.size == found.iterations + 1
    np.testing.assert_allclose(found.history[-1], module.log_likelihood(x, found.coords), rtol=1e-9)


def test_counts_that_are_all_zero_have_no_best_rate():
    module = compiled("poisson", 1)
    with pytest.raises(DomainError, match="rate of component 1 collapses"):
        module.em_step([0, 0, 0], [2.0])
    assert not module.fit([0, 0, 0], [2.0]).converged


def test_a_fit_goes_on_along_the_bound():
    module = compiled("normal", 2, "relative")
    x, start = np.append(CLOUD, CLOUD + 4), [0.3, 0.0, 0.1, 1.0, 0.1]
    found = module.em_step(x, start, full_output=True)
    assert found.coords[2] == 0.0
    assert found.active == ("Delta_1",)
    assert found.multipliers["Delta_1"] > 0.0
    assert found.residual <= 1e-14
    fit = module.fit(x, start)
    assert fit.converged
    assert (np.diff(fit.history) >= -1e-15).all()
    assert compiled("normal", 2).fit(x, start).converged


def test_a_step_without_a_closed_form_has_no_gradient_left():
    module = compiled("normal", 2, means="tied")
    found = module.em_step(CLOUD, [0.5, 0.0, 1.0, 2.0], full_output=True)
    assert found.gain > 0.0
    assert found.residual <= 1e-14
    fit = module.fit(CLOUD, [0.5, 0.0, 1.0, 2.0])
    assert fit.converged
    assert (np.diff(fit.history) >= -1e-15).all()


def test_a_family_without_statistics_is_fitted_too():
    found = compiled("laplace", 2).fit(CLOUD, [0.5, 0.0, 1.0, 2.0, 1.0])
    assert found.converged
    assert (np.diff(found.history) > -1e-14).all()


def test_a_family_without_second_derivatives_says_so():
    solver = compiled("normal", 2)._solver()
    lame = Solver(
        solver.chart._replace(m_step=None, why={"m_step": "no closed form; given: z"}),
        solver.form._replace(second=None),
    )
    with pytest.raises(DerivationError, match="no closed form; given: z"):
        lame.em_step(CLOUD, [0.5, 0.0, 1.0, 1.0, 1.0])


def test_absurd_data_are_an_error_also_in_a_fit():
    x = [0.0, 1.0, 2.0, 3.0, 1e200]
    with pytest.raises(DomainError, match="overflows"):
        compiled("normal", 2).fit(x, [0.5, 0.0, 1.0, 1.0, 1.0])


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"method": "newton"}, "unknown method; given: newton"),
        ({"method": None}, "unknown method"),
        ({"tol": -1e-9}, "tol is not a tolerance; given: -1e-09"),
        ({"tol": np.nan}, "tol is not a tolerance"),
        ({"tol": np.inf}, "tol is not a tolerance"),
        ({"tol": "small"}, "tol is not a tolerance"),
        ({"tol": None}, "tol is not a tolerance"),
        ({"max_iter": 0}, "max_iter is not a count; given: 0"),
        ({"max_iter": 1.5}, "max_iter is not a count"),
        ({"max_iter": True}, "max_iter is not a count"),
        ({"max_iter": "ten"}, "max_iter is not a count"),
        ({"max_iter": None}, "max_iter is not a count"),
    ],
    ids=repr,
)
def test_bad_options_are_refused(options, text):
    with pytest.raises(DataError, match=text):
        compiled("normal", 2).fit(CLOUD, [0.5, 0.0, 1.0, 1.0, 1.0], **options)


def test_a_fit_is_frozen_and_shows_itself():
    found = compiled("normal", 2).fit(CLOUD, [0.5, -1.0, 1.0, 1.0, 1.0], max_iter=3)
    assert isinstance(found, Fit)
    assert "3 iterations" in repr(found)
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.converged = True


def test_a_rate_that_is_too_large_does_not_converge():
    """A step that lowers the likelihood is no convergence, however small tol is."""
    model = rs.mixture("normal", components=2, weights="1/2", scales=1)
    module = rs.derive(model, rs.relative(model, "mu")).compile()
    x = np.concatenate([np.linspace(-7, -3, 90), np.linspace(4, 6, 10)])
    found = module.fit(x, [[-1.0, 2.0], [-1.0, 3.0]], "gradient_em", rate=5.0)
    assert (found.history[:, 1] < found.history[:, 0] - 1).all()
    assert not found.converged.any()
    assert all("lowered the mean log-likelihood by" in why for why in found.reason)
