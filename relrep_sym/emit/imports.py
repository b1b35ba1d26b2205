"""Import statements, sorted and broken as ruff has them.

In: names and what they stand for. Out: lines of source.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from relrep_sym.emit.scopes import Import

__all__ = ["import_lines"]

_WIDTH = 100


def import_lines(plain: Mapping[str, Import], types: Mapping[str, Import]) -> list[str]:
    """The statements for ``plain``, and those for ``types`` where only types are checked.

    >>> import_lines({"np": Import("numpy"), "math": Import("math")}, {})
    ['import math', '', 'import numpy as np']
    """
    every = dict(plain)
    if types:
        every["TYPE_CHECKING"] = Import("typing", "TYPE_CHECKING")
    lines = _sections(every, _WIDTH)
    if types:
        inner = _sections(types, _WIDTH - 4)
        lines += ["", "if TYPE_CHECKING:", *(f"    {line}" if line else "" for line in inner)]
    return lines


def _sections(names: Mapping[str, Import], width: int) -> list[str]:
    """Python's own modules, then the others, a blank line between."""
    lines: list[str] = []
    for own in (True, False):
        found = {
            n: i
            for n, i in names.items()
            if (i.module.partition(".")[0] in sys.stdlib_module_names) is own
        }
        if found:
            lines += [""] * bool(lines) + _block(found, width)
    return lines


def _block(names: Mapping[str, Import], width: int) -> list[str]:
    whole = sorted((i.module, n) for n, i in names.items() if i.name is None)
    lines = [f"import {m}" + (f" as {n}" if n != m else "") for m, n in whole]
    for module in sorted({i.module for i in names.values() if i.name is not None}):
        found = sorted(
            (_rank(i.name), i.name, n)
            for n, i in names.items()
            if i.module == module and i.name is not None
        )
        parts = [name + (f" as {n}" if n != name else "") for _, name, n in found]
        line = f"from {module} import {', '.join(parts)}"
        if len(line) > width:
            lines += [f"from {module} import (", *(f"    {p}," for p in parts), ")"]
        else:
            lines.append(line)
    return lines


def _rank(name: str) -> int:
    """Constants, then classes, then the rest."""
    return 0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2
