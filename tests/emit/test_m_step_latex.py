"""Constrained M-steps: what is printed, read back as numbers, is the constrained maximum."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import isotonic_regression

import relrep_sym as rs
from relrep_sym.declare.symbols import latex_name
from relrep_sym.emit import latex
from relrep_sym.emit.terminal import show
from tests.emit.reading import Printed, World, lines_of

FIXED = rs.mixture("normal", components=4, scales=[1, 2, "1/2", 1])
TIED = rs.mixture("normal", components=4, scales="tied")
FREE = rs.mixture("normal", components=4)
POISSON = rs.mixture("poisson", components=4)
CASES = {
    "fixed": (rs.relative(FIXED, "mu", clearance="1/4"), "mu"),
    "tied": (rs.relative(TIED, "mu", gap="square") @ rs.softmax(TIED), "mu"),
    "scales": (rs.relative(FREE, "sigma"), "sigma"),
    "factor": (rs.relative(rs.log(FREE, "sigma"), "log_sigma", clearance="1/5"), "sigma"),
    "rates": (rs.relative(POISSON, "rate", gap="exp"), "rate"),
    "falling": (rs.relative(rs.mixture("exponential", components=4), "rate"), "rate"),
}
each = pytest.mark.parametrize(("chart", "role"), CASES.values(), ids=CASES)


def world_of(model: rs.Mixture, seed: int) -> World:
    rng = np.random.default_rng(seed)
    x = rng.gamma(2.0, 2.0, 60) if model.family.support != "line" else rng.normal(0, 2, 60)
    r = rng.dirichlet(np.full(4, 0.7), 60).T
    world = World(x, rng.dirichlet(np.ones(60)), lambda *_: x, x, list(r))
    for name, value in model.fixed.items():
        world.let(latex_name(name), float(value))
    return world


def take(world: World, line: Printed) -> None:
    for place in line.places():
        world.names[("k",)] = place.get("k")  # a component's number, as in (k - 1) c
        world.names[world.key(line.left, **place)] = world.read(line.right, **place)


def row(world: World, stem: str, count: int = 4) -> np.ndarray:
    return np.array([float(world.read(stem.replace("k", str(k + 1)))) for k in range(count)])


@each
@pytest.mark.parametrize("seed", range(3))
def test_the_printed_step_is_the_constrained_maximum(chart: rs.Chart, role: str, seed: int) -> None:
    """u is the isotonic regression, ν ≥ 0, ν_k (u_{k+1} − u_k) = 0, and ν ends at zero."""
    model = chart.model
    d = rs.derive(model, chart, name="t")
    (equation,) = d.m_step_constrained
    assert equation.label == f"eq:t:m-step-{role}"
    world = world_of(model, seed)
    for line in lines_of(d.m_step.latex()):  # N_k, and what the order does not touch
        take(world, line)
    lines = lines_of(latex.fragment(equation.equation))
    text = equation.latex()
    rising = r"u_1 \le \dots \le u_4" in text
    assert rising or r"u_1 \ge \dots \ge u_4" in text
    for line in lines[:2]:
        take(world, line)
    y, w = row(world, "y_k"), row(world, "w_k")
    u = isotonic_regression(y, weights=w, increasing=rising).x
    outer, inner = (np.max, np.min) if rising else (np.min, np.max)
    names = (r"\max", r"\min") if rising else (r"\min", r"\max")
    assert re.search(rf"{re.escape(names[0])}_.*{re.escape(names[1])}_", text)
    for k in range(4):  # the printed solution: max over i ≤ k of min over j ≥ k of a mean
        means = [
            [np.average(y[i : j + 1], weights=w[i : j + 1]) for j in range(k, 4)]
            for i in range(k + 1)
        ]
        np.testing.assert_allclose(outer(inner(np.array(means), axis=1)), u[k], rtol=1e-12)
        world.let(f"u_{k + 1}^+", u[k])
    after = next(n for n, line in enumerate(lines) if line.left == "u_k^+") + 1
    slack = []
    for line in lines[after:]:
        if r"\partial" in line.left:
            continue
        if line.right == "0" or line.right.startswith("0,"):
            slack.append(line)
        elif re.fullmatch(r"[^ ]*\^\+|\\nu_k", line.left):
            take(world, line)
        else:  # a gap's function of its coordinate
            gaps = [float(world.read(line.right, **p)) for p in line.places()]
            assert min(gaps) >= -1e-12
    assert len(slack) == 1
    nu = row(world, r"\nu_k", 3)
    apart = np.abs(np.diff(u))
    assert np.all(nu >= -1e-12)
    assert np.all(np.abs(nu) * apart <= 1e-12)
    merged = apart < 1e-12
    assert np.all(nu[merged] >= 0)


@each
def test_multipliers_are_slopes_of_q(chart: rs.Chart, role: str) -> None:
    """∂Q/∂Δ_k = −g′(Δ_k) ν_k is printed for every gap."""
    d = rs.derive(chart.model, chart, name="t")
    (equation,) = d.m_step_constrained
    assert r"\frac{\partial Q}{\partial" in equation.latex()
    assert "multipliers of the Lagrangian" in equation.words


def test_words_say_what_a_gap_can_do() -> None:
    def words(gap: str) -> str:
        d = rs.derive(FIXED, rs.relative(FIXED, "mu", gap=gap))
        (equation,) = d.m_step_constrained
        return equation.words

    assert "stationary at zero whatever" in words("square")
    assert r"goes to $-\infty$ and is not attained" in words("exp")
    assert r"goes to $-\infty$ and is not attained" in words("softplus")
    assert "attained" not in words("plain")


def test_words_say_what_is_not_exact() -> None:
    d = rs.derive(FREE, rs.relative(FREE, "mu"))
    assert d.joint.way == "partly"
    (equation,) = d.m_step_constrained
    assert "at given scales" in equation.words
    convex = rs.derive(FREE, rs.relative(FREE, "sigma", clearance="1/2"))
    assert convex.m_step_constrained == ()
    assert "not concave" in convex.m_step.words


def test_weights_with_a_clearance() -> None:
    """π_k = max(c, N_k/ν) with ν from the sum, and κ_k = ν − N_k/π_k ≥ 0."""
    d = rs.derive(FREE, rs.stick_breaking(FREE, clearance="1/10"), name="t")
    (equation,) = d.m_step_constrained
    text = equation.latex()
    assert r"\max\left(\frac{1}{10}, \frac{N_k}{\nu}\right)" in text.replace("{\\left(", "\\left(")
    assert r"\kappa_k &= \nu - \frac{N_k}{\pi_k^+}" in text
    assert "not attained" not in equation.words
    soft = rs.derive(FREE, rs.softmax(FREE, clearance="1/10"))
    assert "not attained" in soft.m_step_constrained[0].words


def test_in_a_terminal_the_problem_reads_as_in_the_paper() -> None:
    (equation,) = rs.derive(TIED, CASES["tied"][0]).m_step_constrained
    shown = show(equation.equation)
    assert "arg min_(u₁ ≤ … ≤ u₄)" in shown
    assert "*" not in shown
    assert "νₖ ≥ 0" in shown
    assert "\\" not in shown


@pytest.mark.latex
def test_documents_with_constraints_compile(tmp_path: Path) -> None:
    charts = [c for c, _ in CASES.values()]
    charts += [
        rs.affine(TIED, [[1, 0], [1, 1], [1, 2], [1, 4]], [0, 0, 1, 0], parameter="mu"),
        rs.stick_breaking(FREE, clearance="lam"),
        rs.identity(rs.mixture("normal", components=3, means="tied")),
        rs.identity(rs.mixture("gamma", components=3)),
    ]
    body = []
    for n, chart in enumerate(charts):
        record = rs.derive(chart.model, chart, name=f"t{n}").record
        for e in record:
            if e.name == "q" or e.name.startswith("m_step"):
                body.append(latex.passage(record, e, typeset=True))
    head = "\\documentclass{article}\n\\usepackage{amsmath}\n\\emergencystretch=3em\n"
    (tmp_path / "t.tex").write_text(
        head + "\\begin{document}\n" + "\n".join(body) + "\\end{document}\n"
    )
    run = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-2000:]
    assert "Overfull" not in run.stdout
