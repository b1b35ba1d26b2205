"""The rules themselves: exactness, hidden features, heavy tails, and refusals."""

from __future__ import annotations

import subprocess
import sys

import mpmath
import pytest
from mpmath import mp, mpf

from relrep_sym.errors import CertificateError
from relrep_sym.verify import Density, Oracle
from relrep_sym.verify.jets import WORKING
from relrep_sym.verify.quadrature import Budget, _legendre, integrate, landmarks
from tests.verify.mixtures import NORMAL, identity, normals

NEVER = Budget(None, "a test")
STUDENT = Density(  # five degrees of freedom
    lambda x, mu: (
        mpmath.log(8 / (3 * mp.pi * mpmath.sqrt(5))) - 3 * mpmath.log(1 + (x - mu) ** 2 / 5)
    )
)


def test_gauss_legendre_is_exact_for_twice_its_nodes():
    with mp.workdps(WORKING):
        nodes, weights = _legendre(9, WORKING)
        for power in range(0, 18, 2):
            moment = mpmath.fsum(w * x**power for x, w in zip(nodes, weights, strict=True))
            assert abs(moment - mpf(2) / (power + 1)) < mpf(10) ** -85


@pytest.mark.parametrize(
    ("mu", "sigma"), [(1e5, 1.0), (0.0, 1e-6), (-3e7, 1e-3), (0.3, 1000.0), (1e-12, 1e4)]
)
def test_landmarks_find_a_mode_anywhere(mu, sigma):
    with mp.workdps(WORKING):
        found = landmarks(
            lambda x: NORMAL.component_log_density(x, mpf(mu), mpf(sigma)), "line", 30
        )
        places = [float((t - mpf(mu)) / mpf(sigma)) for t, _ in found]
        assert min(map(abs, places)) < 1
        # e^{-z²/2} = 1e-50 at z = 15.2
        assert -17 < places[0] < -15
        assert 15 < places[-1] < 17
        assert min(spacing for _, spacing in found) < 2 * sigma


@pytest.mark.parametrize("rule", ["panels", pytest.param("trapezoid", marks=pytest.mark.slow)])
def test_a_narrow_part_of_the_truth_does_not_go_unseen(rule):
    """A component of scale 1/128 and weight 2⁻²⁰, far from the nodes of the wide one."""
    truth = ([2.0**-20, 1 - 2.0**-20], [3.1875, 0.0], [2.0**-7, 1.0])
    (mean,) = normals(1, rule=rule).at([0.0, 1.0]).expect(lambda x: [x], truth)
    assert abs(mean.value / (mpf("3.1875") / 2**20) - 1) < mpf(10) ** -14
    with mp.workdps(60):
        assert abs(mean.value - mpf("3.1875") / 2**20) < mpf(10) ** -29


def test_heavy_tails_are_followed_outward():
    """Student's t with five degrees of freedom: variance 5/3; information 3/4 by location."""
    here = Oracle(STUDENT, identity(1, 1), ["mu"], digits=20).at([-1.0])
    second, _ = here.expect(lambda x: [(x + 1) ** 2, x], ([1.0], [-1.0]))
    with mp.workdps(60):
        assert abs(second.value - mpf(5) / 3) < mpf(10) ** -18
        assert abs(here.fisher()[0][0].value - mpf(3) / 4) < mpf(10) ** -18


def test_tails_that_do_not_die_out_are_refused():
    with pytest.raises(CertificateError, match="does not die out"):
        Oracle(STUDENT, identity(1, 1), ["mu"]).at([0.0]).expect(lambda x: [x**4], ([1.0], [0.0]))


def test_an_integrand_that_no_panel_resolves_is_refused(monkeypatch):
    monkeypatch.setattr("relrep_sym.verify.quadrature.MOST_PANELS", 50)
    with mp.workdps(WORKING):
        marks = landmarks(lambda x: -(x**2) / 2, "line", 30)

        def wild(xs):
            return [[mpmath.exp(-(x**2) / 2) * mpmath.sin(x * 10**9)] for x in xs]

        with pytest.raises(CertificateError, match="do not agree with their halves"):
            integrate(wild, "line", [marks], [], 30, NEVER)


def test_the_judge_imports_no_other_floor():
    code = (
        "import sys, relrep_sym.verify\n"
        "floors = {m.split('.')[1] for m in sys.modules if m.startswith('relrep_sym.')}\n"
        "assert floors == {'errors', 'verify'}, floors\n"
        "assert 'sympy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
