"""The observed Hessian as an equation: its value in SymPy, and what is printed of it."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

import relrep_sym as rs
from relrep_sym.equations.nodes import Expectation
from tests.runtime.models import declared

CASES = [
    ("normal", 2, "square", {"scales": 1}),
    ("normal", 3, "relative", {"scales": 1, "weights": "1/3"}),
    ("normal", 2, "own", {"scales": 1}),
    ("normal", 2, "log", {}),
    ("poisson", 3, "identity", {}),
    ("normal", 1, "identity", {}),
]


def averaged(made, matrix, points, coords):
    """A matrix of expectations at numbers, the expectation the mean over points."""
    inside = matrix.replace(lambda e: isinstance(e, Expectation), lambda e: e.args[0])
    plain = inside.xreplace(made.unrolled).rewrite(sp.exp)
    f = sp.lambdify([made.model.family.x, *made.symbols], plain, modules="mpmath", cse=True)
    return sum(np.array(f(p, *coords).tolist(), dtype=float) for p in points) / len(points)


@pytest.mark.parametrize(("family", "components", "chart", "patterns"), CASES)
def test_its_value_is_what_the_kernel_computes(family, components, chart, patterns):
    made = declared(family, components, chart, **patterns)
    d = rs.derive(made.model, made)
    rng = np.random.default_rng(3)
    coords = rng.uniform(0.2, 0.45, len(made.coordinates))
    x = [0.0, 2.0, 5.0] if family == "poisson" else [-1.25, 0.5, 3.0]
    kernel = d.compile().hessian(x, coords)
    assert d.hessian.value == d.hessian.value.T
    exact = averaged(made, d.hessian.value, x, coords)
    np.testing.assert_allclose(kernel, exact, rtol=1e-12, atol=1e-13)


def test_a_bent_chart_shows_its_curvature_and_a_straight_one_does_not():
    model = rs.mixture("normal", components=3)
    bent = rs.derive(model, rs.relative(model, "mu", gap="square"), name="bent").hessian
    straight = rs.derive(model, rs.relative(model, "mu"), name="straight").hessian
    assert bent.label == "eq:bent:hessian"
    assert (
        r"\frac{\partial^2 \theta_i}{\partial \lambda \, \partial \lambda^{\top}}" in bent.latex()
    )
    assert r"\theta_i" not in straight.latex()
    assert r"\sum_{k=1}^3 r_k(x)" in straight.latex()
    assert r"\ell_k(x) &= \log \pi_k f(x \mid \mu_k, \sigma_k)" in straight.latex()


def test_one_component_has_no_responsibilities():
    text = rs.derive(rs.mixture("poisson", components=1)).hessian.latex()
    assert "r_" not in text
    assert r"\frac{\operatorname{E}_q[x]}{\rho_1^2}" in text
