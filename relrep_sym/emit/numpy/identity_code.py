r"""A function for one side of an identity, appended to a generated module.

In: a resolved expression (:meth:`~relrep_sym.equations.expect.Calculus.resolved`), the module's
source and a docstring. Out: source: one integrand for each mean, what combines them, and the
function that a user calls, over :mod:`relrep_sym.runtime.identity`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import sympy as sp

from relrep_sym.declare.identity import Scope
from relrep_sym.declare.nodes import At, Atom, Expected, Slope
from relrep_sym.emit.files import UNSIGNED, signed
from relrep_sym.emit.lowering import lower
from relrep_sym.emit.numpy.layout import assignments, wrapped
from relrep_sym.emit.numpy.naming import identifiers
from relrep_sym.errors import DerivationError, problem
from relrep_sym.statements.language import Assign, Item, Node, Var

__all__ = ["with_function"]

_TAKEN = ("coords", "truth", "means", "Mean", "expression")


def with_function(
    source: str, scope: Scope, e: sp.Expr, name: str, docstring: Sequence[str], free_x: bool
) -> str:
    """The module's source with the function at its end, signed anew.

    Raises DerivationError for what no kernel can be printed.
    """
    writer = _Writer(scope, name)
    whole = writer.take(e.xreplace(scope.theta))
    lines = [*writer.lines, *writer.function(f"_{name}", whole)]
    keywords = [writer.names[s] for s in writer.symbols]
    arguments = [*(["x: ArrayLike"] if free_x else []), "coords: ArrayLike", "truth: object = None"]
    arguments += ["*", *(f"{k}: float" for k in keywords)] if keywords else []
    means = [f'        Mean("{density}", {function}),' for density, function in writer.means]
    passed = f", symbols=({', '.join(keywords)},)" if keywords else ""
    passed += ", x=x" if free_x else ""
    body = [
        "",
        "",
        f"def {name}({', '.join(arguments)}) -> Array:",
        *wrapped_lines(docstring),
        "    from relrep_sym.runtime.identity import Mean, expression",
        "",
        *(["    means = [", *means, "    ]"] if means else ["    means: list[Mean] = []"]),
        f"    return expression(_solver(), means, _{name}, coords, truth{passed})",
        "",
    ]
    title = "\n\n# ---------------------------------------------------------------- an identity\n"
    appended = source.rstrip("\n") + "\n" + title + "\n".join([*lines, *body])
    fresh = re.sub(r"(Text sha256: )[0-9a-f]{32}", rf"\g<1>{UNSIGNED}", appended, count=1)
    return signed(fresh)


def wrapped_lines(docstring: Sequence[str]) -> list[str]:
    """A docstring within the width, its first line alone."""
    first, *rest = [row for line in docstring for row in (wrapped(line, 90) if line else [""])]
    shown = [f'    r"""{first}', "", *(f"    {row}" if row else "" for row in rest)]
    return [*shown, '    """']


class _Writer:
    """Lowers an expression, its means first."""

    def __init__(self, scope: Scope, name: str) -> None:
        self.scope, self.name = scope, name
        given = scope.truth.symbols if scope.truth is not None else ()
        named = identifiers([s.name for s in given], (*_TAKEN, name))
        self.names = {s: named[s.name] for s in given}
        self.rows = {s: j for j, s in enumerate(scope.coordinates)}
        self.means: list[tuple[str, str]] = []
        self.lines: list[str] = []
        self.symbols: list[sp.Symbol] = []
        self._known: dict[Expected, sp.Symbol] = {}

    def take(self, e: sp.Expr) -> sp.Expr:
        """An expression with a symbol for each mean, whose integrand is written."""
        if e.has(At, Slope):
            right = "derivatives that have a rule, and no values at other points"
            raise DerivationError(problem("no kernel can be printed", str(e), right))
        if not e.has(Expected):
            return e
        if isinstance(e, Expected):
            if e not in self._known:
                inner = self.take(e.args[0])
                index = len(self.means)
                function = f"_{self.name}_mean_{index + 1}"
                self.lines += self.function(function, inner)
                self.means.append((e.args[1].name, function))
                self._known[e] = sp.Symbol(f"~m{index}")
            return self._known[e]
        return e.func(*(self.take(a) for a in e.args))

    def _leaf(self, s: sp.Symbol) -> Node:
        if s.name.startswith("~m"):
            return Item("m", int(s.name[2:]))
        if isinstance(s, Atom):
            return Item("r", int(s.name[2:]) - 1) if s.name[0] == "r" else Var(s.name)
        if s == self.scope.x:
            return Var("x")
        if s in self.rows:
            return Item("c", self.rows[s])
        if s in self.names:
            if s not in self.symbols:
                self.symbols.append(s)
            return Item("s", self.symbols.index(s))
        raise DerivationError(problem("no kernel knows this symbol", s.name, "a coordinate"))

    def function(self, name: str, e: sp.Expr) -> list[str]:
        """A function of (x, r, log_p, log_q, c, m) for an expression."""
        lines = assignments([Assign("result", lower(e, self._leaf))])
        return [
            "",
            "",
            f"def {name}(x, r, log_p, log_q, c, m, s):  # type: ignore[no-untyped-def]",
            *(f"    {line}" for line in lines),
            "    return result",
        ]
