"""One generic component: what was taken apart is the density, and differences keep their digits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import mpmath
import numpy as np
import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st

from relrep_sym.declare.domains import domain
from relrep_sym.declare.family import Family, FamilyParameter, family_named
from relrep_sym.equations.component import (
    ComponentForm,
    component_form,
    difference_symbol,
    own_symbol,
)
from relrep_sym.equations.kernels import StirlingRemainder
from relrep_sym.runtime.special import log_gamma_ratio, log_ratio

x = sp.Symbol("x", real=True)
m = FamilyParameter("m", "places", domain("real"))
s = FamilyParameter("s", "widths", domain("positive"))
a = FamilyParameter("a", "shapes", domain("positive"))
_z = (x - m.symbol) / s.symbol


def stated(name: str, log_density: sp.Expr, *phi: FamilyParameter, support: str = "line") -> Family:
    return Family(name, log_density, phi, support)


FAMILIES = [
    family_named("normal"),
    family_named("poisson"),
    stated("unit", -((x - m.symbol) ** 2) / 2, m),
    stated("variance", -((x - m.symbol) ** 2) / (2 * s.symbol) - sp.log(s.symbol) / 2, m, s),
    stated("quartic", -(_z**4) - sp.log(s.symbol), m, s),
    stated("exponential", -x / s.symbol - sp.log(s.symbol), s, support="half-line"),
    stated("rate", sp.log(s.symbol) - s.symbol * x, s, support="half-line"),
    stated(
        "rayleigh",
        sp.log(x) - 2 * sp.log(s.symbol) - (x / s.symbol) ** 2 / 2,
        s,
        support="half-line",
    ),
    stated(
        "gamma",
        (a.symbol - 1) * sp.log(x)
        - x / s.symbol
        - sp.loggamma(a.symbol)
        - a.symbol * sp.log(s.symbol),
        a,
        s,
        support="half-line",
    ),
]
each = pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)


RUNTIME = {"LogRatio": log_ratio, "LogGammaRatio": log_gamma_ratio}


@cache
def number(expression: sp.Expr, symbols: tuple[sp.Symbol, ...]) -> Callable[..., mpmath.mpf]:
    """The expression as an mpmath function, exact functions for those that codegen knows."""
    known = {
        "LogRatio": lambda difference, base, whole: mpmath.log(whole / base),
        "LogGammaRatio": lambda _, base, whole: mpmath.loggamma(whole) - mpmath.loggamma(base),
        "StirlingRemainder": lambda v: mpmath.loggamma(v + 1) - v * mpmath.log(v) + v,
    }
    return sp.lambdify(list(symbols), expression, [known, "mpmath"])


@st.composite
def points(draw: st.DrawFn, family: Family) -> list[mpmath.mpf]:
    """A value of x in the support, then values of the parameters."""
    real, positive = st.integers(-9999, 9999), st.integers(1, 9999)
    at = draw(positive if family.support != "line" else real)
    out = [mpmath.mpf(at if family.support == "integers" else at / mpmath.mpf(997))]
    for p in family.parameters:
        out.append(mpmath.mpf(draw(positive if p.domain.name == "positive" else real)) / 1009)
    return out


@each
@given(st.data())
def test_the_parts_make_the_log_density_again(family: Family, data: st.DataObject) -> None:
    form = component_form(family)
    at = data.draw(points(family))
    symbols = (x, *family.symbols)
    with mpmath.workdps(40):
        whole, again = number(family.log_density, symbols), number(form.log_density, symbols)
        assert mpmath.almosteq(whole(*at), again(*at), 1e-30, 1e-30)


@each
@given(st.data())
def test_height_coefficients_and_common_make_it_too(family: Family, data: st.DataObject) -> None:
    """The exponential-family form itself, the factorial's part by Stirling put back."""
    form = component_form(family)
    at = data.draw(points(family))
    assert not form.height.has(sp.exp)
    terms = [c * b for c, b in zip(form.coefficients, form.basis, strict=True)]
    inner = sp.Add(form.constant, *terms).subs(form.z, form.standard)
    symbols = (x, *family.symbols)
    with mpmath.workdps(40):
        common = number(form.common, symbols)(*at)
        if form.anchored is not None:
            common -= at[0] * (mpmath.log(at[0]) - 1)
        got = mpmath.log(number(form.height, symbols)(*at)) + number(inner, symbols)(*at) + common
        assert mpmath.almosteq(number(family.log_density, symbols)(*at), got, 1e-30, 1e-30)


@each
@given(st.data())
def test_score_coefficients_are_the_derivatives(family: Family, data: st.DataObject) -> None:
    form = component_form(family)
    at = data.draw(points(family))
    symbols = (x, *family.symbols)
    with mpmath.workdps(40):
        for p, row in zip(family.parameters, form.score, strict=True):
            assert len(row) == len(form.basis) + 1
            combined = sum(c * b for c, b in zip(row, (1, *form.basis), strict=True))
            got = number(sp.sympify(combined).subs(form.z, form.standard), symbols)(*at)
            want = number(sp.diff(family.log_density, p.symbol), symbols)(*at)
            assert mpmath.almosteq(want, got, 1e-30, 1e-30), p.name


def odds_at(
    form: ComponentForm, at: Sequence[mpmath.mpf], delta: Sequence[mpmath.mpf]
) -> mpmath.mpf:
    """Σ e_j b_j at x, φ and δ."""
    combined = sum(e * b for e, b in zip(form.odds, (1, *form.basis), strict=True))
    inside = sp.sympify(combined).subs(form.z, form.standard)
    own = [of + d for of, d in zip(at[1:], delta, strict=True)]
    return number(inside, (x, *arguments(form.family)))(*at, *delta, *own)


def arguments(family: Family) -> tuple[sp.Symbol, ...]:
    """What odds are in: the reference's parameters, the differences, the component's own."""
    names = [p.name for p in family.parameters]
    return (*family.symbols, *map(difference_symbol, names), *map(own_symbol, names))


@each
@given(st.data())
def test_odds_are_the_exact_difference(family: Family, data: st.DataObject) -> None:
    form = component_form(family)
    at, other = data.draw(points(family)), data.draw(points(family))[1:]
    density = number(family.log_density, (x, *family.symbols))
    with mpmath.workdps(40):
        want = density(at[0], *other) - density(*at)
        got = odds_at(form, at, [to - of for of, to in zip(at[1:], other, strict=True)])
        assert mpmath.almosteq(want, got, 1e-25, 1e-25)


@each
def test_odds_vanish_with_the_differences(family: Family) -> None:
    form = component_form(family)
    gone = {difference_symbol(p.name): 0 for p in family.parameters}
    gone |= {own_symbol(p.name): p.symbol for p in family.parameters}
    assert all(e.rewrite(sp.log).rewrite(sp.loggamma).subs(gone) == 0 for e in form.odds)


@pytest.mark.parametrize("name", ["normal", "poisson"])
@pytest.mark.parametrize("size", [1e-2, 1e-6, 1e-12, 1e-300])
def test_odds_keep_their_digits_as_the_components_merge(name: str, size: float) -> None:
    """Each coefficient in double precision is right to some ulp, however small δ is."""
    family = family_named(name)
    symbols = arguments(family)
    rng = np.random.default_rng(7)
    count = len(family.parameters)
    for e in component_form(family).odds:
        terms = [sp.lambdify(symbols, t, ["numpy", RUNTIME]) for t in sp.Add.make_args(e)]
        for _ in range(20):
            phi = np.exp(rng.normal(size=count))
            delta = size * rng.normal(size=count)
            parts = [float(t(*phi, *delta, *(phi + delta))) for t in terms]
            with mpmath.workdps(700):
                of, to = [mpmath.mpf(v) for v in phi], [mpmath.mpf(v) for v in delta]
                want = number(e, symbols)(*of, *to, *(a + b for a, b in zip(of, to, strict=True)))
            # a sum of two such terms may cancel; each is then right by itself
            room = 8 * np.finfo(float).eps * sum(abs(p) for p in parts) + 1e-322
            assert abs(sum(parts) - want) <= room


def test_the_forms_of_the_two_families() -> None:
    normal = component_form(family_named("normal"))
    z, mu, sigma = normal.z, *family_named("normal").symbols
    assert normal.own
    assert normal.basis == (z, z**2)
    assert sp.simplify(normal.standard - (x - mu) / (sp.sqrt(2) * sigma)) == 0
    assert (normal.constant, normal.coefficients, normal.common) == (0, (0, -1), 0)
    assert normal.anchored is None
    poisson = component_form(family_named("poisson"))
    (rate,) = family_named("poisson").symbols
    assert not poisson.own
    assert poisson.basis == (poisson.z,)
    assert poisson.coefficients == (sp.log(rate),)
    assert poisson.common == -StirlingRemainder(x)
    assert poisson.anchored is not None


@pytest.mark.parametrize("at", [1, 7, 1000, 10**6])
def test_stirlings_remainder_is_what_it_says(at: int) -> None:
    with mpmath.workdps(30):
        v = mpmath.mpf(at)
        want = mpmath.loggamma(v + 1) - v * mpmath.log(v) + v
        got = StirlingRemainder(sp.Integer(at)).rewrite(sp.loggamma).evalf(30)
        assert mpmath.almosteq(mpmath.mpf(str(got)), want, 1e-20)


GENERAL = [
    stated("cauchy", -sp.log(1 + (x * s.symbol) ** 2) + sp.log(s.symbol / sp.pi), s),
    stated("student", -a.symbol * sp.log(1 + _z**2 / a.symbol) - sp.log(s.symbol), m, s, a),
    stated("kink", -sp.Abs(x - m.symbol) / s.symbol - sp.log(s.symbol), m, s),
    stated("log variance", -(x**2) * sp.exp(-m.symbol) / 2 - m.symbol / 2, m),
]


@pytest.mark.parametrize("family", GENERAL, ids=lambda f: f.name)
def test_what_does_not_separate_has_log_f_and_its_slopes_for_a_basis(family: Family) -> None:
    form = component_form(family)
    assert form.slopes is not None
    assert form.basis == (form.log_density, *form.slopes)
    for slope, symbol in zip(form.slopes, family.symbols, strict=True):
        assert sp.simplify(slope - sp.diff(family.log_density, symbol)) == 0


def test_a_logistic_density_is_differentiated_through_a_stable_node() -> None:
    family = stated("logistic", -_z - 2 * sp.log(1 + sp.exp(-_z)) - sp.log(s.symbol), m, s)
    slope, _ = component_form(family).slopes
    assert not slope.has(sp.exp)
    rewritten = slope.rewrite(sp.exp) - sp.diff(family.log_density, m.symbol)
    at = {x: sp.Rational(3, 7), m.symbol: sp.Rational(-1, 3), s.symbol: sp.Rational(5, 4)}
    assert abs(rewritten.subs(at).evalf(30)) < 1e-28
