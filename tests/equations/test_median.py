"""Weighted medians as M-steps: derived where log f = a − c |x − μ|, and nowhere else."""

from __future__ import annotations

import pytest
import sympy as sp

import relrep_sym as rs
from relrep_sym.declare.domains import domain
from relrep_sym.declare.family import Family, FamilyParameter
from relrep_sym.equations.em import statistic_symbol
from relrep_sym.equations.median import median_step

X = sp.Symbol("x", real=True)
M, S = (
    FamilyParameter(name, f"{name}s", domain(kind))
    for name, kind in (("m", "real"), ("s", "positive"))
)
AWAY = sp.Abs(X - M.symbol)
T, N = statistic_symbol(1), statistic_symbol(0)


def test_a_laplace_scale_is_the_mean_deviation_from_the_median() -> None:
    found = median_step(rs.mixture("laplace", components=3))
    assert found is not None
    assert found.groups == ((0,), (1,), (2,))
    ((update,), b) = found.updates, sp.Symbol("b", positive=True)
    assert (update.parameter, update.value, found.tension) == ("b", T, 1 / b)


def test_a_tied_scale_is_the_mean_over_all_components() -> None:
    found = median_step(rs.mixture("laplace", components=3, scales="tied"))
    assert found is not None
    (update,) = found.updates
    totals = dict(update.totals)
    above, below = sp.fraction(update.value)
    assert (totals[above], totals[below]) == (N * T, N)


def test_a_steeper_slope_makes_the_scale_larger() -> None:
    """−|2 (x − m)/s| − log s is largest at s = 2 E|x − m|."""
    family = rs.family("-abs(2*(x - m)/s) - log(s)", {"m": "real", "s": "positive"}, name="steep")
    found = median_step(rs.mixture(family, components=2))
    assert found is not None
    assert found.updates[0].value == 2 * T


def test_a_shared_median_needs_scales_that_are_known_or_shared() -> None:
    """Its weights are N_k/b_k, which the step itself would change."""
    assert median_step(rs.mixture("laplace", components=2, means="tied")) is None
    for scales in ("tied", [1, 2]):
        model = rs.mixture("laplace", components=2, means="tied", scales=scales)
        found = median_step(model)
        assert found is not None
        assert found.groups == ((0, 1),)


def test_fixed_parameters_stay() -> None:
    found = median_step(
        rs.mixture("laplace", components=3, means=[None, 0, None], scales=[1, None, None])
    )
    assert found is not None
    assert found.groups == ((0,), (2,))
    assert found.updates[0].components == (1, 2)


@pytest.mark.parametrize(
    "shape",
    [
        -AWAY / S.symbol - (X - M.symbol) ** 2 / S.symbol**2,
        -sp.log(1 + AWAY / S.symbol),
        AWAY / S.symbol - (X - M.symbol) ** 2,
        -AWAY * M.symbol**2 / S.symbol,
        -(X - M.symbol) / S.symbol - sp.exp(-(X - M.symbol) / S.symbol),
    ],
)
def test_other_densities_have_none(shape: sp.Expr) -> None:
    family = Family("other", shape - sp.log(S.symbol), (M, S), "line")
    assert median_step(rs.mixture(family, components=2)) is None
