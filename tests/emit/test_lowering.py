"""Lowering keeps the number: what is printed is worth what SymPy says."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from types import SimpleNamespace

import mpmath
import numpy as np
import pytest
import sympy as sp
from hypothesis import assume, example, given
from hypothesis import strategies as st
from sympy.codegen.cfunctions import expm1, log1p

from relrep_sym.emit.lowering import lower
from relrep_sym.emit.numpy.printer import infix
from relrep_sym.errors import DerivationError
from relrep_sym.statements.language import Item, Node, Num, Op, Var, names

u, v, w = sp.symbols("u v w")
LETTERS = (u, v, w)

# A double is exact for these, and a division by three is one division: nothing is rounded.
exact = st.sampled_from([sp.Integer(k) for k in (-3, -2, -1, 1, 2, 5)] + [sp.Rational(1, 2)])
letters = st.sampled_from(LETTERS)

MP = SimpleNamespace(
    **{
        n: getattr(mpmath, n) for n in "exp log expm1 log1p sqrt sin cos tan sinh cosh tanh".split()
    },
    arcsinh=mpmath.asinh,
    arctan=mpmath.atan,
    abs=abs,
    square=lambda a: a * a,
    power=lambda a, b: a**b,
)


def grow(inner: st.SearchStrategy[sp.Expr]) -> st.SearchStrategy[sp.Expr]:
    """Sums, products, quotients, powers and functions."""
    functions = [sp.exp, sp.log, sp.sin, sp.tanh, sp.asinh, sp.atan, sp.cosh, log1p, expm1, sp.Abs]
    powers = [sp.Integer(k) for k in (-4, -3, -2, -1, 2, 3, 4, 5, 7, 13)]
    powers += [sp.Rational(k, 2) for k in (-5, -1, 1, 3, 7)]
    many = st.lists(inner, min_size=2, max_size=4)
    return st.one_of(
        many.map(lambda a: sp.Add(*a)),
        many.map(lambda a: sp.Mul(*a)),
        st.builds(lambda a, b: a - b, inner, inner),
        st.builds(lambda a, b: a / b if b != 0 else a, inner, inner),
        st.builds(lambda a, k: a / k, inner, st.sampled_from([sp.Integer(3), sp.Integer(-7)])),
        st.builds(lambda a, k: a**k if a != 0 else a, inner, st.sampled_from(powers)),
        st.builds(lambda f, a: f(a), st.sampled_from(functions), letters),
        st.builds(lambda a, b: a ** (b / 3), letters, letters),
    )


expressions = st.recursive(letters | exact, grow, max_leaves=10)
points = st.fixed_dictionaries({s: st.floats(0.25, 3) for s in LETTERS})


def text(e: sp.Expr) -> str:
    return infix(lower(e, lambda s: Var(s.name)))


def at_high_precision(source: str, at: dict[sp.Symbol, float]) -> object:
    scope: dict[str, object] = {s.name: mpmath.mpf(x) for s, x in at.items()}
    return eval(source, {"np": MP}, scope)


@given(expressions, points)
@example(sp.Mul(-1, u + v, evaluate=False), {u: 0.5, v: 2.0, w: 1.0})
@example(u - (v - w) / (u - v / (w - u)), {u: 0.5, v: 2.0, w: 1.0})
@example(-u * (v - w) + (-u) ** 3, {u: 0.5, v: 2.0, w: 1.0})
@example(1 / (3 * u**2 * sp.sqrt(v)) / 2, {u: 0.5, v: 2.0, w: 1.0})
@example(-(u ** sp.Rational(5, 2)) / 12 - 1, {u: 0.5, v: 2.0, w: 1.0})
@example(u**64 - u**65 + u**-33, {u: 0.5, v: 2.0, w: 1.0})
def test_what_is_printed_is_worth_what_sympy_says(e: sp.Expr, at: dict[sp.Symbol, float]) -> None:
    rounded = any(t.is_number and not t.is_Rational for t in sp.preorder_traversal(e))
    rounded = rounded or not _dyadic(sp.Tuple(e))
    assume(not e.has(sp.nan, sp.zoo, sp.oo, sp.I))
    with mpmath.workdps(60):
        try:
            want = sp.lambdify(LETTERS, e, "mpmath")(*(mpmath.mpf(at[s]) for s in LETTERS))
            scale = 1 + sum(abs(mpmath.mpf(x)) for x in at.values())
        except (ZeroDivisionError, ValueError, OverflowError):
            assume(False)
            raise
        assume(mpmath.isfinite(want) and abs(want) < 1e30)
        got = at_high_precision(text(e), at)
        digits = 10 if rounded else 35
        assume(not rounded or abs(want) > 1e-3)
        assert mpmath.almosteq(got, want, mpmath.mpf(10) ** -digits * scale), text(e)


def _dyadic(e: sp.Expr) -> bool:
    """Whether every rational in it that is not a factor is a double."""
    return all(
        t.q & (t.q - 1) == 0 and abs(t.p) < 2**53
        for s in sp.preorder_traversal(e)
        for t in s.args
        if t.is_Rational and not s.is_Mul
    )


@given(expressions)
def test_no_power_is_printed_as_a_star_and_only_the_symbols_are_read(e: sp.Expr) -> None:
    assume(not e.has(sp.nan, sp.zoo, sp.oo, sp.I))
    node = lower(e, lambda s: Var(s.name))
    assert "**" not in infix(node)
    assert set(names(node)) <= {s.name for s in e.free_symbols}


# ------------------------------------------------------------------------------------- constants

IRRATIONAL = [
    sp.sqrt(2),
    sp.pi,
    sp.exp(1),
    sp.log(7),
    sp.sqrt(2 * sp.pi),
    sp.exp(sp.Rational(-1, 3)),
]
rationals = st.fractions(-50, 50, max_denominator=97).map(
    lambda f: sp.Rational(*f.as_integer_ratio())
)


def nearest(e: sp.Expr) -> float:
    """The double nearest to a constant."""
    with mpmath.workdps(80):
        value = sp.lambdify((), e, "mpmath")()
        return float(mpmath.mpf(value))


@given(rationals, rationals, st.sampled_from(IRRATIONAL), st.sampled_from(IRRATIONAL))
def test_a_constant_is_right_to_the_last_bit(
    a: sp.Expr, b: sp.Expr, c: sp.Expr, d: sp.Expr
) -> None:
    for constant in (a * c + b, a * c * d, c / d + a, a * c - b * d, sp.sqrt(abs(a) + 1) * c):
        assume(constant != 0)
        (number,) = numbers(lower(constant, Var))
        assert float(number) == nearest(constant)
        (term,) = numbers(lower(constant + u, lambda s: Var(s.name)))
        assert abs(float(term)) == abs(nearest(constant))
        if not constant.is_Rational:
            (factor,) = numbers(lower(constant * u / v, lambda s: Var(s.name)))
            assert abs(float(factor)) == abs(nearest(constant))


def numbers(node: Node) -> list[Fraction | float]:
    if isinstance(node, Num):
        return [node.value]
    return [n for a in getattr(node, "args", ()) for n in numbers(a)]


@given(rationals.filter(lambda r: r.q != 1))
def test_a_rational_factor_costs_one_rounding(r: sp.Rational) -> None:
    """p u/q, or the factor itself where it is a double."""
    for at in (0.1, 7.3, 1e-3):
        got = eval(text(r * u), {"u": at})
        want = Fraction(int(r.p), int(r.q)) * Fraction(at)
        assert abs(Fraction(got) - want) <= 2 * abs(want) * Fraction(np.finfo(float).eps) / 2


def test_printed_constants_are_literals() -> None:
    assert text(u / 3) == "u / 3"
    assert text(sp.Rational(2, 3) * u) == "2 * u / 3"
    assert text(u / 4) == "0.25 * u"
    assert text(sp.sqrt(2) * u / 2) == "0.7071067811865476 * u"
    assert text(u + sp.Rational(1, 10)) == "0.1 + u"
    assert text(u - sp.log(2 * sp.pi) / 2) == "u - 0.9189385332046728"


# ------------------------------------------------------------------------------------- powers


@pytest.mark.parametrize("n", range(1, 65))
def test_a_power_is_a_chain_of_at_most_two_log_n_products(n: int) -> None:
    node = lower(u**n, lambda s: Var(s.name))

    def products(e: Node) -> int:
        return 1 + max(map(products, e.args)) if isinstance(e, Op) else 0

    assert products(node) <= 2 * n.bit_length()
    with mpmath.workdps(60):
        assert mpmath.almosteq(at_high_precision(infix(node), {u: 1.25}), mpmath.mpf(1.25) ** n)


def test_negative_powers_are_one_division() -> None:
    assert text(u**-2) == "1 / (u * u)"
    assert text(v / (u**2 * w)) == "v / ((u * u) * w)"
    assert text(1 / sp.sqrt(u)) == "1 / np.sqrt(u)"
    assert text(u ** sp.Rational(3, 2)) == "u * np.sqrt(u)"
    assert text(u**v) == "np.power(u, v)"


# ------------------------------------------------------------------------------------- leaves


def test_symbols_are_called_what_the_leaf_says() -> None:
    node = lower(u * sp.exp(v), lambda s: Item("rows", LETTERS.index(s)))
    assert infix(node) == "rows[0] * np.exp(rows[1])"


@pytest.mark.parametrize("f", [sp.erf, sp.gamma, sp.loggamma, sp.Function("own"), sp.sign])
def test_a_function_that_no_kernel_has_is_refused_by_name(f: Callable[..., sp.Expr]) -> None:
    with pytest.raises(DerivationError, match=r"no kernel can be printed for .*; expected: a func"):
        lower(1 + 2 * f(u), lambda s: Var(s.name))
