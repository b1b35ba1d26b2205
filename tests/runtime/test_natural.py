"""The natural field against mpmath, against other charts, and where there is no inverse."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import relrep_sym as rs
from relrep_sym.errors import ConditionWarning, DataError
from relrep_sym.oracle_input import oracle_of
from relrep_sym.runtime.natural import Natural, cut_off, solve
from relrep_sym.verify.natural import condition, natural_field
from relrep_sym.verify.yardstick import ratio
from tests.runtime.models import compiled, declared, derived, normals, poissons, theta

PAIR = ([0.375, 0.625], [-0.8, 1.9], [1.2, 0.7])


# ------------------------------------------------------------------------------ the solver


@given(st.integers(0, 10**6), st.integers(1, 6), st.floats(-8, 8))
def test_where_nothing_is_cut_it_is_the_inverse(seed, size, spread):
    """At scales of coordinates that differ by any power of ten."""
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(size, size)) + 2.0 * np.eye(size)
    units = 10.0 ** (spread * rng.uniform(-1, 1, size))
    fisher = (root @ root.T) * units[:, None] * units
    wanted = rng.normal(size=size) / units
    field, number, rank = solve(fisher[None], (fisher @ wanted)[None])
    assert rank[0] == size
    np.testing.assert_allclose(field[0] * units, wanted * units, atol=1e-13 * number[0])


@given(st.integers(0, 10**6), st.integers(2, 6), st.data())
def test_where_some_is_cut_it_is_moore_and_penroses(seed, size, data):
    """numpy.linalg.pinv with the rank known is the reference; the gradient is in the range."""
    kept = data.draw(st.integers(1, size - 1))
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(size, kept))
    fisher, gradient = root @ root.T, root @ rng.normal(size=kept)
    values, vectors = np.linalg.eigh(fisher)
    top = vectors[:, -kept:]
    if values[-kept] < 1e-6 * values[-1]:
        return
    expected = top @ ((top.T @ gradient) / values[-kept:])
    field, number, rank = solve(fisher[None], gradient[None])
    assert rank[0] == kept
    assert number[0] > 1e12
    tight = 1e-10 * np.abs(expected).max() * values[-1] / values[-kept]
    np.testing.assert_allclose(field[0], expected, atol=tight)


def test_members_are_solved_each_by_itself():
    fisher = np.array([np.eye(2), np.ones((2, 2)), np.diag([4.0, 0.0])])
    field, number, rank = solve(fisher, np.array([[1.0, 2.0], [3.0, 3.0], [8.0, 0.0]]))
    np.testing.assert_allclose(field, [[1.0, 2.0], [1.5, 1.5], [2.0, 0.0]], atol=1e-14)
    np.testing.assert_array_equal(rank, [2, 1, 1])
    assert number[0] == 1.0
    assert number[2] == np.inf


def test_the_cut_off_is_stated():
    assert cut_off(None, 4) == 64 * 4 * 2.0**-52
    assert cut_off(0, 4) == 0.0
    for wrong in (-1.0, 1.0, np.nan, "1e-8", True):
        with pytest.raises(DataError, match="rcond is no cut-off"):
            cut_off(wrong, 4)
    nearly = np.array([[[1.0, 1 - 1e-9], [1 - 1e-9, 1.0]]])
    gradient = np.array([[1.0, -1.0]])
    assert solve(nearly, gradient).rank == 2
    np.testing.assert_allclose(solve(nearly, gradient).field, [[1e9, -1e9]], rtol=1e-6)
    np.testing.assert_allclose(solve(nearly, gradient, 1e-6).field, [[0.0, 0.0]], atol=1e-6)


# ------------------------------------------------------------------------------ the field


@pytest.mark.parametrize(
    ("family", "components", "chart"),
    [
        ("normal", 2, "relative"),
        ("poisson", 3, "log"),
        pytest.param("normal", 3, "identity", marks=pytest.mark.slow),
    ],
)
def test_the_field_is_mpmaths_solution(family, components, chart):
    """With components close by, within the yardstick widened by the conditioning."""
    module = compiled(family, components, chart)
    truth = PAIR if family == "normal" else ([0.375, 0.625], [0.9, 2.3])
    oracle = replace(oracle_of(derived(family, components, chart).chart), digits=22)
    weights, first, *rest = normals(components) if family == "normal" else poissons(components)
    mixture = (weights, first[0] + 0.3 * (first - first[0]), *rest)
    coords = module.from_model(theta(module, mixture))
    at = oracle.at(coords.tolist())
    fisher = at.fisher()
    expected = natural_field(fisher, at.averaged_field(truth))
    found = module.natural_field(coords, truth, full_output=True)
    assert found.rank == len(coords)
    assert found.condition == pytest.approx(condition(fisher), rel=1e-3)
    assert max(ratio(v, m) for v, m in zip(found.field, expected, strict=True)) <= 64
    relative = [abs(float(v - m.value)) for v, m in zip(found.field, expected, strict=True)]
    assert max(relative) <= 1e-14 * found.condition * np.abs(found.field).max()


@pytest.mark.parametrize("components", [2, 3])
@given(seed=st.integers(0, 10**6))
def test_the_natural_field_is_one_vector_in_every_chart(components, seed):
    """Pushed forward to θ, identity, relative and log chart say the same."""
    rng = np.random.default_rng(seed)
    k = components
    mixture = (
        rng.dirichlet(np.full(k, 8.0)),
        np.cumsum(rng.uniform(1.0, 2.5, k)) - 2.0,
        rng.uniform(0.6, 1.4, k),
    )
    pushed, numbers = [], []
    for chart in ("identity", "relative", "square", "log"):
        module = compiled("normal", k, chart)
        coords = module.from_model(theta(module, mixture))
        found = module.natural_field(coords, PAIR, full_output=True)
        assert found.rank == coords.size
        pushed.append(module.jacobian(coords) @ found.field)
        numbers.append(found.condition)
    size = np.abs(pushed[0]).max()
    for other in pushed[1:]:
        np.testing.assert_allclose(other, pushed[0], atol=1e-13 * max(numbers) * size)
    plain = compiled("normal", k, "relative")
    coords = plain.from_model(theta(plain, mixture))
    gradient = plain.jacobian(coords) @ plain.averaged_field(coords, PAIR)
    own = compiled("normal", k)
    there = own.averaged_field(own.from_model(theta(own, mixture)), PAIR)
    assert not np.allclose(gradient, there, rtol=1e-3)  # the plain gradient does depend on it


def test_one_component_learns_its_mean_in_one_step():
    """F = 1/σ², ∇L = E[x − μ]/σ²: the natural field is E[x] − μ."""
    module = compiled("normal", 1, scales=2)
    np.testing.assert_allclose(
        module.natural_field([[0.5], [3.0]], ([0.25, 0.75], [0.0, 4.0], [1.0, 3.0])),
        [[2.5], [0.0]], atol=1e-14,
    )  # fmt: skip


def test_it_broadcasts_and_a_batch_is_its_members():
    module = compiled("normal", 3, "relative")
    point = module.from_model(theta(module, normals(3)))
    many = point + 0.05 * np.random.default_rng(0).uniform(size=(2, 3, point.size))
    found = module.natural_field(many, PAIR, full_output=True)
    assert isinstance(found, Natural)
    assert found.field.shape == many.shape
    assert found.condition.shape == found.rank.shape == (2, 3)
    alone = module.natural_field(many[1, 2], PAIR)
    np.testing.assert_allclose(found.field[1, 2], alone, rtol=1e-11 * found.condition[1, 2])


# ------------------------------------------------------------------------------ where it ends


def test_at_a_merging_the_pseudo_inverse_is_taken_and_said():
    """Δ = 0 at weight 1/2: π is invisible, μ and Δ are seen through μ + Δ/2 alone."""
    module = compiled("normal", 2, "relative", scales=1)
    truth = ([1.0], [2.0], [1.0])
    with pytest.warns(ConditionWarning, match=r"singular .* this point.*condition.*rank 1 of 3"):
        found = module.natural_field([0.5, 0.0, 0.0], truth)
    np.testing.assert_allclose(found, [0.0, 2 / 1.25, 1 / 1.25], atol=1e-12)  # the shortest d
    ok = [0.5, 0.0, 1.0]
    with pytest.warns(ConditionWarning, match=r"1 of 2 points \(member \[1\] is the first\)"):
        both = module.natural_field([ok, [0.5, 0.0, 0.0]], truth)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_allclose(both[0], module.natural_field(ok, truth), rtol=1e-10)
        found = module.natural_field([0.5, 0.0, 0.0], truth, full_output=True)
    assert found.rank == 1
    assert found.condition > 1e12


def test_conditioning_grows_toward_the_merging_until_it_is_cut():
    module = compiled("normal", 2, "relative", scales=1)
    gaps = 10.0 ** -np.arange(0.0, 8.0)
    found = module.natural_field([[0.3, 0.0, g] for g in gaps], PAIR, full_output=True)
    whole = found.rank == 3
    assert whole[:3].all()
    assert not whole[-1]
    assert (np.diff(found.condition[whole]) > 0).all()
    assert (found.condition[whole] < 1 / cut_off(None, 3)).all()
    assert np.isfinite(found.field).all()


def test_a_wrong_cut_off_is_refused():
    module = compiled("normal", 1, scales=1)
    with pytest.raises(DataError, match="rcond is no cut-off; given: 2"):
        module.natural_field([0.0], PAIR, rcond=2)


# ------------------------------------------------------------------------------ the equation


def test_the_equation_multiplies_the_field_by_the_pseudo_inverse():
    d = rs.derive(declared("normal", 2, "relative", scales=1).model, name="plain")
    text = d.natural.latex()
    assert r"\label{eq:plain:natural}" in text
    assert r"I_\lambda^{\dagger} \nabla_\lambda L(\lambda)" in text
    inverse, column = d.natural.value.args
    assert inverse.args[0] == d.fisher.value
    assert column == d.averaged.value
    assert r"natural\_field" in d.latex()
