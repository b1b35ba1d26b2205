"""Expressions as Laurent series in one symbol: exact coefficients, nothing simplified.

In: a SymPy expression that is rational in the symbol, or analytic at zero. Out: a
:class:`Quotient` of two coefficient lists, divided in whatever field the caller computes in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import factorial

import sympy as sp

from relrep_sym.declare.family import Family
from relrep_sym.equations.truncated import Coefficient, Truncated
from relrep_sym.errors import DerivationError, problem

__all__ = ["Quotient", "derivatives", "taylor"]


@dataclass(frozen=True)
class Quotient:
    """ε^low (Σ numerator[n] εⁿ)/(Σ denominator[n] εⁿ), the first of each not zero.

    ``known`` is to how many terms the numerator is known; None where it is a polynomial.
    """

    low: int
    numerator: tuple[sp.Expr, ...]
    denominator: tuple[sp.Expr, ...]
    known: int | None = None

    @cached_property
    def limit(self) -> sp.Expr:
        """The value at zero."""
        if self.low or not self.numerator:
            return sp.Integer(0)
        return sp.cancel(self.numerator[0] / self.denominator[0])

    @property
    def moves(self) -> bool:
        """Whether it is no constant."""
        return self.low != 0 or len(self.numerator) > 1 or len(self.denominator) > 1

    def divided(self, convert: Callable[[sp.Expr], Coefficient], end: int) -> Truncated:
        """The series up to ``end``, in the field into which ``convert`` takes coefficients."""
        above, below = [convert(c) for c in self.numerator], [convert(c) for c in self.denominator]
        zero = convert(sp.Integer(0))
        count = max(0, end - self.low)
        if self.known is not None:
            count = min(count, self.known)
        terms: list[Coefficient] = []
        for n in range(count):
            total = above[n] if n < len(above) else zero
            for k in range(1, min(n, len(below) - 1) + 1):
                total = total - below[k] * terms[n - k]
            terms.append(total / below[0])
        return Truncated(self.low, tuple(terms))


def taylor(expression: sp.Expr, at: sp.Symbol, end: int, what: str) -> Quotient:
    """The expression near zero, known up to ``end`` at least where it is not rational.

    Raises DerivationError for what is neither rational in the symbol nor analytic at zero.

    >>> e, v = sp.symbols("e v")
    >>> taylor((v + e) / e, e, 3, "a test")
    Quotient(low=-1, numerator=(v, 1), denominator=(1,), known=None)
    >>> taylor(sp.exp(v * e), e, 2, "a test").numerator
    (1, v)
    """
    if not expression.has(at):
        some = (expression,) if expression != 0 else ()
        return Quotient(0, some, (sp.Integer(1),))
    if expression.is_rational_function(at):
        above, below = (
            sp.Poly(part, at).all_coeffs()[::-1] for part in sp.fraction(sp.together(expression))
        )
        above, below = [sp.expand(c) for c in above], [sp.expand(c) for c in below]
        skip, drop = _zeros(above), _zeros(below)
        if skip == len(above):
            return Quotient(0, (), (sp.Integer(1),))
        return Quotient(skip - drop, tuple(above[skip:]), tuple(below[drop:]))
    terms: list[sp.Expr] = []
    slope = expression
    for n in range(end):
        value = slope.subs(at, 0)
        if not _is_finite(value):
            right = "functions that are analytic where the overlap is zero"
            raise DerivationError(problem(f"no power series of {what}", str(expression), right))
        terms.append(value / factorial(n))
        slope = slope.diff(at)
    skip = _zeros(terms)
    return Quotient(skip, tuple(terms[skip:]), (sp.Integer(1),), end - skip)


def derivatives(
    family: Family, moving: Sequence[int], order: int
) -> dict[tuple[int, ...], sp.Expr]:
    """∂^α log f/∂φ^α / α! for 1 ≤ |α| ≤ order, each parameter to its own bound; zeros left out."""
    out: dict[tuple[int, ...], sp.Expr] = {}
    known = {(0,) * len(moving): family.log_density}
    for alpha in product(*(range(n + 1) for n in moving)):
        if not 1 <= sum(alpha) <= order:
            continue
        last = max(i for i, n in enumerate(alpha) if n)
        before = tuple(n - (i == last) for i, n in enumerate(alpha))
        value = known.get(before)
        if value is None:
            continue
        slope = sp.expand(value.diff(family.symbols[last]))
        if slope == 0:
            continue
        known[alpha] = slope
        factorials = 1
        for n in alpha:
            factorials *= factorial(n)
        out[alpha] = slope / factorials
    return out


def _zeros(terms: list[sp.Expr]) -> int:
    return next((n for n, c in enumerate(terms) if c != 0), len(terms))


def _is_finite(value: sp.Expr) -> bool:
    return not value.has(sp.nan, sp.zoo, sp.oo, -sp.oo, sp.Derivative, sp.Subs)
