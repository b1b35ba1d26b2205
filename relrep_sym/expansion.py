"""The face of a series: :class:`Expansion`, its LaTeX, its measured error and its certificate.

In: a derivation and a :class:`~relrep_sym.equations.series.Series`. Out: exact coefficients, a
labelled LaTeX fragment, numbers under a truth, the error of the truncation against the exact
equations, and coefficients held against the mpmath oracle.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy as sp

from relrep_sym.declare.functions import spelled_out
from relrep_sym.declare.notebook import listed
from relrep_sym.declare.parser import number
from relrep_sym.emit import latex
from relrep_sym.equations.equation import Equation
from relrep_sym.equations.nodes import Expectation, LogSumExp
from relrep_sym.equations.series import Moment, Row, Series
from relrep_sym.equations.series_lines import series_lines, validity
from relrep_sym.errors import DataError, DeclarationError, DomainError, problem

if TYPE_CHECKING:
    from relrep_sym.api import Derivation
    from relrep_sym.expansion_check import SeriesCertificate

__all__ = ["Expansion", "Truncation"]

_ROUNDING = 1e-12
"""An error below this is rounding of the exact side, and tells no order."""


@dataclass(frozen=True)
class Truncation:
    """The measured error of a truncated series at several sizes of the overlap.

    Attributes:
        overlap: (n,) values of the overlap; of several functions, the factor ε of ``at``.
        exact: (n, rows) the exact values.
        truncated: (n, rows) the truncated series.
        remainders: the order of what each row leaves out.
    """

    names: tuple[str, ...]
    overlap: np.ndarray
    exact: np.ndarray
    truncated: np.ndarray
    remainders: tuple[int, ...]

    @property
    def error(self) -> np.ndarray:
        """|truncated − exact|, (n, rows)."""
        return np.abs(self.truncated - self.exact)

    @cached_property
    def slopes(self) -> tuple[float, ...]:
        """The power of the overlap with which each row's error falls, between the two smallest
        overlaps at which it is more than rounding; NaN where there are no two.
        """
        out = []
        for j in range(len(self.names)):
            size, error = np.abs(self.overlap), self.error[:, j]
            told = error > _ROUNDING * (1 + np.abs(self.exact[:, j]))
            keep = np.argsort(size[told])[:2]
            if len(keep) < 2:
                out.append(math.nan)
                continue
            (a, b), (e, f) = size[told][keep], error[told][keep]
            out.append(float(np.log(f / e) / np.log(b / a)))
        return tuple(out)

    def __str__(self) -> str:
        rows = [f"{'overlap':>12} " + " ".join(f"{n:>12}" for n in self.names)]
        for u, errors in zip(self.overlap, self.error, strict=True):
            rows.append(f"{u:12.4g} " + " ".join(f"{e:12.3g}" for e in errors))
        rows.append(f"{'slope':>12} " + " ".join(f"{s:12.3g}" for s in self.slopes))
        rows.append(f"{'left out':>12} " + " ".join(f"{f'O({r})':>12}" for r in self.remainders))
        return "\n".join(rows)


@dataclass(frozen=True)
class Expansion:
    """A series near an overlap, as a user handles it; made by ``d.series``.

    ``value`` is the truncated series in SymPy, ``rows`` its coefficients, ``moments`` what the M_n
    in them are. Derived at fixed remaining functions of the view.
    """

    derivation: Derivation
    series: Series

    def __reduce__(self) -> tuple[object, ...]:
        return Expansion, (self.derivation, self.series)

    # ------------------------------------------------------------------------- SymPy and LaTeX

    @property
    def value(self) -> sp.Basic:
        """The truncated series: an expression, or a column with η."""
        return self.series.value

    @property
    def rows(self) -> tuple[Row, ...]:
        """The coefficients, row by row, each with the order of what it leaves out."""
        return self.series.rows

    @property
    def coefficients(self) -> tuple[Mapping[int, sp.Expr], ...]:
        """Power → exact coefficient, of each row; of learning equations divided by η."""
        return tuple(r.coefficients for r in self.rows)

    @property
    def moments(self) -> dict[Moment, sp.Expr]:
        """What the M_n are: E_q[(x − c)ⁿ]."""
        return self.series.moments

    @property
    def centre(self) -> sp.Expr:
        """The c of the moments."""
        return self.series.centre

    @cached_property
    def equation(self) -> Equation:
        """The labelled equation."""
        s = self.series
        what = "averaged-in-view" if s.of == "averaged" else s.of.replace("_", "-")
        names = "-".join(n.replace("_", "-") for n in s.overlap.names)
        return Equation(
            "series",
            f"series in {', '.join(s.overlap.names)}, to order {s.order} in L",
            self.derivation.record.label(f"{what}-series-{names}"),
            partial(series_lines, s, self.derivation.record.generic),
            partial(getattr, s, "value"),
            ("PO09", "EN22, appendix D"),
            names=partial(self.derivation.record.names_of, s.view),
        )

    @property
    def label(self) -> str:
        """The equation's LaTeX label."""
        return self.equation.label

    @property
    def validity(self) -> str:
        """In words, as LaTeX text: as what the expansion holds, and for which truths."""
        said = validity(self.series, self.derivation.record.generic)
        return latex.in_words(self.equation, said, self.derivation.notation)

    def latex(self) -> str:
        """The labelled LaTeX fragment, and a sentence that says how far it is valid."""
        return latex.fragment(self.equation, self.derivation.notation) + self.validity + "\n"

    def _repr_latex_(self) -> str:
        return latex.display(self.equation, self.derivation.notation)

    def __repr__(self) -> str:
        rows = listed((f"{row.name}: {row.coefficients}" for row in self.rows), mark="; ")
        return f"<Expansion {self.label}: {rows}>"

    # ------------------------------------------------------------------------- numbers

    def at(self, point: Mapping[str, object], truth: object = None) -> np.ndarray:
        """The truncated series at numbers for the view's functions, (rows,), with η = 1.

        ``truth`` is an ``rs.truth`` in numbers, arrays, or (nodes, weights), a weighted sample.
        Raises DeclarationError for names that are not the view's, DataError for no truth.
        """
        self._insist_averaged()
        given = self._point(point)
        nodes, weights = self._nodes(truth, given)
        return self._evaluated(given, nodes, weights)

    def measured(
        self,
        truth: object,
        at: Mapping[str, object],
        overlap: Sequence[float] = (0.4, 0.2, 0.1, 0.05),
    ) -> Truncation:
        """The error of the truncation against the exact equations.

        ``at`` gives the remaining functions of the view (and where several vanish together, their
        direction, which ``overlap`` scales); the sign of ``overlap`` is turned where the chart
        lies on the other side. The exact values are the compiled module's: ``view_field``, or the
        log-likelihood under the same nodes.

        >>> import relrep_sym as rs
        >>> d = rs.derive(rs.mixture("normal", components=2, scales=1))
        >>> seen = rs.view(d.chart, {"v": "pi_1", "u": "mu_1 - mu_2",
        ...                          "w": "pi_1*mu_1 + (1 - pi_1)*mu_2"})
        >>> q = rs.truth("normal", weights=1, means=0, scales=1)
        >>> found = d.series(seen, "u", order=4).measured(q, {"v": 0.3, "w": 0.5})
        >>> found.remainders, [round(s) for s in found.slopes]
        ((5, 4, 4), [5, 4, 4])
        """
        self._insist_averaged()
        sizes = np.asarray(overlap, dtype=float)
        if sizes.ndim != 1 or not sizes.size or not np.isfinite(sizes).all() or not sizes.all():
            raise DataError(problem("overlap= is no list of sizes", overlap, "numbers, not zero"))
        rows = [self._compared(truth, at, float(u)) for u in sizes]
        used, exact, truncated = zip(*rows, strict=True)
        return Truncation(
            tuple(r.name for r in self.rows),
            np.array(used),
            np.array(exact),
            np.array(truncated),
            tuple(r.remainder for r in self.rows),
        )

    def certify(
        self,
        truth: object = None,
        at: Mapping[str, object] | None = None,
        digits: int = 30,
    ) -> SeriesCertificate:
        """Every coefficient against the mpmath oracle's own expansion of the density.

        The oracle expands the declared density by Cauchy's formula at high precision and averages
        by its own quadrature; it uses no formula of the engine. ``truth`` is an ``rs.truth`` in
        numbers (seconds to minutes: every node is expanded), or (nodes, weights), a weighted
        sample; where it is not given, a sample of a few points: coefficients are linear in the
        truth. ``at`` gives the view's remaining functions, or they are chosen. A miss is in the
        certificate, whose ``check()`` raises.

        >>> import relrep_sym as rs
        >>> d = rs.derive(rs.mixture("poisson", components=2))
        >>> seen = rs.view(d.chart, {"v": "pi_1", "u": "rate_1 - rate_2",
        ...                          "w": "pi_1*rate_1 + (1 - pi_1)*rate_2"})
        >>> d.series(seen, "u", order=3).certify().ok
        True
        """
        from relrep_sym.expansion_check import certify_series

        return certify_series(self, truth, at, digits)

    # ------------------------------------------------------------------------- how

    def _insist_averaged(self) -> None:
        if self.series.of == "log_density":
            right = 'of="log_likelihood" or of="averaged"'
            raise DeclarationError(problem("a log-density has no average", "log_density", right))

    @property
    def _held(self) -> tuple[str, ...]:
        overlap = self.series.overlap
        skipped = overlap.names if overlap.single else ()
        return tuple(n for n in self.series.view.names if n not in skipped)

    def _point(self, point: Mapping[str, object], names: Sequence[str] = ()) -> dict[str, float]:
        wanted = names or self.series.view.names
        if not isinstance(point, Mapping) or set(point) != set(wanted):
            given = ", ".join(map(str, point)) if isinstance(point, Mapping) else repr(point)
            right = "a number for each of " + ", ".join(wanted)
            raise DeclarationError(problem("a point in the view", given or "nothing", right))
        return {n: float(number(point[n], where=n)) for n in wanted}

    def _compared(
        self, truth: object, at: Mapping[str, object], size: float
    ) -> tuple[float, np.ndarray, np.ndarray]:
        overlap = self.series.overlap
        held = self._point(at, self._held)
        for signed in (size, -size):
            if overlap.single:
                point = held | {overlap.names[0]: signed}
            else:
                point = {n: v * signed if n in overlap.names else v for n, v in held.items()}
            try:
                coords = self._coordinates(point)
                exact = self._exact(truth, coords)
            except DomainError as error:
                problem_here = error
                continue
            nodes, weights = self._nodes(truth, point)
            return signed, exact, self._evaluated(point, nodes, weights)
        raise problem_here

    def _coordinates(self, point: Mapping[str, float]) -> list[float]:
        """The chart's coordinates at a point of the view."""
        solved = self.series.overlap.solved
        values = {s: sp.Float(point[s.name], 40) for s in solved.view.symbols}
        out = []
        for c in solved.view.chart.coordinates:
            found = sp.N(solved.coordinates[c.symbol].subs(values), 30)
            if not found.is_real:
                given = ", ".join(f"{n} = {v:g}" for n, v in point.items())
                raise DomainError(
                    problem(f"{c.name} is not real here", given, "a point it reaches")
                )
            value = float(found)
            if not c.domain.lower <= value <= c.domain.upper:
                right = f"{c.name} in {c.domain.name}"
                raise DomainError(problem("the point leaves the chart's domain", value, right))
            out.append(value)
        return out

    @cached_property
    def _module(self) -> Any:
        return self._seen.compile()

    @cached_property
    def _seen(self) -> Derivation:
        record = replace(self.derivation.record, view=self.series.view)
        return replace(self.derivation, record=record)

    def _exact(self, truth: object, coords: Sequence[float]) -> np.ndarray:
        if self.series.of == "averaged":
            return np.asarray(self._module.view_field(coords, truth))
        nodes, weights = self._module._solver().nodes(truth, coords)
        return np.atleast_1d(self._module.log_likelihood(nodes, coords, weights))

    def _nodes(self, truth: object, point: Mapping[str, float]) -> tuple[np.ndarray, np.ndarray]:
        if truth is None and self.series.truth is None:
            raise DataError(problem("numbers need a truth", None, "rs.truth(…) or a sample"))
        used = self.series.truth if truth is None else truth
        found = self._module._solver().nodes(used, self._coordinates(point))
        return np.asarray(found.nodes), np.asarray(found.weights)

    def _evaluated(
        self, point: Mapping[str, float], nodes: np.ndarray, weights: np.ndarray
    ) -> np.ndarray:
        """The rows at numbers, expectations summed over the nodes."""
        series = self.series
        if series.truth is not None and series.truth.symbols:
            names = ", ".join(s.name for s in series.truth.symbols)
            raise DataError(problem("the series' truth has symbols", names, "a truth in numbers"))
        values = [point[n] for n in series.view.names]
        ones = np.ones_like(nodes)
        centre, logs, inner, rows = self._kernels
        given = [f(nodes, *values) * ones for f in logs]
        top = np.max(given, axis=0)
        parts = [np.exp(v - top) for v in given]
        total = np.sum(parts, axis=0)
        columns = [top + np.log(total), *(p / total for p in parts)]
        shifted = nodes - centre(*values)
        means = [weights @ shifted**m.power for m in self._means[0]]
        means += [weights @ (f(nodes, *columns, *values) * ones) for f in inner]
        return np.array([float(f(*means, *values)) for f in rows])

    @cached_property
    def _means(self) -> tuple[list[Moment], list[Expectation]]:
        """The moments and the other expectations in the rows."""
        whole = [c for r in self.rows for c in r.coefficients.values()]
        nodes = {e for c in whole for e in c.atoms(Expectation)}
        return list(self.moments), sorted(nodes, key=sp.default_sort_key)

    @cached_property
    def _kernels(self) -> tuple[Any, list[Any], list[Any], list[Any]]:
        """Functions of numbers: the centre, log-weighted densities, summands of means, rows."""
        series, symbols = self.series, list(self.series.view.symbols)
        overlap, x = series.overlap, series.overlap.family.x
        posteriors = [sp.Dummy() for _ in overlap.responsibilities]
        limit = sp.Dummy()
        marks = {LogSumExp(*overlap.log_weighted): limit}
        pairs = zip(overlap.responsibilities, posteriors, strict=True)
        marks |= {r: d for r, d in pairs if not r.is_number}  # of one group it is the number 1
        moments, expectations = self._means
        held = {m: sp.Dummy() for m in (*moments, *expectations)}
        columns = [x, limit, *posteriors, *symbols]
        totals = [
            sp.Add(*(series.whole(n, c) for n, c in row.coefficients.items())) for row in self.rows
        ]
        return (
            _function(symbols, series.centre),
            [_function([x, *symbols], e) for e in overlap.log_weighted],
            [_function(columns, e.args[0].xreplace(marks)) for e in expectations],
            [_function([*held.values(), *symbols], t.xreplace(held)) for t in totals],
        )


def _function(arguments: Sequence[sp.Symbol], expression: sp.Expr) -> Any:
    plain = spelled_out(expression)
    return sp.lambdify(list(arguments), plain, modules=["scipy", "numpy"], dummify=True)
