"""Special functions against mpmath."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import sympy as sp

from relrep_sym.declare.functions import Logistic, Softplus
from relrep_sym.emit.lowering import lower
from relrep_sym.emit.numpy.layout import bare
from relrep_sym.emit.numpy.printer import infix
from relrep_sym.runtime import error_function, special
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


def _near_zero_of_digamma() -> np.ndarray:
    steps = 10.0 ** np.arange(-15.0, 0.0)
    return np.concatenate([1.4616321449683622 - steps[:-1], 1.4616321449683622 + steps])


POSITIVE = np.concatenate([10.0 ** np.linspace(-12, 12, 241), _near_zero_of_digamma()])


@pytest.mark.parametrize(
    ("ours", "exactly"),
    [
        (special.digamma, mpmath.digamma),
        (special.trigamma, lambda v: mpmath.psi(1, v)),
    ],
    ids=["digamma", "trigamma"],
)
def test_polygammas_are_right_to_a_few_units(ours, exactly):
    for x, got in zip(POSITIVE.tolist(), ours(POSITIVE).tolist(), strict=True):
        with mpmath.workdps(40):
            want = exactly(mpmath.mpf(x))
            assert abs(got - want) <= 12 * UNIT * abs(want), x


@pytest.mark.parametrize("base", [1e-3, 0.7, 1.4616, 3.0, 41.5, 1e6])
@pytest.mark.parametrize("relative", [1e-15, -1e-9, 1e-3, -0.4, 0.49, 0.51, -0.6, 30.0])
def test_the_ratio_of_gammas_keeps_the_digits_of_the_difference(base, relative):
    difference = base * relative
    got = special.log_gamma_ratio(
        np.array([difference]), np.array([base]), np.array([base + difference])
    )[0]
    with mpmath.workdps(60):
        b, d = mpmath.mpf(base), mpmath.mpf(difference)
        want = mpmath.loggamma(b + d) - mpmath.loggamma(b)
        far = abs(relative) >= 0.5
        size = abs(mpmath.loggamma(b)) + abs(mpmath.loggamma(b + d)) if far else 0
        condition = b * abs(d) * mpmath.psi(1, b)  # the base is known to a rounding
        assert abs(got - want) <= 16 * UNIT * (abs(want) + size + condition)


@pytest.mark.parametrize(
    ("ours", "order"), [(special.digamma_difference, 0), (special.trigamma_difference, 1)]
)
@pytest.mark.parametrize("base", [1e-9, 1e-3, 0.7, 1.4616, 3.0, 9.5, 41.5, 1e6, 1e15])
def test_differences_of_polygammas_keep_the_digits_of_the_difference(ours, order, base):
    relative = np.array([1e-25, 1e-15, -1e-9, 1e-3, -0.4, 0.49, 0.51, -0.6, -0.999, 30.0, 1e7])
    difference = base * relative
    got = ours(difference, np.array([base]), base + difference)
    for d, value in zip(difference.tolist(), got.tolist(), strict=True):
        with mpmath.workdps(80):
            b, w = mpmath.mpf(base), mpmath.mpf(base) + mpmath.mpf(d)
            want = mpmath.psi(order, w) - mpmath.psi(order, b)
            condition = 3 * abs(w - float(w)) * abs(mpmath.psi(order + 1, w))  # of the whole
            assert abs(value - want) <= 16 * UNIT * abs(want) + condition, d


def printed(function):
    """What stands in a generated module for a function that NumPy lacks."""
    text = infix(lower(function(sp.Symbol("v")), bare))
    return lambda x: eval(text, {"np": np, "v": x})  # our own text


@pytest.mark.parametrize(
    ("ours", "exactly"),
    [
        (error_function.erf, mpmath.erf),
        (error_function.erfc, mpmath.erfc),
        (printed(Softplus), lambda v: mpmath.log1p(mpmath.exp(v))),
        (printed(Logistic), lambda v: 1 / (1 + mpmath.exp(-v))),
    ],
    ids=["erf", "erfc", "softplus", "logistic"],
)
def test_functions_of_the_whole_line(ours, exactly):
    x = np.concatenate([np.linspace(-26, 26, 209), [-1e-9, 0.0, 1e-9]])
    for v, got in zip(x.tolist(), ours(x).tolist(), strict=True):
        with mpmath.workdps(600):
            want = exactly(mpmath.mpf(v))
            assert abs(got - want) <= 8 * UNIT * abs(want), v


def test_gamma_overflows_to_infinity():
    assert special.gamma(np.array([5.0, 171.7])).tolist() == [24.0, np.inf]


def test_log_gamma_beyond_double_precision_is_infinite() -> None:
    """As a trial shape of a search may be; and what is no number stays none."""
    huge = np.array([2.55998e305, 2.5599834e305, 1e308, np.inf, np.nan])
    found = log_gamma(huge)
    assert found[0] == pytest.approx(float(mpmath.loggamma(huge[0])), rel=1e-15)
    assert np.isposinf(found[1:4]).all()
    assert np.isnan(found[4])
    far = special.log_gamma_ratio(np.array([1e308]), np.array([1.0]), np.array([1e308]))
    assert np.isposinf(far).all()
