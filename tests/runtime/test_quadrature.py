"""Quadrature against mpmath: the rule is applied in 24 digits, so that only its own error is seen.

The reference knows nothing of strips and zeros: 32-point Gauss-Legendre rules on intervals that
are graded towards every point where two components weigh the same.
"""

from functools import lru_cache
from itertools import pairwise
from math import lgamma

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relrep_sym.errors import DomainError
from relrep_sym.runtime.panels import panel_nodes
from relrep_sym.runtime.quadrature import Rule, integers, line, reach, window

DIGITS = 24


def quadratics(model, origin=0.0):
    w, m, s = (np.asarray(v, dtype=float) for v in model)
    w, m, s = (v if v.ndim == 2 else v[:, None] for v in (w, m, s))
    m = m - origin
    return np.array([np.log(w / s) - 0.5 * (m / s) ** 2, m / s**2, -0.5 / s**2 + 0.0 * m])


def rules(truth, model, **options):
    weights, centres, scales = (np.asarray(v, dtype=float) for v in truth)
    return line(quadratics(model), centres, scales, weights, **options)


# ------------------------------------------------------------------------------- the reference


def exact_terms(mixture):
    """(log weight - log scale - log sqrt(2 pi), mean, 1 / scale) of every component."""
    half = mp.log(2 * mp.pi) / 2
    w, m, s = ([mp.mpf(float(v)) for v in column] for column in mixture)
    return [(mp.log(a) - mp.log(c) - half, b, 1 / c) for a, b, c in zip(w, m, s, strict=True)]


def integrands(x, model):
    """log p, and r_k z_k**d for d = 0, 1, 2, 4, and r_k**2 z_k**2, at one point."""
    z = [(x - m) * t for _, m, t in model]
    terms = [mp.exp(c - a * a / 2) for (c, _, _), a in zip(model, z, strict=True)]
    total = mp.fsum(terms)
    out = [mp.log(total)]
    for term, a in zip(terms, z, strict=True):
        r = term / total
        out += [r, r * a, r * a**2, r * a**4, r * r * a * a]
    return out


def weight(x, truth):
    return mp.fsum(mp.exp(c - ((x - m) * t) ** 2 / 2) for c, m, t in truth)


@lru_cache(maxsize=1)
def gauss_32():
    found = []
    for guess in np.polynomial.legendre.leggauss(32)[0]:
        x = mp.findroot(lambda t: mp.legendre(32, t), mp.mpf(guess))
        slope = 32 * (x * mp.legendre(32, x) - mp.legendre(31, x)) / (x * x - 1)
        found.append((x, 2 / ((1 - x * x) * slope**2)))
    return found


def intervals(truth, model):
    _, means, scales = truth
    ends = {m + k * s for m, s in zip(means, scales, strict=True) for k in range(-16, 17, 2)}
    crossings = []
    c = quadratics(model)[:, :, 0]
    for i in range(c.shape[1]):
        for j in range(i):
            c0, c1, c2 = c[:, i] - c[:, j]
            polynomial = [c2, c1, c0] if c2 else [c1, c0] if c1 else []
            crossings += [root.real for root in np.roots(polynomial)]
    for x in crossings:
        for k in range(-2, 13):
            ends |= {x - 0.5**k, x, x + 0.5**k}
    low = min(m - 16 * s for m, s in zip(means, scales, strict=True))
    high = max(m + 16 * s for m, s in zip(means, scales, strict=True))
    apart = 0.05 * min([*scales, *model[2]])
    kept = [low]
    for x in sorted(ends):
        if kept[-1] + apart < x < high:
            kept.append(x)
    return list(pairwise([*kept, high]))


def reference(truth, model):
    """E_q[g] and E_q|g| of every integrand."""
    q, p = exact_terms(truth), exact_terms(model)
    pairs = []
    for a, b in intervals(truth, model):
        half, middle = (mp.mpf(b) - mp.mpf(a)) / 2, (mp.mpf(a) + mp.mpf(b)) / 2
        pairs += [(middle + half * t, half * w) for t, w in gauss_32()]
    return total(pairs, q, p)


def total(pairs, q, p):
    sums = sizes = None
    for x, step in pairs:
        share = step * weight(x, q)
        values = [share * g for g in integrands(x, p)]
        sums = values if sums is None else [a + b for a, b in zip(sums, values, strict=True)]
        absolute = [abs(v) for v in values]
        sizes = absolute if sizes is None else [a + b for a, b in zip(sizes, absolute, strict=True)]
    return sums, sizes


def applied(found, truth, model):
    """The rules' own sums, in the same digits."""
    p, q = exact_terms(model), exact_terms(truth)
    sums = None
    for rule in found:
        chosen = q if rule.component is None else [q[rule.component]]
        pairs = [
            (mp.mpf(float(x)), mp.mpf(float(h)))
            for x, h in zip(rule.nodes.ravel(), rule.steps.ravel(), strict=True)
        ]
        part, _ = total(pairs, chosen, p)
        sums = part if sums is None else [a + b for a, b in zip(sums, part, strict=True)]
    return sums


ONE = ([1.0], [0.0], [1.0])
TWO = ([0.4, 0.6], [-1.0, 1.5], [1.0, 1.0])
THREE = ([0.2, 0.5, 0.3], [-3.0, 0.0, 2.0], [0.5, 1.0, 2.0])
NARROW = ([0.5, 0.5], [0.0, 1.0], [1.0, 0.01])

CASES = {
    "smooth": (ONE, ([0.3, 0.7], [-0.5, 0.7], [1.0, 1.0])),
    "K = 3": (TWO, ([0.3, 0.5, 0.2], [-0.5, 0.7, 0.1], [1.0, 0.5, 2.0])),
    "K = 5": (THREE, ([0.1, 0.2, 0.3, 0.2, 0.2], [-2, -1, 0, 1, 2], [0.3, 0.5, 1.0, 2.0, 0.7])),
    "scales a hundredth": (TWO, ([0.5, 0.5], [-0.005, 0.007], [0.01, 0.01])),
    "one scale a tenth": (ONE, ([0.3, 0.7], [-0.5, 0.7], [0.1, 1.0])),
    "one scale a hundredfold": (TWO, ([0.3, 0.5, 0.2], [-0.5, 0.7, 0.1], [100.0, 1.0, 0.4])),
    "apart": (ONE, ([0.3, 0.7], [0.0, 10.0], [1.0, 1.0])),
    "far apart": (TWO, ([0.3, 0.4, 0.3], [0.0, 20.0, -20.0], [1.0, 0.8, 1.5])),
    "merging": (TWO, ([0.3, 0.4, 0.3], [0.2, 0.2 + 1e-6, 0.2 - 1e-6], [1.0, 1 + 1e-6, 1 - 1e-6])),
    "light": (ONE, ([1e-12, 1 - 1e-12], [0.1, 0.2], [1.0, 0.8])),
    "light and narrow": (ONE, ([1e-12, 0.5, 0.5 - 1e-12], [0.1, 0.2, 1.3], [0.05, 1.0, 2.0])),
    "equal against one": (ONE, ([0.2] * 5, [0.0, 0.0, 0.0, 0.0, 0.3], [1.0, 1.0, 1.0, 1.0, 0.4])),
    "narrow truth": (NARROW, ([0.5, 0.5], [-0.5, 0.7], [1.0, 1.0])),
}


@pytest.fixture(scope="module")
def references():
    known = {}

    def of(name):
        if name not in known:
            with mp.workdps(DIGITS):
                known[name] = reference(*CASES[name])
        return known[name]

    return of


LIMITS = {"trapezoid": 1500.0, "panels": 0.0}
TRIED = [
    (name, method)
    for name in CASES
    for method in LIMITS
    if rules(*CASES[name], limit=LIMITS[method])[0].method == method
]


@pytest.mark.parametrize(("name", "method"), TRIED)
def test_expectations_are_right_to_rounding(name, method, references):
    truth, model = CASES[name]
    found = rules(truth, model, limit=LIMITS[method])
    with mp.workdps(DIGITS):
        exact, size = references(name)
        error = max(
            abs(a - b) / c
            for a, b, c in zip(applied(found, truth, model), exact, size, strict=True)
        )
    count = sum(rule.nodes.size for rule in found)
    print(f"{name}: {method}, {count} nodes, error {float(error):.1e}, bound {found[0].bound:.0e}")
    assert error <= max(rule.bound for rule in found) <= 6.5e-16
    assert count <= 1500


def test_the_panels_are_few():
    counts = [sum(r.nodes.size for r in rules(*case, limit=0.0)) for case in CASES.values()]
    assert max(counts) <= 500


# ------------------------------------------------------------- the same numbers in double precision


def density(x, mixture):
    """Component densities with their weights, (J, …)."""
    w, m, s = (np.asarray(v, dtype=float).reshape(-1, *(1,) * np.ndim(x)) for v in mixture)
    return w * np.exp(-0.5 * ((x - m) / s) ** 2) / (s * np.sqrt(2.0 * np.pi))


def moments(found, truth, models, batch):
    """E_q[r_k z_k**2] for each member, (K, B), and how often each was served."""
    w, m, s = (np.asarray(v, dtype=float) for v in models)
    out, served = np.zeros((len(w), batch)), np.zeros(batch)
    for rule in found:
        x = rule.nodes if rule.nodes.ndim == 2 else rule.nodes[:, None]
        steps = rule.steps.reshape(x.shape)
        q = density(x, truth)
        q = q.sum(axis=0) if rule.component is None else q[rule.component]
        a, b, c = (v[:, None, rule.members] for v in (w, m, s))
        z = (x - b) / c
        logs = np.log(a / c) - 0.5 * z * z
        r = np.exp(logs - logs.max(axis=0))
        r /= r.sum(axis=0)
        out[:, rule.members] += (steps * q * r * z * z).sum(axis=1)
        served[rule.members] += 1.0 if rule.component is None else 1.0 / len(truth[0])
    return out, served


@pytest.mark.parametrize("limit", [2000.0, 200.0, 0.0])
@pytest.mark.parametrize("truth", [TWO, NARROW], ids=["two", "narrow"])
def test_a_batch_agrees_with_its_members_and_serves_each_once(limit, truth):
    rng = np.random.default_rng(0)
    batch = 300
    models = (
        rng.dirichlet(np.ones(3), batch).T,
        rng.normal(0.0, 2.0, (3, batch)),
        np.exp(rng.normal(0.0, 0.7, (3, batch))),
    )
    found = rules(truth, models, limit=limit)
    together, served = moments(found, truth, models, batch)
    np.testing.assert_allclose(served, 1.0, rtol=1e-15)
    assert all(rule.bound <= 6.5e-16 for rule in found)
    for b in range(0, batch, 10):
        alone = [v[:, b : b + 1] for v in models]
        expected, _ = moments(rules(truth, alone, limit=1e5, separate=False), truth, alone, 1)
        np.testing.assert_allclose(together[:, b], expected[:, 0], rtol=2e-14)


def test_nodes_are_shared_over_a_batch():
    grid = np.linspace(-5.0, 5.0, 100)
    a, b = (v.ravel() for v in np.meshgrid(grid, grid))
    models = (np.full((3, a.size), 1.0 / 3.0), np.stack([a, b, 0.0 * a]), np.ones((3, a.size)))
    found = rules(TWO, models)
    assert {rule.method for rule in found} == {"trapezoid"}
    assert len(found) < 50


def test_a_batch_larger_than_a_block_is_surveyed_in_blocks():
    batch = 10_000
    models = [
        np.repeat(np.asarray(v, dtype=float)[:, None], batch, axis=1) for v in CASES["K = 3"][1]
    ]
    found = rules(TWO, models)
    assert len(found) == 1
    assert np.array_equal(np.sort(found[0].members), np.arange(batch))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_truth_that_is_the_model_has_exact_moments(data):
    # E_p[r_k z_k**2] = pi_k, whatever the scales, the weights and the place.
    k = data.draw(st.integers(2, 5))
    logs = data.draw(st.lists(st.floats(-12.0, 0.0), min_size=k, max_size=k))
    weights = np.exp(np.array(logs))
    means = data.draw(st.lists(st.floats(-30.0, 30.0), min_size=k, max_size=k))
    scales = [10.0**e for e in data.draw(st.lists(st.floats(-1, 1), min_size=k, max_size=k))]
    mixture = [weights / weights.sum(), np.array(means), np.array(scales)]
    columns = [v[:, None] for v in mixture]
    found, _ = moments(rules(mixture, columns), mixture, columns, 1)
    np.testing.assert_allclose(found[:, 0], mixture[0], rtol=2e-13)


# --------------------------------------------------------------------------------- far from zero


@pytest.mark.parametrize("limit", [2000.0, 0.0])
def test_a_centre_at_1e5_costs_no_digits(limit):
    # Exact in binary, so that truth and model are the same ones, moved.
    truth, model = TWO, ([0.3, 0.5, 0.2], [-0.5, 0.75, 0.125], [1.0, 0.5, 2.0])
    here, _ = moments(rules(truth, model, limit=limit), truth, [np.c_[v] for v in model], 1)
    far = 2.0**17
    weights, centres, scales = (np.array(v) for v in truth)
    moved_model = (model[0], [m + far for m in model[1]], model[2])
    moved_truth = (weights, centres + far, scales)
    found = line(
        quadratics(moved_model, far), centres + far, scales, weights, origin=far, limit=limit
    )
    there, _ = moments(found, moved_truth, [np.c_[v] for v in moved_model], 1)
    np.testing.assert_allclose(there, here, rtol=3e-15)


def test_trapezoidal_nodes_are_exact_multiples_of_their_step():
    (rule,) = rules(([1.0], [1e5 + 1.0 / 3.0], [1.0]), ([0.5, 0.5], [1e5, 1e5 + 1.0], [1.0, 1.0]))
    h = rule.steps[0]
    assert rule.method == "trapezoid"
    assert np.array_equal(np.diff(rule.nodes), rule.steps[1:])
    assert np.array_equal(np.round(rule.nodes / h) * h, rule.nodes)


def test_steps_of_panels_are_corrected_for_rounded_nodes():
    low = 1e5
    edges = np.array([low, low + 0.7, low + 1.0])[:, None]
    nodes, steps = (v[:, 0] for v in panel_nodes(edges))
    width = edges[-1, 0] - low
    for degree in range(12):
        exact = width ** (degree + 1) / (degree + 1)
        assert steps @ (nodes - low) ** degree == pytest.approx(exact, rel=1e-15)
    plain, weights = np.polynomial.legendre.leggauss(16)
    rounded = (low + 0.35 * (1.0 + plain)) - low
    assert abs(0.35 * weights @ rounded**11 - 0.7**12 / 12) > 1e-13 * 0.7**12 / 12


# -------------------------------------------------------------------------------------- the tails


def test_the_range_reaches_a_component_that_the_truth_hardly_sees():
    # Equal scales, D apart: E_q[r_2] comes from D / 2, where the two components meet.
    for distance in (10.0, 20.0, 40.0):
        means = np.array([0.0, distance])
        model = np.array([-0.5 * means**2, means, [-0.5, -0.5]])[:, :, None]
        one = np.ones((1, 1))
        far = reach(model, one, 0.0 * one, one)[0]
        assert far == pytest.approx(np.hypot(np.sqrt(92.0), 0.5 * distance), rel=0.15)
        assert far >= np.hypot(np.sqrt(92.0), 0.5 * distance) - 1e-9


def test_the_range_ends_where_doubles_do():
    (rule,) = rules(ONE, ([0.5, 0.5], [0.0, 500.0], [1.0, 1.0]))
    assert 37.0 < rule.nodes.max() < 39.0


# ------------------------------------------------------------------------------------ divergences


def divergence_rules(truth, model, limit):
    centres = np.concatenate([truth[1], model[1]]).astype(float)
    scales = np.concatenate([truth[2], model[2]]).astype(float)
    both = quadratics(model), quadratics(truth)
    return line(both, centres, scales, separate=False, limit=limit)


def divergence(found, truth, model):
    """Sum of q log(q / p) - q + p, in the present precision of mpmath."""
    q, p = exact_terms(truth), exact_terms(model)
    out = mp.mpf(0)
    for rule in found:
        assert rule.component is None
        for x, h in zip(rule.nodes.ravel(), rule.steps.ravel(), strict=True):
            a, b = weight(mp.mpf(float(x)), q), weight(mp.mpf(float(x)), p)
            out += mp.mpf(float(h)) * (a * mp.log(a / b) - a + b)
    return out


@pytest.mark.parametrize("limit", [1e4, 0.0], ids=["trapezoid", "panels"])
@pytest.mark.parametrize(
    ("truth", "model"),
    [
        (ONE, ([0.3, 0.7], [-0.5, 0.7], [0.1, 1.0])),
        (TWO, ([0.3, 0.5, 0.2], [-0.5, 0.7, 6.0], [1.0, 0.5, 2.0])),
    ],
    ids=["narrow", "apart"],
)
def test_divergences_have_nodes_for_both_densities(truth, model, limit):
    with mp.workdps(DIGITS):
        q, p = exact_terms(truth), exact_terms(model)
        both = [np.concatenate([a, b]) for a, b in zip(truth, model, strict=True)]
        exact = mp.mpf(0)
        for a, b in intervals(both, both):
            half, middle = (mp.mpf(b) - mp.mpf(a)) / 2, (mp.mpf(a) + mp.mpf(b)) / 2
            for t, w in gauss_32():
                x = middle + half * t
                u, v = weight(x, q), weight(x, p)
                exact += half * w * (u * mp.log(u / v) - u + v)
        error = divergence(divergence_rules(truth, model, limit), truth, model) / exact - 1
    assert abs(error) < 5e-16


@pytest.mark.parametrize("limit", [2000.0, 0.0], ids=["trapezoid", "panels"])
def test_a_divergence_of_1e_24_keeps_its_digits(limit):
    # KL(N(0, 1), N(e, 1)) = e**2 / 2.
    e = 2.0**-40
    with mp.workdps(45):
        model = ([1.0], [e], [1.0])
        found = divergence(divergence_rules(ONE, model, limit), ONE, model)
        assert abs(found / (mp.mpf(e) ** 2 / 2) - 1) < 1e-14


# ------------------------------------------------------------------------- what cannot be served


def test_a_member_that_is_no_number_is_lost_alone():
    model = np.repeat(quadratics(CASES["K = 3"][1]), 4, axis=2)
    model[1, 0, 2] = np.nan
    model[0, 1, 3] = np.inf
    weights, centres, scales = (np.asarray(v, dtype=float) for v in TWO)
    for limit in (2000.0, 0.0):
        found = line(model, centres, scales, weights, limit=limit)
        lost = [rule for rule in found if rule.method == "none"]
        assert [rule.members.tolist() for rule in lost] == [[2, 3]]
        assert np.isnan(lost[0].nodes).all()
        good = [rule for rule in found if rule.method != "none"]
        assert sorted(np.concatenate([rule.members for rule in good])) == [0, 1]
        assert all(np.isfinite(rule.nodes).all() for rule in good)


@pytest.mark.parametrize("scale", [1e-3, 1e-6, 1e-9, 1e3, 1e6, 1e9])
def test_extreme_scales_get_a_rule(scale):
    found = rules(TWO, ([0.3, 0.3, 0.4], [-1.0, 0.5, 1.0], [scale, 1.0, 0.5]))
    assert sum(rule.nodes.size for rule in found) < 2500
    assert all(isinstance(rule, Rule) and np.isfinite(rule.steps).all() for rule in found)


# --------------------------------------------------------------------------------------- integers


def poisson(rate):
    return lambda x: x * np.log(rate) - rate - np.array([lgamma(t + 1.0) for t in x])


@pytest.mark.parametrize("rate", [1e-8, 0.3, 1.0, 7.0, 1e3, 1e6])
def test_sums_over_the_integers_hold_all_but_1e_17(rate):
    (rule,) = integers([poisson(rate)], np.arange(3))
    with mp.workdps(30):
        low, high = rule.nodes[0], rule.nodes[-1]
        ends = (max(low - 1, 0), high + 1)
        mass = [mp.exp(x * mp.log(rate) - rate - mp.loggamma(x + 1)) for x in ends]
        outside = mass[1] / (1 - mp.mpf(rate) / (high + 2))
        if low > 0:
            outside += mass[0] / (1 - (low - 1) / mp.mpf(rate))
    assert outside < 1e-17
    assert rule.bound < 1e-17
    assert rule.nodes.size < 25 + 22 * np.sqrt(rate)
    assert rule.method == "integers"
    assert rule.members.tolist() == [0, 1, 2]


def test_the_integers_of_several_components_are_a_union():
    (rule,) = integers([poisson(2.0), poisson(1e4), poisson(3.0)], np.arange(1))
    x = rule.nodes
    assert len(np.unique(x)) == len(x) < 2100
    for rate in (2.0, 3.0, 1e4):
        mass = np.exp(poisson(rate)(x))
        assert mass.sum() == pytest.approx(1.0, abs=1e-11)
        assert mass @ x == pytest.approx(rate, rel=1e-11)


def test_a_window_ends_exactly_where_the_mass_does():
    def geometric(x):
        return x * np.log(0.75)

    low, high = window(geometric, 46.0)
    assert low == 0.0
    assert geometric(high) >= -46.0 > geometric(high + 1.0)
    assert window(lambda x: -0.5 * (x - 12345.0) ** 2 / 9.0, 8.0) == (12333.0, 12357.0)


def test_a_window_of_a_hundred_million_integers_is_refused():
    with pytest.raises(DomainError, match="too wide"):
        window(lambda x: -0.5 * (x - 1e10) ** 2 / 1e16, 46.0)
