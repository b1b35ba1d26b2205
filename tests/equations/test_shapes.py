"""Shapes of Q: the slopes that they stand for are those of the families' own densities."""

import mpmath as mp
import numpy as np
import pytest
import sympy as sp

import relrep_sym as rs
from relrep_sym.equations.shapes import shape_of
from relrep_sym.errors import DerivationError

RNG = np.random.default_rng(1)
SAMPLES = {
    "normal": RNG.normal(0.7, 1.3, size=7),
    "laplace": RNG.normal(0.7, 1.3, size=7),
    "exponential": RNG.exponential(2.0, size=7),
    "gamma": RNG.gamma(2.0, 1.5, size=7),
    "poisson": RNG.poisson(4.0, size=7).astype(float),
    "geometric": RNG.geometric(0.3, size=7) - 1.0,
    "binomial": RNG.binomial(9, 0.4, size=7).astype(float),
}
CASES = [
    ("normal", "mu", {"scales": 2}, {"sigma": 2}),
    ("normal", "sigma", {}, {"mu": "best"}),
    ("normal", "sigma", {"means": [1, 0, 2]}, {"mu": 0}),
    ("laplace", "b", {"means": 0}, {"mu": 0}),
    ("exponential", "rate", {}, {}),
    ("gamma", "scale", {"shapes": "5/2"}, {"shape": 2.5}),
    ("poisson", "rate", {}, {}),
    ("geometric", "prob", {}, {}),
    ("binomial", "prob", {"trials": 9}, {}),
]


@pytest.mark.parametrize(("family", "role", "patterns", "others"), CASES)
def test_a_shapes_slope_is_the_mean_slope_of_the_log_density(family, role, patterns, others):
    model = rs.mixture(family, components=3, **patterns)
    shape = shape_of(model, role)
    x = SAMPLES[family]
    symbols = [p.symbol for p in model.family.parameters]
    log = sp.lambdify([model.family.x, *symbols], model.family.log_density, "mpmath")

    def mean(y):
        values = {role: y} | {k: mp.mpf(x.mean()) if v == "best" else v for k, v in others.items()}
        row = [values[p.name] for p in model.family.parameters]
        return sum(log(mp.mpf(v), *row) for v in x) / len(x)

    with mp.workdps(40):
        guess = {"mu": 0.5, "prob": 0.3}.get(role, 1.0)
        peak = mp.findroot(lambda y: mp.diff(mean, y), guess)
        factor = mp.mpf(str(sp.N(shape.factor, 30)))
        for y in (0.8 * peak, 1.1 * peak):
            slope = mp.diff(mean, y)
            if shape.kind == "location":
                ours = factor * (peak - y) / 4
            elif shape.kind == "power":
                p, q = (int(v) for v in shape.powers)
                alpha, beta = factor, factor
                if shape.of == "alpha":
                    beta = factor * peak ** (p - q)
                else:
                    alpha = factor * peak ** (q - p)
                ours = alpha * y**p - beta * y**q
            else:
                a = factor * peak if shape.of == "a+b" else factor
                ours = a / y - (a / peak - a) / (1 - y)
            assert abs(ours - slope) < mp.mpf(10) ** -15 * (1 + abs(slope))


@pytest.mark.parametrize(("scales", "beside"), [("free", "own"), ("tied", "tied"), (2, "fixed")])
def test_a_locations_shape_says_what_the_scale_is(scales, beside):
    assert shape_of(rs.mixture("normal", components=3, scales=scales), "mu").beside == beside


def test_a_users_own_family_is_seen_through():
    own = rs.family(
        "-(x - m)**2/(2*s**2) - log(s) - log(8*atan(1))/2",
        parameters={"m": "real", "s": "positive"},
        support="line",
    )
    assert shape_of(rs.mixture(own, components=3), "m").kind == "location"
    assert shape_of(rs.mixture(own, components=3), "s").powers == (-3, -1)


@pytest.mark.parametrize(
    ("family", "role", "patterns"),
    [("laplace", "mu", {}), ("gamma", "scale", {}), ("normal", "sigma", {"means": "tied"})],
)
def test_what_is_not_solved_exactly_is_said_to_be_so(family, role, patterns):
    with pytest.raises(DerivationError, match=role):
        shape_of(rs.mixture(family, components=3, **patterns), role)
