"""Certificates: what passes, what is caught, and what the texts say."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
from mpmath import mp, mpf

from relrep_sym.errors import CertificateError
from relrep_sym.verify import Case, Measured, Oracle, bound, certify, ratio
from tests.verify.mixtures import NORMAL, THREE, normals

X = [-2.5, -0.5, 0.25, 3.75, 11.0]


def score_by_hand(x, coords):
    """The mean score of three normals in float64, as an engine might write it."""
    x = np.asarray(x)[:, None]
    weights = np.array([coords[0], coords[1], 1 - coords[0] - coords[1]])
    mu, sigma = np.array(coords[2:5]), np.array(coords[5:8])
    z = (x - mu) / sigma
    logs = np.log(weights) - 0.5 * z**2 - np.log(sigma)
    r = np.exp(logs - logs.max(axis=1, keepdims=True))
    r /= r.sum(axis=1, keepdims=True)
    ratios = r / weights
    parts = [ratios[:, :2] - ratios[:, 2:], r * z / sigma, r * (z**2 - 1) / sigma]
    return np.concatenate(parts, axis=1).mean(axis=0)


def case(kernel, point="ordinary"):
    here = normals(3).at(THREE)
    return Case("score", point, kernel, lambda: here.score(X), str(here))


def test_an_honest_kernel_passes():
    certificate = certify("three normals", [case(lambda: score_by_hand(X, THREE))])
    certificate.check()
    assert certificate.ok
    assert certificate.worst.ratio < 16


@pytest.mark.parametrize("planted", [1e-13, -1e-10])
def test_a_planted_relative_error_is_caught(planted):
    good = case(lambda: score_by_hand(X, THREE))
    wrong = case(lambda: score_by_hand(X, THREE) * (1 + planted * (np.arange(8) == 4)), "planted")
    certificate = certify("three normals", [good, wrong])
    assert not certificate.ok
    with pytest.raises(CertificateError) as caught:
        certificate.check()
    text = str(caught.value)
    here = normals(3).at(THREE).score(X)[4].value
    for part in ("score[4] at planted", "sigma_3 = 1.25", mpmath.nstr(here, 30), "1 of 2 entries"):
        assert part in text


def test_a_wrong_simplex_jacobian_is_caught():
    """∂ log p/∂π_1 without the last component's part: what a test at K = 2 alone may hide."""

    def kernel():
        field = score_by_hand(X, THREE)
        field[0] += 0.01
        return field

    assert not certify("three normals", [case(kernel)]).ok


def test_a_value_that_is_not_finite_fails():
    values = np.full(8, np.nan)
    certificate = certify("nan", [case(lambda: values)])
    assert math.isinf(certificate.worst.ratio)
    with pytest.raises(CertificateError, match="nan"):
        certificate.check()


def test_a_shape_that_differs_is_refused():
    with pytest.raises(CertificateError, match=r"shape of score at ordinary; given: \(7,\)"):
        certify("short", [case(lambda: np.zeros(7))])


def test_an_oracle_with_too_large_an_error_is_refused():
    poor = Measured(mpf(1), mpf(1), mpf(0), mpf("1e-15"))
    with pytest.raises(CertificateError, match="oracle's own error"):
        certify("poor", [Case("one", "ordinary", lambda: 1.0, lambda: poor)])


def test_the_yardstick_is_the_printed_one():
    """64 u (|v| + E|s| + Σ|λ ∂v|), below 1e-300 nothing is asked."""
    measured = Measured(mpf(-2), mpf(3), mpf(5))
    with mp.workdps(50):
        assert abs(bound(measured) / (64 * mpf(2) ** -53 * 10) - 1) < mpf(10) ** -40
    assert ratio(-2.0 + 2.0**-50, measured) == pytest.approx(0.8)
    assert ratio(0.0, Measured(mpf("1e-400"), mpf("1e-400"), mpf(0))) < 1
    assert ratio(0.0, Measured(mpf("1e-290"), mpf("1e-290"), mpf(0))) > 64


def test_tables_are_the_same_each_time_and_hold_no_times():
    seen = []
    cases = [case(lambda: score_by_hand(X, THREE))]
    certificates = [certify("three normals", cases, seen.append) for _ in range(2)]
    assert certificates[0].to_markdown() == certificates[1].to_markdown()
    assert certificates[0].to_text() == certificates[1].to_text()
    assert "seconds" not in certificates[0].to_markdown()
    assert "seconds" in str(certificates[0])
    assert [entry.function for entry in seen] == ["score", "score"]
    assert "| score | ordinary |" in certificates[0].to_markdown()
    assert "three normals passes" in certificates[0].to_text()


def test_an_empty_certificate_certifies_nothing():
    with pytest.raises(CertificateError, match="no entries"):
        certify("empty", []).check()


@pytest.mark.parametrize(("stable", "passes"), [(True, True), (False, False)])
def test_the_yardstick_tells_a_cancelling_weight_score_from_a_stable_one(stable, passes):
    """(f_2 − f_3)/p where μ_3 = μ_2 + Δ, Δ = 1e-12: the difference, or f_3/p · expm1(log-odds)."""
    coords, x = [0.25, 0.375, -1.0, 1.0, 1e-12], np.array([-2.0, 0.3, 4.7])

    def chart(c):
        weights = [c[0], c[1], 1 - c[0] - c[1]]
        return weights, [(c[2], 1), (c[3], 1), (c[3] + c[4], 1)]

    def kernel():
        means = np.array([coords[2], coords[3], coords[3] + coords[4]])
        f = np.exp(-0.5 * (x[:, None] - means) ** 2)
        p = f @ np.array([0.25, 0.375, 0.375])
        if stable:
            log_odds = coords[4] * (0.5 * coords[4] - (x - coords[3]))
            return f[:, 2] / p * np.expm1(log_odds)
        return (f[:, 1] - f[:, 2]) / p

    here = Oracle(NORMAL, chart, ("pi_1", "pi_2", "mu_1", "mu_2", "Delta_2")).at(coords)
    rows = [here.score_sample(v)[1] for v in x]
    assert certify("merging", [Case("score", "1e-12", kernel, lambda: rows)]).ok == passes
