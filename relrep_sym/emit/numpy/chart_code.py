"""Bodies of the functions that are a chart's: components, pull-backs, inverse, view.

In: a chart, and what :mod:`relrep_sym.equations.program` derived from it. Out: lines for the slots
of ``templates/module.py.j2``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

import sympy as sp
from sympy.core.sympify import _sympify

from relrep_sym.declare.chart import Chart
from relrep_sym.declare.model import Mixture, ModelParameter
from relrep_sym.declare.symbols import Intermediate, Parameter
from relrep_sym.declare.view import View
from relrep_sym.emit.lowering import lower
from relrep_sym.emit.numpy.layout import (
    WIDTH,
    Leaf,
    assignments,
    bracketed,
    returned,
    stacked,
    tuple_of,
)
from relrep_sym.emit.numpy.naming import LONGEST, identifiers
from relrep_sym.emit.numpy.own_code import chart_forms
from relrep_sym.emit.numpy.printer import infix
from relrep_sym.equations.curvature import Curvature, curvature
from relrep_sym.equations.kernels import with_kernels
from relrep_sym.equations.program import pull_back, steps
from relrep_sym.statements.language import Assign, Item, Node, Num, Op, Var, names
from relrep_sym.statements.passes import prune, share

__all__ = ["ChartFragments"]


class ChartFragments:
    """Bodies of the chart's functions, for one chart and its model."""

    def __init__(self, chart: Chart) -> None:
        self.forms = chart_forms(chart)
        chart = self.forms.chart(chart)
        self.chart = chart
        self.model: Mixture = chart.model
        self.roles = tuple(p.name for p in self.model.family.parameters)
        self.given = {t: e for t, e in chart.every_value.items() if e.is_number}
        aliases = {t: r for t, r in chart.program if _plain(r)}
        own = [s.name for s in chart.inputs]
        inner = [t for t, _ in chart.program if t not in aliases]
        labels: dict[Parameter, str] = {}
        for p in inner:
            labels[p] = _apart(p.name, [*own, *labels.values()])
        given = identifiers([*own, *labels.values()], self.roles)
        self.of_coordinate = {s: given[s.name] for s in chart.inputs}
        self.of_parameter: dict[Parameter, str] = {p: given[labels[p]] for p in inner}
        self.of_parameter |= {t: self.of_coordinate[r] for t, r in aliases.items()}

    def leaf(self, symbol: sp.Symbol) -> Node:
        """The variable that holds a coordinate or an entry of θ."""
        if isinstance(symbol, Parameter):
            return Var(self.of_parameter[symbol])
        return Var(self.of_coordinate.get(symbol, symbol.name))

    def lowered(self, expression: sp.Expr, leaf: Leaf) -> Node:
        """The expression in the statement language; a user's own may need kernels."""
        return lower(with_kernels(expression) if self.forms.own else expression, leaf)

    def _unpack(self, assigns: Sequence[Assign], extra: Iterable[Node] = ()) -> list[str]:
        """``name = rows[j]`` for each coordinate that is read."""
        read = {n for a in assigns for n in names(a.value)} | {n for e in extra for n in names(e)}
        own = [self.of_coordinate[s] for s in self.chart.inputs]
        whole = ", ".join(own) + " = rows"
        if read.issuperset(own) and len(own) > 1 and len(whole) + 4 <= WIDTH:
            return [whole]
        return [f"{name} = rows[{j}]" for j, name in enumerate(own) if name in read]

    @cached_property
    def _entries(self) -> dict[Parameter, sp.Expr]:
        """What a pull-back puts in for entries of θ: their values, intermediates left as they are.

        In a chart without intermediates its rules are short enough to be unrolled.
        """
        kept = {t: t for t in self._kept}
        if not kept:
            return self.chart.unrolled
        out: dict[Parameter, sp.Expr] = {}
        for target, rule in self.chart.program:
            out[target] = target if target in kept else rule.xreplace(out)
        return {t: e for t, e in out.items() if t not in kept}

    @cached_property
    def _kept(self) -> set[Parameter]:
        """Targets that a pull-back computes first, where the chart has intermediates."""
        if not self.chart.intermediates:
            return set()
        return {t for t, r in self.chart.program if not _plain(r) and t not in self.given}

    @cached_property
    def _kept_names(self) -> set[str]:
        return {self.of_parameter[t] for t in self._kept}

    def _program(self) -> list[Assign]:
        return [
            Assign(self.of_parameter[t], self.lowered(r.xreplace(self.given), self.leaf))
            for t, r in self.chart.program
            if not _plain(r) and t not in self.given
        ]

    def components(self) -> list[str]:
        """Body of ``_components(rows)``."""

        def leaf(expression: sp.Expr) -> Node:
            return self.lowered(_sympify(expression).xreplace(self.given), self.leaf)

        return self._component_body(
            self._program(),
            leaf,
            self._unpack,
            self._steps(),
            [self.forms.share(self.chart, w) for w in self.chart.weight_expressions],
        )

    def model_components(self) -> list[str]:
        """Body of ``_model_components(theta)``."""
        index = {p.symbol: i for i, p in enumerate(self.model.parameters)}

        def entry(expression: sp.Expr) -> Node:
            return lower(_sympify(expression), lambda symbol: Item("theta", index[symbol]))

        return self._component_body(
            [], entry, lambda *_: [], {}, self.model.weight_expressions, "theta[0]"
        )

    def _steps(self) -> dict[str, list[Node]]:
        """For each role whose steps φ_{k+1} − φ_k the chart knows: their values."""
        out: dict[str, list[Node]] = {}
        for role in self.roles:
            found = self.forms.steps(self.chart, role) or steps(self.chart, role)
            if found:
                out[role] = [
                    self.lowered(_sympify(e).xreplace(self.given), self.leaf) for e in found
                ]
        return out

    def _component_body(
        self,
        program: list[Assign],
        lowered: Callable[[sp.Expr], Node],
        unpack: Callable[..., list[str]],
        known: Mapping[str, list[Node]],
        shares: Sequence[sp.Expr],
        like: str = "rows[0]",
    ) -> list[str]:
        weights = [lowered(w) for w in shares]
        values = {r: [lowered(v) for v in self.model.component(r)] for r in self.roles}
        names_of = {
            r: [
                v if isinstance(v, Num | Var) else Var(f"step_{r}_{k}")
                for k, v in enumerate(row, 1)
            ]
            for r, row in known.items()
        }
        computed = [
            Assign(n.name, v)
            for r, row in known.items()
            for n, v in zip(names_of[r], row, strict=True)
            if isinstance(n, Var) and n != v
        ]
        program = share([*program, *computed])
        every = [*weights, *(v for row in values.values() for v in row)]
        every += [v for row in known.values() for v in row]
        lines = unpack(program, every) + assignments(program)
        lines += stacked("weights", weights, like)
        for role, row in values.items():
            lines += stacked(role, row, like)
        for role, moves in names_of.items():
            lines += stacked(f"step_{role}", moves, like)
        shown = tuple_of([f"step_{r}" if r in known else "None" for r in self.roles])
        return [*lines, *returned(["weights", tuple_of(self.roles), shown])]

    def to_model(self) -> list[str]:
        """Body of ``_to_model(rows)``."""
        values = [
            lower(self.given.get(p.symbol, p.symbol), self.leaf) for p in self.model.parameters
        ]
        program = prune(share(self._program()), [n for v in values for n in names(v)])
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
        known = {_bar(t.name): v for t, v in self.incoming.items()}
        backwards = self._reversed
        if self.last_weight is not None:
            backwards = pull_back(self.chart, _bar, self.incoming, self.forms)
        return self._pull_back(known, backwards)

    @cached_property
    def incoming(self) -> dict[Parameter, Node]:
        """What arrives from the component arrays' adjoints, by target of the chart's program."""
        out: dict[Parameter, Node] = {p.symbol: self._incoming(p) for p in self.model.parameters}
        if self.last_weight is not None:
            out[self.last_weight] = Item("d_weights", self.model.free_weights[-1])
        return out

    @cached_property
    def last_weight(self) -> Intermediate | None:
        """The intermediate that is the last free weight, where the chart knows it as such."""
        return self.chart.last_weight

    @property
    def reference(self) -> int | None:
        """The component that weights' derivatives are relative to; None: the heaviest of each."""
        if self.last_weight is not None:
            return None
        free = self.model.free_weights
        return free[-1] if free else self.model.components - 1

    def pull_back_model(self) -> list[str]:
        """Body of ``_pull_back_model(rows, d_theta)``."""
        return self._pull_back(
            {_bar(p.name): Item("d_theta", i) for i, p in enumerate(self.model.parameters)},
            self._reversed,
        )

    def _incoming(self, parameter: ModelParameter) -> Node:
        """∂L/∂θ_i from the component arrays' adjoints."""
        if parameter.role != "weight":
            items = tuple(Item(f"d_{parameter.role}", k) for k in parameter.components)
            return items[0] if len(items) == 1 else Op("add", items)
        # d_weights is relative to the component of the reference, whose own share is zero
        return Item("d_weights", parameter.components[0])

    @cached_property
    def _reversed(self) -> list[tuple[sp.Symbol, sp.Expr]]:
        """The chart's program walked backwards."""
        return pull_back(self.chart, _bar, form=self.forms)

    def _pull_back(
        self, known: Mapping[sp.Symbol, Node], backwards: Sequence[tuple[sp.Symbol, sp.Expr]]
    ) -> list[str]:
        bars = dict(known)
        coordinates = set(self.chart.symbols)

        def leaf(symbol: sp.Symbol) -> Node:
            return bars[symbol] if symbol in bars else self.leaf(symbol)

        program: list[Assign] = []
        out: list[str] = []
        for target, rule in backwards:
            value = self.lowered(rule.xreplace(self._entries), leaf)
            if target in coordinates:
                out.append(f"g_{self.of_coordinate[target]}")
                program.append(Assign(out[-1], value))
            elif isinstance(value, Op):
                program.append(Assign(target.name, value))
                bars[target] = Var(target.name)
            else:
                bars[target] = value  # one adjoint as it arrives: it needs no name
        inline = {a.target: a.value for a in program if not isinstance(a.value, Op)}
        ahead = [a for a in self._program() if a.target in self._kept_names]
        program = share([*ahead, *(a for a in program if a.target not in inline)])
        wanted = [n for t in out for n in ([t] if t not in inline else names(inline[t]))]
        program = prune(program, wanted)
        lines = self._unpack(program) + assignments(program)
        results = [infix(inline[t]) if t in inline else t for t in out]
        return lines + bracketed("return [", results, "]")

    def curvature(self, plain: Curvature) -> Curvature:
        """The chart's curvature term; that of a chart of the user's own in its best forms."""
        if not self.forms.own:
            return plain
        fed = [p.symbol for p in self.model.parameters]
        last = self.last_weight
        return curvature(self.chart, fed if last is None else [*fed, last], self.forms)

    def from_model(self, inverse: Sequence[tuple[sp.Symbol, sp.Expr]]) -> list[str]:
        """Body of ``_from_model(theta, given)``."""
        index = {p.symbol: i for i, p in enumerate(self.model.parameters)}

        def leaf(symbol: sp.Symbol) -> Node:
            if symbol in index:
                return Item("theta", index[symbol])
            if symbol in given:
                return Item("given", given[symbol])
            return self.leaf(symbol)

        given = {c.symbol: j for j, c in enumerate(self.chart.constants)}
        program = share(
            [
                Assign(
                    self.of_parameter[s] if isinstance(s, Parameter) else self.of_coordinate[s],
                    self.lowered(self.forms(e), leaf),
                )
                for s, e in inverse
            ]
        )
        results = [self.of_coordinate[s] for s in self.chart.symbols]
        return assignments(program) + bracketed("return [", results, "]")

    def view(self, view: View) -> list[str]:
        """Body of ``_view(rows)``."""
        targets = _view_targets(view)
        program = share(
            [
                Assign(n, lower(with_kernels(e), self.leaf))
                for n, e in zip(targets, self._viewed(view), strict=True)
            ]
        )
        lines = self._unpack(program) + assignments(program)
        return lines + bracketed("return [", targets, "]")

    def _viewed(self, view: View) -> list[sp.Expr]:
        """The view's functions as they are best written; a view is always the user's own."""
        forms = replace(self.forms, own=True, losses=self.forms.losses)
        return [
            forms(e, f"the view function {n}")
            for n, e in zip(view.names, view.expressions, strict=True)
        ]

    def push_view(self, view: View) -> list[str]:
        """Body of ``_push_view(rows, d_rows)``: db/dt = Σ_j ∂b/∂λ_j dλ_j/dt."""
        # real: a coordinate of the same name has no assumptions, and is another symbol
        rates = {s: sp.Symbol(f"rate_of_{j}", real=True) for j, s in enumerate(self.chart.symbols)}
        items = {rate: Item("d_rows", j) for j, rate in enumerate(rates.values())}

        def leaf(symbol: sp.Symbol) -> Node:
            return items[symbol] if symbol in items else self.leaf(symbol)

        program = []
        forms = replace(self.forms, own=True)
        targets = _view_targets(view)
        for n, e in zip(targets, self._viewed(view), strict=True):
            terms = [forms(sp.diff(e, s)) * rates[s] for s in self.chart.symbols if e.has(s)]
            program.append(Assign(n, lower(with_kernels(sp.Add(*terms)), leaf)))
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
    """Whether a rule is a coordinate or a constant as it stands."""
    return isinstance(rule, sp.Symbol) and not isinstance(rule, Parameter)
