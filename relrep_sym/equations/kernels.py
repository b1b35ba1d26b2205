"""Functions that have a kernel of their own, and how a log-density comes to be written in them.

In: a SymPy expression in the language's functions. Out: the same value in nodes that name a kernel
of :mod:`relrep_sym.runtime.special` (``kernel_name``), or a refusal that names the function. Each
node has its own derivative, so that what is written stably stays so when it is differentiated:
log(1 + eᵃ) is a :class:`~relrep_sym.declare.functions.Softplus` and its slope a logistic function,
not a quotient of infinities.
"""

from __future__ import annotations

from functools import partial

import sympy as sp
from sympy.codegen.cfunctions import expm1, log1p

from relrep_sym.declare.density import Family
from relrep_sym.declare.functions import Erfc, Logistic, LogTotal, Softplus, SoftplusInverse
from relrep_sym.declare.support import Support
from relrep_sym.equations.special_nodes import Choice, LogErfc, LogErfcx, LogGammaRatio
from relrep_sym.errors import DeclarationError, problem

__all__ = [
    "StirlingRemainder",
    "insist_kernels",
    "stable",
    "stable_density",
    "with_kernels",
]


class StirlingRemainder(sp.Function):
    """s(x) = log Γ(x + 1) − x log x + x, with s(0) = 0: what Stirling's formula leaves, O(log
    x).
    """

    kernel_name = "stirling_remainder"

    def _eval_rewrite_as_loggamma(self, x: sp.Expr, **_: object) -> sp.Expr:
        return sp.loggamma(x + 1) - x * sp.log(x) + x


class _LogGamma(sp.Function):
    kernel_name = "log_gamma"


class _Digamma(sp.Function):
    kernel_name = "digamma"


class _Trigamma(sp.Function):
    kernel_name = "trigamma"


class _Gamma(sp.Function):
    kernel_name = "gamma"


class _Erf(sp.Function):
    kernel_name = "erf"


class _Sign(sp.Function):
    kernel_name = "sign"


_KERNELS: dict[type, type[sp.Function]] = {
    sp.loggamma: _LogGamma,
    sp.gamma: _Gamma,
    sp.erf: _Erf,
    sp.erfc: Erfc,
    sp.sign: _Sign,
}
_PLAIN = (sp.exp, sp.log, log1p, sp.Abs, sp.sin, sp.cos, sp.tan, sp.sinh, sp.cosh, sp.tanh)
_KNOWN = (
    *_PLAIN, expm1, sp.asinh, sp.atan, Softplus, Logistic, LogTotal, SoftplusInverse, Choice,
)  # fmt: skip


def stable(expression: sp.Expr) -> sp.Expr:
    """A log-density in functions that keep its digits; to be differentiated afterwards.

    Logarithms of 1 + eᵃ, 1 + uᵃ and cosh become :class:`Softplus`, those of 1 ± erf a
    :class:`LogErfc`, differences of two log Γ a :class:`LogGammaRatio`.

    >>> a = sp.Symbol("a", real=True)
    >>> stable(-a - 2 * sp.log(1 + sp.exp(-a)))
    -a - 2*Softplus(-a)
    >>> stable(sp.log(1 / (1 + sp.exp(-a)))), stable(sp.log(1 + sp.erf(a)))
    (-Softplus(-a), LogErfc(-a))
    """

    def softened(inner: sp.Expr) -> sp.Expr:
        if isinstance(inner, sp.cosh):
            a = inner.args[0]
            return Softplus(2 * a) - a - sp.log(2)
        if inner.is_Add and len(inner.args) == 2 and 1 in inner.args:
            (other,) = (t for t in inner.args if t != 1)
            if isinstance(other, sp.exp):
                return Softplus(other.args[0])
            if other.is_Pow and not other.exp.is_number:  # real only where the base is not negative
                return Softplus(other.exp * sp.log(other.base))
        if inner.is_Pow and inner.exp.is_Rational and inner.base.is_positive:
            return inner.exp * softened(inner.base)
        factor, rest = _complement_of(inner)
        if rest is not None:
            return (sp.log(factor) if factor != 1 else 0) + LogErfc(rest)
        return sp.log(inner)

    out: sp.Expr = expression.replace(sp.log, softened)
    return _scaled(_gamma_ratios(out))


def stable_density(family: Family) -> sp.Expr:
    """A family's log-density in functions that keep its digits on its support.

    >>> from relrep_sym.declare.family import family_named
    >>> stable_density(family_named("poisson"))
    -rate + x*log(rate) - loggamma(x + 1)
    """
    if family.support == "line":
        return stable(family.log_density)
    above = family.support in ("half-line", "integers") or _starts(family.support) >= 0
    x = sp.Symbol("x", nonnegative=True) if above else family.x
    return stable(family.log_density.xreplace({family.x: x})).xreplace({x: family.x})


def _starts(support: Support) -> float:
    """The lower end of an interval or a finite set."""
    values = support[1] if support[0] == "finite" else support[1:]
    return float(min(values))


def _complement_of(inner: sp.Expr) -> tuple[sp.Expr, sp.Expr | None]:
    """(c, a) with inner = c (1 − erf a), c > 0 of known sign; (inner, None) where it is not so."""
    factors = sp.Mul.make_args(inner)
    for f in factors:
        number, form = _complement(f) if _is_complement(f) else (sp.Integer(1), f)
        if not isinstance(form, Erfc | sp.erfc):
            continue
        rest = number * sp.Mul(*(g for g in factors if g is not f))
        if rest.is_positive:
            return rest, form.args[0]
    return inner, None


def _gamma_ratios(expression: sp.Expr) -> sp.Expr:
    """The expression with log Γ(b + d) − log Γ(b) as one ratio wherever d is simpler than b + d."""

    def paired(total: sp.Add) -> sp.Expr:
        terms = list(total.args)
        logs = [t for t in terms if isinstance(t.as_coeff_Mul()[1], sp.loggamma)]
        for up in logs:
            for down in logs:
                (c, one), (k, other) = up.as_coeff_Mul(), down.as_coeff_Mul()
                difference = sp.expand(one.args[0] - other.args[0])
                simple = difference.is_Symbol or difference.is_Rational
                if c == -k and simple and difference.is_nonnegative and other.args[0].is_positive:
                    rest = sp.Add(*(t for t in terms if t not in (up, down)))
                    ratio = LogGammaRatio(difference, other.args[0], one.args[0])
                    return _gamma_ratios(rest) + c * ratio
        return total

    return (
        expression.replace(lambda e: e.is_Add, paired)
        if expression.has(sp.loggamma)
        else (expression)
    )


def _scaled(expression: sp.Expr) -> sp.Expr:
    """The expression with exp(−a²) taken out of 1 − erf a, where a > 0 and where it cancels.

    log(1 − erf a) = −a² + log erfcx(a): where the square is a part of the rest, as in a truncated
    normal density, what is left of it holds no large terms.
    """
    for term in sp.Add.make_args(expression):
        c, log = term.as_coeff_Mul()
        if not isinstance(log, LogErfc):
            continue
        a = log.args[0]
        rest = sp.expand(expression - term)
        moved = sp.expand(rest - c * a**2)
        if len(sp.Add.make_args(moved)) < len(sp.Add.make_args(rest)):
            return Choice(a, moved + c * LogErfcx(a), expression)
    return expression


def with_kernels(expression: sp.Expr) -> sp.Expr:
    """The expression in functions with kernels, log(1 + a) as log1p(a), 1 + erf(a) and 2 − erfc(a)
    as erfc(−a).

    Raises DeclarationError for a function without a kernel, and names it.

    >>> s = sp.Symbol("s", positive=True)
    >>> with_kernels(sp.log(1 + s**2) + sp.digamma(s))
    _Digamma(s) + log1p(s**2)
    """

    def logarithm(inner: sp.Expr) -> sp.Expr:
        if inner.is_Add and 1 in inner.args:
            return log1p(inner - 1)
        return sp.log(inner)

    def polygamma(order: sp.Expr, inner: sp.Expr) -> sp.Expr:
        if inner.is_number:
            return sp.polygamma(order, inner)
        if order == 0:
            return _Digamma(inner)
        return _Trigamma(inner) if order == 1 else sp.polygamma(order, inner)

    def complement(whole: sp.Expr) -> sp.Expr:
        number, form = _complement(whole)
        return number * form

    out = expression.replace(_is_complement, complement)
    out = out.replace(sp.polygamma, polygamma)
    for known, kernel in _KERNELS.items():
        out = out.replace(partial(_varies, known), lambda e, kernel=kernel: kernel(*e.args))
    out = out.replace(sp.log, logarithm)
    insist_kernels(out, "an expression")
    return out


def _complement(whole: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """(c, f) with c f for n ± n erf a, n − n erfc a and 2n − n erfc a: f an erf or an erfc."""
    number, part = whole.as_coeff_Add()
    factor, inner = part.as_coeff_Mul()
    a = inner.args[0]
    if isinstance(inner, Erfc):
        return (number, sp.erf(a)) if factor == -number else (-factor, Erfc(-a))
    return number, Erfc(-a if factor == number else a)


def _varies(kind: type[sp.Function], e: sp.Expr) -> bool:
    """Whether it is such a function of something else than numbers, whose value SymPy knows."""
    return isinstance(e, kind) and bool(e.free_symbols)


def _is_complement(e: sp.Expr) -> bool:
    """Whether it is a number times 1 ± erf a, 1 − erfc a or 2 − erfc a, which cancel far out."""
    if not e.is_Add:
        return False
    number, part = e.as_coeff_Add()
    factor, inner = part.as_coeff_Mul()
    if isinstance(inner, Erfc):
        return number != 0 and factor in (-number, -number / 2)
    return isinstance(inner, sp.erf) and number != 0 and abs(factor) == abs(number)


def insist_kernels(expression: sp.Expr, what: str) -> None:
    """Raise DeclarationError where a function in the expression has no kernel."""
    for call in sorted(expression.atoms(sp.Function), key=sp.default_sort_key):
        kind = type(call)
        known = kind in _KERNELS or kind in _KNOWN or hasattr(kind, "kernel_name")
        if not known and not (kind is sp.polygamma and call.args[0] in (0, 1)):
            right = (
                "exp log sqrt sin cos tan sinh cosh tanh asinh atan abs sign erf erfc gamma "
                "loggamma digamma trigamma"
            )
            raise DeclarationError(
                problem(f"{what} needs {kind.__name__}, which has no kernel", str(call), right)
            )
