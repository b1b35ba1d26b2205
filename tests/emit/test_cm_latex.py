"""Conditional steps over gaps: what is printed, read back as numbers, is the maximum of Q."""

from __future__ import annotations

import numpy as np
import pytest

import relrep_sym as rs
from relrep_sym.declare.symbols import latex_name
from tests.emit.reading import World, lines_of


@pytest.mark.parametrize("components", [2, 3, 4, 5])
@pytest.mark.parametrize("reference", ["first", "last"])
@pytest.mark.parametrize("gap", ["plain", "square"])
def test_a_printed_gap_is_the_vertex_of_q(components: int, reference: str, gap: str) -> None:
    """Q is a parabola in a gap's value h, which moves every mean beyond it."""
    model = rs.mixture("normal", components=components)
    chart = rs.relative(model, "mu", gap=gap, reference=reference)
    rng = np.random.default_rng(components)
    x, w = rng.normal(0, 2, 40), rng.dirichlet(np.ones(40))
    r = rng.dirichlet(np.ones(components), 40).T
    mu, sigma = np.sort(rng.normal(0, 2, components)), rng.uniform(0.5, 2, components)
    present = np.diff(mu)
    world = World(x, w, lambda *_: x, x, list(r))
    for k in range(components):
        world.let(latex_name(f"mu_{k + 1}"), mu[k])
        world.let(latex_name(f"sigma_{k + 1}"), sigma[k])
    for k, h in enumerate(present):
        world.let(latex_name(f"Delta_{k + 1}"), h if gap == "plain" else np.sqrt(h))

    def q(moved: np.ndarray) -> float:
        return float(-np.sum(w * r * ((x - moved[:, None]) / sigma[:, None]) ** 2) / 2)

    found = {}
    for line in lines_of(rs.derive(model, chart).latex("cm_steps")):
        for place in line.places() if "block" not in line.where else ():
            if line.left in ("N_k", "m_k", "w_k"):
                world.names[world.key(line.left, **place)] = world.read(line.right, **place)
            elif line.left.startswith((r"\hat", r"\widehat")):
                found[place.get("k", 1)] = float(world.read(line.right, **place))
    assert sorted(found) == list(range(1, components))
    for k, value in found.items():
        beyond = np.arange(components) >= k
        side = beyond.astype(float) if reference == "first" else -1.0 * ~beyond
        low, mid, high = (q(mu + t * side) for t in (-1.0, 0.0, 1.0))
        vertex = present[k - 1] + 0.5 * (high - low) / (2 * mid - low - high)
        assert value == pytest.approx(vertex, rel=1e-12)
