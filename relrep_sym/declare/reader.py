"""Reads the two sides of an identity: the plain language, and operators with square brackets.

In: a text or a SymPy expression, and what its names mean. Out: a SymPy tree with the nodes of
:mod:`relrep_sym.declare.nodes`. An operator such as ``E[...]`` is read first and gets a name, which
takes its place in the text; what is left is a text of the plain language
(:mod:`relrep_sym.declare.parser`), and every limit and every error of that holds.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import sympy as sp

from relrep_sym.declare.bounded import Partial
from relrep_sym.declare.grammar import MAX_LENGTH, Text
from relrep_sym.declare.model import Mixture
from relrep_sym.declare.nodes import At, Expected, Node, Slope
from relrep_sym.declare.parser import expression, read
from relrep_sym.declare.symbols import Parameter
from relrep_sym.declare.truth import Truth
from relrep_sym.errors import DeclarationError, ParseError, problem

__all__ = ["Condition", "read_identity"]

MAX_OPERATORS = 100
"""Operators with square brackets in one text."""
MAX_NESTING = 12
_HEAD = re.compile(r"(?<![A-Za-z0-9_.])([A-Za-z][A-Za-z0-9_]*)\[")
_MEAN = re.compile(r"E(?:_(?:p|q(?:_[1-9][0-9]*)?|[1-9][0-9]*))?")
_OPERATORS = "E[…], E_p[…], E_q[…], E_k[…], D[…, name], D_theta[…, name], At[…, y]"


class Where(Protocol):
    """What a reader asks of the scope."""

    @property
    def model(self) -> Mixture:
        """The model."""

    @property
    def truth(self) -> Truth | None:
        """The truth."""

    def variable(self, name: str, head: str) -> sp.Symbol | None:
        """What a derivative is taken in."""

    def in_theta(self, e: sp.Expr) -> sp.Expr | None:
        """An expression in θ."""


class Condition(NamedTuple):
    """What a side asks of ``inner`` to be real; ``averaged`` where x is averaged over."""

    partial: Partial
    inner: sp.Expr
    averaged: bool


def read_identity(
    value: object,
    scope: Where,
    meanings: dict[str, sp.Expr],
    where: str,
    met: list[Condition] | None = None,
) -> sp.Expr:
    """One side of an identity; ``meanings`` says what each name stands for.

    Its partial operations join ``met``. Raises DeclarationError, in a text with the column.
    """
    reader = _Reader(scope, where, meanings)
    found = reader.text(value) if isinstance(value, str) else reader.formula(value)
    if met is not None:
        met += reader.met
    return found


class _Piece(Text):
    """A part of a text, blanks before it, whose errors show the whole."""

    def __init__(self, where: str, whole: str, text: str, names: Mapping[str, sp.Symbol]) -> None:
        super().__init__(where, text, names)
        self.whole = whole

    def error(self, wrong: str, right: str, node: ast.expr | int | None = None) -> ParseError:
        at = self._first(node).at if isinstance(node, ast.expr) else node
        return Text(self.where, self.whole, {}).error(wrong, right, at)


class _Reader:
    """Reads one text or expression: nodes become names, and names become nodes again."""

    def __init__(self, scope: Where, where: str, meanings: dict[str, sp.Expr]) -> None:
        self.scope, self.where, self.meanings = scope, where, meanings
        self.whole = ""
        self.made = self.depth = self.averaged = 0
        self.met: list[Condition] = []

    # ---- texts

    def text(self, text: str) -> sp.Expr:
        self.whole = text
        if len(text) > MAX_LENGTH or not text.isascii():
            Text(self.where, text, {}).shape()  # raises, and says why
        return self._part(0, len(text))

    def _error(self, wrong: str, right: str, at: int) -> ParseError:
        return Text(self.where, self.whole, {}).error(wrong, right, at)

    def _part(self, start: int, end: int) -> sp.Expr:
        """The expression between two positions, its operators read first."""
        text = self.whole
        self.depth += 1
        if self.depth > MAX_NESTING:
            raise self._error(
                "nested too deeply", f"{MAX_NESTING} brackets within one another", start
            )
        piece = " " * start
        at = start
        while match := _HEAD.search(text, at, end):
            close, commas = self._closing(match.end(), end)
            name = self._node(match[1], match.start(1), match.end(), commas, close)
            piece += text[at : match.start(1)] + name.ljust(close + 1 - match.start(1))
            at = close + 1
        piece += text[at:end]
        names = {n: sp.Dummy(n, real=True) for n in self.meanings}
        source = _Piece(self.where, text, piece, names)
        source.met = []
        found = read(source)
        self.depth -= 1
        return self._meant(found, {d: self.meanings[n] for n, d in names.items()}, source.met)

    def _meant(self, e: sp.Expr, meant: dict[sp.Expr, sp.Expr], met: list[Partial]) -> sp.Expr:
        """An expression with what its names stand for; so are its conditions kept."""
        for partial in met:
            inner = partial.inner.xreplace(meant)
            self.met.append(Condition(partial, inner, self.averaged > 0))
        return e.xreplace(meant)

    def _closing(self, start: int, end: int) -> tuple[int, list[int]]:
        """Where the bracket that opened before ``start`` closes, and the commas between."""
        depth = 0
        commas: list[int] = []
        for at in range(start, end):
            sign = self.whole[at]
            if sign == "[":
                depth += 1
            elif sign == "]" and depth == 0:
                return at, commas
            elif sign == "]":
                depth -= 1
            elif sign == "," and depth == 0:
                commas.append(at)
        raise self._error("'[' is never closed", "matching brackets", start - 1)

    def _node(self, head: str, at: int, start: int, commas: list[int], close: int) -> str:
        """Reads an operator, and gives it a name."""
        cuts = [start - 1, *commas, close]
        parts = [(a + 1, b) for a, b in itertools.pairwise(cuts)]
        if _MEAN.fullmatch(head):
            if len(parts) != 1:
                raise self._error(f"{head}[…] takes one expression", f"{head}[g]", commas[0])
            density = self._density(head, at)
            self.averaged += 1
            inner = self._part(*parts[0])
            self.averaged -= 1
            return self._named(Expected(inner, density))
        if head == "At":
            if len(parts) != 2:
                raise self._error("At[…] takes an expression and a point", "At[g, x + 1]", at)
            first = len(self.met)
            inner = self._part(*parts[0])
            last = len(self.met)
            point = self._part(*parts[1])
            self._at_another(first, last, point)
            return self._named(At(inner, point))
        if head not in ("D", "D_theta"):
            raise self._error(f"there is no operator {head!r}", _OPERATORS, at)
        if len(parts) < 2:
            raise self._error(f"{head}[…] lacks its variable", f"{head}[log_p, mu_1]", at)
        out = self._part(*parts[0])
        for a, b in parts[1:]:
            out = self._slope(out, self.whole[a:b].strip(), head, a)
        return self._named(out)

    def _at_another(self, first: int, last: int, point: sp.Expr) -> None:
        """What was met is asked at another point."""
        for n in range(first, last):
            self.met[n] = self.met[n]._replace(inner=At(self.met[n].inner, point))

    def _slope(self, inner: sp.Expr, name: str, head: str, at: int) -> sp.Expr:
        variable = self.scope.variable(name, head)
        if variable is None:
            known = (
                [p.name for p in self.scope.model.parameters]
                if head == "D_theta"
                else [n for n in self.meanings if self.scope.variable(n, head) is not None]
            )
            right = "one of " + ", ".join(known[:40])
            raise self._error(f"{name!r} is nothing to differentiate in", right, at)
        if head == "D_theta":
            held = self.scope.in_theta(inner)
            if held is None:
                right = "an expression in θ's entries and in what is given at x"
                raise self._error("D_theta of a coordinate that is no entry of θ", right, at)
            inner = held
        return Slope(inner, variable)

    def _density(self, head: str, at: int) -> sp.Symbol:
        key = head[2:] or "q"
        if key[0] == "q" and self.scope.truth is None:
            raise self._error(f"{head}[…] without a truth", "truth=rs.truth(…)", at)
        number = key.rpartition("_")[2]
        if not number.isdigit():
            return sp.Symbol(key)
        truth = self.scope.truth
        own = key[0] != "q" or truth is None
        count = self.scope.model.components if own else len(truth.weights)  # type: ignore[union-attr]
        if int(number) > count:
            right = f"one of its {count} components"
            raise self._error(f"there is no component {number}", right, at)
        return sp.Symbol(key if key[0] == "q" else f"p_{number}")

    def _named(self, node: sp.Expr) -> str:
        """A name for a node, which nobody has used; at most three letters long."""
        if self.made == MAX_OPERATORS:
            raise self._error("too many operators", f"at most {MAX_OPERATORS} with brackets", 0)
        names = (f"{letter}{self.made}" for letter in "EFGHJKLMN")
        free = (n for n in names if n not in self.whole and n not in self.meanings)
        name = next(free, None)
        if name is None:
            raise self._error("no name is left for an operator", "fewer names such as E0", 0)
        self.made += 1
        self.meanings[name] = node
        return name

    # ---- SymPy

    def formula(self, value: object) -> sp.Expr:
        """A SymPy expression: its symbols by name, its nodes as in a text."""
        if not isinstance(value, sp.Expr):
            return expression(value, {}, where=self.where)
        nodes = {n: sp.Symbol(f"node{i}") for i, n in enumerate(_outermost(value))}
        back = {n: self._again(node) for node, n in nodes.items()}
        names = {n: sp.Dummy(n, real=True) for n in self.meanings}
        held = {s.name: sp.Dummy(s.name, real=True) for s in back}
        if set(held) & set(names):
            right = "names other than node0, node1, …"
            raise DeclarationError(problem("names that are needed here", ", ".join(held), right))
        met: list[Partial] = []
        found = expression(value.xreplace(nodes), names | held, where=self.where, met=met)
        meant = {d: self.meanings[n] for n, d in names.items()}
        return self._meant(found, meant | {held[s.name]: e for s, e in back.items()}, met)

    def _again(self, node: sp.Expr) -> sp.Expr:
        first = len(self.met)
        self.averaged += isinstance(node, Expected)
        inner = self.formula(node.args[0])
        self.averaged -= isinstance(node, Expected)
        last = len(self.met)
        if isinstance(node, Expected):
            name = node.args[1].name
            head = "E_" + (name[2:] if name.startswith("p_") else name)
            return Expected(inner, self._density(head, 0))
        if isinstance(node, At):
            point = self.formula(node.args[1])
            self._at_another(first, last, point)
            return At(inner, point)
        if isinstance(node, Slope):
            head = "D_theta" if isinstance(node.args[1], Parameter) else "D"
            return self._slope(inner, node.args[1].name, head, 0)
        return self._derived(node)

    def _derived(self, node: sp.Expr) -> sp.Expr:
        """What a derivation's equations hold: responsibilities, log p, expectations."""
        kind, count = type(node).__name__, self.scope.model.components
        if kind != "Expectation" and len(node.args) != count + (kind == "Responsibility"):
            right = f"an equation of this model, of {count} components"
            raise DeclarationError(problem(f"{self.where}: another model's", kind, right))
        if kind == "Responsibility":
            return self.meanings[f"r_{int(node.args[0])}"]
        if kind == "LogSumExp":
            return self.meanings["log_p"]
        return Expected(self.formula(node.args[0]), self._density(f"E_{node.args[2].name}", 0))


_NODES = ("Responsibility", "LogSumExp", "Expectation")


def _outermost(e: sp.Expr) -> list[sp.Expr]:
    """The nodes of an expression that stand in no other node."""
    out: list[sp.Expr] = []
    stack: list[Any] = [e]
    while stack:
        node = stack.pop()
        if isinstance(node, Node) or type(node).__name__ in _NODES:
            if node not in out:
                out.append(node)
        else:
            stack.extend(node.args)
    return out
