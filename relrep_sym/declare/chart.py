"""Charts θ = c(λ), as straight-line programs.

In: a model and a map. Out: a frozen :class:`Chart`: coordinates with domains, and assignments, one
for each entry of θ and perhaps some between, each of which may use those before it
(μ_k = μ_{k−1} + …), so that a derivative is a few local ones and cost grows with the length of the
program, not with the unrolled sums. Charts compose: :func:`composed`, or ``outer @ inner``.

The named charts are in :mod:`.charts`, a user's own map is read in :mod:`.own_map`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import sympy as sp

from relrep_sym.declare.domains import Domain
from relrep_sym.declare.model import Mixture
from relrep_sym.declare.notebook import chart_latex
from relrep_sym.declare.symbols import Constant, Intermediate, Parameter, split_index
from relrep_sym.errors import DeclarationError, problem

__all__ = [
    "Chart",
    "Coordinate",
    "Given",
    "Local",
    "Slot",
    "composed",
    "held",
    "identity",
    "slots",
    "with_constants",
]

Assignments = tuple[tuple[Parameter, sp.Expr], ...]


@dataclass(frozen=True, slots=True)
class Coordinate:
    """One coordinate λ_j: its name and the domain it moves in."""

    name: str
    domain: Domain

    @property
    def symbol(self) -> sp.Symbol:
        """The coordinate's symbol."""
        return sp.Symbol(self.name)


@dataclass(frozen=True, slots=True)
class Given:
    """A constant of a chart: given, not learned; a required keyword of every kernel."""

    name: str
    domain: Domain

    @property
    def symbol(self) -> Constant:
        """The constant's symbol."""
        return Constant(self.name)


@dataclass(frozen=True)
class Chart:
    """A smooth map θ = c(λ) for a model.

    ``program`` holds pairs (target, expression) in order of computation: a target is an entry of θ
    or an :class:`~.symbols.Intermediate`; an expression is in coordinates (plain symbols), in
    ``constants`` and in earlier targets. ``inverse`` holds what was given of the inverse: pairs
    (coordinate or intermediate, expression in θ and in other such). ``weights``, where a chart
    knows every weight better than as one minus the rest, are all K of them. ``own`` says that a map
    of the user's own is in it; ``over`` is the chart that it was declared on, and ``whole`` the one
    of which it holds some coordinates.

    >>> from relrep_sym.declare.charts import relative
    >>> from relrep_sym.declare.model import mixture
    >>> from relrep_sym.declare.weight_charts import softmax
    >>> model = mixture("normal", components=3, scales=1)
    >>> relative(model, "mu").names
    ('pi_1', 'pi_2', 'mu_1', 'Delta_1', 'Delta_2')
    >>> (relative(model, "mu") @ softmax(model)).names
    ('alpha_1', 'alpha_2', 'mu_1', 'Delta_1', 'Delta_2')
    """

    model: Mixture
    coordinates: tuple[Coordinate, ...]
    program: Assignments
    title: str
    inverse: tuple[tuple[sp.Symbol, sp.Expr], ...] = ()
    constants: tuple[Given, ...] = ()
    weights: tuple[sp.Expr, ...] | None = None
    own: bool = False
    over: Chart | None = None
    whole: Chart | None = None

    def _repr_latex_(self) -> str:
        return chart_latex(self)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The coordinates' names, in order."""
        return tuple(c.name for c in self.coordinates)

    @cached_property
    def symbols(self) -> tuple[sp.Symbol, ...]:
        """The coordinates' symbols, in order."""
        return tuple(c.symbol for c in self.coordinates)

    @cached_property
    def inputs(self) -> tuple[sp.Symbol, ...]:
        """The coordinates' symbols, then the constants': the rows that a kernel gets."""
        return (*self.symbols, *(c.symbol for c in self.constants))

    @cached_property
    def intermediates(self) -> tuple[Parameter, ...]:
        """The targets of the program that are no entry of θ."""
        entries = {p.symbol for p in self.model.parameters}
        return tuple(t for t, _ in self.program if t not in entries)

    @cached_property
    def every_value(self) -> dict[Parameter, sp.Expr]:
        """Each target of the program in the coordinates and constants alone."""
        out: dict[Parameter, sp.Expr] = {}
        for target, rule in self.program:
            earlier = {p: out[p] for p in rule.free_symbols if isinstance(p, Parameter)}
            out[target] = rule.xreplace(earlier) if earlier else rule
        return out

    @cached_property
    def unrolled(self) -> dict[Parameter, sp.Expr]:
        """Each entry of θ in the coordinates and constants alone."""
        return {p.symbol: self.every_value[p.symbol] for p in self.model.parameters}

    @cached_property
    def stands_for(self) -> dict[str, str]:
        """Coordinates that are an entry of θ themselves: name of the coordinate → of the entry."""
        return {rule.name: target.name for target, rule in reversed(self.program) if is_plain(rule)}

    @cached_property
    def mixed(self) -> tuple[str, ...]:
        """Coordinates that weights and other entries of θ both depend on."""
        roles: dict[sp.Symbol, set[bool]] = {s: set() for s in self.symbols}
        for p in self.model.parameters:
            for s in self.unrolled[p.symbol].free_symbols:
                if s in roles:
                    roles[s].add(p.role == "weight")
        return tuple(s.name for s, found in roles.items() if len(found) == 2)

    @cached_property
    def weight_expressions(self) -> tuple[sp.Expr, ...]:
        """π_1 … π_K in the program's targets."""
        return self.weights if self.weights is not None else self.model.weight_expressions

    @property
    def last_weight(self) -> Intermediate | None:
        """The intermediate that is the last free weight, where the chart knows it as such."""
        free = self.model.free_weights
        found = self.weight_expressions[free[-1]] if free else None
        return found if isinstance(found, Intermediate) else None

    def __matmul__(self, inner: object) -> Chart:
        """``outer @ inner``: the outer chart's coordinates as functions of the inner chart's.

        ``inner`` is a chart of the same model, whose entries of θ stand for the outer chart's
        coordinates of the same name, or a chart that was declared on ``outer`` itself.

        Raises DeclarationError where the models differ, and where the inner chart changes an entry
        that is no coordinate of the outer one.
        """
        if not isinstance(inner, Chart):
            right = "a chart, as in rs.relative(model) @ rs.softmax(model)"
            raise DeclarationError(problem("this is no chart", type(inner).__name__, right))
        if inner.model != self.model:
            raise DeclarationError(
                problem(
                    "the charts are of different models",
                    inner.model.describe(),
                    self.model.describe(),
                )
            )
        return inner if inner.over == self else composed(self, _seen_from(self, inner))


def is_plain(rule: sp.Expr) -> bool:
    """Whether a rule is a coordinate as it stands."""
    return isinstance(rule, sp.Symbol) and not isinstance(rule, Parameter | Constant)


@dataclass(frozen=True, slots=True)
class Slot:
    """What a map fills: an entry of θ, or a coordinate of the chart that the map is declared on."""

    name: str
    symbol: Parameter
    domain: Domain
    role: str
    number: int | None


def slots(on: object) -> tuple[Slot, ...]:
    """The entries of a model's θ, or a chart's coordinates, to be filled by a map.

    >>> from relrep_sym.declare.charts import log
    >>> from relrep_sym.declare.model import mixture
    >>> [(s.name, s.role, s.number) for s in slots(log(mixture("poisson", components=2), "rate"))]
    [('pi_1', 'weight', 1), ('log_rate_1', 'log_rate', 1), ('log_rate_2', 'log_rate', 2)]
    """
    if isinstance(on, Mixture):
        return tuple(
            Slot(
                p.name,
                p.symbol,
                p.domain,
                p.role,
                p.components[0] + 1 if len(p.components) == 1 else None,
            )
            for p in on.parameters
        )
    if not isinstance(on, Chart):
        right = "an rs.mixture(…), or a chart to compose with"
        raise DeclarationError(problem("a chart is of a model", type(on).__name__, right))
    roles = {p.name: p.role for p in on.model.parameters}
    out = []
    for c in on.coordinates:
        stem, number = split_index(c.name)
        own = roles.get(on.stands_for.get(c.name, ""))
        role = "weight" if own == "weight" else stem
        out.append(Slot(c.name, Parameter(c.name), c.domain, role, number))
    return tuple(out)


def model_of(on: Mixture | Chart) -> Mixture:
    """The model that a map in the end fills."""
    return on.model if isinstance(on, Chart) else on


@dataclass(frozen=True)
class Local:
    """A map as it was declared: the slots' symbols from coordinates, before it is composed."""

    coordinates: tuple[Coordinate, ...]
    program: Assignments
    title: str
    inverse: tuple[tuple[sp.Symbol, sp.Expr], ...] = ()
    constants: tuple[Given, ...] = ()
    weights: tuple[sp.Expr, ...] | None = None
    own: bool = False


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


def identity(model: Mixture | Chart) -> Chart:
    """The chart whose coordinates are the model's own parameters; of a chart, that chart.

    >>> from relrep_sym.declare.model import mixture
    >>> identity(mixture("poisson", components=2)).names
    ('pi_1', 'rate_1', 'rate_2')
    """
    entries = slots(model)
    if not entries:
        right = "a model with a free parameter"
        raise DeclarationError(
            problem("there is nothing to learn", model_of(model).describe(), right)
        )
    coordinates = tuple(Coordinate(s.name, s.domain) for s in entries)
    program = tuple((s.symbol, sp.Symbol(s.name)) for s in entries)
    return declared(model, Local(coordinates, program, "identity chart"))


# ------------------------------------------------------------------------------ composition


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
    constants = _united(outer.constants, local.constants)
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


def _united(first: Sequence[Given], second: Sequence[Given]) -> tuple[Given, ...]:
    known = {c.name: c for c in first}
    for c in second:
        if known.setdefault(c.name, c).domain != c.domain:
            raise DeclarationError(
                problem(
                    f"the constant {c.name} is declared twice with different domains",
                    f"{known[c.name].domain.name} and {c.domain.name}",
                    "one domain",
                )
            )
    return tuple(known.values())


def _insist_apart(coordinates: Sequence[Coordinate], constants: Sequence[Given]) -> None:
    both = {c.name for c in coordinates} & {c.name for c in constants}
    names = [c.name for c in coordinates]
    twice = [n for k, n in enumerate(names) if n in names[:k]]
    if both or twice:
        name = sorted(both)[0] if both else twice[0]
        wrong = f"{name} is both a coordinate and a constant" if both else f"two coordinates {name}"
        raise DeclarationError(problem(wrong, ", ".join(names), "a name of its own for each"))


def _seen_from(outer: Chart, inner: Chart) -> Local:
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


def held(chart: Chart, moving: object) -> Chart:
    """The chart with some coordinates moving, the others given as constants.

    Raises DeclarationError for names that are no coordinates, and where none moves.

    >>> from relrep_sym.declare.charts import relative
    >>> from relrep_sym.declare.model import mixture
    >>> c = held(relative(mixture("normal", components=2, scales=1), "mu"), ["Delta_1"])
    >>> c.names, [g.name for g in c.constants]
    (('Delta_1',), ['pi_1', 'mu_1'])
    """
    if isinstance(moving, str) or not isinstance(moving, Sequence) or not moving:
        right = "a list of the chart's coordinates, at least one"
        raise DeclarationError(problem("moving= is no list of names", moving, right))
    unknown = [str(n) for n in moving if n not in chart.names]
    if unknown:
        raise DeclarationError(
            problem(
                "moving= names no coordinate of the chart",
                ", ".join(unknown),
                "some of " + ", ".join(chart.names),
            )
        )
    still = [c for c in chart.coordinates if c.name not in moving]
    if not still:
        return chart
    given = tuple(Given(c.name, c.domain) for c in still)
    put = {c.symbol: g.symbol for c, g in zip(still, given, strict=True)}
    return replace(
        chart,
        coordinates=tuple(c for c in chart.coordinates if c.name in moving),
        program=tuple((t, rule.xreplace(put)) for t, rule in chart.program),
        title=f"{chart.title}; {', '.join(c.name for c in still)} held",
        inverse=tuple((s, e.xreplace(put)) for s, e in chart.inverse if s not in put),
        constants=_united(chart.constants, given),
        weights=None if chart.weights is None else tuple(w.xreplace(put) for w in chart.weights),
        over=None,
        whole=chart,
    )


def with_constants(chart: Chart, values: Mapping[str, sp.Expr]) -> Chart:
    """The chart with numbers for its constants.

    >>> from relrep_sym.declare.charts import relative
    >>> from relrep_sym.declare.model import mixture
    >>> c = relative(mixture("normal", components=2, scales=1), "mu", clearance="lam")
    >>> with_constants(c, {"lam": sp.Rational(1, 2)}).program[-1]
    (mu_2, mu_1 + Delta_1 + 1/2)
    """
    put = {c.symbol: values[c.name] for c in chart.constants}
    return replace(
        chart,
        program=tuple((t, rule.xreplace(put)) for t, rule in chart.program),
        inverse=tuple((s, e.xreplace(put)) for s, e in chart.inverse),
        constants=(),
        weights=None if chart.weights is None else tuple(w.xreplace(put) for w in chart.weights),
        over=None,
        whole=None,
    )
