r"""Other ways to write a sum, a logarithm or a power that may lose its digits.

In: a SymPy expression. Out: equal expressions, each with the vanishing part as a factor or inside
of a function that keeps it: expm1, log1p, 2 sin², quotients of differences, complements. Nothing
here knows whether a form is better; that is measured (:mod:`relrep_sym.emit.digits`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import sympy as sp
from sympy.codegen.cfunctions import expm1, log1p

from relrep_sym.declare.functions import Erfc, Logistic, Softplus, SoftplusInverse
from relrep_sym.equations.special_nodes import LogErfc, LogRatio

__all__ = ["candidates"]

_MOST_TERMS = 8
"""In a sum of more terms no pairs are tried."""
_ONE, _HALF = sp.Integer(1), sp.Rational(1, 2)


def candidates(e: sp.Expr) -> Iterator[sp.Expr]:
    """Forms equal to ``e`` where they are defined, the simplest first.

    >>> x = sp.Symbol("x", real=True)
    >>> list(candidates(sp.exp(x) - 1))[0], list(candidates(1 - sp.cos(x)))[0]
    (expm1(x), 2*sin(x/2)**2)
    """
    seen = {e}
    for form in _forms(e):
        found = _exponentials_whole(form)
        if found not in seen and not found.has(sp.zoo, sp.nan, sp.oo, sp.I):
            seen.add(found)
            yield found


def _exponentials_whole(e: sp.Expr) -> sp.Expr:
    """The form with exp(a) exp(b) as exp(a + b): factored, exp((m − x)/s) would be a product of two
    that overflow far from the origin.
    """

    def split(product: sp.Expr) -> bool:
        return product.is_Mul and sum(isinstance(f, sp.exp) for f in product.args) > 1

    out: sp.Expr = e.replace(split, lambda product: sp.powsimp(product, combine="exp"))
    return out


def _forms(e: sp.Expr) -> Iterator[sp.Expr]:
    if e.is_Add:
        yield from _sums(e)
    elif isinstance(e, sp.log):
        yield from _logarithms(e.args[0])
    elif isinstance(e, log1p):
        yield from _logarithms(1 + e.args[0])
    elif isinstance(e, Softplus):
        return
    elif e.is_Pow and e.base.is_Add:
        base = e.base
        if base.as_coeff_Add()[0] == 1 and not e.exp.is_Integer:
            yield sp.exp(e.exp * log1p(base - 1))
    elif e.is_Mul:
        yield from _products(e)


# ------------------------------------------------------------------------------ sums


def _sums(e: sp.Add) -> Iterator[sp.Expr]:
    terms = list(e.args)
    yield _centred(e)
    if len(terms) <= _MOST_TERMS:
        for one, other in itertools.combinations(terms, 2):
            rest = [t for t in terms if t is not one and t is not other]
            for pair in _pairs(one, other):
                yield sp.Add(*rest, pair)
    yield from _whole(e)
    yield _complemented(e)


def _centred(e: sp.Add) -> sp.Expr:
    """The sum with every eᵃ, cos a and cosh a about its value one at a = 0."""

    def about_one(term: sp.Expr) -> sp.Expr:
        factor, inner = term, None
        for f in sp.Mul.make_args(term):
            if isinstance(f, sp.exp | sp.cos | sp.cosh):
                factor, inner = term / f, f
                break
        if inner is None:
            return term
        a = inner.args[0]
        small = {
            sp.exp: lambda: expm1(a),
            sp.cos: lambda: -2 * sp.sin(a / 2) ** 2,
            sp.cosh: lambda: 2 * sp.sinh(a / 2) ** 2,
        }[type(inner)]()
        return factor * small + factor

    return sp.Add(*(about_one(t) for t in e.args))


def _complemented(e: sp.Add) -> sp.Expr:
    """The sum with every logistic, tanh and erf below its limit one."""

    def below_one(term: sp.Expr) -> sp.Expr:
        for f in sp.Mul.make_args(term):
            a = f.args[0] if f.args else f
            if isinstance(f, Logistic):
                return term / f * (1 - Logistic(-a))
            if isinstance(f, sp.tanh):
                return term / f * (1 - 2 * Logistic(-2 * a))
            if isinstance(f, sp.erf):
                return term / f * (1 - Erfc(a))
        return term

    return sp.expand(sp.Add(*(below_one(t) for t in e.args)), deep=False)


def _pairs(one: sp.Expr, other: sp.Expr) -> Iterator[sp.Expr]:
    """Two terms as one."""
    for first, second in ((one, other), (other, one)):
        factor, left, right = _difference(first, second)
        if left is None or right is None:
            continue
        for found in _differences(left, right):
            yield factor * found
    squares = _squares(one, other)
    if squares is not None:
        yield squares
    if not one.is_number or not other.is_number:
        whole = sp.together(one + other)
        if whole.is_Mul or whole.is_Pow:
            yield whole
            yield _factored(whole)


def _difference(first: sp.Expr, second: sp.Expr) -> tuple[sp.Expr, sp.Expr | None, sp.Expr | None]:
    """(c, f, g) with first + second = c (f − g), f and g functions or numbers, one of them no
    number.
    """
    c, f = _function(first)
    k, g = _function(second)
    if f is None:
        return c, None, None
    if g is None:
        ratio = sp.cancel(-second / c)
        return (c, f, ratio) if ratio.is_number else (c, None, None)
    if sp.expand(c + k) == 0:
        return c, f, g
    if isinstance(f, sp.exp) and isinstance(g, sp.exp):
        ratio = -k / c
        if ratio.is_positive:
            return c, f, sp.exp(g.args[0] + sp.log(ratio))
    return c, None, None


_DIFFERENT = (
    sp.exp, sp.log, sp.cos, sp.cosh, sp.sin, sp.sinh, sp.tan, sp.tanh, sp.atan, sp.asinh, sp.erf,
    Logistic, Softplus, log1p, expm1,
)  # fmt: skip


def _function(term: sp.Expr) -> tuple[sp.Expr, sp.Expr | None]:
    """(c, f) with term = c f: f a function of the table, or a root."""
    for f in sp.Mul.make_args(term):
        root = f.is_Pow and f.exp == _HALF
        if isinstance(f, _DIFFERENT) or root or (f.is_Pow and not f.exp.is_Integer):
            return term / f, f
    return term, None


def _differences(f: sp.Expr, g: sp.Expr) -> Iterator[sp.Expr]:
    """f − g without the cancellation near f = g."""
    if g.is_number:
        yield from _from_number(f, g)
        return
    if f.is_Pow and g.is_Pow and f.exp == g.exp == _HALF:
        yield _factored(f.base - g.base) / (f + g)
        return
    if type(f) is not type(g):
        return
    a, b = f.args[0], g.args[0]
    up, down = (a + b) / 2, (a - b) / 2
    up, down = sp.expand(up), sp.expand(down)
    if isinstance(f, expm1):
        yield sp.exp(b) * expm1(sp.expand(a - b))
    elif isinstance(f, sp.exp):
        yield g * expm1(sp.expand(a - b))
        yield 2 * sp.exp(up) * sp.sinh(down)
    elif isinstance(f, sp.cos):
        yield -2 * sp.sin(up) * sp.sin(down)
    elif isinstance(f, sp.sin):
        yield 2 * sp.cos(up) * sp.sin(down)
    elif isinstance(f, sp.cosh):
        yield 2 * sp.sinh(up) * sp.sinh(down)
    elif isinstance(f, sp.sinh):
        yield 2 * sp.cosh(up) * sp.sinh(down)
    elif isinstance(f, sp.tanh):
        yield sp.sinh(2 * down) / (sp.cosh(a) * sp.cosh(b))
        yield 2 * expm1(4 * down) * Logistic(-2 * a) * Logistic(2 * b)
    elif isinstance(f, sp.tan):
        yield sp.sin(2 * down) / (sp.cos(a) * sp.cos(b))
    elif isinstance(f, Logistic):
        yield expm1(2 * down) * Logistic(-a) * Logistic(b)
    elif isinstance(f, sp.atan):
        yield sp.atan(_factored(a - b) / (1 + a * b))
    elif isinstance(f, sp.asinh):
        below = a * sp.sqrt(1 + b**2) + b * sp.sqrt(1 + a**2)
        yield sp.asinh(_factored(a**2 - b**2) / below)
        yield sp.asinh(a * sp.sqrt(1 + b**2) - b * sp.sqrt(1 + a**2))
    elif isinstance(f, sp.log):
        if a.is_positive and b.is_positive:
            yield LogRatio(_factored(a - b), b, a)
        yield log1p(_factored(a - b) / b)
    elif isinstance(f, log1p):
        yield log1p(_factored(a - b) / (1 + b))
    elif isinstance(f, sp.erf):
        yield Erfc(b) - Erfc(a)
        yield Erfc(-a) - Erfc(-b)
    elif isinstance(f, Softplus):
        yield log1p(expm1(2 * down) * Logistic(b))


def _from_number(f: sp.Expr, g: sp.Expr) -> Iterator[sp.Expr]:
    """f less a number that it takes somewhere, or tends to."""
    if f.is_Pow:
        base, power = f.as_base_exp()
        if power == _HALF:
            yield sp.expand(base - g**2) / (f + g)
        elif g == 1:
            if base.is_positive:
                yield expm1(power * sp.log(base))
            yield expm1(power * log1p(sp.expand(base - 1)))
        return
    a = f.args[0]
    if isinstance(f, sp.exp):
        if g == 1:
            yield expm1(a)
        elif g.is_positive:
            yield g * expm1(a - sp.log(g))
    elif isinstance(f, sp.cos):
        if g == 1:
            yield -2 * sp.sin(a / 2) ** 2
        elif g == -1:
            yield 2 * sp.cos(a / 2) ** 2
    elif isinstance(f, sp.cosh) and g == 1:
        yield 2 * sp.sinh(a / 2) ** 2
    elif isinstance(f, sp.sin) and abs(g) == 1:
        yield -2 * g * sp.sin(sp.pi / 4 - g * a / 2) ** 2
    elif isinstance(f, sp.tanh) and abs(g) == 1:
        yield -2 * g * Logistic(-2 * g * a)
    elif isinstance(f, Logistic):
        if g == 1:
            yield -Logistic(-a)
        elif g == _HALF:
            yield sp.tanh(a / 2) / 2
    elif isinstance(f, sp.erf) and abs(g) == 1:
        yield -g * Erfc(g * a)
    elif isinstance(f, sp.atan) and abs(g) == sp.pi / 2:
        yield -sp.atan(1 / a)
    elif isinstance(f, sp.log) and g.is_real:
        yield log1p(sp.expand(a / sp.exp(g) - 1))
    elif isinstance(f, Softplus) and g == sp.log(2):
        yield log1p(expm1(a) / 2)


def _squares(one: sp.Expr, other: sp.Expr) -> sp.Expr | None:
    """c (s² − t²) as a product, and 1 − tanh², 1 − sin² and their kin as one square."""
    for first, second in ((one, other), (other, one)):
        for f in sp.Mul.make_args(first):
            if not (f.is_Pow and f.exp == 2 and isinstance(f.base, sp.Function)):
                continue
            c, s = first / f, f.base
            ratio = sp.cancel(-second / c)
            if ratio == 1:
                a = s.args[0]
                if isinstance(s, sp.tanh):
                    return -c / sp.cosh(a) ** 2
                if isinstance(s, sp.sin):
                    return -c * sp.cos(a) ** 2
                if isinstance(s, sp.cos):
                    return -c * sp.sin(a) ** 2
                if isinstance(s, sp.cosh):
                    return c * sp.sinh(a) ** 2
    return None


def _whole(e: sp.Add) -> Iterator[sp.Expr]:
    """The whole sum as a product or a quotient, where it is one, or expanded."""
    if sp.count_ops(e) > 120:
        return
    for found in (_factored(e), _factored(sp.together(e)), sp.expand(e)):
        yield found
        if found.is_Mul:
            yield from _factors(found)
    roots = [t for t in e.args if _has_root(t)]
    if len(roots) == 1:  # a − √b = (a² − b)/(a + √b)
        (root,) = roots
        rest = e - root
        yield _factored(sp.expand(rest**2 - root**2)) / (rest - root)


_MOST_GENERATORS = 6
"""Symbols and functions of a sum that is factored: with more SymPy can search for hours."""


def _factored(e: sp.Expr) -> sp.Expr:
    """The factors of an expression, or itself where finding them may take too long.

    >>> x, y = sp.symbols("x y")
    >>> _factored(x**2 - y**2)
    (x - y)*(x + y)
    """
    generators = e.atoms(sp.Symbol, sp.Function, sp.exp)
    return sp.factor(e) if len(generators) <= _MOST_GENERATORS else e


def _factors(e: sp.Mul) -> Iterator[sp.Expr]:
    """A product with one of its sums in another form."""
    for f in e.args:
        base, power = f.as_base_exp()
        if base.is_Add and power.is_Integer and len(base.args) <= 3:
            rest = sp.Mul(*(g for g in e.args if g is not f))
            for one, other in itertools.combinations(base.args, 2):
                left = [t for t in base.args if t is not one and t is not other]
                for pair in _pairs(one, other):
                    yield rest * sp.Add(*left, pair) ** power


def _has_root(term: sp.Expr) -> bool:
    return any(f.is_Pow and f.exp == _HALF for f in sp.Mul.make_args(term))


# ------------------------------------------------------------------------------ logarithms


def _logarithms(inner: sp.Expr) -> Iterator[sp.Expr]:
    """log(inner) near inner = 1, and where what is inside leaves double precision."""
    if inner.is_Add:
        terms = inner.args
        number = inner.as_coeff_Add()[0]
        exps = [t for t in terms if _exponent(t) is not None]
        if len(terms) == 2 and exps:
            yield from _log_of_two(terms[0], terms[1])
        yield log1p(_about_one(inner))
        if len(terms) == 2 and number == 0:
            a, b = terms
            for top, below in ((a, b), (b, a)):
                if below.is_positive:
                    yield sp.log(below) + log1p(top / below)
    elif isinstance(inner, sp.cosh):
        a = inner.args[0]
        yield log1p(2 * sp.sinh(a / 2) ** 2)
        yield Softplus(2 * a) - a - sp.log(2)
        yield Softplus(-2 * a) + a - sp.log(2)
    elif isinstance(inner, sp.sinh):
        a = inner.args[0]
        yield SoftplusInverse(2 * a) - a - sp.log(2)
    elif isinstance(inner, sp.cos):
        yield log1p(-2 * sp.sin(inner.args[0] / 2) ** 2)
    elif isinstance(inner, sp.tanh):
        a = inner.args[0]
        yield log1p(-2 * Logistic(-2 * a))
    elif isinstance(inner, expm1):
        yield SoftplusInverse(inner.args[0])
    elif isinstance(inner, sp.erfc | Erfc):
        yield LogErfc(inner.args[0])
    elif isinstance(inner, Logistic):
        yield -Softplus(-inner.args[0])
    elif inner.is_Mul or inner.is_Pow:
        yield sp.expand_log(sp.log(inner), force=False)
        up, down = sp.fraction(inner)
        if down != 1:
            if up.is_positive and down.is_positive:
                yield LogRatio(_factored(sp.expand(up - down)), down, up)
            yield log1p(_factored(sp.expand(up - down)) / down)
        if inner.is_Pow and inner.base.is_positive:
            yield inner.exp * sp.log(inner.base)


def _about_one(inner: sp.Expr) -> sp.Expr:
    """inner − 1, what is in it taken about one."""
    less = sp.expand(inner - 1, power_exp=False, power_base=False)
    return _centred(less) if less.is_Add else less


def _exponent(term: sp.Expr) -> sp.Expr | None:
    """a of a positive term eᵃ; None where it is no such power."""
    c, rest = term.as_coeff_Mul()
    if c.is_positive and isinstance(rest, sp.exp):
        return rest.args[0] + sp.log(c)
    return None


def _log_of_two(one: sp.Expr, other: sp.Expr) -> Iterator[sp.Expr]:
    """log(eᵃ ± eᵇ)."""
    for first, second in ((one, other), (other, one)):
        a = _exponent(first)
        b = sp.log(second) if second.is_positive and second.is_number else _exponent(second)
        if a is not None and b is not None:
            yield b + Softplus(a - b)
        lower = (
            sp.log(-second) if second.is_number and (-second).is_positive else (_exponent(-second))
        )
        if a is not None and lower is not None:
            yield lower + SoftplusInverse(a - lower)
            yield a + log1p(-sp.exp(lower - a))
            yield a + sp.log(-expm1(lower - a))


# ------------------------------------------------------------------------------ products


def _products(e: sp.Mul) -> Iterator[sp.Expr]:
    """Products that overflow on the way: eᵃ eᵇ, and eᵃ/(1 + eᵃ)."""
    powers = [f for f in e.args if isinstance(f, sp.exp)]
    for f in e.args:
        base, power = f.as_base_exp()
        if (
            power.is_Integer
            and power < 0
            and base.is_Add
            and len(base.args) == 2
            and 1 in base.args
        ):
            (other,) = (t for t in base.args if t != 1)
            if isinstance(other, sp.exp):
                a = other.args[0]
                rest = sp.Mul(*(g for g in e.args if g is not f))
                yield rest * Logistic(-a) ** (-power)
                for p in powers:
                    ratio = sp.cancel(p.args[0] / a)
                    if ratio.is_Integer and 0 < ratio <= -power:
                        kept = sp.Mul(*(g for g in e.args if g is not f and g is not p))
                        yield kept * Logistic(a) ** ratio * Logistic(-a) ** (-power - ratio)
    if len(powers) == 1:
        for f in e.args:
            if isinstance(f, sp.cosh | sp.sinh):
                (p,) = powers
                rest = sp.Mul(*(g for g in e.args if g is not f and g is not p))
                sign = 1 if isinstance(f, sp.cosh) else -1
                both = sp.exp(p.args[0] + f.args[0]) + sign * sp.exp(p.args[0] - f.args[0])
                yield rest * both / 2
