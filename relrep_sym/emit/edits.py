"""The text of a definition with some of its names changed, and nothing else.

In: a :class:`~relrep_sym.emit.pieces.Piece` and a new name for some of its nodes. Out: its lines,
checked: parsed again they give the tree in which those nodes are renamed. Imports of the package
inside functions are dropped, and so are examples in docstrings, which need the package.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from relrep_sym.emit.pieces import Piece, docstring

__all__ = ["Touched", "edited", "rebuilt", "touched"]

_WIDTH = 100
_DOTTED = re.compile(r"~?\b(relrep_sym(?:\.\w+)*)\.(\w+)")
_DEFINES = re.compile(rb"(?:async\s+)?(?:def|class)\s+")


class Touched(NamedTuple):
    """A line in which names were changed, by its number, and the nodes that carry them."""

    number: int
    text: bytes
    nodes: list[ast.AST]


def touched(piece: Piece, changes: Mapping[int, str]) -> list[Touched]:
    """The lines of a piece that ``changes`` concern: the new name by the identity of the node."""
    places: dict[int, list[tuple[int, int, bytes, ast.AST]]] = {}
    for use in piece.uses:
        if id(use.node) in changes:
            line, start, end = _place(piece, use.node, use.name)
            new = changes[id(use.node)].encode()
            places.setdefault(line, []).append((start, end, new, use.node))
    out = []
    for line, found in places.items():
        text = piece.module.lines[line - 1]
        for start, end, new, _ in sorted(found, key=lambda f: f[0], reverse=True):
            text = text[:start] + new + text[end:]
        out.append(Touched(line, text, [f[3] for f in found]))
    return out


def edited(
    piece: Piece,
    changes: Mapping[int, str],
    called: Mapping[tuple[str, str | None], str] | None = None,
    *,
    keep_examples: bool = False,
) -> list[str]:
    """The piece with ``changes``, the new name by the identity of the node.

    ``called`` says what a thing of the package is called now, for docstrings that mention it.
    Raises GenerationError where the new text does not mean what it should.
    """
    lines: dict[int, bytes | None] = {
        n: piece.module.lines[n - 1] for n in range(piece.first, piece.last + 1)
    }
    lines |= {line.number: line.text for line in touched(piece, changes)}
    for node in piece.dropped:
        last = node.end_lineno or node.lineno
        while not (lines.get(last + 1) or b"x").strip():
            last += 1
        lines |= dict.fromkeys(range(node.lineno, last + 1))
    if changes or piece.dropped:
        _check(piece, changes, lines)
    for doc in _docstrings(piece):
        span = range(doc.lineno, (doc.end_lineno or 0) + 1)
        said = [(lines[n] or b"").decode() for n in span]
        if not keep_examples:
            said = _without_examples(said)
        said = [_DOTTED.sub(lambda m: (called or {}).get((m[1], m[2]), m[2]), s) for s in said]
        lines |= dict.fromkeys(span)
        lines[doc.lineno] = "\n".join(said).encode()
    return [line.decode() for _, line in sorted(lines.items()) if line is not None]


def rebuilt(node: Any, names: Mapping[int, str], dropped: Collection[ast.AST]) -> Any:
    """A copy of a tree in which nodes carry other names, by the nodes' identity.

    >>> tree = ast.parse("f(x)", mode="eval").body
    >>> ast.unparse(rebuilt(tree, {id(tree.func): "g"}, ()))
    'g(x)'
    """
    if isinstance(node, list):
        return [rebuilt(n, names, dropped) for n in node if not any(n is d for d in dropped)]
    if not isinstance(node, ast.AST):
        return node
    new = names.get(id(node))
    if new is not None and isinstance(node, ast.Name | ast.Attribute):
        return ast.Name(new, node.ctx)
    fields = {name: rebuilt(value, names, dropped) for name, value in ast.iter_fields(node)}
    if new is not None:
        fields["names" if isinstance(node, ast.Global) else "name"] = (
            [new] if isinstance(node, ast.Global) else new
        )
    return type(node)(**fields)


def _place(piece: Piece, node: ast.AST, name: str) -> tuple[int, int, int]:
    """(line, from, to) of the name that a node carries."""
    if isinstance(node, ast.Name | ast.Attribute):
        if node.lineno != node.end_lineno:
            raise piece.module.refuse("a name over two lines", node, "one line")
        place = (node.lineno, node.col_offset, node.end_col_offset or 0)
    elif isinstance(node, ast.Global):
        if node.names != [name]:
            raise piece.module.refuse("several names in one global statement", node, "one in each")
        text = piece.module.lines[node.lineno - 1]
        start = text.index(name.encode(), node.col_offset + len("global"))
        place = (node.lineno, start, start + len(name.encode()))
    else:
        assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        text = piece.module.lines[node.lineno - 1]
        found = _DEFINES.match(text, node.col_offset)
        if found is None:
            raise piece.module.refuse("a definition that is not on one line", node, "one line")
        place = (node.lineno, found.end(), found.end() + len(name.encode()))
    line, start, end = place
    there = piece.module.lines[line - 1][start:end].decode(errors="replace")
    if there != (ast.unparse(node) if isinstance(node, ast.Attribute) else name):
        right = "a place that Python's parser knows (it does not, in some f-strings)"
        raise piece.module.refuse(f"{name} has no place of its own", node, right)
    return place


def _check(piece: Piece, changes: Mapping[int, str], lines: Mapping[int, bytes | None]) -> None:
    """Insist that the text has the tree in which the nodes are renamed, and no other."""
    text = b"\n".join(line for _, line in sorted(lines.items()) if line is not None).decode()
    want = [rebuilt(node, changes, piece.dropped) for node in piece.nodes]
    try:
        got = ast.parse(text).body
    except SyntaxError:
        got = []
    if [ast.dump(n) for n in got] != [ast.dump(n) for n in want]:
        right = "a text in which names can be changed"
        raise piece.module.refuse("its names cannot be changed", piece.nodes[0], right)


def _docstrings(piece: Piece) -> list[ast.Expr]:
    found = [docstring(n) for n in ast.walk(piece.nodes[0])]
    return [d for d in (*found, *piece.nodes[1:]) if isinstance(d, ast.Expr)]


def _without_examples(lines: Sequence[str]) -> list[str]:
    """A docstring's lines without its examples, and without the line that announces them."""
    text = "\n".join(lines)
    if ">>> " not in text or not text.rstrip().endswith('"""'):
        return list(lines)
    indent = re.match(r" *", text)
    end = "\n" + (indent[0] if indent else "") + '"""'
    kept: list[str] = []
    dropped = False
    for paragraph in re.split(r"\n[ ]*\n", text.rstrip().removesuffix('"""').rstrip()):
        example = paragraph.find(">>> ")
        if example < 0:
            kept.append(paragraph)
            continue
        dropped = True
        rest = paragraph[:example].rstrip()
        if rest:
            kept.append(rest)
        if len(kept) > 1 and kept[-1].endswith(":"):
            kept.pop()
    assert dropped
    said = "\n\n".join(kept)
    if "\n" not in said:
        if len(said) + 3 <= _WIDTH:
            return [said + '"""']
        margin = end[1:-3]
        said = "\n".join(textwrap.wrap(said, _WIDTH - 3, subsequent_indent=margin))
    return (said + end).split("\n")
