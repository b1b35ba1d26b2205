"""Derivation scripts: where they are, and what each returns.

In: a folder of scripts, each ``NAME.py`` with a function ``derivation()`` that returns a
:class:`~relrep_sym.api.Derivation` called NAME and writes nothing. Out: that derivation, or an
error that names the script. Scripts are the project's own code and are run, each afresh.
"""

from __future__ import annotations

import ast
import keyword
import re
import sys
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relrep_sym.errors import GenerationError, problem

if TYPE_CHECKING:
    from relrep_sym.api import Derivation

__all__ = [
    "Folders",
    "find_folders",
    "find_script",
    "load",
    "natural",
    "run_file",
    "scripts",
    "summary",
]

_SHAPE = "def derivation(): return rs.derive(…)"


@dataclass(frozen=True)
class Folders:
    """Where the scripts are, and where the modules go."""

    derivations: Path
    generated: Path


def find_folders(start: Path | None = None) -> Folders:
    """The nearest folder from ``start`` (the working directory) upward that has both folders.

    Failing that, the checkout that this package is installed from; else GenerationError.
    """
    begin = Path.cwd() if start is None else start.resolve()
    checkout = Path(__file__).resolve().parents[1]
    for root in (begin, *begin.parents, checkout):
        found = Folders(root / "derivations", root / "generated")
        if found.derivations.is_dir() and found.generated.is_dir():
            return found
    right = "a folder with both, or --derivations and --generated"
    wrong = "no folders derivations/ and generated/ from here upward"
    raise GenerationError(problem(wrong, str(begin), right))


def scripts(folder: Path) -> dict[str, Path]:
    """The derivation scripts of a folder by name, sorted; names with a leading ``_`` are helpers.

    Raises GenerationError where the folder is missing or a file's name cannot be a module's.
    """
    if not folder.is_dir():
        raise GenerationError(problem("no such folder", str(folder), "a folder of derivations"))
    found = {p.stem: p for p in folder.glob("*.py") if not p.name.startswith((".", "_"))}
    for name, path in found.items():
        if not (name.isascii() and name.isidentifier()) or keyword.iskeyword(name):
            right = "an ASCII identifier, as it names a module"
            raise GenerationError(problem(f"{_shown(path)} cannot name a module", name, right))
    return {name: found[name] for name in sorted(found, key=natural)}


def natural(name: str) -> list[str | int]:
    """A key for sorting: numbers by value, as ruff sorts ``__all__``.

    >>> sorted(["normal10", "normal2_unit", "normal2"], key=natural)
    ['normal2', 'normal2_unit', 'normal10']
    """
    return [int(p) if p.isdigit() else p for p in re.split(r"(\d+)", name)]


def find_script(name: str, known: dict[str, Path]) -> Path:
    """The script of that name among ``known``; GenerationError, with a close name, otherwise."""
    if name in known:
        return known[name]
    close = get_close_matches(name, known, n=1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    right = f"one of {', '.join(known)}{hint}" if known else "a script; the folder has none"
    raise GenerationError(problem("no derivation script has this name", name, right))


def load(name: str, folder: Path) -> Derivation:
    """Run the script ``folder/name.py`` and return its derivation.

    Raises GenerationError, naming the script, where there is none of that name, where it raises,
    where it does not return a derivation, and where the derivation is not called ``name``.
    """
    from relrep_sym.api import Derivation

    path = find_script(name, scripts(folder))
    try:
        make = getattr(run_file(path, f"_relrep_derivation_{name}"), "derivation", None)
        made = make() if callable(make) else None
    except (Exception, SystemExit) as why:
        line = _line(why, path)
        given = f"{type(why).__name__}: {why}" + (f" (line {line})" if line else "")
        right = "a script whose derivation() returns rs.derive(…)"
        raise GenerationError(problem(f"{_shown(path)} failed", given, right)) from why
    if not callable(make):
        wrong = f"{_shown(path)} does not say what to derive"
        raise GenerationError(problem(wrong, "no function derivation()", _SHAPE))
    if not isinstance(made, Derivation):
        wrong = f"derivation() of {_shown(path)} returns no derivation"
        raise GenerationError(problem(wrong, f"a value of type {type(made).__name__}", _SHAPE))
    if made.name != name:
        wrong = f"{_shown(path)} returns a derivation of another name"
        raise GenerationError(problem(wrong, made.name, f"rs.derive(…, name={name!r})"))
    return made


def summary(path: Path) -> str:
    """The first line of a script's docstring, without running it; empty where there is none."""
    try:
        text = ast.get_docstring(ast.parse(path.read_bytes(), path.name))
    except (OSError, SyntaxError, ValueError) as why:
        given = f"{type(why).__name__}: {why}"
        raise GenerationError(problem(f"{_shown(path)} failed", given, "Python")) from why
    return text.strip().partition("\n")[0] if text else ""


class _Loader(SourceFileLoader):
    """Reads the source each time: no bytecode is read, and none is left behind."""

    def get_code(self, fullname: str) -> Any:
        return self.source_to_code(self.get_data(self.path), self.path)


def run_file(path: Path, name: str) -> Any:
    """A Python file run as a module of that name; it is in ``sys.modules`` only while it runs."""
    loader = _Loader(name, str(path))
    spec = spec_from_loader(name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up there
    try:
        loader.exec_module(module)
    finally:
        sys.modules.pop(name, None)
    return module


def _shown(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def _line(why: BaseException, path: Path) -> int | None:
    """The line of the script at which it went wrong."""
    if isinstance(why, SyntaxError) and why.filename == str(path):
        return why.lineno
    line, trace = None, why.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
