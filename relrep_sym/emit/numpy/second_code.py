"""Bodies of what a Hessian needs beside the score: a family's second derivatives, a chart's bend.

In: a :class:`~relrep_sym.equations.second.SecondForm`, and a chart's
:class:`~relrep_sym.equations.curvature.Curvature` with the fragments that name its variables. Out:
lines for the slots of ``templates/module.py.j2``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import sympy as sp

from relrep_sym.emit.lowering import lower
from relrep_sym.emit.numpy.chart_code import ChartFragments
from relrep_sym.emit.numpy.layout import assignments, bare, bracketed, tuple_of
from relrep_sym.emit.numpy.own_code import family_forms
from relrep_sym.emit.numpy.printer import infix
from relrep_sym.equations.component import ComponentForm
from relrep_sym.equations.curvature import Curvature, adjoint
from relrep_sym.equations.kernels import with_kernels
from relrep_sym.equations.second import SecondForm
from relrep_sym.statements.language import Assign, Item, Node, Num, Op, Var, names
from relrep_sym.statements.passes import prune, share

__all__ = ["bend_lines", "contrast_lines", "rebased_lines", "second_lines"]


@cache
def second_lines(form: ComponentForm, second: SecondForm) -> list[str]:
    """Body of ``_second(mu, …)``: for each i ≤ j the coefficients over 1, b_1, …; None is zero."""
    roles = [p.name for p in form.family.parameters]
    labels = [f"{roles[i]}_{roles[j]}" for i, j in second.pairs]
    forms = family_forms(form.family)
    return _rows(labels, [[forms(a) for a in row] for row in second.second])


@cache
def contrast_lines(form: ComponentForm, second: SecondForm) -> list[str]:
    """Body of ``_contrast(mu, …, delta_mu, …, own_mu, …)``: a row for each parameter."""
    return _rows([p.name for p in form.family.parameters], second.contrast)


@cache
def rebased_lines(form: ComponentForm, second: SecondForm) -> list[str] | None:
    """Body of ``_rebased(mu, …, new_mu, …)``: a row for each b_j; None where all share them."""
    labels = [f"b{j}_" for j in range(1, len(form.basis) + 1)]
    return _rows(labels, second.rebased) if second.rebased else None


def _rows(labels: Sequence[str], rows: Sequence[Sequence[sp.Expr]]) -> list[str]:
    """Assignments, and a return of tuples of their names, numbers as they are and None for zero."""
    program: list[Assign] = []
    shown = []
    for label, row in zip(labels, rows, strict=True):
        cells = []
        for j, value in enumerate(row):
            if value == 0:
                cells.append("None")
                continue
            node = lower(with_kernels(value), bare)
            if isinstance(node, Op):
                program.append(Assign(f"{label}{j}", node))
                node = Var(program[-1].target)
            cells.append(infix(node))
        shown.append(tuple_of(cells))
    head, tail = ("return (", ",)") if len(shown) == 1 else ("return ", "")
    line = f"{head}{', '.join(shown)}{tail}"
    lines = assignments(share(program))
    return [*lines, line] if len(line) <= 96 else [*lines, *bracketed("return (", shown, ")")]


def bend_lines(pieces: ChartFragments, curved: Curvature) -> list[str] | None:
    """Body of ``_bend(rows, d_rows, d_weights, d_role …)``; None where the chart is linear."""
    known: dict[sp.Symbol, Node] = {adjoint(t.name): v for t, v in pieces.incoming.items()}
    if curved.vanishes:
        return None
    known |= {t: Item("d_rows", j) for j, t in enumerate(curved.directions)}

    def leaf(symbol: sp.Symbol) -> Node:
        return known[symbol] if symbol in known else pieces.leaf(symbol)

    def lowered(value: sp.Expr) -> Node:
        return pieces.lowered(value.xreplace(pieces.given), leaf)

    program: list[Assign] = []
    arguments = ["d_rows", "d_weights", *(f"d_{role}" for role in pieces.roles)]
    for symbol, value in curved.steps:
        name = f"{symbol.name}_" if symbol.name in arguments else symbol.name
        program.append(Assign(name, lowered(value)))
        known[symbol] = Var(name)
    results: list[Node] = []
    for j, value in enumerate(curved.results, start=1):
        node = lowered(value)
        if isinstance(node, Op):
            program.append(Assign(f"b_{j}", node))
            node = Var(program[-1].target)
        results.append(node)
    read = {n for a in program for n in names(a.value)} | {n for r in results for n in names(r)}
    program = share([*prune(pieces._program(), read), *program])
    lines = pieces._unpack(program, results) + assignments(program)
    shown = ["0.0" if r == Num(0) else infix(r) for r in results]
    return lines + bracketed("return [", shown, "]")
