"""A lower bound on scales: the constrained maximiser of Q, checked against SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

import relrep_sym as rs
from relrep_sym.data import faithful
from relrep_sym.errors import DataError, DomainError, FitWarning
from tests.runtime import models
from tests.runtime.models import compiled

WAITING = faithful()[:, 1]


def q_of(x, mixture, r):
    """Q of a normal mixture under responsibilities (N, K), by hand."""
    return (r * models.log_terms(x, mixture).T).sum() / len(x)


def one_step(module, x, start, floor):
    return module.fit(x, start, floor=floor, max_iter=1, tol=0)


@pytest.mark.parametrize("patterns", [{}, {"scales": "tied"}, {"scales": (None, 3, None)}])
@pytest.mark.parametrize("seed", range(4))
def test_a_floored_step_is_the_maximiser_of_q_over_scales_above_it(patterns, seed):
    """SciPy climbs the same Q under the same bounds, from the step itself and from elsewhere."""
    rng = np.random.default_rng(seed)
    x = rng.normal(rng.choice([0.0, 4.0, 9.0], 60), rng.choice([0.2, 2.0], 60))
    module = compiled("normal", 3, **patterns)
    start = module.fit(x, "quantiles", floor=1.5, max_iter=1).coords
    found = one_step(module, x, start, 1.5)
    r = models.responsibilities(x, module.components(start))
    names = module.COORDINATES[2:]  # Q is a sum of a term in the weights and one in the rest
    np.testing.assert_allclose(found.coords[:2], r.mean(axis=0)[:2], rtol=1e-12)
    bounds = [(1.5 if n.startswith("sigma") else -50.0, 50.0) for n in names]

    def loss(rest):
        return -q_of(x, module.components([*found.coords[:2], *rest]), r)

    best = q_of(x, module.components(found.coords), r)
    near = np.clip(start[2:] + rng.normal(0, 0.02, len(names)), *np.array(bounds).T)
    for guess in (found.coords[2:], near):
        other = minimize(loss, guess, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-15})
        assert -other.fun <= best + 1e-10
    assert -other.fun == pytest.approx(best, abs=1e-6)  # and it gets there from elsewhere
    free = np.array([n.startswith("sigma") for n in module.COORDINATES])
    assert (found.coords[free] >= 1.5).all()


def test_a_collapse_is_held_at_the_floor_and_said():
    heap = np.append(np.full(30, 60.0), WAITING[:60])
    module = compiled("normal", 2)
    start = [0.5, 60.0, 75.0, 1.0, 10.0]
    assert not module.fit(heap, start).valid
    found = module.fit(heap, start, floor=0.25)
    assert found.valid
    assert found.converged
    assert found.coords[3] == 0.25
    assert found.notes == ("sigma of component 1 is held at the floor 0.25",)
    assert (np.diff(found.history) >= -1e-13).all()
    gradient = module.score(heap, found.coords)
    assert gradient[3] < -1e-3  # the likelihood pushes into the bound
    np.testing.assert_allclose(np.delete(gradient, 3), 0.0, atol=1e-4)


@pytest.mark.parametrize("method", ["ecm", "gradient_em"])
def test_every_method_holds_the_floor(method):
    heap = np.append(np.full(30, 60.0), WAITING[:60])
    module = compiled("normal", 2)
    start = [0.5, 60.0, 75.0, 1.0, 10.0]
    found = module.fit(heap, start, method, floor=0.25, max_iter=200)
    expected = module.fit(heap, start, floor=0.25)
    assert found.valid
    assert found.coords[3] >= 0.25
    assert found.log_likelihood <= expected.log_likelihood + 1e-9
    if method == "ecm":
        np.testing.assert_allclose(found.coords, expected.coords, rtol=1e-4)


def test_equal_points_have_a_fit_above_a_floor():
    with pytest.warns(FitWarning, match="1 distinct points"):
        found = compiled("normal", 1).fit(np.full(9, 2.0), [0.0, 1.0], floor=0.1)
    assert found.converged
    np.testing.assert_array_equal(found.coords, [2.0, 0.1])


@pytest.mark.parametrize("chart", ["relative", "square", "log"])
def test_the_floor_holds_in_every_chart_that_has_the_mixture(chart):
    heap = np.append(np.full(30, 60.0), WAITING[:60])
    plain, module = compiled("normal", 2), compiled("normal", 2, chart)
    start = np.array([0.5, 60.0, 75.0, 1.0, 10.0])
    expected = plain.fit(heap, start, floor=0.25)
    found = module.fit(heap, module.from_model(start), floor=0.25)
    np.testing.assert_allclose(module.to_model(found.coords), expected.coords, rtol=1e-7)
    assert found.notes == expected.notes


def test_the_floor_holds_where_the_order_of_the_means_binds():
    """No closed form: Q is climbed over the chart's domain, of which the floor is an end."""
    rng = np.random.default_rng(0)
    x = np.append(rng.normal(0.0, 1.0, 50), np.full(20, 0.5))
    module = compiled("normal", 2, "relative")
    start = module.from_model([0.4, 0.45, 0.5, 0.8, 0.6])
    found = module.fit(x, start, floor=0.5, max_iter=30, tol=0)
    scales = module.components(found.coords)[2]
    assert (scales >= 0.5).all()
    assert (np.diff(found.history) >= -1e-13).all()


def test_where_the_chart_cannot_hold_the_floor_the_fit_says_so():
    """Scales that are sums of exponentials of coordinates: the floor is no end of a coordinate."""
    model = rs.mixture("normal", components=2)
    module = rs.derive(model, rs.relative(model, "sigma", gap="exp")).compile()
    heap = np.append(np.full(30, 60.0), WAITING[:60])
    start = module.from_model([0.5, 60.0, 75.0, 1.0, 10.0])
    found = module.fit(heap, start, floor=0.25)
    scales = module.components(found.coords)[2]
    assert (scales >= 0.25 * (1 - 1e-14)).all()
    if not found.valid:
        assert "does not keep the floor in this chart" in found.reason


def test_starts_are_above_the_floor():
    module = compiled("normal", 3)
    found = module.fit(WAITING, "k-means++", starts=4, floor=6.0, max_iter=50)
    scales = module.components(found.coords)[2]
    assert (scales >= 6.0).all()
    text = (
        r"start\[1\]: sigma of component 2 is below the floor; given: sigma = 0.5; expected: .*1.0"
    )
    with pytest.raises(DomainError, match=text):
        compiled("normal", 2).fit(
            WAITING, [[0.5, 55.0, 80.0, 5.0, 5.0], [0.5, 55.0, 80.0, 5.0, 0.5]], floor=1
        )


@pytest.mark.parametrize("floor", [0, -1.0, np.nan, np.inf, "low", True])
def test_a_floor_is_a_positive_number(floor):
    with pytest.raises(DataError, match="floor is no lower bound"):
        compiled("normal", 2).fit(WAITING, "quantiles", floor=floor)


@pytest.mark.parametrize(("family", "patterns"), [("poisson", {}), ("normal", {"scales": 1})])
def test_a_floor_needs_scales_that_are_learned(family, patterns):
    with pytest.raises(DataError, match=r"this model learns none; given: floor = 0\.5"):
        compiled(family, 2, **patterns).fit(WAITING, "quantiles", floor=0.5)
