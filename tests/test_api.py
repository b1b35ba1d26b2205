"""The face, as a researcher uses it: state, derive, look, compile, write, verify."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import types
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest
import sympy as sp

import relrep_sym as rs
from relrep_sym.api import Shown
from relrep_sym.declare.symbols import Parameter
from relrep_sym.equations.nodes import Expectation
from relrep_sym.errors import (
    CertificateError,
    DataError,
    DeclarationError,
    DerivationError,
    GenerationError,
    NoInverseError,
)

MODEL = rs.mixture("normal", components=2, scales=1)
RELATIVE = rs.relative(MODEL, "mu", gap="square", clearance=0.1)
MINE = rs.chart(
    MODEL, {"pi_1": "v", "mu_1": "w + (1 - v)*u", "mu_2": "w - v*u"}, domains={"v": "unit"}
)
SEEN = {"v": "pi_1", "u": "mu_1 - mu_2", "w": "pi_1*mu_1 + (1 - pi_1)*mu_2"}
TRUTH = rs.truth("normal", weights=["1/4", "3/4"], means=[0, 1], scales=1)
v, m, delta = sp.symbols("pi_1 mu_1 Delta_1")


def derivations() -> dict[str, rs.Derivation]:
    three = rs.mixture("normal", components=3)
    rates = rs.mixture("poisson", components=3)
    return {
        "identity": rs.derive(MODEL),
        "relative": rs.derive(MODEL, RELATIVE, view=rs.view(RELATIVE, SEEN)),
        "mine": rs.derive(MODEL, MINE, name="mine"),
        "three": rs.derive(three, rs.relative(three, ["mu", "sigma"])),
        "log": rs.derive(rates, rs.log(rates, "rate")),
    }


DERIVED = derivations()
each = pytest.mark.parametrize("d", DERIVED.values(), ids=DERIVED)


def refused(
    make: Callable[..., object],
    *args: object,
    kind: type[Exception] = DeclarationError,
    **options: object,
) -> str:
    with pytest.raises(kind) as caught:
        make(*args, **options)
    text = str(caught.value)
    assert "; given: " in text
    assert "; expected: " in text
    return text


# ------------------------------------------------------------------------------------- the package


def test_the_public_names_are_there() -> None:
    assert rs.__all__ == sorted(rs.__all__)
    assert set(rs.__all__) <= set(dir(rs))
    for name in rs.__all__:
        assert getattr(rs, name).__name__.rpartition(".")[2] == name
    with pytest.raises(AttributeError, match="no attribute 'sofmax'"):
        rs.sofmax  # noqa: B018


def test_importing_the_package_loads_no_engine() -> None:
    script = (
        "import sys, relrep_sym; print(sorted({'sympy', 'numpy', 'jinja2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


# ------------------------------------------------------------------------------------- derive


def test_names_are_made_from_family_components_and_chart() -> None:
    names = {k: d.name for k, d in DERIVED.items()}
    assert names == {
        "identity": "normal2", "relative": "normal2_relative", "mine": "mine",
        "three": "normal3_relative", "log": "poisson3_log",
    }  # fmt: skip
    assert rs.derive(MODEL, MINE).name == "normal2_chart"


def test_what_was_stated_is_there() -> None:
    d = DERIVED["relative"]
    assert (d.model, d.chart) == (MODEL, RELATIVE)
    assert d.symbols == {"pi_1": v, "mu_1": m, "Delta_1": delta, "mu_2": Parameter("mu_2")}
    assert rs.derive(MODEL).chart == rs.identity(MODEL)


def test_derive_says_what_was_wrong() -> None:
    three = rs.mixture("normal", components=3)
    assert "this is no model; given: str" in refused(rs.derive, "normal")
    assert "this is no model; given: Chart" in refused(rs.derive, RELATIVE)
    assert "this is no chart; given: Mixture" in refused(rs.derive, MODEL, MODEL)
    text = refused(rs.derive, three, RELATIVE)
    assert "the chart is of another model; given: mixture of 2" in text
    assert "expected: mixture of 3" in text
    assert "this is no view; given: dict" in refused(rs.derive, MODEL, view=SEEN)
    other = rs.view(RELATIVE, SEEN)
    assert "the view is of another chart" in refused(rs.derive, MODEL, view=other)
    assert "nothing to learn" in refused(
        rs.derive, rs.mixture("poisson", 2, weights="tied", rates=[1, 2])
    )


@pytest.mark.parametrize(
    "name", ["a b", "", "pi", "_a", "a__b", 5, "é", "lambda", "class", "../up"]
)
def test_a_derivations_name_can_name_a_module(name: object) -> None:
    text = refused(rs.derive, MODEL, name=name)
    assert "derivation" in text


@each
def test_derivations_are_immutable_and_equal_by_value(d: rs.Derivation) -> None:
    with pytest.raises(FrozenInstanceError):
        d.record = None  # type: ignore[misc]
    with pytest.raises(AttributeError):
        d.name = "another"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        d.record.name = "another"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        d.jacobian.equation = None  # type: ignore[misc]
    again = rs.derive(d.model, d.chart, view=d.record.view, name=d.name)
    assert again == d
    assert hash(again) == hash(d)
    assert d != rs.derive(d.model, d.chart, view=d.record.view, name="another")


@each
def test_derivations_pickle_before_and_after_everything_was_derived(d: rs.Derivation) -> None:
    fresh = rs.derive(d.model, d.chart, view=d.record.view, name=d.name)
    assert pickle.loads(pickle.dumps(fresh)) == d
    values = [(s.value, s.latex()) for s in d]
    again = pickle.loads(pickle.dumps(d))
    assert again == d
    assert [(s.value, s.latex()) for s in again] == values
    assert again.source() == d.source()


# ------------------------------------------------------------------------------------- equations


def test_the_jacobian_is_a_sympy_object_with_a_label() -> None:
    found = DERIVED["relative"].jacobian
    assert found.shape == (3, 3)
    assert found.value == sp.Matrix([[1, 0, 0], [0, 1, 0], [0, 1, 2 * delta]])
    assert found[2, 2] == 2 * delta
    assert list(found)[-1] == 2 * delta
    assert found.label == "eq:normal2_relative:jacobian"
    assert sp.Matrix(found.value).det() == 2 * delta
    assert sp.sympify(found) == found.value
    assert repr(found).startswith("eq:normal2_relative:jacobian: Matrix")
    assert found._repr_latex_().startswith("$")
    with pytest.raises(AttributeError):
        found.nothing_of_this_name  # noqa: B018


@each
def test_every_equation_has_a_label_of_its_own_and_a_fragment(d: rs.Derivation) -> None:
    shown = list(d)
    labels = [s.label for s in shown]
    assert len(set(labels)) == len(labels)
    whole = d.latex()
    for s in shown:
        assert isinstance(s, Shown)
        assert s.label.startswith(f"eq:{d.name}:")
        assert rf"\label{{{s.label}}}" in s.latex()
        passage = d.latex(s.label)
        assert passage == d.latex(s.equation.name)
        assert passage.startswith(s.latex())
        assert all(line.startswith("% ") for line in passage[len(s.latex()) :].splitlines())
        assert s.latex().strip() in whole
    assert whole.startswith("\\documentclass")


def test_an_unknown_label_is_refused_with_the_known_ones() -> None:
    text = refused(DERIVED["identity"].latex, "fischer")
    assert "no equation has this label; given: fischer" in text
    assert "eq:normal2:fisher" in text


@each
def test_each_named_equation_is_reached(d: rs.Derivation) -> None:
    count = len(d.chart.coordinates)
    assert d.score.value.shape == (count, 1)
    assert d.averaged.value.shape == (count, 1)
    assert d.fisher.value.shape == (count, count)
    assert d.fisher.value == d.fisher.value.T
    assert d.responsibilities.value.shape == (d.model.components, 1)
    assert d.m_step.value.shape == (len(d.model.parameters), 1)
    for shown in (d.log_likelihood, d.kl):
        assert isinstance(shown.value, Expectation)


def test_the_averaged_equations_are_eta_times_the_mean_score() -> None:
    d = DERIVED["mine"]
    eta = next(iter(d.averaged.value[0].free_symbols - {*d.chart.symbols} - _theta(d)))
    for rate, score in zip(d.averaged.value, d.score.value, strict=True):
        assert rate == eta * Expectation(score, d.record.x, sp.Symbol("q"))


def _theta(d: rs.Derivation) -> set[sp.Symbol]:
    return {p.symbol for p in d.model.parameters} | {d.record.x, sp.Symbol("q")}


def test_the_m_step_says_where_there_is_none() -> None:
    tied = rs.derive(rs.mixture("normal", components=3, means="tied"))
    assert tied.joint.way == "none"
    assert "a polynomial of degree 5" in tied.m_step.words
    assert "Newton" in tied.latex("m_step")
    assert tied.m_step.value.shape == (6, 1)  # ∂Q/∂λ
    step = tied.compile().em_step  # Newton's method takes it
    x = [0.0, 1.0, 3.0, -1.0, 0.5]
    assert step(x, [0.25, 0.5, 0.0, 1.0, 1.5, 2.0], full_output=True).residual < 1e-14


def test_no_fisher_under_another_name() -> None:
    with pytest.raises(DerivationError, match="no such equation; given: fischer"):
        DERIVED["identity"].record["fischer"]


# ------------------------------------------------------------------------------------- views


def test_the_mobility_of_a_view() -> None:
    d = DERIVED["identity"]
    u = sp.Symbol("u")
    w = sp.Symbol("v")
    found = d.mobility(rs.view(d.chart, SEEN))
    assert found == found.T
    assert found.label == "eq:normal2:mobility-v-u-w"
    assert found[0, :] == sp.Matrix([[1, 0, u]])
    assert sp.expand(found[1, 2] - (2 * w - 1)) == 0


def test_the_dynamics_seen_in_a_view_are_pushed_forward() -> None:
    d = DERIVED["relative"]
    seen = rs.view(RELATIVE, {"g": "Delta_1**2", "p": "pi_1"})
    found = d.averaged_in(seen)
    rates = dict(zip(d.chart.names, d.averaged.value, strict=True))
    assert sp.expand(found.value[0] - 2 * delta * rates["Delta_1"]) == 0
    assert found.value[1] == rates["pi_1"]
    assert found.label == "eq:normal2_relative:averaged-in-view-g-p"
    own = d.record.view
    assert own is not None
    assert d.averaged_in(own).label == "eq:normal2_relative:averaged-in-view"
    assert {s.equation.name for s in d} >= {"view", "mobility", "averaged_in_view"}


def test_a_view_of_another_chart_is_refused() -> None:
    d = DERIVED["identity"]
    for ask in (d.mobility, d.averaged_in):
        assert "the view is of another chart" in refused(ask, rs.view(RELATIVE, SEEN))
        assert "this is no view; given: dict" in refused(ask, SEEN)


# ------------------------------------------------------------------------------------- code


@each
def test_compiling_gives_a_module_that_computes(d: rs.Derivation) -> None:
    k = d.compile()
    assert isinstance(k, types.ModuleType)
    assert k.__name__ == d.name
    assert d.chart.names == k.COORDINATES
    theta = {"normal": [0.25, -1.0, 1.0], "poisson": [0.25, 0.25, 1.0, 2.0, 3.0]}[
        d.model.family.name
    ]
    if d.name == "normal3_relative":
        theta = [0.25, 0.25, -1.0, 0.5, 1.0, 0.5, 1.0, 1.5]
    coords = k.from_model(theta)
    np.testing.assert_allclose(k.to_model(coords), theta, rtol=1e-14)
    x = [0.0, 1.0, 3.0]
    np.testing.assert_allclose(
        k.score(x, coords), k.score_samples(x, coords).mean(axis=0), rtol=1e-12, atol=1e-15
    )
    assert k.fisher(coords).shape == (len(coords), len(coords))


def test_a_relative_chart_keeps_its_clearance() -> None:
    k = DERIVED["relative"].compile()
    np.testing.assert_allclose(k.to_model([0.5, 1.0, 2.0]), [0.5, 1.0, 5.1], rtol=1e-15)
    np.testing.assert_allclose(k.from_model([0.5, 1.0, 5.1]), [0.5, 1.0, 2.0], rtol=1e-15)


def test_functions_that_a_derivation_lacks_are_not_there() -> None:
    assert not hasattr(DERIVED["identity"].compile(), "to_view")
    seen = DERIVED["relative"].compile()
    assert seen.VIEW == ("v", "u", "w")
    np.testing.assert_allclose(seen.to_view([0.25, 0.0, 1.0]), [0.25, -1.1, 0.75 * 1.1])
    bent = rs.chart(MODEL, {"pi_1": "v", "mu_1": "sin(u)", "mu_2": "w"})
    with pytest.raises(NoInverseError, match="no inverse was found for u"):
        rs.derive(MODEL, bent).compile().from_model([0.5, 0.0, 1.0])


def test_source_names_who_wrote_it() -> None:
    text = DERIVED["mine"].source("derivations/mine.py", "relrep regenerate mine")
    assert "Generated by derivations/mine.py" in text
    assert "`relrep regenerate mine` writes it anew." in text
    for wrong in ('a"""b', "a\nb", "a\\b", "é{}"):
        assert "header" in refused(DERIVED["mine"].source, wrong)
        assert "header" in refused(DERIVED["mine"].source, None, wrong)


def test_writing_is_atomic_and_only_when_something_changed(tmp_path: Path) -> None:
    d, path = DERIVED["mine"], tmp_path / "mine.py"
    assert d.write(path) is True
    assert path.read_text("utf-8") == d.source()
    before = path.stat()
    assert d.write(str(path)) is False
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert DERIVED["mine"].write(path, standalone=True) is True  # what it wrote it may replace
    assert d.write(path) is True
    assert path.read_text("utf-8") == d.source()
    assert os.listdir(tmp_path) == ["mine.py"]


@pytest.mark.parametrize("edit", ["mine = 1\n", "", "{}# a note\n", "\ufeff{}", "{0}{0}"])
@pytest.mark.parametrize("standalone", [False, True])
def test_what_it_did_not_write_is_never_overwritten(
    tmp_path: Path, edit: str, standalone: bool
) -> None:
    d, path = DERIVED["mine"], tmp_path / "mine.py"
    text = edit.replace("{}", d.source()).replace("{0}", d.source())
    path.write_text(text, encoding="utf-8")
    said = refused(d.write, path, standalone=standalone, kind=GenerationError)
    why = "it was edited since relrep wrote it" if "{" in edit else "relrep did not write it"
    assert f"mine.py exists, and {why}" in said
    assert "expected: another path, or overwrite=True" in said
    assert path.read_text("utf-8") == text
    assert d.write(path, standalone=standalone, overwrite=True) is True
    assert d.write(path, standalone=standalone) is False


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.py"
    DERIVED["mine"].write(path, standalone=True)
    old = path.read_text("utf-8")

    def broken(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(GenerationError, match="cannot write"):
        DERIVED["mine"].write(path)
    assert path.read_text("utf-8") == old
    assert os.listdir(tmp_path) == ["mine.py"]
    with pytest.raises(GenerationError):
        DERIVED["mine"].write(tmp_path / "missing" / "mine.py")


def test_a_written_module_runs_without_the_engine(tmp_path: Path) -> None:
    DERIVED["mine"].write(tmp_path / "mine.py")
    script = (
        "import sys, mine; print(mine.to_model([0.5, 2.0, 0.0]).tolist()); "
        "print(sorted({'sympy', 'mpmath', 'jinja2', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path
    )
    assert (done.stdout.split("\n")[:2], done.stderr) == (["[0.5, 2.0, 2.0]", "[]"], "")


# ------------------------------------------------------------------------------------- nodes


def test_nodes_are_a_weighted_sample_of_the_truth() -> None:
    x, w = rs.nodes(TRUTH)
    weights, means, scales = TRUTH.arrays()
    assert abs(w.sum() - 1) < 1e-14
    assert abs(w @ x - weights @ means) < 1e-14
    assert abs(w @ x**2 - weights @ (means**2 + scales**2)) < 1e-13


def test_nodes_for_a_derivation_serve_its_functions() -> None:
    d = DERIVED["mine"]
    k, coords = d.compile(), [0.25, 0.5, 2.0]
    nodes = rs.nodes(TRUTH, coords, derivation=d)
    field = k.averaged_field(coords, TRUTH.arrays())
    np.testing.assert_allclose(k.averaged_field(coords, nodes), field, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(k.score(nodes[0], coords, nodes[1]), field, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(k.averaged_field(coords, TRUTH), field, rtol=0)


def test_nodes_of_counts_are_counts() -> None:
    x, w = rs.nodes(rs.truth("poisson", weights=[0.5, 0.5], rates=[1, 4]))
    np.testing.assert_array_equal(x, np.round(x))
    assert abs(w @ x - 2.5) < 1e-14


def test_nodes_say_what_was_wrong() -> None:
    d, counts = DERIVED["identity"], rs.truth("poisson", weights=1, rates=2)
    assert "this is no truth; given: list" in refused(rs.nodes, [0.5])
    assert "coords were given alone" in refused(rs.nodes, TRUTH, [0.5, 0, 1])
    assert "this is no derivation" in refused(rs.nodes, TRUTH, [0.5, 0, 1], derivation=MODEL)
    text = refused(rs.nodes, counts, [0.5, 0, 1], derivation=d)
    assert "the truth is of another family; given: poisson; expected: a truth of the normal" in text
    with pytest.raises(DataError, match=r"coords has the wrong shape.*pi_1, mu_1, mu_2"):
        rs.nodes(TRUTH, [0.5, 0], derivation=d)
    with pytest.raises(DataError, match="the truth is of another family"):
        d.compile().averaged_field([0.5, 0, 1], counts)


# ------------------------------------------------------------------------------------- verify


def test_verifying_gives_a_certificate_with_every_function() -> None:
    certificate = rs.derive(rs.mixture("poisson", components=1)).verify(digits=20)
    assert certificate.ok
    certificate.check()
    functions = {e.function for e in certificate.entries}
    assert {"log_density", "score", "averaged_field", "kl", "fisher", "em_step"} <= functions


def test_verifying_catches_a_wrong_module() -> None:
    d = rs.derive(rs.mixture("poisson", components=1))
    wrong = types.ModuleType("wrong")
    wrong.__dict__.update(vars(d.compile()))
    right = wrong.kl
    wrong.kl = lambda coords, truth: right(coords, truth) * (1 + 1e-12)  # type: ignore[attr-defined]
    certificate = d.verify(digits=20, module=wrong)
    assert {e.function for e in certificate.entries if not e.ok} == {"kl"}
    with pytest.raises(CertificateError, match="kl at "):
        certificate.check()


# ------------------------------------------------------------------------------------- notebooks


def test_everything_shows_itself_in_a_notebook() -> None:
    d = DERIVED["identity"]
    seen = rs.view(d.chart, SEEN)
    shown = [d, d.model, d.chart, seen, d.averaged, d.averaged_in(seen), d.mobility(seen)]
    shown += [DERIVED["relative"], DERIVED["relative"].chart, *d]
    for each_one in shown:
        text = each_one._repr_latex_()
        assert text.startswith("$$\\begin{aligned}")
        assert text.endswith("\\end{aligned}$$")
        assert text.count("{") == text.count("}")
        assert "label" not in text
    assert r"\mu_2 &= \mu_1" in DERIVED["relative"].chart._repr_latex_()
    assert r"u &= \mu_1 - \mu_2" in seen._repr_latex_()
    assert r"\sum_{k=1}^2 \pi_k" in d._repr_latex_()


def test_what_is_shown_computes_as_its_value() -> None:
    d = DERIVED["identity"]
    mobility = d.mobility(rs.view(d.chart, SEEN))
    value = mobility.value
    assert mobility == value
    assert value == mobility
    assert hash(mobility) == hash(value)
    assert len(mobility) == 9
    assert mobility * mobility == value * value
    assert mobility @ sp.eye(3) == value
    assert sp.eye(3) * mobility == value
    assert mobility + value == 2 * mobility == mobility * 2
    assert mobility - value == sp.zeros(3, 3)
    assert -mobility == -value
    assert mobility**2 == value**2
    assert mobility / 2 == value / 2
    assert mobility.det() == value.det()
    assert 2 * d.kl == 2 * d.kl.value
    assert d.mobility(rs.view(d.chart, SEEN)) == mobility


def test_digits_are_a_whole_number_that_the_oracle_can_keep() -> None:
    for digits in (1, 15, 101, 30.0, True, "30"):
        with pytest.raises(DeclarationError, match=r"digits is out of range.*16 to 100"):
            DERIVED["identity"].verify(digits=digits)  # type: ignore[arg-type]


def test_errors_are_reached_from_the_package() -> None:
    import relrep_sym.errors

    for name in relrep_sym.errors.__all__:
        if name != "problem":
            assert getattr(rs, name) is getattr(relrep_sym.errors, name)
            assert name in rs.__all__


def test_a_fragment_is_asked_for_by_label_name_or_the_end_of_its_label():
    d = rs.derive(rs.mixture("poisson", components=2), name="t")
    assert d.latex("eq:t:m-step") == d.latex("m_step") == d.latex("m-step")
