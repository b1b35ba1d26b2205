"""The steps of learning at one point, against the oracle: what a certificate judges of them.

In: a compiled module, the oracle of one point, the chart, a weighted sample. Out: triples (function
name, what the module gives, what the oracle says). EM and ECM steps are held against the search of
every face of the chart's closed domain, their multipliers and gains included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import mpmath

from relrep_sym.declare.chart import Chart
from relrep_sym.errors import DerivationError, DomainError
from relrep_sym.verify.climb import Ends, NoMaximumError
from relrep_sym.verify.constrained import Optimum, optimum
from relrep_sym.verify.yardstick import Measured

__all__ = ["NUDGE", "ends_of", "errors_of", "step_cases", "weights_of"]

EMPTY = 1e-290
"""N_k below which a component counts as empty in double precision."""
NUDGE = mpmath.mpf("-1e-20")
"""The relative step of a constant."""
Triple = tuple[str, Callable[[], Any], Callable[[], Any]]


def errors_of(module: Any, *kinds: type[Exception]) -> tuple[type[Exception], ...]:
    """The package's errors, and the copies of them that a standalone module raises."""
    return (*kinds, *(getattr(module, k.__name__, k) for k in kinds))


def ends_of(chart: Chart) -> list[Ends]:
    """The ends of the coordinates' domains."""
    domains = [c.domain for c in chart.coordinates]
    return [(d.lower, d.upper, d.open_lower) for d in domains]


def step_cases(
    module: Any,
    at: Any,
    chart: Chart,
    x: Sequence[float],
    w: Sequence[float],
    coords: list[float],
    beside: Sequence[Any] = (),
    *,
    orders: int = 2,
) -> Iterator[Triple]:
    """The steps that the module has, from these coordinates.

    ``beside`` are the oracles with one constant c of the chart at c (1 + :data:`NUDGE`): what is
    given counts in the yardstick as what is held does. ``orders`` of conditional steps are judged:
    none, the usual one, or also all coordinates backward, twice.
    """
    here = _Here(module, at, chart, x, w, coords, tuple(beside))
    yield from here.maximising("em_step", {}, None, 1)
    if orders and hasattr(module, "ecm_step"):
        weights = weights_of(chart)
        rest = [(n,) for n in chart.names if n not in weights]
        usual = [weights, *rest] if weights else rest
        yield from here.maximising("ecm_step", {}, usual, 1)
    if orders > 1 and hasattr(module, "ecm_step"):
        back = [(n,) for n in reversed(chart.names)]
        order = {"order": [n for (n,) in back], "sweeps": 2}
        yield from here.maximising("ecm_step", order, back, 2, "ecm_step, backward twice")
    if hasattr(module, "gradient_em_step"):
        rate = _safe_rate(module, at, chart, x, w, coords)
        yield (
            "gradient_em_step",
            lambda: module.gradient_em_step(x, coords, rate, weights=w),
            lambda: moved(at, x, w, rate),
        )


def weights_of(chart: Chart) -> tuple[str, ...]:
    """The coordinates that the weights depend on."""
    below = set().union(
        *(chart.every_value.get(s, s).free_symbols
          for e in chart.weight_expressions for s in e.free_symbols)
    )  # fmt: skip
    return tuple(n for n, s in zip(chart.names, chart.symbols, strict=True) if s in below)


@dataclass(frozen=True)
class _Here:
    """One point: a module and what judges it."""

    module: Any
    at: Any
    chart: Chart
    x: Sequence[float]
    w: Sequence[float]
    coords: list[float]
    beside: tuple[Any, ...]

    def maximising(
        self,
        name: str,
        options: dict[str, Any],
        blocks: Sequence[Sequence[str]] | None,
        sweeps: int,
        title: str = "",
    ) -> Iterator[Triple]:
        """A step's coordinates and gain, and its multipliers.

        A step that is refused is judged too: there must be no maximum, or a component without
        mass. Where there is no maximum a step must say so, and nothing else is asked of it.
        """
        title = title or name
        function = getattr(self.module, name)
        try:
            step = function(self.x, self.coords, weights=self.w, full_output=True, **options)
        except errors_of(self.module, DerivationError):
            return  # there is no such step
        except errors_of(self.module, DomainError):
            if self.empty or not self._is_maximum(blocks, sweeps):
                return
            raise
        near = [float(c) for c in step.coords]
        try:
            found = self._found(near, blocks, sweeps)
        except NoMaximumError:
            nothing = Measured(mpmath.mpf(1), mpmath.mpf(0), mpmath.mpf(0))
            said = f"{title}, without a maximum"
            yield said, lambda: float(bool(step.notes)), lambda: nothing
            return
        yield title, lambda: [*step.coords, step.gain], lambda: [*found.coords, found.gain]
        if step.multipliers:
            yield (
                f"{title}, multipliers",
                lambda: list(step.multipliers.values()),
                lambda: [multiplier(found, self.chart, n) for n in step.multipliers],
            )

    @property
    def empty(self) -> bool:
        """Whether a component has no mass in double precision."""
        return bool(min(map(sum, self.at.em_objective(self.x, self.w).mass)) < EMPTY)

    def _is_maximum(self, blocks: Sequence[Sequence[str]] | None, sweeps: int) -> bool:
        try:
            self._search(self.at, blocks, sweeps, None)
        except NoMaximumError:
            return False
        return True

    def _search(
        self,
        at: Any,
        blocks: Sequence[Sequence[str]] | None,
        sweeps: int,
        near: Sequence[Any] | None,
        explore: bool = True,
    ) -> Optimum:
        ends, objective = ends_of(self.chart), at.em_objective(self.x, self.w)
        return optimum(
            objective, ends, blocks=blocks, sweeps=sweeps, near=near, tries=0, explore=explore
        )

    def _found(
        self, near: Sequence[float], blocks: Sequence[Sequence[str]] | None, sweeps: int
    ) -> Optimum:
        """The oracle's step, its sensitivity that to the constants too."""
        found = self._search(self.at, blocks, sweeps, near)
        place = [m.value for m in found.coords]
        for at in self.beside:
            other = self._search(at, blocks, sweeps, place, explore=False)
            found = replace(
                found,
                coords=_widened(found.coords, other.coords),
                multipliers=_widened(found.multipliers, other.multipliers),
                gain=_widened([found.gain], [other.gain])[0],
            )
        return found


def _widened(ours: Sequence[Measured], other: Sequence[Measured]) -> tuple[Measured, ...]:
    """With |c ∂v/∂c| in the sensitivity, by the difference of two oracles."""
    return tuple(
        m.widened(sensitivity=m.sensitivity + abs((o.value - m.value) / NUDGE))
        for m, o in zip(ours, other, strict=True)
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
    module: Any,
    at: Any,
    chart: Chart,
    x: Sequence[float],
    w: Sequence[float],
    coords: Sequence[float],
) -> float:
    """A power of two that keeps every coordinate, and the model, well inside of its domain."""
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
        if inside and total < 1 and _maps(module, there):
            return rate
        rate /= 2
    return rate


def _maps(module: Any, coords: Sequence[float]) -> bool:
    """Whether coordinates give a mixture."""
    try:
        module.to_model(coords)
    except DomainError:
        return False
    return True
