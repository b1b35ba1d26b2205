"""What SymPy takes forever over is stopped from inside; what is harmless alone stays harmless."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from sympy import Symbol, gamma, sqrt

import relrep_sym as rs
from relrep_sym.declare.bounded import MAX_SECONDS
from relrep_sym.declare.parser import parse_expression, substitute
from relrep_sym.declare.patience import Patience, TooLong
from relrep_sym.errors import DeclarationError, ParseError

ROOT = Path(__file__).resolve().parents[2]
NAMES = {n: Symbol(n, real=True) for n in ("v", "u", "w", "mu_1", "Delta_1", "lambda", "x1")}
ENDLESS = (  # each takes SymPy from ten seconds to minutes, most of it in a single step
    "asinh((sinh((exp((cos((tan((expm1((expm1((log((v)*Delta_1)**(-3/7))+w)**(2/3))-x1)**(0.37))"
    "/x1)**(1/2))/Delta_1)**(-1/2))*x1)**(-1/2))+v)**(5))*lambda)**(1/2)",
    "cosh((log1p((sin((tanh((tan((cos((erf((log((v/3)+x1)**(-1/2))-1)**(0.37))+mu_1)**(0.37))*u)"
    "**(0.37))+Delta_1)**(-3/7))+u)**(1/2))*Delta_1)**(2/3))-lambda)**(-3/7)",
)


@pytest.mark.parametrize("text", ENDLESS)
def test_one_step_without_end_is_refused_when_the_time_is_over(text: str) -> None:
    started = time.thread_time()
    with pytest.raises(ParseError, match="too hard for SymPy at column"):
        parse_expression(text, NAMES, where="a map")
    assert time.thread_time() - started < MAX_SECONDS + 0.4
    assert sys.getprofile() is None


@pytest.mark.parametrize(
    "text", ["tanh(" * 9 + "u" + ")" * 9, "cosh(-v)**2/4*cos(7 + cosh(Delta_1**40))"]
)
def test_a_map_of_plain_symbols_is_refused_too(text: str) -> None:
    model = rs.mixture("poisson", components=1)
    started = time.thread_time()
    with pytest.raises(ParseError, match="too hard for SymPy"):
        rs.chart(model, {"rate_1": text})
    assert time.thread_time() - started < MAX_SECONDS + 0.4


def test_a_proof_without_end_is_no_proof() -> None:
    model = rs.mixture("poisson", components=1)
    started = time.thread_time()
    rs.chart(model, {"rate_1": "**".join(["u"] * 60)})
    assert time.thread_time() - started < 2 * MAX_SECONDS + 0.4


def test_watching_changes_no_value() -> None:
    text = "sqrt(1 + sqrt(1 + sqrt(1 + sqrt(1 + u**2))))"
    u = NAMES["u"]
    assert parse_expression(text, NAMES, where="a map") == sqrt(
        1 + sqrt(1 + sqrt(1 + sqrt(1 + u**2)))
    )


def test_a_profiler_is_left_at_work() -> None:
    seen = []

    def profiler(frame: object, event: str, argument: object) -> None:
        seen.append(event)

    sys.setprofile(profiler)
    try:
        with Patience(0.0) as patience:
            patience.watch()
            kept = sys.getprofile()
            sum(range(10_000))
        after = sys.getprofile()
    finally:
        sys.setprofile(None)
    assert kept is profiler
    assert after is profiler
    assert seen


def test_the_time_is_over_for_what_catches_every_exception() -> None:
    def stubborn(patience: Patience) -> None:
        patience.watch()
        while True:
            try:
                len("")
            except Exception:
                continue

    with pytest.raises(TooLong), Patience(0.02) as patience:
        stubborn(patience)
    assert sys.getprofile() is None


def test_nothing_is_lost_in_generators_that_are_left_early(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Python drops what is raised while it closes a generator, and stops watching."""
    dropped: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", dropped.append)

    def stubborn(patience: Patience) -> None:
        patience.watch()
        for _ in range(1_000_000):  # far beyond the time
            any(True for _ in range(3))

    for _ in range(40):
        with pytest.raises(TooLong), Patience(0.005) as patience:
            stubborn(patience)
    assert not dropped


def test_what_is_harmless_alone_is_bounded_together() -> None:
    """Γ(x¹⁰⁰⁰) is a formula; at x = 300 it is a number that no memory holds."""
    model = rs.mixture("normal", components=2, scales=1)
    rules = {"pi_1": "u", "mu_1": "300", "mu_2": "u"}
    chart = rs.chart(model, rules)
    with pytest.raises(DeclarationError, match="a power too large"):
        rs.view(chart, {"v": "gamma(mu_1**1000)"})
    for text in ("pi_1 + gamma(mu_1**1000)", "pi_1 + gamma(pi_1**(-1000))"):
        with pytest.raises(DeclarationError, match=r"does not invert the map .* too large"):
            rs.chart(model, rules, inverse={"u": text})
    x = Symbol("x")
    assert substitute(gamma(x) + x, {x: x + 1}, where="here") == gamma(x + 1) + x + 1


@pytest.mark.slow
def test_hostile_texts_do_no_harm() -> None:
    command = [sys.executable, ROOT / "benchmarks" / "fuzz.py", "--count", "2000", "--seed", "7"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("nothing wrong\n")
