"""ECM steps: each conditional step maximises Q in its domain, a sweep is one after another."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, special, stats

import relrep_sym as rs
from relrep_sym.errors import DataError, DomainError
from relrep_sym.runtime import kernel
from relrep_sym.runtime.ecm import Order, ecm_step

LAWS = {
    "normal": lambda x, mu, sigma: stats.norm.logpdf(x, mu, sigma),
    "poisson": lambda x, rate: stats.poisson.logpmf(x, rate),
    "gamma": lambda x, shape, scale: stats.gamma.logpdf(x, shape, scale=scale),
}

CHARTS = {
    "identity": rs.identity,
    "relative": lambda m: rs.relative(m, "mu"),
    "square": lambda m: rs.relative(m, "mu", gap="square", clearance="1/8"),
    "exp": lambda m: rs.relative(m, "mu", gap="exp"),
    "softplus": lambda m: rs.relative(m, "mu", gap="softplus", clearance="1/8"),
    "cleared gaps": lambda m: rs.relative(m, "mu", clearance="1/2"),
    "from the last": lambda m: rs.relative(m, "mu", reference="last"),
    "both": lambda m: rs.relative(m, ["mu", "sigma"]),
    "ratios": lambda m: rs.relative(rs.log(m, "sigma"), "log_sigma", gap="square"),
    "log": lambda m: rs.log(m, "sigma"),
    "softmax": lambda m: rs.softmax(m),
    "stick": lambda m: rs.stick_breaking(m),
    "cleared": lambda m: rs.cleared(m, clearance="1/32"),
    "softmax, cleared": lambda m: rs.softmax(m, clearance="1/32"),
    "affine": lambda m: rs.affine(
        m, [[1, k, k * k][: min(m.components, 3)] for k in range(m.components)], parameter="mu"
    ),
    "composed": lambda m: rs.relative(m, "mu", gap="exp") @ rs.softmax(m),
}
OTHERS = {
    ("poisson", "identity"): rs.identity,
    ("poisson", "relative rates"): lambda m: rs.relative(m, "rate"),
    ("poisson", "log rates"): lambda m: rs.log(m, "rate"),
    ("gamma", "identity"): rs.identity,
    ("gamma", "log scales"): lambda m: rs.log(m, "scale"),
}
PATTERNS = {
    "tied scales": {"scales": "tied"},
    "tied means": {"means": "tied"},
    "fixed scales": {"scales": 1},
    "unequal scales": {"scales": [1, 2, "1/2"]},
    "a fixed weight": {"weights": [None, "1/8", None]},
}


@cache
def made(family, components, chart, pattern="free"):
    """(module, a start in the inside, data)."""
    model = rs.mixture(family, components=components, **PATTERNS.get(pattern, {}))
    maker = OTHERS[family, chart] if family != "normal" else CHARTS[chart]
    d = rs.derive(model, maker(model), name="ecm")
    module = d.compile()
    rng = np.random.default_rng(components)
    where = np.cumsum(rng.uniform(1.0, 2.5, components))
    if family == "normal":
        x = np.concatenate([rng.normal(w, rng.uniform(0.5, 1.2), 30) for w in where])
    else:
        x = np.concatenate([rng.gamma(2.0 * w, 1.0, 30) for w in where])
        x = np.floor(x) if family == "poisson" else x
    return module, start(module, components), x


def start(module, components):
    """Coordinates in the inside of their domains, whatever the chart."""
    out = []
    for n, name in enumerate(module.COORDINATES):
        stem = name.rpartition("_")[0] or name
        value = {
            "pi": 0.8 / components, "v": 0.35, "omega": 0.5 / components, "alpha": 0.2,
            "mu": 0.5 + 1.3 * int(name[-1]) if name[-1].isdigit() else 1.5, "Delta": 1.1,
            "sigma": 0.7 + 0.13 * n, "Delta_sigma": 0.2, "log_sigma": 0.1, "Delta_log_sigma": 0.4,
            "beta": 0.9, "rate": 1.5 + 0.4 * n, "Delta_rate": 1.2, "log_rate": 0.3 + 0.2 * n,
            "shape": 1.4 + 0.3 * n, "scale": 0.6 + 0.2 * n, "log_scale": 0.1 * n,
        }[stem]  # fmt: skip
        out.append(value)
    return np.array(out)


CASES = [("normal", 3, c, "free") for c in CHARTS]
CASES += [(f, 3 if f == "poisson" else 2, c, "free") for f, c in OTHERS]
CASES += [("normal", 3, "identity", p) for p in PATTERNS]
CASES += [("normal", 3, "relative", p) for p in ("unequal scales", "tied scales")]
CASES += [("normal", 2, "relative", "fixed scales"), ("normal", 5, "relative", "free")]
solved = pytest.mark.parametrize(
    "case", [c for c in CASES if c[0] != "gamma"], ids=lambda c: "-".join(map(str, c))
)
each = pytest.mark.parametrize("case", CASES, ids=lambda c: "-".join(map(str, c)))


def family_of(module):
    names = {n.rpartition("_")[0] or n for n in (*module.PARAMETERS, *module.FIXED)}
    return "poisson" if "rate" in names else "gamma" if "shape" in names else "normal"


def q_of(module, x, coords):
    """Q(·|coords), responsibilities by SciPy, −∞ outside of the model's domain; over a batch."""
    law, chart = LAWS[family_of(module)], module._solver().chart

    def logs(rows):
        with np.errstate(all="ignore"):
            weights, parameters, _ = chart.components(rows)
            return np.log(weights)[..., None] + law(x, *(p[..., None] for p in parameters))

    r = special.softmax(logs(coords[:, None]), axis=0)

    def q(where):
        rows = np.asarray(where, dtype=float).T.reshape(coords.size, -1)
        values = (r * logs(rows)).sum(axis=(0, 2)) / x.size
        values = np.where(np.isfinite(values), values, -np.inf)
        return values if np.ndim(where) > 1 else values[0]

    return q


def bounded(module, q, coords, j):
    """The best value of one coordinate: a grid over its domain, then Brent's method around it."""
    chart = module._solver().chart
    low, high, now = chart.lower[j], chart.upper[j], coords[j]
    if np.isfinite(low) and np.isfinite(high):
        grid = np.linspace(low, high, 201)
    elif np.isfinite(low):
        grid = np.concatenate([[low], low + np.exp(np.linspace(-9, 4, 200))])
    else:
        grid = now + np.sinh(np.linspace(-5, 5, 201))

    def along(value):
        there = np.repeat(coords[None], np.size(value), axis=0)
        there[:, j] = value
        return q(there)

    values = along(grid)
    n = int(np.argmax(values))
    around = grid[max(n - 1, 0)], grid[min(n + 1, len(grid) - 1)]
    found = optimize.minimize_scalar(
        lambda v: -along(v)[0], bounds=around, method="bounded", options={"xatol": 1e-10}
    )
    value, best = max([(-found.fun, found.x), (values[n], grid[n])])
    return best, value


@each
def test_each_conditional_step_is_the_bounded_maximiser_of_q(case):
    module, coords, x = made(*case)
    q = q_of(module, x, coords)
    for j, name in enumerate(module.COORDINATES):
        moved = module.ecm_step(x, coords, [name])
        rest = np.delete(np.arange(coords.size), j)
        np.testing.assert_array_equal(moved[rest], coords[rest])
        value, best = bounded(module, q, coords, j)
        assert q(moved) >= best - 1e-13, name
        square = module._solver().chart.conditional[j].split()[1:2] == ["square"]
        found = abs(moved[j]) if square or "Delta_log" in name else moved[j]  # Δ and −Δ are alike
        value = abs(value) if square or "Delta_log" in name else value
        assert abs(found - value) <= 1e-5 * (1 + abs(value)), name


@solved
def test_a_sweep_is_one_step_after_another_at_the_same_responsibilities(case):
    module, coords, x = made(*case)
    names = module.COORDINATES[::-1]
    solver = module._solver()
    searched = solver.chart._replace(conditional=("search",) * len(names))
    point = solver.point(coords)[1]
    slow = ecm_step(
        searched, coords[:, None], point, x, None, Order.of(searched, solver.form, names, 2)
    )
    fast = module.ecm_step(x, coords, names, 2)
    np.testing.assert_allclose(fast, slow.taken.rows[:, 0], rtol=1e-7, atol=1e-9)


@solved
def test_the_order_by_default_is_the_weights_as_a_block_and_then_each_other(case):
    module, coords, x = made(*case)
    makes = ("pi_", "alpha_", "v_", "omega_")
    block = tuple(n for n in module.COORDINATES if n.startswith(makes))
    order = [block, *(n for n in module.COORDINATES if n not in block)] if block else None
    np.testing.assert_array_equal(module.ecm_step(x, coords, order), module.ecm_step(x, coords))
    if block:
        joint = module.ecm_step(x, coords, [block])
        weights = module.components(joint)[0]
        mass = module.statistics(x, coords)[0]
        fixed = [int(n[3:]) - 1 for n in module.FIXED if n.startswith("pi_")]
        free = [k for k in range(len(mass)) if k not in fixed]
        best = (1 - weights[fixed].sum()) * mass[free] / mass[free].sum()
        np.testing.assert_allclose(weights[free], best, rtol=1e-9)


@settings(max_examples=settings.default.max_examples // 4)
@given(
    st.sampled_from(["relative", "square", "both", "softmax", "cleared gaps", "log", "stick"]),
    st.integers(2, 5),
    st.integers(0, 10**6),
)
def test_the_likelihood_never_falls(chart, components, seed):
    module, coords, x = made("normal", components, chart)
    rng = np.random.default_rng(seed)
    solver = module._solver()
    low = np.array(solver.chart.lower[: coords.size])
    here = coords + rng.normal(0, 0.3, coords.size) * np.where(low == 0, 0.05, 1.0)
    here = np.maximum(here, np.where(low == 0, 0.02, -np.inf))
    names = list(rng.permutation(module.COORDINATES))
    order = names[: rng.integers(1, len(names) + 1)]
    before = module.log_likelihood(x, here)
    for _ in range(3):
        step = module.ecm_step(x, here, order, int(rng.integers(1, 4)), full_output=True)
        after = module.log_likelihood(x, step.coords)
        assert after >= before - 1e-13 * abs(before)
        assert step.gain >= -1e-14
        assert after - before >= step.gain - 1e-12
        assert step.residual < 1e-7
        here, before = step.coords, after


@pytest.mark.parametrize("components", [2, 3, 5])
def test_many_sweeps_are_the_joint_step(components):
    """Where no bound is met, Gauss and Seidel's iteration ends at the joint maximiser."""
    module, coords, x = made("normal", components, "relative")
    many = module.ecm_step(x, coords, None, 800)
    np.testing.assert_allclose(many, module.em_step(x, coords), rtol=1e-9)


def test_a_block_of_means_is_their_joint_step():
    module, coords, x = made("normal", 3, "relative")
    means = ("mu_1", "Delta_1", "Delta_2")
    joint = module.ecm_step(x, coords, [means])
    many = module.ecm_step(x, coords, means, 800)
    np.testing.assert_allclose(joint, many, rtol=1e-9)


def test_coordinates_that_weights_and_means_share_are_one_block_too():
    model = rs.mixture("normal", components=3, scales=1)
    rules = {"pi_1": "pi_1", "pi_2": "pi_2", "mu_1": "w + u_1 - pi_1*u_1 - pi_2*u_2",
             "mu_2": "w + u_2 - pi_1*u_1 - pi_2*u_2",
             "mu_3": "w - pi_1*u_1 - pi_2*u_2"}  # fmt: skip
    with pytest.warns(rs.errors.ChartWarning):
        module = rs.derive(model, rs.chart(model, rules)).compile()
    assert module._solver().chart.conditional[:2] == ("mixed", "mixed")
    here = {"pi_1": 0.3, "pi_2": 0.3, "w": 1.0, "u_1": -2.0, "u_2": -1.0}
    coords = np.array([here[n] for n in module.COORDINATES])
    x = np.random.default_rng(0).normal(size=40) * 2 + 1
    rest = [n for n in module.COORDINATES if not n.startswith("pi")]
    want = module.ecm_step(x, coords, [("pi_1", "pi_2"), *rest])
    np.testing.assert_array_equal(module.ecm_step(x, coords), want)
    q, best = q_of(module, x, coords), module.ecm_step(x, coords, [("pi_1", "pi_2")])
    for side in np.eye(2) * 1e-3, -np.eye(2) * 1e-3:
        for move in side:
            other = best.copy()
            other[:2] += move
            assert q(other) <= q(best)


def test_weights_of_the_sample_are_points_that_often():
    module, coords, x = made("normal", 3, "relative")
    w = np.random.default_rng(0).integers(1, 4, x.size)
    once = module.ecm_step(x, coords, weights=w)
    np.testing.assert_allclose(once, module.ecm_step(np.repeat(x, w), coords), rtol=1e-12)


def test_a_batch_is_each_member_alone():
    module, coords, x = made("normal", 3, "both")
    rng = np.random.default_rng(1)
    many = np.abs(coords + 0.2 * rng.normal(size=(2, 3, coords.size)))
    many[..., :2] = 0.3
    found = module.ecm_step(x, many, sweeps=2, full_output=True)
    for place in np.ndindex(2, 3):
        alone = module.ecm_step(x, many[place], sweeps=2, full_output=True)
        np.testing.assert_allclose(found.coords[place], alone.coords, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(found.gain[place], alone.gain, rtol=1e-7)


def test_there_is_one_pass_over_the_data(monkeypatch):
    module, coords, x = made("normal", 3, "both")
    passes = []
    whole = kernel.over_blocks
    monkeypatch.setattr(kernel, "over_blocks", lambda *a, **k: passes.append(1) or whole(*a, **k))
    module.ecm_step(x, coords, sweeps=3)
    assert len(passes) == 1


# ------------------------------------------------------------------------- Algorithm 1


def algorithm_1(x, coords):
    """N_k, Σ z_1 x and Σ z_2 x in exact rationals, z the kernel's responsibilities."""
    module, _, _ = made("normal", 2, "relative", "fixed scales")
    z = [[Fraction(v) for v in row] for row in module.responsibilities(x, coords).T]
    points = [Fraction(v) for v in x]
    sums = [sum(a * b for a, b in zip(row, points, strict=True)) for row in z]
    return module, [sum(row) for row in z], sums


@pytest.mark.parametrize("seed", range(5))
def test_the_steps_of_algorithm_1_in_exact_rationals(seed):
    rng = np.random.default_rng(seed)
    x, coords = rng.normal(0, 2, 12), np.array([0.4, rng.normal(), rng.uniform(0.2, 2)])
    module, (n1, n2), (s1, s2) = algorithm_1(x, coords)
    gap = Fraction(coords[2])
    mean = (s1 + s2 - gap * n2) / (n1 + n2)
    new = max(Fraction(0), (s2 - mean * n2) / n2)
    found = module.ecm_step(x, coords, ["mu_1", "Delta_1"])
    np.testing.assert_allclose(found[1:], [float(mean), float(new)], rtol=1e-13, atol=1e-14)
    other = max(Fraction(0), (s2 - Fraction(coords[1]) * n2) / n2)
    turned = (s1 + s2 - other * n2) / (n1 + n2)
    found = module.ecm_step(x, coords, ["Delta_1", "mu_1"])
    np.testing.assert_allclose(found[1:], [float(turned), float(other)], rtol=1e-13, atol=1e-14)


def test_what_paper_000_prints_for_the_reference_mean_is_no_maximiser():
    """Neither as it stands, z_1 x Δ Σz_1 + Σz_2 x, nor with the sign that is lost before Δ."""
    x, coords = np.array([-1.0, 0.5, 2.0, 3.5]), np.array([0.5, 0.25, 1.5])
    module, (n1, n2), (s1, s2) = algorithm_1(x, coords)
    gap = Fraction(coords[2])
    found = module.ecm_step(x, coords, ["mu_1"])[1]
    q = q_of(module, x, coords)

    def at(mean):
        return q(np.array([coords[0], float(mean), coords[2]]))

    best = (s1 + s2 - gap * n2) / (n1 + n2)
    printed = (s1 * gap * n1 + s2) / (n1 + n2)
    with_a_sign = (s1 - gap * n1 + s2) / (n1 + n2)
    assert abs(found - float(best)) < 1e-14
    assert at(best) > at(printed)
    assert at(best) > at(with_a_sign)


def test_what_paper_000_prints_of_the_bound_has_the_wrong_sign_and_no_clip():
    """Its Σ(2Δ + 2μ_1 − 2x)z_2 + λ = 0 asks for λ < 0 where Δ ≥ 0 binds; its Δ is not clipped."""
    x, coords = np.array([-2.0, -1.0, 0.0]), np.array([0.5, 1.0, 0.3])
    module, (_, n2), (_, s2) = algorithm_1(x, coords)
    step = module.ecm_step(x, coords, ["Delta_1"], full_output=True)
    printed = (s2 - Fraction(coords[1]) * n2) / n2
    assert printed < 0
    assert step.coords[2] == 0.0
    slope = 2 * (Fraction(coords[1]) * n2 - s2)  # of the sum of squares, at Δ = 0
    assert -slope < 0
    assert step.active == ("Delta_1",)
    np.testing.assert_allclose(step.multipliers["Delta_1"], float(slope) / 2 / x.size, rtol=1e-12)


# ------------------------------------------------------------------------- bounds


def test_a_clipped_step_has_its_multiplier_and_says_that_the_model_is_singular_there():
    module, _, _ = made("normal", 2, "relative", "fixed scales")
    x, coords = np.array([-2.0, -1.0, 0.0]), np.array([0.5, 1.0, 0.3])
    step = module.ecm_step(x, coords, ["Delta_1"], full_output=True)
    assert step.notes == (
        "the step of Delta_1 is clipped onto 0: components 1 and 2 coincide, a singularity of the "
        "model",
    )
    assert step.multipliers["Delta_1"] > 0.0
    assert step.coords[2] * step.multipliers["Delta_1"] == 0.0
    free = module.ecm_step(x, np.array([0.5, -3.0, 0.3]), ["Delta_1"], full_output=True)
    assert free.notes == ()
    assert free.active == ()
    assert free.multipliers["Delta_1"] == 0.0


def test_with_a_clearance_a_clipped_step_keeps_the_components_apart():
    module, coords, _ = made("normal", 3, "cleared gaps")
    x = np.linspace(-4.0, -1.0, 30)
    step = module.ecm_step(x, coords, ["Delta_1", "Delta_2"], full_output=True)
    means = module.components(step.coords)[1]
    assert (np.diff(means) >= 0.5 - 1e-15).all()
    assert "Delta_1" in step.active
    assert not any("coincide" in note for note in step.notes)


def test_a_square_gap_leaves_zero_where_another_root_is_better():
    """∂Q/∂Δ = 0 at Δ = 0 whatever the data: all roots are compared, not the gradient followed."""
    module, coords, x = made("normal", 3, "square")
    here = coords.copy()
    here[3:5] = 0.0
    assert abs(module.score(x, here)[3]) < 1e-15
    step = module.ecm_step(x, here, ["Delta_1"], full_output=True)
    assert step.coords[3] > 0.1
    assert step.gain > 1e-3
    here[3] = -1.0
    assert module.ecm_step(x, here, ["Delta_1"])[3] < 0.0  # it keeps its sign


def test_an_exponential_gap_that_no_maximum_holds_is_an_error():
    module, coords, _ = made("normal", 3, "exp")
    with pytest.raises(DomainError, match="Q rises towards the open end of Delta_1's domain"):
        module.ecm_step(np.linspace(-9.0, -8.0, 20), coords, ["Delta_1"])


@pytest.mark.parametrize(
    ("order", "says"),
    [
        ([], "order is empty"),
        ("mu_1", "order is not a sequence"),
        (["mu_1", "mu_9"], "names no coordinate; given: mu_9"),
        (["mu_1", ("pi_1", "mu_1")], "mu_1 stands twice"),
        ([()], "a block of the order is empty"),
        ([3], "an entry of the order is no name"),
    ],
)
def test_orders_that_mean_nothing_are_refused(order, says):
    module, coords, x = made("normal", 3, "relative")
    with pytest.raises(DataError, match=says):
        module.ecm_step(x, coords, order)


@pytest.mark.parametrize("sweeps", [0, -1, 1.5, True, "2"])
def test_sweeps_are_a_count(sweeps):
    module, coords, x = made("normal", 3, "relative")
    with pytest.raises(DataError, match="sweeps is not a count"):
        module.ecm_step(x, coords, sweeps=sweeps)


# ------------------------------------------------------------------------- Δ = 0


@pytest.mark.parametrize("components", [2, 3, 5])
def test_equal_scales_absorb_em_and_the_sweep_of_algorithm_1(components):
    module, coords, x = made("normal", components, "relative", "tied scales")
    here = coords.copy()
    gap = module.COORDINATES.index("Delta_1")
    here[gap] = 0.0
    assert abs(module.em_step(x, here)[gap]) < 1e-14
    if components == 2:
        assert abs(module.ecm_step(x, here, ["mu_1", "Delta_1"])[gap]) < 1e-14
        here[gap - 1] = x.mean() - 1.0
        opened = module.ecm_step(x, here, ["Delta_1", "mu_1"])[gap]
        assert opened == pytest.approx(1.0, abs=1e-12)  # max(0, mean − μ_1)


@pytest.mark.parametrize("skew", [-1.0, 1.0])
def test_unequal_scales_do_not_absorb_where_the_data_are_skewed_to_the_other_side(skew):
    model = rs.mixture("normal", components=2, weights="1/2", scales=[1, 2])
    module = rs.derive(model, rs.relative(model, "mu")).compile()
    x = skew * np.concatenate([np.zeros(50), np.full(10, 4.0)])
    opened = module.em_step(x, [0.0, 0.0])[1], module.ecm_step(x, [0.0, 0.0])[1]
    assert all(v > 0.1 for v in opened) if skew > 0 else all(v == 0.0 for v in opened)


@given(st.integers(0, 10**6), st.integers(2, 5), st.floats(1e-6, 3.0))
@settings(max_examples=settings.default.max_examples // 2)
def test_from_a_positive_gap_equal_scales_never_reach_zero(seed, components, gap):
    module, coords, _ = made("normal", components, "relative", "tied scales")
    x = np.random.default_rng(seed).normal(size=25) * 3.0
    gaps = [j for j, n in enumerate(module.COORDINATES) if n.startswith("Delta")]
    here = coords.copy()
    here[gaps] = gap
    assert (module.em_step(x, here)[gaps] > 0.0).all()


# ------------------------------------------------------------------------- rates


def slope(step, fixed):
    """The spectral radius of an iteration's derivative, by central differences."""
    h = 1e-5
    columns = [(step(fixed + h * e) - step(fixed - h * e)) / (2 * h) for e in np.eye(fixed.size)]
    return np.abs(np.linalg.eigvals(np.array(columns).T)).max()


def shrinking(step, fixed, towards):
    """The factor by which an error shrinks in an iteration, over many of them."""
    here, sizes = fixed + towards, [np.linalg.norm(towards)]
    while sizes[-1] > 1e-10 and len(sizes) < 300:
        here = step(here)
        sizes.append(np.linalg.norm(here - fixed))
    return (sizes[-1] / sizes[len(sizes) // 3]) ** (1 / (len(sizes) - 1 - len(sizes) // 3))


RATED = [
    (2, {"weights": "1/2", "scales": 1}),
    (2, {"weights": ["1/4", "3/4"], "scales": 1}),
    (3, {"weights": "1/3", "scales": 1}),
    (3, {"weights": ["1/3", "1/3", "1/3"], "scales": [1, "5/4", "4/5"]}),
]


@cache
def rated(n):
    components, pattern = RATED[n]
    model = rs.mixture("normal", components=components, **pattern)
    d = rs.derive(model, rs.relative(model, "mu"), name="rated")
    module = d.compile()
    x = np.concatenate(
        [np.random.default_rng(k).normal(2.5 * k, 1, 80 + 30 * k) for k in range(components)]
    )
    found = module.fit(x, [0.0, *([2.0] * (components - 1))], tol=0.0, max_iter=4000)
    fixed = found.coords
    for _ in range(200):
        fixed = module.em_step(x, fixed)
    return module, x, fixed


@pytest.mark.parametrize("n", range(len(RATED)))
def test_the_rates_are_those_of_the_iterations(n):
    module, x, fixed = rated(n)
    orders = [module.COORDINATES, module.COORDINATES[1:] + module.COORDINATES[:1]]
    for order in orders:
        for sweeps in (1, 2, 5):
            found = module.ecm_rates(x, fixed, order, sweeps)
            assert found.residual < 1e-12
            assert slope(lambda c: module.em_step(x, c), fixed) == pytest.approx(found.em, rel=1e-6)
            moved = slope(lambda c: module.ecm_step(x, c, order, sweeps), fixed)  # noqa: B023
            assert moved == pytest.approx(found.ecm, rel=1e-6)
    towards = 1e-4 * np.arange(1.0, fixed.size + 1)
    em = shrinking(lambda c: module.em_step(x, c), fixed, towards)
    ecm = shrinking(lambda c: module.ecm_step(x, c, order), fixed, towards)
    assert em == pytest.approx(found.em, rel=0.03)
    assert ecm == pytest.approx(module.ecm_rates(x, fixed, order).ecm, rel=0.15)


@pytest.mark.parametrize("n", range(len(RATED)))
def test_an_order_and_its_reverse_have_one_rate_and_none_is_better_than_the_best(n):
    module, x, fixed = rated(n)
    seen = []
    for order in permutations(module.COORDINATES):
        found = module.ecm_rates(x, fixed, order)
        assert found.ecm == pytest.approx(module.ecm_rates(x, fixed, order[::-1]).ecm, rel=1e-9)
        seen.append(found.ecm)
    assert found.best == pytest.approx(min(seen), rel=1e-9)
    again = module.ecm_rates(x, fixed, found.best_order)
    assert again.ecm == pytest.approx(found.best, rel=1e-9)


def test_the_rates_in_the_population_come_from_nodes():
    model = rs.mixture("normal", components=2, weights="1/2", scales=1)
    d = rs.derive(model, rs.relative(model, "mu"))
    module, best = d.compile(), np.array([-1.0, 2.0])
    q = rs.truth("normal", weights=["1/2", "1/2"], means=[-1, 1], scales=1)
    x, w = rs.nodes(q, best, derivation=d)
    found = module.ecm_rates(x, best, weights=w)
    assert found.residual < 1e-12
    assert slope(lambda c: module.em_step(x, c, w), best) == pytest.approx(found.em, rel=1e-6)
    moved = slope(lambda c: module.ecm_step(x, c, weights=w), best)
    assert moved == pytest.approx(found.ecm, rel=1e-6)


def test_a_coordinate_that_a_bound_holds_does_not_move():
    model = rs.mixture("normal", components=3, weights=["1/2", "1/4", "1/4"], scales=[1, 1, 2])
    module = rs.derive(model, rs.relative(model, "mu")).compile()
    _, x, _ = rated(2)
    fixed = module.fit(x, [0.0, 2.0, 2.0], tol=0.0, max_iter=4000).coords
    assert fixed[2] == 0.0
    assert module.em_step(x, fixed, full_output=True).multipliers["Delta_2"] > 0.0
    found = module.ecm_rates(x, fixed)
    assert found.order == ("mu_1", "Delta_1")
    free = module.ecm_rates(x, fixed, ["mu_1", "Delta_1"])
    assert (found.em, found.ecm) == (free.em, free.ecm)


def test_where_q_is_flat_there_is_no_rate():
    """At Δ = 0 of a square gap ∂²Q/∂Δ² is twice the residual, zero where the means are one."""
    model = rs.mixture("normal", components=2, weights="1/2", scales=1)
    module = rs.derive(model, rs.relative(model, "mu", gap="square")).compile()
    with pytest.raises(DomainError, match=r"is singular: .* a flat direction of Q in Delta_1"):
        module.ecm_rates([-2.0, -1.0, 1.0, 2.0], [0.0, 0.0])


def test_where_q_is_not_concave_there_is_no_rate_and_the_reason_is_that():
    """∂²Q/∂σ² = N/σ² − 3S/σ⁴ is positive where σ is above √(3S/N)."""
    module = rs.derive(rs.mixture("normal", components=2, weights="1/2")).compile()
    with pytest.raises(DomainError, match=r"Q is not concave .* curves up along sigma_1, sigma_2"):
        module.ecm_rates([-2.0, -1.0, 1.0, 2.0], [-1.0, 1.0, 9.0, 9.0])
