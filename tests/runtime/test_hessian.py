"""Hessians: symmetric, the oracle's, and what every chart's second derivatives must be."""

from __future__ import annotations

import numpy as np
import pytest

import relrep_sym as rs
from relrep_sym.errors import DerivationError, DomainError
from relrep_sym.oracle_input import oracle_of
from relrep_sym.runtime.expectation import Nodes
from relrep_sym.runtime.solver import Solver
from relrep_sym.verify.yardstick import ratio
from tests.runtime.models import compiled, derived, normals, poissons, theta

CASES = [
    ("normal", 2, "own", {"scales": 1}),
    ("normal", 3, "identity", {}),
    ("normal", 3, "relative", {}),
    ("normal", 3, "square", {}),
    ("normal", 3, "log", {}),
    ("normal", 3, "relative", {"scales": "tied"}),
    ("normal", 3, "square", {"weights": "1/3", "scales": 1}),
    ("poisson", 3, "relative", {}),
    ("poisson", 3, "log", {}),
]
MANY = [("normal", 5, "relative", {"scales": "tied"}), ("poisson", 5, "square", {})]


def point_of(family, components, chart, patterns, seed=0, size=12):
    """(module, coordinates, sample)."""
    module = compiled(family, components, chart, **patterns)
    if family == "normal":
        weights, means, scales = normals(components, seed)
        mixture = weights, means + 0.2 * np.arange(components), scales
    else:
        weights, rates = poissons(components, seed)
        mixture = weights, rates + 0.2 * np.arange(components)
    rng = np.random.default_rng(seed)
    x = rng.normal(1, 3, size) if family == "normal" else rng.integers(0, 15, size).astype(float)
    return module, module.from_model(theta(module, mixture)), x


def misses(module_values, at, *given):
    """The largest error of a Hessian in units of the yardstick, and that it is symmetric."""
    assert (module_values == module_values.swapaxes(-1, -2)).all()
    exact = at.hessian(*given)
    return max(float(ratio(float(module_values[i, j]), m)) for i, row in enumerate(exact)
               for j, m in enumerate(row))  # fmt: skip


@pytest.mark.parametrize(("family", "components", "chart", "patterns"), [*CASES, *MANY])
def test_it_is_symmetric_and_the_oracles(family, components, chart, patterns):
    module, coords, x = point_of(family, components, chart, patterns)
    w = np.random.default_rng(1).uniform(0.1, 1, x.size)
    at = oracle_of(derived(family, components, chart, **patterns).chart).at(coords.tolist())
    assert misses(module.hessian(x, coords, w), at, x.tolist(), w.tolist()) <= 16


def differences(function, coords, step=1e-5):
    """The Jacobian of a function of the coordinates by central differences of fourth order."""
    columns = []
    for j in range(len(coords)):
        e = np.zeros(len(coords))
        e[j] = step * max(1.0, abs(coords[j]))
        near = function(coords + e) - function(coords - e)
        far = function(coords + 2 * e) - function(coords - 2 * e)
        columns.append((8 * near - far) / (12 * e[j]))
    return np.array(columns)


@pytest.mark.parametrize(("family", "components", "chart", "patterns"), [*CASES, *MANY])
def test_it_is_the_derivative_of_the_score(family, components, chart, patterns):
    module, coords, x = point_of(family, components, chart, patterns, seed=2, size=200)
    expected = differences(lambda c: module.score(x, c), coords)
    np.testing.assert_allclose(module.hessian(x, coords), expected, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize(("family", "components", "chart", "patterns"), [*CASES, *MANY])
def test_the_models_own_mean_hessian_is_minus_its_fisher_information(
    family, components, chart, patterns
):
    """E_p[∂² log p] = −E_p[∂ log p ∂ log pᵀ] in any chart: its curvature meets E_p[s] = 0."""
    module, coords, _ = point_of(family, components, chart, patterns)
    found = module.averaged_hessian(coords, module.components(coords))
    information = module.fisher(coords)
    size = np.abs(information).max()
    np.testing.assert_allclose(found, -information, rtol=1e-9, atol=1e-12 * size)


@pytest.mark.parametrize("chart", ["relative", "square", "log"])
def test_a_population_hessian_is_the_derivative_of_the_averaged_field(chart):
    module, coords, _ = point_of("normal", 3, chart, {})
    truth = [0.3, 0.7], [-0.5, 2.0], [0.8, 1.4]
    found = module.averaged_hessian(coords, truth)
    expected = differences(lambda c: module.averaged_field(c, truth), coords)
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-7)
    nodes = module._solver().nodes(truth, coords)
    np.testing.assert_allclose(
        module.averaged_hessian(coords, nodes), found, rtol=1e-12, atol=1e-13
    )
    np.testing.assert_allclose(
        module.hessian(*_swapped(nodes, coords)), found, rtol=1e-12, atol=1e-13
    )


def _swapped(nodes, coords):
    return nodes.nodes, coords, nodes.weights


# --------------------------------------------------------------------------- charts


@pytest.mark.parametrize(("chart", "patterns"), [("square", {}), ("log", {}), ("relative", {})])
def test_at_a_stationary_point_it_is_the_models_pulled_back(chart, patterns):
    """H_λ = Jᵀ H_θ J where the score vanishes; elsewhere what is missing is the curvature term."""
    rng = np.random.default_rng(4)
    x = np.concatenate([rng.normal(-3, 0.7, 150), rng.normal(0, 1, 200), rng.normal(4, 1.2, 250)])
    plain, bent = compiled("normal", 3, **patterns), compiled("normal", 3, chart, **patterns)
    start = theta(plain, ([0.3, 0.3, 0.4], [-3, 0, 4], [1, 1, 1]))
    best = plain.fit(x, start, tol=1e-15, max_iter=3000).coords
    for _ in range(3):  # EM ends slowly, Newton at once
        best = best - np.linalg.solve(plain.hessian(x, best), plain.score(x, best))
    coords = bent.from_model(best)
    assert np.abs(plain.score(x, best)).max() < 1e-12
    j = bent.jacobian(coords)
    np.testing.assert_allclose(
        bent.hessian(x, coords), j.T @ plain.hessian(x, best) @ j, rtol=1e-10, atol=1e-11
    )
    coords = bent.from_model(start)
    j = bent.jacobian(coords)
    missing = bent.hessian(x, coords) - j.T @ plain.hessian(x, start) @ j
    slope = plain.score(x, start)
    expected = np.zeros_like(missing)
    if chart == "square":  # μ_k has Δ_1² … Δ_{k−1}² in it, θ = (π_1, π_2, μ …, σ …)
        for gap in (1, 2):
            expected[2 + gap, 2 + gap] = 2 * slope[2 + gap : 5].sum()
    elif chart == "log":  # σ_k = exp(…) is its own second derivative
        expected[[5, 6, 7], [5, 6, 7]] = slope[5:] * start[5:]
    np.testing.assert_allclose(missing, expected, rtol=1e-9, atol=1e-11)
    assert (chart == "relative") is not expected.any()


MADE = {
    "softmax": ({}, lambda m: rs.relative(m, "mu", gap="softplus") @ rs.softmax(m)),
    "stick": ({"scales": "tied"}, lambda m: rs.relative(m, "mu") @ rs.stick_breaking(m)),
    "constant": ({}, lambda m: rs.relative(m, "mu", gap="square", clearance="lam")),
    "last weight given": ({"weights": [None, None, "1/4"]}, lambda m: rs.relative(m, "mu")),
    "one weight given": ({"weights": [None, "1/4", None]}, rs.identity),
    "given and softmax": ({"weights": [None, "1/4", None], "scales": 1}, rs.softmax),
}


@pytest.mark.parametrize("name", MADE)
def test_charts_of_the_weights_and_constants(name):
    """Over a batch whose heaviest component changes, and with fixed weights: ∂s, and −I at home."""
    patterns, made = MADE[name]
    chart = made(rs.mixture("normal", components=3, **patterns))
    module = rs.derive(chart.model, chart, name="made").compile()
    given = {"lam": 0.2} if module.CONSTANTS else {}
    rng = np.random.default_rng(6)
    batch = rng.uniform(0.2, 0.4, (4, len(module.COORDINATES)))
    if name == "softmax":
        batch[:, :2] = [[2.0, 0.0], [0.0, 2.0], [-2.0, -2.0], [0.1, 0.2]]
    x = rng.normal(0.5, 1.5, 40)
    found = module.hessian(x, batch, **given)
    for coords, one in zip(batch, found, strict=True):
        expected = differences(lambda c: module.score(x, c, **given), coords, 1e-4)
        np.testing.assert_allclose(one, expected, rtol=1e-7, atol=1e-7)
        home = module.averaged_hessian(coords, module.components(coords, **given), **given)
        information = module.fisher(coords, **given)
        np.testing.assert_allclose(
            home, -information, rtol=1e-8, atol=1e-11 * np.abs(information).max()
        )


# --------------------------------------------------------------------------- arrays


def test_it_broadcasts_over_leading_axes():
    module, coords, x = point_of("normal", 3, "square", {})
    grid = coords * np.linspace(0.9, 1.1, 6).reshape(2, 3, 1)
    found = module.hessian(x, grid)
    assert found.shape == (2, 3, 8, 8)
    for index in np.ndindex(2, 3):
        np.testing.assert_allclose(
            found[index], module.hessian(x, grid[index]), rtol=1e-12, atol=1e-14
        )
    truth = [0.3, 0.7], [-0.5, 2.0], [0.8, 1.4]
    many = module.averaged_hessian(grid, truth)
    np.testing.assert_allclose(
        many[1, 2], module.averaged_hessian(grid[1, 2], truth), rtol=1e-11, atol=1e-13
    )


def test_weights_count_points():
    module, coords, x = point_of("poisson", 3, "relative", {})
    counts = np.random.default_rng(0).integers(0, 4, x.size)
    np.testing.assert_allclose(
        module.hessian(x, coords, counts), module.hessian(np.repeat(x, counts), coords), rtol=1e-13,
        atol=1e-15,
    )  # fmt: skip
    np.testing.assert_allclose(
        module.hessian(x, coords, np.full(x.size, 7.0)), module.hessian(x, coords), rtol=1e-13,
        atol=1e-15,
    )  # fmt: skip


def test_a_long_sample_is_the_mean_of_its_parts():
    """Blocks and threads change nothing but the order of summation."""
    module, coords, _ = point_of("normal", 3, "relative", {})
    x = np.random.default_rng(7).normal(0, 3, 90_000)
    parts = [module.hessian(part, coords) for part in np.split(x, 9)]
    np.testing.assert_allclose(module.hessian(x, coords), np.mean(parts, axis=0), rtol=1e-11)


def test_one_component_by_hand():
    x, (mu, sigma) = np.array([-1.0, 0.5, 4.0]), (0.3, 1.7)
    z = (x - mu) / sigma
    plain = compiled("normal", 1).hessian(x, [mu, sigma])
    cross = -2 * z.mean() / sigma**2
    np.testing.assert_allclose(
        plain, [[-1 / sigma**2, cross], [cross, (1 - 3 * (z**2).mean()) / sigma**2]], rtol=1e-14
    )
    logged = compiled("normal", 1, "log").hessian(x, [mu, np.log(sigma)])
    np.testing.assert_allclose(
        logged, [[-1 / sigma**2, cross * sigma], [cross * sigma, -2 * (z**2).mean()]], rtol=1e-14
    )
    rate = compiled("poisson", 1).hessian([0.0, 3.0, 4.0], [2.0])
    np.testing.assert_allclose(rate, [[-(7 / 3) / 4]], rtol=1e-15)


# --------------------------------------------------------------------------- where it is hard


@pytest.mark.parametrize("gap", [1e-3, 1e-7, 1e-12, 0.0])
@pytest.mark.parametrize("patterns", [{"scales": 1}, {"scales": "tied"}])
def test_entries_that_vanish_as_two_components_merge_keep_their_digits(gap, patterns):
    """∂²/∂π∂μ and ∂²/∂π∂π vanish with the gap; outliers at forty scales do not spoil the others."""
    d = derived("normal", 2, "relative", **patterns)
    module = compiled("normal", 2, "relative", **patterns)
    coords = [0.4, -1.0, gap, 0.9][: len(module.COORDINATES)]
    x = np.array([-2.0, -1.3, 0.1, 3.0, 39.0])
    found = module.hessian(x, coords)
    assert misses(found, oracle_of(d.chart).at(coords), x.tolist()) <= 32
    assert bool(found[0, 1] == 0) is (gap == 0)


def test_the_last_two_of_three_merge():
    d = derived("normal", 3, "relative", scales=1)
    module = compiled("normal", 3, "relative", scales=1)
    coords = [0.3, 0.4, -2.0, 3.0, 1e-8]
    x = np.array([-2.0, -1.3, 0.1, 0.9, 3.0])
    assert misses(module.hessian(x, coords), oracle_of(d.chart).at(coords), x.tolist()) <= 32


@pytest.mark.parametrize("where", [0, 1, 2])
def test_a_weight_of_1e_12(where):
    d = derived("normal", 3, "relative")
    module = compiled("normal", 3, "relative")
    weights = np.insert([0.4, 0.6 - 1e-12], where, 1e-12)
    coords = module.from_model(theta(module, (weights, [-1.0, 0.5, 2.0], [0.7, 1.0, 1.3])))
    x = np.array([-2.0, -1.3, 0.1, 0.9, 3.0, 12.0])
    at = oracle_of(d.chart).at(coords.tolist())
    assert misses(module.hessian(x, coords), at, x.tolist()) <= 32


def test_a_component_without_weight():
    """At π_1 = 0 the density is the second's; only derivatives by π_1 see the first."""
    module = compiled("normal", 2, scales=1)
    x = np.array([-1.0, 0.5, 2.0])
    found = module.hessian(x, [0.0, -0.5, 0.8])
    ratio_ = np.exp(-0.5 * (x + 0.5) ** 2 + 0.5 * (x - 0.8) ** 2)
    np.testing.assert_allclose(found[0, 0], -np.mean((ratio_ - 1) ** 2), rtol=1e-13)
    np.testing.assert_allclose(found[0, 1], np.mean(ratio_ * (x + 0.5)), rtol=1e-13)
    np.testing.assert_allclose(found[0, 2], -np.mean(ratio_ * (x - 0.8)), rtol=1e-13)
    np.testing.assert_allclose(found[1:, 1:], [[0.0, 0.0], [0.0, -1.0]], rtol=1e-14)


def test_what_overflows_is_refused():
    module = compiled("normal", 2)
    with np.errstate(all="raise"), pytest.raises(DomainError, match="overflows"):
        module.hessian([1e200], [0.5, -1.0, 1.0, 1.0, 1.0])


def test_a_family_without_second_derivatives_says_so():
    solver = compiled("normal", 2)._solver()
    lame = Solver(
        solver.chart._replace(why={"hessian": "no second derivatives; given: z"}),
        solver.form._replace(second=None),
    )
    for call in (
        lambda: lame.hessian([1.0], [0.5, -1.0, 1.0, 1.0, 1.0]),
        lambda: lame.averaged_hessian([0.5, -1.0, 1.0, 1.0, 1.0], Nodes(np.ones(1), np.ones(1))),
    ):
        with pytest.raises(DerivationError, match="no second derivatives; given: z"):
            call()


def test_newtons_method_converges_quadratically():
    """λ − H⁻¹ s from near a maximum: what Hessians are for."""
    rng = np.random.default_rng(5)
    x = np.concatenate([rng.normal(-2, 1, 300), rng.normal(2, 1, 500)])
    model = rs.mixture("normal", components=2, scales=1)
    module = rs.derive(model, rs.relative(model, "mu", gap="square")).compile()
    coords = np.array([0.4, -1.9, 1.9])
    steps = []
    for _ in range(6):
        step = np.linalg.solve(module.hessian(x, coords), module.score(x, coords))
        coords = coords - step
        steps.append(np.abs(step).max())
    assert steps[-1] < 1e-14
    assert steps[3] < 10 * steps[2] ** 2 + 1e-14
