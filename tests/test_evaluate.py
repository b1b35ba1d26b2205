"""Sides of identities in numbers: means, derivatives and points, against closed forms."""

from __future__ import annotations

import mpmath
import pytest
import sympy as sp

import relrep_sym as rs
from relrep_sym.declare.identity import Scope
from relrep_sym.errors import CertificateError
from relrep_sym.evaluate import Evaluator, Place, order_of
from relrep_sym.scatter import places

TRUTH = rs.truth("normal", weights=["t", "1 - t"], means=["a", 1], scales=["s", 2])
SCOPE = Scope(rs.identity(rs.mixture("normal", components=3, scales=1)), TRUTH)
VALUES = {
    "pi_1": "1/4", "pi_2": "1/2", "mu_1": "-1", "mu_2": "1/3", "mu_3": "2",
    "t": "1/5", "a": "1/2", "s": "3/4",
}  # fmt: skip
SYMBOLS = (*SCOPE.coordinates, *TRUTH.symbols)
PLACE = Place({s: sp.Rational(VALUES[s.name]) for s in SYMBOLS}, sp.Rational(2, 7))


def value(text: str, digits: int = 30) -> mpmath.mpf:
    (found,) = Evaluator(SCOPE, digits).at(PLACE, [SCOPE.read(text, "a side")])
    return found.value


@pytest.mark.parametrize(
    ("text", "closed"),
    [
        ("E[x**2]", "(1/4 + 9/16)/5 + 4*(1 + 4)/5"),
        ("E_p[x]", "-1/4 + 1/6 + 1/2"),
        ("E_2[(x - mu_2)**4]", "3"),
        ("D[E[x**2], s]", "2*(3/4)/5"),
        ("D[E[x**2], a, a]", "2/5"),
        ("D[E_p[x**2], mu_3]", "2*2/4"),
        ("D[E[x]*E[x**2], t]", "(1/2 - 1)*(13/16/5 + 4) + (1/10 + 4/5)*(13/16 - 5)"),
        ("D[At[x**3, 2*x], x]", "24*(2/7)**2"),
        ("E[E_p[x]*x]", "(-1/4 + 1/6 + 1/2)*(1/10 + 4/5)"),
        ("D_theta[mu_1**2*x, mu_1]", "-2*2/7"),
    ],
)
def test_values_are_the_closed_forms(text: str, closed: str) -> None:
    with mpmath.workdps(40):
        exact = sp.Rational(sp.sympify(closed, rational=True))
        assert abs(value(text) - mpmath.mpf(int(exact.p)) / int(exact.q)) < mpmath.mpf("1e-28")


def test_what_is_given_at_x_is_the_density_written_out() -> None:
    with mpmath.workdps(60):
        x = mpmath.mpf(2) / 7
        means = (mpmath.mpf(-1), mpmath.mpf(1) / 3, mpmath.mpf(2))
        weights = (mpmath.mpf(1) / 4, mpmath.mpf(1) / 2, mpmath.mpf(1) / 4)
        f = [mpmath.npdf(x, m) for m in means]
        p = mpmath.fdot(weights, f)
        tiny = mpmath.mpf("1e-50")
        assert abs(value("p") - p) < tiny
        assert abs(value("log_p") - mpmath.log(p)) < tiny
        assert abs(value("r_2") - weights[1] * f[1] / p) < tiny
        assert abs(value("f_3") - f[2]) < tiny
        slope = weights[1] * f[1] / p * (x - means[1])
        assert abs(value("D[log_p, mu_2]") - slope) < mpmath.mpf("1e-45")


def test_a_third_derivative_still_has_its_digits() -> None:
    found = value("D[log_p, x, x, x] - At[D[log_p, x, x, x], x]")
    assert found == 0
    with mpmath.workdps(90):

        def log_p(x: mpmath.mpf) -> mpmath.mpf:
            parts = ((0.25, -1), (0.5, mpmath.mpf(1) / 3), (0.25, 2))
            return mpmath.log(mpmath.fsum(w * mpmath.npdf(x, m) for w, m in parts))

        third = mpmath.diff(log_p, mpmath.mpf(2) / 7, 3)
        assert abs(value("D[log_p, x, x, x]") - third) < mpmath.mpf("1e-30")


def test_orders_are_counted_and_bounded() -> None:
    deep = SCOPE.read("D[log_p, x, x, x, x]", "a side")
    assert order_of(deep) == 4
    with pytest.raises(CertificateError, match="too high an order"):
        Evaluator(SCOPE).at(PLACE, [deep])


def test_places_are_the_same_each_time_and_inside() -> None:
    first, again = (list(places(SCOPE, 6, free_x=True)) for _ in range(2))
    assert first == again
    assert [p.name for p in first[:4]] == ["ordinary", "merging", "a small weight", "far apart"]
    for p in first:
        by_name = {s.name: v for s, v in p.values.items()}
        assert by_name["pi_1"] + by_name["pi_2"] < 1
        assert 0 < by_name["t"] < 1
        assert by_name["s"] > 0
    assert {s.name: v for s, v in first[2].values.items()}["pi_1"] == sp.Rational(1, 10**6)
