r"""Where a chart or a view has no finite value, an error says which and where; never NaN."""

from __future__ import annotations

import numpy as np
import pytest

import relrep_sym as rs
from relrep_sym.runtime.quadrature import window
from relrep_sym.runtime.special import log_ratio

MODEL = rs.mixture("normal", components=3, scales=1)
TRUTH = (np.array([0.5, 0.5]), np.array([0.0, 1.0]), np.array([1.0, 1.0]))
AT = np.array([0.2, 0.3, -1.0, 0.5, 0.7])
X = np.array([-1.0, 0.0, 2.0])


@pytest.fixture(scope="module")
def edge():  # type: ignore[no-untyped-def]
    chart = rs.relative(MODEL, "mu")
    functions = {"mean": "mu_1", "entropy": "log(Delta_1)*Delta_1", "root": "Delta_2**(1/2)"}
    view = rs.view(chart, functions)
    return rs.derive(MODEL, chart, view=view).compile()


@pytest.mark.parametrize(
    ("j", "to_view", "view_field"),
    [
        (3, "entropy is not finite", "entropy has no finite derivative"),
        (4, "", "root has no finite derivative"),
    ],
)
def test_a_view_at_its_edge_is_named(edge, j, to_view, view_field) -> None:  # type: ignore[no-untyped-def]
    assert np.isfinite(edge.to_view(AT)).all()
    assert np.isfinite(edge.view_field(AT, TRUTH)).all()
    at = AT.copy()
    at[j] = 0.0
    if to_view:
        with pytest.raises(rs.DomainError, match=f"view function {to_view}.*Delta_1 = 0.0"):
            edge.to_view([AT, at])
    else:
        assert np.isfinite(edge.to_view(at)).all()
    with pytest.raises(rs.DomainError, match=f"view function {view_field}.*Delta_{j - 2} = 0.0"):
        edge.view_field([AT, at], TRUTH)


def of_map(**rules: str):  # type: ignore[no-untyped-def]
    plain = {n: n for n in MODEL.names}
    chart = rs.chart(MODEL, {**plain, **rules}, domains={"a": "nonnegative"})
    return rs.derive(MODEL, chart).compile()


def test_a_map_that_divides_by_zero_is_refused() -> None:
    k = of_map(mu_1="1/a")
    at = [0.2, 0.3, 0.0, 1.0, 2.0]
    calls = (k.to_model, k.jacobian, k.components, k.fisher, lambda c: k.score(X, c))
    for call in calls:
        with pytest.raises(rs.DomainError, match=r"mu is not finite.*division by zero"):
            call(at)


def test_a_map_without_a_slope_has_values_and_no_derivative() -> None:
    k = of_map(mu_3="mu_2 + sqrt(a)")
    at = np.array([0.2, 0.3, -1.0, 0.5, 0.0])
    at[k.COORDINATES.index("a")] = 0.0
    np.testing.assert_allclose(k.to_model(at)[-1], k.to_model(at)[-2])
    assert np.isfinite(k.log_density(X, at)).all()
    calls = (
        k.jacobian, k.fisher, lambda c: k.score(X, c), lambda c: k.score_samples(X, c),
        lambda c: k.averaged_field(c, TRUTH),
    )  # fmt: skip
    for call in calls:
        with pytest.raises(rs.DomainError, match=r"of mu_3 by a is not finite.*a = 0\.0"):
            call(at)
        inside = np.where(np.array(k.COORDINATES) == "a", 0.25, at)
        assert np.isfinite(call(inside)).all()


@pytest.mark.parametrize("gap", ["plain", "square"])
def test_entries_out_of_order_are_named(gap: str) -> None:
    model = rs.mixture("normal", components=3)
    chart = rs.relative(model, ["mu", "sigma"], gap=gap, clearance="1/8")
    k = rs.derive(model, chart).compile()
    good = k.to_model([0.2, 0.3, -1.0, 0.5, 0.7, 1.0, 0.5, 0.25])
    names = list(k.PARAMETERS)
    for first, second in (("mu_1", "mu_2"), ("mu_2", "mu_3"), ("sigma_2", "sigma_3")):
        theta = good.copy()
        i, j = names.index(first), names.index(second)
        theta[[i, j]] = theta[[j, i]]
        with pytest.raises(rs.DomainError) as caught:
            k.from_model([good, theta])
        said = str(caught.value)
        assert f"given: {first} = {theta[i]}, {second} = {theta[j]}, so " in said
        assert "nan" not in said
        assert "inf]" not in said
        assert "[-inf" not in said


def test_open_ends_are_printed_open() -> None:
    k = rs.derive(rs.mixture("normal", components=3)).compile()
    at = [0.2, 0.3, 0.0, 1.0, 2.0, 1.0, 1.0, 0.0]
    with pytest.raises(rs.DomainError, match=r"sigma_3 is outside .*expected: \(0.0, inf\)$"):
        k.to_model(at)
    with pytest.raises(rs.DomainError, match=r"pi_1 is outside .*expected: \[0.0, 1.0\]$"):
        k.to_model([1.5, *at[1:-1], 1.0])


def test_responsibilities_are_numbers_or_refused() -> None:
    k = rs.derive(rs.mixture("normal", components=3)).compile()
    narrow = [0.2, 0.3, 0.0, 1.0, 2.0, 1e-200, 1.0, 1e-200]
    np.testing.assert_array_equal(k.responsibilities(0.5, narrow), [0.0, 1.0, 0.0])
    for far in (1e250, [0.5, -1e308]):
        with pytest.raises(rs.DomainError, match="overflows double precision"):
            k.responsibilities(far, narrow)


def test_a_component_without_mass_is_refused_without_a_warning() -> None:
    with pytest.raises(rs.DomainError, match="cannot be summed over"):
        window(lambda x: np.full_like(x, -np.inf), 32.0)
    k = rs.derive(rs.mixture("poisson", components=3)).compile()
    tiny = [0.2, 0.3, 1e-320, 1.0, 2.0]
    with pytest.raises(rs.DomainError, match="be summed over"):
        k.averaged_field(tiny, (np.array([0.5, 0.5]), np.array([1e300, 1.0])))


def test_the_logarithm_of_a_ratio_beyond_double_precision() -> None:
    small, large = np.array([5e-324, 3.0]), np.array([1e300, 2.0])
    found = log_ratio(small - large, large, small)
    np.testing.assert_allclose(found, np.log(small) - np.log(large), rtol=1e-14)


def test_coordinates_of_no_names_are_refused() -> None:
    for none in ([], ()):
        with pytest.raises(rs.DeclarationError, match="coordinates= is no list of names"):
            rs.chart(MODEL, {n: n for n in MODEL.names}, coordinates=none)
