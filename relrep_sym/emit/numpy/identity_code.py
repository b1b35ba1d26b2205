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
from relrep_sym.emit.numpy.layout import assignments, bracketed, wrapped
from relrep_sym.emit.numpy.naming import identifiers
from relrep_sym.errors import DerivationError, problem
from relrep_sym.statements.language import Assign, Item, Node, Var

__all__ = ["TAKEN", "with_function"]

TAKEN = ("coords", "truth", "means", "Mean", "expression")
"""Names that the function itself uses."""


def with_function(
    source: str, scope: Scope, e: sp.Expr, name: str, docstring: Sequence[str], free_x: bool
) -> str:
    """The module's source with the function at its end, signed anew.

    Raises DerivationError for what no kernel can be printed.
    """
    writer = _Writer(scope, name)
    plain = e.xreplace(scope.theta)
    writer.symbols = [s for s in writer.names if plain.has(s)]
    whole = writer.take(plain)
    lines = [*writer.lines, *writer.function(f"_{name}", whole)]
    keywords = [writer.names[s] for s in writer.symbols]
    arguments = [*(["x: ArrayLike"] if free_x else []), "coords: Entries", "truth: object = None"]
    arguments += ["*", *(f"{k}: float" for k in keywords)] if keywords else []
    means = [
        f'        Mean("{density}", {function}{", both=True" if both else ""}),'
        for density, function, both in writer.means
    ]
    inner = ", ".join(keywords) + "," * (len(keywords) == 1)
    passed = [f"symbols=({inner})"] if keywords else []
    passed += ["x=x"] if free_x else []
    call = ["_solver()", "means", f"_{name}", "coords", "truth", *passed]
    body = [
        "",
        "",
        *bracketed(f"def {name}(", arguments, ") -> Array:", 0),
        *wrapped_lines(docstring),
        "    from relrep_sym.runtime.identity import Mean, expression",
        "",
        *(["    means = [", *means, "    ]"] if means else ["    means: list[Mean] = []"]),
        *(f"    {row}" for row in bracketed("return expression(", call, ")")),
        "",
    ]
    title = "\n\n# ---------------------------------------------------------------- an identity\n"
    source = source.replace("__all__ = (\n", f'__all__ = (\n    "{name}",\n', 1)
    appended = source.rstrip("\n") + "\n" + title + "\n".join([*lines, *body])
    fresh = re.sub(r"(Text sha256: )[0-9a-f]{32}", rf"\g<1>{UNSIGNED}", appended, count=1)
    return signed(fresh)


def wrapped_lines(docstring: Sequence[str]) -> list[str]:
    """A docstring within the width, its first line alone."""
    rows = [row.rstrip() for line in docstring for row in (wrapped(line, 90) if line else [""])]
    shown = [f'    r"""{rows[0]}', *(f"    {row}" if row else "" for row in rows[1:])]
    return [*shown, '    """']


class _Writer:
    """Lowers an expression, its means first."""

    def __init__(self, scope: Scope, name: str) -> None:
        self.scope, self.name = scope, name
        given = scope.truth.symbols if scope.truth is not None else ()
        named = identifiers([s.name for s in given], TAKEN)
        self.names = {s: named[s.name] for s in given}
        self.rows = {s: j for j, s in enumerate(scope.coordinates)}
        self.means: list[tuple[str, str, bool]] = []
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
                self.means.append((e.args[1].name, function, inner.has(Atom.of("log_q"))))
                self._known[e] = sp.Symbol(f"~m{index}")
            return self._known[e]
        return e.func(*(self.take(a) for a in e.args))

    def _leaf(self, s: sp.Symbol) -> Node:
        if s.name.startswith("~m"):
            return Item("m", int(s.name[2:]))
        if isinstance(s, Atom) and s.name[0] == "r":
            return Item("r", int(s.name[2:]) - 1)
        if isinstance(s, Atom) and s.name.startswith("log_"):
            return Var(s.name)
        if s == self.scope.x:
            return Var("x")
        if s in self.rows:
            return Item("c", self.rows[s])
        if s in self.symbols:
            return Item("s", self.symbols.index(s))
        raise DerivationError(problem("no kernel knows this symbol", s.name, "a coordinate"))

    def function(self, name: str, e: sp.Expr) -> list[str]:
        """A function of (x, r, log_p, log_q, c, m) for an expression."""
        lines = assignments([Assign("result", lower(e, self._leaf))])
        return [
            "",
            "",
            f"def {name}(x, r, log_p, log_q, c, m, s):  # type: ignore[no-untyped-def]",
            *(f"    {line}" for line in lines[:-1]),
            f"    return {lines[-1].removeprefix('result = ')}",
        ]
