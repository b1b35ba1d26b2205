"""Reads what a user wrote, such as ``"w + (1 - v)*u"``, into SymPy.

In: a text, a number or a SymPy expression, and the symbols that may stand in it. Out: a SymPy
expression over those symbols alone, whose numbers are exact, real and finite. The first step of
the flow: families, models, charts, views and truths read through here, and no text is read
anywhere else.

The text may come from anybody; nothing in it is ever executed.

1. :mod:`relrep_sym.declare.grammar` holds it to the grammar and to the limits on length and
   nesting, and lets Python's parser make a tree of its shape.
2. :mod:`relrep_sym.declare.bounded` makes SymPy of the tree, without recursion, and bounded
   wherever SymPy would compute a huge number. SymPy expressions pass through there too.

The language is ``+ - * / **``, brackets, names, decimal numbers (exact: ``0.1`` is 1/10), the
number ``pi``, and the functions of :data:`FUNCTIONS` with one argument each.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from numbers import Integral, Real
from numbers import Rational as AnyRational

from sympy import Expr, Integer, Rational, Symbol

from relrep_sym.declare.bounded import (
    CONSTANTS,
    FUNCTIONS,
    MAX_BITS,
    Formula,
    Partial,
    Substitution,
    build,
    decimal,
)
from relrep_sym.declare.grammar import IS_NAME, RESERVED, Text
from relrep_sym.errors import DeclarationError, ParseError, problem

__all__ = [
    "FUNCTIONS",
    "AnyName",
    "check_name",
    "expression",
    "number",
    "parse_expression",
    "read",
    "substitute",
]


def parse_expression(text: str, names: Mapping[str, Symbol], *, where: str) -> Expr:
    """The text as a SymPy expression over the given symbols.

    ``names`` maps each name that may occur to its symbol; Python's keywords are names like any
    other. ``where`` says whose text it is and opens the text of each error. Numbers are read
    exactly, as they are written. Symbols should be known to be real: SymPy may take seconds to
    ask about the imaginary part of ``tanh(tanh(z))``.

    Raises :class:`~relrep_sym.errors.ParseError`, with the column counted from one, for whatever
    is outside the language, has no finite real value, or is too large: 10 000 characters, nesting
    of 100, 1000 operators in a row, exact numbers of 4096 bits, exponents of 1000.

    >>> names = {name: Symbol(name, real=True) for name in ("v", "u", "w")}
    >>> parse_expression("w + (1 - v)*u/0.1", names, where="the map of mu_1")
    10*u*(1 - v) + w
    >>> parse_expression("w^2", names, where="the map of mu_1")
    Traceback (most recent call last):
    ...
    relrep_sym.errors.ParseError: the map of mu_1: '^' is no power here at column 2; \
given: 'w^2'; expected: ** for powers
    """
    value: object = text
    if not isinstance(value, str):
        given = f"a value of type {type(value).__name__}"
        raise ParseError(problem(f"{where}: not a text", given, "a string"))
    return read(Text(where, text, names))


def read(source: Text) -> Expr:
    """The SymPy expression of a text that is ready to be read; raises what its ``error`` words."""
    shape = source.shape()
    with _contained(source):
        return build(source, ast.parse(shape, mode="eval").body)


def expression(
    value: object,
    names: Mapping[str, Symbol],
    *,
    where: str,
    met: list[Partial] | None = None,
) -> Expr:
    """A text, a number or a SymPy expression as an expression over the given symbols.

    Texts are read by :func:`parse_expression`, numbers by :func:`number`. The symbols of a SymPy
    expression are matched *by name* and replaced by those of ``names``, whatever was assumed of
    them; it is held to the functions and limits of the language, and floats in it stand for their
    shortest decimals. The partial operations in a SymPy expression join ``met``. Raises
    :class:`~relrep_sym.errors.DeclarationError`.

    >>> w = Symbol("w", real=True)
    >>> expression(Symbol("w")**2 + 0.5, {"w": w}, where="the map of mu_1")
    w**2 + 1/2
    """
    if isinstance(value, str):
        return parse_expression(value, names, where=where)
    if isinstance(value, Expr):
        source = Formula(where, f"a SymPy {type(value).__name__}", names)
        source.met = met
        with _contained(source):
            return build(source, value)
    return number(value, where=where)


def substitute(rule: Expr, values: Mapping[Symbol, Expr], *, where: str) -> Expr:
    """An expression of the language with others in place of some of its symbols.

    Held to the same limits: each alone may be harmless, as ``gamma(x**1000)`` is until x is 300.
    Raises :class:`~relrep_sym.errors.DeclarationError`.

    >>> x, y = Symbol("x"), Symbol("y")
    >>> substitute(x**2 + y, {x: y + 1}, where="the view function u")
    y + (y + 1)**2
    """
    source = Substitution(where, f"a SymPy {type(rule).__name__}", values)
    with _contained(source):
        return build(source, rule)


def number(value: object, *, where: str) -> Expr:
    """A finite real number, exactly: an int, a Fraction, a text, a float or a SymPy number.

    A float (Python's or NumPy's) stands for its shortest decimal. A text may use functions, but
    no names. Raises :class:`~relrep_sym.errors.DeclarationError` for anything else; a bool is not
    a number.

    >>> number("1/3", where="weights"), number(0.1, where="weights"), number("sqrt(2)", where="a")
    (1/3, 1/10, sqrt(2))
    """
    if isinstance(value, str | Expr):
        return expression(value, {}, where=where)
    kind, exact = type(value).__name__, None
    if isinstance(value, bool) or not isinstance(value, Real):
        right = "int, Fraction, float, a text such as '1/3', or a SymPy number"
        raise DeclarationError(problem(f"{where}: not a number", f"a value of type {kind}", right))
    if isinstance(value, Integral):
        if int(value).bit_length() <= MAX_BITS:
            exact = Integer(int(value))
    elif isinstance(value, AnyRational):
        parts = int(value.numerator), int(value.denominator)
        if max(map(int.bit_length, parts)) <= MAX_BITS:
            exact = Rational(*parts)
    elif math.isfinite(value):
        exact = decimal(str(value))
    else:
        raise DeclarationError(problem(f"{where}: not finite", str(value), "a finite number"))
    if exact is None:
        right = f"at most {MAX_BITS} bits"
        raise DeclarationError(
            problem(f"{where}: a number too large", f"a value of type {kind}", right)
        )
    return exact


def check_name(name: str, *, kind: str) -> str:
    """The name, if it may be the name of a ``kind`` ("coordinate", "constant", ...).

    A name is an ASCII identifier of at most 64 characters that starts with a letter, has no
    double underscore, and is neither reserved (``nan inf oo zoo E I``) nor the number ``pi`` nor a
    function of the language. Python's keywords are allowed. Raises
    :class:`~relrep_sym.errors.DeclarationError`.

    >>> check_name("lambda", kind="coordinate")
    'lambda'
    """
    given = repr(name) if isinstance(name, str) else f"a value of type {type(name).__name__}"
    if not isinstance(name, str) or not IS_NAME.fullmatch(name):
        wrong = "is not a name"
        right = "at most 64 ASCII letters, digits and single underscores, the first a letter"
    elif name in CONSTANTS:
        wrong = f"is taken by the language, where {name} is the number {float(CONSTANTS[name]):.6g}"
        right = f"another name, such as '{name}_1'"
    elif name in RESERVED:
        wrong, right = "is reserved", f"a name other than {' '.join(RESERVED)}"
    elif name in FUNCTIONS and kind != "family":  # whose name stands in no expression
        wrong, right = "is a function of the language", f"another name, such as '{name}_1'"
    else:
        return str(name)
    raise DeclarationError(problem(f"the {kind} name {wrong}", given, right))


class AnyName(Mapping[str, Symbol]):
    """Every well-formed name stands for a symbol: a ``known`` one, or what ``make`` makes of it.

    ``kind`` is what an ill-formed name is called in the error.

    >>> parse_expression("a*t", AnyName("coordinate", {"t": Symbol("t", real=True)}), where="here")
    a*t
    """

    def __init__(
        self,
        kind: str,
        known: Mapping[str, Symbol] | None = None,
        make: Callable[[str], Symbol] = Symbol,
    ) -> None:
        self._kind, self._known, self._make = kind, known or {}, make

    def __getitem__(self, name: str) -> Symbol:
        if name in self._known:
            return self._known[name]
        return self._make(check_name(name, kind=self._kind))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str)

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


@contextmanager
def _contained(source: Text | Formula) -> Iterator[None]:
    """What goes wrong inside SymPy, or is exhausted there, is an error of ours."""
    try:
        yield
    except DeclarationError:
        raise
    except (RecursionError, MemoryError, OverflowError) as error:
        wrong = f"too large or too deep to be read ({type(error).__name__})"
        raise source.error(wrong, "a shorter expression") from None
    except Exception as error:  # gamma(erf(-10)) is a ValueError of mpmath's
        wrong = f"SymPy fails at it ({type(error).__name__}: {str(error)[:80]})"
        raise source.error(wrong, "another way to write the same") from error
