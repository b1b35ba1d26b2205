"""Truths: mixtures in numbers, checked when they are stated."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

from relrep_sym.declare.truth import Truth, truth
from relrep_sym.errors import DeclarationError


def refused(*args: object, **options: object) -> str:
    with pytest.raises(DeclarationError) as caught:
        truth(*args, **options)  # type: ignore[arg-type]
    text = str(caught.value)
    assert "; given: " in text
    assert "; expected: " in text
    return text


def test_arrays_are_weights_then_parameters_in_the_familys_order() -> None:
    q = truth("normal", scales=[1, 2], means=["1/3", 0.1], weights=["1/4", 0.75])
    weights, means, scales = q.arrays()
    np.testing.assert_array_equal(weights, [0.25, 0.75])
    np.testing.assert_array_equal(means, [1 / 3, 0.1])
    np.testing.assert_array_equal(scales, [1, 2])
    assert {a.dtype for a in q.arrays()} == {np.dtype(np.float64)}


def test_numbers_stay_exact() -> None:
    q = truth("poisson", weights=["1/3", "2/3"], rates=[0.1, "sqrt(2)"])
    assert q.weights == (sp.Rational(1, 3), sp.Rational(2, 3))
    assert q.parameters == ((sp.Rational(1, 10), sp.sqrt(2)),)


def test_one_number_stands_for_all_components() -> None:
    q = truth("normal", weights=[0.5, 0.25, 0.25], means=0, scales=np.array(2.0))
    assert [a.tolist() for a in q.arrays()[1:]] == [[0, 0, 0], [2, 2, 2]]
    single = truth("poisson", weights=1, rates=3)
    assert [a.tolist() for a in single.arrays()] == [[1], [3]]


def test_a_truth_may_have_any_number_of_components() -> None:
    shares = [sp.Rational(1, 40)] * 40
    q = truth("normal", weights=shares, means=np.linspace(-1, 1, 40), scales=1)
    assert all(a.shape == (40,) for a in q.arrays())


def test_weights_in_floats_may_miss_one_by_rounding() -> None:
    assert len(truth("poisson", weights=np.full(7, 1 / 7), rates=1).weights) == 7


def test_truths_are_immutable_and_equal_by_value() -> None:
    q = truth("poisson", weights=1, rates=3)
    assert q == truth("poisson", weights=[1], rates=[3])
    with pytest.raises(AttributeError):
        q.weights = ()  # type: ignore[misc]
    assert isinstance(q, Truth)


def test_the_familys_parameters_and_nothing_else() -> None:
    assert "unknown family" in refused("gauss", weights=1, means=0, scales=1)
    assert "expected: means, scales" in refused("normal", weights=1, means=0)
    assert "given: none" in refused("normal", weights=1)
    assert "exactly" in refused("normal", weights=1, means=0, scales=1, rates=1)


@pytest.mark.parametrize(
    "weights", [[0.5, 0.6], [0.5, 0.4], [1.5, -0.5], [0, 1], 0.5, [0.5, 0.5 + 1e-9]]
)
def test_weights_are_positive_and_sum_to_one(weights: object) -> None:
    text = refused("normal", weights=weights, means=0, scales=1)
    assert "positive numbers that sum to one" in text


@pytest.mark.parametrize("means", [[0], [0, 1, 2], [], np.zeros(3)])
def test_as_many_parameters_as_weights(means: object) -> None:
    text = refused("normal", weights=[0.5, 0.5], means=means, scales=1)
    assert text.startswith(f"means has {len(means)} entries")  # type: ignore[arg-type]


def test_no_components_at_all() -> None:
    assert "at least 1" in refused("normal", weights=[], means=[], scales=1)


@pytest.mark.parametrize("scales", [0, -1, [1, 0], [1, "-1/2"]])
def test_scales_are_positive(scales: object) -> None:
    text = refused("normal", weights=[0.5, 0.5], means=0, scales=scales)
    assert text.startswith("scales leave their domain")
    assert "positive numbers" in text


@pytest.mark.parametrize("wrong", [True, None, float("nan"), float("inf"), "free"])
def test_what_is_no_number_is_refused(wrong: object) -> None:
    assert refused("poisson", weights=wrong, rates=1).startswith("weights")
    assert refused("poisson", weights=1, rates=wrong).startswith("rates")
    assert refused("poisson", weights=1, rates=[wrong]).startswith("rates")


def test_symbols_stay_until_numbers_are_given() -> None:
    q = truth("normal", weights=["r", "1 - r"], means=["a", "b + a"], scales="s")
    assert [s.name for s in q.symbols] == ["a", "b", "r", "s"]
    assert q.at(r="1/3", a=0, b=2, s=1) == truth(
        "normal", weights=["1/3", "2/3"], means=[0, 2], scales=1
    )
    weights, means, scales = q.arrays(r=0.25, a=1, b=1, s=3)
    assert weights.tolist() == [0.25, 0.75]
    assert means.tolist() == [1, 2]
    assert scales.tolist() == [3, 3]


def test_symbolic_weights_sum_to_one_identically() -> None:
    assert "sum to one" in refused("normal", weights=["r", "r"], means=0, scales=1)
    assert "sum to one" in refused("normal", weights="r", means=0, scales=1)


def test_each_symbol_is_given_a_number_and_nothing_else_is() -> None:
    q = truth("normal", weights=1, means="a", scales="s")
    for values in ({}, {"a": 1}, {"a": 1, "s": 1, "t": 1}):
        with pytest.raises(DeclarationError, match="exactly its own symbols"):
            q.arrays(**values)
    with pytest.raises(DeclarationError, match="scales leave their domain"):
        q.arrays(a=0, s=-1)
    with pytest.raises(DeclarationError, match="no keywords"):
        truth("normal", weights=1, means=0, scales=1).arrays(a=1)
