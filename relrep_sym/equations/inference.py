r"""The covariance of estimates: what is printed of it, and its value in SymPy.

In: a chart's Hessian, and the view where there is one. Out: lines, and the observed covariance
(−n H)⁻¹ as an inverse that is not worked out.
"""

from __future__ import annotations

import sympy as sp

from relrep_sym.equations.lines import Line

__all__ = ["covariance_lines", "observed_covariance"]


def covariance_lines(viewed: bool = False) -> tuple[Line, ...]:
    r"""The four estimates in the chart, and the delta method to θ and to a view.

    >>> for line in covariance_lines()[:2]:
    ...     print(line.left, "=", line.right)
    @C_{\mathrm{observed}} = \frac{1}{@n} \left(-@H_@\lambda\right)^{-1}
    @C_{\mathrm{expected}} = \frac{1}{@n} @I_@\lambda^{-1}
    """
    part, hessian = r"\frac{1}{@n}", r"@H_@\lambda"
    score = r"\frac{\partial \log @p(@x)}{\partial @\lambda}"
    outer = rf"@E_@q\left[{score} \left({score}\right)^{{\top}}\right]"
    lines = [
        Line(_kind("observed"), rf"{part} \left(-{hessian}\right)^{{-1}}"),
        Line(_kind("expected"), rf"{part} @I_@\lambda^{{-1}}"),
        Line(_kind("opg"), rf"{part} \, {outer}^{{-1}}"),
        Line(_kind("sandwich"), rf"{part} {hessian}^{{-1}} \, {outer} \, {hessian}^{{-1}}"),
        Line(r"@C_@\theta", r"@J @C @J^{\top}"),
    ]
    if viewed:
        lines.append(Line("@C_@b", r"@J_@b @C @J_@b^{\top}"))
    return tuple(lines)


def _kind(name: str) -> str:
    return rf"@C_{{\mathrm{{{name}}}}}"


def observed_covariance(hessian: sp.ImmutableMatrix) -> sp.Inverse:
    """(−n H)⁻¹, n the size of the sample, not worked out; ``doit`` works it out.

    >>> observed_covariance(sp.ImmutableMatrix([[-4]])).doit()
    Matrix([[1/(4*n)]])
    """
    count = sp.Symbol("n", positive=True)
    return sp.Inverse(sp.ImmutableMatrix(-count * hessian))
