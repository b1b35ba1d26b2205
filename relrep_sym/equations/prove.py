r"""Proofs of identities: both sides in the same few means, and what is left by parts.

In: two sides of an identity, in a :class:`~relrep_sym.declare.identity.Scope`. Out: a
:class:`Proof` with the names of the rules, or the reason why there is none. A proof is exact: the
last step is always a zero in a field of rational functions.

1. The rules of :mod:`.expect` write the difference in means that they cannot reduce.
2. If it is not zero then, one looks for test functions g_i and factors c_i such that the difference
   is Σ c_i R_i, where R_i = 0 is what integration by parts gives for g_i. The linear system is
   solved at a random rational point first, which tells the few g_i that are needed; for these it is
   solved and checked in symbols.

Bounded: the test functions are products of what stands in the difference, and a deadline is looked
at between steps.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sympy as sp
from sympy.polys.constructor import construct_domain
from sympy.polys.domains import QQ
from sympy.polys.matrices import DomainMatrix

from relrep_sym.declare.functions import Erfc, Logistic, LogTotal, Softplus, SoftplusInverse
from relrep_sym.declare.identity import Scope
from relrep_sym.declare.nodes import Atom, Expected
from relrep_sym.equations.expect import Calculus, Linear, Mean
from relrep_sym.errors import DerivationError, RelrepError, problem

__all__ = ["Proof", "prove", "residual"]

_STABLE = (LogTotal, Logistic, Softplus, SoftplusInverse)

MAX_TESTS = 160
"""Test functions that are tried."""


@dataclass(frozen=True)
class Proof:
    """Whether the difference is zero for certain, by which rules, or why that is not known."""

    proven: bool
    rules: tuple[str, ...]
    reason: str = ""


def prove(scope: Scope, left: sp.Expr, right: sp.Expr, seconds: float = 20.0) -> Proof:
    """Try to prove left = right by the rules; never claims what was not proven.

    >>> from relrep_sym.declare.chart import identity
    >>> from relrep_sym.declare.model import mixture
    >>> scope = Scope(identity(mixture("normal", components=3, scales=1)))
    >>> sides = [scope.read(t, "a side") for t in ("E_p[r_2*(x - mu_2)**2]", "pi_2")]
    >>> prove(scope, *sides).rules
    ('balance', 'linearity', 'moments')
    """
    calculus = Calculus(scope)
    search = _Search(calculus, time.monotonic() + seconds)
    try:
        found = search.run(left, right)
    except RelrepError as why:
        return Proof(False, (), str(why))
    except (NotImplementedError, ArithmeticError, ValueError, TypeError) as why:
        return Proof(False, (), f"SymPy fails at it ({type(why).__name__}: {str(why)[:80]})")
    if not found:
        return Proof(False, (), "no proof by the rules was found")
    rules = calculus.used | ({"algebra"} if not calculus.used else set())
    return Proof(True, tuple(sorted(rules)))


def residual(scope: Scope, left: sp.Expr, right: sp.Expr) -> sp.Expr | None:
    """left − right by the rules, expanded, its means again as nodes; None where a rule fails.

    What is left of a difference that is small beside its sides is seen here to all its digits.
    """
    calculus = Calculus(scope)
    try:
        difference = calculus.resolved(left) - calculus.resolved(right)
        found, means = calculus.combined(difference)
        found = sp.expand(found, power_base=False, power_exp=False, log=False)
    except (RelrepError, NotImplementedError, ArithmeticError, ValueError, TypeError):
        return None
    back = {}
    for symbol, (law, k, body) in means.items():
        back[symbol] = Expected(body, sp.Symbol(f"{law}_{k}" if k else law))
    return found.xreplace(back)


@dataclass(frozen=True)
class _Search:
    calculus: Calculus
    deadline: float

    def _check(self) -> None:
        if time.monotonic() > self.deadline:
            raise DerivationError(problem("no proof in time", "the time given", "more seconds"))

    def run(self, left: sp.Expr, right: sp.Expr) -> bool:
        c = self.calculus
        difference = c.resolved(left) - c.resolved(right)
        self._check()
        expression, means = c.combined(difference)
        self._check()
        if is_zero(expression):
            return True
        if not means:
            return False
        form = self._linear(expression, means)
        return form is not None and self._by_parts(form)

    def _linear(self, expression: sp.Expr, means: dict[sp.Symbol, Mean]) -> Linear | None:
        """The numerator as a combination of means, if it is one."""
        numerator = sp.fraction(sp.together(expression))[0]
        p = sp.Poly(numerator, *means)
        if p.total_degree() > 1:
            return None
        out: Linear = {}
        for powers, value in p.terms():
            which = [s for s, n in zip(means, powers, strict=True) if n]
            out[means[which[0]] if which else None] = value
        return out

    # ------------------------------------------------------------------------- by parts

    def _by_parts(self, form: Linear) -> bool:
        c = self.calculus
        used = set(c.used)
        relations: list[Linear] = []
        for law_name, k, g in itertools.islice(self._tests(form), MAX_TESTS):
            self._check()
            try:
                relation = c.by_parts(g, c.laws[law_name], k)
            except DerivationError:
                continue
            if relation:
                relations.append(relation)
        if not relations:
            return False
        solved = _combination(form, relations, self._check)
        c.used.clear()
        c.used.update(used)
        if not solved:
            return False
        families = {w.family for w in c.laws.values()}
        discrete = c.scope.model.family.support == "integers"
        stein = discrete or all(_linear_score(f) for f in families)
        c.used.add(("stein-chen" if discrete else "stein") if stein else "parts")
        return True

    def _tests(self, form: Linear) -> Any:
        """Test functions with the law and component to take them under: the simple ones first."""
        c = self.calculus
        x = c.scope.x
        wanted: dict[tuple[str, int], set[sp.Expr]] = {}
        top_x, top_r = 1, 1
        posteriors = {r for name, w in c.laws.items() if name != "theta" for r in w.posteriors}
        for mean in form:
            if mean is None:
                continue
            law, k, body = mean
            count = len(c.laws[law].weights)
            rest = sp.Integer(1)
            for piece in sp.Mul.make_args(body):
                base, power = piece.as_base_exp()
                if base == x and power.is_Integer and power > 0:
                    top_x = max(top_x, int(power))
                elif base in posteriors:
                    top_r = max(top_r, int(power))
                else:
                    rest *= piece
            top_r = max(top_r, _degree(body, posteriors))
            for component in [k] if k else range(1, count + 1):
                wanted.setdefault((law, component), set()).add(rest)
        for degree in range(top_r + 1):
            for power in range(top_x + 1):
                for (law, k), rests in sorted(wanted.items()):
                    atoms = self._free_posteriors()
                    for chosen in itertools.combinations_with_replacement(atoms, degree):
                        for rest in sorted(rests, key=sp.default_sort_key):
                            if _may_test(rest, x):
                                yield law, k, sp.Mul(*chosen) * x**power * rest

    def _free_posteriors(self) -> list[Atom]:
        laws = self.calculus.laws
        return [r for name in laws if name != "theta" for r in laws[name].posteriors[:-1]]


def _may_test(rest: sp.Expr, x: sp.Symbol) -> bool:
    """Whether what stands beside x and posteriors is bounded, or grows no faster than powers."""
    for piece in sp.Mul.make_args(rest):
        base, power = piece.as_base_exp()
        if piece == 1 or (isinstance(base, Atom) and base.name.startswith("log") and power > 0):
            continue
        if isinstance(base, sp.sin | sp.cos | sp.tanh | sp.atan | sp.erf | Erfc | sp.asinh):
            if power.is_Integer and power > 0 and not base.has(Atom):
                continue
        return False
    return True


def _degree(body: sp.Expr, posteriors: set[Atom]) -> int:
    return sum(
        int(power)
        for base, power in (f.as_base_exp() for f in sp.Mul.make_args(body))
        if base in posteriors and power.is_Integer
    )


def _linear_score(family: Any) -> bool:
    score = sp.diff(family.log_density, family.x)
    return bool(score.is_polynomial(family.x)) and sp.degree(score, family.x) == 1


def is_zero(e: sp.Expr) -> bool:
    """Whether an expression vanishes identically, proven in a field of rational functions.

    >>> a, b = sp.symbols("a b")
    >>> is_zero((a**2 - b**2) / (a - b) - a - b), is_zero(a - b)
    (True, False)
    """
    if e == 0:
        return True
    if e.atoms(*_STABLE):  # only here, where nothing is evaluated, may they be opened
        e = e.rewrite(_STABLE, sp.log).rewrite(_STABLE, sp.exp)
    e = e.rewrite(Erfc, sp.erf) if e.has(Erfc) else e
    opened = _logs_opened(sp.powsimp(sp.expand_power_exp(e)))
    numerator = sp.fraction(sp.together(opened))[0]
    if sp.expand(numerator) == 0:
        return True
    domain, (element,) = construct_domain([opened], field=True)
    return bool(domain.is_zero(element)) if not domain.is_EX else False


def _logs_opened(e: sp.Expr) -> sp.Expr:
    """Logarithms of products as sums.

    What is compared is real, and Re log(ab) = Re log a + Re log b whatever the signs: so signs need
    not be known, unless a logarithm stands inside a function or a root.
    """
    held = [f for f in e.atoms(sp.Function) if not isinstance(f, sp.log)]
    held += [f for f in e.atoms(sp.Pow) if not f.exp.is_Integer]
    nested = any(f.has(sp.log) for f in held)
    nested = nested or any(f.args[0].has(sp.log) for f in e.atoms(sp.log))
    return sp.expand_log(e, force=not nested)


def _combination(form: Linear, relations: Sequence[Linear], check: Callable[[], None]) -> bool:
    """Whether the form is a combination of the relations, proven in symbols."""
    keys = list(dict.fromkeys(k for f in (form, *relations) for k in f))
    values = [v for f in (form, *relations) for v in f.values()]
    domain, elements = construct_domain([_logs_opened(v) for v in values], field=True)
    if domain.is_EX or domain.is_Algebraic:
        return False
    check()
    it = iter(elements)
    target, *columns = [{k: next(it) for k in f} for f in (form, *relations)]
    rng = random.Random(len(values))
    chosen = _support(domain, keys, target, columns, rng)
    if chosen is None:
        return False
    check()
    few = [columns[i] for i in chosen]
    rows = [k for k in keys if k in target or any(k in c for c in few)]
    zero = domain.zero
    table = [[*(c.get(k, zero) for c in few), target.get(k, zero)] for k in rows]
    return _solvable(DomainMatrix(table, (len(rows), len(few) + 1), domain))


def _solvable(augmented: DomainMatrix) -> bool:
    """Whether the last column is a combination of the others, exactly."""
    _, pivots = augmented.to_sparse().rref()
    return augmented.shape[1] - 1 not in pivots


def _support(
    domain: Any, keys: Sequence[Any], target: Any, columns: Sequence[Any], rng: random.Random
) -> list[int] | None:
    """The columns that make up the target at a random rational point; None where none do."""
    for _ in range(5):
        at = _numbers(domain, rng)
        try:
            table = [
                [*(at(c[k]) if k in c else QQ(0) for c in columns), at(target.get(k, domain.zero))]
                for k in keys
            ]
        except ZeroDivisionError:
            continue
        matrix = DomainMatrix(table, (len(keys), len(columns) + 1), QQ).to_sparse()
        reduced, pivots = matrix.rref()
        last = len(columns)
        if last in pivots:
            return None
        found = reduced.to_Matrix()
        return [p for row, p in enumerate(pivots) if found[row, last] != 0]
    return None


def _numbers(domain: Any, rng: random.Random) -> Callable[[Any], Any]:
    """An evaluation of field elements at one random rational point."""
    if domain.is_QQ or domain.is_ZZ:
        return QQ.convert
    point = [QQ(rng.randint(2, 997), rng.randint(2, 997)) for _ in domain.symbols]

    def polynomial(part: Any) -> Any:
        total = QQ(0)
        for powers, factor in part.terms():
            term = QQ.convert(factor)
            for v, n in zip(point, powers, strict=True):
                term *= v**n
            total += term
        return total

    def value(element: Any) -> Any:
        above, below = polynomial(element.numer), polynomial(element.denom)
        if not below:
            raise ZeroDivisionError
        return above / below

    return value
