"""Ordered steps: the conditions of a maximum, brute force over grids, and SciPy's solvers."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.optimize import LinearConstraint, minimize

from relrep_sym.errors import DomainError
from relrep_sym.runtime.ordered import location_and_scale, ordered, pools
from relrep_sym.runtime.terms import Logit, Power, Profile, Quadratic

EPS = np.finfo(float).eps


def _terms(kind, count, batch, rng, hard=False):
    """Random terms whose peaks are much out of order."""
    lean = -0.7 * np.arange(count)[:, None] * rng.uniform(0, 1, size=batch)
    mass = 10.0 ** rng.uniform(-12 if hard else -1.5, 0, size=(count, batch))
    mass /= mass.sum(axis=0)
    z = rng.normal(size=(count, batch)) + lean
    if kind == "means":
        return Quadratic(z, mass)
    if kind == "profile":
        spread = 10.0 ** rng.uniform(-6 if hard else -1, 0, size=(count, batch))
        return Profile(z, mass, spread)
    if kind == "logit":
        return Logit(0.9 / (1 + np.exp(-z)), mass)
    p, q = {"scale": (-3, -1), "own scale": (-2, -1), "rate": (-1, 0), "shape": (-1, 2)}[kind]
    return Power(np.exp(z * (3 if hard else 0.6)), mass, float(p), float(q))


# each family's own log-density under its statistics, written out once more
def _value(terms, y):
    t, n = terms.peak, terms.mass
    if isinstance(terms, Quadratic):
        return (-0.5 * n * (t - y) ** 2).sum(axis=0)
    if isinstance(terms, Profile):
        return (-0.5 * n * np.log(terms.spread**2 + (t - y) ** 2)).sum(axis=0)
    if isinstance(terms, Logit):
        return (n * (t * np.log(y) + (1 - t) * np.log(1 - y))).sum(axis=0)
    power = terms.q - terms.p
    if terms.q == -1:
        return (n * (-np.log(y) - (t / y) ** power / power)).sum(axis=0)
    return (n * (np.log(y) - (y / t) ** power / power)).sum(axis=0)


KINDS = ["means", "profile", "scale", "own scale", "rate", "shape", "logit"]


@pytest.mark.parametrize("kind", KINDS)
def test_slopes_bends_and_gains_are_derivatives_of_the_value(kind):
    rng = np.random.default_rng(1)
    terms = _terms(kind, 3, 50, rng)
    y = terms.peak * rng.uniform(0.7, 1.1, size=terms.peak.shape)
    ahead, back = y * (1 + 1e-5), y * (1 - 1e-5)
    for k in range(3):
        one = terms.lifted(lambda a, k=k: a[k : k + 1])
        wide = (_value(one, ahead[k : k + 1]) - _value(one, back[k : k + 1])) / (2e-5 * y[k])
        np.testing.assert_allclose(one.slope(y[k : k + 1])[0], wide, rtol=1e-6, atol=1e-8)
        gained = _value(one, y[k : k + 1]) - _value(one, one.peak)
        np.testing.assert_allclose(one.gain(y[k : k + 1])[0], gained, rtol=1e-8, atol=1e-12)
    slopes = (terms.slope(ahead) - terms.slope(back)) / (2e-5 * y)
    np.testing.assert_allclose(terms.bend(y), slopes, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_between_turns_slopes_and_bends_are_monotone(kind):
    rng = np.random.default_rng(2)
    terms = _terms(kind, 1, 40, rng)
    marks = np.sort(np.concatenate([terms.peak, *terms.turns(), terms.peak * 1.05]), axis=0)
    for a, b in pairwise(marks):
        y = a + (b - a) * np.linspace(0, 1, 60)[:, None]
        y = np.clip(y, 1e-9 if terms.low == 0 else -np.inf, terms.high - 1e-9)
        for rows in (terms.slope(y), terms.bend(y)):
            steps = np.diff(rows, axis=0)
            slack = 1e-12 * np.abs(rows).max()
            assert ((steps >= -slack).all(axis=0) | (steps <= slack).all(axis=0)).all()


def _insist_optimal(terms, clearances, multiplicative, found):
    """Feasible, stationary by blocks, multipliers the suffix sums of slopes and not negative."""
    values = found.values
    if multiplicative:
        gaps, factor = np.log(values[1:] / values[:-1]) - clearances, values
    else:
        gaps, factor = np.diff(values, axis=0) - clearances, np.ones_like(values)
    size = np.abs(values).max()
    np.testing.assert_allclose(found.gaps, gaps, rtol=0, atol=8 * EPS * max(1.0, size))
    assert (found.gaps >= 0).all()
    assert (found.multipliers >= 0).all()
    assert ((found.gaps == 0) | (found.multipliers == 0)).all()
    pulls = terms.slope(values) * factor
    room = 40 * EPS * (np.abs(pulls) + np.abs(terms.bend(values) * factor * size)).sum(axis=0)
    before = np.cumsum(pulls, axis=0)
    assert (np.abs(before[-1]) <= room).all()
    assert (np.abs(before[:-1] - found.multipliers) <= room).all()
    assert (found.residual <= 20 * EPS).all()


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("kind", KINDS)
def test_a_maximiser_keeps_the_conditions(kind, count, hard):
    rng = np.random.default_rng(count)
    terms = _terms(kind, count, 60, rng, hard)
    for room in (0.0, 0.05 if kind == "logit" else 0.4):
        clearances = room * rng.uniform(size=(count - 1, 60))
        found = ordered(terms, clearances)
        _insist_optimal(terms, clearances, False, found)
        assert (found.gaps == 0).any()
        if isinstance(terms, Power) or (isinstance(terms, Logit) and not room):
            _insist_optimal(terms, clearances, True, ordered(terms, clearances, True))


def _on_a_grid(terms, clearances, grid):
    """The greatest value over ascending choices of grid points: brute force, always feasible."""
    shift = np.concatenate([[0.0], np.cumsum(clearances)])
    total = np.zeros(len(grid))
    for k, c in enumerate(shift):
        one = terms.lifted(lambda a, k=k: a[k, :1])
        with np.errstate(all="ignore"):
            own = np.array([_value(one, np.array([u])) for u in grid + c])
        total = np.maximum.accumulate(total) + np.where(np.isnan(own), -np.inf, own)
    return total.max()


@pytest.mark.parametrize("count", [2, 3, 4, 5])
@pytest.mark.parametrize("kind", ["profile", "scale", "rate", "logit"])
def test_no_point_of_a_fine_grid_is_higher(kind, count):
    rng = np.random.default_rng(10 + count)
    terms = _terms(kind, count, 10, rng)
    clearances = (0.04 if kind == "logit" else 0.3) * rng.uniform(size=(count - 1, 10))
    found = ordered(terms, clearances)
    best = _value(terms, found.values)
    for b in range(10):
        one = terms.lifted(lambda a, b=b: a[:, b : b + 1])
        places = one.peak[:, 0] - np.concatenate([[0.0], np.cumsum(clearances[:, b])])
        low = places.min() if kind == "profile" else max(places.min(), 1e-3)
        grid = np.linspace(low, max(places.max(), low + 0.1), 600)
        height = _on_a_grid(one, clearances[:, b], grid)
        assert best[b] >= height - 1e-13 * abs(height)
        assert best[b] <= height + 0.05  # the grid comes near


def test_two_far_places_for_one_block_and_the_better_is_taken():
    # a heavy wide component and a light narrow one: three local maxima, in closed form by symmetry
    terms = Profile(
        np.array([[1.0, 1.0], [-1.0, -1.0]]),
        np.array([[0.5, 0.5 + 1e-9], [0.5, 0.5 - 1e-9]]),
        np.full((2, 2), 0.1),
    )
    found = ordered(terms, np.zeros((1, 2)))
    # pooled at u: (1 − u)/(s² + (1 − u)²) = (1 + u)/(s² + (1 + u)²), u² = 1 − s² or u = 0
    np.testing.assert_allclose(np.abs(found.values[0]), np.sqrt(1 - 0.01), rtol=1e-8)
    assert found.values[0, 1] > 0


@pytest.mark.parametrize("count", [3, 5])
@pytest.mark.parametrize("kind", ["means", "rate", "logit"])
def test_concave_problems_have_scipys_solution(kind, count):
    rng = np.random.default_rng(20 + count)
    terms = _terms(kind, count, 12, rng)
    clearances = (0.02 if kind == "logit" else 0.3) * rng.uniform(size=(count - 1, 12))
    found = ordered(terms, clearances)
    step = np.diff(np.eye(count), axis=0)
    for b in range(12):
        one = terms.lifted(lambda a, b=b: a[:, b])
        start = np.sort(one.peak) if kind != "logit" else np.linspace(0.2, 0.8, count)
        start = start + np.concatenate([[0.0], np.cumsum(clearances[:, b])])
        start = np.clip(start, None, 0.999) if kind == "logit" else start
        theirs = minimize(
            lambda y, one=one: -_value(one, y),
            start,
            jac=lambda y, one=one: -one.slope(y),
            method="SLSQP",
            constraints=LinearConstraint(step, clearances[:, b], np.inf),
            bounds=[(1e-6 if kind != "means" else None, 1 - 1e-6 if kind == "logit" else None)]
            * count,
            options={"ftol": 1e-15, "maxiter": 500},
        )
        np.testing.assert_allclose(found.values[:, b], theirs.x, atol=2e-6)
        assert _value(one, found.values[:, b]) >= -theirs.fun - 1e-12


def test_ordered_means_are_isotonic_and_keep_their_digits():
    # means at 1e5 that nearly coincide, masses of 1e-12
    places = 1e5 + np.array([[3e-6], [2e-6], [1e-6]])
    mass = np.array([[1e-12], [1.0], [1e-12]])
    found = ordered(Quadratic(places, mass), np.zeros((2, 1)))
    assert (found.gaps == 0).all()
    np.testing.assert_allclose(found.values, 1e5 + 2e-6, rtol=EPS)
    np.testing.assert_allclose(found.multipliers[:, 0], 1e-18, rtol=1e-4)  # of 1e-6 at 1e5


@pytest.mark.parametrize("multiplicative", [False, True])
@pytest.mark.parametrize("count", [2, 3, 5])
def test_by_turns_means_and_scales_reach_a_maximum_no_lower_than_any_start(count, multiplicative):
    rng = np.random.default_rng(30 + count)
    batch = 5
    m = rng.normal(size=(count, batch)) - 0.5 * np.arange(count)[:, None]
    s = rng.uniform(0.2, 2.0, size=(count, batch))
    n = rng.dirichlet(np.ones(count), size=batch).T
    c, d = (rng.uniform(0, 0.2, size=(count - 1, batch)) for _ in range(2))
    present = np.sort(rng.uniform(0.2, 2.0, size=(count, batch)), axis=0)
    totals = np.concatenate([np.zeros((1, batch)), np.cumsum(d, axis=0)])
    present = present * np.exp(totals) if multiplicative else present + totals
    found = location_and_scale(m, s, n, c, d, multiplicative, present)
    assert found.settled.all()

    def q(mu, sigma, b):
        return (
            n[:, b] * (-np.log(sigma) - (s[:, b] ** 2 + (m[:, b] - mu) ** 2) / (2 * sigma**2))
        ).sum()

    mu, sigma = found.location, found.scale
    _insist_optimal(Quadratic(m, n / sigma.values**2), c, False, mu)
    best = np.sqrt(s**2 + (m - mu.values) ** 2)
    _insist_optimal(Power(best, n, -3.0, -1.0), d, multiplicative, sigma)
    step = np.diff(np.eye(count), axis=0)
    for b in range(batch):
        here = q(mu.values[:, b], sigma.values[:, b], b)
        under = Quadratic(m, n / present**2)
        assert here >= q(ordered(under, c).values[:, b], present[:, b], b)
        # a general solver, from where the steps ended, finds nothing higher
        log = multiplicative

        def negative(z, b=b, log=log):
            return -q(z[:count], np.exp(z[count:]) if log else z[count:], b)

        start = np.concatenate(
            [mu.values[:, b], np.log(sigma.values[:, b]) if log else sigma.values[:, b]]
        )
        theirs = minimize(
            negative,
            start,
            method="SLSQP",
            constraints=[
                LinearConstraint(np.hstack([step, 0 * step]), c[:, b], np.inf),
                LinearConstraint(np.hstack([0 * step, step]), d[:, b], np.inf),
            ],
            bounds=[(None, None)] * count + [(None if log else 1e-3, None)] * count,
            options={"ftol": 1e-14, "maxiter": 300},
        )
        assert -theirs.fun <= here + 1e-9


def test_what_averages_is_isotonic_and_what_does_not_is_searched():
    one = np.ones((2, 1))
    none, some = np.zeros((1, 1)), np.ones((1, 1))
    scale = Power(one, one, -3.0, -1.0)
    assert pools(Quadratic(one, one), some, False)
    assert pools(scale, none, False)
    assert pools(scale, some, True)
    assert not pools(scale, some, False)
    assert not pools(Profile(one, one, one), none, False)


def test_clearances_without_room_are_refused():
    probabilities = Logit(np.full((3, 1), 0.5), np.ones((3, 1)))
    with pytest.raises(DomainError, match="no room"):
        ordered(probabilities, np.full((2, 1), 0.5))
