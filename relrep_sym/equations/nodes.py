r"""Opaque, stable nodes: log-sum-exp, responsibilities, expectations; and what generic lines need.

In: SymPy expressions. Out: SymPy nodes of two kinds. :class:`LogSumExp`, :class:`Responsibility`
and :class:`Expectation` have their own derivative and their own LaTeX; equations are differentiated
*through* them and never expand them, so that no rewriting rule of SymPy ever sees a sum of
exponentials. :class:`Entry`, :class:`Posterior`, :class:`ComponentSum` and :class:`Terms` only
show: they are what an equation's lines say of every component k at once, and are never
differentiated.
"""

from __future__ import annotations

import sympy as sp
from sympy.core.function import ArgumentIndexError

__all__ = [
    "Auxiliary",
    "Clip",
    "ComponentSum",
    "Density",
    "Entry",
    "Expectation",
    "Hat",
    "Index",
    "LogSumExp",
    "Posterior",
    "Responsibility",
    "Terms",
]

Index = int | str
"""A component's number, from one; or a letter, with an offset in a text such as ``k-1``."""


class LogSumExp(sp.Function):
    r"""log Σ_k exp(a_k).

    >>> a, b = sp.symbols("a b")
    >>> sp.diff(LogSumExp(a, b), a)
    r_1(x)
    >>> LogSumExp(0, sp.log(3)).evalf(6)
    1.38629
    """

    @classmethod
    def eval(cls, *args: sp.Expr) -> sp.Expr | None:
        """The one term of one component."""
        return args[0] if len(args) == 1 else None

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

    @classmethod
    def eval(cls, k: sp.Expr, *args: sp.Expr) -> sp.Expr | None:
        """One, for the one component that there is: posterior probabilities sum to one."""
        return sp.Integer(1) if len(args) == 1 else None

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
        inner = printer._print(self.args[0])
        return rf"\operatorname{{E}}_{{{density}}}{power}\!\left[{inner}\right]"


class Entry(sp.Symbol):
    """One component's entry, for display: a stem and an index, which may be generic.

    >>> Entry.of("Delta", "k-1"), Entry.of("Delta", "k-1").index
    (Delta[k-1], 'k-1')
    """

    __slots__ = ()

    @classmethod
    def of(cls, stem: str, index: Index) -> Entry:
        """The entry of a stem at an index."""
        return cls(f"{stem}[{index}]")

    @property
    def stem(self) -> str:
        """The name without its index."""
        return str(self.name.partition("[")[0])

    @property
    def index(self) -> str:
        """The index as a text."""
        return str(self.name.partition("[")[2][:-1])


class Auxiliary(Entry):
    """A quantity that an equation defines beside the names of the user, for display.

    Its stem is the quantity's mark (:mod:`relrep_sym.emit.letters` says which letter it gets), so
    that it is another symbol than a user's of the same spelling.

    >>> Auxiliary.of("N", "k"), Auxiliary.of("N", "k") == Entry.of("N", "k")
    (N[k], False)
    """

    __slots__ = ()


class Posterior(Auxiliary):
    """r_k(x) for display, k maybe generic.

    >>> Posterior.of("r", "k")
    r[k]
    """

    __slots__ = ()


class ComponentSum(sp.Function):
    """Σ over components of a body in generic entries: (body, letter, first, last).

    ``first`` and ``last`` are symbols spelled like an index, so that a body stays as it was stated.

    >>> ComponentSum.over(Entry.of("mu", "j"), "j", "k+1", 3)
    ComponentSum(mu[j], j, k+1, 3)
    """

    @classmethod
    def over(cls, body: sp.Expr, letter: str, first: Index, last: Index) -> sp.Expr:
        """The sum of ``body`` for ``letter`` from ``first`` to ``last``, a minus before it."""
        negative = body.as_coeff_Mul()[0].is_negative
        whole = cls(
            -body if negative else body, *(sp.Symbol(str(i)) for i in (letter, first, last))
        )
        return -whole if negative else whole


class Terms(sp.Function):
    """A sum whose terms stay in the order in which they were given.

    >>> Terms(*sp.symbols("b a"))
    Terms(b, a)
    """


class Clip(sp.Function):
    """max(0, a), for display.

    >>> Clip(sp.Symbol("a"))
    Clip(a)
    """


class Density(sp.Function):
    """f(x | φ), a component's density at some parameters, for display.

    >>> Density(sp.Symbol("mu"))
    Density(mu)
    """


class Hat(sp.Function):
    """The unconstrained value of an expression, for display: the expression under a hat.

    >>> Hat(Entry.of("Delta", "k") ** 2)
    Hat(Delta[k]**2)
    """


def _weighted(printer, logarithm: sp.Expr) -> str:  # type: ignore[no-untyped-def]
    """exp of a log-weighted density, for display: logarithms without x come out as factors."""
    x = sp.Symbol("x", real=True)
    terms = sp.Add.make_args(logarithm)
    outside = sp.exp(sp.Add(*(t for t in terms if not t.has(x))))
    inside = sp.exp(sp.Add(*(t for t in terms if t.has(x))))
    factor = "" if outside == 1 else printer._print(outside) + r" \, "
    return factor + printer._print(inside)
