"""Whether a density integrates to one.

In: a family. Out: nothing, or an error that gives the integral. It is measured at three values of
the parameters, at twenty digits, by Gauss–Legendre panels in the support's own variable (asinh x on
the line, log x on the half-line, the logit on an interval), or summed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import mpmath
import numpy as np
import sympy as sp
from mpmath import mp

from relrep_sym.declare.density import Family
from relrep_sym.errors import DeclarationError, problem

__all__ = ["insist_normalised"]

TOLERANCE = 1e-9
"""How far the integral may be from one: constants given to ten digits pass."""

_PROBES: dict[str, tuple[str, ...]] = {
    "real": ("-0.4", "0.7", "1.1"),
    "positive": ("0.8", "1.3", "2.4"),
    "unit": ("0.35", "0.6", "0.8"),
}
_NODES = 14
_NEAR, _FARTHEST = 6, 120
"""Panels on each side that are looked at in any case, and at most."""
_MOST_TERMS = 20_000

Log = Callable[[Any], Any]


def insist_normalised(family: Family) -> None:
    """Raise DeclarationError unless the density integrates, or sums, to one.

    >>> import relrep_sym as rs
    >>> rs.family("-x**2*t/2", {"t": "positive"})
    Traceback (most recent call last):
    ...
    relrep_sym.errors.DeclarationError: the density does not integrate to one; given: 2.8024956082 \
at t = 0.8; expected: a log-density with its constant, such as - log(sigma) - log(2*pi)/2
    """
    with mp.workdps(20):
        inputs = (family.x, *family.symbols)
        f = sp.lambdify(list(inputs), family.log_density, modules="mpmath", dummify=True)
        for n in range(3):
            phi = [
                mpmath.mpf(_PROBES[p.domain.name][(n + i) % 3])
                for i, p in enumerate(family.parameters)
            ]
            where = ", ".join(
                f"{p.name} = {mpmath.nstr(v, 5)}"
                for p, v in zip(family.parameters, phi, strict=True)
            )
            kinks = _kinks(family, phi)
            try:
                total = _total(partial(_at, f, phi), family, kinks)
            except (ValueError, TypeError, ZeroDivisionError, OverflowError) as why:
                right = "a log-density that is finite inside the support"
                given = f"{type(why).__name__}: {why} at {where}"
                raise DeclarationError(
                    problem("the log-density cannot be evaluated", given, right)
                ) from None
            for parts in (4, 16):  # a density that is nearly flat and then falls steeply
                if abs(total - 1) <= TOLERANCE or not abs(total - 1) < 1e-3:
                    break
                total = _total(partial(_at, f, phi), family, kinks, parts)
            if not abs(total - 1) <= TOLERANCE:
                kind = "sum" if family.discrete else "integrate"
                raise DeclarationError(
                    problem(
                        f"the density does not {kind} to one",
                        f"{mpmath.nstr(total, 11)} at {where}",
                        "a log-density with its constant, such as - log(sigma) - log(2*pi)/2",
                    )
                )


def _at(f: Callable[..., Any], phi: list[Any], x: Any) -> Any:
    return f(x, *phi)


def _kinks(family: Family, phi: list[Any]) -> list[Any]:
    if family.kink is None:
        return []
    f = sp.lambdify(list(family.symbols), -family.kink.subs(family.x, 0), modules="mpmath")
    return [mpmath.mpmathify(f(*phi))]


def _total(log_density: Log, family: Family, kinks: list[Any], parts: int = 1) -> Any:
    """The integral or sum, by panels of length one in ``parts`` pieces."""
    support = family.support
    if support == "integers":
        return _series(log_density)
    if not isinstance(support, str) and support[0] == "integers":
        points = range(int(support[1]), int(support[2]) + 1)
        return mpmath.fsum(_real(mpmath.exp(log_density(mpmath.mpf(n)))) for n in points)
    if not isinstance(support, str) and support[0] == "finite":
        values = [mpmath.mpf(v) for v in support[1]]
        return mpmath.fsum(_real(mpmath.exp(log_density(v))) for v in values)
    cuts = sorted(_own(support, x) for x in kinks)
    total = mp.zero
    for sign in (1, -1):
        for n in range(_FARTHEST):
            low, high = sorted((mpmath.mpf(sign * n), mpmath.mpf(sign * (n + 1))))
            inner = [low + mpmath.mpf(i) / parts for i in range(1, parts)]
            inner = sorted([*inner, *(c for c in cuts if low < c < high)])
            part = _panel(log_density, support, [low, *inner, high])
            total += part
            if n > _NEAR and part < mpmath.mpf("1e-14"):
                break
    return total


def _panel(log_density: Log, support: Any, ends: list[Any]) -> Any:
    total = mp.zero
    for low, high in itertools.pairwise(ends):
        middle, half = (low + high) / 2, (high - low) / 2
        for u, w in _legendre():
            x, slope = _axis(support, middle + half * u)
            total += w * half * slope * _real(mpmath.exp(log_density(x)))
    return total


def _series(log_density: Log) -> Any:
    total = mp.zero
    before = mp.zero
    for n in range(_MOST_TERMS):
        term = _real(mpmath.exp(log_density(mpmath.mpf(n))))
        total += term
        if n > 20 and term < before and term < mpmath.mpf("1e-16") * total:
            return total
        before = term
    return total


def _real(value: Any) -> Any:
    if isinstance(value, mpmath.mpc):
        raise ValueError("it is not real")
    return value


def _axis(support: Any, t: Any) -> tuple[Any, Any]:
    if support == "line":
        return mpmath.sinh(t), mpmath.cosh(t)
    if support == "half-line":
        x = mpmath.exp(t)
        return x, x
    low, high = mpmath.mpf(support[1]), mpmath.mpf(support[2])
    up, down = 1 / (1 + mpmath.exp(-t)), 1 / (1 + mpmath.exp(t))
    x = low + (high - low) * up if t < 0 else high - (high - low) * down
    return x, (high - low) * up * down


def _own(support: Any, x: Any) -> Any:
    if support == "line":
        return mpmath.asinh(x)
    if support == "half-line":
        return mpmath.log(x) if x > 0 else mp.inf
    low, high = mpmath.mpf(support[1]), mpmath.mpf(support[2])
    return mpmath.log((x - low) / (high - x)) if low < x < high else mp.inf


@lru_cache(maxsize=1)
def _legendre() -> tuple[tuple[float, float], ...]:
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    return tuple(zip(nodes.tolist(), weights.tolist(), strict=True))
