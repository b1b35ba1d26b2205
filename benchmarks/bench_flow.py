"""A batched flow against one ``solve_ivp`` call for each trajectory. ``make bench``.

Both use the same kernel, DOP853, rtol 1e-8 and atol 1e-10, and must agree. The trajectories are 64
starts around a truth. A batch in which one member needs many times the evaluations of the others
gains less: its own evaluations follow one another, and nothing that is shared helps them.
"""

from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import relrep_sym as rs
from benchmarks.measure import seconds

MEMBERS = 64
TRUTHS = {
    2: (np.array([0.4, 0.6]), np.array([-1.0, 1.5]), np.array([1.0, 1.0])),
    3: (np.array([0.3, 0.4, 0.3]), np.array([-2.5, 0.0, 2.0]), np.array([1.0, 0.8, 1.2])),
}


def problem(components: int, scales: object, chart: str):
    """(module, starts around the truth, truth)."""
    model = rs.mixture("normal", components=components, scales=scales)
    used = rs.relative(model, "mu") if chart == "relative" else rs.identity(model)
    module = rs.derive(model, used).compile()
    rng = np.random.default_rng(0)
    weights, means, sigmas = TRUTHS[components]
    rows = []
    for _ in range(MEMBERS):
        pi = rng.dirichlet(40 * weights)
        mu = np.sort(means + rng.uniform(-0.6, 0.6, components))
        sigma = sigmas * rng.uniform(0.7, 1.4, components)
        rows.append([*pi[:-1], *mu, *(sigma if scales == "free" else ())])
    return module, module.from_model(np.array(rows)), TRUTHS[components]


@pytest.mark.parametrize("field", ["gradient", "natural"])
@pytest.mark.parametrize(
    ("components", "scales", "chart"),
    [
        (2, 1, "relative"),
        (2, "free", "relative"),
        (3, "free", "relative"),
        (3, "free", "identity"),
    ],
)
def test_flow(components, scales, chart, field):
    """64 trajectories to t = 10, at 21 times."""
    module, starts, truth = problem(components, scales, chart)
    times = np.linspace(0.0, 10.0, 21)
    kernel = module.averaged_field if field == "gradient" else module.natural_field
    calls = []

    def alone(start):
        found = solve_ivp(
            lambda _, y: kernel(y, truth), (0.0, 10.0), start, "DOP853", times,
            rtol=1e-8, atol=1e-10,
        )  # fmt: skip
        calls.append(found.nfev)
        return found.y.T

    def each():
        return np.stack([alone(start) for start in starts])

    def together():
        return module.flow(starts, truth, times, field, full_output=True)[0]

    results = {}
    module.flow(starts, truth, times[:2] / 10, field, full_output=True)  # warm
    ours = seconds(lambda: results.update(ours=together()))
    theirs = seconds(lambda: results.update(theirs=each()))
    np.testing.assert_allclose(results["ours"], results["theirs"], rtol=1e-5, atol=1e-6)
    apart = np.abs(results["ours"] - results["theirs"]).max()
    title = f"64 trajectories, {field}, K = {components}, scales {scales}, {chart} chart"
    sys.stdout.write(
        f"\n{title}\n"
        f"  evaluations of a member alone: {min(calls)} to {max(calls)}, {np.mean(calls):.0f} on "
        f"average; largest difference {apart:.1e}\n"
        f"  {'relrep_sym':42s} {ours * 1e3:10.3f} ms\n"
        f"  {'64 solve_ivp calls':42s} {theirs * 1e3:10.3f} ms   x {theirs / ours:8.2f}\n"
    )
