"""Builds SymPy expressions step by step, each step bounded before SymPy is called.

In: a tree of sums, products, powers and calls, from a text (:mod:`relrep_sym.declare.parser`) or
from a SymPy expression (:class:`Formula`). Out: a SymPy expression of real symbols, exact finite
real numbers and the functions of :data:`FUNCTIONS`, of bounded size.

SymPy computes eagerly: ``9**9**9**9``, ``gamma(10**9)`` and ``exp(x + 10**9*log(2))`` each ask
for a number that no memory holds, and so does ``2**(x + 10**9) * 2**(-x)``, where the exponent
becomes a number only when factors meet. So each value carries a bound on the bits that a later
step could bring to light (:func:`_bits`), and no step is taken past the limits below.

What SymPy asks itself about signs and imaginary parts can grow tenfold with each level of nested
roots and hyperbolic functions, and no count of nodes tells when. For that alone there is a limit
on processor time (:mod:`relrep_sym.declare.patience`); an expression that meets it is beyond all
use downstream.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import sympy
from sympy import Add, Expr, Mul, Pow, Rational, S, Symbol

from relrep_sym.declare.functions import Erfc, Logistic, Softplus
from relrep_sym.declare.patience import Patience, TooLong
from relrep_sym.errors import DeclarationError, problem

__all__ = [
    "CONSTANTS",
    "FUNCTIONS",
    "MAX_BITS",
    "MAX_DEPTH",
    "MAX_SECONDS",
    "Formula",
    "Partial",
    "Source",
    "Step",
    "Substitution",
    "build",
    "decimal",
]

MAX_BITS = 4096  # of a numerator or denominator; also of |log2| of an irrational constant
MAX_DEPTH = 100  # of operations within operations
MAX_NODES = 20_000  # of an expression, counted as a tree
MAX_EXPONENT = 1000  # |n| in x**n
MAX_EXP = 2839.0  # |x| in exp(x): MAX_BITS * log(2)
MAX_GAMMA = 500.0  # |x| in gamma(x): SymPy computes factorials exactly
MAX_WORK = 16_384  # in one expression: bits of numbers beyond 128, and 128 per irrational one
MAX_SECONDS = 0.5  # of processor time, in one expression; a common one takes a thousandth
WATCHED_AFTER = 0.02  # seconds, or
WATCHED_ABOVE = 1  # functions and powers within each other: a single step may then take forever

#: The functions of the language, by the name that they have in a text.
FUNCTIONS: Mapping[str, Callable[[Expr], Expr]] = {
    "exp": sympy.exp,
    "log": sympy.log,
    "sqrt": sympy.sqrt,
    "expm1": lambda x: sympy.exp(x) - 1,
    "log1p": lambda x: sympy.log(1 + x),
    "sin": sympy.sin,
    "cos": sympy.cos,
    "tan": sympy.tan,
    "sinh": sympy.sinh,
    "cosh": sympy.cosh,
    "tanh": sympy.tanh,
    "asinh": sympy.asinh,
    "atan": sympy.atan,
    "erf": sympy.erf,
    "erfc": Erfc,
    "gamma": sympy.gamma,
    "loggamma": sympy.loggamma,
    "softplus": Softplus,
    "logistic": Logistic,
    "abs": sympy.Abs,
}
#: The constants of the language, by name. Euler's number is exp(1).
CONSTANTS: Mapping[str, Expr] = {"pi": S.Pi}
_NAME_OF_CLASS = {kind: name for name, kind in FUNCTIONS.items() if isinstance(kind, type)}
_NAME_OF_CLASS[sympy.erfc] = "erfc"
_CONSTANTS = (S.Pi, S.Exp1)
_ALLOWED = (Symbol, Rational, Add, Mul, Pow, *map(type, _CONSTANTS))


class Step(NamedTuple):
    """One operation of a tree: what it does, to which nodes, and which of these it inverts.

    ``a - b + c`` is the sum of (a, b, c), b inverted; ``a/b`` the product of (a, b), b inverted.
    """

    what: str  # "leaf", "sum", "product", "power", or a key of FUNCTIONS
    operands: Sequence[Any] = ()
    inverted: Sequence[bool] = ()
    value: Expr = S.Zero  # of a leaf


class Partial(NamedTuple):
    """An operation that is not defined for every real argument, as it was written.

    SymPy forgets some: ``x/x`` is 1 to it, and ``exp(log(x))`` is x. ``kind`` says what ``inner``
    must be: "positive", "not negative", "not zero", or "any" where a function only has a kink.
    """

    what: str
    kind: str
    inner: Expr


class Source(Protocol):
    """Where a tree comes from: reads its nodes, and words the errors at them.

    ``met`` collects the partial operations that are read, where somebody asks for them.
    """

    also: Collection[type]  # kinds of nodes that may stand in the result beside the language's
    met: list[Partial] | None

    def step(self, node: Any) -> Step:
        """What the node does."""

    def error(self, wrong: str, right: str, node: Any = None) -> DeclarationError:
        """The error to raise, at a node if one is given."""


class Formula:
    """A SymPy expression as a source: its symbols matched by name, its floats made exact."""

    also: Collection[type] = ()
    met: list[Partial] | None = None

    def __init__(self, where: str, given: str, names: Mapping[str, Symbol]) -> None:
        self.where, self.given, self.names = where, given, names

    def error(self, wrong: str, right: str, node: Any = None) -> DeclarationError:
        """The error, with the expression's class only: printing it may be what is too large."""
        return DeclarationError(problem(f"{self.where}: {wrong}", self.given, right))

    def step(self, node: Expr) -> Step:
        """What the node does, or the error that it has no place in the language."""
        if isinstance(node, Symbol) and not isinstance(node, sympy.Dummy | sympy.Wild):
            if node.name in self.names:
                return Step("leaf", value=self.names[node.name])
            if node.name in CONSTANTS:
                wrong = f"a symbol named {node.name!r}, which is a number of the language"
                raise self.error(wrong, f"sympy.{node.name} for the number, or another name")
            known = ", ".join(sorted(self.names)[:40]) or "no names, only a number"
            raise self.error(f"unknown symbol {node.name[:64]!r}", f"symbols named {known}")
        if node.is_Float:
            exact = decimal(_float_text(node))
            if exact is None:
                raise self.error("a float too large or too small", f"at most {MAX_BITS} bits")
            return Step("leaf", value=exact)
        if node.is_Rational or node is S.Pi or node is S.Exp1:
            return Step("leaf", value=node)
        if node.is_Add:
            return Step("sum", node.args, (False,) * len(node.args))
        if node.is_Mul:
            return Step("product", node.args, (False,) * len(node.args))
        if node.is_Pow:
            return Step("power", node.args)
        if type(node) in _NAME_OF_CLASS:
            return Step(_NAME_OF_CLASS[type(node)], node.args)
        raise _foreign(self, node)


class Substitution(Formula):
    """An expression of the language with others, whatever they hold, for some of its symbols."""

    def __init__(self, where: str, given: str, values: Mapping[Symbol, Expr]) -> None:
        super().__init__(where, given, {})
        self.values = values
        self.also = {type(n) for v in values.values() for n in sympy.preorder_traversal(v)}

    def step(self, node: Expr) -> Step:
        """What the node does; symbols without a value stay."""
        return (
            Step("leaf", value=self.values.get(node, node))
            if node.is_Symbol
            else super().step(node)
        )


def decimal(text: str) -> Rational | None:
    """The exact value of a decimal literal such as ``-1.5e-3``; None where it is too large.

    >>> decimal("-1.5e-3")
    -3/2000
    """
    digits, _, power = text.lower().partition("e")
    whole, _, decimals = digits.lstrip("+-").partition(".")
    significant, ten = (whole + decimals).lstrip("0"), power.lstrip("+-0")
    if len(ten) > 4 or (len(significant) + len(decimals) + int(ten or 0)) * 10 > MAX_BITS * 3:
        return None
    shift = (-1 if power.startswith("-") else 1) * int(ten or 0) - len(decimals)
    value = int(significant or 0) * (-1 if digits.startswith("-") else 1)
    return Rational(value * 10 ** max(shift, 0), 10 ** max(-shift, 0))


def build(source: Source, root: Any) -> Expr:
    """The SymPy expression of the tree under ``root``; raises what ``source.error`` returns.

    Walks without recursion. Nodes are told apart by identity.
    """
    order: list[tuple[Any, Step]] = []
    stack: list[tuple[Any, int]] = [(root, 0)]
    while stack:
        node, depth = stack.pop()
        step = source.step(node)
        order.append((node, step))
        if depth > MAX_DEPTH:
            raise source.error("nested too deeply", f"a depth of at most {MAX_DEPTH}", node)
        if len(order) > MAX_NODES:
            raise source.error("an expression too large", f"at most {MAX_NODES} nodes", node)
        stack.extend([(operand, depth + 1) for operand in step.operands])
    node = root
    try:
        with Patience(MAX_SECONDS) as patience:
            values: dict[int, Expr] = {}
            heights: dict[int, int] = {}
            constants: set[Expr] = set()
            work = 0
            for node, step in reversed(order):
                operands = [values[id(operand)] for operand in step.operands]
                height = max((heights[id(operand)] for operand in step.operands), default=0)
                heights[id(node)] = height + (step.what not in ("leaf", "sum", "product"))
                if height >= WATCHED_ABOVE or patience.spent() > WATCHED_AFTER:
                    patience.watch()
                value = _apply(source, node, step, operands) if step.operands else step.value
                if source.met is not None:
                    source.met += _partial(step, operands)
                patience.check()
                if value.is_number and value not in constants:
                    constants.add(value)
                    work += _constant_work(source, node, value)
                    if work > MAX_WORK:
                        wrong = "too many large or irrational constants"
                        raise source.error(wrong, "fewer of them", node)
                values[id(node)] = value
            _check_result(source, values[id(root)])
            return values[id(root)]
    except TooLong:
        raise source.error("an expression too hard for SymPy", "less nesting", node) from None


def _apply(source: Source, node: Any, step: Step, values: list[Expr]) -> Expr:
    """The value of one operation, refused where SymPy would compute something huge."""
    if step.what == "sum":
        terms = [
            -value if minus else value for value, minus in zip(values, step.inverted, strict=True)
        ]
        denominators = {_denominator(part) for term in terms for part in Add.make_args(term)}
        if sum(map(int.bit_length, denominators)) > MAX_BITS:
            raise source.error("a common denominator too large", f"at most {MAX_BITS} bits", node)
        return Add(*terms)
    if step.what == "product":
        factors = [
            _power(source, operand, value, S.NegativeOne) if divides else value
            for operand, value, divides in zip(step.operands, values, step.inverted, strict=True)
        ]
        if sum(map(_bits, factors)) > MAX_BITS:
            raise source.error("a product too large", f"numbers of at most {MAX_BITS} bits", node)
        product = Mul(*factors)
        if product.is_Add and max(map(_bits, product.args)) > MAX_BITS:
            raise source.error("a product too large", f"numbers of at most {MAX_BITS} bits", node)
        return product
    if step.what == "power":
        return _power(source, node, values[0], values[1])
    if step.what == "sqrt":
        return _power(source, node, values[0], S.Half)
    return _call(source, node, step.what, values[0])


def _partial(step: Step, values: list[Expr]) -> list[Partial]:
    """What one operation asks of its operands, where they vary."""
    out = []
    if step.what == "product":
        divisors = [v for v, divides in zip(values, step.inverted, strict=True) if divides]
        out = [Partial("a division by", "not zero", v) for v in divisors]
    elif step.what in ("log", "loggamma"):
        out = [Partial(f"{step.what} of", "positive", values[0])]
    elif step.what == "log1p":
        out = [Partial("log1p of", "positive", 1 + values[0])]
    elif step.what == "gamma":
        out = [Partial("gamma of", "no pole", values[0])]
    elif step.what == "tan":
        out = [Partial("tan of", "not zero", sympy.cos(values[0]))]
    elif step.what == "abs":
        out = [Partial("abs of", "any", values[0])]
    elif step.what == "sqrt":
        out = [Partial("a root of", "not negative", values[0])]
    elif step.what == "power":
        base, exponent = values
        if exponent.is_integer:
            if not exponent.is_nonnegative:
                out = [Partial("a division by", "not zero", base)]
        elif exponent.is_number and exponent.is_positive:
            out = [Partial("a root of", "not negative", base)]
        else:
            out = [Partial("a power of", "positive", base)]
    return [p for p in out if not p.inner.is_number]


def _call(source: Source, node: Any, name: str, argument: Expr) -> Expr:
    if name in ("exp", "expm1", "sinh", "cosh") and _constant_part(argument) > MAX_EXP:
        raise source.error(f"{name} of too large a number", f"at most {MAX_EXP:g}", node)
    if name in ("gamma", "loggamma") and argument.is_number and abs(_real(argument)) > MAX_GAMMA:
        raise source.error(f"{name} of too large a number", f"at most {MAX_GAMMA:g}", node)
    if name == "log" and argument is S.Zero:
        raise source.error("the logarithm of zero", "a positive argument", node)
    value = FUNCTIONS[name](argument)
    if name == "abs" and value.has(sympy.re, sympy.im, sympy.conjugate, sympy.sign):
        return sympy.Abs(argument, evaluate=False)  # SymPy took a plain symbol for a complex one
    return value


def _power(source: Source, node: Any, base: Expr, exponent: Expr) -> Expr:
    if base is S.Exp1:
        return _call(source, node, "exp", exponent)
    if exponent.is_number:
        real = _real(exponent)
        if abs(real) > MAX_EXPONENT:
            raise source.error("an exponent too large", f"at most {MAX_EXPONENT}", node)
        if base is S.Zero and real < 0:
            raise source.error("a division by zero", "a divisor other than zero", node)
    elif base.is_number and not exponent.is_integer and _real(base) <= 0:
        wrong = "a power of zero or of a negative number, with an exponent that varies"
        raise source.error(wrong, "a positive base, or a number as exponent", node)
    if _bits(base) * max(1.0, _constant_part(exponent)) > MAX_BITS:
        raise source.error("a power too large", f"numbers of at most {MAX_BITS} bits", node)
    return Pow(base, exponent)


def _constant_work(source: Source, node: Any, value: Expr) -> int:
    """What holding this constant costs of MAX_WORK; an error unless it is finite and real."""
    if value.is_Rational:
        bits = _bits(value)
        if bits > MAX_BITS:
            raise source.error("a number too large", f"at most {MAX_BITS} bits", node)
        return bits if bits > 128 else 0
    digits = _digits(value)
    if not digits.is_Float:
        right = "finite real numbers (no log or root of a negative number, no pole)"
        raise source.error("a part that has no finite real value", right, node)
    _, _, exponent, length = digits._mpf_
    if digits._prec == 1:
        right = "0 itself, or a constant that its first 100 digits tell from 0"
        raise source.error("a constant that cannot be told from zero", right, node)
    if abs(exponent + length) > MAX_BITS:
        right = f"between 2**-{MAX_BITS} and 2**{MAX_BITS}"
        raise source.error("a constant too large or too small", right, node)
    return 128


def _check_result(source: Source, result: Expr) -> None:
    """SymPy may have written a step with something outside the language, or merged powers."""
    stack, seen = [result], 0
    while stack:
        node = stack.pop()
        seen += 1
        allowed = type(node) in _NAME_OF_CLASS or isinstance(node, _ALLOWED)
        if not allowed and type(node) not in source.also:
            raise _foreign(source, node)
        if node.is_Rational and _bits(node) > MAX_BITS:
            raise source.error("a number too large", f"at most {MAX_BITS} bits")
        if node.is_Pow and node.exp.is_Rational and abs(node.exp.p) > MAX_EXPONENT * node.exp.q:
            raise source.error("an exponent too large", f"at most {MAX_EXPONENT}")
        if seen > MAX_NODES:
            raise source.error("an expression too large", f"at most {MAX_NODES} nodes")
        stack.extend(node.args)


def _foreign(source: Source, node: Any) -> DeclarationError:
    if node is S.ImaginaryUnit:
        return source.error("an expression that is not real", "real expressions only")
    if node in (S.NaN, S.Infinity, S.NegativeInfinity, S.ComplexInfinity):
        return source.error(f"{node} is not a finite number", "finite numbers only")
    right = f"+ - * / **, {' '.join(CONSTANTS)} and {' '.join(FUNCTIONS)} of symbols and numbers"
    return source.error(f"{type(node).__name__!r} is not in the language", right)


def _bits(value: Expr) -> int:
    """A bound on the bits of the numbers that a product or power of this value may bring out."""
    if value.is_Rational:
        return 0 if abs(value.p) == value.q == 1 else max(abs(value.p), value.q).bit_length()
    if value.is_Mul:
        return sum(map(_bits, value.args))
    if value.is_Pow:
        base = _bits(value.base)
        return math.ceil(base * min(max(1.0, _constant_part(value.exp)), 1e9)) if base else 0
    if type(value) is sympy.exp:
        return math.ceil(min(_constant_part(value.args[0]), 1e9) / math.log(2))
    return 0


def _denominator(term: Expr) -> int:
    """The denominator of a term's rational coefficient, 0 where there is none."""
    if term.is_Mul:
        term = term.args[0]
    return int(term.q) if term.is_Rational and term.q > 1 else 0


def _constant_part(value: Expr) -> float:
    """The sum of the moduli of the constant terms, which may leave an exponent as a number."""
    if value.is_number:
        return abs(_real(value))
    return sum((abs(_real(term)) for term in Add.make_args(value) if term.is_number), 0.0)


def _real(constant: Expr) -> float:
    """The constant in double precision, infinite where it does not fit or is not known."""
    if constant.is_Rational:
        try:
            return int(constant.p) / int(constant.q)
        except OverflowError:
            return math.inf if constant.p > 0 else -math.inf
    digits = _digits(constant)
    return float(digits) if digits.is_Float else math.inf


@lru_cache(maxsize=1024)
def _digits(constant: Expr) -> Expr:
    """The constant to 15 digits: not a Float if not real, of precision 1 if perhaps zero."""
    return constant.evalf(15, maxn=100)


def _float_text(value: Expr) -> str:
    """The shortest decimal of a SymPy float; "1e9999" (which is refused) where far too large."""
    _, _, exponent, length = value._mpf_
    if abs(exponent + length) > MAX_BITS:
        return "1e9999"
    double = float(value)
    return repr(double) if value._prec == 53 and value == sympy.Float(double) else str(value)
