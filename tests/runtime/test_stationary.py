"""Where a climb of Q ends: never at a saddle or an inflection, never on the way to no maximum."""

from __future__ import annotations

import itertools
import warnings
from functools import cache
from typing import Any

import numpy as np
import pytest
import sympy as sp

import relrep_sym as rs
from relrep_sym.errors import ChartWarning, DomainError

X = np.array([-3.1, -2.6, -2.2, -0.4, 0.3, 1.1, 1.9, 2.2, 2.8, 3.6])
BENT = {
    "cube": "c**3",  # an inflection at zero
    "fifth": "c**5",
    "wave": "c + sin(c)",  # inflections at every odd π
    "turned": "c**3 - 3*c",  # a maximum and a minimum of the map itself
    "square": "c**2 - 6",
}


@cache
def bent(map_: str, patterns: tuple[tuple[str, Any], ...]) -> Any:
    """μ_2 behind a map whose slope vanishes somewhere; everything else is a coordinate itself."""
    model = rs.mixture("normal", 2, **dict(patterns))
    rules = {"pi_1": "w", "mu_1": "a", "mu_2": BENT[map_]}
    rules |= {n: n for n in model.names if n.startswith("sigma")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ChartWarning)
        return rs.derive(model, rs.chart(model, rules), name="bent").compile()


@cache
def straight(patterns: tuple[tuple[str, Any], ...]) -> Any:
    model = rs.mixture("normal", 2, **dict(patterns))
    return rs.derive(model, rs.identity(model), name="straight").compile()


def flat_points(map_: str) -> list[float]:
    """Where the map has no slope, and places so near that Newton's method would creep."""
    c = sp.Symbol("c", real=True)
    slope = sp.lambdify(c, sp.sympify(BENT[map_], locals={"c": c}).diff(c))
    grid = np.linspace(-4, 4, 160001)
    values = np.abs(slope(grid)) + 0.0 * grid
    low = (values[1:-1] <= values[:-2]) & (values[1:-1] <= values[2:]) & (values[1:-1] < 1e-3)
    places = np.round(grid[1:-1][low], 3)
    return [float(p + d) for p in sorted(set(places)) for d in (0.0, 1e-7, -1e-7, 1e-3, -1e-3)]


PATTERNS = ((("scales", 1),), (("scales", "tied"),), ())


@pytest.mark.parametrize("patterns", PATTERNS, ids=["unit", "tied", "own"])
@pytest.mark.parametrize("map_", ["cube", "fifth", "wave", "turned"])
def test_an_em_step_leaves_inflections_of_the_map(map_: str, patterns: Any) -> None:
    """The maps reach every μ: the step is that of the chart of θ, wherever it begins."""
    module, known = bent(map_, patterns), straight(patterns)
    for c in flat_points(map_):
        scales = [1.0] * (len(module.COORDINATES) - 3)
        by_name = {"w": 0.4, "a": 2.5, "c": c} | dict(
            zip([n for n in module.COORDINATES if n.startswith("sigma")], scales, strict=True)
        )
        start = np.array([by_name[n] for n in module.COORDINATES])
        theta = module.to_model(start)
        want = known.em_step(X, known.from_model(theta), full_output=True)
        for step in (
            module.em_step(X, start, full_output=True),
            module.ecm_step(X, start, order=[module.COORDINATES], full_output=True),
        ):
            assert step.gain == pytest.approx(want.gain, rel=1e-9), (c, step)
            found = module.to_model(step.coords)
            np.testing.assert_allclose(found, known.to_model(want.coords), rtol=1e-5, atol=1e-7)
        one = module.ecm_step(X, start, order=["c"], full_output=True)
        alone = known.ecm_step(X, known.from_model(theta), order=["mu_2"], full_output=True)
        assert one.gain == pytest.approx(alone.gain, rel=1e-9, abs=1e-14), (c, one)


def test_a_square_gap_that_is_zero_is_left_where_q_rises_with_it() -> None:
    """Q is stationary in Δ at Δ = 0 whatever its slope in Δ² is."""
    module, known = bent("square", (("scales", 1),)), straight((("scales", 1),))
    for w, a in itertools.product((0.2, 0.5), (-2.0, 0.0, 3.0)):
        start = np.array([{"w": w, "a": a, "c": 0.0}[n] for n in module.COORDINATES])
        want = known.em_step(X, known.from_model(module.to_model(start)), full_output=True)
        assert want.coords[list(known.COORDINATES).index("mu_2")] > -6
        step = module.em_step(X, start, full_output=True)
        assert step.gain == pytest.approx(want.gain, rel=1e-9)


@pytest.mark.parametrize(("map_", "way"), [
    ("-exp(c)", "falls without end"), ("1/c", "grows without end"), ("-6 - 1/(1 + c**2)", "end"),
])  # fmt: skip
def test_where_no_maximum_is_attained_the_coordinate_is_named(map_: str, way: str) -> None:
    """μ_2 tends to an end of the map's image, from near and from far."""
    model = rs.mixture("normal", 2, scales=1)
    rules = {"pi_1": "w", "mu_1": "a", "mu_2": map_}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ChartWarning)
        chart = rs.chart(model, rules, domains={"c": "positive"} if map_ == "1/c" else None)
        module = rs.derive(model, chart, name="endless").compile()
    x = np.abs(X) + 1.0 if map_ == "-exp(c)" else -np.abs(X) - 1.0
    for c in (0.5, 3.0) if map_ != "-exp(c)" else (0.5, -5.0, -20.0, -30.0):
        start = np.array([{"w": 0.4, "a": float(x.mean()), "c": c}[n] for n in module.COORDINATES])
        with pytest.raises(DomainError, match=f"no maximum in the chart: it rises while c.*{way}"):
            module.em_step(x, start)
