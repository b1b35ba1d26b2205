"""What a generated module says of ECM's conditional steps: a word or four for each coordinate.

In: a chart, its conditional steps. Out: the texts of ``conditional=(…)`` in the generated chart,
and the body of ``_conditional``, which maximises Q over one family parameter, the others held.
"""

from __future__ import annotations

from collections.abc import Sequence

import sympy as sp

from relrep_sym.declare.chart import Chart
from relrep_sym.declare.model import Mixture
from relrep_sym.emit.numpy.em_code import names_of, statistic_lines, update_lines
from relrep_sym.emit.numpy.layout import returned, tuple_of
from relrep_sym.equations.cm import CMStep, gap_of, root_of
from relrep_sym.equations.em import Update, shift_symbol

__all__ = ["conditional_lines", "conditional_words"]


def conditional_words(chart: Chart, steps: Sequence[CMStep]) -> list[str]:
    """How each coordinate's step is taken: its kind, then gap, parameter and component.

    >>> from relrep_sym.declare.charts import relative
    >>> from relrep_sym.declare.model import mixture
    >>> from relrep_sym.equations.cm import cm_steps
    >>> c = relative(mixture("normal", components=2), "mu", gap="square")
    >>> conditional_words(c, cm_steps(c))
    ['simplex 0', 'shift plain mu 0', 'shift square mu 1', 'own plain sigma 0', 'own plain sigma 1']
    """
    rules = dict(chart.program)
    weights = [rules.get(w) for w in chart.weight_expressions]
    out = []
    for step in steps:
        symbol = sp.Symbol(step.name)
        if step.kind == "simplex":
            out.append(f"simplex {weights.index(symbol)}")
        elif step.kind in ("softmax", "stick"):
            out.append(f"{step.kind} {int(step.name.rpartition('_')[2]) - 1}")
        elif step.kind == "shift" and step.steady:
            out.append(f"shift {step.gap} {step.role} {step.members[0]}")
        elif step.kind == "own":
            alone = gap_of(step.gap, symbol) in rules.values()
            kind = "own" if alone else "added"
            out.append(f"{kind} {step.gap} {step.role} {step.members[0]}")
        elif step.name in chart.mixed:
            out.append("mixed")
        else:
            out.append("weight" if step.role == "weight" else "search")
    return out


def conditional_lines(model: Mixture, steps: Sequence[CMStep]) -> list[str] | None:
    """Body of ``_conditional(mass, means, …)``; None where no step reads it."""
    family = model.family
    wanted = {s.role for s in steps if s.kind == "own"}
    updates = []
    for p in family.parameters:
        pull = next((s.pull for s in steps if s.role == p.name and s.kind == "own"), None)
        found = root_of(family, p.name) if p.name in wanted else None
        if pull is None or found is None:
            continue
        root, s = found
        statistic = pull.statistic
        if family.location is not None:
            statistic = statistic.subs(shift_symbol(family), 0)
        every = tuple(range(model.components))
        pattern = model.patterns[family.parameters.index(p)]
        if pattern == "tied":
            mass = sp.Symbol("N", positive=True) * pull.factor
            above, below = sp.Symbol("total_1", real=True), sp.Symbol("total_2", real=True)
            totals = ((above, sp.expand(mass * statistic)), (below, mass))
            updates.append(Update(p.name, every, root.xreplace({s: above / below}), totals, False))
        else:
            updates.append(Update(p.name, every, root.xreplace({s: statistic}), (), False))
    if not updates:
        return None
    lines = statistic_lines(model, names_of(updates))
    made: dict[str, str] = {}
    for u in updates:
        current: dict[str, str | None] = dict.fromkeys(p.name for p in family.parameters)
        lines += update_lines(model, u, current)
        made[u.parameter] = str(current[u.parameter])
    items = [made.get(p.name, "None") for p in family.parameters]
    return [*lines, *(returned(items) if len(items) > 1 else [f"return {tuple_of(items)}"])]
