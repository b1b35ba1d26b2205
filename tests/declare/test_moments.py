"""Moments of a truth: exact, held against generating functions and mpmath's quadrature."""

from __future__ import annotations

import math

import mpmath
import pytest
import sympy as sp

from relrep_sym.declare.domains import domain
from relrep_sym.declare.family import Family, FamilyParameter
from relrep_sym.declare.truth import truth
from relrep_sym.errors import DeclarationError, DerivationError

w, s, t = sp.symbols("w s t")
x = sp.Symbol("x", real=True)


def test_normal_moments_are_derivatives_of_the_generating_function() -> None:
    q = truth("normal", weights=1, means="m", scales="c")
    m, c = q.symbols[1], q.symbols[0]
    generating = sp.exp((m - w) * t + c**2 * t**2 / 2)
    for n in range(7):
        assert sp.expand(generating.diff(t, n).subs(t, 0) - q.moment(n, about=w)) == 0


def test_poisson_moments_are_derivatives_of_the_generating_function() -> None:
    q = truth("poisson", weights=["1/3", "2/3"], rates=["a", "1/2"])
    (a,) = q.symbols
    for n in range(6):
        parts = (sp.exp(rate * (sp.exp(t) - 1)) for rate in (a, sp.Rational(1, 2)))
        generating = sum(
            k * g for k, g in zip((sp.Rational(1, 3), sp.Rational(2, 3)), parts, strict=True)
        )
        wanted = generating.diff(t, n).subs(t, 0)
        assert sp.expand(wanted - q.moment(n)) == 0


def test_moments_of_a_mixture_in_numbers_are_the_integrals() -> None:
    q = truth("normal", weights=["1/4", "1/4", "1/2"], means=[-2, 0, "1/3"], scales=[1, 3, "1/10"])

    def density(value: float) -> mpmath.mpf:
        parts = [(0.25, -2, 1), (0.25, 0, 3), (0.5, mpmath.mpf(1) / 3, mpmath.mpf(1) / 10)]
        return sum(p * mpmath.npdf(value, mu, sd) for p, mu, sd in parts)

    with mpmath.workdps(18):
        ends = [-40, -5, -2, 0, 0.2, 0.4, 1, 5, 40]
        for n in (4, 7):
            wanted = mpmath.quad(lambda v, n=n: (v - mpmath.mpf(3) / 2) ** n * density(v), ends)
            found = q.moment(n, about="3/2")
            assert found.is_Rational
            assert abs(wanted - mpmath.mpf(found.p) / found.q) < 1e-15 * (1 + abs(wanted))


def test_symbols_commute_with_numbers() -> None:
    q = truth("normal", weights=["r", "1 - r"], means=["a", 0], scales="c")
    numbers = {"r": "1/3", "a": -2, "c": "1/7"}
    given = {v: sp.Rational(str(numbers[v.name])) for v in q.symbols}
    assert q.moment(5, about=1).xreplace(given) == q.at(**numbers).moment(5, about=1)


def test_a_family_of_ones_own_by_parts_on_the_half_line() -> None:
    shape = FamilyParameter("shape", "shapes", domain("positive"))
    k = shape.symbol
    gamma = Family("gamma", (k - 1) * sp.log(x) - x - sp.loggamma(k), (shape,), "half-line")
    q = truth(gamma, weights=1, shapes="5/2")
    half = sp.Rational(5, 2)
    assert [q.moment(n) for n in range(4)] == [sp.rf(half, n) for n in range(4)]


def test_a_family_without_a_recursion_is_refused() -> None:
    mu = FamilyParameter("mu", "means", domain("real"))
    logistic = -(x - mu.symbol) - 2 * sp.log(1 + sp.exp(-(x - mu.symbol)))
    q = truth(Family("logistic", logistic, (mu,), "line"), weights=1, means=0)
    with pytest.raises(DerivationError, match="no closed form"):
        q.moment(2)


@pytest.mark.parametrize("n", [-1, 65, True, 2.0, "2"])
def test_bad_orders(n: object) -> None:
    q = truth("poisson", weights=1, rates=1)
    with pytest.raises(DeclarationError, match="no moment"):
        q.moment(n)  # type: ignore[arg-type]


def test_high_moments_are_double_factorials() -> None:
    q = truth("normal", weights=1, means=3, scales=1)
    assert q.moment(40, about=3) == math.prod(range(1, 40, 2))
