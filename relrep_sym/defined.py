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

import sympy as sp

from relrep_sym.declare.identity import Scope
from relrep_sym.declare.nodes import Expected, Node
from relrep_sym.declare.reader import Condition
from relrep_sym.errors import RelrepError
from relrep_sym.evaluate import Evaluator, Place
from relrep_sym.scatter import inside, places

__all__ = ["Hole", "Survey", "survey"]

TRIED = 24
"""Points that are spread out; those at zeros come on top."""
POOL = 8
"""Values of x at which an integrand is tried, at each of them."""
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
            value = self.evaluator.at(place, (condition.inner,))[0].value
        except (RelrepError, ArithmeticError, ValueError, TypeError):
            return ""  # not real itself: what stands in it says so
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
            for root in _roots(rest, symbol):
                for step in (sp.Integer(0), sp.Rational(-1, 7), sp.Rational(1, 7), -2, 2):
                    at = root + step
                    moved = replace(
                        base,
                        values={s: at if s == symbol else v for s, v in base.values.items()},
                        x=at if symbol == scope.x else base.x,
                        name="at a zero",
                    )
                    if inside(scope, moved) and len(out) < 5 * ZEROS:
                        out.append(moved)
    return out


def _roots(e: sp.Expr, symbol: sp.Symbol) -> list[sp.Rational]:
    numerator = sp.fraction(sp.together(e))[0]
    if not numerator.is_polynomial(symbol) or numerator.free_symbols != {symbol}:
        return []
    p = sp.Poly(numerator, symbol)
    if not 1 <= p.degree() <= 8 or not all(c.is_Rational for c in p.coeffs()):
        return []
    return [r if r.is_Rational else sp.Rational(str(r.evalf(30))) for r in p.real_roots()][:ZEROS]
