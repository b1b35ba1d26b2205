r"""What is not yet done: expectations, derivatives and other points, as SymPy nodes.

In: SymPy expressions. Out: :class:`Expected`, :class:`Slope` and :class:`At`, which stand in an
identity until it is proven or evaluated, and :class:`Atom`, the symbol of a quantity at x. Nothing
here is ever simplified.
"""

from __future__ import annotations

from typing import Any

import sympy as sp
from sympy.core.sympify import _sympify

from relrep_sym.declare.symbols import Parameter, latex_name
from relrep_sym.errors import DeclarationError, problem

__all__ = ["At", "Atom", "Expected", "Node", "Slope", "density_symbol"]


class Atom(sp.Symbol):
    """A quantity at x, such as ``r_1`` or ``log_p``: real, positive unless a logarithm.

    >>> Atom.of("r_1").is_positive, Atom.of("log_p").is_positive
    (True, None)
    """

    __slots__ = ()

    @classmethod
    def of(cls, name: str) -> Atom:
        """The quantity of that name."""
        return cls(name, real=True) if name.startswith("log") else cls(name, positive=True)

    def _latex(self, _: object) -> str:
        if self.name.startswith("log_"):
            return rf"\log {self.name[4:]}(x)"
        return rf"{latex_name(self.name)}(x)"


class Node(sp.Expr):
    """A real number that is not yet computed."""

    is_commutative = True
    is_real = True

    def diff(self, *symbols: Any, **_: object) -> sp.Expr:
        """The derivative, not yet done: what depends on a symbol is known to a model only."""
        out: sp.Expr = self
        for s in symbols:
            out = Slope(out, sp.Symbol(s) if isinstance(s, str) else s)
        return out


def density_symbol(under: object) -> sp.Symbol:
    """The density that ``under`` names: ``"truth"``, ``"model"``, or a component of the model.

    >>> density_symbol("truth"), density_symbol("model"), density_symbol(2)
    (q, p, p_2)
    """
    if under in ("truth", "model"):
        return sp.Symbol("q" if under == "truth" else "p")
    if isinstance(under, int | sp.Integer) and not isinstance(under, bool) and under > 0:
        return sp.Symbol(f"p_{under}")
    right = '"truth", "model", or the number of a component of the model'
    raise DeclarationError(problem("this is no density", under, right))


class Expected(Node):
    r"""The mean of an expression under a density: q, q_j (the truth's), p, p_k (the model's).

    >>> Expected(sp.Symbol("x")**2, sp.Symbol("q"))
    E_q[x**2]
    """

    def __new__(cls, inner: Any, density: sp.Symbol) -> Expected:
        """The mean of ``inner``."""
        return super().__new__(cls, _sympify(inner), density)

    def _sympystr(self, printer: Any) -> str:
        name = self.args[1].name
        name = name[2:] if name.startswith("p_") else name
        return f"E_{name}[{printer._print(self.args[0])}]"

    def _latex(self, printer: Any) -> str:
        name = latex_name(self.args[1].name)
        return rf"\operatorname{{E}}_{{{name}}}\left[{printer._print(self.args[0])}\right]"


class Slope(Node):
    """A derivative; the variable is x, a coordinate, a constant, or an entry of θ."""

    def __new__(cls, inner: Any, variable: sp.Symbol) -> Slope:
        """∂ inner / ∂ variable."""
        return super().__new__(cls, _sympify(inner), variable)

    def _sympystr(self, printer: Any) -> str:
        head = "D_theta" if isinstance(self.args[1], Parameter) else "D"
        return f"{head}[{printer._print(self.args[0])}, {self.args[1]}]"

    def _latex(self, printer: Any) -> str:
        below = rf"\partial {latex_name(self.args[1].name)}"
        inner = printer._print(self.args[0])
        bare = not isinstance(self.args[0], sp.Add | sp.Mul)
        return rf"\frac{{\partial}}{{{below}}} " + (inner if bare else rf"\left({inner}\right)")


class At(Node):
    """An expression with another point for x."""

    def __new__(cls, inner: Any, point: Any) -> At:
        """``inner`` at ``point``."""
        return super().__new__(cls, _sympify(inner), _sympify(point))

    def _sympystr(self, printer: Any) -> str:
        return f"At[{printer._print(self.args[0])}, {printer._print(self.args[1])}]"

    def _latex(self, printer: Any) -> str:
        inner, point = (printer._print(a) for a in self.args)
        return rf"\left.{inner}\right|_{{x \to {point}}}"
