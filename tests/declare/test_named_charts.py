"""The named charts but those of the weights, as functions of numbers."""

from __future__ import annotations

import itertools

import mpmath
import pytest
import sympy as sp

import relrep_sym as rs
from relrep_sym.declare.charts import affine, log, relative
from relrep_sym.declare.model import mixture
from relrep_sym.errors import DeclarationError
from tests.declare.maps import ordinary, theta
from tests.declare.test_chart import domains, refused

GAPS = {
    "plain": lambda d: d,
    "square": lambda d: d * d,
    "exp": mpmath.exp,
    "softplus": lambda d: mpmath.log1p(mpmath.exp(d)),
}


# ------------------------------------------------------------------------------ relative


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("gap", GAPS)
@pytest.mark.parametrize("clearance", [0, "1/7", "lam", "lam**2 + 1/9", "lam + nu"])
def test_from_the_first_each_is_the_one_before_plus_gap_and_clearance(
    count: int, gap: str, clearance: object
) -> None:
    c = relative(mixture("normal", count), "mu", gap=gap, clearance=clearance)
    point = ordinary(c)
    found = theta(c, point)
    room = mpmath.mpf(0)
    if clearance:
        values = {s: sp.Symbol(s.name) for s in c.inputs}
        rule = sp.sympify(clearance, locals={"nu": sp.Symbol("nu"), "lam": sp.Symbol("lam")})
        room = sp.lambdify(list(values.values()), rule, "mpmath")(*(point[n.name] for n in values))
    want = point["mu_1"]
    assert found["mu_1"] == want
    for k in range(2, count + 1):
        want += GAPS[gap](point[f"Delta_{k - 1}"]) + room
        assert mpmath.almosteq(found[f"mu_{k}"], want, 1e-14)
    assert domains(c)["Delta_1"] == ("nonnegative" if gap == "plain" else "real")
    wanted = [] if clearance in (0, "1/7") else ["lam", "nu"][: 1 + ("nu" in str(clearance))]
    assert [g.name for g in c.constants] == wanted
    assert all(g.domain.name == "nonnegative" for g in c.constants)
    assert not any(g.name in c.names for g in c.constants)


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("gap", GAPS)
def test_from_the_last_each_is_the_one_after_less_gap_and_clearance(count: int, gap: str) -> None:
    c = relative(
        mixture("normal", count, scales=1), "mu", gap=gap, clearance="lam", reference="last"
    )
    point = ordinary(c)
    found = theta(c, point)
    assert found[f"mu_{count}"] == point[f"mu_{count}"]
    for k in range(1, count):
        down = found[f"mu_{k + 1}"] - found[f"mu_{k}"]
        assert mpmath.almosteq(down, GAPS[gap](point[f"Delta_{k}"]) + point["lam"], 1e-13)
    rising = relative(mixture("normal", count, scales=1), "mu", gap=gap, clearance="lam").names[
        count - 1 :
    ]
    assert set(c.names[count - 1 :]) == {*rising} - {"mu_1"} | {f"mu_{count}"}


def test_several_parameters_have_gaps_of_their_own() -> None:
    c = relative(mixture("normal", 3), ["mu", "sigma"], gap="exp", clearance="lam")
    point = ordinary(c)
    found = theta(c, point)
    for k, (role, stem) in itertools.product((1, 2), [("mu", "Delta"), ("sigma", "Delta_sigma")]):
        step = found[f"{role}_{k + 1}"] - found[f"{role}_{k}"]
        want = mpmath.exp(point[f"{stem}_{k}"]) + point["lam"]
        assert mpmath.almosteq(step, want, 1e-14)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"reference": "middle"}, 'unknown reference; given: middle; expected: "first" or "last"'),
        ({"reference": None}, "unknown reference"),
        ({"gap": "soft"}, "unknown gap"),
        ({"clearance": "-lam"}, "the clearance may be negative"),
        ({"clearance": "lam - nu"}, "the clearance may be negative"),
        ({"clearance": "-1"}, "the clearance is negative"),
        ({"clearance": "mu_1 +"}, "clearance: the text ends"),
        ({"clearance": "Delta_1"}, "Delta_1 is both a coordinate and a constant"),
        ({"clearance": "mu_1"}, "mu_1 is both a coordinate and a constant"),
    ],
)
def test_options_that_are_none_are_refused(options: dict[str, object], says: str) -> None:
    assert says in refused(relative, mixture("normal", 3), "mu", **options)


# ------------------------------------------------------------------------------ log


def test_the_log_of_a_log_is_refused_and_that_of_a_positive_coordinate_is_not() -> None:
    model = mixture("normal", 2)
    assert "log_sigma is real" in refused(log, log(model, "sigma"), "log_sigma")
    c = rs.chart(model, {**{n: n for n in model.names}, "sigma_1": "s_1", "sigma_2": "s_1*s_2"},
                 domains={"s_1": "positive", "s_2": "positive"})  # fmt: skip
    twice = log(c, "s")
    assert twice.names[-2:] == ("log_s_1", "log_s_2")
    point = ordinary(twice)
    found = theta(twice, point)
    assert mpmath.almosteq(found["sigma_2"], mpmath.exp(point["log_s_1"] + point["log_s_2"]), 1e-14)


def test_relative_over_log_is_a_chart_of_ratios() -> None:
    c = relative(log(mixture("normal", 3), "sigma"), "log_sigma", gap="square")
    assert c.names[-3:] == ("log_sigma_1", "Delta_log_sigma_1", "Delta_log_sigma_2")
    point = ordinary(c)
    found = theta(c, point)
    for k in (1, 2):
        ratio = found[f"sigma_{k + 1}"] / found[f"sigma_{k}"]
        assert mpmath.almosteq(ratio, mpmath.exp(point[f"Delta_log_sigma_{k}"] ** 2), 1e-14)


# ------------------------------------------------------------------------------ affine

MATRIX = [[1, -1, 0], [1, 0, "1/3"], [1, "a", 0]]


@pytest.mark.parametrize("offset", [0, "b", [1, "b", "1/2"]])
def test_an_affine_chart_is_a_matrix_times_coordinates_plus_an_offset(offset: object) -> None:
    c = affine(mixture("normal", 3), MATRIX, offset, parameter="mu", names=["m", "d", "e"])
    assert c.names == ("pi_1", "pi_2", "m", "d", "e", "sigma_1", "sigma_2", "sigma_3")
    point = ordinary(c)
    found = theta(c, point)
    rows = mpmath.matrix([[1, -1, 0], [1, 0, mpmath.mpf(1) / 3], [1, point["a"], 0]])
    by = {0: [0] * 3, "b": [point.get("b")] * 3}.get(str(offset) if offset else 0)
    shift = mpmath.matrix(by if by is not None else [1, point["b"], mpmath.mpf(1) / 2])
    want = rows * mpmath.matrix([point[n] for n in "mde"]) + shift
    for k in range(3):
        assert mpmath.almosteq(found[f"mu_{k + 1}"], want[k], 1e-14)
    assert [g.name for g in c.constants] == (["a"] if offset == 0 else ["a", "b"])
    assert {g.domain.name for g in c.constants} == {"real"}


def test_an_affine_chart_of_fewer_columns_ties_entries() -> None:
    c = affine(mixture("normal", 3, weights="tied", scales=1), [[1], [2], [3]])
    assert c.names == ("beta_1",)
    assert list(theta(c, {"beta_1": 2}).values()) == [2, 4, 6]


def test_numpy_and_sympy_matrices_are_taken() -> None:
    np = pytest.importorskip("numpy")
    m = mixture("normal", 2, weights="tied", scales=1)
    plain = affine(m, [[1, -1], [1, 1]], [0.5, 0.25])
    assert affine(m, np.array([[1, -1], [1, 1]]), np.array([0.5, 0.25])) == plain
    assert affine(m, sp.Matrix([[1, -1], [1, 1]]), [0.5, 0.25]) == plain


@pytest.mark.parametrize(
    ("matrix", "options", "says"),
    [
        ([[1, 1], [2, 2]], {}, "dependent columns"),
        ([[1, 1, 0], [2, 2, 1]], {}, "dependent columns"),
        ([[1], [2], [3]], {}, "another shape; given: 3 rows of 1; expected: 2 rows of one length"),
        ([[1, 2], [1]], {}, "another shape; given: 2 rows of 1, 2"),
        ([[], []], {}, "another shape"),
        ([], {}, "is no matrix"),
        ("I", {}, "is no matrix"),
        ([1, 2], {}, "is no matrix"),
        (["12", "34"], {}, "is no matrix"),
        ([[1, 0], [0, 1]], {"offset": [1]}, "the offset has another length; given: 1"),
        ([[1, 0], [0, 1]], {"names": ["a"]}, "names= has another length"),
        ([[1, 0], [0, 1]], {"names": ["a", "a"]}, "two coordinates a"),
        ([[1, 0], [0, 1]], {"names": ["a", "b b"]}, "b b"),
        ([["q", 0], [0, 1]], {"names": ["q", "b"]}, "q is both a coordinate and a constant"),
        ([[1, 0], [0, 1]], {"parameter": "nu"}, "no such parameter; given: nu"),
        ([["1 +", 0], [0, 1]], {}, "the matrix"),
    ],
)
def test_affine_refuses(matrix: object, options: dict[str, object], says: str) -> None:
    model = mixture("normal", 2, weights="tied", scales=1)
    assert says in refused(affine, model, matrix, **options)


# ------------------------------------------------------------------------------ held


def test_what_is_held_is_a_constant_of_its_domain() -> None:
    d = rs.derive(
        mixture("normal", 3), relative(mixture("normal", 3), "mu", clearance="lam"),
        moving=["Delta_2", "pi_1"],
    )  # fmt: skip
    c = d.chart
    assert c.names == ("pi_1", "Delta_2")  # in the chart's order
    given = {g.name: g.domain.name for g in c.constants}
    assert given.pop("lam") == "nonnegative"
    assert given == {
        "pi_2": "unit", "mu_1": "real", "Delta_1": "nonnegative",
        "sigma_1": "positive", "sigma_2": "positive", "sigma_3": "positive",
    }  # fmt: skip
    assert c.whole == relative(mixture("normal", 3), "mu", clearance="lam")
    point = ordinary(c.whole)
    assert theta(c, point) == theta(c.whole, point)


def test_all_may_move() -> None:
    model = mixture("normal", 2)
    c = relative(model, "mu")
    assert rs.derive(model, c, moving=list(c.names)).chart == c


@pytest.mark.parametrize(
    ("moving", "says"),
    [
        ([], "moving= is no list of names"),
        ("mu_1", "moving= is no list of names"),
        (5, "moving= is no list of names"),
        (["mu_2"], "moving= names no coordinate of the chart; given: mu_2; expected: some of pi_1"),
    ],
)
def test_what_moves_is_a_list_of_coordinates(moving: object, says: str) -> None:
    model = mixture("normal", 2)
    text = refused(rs.derive, model, relative(model, "mu"), moving=moving)
    assert says in text


def test_a_view_cannot_be_of_the_chart_before_it_was_held() -> None:
    model = mixture("normal", 2)
    c = relative(model, "mu")
    seen = rs.view(c, {"u": "mu_2 - mu_1"})
    with pytest.raises(DeclarationError, match="the view is of another chart"):
        rs.derive(model, c, view=seen, moving=["mu_1"])
