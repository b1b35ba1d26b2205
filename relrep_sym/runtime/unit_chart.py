"""A chart in other units: a change of units is a chart.

In: a chart's generated functions, the family's powers (``Form.units``), and the unit of x, 2^a.
Out: the same chart with x = 2^a x′, parameters φ_i = 2^(a d_i) φ′_i, θ alike, and coordinates
λ_j = 2^(q_j) λ′_j: its functions are those that were generated, multiplied with powers of two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from relrep_sym.runtime.check import Array
from relrep_sym.runtime.conditional import kinds_of

if TYPE_CHECKING:
    from relrep_sym.runtime.chart import Chart
    from relrep_sym.runtime.mapped import Mapped
    from relrep_sym.runtime.point import Form, Parts

__all__ = ["Exponents", "Units", "by_role", "chart_in", "times"]

_NEAR = 32
"""To what power coordinates' units are rounded, where the chart does not state them."""

_SAME = 1e-9
"""By how much a closed form may differ in two units, relative: by rounding."""
_LOG2 = float(np.log(2.0))

Exponents = NDArray[np.int32]

# ------------------------------------------------------------------------------ the units


class Units(NamedTuple):
    """Powers of two.

    Attributes:
        length: a, of the unit of x.
        powers: d_i, of a length, by family parameter: no powers of two, but what makes them.
        roles: a d_i, of each family parameter.
        theta: of each entry of θ.
        steps: of each coordinate, (P,).
    """

    length: int
    powers: tuple[float, ...]
    roles: tuple[int, ...]
    theta: Exponents
    steps: Exponents

    @staticmethod
    def of(solver: Mapped, length: int, rows: Array | None, *, steps: bool = True) -> Units:
        """The units of a solver; ``rows`` are coordinates at which its chart's slopes are read."""
        form, chart = solver.form, solver.chart
        roles = tuple(int(length * d) for d in form.units)
        theta = []
        for name in chart.parameters:
            stem = name.rpartition("_")[0]
            role = next((n for n in (name, stem) if n in form.names), None)
            theta.append(0 if role is None else roles[form.names.index(role)])
        count = len(chart.coordinates)
        powers = np.zeros(count, dtype=np.int32)
        units = Units(length, form.units, roles, np.array(theta, dtype=np.int32), powers)
        if steps:
            powers[:] = _steps(chart, form, units, rows)
        return units


def _stated(chart: Chart, form: Form) -> dict[int, tuple[str, int]]:
    """Coordinates of which the chart says what gap of which family parameter they make."""
    kinds = kinds_of(chart.conditional, form.names)
    out = {j: (kind.gap, kind.role) for j, kind in enumerate(kinds) if kind.role >= 0}
    for order in chart.orders:
        role = -1 if order.multiplicative else order.role
        out |= {j: (gap, role) for j, gap in zip(order.gaps, order.kinds, strict=True)}
    return out


def _steps(chart: Chart, form: Form, units: Units, rows: Array | None) -> Exponents:
    """The coordinates' units: as stated, or of what moves θ by about its own unit."""
    count = len(chart.coordinates)
    stated = _stated(chart, form)
    out = np.zeros(count, dtype=np.int32)
    for j, (gap, role) in stated.items():
        power = units.roles[role] if role >= 0 else 0
        out[j] = {"plain": power, "square": power // 2}.get(gap, 0)
    others = [j for j in range(count) if j not in stated]
    if rows is None or not others:
        return out
    entries, batch = len(chart.parameters), rows.shape[1]
    seeds = np.broadcast_to(np.eye(entries)[:, :, None], (entries, entries, batch))
    with np.errstate(all="ignore"):
        found = chart.pull_back_model(rows, seeds)
    for j in others:
        slopes = np.abs(np.broadcast_to(found[j], (entries, batch)))
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.log2(slopes) - units.theta[:, None]
        logs = logs[np.isfinite(logs)]
        if logs.size:
            out[j] = -_NEAR * int(np.round(logs.max() / _NEAR))
    return out


# ------------------------------------------------------------------------------ the chart in them


def times(values: Any, power: Any) -> Any:
    """Values times 2^power, exactly where that is representable."""
    with np.errstate(over="ignore", under="ignore"):
        return np.ldexp(values, np.asarray(power, dtype=np.int32))


def by_role(units: Units, arrays: Sequence[Any], sign: int) -> tuple[Any, ...]:
    """Family parameters in the units (−1) or out of them (1)."""
    return tuple(
        None if a is None else times(a, sign * power) if power else a
        for a, power in zip(arrays, units.roles, strict=True)
    )


def _column(powers: Exponents, like: Array) -> Exponents:
    return powers.reshape(-1, *(1,) * (like.ndim - 1))


class _Rescaled:
    """A chart's functions in other units."""

    def __init__(self, chart: Chart, form: Form, units: Units) -> None:
        self.chart, self.units = chart, units
        self.basis = _basis(form) if chart.m_step or chart.conditional_step or chart.roots else []
        self.count = len(chart.coordinates)
        self.half = (min(0, *units.roles) + max(0, *units.roles)) // 2
        self.whole = np.concatenate([units.steps, np.zeros(len(chart.constants), dtype=np.int32)])

    def own(self, rows: Array) -> Array:
        """Rows (P + C, …) in the chart's own units."""
        return times(rows, _column(self.whole, rows))

    def components(self, rows: Array) -> Parts:
        return self._parts(self.chart.components(self.own(rows)))

    def model_components(self, theta: Array) -> Parts:
        return self._parts(self.chart.model_components(self.theta(theta)))

    def _parts(self, parts: Parts) -> Parts:
        weights, parameters, steps = parts
        return (
            weights,
            by_role(self.units, parameters, -1),
            by_role(self.units, steps, -1),
        )

    def theta(self, theta: Array) -> Array:
        """θ in the chart's own units."""
        return times(theta, _column(self.units.theta, theta))

    def to_model(self, rows: Array) -> list[Array]:
        found = self.chart.to_model(self.own(rows))
        return [times(t, -p) for t, p in zip(found, self.units.theta, strict=True)]

    def to_parameters(self, weights: Array, *parameters: Array) -> list[Array]:
        found = self.chart.to_parameters(weights, *by_role(self.units, parameters, 1))
        return [times(t, -p) for t, p in zip(found, self.units.theta, strict=True)]

    def from_model(self, theta: Array, given: Array) -> list[Array]:
        assert self.chart.from_model is not None
        found = self.chart.from_model(self.theta(theta), given)
        return [times(r, -p) for r, p in zip(found, self.units.steps, strict=True)]

    def _back(self, found: Sequence[Array | float]) -> list[Array]:
        return [times(r, p - self.half) for r, p in zip(found, self.units.steps, strict=False)]

    def _bars(self, by_family: Sequence[Array]) -> list[Array]:
        """∂/∂φ in the chart's own units, times 2^half, so that none overflows."""
        pairs = zip(by_family, self.units.roles, strict=True)
        return [times(a, self.half - power) for a, power in pairs]

    def pull_back(self, rows: Array, by_weight: Array, *by_family: Array) -> list[Array]:
        bars = self._bars(by_family)
        weights = times(by_weight, self.half)
        return self._back(self.chart.pull_back(self.own(rows), weights, *bars))

    def pull_back_model(self, rows: Array, by_theta: Array) -> list[Array]:
        bars = times(by_theta, self.half - _column(self.units.theta, by_theta))
        return self._back(self.chart.pull_back_model(self.own(rows), bars))

    def bend(self, rows: Array, along: Array, by_weight: Array, *by_family: Array) -> list[Array]:
        assert self.chart.bend is not None
        bars, weights = self._bars(by_family), times(by_weight, self.half)
        moved = times(along, _column(self.units.steps, along))
        return self._back(self.chart.bend(self.own(rows), moved, weights, *bars))

    def view(self, rows: Array) -> Sequence[Array]:
        assert self.chart.view is not None
        return self.chart.view(self.own(rows))

    def push_view(self, rows: Array, speed: Array) -> Sequence[Array]:
        assert self.chart.push_view is not None
        moved = times(speed, _column(self.units.steps, speed))
        return self.chart.push_view(self.own(rows), moved)

    def clearances(self, given: Array) -> list[list[Array | float]]:
        assert self.chart.clearances is not None
        return [
            list(links)
            if order.multiplicative
            else [times(c, -self.units.roles[order.role]) for c in links]
            for order, links in zip(self.chart.orders, self.chart.clearances(given), strict=True)
        ]

    def m_step(self, mass: Array, means: Array, *old: Array) -> Any:
        step = self.chart.m_step
        assert step is not None
        return self._in_any(lambda units, *a: step(mass, self._means(units, means), *a), old)

    def conditional_step(self, mass: Array, means: Array, *old: Array) -> Any:
        step = self.chart.conditional_step
        assert step is not None
        found = self._in_any(
            lambda units, *a: (None, step(mass, self._means(units, means), *a)), old
        )
        return found[1]

    def median_step(self, mass: Array, spread: Array, *old: Array) -> Any:
        assert self.chart.medians is not None
        step = self.chart.medians.step
        return self._in_any(lambda units, *a: step(mass, times(spread, units.length), *a), old)

    def tension(self, *old: Array) -> Array:
        assert self.chart.medians is not None
        return self.chart.medians.tension(*by_role(self.units, old, 1))

    def _means(self, units: Units, means: Array) -> Array:
        """Means of the basis functions, in units of which these are one."""
        out = np.array(means)
        for row, (power, logarithm) in zip(out, self.basis, strict=True):
            row[...] = times(row, int(power * units.length))
            row += logarithm * units.length * _LOG2
        return out

    def _in_any(self, step: Callable[..., Any], old: Sequence[Array]) -> Any:
        """A closed form (weights, parameters), in these units if it is the same in every unit.

        It is not where the model has fixed lengths, which are numbers in it: then it is computed in
        the chart's own units.
        """
        with np.errstate(all="ignore"):
            here = step(self.units._replace(length=0), *old)
            roles = tuple(int(4 * d) for d in self.units.powers)
            again = self._moved(step, old, self.units._replace(length=4, roles=roles))
            if _same(here, again):
                return here
            return self._moved(step, old, self.units)

    def _moved(self, step: Callable[..., Any], old: Sequence[Array], units: Units) -> Any:
        shares, parameters = step(units, *by_role(units, old, 1))
        return shares, by_role(units, parameters, -1)

    def terms(self, mass: Array, means: Array, *old: Array) -> tuple[Array, Array]:
        """Polynomials in a coordinate, its unit in their coefficients."""
        roots = self.chart.roots
        assert roots is not None
        with np.errstate(all="ignore"):
            moved = self._means(self.units, means)
            found = roots.terms(mass, moved, *by_role(self.units, old, 1))
            step = int(self.units.steps[roots.coordinate])
            above, below = (times(t, step * np.arange(len(t))[:, None, None]) for t in found)
            return above, below


def _same(here: Any, there: Any) -> bool:
    """Whether two results of a closed form are one, to rounding; both may hold None and NaN."""
    pairs = [(here[0], there[0]), *zip(here[1], there[1], strict=True)]
    return all(
        (a is None) == (b is None)
        and (a is None or np.allclose(a, b, rtol=_SAME, atol=0.0, equal_nan=True))
        for a, b in pairs
    )


def _basis(form: Form) -> list[tuple[float, float]]:
    """How each basis function b_j follows a change of the unit of x: (power, whether as log x).

    Most are functions of (x − μ)/σ, which has no unit; x itself, or its logarithm, has one.
    """
    at = [0.5 if positive else 0.0 for positive in form.positive]
    values = []
    for length in (0, 4):
        moved = [
            np.full((form.components, 1), np.ldexp(v, int(length * d)))
            for v, d in zip(at, form.units, strict=True)
        ]
        shape = (form.components, 1, 1)
        rows = tuple(np.empty(shape if form.own else (1, 1, 1)) for _ in range(form.basis))
        coefficients, _ = form.prepare(*moved)
        x = np.full(1, np.ldexp(0.75, length))
        form.block(x, tuple(c[..., None] for c in coefficients), rows, np.empty(shape))
        values.append([float(b[0, 0, 0]) for b in rows])
    out = []
    for first, second in zip(*values, strict=True):
        power = 0.0 if first == 0.0 else np.round(np.log2(second / first) / 2.0) / 2.0
        if np.isclose(first * 2.0 ** (4 * power), second, rtol=_SAME, atol=0.0):
            out.append((power, 0.0))
        else:
            out.append((0.0, (second - first) / (4 * _LOG2)))
    return out


def chart_in(chart: Chart, form: Form, units: Units) -> Chart:
    """The chart in other units."""
    made = _Rescaled(chart, form, units)
    changed: dict[str, Any] = {
        name: getattr(made, name)
        for name in (
            "components to_model pull_back pull_back_model model_components to_parameters "
            "from_model bend view push_view clearances m_step conditional_step"
        ).split()
        if getattr(chart, name) is not None
    }
    if chart.medians is not None:
        changed["medians"] = chart.medians._replace(tension=made.tension, step=made.median_step)
    if chart.roots is not None:
        changed["roots"] = chart.roots._replace(terms=made.terms)
    gaps = [1.0] * made.count
    for j, (gap, role) in _stated(chart, form).items():
        if gap in ("exp", "softplus") and role >= 0:
            gaps[j] = float(times(1.0, units.roles[role]))
    for name in ("lower", "upper"):
        ends = getattr(chart, name)
        changed[name] = tuple(times(np.array(ends), -made.whole).tolist())
    return chart._replace(gap_units=tuple(gaps), **changed)
