"""Whatever the expression, its print says the same number, on one line or broken."""

from __future__ import annotations

import numpy as np
import sympy as sp
from hypothesis import assume, given
from hypothesis import strategies as st

from relrep_sym.declare.symbols import latex_name
from relrep_sym.emit.letters import default
from relrep_sym.emit.measure import filled, width
from relrep_sym.emit.typeset import pieces, tex
from relrep_sym.equations.nodes import ComponentSum, Entry, Expectation, Terms
from tests.emit.reading import World

X = sp.Symbol("x")
VALUES = {
    sp.Symbol("mu_1"): 0.7, sp.Symbol("pi_2"): 0.4, sp.Symbol("Delta_sigma_1"): 1.3,
    sp.Symbol("u"): 1.9, sp.Symbol("rate_12"): 2.2, sp.Symbol("Delta"): 0.6,
}  # fmt: skip
SAMPLE = np.array([0.3, 1.1, 2.4])
WEIGHTS = np.array([0.2, 0.5, 0.3])
INDEXED = {1: 0.8, 2: 1.7, 3: 0.35}


def world() -> World:
    w = World(SAMPLE, WEIGHTS, lambda *_: SAMPLE, SAMPLE)
    for s, v in VALUES.items():
        w.let(latex_name(s.name), v)
    for n, v in INDEXED.items():
        w.let(rf"\sigma_{n}", v)
    return w


def value(e: sp.Expr) -> object:
    """What the expression is, its display nodes by their definitions."""
    if isinstance(e, Expectation):
        return np.sum(WEIGHTS * value(e.args[0]))
    if isinstance(e, Terms):
        return sum(value(a) for a in e.args)
    if isinstance(e, ComponentSum):
        body, letter, first, last = e.args
        entries = [s for s in body.atoms(Entry) if s.index == letter.name]
        return sum(
            value(body.xreplace({s: Entry.of(s.stem, n) for s in entries}))
            for n in range(int(first.name), int(last.name) + 1)
        )
    if isinstance(e, Entry):
        return INDEXED[int(e.index)]
    if isinstance(e, sp.Symbol):
        return SAMPLE if e == X else VALUES[e]
    if e.is_Number or e.is_NumberSymbol:
        return float(e)
    if e.is_Add:
        return sum(value(a) for a in e.args)
    if e.is_Mul:
        out: object = 1.0
        for a in e.args:
            out = out * value(a)
        return out
    if e.is_Pow:
        return value(e.base) ** value(e.exp)
    return {sp.exp: np.exp, sp.log: np.log, sp.sin: np.sin}[type(e)](value(e.args[0]))


def _grown(inner: st.SearchStrategy[sp.Expr]) -> st.SearchStrategy[sp.Expr]:
    pairs = st.tuples(inner, inner)
    entry = Entry.of("sigma", "k")
    return st.one_of(
        pairs.map(lambda p: p[0] + p[1]),
        pairs.map(lambda p: p[0] - p[1]),
        pairs.map(lambda p: p[0] * p[1]),
        pairs.map(lambda p: p[0] / (2 + p[1] ** 2)),
        pairs.map(lambda p: Terms(*p)),
        pairs.map(lambda p: -Terms(p[0], -p[1])),
        st.tuples(inner, st.integers(2, 3)).map(lambda p: p[0] ** p[1]),
        inner.map(lambda e: sp.exp(-(e**2))),
        inner.map(lambda e: sp.log(1 + e**2)),
        inner.map(lambda e: sp.sqrt(1 + e**2)),
        inner.map(sp.sin),
        inner.map(lambda e: Expectation(e * X, X, sp.Symbol("q"))),
        inner.map(lambda e: ComponentSum.over(e * entry, "k", 1, 3)),
    )


def _depth(e: sp.Basic) -> int:
    """How deep sums over components stand in one another."""
    return max((_depth(a) for a in e.args), default=0) + isinstance(e, ComponentSum)


expressions = st.recursive(
    st.sampled_from([*VALUES, X, *map(sp.Rational, ("2", "-1", "1/3", "-5/2"))]),
    _grown,
    max_leaves=8,
)


@given(expressions)
def test_what_is_printed_is_the_expression(e: sp.Expr) -> None:
    assume(_depth(e) <= 1)
    expected = value(e)
    assume(np.all(np.isfinite(expected)) and np.all(np.abs(expected) < 1e6))
    np.testing.assert_allclose(world().read(tex(e)), expected, rtol=1e-9, atol=1e-9, err_msg=tex(e))


@given(expressions, st.sampled_from([0.0, 40.0, 120.0]))
def test_broken_lines_are_the_expression_too(e: sp.Expr, room: float) -> None:
    assume(_depth(e) <= 1)
    expected = value(e)
    assume(np.all(np.isfinite(expected)) and np.all(np.abs(expected) < 1e6))
    shown = default(" ".join(filled(pieces(e, room), room)))
    np.testing.assert_allclose(world().read(shown), expected, rtol=1e-9, atol=1e-9, err_msg=shown)


def test_width_knows_fractions_scripts_and_matrices() -> None:
    assert width(r"\frac{a + b}{c}") < width("a + b + c")
    assert width("x_{k-1}^2") < width("x_{k-1} 2")
    assert width(r"\begin{pmatrix} 1 & 0 \\ a + b & 1 \end{pmatrix}") > width("a + b")


def test_lines_are_filled_up_to_the_room() -> None:
    parts = ["a", *["{} + a"] * 9]
    lines = filled(parts, 60.0)
    assert len(lines) > 1
    assert all(width(line) <= 60.0 for line in lines)
    assert " ".join(lines) == " ".join(parts)
