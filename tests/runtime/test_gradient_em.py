"""Gradient EM's steps: where they go, that they never lower the likelihood, and what is refused.

The numbers of Xu, Fazel and Du (2024) are here too: how fast an over-parameterised fit comes in,
and the point at which it is trapped.
"""

from __future__ import annotations

from functools import cache

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import relrep_sym as rs
from relrep_sym.errors import DataError, DomainError

K = (2, 3, 5)
seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=settings.default.max_examples // 5)
EPS = np.finfo(float).eps
STANDARD = (np.array([1.0]), np.array([0.0]), np.array([1.0]))
MIXED = (np.array([0.3, 0.7]), np.array([-1.0, 2.0]), np.array([1.0, 1.0]))


@cache
def derived(k: int, chart: str = "identity", *, scale: object = 1, free: bool = False):
    weights = {} if free else {"weights": f"1/{k}"}
    model = rs.mixture("normal", k, scales=scale, **weights)
    charts = {
        "identity": lambda: rs.identity(model),
        "relative": lambda: rs.relative(model, "mu"),
        "square": lambda: rs.relative(model, "mu", gap="square"),
        "exp": lambda: rs.relative(model, "mu", gap="exp"),
        "softplus": lambda: rs.relative(model, "mu", gap="softplus"),
        "softmax": lambda: rs.relative(model, "mu") @ rs.softmax(model),
        "both": lambda: rs.relative(model, ["mu", "sigma"]),
        "log": lambda: rs.log(model, "sigma"),
    }
    return rs.derive(model, charts[chart](), name=f"{chart}{k}")


@cache
def compiled(k: int, chart: str = "identity", **how: object):
    return derived(k, chart, **how).compile()


def start_of(module, rng) -> np.ndarray:
    """Random coordinates inside of the chart's domain, bounds among them."""
    out = []
    shares = list(rng.dirichlet(np.full(module.PARAMETERS.__len__() + 2, 2.0)))
    for name in module.COORDINATES:
        if name.startswith("pi_"):
            out.append(shares.pop())
        elif name.startswith("sigma_"):
            out.append(np.exp(rng.normal(0.0, 0.5)))
        elif name.startswith("Delta"):
            out.append(rng.choice([0.0, rng.exponential()], p=[0.1, 0.9]))
        else:
            out.append(rng.normal(0.0, 1.5))
    return np.array(out)


def sample_of(rng, size: int = 60) -> np.ndarray:
    """Data of any kind: far points, and points that coincide."""
    x = rng.normal(rng.normal(), np.exp(rng.normal()), size)
    x[: size // 6] = rng.normal(0.0, 30.0)
    return np.append(x, rng.choice(x, size // 4))


def falls(module, x, before, after, weights=None) -> float:
    """By how much the mean log-likelihood falls, less what rounding explains."""
    low, high = (module.log_likelihood(x, c, weights) for c in (before, after))
    return float(np.max(low - high - 32 * EPS * (1 + np.abs(low))))


# ----------------------------------------------------------------------------- where it goes


@pytest.mark.parametrize("k", K)
@pytest.mark.parametrize("chart", ["identity", "relative", "square", "softmax"])
def test_a_step_is_the_rate_times_the_score(k: int, chart: str) -> None:
    rng = np.random.default_rng(k)
    module = compiled(k, chart, free=chart == "softmax")
    x, c = sample_of(rng), start_of(module, rng) + 0.5
    w = rng.dirichlet(np.ones(x.size))
    rates = rng.uniform(1e-3, 2e-3, len(c))
    for rate in (1e-3, rates):
        found = module.gradient_em_step(x, c, rate, weights=w)
        np.testing.assert_allclose(found, c + rate * module.score(x, c, w), rtol=1e-15)


@pytest.mark.parametrize("k", K)
@pytest.mark.parametrize("chart", ["identity", "relative"])
def test_without_a_rate_it_is_half_of_the_sharp_bound(k: int, chart: str) -> None:
    rng = np.random.default_rng(k)
    module, d = compiled(k, chart), derived(k, chart)
    x, c = rng.normal(size=50), np.linspace(0.5, 1.5, k)
    found = module.gradient_em_step(x, c)
    half = float(d.safe_rate.sharp) / 2
    np.testing.assert_allclose(found, c + half * module.score(x, c), rtol=1e-14)
    solver = module._solver()
    assert solver.chart.safe_rate == d.safe_rate.rate
    assert solver.chart.sharp_rate == pytest.approx(float(d.safe_rate.sharp), rel=1e-15)


def test_modules_without_a_safe_rate_say_why() -> None:
    chart = compiled(3, "square")._solver().chart
    assert chart.safe_rate is None
    assert "linear in numbers" in chart.why["safe_rate"]


@pytest.mark.parametrize("k", K)
@pytest.mark.parametrize("truth", [STANDARD, MIXED], ids=["one", "two"])
def test_a_population_step_is_that_of_the_expectation(k: int, truth) -> None:
    """On nodes it is λ + η ∇ E_q[log p], by mpmath's trapezoidal sums."""
    d, module = derived(k, "relative"), compiled(k, "relative")
    c = np.append(-1.0, np.linspace(0.3, 1.1, k - 1))
    q = rs.truth("normal", **dict(zip(("weights", "means", "scales"), truth, strict=True)))
    x, w = rs.nodes(q, c, derivation=d)
    _, means, _ = module.components(c)
    with mpmath.workdps(25):
        g = _expected(
            k, means, truth, lambda r, at, m: [a * (at - v) for a, v in zip(r, m, strict=True)]
        )
        total = [mpmath.fsum(g[j:]) for j in range(k)]
        exact = [float(mpmath.mpf(float(a)) + b / 8) for a, b in zip(c, total, strict=True)]
    np.testing.assert_allclose(module.gradient_em_step(x, c, 0.125, weights=w), exact, rtol=1e-13)


def _expected(k, means, truth, function, fine=16):
    """E_q of a list made of (responsibilities, x, means), equal weights, unit scales."""
    m = [mpmath.mpf(float(v)) for v in means]
    total = None
    for p, place, scale in zip(*truth, strict=True):
        place, scale = mpmath.mpf(float(place)), mpmath.mpf(float(scale))
        reach = int(13 * fine * scale) + 1
        for n in range(-reach, reach + 1):
            x = place + mpmath.mpf(n) / fine
            terms = [mpmath.exp(-((x - v) ** 2) / 2) for v in m]
            whole = mpmath.fsum(terms)
            mass = mpmath.mpf(float(p)) * mpmath.npdf(x, place, scale) / fine
            row = [mass * v for v in function([t / whole for t in terms], x, m)]
            total = row if total is None else [a + b for a, b in zip(total, row, strict=True)]
    return total


def test_it_broadcasts_over_leading_axes() -> None:
    rng = np.random.default_rng(5)
    for module in (compiled(3, "relative"), compiled(3, "both", scale="free", free=True)):
        x = rng.normal(size=80)
        starts = np.array([start_of(module, rng) for _ in range(6)])
        starts[:, -1] = np.abs(starts[:, -1]) + 0.5
        together = module.gradient_em_step(x, starts.reshape(2, 3, -1))
        alone = [module.gradient_em_step(x, c) for c in starts]
        np.testing.assert_allclose(together.reshape(6, -1), alone, rtol=1e-9, atol=1e-12)


# ----------------------------------------------------------------------------- it never falls


@pytest.mark.parametrize("k", K)
@pytest.mark.parametrize("chart", ["identity", "relative"])
@few
@given(seeds, st.floats(0.01, 0.999))
def test_below_the_sharp_bound_the_likelihood_never_falls(k: int, chart: str, seed, share) -> None:
    rng = np.random.default_rng(seed)
    module = compiled(k, chart)
    x, c = sample_of(rng), start_of(module, rng)
    rate = share * float(derived(k, chart).safe_rate.sharp)
    try:
        after = module.gradient_em_step(x, c, rate)
    except DomainError:
        after = module.gradient_em_step(x, c)
    assert falls(module, x, c, after) <= 0
    assert falls(module, x, c, module.gradient_em_step(x, c)) <= 0


@pytest.mark.parametrize("k", K)
@pytest.mark.parametrize("excess", [1.02, 1.5])
def test_above_the_sharp_bound_some_data_refute(k: int, excess: float) -> None:
    """All data of the last component, the others far off: there L is the bound's parabola."""
    module, d = compiled(k, "relative"), derived(k, "relative")
    c = np.append(-100.0 * (k - 1), np.full(k - 1, 100.0))  # the last mean is zero
    x = np.array([0.5])
    rate = excess * float(d.safe_rate.sharp)
    before = module.log_likelihood(x, c)
    assert module.log_likelihood(x, module.gradient_em_step(x, c, rate)) < before - 1e-3
    safe = 2 * 0.999 / float(k)
    assert module.log_likelihood(x, module.gradient_em_step(x, c, safe)) > before
    assert d.safe_rate.rate < float(d.safe_rate.sharp)  # 2/λ_max(AᵀA) is safe too, and no bound


SEARCHED = {
    "square": ("square", {}),
    "exp": ("exp", {}),
    "softplus": ("softplus", {}),
    "softmax": ("softmax", {"free": True}),
    "weights": ("relative", {"free": True}),
    "all free": ("identity", {"free": True, "scale": "free"}),
    "both": ("both", {"free": True, "scale": "free"}),
    "log": ("log", {"free": True, "scale": "free"}),
}


@pytest.mark.parametrize("name", SEARCHED)
@few
@given(seeds, st.sampled_from((2, 3, 5)))
def test_a_searched_step_never_lowers_the_likelihood(name: str, seed, k) -> None:
    chart, how = SEARCHED[name]
    rng = np.random.default_rng(seed)
    module = compiled(k, chart, **how)
    x, c = sample_of(rng), start_of(module, rng)
    w = rng.dirichlet(np.ones(x.size)) if seed % 2 else None
    for _ in range(4):
        after = module.gradient_em_step(x, c, weights=w)
        assert falls(module, x, c, after, w) <= 0
        module.to_model(after)  # inside of the domain
        c = after


@pytest.mark.parametrize(
    "name",
    [
        "square",
        "weights",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("all free", "softmax")),
    ],
)
def test_searched_steps_reach_a_stationary_point(name: str) -> None:
    chart, how = SEARCHED[name]
    module = compiled(3, chart, **how)
    rng = np.random.default_rng(2)
    x = np.concatenate([rng.normal(m, 1.0, 60) for m in (-3.0, 0.0, 3.0)])
    values = {"pi": 0.33, "alpha": 0.1, "sigma": 1.2, "Delta": 1.5, "mu": -2.0}
    c = np.array([values[n.partition("_")[0]] for n in module.COORDINATES])
    if name == "all free":
        c[2:5] = [-2.5, 0.1, 2.0]
    for _ in range(2000 if name == "all free" else 300):
        c = module.gradient_em_step(x, c)
    assert module.gradient_em_step(x, c, full_output=True).residual < 1e-4
    np.testing.assert_allclose(module.score(x, c), 0.0, atol=1e-4)


def test_weights_may_reach_the_edge_and_the_rest_learns_on() -> None:
    """A component that the data do not want: its weight goes to zero, the others go on."""
    module = compiled(3, "relative", free=True)
    rng = np.random.default_rng(0)
    x = rng.normal(size=300)
    c = np.array([0.3, 0.3, -6.0, 6.0, 6.0])
    for _ in range(60):
        step = module.gradient_em_step(x, c, full_output=True)
        assert falls(module, x, c, step.coords) <= 0
        assert step.gain >= 0
        c = step.coords
    assert 1 - c[0] - c[1] < 1e-12  # the last weight
    assert c[0] < 1e-3
    assert np.abs(module.score(x, c)[2:]).max() < 1e-4
    one = module.log_likelihood(x, [0.5, 0.25, x.mean(), 0.0, 0.0])
    assert module.log_likelihood(x, c) > one - 1e-4


@pytest.mark.parametrize("weight", [1e-12, 1e-300, 0.0])
def test_light_weights_do_no_harm(weight: float) -> None:
    module = compiled(3, "identity", free=True)
    rng = np.random.default_rng(1)
    x = rng.normal(size=100)
    c = np.array([weight, 0.5, -1.0, 0.2, 1.0])
    for _ in range(5):
        after = module.gradient_em_step(x, c)
        assert falls(module, x, c, after) <= 0
        c = after
    assert c[0] > 1e-6  # the likelihood wants it, and it comes back


def test_a_bound_that_holds_has_its_multiplier() -> None:
    """Relative chart, data that would have the means in the other order."""
    module = compiled(2, "relative")
    x = np.array([-2.0, -1.9, 2.1, 2.0])
    c = np.array([0.1, 0.0])  # merged: the gradient of the gap is half of that of the mean
    step = module.gradient_em_step(x - 3.0, c, full_output=True)
    assert step.coords[1] == 0.0
    assert step.active == ("Delta_1",)
    score = module.score(x - 3.0, c)
    assert step.multipliers["Delta_1"] == pytest.approx(-score[1], rel=1e-14)
    one = module.gradient_em_step(np.array([-9.0]), [0.0, 0.2], full_output=True)
    assert one.coords[1] == 0.0
    assert one.notes == ("the step ends on a bound of the domain: Delta_1 = 0",)


def test_a_component_without_data_stays() -> None:
    """EM refuses an empty component; the gradient leaves it where it is."""
    module = compiled(3, "identity")
    x = np.array([0.0, 0.1, -0.1])
    after = module.gradient_em_step(x, [0.3, 500.0, 600.0])
    assert after[1:].tolist() == [500.0, 600.0]
    assert falls(module, x, [0.3, 500.0, 600.0], after) <= 0


def test_a_family_without_statistics_is_searched_by_its_likelihood() -> None:
    model = rs.mixture(_logistic(), 3)
    module = rs.derive(model).compile()
    rng = np.random.default_rng(3)
    x = rng.logistic(size=80)
    c = np.array([0.3, 0.3, -3.0, 0.5, 4.0])
    low = module.log_likelihood(x, c)
    for _ in range(30):
        after = module.gradient_em_step(x, c)
        assert falls(module, x, c, after) <= 0
        c = after
    assert module.log_likelihood(x, c) > low + 0.1


def _logistic():
    return rs.family(
        "-(x - m) - 2*log(1 + exp(-(x - m)))", parameters={"m": "real"}, support="line"
    )


# ----------------------------------------------------------------------------- what is refused


def test_a_rate_that_leaves_the_domain_names_one_that_does_not() -> None:
    module = compiled(3, "relative")
    c = np.array([-1.0, 0.5, 2.0])
    x = np.array([-2.0, -1.0, 0.0])
    with pytest.raises(
        DomainError, match=r"Delta_1 is outside its domain.*rate of at most"
    ) as found:
        module.gradient_em_step(x, c, 50.0)
    within = float(str(found.value).rpartition("at most ")[2].partition(",")[0])
    assert module.gradient_em_step(x, c, within)[1] >= 0.0
    with pytest.raises(DomainError):
        module.gradient_em_step(x, c, 1.001 * within)
    with pytest.raises(DomainError, match="stays on the bound"):
        module.gradient_em_step(np.array([-9.0]), [0.0, 0.0, 0.0], 0.1)


def test_a_rate_that_leaves_the_simplex_is_refused_too() -> None:
    module = compiled(3, "identity", free=True)
    c = np.array([0.45, 0.45, -1.0, 0.0, 9.0])  # the last weight is 0.1, and no point wants it
    x = np.array([-1.0, 0.0, 0.5])
    with pytest.raises(DomainError, match=r"the weight of component 3 is negative.*at most 0\.045"):
        module.gradient_em_step(x, c, 0.2)


@pytest.mark.parametrize("rate", [0.0, -1.0, [0.1, 0.2], np.nan, "fast"])
def test_what_is_no_rate_is_refused(rate: object) -> None:
    with pytest.raises(DataError, match="rate"):
        compiled(3, "relative").gradient_em_step([0.0, 1.0], [0.0, 1.0, 1.0], rate)


# ----------------------------------------------------------------------------- C = E[ψψᵀ]


@pytest.mark.parametrize("k", K)
@pytest.mark.parametrize("truth", [STANDARD, MIXED], ids=["one", "two"])
@pytest.mark.parametrize("spread", [1.0, 1e-6, 9.0])
def test_the_gram_matrix_is_that_of_mpmath(k: int, truth, spread: float) -> None:
    module = compiled(k, "identity")
    means = spread * np.linspace(-1.0, 1.3, k)
    found = module.responsibility_gram(means, truth)
    with mpmath.workdps(25):
        pairs = _expected(
            k,
            means,
            truth,
            lambda r, *_: [r[i] * r[j] for i in range(k) for j in range(i + 1)],
            64 if spread > 1 else 16,
        )
    exact = np.zeros((k, k))
    exact[np.tril_indices(k)] = [float(v) for v in pairs]
    np.testing.assert_allclose(np.tril(found), exact, rtol=1e-13, atol=1e-30)
    np.testing.assert_array_equal(found, found.T)
    assert found.sum() == pytest.approx(1.0, abs=1e-14)
    assert np.linalg.eigvalsh(found).min() > -1e-15


@pytest.mark.parametrize("k", K)
@pytest.mark.parametrize("chart", ["identity", "relative", "square", "exp"])
@few
@given(seeds)
def test_it_gives_the_averaged_gradient(k: int, chart: str, seed) -> None:
    """−∇L = Jᵀ(Cμ − Σ_j p_j E_j[r] m_j), for N(0, 1) and for a mixture of unit normals."""
    rng = np.random.default_rng(seed)
    module = compiled(k, chart)
    c = start_of(module, rng)
    _, means, _ = module.components(c)
    j = module.jacobian(c)
    for weights, places, _ in (STANDARD, MIXED):
        truth = (weights, places, np.ones_like(places))
        slope = module.responsibility_gram(c, truth) @ means
        size = module.responsibility_gram(c, truth) @ np.abs(means)
        for p, m in zip(weights, places, strict=True):
            one = (np.ones(1), np.array([m]), np.ones(1))
            mass = module.responsibility_gram(c, one).sum(axis=-1)  # E_j[r_k], as Σ_i r_i is one
            slope = slope - p * m * mass
            size = size + p * abs(m) * mass
        scale = np.abs(j).T @ size + 1e-300
        assert (np.abs(module.averaged_field(c, truth) + j.T @ slope) <= 1e-13 * scale).all()


def test_gram_of_a_sample_and_of_a_batch() -> None:
    module = compiled(3, "relative", free=True)
    rng = np.random.default_rng(4)
    c = np.array([start_of(module, rng) for _ in range(4)]).reshape(2, 2, -1)
    x, w = rng.normal(size=70), rng.dirichlet(np.ones(70))
    found = module.responsibility_gram(c, (x, w))
    r = module.responsibilities(x, c)
    np.testing.assert_allclose(found, np.einsum("n,...nk,...nj->...kj", w, r, r), rtol=1e-13)
    population = module.responsibility_gram(c, MIXED)
    assert population.shape == (2, 2, 3, 3)
    alone = module.responsibility_gram(c[1, 0], MIXED)
    np.testing.assert_allclose(population[1, 0], alone, rtol=1e-13)
    np.testing.assert_array_equal(compiled(1, "identity").responsibility_gram([0.3], STANDARD), 1.0)


# --------------------------------------------------------------- Xu, Fazel and Du (2024)


def test_the_projected_gradient_is_the_mean_square_of_the_posterior_mean() -> None:
    """⟨∇ KL, μ⟩ = E[ψ̃²] = μᵀCμ: Corollary 10."""
    module = compiled(3, "identity")
    means = np.array([-1.5, 0.25, 2.0])
    gradient = -module.averaged_field(means, STANDARD)
    square = means @ module.responsibility_gram(means, STANDARD) @ means
    assert gradient @ means == pytest.approx(square, rel=1e-13)


@pytest.mark.parametrize("k", [2, 3])
def test_an_over_parameterised_fit_comes_in_sublinearly(k: int) -> None:
    """Means of K components at N(0, 1), weights 1/K: KL = K²/(16 t²) as t = ηn grows.

    Xu, Fazel and Du (2024), Theorem 2, prove O(1/√t), which is an upper bound and not the rate.
    With Σ μ_k = 0 and V = Σ μ_k²/K small, KL = V²/4 to leading order and dV/dt = −2V²/K.
    """
    module, d = compiled(k, "identity"), derived(k, "identity")
    start = np.linspace(-1.0, 1.0, k) + 0.1
    rate, c = float(d.safe_rate.sharp) / 2, start
    q = rs.truth("normal", weights=[1], means=[0], scales=1)
    x, w = rs.nodes(q, start, derivation=d)
    times, losses, spreads = [250, 1000], [], []
    for n in range(1, times[-1] + 1):
        c = module.gradient_em_step(x, c, weights=w)
        if n in times:
            losses.append(float(module.kl(c, q)))
            spreads.append(float(c @ c) / k)
    t = rate * np.array(times)
    assert (np.diff(losses * np.sqrt(t)) < 0).all()  # bounded: the theorem's bound holds
    scaled = losses * t**2 / (k**2 / 16)
    assert abs(scaled[1] - 1) < abs(scaled[0] - 1)
    assert abs(scaled[1] - 1) < 0.05
    assert abs(spreads[1] * t[1] / (k / 2) - 1) < 0.05


def test_the_trap_of_theorem_7() -> None:
    """μ = (12, −12, 0), weights 1/3, d = 1: the gradient is far below any rate of learning."""
    module = compiled(3, "identity")
    c = np.array([12.0, -12.0, 0.0])
    gradient = module.averaged_field(c, STANDARD)
    with mpmath.workdps(40):
        one = _expected(
            3, c, STANDARD, lambda r, x, m: [a * (x - v) for a, v in zip(r, m, strict=True)], 64
        )
    np.testing.assert_allclose(gradient[:2], [float(v) for v in one[:2]], rtol=1e-10)
    assert np.abs(gradient).max() < 1e-7
    assert module.kl(c, STANDARD) > 1.0  # and the loss is nowhere near zero: log 3
    q = rs.truth("normal", weights=[1], means=[0], scales=1)
    x, w = rs.nodes(q, c, derivation=derived(3, "identity"))
    for _ in range(100):
        c = module.gradient_em_step(x, c, 1.0, weights=w)
    assert np.abs(c).max() >= 12 - 1e-5  # the theorem says 10 √d
