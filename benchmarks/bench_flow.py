"""A batched flow against one ``solve_ivp`` call for each trajectory. ``make bench``.

Both use the same kernel, DOP853, rtol 1e-8 and atol 1e-10, and must agree. The trajectories are 64
starts around a truth. A batch in which one member needs many times the evaluations of the others
gains less: its own evaluations follow one another, and nothing that is shared helps them.
"""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import relrep_sym as rs
from benchmarks.measure import BOUND, Overrun, bounded, seconds
from relrep_sym.errors import RelrepError

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
    calls, theirs = [], []

    def velocity(_, y):
        try:
            return kernel(y, truth)
        except RelrepError:  # a trial point outside: the step is made shorter
            return np.full_like(y, np.nan)

    def alone(start):
        found = solve_ivp(velocity, (0.0, 10.0), start, "DOP853", times, rtol=1e-8, atol=1e-10)
        calls.append(found.nfev)
        path = np.full((len(times), len(start)), np.nan)
        path[: found.y.shape[1]] = found.y.T
        return path

    def each():
        with bounded():
            for start in starts:
                theirs.append(alone(start))

    def together():
        return module.flow(starts, truth, times, field, full_output=True)

    results = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # near a singularity both say so, at each point
        module.flow(starts, truth, times[:2] / 10, field, full_output=True)  # warm
        ours = seconds(lambda: results.update(ours=together()))
        try:
            slow = seconds(each)
        except Overrun:
            slow = BOUND
    done = len(theirs)
    paths, stops = results["ours"]
    both = np.isfinite(paths[:done]).all((1, 2)) & np.isfinite(theirs).all((1, 2))
    assert both.any()
    expected = np.array(theirs)[both]
    np.testing.assert_allclose(paths[:done][both], expected, rtol=1e-5, atol=1e-6)
    apart = np.abs(paths[:done][both] - expected).max()
    title = f"64 trajectories, {field}, K = {components}, scales {scales}, {chart} chart"
    late = "" if done == MEMBERS else f"> {BOUND:.0f} s, {done} done; for 64 some"
    sys.stdout.write(
        f"\n{title}\n"
        f"  evaluations of a member alone: {min(calls)} to {max(calls)}, {np.mean(calls):.0f} on "
        f"average; {both.sum()} reach the end both ways, largest difference {apart:.1e}; "
        f"{len(stops)} stopped\n"
        f"  {'relrep_sym':42s} {ours * 1e3:10.3f} ms\n"
        f"  {'64 solve_ivp calls':42s} {late}{slow * MEMBERS / done * 1e3:10.3f} ms"
        f"   x {slow * MEMBERS / done / ours:8.2f}\n"
    )
