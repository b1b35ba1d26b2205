"""Population steps, on quadrature nodes, against expectations at thirty digits.

N_k = E_q[r_k], means and variances under the responsibilities are integrated by mpmath; the joint
M-step of normal components follows from them, and where the order binds the two means are pooled.
"""

from __future__ import annotations

import itertools
import warnings

import mpmath
import numpy as np
import pytest
from mpmath import mp

import relrep_sym as rs
from relrep_sym.errors import ChartWarning
from relrep_sym.oracle_input import oracle_of
from relrep_sym.verify.yardstick import Measured, ratio
from tests.steps import stated

TWO = ((0.25, 0.75), (-0.5, 1.5), (1.25, 0.5))
THREE = ((0.25, 0.5, 0.25), (-2.0, 0.25, 3.0), (0.5, 1.0, 0.75))


def expected(at, truth):
    """(N_k, E[r_k x], E[r_k x²]) and the mean absolute values, from the density alone."""

    def rows(x):
        place = at.located
        (logs,) = place.log_components([x])
        top = max(logs)
        joint = [w * mpmath.exp(v - top) for w, v in zip(place.weights, logs, strict=True)]
        total = mpmath.fsum(joint)
        out = []
        for v in joint:
            out += [v / total, v / total * x, v / total * x * x]
        return out

    found = at.expect(rows, truth)
    return [found[3 * k : 3 * k + 3] for k in range(len(found) // 3)]


def nodes(derivation, coords, truth):
    q = rs.truth("normal", weights=truth[0], means=truth[1], scales=truth[2])
    return rs.nodes(q, coords, derivation=derivation)


def made(count, **options):
    model = rs.mixture("normal", components=count)
    chart = rs.relative(model, "mu", **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ChartWarning)
        derivation = rs.derive(model, chart, name="population")
    return chart, derivation, derivation.compile()


SLOW = pytest.mark.slow
CASES = [
    (2, 0, [0.5, -1.0, 1e-6, 1.0, 1.0], TWO),
    (2, 3, [0.5, -1.0, 0.5, 1.0, 0.75], TWO),
    pytest.param(2, 0, [0.5, -1.0, 2.0, 1.0, 0.75], TWO, marks=SLOW),
    pytest.param(2, 0, [1e-12, -1.0, 2.0, 1.0, 0.75], TWO, marks=SLOW),
    pytest.param(3, 0, [0.25, 0.25, -1.5, 1.0, 2.0, 1.0, 0.75, 0.5], THREE, marks=SLOW),
]


@pytest.mark.parametrize(("count", "clearance", "coords", "truth"), CASES)
def test_population_em_is_the_m_step_of_expectations(count, clearance, coords, truth):
    chart, derivation, k = made(count, clearance=clearance)
    x, w = nodes(derivation, coords, truth)
    step = k.em_step(x, coords, w, full_output=True)
    at = oracle_of(chart).at(coords)
    rows = expected(at, truth)
    with mp.workdps(50):
        masses = [r[0].value for r in rows]
        means = [r[1].value / r[0].value for r in rows]
        squares = [r[2].value / r[0].value for r in rows]
        assert abs(mpmath.fsum(masses) - 1) < mpmath.mpf("1e-28")
        if clearance:  # the spread of the data is below it
            pooled(step, masses, means, squares, clearance)
            return
        gaps = [b - a for a, b in itertools.pairwise(means)]
        scales = [mpmath.sqrt(s - m * m) for m, s in zip(means, squares, strict=True)]
        wanted = [*masses[:-1], means[0], *gaps, *scales]
        spans = [a + b for a, b in itertools.pairwise(scales)]
        widths = [*masses[:-1], scales[0], *spans, *scales]
        for got, value, width in zip(step.coords, wanted, widths, strict=True):
            assert ratio(got, Measured(value, width, mp.zero)) < 64
        assert not step.active


def pooled(step, masses, means, squares, clearance):
    """Both means on one line; each variance is about its own."""
    pi, mu, delta, *scales = (mpmath.mpf(float(c)) for c in step.coords)
    assert step.active == ("Delta_1",)
    assert delta == 0
    assert ratio(float(pi), Measured(masses[0], masses[0], mp.zero)) < 64
    places = [mu, mu + clearance]
    slopes = []
    for n, m, s, place, scale in zip(masses, means, squares, places, scales, strict=True):
        variance = s - 2 * m * place + place * place
        assert ratio(float(scale), Measured(mpmath.sqrt(variance), abs(place), mp.zero)) < 64
        slopes.append(n * (m - place) / variance)
    # stationary in μ_1, and the multiplier is −∂Q/∂Δ
    assert abs(slopes[0] + slopes[1]) < 1e-14 * abs(slopes[1])
    assert float(-slopes[1]) == pytest.approx(float(step.multipliers["Delta_1"]), rel=1e-13)


@pytest.mark.parametrize(("count", "clearance", "coords", "truth"), CASES)
def test_population_gradient_em_is_the_averaged_field_times_the_rate(
    count, clearance, coords, truth
):
    chart, derivation, k = made(count, clearance=clearance)
    x, w = nodes(derivation, coords, truth)
    rate = 2.0**-8 if coords[0] > 1e-6 else 2.0**-60
    found = k.gradient_em_step(x, coords, rate, weights=w)
    field = oracle_of(chart).at(coords).averaged_field(truth)
    for got, c, f in zip(found, coords, field, strict=True):
        with mp.workdps(50):
            value = mpmath.mpf(c) + rate * f.value
            scale = abs(c) + rate * (f.scale + f.sensitivity)
            assert ratio(got, Measured(value, scale, mp.zero)) < 64


def test_a_truth_in_the_model_is_a_fixed_point_of_population_steps():
    _, derivation, k = made(2)
    coords = [0.25, -0.5, 2.0, 1.25, 0.5]
    x, w = nodes(derivation, coords, TWO)
    np.testing.assert_allclose(k.em_step(x, coords, w), coords, rtol=1e-14)
    step = k.gradient_em_step(x, coords, weights=w, full_output=True)
    np.testing.assert_allclose(step.coords, coords, rtol=1e-13)
    assert abs(step.gain) < 1e-15


def test_nodes_are_a_sample_like_any_other():
    """Q over nodes as defined: SciPy's densities, the declared map."""
    case = stated("normal", "plain", 3)
    coords = np.array([0.25, 0.25, -1.5, 1.0, 2.0, 1.0, 0.75, 0.5])
    _, derivation, _ = made(3)
    x, w = nodes(derivation, coords, THREE)
    step = case.module.em_step(x, coords, w, full_output=True)
    q = case.q(x, coords, w)
    assert q(step.coords) - q(coords) == pytest.approx(step.gain, rel=1e-11)
