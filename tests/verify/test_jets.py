"""Derivatives by complex step and dual numbers against mpmath's own, and the refusals."""

from __future__ import annotations

import mpmath
import pytest
from mpmath import mp, mpf

from relrep_sym.errors import CertificateError
from relrep_sym.verify import Density, Oracle
from relrep_sym.verify.jets import Located
from tests.verify.mixtures import BETA, GAMMA, NORMAL, POISSON, THREE, identity, normals


def test_a_jet_is_the_derivative_of_the_log_density():
    with mp.workdps(90):
        place = Located(NORMAL, identity(3, 2), THREE)
        ((value, score),) = place.jets([mpf("0.7")])

        def log_density(*c):
            ((v, _),) = Located(NORMAL, identity(3, 2), c).jets([mpf("0.7")])
            return v

        assert value == log_density(*place.coords)
        for j, s in enumerate(score):
            order = tuple(int(i == j) for i in range(8))
            reference = mpmath.diff(log_density, tuple(place.coords), order)
            assert abs(s - reference) < mpf(10) ** -40


@pytest.mark.parametrize(
    ("density", "coords", "x"),
    [(GAMMA, [0.3, 1.5, 4.0, 2.0, 0.5], 1.7), (BETA, [0.3, 0.5, 4.0, 2.0, 3.5], 0.4)],
)
def test_special_functions_leave_fifty_digits(density, coords, x):
    here = Oracle(density, identity(2, 2), "pabcd").at(coords)
    for j, s in enumerate(here.score_sample(x)):
        with mp.workdps(90):

            def along(c, j=j):
                moved = [*here.located.coords]
                moved[j] = c
                return Located(density, identity(2, 2), moved).jets([mpf(x)])[0][0]

            assert abs(s.value - mpmath.diff(along, here.located.coords[j])) < mpf(10) ** -38


def test_erf_and_high_powers_survive_the_complex_step():
    # at 50 digits alone the first would lose 22 digits and the second 37
    density = Density(lambda x, a: mpmath.erf(a * x) + (a - 3) ** 37 / 10**9)
    here = Oracle(density, lambda c: ([1], [(c[0],)]), ["a"]).at([0.75])
    with mp.workdps(90):
        a, x = mpf("0.75"), mpf("0.5")
        exact = (
            2 * x / mpmath.sqrt(mp.pi) * mpmath.exp(-((a * x) ** 2)) + 37 * (a - 3) ** 36 / 10**9
        )
        assert abs(here.score_sample(0.5)[0].value / exact - 1) < mpf(10) ** -48


def test_a_density_that_is_not_analytic_is_refused_and_can_be_declared():
    def laplace(x, mu):
        return -abs(x - mu) - mpmath.log(2)

    def chart(c):
        return [1], [(c[0],)]

    with pytest.raises(CertificateError, match=r"not analytic at x = 2\.0"):
        Oracle(Density(laplace), chart, ["mu"]).at([0.5]).score_sample(2.0)
    declared = Oracle(Density(laplace, analytic=False), chart, ["mu"]).at([0.5])
    assert declared.score_sample(2.0)[0].value == pytest.approx(1, abs=1e-60)


def test_a_chart_that_is_not_analytic_is_refused():
    oracle = Oracle(NORMAL, lambda c: ([1], [(abs(c[0]), c[1])]), ["a", "b"])
    with pytest.raises(CertificateError, match="chart is not analytic at coordinate 0"):
        oracle.at([-0.5, 1.0]).score_sample(2.0)


def test_negative_weights_and_wrong_lengths_are_named():
    with pytest.raises(CertificateError, match="weight is negative"):
        normals(2).at([1.5, 0.0, 1.0, 1.0, 1.0])
    with pytest.raises(CertificateError, match="number of coordinates; given: 2"):
        normals(2).at([0.5, 0.0])
    with pytest.raises(CertificateError, match="unknown support"):
        Density(POISSON.component_log_density, "whole numbers")


def test_a_slope_of_zero_is_zero_and_a_tiny_one_is_kept():
    """The complex step's own error is its square, 1e-80, times the third derivative."""
    gumbel = Density(lambda x, m: -(x - m) - mpmath.exp(-(x - m)))
    tiny = Density(lambda x, m: m * mpf("1e-95") + mpmath.exp(m) - m - m**2 / 2)
    with mp.workdps(90):
        here = Located(gumbel, lambda c: ([mpf(1)], [(c[0],)]), [0.0])
        assert here.jets([mpf(0)])[0][1] == [0]
        here = Located(tiny, lambda c: ([mpf(1)], [(c[0],)]), [0.0])
        assert abs(here.jets([mpf(0)])[0][1][0] / mpf("1e-95") - 1) < 1e-20
