r"""Natural gradient learning: dλ/dt = η F† ∇_λ L, F† the pseudo-inverse of F.

In: the chart's Fisher information and its averaged score. Out: the value and the printed lines.
"""

from __future__ import annotations

import sympy as sp
from sympy.printing.pretty.stringpict import prettyForm

from relrep_sym.equations.lines import Line, rate_left
from relrep_sym.equations.nodes import Expectation

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
        """The matrix worked out, means as symbols of which nothing is known."""
        matrix = self.args[0]
        means = sorted(matrix.atoms(Expectation), key=sp.default_sort_key)
        known = {e: sp.Dummy(real=True) for e in means}
        found = matrix.xreplace(known).pinv()
        return sp.ImmutableMatrix(found.xreplace({d: e for e, d in known.items()}))

    def _entry(self, i: int, j: int, **_: object) -> sp.Expr:
        return self.doit()[i, j]

    def _latex(self, printer) -> str:  # type: ignore[no-untyped-def]
        return rf"{printer._print(self.args[0])}^{{\dagger}}"

    def _sympystr(self, printer) -> str:  # type: ignore[no-untyped-def]
        return f"PseudoInverse({printer._print(self.args[0])})"

    def _pretty(self, printer) -> prettyForm:  # type: ignore[no-untyped-def]
        dagger = "†" if printer._use_unicode else "dagger"
        return printer._print(self.args[0]) ** prettyForm(dagger)


class Unworked(sp.MatMul):
    """A product of matrices that nothing works out but ``doit``, a printer neither."""

    def could_extract_minus_sign(self) -> bool:
        """No: SymPy would work the product out to see."""
        return False


def natural_column(information: sp.ImmutableMatrix, averaged: sp.ImmutableMatrix) -> Unworked:
    """F† times the averaged learning equations, as a product that is not worked out."""
    return Unworked(PseudoInverse(information), sp.ImmutableMatrix(averaged), evaluate=False)


def natural_lines() -> tuple[Line, ...]:
    """Natural gradient learning, in the chart's Fisher information."""
    right = r"@\eta \, @I_@\lambda^{\dagger} \nabla_@\lambda @L(@\lambda)"
    return (Line(rate_left(r"@\lambda"), right),)
