"""What a generated module says of a coordinate whose stationarity of Q is a polynomial equation.

In: a :class:`~relrep_sym.equations.record.Record`. Out: the body of ``_root_terms(mass, means, …)``
and the row for the generated chart, or None where no coordinate has such an equation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import sympy as sp

from relrep_sym.declare.model import Mixture
from relrep_sym.declare.symbols import Constant
from relrep_sym.emit.lowering import lower
from relrep_sym.emit.numpy.em_code import statistic_lines
from relrep_sym.emit.numpy.layout import bracketed
from relrep_sym.emit.numpy.printer import infix
from relrep_sym.equations.em import shift_symbol, statistic_symbol
from relrep_sym.equations.joint import OneUnknown, Profile
from relrep_sym.equations.record import Record
from relrep_sym.statements.language import Item, Node, Var

__all__ = ["RootsCode", "roots_code"]


class RootsCode(NamedTuple):
    """The body of ``_root_terms``, and what names its coordinate in ``Roots(…)``."""

    lines: list[str]
    coordinate: int
    kind: str


def roots_code(record: Record) -> RootsCode | None:
    """The polynomials of the one coordinate that has them; else None.

    >>> from relrep_sym.declare.chart import identity
    >>> from relrep_sym.declare.model import mixture
    >>> code = roots_code(Record("t", identity(mixture("normal", components=3, means="tied"))))
    >>> code.kind, code.lines[-4:-2]
    ('shift', ['above = np.array([t_1 * mass, -mass])', 'ones = np.ones_like(mass)'])
    """
    joint, chart = record.joint, record.chart
    open_roots = [r for r in joint.roots if r.value is None and r.degree is not None]
    if joint.way == "coordinates" and len(open_roots) == 1:
        (root,) = open_roots
        if any(e.atoms(Constant) for e in root.entries):
            return None
        kind = "value" if root.unknown == sp.Symbol(root.name) else "exp"
        return RootsCode(_of_entries(record.model, root), chart.names.index(root.name), kind)
    profile = record.profile
    if profile is None or chart.whole is not None:
        return None
    alone = [n for n, entry in chart.stands_for.items() if entry == profile.role]
    location = record.model.family.location
    if len(alone) != 1 or location is None or location.name != profile.role:
        return None
    return RootsCode(_of_profile(record.model, profile), chart.names.index(alone[0]), "shift")


def _of_profile(model: Mixture, profile: Profile) -> list[str]:
    """One generic component's slope, with the others at their best, as a ratio of polynomials."""
    symbol = model.family.parameter(profile.role).symbol
    parts = [sp.Poly(e, symbol).all_coeffs()[::-1] for e in sp.fraction(profile.slope)]
    used = {s.name for p in parts for c in p for s in c.free_symbols}
    above = [_text(statistic_symbol(0) * c, _plain) for c in parts[0]]
    below = [_text(c, _plain) if c.free_symbols else f"{_number(c)} * ones" for c in parts[1]]
    return [
        *statistic_lines(model, used),
        *bracketed("above = np.array([", above, "])"),
        "ones = np.ones_like(mass)",
        *bracketed("below = np.array([", below, "])"),
        "return above, below",
    ]


def _of_entries(model: Mixture, root: OneUnknown) -> list[str]:
    """Every component's own slope along the coordinate, as a ratio of polynomials."""
    family, pull = model.family, root.pull
    location = family.location
    statistic = pull.statistic
    if location is not None and statistic.has(shift_symbol(family)):
        moved = bool(model.of_role(location.name))  # its own maximiser is t_1 away
        shift = statistic_symbol(1) if moved else sp.Integer(0)
        statistic = sp.expand(statistic.xreplace({shift_symbol(family): shift}))
    tied = [
        p.symbol
        for p, pattern in zip(family.parameters, model.patterns, strict=True)
        if pattern == "tied"
    ]
    weight = statistic_symbol(0) * pull.factor.as_independent(*tied, as_Add=False)[0]
    symbol, z = sp.Symbol(root.name), sp.Dummy("z", positive=True)
    s, w = sp.Symbol("s"), sp.Symbol("w")
    tops: list[list[sp.Expr]] = []
    bottoms: list[list[sp.Expr]] = []
    for value in root.entries:
        slope = (pull.shape * (s - pull.link)).xreplace({pull.symbol: value})
        whole = w * slope * sp.diff(value, symbol)
        inner = z if root.unknown == symbol else sp.log(z)
        top, bottom = sp.fraction(sp.together(sp.expand(whole.subs(symbol, inner))))
        tops.append(sp.Poly(top, z).all_coeffs()[::-1])
        bottoms.append(sp.Poly(bottom, z).all_coeffs()[::-1])
    used = {x.name for e in (statistic, weight) for x in e.free_symbols}
    return [
        *statistic_lines(model, used),
        f"s = {_text(statistic, _plain)}",
        f"w = {_text(weight, _plain)}",
        *_table("above", tops),
        *_table("below", bottoms),
        "return above, below",
    ]


def _table(name: str, rows: Sequence[Sequence[sp.Expr]]) -> list[str]:
    """``name`` (degree + 1, K, B) from each component's coefficients, lowest first."""
    count = max(len(r) for r in rows)
    texts = []
    for degree in range(count):
        cells = []
        for k, row in enumerate(rows):
            value = row[degree] if degree < len(row) else sp.Integer(0)
            if value.free_symbols:
                cells.append(_text(value, _at(k)))
            else:
                cells.append(f"np.full_like(mass[0], {_number(value)})")
        texts.append(f"[{', '.join(cells)}]")
    return [f"{name} = np.array(", "    [", *(f"        {t}," for t in texts), "    ]", ")"]


def _at(k: int) -> Callable[[sp.Symbol], Node]:
    return lambda symbol: Item(symbol.name, k)


def _plain(symbol: sp.Symbol) -> Node:
    return Var("mass" if symbol.name == "N" else symbol.name)


def _text(value: sp.Expr, leaf: Callable[[sp.Symbol], Node]) -> str:
    return infix(lower(value, leaf))


def _number(value: sp.Expr) -> str:
    return repr(float(value))
