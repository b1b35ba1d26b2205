"""What is derived from a chart's straight-line program: pull-back, Jacobian, differences, inverse.

In: a :class:`~relrep_sym.declare.chart.Chart`. Out: more straight-line programs (reverse mode, so
that cost grows with the program's length) and, for display, unrolled SymPy matrices.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import sympy as sp

from relrep_sym.declare.chart import Chart
from relrep_sym.declare.domains import Domain
from relrep_sym.declare.symbols import Parameter
from relrep_sym.errors import NoInverseError, problem

__all__ = ["adjoint", "differences", "find_inverse", "jacobian", "pull_back"]


def adjoint(name: str) -> sp.Symbol:
    """The symbol of ∂L/∂(name) in a pull-back program."""
    return sp.Symbol(f"d_{name}")


def pull_back(
    chart: Chart, bar_of: Callable[[str], sp.Symbol] = adjoint
) -> list[tuple[sp.Symbol, sp.Expr]]:
    """∇_λ L from ∇_θ L in reverse: assignments to the adjoint of each coordinate.

    Inputs are the adjoints of θ that come from the model, ``d_θ``; the program is walked backwards,
    each step adding its local partial derivatives. Targets are adjoints of θ where an entry is used
    by a later one, and at the end those of the coordinates, under ``d_λ`` names marked by a plain
    symbol of the coordinate itself.

    >>> from relrep_sym.declare.chart import relative
    >>> from relrep_sym.declare.model import mixture
    >>> c = relative(mixture("normal", components=3, weights="1/3", scales=1), "mu")
    >>> [f"{t} = {e}" for t, e in pull_back(c)]
    ['d_mu_2 = d_mu_2 + d_mu_3', 'd_mu_1 = d_mu_1 + d_mu_2',
     'mu_1 = d_mu_1', 'Delta_1 = d_mu_2', 'Delta_2 = d_mu_3']
    """
    terms: dict[sp.Symbol, list[sp.Expr]] = {c.symbol: [] for c in chart.coordinates}
    inner: dict[Parameter, list[sp.Expr]] = {target: [] for target, _ in chart.program}
    out: list[tuple[sp.Symbol, sp.Expr]] = []
    for target, rule in reversed(chart.program):
        bar = bar_of(target.name)
        if inner[target]:
            out.append((bar, sp.Add(bar, *inner[target])))
        for symbol in _ordered(rule.free_symbols):
            partial = sp.Integer(1) if rule is symbol else sp.diff(rule, symbol)
            if partial != 0:
                (inner if isinstance(symbol, Parameter) else terms)[symbol].append(partial * bar)
    return out + [(symbol, sp.Add(*parts)) for symbol, parts in terms.items()]


_MOST_TERMS = 2000


class _TooLong(Exception):
    """An expansion would have more terms than are worth writing out."""


def _expanded(expression: sp.Expr) -> sp.Expr:
    """The expression multiplied out; _TooLong where that would be a flood of terms."""
    if _term_count(expression) > _MOST_TERMS:
        raise _TooLong
    return sp.expand(expression)


def _term_count(expression: sp.Expr) -> float:
    """An upper bound of how many terms the expanded expression has."""
    if expression.is_Add:
        return sum(_term_count(a) for a in expression.args)
    if expression.is_Mul:
        return float(math.prod(_term_count(a) for a in expression.args))
    if expression.is_Pow and expression.exp.is_Integer and expression.exp.is_positive:
        count, power = _term_count(expression.base), float(expression.exp)
        return 1.0 if count == 1 else min(count, 1e6) ** min(power, 40.0)
    return max((_term_count(a) for a in expression.args), default=1.0)


def _ordered(symbols: set[sp.Symbol]) -> list[sp.Symbol]:
    return sorted(symbols, key=lambda s: (s.name, isinstance(s, Parameter)))


def jacobian(chart: Chart) -> sp.ImmutableMatrix:
    """∂θ/∂λ, unrolled, a row for each entry of θ and a column for each coordinate.

    >>> from relrep_sym.declare.chart import relative
    >>> from relrep_sym.declare.model import mixture
    >>> c = relative(mixture("normal", components=3, weights="1/3", scales=1), "mu", gap="square")
    >>> jacobian(c)
    Matrix([
    [1,         0,         0],
    [1, 2*Delta_1,         0],
    [1, 2*Delta_1, 2*Delta_2]])
    """
    rows: dict[Parameter, dict[sp.Symbol, sp.Expr]] = {}
    unrolled = chart.unrolled
    for target, rule in chart.program:
        row: dict[sp.Symbol, sp.Expr] = {}
        for symbol in _ordered(rule.free_symbols):
            partial = sp.diff(rule, symbol)
            if isinstance(symbol, Parameter):
                outer = partial.xreplace(unrolled)
                for inner, value in rows[symbol].items():
                    row[inner] = row.get(inner, sp.Integer(0)) + outer * value
            else:
                row[symbol] = row.get(symbol, sp.Integer(0)) + partial.xreplace(unrolled)
        rows[target] = row
    return sp.ImmutableMatrix(
        len(chart.model.parameters),
        len(chart.coordinates),
        lambda i, j: rows[chart.model.parameters[i].symbol].get(chart.symbols[j], sp.Integer(0)),
    )


def differences(chart: Chart, role: str) -> list[sp.Expr] | None:
    """φ_k − φ_K for k < K in the chart's own terms, where that avoids a cancellation; or None.

    Each is in coordinates and in the differences after it (``delta_role_k``), so that the
    differences of a relative chart are sums of its gaps and never pass through the locations.

    >>> from relrep_sym.declare.chart import relative
    >>> from relrep_sym.declare.model import mixture
    >>> c = relative(mixture("normal", components=3, scales=1), "mu", gap="square")
    >>> differences(c, "mu"), differences(c, "sigma")
    ([-Delta_1**2 + delta_mu_2, -Delta_2**2], None)
    """
    values = chart.model.component(role)
    rules = dict(chart.program)
    plain = [isinstance(rules.get(v, v), sp.Symbol) or v.is_number for v in values]
    if all(plain) or len(values) < 2:
        return None
    steps = []
    for here, after in pairwise(values):
        try:
            step = _expanded(rules.get(after, after) - here)
        except _TooLong:
            return None
        if step.has(here):
            return _unrolled_differences(chart, values)
        steps.append(-step)
    out: list[sp.Expr] = []
    for k, step in enumerate(steps):
        later = k + 2 <= len(values) - 1
        out.append(step + sp.Symbol(f"delta_{role}_{k + 2}") if later else step)
    return out if not any(isinstance(s, Parameter) for e in out for s in e.free_symbols) else None


def _unrolled_differences(chart: Chart, values: Sequence[sp.Expr]) -> list[sp.Expr] | None:
    """Differences by expansion of the unrolled maps, for small models; None if nothing cancels."""
    if len(values) > 8:
        return None
    unrolled = chart.unrolled
    full = [v.xreplace(unrolled) for v in values]
    try:
        found = [_expanded(v - full[-1]) for v in full[:-1]]
    except _TooLong:
        return None
    gains = any(
        len(d.free_symbols) < len(v.free_symbols | full[-1].free_symbols)
        for d, v in zip(found, full[:-1], strict=True)
    )
    return found if gains else None


def find_inverse(chart: Chart) -> list[tuple[str, sp.Expr]]:
    """Coordinates in terms of θ, in an order of computation: given, or found by triangular solving.

    An expression may use earlier coordinates (plain symbols) beside θ. One equation with one
    unknown is inverted through + − × ÷, powers, exp and log, the branch taken from the
    coordinate's domain; several equations linear in several unknowns are solved together.

    Raises NoInverseError where that does not reach every coordinate.

    >>> from relrep_sym.declare.chart import relative
    >>> from relrep_sym.declare.model import mixture
    >>> c = relative(mixture("normal", components=2, weights="1/2", scales=1), "mu", gap="square")
    >>> find_inverse(c)
    [('mu_1', mu_1), ('Delta_1', sqrt(-mu_1 + mu_2))]
    """
    if chart.inverse is not None:
        return list(chart.inverse)
    if len(chart.coordinates) != len(chart.model.parameters):
        raise NoInverseError(
            problem(
                "the chart has not as many coordinates as the model has parameters",
                f"{len(chart.coordinates)} coordinates, {len(chart.model.parameters)} parameters",
                "a chart onto the model, or inverse= given",
            )
        )
    domains = {c.symbol: c.domain for c in chart.coordinates}
    above = {p.symbol for p in chart.model.parameters if p.domain.lower >= 0}
    pending = list(chart.program)
    found: list[tuple[str, sp.Expr]] = []
    known: set[sp.Symbol] = set()
    while pending:
        progress = False
        for item in list(pending):
            target, rule = item
            unknown = [s for s in _coordinates(rule) if s not in known]
            if len(unknown) == 1:
                solved = _invert(rule, target, unknown[0], domains[unknown[0]], target in above)
                if solved is not None:
                    found.append((unknown[0].name, solved))
                    known.add(unknown[0])
                    pending.remove(item)
                    progress = True
        if not progress:
            solved_together = _invert_linear(pending, known)
            found += solved_together
            known |= {sp.Symbol(n) for n, _ in solved_together}
            break
    if len(known) < len(domains):
        stuck = [c.name for c in chart.coordinates if c.symbol not in known]
        raise NoInverseError(
            problem(
                f"no inverse was found for {', '.join(stuck)}",
                "; ".join(f"{t} = {r}" for t, r in pending[:4]),
                "a triangular or linear map, or inverse= given to rs.chart",
            )
        )
    return found


def _coordinates(rule: sp.Expr) -> list[sp.Symbol]:
    return [s for s in _ordered(rule.free_symbols) if not isinstance(s, Parameter)]


def _invert(
    rule: sp.Expr,
    target: sp.Expr,
    unknown: sp.Symbol,
    where: Domain | None,
    above: bool = False,
) -> sp.Expr | None:
    """The solution of rule = target for one unknown that occurs once, peeled from outside.

    ``where`` is the unknown's domain, which picks the branch; without it there must be one alone.
    ``above`` says that the target is never negative, so that a root may be squared.
    """
    try:
        left, right = _expanded(rule), target
    except _TooLong:
        return None
    while left != unknown:
        if left.is_Add:
            rest, inner = left.as_independent(unknown, as_Add=True)
            left, right = inner, right - rest
            if left.is_Add:
                return _invert_collected(left, right, unknown)
        elif left.is_Mul:
            factor, inner = left.as_independent(unknown, as_Add=False)
            if inner.is_Mul:
                return None
            left, right = inner, right / factor
        elif isinstance(left, sp.exp):
            left, right = left.args[0], sp.log(right)
        elif isinstance(left, sp.log):
            left, right = left.args[0], sp.exp(right)
        elif left.is_Pow and left.exp.is_Rational and left.base.has(unknown):
            if not _has_branch(left, unknown, where):
                return None
            if left.exp.q % 2 == 0 and not (above and right == target):
                return None
            left, right = left.base, right ** (1 / left.exp)
        else:
            return None
    return right


def _has_branch(power: sp.Pow, unknown: sp.Symbol, where: Domain | None) -> bool:
    """Whether the positive root is the solution for the power's base, or one of the domain's."""
    if not power.exp.is_Integer or power.exp == -1:
        return True
    if where is None:
        return False
    if power.exp % 2 == 1:
        return bool(power.base == unknown and where.lower >= 0)
    return bool(power.base == unknown or where.lower >= 0)


def _invert_collected(left: sp.Expr, right: sp.Expr, unknown: sp.Symbol) -> sp.Expr | None:
    """The solution where the unknown occurs linearly in several terms."""
    polynomial = sp.Poly(left, unknown) if left.is_polynomial(unknown) else None
    if polynomial is None or polynomial.degree() != 1:
        return None
    slope, offset = polynomial.all_coeffs()
    return (right - offset) / sp.factor(slope)


def _invert_linear(
    pending: Sequence[tuple[Parameter, sp.Expr]], known: set[sp.Symbol]
) -> list[tuple[str, sp.Expr]]:
    unknown = sorted(
        {s for _, r in pending for s in _coordinates(r) if s not in known}, key=lambda s: s.name
    )
    if len(unknown) != len(pending) or len(unknown) > 6:
        return []
    try:
        equations = [_expanded(r - t) for t, r in pending]
    except _TooLong:
        return []
    matrix = sp.Matrix([[sp.diff(e, s) for s in unknown] for e in equations])
    if matrix.has(*unknown):
        return []
    origin = dict.fromkeys(unknown, sp.Integer(0))
    right = -sp.Matrix([e.xreplace(origin) for e in equations])
    determinant = sp.factor(matrix.det())
    if determinant == 0:
        return []
    solution = matrix.adjugate() * right
    return [(s.name, sp.cancel(v / determinant)) for s, v in zip(unknown, solution, strict=True)]


def invert_view(
    expressions: Sequence[sp.Expr], targets: Sequence[sp.Symbol], coordinates: Sequence[sp.Symbol]
) -> Mapping[sp.Symbol, sp.Expr] | None:
    """Coordinates in terms of a full view's functions where the equations are solved; or None."""
    if len(expressions) != len(coordinates):
        return None
    found: dict[sp.Symbol, sp.Expr] = {}
    # a view's function may be called like a coordinate that it is not: marked, they stay apart
    marked = {t: Parameter(t.name) for t in targets}
    pending = [(rule, marked[t]) for rule, t in zip(expressions, targets, strict=True)]
    while pending:
        for item in pending:
            rule, target = item[0].xreplace(found), item[1]
            unknown = [c for c in coordinates if c in rule.free_symbols]
            if len(unknown) == 1:
                solved = _invert(rule, target, unknown[0], None)
                if solved is not None:
                    found[unknown[0]] = solved
                    pending.remove(item)
                    break
        else:
            solved_all = _invert_linear([(t, r.xreplace(found)) for r, t in pending], set())
            if not solved_all:
                return None
            found |= {sp.Symbol(n): e for n, e in solved_all}
            break
    back = {mark: t for t, mark in marked.items()}
    return {c: e.xreplace(back) for c, e in found.items()}
