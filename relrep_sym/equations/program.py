"""What is derived from a chart's straight-line program: pull-back, Jacobian, differences, inverse.

In: a :class:`~relrep_sym.declare.chart.Chart`. Out: more straight-line programs (reverse mode, so
that cost grows with the program's length) and, for display, unrolled SymPy matrices.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise

import sympy as sp
from sympy.codegen.cfunctions import expm1

from relrep_sym.declare.chart import Chart
from relrep_sym.declare.domains import Domain
from relrep_sym.declare.functions import Logistic, LogTotal, Softplus, SoftplusInverse
from relrep_sym.declare.symbols import Constant, Intermediate, Parameter
from relrep_sym.errors import NoInverseError, problem

__all__ = ["adjoint", "find_inverse", "invert_view", "jacobian", "pull_back", "slopes", "steps"]


def adjoint(name: str) -> sp.Symbol:
    """The symbol of ∂L/∂(name) in a pull-back program."""
    return sp.Symbol(f"d_{name}")


Form = Callable[[sp.Expr], sp.Expr]
"""Another way to write an expression of a chart's."""


def _as_it_is(expression: sp.Expr) -> sp.Expr:
    return expression


def pull_back(
    chart: Chart,
    bar_of: Callable[[str], sp.Symbol] = adjoint,
    fed: Iterable[Parameter] | None = None,
    form: Form = _as_it_is,
) -> list[tuple[sp.Symbol, sp.Expr]]:
    """∇_λ L from ∇_θ L in reverse: assignments to the adjoint of each coordinate.

    Inputs are the adjoints that come from the model, ``d_θ``, of the targets ``fed`` (by default
    the entries of θ); the program is walked backwards, each step adding its local partial
    derivatives. Targets are adjoints of what a later step uses, and at the end those of the
    coordinates, marked by a plain symbol of the coordinate itself. Constants have none. ``form``
    says how each local derivative is written.

    >>> from relrep_sym.declare.charts import relative
    >>> from relrep_sym.declare.model import mixture
    >>> c = relative(mixture("normal", components=3, weights="1/3", scales=1), "mu")
    >>> [f"{t} = {e}" for t, e in pull_back(c)]
    ['d_mu_2 = d_mu_2 + d_mu_3', 'd_mu_1 = d_mu_1 + d_mu_2',
     'mu_1 = d_mu_1', 'Delta_1 = d_mu_2', 'Delta_2 = d_mu_3']
    """
    terms: dict[sp.Symbol, list[sp.Expr]] = {c.symbol: [] for c in chart.coordinates}
    inner: dict[Parameter, list[sp.Expr]] = {target: [] for target, _ in chart.program}
    given = {p.symbol for p in chart.model.parameters} if fed is None else set(fed)
    out: list[tuple[sp.Symbol, sp.Expr]] = []
    for target, rule in reversed(chart.program):
        bar = bar_of(target.name)
        if inner[target]:
            own = [bar] if target in given else []
            out.append((bar, sp.Add(*own, *inner[target])))
        elif target not in given:
            continue
        for symbol, slope in slopes(chart, target, rule):
            if slope != 0:
                partial = form(slope)
                (inner if isinstance(symbol, Parameter) else terms)[symbol].append(partial * bar)
    return out + [(symbol, sp.Add(*parts)) for symbol, parts in terms.items()]


def slopes(chart: Chart, target: Parameter, rule: sp.Expr) -> tuple[tuple[sp.Symbol, sp.Expr], ...]:
    """The local partial derivatives of one step of a chart's program, constants left out.

    Where the chart has intermediates, and so computes its targets on the way, what is the target's
    own value in a derivative (of an exponential, of a softmax's logarithm) is written as the
    target.
    """
    own = bool(chart.intermediates) and isinstance(rule, sp.exp | LogTotal)
    return _slopes(rule, target if own else None)


@lru_cache(maxsize=4096)
def _slopes(rule: sp.Expr, own: Parameter | None) -> tuple[tuple[sp.Symbol, sp.Expr], ...]:
    read = _ordered(rule.free_symbols)
    if rule.is_Symbol:
        return tuple((s, sp.Integer(1)) for s in read)
    if isinstance(rule, LogTotal) and all(a.is_Symbol for a in rule.args):
        value = rule if own is None else own
        return tuple((a, sp.exp(a - value)) for a in rule.args if not isinstance(a, Constant))
    known = {} if own is None else {rule: own}
    return tuple((s, sp.diff(rule, s).xreplace(known)) for s in read)


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


def _ordered(symbols: Iterable[sp.Symbol]) -> list[sp.Symbol]:
    """Coordinates and targets by name; constants left out."""
    learned = (s for s in symbols if not isinstance(s, Constant))
    return sorted(learned, key=lambda s: (s.name, isinstance(s, Parameter)))


def jacobian(chart: Chart) -> sp.ImmutableMatrix:
    """∂θ/∂λ, unrolled, a row for each entry of θ and a column for each coordinate.

    >>> from relrep_sym.declare.charts import relative
    >>> from relrep_sym.declare.model import mixture
    >>> c = relative(mixture("normal", components=3, weights="1/3", scales=1), "mu", gap="square")
    >>> jacobian(c)
    Matrix([
    [1,         0,         0],
    [1, 2*Delta_1,         0],
    [1, 2*Delta_1, 2*Delta_2]])
    """
    rows: dict[Parameter, dict[sp.Symbol, sp.Expr]] = {}
    unrolled = chart.every_value
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


def steps(chart: Chart, role: str) -> list[sp.Expr] | None:
    """φ_{k+1} − φ_k in the chart's own terms, where that avoids a cancellation; or None.

    Each is in coordinates, constants and intermediates, so that the steps of a relative chart are
    its gaps and never pass through the locations; where logarithms are relative, it is a factor
    ``expm1`` of the entry before.

    >>> from relrep_sym.declare.charts import relative
    >>> from relrep_sym.declare.model import mixture
    >>> c = relative(mixture("normal", components=3, scales=1), "mu", gap="square")
    >>> steps(c, "mu"), steps(c, "sigma")
    ([Delta_1**2, Delta_2**2], None)
    """
    values = chart.model.component(role)
    rules = dict(chart.program)
    plain = [isinstance(rules.get(v, v), sp.Symbol) or v.is_number for v in values]
    if all(plain) or len(values) < 2:
        return None
    out = []
    for here, after in pairwise(values):
        try:
            up = _expanded(rules.get(after, after) - here)
            down = _expanded(rules.get(here, here) - after)
        except _TooLong:
            return None
        if not _reads_entries(up):
            out.append(up)
        elif not _reads_entries(down):
            out.append(-down)
        else:
            ratio = _ratio_step(rules, here, after)
            if ratio is None:
                return _unrolled_steps(chart, values)
            out.append(ratio)
    return out


def _ratio_step(
    rules: Mapping[sp.Symbol, sp.Expr], here: sp.Expr, after: sp.Expr
) -> sp.Expr | None:
    """φ (e^d − 1) for neighbours φ = exp(b) and exp(b + d), as where logarithms are relative."""
    first, second = rules.get(here, here), rules.get(after, after)
    if not (isinstance(first, sp.exp) and isinstance(second, sp.exp)):
        return None
    low, high = first.args[0], second.args[0]
    inner = {s: rules[s] for s in high.free_symbols | low.free_symbols if s in rules}
    tries = [(low, high), (low, high.xreplace(inner)), (low.xreplace(inner), high)]
    for b, top in [*tries, (low.xreplace(inner), high.xreplace(inner))]:
        try:
            d = _expanded(top - b)
        except _TooLong:
            return None
        if not _reads_entries(d) and len(d.free_symbols) < len(b.free_symbols | top.free_symbols):
            return here * expm1(d)
    return None


def _reads_entries(expression: sp.Expr) -> bool:
    """Whether entries of θ are left in it, which a step should not pass through."""
    return any(
        isinstance(s, Parameter) and not isinstance(s, Intermediate)
        for s in expression.free_symbols
    )


def _unrolled_steps(chart: Chart, values: Sequence[sp.Expr]) -> list[sp.Expr] | None:
    """Steps by expansion of the unrolled maps, for small models; None if nothing cancels."""
    if len(values) > 8:
        return None
    unrolled = chart.unrolled
    full = [v.xreplace(unrolled) for v in values]
    try:
        found = [_expanded(after - here) for here, after in pairwise(full)]
    except _TooLong:
        return None
    gains = any(
        len(d.free_symbols) < len(here.free_symbols | after.free_symbols)
        for d, (here, after) in zip(found, pairwise(full), strict=True)
    )
    return found if gains else None


Solution = list[tuple[sp.Symbol, sp.Expr]]


def find_inverse(chart: Chart) -> Solution:
    """Coordinates in terms of θ, in an order of computation: given, or found by triangular solving.

    Pairs (coordinate or intermediate, expression); an expression may use earlier ones and the
    constants beside θ. One equation with one unknown is inverted through + − × ÷, powers, exp and
    log, the branch taken from the coordinate's domain; several equations linear in several unknowns
    are solved together. Where there are more equations than coordinates, those left over say which
    θ are in the chart's image.

    Raises NoInverseError where that does not reach every coordinate.

    >>> from relrep_sym.declare.charts import relative
    >>> from relrep_sym.declare.model import mixture
    >>> c = relative(mixture("normal", components=2, weights="1/2", scales=1), "mu", gap="square")
    >>> find_inverse(c)
    [(mu_1, mu_1), (Delta_1, sqrt(-mu_1 + mu_2))]
    """
    search = _Search(chart)
    while search.step():
        pass
    missing = [c.name for c in chart.coordinates if c.symbol not in search.found]
    if missing:
        raise NoInverseError(
            problem(
                f"no inverse was found for {', '.join(missing)}",
                "; ".join(_short(f"{t} = {r}") for t, r in search.pending[:4]),
                "a triangular or linear map, or inverse= given to rs.chart",
            )
        )
    return _needed(chart, search.found)


def _short(text: str) -> str:
    return text if len(text) <= 60 else "an expression of " + text.partition(" = ")[0]


class _Search:
    """The unknowns of a chart's inverse, found one after another."""

    def __init__(self, chart: Chart) -> None:
        self.domains = {c.symbol: c.domain for c in chart.coordinates}
        self.above = {p.symbol for p in chart.model.parameters if p.domain.lower >= 0}
        self.entries = {p.symbol for p in chart.model.parameters}
        self.hints = list(chart.inverse)
        self.pending = list(chart.program)
        self.found: dict[sp.Symbol, sp.Expr] = {}

    def known(self, symbol: sp.Symbol) -> bool:
        return symbol in self.entries or symbol in self.found or isinstance(symbol, Constant)

    def unknown(self, expression: sp.Expr) -> list[sp.Symbol]:
        return [s for s in _ordered(expression.free_symbols) if not self.known(s)]

    def step(self) -> bool:
        """One more unknown, or several together; False where there is nothing left to find."""
        for symbol, rule in self.hints:
            if not self.known(symbol) and not self.unknown(rule):
                self.found[symbol] = rule
                return True
        for item in list(self.pending):
            target, rule = item
            unknown = self.unknown(rule)
            if not unknown:  # the rule gives its target; or it only says which θ are in the image
                self.pending.remove(item)
                if not self.known(target):
                    self.found[target] = rule
                    return True
                continue
            if len(unknown) == 1 and self.known(target):
                (s,) = unknown
                above = target in self.above
                solved = _invert(rule, target, s, self.domains.get(s), above)
                if solved is not None:
                    self.pending.remove(item)
                    self.found[s] = solved
                    return True
        solved_together = _invert_linear(
            [(t, r) for t, r in self.pending if self.known(t) and self.unknown(r)], self.unknown
        )
        self.found |= dict(solved_together)
        return bool(solved_together)


def _needed(chart: Chart, found: Mapping[sp.Symbol, sp.Expr]) -> Solution:
    """What the coordinates need of what was found, in the order in which it was."""
    wanted = set(chart.symbols)
    for symbol, rule in reversed(list(found.items())):
        if symbol in wanted:
            wanted |= {s for s in rule.free_symbols if s in found}
    return [(s, rule) for s, rule in found.items() if s in wanted]


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
        expanded = _expanded(rule)
    except _TooLong:
        return _peeled(rule, target, unknown, where, above)
    found = _peeled(expanded, target, unknown, where, above)
    if found is None and expanded != rule:  # multiplied out, a product may hold it several times
        found = _peeled(rule, target, unknown, where, above)
    return found


def _peeled(
    left: sp.Expr, target: sp.Expr, unknown: sp.Symbol, where: Domain | None, above: bool
) -> sp.Expr | None:
    """The solution of left = target, function by function from outside."""
    right = target
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
        elif isinstance(left, Softplus):
            left, right = left.args[0], SoftplusInverse(right)
        elif isinstance(left, Logistic):
            left, right = left.args[0], sp.log(right) - sp.log(1 - right)
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
    if power.base == unknown:
        return power.exp % 2 == 0 or where.lower >= 0
    inside = power.base.xreplace({unknown: sp.Dummy("u", **where.assumptions())})
    return inside.is_nonnegative is True


def _invert_collected(left: sp.Expr, right: sp.Expr, unknown: sp.Symbol) -> sp.Expr | None:
    """The solution where the unknown occurs linearly in several terms."""
    polynomial = sp.Poly(left, unknown) if left.is_polynomial(unknown) else None
    if polynomial is None or polynomial.degree() != 1:
        return None
    slope, offset = polynomial.all_coeffs()
    return (right - offset) / sp.factor(slope)


def _invert_linear(
    pending: Sequence[tuple[Parameter, sp.Expr]], unknown_in: Callable[[sp.Expr], list[sp.Symbol]]
) -> Solution:
    """The unknowns of equations that are linear in all of them, from as many rows as are needed."""
    unknown = sorted({s for _, r in pending for s in unknown_in(r)}, key=lambda s: s.name)
    if not unknown or len(unknown) > min(len(pending), 6):
        return []
    try:
        equations = [_expanded(r - t) for t, r in pending]
    except _TooLong:
        return []
    matrix = sp.Matrix([[sp.diff(e, s) for s in unknown] for e in equations])
    if matrix.has(*unknown):
        return []
    _, rows = matrix.T.rref()
    if len(rows) < len(unknown):
        return []
    matrix = matrix.extract(list(rows), list(range(len(unknown))))
    origin = dict.fromkeys(unknown, sp.Integer(0))
    right = -sp.Matrix([equations[i].xreplace(origin) for i in rows])
    determinant = sp.factor(matrix.det())
    if determinant == 0:
        return []
    solution = matrix.adjugate() * right
    return [(s, sp.cancel(v / determinant)) for s, v in zip(unknown, solution, strict=True)]


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
            solved_all = _invert_linear(
                [(t, r.xreplace(found)) for r, t in pending],
                lambda r: [c for c in coordinates if c in r.free_symbols],
            )
            if not solved_all:
                return None
            found |= dict(solved_all)
            break
    back = {mark: t for t, mark in marked.items()}
    return {c: e.xreplace(back) for c, e in found.items()}
