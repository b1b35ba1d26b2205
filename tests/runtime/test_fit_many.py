"""Many fits at once: each is the fit alone, and what befalls one leaves the others unharmed."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from relrep_sym.data import faithful
from relrep_sym.errors import DataError, DomainError, FitWarning
from relrep_sym.runtime.fitted import State
from tests.runtime.models import compiled, normals, theta

WAITING = faithful()[:, 1]
EMPTY = [0.05, 900.0, 70.0, 1.0, 5.0]
COLLAPSING = [0.01, 43.0, 70.0, 1e-4, 12.0]
GOOD = [0.5, 55.0, 80.0, 5.0, 5.0]


def clumps(seed=0, size=200):
    rng = np.random.default_rng(seed)
    return rng.normal(rng.choice([-3.0, 0.0, 4.0], size), rng.uniform(0.4, 1.5, size))


# ------------------------------------------------------------------------------ members


@pytest.mark.parametrize("chart", ["identity", "relative", "log"])
@pytest.mark.parametrize("weighted", [False, True])
def test_every_member_is_as_if_alone(chart, weighted):
    module, x = compiled("normal", 3, chart), clumps()
    plain = [theta(compiled("normal", 3), normals(3, seed)) for seed in range(6)]
    starts = module.from_model(np.array(plain)).reshape(2, 3, -1)
    weights = np.random.default_rng(1).random(x.size) if weighted else None
    found = module.fit(x, starts, weights=weights, tol=1e-7, max_iter=150)
    assert found.coords.shape == starts.shape
    assert found.history.shape == (2, 3, found.iterations.max() + 1)
    assert found.log_likelihood.shape == found.converged.shape == found.reason.shape == (2, 3)
    for place in np.ndindex(2, 3):
        alone, member = (
            module.fit(x, starts[place], weights=weights, tol=1e-7, max_iter=150),
            found[place],
        )
        assert (member.iterations, member.converged) == (alone.iterations, alone.converged)
        np.testing.assert_allclose(member.coords, alone.coords, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(member.history, alone.history, rtol=1e-12)
        np.testing.assert_allclose(
            [*member.parameters.values()], module.to_model(member.coords), rtol=1e-14
        )
        tail = found.history[place][alone.iterations + 1 :]
        assert np.isnan(tail).all()
        assert member.log_likelihood == found.log_likelihood[place]


def test_a_member_that_fails_leaves_the_others_unharmed():
    module = compiled("normal", 2)
    starts = np.array([GOOD, EMPTY, GOOD, COLLAPSING, GOOD])
    starts[2, 1] = 60.0
    found = module.fit(WAITING, starts, tol=1e-9)
    assert found.valid.tolist() == [True, False, True, False, True]
    assert found.converged.tolist() == [True, False, True, False, True]
    assert "component 1 is empty" in found.reason[1]
    assert "sigma of component 1 collapses" in found.reason[3]
    np.testing.assert_array_equal(found.coords[1], EMPTY)
    for m in (0, 2, 4):
        alone = module.fit(WAITING, starts[m], tol=1e-9)
        np.testing.assert_allclose(found[m].coords, alone.coords, rtol=1e-9)
        assert found.iterations[m] == alone.iterations
    assert np.isfinite(found.log_likelihood).all()


def test_a_member_that_overflows_leaves_the_others_unharmed():
    """The pass raises for the whole batch; who it was is found by halves."""
    module = compiled("normal", 2)
    starts = np.array([GOOD] * 5)
    starts[3] = [0.5, 55.0, 1e200, 5.0, 5.0]
    found = module.fit(WAITING, starts, tol=1e-9)
    assert found.valid.tolist() == [True, True, True, False, True]
    assert found.reason[3]
    np.testing.assert_allclose(found.coords[4], module.fit(WAITING, GOOD, tol=1e-9).coords)


def test_the_best_fit_is_the_likeliest_of_the_valid():
    """A collapsing scale has the highest likelihood of all, and is not the best."""
    module = compiled("normal", 2)
    starts = np.array([[0.5, 55.0, 80.0, 5.0, 5.0], [0.02, 43.0, 70.0, 0.2, 12.0], EMPTY])
    found = module.fit(WAITING, starts, max_iter=400)
    assert found.valid[0]
    best = found.best
    assert best.log_likelihood == found.log_likelihood[found.valid].max()
    np.testing.assert_array_equal(best.coords, found.coords[0])
    assert best.best is best
    with pytest.raises(DomainError, match=r"none of 2 fits is valid; given: component 1 is empty"):
        _ = module.fit(WAITING, [EMPTY, EMPTY]).best


def test_members_are_taken_by_their_place():
    module = compiled("normal", 2)
    found = module.fit(WAITING, [GOOD, GOOD], max_iter=3)
    assert [f.iterations for f in found] == [3, 3]
    with pytest.raises(DataError, match=r"no such member of a fit; given: \(0, 0\)"):
        found[0, 0]
    with pytest.raises(DataError, match="a fit of many starts"):
        module.fit(WAITING, GOOD, max_iter=3)[0]


# ------------------------------------------------------------------------------ methods


@pytest.mark.parametrize("rate", [None, 0.05])
@pytest.mark.parametrize("weighted", [False, True])
def test_gradient_em_takes_the_steps_of_its_name(rate, weighted):
    module, x = compiled("normal", 3, "relative"), clumps()
    plain = [theta(compiled("normal", 3), normals(3, seed)) for seed in range(3)]
    starts = coords = module.from_model(np.array(plain))
    weights = np.random.default_rng(1).random(x.size) if weighted else None
    found = module.fit(x, starts, "gradient_em", rate=rate, weights=weights, tol=0, max_iter=3)
    history = [module.log_likelihood(x, coords, weights)]
    for _ in range(3):
        coords = module.gradient_em_step(x, coords, rate, weights=weights)
        history.append(module.log_likelihood(x, coords, weights))
    np.testing.assert_allclose(found.coords, coords, rtol=1e-12)
    np.testing.assert_allclose(found.history, np.transpose(history), rtol=1e-12)
    assert (found.iterations == 3).all()


@pytest.mark.parametrize(
    "options", [{}, {"sweeps": 2}, {"order": ["mu_1", ("Delta_1", "Delta_2"), "sigma_3"]}]
)
def test_ecm_takes_the_steps_of_its_name(options):
    module, x = compiled("normal", 3, "relative"), clumps()
    plain = [theta(compiled("normal", 3), normals(3, seed)) for seed in range(3)]
    starts = coords = module.from_model(np.array(plain))
    found = module.fit(x, starts, "ecm", **options, tol=0, max_iter=3)
    history = [module.log_likelihood(x, coords)]
    for _ in range(3):
        coords = module.ecm_step(x, coords, **options)
        history.append(module.log_likelihood(x, coords))
    np.testing.assert_allclose(found.coords, coords, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(found.history, np.transpose(history), rtol=1e-12)
    assert (np.diff(found.history, axis=-1) >= -1e-14).all()


def test_em_and_ecm_reach_the_same_maximum():
    module, x = compiled("normal", 2, "relative"), WAITING
    em, ecm = (module.fit(x, "quantiles", m, tol=1e-13, max_iter=5000) for m in ("em", "ecm"))
    assert em.converged
    assert ecm.converged
    np.testing.assert_allclose(ecm.coords, em.coords, rtol=1e-5)


def test_gradient_em_stops_at_a_maximum():
    module = compiled("normal", 2, scales=1)
    x = np.random.default_rng(0).normal(np.repeat([-2.0, 2.0], 100))
    found = module.fit(x, "quantiles", "gradient_em", tol=1e-14, max_iter=5000)
    assert found.converged
    np.testing.assert_allclose(module.score(x, found.coords), 0.0, atol=1e-5)
    exact = module.fit(x, "quantiles", tol=0)
    assert found.log_likelihood == pytest.approx(exact.log_likelihood, rel=1e-11)


def test_a_rate_that_is_too_large_is_a_reason():
    found = compiled("normal", 2).fit(WAITING, [GOOD, GOOD], "gradient_em", rate=1e6)
    assert not found.valid.any()
    assert "the step leaves the domain" in found.reason[0]


# ------------------------------------------------------------------------------ criteria


@pytest.mark.parametrize("components", [2, 3])
def test_akaikes_and_schwarzs_criteria(components):
    module = compiled("normal", components)
    found = module.fit(WAITING, "quantiles", max_iter=20)
    total, count = 272 * module.log_likelihood(WAITING, found.coords), 3 * components - 1
    assert found.aic == pytest.approx(2 * count - 2 * total, rel=1e-13)
    assert found.bic == pytest.approx(count * np.log(272) - 2 * total, rel=1e-13)
    many = module.fit(WAITING, found.coords[None], max_iter=1)
    assert many.aic.shape == many.bic.shape == (1,)


def test_criteria_of_a_weighted_sample_count_points_unless_told():
    """Counts of observations as weights: the criteria of the sample written out."""
    module = compiled("normal", 2)
    values, counts = np.unique(WAITING, return_counts=True)
    weighted = module.fit(np.append(values, 0.0), GOOD, weights=[*counts, 0], max_iter=5)
    assert weighted.size == len(values)
    plain = module.fit(WAITING, GOOD, max_iter=5)
    told = dataclasses.replace(weighted, size=counts.sum())
    assert told.aic == pytest.approx(plain.aic, rel=1e-12)
    assert told.bic == pytest.approx(plain.bic, rel=1e-12)


# ------------------------------------------------------------------------------ who is told


def test_a_callback_sees_every_iteration():
    module, seen = compiled("normal", 2), []
    found = module.fit(WAITING, GOOD, tol=0, max_iter=7, callback=seen.append)
    assert [s.iteration for s in seen] == [0, 1, 2, 3, 4, 5, 6, 7]
    assert [s.log_likelihood for s in seen] == found.history.tolist()
    assert [s.active for s in seen] == [True] * 7 + [False]
    np.testing.assert_array_equal([s.coords for s in seen], found.path)
    np.testing.assert_array_equal(seen[0].coords, GOOD)
    np.testing.assert_allclose(seen[1].coords, module.em_step(WAITING, GOOD), rtol=1e-12)
    np.testing.assert_array_equal(seen[-1].coords, found.coords)
    assert isinstance(seen[0], State)
    with pytest.raises(dataclasses.FrozenInstanceError):
        seen[0].iteration = 2


def test_a_callback_sees_many_and_cannot_change_them():
    module, seen = compiled("normal", 2), []

    def spoil(state):
        seen.append(state.active)
        state.coords[...] = 0.0
        state.log_likelihood[...] = 0.0

    starts = np.array([GOOD, EMPTY, [0.4, 50.0, 90.0, 9.0, 9.0]])
    found = module.fit(WAITING, starts, tol=1e-8, callback=spoil)
    np.testing.assert_array_equal(found.coords, module.fit(WAITING, starts, tol=1e-8).coords)
    assert not np.array(seen)[:, 1].any()
    np.testing.assert_array_equal(np.sum(seen, axis=0)[[0, 2]], found.iterations[[0, 2]])


@pytest.mark.parametrize("true", [True, np.True_])
def test_a_callback_stops_a_fit(true):
    module = compiled("normal", 2)
    found = module.fit(WAITING, [GOOD, GOOD], callback=lambda s: true if s.iteration == 4 else None)
    assert found.iterations.tolist() == [4, 4]
    assert found.reason.tolist() == ["stopped by the callback"] * 2
    assert not found.converged.any()
    assert found.valid.all()


def test_what_a_callback_raises_is_raised():
    def raising(_):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        compiled("normal", 2).fit(WAITING, GOOD, callback=raising)


def test_progress_is_one_line_on_standard_error(capfd):
    found = compiled("normal", 2).fit(WAITING, [GOOD, EMPTY], max_iter=5, tol=0, progress=True)
    out, err = capfd.readouterr()
    assert not out
    assert err.count("\n") == 1
    last = err.rstrip("\n").rpartition("\r")[2].rstrip()
    value = f"{np.nanmax(found.history[0]):.10g}"
    assert last == f"iteration 5 of at most 5: 0 of 2 active, mean log-likelihood {value}"


# ------------------------------------------------------------------------------ refusals


BAD = {
    "NaN": ([1.0, np.nan, 2.0], GOOD, DataError, r"x\[1\] is not finite; given: nan"),
    "infinity": ([1.0, 2.0, np.inf], GOOD, DataError, r"x\[2\] is not finite; given: inf"),
    "no points": ([], GOOD, DataError, "the sample x is empty"),
    "a table": (np.ones((3, 2)), GOOD, DataError, r"x has too many dimensions"),
    "a short start": (WAITING, GOOD[:4], DataError, r"wrong shape; given: shape \(4,\)"),
    "no starts": (WAITING, np.zeros((0, 5)), DataError, "coords is empty"),
    "NaN in a start": (WAITING, [[*GOOD[:4], np.nan]], DataError, r"coords\[0, 4\] is not finite"),
    "a start outside": (
        WAITING, [0.5, 55.0, 80.0, 5.0, -1.0], DomainError,
        r"start is outside the model's domain: sigma_2 is outside its domain; given: -1.0",
    ),
    "a member outside": (
        WAITING, [[GOOD, GOOD], [GOOD, [1.5, 55.0, 80.0, 5.0, 5.0]]], DomainError,
        r"start\[1, 1\] is outside the model's domain: pi_1 is outside its domain; given: 1.5",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
@pytest.mark.filterwarnings("ignore::relrep_sym.errors.FitWarning")
def test_what_cannot_be_fitted_is_refused(case):
    x, start, error, text = BAD[case]
    with pytest.raises(error, match=text):
        compiled("normal", 2).fit(x, start)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"callback": 3}, "callback is not a function; given: 3"),
        ({"progress": "yes"}, "progress is not a switch; given: yes"),
        ({"starts": 3}, "starts counts named starts; given: 3"),
        ({"order": ["pi_1"]}, 'method "em" takes no order'),
        ({"sweeps": 2}, 'method "em" takes no sweeps; given: 2'),
        ({"rate": 0.1}, 'method "em" takes no rate; given: 0.1'),
        ({"rate": [0.1, 0.1]}, 'method "em" takes no rate'),
        ({"tol": True}, "tol is not a tolerance"),
    ],
    ids=repr,
)
def test_options_that_mean_nothing_are_refused(options, text):
    with pytest.raises(DataError, match=text):
        compiled("normal", 2).fit(WAITING, GOOD, **options)


def test_fewer_points_than_coordinates_is_a_warning():
    """Which points there are counts, not how often."""
    module = compiled("normal", 2)
    text = "4 distinct points, 5 coordinates; expected: a larger sample"
    x = np.repeat([0.0, 1.0, 5.0, 7.0], 3)
    with pytest.warns(FitWarning, match=text) as caught:
        module.fit(x, [0.5, 0.5, 6.0, 1.0, 1.0], max_iter=3)
    assert len(caught) == 1
    weights = [1.0, 1.0, 0.0, 2.0, 1.0]
    with pytest.warns(FitWarning, match="4 distinct points"):
        module.fit(
            [0.0, 1.0, 3.0, 5.0, 7.0], [0.5, 0.5, 6.0, 1.0, 1.0], weights=weights, max_iter=3
        )
    module.fit([0.0, 1.0, 3.0, 5.0, 7.0], [0.5, 0.5, 6.0, 1.0, 1.0], max_iter=3)


def test_duplicated_points_are_points():
    """Each twice is the same sample; and half of them at one place draw a component onto it."""
    module = compiled("normal", 2)
    once, twice = (module.fit(x, GOOD, tol=1e-9) for x in (WAITING, np.repeat(WAITING, 2)))
    np.testing.assert_allclose(twice.coords, once.coords, rtol=1e-9)
    heap = np.append(np.full(30, 60.0), WAITING[:30])
    found = module.fit(heap, [0.5, 60.0, 75.0, 1.0, 10.0])
    assert not found.valid
    assert "sigma of component 1 collapses, where the likelihood has no maximum" in found.reason


@pytest.mark.parametrize("patterns", [{"scales": 1}, {"means": (0, 1)}])
def test_equal_points_are_no_matter_where_no_scale_can_collapse(patterns):
    module = compiled("normal", 2, **patterns)
    start = [0.5, 0.0, 1.0] if "scales" in patterns else [0.5, 1.0, 1.0]
    with pytest.warns(FitWarning, match="1 distinct points"):
        found = module.fit(np.full(20, 0.3), start, tol=1e-9)
    assert found.converged
