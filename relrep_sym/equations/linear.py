r"""Linear algebra of what is shown: indices, sums in order, and means taken inside of them.

In: expressions in generic entries. Out: the same, a number taken into the terms of a sum, or E_q
taken into a sum and past every factor that does not depend on the observation.
"""

from __future__ import annotations

from collections.abc import Sequence

import sympy as sp

from relrep_sym.equations.nodes import ComponentSum, Entry, Expectation, Index, Posterior, Terms

__all__ = ["mean", "scaled", "shifted", "summed"]


def shifted(index: Index, offset: int) -> Index:
    """An index and an offset together.

    >>> shifted(2, -1), shifted("k", 1), shifted("k-1", 1), shifted("@-1", 0)
    (1, 'k+1', 'k', '@-1')
    """
    if isinstance(index, int):
        return index + offset
    total = int(index[1:] or 0) + offset
    return index[0] + (f"{total:+d}" if total else "")


def scaled(factor: sp.Expr, expression: sp.Expr) -> sp.Expr:
    """A product, a number taken into the terms of a sum."""
    if isinstance(expression, Terms) and factor.is_Number:
        return Terms(*(factor * t for t in expression.args))
    return factor * expression


def summed(terms: Sequence[sp.Expr]) -> sp.Expr:
    """The sum of terms in order, sums among them taken apart."""
    flat = [t for term in terms for t in (term.args if isinstance(term, Terms) else (term,))]
    if not flat:
        return sp.Integer(0)
    return flat[0] if len(flat) == 1 else Terms(*flat)


def mean(expression: sp.Expr, x: sp.Symbol) -> sp.Expr:
    """E_q of an expression, by linearity: sums over components and factors without x outside.

    >>> x, s = sp.Symbol("x"), Entry.of("sigma", "k")
    >>> mean(Posterior.of("r", "k") * x / s**2, x)
    Expectation(r[k]*x, x, q)/sigma[k]**2
    """
    if isinstance(expression, ComponentSum):
        body, letter, first, last = expression.args
        inner = mean(body, x)
        outside: list[sp.Expr] = []
        inside: list[sp.Expr] = []
        for factor in sp.Mul.make_args(inner):
            (inside if _varies(factor, letter.name) else outside).append(factor)
        return sp.Mul(*outside) * ComponentSum(sp.Mul(*inside), letter, first, last)
    terms = expression.args if isinstance(expression, Terms) else (expression,)
    split = [_split(t, x) for t in terms]
    shared = [f for f in split[0][0] if all(f in outside for outside, _ in split[1:])]
    if len(terms) == 1:
        inner = sp.Mul(*split[0][1])
    else:
        inner = Terms(
            *(
                sp.Mul(*(f for f in outside if f not in shared), *inside)
                for outside, inside in split
            )
        )
    if inner == 1:
        return sp.Mul(*shared)
    return sp.Mul(*shared) * Expectation(inner, x, sp.Symbol("q"))


def _split(term: sp.Expr, x: sp.Symbol) -> tuple[list[sp.Expr], list[sp.Expr]]:
    """A term's factors without and with the observation."""
    outside: list[sp.Expr] = []
    inside: list[sp.Expr] = []
    for factor in sp.Mul.make_args(term):
        random = any(s == x or isinstance(s, Posterior) for s in factor.free_symbols)
        (inside if random else outside).append(factor)
    return outside, inside


def _varies(expression: sp.Expr, letter: str) -> bool:
    return any(isinstance(s, Entry) and letter in s.index for s in expression.free_symbols)
