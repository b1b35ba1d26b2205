"""Charts of the weights in print: slopes are those derived, and those of numbers."""

from __future__ import annotations

import re

import mpmath
import numpy as np
import pytest
import sympy as sp

import relrep_sym as rs
from relrep_sym.declare.chart import Chart
from relrep_sym.declare.functions import spelled_out
from relrep_sym.declare.model import mixture
from relrep_sym.declare.symbols import latex_name
from relrep_sym.emit import latex
from relrep_sym.equations.weights import weight_slopes
from tests.declare.maps import ordinary, targets, weights
from tests.emit.reading import World, lines_of, number

MODELS = {"normal": {}, "poisson": {}}
COUNTS = (2, 3, 5)


def softmaxed(model: rs.Mixture) -> Chart:
    return rs.softmax(model)


def sticks(model: rs.Mixture) -> Chart:
    return rs.stick_breaking(model)


def both(model: rs.Mixture) -> Chart:
    return rs.relative(rs.softmax(model), gap="softplus", clearance="lam") if (
        model.family.name == "normal"
    ) else rs.relative(rs.softmax(model), "rate", gap="exp", clearance="lam")  # fmt: skip


def broken(model: rs.Mixture) -> Chart:
    return rs.log(rs.stick_breaking(model), model.family.parameters[-1].name)


CHARTS = {"softmax": softmaxed, "stick": sticks, "relative softmax": both, "log stick": broken}
CASES = [(f, k, c) for f in MODELS for k in COUNTS for c in CHARTS]


def made(family: str, count: int, chart: str) -> Chart:
    return CHARTS[chart](mixture(family, count))


# ------------------------------------------------------------------------------ the slopes


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("chart", CHARTS)
def test_the_slopes_are_those_of_log_weights(chart: str, count: int) -> None:
    """∂ log π_k/∂c_j for k < j, k = j, k > j, against differences at fifty digits."""
    c = made("poisson", count, chart)
    ((stem, slopes),) = weight_slopes(c).items()
    with mpmath.workdps(50):
        point = {n: mpmath.mpf(v) for n, v in ordinary(c).items()}
        values = weights(c, point)
        step = mpmath.mpf("1e-20")
        for j in range(1, count):
            moved = {**point, f"{stem}_{j}": point[f"{stem}_{j}"] + step}
            lower = {**point, f"{stem}_{j}": point[f"{stem}_{j}"] - step}
            up, down = weights(c, moved), weights(c, lower)
            at = {"pi": values[j - 1], stem: point[f"{stem}_{j}"]}
            for k in range(1, count + 1):
                slope = (mpmath.log(up[k - 1]) - mpmath.log(down[k - 1])) / (2 * step)
                rule = slopes.before if k < j else slopes.here if k == j else slopes.after
                assert rule is not None
                symbols = {s: at[s.stem] for s in rule.free_symbols}
                got = sp.lambdify(list(symbols), rule, "mpmath")(*symbols.values())
                assert mpmath.almosteq(got, slope, mpmath.mpf("1e-25"), mpmath.mpf("1e-25"))


@pytest.mark.parametrize(
    "chart",
    [
        rs.identity(mixture("poisson", 3)),
        rs.softmax(mixture("poisson", 4, weights=["1/5", None, None, None])),
        rs.cleared(mixture("poisson", 3), clearance="1/50"),
        rs.chart(rs.softmax(mixture("poisson", 3)), {"rate_1": "exp(alpha_1)"}),
        rs.chart(rs.softmax(mixture("poisson", 3)), {"alpha_1": "a + b", "alpha_2": "a - b"}),
    ],
    ids=["identity", "fixed", "cleared", "mixed", "own"],
)
def test_where_weights_have_no_such_lines_none_are_claimed(chart: Chart) -> None:
    assert weight_slopes(chart) == {}


# ------------------------------------------------------------------------------ what is printed


class Printed:
    """A derivation at a point, its printed lines read back."""

    def __init__(self, chart: Chart, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.chart, model = chart, chart.model
        self.record = rs.derive(model, chart, name="printed").record
        count = model.components
        integers = model.family.support == "integers"
        self.x = rng.poisson(3.0, 40).astype(float) if integers else rng.normal(0.0, 2.0, 40)
        self.w = rng.dirichlet(np.full(40, 5.0))
        point = ordinary(chart, seed)
        found = targets(chart, point)
        self.values = {s: float(v) for s, v in found.items()}
        self.values[sp.Symbol("eta", positive=True)] = 0.7
        shares = [float(w) for w in weights(chart, point)]
        r = [self.number(e) for e in self.record.responsibilities]
        self.world = World(self.x, self.w, lambda *_: self.x, self.x, r)
        self.world.let(r"\eta", 0.7)
        for s in (*chart.symbols, *(c.symbol for c in chart.constants)):
            self.world.let(latex_name(s.name), self.values[s])
        for p in model.parameters:
            self.world.let(latex_name(p.name), self.values[p.symbol])
        for t in chart.intermediates:
            self.world.let(latex_name(t.name), self.values[t])
        for k in range(1, count + 1):
            self.world.let(rf"\pi_{k}", shares[k - 1])

    def number(self, e: sp.Expr) -> np.ndarray:
        """A derived expression, its entries of θ and intermediates put in."""
        return number(spelled_out(e), self.values, self.x, self.w) + 0 * self.x

    def read(self, equation: str, left: str) -> dict[object, object]:
        out = {}
        for line in lines_of(latex.fragment(self.record[equation])):
            name = re.fullmatch(left, line.left)
            assert name, line.left
            for place in line.places():
                key = self.world.key(name[1].replace(r"\, ", ""), **place)
                assert key not in out
                out[key] = self.world.read(line.right, **place)
        return out


@pytest.mark.parametrize(("family", "count", "chart"), CASES)
def test_the_score_is_printed_as_it_was_derived(family: str, count: int, chart: str) -> None:
    here = Printed(made(family, count, chart), seed=1)
    read = here.read("score", r"\\frac\{\\partial \\log p\(x\)\}\{\\partial (.*)\}")
    names = [here.world.key(latex_name(n)) for n in here.chart.names]
    assert set(read) == set(names)
    for name, derived in zip(names, here.record["score"].value, strict=True):
        got = read[name] + 0 * here.x
        np.testing.assert_allclose(got, here.number(derived), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(("family", "count", "chart"), CASES)
def test_the_averaged_equations_are_printed_as_they_were_derived(
    family: str, count: int, chart: str
) -> None:
    here = Printed(made(family, count, chart), seed=2)
    read = here.read("averaged", r"\\frac\{d(.*)\}\{d(?:t|\\tau|s)\}")
    for name, derived in zip(here.chart.names, here.record["averaged"].value, strict=True):
        got = read[here.world.key(latex_name(name))]
        np.testing.assert_allclose(got, here.number(derived)[0], rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("count", COUNTS)
def test_softmax_learns_by_responsibility_less_weight(count: int) -> None:
    """∂ log p/∂α_k = r_k − π_k, in print and in numbers."""
    d = rs.derive(mixture("normal", count), rs.softmax(mixture("normal", count)))
    text = d.latex("score")
    shown = r"r_k(x) - \pi_k" if count > 2 else r"r_1(x) - \pi_1"
    assert rf"&= {shown}" in text
    here = Printed(d.chart, seed=3)
    for k in range(1, count):
        derived = here.number(d.record["score"].value[k - 1])
        want = here.world.responsibilities[k - 1] - here.world.names[(r"\pi", str(k))]
        np.testing.assert_allclose(derived, want, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("chart", ["softmax", "stick"])
def test_the_jacobian_of_the_weights_is_printed_as_it_is(chart: str, count: int) -> None:
    c = made("poisson", count, chart)
    here = Printed(c, seed=4)
    stem = next(iter(weight_slopes(c)))
    jacobian = here.record["jacobian"].value
    seen = set()
    for line in lines_of(latex.fragment(here.record["jacobian"]).replace(r"\ne", "!=")):
        order = re.search(r"k (<|=|>|!=) j$", line.where or line.right)
        if r"\partial \pi_k" not in line.left or not order:
            continue
        sign = order[1]
        body = line.right.split(r", \quad")[0]
        for j in range(1, count):
            for k in range(1, count):
                if {"<": k < j, "=": k == j, ">": k > j, "!=": k != j}[sign]:
                    got = here.world.read(body, k=k, j=j)
                    derived = here.number(jacobian[k - 1, j - 1])[0]
                    np.testing.assert_allclose(got, derived, rtol=1e-12, atol=1e-13)
                    seen.add((k, j))
    if count > 2:
        assert seen == {(k, j) for k in range(1, count) for j in range(1, count)}
    assert stem in ("alpha", "v")


# ------------------------------------------------------------------------------ letters


@pytest.mark.parametrize("equation", ["score", "averaged", "jacobian"])
def test_where_the_constant_is_lambda_the_coordinates_are_not(equation: str) -> None:
    m = mixture("normal", 3)
    d = rs.derive(m, rs.softmax(m, clearance="lam"))
    first = latex.fragment(d.record[equation])
    assert r"\partial \lambda" not in first
    assert r"d\lambda" not in first
    assert r"\xi" in first
