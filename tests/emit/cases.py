"""Derivations of every kind that is printed: the scripts', and models and charts beyond them."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

import relrep_sym as rs

SCRIPTS = sorted(Path(__file__).parents[2].glob("derivations/[a-z]*.py"))


def script(path: Path) -> rs.Derivation:
    """The derivation that a script returns."""
    spec = importlib.util.spec_from_file_location(f"_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.derivation()


def _relative(k: int, *parameters: str, **chart: object) -> rs.Derivation:
    model = rs.mixture("normal", components=k)
    return rs.derive(model, rs.relative(model, parameters, **chart))


def _identity(family: str, k: int, **patterns: object) -> rs.Derivation:
    return rs.derive(rs.mixture(family, components=k, **patterns))


def _logged(k: int) -> rs.Derivation:
    model = rs.mixture("poisson", components=k)
    return rs.derive(model, rs.log(model, "rate"))


def _own() -> rs.Derivation:
    model = rs.mixture("normal", components=2, scales=1)
    rules = {"pi_1": "v", "mu_1": "w + (1 - v)*u", "mu_2": "w - v*u"}
    return rs.derive(model, rs.chart(model, rules, domains={"v": "unit"}))


def _clashing() -> rs.Derivation:
    model = rs.mixture("normal", components=2, scales=1)
    rules = {"pi_1": "1/(1 + exp(-eta))", "mu_1": "mu_2 + x**2", "mu_2": "mu_2 - 2*x"}
    chart = rs.chart(model, rules)
    return rs.derive(model, chart, view=rs.view(chart, {"mu_1": "x + eta", "t": "mu_2 - x"}))


def _lookalikes() -> rs.Derivation:
    model = rs.mixture("poisson", components=3, weights="1/3")
    return rs.derive(
        model, rs.chart(model, {"rate_1": "a1", "rate_2": "a_1**2", "rate_3": "rate2"})
    )


def _wild() -> rs.Derivation:
    model = rs.mixture("normal", components=3)
    rules = {
        "pi_1": "a**2/(a**2 + b**2 + 1)",
        "pi_2": "b**2/(a**2 + b**2 + 1)",
        "mu_1": "m",
        "mu_2": "m + exp(s)",
        "mu_3": "m + exp(s) + log(1 + exp(t))",
        "sigma_1": "exp(q1)",
        "sigma_2": "exp(q1 + q2)",
        "sigma_3": "sqrt(1 + q3**2)",
    }
    chart = rs.chart(model, rules)
    return rs.derive(model, chart, view=rs.view(chart, {"gap": "mu_3 - mu_1", "spread": "q1*q2"}))


def _viewed(k: int) -> rs.Derivation:
    model = rs.mixture("normal", components=k, scales="tied")
    chart = rs.relative(model, "mu", gap="square")
    names = {f"m_{i}": f"mu_{i}" for i in range(1, k + 1)}
    return rs.derive(model, chart, view=rs.view(chart, {**names, "s": "sigma**2/2"}))


BEYOND = {
    "one": lambda: _identity("normal", 1),
    "identity3": lambda: _identity("normal", 3),
    "tied_scale3": lambda: _identity("normal", 3, scales="tied"),
    "tied_scale2": lambda: _identity("normal", 2, scales="tied", weights=("1/3", "2/3")),
    "tied_mean3": lambda: _identity("normal", 3, means="tied", scales=1),
    "tied_mean_unequal": lambda: _identity("normal", 4, means="tied", scales=2, weights="1/4"),
    "means_given": lambda: _identity("normal", 3, means=(0, 1, 3), scales="tied"),
    "mixed3": lambda: _identity(
        "normal", 3, means=(0, None, None), scales=(1, None, 2), weights=("1/4", None, None)
    ),
    "mixed5": lambda: _identity(
        "normal", 5, means=(None, 0, None, None, 1), weights=(None, "1/8", None, None, None)
    ),
    "poisson_log": lambda: _logged(4),
    "poisson_relative": lambda: _poisson_relative(),
    "relative3": lambda: _relative(3, "mu", gap="square", clearance="1/10"),
    "relative4_both": lambda: _relative(4, "mu", "sigma"),
    "relative8": lambda: _relative(8, "mu", gap="square"),
    "own": _own,
    "clashing": _clashing,
    "lookalikes": _lookalikes,
    "wild": _wild,
    "viewed3": lambda: _viewed(3),
}


def _poisson_relative() -> rs.Derivation:
    model = rs.mixture("poisson", components=5)
    return rs.derive(model, rs.relative(model, "rate"))


@cache
def case(name: str) -> rs.Derivation:
    """A derivation by the name of its script or of its kind."""
    if name in BEYOND:
        return BEYOND[name]()
    return script(next(p for p in SCRIPTS if p.stem == name))


NAMES = [*(p.stem for p in SCRIPTS), *BEYOND]
