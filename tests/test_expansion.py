"""Series as a researcher uses them: certified, measured against the exact field, printed."""

from __future__ import annotations

import pickle
from functools import cache

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import relrep_sym as rs
from relrep_sym.declare.chart import Chart
from relrep_sym.errors import CertificateError, DataError, DeclarationError, DomainError
from relrep_sym.expansion_check import SeriesCertificate, SeriesEntry

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
RATES = {"v": "pi_1", "u": "rate_1 - rate_2", "w": "pi_1*rate_1 + (1 - pi_1)*rate_2"}
UNIT = rs.mixture("normal", components=2, scales=1)
HALF = rs.mixture("normal", components=2, scales="1/2")
TIED = rs.mixture("normal", components=2, scales="tied")
FREE = rs.mixture("normal", components=2)
THREE = rs.mixture("normal", components=3, scales=1)
COUNTS = rs.mixture("poisson", components=2)
APART = VUW | {"s": "sigma_2", "t": "sigma_1 - sigma_2"}
CASES: dict[str, tuple[Chart, dict[str, str], object, int]] = {
    "unit": (rs.identity(UNIT), VUW, "u", 5),
    "unit, relative": (rs.relative(UNIT, "mu"), VUW, "u", 4),
    "unit, square gap": (rs.relative(UNIT, "mu", gap="square"), VUW, "u", 4),
    "half": (rs.identity(HALF), VUW, "u", 4),
    "tied": (rs.identity(TIED), VUW | {"s": "sigma"}, "u", 4),
    "free": (rs.identity(FREE), APART, ["u", "t"], 3),
    "free, relative": (rs.relative(FREE, ["mu", "sigma"]), APART, ["u", "t"], 3),
    "free, a quotient": (
        rs.identity(FREE),
        VUW | {"s": "sigma_2", "t": "(sigma_1 - sigma_2)/(mu_1 - mu_2)"},
        "u",
        3,
    ),
    "pair (1, 2) of three": (rs.identity(THREE), FIRST, "u", 3),
    "pair (2, 3) of three": (rs.relative(THREE, "mu"), SECOND, "u", 2),
    "pair (1, 2), square gaps": (rs.relative(THREE, "mu", gap="square"), FIRST, "u", 2),
    "poisson": (rs.identity(COUNTS), RATES, "u", 4),
}
FEW = ("unit", "tied", "pair (1, 2) of three", "poisson")
"""The cases of which all kinds are looked at by default; of the others the learning equations."""


def pairs(*kinds: str) -> pytest.MarkDecorator:
    """Cases and kinds of series; what is not looked at by default is marked slow."""
    found = [
        pytest.param(c, k, marks=[] if k == "averaged" or c in FEW else pytest.mark.slow)
        for c in CASES
        for k in kinds
    ]
    return pytest.mark.parametrize(("case", "of"), found)


@cache
def expansion(case: str, of: str) -> rs.api.Expansion:  # type: ignore[name-defined]
    chart, functions, overlap, order = CASES[case]
    d = rs.derive(chart.model, chart)
    return d.series(rs.view(chart, functions), overlap, order, of=of)  # type: ignore[arg-type]


@pairs("averaged", "log_likelihood", "log_density")
def test_every_coefficient_is_the_oracles_to_thirty_digits(case: str, of: str) -> None:
    found = expansion(case, of).certify(digits=30).check()
    assert found.worst.error < 1e-30
    assert any(abs(e.reference) > 1e-3 and e.power >= 2 for e in found.entries)


@pytest.mark.slow
@pytest.mark.parametrize("case", FEW)
@pytest.mark.parametrize("of", ["averaged", "log_likelihood"])
def test_coefficients_under_a_mixture_are_the_oracles_integrals(case: str, of: str) -> None:
    chart = CASES[case][0]
    if chart.model.family.name == "poisson":
        q = rs.truth("poisson", weights=["1/4", "3/4"], rates=["1/2", 3])
    else:
        q = rs.truth("normal", weights=["1/4", "3/4"], means=[-1, "1/2"], scales=["1/2", "5/8"])
    expansion(case, of).certify(q, digits=25).check()


def test_a_wrong_coefficient_is_named() -> None:
    good = expansion("unit", "averaged").certify(digits=10)
    e = next(e for e in good.entries if e.row == "u" and e.power == 3)
    bad = SeriesEntry(e.row, e.power, 3 * e.value, e.reference, float(abs(2 * e.value)))
    told = SeriesCertificate(good.label, good.digits, good.point, good.truth, (bad,))
    assert not told.ok
    with pytest.raises(CertificateError, match="order 3 in u"):
        told.check()


# ------------------------------------------------------------------------------ the truncation

NORMAL = rs.truth("normal", weights=["1/3", "2/3"], means=[-1, "1/2"], scales=[1, "3/2"])
POISSON = rs.truth("poisson", weights=["1/3", "2/3"], rates=[1, 2])
POINTS = {
    "v": 0.4, "w": 0.9, "s": 0.9, "u": 0.8, "t": 0.3, "c": 0.6, "a": 0.35, "m": -0.7,
}  # fmt: skip


@pairs("averaged", "log_likelihood")
def test_the_error_falls_with_the_power_that_is_left_out(case: str, of: str) -> None:
    e = expansion(case, of)
    q = POISSON if case == "poisson" else NORMAL
    point = {n: POINTS[n] for n in e._held}
    if case == "pair (1, 2), square gaps":
        point["m"] = 1.7  # to the right of the pair
    if case.startswith("free"):  # elsewhere the first term that is left out nearly vanishes
        point |= {"v": 0.3, "w": 0.4}
    found = e.measured(q, point, (0.08, 0.04, 0.02))
    assert found.remainders == tuple(r.remainder for r in e.rows)
    for slope, power in zip(found.slopes, found.remainders, strict=True):
        assert abs(slope - power) < 0.35
    assert "left out" in str(found)


@settings(max_examples=12)
@given(
    v=st.floats(0.05, 0.95),
    w=st.floats(-1, 1),
    means=st.tuples(st.floats(-1, 1), st.floats(-1, 1)),
    scales=st.tuples(st.floats(0.3, 1.3), st.floats(0.3, 1.3)),
    share=st.floats(0.1, 0.9),
    order=st.sampled_from([2, 3]),
)
def test_the_error_is_the_next_terms(
    v: float, w: float, means: object, scales: object, share: float, order: int
) -> None:
    """|exact − S| is the first two terms left out, and what follows them is small."""
    low, high = (_unit(order), _unit(order + 2))
    truth = ([share, 1 - share], list(means), list(scales))  # type: ignore[call-overload]
    u = 1 / 64
    found = low.measured(truth, {"v": v, "w": w}, [u])
    more = high.measured(truth, {"v": v, "w": w}, [u])
    left = np.abs(more.truncated - found.truncated)
    for error, known, remainder in zip(found.error[0], left[0], found.remainders, strict=True):
        assert abs(error - known) <= 100 * u ** (remainder + 2) + 1e-14


@cache
def _unit(order: int) -> rs.api.Expansion:  # type: ignore[name-defined]
    d = rs.derive(UNIT)
    return d.averaged_in(rs.view(d.chart, VUW)).series("u", order=order)


def test_a_weighted_sample_is_a_truth() -> None:
    x, share = np.array([-1.0, 0.5, 2.0]), np.array([0.25, 0.5, 0.25])
    found = _unit(4).at({"v": 0.3, "u": 0.01, "w": 0.2}, (x, share))
    k = rs.derive(UNIT, view=rs.view(rs.identity(UNIT), VUW)).compile()
    coords = [0.3, 0.2 + 0.7 * 0.01, 0.2 - 0.3 * 0.01]
    np.testing.assert_allclose(found, k.view_field(coords, (x, share)), atol=3e-8)


def test_a_truths_own_moments_give_the_same_numbers() -> None:
    d = rs.derive(UNIT)
    seen = rs.view(d.chart, VUW)
    under = d.series(seen, "u", order=4, truth=NORMAL)
    point = {"v": 0.3, "u": 0.1, "w": 0.2}
    np.testing.assert_allclose(under.at(point), _unit(4).at(point, NORMAL), rtol=1e-12)
    symbolic = rs.truth("normal", weights=["r", "1 - r"], means=["a", 0], scales=1)
    assert {s.name for s in d.series(seen, "u", truth=symbolic).value.free_symbols} == {
        "a", "r", "eta", "u", "v", "w",
    }  # fmt: skip


# ------------------------------------------------------------------------------ the face


def test_series_are_reached_from_the_equations_in_a_view() -> None:
    d = rs.derive(UNIT)
    seen = rs.view(d.chart, VUW)
    assert d.averaged_in(seen).series("u", order=3).rows == d.series(seen, "u", 3).rows
    assert d.averaged_in(seen).value.shape == (3, 1)
    assert pickle.loads(pickle.dumps(d.series(seen, "u", 2))).rows == d.series(seen, "u", 2).rows


@pairs("averaged", "log_likelihood", "log_density")
def test_latex_is_labelled_and_says_how_far_it_holds(case: str, of: str) -> None:
    e = expansion(case, of)
    text = e.latex()
    assert text.count(r"\label{eq:") == 1
    assert r"\mathcal{O}(" in text
    assert "asymptotic as" in text
    assert text.count("{") == text.count("}")
    if e.moments:
        assert "M_j &= " in text
    assert "Terms" not in text


@pytest.mark.latex
def test_latex_compiles(tmp_path: object) -> None:
    import subprocess
    from pathlib import Path

    folder = Path(str(tmp_path))
    kinds = ("averaged", "log_likelihood", "log_density")
    body = "\n".join(expansion(c, of).latex() for c in FEW for of in kinds)
    body = body.replace(r"\label{", r"%\label{")
    head = r"\documentclass{article}\usepackage{amsmath}\allowdisplaybreaks\begin{document}"
    (folder / "all.tex").write_text(f"{head}\n{body}\\end{{document}}\n")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


def test_bad_points_and_truths() -> None:
    e = _unit(3)
    with pytest.raises(DeclarationError, match="v, u, w"):
        e.at({"v": 0.3}, NORMAL)
    with pytest.raises(DeclarationError, match="each of v, w"):
        e.measured(NORMAL, {"v": 0.3, "w": 0, "u": 1})
    with pytest.raises(DataError, match="no list of sizes"):
        e.measured(NORMAL, {"v": 0.3, "w": 0}, [0.1, 0.0])
    with pytest.raises(DomainError):
        e.measured(NORMAL, {"v": 1.5, "w": 0})
    with pytest.raises(DataError, match="need a truth"):
        e.at({"v": 0.3, "u": 0.1, "w": 0}, None)
    with pytest.raises(DeclarationError, match="digits"):
        e.certify(digits=0)
    with pytest.raises(DataError, match="no such truth"):
        e.certify(rs.truth("normal", weights=["r", "1 - r"], means=[0, 1], scales=1))
    with pytest.raises(DeclarationError, match="no average"):
        expansion("unit", "log_density").at({"v": 0.3, "u": 0.1, "w": 0}, NORMAL)


def test_views_of_other_charts_are_refused() -> None:
    d = rs.derive(UNIT)
    with pytest.raises(DeclarationError, match="another chart"):
        d.series(rs.view(rs.relative(UNIT, "mu"), VUW), "u")


def test_order_eight_takes_no_time() -> None:
    """A coefficient that would be a page by hand: the eighth cumulant of a coin is in it."""
    d = rs.derive(UNIT)
    row = d.series(rs.view(d.chart, VUW), "u", 8, of="log_likelihood").rows[0]
    v = sp.Symbol("v")
    k = v
    for _ in range(7):  # κ_{n+1} = v (1 − v) dκ_n/dv
        k = sp.expand(v * (1 - v) * sp.diff(k, v))
    top = next(m for m in row.coefficients[8].atoms(sp.Symbol) if m.name == "M_8")
    assert sp.expand(sp.expand(row.coefficients[8]).coeff(top) - k / sp.factorial(8)) == 0
