r"""Functions that maps are made of and that need a stable kernel of their own.

In: expressions. Out: opaque SymPy functions with their own derivatives, which no rule of SymPy
expands; :func:`spelled_out` writes them in exp and log. Used by the named charts, and by name in
what a user writes (``softplus``, ``logistic``, ``erfc``).
"""

from __future__ import annotations

from collections.abc import Callable

import mpmath
import sympy as sp
from sympy.core.function import ArgumentIndexError

__all__ = ["Erfc", "LogTotal", "Logistic", "Softplus", "SoftplusInverse", "spelled_out"]


class Softplus(sp.Function):
    """log(1 + eˣ), which neither overflows nor loses its digits where it is small.

    >>> x = sp.Symbol("x")
    >>> sp.diff(Softplus(x), x), Softplus(0)
    (Logistic(x), log(2))
    """

    @classmethod
    def eval(cls, x: sp.Expr) -> sp.Expr | None:
        """Numbers only."""
        return sp.log(2) if x == 0 else None

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        """The logistic function."""
        return Logistic(self.args[0])

    def _eval_rewrite_as_log(self, x: sp.Expr, **_: object) -> sp.Expr:
        return sp.log(1 + sp.exp(x))

    def _eval_evalf(self, prec: int) -> sp.Expr:
        return _evaluated(self, prec)

    def _eval_is_extended_positive(self) -> bool | None:
        return True if self.args[0].is_extended_real else None

    def _eval_is_real(self) -> bool | None:
        return True if self.args[0].is_real else None

    def _latex(self, printer, exp: str | None = None) -> str:  # type: ignore[no-untyped-def]
        power = f"^{{{exp}}}" if exp else ""
        return rf"\log{power}\left(1 + e^{{{printer._print(self.args[0])}}}\right)"


class Logistic(sp.Function):
    """1/(1 + e⁻ˣ), to its digits in both tails.

    >>> x = sp.Symbol("x")
    >>> sp.diff(Logistic(x), x)
    Logistic(-x)*Logistic(x)
    """

    @classmethod
    def eval(cls, x: sp.Expr) -> sp.Expr | None:
        """Numbers only."""
        return sp.Rational(1, 2) if x == 0 else None

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        """The product of both tails."""
        return Logistic(self.args[0]) * Logistic(-self.args[0])

    def _eval_rewrite_as_exp(self, x: sp.Expr, **_: object) -> sp.Expr:
        return 1 / (1 + sp.exp(-x))

    def _eval_evalf(self, prec: int) -> sp.Expr:
        return _evaluated(self, prec)

    def _eval_is_extended_positive(self) -> bool | None:
        return True if self.args[0].is_extended_real else None

    def _eval_is_real(self) -> bool | None:
        return True if self.args[0].is_real else None

    def _latex(self, printer, exp: str | None = None) -> str:  # type: ignore[no-untyped-def]
        power = f"^{{{exp}}}" if exp else ""
        return rf"\frac{{1}}{{1 + e^{{{printer._print(-self.args[0])}}}}}{power}"


class SoftplusInverse(sp.Function):
    """log(eʸ − 1) for y > 0: the x with log(1 + eˣ) = y.

    >>> y = sp.Symbol("y")
    >>> sp.diff(SoftplusInverse(y), y)
    1/Logistic(SoftplusInverse(y))
    """

    @classmethod
    def eval(cls, y: sp.Expr) -> sp.Expr | None:
        """The inverse of softplus, where that stands inside."""
        return y.args[0] if isinstance(y, Softplus) else None

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        """One over the slope of softplus there."""
        return 1 / Logistic(self)

    def _eval_rewrite_as_log(self, y: sp.Expr, **_: object) -> sp.Expr:
        return sp.log(sp.exp(y) - 1)

    def _eval_evalf(self, prec: int) -> sp.Expr:
        return _evaluated(self, prec)

    def _latex(self, printer, exp: str | None = None) -> str:  # type: ignore[no-untyped-def]
        power = f"^{{{exp}}}" if exp else ""
        return rf"\log{power}\left(e^{{{printer._print(self.args[0])}}} - 1\right)"


class LogTotal(sp.Function):
    """log(1 + Σ_j exp(a_j)): what the softmax of (a_1, …, a_n, 0) divides by, as a logarithm.

    >>> a, b = sp.symbols("a b")
    >>> sp.diff(LogTotal(a, b), b)
    exp(b - LogTotal(a, b))
    """

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        """The softmax."""
        if not 1 <= argindex <= len(self.args):
            raise ArgumentIndexError(self, argindex)
        return sp.exp(self.args[argindex - 1] - self)

    def _eval_is_real(self) -> bool | None:
        return True if all(a.is_real for a in self.args) else None

    def _eval_rewrite_as_log(self, *args: sp.Expr, **_: object) -> sp.Expr:
        return sp.log(1 + sp.Add(*(sp.exp(a) for a in args)))

    def _eval_evalf(self, prec: int) -> sp.Expr:
        return _evaluated(self, prec)

    def _latex(self, printer, exp: str | None = None) -> str:  # type: ignore[no-untyped-def]
        inner = " + ".join(rf"e^{{{printer._print(a)}}}" for a in self.args)
        power = f"^{{{exp}}}" if exp else ""
        return rf"\log{power}\left(1 + {inner}\right)"


class Erfc(sp.Function):
    """1 − erf(x), to its digits in the right tail.

    SymPy's own writes erfc(−x) as 2 − erfc(x), which is all rounding where erfc(−x) is small; this
    one stays as it is written.

    >>> x = sp.Symbol("x")
    >>> sp.diff(Erfc(-x), x), Erfc(0)
    (2*exp(-x**2)/sqrt(pi), 1)
    """

    kernel_name = "erfc"

    @classmethod
    def eval(cls, x: sp.Expr) -> sp.Expr | None:
        """At zero only."""
        return sp.Integer(1) if x == 0 else None

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        """The slope, a Gaussian."""
        return -2 * sp.exp(-(self.args[0] ** 2)) / sp.sqrt(sp.pi)

    def _eval_rewrite_as_erf(self, x: sp.Expr, **_: object) -> sp.Expr:
        return 1 - sp.erf(x)

    def _eval_evalf(self, prec: int) -> sp.Expr:
        return _evaluated(self, prec)

    def _eval_is_extended_positive(self) -> bool | None:
        return True if self.args[0].is_extended_real else None

    def _eval_is_real(self) -> bool | None:
        return True if self.args[0].is_real else None

    def _sympystr(self, printer) -> str:  # type: ignore[no-untyped-def]
        return f"erfc({printer._print(self.args[0])})"

    def _mpmathcode(self, printer) -> str:  # type: ignore[no-untyped-def]
        return f"{printer._module_format('mpmath.erfc')}({printer._print(self.args[0])})"

    def _latex(self, printer, exp: str | None = None) -> str:  # type: ignore[no-untyped-def]
        power = f"^{{{exp}}}" if exp else ""
        return rf"\operatorname{{erfc}}{power}\left({printer._print(self.args[0])}\right)"


def spelled_out(expression: sp.Expr) -> sp.Expr:
    """The expression in exp and log alone.

    >>> spelled_out(Logistic(sp.Symbol("x")))
    1/(1 + exp(-x))
    """
    for kind, target in (
        (SoftplusInverse, sp.log),
        (Softplus, sp.log),
        (Logistic, sp.exp),
        (LogTotal, sp.log),
    ):
        if expression.has(kind):
            expression = expression.rewrite(kind, target)
    return expression


_NUMBERS: dict[str, Callable[..., mpmath.mpf]] = {
    "Softplus": lambda x: mpmath.log1p(mpmath.exp(x)),
    "Logistic": lambda x: 1 / (1 + mpmath.exp(-x)),
    "SoftplusInverse": lambda y: mpmath.log(mpmath.expm1(y)),
    "Erfc": mpmath.erfc,
    "LogTotal": lambda *a: mpmath.log1p(mpmath.fsum(mpmath.exp(v) for v in a)),
}


def _evaluated(value: sp.Expr, prec: int) -> sp.Expr:
    """The value to ``prec`` bits, in forms that do not cancel."""
    spare = 20
    for _ in range(3):
        args = [a._evalf(prec + spare) for a in value.args]
        if not all(a.is_Float or a.is_Rational for a in args):
            return value.func(*args)
        with mpmath.workprec(prec + spare):
            found = _NUMBERS[type(value).__name__](*(a._to_mpmath(prec + spare) for a in args))
            lost = -mpmath.mag(found) if found and isinstance(value, SoftplusInverse) else 0
        if lost + 10 <= spare:
            break
        spare = lost + 20  # near y = log 2 the value is small beside its argument
    return sp.Float(found, precision=prec)
