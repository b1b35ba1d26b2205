"""Lowering: the one place where SymPy is left.

In: a SymPy expression and the names its symbols have in the code. Out: a statement-language node.
Powers become multiply chains, quotients one division, exact numbers stay exact until printed.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import cache, reduce

import sympy as sp
from sympy.codegen.cfunctions import expm1, log1p

from relrep_sym.declare.functions import Logistic, LogTotal, Softplus, SoftplusInverse
from relrep_sym.equations.special_nodes import Choice
from relrep_sym.errors import DerivationError, problem
from relrep_sym.statements.language import Node, Num, Op

__all__ = ["lower"]

_FUNCTIONS: dict[type, str] = {
    sp.exp: "exp",
    sp.log: "log",
    expm1: "expm1",
    log1p: "log1p",
    sp.Abs: "abs",
    sp.sin: "sin",
    sp.cos: "cos",
    sp.tan: "tan",
    sp.sinh: "sinh",
    sp.cosh: "cosh",
    sp.tanh: "tanh",
    sp.asinh: "arcsinh",
    sp.atan: "arctan",
}


def _softplus(x: Node) -> Node:
    return Op("logaddexp", (Num(Fraction(0)), x))


def _logistic(x: Node) -> Node:
    """exp(min(x, 0))/(1 + exp(−|x|)): to its digits in both tails."""
    size = Op("abs", (x,))
    below = Op("mul", (Num(Fraction(1, 2)), Op("sub", (x, size))))  # exact
    above = Op("add", (Num(Fraction(1)), Op("exp", (Op("neg", (size,)),))))
    return Op("div", (Op("exp", (below,)), above))


def _softplus_inverse(y: Node) -> Node:
    """y + log(1 − e⁻ʸ)."""
    return Op("add", (y, Op("log", (Op("neg", (Op("expm1", (Op("neg", (y,)),)),)),))))


def _log_total(*args: Node) -> Node:
    total: Node = Num(Fraction(0))
    for a in args:
        total = Op("logaddexp", (total, a))
    return total


def _choice(z: Node, one: Node, other: Node) -> Node:
    return Op("where", (Op("greater", (z, Num(Fraction(0)))), one, other))


_STABLE: dict[type, Callable[..., Node]] = {
    Softplus: _softplus,
    Logistic: _logistic,
    SoftplusInverse: _softplus_inverse,
    LogTotal: _log_total,
    Choice: _choice,
}
"""Functions with a kernel of several operations."""


def lower(expression: sp.Expr, leaf: Callable[[sp.Symbol], Node]) -> Node:
    """The expression in the statement language; ``leaf`` says what each symbol is called.

    Raises DerivationError for a function that no backend prints.

    >>> from relrep_sym.statements.language import Var
    >>> x, s = sp.symbols("x sigma")
    >>> lower((x - 1) / s**2, lambda v: Var(v.name)).op
    'div'
    """
    e = expression
    if e.is_Symbol:
        return leaf(e)
    if e.is_Rational:
        return Num(Fraction(int(e.p), int(e.q)))
    if e.is_number:
        return Num(float(sp.N(e, 30)))
    if e.is_Add:
        return _add(e, leaf)
    if e.is_Mul:
        return _mul(e, leaf)
    if isinstance(e, sp.exp):
        return _exp(e, leaf)
    if type(e) in _STABLE:
        return _STABLE[type(e)](*(lower(a, leaf) for a in e.args))
    if e.is_Pow:
        return _pow(e.base, e.exp, leaf)
    name = _FUNCTIONS.get(type(e)) or getattr(type(e), "kernel_name", None)
    if name is None:
        raise DerivationError(
            problem(
                f"no kernel can be printed for {type(e).__name__}",
                str(e),
                "a function of " + ", ".join(sorted(set(_FUNCTIONS.values()))),
            )
        )
    return Op(name, tuple(lower(a, leaf) for a in e.args))


def _exp(e: sp.Expr, leaf: Callable[[sp.Symbol], Node]) -> Node:
    return Op("exp", (lower(e.args[0], leaf),))


def _add(e: sp.Add, leaf: Callable[[sp.Symbol], Node]) -> Node:
    plus: list[sp.Expr] = []
    minus: list[sp.Expr] = []
    constants = [t for t in e.args if t.is_number]
    if len(constants) > 1:
        folded = sp.Float(sp.N(sp.Add(*constants), 30), 30)
        terms = [folded, *(t for t in e.args if not t.is_number)]
    else:
        terms = list(e.args)
    for term in terms:
        (minus if term.could_extract_minus_sign() else plus).append(term)
    up = [lower(t, leaf) for t in plus]
    down = [lower(-t, leaf) for t in minus]
    if not up:
        return Op("neg", (_nary("add", down),))
    return Op("sub", (_nary("add", up), _nary("add", down))) if down else _nary("add", up)


def _nary(op: str, args: list[Node]) -> Node:
    return args[0] if len(args) == 1 else Op(op, tuple(args))


def _mul(e: sp.Mul, leaf: Callable[[sp.Symbol], Node]) -> Node:
    number, factors = sp.Integer(1), []
    below: list[sp.Expr] = []
    for f in e.args:
        if f.is_number:
            number *= f
        elif f.is_Pow and f.exp.is_Rational and f.exp.is_negative:
            below.append(f.base ** (-f.exp))
        else:
            factors.append(f)
    if number.could_extract_minus_sign():
        return Op("neg", (lower(sp.Mul(-number, *[a for a in e.args if not a.is_number]), leaf),))
    if number.is_Rational:
        if number.q != 1 and number.q & (number.q - 1):  # not a power of two: divide exactly once
            below.insert(0, sp.Integer(number.q))
            number = sp.Integer(number.p)
        exact: list[Node] = [Num(Fraction(int(number.p), int(number.q)))]
        up = [] if number == 1 else exact
    else:
        up = [Num(float(sp.N(number, 30)))]
    up += [lower(f, leaf) for f in factors]
    top = _nary("mul", up) if up else Num(Fraction(1))
    if not below:
        return top
    return Op("div", (top, _nary("mul", [lower(b, leaf) for b in below])))


def _pow(base: sp.Expr, exponent: sp.Expr, leaf: Callable[[sp.Symbol], Node]) -> Node:
    if exponent.is_Rational and exponent.is_negative:
        return Op("div", (Num(Fraction(1)), _pow(base, -exponent, leaf)))
    if exponent == sp.Rational(1, 2):
        return Op("sqrt", (lower(base, leaf),))
    if exponent.is_Integer and exponent <= 64:
        return _chain(lower(base, leaf), int(exponent))
    if exponent.is_Rational and exponent.q == 2 and exponent.p <= 64:
        root = Op("sqrt", (lower(base, leaf),))
        return Op("mul", (_chain(lower(base, leaf), int(exponent.p // 2)), root))
    return Op("power", (lower(base, leaf), lower(exponent, leaf)))


@cache
def _bits(exponent: int) -> tuple[int, ...]:
    return tuple(int(b) for b in bin(exponent)[3:])


def _chain(base: Node, exponent: int) -> Node:
    """base**exponent by repeated squaring."""
    if exponent == 1:
        return base

    def step(power: Node, bit: int) -> Node:
        squared = Op("square", (power,))
        return Op("mul", (squared, base)) if bit else squared

    return reduce(step, _bits(exponent), base)
