"""Samples that touch an end of the support: what is finite there is right, the rest says why."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

import relrep_sym as rs
from relrep_sym.declare.family import family_named
from relrep_sym.equations.ends import end_exponents
from relrep_sym.errors import DomainError
from tests.textbook import FAMILIES, kernel

EXPONENTS = {
    "gamma": ("shape - 1",), "weibull": ("k - 1",), "chi_square": ("n/2 - 1",),
    "nakagami": ("2*h - 1",), "log_logistic": ("b - 1",), "burr": ("c - 1",),
    "beta": ("a - 1", "b - 1"), "kumaraswamy": ("a - 1", "b - 1"), "power": ("a - 1", "0"),
    "rayleigh": ("1",), "maxwell": ("2",), "erlang2": ("1",), "lognormal": ("oo",),
    "inverse_gamma": ("oo",), "inverse_gaussian": ("oo",), "frechet": ("oo",), "levy": ("oo",),
    "exponential": (), "half_normal": (), "half_cauchy": (), "lomax": (), "gompertz": (),
    "normal": (), "poisson": (), "von_mises_2": (),
}  # fmt: skip


@pytest.mark.parametrize("name", EXPONENTS)
def test_the_power_that_a_density_goes_like_at_an_end(name: str) -> None:
    family = FAMILIES[name].family(name)
    found = end_exponents(family_named(family) if isinstance(family, str) else family)
    wanted = [sp.sympify(e, {"shape": sp.Symbol("shape")}) for e in EXPONENTS[name]]
    assert len(found) == len(wanted)
    for e, w in zip(found, wanted, strict=True):
        by_name = {s: sp.Symbol(s.name) for s in e.free_symbols}
        assert e.xreplace(by_name) == w or sp.expand(e.xreplace(by_name) - w) == 0


AT_ENDS = [
    # family, coordinates, x, the components' densities there
    ("gamma", [0.4, 1.0, 3.0, 2.0, 0.5], 0.0, (0.5, 0.0)),
    ("gamma", [0.4, 1.0, 1.0, 2.0, 0.5], 0.0, (0.5, 2.0)),
    ("gamma", [0.4, 1.0, 1.0 + 1e-9, 2.0, 0.5], 0.0, (0.5, 0.0)),
    ("weibull", [0.4, 1.0, 3.0, 2.0, 2.5], 0.0, (0.5, 0.0)),
    ("chi_square", [0.4, 2.0, 5.0], 0.0, (0.5, 0.0)),
    ("nakagami", [0.4, 0.5, 2.0, 1.0, 2.0], 0.0, ((2 / np.pi) ** 0.5, 0.0)),
    ("log_logistic", [0.4, 4.0, 2.0, 1.0, 2.0], 0.0, (0.25, 0.0)),
    ("beta", [0.4, 2.0, 3.0, 1.0, 1.5], 1.0, (2.0, 0.0)),
    ("beta", [0.4, 1.0, 3.0, 2.0, 1.5], 0.0, (2.0, 0.0)),
    ("kumaraswamy", [0.4, 2.0, 3.0, 1.0, 2.5], 1.0, (2.0, 0.0)),
    ("power", [0.4, 2.0, 3.0], 1.0, (2.0, 3.0)),
    ("half_normal", [0.4, 1.0, 2.0], 0.0, ((2 / np.pi) ** 0.5, (2 / np.pi) ** 0.5 / 2)),
]


@pytest.mark.parametrize(("name", "at", "x", "densities"), AT_ENDS)
def test_densities_at_an_end(
    name: str, at: list[float], x: float, densities: tuple[float, float]
) -> None:
    k, masses = kernel(name, 2), np.array([0.4, 0.6]) * densities
    inner = 0.5
    both = k.log_density([inner, x, inner], at)
    assert both[1] == pytest.approx(np.log(masses.sum()), rel=1e-12, abs=1e-12)
    assert both[0] == pytest.approx(float(k.log_density(inner, at)), rel=1e-14)
    shares = k.responsibilities([x, inner], at)[0]
    np.testing.assert_allclose(shares, masses / masses.sum(), rtol=1e-12)


def test_shapes_of_one_are_fitted_to_data_with_zeros() -> None:
    k = rs.derive(rs.mixture("gamma", components=2, shapes=[1, None])).compile()
    rng = np.random.default_rng(0)
    x = np.concatenate([np.zeros(5), rng.exponential(1.0, 40), rng.gamma(8.0, 0.7, 60)])
    start = [0.4, 6.0, 1.0, 0.5]
    fit = k.fit(x, start=start)
    near = k.fit(np.where(x == 0, 1e-200, x), start=start)
    assert fit.converged
    np.testing.assert_allclose(fit.coords, near.coords, rtol=1e-8)
    for f in (k.score, k.em_step, k.ecm_step, k.hessian):
        np.testing.assert_allclose(
            f(x, start), f(np.where(x == 0, 1e-200, x), start), rtol=1e-9, atol=1e-11
        )
    assert np.isfinite(k.standard_errors(x, fit.coords)).all()
    batch = k.score(x, [start, [0.5, 7.0, 2.0, 0.3]])
    np.testing.assert_allclose(batch[0], k.score(x, start), rtol=1e-12)


STEPS = ["score", "score_samples", "hessian", "em_step", "ecm_step", "gradient_em_step", "fit"]


@pytest.mark.parametrize("step", STEPS)
def test_a_derivative_that_is_infinite_names_the_point_and_the_coordinate(step: str) -> None:
    for name, at, x, densities in AT_ENDS:
        if name == "half_normal" or densities[1] or name == "power":
            continue
        k = kernel(name, 2)
        with pytest.raises(DomainError, match=rf"derivative by \w+_1 is infinite at x = {x:g}"):
            getattr(k, step)([x, 0.5, 0.7], at)


@pytest.mark.parametrize(
    ("name", "at", "x", "what"),
    [
        ("gamma", [0.4, 0.5, 3.0, 2.0, 0.5], 0.0, "infinite at x = 0"),
        ("gamma", [0.4, 1.5, 3.0, 2.0, 0.5], 0.0, "zero at x = 0"),
        ("weibull", [0.4, 0.5, 3.0, 2.0, 0.5], 0.0, "infinite at x = 0"),
        ("beta", [0.4, 2.0, 3.0, 0.5, 2.5], 1.0, "infinite at x = 1"),
        ("beta", [0.4, 2.0, 3.0, 1.5, 2.5], 1.0, "zero at x = 1"),
        ("chi_square", [0.4, 1.0, 5.0], 0.0, "infinite at x = 0"),
        ("lognormal", [0.4, 0.0, 1.0, 1.0, 1.0], 0.0, "zero at x = 0"),
        ("inverse_gamma", [0.4, 2.0, 3.0, 1.0, 1.0], 0.0, "zero at x = 0"),
        ("rayleigh", [0.4, 1.0, 2.0], 0.0, "zero at x = 0"),
        ("levy", [0.4, 1.0, 2.0], 0.0, "zero at x = 0"),
    ],
)
def test_a_density_that_is_zero_or_infinite_names_the_point(
    name: str, at: list[float], x: float, what: str
) -> None:
    for f in ("log_density", "score", "em_step", "fit", "log_likelihood"):
        with pytest.raises(DomainError, match=what):
            getattr(kernel(name, 2), f)([0.3, x, 0.7], at)
