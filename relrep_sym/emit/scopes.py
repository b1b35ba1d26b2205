"""Which names of a Python module mean its module-level bindings, and where they stand.

In: the tree of a module, and what an import means. Out: every :class:`Use` of a module-level name,
with its place in the text and the local names that could capture another spelling of it. By these,
:mod:`relrep_sym.emit.standalone` renames without touching attributes, keywords or local variables.
Python's own rules: a function sees the functions around it and the module, never a class around it.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from relrep_sym.errors import GenerationError, problem

__all__ = ["Import", "Use", "imported", "uses"]

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_BUILTINS = frozenset(dir(builtins))


class Import(NamedTuple):
    """What one name of an import statement stands for: a module, or something in it."""

    module: str
    name: str | None = None


class Use(NamedTuple):
    """A module-level name at one place.

    ``node`` is the Name, the Attribute of an imported module (``kernel.statistics``), the
    definition or the ``global`` statement; ``meaning`` is a name of the module, or an import inside
    a function; ``around`` are the local names in whose reach the place is.
    """

    node: ast.AST
    name: str
    meaning: str | Import
    attribute: str | None
    around: frozenset[str]


@dataclass
class _Scope:
    kind: str  # "function" or "class"
    names: dict[str, Import | None]  # None: an ordinary local
    outward: set[str] = field(default_factory=set)  # declared global or nonlocal
    module: set[str] = field(default_factory=set)  # declared global


def imported(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, Import]]:
    """(bound name, what it stands for) of an import statement.

    >>> node = ast.parse("from collections.abc import Iterator as It").body[0]
    >>> list(imported(node))
    [('It', Import(module='collections.abc', name='Iterator'))]
    """
    for alias in node.names:
        if isinstance(node, ast.ImportFrom):
            yield alias.asname or alias.name, Import(node.module or ".", alias.name)
        elif alias.asname:
            yield alias.asname, Import(alias.name)
        else:
            yield alias.name.partition(".")[0], Import(alias.name.partition(".")[0])


def uses(
    statement: ast.stmt,
    known: Mapping[str, object],
    ours: Callable[[Import], bool],
    is_module: Callable[[str | Import], bool],
    place: str,
) -> list[Use]:
    """The uses of the names ``known`` at module level in one statement of a module, in its order.

    ``ours`` says of an import inside a function whether it is to be bundled: its name then has that
    meaning, and is no local one. ``is_module`` says what stands for a whole module. ``place``
    opens the text of a refusal: GenerationError for what cannot be told from the text alone.
    """
    walker = _Walker(known, ours, is_module, place)
    walker.visit(statement, ())
    return walker.found


class _Walker:
    def __init__(
        self,
        known: Mapping[str, object],
        ours: Callable[[Import], bool],
        is_module: Callable[[str | Import], bool],
        place: str,
    ) -> None:
        self.known, self.ours, self.is_module, self.place = known, ours, is_module, place
        self.found: list[Use] = []

    def refuse(self, what: str, node: ast.AST, right: str) -> GenerationError:
        line = getattr(node, "lineno", 0)
        given = ast.unparse(node).partition("\n")[0]
        return GenerationError(problem(f"{self.place}, line {line}: {what}", given, right))

    # ------------------------------------------------------------------ the walk

    def visit(self, node: ast.AST, scopes: tuple[_Scope, ...]) -> None:
        if isinstance(node, ast.Name):
            self._name(node, node.id, scopes)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            self._attribute(node, node.value, scopes)
        elif isinstance(node, _FUNCTIONS):
            self._function(node, scopes)
        elif isinstance(node, ast.ClassDef):
            self._class(node, scopes)
        elif isinstance(node, _COMPREHENSIONS):
            self._comprehension(node, scopes)
        elif isinstance(node, ast.Global):
            for name in node.names:
                self._name(node, name, ())
        elif not isinstance(node, ast.Import | ast.ImportFrom):
            self._children(node, scopes)

    def _children(self, node: ast.AST, scopes: tuple[_Scope, ...]) -> None:
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns"):
                self._annotation(value)
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    self.visit(child, scopes)

    def _annotation(self, value: object) -> None:
        if not isinstance(value, ast.AST):
            return
        literals = {
            id(inner)
            for n in ast.walk(value)
            if isinstance(n, ast.Subscript) and "Literal" in ast.unparse(n.value)
            for inner in ast.walk(n.slice)
        }
        for n in ast.walk(value):
            if isinstance(n, ast.Constant) and isinstance(n.value, str) and id(n) not in literals:
                raise self.refuse("an annotation in quotes", n, "the annotation without quotes")

    def _function(self, node: ast.AST, scopes: tuple[_Scope, ...]) -> None:
        assert isinstance(node, _FUNCTIONS)
        if getattr(node, "type_params", None):
            raise self.refuse("type parameters in brackets", node, "a TypeVar")
        if not isinstance(node, ast.Lambda):
            self._definition(node, node.name, scopes)
            for outside in (*node.decorator_list, node.returns):
                if outside is not None:
                    self.visit(outside, scopes)
            self._annotation(node.returns)
        a = node.args
        arguments = [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, (a.vararg, a.kwarg))]
        for default in (*a.defaults, *filter(None, a.kw_defaults)):
            self.visit(default, scopes)
        for argument in arguments:
            if argument.annotation is not None:
                self._annotation(argument.annotation)
                self.visit(argument.annotation, scopes)
        body = node.body if isinstance(node.body, list) else [node.body]
        scope = self._scope("function", body)
        scope.names |= dict.fromkeys(argument.arg for argument in arguments)
        for inner in body:
            self.visit(inner, (*scopes, scope))

    def _class(self, node: ast.ClassDef, scopes: tuple[_Scope, ...]) -> None:
        if getattr(node, "type_params", None):
            raise self.refuse("type parameters in brackets", node, "a TypeVar")
        self._definition(node, node.name, scopes)
        for outside in (*node.decorator_list, *node.bases, *(k.value for k in node.keywords)):
            self.visit(outside, scopes)
        scope = self._scope("class", node.body)
        for inner in node.body:
            self.visit(inner, (*scopes, scope))

    def _comprehension(self, node: ast.AST, scopes: tuple[_Scope, ...]) -> None:
        first, *rest = node.generators  # type: ignore[attr-defined]
        self.visit(first.iter, scopes)
        targets = (g.target for g in node.generators)  # type: ignore[attr-defined]
        names = (n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name))
        inner = (*scopes, _Scope("function", dict.fromkeys(names)))
        for part in (first.target, *first.ifs, *rest):
            self.visit(part, inner)
        for name in ("key", "value", "elt"):
            if hasattr(node, name):
                self.visit(getattr(node, name), inner)

    # ------------------------------------------------------------------ what a scope binds

    def _scope(self, kind: str, body: list[ast.stmt] | list[ast.expr]) -> _Scope:
        scope = _Scope(kind, {})
        for node in body:
            self._bind(node, scope)
        for name in scope.outward:
            scope.names.pop(name, None)
        return scope

    def _bind(self, node: ast.AST, scope: _Scope) -> None:
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                self._local(scope, name, node)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                self._local(scope, name, node)
                return
            case ast.ClassDef(name=name):
                self._local(scope, name, node)
                return
            case ast.Lambda():
                return
            case ast.Global(names=names) | ast.Nonlocal(names=names):
                scope.outward |= set(names)
                scope.module |= set(names) if isinstance(node, ast.Global) else set()
            case ast.ExceptHandler(name=str() as name) | ast.MatchAs(name=str() as name):
                self._local(scope, name, node)
            case ast.MatchStar(name=str() as name) | ast.MatchMapping(rest=str() as name):
                self._local(scope, name, node)
            case ast.Import() | ast.ImportFrom():
                self._import(node, scope)
        if isinstance(node, _COMPREHENSIONS):  # only := leaves one
            for inner in ast.walk(node):
                if isinstance(inner, ast.NamedExpr):
                    self._local(scope, inner.target.id, inner)
            return
        for child in ast.iter_child_nodes(node):
            self._bind(child, scope)

    def _local(self, scope: _Scope, name: str, node: ast.AST) -> None:
        if scope.names.get(name) is not None:
            raise self.refuse(f"{name} is both imported and set here", node, "two names")
        scope.names[name] = None

    def _import(self, node: ast.Import | ast.ImportFrom, scope: _Scope) -> None:
        for name, meaning in imported(node):
            if name == "*":
                raise self.refuse("an import of everything", node, "the names that are used")
            mine = meaning if self.ours(meaning) else None
            if name in scope.names and scope.names[name] != mine:
                raise self.refuse(f"{name} is both imported and set here", node, "two names")
            scope.names[name] = mine

    # ------------------------------------------------------------------ what a name means

    def _meaning(self, name: str, node: ast.AST, scopes: tuple[_Scope, ...]) -> str | Import | None:
        """The module-level name, or the import in a function; None for what is local."""
        for depth, scope in enumerate(reversed(scopes)):
            if scope.kind == "class" and depth > 0:
                continue
            if name in scope.module:
                break
            if name in scope.names:
                loaded = isinstance(getattr(node, "ctx", None), ast.Load)
                if scope.kind == "class" and loaded and name in self.known:
                    what = f"{name} is bound both in this class and in the module"
                    raise self.refuse(what, node, "two names")
                return scope.names[name]
        if name in self.known:
            return name
        if name in _BUILTINS and not (name.startswith("__") and name != "__import__"):
            if name in ("__import__", "eval", "exec", "globals", "vars"):
                raise self.refuse(f"{name} reaches names by their text", node, "plain names")
            return None
        raise self.refuse(f"{name} is not bound in this module", node, "a name that it binds")

    def _name(self, node: ast.AST, name: str, scopes: tuple[_Scope, ...]) -> None:
        meaning = self._meaning(name, node, scopes)
        if meaning is None:
            return
        if self.is_module(meaning):
            raise self.refuse(f"the module {name} used as a value", node, f"{name}.something")
        self._add(node, name, meaning, None, scopes)

    def _definition(self, node: ast.AST, name: str, scopes: tuple[_Scope, ...]) -> None:
        if not scopes:
            self._add(node, name, name, None, scopes)

    def _attribute(self, node: ast.Attribute, value: ast.Name, scopes: tuple[_Scope, ...]) -> None:
        meaning = self._meaning(value.id, value, scopes)
        if meaning is None:
            return
        if not self.is_module(meaning):
            self._add(value, value.id, meaning, None, scopes)
            return
        if not isinstance(node.ctx, ast.Load):
            raise self.refuse("a module's name is set from outside", node, "a function of it")
        self._add(node, value.id, meaning, node.attr, scopes)

    def _add(
        self,
        node: ast.AST,
        name: str,
        meaning: str | Import,
        attribute: str | None,
        scopes: tuple[_Scope, ...],
    ) -> None:
        around = frozenset(n for scope in scopes for n in scope.names)
        self.found.append(Use(node, name, meaning, attribute, around))
