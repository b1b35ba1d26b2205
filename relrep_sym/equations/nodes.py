r"""Opaque, stable nodes: log-sum-exp, responsibilities, expectations.

Each has its own derivative and its own LaTeX. Equations are differentiated *through* them and never
expand them, so that no rewriting rule of SymPy ever sees a sum of exponentials.
"""

from __future__ import annotations

import sympy as sp
from sympy.core.function import ArgumentIndexError

__all__ = ["Expectation", "LogSumExp", "Responsibility"]


class LogSumExp(sp.Function):
    r"""log Σ_k exp(a_k).

    >>> a, b = sp.symbols("a b")
    >>> sp.diff(LogSumExp(a, b), a)
    r_1(x)
    >>> LogSumExp(0, sp.log(3)).evalf(6)
    1.38629
    """

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        """∂/∂a_k is the k-th responsibility."""
        return Responsibility(argindex, *self.args)

    def _eval_rewrite_as_log(self, *args: sp.Expr, **_: object) -> sp.Expr:
        return sp.log(sp.Add(*(sp.exp(a) for a in args)))

    def _eval_evalf(self, prec: int) -> sp.Expr:
        values = [a._evalf(prec + 10) for a in self.args]
        if not all(v.is_Number for v in values):
            return self.func(*values)
        top = max(values)
        rest = sp.Add(*(sp.exp(v - top) for v in values))
        return (top + sp.log(rest))._evalf(prec)

    def _latex(self, printer, exp: str | None = None) -> str:  # type: ignore[no-untyped-def]
        inner = " + ".join(_weighted(printer, a) for a in self.args)
        power = f"^{{{exp}}}" if exp else ""
        return rf"\log{power}\left({inner}\right)"


class Responsibility(sp.Function):
    r"""r_k = exp(a_k) / Σ_j exp(a_j), the posterior probability of component k.

    The first argument is k, the others the log-weighted densities a_1 … a_K.

    >>> a, b = sp.symbols("a b")
    >>> r = Responsibility(1, a, b)
    >>> sp.diff(r, b)
    -r_1(x)*r_2(x)
    """

    @property
    def component(self) -> int:
        """k."""
        return int(self.args[0])

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        """∂r_k/∂a_j = r_k (δ_kj − r_j)."""
        if argindex == 1:
            raise ArgumentIndexError(self, argindex)
        j = argindex - 1
        other = self.func(j, *self.args[1:])
        return self * ((1 if j == self.component else 0) - other)

    def _eval_derivative(self, s: sp.Symbol) -> sp.Expr:
        total: sp.Expr = sp.Integer(0)
        for j, a in enumerate(self.args[1:], start=1):
            inner = a.diff(s)
            if inner != 0:
                total += self.fdiff(j + 1) * inner
        return total

    def _eval_rewrite_as_exp(self, k: sp.Expr, *args: sp.Expr, **_: object) -> sp.Expr:
        return sp.exp(args[int(k) - 1]) / sp.Add(*(sp.exp(a) for a in args))

    def _eval_evalf(self, prec: int) -> sp.Expr:
        values = [a._evalf(prec + 10) for a in self.args[1:]]
        if not all(v.is_Number for v in values):
            return self.func(self.args[0], *values)
        top = max(values)
        terms = [sp.exp(v - top) for v in values]
        return (terms[self.component - 1] / sp.Add(*terms))._evalf(prec)

    def _sympystr(self, _: object) -> str:
        return f"r_{self.component}(x)"

    def _latex(self, printer, exp: str | None = None) -> str:  # type: ignore[no-untyped-def]
        power = f"^{{{exp}}}" if exp else ""
        return f"r_{{{self.component}}}{power}(x)"


class Expectation(sp.Function):
    r"""E_q[g(x)]: the mean of an expression in x under a named density, not evaluated.

    Differentiation passes inside.

    >>> x, m = sp.symbols("x m")
    >>> sp.diff(Expectation(m**2 * x, x, sp.Symbol("q")), m)
    Expectation(2*m*x, x, q)
    """

    def _eval_derivative(self, s: sp.Symbol) -> sp.Expr:
        inner = self.args[0].diff(s)
        return sp.Integer(0) if inner == 0 else self.func(inner, *self.args[1:])

    def _latex(self, printer, exp: str | None = None) -> str:  # type: ignore[no-untyped-def]
        density = printer._print(self.args[2])
        power = f"^{{{exp}}}" if exp else ""
        return rf"\mathbb{{E}}_{{{density}}}\!\left[{printer._print(self.args[0])}\right]{power}"


def _weighted(printer, logarithm: sp.Expr) -> str:  # type: ignore[no-untyped-def]
    """exp of a log-weighted density, for display: logarithms without x come out as factors."""
    x = sp.Symbol("x", real=True)
    terms = sp.Add.make_args(logarithm)
    outside = sp.exp(sp.Add(*(t for t in terms if not t.has(x))))
    inside = sp.exp(sp.Add(*(t for t in terms if t.has(x))))
    factor = "" if outside == 1 else printer._print(outside) + r" \, "
    return factor + printer._print(inside)
