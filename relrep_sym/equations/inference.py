r"""The covariance of estimates: what is printed of it, and its value in SymPy.

In: a chart's Hessian, and the view where there is one. Out: lines, and the observed covariance
(−N H)⁻¹ as an inverse that is not worked out.
"""

from __future__ import annotations

from collections.abc import Sequence

import sympy as sp

from relrep_sym.equations.generic import Generic
from relrep_sym.equations.lines import Line

__all__ = ["covariance_lines", "observed_covariance"]


def covariance_lines(g: Generic, view: Sequence[str] | None = None) -> tuple[Line, ...]:
    r"""The four estimates in the chart, and the delta method to θ and to a view.

    >>> from relrep_sym.declare.chart import identity
    >>> from relrep_sym.declare.model import mixture
    >>> for line in covariance_lines(Generic(identity(mixture("poisson", components=2))))[:2]:
    ...     print(line.left, "=", line.right)
    C_{\mathrm{observed}} = \frac{1}{N} \left(-H_\lambda\right)^{-1}
    C_{\mathrm{expected}} = \frac{1}{N} I_\lambda^{-1}
    """
    point = g.point
    part, hessian = r"\frac{1}{N}", f"H_{point}"
    score = rf"\frac{{\partial \log p(x)}}{{\partial {point}}}"
    outer = rf"\operatorname{{E}}_q\left[{score} \left({score}\right)^{{\top}}\right]"
    lines = [
        Line(_kind("observed"), rf"{part} \left(-{hessian}\right)^{{-1}}"),
        Line(_kind("expected"), rf"{part} I_{point}^{{-1}}"),
        Line(_kind("opg"), rf"{part} \, {outer}^{{-1}}"),
        Line(_kind("sandwich"), rf"{part} {hessian}^{{-1}} \, {outer} \, {hessian}^{{-1}}"),
        Line(r"C_\theta", r"J C J^{\top}"),
    ]
    if view is not None:
        b = g.seen(view)
        lines.append(Line(f"C_{b}", rf"J_{b} C J_{b}^{{\top}}"))
    return tuple(lines)


def _kind(name: str) -> str:
    return rf"C_{{\mathrm{{{name}}}}}"


def observed_covariance(hessian: sp.ImmutableMatrix) -> sp.Inverse:
    """(−N H)⁻¹, not worked out; ``doit`` works it out.

    >>> observed_covariance(sp.ImmutableMatrix([[-4]])).doit()
    Matrix([[1/(4*N)]])
    """
    count = sp.Symbol("N", positive=True)
    return sp.Inverse(sp.ImmutableMatrix(-count * hessian))
