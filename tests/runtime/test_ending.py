"""What a fit says of its end point, and what is known of the point by other means."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np
import pytest

import relrep_sym as rs
from relrep_sym.errors import ChartWarning, DataError, DomainError

RNG = np.random.default_rng(0)
APART = np.concatenate([RNG.normal(-3, 0.5, 300), RNG.normal(3, 0.5, 300)])
METHODS = ("em", "ecm", "gradient_em")


@cache
def compiled(family: str, chart: str, count: int = 2, moving: tuple[str, ...] | None = None) -> Any:
    model = rs.mixture(family, count)
    first = model.family.parameters[0].name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ChartWarning)
        made = {
            "identity": rs.identity,
            "plain": lambda m: rs.relative(m, first),
            "square": lambda m: rs.relative(m, first, gap="square"),
            "softmax": rs.softmax,
        }[chart](model)
        return rs.derive(model, made, name="ended", moving=moving).compile()


def curvature(module: Any, x: np.ndarray, coords: np.ndarray) -> float:
    """The largest eigenvalue of the mean log-likelihood's Hessian, from differences of scores."""
    steps = 1e-5 * np.maximum(1.0, np.abs(coords))
    rows = [
        (module.score(x, coords + e) - module.score(x, coords - e)) / (2 * s)
        for e, s in zip(np.diag(steps), steps, strict=True)
    ]
    table = np.array(rows)
    return float(np.linalg.eigvalsh((table + table.T) / 2).max())


# ------------------------------------------------------------------------------ saddles


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("gap", [0.0, 1e-5, 1e-3])
@pytest.mark.parametrize("chart", ["identity", "plain", "square"])
def test_a_fit_leaves_the_point_where_components_coincide(chart, gap, method):
    """The likelihood of two clusters is highest with a component on each."""
    module = compiled("normal", chart)
    best = compiled("normal", "identity").fit(APART, [0.5, -3.0, 3.0, 1.0, 1.0])
    found = module.fit(APART, [0.5, 0.0, gap, 3.0, 3.0], method)
    assert found.converged, found.reason
    assert found.log_likelihood == pytest.approx(best.log_likelihood, abs=1e-7)
    assert (np.diff(found.history) >= -1e-12).all()
    assert any("a saddle of the likelihood was left" in note for note in found.notes)
    coords = found.coords
    assert curvature(module, APART, coords) < 0.0
    assert np.abs(module.score(APART, coords)).max() < 1e-4


@pytest.mark.parametrize("family", ["poisson", "exponential"])
def test_three_equal_components_are_left_too(family):
    draws = np.random.default_rng(1).gamma
    x = np.concatenate([draws(60.0, s / 60.0, 150) for s in (1.0, 6.0, 30.0)])
    x = np.floor(x) if family == "poisson" else x
    module = compiled(family, "identity", 3)
    own = {"poisson": [6.0], "exponential": [0.1]}[family]
    start = np.array([0.3, 0.3, *np.repeat(own, 3)])
    found = module.fit(x, start, max_iter=3000, tol=1e-9)
    alone = compiled(family, "identity", 1).fit(x, own)
    assert found.log_likelihood > alone.log_likelihood + 0.05
    assert found.converged, found.reason
    assert curvature(module, x, found.coords) < 1e-6


def test_what_is_held_is_not_left_through():
    """The scale and the weight held, the two means of one cluster stay where they are."""
    module = compiled("normal", "identity", 2, ("mu_1", "mu_2"))
    x = np.random.default_rng(2).normal(0.0, 0.5, 200)
    held = {"pi_1": 0.5, "sigma_1": 1.0, "sigma_2": 1.0}
    found = module.fit(x, [0.0, 0.0], **held)
    assert found.converged
    np.testing.assert_allclose(found.coords, x.mean(), atol=1e-6)
    wide = module.fit(APART, [0.0, 0.0], **held)
    assert wide.converged
    assert sorted(np.round(wide.coords)) == [-3.0, 3.0]


# ------------------------------------------------------------------------------ no maximum


@cache
def student() -> Any:
    text = (
        "loggamma((nu + 1)/2) - loggamma(nu/2) - log(nu)/2 - log(4*atan(1))/2 - log(s)"
        " - (nu + 1)/2*log1p(((x - m)/s)**2/nu)"
    )
    family = rs.family(text, {"m": "real", "s": "positive", "nu": "positive"}, name="student")
    return rs.derive(rs.mixture(family, 1)).compile()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("nu", [5.0, 1e3, 1e6])
def test_a_student_fit_to_light_tails_says_that_there_is_no_maximum(nu, method):
    """Of a sample with lighter tails than the normal's the likelihood rises with ν, to the normal's
    own; a fit may stop on the way, but it has not converged.
    """
    x = np.random.default_rng(0).normal(size=60)
    x = np.sign(x) * np.abs(x) ** 0.7
    found = student().fit(x, [0.0, 1.0, nu], method, max_iter=200)
    assert not found.converged
    assert "rate" not in found.reason
    if nu > 10 or method != "gradient_em":
        assert "nu" in found.reason or "rounding" in found.reason


def test_a_weight_that_tends_to_zero_has_no_maximum_in_softmax():
    """One cluster, and a second component far from it that is held there."""
    module = compiled("normal", "softmax", 2, ("alpha_1",))
    x = np.random.default_rng(3).normal(size=100)
    held = {"mu_1": 0.0, "mu_2": 4.0, "sigma_1": 1.0, "sigma_2": 0.3}
    found = module.fit(x, [0.0], "em", max_iter=5000, **held)
    theta = compiled("normal", "identity", 2, ("pi_1",)).fit(x, [0.5], max_iter=5000, **held)
    assert theta.coords[0] > 0.98
    if theta.coords[0] == 1.0:
        assert not found.converged


# ------------------------------------------------------------------------------ bounds, tolerances


def test_a_bound_that_is_pressed_against_is_said():
    module = compiled("normal", "plain", 2, ("mu_1", "Delta_1"))
    x = np.random.default_rng(4).normal(0.0, 1.0, 300)
    found = module.fit(x, [-0.5, 1.0], pi_1=0.3, sigma_1=1.0, sigma_2=1.05)
    assert found.converged
    if found.coords[1] == 0.0:
        slope = module.score(x, found.coords, pi_1=0.3, sigma_1=1.0, sigma_2=1.05)[1]
        assert slope <= 0.0
        assert any("bound" in note and "Delta_1" in note for note in found.notes) or slope > -1e-4


def test_a_fit_that_is_stopped_far_from_the_maximum_has_not_converged():
    """A rate so small that no step gains: the slope is still there."""
    module = compiled("normal", "identity")
    found = module.fit(APART, [0.5, -1.0, 1.0, 3.0, 3.0], "gradient_em", rate=1e-9, tol=1e-10)
    assert not found.converged
    assert "still rises" in found.reason


# ------------------------------------------------------------------------------ N, names, the path


def test_count_is_n_in_the_criteria():
    """A histogram gives the AIC and BIC of the sample that it counts."""
    rng = np.random.default_rng(5)
    x = np.concatenate([rng.poisson(3.0, 200), rng.poisson(15.0, 100)]).astype(float)
    values, often = np.unique(x, return_counts=True)
    module = compiled("poisson", "identity")
    whole = module.fit(x, [0.5, 2.0, 12.0])
    table = module.fit(values, [0.5, 2.0, 12.0], weights=often, count=often.sum())
    np.testing.assert_allclose([table.aic, table.bic], [whole.aic, whole.bic], rtol=1e-9)
    assert table.size == 300
    said = module.criteria(values, table.coords, often, count=often.sum())
    np.testing.assert_allclose([said.aic, said.bic], [table.aic, table.bic], rtol=1e-9)
    for wrong in (0, -3, True, np.nan, np.inf, "300"):
        with pytest.raises(DataError, match="count is no number of points"):
            module.fit(values, [0.5, 2.0, 12.0], weights=often, count=wrong)


@pytest.mark.parametrize("chart", ["identity", "plain", "square", "softmax"])
def test_parameters_of_a_fit_are_a_start(chart):
    module = compiled("normal", chart)
    found = module.fit(APART, "quantiles", max_iter=3)
    np.testing.assert_allclose(module.from_model(found.parameters), found.coords, atol=1e-9)
    again = module.fit(APART, found.parameters, max_iter=1)
    assert again.history[0] == pytest.approx(found.log_likelihood, rel=1e-12)
    by_name = dict(zip(module.COORDINATES, found.coords, strict=True))
    assert module.fit(APART, by_name, max_iter=1).history[0] == pytest.approx(again.history[0])
    many = module.fit(APART, "random", starts=3, max_iter=2)
    starts = module.fit(APART, many.parameters, max_iter=1)
    assert starts.coords.shape == many.coords.shape
    with pytest.raises(DataError, match="no entry"):
        module.fit(APART, {"pi_1": 0.5})
    wrong = found.parameters | {"sigma_1": -1.0}
    with pytest.raises(DomainError, match="start"):
        module.fit(APART, wrong)


def test_the_path_holds_every_iterate():
    module = compiled("normal", "plain")
    starts = np.array([[0.5, -1.0, 2.0, 1.0, 1.0], [0.4, -2.0, 1.0, 2.0, 1.0]])
    found = module.fit(APART, starts, max_iter=30)
    assert found.path.shape == (2, found.iterations.max() + 1, 5)
    np.testing.assert_array_equal(found.path[:, 0], starts)
    for b, n in enumerate(found.iterations):
        np.testing.assert_array_equal(found.path[b, n], found.coords[b])
        assert np.isnan(found.path[b, n + 1 :]).all()
        one = found[b]
        np.testing.assert_array_equal(one.path, found.path[b, : n + 1])
        np.testing.assert_allclose(module.em_step(APART, one.path[0]), one.path[1], rtol=1e-9)
        levels = [module.log_likelihood(APART, at) for at in one.path]
        np.testing.assert_allclose(levels, one.history, rtol=1e-12)


@pytest.mark.parametrize("family", ["gamma", "normal"])
@pytest.mark.parametrize("count", [1, 2])
def test_equal_points_are_refused_at_once(family, count):
    module = compiled(family, "identity", count)
    start = {"gamma": [1.0, 2.0], "normal": [1.0, 2.0]}[family]
    coords = [*([0.5] if count == 2 else []), *np.repeat(start, count)]
    with pytest.raises(DataError, match="all points of the sample are equal"):
        module.fit([2.0] * 6, coords)
