"""EM steps in any chart against Q as defined, a general convex solver, and fractions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import optimize

import relrep_sym as rs
from relrep_sym.errors import DomainError
from tests.steps import (
    CHARTS,
    MODELS,
    Stated,
    nudged,
    rounding,
    sample,
    start,
    stated,
    weighing,
)

CELLS = [
    (m, c, k)
    for m, c, k in itertools.product(MODELS, CHARTS, (2, 3, 4, 5))
    if not (c == "scales in order" and "normal, " in m)
]
QUICK = [
    ("normal, unit", "cleared", 3), ("poisson", "weights cleared", 2),
    ("normal, tied", "from the last", 3), ("exponential", "cleared", 2),
]  # fmt: skip


def marked(cells):
    return [c if c in QUICK else pytest.param(*c, marks=pytest.mark.slow) for c in cells]


def tried(case: Stated, seeds: int, size: int):
    """Starts with samples, and the step from there; collapsing scales are left out, and weights
    below the roundings of the others, which the coordinates cannot hold.
    """
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        x, w = sample(case, rng, size)
        if seed % 3 == 2:  # so narrow that a clearance holds components together
            x = x % 2 if case.chart.model.family.support == "integers" else 0.05 * x
        old = start(case, rng)
        try:
            weights, _ = case.mixture(case.module.em_step(x, old, w))
        except DomainError:
            continue
        if weights.min() > 0:
            yield rng, x, w, old, case.module.em_step(x, old, w, full_output=True)


def solved(case: Stated, q, begin: np.ndarray) -> np.ndarray:
    """The maximiser by SciPy from a start, SLSQP with the weights' sum kept below one."""
    names = case.chart.names
    weights = [j for j, n in enumerate(names) if n.startswith(("pi_", "omega_"))]
    low, high = np.array(case.bounds).T
    low = np.maximum(
        low, np.where([c.domain.open_lower for c in case.chart.coordinates], 1e-8, low)
    )
    limits = list(zip(low, high, strict=True))
    rest = {"type": "ineq", "fun": lambda c: 1 - 1e-9 - case_sum(case, c)}
    found = optimize.minimize(
        lambda c: min(-q(c), 1e12), begin, method="SLSQP", bounds=limits,
        constraints=[rest] if weights else [], options={"maxiter": 300, "ftol": 1e-13},
    )  # fmt: skip
    return found.x


def case_sum(case: Stated, coords: np.ndarray) -> float:
    """Σ of all weights but the last, as declared."""
    weights, _ = case.mixture(coords)
    return float(weights[:-1].sum())


@pytest.mark.parametrize(("model", "chart", "count"), marked(CELLS))
def test_no_point_of_the_domain_is_higher_than_an_em_step(model, chart, count):
    """Neither SciPy's maximiser nor points nearby; and the multipliers are Q's slopes there."""
    case = stated(model, chart, count)
    seen, active = 0, 0
    for rng, x, w, old, step in tried(case, 8, 60):
        q = case.q(x, old, w)
        best = q(step.coords)
        slack = rounding(case, x, step.coords, w) + rounding(case, x, old, w)
        slack += weighing(case, x, old, step.coords, w)
        assert best >= q(old) - slack
        assert abs(best - q(old) - step.gain) <= slack
        assert q(solved(case, q, old)) <= best + slack
        for reach in (1e-6, 1e-3, 0.1, 1.0):
            for _ in range(10):
                assert q(nudged(case, step.coords, rng, reach)) <= best + slack
        for name, value in step.multipliers.items():
            j = case.chart.names.index(name)
            if np.any(value):
                active += 1
                inward = 1e-6 if step.coords[j] == case.bounds[j][0] else -1e-6
                move = inward * np.eye(step.coords.size)[j]
                # to second order: a component of a small scale bends Q by more than 1e3
                once, twice = q(step.coords + move), q(step.coords + 2 * move)
                slope = (4 * (once - best) - (twice - best)) / 2e-6
                assert slope == pytest.approx(-value, rel=1e-3, abs=1e-4)
        seen += 1
    assert seen >= 3
    if chart in ("cleared", "from the last"):
        assert active >= 1


TURNS = [("normal, unit", "cleared", 3), ("normal", "square", 2), ("exponential", "plain", 3)]


def along(case: Stated, q, coords: np.ndarray, j: int) -> float:
    """The highest Q on a line through a point, by a grid on both sides and SciPy from its best."""
    low, high = case.bounds[j]
    reach = (1 + abs(coords[j])) * np.logspace(-6, 1.5, 60)
    values = np.concatenate([coords[j] - reach, [coords[j], low, high], coords[j] + reach])
    values = np.sort(values[np.isfinite(values) & (values >= low) & (values <= high)])

    def line(value: float) -> float:
        return q(np.where(np.arange(coords.size) == j, value, coords))

    heights = [line(v) for v in values]
    best = int(np.argmax(heights))
    bracket = values[max(best - 1, 0)], values[min(best + 1, len(values) - 1)]
    found = optimize.minimize_scalar(
        lambda v: min(-line(v), 1e12), bounds=bracket, method="bounded"
    )
    return max(heights[best], -float(found.fun))


@pytest.mark.parametrize(
    ("model", "chart", "count"),
    [c if c in TURNS else pytest.param(*c, marks=pytest.mark.slow) for c in CELLS],
)
def test_each_turn_of_an_ecm_step_is_the_highest_point_of_its_line(model, chart, count):
    """The first k of an order give what the k-th turn starts from; only its coordinate moves."""
    case = stated(model, chart, count)
    seen = 0
    for seed in range(4):
        rng = np.random.default_rng(seed)
        x, w = sample(case, rng, 60)
        old = start(case, rng)
        q, names = case.q(x, old, w), [str(n) for n in rng.permutation(case.chart.names)]
        before = old
        for k, name in enumerate(names, start=1):
            try:
                after = case.module.ecm_step(x, old, names[:k], weights=w)
            except DomainError:
                break
            if case.mixture(after)[0].min() <= 0:
                break
            j = case.chart.names.index(name)
            moved = np.flatnonzero(after != before)
            assert set(moved.tolist()) <= {j}
            slack = rounding(case, x, after, w) + rounding(case, x, before, w)
            assert q(after) >= along(case, q, after, j) - slack
            before, seen = after, seen + 1
    assert seen >= 4


def test_a_weight_lost_to_rounding_leaves_the_gain_finite():
    """N_3 = 1e-21 is lost in 1 − π_1 − π_2."""
    case = stated("normal, unit", "plain", 3)
    x = np.linspace(-1.0, 1.0, 9)
    step = case.module.em_step(x, [0.3, 0.3, 0.0, 0.5, 9.0], full_output=True)
    assert np.isfinite(step.gain)
    assert step.residual < 1e-14


def test_counts_that_are_all_zero_are_refused_without_a_warning():
    case = stated("poisson", "square", 3)
    coords = [0.0035702044128424564, 0.19, 1.648408641152837, 2.001001139462386, 0.8]
    with pytest.raises(DomainError):
        case.module.ecm_step(np.zeros(4), coords, ["rate_1"])


def test_a_turn_too_small_for_q_to_tell_is_taken():
    """After a sweep v_2 has moved by 4e-6 and asks 2e-9 of v_1: far below the roundings of Q."""
    model = rs.mixture("poisson", components=3)
    chart = rs.stick_breaking(rs.relative(model, "rate", reference="last"), clearance="1/50")
    k = rs.derive(model, chart, name="small").compile()
    x, start = [0.0, 1.0, 2.0, 2.0, 3.0, 5.0, 7.0], [1 / 3, 0.5, 7e-7, 1.827, 2.527]
    twice = k.ecm_step(x, start, ["v_2", "v_1"], sweeps=3, full_output=True)
    assert twice.residual < 1e-14
