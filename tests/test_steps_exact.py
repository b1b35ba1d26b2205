"""Steps on tiny samples whose points belong to one component for certain: answers in fractions.

Components lie hundreds of scales apart, so that every responsibility is zero or one in double
precision, and Q is a polynomial in the data.
"""

from __future__ import annotations

from fractions import Fraction as F

import numpy as np
import pytest

import relrep_sym as rs

LEFT, RIGHT = [F(0), F(1), F(3)], [F(1000), F(1002)]
X = [float(v) for v in LEFT + RIGHT]


def mean(values):
    return sum(values) / len(values)


def variance(values):
    return mean([(v - mean(values)) ** 2 for v in values])


def close(found, exact, terms=0.0, ulps=8):
    """Relative to the fraction, or to the size of the terms that make it; to one if it is zero."""
    for got, value in zip(np.ravel(found), exact, strict=True):
        scale = max(abs(float(value)), terms) or 1.0
        assert abs(F(float(got)) - F(value)) <= ulps * 2.0**-53 * scale, (got, float(value))


def module(chart):
    return rs.derive(chart.model, chart, name="exact").compile()


def unit(clearance=0, components=2, **options):
    model = rs.mixture("normal", components=components, scales=1)
    return module(rs.relative(model, "mu", clearance=clearance, **options))


def test_two_groups_are_two_means_and_two_variances():
    model = rs.mixture("normal", components=2)
    k = module(rs.relative(model, "mu"))
    found = k.em_step(X, [0.5, -10.0, 1000.0, 2.0, 3.0])
    gap = mean(RIGHT) - mean(LEFT)
    close(found[:3], [F(3, 5), mean(LEFT), gap])
    close(found[3:] ** 2, [variance(LEFT), variance(RIGHT)])


def test_sample_weights_weigh():
    k = unit()
    weights = [1, 2, 4, 3, 6]
    found = k.em_step(X, [0.5, -10.0, 1000.0], weights)
    left = F(0 * 1 + 1 * 2 + 3 * 4, 7)
    right = F(1000 * 3 + 1002 * 6, 9)
    close(found, [F(7, 16), left, right - left])


def test_a_clearance_wider_than_the_data_pools_both():
    """m − (k−1)c in reverse order: one level; the multiplier is what pulls them together."""
    k = unit(2000)
    step = k.em_step(X, [0.5, -500.0, 0.0], full_output=True)
    level = F(3, 5) * mean(LEFT) + F(2, 5) * (mean(RIGHT) - 2000)
    close(step.coords, [F(3, 5), level, 0])
    force = F(2, 5) * (level + 2000 - mean(RIGHT))
    close(step.multipliers["Delta_1"], [force])
    assert step.active == ("Delta_1",)
    old = sum((v + 500) ** 2 for v in LEFT) + sum((v - 1500) ** 2 for v in RIGHT)
    new = sum((v - level) ** 2 for v in LEFT) + sum((v - level - 2000) ** 2 for v in RIGHT)
    entropy = 0.6 * np.log(1.2) + 0.4 * np.log(0.8)
    assert step.gain == pytest.approx(float(F(old - new, 10)) + entropy, rel=1e-14)


def test_three_groups_of_which_two_pool():
    """Groups at 0, 1000 and 1300 with a clearance of 500: the last two share a level."""
    k = unit(500, components=3)
    groups = [[F(0), F(2)], [F(1000), F(1001), F(1005)], [F(1300)]]
    x = [float(v) for g in groups for v in g]
    step = k.em_step(x, [0.3, 0.3, 0.0, 400.0, 100.0], full_output=True)
    m1, m2, m3 = map(mean, groups)
    level = (3 * m2 + (m3 - 500)) / 4
    close(step.coords, [F(1, 3), F(1, 2), m1, level - m1 - 500, 0])
    close(step.multipliers["Delta_2"], [F(1, 6) * (level + 500 - m3)])
    assert step.multipliers["Delta_1"] == 0.0


def test_from_the_last_the_same_pool_is_seen_from_the_other_end():
    k = unit(2000, reference="last")
    step = k.em_step(X, [0.5, 0.0, 1500.0], full_output=True)
    level = F(3, 5) * (mean(LEFT) + 2000) + F(2, 5) * mean(RIGHT)
    names = list(k.COORDINATES)
    found = dict(zip(names, step.coords, strict=True))
    close([found["pi_1"], found["mu_2"], found["Delta_1"]], [F(3, 5), level, 0])


def test_rates_of_counts():
    model = rs.mixture("poisson", components=2)
    k = module(rs.relative(model, "rate", clearance=1500))
    x = [0.0, 1.0, 2.0, 2000.0]
    found = k.em_step(x, [0.5, 1.0, 600.0])
    close(found, [F(3, 4), F(1), F(499)])
    tight = module(rs.relative(model, "rate", clearance=0))
    close(tight.em_step(x, [0.5, 1.0, 2000.0]), [F(3, 4), F(1), F(1999)])


def test_tied_scales_pool_what_the_order_leaves():
    """The scale's step uses the means after pooling: it is joint."""
    model = rs.mixture("normal", components=2, scales="tied")
    k = module(rs.relative(model, "mu", clearance=2000))
    found = k.em_step(X, [0.5, -500.0, 0.0, 10.0])
    level = F(3, 5) * mean(LEFT) + F(2, 5) * (mean(RIGHT) - 2000)
    total = sum((v - level) ** 2 for v in LEFT) + sum((v - level - 2000) ** 2 for v in RIGHT)
    close(found[:3], [F(3, 5), level, 0])
    close([found[3] ** 2], [total / 5])


# ------------------------------------------------ Algorithm 1 of Esser and Nielsen (2022)


def algorithm_1(delta, sweeps):
    """μ_1 = (Σ r_1 x + Σ r_2 (x − Δ))/N, then Δ = max(0, m_2 − μ_1), weights and scales held."""
    for _ in range(sweeps):
        mu = F(3, 5) * mean(LEFT) + F(2, 5) * (mean(RIGHT) - delta)
        delta = max(F(0), mean(RIGHT) - mu)
    return mu, delta


@pytest.mark.parametrize("sweeps", [1, 2, 3])
def test_algorithm_1_in_fractions(sweeps):
    k = unit()
    found = k.ecm_step(X, [0.5, -10.0, 1100.0], ["mu_1", "Delta_1"], sweeps)
    close(found, [F(1, 2), *algorithm_1(F(1100), sweeps)], terms=1100.0)


def test_a_sweep_goes_the_share_of_the_reference_of_the_way_to_em():
    """Δ⁺ = N_1 Δ_EM + N_2 Δ: what a sweep of Algorithm 1 does to the EM step."""
    k = unit()
    old = 1100.0
    em = k.em_step(X, [0.5, -10.0, old])[2]
    sweep = k.ecm_step(X, [0.5, -10.0, old], ["mu_1", "Delta_1"])[2]
    close([sweep], [F(3, 5) * F(float(em)) + F(2, 5) * F(old)])


def test_algorithm_1_clips_where_the_data_are_in_reverse_order():
    """With Δ held at 1100 and a clearance of 2000 the reference moves, then Δ clips at zero."""
    k = unit(2000)
    step = k.ecm_step(X, [0.5, -500.0, 0.0], ["mu_1", "Delta_1"], full_output=True)
    mu = F(3, 5) * mean(LEFT) + F(2, 5) * (mean(RIGHT) - 2000)
    close(step.coords, [F(1, 2), mu, 0])
    close(step.multipliers["Delta_1"], [F(2, 5) * (mu + 2000 - mean(RIGHT))])


def test_the_other_order_of_algorithm_1():
    k = unit()
    found = k.ecm_step(X, [0.5, -10.0, 1100.0], ["Delta_1", "mu_1"])
    delta = mean(RIGHT) + 10
    mu = F(3, 5) * mean(LEFT) + F(2, 5) * (mean(RIGHT) - delta)
    close(found, [F(1, 2), mu, delta], terms=1000.0)


def test_the_default_order_takes_the_weights_first():
    k = unit()
    found = k.ecm_step(X, [0.5, -10.0, 1100.0])
    close(found, [F(3, 5), *algorithm_1(F(1100), 1)], terms=1100.0)


# ------------------------------------------------------------------------------ gradient EM


def test_a_gradient_em_step_is_the_score_times_the_rate():
    """∂L/∂μ_1 = Σ_k N_k (m_k − μ_k), ∂L/∂Δ = N_2 (m_2 − μ_2), ∂L/∂π = N_1/π_1 − N_2/π_2."""
    k = unit()
    pi, mu, delta, rate = F(1, 2), F(-10), F(1000), F(1, 8)
    first, second = F(3, 5) * (mean(LEFT) - mu), F(2, 5) * (mean(RIGHT) - mu - delta)
    found = k.gradient_em_step(X, [0.5, -10.0, 1000.0], 0.125)
    slope = F(3, 5) / pi - F(2, 5) / (1 - pi)
    close(found, [pi + rate * slope, mu + rate * (first + second), delta + rate * second])
