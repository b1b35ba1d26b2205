"""Verdicts on charts: proven, refuted with two points of one density, or unknown and said so."""

from __future__ import annotations

import mpmath
import pytest
import sympy as sp

import relrep_sym as rs
from relrep_sym.declare.chart import Chart
from relrep_sym.declare.model import mixture
from relrep_sym.equations.injective import verdict
from tests.declare.maps import number as value
from tests.declare.maps import ordinary, targets

UNIT = mixture("normal", 2, scales=1)
COUNTS = (2, 3, 5)


def own(model: rs.Mixture, rules: dict[str, str], **options: object) -> Chart:
    return rs.chart(model, {**{n: n for n in model.names}, **rules}, **options)  # type: ignore[arg-type]


def density(chart: Chart, point: dict[str, float], x: float) -> mpmath.mpf:
    """p(x | c(λ)) at thirty digits, by the declared program and density."""
    at = targets(chart, point)
    family, model = chart.model.family, chart.model
    total = mpmath.mpf(0)
    for k, weight in enumerate(chart.weight_expressions):
        here = {family.x: mpmath.mpf(x)}
        for p in family.parameters:
            here[p.symbol] = value(sp.sympify(model.component(p.name)[k]), at)
        total += value(sp.sympify(weight), at) * mpmath.exp(value(family.log_density, here))
    return total


def constants(chart: Chart) -> dict[str, mpmath.mpf]:
    """The constants of the collision: any, for these charts' collisions do not hang on them."""
    return {c.name: mpmath.mpf(1) / 100 for c in chart.constants}


def proven_charts() -> dict[str, Chart]:
    out: dict[str, Chart] = {}
    for k in COUNTS:
        normal, poisson = mixture("normal", k), mixture("poisson", k)
        out |= {
            f"plain {k}": rs.relative(normal, "mu"),
            f"exp {k}": rs.relative(normal, "mu", gap="exp"),
            f"softplus {k}": rs.relative(normal, "mu", gap="softplus", clearance="1/7"),
            f"from the last {k}": rs.relative(normal, "mu", gap="exp", reference="last"),
            f"constant {k}": rs.relative(normal, "mu", clearance="lam"),
            f"softmax {k}": rs.relative(normal, "mu") @ rs.softmax(normal),
            f"stick {k}": rs.relative(rs.stick_breaking(normal), "sigma", gap="exp"),
            f"rates {k}": rs.relative(poisson, "rate"),
            f"ratios {k}": rs.relative(rs.log(poisson, "rate"), "log_rate", gap="exp"),
            f"cleared {k}": rs.relative(rs.cleared(poisson, clearance="1/50"), "rate"),
            f"own {k}": own(poisson, {"rate_2": "rate_1 + exp(rho)"}) if k == 2 else
                rs.chart(rs.relative(poisson, "rate"), {"Delta_rate_1": "exp(rho)"}),
        }  # fmt: skip
    return out


PROVEN = proven_charts()
SWAPS = {
    f"{name} {k}": chart
    for k in COUNTS
    for name, chart in {
        "identity": rs.identity(mixture("normal", k)),
        "log": rs.log(mixture("poisson", k), "rate"),
        "softmax": rs.softmax(mixture("normal", k, scales=1)),
        "stick": rs.stick_breaking(mixture("poisson", k)),
        "fixed weights": rs.identity(mixture("normal", k, weights="tied")),
        "affine": rs.affine(
            mixture("normal", k, weights="tied", scales=1),
            [[(n + 1) ** j for j in range(k)] for n in range(k)],
        ),
    }.items()
}
MIRRORS = {
    "square 2": rs.relative(UNIT, "mu", gap="square"),
    "square 3": rs.relative(mixture("normal", 3), "mu", gap="square", clearance="1/9"),
    "square, constant": rs.relative(mixture("poisson", 3), "rate", gap="square", clearance="lam"),
    "square of a product": own(UNIT, {"mu_2": "mu_1 + exp(s)*t**2", "pi_1": "1/(1 + exp(-s))"}),
    "cosh": own(UNIT, {"mu_2": "mu_1 + cosh(t)"}),
}


@pytest.mark.parametrize("name", PROVEN)
def test_charts_of_ordered_components_are_injective(name: str) -> None:
    found = verdict(PROVEN[name])
    assert found.status == "proven", str(found)
    assert found
    assert found.collision is None
    assert "Teicher" in found.reason


@pytest.mark.parametrize("name", SWAPS | MIRRORS)
def test_a_refutation_shows_two_points_of_one_density(name: str) -> None:
    chart = (SWAPS | MIRRORS)[name]
    found = verdict(chart)
    assert found.status == "refuted", str(found)
    assert not found
    first, second = found.collision
    assert list(first) == list(second) == list(chart.names)
    apart = max(abs(first[n] - second[n]) for n in chart.names)
    assert apart > 1e-3
    with mpmath.workdps(30):
        for x in (0.0, 1.0, 3.0, 8.0):
            p, q = (density(chart, {**at, **constants(chart)}, x) for at in (first, second))
            # the points are printed as doubles: their images agree to what doubles can say
            assert p > 0
            assert abs(p - q) < 1e-12 * p * (1 + x**2)
    for at in (first, second):
        for c in chart.coordinates:
            assert c.domain.lower < at[c.name] < c.domain.upper


@pytest.mark.parametrize("name", MIRRORS)
def test_a_mirror_gives_the_same_theta(name: str) -> None:
    chart = MIRRORS[name]
    found = verdict(chart)
    assert found.reason == "two points give the same θ"
    first, second = found.collision
    moved = [n for n in chart.names if first[n] != second[n]]
    assert len(moved) == 1
    assert first[moved[0]] == -second[moved[0]]


def test_what_is_not_known_is_called_unknown() -> None:
    odd = own(UNIT, {"mu_1": "a + a**3", "mu_2": "b"})  # injective, but not seen to be
    found = verdict(odd)
    assert found.status == "unknown"
    assert "no inverse was found for a" in found.reason
    assert not found
    curved = own(UNIT, {"mu_1": "m", "mu_2": "m + sinh(t)"})
    assert verdict(curved).status != "proven"


def test_two_components_of_different_fixed_weights_have_labels() -> None:
    told = mixture("normal", 2, weights=["1/3", None], scales=1)
    assert verdict(rs.identity(told)).status == "proven"
    same = mixture("normal", 2, weights=["1/2", None], scales=1)
    assert verdict(rs.identity(same)).status == "refuted"


@pytest.mark.parametrize("family", ["normal", "poisson"])
def test_one_component_has_no_label(family: str) -> None:
    found = verdict(rs.identity(mixture(family, 1)))
    assert found.status == "proven"
    assert "one component" in found.reason


def test_fewer_coordinates_may_be_injective() -> None:
    c = own(mixture("normal", 2, weights="tied", scales=1), {"mu_1": "-exp(d)", "mu_2": "exp(d)"})
    assert c.names == ("d",)
    assert verdict(c).status == "proven"


def test_fixed_means_in_order_tell_components_apart() -> None:
    assert verdict(rs.identity(mixture("normal", 3, means=[-1, 0, 2]))).status == "proven"
    assert verdict(rs.identity(mixture("normal", 3, means=[-1, 2, -1]))).status == "refuted"
    assert verdict(rs.identity(mixture("normal", 3, means="tied"))).status == "refuted"


def test_what_is_held_does_not_collide_by_itself() -> None:
    whole = rs.relative(mixture("normal", 3), "mu", gap="square")
    d = rs.derive(whole.model, whole, moving=["Delta_1"])
    found = d.injective
    assert found.status == "refuted"
    assert list(found.collision[0]) == ["Delta_1"]
    plain = rs.relative(mixture("normal", 3), "mu")
    assert rs.derive(plain.model, plain, moving=["Delta_1", "mu_1"]).injective.status != "refuted"


def test_a_verdict_reads_as_a_sentence() -> None:
    found = verdict(MIRRORS["square 2"])
    text = str(found)
    assert text.startswith("refuted: two points give the same θ; (")
    assert text.endswith(" have the same density")
    assert "Delta_1 = -" in text
    assert str(verdict(PROVEN["plain 2"])).startswith("proven: ")


def test_points_of_a_proven_chart_have_different_densities() -> None:
    """What the verdict claims, at many pairs of points: some x tells them apart."""
    chart = PROVEN["softmax 3"]
    with mpmath.workdps(30):
        seen = [ordinary(chart, seed) for seed in range(5)]
        for i, p in enumerate(seen):
            for q in seen[:i]:
                differences = [
                    abs(density(chart, p, x) / density(chart, q, x) - 1) for x in (-3, -1, 0, 1, 4)
                ]
                assert max(differences) > 1e-6
