"""A user's own family is data, held to what the engine can do with it before it is used."""

from __future__ import annotations

import pickle

import pytest
import sympy as sp

import relrep_sym as rs
from relrep_sym.declare.support import support_of
from relrep_sym.errors import DeclarationError

LOGISTIC = "-(x - m)/s - 2*log(1 + exp(-(x - m)/s)) - log(s)"
PLACED = {"m": "real", "s": "positive"}


def refused(
    log_density: object, parameters: object, support: object = "line", **more: object
) -> str:
    with pytest.raises(DeclarationError) as caught:
        rs.family(log_density, parameters, support, **more)  # type: ignore[arg-type]
    return str(caught.value)


def test_a_family_is_stated_by_its_log_density() -> None:
    own = rs.family(LOGISTIC, PLACED, name="logistic", plurals={"m": "means"})
    assert [(p.name, p.plural, p.domain.name) for p in own.parameters] == [
        ("m", "means", "real"),
        ("s", "ss", "positive"),
    ]
    assert (own.location.name, own.scale.name) == ("m", "s")
    model = rs.mixture(own, components=3, means=[0, None, 1], ss="tied")
    assert model.names == ("pi_1", "pi_2", "m_2", "s")


def test_the_same_statement_is_the_same_family() -> None:
    one, two = (rs.family(LOGISTIC, PLACED, name="logistic") for _ in range(2))
    assert one == two
    assert hash(one) == hash(two)
    assert pickle.loads(pickle.dumps(one)) == one


def test_sympy_expressions_are_matched_by_name() -> None:
    x, t = sp.symbols("x t")
    own = rs.family(sp.log(t) - t * x, {"t": "positive"}, "half-line")
    assert own.log_density == rs.family("log(t) - t*x", {"t": "positive"}, "half-line").log_density


@pytest.mark.parametrize(
    ("log_density", "parameters", "support"),
    [
        ("a*log(x) + log(a + 1)", {"a": "positive"}, (0, 1)),
        ("a*log((x - 2)/3) + log((a + 1)/3)", {"a": "positive"}, ("interval", 2, 5)),
        ("x*log(p) + (1 - x)*log(1 - p)", {"p": "unit"}, {0, 1}),
        ("a*x - log(exp(-a) + exp(a/2) + exp(3*a))", {"a": "real"}, [-1, "1/2", 3]),
        ("2*log(p) + log(x + 1) + x*log(1 - p)", {"p": "unit"}, "integers"),
        ("-abs(x - m) - log(2)", {"m": "real"}, "line"),
        ("-log(4*atan(1)) - log(1 + (x - m)**2)", {"m": "real"}, "line"),
        ("log(a)/2 - log(x)/2 - a*x - log(4*atan(1))/2", {"a": "positive"}, "half-line"),
    ],
)
def test_every_support_takes_a_density_that_is_normalised_there(
    log_density: str, parameters: dict[str, str], support: object
) -> None:
    assert rs.family(log_density, parameters, support).support == support_of(support)


def test_a_density_that_is_not_normalised_is_refused_with_its_integral() -> None:
    text = refused("-abs(x - m)/2 - log(2)", {"m": "real"})
    assert "does not integrate to one; given: 2.0 at m = -0.4" in text
    halves = refused("x*log(p) - log(2)", {"p": "unit"}, "integers")  # 1/(2(1 - p)) at p = 0.35
    assert "does not sum to one; given: 0.76923076923 at p = 0.35" in halves
    assert "does not integrate to one" in refused("-x*a", {"a": "positive"}, "half-line")


def test_unknown_names_and_functions_are_said() -> None:
    assert "nu" in refused("-(x - m)**2*nu", {"m": "real"})
    x, m = sp.symbols("x m")
    assert "Piecewise" in refused(sp.Piecewise((-x, x > m), (x, True)), {"m": "real"})
    assert "besselj" in refused(sp.besselj(0, x - m), {"m": "real"})


def test_what_the_log_density_must_depend_on() -> None:
    assert "has no x in it" in refused("-s", {"s": "positive"})
    assert "has no s in it" in refused("-abs(x - m) - log(2)", PLACED)


def test_one_kink_at_a_location_and_no_other() -> None:
    assert "not smooth" in refused("-abs(sin(x - m))", {"m": "real"})
    assert "not smooth" in refused("-abs(x - m) - abs(x - 2*m)", {"m": "real"})
    own = rs.family("-abs(x - m)/s - log(2*s)", PLACED)
    assert own.kink == own.x - own.parameters[0].symbol


@pytest.mark.parametrize(
    ("parameters", "more", "said"),
    [
        ({}, {}, "no mapping"),
        ({"m": "nonnegative"}, {}, "unknown domain of m"),
        ({"x": "real"}, {}, "is taken"),
        ({"m_1": "real"}, {}, "is taken"),
        ({"lambda": "real"}, {}, "is taken"),
        ({"basis": "real"}, {}, "is taken"),
        ({"weight": "real"}, {}, "is taken"),
        ({"m": "real"}, {"plurals": {"q": "qs"}}, "plurals of no parameters; given: q"),
        ({"m": "real"}, {"plurals": {"m": "weights"}}, "plural of m is taken"),
        ({"m": "real"}, {"name": "normal"}, "family's name is taken"),
        ({"m": "real"}, {"name": "class"}, "family's name is taken"),
    ],
)
def test_names_that_are_taken(
    parameters: dict[str, str], more: dict[str, object], said: str
) -> None:
    assert said in refused("-abs(x - m) - log(2)", parameters, **more)


@pytest.mark.parametrize("support", ["circle", (1, 0), (0, 0), [], ("interval", 1), 3, None])
def test_what_is_no_support_is_refused(support: object) -> None:
    assert "support" in refused("-abs(x - m) - log(2)", {"m": "real"}, support)


def test_a_finite_set_with_too_few_points_for_its_parameters_is_refused() -> None:
    own = rs.family("a*x - log(1 + exp(a) + exp(2*a) + exp(3*a))", {"a": "real"}, range(4))
    assert rs.mixture(own, components=2).names == ("pi_1", "a_1", "a_2")
    with pytest.raises(DeclarationError, match=r"not identifiable.*is 3 numbers, and θ has 5"):
        rs.mixture(own, components=3)


@pytest.mark.parametrize("components", [2, 3, 5])
def test_binomial_mixtures_need_2k_minus_1_trials(components: int) -> None:
    enough = 2 * components - 1
    assert rs.mixture("binomial", components=components, trials=enough)
    with pytest.raises(DeclarationError, match=rf"not identifiable.*\({enough} trials\)"):
        rs.mixture("binomial", components=components, trials=enough - 1)


def test_a_bernoulli_mixture_is_refused_until_something_is_held() -> None:
    with pytest.raises(DeclarationError, match="not identifiable"):
        rs.mixture("binomial", components=2, trials=1)
    held = rs.mixture(
        "binomial", components=2, trials=1, weights="1/2", probabilities=["1/4", None]
    )
    assert held.names == ("prob_2",)


def test_softplus_may_be_written_in_a_log_density() -> None:
    parameters = {"m": "real", "s": "positive"}
    said = rs.family(
        "-(x - m)/s - 2*softplus(-(x - m)/s) - log(s)", parameters, "line", name="said"
    )
    spelled = rs.family(
        "-(x - m)/s - 2*log(1 + exp(-(x - m)/s)) - log(s)", parameters, "line", name="said"
    )
    assert said == spelled
