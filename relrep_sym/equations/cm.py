r"""Conditional maximisers of Q: one coordinate moves, the others are held.

In: a chart. Out: for each coordinate a frozen :class:`CMStep`, which says how ∂Q/∂λ_j = 0 is
solved, or in words why it has no closed form. Nothing is known of a chart or a family by name: what
a coordinate moves is followed through the chart's program, and a component's part is

.. math:: \frac{\partial Q}{\partial \varphi_k} = N_k v_k h(\varphi_k) (s_k - g(\varphi_k))

(:mod:`.isotonic`). With a gap h(λ) that is added to φ_k, a_k times,

* Q is quadratic in h(λ) where it is in φ: h⁺ = h + Σ_k a_k N_k v_k (s_k − φ_k)/Σ_k a_k² N_k v_k;
* one parameter, a component's own or tied, has g(φ⁺) at the mean of its s_k, weighted by N_k v_k;
* where it is log φ_k that h is added to, and g and φ h(φ) are powers a and b, e^{a(h⁺ − h)} is
  Σ_k N_k v_k φ_k^b s_k/Σ_k N_k v_k φ_k^{a+b}.

Source: Meng and Rubin 1993; Esser and Nielsen 2022, section 4.2 and appendices B and C.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from heapq import heappop, heappush
from typing import Literal

import sympy as sp

from relrep_sym.declare.chart import Chart, is_plain
from relrep_sym.declare.family import Family
from relrep_sym.declare.functions import Softplus, SoftplusInverse
from relrep_sym.declare.symbols import Constant, Parameter
from relrep_sym.equations.isotonic import Pull, pull_of
from relrep_sym.equations.nodes import Entry
from relrep_sym.equations.program import slopes
from relrep_sym.equations.weights import WeightSlopes, weight_slopes

__all__ = ["CMStep", "Gap", "cm_steps", "gap_of", "powers_of", "root_of"]

Kind = Literal["shift", "own", "scaled", "simplex", "softmax", "stick", "none"]
Gap = Literal["plain", "square", "exp", "softplus"]

_U = sp.Symbol("u", real=True)
_GAPS: dict[Gap, tuple[sp.Expr, sp.Expr]] = {
    "plain": (_U, _U),
    "square": (_U**2, sp.sqrt(_U)),
    "exp": (sp.exp(_U), sp.log(_U)),
    "softplus": (Softplus(_U), SoftplusInverse(_U)),
}


def gap_of(gap: Gap, value: sp.Expr, *, inverse: bool = False) -> sp.Expr:
    """A gap's function of a coordinate, or its inverse.

    >>> gap_of("exp", sp.Symbol("a")), gap_of("square", sp.Integer(4), inverse=True)
    (exp(a), 2)
    """
    return _GAPS[gap][int(inverse)].xreplace({_U: value})


@dataclass(frozen=True)
class CMStep:
    """How Q is maximised over one coordinate, the others held.

    Attributes:
        name: the coordinate.
        kind: ``"shift"``: Q is quadratic in ``gap`` of it; ``"own"``: it is behind one parameter;
            ``"scaled"``: a factor of one or several; ``"simplex"``, ``"softmax"``, ``"stick"``: it
            makes weights; ``"none"``: there is no closed form.
        reason: where there is none, why, in words.
        gap: the function of the coordinate that is added.
        role: the family parameter that it moves, or ``"weight"``; empty where it moves several.
        slopes: by component, from zero on, what the gap is multiplied with.
        steady: whether the slopes are constants, so that several such coordinates are jointly
            quadratic.
        pull: ∂Q/∂φ of a component.
    """

    name: str
    kind: Kind
    reason: str = ""
    gap: Gap = "plain"
    role: str = ""
    slopes: tuple[tuple[int, sp.Expr], ...] = ()
    steady: bool = True
    pull: Pull | None = None

    @property
    def members(self) -> tuple[int, ...]:
        """The components that it moves, from zero on."""
        return tuple(k for k, _ in self.slopes)


def cm_steps(chart: Chart) -> tuple[CMStep, ...]:
    """The conditional step of each coordinate, in order.

    >>> from relrep_sym.declare.charts import relative
    >>> from relrep_sym.declare.model import mixture
    >>> c = relative(mixture("normal", components=3), ["mu", "sigma"], gap="square")
    >>> [(s.name, s.kind, s.members) for s in cm_steps(c)][2:6]
    [('mu_1', 'shift', (0, 1, 2)), ('Delta_1', 'shift', (1, 2)), ('Delta_2', 'shift', (2,)),
     ('sigma_1', 'none', (0, 1, 2))]
    """
    weighing = _weighing(chart)
    moves = _Moves(chart)
    out = []
    for name, symbol in zip(chart.names, chart.symbols, strict=True):
        kind = weighing.get(symbol)
        made = CMStep(name, kind, role="weight") if kind is not None else moves.step(name, symbol)
        out.append(made)
    return tuple(out)


# ------------------------------------------------------------------------------ the weights


def _weighing(chart: Chart) -> dict[sp.Symbol, Kind]:
    """The coordinates that make the weights alone, in a way that is solved."""
    free = [p.symbol for p in chart.model.of_role("weight")]
    rules = dict(chart.program)
    if not free:
        return {}
    own = [rules[s] for s in free]
    if all(is_plain(r) for r in own) and len(set(own)) == len(own):
        others = (r for t, r in chart.program if t not in free)
        if not any(r.has(*free, *own) for r in others):
            return dict.fromkeys(own, "simplex")
    out: dict[sp.Symbol, Kind] = {}
    for stem, found in weight_slopes(chart).items():
        kind = _kind_of(found, stem)
        if kind is None:
            return {}
        out |= {s: kind for s in chart.symbols if s.name.rpartition("_")[0] == stem}
    return out


def _kind_of(found: WeightSlopes, stem: str) -> Kind | None:
    """From ∂ log π_k/∂c_j for k < j, k = j, k > j."""
    share, own = Entry.of("pi", "@"), Entry.of(stem, "@")
    sides = {s for s in (found.before, found.after) if s is not None}
    if sides == {-share} and sp.expand(found.here - 1 + share) == 0:
        return "softmax"
    later = found.after
    if found.before in (0, None) and later is not None:
        if sp.simplify(found.here - 1 / own) == 0 and sp.simplify(later + 1 / (1 - own)) == 0:
            return "stick"
    return None


# ------------------------------------------------------------------------------ what is moved


@dataclass
class _Moved:
    """What a coordinate does: the slopes of θ's entries, or of their logarithms, in its gap."""

    gap: Gap
    plain: dict[sp.Symbol, sp.Expr]
    logs: dict[sp.Symbol, sp.Expr]


class _Unclear(Exception):
    """A coordinate enters in a way that is not seen through."""


class _Moves:
    """The chart's program, its local slopes found once for all coordinates."""

    def __init__(self, chart: Chart) -> None:
        self.chart = chart
        self.entries = {p.symbol: p for p in chart.model.parameters}
        self.rules = list(chart.program)
        self.read = [rule.free_symbols for _, rule in self.rules]
        self.readers: dict[sp.Symbol, list[int]] = {}
        for n, symbols in enumerate(self.read):
            for s in symbols:
                self.readers.setdefault(s, []).append(n)
        self.local: dict[tuple[int, bool], dict[sp.Symbol, sp.Expr]] = {}

    def step(self, name: str, symbol: sp.Symbol) -> CMStep:
        """The conditional step of one coordinate that makes no weights."""
        roles = self._roles(symbol)
        if len(roles) != 1:
            several = " and ".join(sorted(roles)) or "nothing"
            return CMStep(name, "none", f"it moves {several} together")
        (role,) = roles
        if role == "weight":
            return CMStep(name, "none", "it makes weights in a way that is not solved", role=role)
        first = self._tried(name, symbol, role, logs=False)
        if first.kind != "none":
            return first
        second = self._tried(name, symbol, role, logs=True)
        return second if second.kind != "none" else first

    def _tried(self, name: str, symbol: sp.Symbol, role: str, logs: bool) -> CMStep:
        """The step, exponentials read as such, or as what their arguments are the logarithm of."""
        try:
            moved = self._moved(symbol, logs)
        except _Unclear as why:
            return CMStep(name, "none", str(why), role=role)
        where = {**moved.plain, **moved.logs}
        hit = [self.entries[s] for s in where if s in self.entries]
        if moved.logs and any(s in self.entries for s in moved.plain):
            return CMStep(name, "none", f"it moves {role} and logarithms of it", role=role)
        members = tuple((k, where[p.symbol]) for p in hit for k in p.components)
        slopes = tuple(sorted(members, key=lambda pair: pair[0]))
        steady = all(isinstance(s, Constant) for _, a in slopes for s in a.free_symbols)
        family = self.chart.model.family
        pull = pull_of(family, role)
        made = CMStep(name, "none", "", moved.gap, role, slopes, steady, pull)
        kind, reason = _solved(family, made, len(hit), bool(moved.logs))
        return replace(made, kind=kind, reason=reason)

    def _roles(self, symbol: sp.Symbol) -> set[str]:
        """The kinds of parameters that depend on a coordinate."""
        todo, seen, roles = list(self.readers.get(symbol, ())), set[int](), set[str]()
        while todo:
            n = todo.pop()
            if n not in seen:
                seen.add(n)
                target = self.rules[n][0]
                if target in self.entries:
                    roles.add(self.entries[target].role)
                todo += self.readers.get(target, ())
        return roles

    def _moved(self, symbol: sp.Symbol, logged: bool) -> _Moved:
        gap: Gap | None = None
        plain: dict[sp.Symbol, sp.Expr] = {}
        logs: dict[sp.Symbol, sp.Expr] = {}
        queue = list(self.readers.get(symbol, ()))  # in order, and so a heap
        seen = set(queue)
        while queue:
            n = heappop(queue)
            target, rule = self.rules[n]
            slope, kind, made = self._entered(n, rule, symbol, plain, logs, logged)
            if kind is not None:
                if gap not in (None, kind):
                    raise _Unclear("it enters by several functions")
                gap = kind
            (logs if made else plain)[target] = slope
            for later in self.readers.get(target, ()):
                if later not in seen:
                    seen.add(later)
                    heappush(queue, later)
        if gap is None:
            raise _Unclear("it moves nothing")
        return _Moved(gap, plain, logs)

    def _entered(
        self,
        n: int,
        rule: sp.Expr,
        symbol: sp.Symbol,
        plain: Mapping[sp.Symbol, sp.Expr],
        logs: Mapping[sp.Symbol, sp.Expr],
        logged: bool,
    ) -> tuple[sp.Expr, Gap | None, bool]:
        """One step of the program: slope in the gap, the gap if it is read here, whether of the
        logarithm.
        """
        if logs and not self.read[n].isdisjoint(logs):
            raise _Unclear("what it is a factor of is used again")
        found = self._additive(n, rule, symbol, plain)
        if found is not None and not (logged and isinstance(rule, sp.exp)):
            return (*found, False)
        if isinstance(rule, sp.exp):
            inner = self._additive(n, rule.args[0], symbol, plain, logged=True)
            if inner is not None:
                return (*inner, True)
        raise _Unclear("it enters by a function that is not seen through")

    def _additive(
        self,
        n: int,
        rule: sp.Expr,
        symbol: sp.Symbol,
        plain: Mapping[sp.Symbol, sp.Expr],
        logged: bool = False,
    ) -> tuple[sp.Expr, Gap | None] | None:
        total: list[sp.Expr] = []
        gap: Gap | None = None
        if symbol in self.read[n]:
            terms = [t for t in sp.Add.make_args(rule) if symbol in t.free_symbols]
            if len(terms) != 1:
                return None
            factor, form = terms[0].as_independent(symbol, as_Add=False)
            gap = next((g for g in _GAPS if gap_of(g, symbol) == form), None)
            if gap is None or not factor.free_symbols.isdisjoint(plain):
                return None
            total.append(factor)
        inner = [s for s in self.read[n] if s in plain]
        if inner:
            if (n, logged) not in self.local:
                target = Parameter("log") if logged else self.rules[n][0]
                self.local[n, logged] = dict(slopes(self.chart, target, rule))
            for s in inner:
                slope = self.local[n, logged][s]
                if not slope.is_number:
                    own = slope.free_symbols
                    if symbol in own or not own.isdisjoint(plain):
                        return None
                total.append(plain[s] if slope == 1 else slope * plain[s])
        return total[0] if len(total) == 1 else sp.Add(*total), gap


# ------------------------------------------------------------------------------ what is solved


def _solved(family: Family, step: CMStep, count: int, logged: bool) -> tuple[Kind, str]:
    """The kind of a step that moves ``count`` entries of one role, or their logarithms."""
    pull = step.pull
    if pull is None:
        return "none", f"∂Q/∂{step.role} is not made of a few means of functions of x"
    located = family.location is not None and family.location.name == step.role
    if logged:
        if not located and powers_of(family, step.role) and all(a == 1 for _, a in step.slopes):
            return "scaled", ""
        return "none", f"several {step.role} are multiplied together"
    if pull.quadratic:
        return "shift", ""
    if count == 1 and all(a == 1 for _, a in step.slopes) and not located:
        if root_of(family, step.role) is not None:
            return "own", ""
        return "none", f"∂Q/∂{step.role} = 0 is not solved for it"
    if count == 1:
        return "none", f"∂Q/∂{step.role} = 0 is not solved for it"
    return "none", f"{count} {step.role} move together, and Q is not quadratic in them"


@cache
def root_of(family: Family, role: str) -> tuple[sp.Expr, sp.Symbol] | None:
    """φ with g(φ) = s, and the symbol s; None where it is not found.

    >>> from relrep_sym.declare.family import family_named
    >>> root_of(family_named("normal"), "sigma")[0]
    sqrt(s)
    """
    pull = pull_of(family, role)
    s = sp.Symbol("s", positive=True)
    if pull is None:
        return None
    base, power = pull.link.as_base_exp()
    if base == pull.symbol and power.is_Rational:  # an even one only of a positive parameter
        return s ** (1 / power), s
    plain = sp.Dummy("u", positive=True) if pull.symbol.is_nonnegative else sp.Dummy("u", real=True)
    try:
        found = sp.solve(pull.link.xreplace({pull.symbol: plain}) - s, plain)
    except NotImplementedError:
        return None
    return (found[0], s) if len(found) == 1 else None


@cache
def powers_of(family: Family, role: str) -> tuple[sp.Expr, sp.Expr] | None:
    """(a, b) where g(φ) is a multiple of φ^a and φ h(φ) of φ^b; None where they are no powers.

    >>> from relrep_sym.declare.family import family_named
    >>> powers_of(family_named("normal"), "sigma")
    (2, -2)
    """
    pull = pull_of(family, role)
    if pull is None or not pull.symbol.is_positive:
        return None
    out = []
    for e in (pull.link, pull.symbol * pull.shape):
        exponent = sp.simplify(pull.symbol * sp.diff(e, pull.symbol) / e)
        if not exponent.is_number:
            return None
        out.append(exponent)
    return (out[0], out[1]) if out[0] != 0 else None
