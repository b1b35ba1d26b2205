"""Derivations of every kind, each with a point: what rendered modules are tested on."""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

import relrep_sym as rs

NASTY = [
    "lambda", "x", "np", "out", "weights", "mu", "sigma", "d_mu_1", "d_mu_2", "t1", "rows", "theta",
    "part1", "Components", "rate_of_0", "delta_mu_1", "new_mu", "g_x", "b_v", "l", "mu_1_of_model",
    "mu_1", "own_d_mu_1",
]  # fmt: skip
"""Coordinates that collide with Python, with the code's own words, or with each other."""


@dataclass(frozen=True)
class Case:
    """A derivation, a point in its chart, and what it lacks."""

    make: Callable[[], rs.Derivation]
    point: tuple[float, ...]
    inverse: bool = True
    m_step: bool = True


def _own(model: rs.Mixture, rules: dict[str, str], **options: object) -> rs.Derivation:
    return rs.derive(model, rs.chart(model, rules, **options))  # type: ignore[arg-type]


def _one() -> rs.Derivation:
    model = rs.mixture("normal", 1)
    return rs.derive(model, rs.log(model, "sigma"))


def _viewed() -> rs.Derivation:
    c = rs.identity(rs.mixture("normal", 2, scales=1))
    functions = {"v": "pi_1", "u": "mu_1 - mu_2", "w": "pi_1*mu_1 + (1 - pi_1)*mu_2"}
    return rs.derive(c.model, c, view=rs.view(c, functions))


def _square() -> rs.Derivation:
    c = rs.relative(rs.mixture("normal", 2), "mu", gap="square", clearance="1/10")
    functions = {
        "mu_1": "mu_2", "Delta_1": "Delta_1", "x": "sigma_1*Delta_1**3/(1 + mu_1**2)", "one": "1",
        "lambda": "exp(-mu_1)*sigma_2",
    }  # fmt: skip
    return rs.derive(c.model, c, view=rs.view(c, functions))


def _relative(count: int, gap: str) -> rs.Derivation:
    model = rs.mixture("normal", count)
    return rs.derive(model, rs.relative(model, ["mu", "sigma"], gap=gap, clearance="sqrt(2)/7"))


def _vuw() -> rs.Derivation:
    rules = {"pi_1": "v", "mu_1": "w + (1 - v)*u", "mu_2": "w - v*u"}
    back = {"v": "pi_1", "u": "mu_1 - mu_2", "w": "pi_1*mu_1 + (1 - pi_1)*mu_2"}
    return _own(rs.mixture("normal", 2, scales=1), rules, domains={"v": "unit"}, inverse=back)


def _nasty() -> rs.Derivation:
    model = rs.mixture("normal", 8)
    names = dict(zip(model.names, NASTY, strict=True))
    rules = {
        p.name: f"{names[p.name]}/8" if p.role == "weight" else names[p.name]
        for p in model.parameters
    }
    rules["mu_1"] += f" + {names['mu_2']}*{names['mu_3']}"
    rules["mu_4"] += f" - {names['mu_5']}**3/{names['sigma_1']}"
    rules["sigma_8"] += f" + {names['mu_1']}**2"
    c = rs.chart(model, rules)
    functions = {n: f"{n}*{NASTY[k - 1]} + {n}**3" for k, n in enumerate(NASTY)}
    return rs.derive(model, c, view=rs.view(c, functions))


def _long() -> rs.Derivation:
    a, b, c = ("a" * 60 + f"_{k}" for k in range(3))
    rules = {"pi_1": a, "mu_1": f"{b} + (1 - {a})*{c}", "mu_2": f"{b} - {a}*{c}"}
    model = rs.mixture("normal", 2, scales=1)
    chart = rs.chart(model, rules)
    return rs.derive(model, chart, view=rs.view(chart, {"b" * 64: f"{a}*{c}", "c": f"{b}*{c}"}))


def _curved() -> rs.Derivation:
    rules = {
        "pi_1": "1/(1 + exp(-a))",
        "mu_1": " + ".join(f"sin({k}*b)*c**{k}/{k}" for k in range(1, 15)),
        "mu_2": "sqrt(1 + b**2)*sinh(c) - asinh(a)**5/3 + atan(b)*cosh(c) + log1p(a**2)",
        "sigma_1": "exp(tanh(a*b) + d/3)",
        "sigma_2": "expm1(d)**2 + cos(b)**2 + tan(1/10) + c**(1/3) + 2**d + c**d",
    }
    return _own(rs.mixture("normal", 2), rules)


def _given() -> rs.Derivation:
    rules = {"pi_1": "1/2", "mu_1": "u", "mu_2": "u + 1", "mu_3": "0.1", "pi_2": "v"}
    rules |= {"sigma_1": "s", "sigma_2": "sqrt(2)", "sigma_3": "s"}
    return _own(rs.mixture("normal", 3), rules)


def _patterned() -> rs.Derivation:
    return rs.derive(
        rs.mixture(
            "normal", 3, weights=[None, "1/4", None], means=[0, None, None], scales=[1, None, "1/3"]
        )
    )


def _many() -> rs.Derivation:
    weights, means, scales = ([None] * 30 for _ in range(3))
    weights[7], means[0], scales[11] = "1/40", -1, 0.5
    return rs.derive(rs.mixture("normal", 30, weights=weights, means=means, scales=scales))


def _poisson(count: int, **options: object) -> rs.Mixture:
    return rs.mixture("poisson", count, **options)


CASES = {
    "one": Case(_one, (0.25, 0.5)),
    "viewed": Case(_viewed, (0.25, 1.5, -0.5)),
    "square": Case(_square, (0.25, -0.5, 0.75, 1.25, 0.5)),
    "relative3": Case(lambda: _relative(3, "plain"), (0.25, 0.5, -0.5, 0.5, 1, 0.5, 0.25, 0.75)),
    "relative8": Case(
        lambda: _relative(8, "square"),
        (*[0.1] * 7, -2, *np.linspace(0.25, 0.9, 7), 0.4, *np.linspace(0.3, 0.8, 7)),
    ),
    "tied8": Case(
        lambda: rs.derive(rs.mixture("normal", 8, scales="tied")),
        (*[0.1] * 7, *np.linspace(-3, 3, 8), 0.75),
    ),
    "patterned": Case(_patterned, (0.25, 0.5, -1.5, 1.25)),
    "tied means": Case(
        lambda: rs.derive(rs.mixture("normal", 3, means="tied", scales=[1, 2, "1/2"])),
        (0.25, 0.5, -0.75),
    ),
    "no m-step": Case(
        lambda: rs.derive(rs.mixture("normal", 3, means="tied", scales="tied")),
        (0.25, 0.5, -0.75, 1.25),
        m_step=False,
    ),
    "vuw": Case(_vuw, (0.25, 0.5, 1.5)),
    "nasty": Case(_nasty, (*[0.75] * 7, *np.linspace(-1, 1, 8), *np.linspace(0.5, 1.25, 8))),
    "long": Case(_long, (0.25, 0.5, 1.5)),
    "curved": Case(_curved, (0.25, 0.5, 0.75, 0.3), False),
    "given": Case(_given, (0.25, -0.5, 0.75)),
    "many": Case(_many, (*[1 / 40] * 28, *np.linspace(-2, 2, 29), *np.linspace(0.3, 1.5, 29))),
    "poisson1": Case(lambda: rs.derive(_poisson(1)), (2.5,)),
    "poisson log": Case(
        lambda: rs.derive(_poisson(3), rs.log(_poisson(3), "rate")), (0.25, 0.5, -0.5, 0.5, 1.5)
    ),
    "poisson relative": Case(
        lambda: rs.derive(_poisson(3), rs.relative(_poisson(3), "rate", gap="square")),
        (0.25, 0.5, 0.75, 1.5, 1.25),
    ),
    "poisson tied": Case(
        lambda: rs.derive(_poisson(2, rates="tied", weights=["1/3", None])), (1.75,)
    ),
}


@cache
def derivation(name: str) -> rs.Derivation:
    """The case's derivation."""
    return CASES[name].make()


@cache
def source(name: str) -> str:
    """The case's module as text."""
    return derivation(name).source("a script", "a command")


@cache
def compiled(name: str) -> types.ModuleType:
    """The case's module."""
    return derivation(name).compile()
