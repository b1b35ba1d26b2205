"""Random charts: compositions of the named ones, and well-formed maps that a strategy writes.

Round trips are held to 8 u · cond. With J = ∂θ/∂λ by mpmath and J⁺ its inverse on the image, cond
is |J⁺| (|θ| + |J| |λ| + |constants|) + |λ|, row by row: what one rounding of each input and of each
θ_i makes of a coordinate. A weight's θ_i counts with the sum of all of θ, for it may be what others
leave.
"""

from __future__ import annotations

import warnings
from functools import cache

import mpmath
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import relrep_sym as rs
from relrep_sym.declare.chart import Chart
from relrep_sym.errors import ChartWarning, DomainError, PrecisionWarning
from tests.declare.maps import ordinary, theta

UNIT = 2.0**-53
MODELS = [
    rs.mixture("normal", components=2),
    rs.mixture("normal", components=3),
    rs.mixture("poisson", components=3),
    rs.mixture("normal", components=3, scales="tied"),
    rs.mixture("normal", components=3, weights=[None, None, "1/4"], scales=1),
]
X = {"line": np.array([-3.0, -0.4, 0.2, 1.7, 5.0]), "integers": np.array([0.0, 1.0, 2.0, 5.0, 9.0])}

# ------------------------------------------------------------------------------ what is drawn


@st.composite
def named(draw: st.DrawFn) -> Chart:
    """One to three named charts on each other, about different entries."""
    model = draw(st.sampled_from(MODELS))
    first = model.family.parameters[0].name
    last = model.family.parameters[-1].name
    gap = st.sampled_from(["plain", "square", "exp", "softplus"])
    room = st.sampled_from([0, "1/64", "lam"])
    chart: Chart = rs.identity(model)
    steps = draw(st.permutations(["order", "weigh", "log"]))
    for step in steps[: draw(st.integers(1, 3))]:
        if step == "order" and first in {s.rpartition("_")[0] for s in chart.names}:
            end = draw(st.sampled_from(["first", "last"])) if first == "mu" else "first"
            chart = rs.relative(chart, first, gap=draw(gap), clearance=draw(room), reference=end)
        elif step == "weigh":
            make = draw(st.sampled_from([rs.softmax, rs.stick_breaking, rs.cleared]))
            chart = make(chart, clearance=draw(room) if make is not rs.cleared else "1/64")
        elif step == "log" and last != first:
            if any(s.name.startswith(last) for s in model.parameters):
                chart = rs.log(chart, last)
    return chart


@st.composite
def expression(draw: st.DrawFn, earlier: list[str], own: str, where: str) -> str:
    """An increasing function of ``own``, moved or scaled by a smooth one of what is earlier."""
    other = draw(st.sampled_from(earlier)) if earlier else "0"
    smooth = draw(
        st.sampled_from(
            [f"{other}", f"{other}**2/4", f"exp({other}/4)", f"softplus({other})",
             f"sqrt(1 + {other}**2)", f"log(2 + {other}**2)", "1/3"]
        )
    )  # fmt: skip
    if where == "real":
        return draw(
            st.sampled_from(
                [f"{own} + {smooth}", f"2*{own} - {smooth}", f"{own}*exp({other}/4) + 1",
                 f"{smooth} - softplus({own})", f"{smooth} + exp({own})", f"3*{own}/2"]
            )
        )  # fmt: skip
    if where == "unit":
        return draw(st.sampled_from([f"{own}/3", f"1/4 + {own}/8", f"logistic({own})/3"]))
    return draw(
        st.sampled_from(
            [f"exp({own})", f"softplus({own})", f"exp({own} + {smooth}/4)",
             f"1/8 + exp({own})", f"exp({own}/2)*(1 + {other}**2)"]
        )
    )  # fmt: skip


@st.composite
def written(draw: st.DrawFn) -> Chart:
    """A triangular map of a model: each entry of θ by a coordinate of its own and earlier ones."""
    model = draw(st.sampled_from(MODELS))
    names: list[str] = []
    rules, domains = {}, {}
    for j, p in enumerate(model.parameters):
        name = f"c_{j + 1}"
        rules[p.name] = draw(expression(names, name, p.domain.name))
        if p.domain.name == "unit" and "logistic" not in rules[p.name]:
            domains[name] = "unit"
        else:
            names.append(name)
    return rs.chart(model, rules, domains=domains)


@cache
def derived(chart: Chart) -> tuple[object, object]:
    """The module of a chart, and that of the identity chart."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ChartWarning)
        warnings.simplefilter("ignore", PrecisionWarning)  # a drawn map may cancel somewhere
        module = rs.derive(chart.model, chart, name="drawn").compile()
    return module, identity(chart.model)


@cache
def identity(model: rs.Mixture) -> object:
    return rs.derive(model, name="plain").compile()


@st.composite
def placed(draw: st.DrawFn, charts: st.SearchStrategy[Chart]) -> tuple[Chart, dict[str, float]]:
    """A chart and a point inside its domain whose mixture is one."""
    chart = draw(charts)
    point = {n: float(v) for n, v in ordinary(chart, draw(st.integers(0, 6))).items()}
    for c in chart.coordinates:
        if draw(st.booleans()) and c.domain.name == "real":
            point[c.name] = draw(st.floats(-2.0, 2.0).filter(lambda v: abs(v) > 1e-3))
    found = theta(chart, point)
    for p in chart.model.parameters:
        assume(p.domain.lower < found[p.name] < p.domain.upper or p.domain.lower < 0)
    return chart, point


ANY = st.one_of(placed(named()), placed(written()))


def split(chart: Chart, point: dict[str, float]) -> tuple[np.ndarray, dict[str, float]]:
    coords = np.array([point[n] for n in chart.names])
    return coords, {c.name: point[c.name] for c in chart.constants}


def exact_jacobian(chart: Chart, point: dict[str, float]) -> np.ndarray:
    """∂θ/∂λ by central differences at sixty digits."""
    with mpmath.workdps(60):
        at = {n: mpmath.mpf(v) for n, v in point.items()}
        step = mpmath.mpf("1e-25")
        columns = []
        for n in chart.names:
            up, down = (theta(chart, {**at, n: at[n] + s}) for s in (step, -step))
            columns.append([(up[p] - down[p]) / (2 * step) for p in up])
        return np.array(columns, dtype=float).T


# ------------------------------------------------------------------------------ what must hold


@given(ANY)
@settings(max_examples=15)
def test_theta_and_its_jacobian_are_those_of_the_declared_map(
    drawn: tuple[Chart, dict[str, float]],
) -> None:
    chart, point = drawn
    coords, constants = split(chart, point)
    k, _ = derived(chart)
    with mpmath.workdps(40):
        want = np.array([float(v) for v in theta(chart, point).values()])
    jacobian = exact_jacobian(chart, point)
    owed = np.abs(want) + np.abs(jacobian) @ np.abs(coords)
    slack = sum(abs(v) for v in constants.values()) * len(coords)
    assert (np.abs(k.to_model(coords, **constants) - want) <= 8 * UNIT * (owed + slack)).all()
    got = k.jacobian(coords, **constants)
    top = np.abs(jacobian).max(axis=1, keepdims=True)
    assert (np.abs(got - jacobian) <= 64 * UNIT * (np.abs(jacobian) + (1 + owed[:, None]) * top)
            ).all()  # fmt: skip


@given(ANY)
@settings(max_examples=15)
def test_coordinates_come_back_from_theta(drawn: tuple[Chart, dict[str, float]]) -> None:
    chart, point = drawn
    coords, constants = split(chart, point)
    k, _ = derived(chart)
    there = k.to_model(coords, **constants)
    back = k.from_model(there, **constants)
    square = [c.domain.name == "real" and back[j] * coords[j] < 0
              for j, c in enumerate(chart.coordinates)]  # fmt: skip
    known = np.where(square, np.abs(coords), coords)  # of a square gap the positive root
    jacobian = exact_jacobian(chart, point)
    inverse = np.linalg.pinv(jacobian)
    owed = np.abs(there) + np.abs(jacobian) @ np.abs(coords)
    owed = owed + np.abs(there).sum() * (np.array(
        [p.role == "weight" for p in chart.model.parameters]))  # fmt: skip
    room = sum(abs(v) for v in constants.values()) * len(coords)
    cond = np.abs(inverse) @ (owed + room + 1 / 64) + np.abs(coords)
    assert (np.abs(back - known) <= 8 * UNIT * cond).all()
    again = k.to_model(back, **constants)
    assert (np.abs(again - there) <= 16 * UNIT * (owed + np.abs(jacobian) @ cond)).all()


@given(ANY)
@settings(max_examples=15)
def test_the_score_is_the_transposed_jacobian_times_that_in_theta(
    drawn: tuple[Chart, dict[str, float]],
) -> None:
    chart, point = drawn
    coords, constants = split(chart, point)
    k, plain = derived(chart)
    x = X[chart.model.family.support]
    w = np.array([0.5, 2.0, 1.0, 0.25, 1.5])
    there = k.to_model(coords, **constants)
    jacobian = k.jacobian(coords, **constants)
    in_theta = plain.score_samples(x, there)
    scale = np.abs(jacobian).T @ np.abs(in_theta).max(axis=0)
    floor = 1 + np.abs(np.log(np.abs(there) + 1e-300)).max()
    cond = 1 + np.abs(x).max() + np.abs(there).max() / np.abs(there).min()
    want = jacobian.T @ plain.score(x, there, w)
    got = k.score(x, coords, w, **constants)
    assert (np.abs(got - want) <= 64 * UNIT * scale * floor * cond).all()
    rows = k.score_samples(x, coords, **constants)
    assert (np.abs(rows - in_theta @ jacobian) <= 64 * UNIT * scale * floor * cond).all()


@given(placed(named()))
@settings(max_examples=15)
def test_the_hessian_is_symmetric_and_the_slope_of_the_score(
    drawn: tuple[Chart, dict[str, float]],
) -> None:
    chart, point = drawn
    coords, constants = split(chart, point)
    k, _ = derived(chart)
    x = X[chart.model.family.support]
    found = k.hessian(x, coords, **constants)
    np.testing.assert_array_equal(found, found.T)
    step = 1e-5
    moves = step * np.eye(len(coords))
    inside = [c.domain.lower + step < v < c.domain.upper - step
              for c, v in zip(chart.coordinates, coords, strict=True)]  # fmt: skip
    assume(all(inside))
    slopes = [
        (k.score(x, coords + m, **constants) - k.score(x, coords - m, **constants)) / (2 * step)
        for m in moves
    ]
    scale = 1 + np.abs(found).max() * (1 + np.abs(coords).max()) ** 2
    np.testing.assert_allclose(found, np.array(slopes), atol=1e-4 * scale)


@given(placed(named()))
@settings(max_examples=12)
def test_what_lies_outside_of_the_image_is_refused(drawn: tuple[Chart, dict[str, float]]) -> None:
    """θ out of order, or with a weight below its clearance, has no coordinates."""
    chart, point = drawn
    coords, constants = split(chart, point)
    k, _ = derived(chart)
    there = k.to_model(coords, **constants)
    names = list(k.PARAMETERS)
    first = chart.model.family.parameters[0].name
    if any(n.startswith("Delta") for n in chart.names):
        swapped = there.copy()
        i, j = names.index(f"{first}_1"), names.index(f"{first}_2")
        assume(there[j] - there[i] > 1e-6)
        swapped[[i, j]] = there[[j, i]]
        with pytest.raises(DomainError, match=r"theta is not in the image|Delta|weight"):
            k.from_model(swapped, **constants)
    if any(n.startswith("omega") for n in chart.names):
        low = there.copy()
        low[0] = 1 / 65
        with pytest.raises(DomainError):
            k.from_model(low, **constants)


@given(placed(written()))
@settings(max_examples=15)
def test_a_map_on_a_map_is_their_composition(drawn: tuple[Chart, dict[str, float]]) -> None:
    """A shift and a scale of each real coordinate, declared on the chart, does what it says."""
    chart, point = drawn
    moved = [c.name for c in chart.coordinates if c.domain.name == "real"]
    on = rs.chart(chart, {n: f"2*n_{n} - 1/3" for n in moved})
    assert len(on.names) == len(chart.names)
    shifted = {
        **{n: v for n, v in point.items() if n not in moved},
        **{f"n_{n}": (point[n] + 1 / 3) / 2 for n in moved},
    }
    for a, b in zip(theta(on, shifted).values(), theta(chart, point).values(), strict=True):
        assert mpmath.almosteq(a, b, 1e-12, 1e-12)
    jacobian = exact_jacobian(on, shifted)
    twice = np.array([2.0 if n in moved else 1.0 for n in chart.names])
    want = exact_jacobian(chart, point) * twice
    order = [on.names.index(f"n_{n}" if n in moved else n) for n in chart.names]
    np.testing.assert_allclose(jacobian[:, order], want, rtol=1e-12, atol=1e-12)


def test_the_strategies_write_what_they_should() -> None:
    """A drawn map's rules are triangular, and its inverse is found by peeling."""
    model = MODELS[0]
    rules = {"pi_1": "c_1/3", "mu_1": "2*c_2 - 1/3", "mu_2": "softplus(c_2) + exp(c_3)",
             "sigma_1": "exp(c_4 + c_3**2/16)", "sigma_2": "softplus(c_5)"}  # fmt: skip
    chart = rs.chart(model, rules, domains={"c_1": "unit"})
    k, _ = derived(chart)
    coords = np.array([0.3, -0.7, 0.4, 0.2, 1.1])
    np.testing.assert_allclose(k.from_model(k.to_model(coords)), coords, rtol=1e-14)
