"""The constrained maximiser of Q, searched for, against pooled means, grids and closed forms."""

from __future__ import annotations

import itertools

import mpmath
import numpy as np
import pytest
from mpmath import mp, mpf
from scipy import optimize, stats

from relrep_sym.errors import CertificateError
from relrep_sym.verify import Oracle, ratio
from relrep_sym.verify.constrained import optimum
from tests.verify.mixtures import NORMAL, closeness

X = [-3.0, -2.25, -1.0, -0.5, 0.125, 0.75, 1.5, 2.0, 3.25, 4.5]
W = [1.0, 2.0, 1.0, 0.5, 1.0, 3.0, 1.0, 1.0, 2.0, 1.0]
REAL, UP, OPEN, UNIT = (
    (-np.inf, np.inf, False),
    (0.0, np.inf, False),
    (0.0, np.inf, True),
    (0.0, 1.0, False),
)


def ordered(count, clearance=0.0, gap=lambda d: d):
    """(π_1 …, μ_1, Δ_1 …, σ): μ_k = μ_{k−1} + gap(Δ) + clearance, one scale."""

    def chart(c):
        weights = [*c[: count - 1], 1 - sum(c[: count - 1])]
        means = [c[count - 1]]
        for d in c[count : 2 * count - 1]:
            means.append(means[-1] + gap(d) + clearance)
        return weights, [(m, c[-1]) for m in means]

    names = [f"pi_{k}" for k in range(1, count)]
    names += ["mu_1", *(f"Delta_{k}" for k in range(1, count)), "sigma"]
    ends = [UNIT] * (count - 1) + [REAL] + [UP] * (count - 1) + [OPEN]
    return Oracle(NORMAL, chart, names), ends


def shares(here):
    """N_k and the responsibilities' means of x, at sixty digits."""
    total = mpmath.fsum(W)
    rows = [here.responsibilities(x) for x in X]
    masses, means = [], []
    for k in range(len(rows[0])):
        mass = [mpf(w) / total * row[k].value for w, row in zip(W, rows, strict=True)]
        masses.append(mpmath.fsum(mass))
        means.append(mp.fdot(mass, X) / masses[-1])
    return masses, means


def pooled(weights, values):
    """The nearest nondecreasing sequence in weighted squares: adjacent violators pooled."""
    blocks = []
    for w, v in zip(weights, values, strict=True):
        blocks.append((w, v, 1))
        while len(blocks) > 1 and blocks[-2][1] > blocks[-1][1]:
            (a, u, m), (b, v, n) = blocks[-2:]
            blocks[-2:] = [(a + b, (a * u + b * v) / (a + b), m + n)]
    return [v for _, v, n in blocks for _ in range(n)]


STARTS = {
    "in order": [0.25, 0.3, -2.0, 2.5, 2.5, 1.0],
    "merging": [0.25, 0.3, 0.5, 1e-6, 1e-6, 2.0],
    "all in one place": [0.25, 0.3, 0.5, 0.0, 0.0, 2.0],
    "a weight of 1e-12": [0.25, 1e-12, -2.0, 0.5, 2.5, 1.0],
    "far to the right": [0.25, 0.3, 30.0, 1.0, 1.0, 6.0],
}


QUICK = [("merging", 1.5), ("all in one place", 0.0), ("a weight of 1e-12", 1.5)]
SLOW = [(s, c) for s in STARTS for c in (0.0, 1.5, 4.0) if (s, c) not in QUICK]


@pytest.mark.parametrize(
    ("start", "clearance"), [*QUICK, *(pytest.param(*p, marks=pytest.mark.slow) for p in SLOW)]
)
def test_the_joint_step_of_ordered_means_pools_adjacent_violators(start, clearance):
    """With one scale μ_k − (k−1)c is the isotonic regression of m_k − (k−1)c, weights N_k."""
    oracle, ends = ordered(3, clearance)
    here = oracle.at(STARTS[start])
    found = optimum(here.em_objective(X, W), ends, tries=0)
    with mp.workdps(60):
        masses, means = shares(here)
        level = pooled(masses, [m - k * mpf(clearance) for k, m in enumerate(means)])
        level = [mp.mpf(v) for v in level]
        expected = [*masses[:2], level[0], level[1] - level[0], level[2] - level[1]]
        for got, value in zip(found.coords, expected, strict=False):
            assert abs(got.value - value) < mpf(10) ** -35 * (abs(value) + (value < 1e-50))
        variance = mp.zero
        total = mpmath.fsum(W)
        for k, v in enumerate(level):
            rows = [r[k].value for r in map(here.responsibilities, X)]
            centre = v + k * mpf(clearance)
            variance += mpmath.fsum(
                w / total * r * (x - centre) ** 2 for w, r, x in zip(W, rows, X, strict=True)
            )
        assert closeness(found.coords[-1].value, mpmath.sqrt(variance)) < mpf(10) ** -35
        for j in (0, 1):  # ∂Q/∂Δ_j = Σ_{k>j} N_k (m_k − μ_k)/σ²
            slope = sum(
                masses[k] * (means[k] - level[k] - k * mpf(clearance)) for k in range(j + 1, 3)
            )
            multiplier = found.multipliers[3 + j]
            if f"Delta_{j + 1}" in found.active:
                assert abs(multiplier.value - slope / variance) < mpf(10) ** -40
                assert multiplier.value < mpf(10) ** -40
            else:
                assert multiplier.value == 0


def test_a_saddle_of_q_is_left():
    """Q is even in Δ where μ_2 = μ_1 + Δ²: at Δ = 0 it has no slope, and rises to both sides."""
    oracle, ends = ordered(2, gap=lambda d: d * d)
    ends[2] = REAL
    here = oracle.at([0.25, -2.0, 0.0, 1.0])
    found = optimum(here.em_objective(X, W), ends, blocks=[["Delta_1"], ["sigma"]], tries=0)
    with mp.workdps(60):
        _, means = shares(here)
        assert abs(found.coords[2].value ** 2 - (means[1] + 2)) < mpf(10) ** -35


def test_an_error_of_1e_12_is_seen_and_one_of_rounding_is_not():
    oracle, ends = ordered(3, 4.0)
    found = optimum(oracle.at([0.25, 0.3, -1.0, 1.0, 1.0, 2.0]).em_objective(X, W), ends, tries=0)
    assert found.active
    for measured in (*found.coords, *found.multipliers, found.gain):
        value = float(measured.value)
        assert ratio(value, measured) < 2
        assert ratio(value * (1 + 1e-12) + (value == 0) * 1e-12, measured) > 64


@pytest.mark.slow
def test_the_sensitivity_is_that_of_the_whole_step():
    """Σ_j |λ_j ∂λ⁺_i/∂λ_j| by differences, of a joint step and of conditional ones."""
    oracle, ends = ordered(3, 1.5)
    start, step = [0.25, 0.3, -2.0, 2.0, 2.5, 1.0], 1e-7
    single = [[n] for n in oracle.names]
    for blocks, sweeps in ((None, 1), (single, 2)):
        there = optimum(
            oracle.at(start).em_objective(X, W), ends, blocks=blocks, sweeps=sweeps, tries=0
        )
        values = (*there.coords, *there.multipliers, there.gain)
        expected = [0.0] * len(values)
        for j in range(6):
            moved = [c * (1 + step * (i == j)) for i, c in enumerate(start)]
            other = optimum(
                oracle.at(moved).em_objective(X, W), ends, blocks=blocks, sweeps=sweeps, tries=0
            )
            for i, m in enumerate((*other.coords, *other.multipliers, other.gain)):
                expected[i] += abs(float(m.value - values[i].value)) / step
        for got, value in zip(values, expected, strict=True):
            assert float(got.sensitivity) == pytest.approx(value, rel=1e-4, abs=1e-9)


def test_algorithm_1_is_two_conditional_steps_in_turn():
    """μ_1 = (Σ r_1 x + Σ r_2 (x − Δ)) / Σ (r_1 + r_2), then Δ = max(0, m_2 − μ_1)."""
    oracle, ends = ordered(2)
    for start in ([0.4, -1.0, 1.5, 1.0], [0.4, 4.0, 0.25, 1.0], [0.4, 9.0, 0.0, 0.5]):
        here = oracle.at(start)
        found = optimum(here.em_objective(X, W), ends, blocks=[["mu_1"], ["Delta_1"]], sweeps=2)
        with mp.workdps(60):
            (n1, n2), (m1, m2) = shares(here)
            delta = mpf(start[2])
            for _ in range(2):
                mu = n1 * m1 + n2 * (m2 - delta)
                delta = max(mp.zero, m2 - mu)
            assert closeness(found.coords[1].value, mu) < mpf(10) ** -35
            assert closeness(found.coords[2].value, delta) < mpf(10) ** -35
            assert [found.coords[i].value for i in (0, 3)] == [start[0], start[3]]
            if delta == 0:
                slope = n2 * (m2 - mu) / mpf(start[3]) ** 2
                assert closeness(found.multipliers[2].value, slope) < mpf(10) ** -35


def test_a_squared_gap_rests_at_zero_where_the_data_are_in_reverse_order():
    """Δ = 0 is stationary always; of all stationary points the highest is taken."""
    oracle, _ = ordered(2, 3.0, lambda d: d * d)
    ends = [UNIT, REAL, REAL, OPEN]
    wide = optimum(oracle.at([0.4, -1.0, 0.5, 1.0]).em_objective(X, W), ends, tries=2)
    assert wide.coords[2].value ** 2 > 0.01 or abs(wide.coords[2].value) < 1e-60
    tight, _ = ordered(2, 30.0, lambda d: d * d)
    found = optimum(tight.at([0.4, 4.0, 0.5, 10.0]).em_objective(X, W), ends, tries=2)
    assert abs(found.coords[2].value) < mpf(10) ** -60


def test_a_gap_that_cannot_vanish_has_no_maximum_there():
    oracle, _ = ordered(2, 30.0, mpmath.exp)
    ends = [UNIT, REAL, REAL, OPEN]
    with pytest.raises(CertificateError, match="no maximum on any face"):
        optimum(oracle.at([0.4, 4.0, -1.0, 10.0]).em_objective(X, W), ends, tries=0)


def scales_in_order(clearance):
    """(π_1, μ_1, μ_2, σ_1, Δ): σ_2 = σ_1 + Δ + clearance."""

    def chart(c):
        return [c[0], 1 - c[0]], [(c[1], c[3]), (c[2], c[3] + c[4] + clearance)]

    names = ("pi_1", "mu_1", "mu_2", "sigma_1", "Delta")
    return Oracle(NORMAL, chart, names), [UNIT, REAL, REAL, OPEN, UP]


@pytest.mark.parametrize(
    "clearance",
    [0.5, pytest.param(0.0, marks=pytest.mark.slow), pytest.param(4.0, marks=pytest.mark.slow)],
)
def test_an_additive_clearance_of_scales_is_searched_as_it_is(clearance):
    """Not convex: a grid over σ_1 on both faces has no higher point."""
    oracle, ends = scales_in_order(clearance)
    start = [0.5, -1.5, 2.0, 1.5, 0.5]
    here = oracle.at(start)
    found = optimum(here.em_objective(X, W), ends, tries=2)
    best = [float(m.value) for m in found.coords]
    weights = np.array(W) / sum(W)
    logs = np.stack(
        [
            np.log(p) + stats.norm.logpdf(X, m, s)
            for p, m, s in zip((0.5, 0.5), (-1.5, 2.0), (1.5, 1.5 + 0.5 + clearance), strict=True)
        ]
    )
    r = weights * np.exp(logs - np.logaddexp(*logs))
    mass, means = r.sum(axis=1), r @ X / r.sum(axis=1)
    spread = [float(r[k] @ (np.array(X) - means[k]) ** 2) for k in (0, 1)]

    def q(s1, d):
        return -sum(
            n * np.log(s) + v / s**2 / 2
            for n, v, s in zip(mass, spread, (s1, s1 + d + clearance), strict=True)
        )

    grid = max(
        q(a, b) for a, b in itertools.product(np.linspace(0.1, 6, 400), np.linspace(0, 4, 200))
    )
    assert q(best[3], best[4]) >= grid
    polished = optimize.minimize_scalar(lambda a: -q(a, 0.0), bounds=(0.1, 6), method="bounded")
    assert q(best[3], best[4]) >= -polished.fun - 1e-12
    assert best[:3] == pytest.approx([mass[0], *means], rel=1e-12)


def test_a_weight_with_both_ends_closed_rests_at_either():
    """π_1 = 1/4 + c/8 with c in [0, 1]."""

    def chart(c):
        p = mpf(1) / 4 + c[0] / 8
        return [p, 1 - p], [(c[1], mpf(1)), (c[2], mpf(1))]

    oracle = Oracle(NORMAL, chart, ("c", "mu_1", "mu_2"))
    ends = [UNIT, REAL, REAL]
    low = optimum(oracle.at([0.5, -4.0, 0.0]).em_objective(X, W), ends)
    high = optimum(oracle.at([0.5, 0.0, 5.0]).em_objective(X, W), ends)
    assert (low.coords[0].value, high.coords[0].value) == (0, 1)
    assert low.multipliers[0].value < 0 < high.multipliers[0].value
    assert low.active == high.active == ("c",)


def test_a_coordinate_whose_multiplier_is_zero_may_lie_a_rounding_inside():
    """Data that are symmetric about both components: their means coincide of themselves."""
    oracle, ends = ordered(2)
    found = optimum(oracle.at([0.5, 0.0, 0.0, 1.0]).em_objective([-1.0, 0.0, 1.0]), ends)
    assert abs(found.coords[2].value) < mpf(10) ** -40
    assert ratio(1e-16, found.coords[2]) < 2
    assert ratio(1e-13, found.coords[2]) > 64


@pytest.mark.slow
def test_of_five_ordered_means_every_face_is_searched():
    oracle, ends = ordered(5, 1.0)
    start = [0.2, 0.2, 0.2, 0.2, 3.0, 0.25, 0.25, 0.25, 0.25, 2.0]
    here = oracle.at(start)
    found = optimum(here.em_objective(X, W), ends, blocks=[oracle.names[4:9]], tries=0)
    with mp.workdps(60):
        masses, means = shares(here)
        level = pooled(masses, [m - k for k, m in enumerate(means)])
        assert closeness(found.coords[4].value, level[0]) < mpf(10) ** -35
        for j in range(4):
            assert closeness(found.coords[5 + j].value, level[j + 1] - level[j]) < mpf(10) ** -35
