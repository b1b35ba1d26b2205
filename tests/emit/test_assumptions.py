"""What is said to be assumed is enough, and said where it is needed."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import relrep_sym as rs
from relrep_sym.declare.domains import domain
from relrep_sym.emit import assumptions
from relrep_sym.emit.bibliography import PACKAGE
from relrep_sym.emit.letters import default
from relrep_sym.equations.equation import PAPERS
from relrep_sym.equations.sources import SOURCES
from tests.emit.cases import NAMES, case

NORMAL = rs.mixture("normal", components=3)
POISSON = rs.mixture("poisson", components=3)


@pytest.mark.parametrize(
    ("model", "asked"),
    [
        (NORMAL, [r"\operatorname{E}_q[x^2] < \infty"]),
        (rs.mixture("normal", components=1, scales=1), [r"\operatorname{E}_q[x^2] < \infty"]),
        (
            POISSON,
            [r"\operatorname{E}_q[x] < \infty", r"\operatorname{E}_q[\log x!] < \infty"],
        ),
    ],
)
def test_the_truth_is_asked_for_the_moments_that_bound_the_integrands(
    model: rs.Mixture, asked: list[str]
) -> None:
    said = default(assumptions.truth(rs.derive(model).record))
    assert all(a in said for a in asked)
    assert said.count(r"\infty") == len(asked)
    assert "need not be in the model" in said


@pytest.mark.parametrize("model", [NORMAL, POISSON])
def test_these_moments_bound_the_log_density_and_the_score(model: rs.Mixture) -> None:
    """|log p| and |∂ log p| are at most C (1 + Σ bounds), the further out the better."""
    d = rs.derive(model)
    k = d.compile()
    poisson = model is POISSON
    at = [0.2, 0.3, 0.5, 2.0, 4.0] if poisson else [0.2, 0.3, -1.0, 0.0, 2.0, 0.5, 1.0, 3.0]
    x = np.array([0.0, 3.0, 1e2, 1e3, 1e4, 1e5])
    log_factorial = np.array([sum(np.log(np.arange(1, n + 1))) for n in x.astype(int)])
    bound = 1 + (x + log_factorial if poisson else x**2)
    for values in (np.abs(k.log_density(x, at)), np.abs(k.score_samples(x, at)).max(axis=-1)):
        ratio = values / bound
        assert ratio[-1] <= 1.01 * ratio.max()
        assert ratio.max() < 50
        assert ratio[-1] <= 2 * ratio[-2]


def needed(name: str, equation: str) -> str:
    record = case(name).record
    return default(" ".join(assumptions.needed(record, record[equation])))


def test_each_equation_says_what_it_needs() -> None:
    assert r"\pi_k > 0" in needed("normal3_relative", "averaged")
    assert r"\operatorname{E}_q[x^2]" in needed("normal3_relative", "averaged")
    assert "one-sided" in needed("normal3_relative", "jacobian")
    assert r"|\log q(x)|" in needed("normal3_relative", "kl")
    assert "$N_k > 0$" in needed("normal3_relative", "m_step")
    assert r"\operatorname{E}_q" not in needed("normal3_relative", "fisher")
    assert r"\pi_k > 0" not in needed("one", "score")
    assert r"\pi_k > 0" not in needed("tied_mean_unequal", "averaged")
    assert "sum one" in needed("relative4_both", "chart")
    assert r"\sigma_k > 0" in needed("relative4_both", "chart")
    assert "differentiable" in needed("wild", "view")
    assert "differentiable" not in needed("normal2_unit", "view")


def test_what_is_fixed_and_what_is_given_is_said() -> None:
    text = case("relative3").latex("averaged")
    flat = " ".join(text.replace("% ", "").split())
    assert r"The clearance $\frac{1}{10}$ is given, not learned" in flat
    assert "fixed at $1$" in case("normal2_unit").latex("score")
    flat = " ".join(case("mixed3").latex("score").replace("% ", "").split())
    assert (
        r"$\pi_1 = \frac{1}{4}$, $\mu_1 = 0$, $\sigma_1 = 1$ and $\sigma_3 = 2$ are fixed" in flat
    )


def test_constants_are_said_to_be_given() -> None:
    positive = domain("positive")
    given = tuple(SimpleNamespace(name=n, domain=positive) for n in ("lam", "c_2"))
    record = SimpleNamespace(chart=SimpleNamespace(title="relative", constants=given))
    said = assumptions.constants(record)  # type: ignore[arg-type]
    assert said == r"The constants $\lambda > 0$ and $c_2 > 0$ are given, not learned."


@pytest.mark.parametrize("name", NAMES)
def test_assumptions_are_comments_or_typeset(name: str) -> None:
    d = case(name)
    for e in d.record:
        plain, typeset = d.latex(e.name), d.latex(e.label, assumptions=True)
        commented = [line[2:] for line in plain.splitlines() if line.startswith("% ")]
        assert plain.startswith("\\begin{")
        assert " ".join(commented).split() == typeset.rpartition("\\end{")[2].split()[1:]
        assert all(f"{{{SOURCES[c.partition(',')[0]].key}}}" in typeset for c in e.cites)


# ------------------------------------------------------------------------------ citations


def test_every_source_has_an_entry() -> None:
    assert set(PAPERS) == set(SOURCES)
    keys = [s.key for s in (*SOURCES.values(), PACKAGE)]
    assert len(set(keys)) == len(keys)
    for source in (*SOURCES.values(), PACKAGE):
        fields = dict(source.fields)
        assert {"author", "title"} <= set(fields)
        assert source is PACKAGE or fields["year"].isdigit()
        for value in fields.values():
            assert value.count("{") == value.count("}")


def test_the_package_is_cited_as_its_citation_file_has_it() -> None:
    text = (Path(__file__).parents[2] / "CITATION.cff").read_text("utf-8")
    stated = dict(re.findall(r'^(?:  - )?(\w+): "?(.*?)"?$', text, re.MULTILINE))
    assert stated["title"] in PACKAGE.text
    assert stated["name"] in PACKAGE.text
    assert dict(PACKAGE.fields)["version"] == stated["version"] == rs.__version__


def test_a_citation_is_of_what_was_used() -> None:
    d = rs.derive(POISSON)
    text = d.citation()
    keys = set(re.findall(r"^@\w+\{(\w+),", text, re.MULTILINE))
    assert {"Amari1998", "White1982", "MengRubin1993", "BalakrishnanWainwrightYu2017"} <= keys
    assert len(keys) == text.count("@") == 11
    assert "ParkOzeki2009" not in text
    assert "eprint = {2206.08598}" in text
    assert "author = {Dempster, Arthur P. and Laird, Nan M. and Rubin, Donald B.}" in text
    seen = rs.derive(POISSON, view=rs.view(rs.identity(POISSON), {"g": "rate_2 - rate_1"}))
    assert "@article{ParkOzeki2009," in seen.citation()
    lines = d.citation("text").splitlines()
    assert lines[-1].startswith("relrep_sym: The relrep_sym developers, relrep_sym: learning")
    with pytest.raises(rs.DeclarationError, match="unknown format"):
        d.citation("apa")
