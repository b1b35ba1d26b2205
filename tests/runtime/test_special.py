"""Special functions against mpmath."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from relrep_sym.runtime.special import log_gamma

UNIT = 2.0**-53


def exact(x):
    return np.array([float(mpmath.loggamma(float(v))) for v in np.ravel(x)]).reshape(np.shape(x))


@pytest.mark.parametrize(
    "x",
    [
        np.arange(1.0, 11.0),
        np.arange(1.0, 1200.0),  # from a table
        np.array([1.5, 0.25, 171.0, 3e5, 1e6, 1e12, 1e300]),
        np.linspace(0.01, 20.0, 200),
        np.array([[3.0, 4.0], [5.0, 6.0]]),
        np.array(4.0),
    ],
    ids=["integers", "table", "spread", "reals", "matrix", "scalar"],
)
def test_log_gamma(x):
    found = log_gamma(x)
    assert found.shape == x.shape
    scale = np.abs(exact(x)) + np.abs(x - 1.0) * np.abs(np.log(x)) + np.abs(x - 2.0)
    assert (np.abs(found - exact(x)) <= 8 * UNIT * (scale + 1.0)).all()


def test_the_table_gives_the_same_numbers_as_one_by_one():
    x = np.arange(1.0, 500.0)
    np.testing.assert_array_equal(log_gamma(x), [log_gamma(v.reshape(1))[0] for v in x])


def test_factorials_add_up():
    n = np.arange(1.0, 200.0)
    np.testing.assert_allclose(log_gamma(n + 1.0), log_gamma(n) + np.log(n), rtol=4e-15, atol=1e-15)
