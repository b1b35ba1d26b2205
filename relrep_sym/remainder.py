"""What is left of a difference whose sides agree to all the digits that means have.

In: sides of an identity that agree at a place, and what the rules leave of their difference. Out:
whether that is certainly not zero. Where the rules cancel what is large, a difference of a
1e-40th of the sides stands alone, and needs few digits.
"""

from __future__ import annotations

import mpmath
import sympy as sp
from mpmath import mp

from relrep_sym.declare.identity import Scope
from relrep_sym.declare.nodes import Expected
from relrep_sym.equations.expect import Calculus
from relrep_sym.errors import RelrepError
from relrep_sym.evaluate import Evaluator, Number, Place
from relrep_sym.oracle_input import callable_of
from relrep_sym.verify.jets import WORKING

__all__ = ["FAINT", "FINE", "remainder", "separated"]

FINE = 48
"""Digits of means at which sides that were not proven equal are compared once more."""
FAINT = mpmath.mpf("1e-25")
"""Of what is added up in a side: a side below this is not larger for what is owed to rounding."""
_EXACT = mpmath.mpf("1e-60")
"""Of the sides: below this what was computed without means is rounding."""
_MOVED = mpmath.mpf("1e-20")
"""By so much a mean is moved, ten orders more than its error, to see what depends on it."""


def remainder(evaluator: Evaluator, place: Place, rest: sp.Expr, size: Number) -> Number:
    """The value of what is left of a difference, or zero where it may be rounding.

    ``size`` is that of the sides.
    """
    means = sorted(rest.atoms(Expected), key=sp.default_sort_key)
    names = {m: sp.Dummy("m") for m in means}
    plain = rest.xreplace(names)
    symbols = sorted(plain.free_symbols - set(names.values()), key=sp.default_sort_key)
    try:
        found = (
            [v.value for v in evaluator.at(place, [*symbols, *means])] if symbols + means else []
        )
        with mp.workdps(WORKING):
            function = callable_of([*symbols, *names.values()], plain)
            value = function(*found)
            room = _EXACT * size
            for n in range(len(symbols), len(found)):
                moved = [
                    *found[:n],
                    found[n] * (1 + _MOVED) + _MOVED * (not found[n]),
                    *found[n + 1 :],
                ]
                room += 100 * abs(function(*moved) - value)
            return value if abs(value) > room else mp.zero
    except (RelrepError, ArithmeticError, ValueError, TypeError):
        return mp.zero


def separated(scope: Scope, place: Place, sides: tuple[sp.Expr, ...], seconds: float) -> int | None:
    """The digits to which sides agree at :data:`FINE` digits of their means, None where all.

    Derivatives are done by the rules, since differences take half of the digits. Also None where
    that many digits cannot be had.
    """
    finer, calculus = Evaluator(scope, FINE, seconds), Calculus(scope)
    try:
        a, b = finer.at(place, [calculus.resolved(s) for s in sides])
    except (RelrepError, ArithmeticError, ValueError, TypeError):
        return None
    difference, scale = abs(a.value - b.value), a.scale + b.scale
    if not difference or not scale:
        return None
    agreed = int(-mpmath.log10(difference / scale))
    return agreed if agreed < FINE - 6 else None
