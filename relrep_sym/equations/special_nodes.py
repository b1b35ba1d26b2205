"""Functions of truncated and counting densities that keep their digits, each with its derivative.

In: expressions. Out: opaque SymPy functions that name a kernel of the runtime (``kernel_name``),
which no rule of SymPy expands. Derivatives stay in these functions, so that what is written
without cancellation stays so when it is differentiated.
"""

from __future__ import annotations

import sympy as sp
from sympy.core.function import ArgumentIndexError

__all__ = [
    "Choice",
    "DigammaDifference",
    "ErfcBend",
    "ErfcExcess",
    "ErfcHazard",
    "LogErfc",
    "LogErfcx",
    "LogGammaRatio",
    "LogRatio",
    "TrigammaDifference",
]


class Choice(sp.Function):
    """``Choice(z, a, b)``: a where z > 0, else b, for two forms of one function.

    >>> z, s = sp.symbols("z s")
    >>> sp.diff(Choice(z, s**2, s * s), s)
    Choice(z, 2*s, 2*s)
    """

    def _eval_derivative(self, s: sp.Symbol) -> sp.Expr:
        z, one, other = self.args
        first, second = one.diff(s), other.diff(s)
        return sp.Integer(0) if first == 0 == second else Choice(z, first, second)

    def _eval_is_real(self) -> bool | None:
        return True if all(a.is_real for a in self.args) else None


class LogErfc(sp.Function):
    """log(1 − erf a)."""

    kernel_name = "log_erfc"

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        """Minus the hazard."""
        return -ErfcHazard(self.args[0])

    def _eval_rewrite_as_log(self, a: sp.Expr, **_: object) -> sp.Expr:
        return sp.log(sp.erfc(a))


class LogErfcx(sp.Function):
    """a² + log(1 − erf a)."""

    kernel_name = "log_erfcx"

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        """Minus the excess."""
        return -ErfcExcess(self.args[0])

    def _eval_rewrite_as_log(self, a: sp.Expr, **_: object) -> sp.Expr:
        return a**2 + sp.log(sp.erfc(a))


class ErfcHazard(sp.Function):
    """h(a) = −d log erfc(a)/da.

    >>> a = sp.Symbol("a")
    >>> sp.diff(LogErfc(a), a, 2)
    -ErfcExcess(a)*ErfcHazard(a)
    """

    kernel_name = "erfc_hazard"

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        """Hazard times excess: h′ = h (h − 2a)."""
        return self * ErfcExcess(self.args[0])

    def _eval_rewrite_as_exp(self, a: sp.Expr, **_: object) -> sp.Expr:
        return 2 * sp.exp(-(a**2)) / (sp.sqrt(sp.pi) * sp.erfc(a))


class ErfcExcess(sp.Function):
    """e(a) = h(a) − 2a, the hazard beyond its asymptote."""

    kernel_name = "erfc_excess"

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        """e′ = h e − 2, which has a kernel of its own."""
        return ErfcBend(self.args[0])

    def _eval_rewrite_as_exp(self, a: sp.Expr, **_: object) -> sp.Expr:
        return ErfcHazard(a).rewrite(sp.exp) - 2 * a


class ErfcBend(sp.Function):
    """e′(a)."""

    kernel_name = "erfc_bend"

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        """e″ = h′ e + h e′."""
        a = self.args[0]
        return ErfcHazard(a) * (ErfcExcess(a) ** 2 + self)

    def _eval_rewrite_as_exp(self, a: sp.Expr, **_: object) -> sp.Expr:
        hazard = ErfcHazard(a).rewrite(sp.exp)
        return hazard * (hazard - 2 * a) - 2


class LogRatio(sp.Function):
    """log(whole/base) with whole = base + difference, to its digits whichever of them is small.

    Its arguments are the difference, the base and the whole; the whole is a function of the others
    and has no derivative of its own.

    >>> d, b = sp.symbols("d b", positive=True)
    >>> sp.diff(LogRatio(d, b, b + d), b)
    -d/(b*(b + d))
    """

    kernel_name = "log_ratio"

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        """1/whole by the difference, −difference/(base whole) by the base."""
        difference, base, whole = self.args
        return _of_three(argindex, 1 / whole, -difference / (base * whole))

    def _eval_rewrite_as_log(
        self, difference: sp.Expr, base: sp.Expr, whole: sp.Expr, **_: object
    ) -> sp.Expr:
        return sp.log(whole) - sp.log(base)


class LogGammaRatio(sp.Function):
    """log Γ(whole) − log Γ(base), to its digits; arguments as in :class:`LogRatio`.

    >>> d, b = sp.symbols("d b", positive=True)
    >>> sp.diff(LogGammaRatio(d, b, b + d), b)
    DigammaDifference(d, b, b + d)
    """

    kernel_name = "log_gamma_ratio"

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        """ψ(whole) by the difference, ψ(whole) − ψ(base) by the base."""
        return _of_three(argindex, sp.digamma(self.args[2]), DigammaDifference(*self.args))

    def _eval_rewrite_as_loggamma(
        self, difference: sp.Expr, base: sp.Expr, whole: sp.Expr, **_: object
    ) -> sp.Expr:
        return sp.loggamma(whole) - sp.loggamma(base)


class DigammaDifference(sp.Function):
    """ψ(whole) − ψ(base), to its digits; arguments as in :class:`LogRatio`."""

    kernel_name = "digamma_difference"

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        """ψ′(whole) by the difference, ψ′(whole) − ψ′(base) by the base."""
        return _of_three(argindex, sp.polygamma(1, self.args[2]), TrigammaDifference(*self.args))

    def _eval_rewrite_as_polygamma(
        self, difference: sp.Expr, base: sp.Expr, whole: sp.Expr, **_: object
    ) -> sp.Expr:
        return sp.polygamma(0, whole) - sp.polygamma(0, base)


class TrigammaDifference(sp.Function):
    """ψ′(whole) − ψ′(base), to its digits; arguments as in :class:`LogRatio`."""

    kernel_name = "trigamma_difference"

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        """ψ″, which has no kernel."""
        _, base, whole = self.args
        high = sp.polygamma(2, whole)
        return _of_three(argindex, high, high - sp.polygamma(2, base))

    def _eval_rewrite_as_polygamma(
        self, difference: sp.Expr, base: sp.Expr, whole: sp.Expr, **_: object
    ) -> sp.Expr:
        return sp.polygamma(1, whole) - sp.polygamma(1, base)


def _of_three(argindex: int, by_difference: sp.Expr, by_base: sp.Expr) -> sp.Expr:
    """The derivative by the first or second argument; none by the third."""
    found = {1: by_difference, 2: by_base, 3: sp.Integer(0)}
    if argindex not in found:
        raise ArgumentIndexError(None, argindex)
    return found[argindex]
