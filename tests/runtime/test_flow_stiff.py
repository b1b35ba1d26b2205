"""Flows where an explicit method hangs: few evaluations, right values, a bound, and a diagnosis."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
from scipy.integrate import solve_ivp

import relrep_sym as rs
from relrep_sym.errors import FlowWarning
from relrep_sym.runtime.expectation import Nodes
from relrep_sym.runtime.explicit import Stepper
from relrep_sym.runtime.members import Members
from relrep_sym.runtime.tableaux import TABLEAUX
from tests.runtime.models import compiled, theta

VANISHING = ([0.4, 1.105, 7.389], ([1.0], [1.116]))
"""A Poisson mixture whose second weight falls to 1e-7 within a time of one."""


class Counted:
    """How many mixtures the field was evaluated at, and which methods were started."""

    def __init__(self, monkeypatch):
        self.fields = 0
        evaluate = Members._evaluate

        def counted(members, values, who):
            self.fields += values.shape[1]
            return evaluate(members, values, who)

        monkeypatch.setattr(Members, "_evaluate", counted)


def implicitly(module, start, truth, times):
    """The same by SciPy's BDF, alone, with the Jacobian of the field."""
    found = solve_ivp(
        lambda _, y: module.averaged_field(y, truth), (times[0], times[-1]), start, "BDF", times,
        jac=lambda _, y: module.averaged_hessian(y, truth), rtol=1e-9, atol=1e-12,
    )  # fmt: skip
    assert found.success
    return found.y.T


def test_a_stiff_stretch_is_followed_implicitly(monkeypatch):
    module = compiled("poisson", 2)
    start, truth = VANISHING
    times = np.array([0.0, 0.5, 0.7, 1.0])
    counted = Counted(monkeypatch)
    found, stops = module.flow(start, truth, times, full_output=True)
    assert stops == []
    assert counted.fields < 4000  # the explicit method needs hundreds of thousands
    expected = implicitly(module, np.array(start), truth, times)
    np.testing.assert_allclose(found, expected, rtol=3e-6)
    np.testing.assert_allclose(1 - found[:, 0], 1 - expected[:, 0], rtol=0.02, atol=1e-10)


def test_an_end_that_is_only_neared_is_no_crossing():
    """π_2 falls below 1e-10 and never reaches zero: within the tolerance it was computed beyond."""
    module = compiled("poisson", 2)
    start, truth = VANISHING
    found, stops = module.flow(start, truth, [0.0, 1.0, 5.0], full_output=True)
    assert stops == []
    assert 0 < 1 - found[2, 0] < 1e-8
    assert found[2, 1] == pytest.approx(1.1153926, abs=1e-6)


@pytest.mark.slow
def test_where_a_chart_cannot_tell_an_end_the_stop_says_so():
    module = compiled("poisson", 2)
    start, truth = VANISHING
    _, (stop,) = module.flow(start, truth, [0.0, 5.0, 1e5], full_output=True)
    assert (stop.name, stop.time > 5) == ("pi_1", True)
    assert "too near to it for double precision to tell in this chart" in stop.reason


@pytest.mark.parametrize("method", ["auto", "DOP853", "RK23", "Radau"])
def test_evaluations_are_bounded_and_the_stop_says_so(method, monkeypatch):
    module = compiled("poisson", 2)
    counted = Counted(monkeypatch)
    options = {"method": method, "max_evaluations": 100}
    many = np.array([VANISHING[0], [0.5, 1.0, 1.3]])
    times = [0.0, 1e-4, 1e4]
    with pytest.warns(FlowWarning, match=r"\[0\] at t = .*max_evaluations = 100 evaluations"):
        found = module.flow(many, VANISHING[1], times, **options)
    assert counted.fields <= 2 * (100 + 13)  # a step that was begun is ended
    assert np.isfinite(found[:, :2]).all()
    assert np.isnan(found[0, 2]).all()
    _, stops = module.flow(many, VANISHING[1], times, full_output=True, **options)
    assert stops[0].name == "max_evaluations"
    assert 1e-4 < stops[0].time < 1e4
    assert np.isfinite(stops[0].coords).all()


@pytest.mark.parametrize("method", ["auto", "Radau"])
@pytest.mark.filterwarnings("ignore::relrep_sym.errors.ConditionWarning")
def test_natural_flows_are_bounded_too(method, monkeypatch):
    module = compiled("poisson", 2)
    counted = Counted(monkeypatch)
    _, (stop,) = module.flow(
        *VANISHING, [0.0, 1e4], "natural", full_output=True, method=method, max_evaluations=100
    )
    assert counted.fields <= 120
    assert stop.reason


SMALL = [1e-7, 1e-9, 1e-12]


QUICK = (1e-9, 3, "relative")
MANY = [
    pytest.param(*case, marks=[] if case == QUICK else pytest.mark.slow)
    for case in itertools.product(SMALL, (2, 3), ("identity", "relative"))
]


@pytest.mark.parametrize(("weight", "components", "chart"), MANY)
def test_random_starts_with_vanishing_weights_end(weight, components, chart, monkeypatch):
    """Every member arrives or is stopped with a reason, within its bound; where two methods both
    arrive they agree.
    """
    module = compiled("normal", components, chart, scales=1)
    rng = np.random.default_rng([components, SMALL.index(weight)])
    rows = []
    for _ in range(3):
        share = rng.dirichlet(np.full(components - 1, 5.0)) * (1 - weight)
        weights = np.insert(share, rng.integers(components), weight)
        mixture = weights, np.sort(rng.normal(0, 1.5, components)), np.ones(components)
        rows.append(module.from_model(theta(module, mixture)))
    counted = Counted(monkeypatch)
    truth, times = ([1.0], [0.2], [1.0]), [0.0, 0.1, 1.0]
    found, stops = module.flow(rows, truth, times, full_output=True, max_evaluations=1000)
    assert counted.fields <= 3 * 1100
    assert np.isfinite(found[[m for m in range(3) if (m,) not in {s.member for s in stops}]]).all()
    for stop in stops:
        assert np.isfinite(stop.coords).all()
        assert stop.reason
    # relative to a weight near one, a tolerance must be small beside what that weight leaves
    other, _ = module.flow(
        rows, truth, times, full_output=True, method="Radau", rtol=1e-11, max_evaluations=4000
    )
    both = np.isfinite(found) & np.isfinite(other)
    np.testing.assert_allclose(found[both], other[both], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("gap", [1e-3, 1e-8, 0.0])
@pytest.mark.parametrize("field", ["gradient", "natural"])
def test_starts_near_merging_components_end(gap, field):
    module = compiled("normal", 3, "relative", scales="tied")
    start = np.array([0.3, 0.3, -0.4, gap, 2 * gap, 0.7])
    truth = ([0.3, 0.3, 0.4], [-2.0, 0.0, 2.5], [1.0, 1.0, 1.0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found, stops = module.flow(
            start, truth, [0.0, 1.0, 20.0], field, full_output=True, max_evaluations=5000
        )
    assert np.isfinite(found).all() or stops[0].reason


@pytest.mark.parametrize("method", ["auto", "RK45", "Radau"])
def test_a_constant_of_motion_is_kept(method):
    """Where a mean is a product, the gradient's flow keeps a² − b²."""
    model = rs.mixture("normal", components=2, scales=1)
    chart = rs.chart(model, {"pi_1": "v", "mu_1": "c", "mu_2": "a*b"})
    module = rs.derive(model, chart).compile()
    start = np.array([[0.4, -1.0, 0.7, 0.9], [0.6, -0.5, 1.5, 0.1]])
    found = module.flow(start, ([0.5, 0.5], [-1.5, 2.0], [1.0, 1.0]), [0.0, 1.0, 5.0, 30.0],
                        method=method, rtol=1e-9)  # fmt: skip
    kept = found[..., 2] ** 2 - found[..., 3] ** 2
    np.testing.assert_allclose(kept, kept[:, :1].repeat(4, axis=1), atol=1e-7)


@pytest.mark.parametrize(
    ("method", "field"), [("auto", "gradient"), ("RK23", "gradient"), ("Radau", "natural")]
)
def test_times_that_descend_go_back(method, field):
    module = compiled("normal", 2, "relative", scales=1)
    truth, start = ([0.4, 0.6], [-1.0, 1.5], [1.0, 1.0]), np.array([[0.5, -0.6, 1.2]])
    options = {"method": method, "rtol": 1e-7 if method == "RK23" else 1e-9, "field": field}
    there = module.flow(start, truth, [3.0, 3.4, 4.0], **options)
    back = module.flow(there[:, -1], truth, [4.0, 3.4, 3.0], **options)
    np.testing.assert_allclose(back[:, ::-1], there, atol=1e-5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options["max_evaluations"] = 500
        _, stops = module.flow(start, truth, [1.0, -500.0], full_output=True, **options)
    assert all(-500 < stop.time < 1 for stop in stops)
    assert stops  # nothing that learns comes from nowhere


@pytest.mark.parametrize("method", ["auto", "Radau"])
@pytest.mark.parametrize("power", [-120, 120])
def test_another_unit_changes_nothing(method, power):
    """x in units of 2^power, rates of locations and scales in its square, the same tolerances."""
    module = compiled("normal", 2, "relative")
    x, unit = np.random.default_rng(3).normal(size=30), 2.0**power
    w = np.full(30, 1 / 30)
    start, times = np.array([0.4, 0.0, 0.8, 0.9, 1.2]), [0.0, 0.5, 2.0]
    size = np.array([1.0, unit, unit, unit, unit])
    plain = module.flow(start, Nodes(x, w), times, method=method)
    scaled = module.flow(start * size, Nodes(x * unit, w), times, rates=size**2, method=method)
    np.testing.assert_allclose(scaled / size, plain, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", TABLEAUX)
def test_a_tableau_has_its_order(name):
    """One step of y' = −y and of y' = y² against the solution: the error falls as h^(p + 1), and
    so does the interpolant's.
    """
    table = TABLEAUX[name]
    orders = {"RK23": (3, 3), "RK45": (5, 4), "DOP853": (8, 7)}[name]
    long = 1.6 if name == "DOP853" else 0.4
    problems = (
        (lambda y: -y, lambda t: np.exp(-t), long),
        (lambda y: y * y, lambda t: 1 / (1 - t), 0.4),
    )
    for field, exact, step in problems:
        ends, middles = [], []
        for h in (step, step / 4):
            stepper = Stepper(table, (1, 1))
            y = np.ones((1, 1))
            after = stepper.step(field, y, field(y), np.array([h]))
            dense = stepper.dense(field)
            ends.append(abs(after[0, 0] - exact(h)))
            middles.append(abs(dense(np.array([0.3]), np.array([0]))[0, 0] - exact(0.3 * h)))
            whole = dense(np.array([1.0]), np.array([0]))[0, 0]
            assert whole == pytest.approx(after[0, 0], rel=1e-14)
        for (far, near), order in zip((ends, middles), orders, strict=True):
            assert np.log2(far / near) >= 2 * (order + 0.2)  # 2 (order + 1) as h falls
