"""Every kernel follows a change of units: x, locations and scales times 2^e, rates divided."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import pytest

import relrep_sym as rs
from relrep_sym.errors import DataError, DomainError, RelrepWarning
from relrep_sym.runtime.expectation import Nodes
from tests.units import (
    EXACT,
    Case,
    Units,
    base,
    compiled,
    coords_of,
    kernels,
    maximum,
    problem_of,
)

U = 2.0**-53
QUICK = (-500, -260, -60, 60, 260, 500)
FEW = (-500, 60, 500)

NORMAL = [
    Case("normal", 1, "identity"),
    *(Case("normal", 2, c) for c in ("identity", "plain", "square", "log", "weights", "own")),
    *(Case("normal", 3, c) for c in ("plain", "exp")),
    Case("exponential", 2, "identity"),
]
OTHERS = [
    *(Case("laplace", k, c) for k, c in ((1, "identity"), (2, "plain"), (3, "log"))),
    *(Case("gamma", k, c) for k, c in ((1, "log"), (2, "identity"))),
    *(Case("logistic", k, c) for k, c in ((1, "identity"), (2, "plain"))),
    *(Case("rayleigh", k, c) for k, c in ((1, "log"), (3, "plain"))),
    Case("exponential", 3, "log"),
    Case("gumbel", 2, "identity"),
    Case("cauchy", 2, "plain"),
    Case("inverse_gamma", 2, "identity"),
    Case("weibull", 2, "log"),
    Case("student", 2, "plain"),
]


def judge(case: Case, e: int) -> None:
    """Each kernel in the units e beside the same in the units of e = 0."""
    moved = Units(case, e)
    logs = bool(moved.shift.any())
    for name, kernel in kernels(case, e).items():
        expected = base(case, name)
        found = np.asarray(kernel(), dtype=float)
        if name in EXACT and not logs and case.family in ("normal", "exponential"):
            np.testing.assert_array_equal(found, expected, err_msg=f"{case}, e = {e}: {name}")
            continue
        # sums of terms of order one; a coordinate that is a logarithm is known to u e log 2, and
        # what an inverse gives to the condition of the matrix
        room = 2.0**12 * U * (1.0 + (abs(e) if logs else 0.0))
        if name in ("natural_field", "ecm_rates", "errors", "intervals") or "cov" in name:
            room *= condition(case)
        if "flow" in name:  # to its own rtol 1e-8 of a coordinate, of which a logarithm has more
            room = 1e-9 * (1.0 + (abs(e) if logs else 0.0))
        size = 1.0 + np.abs(expected) + abs(e) * (name.startswith("log_") or "fit" in name)
        miss = np.abs(found - expected) / (500.0 * size if name == "criteria" else size)
        assert found.shape == expected.shape, name
        assert (miss <= room).all(), f"{case}, e = {e}: {name} off by {miss.max():.1e}, {room:.1e}"


def condition(case: Case) -> float:
    """The larger condition number, at unit diagonal, of the Fisher matrix and the covariance."""
    found = [base(case, "fisher")]
    if "covariance" in kernels(case, 0):
        found.append(base(case, "covariance"))
    scaled = [m / np.sqrt(np.abs(np.outer(np.diag(m), np.diag(m)))) for m in found]
    return float(max(np.linalg.cond(m) for m in scaled))


@pytest.fixture(autouse=True)
def _quiet():
    """Samples of forty points end close to where a mixture is singular; that is said, and fine."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RelrepWarning)
        yield


@pytest.mark.parametrize("e", QUICK)
@pytest.mark.parametrize("case", NORMAL, ids=str)
def test_every_kernel_follows_the_units(case, e):
    judge(case, e)


@pytest.mark.slow
@pytest.mark.parametrize("e", FEW)
@pytest.mark.parametrize("case", OTHERS, ids=str)
def test_every_kernel_of_other_families_follows_the_units(case, e):
    judge(case, e)


# ------------------------------------------------------------------------------ out of range


@pytest.mark.parametrize("e", [520, 700, -540, 1000, -1000])
def test_beyond_the_range_of_squares_what_has_a_value_is_right(e):
    case = Case("normal", 2, "plain")
    found = kernels(case, e)
    for name in ("score", "em_step", "ecm_step", "fit", "natural_field", "kl", "errors"):
        np.testing.assert_allclose(found[name](), base(case, name), rtol=1e-11, atol=1e-11)
    for name in ("hessian", "fisher", "averaged_hessian", "covariance"):
        with pytest.raises(DomainError, match=r"(over|under)flows double precision"):
            found[name]()


def test_a_fit_in_any_unit_moves_and_collapses_as_in_its_own():
    module = compiled(Case("normal", 2, "identity"))[1]
    x = np.concatenate([np.linspace(-3, -2, 40), np.linspace(2, 3, 40)])
    start = np.array([0.5, -1.0, 1.0, 2.0, 2.0])
    own = module.fit(x, start)
    for e in (520, 700, -540):
        unit = np.array([1.0, *(4 * [2.0**e])])
        other = module.fit(x * 2.0**e, start * unit)
        assert other.converged
        assert other.iterations == own.iterations
        np.testing.assert_array_equal(other.coords / unit, own.coords)


# ------------------------------------------------------------------------------ origin


@pytest.mark.parametrize("case", [NORMAL[1], Case("normal", 3, "plain")], ids=str)
@pytest.mark.parametrize("origin", [-64.0, 1024.0])
def test_a_change_of_origin_changes_locations_alone(case, origin):
    module = compiled(case)[1]
    x, weights, _, truth = problem_of(case)
    at = coords_of(case)
    names = module.COORDINATES
    moving = np.array([n.startswith("mu") and (case.chart == "identity" or n == "mu_1")
                       for n in names])  # fmt: skip
    there = at + origin * moving
    density = (truth[0], truth[1] + origin, truth[2])
    # x, means and origins are dyadic, so that x − μ is the same number
    for name in ("score", "hessian"):
        kernel = getattr(module, name)
        np.testing.assert_array_equal(kernel(x + origin, there, weights), kernel(x, at, weights))
    np.testing.assert_array_equal(module.fisher(there), module.fisher(at))
    room = 64 * U * 40 * (1 + abs(origin))
    np.testing.assert_allclose(
        module.averaged_field(there, density), module.averaged_field(at, truth), atol=room
    )
    step = module.em_step(x + origin, there, weights)
    np.testing.assert_allclose(step - origin * moving, module.em_step(x, at, weights), atol=room)


# ------------------------------------------------------------------------------ what goes along


@cache
def _relative():
    return Units(Case("normal", 2, "plain"), 300)


def test_members_of_a_batch_in_different_units_are_computed_as_if_alone():
    u = _relative()
    at = coords_of(u.case)
    batch = np.array([[at, u.coords(at)], [u.coords(1.5 * at * [0.5, 1, 1, 1, 1]), at]])
    x = np.array([0.5, 2.0**299])
    truth = ([0.5, 0.5], [0.0, 1.0], [1.0, 2.0])
    for call in (
        lambda c: u.k.responsibilities(x, c),
        lambda c: u.k.score_samples(x, c),
        lambda c: u.k.log_density(x, c),
        lambda c: u.k.fisher(c),
        lambda c: u.k.kl(c, truth),
    ):
        whole = call(batch)
        for i in range(2):
            for j in range(2):
                np.testing.assert_allclose(whole[i, j], call(batch[i, j]), rtol=1e-12, atol=0)


def test_out_truths_floors_and_callbacks_follow_the_units():
    u = _relative()
    x, weights, _, _ = problem_of(u.case)
    at = coords_of(u.case)
    out = np.empty(x.size)
    assert u.k.log_density(u.x(x), u.coords(at), out=out) is out
    np.testing.assert_allclose(out + u.e * np.log(2.0), u.k.log_density(x, at), rtol=1e-13)
    nodes = Nodes(x, weights / weights.sum())
    moved = nodes._replace(nodes=u.x(x))
    found = u.vector(u.k.averaged_field(u.coords(at), moved), -1)
    np.testing.assert_array_equal(found, u.k.averaged_field(at, nodes))
    pair = u.vector(u.k.averaged_field(u.coords(at), tuple(moved)), -1)
    np.testing.assert_array_equal(pair, found)
    seen, own = [], []
    held = u.k.fit(u.x(x), u.coords(at), floor=2.0**299, callback=seen.append, max_iter=5)
    plain = u.k.fit(x, at, floor=0.5, callback=own.append, max_iter=5)
    np.testing.assert_array_equal(u.point(held.coords), plain.coords)
    np.testing.assert_array_equal(u.point(held.path), plain.path)
    assert held.reason == plain.reason
    for one, other in zip(seen, own, strict=True):
        np.testing.assert_array_equal(u.point(one.coords), other.coords)
        np.testing.assert_allclose(
            one.log_likelihood + u.e * np.log(2.0), other.log_likelihood, atol=1e-12
        )


def test_the_pseudo_inverse_keeps_the_metric_of_the_charts_own_coordinates():
    # two equal components: the range of the Fisher matrix is that of one normal
    module = compiled(Case("normal", 2, "identity"))[1]
    truth = ([1.0], [0.5], [1.25])
    at = np.array([0.375, 0.0, 0.0, 1.0, 1.0])
    for e in (0, 20, 66, -70):
        unit = 2.0 ** (e * np.array([0, 1, 1, 1, 1]))
        moved = (truth[0], [0.5 * 2.0**e], [1.25 * 2.0**e])
        found = module.natural_field(at * unit, moved, full_output=True)
        assert found.rank == 2
        # of (μ_1, μ_2) and of (σ_1, σ_2) the shortest with the right mean; π is not seen, and zero
        # but for rounding of the others, whose units it has not
        parts = np.array([0.375, 0.625])
        shortest = parts / (parts @ parts)
        mean, spread = 0.5, 0.5 * (0.5**2 + 1.25**2 - 1.0)
        expected = np.concatenate([mean * shortest, spread * shortest])
        np.testing.assert_allclose((found.field / unit)[1:], expected, rtol=1e-11)


def test_fixed_lengths_and_constants_are_in_the_callers_units():
    e = 200
    model = rs.mixture("normal", components=2, scales=[2.0**e, 2.0 ** (e + 1)])
    chart = rs.relative(model, "mu", clearance="lam")
    plain = rs.mixture("normal", components=2, scales=[1, 2])
    there = rs.derive(model, chart).compile()
    here = rs.derive(plain, rs.relative(plain, "mu", clearance="lam")).compile()
    x, at = np.array([-1.0, 0.25, 0.5, 3.0]), np.array([0.25, -0.5, 1.25])
    unit = np.array([1.0, 2.0**e, 2.0**e])
    for name, power in (("em_step", 1), ("ecm_step", 1), ("score", -1)):
        found = getattr(there, name)(x * 2.0**e, at * unit, lam=3.0 * 2.0**e)
        expected = getattr(here, name)(x, at, lam=3.0)
        np.testing.assert_allclose(found * unit**-power, expected, rtol=1e-14, err_msg=name)


@pytest.mark.parametrize("e", [-200, -60, 40, 60, 200])
@pytest.mark.parametrize("family", ["normal", "laplace"])
def test_a_line_search_over_locations_follows_the_units(family, e):
    # where all coordinates have one unit, steepest ascent is the same in every unit
    module, scale = _locations(family)
    x, at = np.array([-2.0, -1.5, -0.25, 0.25, 1.0, 2.25, 2.5]), np.array([-1.0, 1.5])

    def step(unit):
        held = {"pi_1": 0.5, f"{scale}_1": unit, f"{scale}_2": 1.5 * unit}
        return module.gradient_em_step(x * unit, at * unit, **held) / unit

    assert np.abs(step(1.0) - at).max() > 1e-3
    np.testing.assert_allclose(step(2.0**e), step(1.0), rtol=1e-12)


@cache
def _locations(family):
    """Two components of which the locations are learned, and the name of their scales."""
    model = rs.mixture(family, components=2)
    held = rs.derive(model, rs.identity(model), moving=("mu_1", "mu_2"))
    return held.compile(), "sigma" if family == "normal" else "own_b"


@pytest.mark.parametrize("bad", [[1.0, 2.0 + 1.0j], [10**400, 1.0], ["one", 2.0], [None, 1.0]])
@pytest.mark.parametrize("e", [0, 520])
def test_what_is_no_sample_is_refused_in_any_unit(bad, e):
    k = rs.derive(rs.mixture("normal", components=2)).compile()
    coords = [0.4, *(float(np.ldexp(v, e)) for v in (-1.0, 1.0, 1.0, 1.5))]
    for function in (k.fit, k.score, k.em_step):
        with pytest.raises(DataError, match="x is not numeric"):
            function(np.array(bad), coords)
    with pytest.raises(DataError, match="rate is not numeric"):
        k.gradient_em_step([1.0, 2.0], coords, rate="fast")


@cache
def _seen():
    model = rs.mixture("normal", components=2)
    plain = rs.relative(model, "mu")
    view = rs.view(plain, {"v": "pi_1", "m": "pi_1*mu_1 + (1 - pi_1)*mu_2", "d": "Delta_1",
                           "s": "sigma_1", "q": "sigma_2/sigma_1"})  # fmt: skip
    return rs.derive(model, plain, view=view).compile()


@pytest.mark.parametrize("e", [-500, 60, 500])
def test_views_and_nodes_follow_the_units(e):
    module = _seen()
    u = Units(Case("normal", 2, "plain"), e)
    x, weights, _, density = problem_of(u.case)
    at, truth = coords_of(u.case), u.truth(density)
    seen = u.unit([0, 1, 1, 1, 0])
    there = u.coords(at)
    np.testing.assert_array_equal(module.to_view(there) / seen, module.to_view(at))
    np.testing.assert_allclose(
        module.view_field(there, truth, rates=u.unit(2 * u.power)) / seen,
        module.view_field(at, density),
        atol=1e-13,
    )
    best = maximum(u.case)
    asked = {"of": "view", "weights": weights, "count": 500.0}
    found = module.standard_errors(u.x(x), u.coords(best), **asked)
    np.testing.assert_array_equal(found / seen, module.standard_errors(x, best, **asked))
    own, moved = (
        rs.nodes(rs.truth("normal", weights=[0.5, 0.5], means=[0, unit], scales=[unit, unit]))
        for unit in (1.0, 2.0**e)
    )
    np.testing.assert_array_equal(moved.nodes * 2.0**-e, own.nodes)
    np.testing.assert_allclose(moved.weights, own.weights, rtol=1e-13)
