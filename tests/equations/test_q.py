"""Q is E[log p(x, z)] under the posterior of z, and not E[log p(x)]."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import sympy as sp

import relrep_sym as rs
from relrep_sym.declare.functions import spelled_out
from relrep_sym.equations.nodes import Expectation
from tests.emit.reading import number

NORMAL = rs.mixture("normal", components=3)
CHARTS = {
    "identity": rs.identity(NORMAL),
    "relative": rs.relative(NORMAL, "mu", gap="square", clearance="1/3"),
    "softmax": rs.relative(NORMAL, ["mu", "sigma"], gap="exp") @ rs.softmax(NORMAL),
    "poisson": rs.log(rs.mixture("poisson", components=3), "rate"),
    "fixed weights": rs.relative(rs.mixture("normal", components=3, weights="1/3"), "mu"),
    "gamma": rs.identity(rs.mixture("gamma", components=3, shapes=[1, 2, 3], scales="tied")),
}
each = pytest.mark.parametrize("chart", CHARTS.values(), ids=CHARTS)


class World:
    """A sample, present coordinates and new ones, numerically."""

    def __init__(self, chart: rs.Chart, seed: int = 3) -> None:
        rng = np.random.default_rng(seed)
        self.chart, self.d = chart, rs.derive(chart.model, chart)
        self.x = np.abs(rng.normal(2.0, 1.5, 40)) + 0.1
        if chart.model.family.discrete:
            self.x = np.floor(self.x * 2)
        self.w = rng.dirichlet(np.ones(40))
        self.now, self.new = (self.somewhere(rng) for _ in range(2))
        self.theta = self.model(self.now)

    def somewhere(self, rng: np.random.Generator) -> dict[sp.Symbol, float]:
        unit = {c.name for c in self.chart.coordinates if c.domain.name == "unit"}
        return {
            s: float(rng.uniform(0.15, 0.3) if s.name in unit else rng.uniform(0.3, 1.2))
            for s in self.chart.symbols
        }

    def model(self, at: dict[sp.Symbol, float]) -> dict[sp.Symbol, float]:
        return {t: float(sp.N(e.xreplace(at))) for t, e in self.chart.unrolled.items()}

    def value(self, e: sp.Basic, new: dict[sp.Symbol, float]) -> float:
        return float(number(spelled_out(e), {**self.theta, **new}, self.x, self.w))

    def likelihood(self, at: dict[sp.Symbol, float]) -> float:
        whole = Expectation(self.d.record.log_density, self.d.record.x, sp.Symbol("q"))
        return float(number(whole, self.model(at), self.x, self.w))


@cache
def world_of(chart: rs.Chart) -> World:
    return World(chart)


@each
def test_the_slope_of_q_at_the_present_point_is_the_score(chart: rs.Chart) -> None:
    """Fisher's identity: ∂Q(λ⁺ | λ)/∂λ⁺ at λ⁺ = λ is ∂L/∂λ."""
    world = world_of(chart)
    q = world.d.q.value
    score = world.d.compile().score(world.x, [world.now[s] for s in chart.symbols], world.w)
    slopes = [world.value(sp.diff(q, s), world.now) for s in chart.symbols]
    np.testing.assert_allclose(slopes, score, rtol=1e-9, atol=1e-10)


@each
def test_q_rises_no_more_than_the_likelihood(chart: rs.Chart) -> None:
    """L(λ⁺) − L(λ) ≥ Q(λ⁺ | λ) − Q(λ | λ), with equality only at λ (Gibbs)."""
    world = world_of(chart)
    q = world.d.q.value
    rise = world.value(q, world.new) - world.value(q, world.now)
    assert world.likelihood(world.new) - world.likelihood(world.now) > rise


@each
def test_q_is_not_the_mean_of_log_p_of_x(chart: rs.Chart) -> None:
    """Esser and Nielsen (2022), Algorithm 1, line 5: E[log p(x)] is L whatever z is; Q is less.

    At λ⁺ = λ they differ by the entropy of the responsibilities.
    """
    world = world_of(chart)
    q = world.value(world.d.q.value, world.now)
    record = world.d.record
    r = [number(e, world.theta, world.x, world.w) for e in record.responsibilities]
    entropy = -float(sum(world.w @ (v * np.log(v)) for v in r))
    assert entropy > 0.01
    np.testing.assert_allclose(q + entropy, world.likelihood(world.now), rtol=1e-11)


def test_the_printed_q_names_what_is_new() -> None:
    text = rs.derive(NORMAL, name="n").q.latex()
    assert r"\label{eq:n:q}" in text
    assert r"Q(\lambda^+ \mid \lambda)" in text
    assert r"\sum_{k=1}^3 N_k \log \pi_k^+" in text
    assert r"r_k(x) \log f(x \mid \mu_k^+, \sigma_k^+)" in text
