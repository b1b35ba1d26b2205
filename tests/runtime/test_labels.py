"""Relabelling: θ with its components renumbered, so that an ordered chart can take it."""

from __future__ import annotations

from functools import cache
from itertools import permutations

import numpy as np
import pytest

import relrep_sym as rs
from relrep_sym.errors import DataError, DomainError, RelrepError

X = np.array([-3.0, -0.5, 0.0, 1.0, 2.5, 7.0])
CASES = {
    "means": lambda m: rs.relative(m, "mu"),
    "means from the last": lambda m: rs.relative(m, "mu", reference="last", gap="exp"),
    "scales": lambda m: rs.relative(m, "sigma", gap="exp"),
    "square": lambda m: rs.relative(m, "mu", gap="square"),
    "softmax": lambda m: rs.relative(rs.softmax(m), "mu", gap="softplus"),
    "cleared": lambda m: rs.relative(m, "mu", clearance="1/4"),
    "constant": lambda m: rs.relative(m, "mu", clearance="lam"),
}


@cache
def module_of(chart, count=3):
    model = rs.mixture("normal", components=count)
    return rs.derive(model, CASES[chart](model), name="labels").compile()


def constants(chart):
    return {"lam": 0.25} if chart == "constant" else {}


def theta(weights, means, scales):
    return np.array([*weights[:-1], *means, *scales])


def unpacked(row):
    k = (len(row) + 1) // 3
    weights = np.append(row[: k - 1], 1 - row[: k - 1].sum())
    return weights, row[k - 1 : 2 * k - 1], row[2 * k - 1 :]


def as_set(row):
    return {tuple(np.round(c, 12)) for c in zip(*unpacked(row), strict=True)}


MIXTURE = (np.array([0.5, 0.2, 0.3]), np.array([-1.0, 0.5, 2.0]), np.array([0.4, 0.9, 1.7]))


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("chart", CASES)
def test_any_order_is_brought_into_the_charts(chart, order):
    """Ascending means go with ascending scales here, so that every chart takes one order."""
    k, given = module_of(chart), constants(chart)
    row = theta(*(v[list(order)] for v in MIXTURE))
    found = k.relabel(row, **given)
    assert as_set(found) == as_set(row)
    coords = k.from_model(found, **given)
    np.testing.assert_allclose(k.to_model(coords, **given), found, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(unpacked(found)[1], MIXTURE[1])


@pytest.mark.parametrize("chart", CASES)
def test_what_the_chart_takes_stays_as_it_is(chart):
    row = theta(*MIXTURE)
    np.testing.assert_array_equal(module_of(chart).relabel(row, **constants(chart)), row)


def test_the_density_is_that_of_the_model_before():
    k = module_of("means")
    identity = rs.derive(rs.mixture("normal", components=3)).compile()
    row = theta(*(v[[2, 0, 1]] for v in MIXTURE))
    np.testing.assert_allclose(
        k.log_density(X, k.from_model(k.relabel(row))), identity.log_density(X, row), rtol=1e-13
    )


def test_a_batch_is_relabelled_member_by_member():
    k = module_of("constant")
    rows = np.array([theta(*(v[list(o)] for v in MIXTURE)) for o in permutations(range(3))])
    rows = rows.reshape(2, 3, -1)
    lam = np.array([[0.1, 0.2, 0.3], [0.4, 0.0, 1.4]])
    found = k.relabel(rows, lam=lam)
    assert found.shape == rows.shape
    for i in np.ndindex(2, 3):
        np.testing.assert_array_equal(found[i], k.relabel(rows[i], lam=lam[i]))


def test_where_the_clearance_leaves_no_order_it_is_said():
    k = module_of("constant")
    row = theta(*MIXTURE)
    with pytest.raises(DomainError, match="no order of the components lies in the chart") as why:
        k.relabel(row, lam=5.0)
    assert "expected: components whose order by one parameter the chart can take" in str(why.value)
    batch = np.stack([row, row])
    with pytest.raises(DomainError, match="no order"):
        k.relabel(batch, lam=[0.0, 5.0])


def test_what_is_fixed_is_not_moved():
    """The first mean is fixed at 0, so its component stays the first: only the others may swap."""
    model = rs.mixture("normal", components=2, weights=["1/3", None], scales=1)
    k = rs.derive(model, rs.relative(model, "mu"), name="fixed").compile()
    np.testing.assert_array_equal(k.relabel([0.0, 1.0]), [0.0, 1.0])
    with pytest.raises(DomainError, match="no order"):
        k.relabel([1.0, 0.0])
    tied = rs.mixture("normal", components=2, weights="tied", scales=1)
    k = rs.derive(tied, rs.relative(tied, "mu"), name="tied").compile()
    np.testing.assert_array_equal(k.relabel([1.0, 0.0]), [0.0, 1.0])


def test_rates_descend_where_the_last_is_the_reference_of_what_falls():
    model = rs.mixture("poisson", components=3)
    rules = {"rate_1": "r", "rate_2": "r*exp(-a)", "rate_3": "r*exp(-a - b)", "pi_1": "p",
             "pi_2": "q"}  # fmt: skip
    c = rs.chart(model, rules, domains={"r": "positive", "a": "positive", "b": "positive"})
    k = rs.derive(model, c, name="falling").compile()
    found = k.relabel([0.2, 0.3, 1.0, 5.0, 2.0])
    np.testing.assert_allclose(found, [0.3, 0.5, 5.0, 2.0, 1.0], rtol=1e-14)


@pytest.mark.parametrize("wrong", [[0.5, 0.2], [], "theta", [np.nan] * 8, np.zeros((2, 7))])
def test_theta_is_checked(wrong):
    with pytest.raises(RelrepError):
        module_of("means").relabel(wrong)
    with pytest.raises(DataError):
        module_of("means").relabel([0.5, 0.2])
