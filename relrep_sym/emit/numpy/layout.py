"""Lines of generated Python, formatted as ruff would: assignments, tuples, stacked rows.

In: statement-language nodes, or pieces of text. Out: lists of lines within the width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import sympy as sp

from relrep_sym.emit.numpy.printer import infix
from relrep_sym.statements.language import Assign, Node, Num, Op, Var

__all__ = [
    "WIDTH",
    "Leaf",
    "assignments",
    "bare",
    "bracketed",
    "filled_text",
    "returned",
    "stacked",
    "tuple_of",
    "wrapped",
]

WIDTH = 100
Leaf = Callable[[sp.Symbol], Node]
"""What a symbol is called in the code."""


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
        first, second = (
            part[0] if len(part) == 1 else Op(value.op, part)
            for part in (value.args[:half], value.args[half:])
        )
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


def returned(items: Sequence[str]) -> list[str]:
    """``return items``, within the width."""
    line = f"return {', '.join(items)}"
    if len(line) + 4 <= WIDTH:
        return [line]
    return ["return (", *(f"    {i}," for i in items), ")"]


def tuple_of(items: Sequence[str]) -> str:
    """A tuple's text, that of one item with its comma."""
    return f"({', '.join(items)}{',' if len(items) == 1 else ''})"


def stacked(target: str, rows: Sequence[Node], like: str) -> list[str]:
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


def bare(symbol: sp.Symbol) -> Node:
    """A symbol that is called by its own name."""
    return Var(symbol.name)


def wrapped(text: str, width: int) -> list[str]:
    """The text in pieces that join to it again, broken after spaces."""
    pieces, current = [], ""
    for word in text.split(" "):
        if current and len(current) + len(word) + 1 > width:
            pieces.append(current)
            current = ""
        current += word + " "
    pieces.append(current.removesuffix(" "))
    return pieces


def filled_text(text: str, width: int) -> list[str]:
    """The text in lines of at most ``width`` where spaces allow it, trailing spaces gone."""
    return [p.rstrip() for p in wrapped(text, width)]
