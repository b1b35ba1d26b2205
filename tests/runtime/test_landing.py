"""Conditional steps over one location of a family with a kink end on a point of the sample."""

from __future__ import annotations

import numpy as np
import pytest

import relrep_sym as rs

PATTERNS = {
    "free": {},
    "tied scales": {"scales": "tied"},
    "one scale known, equal weights": {"weights": "tied", "scales": ["4/5", None, None]},
    "different scales, one location": {"means": "tied", "scales": [1, "1/2", 2]},
}
START = {
    "pi_1": 0.3, "pi_2": 0.45, "mu": 0.1, "mu_1": -1.5, "mu_2": 0.4, "mu_3": 2.5,
    "Delta_1": 1.9, "Delta_2": 2.1, "b": 1.0, "b_1": 0.8, "b_2": 1.3, "b_3": 0.6,
}  # fmt: skip


def drawn(size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.laplace(rng.choice([-1.5, 0.4, 2.5], size), 1.0), rng.uniform(0.5, 2.0, size)


def crossing(points: np.ndarray, shares: np.ndarray) -> float:
    """The point before which, and after which, there is less than half of the mass."""
    order = np.argsort(points)
    below = np.cumsum(shares[order])
    return float(points[order][np.searchsorted(below, 0.5 * below[-1])])


@pytest.mark.parametrize("size", [7, 200, 3001])
@pytest.mark.parametrize("relative", [False, True], ids=["identity", "relative"])
@pytest.mark.parametrize("name", PATTERNS)
def test_one_coordinate_moves_to_a_weighted_median(name: str, relative: bool, size: int) -> None:
    """Each coordinate alone: a median of x less the places that it moves, shares r_k/b_k."""
    model = rs.mixture("laplace", components=3, **PATTERNS[name])
    if relative and name == "different scales, one location":
        return
    chart = rs.relative(model, "mu") if relative else rs.identity(model)
    kernel = rs.derive(model, chart, name="landing").compile()
    at = np.array([START[n] for n in chart.names])
    x, w = drawn(size, 3)
    shares = w[:, None] * kernel.responsibilities(x, at)
    _, places, scales = (np.array(p) for p in kernel.components(at))
    for j, coordinate in enumerate(chart.names):
        if not coordinate.startswith(("mu", "Delta")):
            continue
        moved = at.copy()
        moved[j] += 1.0
        along = np.array(kernel.components(moved)[1]) - places > 0.5
        offsets = x[:, None] - (places - at[j])
        want = crossing(offsets[:, along].ravel(), (shares / scales)[:, along].ravel())
        if coordinate.startswith("Delta"):
            want = max(want, 0.0)
        found = kernel.ecm_step(x, at, weights=w, order=[coordinate])
        assert found[j] == pytest.approx(want, rel=1e-13, abs=1e-13)
        assert np.delete(found, j).tolist() == np.delete(at, j).tolist()


def test_a_batch_moves_each_member_to_its_own() -> None:
    kernel = rs.derive(rs.mixture("laplace", components=3, scales="tied"), name="many").compile()
    at = np.array([START[n] for n in ("pi_1", "pi_2", "mu_1", "mu_2", "mu_3", "b")])
    many = at + 0.1 * np.arange(4)[:, None] * np.array([0.0, 0.0, 1.0, -1.0, 1.0, 1.0])
    x, w = drawn(60, 5)
    found = kernel.ecm_step(x, many, weights=w)
    alone = [kernel.ecm_step(x, row, weights=w) for row in many]
    np.testing.assert_allclose(found, alone, rtol=1e-12)


def test_a_level_interval_is_left_in_its_middle() -> None:
    kernel = rs.derive(rs.mixture("laplace", components=1), name="level").compile()
    found = kernel.ecm_step(np.array([0.0, 1.0, 2.0, 5.0]), np.array([0.3, 1.0]), order=["mu_1"])
    assert found[0] == pytest.approx(1.5, rel=1e-13)


def test_slopes_of_different_size_on_both_sides_end_on_a_quantile() -> None:
    """|z| + z/2 falls three times as steeply above: a quarter of the mass lies above."""
    family = rs.family(
        "-abs(x - m)/s - (x - m)/(2*s) + log(3/8) - log(s)",
        {"m": "real", "s": "positive"}, name="asymmetric",
    )  # fmt: skip
    kernel = rs.derive(rs.mixture(family, components=1), name="quantile").compile()
    x = np.linspace(0.0, 1.0, 102)
    found = kernel.ecm_step(x, np.array([0.2, 1.0]), order=["m_1"])
    assert found[0] == pytest.approx(np.quantile(x, 0.75, method="inverted_cdf"), abs=0.011)
    assert np.abs(found[0] - x).min() < 1e-14


def test_a_joint_step_ends_on_a_kink_where_no_formula_gives_it() -> None:
    """One location of three scales: the median's shares r_k/b_k are those at the new scales."""
    kernel = rs.derive(rs.mixture("laplace", components=3, means="tied"), name="one").compile()
    at = np.array([0.3, 0.45, 0.1, 0.8, 1.3, 0.6])
    x, w = drawn(200, 7)
    shares = w[:, None] * kernel.responsibilities(x, at)
    found = kernel.em_step(x, at, weights=w)
    assert found[2] in x
    away = shares * np.abs(x - found[2])[:, None]
    np.testing.assert_allclose(found[3:], away.sum(axis=0) / shares.sum(axis=0), rtol=1e-12)
    assert found[2] == crossing(x, (shares / found[3:]).sum(axis=1))


@pytest.mark.parametrize("ratio", [1.0, 1e3, 1e6, 1e9])
def test_a_narrow_component_beside_a_wide_one_keeps_its_digits(ratio: float) -> None:
    """What is near a kink in units of the wide one is not so in those of the narrow one."""
    kernel = rs.derive(rs.mixture("laplace", components=2), name="narrow").compile()
    rng = np.random.default_rng(11)
    x = np.concatenate([rng.laplace(-1.25, 1.0 / ratio, 60), rng.laplace(1.25, 1.0, 60)])
    at = np.array([0.5, -1.25, 1.25, 0.8 / ratio, 1.0])
    shares = kernel.responsibilities(x, at)
    found = kernel.ecm_step(x, at)
    for k in (0, 1):
        assert found[1 + k] == crossing(x, shares[:, k])
        want = shares[:, k] @ np.abs(x - found[1 + k]) / shares[:, k].sum()
        assert found[3 + k] == pytest.approx(want, rel=1e-12)
