"""Composition: outer @ inner is the composite map, in any grouping; names stay apart."""

from __future__ import annotations

import itertools
import pickle
import warnings

import mpmath
import numpy as np
import pytest
import sympy as sp

import relrep_sym as rs
from relrep_sym.declare.chart import Chart, with_constants
from relrep_sym.declare.model import mixture
from tests.declare.maps import number, ordinary, theta, weights
from tests.declare.test_chart import domains, refused

NORMAL = mixture("normal", 3)
RELATIVE = rs.relative(NORMAL, "mu")
CHARTS = {
    "identity": rs.identity(NORMAL),
    "relative": RELATIVE,
    "square": rs.relative(NORMAL, "mu", gap="square", clearance="lam"),
    "last": rs.relative(NORMAL, "mu", gap="exp", reference="last"),
    "log": rs.log(NORMAL, "sigma"),
    "softmax": rs.softmax(NORMAL),
    "stick": rs.stick_breaking(NORMAL, clearance="nu"),
    "cleared": rs.cleared(NORMAL, clearance="lam"),
}
ABOUT = {
    "identity": "", "relative": "mu", "square": "mu", "last": "mu", "log": "sigma",
    "softmax": "pi", "stick": "pi", "cleared": "pi",
}  # fmt: skip
"""What each chart moves: charts that move different entries may be composed."""

PAIRS = [
    (a, b) for a, b in itertools.permutations(CHARTS, 2) if not ABOUT[a] or ABOUT[a] != ABOUT[b]
]
TRIPLES = [
    t for t in itertools.permutations(["relative", "square", "log", "softmax", "stick"], 3)
    if len({ABOUT[n] for n in t}) == 3
]  # fmt: skip


def close(a: dict[str, mpmath.mpf], b: dict[str, mpmath.mpf]) -> None:
    assert list(a) == list(b)
    for name in a:
        assert mpmath.almosteq(a[name], b[name], 1e-14), name


def by_hand(outer: Chart, inner: Chart, point: dict[str, mpmath.mpf]) -> dict[str, mpmath.mpf]:
    """θ of the outer chart at the coordinates that the inner chart's θ says."""
    moved = theta(inner, {n: point.get(n) for n in (s.name for s in inner.inputs)})
    there = {n: moved.get(n, point.get(n)) for n in outer.names}
    return theta(outer, there | {g.name: point[g.name] for g in outer.constants})


# ------------------------------------------------------------------------------ the composite map


@pytest.mark.parametrize(("outer", "inner"), PAIRS)
def test_outer_at_inner_is_the_composite_map(outer: str, inner: str) -> None:
    o, i = CHARTS[outer], CHARTS[inner]
    c = o @ i
    point = ordinary(c)
    whole = {**ordinary(i), **ordinary(o), **point}
    close(theta(c, point), by_hand(o, i, whole))
    assert c.model == NORMAL
    assert sorted(g.name for g in c.constants) == sorted(
        {g.name for g in (*o.constants, *i.constants)}
    )


@pytest.mark.parametrize("names", TRIPLES, ids="-".join)
def test_composition_is_associative(names: tuple[str, ...]) -> None:
    a, b, c = (CHARTS[n] for n in names)
    left, right = (a @ b) @ c, a @ (b @ c)
    assert set(left.names) == set(right.names)
    assert left.names == right.names
    for seed in (0, 1):
        point = ordinary(left, seed)
        close(theta(left, point), theta(right, point))
        for x, y in zip(weights(left, point), weights(right, point), strict=True):
            assert mpmath.almosteq(x, y, 1e-14)
    assert {g.name for g in left.constants} == {g.name for g in right.constants}


@pytest.mark.parametrize("name", CHARTS)
def test_the_identity_chart_is_a_unit_on_both_sides(name: str) -> None:
    c = CHARTS[name]
    one = CHARTS["identity"]
    for same in (c @ one, one @ c):
        assert same.names == c.names
        assert domains(same) == domains(c)
        assert same.unrolled == c.unrolled
        assert same.constants == c.constants


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_of_other_entries_commutes(name: str) -> None:
    c = rs.chart(NORMAL, {**{n: n for n in NORMAL.names}, "sigma_3": "exp(s)"})
    if name in ("log",):
        return
    one, two = CHARTS[name] @ c, c @ CHARTS[name]
    point = ordinary(one)
    close(theta(one, point), theta(two, point))


# ------------------------------------------------------------------------------ charts on charts


def test_a_map_on_a_chart_is_of_its_coordinates_and_keeps_the_others() -> None:
    c = rs.chart(RELATIVE, {"Delta_1": "exp(rho)", "Delta_2": "exp(rho)*r"}, domains={"r": "unit"})
    assert c.names == ("pi_1", "pi_2", "mu_1", "rho", "r", "sigma_1", "sigma_2", "sigma_3")
    assert domains(c)["rho"] == "real"
    assert domains(c)["r"] == "unit"
    point = ordinary(c)
    found = theta(c, point)
    gap = mpmath.exp(point["rho"])
    assert mpmath.almosteq(found["mu_2"] - found["mu_1"], gap, 1e-14)
    assert mpmath.almosteq(found["mu_3"] - found["mu_2"], gap * point["r"], 1e-14)
    assert c.own
    assert c.over == RELATIVE


@pytest.mark.parametrize(
    "make",
    [
        lambda on: rs.relative(on, "mu", gap="square", clearance="1/3"),
        lambda on: rs.log(on, "sigma"),
        lambda on: rs.affine(on, [[1, -1, 0], [1, 0, 0], [1, 1, 1]], "b", parameter="mu"),
    ],
)
@pytest.mark.parametrize("weigh", [rs.softmax, rs.stick_breaking])
def test_a_named_chart_on_a_chart_is_that_chart_at_it(make, weigh) -> None:
    on = weigh(NORMAL)
    first = make(on)
    second = on @ make(NORMAL)
    point = ordinary(first)
    assert set(first.names) == set(second.names)
    close(theta(first, point), theta(second, point))
    assert on @ first is first


def test_gaps_are_one_fewer_than_components_and_are_not_ordered_again() -> None:
    assert "needs Delta free in every component" in refused(rs.relative, RELATIVE, "Delta")


def test_three_charts_on_each_other() -> None:
    c = rs.chart(
        rs.relative(rs.softmax(NORMAL), "mu", gap="softplus", clearance="lam"),
        {"alpha_1": "a + b", "alpha_2": "a - b"},
    )
    assert c.names[:2] == ("a", "b")
    point = ordinary(c)
    found = weights(c, point)
    assert mpmath.almosteq(
        mpmath.log(found[0] / found[2]), point["a"] + point["b"], mpmath.mpf("1e-13")
    )
    assert mpmath.almosteq(mpmath.log(found[1] / found[2]), point["a"] - point["b"], 1e-13)


# ------------------------------------------------------------------------------ names


def test_a_coordinate_may_be_called_like_what_it_makes() -> None:
    """Δ_1 of the inner map is another thing than Δ_1 of the outer chart."""
    c = rs.chart(RELATIVE, {"Delta_1": "Delta_2**2", "Delta_2": "Delta_1**2 + Delta_2**2"})
    point = ordinary(c)
    found = theta(c, point)
    one, two = point["Delta_1"], point["Delta_2"]
    assert mpmath.almosteq(found["mu_2"] - found["mu_1"], two**2, 1e-14)
    assert mpmath.almosteq(found["mu_3"] - found["mu_2"], one**2 + two**2, 1e-14)


def test_a_coordinate_may_be_called_like_an_entry_of_theta_that_it_is_not() -> None:
    c = rs.chart(RELATIVE, {"mu_1": "mu_3", "Delta_1": "exp(mu_2)", "Delta_2": "exp(mu_1 - mu_2)"})
    point = ordinary(c)
    found = theta(c, point)
    assert found["mu_1"] == point["mu_3"]
    assert mpmath.almosteq(found["mu_2"], point["mu_3"] + mpmath.exp(point["mu_2"]), 1e-14)


@pytest.mark.parametrize(
    ("weigh", "name"),
    [
        (rs.softmax, "log_Z"), (rs.softmax, "pi_3"), (rs.softmax, "d_pi_1"),
        (rs.stick_breaking, "rest_1"), (rs.stick_breaking, "pi_3"), (rs.stick_breaking, "x"),
    ],
)  # fmt: skip
def test_a_coordinate_may_be_called_like_an_intermediate(weigh, name: str) -> None:
    made = weigh(NORMAL, clearance="lam")
    first = made.names[0]
    c = rs.chart(made, {first: f"{name}/2", "mu_1": f"{name} + 1"})
    plain = rs.chart(made, {first: "other/2", "mu_1": "other + 1"})
    point = ordinary(plain)
    renamed = {(name if n == "other" else n): v for n, v in point.items()}
    close(theta(c, renamed), theta(plain, point))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        k, want = (rs.derive(NORMAL, chart).compile() for chart in (c, plain))
    coords = [float(point[n]) for n in plain.names]
    x, lam = np.array([-1.0, 0.5, 2.0]), float(point["lam"])
    np.testing.assert_array_equal(k.score(x, coords, lam=lam), want.score(x, coords, lam=lam))


def test_a_coordinate_that_stays_may_be_read_by_a_map_too() -> None:
    c = rs.chart(RELATIVE, {"Delta_1": "mu_1**2"})
    assert "Delta_1" not in c.names
    point = ordinary(c)
    found = theta(c, point)
    assert mpmath.almosteq(found["mu_2"], point["mu_1"] + point["mu_1"] ** 2, 1e-14)


def test_a_constant_is_no_coordinate() -> None:
    square = CHARTS["square"]
    assert "lam is both a coordinate and a constant" in refused(
        rs.chart, square, {"Delta_1": "lam"}
    )
    assert "mu_1 is both" in refused(lambda: rs.softmax(RELATIVE, clearance="mu_1"))


# ------------------------------------------------------------------------------ constants


def test_constants_of_one_name_are_one_and_keep_their_order() -> None:
    c = rs.relative(rs.softmax(NORMAL, clearance="lam"), "mu", clearance="nu + lam")
    assert [g.name for g in c.constants] == ["lam", "nu"]
    point = ordinary(c)
    both = theta(c, point)
    put = {"lam": "1/100", "nu": "1/7"}
    numbers = with_constants(c, {n: sp.Rational(v) for n, v in put.items()})
    exact = {n: sp.Rational(v) for n, v in put.items()}
    there = {**point, **{n: mpmath.mpf(v.p) / v.q for n, v in exact.items()}}
    close(theta(numbers, there), theta(c, there))
    assert both != theta(c, there)
    assert numbers.constants == ()


def test_constants_of_different_domains_are_refused() -> None:
    outer = rs.chart(NORMAL, {**{n: n for n in NORMAL.names}, "mu_1": "m*lam"},
                     constants={"lam": "positive"})  # fmt: skip
    text = refused(rs.softmax, outer, clearance="lam")
    assert "the constant lam is declared twice with different domains" in text
    assert "positive and nonnegative" in text


def test_constants_of_a_map() -> None:
    model = mixture("normal", 2, weights="tied")
    rules = {"mu_1": "m - a*d", "mu_2": "m + b*d", "sigma_1": "s", "sigma_2": "s"}
    c = rs.chart(model, rules, constants=["a", "b"], domains={"s": "positive"})
    assert c.names == ("m", "d", "s")
    assert [(g.name, g.domain.name) for g in c.constants] == [("a", "real"), ("b", "real")]
    named = rs.chart(model, rules, constants={"b": "positive", "a": "unit"})
    assert [(g.name, g.domain.name) for g in named.constants] == [("b", "positive"), ("a", "unit")]


@pytest.mark.parametrize(
    ("constants", "says"),
    [
        ("lam", "constants= is neither names nor domains"),
        (5, "constants= is neither names nor domains"),
        ({"lam": "complex"}, "unknown domain"),
        (["pi"], "pi"),
        (["a b"], "a b"),
    ],
)
def test_constants_are_names(constants: object, says: str) -> None:
    rules = {n: n for n in NORMAL.names}
    assert says in refused(rs.chart, NORMAL, rules, constants=constants)


# ------------------------------------------------------------------------------ inlining, order


def test_what_one_rule_alone_reads_is_put_in_there() -> None:
    c = rs.chart(RELATIVE, {"Delta_1": "exp(a)", "Delta_2": "exp(b)"})
    assert c.intermediates == ()
    shared = rs.chart(
        rs.chart(NORMAL, {**{n: n for n in NORMAL.names}, "mu_1": "m - d", "mu_2": "m + d"}),
        {"d": "exp(a)*sqrt(1 + b**2)"},
    )
    assert len(shared.intermediates) == 1  # two rules read it


def test_coordinates_stand_where_what_they_make_stood() -> None:
    c = RELATIVE @ rs.softmax(NORMAL)
    assert c.names == (
        "alpha_1", "alpha_2", "mu_1", "Delta_1", "Delta_2", "sigma_1", "sigma_2", "sigma_3",
    )  # fmt: skip
    d = rs.softmax(NORMAL) @ RELATIVE
    assert set(d.names) == set(c.names)
    assert d.names[:2] == ("alpha_1", "alpha_2")


def test_a_chart_with_a_last_weight_keeps_it_through_composition() -> None:
    for weigh in (rs.softmax, rs.stick_breaking):
        for c in (RELATIVE @ weigh(NORMAL), rs.log(weigh(NORMAL), "sigma"),
                  rs.chart(weigh(NORMAL), {"mu_1": "m + 1"})):  # fmt: skip
            assert c.last_weight is not None
            point = ordinary(c)
            assert mpmath.almosteq(mpmath.fsum(weights(c, point)), 1, 1e-14)


# ------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("outer", "inner", "says"),
    [
        (RELATIVE, 5, "this is no chart; given: int"),
        (RELATIVE, NORMAL, "this is no chart; given: Mixture"),
        (RELATIVE, rs.identity(mixture("normal", 2)), "the charts are of different models"),
        (RELATIVE, rs.relative(NORMAL, "mu", gap="square"), "the inner chart changes mu_2, mu_3"),
        (rs.softmax(NORMAL), rs.stick_breaking(NORMAL), "the inner chart changes pi_1, pi_2"),
    ],
)
def test_what_cannot_be_composed_is_refused(outer: Chart, inner: object, says: str) -> None:
    assert says in refused(lambda: outer @ inner)


def test_an_inner_chart_that_needs_what_the_outer_has_not_is_refused() -> None:
    inner = rs.relative(mixture("normal", 3), ["mu", "sigma"], reference="last")
    text = refused(lambda: RELATIVE @ inner)
    assert "the inner chart changes mu_2" in text or "the inner chart needs" in text
    assert "rs.chart(outer, {coordinate: expression})" in text


# ------------------------------------------------------------------------------ as values


def test_composed_charts_are_values() -> None:
    made = [
        RELATIVE @ rs.softmax(NORMAL),
        rs.chart(RELATIVE, {"Delta_1": "exp(rho)"}),
        rs.relative(rs.stick_breaking(NORMAL, clearance="lam"), "mu", gap="exp"),
    ]
    for c in made:
        again = pickle.loads(pickle.dumps(c))
        assert again == c
        assert hash(again) == hash(c)
    assert RELATIVE @ rs.softmax(NORMAL) == made[0]


# ------------------------------------------------------------------------------ views of views


def test_views_compose() -> None:
    c = RELATIVE @ rs.softmax(NORMAL)
    low = rs.view(c, {"u": "mu_3 - mu_1", "v": "1 - pi_1 - pi_2"})
    high = rs.view(low, {"q": "u*v", "u": "u**2", "mu_1": "mu_2"})
    assert high.chart == c
    again = rs.view(high, {"z": "u - q", "w": "mu_1"})
    point = ordinary(c)
    values = {s: point[s.name] for s in c.inputs}
    entries = theta(c, point)
    u = entries["mu_3"] - entries["mu_1"]
    last = weights(c, point)[2]
    got = [number(e, values) for e in high.expressions]
    for x, y in zip(got, [u * last, u**2, entries["mu_2"]], strict=True):
        assert mpmath.almosteq(x, y, 1e-13)
    z, w = (number(e, values) for e in again.expressions)
    assert mpmath.almosteq(z, u**2 - u * last, 1e-13)
    assert mpmath.almosteq(w, entries["mu_2"], 1e-13)  # the inner view's mu_1, not the chart's
