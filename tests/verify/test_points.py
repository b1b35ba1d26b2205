"""The points: what is hard is there, reachable and the same each time."""

from __future__ import annotations

import math

import pytest

from relrep_sym.errors import CertificateError
from relrep_sym.verify import Oracle, points
from tests.verify.mixtures import NORMAL, POISSON, coordinates, identity, names

NORMAL_ROLES = ("location", "scale")


def by_name(components, roles, *args, **kwargs):
    return {p.name: p for p in points(components, roles, *args, **kwargs)}


def test_the_hard_points_of_a_normal_mixture():
    found = by_name(3, NORMAL_ROLES)
    assert {"ordinary", "far tails", "far away", "last weight 1e-12"} < set(found)
    for text in ("1e-3", "1e-6", "1e-12"):
        first, second, _ = found[f"merging {text}"].parameters
        assert second[0] - first[0] == pytest.approx(float(text), rel=1e-3)
        assert second[1] == first[1]
    for text, kernels_only in (("100", False), ("1e6", True)):
        point = found[f"scale ratio {text}"]
        ratio = point.parameters[2][1] / point.parameters[0][1]
        assert ratio == pytest.approx(float(text))
        assert (point.truth is None) == kernels_only
    assert found["first weight 1e-12"].weights[0] == 1e-12
    tails = found["far tails"]
    reach = max(min(abs(x - mu) / sigma for mu, sigma in tails.parameters) for x in tails.sample)
    assert reach > 30
    assert min(mu for mu, _ in found["far away"].parameters) > 9e4


@pytest.mark.parametrize("components", [1, 2, 3, 8])
@pytest.mark.parametrize("roles", [NORMAL_ROLES, ("rate",), ("shape", "rate"), ("location",)])
def test_points_are_sound(components, roles):
    for point in points(components, roles):
        assert len(point.weights) == len(point.parameters) == components
        assert math.fsum(point.weights) == pytest.approx(1, abs=1e-15)
        assert min(point.weights) > 0
        assert len(point.sample) == len(point.sample_weights) >= 4 * components
        assert all(math.isfinite(x) for x in point.sample)
        for column in zip(*point.parameters, strict=True):
            assert list(column) == sorted(column)
        if point.truth:
            assert sum(point.truth[0]) == 1.0
            assert len(point.truth[0]) != components


def test_the_same_call_gives_the_same_floats():
    assert points(3, NORMAL_ROLES) == points(3, NORMAL_ROLES)
    assert points(3, NORMAL_ROLES)[0].sample != points(3, NORMAL_ROLES, seed=21)[0].sample


def test_samples_stay_in_the_support():
    counts = by_name(3, ("rate",), "integers")
    for point in counts.values():
        assert all(x >= 0 and x == int(x) for x in point.sample)
    assert max(counts["far away"].sample) > 1e4
    for point in points(3, ("rate",), "half-line"):
        assert all(x > 0 for x in point.sample)
    for point in points(3, ("shape", "shape"), ("interval", 0.0, 2.0)):
        assert all(0 < x < 2 for x in point.sample)


def test_a_fixed_parameter_stays_fixed():
    found = by_name(3, NORMAL_ROLES, fixed=(None, 1.0))
    assert "scale ratio 100" not in found
    assert {sigma for p in found.values() for _, sigma in p.parameters} == {1.0}
    assert all(set(p.truth[2]) == {1.0} for p in found.values() if p.truth)


def test_an_unknown_role_is_named():
    with pytest.raises(CertificateError, match="colour"):
        points(3, ("colour",))


HARD = ["merging 1e-12", "last weight 1e-12", "scale ratio 1e6", "far tails", "far away"]


@pytest.mark.parametrize("name", HARD)
def test_the_oracle_evaluates_at_every_point(name):
    point = by_name(3, NORMAL_ROLES)[name]
    coords = coordinates(point.weights, point.parameters)
    here = Oracle(NORMAL, identity(3, 2), names(3, "mu", "sigma")).at(coords)
    for value in here.score(point.sample[:6], point.sample_weights[:6]):
        assert math.isfinite(value.value)
        assert value.sensitivity > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", [p.name for p in points(3, NORMAL_ROLES) if p.truth])
def test_fields_are_measured_at_every_point_with_a_truth(name):
    point = by_name(3, NORMAL_ROLES)[name]
    coords = coordinates(point.weights, point.parameters)
    here = Oracle(NORMAL, identity(3, 2), names(3, "mu", "sigma"), seconds=120).at(coords)
    for value in here.averaged_field(point.truth):
        assert value.error <= 1e-29 * value.scale
    fisher = here.fisher()
    assert all(fisher[i][i].value > 0 for i in range(8))


@pytest.mark.slow
def test_poisson_points_are_measured():
    for point in points(3, ("rate",), "integers"):
        coords = coordinates(point.weights, point.parameters)
        oracle = Oracle(POISSON, identity(3, 1), names(3, "rate"), digits=22, seconds=120)
        here = oracle.at(coords)
        here.score(point.sample, point.sample_weights)
        if point.truth:
            here.averaged_field(point.truth)
