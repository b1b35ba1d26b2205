"""Tiny samples, duplicates and constant data: numbers or the package's errors, never a warning.

Every textbook family, every step and fit: what NumPy would warn of is either said by the step or
does not happen, and no finite input gives a NaN.
"""

from __future__ import annotations

import contextlib
import warnings
from typing import Any

import numpy as np
import pytest

from relrep_sym.errors import FitWarning, RelrepError
from tests.textbook import FAMILIES, coordinates, kernel, sample

QUICK = ("normal", "poisson", "geometric", "weibull", "exponential", "lognormal")
STEPS = ("em_step", "ecm_step", "gradient_em_step")


def tiny(name: str, components: int) -> list[np.ndarray]:
    """One to six points, each twice, one point many times, and a cluster with its outliers."""
    pool = sample(name, components, 40)
    rng = np.random.default_rng(1)
    some = [rng.choice(pool, n) for n in (1, 2, 3, 6)]
    return [
        *some,
        np.repeat(pool[:3], 2),
        np.repeat(pool[:1], 4),
        np.repeat(pool.min(), 3),
        np.concatenate([pool[-3:], np.repeat(pool[:1], 5)]),
    ]


def sound(found: Any) -> bool:
    parts = [found.coords, getattr(found, "gain", 0.0), getattr(found, "residual", 0.0)]
    return all(np.isfinite(part).all() for part in parts)


@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in FAMILIES]
)
def test_small_samples_give_numbers_or_errors(name: str) -> None:
    components = min(2, FAMILIES[name].most)
    module, coords = kernel(name, components), coordinates(name, components)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", FitWarning)
        for x in tiny(name, components):
            for step in STEPS:
                try:
                    assert sound(getattr(module, step)(x, coords, full_output=True)), (step, x)
                except RelrepError:
                    continue
            try:
                found = module.fit(x, coords, max_iter=5)
            except RelrepError:
                continue
            assert sound(found), x
            assert np.isfinite(found.history).all()


@pytest.mark.parametrize("unit", [1e-150, 1e-30, 1e30, 1e150])
@pytest.mark.parametrize("name", ["normal", "exponential", "gumbel_max", "student3"])
def test_extreme_units_give_numbers_or_errors(name: str, unit: float) -> None:
    """The sample in other units, the coordinates as they were: far off, but finite."""
    module, coords = kernel(name, 2), coordinates(name, 2)
    x = unit * sample(name, 2, 20)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", FitWarning)
        for step in STEPS:
            try:
                assert sound(getattr(module, step)(x, coords, full_output=True))
            except RelrepError:
                continue
        with contextlib.suppress(RelrepError):
            assert sound(module.fit(x, coords, max_iter=3))
