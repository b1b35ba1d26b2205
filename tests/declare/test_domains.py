"""A domain says what lies in it, what certainly does not, and nothing where that is open."""

from __future__ import annotations

import math

import pytest
import sympy as sp

from relrep_sym.declare.domains import DOMAINS, Domain, domain
from relrep_sym.errors import DeclarationError

u = sp.Symbol("u", real=True)
p = sp.Symbol("p", positive=True)
n = sp.Symbol("n", nonnegative=True)
z = sp.Symbol("z")


@pytest.mark.parametrize("known", DOMAINS)
def test_a_domain_is_found_by_its_name_and_passes_through(known: Domain) -> None:
    assert domain(known.name) is known
    assert domain(known) is known
    assert known.lower < known.upper


def test_the_ends() -> None:
    ends = {d.name: (d.lower, d.upper, d.open_lower) for d in DOMAINS}
    assert ends == {
        "real": (-math.inf, math.inf, False),
        "positive": (0, math.inf, True),
        "nonnegative": (0, math.inf, False),
        "unit": (0, 1, False),
    }


@pytest.mark.parametrize("given", ["cube", "Real", "", None, 5, ["unit"]])
def test_an_unknown_domain_is_refused_by_name(given: object) -> None:
    with pytest.raises(
        DeclarationError, match=r"unknown domain; given: .*; expected: one of real,"
    ):
        domain(given)  # type: ignore[arg-type]


@pytest.mark.parametrize("known", DOMAINS)
def test_the_assumptions_hold_for_every_number_of_the_domain(known: Domain) -> None:
    inside = [0.5, 1.0] + [0.0] * (not known.open_lower) + [-2.0] * (known.lower < 0)
    assumed = sp.Symbol("s", **known.assumptions())
    for number in map(sp.Rational, inside):
        assert not known.proves_violation(number)
        for fact in ("is_real", "is_positive", "is_nonnegative"):
            if getattr(assumed, fact):
                assert getattr(number, fact)


@pytest.mark.parametrize(
    ("name", "outside"),
    [
        ("positive", [sp.Integer(0), sp.Integer(-1), -p, -n, -(u**2), -sp.exp(u)]),
        ("nonnegative", [sp.Integer(-1), -p, -1 - u**2]),
        ("unit", [sp.Integer(-1), sp.Integer(2), 1 + p, sp.exp(u) + 1, -p, sp.sqrt(2)]),
        ("real", [sp.I]),
    ],
)
def test_a_value_that_lies_outside_for_certain_is_a_proven_violation(
    name: str, outside: list[sp.Expr]
) -> None:
    for value in outside:
        assert domain(name).proves_violation(value), value


@pytest.mark.parametrize(
    ("name", "open_"),
    [
        ("positive", [u, n, p, z, u**2, sp.exp(u), 1 - u]),
        ("nonnegative", [sp.Integer(0), -n, u, z, u**2]),
        ("unit", [sp.Integer(0), sp.Integer(1), sp.exp(-n), u, 1 + n, 1 - p, z]),
        ("real", [u, p, z, sp.sqrt(2)]),
    ],
)
def test_nothing_is_proven_where_some_value_may_lie_inside(name: str, open_: list[sp.Expr]) -> None:
    for value in open_:
        assert not domain(name).proves_violation(value), value
