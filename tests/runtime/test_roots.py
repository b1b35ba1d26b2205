"""The joint step where Q has several maxima along one coordinate: the greatest of all is taken."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import relrep_sym as rs
from relrep_sym.runtime.roots import real_roots

few = settings(max_examples=settings.default.max_examples // 5)
seeds = st.integers(0, 2**32 - 1)


@few
@given(seeds)
def test_real_roots_are_those_of_the_sum_of_fractions(seed: int) -> None:
    """Σ_k a_k/b_k changes its sign on a grid only where there is a root."""
    rng = np.random.default_rng(seed)
    place, spread = rng.normal(0, 3, (4, 1)), rng.uniform(0.1, 1, (4, 1))
    mass = rng.dirichlet(np.ones(4))[:, None]
    above = np.array([mass * place, -mass])
    below = np.array([place**2 + spread, -2 * place, np.ones_like(place)])
    found = real_roots(above, below)[:, 0]
    found = found[np.isfinite(found)]
    grid = np.linspace(-12, 12, 4001)
    values = (mass * (place - grid) / ((grid - place) ** 2 + spread)).sum(axis=0)
    for i in np.flatnonzero(values[:-1] * values[1:] < 0):
        assert np.any((found >= grid[i] - 1e-6) & (found <= grid[i + 1] + 1e-6))
    at = (mass * (place - found) / ((found - place) ** 2 + spread)).sum(axis=0)
    np.testing.assert_allclose(at, 0.0, atol=1e-6)


TIED = rs.derive(rs.mixture("normal", components=3, weights="1/3", means="tied")).compile()


def responsible(x: np.ndarray, coords: np.ndarray) -> np.ndarray:
    return TIED.responsibilities(x, coords)


@few
@given(seeds, st.floats(-6, 6))
def test_a_tied_mean_with_own_scales_is_the_best_of_all(seed: int, start: float) -> None:
    """Q at the step is no less than the profile of Q anywhere on a fine grid of means."""
    rng = np.random.default_rng(seed)
    x = np.concatenate([rng.normal(m, s, 25) for m, s in ((-4, 0.3), (3, 0.5), (0, 2))])
    coords = np.array([start, 0.5, 1.0, 4.0])
    r = responsible(x, coords)
    mass = r.mean(axis=-1) if r.shape[0] == 3 else r.mean(axis=0)
    rows = r if r.shape[0] == 3 else r.T
    if mass.min() < 1e-6:
        return
    found = TIED.em_step(x, coords)

    def q(mean: float, scale: np.ndarray) -> float:
        inner = -np.log(scale)[:, None] - ((x - mean) / scale[:, None]) ** 2 / 2
        return float((rows * inner).mean(axis=1).sum())

    best = q(found[0], found[1:])
    for mean in np.linspace(x.min(), x.max(), 400):
        scale = np.sqrt((rows * (x - mean) ** 2).mean(axis=1) / mass)
        assert q(mean, scale) <= best + 1e-12


RULES = {"rate_1": "r", "rate_2": "2*r + 1", "rate_3": "3*r"}
POISSON = rs.mixture("poisson", components=3, weights="1/3")
EXPONENTIAL = {"rate_1": "exp(a)", "rate_2": "2*exp(a) + 1", "rate_3": "3*exp(a)"}


@pytest.mark.parametrize("rules", [RULES, EXPONENTIAL], ids=["value", "exp"])
@pytest.mark.parametrize("start", [0.2, 1.0, 6.0])
def test_one_coordinate_behind_all_rates(rules: dict[str, str], start: float) -> None:
    """The coordinate is the quadratic's positive root, by hand."""
    domains = {"r": "positive"} if "r" in rules["rate_1"].split() else {}
    k = rs.derive(POISSON, rs.chart(POISSON, rules, domains=domains)).compile()
    x = np.random.default_rng(3).poisson(4.0, 200)
    coords = [start] if domains else [np.log(start)]
    r = k.responsibilities(x, coords)
    rows = r if r.shape[0] == 3 else r.T
    n, t = rows.mean(axis=1), (rows * x).mean(axis=1)
    # n·t/ρ − n along (1, 2, 3): t1/r + 2 t2/(2 r + 1) + t3/r = n1 + 2 n2 + 3 n3
    c = n @ [1, 2, 3]
    roots = np.roots([2 * c, c - 2 * (t[0] + t[1] + t[2]), -(t[0] + t[2])])
    (want,) = roots[roots > 0]
    found = k.em_step(x, coords)
    np.testing.assert_allclose(found[0] if domains else np.exp(found[0]), want, rtol=1e-11)


def test_many_members_at_once_are_each_alone() -> None:
    rng = np.random.default_rng(5)
    x = np.concatenate([rng.normal(-3, 0.4, 40), rng.normal(2, 1.0, 40)])
    many = np.array([[m, 0.5, 1.0, 3.0] for m in (-3.0, -0.5, 0.0, 2.5)])
    together = TIED.em_step(x, many)
    for row, coords in zip(together, many, strict=True):
        np.testing.assert_allclose(row, TIED.em_step(x, coords), rtol=1e-9, atol=1e-12)


def test_standalone_modules_hold_it_too(tmp_path) -> None:  # type: ignore[no-untyped-def]
    d = rs.derive(rs.mixture("normal", components=2, weights="1/2", means="tied"))
    alone = d.compile(standalone=True)
    x = np.array([-1.0, 0.0, 0.5, 3.0, 3.2])
    np.testing.assert_allclose(
        alone.em_step(x, [0.0, 0.5, 2.0]), d.compile().em_step(x, [0.0, 0.5, 2.0]), rtol=1e-12
    )
