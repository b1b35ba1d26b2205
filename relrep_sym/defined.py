"""Where the sides of an identity are real numbers, found in numbers.

In: a scope and what each side asks to be real (:class:`~relrep_sym.declare.reader.Condition`), as
it was written: SymPy forgets that ``exp(log(x))`` asks for a positive x. Out: a :class:`Survey`:
points of the domain where a side is not real, and points on both sides of every zero of what stands
in a root, a logarithm, a divisor or a modulus, at which an identity is to be tried.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import mpmath
import sympy as sp

from relrep_sym.declare.identity import Scope
from relrep_sym.declare.nodes import Expected, Node
from relrep_sym.declare.reader import Condition
from relrep_sym.errors import RelrepError
from relrep_sym.evaluate import Evaluator, Place
from relrep_sym.oracle_input import callable_of
from relrep_sym.scatter import inside, places

__all__ = ["Hole", "Survey", "survey"]

TRIED = 24
"""Points that are spread out; those at zeros come on top."""
POOL = 8
"""Values of x at which an integrand is tried, at each of them."""
_ROUNDING = mpmath.mpf("1e-75")
"""Of the summands' moduli: a sum below it is zero."""
_SIZES = [sp.Rational(m) * sp.Integer(10) ** e for e in range(-12, 3) for m in (1, 3)]
_GRID = [*(-s for s in reversed(_SIZES)), sp.Integer(0), *_SIZES]
"""Where the sign of what is no polynomial is looked at."""
ZEROS = 12
"""Zeros of one expression, of degree at most eight."""


class Hole(NamedTuple):
    """A point at which a side is not real; ``isolated`` where it is at points nearby."""

    side: int
    said: str
    place: Place
    isolated: bool

    def __str__(self) -> str:
        return f"the {('left', 'right')[self.side]} side is not real at {self.place}: {self.said}"


@dataclass(frozen=True)
class Survey:
    """What was found; ``near`` are points on both sides of the zeros, to try the identity at."""

    scope: Scope
    evaluator: Evaluator
    conditions: tuple[tuple[Condition, ...], tuple[Condition, ...]]
    pool: tuple[sp.Rational, ...] = ()
    near: tuple[Place, ...] = ()
    holes: tuple[tuple[Hole, ...], ...] = ()

    @property
    def one_sided(self) -> Hole | None:
        """A hole of one side where the other is real; no isolated one."""
        for found in self.holes:
            open_ = [h for h in found if not h.isolated]
            if open_ and len({h.side for h in open_}) == 1:
                return open_[0]
        return None

    @property
    def said(self) -> tuple[str, ...]:
        """The first hole of each side, and the first isolated one, in words."""
        seen: dict[tuple[int, bool], Hole] = {}
        for hole in itertools.chain.from_iterable(self.holes):
            seen.setdefault((hole.side, hole.isolated), hole)
        return tuple(str(h) for h in seen.values())

    def at(self, place: Place) -> list[Hole]:
        """The holes of both sides at a point."""
        return list(self._at(place))

    def _at(self, place: Place) -> Iterator[Hole]:
        for side, conditions in enumerate(self.conditions):
            for condition in conditions:
                xs = self.pool if condition.averaged else (place.x,)
                for x in xs:
                    wrong = self._wrong(condition, replace(place, x=x))
                    # at single points an average does not see it
                    if wrong and not (condition.averaged and wrong == "isolated"):
                        shown = replace(place, x=x if x is not None else place.x)
                        what = f"{condition.partial.what} {condition.inner}"
                        yield Hole(side, what, shown, wrong == "isolated")
                        break

    def _wrong(self, condition: Condition, place: Place) -> str:
        kind = condition.partial.kind
        if kind == "any" or (condition.inner.has(Expected) and place.name not in ("ordinary",)):
            return ""
        try:
            found = self.evaluator.at(place, (condition.inner,))[0]
        except (RelrepError, ArithmeticError, ValueError, TypeError):
            return ""  # not real itself: what stands in it says so
        value = found.value if abs(found.value) > _ROUNDING * found.scale else 0
        if kind == "no pole":
            return "isolated" if value <= 0 and value == int(value) else ""
        if value < 0:
            return "" if kind == "not zero" else "open"
        return "isolated" if value == 0 and kind != "not negative" else ""


def survey(
    scope: Scope,
    evaluator: Evaluator,
    conditions: Sequence[Sequence[Condition]],
    free_x: bool,
) -> Survey:
    """Look for points where a side is not real. Nothing is evaluated where nothing can be wrong."""
    left, right = (tuple(c for c in side if not _sure(c)) for side in conditions)
    empty = Survey(scope, evaluator, (left, right))
    inner = [c.inner for c in itertools.chain(*conditions) if not c.inner.is_nonzero]
    if not inner:
        return empty
    spread = list(places(scope, TRIED, free_x=True))
    zeros = _zeros(scope, inner, spread[:3])
    pool = dict.fromkeys(p.x for p in (*spread[:POOL], *zeros) if p.x is not None)
    found = replace(empty, pool=tuple(pool))
    tried = [p if free_x else replace(p, x=None) for p in (*spread, *zeros)]
    holes = tuple(tuple(found.at(p)) for p in tried)
    return replace(found, near=tuple(tried[len(spread) :]), holes=tuple(h for h in holes if h))


def _sure(condition: Condition) -> bool:
    """Whether the assumptions alone say that nothing can be wrong."""
    e, kind = condition.inner, condition.partial.kind
    if kind == "not zero":
        return bool(e.is_nonzero)
    if kind == "not negative":
        return bool(e.is_nonnegative)
    return bool(e.is_positive)


def _zeros(scope: Scope, inner: Sequence[sp.Expr], bases: Sequence[Place]) -> list[Place]:
    """Points at and on both sides of zeros, one symbol moved at a time, inside the domain."""
    out: list[Place] = []
    for e in dict.fromkeys(inner):
        if e.atoms(Node):
            continue
        for base, symbol in itertools.product(bases[:2], sorted(e.free_symbols, key=str)):
            values = {**base.values, scope.x: base.x}
            if symbol not in values:
                continue
            rest = e.xreplace({s: v for s, v in values.items() if s != symbol})
            for at in dict.fromkeys(_beside(rest, symbol)):
                moved = replace(
                    base,
                    values={s: at if s == symbol else v for s, v in base.values.items()},
                    x=at if symbol == scope.x else base.x,
                    name="at a zero",
                )
                if inside(scope, moved) and len(out) < 7 * ZEROS:
                    out.append(moved)
    return out


def _beside(e: sp.Expr, symbol: sp.Symbol) -> Iterator[sp.Rational]:
    """Zeros of a polynomial and points beside them; else where the sign of a factor changes."""
    numerator = sp.fraction(sp.together(e))[0]
    if numerator.is_polynomial(symbol):
        for root in _roots(numerator, symbol):
            for step in (sp.Integer(0), sp.Rational(1, 7), sp.Integer(2), abs(root) / 7):
                yield from (root - step, root + step)
        return
    for factor in sp.Mul.make_args(e):
        yield from _changes(factor.as_base_exp()[0], symbol)


def _changes(e: sp.Expr, symbol: sp.Symbol) -> Iterator[sp.Rational]:
    """Points of the grid between which the sign of a function changes."""
    function = callable_of([symbol], e)
    before = None
    for at in _GRID:
        try:
            value = function(mpmath.mpf(int(at.p)) / int(at.q))
        except (ArithmeticError, ValueError):
            continue
        if not isinstance(value, mpmath.mpf) or not mpmath.isfinite(value):
            continue
        if before is not None and before[1] * value < 0:
            yield from (before[0], at)
        before = at, value


def _roots(numerator: sp.Expr, symbol: sp.Symbol) -> list[sp.Rational]:
    if numerator.free_symbols != {symbol}:
        return []
    p = sp.Poly(numerator, symbol)
    if not 1 <= p.degree() <= 8 or not all(c.is_Rational for c in p.coeffs()):
        return []
    return [r if r.is_Rational else sp.Rational(str(r.evalf(30))) for r in p.real_roots()][:ZEROS]
