"""EM in charts that keep parameters in order: SciPy's solver on Q, multipliers, and fits."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy.optimize import LinearConstraint, minimize

import relrep_sym as rs
from relrep_sym.errors import DomainError

EPS = np.finfo(float).eps
NORMAL = rs.mixture("normal", components=3)
TIED = rs.mixture("normal", components=3, scales="tied")
FIXED = rs.mixture("normal", components=3, scales=[1, "1/2", 2])
POISSON = rs.mixture("poisson", components=3)
GAMMA = rs.mixture("gamma", components=3, shapes=2)
BINOMIAL = rs.mixture("binomial", components=3, trials=9)

# chart, the ordered parameters with their clearance, whether the logarithms are in order
CHARTS = {
    "means, free scales": (rs.relative(NORMAL, "mu"), {"mu": 0.0}, False),
    "means, free scales, clear": (rs.relative(NORMAL, "mu", clearance="1/2"), {"mu": 0.5}, False),
    "means, tied scale": (rs.relative(TIED, "mu", clearance="1/2"), {"mu": 0.5}, False),
    "means, given scales": (
        rs.relative(FIXED, "mu", clearance="1/4", reference="last"),
        {"mu": 0.25},
        False,
    ),
    "scales": (rs.relative(NORMAL, "sigma"), {"sigma": 0.0}, False),
    "scales, clear": (rs.relative(NORMAL, "sigma", clearance="3/10"), {"sigma": 0.3}, False),
    "scales, factors": (
        rs.relative(rs.log(NORMAL, "sigma"), "log_sigma", clearance="3/10"),
        {"sigma": 0.3},
        True,
    ),
    "means and scales": (
        rs.relative(NORMAL, ["mu", "sigma"], clearance="1/5"),
        {"mu": 0.2, "sigma": 0.2},
        False,
    ),
    "rates": (rs.relative(POISSON, "rate", clearance=4), {"rate": 4.0}, False),
    "gamma scales": (rs.relative(GAMMA, "scale", clearance=2), {"scale": 2.0}, False),
    "probabilities": (rs.relative(BINOMIAL, "prob", clearance="3/10"), {"prob": 0.3}, False),
}


@cache
def _module(name):
    chart = CHARTS[name][0]
    return rs.derive(chart.model, chart).compile()


def _density(model, x, parameters):
    """log f by component and point, less what depends on x alone."""
    x, (a, *more) = x[None], [p[:, None] for p in parameters]
    return {
        "normal": lambda: -0.5 * ((x - a) / more[0]) ** 2 - np.log(more[0]),
        "poisson": lambda: x * np.log(a) - a,
        "gamma": lambda: (a - 1) * np.log(x) - x / more[0] - a * np.log(more[0]),
        "binomial": lambda: x * np.log(a) + (9 - x) * np.log1p(-a),
    }[model.family.name]()


def _sample(model, rng, size=150):
    name = model.family.name
    if name == "normal":
        return rng.normal(rng.choice([0.0, 0.3, 1.0], size), rng.choice([0.2, 1.0, 0.6], size))
    if name == "gamma":
        return rng.gamma(2.0, rng.choice([0.3, 1.0, 4.0], size))
    if name == "poisson":
        return rng.poisson(rng.choice([1.0, 3.0, 7.0], size)).astype(float)
    return rng.binomial(9, rng.choice([0.2, 0.5, 0.7], size)).astype(float)


def _start(chart, rng):
    """Random coordinates: small gaps, so that the maximiser is often out of order."""
    out = []
    weights = iter(rng.dirichlet(np.full(3, 3.0)))
    last = "last" in chart.title
    for c in chart.coordinates:
        if c.name.startswith("pi"):
            out.append(next(weights))
        elif c.name.startswith("Delta"):
            out.append(rng.uniform(0, 0.05))
        elif c.name.startswith("mu"):
            out.append(rng.normal() + (1.0 if last else 0.0))
        elif c.name.startswith("log"):
            out.append(rng.normal() - 0.5)
        else:
            out.append(rng.uniform(0.1, 0.3) if c.name.startswith("prob") else rng.uniform(0.3, 1))
    return np.array(out)


def _q(model, x, r, theta, fixed):
    """E[ln p(x, z)] under r (K, N), written out; the last weight is what the others leave."""
    names = dict(zip(model.names, theta, strict=True))
    weights = np.array([names["pi_1"], names["pi_2"], 1 - names["pi_1"] - names["pi_2"]])
    parameters = []
    for p in model.family.parameters:
        tied = names.get(p.name)
        row = [names.get(f"{p.name}_{k}", fixed.get(f"{p.name}_{k}", tied)) for k in (1, 2, 3)]
        parameters.append(np.array(row, dtype=float))
    return float(
        (r * (np.log(weights)[:, None] + _density(model, x, parameters))).sum(axis=0).mean()
    )


@pytest.mark.parametrize("name", CHARTS)
def test_a_step_is_the_constrained_maximiser_of_q(name):
    chart, rooms, multiplicative = CHARTS[name]
    module, model = _module(name), chart.model
    rng = np.random.default_rng(len(name))
    x = _sample(model, rng)
    names = model.names
    rows, least = [], []
    for role, room in rooms.items():
        for k in (1, 2):
            row = np.zeros(len(names))
            row[names.index(f"{role}_{k + 1}")], row[names.index(f"{role}_{k}")] = 1.0, -1.0
            rows.append(row)
            least.append(room)
    logs = np.array([multiplicative and n.startswith("sigma") for n in names])

    def out_of(z):
        return np.where(logs, np.exp(np.where(logs, z, 0.0)), z)

    active = solved = 0
    for trial in range(4):
        start = _start(chart, rng)
        r = module.responsibilities(x, start).T
        step = module.em_step(x, start, full_output=True)
        theta = module.to_model(step.coords)
        fixed = module.FIXED
        reached = _q(model, x, r, theta, fixed)
        before = _q(model, x, r, module.to_model(start), fixed)
        assert step.gain == pytest.approx(reached - before, abs=1e-12)
        assert step.gain >= 0
        assert step.residual < 1e-9
        active += len([n for n in step.active if n.startswith("Delta")])
        # a general solver, from here or from the old point, finds nothing higher
        bounds = []
        for n, log in zip(names, logs, strict=True):
            if n.startswith(("pi", "prob")):
                bounds.append((1e-9, 1 - 1e-9))
            else:
                bounds.append((None, None) if log or n.startswith("mu") else (1e-4, None))
        share = np.array([n.startswith("pi") for n in names], dtype=float)
        first = theta if trial % 2 else module.to_model(start)
        theirs = minimize(
            lambda z, r=r, fixed=fixed: -_q(model, x, r, out_of(z), fixed),
            np.where(logs, np.log(np.where(logs, first, 1.0)), first),
            method="SLSQP",
            bounds=bounds,
            constraints=[
                LinearConstraint(np.array(rows), least, np.inf),
                LinearConstraint(share, 0, 1 - 1e-9),
            ],
            options={"ftol": 1e-12, "maxiter": 200},
        )
        kept = (np.array(rows) @ theirs.x >= np.array(least) - 1e-9).all()
        if np.isfinite(theirs.fun) and kept:
            assert -theirs.fun <= reached + 1e-8
            solved += 1
    assert active  # the bounds hold somewhere, else nothing was tried
    assert solved


@pytest.mark.parametrize("name", [n for n in CHARTS if "factors" not in n])
def test_multipliers_are_the_slopes_of_q_into_the_bounds_and_gaps_there_are_zero(name):
    chart = CHARTS[name][0]
    module, model = _module(name), chart.model
    rng = np.random.default_rng(len(name))
    x = _sample(model, rng)
    seen = 0
    for _ in range(4):
        start = _start(chart, rng)
        r = module.responsibilities(x, start).T
        step = module.em_step(x, start, full_output=True)
        for j, n in enumerate(chart.names):
            if not n.startswith("Delta") or not step.multipliers[n] > 0:
                continue
            seen += 1
            assert step.coords[j] == 0.0
            ahead, further = step.coords.copy(), step.coords.copy()
            ahead[j], further[j] = 1e-5, 2e-5
            q = [
                _q(model, x, r, module.to_model(c), module.FIXED)
                for c in (step.coords, ahead, further)
            ]
            slope = (-1.5 * q[0] + 2 * q[1] - 0.5 * q[2]) / 1e-5
            assert step.multipliers[n] == pytest.approx(-slope, rel=1e-4, abs=1e-8)
    assert seen


def test_a_batch_is_its_members_one_by_one_and_constants_may_differ():
    chart = rs.relative(NORMAL, "mu", clearance="lam")
    module = rs.derive(NORMAL, chart).compile()
    rng = np.random.default_rng(3)
    x = _sample(NORMAL, rng)
    starts = np.array([[_start(chart, rng) for _ in range(4)] for _ in range(3)])
    lam = rng.uniform(0, 1, size=(3, 4))
    whole = module.em_step(x, starts, lam=lam, full_output=True)
    assert "Delta_1" in whole.active
    for i in np.ndindex(3, 4):
        np.testing.assert_allclose(
            whole.coords[i], module.em_step(x, starts[i], lam=lam[i]), rtol=1e-13, atol=1e-15
        )


def test_a_square_gap_keeps_its_sign_and_zero_is_stationary_whatever_the_multiplier():
    square = rs.derive(NORMAL, rs.relative(NORMAL, "mu", gap="square")).compile()
    plain = _module("means, free scales")
    rng = np.random.default_rng(4)
    x = _sample(NORMAL, rng)
    zeros = signs = 0
    for _ in range(12):
        start = _start(CHARTS["means, free scales"][0], rng)
        bent = start.copy()
        bent[3:5] = np.sqrt(start[3:5]) * [-1.0, 1.0]
        theirs, ours = (
            plain.em_step(x, start, full_output=True),
            square.em_step(x, bent, full_output=True),
        )
        np.testing.assert_allclose(ours.coords[3:5] ** 2, theirs.coords[3:5], rtol=1e-9)
        assert ours.coords[3] <= 0 <= ours.coords[4]
        signs += ours.coords[3] < 0
        for k in (1, 2):
            if theirs.multipliers[f"Delta_{k}"] > 0:
                zeros += 1
                assert ours.coords[2 + k] == 0
                text = f"{theirs.multipliers[f'Delta_{k}']:.6g}"
                assert any(f"Delta_{k} = 0" in n and text in n for n in ours.notes)
    assert zeros
    assert signs


@pytest.mark.parametrize("gap", ["exp", "softplus"])
def test_a_gap_that_cannot_be_zero_says_that_the_supremum_is_not_reached(gap):
    module = rs.derive(NORMAL, rs.relative(NORMAL, "mu", gap=gap)).compile()
    plain = _module("means, free scales")
    rng = np.random.default_rng(5)
    x = _sample(NORMAL, rng)
    refused = 0
    for _ in range(12):
        start = _start(CHARTS["means, free scales"][0], rng)
        theta = plain.to_model(start)
        best = plain.em_step(x, start, full_output=True)
        if best.active:
            refused += 1
            with pytest.raises(DomainError, match=r"supremum is at Delta_\d → −∞"):
                module.em_step(x, module.from_model(theta))
        else:
            taken = module.em_step(x, module.from_model(theta))
            np.testing.assert_allclose(
                module.to_model(taken), plain.to_model(best.coords), rtol=1e-10
            )
    assert 0 < refused < 12


def test_a_fit_goes_on_along_the_bound():
    module = _module("means, free scales, clear")
    rng = np.random.default_rng(6)
    x = np.concatenate([rng.normal(-3, 1, 200), rng.normal(0, 0.3, 200), rng.normal(0.2, 2, 200)])
    start = [0.3, 0.3, -2.0, 1.0, 0.1, 1.0, 1.0, 2.0]
    found = module.fit(x, start, tol=1e-11, max_iter=1000)
    assert found.converged
    assert (np.diff(found.history) >= -1e-14).all()
    assert found.coords[4] == 0  # Delta_2: the clearance holds
    last = module.em_step(x, found.coords, full_output=True)
    slope = module.score(x, found.coords)
    held = [j for j in (3, 4) if found.coords[j] == 0]
    assert (slope[held] < 0).all()
    for j in held:  # Q and the log-likelihood touch: the multipliers are the score's
        assert last.multipliers[f"Delta_{j - 2}"] == pytest.approx(-slope[j], rel=1e-3)


def test_far_origins_light_components_and_scales_of_ratio_1e6_keep_the_conditions():
    chart, module = CHARTS["means, free scales"][0], _module("means, free scales")
    rng = np.random.default_rng(7)
    x = 1e5 + np.concatenate([rng.normal(0, 1, 200), rng.normal(0, 1e-3, 100)])
    starts = [
        [1e-12, 0.5, 1e5, 0.0, 0.0, 1.0, 1e-3, 1.0],  # a component of weight 1e-12
        [0.4, 0.3, 1e5, 1e-9, 1e-9, 2.0, 1e-3, 1.0],  # nearly merged
        [0.3, 0.3, 1e5 - 0.1, 0.05, 0.05, 1.0, 1e-3, 1e3],  # scales of ratio 1e6
    ]
    for start in starts:
        step = module.em_step(x, start, full_output=True)
        assert step.gain >= 0
        # a mean at 1e5 has digits to 1e-11, which is 1e-8 scales
        assert step.residual < 4 * EPS * 1e5 / 1e-3
        assert (np.diff(module.to_model(step.coords)[2:5]) >= 0).all()
        after = module.log_likelihood(x, step.coords)
        assert after >= module.log_likelihood(x, start) - 64 * EPS * abs(after)
    assert chart.names[3] == "Delta_1"


def test_without_a_clearance_components_of_one_scale_never_leave_their_order():
    # the likelihood ratio of two is monotone, and with it the ratio of responsibilities
    for name in ("means, tied scale", "rates"):
        model = CHARTS[name][0].model
        role = next(iter(CHARTS[name][1]))
        chart = rs.relative(model, role)
        module = rs.derive(model, chart).compile()
        rng = np.random.default_rng(8)
        x = _sample(model, rng)
        step = module.em_step(x, [_start(chart, rng) for _ in range(40)], full_output=True)
        assert not [n for n in step.active if n.startswith("Delta")]


@pytest.mark.parametrize("count", [2, 5])
@pytest.mark.parametrize("roles", [("mu",), ("sigma",), ("mu", "sigma")])
@pytest.mark.parametrize("gap", ["plain", "square"])
def test_the_likelihood_never_falls_and_steps_from_a_step_stay_in_order(count, roles, gap):
    model = rs.mixture("normal", components=count)
    chart = rs.relative(model, list(roles), gap=gap, clearance="1/10")
    module = rs.derive(model, chart).compile()
    rng = np.random.default_rng(count)
    x = _sample(model, rng)
    coords = np.array(
        [
            [
                rng.uniform(0.5, 1) / count
                if n.startswith("pi")
                else rng.normal()
                if n.startswith("mu")
                else rng.uniform(0.02, 1)
                for n in chart.names
            ]
            for _ in range(8)
        ]
    )
    before = module.log_likelihood(x, coords)
    for _ in range(3):
        step = module.em_step(x, coords, full_output=True)
        after = module.log_likelihood(x, step.coords)
        assert (step.gain >= 0).all()
        assert (after - before >= step.gain - 64 * EPS * np.abs(after)).all()
        assert (step.residual < 1e-8).all()
        coords, before = step.coords, after
        values = dict(zip(module.PARAMETERS, module.to_model(coords).T, strict=True))
        for role in roles:
            row = np.array([values[f"{role}_{k}"] for k in range(1, count + 1)])
            assert (np.diff(row, axis=0) >= 0.1 - 1e-12).all()


def test_a_softmax_with_a_clearance_does_not_reach_it_and_says_so():
    """A light component would get less than the clearance: α grows without end."""
    model = rs.mixture("normal", components=2)
    module = rs.derive(model, rs.softmax(model, clearance=".3")).compile()
    rng = np.random.default_rng(1)
    x = np.append(rng.normal(-5, 1, 90), rng.normal(5, 1, 10))
    with pytest.raises(DomainError, match="it rises while alpha_1 grows without end"):
        module.em_step(x, [0, -5, 5, 1, 1])
    found = module.fit(x, [0, -5, 5, 1, 1])
    assert not found.converged
    assert "alpha_1 grows without end" in found.reason
