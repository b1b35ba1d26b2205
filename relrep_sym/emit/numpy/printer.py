"""The NumPy printer: statement-language nodes as Python text.

Two forms: :func:`infix` for small per-fit algebra (``mu_1 + Delta_1``), and :func:`filled` for
per-sample values, as ufunc calls that write into given buffers (``np.multiply(z, z, out=z2)``).
"""

from __future__ import annotations

import math
import re
import sys
from fractions import Fraction

from relrep_sym.errors import DerivationError, problem
from relrep_sym.statements.language import FUNCTIONS, SPECIAL, Item, Node, Num, Op, Var

__all__ = ["filled", "infix", "special_names"]

_RANK = {"add": 1, "sub": 1, "neg": 2, "mul": 3, "div": 3}
_UFUNC = {"add": "add", "sub": "subtract", "mul": "multiply", "div": "divide", "neg": "negative"}


def _number(value: Fraction | float) -> str:
    if isinstance(value, Fraction) and value.denominator == 1 and abs(value) < 2**53:
        return str(value.numerator)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        wrong = "a number is too large for double precision"
        raise DerivationError(problem(wrong, str(value), f"numbers up to {sys.float_info.max:.0e}"))
    return repr(number).replace("e+", "e")


def infix(node: Node, rank: int = 0) -> str:
    """The node as a Python expression with the parentheses it needs.

    >>> a, b = Var("a"), Var("b")
    >>> infix(Op("div", (Op("add", (a, b)), Op("mul", (a, Op("square", (b,)))))))
    '(a + b) / (a * (b * b))'
    """
    if isinstance(node, Num):
        return _number(node.value)
    if isinstance(node, Var):
        return node.name
    if isinstance(node, Item):
        return f"{node.name}[{node.index}]"
    if node.op == "square":
        (a,) = node.args
        if isinstance(a, Op):
            return f"np.square({infix(a)})"
        return f"({infix(a)} * {infix(a)})" if rank >= 3 else f"{infix(a)} * {infix(a)}"
    if node.op in FUNCTIONS:
        home = "" if node.op in SPECIAL else "np."
        return f"{home}{node.op}({', '.join(infix(a) for a in node.args)})"
    own = _RANK[node.op]
    if node.op == "neg":
        text = "-" + infix(node.args[0], 3)
    elif node.op == "add":
        text = " + ".join(infix(a, 1) for a in node.args)
    elif node.op == "mul":
        text = " * ".join(infix(a, 3) for a in node.args)
    else:
        left, right = node.args
        sign = " - " if node.op == "sub" else " / "
        text = infix(left, own if node.op == "sub" else 3) + sign + infix(right, own + 1)
    return f"({text})" if own < rank or (own == 3 and rank == 4) else text


def filled(node: Node, out: str, spare: str) -> list[str]:
    """Ufunc calls that leave the node's value in ``out``, with at most one spare buffer.

    Raises DerivationError when the value needs more than one spare buffer.

    >>> z = Op("mul", (Op("sub", (Var("x"), Var("mu"))), Var("inverse")))
    >>> filled(z, "z", "spare")
    ['np.subtract(x, mu, out=z)', 'np.multiply(z, inverse, out=z)']
    """
    if not isinstance(node, Op):
        return [f"np.copyto({out}, {infix(node)})"]
    lines: list[str] = []
    if node.op == "square":
        a = _operand(node.args[0], out, spare, lines)
        return [*lines, f"np.multiply({a}, {a}, out={out})"]
    if node.op in ("add", "mul") and len(node.args) > 2:
        head = Op(node.op, node.args[:-1])
        return filled(Op(node.op, (head, node.args[-1])), out, spare)
    ufunc = _UFUNC.get(node.op, node.op)
    deep = [a for a in node.args if isinstance(a, Op)]
    if len(deep) == 2:
        lines += filled(node.args[0], out, spare) + filled(node.args[1], spare, "")
        operands = [out, spare]
        if not spare:
            raise DerivationError("a per-sample value needs more than one spare buffer")
    else:
        operands = [_operand(a, out, spare, lines) for a in node.args]
    if node.op in SPECIAL or node.op == "where":  # these take no out
        return [*lines, f"np.copyto({out}, {ufunc}({', '.join(operands)}))"]
    return [*lines, f"np.{ufunc}({', '.join(operands)}, out={out})"]


def special_names(text: str) -> list[str]:
    """The runtime's own functions that a piece of code calls.

    >>> special_names("a = log_gamma_ratio(b, c, d) + np.log(e)")
    ['log_gamma_ratio']
    """
    return sorted(n for n in SPECIAL if re.search(rf"(?<![\w.]){n}\(", text))


def _operand(node: Node, out: str, spare: str, lines: list[str]) -> str:
    if not isinstance(node, Op):
        return infix(node)
    lines += filled(node, out, spare)
    return out
