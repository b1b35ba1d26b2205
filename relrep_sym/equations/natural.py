r"""Natural gradient learning: dλ/dt = η F⁺ ∇_λ L.

In: the chart's Fisher information and its averaged score. Out: the value and the printed lines.
"""

from __future__ import annotations

import sympy as sp

from relrep_sym.equations.generic import Generic
from relrep_sym.equations.lines import Line

__all__ = ["PseudoInverse", "natural_column", "natural_lines"]


class PseudoInverse(sp.MatrixExpr):
    r"""The Moore–Penrose pseudo-inverse of a matrix, not worked out; ``doit`` works it out.

    >>> PseudoInverse(sp.ImmutableMatrix([[4, 0], [0, 0]])).doit()
    Matrix([
    [1/4, 0],
    [  0, 0]])
    """

    def __new__(cls, matrix: sp.ImmutableMatrix) -> PseudoInverse:
        """The pseudo-inverse of that matrix."""
        return super().__new__(cls, sp.ImmutableMatrix(matrix))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, columns = self.args[0].shape
        return columns, rows

    def doit(self, **_: object) -> sp.ImmutableMatrix:
        """The matrix worked out."""
        return sp.ImmutableMatrix(self.args[0].pinv())

    def _entry(self, i: int, j: int, **_: object) -> sp.Expr:
        return self.doit()[i, j]

    def _latex(self, printer) -> str:  # type: ignore[no-untyped-def]
        return rf"{printer._print(self.args[0])}^{{+}}"


def natural_column(information: sp.ImmutableMatrix, averaged: sp.ImmutableMatrix) -> sp.MatMul:
    """F⁺ times the averaged learning equations, as a product that is not worked out."""
    return sp.MatMul(PseudoInverse(information), sp.ImmutableMatrix(averaged), evaluate=False)


def natural_lines(g: Generic) -> tuple[Line, ...]:
    """Natural gradient learning, in the chart's Fisher information."""
    p = g.point
    left = rf"\frac{{d{p}}}{{d{g.time()}}}"
    return (Line(left, rf"\eta \, I_{p}^{{+}} \nabla_{p} L({p})"),)
