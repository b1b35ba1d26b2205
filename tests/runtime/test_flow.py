"""Flows against SciPy's solve_ivp alone, stops against events, members against each other."""

from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from relrep_sym.errors import DataError, DomainError, FlowWarning
from relrep_sym.runtime.expectation import Nodes
from tests.runtime.models import compiled, normals, theta

PAIR = ([0.4, 0.6], [-1.0, 1.5], [1.0, 1.0])
ONE = ([1.0], [0.3], [1.0])


def alone(module, start, truth, times, field="averaged_field", method="DOP853", rtol=1e-12):
    """The same flow by a SciPy call of its own."""
    kernel = getattr(module, field)
    found = solve_ivp(
        lambda _, y: kernel(y, truth), times[[0, -1]], start, method, times, rtol=rtol, atol=1e-14
    )
    assert found.success
    return found.y.T


def starts(module, count, seed=0):
    """Well-separated mixtures near the truths of these tests."""
    rng = np.random.default_rng(seed)
    k = max(int(n.rpartition("_")[2]) for n in module.PARAMETERS if n.startswith("mu_"))
    out = []
    for _ in range(count):
        mixture = (
            rng.dirichlet(np.full(k, 40.0)),
            np.linspace(-1.5, 1.5, k) + rng.uniform(-0.2, 0.2, k),
            rng.uniform(0.8, 1.2, k),
        )
        out.append(module.from_model(theta(module, mixture)))
    return np.array(out)


# ------------------------------------------------------------------------------ the solution


@pytest.mark.parametrize("field", ["gradient", "natural"])
@pytest.mark.parametrize(
    ("components", "chart", "patterns"),
    [(2, "relative", {"scales": 1}), (2, "square", {}), (3, "relative", {"scales": 1})],
)
def test_a_flow_is_the_solution_of_its_equations(components, chart, patterns, field):
    module = compiled("normal", components, chart, **patterns)
    times, many = np.linspace(0.5, 1.5, 7), starts(module, 2)
    found = module.flow(many, PAIR, times, field)
    assert found.shape == (2, 7, len(module.COORDINATES))
    np.testing.assert_array_equal(found[:, 0], many)
    kernel = "averaged_field" if field == "gradient" else "natural_field"
    for start, path in zip(many, found, strict=True):
        np.testing.assert_allclose(path, alone(module, start, PAIR, times, kernel), atol=1e-7)


@pytest.mark.parametrize("method", ["DOP853", "RK45", "RK23"])
def test_one_member_takes_the_steps_of_solve_ivp(method):
    module = compiled("normal", 2, "relative", scales=1)
    start, times = starts(module, 1)[0], np.linspace(0.0, 3.0, 9)
    found = module.flow(start, PAIR, times, method=method, rtol=1e-5, atol=1e-14)
    expected = alone(module, start, PAIR, times, method=method, rtol=1e-5)
    exact = alone(module, start, PAIR, times)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)
    assert np.abs(found - exact).max() > 1e-9  # the two share their error, and it is one


def test_every_member_is_as_if_alone():
    """A member beside others, easy or stiff, is the member alone."""
    module = compiled("normal", 3, "relative")
    weights, means, _ = normals(3, seed=2)
    stiff = module.from_model(theta(module, (weights, means, np.array([1.0, 0.02, 1.0]))))
    many, times = np.stack([*starts(module, 3), stiff]), np.array([0.0, 0.003, 0.01])
    together = module.flow(many, PAIR, times)
    for start, path in zip(many, together, strict=True):
        np.testing.assert_allclose(module.flow(start, PAIR, times), path, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(together[3], alone(module, stiff, PAIR, times), atol=1e-8)


def test_shapes_follow_the_starts_leading_axes():
    module = compiled("normal", 2, scales=1)
    many, times = starts(module, 6).reshape(2, 3, -1), [0.0, 0.25]
    found = module.flow(many, PAIR, times)
    assert found.shape == (2, 3, 2, 3)
    np.testing.assert_allclose(found[1, 2], module.flow(many[1, 2], PAIR, times), rtol=1e-12)
    np.testing.assert_array_equal(module.flow(many, PAIR, [7.0]), many[:, :, None])
    truth = module.components(many[0, 0])
    np.testing.assert_allclose(
        module.flow(many[0, 0], truth, times), [many[0, 0]] * 2, atol=1e-12
    )  # a truth that is the model itself is at rest


def test_more_members_than_are_stepped_at_once():
    module = compiled("poisson", 1)
    rates = np.linspace(0.5, 4.0, 700)
    found = module.flow(rates[:, None], ([1.0], [2.0]), [0.0, 1.0, 2.0])
    t = 2.0  # dr/dt = 2/r − 1: r + 2 log|r − 2| falls by t
    start, end = rates, found[:, -1, 0]
    np.testing.assert_allclose(
        end + 2 * np.log(np.abs(end - 2)), start + 2 * np.log(np.abs(start - 2)) - t, atol=1e-6
    )


def test_rates_multiply_the_velocities():
    module = compiled("normal", 2, "relative", scales=1)
    start, times = starts(module, 1)[0], np.linspace(0.0, 2.0, 5)
    rates = np.array([0.1, 1.0, 3.0])
    expected = solve_ivp(
        lambda _, y: rates * module.averaged_field(y, PAIR), (0, 2), start, "DOP853", times,
        rtol=1e-12, atol=1e-14,
    ).y.T  # fmt: skip
    np.testing.assert_allclose(module.flow(start, PAIR, times, rates=rates), expected, atol=1e-7)
    np.testing.assert_allclose(
        module.flow(start, PAIR, times, rates=0.5), module.flow(start, PAIR, times / 2), atol=1e-7
    )


@pytest.mark.parametrize("field", ["gradient", "natural"])
def test_learning_ends_at_a_truth_within_the_model(field):
    module = compiled("normal", 2, scales=1)
    found = module.flow(starts(module, 2), PAIR, [0.0, 100.0], field, rtol=1e-6)
    np.testing.assert_allclose(found[:, -1], [[0.4, -1.0, 1.5]] * 2, atol=1e-5)


def test_natural_learning_near_the_truth_is_one_exponential():
    """F⁺∇L is −(λ − λ*) to first order: every coordinate decays as e^{-t}."""
    module = compiled("normal", 3, scales=1)
    truth = ([0.3, 0.3, 0.4], [-2.0, 0.0, 2.5], [1.0, 1.0, 1.0])
    rest = np.array([0.3, 0.3, -2.0, 0.0, 2.5])
    away = 1e-5 * np.array([1.0, -2.0, 1.0, 2.0, -1.0])
    found = module.flow(rest + away, truth, [0.0, 1.0], "natural", rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(found[1] - rest, away * np.exp(-1.0), rtol=2e-3)


def test_a_sample_is_a_truth():
    module = compiled("normal", 2, "relative")
    x = np.random.default_rng(3).normal(size=40)
    start, times = starts(module, 1)[0], np.array([0.0, 0.5, 1.0])
    found = module.flow(start, Nodes(x, np.full(40, 1 / 40)), times)
    expected = solve_ivp(
        lambda _, y: module.score(x, y), (0, 1), start, "DOP853", times, rtol=1e-12, atol=1e-14
    ).y.T
    np.testing.assert_allclose(found, expected, atol=1e-7)


# ------------------------------------------------------------------------------ stops


def crossing(module, start, truth, margin, span):
    """When a function of the coordinates crosses zero, by an event of SciPy's on the same field."""

    def event(_, y):
        return margin(y)

    event.terminal = True
    field = module._solver()
    open_ended = field.chart._replace(lower=(-np.inf,) * len(start), upper=(np.inf,) * len(start))
    free = type(field)(open_ended, field.form)
    found = solve_ivp(
        lambda _, y: free.averaged_field(y, truth), (0, span), start, "DOP853",
        events=event, rtol=1e-12, atol=1e-14,
    )  # fmt: skip
    assert len(found.t_events[0]) == 1
    return found.t_events[0][0], found.y_events[0][0]


@pytest.mark.parametrize("method", ["auto", "RK45", "Radau"])
def test_a_member_that_crosses_delta_zero_is_stopped_there_and_named(method):
    """Far right of the data dΔ/dt = (1 − π) E[x − μ] < 0 also at Δ = 0, where the chart ends."""
    module = compiled("normal", 2, "relative", scales=1)
    truth, many = PAIR, np.array([[0.5, 2.5, 0.3], [0.4, -1.0, 1.0]])
    time, there = crossing(module, many[0], truth, lambda y: y[2], 20.0)
    times = np.array([0.0, 0.5 * time, 0.999 * time, 1.001 * time, 2 * time])
    with pytest.warns(FlowWarning, match=r"1 of 2 members .*\[0\] at t = .*Delta_1 leaves .* at 0"):
        found = module.flow(many, truth, times, method=method, rtol=1e-9)
    assert np.isfinite(found[0, :3]).all()
    assert np.isnan(found[0, 3:]).all()
    assert np.isfinite(found[1]).all()
    np.testing.assert_allclose(found[1], alone(module, many[1], truth, times), atol=1e-7)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        options = {"full_output": True, "method": method, "rtol": 1e-9}
        _, (stop,) = module.flow(many, truth, times + 5.0, **options)
    assert (stop.member, stop.name) == ((0,), "Delta_1")
    assert stop.time == pytest.approx(5.0 + time, abs=1e-7)
    np.testing.assert_allclose(stop.coords, there, atol=1e-7)
    assert 0.0 <= stop.coords[2] < 1e-12


def test_trial_points_beyond_the_chart_stop_nobody():
    """A member near Δ = 0 that does not cross it goes on: steps may try what lies beyond."""
    module = compiled("normal", 2, "relative", scales=1)
    start = np.array([0.5, 0.0, 0.02])
    found, stops = module.flow(start, PAIR, np.linspace(0, 60, 3), full_output=True)
    assert stops == []
    assert found[-1, 2] == pytest.approx(2.5, abs=1e-2)


@pytest.mark.parametrize("components", [2, 3])
def test_a_weight_that_vanishes_stops_its_member_where_the_chart_cannot_tell(components):
    """In the identity chart weights fall to 1e-13 in finite time. Where the field at the edge leads
    back there is no crossing, and none is claimed.
    """
    module = compiled("normal", components, scales=1)
    mu = np.array([0.3, 6.0]) if components == 2 else np.array([0.3, 0.8, 6.0])
    start = np.concatenate([np.full(components - 1, 1.0 / components), mu])
    last = slice(None, components - 1)
    _, (stop,) = module.flow(start, ONE, [0.0, 30.0], full_output=True)
    assert 1 - stop.coords[last].sum() == pytest.approx(0.0, abs=1e-10)
    assert stop.name == ("pi_1" if components == 2 else "weight of component 3")
    edge = stop.coords.copy()
    edge[0] += 1 - edge[last].sum()
    back = module.averaged_field(edge, ONE)[last].sum() < 0
    assert back is np.bool_("too near to it for double precision to tell" in stop.reason)
    nearly = solve_ivp(
        lambda _, y: module.averaged_field(y, ONE), (0.0, 30.0), start, "DOP853",
        events=_nearly(last), rtol=1e-11, atol=1e-13,
    )  # fmt: skip
    (near,) = nearly.t_events[0]
    assert stop.time == pytest.approx(near, rel=1e-3) if not back else stop.time > near
    reached = module.flow(start, ONE, [0.0, near])[1]
    np.testing.assert_allclose(reached, nearly.y_events[0][0], atol=1e-7)


def _nearly(last):
    def event(_, y):
        return 1 - y[last].sum() - 1e-4

    event.terminal = True
    return event


def test_a_scale_that_collapses_on_one_observation_stops_its_member():
    """A component alone on a point: dσ/dt = −w/σ, so that σ² = σ₀² − 2wt reaches zero."""
    module = compiled("normal", 2)
    sample = Nodes(np.array([0.0, 100.0, 101.0, 99.0]), np.full(4, 0.25))
    many = np.array([[0.25, 0.0, 100.0, 0.5, 1.0], [0.25, 0.0, 100.0, 1.0, 1.0]])
    times = np.array([0.0, 0.2, 0.49, 0.51, 1.0])
    found, stops = module.flow(many, sample, times, full_output=True)
    assert [s.member for s in stops] == [(0,)]
    assert stops[0].time == pytest.approx(0.5, abs=1e-7)
    assert stops[0].name == "sigma_1"
    np.testing.assert_allclose(found[:, 1, 3] ** 2, many[:, 3] ** 2 - 0.1, rtol=1e-7)
    assert np.isnan(found[0, 3:]).all()
    np.testing.assert_allclose(found[1, :, 3] ** 2, 1.0 - 0.5 * times, rtol=1e-7)


def test_a_rate_that_falls_to_zero_is_named():
    """Counts that are all zero: dr/dt = −1 in a component alone."""
    module = compiled("poisson", 1)
    found, (stop,) = module.flow(
        [1.0], Nodes(np.zeros(3), np.ones(3)), [0.0, 0.5, 2.0], full_output=True
    )
    assert found[1, 0] == pytest.approx(0.5, abs=1e-12)
    assert (stop.member, stop.name) == ((), "rate_1")
    assert stop.time == pytest.approx(1.0, abs=1e-9)


def test_what_happens_to_one_member_does_not_disturb_the_others():
    module = compiled("normal", 2)
    sample = Nodes(np.array([0.0, 100.0, 101.0, 99.0]), np.full(4, 0.25))
    calm, doomed = [0.25, 0.0, 100.0, 1.0, 1.0], [0.25, 0.0, 100.0, 0.3, 1.0]
    extreme = [0.25, 1e200, 1e200, 1.0, 1.0]  # its field overflows at once
    times = np.linspace(0.0, 0.8, 5)
    found, stops = module.flow([doomed, calm, extreme], sample, times, full_output=True)
    assert [s.member for s in stops] == [(0,), (2,)]
    assert stops[1].time == 0.0
    np.testing.assert_allclose(found[1], module.flow(calm, sample, times), rtol=1e-12)


def test_rounding_at_the_edge_of_the_domain_is_no_crossing():
    """Δ = 0 with both components at the best single normal is at rest, to rounding."""
    module = compiled("normal", 2, "relative", scales=1)
    found = module.flow([0.5, 0.3, 0.0], ONE, [0.0, 1.0, 10.0])
    np.testing.assert_allclose(found, [[0.5, 0.3, 0.0]] * 3, atol=1e-13)
    assert (found[:, 2] >= 0).all()


# ------------------------------------------------------------------------------ arguments


BAD = [
    ({"times": [0.0, np.nan]}, r"times\[1\] is not finite"),
    ({"times": [0.0, 2.0, 1.0]}, r"times neither .*; given: times\[1\] = 2.0, times\[2\] = 1.0"),
    ({"times": [0.0, -2.0, -1.0]}, r"times neither .*; given: times\[1\] = -2.0, times\[2\] = -1"),
    ({"times": [0.0, 0.0]}, "times neither ascend nor descend"),
    ({"times": 1.0}, "times has the wrong shape"),
    ({"times": []}, "times has the wrong shape"),
    ({"times": [[0.0, 1.0]]}, "times has the wrong shape"),
    ({"field": "euclidean"}, 'unknown field; given: euclidean; expected: "gradient" or "natural"'),
    ({"method": "LSODA"}, "unknown method; given: LSODA"),
    ({"max_evaluations": 0}, "max_evaluations is no count; given: 0"),
    ({"max_evaluations": 1e4}, "max_evaluations is no count"),
    ({"rates": [1.0, 2.0]}, r"rates has the wrong shape; given: shape \(2,\)"),
    ({"rates": [1.0, 0.0, 1.0]}, "rates is too small; given: 0.0; expected: rates > 0"),
    ({"rtol": 0.0}, "rtol is no tolerance"),
    ({"rtol": "small"}, "rtol is no tolerance"),
    ({"atol": -1.0}, "atol is too small"),
    ({"rcond": 1.5}, "rcond is no cut-off"),
    ({"truth": "N(0, 1)"}, "this is no truth"),
    ({"start": [0.5, 0.0]}, "coords has the wrong shape"),
]


@pytest.mark.parametrize(("wrong", "text"), BAD, ids=[str(next(iter(b[0].items()))) for b in BAD])
def test_what_is_wrong_is_named(wrong, text):
    module = compiled("normal", 2, "relative", scales=1)
    given = {"start": [0.5, 0.0, 1.0], "truth": PAIR, "times": [0.0, 1.0]} | wrong
    with pytest.raises(DataError, match=text):
        module.flow(**given)


def test_a_start_outside_the_domain_is_refused():
    module = compiled("normal", 2, "relative", scales=1)
    with pytest.raises(DomainError, match="Delta_1 is outside its domain"):
        module.flow([[0.5, 0.0, 1.0], [0.5, 0.0, -1.0]], PAIR, [0.0, 1.0])


def test_scipy_is_loaded_by_an_implicit_flow_alone(tmp_path):
    (tmp_path / "load.py").write_text(
        "import sys\n"
        "from relrep_sym.generated import normal2_unit_relative as m\n"
        "assert 'relrep_sym.runtime.flow' not in sys.modules\n"
        "m._solver().natural_field([0.5, 0.0, 1.0], ([1.0], [0.0], [1.0]))\n"
        "assert 'scipy' not in sys.modules\n"
        "start, truth, times = [0.5, 0.0, 1.0], ([1.0], [0.0], [1.0]), [0.0, 0.1]\n"
        "m._solver().flow(start, truth, times)\n"
        "assert 'scipy' not in sys.modules\n"
        "m._solver().flow(start, truth, times, method='Radau')\n"
        "assert 'scipy' in sys.modules\n"
    )
    done = subprocess.run([sys.executable, tmp_path / "load.py"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
