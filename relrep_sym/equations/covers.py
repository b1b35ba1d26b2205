r"""Whether a chart reaches every θ of its model: the maximiser of Q then has coordinates.

In: what has to be reached, pairs (expression in coordinates and targets, interval). Out: None where
all of it is reached for certain, one unknown (or one set of linear equations) after another,
whatever was chosen before; else words that say which entry is not. Sufficient, never necessary: a
chart that is not seen through counts as one that constrains.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sympy as sp

from relrep_sym.declare.domains import Domain
from relrep_sym.declare.functions import Logistic, Softplus
from relrep_sym.declare.symbols import Constant, Intermediate, Parameter

__all__ = ["Need", "interval_of", "uncovered"]

Interval = tuple[sp.Expr, sp.Expr]
REALS: Interval = (-sp.oo, sp.oo)


@dataclass(frozen=True)
class Need:
    """An entry that must be able to take every value inside of an interval."""

    name: str
    rule: sp.Expr
    interval: Interval
    entry: Parameter | None = None


def interval_of(domain: Domain) -> Interval:
    """A domain's ends in SymPy."""
    ends = {float("inf"): sp.oo, float("-inf"): -sp.oo, 0.0: sp.Integer(0), 1.0: sp.Integer(1)}
    return ends[domain.lower], ends[domain.upper]


def uncovered(
    needs: Sequence[Need],
    rules: Mapping[sp.Symbol, sp.Expr],
    domains: Mapping[sp.Symbol, Domain],
    done: set[sp.Symbol],
) -> str | None:
    """Why some need is not met for certain; None where all are.

    ``rules`` are the chart's program, ``domains`` the coordinates', ``done`` the coordinates and
    entries of θ that are spoken for already.
    """
    done = set(done)
    waiting = {n.entry for n in needs if n.entry is not None} - done
    pending = [_level(n) for n in needs]
    while pending:
        left: list[Need] = []
        for need in pending:
            rule = _opened(need.rule, rules, done, waiting)
            unknown = {s for s in rule.free_symbols if not isinstance(s, Constant)} - done
            if not unknown:
                return f"{need.name} is given by the other entries or by constants"
            if len(unknown) == 1 and (symbol := next(iter(unknown))) in domains:
                if not _reaches(rule, symbol, interval_of(domains[symbol]), need.interval):
                    return f"{need.name} does not reach every value of its domain"
                done |= {symbol} if need.entry is None else {symbol, need.entry}
                continue
            left.append(Need(need.name, rule, need.interval, need.entry))
        if len(left) == len(pending):
            return _linear(left, domains, done)
        pending = left
    return None


def _level(need: Need) -> Need:
    """The exponent of a positive entry, which must then reach every real number."""
    inner = need.rule
    if isinstance(inner, sp.exp | Softplus) and need.interval == (0, sp.oo):
        return Need(need.name, inner.args[0], REALS, need.entry)
    return need


def _opened(
    rule: sp.Expr,
    rules: Mapping[sp.Symbol, sp.Expr],
    done: set[sp.Symbol],
    waiting: set[Parameter],
) -> sp.Expr:
    """A rule with its intermediates written out, where they are not spoken for."""
    for _ in range(20):
        inner = {
            s: rules[s]
            for s in rule.free_symbols
            if s in rules and s not in done and (isinstance(s, Intermediate) or s not in waiting)
        }
        if not inner or len(rule.free_symbols) > 60:
            break
        rule = rule.xreplace(inner)
    return rule


def _linear(
    needs: Sequence[Need], domains: Mapping[sp.Symbol, Domain], done: set[sp.Symbol]
) -> str | None:
    """Whether equations that are linear in what is unknown, with given slopes, are solvable."""
    unknown = sorted(
        {s for n in needs for s in n.rule.free_symbols if not isinstance(s, Constant)} - done,
        key=lambda s: s.name,
    )
    names = ", ".join(n.name for n in needs)
    if len(unknown) < len(needs):
        return f"{names} have fewer coordinates than entries"
    real = all(s in domains and domains[s].name == "real" for s in unknown)
    if len(unknown) != len(needs) or not real:
        return f"it is not seen that {names} reach all values together"
    matrix = sp.Matrix([[sp.diff(n.rule, s) for s in unknown] for n in needs])
    given = all(e.is_number for e in matrix)
    if not given and (matrix.has(*unknown) or len(unknown) > _MOST):
        return f"it is not seen that {names} reach all values together"
    if given:
        full = matrix.rank() == len(unknown)
    else:  # slopes may be in what is spoken for, such as the weight in w + (1 − v) u
        determinant = sp.expand(matrix.det("berkowitz"))
        full = determinant.is_number and determinant != 0
    return None if full else f"it is not seen that {names} reach all values together"


_MOST = 6
"""Equations whose determinant is written out."""


def _reaches(rule: sp.Expr, symbol: sp.Symbol, inside: Interval, need: Interval) -> bool:
    """Whether the image of an interval under a monotone rule holds another (its inside)."""
    if rule == symbol and inside == need:
        return True
    slope = sp.diff(rule, symbol)
    if inside == REALS and slope.is_number and slope != 0:
        return True  # whatever it is shifted by
    if rule.free_symbols != {symbol}:
        return False
    image = _image(rule, symbol, inside)
    return image is not None and bool(image[0] <= need[0]) and bool(image[1] >= need[1])


def _image(rule: sp.Expr, symbol: sp.Symbol, inside: Interval) -> Interval | None:
    """The image's ends, the symbol occurring once under monotone functions; or None."""
    if rule == symbol:
        return inside
    whole, inner = rule, None
    if rule.is_Add or rule.is_Mul:
        factor, inner = rule.as_independent(symbol, as_Add=rule.is_Add)
        if (inner.is_Add if rule.is_Add else inner.is_Mul) or not factor.is_number:
            return None
    elif len(rule.args) == 1 and isinstance(rule, sp.exp | sp.log | Softplus | Logistic):
        inner = rule.args[0]
    elif rule.is_Pow and rule.exp.is_Integer:
        inner = rule.base
    below = None if inner is None else _image(inner, symbol, inside)
    if inner is None or below is None:
        return None
    low, high = below
    if rule.is_Pow and not low >= 0:
        if rule.exp % 2 or rule.exp < 0 or below != REALS:
            return None
        return sp.Integer(0), sp.oo
    if isinstance(rule, sp.log) and not low >= 0:
        return None
    mark = sp.Dummy("u", real=True)
    outer = whole.xreplace({inner: mark})
    ends = [sp.limit(_plain(outer), mark, e, d) for e, d in ((low, "+"), (high, "-"))]
    return (ends[0], ends[1]) if ends[0] <= ends[1] else (ends[1], ends[0])


def _plain(expression: sp.Expr) -> sp.Expr:
    """Declared functions in exp and log, of which SymPy knows the limits."""
    return expression.replace(Softplus, lambda a: sp.log(1 + sp.exp(a))).replace(
        Logistic, lambda a: 1 / (1 + sp.exp(-a))
    )
