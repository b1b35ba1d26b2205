"""Charts of the weights: simplex identities at forty digits, ends of the simplex, clearances."""

from __future__ import annotations

import mpmath
import pytest
import sympy as sp

import relrep_sym as rs
from relrep_sym.declare.model import mixture
from relrep_sym.declare.weight_charts import cleared, softmax, stick_breaking
from tests.declare.maps import ordinary, theta, weights
from tests.declare.test_chart import domains, refused

PATTERNS = {
    "all free": (3, "free"),
    "two": (2, "free"),
    "five": (5, "free"),
    "last fixed": (4, [None, None, None, "1/3"]),
    "first fixed": (3, ["1/5", None, None]),
    "inside fixed": (4, [None, "1/4", None, None]),
}


def model(pattern: str) -> rs.Mixture:
    count, given = PATTERNS[pattern]
    return mixture("poisson", count, weights=given)


def free_mass(m: rs.Mixture) -> mpmath.mpf:
    fixed = [] if isinstance(m.weights, str) else [w for w in m.weights if w is not None]
    return 1 - sum((mpmath.mpf(w.p) / w.q for w in fixed), mpmath.mpf(0))


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("clearance", [0, "1/50", "lam"])
@pytest.mark.parametrize("make", [softmax, stick_breaking], ids=["softmax", "stick"])
def test_weights_are_the_textbooks_and_sum_to_one(make, clearance, pattern) -> None:
    m = model(pattern)
    c = make(m, clearance=clearance)
    with mpmath.workdps(40):
        point = ordinary(c)
        found = weights(c, point)
        assert abs(mpmath.fsum(found) - 1) < mpmath.mpf("1e-35")
        room = {0: mpmath.mpf(0), "1/50": mpmath.mpf(1) / 50}.get(clearance, point.get("lam"))
        free = m.free_weights
        share = free_mass(m) - len(free) * room
        numbers = [c.coordinates[i].name for i in range(len(free) - 1)]
        if make is softmax:
            raised = [mpmath.exp(point[n]) for n in numbers] + [mpmath.mpf(1)]
            plain = [e / mpmath.fsum(raised) for e in raised]
        else:
            left, plain = mpmath.mpf(1), []
            for n in numbers:
                plain.append(left * point[n])
                left *= 1 - point[n]
            plain.append(left)
        for k, w in zip(free, plain, strict=True):
            assert mpmath.almosteq(found[k], room + share * w, mpmath.mpf("1e-35"))
        entries = theta(c, point)
        for p in m.of_role("weight"):
            assert entries[p.name] == found[p.components[0]]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_weight_never_falls_below_its_clearance(pattern) -> None:
    m = model(pattern)
    for make in (softmax, stick_breaking):
        c = make(m, clearance="lam")
        for extreme in (0, 1, 40, -40):
            point = dict(ordinary(c))
            names = [n for n in c.names if n.split("_")[0] in ("alpha", "v")]
            if make is stick_breaking and extreme not in (0, 1):
                continue
            point |= dict.fromkeys(names, extreme)
            found = weights(c, point)
            assert all(found[k] >= point["lam"] for k in m.free_weights)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_coordinates_take_the_place_of_the_weights(count: int) -> None:
    m = mixture("normal", count)
    for make, stem, where in ((softmax, "alpha", "real"), (stick_breaking, "v", "unit")):
        c = make(m)
        assert c.names == (*(f"{stem}_{k}" for k in range(1, count)), *m.names[count - 1 :])
        assert {domains(c)[f"{stem}_{k}"] for k in range(1, count)} == {where}
        assert len(c.weights) == count
    c = cleared(m, clearance="lam")
    assert c.names[: count - 1] == tuple(f"omega_{k}" for k in range(1, count))


def test_cleared_weights_are_those_of_paper_000_with_the_rest_last() -> None:
    c = cleared(mixture("normal", 3), clearance="lam/2 + 1/100")
    point = ordinary(c)
    room = point["lam"] / 2 + mpmath.mpf(1) / 100
    found = weights(c, point)
    for k in (1, 2):
        assert mpmath.almosteq(found[k - 1], point[f"omega_{k}"] + room, 1e-14)
    assert mpmath.almosteq(mpmath.fsum(found), 1, 1e-14)


def test_a_component_is_numbered_as_in_the_model_where_a_weight_is_fixed() -> None:
    assert softmax(model("inside fixed")).names[:2] == ("alpha_1", "alpha_3")
    assert stick_breaking(model("first fixed")).names[0] == "v_2"


@pytest.mark.parametrize("make", [softmax, stick_breaking])
@pytest.mark.parametrize(
    ("m", "clearance", "says"),
    [
        (mixture("normal", 1), 0, "needs free weights"),
        (mixture("normal", 3, weights="tied"), 0, "needs free weights"),
        (mixture("normal", 3, weights=["1/3", "1/3", None]), 0, "needs free weights"),
        (mixture("normal", 3), "1/3", "too large; given: 1/3; expected: a number below 1/3"),
        (mixture("normal", 3), 1, "too large"),
        (mixture("normal", 2, weights="free"), "1/2", "too large"),
        (mixture("normal", 3, weights=["1/2", None, None]), "1/4", "a number below 1/4"),
        (mixture("normal", 3), "-1/10", "the clearance is negative"),
        (mixture("normal", 3), "-lam", "the clearance may be negative"),
        (mixture("normal", 3), [1], "clearance"),
        (mixture("normal", 3), "mu_1", "mu_1 is both a coordinate and a constant"),
    ],
)
def test_weights_need_room(make, m, clearance, says) -> None:
    assert says in refused(make, m, clearance=clearance)


def test_cleared_weights_need_room_too() -> None:
    m = mixture("normal", 3)
    assert "a number below 1/3" in refused(cleared, m, clearance="1/3")
    assert "needs free weights" in refused(
        cleared, mixture("normal", 2, weights="tied"), clearance="lam"
    )


def test_a_clearance_of_a_fixed_share_leaves_what_is_fixed_alone() -> None:
    c = softmax(model("first fixed"), clearance="lam")
    assert sp.sympify(c.weight_expressions[0]) == sp.Rational(1, 5)
