"""A chart's program: its pull-back is Jᵀg, its steps are exact, its inverse inverts."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from relrep_sym.declare.chart import Chart, identity
from relrep_sym.declare.charts import log, relative
from relrep_sym.declare.model import mixture
from relrep_sym.declare.own_map import chart
from relrep_sym.declare.symbols import Parameter
from relrep_sym.declare.view import view
from relrep_sym.equations.program import (
    adjoint,
    find_inverse,
    invert_view,
    jacobian,
    pull_back,
    steps,
)
from relrep_sym.equations.record import Record
from relrep_sym.errors import NoInverseError

UNIT = mixture("normal", 2, scales=1)
VUW = {"pi_1": "v", "mu_1": "w + (1 - v)*u", "mu_2": "w - v*u"}
TRIANGULAR = {
    "pi_1": "1/(1 + exp(-a))",
    "mu_1": "b/a + 3",
    "mu_2": "mu - exp(b)*a",
    "sigma_1": "s**3",
    "sigma_2": "1/(s + exp(-t))",
}
CURVED = {
    "pi_1": "1/(1 + exp(-a))",
    "mu_1": "tanh(a*b) + c",
    "mu_2": "sqrt(1 + b**2)*sin(c) - a",
    "sigma_1": "exp(a + d*c)",
    "sigma_2": "exp(d)**2 + log1p(b**2)",
}


def charts(count: int) -> dict[str, Chart]:
    free = mixture("normal", count)
    return {
        "identity": identity(free),
        "relative": relative(free, "mu"),
        "relative with clearance": relative(free, "mu", clearance="1/3"),
        "square": relative(free, "mu", gap="square", clearance="sqrt(2)"),
        "both": relative(free, ["mu", "sigma"], gap="square"),
        "log": log(free, "sigma"),
        "poisson relative": relative(mixture("poisson", count), "rate", gap="square"),
        "tied": log(mixture("normal", count, scales="tied"), "sigma"),
    }


MAPS = {
    "vuw": chart(UNIT, VUW, domains={"v": "unit"}),
    "triangular": chart(mixture("normal", 2), TRIANGULAR, domains={"s": "positive"}),
    "curved": chart(mixture("normal", 2), CURVED),
    "swapped": chart(UNIT, {"pi_1": "pi_1", "mu_1": "mu_2 + 1", "mu_2": "mu_1*mu_2"}),
    "fewer": chart(UNIT, {"pi_1": "1/2", "mu_1": "u", "mu_2": "-u**2"}),
    "spelled like adjoints": chart(
        UNIT, {"pi_1": "d_pi_1", "mu_1": "d_mu_2 - d_mu_1", "mu_2": "d_mu_1*d_mu_2"}
    ),
}
ALL = {f"{n}, K = {k}": c for k in (2, 3, 5) for n, c in charts(k).items()} | MAPS
each = pytest.mark.parametrize("c", ALL.values(), ids=ALL)


def explicit(c: Chart) -> sp.Matrix:
    """∂θ/∂λ by SymPy from the unrolled map."""
    return sp.Matrix([[sp.diff(e, s) for s in c.symbols] for e in c.unrolled.values()])


def bar(name: str) -> sp.Symbol:
    return sp.Symbol(f"bar({name})")


def is_zero(matrix: sp.Matrix) -> bool:
    return all(sp.expand(e) == 0 for e in matrix)


# ------------------------------------------------------------------------------------- derivatives


@each
def test_the_jacobian_is_that_of_the_unrolled_map(c: Chart) -> None:
    found = jacobian(c)
    assert found.shape == (len(c.model.parameters), len(c.coordinates))
    assert is_zero(sp.Matrix(found) - explicit(c))
    assert not any(isinstance(s, Parameter) for s in found.free_symbols)


@each
def test_the_pull_back_is_the_transposed_jacobian_times_the_gradient(c: Chart) -> None:
    gradient = {bar(p.name): sp.Symbol(f"g({p.name})") for p in c.model.parameters}
    known: dict[sp.Symbol, sp.Expr] = dict(gradient)
    out = []
    for target, rule in pull_back(c, bar):
        value = rule.xreplace(known)
        if target in c.symbols:
            out.append((target, value.xreplace(c.unrolled)))
        else:
            known[target] = value
    assert tuple(t for t, _ in out) == c.symbols
    want = explicit(c).T * sp.Matrix(list(gradient.values()))
    assert is_zero(sp.Matrix([v for _, v in out]) - want)


def test_the_pull_backs_cost_grows_with_the_program_and_not_with_the_unrolled_sums() -> None:
    def operations(count: int) -> int:
        c = relative(mixture("normal", count, scales=1), "mu", gap="square")
        return sum(int(sp.count_ops(r)) for _, r in pull_back(c))

    assert operations(64) - operations(32) == operations(96) - operations(64)
    assert operations(96) < 3.2 * operations(32)


def test_adjoints_are_named_after_what_they_belong_to() -> None:
    assert adjoint("mu_1").name == "d_mu_1"


# ------------------------------------------------------------------------------------- steps


@each
def test_steps_from_component_to_component_are_exact(c: Chart) -> None:
    for p in c.model.family.parameters:
        found = steps(c, p.name)
        values = [sp.sympify(v).xreplace(c.unrolled) for v in c.model.component(p.name)]
        if found is None:
            continue
        assert len(found) == len(values) - 1
        for k, e in enumerate(found):
            exact = sp.sympify(e).xreplace(c.every_value)
            assert sp.expand(exact - (values[k + 1] - values[k])) == 0, p.name


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("gap", ["plain", "square"])
def test_steps_in_a_relative_chart_never_pass_through_a_location(gap: str, count: int) -> None:
    c = relative(mixture("normal", count), ["mu", "sigma"], gap=gap, clearance="1/7")
    for role in ("mu", "sigma"):
        found = steps(c, role)
        assert found is not None
        assert not any(e.has(sp.Symbol(f"{role}_1")) for e in found)
        assert all(isinstance(e, sp.Expr) and sp.count_ops(e) <= 5 for e in found)


def test_steps_are_left_to_subtraction_where_nothing_is_gained() -> None:
    for c in (identity(UNIT), log(mixture("normal", 2), "sigma")):
        for p in c.model.family.parameters:
            assert steps(c, p.name) is None
    assert steps(MAPS["vuw"], "mu") == [-sp.Symbol("u")]
    assert steps(ALL["tied, K = 3"], "sigma") == [0, 0]
    assert steps(identity(mixture("normal", 1)), "mu") is None


# ------------------------------------------------------------------------------------- inverses

_CURVED = ("curved", "fewer", "spelled like adjoints")
INVERTIBLE = {n: c for n, c in ALL.items() if n not in _CURVED} | {
    "given": chart(UNIT, VUW, inverse={
        "v": "pi_1", "u": "mu_1 - mu_2", "w": "pi_1*mu_1 + (1 - pi_1)*mu_2"}),
    "linear with a parameter": chart(
        mixture("normal", 3, weights="1/3", scales=1),
        {"mu_1": "a + b + c", "mu_2": "a - 2*b", "mu_3": "3*c - a"}),
    **{
        rule: chart(mixture("poisson", 1), {"rate_1": rule}, domains={"s": "positive"})
        for rule in ("1/s", "2*s**3", "s**(-2)", "sqrt(s)", "s**(-1/3) + 1", "exp(1/s)")
    },
    "log": chart(mixture("normal", 1, scales=1), {"mu_1": "log(s) - 1"}, domains={"s": "positive"}),
}  # fmt: skip


def interior(c: Chart, rng: np.random.Generator) -> list[mpmath.mpf]:
    """A point inside the chart, gaps and roots on their positive branch."""
    weights = [k.name for k in c.coordinates if k.domain.name == "unit"]
    return [
        mpmath.mpf(
            rng.uniform(0.2, 0.8) / len(weights) if k.name in weights else rng.uniform(0.1, 3)
        )
        for k in c.coordinates
    ]


@pytest.mark.parametrize("c", INVERTIBLE.values(), ids=INVERTIBLE)
@settings(max_examples=settings.default.max_examples // 6)
@given(st.integers(0, 2**32 - 1))
def test_the_inverse_comes_back(c: Chart, seed: int) -> None:
    inverse = find_inverse(c)
    assert {s.name for s, _ in inverse} == set(c.names)
    with mpmath.workdps(30):
        point = interior(c, np.random.default_rng(seed))
        known = dict(zip(c.symbols, point, strict=True))
        theta = {t: numeric(e, known) for t, e in c.unrolled.items()}
        found: dict[sp.Symbol, mpmath.mpf] = {}
        for symbol, rule in inverse:
            found[symbol] = numeric(rule, {**theta, **found})
        for s, v in known.items():
            assert mpmath.almosteq(found[s], v, 1e-20, 1e-20), s


_FUNCTIONS: dict[tuple[object, ...], object] = {}


def numeric(e: sp.Expr, values: dict[sp.Symbol, mpmath.mpf]) -> mpmath.mpf:
    symbols = tuple(sorted(e.free_symbols, key=lambda s: (s.name, isinstance(s, Parameter))))
    if (e, symbols) not in _FUNCTIONS:
        _FUNCTIONS[e, symbols] = sp.lambdify(symbols, e, "mpmath", dummify=True)
    return _FUNCTIONS[e, symbols](*(values[s] for s in symbols))  # type: ignore[operator]


@pytest.mark.parametrize("count", [2, 3, 5])
def test_an_inverse_uses_only_theta_and_what_was_found_before(count: int) -> None:
    for c in [*charts(count).values(), MAPS["vuw"], MAPS["triangular"]]:
        known: set[sp.Symbol] = set()
        for symbol, rule in find_inverse(c):
            plain = {s for s in rule.free_symbols if not isinstance(s, Parameter)}
            assert plain <= known, symbol
            known.add(symbol)


@pytest.mark.parametrize("count", [2, 3])
def test_the_relative_chart_is_inverted_by_neighbours(count: int) -> None:
    c = relative(mixture("normal", count, weights="tied", scales=1), "mu", clearance="1/3")
    found = dict(find_inverse(c))
    for k in range(1, count):
        gap = Parameter(f"mu_{k + 1}") - Parameter(f"mu_{k}") - sp.Rational(1, 3)
        assert sp.expand(found[sp.Symbol(f"Delta_{k}")] - gap) == 0


NOT_INVERTIBLE = {
    "curved": MAPS["curved"],
    "more coordinates": chart(UNIT, {"pi_1": "v", "mu_1": "a + b", "mu_2": "a*c"}),
    "twice": chart(UNIT, {"pi_1": "v", "mu_1": "u*exp(u)", "mu_2": "w"}),
    "quadratic": chart(UNIT, {"pi_1": "v", "mu_1": "u**2 + u", "mu_2": "w"}),
    "root of what may be negative": chart(UNIT, {"pi_1": "v", "mu_1": "sqrt(u)", "mu_2": "w"}),
    "root less a number": chart(mixture("poisson", 1), {"rate_1": "sqrt(s) - 1"}),
    "cube on the line": chart(UNIT, {"pi_1": "v", "mu_1": "u**3", "mu_2": "w"}),
    "sine": chart(UNIT, {"pi_1": "v", "mu_1": "sin(u)", "mu_2": "w"}),
    "singular": chart(UNIT, {"pi_1": "v", "mu_1": "u + w", "mu_2": "2*u + 2*w"}),
    "nonlinear together": chart(UNIT, {"pi_1": "v", "mu_1": "u*w", "mu_2": "u + w"}),
    "symbolic powers": chart(UNIT, {"pi_1": "v", "mu_1": "u**7 + w", "mu_2": "2**u + u**w"}),
}


@pytest.mark.parametrize("c", NOT_INVERTIBLE.values(), ids=NOT_INVERTIBLE)
def test_where_no_inverse_is_found_it_is_said(c: Chart) -> None:
    with pytest.raises(NoInverseError) as caught:
        find_inverse(c)
    text = str(caught.value)
    assert "; given: " in text
    assert "inverse=" in text


def test_a_map_that_cannot_be_inverted_takes_a_given_inverse() -> None:
    rules = {"pi_1": "v", "mu_1": "sinh(u)", "mu_2": "w"}
    with pytest.raises(NoInverseError):
        find_inverse(chart(UNIT, rules))
    given_by_user = {"v": "pi_1", "u": "asinh(mu_1)", "w": "mu_2"}
    found = dict(find_inverse(chart(UNIT, rules, inverse=given_by_user)))
    assert found[sp.Symbol("u")] == sp.asinh(Parameter("mu_1"))


# ------------------------------------------------------------------------------------- views


def mobility(c: Chart, functions: dict[str, str]) -> sp.Matrix:
    return sp.Matrix(Record("seen", c).mobility(view(c, functions)))


v, u, w, gap = sp.symbols("v u w Delta")


def test_the_mobility_of_v_u_w_is_that_of_park_and_ozeki() -> None:
    """Park and Ozeki 2009, Eq. (17)."""
    found = mobility(
        identity(UNIT), {"v": "pi_1", "u": "mu_1 - mu_2", "w": "pi_1*mu_1 + (1 - pi_1)*mu_2"}
    )
    want = sp.Matrix([[1, 0, u], [0, 2, 2 * v - 1], [u, 2 * v - 1, 2 * v**2 - 2 * v + u**2 + 1]])
    assert is_zero(found - want)


def test_the_mobility_of_the_primed_relative_view_is_derived() -> None:
    """Esser and Nielsen (2022) print another matrix for (v, Δ, μ1 + (1 − v)Δ); this is J Jᵀ."""
    found = mobility(
        relative(UNIT, "mu"),
        {"v": "pi_1", "Delta": "Delta_1", "w": "mu_1 + (1 - pi_1)*Delta_1"},
    )
    want = sp.Matrix([[1, 0, -gap], [0, 1, 1 - v], [-gap, 1 - v, gap**2 + (1 - v) ** 2 + 1]])
    assert is_zero(found - want)


@pytest.mark.parametrize("count", [2, 3])
def test_the_mobility_of_the_charts_own_coordinates_is_the_identity(count: int) -> None:
    c = relative(mixture("normal", count), "mu")
    assert mobility(c, {n: n for n in c.names}) == sp.eye(len(c.names))


@pytest.mark.parametrize(
    "functions",
    [
        {"pi_1": "pi_1", "mu_1": "mu_2", "s": "mu_1*mu_2"},  # the view's mu_1 is not the chart's
        {"a": "pi_1", "mu_2": "mu_1", "mu_1": "mu_2 - mu_1**2"},
        {"a": "pi_1 + 1", "b": "exp(mu_1)", "c": "mu_2/mu_1"},
        {"mu_1": "2*mu_1", "a": "pi_1", "b": "mu_1 + mu_2"},
    ],
)
def test_a_solved_mobility_is_j_times_j_transposed(functions: dict[str, str]) -> None:
    c = identity(UNIT)
    seen = view(c, functions)
    back = invert_view(seen.expressions, seen.symbols, c.symbols)
    assert back is not None
    # marked, for a view's function may be called like a coordinate that it is not
    marks = {s: sp.Symbol(f"seen {s.name}") for s in seen.symbols}
    forward = {marks[s]: e for s, e in zip(seen.symbols, seen.expressions, strict=True)}
    for coordinate, e in back.items():
        again = e.xreplace(marks).xreplace(forward)
        assert sp.simplify(sp.expand_log(again, force=True) - coordinate) == 0
    j = sp.Matrix([[sp.diff(e, s) for s in c.symbols] for e in seen.expressions])
    found = mobility(c, functions).xreplace(marks).xreplace(forward)
    assert all(sp.simplify(sp.expand_log(e, force=True)) == 0 for e in found - j * j.T)


@pytest.mark.parametrize(
    "functions",
    [
        {"a": "pi_1", "b": "mu_1"},
        {"a": "pi_1", "b": "mu_1", "c": "mu_1**2"},
        {"a": "pi_1", "b": "mu_1", "c": "mu_2**2"},  # two roots: which one is not known
        {"a": "pi_1", "b": "mu_1", "c": "1"},
        {"a": "pi_1", "b": "sin(mu_1)", "c": "mu_2"},
    ],
)
def test_a_view_that_cannot_be_solved_leaves_its_mobility_in_coordinates(
    functions: dict[str, str],
) -> None:
    c = identity(UNIT)
    seen = view(c, functions)
    assert invert_view(seen.expressions, seen.symbols, c.symbols) is None
    j = sp.Matrix([[sp.diff(e, s) for s in c.symbols] for e in seen.expressions])
    assert is_zero(mobility(c, functions) - j * j.T)
