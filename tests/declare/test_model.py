"""Models: the names and the order of θ, what is fixed, and weights that sum to one identically."""

from __future__ import annotations

import pickle
from fractions import Fraction

import numpy as np
import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st

from relrep_sym.declare.model import MAX_COMPONENTS, Mixture, mixture
from relrep_sym.declare.symbols import Parameter
from relrep_sym.errors import DeclarationError

FREE = {
    2: "pi_1 mu_1 mu_2 sigma_1 sigma_2",
    3: "pi_1 pi_2 mu_1 mu_2 mu_3 sigma_1 sigma_2 sigma_3",
    5: "pi_1 pi_2 pi_3 pi_4 mu_1 mu_2 mu_3 mu_4 mu_5 sigma_1 sigma_2 sigma_3 sigma_4 sigma_5",
}


def refused(*args: object, **options: object) -> str:
    """What the DeclarationError of a mixture says."""
    with pytest.raises(DeclarationError) as caught:
        mixture(*args, **options)  # type: ignore[arg-type]
    text = str(caught.value)
    assert "; given: " in text
    assert "; expected: " in text
    return text


# ------------------------------------------------------------------------------------- names


@pytest.mark.parametrize("count", FREE)
def test_theta_is_weights_but_the_last_then_means_then_scales(count: int) -> None:
    assert mixture("normal", count).names == tuple(FREE[count].split())
    assert mixture("normal", components=count, scales=1).names == tuple(
        n for n in FREE[count].split() if not n.startswith("sigma")
    )


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_poisson_parameters_are_rates(count: int) -> None:
    weights = [f"pi_{k}" for k in range(1, count)]
    rates = [f"rate_{k}" for k in range(1, count + 1)]
    assert mixture("poisson", count).names == (*weights, *rates)
    assert mixture("poisson", count, rates="tied").names == (*weights, "rate")


def test_one_component_has_no_weight() -> None:
    for weights in ("free", "tied", 1, [1], [None]):
        one = mixture("normal", 1, weights=weights)
        assert one.names == ("mu_1", "sigma_1")
        assert one.weight_expressions == (1,)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_a_tied_parameter_is_one_entry_used_by_every_component(count: int) -> None:
    tied = mixture("normal", count, scales="tied")
    assert tied.names[-1] == "sigma"
    (sigma,) = tied.of_role("sigma")
    assert sigma.components == tuple(range(count))
    assert tied.component("sigma") == (Parameter("sigma"),) * count


def test_fixed_entries_leave_theta_and_are_listed() -> None:
    mixed = mixture("normal", 3, weights="1/3", means=[0, None, None], scales=[None, "1/2", None])
    assert mixed.names == ("mu_2", "mu_3", "sigma_1", "sigma_3")
    third = sp.Rational(1, 3)
    assert mixed.fixed == {
        "pi_1": third, "pi_2": third, "pi_3": third, "mu_1": 0, "sigma_2": sp.Rational(1, 2),
    }  # fmt: skip
    assert mixed.component("mu") == (0, Parameter("mu_2"), Parameter("mu_3"))


def test_all_free_in_a_list_is_free() -> None:
    assert mixture("normal", 2, means=[None, None]) == mixture("normal", 2)
    assert mixture("normal", 2, weights=(None, None)) == mixture("normal", 2, weights="free")


@pytest.mark.parametrize("count", [2, 3, 5])
def test_roles_and_components_of_theta(count: int) -> None:
    model = mixture("normal", count)
    for role in ("mu", "sigma"):
        entries = model.of_role(role)
        assert [p.components for p in entries] == [(k,) for k in range(count)]
        assert model.component(role) == tuple(p.symbol for p in entries)
    assert {p.domain.name for p in model.of_role("weight")} == {"unit"}
    assert {p.domain.name for p in model.of_role("sigma")} == {"positive"}
    assert all(isinstance(p.symbol, Parameter) for p in model.parameters)


# ------------------------------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    ("value", "exact"),
    [
        (2, sp.Integer(2)),
        (Fraction(1, 3), sp.Rational(1, 3)),
        ("1/3", sp.Rational(1, 3)),
        ("0.1", sp.Rational(1, 10)),
        (0.1, sp.Rational(1, 10)),
        (1e-300, sp.Rational(1, 10**300)),
        (sp.Rational(2, 7), sp.Rational(2, 7)),
        (sp.sqrt(2), sp.sqrt(2)),
        ("sqrt(2)", sp.sqrt(2)),
        (sp.Float("0.1"), sp.Rational(1, 10)),
        (np.float64(0.1), sp.Rational(1, 10)),
        (np.float32(0.1), sp.Rational(1, 10)),
        (np.int32(3), sp.Integer(3)),
        (np.array(0.1), sp.Rational(1, 10)),
        (np.array(np.float32(0.1)), sp.Rational(1, 10)),
    ],
)
def test_a_number_means_what_it_says_exactly(value: object, exact: sp.Expr) -> None:
    assert mixture("normal", 2, scales=value).component("sigma") == (exact, exact)
    if not isinstance(value, np.ndarray):
        assert mixture("normal", 2, scales=[value, None]).component("sigma")[0] == exact


def test_arrays_are_read_entry_by_entry() -> None:
    model = mixture("normal", 2, weights=np.array([0.25, 0.75]), means=np.array([0, 1]), scales=1)
    assert model.weight_expressions == (sp.Rational(1, 4), sp.Rational(3, 4))
    assert model.component("mu") == (0, 1)
    singles = mixture("normal", 2, scales=np.array([0.1, 0.3], dtype=np.float32))
    assert singles.component("sigma") == (sp.Rational(1, 10), sp.Rational(3, 10))


# ------------------------------------------------------------------------------------- weights


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_tied_weights_are_equal(count: int) -> None:
    assert mixture("normal", count, weights="tied").weight_expressions == (
        (sp.Rational(1, count),) * count
    )


def test_the_last_free_weight_is_what_the_others_leave() -> None:
    model = mixture("normal", 4, weights=[None, "1/8", None, "1/4"])
    assert model.names[:1] == ("pi_1",)
    assert model.free_weights == (0, 2)
    first = Parameter("pi_1")
    assert model.weight_expressions == (
        first, sp.Rational(1, 8), sp.Rational(5, 8) - first, sp.Rational(1, 4),
    )  # fmt: skip
    assert model.fixed["pi_2"] == sp.Rational(1, 8)


def test_a_single_free_weight_is_fixed_too() -> None:
    model = mixture("normal", 3, weights=["1/3", None, "1/4"], scales=1)
    assert model.names == ("mu_1", "mu_2", "mu_3")
    assert model.weight_expressions[1] == sp.Rational(5, 12)


@st.composite
def weight_patterns(draw: st.DrawFn) -> list[Fraction | None]:
    """Fixed weights that leave room for the free ones, in any places."""
    parts = draw(st.lists(st.integers(1, 20), min_size=1, max_size=6))
    shares = [Fraction(p, sum(parts)) for p in parts]
    free = draw(st.lists(st.booleans(), min_size=len(parts), max_size=len(parts)))
    return [None if hole else share for hole, share in zip(free, shares, strict=True)]


@given(weight_patterns())
def test_weights_sum_to_one_identically(pattern: list[Fraction | None]) -> None:
    model = mixture("poisson", len(pattern), weights=pattern)
    assert sp.expand(sp.Add(*model.weight_expressions)) == 1
    for k, given_weight in enumerate(pattern):
        if given_weight is not None:
            assert model.weight_expressions[k] == given_weight
    holes = pattern.count(None)
    assert len(model.of_role("weight")) == max(holes - 1, 0)


# ------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("value", [0, -1, True, 2.0, "2", None, MAX_COMPONENTS + 1])
def test_components_is_a_whole_number_in_range(value: object) -> None:
    assert refused("normal", value).startswith("components is ")


def test_numpy_integers_count_components() -> None:
    assert mixture("normal", np.int64(2)) == mixture("normal", 2)


def test_unknown_names_are_said() -> None:
    assert "given: gauss; expected: one of normal, poisson" in refused("gauss", 2)
    assert "given: rates; expected: weights, means, scales" in refused("normal", 2, rates=1)
    assert "given: scale; expected: weights, rates" in refused("poisson", 2, scale=1)
    for pattern in ("loose", "", "Free"):
        assert "unknown pattern for scales" in refused("normal", 2, scales=pattern)
        assert "unknown pattern for weights" in refused("normal", 2, weights=pattern)


@pytest.mark.parametrize("wrong", [[1], [1, 2, 3], [], np.ones(3)])
def test_one_entry_for_each_component(wrong: object) -> None:
    assert "entries" in refused("normal", 2, scales=wrong)
    assert "expected: 2 entries" in refused("normal", 2, weights=wrong)


@pytest.mark.parametrize(
    "wrong",
    [True, float("nan"), float("inf"), -float("inf"), 1j, None, {"a": 1}, {1, 2}, object(),
     sp.nan, sp.oo, sp.I, sp.Symbol("s"), "1/0", "1 +", np.ones((2, 2)), [[1], [1]],
     ["free", 1], [True, 1], [float("nan"), 1]],
)  # fmt: skip
def test_what_is_no_number_is_refused(wrong: object) -> None:
    assert refused("normal", 2, scales=wrong).startswith("scales")
    assert refused("normal", 2, weights=wrong).startswith("weights")


@pytest.mark.parametrize("scale", [0, -1, "-1/3", -0.1, "1 - sqrt(2)", [1, 0], [None, -1]])
def test_scales_and_rates_are_positive(scale: object) -> None:
    assert "an entry of scales is outside its domain" in refused("normal", 2, scales=scale)
    assert "numbers in the positive domain" in refused("poisson", 2, rates=scale)


@pytest.mark.parametrize(
    ("weights", "right"),
    [
        ([0.5, 0.6], "sum exactly one"),
        ([0.5, 0.4], "sum exactly one"),
        (0.6, "sum exactly one"),
        ([0, 1], "positive"),
        ([-0.5, 1.5], "positive"),
        ([1, None], "sum below one"),
        ([1.5, None], "sum below one"),
        ([0, None], "positive"),
    ],
)
def test_weights_are_positive_and_sum_to_one(weights: object, right: str) -> None:
    text = refused("normal", 2, weights=weights)
    assert text.startswith("the fixed weights cannot be weights")
    assert right in text


# ------------------------------------------------------------------------------------- as a value


def test_a_model_is_described_in_one_line() -> None:
    model = mixture("normal", 2, weights="1/2", means=[0, None], scales="tied")
    assert model.describe() == (
        "mixture of 2 normal components: weights fixed at 1/2, means (0, free), scales tied"
    )
    assert mixture("poisson", 1).describe().startswith("mixture of 1 poisson component:")


def test_models_are_immutable_equal_by_value_and_pickle() -> None:
    model = mixture("normal", 3, scales="tied")
    assert model == mixture("normal", 3, scales="tied")
    assert model != mixture("normal", 3)
    assert hash(model) == hash(mixture("normal", 3, scales="tied"))
    with pytest.raises(AttributeError):
        model.components = 4  # type: ignore[misc]
    again = pickle.loads(pickle.dumps(model))
    assert again == model
    assert isinstance(again, Mixture)
    assert again.names == model.names
