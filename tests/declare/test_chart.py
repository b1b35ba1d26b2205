"""Charts: names, order, domains and programs; what a map must cover; inverses that invert."""

from __future__ import annotations

import pickle
from collections.abc import Mapping

import pytest
import sympy as sp

from relrep_sym.declare.chart import Chart, identity
from relrep_sym.declare.charts import log, relative
from relrep_sym.declare.model import Mixture, mixture
from relrep_sym.declare.own_map import chart
from relrep_sym.declare.symbols import Parameter
from relrep_sym.errors import DeclarationError

UNIT = mixture("normal", 2, scales=1)
VUW = {"pi_1": "v", "mu_1": "w + (1 - v)*u", "mu_2": "w - v*u"}
RIGHT = {"v": "pi_1", "u": "mu_1 - mu_2", "w": "pi_1*mu_1 + (1 - pi_1)*mu_2"}


def refused(make: object, *args: object, **options: object) -> str:
    """What the DeclarationError says: what was wrong, what was given, what would be right."""
    with pytest.raises(DeclarationError) as caught:
        make(*args, **options)  # type: ignore[operator]
    text = str(caught.value)
    assert "; given: " in text
    assert "; expected: " in text
    return text


def domains(c: Chart) -> dict[str, str]:
    return {x.name: x.domain.name for x in c.coordinates}


# ------------------------------------------------------------------------------------- identity


@pytest.mark.parametrize("model", [mixture("normal", 3), mixture("poisson", 2, rates="tied")])
def test_the_identity_charts_coordinates_are_the_parameters(model: Mixture) -> None:
    c = identity(model)
    assert c.names == model.names
    assert domains(c) == {p.name: p.domain.name for p in model.parameters}
    assert c.unrolled == {p.symbol: sp.Symbol(p.name) for p in model.parameters}
    assert c.stands_for == {n: n for n in model.names}


def test_a_coordinate_is_never_the_parameter_of_its_name() -> None:
    c = identity(UNIT)
    assert all(coordinate != target for target, coordinate in c.program)
    assert all(isinstance(target, Parameter) for target, _ in c.program)


def test_a_model_without_parameters_has_nothing_to_learn() -> None:
    given = mixture("normal", 2, weights="tied", means=[0, 1], scales=1)
    assert given.names == ()
    assert "nothing to learn" in refused(identity, given)


# ------------------------------------------------------------------------------------- relative


@pytest.mark.parametrize("count", [2, 3, 5])
def test_each_component_is_the_one_before_plus_a_gap(count: int) -> None:
    c = relative(mixture("normal", count, scales=1), "mu")
    assert c.names[count - 1 :] == ("mu_1", *(f"Delta_{k}" for k in range(1, count)))
    rules = dict(c.program)
    for k in range(2, count + 1):
        before, gap = Parameter(f"mu_{k - 1}"), sp.Symbol(f"Delta_{k - 1}")
        assert rules[Parameter(f"mu_{k}")] == before + gap
        assert domains(c)[f"Delta_{k - 1}"] == "nonnegative"
    assert domains(c)["mu_1"] == "real"


@pytest.mark.parametrize("count", [2, 3, 5])
def test_a_square_gap_moves_on_the_line_and_never_contains_the_clearance(count: int) -> None:
    c = relative(mixture("normal", count), "mu", gap="square", clearance="1/3")
    assert {domains(c)[f"Delta_{k}"] for k in range(1, count)} == {"real"}
    last = c.unrolled[Parameter(f"mu_{count}")]
    gaps = [sp.Symbol(f"Delta_{k}") ** 2 for k in range(1, count)]
    assert sp.expand(last - sp.Add(*gaps)) == sp.Symbol("mu_1") + sp.Rational(count - 1, 3)


@pytest.mark.parametrize("clearance", [0, 0.1, "1/10", sp.Rational(1, 10), "sqrt(2)"])
def test_a_clearance_is_an_exact_number(clearance: object) -> None:
    c = relative(UNIT, "mu", clearance=clearance)
    exact = sp.Rational(1, 10) if clearance not in (0, "sqrt(2)") else sp.sympify(clearance)
    rule = dict(c.program)[Parameter("mu_2")]
    assert rule - Parameter("mu_1") - sp.Symbol("Delta_1") == exact


@pytest.mark.parametrize("count", [2, 3])
def test_gaps_on_the_scale_carry_its_name_and_those_on_a_location_do_not(count: int) -> None:
    c = relative(mixture("normal", count), ["mu", "sigma"])
    assert [n for n in c.names if n.startswith("Delta")] == [
        *(f"Delta_{k}" for k in range(1, count)),
        *(f"Delta_sigma_{k}" for k in range(1, count)),
    ]
    rate = relative(mixture("poisson", count), "rate")
    assert [n for n in rate.names if n.startswith("Delta")] == [
        f"Delta_rate_{k}" for k in range(1, count)
    ]


def test_relative_refuses() -> None:
    assert "is of a model" in refused(relative, "model", "mu")
    assert "unknown gap; given: cubic" in refused(relative, UNIT, "mu", gap="cubic")
    assert 'expected: "plain", "square", "exp", "softplus"' in refused(
        relative, UNIT, "mu", gap=None
    )
    assert "no such parameter; given: nu" in refused(relative, UNIT, "nu")
    assert "expected: one of mu, sigma" in refused(relative, UNIT, "pi_1")
    assert "two or more" in refused(relative, mixture("normal", 1), "mu")


@pytest.mark.parametrize("wrong", [5, None, [], (), ["mu", "mu"], {"mu": 1}])
def test_relative_is_on_one_parameter_or_distinct_ones(wrong: object) -> None:
    assert "a relative chart is on parameters" in refused(relative, UNIT, wrong)


@pytest.mark.parametrize("wrong", [-1, "-1/10", -0.1])
def test_a_clearance_is_not_negative(wrong: object) -> None:
    assert "the clearance is negative" in refused(relative, UNIT, "mu", clearance=wrong)


@pytest.mark.parametrize("wrong", [True, None, float("nan"), float("inf"), [1]])
def test_a_clearance_is_a_number(wrong: object) -> None:
    assert refused(relative, UNIT, "mu", clearance=wrong).startswith("clearance")


@pytest.mark.parametrize(
    ("model", "role", "right"),
    [
        (UNIT, "sigma", 'scales="free"'),
        (mixture("normal", 3, means="tied"), "mu", 'means="free"'),
        (mixture("normal", 3, means=[0, None, None]), "mu", 'means="free"'),
        (mixture("poisson", 2, rates="tied"), "rate", 'rates="free"'),
    ],
)
def test_relative_needs_a_parameter_free_in_every_component(
    model: Mixture, role: str, right: str
) -> None:
    text = refused(relative, model, role)
    assert f"needs {role} free in every component" in text
    assert right in text


# ------------------------------------------------------------------------------------- log


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_log_chart_takes_logarithms_of_what_is_learned(count: int) -> None:
    c = log(mixture("normal", count, scales=[None, *([1] * (count - 1))]), "sigma")
    assert c.names[-1] == "log_sigma_1"
    assert domains(c)["log_sigma_1"] == "real"
    assert dict(c.program)[Parameter("sigma_1")] == sp.exp(sp.Symbol("log_sigma_1"))
    assert log(mixture("poisson", 3, rates="tied"), "rate").names[-1] == "log_rate"


def test_log_refuses() -> None:
    assert "mu is real" in refused(log, UNIT, "mu")
    assert "no sigma is learned" in refused(log, UNIT, "sigma")
    assert "no such parameter" in refused(log, UNIT, "rate")
    assert "no such parameter" in refused(log, UNIT, None)
    assert "no sigma is learned; given: pi_1, mu_1, mu_2" in refused(log, identity(UNIT), "sigma")


# ------------------------------------------------------------------------------------- any map


def test_names_come_in_order_of_first_appearance_parameters_in_thetas_order() -> None:
    shuffled = {k: VUW[k] for k in ("mu_2", "mu_1", "pi_1")}
    assert chart(UNIT, VUW).names == chart(UNIT, shuffled).names == ("v", "w", "u")
    assert chart(UNIT, VUW, coordinates=["v", "u", "w"]).names == ("v", "u", "w")
    assert chart(UNIT, VUW, coordinates=("w", "u", "v")).names == ("w", "u", "v")


def test_appearance_is_that_of_whole_words() -> None:
    names = {"pi_1": "v_2", "mu_1": "tanh(e5 + 1e5 + v_22 + v)", "mu_2": "mu_11 - mu_1"}
    assert chart(UNIT, names).names == ("v_2", "e5", "v_22", "v", "mu_11", "mu_1")


def test_what_is_written_and_what_is_built_in_sympy_agree() -> None:
    v, u, w = sp.symbols("v u w", positive=True)  # assumptions are the domain's matter
    built = chart(
        UNIT,
        {"pi_1": v, "mu_1": w + (1 - v) * u, "mu_2": w - v * u},
        coordinates=["v", "w", "u"],
    )
    written = chart(UNIT, VUW)
    assert built.unrolled == written.unrolled
    assert built.symbols == sp.symbols("v w u")


def test_a_coordinate_that_stands_alone_takes_the_parameters_domain() -> None:
    model = mixture("normal", 2)
    rules = {"pi_1": "a", "mu_1": "b", "mu_2": "b + c", "sigma_1": "d", "sigma_2": "d*exp(e)"}
    assert domains(chart(model, rules)) == {
        "a": "unit", "b": "real", "c": "real", "d": "positive", "e": "real",
    }  # fmt: skip
    said = chart(model, rules, domains={"c": "nonnegative", "d": "positive", "b": "positive"})
    assert domains(said)["c"] == "nonnegative"
    assert domains(said)["b"] == "positive"


def test_a_name_spelled_like_a_parameter_is_a_coordinate() -> None:
    c = chart(UNIT, {"pi_1": "pi_1", "mu_1": "mu_2", "mu_2": "mu_1 - 1"})
    assert c.names == ("pi_1", "mu_2", "mu_1")
    assert c.unrolled[Parameter("mu_1")] == sp.Symbol("mu_2")
    assert c.stands_for == {"pi_1": "pi_1", "mu_2": "mu_1"}


def test_keywords_and_the_codes_own_words_may_be_coordinates() -> None:
    c = chart(UNIT, {"pi_1": "lambda", "mu_1": "x - np", "mu_2": "out + weights*rows"})
    assert c.names == ("lambda", "x", "np", "out", "weights", "rows")


def test_a_map_may_have_fewer_coordinates_and_constants() -> None:
    c = chart(UNIT, {"pi_1": "1/2", "mu_1": "u", "mu_2": 0.1})
    assert c.names == ("u",)
    assert c.unrolled[Parameter("mu_2")] == sp.Rational(1, 10)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"mu_1": None}, "the map misses mu_1"),
        ({"mu_1": None, "mu_2": None}, "the map misses mu_1, mu_2"),
        ({"nu": "u"}, "names no parameter of the model: nu;"),
        ({"sigma_1": "u"}, "names no parameter of the model: sigma_1 (fixed in this model)"),
        ({5: "u"}, "names no parameter of the model: 5"),
    ],
)
def test_a_map_covers_theta_exactly(changed: Mapping[object, object], says: str) -> None:
    given = {k: v for k, v in {**VUW, **changed}.items() if v is not None}
    text = refused(chart, UNIT, given)
    assert says in text
    assert "pi_1, mu_1, mu_2" in text


@pytest.mark.parametrize("wrong", [None, [("pi_1", "v")], "pi_1 = v", 5])
def test_a_map_is_a_mapping(wrong: object) -> None:
    assert "the map is not a mapping" in refused(chart, UNIT, wrong)
    for keyword in ("domains", "inverse"):
        if wrong is not None:
            assert f"{keyword}= is not a mapping" in refused(chart, UNIT, VUW, **{keyword: wrong})


@pytest.mark.parametrize(
    "wrong",
    ["E", "I", "2*E", "w +", "w ^ 2", "exp", "w__u", "_w", True, None, float("nan"), ["w"], 1j,
     sp.Symbol("pi"), sp.Symbol("a b"), sp.Symbol("w") * sp.I, sp.oo, sp.Function("f")(1)],
)  # fmt: skip
def test_a_rule_is_an_expression_in_names_that_may_be_coordinates(wrong: object) -> None:
    refused(chart, UNIT, {**VUW, "mu_1": wrong})


@pytest.mark.parametrize(
    "rule", ["2", "-1", "1 + exp(v)", "-exp(v)", "-v**2 - 1", "-1/10", "sqrt(2)"]
)
def test_a_map_that_leaves_a_domain_everywhere_is_refused(rule: str) -> None:
    text = refused(chart, UNIT, {**VUW, "pi_1": rule, "mu_1": "v", "mu_2": "w"})
    assert "the map of pi_1 leaves its domain everywhere" in text
    assert "values in the unit domain" in text


def test_a_scale_that_may_be_positive_is_not_refused() -> None:
    model = mixture("poisson", 1)
    chart(model, {"rate_1": "1 - s**2"})
    assert "leaves its domain" in refused(chart, model, {"rate_1": "-s"}, domains={"s": "positive"})


def test_a_map_is_smooth() -> None:
    for rule in ("abs(u)", "w + abs(u - v)**3"):
        assert "abs is not smooth" in refused(chart, UNIT, {**VUW, "mu_1": rule})
    assert chart(UNIT, {**VUW, "mu_1": "abs(-2)*u"}).unrolled[Parameter("mu_1")] == 2 * sp.Symbol(
        "u"
    )


def test_a_map_uses_a_coordinate() -> None:
    text = refused(chart, UNIT, {"pi_1": "1/2", "mu_1": 0, "mu_2": 1})
    assert "the map uses no coordinate" in text


@pytest.mark.parametrize(
    "wrong", [["v", "u"], ["v", "u", "w", "q"], ["v", "u", "q"], ("v", "w", "mu_1")]
)
def test_coordinates_lists_the_names_of_the_map(wrong: list[str]) -> None:
    text = refused(chart, UNIT, VUW, coordinates=wrong)
    assert "does not list the names that the map uses" in text
    assert "expected: u, v, w" in text


def test_coordinates_is_a_list_of_names_each_once() -> None:
    assert "is no list of names" in refused(chart, UNIT, VUW, coordinates="vuw")
    assert "is no list of names" in refused(chart, UNIT, VUW, coordinates=5)
    assert "names v twice" in refused(chart, UNIT, VUW, coordinates=["v", "u", "v", "w"])
    assert "is not a name" in refused(chart, UNIT, VUW, coordinates=["v", "u", 5])
    assert "is reserved" in refused(chart, UNIT, VUW, coordinates=["v", "u", "E"])
    assert "pi is the number 3.14159" in refused(chart, UNIT, VUW, coordinates=["v", "u", "pi"])


def test_domains_are_known_and_of_coordinates() -> None:
    text = refused(chart, UNIT, VUW, domains={"q": "unit", "v": "unit"})
    assert "domains= names no coordinate; given: q; expected: one of v, w, u" in text
    assert "given: mu_1" in refused(chart, UNIT, VUW, domains={"mu_1": "real"})
    assert "given: 5" in refused(chart, UNIT, VUW, domains={5: "real"})
    for unknown in ("simplex", 5, None, ["unit"]):
        assert "unknown domain" in refused(chart, UNIT, VUW, domains={"v": unknown})


def test_a_chart_is_of_a_model() -> None:
    for make in (identity, log, relative):
        args = () if make is identity else ("mu",)
        assert "a chart is of a model; given: str" in refused(make, "normal", *args)
    assert chart(identity(UNIT), VUW).unrolled == chart(UNIT, VUW).unrolled


# ------------------------------------------------------------------------------------- inverses


def test_an_inverse_that_inverts_is_kept_in_the_charts_order() -> None:
    c = chart(UNIT, VUW, inverse=RIGHT)
    assert c.inverse is not None
    assert [s.name for s, _ in c.inverse] == ["v", "w", "u"]
    for symbol, rule in c.inverse:
        assert sp.expand(rule.xreplace(c.unrolled)) == symbol


def test_an_inverse_of_a_chart_with_fewer_coordinates_need_only_come_back() -> None:
    rules = {"pi_1": "v", "mu_1": "u", "mu_2": "u**3"}
    c = chart(UNIT, rules, inverse={"v": "pi_1", "u": "mu_1"})
    assert {s.name: e for s, e in c.inverse} == {"v": Parameter("pi_1"), "u": Parameter("mu_1")}


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("u", "mu_2 - mu_1"),
        ("w", "mu_1"),
        ("v", "1 - pi_1"),
        ("u", "0"),
        ("u", "mu_1 - mu_2 + 1/10**9"),
        ("u", "(mu_1**2 - mu_1**2/1)/(pi_1 - pi_1/1 + 1)"),
        ("u", "log(-pi_1)"),
    ],
)
def test_an_inverse_that_does_not_invert_is_refused_with_a_point(name: str, wrong: str) -> None:
    text = refused(chart, UNIT, VUW, inverse={**RIGHT, name: wrong})
    assert f"the inverse given for {name} does not invert the map" in text
    assert f"expected: {name} at v=" in text


def test_an_inverse_with_no_value_is_refused() -> None:
    rules = {"pi_1": "v", "mu_1": "u", "mu_2": "u"}
    for nothing in ("(mu_1**2 - mu_2**2)/(mu_1 - mu_2)", "1/(mu_1 - mu_2)", "log(mu_1 - mu_2)"):
        text = refused(chart, UNIT, rules, inverse={"v": "pi_1", "u": nothing})
        assert "does not invert the map" in text


def test_an_inverse_gives_each_coordinate_in_theta() -> None:
    missing = {k: v for k, v in RIGHT.items() if k != "u"}
    assert "does not give each coordinate" in refused(chart, UNIT, VUW, inverse=missing)
    assert "expected: v, w, u" in refused(chart, UNIT, VUW, inverse={**RIGHT, "q": "pi_1"})
    assert "does not give each coordinate" in refused(chart, UNIT, VUW, inverse={5: "pi_1"})
    assert "unknown name 'v'" in refused(chart, UNIT, VUW, inverse={**RIGHT, "u": "v"})


# ------------------------------------------------------------------------------------- as a value


@pytest.mark.parametrize(
    "c",
    [
        identity(UNIT),
        relative(mixture("normal", 3), ["mu", "sigma"], gap="square", clearance=0.1),
        log(mixture("poisson", 2), "rate"),
        chart(UNIT, VUW, domains={"v": "unit"}, inverse=RIGHT),
    ],
    ids=lambda c: c.title,
)
def test_charts_are_immutable_equal_by_value_and_pickle(c: Chart) -> None:
    again = pickle.loads(pickle.dumps(c))
    assert again == c
    assert hash(again) == hash(c)
    assert again.unrolled == c.unrolled
    with pytest.raises(AttributeError):
        c.title = "another"  # type: ignore[misc]
    assert c != identity(mixture("normal", 2))
