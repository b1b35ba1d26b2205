r"""First and second derivatives of a log-density as functions of x: for what does not separate.

In: a :class:`~relrep_sym.declare.family.Family`. Out: a frozen :class:`Pointwise`,

.. math:: \frac{\partial \log f}{\partial \varphi_i}(x), \qquad
    \frac{\partial^2 \log f}{\partial \varphi_i \partial \varphi_j}(x),

for families whose derivatives are no sums of products of a function of x and one of φ. Across a
kink |x − m| the slopes jump: there the second derivatives hold almost everywhere, and what an
expectation over x has beside them is the jump times the density of x at the kink.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import sympy as sp

from relrep_sym.declare.family import Family
from relrep_sym.equations.kernels import stable_density, with_kernels
from relrep_sym.errors import DerivationError, problem

__all__ = ["Pointwise", "pointwise", "softness_symbol"]


@dataclass(frozen=True)
class Pointwise:
    """Derivatives of log f in x and the family's parameters.

    Attributes:
        pairs: (i, j), i ≤ j, numbers of family parameters.
        slopes: ∂ log f/∂φ_i.
        curves: for each pair ∂² log f/∂φ_i∂φ_j, away from the kink.
        jumps: for each pair the factor of δ(x − m) in it, in the parameters alone, m where the kink
            is; empty without one.
        softened: log f with √((x − m)² + ε²) for |x − m|, then its slopes, then by pairs its second
            derivatives, in x, the parameters and ε = ``softness_symbol()``; empty without a kink.
    """

    pairs: tuple[tuple[int, int], ...]
    slopes: tuple[sp.Expr, ...]
    curves: tuple[sp.Expr, ...]
    jumps: tuple[sp.Expr, ...] = ()
    softened: tuple[sp.Expr, ...] = ()


def softness_symbol() -> sp.Symbol:
    """The symbol of ε in √((x − m)² + ε²)."""
    return sp.Symbol("softness", positive=True)


@cache
def pointwise(family: Family) -> Pointwise:
    """Differentiate a family's log-density twice.

    Raises DeclarationError where a derivative needs a function without a kernel, DerivationError
    where a sign(x − m) stands for a kink.

    >>> from relrep_sym.declare.family import family_named
    >>> found = pointwise(family_named("laplace"))
    >>> found.curves  # by mu, mu; mu, b; b, b
    (0, sign(mu - x)/b**2, b**(-2) - 2*Abs(mu - x)/b**3)
    >>> found.jumps
    (-2/b, 0, 0)
    """
    logarithm = stable_density(family)
    symbols = family.symbols
    slopes = tuple(sp.diff(logarithm, s) for s in symbols)
    pairs = tuple((i, j) for i in range(len(symbols)) for j in range(i, len(symbols)))
    whole = [sp.diff(slopes[i], symbols[j]) for i, j in pairs]
    curves = tuple(e.replace(sp.DiracDelta, lambda *_: sp.Integer(0)) for e in whole)
    jumps, softened = _jumps(family, whole), _softened(family, logarithm, pairs)
    for expression in (*slopes, *curves, *softened):
        with_kernels(expression)  # refuses what has no kernel
    return Pointwise(pairs, slopes, curves, jumps, softened)


def _softened(
    family: Family, logarithm: sp.Expr, pairs: tuple[tuple[int, int], ...]
) -> tuple[sp.Expr, ...]:
    """The softened log-density and its derivatives."""
    kink = family.kink
    if kink is None:
        return ()
    own = set(family.symbols)

    def rounded(inner: sp.Expr) -> sp.Expr:
        if not inner.free_symbols & own:
            return sp.Abs(inner)
        factor = sp.Abs(sp.diff(inner, family.x))  # a kink is a multiple of x − m
        return factor * sp.sqrt(kink**2 + softness_symbol() ** 2)

    soft = logarithm.replace(sp.Abs, rounded)
    slopes = [sp.diff(soft, s) for s in family.symbols]
    return (soft, *slopes, *(sp.diff(slopes[i], family.symbols[j]) for i, j in pairs))


def _jumps(family: Family, whole: list[sp.Expr]) -> tuple[sp.Expr, ...]:
    """The factors of δ(x − m), from those of δ of the insides of |…|, which are multiples of x − m.

    δ(c (x − m)) = δ(x − m)/|c|.
    """
    kink = family.kink
    if kink is None:
        if any(e.has(sp.DiracDelta) for e in whole):
            raise DerivationError(
                problem(
                    f"the {family.name} log-density jumps or bends where a sign changes",
                    str(family.log_density),
                    "a kink written as |x - m|",
                )
            )
        return ()
    place = family.x - kink  # m: the kink is x − m
    out = []
    for expression in whole:
        total = sp.Integer(0)
        for delta in sorted(expression.atoms(sp.DiracDelta), key=sp.default_sort_key):
            mark = sp.Dummy()
            height = sp.diff(expression.xreplace({delta: mark}), mark)
            total += height / sp.Abs(sp.diff(delta.args[0], family.x))
        out.append(sp.simplify(total.subs(family.x, place)))
    return tuple(out)
