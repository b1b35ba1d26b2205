"""Certification of a series: every coefficient against the oracle's own expansion.

In: an :class:`~relrep_sym.expansion.Expansion`, a truth or a weighted sample, a point. Out: a
:class:`SeriesCertificate`. The oracle gets the family's log-density, the chart's map, the view's
functions and the path of coordinates as callables; that the path is the view's inverse it checks
itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import mpmath
import sympy as sp
from mpmath import mp

from relrep_sym.declare.parser import number
from relrep_sym.declare.truth import Truth
from relrep_sym.equations.nodes import Expectation, LogSumExp, Responsibility
from relrep_sym.equations.series import Moment, Series
from relrep_sym.errors import CertificateError, DataError, DeclarationError, DomainError, problem
from relrep_sym.oracle_input import callable_of, components_of, density_of
from relrep_sym.verify.expansion import Expansion as Judge
from relrep_sym.verify.expansion import Path, average
from relrep_sym.verify.jets import WORKING

if TYPE_CHECKING:
    from relrep_sym.expansion import Expansion

__all__ = ["SeriesCertificate", "SeriesEntry", "certify_series"]

Function = Callable[[Any], Sequence[Any]]
Found = Sequence[tuple[Any, Any]]
"""Pairs (mean, mean absolute value)."""
_MOST_DIGITS = 40
_SLACK = 6
"""Digits carried beyond those that are certified."""
_NEAR = 2.0**-10
"""An overlap at which the oracle looks where the mixture lives."""
_SOME_X = {
    "line": tuple(sp.Rational(*pq) for pq in ((-7, 4), (-1, 3), (1, 2), (6, 5), (5, 1))),
    "half-line": tuple(sp.Rational(*pq) for pq in ((1, 8), (1, 2), (4, 3), (5, 1))),
    "integers": tuple(map(sp.Integer, (0, 1, 2, 4, 7))),
}
"""Where a log-density is looked at, and the sample that stands for a truth where none is given: a
coefficient is linear in the truth, so that a few points tell its formula."""
_CANDIDATES = tuple(
    sp.Rational(*pq) for pq in ((1, 3), (1, 2), (3, 5), (3, 4), (5, 4), (-1, 3), (2, 5))
)
_TRIALS, _LEAST = 500, 0.05


@dataclass(frozen=True)
class SeriesEntry:
    """One coefficient: ours, the oracle's, and their difference over the mean absolute summand."""

    row: str
    power: int
    value: Any
    reference: Any
    error: float


@dataclass(frozen=True)
class SeriesCertificate:
    """The measured error of every coefficient, at one point and under one truth."""

    label: str
    digits: int
    point: str
    truth: str
    entries: tuple[SeriesEntry, ...]

    @property
    def worst(self) -> SeriesEntry:
        """The coefficient with the largest error."""
        return max(self.entries, key=lambda e: e.error)

    @property
    def ok(self) -> bool:
        """Whether every coefficient has its digits."""
        return self.worst.error <= 10.0**-self.digits

    def check(self) -> SeriesCertificate:
        """The certificate itself; CertificateError where a coefficient misses its digits."""
        if not self.ok:
            e = self.worst
            wrong = f"{self.label}: the coefficient of order {e.power} in {e.row} at {self.point}"
            right = f"{mpmath.nstr(e.reference, self.digits)}, to {self.digits} digits"
            raise CertificateError(problem(wrong, mpmath.nstr(e.value, self.digits), right))
        return self

    def __str__(self) -> str:
        e = self.worst
        return (
            f"{self.label}: {len(self.entries)} coefficients to {self.digits} digits at "
            f"{self.point}, truth {self.truth}; worst {e.error:.1e} (order {e.power} in {e.row})"
        )


@dataclass(frozen=True)
class _Sample:
    """A weighted sample, exact: the mean of a function is a sum."""

    points: tuple[sp.Expr, ...]
    weights: tuple[sp.Expr, ...]

    def __str__(self) -> str:
        return f"sample {', '.join(map(str, self.points))}"

    def moments(self, n: int, about: sp.Expr) -> list[sp.Expr]:
        """Σ w (x − about)^k, k = 0 … n."""
        pairs = list(zip(self.points, self.weights, strict=True))
        return [sp.Add(*(w * (x - about) ** k for x, w in pairs)) for k in range(n + 1)]

    def mean(self, fn: Function) -> Found:
        """Σ w fn(x) and Σ w |fn(x)|."""
        shares = [_mpf(w) for w in self.weights]
        columns = list(zip(*(fn(_mpf(x)) for x in self.points), strict=True))
        return [(mp.fdot(shares, c), mp.fdot(shares, map(abs, c))) for c in columns]


@dataclass(frozen=True)
class _Mixture:
    """A truth in numbers: means are the oracle's integrals."""

    truth: Truth
    judge: Judge
    digits: int
    growth: int

    def __str__(self) -> str:
        rows = [self.truth.weights, *self.truth.parameters]
        return "truth " + "; ".join(", ".join(map(str, row)) for row in rows)

    def moments(self, n: int, about: sp.Expr) -> Sequence[sp.Expr]:
        """The truth's own, exact."""
        return self.truth.moments(n, about)

    def mean(self, fn: Function) -> Found:
        """By quadrature."""
        arrays = [[_mpf(v) for v in row] for row in (self.truth.weights, *self.truth.parameters)]
        near = _near(self.judge)
        return average(fn, self.judge.path.density, arrays, near, self.digits, self.growth)


def certify_series(
    expansion: Expansion, truth: object, at: Mapping[str, object] | None, digits: int
) -> SeriesCertificate:
    """See :meth:`relrep_sym.expansion.Expansion.certify`."""
    if isinstance(digits, bool) or not isinstance(digits, int) or not 1 <= digits <= _MOST_DIGITS:
        raise DeclarationError(problem("digits is out of range", digits, f"1 to {_MOST_DIGITS}"))
    series = expansion.series
    point = _point(expansion, at)
    low = min((n for r in series.rows for n in r.coefficients), default=0)
    order = max(r.remainder for r in series.rows) - 1
    with mp.workdps(WORKING):
        judge = Judge(_path(series, point), order, digits + _SLACK, min(low, 0))
        used = _truth(series, truth, judge)
        if series.of == "log_density":
            entries = _at_points(series, judge, point)
        else:
            found = used.mean(judge.rates if series.of == "averaged" else judge.log_density)
            entries = list(_entries(series, judge, found, _averaged(series, point, used), ""))
    shown = ", ".join(f"{s} = {v}" for s, v in point.items())
    return SeriesCertificate(expansion.label, digits, shown, str(used), tuple(entries))


def _some_x(support: str | tuple[object, ...]) -> tuple[sp.Expr, ...]:
    """Points of a support at which log-densities are compared."""
    if isinstance(support, str):
        return _SOME_X[support]
    kind, *ends = support
    if kind == "finite":
        return tuple(sp.Rational(str(x)) for x in ends[0])  # type: ignore[attr-defined]
    low, high = (sp.Rational(str(e)) for e in ends)
    if kind == "integers":
        return tuple(low + n for n in range(min(5, int(high - low) + 1)))
    return tuple(low + (high - low) * sp.Rational(n, 7) for n in range(1, 6))


def _truth(series: Series, truth: object, judge: Judge) -> _Sample | _Mixture:
    """What means are taken under: a truth in numbers, or a weighted sample."""
    if truth is not None and series.truth is not None and truth != series.truth:
        right = "the truth that the series was derived under, or none"
        raise DataError(problem("the series is under another truth", str(truth), right))
    used = series.truth if truth is None else truth
    family = series.overlap.family
    if used is None:
        points = _some_x(family.support)
        return _Sample(points, (sp.Rational(1, len(points)),) * len(points))
    if isinstance(used, Truth) and not used.symbols and used.family == family:
        return _Mixture(used, judge, judge.digits - _SLACK // 2, 2 * series.order)
    if isinstance(used, tuple | list) and len(used) == 2 and len(used[0]) == len(used[1]) > 0:
        points = tuple(number(x, where="a node") for x in used[0])
        weights = [number(w, where="a weight") for w in used[1]]
        total = sp.Add(*weights)
        if all(w.is_nonnegative for w in weights) and total.is_positive:
            return _Sample(points, tuple(w / total for w in weights))
    given = used if isinstance(used, Truth) else type(used).__name__
    right = f"an rs.truth(…) of the {family.name} family in numbers, or (nodes, weights)"
    raise DataError(problem("a certificate is under no such truth", given, right))


def _at_points(
    series: Series, judge: Judge, point: Mapping[sp.Symbol, sp.Expr]
) -> list[SeriesEntry]:
    """A log-density at some x, one after the other."""
    entries: list[SeriesEntry] = []
    for x in _some_x(series.overlap.family.support):
        ours = _spelled_out({**point, series.overlap.family.x: x})
        found = [(v, abs(v)) for v in judge.log_density(_mpf(x))]
        entries += _entries(series, judge, found, ours, f" at x = {x}")
    return entries


def _entries(
    series: Series,
    judge: Judge,
    found: Found,
    ours: Callable[[sp.Expr], Any],
    where: str,
) -> Iterator[SeriesEntry]:
    width = judge.order - judge.low + 1
    for i, row in enumerate(series.rows):
        for n in range(judge.low, row.remainder):
            reference, scale = found[i * width + n - judge.low]
            value = ours(row.coefficients.get(n, sp.Integer(0)))
            error = float(abs(value - reference) / (1 + abs(reference) + scale))
            yield SeriesEntry(row.name + where, n, value, reference, error)


def _mpf(value: sp.Expr) -> Any:
    return mpmath.mpmathify(sp.N(value, mp.dps))


# ------------------------------------------------------------------------------ the oracle's side


def _path(series: Series, point: Mapping[sp.Symbol, sp.Expr]) -> Path:
    chart, solved = series.view.chart, series.overlap.solved
    symbols = series.view.symbols
    back = [callable_of(symbols, solved.coordinates[s]) for s in chart.symbols]
    forth = [callable_of(chart.symbols, e) for e in series.view.expressions]
    values = {s: _mpf(v) for s, v in point.items()}
    vanishing = series.overlap.vanishing

    def seen(e: Any) -> list[Any]:
        return [values.get(s, mp.one) * e if s in vanishing else values[s] for s in symbols]

    return Path(
        density_of(chart.model.family),
        components_of(chart),
        lambda c: [f(*c) for f in forth],
        lambda e: [f(*seen(e)) for f in back],
        seen,
    )


def _near(judge: Judge) -> list[list[Any]]:
    """The mixture near the overlap, as arrays: where it lives, for the oracle's quadrature."""
    with mp.workdps(judge.precision):
        weights, phis = judge.path.components(judge.path.coordinates(mpmath.mpf(_NEAR)))
    columns = [weights, *zip(*phis, strict=True)]
    return [[mpmath.re(v) for v in column] for column in columns]


# ------------------------------------------------------------------------------ our side


def _spelled_out(values: Mapping[sp.Symbol, sp.Expr]) -> Callable[[sp.Expr], Any]:
    """A coefficient in x at numbers, posteriors written out."""

    def value(coefficient: sp.Expr) -> Any:
        return _mpf(_without_nodes(coefficient).xreplace(dict(values)))

    return value


def _averaged(
    series: Series, point: Mapping[sp.Symbol, sp.Expr], under: _Sample | _Mixture
) -> Callable[[sp.Expr], Any]:
    """A coefficient at numbers: M_n by exact moments, E_q[…] as what it says."""
    x, centre = series.overlap.family.x, series.centre.xreplace(dict(point))
    whole = [c for r in series.rows for c in r.coefficients.values()]
    powers = [m.power for c in whole for m in c.atoms(Moment)]
    exact = under.moments(max(powers, default=0), centre)
    nodes = sorted({e for c in whole for e in c.atoms(Expectation)}, key=sp.default_sort_key)
    means: dict[sp.Basic, Any] = {}
    if nodes:
        plain = [_without_nodes(e.args[0]).xreplace(dict(point)) for e in nodes]
        kernels = [callable_of([x], e) for e in plain]
        found = under.mean(lambda value: [f(value) for f in kernels])
        means = {e: m for e, (m, _) in zip(nodes, found, strict=True)}

    def value(coefficient: sp.Expr) -> Any:
        held = {m: exact[m.power] for m in coefficient.atoms(Moment)}
        held |= {e: sp.Float(means[e], mp.dps) for e in coefficient.atoms(Expectation)}
        return _mpf(coefficient.xreplace(held).xreplace(dict(point)))

    return value


def _without_nodes(expression: sp.Expr) -> sp.Expr:
    return expression.replace(
        lambda e: isinstance(e, Responsibility | LogSumExp),
        lambda e: e.rewrite(sp.exp) if isinstance(e, Responsibility) else e.rewrite(sp.log),
    )


# ------------------------------------------------------------------------------ where, by default


def _point(expansion: Expansion, at: Mapping[str, object] | None) -> dict[sp.Symbol, sp.Expr]:
    """The view's remaining functions, exactly; where none are given, numbers that it reaches."""
    held = expansion._held
    symbols = {s.name: s for s in expansion.series.view.symbols}
    if at is not None:
        if not isinstance(at, Mapping) or set(at) != set(held):
            raise DeclarationError(
                problem("a point in the view", at, "a number for each of " + ", ".join(held))
            )
        return {symbols[n]: number(at[n], where=n) for n in held}
    for trial in range(_TRIALS):
        found = {
            n: _CANDIDATES[(trial * (i + 1) + 3 * i) % len(_CANDIDATES)] for i, n in enumerate(held)
        }
        if _reached(expansion, found):
            return {symbols[n]: v for n, v in found.items()}
    raise DomainError(problem("no point of the view is found", ", ".join(held), "at= given"))


def _reached(expansion: Expansion, held: Mapping[str, sp.Expr]) -> bool:
    """Whether the chart has coordinates here, near the overlap, and the mixture is one."""
    series = expansion.series
    solved, overlap = series.overlap.solved, series.overlap
    for e in (sp.Rational(_NEAR), -sp.Rational(_NEAR)):
        values = {
            s: held.get(s.name, 1) * e if s in overlap.vanishing else held[s.name]
            for s in solved.view.symbols
        }
        try:
            expansion._coordinates({s.name: float(v) for s, v in values.items()})
        except DomainError:
            continue
        weights = [float(w.xreplace(values)) for w in solved.weights]
        pairs = [
            (p, v.xreplace(values))
            for phi in solved.parameters
            for p, v in zip(overlap.family.parameters, phi, strict=True)
        ]
        if min(weights) > _LEAST and not any(p.domain.proves_violation(v) for p, v in pairs):
            return True
    return False
