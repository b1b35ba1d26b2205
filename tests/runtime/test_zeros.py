"""Zeros of mixture densities off the real line: the closed form, and its promise for K >= 3."""

import mpmath as mp
import numpy as np
import pytest

from relrep_sym.runtime.panels import RISE
from relrep_sym.runtime.zeros import landmarks, nearest_zero, zero_margin


def quadratics(weights, means, scales):
    """log pi_k + log f_k of normals, (3, K, 1)."""
    w, m, s = (np.asarray(v, dtype=float) for v in (weights, means, scales))
    return np.array([np.log(w / s) - 0.5 * (m / s) ** 2, m / s**2, -0.5 / s**2])[:, :, None]


def random_model(rng, components):
    spread = rng.choice([0.1, 1.0, 4.0])
    return quadratics(
        rng.dirichlet(np.full(components, 0.5)) + 1e-13,
        rng.normal(0.0, spread, components),
        np.exp(rng.normal(0.0, rng.choice([0.1, 0.5, 1.0]), components)),
    )


def zeros_within(coefficients, left, right, bottom, top):
    """How many zeros lie in a rectangle: the winding number of p along its sides."""
    c0, c1, c2 = coefficients
    sides = [complex(left, bottom), complex(right, bottom), complex(right, top), complex(left, top)]
    turned = 0.0
    for start, end in zip(sides, [*sides[1:], sides[0]], strict=True):
        z = start + (end - start) * np.linspace(0.0, 1.0, 4001)
        exponent = c0 + z * (c1 + z * c2)
        p = np.exp(exponent - exponent.real.max(axis=0)).sum(axis=0)
        steps = np.angle(p[1:] / p[:-1])
        assert np.abs(steps).max() < 2.0, "the contour is too coarse to count on"
        # The shift by the largest exponent is real: it does not turn p.
        turned += steps.sum()
    return round(turned / (2.0 * np.pi))


@pytest.mark.parametrize("seed", range(20))
def test_two_components_vanish_where_the_log_odds_are_an_odd_multiple_of_i_pi(seed):
    rng = np.random.default_rng(seed)
    coefficients = rng.normal(size=(3, 2, 1)) * 10.0 ** rng.uniform(-6, 3, size=(3, 1, 1))
    c, b, a = (mp.mpf(float(v[0, 0])) - mp.mpf(float(v[1, 0])) for v in coefficients)
    roots = [(-b + sign * mp.sqrt(b * b - 4 * a * (c - 1j * mp.pi))) / (2 * a) for sign in (1, -1)]
    exact = min(abs(root.imag) for root in roots)
    assert float(nearest_zero(coefficients)[0] / exact - 1) == pytest.approx(0.0, abs=4e-15)


@pytest.mark.parametrize("a", [0.0, 1e-300, 1e-30, 1e-12])
def test_nearly_equal_scales_do_not_cancel(a):
    coefficients = np.array([[0.3, 0.0], [2.0, 0.0], [a, 0.0]])[:, :, None]
    assert nearest_zero(coefficients)[0] == pytest.approx(np.pi / 2.0, rel=1e-11)


def test_there_is_no_zero_beside_equal_components_one_component_or_a_weight_of_zero():
    alike = quadratics([0.3, 0.7], [1.0, 1.0], [2.0, 2.0])
    alone = quadratics([1.0], [1.0], [2.0])
    absent = quadratics([0.5, 0.5], [0.0, 1.0], [1.0, 2.0])
    absent[0, 0] = -np.inf
    for coefficients in (alike, alone, absent):
        assert nearest_zero(coefficients)[0] == np.inf


@pytest.mark.parametrize("components", [3, 4, 5, 8])
def test_the_strip_is_free_of_zeros(components):
    rng = np.random.default_rng(components)
    for _ in range(40):
        coefficients = random_model(rng, components)
        strip = nearest_zero(coefficients)[0]
        if 0.02 < strip < 20.0:
            assert zeros_within(coefficients, -15.0, 15.0, 0.0, 0.999 * strip) == 0


@pytest.mark.parametrize("components", [3, 5, 8])
def test_equal_components_against_a_wide_one_reach_the_margin(components):
    # Log-odds u**2 / 2 + c of the wide one: c = t for a pair and -t for all, t = log(K - 1) / 2,
    # which brings the zeros nearer by exp(-asinh(t / pi)).
    t = 0.5 * np.log(components - 1.0)
    coefficients = np.zeros((3, components, 1))
    coefficients[0, 0], coefficients[2, 0], coefficients[2, 1:] = t, -0.5, -1.0
    nearest = (
        nearest_zero(coefficients)[0] / zero_margin(components) * np.exp(-np.arcsinh(t / np.pi))
    )
    assert zeros_within(coefficients, -6.0, 6.0, 0.0, 0.999 * nearest) == 0
    assert zeros_within(coefficients, -6.0, 6.0, 0.0, 1.001 * nearest) > 0
    assert 0.0 < np.exp(-np.arcsinh(t / np.pi)) / zero_margin(components) - 1.0 < 0.006


@pytest.mark.parametrize("components", [2, 3, 5, 8])
def test_every_zero_is_at_a_landmark_or_above_one(components):
    # Zeros by Newton's method from a grid. Of two components each zero is a landmark, or lies
    # between two; of more, a landmark is no farther from the point below the zero.
    rng = np.random.default_rng(10 + components)
    for _ in range(15):
        coefficients = random_model(rng, components)
        left, right, height = (v[:, 0] for v in landmarks(coefficients, 1.0, RISE))
        for zero in newton_zeros(coefficients, 4.0, 2.0):
            distance = np.hypot(np.clip(zero.real, left, right) - zero.real, height)
            assert distance.min() <= 1.06 * zero.imag


def newton_zeros(coefficients, width, top):
    """Zeros of the mixture with |Re| < width and 0 < Im < top, those that Newton's method finds."""
    c0, c1, c2 = coefficients
    z = np.add.outer(np.linspace(-width, width, 81), 1j * top * np.geomspace(0.01, 1.0, 12)).ravel()
    for _ in range(60):
        exponent = c0 + z * (c1 + z * c2)
        terms = np.exp(exponent - exponent.real.max(axis=0))
        p, slope = terms.sum(axis=0), ((c1 + 2.0 * c2 * z) * terms).sum(axis=0)
        step = p / np.where(slope == 0.0, 1.0, slope)
        longest = 0.3 * np.abs(z.imag) + 1e-3
        step *= np.minimum(1.0, longest / np.maximum(np.abs(step), 1e-300))
        z = z - step
    found = (np.abs(step) < 1e-9) & (np.abs(p) < 1e-7) & (np.abs(z.real) < width)
    return z[found & (z.imag > 1e-6) & (z.imag < top)]
