"""The error function's complement and what truncated densities need of it, to full accuracy.

In: arrays. Out: arrays, elementwise. Everything rests on erfcx(x) = exp(x²) erfc(x), which for
x ≥ 0 neither under- nor overflows, and on the two derivatives of −log erfcx, all as Chebyshev
sums in (x − 3)/(x + 3) on the half-line (Shepherd and Laframboise 1981). A test derives their
coefficients again.
"""

from __future__ import annotations

import math

import numpy as np

from relrep_sym.runtime.check import Array

__all__ = [
    "erf",
    "erfc",
    "erfc_bend",
    "erfc_excess",
    "erfc_hazard",
    "erfcx",
    "log_erfc",
    "log_erfcx",
]

_FACTOR = 2.0 / math.sqrt(math.pi)
_MIDDLE = 3.0
"""Where the variable of the Chebyshev sums is zero."""

# (1 + 2x) erfcx(x), (1 + x) e(x) and −(1 + x)² e′(x) for e = −d log erfcx/dx
_ERFCX = (
    1.17756257419656,
    0.005353904539615676,
    -0.09377550342284209,
    0.05436652555744322,
    -0.018976596707845208,
    0.004453426061462712,
    -0.0006335531710553147,
    1.7661719523171593e-05,
    1.2841532864056671e-05,
    -2.0072285659059913e-06,
    -1.807522790414837e-07,
    7.549828343825093e-08,
    1.885668523838603e-09,
    -2.699519049798364e-09,
    -1.460079119939105e-11,
    1.0361607445969489e-10,
    1.475715976623473e-12,
    -4.277340064396911e-12,
    -2.07922492859799e-13,
    1.8134502003176963e-13,
    1.973425574544739e-14,
    -7.287943737592673e-15,
    -1.5169878690228116e-15,
    2.3514112258781403e-16,
    1.0006111691821667e-16,
    -2.0572528169538546e-18,
    -5.608608218863183e-18,
    -5.546884725994431e-19,
    2.4432011577263517e-19,
)
_EXCESS = (
    1.1459850114493444,
    -0.10172831296117284,
    -0.0760702398750693,
    0.038639391529409726,
    -0.00634296153052008,
    -0.00106419738917686,
    0.0006561205052436495,
    -4.5122203520642585e-05,
    -3.988368349628857e-05,
    9.496566750996808e-06,
    1.5406448932543007e-06,
    -8.996501450628953e-07,
    2.65580115473207e-09,
    6.406034080727915e-08,
    -7.434333129312599e-09,
    -3.6534816829747583e-09,
    8.8436220699491e-10,
    1.565024429110101e-10,
    -7.306616805777395e-11,
    -3.0141260871806957e-12,
    4.845768462052353e-12,
    -2.905320556236608e-13,
    -2.589559253778745e-13,
    4.518599296205732e-14,
    9.811545802412779e-15,
    -3.9560699039627564e-15,
    -5.189544465157868e-17,
    2.6656734694412655e-16,
    -3.536049643421325e-17,
    -1.4288451007976992e-17,
    4.328142569845304e-18,
    5.45358659268095e-19,
)
_BEND = (
    1.1021034976326052,
    0.07921033660477728,
    -0.2511225018112414,
    0.06693624848988249,
    0.011535276396786186,
    -0.010304289645119926,
    0.001091359322940979,
    0.0008122752938495605,
    -0.0002537985040864321,
    -3.406820928633977e-05,
    2.860786078136889e-05,
    -1.0760272448743077e-06,
    -2.356033620133442e-06,
    3.902805317962861e-07,
    1.4922332955108412e-07,
    -4.8511257782463946e-08,
    -6.524072861763132e-09,
    4.3950586996211715e-09,
    4.408780375811458e-11,
    -3.218583858871307e-10,
    2.841650383462317e-11,
    1.9051776226690823e-11,
    -3.823987045430889e-12,
    -8.140453630976704e-13,
    3.3792183617781817e-13,
    8.560916430496245e-15,
    -2.3298484649771965e-14,
    2.9212476380297926e-15,
    1.247845932686529e-15,
    -4.074469421926954e-16,
    -4.2451380841329254e-17,
    3.6612797484267e-17,
    -6.655533046296841e-19,
    -2.5749708843241494e-18,
    2.7799498592285993e-19,
)


def _sum(coefficients: tuple[float, ...], x: Array) -> Array:
    """Σ c_n T_n((x − 3)/(x + 3)) for x ≥ 0, by Clenshaw's recurrence."""
    t = 1.0 - 2.0 * _MIDDLE / (x + _MIDDLE)
    one, two = np.zeros_like(t), np.zeros_like(t)
    for c in coefficients[:0:-1]:
        one, two = 2.0 * t * one - two + c, one
    return t * one - two + coefficients[0]


def _square_exponential(x: Array, sign: float) -> Array:
    """exp(± x²), with what rounding leaves of the square."""
    x = np.clip(x, -1e3, 1e3)  # beyond, it is 0 or infinite
    high = x.astype(np.float32).astype(float)  # its square is exact
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        rest = (x - high) * (x + high)
        return np.exp(sign * high * high) * np.exp(sign * rest)


def erfcx(x: Array) -> Array:
    """exp(x²) erfc(x), elementwise; infinite below −26.6.

    >>> erfcx(np.array([-1.0, 0.0, 1e10])).round(5)
    array([5.00898, 1.     , 0.     ])
    """
    x = np.asarray(x, dtype=float)
    size = np.abs(x)
    with np.errstate(over="ignore", invalid="ignore"):
        upper = _sum(_ERFCX, size) / (1.0 + 2.0 * size)
        return np.where(x >= 0.0, upper, 2.0 * _square_exponential(size, 1.0) - upper)


def erfc(x: Array) -> Array:
    """1 − erf(x), elementwise, to its digits until it underflows at 26.5.

    >>> float(erfc(np.array([5.0]))[0])
    1.5374597944280349e-12
    """
    x = np.asarray(x, dtype=float)
    size = np.abs(x)
    with np.errstate(under="ignore", invalid="ignore"):
        upper = _square_exponential(size, -1.0) * _sum(_ERFCX, size) / (1.0 + 2.0 * size)
    return np.where(x >= 0.0, upper, 2.0 - upper)


def erf(x: Array) -> Array:
    """The error function, elementwise.

    >>> erf(np.array([0.0, 1.0])).round(12)
    array([0.        , 0.84270079])
    """
    x = np.asarray(x, dtype=float)
    small = np.clip(x, -1.0, 1.0)
    square = small * small
    series = np.zeros_like(square)
    for n in range(20, -1, -1):
        series = series * -square / (n + 1.0) + 1.0 / (2 * n + 1.0)
    near = _FACTOR * small * series
    return np.where(np.abs(x) <= 1.0, near, np.copysign(1.0 - erfc(np.abs(x)), x))


def log_erfc(x: Array) -> Array:
    """log(1 − erf(x)), elementwise, to its digits: near its zero, and where erfc underflows.

    >>> log_erfc(np.array([100.0])).round(6)
    array([-10005.177585])
    """
    x = np.asarray(x, dtype=float)
    size = np.maximum(x, 0.5)
    with np.errstate(over="ignore", invalid="ignore"):
        far = np.log(_sum(_ERFCX, size) / (1.0 + 2.0 * size)) - size * size
    return np.where(x > 0.5, far, np.log1p(-erf(np.minimum(x, 0.5))))


def log_erfcx(x: Array) -> Array:
    """log erfcx(x) = x² + log erfc(x), elementwise, to its digits near its zero too.

    >>> log_erfcx(np.array([0.0, 100.0])).round(6)
    array([ 0.      , -5.177585])
    """
    x = np.asarray(x, dtype=float)
    size, small = np.maximum(x, 0.5), np.minimum(x, 0.5)
    with np.errstate(over="ignore", invalid="ignore"):
        far = np.log(_sum(_ERFCX, size) / (1.0 + 2.0 * size))
        return np.where(x > 0.5, far, np.log1p(-erf(small)) + small * small)


def erfc_hazard(x: Array) -> Array:
    """−d log erfc(x)/dx = 2/(√π erfcx(x)), elementwise; about 2x where x is large.

    >>> erfc_hazard(np.array([0.0, 100.0])).round(6)
    array([  1.128379, 200.009999])
    """
    return _FACTOR / erfcx(x)


def erfc_excess(x: Array) -> Array:
    """−d log erfcx(x)/dx = erfc_hazard(x) − 2x, elementwise; about 1/x where x is large.

    >>> erfc_excess(np.array([0.0, 100.0])).round(6)
    array([1.128379, 0.009998])
    """
    x = np.asarray(x, dtype=float)
    size = np.maximum(x, 0.0)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.where(x >= 0.0, _sum(_EXCESS, size) / (1.0 + size), erfc_hazard(x) - 2.0 * x)


def erfc_bend(x: Array) -> Array:
    """The derivative of :func:`erfc_excess`, elementwise; about −1/x² where x is large.

    >>> erfc_bend(np.array([0.0, 10.0])).round(4)
    array([-0.7268, -0.0097])
    """
    x = np.asarray(x, dtype=float)
    size = np.maximum(x, 0.0)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        inverse = 1.0 / (1.0 + size)
        upper = -_sum(_BEND, size) * inverse * inverse
        return np.where(x >= 0.0, upper, erfc_hazard(x) * erfc_excess(x) - 2.0)
