r"""What one component alone comes to: its second derivatives, and its Fisher information reduced.

In: a family. Out: ∂² log f/∂φ∂φᵀ and I = E_p[s sᵀ] in the family's own symbols. By the rules of
:mod:`.expect` for one component: r_1 = 1; from E_p[1] = 1, differentiated, E_p[s] = 0 and
E_p[s sᵀ] = −E_p[∂s] (``derivative``, for what is differentiated twice); means of functions of x
that E_p[s] = 0 determines, and moments by parts (``linearity``, ``moments``). No family is known by
name, and a mean that these rules do not give stays a mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import sympy as sp
from sympy.core.sympify import _sympify

from relrep_sym.declare.family import Family
from relrep_sym.declare.model import Mixture
from relrep_sym.equations.nodes import Expectation
from relrep_sym.equations.parts import moment

__all__ = ["almost_everywhere", "information", "learned", "second"]


def almost_everywhere(expression: sp.Expr) -> sp.Expr:
    """An expression without what vanishes but at a kink; sign² is one.

    >>> x, m = sp.symbols("x m", real=True)
    >>> almost_everywhere(sp.diff(sp.Abs(x - m), m, 2)), almost_everywhere(sp.sign(x) ** 2)
    (0, 1)
    """
    plain = expression.replace(sp.DiracDelta, lambda *_: sp.Integer(0))
    if not plain.has(sp.sign):
        return plain
    out: sp.Expr = sp.expand(plain).replace(
        lambda e: e.is_Pow and isinstance(e.base, sp.sign) and e.exp.is_Integer,
        lambda e: e.base ** (e.exp % 2),
    )
    return out


@cache
def second(family: Family) -> sp.ImmutableMatrix:
    """∂² log f/∂φ∂φᵀ, in the order of the family's parameters.

    >>> from relrep_sym.declare.family import family_named
    >>> second(family_named("poisson"))
    Matrix([[-x/rate**2]])
    """
    found = sp.hessian(family.log_density, family.symbols).applyfunc(almost_everywhere)
    return sp.ImmutableMatrix(
        found.applyfunc(lambda e: min((sp.together(e), sp.factor(e), e), key=sp.count_ops))
    )


@cache
def information(family: Family) -> sp.ImmutableMatrix:
    """E_p[s sᵀ] of one component, in the family's symbols, as far as the rules reduce it.

    >>> from relrep_sym.declare.family import family_named
    >>> information(family_named("normal"))
    Matrix([
    [sigma**(-2),           0],
    [          0, 2/sigma**2]])
    """
    score = [sp.diff(family.log_density, s) for s in family.symbols]

    def entry(i: int, j: int) -> sp.Expr:
        bend = sp.diff(score[i], family.symbols[j])
        smooth = not bend.has(sp.DiracDelta)
        whole = -second(family)[i, j] if smooth else almost_everywhere(score[i] * score[j])
        return _mean(family, whole)

    count = len(score)
    return sp.ImmutableMatrix(count, count, lambda i, j: entry(min(i, j), max(i, j)))


def learned(model: Mixture, matrix: sp.ImmutableMatrix) -> sp.ImmutableMatrix:
    """A matrix in a family's symbols as one in θ: rows and columns of what is learned."""
    family = model.family
    at = {p.symbol: _sympify(model.component(p.name)[0]) for p in family.parameters}
    places = [family.parameters.index(family.parameter(p.role)) for p in model.parameters]
    return sp.ImmutableMatrix(matrix.extract(places, places).xreplace(at))


def _parts(family: Family, expression: sp.Expr) -> dict[sp.Expr, sp.Expr]:
    """Functions of x, each with its coefficient; 1 for what does not depend on x."""
    out: dict[sp.Expr, sp.Expr] = {}
    for term in sp.Add.make_args(sp.expand(sp.expand_log(expression, force=True))):
        coefficient, function = term.as_independent(family.x, as_Add=False)
        out[function] = out.get(function, sp.Integer(0)) + coefficient
    return out


@cache
def _means(family: Family) -> Mapping[sp.Expr, sp.Expr]:
    """Means of functions of x that E_p[s] = 0 determines."""
    rows = [
        _parts(family, almost_everywhere(sp.diff(family.log_density, s))) for s in family.symbols
    ]
    unknown = {f: sp.Dummy() for row in rows for f in row if f != 1}
    equations = [
        sp.Add(*(c * unknown.get(f, sp.Integer(1)) for f, c in row.items())) for row in rows
    ]
    try:
        found = sp.solve(equations, list(unknown.values()), dict=True)
    except NotImplementedError:
        return {}
    dummies = set(unknown.values())
    known = found[0] if len(found) == 1 else {}
    return {
        f: sp.simplify(known[d])
        for f, d in unknown.items()
        if d in known and not known[d].free_symbols & dummies
    }


def _mean(family: Family, expression: sp.Expr) -> sp.Expr:
    """E_p of an expression in x, as far as the rules reduce it."""
    x, total, left = family.x, sp.Integer(0), sp.Integer(0)
    known = _means(family)
    for function, coefficient in _parts(family, expression).items():
        value = sp.Integer(1) if function == 1 else known.get(function)
        if value is None and function.is_polynomial(x) and function.free_symbols == {x}:
            value = moment(family, int(sp.degree(function, x)))
        if value is None:
            left += coefficient * function
        else:
            total += coefficient * value
    if left != 0:
        return Expectation(expression, x, sp.Symbol("p"))
    return sp.factor(sp.simplify(total))
