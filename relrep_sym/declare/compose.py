"""Composition: a map of a chart's coordinates and the chart, made one straight-line program.

In: a model or a chart, and a map as it was declared (:class:`~.chart.Local`). Out: a
:class:`~.chart.Chart`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import sympy as sp

from relrep_sym.declare.chart import (
    Chart,
    Coordinate,
    Given,
    Local,
    is_plain,
    united,
)
from relrep_sym.declare.model import Mixture
from relrep_sym.declare.symbols import Constant, Intermediate, Parameter, split_index
from relrep_sym.errors import DeclarationError, problem

__all__ = ["composed", "declared", "seen_from"]


def declared(on: Mixture | Chart, local: Local) -> Chart:
    """The chart that a map makes of a model, or of a chart's coordinates."""
    if isinstance(on, Chart):
        return replace(composed(on, local), over=on)
    _insist_apart(local.coordinates, local.constants)
    return Chart(
        on,
        local.coordinates,
        local.program,
        local.title,
        local.inverse,
        local.constants,
        local.weights,
        local.own,
    )


def composed(outer: Chart, local: Local) -> Chart:
    """θ = outer(local(λ)): one straight-line program.

    A coordinate of the outer chart becomes what the map says of it: another coordinate, an entry of
    θ where it stands for one alone, or an intermediate; one that is read once is put in where it
    is read.
    """
    taken = {c.name for c in local.coordinates} | {c.name for c in local.constants}
    taken |= {t.name for t, _ in outer.program}
    direct = {rule: target for target, rule in reversed(outer.program) if is_plain(rule)}
    # what a slot is, for the map's own rules, and what a coordinate is, for the outer chart's: the
    # map may have coordinates that are called like the outer ones, and are others
    filled: dict[sp.Symbol, sp.Expr] = {}
    stands: dict[sp.Symbol, sp.Expr] = {}
    program: list[tuple[Parameter, sp.Expr]] = []
    fresh: list[Parameter] = []
    for target, rule in local.program:
        rule = rule.xreplace(filled)
        coordinate = sp.Symbol(target.name)
        if isinstance(target, Intermediate):
            name = Intermediate(_free(target.name, taken))
            filled[target] = name
            taken.add(name.name)
            program.append((name, rule))
            fresh.append(name)
        elif is_plain(rule):
            filled[target] = stands[coordinate] = rule
        elif coordinate in direct:
            filled[target] = stands[coordinate] = direct[coordinate]
            program.append((direct[coordinate], rule))
        else:
            name = Intermediate(_free(target.name, taken))
            filled[target] = stands[coordinate] = name
            taken.add(name.name)
            program.append((name, rule))
            fresh.append(name)
    done = {t for t, _ in program}
    # the outer chart's own intermediates keep apart from coordinates that are called like them
    own = {t: Intermediate(_free(t.name, taken - {t.name})) for t in outer.intermediates}
    program += [
        (own.get(t, t), rule.xreplace({**stands, **own}))
        for t, rule in outer.program
        if t not in done
    ]
    weights = None
    if outer.weights is not None:
        weights = tuple(w.xreplace({**stands, **own}) for w in outer.weights)
    elif local.weights is not None and all(
        direct.get(sp.Symbol(p.name)) == p.symbol for p in outer.model.of_role("weight")
    ):
        weights = tuple(w.xreplace(filled) for w in local.weights)
    hints = [
        (stands.get(s, own.get(s, s)), e.xreplace({**stands, **own})) for s, e in outer.inverse
    ]
    hints += [(filled.get(s, s), e.xreplace(filled)) for s, e in local.inverse]
    program = _inlined(program, fresh, [*(weights or ()), *(e for pair in hints for e in pair)])
    constants = united(outer.constants, local.constants)
    _insist_apart(local.coordinates, constants)
    parts = [t for t in (outer.title, local.title) if t != "identity chart"]
    return Chart(
        outer.model,
        local.coordinates,
        tuple(program),
        "; ".join(parts) or "identity chart",
        tuple(hints),
        constants,
        weights,
        outer.own or local.own,
    )


def _free(name: str, taken: Iterable[str]) -> str:
    """A name for an intermediate that nothing else has."""
    stem, number = split_index(name)
    end = "" if number is None else f"_{number}"
    while f"{stem}{end}" in taken:
        stem += "_o"
    return f"{stem}{end}"


def _inlined(
    program: Sequence[tuple[Parameter, sp.Expr]],
    candidates: Sequence[Parameter],
    elsewhere: Sequence[sp.Expr],
) -> list[tuple[Parameter, sp.Expr]]:
    """The program with intermediates that one rule alone reads put in there."""
    rules = dict(program)
    for c in candidates:
        readers = [t for t, rule in rules.items() if rule.has(c)]
        if len(readers) == 1 and not any(e.has(c) for e in elsewhere):
            rules[readers[0]] = rules[readers[0]].xreplace({c: rules.pop(c)})
    return list(rules.items())


def _insist_apart(coordinates: Sequence[Coordinate], constants: Sequence[Given]) -> None:
    both = {c.name for c in coordinates} & {c.name for c in constants}
    names = [c.name for c in coordinates]
    twice = [n for k, n in enumerate(names) if n in names[:k]]
    if both or twice:
        name = sorted(both)[0] if both else twice[0]
        wrong = f"{name} is both a coordinate and a constant" if both else f"two coordinates {name}"
        raise DeclarationError(problem(wrong, ", ".join(names), "a name of its own for each"))


def seen_from(outer: Chart, inner: Chart) -> Local:
    """A chart of the same model as a map of another chart's coordinates."""
    rules = dict(inner.program)
    moved = [
        t.name
        for t, rule in inner.program
        if t not in inner.intermediates
        and not (is_plain(rule) and rule.name == t.name)
        and t.name not in outer.names
    ]
    if moved:
        raise DeclarationError(
            problem(
                f"the inner chart changes {', '.join(moved)}, which the outer chart has not",
                f"an outer chart with coordinates {', '.join(outer.names)}",
                "an inner chart that leaves other entries of θ as they are, or one declared on the "
                "outer chart: rs.chart(outer, {coordinate: expression})",
            )
        )
    domains = {c.name: c for c in inner.coordinates}
    needed: dict[Parameter, sp.Expr] = {}

    def need(target: Parameter) -> None:
        if target in needed:
            return
        rule = rules[target]
        for symbol in sorted(rule.free_symbols, key=lambda s: s.name):
            if isinstance(symbol, Parameter):
                need(symbol)
        needed[target] = rule

    program: list[tuple[Parameter, sp.Expr]] = []
    order: list[Coordinate] = []
    for c in outer.coordinates:
        target = Parameter(c.name)
        if target in rules:
            need(target)
        else:
            needed[target] = c.symbol
            domains.setdefault(c.name, c)
    outside = [t.name for t in needed if t.name not in outer.names and t not in inner.intermediates]
    if outside:
        raise DeclarationError(
            problem(
                f"the inner chart needs {', '.join(outside)}, which the outer chart has not",
                ", ".join(outer.names),
                "an inner chart of the outer chart's coordinates alone",
            )
        )
    program = list(needed.items())
    read = {s for _, rule in program for s in rule.free_symbols}
    order = [domains[n] for n in _ordered(inner, outer, program) if sp.Symbol(n) in read]
    weights = inner.weights
    if weights is not None and not all(
        s in needed for w in weights for s in w.free_symbols if isinstance(s, Parameter)
    ):
        rest = [(t, r) for t, r in inner.program if t not in needed]
        program += [(t, r) for t, r in rest if t in inner.intermediates]
    hints = tuple((s, e) for s, e in inner.inverse)
    used = {s for _, r in program for s in r.free_symbols}
    constants = tuple(c for c in inner.constants if c.symbol in used)
    return Local(tuple(order), tuple(program), inner.title, hints, constants, weights, inner.own)


def _ordered(inner: Chart, outer: Chart, program: Sequence[tuple[Parameter, sp.Expr]]) -> list[str]:
    """Coordinates of a composition, in the order of the outer chart's that they stand in for."""
    rules = dict(program)
    place = {n: j for j, n in enumerate((*inner.names, *outer.names))}
    out: dict[str, None] = {}

    def visit(rule: sp.Expr) -> None:
        symbols = rule.free_symbols
        for s in sorted(
            (s for s in symbols if not isinstance(s, Parameter | Constant)),
            key=lambda s: place.get(s.name, 0),
        ):
            out.setdefault(s.name)
        for s in sorted((s for s in symbols if isinstance(s, Parameter)), key=lambda s: s.name):
            visit(rules[s])

    for c in outer.coordinates:
        visit(rules[Parameter(c.name)])
    return list(out)
