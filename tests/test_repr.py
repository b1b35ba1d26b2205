"""What a prompt and a notebook show: one or two lines that say what a thing is."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import relrep_sym as rs
from relrep_sym.declare.family import family_named, names

X = np.linspace(-3.0, 4.0, 60)
OWN = rs.family(
    "-(x - m)/s - 2*log(1 + exp(-(x - m)/s)) - log(s)",
    {"m": "real", "s": "positive"},
    "line",
    name="Logistic",
)


def declared(components: int) -> dict[str, object]:
    """Everything that is declared, of a model with many components or few."""
    model = rs.mixture("normal", components=components)
    chart = rs.relative(model, "mu", clearance="lam") @ rs.log(model, "sigma")
    share = f"1/{components}"
    return {
        "model": model,
        "own": rs.mixture(OWN, components=components),
        "chart": chart,
        "map": rs.chart(model, {n: f"{n}_a" for n in model.names}),
        "view": rs.view(chart, {f"u_{k}": f"mu_{k} - mu_1" for k in range(2, components + 1)}),
        "truth": rs.truth(
            "normal", weights=[share] * components, means=range(components), scales=1
        ),
        "derivation": rs.derive(model, chart),
        "record": rs.derive(model, chart).record,
    }


@pytest.mark.parametrize("components", [2, 3, 40])
def test_what_is_declared_says_what_it_is(components: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = declared(components)
    for name, thing in made.items():
        shown = repr(thing)
        assert shown.startswith("<")
        assert len(shown) <= 400, name
        assert shown.count("\n") <= 1, name
        assert "Matrix" not in shown
        assert "Parameter(" not in shown
    assert repr(made["model"]) == (
        f"<Mixture of {components} normal components: weights free, means free, scales free>"
    )
    assert "relative chart on mu, plain gap, clearance lam" in repr(made["chart"])
    assert "constants lam" in repr(made["chart"])
    assert "Logistic" in repr(made["own"])
    assert ("of them)" in repr(made["chart"])) == (components > 3)


@pytest.mark.parametrize("family", [*names(), "own"])
def test_families_and_truths_show_their_density(family: str) -> None:
    made = {"binomial": {"trials": 7}}.get(family, {})
    chosen = OWN if family == "own" else family_named(family, **made)
    assert len(repr(chosen)) < 300
    assert chosen.title in repr(chosen)
    assert all(f"{p.name} {p.domain.name}" in repr(chosen) for p in chosen.parameters)
    assert chosen._repr_latex_().startswith("$$\\begin{aligned}\n\\log f(x \\mid ")
    half = {p.plural: [0.5, 0.25] for p in chosen.parameters}
    truth = rs.truth(chosen, weights=["1/4", "3/4"], **half)
    assert repr(truth).startswith(f"<Truth: 1/4 {chosen.name}(1/2")
    assert truth._repr_latex_().count("f(x \\mid ") == 2


def test_what_is_found_says_what_it_is() -> None:
    model = rs.mixture("normal", components=2, weights="1/2", scales=1)
    d = rs.derive(model, rs.relative(model, "mu"))
    k = d.compile()
    fit = k.fit(X, [-1.0, 2.0])
    assert repr(fit).startswith(
        f"<Fit: converged, {fit.iterations} iterations; mean log-likelihood "
    )
    assert f"mu_2 = {fit.parameters['mu_2']:.6g}" in repr(fit)
    assert fit._repr_html_().count("<tr>") == len(fit.parameters)
    assert k.fit(X, [[-1.0, 2.0]])._repr_html_().startswith("<p>Fit: 1 starts")
    short = k.fit(X, [-1.0, 2.0], max_iter=1)
    assert repr(short).startswith("<Fit: NOT converged (max_iter = 1 steps were taken), 1 iter")
    assert repr(k.fit(X, [[-1.0, 2.0], [0.0, 1.0]])).startswith(
        "<Fit: 2 starts, 2 converged; best "
    )
    assert repr(d.injective).startswith("<Injectivity: proven")
    verdict = rs.check("E_p[r_2*(x - mu_2)]", "0", model=model)
    assert repr(verdict).startswith("<Verdict: proven: ")
    assert all("\n" not in repr(v) for v in (verdict, d.injective))


def test_dir_of_the_package_is_what_it_gives() -> None:
    assert {"derive", "mixture", "Kernel", "__version__"} <= set(dir(rs))
    assert all(hasattr(rs, name) for name in dir(rs))
    assert not {"Any", "TYPE_CHECKING", "importlib", "annotations"} & set(dir(rs))
