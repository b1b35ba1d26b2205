"""Covariances of estimates: closed cases, hand calculation, other charts, and hard points."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import pytest
from scipy import optimize, stats

import relrep_sym as rs
from relrep_sym.data import faithful
from relrep_sym.errors import (
    ConditionWarning,
    DataError,
    DerivationError,
    DomainError,
    InferenceWarning,
    NoInverseError,
)
from relrep_sym.oracle_input import oracle_of
from relrep_sym.runtime.criteria import information_criteria
from relrep_sym.runtime.solver import Solver
from relrep_sym.verify.inference import inverse
from relrep_sym.verify.yardstick import ratio
from tests.runtime.models import (
    compiled,
    complex_step,
    derived,
    mean_log_likelihood,
    normals,
    poissons,
    theta,
)

KINDS = ("observed", "expected", "opg", "sandwich")
CASES = [
    ("normal", 2, "relative", {}),
    ("normal", 3, "identity", {}),
    ("normal", 3, "square", {}),
    ("normal", 3, "log", {}),
    ("poisson", 2, "log", {}),
    ("poisson", 3, "relative", {}),
    ("normal", 5, "relative", {}),
]


def sample_of(family, components, size, seed=0):
    """(a mixture whose components are well apart, a sample of it)."""
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.full(components, 20.0))
    which = rng.choice(components, size, p=weights)
    if family == "normal":
        means = 6.0 * np.arange(components)
        scales = np.exp(rng.uniform(-0.3, 0.3, components))
        return (weights, means, scales), rng.normal(means[which], scales[which])
    rates = 1.5 * 7.0 ** np.arange(components)
    return (weights, rates), rng.poisson(rates[which]).astype(float)


@cache
def fitted(family, components, chart, size=200, **patterns):
    """(module, maximum, sample): the maximum by EM, then Newton's method on the score."""
    module = compiled(family, components, chart, **patterns)
    mixture, x = sample_of(family, components, size)
    coords = module.fit(x, module.from_model(theta(module, mixture)), tol=1e-13).coords
    for _ in range(4):
        coords = coords - np.linalg.solve(module.hessian(x, coords), module.score(x, coords))
    assert np.abs(module.score(x, coords)).max() < 1e-12
    return module, coords, x


def by_hand(family, components, chart, coords, x):
    """(mean Hessian, mean outer product of scores) by complex steps in plain arithmetic."""

    def score(c, x=x):
        return complex_step(lambda z: mean_log_likelihood(x, z, components, chart, family), c)

    rows = []
    for j in range(len(coords)):
        e = np.zeros(len(coords))
        e[j] = 1e-4 * max(1e-1, abs(coords[j]))
        near, far = (
            score(coords + e) - score(coords - e),
            score(coords + 2 * e) - score(coords - 2 * e),
        )
        rows.append((8 * near - far) / (12 * e[j]))
    each = np.array([score(coords, v) for v in x[:, None]])
    return np.array(rows), each.T @ each / len(x)


def same(found, expected, rtol=1e-7):
    """Matrices that agree relative to their diagonals."""
    unit = np.sqrt(np.diagonal(expected, axis1=-2, axis2=-1))
    scale = unit[..., :, None] * unit[..., None, :]
    np.testing.assert_allclose(found / scale, expected / scale, rtol=rtol, atol=rtol)


# ------------------------------------------------------------------------------ closed cases


def test_one_normal_has_the_textbooks_variances():
    """σ²/N of the mean and σ²/2N of the scale; by outer products and sandwiches, moments."""
    rng = np.random.default_rng(1)
    x = rng.gamma(3.0, size=50)  # the sandwich needs no right model
    module = compiled("normal", 1)
    mu, sigma = x.mean(), x.std()
    z = (x - mu) / sigma
    skew, kurt = (z**3).mean(), (z**4).mean()
    plain = np.diag([1.0, 0.5]) * sigma**2 / 50
    meat = np.array([[1.0, skew], [skew, kurt - 1]])
    expected = {
        "observed": plain,
        "expected": plain,
        "opg": np.linalg.inv(meat) * sigma**2 / 50,
        "sandwich": np.array([[1.0, skew / 2], [skew / 2, (kurt - 1) / 4]]) * sigma**2 / 50,
    }
    for kind in KINDS:
        found = module.covariance(x, [mu, sigma], kind)
        np.testing.assert_allclose(found, expected[kind], rtol=1e-13, atol=1e-16)
        errors = module.standard_errors(x, [mu, sigma], kind)
        np.testing.assert_allclose(errors, np.sqrt(np.diag(expected[kind])), rtol=1e-13)


def test_one_poisson_rate_has_variance_rate_over_n():
    x = np.array([0.0, 1, 1, 2, 3, 5, 0, 4])
    module = compiled("poisson", 1)
    for kind in ("observed", "expected"):
        np.testing.assert_allclose(module.covariance(x, [2.0], kind), [[0.25]], rtol=1e-15)
    spread = x.var() / 8
    np.testing.assert_allclose(module.covariance(x, [2.0], "sandwich"), [[spread]], rtol=1e-14)
    np.testing.assert_allclose(module.covariance(x, [2.0], "opg"), [[2.0**2 / 64 / spread]])


def test_weights_of_far_components_are_multinomial():
    """π(1 − π)/N and −π_i π_j/N where nobody's membership is in doubt."""
    module = compiled("normal", 3, scales=1)
    weights = np.array([0.2, 0.3, 0.5])
    found = module.covariance(None, [0.2, 0.3, -50, 0, 60], "expected", count=40)
    expected = (np.diag(weights) - np.outer(weights, weights))[:2, :2] / 40
    np.testing.assert_allclose(found[:2, :2], expected, rtol=1e-12)
    np.testing.assert_allclose(np.diag(found)[2:], 1 / (40 * weights), rtol=1e-12)
    np.testing.assert_allclose(found[:2, 2:], 0.0, atol=1e-17)


# ------------------------------------------------------------------------------ by hand


@pytest.mark.parametrize(("family", "components", "chart", "patterns"), CASES)
def test_it_is_what_complex_steps_in_plain_arithmetic_give(family, components, chart, patterns):
    module, coords, x = fitted(family, components, chart, **patterns)
    second, outer = by_hand(family, components, chart, coords, x)
    bread = np.linalg.inv(-second)
    same(module.covariance(x, coords), bread / len(x))
    same(module.covariance(x, coords, "opg"), np.linalg.inv(outer) / len(x))
    same(module.covariance(x, coords, "sandwich"), bread @ outer @ bread / len(x))
    information = np.linalg.inv(module.fisher(coords)) / len(x)
    same(module.covariance(x, coords, "expected"), information, rtol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("family", "components", "chart", "patterns"), CASES)
def test_it_is_symmetric_positive_and_has_the_errors_on_its_diagonal(
    kind, family, components, chart, patterns
):
    module, coords, x = fitted(family, components, chart, **patterns)
    for of in ("coordinates", "parameters"):
        found = module.covariance(x, coords, kind, of=of)
        assert (found == found.T).all()
        unit = np.sqrt(np.diag(found))
        assert np.linalg.eigvalsh(found / unit / unit[:, None])[0] > 0
        errors = module.standard_errors(x, coords, kind, of=of)
        np.testing.assert_allclose(errors, unit, rtol=1e-13)


@pytest.mark.parametrize(("family", "components", "chart"), [
    ("normal", 2, "relative"), ("normal", 3, "square"), ("normal", 3, "log"),
    ("poisson", 3, "relative"), ("normal", 5, "relative"), ("poisson", 3, "log"),
])  # fmt: skip
def test_in_another_chart_it_is_pulled_along(family, components, chart):
    """C_θ = J C_λ Jᵀ at a maximum, whatever the chart in which it was found."""
    module, coords, x = fitted(family, components, chart)
    plain = compiled(family, components)
    entries = module.to_model(coords)
    j = module.jacobian(coords)
    for kind in KINDS:
        expected = plain.covariance(x, entries, kind)
        same(j @ module.covariance(x, coords, kind) @ j.T, expected, rtol=1e-8)
        same(module.covariance(x, coords, kind, of="parameters"), expected, rtol=1e-8)


@pytest.mark.parametrize("kind", ["expected", "opg"])
@pytest.mark.parametrize("family", ["normal", "poisson"])
def test_products_of_scores_are_pulled_along_anywhere(kind, family):
    mixture = normals(3, seed=3) if family == "normal" else poissons(3, seed=3)
    _, x = sample_of(family, 3, 300)
    plain, other = compiled(family, 3), compiled(family, 3, "relative")
    entries = theta(plain, mixture)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConditionWarning)  # these components are not far apart
        expected = plain.covariance(x, entries, kind)
        found = other.covariance(x, other.from_model(entries), kind, of="parameters")
    same(found, expected, rtol=1e-8)


def test_under_the_model_itself_all_four_agree():
    """E[s sᵀ] = −E[∂² log p]: the information identity, with nodes for a sample."""
    chart = derived("normal", 3, "relative").chart
    module = compiled("normal", 3, "relative")
    coords = module.from_model([0.3, 0.3, -4.0, 0.5, 5.0, 1.0, 0.7, 1.4])
    x, w = rs.nodes(rs.truth("normal", weights=[0.3, 0.3, 0.4], means=[-4, 0.5, 5],
                             scales=[1, 0.7, 1.4]), coords,
                    derivation=derived("normal", 3, "relative"))  # fmt: skip
    assert chart.names == module.COORDINATES
    found = [module.covariance(x, coords, kind, weights=w, count=500) for kind in KINDS]
    for other in found[1:]:
        same(other, found[0], rtol=1e-10)


# ------------------------------------------------------------------------------ functions of them


def test_a_view_has_the_delta_methods_errors():
    """The last weight's error is the first's; those of ratios by their gradients."""
    model = rs.mixture("normal", components=2, scales="tied")
    chart = rs.relative(model, "mu")
    wanted = {"last": "1 - pi_1", "far": "Delta_1/sigma", "centre": "mu_1 + (1 - pi_1)*Delta_1"}
    module = rs.derive(model, chart, view=rs.view(chart, wanted)).compile()
    x = faithful()[:, 1]
    coords = module.fit(x, module.from_model([0.5, 55, 80, 5]), tol=1e-15).coords
    p, _, gap, sigma = coords
    slopes = np.array([[-1, 0, 0, 0], [0, 0, 1 / sigma, -gap / sigma**2], [-gap, 1, 1 - p, 0]])
    for kind in KINDS:
        expected = slopes @ module.covariance(x, coords, kind) @ slopes.T
        same(module.covariance(x, coords, kind, of="view"), expected, rtol=1e-10)
    errors = module.standard_errors(x, coords, of="view")
    assert errors[0] == module.standard_errors(x, coords)[0]
    # the mixture's mean is the sample's at the maximum, and its error σ/√N
    np.testing.assert_allclose(errors[2], x.std() / np.sqrt(272), rtol=1e-5)


def test_fewer_coordinates_than_parameters_give_a_singular_matrix_of_theta():
    """Means at ±d: C_θ has rank P, and no error across the chart."""
    model = rs.mixture("normal", components=3, scales="tied")
    maps = {"pi_1": "v", "pi_2": "1 - 2*v", "mu_1": "-d", "mu_2": "0", "mu_3": "d", "sigma": "s"}
    chart = rs.chart(model, maps, domains={"v": "unit", "d": "positive", "s": "positive"})
    module = rs.derive(model, chart).compile()
    coords = np.array([0.3, 5.0, 1.25])
    found = module.covariance(None, coords, "expected", of="parameters", count=100)
    assert found.shape == (6, 6)
    assert np.linalg.matrix_rank(found, tol=1e-12) == 3
    j = module.jacobian(coords)
    same_as = j @ np.linalg.inv(100 * module.fisher(coords)) @ j.T
    np.testing.assert_allclose(found, same_as, rtol=1e-10, atol=1e-15)
    errors = module.standard_errors(None, coords, "expected", of="parameters", count=100)
    assert errors[3] == 0.0  # mu_2 = 0 is known
    assert errors[2] == errors[4]


def test_held_coordinates_and_constants_are_no_estimates():
    """Only what is learned has errors: as in the model in which the rest is fixed."""
    model = rs.mixture("normal", components=2)
    chart = rs.relative(model, "mu", clearance="lam")
    some = rs.derive(model, chart, moving=["mu_1", "Delta_1"]).compile()
    x = sample_of("normal", 2, 150)[1]
    given = {"pi_1": 0.5, "sigma_1": 1.0, "sigma_2": 2.0, "lam": 0.5}
    fixed = rs.derive(rs.mixture("normal", components=2, weights="1/2", scales=[1, 2])).compile()
    for kind in ("expected", "opg"):
        found = some.covariance(x, [0.1, 5.4], kind, **given)
        assert found.shape == (2, 2)
        j = np.array([[1.0, 0.0], [1.0, 1.0]])
        same(j @ found @ j.T, fixed.covariance(x, [0.1, 6.0], kind), rtol=1e-11)
    assert some.criteria(x, [0.1, 5.4], **given).parameters == 2
    many = some.standard_errors(x, [[0.1, 5.4]] * 2, "opg", **(given | {"lam": [0.5, 0.6]}))
    np.testing.assert_allclose(many[0], np.sqrt(np.diag(found)), rtol=1e-12)
    assert (many[1] != many[0]).all()


def test_constants_may_be_called_like_an_argument():
    model = rs.mixture("normal", components=2, scales=1)
    for name in ("kind", "count", "of", "level"):
        module = rs.derive(model, rs.relative(model, "mu", clearance=name)).compile()
        given = {f"{name}_": 0.5}
        found = module.standard_errors(None, [0.5, 0.0, 4.5], "expected", count=100, **given)
        expected = compiled("normal", 2, "relative", scales=1).standard_errors(
            None, [0.5, 0.0, 5.0], "expected", count=100
        )
        np.testing.assert_allclose(found, expected, rtol=1e-12)


# ------------------------------------------------------------------------------ N and weights


@pytest.mark.parametrize("kind", KINDS)
def test_a_weight_is_so_many_observations(kind):
    module, coords, x = fitted("normal", 3, "relative")
    plain = module.covariance(x, coords, kind)
    same(module.covariance(x, coords, kind, weights=np.full(x.size, 7.0)), plain, rtol=1e-12)
    # a weight of zero is no point
    padded, w = np.append(x, [99.0, -99.0]), np.append(np.ones(x.size), [0.0, 0.0])
    same(module.covariance(padded, coords, kind, weights=w), plain, rtol=1e-12)
    # repeated points, and how often as weights with their total for count
    times = 1 + np.arange(x.size) % 3
    repeated = np.repeat(x, times)
    there = module.fit(repeated, coords, tol=1e-15).coords
    counted = module.covariance(x, there, kind, weights=times, count=times.sum())
    same(counted, module.covariance(repeated, there, kind), rtol=1e-12)
    less = module.covariance(x, there, kind, weights=times)  # N is the number of points
    same(less, counted * times.sum() / x.size, rtol=1e-12)


def test_a_batch_is_its_members_each():
    module, coords, x = fitted("normal", 3, "relative")
    batch = coords + np.linspace(0, 0.01, 6).reshape(2, 3, 1)
    for kind in KINDS:
        for of in ("coordinates", "parameters"):
            found = module.covariance(x, batch, kind, of=of)
            assert found.shape == (2, 3, 8, 8)
            assert module.standard_errors(x, batch, kind, of=of).shape == (2, 3, 8)
            for i in np.ndindex(2, 3):
                same(found[i], module.covariance(x, batch[i], kind, of=of), rtol=1e-10)


# ------------------------------------------------------------------------------ what is refused


def test_what_cannot_be_asked_for_is_said():
    module, coords, x = fitted("normal", 2, "relative")
    ask = module.standard_errors
    with pytest.raises(DataError, match=r"unknown kind.*one of observed, expected, opg, sandwich"):
        ask(x, coords, "fisher")
    with pytest.raises(DataError, match=r"unknown of=.*one of coordinates, parameters, view"):
        ask(x, coords, of="theta")
    with pytest.raises(NoInverseError, match="no view"):
        ask(x, coords, of="view")
    for bad in (0, -3, np.inf, True, "5"):
        with pytest.raises(DataError, match="count is no number of points"):
            ask(x, coords, count=bad)
    for kind in KINDS:
        with pytest.raises(DataError, match="there is no sample"):
            ask(None, coords, kind)
    with pytest.raises(DataError, match="there is no sample"):
        ask(None, coords, "observed", count=5)
    for bad in (0, 1, 95, True):
        with pytest.raises(DataError, match="level is no probability"):
            module.confidence_intervals(x, coords, bad)


def test_a_family_of_the_general_path_has_all_four():
    """Weibull's shape and scale at SciPy's estimate: differences of its log-density, Fisher's."""
    family = rs.family(
        "log(k) - log(s) + (k - 1)*log(x/s) - (x/s)**k",
        {"k": "positive", "s": "positive"}, "half-line", name="weibull",
    )  # fmt: skip
    module = rs.derive(rs.mixture(family, components=1)).compile()
    x = stats.weibull_min.rvs(1.7, scale=3.0, size=400, random_state=2)

    def slope(k, s):
        z, logs = (x / s) ** k, np.log(x / s)
        return np.array([(1 / k + logs - z * logs).mean(), k / s * (z.mean() - 1)])

    k, s = optimize.root(lambda c: slope(*c), [1.7, 3.0], tol=1e-14).x
    h = 1e-5
    second = [(slope(k + h, s) - slope(k - h, s)) / (2 * h),
              (slope(k, s + h) - slope(k, s - h)) / (2 * h)]  # fmt: skip
    same(module.covariance(x, [k, s]), np.linalg.inv(-400 * np.array(second)), rtol=1e-8)
    # the textbook's information of a Weibull shape and scale (Euler's constant)
    g = np.euler_gamma
    information = [
        [(np.pi**2 / 6 + (1 - g) ** 2) / k**2, -(1 - g) / s],
        [-(1 - g) / s, (k / s) ** 2],
    ]
    same(module.covariance(x, [k, s], "expected"), np.linalg.inv(information) / 400, rtol=1e-9)
    plain = module.standard_errors(x, [k, s], "expected")
    for kind in ("observed", "opg", "sandwich"):
        np.testing.assert_allclose(module.standard_errors(x, [k, s], kind) / plain, 1.0, atol=0.15)


def test_without_second_derivatives_two_are_left():
    _, coords, x = fitted("normal", 2, "relative")
    solver = compiled("normal", 2, "relative")._solver()
    lame = Solver(
        solver.chart._replace(why={"hessian": "no second derivatives; given: z"}),
        solver.form._replace(second=None),
    )
    for kind in ("observed", "sandwich"):
        with pytest.raises(DerivationError, match="no second derivatives; given: z"):
            lame.covariance(x, coords, kind)
    for kind in ("expected", "opg"):
        assert (lame.covariance(x, coords, kind) == solver.covariance(x, coords, kind)).all()


def test_a_kink_that_is_learned_leaves_two():
    """Laplace's location: Fisher's b²/N is its variance, and no second derivative says so."""
    module = rs.derive(rs.mixture("laplace", components=1)).compile()
    x = np.random.default_rng(0).laplace(size=301)
    coords = [np.median(x), np.abs(x - np.median(x)).mean()]
    found = module.covariance(x, coords, "expected")
    np.testing.assert_allclose(found, np.eye(2) * coords[1] ** 2 / 301, rtol=1e-9, atol=1e-16)
    both = rs.derive(rs.mixture("laplace", components=3)).compile()
    for kind in ("observed", "sandwich"):
        with pytest.raises(DerivationError, match=r"kink whose place is learned"):
            module.covariance(x, coords, kind)
        with pytest.raises(DerivationError, match=r"kink whose place is learned"):
            both.covariance(x, [0.3, 0.3, -5, 0, 5, 1, 1, 1], kind)
    centred = rs.derive(rs.mixture("laplace", components=1, means=0)).compile()
    scale = np.abs(x).mean()
    assert centred.standard_errors(x, [scale])[0] == pytest.approx(scale / np.sqrt(301), rel=1e-9)


def test_off_a_maximum_the_observed_information_is_refused():
    module = compiled("normal", 2, "relative", scales=1)
    x = [-2.0, -1.9, 1.9, 2.0]
    for kind in ("observed", "sandwich"):
        with pytest.raises(
            DomainError, match=r"not positive definite at this point.*Delta_1.*norm"
        ):
            module.covariance(x, [0.5, -0.1, 0.2], kind)
    with pytest.raises(DomainError, match=r"1 of 2 points \(member \[1\] is the first\)"):
        module.covariance(x, [[0.5, -1.95, 3.9], [0.5, -0.1, 0.2]])


def test_a_point_that_is_not_the_maximum_is_said_to_be_far():
    module, coords, x = fitted("normal", 2, "relative")
    errors = module.standard_errors(x, coords)
    near, far = coords + 0.2 * errors, coords + 3.0 * errors
    module.standard_errors(x, near)
    with pytest.warns(InferenceWarning, match="not the maximum.*standard errors from there"):
        module.standard_errors(x, far)
    module.standard_errors(x, far, "expected")  # information is of a point, maximum or not


@pytest.mark.parametrize(("kind", "match"), [
    ("expected", "the Fisher information is singular in double precision"),
    ("opg", "the mean outer product of scores is singular in double precision"),
])  # fmt: skip
def test_where_components_coincide_there_is_no_covariance(kind, match):
    x = np.linspace(-3, 3, 40)
    module = compiled("normal", 3, "relative")
    with pytest.raises(DomainError, match=match):
        module.covariance(x, [0.3, 0.3, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0], kind)


def test_fewer_points_than_coordinates_have_no_outer_product():
    module = compiled("normal", 3)
    with pytest.raises(DomainError, match="singular"):
        module.covariance([-4.0, 0.0, 4.0], [0.3, 0.3, -4, 0, 4, 1, 1, 1], "opg")


# ------------------------------------------------------------------------------ near singular


def test_near_components_draw_a_warning_that_names_them():
    module = compiled("normal", 3, "relative")
    for means, pair in (((-4.0, 3.0, 3.4), "2 and 3"), ((-3.4, -3.0, 4.0), "1 and 2")):
        coords = module.from_model([0.3, 0.3, *means, 1.0, 1.0, 1.0])
        with pytest.warns(ConditionWarning, match=rf"components {pair} are \S+ standard errors"):
            module.standard_errors(None, coords, "expected", count=400)


def test_a_light_component_draws_a_warning_that_names_it():
    module = compiled("normal", 3)
    for k in range(3):
        weights = np.full(3, 0.5)
        weights[k] = 1e-12
        weights /= weights.sum()
        with pytest.warns(ConditionWarning) as caught:
            found = module.standard_errors(
                None, [*weights[:2], -30, 0, 30, 1, 1, 1], "expected", count=100
            )
        assert any(f"weight of component {k + 1} is" in str(w.message) for w in caught)
        assert np.isfinite(found).all()
        weight = 1 - weights[0] - weights[1] if k == 2 else weights[k]  # as coordinates have it
        np.testing.assert_allclose(found[2 + k], 1 / np.sqrt(100 * weight), rtol=1e-10)


@pytest.mark.parametrize("patterns", [{"scales": 1, "weights": "1/2"}, {"scales": 1}])
def test_more_points_make_a_model_regular(patterns):
    """What is near counts in standard errors: a hundred times the points, ten times as far."""
    module = compiled("normal", 2, "relative", **patterns)
    coords = module.from_model([0.5, 0.0, 1.0][-len(module.PARAMETERS) :])
    assert _distance(module, coords, 10_000) == pytest.approx(10 * _distance(module, coords, 100))
    with pytest.warns(ConditionWarning):
        module.standard_errors(None, coords, "expected", count=10)
    module.standard_errors(None, coords, "expected", count=1_000_000)


def _distance(module, coords, count):
    from relrep_sym.runtime.regularity import nearest

    solver = module._solver()
    root = np.linalg.cholesky(np.linalg.inv(count * module.fisher(coords)))[None]
    rows = np.asarray(coords, dtype=float)[:, None]
    return nearest(solver.chart, solver.form, rows, root).distance[0]


def test_the_distance_goes_with_the_square_of_the_gap():
    """So that N^(-1/4) is the gap at which a given N begins to tell two components apart."""
    module = compiled("normal", 2, "relative", weights="1/2", scales=1)
    far = [_distance(module, [0.0, gap], 1000) for gap in (0.05, 0.1)]
    assert far[1] / far[0] == pytest.approx(4.0, rel=5e-3)


@pytest.mark.parametrize("components", [2, 3, 5])
def test_the_distance_is_the_same_in_every_chart(components):
    weights, means, scales = normals(components, seed=components)
    means = means + 1.5 * np.arange(components)
    plain = compiled("normal", components)
    entries = theta(plain, (weights, means, scales))
    expected = _distance(plain, entries, 300)
    assert np.isfinite(expected)
    for chart in ("relative", "square", "log"):
        module = compiled("normal", components, chart)
        assert _distance(module, module.from_model(entries), 300) == pytest.approx(expected)


def test_the_distance_is_the_least_over_moves_that_make_components_coincide():
    """Against SciPy: the least dᵀ F d with equal means and scales to first order; weights too."""
    module = compiled("normal", 3)
    coords = theta(module, ([0.3, 0.3, 0.4], [-1.0, 0.5, 4.0], [1.0, 0.8, 1.2]))
    information = 200 * module.fisher(coords)
    values = []
    for a, b in ((0, 1), (0, 2), (1, 2)):
        g = np.zeros((2, 8))
        g[0, [2 + a, 2 + b]] = g[1, [5 + a, 5 + b]] = [-1, 1]
        rule = {"type": "eq", "fun": lambda d, g=g: g @ (coords + d)}
        values.append(
            optimize.minimize(lambda d: d @ information @ d, np.zeros(8), constraints=rule,
                              tol=1e-14).fun
        )  # fmt: skip
    error = np.sqrt(np.diag(np.linalg.inv(information)))
    last = np.sqrt(np.linalg.inv(information)[:2, :2].sum())
    weights = [0.3 / error[0], 0.3 / error[1], 0.4 / last]
    assert _distance(module, coords, 200) == pytest.approx(min(*np.sqrt(values), *weights), 1e-6)


def test_what_cannot_meet_is_at_no_distance_that_counts():
    """Means tied, scales held apart and weights given: nothing singular is near."""
    model = rs.mixture("normal", components=2, weights="1/2", means="tied", scales=[1, 2])
    module = rs.derive(model).compile()
    assert _distance(module, [0.0], 1) == np.inf
    module.standard_errors(None, [0.0], "expected", count=1)


def test_near_singular_information_is_inverted_to_its_digits():
    """Condition number 1e8 and more: within the yardstick of the oracle's inverse."""
    d = derived("normal", 2, "relative", scales=1)
    module = d.compile()
    for gap in (0.3, 0.03):
        coords = [0.375, -0.2, gap]
        with pytest.warns(ConditionWarning, match="components 1 and 2|weight"):
            found = module.covariance(None, coords, "expected", count=1)
        exact = inverse(oracle_of(d.chart).at(coords).fisher())
        worst = max(
            float(ratio(float(found[i, j]), m)) for i, r in enumerate(exact)
            for j, m in enumerate(r)
        )  # fmt: skip
        assert worst < 16


def test_few_digits_draw_a_warning():
    module = compiled("normal", 2, "relative", scales=1)
    with pytest.warns(ConditionWarning) as caught:
        module.standard_errors(None, [0.375, -0.2, 3e-3], "expected", count=10**12)
    assert any("few digits" in str(w.message) for w in caught)


def test_units_of_coordinates_do_not_matter():
    module, coords, x = fitted("normal", 3, "relative")
    units = np.array([1, 1] + [1e8] * 6)
    for kind in KINDS:
        found = module.standard_errors(x * 1e8, coords * units, kind)
        np.testing.assert_allclose(
            found, module.standard_errors(x, coords, kind) * units, rtol=1e-9
        )


def test_a_coordinate_at_its_bound_is_named():
    """Δ = 0 with a clearance: inside the model, at the end of the chart."""
    model = rs.mixture("normal", components=2, scales=1)
    module = rs.derive(model, rs.relative(model, "mu", clearance="4")).compile()
    with pytest.warns(InferenceWarning, match=r"end of its domain at this point.*Delta_1 = 0"):
        found = module.standard_errors(None, [0.5, 0.0, 0.0], "expected", count=500)
    assert (found > 0).all()
    # a maximum that presses against the bound is a maximum: no other warning
    x = np.concatenate([np.linspace(-2, 2, 50), np.linspace(1.8, 5.8, 50)])
    at = optimize.minimize(
        lambda c: -module.log_likelihood(x, [c[0], c[1], 0.0]), [0.5, 0.0], tol=1e-12
    ).x
    assert module.score(x, [*at, 0.0])[2] < -1e-3
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        module.standard_errors(x, [*at, 0.0])
    assert ["end of its domain" in str(w.message) for w in caught] == [True]


def test_a_coordinate_that_does_not_move_the_model_is_named():
    """Δ² at Δ = 0: stationary whatever the multiplier, and curved by the chart alone."""
    model = rs.mixture("normal", components=2, scales=1)
    module = rs.derive(model, rs.relative(model, "mu", gap="square", clearance="4")).compile()
    x = np.concatenate([np.linspace(-2, 2, 50), np.linspace(1.8, 5.8, 50)])
    at = optimize.minimize(
        lambda c: -module.log_likelihood(x, [c[0], c[1], 0.0]), [0.5, 0.0], tol=1e-12
    ).x
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        module.standard_errors(x, [*at, 0.0])
    assert any("to first order" in str(w.message) for w in caught)
    assert all("Delta_1 = 0" in str(w.message) for w in caught)
    with pytest.raises(DomainError, match=r"Fisher information is singular.*Delta_1"):
        module.standard_errors(x, [*at, 0.0], "expected")


def test_a_bound_that_makes_it_no_maximum_is_named():
    """Pressing against Δ = 0 where the log-likelihood bends upwards in Δ."""
    model = rs.mixture("normal", components=2, scales=1, weights="1/2")
    module = rs.derive(model, rs.relative(model, "mu")).compile()
    x = np.array([-2.0, -1.0, 1.0, 2.0])
    with pytest.raises(DomainError, match=r"or Delta_1 held at the end of its domain \(moving=\)"):
        module.standard_errors(x, [0.0, 0.0])


def test_warnings_point_at_the_users_line():
    module = compiled("normal", 2, "relative", scales=1)
    x = np.linspace(-2, 2, 30)
    for call in (
        lambda: module.covariance(x, [0.5, 0.0, 0.5], "expected"),
        lambda: module.standard_errors(x, [0.5, 0.0, 0.5], "opg"),
        lambda: module.confidence_intervals(x, [0.5, 0.0, 0.5], kind="opg"),
        lambda: module.criteria(x, [0.5, 0.0, 0.5]),
        lambda: module.criteria(x, [0.5, 0.0, 0.0]),
    ):
        with pytest.warns(ConditionWarning) as caught:
            call()
        assert {w.filename for w in caught} == {__file__}


# ------------------------------------------------------------------------------ criteria


def test_criteria_are_their_formulas_in_every_chart():
    plain, _, x = fitted("normal", 3, "identity")
    entries = fitted("normal", 3, "identity")[1]
    total = stats.norm.logpdf(x[:, None], entries[2:5], entries[5:])
    weights = np.append(entries[:2], 1 - entries[:2].sum())
    likelihood = np.log(np.exp(total) @ weights).sum()
    for chart in ("identity", "relative", "log"):
        module = compiled("normal", 3, chart)
        found = module.criteria(x, module.from_model(entries))
        assert found.aic == pytest.approx(2 * 8 - 2 * likelihood, rel=1e-12)
        assert found.bic == pytest.approx(8 * np.log(200) - 2 * likelihood, rel=1e-12)
        assert found.log_likelihood == pytest.approx(likelihood, rel=1e-12)
        assert (found.parameters, found.points) == (8, 200)
    batch = plain.criteria(x, [entries, entries])
    np.testing.assert_allclose(batch.bic, [found.bic] * 2)
    assert information_criteria(likelihood / 200, 8, 200).aic == pytest.approx(found.aic)


def test_criteria_of_repeated_points_are_those_of_their_counts():
    module, coords, x = fitted("poisson", 3, "relative")
    values, times = np.unique(x, return_counts=True)
    found = module.criteria(values, coords, times, count=times.sum())
    for a, b in zip(found, module.criteria(x, coords), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_criteria_of_merging_components_come_with_a_warning():
    module = compiled("normal", 2, "relative", scales=1)
    x = np.linspace(-2, 2, 30)
    with pytest.warns(ConditionWarning, match="for AIC and BIC to mean much"):
        near = module.criteria(x, [0.5, 0.0, 0.5])
    with pytest.warns(ConditionWarning, match="singular in double precision.*AIC and BIC"):
        merged = module.criteria(x, [0.5, 0.0, 0.0])
    assert np.isfinite([near.aic, merged.bic]).all()
    with pytest.warns(ConditionWarning) as caught:
        both = module.criteria(x, [[0.5, 0.0, 0.5], [0.5, 0.0, 0.0]])
    assert len(caught) == 2
    np.testing.assert_allclose(both.aic, [near.aic, merged.aic])


# ------------------------------------------------------------------------------ intervals


def test_intervals_are_walds_in_the_chart():
    module, coords, x = fitted("normal", 3, "relative")
    for level in (0.5, 0.95, 0.999):
        reach = stats.norm.ppf(0.5 + level / 2) * module.standard_errors(x, coords)
        found = module.confidence_intervals(x, coords, level)
        np.testing.assert_allclose(found[:, 0], coords - reach, rtol=1e-12)
        np.testing.assert_allclose(found[:, 1], coords + reach, rtol=1e-12)


def test_a_parameter_of_one_coordinate_has_the_image_of_its_interval():
    """σ = exp ξ: the interval of ξ, exponentiated; means are their own; all for K = 3."""
    module, coords, x = fitted("normal", 3, "log")
    own = module.confidence_intervals(x, coords)
    found = module.confidence_intervals(x, coords, of="parameters")
    np.testing.assert_allclose(found[5:], np.exp(own[5:]), rtol=1e-12)
    np.testing.assert_allclose(found[:5], own[:5], rtol=1e-12)
    module, coords, x = fitted("normal", 3, "relative")
    found = module.confidence_intervals(x, coords, of="parameters")
    errors = module.standard_errors(x, coords, of="parameters")
    middle = module.to_model(coords)
    np.testing.assert_allclose(found[:, 1] - middle, stats.norm.ppf(0.975) * errors, rtol=1e-9)


def test_intervals_stay_in_their_domains():
    module = compiled("normal", 2, "relative", scales="tied")
    coords = [0.03, 0.0, 6.0, 1.0]
    with pytest.warns(ConditionWarning):
        found = module.confidence_intervals(None, coords, kind="expected", count=20)
    assert found[0, 0] == 0.0
    assert (found[:, 0] < coords).all()
    assert (coords < found[:, 1]).all()
    mapped = rs.derive(
        rs.mixture("normal", components=2, scales="tied"),
        rs.softmax(rs.mixture("normal", components=2, scales="tied")),
    ).compile()
    with pytest.warns(ConditionWarning):
        inside = mapped.confidence_intervals(
            None, mapped.from_model([0.03, 0.0, 6.0, 1.0]), kind="expected", of="parameters",
            count=20,
        )  # fmt: skip
    assert 0 < inside[0, 0] < 0.03 < inside[0, 1] < 1
    with pytest.warns(ConditionWarning):
        three = compiled("normal", 3).confidence_intervals(
            None, [0.01, 0.49, -5, 0, 5, 1, 1, 1], 0.9, "expected", of="parameters", count=30
        )
    assert three[0, 0] == 0.0
    assert (three[5:, 0] >= 0).all()


def test_intervals_of_a_view_and_of_a_batch():
    model = rs.mixture("normal", components=2, scales="tied")
    chart = rs.identity(model)
    module = rs.derive(model, chart, view=rs.view(chart, {"far": "(mu_2 - mu_1)/sigma"})).compile()
    x = faithful()[:, 1]
    coords = module.fit(x, [0.5, 55, 80, 5], tol=1e-15).coords
    found = module.confidence_intervals(x, [coords] * 3, of="view")
    assert found.shape == (3, 1, 2)
    far, error = module.to_view(coords)[0], module.standard_errors(x, coords, of="view")[0]
    reach = stats.norm.ppf(0.975) * error
    np.testing.assert_allclose(found[1, 0], [far - reach, far + reach], rtol=1e-12)


# ------------------------------------------------------------------------------ others' numbers


def test_old_faithful_agrees_with_a_numerical_hessian():
    """SciPy's density and differences of fourth order at the maximum; N, AIC and BIC too."""
    x = faithful()[:, 1]
    module = compiled("normal", 2, scales="tied")
    coords = module.fit(x, [0.5, 55, 80, 5], tol=1e-15).coords
    for _ in range(3):
        coords = coords - np.linalg.solve(module.hessian(x, coords), module.score(x, coords))

    def total(c):
        parts = stats.norm.logpdf(x[:, None], c[1:3], c[3])
        return np.log(np.exp(parts) @ [c[0], 1 - c[0]]).sum()

    size = 4
    second = np.empty((size, size))
    steps = 2e-3 * np.abs(coords)
    for i in range(size):
        for j in range(size):
            terms = 0.0
            for a, p in ((1, 8), (-1, -8), (2, -1), (-2, 1)):
                for b, q in ((1, 8), (-1, -8), (2, -1), (-2, 1)):
                    moved = coords.copy()
                    moved[i] += a * steps[i]
                    moved[j] += b * steps[j]
                    terms += p * q * total(moved)
            second[i, j] = terms / (144 * steps[i] * steps[j])
    same(module.covariance(x, coords), np.linalg.inv(-second), rtol=1e-5)
    errors = module.standard_errors(x, coords)
    np.testing.assert_allclose(errors, [0.030125, 0.646089, 0.476324, 0.270932], rtol=2e-5)
    found = module.criteria(x, coords)
    assert found.log_likelihood == pytest.approx(total(coords), rel=1e-12)
    assert found.bic == pytest.approx(4 * np.log(272) + 2 * 1034.0018, abs=1e-3)


@pytest.mark.slow
def test_errors_are_the_spread_of_estimates():
    """Four hundred samples of six hundred points: each kind within four of its own errors."""
    module = compiled("normal", 2, "relative", scales="tied")
    coords = np.array([0.4, -1.5, 3.5, 1.0])
    rng = np.random.default_rng(11)
    estimates, found = [], {kind: [] for kind in KINDS}
    for _ in range(400):
        x = module.sample(coords, 600, rng=rng)
        estimate = module.fit(x, coords, tol=1e-12).coords
        estimates.append(estimate)
        for kind in KINDS:
            found[kind].append(module.standard_errors(x, estimate, kind))
    spread = np.std(estimates, axis=0, ddof=1)
    for kind in KINDS:
        mean = np.mean(found[kind], axis=0)
        np.testing.assert_allclose(mean, spread, rtol=4 / np.sqrt(2 * 400))
    inside = [
        (low <= coords) & (coords <= high)
        for low, high in zip(
            estimates - 1.96 * np.array(found["observed"]),
            estimates + 1.96 * np.array(found["observed"]),
            strict=True,
        )
    ]
    np.testing.assert_allclose(np.mean(inside, axis=0), 0.95, atol=0.035)


@pytest.mark.slow
def test_in_a_wrong_model_the_sandwich_is_the_spread():
    """Data of Laplace's density, a normal's scale: only the sandwich knows its error."""
    module = compiled("normal", 1)
    rng = np.random.default_rng(5)
    estimates = []
    for _ in range(2000):
        x = rng.laplace(size=400)
        estimates.append(x.std())
    spread = np.std(estimates)
    x = rng.laplace(size=100_000)
    errors = {
        kind: module.standard_errors(x, [x.mean(), x.std()], kind, count=400)[1] for kind in KINDS
    }
    assert errors["sandwich"] == pytest.approx(spread, rel=0.08)
    assert errors["observed"] < 0.8 * spread
    assert errors["opg"] < 0.8 * spread
