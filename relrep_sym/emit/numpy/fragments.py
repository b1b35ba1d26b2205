"""The pieces of a generated module: bodies of its private functions, as lists of lines.

In: what the equations derived (programs in SymPy). Out: Python text, already formatted, for the
slots of ``templates/module.py.j2``. Lowering happens here, by
:func:`relrep_sym.emit.lowering.lower`; what is printed has been through the statement passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from functools import cached_property

import sympy as sp
from sympy.core.sympify import _sympify

from relrep_sym.declare.chart import Chart
from relrep_sym.declare.model import Mixture, ModelParameter
from relrep_sym.declare.symbols import Parameter
from relrep_sym.declare.view import View
from relrep_sym.emit.lowering import lower
from relrep_sym.emit.numpy.naming import LONGEST, identifiers
from relrep_sym.emit.numpy.printer import filled, infix
from relrep_sym.equations.component import ComponentForm, StirlingRemainder
from relrep_sym.equations.em import MStep, statistics_of
from relrep_sym.equations.program import differences, pull_back
from relrep_sym.errors import DerivationError, problem
from relrep_sym.statements.language import Assign, Item, Node, Num, Op, Stage, Var, names
from relrep_sym.statements.passes import hoist, prune, share

__all__ = ["ChartFragments", "bracketed", "component_fragments", "m_step_lines"]

WIDTH = 100
Leaf = Callable[[sp.Symbol], Node]


def bracketed(head: str, items: Sequence[str], tail: str, indent: int = 4) -> list[str]:
    """``head items tail`` on one line where it fits, else one item a line (as ruff formats it).

    >>> bracketed("a = (", ["1", "2"], ")")
    ['a = (1, 2)']
    """
    comma = "," if len(items) == 1 and head.endswith("(") and tail.startswith(")") else ""
    line = f"{head}{', '.join(items)}{comma}{tail}"
    if len(line) + indent <= WIDTH:
        return [line]
    inner = ", ".join(items)
    if head.endswith("(["):
        whole = bracketed("[", items, "]", indent + 4)
        return [head[:-1], *(f"    {row}" for row in whole), tail[1:]]
    if len(inner) + indent + 4 <= WIDTH and not comma and head.endswith("("):
        return [head, f"    {inner}", tail] if _is_call(head) else _each(head, items, tail)
    return _each(head, items, tail)


def _each(head: str, items: Sequence[str], tail: str) -> list[str]:
    return [head, *(f"    {i}," for i in items), tail]


def _is_call(head: str) -> bool:
    return head[-2:-1].isalnum() or head[-2:-1] == "_"


def assignments(assigns: Iterable[Assign]) -> list[str]:
    """``target = value`` lines, each within the line width."""
    out: list[str] = []
    for a in assigns:
        out += _line(a.target, a.value, 0)
    return out


def _line(target: str, value: Node, depth: int) -> list[str]:
    text = f"{target} = {infix(value)}"
    if len(text) + 4 <= WIDTH or not isinstance(value, Op):
        return [text]
    if value.op in ("add", "mul") and len(value.args) > 2:  # a long sum: by parts
        half = len(value.args) // 2
        first, second = Op(value.op, value.args[:half]), Op(value.op, value.args[half:])
        part = f"part{depth + 1}"
        return [
            *_line(part, first, depth + 1),
            *_line(target, Op(value.op, (Var(part), second)), depth),
        ]
    lines: list[str] = []
    for longest in (40, 20, 0):
        lines = []
        args: list[Node] = []
        for n, a in enumerate(value.args):
            if isinstance(a, Op) and len(infix(a)) > longest:
                part = f"part{depth + 1}_{n + 1}"
                lines += _line(part, a, depth + 1)
                args.append(Var(part))
            else:
                args.append(a)
        text = f"{target} = {infix(Op(value.op, tuple(args)))}"
        if len(text) + 4 <= WIDTH:
            break
    return [*lines, text]


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
        lines += _stacked("weights", weights, like)
        for role, row in values.items():
            lines += _stacked(role, row, like)
        deltas = []
        for role in self.roles:
            if role in known:
                deltas.append(f"delta_{role}")
                lines += _stacked(f"delta_{role}", deltas_of[role], like)
            else:
                deltas.append(f"{role}[:-1] - {role}[-1]")
        roles = _tuple(self.roles)
        return [*lines, *_returned(["weights", roles, _tuple(deltas)])]

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


def _returned(items: Sequence[str]) -> list[str]:
    line = f"return {', '.join(items)}"
    if len(line) + 4 <= WIDTH:
        return [line]
    return ["return (", *(f"    {i}," for i in items), ")"]


def _plain(rule: sp.Expr) -> bool:
    return isinstance(rule, sp.Symbol) and not isinstance(rule, Parameter)


def _tuple(items: Sequence[str]) -> str:
    return f"({', '.join(items)}{',' if len(items) == 1 else ''})"


def _stacked(target: str, rows: Sequence[Node], like: str) -> list[str]:
    """``target = np.array([...])``, numbers spread to the batch."""
    if all(isinstance(r, Num) for r in rows) and len(set(rows)) == 1:
        number = infix(rows[0])
        number += ".0" if number.lstrip("-").isdigit() else ""  # an array of floats
        text = f"{target} = np.full(({len(rows)}, *{like}.shape), {number})"
        return [text] if isinstance(rows[0], Num) else []
    before: list[str] = []
    shown = []
    for n, r in enumerate(rows):
        text = f"np.full_like({like}, {infix(r)})" if isinstance(r, Num) else infix(r)
        if len(text) > 80:
            before += _line(f"part0_{n + 1}", r, 0)
            text = f"part0_{n + 1}"
        shown.append(text)
    return [*before, *bracketed(f"{target} = np.array([", shown, "])")]


def _bare(symbol: sp.Symbol) -> Node:
    return Var(symbol.name)


def component_fragments(form: ComponentForm) -> dict[str, object]:
    """Bodies and facts of the functions that one family needs; they hold for any K."""
    family = form.family
    roles = [p.name for p in family.parameters]
    buffers = {b: f"basis[{j}]" for j, b in enumerate(form.basis)}
    prepare: list[Assign] = []
    stages = {"x": Stage.SAMPLE}
    block: list[str] = []
    if form.own:
        block += _fill_basis(form, buffers, stages, prepare)
    else:
        for b, buffer in buffers.items():
            node = lower(b.subs(form.z, family.x), _bare)
            block += filled(node, buffer, "spare")
    coefficients = [a.target for a in prepare]
    odds, exponents, more = _exponents(form, buffers)
    prepare_lines = assignments([*prepare, *more]) + assignments(
        [Assign("heights", lower(form.height, _bare))]
    )
    if form.height == 1:
        prepare_lines[-1] = f"heights = np.ones_like({roles[0]})"
    coefficients += [a.target for a in more]
    used = [n for n in roles if any(n in names(a.value) for a in [*prepare, *more])]
    shown = _locations(block + odds + exponents, roles)
    arrays = [n for n in roles if n in shown] + coefficients
    return {
        "prepare": prepare_lines,
        "coefficients": arrays,
        "block": block,
        "log_odds": odds,
        "exponents": exponents,
        "odds": _return_lines("odds", form.odds),
        "score": _score_lines(form),
        "common": infix(lower_common(form)) if form.common != 0 else None,
        "quadratic": _quadratic_lines(form),
        "used": used,
    }


def _locations(lines: Sequence[str], roles: Sequence[str]) -> set[str]:
    """Family parameters that per-sample lines read directly."""
    text = _words(" ".join(lines))
    return {r for r in roles if r in text}


def _words(text: str) -> list[str]:
    for mark in "()[],-":
        text = text.replace(mark, " ")
    return text.split()


def _fill_basis(
    form: ComponentForm,
    buffers: Mapping[sp.Expr, str],
    stages: Mapping[str, Stage],
    prepare: list[Assign],
) -> list[str]:
    """Fill z first, then what is built from it."""
    lines: list[str] = []
    target = buffers.get(form.z, "spare")
    raw = hoist(lower(form.standard, _bare), stages, "c", prepare)
    lines += filled(raw, target, "")

    def leaf(symbol: sp.Symbol) -> Node:
        return Var(target) if symbol == form.z else _bare(symbol)

    for b, buffer in buffers.items():
        if b != form.z:
            lines += filled(lower(b, leaf), buffer, "spare" if target != "spare" else "")
    return lines


def _exponents(
    form: ComponentForm, buffers: Mapping[sp.Expr, str]
) -> tuple[list[str], list[str], list[Assign]]:
    """Lines that fill log f_k − log f_K, and log f_k for some rows k, both without heights.

    Where z is x itself the kernel takes the log-odds from their coefficients, and there are no
    lines for them.
    """
    more: list[Assign] = []
    if form.anchored is not None:
        return [], _anchored_lines(form), more
    terms = [(c, buffers[b]) for c, b in zip(form.coefficients, form.basis, strict=True) if c != 0]
    odds: list[str] = []
    logs: list[str] = []
    for n, (c, buffer) in enumerate(terms):
        first = n == 0
        sign = {sp.Integer(1): "add", sp.Integer(-1): "subtract"}.get(c)
        into = "out" if first else "spare[:-1]"
        own = f"{buffer}[rows]" if form.own else buffer
        if form.own and sign is not None:
            ends = [f"{buffer}[:-1]", f"{buffer}[-1]"]
            left, right = ends if sign == "add" else reversed(ends)
            odds.append(f"np.subtract({left}, {right}, out={into})")
            verb = "positive" if sign == "add" else "negative"
            logs.append(
                f"np.{verb}({own}, out=out)" if first else f"np.{sign}(out, {own}, out=out)"
            )
        else:
            name = f"slope{n + 1}"
            more.append(Assign(name, lower(c, _bare)))
            odds.append(f"np.multiply({name}, {buffer}, out=spare)")
            odds.append(f"np.subtract(spare[:-1], spare[-1], out={into})")
            logs.append(
                f"np.multiply({name}[rows], {own}, out={'out' if first else 'spare[rows]'})"
            )
            if not first:
                logs.append("np.add(out, spare[rows], out=out)")
        if not first:
            odds.append("np.add(out, spare[:-1], out=out)")
    if form.constant != 0:
        more.append(Assign("constant", lower(form.constant, _bare)))
        odds.append("np.add(out, constant[:-1] - constant[-1], out=out)")
        logs.append("np.add(out, constant[rows], out=out)")
    return odds if form.own else [], logs, more


def _anchored_lines(form: ComponentForm) -> list[str]:
    """log f_k where large terms cancel: the two parts of the anchored form, evaluated apart."""
    assert form.anchored is not None
    roles = {p.symbol for p in form.family.parameters}

    def leaf(symbol: sp.Symbol) -> Node:
        if symbol == form.family.x:
            return Var("point")
        return Var(f"{symbol.name}[rows]") if symbol in roles else _bare(symbol)

    logarithms, rest = (lower(part, leaf) for part in form.anchored)
    return [
        "point = np.maximum(basis[0], 1e-290)",
        f"out[...] = {infix(rest)}",
        f"out += {infix(logarithms)}",
    ]


def _return_lines(prefix: str, values: Sequence[sp.Expr]) -> list[str]:
    program = share([Assign(f"{prefix}{j}", lower(v, _bare)) for j, v in enumerate(values)])
    targets = [f"{prefix}{j}" for j in range(len(values))]
    comma = "," if len(targets) == 1 else ""
    return [*assignments(program), f"return {', '.join(targets)}{comma}"]


def _score_lines(form: ComponentForm) -> list[str]:
    """Body of ``_score(mu, …)``: for each parameter and each b_j a (slope, offset), or None.

    The constant a_0 goes with the last b_j there is, as slope · (b_j + offset), so that a mean of
    zero keeps its digits.
    """
    program: list[Assign] = []
    rows = []
    first = form.family.parameters[0].name
    for p, (constant, *slopes) in zip(form.family.parameters, form.score, strict=True):
        last = max((j for j, a in enumerate(slopes) if a != 0), default=None)
        if last is None:
            raise DerivationError(
                problem(
                    f"the log-density does not depend on {p.name}", str(constant), "x and φ in it"
                )
            )
        cells = []
        for j, a in enumerate(slopes):
            if a == 0:
                cells.append("None")
                continue
            slope = f"{p.name}_slope{j + 1}"
            program.append(Assign(slope, lower(a, _bare)))
            if a.is_number:
                program[-1] = Assign(
                    slope, Op("add", (Op("mul", (Var(first), Num(Fraction(0)))), lower(a, _bare)))
                )
            offset = "0.0"
            if j == last and constant != 0:
                node = lower(sp.cancel(constant / a), _bare)
                offset = infix(node)
                if isinstance(node, Op):
                    program.append(Assign(f"{p.name}_offset", node))
                    offset = f"{p.name}_offset"
            cells.append(f"({slope}, {offset})")
        rows.append(_tuple(cells))
    return [
        *assignments(share(program)),
        f"return {_tuple(rows) if len(rows) == 1 else _tuple(rows)[1:-1]}",
    ]


def lower_common(form: ComponentForm) -> Node:
    """log g(x) as a node; log Γ is a function of the runtime."""
    known = {sp.loggamma: "log_gamma", StirlingRemainder: "stirling_remainder"}
    calls = {
        call: sp.Symbol(f"{name}({infix(lower(call.args[0], _bare))})")
        for kind, name in known.items()
        for call in form.common.atoms(kind)
    }
    return lower(form.common.xreplace(calls), _bare)


def _quadratic_lines(form: ComponentForm) -> list[str] | None:
    """Body of ``_quadratic(mu, …)``: log f as c_0 + c_1 x + c_2 x², or None."""
    family = form.family
    if family.support != "line" or not form.log_density.is_polynomial(family.x):
        return None
    expanded = sp.expand(sp.expand_log(family.log_density, force=True))
    polynomial = sp.Poly(expanded, family.x)
    if polynomial.degree() > 2:
        return None
    found = [sp.factor_terms(polynomial.coeff_monomial(family.x**j)) for j in range(3)]
    return _return_lines("q", found)


def m_step_lines(model: Mixture, step: MStep) -> list[str]:
    """Body of ``_m_step(mass, means, …)``: statistics of z to those of y, then the updates."""
    from relrep_sym.equations.component import component_form

    form = component_form(model.family)
    roles = [p.name for p in model.family.parameters]
    functions, _ = statistics_of(model.family)
    y = sp.Symbol("y", real=True)
    spread = sp.Integer(1)
    if form.own:
        spread = sp.factor(
            sp.diff(model.family.x, model.family.x) / sp.diff(form.standard, model.family.x)
        )
    position = {b: j for j, b in enumerate(form.basis)}
    used = {
        s.name
        for u in step.updates
        for e in (u.value, *(t for _, t in u.totals))
        for s in e.free_symbols
    }
    program: list[Assign] = []
    for j, function in enumerate(functions, start=1):
        in_z = sp.expand(function.subs(y, spread * form.z))
        coefficient, b = in_z.as_independent(form.z, as_Add=False)
        scaled = lower(coefficient, _bare)
        mean = Item("means", position[b])
        program.append(Assign(f"t_{j}", mean if coefficient == 1 else Op("mul", (scaled, mean))))
    program = [a for a in program if a.target in used]
    lines = assignments(share(program, prefix="c"))
    lines += _weight_lines(model, step)
    current = dict.fromkeys(roles)
    for u in step.updates:
        lines += _update_lines(model, u, current)
    results = [current[r] or r for r in roles]
    return [*lines, f"return shares, {_tuple(results)}"]


def _weight_lines(model: Mixture, step: MStep) -> list[str]:
    free = step.free_weights
    if not free:
        return _stacked("shares", [lower(w, _bare) for w in model.weight_expressions], "mass[0]")
    if len(free) == model.components:
        return ["shares = mass / mass.sum(axis=0)"]
    fixed = {k: w for k, w in enumerate(model.weight_expressions) if k not in free}
    rest = 1 - sp.Add(*fixed.values())
    which = [str(k) for k in free]
    rows = [
        f"np.full_like(mass[0], {infix(lower(fixed[k], _bare))})"
        if k in fixed
        else f"share * mass[{k}]"
        for k in range(model.components)
    ]
    return [
        f"share = {infix(lower(rest, _bare))} / mass[[{', '.join(which)}]].sum(axis=0)",
        *bracketed("shares = np.array([", rows, "])"),
    ]


def _update_lines(model: Mixture, u: object, current: dict[str, str | None]) -> list[str]:
    from relrep_sym.equations.em import Update

    assert isinstance(u, Update)
    lines: list[str] = []

    def leaf(symbol: sp.Symbol) -> Node:
        if symbol.name == "N":
            return Var("mass")
        if current.get(symbol.name):
            return Var(str(current[symbol.name]))
        return Var(symbol.name)

    for symbol, expression in u.totals:
        node = lower(expression, leaf)
        lines.append(f"{symbol.name} = ({infix(node)}).sum(axis=0)")
    value = lower(u.value, leaf)
    if u.shift:
        value = Op("add", (Var(u.parameter), value))
    name = f"new_{u.parameter}"
    whole = len(u.components) == model.components
    if u.totals:
        lines.append(f"{name} = np.broadcast_to({infix(value)}, {u.parameter}.shape)")
    elif whole:
        lines.append(f"{name} = {infix(value)}")
    else:
        which = f"[{', '.join(str(k) for k in u.components)}]"
        if not current[u.parameter]:
            lines.append(f"{name} = {u.parameter}.copy()")
        lines.append(f"{name}[{which}] = ({infix(value)})[{which}]")
    current[u.parameter] = name
    return lines
