"""Sixty-four fits at once against sixty-four fits one by one. ``make bench``.

Both are EM by the same kernel from the same starts on N = 1000 points, and must agree. Every pair
is measured in one run, on a sample and starts of its own. Members that converge early leave the
batch: the long tail of a few slow ones gains less, since what is shared by one member is nothing.
"""

from __future__ import annotations

import statistics
import sys

import numpy as np
import pytest

import relrep_sym as rs
from benchmarks.measure import BOUND, Overrun, bounded, compare, seconds

MEMBERS, POINTS, PAIRS = 64, 1000, 3
TRUTHS = {
    2: (np.array([0.4, 0.6]), np.array([-1.5, 1.5]), np.array([1.0, 0.8])),
    3: (np.array([0.3, 0.4, 0.3]), np.array([-3.0, 0.0, 3.0]), np.array([1.0, 0.8, 1.2])),
}


def problem(components: int, chart: str, seed: int):
    """(module, a sample of the truth, starts around the truth)."""
    model = rs.mixture("normal", components=components)
    used = rs.relative(model, "mu") if chart == "relative" else rs.identity(model)
    module = rs.derive(model, used).compile()
    rng = np.random.default_rng(seed)
    weights, means, scales = TRUTHS[components]
    which = rng.choice(components, POINTS, p=weights)
    x = rng.normal(means[which], scales[which])
    rows = []
    for _ in range(MEMBERS):
        pi = rng.dirichlet(20 * weights)
        mu = np.sort(means + rng.uniform(-0.8, 0.8, components))
        rows.append([*pi[:-1], *mu, *(scales * rng.uniform(0.6, 1.6, components))])
    return module, x, module.from_model(np.array(rows))


def pair(stated, options):
    """(seconds at once, seconds one by one, steps of each member) of one sample.

    Where those one by one take longer than they may, the time of all follows from that of some.
    """
    module, x, starts = stated
    found: dict[str, object] = {}
    alone: list[float] = []

    def at_once():
        found["many"] = module.fit(x, starts, **options)

    def one_by_one():
        with bounded(BOUND / PAIRS):
            for s in starts:
                alone.append(module.fit(x, s, **options).log_likelihood)

    module.fit(x, starts[:2], max_iter=2)  # warm
    mine = seconds(at_once)
    try:
        each = seconds(one_by_one)
    except Overrun:
        each = BOUND / PAIRS * MEMBERS / len(alone)
    again = seconds(at_once)
    np.testing.assert_allclose(found["many"].log_likelihood[: len(alone)], alone, rtol=1e-8)
    return min(mine, again), each, found["many"].iterations


@pytest.mark.parametrize("until", ["50 steps", "converged or 300"])
@pytest.mark.parametrize(
    ("components", "chart"), [(2, "identity"), (3, "identity"), (3, "relative")]
)
def test_many_fits(components, chart, until):
    """64 fits of N = 1000, of 50 steps each or until a step gains no more than 1e-7, or 300."""
    options = (
        {"max_iter": 50, "tol": 0.0} if until == "50 steps" else {"tol": 1e-7, "max_iter": 300}
    )
    pairs = [pair(problem(components, chart, seed), options) for seed in range(PAIRS)]
    ours, theirs, steps = (list(column) for column in zip(*pairs, strict=True))
    ratios = [each / mine for mine, each in zip(ours, theirs, strict=True)]
    mean, most = np.mean(steps), np.mean([s.max() for s in steps])
    sys.stdout.write(
        f"\n64 fits of N = 1000, K = {components}, {chart} chart, {until}\n"
        f"  steps of a member: {mean:.0f} on average, {most:.0f} in the longest\n"
        f"  {'relrep_sym, at once':42s} {statistics.median(ours) * 1e3:10.3f} ms\n"
        f"  {'relrep_sym, 64 fits':42s} {statistics.median(theirs) * 1e3:10.3f} ms   x "
        f"{statistics.median(ratios):8.2f}   (from {min(ratios):.2f} to {max(ratios):.2f})\n"
    )


@pytest.mark.parametrize("points", [200, 1000])
def test_one_small_fit(points):
    """100 EM steps on a small sample, K = 3, against the same by hand: overhead, not throughput."""
    module, x, starts = problem(3, "identity", 0)
    x = x[:points].copy()

    def ours():
        return module.fit(x, starts[0], tol=0.0, max_iter=100)

    def by_hand():
        weights, mu, sigma = (a[:, None].copy() for a in module.components(starts[0]))
        for _ in range(100):
            z = (x - mu) / sigma
            dense = weights / sigma * np.exp(-0.5 * z * z)
            r = dense / dense.sum(axis=0)
            mass = r.sum(axis=1, keepdims=True)
            mu = (r * x).sum(axis=1, keepdims=True) / mass
            sigma = np.sqrt((r * (x - mu) ** 2).sum(axis=1, keepdims=True) / mass)
            weights = mass / points
        return weights, mu, sigma

    np.testing.assert_allclose(
        np.array(by_hand())[..., 0], module.components(ours().coords), rtol=1e-6
    )
    title = f"100 EM steps, N = {points}, K = 3"
    compare(title, ours, {"NumPy by hand, unguarded": by_hand}, rounds=15)
