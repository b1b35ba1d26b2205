"""The way of a joint M-step is what it says: mapped, in the coordinates, a polynomial, or none."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import sympy as sp
from scipy.optimize import minimize, minimize_scalar

import relrep_sym as rs
from relrep_sym.declare.functions import spelled_out
from relrep_sym.declare.symbols import Parameter
from relrep_sym.equations.joint import entry_symbol, joint_step, profile_of
from relrep_sym.equations.orders import find_orders
from relrep_sym.equations.program import find_inverse


@cache
def normal(count: int) -> rs.Mixture:
    return rs.mixture("normal", components=count)


def full(count: int) -> list[list[int]]:
    """An invertible matrix that is no triangle."""
    return [
        [2, *(0,) * (count - 2), 1],
        *([int(j <= i) for j in range(count)] for i in range(1, count)),
    ]


UNCONSTRAINED = {
    "identity": lambda m: rs.identity(m),
    "log": lambda m: rs.log(m, "sigma"),
    "softmax": lambda m: rs.softmax(m),
    "stick breaking": lambda m: rs.stick_breaking(m),
    "affine": lambda m: rs.affine(m, full(m.components), 1, parameter="mu"),
    "composed": lambda m: rs.log(rs.stick_breaking(m), "sigma"),
}
INSIDE = {
    "relative": lambda m: rs.relative(m, "mu", clearance="1/3"),
    "relative exp": lambda m: rs.relative(m, "mu", gap="exp"),
    "relative exp of softmax": lambda m: rs.relative(m, "mu", gap="exp") @ rs.softmax(m),
}


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("name", [*UNCONSTRAINED, *INSIDE])
def test_em_mapped_makes_every_slope_of_q_vanish(name: str, count: int) -> None:
    """λ⁺ = c⁻¹(θ⁺) and ∂Q/∂λ = 0 identically in N_k, means and variances: EM is EM in each chart.

    Ordered charts are inside of their image: the means are in order, as symbols.
    """
    model = normal(count)
    chart = {**UNCONSTRAINED, **INSIDE}[name](model)
    if name in UNCONSTRAINED:
        assert joint_step(chart).way == "mapped"
        assert find_orders(chart).unconstrained
    share = sp.symbols(f"n_1:{count}", positive=True)  # over their total with the last one's
    weights = [*share, sp.Integer(1)]
    mass = [w / sp.Add(*weights) for w in weights]
    first, *steps = [sp.Symbol("m", real=True), *sp.symbols(f"d_1:{count}", positive=True)]
    means = [first]
    for d in steps:
        means.append(means[-1] + d + sp.Rational(1, 3))
    scale = sp.symbols(f"s_1:{count + 1}", positive=True)
    theta: dict[sp.Symbol, sp.Expr] = {}
    for k in range(count):
        theta[Parameter(f"pi_{k + 1}")] = mass[k]
        theta[Parameter(f"mu_{k + 1}")] = means[k]
        theta[Parameter(f"sigma_{k + 1}")] = scale[k]
    inverse: dict[sp.Symbol, sp.Expr] = {}
    for s, rule in find_inverse(chart):
        known = {t: v for t, v in {**theta, **inverse}.items() if t in rule.free_symbols}
        inverse[s] = sp.simplify(rule.xreplace(known))
    values = chart.every_value
    q = sp.Integer(0)
    for k, weight in enumerate(chart.weight_expressions):
        mu, sigma = (values[Parameter(f"{n}_{k + 1}")] for n in ("mu", "sigma"))
        square = scale[k] ** 2 + (means[k] - mu) ** 2
        q += mass[k] * (sp.log(weight.xreplace(values)) - sp.log(sigma) - square / (2 * sigma**2))
    for s in chart.symbols:
        slope = spelled_out(sp.diff(q, s)).xreplace({t: inverse[t] for t in chart.symbols})
        assert sp.simplify(slope) == 0, s


# ------------------------------------------------------------------------------ in the coordinates


def statistics(seed: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """N_k, means and mean squares about them."""
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(count)), rng.normal(0, 2, count), rng.uniform(0.3, 2, count)


@pytest.mark.parametrize("scales", ["tied", [1, 2, "1/2", 3]])
@pytest.mark.parametrize("seed", range(2))
def test_means_on_a_line_are_weighted_least_squares(scales: object, seed: int) -> None:
    """β⁺ = (Aᵀ W A)⁻¹ Aᵀ W (m − C) is the maximum of Q that SciPy finds, a tied scale with it."""
    model = rs.mixture("normal", components=4, weights="1/4", scales=scales)
    matrix, offset = [[1, 0], [1, 1], [1, 2], [1, 4]], [0, 0, 1, 0]
    chart = rs.affine(model, matrix, offset, parameter="mu")
    found = joint_step(chart)
    assert found.way == "coordinates"
    (square,) = found.squares
    assert not square.given
    a = np.array(square.matrix.tolist(), dtype=float)
    np.testing.assert_array_equal(a, matrix)
    c = np.array([float(v) for v in square.offset])
    n, m, v = statistics(seed, 4)
    sigma = np.ones(4) if scales == "tied" else np.array([1, 2, 0.5, 3])
    factor = sp.lambdify(sp.Symbol("sigma", positive=True), square.pull.factor)
    w = n * np.array([factor(s) for s in sigma])
    beta = np.linalg.solve(a.T @ (w[:, None] * a), a.T @ (w * (m - c)))

    def loss(point: np.ndarray) -> float:
        mu = a @ point[:2] + c
        s = np.full(4, np.exp(point[2])) if scales == "tied" else sigma
        return float(np.sum(n * (np.log(s) + (v + (m - mu) ** 2) / (2 * s**2))))

    start = np.zeros(3 if scales == "tied" else 2)
    best = minimize(loss, start, method="BFGS", options={"gtol": 1e-10})
    np.testing.assert_allclose(best.x[:2], beta, atol=1e-6)


def test_a_map_of_her_own_that_ties_two_means() -> None:
    """mu_2 = 2 mu_1 + 1: one coordinate, one linear equation."""
    model = rs.mixture("normal", components=2, scales=1)
    chart = rs.chart(model, {"pi_1": "v", "mu_1": "m", "mu_2": "2*m + 1"})
    d = rs.derive(model, chart, name="own")
    assert d.joint.way == "coordinates"
    (square,) = d.joint.squares
    assert (square.names, square.matrix.tolist(), square.offset) == (("m",), [[1], [2]], (0, 1))
    assert r"m^+ &= \frac{" in d.m_step.latex()
    n, m = sp.symbols("n_1:3", positive=True), sp.symbols("a_1:3", real=True)
    root = (n[0] * m[0] + 2 * n[1] * (m[1] - 1)) / (n[0] + 4 * n[1])
    free = sp.Symbol("free")
    q = -n[0] * (m[0] - free) ** 2 - n[1] * (m[1] - 2 * free - 1) ** 2
    assert sp.simplify(sp.diff(q, free).subs(free, root)) == 0


POISSON = rs.mixture("poisson", components=3, weights="1/3")


def _value(expression: sp.Expr, n: np.ndarray, s: np.ndarray, **others: float) -> float:
    put = {entry_symbol("N", k): v for k, v in enumerate(n, start=1)}
    put |= {entry_symbol("s", k): v for k, v in enumerate(s, start=1)}
    return float(expression.subs(put | {sp.Symbol(k): v for k, v in others.items()}))


@pytest.mark.parametrize(
    ("rules", "domains", "degree", "closed"),
    [
        ({"rate_1": "r", "rate_2": "2*r", "rate_3": "3*r"}, {"r": "positive"}, 1, True),
        ({"rate_1": "exp(a)", "rate_2": "2*exp(a)", "rate_3": "5*exp(a)"}, {}, 1, True),
        ({"rate_1": "r", "rate_2": "2*r + 1", "rate_3": "3*r"}, {"r": "positive"}, 2, False),
        ({"rate_1": "r", "rate_2": "2*r + 1", "rate_3": "3*r + 2"}, {"r": "positive"}, 3, False),
    ],
)
def test_one_coordinate_behind_all_rates(
    rules: dict[str, str], domains: dict[str, str], degree: int, closed: bool
) -> None:
    chart = rs.chart(POISSON, rules, domains=domains)
    found = joint_step(chart)
    assert found.way == "coordinates"
    (root,) = found.roots
    assert root.degree == degree
    assert (root.value is not None) == closed
    if root.value is None:
        return
    n, s = np.array([0.2, 0.5, 0.3]), np.array([1.0, 4.0, 2.5])
    rates = sp.lambdify(chart.symbols, list(chart.unrolled.values()))

    def loss(point: float) -> float:
        rho = np.array(rates(point), dtype=float)
        return -float(np.sum(n * (s * np.log(rho) - rho)))

    best = minimize_scalar(loss, bounds=(0.01, 3.0), method="bounded", options={"xatol": 1e-10})
    np.testing.assert_allclose(_value(root.value, n, s), best.x, atol=1e-6)


def test_scales_in_a_ratio_have_one_positive_root() -> None:
    model = rs.mixture("normal", components=2, weights="1/2", means=0)
    chart = rs.chart(model, {"sigma_1": "s", "sigma_2": "2*s"})
    (root,) = joint_step(chart).roots
    assert root.value is not None
    n, s = np.array([0.3, 0.7]), np.array([1.5, 4.0])
    want = np.sqrt((n[0] * s[0] + n[1] * s[1] / 4) / n.sum())
    np.testing.assert_allclose(_value(root.value, n, s), want, rtol=1e-12)


# ------------------------------------------------------------------------------ not closed


@pytest.mark.parametrize("count", [2, 3, 5])
def test_a_tied_mean_with_own_scales_is_a_root_of_a_polynomial(count: int) -> None:
    """Degree 2K − 1: a cubic for K = 2. The maximum of the profile is among the real roots."""
    model = rs.mixture("normal", components=count, means="tied")
    profile = profile_of(model)
    assert profile is not None
    assert profile.degree == 2 * count - 1
    n, m, v = statistics(7, count)
    mu = sp.Symbol("mu", real=True)
    t_1, t_2 = sp.symbols("t_1 t_2", real=True)
    total = sp.Integer(0)
    for a, b, c in zip(n, m, v, strict=True):
        total += a * profile.slope.subs({t_1: b, t_2: c + b**2})
    polynomial = sp.Poly(sp.numer(sp.together(sp.nsimplify(total, rational=True))), mu)
    assert polynomial.degree() == profile.degree
    real = [float(r) for r in polynomial.nroots(n=20, maxsteps=200) if abs(sp.im(r)) < 1e-12]

    def loss(point: float) -> float:
        return float(np.sum(n * np.log(v + (m - point) ** 2)))

    grid = np.linspace(m.min() - 1, m.max() + 1, 20001)
    best = grid[np.argmin([loss(g) for g in grid])]
    assert min(abs(r - best) for r in real) < 1e-3
    text = rs.derive(model).m_step
    assert f"polynomial of degree {profile.degree}" in text.words
    assert r"0 &= \sum_{k=1}" in text.latex()


@pytest.mark.parametrize(
    ("chart", "says"),
    [
        (rs.identity(rs.mixture("gamma", components=2)), "not solved one unknown at a time"),
        (rs.affine(normal(3), [[1, 0], [1, 1], [1, 2]], parameter="mu"), "only at given scales"),
    ],
)
def test_where_nothing_is_closed_the_equations_and_the_reason_are_shown(
    chart: rs.Chart, says: str
) -> None:
    d = rs.derive(chart.model, chart, name="none")
    assert d.joint.way == "none"
    assert says in d.m_step.words
    assert "Newton" in d.m_step.words
    assert r"0 = \frac{\partial Q}{\partial" in d.m_step.latex()
    assert d.m_step.value.shape == (len(chart.names), 1)


def test_a_tied_laplace_location_with_own_scales_is_found_numerically() -> None:
    d = rs.derive(rs.mixture("laplace", components=2, means="tied"), name="none")
    assert d.joint.way == "none"
    assert "no sum of products" in d.m_step.words
    assert "numerically" in d.m_step.words


@pytest.mark.parametrize("scales", ["free", "tied"])
def test_laplace_locations_are_shown_as_weighted_medians(scales: str) -> None:
    d = rs.derive(rs.mixture("laplace", components=3, scales=scales), name="lap")
    assert d.joint.way == "mapped"
    assert d.joint.medians is not None
    assert "weighted medians" in d.m_step.words
    text = d.m_step.latex()
    assert r"\operatorname*{arg\,min}_a \, \operatorname{E}_q[r_k(x) \, |x - a|]" in text
    assert r"r_k(x) \left|x - \mu_k^+\right|" in text


def test_the_slopes_of_q_are_its_value_where_nothing_is_closed() -> None:
    d = rs.derive(rs.mixture("gamma", components=2), name="none")
    q = d.q.value
    for s, slope in zip(d.chart.symbols, d.m_step.value, strict=True):
        assert sp.expand(slope - sp.diff(q, s)) == 0


def test_the_way_is_found_quickly_for_many_components() -> None:
    big = rs.mixture("normal", components=64, scales="tied")
    found = joint_step(rs.relative(big, "mu") @ rs.softmax(big))
    assert found.way == "ordered"
    matrix = [[1, k] for k in range(64)]
    assert joint_step(rs.affine(big, matrix, parameter="mu")).way == "coordinates"


def test_a_tied_parameter_whose_equation_is_no_polynomial_has_no_profile_equation() -> None:
    """A gamma family's shape, its scales at mean/shape, is in a digamma and a logarithm."""
    assert profile_of(rs.mixture("gamma", components=3, shapes="tied")) is None
