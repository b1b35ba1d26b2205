"""Certification of a series: every coefficient against the oracle's own expansion.

In: an :class:`~relrep_sym.expansion.Expansion`, a truth in numbers, a point. Out: a
:class:`SeriesCertificate`. The oracle gets the family's log-density, the chart's map, the view's
functions and the path of coordinates as callables; that the path is the view's inverse it checks
itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import mpmath
import sympy as sp
from mpmath import mp

from relrep_sym.certify import _callable, _components, _density, oracle_of
from relrep_sym.declare.parser import number
from relrep_sym.declare.truth import Truth
from relrep_sym.equations.nodes import Expectation, LogSumExp, Responsibility
from relrep_sym.equations.series import Moment, Series
from relrep_sym.errors import CertificateError, DataError, DeclarationError, DomainError, problem
from relrep_sym.verify.expansion import Expansion as Judge
from relrep_sym.verify.expansion import Path
from relrep_sym.verify.oracle import OracleAt

if TYPE_CHECKING:
    from relrep_sym.expansion import Expansion

__all__ = ["SeriesCertificate", "SeriesEntry", "certify_series"]

_MOST_DIGITS = 40
_SLACK = 10
"""Digits carried beyond those that are certified."""
_NEAR = 2.0**-10
"""An overlap at which the oracle looks where the mixture lives."""
_SOME_X = {
    "line": (sp.Rational(-7, 4), sp.Rational(1, 2), sp.Rational(5)),
    "half-line": (sp.Rational(1, 8), sp.Rational(1, 2), sp.Rational(5)),
    "integers": (sp.Integer(0), sp.Integer(2), sp.Integer(7)),
}
"""Where a log-density is looked at."""
_SOME = {
    "real": (sp.Rational(-3, 4), sp.Rational(5, 4)),
    "positive": (sp.Rational(3, 4), sp.Rational(9, 8)),
    "nonnegative": (sp.Rational(3, 4), sp.Rational(9, 8)),
    "unit": (sp.Rational(1, 4), sp.Rational(2, 3)),
}
"""The parameters of a truth's two components where none is given, by domain."""
_CANDIDATES = tuple(
    sp.Rational(*pq) for pq in ((1, 3), (1, 4), (3, 5), (1, 2), (5, 4), (-1, 3), (2, 7))
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


def certify_series(
    expansion: Expansion, truth: Truth | None, at: Mapping[str, object] | None, digits: int
) -> SeriesCertificate:
    """See :meth:`relrep_sym.expansion.Expansion.certify`."""
    if isinstance(digits, bool) or not isinstance(digits, int) or not 1 <= digits <= _MOST_DIGITS:
        raise DeclarationError(problem("digits is out of range", digits, f"1 to {_MOST_DIGITS}"))
    series = expansion.series
    used = truth if truth is not None else series.truth
    used = _default_truth(series) if used is None else used
    if not isinstance(used, Truth) or used.symbols or used.family != series.overlap.family:
        given = used if isinstance(used, Truth) else type(used).__name__
        raise DataError(problem("a certificate is under a truth in numbers", given, "rs.truth(…)"))
    if series.truth is not None and series.truth != used:
        right = "the truth that the series was derived under, or none"
        raise DataError(problem("the series is under another truth", str(used), right))
    point = _point(expansion, at)
    with mp.workdps(3 * _MOST_DIGITS):
        return _certified(expansion, used, point, digits)


def _certified(
    expansion: Expansion, truth: Truth, point: dict[sp.Symbol, sp.Expr], digits: int
) -> SeriesCertificate:
    series = expansion.series
    low = min((n for r in series.rows for n in r.coefficients), default=0)
    order = max(r.remainder for r in series.rows) - 1
    judge = Judge(_path(series, point), order, digits + _SLACK, min(low, 0))
    entries: list[SeriesEntry] = []
    if series.of == "log_density":
        x = series.overlap.family.x
        for where in _SOME_X[series.overlap.family.support]:
            ours = _spelled_out(series, {**point, x: where})
            found = [(v, abs(v)) for v in judge.log_density(_mpf(where))]
            entries += _entries(series, judge, found, ours, f" at x = {where}")
    else:
        here = _oracle_at(expansion, judge, point, digits + _SLACK // 2)
        arrays = [[_mpf(v) for v in row] for row in (truth.weights, *truth.parameters)]
        wanted = judge.rates if series.of == "averaged" else judge.log_density
        found = [(m.value, m.scale) for m in here.expect(wanted, arrays)]
        entries += _entries(series, judge, found, _averaged(series, truth, point, here, arrays), "")
    shown = ", ".join(f"{s} = {v}" for s, v in point.items())
    return SeriesCertificate(expansion.label, digits, shown, _named(truth), tuple(entries))


def _entries(
    series: Series,
    judge: Judge,
    found: Sequence[tuple[Any, Any]],
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


def _named(truth: Truth) -> str:
    rows = [truth.weights, *truth.parameters]
    return "; ".join(", ".join(map(str, row)) for row in rows)


# ------------------------------------------------------------------------------ the oracle's side


def _path(series: Series, point: Mapping[sp.Symbol, sp.Expr]) -> Path:
    chart, solved = series.view.chart, series.overlap.solved
    symbols = series.view.symbols
    back = [_callable(symbols, solved.coordinates[s]) for s in chart.symbols]
    forth = [_callable(chart.symbols, e) for e in series.view.expressions]
    values = {s: _mpf(v) for s, v in point.items()}
    vanishing = series.overlap.vanishing

    def seen(e: Any) -> list[Any]:
        return [values.get(s, mp.one) * e if s in vanishing else values[s] for s in symbols]

    return Path(
        _density(chart.model.family),
        _components(chart),
        lambda c: [f(*c) for f in forth],
        lambda e: [f(*seen(e)) for f in back],
        seen,
    )


def _oracle_at(
    expansion: Expansion, judge: Judge, point: Mapping[sp.Symbol, sp.Expr], digits: int
) -> OracleAt:
    """The oracle near the overlap: where the mixture lives, for its quadrature."""
    chart = expansion.series.view.chart
    oracle = replace(oracle_of(chart), digits=digits)
    for e in (_NEAR, -_NEAR):
        coords = [mpmath.mpmathify(c) for c in judge.path.coordinates(mpmath.mpf(e))]
        inside = all(
            mpmath.im(c) == 0 and k.domain.lower <= mpmath.re(c) <= k.domain.upper
            for c, k in zip(coords, chart.coordinates, strict=True)
        )
        if inside:
            return oracle.at([float(mpmath.re(c)) for c in coords])
    given = ", ".join(f"{s} = {v}" for s, v in point.items())
    raise DomainError(problem("the overlap is not reached here", given, "a point of the chart"))


# ------------------------------------------------------------------------------ our side


def _spelled_out(series: Series, values: Mapping[sp.Symbol, sp.Expr]) -> Callable[[sp.Expr], Any]:
    """A coefficient in x at numbers, posteriors written out."""

    def value(coefficient: sp.Expr) -> Any:
        plain = _without_nodes(coefficient)
        return _mpf(plain.xreplace(dict(values)))

    return value


def _averaged(
    series: Series,
    truth: Truth,
    point: Mapping[sp.Symbol, sp.Expr],
    here: OracleAt,
    arrays: Sequence[Sequence[Any]],
) -> Callable[[sp.Expr], Any]:
    """A coefficient at numbers: M_n by the truth's exact moments, E_q[…] by the oracle's rule."""
    x, centre = series.overlap.family.x, series.centre.xreplace(dict(point))
    whole = [c for r in series.rows for c in r.coefficients.values()]
    powers = [m.power for c in whole for m in c.atoms(Moment)]
    exact = truth.moments(max(powers, default=0), about=centre)
    nodes = sorted({e for c in whole for e in c.atoms(Expectation)}, key=sp.default_sort_key)
    means: dict[sp.Basic, Any] = {}
    if nodes:
        plain = [_without_nodes(e.args[0]).xreplace(dict(point)) for e in nodes]
        kernels = [_callable([x], e) for e in plain]
        found = here.expect(lambda value: [f(value) for f in kernels], arrays)
        means = {e: m.value for e, m in zip(nodes, found, strict=True)}

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


def _default_truth(series: Series) -> Truth:
    rows = [_SOME[p.domain.name] for p in series.overlap.family.parameters]
    return Truth(series.overlap.family, (sp.Rational(1, 4), sp.Rational(3, 4)), tuple(rows))


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
