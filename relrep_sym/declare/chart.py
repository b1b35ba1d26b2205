"""Charts θ = c(λ), as straight-line programs.

In: a model and a map. Out: a frozen :class:`Chart`: coordinates with domains, and assignments, one
for each entry of θ and perhaps some between, each of which may use those before it
(μ_k = μ_{k−1} + …), so that a derivative is a few local ones and cost grows with the length of the
program, not with the unrolled sums. Charts compose (:mod:`.compose`): ``outer @ inner``.

The named charts are in :mod:`.charts`, a user's own map is read in :mod:`.own_map`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import sympy as sp

from relrep_sym.declare.domains import Domain
from relrep_sym.declare.model import Mixture
from relrep_sym.declare.notebook import chart_latex, listed
from relrep_sym.declare.symbols import Constant, Intermediate, Parameter, split_index
from relrep_sym.errors import DeclarationError, problem

__all__ = [
    "Chart",
    "Coordinate",
    "Given",
    "Local",
    "Slot",
    "held",
    "identity",
    "is_plain",
    "model_of",
    "slots",
    "united",
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

    def __repr__(self) -> str:
        given = f"; constants {listed(c.name for c in self.constants)}" if self.constants else ""
        return f"<Chart: {self.title}; coordinates {listed(self.names)}{given}>"

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
        below: dict[sp.Symbol, set[sp.Symbol]] = {s: {s} for s in self.symbols}
        for target, rule in self.program:
            below[target] = {c for s in rule.free_symbols for c in below.get(s, ())}
        roles: dict[sp.Symbol, set[bool]] = {s: set() for s in self.symbols}
        for p in self.model.parameters:
            for s in below[p.symbol]:
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
        from relrep_sym.declare.compose import composed, seen_from  # it makes charts itself

        return inner if inner.over == self else composed(self, seen_from(self, inner))


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


def identity(model: Mixture | Chart) -> Chart:
    """The chart whose coordinates are the model's own parameters; of a chart, that chart.

    >>> from relrep_sym.declare.model import mixture
    >>> identity(mixture("poisson", components=2)).names
    ('pi_1', 'rate_1', 'rate_2')
    """
    if isinstance(model, Chart):
        return model
    entries = slots(model)
    if not entries:
        right = "a model with a free parameter"
        raise DeclarationError(problem("there is nothing to learn", model.describe(), right))
    coordinates = tuple(Coordinate(s.name, s.domain) for s in entries)
    program = tuple((s.symbol, sp.Symbol(s.name)) for s in entries)
    return Chart(model, coordinates, program, "identity chart")


def united(first: Sequence[Given], second: Sequence[Given]) -> tuple[Given, ...]:
    """The constants of two maps, each once; DeclarationError where their domains disagree."""
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
        constants=united(chart.constants, given),
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
