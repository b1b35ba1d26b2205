"""The error function's complement and its kin against mpmath."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from mpmath import mp

from relrep_sym.runtime import error_function as ours

UNIT = 2.0**-53


def erfcx(x):
    """By definition, or far out by its continued fraction."""
    if x < 25:
        return mpmath.exp(x * x) * mpmath.erfc(x)
    return 1 / (mpmath.sqrt(mp.pi) * (x + _tail(x)))


def _tail(x):
    """½/(x + 1/(x + (3/2)/(x + …)))."""
    f = x
    for n in range(60, 1, -1):
        f = x + mpmath.mpf(n) / 2 / f
    return mpmath.mpf(1) / 2 / f


def excess(x):
    if x < 25:
        return 2 / (mpmath.sqrt(mp.pi) * erfcx(x)) - 2 * x
    return 2 * _tail(x)


def bend(x):
    e = excess(x)
    return (e + 2 * x) * e - 2


def log_erfcx(x):
    return mpmath.log1p(-mpmath.erf(x)) + x * x if x < 1 else mpmath.log(erfcx(x))


FUNCTIONS = {
    "erf": mpmath.erf,
    "erfc": lambda x: mpmath.exp(-x * x) * erfcx(x) if x > 25 else mpmath.erfc(x),
    "erfcx": erfcx,
    "log_erfc": lambda x: log_erfcx(x) - x * x,
    "log_erfcx": lambda x: log_erfcx(x),
    "erfc_hazard": lambda x: 2 / (mpmath.sqrt(mp.pi) * erfcx(x)),
    "erfc_excess": excess,
    "erfc_bend": bend,
}


def sample(count):
    rng = np.random.default_rng(11)
    parts = [
        rng.uniform(-27, 30, count // 4),
        10 ** rng.uniform(-300, 6, count // 4),
        -(10 ** rng.uniform(-300, 1.4, count // 4)),
        rng.uniform(-1.5, 1.5, count // 4),
        [0.0, 0.5, -0.5, 1.0, -1.0, 26.5, -26.5, 3.0, 1e15, 1e100],
    ]
    return np.concatenate(parts)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("count", [400, pytest.param(100_000, marks=pytest.mark.slow)])
def test_it_is_right_to_a_few_units_everywhere(name, count):
    x = sample(count)
    exactly = FUNCTIONS[name]
    checked = 0
    for v, got in zip(x.tolist(), getattr(ours, name)(x).tolist(), strict=True):
        # what cancels at the far right is e = h − 2x, and then h e − 2
        with mpmath.workdps(60 + (4 * int(np.log10(1 + abs(v))) if v < 1e30 else 0)):
            if name == "erfc_bend" and v > 1e6:
                continue
            want = exactly(mpmath.mpf(v))
            if not 1e-290 < abs(want) < 1e300:
                continue
            checked += 1
            assert abs(got - want) <= 40 * UNIT * abs(want), v
    assert checked > len(x) // 2 or name in ("erf", "log_erfc", "log_erfcx")


@pytest.mark.parametrize("name", [n for n in FUNCTIONS if n != "log_erfcx"])
def test_the_ends_are_the_limits(name):
    limits = {
        "erf": (-1.0, 1.0),
        "erfc": (2.0, 0.0),
        "erfcx": (np.inf, 0.0),
        "log_erfc": (np.log(2.0), -np.inf),
        "erfc_hazard": (0.0, np.inf),
        "erfc_excess": (np.inf, 0.0),
        "erfc_bend": (-2.0, 0.0),
    }
    found = getattr(ours, name)(np.array([-1e300, 1e300]))
    assert np.allclose(np.clip(found, -1e200, 1e200), np.clip(limits[name], -1e200, 1e200))


@pytest.mark.parametrize(
    ("table", "function"),
    [
        (ours._ERFCX, lambda x: (1 + 2 * x) * erfcx(x)),
        (ours._EXCESS, lambda x: (1 + x) * excess(x)),
        (ours._BEND, lambda x: -((1 + x) ** 2) * bend(x)),
    ],
    ids=["erfcx", "excess", "bend"],
)
def test_the_chebyshev_coefficients_are_those_of_the_function(table, function):
    count = 80
    with mpmath.workdps(60):
        nodes = [mpmath.cos(mp.pi * (2 * j + 1) / (2 * count)) for j in range(count)]
        values = [function(3 * (1 + t) / (1 - t)) for t in nodes]
        for n, got in enumerate(table):
            terms = (
                v * mpmath.cos(n * mp.pi * (2 * j + 1) / (2 * count)) for j, v in enumerate(values)
            )
            want = (2 if n else 1) * mpmath.fsum(terms) / count
            assert abs(got - want) <= UNIT * abs(want) + mpmath.mpf("1e-22"), n
