"""Points at which identities are tried: spread out, and the hard ones.

In: a :class:`~relrep_sym.declare.identity.Scope`. Out: :class:`~relrep_sym.evaluate.Place`, exact
short decimals, the same ones for the same scope: ordinary, nearly merged components, a weight of a
millionth, scales and places far apart.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

import sympy as sp
from sympy.core.sympify import _sympify

from relrep_sym.declare.identity import Scope
from relrep_sym.errors import CertificateError, DeclarationError, problem
from relrep_sym.evaluate import Place

__all__ = ["inside", "places"]

_KINDS = ("ordinary", "merging", "a small weight", "far apart")
_TRIES = 400


def places(scope: Scope, count: int, *, free_x: bool, seed: int = 7) -> Iterator[Place]:
    """The first ``count`` places; with an x where one stands free.

    Raises CertificateError where no point inside every domain was found.

    >>> from relrep_sym.declare.chart import identity
    >>> from relrep_sym.declare.model import mixture
    >>> scope = Scope(identity(mixture("poisson", components=2)))
    >>> print(next(places(scope, 1, free_x=False)))
    pi_1 = 0.359, rate_1 = 1.4, rate_2 = 1.6
    """
    rng = random.Random(seed)
    for n in range(count):
        kind = _KINDS[n] if n < len(_KINDS) else "ordinary"
        for _ in range(_TRIES):
            values = _drawn(scope, rng)
            _harden(scope, values, kind)
            if _inside(scope, values):
                break
        else:
            right = "a chart whose coordinates' domains reach the model"
            raise CertificateError(problem("no point lies in every domain", kind, right))
        yield Place(values, _observation(scope, rng) if free_x else None, kind)


def inside(scope: Scope, place: Place) -> bool:
    """Whether a place is in every domain, and its x, if it has one, in the support."""
    support, x = scope.model.family.support, place.x
    if x is not None:
        if support == "half-line" and not x > 0:
            return False
        if support == "integers" and not (x.is_Integer and x >= 0):
            return False
        if not isinstance(support, str):
            kind, *ends = support
            if kind == "finite":
                return x in [sp.nsimplify(e) for e in ends[0]] and _inside(
                    scope, dict(place.values), 0.0
                )
            if not ends[0] < x < ends[1] and not (kind == "integers" and ends[0] <= x <= ends[1]):
                return False
            if kind == "integers" and not x.is_Integer:
                return False
    for symbol, c in zip(scope.coordinates, scope.chart.coordinates, strict=True):
        if not c.domain.lower < float(place.values[symbol]) < c.domain.upper:
            return False
    return _inside(scope, dict(place.values), 0.0)


def _short(value: float) -> sp.Rational:
    """Three significant digits."""
    return sp.Rational(f"{value:.3g}")


def _drawn(scope: Scope, rng: random.Random) -> dict[sp.Symbol, sp.Rational]:
    out: dict[sp.Symbol, sp.Rational] = {}
    units = sum(c.domain.upper == 1 for c in scope.chart.coordinates)
    for symbol, c in zip(scope.coordinates, scope.chart.coordinates, strict=True):
        if c.domain.upper == 1:
            out[symbol] = _short(rng.uniform(0.1, 0.9) / max(1.0, units / 1.6))
        elif math.isfinite(c.domain.lower):
            out[symbol] = _short(c.domain.lower + math.exp(rng.gauss(0.0, 0.4)))
        else:
            out[symbol] = _short(rng.gauss(0.0, 1.2))
    for symbol in scope.constants:
        out[symbol] = _short(math.exp(rng.gauss(-0.5, 0.4)))
    if scope.truth is not None:
        shares = {s for w in scope.truth.weights for s in w.free_symbols}
        rows = zip(scope.truth.family.parameters, scope.truth.parameters, strict=True)
        positive = {
            s for p, row in rows if p.domain.lower >= 0 for v in row for s in v.free_symbols
        }
        for symbol in scope.truth.symbols:
            if symbol in shares:
                out[symbol] = _short(rng.uniform(0.1, 0.9) / max(1.0, len(shares) / 1.6))
            elif symbol in positive:
                out[symbol] = _short(rng.uniform(0.3, 0.95))
            else:
                out[symbol] = _short(rng.gauss(0.0, 1.0))
    return out


def _harden(scope: Scope, values: dict[sp.Symbol, sp.Rational], kind: str) -> None:
    """Make a point hard in one way, where the coordinates show how."""
    stands = scope.chart.stands_for
    roles: dict[str, list[sp.Symbol]] = {}
    loose = []
    entries = {p.name: p.role for p in scope.model.parameters}
    for s in scope.coordinates:
        if s.name in stands:
            roles.setdefault(entries[stands[s.name]], []).append(s)
        else:
            loose.append(s)
    own = [group for role, group in roles.items() if role != "weight" and len(group) > 1]
    if kind == "merging":
        if own:
            values[own[0][1]] = values[own[0][0]] + sp.Rational(1, 1000)
        elif loose:
            values[loose[0]] = sp.Rational(1, 1000)
    elif kind == "a small weight" and roles.get("weight"):
        values[roles["weight"][0]] = sp.Rational(1, 10**6)
    elif kind == "far apart":
        for group in own:
            values[group[-1]] *= 3
        if loose:
            values[loose[-1]] *= 3


def _inside(scope: Scope, values: dict[sp.Symbol, sp.Rational], room: float = 1e-9) -> bool:
    """Whether the model and the truth are in their domains, by ``room`` away from the ends."""
    theta = {t: e.xreplace(values) for t, e in scope.theta.items()}
    model = scope.model
    weights = [w.xreplace(theta) for w in model.weight_expressions]
    if any(not float(w) > room for w in weights):
        return False
    for p in model.family.parameters:
        found = [float(_sympify(v).xreplace(theta)) for v in model.component(p.name)]
        if any(not p.domain.lower + room < v < p.domain.upper for v in found):
            return False
    if scope.truth is None:
        return True
    try:
        numbers = scope.truth.at(**{s.name: values[s] for s in scope.truth.symbols})
    except DeclarationError:
        return False
    return all(float(w) > room for w in numbers.weights)


def _observation(scope: Scope, rng: random.Random) -> sp.Rational:
    support = scope.model.family.support
    if not isinstance(support, str):  # an interval
        return _short(rng.uniform(*support[1:]))
    if support == "integers":
        return sp.Integer(rng.randint(0, 6))
    if support == "half-line":
        return _short(math.exp(rng.gauss(0.0, 0.7)))
    return _short(rng.gauss(0.0, 2.0))
