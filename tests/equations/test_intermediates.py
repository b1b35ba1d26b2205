"""Charts with values between coordinates and θ: pull-back, Jacobian, inverse, by numbers."""

from __future__ import annotations

import mpmath
import pytest
import sympy as sp
from sympy.codegen.cfunctions import expm1

import relrep_sym as rs
from relrep_sym.declare.chart import Chart
from relrep_sym.declare.functions import spelled_out
from relrep_sym.declare.model import mixture
from relrep_sym.equations.program import find_inverse, jacobian, pull_back, steps
from tests.declare.maps import number, ordinary, targets, theta

MODELS = {k: mixture("normal", k) for k in (2, 3, 5)}


def shared(model: rs.Mixture) -> Chart:
    """One value that several entries of θ read."""
    rules = {n: n for n in model.names}
    rules["mu_1"], rules["mu_2"] = "m - d", "m + d"
    return rs.chart(rs.chart(model, rules), {"d": "exp(a)/3 + 1"})


CHARTS = {
    f"{name}, K = {k}": make(model)
    for k, model in MODELS.items()
    for name, make in {
        "softmax": lambda m: rs.softmax(m),
        "softmax, constant": lambda m: rs.softmax(m, clearance="lam"),
        "stick": lambda m: rs.stick_breaking(m),
        "stick, cleared": lambda m: rs.stick_breaking(m, clearance="1/50"),
        "relative softmax": lambda m: (
            rs.relative(m, gap="softplus", clearance="lam") @ rs.softmax(m)
        ),
        "ratios": lambda m: rs.relative(rs.log(m, "sigma"), "log_sigma", gap="square"),
        "shared": shared,
        "shared stick": lambda m: shared(m) @ rs.stick_breaking(m),
    }.items()
}
each = pytest.mark.parametrize("c", CHARTS.values(), ids=CHARTS)


def numeric(c: Chart, point: dict[str, mpmath.mpf]) -> mpmath.matrix:
    """∂(targets)/∂λ by differences at fifty digits, a row for each target of the program."""
    step = mpmath.mpf("1e-20")
    columns = []
    for n in c.names:
        up, down = (targets(c, {**point, n: point[n] + s}) for s in (step, -step))
        columns.append([(up[t] - down[t]) / (2 * step) for t, _ in c.program])
    return mpmath.matrix(columns).T


@each
def test_the_jacobian_is_the_numeric_one(c: Chart) -> None:
    with mpmath.workdps(50):
        point = ordinary(c, 1)
        values = targets(c, point)
        want, order = numeric(c, point), [t for t, _ in c.program]
        found = jacobian(c)
        for i, p in enumerate(c.model.parameters):
            for j in range(len(c.names)):
                got = number(found[i, j], values)
                exact = want[order.index(p.symbol), j]
                assert mpmath.almosteq(got, exact, mpmath.mpf("1e-30"), mpmath.mpf("1e-30"))


@each
@pytest.mark.parametrize("last", [False, True], ids=["theta", "last weight too"])
def test_the_pull_back_is_the_transposed_numeric_jacobian(c: Chart, last: bool) -> None:
    """Adjoints may come in for θ, and for the intermediate that is the last weight."""
    fed = [p.symbol for p in c.model.parameters]
    if last and c.last_weight is not None:
        fed.append(c.last_weight)
    with mpmath.workdps(50):
        point = ordinary(c, 2)
        gradient = {t: mpmath.mpf(3 * k + 1) / (2 * k + 7) for k, t in enumerate(fed)}
        known = dict(targets(c, point))
        known |= {sp.Symbol(f"d({t.name})"): g for t, g in gradient.items()}
        out = {}
        for target, rule in pull_back(c, lambda n: sp.Symbol(f"d({n})"), fed):
            value = number(rule, known)
            if target in c.symbols:
                out[target.name] = value
            else:
                known[target] = value
        assert list(out) == list(c.names)
        want, order = numeric(c, point), [t for t, _ in c.program]
        for j, n in enumerate(c.names):
            exact = mpmath.fsum(g * want[order.index(t), j] for t, g in gradient.items())
            assert mpmath.almosteq(out[n], exact, mpmath.mpf("1e-28"), mpmath.mpf("1e-28"))


@each
def test_the_inverse_gives_the_coordinates_back(c: Chart) -> None:
    with mpmath.workdps(50):
        point = ordinary(c, 0)
        known = {p.symbol: v for p, v in zip(
            c.model.parameters, theta(c, point).values(), strict=True)}  # fmt: skip
        known |= {g.symbol: point[g.name] for g in c.constants}
        for symbol, rule in find_inverse(c):
            known[symbol] = number(rule, known)
        for s in c.symbols:
            assert mpmath.almosteq(abs(known[s]), abs(point[s.name]), mpmath.mpf("1e-30"))


# ------------------------------------------------------------------------------ ratios


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("gap", ["square", "exp", "softplus", "plain"])
def test_steps_of_relative_logarithms_are_a_factor_expm1(count: int, gap: str) -> None:
    model = mixture("poisson", count)
    c = rs.relative(rs.log(model, "rate"), "log_rate", gap=gap, clearance="lam")
    found = steps(c, "rate")
    assert found is not None
    assert all(e.has(expm1) for e in found)
    with mpmath.workdps(40):
        values = targets(c, ordinary(c))
        for k, e in enumerate(found, start=1):
            here, after = (values[entry] for entry in model.component("rate")[k - 1 : k + 1])
            got = number(spelled_out(e.rewrite(sp.exp)), values)
            assert mpmath.almosteq(got, after - here, mpmath.mpf("1e-30"))


def test_rates_that_merge_in_ratio_keep_their_difference() -> None:
    """At Δ = 1e-12 the rates agree to 12 digits, and their step is known to 16."""
    model = mixture("poisson", 2)
    c = rs.relative(rs.log(model, "rate"), "log_rate")
    (step,) = steps(c, "rate")
    source = rs.derive(model, c).source()
    assert "expm1" in source
    values = {s: mpmath.mpf(1) / 3 for s in c.symbols} | {sp.Symbol("Delta_log_rate_1"): 1e-12}
    values[model.component("rate")[0]] = mpmath.exp(values[sp.Symbol("log_rate_1")])
    assert number(spelled_out(step.rewrite(sp.exp)), values) > 0
