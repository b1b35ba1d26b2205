"""The steps of learning at one point, against the oracle: what a certificate judges of them.

In: a compiled module, the oracle of one point, the chart, a weighted sample. Out: triples (function
name, what the module gives, what the oracle says). EM and ECM steps are held against the search of
every face of the chart's closed domain, their multipliers and gains included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import mpmath

from relrep_sym.declare.chart import Chart
from relrep_sym.errors import CertificateError, DerivationError, DomainError
from relrep_sym.verify.climb import Ends
from relrep_sym.verify.constrained import Optimum, optimum
from relrep_sym.verify.yardstick import Measured

__all__ = ["ends_of", "errors_of", "step_cases"]

EMPTY = 1e-290
"""N_k below which a component counts as empty in double precision."""
Triple = tuple[str, Callable[[], Any], Callable[[], Any]]


def errors_of(module: Any, *kinds: type[Exception]) -> tuple[type[Exception], ...]:
    """The package's errors, and the copies of them that a standalone module raises."""
    return (*kinds, *(getattr(module, k.__name__, k) for k in kinds))


def ends_of(chart: Chart) -> list[Ends]:
    """The ends of the coordinates' domains."""
    domains = [c.domain for c in chart.coordinates]
    return [(d.lower, d.upper, d.open_lower) for d in domains]


def step_cases(
    module: Any, at: Any, chart: Chart, x: Sequence[float], w: Sequence[float], coords: list[float]
) -> Iterator[Triple]:
    """The steps that the module has, from these coordinates."""
    names = list(chart.names)
    yield from _maximising(module, "em_step", at, chart, x, w, coords, {}, None, 1)
    if hasattr(module, "ecm_step"):
        single = [(n,) for n in names]
        yield from _maximising(
            module, "ecm_step", at, chart, x, w, coords, {"order": names}, single, 1
        )
    if hasattr(module, "gradient_em_step"):
        rate = _safe_rate(at, chart, x, w, coords)
        yield (
            "gradient_em_step",
            lambda: module.gradient_em_step(x, coords, rate, weights=w),
            lambda: moved(at, x, w, rate),
        )


def _maximising(
    module: Any,
    name: str,
    at: Any,
    chart: Chart,
    x: Sequence[float],
    w: Sequence[float],
    coords: list[float],
    options: dict[str, Any],
    blocks: Sequence[Sequence[str]] | None,
    sweeps: int,
) -> Iterator[Triple]:
    """A step's coordinates and gain, and its multipliers.

    A step that is refused is judged too: there must be no maximum, or a component without mass.
    """
    ends = ends_of(chart)

    def search(near: list[float] | None) -> Optimum:
        objective = at.em_objective(x, w)
        return optimum(objective, ends, blocks=blocks, sweeps=sweeps, near=near, tries=0)

    try:
        step = getattr(module, name)(x, coords, weights=w, full_output=True, **options)
    except errors_of(module, DerivationError):
        return  # there is no such step
    except errors_of(module, DomainError):
        if min(map(sum, at.em_objective(x, w).mass)) < EMPTY:
            return
        try:
            search(None)
        except CertificateError:
            return
        raise

    @cache
    def found() -> Optimum:
        return search([float(c) for c in step.coords])

    yield (
        name,
        lambda: [*step.coords, step.gain],
        lambda: [*found().coords, found().gain],
    )
    if step.multipliers:
        yield (
            f"{name}, multipliers",
            lambda: list(step.multipliers.values()),
            lambda: [multiplier(found(), chart, n) for n in step.multipliers],
        )


def multiplier(found: Optimum, chart: Chart, name: str) -> Measured:
    """∂Q/∂λ_j into the bound: at a lower end the slope's negative."""
    j = chart.names.index(name)
    m = found.multipliers[j]
    at_low = found.coords[j].value == chart.coordinates[j].domain.lower
    return replace(m, value=-m.value) if at_low else m


def moved(at: Any, x: Sequence[float], w: Sequence[float], rate: float) -> tuple[Measured, ...]:
    """λ + η ∇L, the mean score of the sample by the oracle."""
    out = []
    for c, s in zip(at.located.coords, at.score(x, w), strict=True):
        # ∂(λ_j + η g_j)/∂λ_j λ_j counts at most |λ_j| and η times the score's own sensitivity
        out.append(
            Measured(
                c + rate * s.value, abs(c) + rate * s.scale, abs(c) + rate * s.sensitivity,
                rate * s.error, s.method,
            )
        )  # fmt: skip
    return tuple(out)


def _safe_rate(
    at: Any, chart: Chart, x: Sequence[float], w: Sequence[float], coords: Sequence[float]
) -> float:
    """A power of two that keeps every coordinate well inside its domain."""
    scores = [float(s.value) for s in at.score(x, w)]
    rate = 0.25
    weights = [c.domain.name == "unit" for c in chart.coordinates]
    for _ in range(200):
        there = [c + rate * s for c, s in zip(coords, scores, strict=True)]
        inside = all(
            low == -mpmath.inf or (low < t < high) or c == t
            for c, t, (low, high, _) in zip(coords, there, ends_of(chart), strict=True)
        )
        total = sum(t for t, is_weight in zip(there, weights, strict=True) if is_weight)
        if inside and total < 1:
            return rate
        rate /= 2
    return rate
