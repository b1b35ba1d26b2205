"""The opaque nodes: derivatives through them are those of what they stand for."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from functools import cache

import mpmath
import numpy as np
import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st
from sympy.core.function import ArgumentIndexError

from relrep_sym.declare.chart import identity
from relrep_sym.declare.charts import relative
from relrep_sym.declare.model import mixture
from relrep_sym.declare.own_map import chart
from relrep_sym.equations.nodes import Expectation, LogSumExp, Responsibility
from relrep_sym.equations.record import Record

a, b, e, t = sp.symbols("a b e t", real=True)
MOVING = (a * t, b + t**2, sp.exp(e * t))
numbers = st.floats(-3, 3, allow_subnormal=False)


def explicit(node: LogSumExp | Responsibility) -> sp.Expr:
    """A node written out in exponentials."""
    if isinstance(node, LogSumExp):
        return sp.log(sp.Add(*map(sp.exp, node.args)))
    return sp.exp(node.args[node.component]) / sp.Add(*map(sp.exp, node.args[1:]))


def responsibility(k: int, *logs: mpmath.mpf) -> mpmath.mpf:
    return mpmath.exp(logs[k - 1]) / mpmath.fsum(map(mpmath.exp, logs))


def log_sum_exp(*logs: mpmath.mpf) -> mpmath.mpf:
    return mpmath.log(mpmath.fsum(map(mpmath.exp, logs)))


@cache
def callable_of(node: sp.Expr) -> Callable[..., mpmath.mpf]:
    known = {"Responsibility": responsibility, "LogSumExp": log_sum_exp}
    return sp.lambdify(sorted(node.free_symbols, key=str), node, [known, "mpmath"], dummify=True)


def value(node: sp.Expr, at: Mapping[sp.Symbol, float]) -> mpmath.mpf:
    with mpmath.workdps(40):
        given_values = [mpmath.mpf(at[s]) for s in sorted(node.free_symbols, key=str)]
        return callable_of(node)(*given_values)


def close(one: mpmath.mpf, other: mpmath.mpf) -> bool:
    with mpmath.workdps(40):
        return bool(mpmath.almosteq(one, other, 1e-25, 1e-25))


points = st.fixed_dictionaries(dict.fromkeys((a, b, e, t), numbers))


def test_the_nodes_are_what_they_stand_for() -> None:
    node = LogSumExp(*MOVING)
    assert node.rewrite(sp.log) == explicit(node)
    for k in (1, 2, 3):
        r = Responsibility(k, *MOVING)
        assert r.rewrite(sp.exp, deep=False) == explicit(r)


@given(st.lists(numbers, min_size=1, max_size=5))
def test_the_nodes_have_values(logs: list[float]) -> None:
    exact = [sp.Float(v, 40) for v in logs]
    with mpmath.workdps(40):
        want = [log_sum_exp(*map(mpmath.mpf, logs))]
        want += [responsibility(k + 1, *map(mpmath.mpf, logs)) for k in range(len(logs))]
    found = [LogSumExp(*exact), *(Responsibility(k + 1, *exact) for k in range(len(logs)))]
    for w, node in zip(want, found, strict=True):
        with mpmath.workdps(40):
            assert close(w, mpmath.mpf(str(node.evalf(35))))


@pytest.mark.parametrize("by", [a, b, e, t])
@given(at=points)
def test_derivatives_pass_through(by: sp.Symbol, at: dict[sp.Symbol, float]) -> None:
    nodes = [LogSumExp(*MOVING), *(Responsibility(k, *MOVING) for k in (1, 2, 3))]
    for node in nodes:
        through = sp.diff(node * sp.sin(t), by)
        assert close(value(through, at), value(sp.diff(explicit(node) * sp.sin(t), by), at))


@cache
def second(s: sp.Symbol, r: sp.Symbol) -> tuple[sp.Expr, sp.Expr]:
    node = LogSumExp(*MOVING)
    return sp.diff(node, s, r), sp.diff(explicit(node), s, r)


@given(points, st.sampled_from([(a, a), (a, b), (b, t), (t, t)]))
def test_second_derivatives_pass_through(
    at: dict[sp.Symbol, float], pair: tuple[sp.Symbol, sp.Symbol]
) -> None:
    through, out = second(*pair)
    assert close(value(through, at), value(out, at))


def test_the_derivative_of_log_sum_exp_is_a_responsibility() -> None:
    node = LogSumExp(a, b, e)
    assert [sp.diff(node, s) for s in (a, b, e)] == [Responsibility(k, a, b, e) for k in (1, 2, 3)]
    r = [Responsibility(k, a, b, e) for k in (1, 2, 3)]
    assert sp.diff(r[0], a) == r[0] * (1 - r[0])
    assert sp.diff(r[0], b) == -r[0] * r[1]
    assert sp.diff(r[0], t) == 0
    with pytest.raises(ArgumentIndexError):
        r[0].fdiff(1)


def test_derivatives_never_expand_an_exponential() -> None:
    out = sp.diff(LogSumExp(*MOVING[:2]), t, 2)
    assert not out.has(sp.exp)
    assert out.has(Responsibility)


@pytest.mark.parametrize("shift", [-1e6, 1e6])
def test_the_values_do_not_overflow(shift: float) -> None:
    moved = [sp.Float(v + shift, 40) for v in (0.0, -1.0, 2.0)]
    with mpmath.workdps(40):
        logs = mpmath.log(sum(mpmath.exp(mpmath.mpf(v)) for v in (0.0, -1.0, 2.0)))
        assert mpmath.almosteq(mpmath.mpf(str(LogSumExp(*moved).evalf(30))), logs + shift, 1e-28)
        shares = [mpmath.mpf(str(Responsibility(k, *moved).evalf(30))) for k in (1, 2, 3)]
        assert mpmath.almosteq(mpmath.fsum(shares), 1, 1e-28)


def test_expectations_differentiate_inside_and_stay() -> None:
    x, q = sp.Symbol("x", real=True), sp.Symbol("q")
    r = Responsibility(2, a * x, b * x**2, e)
    mean = Expectation(r * x, x, q)
    inner = Expectation(sp.diff(r * x, b), x, q)
    assert sp.diff(mean, b) == inner
    assert sp.diff(t * mean, b) == t * inner
    assert sp.diff(mean, t) == 0
    assert inner.func(*inner.args) == inner


def test_nodes_pickle() -> None:
    for node in (LogSumExp(a, b), Responsibility(1, a, b), Expectation(a * t, t, sp.Symbol("q"))):
        assert pickle.loads(pickle.dumps(node)) == node


# ------------------------------------------------------------------------------------- the record

MODELS = [
    mixture("normal", 3),
    mixture("normal", 5, scales="tied"),
    mixture("normal", 3, weights=[None, "1/4", None], means="tied", scales=[1, None, 2]),
    mixture("poisson", 3),
    mixture("poisson", 2, rates="tied"),
    mixture("normal", 1),
]


@pytest.mark.parametrize("model", MODELS, ids=lambda m: m.describe())
def test_the_models_score_is_the_derivative_of_its_log_density(model) -> None:  # type: ignore[no-untyped-def]
    record = Record("tested", identity(model))
    rng = np.random.default_rng(3)
    values = {
        p.symbol: float(v)
        for p, v in zip(model.parameters, rng.uniform(0.1, 0.3, 99), strict=False)
    }
    values[record.x] = 4.0
    assert set(record.model_score) == {p.symbol for p in model.parameters}
    for symbol, found in record.model_score.items():
        want = sp.diff(record.log_density, symbol)
        assert close(value(found, values), value(want, values)), symbol


@pytest.mark.parametrize("count", [2, 3])
def test_the_charts_score_is_the_derivative_along_the_chart(count: int) -> None:
    c = relative(mixture("normal", count), ["mu", "sigma"], gap="square", clearance="1/7")
    record = Record("tested", c)
    along = record.log_density.xreplace(c.unrolled)
    rng = np.random.default_rng(3)
    values = {s: float(v) for s, v in zip(c.symbols, rng.uniform(0.1, 0.2, 99), strict=False)}
    values[record.x] = 1.25
    for symbol, found in zip(c.symbols, record.chart_score, strict=True):
        got = value(found.xreplace(c.unrolled), values)
        assert close(got, value(sp.diff(along, symbol), values)), symbol


def test_a_coordinate_may_be_spelled_like_an_adjoint() -> None:
    model = mixture("normal", 2, scales=1)
    rules = {"pi_1": "d_pi_1", "mu_1": "d_mu_2 - d_mu_1", "mu_2": "d_mu_1*d_mu_2"}
    record = Record("tested", chart(model, rules))
    along = record.log_density.xreplace(record.chart.unrolled)
    values = dict(zip(record.chart.symbols, (0.3, 1.5, -0.75), strict=True)) | {record.x: 0.5}
    for symbol, found in zip(record.chart.symbols, record.chart_score, strict=True):
        got = value(found.xreplace(record.chart.unrolled), values)
        assert close(got, value(sp.diff(along, symbol), values)), symbol
