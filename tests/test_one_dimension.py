"""What is not done yet is refused in words: several dimensions, other kinds of model, functions."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pytest
import sympy as sp

import relrep_sym as rs
from relrep_sym.declare.request import parse_request
from relrep_sym.errors import DataError, DeclarationError, problem


@pytest.mark.parametrize(
    "asked",
    [{"dimension": 2}, {"dimension": 1}, {"covariances": "full"}, {"means": [[0, 1], [1, 2]]},
     {"means": np.zeros((2, 2))}],
)  # fmt: skip
def test_a_mixture_is_of_one_dimension(asked: dict[str, Any]) -> None:
    with pytest.raises(DeclarationError, match="of one dimension so far"):
        rs.mixture("normal", components=2, **asked)
    assert rs.mixture("normal", components=2, dimension=None) == rs.mixture("normal", components=2)


def test_truths_and_requests_are_of_one_dimension() -> None:
    with pytest.raises(DeclarationError, match="of one dimension so far"):
        rs.truth("normal", weights=[0.5, 0.5], means=[[0, 1], [1, 2]], scales=1)
    with pytest.raises(DeclarationError, match="of one dimension so far"):
        parse_request('name="a"\n[model]\nfamily="normal"\ncomponents=2\ndimension=2\n')


@pytest.mark.parametrize(
    "name", ["score", "log_density", "em_step", "fit", "hessian", "statistics"]
)
def test_samples_are_of_one_dimension(name: str) -> None:
    kernel = rs.derive(rs.mixture("normal", components=2)).compile()
    with pytest.raises(DataError, match="one-dimensional observations"):
        getattr(kernel, name)(np.zeros((5, 2)), [0.5, 0, 1, 1, 1])


@pytest.mark.parametrize("name", ["embedding", "network", "product", "exponential_family"])
def test_other_kinds_of_model_are_not_there_yet(name: str) -> None:
    with pytest.raises(AttributeError, match="mixtures in one dimension"):
        getattr(rs, name)
    with pytest.raises(AttributeError, match=r"no attribute 'foo'$"):
        _ = rs.foo


X, K = sp.symbols("x k")


@pytest.mark.parametrize(
    "log_density",
    ["besseli(0, k)*x", "min(x, 1) - k", "max(x, 1) - k", "Piecewise(x) - k", "logcdf(x) - k",
     "sign(x) - k", sp.besseli(0, K) * X, sp.Max(X, 1) - K, sp.Min(X, K),
     sp.Piecewise((X, X > 0), (0, True)) - K],
)  # fmt: skip
def test_functions_outside_the_language_are_named_and_the_language_is_listed(
    log_density: Any,
) -> None:
    with pytest.raises(DeclarationError, match=r"not (a function of|in) the language") as caught:
        rs.family(log_density, {"k": "positive"})
    said = str(caught.value)
    assert "exp" in said
    assert "erfc" in said
    assert "mean sin" not in said


def test_an_infinite_end_is_no_interval() -> None:
    for high in (np.inf, float("inf"), "inf", sp.oo):
        with pytest.raises(DeclarationError, match="end of the support is infinite"):
            rs.family("log(a) - (a + 1)*log(x)", {"a": "positive"}, (1, high))


def test_a_parameters_name_says_what_takes_it() -> None:
    for name, taker in {
        "pi": "pi is the number", "l": "looks like a digit", "x": "the observation",
        "m_1": "a component's", "lambda": "keyword", "basis": "modules use it", "exp": "function",
    }.items():  # fmt: skip
        with pytest.raises(DeclarationError, match=taker):
            rs.family("-(x - m)**2/2 - log(2*pi)/2", {name: "real"})


def test_errors_show_values_as_a_user_writes_them() -> None:
    for value, shown in [
        (np.float64(0.5), "0.5"), ([np.float64(0.5), 1], "[0.5, 1]"), (np.arange(3), "[0, 1, 2]"),
        (PurePosixPath("a.csv"), "a.csv"), ((np.int64(2),), "(2,)"), ("text", "text"),
        ({"a": np.float64(1)}, "{'a': 1.0}"), (rs.mixture("normal", components=1), "a Mixture"),
        (np.zeros((20, 20)), "an array (20, 20)"),
    ]:  # fmt: skip
        assert problem("wrong", value, "right") == f"wrong; given: {shown}; expected: right"
