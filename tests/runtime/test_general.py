"""Families whose log-density does not separate: Hessians, EM steps and fits, against others."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import scipy.stats

import relrep_sym as rs
from relrep_sym.errors import DerivationError
from relrep_sym.oracle_input import oracle_of
from relrep_sym.runtime.em import expected, objective_of
from relrep_sym.runtime.expectation import Nodes
from relrep_sym.verify.yardstick import ratio

LOGISTIC = "-(x - m)/s - 2*log(1 + exp(-(x - m)/s)) - log(s)"
STUDENT = "log(2) - log(4*atan(1)) - log(3)/2 - log(s) - 2*log(1 + ((x - m)/s)**2/3)"
LOG: dict[str, Callable[..., np.ndarray]] = {
    "laplace": scipy.stats.laplace.logpdf,
    "logistic": scipy.stats.logistic.logpdf,
    "student": lambda x, m, s: scipy.stats.t.logpdf(x, 3, m, s),
}


@cache
def family_of(name: str) -> Any:
    if name == "laplace":
        return "laplace"
    text = {"logistic": LOGISTIC, "student": STUDENT}[name]
    return rs.family(text, {"m": "real", "s": "positive"}, name=name)


@cache
def derived(name: str, components: int, chart: str = "identity", patterns: Any = ()) -> Any:
    model = rs.mixture(family_of(name), components=components, **dict(patterns))
    location, scale = (p.name for p in model.family.parameters)
    made = {
        "identity": rs.identity,
        "relative": lambda m: rs.relative(m, location, gap="plain"),
        "square": lambda m: rs.relative(m, location, gap="square"),
        "log": lambda m: rs.log(m, scale),
    }[chart]
    return rs.derive(model, made(model))


@cache
def compiled(name: str, components: int, chart: str = "identity", patterns: Any = ()) -> Any:
    return derived(name, components, chart, patterns).compile()


def cloud(components: int, seed: int = 0, size: int = 90) -> np.ndarray:
    rng = np.random.default_rng(seed)
    parts = [rng.laplace(m, b, size) for m, b in [(-2, 1), (2, 1.5), (7, 0.7)][:components]]
    return np.concatenate(parts)


def start_of(components: int) -> np.ndarray:
    weights, places, scales = [[0.4], [0.3, 0.3]][components - 2], [-1.5, 1.0, 6.0], [0.8, 1.0, 2.0]
    return np.array([*weights, *places[:components], *scales[:components]])


def misses(values: np.ndarray, at: Any, *given: Any) -> float:
    assert (values == values.T).all()
    exact = at.hessian(*given)
    return max(
        float(ratio(float(values[i, j]), m))
        for i, row in enumerate(exact)
        for j, m in enumerate(row)
    )


# --------------------------------------------------------------------------- Hessians


@pytest.mark.parametrize("chart", ["identity", "square", "log"])
@pytest.mark.parametrize("name", LOG)
def test_hessians_are_the_oracles(name: str, chart: str) -> None:
    d, k = derived(name, 3, chart), compiled(name, 3, chart)
    x = np.array([-3.1, -0.4, 0.7, 2.2, 9.0])
    coords, w = k.from_model(start_of(3)), np.array([1.0, 2.0, 0.5, 1.0, 3.0])
    at = oracle_of(d.chart).at(coords.tolist())
    assert misses(k.hessian(x, coords, w), at, x.tolist(), w.tolist()) <= 16


@pytest.mark.parametrize("gap", [1e-3, 1e-9, 0.0])
@pytest.mark.parametrize("name", LOG)
def test_what_vanishes_as_components_merge_keeps_its_digits(name: str, gap: float) -> None:
    """∂²/∂π∂μ vanishes with the gap; a point at forty scales does not spoil the others."""
    d, k = derived(name, 2, "relative"), compiled(name, 2, "relative")
    coords = [0.4, -1.0, gap, 0.9, 0.9]
    x = np.array([-2.0, -1.3, 0.1, 3.0, 39.0])
    found = k.hessian(x, coords)
    assert misses(found, oracle_of(d.chart).at(coords), x.tolist()) <= 16
    if name != "laplace":  # whose slopes are the same on both sides of two near locations
        assert bool(found[0, 1] == 0) is (gap == 0)


@pytest.mark.parametrize("name", ["logistic", "student"])
def test_the_last_two_of_three_merge(name: str) -> None:
    d, k = derived(name, 3, "relative"), compiled(name, 3, "relative")
    coords, x = [0.3, 0.4, -2.0, 3.0, 1e-8, 0.9, 0.9, 0.9], np.array([-2.0, 0.1, 0.9, 3.0])
    assert misses(k.hessian(x, coords), oracle_of(d.chart).at(coords), x.tolist()) <= 16


@pytest.mark.parametrize("chart", ["identity", "square"])
@pytest.mark.parametrize("name", LOG)
def test_the_models_own_mean_hessian_is_minus_its_information(name: str, chart: str) -> None:
    """E_p[∂² log p] = −E_p[s sᵀ], also where what the kinks add is all there is by the location."""
    k = compiled(name, 3, chart)
    coords = k.from_model(start_of(3))
    found, information = k.averaged_hessian(coords, k.components(coords)), k.fisher(coords)
    np.testing.assert_allclose(found, -information, rtol=1e-10, atol=1e-12 * information.max())


def test_a_mean_hessian_is_the_derivative_of_the_field_across_kinks() -> None:
    k, truth = compiled("laplace", 3), ([0.4, 0.6], [0.35, 1.2], [0.8, 0.9])
    at, step = start_of(3), 1e-4
    rows = []
    for e in np.eye(len(at)) * step:
        near = k.averaged_field(at + e, truth) - k.averaged_field(at - e, truth)
        far = k.averaged_field(at + 2 * e, truth) - k.averaged_field(at - 2 * e, truth)
        rows.append((8 * near - far) / (12 * step))
    batch = k.averaged_hessian(np.stack([at, at]), truth)
    np.testing.assert_allclose(batch[1], np.array(rows), atol=1e-9)


def test_nodes_have_no_density_at_a_kink() -> None:
    nodes = Nodes(np.array([-1.0, 0.5]), np.array([0.5, 0.5]))
    with pytest.raises(DerivationError, match="truth's density where log f has a kink"):
        compiled("laplace", 2).averaged_hessian(start_of(2), nodes)
    smooth = compiled("logistic", 2)
    found, want = smooth.averaged_hessian(start_of(2), nodes), smooth.hessian(nodes[0], start_of(2))
    np.testing.assert_allclose(found, want, rtol=1e-13, atol=1e-15)


# --------------------------------------------------------------------------- the EM step


def expected_log(name: str, x: np.ndarray, r: np.ndarray, theta: np.ndarray) -> float:
    """Q, with SciPy's log-densities."""
    k = r.shape[1]
    weights = np.append(theta[: k - 1], 1 - theta[: k - 1].sum())
    if not (weights > 0).all() or not (theta[2 * k - 1 :] > 0).all():
        return -np.inf
    rows = [LOG[name](x, theta[k - 1 + j], theta[2 * k - 1 + j]) for j in range(k)]
    return float(sum(r[:, j] @ (np.log(weights[j]) + rows[j]) for j in range(k)) / len(x))


def highest(name: str, x: np.ndarray, r: np.ndarray) -> float:
    """The largest Q: weights in closed form, each component by SciPy's minimiser."""
    total = float(sum(m * np.log(m) for m in r.mean(axis=0)))
    for share in r.T:

        def loss(p: np.ndarray, share: np.ndarray = share) -> float:
            return -float(share @ LOG[name](x, p[0], np.exp(p[1]))) / len(x)

        guess = np.array([share @ x / share.sum(), 0.0])
        for size in (1.0, 0.1):
            simplex = guess + size * np.array([[0.0, 0.0], [1.0, 0.3], [-0.2, 1.0]])
            options = {"xatol": 1e-7, "fatol": 1e-13, "initial_simplex": simplex}
            best = scipy.optimize.minimize(loss, guess, method="Nelder-Mead", options=options)
            guess = best.x
        total -= best.fun
    return total


@pytest.mark.parametrize("chart", ["identity", "relative", "log"])
@pytest.mark.parametrize("components", [2, 3])
@pytest.mark.parametrize("name", ["logistic", "student"])
def test_the_step_maximises_q(name: str, components: int, chart: str) -> None:
    k, x, theta = compiled(name, components, chart), cloud(components), start_of(components)
    coords = k.from_model(theta)
    r = k.responsibilities(x, coords)
    step = k.em_step(x, coords, full_output=True)
    reached = expected_log(name, x, r, k.to_model(step.coords))
    np.testing.assert_allclose(reached, highest(name, x, r), rtol=1e-12)
    np.testing.assert_allclose(step.gain, reached - expected_log(name, x, r, theta), rtol=1e-11)
    assert step.residual < 1e-13


@pytest.mark.parametrize("name", LOG)
def test_a_gain_keeps_its_digits_wherever_it_is_counted_from(name: str) -> None:
    """Q(b) − Q(a) for b near a: the difference of two values has no more than eight digits."""
    k, x, theta = compiled(name, 2), cloud(2), start_of(2)
    solver = k._solver()
    given, point = solver.point(theta)
    seen = expected(point, x, None)
    q = objective_of(solver.chart, solver.form, given.rows, seen, np.arange(1))
    here = (theta * 1.3)[:, None]
    there = here * (1 + 1e-8)
    slope, curve = q.gradient(here)[:, 0], q.hessian(here)[0]
    step = (there - here)[:, 0]
    want = slope @ step + 0.5 * step @ curve @ step
    np.testing.assert_allclose(q.moved(here).gain(there), want, rtol=1e-12)
    np.testing.assert_allclose(q.gain(there) - q.gain(here), want, rtol=1e-5)


def median(x: np.ndarray, shares: np.ndarray) -> float:
    """The point at which Σ shares |x − m| is least, all points tried."""
    return float(x[np.argmin([shares @ np.abs(x - m) for m in x])])


@pytest.mark.parametrize("chart", ["identity", "relative", "log"])
@pytest.mark.parametrize("components", [2, 3])
def test_laplace_steps_are_weighted_medians_and_mean_deviations(
    components: int, chart: str
) -> None:
    k, x = compiled("laplace", components, chart), cloud(components)
    coords, w = k.from_model(start_of(components)), np.random.default_rng(3).uniform(size=x.size)
    step = k.em_step(x, coords, w, full_output=True)
    r = k.responsibilities(x, coords) * (w / w.sum())[:, None]
    places = [median(x, share) for share in r.T]
    scales = [share @ np.abs(x - m) / share.sum() for share, m in zip(r.T, places, strict=True)]
    want = [*r.sum(axis=0)[:-1], *places, *scales]
    np.testing.assert_allclose(k.to_model(step.coords), want, rtol=1e-13)
    assert step.residual < 1e-13  # zero lies between the slopes on both sides


def test_one_component_has_numpys_median() -> None:
    k, x = rs.derive(rs.mixture("laplace", components=1)).compile(), cloud(2)[:120]
    for part in (x, x[1:]):
        m, b = k.em_step(part, [0.0, 1.0])
        np.testing.assert_allclose([m, b], [np.median(part), np.abs(part - m).mean()], rtol=1e-14)


@pytest.mark.parametrize(
    ("patterns", "scale"),
    [
        ((("scales", "tied"),), lambda r, t: (r * t).sum() / r.sum()),
        ((("scales", 2),), lambda r, t: 2.0),
    ],
)
def test_laplace_with_scales_tied_or_fixed(patterns: Any, scale: Callable[..., float]) -> None:
    k, x = compiled("laplace", 3, "identity", patterns), cloud(3)
    coords = start_of(3)[: len(k.COORDINATES)]
    r = k.responsibilities(x, coords)
    places = np.array([median(x, share) for share in r.T])
    _, found, scales = k.components(k.em_step(x, coords))
    np.testing.assert_allclose(found, places, rtol=1e-14)
    np.testing.assert_allclose(scales, scale(r, np.abs(x[:, None] - places)), rtol=1e-13)


def test_a_median_shared_by_components_of_different_scales() -> None:
    """Σ_k N_k log E_k|x − m| is piecewise concave in m: it is least at a point of the sample."""
    k = compiled("laplace", 3, "identity", (("means", "tied"),))
    rng = np.random.default_rng(1)
    x = rng.laplace(size=150) * rng.choice([0.3, 1.0, 4.0], 150)
    coords = np.array([0.3, 0.3, 0.2, 0.5, 1.0, 3.0])
    r = k.responsibilities(x, coords)
    _, places, scales = k.components(k.em_step(x, coords))

    def loss(m: float) -> float:
        return float(r.mean(axis=0) @ np.log((r * np.abs(x[:, None] - m)).mean(axis=0)))

    best = min(x, key=loss)
    deviations = (r * np.abs(x[:, None] - best)).sum(axis=0) / r.sum(axis=0)
    np.testing.assert_allclose(places, best, rtol=1e-11)
    np.testing.assert_allclose(scales, deviations, rtol=1e-11)


def test_medians_that_would_cross_meet() -> None:
    """With Δ ≥ 0 in the way both components take one median; the multiplier holds them there."""
    k = compiled("laplace", 2, "relative")
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.laplace(0, 0.3, 60), -rng.exponential(4, 60)])
    coords = [0.4, 0.0, 0.1, 0.5, 3.0]
    r = k.responsibilities(x, coords)
    first, second = (median(x, share) for share in r.T)
    assert second < first
    step = k.em_step(x, coords, full_output=True)
    assert step.active == ("Delta_1",)

    def value(m: float) -> float:
        t = (r * np.abs(x[:, None] - m)).sum(axis=0) / r.sum(axis=0)
        return expected_log("laplace", x, r, np.array([r.mean(axis=0)[0], m, m, *t]))

    best = max(x, key=value)
    reached = expected_log("laplace", x, r, k.to_model(step.coords))
    np.testing.assert_allclose(reached, value(best), rtol=1e-12)
    np.testing.assert_allclose(step.coords[1], best, rtol=1e-11)
    assert step.coords[2] == 0.0
    assert step.residual < 1e-12


def test_a_chart_with_fewer_coordinates_than_medians() -> None:
    """μ = (−d, d): Q is largest where d is one of the |x|, a median of both components at once."""
    model = rs.mixture("laplace", components=2, scales=1)
    chart = rs.chart(model, {"pi_1": "v", "mu_1": "-d", "mu_2": "d"}, domains={"v": "unit"})
    k = rs.derive(model, chart).compile()
    x, coords = cloud(2, size=50), [0.5, 1.0]
    r = k.responsibilities(x, coords)
    v, d = k.em_step(x, coords)
    losses = [r[:, 0] @ np.abs(x + c) + r[:, 1] @ np.abs(x - c) for c in np.abs(x)]
    np.testing.assert_allclose([v, d], [r[:, 0].mean(), np.abs(x)[np.argmin(losses)]], rtol=1e-11)


@pytest.mark.parametrize("name", LOG)
def test_a_batch_is_its_members(name: str) -> None:
    k, x = compiled(name, 2), cloud(2)
    batch = start_of(2) * np.random.default_rng(2).uniform(0.8, 1.2, size=(3, 5))
    together = k.em_step(x, batch)
    for row, alone in zip(together, batch, strict=True):
        np.testing.assert_allclose(row, k.em_step(x, alone), rtol=1e-12)


# --------------------------------------------------------------------------- fits


@pytest.mark.parametrize("chart", ["identity", "relative"])
@pytest.mark.parametrize("name", LOG)
def test_fits_climb_to_a_stationary_point(name: str, chart: str) -> None:
    k, x = compiled(name, 2, chart), cloud(2)
    found = k.fit(x, k.from_model(start_of(2)), tol=1e-10)
    assert found.converged
    assert (np.diff(found.history) > -1e-14).all()
    if name == "laplace":  # both locations are points of the sample, where Q has its kinks
        _, places, _ = k.components(found.coords)
        assert np.isin(places, x).all() or chart == "relative"
        moved = [k.log_likelihood(x, found.coords + 1e-5 * e) for e in [*np.eye(5), *-np.eye(5)]]
        assert max(moved) <= found.log_likelihood + 1e-9
    else:
        assert np.abs(k.score(x, found.coords)).max() < 1e-4
        values = np.linalg.eigvalsh(k.hessian(x, found.coords))
        assert values.max() < 0


def test_newtons_method_with_the_hessian_ends_what_em_began() -> None:
    k, x = compiled("student", 3), cloud(3)
    coords = k.fit(x, start_of(3), tol=1e-9).coords
    for _ in range(4):
        coords = coords - np.linalg.solve(k.hessian(x, coords), k.score(x, coords))
    assert np.abs(k.score(x, coords)).max() < 1e-14


@pytest.mark.parametrize("tiny", [1e-6, 1e-12, 1e-15])
@pytest.mark.parametrize("name", ["gamma", "logistic", "laplace"])
def test_a_joint_step_ends_beside_a_tiny_weight(name: str, tiny: float) -> None:
    """The last weight is one less the others, whose sum a climb alone moves by tiny steps."""
    family = "gamma" if name == "gamma" else family_of(name)
    kernel = rs.derive(rs.mixture(family, components=3), name="tiny").compile()
    x = np.random.default_rng(4).gamma(2.0, 1.0, 200)
    at = np.array([0.4 * (1 - tiny), 0.6 * (1 - tiny), 1.5, 2.25, 3.0, 0.75, 0.875, 1.0])
    shares = kernel.responsibilities(x, at).mean(axis=0)
    step = kernel.em_step(x, at, full_output=True)
    np.testing.assert_allclose(step.coords[:2], shares[:2], rtol=1e-12)
    assert step.gain > 0.0
