"""Ordered M-steps are isotonic regressions: held against SciPy, and against Q itself."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import isotonic_regression, minimize

import relrep_sym as rs
from relrep_sym.declare.family import Family, family_named
from relrep_sym.equations.em import shift_symbol, statistic_symbol, statistics_of
from relrep_sym.equations.isotonic import inverse_link, pull_of, regression
from relrep_sym.equations.joint import joint_step
from relrep_sym.equations.ordered_lines import gap_slope
from relrep_sym.equations.orders import find_orders

few = settings(max_examples=settings.default.max_examples // 12)
seeds = st.integers(0, 2**32 - 1)


def normal(**patterns: object) -> rs.Mixture:
    return rs.mixture("normal", components=4, weights="1/4", **patterns)


def logs(model: rs.Mixture, role: str, **options: object) -> rs.Chart:
    return rs.relative(rs.log(model, role), f"log_{role}", **options)


M1, MT, MS = normal(scales=[1, 2, "1/2", 1]), normal(scales="tied"), normal()
POISSON = rs.mixture("poisson", components=4, weights="1/4")
GAMMA = rs.mixture("gamma", components=4, weights="1/4", shapes=[1, 2, "1/2", 3])
CASES = {
    "means, fixed scales": (rs.relative(M1, "mu", clearance="1/3"), "mu"),
    "means, tied scale": (rs.relative(MT, "mu", clearance="1/2"), "mu"),
    "means, from the last": (rs.relative(M1, "mu", reference="last"), "mu"),
    "scales": (rs.relative(MS, "sigma"), "sigma"),
    "scales, fixed means": (rs.relative(normal(means=[0, 1, -1, 2]), "sigma"), "sigma"),
    "scales, a factor apart": (logs(MS, "sigma", clearance="1/4"), "sigma"),
    "rates": (rs.relative(POISSON, "rate"), "rate"),
    "rates, a factor apart": (logs(POISSON, "rate", clearance="1/5"), "rate"),
    "exponential": (
        rs.relative(rs.mixture("exponential", components=4, weights="1/4"), "rate"),
        "rate",
    ),
    "geometric": (
        rs.relative(rs.mixture("geometric", components=4, weights="1/4"), "prob"),
        "prob",
    ),
    "binomial": (
        rs.relative(rs.mixture("binomial", components=4, weights="1/4", trials=9), "prob"),
        "prob",
    ),
    "gamma scales": (rs.relative(GAMMA, "scale"), "scale"),
    "gamma scales, a factor apart": (logs(GAMMA, "scale", clearance="1/10"), "scale"),
}
each = pytest.mark.parametrize(("chart", "role"), CASES.values(), ids=CASES)


@dataclass
class Data:
    """A sample and what each component has of it: r (K, N), of total one."""

    x: np.ndarray
    r: np.ndarray

    @staticmethod
    def of(model: rs.Mixture, seed: int) -> Data:
        rng = np.random.default_rng(seed)
        x = rng.gamma(2.0, 2.0, 9) + 0.1
        if model.family.support == "line":
            x = rng.normal(0.0, 2.0, 9)
        elif model.family.discrete:
            x = np.minimum(np.floor(x), 9.0)
        r = rng.dirichlet(np.full(9, 0.5), model.components) + 1e-3
        r *= rng.dirichlet(np.ones(model.components))[:, None]
        return Data(x, r / r.sum())

    @property
    def mass(self) -> np.ndarray:
        return self.r.sum(axis=1)


@cache
def density(family: Family):  # type: ignore[no-untyped-def]
    return sp.lambdify((family.x, *family.symbols), family.log_density, "scipy")


def q(model: rs.Mixture, data: Data, rows: dict[str, np.ndarray]) -> float:
    """Q without the weights' part, from the family's log-density."""
    family = model.family
    f = density(family)
    values = [rows[p.name] for p in family.parameters]
    total = 0.0
    for k, share in enumerate(data.r):
        total += float(np.sum(share * f(data.x, *(v[k] for v in values))))
    return total


def fixed_rows(model: rs.Mixture) -> dict[str, np.ndarray]:
    out = {}
    for p, pattern in zip(model.family.parameters, model.patterns, strict=True):
        if not isinstance(pattern, str):
            out[p.name] = np.array([float(v) for v in pattern])
    return out


def solved(chart: rs.Chart, role: str, data: Data) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """All parameters after the derived step, and u."""
    model, family = chart.model, chart.model.family
    found = joint_step(chart)
    assert found.way == "ordered"
    (r,) = found.regressions
    assert not isinstance(r, str)
    rows = fixed_rows(model)
    location = family.location
    mass = data.mass
    means = data.r @ data.x / mass
    if location is not None and location.name not in rows and location.name != role:
        rows[location.name] = means  # its own maximiser, whatever the others are
    place = rows.get(location.name) if location is not None else None
    y = sp.Symbol("y", real=True)

    def statistic(k: int) -> float:
        """s_k with statistics about zero: the location itself is the shift from there."""
        put: dict[sp.Symbol, float] = {}
        for j, t in enumerate(statistics_of(family)[0], start=1):
            values = sp.lambdify(y, t, "numpy")(data.x)
            put[statistic_symbol(j)] = float(data.r[k] @ values / mass[k])
        if place is not None:
            put[shift_symbol(family)] = float(place[k])
        put |= {p.symbol: float(rows[p.name][k]) for p in family.parameters if p.name in rows}
        return float(r.pull.statistic.subs(put))

    totals = np.array([float(c) for c in r.order.totals])
    s = np.array([statistic(k) for k in range(model.components)])
    v = np.ones(model.components)
    for k in range(model.components):
        held = {p.symbol: rows[p.name][k] for p in family.parameters if p.name in rows}
        v[k] = float(r.pull.factor.subs(held).subs({p.symbol: 1 for p in family.parameters}))
    targets = s - totals if r.exponent is None else s * np.exp(-float(r.exponent) * totals)
    weights = mass * np.abs(v) * np.exp(float(r.tilt) * totals)
    u = isotonic_regression(targets, weights=weights, increasing=r.pull.rising).x
    inverse = sp.lambdify(sp.Symbol("u"), inverse_link(r.pull, sp.Symbol("u")), "numpy")
    phi = inverse(u)
    rows[role] = phi * np.exp(totals) if r.order.multiplicative else phi + totals
    for p, pattern in zip(family.parameters, model.patterns, strict=True):
        if pattern == "tied":  # the scale, jointly: Σ E[r_k (x − μ_k)²]
            square = sum(
                share @ (data.x - m) ** 2 for share, m in zip(data.r, rows["mu"], strict=True)
            )
            rows[p.name] = np.full(model.components, np.sqrt(square))
    return rows, u


def free_rows(chart: rs.Chart, role: str, rows: dict[str, np.ndarray]) -> list[str]:
    model = chart.model
    learned = {p.role for p in model.parameters}
    return [n for n in rows if n in learned]


@each
@few
@given(seeds)
def test_no_ordered_parameters_are_better(chart: rs.Chart, role: str, seed: int) -> None:
    """SciPy's constrained maximum of Q over everything that is learned is not above the step's."""
    model = chart.model
    data = Data.of(model, seed)
    rows, _ = solved(chart, role, data)
    (r,) = joint_step(chart).regressions
    assert not isinstance(r, str)
    room = np.array([float(c) for c in r.order.clearances])
    level = np.log(rows[role]) if r.order.multiplicative else rows[role]
    assert np.all(np.diff(level) >= room - 1e-9)
    best = q(model, data, rows)
    names = free_rows(chart, role, rows)
    rng = np.random.default_rng(seed)
    for size in (1e-5, 1e-2, 0.3):
        for _ in range(4):
            moved = {n: v.copy() for n, v in rows.items()}
            for n in names:
                step = size * rng.normal(size=model.components)
                if model.patterns[[p.name for p in model.family.parameters].index(n)] == "tied":
                    step[:] = step[0]
                real = model.family.parameter(n).domain.name == "real"
                moved[n] = moved[n] + step if real else moved[n] * np.exp(step)
                if n == role:  # back into order
                    at = np.log(moved[n]) if r.order.multiplicative else moved[n]
                    at = at[0] + np.concatenate([[0.0], np.cumsum(np.maximum(np.diff(at), room))])
                    moved[n] = np.exp(at) if r.order.multiplicative else at
            if model.family.parameter(role).domain.name == "unit" and moved[role].max() >= 1:
                continue
            assert q(model, data, moved) <= best + 1e-12 * max(1.0, abs(best))


@pytest.mark.parametrize("name", ["means, tied scale", "scales, a factor apart", "rates"])
@pytest.mark.parametrize("seed", range(2))
def test_a_general_solver_finds_the_same(name: str, seed: int) -> None:
    chart, role = CASES[name]
    model = chart.model
    data = Data.of(model, seed)
    rows, _ = solved(chart, role, data)
    theta = sp.lambdify(
        chart.symbols, [chart.unrolled[p.symbol] for p in model.parameters], "numpy"
    )
    kinds = [p.name for p in model.family.parameters]

    def loss(point: np.ndarray) -> float:
        values = dict(zip((p.symbol for p in model.parameters), theta(*point), strict=True))
        got = {
            n: np.array([float(values.get(e, 0) if e in values else e) for e in model.component(n)])
            for n in kinds
        }
        return -q(model, data, got)

    start = np.array([1.0 if c.domain.name != "real" else 0.1 for c in chart.coordinates])
    bounds = [
        (1e-8 if c.domain.name == "positive" else 0.0, None)
        if c.domain.lower == 0
        else (None, None)
        for c in chart.coordinates
    ]
    found = minimize(
        loss, start, bounds=bounds, method="L-BFGS-B", options={"maxiter": 500, "ftol": 1e-14}
    )
    assert -found.fun <= q(model, data, rows) + 1e-12
    assert -found.fun >= q(model, data, rows) - 1e-5


# ------------------------------------------------------------------------------ what is said


def test_the_pull_is_the_derivative_of_q() -> None:
    """N v h (s − g) is ∂Q/∂φ, for every family that has such a form."""
    for name in ("normal", "poisson", "exponential", "gamma", "geometric"):
        family = family_named(name)
        location = family.location
        for p in family.parameters:
            pull = pull_of(family, p.name)
            assert pull is not None
            x = sp.Symbol("x", positive=True)
            centre = location.symbol if location is not None else sp.Integer(0)
            f = family.log_density.subs(family.x, x)
            slope = pull.slope
            y = sp.Symbol("y", real=True)
            moved = location is not None and p is location
            shift = centre if location is not None else sp.Integer(0)
            back = {
                statistic_symbol(j): t.subs(y, x) for j, t in enumerate(statistics_of(family)[0], 1)
            }
            if location is not None and not moved:
                back[shift_symbol(family)] = shift
            assert sp.simplify(sp.diff(f, p.symbol) - slope.subs(back)) == 0


@pytest.mark.parametrize(
    ("chart", "says"),
    [
        (rs.relative(MS, "mu"), "only at given scales"),
        (
            rs.relative(MS, "sigma", clearance="1/2"),
            "not concave",
        ),
        (rs.relative(POISSON, "rate", clearance=1), "concave in them, but pooled"),
        (rs.relative(MS, ["mu", "sigma"]), "only at given means"),
    ],
)
def test_where_it_is_no_isotonic_regression_the_reason_is_given(chart: rs.Chart, says: str) -> None:
    found = joint_step(chart)
    assert found.way == "partly"
    assert says in found.reason


def test_with_an_additive_clearance_of_scales_q_is_not_concave() -> None:
    """σ_2 = σ_1 + c: along the boundary Q bends both ways."""
    s = sp.Symbol("s", positive=True)
    mass, square = (sp.Rational(1, 4), sp.Rational(3, 4)), (sp.Rational(1, 400), sp.Integer(400))
    c = sp.Rational(1, 10)
    whole = sum(
        n * (-sp.log(v) - t / (2 * v**2)) for n, t, v in zip(mass, square, (s, s + c), strict=True)
    )
    bend = sp.lambdify(s, sp.diff(whole, s, 2))
    assert bend(0.05) < 0 < bend(60.0)  # concave here, convex there


def test_the_multiplier_and_the_gap() -> None:
    """∂Q/∂Δ_k = −g′(Δ_k) ν_k with ν_k = Σ_{j ≤ k} ∂Q/∂μ_j; zero at a square's Δ = 0, whatever ν."""
    model = rs.mixture("normal", components=3, weights="1/3", scales=1)
    n, m = sp.symbols("n_1:4", positive=True), sp.symbols("m_1:4", real=True)
    for gap in ("plain", "square", "exp", "softplus"):
        chart = rs.relative(model, "mu", gap=gap, clearance="1/2")
        (order,) = find_orders(chart).orders
        means = [chart.unrolled[e] for e in model.component("mu")]
        whole = -sum(a * (b - v) ** 2 for a, b, v in zip(n, m, means, strict=True)) / 2
        pulls = [a * (b - v) for a, b, v in zip(n, m, means, strict=True)]
        first = sp.expand(sp.diff(whole, sp.Symbol("mu_1")))
        for k, (name, step) in enumerate(zip(order.gaps, order.steps, strict=True), start=1):
            gap_symbol = sp.Symbol(name)
            nu = sum(pulls[:k])
            slope = gap_slope(step, gap_symbol)
            left = sp.diff(whole, gap_symbol).rewrite(sp.exp)
            # with the reference at its maximum, where all pulls sum to zero
            assert sp.simplify(left + slope * nu - slope * first) == 0
            if gap == "square":
                assert sp.diff(whole, gap_symbol).subs(gap_symbol, 0) == 0


def test_regressions_know_what_they_hold() -> None:
    (order,) = find_orders(rs.relative(MS, "mu")).orders
    found = regression(MS, order, ("mu",))
    assert not isinstance(found, str)
    assert found.given == ("sigma",)
    assert not found.exact
