"""Families: built in or stated; location and scale are proven, and only where they hold."""

from __future__ import annotations

import mpmath
import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st

from relrep_sym.declare.domains import domain
from relrep_sym.declare.family import Family, FamilyParameter, family_named
from relrep_sym.errors import DeclarationError

NORMAL, POISSON = family_named("normal"), family_named("poisson")
x = sp.Symbol("x", real=True)
m = FamilyParameter("m", "places", domain("real"))
s = FamilyParameter("s", "widths", domain("positive"))
reals = st.floats(-20, 20)
positives = st.floats(0.05, 20)


def stated(log_density: sp.Expr, *parameters: FamilyParameter, support: str = "line") -> Family:
    return Family("stated", log_density, parameters, support)


def value(family: Family, at: float, *phi: float) -> mpmath.mpf:
    f = sp.lambdify((family.x, *family.symbols), family.log_density, "mpmath")
    with mpmath.workdps(40):
        return f(mpmath.mpf(at), *map(mpmath.mpf, phi))


def test_the_normal_density_is_in_standard_deviations() -> None:
    assert [q.name for q in NORMAL.parameters] == ["mu", "sigma"]
    assert [q.plural for q in NORMAL.parameters] == ["means", "scales"]
    with mpmath.workdps(40):
        want = mpmath.log(mpmath.npdf(mpmath.mpf(3), 1, 4))
    assert mpmath.almosteq(value(NORMAL, 3, 1, 4), want, 1e-38)


def test_the_poisson_density_is_in_its_rate() -> None:
    assert [(q.name, q.plural) for q in POISSON.parameters] == [("rate", "rates")]
    with mpmath.workdps(40):
        rate = mpmath.mpf("2.5")
        want = mpmath.log(rate**4 * mpmath.exp(-rate) / mpmath.factorial(4))
    assert mpmath.almosteq(value(POISSON, 4, 2.5), want, 1e-38)


@given(reals, reals, positives, reals)
def test_the_normal_location_moves_with_the_data(at: float, mu: float, sd: float, c: float) -> None:
    assert NORMAL.location is not None
    assert NORMAL.location.name == "mu"
    with mpmath.workdps(40):
        moved = value(NORMAL, mpmath.mpf(at) + c, mpmath.mpf(mu) + c, sd)
        assert mpmath.almosteq(moved, value(NORMAL, at, mu, sd), 1e-35, 1e-30)


@given(reals, reals, positives, positives)
def test_the_normal_scale_stretches_with_the_data(
    at: float, mu: float, sd: float, c: float
) -> None:
    assert NORMAL.scale is not None
    assert NORMAL.scale.name == "sigma"
    with mpmath.workdps(40):
        k = mpmath.mpf(c)
        stretched = value(NORMAL, k * at, k * mu, k * sd) + mpmath.log(k)
        assert mpmath.almosteq(stretched, value(NORMAL, at, mu, sd), 1e-35, 1e-30)


def test_the_poisson_rate_is_neither_a_location_nor_a_scale() -> None:
    assert POISSON.location is None
    assert POISSON.scale is None


def test_location_and_scale_of_a_stated_family_are_found_by_proof_not_by_name() -> None:
    z = (x - m.symbol) / s.symbol
    cauchy = stated(-sp.log(1 + z**2) - sp.log(sp.pi * s.symbol), m, s)
    assert (cauchy.location, cauchy.scale) == (m, s)
    logistic = stated(-(x - m.symbol) - 2 * sp.log(1 + sp.exp(-(x - m.symbol))), m)
    assert (logistic.location, logistic.scale) == (m, None)
    exponential = stated(-x / s.symbol - sp.log(s.symbol), s, support="half-line")
    assert (exponential.location, exponential.scale) == (None, s)


def test_what_only_looks_like_a_location_or_a_scale_is_none() -> None:
    variance = stated(-((x - m.symbol) ** 2) / (2 * s.symbol) - sp.log(s.symbol) / 2, m, s)
    assert (variance.location, variance.scale) == (m, None)
    rate = stated(sp.log(s.symbol) - s.symbol * x, s, support="half-line")
    assert rate.scale is None
    half = stated(
        -(((x - m.symbol) / s.symbol) ** 2) / 2 - sp.log(s.symbol), m, s, support="half-line"
    )
    assert half.location is None


def test_a_family_of_the_users_own_passes_through() -> None:
    own = stated(-((x - m.symbol) ** 2), m)
    assert family_named(own) is own
    assert own.sampler is None
    assert own.symbols == (sp.Symbol("m", real=True),)


@pytest.mark.parametrize("given_name", ["gauss", "Normal", "", None, 3, ["normal"]])
def test_an_unknown_family_is_refused_by_name(given_name: object) -> None:
    with pytest.raises(DeclarationError, match=r"unknown family; given: .*one of normal, poisson"):
        family_named(given_name)  # type: ignore[arg-type]


def test_an_unknown_parameter_is_refused_by_name() -> None:
    assert NORMAL.parameter("sigma").domain.name == "positive"
    for wrong in ("pi", "means", "", None, 3):
        with pytest.raises(DeclarationError, match=r"no such parameter.*one of mu, sigma"):
            NORMAL.parameter(wrong)  # type: ignore[arg-type]
