r"""LaTeX: what is printed is what was derived, reads well, and compiles with amsmath alone."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import sympy as sp

import relrep_sym as rs
from relrep_sym.declare.symbols import Constant, latex_name
from relrep_sym.emit import latex
from relrep_sym.emit.letters import default
from relrep_sym.emit.terminal import show
from relrep_sym.emit.typeset import tex
from relrep_sym.equations.nodes import ComponentSum, Entry, Posterior, Terms
from relrep_sym.equations.record import Equation, Record
from tests.emit.cases import NAMES, SCRIPTS, case
from tests.emit.reading import Printed, World, lines_of, number, remarked

ETA = 0.7

# ------------------------------------------------------------------------------ the mathematics


class Point:
    """A derivation at random coordinates, with a random weighted sample."""

    def __init__(self, d: rs.Derivation, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.record = record = d.record
        model, family = d.model, d.model.family
        counts = family.support == "integers"
        self.x = rng.poisson(3.0, 80).astype(float) if counts else rng.normal(0.0, 2.0, 80)
        self.w = rng.dirichlet(np.full(80, 5.0))
        shares = list(rng.dirichlet(np.full(len(d.chart.coordinates) + 1, 3.0)))
        drawn = {
            "real": lambda: rng.normal(),
            "positive": lambda: rng.uniform(0.5, 2.0),
            "nonnegative": lambda: rng.uniform(0.2, 1.5),
            "unit": shares.pop,
        }
        self.values: dict[sp.Symbol, float] = {sp.Symbol("eta", positive=True): ETA}
        coordinates = {c.symbol: float(drawn[c.domain.name]()) for c in d.chart.coordinates}
        self.values |= coordinates
        for symbol, rule in d.chart.unrolled.items():
            self.values[symbol] = float(number(rule, coordinates, self.x, self.w))
        r = [self.number(e) for e in record.responsibilities]
        fixed = record.generic.constants
        free = [p.symbol for p in family.parameters if p.name not in fixed]
        given = {p.symbol: float(fixed[p.name]) for p in family.parameters if p.name in fixed}

        def density(*arguments: object) -> np.ndarray:
            values = {**given, **dict(zip(free, arguments, strict=True))}
            return np.exp(number(family.log_density, values, self.x, self.w))

        truth = rng.uniform(0.1, 1.0, 80)
        self.world = World(self.x, self.w, density, truth, r)
        self.world.let(r"\eta", ETA)
        for p in model.parameters:
            self.world.let(latex_name(p.name), self.values[p.symbol])
        for name, value in model.fixed.items():
            self.world.let(latex_name(name), float(value))
        for k, weight in enumerate(model.weight_expressions):
            self.world.let(rf"\pi_{{{k + 1}}}", self.number(weight))
        self.coordinates = []
        for c in d.chart.coordinates:
            mark = "~" if c.symbol in record.generic.clashes else ""
            self.coordinates.append(latex_name(mark + c.name))
            self.world.let(self.coordinates[-1], self.values[c.symbol])

    def number(self, e: sp.Basic) -> object:
        return number(e, self.values, self.x, self.w)

    def column(self, e: sp.MatrixBase) -> np.ndarray:
        return np.array([self.number(v) + 0 * self.x for v in e])

    def by_left(self, lines: list[Printed], left: str) -> dict[object, object]:
        """Printed right sides by the name in the left side, every place of a generic line."""
        found: dict[object, object] = {}
        for line in lines:
            name = re.fullmatch(left, line.left)
            assert name, line.left
            for place in line.places():
                keys = tuple(self.world.key(n.replace(r"\, ", ""), **place) for n in name.groups())
                assert keys not in found
                found[keys] = self.world.read(line.right, **place)
        return found

    def key(self, printed: str) -> object:
        return self.world.key(printed)


@pytest.fixture(params=[(n, s) for n in NAMES for s in (1, 2)], ids=lambda p: f"{p[0]}-{p[1]}")
def point(request: pytest.FixtureRequest) -> Point:
    name, seed = request.param
    return Point(case(name), seed)


def printed(equation: Equation) -> list[Printed]:
    """The lines of an equation, letters that gave way to names as they are elsewhere."""
    letters = latex.notation_of(equation).letters
    return lines_of(default(remarked(latex.fragment(equation), letters)))


def agree(read: object, derived: object) -> None:
    np.testing.assert_allclose(read + np.zeros_like(derived), derived, rtol=1e-11, atol=1e-12)


def test_the_chart_is_printed_as_it_was_derived(point: Point) -> None:
    first, *rules = printed(point.record["chart"])
    assert first.left == r"\lambda"
    for line in rules:
        for place in line.places():
            name = point.world.key(line.left, **place)
            agree(point.world.read(line.right, **place), point.world.names[name])


def test_the_score_is_printed_as_it_was_derived(point: Point) -> None:
    equation = point.record["score"]
    left = r"\\frac\{\\partial \\log p\(x\)\}\{\\partial (.*)\}"
    read = point.by_left(printed(equation), left)
    derived = point.column(equation.value)
    assert len(read) == len(point.coordinates)
    for name, value in zip(point.coordinates, derived, strict=True):
        agree(read[(point.key(name),)], value)


def test_the_averaged_equations_are_printed_as_they_were_derived(point: Point) -> None:
    equation = point.record["averaged"]
    read = point.by_left(printed(equation), r"\\frac\{d(.*)\}\{d(?:t|\\tau|s)\}")
    derived = point.column(equation.value)[:, 0]
    assert len(read) == len(point.coordinates)
    for name, value in zip(point.coordinates, derived, strict=True):
        agree(read[(point.key(name),)], value)


def test_the_jacobian_is_printed_as_it_was_derived(point: Point) -> None:
    equation = point.record["jacobian"]
    value = equation.value
    derived = np.array(
        [[point.number(value[i, j]) for j in range(value.cols)] for i in range(value.rows)],
        dtype=float,
    )
    lines = printed(equation)
    if len(lines) == 1:
        agree(point.world.read(lines[0].right), derived)
        return
    assert lines[-1].where == r"\text{otherwise}"
    read = point.by_left(lines[:-1], r"\\frac\{\\partial (.*)\}\{\\partial (.*)\}")
    for i, row in enumerate(point.record.model.names):
        for j, column in enumerate(point.coordinates):
            place = (point.key(latex_name(row)), point.key(column))
            agree(read.pop(place, 0.0), derived[i, j])
    assert not read


def test_the_responsibilities_are_printed_as_they_were_derived(point: Point) -> None:
    ratio, density = printed(point.record["responsibilities"])
    for place in ratio.places():
        k = place.get("k", 1)
        agree(
            point.world.read(ratio.right, **place) + 0 * point.x,
            point.world.responsibilities[k - 1],
        )
    family, constants = point.record.model.family, point.record.generic.constants
    values = {p.symbol: 0.3 + 0.4 * n for n, p in enumerate(family.parameters)}
    values |= {p.symbol: float(constants[p.name]) for p in family.parameters if p.name in constants}
    for p in family.parameters:
        point.world.let(latex_name(p.name), values[p.symbol])
    derived = np.exp(number(family.log_density, values, point.x, point.w))
    agree(point.world.read(density.right), derived)


def test_the_likelihood_and_the_divergence_are_printed_as_they_were_derived(point: Point) -> None:
    (line,) = printed(point.record["log_likelihood"])
    derived = point.number(point.record["log_likelihood"].value)
    agree(point.world.read(line.right), derived)
    (line,) = printed(point.record["kl"])
    agree(point.world.read(line.right), np.sum(point.w * np.log(point.world.truth)) - derived)


def test_the_m_step_is_printed_as_it_was_derived(point: Point) -> None:
    if point.record.joint.way in ("none", "coordinates"):
        pytest.skip("no closed form in θ")
    for line in printed(point.record["m_step"]):
        for place in line.places():
            point.world.names[point.world.key(line.left, **place)] = point.world.read(
                line.right, **place
            )
    derived = point.column(point.record["m_step"].value)[:, 0]
    for name, value in zip(point.record.model.names, derived, strict=True):
        agree(point.world.names[point.key(latex_name(name) + "^+")], value)


def test_gradient_em_is_printed_as_it_was_derived(point: Point) -> None:
    equation = point.record["gradient_em"]
    step, direction, *lines = printed(equation)
    assert step.left == r"\lambda^+"
    assert direction.right == r"\nabla_\lambda L(\lambda)"
    read = {
        point.world.key(line.left, **place): point.world.read(line.right, **place)
        for line in lines
        for place in line.places()
    }
    derived = point.column(equation.value)[:, 0]
    assert len(read) == len(point.coordinates)
    for name, value in zip(point.coordinates, derived, strict=True):
        agree(read[point.key(f"{name}^+")], value)


@pytest.fixture(params=[n for n in NAMES if case(n).record.view is not None])
def viewed(request: pytest.FixtureRequest) -> Point:
    return Point(case(request.param), 3)


def test_the_view_is_printed_as_it_was_derived(viewed: Point) -> None:
    view = viewed.record.view
    assert view is not None
    for line, e in zip(printed(viewed.record["view"]), view.expressions, strict=True):
        agree(viewed.world.read(line.right), viewed.number(e))


def test_the_mobility_is_printed_as_it_was_derived(viewed: Point) -> None:
    view = viewed.record.view
    assert view is not None
    j = viewed.record.view_jacobian(view)
    derived = np.array([[viewed.number(j[i, k]) for k in range(j.cols)] for i in range(j.rows)])
    first, second, *more = printed(viewed.record["mobility"])
    agree(viewed.world.read(first.right), derived)
    assert not more
    if second.left != r"J_b J_b^{\top}":
        assert second.right == r"\sum_k (J_b)_{ik} (J_b)_{jk}"
        return
    names = [line.left for line in printed(viewed.record["view"])]
    if viewed.record.mobility_is_seen:
        viewed.world.names.clear()
    for name, e in zip(names, view.expressions, strict=True):
        viewed.world.let(name, viewed.number(e))
    agree(viewed.world.read(second.right), derived @ derived.T)


def test_the_averaged_equations_in_the_view_are_printed_as_they_were_derived(viewed: Point) -> None:
    equation = viewed.record["averaged_in_view"]
    derived = viewed.column(equation.value)[:, 0]
    lines = printed(equation)
    for line, value in zip(lines, derived, strict=True):
        agree(viewed.world.read(line.right), value)
    names = [line.left for line in printed(viewed.record["view"])]
    shown = [re.fullmatch(r"\\frac\{d(?:\\, )?(.*)\}\{d.*\}", line.left) for line in lines]
    assert [m and m[1] for m in shown] == names
    own = lines_of(latex.fragment(equation))
    times = {line.left.rpartition("{d")[2].removesuffix("}") for line in own}
    assert len(times) == 1
    assert not times & set(names)


@pytest.mark.parametrize("k", [3, 4, 6])
@pytest.mark.parametrize("gap", ["plain", "square"])
def test_sums_over_later_components_are_the_explicit_adjoints(k: int, gap: str) -> None:
    model = rs.mixture("normal", components=k)
    record = rs.derive(model, rs.relative(model, ["mu", "sigma"], gap=gap)).record
    g, theta = record.generic, [p.symbol for p in model.parameters]
    explicit = dict(zip(record.chart.names, record.chart_score, strict=True))
    for run in g.runs:
        for name, i in zip(run.names, run.numbers, strict=True):
            shown = g.score(run, i)
            shown = shown.replace(ComponentSum, _unrolled)
            shown = shown.replace(Terms, sp.Add)
            back = {s: sp.Symbol(f"{s.stem}_{s.index}") for s in shown.atoms(Entry)}
            back |= {s: record.responsibility(int(s.index) - 1) for s in shown.atoms(Posterior)}
            back[Entry(f"pi[{k}]")] = model.weight_expressions[-1]
            plain = {s: sp.Symbol(s.name) for s in (*record.chart.symbols, *theta)}
            difference = shown.xreplace(back).xreplace(plain) - explicit[name].xreplace(plain)
            assert sp.expand(difference) == 0


def _unrolled(body: sp.Expr, letter: sp.Symbol, first: sp.Symbol, last: sp.Symbol) -> sp.Expr:
    """A sum over components, written out."""
    places = [s for s in body.atoms(Entry, Posterior) if s.index == letter.name]
    return sp.Add(
        *(
            body.xreplace({s: type(s).of(s.stem, n) for s in places})
            for n in range(int(first.name), int(last.name) + 1)
        )
    )


# ------------------------------------------------------------------------------ how it reads

x, u, v, w, t = sp.symbols("x u v w t")
mu, sigma, pi_1, pi_2, delta = sp.symbols("mu_1 sigma_1 pi_1 pi_2 Delta_1")


@pytest.mark.parametrize(
    ("expression", "shown"),
    [
        (x - mu, r"x - \mu_1"),
        (1 - pi_1 - pi_2, r"1 - \pi_1 - \pi_2"),
        (2 * v - 1, "2 v - 1"),
        (2 * v**2 - 2 * v + u**2 + 1, "u^2 + 2 v^2 - 2 v + 1"),
        (w + (1 - v) * u, "w + u (1 - v)"),
        (pi_1 * mu + (1 - pi_1) * (mu + delta), r"\pi_1 \mu_1 + (1 - \pi_1) (\mu_1 + \Delta_1)"),
        (mu + delta**2 + sp.Rational(1, 10), r"\mu_1 + \Delta_1^2 + \frac{1}{10}"),
        ((x - mu) / sigma**2, r"\frac{x - \mu_1}{\sigma_1^2}"),
        (-(mu - x) / sigma**2, r"\frac{x - \mu_1}{\sigma_1^2}"),
        (-x / 2, r"-\frac{x}{2}"),
        ((mu - x) ** 2, r"(x - \mu_1)^2"),
        (sp.exp(-v), "e^{-v}"),
        (1 / (1 + sp.exp(-v)), r"\frac{1}{1 + e^{-v}}"),
        (sp.sqrt(1 + v**2), r"\sqrt{v^2 + 1}"),
        (sp.sqrt(2) / 2, r"\frac{1}{\sqrt{2}}"),
        (3 * sp.sqrt(2) * x, r"3 \sqrt{2} x"),
        (x**v / sp.factorial(x), r"\frac{x^v}{x!}"),
        (sp.log(1 + sp.exp(t)), r"\log(1 + e^t)"),
        (sp.log(v) * u, r"u \log v"),
        (v ** sp.Rational(3, 2), "v^{3/2}"),
        (2 * 10**v, r"2 \cdot 10^v"),
        ((u / v) ** 2, r"\frac{u^2}{v^2}"),
        (-u - v, "-u - v"),
        (sp.Integer(-1), "-1"),
        (sp.Float("0.25") * u, "0.25 u"),
        (u * sp.log(v) * sp.log(w), r"u (\log v) \log w"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_expressions_are_set_as_a_person_writes_them(expression: sp.Expr, shown: str) -> None:
    assert tex(expression) == shown


def test_generic_lines_do_not_grow_with_the_number_of_components() -> None:
    def count(k: int) -> list[int]:
        model = rs.mixture("normal", components=k)
        return [len(e.lines) for e in rs.derive(model, rs.relative(model, "mu")).record]

    grown = count(32)
    assert count(12) == grown
    assert sum(grown) < 90


def test_output_does_not_depend_on_the_hash_seed() -> None:
    program = (
        "from tests.emit.cases import case\n"
        "for n in ('wild', 'clashing', 'mixed5', 'relative4_both'): print(case(n).latex())"
    )
    outs = set()
    for seed in ("0", "1", "31337"):
        env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[2])}
        done = subprocess.run(
            [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True
        )
        outs.add(done.stdout)
    assert len(outs) == 1


def test_a_constant_is_printed_and_the_coordinates_take_another_letter() -> None:
    model = rs.mixture("normal", components=3, scales=1)
    plain = rs.relative(model, "mu")
    lam = Constant("lam")
    program = tuple((p, rule + lam if rule.is_Add else rule) for p, rule in plain.program)
    record = Record("given", dataclasses.replace(plain, program=program))
    text = latex.fragment(record["chart"])
    assert r"\mu_k &= \mu_{k-1} + \lambda + \Delta_{k-1}, \quad k = 2, 3" in text
    assert r"\xi &= (\pi_1, \pi_2, \mu_1, \Delta_1, \Delta_2)" in text
    assert r"L(\xi)" in latex.fragment(record["log_likelihood"])
    assert tex(lam / 2) == r"\frac{\lambda}{2}"
    assert "λ" in show(record["chart"])


def test_names_of_the_equations_own_are_set_apart() -> None:
    text = case("wild").latex()
    assert r"db/d\tau" not in text
    assert r"$dh/d\tau = \eta J_h \nabla_\lambda L$" in text
    model = rs.mixture("normal", components=2, scales=1)
    chart = rs.chart(model, {"pi_1": "lam", "mu_1": "b", "mu_2": "b + d**2"})
    seen = rs.view(chart, {"J": "b*d", "lambda": "d"})
    text = rs.derive(model, chart, view=seen).latex()
    assert r"\xi &= (\lambda, b, \tilde{d})" in text
    assert r"\frac{d\bar{J}}{dt}" in text
    assert r"\frac{d\tilde{d}}{dt}" in text


# ------------------------------------------------------------------------------ labels, fragments


def test_labels_are_unique_and_safe() -> None:
    labels = [e.label for n in NAMES for e in {case(n).name: case(n)}[case(n).name].record]
    for name in NAMES:
        own = [e.label for e in case(name).record]
        assert len(set(own)) == len(own)
    assert all(re.fullmatch(r"eq:\w+:[a-z][a-z0-9-]*", label) for label in labels)


def test_another_view_has_another_label() -> None:
    d = case("normal2_unit")
    own = d.averaged_in(d.record.view).label
    other = d.averaged_in(rs.view(d.chart, {"v": "pi_1", "gap": "mu_2 - mu_1"})).label
    assert own == "eq:normal2_unit:averaged-in-view"
    assert other == "eq:normal2_unit:averaged-in-view-v-gap"


@pytest.mark.parametrize("name", NAMES)
def test_a_fragment_is_one_environment_and_its_label(name: str) -> None:
    for equation in case(name).record:
        text = latex.fragment(equation)
        assert text.count(rf"\label{{{equation.label}}}") == 1
        assert re.match(r"\\begin\{(equation|align)\}\n", text)
        assert len(re.findall(r"\\begin\{(?:equation|align)\}", text)) == 1
        assert r"\ref" not in text
        shown = latex.display(equation)
        assert shown.startswith("$$\\begin{aligned}")
        assert shown.endswith("\\end{aligned}$$")
        assert r"\label" not in shown


def test_the_head_says_what_it_is_of() -> None:
    text = case("normal3_relative").latex()
    for said in (
        "A mixture of 3 normal components",
        r"p(x) = \sum_{k=1}^3 \pi_k f(x \mid \mu_k, \sigma_k)",
        r"weights $\pi_k \ge 0$ sum to one",
        r"$\pi_1$, $\pi_2 \in [0, 1]$; $\mu_1$ real; $\Delta_1$, $\Delta_2 \ge 0$",
        r"\operatorname{E}_q[g(x)] = \int g(x) \, q(x) \, dx",
        r"\usepackage{amsmath}",
    ):
        assert said in text
    assert r"\sum_{x=0}^\infty" in case("poisson2").latex()
    assert "amssymb" not in text


def test_cited_sources_are_listed() -> None:
    text = case("normal2_unit").latex()
    cited = set(re.findall(r"\\cite(?:\[[^]]*\])?\{(\w+)\}", text))
    assert cited == set(re.findall(r"\\bibitem\{(\w+)\}", text)) == {
        "EsserNielsen2022", "DempsterLairdRubin1977", "LehmannCasella1998", "ParkOzeki2009",
        "Louis1982", "Amari1998", "VanOostrumMuellerAy2023", "White1982",
        "BalakrishnanWainwrightYu2017", "XuFazelDu2024", "Stein1981", "MengRubin1993",
    }  # fmt: skip


# ------------------------------------------------------------------------------ pdflatex


def compiled(folder: Path, name: str, text: str, times: int = 2) -> str:
    """The log of pdflatex, which must have succeeded."""
    (folder / f"{name}.tex").write_text(text, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", f"{name}.tex"]
    for _ in range(times):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-3000:]
    return (folder / f"{name}.log").read_text(errors="replace")


@pytest.mark.latex
@pytest.mark.parametrize("name", [*(p.stem for p in SCRIPTS), "relative8", "clashing", "mixed5"])
def test_a_document_compiles_and_fits_the_page(name: str, tmp_path: Path) -> None:
    log = compiled(tmp_path, name, case(name).latex())
    wide = [float(m) for m in re.findall(r"Overfull \\hbox \(([\d.]+)pt", log)]
    assert max(wide, default=0.0) <= 10.0
    assert "undefined" not in log
    assert "multiply defined" not in log


@pytest.mark.latex
def test_fragments_compile_alone_in_a_minimal_document(tmp_path: Path) -> None:
    body = "\n".join(latex.fragment(e) for n in NAMES[:3] for e in case(n).record)
    text = (
        "\\documentclass{article}\n\\usepackage{amsmath}\n\\usepackage{hyperref}\n"
        f"\\begin{{document}}\n{body}\nSee~\\ref{{eq:{case(NAMES[0]).name}:score}}.\n"
        "\\end{document}\n"
    )
    log = compiled(tmp_path, "fragments", text)
    assert "undefined" not in log
    assert "multiply defined" not in log
    for e in case("normal3_relative").record:
        alone = "\\documentclass{article}\\usepackage{amsmath}\\begin{document}\n"
        (tmp_path / "part.tex").write_text(latex.fragment(e), encoding="utf-8")
        compiled(tmp_path, "alone", alone + "\\input{part}\n\\end{document}\n", times=1)
