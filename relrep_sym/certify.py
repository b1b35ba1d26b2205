"""Certification of a derivation: its compiled functions against the oracle, point by point.

In: a :class:`~relrep_sym.api.Derivation`. Out: a certificate, and tables of certificates. This is
the one place where the engine meets the oracle: the oracle gets the family's log-density and the
chart's map as they were declared, turned into mpmath callables, and nothing that was derived from
them.
"""

from __future__ import annotations

import random
import types
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import mpmath
import numpy as np
import sympy as sp

from relrep_sym.declare.chart import Chart, Given, identity, with_constants
from relrep_sym.declare.family import Family, FamilyParameter
from relrep_sym.declare.model import Mixture
from relrep_sym.declare.support import Support
from relrep_sym.declare.symbols import Constant
from relrep_sym.declare.view import View
from relrep_sym.emit import files
from relrep_sym.emit.numpy.public import given_keywords
from relrep_sym.equations.program import find_inverse
from relrep_sym.errors import CertificateError, DomainError, NoInverseError, problem
from relrep_sym.oracle_input import callable_of, components_of, oracle_of
from relrep_sym.step_cases import NUDGE, errors_of, step_cases, weights_of
from relrep_sym.verify.certificate import Case, Certificate, Entry, certify
from relrep_sym.verify.chain import Chain
from relrep_sym.verify.inference import inverse, negative
from relrep_sym.verify.natural import condition, natural_field
from relrep_sym.verify.oracle import Oracle, OracleAt
from relrep_sym.verify.points import Point, points
from relrep_sym.verify.yardstick import Measured

if TYPE_CHECKING:
    from relrep_sym.api import Derivation

__all__ = ["certify_derivation", "oracle_of", "point_names", "table"]

WELL = 1e10
"""The largest condition number at which the natural field is certified: beyond, it is cut off."""

QUICK = ("ordinary", "merging 1e-6")
"""The points of a quick certificate; a full one takes all."""
NODES = 60
"""Points of a sample that is as the model."""
MANY = 5
"""From so many components on, the faces of a domain are searched at few points only."""
FEW = ("ordinary", "merging 1e-6", "last weight 1e-12", "scale ratio 1e6", "far tails")
"""These; conditional steps, of which each is a search, are taken at no others."""


def certify_derivation(
    derivation: Derivation,
    *,
    digits: int = 30,
    full: bool = False,
    seconds: float = 300.0,
    module: types.ModuleType | None = None,
    progress: Callable[[Entry], None] | None = None,
    at: str | None = None,
) -> Certificate:
    """The measured errors of a derivation's functions, at hard points when ``full``.

    ``module`` is the module to judge, by default the derivation compiled in memory. ``seconds``
    bounds each call of the oracle. Points that the chart cannot reach are left out; with ``at``,
    one of :func:`point_names`, so are all others. Without ``full`` every function is still judged,
    conditional steps at the first point and in their usual order only. Raises
    CertificateError where no point is left, or the oracle cannot keep its digits or its time; a
    miss is in the certificate, whose ``check()`` raises.
    """
    judged = module if module is not None else derivation.compile()
    oracle = replace(oracle_of(derivation.chart), digits=digits, seconds=seconds)
    with mpmath.mp.workdps(_DECIMALS):
        return certify(derivation.name, _cases(derivation, judged, oracle, full, at), progress)


_DECIMALS = 15
"""mpmath's precision where the oracle asks for no other: the caller's own changes no figure."""


def table(certificates: Iterable[Certificate]) -> str:
    """The committed table: worst ratio of every function over its points, in Markdown."""
    lines = [
        "# Certificates",
        "",
        f"<!-- Text sha256: {files.UNSIGNED} -->",
        "",
        "Measured by `relrep verify --all --full --update`, over derivations/ and examples/. Each",
        "row is the worst of a function's values over all points, in units of the yardstick",
        "u (|v| + E|s| + Σ_j |λ_j ∂_j v|) with u = 2⁻⁵³; 64 is the limit. The column `plain` is",
        "the worst ratio over the same points where no tolerance is widened: not by the summands",
        "of a chain rule, not for constants, not at a bound. The last column is the value's",
        "relative error. The reference is an independent mpmath computation.",
        "",
    ]
    for certificate in certificates:
        lines += [
            f"## {certificate.name}",
            "",
            "| function | points | worst at | ratio | plain | relative |",
        ]
        lines += ["|---|---|---|---|---|---|"]
        for function in dict.fromkeys(e.function for e in certificate.entries):
            own = [e for e in certificate.entries if e.function == function]
            worst = max(own, key=lambda e: e.ratio)
            plain = max(e.plain for e in own)
            shown = f"{worst.ratio:.2g} | {plain:.2g} | {worst.relative:.1e}"
            lines.append(f"| {function} | {len(own)} | {worst.point} | {shown} |")
        lines.append("")
    return files.signed("\n".join(lines))


# ----------------------------------------------------------------------------- points and cases


def _roles(family: Family) -> tuple[str, ...]:
    out = []
    for p in family.parameters:
        if p == family.location:
            out.append("location")
        elif p == family.scale:
            out.append("scale")
        elif p.domain.name == "unit":
            out.append("probability")
        elif p.domain.name == "real":
            out.append("real")
        else:
            rate = family.support == "integers" or _is_rate(family, p)
            out.append("rate" if rate else "shape")
    return tuple(out)


def _is_rate(family: Family, parameter: FamilyParameter) -> bool:
    """Whether 1/parameter is a scale: f(x | φ) dx depends on the parameter times x alone."""
    if family.support not in ("line", "half-line"):
        return False
    factor = sp.Symbol("factor", positive=True)
    moved = family.log_density.subs(
        {family.x: family.x / factor, parameter.symbol: factor * parameter.symbol},
        simultaneous=True,
    )
    difference = sp.expand_log(sp.expand(moved - sp.log(factor) - family.log_density), force=True)
    return bool(sp.expand(difference) == 0)


def _held(model: Mixture) -> tuple[float | None, ...]:
    """A family parameter that is one number in every component."""
    out: list[float | None] = []
    for pattern in model.patterns:
        fixed = not isinstance(pattern, str) and None not in pattern and len(set(pattern)) == 1
        out.append(float(pattern[0]) if fixed else None)  # type: ignore[arg-type]
    return tuple(out)


def _theta(model: Mixture, point: Point) -> list[float]:
    """The model's θ at a point of component space."""
    names = [p.name for p in model.family.parameters]
    out = []
    for p in model.parameters:
        k = p.components[0]
        value = point.weights[k] if p.role == "weight" else point.parameters[k][names.index(p.role)]
        out.append(value)
    return out


def _points(derivation: Derivation, full: bool) -> list[Point]:
    """The points of a certificate, whether the chart reaches them or not."""
    model = derivation.model
    roles, held = _roles(model.family), _held(model)
    found = points(
        model.components,
        roles,
        model.family.support,
        held,
        kinked=model.family.kink is not None,
    )
    return [point for point in found if full or point.name in QUICK]


def point_names(derivation: Derivation, *, full: bool) -> list[str]:
    """The names of a certificate's points, in order."""
    return [point.name for point in _points(derivation, full)]


def _located(
    derivation: Derivation, module: types.ModuleType, full: bool
) -> Iterator[tuple[Point, list[float], dict[str, float]]]:
    """The points that the chart reaches, with their coordinates and constants."""
    model = derivation.model
    refused = errors_of(module, DomainError, NoInverseError)
    reached = 0
    for point in _points(derivation, full):
        theta = _theta(model, point)
        for constants in _constants(derivation.chart, theta):
            try:
                coords = module.from_model(theta, **_keywords(derivation.chart, constants))
            except refused:
                continue
            reached += 1
            yield point, [float(c) for c in coords], constants
            break
    if not reached:
        raise CertificateError(
            problem(
                f"no certificate point of {derivation.name} lies in the chart",
                derivation.chart.title,
                "a chart with an inverse that reaches an ordinary mixture",
            )
        )


def _cases(
    derivation: Derivation,
    module: types.ModuleType,
    oracle: Oracle,
    full: bool,
    only: str | None,
) -> Iterator[Case]:
    declared, view = derivation.chart, derivation.record.view
    for number, (point, coords, constants) in enumerate(_located(derivation, module, full)):
        if only not in (None, point.name):
            continue
        exact = {n: sp.Rational(v) for n, v in constants.items()}
        chart = with_constants(declared, exact) if constants else declared
        seen = None if view is None else _with_constants(view, chart, exact)
        here = replace(oracle, components=components_of(chart))
        at = _Judge(here.at(coords), chart, coords)
        bound = _Bound(module, _keywords(declared, constants)) if constants else module
        shown = "; ".join([str(at), *(f"{n}={v!r}" for n, v in constants.items())])
        beside = tuple(
            replace(here, components=components_of(with_constants(declared, moved))).at(coords)
            for moved in _moved_constants(exact)
        )
        orders = _orders(point, full, first=number == 0)
        functions = _functions(derivation, bound, at, point, coords, seen, beside, orders)
        for name, kernel, reference in functions:
            yield Case(name, point.name, kernel, reference, shown, oracle.digits)
        if number:
            continue
        for title, moved in _generic(chart, bound, coords, full):
            there = _Judge(here.at(moved), chart, moved)
            for name, kernel, reference in _mapped(derivation, bound, there, point, moved, full):
                yield Case(name, title, kernel, reference, str(there), oracle.digits)


def _generic(
    chart: Chart, module: Any, ordinary: Sequence[float], full: bool
) -> Iterator[tuple[str, list[float]]]:
    """Points that are drawn in the chart's own coordinates, one coordinate in a hard place each.

    Points that come back through an inverse lie where a map happens to be exact: log(1 + δ) is a
    double at which exp(D) − 1 loses nothing. These have full mantissas. Of a map of the user's own
    every coordinate goes near zero (and further out, when ``full``); of a named chart, when
    ``full``, those that are no entry of θ and make no weights.
    """
    rng = random.Random(f"{chart.names}")
    made = weights_of(chart)
    refused = errors_of(module, DomainError)
    sizes = ((1e-9, 1e-4, 1e-14, 4.0) if full else (1e-9,)) if chart.own else (1e-9,) * full
    for j, c in enumerate(chart.coordinates):
        if not chart.own and (c.name in chart.stands_for or c.name in made):
            continue
        for size in sizes:
            at = [v * (1 + 1e-3 * rng.random()) for v in ordinary]
            sign = -1.0 if c.domain.lower < 0 and rng.random() < 0.5 else 1.0
            at[j] = sign * size * (1 + rng.random())
            try:
                module.to_model(at)
            except refused:
                continue
            yield f"{c.name} at {size:.0e}", at


def _mapped(
    derivation: Derivation,
    module: Any,
    at: _Judge,
    point: Point,
    coords: list[float],
    full: bool,
) -> Iterator[Pair]:
    """What shows an error of the map itself, and of its derivatives."""
    x, w, some = point.sample, point.sample_weights, point.sample[::4]
    yield "to_model", lambda: module.to_model(coords), lambda: _theta_of(at.chart, coords)
    yield (
        "responsibilities",
        lambda: module.responsibilities(some, coords),
        lambda: tuple(at.responsibilities(v) for v in some),
    )
    yield (
        "score_samples",
        lambda: module.score_samples(some, coords),
        lambda: tuple(at.score_sample(v) for v in some),
    )
    yield "score", lambda: module.score(x, coords, w), lambda: at.score(x, w)
    if full and not isinstance(derivation.record.second_or_reason, str):
        yield "hessian", lambda: module.hessian(x, coords, w), lambda: at.hessian(x, w)


def _theta_of(chart: Chart, coords: Sequence[float]) -> tuple[Measured, ...]:
    """θ by the declared map in mpmath; each entry's sensitivity is Σ_j |λ_j ∂_j θ|."""
    exact = [mpmath.mpf(c) for c in coords]
    out = []
    for rule in chart.unrolled.values():
        f = callable_of(chart.symbols, rule)
        moves = (abs(v * _slope(f, exact, j)) for j, v in enumerate(exact))
        value = mpmath.mpmathify(f(*exact))
        out.append(Measured(value, mpmath.mpf(0), mpmath.fsum(moves)))
    return tuple(out)


def _orders(point: Point, full: bool, first: bool) -> int:
    """How many orders of conditional steps are judged at a point: none, the usual one, or two."""
    if full:
        return 2 if first or point.name in FEW else 0
    return 1 if first else 0


def _moved_constants(exact: Mapping[str, sp.Expr]) -> Iterator[dict[str, sp.Expr]]:
    """The constants with one of them, if it is not zero, moved by a relative :data:`NUDGE`."""
    step = 1 + sp.Rational(mpmath.nstr(NUDGE, 3))
    for name, value in exact.items():
        if value != 0:
            yield {**exact, name: value * step}


def _constants(chart: Chart, theta: Sequence[float]) -> Iterator[dict[str, float]]:
    """Values of a chart's constants at which θ may lie in its image, the likelier first.

    What is held of another chart has its value there; a clearance is an ordinary one, or so small
    that merging components still have room, or none.
    """
    if not chart.constants:
        yield {}
        return
    known: dict[str, float] = {}
    if chart.whole is not None:
        whole = chart.whole
        search: dict[sp.Symbol, sp.Expr] = {
            p.symbol: sp.Rational(t) for p, t in zip(chart.model.parameters, theta, strict=True)
        }
        try:
            solution = find_inverse(whole)
        except NoInverseError:
            return
        given = {c.symbol: sp.Rational(_ordinary(c)) for c in whole.constants}
        for symbol, rule in solution:
            search[symbol] = sp.N(rule.xreplace(search | given), 30)
        if not all(v.is_real for v in search.values()):
            return
        known = {c.name: float(search[c.symbol]) for c in whole.coordinates}
    rest = [c for c in chart.constants if c.name not in known]
    here = {c.name: known[c.name] for c in chart.constants if c.name in known}
    for scale in (1.0, 1e-3, 1e-9, 0.0) if rest else (1.0,):
        yield here | {c.name: scale * _ordinary(c) for c in rest}


def _ordinary(constant: Given) -> float:
    return 1.0 if constant.domain.name == "positive" else 0.0625


def _keywords(chart: Chart, constants: Mapping[str, float]) -> dict[str, float]:
    """The constants under the names that the generated functions take them by."""
    pairs = zip(given_keywords(chart), chart.constants, strict=True)
    return {keyword: constants[c.name] for keyword, c in pairs}


def _with_constants(view: View, chart: Chart, exact: Mapping[str, sp.Expr]) -> View:
    put = {Constant(n): v for n, v in exact.items()}
    return replace(view, chart=chart, expressions=tuple(e.xreplace(put) for e in view.expressions))


class _Bound:
    """A module whose functions are given their constants."""

    def __init__(self, module: types.ModuleType, constants: Mapping[str, float]) -> None:
        self._module, self._constants = module, constants

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._module, name)
        # an error class of a standalone module is no function of the constants
        return found if isinstance(found, type) else partial(found, **self._constants)


class _Judge:
    """The oracle at one point; in a map of the user's own with the summands of its chain rule.

    In the named charts the mean absolute summand E|s| is that of the score itself. A map of the
    user's own may combine scores that cancel (as ∂/∂u of (v, u, w) does near u = 0): what is summed
    there is ∂θ_i/∂λ_j ∂ log p/∂θ_i, over the sample and over i, and so is its mean absolute value.
    """

    def __init__(self, at: OracleAt, chart: Chart, coords: list[float]) -> None:
        self._at, self.chart = at, chart
        self._own = chart.own
        if self._own:
            maps = [callable_of(chart.symbols, e) for e in chart.unrolled.values()]
            exact = [mpmath.mpf(c) for c in coords]
            self._slopes = [[abs(_slope(f, exact, j)) for j in range(len(coords))] for f in maps]
            theta = [float(f(*exact)) for f in maps]
            self._plain = oracle_of(identity(chart.model)).at(theta)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._at, name)

    def __str__(self) -> str:
        return str(self._at)

    def _widened(self, strict: Sequence[Measured], plain: Sequence[Measured]) -> tuple[Any, ...]:
        scales = [
            sum(row[j] * s.scale for row, s in zip(self._slopes, plain, strict=True))
            for j in range(len(strict))
        ]
        return tuple(m.widened(scale=s) for m, s in zip(strict, scales, strict=True))

    def score_sample(self, x: float) -> tuple[Measured, ...]:
        """The score at one point."""
        strict = self._at.score_sample(x)
        return self._widened(strict, self._plain.score_sample(x)) if self._own else strict

    def score(self, x: Any, w: Any) -> tuple[Measured, ...]:
        """The mean score of a weighted sample."""
        strict = self._at.score(x, w)
        return self._widened(strict, self._plain.score(x, w)) if self._own else strict

    def averaged_field(self, truth: Any) -> tuple[Measured, ...]:
        """The mean score under a truth."""
        strict = self._at.averaged_field(truth)
        return self._widened(strict, self._plain.averaged_field(truth)) if self._own else strict

    def fisher(self) -> tuple[Any, ...]:
        """Fisher information."""
        strict = self._at.fisher()
        if not self._own:
            return strict
        half = [self._widened(self._zeros(len(row)), row) for row in self._plain.fisher()]
        columns = [tuple(row[j] for row in half) for j in range(len(strict))]
        return tuple(
            tuple(a for a in self._widened(row, columns[j])) for j, row in enumerate(strict)
        )

    def hessian(self, x: Any, w: Any) -> tuple[Any, ...]:
        """The mean Hessian of a weighted sample, its summands those of the chain rule."""
        chart, model = self.chart, self.chart.model
        patterns = ("free",) * len(model.family.parameters)
        plain = oracle_of(identity(Mixture(model.family, model.components, "free", patterns)))
        chain = Chain(self._at, plain, own=chart.own, mapped=chart.weights is not None)
        return chain.hessian(x, w)

    def _zeros(self, count: int) -> tuple[Measured, ...]:
        columns = len(self._slopes[0])
        assert count == len(self._slopes)
        zero = mpmath.mpf(0)
        return (Measured(zero, zero, zero),) * columns


Pair = tuple[str, Callable[[], Any], Callable[[], Any]]


def _functions(
    derivation: Derivation,
    module: Any,
    at: _Judge,
    point: Point,
    coords: list[float],
    view: View | None,
    beside: Sequence[OracleAt] = (),
    orders: int = 2,
) -> Iterator[Pair]:
    """(function, what it gives, what the oracle says) at one point."""
    x, w, some = point.sample, point.sample_weights, point.sample[::6]
    yield (
        "log_density",
        lambda: module.log_density(some, coords),
        lambda: tuple(at.log_density(v) for v in some),
    )
    yield (
        "responsibilities",
        lambda: module.responsibilities(some, coords),
        lambda: tuple(at.responsibilities(v) for v in some),
    )
    yield (
        "score_samples",
        lambda: module.score_samples(some, coords),
        lambda: tuple(at.score_sample(v) for v in some),
    )
    yield (
        "log_likelihood",
        lambda: module.log_likelihood(x, coords, w),
        lambda: at.log_likelihood(x, w),
    )
    yield "score", lambda: module.score(x, coords, w), lambda: at.score(x, w)
    if not isinstance(derivation.record.second_or_reason, str):
        bent = cache(lambda: at.hessian(x, w))
        yield "hessian", lambda: module.hessian(x, coords, w), bent
        if _kinks_learned(derivation.model):
            pass  # their second derivatives at points are no information
        elif condition(negative(bent())) < WELL:
            yield (
                "covariance (observed)",
                lambda: _covariance(module, x, coords, "observed", w),
                lambda: inverse(negative(bent())),
            )
        elif orders:  # far from the sample's maximum: of the model itself it is here
            xs, likely = _as_the_model(module, x, coords, derivation.model.family.support)
            there = cache(lambda: at.hessian(xs, likely))
            if condition(negative(there())) < WELL:
                yield (
                    "covariance (observed)",
                    lambda: _covariance(module, xs, coords, "observed", likely),
                    lambda: inverse(negative(there())),
                )
    if derivation.chart.model.components < MANY or point.name in FEW:
        yield from step_cases(module, at, at.chart, x, w, coords, beside, orders=orders)
    if point.truth is None:
        return
    truth = point.truth
    field, fisher = cache(lambda: at.averaged_field(truth)), cache(at.fisher)
    yield "averaged_field", lambda: module.averaged_field(coords, truth), field
    if view is not None:
        yield (
            "view_field",
            lambda: module.view_field(coords, truth),
            lambda: _view_field(view, field(), coords),
        )
    yield "kl", lambda: module.kl(coords, truth), lambda: at.kl(truth)
    yield "fisher", lambda: module.fisher(coords), fisher
    if condition(fisher()) < WELL:
        yield (
            "natural_field",
            lambda: module.natural_field(coords, truth),
            lambda: natural_field(fisher(), field()),
        )
        yield (
            "covariance (expected)",
            lambda: _covariance(module, None, coords, "expected", None),
            lambda: inverse(fisher()),
        )


def _as_the_model(
    module: Any, x: Sequence[float], coords: list[float], support: Support
) -> tuple[list[float], list[float]]:
    """Evenly spaced points over a sample's range, weighted by the density: its likelihood is
    highest near the model itself.
    """
    xs = np.linspace(min(x), max(x), NODES)
    if support == "integers" or support[0] == "integers":
        xs = np.unique(np.rint(xs))
    elif support[0] == "finite":
        xs = np.unique(x)
    likely = np.exp(module.log_density(xs, coords))
    return [float(v) for v in xs[likely > 0]], [float(v) for v in likely[likely > 0]]


def _kinks_learned(model: Mixture) -> bool:
    """Whether log f has a kink in x whose place is learned."""
    kink = model.family.kink
    return kink is not None and any(model.of_role(s.name) for s in kink.free_symbols)


def _covariance(module: Any, x: Any, coords: Any, kind: str, w: Any) -> Any:
    """The covariance of one point's worth of data; that it means little is no news here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return module.covariance(x, coords, kind, weights=w, count=1)


def _view_field(
    view: View, field: Sequence[Measured], coords: Sequence[float]
) -> tuple[Measured, ...]:
    """J ∇L by mpmath's own differentiation of the view's functions."""
    out = []
    exact = [mpmath.mpf(c) for c in coords]
    for expression in view.expressions:
        f = callable_of(view.chart.symbols, expression)
        row = [_slope(f, exact, j) for j in range(len(exact))]
        bends = [
            sum(
                abs(exact[m] * (b - a) / mpmath.mpf("1e-20") * s.value)
                for a, b, s in zip(row, _moved_row(f, exact, m), field, strict=True)
            )
            for m in range(len(exact))
        ]
        parts = list(zip(row, field, strict=True))
        out.append(
            Measured(
                sum((j * s.value for j, s in parts), mpmath.mpf(0)),
                sum((abs(j) * s.scale for j, s in parts), mpmath.mpf(0)),
                sum((abs(j) * s.sensitivity for j, s in parts), mpmath.mpf(0)) + sum(bends),
                sum((abs(j) * s.error for j, s in parts), mpmath.mpf(0)),
                field[0].method,
            )
        )
    return tuple(out)


def _slope(f: Callable[..., Any], at: Sequence[Any], j: int) -> Any:
    """∂f/∂λ_j by a complex step."""
    step = mpmath.mpf("1e-40")
    moved = [v + (mpmath.mpc(0, step) if i == j else 0) for i, v in enumerate(at)]
    return mpmath.im(f(*moved)) / step


def _moved_row(f: Callable[..., Any], at: Sequence[Any], m: int) -> list[Any]:
    """The row of slopes with the m-th coordinate moved by 1e-20."""
    moved = [v + (mpmath.mpf("1e-20") if i == m else 0) for i, v in enumerate(at)]
    return [_slope(f, moved, j) for j in range(len(at))]
