"""The number pi and the function erfc, wherever a user may write an expression."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import sympy as sp
from scipy import special, stats

import relrep_sym as rs
from relrep_sym.declare.functions import Erfc
from relrep_sym.declare.request import parse_request
from relrep_sym.equations.kernels import with_kernels
from relrep_sym.errors import DeclarationError

UNIT = rs.mixture("normal", components=2, scales=1)
SKEW = "log(erfc(-a*(x - m)/(s*sqrt(2)))) - ((x - m)/s)**2/2 - log(s) - log(2*pi)/2"


def test_pi_stands_in_maps_views_clearances_truths_and_identities() -> None:
    chart = rs.chart(UNIT, {"pi_1": "v", "mu_1": "w", "mu_2": "w + pi*u"})
    kernel = rs.derive(UNIT, chart, view=rs.view(chart, {"a": "u/pi"})).compile()
    assert kernel.to_model([0.5, 1.0, 2.0]).tolist() == [0.5, 1.0, 1.0 + 2 * math.pi]
    assert kernel.to_view([0.5, 1.0, 2.0])[-1] == pytest.approx(2 / math.pi, rel=1e-15)
    apart = rs.relative(UNIT, "mu", clearance="pi/8")
    assert rs.derive(UNIT, apart).compile().to_model([0.5, 0.0, 0.0])[2] == math.pi / 8
    truth = rs.truth("normal", weights=["1/pi", "1 - 1/pi"], means=["pi", "a*pi"], scales=1)
    assert truth.arrays(a=2)[1].tolist() == [math.pi, 2 * math.pi]
    assert rs.check("E_1[(x - mu_1)**2]*pi", "4*atan(1)", model=UNIT).status == "proven"


REQUEST = """
name = "halves"
[family]
name = "half_normal"
log_density = "log(2/pi)/2 - log(s) - x**2/(2*s**2)"
support = "half-line"
[family.parameters]
s = "positive"
[model]
components = 2
[chart]
kind = "map"
[chart.map]
pi_1 = "v"
s_1 = "pi*u"
s_2 = "pi*u + pi*w**2"
"""


def test_pi_stands_in_a_request_file() -> None:
    request = parse_request(REQUEST)
    assert request.model.family.log_density.has(sp.pi)
    assert request.chart.unrolled[request.model.parameters[1].symbol].has(sp.pi)
    with pytest.raises(DeclarationError, match=r"pi is the number 3\.14159"):
        parse_request(REQUEST.replace('s = "pos', 'pi = "pos'))


def test_no_name_is_pi() -> None:
    for make in (
        lambda: rs.family("-(x - pi)**2/2 - log(2*pi)/2", {"pi": "real"}),
        lambda: rs.chart(
            UNIT, {"pi_1": "v", "mu_1": "w", "mu_2": "u"}, coordinates=["v", "pi", "u"]
        ),
        lambda: rs.view(rs.identity(UNIT), {"pi": "pi_1", "b": "mu_1", "c": "mu_2"}),
    ):
        with pytest.raises(DeclarationError, match=r"pi is the number 3\.14159"):
            make()
    with pytest.raises(DeclarationError, match=r"pi is the number 3\.14159"):
        rs.chart(UNIT, {"pi_1": "v", "mu_1": sp.Symbol("pi"), "mu_2": "u"})
    with pytest.raises(DeclarationError, match=r"sympy\.pi for the number"):
        rs.family(sp.Symbol("pi") * sp.Symbol("x"), {"m": "real"})


def test_names_that_begin_with_pi_are_names() -> None:
    assert rs.identity(UNIT).names == ("pi_1", "mu_1", "mu_2")
    chart = rs.chart(UNIT, {"pi_1": "pi_1", "mu_1": "pi_2", "mu_2": "pi_2 + pix"})
    assert chart.names == ("pi_1", "pi_2", "pix")


def test_erfc_is_itself_and_its_slope_a_gaussian() -> None:
    a = sp.Symbol("a", real=True)
    assert sp.diff(Erfc(-a), a) == 2 * sp.exp(-(a**2)) / sp.sqrt(sp.pi)
    assert Erfc(-a).args == (-a,)  # SymPy's own would be 2 - erfc(a)
    for x in (-3.0, 0.5, 25.0):
        assert float(Erfc(sp.Float(x, 30)).evalf(20)) == pytest.approx(special.erfc(x), rel=1e-15)
        for f, g in (
            (1 - sp.erf(a), mpmath.erfc),
            (2 - Erfc(a), lambda v: mpmath.erfc(-v)),
            (3 - 3 * Erfc(a), lambda v: 3 * mpmath.erf(v)),
        ):
            node = with_kernels(f)
            assert not node.is_Add
            name = {"erf": special.erf, "erfc": special.erfc}
            call = next(c for c in node.atoms(sp.Function) if hasattr(c, "kernel_name"))
            number = float(node / call) * name[call.kernel_name](float(call.args[0].subs(a, x)))
            assert number == pytest.approx(float(g(x)), rel=1e-14)


def test_a_skew_normal_mixture_is_scipys() -> None:
    family = rs.family(SKEW, {"m": "real", "s": "positive", "a": "real"}, name="skew")
    derivation = rs.derive(rs.mixture(family, components=2))
    assert r"\operatorname{erfc}" in derivation.latex("averaged")
    assert "erfc" in str(derivation.averaged.value)
    x = np.linspace(-4.0, 6.0, 41)
    right = 0.4 * stats.skewnorm.pdf(x, 2, -1, 1) + 0.6 * stats.skewnorm.pdf(x, -3, 2, 1.5)
    found = derivation.compile().log_density(x, [0.4, -1.0, 2.0, 1.0, 1.5, 2.0, -3.0])
    np.testing.assert_allclose(found, np.log(right), rtol=1e-11)


def test_a_skew_normal_written_by_erf_and_by_sympys_erfc_are_the_same() -> None:
    x, m, s, a = sp.symbols("x m s a")
    u = a * (x - m) / (s * sp.sqrt(2))
    rest = -(((x - m) / s) ** 2) / 2 - sp.log(s) - sp.log(2 * sp.pi) / 2
    parameters = {"m": "real", "s": "positive", "a": "real"}
    at = np.linspace(-2.0, 2.0, 9)
    coords = [0.4, -1.0, 1.0, 1.0, 1.5, 2.0, -3.0]
    values = [
        rs.derive(rs.mixture(rs.family(f + rest, parameters), components=2))
        .compile()
        .log_density(at, coords)
        for f in (sp.log(sp.erfc(-u)), sp.log(1 + sp.erf(u)), sp.log(Erfc(-u)))
    ]
    np.testing.assert_allclose(values[0], values[2], rtol=1e-13)
    np.testing.assert_allclose(values[1], values[2], rtol=1e-13)
