"""Constants: required keywords, numbers or arrays over the leading axes, inside their domain."""

from __future__ import annotations

import inspect
from functools import cache

import numpy as np
import pytest

import relrep_sym as rs
from relrep_sym.errors import DataError, DomainError

X = np.array([-3.0, -0.5, 0.0, 1.0, 2.5, 7.0])
TRUTH = ([0.5, 0.5], [-1.0, 2.0], [1.0, 1.5])
COORDS = np.array([0.3, -1.0, 0.75, 0.9, 1.2])


@cache
def symbolic():
    model = rs.mixture("normal", components=2)
    return rs.derive(model, rs.relative(model, "mu", gap="square", clearance="lam")).compile()


@cache
def numeric(lam):
    model = rs.mixture("normal", components=2)
    chart = rs.relative(model, "mu", gap="square", clearance=lam)
    return rs.derive(model, chart, name="numeric").compile()


CALLS = {
    "to_model": lambda k, c, **g: k.to_model(c, **g),
    "jacobian": lambda k, c, **g: k.jacobian(c, **g),
    "components": lambda k, c, **g: np.stack(k.components(c, **g), axis=-1),
    "log_density": lambda k, c, **g: k.log_density(X, c, **g),
    "responsibilities": lambda k, c, **g: k.responsibilities(X, c, **g),
    "score_samples": lambda k, c, **g: k.score_samples(X, c, **g),
    "log_likelihood": lambda k, c, **g: k.log_likelihood(X, c, **g),
    "score": lambda k, c, **g: k.score(X, c, **g),
    "hessian": lambda k, c, **g: k.hessian(X, c, **g),
    "statistics": lambda k, c, **g: np.stack(k.statistics(X, c, **g), axis=-1),
    "averaged_field": lambda k, c, **g: k.averaged_field(c, TRUTH, **g),
    "kl": lambda k, c, **g: k.kl(c, TRUTH, **g),
    "fisher": lambda k, c, **g: k.fisher(c, **g),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_constant_given_is_the_number_put_in(name):
    call = CALLS[name]
    for lam in ("0.5", "0"):
        want = call(numeric(lam), COORDS)
        got = call(symbolic(), COORDS, lam=float(lam))
        np.testing.assert_allclose(got, want, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("name", CALLS)
def test_a_missing_constant_is_a_type_error_that_names_it(name):
    with pytest.raises(TypeError, match="lam"):
        CALLS[name](symbolic(), COORDS)


def test_every_function_of_coordinates_takes_it_and_lists_it():
    k = symbolic()
    assert k.CONSTANTS == ("lam",)
    assert numeric("0.5").CONSTANTS == ()
    for name in (*CALLS, "from_model", "relabel", "em_step", "fit", "flow", "sample"):
        function = getattr(k, name, None)
        if function is None:
            assert name in ("flow", "sample")
            continue
        given = inspect.signature(function).parameters["lam"]
        assert given.kind is inspect.Parameter.KEYWORD_ONLY
        assert given.default is inspect.Parameter.empty


@pytest.mark.parametrize("name", CALLS)
def test_an_array_goes_over_the_leading_axes(name):
    coords = COORDS + 0.01 * np.arange(6).reshape(2, 3, 1)
    lam = np.array([[0.0, 0.1, 0.5], [1.0, 2.0, 0.25]])
    together = CALLS[name](symbolic(), coords, lam=lam)
    assert together.shape[:2] == (2, 3)
    for i in np.ndindex(2, 3):
        alone = CALLS[name](symbolic(), coords[i], lam=lam[i])
        np.testing.assert_allclose(together[i], alone, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("lam", [0.5, [0.5], np.float64(0.5), [[0.5]], np.full((2, 1), 0.5), 1])
def test_what_broadcasts_is_taken(lam):
    coords = COORDS + 0.01 * np.arange(6).reshape(2, 3, 1)
    full = np.broadcast_to(np.asarray(lam, dtype=float), (2, 3))
    np.testing.assert_array_equal(
        symbolic().score(X, coords, lam=lam), symbolic().score(X, coords, lam=full)
    )


@pytest.mark.parametrize("lam", [[0.1, 0.2], np.zeros((3, 2)), np.zeros((1, 2, 3)), []])
def test_what_does_not_broadcast_is_refused(lam):
    coords = COORDS + 0.01 * np.arange(6).reshape(2, 3, 1)
    with pytest.raises(DataError, match=r"lam"):
        symbolic().score(X, coords, lam=lam)


@pytest.mark.parametrize("lam", [[0.1], np.zeros(2)])
def test_one_point_takes_a_number(lam):
    with pytest.raises(DataError, match=r"lam has the wrong shape"):
        symbolic().score(X, COORDS, lam=lam)


@pytest.mark.parametrize("lam", [-1e-300, -1.0, -5])
def test_a_clearance_is_not_negative(lam):
    with pytest.raises(DomainError, match=r"the constant lam is outside its domain; given: -"):
        symbolic().score(X, COORDS, lam=lam)
    with pytest.raises(DomainError, match="the constant lam"):
        symbolic().score(X, np.stack([COORDS] * 3), lam=[0.0, lam, 1.0])


@pytest.mark.parametrize("lam", [np.nan, np.inf, -np.inf, "a", None, 1j, object()])
def test_a_constant_is_a_finite_number(lam):
    with pytest.raises(DataError, match="lam"):
        symbolic().score(X, COORDS, lam=lam)
    with pytest.raises(DataError, match="lam"):
        symbolic().from_model([0.3, -1.0, 2.0, 1.0, 1.0], lam=lam)


def test_a_constant_of_each_domain():
    model = rs.mixture("normal", components=2, weights="tied", scales=1)
    made = rs.chart(
        model, {"mu_1": "m - a*b*c", "mu_2": "m + d + a"},
        constants={"a": "real", "b": "positive", "c": "unit", "d": "nonnegative"},
    )  # fmt: skip
    k = rs.derive(model, made, name="four").compile()
    good = {"a": -1.0, "b": 0.5, "c": 1.0, "d": 0.0}
    np.testing.assert_allclose(k.to_model([2.0], **good), [2.5, 1.0])
    for name, bad in (("b", 0.0), ("c", 1.5), ("c", -0.5), ("d", -1.0)):
        with pytest.raises(DomainError, match=f"the constant {name} is outside"):
            k.to_model([2.0], **{**good, name: bad})


def test_an_inverse_takes_the_constants_into_account():
    k = symbolic()
    for lam in (0.0, 0.5, 1.5):
        coords = k.from_model([0.3, -1.0, 1.0, 0.9, 1.2], lam=lam)
        assert coords[2] == pytest.approx(np.sqrt(2.0 - lam), rel=1e-15)
    with pytest.raises(DomainError, match="Delta_1"):
        k.from_model([0.3, -1.0, 1.0, 0.9, 1.2], lam=2.5)


def test_held_coordinates_are_constants_of_their_domain():
    model = rs.mixture("normal", components=2, scales=1)
    chart = rs.relative(model, "mu")
    k = rs.derive(model, chart, moving=["Delta_1"], name="held").compile()
    whole = rs.derive(model, chart, name="whole").compile()
    assert k.COORDINATES == ("Delta_1",)
    assert k.CONSTANTS == ("pi_1", "mu_1")
    given = {"pi_1": 0.3, "mu_1": -1.0}
    np.testing.assert_allclose(
        k.score(X, [0.75], **given), whole.score(X, [0.3, -1.0, 0.75])[2:], rtol=1e-14
    )
    np.testing.assert_allclose(
        k.hessian(X, [0.75], **given), whole.hessian(X, [0.3, -1.0, 0.75])[2:, 2:], rtol=1e-13
    )
    with pytest.raises(DomainError, match="pi_1"):
        k.score(X, [0.75], pi_1=1.5, mu_1=-1.0)
    with pytest.raises(TypeError, match="mu_1"):
        k.score(X, [0.75], pi_1=0.5)


def test_one_member_of_a_batch_outside_is_named():
    with pytest.raises(DomainError, match=r"given: -0\.25"):
        symbolic().to_model(np.stack([COORDS] * 2), lam=[0.5, -0.25])


def test_a_fit_keeps_it_fixed():
    k = symbolic()
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(-1, 1, 100), rng.normal(2, 1.5, 100)])
    found = k.fit(x, COORDS, lam=0.5)
    theta = k.to_model(found.coords, lam=0.5)
    assert theta[2] - theta[1] >= 0.5
    np.testing.assert_allclose(list(found.parameters.values()), theta, rtol=1e-14)
