"""Near components of which none is the reference: the chart's steps keep their digits."""

from __future__ import annotations

from fractions import Fraction

import mpmath
import numpy as np
import pytest
from mpmath import mp

import relrep_sym as rs

UNIT = 2.0**-53
LIMIT = 64


def _means(first, steps, gap):
    out = [mpmath.mpf(first)]
    for s in steps:
        out.append(out[-1] + (mpmath.exp(s) if gap == "exp" else mpmath.mpf(s)))
    return out


def _responsibilities(x, coords, count, gap):
    w = [mpmath.mpf(v) for v in coords[: count - 1]]
    w.append(1 - sum(w))
    means = _means(coords[count - 1], coords[count : 2 * count - 1], gap)
    scales = coords[2 * count - 1 :]
    terms = [p * mpmath.npdf(x, m, s) for p, m, s in zip(w, means, scales, strict=True)]
    return [t / sum(terms) for t in terms]


def _units(k, x, coords, count, gap):
    """The worst error of the responsibilities, in the yardstick's units."""
    found = k.responsibilities(x, coords)
    worst = 0.0
    with mp.workdps(60):
        at = [mpmath.mpf(c) for c in coords]
        right = _responsibilities(mpmath.mpf(x), at, count, gap)
        felt = [mpmath.mpf(0)] * count
        for j, c in enumerate(at):
            h = abs(c) * mpmath.mpf(10) ** -25 if c else mpmath.mpf(10) ** -25
            moved = _responsibilities(mpmath.mpf(x), [*at[:j], c + h, *at[j + 1 :]], count, gap)
            felt = [f + abs(c * (m - r) / h) for f, m, r in zip(felt, moved, right, strict=True)]
        for v, r, f in zip(found, right, felt, strict=True):
            floor = mpmath.mpf(10) ** -290  # kernels clamp exponents at -700
            worst = max(worst, float(abs(mpmath.mpf(float(v)) - r) / (UNIT * (abs(r) + f) + floor)))
    return worst


def _kernel(count, gap):
    model = rs.mixture("normal", components=count)
    return rs.derive(model, rs.relative(model, "mu", gap=gap)).compile()


CASES = [
    (3, "plain", [0.3, 0.3, 1e5, 1e-6, 2.0, 1.0, 1.0, 1.0], 99993.5),
    (3, "plain", [0.3, 0.3, 1e5, 1e-6, 2e5, 1.0, 1.0, 1.0], 99993.5),
    (3, "plain", [0.3, 0.3, -1e5, 2e5, 1e-6, 1.0, 1.0, 1.0], 99995.25),
    (3, "exp", [0.3, 0.3, 1e4, -13.7, 0.7, 1.0, 1.0, 1.0], 9993.5),
    (3, "plain", [0.3, 0.3, 1012.3, 1e-9, 2.0, 1.0, 1.25, 1.5], 1006.0),
    (4, "plain", [0.2, 0.3, 0.2, -1e5, 1e-7, 2e5, 1e-8, 1.0, 1.0, 1.0, 1.0], -100006.3),
    (4, "plain", [0.2, 0.3, 0.2, -1e5, 1e-7, 2e5, 1e-8, 1.0, 1.0, 1.0, 1.0], 99994.3),
    (5, "exp", [0.2, 0.2, 0.2, 0.2, 3e3, -20.1, 1.3, -18.2, 2.2, 1, 1, 1, 1, 1], 2993.5),
]


@pytest.mark.parametrize(("count", "gap", "coords", "x"), CASES)
def test_responsibilities_of_near_pairs_are_within_the_yardstick(count, gap, coords, x):
    k = _kernel(count, gap)
    assert _units(k, x, coords, count, gap) <= LIMIT


@pytest.mark.parametrize("seed", range(3))
def test_pairs_anywhere_at_any_distance(seed):
    rng = np.random.default_rng(seed)
    k = _kernel(4, "plain")
    for _ in range(12):
        place = rng.choice([-1.0, 1.0]) * 10.0 ** rng.uniform(0, 6)
        gaps = 10.0 ** rng.uniform(-12, 3, 3)
        scales = 2.0 ** rng.uniform(-2, 2, 4)
        coords = [*rng.dirichlet(np.ones(4))[:3], place, *gaps, *scales]
        mean = place + rng.choice([0.0, *np.cumsum(gaps)])
        x = mean + rng.uniform(-8, 8)
        assert _units(k, float(x), [float(c) for c in coords], 4, "plain") <= LIMIT, coords


def test_the_score_of_a_near_pair_far_from_zero_is_that_of_the_pair_at_zero():
    """A power of two moves the sample exactly: what the chart knows moves with it."""
    k = _kernel(3, "plain")
    x = np.array([-6.5, -0.25, 0.5, 3.0])
    near = np.array([0.3, 0.3, 0.0, 1e-9, 2.0, 1.0, 1.25, 1.5])
    far = near + 2.0**20 * (np.arange(8) == 2)
    assert Fraction(float(far[2])) == 2**20
    np.testing.assert_allclose(
        k.score_samples(x + 2.0**20, far), k.score_samples(x, near), rtol=2e-13
    )
