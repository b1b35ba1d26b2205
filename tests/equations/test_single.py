"""One component alone: what the rules reduce is what the kernels compute and textbooks print."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

import relrep_sym as rs
from relrep_sym.equations.nodes import Expectation
from relrep_sym.equations.single import almost_everywhere

LOGISTIC = rs.family(
    "-(x - m)/s - 2*log(1 + exp(-(x - m)/s)) - log(s)",
    {"m": "real", "s": "positive"},
    "line",
    name="logistic",
)
RAYLEIGH = rs.family("log(x)-2*log(s)-(x/s)**2/2", {"s": "positive"}, "half-line", name="rayleigh")
HALF = sp.Rational(1, 2)
BOOKS = {  # Fisher information as textbooks have it, at a point
    "normal": ({}, [0.3, 2.0], [[1 / 4, 0], [0, 1 / 2]]),
    "laplace": ({}, [0.3, 2.0], [[1 / 4, 0], [0, 1 / 4]]),
    "exponential": ({}, [2.0], [[1 / 4]]),
    "poisson": ({}, [2.0], [[1 / 2]]),
    "geometric": ({}, [0.25], [[16 / 0.75]]),
    "gamma": ({}, [1.0, 2.0], [[np.pi**2 / 6, 1 / 2], [1 / 2, 1 / 4]]),
    "binomial": ({"trials": 5}, [0.25], [[5 / (0.25 * 0.75)]]),
    "rayleigh": ({}, [2.0], [[1.0]]),
}


def one(name: str) -> rs.Derivation:
    family = {"rayleigh": RAYLEIGH, "logistic": LOGISTIC}.get(name, name)
    return rs.derive(rs.mixture(family, components=1, **BOOKS.get(name, ({},))[0]))


@pytest.mark.parametrize("name", BOOKS)
def test_the_information_of_one_component_is_reduced(name: str) -> None:
    d = one(name)
    _, at, book = BOOKS[name]
    value = d.fisher.value
    assert not value.has(Expectation)
    point = dict(zip((p.symbol for p in d.model.parameters), at, strict=True))
    numbers = np.array(value.xreplace(point).evalf(), dtype=float)
    np.testing.assert_allclose(numbers, book, rtol=1e-14)
    np.testing.assert_allclose(numbers, d.compile().fisher(at), rtol=1e-9, atol=1e-14)
    assert r"\operatorname{E}_p" not in d.fisher.latex()


@pytest.mark.parametrize("name", [*BOOKS, "logistic"])
def test_no_responsibility_is_left_of_one_component(name: str) -> None:
    d = one(name)
    for e in (d.score, d.averaged, d.fisher, d.hessian, d.m_step, d.q, d.gradient_em):
        assert "r_1" not in str(e.value)
        assert "Derivative" not in str(e.value)
    assert not any("r_1(x)" in d.latex(n) for n in ("score", "averaged", "hessian", "q", "m_step"))


def test_a_chart_pulls_the_reduced_information_back() -> None:
    model = rs.mixture("normal", components=1)
    d = rs.derive(model, rs.log(model, "sigma"))
    at = [0.5, 0.7]
    value = d.fisher.value.subs({sp.Symbol("log_sigma_1"): 0.7})
    theta = {p.symbol: v for p, v in zip(model.parameters, (0.5, np.exp(0.7)), strict=True)}
    numbers = np.array(value.xreplace(theta).evalf(), dtype=float)
    np.testing.assert_allclose(numbers, d.compile().fisher(at), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(numbers, np.diag([np.exp(-1.4), 2.0]), rtol=1e-12)


def test_what_the_rules_do_not_give_stays_a_mean() -> None:
    assert one("logistic").fisher.value.has(Expectation)


def test_a_kink_is_passed_almost_everywhere() -> None:
    x, m = sp.symbols("x m", real=True)
    assert almost_everywhere(sp.diff(sp.Abs(x - m), m, 2)) == 0
    assert almost_everywhere(sp.sign(x - m) ** 2) == 1
    assert almost_everywhere(sp.sign(x - m) ** 3) == sp.sign(x - m)
