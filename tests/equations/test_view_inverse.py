"""A view solved for coordinates: the view of the solution is the view."""

from __future__ import annotations

import pytest
import sympy as sp

from relrep_sym.declare.chart import Chart, identity
from relrep_sym.declare.charts import log, relative
from relrep_sym.declare.model import mixture
from relrep_sym.declare.view import view
from relrep_sym.equations.view_inverse import solve_view
from relrep_sym.errors import DerivationError

UNIT = mixture("normal", 2, scales=1)
FREE = mixture("normal", 2)
THREE = mixture("normal", 3, scales=1)
VUW = {"v": "pi_1", "u": "mu_1 - mu_2", "w": "pi_1*mu_1 + (1 - pi_1)*mu_2"}
FIRST = {
    "c": "pi_1 + pi_2",
    "v": "pi_1/(pi_1 + pi_2)",
    "m": "mu_3",
    "u": "mu_1 - mu_2",
    "w": "(pi_1*mu_1 + pi_2*mu_2)/(pi_1 + pi_2)",
}
SECOND = {
    "a": "pi_1",
    "v": "pi_2/(1 - pi_1)",
    "m": "mu_1",
    "u": "mu_2 - mu_3",
    "w": "(pi_2*mu_2 + (1 - pi_1 - pi_2)*mu_3)/(1 - pi_1)",
}
BLOWN = VUW | {"s": "sigma_2", "t": "(sigma_1 - sigma_2)/(mu_1 - mu_2)"}
RATES = {"v": "pi_1", "u": "rate_1 - rate_2", "w": "rate_2"}


@pytest.mark.parametrize(
    ("chart", "functions"),
    [
        (identity(UNIT), VUW),
        (relative(UNIT, "mu"), VUW),
        (relative(UNIT, "mu", gap="square", clearance="1/2"), VUW),
        (identity(FREE), BLOWN),
        (relative(FREE, ["mu", "sigma"]), BLOWN),
        (identity(THREE), FIRST),
        (identity(THREE), SECOND),
        (relative(THREE, "mu"), SECOND),
        (relative(THREE, "mu", gap="square"), FIRST),
        (relative(THREE, "mu", gap="square"), SECOND),
        (log(mixture("poisson", 2), "rate"), RATES),
    ],
)
def test_the_view_of_the_inverse_is_the_view(chart: Chart, functions: dict[str, str]) -> None:
    seen = view(chart, functions)
    solved = solve_view(seen)
    for e, symbol in zip(seen.expressions, seen.symbols, strict=True):
        assert sp.simplify(e.xreplace(solved.coordinates) - symbol) == 0
    assert sp.cancel(sum(solved.weights) - 1) == 0


def test_a_square_gap_has_a_mobility_without_a_root() -> None:
    seen = view(relative(UNIT, "mu", gap="square"), VUW)
    u, v = sp.symbols("u v")
    m = solve_view(seen).mobility
    assert m[1, 1] == -4 * u
    assert sp.expand(m[1, 2] - 4 * u * (1 - v)) == 0
    assert not m.has(sp.Rational(1, 2))


def test_names_of_coordinates_may_be_swapped() -> None:
    seen = view(identity(UNIT), {"pi_1": "mu_1", "mu_1": "mu_2", "mu_2": "pi_1"})
    found = solve_view(seen).coordinates
    assert {str(k): str(e) for k, e in found.items()} == {
        "pi_1": "mu_2",
        "mu_1": "pi_1",
        "mu_2": "mu_1",
    }


@pytest.mark.parametrize(
    ("functions", "why"),
    [
        ({"v": "pi_1", "u": "mu_1 - mu_2"}, "full set"),
        (VUW | {"z": "mu_1**2"}, "full set"),
        ({"v": "pi_1", "u": "mu_1 - mu_2", "w": "2*mu_1 - 2*mu_2"}, "not solved"),
        ({"v": "pi_1", "u": "mu_1*exp(mu_2) + mu_2", "w": "mu_1 + mu_2**3"}, "not solved"),
    ],
)
def test_views_that_are_no_coordinates(functions: dict[str, str], why: str) -> None:
    with pytest.raises(DerivationError, match=why):
        solve_view(view(identity(UNIT), functions))


def test_a_view_that_hides_a_sign_that_matters() -> None:
    seen = view(identity(UNIT), {"v": "pi_1", "u": "mu_1**2", "w": "mu_2"})
    with pytest.raises(DerivationError, match="sign of mu_1"):
        _ = solve_view(seen).parameters
