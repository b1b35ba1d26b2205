"""The nested rule: integrals known in closed form, and an honest estimate."""

from math import gamma, pi, sqrt

import numpy as np
import pytest

from relrep_sym.runtime.nested import adaptive

CASES = {
    "gamma, singular at 0": (lambda x: x**-0.9 * np.exp(-x), 0.0, np.inf, {}, gamma(0.1)),
    "beta, singular at 0": (lambda x: x**-0.5 * (1.0 - x) ** 0.5, 0.0, 1.0, {}, pi / 2.0),
    "normal": (lambda x: np.exp(-0.5 * x * x), -np.inf, np.inf, {}, sqrt(2.0 * pi)),
    "laplace": (lambda x: np.exp(-abs(x - 1.0)), -np.inf, np.inf, {"breaks": [1.0]}, 2.0),
    "cauchy": (lambda x: 1.0 / (1.0 + x * x), -np.inf, np.inf, {}, pi),
    "scale a thousandth": (lambda x: np.exp(-1e3 * x), 0.0, np.inf, {}, 1e-3),
    "scale given": (lambda x: np.exp(-1e9 * x), 0.0, np.inf, {"scale": 1e-9}, 1e-9),
    "below": (lambda x: np.exp(x - 3.0), -np.inf, 3.0, {}, 1.0),
}


@pytest.mark.parametrize("name", CASES)
def test_known_integrals(name):
    g, low, high, options, exact = CASES[name]
    value, error = adaptive(g, low, high, **options)
    assert value == pytest.approx(exact, rel=2e-15)
    assert error <= 1e-14 * exact


def test_many_integrands_go_together_and_each_has_its_estimate():
    def powers(x):
        return np.stack([[np.exp(-x), x * np.exp(-x)], [x**2 * np.exp(-x), x**3 * np.exp(-x)]])

    value, error = adaptive(powers, 0.0, np.inf)
    np.testing.assert_allclose(value, [[1.0, 1.0], [2.0, 6.0]], rtol=2e-15)
    assert error.shape == (2, 2)


def test_what_does_not_converge_says_so():
    value, error = adaptive(lambda x: np.abs(x - 0.3) ** 0.5, 0.0, 1.0, halvings=4)
    exact = (0.3**1.5 + 0.7**1.5) / 1.5
    assert error > 1e-8
    assert abs(value - exact) < 20.0 * error
