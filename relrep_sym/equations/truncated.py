"""Truncated series Σ c_n εⁿ + O(ε^end) with exact coefficients, and their arithmetic.

In: coefficients of any commutative ring that holds the rationals (elements of SymPy's polynomial
rings: no rewriting rule of SymPy ever sees them). Out: series that know how far they are known:
``end`` is the order of what is left out, and follows the rules of O(·) through every operation.
Powers may be negative: a view may divide by the overlap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import sympy as sp

__all__ = ["Coefficient", "Truncated", "exponential", "logarithm"]

Coefficient = Any
"""An element of a ring: SymPy carries no types."""


@dataclass(frozen=True)
class Truncated:
    """Σ_n terms[n] ε^(low + n) + O(ε^end), with end = low + len(terms).

    >>> one = Fraction(1)
    >>> a = Truncated(0, (one, one))  # 1 + ε + O(ε²)
    >>> b = Truncated(1, (one, one, one))  # ε + ε² + ε³ + O(ε⁴)
    >>> (a * b).low, [int(c) for c in (a * b).terms], (a * b).end
    (1, [1, 2], 3)
    """

    low: int
    terms: tuple[Coefficient, ...]

    @property
    def end(self) -> int:
        """The order of what is left out."""
        return self.low + len(self.terms)

    def __getitem__(self, n: int) -> Coefficient | None:
        """The coefficient of εⁿ; None below the first. Raises IndexError from ``end`` on."""
        if n >= self.end:
            raise IndexError(n)
        return self.terms[n - self.low] if n >= self.low else None

    def stripped(self) -> Truncated:
        """The same without leading zeros: ``low`` is then the order of the series."""
        zeros = next((i for i, c in enumerate(self.terms) if c), len(self.terms))
        return Truncated(self.low + zeros, self.terms[zeros:])

    def cut(self, end: int) -> Truncated:
        """The same with no more known than below ``end``."""
        return Truncated(min(self.low, end), self.terms[: max(0, end - self.low)])

    def __add__(self, other: Truncated) -> Truncated:
        low, end = min(self.low, other.low), min(self.end, other.end)
        terms = []
        for n in range(low, end):
            found = [c for c in (self[n], other[n]) if c is not None]
            terms.append(found[0] if len(found) == 1 else found[0] + found[1])
        return Truncated(low, tuple(terms))

    def __mul__(self, other: Truncated) -> Truncated:
        a, b = self.stripped(), other.stripped()
        low, end = a.low + b.low, min(a.end + b.low, b.end + a.low)
        terms = []
        for n in range(end - low):
            parts = [a.terms[i] * b.terms[n - i] for i in range(n + 1)]
            total = parts[0]
            for part in parts[1:]:
                total = total + part
            terms.append(total)
        return Truncated(low, tuple(terms))

    def map(self, function: Callable[[Coefficient], Coefficient]) -> Truncated:
        """The same with a function of each coefficient."""
        return Truncated(self.low, tuple(function(c) for c in self.terms))

    def diff(self) -> Truncated:
        """∂/∂ε: known to one order less."""
        terms = tuple(c * (self.low + i) for i, c in enumerate(self.terms))
        return Truncated(self.low - 1, terms)

    def shifted(self, n: int) -> Truncated:
        """ε^n times the series."""
        return Truncated(self.low + n, self.terms)


def exponential(a: Sequence[Coefficient], one: Coefficient) -> list[Coefficient]:
    """e_0 … e_n of exp(Σ_{k≥1} a_k ε^k), ``a[0]`` being ignored: n e_n = Σ_k k a_k e_{n−k}.

    >>> [str(e) for e in exponential([0, Fraction(1), Fraction(0)], Fraction(1))]
    ['1', '1', '1/2']
    """
    out = [one]
    for n in range(1, len(a)):
        total = a[n] * n
        for k in range(1, n):
            total = total + a[k] * out[n - k] * k
        out.append(_divided(total, n))
    return out


def logarithm(a: Sequence[Coefficient]) -> list[Coefficient]:
    """l_1 … l_n of log(1 + Σ_{k≥1} a_k ε^k); ``a[0]`` is ignored, l_0 given as it stands.

    >>> [str(c) for c in logarithm([0, Fraction(1), Fraction(0), Fraction(0)])[1:]]
    ['1', '-1/2', '1/3']
    """
    out = [a[0]]
    for n in range(1, len(a)):
        total = a[n] * n
        for k in range(1, n):
            total = total - out[k] * a[n - k] * k
        out.append(_divided(total, n))
    return out


def _divided(value: Coefficient, n: int) -> Coefficient:
    """A ring element over a whole number, exactly."""
    if hasattr(value, "mul_ground"):
        return value.mul_ground(value.ring.domain.convert(sp.QQ(1, n)))
    return value / Fraction(n)
