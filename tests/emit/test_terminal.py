"""Equations read well in a terminal, in any width and in plain ASCII."""

from __future__ import annotations

from unicodedata import combining

import pytest
from sympy.printing.pretty.pretty_symbology import pretty_use_unicode

import relrep_sym as rs
from relrep_sym.emit.terminal import show, sources


def derivations() -> list[rs.Derivation]:
    normal = rs.mixture("normal", components=2, scales=1)
    square = rs.relative(normal, "mu", gap="square", clearance="1/2")
    view = rs.view(square, {"v": "pi_1", "mu_1": "mu_1 - mu_2"})
    eight = rs.mixture("normal", components=8)
    tied = rs.mixture("normal", components=3, weights="tied", scales="tied")
    poisson = rs.mixture("poisson", components=3)
    return [
        rs.derive(normal, square, view=view),
        rs.derive(eight, rs.relative(eight, ["mu", "sigma"])),
        rs.derive(tied),
        rs.derive(poisson, rs.log(poisson, "rate")),
    ]


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("width", [40, 120])
def test_every_equation_fits_and_no_latex_is_left(number: int, width: int) -> None:
    for equation in (e.equation for e in derivations()[number]):
        for unicode in (True, False):
            text = show(equation, width=width, unicode=unicode)
            body = text.split("\n\n", 1)[1]
            assert max(map(_columns, body.splitlines())) <= width
            assert not set("{}") & set(body)
            assert "\\left" not in body
            assert "None" not in body
            assert unicode or (text.isascii() and "?" not in text)


def _columns(line: str) -> int:
    """How many columns a line takes: an accent stands over the letter before it."""
    return sum(not combining(c) for c in line)


def test_components_are_said_once_for_all() -> None:
    (_, eight, *_) = derivations()
    text = show(eight.record["averaged"], width=100, unicode=True)
    assert "(k = 1, …, 7)" in text
    assert "rₖ(x)" in text
    assert "r₃" not in text


def test_symbols_look_the_same_in_sympy_and_in_latex() -> None:
    (square, *_) = derivations()
    assert "λ = (π₁, μ₁, Δ₁)" in show(square.record["chart"])
    assert "2 Δ₁" in show(square.record["jacobian"])
    assert "KL(q || p) = E_q" in show(square.record["kl"], unicode=False)


def test_the_process_keeps_its_own_taste() -> None:
    (square, *_) = derivations()
    before = pretty_use_unicode(None)
    show(square.record["kl"], unicode=not before)
    assert pretty_use_unicode(None) == before


def test_sources_are_spelled_out() -> None:
    (square, *_) = derivations()
    text = sources(e.equation for e in square)
    assert "EsserNielsen2022: Esser and Nielsen, On the Influence of Enforcing Model Ident" in text
    assert "DempsterLairdRubin1977: Dempster, Laird and Rubin" in text
