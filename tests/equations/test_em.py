"""The M-step is the maximum of Q, for every pattern of free, tied and fixed parameters."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from relrep_sym.declare.chart import identity
from relrep_sym.declare.domains import domain
from relrep_sym.declare.family import Family, FamilyParameter, family_named
from relrep_sym.declare.model import Mixture, mixture
from relrep_sym.equations.em import derive_m_step, statistic_symbol, statistics_of
from relrep_sym.equations.record import Record
from relrep_sym.errors import DerivationError
from tests.equations.steps import q, random_present, random_sample, step

PATTERNS = {
    "all free": mixture("normal", 3),
    "one component": mixture("normal", 1),
    "tied scales": mixture("normal", 3, scales="tied"),
    "tied scales, fixed means": mixture("normal", 3, means=[0, 1, "-1/3"], scales="tied"),
    "tied means, one fixed scale": mixture("normal", 3, means="tied", scales=2),
    "tied means, fixed scales": mixture("normal", 3, means="tied", scales=[1, 2, "1/3"]),
    "fixed means": mixture("normal", 3, means=[0, 1, 2]),
    "fixed scales": mixture("normal", 3, scales=[1, 2, "1/2"]),
    "mixed means": mixture("normal", 3, means=[0, None, None]),
    "mixed scales": mixture("normal", 3, scales=[None, "1/2", None]),
    "both mixed": mixture(
        "normal", 5, means=[0, None, 1, None, None], scales=[1, 2, None, None, None]
    ),
    "fixed weights": mixture("normal", 3, weights=["1/2", "1/3", "1/6"]),
    "mixed weights": mixture("normal", 4, weights=[None, "1/8", None, None], scales=1),
    "tied means and scales": mixture("normal", 3, means="tied", scales="tied"),
    "mixed means, tied scales": mixture("normal", 4, means=[0, None, 1, None], scales="tied"),
    "one fixed mean, tied scales": mixture("normal", 3, means=[None, None, 2], scales="tied"),
    "only weights": mixture("normal", 3, means=[0, 1, 2], scales=1),
    "poisson": mixture("poisson", 3),
    "poisson tied": mixture("poisson", 3, rates="tied"),
    "poisson mixed": mixture("poisson", 3, rates=[1, None, None], weights=[None, None, "1/4"]),
    "poisson fixed": mixture("poisson", 2, rates=[1, 5]),
}
each = pytest.mark.parametrize("model", PATTERNS.values(), ids=PATTERNS)
seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=settings.default.max_examples // 6)


@each
@few
@given(seeds)
def test_the_step_is_stationary(model: Mixture, seed: int) -> None:
    """∂Q/∂θ = 0, by a high-precision difference along each θ_i."""
    sample = random_sample(model, seed)
    with mpmath.workdps(40):
        found = step(model, sample, random_present(model, seed))
        h = mpmath.mpf("1e-12")
        for i, p in enumerate(model.parameters):
            size = h * max(abs(found[i]), mpmath.mpf("1e-3"))
            sides = [[*found[:i], found[i] + s, *found[i + 1 :]] for s in (size, -size)]
            up, down = (q(model, sample, side) for side in sides)
            bend = abs(up - 2 * q(model, sample, found) + down) / size
            assert abs(up - down) / size <= 1e-9 * bend, p.name


@each
@few
@given(seeds)
def test_no_other_theta_is_better(model: Mixture, seed: int) -> None:
    sample = random_sample(model, seed)
    rng = np.random.default_rng(seed)
    with mpmath.workdps(30):
        found = step(model, sample, random_present(model, seed))
        best = q(model, sample, found)
        for size in (1e-6, 1e-2, 0.3):
            moved = []
            for v, p in zip(found, model.parameters, strict=True):
                shift = size * rng.normal()
                moved.append(v + shift if p.domain.name == "real" else v * mpmath.exp(shift))
            room = 1 - mpmath.fsum(
                v for v, p in zip(moved, model.parameters, strict=True) if p.role == "weight"
            )
            if room > _fixed_weight(model):
                assert q(model, sample, moved) <= best


def _fixed_weight(model: Mixture) -> float:
    return float(sum(v for n, v in model.fixed.items() if n.startswith("pi_")))


@each
def test_the_step_does_not_depend_on_the_present_locations(model: Mixture) -> None:
    """Statistics are taken about the present location, which must not show."""
    sample = random_sample(model, 5)
    with mpmath.workdps(30):
        one, other = (step(model, sample, random_present(model, s)) for s in (1, 2))
        assert all(mpmath.almosteq(a, b, 1e-20, 1e-20) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("seed", range(3))
def test_free_normal_components_get_their_weighted_moments(seed: int) -> None:
    model = PATTERNS["all free"]
    sample = random_sample(model, seed)
    with mpmath.workdps(30):
        found = step(model, sample, random_present(model, seed))
        x, r = np.array(sample.x, dtype=float), np.array(sample.shares, dtype=float)
        mass = r.sum(axis=1)
        mean = r @ x / mass
        sd = np.sqrt((r * (x - mean[:, None]) ** 2).sum(axis=1) / mass)
        want = np.concatenate([mass[:2], mean, sd])
    np.testing.assert_allclose(np.array(found, dtype=float), want, rtol=1e-12)


def test_statistics_are_what_the_density_is_linear_in() -> None:
    y = sp.Symbol("y", real=True)
    assert statistics_of(family_named("normal"))[0] == (y, y**2)
    assert statistics_of(family_named("poisson"))[0] == (y,)
    for name in ("normal", "poisson"):
        family = family_named(name)
        _, parts = statistics_of(family)
        whole = sp.Add(*(c * f for f, c in parts.items()))
        rest = sp.expand_log(family.log_density.subs(family.x, y), force=True) - whole
        assert sp.expand(rest) == 0


def test_the_symbols_of_statistics() -> None:
    assert [statistic_symbol(j).name for j in range(3)] == ["N", "t_1", "t_2"]


# ------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (mixture("normal", 3, means="tied"), "the update of sigma depends on the tied mu"),
        (
            mixture("normal", 3, means="tied", scales=[1, None, None]),
            "the update of sigma depends on the tied mu",
        ),
        (
            mixture("gamma", 3, shapes="tied", scales="tied"),
            "no closed form for the tied shape, scale",
        ),
    ],
)
def test_where_there_is_no_closed_form_the_step_is_named(model: Mixture, says: str) -> None:
    with pytest.raises(DerivationError, match=says) as caught:
        derive_m_step(model)
    assert "; given: " in str(caught.value)
    assert "; expected: " in str(caught.value)
    record = Record("none", identity(model))
    assert says in str(record.m_step_or_reason)
    with pytest.raises(DerivationError, match=says):
        record.m_step  # noqa: B018
    assert record.joint.way == "none"
    assert "No closed form" in record["m_step"].words
    assert "Newton" in record["m_step"].words


def test_a_family_whose_equations_cannot_be_solved_is_refused_by_the_parameter() -> None:
    x = sp.Symbol("x", real=True)
    a = FamilyParameter("a", "shapes", domain("positive"))
    s = FamilyParameter("s", "widths", domain("positive"))
    gamma = Family(
        "gamma",
        (a.symbol - 1) * sp.log(x)
        - x / s.symbol
        - sp.loggamma(a.symbol)
        - a.symbol * sp.log(s.symbol),
        (a, s),
        "half-line",
    )
    with pytest.raises(
        DerivationError, match=r"no closed form; given: the equations for a, s of the gamma"
    ):
        derive_m_step(Mixture(gamma, 2, "free", ("free", "free")))
    shape_given = Mixture(gamma, 2, "free", ((sp.Integer(2), sp.Integer(3)), "free"))
    (update,) = derive_m_step(shape_given).updates
    assert update.parameter == "s"
    assert sp.simplify(update.value - statistic_symbol(1) / a.symbol) == 0
