"""A model in other units of x, where its own are extreme.

In: a solver whose scales are beyond 2^±64, and what a method was asked. Out: the same, computed by
a solver of the same model whose unit of x is a power of two near its scales, so that no square or
fourth power on the way over- or underflows; results are given back in the caller's units, exactly.

A change of units is a chart: with x = 2^a x′, parameters φ_i = 2^(a d_i) φ′_i and coordinates
λ_j = 2^(q_j) λ′_j the chart's functions are those that were generated, each multiplied with powers
of two. The powers d_i belong to the family (``Form.units``), q_j is read off the chart's slopes.
Members of a batch in different units are computed apart.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from functools import lru_cache, partial, wraps
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from relrep_sym.errors import DataError, DomainError, problem
from relrep_sym.runtime import check
from relrep_sym.runtime.check import Array
from relrep_sym.runtime.criteria import Criteria, information_criteria
from relrep_sym.runtime.fitted import Fit, State
from relrep_sym.runtime.natural import Natural
from relrep_sym.runtime.step import Step
from relrep_sym.runtime.unit_chart import Exponents, Units, by_role, chart_in, times

if TYPE_CHECKING:
    from relrep_sym.runtime.mapped import Mapped
    from relrep_sym.runtime.point import Components, Form

__all__ = ["Extreme", "in_units", "insist_units"]

_STEP = 64
"""Units are powers of 2^64; a model whose scales are within 2^±64 keeps its own."""
_LOW, _HIGH = 2.0**-_STEP, 2.0**_STEP
_LOG2 = float(np.log(2.0))

Method = TypeVar("Method", bound=Callable[..., Any])


class Extreme(Exception):
    """A model whose scales are far from one was met on the way in: other units are to be used."""


# ------------------------------------------------------------------------------ when


@lru_cache(maxsize=64)
def _positive(units: tuple[float, ...], positive: tuple[bool, ...]) -> list[tuple[int, float]]:
    pairs = enumerate(zip(units, positive, strict=False))
    return [(i, d) for i, (d, above) in pairs if d and above]


def _lengths(form: Form) -> list[tuple[int, float]]:
    """Positive family parameters that are powers of a length, with the powers."""
    return _positive(form.units, form.positive)


def insist_units(form: Form, found: Components) -> None:
    """Raise :class:`Extreme` where a member's scales are beyond 2^±64."""
    for i, d in _lengths(form):
        values = found.parameters[i]
        if abs(d) < 1.0:
            values = values ** (1.0 / d)
        if not (np.minimum.reduce(values, axis=None) > _LOW
                and np.maximum.reduce(values, axis=None) < _HIGH):  # fmt: skip
            if _exponents(form, found).any():
                raise Extreme
            return


def _exponents(
    form: Form, found: Components, truth: Any = None, width: float | None = None
) -> Exponents:
    """For each member the power of two that is its unit, (B,): a multiple of 64.

    It is in the middle of the member's scales, of the truth's where there is one, and of a sample's
    range, whose logarithm is ``width``.
    """
    each = [np.log2(found.parameters[i]) / d for i, d in _lengths(form)]
    if not each:
        return np.zeros(found.weights.shape[1], dtype=np.int32)
    logs = np.concatenate(each)
    if width is not None:
        logs = np.concatenate([logs, np.full_like(logs[:1], width)])
    if hasattr(truth, "arrays"):
        truth = tuple(truth.arrays())
    mixture = isinstance(truth, tuple | list) and not hasattr(truth, "nodes")
    if mixture and len(truth) == 1 + len(form.names):
        with np.errstate(divide="ignore", invalid="ignore"):
            for i, d in _lengths(form):
                more = np.log2(np.asarray(truth[1 + i], dtype=float).reshape(-1, 1)) / d
                more = np.broadcast_to(more, (len(more), logs.shape[1]))
                logs = np.concatenate([logs, more[np.isfinite(more).all(axis=1)]])
    middle = 0.5 * (logs.min(axis=0) + logs.max(axis=0))
    return _rounded(middle)


def _rounded(logs: Array) -> Exponents:
    far = np.abs(logs) > _STEP
    return np.where(far, _STEP * np.round(logs / _STEP), 0.0).astype(np.int32)


def _width(form: Form, x: Any) -> float | None:
    """The logarithm of a sample's range, on a half-line of its largest; None where it has none."""
    try:
        values = check.numbers(x, "x")
    except DataError:  # refused where it is checked
        return None
    if not values.size:
        return None
    with np.errstate(over="ignore"):
        width = float(values.max()) - (float(values.min()) if form.support == "line" else 0.0)
    return float(np.log2(width)) if 0.0 < width < np.inf else None


# ------------------------------------------------------------------------------ what goes in


class _Way:
    """A solver in other units, what goes into it and what comes out."""

    def __init__(self, solver: Mapped, units: Units) -> None:
        self.units, self.form = units, solver.form
        self.inner = copy(solver)
        self.inner.chart = chart_in(solver.chart, solver.form, units)
        self.inner.units = units

    def going_in(self, name: str, value: Any) -> Any:
        """An argument by its name."""
        u = self.units
        if value is None or isinstance(value, str):
            return value
        if name == "x":
            return times(check.numbers(value, "x"), -u.length)
        if name in ("coords", "start"):
            return times(value, -u.steps)
        if name == "truth":
            return self._truth(value)
        if name == "rate":
            return times(check.numbers(value, "rate"), -2 * u.steps)
        if name == "floor" and isinstance(value, int | float | np.number):
            scale = self.form.scale
            return value if scale is None else float(times(float(value), -u.roles[scale]))
        if name == "callback":
            return partial(self._told, value)
        return value

    def _told(self, callback: Callable[[State], object], state: State) -> object:
        return callback(
            replace(
                state,
                coords=times(state.coords, self.units.steps),
                log_likelihood=state.log_likelihood - self.units.length * _LOG2,
            )
        )

    def _truth(self, value: Any) -> Any:
        if hasattr(value, "arrays"):
            value = tuple(value.arrays())
        if not isinstance(value, tuple | list):
            return value
        if getattr(value, "_fields", None) == ("nodes", "weights"):
            return value._replace(nodes=self.going_in("x", value[0]))  # type: ignore[union-attr]
        if len(value) == 2 and len(self.form.names) != 1:
            return self.going_in("x", value[0]), value[1]
        if len(value) != 1 + len(self.form.names):
            return value
        rows = [check.numbers(v, "the truth") for v in value[1:]]
        return value[0], *by_role(self.units, rows, -1)

    # -------------------------------------------------------------------------- what comes out

    def coming_out(self, kind: str, value: Any, bound: dict[str, Any]) -> Any:
        """A result of a kind: see :func:`in_units`."""
        u = self.units
        if isinstance(value, Step):
            forces = {
                n: self._back(m, -int(u.steps[self.inner.chart.coordinates.index(n)]))
                for n, m in value.multipliers.items()
            }
            return replace(value, coords=self._back(value.coords, u.steps), multipliers=forces)
        if isinstance(value, Fit):
            theta = {
                n: self._plain(v, int(p))
                for (n, v), p in zip(value.parameters.items(), u.theta, strict=True)
            }
            return replace(
                value,
                coords=self._back(value.coords, u.steps),
                parameters=theta,
                history=value.history - u.length * _LOG2,
                path=self._back(value.path, u.steps),
            )
        if isinstance(value, Natural):
            return value._replace(field=self._back(value.field, u.steps))
        if isinstance(value, Criteria):
            shift = u.length * _LOG2
            mean = value.log_likelihood / value.points - shift
            return information_criteria(mean, value.parameters, value.points)
        if kind == "density":
            return value - u.length * _LOG2
        if kind == "gradient":
            return self._back(value, -u.steps)
        if kind == "second":
            return self._matrix(value, -u.steps)
        if kind == "coords":
            if isinstance(value, tuple):
                path, stops = value
                moved = [s._replace(coords=self._back(s.coords, u.steps)) for s in stops]
                return self._back(path, u.steps), moved
            return self._back(value, u.steps)
        if kind == "nodes":
            return value._replace(nodes=self._back(value.nodes, u.length))
        powers = {"coordinates": u.steps, "parameters": u.theta}.get(bound.get("of", ""))
        if powers is None:
            return value
        if kind == "covariance":
            return self._matrix(value, powers)
        if kind == "errors":
            return self._back(value, powers)
        if kind == "intervals":
            return self._back(value, powers[:, None])
        return value

    @staticmethod
    def _plain(value: Any, power: int) -> Any:
        found = times(value, power)
        return float(found) if isinstance(value, float) else found

    def _back(self, value: Any, power: Any) -> Any:
        out = times(value, power)
        lost = np.isinf(out) & np.isfinite(value)
        if lost.any():
            raise self._outside("over", np.asarray(value)[lost].flat[0], power)
        return out

    def _matrix(self, value: Array, steps: Exponents) -> Array:
        """Entries times 2^(p_i + p_j); one that counts beside the diagonal must not underflow."""
        power = steps[:, None] + steps
        out: Array = self._back(value, power)
        size = np.sqrt(np.abs(np.einsum("...ii->...i", value)))
        whole = size[..., :, None] * size[..., None, :]
        tiny = np.finfo(float).tiny
        lost = (np.abs(out) < tiny) & (value != 0.0) & (times(whole, power) < tiny) & (whole > 0)
        if lost.any():
            raise self._outside("under", value[lost].flat[0], power)
        return out

    def _outside(self, how: str, value: float, power: Any) -> DomainError:
        return DomainError(
            problem(
                f"a result {how}flows double precision in the units of these coordinates",
                f"{value:.6g} times 2^{int(np.max(power) if how == 'over' else np.min(power))}",
                "another unit of x, such as one near the scales of the model",
            )
        )


def in_units(kind: str) -> Callable[[Method], Method]:
    """A method that computes an extreme model in other units.

    ``kind`` says how its result follows the units: ``"same"``; ``"density"``, a logarithm of one;
    ``"gradient"`` and ``"second"``, derivatives by the coordinates; ``"coords"``; ``"nodes"``;
    ``"covariance"``, ``"errors"`` and ``"intervals"`` of what ``of=`` says. A ``"fit"`` has units
    between the sample's and its starts'.
    """

    def made(method: Method) -> Method:
        signature = inspect.signature(method)

        @wraps(method)
        def run(self: Any, *arguments: Any, **named: Any) -> Any:
            width: float | None = None
            if kind == "fit" and self.units is None and self.form.units:
                width = _width(self.form, arguments[0] if arguments else named.get("x"))
            if width is None or abs(width) <= _STEP:
                try:
                    return method(self, *arguments, **named)
                except Extreme:
                    pass
            bound = signature.bind(self, *arguments, **named)
            bound.apply_defaults()
            given = dict(bound.arguments)
            given |= given.pop("options", {})
            del given["self"]
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                found = _again(self, method, kind, given, width)
            for warning in said:  # at the line of the generated module's user
                warnings.warn(warning.message, stacklevel=3)
            return found

        return run  # type: ignore[return-value]

    return made


_ARRAYS = ("same", "density", "gradient", "second", "covariance", "errors", "intervals")
"""Kinds of results that are arrays over the members of a batch."""


def _again(
    solver: Mapped, method: Any, kind: str, given: dict[str, Any], width: float | None
) -> Any:
    """The method in other units, each member of a batch in its own where members are apart."""
    name = "start" if "start" in given else "coords"
    out = given.pop("out", None)
    if isinstance(given[name], str):
        length = 0 if width is None else int(_rounded(np.array([width]))[0])
        return _called(solver, method, kind, given, length, None)
    points = solver._coords(given[name])
    count = len(solver.chart.coordinates)
    flat = points.rows[:count].T
    model = solver._components(points.rows)
    each = _exponents(solver.form, model, given.get("truth"), width)
    if len(np.unique(each)) == 1 or kind not in _ARRAYS or solver.chart.constants:
        length = int(_rounded(np.array([np.median(each)]))[0])
        sent = {**given, name: flat.reshape(*points.shape, count)}
        found = _called(solver, method, kind, sent, length, points.rows)
    else:
        parts: dict[int, Any] = {}
        for one in np.unique(each):
            some = np.flatnonzero(each == one)
            sent = {**given, name: flat[some]}
            here = _called(solver, method, kind, sent, int(one), points.rows[:, some])
            parts |= dict(zip(some.tolist(), here, strict=True))
        found = np.array([parts[b] for b in range(len(each))])
        found = found.reshape(*points.shape, *found.shape[1:])
    return check.filled(found, out)


def _insist_within(given: dict[str, Any], sent: dict[str, Any]) -> None:
    """Refuse points that overflow in the unit of the model's scales."""
    if "x" not in given:
        return
    before, after = (np.asarray(v["x"]) for v in (given, sent))
    if after.dtype.kind == "f" and before.dtype.kind in "fiu":
        lost = np.isfinite(before) & ~np.isfinite(after)
        if lost.any():
            at, right = before[lost].flat[0], "points within 1e150 scales of each component"
            raise DomainError(problem("a log-density overflows double precision", at, right))


def _called(
    solver: Mapped,
    method: Any,
    kind: str,
    given: dict[str, Any],
    length: int,
    rows: Array | None,
) -> Any:
    # uphill along the gradient itself, which depends on the units of the coordinates
    climbs = "rate" in given or given.get("method") == "gradient_em"
    steepest = climbs and given.get("rate") is None and given.get("method") in (None, "gradient_em")
    way = _Way(solver, Units.of(solver, length, rows, steps=not steepest))
    sent = {n: way.going_in(n, v) for n, v in given.items()}
    _insist_within(given, sent)
    if (kind == "flow" or "rates" in given) and given.get("field", "gradient") == "gradient":
        rates = 1.0 if given.get("rates") is None else given["rates"]
        sent["rates"] = times(check.numbers(rates, "rates"), -2 * way.units.steps)
    try:
        found = method(way.inner, **sent)
    except DomainError as why:
        raise DomainError(f"{why} (here x is measured in units of 2^{length})") from None
    return way.coming_out("coords" if kind == "flow" else kind, found, given)
