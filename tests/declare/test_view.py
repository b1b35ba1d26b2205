"""Views: named functions of a chart's coordinates, or of the model's parameters through it."""

from __future__ import annotations

import pytest
import sympy as sp

from relrep_sym.declare.chart import identity
from relrep_sym.declare.charts import relative
from relrep_sym.declare.model import mixture
from relrep_sym.declare.own_map import chart
from relrep_sym.declare.symbols import Parameter
from relrep_sym.declare.view import view
from relrep_sym.errors import DeclarationError, ParseError

UNIT = mixture("normal", 2, scales=1)
RELATIVE = relative(UNIT, "mu", gap="square", clearance="1/2")
v, m, d = sp.symbols("pi_1 mu_1 Delta_1")


def refused(*args: object) -> str:
    with pytest.raises(DeclarationError) as caught:
        view(*args)  # type: ignore[arg-type]
    text = str(caught.value)
    assert "; given: " in text
    assert "; expected: " in text
    return text


def test_a_view_is_in_coordinates_alone() -> None:
    seen = view(RELATIVE, {"u": "mu_1 - mu_2", "w": "pi_1*mu_1 + (1 - pi_1)*mu_2", "g": "Delta_1"})
    assert seen.names == ("u", "w", "g")
    assert seen.symbols == sp.symbols("u w g")
    half = sp.Rational(1, 2)
    wanted = (-(d**2) - half, v * m + (1 - v) * (m + d**2 + half), d)
    assert all(sp.expand(e - x) == 0 for e, x in zip(seen.expressions, wanted, strict=True))
    assert not any(isinstance(s, Parameter) for e in seen.expressions for s in e.free_symbols)


def test_a_name_that_is_both_means_the_coordinate() -> None:
    swapped = chart(UNIT, {"pi_1": "v", "mu_1": "mu_2", "mu_2": "mu_1 + 1"})
    seen = view(swapped, {"a": "mu_1", "b": "mu_2", "c": "pi_1"})
    assert seen.expressions == (sp.Symbol("mu_1"), sp.Symbol("mu_2"), sp.Symbol("v"))


def test_functions_may_be_sympy_numbers_or_texts_with_any_name() -> None:
    seen = view(RELATIVE, {"lambda": sp.Symbol("mu_2") ** 2, "one": 1, "x": "pi_1", "mu_2": "mu_1"})
    assert seen.names == ("lambda", "one", "x", "mu_2")
    assert seen.expressions[1] == 1
    assert sp.expand(seen.expressions[0] - (m + d**2 + sp.Rational(1, 2)) ** 2) == 0


def test_fixed_parameters_are_no_names() -> None:
    with pytest.raises(ParseError, match=r"unknown name 'sigma_1'"):
        view(RELATIVE, {"a": "sigma_1"})


@pytest.mark.parametrize("wrong", [{}, [], None, "pi_1", [("a", "pi_1")]])
def test_a_view_needs_functions(wrong: object) -> None:
    assert "a view needs functions" in refused(RELATIVE, wrong)


@pytest.mark.parametrize("wrong", ["pi", "I", "exp", "a b", "a__b", "_a", "1a", "", 5, None, "é"])
def test_a_function_has_a_name(wrong: object) -> None:
    assert refused(RELATIVE, {wrong: "pi_1"}).startswith("the view function name ")


@pytest.mark.parametrize("wrong", ["q", "pi_1 +", "nan", True, None, float("inf"), sp.Symbol("q")])
def test_a_function_is_an_expression(wrong: object) -> None:
    assert refused(RELATIVE, {"a": wrong}).startswith("the view function a: ")


def test_a_function_is_smooth() -> None:
    assert "abs is not smooth" in refused(RELATIVE, {"a": "abs(mu_1)"})


def test_a_view_is_of_a_chart() -> None:
    assert "a view is of a chart; given: Mixture" in refused(UNIT, {"a": "pi_1"})


def test_views_are_immutable_and_equal_by_value() -> None:
    seen = view(identity(UNIT), {"a": "pi_1"})
    assert seen == view(identity(UNIT), {"a": "pi_1"})
    assert seen != view(RELATIVE, {"a": "pi_1"})
    with pytest.raises(AttributeError):
        seen.names = ()  # type: ignore[misc]
