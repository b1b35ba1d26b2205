"""The printed second derivatives: in every module the Hessian is the derivative of the score."""

from __future__ import annotations

import ast

import numpy as np
import pytest

from tests.emit.modules import CASES, compiled, source

LINEAR = {
    "one": False,
    "viewed": True,
    "relative3": True,
    "tied8": True,
    "many": True,
    "vuw": False,
}


@pytest.mark.parametrize("name", CASES)
def test_the_printed_hessian_is_the_derivative_of_the_printed_score(name: str) -> None:
    module, coords = compiled(name), np.array(CASES[name].point, dtype=float)
    rng = np.random.default_rng(0)
    counts = "rate_1" in (*module.PARAMETERS, *module.FIXED) or module.PARAMETERS == ("rate",)
    x = rng.integers(0, 8, 40).astype(float) if counts else rng.normal(0, 1.5, 40)

    def moved(j: int, step: float) -> np.ndarray:
        there = coords.copy()
        there[j] += step
        return module.score(x, there)

    columns = []
    for j, c in enumerate(coords):
        h = 2e-4 * max(0.1, abs(c))
        near, far = moved(j, h) - moved(j, -h), moved(j, 2 * h) - moved(j, -2 * h)
        columns.append((8 * near - far) / (12 * h))
    found = module.hessian(x, coords)
    size = np.abs(found).max()
    np.testing.assert_allclose(found, np.array(columns), rtol=1e-6, atol=1e-8 * max(1.0, size))
    assert (found == found.T).all()


@pytest.mark.parametrize("name", LINEAR)
def test_a_curvature_term_is_printed_only_where_there_is_one(name: str) -> None:
    printed = {s.name for s in ast.parse(source(name)).body if isinstance(s, ast.FunctionDef)}
    assert {"_second", "_contrast", "hessian", "averaged_hessian"} <= printed
    assert ("_bend" not in printed) is LINEAR[name]
