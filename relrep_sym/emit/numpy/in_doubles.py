"""An expression as the emitted NumPy code computes it, at many points at once.

In: an expression in SymPy and its variables. Out: a function of their values in doubles, made of
the text that the printer writes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from relrep_sym.emit.lowering import lower
from relrep_sym.emit.numpy.printer import infix
from relrep_sym.equations.kernels import with_kernels
from relrep_sym.errors import DeclarationError, DerivationError
from relrep_sym.runtime import error_function, special
from relrep_sym.statements.language import SPECIAL, Var

__all__ = ["in_doubles"]

Array = NDArray[np.float64]

_NAMES: dict[str, Any] = {
    "np": np,
    **{n: getattr({"special": special, "error_function": error_function}[h], n)
       for n, h in SPECIAL.items()},
}  # fmt: skip


@functools.lru_cache(maxsize=8192)
def in_doubles(e: sp.Expr, marks: tuple[sp.Symbol, ...]) -> Callable[[Array], Array] | None:
    """The expression as the emitted code computes it, of points (variables, N); None where not."""
    names = {s: f"v{i}" for i, s in enumerate(marks)}
    try:
        text = infix(lower(with_kernels(e), lambda s: Var(names[s])))
    except (DerivationError, DeclarationError, TypeError, ValueError, OverflowError):
        return None
    try:
        code = compile(text, "<expression>", "eval")
    except (SyntaxError, RecursionError, MemoryError):
        return None

    def value(there: Array) -> Array:
        rows = {f"v{i}": row for i, row in enumerate(there)}
        with np.errstate(all="ignore"):
            found = eval(code, _NAMES, rows)  # noqa: S307 - only text that our printer wrote
        return np.broadcast_to(np.asarray(found, dtype=float), there.shape[1:])

    return value
