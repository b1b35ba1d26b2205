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
from sympy.codegen.cfunctions import log1p

from relrep_sym.declare.functions import Erfc, Logistic, Softplus
from relrep_sym.errors import DeclarationError, problem

__all__ = [
    "LogGammaRatio",
    "LogRatio",
    "StirlingRemainder",
    "insist_kernels",
    "stable",
    "with_kernels",
]


class LogRatio(sp.Function):
    """log(whole/base) with whole = base + difference, to its digits whichever of them is small.

    Its arguments are the difference, the base and the whole.
    """

    kernel_name = "log_ratio"

    def _eval_rewrite_as_log(
        self, difference: sp.Expr, base: sp.Expr, whole: sp.Expr, **_: object
    ) -> sp.Expr:
        return sp.log(whole) - sp.log(base)


class LogGammaRatio(sp.Function):
    """log Γ(whole) − log Γ(base), to its digits; arguments as in :class:`LogRatio`."""

    kernel_name = "log_gamma_ratio"

    def _eval_rewrite_as_loggamma(
        self, difference: sp.Expr, base: sp.Expr, whole: sp.Expr, **_: object
    ) -> sp.Expr:
        return sp.loggamma(whole) - sp.loggamma(base)


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
    sp.sign: _Sign,
}
_PLAIN = (sp.exp, sp.log, log1p, sp.Abs, sp.sin, sp.cos, sp.tan, sp.sinh, sp.cosh, sp.tanh)
_KNOWN = (*_PLAIN, sp.asinh, sp.atan, Softplus, Logistic)


def stable(expression: sp.Expr) -> sp.Expr:
    """Logarithms of 1 + eᵃ, 1 + uᵃ and cosh as :class:`Softplus`; to be differentiated afterwards.

    >>> a = sp.Symbol("a", real=True)
    >>> stable(-a - 2 * sp.log(1 + sp.exp(-a)))
    -a - 2*Softplus(-a)
    >>> stable(sp.log(1 / (1 + sp.exp(-a))))
    -Softplus(-a)
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
        return sp.log(inner)

    out: sp.Expr = expression.replace(sp.log, softened)
    return out


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
        number, part = whole.as_coeff_Add()
        factor, inner = part.as_coeff_Mul()
        if isinstance(inner, Erfc):  # n − n erfc a = n erf a, 2n − n erfc a = n erfc(−a)
            return (
                number * sp.erf(inner.args[0])
                if factor == -number
                else -factor * Erfc(-inner.args[0])
            )
        sign = -1 if factor == number else 1
        return number * Erfc(sign * inner.args[0])

    out = expression.replace(_is_complement, complement)
    out = out.replace(sp.polygamma, polygamma)
    for known, kernel in _KERNELS.items():
        out = out.replace(partial(_varies, known), lambda e, kernel=kernel: kernel(*e.args))
    out = out.replace(sp.log, logarithm)
    insist_kernels(out, "an expression")
    return out


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
