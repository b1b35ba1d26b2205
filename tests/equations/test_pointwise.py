"""Second derivatives of log-densities that do not separate, and their kinks, against mpmath."""

from __future__ import annotations

from dataclasses import replace

import mpmath
import pytest
import sympy as sp

import relrep_sym as rs
from relrep_sym.declare.family import Family, family_named
from relrep_sym.equations.pointwise import pointwise, softness_symbol
from relrep_sym.errors import DerivationError

REAL, POSITIVE = {"m": "real"}, {"s": "positive"}


def own(log_density: str, **more: str) -> Family:
    return rs.family(log_density, {"m": "real", "s": "positive"}, name="own", **more)  # type: ignore[arg-type]


FAMILIES = {
    "laplace": lambda: family_named("laplace"),
    "logistic": lambda: own("-(x - m)/s - 2*log(1 + exp(-(x - m)/s)) - log(s)"),
    "cauchy": lambda: own("-log(4*atan(1)) - log(s) - log(1 + ((x - m)/s)**2)"),
    "gumbel": lambda: own("-(x - m)/s - exp(-(x - m)/s) - log(s)"),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_they_are_the_second_derivatives_of_the_log_density(name: str) -> None:
    family = FAMILIES[name]()
    found = pointwise(family)
    f = sp.lambdify([family.x, *family.symbols], family.log_density, "mpmath")
    plain = [e.rewrite(sp.exp) if name != "laplace" else e for e in found.curves]
    with mpmath.workdps(40):
        for at in [(-1.3, 0.4, 1.7), (5.0, 0.4, 0.3), (0.41, 0.4, 2.0)]:
            values = tuple(map(mpmath.mpf, at))
            for (i, j), e in zip(found.pairs, plain, strict=True):
                order = [0, 0, 0]
                order[1 + i] += 1
                order[1 + j] += 1
                want = mpmath.diff(f, values, tuple(order))
                got = sp.lambdify([family.x, *family.symbols], e, ["mpmath", _NODES])(*values)
                assert abs(got - want) < 1e-12 * (1 + abs(want))


_NODES = {
    "Logistic": lambda a: 1 / (1 + mpmath.exp(-a)),
    "Softplus": lambda a: mpmath.log(1 + mpmath.exp(a)),
}


def test_the_jump_of_a_kink_is_what_the_slope_jumps_by() -> None:
    """∂ log f/∂m of −|2 (x − m)/s| steps from −2/s to 2/s where x passes m: ∂² has −4/s there."""
    family = own("-abs(2*(x - m)/s) - log(s)")
    found = pointwise(family)
    m = family.symbols[0]
    step = found.slopes[0].subs(m, family.x - 1) - found.slopes[0].subs(m, family.x + 1)
    assert sp.simplify(found.jumps[0] + step) == 0  # as m rises past x the slope falls
    assert found.jumps[1:] == (0, 0)
    assert not any(e.has(sp.DiracDelta) for e in (*found.curves, *found.jumps))


def test_a_rounded_kink_tends_to_the_kink() -> None:
    family = family_named("laplace")
    found = pointwise(family)
    third, sharp = sp.Rational(1, 3), (family.log_density, *found.slopes, *found.curves)
    at = {family.x: sp.Rational(13, 10), **dict(zip(family.symbols, (third, 2), strict=True))}
    for soft, hard in zip(found.softened, sharp, strict=True):
        values = soft.subs(at | {softness_symbol(): sp.Rational(1, 10**9)}), hard.subs(at)
        assert abs(sp.N(values[0] - values[1], 30)) < 1e-17


def test_a_kink_that_is_no_absolute_value_is_refused() -> None:
    plain = own("-abs(x - m)/s - log(2*s)")
    m, s = plain.symbols
    away = plain.x - m
    signed = replace(plain, log_density=-away * sp.sign(away) / s - sp.log(2 * s))
    with pytest.raises(DerivationError, match=r"where a sign changes.*\|x - m\|"):
        pointwise(signed)
