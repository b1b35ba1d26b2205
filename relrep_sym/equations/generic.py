r"""A chart's rules, a component's slopes and their pull-back, for every component k at once.

In: a chart. Out: a :class:`Generic`, whose expressions are in :class:`~.nodes.Entry` with an index
that is a number or a letter. Rules that are one rule but for their component's number
(μ_k = μ_{k−1} + Δ_{k−1}) are found by writing each with offsets to its own number; nothing is known
of any chart by name. Where a run of rules is a chain, each entry the one before it plus something,
the adjoint of an entry is the sum of the model's own slopes from there on: that is how Σ_{j>k} gets
into a line.

The lines of :mod:`.lines` are made of this; the kernels are not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import sympy as sp
from sympy.core.sympify import _sympify

from relrep_sym.declare.chart import Chart
from relrep_sym.declare.family import Family
from relrep_sym.declare.model import Mixture
from relrep_sym.declare.symbols import Constant, Parameter, latex_name, split_index
from relrep_sym.equations.linear import mean, scaled, shifted, summed
from relrep_sym.equations.nodes import ComponentSum, Entry, Index, Posterior, Terms
from relrep_sym.equations.weights import WeightSlopes, weight_slopes

__all__ = ["TAKEN", "TAKEN_STEMS", "Coordinates", "Generic", "Read", "Rule", "turned"]


@dataclass(frozen=True, slots=True)
class Read:
    """A coordinate that a rule reads: its entry and the rule's derivative, relative to the rule."""

    name: str
    entry: sp.Expr
    partial: sp.Expr


@dataclass(frozen=True, slots=True)
class Rule:
    """θ_k = shape, its entries at indices ``@``, ``@-1``, … relative to k (None where tied)."""

    target: Parameter
    role: str
    index: int | None
    shape: sp.Expr
    reads: tuple[Read, ...]
    parents: tuple[str, ...]

    @property
    def key(self) -> tuple[str, sp.Expr]:
        """What rules that are one generic rule share."""
        return self.role, self.shape


@dataclass(frozen=True)
class Coordinates:
    """A run of coordinates with one pull-back: their entry's stem and their numbers, if any."""

    stem: str
    names: tuple[str, ...]
    numbers: tuple[int, ...]


@dataclass(frozen=True)
class Generic:
    """The generic expressions of a chart and its model.

    >>> from relrep_sym.declare.charts import relative
    >>> from relrep_sym.declare.model import mixture
    >>> g = Generic(relative(mixture("normal", components=4, scales=1), "mu"))
    >>> [c.names for c in g.runs]
    [('pi_1', 'pi_2', 'pi_3'), ('mu_1',), ('Delta_1', 'Delta_2', 'Delta_3')]
    >>> g.score(g.runs[2], "k")
    ComponentSum(r[j]*(-mu[j] + x), j, k+1, 4)
    """

    chart: Chart

    @property
    def model(self) -> Mixture:
        """The chart's model."""
        return self.chart.model

    # ------------------------------------------------------------------------- the model

    @cached_property
    def constants(self) -> Mapping[str, sp.Expr]:
        """Roles (``weight`` too) for which every component has the same given number."""
        model = self.model
        patterns = [("weight", model.weights)]
        patterns += [
            (p.name, q) for p, q in zip(model.family.parameters, model.patterns, strict=True)
        ]
        out: dict[str, sp.Expr] = {}
        for role, pattern in patterns:
            if not isinstance(pattern, str) and len(set(pattern)) == 1 and pattern[0] is not None:
                out[role] = pattern[0]
        if model.components == 1:
            out["weight"] = sp.Integer(1)
        return out

    @cached_property
    def tied(self) -> frozenset[str]:
        """Roles with one parameter for all components."""
        pairs = zip(self.model.family.parameters, self.model.patterns, strict=True)
        return frozenset(p.name for p, pattern in pairs if pattern == "tied")

    def weight(self, i: Index) -> sp.Expr:
        """π_i."""
        return self.constants.get("weight", Entry.of("pi", i))

    def phi(self, role: str, i: Index) -> sp.Expr:
        """Component i's entry of one of the family's parameters."""
        if role in self.constants:
            return self.constants[role]
        return Parameter(role) if role in self.tied else Entry.of(role, i)

    def posterior(self, i: Index) -> sp.Expr:
        """r_i(x)."""
        return Posterior.of("r", i) if self.model.components > 1 else sp.Integer(1)

    def at_component(self, expression: sp.Expr, i: Index) -> sp.Expr:
        """An expression in the family's symbols, at component i."""
        family = self.model.family
        return expression.xreplace(
            {p.symbol: _sympify(self.phi(p.name, i)) for p in family.parameters}
        )

    def term(self, role: str, i: Index) -> sp.Expr:
        """∂ log p/∂θ_i of one role, where a tied parameter's is a sum of these."""
        if role == "weight":
            last = self.model.free_weights[-1] + 1
            first = self.posterior(i) / self.weight(i)
            return Terms(first, -self.posterior(last) / self.weight(last))
        return self.posterior(i) * self.at_component(_slopes(self.model.family)[role], i)

    # ------------------------------------------------------------------------- the chart

    @cached_property
    def clashes(self) -> Mapping[sp.Symbol, sp.Symbol]:
        """Coordinates that print like what they are not (θ's, x, η, N_k …): set with a tilde."""
        owners = {latex_name(n): n for n in (*self.model.names, *self.model.fixed)}
        owners |= {latex_name(c): f"the constant {c}" for c in self.constant_names}
        out: dict[sp.Symbol, sp.Symbol] = {}
        for c in self.chart.coordinates:
            shown, alias = latex_name(c.name), self.chart.stands_for.get(c.name)
            reserved = c.name in TAKEN or split_index(c.name)[0] in TAKEN_STEMS
            if reserved or owners.get(shown, alias) != alias:
                out[c.symbol] = Entry(f"~{c.name}")
            else:
                owners[shown] = alias or f"the coordinate {c.name}"
        return out

    def entry(self, name: str) -> tuple[str, int | None]:
        """A coordinate's stem and number, the stem marked by a tilde where its name clashes."""
        stem, number = split_index(name)
        return ("~" + stem if sp.Symbol(name) in self.clashes else stem), number

    def shown(self, expression: sp.Expr) -> sp.Expr:
        """An expression in coordinates, in entries."""
        here: dict[sp.Symbol, sp.Expr] = {}
        for s in expression.free_symbols:
            stem, number = self.entry(s.name)
            here[s] = Entry(stem) if number is None else Entry.of(stem, number)
        return expression.xreplace(here)

    @cached_property
    def constant_names(self) -> list[str]:
        """The names of what is given: what the chart's rules read, if it declares none."""
        declared = [c.name for c in getattr(self.chart, "constants", ())]
        read = {s.name for _, rule in self.chart.program for s in rule.atoms(Constant)}
        return declared or sorted(read)

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        """The chart's program, in order."""
        places = {p.symbol: p for p in self.model.parameters}
        shapes: dict[sp.Expr, Mapping[sp.Symbol, sp.Expr]] = {}
        out = []
        for target, rule in self.chart.program:
            p = places.get(target)
            role, number = split_index(target.name)
            if p is not None:
                role, number = p.role, None if p.name in self.tied else p.components[0] + 1
            relative = {s: self._relative(s, number) for s in rule.free_symbols}
            shape = rule.xreplace(relative)
            if shape not in shapes:
                shapes[shape] = {
                    s: sp.Integer(1) if s == shape else sp.diff(shape, s)
                    for s in shape.free_symbols
                }
            partials = shapes[shape]
            symbols = sorted(relative, key=lambda s: (self._order.get(s, -1), s.name))
            reads = tuple(
                Read(s.name, relative[s], partials[relative[s]])
                for s in symbols
                if not isinstance(s, Parameter | Constant)
            )
            parents = tuple(
                relative[s].name if partials[relative[s]] == 1 else "?"
                for s in symbols
                if isinstance(s, Parameter)
            )
            out.append(Rule(target, role, number, shape, reads, parents))
        return tuple(out)

    @cached_property
    def _order(self) -> Mapping[sp.Symbol, int]:
        return {s: n for n, s in enumerate(self.chart.symbols)}

    def _relative(self, symbol: sp.Symbol, number: int | None) -> sp.Symbol:
        """A rule's symbol with its number as an offset to the rule's."""
        if isinstance(symbol, Constant):
            stem, own = split_index(symbol.name)
            return Entry(stem if own is None else f"{stem}[{own}]")
        if isinstance(symbol, Parameter):
            stem, own = split_index(symbol.name)
            stem = "^" + stem  # an entry of θ; a coordinate of that name is another thing
        else:
            stem, own = self.entry(symbol.name)
        if own is None or number is None:
            return Entry(stem if own is None else f"{stem}[{own}]")
        return Entry.of(stem, shifted("@", own - number))

    def at(self, shape: sp.Expr, i: Index | None) -> sp.Expr:
        """A shape at component i."""
        here: dict[sp.Symbol, sp.Symbol] = {}
        for s in shape.free_symbols:
            stem = s.stem.removeprefix("^")
            if s.index.startswith("@"):
                assert i is not None
                here[s] = Entry.of(stem, shifted(i, int(s.index[1:] or 0)))
            else:
                here[s] = Entry(s.name.removeprefix("^"))
        return shape.xreplace(here)

    @cached_property
    def chains(self) -> Mapping[str, tuple[int, int]]:
        """Roles in which the rules first to last are each the entry before plus something."""
        found: dict[str, tuple[int, int]] = {}
        for rule in self.rules:
            if rule.index is not None and rule.parents == (f"^{_stem(rule.role)}[@-1]",):
                first, last = found.get(rule.role, (rule.index, rule.index - 1))
                if rule.index == last + 1:
                    found[rule.role] = (first, rule.index)
            elif rule.index is not None and rule.parents == (f"^{_stem(rule.role)}[@+1]",):
                first, last = found.get(rule.role, (rule.index + 1, rule.index))
                if rule.index == first - 1:
                    found[rule.role] = (rule.index, last)
        return found

    @cached_property
    def falling(self) -> frozenset[str]:
        """Roles whose chain goes down from the last component."""
        return frozenset(r.role for r in self.rules if r.parents == (f"^{_stem(r.role)}[@+1]",))

    @cached_property
    def regular(self) -> bool:
        """Whether entries of θ are read in chains only, so that adjoints are sums of slopes."""
        inner = {*self.chart.intermediates, *(self.chart.weights or ())} if self.slopes else set()
        if set(self.chart.intermediates) - inner:
            return False
        return all(
            not rule.parents
            or rule.target in inner
            or (
                len(rule.parents) == 1
                and rule.index is not None
                and rule.role in self.chains
                and self.chains[rule.role][0] <= rule.index <= self.chains[rule.role][1]
            )
            for rule in self.rules
        )

    @cached_property
    def slopes(self) -> Mapping[str, WeightSlopes]:
        """By the stem of the coordinates that make the weights: ∂ log π_k/∂c_j."""
        return weight_slopes(self.chart)

    def in_chain(self, role: str, index: int | None) -> bool:
        """Whether an entry of θ starts or continues a chain."""
        if index is None or role not in self.chains:
            return False
        first, last = self.chains[role]
        return first <= index <= last + 1 if role in self.falling else first - 1 <= index <= last

    @cached_property
    def runs(self) -> tuple[Coordinates, ...]:
        """The coordinates in order, those with one generic pull-back together."""
        out: list[Coordinates] = []
        before: object = None
        for c in self.chart.coordinates:
            stem, number = self.entry(c.name)
            weighs = stem in self.slopes
            signature = (stem,) if weighs else (stem, *self._signature(c.name, number))
            if (
                number is not None
                and out
                and signature == before
                and number == out[-1].numbers[-1] + 1
            ):
                last = out[-1]
                out[-1] = Coordinates(stem, (*last.names, c.name), (*last.numbers, number))
            else:
                out.append(Coordinates(stem, (c.name,), () if number is None else (number,)))
            before = signature
        return tuple(out)

    @cached_property
    def readers(self) -> Mapping[str, Sequence[tuple[Rule, Read]]]:
        """For each coordinate the rules that read it."""
        out: dict[str, list[tuple[Rule, Read]]] = {c.name: [] for c in self.chart.coordinates}
        for rule in self.rules:
            for read in rule.reads:
                out[read.name].append((rule, read))
        return out

    def _signature(self, name: str, number: int | None) -> tuple[object, ...]:
        return tuple(
            (
                rule.role,
                rule.index if rule.index is None or number is None else rule.index - number,
                self.in_chain(rule.role, rule.index),
                read.partial,
                rule.shape if read.partial == rule.shape else None,
            )
            for rule, read in self.readers[name]
        )

    # ------------------------------------------------------------------------- the pull-back

    def adjoint(self, role: str, i: Index | None, chained: bool) -> sp.Expr:
        """∂ log p/∂θ_i, what later entries of θ take from it included."""
        if i is None:
            return self.total(role, 1, self.model.components)
        if not chained:
            return self.term(role, i)
        first, last = self.chains[role]
        return self.total(role, first, i) if role in self.falling else self.total(role, i, last)

    def total(self, role: str, first: Index, last: Index) -> sp.Expr:
        """The sum of a role's slopes; one or two of them are written out."""
        if isinstance(first, int) and isinstance(last, int) and last - first < 2:
            terms = [self.term(role, i) for i in range(first, last + 1)]
            return terms[0] if len(terms) == 1 else Terms(*terms)
        letter = "j" if isinstance(first, str) or isinstance(last, str) else "k"
        return ComponentSum.over(self.term(role, letter), letter, first, last)

    def pulled(self, run: Coordinates, i: Index | None) -> list[tuple[sp.Expr, sp.Expr]]:
        """Pairs (derivative of an entry of θ, its adjoint) whose products make a coordinate's."""
        if run.stem in self.slopes and i is not None:
            return [(sp.Integer(1), self.slopes[run.stem].score(self.at, i))]
        out = []
        number = run.numbers[0] if run.numbers else None
        for rule, read in self.readers[run.names[0]]:
            here: Index | None = rule.index
            if rule.index is not None and number is not None and i is not None:
                here = shifted(i, rule.index - number)
            if read.partial == rule.shape and not rule.shape.is_number and rule.shape != read.entry:
                slope = self.target(rule, here)  # an exponential is its own derivative
            else:
                slope = self.at(read.partial, here)
            bar = self.adjoint(rule.role, here, self.in_chain(rule.role, rule.index))
            out.append((slope, bar))
        return out

    def target(self, rule: Rule, i: Index | None) -> sp.Expr:
        """A rule's left side."""
        return rule.target if i is None else Entry.of(_stem(rule.role), i)

    def score(self, run: Coordinates, i: Index | None) -> sp.Expr:
        """∂ log p(x)/∂λ_i."""
        return summed([scaled(slope, bar) for slope, bar in self.pulled(run, i)])

    def averaged(self, run: Coordinates, i: Index | None) -> sp.Expr:
        """E_q of the score, expectations of what depends on x alone."""
        x = self.model.family.x
        return summed([scaled(slope, mean(bar, x)) for slope, bar in self.pulled(run, i)])


TAKEN = frozenset("d e f i j k p q C J L".split())
TAKEN_STEMS = frozenset("x eta theta N r".split())
"""Names, and stems, of what the equations print beside a user's names."""


def _stem(role: str) -> str:
    return "pi" if role == "weight" else role


@cache
def _slopes(family: Family) -> Mapping[str, sp.Expr]:
    """∂ log f/∂φ of each parameter, over one denominator where that is shorter."""
    out = {}
    for p in family.parameters:
        slope = sp.diff(family.log_density, p.symbol)
        shown = _towards(min((sp.together(slope), slope), key=sp.count_ops), family.x)
        out[p.name] = turned(shown, family)
    return out


def turned(expression: sp.Expr, family: Family) -> sp.Expr:
    """The same with sign(x − μ), not sign(μ − x), and 1 − p below, not p − 1, for p below one."""

    def sign(inner: sp.Expr) -> sp.Expr:
        turned = inner.is_Add and inner.coeff(family.x).could_extract_minus_sign()
        return -sp.sign(-inner) if turned else sp.sign(inner)

    out = expression.replace(sp.sign, sign)
    for p in family.parameters:
        if p.domain.upper == 1.0:
            base = p.symbol - 1
            out = out.replace(
                lambda e, base=base: e.is_Pow and e.base == base and e.exp.is_Integer,
                lambda e: (-1) ** e.exp * (-e.base) ** e.exp,
            )
    return out


def _towards(expression: sp.Expr, x: sp.Symbol) -> sp.Expr:
    """The same product with x − μ in it, not μ − x."""
    factors = []
    for factor in sp.Mul.make_args(expression):
        turned = factor.is_Add and factor.coeff(x).could_extract_minus_sign()
        factors += [sp.Integer(-1), -factor] if turned else [factor]
    return sp.Mul(*factors)
