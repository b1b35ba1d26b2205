"""softplus, logistic, their inverse, the log of a sum: values and slopes at the extremes."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import sympy as sp

from relrep_sym.declare.functions import (
    Logistic,
    LogTotal,
    Softplus,
    SoftplusInverse,
    spelled_out,
)
from relrep_sym.emit.lowering import lower
from relrep_sym.emit.numpy.printer import infix
from relrep_sym.statements.language import Var

x, y, z = sp.symbols("x y z", real=True)
DIGITS = 60

REFERENCE = {
    Softplus: lambda v: mpmath.log1p(mpmath.exp(v)),
    Logistic: lambda v: 1 / (1 + mpmath.exp(-v)),
    SoftplusInverse: lambda v: mpmath.log(mpmath.expm1(v)),
}
LINE = [-800.0, -745.5, -710.0, -40.0, -1.0, -1e-8, -1e-300, 0.0, 1e-300, 1e-16, 0.7, 36.9, 800.0]
POSITIVE = [1e-300, 1e-16, 1e-8, 0.3, 0.6931471805599453, 1.0, 36.9, 710.0, 800.0]
PLACES = [(Softplus, v) for v in LINE] + [(Logistic, v) for v in LINE]
PLACES += [(SoftplusInverse, v) for v in POSITIVE]


def as_numpy(expression: sp.Expr, **values: float) -> float:
    """What the generated code makes of an expression."""
    code = infix(lower(expression, lambda s: Var(s.name)))
    arrays = {n: np.array([v]) for n, v in values.items()}
    with np.errstate(over="ignore", under="ignore", divide="ignore"):
        return float(eval(code, {"np": np}, arrays)[0])  # only what we rendered


def units(got: float, want: mpmath.mpf, slack: mpmath.mpf) -> float:
    """The error in units of |v| and what one rounding of the argument does to it."""
    if abs(want) < 1e-305:  # doubles end here
        return 0.0 if abs(got) < 1e-305 else float("inf")
    return float(abs(mpmath.mpf(got) - want) / (2.0**-53 * (abs(want) + slack)))


# ------------------------------------------------------------------------------ values


@pytest.mark.parametrize(("f", "at"), PLACES, ids=lambda v: getattr(v, "__name__", v))
def test_the_generated_code_keeps_its_digits(f: type, at: float) -> None:
    with mpmath.workdps(DIGITS):
        want = REFERENCE[f](mpmath.mpf(at)) if at or f is Logistic else mpmath.log(2)
        slope = abs(
            mpmath.mpf(at)
            * mpmath.diff(REFERENCE[f], at, h=mpmath.mpf(10) ** -25 * max(abs(at), 1e-300))
        )
        assert units(as_numpy(f(x), x=at), want, slope) < 4


@pytest.mark.parametrize(("f", "at"), PLACES, ids=lambda v: getattr(v, "__name__", v))
def test_sympys_own_numbers_keep_theirs(f: type, at: float) -> None:
    exact = sp.Rational(at)
    with mpmath.workdps(DIGITS):
        got = mpmath.mpmathify(str(sp.N(f(exact), 30)))
        want = REFERENCE[f](mpmath.mpf(at))
        assert abs(got - want) <= abs(want) * mpmath.mpf("1e-27")


def test_values_that_are_known() -> None:
    assert Softplus(0) == sp.log(2)
    assert Logistic(0) == sp.Rational(1, 2)
    assert SoftplusInverse(Softplus(y)) == y
    assert Softplus(x).is_positive
    assert Logistic(x).is_positive
    assert Softplus(x).is_real
    assert LogTotal(x, y).is_real


@pytest.mark.parametrize("at", [1e-300, 1e-30, 1e-8, 0.5, 30.0, 800.0])
def test_softplus_undoes_its_inverse(at: float) -> None:
    with mpmath.workdps(DIGITS):
        back = REFERENCE[Softplus](mpmath.mpf(as_numpy(SoftplusInverse(x), x=at)))
        # the inverse is known to one unit of its own size, and softplus has slope 1 − e⁻ʸ there
        argument = abs(mpmath.log(mpmath.expm1(mpmath.mpf(at))))
        slack = argument * -mpmath.expm1(-mpmath.mpf(at))
        assert abs(back - at) <= 4 * 2.0**-53 * (at + slack)


# ------------------------------------------------------------------------------ derivatives

DEEP = [-800, -40, -1, 0, sp.Rational(1, 10**300), 1, 40, 800]


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("at", DEEP)
@pytest.mark.parametrize("f", [Softplus, Logistic])
def test_derivatives_are_those_of_what_is_spelled_out(f: type, at: object, order: int) -> None:
    derived = sp.diff(f(x), x, order)
    with mpmath.workdps(2 * DIGITS):
        got = sp.lambdify(x, spelled_out(derived), "mpmath")(mpmath.mpmathify(sp.Rational(at)))
        t = mpmath.exp(-abs(mpmath.mpf(sp.Rational(at).p) / sp.Rational(at).q))
        s, r = 1 / (1 + t), t / (1 + t)  # both tails, neither by a difference
        s, r = (s, r) if at >= 0 else (r, s)
        chain = {
            (Softplus, 1): s, (Softplus, 2): s * r, (Softplus, 3): s * r * (r - s),
            (Logistic, 1): s * r, (Logistic, 2): s * r * (r - s),
            (Logistic, 3): s * r * ((r - s) ** 2 - 2 * s * r),
        }[f, order]  # fmt: skip
        scale = max(abs(chain), s * r * mpmath.mpf("1e-30"))
        assert abs(got - chain) <= scale * mpmath.mpf("1e-50")


@pytest.mark.parametrize("at", [-700.0, -40.0, -1.0, 1e-300, 1.0, 40.0, 700.0])
def test_slopes_in_the_generated_code_keep_both_tails(at: float) -> None:
    with mpmath.workdps(DIGITS):
        t = mpmath.exp(-abs(mpmath.mpf(at)))
        s, r = (1 / (1 + t), t / (1 + t)) if at >= 0 else (t / (1 + t), 1 / (1 + t))
        slope = as_numpy(sp.diff(Softplus(x), x), x=at)
        bend = as_numpy(sp.diff(Softplus(x), x, 2), x=at)
        assert units(slope, s, abs(at) * s * r) < 4
        assert units(bend, s * r, abs(at) * s * r) < 6


@pytest.mark.parametrize("at", ["1e-300", "1e-12", "0.5", "40", "800"])
def test_the_slope_of_the_inverse(at: str) -> None:
    with mpmath.workdps(400):
        v = mpmath.mpf(at)
        derived = spelled_out(sp.diff(SoftplusInverse(y), y))
        got = sp.lambdify(y, derived, "mpmath")(v)
        assert mpmath.almosteq(got, 1 / -mpmath.expm1(-v), mpmath.mpf("1e-40"))


# ------------------------------------------------------------------------------ log of a total


@pytest.mark.parametrize(
    "at", [(0.0, 0.0), (-800.0, -750.0), (800.0, 799.0), (800.0, -800.0), (1e-300, -1e-300)]
)
def test_the_log_of_a_total_and_its_slopes(at: tuple[float, float]) -> None:
    f = LogTotal(x, y)
    with mpmath.workdps(DIGITS):
        a, b = map(mpmath.mpf, at)
        total = 1 + mpmath.exp(a) + mpmath.exp(b)
        names = {"x": at[0], "y": at[1]}
        shares = [mpmath.exp(a) / total, mpmath.exp(b) / total]
        slack = sum(abs(v) * s for v, s in zip((a, b), shares, strict=True))
        assert units(as_numpy(f, **names), mpmath.log(total), slack) < 4
        for symbol, share, own in zip((x, y), shares, (a, b), strict=True):
            derived = sp.diff(f, symbol)
            exact = sp.lambdify((x, y), spelled_out(derived), "mpmath")(a, b)
            assert mpmath.almosteq(exact, share, mpmath.mpf("1e-40"))
            bound = abs(own) + mpmath.log(total)  # what the exponent is the difference of
            assert units(as_numpy(derived, **names), share, share * bound) < 4


def test_slopes_of_a_total_by_an_argument_that_stands_twice() -> None:
    both = sp.diff(LogTotal(x, x, 2 * y), x)
    got = sp.lambdify((x, y), spelled_out(both), "mpmath")(mpmath.mpf(1) / 3, mpmath.mpf(1) / 7)
    a, b = mpmath.exp(mpmath.mpf(1) / 3), mpmath.exp(mpmath.mpf(2) / 7)
    assert mpmath.almosteq(got, 2 * a / (1 + 2 * a + b), 1e-14)


def test_what_is_spelled_out_is_in_exp_and_log_alone() -> None:
    kinds = (Softplus, Logistic, SoftplusInverse, LogTotal)
    inside = Softplus(Logistic(x) * SoftplusInverse(1 + LogTotal(y, z) ** 2))
    plain = spelled_out(inside)
    assert not plain.has(*kinds)
    values = {x: sp.Rational(1, 3), y: sp.Rational(-2, 7), z: sp.Rational(5, 4)}
    with mpmath.workdps(40):
        v = [mpmath.mpf(values[s].p) / values[s].q for s in (x, y, z)]
        total = mpmath.log(1 + mpmath.exp(v[1]) + mpmath.exp(v[2]))
        inner = mpmath.log(mpmath.expm1(1 + total**2))
        want = mpmath.log1p(mpmath.exp(inner / (1 + mpmath.exp(-v[0]))))
        for e in (inside, plain):
            got = mpmath.mpmathify(str(sp.N(e.xreplace(values), 35)))
            assert mpmath.almosteq(got, want, mpmath.mpf("1e-30"))


@pytest.mark.parametrize("f", [Softplus, Logistic, SoftplusInverse])
def test_printed_in_latex_as_a_textbook_would(f: type) -> None:
    text = sp.latex(f(x))
    assert "Softplus" not in text
    assert "Logistic" not in text
    assert "e^{" in text
    assert sp.latex(f(x) ** 2) != text
