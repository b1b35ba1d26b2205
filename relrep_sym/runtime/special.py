"""Special functions that NumPy lacks."""

from __future__ import annotations

import math

import numpy as np

from relrep_sym.runtime.check import Array

__all__ = [
    "digamma",
    "digamma_difference",
    "gamma",
    "log_gamma",
    "log_gamma_ratio",
    "log_ratio",
    "stirling_remainder",
    "trigamma",
    "trigamma_difference",
]

_TABLE = 1 << 20

_POINTS, _MASSES = np.polynomial.legendre.leggauss(10)
_NODES, _WEIGHTS = 0.5 * (1.0 + _POINTS), 0.5 * _MASSES
"""Gauss-Legendre on (0, 1)."""

_ZERO, _ZERO_REST = 1.4616321449683622, 9.549995429965697e-17
"""The zero of digamma, and what is left of it beyond a double."""

_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)
_DIGAMMA = tuple(b / (2 * n) for n, b in enumerate(_BERNOULLI, start=1))[::-1]
_TRIGAMMA = _BERNOULLI[::-1]


_LARGEST = 2.5599833278516e305
"""Beyond it log Γ is more than a double holds."""


def log_gamma(x: Array) -> Array:
    """log Γ(x) for x > 0, elementwise; quick where x are integers below a million.

    It is infinite where it leaves double precision, beyond x = 2.56e305.

    >>> log_gamma(np.array([1.0, 5.0, 1e306])).round(12)
    array([0.        , 3.17805383,        inf])
    """
    if x.size > 64 and x.max() < _TABLE and (x == np.floor(x)).all():
        table = np.array([0.0, *map(math.lgamma, range(1, int(x.max()) + 1))])
        return table[x.astype(np.intp)]
    flat = [math.inf if v > _LARGEST else math.lgamma(v) for v in x.ravel().tolist()]
    return np.array(flat).reshape(x.shape)


def log_ratio(difference: Array, base: Array, whole: Array) -> Array:
    """log(whole/base) for positive numbers with whole = base + difference, all three as known.

    >>> log_ratio(np.array([1e-20]), np.array([1.0]), np.array([1.0]))
    array([1.e-20])
    """
    relative = difference / base
    near = np.abs(relative) < 0.5
    with np.errstate(over="ignore", divide="ignore"):
        far = np.log(whole / base)
    if not np.isfinite(far).all():  # the ratio left double precision; its logarithm has not
        far = np.where(np.isfinite(far), far, np.log(whole) - np.log(base))
    return np.where(near, np.log1p(np.where(near, relative, 0.0)), far)


def stirling_remainder(x: Array) -> Array:
    """log Γ(x + 1) − x log x + x for x ≥ 0: its large terms never meet, so that no digit is lost.

    >>> float(stirling_remainder(np.array([0.0, 1.0, 1e6]))[2].round(10))
    7.8266938955
    """
    small = np.minimum(x, 16.0)
    safe = np.maximum(small, 1e-290)
    direct = log_gamma(small + 1.0) - small * np.log(safe) + small
    large = np.maximum(x, 16.0)
    square = (1.0 / large) ** 2
    series = np.zeros_like(square)
    for coefficient in (
        -691 / 360360,
        1 / 1188,
        -1 / 1680,
        1 / 1260,
        -1 / 360,
        1 / 12,
    ):
        series = series * square + coefficient
    return np.where(
        x < 16.0, direct, 0.5 * (math.log(2.0 * math.pi) + np.log(large)) + series / large
    )


def log_gamma_ratio(difference: Array, base: Array, whole: Array) -> Array:
    """log Γ(whole) − log Γ(base) for positive numbers with whole = base + difference.

    Near each other it is the integral of digamma between them, which keeps the difference's digits.

    >>> log_gamma_ratio(np.array([1e-20]), np.array([1.0]), np.array([1.0])).round(22)
    array([-5.8e-21])
    """
    difference, base, whole = np.broadcast_arrays(difference, base, whole)
    near = np.abs(difference) < 0.5 * base
    step = np.where(near, difference, 0.0)
    total = np.zeros(difference.shape)
    for t, w in zip(_NODES, _WEIGHTS, strict=True):
        total += w * digamma(base + t * step)
    with np.errstate(invalid="ignore"):  # of two that overflow the difference is not known
        far = log_gamma(whole) - log_gamma(base)
    return np.where(near, step * total, far)


def digamma(x: Array) -> Array:
    """ψ(x) = d log Γ(x)/dx for x > 0, elementwise.

    Shifted beyond 10 by ψ(x) = ψ(x + 1) − 1/x, there by the asymptotic series (DLMF 5.11.2); near
    its zero by the integral of trigamma from it.

    >>> digamma(np.array([1.0, 10.0])).round(12)
    array([-0.57721566,  2.25175259])
    """
    x = np.asarray(x, dtype=float)
    shifted, below = _raised(x, 1)
    square = 1.0 / (shifted * shifted)
    series = np.zeros_like(square)
    for coefficient in _DIGAMMA:
        series = (series + coefficient) * square
    out = np.log(shifted) - 0.5 / shifted - series - below
    step = (x - _ZERO) - _ZERO_REST
    close = (step > -0.4) & (step < 0.9)
    if close.any():
        inside = np.where(close, step, 0.0)
        total = np.zeros_like(x)
        for t, w in zip(_NODES, _WEIGHTS, strict=True):
            total += w * trigamma(_ZERO + t * inside)
        out = np.where(close, inside * total, out)
    return out


def trigamma(x: Array) -> Array:
    """ψ′(x) for x > 0, elementwise: shifted beyond 10, there by its asymptotic series.

    >>> trigamma(np.array([1.0])).round(12)
    array([1.64493407])
    """
    x = np.asarray(x, dtype=float)
    shifted, below = _raised(x, 2)
    inverse = 1.0 / shifted
    square = inverse * inverse
    series = np.zeros_like(square)
    for coefficient in _TRIGAMMA:
        series = (series + coefficient) * square
    return below + inverse * (1.0 + 0.5 * inverse + series)


def _raised(x: Array, power: int) -> tuple[Array, Array]:
    """x + m beyond 10, and Σ 1/(x + i)^power over i < m, the largest terms last."""
    steps = np.clip(np.ceil(10.0 - x), 0.0, 10.0)
    below = np.zeros_like(x)
    with np.errstate(over="ignore", divide="ignore"):
        for i in range(int(steps.max(initial=0.0)) - 1, -1, -1):
            term = 1.0 / (x + i) ** power if power == 1 else 1.0 / ((x + i) * (x + i))
            below += np.where(i < steps, term, 0.0)
    return x + steps, below


def gamma(x: Array) -> Array:
    """Γ(x) for x > 0, elementwise; infinite beyond 171.6.

    >>> gamma(np.array([5.0, 200.0]))
    array([24., inf])
    """
    array = np.asarray(x, dtype=float)
    flat = [math.gamma(v) if v < 171.6 else math.inf for v in array.ravel().tolist()]
    return np.array(flat).reshape(array.shape)


def digamma_difference(difference: Array, base: Array, whole: Array) -> Array:
    """ψ(whole) − ψ(base) for positive numbers with whole = base + difference, all three as known.

    Term by term of the recurrence and of the asymptotic series, each a multiple of the difference.

    >>> digamma_difference(np.array([1e-20]), np.array([1.0]), np.array([1.0])).round(24)
    array([1.6449e-20])
    """
    low, high, step, below = _both_raised(difference, base, whole, 1)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        square, other = 1.0 / (low * low), 1.0 / (high * high)
        series = _divided(_DIGAMMA, square, other) * _step_of_squares(step, low, high)
        return log_ratio(step, low, high) + (0.5 * step / low / high - series) + below


def trigamma_difference(difference: Array, base: Array, whole: Array) -> Array:
    """ψ′(whole) − ψ′(base) as :func:`digamma_difference` has it.

    >>> trigamma_difference(np.array([1e-20]), np.array([1.0]), np.array([1.0])).round(24)
    array([-2.4041e-20])
    """
    low, high, step, below = _both_raised(difference, base, whole, 2)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        one, two = 1.0 / low, 1.0 / high
        square, other = one * one, two * two
        moved = -step * one * two  # of 1/z
        half = 0.5 * _step_of_squares(step, low, high)
        # z⁻¹ s(z⁻²): (a − b) s(a²) + b (s(a²) − s(b²))
        series = np.zeros_like(other)
        for coefficient in _TRIGAMMA:
            series = (series + coefficient) * other
        spread = _divided(_TRIGAMMA, square, other) * _step_of_squares(step, low, high)
        return below + moved + half + moved * series + one * spread


def _both_raised(
    difference: Array, base: Array, whole: Array, power: int
) -> tuple[Array, Array, Array, Array]:
    """Base and whole, both moved beyond 10 by one number of steps, and what the steps leave."""
    step, low, high = np.broadcast_arrays(
        *(np.asarray(a, dtype=float) for a in (difference, base, whole))
    )
    count = np.clip(np.ceil(10.0 - np.minimum(low, high)), 0.0, 10.0)
    below = np.zeros(step.shape)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        for i in range(int(count.max(initial=0.0)) - 1, -1, -1):
            a, b = low + i, high + i
            term = step / a / b  # 1/a − 1/b
            if power == 2:
                term = -term * (1.0 / a + 1.0 / b)
            below += np.where(i < count, term, 0.0)
    return low + count, high + count, step, below


def _step_of_squares(step: Array, low: Array, high: Array) -> Array:
    """1/high² − 1/low²."""
    return -(step / low / high) * (1.0 / low + 1.0 / high)


def _divided(coefficients: tuple[float, ...], square: Array, other: Array) -> Array:
    """(s(other) − s(square))/(other − square) for s(u) = Σ c_n uⁿ, n from 1, the last first."""
    value, slope = np.zeros_like(square), np.zeros_like(square)
    for c in coefficients:
        total = value + c
        value, slope = total * square, slope * other + total
    return slope
