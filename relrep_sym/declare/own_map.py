"""A user's own map: for each entry of θ, or of a chart's coordinates, an expression.

In: a model or a chart, and texts or SymPy expressions. Out: a :class:`~.chart.Chart`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import sympy as sp

from relrep_sym.declare.bounded import MAX_SECONDS
from relrep_sym.declare.chart import Chart, Coordinate, Given, Local, Slot, slots
from relrep_sym.declare.compose import declared
from relrep_sym.declare.domains import Domain, domain
from relrep_sym.declare.functions import spelled_out
from relrep_sym.declare.model import Mixture
from relrep_sym.declare.parser import AnyName, check_name, expression, substitute
from relrep_sym.declare.patience import Patience, TooLong
from relrep_sym.declare.symbols import Constant
from relrep_sym.errors import DeclarationError, problem

__all__ = ["chart", "insist_smooth"]


def chart(
    model: Mixture | Chart,
    map: Mapping[str, object],
    *,
    domains: Mapping[str, str] | None = None,
    coordinates: Sequence[str] | None = None,
    inverse: Mapping[str, object] | None = None,
    constants: Mapping[str, str] | Sequence[str] | None = None,
) -> Chart:
    """Any chart: for each entry of θ an expression in coordinates, as a string or in SymPy.

    Every name on a right-hand side is a coordinate, also where it is spelled like a parameter, but
    for ``constants``: names (of real numbers), or a mapping from names to domains, that are given
    with each call and not learned. Coordinates are in order of first appearance, parameters taken
    in θ's order, unless ``coordinates`` says otherwise. A coordinate that stands alone for a
    parameter takes its domain; others are real unless ``domains`` says. ``inverse`` gives each
    coordinate in terms of θ; it is checked.

    In the place of the model there may be a chart: the map is then of its coordinates, and those
    that it does not name stay as they are.

    Raises DeclarationError for a map that misses a parameter or names an unknown one, ParseError
    for a text that is not an expression.

    >>> from relrep_sym.declare.model import mixture
    >>> m = mixture("normal", components=2, scales=1)
    >>> chart(m, {"pi_1": "v", "mu_1": "w + (1 - v)*u", "mu_2": "w - v*u"}).names
    ('v', 'w', 'u')
    >>> from relrep_sym.declare.charts import relative
    >>> chart(relative(m, "mu"), {"Delta_1": "exp(rho)"}).program[2][1]
    mu_1 + exp(rho)
    """
    entries = slots(model)
    if not isinstance(map, Mapping):
        raise DeclarationError(
            problem("the map is not a mapping", type(map).__name__, "{parameter: expression}")
        )
    if isinstance(model, Chart):
        map = {**{s.name: s.name for s in entries if s.name not in map}, **map}
        map = {n: map[n] for n in [*(s.name for s in entries if s.name in map), *map]}
    _cover(model, entries, map)
    for given, name in ((domains, "domains="), (inverse, "inverse=")):
        if given is not None and not isinstance(given, Mapping):
            raise DeclarationError(
                problem(f"{name} is not a mapping", type(given).__name__, "{coordinate: …}")
            )
    constant = _constants(constants)
    wanted = _listed(coordinates)
    names = AnyName("coordinate", {c.name: c.symbol for c in constant})
    rules = {s.name: _rule(map[s.name], names, f"the map of {s.name}") for s in entries}
    order = wanted or _appearance(rules.values(), [map[s.name] for s in entries])
    used = {s.name for rule in rules.values() for s in _coordinates(rule)}
    if set(order) != used:
        raise DeclarationError(
            problem(
                "coordinates= does not list the names that the map uses",
                ", ".join(order),
                ", ".join(sorted(used)),
            )
        )
    if not order:
        raise DeclarationError(
            problem("the map uses no coordinate", dict(map), "at least one name")
        )
    chosen = _domains(entries, rules, order, domains or {})
    found = tuple(Coordinate(name, chosen[name]) for name in order)
    _check_proven(entries, rules, (*found, *constant))
    program = tuple((s.symbol, rules[s.name]) for s in entries)
    local = Local(found, program, OWN_MAP, constants=constant, own=True)
    if inverse is not None:
        local = _with_inverse(local, inverse)
    return declared(model, local)


OWN_MAP = "chart of the user's own"


def _constants(given: object) -> tuple[Given, ...]:
    if given is None:
        return ()
    if isinstance(given, Mapping):
        pairs = [(n, domain(where)) for n, where in given.items()]
    elif isinstance(given, Sequence) and not isinstance(given, str):
        pairs = [(n, domain("real")) for n in given]
    else:
        right = 'a list of names, or {name: domain} such as {"lam": "nonnegative"}'
        raise DeclarationError(problem("constants= is neither names nor domains", given, right))
    return tuple(Given(check_name(n, kind="constant"), where) for n, where in pairs)


def _coordinates(rule: sp.Expr) -> set[sp.Symbol]:
    """The coordinates that a rule reads."""
    return {s for s in rule.free_symbols if not isinstance(s, Constant)}


def _listed(coordinates: object) -> list[str]:
    """The names of ``coordinates=``, each once."""
    if coordinates is None:
        return []
    if isinstance(coordinates, str) or not isinstance(coordinates, Sequence) or not coordinates:
        raise DeclarationError(
            problem("coordinates= is no list of names", coordinates, '["v", "u", "w"]')
        )
    names = [check_name(name, kind="coordinate") for name in coordinates]
    twice = [n for k, n in enumerate(names) if n in names[:k]]
    if twice:
        raise DeclarationError(
            problem(f"coordinates= names {twice[0]} twice", ", ".join(names), "each name once")
        )
    return names


def _cover(model: Mixture | Chart, entries: Sequence[Slot], map: Mapping[str, object]) -> None:
    names = [s.name for s in entries]
    shown = ", ".join(str(name) for name in map)
    unknown = [str(name) for name in map if name not in names]
    missing = [name for name in names if name not in map]
    if unknown:
        fixed = model.fixed if isinstance(model, Mixture) else {}
        hint = " (fixed in this model)" if all(n in fixed for n in unknown) else ""
        what = "parameter of the model" if isinstance(model, Mixture) else "coordinate of the chart"
        raise DeclarationError(
            problem(
                f"the map names no {what}: {', '.join(unknown)}{hint}",
                shown,
                "exactly " + ", ".join(names),
            )
        )
    if missing:
        raise DeclarationError(
            problem(
                f"the map misses {', '.join(missing)}",
                shown,
                "an expression for each of " + ", ".join(names),
            )
        )


def _rule(value: object, names: Mapping[str, sp.Symbol], where: str) -> sp.Expr:
    found = expression(value, names, where=where)
    insist_smooth(found, where)
    return found


def insist_smooth(rule: sp.Expr, where: str) -> None:
    """Refuse what has no derivative somewhere inside its domain."""
    if rule.has(sp.Abs):
        right = "a smooth function, or a coordinate whose domain is nonnegative"
        raise DeclarationError(problem(f"{where}: abs is not smooth", str(rule), right))


def _appearance(rules: object, texts: Sequence[object]) -> list[str]:
    """Names in order of first appearance: in the text as written, in SymPy's order otherwise."""
    order: list[str] = []
    for rule, text in zip(rules, texts, strict=True):  # type: ignore[call-overload]
        symbols = _coordinates(rule)
        names = {s.name for s in symbols}
        if isinstance(text, str):
            ranked = sorted(names, key=lambda n: (_position(n, text), n))
        else:
            ranked = [s.name for s in sorted(symbols, key=sp.default_sort_key)]
        order += [n for n in ranked if n not in order]
    return order


def _position(name: str, text: str) -> int:
    """Where ``name`` first stands in ``text`` as a whole word."""
    at = text.find(name)
    while at >= 0:
        before, after = text[at - 1 : at], text[at + len(name) : at + len(name) + 1]
        if not (before.isalnum() or before == "_" or after.isalnum() or after == "_"):
            return at
        at = text.find(name, at + 1)
    return len(text)


def _domains(
    entries: Sequence[Slot],
    rules: Mapping[str, sp.Expr],
    order: Sequence[str],
    given: Mapping[str, str],
) -> dict[str, Domain]:
    unknown = [str(n) for n in given if n not in order]
    if unknown:
        raise DeclarationError(
            problem(
                "domains= names no coordinate", ", ".join(unknown), "one of " + ", ".join(order)
            )
        )
    alone = {rules[s.name]: s.domain for s in reversed(entries)}
    return {
        n: domain(given[n]) if n in given else alone.get(sp.Symbol(n), domain("real"))
        for n in order
    }


def _check_proven(
    entries: Sequence[Slot],
    rules: Mapping[str, sp.Expr],
    inputs: Sequence[Coordinate | Given],
) -> None:
    assumed = {c.symbol: sp.Dummy(c.name, **c.domain.assumptions()) for c in inputs}
    for p in entries:
        if _proven_outside(p.domain, rules[p.name], assumed):
            raise DeclarationError(
                problem(
                    f"the map of {p.name} leaves its domain everywhere",
                    str(rules[p.name]),
                    f"values in the {p.domain.name} domain",
                )
            )


def _proven_outside(wanted: Domain, rule: sp.Expr, assumed: Mapping[sp.Symbol, sp.Symbol]) -> bool:
    """Whether SymPy proves, in a time that a proof is worth, that the rule leaves the domain."""
    try:
        with Patience(MAX_SECONDS) as patience:
            patience.watch()
            return wanted.proves_violation(rule.xreplace(assumed))
    except TooLong:
        return False


def _with_inverse(local: Local, inverse: Mapping[str, object]) -> Local:
    """The map with the inverse that was given, after checking that it inverts."""
    names: dict[str, sp.Symbol] = {c.name: c.symbol for c in local.constants}
    names |= {t.name: t for t, _ in local.program}
    order = [c.name for c in local.coordinates]
    if set(inverse) != set(order):
        raise DeclarationError(
            problem(
                "the inverse does not give each coordinate",
                ", ".join(map(str, inverse)),
                ", ".join(order),
            )
        )
    values = dict(local.program)
    inputs = [*(c.symbol for c in local.coordinates), *(c.symbol for c in local.constants)]
    found: list[tuple[sp.Symbol, sp.Expr]] = []
    for name in order:
        rule = expression(inverse[name], names, where=f"the inverse of {name}")
        probes = [
            {s: sp.Rational(k + 3 + 2 * j, 7 + 3 * j + 5 * k) for j, s in enumerate(inputs)}
            for k in range(3)
        ]
        for probe in probes:
            because = _misses(name, rule, values, probe)
            if because is not None:
                raise DeclarationError(
                    problem(
                        f"the inverse given for {name} does not invert the map{because}",
                        str(inverse[name]),
                        f"{name} at {', '.join(f'{s}={v}' for s, v in probe.items())}",
                    )
                )
        found.append((sp.Symbol(name), rule))
    return replace(local, inverse=tuple(found))


def _misses(
    name: str,
    rule: sp.Expr,
    values: Mapping[sp.Symbol, sp.Expr],
    probe: Mapping[sp.Symbol, sp.Expr],
) -> str | None:
    """Why an inverse does not come back to a point, in brackets where it has no value there."""
    try:
        back = spelled_out(substitute(rule, values, where=name))
        got = substitute(back, probe, where=name)
    except DeclarationError as why:
        return f" ({str(why).partition(';')[0].partition(': ')[2]})"
    miss = sp.N(got - probe[sp.Symbol(name)], 30)
    return None if miss.is_finite and abs(miss) <= 1e-20 else ""
