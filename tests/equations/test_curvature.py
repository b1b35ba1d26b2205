"""A chart's curvature: second derivatives of its map, weighted by adjoints, along a direction."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

from relrep_sym.declare.chart import Chart, identity
from relrep_sym.declare.charts import relative
from relrep_sym.declare.model import mixture
from relrep_sym.declare.own_map import chart
from relrep_sym.declare.symbols import Parameter
from relrep_sym.equations.curvature import adjoint, curvature
from tests.equations.test_program import CURVED, MAPS, TRIANGULAR, charts

FREE = mixture("normal", 2)
CASES = {
    **{f"{name} 3": c for name, c in charts(3).items()},
    **{f"{name} 5": c for name, c in charts(5).items() if name in ("square", "both", "tied")},
    **MAPS,
    "triangular": chart(FREE, TRIANGULAR, domains={"s": "positive"}),
    "curved": chart(FREE, CURVED),
}
LINEAR = ("identity 3", "relative 3", "relative with clearance 3")


def run(found, values):
    """The results of a program at numbers for its inputs, in order of its steps."""
    known = dict(values)
    for symbol, value in found.steps:
        known[symbol] = sp.N(value.xreplace(known), 30)
    return [sp.N(r.xreplace(known), 30) for r in found.results]


def unrolled(made):
    """Each target of the program in coordinates alone, those that are no entry of θ too."""
    out = {}
    for target, rule in made.program:
        out[target] = rule.xreplace(out)
    return out


def points(made, seed=0):
    rng = np.random.default_rng(seed)
    return {
        s: sp.Float(v, 30) for s, v in zip(made.symbols, rng.uniform(0.3, 0.9, 99), strict=False)
    }


def expected(made, bars, direction, at):
    """Σ_i bar_i Σ_m ∂²θ_i/∂λ_j∂λ_m t_m by SymPy's own second derivatives of the unrolled maps."""
    maps = unrolled(made)
    total = sum(bar * maps[p.symbol] for p, bar in zip(made.model.parameters, bars, strict=True))
    slope = sum(t * sp.diff(total, s) for s, t in zip(made.symbols, direction, strict=True))
    return [sp.N(sp.diff(slope, s).xreplace(at), 30) for s in made.symbols]


def insist_equal(made, seed=0):
    found, at = curvature(made), points(made, seed)
    rng = np.random.default_rng(seed + 1)
    bars = [sp.Float(v, 30) for v in rng.normal(size=len(made.model.parameters))]
    direction = [sp.Float(v, 30) for v in rng.normal(size=len(made.symbols))]
    values = {**at, **{t: v.xreplace(at) for t, v in unrolled(made).items()}}
    values |= {adjoint(p.name): b for p, b in zip(made.model.parameters, bars, strict=True)}
    values |= dict(zip(found.directions, direction, strict=True))
    for value, reference in zip(
        run(found, values), expected(made, bars, direction, at), strict=True
    ):
        assert abs(value - reference) <= 1e-20 * (1 + abs(reference))


@pytest.mark.parametrize("name", CASES)
def test_it_is_the_second_derivative_of_the_map_along_a_direction(name):
    insist_equal(CASES[name])


@pytest.mark.parametrize("name", CASES)
def test_it_vanishes_exactly_for_linear_charts(name):
    made = CASES[name]
    bent = any(sp.diff(e, a, b) != 0 for e in made.unrolled.values()
               for a in made.symbols for b in made.symbols)  # fmt: skip
    assert curvature(made).vanishes is not bent
    assert not (bent and name in LINEAR)


def test_targets_that_are_no_entry_of_the_model_carry_curvature_too():
    """μ_2 = exp(s), μ_1 = s·t + s² with s = a·b no parameter: a program with an inner target."""
    model = mixture("normal", 2, scales=1, weights="1/2")
    a, b, t = sp.symbols("a b t")
    inner = Parameter("inner")
    plain = chart(model, {"mu_1": "a*b*t + (a*b)**2", "mu_2": "exp(a*b)"})
    program = (
        (inner, a * b),
        (Parameter("mu_1"), inner * t + inner**2),
        (Parameter("mu_2"), sp.exp(inner)),
    )
    made = Chart(model, plain.coordinates, program, plain.title)
    assert made.symbols == (a, b, t)
    insist_equal(made)


def length(components):
    """How many operations one direction costs."""
    model = mixture("normal", components)
    found = curvature(relative(model, ["mu", "sigma"], gap="square"))
    return sum(sp.count_ops(e) for e in (*(e for _, e in found.steps), *found.results))


def test_a_direction_costs_no_more_than_linearly_many_operations():
    five, ten, twenty = map(length, (5, 10, 20))
    assert twenty - ten == 2 * (ten - five)


def test_identity_has_none():
    assert curvature(identity(FREE)).results == (0,) * 5
