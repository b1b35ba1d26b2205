"""Body of the function that takes the M-step.

In: a model and its :class:`~relrep_sym.equations.em.MStep`. Out: lines for the slot of
``templates/module.py.j2``.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import sympy as sp

from relrep_sym.declare.model import Mixture
from relrep_sym.emit.lowering import lower
from relrep_sym.emit.numpy.layout import (
    assignments,
    bare,
    bracketed,
    stacked,
    tuple_of,
)
from relrep_sym.emit.numpy.printer import infix
from relrep_sym.equations.component import component_form
from relrep_sym.equations.em import MStep, Update, shift_symbol, statistics_of
from relrep_sym.statements.language import Assign, Item, Node, Op, Var
from relrep_sym.statements.passes import share

__all__ = ["m_step_lines", "names_of", "statistic_lines", "update_lines", "weight_lines"]


def m_step_lines(model: Mixture, step: MStep) -> list[str]:
    """Body of ``_m_step(mass, means, …)``: statistics of z to those of y, then the updates."""
    roles = [p.name for p in model.family.parameters]
    lines = statistic_lines(model, names_of(step.updates))
    lines += weight_lines(model, step)
    current = dict.fromkeys(roles)
    for u in step.updates:
        lines += update_lines(model, u, current)
    results = [current[r] or r for r in roles]
    return [*lines, f"return shares, {tuple_of(results)}"]


def names_of(updates: Sequence[Update]) -> set[str]:
    """The names of all symbols that updates read."""
    read = [e for u in updates for e in (u.value, *(t for _, t in u.totals))]
    return {s.name for e in read for s in e.free_symbols}


def statistic_lines(model: Mixture, used: Collection[str]) -> list[str]:
    """Lines that make t_j, as far as they are used, of the means of functions of z."""
    form = component_form(model.family)
    functions, _ = statistics_of(model.family)
    y = sp.Symbol("y", real=True)
    spread = sp.Integer(1)
    if form.own:
        spread = sp.factor(
            sp.diff(model.family.x, model.family.x) / sp.diff(form.standard, model.family.x)
        )
    position = {b: j for j, b in enumerate(form.basis)}
    program: list[Assign] = []
    for j, function in enumerate(functions, start=1):
        if f"t_{j}" not in used:  # such as log x, which is no multiple of a function of z
            continue
        in_z = sp.expand(function.subs(y, spread * form.z))
        coefficient, b = in_z.as_independent(form.z, as_Add=False)
        scaled = lower(coefficient, bare)
        mean = Item("means", position[b])
        program.append(Assign(f"t_{j}", mean if coefficient == 1 else Op("mul", (scaled, mean))))
    return assignments(share(program, prefix="c"))


def weight_lines(model: Mixture, step: MStep) -> list[str]:
    """Lines for ``shares``, the new weights."""
    free = step.free_weights
    if not free:
        return stacked("shares", [lower(w, bare) for w in model.weight_expressions], "mass[0]")
    if len(free) == model.components:
        return ["shares = mass / mass.sum(axis=0)"]
    fixed = {k: w for k, w in enumerate(model.weight_expressions) if k not in free}
    rest = 1 - sp.Add(*fixed.values())
    before, which = _indexed(free, "free")
    rows = [
        f"np.full_like(mass[0], {infix(lower(fixed[k], bare))})"
        if k in fixed
        else f"share * mass[{k}]"
        for k in range(model.components)
    ]
    return [
        *before,
        f"share = {infix(lower(rest, bare))} / mass[{which}].sum(axis=0)",
        *bracketed("shares = np.array([", rows, "])"),
    ]


def _indexed(members: Sequence[int], name: str) -> tuple[list[str], str]:
    """Lines that come before, and the index of some components."""
    numbers = [str(k) for k in members]
    text = f"[{', '.join(numbers)}]"
    if len(text) <= 30:
        return [], text
    if list(members) == list(range(members[0], members[-1] + 1)):
        return [], f"{members[0]}:{members[-1] + 1}"
    return bracketed(f"{name} = [", numbers, "]"), name


def update_lines(model: Mixture, u: Update, current: dict[str, str | None]) -> list[str]:
    """Lines for one update; ``current`` has the names of the parameters' new values."""
    lines: list[str] = []
    location = model.family.location

    def leaf(symbol: sp.Symbol) -> Node:
        if symbol.name == "N":
            return Var("mass")
        if current.get(symbol.name):
            return Var(str(current[symbol.name]))
        return Var(symbol.name)

    if location is not None and any(e.has(shift_symbol(model.family)) for _, e in u.totals):
        new = current[location.name] or location.name
        lines.append(f"shift_{location.name} = {new} - {location.name}")
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
        before, which = _indexed(u.components, "own")
        lines += before
        if not current[u.parameter]:
            lines.append(f"{name} = {u.parameter}.copy()")
        lines.append(f"{name}[{which}] = ({infix(value)})[{which}]")
    current[u.parameter] = name
    return lines
