"""Mixtures of every family, built in or own: against SciPy, a plain EM, mpmath, the oracle."""

from __future__ import annotations

import types
from collections.abc import Callable
from functools import cache
from typing import Any

import mpmath
import numpy as np
import pytest
import scipy.stats
import sympy as sp
from scipy.special import digamma

import relrep_sym as rs
from relrep_sym.errors import DataError, DomainError

BUILT_IN: dict[str, dict[str, object]] = {
    "normal": {},
    "laplace": {},
    "exponential": {},
    "gamma": {},
    "poisson": {},
    "geometric": {},
    "binomial": {"trials": 12},
}

OWN: dict[str, Callable[[], Any]] = {
    "logistic": lambda: rs.family(
        "-(x - m)/s - 2*log(1 + exp(-(x - m)/s)) - log(s)",
        {"m": "real", "s": "positive"},
        name="logistic",
    ),
    "student": lambda: rs.family(
        "log(2) - log(4*atan(1)) - log(3)/2 - log(s) - 2*log(1 + ((x - m)/s)**2/3)",
        {"m": "real", "s": "positive"},
        name="student",
    ),
    "weibull": lambda: rs.family(
        "log(k) - log(s) + (k - 1)*log(x/s) - (x/s)**k",
        {"k": "positive", "s": "positive"},
        "half-line",
        name="weibull",
    ),
    "power": lambda: rs.family("log(a) + (a - 1)*log(x)", {"a": "positive"}, (0, 1), name="power"),
    "pairs": lambda: rs.family(
        "2*log(p) + log(x + 1) + x*log(1 - p)", {"p": "unit"}, "integers", name="pairs"
    ),
    "die": lambda: rs.family(
        "a*x - log(1 + exp(a) + exp(2*a) + exp(3*a) + exp(4*a) + exp(5*a))",
        {"a": "real"},
        range(6),
        name="die",
    ),
}
"""One of each support, and on the line one with light and one with heavy tails."""

ALL = [*BUILT_IN, *OWN]


@cache
def derived(name: str, components: int) -> Any:
    if name in OWN:
        return rs.derive(rs.mixture(OWN[name](), components=components))
    return rs.derive(rs.mixture(name, components=components, **BUILT_IN[name]))


@cache
def compiled(name: str, components: int) -> types.ModuleType:
    return derived(name, components).compile()  # type: ignore[no-any-return]


SCIPY: dict[str, tuple[Callable[..., Any], tuple[float, ...], tuple[float, ...]]] = {
    "normal": (scipy.stats.norm.logpdf, (0.4, -1.0), (1.5, 0.7)),
    "laplace": (scipy.stats.laplace.logpdf, (0.4, -1.0), (1.5, 0.7)),
    "exponential": (lambda x, r: scipy.stats.expon.logpdf(x, scale=1 / r), (0.4, 3.0), ()),
    "gamma": (lambda x, a, s: scipy.stats.gamma.logpdf(x, a, scale=s), (0.6, 3.5), (2.0, 0.3)),
    "poisson": (scipy.stats.poisson.logpmf, (0.4, 30.0), ()),
    "geometric": (lambda x, p: scipy.stats.geom.logpmf(x + 1, p), (0.3, 0.02), ()),
    "binomial": (lambda x, p: scipy.stats.binom.logpmf(x, 12, p), (0.3, 0.9), ()),
    "logistic": (scipy.stats.logistic.logpdf, (0.4, -1.0), (1.5, 0.7)),
    "student": (lambda x, m, s: scipy.stats.t.logpdf(x, 3, m, s), (0.4, -1.0), (1.5, 0.7)),
    "weibull": (lambda x, k, s: scipy.stats.weibull_min.logpdf(x, k, 0, s), (0.6, 3.5), (2.0, 0.3)),
    "power": (scipy.stats.beta.logpdf, (0.6, 3.5), ()),
    "pairs": (lambda x, p: scipy.stats.nbinom.logpmf(x, 2, p), (0.3, 0.02), ()),
}


def sample_of(name: str) -> np.ndarray:
    rng = np.random.default_rng(7)
    if name in ("normal", "laplace", "logistic", "student"):
        return rng.normal(size=200) * 20
    if name in ("exponential", "gamma", "weibull"):
        return 10.0 ** rng.uniform(-6, 2, size=200)
    if name == "power":
        return rng.uniform(size=200)
    return rng.integers(0, 13, size=200).astype(float)


@pytest.mark.parametrize("name", SCIPY)
def test_log_densities_are_scipys(name: str) -> None:
    logpdf, first, second = SCIPY[name]
    k, x = compiled(name, 2), sample_of(name)
    rows = (first, second) if second else (first,)
    if name == "power":
        want = [logpdf(x, first[0], 1.0), logpdf(x, first[1], 1.0)]
    else:
        want = [logpdf(x, *(row[j] for row in rows)) for j in range(2)]
    mixed = np.logaddexp(np.log(0.3) + want[0], np.log(0.7) + want[1])
    got = k.log_density(x, [0.3, *(v for row in rows for v in row)])
    np.testing.assert_allclose(got, mixed, rtol=1e-11, atol=1e-11)
    r = k.responsibilities(x, [0.3, *(v for row in rows for v in row)])
    np.testing.assert_allclose(r[:, 0], np.exp(np.log(0.3) + want[0] - mixed), rtol=1e-9)


@pytest.mark.parametrize("name", BUILT_IN)
def test_draws_have_the_models_distribution(name: str) -> None:
    """Counts in the bins of ten quantiles, by a χ² test with a seeded generator."""
    k = compiled(name, 1)
    at = {"gamma": [2.5, 0.4], "normal": [1.0, 2.0], "laplace": [1.0, 2.0], "geometric": [0.2],
          "binomial": [0.4], "exponential": [4.0], "poisson": [6.0]}[name]  # fmt: skip
    x = k.sample(at, 20_000, rng=3)
    edges = np.unique(np.quantile(x, np.linspace(0.1, 0.9, 9)))
    with np.errstate(all="ignore"):
        grid = {
            "gamma": lambda v: scipy.stats.gamma.cdf(v, 2.5, scale=0.4),
            "normal": lambda v: scipy.stats.norm.cdf(v, 1, 2),
            "laplace": lambda v: scipy.stats.laplace.cdf(v, 1, 2),
            "exponential": lambda v: scipy.stats.expon.cdf(v, scale=0.25),
            "poisson": lambda v: scipy.stats.poisson.cdf(v, 6),
            "geometric": lambda v: scipy.stats.geom.cdf(v + 1, 0.2),
            "binomial": lambda v: scipy.stats.binom.cdf(v, 12, 0.4),
        }[name](edges)
    shares = np.diff(np.concatenate([[0.0], grid, [1.0]]))
    which = np.searchsorted(edges, x, side="left")
    counts = np.bincount(which, minlength=len(edges) + 1)
    assert scipy.stats.chisquare(counts, shares * len(x)).pvalue > 1e-3


@pytest.mark.parametrize("components", [2, 3])
@pytest.mark.parametrize("name", ["exponential", "geometric", "binomial"])
def test_em_is_the_plain_em(name: str, components: int) -> None:
    """Fifty steps of a plain NumPy EM, responsibilities from SciPy's log-densities."""
    k, logpdf = compiled(name, components), SCIPY[name][0]
    rng = np.random.default_rng(components)
    x = {
        "exponential": rng.exponential(size=300) * rng.choice([0.2, 3.0], size=300),
        "geometric": rng.geometric(rng.choice([0.1, 0.6], size=300)) - 1.0,
        "binomial": rng.binomial(12, rng.choice([0.2, 0.7], size=300)).astype(float),
    }[name]
    weights = np.full(components, 1 / components)
    phi = np.linspace(0.2, 0.7, components)
    coords = np.array([*weights[:-1], *phi])
    for _ in range(50):
        logs = np.log(weights)[:, None] + np.array([logpdf(x, p) for p in phi])
        r = np.exp(logs - logs.max(axis=0))
        r /= r.sum(axis=0)
        mass, mean = r.sum(axis=1), (r @ x) / r.sum(axis=1)
        weights = mass / len(x)
        phi = {"exponential": 1 / mean, "geometric": 1 / (1 + mean), "binomial": mean / 12}[name]
        coords = k.em_step(x, coords)
    np.testing.assert_allclose(coords, [*weights[:-1], *phi], rtol=1e-9)


def test_em_of_gamma_components_with_fixed_shapes() -> None:
    k = rs.derive(rs.mixture("gamma", components=3, shapes=[1, 2, "7/2"])).compile()
    rng, shapes = np.random.default_rng(1), np.array([1, 2, 3.5])
    x, at = rng.gamma(2.0, size=400), np.array([0.3, 0.3, 0.5, 1.0, 1.5])
    found = k.em_step(x, at)
    weights = np.array([0.3, 0.3, 0.4])
    pairs = zip(weights, shapes, at[2:], strict=True)
    dens = np.array([w * scipy.stats.gamma.pdf(x, a, scale=s) for w, a, s in pairs])
    r = dens / dens.sum(axis=0)
    scales = (r @ x) / r.sum(axis=1) / shapes
    np.testing.assert_allclose(found, [*r.mean(axis=1)[:2], *scales], rtol=1e-12)


@pytest.mark.parametrize("patterns", [{}, {"scales": 2}, {"shapes": "tied"}])
def test_a_shape_without_a_closed_form_solves_its_digamma_equation(
    patterns: dict[str, object],
) -> None:
    """ψ(a) = E_k[log x] − log of the scale, for each component or summed over all."""
    d = rs.derive(rs.mixture("gamma", components=3, **patterns))
    k, start = d.compile(), np.array(_ordinary(d))
    start[2:] += 1.0
    x = k.sample(start, 50, rng=0)
    r = k.responsibilities(x, start)
    _, shape, scale = k.components(k.em_step(x, start))
    left = r.sum(axis=0) * (digamma(shape) + np.log(scale))
    right = (r * np.log(x)[:, None]).sum(axis=0)
    if patterns.get("shapes") == "tied":
        left, right = left.sum(), right.sum()
    np.testing.assert_allclose(left, right, rtol=1e-12)


def _ordinary(d: Any) -> list[float]:
    """Coordinates of the identity chart that are in every domain."""
    return [0.2 + 0.1 * i for i in range(len(d.model.names))]


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("exponential", -1e-9),
        ("gamma", -1.0),
        ("geometric", 0.5),
        ("geometric", -1.0),
        ("binomial", 13.0),
        ("binomial", 1.5),
        ("power", 1.1),
        ("die", 6.0),
    ],
)
def test_x_outside_the_support_is_refused(name: str, bad: float) -> None:
    with pytest.raises(DataError, match="x is"):
        compiled(name, 2).log_density([bad], _ordinary(derived(name, 2)))


@pytest.mark.parametrize("prob", [0.0, 1.0])
def test_probabilities_are_inside_of_the_unit_interval(prob: float) -> None:
    with pytest.raises(DomainError, match="prob"):
        compiled("geometric", 2).log_density([1.0], [0.5, 0.5, prob])
    with pytest.raises(DomainError, match="prob"):
        compiled("geometric", 2).averaged_field([0.5, 0.5, 0.2], ([1.0], [prob]))


# ------------------------------------------------------------------------------ merging components


@pytest.mark.parametrize("name", ["laplace", "logistic", "student", "weibull"])
def test_the_weight_score_keeps_its_digits_where_components_merge(name: str) -> None:
    """∂ log p/∂π_1 = (f_1 − f_3)/p at K = 3, f_1 and f_3 a 1e-9 apart, against forty digits."""
    d, gap = derived(name, 3), 1e-9
    first = {"weibull": 1.5}.get(name, 0.0)  # near zero a location's difference is known exactly
    phi = ([first, first + 2, first + gap], [0.9, 1.4, 0.9])
    coords = [0.25, 0.35, *phi[0], *phi[1]]
    x = np.array([0.3, 0.8, 1.7, 5.0, 40.0])
    if name != "weibull":
        x = np.concatenate([-x, x])
    got = d.compile().score_samples(x, coords)[:, 0]
    family = d.model.family
    f = sp.lambdify((family.x, *family.symbols), family.log_density, "mpmath")
    with mpmath.workdps(40):
        rows = [tuple(mpmath.mpf(v) for v in column) for column in zip(*phi, strict=True)]
        weights = [mpmath.mpf(coords[0]), mpmath.mpf(coords[1])]
        weights.append(1 - weights[0] - weights[1])
        for at, value in zip(x, got, strict=True):
            dens = [mpmath.exp(f(mpmath.mpf(float(at)), *row)) for row in rows]
            want = (dens[0] - dens[2]) / mpmath.fdot(weights, dens)
            # the parameters are known to a rounding of their own size
            room = 64 * 2.0**-53 * (abs(want) + abs(first) * 2)
            assert abs(value - want) <= room + 1e-300


@pytest.mark.parametrize("name", ["laplace", "logistic", "student"])
@pytest.mark.parametrize("gap", [1e-6, 1e-9, 1e-12])
def test_gaps_of_a_relative_chart_keep_their_digits(name: str, gap: float) -> None:
    """The same far from the origin: the gap is a coordinate, so that it alone is rounded."""
    model = derived(name, 3).model
    family = model.family
    chart = rs.relative(model, family.location.name, gap="plain")
    coords = [0.25, 0.35, 0.7, gap, 2 * gap, 0.9, 0.9, 0.9]
    x = np.array([-9.0, -0.3, 1.3, 4.1])
    got = rs.derive(model, chart).compile().score_samples(x, coords)[:, 0]
    f = sp.lambdify((family.x, *family.symbols), family.log_density, "mpmath")
    with mpmath.workdps(50):
        exact = [mpmath.mpf(v) for v in coords]
        weights = [exact[0], exact[1], 1 - exact[0] - exact[1]]
        places = [exact[2], exact[2] + exact[3], exact[2] + exact[3] + exact[4]]
        for at, value in zip(x, got, strict=True):
            dens = [mpmath.exp(f(mpmath.mpf(float(at)), m, exact[5])) for m in places]
            want = (dens[0] - dens[2]) / mpmath.fdot(weights, dens)
            assert abs(value - want) <= 64 * 2.0**-53 * abs(want)


# ------------------------------------------------------------------------------ expectations


@pytest.mark.parametrize("name", ALL)
def test_the_field_vanishes_at_the_truth_and_so_does_the_divergence(name: str) -> None:
    k = compiled(name, 3)
    at = _ordinary(derived(name, 3))
    weights, *rows = k.components(at)
    field = k.averaged_field(at, (weights, *rows))
    scale = np.sqrt(np.diagonal(k.fisher(at)))
    assert (np.abs(field) <= 1e-14 * (1 + scale)).all()
    assert 0 <= k.kl(at, (weights, *rows)) < 1e-28


@pytest.mark.parametrize("name", ALL)
def test_a_batch_is_its_members(name: str) -> None:
    k, rng = compiled(name, 3), np.random.default_rng(5)
    at = np.array(_ordinary(derived(name, 3)))
    batch = at * rng.uniform(0.7, 1.3, size=(2, 3, len(at)))
    truth = k.components(at)
    field, fisher, kl = k.averaged_field(batch, truth), k.fisher(batch), k.kl(batch, truth)
    assert (field.shape, fisher.shape, kl.shape) == (
        batch.shape,
        (*batch.shape, len(at)),
        (2, 3),
    )
    for i in np.ndindex(2, 3):
        scale = np.sqrt(np.diagonal(fisher[i]))
        alone = k.averaged_field(batch[i], truth)
        assert (np.abs(field[i] - alone) <= 1e-13 * (np.abs(alone) + scale)).all()
        rows = np.abs(fisher[i] - k.fisher(batch[i]))
        assert (rows <= 1e-12 * np.outer(scale, scale)).all()
        np.testing.assert_allclose(kl[i], k.kl(batch[i], truth), rtol=1e-11)


def test_a_gamma_density_singular_at_zero_is_integrated() -> None:
    """E[log x] of a gamma variable is ψ(a) + log s: its score by the shape has mean zero."""
    k = compiled("gamma", 2)
    truth = ([1.0], [0.125], [1.0])
    got = k.averaged_field([0.5, 0.125, 0.125, 1.0, 1.0], truth)
    assert (np.abs(got) < 1e-12).all()
    information = k.fisher([0.5, 0.125, 0.125, 1.0, 1.0])[1, 1]
    with mpmath.workdps(30):
        want = mpmath.psi(1, mpmath.mpf("0.125")) / 4
    assert abs(information - want) <= 1e-13 * want


def test_where_quadrature_does_not_settle_an_error_says_so() -> None:
    """At a shape of 1/100 a part in 500 of the mass lies below the smallest double."""
    k = compiled("gamma", 2)
    with pytest.raises(DomainError, match=r"quadrature does not settle.*an estimate of"):
        k.averaged_field([0.5, 0.01, 0.02, 1.0, 1.0], ([1.0], [0.01], [1.0]))


# ------------------------------------------------------------------------------ certificates


@pytest.mark.slow
@pytest.mark.parametrize(("name", "components"), [("binomial", 3), ("die", 3)])
def test_a_quick_certificate(name: str, components: int) -> None:
    derived(name, components).verify(digits=20).check()


@pytest.mark.slow
@pytest.mark.parametrize("components", [2, 3])
@pytest.mark.parametrize("name", ALL)
def test_certificates_of_every_family(name: str, components: int) -> None:
    derived(name, components).verify(digits=25, seconds=900.0).check()


@pytest.mark.slow
@pytest.mark.parametrize("components", [2, 3])
@pytest.mark.parametrize("name", BUILT_IN)
def test_full_certificates_of_built_in_families(name: str, components: int) -> None:
    derived(name, components).verify(digits=25, full=True, seconds=900.0).check()


@pytest.mark.parametrize("order", [[0.2, 0.3, 0.5], [0.5, 0.2, 0.3]])
def test_fields_in_a_softmax_chart_are_the_identitys_pulled_back(order: list[float]) -> None:
    """Whichever component is the heaviest, and so the one that derivatives are relative to."""
    model = rs.mixture("laplace", components=3, scales=1)
    plain = rs.derive(model).compile()
    soft = rs.derive(model, rs.softmax(model)).compile()
    theta = np.array([*order[:2], -1.0, 0.5, 2.0])
    coords = soft.from_model(theta)
    truth = ([0.4, 0.6], [-0.5, 1.5], [1.0, 1.0])
    want = plain.averaged_field(theta, truth) @ soft.jacobian(coords)
    np.testing.assert_allclose(soft.averaged_field(coords, truth), want, atol=1e-12)
    inner = soft.jacobian(coords)
    np.testing.assert_allclose(
        soft.fisher(coords), inner.T @ plain.fisher(theta) @ inner, atol=1e-12
    )


def test_a_far_component_of_a_family_written_with_logistic() -> None:
    """Where 1 + e⁻ᶻ overflows, log σ(z) is still −softplus(−z)."""
    said = rs.family(
        "log(logistic((x - m)/s)) + log(logistic(-(x - m)/s)) - log(s)",
        {"m": "real", "s": "positive"},
        "line",
        name="said",
    )
    model = rs.mixture(said, components=3, ss=1)
    k = rs.derive(model).compile()
    far = [0.2, 0.3, -1.0, 0.0, 2000.0]
    assert np.isfinite(k.log_density([-3000.0, 0.0, 5000.0], far)).all()
    at = np.array([0.2, 0.3, -1.0, 0.0, 100.0])
    truth = ([1.0], [0.0], [1.0])
    step = 1e-5 * np.array([0, 0, 1.0, 0, 0])
    moved = k.kl(at + step, truth) - k.kl(at - step, truth)
    np.testing.assert_allclose(k.averaged_field(at, truth)[2], -moved / 2e-5, rtol=1e-6)
