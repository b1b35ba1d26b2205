"""Gradient EM is gradient ascent on L, and its rates are safe where it is said so.

Sections 1.2, 1.3 and 4 of Xu, Fazel and Du (2024) are tested too, where they are wrong as
where they are right: equation (3) and Fact 1 have Q with a minus and without the factor ½, equation
(6) is an inequality.
"""

from __future__ import annotations

import mpmath
import pytest
import sympy as sp

import relrep_sym as rs
from relrep_sym.declare.chart import Chart
from relrep_sym.equations.gradient_em import sides
from relrep_sym.equations.nodes import Expectation, Responsibility
from relrep_sym.equations.record import Record
from relrep_sym.errors import DerivationError

K = (2, 3, 5)


def _charts() -> dict[str, Chart]:
    out: dict[str, Chart] = {}
    for k in K:
        normal, poisson = rs.mixture("normal", k), rs.mixture("poisson", k)
        unit = rs.mixture("normal", k, scales=1)
        out |= {
            f"identity {k}": rs.identity(normal),
            f"relative {k}": rs.relative(unit, "mu"),
            f"square {k}": rs.relative(normal, ["mu", "sigma"], gap="square", clearance="1/10"),
            f"exp {k}": rs.relative(unit, "mu", gap="exp"),
            f"softplus {k}": rs.relative(unit, "mu", gap="softplus"),
            f"log rates {k}": rs.log(poisson, "rate"),
            f"softmax {k}": rs.relative(unit, "mu") @ rs.softmax(unit),
        }
    two = rs.mixture("normal", 2, scales=1)
    rules = {"pi_1": "v", "mu_1": "w + (1 - v)*u", "mu_2": "w - v*u"}
    out["v u w"] = rs.chart(two, rules, domains={"v": "unit"})
    out["tied"] = rs.identity(rs.mixture("normal", 3, scales="tied"))
    out["one component"] = rs.identity(rs.mixture("normal", 1))
    return out


CHARTS = _charts()


# ----------------------------------------------------------------------------- Fact 1


@pytest.mark.parametrize("chart", CHARTS.values(), ids=CHARTS)
def test_the_gradient_of_q_is_that_of_the_likelihood(chart: Chart) -> None:
    """∇_λ' Q(λ'|λ) at λ' = λ is ∇L(λ) in any chart: Xu, Fazel and Du (2024), Fact 1."""
    record = Record("demo", chart)
    uphill, slopes = sides(chart, record.log_weighted)
    assert (uphill - slopes).applyfunc(sp.expand) == sp.zeros(*uphill.shape)
    assert any(e != 0 for e in uphill)


@pytest.mark.parametrize(
    "chart",
    [
        pytest.param(c, marks=[pytest.mark.slow] * (n in ("softmax 5", "softmax 3", "square 5")))
        for n, c in CHARTS.items()
    ],
    ids=CHARTS,
)
def test_the_step_is_eta_times_the_gradient_of_q(chart: Chart) -> None:
    """What the record gives out, by the pull-back, is what differentiating Q gives."""
    record = Record("demo", chart)
    uphill, _ = sides(chart, record.log_weighted)
    eta = sp.Symbol("eta", positive=True)
    back = dict(zip(record.responsibilities, _in_coordinates(record), strict=True))
    for s, e, value in zip(chart.symbols, uphill, record["gradient_em"].value, strict=True):
        (mean,) = (value - s).atoms(Expectation) or (sp.Integer(0),)
        assert sp.expand(value - s - eta * mean) == 0
        inner = mean.args[0].xreplace(back).xreplace(chart.unrolled)
        if len(back) == 1:
            inner = inner.xreplace(dict.fromkeys(back.values(), sp.Integer(1)))
        assert _vanishes(inner - e)


def _vanishes(difference: sp.Expr) -> bool:
    """Whether an expression in opaque responsibilities is zero at a point, to thirty digits."""
    held = {r: sp.Dummy(f"r_{r.component}") for r in difference.atoms(Responsibility)}
    plain = difference.xreplace(held)
    symbols = sorted(plain.free_symbols, key=str)
    here = {s: sp.Rational(n + 3, 2 * n + 17) for n, s in enumerate(symbols)}
    return bool(abs(sp.N(plain.xreplace(here), 40)) < sp.Float("1e-30", 40))


def _in_coordinates(record: Record) -> list[sp.Expr]:
    return [r.xreplace(record.chart.unrolled) for r in record.responsibilities]


def test_a_wrong_q_is_told_from_the_right_one() -> None:
    """Q with responsibilities that move too is another function: Fact 1 says something."""
    chart = CHARTS["relative 2"]
    record = Record("demo", chart)
    _, slopes = sides(chart, record.log_weighted)
    logs = [a.xreplace(chart.unrolled) for a in record.log_weighted]
    moving = sum(r * a for r, a in zip(_in_coordinates(record), logs, strict=True))
    assert sp.expand(sp.diff(moving, chart.symbols[-1]) - slopes[-1]) != 0


def test_paper_004_has_the_sign_and_a_factor_of_its_q_wrong() -> None:
    """Equation (3) prints ∇_μi Q = E[ψ_i (μ_i − x)] of Q = −E[Σ ψ_i |x − μ_i|²]; it is not."""
    x, r = sp.Symbol("x"), sp.symbols("r_1:4")
    m = sp.symbols("mu_1:4")
    printed = -sum(a * (x - b) ** 2 for a, b in zip(r, m, strict=True))
    claimed = r[0] * (m[0] - x)
    assert sp.expand(sp.diff(printed, m[0]) - claimed) != 0
    assert sp.expand(sp.diff(-printed / 2, m[0]) - claimed) == 0
    model = rs.mixture("normal", 3, weights="1/3", scales=1)
    q = rs.truth("normal", weights=[1], means=[0], scales=1)
    loss = "D[E[log_q - log_p], mu_2]"
    assert rs.check(loss, "E[r_2*(mu_2 - x)]", model=model, truth=q, points=1).status == "proven"
    with_log_p = "D[E[log_p], mu_2]"  # the appendix's proof of Fact 1 ends with E[∇ log p] = ∇L
    assert rs.check(loss, with_log_p, model=model, truth=q, points=1).status == "refuted"


# ----------------------------------------------------------------------------- safe rates

FIXED = {"weights": "1/3", "scales": 1}


def _linear(k: int, **patterns: object) -> Chart:
    model = rs.mixture("normal", k, weights=f"1/{k}", **{"scales": 1, **patterns})
    return rs.relative(model, "mu")


@pytest.mark.parametrize("k", [2, 3, 5, 8, 12])
def test_the_rate_of_the_relative_chart_has_a_closed_form(k: int) -> None:
    """AᵀA of μ_k = μ_1 + Δ_1 + … has the inverse tridiag(−1, 2, −1) but for one corner."""
    found = Record("demo", _linear(k)).safe_rate_or_reason
    assert not isinstance(found, str)
    with mpmath.workdps(30):
        exact = 8 * mpmath.sin(mpmath.pi / (4 * k + 2)) ** 2
        assert 0 <= exact - mpmath.mpf(found.rate) < 4e-16
    assert found.sharp == sp.Rational(2, k)
    assert found.rate < found.sharp_rate <= 2 / k


def test_the_rates_that_are_known() -> None:
    rates = [rs.derive(c.model, c).safe_rate.rate for c in map(_linear, K)]
    assert [round(r, 3) for r in rates] == [0.764, 0.396, 0.162]
    largest = rs.derive(_linear(2).model, _linear(2)).safe_rate.largest
    assert sp.simplify(largest - (3 + sp.sqrt(5)) / 2) == 0


@pytest.mark.parametrize("k", K)
def test_a_common_scale_goes_in_by_its_square(k: int) -> None:
    wide, unit = (rs.derive(c.model, c).safe_rate for c in (_linear(k, scales=3), _linear(k)))
    assert wide.sharp == 9 * unit.sharp
    assert wide.rate == pytest.approx(9 * unit.rate, rel=1e-15)


def test_each_component_has_a_scale_of_its_own() -> None:
    """The bound is max_k |a_k|²/σ_k² for any scales that are given."""
    model = rs.mixture("normal", 3, weights=["1/2", "1/3", "1/6"], scales=[1, 2, "1/2"])
    found = rs.derive(model, rs.relative(model, "mu")).safe_rate
    assert found.sharp == sp.Rational(2, 12)
    assert rs.derive(model).safe_rate.sharp == sp.Rational(1, 2)


def test_weights_of_the_bound_are_the_masses() -> None:
    """λ_max(Σ N_k c_k a_k a_kᵀ) ≤ max_k c_k |a_k|² for N in the simplex, met at its corners."""
    found = rs.derive(_linear(5).model, _linear(5)).safe_rate
    top = 2 / found.sharp
    with mpmath.workdps(20):
        for n in ([0, 0, 0, 0, 1], [1, 0, 0, 0, 0], [1, 1, 1, 1, 1], [0, 1, 0, 2, 9]):
            masses = sp.diag(*(sp.Rational(v, sum(n)) for v in n))
            whole = mpmath.matrix((found.matrix.T * masses * found.matrix).evalf(20).tolist())
            largest = max(mpmath.eigsy(whole, eigvals_only=True))
            assert largest <= top + mpmath.mpf("1e-15")
            if n[-1] == 1 and sum(n) == 1:
                assert abs(largest - top) < mpmath.mpf("1e-15")


UNSAFE = {
    "weights that are learned": rs.identity(rs.mixture("normal", 3, scales=1)),
    "mu and sigma learned together": rs.identity(rs.mixture("normal", 3, weights="1/3")),
    "Delta_1 = 2\\*Delta_1": rs.relative(rs.mixture("normal", 3, **FIXED), "mu", gap="square"),
    "given curvature": rs.identity(rs.mixture("poisson", 3, weights="1/3")),
}


@pytest.mark.parametrize("said", UNSAFE)
def test_where_no_rate_is_safe_it_is_said_why(said: str) -> None:
    chart = UNSAFE[said]
    with pytest.raises(DerivationError, match=said):
        _ = rs.derive(chart.model, chart).safe_rate


def test_a_symbolic_clearance_changes_no_rate() -> None:
    model = rs.mixture("normal", 3, **FIXED)
    given = rs.derive(model, rs.relative(model, "mu", clearance="c")).safe_rate
    assert given == rs.derive(model, rs.relative(model, "mu")).safe_rate


def test_the_document_says_the_rate_or_that_there_is_none() -> None:
    chart = _linear(3)
    said = rs.derive(chart.model, chart).latex("gradient_em", assumptions=True)
    assert r"0 < \eta < \frac{2}{3}" in said
    assert r"0.396\dots" in said
    other = rs.derive(rs.mixture("normal", 3)).latex("gradient_em", assumptions=True)
    assert "No rate is safe" in other
