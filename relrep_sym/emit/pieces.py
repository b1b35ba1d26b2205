"""The modules of the runtime as statements that can be moved into another file.

In: the name of a module that generated code imports, or the text of a generated module. Out: a
:class:`Module`: what its imports stand for, and a :class:`Piece` for each definition, with the
names that it uses. The sources are read as text, and nothing is imported or run. What could not be
moved without changing its meaning is refused by a GenerationError that names the construct.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib import resources

from relrep_sym.emit.scopes import Import, Use, imported, uses
from relrep_sym.errors import GenerationError, problem

__all__ = ["MINE", "Module", "Piece", "docstring", "is_ours", "read_generated", "read_runtime"]

MINE = "the generated module"
_PACKAGE = "relrep_sym"
_NOT_MOVED = ("__all__",)


@dataclass(frozen=True)
class Piece:
    """One definition: a function, a class, or an assignment with the text that explains it.

    Lines are counted from one, decorators and comments right above included. ``dropped`` are the
    imports inside functions that the bundle makes needless.
    """

    module: Module
    nodes: tuple[ast.stmt, ...]
    first: int
    defines: tuple[str, ...]
    uses: tuple[Use, ...]
    dropped: tuple[ast.stmt, ...]

    @property
    def last(self) -> int:
        """The last line."""
        return self.nodes[-1].end_lineno or 0

    @property
    def is_block(self) -> bool:
        """Whether it is a function or a class, which stand two lines apart."""
        return not isinstance(self.nodes[0], ast.Assign | ast.AnnAssign)


@dataclass(eq=False)
class Module:
    """A module as it was read; ``name`` is dotted, or MINE for the generated one."""

    name: str
    text: str
    tree: ast.Module
    imports: dict[str, Import] = field(default_factory=dict)
    for_types: set[str] = field(default_factory=set)  # imported for annotations only
    pieces: list[Piece] = field(default_factory=list)

    @cached_property
    def lines(self) -> list[bytes]:
        """The text in lines, as bytes: that is how Python counts columns."""
        return self.text.encode().split(b"\n")

    @cached_property
    def defined(self) -> dict[str, Piece]:
        """The piece that defines each name."""
        return {name: piece for piece in self.pieces for name in piece.defines}

    @property
    def stem(self) -> str:
        """The last part of the name."""
        return self.name.rpartition(".")[2]

    def loads(self) -> list[str]:
        """The package's modules that are imported when this one is, in their order."""
        found = (i.module for n, i in self.imports.items() if n not in self.for_types)
        return [m for m in dict.fromkeys(found) if is_ours(Import(m))]

    def refuse(self, what: str, node: ast.AST, right: str) -> GenerationError:
        """The error that a construct cannot be bundled."""
        given = ast.unparse(node).partition("\n")[0]
        line = getattr(node, "lineno", 0)
        return GenerationError(problem(f"{self.name}, line {line}: {what}", given, right))


def is_ours(meaning: Import) -> bool:
    """Whether an import is of this package."""
    return meaning.module.partition(".")[0] == _PACKAGE


def docstring(node: ast.AST) -> ast.Expr | None:
    """The statement that is the docstring of a function or class."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return node.body[0] if _is_text(node.body[0]) else None  # type: ignore[return-value]
    return None


def _is_text(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


# ----------------------------------------------------------------------------- reading


@cache
def read_runtime(name: str) -> Module:
    """A module of the runtime, by its dotted name.

    >>> read_runtime("relrep_sym.errors").defined["problem"].is_block
    True
    """
    if name != f"{_PACKAGE}.errors" and not name.startswith(f"{_PACKAGE}.runtime"):
        right = "relrep_sym.errors and relrep_sym.runtime alone"
        raise GenerationError(problem("a standalone module cannot hold this import", name, right))
    found = _file(name)
    if found is None:
        raise GenerationError(problem("there is no such module", name, "a module of the runtime"))
    return _read(name, found)


def read_generated(text: str) -> Module:
    """A generated module, whose text this package rendered."""
    return _read(MINE, text)


def _file(name: str) -> str | None:
    *above, last = name.split(".")[1:]
    folder = resources.files(_PACKAGE).joinpath(*above)
    for path in (folder / last / "__init__.py", folder / f"{last}.py"):
        if path.is_file():
            return path.read_text("utf-8")
    return None


@cache
def _is_module(name: str) -> bool:
    return _file(name) is not None


def _settled(meaning: Import) -> Import:
    """``from package import module`` as the import of the module that it is."""
    if meaning.name is not None and is_ours(meaning):
        whole = f"{meaning.module}.{meaning.name}"
        if _is_module(whole):
            return Import(whole)
    return meaning


def _read(name: str, text: str) -> Module:
    module = Module(name, text, ast.parse(text))
    body = module.tree.body[1:] if _is_text(module.tree.body[0]) else module.tree.body
    statements: list[list[ast.stmt]] = []
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            _import(module, node, types_only=False)
        elif isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            for inner in (*node.body, *node.orelse):
                if not isinstance(inner, ast.Import | ast.ImportFrom) or node.orelse:
                    raise module.refuse("more than imports for types", inner, "imports alone")
                _import(module, inner, types_only=True)
        elif _is_text(node) and statements:
            statements[-1].append(node)  # what explains an assignment
        elif _names(node):
            statements.append([node])
        elif not _is_text(node):
            right = "imports, assignments to names, functions and classes"
            raise module.refuse(f"{type(node).__name__} at module level", node, right)
    bound = [n for nodes in statements for n in _names(nodes[0])]
    for node_name in bound:
        if bound.count(node_name) > 1 or node_name in module.imports:
            node = next(s[0] for s in statements if node_name in _names(s[0]))
            raise module.refuse(f"{node_name} is bound twice in the module", node, "two names")
    known = dict.fromkeys((*module.imports, *bound))

    def stands_for_module(meaning: str | Import) -> bool:
        found = module.imports.get(meaning) if isinstance(meaning, str) else _settled(meaning)
        return found is not None and is_ours(found) and found.name is None

    for nodes in statements:
        if name != MINE and _names(nodes[0])[0] in _NOT_MOVED:
            continue
        found = uses(nodes[0], known, is_ours, stands_for_module, name)
        settled = (
            u if isinstance(u.meaning, str) else u._replace(meaning=_settled(u.meaning))
            for u in found
        )
        dropped = tuple(_inner_imports(module, nodes[0]))
        first = _first_line(module, nodes[0])
        piece = Piece(module, tuple(nodes), first, _names(nodes[0]), tuple(settled), dropped)
        module.pieces.append(piece)
    return module


def _is_light(meaning: Import) -> bool:
    """Whether an import asks for no more than this package, Python and NumPy."""
    return meaning.module.partition(".")[0] in {_PACKAGE, "numpy", *sys.stdlib_module_names}


def _import(module: Module, node: ast.Import | ast.ImportFrom, *, types_only: bool) -> None:
    if isinstance(node, ast.ImportFrom) and node.module == "__future__":
        if [a.name for a in node.names] != ["annotations"]:
            raise module.refuse("another rule of the future", node, "annotations alone")
        return
    for name, meaning in imported(node):
        if name == "*" or (isinstance(node, ast.ImportFrom) and node.level):
            right = "an import of names from a module by its whole name"
            raise module.refuse("an import of another kind", node, right)
        if not types_only and not _is_light(meaning):
            what = f"{meaning.module} is needed as soon as the module is loaded"
            raise module.refuse(what, node, "NumPy alone; others are imported inside functions")
        if meaning == Import(_PACKAGE) or module.imports.get(name, meaning) != meaning:
            raise module.refuse(f"{name} as a name for two things", node, "from … import …")
        if not types_only:
            module.for_types.discard(name)
        elif name not in module.imports:
            module.for_types.add(name)
        module.imports[name] = _settled(meaning)


def _names(node: ast.stmt) -> tuple[str, ...]:
    """The names that a statement at module level binds, where it does nothing else."""
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            return (name,)
        case ast.ClassDef(name=name) | ast.AnnAssign(target=ast.Name(id=name)):
            return (name,)
        case ast.Assign(targets=[ast.Name(id=name)]):
            return (name,)
        case ast.Assign(targets=[ast.Tuple(elts=parts)]):
            names = tuple(p.id for p in parts if isinstance(p, ast.Name))
            return names if len(names) == len(parts) else ()
    return ()


def _inner_imports(module: Module, node: ast.stmt) -> Iterator[ast.stmt]:
    """Imports of the package inside functions; each fills its lines, and its block holds more."""
    for outer in ast.walk(node):
        for block in (getattr(outer, n, None) for n in ("body", "orelse", "finalbody")):
            if not isinstance(block, list):
                continue
            mine = []
            for inner in block:
                if not isinstance(inner, ast.Import | ast.ImportFrom):
                    continue
                kinds = {is_ours(meaning) for _, meaning in imported(inner)}
                if getattr(inner, "level", 0) or len(kinds) > 1:
                    right = "an import of names from a module by its whole name"
                    raise module.refuse("an import of another kind", inner, right)
                if kinds == {True}:
                    line = module.lines[inner.lineno - 1 : inner.end_lineno]
                    if b";" in b"".join(line) or isinstance(outer, ast.ClassDef):
                        right = "an import inside a function, on lines of its own"
                        raise module.refuse("an import among other things", inner, right)
                    mine.append(inner)
            if mine and len(mine) == len(block):
                raise module.refuse("a block of imports alone", mine[0], "a block that does more")
            yield from mine


def _first_line(module: Module, node: ast.stmt) -> int:
    decorators = getattr(node, "decorator_list", None)
    first = decorators[0].lineno if decorators else node.lineno
    while first > 1 and module.lines[first - 2].startswith(b"#"):
        first -= 1
    return first
