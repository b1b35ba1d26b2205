"""One file that needs NumPy alone: a generated module with the runtime that it imports.

In: the text of a generated module. Out: one text with what that module reaches in the runtime in
front of it, each definition as it stands there. Definitions that nothing reaches are left out, and
of two different ones with one name the runtime's is renamed, by the rules of Python's scopes
(:mod:`relrep_sym.emit.scopes`). Where the text alone does not tell that the meaning is kept,
GenerationError names the construct: nothing is guessed.

1. read:     every module that is reached       -> its imports, and its definitions with their uses
2. reach:    the generated part's uses          -> the definitions that are needed
3. name:     those                              -> one name for each thing
4. assemble: the texts with names changed       -> header, imports, runtime, generated part

Each definition that was changed is parsed again and held against the tree that it should have.
"""

from __future__ import annotations

import ast
import builtins
import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path

import jinja2

from relrep_sym.emit.edits import edited, rebuilt, touched
from relrep_sym.emit.files import UNSIGNED, signed
from relrep_sym.emit.imports import import_lines
from relrep_sym.emit.pieces import MINE, Module, Piece, is_ours, read_generated, read_runtime
from relrep_sym.emit.scopes import Import, Use, imported
from relrep_sym.errors import GenerationError, problem

__all__ = ["standalone"]

_TEMPLATES = Path(__file__).parent / "numpy" / "templates"
_WIDTH = 100
_IDENTIFIER = re.compile(r"[^\W\d]\w*")
_RULE = "-" * 64


@lru_cache(maxsize=8)  # what is written is compared, and often compiled too
def standalone(text: str) -> str:
    """The text of a generated module with the runtime in it: NumPy is all it needs.

    The same text gives the same bytes. Raises GenerationError where the runtime holds a construct
    that cannot be moved.

    >>> import relrep_sym as rs
    >>> text = standalone(rs.derive(rs.mixture("poisson", components=2)).source())
    >>> "from relrep_sym." in text
    False
    """
    mine = read_generated(text)
    bundle = _Bundle(mine)
    names = bundle.names()
    head, body = _split(mine)
    pieces = [p for m in bundle.modules for p in bundle.kept(m)]
    outside = bundle.outside()
    plain = {names[i]: i for i, types_only in outside.items() if not types_only}
    types = {names[i]: i for i, types_only in outside.items() if types_only}
    rendered = _template().render(
        head=_headed(head, any(map(_uses_scipy, pieces))),
        imports=import_lines(plain, types),
        runtime=[
            {
                "title": m.name,
                "says": _comment(m),
                "text": "\n".join(bundle.rewritten(bundle.kept(m), names)),
            }
            for m in bundle.modules
            if bundle.kept(m)
        ],
        body="\n".join(bundle.rewritten(mine.pieces, names, first=body)).strip("\n"),
        rule=_RULE,
    )
    compile(rendered, "<standalone>", "exec", dont_inherit=True)
    return signed(rendered)


@cache
def _template() -> jinja2.Template:
    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    return env.get_template("standalone.py.j2")


# ----------------------------------------------------------------------------- what is needed


@dataclass(frozen=True)
class _Wanted:
    """The generated module's own names; what else is named, as it was and whether it may keep that
    where no other has it; and every identifier of the texts.
    """

    mine: dict[Import, str]
    others: dict[Import, tuple[str, bool]]
    every: set[str]


@dataclass
class _Bundle:
    """The generated module and the definitions that it reaches."""

    mine: Module
    needed: set[int] = field(default_factory=set)  # of pieces, by identity
    modules: list[Module] = field(default_factory=list)
    same: dict[Import, Import] = field(default_factory=dict)  # equal aliases of several modules
    meant: dict[int, list[tuple[Use, Import]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        found: dict[str, Module] = {}
        todo = list(self.mine.pieces)
        while todo:
            piece = todo.pop()
            for _, thing in self.things(piece):
                if is_ours(thing):
                    module = found.setdefault(thing.module, read_runtime(thing.module))
                    other = module.defined[thing.name or ""]
                    if id(other) not in self.needed:
                        self.needed.add(id(other))
                        todo.append(other)
        done: list[str] = []
        for name in sorted(found):
            self._order(name, done, ())
        self.modules = [found[name] for name in done if name in found]
        self._merge()

    def _order(self, name: str, done: list[str], above: tuple[str, ...]) -> None:
        """Modules after those that they import when they are loaded."""
        if name in above:
            ring = " -> ".join((*above[above.index(name) :], name))
            right = "one of the imports inside a function"
            raise GenerationError(problem("modules of the runtime import each other", ring, right))
        if name not in done:
            for other in read_runtime(name).loads():
                self._order(other, done, (*above, name))
            done.append(name)

    def _merge(self) -> None:
        """One of several equal aliases, such as ``Array = NDArray[np.float64]``."""
        first: dict[str, Import] = {}
        for module in self.modules:
            for piece in self.kept(module):
                if (key := self._alias(piece)) is not None:
                    thing = Import(module.name, piece.defines[0])
                    kept = first.setdefault(key, thing)
                    if kept != thing:
                        self.same[thing] = kept
                        self.needed.discard(id(piece))

    def _alias(self, piece: Piece) -> str | None:
        """A text that two pieces share if they name the same thing, and can never do otherwise."""
        node = piece.nodes[0]
        if not isinstance(node, ast.Assign) or len(piece.defines) != 1:
            return None
        things = {id(u.node): f"{t.module}:{t.name}" for u, t in self.things(piece)}
        own = {Import("typing", "TypeVar")}
        makes_variable = (
            isinstance(node.value, ast.Call)
            and {t for u, t in self.things(piece) if u.node is node.value.func} == own
        )
        allowed = (ast.Name, ast.Attribute, ast.Subscript, ast.Tuple, ast.BinOp, ast.Constant)
        shape = (ast.expr_context, ast.operator, ast.Call) if makes_variable else (
            ast.expr_context,
            ast.operator,
        )  # fmt: skip
        inside = list(ast.walk(node.value))
        if not any(isinstance(n, ast.Name) for n in inside):
            return None  # a number: two of them may mean two things
        if not all(isinstance(n, (*allowed, *shape)) for n in inside):
            return None
        for other in piece.module.pieces:
            for n in ast.walk(other.nodes[0]):
                if isinstance(n, ast.Global) and piece.defines[0] in n.names:
                    return None
        return piece.defines[0] + ast.dump(rebuilt(node.value, things, ()))

    def kept(self, module: Module) -> list[Piece]:
        """The pieces of a module that are needed."""
        return [p for p in module.pieces if id(p) in self.needed]

    def all(self) -> Iterator[Piece]:
        """Every piece of the file."""
        yield from self.mine.pieces
        for module in self.modules:
            yield from self.kept(module)

    # ------------------------------------------------------------------ what names mean

    def things(self, piece: Piece) -> list[tuple[Use, Import]]:
        """Each use with what it means: a definition in a module, or an import from outside."""
        if id(piece) not in self.meant:
            self.meant[id(piece)] = [(use, self._thing(piece.module, use)) for use in piece.uses]
        return [(use, self.same.get(thing, thing)) for use, thing in self.meant[id(piece)]]

    def _thing(self, module: Module, use: Use) -> Import:
        meaning = use.meaning
        if isinstance(meaning, str):
            meaning = module.imports.get(meaning, Import(module.name, meaning))
        if use.attribute is not None:
            meaning = Import(meaning.module, use.attribute)
        while is_ours(meaning):  # through the modules that pass it on
            there = read_runtime(meaning.module)
            if meaning.name in there.defined:
                break
            if meaning.name not in there.imports:
                what = f"{meaning.module} has no {meaning.name}"
                raise module.refuse(what, use.node, "a name of it")
            meaning = there.imports[meaning.name]
        return meaning

    def outside(self) -> dict[Import, bool]:
        """The imports that remain; true for those that only annotations need."""
        out: dict[Import, bool] = {}
        for piece in self.all():
            for use, thing in self.things(piece):
                if not is_ours(thing) and thing.module != MINE:
                    out[thing] = out.get(thing, True) and use.meaning in piece.module.for_types
        return out

    # ------------------------------------------------------------------ one name for each

    def names(self) -> dict[Import, str]:
        """What each thing is called in the file: as it was, where no other has the name."""
        choice: dict[Import, int] = {}
        wanted = self._wanted()
        while True:
            names = self._names(wanted, choice)
            long = self._too_long(names)
            if not long:
                return names
            thing = max(long, key=lambda t: (len(names[t]), t.module, str(t.name)))
            choice[thing] = choice.get(thing, 0) + 1

    def _wanted(self) -> _Wanted:
        """What the naming starts from."""
        spelled: dict[Import, str] = {}
        captured: dict[Import, set[str]] = {}
        by_module: set[Import] = set()
        for piece in self.all():
            for use, thing in self.things(piece):
                spelled.setdefault(thing, use.attribute or use.name)
                captured.setdefault(thing, set()).update(use.around)
                if use.attribute is not None:
                    by_module.add(thing)
        every = set(dir(builtins))
        for module in (self.mine, *self.modules):
            every |= set(_IDENTIFIER.findall(module.text))
        mine = {Import(MINE, n): n for n in self.mine.defined}
        for name in mine.values():
            if name in dir(builtins):
                right = "a module that binds no name of Python's own"
                raise GenerationError(problem("the generated module hides a builtin", name, right))
        order = [t for t in spelled if not is_ours(t) and t not in mine]
        for module in self.modules:
            order += [Import(module.name, n) for p in self.kept(module) for n in p.defines]
        free = {}
        for thing in order:
            plain = thing.name if is_ours(thing) else spelled.get(thing)
            assert plain is not None
            hidden = plain in dir(builtins) or thing in by_module
            free[thing] = plain, not hidden and plain not in captured.get(thing, ())
        return _Wanted(mine, free, every)

    def _names(self, wanted: _Wanted, choice: dict[Import, int]) -> dict[Import, str]:
        names = dict(wanted.mine)
        taken = set(names.values())
        for thing, (plain, free) in wanted.others.items():
            name = plain
            if not free or plain in taken:
                others = [
                    n
                    for n in _other_names(thing, plain)
                    if n not in taken and n not in wanted.every
                ]
                name = others[min(choice.get(thing, 0), len(others) - 1)]
            names[thing] = name
            taken.add(name)
        return names

    def _too_long(self, names: dict[Import, str]) -> set[Import]:
        """The renamed things in lines that renaming made too long, where a shorter name is left."""
        out: set[Import] = set()
        for piece in self.all():
            things = {id(u.node): t for u, t in self.things(piece)}
            for line in touched(piece, self._changes(piece, names)):
                if len(line.text.decode()) > _WIDTH:
                    renamed = (things[id(n)] for n in line.nodes)
                    out |= {t for t in renamed if len(names[t]) > len(t.name or "") + 1}
        return out

    def _changes(self, piece: Piece, names: dict[Import, str]) -> dict[int, str]:
        """The new name at each node that is spelled otherwise."""
        return {
            id(use.node): names[thing]
            for use, thing in self.things(piece)
            if use.attribute is not None or names[thing] != use.name
        }

    # ------------------------------------------------------------------ the text

    def rewritten(
        self, pieces: Iterable[Piece], names: dict[Import, str], first: int | None = None
    ) -> list[str]:
        """The lines of some pieces; of everything from line ``first`` on, where it is given."""
        called = {(t.module, t.name): n for t, n in names.items()}
        lines: list[str] = []
        before: Piece | None = None
        for piece in pieces:
            if first is not None:
                between = piece.module.lines[first - 1 : piece.first - 1]
                lines += [line.decode() for line in between]
                first = piece.last + 1
            elif before is not None:
                lines += [""] * _apart(before, piece)
            changes = self._changes(piece, names)
            lines += edited(piece, changes, called, keep_examples=first is not None)
            before = piece
        return lines


def _other_names(thing: Import, name: str) -> list[str]:
    """Names for what cannot keep its own, the clearest first, the shortest last."""
    stem = thing.module.rpartition(".")[2]
    bare = name.lstrip("_")
    under = name[: len(name) - len(bare)]
    if bare.isupper():
        clear = f"{under}{stem.upper()}_{bare}"
    elif bare[0].isupper():
        clear = f"{under}{stem.title().replace('_', '')}{bare}"
    else:
        clear = f"{under}{stem}_{bare}"
    return [clear, f"{name}_", *(f"{name}{n}" for n in range(2, 100))]


def _apart(before: Piece, piece: Piece) -> int:
    """Blank lines between two pieces of a module, as ruff has them."""
    if before.is_block or piece.is_block:
        return 2
    gap = piece.module.lines[before.last : piece.first - 1]
    return min(len(gap), 1) if all(not line.strip() for line in gap) else 1


def _split(mine: Module) -> tuple[str, int]:
    """The docstring of the generated module, and the line where its definitions begin."""
    doc = mine.tree.body[0]
    above = [n for n in mine.tree.body if (n.end_lineno or 0) < mine.pieces[0].first]
    last = max(n.end_lineno or 0 for n in above)
    late = [n for n in mine.tree.body if isinstance(n, ast.Import | ast.ImportFrom | ast.If)]
    if any((n.end_lineno or 0) > last for n in late):
        raise mine.refuse("an import below a definition", late[-1], "imports above everything")
    head = "\n".join(mine.text.split("\n")[: doc.end_lineno])
    return head, last + 1


def _headed(head: str, uses_scipy: bool) -> str:
    """The module's docstring, which says that this file stands alone."""
    head = re.sub(r"(?<=^Text sha256: )[0-9a-f]{32}$", UNSIGNED, head, count=1, flags=re.MULTILINE)
    head = re.sub(r"\bthose of relrep_sym\.[\w.]+\w", "classes of this file", head)
    head = re.sub(r"\bof relrep_sym\.[\w.]+\w", "of this file", head)
    needs = "NumPy, and SciPy for stiff flows alone" if uses_scipy else "NumPy alone"
    if UNSIGNED not in head or not head.endswith('\n"""'):
        right = "the docstring of the template module.py.j2"
        raise GenerationError(problem("the header is not as expected", head[:80], right))
    said = (
        f"Standalone: this file needs {needs}. It begins with a copy of what it uses of "
        "relrep_sym's runtime, under the licence that follows; what was derived comes after."
    )
    return head[:-3] + "\n" + textwrap.fill(said, 96) + '\n"""'


def _uses_scipy(piece: Piece) -> bool:
    """Whether a function imports SciPy."""
    found = (n for n in ast.walk(piece.nodes[0]) if isinstance(n, ast.Import | ast.ImportFrom))
    return any(i.module.partition(".")[0] == "scipy" for n in found for _, i in imported(n))


def _comment(module: Module) -> list[str]:
    """A runtime module's docstring as comment lines."""
    said = ast.get_docstring(module.tree) or ""
    said = re.sub(r":\w+:`~?[\w.]*?(\w+)`", r"`\1`", said)
    lines: list[str] = []
    for line in said.split("\n"):
        lines += textwrap.wrap(line, _WIDTH - 2, subsequent_indent="") or [""]
    return [f"# {line}".rstrip() for line in lines]
