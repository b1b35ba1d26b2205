"""Charts θ = c(λ), as straight-line programs.

In: a model and a map. Out: a frozen :class:`Chart`: coordinates with domains, and one assignment
for each entry of θ that may use the entries before it (μ_k = μ_{k−1} + …), so that a derivative is
a few local ones and cost grows with the length of the program, not with the unrolled sums.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import sympy as sp

from relrep_sym.declare.bounded import MAX_SECONDS
from relrep_sym.declare.domains import Domain, domain
from relrep_sym.declare.model import Mixture
from relrep_sym.declare.parser import check_name, expression, number, substitute
from relrep_sym.declare.patience import Patience, TooLong
from relrep_sym.declare.symbols import Parameter
from relrep_sym.errors import DeclarationError, problem

__all__ = ["OWN_MAP", "Chart", "Coordinate", "chart", "identity", "log", "relative"]


OWN_MAP = "chart of the user's own"
"""The title of a chart that :func:`chart` made."""


@dataclass(frozen=True, slots=True)
class Coordinate:
    """One coordinate λ_j: its name and the domain it moves in."""

    name: str
    domain: Domain

    @property
    def symbol(self) -> sp.Symbol:
        """The coordinate's symbol."""
        return sp.Symbol(self.name)


@dataclass(frozen=True)
class Chart:
    """A smooth map θ = c(λ) for a model.

    ``program`` holds one pair (entry of θ, expression) in order of computation; an expression is in
    coordinates (plain symbols) and in earlier entries of θ (:class:`Parameter`). ``inverse``, where
    it was given, maps each coordinate's name to its expression in θ.

    >>> from relrep_sym.declare.model import mixture
    >>> relative(mixture("normal", components=3, scales=1), "mu").names
    ('pi_1', 'pi_2', 'mu_1', 'Delta_1', 'Delta_2')
    """

    model: Mixture
    coordinates: tuple[Coordinate, ...]
    program: tuple[tuple[Parameter, sp.Expr], ...]
    title: str
    inverse: tuple[tuple[str, sp.Expr], ...] | None = None

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The coordinates' names, in order."""
        return tuple(c.name for c in self.coordinates)

    @cached_property
    def symbols(self) -> tuple[sp.Symbol, ...]:
        """The coordinates' symbols, in order."""
        return tuple(c.symbol for c in self.coordinates)

    @cached_property
    def unrolled(self) -> dict[Parameter, sp.Expr]:
        """Each entry of θ in the coordinates alone."""
        out: dict[Parameter, sp.Expr] = {}
        for target, rule in self.program:
            earlier = {p: out[p] for p in rule.free_symbols if isinstance(p, Parameter)}
            out[target] = rule.xreplace(earlier) if earlier else rule
        return {p.symbol: out[p.symbol] for p in self.model.parameters}

    @cached_property
    def stands_for(self) -> dict[str, str]:
        """Coordinates that are an entry of θ themselves: name of the coordinate → of the entry."""
        return {
            rule.name: target.name
            for target, rule in reversed(self.program)
            if isinstance(rule, sp.Symbol) and not isinstance(rule, Parameter)
        }


def _model_of(model: object) -> Mixture:
    if not isinstance(model, Mixture):
        raise DeclarationError(
            problem("a chart is of a model", type(model).__name__, "an rs.mixture(…)")
        )
    return model


def identity(model: Mixture) -> Chart:
    """The chart whose coordinates are the model's own parameters.

    >>> from relrep_sym.declare.model import mixture
    >>> identity(mixture("poisson", components=2)).names
    ('pi_1', 'rate_1', 'rate_2')
    """
    model = _model_of(model)
    if not model.parameters:
        right = "a model with a free parameter"
        raise DeclarationError(problem("there is nothing to learn", model.describe(), right))
    coordinates = tuple(Coordinate(p.name, p.domain) for p in model.parameters)
    program = tuple((p.symbol, sp.Symbol(p.name)) for p in model.parameters)
    return Chart(model, coordinates, program, "identity chart")


def _free_role(model: Mixture, role: str, purpose: str) -> None:
    """Refuse a role that the family lacks or that is not free in every component."""
    model.family.parameter(role)
    if [len(p.components) for p in model.of_role(role)] != [1] * model.components:
        raise DeclarationError(
            problem(
                f"{purpose} needs {role} free in every component",
                model.describe(),
                f'{model.family.parameter(role).plural}="free"',
            )
        )


def relative(
    model: Mixture,
    parameter: str | Sequence[str] = "mu",
    *,
    gap: str = "plain",
    clearance: object = 0,
) -> Chart:
    """The relative chart: θ_k = θ_{k−1} + gap(Δ_{k−1}) + clearance, with θ_1 the reference.

    ``parameter`` is one of the family's parameters, or several. ``gap`` is ``"plain"`` (Δ ≥ 0) or
    ``"square"`` (Δ², Δ real). ``clearance`` is a number ≥ 0; Δ never contains it. Gaps are named
    ``Delta_k`` on a location, ``Delta_sigma_k`` on the scale ``sigma``. Source: paper 000, section
    2.

    Raises DeclarationError for an unknown parameter or gap, a negative clearance, fewer than two
    components, or a parameter that is not free in every component.

    >>> from relrep_sym.declare.model import mixture
    >>> c = relative(mixture("normal", components=2, scales=1), "mu", gap="square", clearance="1/2")
    >>> c.program[2][1] - c.program[1][0]
    Delta_1**2 + 1/2
    """
    model = _model_of(model)
    roles = (parameter,) if isinstance(parameter, str) else parameter
    if not isinstance(roles, Sequence) or not roles or len(set(map(str, roles))) < len(roles):
        right = "one of the family's parameters, or several distinct ones"
        raise DeclarationError(problem("a relative chart is on parameters", parameter, right))
    if gap not in ("plain", "square"):
        raise DeclarationError(problem("unknown gap", gap, '"plain" or "square"'))
    room = number(clearance, where="clearance")
    if not room.is_nonnegative:
        raise DeclarationError(problem("the clearance is negative", str(room), "a number >= 0"))
    if model.components < 2:
        raise DeclarationError(
            problem("a relative chart orders components", model.describe(), "two or more of them")
        )
    location = model.family.location
    coordinates: list[Coordinate] = []
    program: list[tuple[Parameter, sp.Expr]] = []
    for role in roles:
        _free_role(model, role, "a relative chart")
    for p in model.parameters:
        if p.role not in roles or p.components == (0,):
            coordinates.append(Coordinate(p.name, p.domain))
            program.append((p.symbol, sp.Symbol(p.name)))
            continue
        k = p.components[0]
        stem = "Delta" if location and p.role == location.name else f"Delta_{p.role}"
        delta = Coordinate(f"{stem}_{k}", domain("nonnegative" if gap == "plain" else "real"))
        step = delta.symbol if gap == "plain" else delta.symbol**2
        coordinates.append(delta)
        program.append((p.symbol, Parameter(f"{p.role}_{k}") + step + room))
    title = f"relative chart on {', '.join(roles)}, {gap} gap"
    return Chart(
        model, tuple(coordinates), tuple(program), title + (f", clearance {room}" if room else "")
    )


def log(model: Mixture, parameter: str) -> Chart:
    """The chart with the logarithm of a positive parameter: θ_k = exp(log_θ_k).

    >>> from relrep_sym.declare.model import mixture
    >>> log(mixture("poisson", components=2), "rate").names
    ('pi_1', 'log_rate_1', 'log_rate_2')
    """
    model = _model_of(model)
    wanted = model.family.parameter(parameter)
    if wanted.domain.name != "positive":
        raise DeclarationError(
            problem(f"{parameter} is {wanted.domain.name}", parameter, "a positive parameter")
        )
    if not model.of_role(parameter):
        raise DeclarationError(
            problem(f"no {wanted.plural} are learned", model.describe(), "a parameter in θ")
        )
    coordinates, program = [], []
    for p in model.parameters:
        logged = p.role == parameter
        c = Coordinate(
            f"log_{p.name}" if logged else p.name, domain("real") if logged else p.domain
        )
        coordinates.append(c)
        program.append((p.symbol, sp.exp(c.symbol) if logged else c.symbol))
    return Chart(model, tuple(coordinates), tuple(program), f"log chart on {parameter}")


def chart(
    model: Mixture,
    map: Mapping[str, object],
    *,
    domains: Mapping[str, str] | None = None,
    coordinates: Sequence[str] | None = None,
    inverse: Mapping[str, object] | None = None,
) -> Chart:
    """Any chart: for each entry of θ an expression in coordinates, as a string or in SymPy.

    Every name on a right-hand side is a coordinate, also where it is spelled like a parameter.
    Their order is that of first appearance, parameters taken in θ's order, unless ``coordinates``
    says otherwise. A coordinate that stands alone for a parameter takes its domain; others are real
    unless ``domains`` says. ``inverse`` gives each coordinate in terms of θ; it is checked.

    Raises DeclarationError for a map that misses a parameter or names an unknown one, ParseError
    for a text that is not an expression.

    >>> from relrep_sym.declare.model import mixture
    >>> m = mixture("normal", components=2, scales=1)
    >>> chart(m, {"pi_1": "v", "mu_1": "w + (1 - v)*u", "mu_2": "w - v*u"}).names
    ('v', 'w', 'u')
    """
    model = _model_of(model)
    if not isinstance(map, Mapping):
        raise DeclarationError(
            problem("the map is not a mapping", type(map).__name__, "{parameter: expression}")
        )
    _cover(model, map)
    for given, name in ((domains, "domains="), (inverse, "inverse=")):
        if given is not None and not isinstance(given, Mapping):
            raise DeclarationError(
                problem(f"{name} is not a mapping", type(given).__name__, "{coordinate: …}")
            )
    wanted = _listed(coordinates)
    rules = {p.name: _rule(map[p.name], f"the map of {p.name}") for p in model.parameters}
    order = wanted or _appearance(rules.values(), [map[p.name] for p in model.parameters])
    used = {s.name for rule in rules.values() for s in rule.free_symbols}
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
    chosen = _domains(model, rules, order, domains or {})
    found = tuple(Coordinate(name, chosen[name]) for name in order)
    _check_proven(model, rules, found)
    program = tuple((p.symbol, rules[p.name]) for p in model.parameters)
    declared = Chart(model, found, program, OWN_MAP)
    if inverse is None:
        return declared
    return _with_inverse(declared, inverse)


def _listed(coordinates: object) -> list[str]:
    """The names of ``coordinates=``, each once."""
    if coordinates is None:
        return []
    if isinstance(coordinates, str) or not isinstance(coordinates, Sequence):
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


def _cover(model: Mixture, map: Mapping[str, object]) -> None:
    shown = ", ".join(str(name) for name in map)
    unknown = [str(name) for name in map if name not in model.names]
    missing = [name for name in model.names if name not in map]
    if unknown:
        hint = " (fixed in this model)" if all(n in model.fixed for n in unknown) else ""
        raise DeclarationError(
            problem(
                f"the map names no parameter of the model: {', '.join(unknown)}{hint}",
                shown,
                "exactly " + ", ".join(model.names),
            )
        )
    if missing:
        raise DeclarationError(
            problem(
                f"the map misses {', '.join(missing)}",
                shown,
                "an expression for each of " + ", ".join(model.names),
            )
        )


class _AnyName(Mapping[str, sp.Symbol]):
    """Every well-formed name is a coordinate."""

    def __getitem__(self, name: str) -> sp.Symbol:
        return sp.Symbol(check_name(name, kind="coordinate"))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str)

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(())

    def __len__(self) -> int:
        return 0


def _rule(value: object, where: str) -> sp.Expr:
    found = expression(value, _AnyName(), where=where)
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
        names = {s.name for s in rule.free_symbols}
        if isinstance(text, str):
            ranked = sorted(names, key=lambda n: (_position(n, text), n))
        else:
            ranked = [s.name for s in sorted(rule.free_symbols, key=sp.default_sort_key)]
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
    model: Mixture, rules: Mapping[str, sp.Expr], order: Sequence[str], given: Mapping[str, str]
) -> dict[str, Domain]:
    unknown = [str(n) for n in given if n not in order]
    if unknown:
        raise DeclarationError(
            problem(
                "domains= names no coordinate", ", ".join(unknown), "one of " + ", ".join(order)
            )
        )
    alone = {rules[p.name]: p.domain for p in reversed(model.parameters)}
    return {
        n: domain(given[n]) if n in given else alone.get(sp.Symbol(n), domain("real"))
        for n in order
    }


def _check_proven(
    model: Mixture, rules: Mapping[str, sp.Expr], coordinates: Sequence[Coordinate]
) -> None:
    assumed = {c.symbol: sp.Dummy(c.name, **c.domain.assumptions()) for c in coordinates}
    for p in model.parameters:
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


def _with_inverse(declared: Chart, inverse: Mapping[str, object]) -> Chart:
    """The chart with the inverse that was given, after checking that it inverts."""
    theta = {p.name: p.symbol for p in declared.model.parameters}
    if set(inverse) != set(declared.names):
        raise DeclarationError(
            problem(
                "the inverse does not give each coordinate",
                ", ".join(map(str, inverse)),
                ", ".join(declared.names),
            )
        )
    found = []
    for name in declared.names:
        rule = expression(inverse[name], theta, where=f"the inverse of {name}")
        theta_of = {s.name: e for s, e in declared.unrolled.items() if s in rule.free_symbols}
        probes = [
            {
                s: sp.Rational(k + 3 + 2 * j, 7 + 3 * j + 5 * k)
                for j, s in enumerate(declared.symbols)
            }
            for k in range(3)
        ]
        for probe in probes:
            because = _misses(name, rule, theta_of, probe)
            if because is not None:
                raise DeclarationError(
                    problem(
                        f"the inverse given for {name} does not invert the map{because}",
                        str(inverse[name]),
                        f"{name} at {', '.join(f'{s}={v}' for s, v in probe.items())}",
                    )
                )
        found.append((name, rule))
    return Chart(
        declared.model, declared.coordinates, declared.program, declared.title, tuple(found)
    )


def _misses(
    name: str, rule: sp.Expr, theta_of: Mapping[str, sp.Expr], probe: Mapping[sp.Symbol, sp.Expr]
) -> str | None:
    """Why an inverse does not come back to a point, in brackets where it has no value there."""
    try:
        back = substitute(rule, theta_of, where=name)
        got = substitute(back, {s.name: v for s, v in probe.items()}, where=name)
    except DeclarationError as why:
        return f" ({str(why).partition(';')[0].partition(': ')[2]})"
    miss = sp.N(got - probe[sp.Symbol(name)], 30)
    return None if miss.is_finite and abs(miss) <= 1e-20 else ""
