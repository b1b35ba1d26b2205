"""Conditional steps: the closed forms solve ∂Q/∂λ_j = 0, and what is printed says the same."""

from __future__ import annotations

from functools import cache
from itertools import pairwise, permutations

import mpmath
import numpy as np
import pytest
import sympy as sp

import relrep_sym as rs
from relrep_sym.equations.cm import cm_steps, powers_of, root_of
from relrep_sym.equations.cm_values import new_symbol
from relrep_sym.equations.nodes import (
    Clip,
    ComponentSum,
    Entry,
    Expectation,
    Hat,
    Posterior,
    Terms,
)
from relrep_sym.equations.sweep import em_symbol, precision_symbol, sweep
from relrep_sym.errors import DeclarationError, DerivationError
from tests.runtime.test_ecm import CASES, CHARTS, OTHERS, PATTERNS, q_of, start

each = pytest.mark.parametrize("case", CASES, ids=lambda c: "-".join(map(str, c)))


@cache
def derived(family, components, chart, pattern="free"):
    model = rs.mixture(family, components=components, **PATTERNS.get(pattern, {}))
    maker = OTHERS[family, chart] if family != "normal" else CHARTS[chart]
    return rs.derive(model, maker(model), name="cm")


@cache
def world(case):
    """A derivation, its module, a start, points, and every symbol's value there."""
    d = derived(*case)
    module = d.compile()
    coords = start(module, case[1])
    rng = np.random.default_rng(5)
    x = rng.normal(3, 2, 12) if case[0] == "normal" else rng.integers(1, 9, 12).astype(float)
    values = dict(zip(d.chart.symbols, coords, strict=True))
    for target, e in d.chart.every_value.items():
        values[target] = float(e.xreplace({s: sp.Float(v) for s, v in values.items()}))
    r = module.responsibilities(x, coords)
    return d, module, coords, x, values, r


def valued(e, values, x, r):
    """A number for an expression in coordinates, θ and expectations of r_k(x)."""

    def of(e):
        if isinstance(e, sp.Symbol):
            return x if e.name == "x" and e not in values else values[e]
        if isinstance(e, Expectation):
            return np.mean(of(e.args[0]) + 0 * x)
        if type(e).__name__ == "Responsibility":
            return r[:, e.component - 1]
        if e.is_Number or e.is_NumberSymbol:
            return float(e)
        parts = [of(a) for a in e.args]
        if e.is_Add:
            return sum(parts)
        if e.is_Mul:
            return np.prod(np.array(np.broadcast_arrays(*parts)), axis=0)
        if e.is_Pow:
            return parts[0] ** parts[1]
        known = {"exp": np.exp, "log": np.log, "Max": lambda *a: max(a), "sign": np.sign,
                 "Softplus": lambda a: np.logaddexp(0, a), "Clip": lambda a: max(a, 0.0),
                 "SoftplusInverse": lambda a: np.log(np.expm1(a)), "Terms": lambda *a: sum(a),
                 "LogTotal": lambda *a: np.log1p(sum(np.exp(v) for v in a)),
                 "polygamma": lambda n, a: np.vectorize(
                     lambda v: float(mpmath.polygamma(int(n), v)))(a)}  # fmt: skip
        return known[type(e).__name__](*parts)

    return of(e)


@each
def test_the_closed_forms_are_what_the_kernel_computes_and_the_others_are_slopes_of_q(case):
    d, module, coords, x, values, r = world(case)
    score = module.score(x, coords)
    for j, (name, equation) in enumerate(zip(module.COORDINATES, d.cm_steps.value, strict=True)):
        if equation.rhs == 0:
            assert d.record.cm_steps[j].kind == "none"
            assert d.record.cm_steps[j].reason
            slope = valued(equation.lhs, values, x, r)
            np.testing.assert_allclose(slope, score[j], rtol=1e-9, atol=1e-12)
            continue
        assert equation.lhs == new_symbol(name)
        found = valued(equation.rhs, values, x, r)
        moved = module.ecm_step(x, coords, [name])[j]
        np.testing.assert_allclose(abs(moved), abs(found), rtol=1e-11, atol=1e-13, err_msg=name)


@each
def test_what_is_printed_is_what_was_derived(case):
    """Every line's value at every component, in order: what a line defines, later ones may read."""
    d, _, _, x, values, r = world(case)
    g, count = d.record.generic, d.model.components
    known = {}
    for name, value in zip(d.chart.names, [values[s] for s in d.chart.symbols], strict=True):
        stem, number = g.entry(name)
        known[Entry(stem) if number is None else Entry.of(stem, number)] = value
    weights = [valued(w, values, x, r) for w in d.chart.weight_expressions]
    for k in range(1, count + 1):
        known[Entry.of("pi", k)] = weights[k - 1]
        for p in d.model.family.parameters:
            e = d.model.component(p.name)[k - 1]
            known[Entry.of(p.name, k)] = valued(sp.sympify(e), values, x, r)
        known[Posterior.of("r", k)] = r[:, k - 1]
    for s, v in values.items():
        known.setdefault(s, v)
        if d.model.components > 1 and s.name in g.tied:
            known[sp.Symbol(s.name)] = v
    new, hats = {}, {}
    for line in d.cm_steps.equation.lines:
        left, numbers = line.left, _numbers(line.where)
        for k in numbers or [None]:
            if isinstance(left, str):
                continue
            value = _read(line.right, k, known, hats, x, r)
            shown = _at(left, k)
            if isinstance(shown, Hat):
                hats[shown] = value
            elif "^+" in shown.name:
                new.setdefault(shown.name, value)
                new[shown.name] = value  # the weights one by one come after the block
            else:
                known[shown] = value
    for name, equation in zip(d.chart.names, d.cm_steps.value, strict=True):
        stem, number = g.entry(name)
        key = f"{stem}^+" if number is None else f"{stem}^+[{number}]"
        if equation.rhs != 0:
            derived_value = valued(equation.rhs, values, x, r)
            np.testing.assert_allclose(new[key], derived_value, rtol=1e-11, atol=1e-13, err_msg=key)


def _numbers(where):
    if "=" not in where or "text{no" in where:
        return []
    text = where.split("=")[1].split(r"\text")[0]
    ends = [int(v) for v in text.replace(r"\dots", " ").replace(",", " ").split() if v.isdigit()]
    return list(range(ends[0], ends[-1] + 1)) if r"\dots" in where else ends


def _at(e, k):
    """Generic entries at component k."""
    put = {}
    for s in e.atoms(Entry):
        if s.index.startswith("k") and k is not None:
            put[s] = type(s).of(s.stem, k + int(s.index[1:] or 0))
    return e.xreplace(put)


def _read(e, k, known, hats, x, r):
    def unrolled(body, letter, first, last):
        ends = [_number(s.name, k) for s in (first, last)]
        terms = []
        for n in range(ends[0], ends[1] + 1):
            put = {
                s: type(s).of(s.stem, n + int(s.index[1:] or 0))
                for s in body.atoms(Entry)
                if s.index.startswith(letter.name)
            }
            terms.append(body.xreplace(put))
        return Terms(*terms)

    whole = _at(e.replace(ComponentSum, unrolled), k)
    whole = whole.xreplace({h: sp.Float(v, 17) for h, v in hats.items()})
    return valued(whole, known, x, r)


def _number(text, k):
    return int(text) if text.isdigit() else k + int(text[1:] or 0)


@each
def test_lines_are_as_many_at_any_number_of_components(case):
    family, _, chart, pattern = case
    if pattern != "free" or chart in ("affine", "ratios", "softmax, cleared"):
        pytest.skip("given by component, or entry by entry")
    counts = {len(derived(family, k, chart).cm_steps.equation.lines) for k in (4, 6)}
    assert len(counts) == 1


def test_a_relative_scale_is_solved_numerically_and_its_equation_is_shown():
    d = derived("normal", 3, "both")
    text = d.latex("cm_steps")
    assert r"\text{solved numerically for } \sigma_1" in text
    assert "3 sigma move together" in d.record.cm_steps[5].reason
    assert d.record.cm_steps[7].kind == "own"  # the last gap moves one scale alone


def test_families_say_what_is_solved():
    assert [s.kind for s in derived("gamma", 2, "identity").record.cm_steps] == [
        "simplex", "none", "none", "own", "own",
    ]  # fmt: skip
    normal = rs.mixture("normal", components=2).family
    assert root_of(normal, "sigma")[0] == sp.sqrt(sp.Symbol("s", positive=True))
    assert powers_of(normal, "sigma") == (2, -2)
    laplace = rs.mixture("laplace", components=2)
    assert {s.kind for s in cm_steps(rs.identity(laplace))} == {"simplex", "none"}


def test_all_roots_of_a_square_gap_are_compared():
    """∂Q/∂Δ = 2Δ w (ĝ − Δ²): of 0 and ±√ĝ the latter are better by w ĝ²/2 where ĝ > 0."""
    w, g, delta = sp.symbols("w g Delta", positive=True)
    q = -w * (g - delta**2) ** 2 / 2
    roots = sp.solve(sp.diff(q, delta).subs(delta, sp.Symbol("u")), sp.Symbol("u"))
    assert sp.simplify((q.subs(delta, sp.sqrt(g)) - q.subs(delta, 0)) - w * g**2 / 2) == 0
    assert set(roots) >= {0, sp.sqrt(g)}
    d = derived("normal", 3, "square")
    shown = [line for line in d.cm_steps.equation.lines if isinstance(line.left, str)]
    assert any(r"\partial @Q" in line.left for line in shown)


def test_a_coordinate_enters_twice_or_by_its_own_map():
    model = rs.mixture("normal", components=2, scales=1)
    rules = {"pi_1": "v", "mu_1": "w + (1 - v)*u", "mu_2": "w - v*u"}
    with pytest.warns(rs.errors.ChartWarning):
        d = rs.derive(model, rs.chart(model, rules, domains={"v": "unit"}))
    kinds = {s.name: (s.kind, s.steady) for s in d.record.cm_steps}
    assert kinds == {"v": ("none", True), "w": ("shift", True), "u": ("shift", False)}
    module = d.compile()
    x, coords = np.array([-1.0, 0.4, 2.0, 3.0]), np.array([0.3, 0.5, -1.5])
    q = q_of(module, x, coords[[0, 1, 2]])
    for j, name in enumerate(module.COORDINATES):
        moved = module.ecm_step(x, coords, [name])
        for size in (1e-3, 0.1):
            for side in (size, -size):
                other = moved.copy()
                other[j] += side
                assert q(other) <= q(moved)


# ------------------------------------------------------------------------------ sweeps


def swept(rows, precisions, means, start, order, sweeps):
    """Conditional steps one after another in exact rationals, from the definition."""
    here = list(start)
    for _ in range(sweeps):
        for j in order:
            at = [sum(r[i] * here[i] for i in range(len(here))) for r in rows]
            above = sum(w * r[j] * (m - a) for w, r, m, a in zip(precisions, rows, means, at,
                                                                 strict=True))  # fmt: skip
            below = sum(w * r[j] ** 2 for w, r in zip(precisions, rows, strict=True))
            here[j] += above / below
    return here


@pytest.mark.parametrize(
    ("components", "sweeps"), [(2, 1), (2, 3), (3, 1), (3, 2), pytest.param(5, 1)]
)
def test_a_sweep_is_linear_in_the_em_step(components, sweeps):
    model = rs.mixture("normal", components=components)
    chart = rs.relative(model, "mu")
    names = [n for n in chart.names if n.startswith(("mu", "Delta"))]
    rows = [[sp.Integer(i <= k) for i in range(components)] for k in range(components)]
    precisions = [sp.Rational(k + 2, 3) for k in range(components)]
    means = [sp.Rational(3 * k * k, 5) for k in range(components)]
    start = [sp.Rational(1, k + 2) for k in range(components)]
    em = [means[0], *(b - a for a, b in pairwise(means))]
    for order in list(permutations(range(components)))[
        :: 1 if components == 2 else 4 if components == 3 else 50
    ]:
        made = sweep(chart, [names[i] for i in order], sweeps)
        put = {precision_symbol(k + 1): w for k, w in enumerate(precisions)}
        put |= {sp.Symbol(n): v for n, v in zip(names, start, strict=True)}
        put |= {em_symbol(n): v for n, v in zip(names, em, strict=True)}
        found = [e.xreplace(put) for e in made.new()]
        want = swept(rows, precisions, means, start, order, sweeps)
        assert found == [want[i] for i in order]


def test_of_algorithm_1_the_gap_is_between_its_em_value_and_the_old_one():
    model = rs.mixture("normal", components=2, weights="1/2", scales=1)
    made = rs.derive(model, rs.relative(model, "mu")).sweep(["mu_1", "Delta_1"])
    w1, w2 = precision_symbol(1), precision_symbol(2)
    old, em = sp.Symbol("Delta_1"), em_symbol("Delta_1")
    mean, gap = made.new()
    assert sp.simplify(gap - (w1 * em + w2 * old) / (w1 + w2)) == 0
    assert sp.simplify(mean - em_symbol("mu_1") + w2 * (old - em) / (w1 + w2)) == 0


@pytest.mark.parametrize("components", [2, 3, 4])
def test_an_order_and_its_reverse_have_one_characteristic_polynomial(components):
    """(D + L)⁻¹ I and (D + L)⁻ᵀ I have the same eigenvalues, I being symmetric: exactly."""
    rng = np.random.default_rng(components)
    made = sweep(rs.relative(rs.mixture("normal", components=components), "mu"))
    h = made.hessian.subs({precision_symbol(k + 1): k + 1 for k in range(components)})
    half = sp.Matrix(components, components, lambda i, j: int(rng.integers(-3, 4)))
    observed, lower = half + half.T, sp.Matrix(h).lower_triangular()
    one, other = (m.inv() * observed for m in (lower, lower.T))
    assert one.charpoly() == other.charpoly()


def test_sweeps_of_what_is_not_linear_are_refused():
    d = derived("normal", 3, "both")
    with pytest.raises(DerivationError, match="Q is not quadratic in sigma_1"):
        d.sweep(["mu_1", "sigma_1"])
    for order, says in (([], "no list"), (["mu_9"], "no coordinate"), (["mu_1"] * 2, "twice")):
        with pytest.raises(DeclarationError, match=says):
            d.sweep(order)
    with pytest.raises(DerivationError, match="no sweep is linear here"):
        derived("gamma", 2, "identity").sweep()


# ------------------------------------------------------------------------------ absorption


def test_equal_scales_absorb_em_and_only_they():
    free = derived("normal", 2, "relative").absorbs("Delta_1")
    sigma = [sp.sympify(v) for v in free.condition.args]
    assert free.condition == sp.Eq(*sigma)
    assert {s.name for s in free.condition.free_symbols} == {"sigma_1", "sigma_2"}
    assert (free.em, free.ecm) == (True, True)
    tied = derived("normal", 3, "relative", "tied scales").absorbs("Delta_1")
    assert tied.condition == sp.true
    never = derived("normal", 3, "relative", "unequal scales").absorbs("Delta_1")
    assert (never.condition, never.em, never.ecm) == (sp.false, False, False)
    assert "neither" in str(never)


def test_the_order_decides_whether_ecm_is_absorbed():
    d = derived("normal", 2, "relative", "fixed scales")
    first, second = (d.absorbs("Delta_1", o) for o in (["mu_1", "Delta_1"], ["Delta_1", "mu_1"]))
    assert first.ecm
    assert not second.ecm
    assert second.step == em_symbol("mu_1") - sp.Symbol("mu_1")
    assert "max(0, " in str(second)


def test_of_three_components_a_sweep_is_not_absorbed_while_another_gap_moves():
    found = derived("normal", 3, "relative", "tied scales").absorbs("Delta_1")
    w1, w2, w3 = (precision_symbol(k) for k in (1, 2, 3))
    away = sp.Symbol("Delta_2") - em_symbol("Delta_2")
    want = -w1 * w3 / ((w1 + w2 + w3) * (w2 + w3)) * away
    assert sp.simplify(found.step - want) == 0
    assert found.em
    assert not found.ecm


@pytest.mark.parametrize(
    ("chart", "gap", "says"),
    [
        ("cleared gaps", "Delta_1", "the components stay apart; given: a distance of 1/2"),
        ("exp", "Delta_1", "never makes a gap of zero"),
        ("relative", "mu_1", "no gap between two neighbours"),
        ("both", "Delta_sigma_1", "no gap of a location"),
    ],
)
def test_what_cannot_meet_is_refused(chart, gap, says):
    with pytest.raises(DerivationError, match=says):
        derived("normal", 3, chart).absorbs(gap)


def test_clips_and_hats_are_for_display_alone():
    assert Clip(sp.Symbol("a")).free_symbols == {sp.Symbol("a")}
    assert Hat(Entry.of("Delta", "k")).args == (Entry.of("Delta", "k"),)
