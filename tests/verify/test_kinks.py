"""Derivatives where x lies on a kink of the density: sign(0) = 0, in kernels and in the oracle."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

import relrep_sym as rs
from relrep_sym.errors import CertificateError
from relrep_sym.oracle_input import oracle_of
from relrep_sym.step_cases import ends_of
from relrep_sym.verify.constrained import optimum
from relrep_sym.verify.points import points

M_S = {"m": "real", "s": "positive"}
FAMILIES = {
    "laplace": lambda: "laplace",
    "own laplace": lambda: rs.family("-abs(x - m)/s - log(2*s)", M_S, name="own_laplace"),
    "asymmetric": lambda: rs.family(
        "-abs(x - m)/s - (x - m)/(2*s) + log(3/8) - log(s)", M_S, name="asymmetric"
    ),
    "halves of a power": lambda: rs.family(
        "-abs((x - m)/s)**(3/2) - log(2*s) - loggamma(5/3)", M_S, name="halves"
    ),
    "at half the parameter": lambda: rs.family(
        "-abs(x - m/2) - log(2)", {"m": "real"}, name="halved"
    ),
}


def places(name: str, count: int) -> tuple[np.ndarray, list[float]]:
    """Points, of which one lies on the kink of each component, and coordinates."""
    at = [-1.0, 0.5, 2.0][:count]
    weights = [0.25, 0.25][: count - 1]
    scales = [] if name == "at half the parameter" else [1.0, 0.5, 2.0][:count]
    kinks = np.array(at) / 2 if name == "at half the parameter" else np.array(at)
    return np.concatenate([kinks, kinks + 0.3]), [*weights, *at, *scales]


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("name", FAMILIES)
def test_kernel_and_oracle_take_the_mean_of_both_sides(name: str, count: int) -> None:
    derivation = rs.derive(rs.mixture(FAMILIES[name](), components=count))
    kernel, (x, coords) = derivation.compile(), places(name, count)
    oracle = oracle_of(derivation.chart).at(coords)
    rows = kernel.score_samples(x, coords)
    for n, point in enumerate(x):
        sides = [oracle.score([mpmath.mpf(point) + s * mpmath.mpf(10) ** -30]) for s in (1, -1)]
        for j, right in enumerate(oracle.score([point])):
            mean = float(sum(side[j].value for side in sides) / 2)
            assert float(right.value) == pytest.approx(mean, rel=1e-13, abs=1e-13)
            assert rows[n, j] == pytest.approx(mean, rel=1e-12, abs=1e-12)
    mean = [float(v.value) for v in oracle.score(x)]
    np.testing.assert_allclose(kernel.score(x, coords), mean, rtol=1e-12, atol=1e-13)
    stepped = kernel.gradient_em_step(x, coords, rate=1e-3)
    np.testing.assert_allclose(stepped, np.array(coords) + 1e-3 * np.array(mean), atol=1e-14)


def test_no_second_derivative_is_judged_on_a_kink() -> None:
    derivation = rs.derive(rs.mixture("laplace", components=2))
    x, coords = places("laplace", 2)
    with pytest.raises(CertificateError, match="no second derivative on a kink"):
        oracle_of(derivation.chart).at(coords).hessian(x)
    assert np.isfinite(derivation.compile().hessian(x, coords)).all()


@pytest.mark.parametrize("count", [2, 3, 5])
def test_no_point_of_a_certificate_lies_on_a_kink_of_any_component(count: int) -> None:
    for point in points(count, ("location", "scale"), kinked=True):
        at = np.array([phi[0] for phi in point.parameters])
        distance = np.abs(np.array(point.sample)[:, None] - at).min()
        assert distance >= 1e-9, point.name


def test_the_side_is_stated() -> None:
    derivation = rs.derive(rs.mixture("laplace", components=2))
    for said in (derivation.latex(), derivation.latex("score"), derivation.latex("averaged")):
        words = " ".join(said.replace("%", " ").split())
        assert r"kink of the density $\operatorname{sign}(0) = 0$" in words
    assert "sign(0) = 0" in derivation.source()
    assert "kink" not in rs.derive(rs.mixture("normal", components=2)).latex()


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("chart", ["identity", "relative"])
def test_a_laplace_mixture_is_certified(chart: str, count: int) -> None:
    model = rs.mixture("laplace", components=count)
    if chart == "relative" and count == 1:
        return
    made = rs.relative(model, "mu") if chart == "relative" else rs.identity(model)
    found = rs.derive(model, made, name=f"laplace_{chart}").verify()
    assert found.ok, str(found)


@pytest.mark.parametrize("patterns", [{}, {"scales": "tied"}, {"scales": [1, "1/2", 2]}])
def test_the_oracle_ends_on_weighted_medians(patterns: dict[str, object]) -> None:
    """Of the joint step and of conditional ones: the point that half of the mass is on no side."""
    chart = rs.identity(rs.mixture("laplace", components=3, **patterns))
    x, w = [-3.0, -1.5, -1.0, 0.25, 0.5, 1.5, 2.0, 4.5], [1.0, 2.0, 1.5, 1.0, 3.0, 1.25, 1.0, 0.5]
    start = {"pi_1": 0.25, "pi_2": 0.375, "mu_1": -2.0, "mu_2": 0.0, "mu_3": 1.0}
    here = oracle_of(chart).at([start.get(n, 1.0) for n in chart.names])
    for blocks in (None, [[n] for n in chart.names]):
        objective = here.em_objective(x, w)
        found = optimum(objective, ends_of(chart), blocks=blocks, tries=0)
        for k, mass in enumerate(objective.mass):
            below, half = 0, mpmath.fsum(mass) / 2
            n = next(n for n in range(len(x)) if (below := below + mass[n]) >= half)
            assert found.coords[chart.names.index(f"mu_{k + 1}")].value == x[n]
