"""The oracle on finite supports, at kinks and with heavy tails."""

from __future__ import annotations

import mpmath
import pytest

from relrep_sym.errors import CertificateError
from relrep_sym.verify.jets import Density
from relrep_sym.verify.oracle import Oracle
from relrep_sym.verify.points import points


def laplace(x, mu, b):
    return -abs(x - mu) / b - mpmath.log(2 * b)


def cauchy(x, mu, s):
    return -mpmath.log(mpmath.pi * s) - mpmath.log(1 + ((x - mu) / s) ** 2)


def coins(x, p):
    return mpmath.log(mpmath.binomial(5, x)) + x * mpmath.log(p) + (5 - x) * mpmath.log(1 - p)


def single(density: Density, *phi: float) -> Oracle:
    names = tuple(f"phi_{i}" for i in range(len(phi)))
    return Oracle(density, lambda c: ([mpmath.mpf(1)], [tuple(c)]), names, digits=25)


def test_integrals_are_cut_at_kinks() -> None:
    """The Fisher information of a Laplace component is diag(1/b², 1/b²)."""
    oracle = single(Density(laplace, "line", False, lambda mu, b: [mu]), 0.3, 2.0)
    fisher = oracle.at([0.3, 2.0]).fisher()
    assert abs(fisher[0][0].value - mpmath.mpf("0.25")) < 1e-24
    assert abs(fisher[1][1].value - mpmath.mpf("0.25")) < 1e-24
    assert abs(fisher[0][1].value) < 1e-24


def test_the_trapezoidal_rule_takes_no_kinks() -> None:
    density = Density(laplace, "line", False, lambda mu, b: [mu])
    oracle = Oracle(density, lambda c: ([mpmath.mpf(1)], [tuple(c)]), ("m", "b"), rule="trapezoid")
    with pytest.raises(CertificateError, match="kinks"):
        oracle.at([0.3, 2.0]).fisher()


def test_heavy_tails_are_integrated_in_their_own_variable() -> None:
    """The Fisher information of a Cauchy component is diag(1/2s², 1/2s²)."""
    fisher = single(Density(cauchy), -4.0, 0.5).at([-4.0, 0.5]).fisher()
    assert abs(fisher[0][0].value - 2) < 1e-23
    assert abs(fisher[1][1].value - 2) < 1e-23


@pytest.mark.parametrize(
    "support", [("integers", 0, 5), ("finite", (0.0, 1.0, 2.0, 3.0, 4.0, 5.0))]
)
def test_finite_supports_are_summed(support) -> None:
    fisher = single(Density(coins, support), 0.25).at([0.25]).fisher()
    with mpmath.workdps(40):
        want = mpmath.mpf(5) / mpmath.mpf(0.1875)
        assert abs(fisher[0][0].value - want) < 1e-25


def test_points_of_probabilities_lie_inside_and_ascend() -> None:
    for support in ("integers", ("integers", 0, 9)):
        for point in points(3, ("probability",), support):
            values = [p for (p,) in point.parameters]
            assert all(0 < p < 1 for p in values)
            assert values == sorted(values)
            high = 9 if support != "integers" else float("inf")
            assert all(x == int(x) and 0 <= x <= high for x in point.sample)


def test_no_sample_point_lies_on_a_kink() -> None:
    for point in points(3, ("location", "scale"), "line", kinked=True):
        assert not set(point.sample) & {phi[0] for phi in point.parameters}
