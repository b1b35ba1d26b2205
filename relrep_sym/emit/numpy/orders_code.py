"""What a generated module says of its chart's orders: plain data, and the clearances.

In: a record's chart. Out: lines for the slots of ``templates/module.py.j2``, or None where the
chart keeps nothing in order, or some order's problem has no exact solution: there Newton's method
maximises Q.
"""

from __future__ import annotations

from typing import NamedTuple

import sympy as sp

from relrep_sym.declare.chart import Chart
from relrep_sym.emit.lowering import lower
from relrep_sym.emit.numpy.layout import bracketed
from relrep_sym.emit.numpy.printer import infix
from relrep_sym.equations.orders import Order, Orders, find_orders
from relrep_sym.equations.shapes import Shape, shape_of
from relrep_sym.errors import DerivationError
from relrep_sym.statements.language import Item, Node

__all__ = ["OrdersCode", "orders_code"]


class OrdersCode(NamedTuple):
    """The rows of ``orders=(…)`` in the generated chart, and the body of ``_clearances(given)``."""

    rows: list[str]
    clearances: list[str]


def orders_code(chart: Chart, found: Orders | None = None) -> OrdersCode | None:
    """The orders of a chart, all of whose problems are solved exactly; else None.

    ``found`` is what is known of them already.

    >>> from relrep_sym.declare.charts import relative
    >>> from relrep_sym.declare.model import mixture
    >>> code = orders_code(relative(mixture("poisson", components=3), "rate", clearance="1/2"))
    >>> print(code.rows[-2], code.clearances[-1])
        shape=("power", 1.0, "beta", -1.0, 0.0), return [[0.5, 0.5]]
    """
    orders = (find_orders(chart) if found is None else found).orders
    try:
        shapes = [shape_of(chart.model, o.role) for o in orders]
    except DerivationError:
        return None
    if not orders:
        return None
    rows: list[str] = []
    for order, shape in zip(orders, shapes, strict=True):
        rows += _row(chart, order, shape)
    given = {c.symbol: Item("given", j) for j, c in enumerate(chart.constants)}
    links = [
        bracketed("[", [infix(lower(c, lambda s: _of(given, s))) for c in o.clearances], "]", 8)
        for o in orders
    ]
    return OrdersCode(rows, _nested(links))


def _of(given: dict[sp.Symbol, Item], symbol: sp.Symbol) -> Node:
    return given[symbol]


def _nested(links: list[list[str]]) -> list[str]:
    """``return [[…], […]]``, on one line where it fits."""
    whole = f"return [{', '.join(''.join(rows) for rows in links)}]"
    if all(len(rows) == 1 for rows in links) and len(whole) + 4 <= 100:
        return [whole]
    out = ["return ["]
    for rows in links:
        out += [f"    {row}" for row in rows[:-1]] + [f"    {rows[-1]},"]
    return [*out, "]"]


def _row(chart: Chart, order: Order, shape: Shape) -> list[str]:
    roles = [p.name for p in chart.model.family.parameters]
    gaps = [str(chart.names.index(n)) for n in order.gaps]
    kinds = [f'"{k}"' for k in order.kinds]
    values = [f'"{shape.kind}"', repr(float(shape.factor))]
    if shape.kind == "location":
        values.append(f'"{shape.beside}"')
    else:
        values.append(f'"{shape.of}"')
    values += [repr(float(p)) for p in shape.powers or ()]
    lines = [f"role={roles.index(order.role)},"]
    for name, items in (("gaps", gaps), ("kinds", kinds)):
        row = bracketed(f"{name}=(", items, ")", 17)
        lines += [*row[:-1], f"{row[-1]},"]
    lines.append(f"multiplicative={order.multiplicative},")
    lines.append(f"shape=({', '.join(values)}),")
    return ["Order(", *(f"    {line}" for line in lines), "),"]
