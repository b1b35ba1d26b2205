r"""The shape of Q in one family parameter: what an exact ordered M-step needs to know of a family.

In: a model and one of its family's parameters. Out: a frozen :class:`Shape`, found by
differentiating Q of one generic component with the other parameters at their best:

.. math:: \frac{\partial Q_k}{\partial\mu} = N_k c\,\sigma^{-2}(m - \mu), \qquad
          \frac{\partial Q_k}{\partial\varphi} = N_k(\alpha\varphi^p - \beta\varphi^q), \qquad
          \frac{\partial Q_k}{\partial\varphi} = \frac{a}{\varphi} - \frac{b}{1 - \varphi}.

Each coefficient follows from N_k and from the parameter's own maximiser, so numbers are enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import sympy as sp

from relrep_sym.declare.model import Mixture
from relrep_sym.equations.em import _kinds, _objective, _root, statistic_symbol
from relrep_sym.errors import DerivationError, problem

__all__ = ["Shape", "shape_of"]

Kind = Literal["location", "power", "logit"]
Beside = Literal["", "fixed", "tied", "own"]


@dataclass(frozen=True)
class Shape:
    """How Q of a component depends on one of its parameters.

    Attributes:
        kind: ``"location"``: slope N c (m − y)/σ², and V = s² + (m − y)² the best σ² for y;
            ``"power"``: slope α yᵖ − β y^q with p or q = −1; ``"logit"``: slope
            a/y − b/(1 − y).
        factor: c, the number whose product with N_k is a coefficient.
        powers: (p, q) of a power.
        of: which coefficient is N_k c: ``"alpha"`` or ``"beta"`` of a power; ``"a"`` or ``"a+b"``
            of a logit.
        beside: of a location, what the scale is: ``"fixed"``, ``"tied"`` or each component's
            ``"own"``.
    """

    kind: Kind
    factor: sp.Expr
    powers: tuple[sp.Expr, sp.Expr] | None = None
    of: str = ""
    beside: Beside = ""


def shape_of(model: Mixture, role: str) -> Shape:
    """The shape of Q in a parameter that is free in every component.

    Raises DerivationError where it is none of those whose ordered problem is solved exactly.

    >>> from relrep_sym.declare.model import mixture
    >>> shape_of(mixture("normal", components=3), "sigma").powers
    (-3, -1)
    >>> shape_of(mixture("normal", components=3, scales="tied"), "mu").beside
    'tied'
    """
    family = model.family
    kinds = {_kinds(model, k) for k in range(model.components)}
    if len(kinds) > 1:
        raise _no_shape(model, role, "the same pattern of free and fixed ones in every component")
    (kind,) = kinds
    q = _with_numbers(model, _objective(family) / statistic_symbol(0))
    if family.location is not None and family.location.name == role:
        return _location(model, q, kind)
    return _other(model, q, kind, role)


def _no_shape(model: Mixture, role: str, right: str) -> DerivationError:
    wrong = f"the ordered problem in {role} is not solved in closed form"
    return DerivationError(problem(wrong, model.describe(), right))


def _with_numbers(model: Mixture, q: sp.Expr) -> sp.Expr:
    """With what is fixed, where it is one number for all, and no shift of a fixed location."""
    for p, pattern in zip(model.family.parameters, model.patterns, strict=True):
        if isinstance(pattern, tuple) and None not in pattern:
            if p == model.family.location:
                q = q.subs(p.symbol, 0)
            elif len(set(pattern)) == 1:
                q = q.subs(p.symbol, pattern[0])
    return q


def _location(model: Mixture, q: sp.Expr, kind: tuple[str, ...]) -> Shape:
    family = model.family
    location, scale = family.location, family.scale
    assert location is not None
    if scale is None or len(family.parameters) != 2:
        raise _no_shape(model, location.name, "a location with a scale")
    free = _objective(family) / statistic_symbol(0)  # the scale as a symbol also where it is fixed
    d, s = location.symbol, scale.symbol
    slope = sp.diff(free, d)
    best = _root(slope, d, "real")
    spread = _root(sp.diff(free, s), s, "positive")
    right = "a log-density quadratic in the location, over its squared scale"
    if best is None or spread is None or best.has(s):
        raise _no_shape(model, location.name, right)
    factor = sp.simplify(-sp.diff(slope, d) * s**2)
    at_best = (spread**2).subs(d, best)
    own = sp.expand(spread**2 - at_best - (d - best) ** 2)
    scaled = _powers(sp.diff(free, s), s)
    normal = set(scaled) == {sp.Integer(-3), sp.Integer(-1)} and sp.expand(
        scaled[sp.Integer(-3)] + scaled[sp.Integer(-1)] * spread**2
    )
    if not factor.is_number or own != 0 or normal != 0:
        raise _no_shape(model, location.name, right)
    beside = kind[family.parameters.index(scale)]
    assert beside in ("fixed", "tied", "own")
    if beside != "fixed" and sp.simplify(scaled[sp.Integer(-1)] + factor) != 0:
        raise _no_shape(model, location.name, right)
    return Shape("location", factor, beside=beside)  # type: ignore[arg-type]


def _powers(expression: sp.Expr, symbol: sp.Symbol) -> dict[sp.Expr, sp.Expr]:
    """The coefficients of an expression's powers of a symbol."""
    out: dict[sp.Expr, sp.Expr] = {}
    for term in sp.Add.make_args(sp.expand(expression)):
        c, power = term.as_independent(symbol, as_Add=False)
        base, exponent = power.as_base_exp() if power != 1 else (symbol, sp.Integer(0))
        if base != symbol:
            return {}
        out[exponent] = out.get(exponent, sp.Integer(0)) + c
    return out


def _other(model: Mixture, q: sp.Expr, kind: tuple[str, ...], role: str) -> Shape:
    family = model.family
    symbol, location = family.parameter(role).symbol, family.location
    right = "one parameter in order, the others' best values free of it"
    where = None if location is None else kind[family.parameters.index(location)]
    if location is not None and where == "own":
        best = _root(sp.diff(q, location.symbol), location.symbol, "real")
        if best is None or best.has(symbol):
            raise _no_shape(model, role, right)
        q = q.subs(location.symbol, best)
    slope = sp.diff(q, symbol)
    unknown = {p.symbol for p in family.parameters} - {symbol}
    if slope.free_symbols & unknown:
        raise _no_shape(model, role, right)
    found = _powers(slope, symbol)
    if len(found) == 2 and sp.Integer(-1) in found and all(e.is_number for e in found):
        p, high = sorted(found)
        for of, value in (("alpha", found[p]), ("beta", -found[high])):
            if value.is_positive and value.is_number:
                return Shape("power", value, (p, high), of)
    cleared = sp.expand(sp.cancel(slope * symbol * (1 - symbol)))
    if cleared.is_polynomial(symbol) and sp.degree(cleared, symbol) == 1:
        a = cleared.subs(symbol, 0)
        both = sp.expand(a - cleared.coeff(symbol, 0) - cleared.coeff(symbol, 1))
        for of, value in (("a+b", both), ("a", a)):
            if value.is_positive and value.is_number:
                return Shape("logit", value, None, of)
    raise _no_shape(model, role, "a slope of two powers, or of a probability")
