"""The rules for expectations, each against an independent computation."""

from __future__ import annotations

import mpmath
import pytest
import sympy as sp

from relrep_sym.declare.chart import identity
from relrep_sym.declare.domains import domain
from relrep_sym.declare.family import Family, FamilyParameter, family_named
from relrep_sym.declare.identity import Scope
from relrep_sym.declare.model import mixture
from relrep_sym.equations.expect import Calculus
from relrep_sym.equations.parts import may_part, moment, ratio
from relrep_sym.equations.prove import is_zero, prove
from relrep_sym.errors import DerivationError

X = sp.Symbol("x", real=True)
SHAPE = FamilyParameter("shape", "shapes", domain("positive"))
SCALE = FamilyParameter("scale", "scales", domain("positive"))
PROB = FamilyParameter("prob", "probs", domain("unit"))
A, S, P = SHAPE.symbol, SCALE.symbol, PROB.symbol
GAMMA = Family(
    "gamma",
    (A - 1) * sp.log(X) - X / S - sp.loggamma(A) - A * sp.log(S),
    (SHAPE, SCALE),
    "half-line",
)
GEOMETRIC = Family("geometric", sp.log(P) + X * sp.log(1 - P), (PROB,), "integers")
CAUCHY = Family("cauchy", -sp.log(1 + (X / S) ** 2) - sp.log(sp.pi * S), (SCALE,), "line")


@pytest.mark.parametrize(
    ("family", "values"),
    [
        (family_named("normal"), (0.7, 1.3)),
        (family_named("poisson"), (2.5,)),
        (GAMMA, (2.2, 0.6)),
        (GEOMETRIC, (0.4,)),
    ],
    ids=lambda v: v.name if isinstance(v, Family) else "",
)
@pytest.mark.parametrize("degree", [1, 2, 3, 5])
def test_moments_are_those_of_quadrature(
    family: Family, values: tuple[float, ...], degree: int
) -> None:
    closed = moment(family, degree)
    assert closed is not None
    at = dict(zip(family.symbols, values, strict=True))
    density = sp.lambdify(X, sp.exp(family.log_density.subs(at)), "mpmath")
    if family.support == "integers":
        found = mpmath.nsum(lambda n: n**degree * density(n), [0, mpmath.inf])
    else:
        low = -mpmath.inf if family.support == "line" else 0
        found = mpmath.quad(lambda t: t**degree * density(t), [low, 0.5, 2, 8, mpmath.inf])
    assert float(closed.subs(at)) == pytest.approx(float(found), rel=1e-9)


def test_ratios_are_those_of_the_mass_function() -> None:
    assert ratio(GEOMETRIC) == 1 - P
    assert (
        sp.simplify(ratio(family_named("poisson")) - sp.Symbol("rate", positive=True) / (X + 1))
        == 0
    )


def test_heavy_tails_have_no_parts() -> None:
    assert not may_part(CAUCHY)
    assert moment(CAUCHY, 2) is None
    assert may_part(GAMMA)


def test_nothing_is_proven_by_parts_of_a_heavy_tail() -> None:
    scope = Scope(identity(mixture(CAUCHY, components=2)))
    left, right = (scope.read(t, "a side") for t in ("E_1[x**2]", "scale_1"))
    assert not prove(scope, left, right).proven


@pytest.mark.parametrize("text", ["D[r_2, mu_2]", "D[log_p, pi_1]", "D[p, sigma_3]", "D[f_1, x]"])
def test_derivatives_are_difference_quotients(text: str) -> None:
    """The rule for posteriors, at K = 3, against the density written out."""
    model = mixture("normal", components=3)
    scope = Scope(identity(model))
    calculus = Calculus(scope)
    inner, name = text[2:-1].split(", ")
    variable = next(s for s in (scope.x, *scope.coordinates) if s.name == name)
    law = calculus.laws["p"]
    joint = [w * sp.exp(f) for w, f in zip(law.weights, law.logs, strict=True)]
    whole = sp.Add(*joint)
    explicit = {r: j / whole for r, j in zip(law.posteriors, joint, strict=True)}
    explicit[law.log] = sp.log(whole)
    plain = calculus.resolved(scope.read(inner, "g")).xreplace(scope.theta).xreplace(explicit)
    found = calculus.resolved(scope.read(text, "D")).xreplace(scope.theta).xreplace(explicit)
    at = dict(zip(scope.coordinates, (0.2, 0.3, -1.0, 0.4, 1.5, 0.7, 1.1, 0.9), strict=True))
    at[scope.x] = 0.6
    f = sp.lambdify(variable, plain.subs({s: v for s, v in at.items() if s != variable}), "mpmath")
    with mpmath.workdps(40):
        assert float(found.subs(at)) == pytest.approx(
            float(mpmath.diff(f, at[variable])), rel=1e-10
        )


def test_zero_is_decided_in_a_field() -> None:
    a, b = sp.symbols("a b", positive=True)
    assert is_zero(sp.log(a * b) - sp.log(a) - sp.log(b))
    assert is_zero(sp.exp(2 * a) - sp.exp(a) ** 2)
    assert not is_zero(sp.exp(sp.log(a - b) / 2) ** 2 - a)
    assert not is_zero(a - b)


def test_an_integrand_too_long_is_refused() -> None:
    scope = Scope(identity(mixture("normal", components=8)))
    calculus = Calculus(scope)
    powers = "*".join(f"(r_1 + r_2 + r_3 + r_4 + x)**{n}" for n in (7, 8))
    with pytest.raises(DerivationError, match="too long"):
        calculus.combined(scope.read(f"E_p[{powers}]", "a side"))
