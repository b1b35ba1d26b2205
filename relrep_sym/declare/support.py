"""Supports: the sets on which the densities of a family live.

In: what a user wrote: a name, a pair of ends, a finite set of numbers. Out: the one form in which
every floor takes it, plain data:

* ``"line"``, ``"half-line"`` (x ≥ 0), ``"integers"`` (0, 1, 2, …),
* ``("interval", a, b)``,
* ``("integers", a, b)``: a, a + 1, …, b,
* ``("finite", (x_1, …, x_m))``, ascending.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from relrep_sym.declare.parser import number
from relrep_sym.errors import DeclarationError, problem

__all__ = ["NAMED", "Support", "size", "support_of", "support_text"]

Support = str | tuple[Any, ...]

NAMED = ("line", "half-line", "integers")

MAX_POINTS = 100_000
_RIGHT = '"line", "half-line", "integers", a pair of ends (a, b), or a finite set such as {0, 1, 2}'


def support_of(value: object) -> Support:
    """The support that a user meant; raises DeclarationError where it is none.

    >>> support_of("line"), support_of((0, 1)), support_of(("interval", "-1/2", 2))
    ('line', ('interval', 0.0, 1.0), ('interval', -0.5, 2.0))
    >>> support_of({0, 1, 2}), support_of([1, 2, 4])
    (('integers', 0, 2), ('finite', (1.0, 2.0, 4.0)))
    """
    if isinstance(value, str):
        if value in NAMED:
            return value
        raise DeclarationError(problem("unknown support", value, _RIGHT))
    if isinstance(value, tuple) and value and isinstance(value[0], str) and value[0].isalpha():
        kind, rest = value[0], value[1:]
        if kind == "interval" and len(rest) == 2:
            return _interval(*rest)
        if kind == "integers" and len(rest) == 2:
            low, high = (_end(v) for v in rest)
            if low == math.floor(low) and high == math.floor(high) and low <= high:
                _refuse_many(high - low + 1)
                return ("integers", int(low), int(high))
        if kind == "finite" and len(rest) == 1 and isinstance(rest[0], Iterable):
            return _finite(rest[0])
        raise DeclarationError(problem("unknown support", repr(value), _RIGHT))
    if isinstance(value, tuple) and len(value) == 2:
        return _interval(*value)
    if isinstance(value, set | frozenset | list | tuple | range):
        return _finite(value)
    raise DeclarationError(problem("unknown support", repr(value), _RIGHT))


def size(support: Support) -> int | None:
    """How many points a support has; None where it has infinitely many.

    >>> size(("integers", 0, 10)), size("line")
    (11, None)
    """
    if isinstance(support, str) or support[0] == "interval":
        return None
    if support[0] == "finite":
        return len(support[1])
    return int(support[2]) - int(support[1]) + 1


def support_text(support: Support) -> str:
    """The support in words.

    >>> support_text(("interval", 0.0, 1.0)), support_text(("integers", 0, 10))
    ('the interval (0, 1)', 'integers 0, …, 10')
    """
    if isinstance(support, str):
        return support
    if support[0] == "interval":
        return f"the interval ({support[1]:g}, {support[2]:g})"
    if support[0] == "integers":
        return f"integers {support[1]}, …, {support[2]}"
    return "{" + ", ".join(f"{v:g}" for v in support[1]) + "}"


def _end(value: object) -> float:
    return float(number(value, where="support"))


def _interval(low: object, high: object) -> Support:
    infinite = any(map(_is_infinite, (low, high)))
    if infinite:
        right = '"line", "half-line" (x >= 0; move the variable there), or two finite ends'
        raise DeclarationError(problem("an end of the support is infinite", (low, high), right))
    ends = _end(low), _end(high)
    if not ends[0] < ends[1]:
        raise DeclarationError(problem("the support is empty", str(ends), "a < b"))
    return ("interval", *ends)


def _is_infinite(value: object) -> bool:
    """Whether it is an infinity, as a number or as it is typed."""
    if isinstance(value, str):
        return value.strip().lstrip("+-").lower() in ("inf", "infinity", "oo")
    try:
        return math.isinf(value)  # type: ignore[arg-type]
    except (TypeError, OverflowError):
        return False


def _finite(values: Iterable[object]) -> Support:
    found = []
    for v in values:
        found.append(_end(v))
        _refuse_many(len(found))
    points = tuple(sorted(set(found)))
    if not points:
        raise DeclarationError(problem("the support is empty", "no numbers", "at least one"))
    whole = all(p == math.floor(p) for p in points)
    if whole and points[-1] - points[0] + 1 == len(points):
        return ("integers", int(points[0]), int(points[-1]))
    return ("finite", points)


def _refuse_many(count: float) -> None:
    if count > MAX_POINTS:
        given = f"{count:.0f} points"
        raise DeclarationError(problem("the support is too large", given, f"{MAX_POINTS} points"))
