"""What a module says of its chart's orders is what the chart's own map does."""

import numpy as np
import pytest

import relrep_sym as rs
from relrep_sym.emit.numpy.orders_code import orders_code

NORMAL = rs.mixture("normal", components=4)


def _chart_of(chart):
    module = rs.derive(chart.model, chart).compile()
    return module, module._solver().chart


@pytest.mark.parametrize("reference", ["first", "last"])
@pytest.mark.parametrize("gap", ["plain", "square", "exp", "softplus"])
@pytest.mark.parametrize("logs", [False, True])
def test_gaps_and_clearances_are_the_charts(reference, gap, logs):
    on, role = (rs.log(NORMAL, "sigma"), "log_sigma") if logs else (NORMAL, "mu")
    chart = rs.relative(on, role, gap=gap, clearance="lam/2 + 1/4", reference=reference)
    module, made = _chart_of(chart)
    (order,) = made.orders
    assert order.multiplicative == logs
    rng = np.random.default_rng(1)
    coords = rng.uniform(0.1, 0.9, size=len(chart.names))
    coords[:3] = 0.2
    theta = dict(zip(module.PARAMETERS, module.to_model(coords, lam=0.3), strict=True))
    values = np.array([theta[f"{'sigma' if logs else 'mu'}_{k}"] for k in range(1, 5)])
    (rooms,) = made.clearances(np.array([[0.3]]))
    function = {
        "plain": lambda d: d,
        "square": np.square,
        "exp": np.exp,
        "softplus": lambda d: np.log1p(np.exp(d)),
    }
    gaps = [function[kind](coords[j]) for j, kind in zip(order.gaps, order.kinds, strict=True)]
    steps = np.diff(np.log(values) if logs else values)
    np.testing.assert_allclose(steps, np.ravel(gaps) + np.ravel(rooms), rtol=1e-12)


@pytest.mark.parametrize(
    "chart",
    [
        rs.identity(NORMAL),
        rs.log(NORMAL, "sigma"),
        rs.relative(rs.mixture("laplace", components=3), "mu"),  # no closed form over θ
        rs.relative(rs.mixture("gamma", components=3), "scale"),
    ],
)
def test_a_chart_without_orders_that_are_solved_exactly_has_none(chart):
    assert orders_code(chart) is None
    assert _chart_of(chart)[1].orders == ()
