"""The mean log-likelihood never falls by more than rounding: ECM in any order, gradient EM.

Over charts, families and numbers of components; starts with gaps of zero and light weights, sample
weights over six orders of magnitude. The likelihood is that of the declared map and SciPy's
densities.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from relrep_sym.errors import DomainError
from tests.steps import MODELS, MORE, Stated, rounding, sample, start, stated

FEW = [
    ("normal, unit", "cleared", 3), ("normal", "plain", 2), ("poisson", "square", 3),
    ("normal, tied", "exp", 2), ("gamma", "weights cleared", 2), ("normal, unit", "stick", 5),
    ("exponential", "softplus", 4),
]  # fmt: skip
ALL = [
    (m, c, k)
    for m, c, k in itertools.product(MODELS, MORE, (2, 3, 4, 5))
    if not (m in ("normal, tied", "normal, unit") and c in ("scales in order", "every parameter"))
    and not (m == "normal, unit" and "log" in c)
    and not (m in ("poisson", "exponential") and c == "ordered, stick, log")
]


def climbs(case: Stated, seed: int, step, count: int = 3) -> None:
    """Steps in a row, each of which must not lower the likelihood."""
    rng = np.random.default_rng(seed)
    x, w = sample(case, rng, 40)
    coords = start(case, rng)
    before = case.log_likelihood(x, coords, w)
    for _ in range(count):
        slack = rounding(case, x, coords, w)
        try:
            coords = step(rng, x, coords, w)
        except DomainError as why:  # a scale that collapses, a component that is empty
            event(str(why).partition(";")[0].translate(str.maketrans("", "", "0123456789")))
            return
        after = case.log_likelihood(x, coords, w)
        assert after >= before - slack - rounding(case, x, coords, w), (
            f"{after - before} at {coords.tolist()}"
        )
        before = after


def orders(case: Stated, rng: np.random.Generator) -> list[object] | None:
    """The default order; single coordinates in any order, some left out; some joined in blocks."""
    names = [str(n) for n in rng.permutation(case.chart.names)]
    kind = rng.integers(0, 4)
    if kind == 0:
        return None
    if kind == 1:
        return list(names)
    if kind == 2:
        return list(names[: rng.integers(1, len(names) + 1)])
    cuts = sorted(set(rng.integers(1, len(names), 2).tolist()))
    blocks = np.split(np.array(names), cuts)
    return [tuple(str(n) for n in block) for block in blocks if block.size]


def by_ecm(case: Stated):
    def step(rng, x, coords, w):
        sweeps = int(rng.integers(1, 4))
        return case.module.ecm_step(x, coords, orders(case, rng), sweeps, weights=w)

    return step


def by_gradient(case: Stated):
    return lambda rng, x, coords, w: case.module.gradient_em_step(x, coords, weights=w)


seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=8)
@given(st.sampled_from(FEW), seeds)
def test_ecm_never_lowers_the_likelihood(cell, seed):
    case = stated(*cell)
    climbs(case, seed, by_ecm(case))


@given(st.sampled_from(FEW), seeds)
def test_gradient_em_never_lowers_the_likelihood(cell, seed):
    case = stated(*cell)
    climbs(case, seed, by_gradient(case))


@pytest.mark.slow
@pytest.mark.parametrize("cell", ALL, ids=str)
@settings(max_examples=20)
@given(seed=seeds)
def test_no_step_in_any_chart_lowers_the_likelihood(cell, seed):
    case = stated(*cell)
    climbs(case, seed, by_ecm(case))
    climbs(case, seed, by_gradient(case))
    climbs(case, seed, lambda rng, x, coords, w: case.module.em_step(x, coords, w))
