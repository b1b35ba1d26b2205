"""Expressions are written so that their digits stay, and what cannot be kept is said."""

from __future__ import annotations

import warnings

import mpmath
import numpy as np
import pytest
import sympy as sp
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from mpmath import mp

import relrep_sym as rs
from relrep_sym.declare.functions import Logistic, Softplus
from relrep_sym.emit.digits import kept
from relrep_sym.emit.numpy.in_doubles import in_doubles
from relrep_sym.errors import PrecisionWarning

A, B, D = (sp.Symbol(n) for n in "ABD")
UNIT = 2.0**-53
LIMIT = 64
SPELLED = {
    "Softplus": lambda a: mpmath.log(1 + mpmath.exp(a)),
    "Logistic": lambda a: 1 / (1 + mpmath.exp(-a)),
    "erfc": mpmath.erfc,
}

NEAR_ZERO = [s * m * 10.0**-e for e in range(0, 16, 3) for m in (1.0, 3.7) for s in (1, -1)]
FAR = [s * v for v in (2.3, 9.1, 31.0, 77.0) for s in (1, -1)]


def loss(expression, form, symbols, at):
    """|error| in units of u (|v| + Σ |λ_j ∂_j v|), by mpmath from the expression as written."""
    f = sp.lambdify(symbols, [expression, *(sp.diff(expression, s) for s in symbols)],
                    modules=[SPELLED, "mpmath"])  # fmt: skip
    got = float(in_doubles(form, tuple(symbols))(np.array(at, dtype=float)[:, None])[0])
    with mp.workdps(400):
        try:
            value, *slopes = f(*map(mpmath.mpf, at))
        except (ZeroDivisionError, ValueError):
            return 0.0
        if isinstance(value, mpmath.mpc) or not 1e-280 < abs(value) < 1e280:
            return 0.0
        unit = abs(value) + mp.fsum(abs(a * d) for a, d in zip(at, slopes, strict=True))
        return float(abs(got - value) / (UNIT * unit)) if np.isfinite(got) else np.inf


ONE = {
    "exp(D) - 1": sp.exp(D) - 1,
    "log(1 + exp(D))": sp.log(1 + sp.exp(D)),
    "1 - cos(D)": 1 - sp.cos(D),
    "cosh(D) - 1": sp.cosh(D) - 1,
    "1 - tanh(D)": 1 - sp.tanh(D),
    "1 - tanh(D)^2": 1 - sp.tanh(D) ** 2,
    "sqrt(1 + D^2) - 1": sp.sqrt(1 + D**2) - 1,
    "sqrt(1 + D^2) - D": sp.sqrt(1 + D**2) - D,
    "log(cosh(D))": sp.log(sp.cosh(D)),
    "1 - logistic(D)": 1 - Logistic(D),
    "logistic(D) - 1/2": Logistic(D) - sp.Rational(1, 2),
    "exp(D) - 1 - D": sp.exp(D) - 1 - D,
    "sin(D) - D": sp.sin(D) - D,
    "(exp(D) - 1)/D": (sp.exp(D) - 1) / D,
    "1 - sqrt(1 - tanh(D)^2)": 1 - sp.sqrt(1 - sp.tanh(D) ** 2),
    "1 - erf(D)": 1 - sp.erf(D),
    "1 + erf(D)": 1 + sp.erf(D),
    "1 - 1/(1 + D^2)": 1 - 1 / (1 + D**2),
    "exp(D)/(1 + exp(D))^2": sp.exp(D) / (1 + sp.exp(D)) ** 2,
    "softplus(D) - log(2)": Softplus(D) - sp.log(2),
    "tan(D) - sin(D)": sp.tan(D / 8) - sp.sin(D / 8),
}


@pytest.mark.parametrize("name", ONE)
def test_one_variable(name):
    e = ONE[name]
    found = kept(e, {D: "real"})
    assert not found.loss
    worst = max(loss(e, found.expression, [D], [v]) for v in (*NEAR_ZERO, *FAR))
    assert worst <= LIMIT


TWO = {
    "A + exp(D) - 1": A + sp.exp(D) - 1,
    "A*exp(D) - A": A * sp.exp(D) - A,
    "exp(A) - exp(D)": sp.exp(A) - sp.exp(D),
    "cos(A) - cos(D)": sp.cos(A) - sp.cos(D),
    "sinh(A) - sinh(D)": sp.sinh(A) - sp.sinh(D),
    "atan(A) - atan(D)": sp.atan(A) - sp.atan(D),
    "tanh(A) - tanh(D)": sp.tanh(A) - sp.tanh(D),
    "logistic(A) - logistic(D)": Logistic(A) - Logistic(D),
    "log(exp(A) + exp(D))": sp.log(sp.exp(A) + sp.exp(D)),
    "1 - logistic(A)/2 - logistic(D)/2": 1 - Logistic(A) / 2 - Logistic(D) / 2,
    "erf(A) - erf(D)": sp.erf(A) - sp.erf(D),
    "A D + exp(D) - 1 - D": A * D + sp.exp(D) - 1 - D,
    "A D + 1/D - 1/(exp(D) - 1)": A * D + 1 / D - 1 / (sp.exp(D) - 1),
}


@pytest.mark.parametrize("name", TWO)
def test_two_variables(name):
    e = TWO[name]
    found = kept(e, {A: "real", D: "real"})
    assert not found.loss
    at = [[a, a * (1 + d)] for a in (0.3, -1.7, 5.0) for d in (1e-3, -1e-7, 1e-12)]
    at += [[a, d] for a in (1e-12, 0.4, -6.3, 41.0) for d in (*NEAR_ZERO[::3], *FAR)]
    assert max(loss(e, found.expression, [A, D], v) for v in at) <= LIMIT


STRICT = [A**2 - B**2, sp.log(A / B), sp.log(A) - sp.log(B), sp.sqrt(A) - sp.sqrt(B), 1 / A - 1 / B]


@pytest.mark.parametrize("e", STRICT, ids=str)
@pytest.mark.parametrize("relative", [1e-4, -1e-9, 1e-14])
def test_what_inputs_known_exactly_allow_is_kept(e, relative):
    form = kept(e, {A: "positive", B: "positive"}).expression
    at = np.array([1.37 * (1 + relative), 1.37])
    got = float(in_doubles(form, (A, B))(at[:, None])[0])
    with mp.workdps(50):
        want = sp.lambdify([A, B], e, modules="mpmath")(*map(mpmath.mpf, at.tolist()))
        assert abs(got - want) <= 16 * UNIT * abs(want)


def test_what_no_form_keeps_is_said():
    found = kept(sp.log(2 + A**2) - Softplus(D) + A * sp.erf(D), {A: "real", D: "real"})
    assert found.loss > 1e3
    assert "A = " in found.where


def test_a_map_that_cancels_in_every_form_warns_with_the_loss():
    m = rs.mixture("normal", components=2, scales=1)
    rule = "log(2 + D**2) - softplus(F)"
    chart = rs.chart(m, {"pi_1": "v", "mu_1": "c", "mu_2": rule})
    with pytest.warns(PrecisionWarning, match="the map of mu_2 loses digits"):
        rs.derive(m, chart).compile()


def test_named_charts_are_left_alone(monkeypatch):
    from relrep_sym.emit.numpy import own_code

    monkeypatch.setattr(own_code, "kept", lambda *_: pytest.fail("a named chart was searched"))
    m = rs.mixture("normal", components=3)
    rs.derive(m, rs.relative(rs.softmax(m), "mu", gap="exp")).compile()


# ------------------------------------------------------------------------------ random maps

SMALL = [
    lambda a: sp.exp(a) - 1, lambda a: sp.log(1 + a**2), sp.sinh, sp.tanh, lambda a: 1 - sp.cos(a),
    lambda a: sp.cosh(a) - 1, lambda a: sp.sqrt(1 + a**2) - 1, sp.atan, sp.sin,
    lambda a: sp.log(1 + sp.exp(a)) - sp.log(2), lambda a: 1 - sp.exp(-(a**2)),
    lambda a: Logistic(a) - sp.Rational(1, 2), lambda a: 1 / (1 + a**2) - 1,
]  # fmt: skip


@st.composite
def maps(draw: st.DrawFn) -> sp.Expr:
    """A function with a zero at D = 0, of another or times another, beside a coordinate or not."""
    e = draw(st.sampled_from(SMALL))(draw(st.sampled_from([1, 2, -1])) * D)
    if draw(st.booleans()):
        e = draw(st.sampled_from(SMALL))(e / 2)
    e = draw(st.sampled_from([1, 3, sp.Rational(-1, 2), A])) * e
    return draw(st.sampled_from([e, A + e, A - e]))


@given(maps(), st.sampled_from(NEAR_ZERO + FAR[:2]), st.sampled_from([0.0, 1.3, -2e-7, 3e5]))
@settings(max_examples=40, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
def test_a_drawn_map_keeps_its_digits_or_says_that_it_does_not(e, d, a):
    symbols = [s for s in (A, D) if e.has(s)]
    found = kept(e, dict.fromkeys(symbols, "real"))
    at = [{A: a, D: d}[s] for s in symbols]
    assert found.loss > 0 or loss(e, found.expression, symbols, at) <= LIMIT


# ------------------------------------------------------------------------------ own maps, whole


@pytest.mark.parametrize("gap", ["c + expm1(D)", "c + sinh(D)", "c + 1 - cos(D)", "c*exp(D)"])
@pytest.mark.parametrize("d", [1e-5, 1.7e-8, 1e-12, 1e-15])
def test_the_score_of_an_own_map_where_components_merge(gap, d):
    m = rs.mixture("normal", components=2, scales=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        k = rs.derive(m, rs.chart(m, {"pi_1": "v", "mu_1": "c", "mu_2": gap})).compile()
    x, at = 0.3, [0.3, 0.7, d]
    got = k.score_samples([x], at)[0]
    f = sp.lambdify(sp.symbols("c D"), sp.sympify(gap, {"expm1": lambda v: sp.exp(v) - 1}),
                    modules="mpmath")  # fmt: skip

    def log_p(v, c, gap_):
        return mpmath.log(v * mpmath.npdf(x, c) + (1 - v) * mpmath.npdf(x, f(c, gap_)))

    with mp.workdps(80):
        exact = [mpmath.mpf(v) for v in at]
        for j in range(3):
            order = tuple(int(i == j) for i in range(3))
            want = mpmath.diff(log_p, exact, order, h=mpmath.mpf("1e-30"))
            assert abs(got[j] - want) <= 40 * UNIT * abs(want), j


@pytest.mark.parametrize(("d", "right"), [(-40.0, 4.248354255291589e-18), (800.0, 800.0)])
def test_log1p_of_exp_neither_vanishes_nor_overflows(d, right):
    m = rs.mixture("normal", components=2, scales=1)
    chart = rs.chart(m, {"pi_1": "v", "mu_1": "c", "mu_2": "c + log1p(exp(D))"})
    k = rs.derive(m, chart).compile()
    assert k.to_model([0.3, 0.0, d])[2] == pytest.approx(right, rel=1e-15)


def test_a_weight_left_over_by_a_logistic_keeps_its_digits():
    m = rs.mixture("normal", components=2, scales=1)
    k = rs.derive(m, rs.chart(m, {"pi_1": "1/(1 + exp(-v))", "mu_1": "a", "mu_2": "b"})).compile()
    right = float(1 / (1 + mpmath.exp(50)))
    r = k.responsibilities([0.0], [50.0, 0.5, 0.5])
    assert r[0, 1] == pytest.approx(right, rel=1e-14)


def test_views_and_inverses_are_searched_too():
    m = rs.mixture("normal", components=2, scales=1)
    c = rs.chart(m, {"pi_1": "v", "mu_1": "c", "mu_2": "c + expm1(D)"})
    d = rs.derive(m, c, view=rs.view(c, {"gap": "1 - cos(D)"}))
    k = d.compile()
    assert k.to_view([0.3, 0.1, 1e-9])[0] == pytest.approx(5e-19, rel=1e-14)
    assert "log1p" in d.source()


TRUNCATED = "-(x-m)**2/(2*s**2)-log(s)-log(8*atan(1))/2-log((1+erf(m/(s*sqrt(2))))/2)"


@pytest.fixture(scope="module")
def truncated():
    f = rs.family(TRUNCATED, {"m": "real", "s": "positive"}, "half-line", name="truncated")
    return rs.derive(rs.mixture(f, components=1)).compile()


@pytest.mark.parametrize("m", [-1e6, -300.0, -10.0, -8.0, -7.0, -2.0, -1e-9, 0.0, 0.4, 7.0, 40.0])
@pytest.mark.parametrize("s", [1.0, 0.3])
def test_a_normaliser_keeps_the_digits_of_score_and_hessian(truncated, m, s):
    x = 0.22 if m > -100 else 0.3 / abs(m)

    def log_f(m, s):
        tail = mpmath.erfc(-m / (s * mpmath.sqrt(2))) / 2
        return -((x - m) ** 2) / (2 * s * s) - mpmath.log(s * tail) - mpmath.log(2 * mp.pi) / 2

    digits = 80 if m > -100 else 60
    with mp.workdps(digits):
        at = [mpmath.mpf(m), mpmath.mpf(s)]
        orders = [(0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2)]
        want = {o: mpmath.diff(log_f, at, o, h=mpmath.mpf("1e-12")) for o in orders}
        got = truncated.score([x], [m, s])
        curves = truncated.hessian([x], [m, s])
        assert abs(truncated.log_density([x], [m, s])[0] - want[0, 0]) <= 64 * UNIT * (
            abs(want[0, 0]) + abs(m * want[1, 0]) + abs(s * want[0, 1])
        )
        for value, o in zip(
            [*got, curves[0, 0], curves[0, 1], curves[1, 1]], orders[1:], strict=True
        ):
            assert abs(value - want[o]) <= 1e-12 * abs(want[o]), o


@pytest.mark.parametrize(("m", "right"), [(-7, 0.162454), (-8, 0.178632), (-10, 0.201907)])
def test_the_slope_of_a_truncated_normal(truncated, m, right):
    assert truncated.score([0.3], [m, 1.0])[0] == pytest.approx(right, abs=5e-7)


@pytest.mark.parametrize("r", [0.4, 30.0, 1e6, 1e12, 1e15])
def test_log_gammas_of_neighbours_are_one_ratio(r):
    text = "loggamma(x + r) - loggamma(r) - loggamma(x + 1) + r*log(r/(r + m)) + x*log(m/(r + m))"
    f = rs.family(text, {"r": "positive", "m": "positive"}, "integers", name="counts")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PrecisionWarning)  # of the slope by r far out
        k = rs.derive(rs.mixture(f, components=1)).compile()
    with mp.workdps(60):
        for x in (0, 3, 40):
            want = mpmath.loggamma(x + mpmath.mpf(r)) - mpmath.loggamma(r)
            want += -mpmath.loggamma(x + 1) + mpmath.mpf(r) * mpmath.log(r / (r + mpmath.mpf(4.2)))
            want += x * mpmath.log(mpmath.mpf(4.2) / (r + mpmath.mpf(4.2)))
            got = k.log_density([x], [r, 4.2])[0]
            size = abs(want) + abs(x * mpmath.log(r)) + abs(x - mpmath.mpf(4.2))
            assert abs(got - want) <= 8 * UNIT * size, x


BOUNDED = {
    "exponential cut at one": ("log(c) - c*x - log(1 - exp(-c))", ["c"]),
    "Kumaraswamy": ("log(c) + log(b) + (c-1)*log(x) + (b-1)*log(1 - x**c)", ["c", "b"]),
}


@pytest.mark.parametrize("name", BOUNDED)
def test_normalisers_cancel_within_themselves_beside_terms_in_x(name):
    text, names = BOUNDED[name]
    f = rs.family(text, dict.fromkeys(names, "positive"), (0, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        k = rs.derive(rs.mixture(f, components=1)).compile()
    symbols = sp.symbols([*names, "x"], positive=True)
    e = sp.sympify(text, {s.name: s for s in symbols})
    for c, x in [
        (c, x) for c in (1e-12, 1e-7, 1e-3, 0.2, 0.3, 4.0, 40.0) for x in (1e-9, 0.3, 0.99)
    ]:
        at = [c, 1.7, x] if len(names) == 2 else [c, x]
        got = [k.log_density([x], at[:-1])[0], *k.score_samples([x], at[:-1])[0]]
        for value, form in zip(got, [e, *(sp.diff(e, s) for s in symbols[:-1])], strict=True):
            first = [form, *(sp.diff(form, s) for s in symbols)]
            with mp.workdps(80):
                exact = list(map(mpmath.mpf, at))
                want, *slopes = sp.lambdify(symbols, first, modules="mpmath")(*exact)
                unit = abs(want) + mp.fsum(abs(a * d) for a, d in zip(exact, slopes, strict=True))
                assert abs(value - want) <= LIMIT * UNIT * unit, (form, at)
