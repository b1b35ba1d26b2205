"""What a derivation hands out can be printed: at a prompt, in a notebook, by SymPy, in a paper."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import sympy as sp

import relrep_sym as rs

OWN = rs.family(
    "-(x - m)/s - 2*log(1 + exp(-(x - m)/s)) - log(s)",
    {"m": "real", "s": "positive"},
    "line",
    name="logistic",
)
FAMILIES = ["normal", "laplace", "exponential", "gamma", "poisson", "geometric", "binomial", OWN]
EQUATIONS = (
    "jacobian log_likelihood score responsibilities averaged kl fisher hessian covariance natural "
    "q m_step m_step_constrained cm_steps gradient_em"
).split()
WAYS: dict[str, Callable[[object], object]] = {
    "repr": repr,
    "a notebook": lambda e: e._repr_latex_(),  # type: ignore[attr-defined]
    "LaTeX": lambda e: e.latex(),  # type: ignore[attr-defined]
}


def printed(thing: object, name: str, way: str, write: Callable[[object], object]) -> None:
    text = write(thing)
    assert isinstance(text, str), (name, way)
    assert "@" not in text, (name, way)
    if way == "repr":
        assert 0 < len(text) < 900, (name, text)


def model_of(family: object, components: int) -> rs.Mixture:
    extra = {"trials": 5} if family == "binomial" else {}
    return rs.mixture(family, components=components, **extra)


@pytest.mark.parametrize("components", [1, 2, 3])
@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: getattr(f, "name", f))
def test_every_equation_of_every_family_is_printed(family: object, components: int) -> None:
    d = rs.derive(model_of(family, components))
    for name in EQUATIONS:
        for way, write in WAYS.items():
            printed(getattr(d, name), name, way, write)


CHARTS: dict[str, Callable[[rs.Mixture], rs.Chart]] = {
    "relative": lambda m: rs.relative(m, "mu", clearance="lam"),
    "square, softmax": lambda m: rs.relative(m, "mu", gap="square") @ rs.softmax(m),
    "stick": lambda m: rs.stick_breaking(m, clearance="1/10"),
    "log": lambda m: rs.log(m, "sigma"),
    "affine": lambda m: rs.affine(m, [[1, 0], [1, 1], [1, 3]], parameter="mu"),
}


@pytest.mark.parametrize("chart", CHARTS)
def test_every_equation_of_every_chart_is_printed(chart: str) -> None:
    model = rs.mixture("normal", components=3, scales="free" if chart == "log" else "tied")
    d = rs.derive(model, CHARTS[chart](model))
    for name in EQUATIONS:
        for way, write in WAYS.items():
            printed(getattr(d, name), name, way, write)
    for e in d:
        printed(e, e.label, "LaTeX", WAYS["LaTeX"])
    for thing in (d, d.joint, d.injective, d.chart, d.model):
        printed(thing, type(thing).__name__, "repr", repr)


@pytest.mark.parametrize("family", ["normal", "poisson"])
@pytest.mark.parametrize("components", [1, 2])
def test_sympy_prints_the_values_and_works_nothing_out(family: str, components: int) -> None:
    given = {"scales": 1} if family == "normal" and components == 2 else {}
    d = rs.derive(rs.mixture(family, components=components, **given))
    for name in EQUATIONS:
        if name == "m_step_constrained":
            continue
        value = getattr(d, name).value
        for write in (str, sp.latex, sp.pretty):
            assert write(value)


def test_a_pseudo_inverse_is_worked_out_on_demand() -> None:
    d = rs.derive(rs.mixture("poisson", components=1))
    rate = d.model.parameters[0].symbol
    found = d.natural.value.doit()
    mean = d.averaged.value[0]
    assert sp.simplify(found[0] - mean * rate) == 0


def test_constrained_steps_have_the_face_of_their_neighbours() -> None:
    model = rs.mixture("normal", components=3, scales=1)
    d = rs.derive(model, rs.relative(model, "mu", clearance="lam"), symbols={"mu": "m"})
    (equation,) = d.m_step_constrained
    assert d.m_step_constrained.latex() == equation.latex()
    assert "multipliers" in d.m_step_constrained.words
    assert "m_k^+" in d.m_step_constrained.latex()
    none = rs.derive(model).m_step_constrained
    assert (none.latex(), none.words, tuple(none)) == ("", "", ())


def test_an_expansion_is_in_the_derivation_s_symbols() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = rs.mixture("normal", components=2, scales=1)
        chart = rs.identity(model)
        view = rs.view(chart, {"v": "pi_1", "u": "mu_1 - mu_2", "w": "pi_1*mu_1 + (1 - pi_1)*mu_2"})
        d = rs.derive(model, chart, view=view, symbols={"u": "M", "w": "q"})
    text = d.series(view, "u", 2).latex()
    assert r"\mathcal{O}(M^" in text
    assert r"\operatorname{E}_g" in text
    assert "at fixed $v, q$" in text
