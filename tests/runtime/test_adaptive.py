"""Nested rules see narrow components, heavy tails and kinks, and say what they are good to."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

import relrep_sym as rs
from relrep_sym.runtime.expectation import Truth, weighted_nodes
from relrep_sym.runtime.places import places
from relrep_sym.runtime.search import searched


def rules(name: str, coords: list[float], truth: object) -> tuple[np.ndarray, np.ndarray]:
    solver = rs.derive(rs.mixture(name, components=3)).compile()._solver()
    _, point = solver.point(coords)
    found = list(weighted_nodes(point, Truth.of(truth, solver.form)))
    nodes = np.concatenate([n.ravel() for _, n, _ in found])
    return nodes, np.concatenate([w.ravel() for _, _, w in found])


LAPLACE = [0.2, 0.3, -1.0, 0.5, 4.0, 1.0, 0.7, 2.0]


@pytest.mark.parametrize("width", [1.0, 1e-3, 1e-6])
@pytest.mark.parametrize("place", [0.0, 3.0, -1e4])
def test_a_narrow_component_of_the_truth_is_seen(place: float, width: float) -> None:
    x, w = rules("laplace", LAPLACE, ([0.25, 0.75], [place, 1.0], [width, 2.0]))
    room = 1e-14 + 1e-15 * abs(place) / width
    assert abs(w.sum() - 1) <= room
    want = 0.25 * (place**2 + 2 * width**2) + 0.75 * (1 + 2 * 4.0)
    assert abs(w @ x**2 - want) <= 4 * room * want


def test_a_kink_of_the_model_costs_nothing() -> None:
    """E|X − m| for X Laplace with centre c: |c − m| + b e^{−|c − m|/b}."""
    x, w = rules("laplace", LAPLACE, ([1.0], [0.25], [1.5]))
    for m in LAPLACE[2:5]:
        far = abs(0.25 - m)
        want = far + 1.5 * np.exp(-far / 1.5)
        assert abs(w @ np.abs(x - m) - want) <= 1e-14 * want


@pytest.mark.parametrize("rates", [[1.0, 1.0], [1e-4, 1.0], [1.0, 1e6]])
def test_half_lines_of_any_scale(rates: list[float]) -> None:
    x, w = rules("exponential", [0.2, 0.3, 0.5, 2.0, 30.0], ([0.5, 0.5], rates))
    for power in (0, 1, 2, 4):
        want = 0.5 * sum(float(mpmath.factorial(power)) / r**power for r in rates)
        assert abs(w @ x**power - want) <= 2e-14 * want


@pytest.mark.parametrize("support", ["line", "half-line", ("interval", -2.0, 5.0)])
@pytest.mark.parametrize("narrow", [1.0, 1e-5])
def test_centres_are_found_from_log_densities_alone(support: object, narrow: float) -> None:
    centres = np.array([[0.3, 1.0], [2.0, 4.0]])  # two components, a batch of two

    def log_density(x: np.ndarray) -> np.ndarray:
        return -0.5 * ((x - centres[..., None]) / (0.1 * narrow)) ** 2

    centre, width = places(log_density, (2, 2), support)  # type: ignore[arg-type]
    assert (np.abs(centre - centres) <= 0.2 * narrow).all()
    assert ((width >= 0.05 * narrow) & (width <= 0.5 * narrow)).all()


def test_the_estimate_is_reported_with_the_rule() -> None:
    solver = rs.derive(rs.mixture("laplace", components=3)).compile()._solver()
    _, point = solver.point([LAPLACE, [v * 1.1 for v in LAPLACE]])
    found = list(searched(point, point))
    assert sorted(m for rule in found for m in rule.members) == [0, 1]
    assert all(0 <= rule.bound <= 1e-13 and rule.method == "nested" for rule in found)
