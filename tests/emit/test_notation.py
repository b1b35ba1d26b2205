r"""A user's own symbols say what the equations' own say, in every component, and nothing else."""

from __future__ import annotations

import pickle
import re
import string
import subprocess
from pathlib import Path

import numpy as np
import pytest

import relrep_sym as rs
from relrep_sym.declare.symbols import split_index
from relrep_sym.emit import latex
from relrep_sym.emit.harmless import harmless, symbol
from relrep_sym.emit.letters import LETTERS
from relrep_sym.emit.notation import notation
from tests.emit.cases import NAMES, case
from tests.emit.reading import lines_of
from tests.emit.test_latex import Point, compiled

FRESH = [rf"\mathrm{{u{a}{b}}}" for a in string.ascii_lowercase for b in string.ascii_lowercase]
"""Heads that no equation prints."""


@pytest.mark.parametrize("equation", ["score", "averaged"])
@pytest.mark.parametrize(
    "name", ["normal3_relative", "relative4_both", "poisson_log", "clashing", "wild", "own"]
)
def test_equations_in_other_symbols_say_the_same(name: str, equation: str) -> None:
    point = Point(case(name), 5)
    printed = latex.printed_names(point.record)
    stems = [n for n in printed if split_index(n)[1] is None]
    mine = notation(printed, dict(zip(stems, FRESH, strict=False)))
    before = dict(point.world.names)
    point.world.names.clear()
    for known in (*printed.values(), r"\eta"):
        key = point.key(known)
        if key in before:
            point.world.let(mine.written(known), before[key])
    for n in range(1, point.record.model.components + 1):
        point.world.let(mine.written(rf"\pi_{n}"), before[("\\pi", str(n))])
    left = {
        "score": r"\\frac\{\\partial \\log p\(x\)\}\{\\partial (?:\\, )?(.*)\}",
        "averaged": r"\\frac\{d(?:\\, )?(.*)\}\{d.*\}",
    }[equation]
    shown = latex.fragment(point.record[equation], mine)
    for head in ("\\mu", "\\Delta", "\\rho", "\\sigma"):
        assert head not in shown
    read = point.by_left(lines_of(shown), left)
    derived = point.column(point.record[equation].value)
    derived = derived if equation == "score" else derived[:, 0]
    assert len(read) == len(point.coordinates)
    for coordinate, value in zip(point.coordinates, derived, strict=True):
        found = read[(point.key(mine.written(coordinate)),)]
        np.testing.assert_allclose(found + np.zeros_like(value), value, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_symbols_and_back_is_the_same_text(name: str) -> None:
    record = case(name).record
    printed = latex.printed_names(record)
    there = notation(printed, dict(zip(printed, FRESH, strict=False)))
    back = notation({n: dict(there.symbols)[n] for n in printed}, printed)
    for equation in record:
        for line in equation.lines:
            for side in (line.left, line.right):
                text = latex.tex(side)
                assert bare(back.written(there.written(text))) == bare(text)


def bare(text: str) -> str:
    """The text without blanks and needless braces; of a base in braces the scripts together."""
    text = re.sub(r"\{(\\[A-Za-z]+|.)\}", r"\1", text).replace(" ", "")
    return re.sub(r"\{(\\\w+?)_(\\?\w+)\}_(?:\{([^{}]*)\}|(\w))", r"\1_{\2,\3\4}", text)


@pytest.fixture(scope="module")
def three() -> rs.Derivation:
    model = rs.mixture("normal", components=3)
    chart = rs.relative(model, ["mu", "sigma"], gap="square")
    symbols = {"mu": r"\vec m", "Delta_sigma": r"\delta^*", "sigma": "s_0", "pi_1": "v", "x": "y"}
    return rs.derive(model, chart, symbols={**symbols, "E": r"\EX", "lambda": r"\xi"})


def test_generic_lines_follow_the_stem(three: rs.Derivation) -> None:
    text = three.latex("chart")
    assert r"\vec m_k &= \vec m_{k-1} + \Delta_{k-1}^2, \quad k = 2, 3" in text
    assert r"{s_0}_k &= {s_0}_{k-1} + {\delta^*_{k-1}}^2, \quad k = 2, 3" in text
    assert r"\xi &= (v, \pi_2, \vec m_1" in text
    assert "Here $v$ is $\\pi_1$." in " ".join(text.replace("% ", "").split())
    assert "$v$ is" in three.latex()


def test_letters_of_the_equations_can_be_chosen(three: rs.Derivation) -> None:
    assert r"\frac{d\vec m_1}{dt} &= \eta \sum_{k=1}^3 \frac{\EX_q[r_k(y)" in three.latex(
        "averaged"
    )
    assert r"I_{\xi} &= J^{\top} I_{\theta} J" in three.latex("fisher")
    assert r"x" not in re.sub(r"\\[a-zA-Z]+", "", three.latex("log_likelihood").split("% ")[0][60:])


def test_the_other_of_two_weights_follows_the_one() -> None:
    d = rs.derive(rs.mixture("normal", components=2), symbols={"pi_1": r"\alpha"})
    text = d.latex("score")
    assert r"\frac{r_1(x)}{\alpha} - \frac{r_2(x)}{(1 - \alpha)}" in text
    assert r"\pi_2" not in "".join(d.latex(e.name).split("% ")[0] for e in d.record)
    assert r"$(1 - \alpha)$ is $\pi_2$" in " ".join(d.latex().split())


def test_the_number_pi_is_no_weight() -> None:
    d = rs.derive(rs.mixture("normal", components=3), symbols={"pi": "w"})
    text = d.latex("responsibilities")
    assert r"\sqrt{2 \pi}" in text
    assert r"w_k f(x \mid \mu_k, \sigma_k)" in text


def test_the_original_is_left_as_it_was_and_labels_stay(three: rs.Derivation) -> None:
    plain = rs.derive(three.model, three.chart)
    mine = plain.in_symbols({"mu": "m"})
    assert r"\mu_k" in plain.latex("averaged")
    assert mine.record is plain.record
    labels = [re.findall(r"\\label\{[^}]*\}", d.latex()) for d in (plain, mine, three)]
    assert labels[0] == labels[1] == labels[2]
    assert plain.source() == mine.source()
    assert pickle.loads(pickle.dumps(mine)).latex() == mine.latex()
    assert "m_k" in mine.averaged.latex()
    assert "m_k" in mine.averaged._repr_latex_()


def test_macros_are_defined_once_and_used(three: rs.Derivation) -> None:
    d = rs.derive(three.model, three.chart).in_symbols({"mu": "m"}, {"mu", "E", "Delta_sigma"})
    assert d.latex_macros() == (
        "\\providecommand{\\relDeltasigma}{{\\Delta_{\\sigma}}}\n"
        "\\providecommand{\\relE}{\\operatorname{E}}\n"
        "\\providecommand{\\relmu}{m}\n"
    )
    whole = d.latex()
    assert whole.count(d.latex_macros()) == 1
    assert r"\relmu_{k-1}" in whole
    assert "providecommand" not in d.latex("averaged")
    own = d.in_symbols({"E": r"\EX"}, {"EX": r"\mathbb{E}"})
    assert own.latex_macros() == "\\providecommand{\\EX}{\\mathbb{E}}\n"
    assert set(re.findall(r"\\(rel\w+)", d.in_symbols(None, True).latex_macros())) >= {
        "relmu", "relE", "reltheta", "relDelta", "relDeltasigma",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("symbols", "macros", "says"),
    [
        ({"no": "m"}, False, "symbols= names nothing that is printed; given: no; expected: one of"),
        ({"mu": ""}, False, "the symbol of mu is no LaTeX"),
        ({"mu": 3}, False, "the symbol of mu is no LaTeX"),
        ({"mu": r"\input{a}"}, False, r"\\input is more than a sign"),
        ({"mu": "m", "sigma": "m"}, False, "mu and sigma would be printed alike; given: m"),
        ({"mu": "x", "x": "x"}, False, "mu and x would be printed alike"),
        ({"pi": "a", "mu_1": "a_2"}, False, "mu_1 and pi_2 would be printed alike; given: a_2"),
        ({"mu": r"\sigma"}, False, "mu and sigma would be printed alike"),
        ({"mu": r"\pi", "pi": "w"}, False, "a name would be printed like the number π"),
        ([("mu", "m")], False, "symbols= is no mapping"),
        (None, "mu", "macros= is of a wrong kind"),
        (None, {"no"}, "macros= names nothing that is printed"),
        (None, {"E1": "m"}, "this is no name for a macro"),
        (None, {"def": "m"}, "this is no name for a macro"),
        (None, {"EX": r"\write18{ls}"}, r"the macro EX: \\write is more than a sign"),
    ],
)
def test_what_is_refused(symbols: object, macros: object, says: str) -> None:
    d = rs.derive(rs.mixture("normal", components=2))
    with pytest.raises(rs.DeclarationError, match=says):
        d.in_symbols(symbols, macros)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "m", r"\vec m", r"\delta^*", "m_0", r"\mathbf{x}^{*}", r"\mathbb{E}", "x''",
        r"\hat{\theta}_n", r"\operatorname{Var}", r"\boldsymbol\mu", r"\varphi", r"\EX",
        r"g_{\max}", "d_{12}", r"\ell",
    ],
)  # fmt: skip
def test_symbols_of_papers_are_harmless(text: str) -> None:
    assert harmless(text, "s") == text


@pytest.mark.parametrize(
    "text",
    [
        r"\input{/etc/passwd}", r"\write18{ls}", r"\immediate\write18{ls}", r"\def\x{}",
        r"\let\a\b", r"\catcode`\%=12", "^^5cinput x", r"\csname input\endcsname",
        r"\openout3=x", r"\newcommand\x{}",
        r"\begin{verbatim}", r"\end{equation}", r"\include{x}", r"\usepackage{x}", r"\directlua{x}",
        r"\special{x}", r"\loop\iftrue\repeat", r"\InputIfFileExists{a}{b}{c}", r"\label{x}", r"\\",
        "a}{b", "{a", "a%b", "a&b", "a#1", "$x$", "a~b", "a\nb", "m_", "m_a_b", "x'^2^3", r"\left(",
        r"\hat", r"{\vec}", "é", "a\x00", "x" * 81, "`", '"', r"\expandafter a", r"\the\year",
        r"\jobname", r"\hbox to 9in{}", r"\lowercase{a}", r"\verbatiminput{a}", r"\pdffiledump{a}",
    ],
)  # fmt: skip
def test_what_tex_would_do_more_with_is_not(text: str) -> None:
    with pytest.raises(rs.DeclarationError):
        harmless(text, "s")


@pytest.mark.parametrize(
    "text",
    ["1", "2", r"\mathrm{2}", "{1}", r"\frac{1}{2}", "+", "-", "=", "a+b", "a = b", "1/2",
     "x, y", "!", "(", r"\infty", r"\cdot", r"\max", r"\quad", r"\,", "{}", r"\mathrm{}",
     "|", "'", r"{\partial}_k"],
)  # fmt: skip
def test_numbers_and_operators_are_no_symbols(text: str) -> None:
    with pytest.raises(rs.DeclarationError, match="the symbol of x is"):
        symbol(text, "the symbol of x")
    with pytest.raises(rs.DeclarationError, match="the symbol of x is"):
        rs.derive(rs.mixture("normal", components=2), symbols={"x": text})


@pytest.mark.parametrize(
    "text",
    ["m", r"\mu^+", r"\hat{\mu}", "x_1", "x_{i,j}", r"\mathbf{x}^{*}", r"\pi_{\max}", r"\EX", "m'",
     r"\mathbb{E}", r"\log\rho", r"D_{\mathrm{KL}}", r"\operatorname{Var}", r"\sigma_{+}",
     r"{\tilde s}^2", *(v.shown for v in LETTERS.values())],
)  # fmt: skip
def test_letters_with_accents_and_scripts_are_symbols(text: str) -> None:
    assert symbol(text, "s") == text


def test_the_letters_are_those_that_are_printed() -> None:
    shown = {case(n).latex() for n in ("normal2_unit", "relative3", "wild", "poisson2", "viewed3")}
    model = rs.mixture("normal", components=3, scales="tied")
    shown.add(rs.derive(model, rs.affine(model, [[1, 0], [1, 1], [1, 3]], parameter="mu")).latex())
    free = rs.mixture("normal", components=3)
    shown.add(rs.derive(free, rs.stick_breaking(free, clearance="1/10")).latex())
    shown.add(rs.derive(rs.mixture("gamma", components=2)).latex())
    every = "".join(shown)
    elsewhere = {"M", "rho", "epsilon", "O", "s", "a", "gamma", "B"}  # series, rarer steps
    for name, letter in LETTERS.items():
        assert name in elsewhere or letter.shown in every, name


# ------------------------------------------------------------------------------ pdflatex


@pytest.mark.latex
def test_documents_in_own_symbols_compile_and_fit(three: rs.Derivation, tmp_path: Path) -> None:
    mine = three.in_symbols(
        {"mu": r"\vec m", "Delta_sigma": r"\delta^*", "sigma": "s_0", "pi_1": "v", "E": r"\EX"},
        {"EX": r"\mathbb{E}"},
    )
    hatted = case("viewed3").in_symbols({"mu": r"\hat{\mu}"}, True)
    for n, d in enumerate((mine, hatted, case("relative4_both").in_symbols(None, True))):
        log = compiled(tmp_path, f"own{n}", d.latex())
        wide = [float(m) for m in re.findall(r"Overfull \\hbox \(([\d.]+)pt", log)]
        assert max(wide, default=0.0) <= 10.0
        assert "undefined" not in log


@pytest.mark.latex
def test_fragments_cite_what_the_citation_holds(tmp_path: Path) -> None:
    d = case("normal2_unit")
    (tmp_path / "refs.bib").write_text(d.citation(), encoding="utf-8")
    for e in d.record:
        text = d.latex(e.name, assumptions=True)
        (tmp_path / f"{e.name}.tex").write_text(text, encoding="utf-8")
    body = "\n".join(rf"\input{{{e.name}}}" for e in d.record)
    text = (
        "\\documentclass{article}\\usepackage{amsmath}\\begin{document}\n"
        f"{body}\n\\nocite{{*}}\\bibliographystyle{{plain}}\\bibliography{{refs}}\\end{{document}}\n"
    )
    compiled(tmp_path, "paper", text, times=1)
    done = subprocess.run(
        ["bibtex", "paper"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert "error" not in done.stdout.lower()
    log = compiled(tmp_path, "paper", text)
    assert "undefined" not in log
