"""Uses of module-level names: held against Python's own symbol tables."""

from __future__ import annotations

import ast
import symtable
from collections import Counter
from pathlib import Path

import pytest

import relrep_sym
from relrep_sym.emit.scopes import Import, uses
from relrep_sym.errors import GenerationError
from tests.emit.modules import source

FOLDER = Path(relrep_sym.__file__).parent
FILES = sorted([FOLDER / "errors.py", *FOLDER.glob("runtime/**/*.py"), *FOLDER.glob("emit/*.py")])


def found(text: str) -> list[str]:
    """The module-level names that a text uses, one for each place."""
    tree = ast.parse(text)
    table = symtable.symtable(text, "text", "exec")
    names = dict.fromkeys(n for n in table.get_identifiers() if table.lookup(n).is_local())
    names |= dict.fromkeys(n for n in _globals(table) if n not in dir(__builtins__))
    out = []
    for node in tree.body:
        if not isinstance(node, ast.Import | ast.ImportFrom | ast.If):
            out += uses(node, names, lambda i: False, lambda m: False, "text")
    return [use.name for use in out]


def _globals(table: symtable.SymbolTable) -> set[str]:
    here = {s.get_name() for s in table.get_symbols() if s.is_declared_global()}
    return here.union(*(_globals(child) for child in table.get_children()))


def tabled(text: str) -> set[tuple[str, str]]:
    """(function or class, name) for each name that Python's compiler looks up in the module."""
    out = set()

    def walk(table: symtable.SymbolTable, inside: tuple[str, ...]) -> None:
        for symbol in table.get_symbols():
            if inside and symbol.is_global() and symbol.is_referenced():
                out.add((inside[0], symbol.get_name()))
        for child in table.get_children():
            walk(child, (*inside, child.get_name()))

    walk(symtable.symtable(text, "text", "exec"), ())
    return out


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_names_in_functions_are_those_that_the_compiler_looks_up_in_the_module(path: Path) -> None:
    agree(path.read_text("utf-8"))


@pytest.mark.parametrize("name", ["curved", "viewed", "poisson relative"])
def test_the_same_in_generated_modules(name: str) -> None:
    agree(source(name))


def agree(text: str) -> None:
    plain = text.replace("from __future__ import annotations", "")  # else annotations are no names
    module = symtable.symtable(plain, "text", "exec")
    own = {s.get_name() for s in module.get_symbols() if s.is_assigned() or s.is_imported()}
    names = dict.fromkeys(own)
    got = set()
    for node in ast.parse(plain).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            for use in uses(node, names, lambda i: False, lambda m: False, "text"):
                got.add((node.name, use.name))
    want = {(inside, name) for inside, name in tabled(plain) if name in own}
    tops = {
        s.name: s for s in ast.parse(plain).body if isinstance(s, ast.FunctionDef | ast.ClassDef)
    }
    want = {(inside, name) for inside, name in want if inside in tops}
    # decorators, defaults, bases, annotations and the name itself stand outside of the inner table
    outer = {
        (top.name, n.id)
        for top in tops.values()
        for n in ast.walk(top)
        if isinstance(n, ast.Name) and n.id in own
    } | {(name, name) for name in tops}
    assert want <= got <= want | outer
    inner = {pair for pair in got - want if pair[0] != pair[1]}
    heads = {
        (top.name, n.id)
        for top in tops.values()
        for part in _head(top)
        for n in ast.walk(part)
        if isinstance(n, ast.Name)
    }
    assert inner <= heads


def _head(top: ast.FunctionDef | ast.ClassDef) -> list[ast.AST]:
    if isinstance(top, ast.ClassDef):
        return [*top.decorator_list, *top.bases, *top.keywords]
    return [*top.decorator_list, top.args, *([top.returns] if top.returns else [])]


CASES = {
    "a local hides the module's": ("a = 1\ndef f():\n    a = 2\n    return a", "a f"),
    "a class does not hide from its methods": (
        "a = 1\nclass C:\n    def a(self):\n        return a",
        "a C a",
    ),
    "an argument hides": ("a = 1\nf = lambda a, b=a: a + b", "a a f"),
    "the first iterable is outside": ("a = 1\nf = [a for a in [a]]", "a a f"),
    "a nested function sees the one around": (
        "a = 1\ndef f(a):\n    def g():\n        return a\n    return g",
        "a f",
    ),
    "global": ("a = 1\ndef f():\n    global a\n    a = 2", "a a a f"),
    "nonlocal": (
        "a = 1\ndef f():\n    a = 0\n    def g():\n        nonlocal a\n        a = 2\n    return g",
        "a f",
    ),
    "walrus leaves its comprehension": (
        "a = 1\ndef f(x):\n    [a := v for v in x]\n    return a",
        "a f",
    ),
    "except and match bind": (
        "a = 1\ndef f(x):\n    match x:\n        case [a, *_]:\n            return a",
        "a f",
    ),
    "keywords and attributes are no names": ("a = 1\ndef f(x):\n    return x.a(a=a)", "a a f"),
    "an f-string": ("a = 1\ndef f(x):\n    return f'{x} {a:>{a}}'", "a a a f"),
}


@pytest.mark.parametrize("name", CASES)
def test_python_s_rules(name: str) -> None:
    text, want = CASES[name]
    assert Counter(found(text)) == Counter(want.split())


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("def f(x: 'a'): ...", "an annotation in quotes"),
        ("def f():\n    return b", "b is not bound"),
        ("def f():\n    return __file__", "__file__ is not bound"),
        ("def f(x):\n    return eval(x)", "eval reaches names by their text"),
        (
            "a = 1\nclass C:\n    a = 2\n    b = a",
            "a is bound both in this class and in the module",
        ),
        ("def f():\n    from ours import a\n    a = 2", "both imported and set"),
        ("def f():\n    return m", "the module m used as a value"),
        ("def f():\n    m.a = 1", "set from outside"),
    ],
)
def test_what_the_text_does_not_tell_is_refused(text: str, wrong: str) -> None:
    names = dict.fromkeys(["a", "m", "f", "C"])
    last = ast.parse(text).body[-1]
    with pytest.raises(GenerationError, match=wrong):
        uses(last, names, lambda i: i == Import("ours", "a"), lambda m: m == "m", "text")
