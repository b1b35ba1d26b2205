"""Fits by EM: the likelihood never falls by more than rounding, whatever the chart and the sample.

Many starts at once, on samples with ties, outliers and weights over six orders of magnitude; the
history of each is the likelihood of the declared map and SciPy's densities.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.steps import Stated, rounding, sample, start, stated

FEW = [
    ("normal", "plain", 3), ("normal, tied", "square", 2), ("normal, unit", "softplus", 3),
    ("poisson", "identity", 4),
]  # fmt: skip
CELLS = [
    *FEW, ("normal", "identity", 5), ("normal", "log", 4), ("normal, tied", "exp", 3),
    ("normal", "softmax", 3), ("normal", "stick", 4), ("normal", "ordered, stick, log", 3),
    ("poisson", "cleared", 3), ("exponential", "plain", 5), ("gamma", "identity", 2),
]  # fmt: skip


def rough(case: Stated, rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """A sample in which points coincide, and some lie far out."""
    x, w = sample(case, rng, size)
    ties = rng.integers(0, size, size // 3)
    x[ties] = x[rng.integers(0, size, ties.size)]
    if rng.random() < 0.5:
        far = rng.integers(0, size, 2)
        x[far] = np.round(x[far] * 30.0) if case.chart.model.family.support == "integers" else (
            x[far] * 30.0
        )  # fmt: skip
    return x, w if rng.random() < 0.7 else np.ones(size)


def never_falls(case: Stated, seed: int, members: int = 4, steps: int = 5) -> None:
    """Each member's history ascends, and begins and ends at the likelihoods of its coordinates."""
    rng = np.random.default_rng(seed)
    x, w = rough(case, rng, 40)
    assume(len(np.unique(x)) >= len(case.chart.coordinates))
    starts = np.array([start(case, rng) for _ in range(members)])
    found = case.module.fit(x, starts, weights=w, tol=0.0, max_iter=steps)
    for member, fit in enumerate(found):
        slack = rounding(case, x, starts[member], w) + rounding(case, x, fit.coords, w)
        assert (np.diff(fit.history) >= -slack).all(), (fit.history, fit.reason)
        stopped = not fit.valid or any(s in fit.reason for s in ("rises", "rounding", "lowered"))
        assert fit.converged or fit.iterations == steps or stopped, fit.reason
        for coords, value in ((starts[member], fit.history[0]), (fit.coords, fit.history[-1])):
            expected = case.log_likelihood(x, coords, w)
            assert abs(value - expected) <= 64 * rounding(case, x, coords, w)


seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=25)
@given(st.sampled_from(FEW), seeds)
def test_a_fit_never_lowers_the_likelihood(cell, seed):
    never_falls(stated(*cell), seed)


@pytest.mark.slow
@pytest.mark.parametrize("cell", CELLS, ids=str)
@settings(max_examples=60)
@given(seed=seeds)
def test_no_fit_in_these_charts_lowers_the_likelihood(cell, seed):
    never_falls(stated(*cell), seed, steps=20)
