"""The EM objective's maximiser, solved for, against the closed forms that are known."""

from __future__ import annotations

import mpmath
import pytest
from mpmath import mp, mpf

from relrep_sym.errors import CertificateError
from relrep_sym.verify import Oracle, ratio
from tests.verify.mixtures import NORMAL, RELATIVE_NAMES, THREE, closeness, normals, relative

X = [-3.0, -2.25, -1.0, -0.5, 0.125, 0.75, 1.5, 2.0, 3.25, 4.5]
W = [1.0, 2.0, 1.0, 0.5, 1.0, 3.0, 1.0, 1.0, 2.0, 1.0]


def closed_form(here):
    """π = Σ w r, μ = Σ w r x / π, σ² = Σ w r (x − μ)² / π: normal components, everything free."""
    with mp.workdps(60):
        rows = [here.responsibilities(x) for x in X]
        weights, means, scales = [], [], []
        for k in range(3):
            mass = [mpf(w) / 13.5 * row[k].value for w, row in zip(W, rows, strict=True)]
            weights.append(mpmath.fsum(mass))
            means.append(mp.fdot(mass, X) / weights[-1])
            square = mpmath.fsum(m * (x - means[-1]) ** 2 for m, x in zip(mass, X, strict=True))
            scales.append(mpmath.sqrt(square / weights[-1]))
    return [*weights[:-1], *means, *scales]


def test_the_m_step_of_three_normals():
    here = normals(3).at(THREE)
    exact = closed_form(here)
    solved = here.em_objective(X, W).maximise([float(v) for v in exact])
    for got, value in zip(solved, exact, strict=True):
        assert closeness(got.value, value) < mpf(10) ** -40
        assert ratio(float(value), got) < 2
        assert ratio(float(value) * (1 + 1e-12), got) > 64


def test_the_summand_of_a_mean_is_its_deviation():
    """For μ = Σ w r x / Σ w r the influence is w r (x − μ) / Σ w r."""
    here = normals(3).at(THREE)
    exact = closed_form(here)
    solved = here.em_objective(X, W).maximise([float(v) for v in exact])
    rows = [here.responsibilities(x)[0].value for x in X]
    mass = [w / 13.5 * r for w, r in zip(W, rows, strict=True)]
    deviation = sum(m * abs(x - exact[2]) for m, x in zip(mass, X, strict=True)) / sum(mass)
    assert closeness(solved[2].scale, deviation) < mpf("1e-12")


def test_a_conditional_step_holds_the_others():
    here = normals(3).at(THREE)
    (solved,) = here.em_objective(X, W).maximise(THREE, free=["mu_2"])
    assert closeness(solved.value, closed_form(here)[3]) < mpf(10) ** -40


def test_the_sensitivity_is_that_of_the_em_map():
    """Σ_j |λ_j ∂(EM step)/∂λ_j| by differences of whole steps."""
    oracle, step = normals(3), 1e-6
    start = [float(v) for v in closed_form(oracle.at(THREE))]
    solved = oracle.at(THREE).em_objective(X, W).maximise(start)
    expected = [0.0] * 8
    for j in range(8):
        moved = [c * (1 + step * (i == j)) for i, c in enumerate(THREE)]
        other = closed_form(oracle.at(moved))
        for i in range(8):
            expected[i] += abs(float(other[i] - solved[i].value)) / step
    for got, value in zip(solved, expected, strict=True):
        assert float(got.sensitivity) == pytest.approx(value, rel=1e-3)


def test_the_gradient_at_the_old_point_is_the_score():
    """Fisher's identity: ∇Q(λ|λ) is the gradient of the log-likelihood."""
    here = Oracle(NORMAL, relative, RELATIVE_NAMES).at([0.25, -1.0, 1.5, 0.5])
    gradient = here.em_objective(X, W).gradient([0.25, -1.0, 1.5, 0.5])
    for g, s in zip(gradient, here.score(X, W), strict=True):
        assert closeness(g, s.value) < mpf(10) ** -50


def test_the_relative_chart_reaches_the_same_means():
    coords = [0.25, -1.0, 1.5, 0.75]
    here = Oracle(NORMAL, relative, RELATIVE_NAMES).at(coords)
    objective = here.em_objective(X, W)
    solved = objective.maximise([0.4, -1.0, 1.6, 1.5])
    with mp.workdps(60):
        rows = [here.responsibilities(x) for x in X]
        means = []
        for k in range(2):
            mass = [w * row[k].value for w, row in zip(W, rows, strict=True)]
            means.append(mp.fdot(mass, X) / mpmath.fsum(mass))
        assert closeness(solved[1].value, means[0]) < mpf(10) ** -40
        assert closeness(solved[2].value, mpmath.sqrt(means[1] - means[0])) < mpf(10) ** -40
    best = objective([s.value for s in solved])
    for j in range(4):
        for factor in (0.99, 1.01):
            moved = [s.value * (factor if i == j else 1) for i, s in enumerate(solved)]
            assert objective(moved) < best


def test_a_stationary_point_that_is_no_maximum_is_refused():
    """Δ = 0 is stationary for a squared gap, and a minimum where the data want a gap."""
    here = Oracle(NORMAL, relative, RELATIVE_NAMES).at([0.25, -1.0, 1.5, 0.75])
    with pytest.raises(CertificateError, match="no local maximum"):
        here.em_objective(X, W).maximise([0.25, -1.0, 1e-9, 0.75], free=["Delta_1"])
