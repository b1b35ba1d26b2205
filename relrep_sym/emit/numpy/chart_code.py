"""Bodies of the functions that are a chart's: components, pull-backs, inverse, view.

In: a chart, and what :mod:`relrep_sym.equations.program` derived from it. Out: lines for the slots
of ``templates/module.py.j2``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property

import sympy as sp
from sympy.core.sympify import _sympify

from relrep_sym.declare.chart import Chart
from relrep_sym.declare.model import Mixture, ModelParameter
from relrep_sym.declare.symbols import Parameter
from relrep_sym.declare.view import View
from relrep_sym.emit.lowering import lower
from relrep_sym.emit.numpy.layout import (
    WIDTH,
    assignments,
    bracketed,
    returned,
    stacked,
    tuple_of,
)
from relrep_sym.emit.numpy.naming import LONGEST, identifiers
from relrep_sym.emit.numpy.printer import infix
from relrep_sym.equations.program import differences, pull_back
from relrep_sym.statements.language import Assign, Item, Node, Num, Op, Var, names
from relrep_sym.statements.passes import prune, share

__all__ = ["ChartFragments"]


class ChartFragments:
    """Bodies of the chart's functions, for one chart and its model."""

    def __init__(self, chart: Chart) -> None:
        self.chart = chart
        self.model: Mixture = chart.model
        self.roles = tuple(p.name for p in self.model.family.parameters)
        self.given = {t: e for t, e in chart.unrolled.items() if e.is_number}
        aliases = {t: r for t, r in chart.program if _plain(r)}
        own = [c.name for c in chart.coordinates]
        inner = [p.symbol for p in self.model.parameters if p.symbol not in aliases]
        labels = {p: _apart(p.name, own) for p in inner}
        given = identifiers([*own, *labels.values()], self.roles)
        self.of_coordinate = {sp.Symbol(n): given[n] for n in own}
        self.of_parameter: dict[Parameter, str] = {p: given[labels[p]] for p in inner}
        self.of_parameter |= {t: self.of_coordinate[r] for t, r in aliases.items()}

    def leaf(self, symbol: sp.Symbol) -> Node:
        """The variable that holds a coordinate or an entry of θ."""
        if isinstance(symbol, Parameter):
            return Var(self.of_parameter[symbol])
        return Var(self.of_coordinate.get(symbol, symbol.name))

    def _unpack(self, assigns: Sequence[Assign], extra: Iterable[Node] = ()) -> list[str]:
        """``name = rows[j]`` for each coordinate that is read."""
        read = {n for a in assigns for n in names(a.value)} | {n for e in extra for n in names(e)}
        own = [self.of_coordinate[s] for s in self.chart.symbols]
        whole = ", ".join(own) + " = rows"
        if read.issuperset(own) and len(own) > 1 and len(whole) + 4 <= WIDTH:
            return [whole]
        return [f"{name} = rows[{j}]" for j, name in enumerate(own) if name in read]

    def _program(self) -> list[Assign]:
        return [
            Assign(self.of_parameter[t], lower(r.xreplace(self.given), self.leaf))
            for t, r in self.chart.program
            if not _plain(r) and t not in self.given
        ]

    def components(self) -> list[str]:
        """Body of ``_components(rows)``."""

        def leaf(expression: sp.Expr) -> Node:
            return lower(_sympify(expression).xreplace(self.given), self.leaf)

        return self._component_body(
            self._program(), leaf, self._unpack, self._differences(), "rows[0]"
        )

    def model_components(self) -> list[str]:
        """Body of ``_model_components(theta)``."""
        index = {p.symbol: i for i, p in enumerate(self.model.parameters)}

        def entry(expression: sp.Expr) -> Node:
            return lower(_sympify(expression), lambda symbol: Item("theta", index[symbol]))

        return self._component_body([], entry, lambda *_: [], {}, "theta[0]")

    def _differences(self) -> dict[str, list[tuple[str, Node]]]:
        """For each role whose differences the chart knows: their names and values, last first."""
        out: dict[str, list[tuple[str, Node]]] = {}
        for role in self.roles:
            numbers: dict[sp.Symbol, sp.Expr] = {}
            found = []
            for k, e in reversed(list(enumerate(differences(self.chart, role) or []))):
                name, value = f"delta_{role}_{k + 1}", _sympify(e).xreplace(numbers)
                if value.is_number:
                    numbers[sp.Symbol(name)] = value
                found.append((name, lower(value, self.leaf)))
            if found:
                out[role] = found
        return out

    def _component_body(
        self,
        program: list[Assign],
        lowered: Callable[[sp.Expr], Node],
        unpack: Callable[..., list[str]],
        known: Mapping[str, list[tuple[str, Node]]],
        like: str,
    ) -> list[str]:
        weights = [lowered(w) for w in self.model.weight_expressions]
        values = {r: [lowered(v) for v in self.model.component(r)] for r in self.roles}
        deltas_of = {
            r: [v if isinstance(v, Num) else Var(n) for n, v in reversed(rows)]
            for r, rows in known.items()
        }
        computed = [Assign(n, v) for rows in known.values() for n, v in rows]
        program = share([*program, *(a for a in computed if not isinstance(a.value, Num))])
        every = [*weights, *(v for row in values.values() for v in row)]
        lines = unpack(program, every) + assignments(program)
        lines += stacked("weights", weights, like)
        for role, row in values.items():
            lines += stacked(role, row, like)
        deltas = []
        for role in self.roles:
            if role in known:
                deltas.append(f"delta_{role}")
                lines += stacked(f"delta_{role}", deltas_of[role], like)
            else:
                deltas.append(f"{role}[:-1] - {role}[-1]")
        roles = tuple_of(self.roles)
        return [*lines, *returned(["weights", roles, tuple_of(deltas)])]

    def to_model(self) -> list[str]:
        """Body of ``_to_model(rows)``."""
        program = share(self._program())
        values = [
            lower(self.given.get(p.symbol, p.symbol), self.leaf) for p in self.model.parameters
        ]
        lines = self._unpack(program, values) + assignments(program)
        return lines + bracketed("return [", [infix(v) for v in values], "]")

    def to_parameters(self) -> list[str]:
        """Body of ``_to_parameters(weights, …)``: θ from component arrays."""
        rows = [
            f"{'weights' if p.role == 'weight' else p.role}[{p.components[0]}]"
            for p in self.model.parameters
        ]
        return bracketed("return [", rows, "]")

    def pull_back(self) -> list[str]:
        """Body of ``_pull_back(rows, d_weights, d_role …)``."""
        return self._pull_back({_bar(p.name): self._incoming(p) for p in self.model.parameters})

    def pull_back_model(self) -> list[str]:
        """Body of ``_pull_back_model(rows, d_theta)``."""
        return self._pull_back(
            {_bar(p.name): Item("d_theta", i) for i, p in enumerate(self.model.parameters)}
        )

    def _incoming(self, parameter: ModelParameter) -> Node:
        """∂L/∂θ_i from the component arrays' adjoints."""
        if parameter.role != "weight":
            items = tuple(Item(f"d_{parameter.role}", k) for k in parameter.components)
            return items[0] if len(items) == 1 else Op("add", items)
        # d_weights is relative to the last component, whose own share is zero
        item, rest = Item("d_weights", parameter.components[0]), self.model.free_weights[-1]
        if rest == self.model.components - 1:
            return item
        return Op("sub", (item, Item("d_weights", rest)))

    @cached_property
    def _reversed(self) -> list[tuple[sp.Symbol, sp.Expr]]:
        """The chart's program walked backwards, once for both pull-backs."""
        return pull_back(self.chart, _bar)

    def _pull_back(self, known: Mapping[sp.Symbol, Node]) -> list[str]:
        bars = dict(known)
        coordinates = set(self.chart.symbols)

        def leaf(symbol: sp.Symbol) -> Node:
            return bars[symbol] if symbol in bars else self.leaf(symbol)

        program: list[Assign] = []
        out: list[str] = []
        for target, rule in self._reversed:
            value = lower(rule.xreplace(self.chart.unrolled), leaf)
            if target in coordinates:
                out.append(f"g_{self.of_coordinate[target]}")
                program.append(Assign(out[-1], value))
            else:
                program.append(Assign(target.name, value))
                bars[target] = Var(target.name)
        inline = {a.target: a.value for a in program if not isinstance(a.value, Op)}
        program = share([a for a in program if a.target not in inline])
        wanted = [n for t in out for n in ([t] if t not in inline else names(inline[t]))]
        program = prune(program, wanted)
        lines = self._unpack(program) + assignments(program)
        results = [infix(inline[t]) if t in inline else t for t in out]
        return lines + bracketed("return [", results, "]")

    def from_model(self, inverse: Sequence[tuple[str, sp.Expr]]) -> list[str]:
        """Body of ``_from_model(theta)``."""
        index = {p.symbol: i for i, p in enumerate(self.model.parameters)}

        def leaf(symbol: sp.Symbol) -> Node:
            if isinstance(symbol, Parameter):
                return Item("theta", index[symbol])
            return self.leaf(symbol)

        found = {sp.Symbol(n): lower(e, leaf) for n, e in inverse}
        program = share([Assign(self.of_coordinate[s], v) for s, v in found.items()])
        results = [self.of_coordinate[s] for s in self.chart.symbols]
        return assignments(program) + bracketed("return [", results, "]")

    def view(self, view: View) -> list[str]:
        """Body of ``_view(rows)``."""
        targets = _view_targets(view)
        program = share(
            [Assign(n, lower(e, self.leaf)) for n, e in zip(targets, view.expressions, strict=True)]
        )
        lines = self._unpack(program) + assignments(program)
        return lines + bracketed("return [", targets, "]")

    def push_view(self, view: View) -> list[str]:
        """Body of ``_push_view(rows, d_rows)``: db/dt = Σ_j ∂b/∂λ_j dλ_j/dt."""
        # real: a coordinate of the same name has no assumptions, and is another symbol
        rates = {s: sp.Symbol(f"rate_of_{j}", real=True) for j, s in enumerate(self.chart.symbols)}
        items = {rate: Item("d_rows", j) for j, rate in enumerate(rates.values())}

        def leaf(symbol: sp.Symbol) -> Node:
            return items[symbol] if symbol in items else self.leaf(symbol)

        program = []
        targets = _view_targets(view)
        for n, e in zip(targets, view.expressions, strict=True):
            terms = [sp.diff(e, s) * rates[s] for s in self.chart.symbols if e.has(s)]
            program.append(Assign(n, lower(sp.Add(*terms), leaf)))
        program = share(program)
        lines = self._unpack(program) + assignments(program)
        return lines + bracketed("return [", targets, "]")


def _view_targets(view: View) -> list[str]:
    """What a view's functions are called in the code: no coordinate is called so."""
    return [f"b_{n if len(n) <= LONGEST else j}" for j, n in enumerate(view.names, start=1)]


def _bar(name: str) -> sp.Symbol:
    """An adjoint that no coordinate is equal to: those have no assumptions."""
    return sp.Symbol(f"d_{name}", real=True)


def _apart(name: str, taken: Sequence[str]) -> str:
    """What an entry of θ is called beside coordinates of these names."""
    label = name if name not in taken else f"{name}_of_model"
    while label in taken:
        label += "_"
    return label


def _plain(rule: sp.Expr) -> bool:
    return isinstance(rule, sp.Symbol) and not isinstance(rule, Parameter)
