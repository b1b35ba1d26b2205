"""The M-step by the book: statistics of a sample put into the derived formulas, and Q itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import mpmath
import numpy as np
import sympy as sp

from relrep_sym.declare.family import Family
from relrep_sym.declare.model import Mixture
from relrep_sym.equations.em import (
    MStep,
    derive_m_step,
    shift_symbol,
    statistic_symbol,
    statistics_of,
)

Rows = list[list[mpmath.mpf]]


@dataclass(frozen=True)
class Sample:
    """Points x_n, and what each component has of them: w_n r_k(x_n), Σ over all being one."""

    x: list[mpmath.mpf]
    shares: Rows  # K lists of N


def random_sample(model: Mixture, seed: int, count: int = 6) -> Sample:
    """A sample that a family can have come from, with responsibilities of any kind."""
    rng = np.random.default_rng(seed)
    x = rng.normal(rng.normal(), np.exp(rng.normal()), count)
    if model.family.support == "integers":
        x = rng.poisson(4, count) + 1.0
    r = (
        rng.dirichlet(np.full(model.components, 0.7), count)
        * rng.dirichlet(np.ones(count))[:, None]
    )
    r += 1e-3 * rng.random(r.shape)
    return Sample(
        [mpmath.mpf(v) for v in x], [[mpmath.mpf(v) / r.sum() for v in row] for row in r.T]
    )


def random_present(model: Mixture, seed: int) -> list[mpmath.mpf]:
    """Some present θ; only its locations matter."""
    rng = np.random.default_rng(seed + 1)
    return [mpmath.mpf(v) for v in np.exp(rng.normal(size=len(model.parameters)))]


def components(model: Mixture, theta: Sequence[mpmath.mpf]) -> Rows:
    """(weights, then each family parameter), K numbers each."""
    values = dict(zip((p.symbol for p in model.parameters), theta, strict=True))
    rows = [model.weight_expressions, *(model.component(p.name) for p in model.family.parameters)]
    return [[_number(e, values) for e in row] for row in rows]


def _number(e: sp.Expr, values: dict[sp.Symbol, mpmath.mpf]) -> mpmath.mpf:
    symbols = tuple(sorted(e.free_symbols, key=str))
    return _callable(e, symbols)(*(values[s] for s in symbols))


@cache
def _callable(e: sp.Expr, symbols: tuple[sp.Symbol, ...]):  # type: ignore[no-untyped-def]
    return sp.lambdify(symbols, e, "mpmath")


@cache
def _density(family: Family):  # type: ignore[no-untyped-def]
    return _callable(family.log_density, (family.x, *family.symbols))


def q(model: Mixture, sample: Sample, theta: Sequence[mpmath.mpf]) -> mpmath.mpf:
    """Q = Σ_k Σ_n w_n r_k(x_n) (log π_k + log f(x_n | φ_k))."""
    weights, *rows = components(model, theta)
    f = _density(model.family)
    total = mpmath.mpf(0)
    for k, share in enumerate(sample.shares):
        phi = [row[k] for row in rows]
        total += mpmath.fsum(share) * mpmath.log(weights[k])
        total += mpmath.fsum(r * f(x, *phi) for r, x in zip(share, sample.x, strict=True))
    return total


def step(model: Mixture, sample: Sample, present: Sequence[mpmath.mpf]) -> list[mpmath.mpf]:
    """θ after the derived M-step."""
    derived: MStep = derive_m_step(model)
    family = model.family
    mass = [mpmath.fsum(row) for row in sample.shares]
    now = dict(
        zip((p.name for p in family.parameters), components(model, present)[1:], strict=True)
    )
    centre = now[family.location.name] if family.location else [mpmath.mpf(0)] * model.components
    y = sp.Symbol("y", real=True)
    new = {name: list(row) for name, row in now.items()}

    def at(e: sp.Expr, k: int) -> mpmath.mpf:
        values = {statistic_symbol(0): mass[k]}
        for j, function in enumerate(statistics_of(family)[0], start=1):
            t = _callable(function, (y,))
            terms = zip(sample.shares[k], sample.x, strict=True)
            values[statistic_symbol(j)] = (
                mpmath.fsum(r * t(x - centre[k]) for r, x in terms) / mass[k]
            )
        if family.location:
            values[shift_symbol(family)] = new[family.location.name][k] - centre[k]
        values |= {p.symbol: new[p.name][k] for p in family.parameters} | totals
        return _number(e, values)

    for update in derived.updates:
        totals: dict[sp.Symbol, mpmath.mpf] = {}
        totals = {s: mpmath.fsum(at(e, k) for k in update.components) for s, e in update.totals}
        for k in update.components:
            value = at(update.value, k)
            new[update.parameter][k] = value + now[update.parameter][k] if update.shift else value
    free = derived.free_weights
    room = 1 - mpmath.fsum(
        _number(w, {}) for k, w in enumerate(model.weight_expressions) if k not in free
    )
    new_weights = {k: room * mass[k] / mpmath.fsum(mass[j] for j in free) for k in free}
    return [
        new_weights[p.components[0]] if p.role == "weight" else new[p.role][p.components[0]]
        for p in model.parameters
    ]
