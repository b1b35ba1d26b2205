"""What a chart asks of θ is read off its program, whatever the chart is called."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

import relrep_sym as rs
from relrep_sym.declare.chart import Chart, held
from relrep_sym.declare.weight_charts import cleared
from relrep_sym.equations.orders import Floor, find_orders

NORMAL = rs.mixture("normal", components=3)
MEANS = rs.mixture("normal", components=3, weights="1/3", scales=1)
TWO = rs.mixture("normal", components=2, weights="1/2", scales=1)
POISSON = rs.mixture("poisson", components=3, weights="1/3")
FOUR = rs.mixture("normal", components=4, weights=["1/4", None, None, None], scales="tied")

ORDERED = {
    "plain": rs.relative(NORMAL, "mu"),
    "square": rs.relative(NORMAL, ["mu", "sigma"], gap="square", clearance="lam"),
    "from the last": rs.relative(NORMAL, "mu", reference="last", clearance="1/2"),
    "of logarithms": rs.relative(rs.log(NORMAL, "sigma"), "log_sigma", clearance="kappa"),
    "exp": rs.relative(NORMAL, "mu", gap="exp"),
    "softplus after others": rs.relative(NORMAL, "mu", gap="softplus") @ rs.softmax(NORMAL),
    "under logarithms": rs.log(rs.relative(NORMAL, "mu"), "sigma"),
    "rates": rs.relative(POISSON, "rate", gap="square"),
    "own, a clearance for each": rs.chart(
        MEANS,
        {"mu_1": "m", "mu_2": "m + d + 1/5", "mu_3": "m + d + e**2 + 1/3"},
        domains={"d": "nonnegative"},
    ),
    "own, of logarithms": rs.chart(
        POISSON,
        {"rate_1": "exp(a)", "rate_2": "exp(a + d**2)", "rate_3": "exp(a + d**2 + softplus(f))"},
    ),
}


@pytest.mark.parametrize("chart", ORDERED.values(), ids=ORDERED)
def test_an_order_says_how_far_neighbours_are_apart(chart: Chart) -> None:
    """θ_{k+1} − θ_k (of logarithms where it is multiplicative) is step + clearance, numerically."""
    rng = np.random.default_rng(1)
    put = {s: sp.Rational(int(rng.integers(1, 50)), 20) for s in chart.inputs}
    theta = {t: v.xreplace(put) for t, v in chart.unrolled.items()}
    found = find_orders(chart)
    assert found.orders
    assert found.exact
    assert not found.unconstrained
    for order in found.orders:
        values = [theta[t] for t in chart.model.component(order.role)]
        if order.multiplicative:
            values = [sp.log(v) for v in values]
        for k, (step, room) in enumerate(zip(order.steps, order.clearances, strict=True)):
            want = (step + room).xreplace(put)
            assert abs(sp.N(values[k + 1] - values[k] - want, 30)) < 1e-25
        end = values[0 if order.reference == "first" else -1]
        assert abs(sp.N(end - order.base.xreplace(put), 30)) < 1e-25


def test_kinds_clearances_and_ends() -> None:
    (order,) = find_orders(ORDERED["own, a clearance for each"]).orders
    assert order.gaps == ("d", "e")
    assert order.kinds == ("plain", "square")
    assert order.kind is None
    assert order.clearances == (sp.Rational(1, 5), sp.Rational(2, 15))
    assert order.totals == (0, sp.Rational(1, 5), sp.Rational(1, 3))
    assert order.closed
    (last,) = find_orders(ORDERED["from the last"]).orders
    assert (last.reference, last.kind, last.clearance) == ("last", "plain", sp.Rational(1, 2))
    (scales,) = find_orders(ORDERED["of logarithms"]).orders
    assert scales.multiplicative
    assert str(scales.clearance) == "kappa"


@pytest.mark.parametrize(("gap", "closed"), [("plain", 1), ("square", 1), ("exp", 0)])
def test_which_gaps_reach_zero(gap: str, closed: int) -> None:
    (order,) = find_orders(rs.relative(NORMAL, "mu", gap=gap)).orders
    assert order.closed == bool(closed)
    assert order.kind == gap


FREE = {
    "identity": rs.identity(NORMAL),
    "log": rs.log(NORMAL, "sigma"),
    "softmax": rs.softmax(NORMAL),
    "stick breaking": rs.stick_breaking(NORMAL),
    "affine": rs.affine(NORMAL, [[1, 0, 0], [1, 1, 0], [1, 2, 1]], parameter="mu"),
    "affine of logarithms": rs.affine(
        rs.log(NORMAL, "sigma"), [[1, -1, 0], [1, 0, 2], [1, 1, 0]], parameter="log_sigma"
    ),
    "composed": rs.log(rs.softmax(NORMAL), "sigma"),
    "fixed weights": rs.softmax(FOUR),
    "weights and means": rs.chart(
        rs.mixture("normal", components=2, scales=1),
        {"pi_1": "v", "mu_1": "w + (1 - v)*u", "mu_2": "w - v*u"},
        domains={"v": "unit"},
    ),
    "logistic": rs.chart(
        rs.mixture("normal", components=2, means=[0, 1], scales=1), {"pi_1": "1/(1 + exp(-a))"}
    ),
}


@pytest.mark.parametrize("chart", FREE.values(), ids=FREE)
def test_charts_that_do_not_constrain(chart: Chart) -> None:
    assert find_orders(chart).unconstrained


@pytest.mark.parametrize(
    ("chart", "says"),
    [
        (rs.affine(NORMAL, [[1, 0], [1, 1], [1, 2]], parameter="mu"), "mu_"),
        (rs.chart(TWO, {"mu_1": "m", "mu_2": "2*m + 1"}), "mu_2"),
        (
            rs.chart(TWO, {"mu_1": "m - d", "mu_2": "m + d"}, domains={"d": "nonnegative"}),
            "mu_1, mu_2",
        ),
        (rs.chart(TWO, {"mu_1": "exp(a)", "mu_2": "b"}), "mu_1 does not reach"),
        (
            rs.chart(TWO, {"mu_1": "a", "mu_2": "b"}, domains={"a": "unit"}),
            "mu_1 does not reach",
        ),
        (held(rs.relative(NORMAL, "mu"), ["mu_1", "Delta_1"]), "Delta_2"),
    ],
)
def test_what_else_constrains_is_named(chart: Chart, says: str) -> None:
    found = find_orders(chart)
    assert not found.exact
    assert says in str(found.why)


def test_gaps_that_are_read_elsewhere_make_no_order() -> None:
    """μ_2 − μ_1 = μ_3 − μ_2 = d is an order with a tie: not one that is solved as an order."""
    tied = rs.chart(
        MEANS, {"mu_1": "m", "mu_2": "m + d", "mu_3": "m + 2*d"}, domains={"d": "nonnegative"}
    )
    found = find_orders(tied)
    assert not found.orders
    assert not found.exact


def test_floors_of_weights() -> None:
    soft = find_orders(rs.softmax(NORMAL, clearance="1/10"))
    assert soft.floors == tuple(Floor(k, sp.Rational(1, 10), False) for k in range(3))
    stick = find_orders(rs.stick_breaking(NORMAL, clearance="1/10"))
    assert stick.floors == tuple(Floor(k, sp.Rational(1, 10), True) for k in range(3))
    above = find_orders(cleared(NORMAL, clearance="lam"))
    assert [(f.component, str(f.bound), f.closed) for f in above.floors] == [
        (0, "lam", True),
        (1, "lam", True),
    ]
    fixed = find_orders(rs.relative(FOUR, "mu") @ rs.softmax(FOUR, clearance="1/10"))
    assert [f.component for f in fixed.floors] == [1, 2, 3]
    assert fixed.exact
    for found in (soft, stick, above):
        assert found.exact
        assert not found.unconstrained


def test_a_long_chain_is_read_in_the_time_of_its_length() -> None:
    big = rs.mixture("normal", components=64)
    found = find_orders(rs.relative(big, ["mu", "sigma"]) @ rs.stick_breaking(big))
    assert [len(o.gaps) for o in found.orders] == [63, 63]
    assert found.exact
