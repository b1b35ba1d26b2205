"""Reads a text as a tree, without executing any of it: a whitelist over Python's ``ast``.

In: a text and the names that may occur in it. Out: a tree of Python's, which as a
:class:`~relrep_sym.declare.bounded.Source` tells :func:`~relrep_sym.declare.bounded.build` what
each of its nodes does. Stands between the face (:mod:`relrep_sym.declare.parser`) and the
building.

One pass over the tokens holds the text to the grammar and to the limits on length and nesting,
and refuses everything else by the name of the construct. Only the *shape* goes to ``ast.parse``,
and only as a well-formed sentence: by then each name and number has become ``_0``, ``_1``, ..., so
that a coordinate may well be called ``lambda``, and no number is ever read by Python.
"""

from __future__ import annotations

import ast
import keyword
import re
import unicodedata
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import NamedTuple

from sympy import Expr, Symbol

from relrep_sym.declare.bounded import (
    CONSTANTS,
    FUNCTIONS,
    MAX_BITS,
    MAX_DEPTH,
    Partial,
    Step,
    decimal,
)
from relrep_sym.errors import ParseError, problem

__all__ = ["IS_NAME", "RESERVED", "Text"]

MAX_LENGTH = 10_000  # characters
MAX_CHAIN = 1000  # operators around one operand: Python's tree of a + b + c + ... is that deep

#: Names that mean elsewhere what the language has not, and what to write instead.
RESERVED = {
    "nan": "finite numbers only",
    "inf": "finite numbers only",
    "oo": "finite numbers only",
    "zoo": "finite numbers only",
    "E": "exp(1) for Euler's number",
    "I": "real expressions only",
}
#: A name: at most 64 ASCII letters, digits and single underscores, the first a letter.
IS_NAME = re.compile(r"(?!.*__)[A-Za-z][A-Za-z0-9_]{0,63}")

_INSTEAD = {
    "e": "exp(1)",
    "ln": "log",
    "arctan": "atan",
    "arcsinh": "asinh",
    "Abs": "abs",
    **dict.fromkeys(("lgamma", "gammaln", "lngamma"), "loggamma"),
}
_INSTEAD_CALLED = {
    **dict.fromkeys(("Phi", "cdf", "normcdf", "norm_cdf", "ncdf"), "erfc(-z/sqrt(2))/2"),
    **dict.fromkeys(("logcdf", "log_cdf", "log_ndtr"), "log(erfc(-z/sqrt(2))/2)"),
    "ndtr": "erfc(-z/sqrt(2))/2",
}
_ABSENT = frozenset(
    "min max Min Max sign Piecewise where besseli besselj besselk iv ive arcsin arccos asin acos "
    "beta betaln zeta digamma polygamma gammainc erfinv erfcx floor ceil round mod".split()
)  # which no function of the language means, however much alike it is spelled
_CALLED = re.compile(r"[ \t]*\(")
_TOKEN = re.compile(
    r"[ \t]*(?:(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<refused>//|[:=!<>]=|<<|>>|[^-+*/() \t])"
    r"|(?P<operator>\*\*|[-+*/])|(?P<open>\()|(?P<close>\))|(?P<end>\Z))"
)
_REFUSED = {
    "^": ("'^' is no power here", "** for powers"),
    "//": ("a floor division ('//')", "/ for division"),
    "%": ("a remainder ('%')", "+ - * / **"),
    "@": ("a matrix product ('@')", "* for products"),
    ".": ("an attribute ('.')", "names and decimal numbers, without a dot between"),
    ",": ("a comma", "functions of one argument, and no tuples"),
    ";": ("a second statement (';')", "one expression"),
    ":": ("a slice, lambda or annotation (':')", "one expression"),
    ":=": ("an assignment (':=')", "the right-hand side alone"),
    "=": ("an assignment or keyword argument ('=')", "the right-hand side alone"),
    "#": ("a comment ('#')", "the expression alone"),
    "\\": ("a backslash", "one line without continuation"),
    "\n": ("a line break", "one line"),
    "\r": ("a line break", "one line"),
    "\0": ("a NUL character", "printable ASCII"),
    "'": ("a string", "names and numbers without quotation marks"),
    '"': ("a string", "names and numbers without quotation marks"),
    **dict.fromkeys("[]", ("a subscript or list ('[')", "round brackets, and names like mu_1")),
    **dict.fromkeys("{}", ("a set or dictionary ('{')", "round brackets")),
    **dict.fromkeys(["<", ">", "<=", ">=", "==", "!="], ("a comparison", "an expression")),
    **dict.fromkeys(["<<", ">>", "&", "|", "~"], ("an operation on bits", "+ - * / **")),
}


class _Token(NamedTuple):
    text: str
    at: int  # position, from zero
    value: Expr | None  # None for a function


class Text:
    """A text on its way to a tree of Python's, as a source for :func:`build`."""

    also: Collection[type] = ()
    met: list[Partial] | None = None

    def __init__(self, where: str, text: str, names: Mapping[str, Symbol]) -> None:
        self.where, self.text, self.names = where, text, names
        self.tokens: list[_Token] = []

    def error(self, wrong: str, right: str, node: ast.expr | int | None = None) -> ParseError:
        """The error, at a node of the tree or at a position in the text."""
        at = self._first(node).at if isinstance(node, ast.expr) else node
        if at is not None:
            wrong += f" at column {at + 1}"
        start = max(0, (at or 0) - 40) if len(self.text) > 80 else 0
        end = start + 80
        given = f"{'…' * (start > 0)}{self.text[start:end]!r}{'…' * (end < len(self.text))}"
        return ParseError(problem(f"{self.where}: {wrong}", given, right))

    def shape(self) -> str:
        """The text with its operands numbered, a sentence: all that Python's parser will see."""
        self._check_characters()
        shape: list[str] = []
        nesting = _Nesting()
        complete = False  # whether an operand has just ended
        position = 0
        while match := _TOKEN.match(self.text, position):
            kind = match.lastgroup or ""
            token, at, position = match[kind], match.start(kind), match.end()
            if kind == "refused":
                raise self.error(*_REFUSED.get(token, (f"{token!r}", "printable ASCII")), at)
            if kind == "end":
                break
            if kind in ("number", "name"):
                operand = self._operand(kind, token, at)
                if complete:
                    raise self.error(f"no operator before {token!r}", "a*b, a + b, ...", at)
                token, complete = f"_{len(self.tokens)}", operand.value is not None
                self.tokens.append(operand)
            elif kind == "open":
                if complete:
                    raise self.error("no operator before '('", "a*(b), a + (b), ...", at)
                nesting.open(at)
            elif not complete and (kind == "close" or token not in "+-"):
                right = "a name or number (no empty calls, no starred arguments)"
                raise self.error(f"no operand before {token!r}", right, at)
            elif kind == "close":
                if not nesting.outer:
                    raise self.error("')' without '('", "matching brackets", at)
                nesting.close()
            else:
                nesting.operator(token, nests=token == "**" or not complete)
                complete = False
            if nesting.depth > MAX_DEPTH:
                raise self.error("nested too deeply", f"a depth of at most {MAX_DEPTH}", at)
            if nesting.height > MAX_CHAIN:
                raise self.error("too many operators", f"at most {MAX_CHAIN} in a row", at)
            shape.append(token)
        if nesting.outer and complete:
            raise self.error("'(' is never closed", "matching brackets", nesting.outer[-1][0])
        if not complete:
            wrong = "the text ends where an operand should stand" if shape else "an empty text"
            raise self.error(wrong, "an expression such as 'w + (1 - v)*u'", len(self.text))
        return "".join(shape)

    def _check_characters(self) -> None:
        if len(self.text) > MAX_LENGTH:
            wrong = f"a text of {len(self.text)} characters"
            raise self.error(wrong, f"at most {MAX_LENGTH} characters")
        if not self.text.isascii():
            at = next(i for i, character in enumerate(self.text) if not character.isascii())
            name = unicodedata.name(self.text[at], f"U+{ord(self.text[at]):04X}")
            right = "ASCII: Greek letters spelled out, '-' for minus, '*' for times"
            raise self.error(f"the character {self.text[at]!r} ({name})", right, at)

    def _operand(self, kind: str, token: str, at: int) -> _Token:
        end = at + len(token)
        if kind == "number":
            following = self.text[end : end + 1]
            if following.isalpha() or following in ("_", "."):
                right = "2*x for a product; decimal numbers without '_', '0x' or 'j'"
                raise self.error(f"{following!r} right after the number {token!r}", right, end)
            exact = decimal(token)
            if exact is None:
                raise self.error("a number too large", f"at most {MAX_BITS} bits", at)
            return _Token(token, at, exact)
        if self.text[end : end + 1] in ("'", '"'):
            raise self.error(*_REFUSED["'"], at)
        called = _CALLED.match(self.text, end) is not None
        if token in FUNCTIONS:
            if not called:
                raise self.error(f"the function {token!r} without argument", f"{token}(...)", at)
            return _Token(token, at, None)
        if token in CONSTANTS:
            if called:
                raise self.error(f"the number {token} is not a function", f"{token}*(...)", at)
            return _Token(token, at, CONSTANTS[token])
        if token in RESERVED:
            raise self.error(f"the name {token!r} is reserved", RESERVED[token], at)
        if called or not IS_NAME.fullmatch(token) or token not in self.names:
            raise self._unknown(token, at, called)
        return _Token(token, at, self.names[token])

    def _unknown(self, token: str, at: int, called: bool) -> ParseError:
        shown = repr(token if len(token) <= 64 else f"{token[:64]}…")
        known = list(FUNCTIONS) if called else sorted(self.names)
        right = f"one of {', '.join(known[:40])}{', …' * (len(known) > 40)}"
        if called:
            wrong = f"{shown} is not a function of the language, yet called"
            right = f"a*(b) for a product, or {right}"
        elif not IS_NAME.fullmatch(token):
            wrong, right = (
                f"{shown} is not a name",
                "at most 64 letters, digits, single underscores",
            )
        else:
            wrong = f"unknown name {shown}{' (a keyword of Python)' * keyword.iskeyword(token)}"
            right = right if known else "a number: no names are known here"
        close = _INSTEAD_CALLED.get(token) if called else None
        close = close or _INSTEAD.get(token)
        if not called or token not in _ABSENT:
            close = close or next(iter(get_close_matches(token[:64], known, n=1)), None)
        return self.error(wrong, right + f" (did you mean {close}?)" * (close is not None), at)

    def _first(self, node: ast.expr) -> _Token:
        """The first operand under a node, which tells its place in the text."""
        while not isinstance(node, ast.Name):
            match node:
                case ast.BinOp(left=first) | ast.UnaryOp(operand=first) | ast.Call(func=first):
                    node = first
                case _:
                    return _Token("", 0, None)
        return self.tokens[int(node.id[1:])]

    def step(self, node: ast.expr) -> Step:
        """What a node does; a chain such as a - b + c is one step."""
        match node:
            case ast.Name(id=name) if (value := self.tokens[int(name[1:])].value) is not None:
                return Step("leaf", value=value)
            case ast.UnaryOp(op=ast.UAdd() | ast.USub() as sign, operand=operand):
                return Step("sum", (operand,), (isinstance(sign, ast.USub),))
            case ast.BinOp(op=ast.Pow(), left=base, right=exponent):
                return Step("power", (base, exponent))
            case ast.BinOp(op=ast.Add() | ast.Sub()):
                return self._chain("sum", node, ast.Add, ast.Sub)
            case ast.BinOp(op=ast.Mult() | ast.Div()):
                return self._chain("product", node, ast.Mult, ast.Div)
            case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]):
                return Step(self.tokens[int(name[1:])].text, (argument,))
        raise self.error(f"{type(node).__name__!r} is not in the language", "+ - * / **", node)

    @staticmethod
    def _chain(what: str, node: ast.expr, plain: type, inverse: type) -> Step:
        operands: list[ast.expr] = []
        inverted: list[bool] = []
        while isinstance(node, ast.BinOp) and isinstance(node.op, (plain, inverse)):
            operands.append(node.right)
            inverted.append(isinstance(node.op, inverse))
            node = node.left
        return Step(what, (node, *reversed(operands)), (False, *reversed(inverted)))


class _Nesting:
    """How deep and how high the tree will be, known before there is one.

    Brackets nest, and so do signs and powers, to the right. Sums and products make chains, to the
    left, on top of the highest of their operands.
    """

    def __init__(self) -> None:
        self.outer: list[tuple[int, int, int, int]] = []  # position of each '(', what it stands in
        self.depth = 0  # of everything open
        self._nested = self._sum = self._product = self._operand = 0  # of the innermost bracket

    @property
    def height(self) -> int:
        """Of the part of the innermost bracket that has been read."""
        return max(self._sum, self._product, self._operand)

    def open(self, at: int) -> None:
        self.outer.append((at, self._nested, self._sum, self._product))
        self.depth += 1
        self._nested = self._sum = self._product = self._operand = 0

    def close(self) -> None:
        self.depth -= self._nested + 1
        self._operand = self.height
        _, self._nested, self._sum, self._product = self.outer.pop()

    def operator(self, token: str, *, nests: bool) -> None:
        if nests:
            self._nested += 1
            self.depth += 1
            return
        self.depth -= self._nested
        if token in "+-":
            self._sum, self._product = self.height + 1, 0
        else:
            self._product = max(self._product, self._operand) + 1
        self._nested = self._operand = 0
