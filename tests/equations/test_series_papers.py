"""Printed series to be judged: Esser and Nielsen (2022), appendix D, unit variances, (v, u, w).

The paper prints E[dv/dt], E[du/dt] and E[dw/dt] with the mean left out, as functions of x. Judged
here: the matrices of the change of coordinates and its rules in words of E[∂l/∂v], E[∂l/∂u],
E[∂l/∂w] are right for (v, u, w) and wrong for the primed ones; the second order of each ∂l is
right; the third order is three times too large throughout (the 1/3! of the third cumulant was lost
to 1/2); and in du/dt and dw/dt the expansion of ∂l/∂v was put in where ∂l/∂w, and ∂l/∂u, belong, so
that du/dt is wrong at u = 0. What is printed is called exact, but is this truncated series.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import sympy as sp

import relrep_sym as rs
from relrep_sym.equations.series import Moment

MODEL = rs.mixture("normal", components=2, scales=1)
D = rs.derive(MODEL)
SEEN = rs.view(D.chart, {"v": "pi_1", "u": "mu_1 - mu_2", "w": "pi_1*mu_1 + (1 - pi_1)*mu_2"})
v, u, w, x = *sp.symbols("v u w"), sp.Symbol("x", real=True)
SECOND = w**2 - 2 * w * x + x**2 - 1
THIRD = w**3 - 3 * w**2 * x + 3 * w * (x**2 - 1) - x * (x**2 - 3)
CUBIC = 2 * v**2 - 3 * v + 1
PRINTED = {
    "v": -sp.Rational(1, 2) * u**2 * (2 * v - 1) * SECOND
    - sp.Rational(1, 2) * u**3 * (6 * v**2 - 6 * v + 1) * THIRD,
    "u": u * (1 - v) * v * SECOND
    + sp.Rational(3, 2) * u**2 * v * CUBIC * ((x - w) ** 3 + 3 * (w - x)),
    "w": x - w + u**2 * (1 - v) * v * (w - x) - sp.Rational(3, 2) * u**3 * v * CUBIC * SECOND,
}
"""∂l/∂v, ∂l/∂u, ∂l/∂w as printed, x not averaged."""
PRINTED_RATES = {
    "v": PRINTED["v"] + u * PRINTED["w"],
    "u": 2 * PRINTED["u"] - (1 - 2 * v) * PRINTED["v"],
    "w": u * PRINTED["v"]
    - (1 - 2 * v) * PRINTED["v"]
    + (u**2 + v**2 + (1 - v) ** 2) * PRINTED["w"],
}
"""dv/dt, du/dt, dw/dt as printed, with η = 1."""


@cache
def own_gradient() -> dict[str, sp.Expr]:
    """∂l/∂v, ∂l/∂u, ∂l/∂w of the derived log-density, with its O(u⁴) dropped."""
    (row,) = D.series(SEEN, "u", order=4, of="log_density").rows
    whole = sum(c * u**n for n, c in row.coefficients.items())
    return {s.name: sp.expand(whole.diff(s)) for s in (v, u, w)}


@cache
def own_rate(name: str) -> dict[int, sp.Expr]:
    """The derived rate at one x: M_n = (x − w)ⁿ."""
    rows = {r.name: r for r in D.averaged_in(SEEN).series("u", order=4).rows}
    found = rows[name].coefficients
    moments = {m: (x - w) ** m.power for c in found.values() for m in c.atoms(Moment)}
    return {n: sp.expand(c.xreplace(moments)) for n, c in found.items()}


def order(expression: sp.Expr, n: int) -> sp.Expr:
    return sp.expand(expression).coeff(u, n)


@pytest.mark.parametrize(("name", "n"), [("v", 2), ("u", 1), ("w", 0), ("w", 2)])
def test_printed_gradients_are_right_where_they_come_from_the_second_order(
    name: str, n: int
) -> None:
    assert sp.expand(order(own_gradient()[name], n) - order(PRINTED[name], n)) == 0


@pytest.mark.parametrize(("name", "n"), [("v", 3), ("u", 2), ("w", 3)])
def test_printed_gradients_of_the_third_order_are_three_times_too_large(name: str, n: int) -> None:
    right, printed = order(own_gradient()[name], n), order(PRINTED[name], n)
    assert sp.expand(printed - 3 * right) == 0
    at = {v: sp.Rational(1, 4), w: 0, x: 2}
    counter = {"v": sp.Rational(-1, 24), "u": sp.Rational(3, 32), "w": sp.Rational(-9, 64)}[name]
    assert (right.xreplace(at), printed.xreplace(at)) == (counter, 3 * counter)


def test_the_printed_rule_for_the_rates_is_the_mobility() -> None:
    """E[du/dt] = η (2 E[∂l/∂u] − (1 − 2v) E[∂l/∂w]) and its neighbours: right as rules."""
    printed = sp.Matrix([[1, 0, u], [0, 2, 2 * v - 1], [u, 2 * v - 1, 2 * v**2 - 2 * v + u**2 + 1]])
    assert (D.mobility(SEEN) - printed).expand().is_zero_matrix


@pytest.mark.parametrize(
    ("name", "n", "right", "printed"),
    [("u", 0, sp.Rational(-1, 2), 0), ("w", 1, sp.Rational(-9, 32), 0)],
)
def test_printed_rates_expand_the_wrong_derivative(
    name: str, n: int, right: sp.Expr, printed: sp.Expr
) -> None:
    """In du/dt (and dw/dt) ∂l/∂v stands where the rule above has ∂l/∂w (and ∂l/∂u).

    At v = 1/4 and x − w = 1 (du/dt), x − w = 2 (dw/dt).
    """
    at = {v: sp.Rational(1, 4), w: 0, x: 1 if name == "u" else 2}
    assert own_rate(name)[n].xreplace(at) == right
    assert order(PRINTED_RATES[name], n).xreplace(at) == printed


def test_the_printed_dv_is_right_to_the_second_order_and_wrong_at_the_third() -> None:
    found = own_rate("v")
    for n in (0, 1, 2):
        assert sp.expand(found.get(n, sp.Integer(0)) - order(PRINTED_RATES["v"], n)) == 0
    at = {v: sp.Rational(1, 4), w: 0, x: 2}
    right, printed = found[3].xreplace(at), order(PRINTED_RATES["v"], 3).xreplace(at)
    assert (right, printed) == (sp.Rational(-5, 12), sp.Rational(-1, 2))


def test_mended_in_both_places_the_printed_rates_are_the_derived_ones() -> None:
    """The third order divided by three, each derivative in its place: right, to u² in du/dt."""
    mended = {}
    for name, first in (("v", 3), ("u", 2), ("w", 3)):
        terms = [order(PRINTED[name], n) * u**n for n in range(4)]
        terms[first] /= 3
        mended[name] = sum(terms)
    rates = D.mobility(SEEN) * sp.Matrix([mended[s] for s in "vuw"])
    for i, name in enumerate("vuw"):
        known = 3 if name == "v" else 2
        for n in range(known + 1):
            assert sp.expand(order(rates[i], n) - own_rate(name).get(n, sp.Integer(0))) == 0


def test_the_printed_primed_matrices_are_wrong() -> None:
    """(v, Δ, w′ = μ_1 + (1 − v)Δ) in the relative chart: printed J and JJᵀ, at v = 1/4, Δ = 1/2."""
    d = rs.derive(MODEL, rs.relative(MODEL, "mu"))
    seen = rs.view(d.chart, {"v": "pi_1", "u": "Delta_1", "w": "mu_1 + (1 - pi_1)*Delta_1"})
    right = sp.Matrix([[1, 0, -u], [0, 1, 1 - v], [-u, 1 - v, u**2 + (1 - v) ** 2 + 1]])
    assert (d.mobility(seen) - right).expand().is_zero_matrix
    mu, gap = sp.symbols("mu_1 Delta")
    printed = sp.Matrix(
        [
            [1, 0, mu + gap],
            [0, 1, 1 - gap - v],
            [mu + gap, v + 1 - gap,
             3 * gap**3 + 2 * mu * gap - 4 * gap + mu**2 + 2 * v**2 + 2],
        ]
    )  # fmt: skip
    assert printed[1, 2] != printed[2, 1]  # not even symmetric
    at = {v: sp.Rational(1, 4), gap: sp.Rational(1, 2), u: sp.Rational(1, 2), mu: sp.Integer(0)}
    assert right.xreplace(at)[2, 2] == sp.Rational(29, 16)
    assert printed.xreplace(at)[2, 2] == sp.Rational(1, 2)


def test_what_is_printed_as_exact_is_not() -> None:
    """The exact E[dv/dt] at one x is no polynomial in u: they part at u = 1, v = 1/4, x = 2."""
    k = rs.derive(MODEL, view=SEEN).compile()
    one = {v: sp.Rational(1, 4), u: 1, w: 0}
    coords = [0.25, 0.75, -0.25]
    exact = float(k.view_field(coords, ([2.0], [1.0]))[0])
    printed = float(PRINTED_RATES["v"].xreplace({**one, x: sp.Integer(2)}))
    first, second = np.exp(-(1.25**2) / 2), np.exp(-(2.25**2) / 2)
    assert exact == pytest.approx((first - second) / (first / 4 + 3 * second / 4))
    assert exact == pytest.approx(2.1724, abs=1e-4)
    assert printed == 117 / 64
