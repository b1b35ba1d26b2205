r"""Natural gradient learning: dλ/dt = η F⁺ ∇_λ L.

In: the chart's Fisher information and its averaged score. Out: the value and the printed lines.
"""

from __future__ import annotations

import sympy as sp

from relrep_sym.equations.lines import Line, rate_left

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


def natural_lines() -> tuple[Line, ...]:
    """Natural gradient learning, in the chart's Fisher information."""
    right = r"@\eta \, @I_@\lambda^{\dagger} \nabla_@\lambda @L(@\lambda)"
    return (Line(rate_left(r"@\lambda"), right),)
