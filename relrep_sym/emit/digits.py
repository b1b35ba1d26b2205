"""Which of the ways to write an expression keeps its digits: found by trying, against mpmath.

In: an expression of the user's own and the domains of its symbols. Out: an equal expression, and
how many digits are lost where no way to write it helps.

Each sum, logarithm and product in it is computed in double precision, as the emitted code would,
and in mpmath, at points that hold the zeros and the far ends of the domain
(:mod:`relrep_sym.emit.probes`). Its loss is the error in units of

    u (|v| + Σ_j |λ_j ∂_j v|),

the value and what it owes to inputs that are known to a rounding. Where that is large, the forms of
:mod:`relrep_sym.equations.cancellation` are tried, the least loss is kept, and two forms that are
good on different sides of a sign are joined. The search is bounded, and the same at every call.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import sympy as sp
from mpmath import mp
from numpy.typing import NDArray
from sympy.codegen.cfunctions import expm1, log1p

from relrep_sym.declare.functions import Logistic, Softplus, SoftplusInverse
from relrep_sym.emit.numpy.in_doubles import in_doubles
from relrep_sym.emit.probes import beside_zeros, points
from relrep_sym.equations.cancellation import candidates
from relrep_sym.equations.special_nodes import Choice

__all__ = ["LOST", "Kept", "kept", "reaches"]

Array = NDArray[np.float64]
UNIT = 2.0**-53
GOOD = 32.0
"""A loss, in units, up to which a form is good."""
STRICT = 1e-3
"""How much a loss of the value's own digits counts where it is owed to the inputs' last digits."""
LOST = 2.0**20
"""A loss of a whole expression beyond which a user is told: more than six digits."""
_BITS = 1100
_TRIED = 64
"""Points of a node that are taken to mpmath."""
_ROUNDS = 4
_MOST_FORMS = 24
_MOST_OPERATIONS = 400
_HUGE, _TINY = 1e290, 1e-290
_FAR = 1e6
"""Coordinates beyond which an overflow is mended where that can be, but is no news."""


@dataclass(frozen=True)
class Kept:
    """An expression as it is best written, and the loss that is left, where it is worst."""

    expression: sp.Expr
    loss: float = 0.0
    where: str = ""


def kept(expression: sp.Expr, domains: Mapping[sp.Symbol, str], least: float = 0.0) -> Kept:
    """The expression in the form that keeps its digits.

    ``domains`` names the domain of each symbol: real, positive, nonnegative, unit or integers. A
    loss where a symbol is below ``least`` in size is no news.

    >>> d = sp.Symbol("d")
    >>> kept(sp.exp(d) - 1, {d: "real"}).expression
    expm1(d)
    """
    read = sorted(expression.free_symbols, key=lambda s: (s.name, str(type(s))))
    if not read or not _worth_trying(expression):
        return Kept(expression)
    kinds = tuple(domains[s] for s in read)
    marks = tuple(_mark(i, kind) for i, kind in enumerate(kinds))
    found = _kept(expression.xreplace(dict(zip(read, marks, strict=True))), marks, kinds, least)
    back = dict(zip(marks, read, strict=True))
    where = found.where
    for mark, s in back.items():
        where = where.replace(mark.name, s.name)
    return Kept(found.expression.xreplace(back), found.loss, where)


_FAR_OUT = (420.0, 1e4, 1e8, 1e30, 1e60, 1e90)
"""Sizes of x up to which a density's derivatives are computed: heavy tails have nodes there."""


def reaches(
    form: sp.Expr, expression: sp.Expr, domains: Mapping[sp.Symbol, str], far: sp.Symbol
) -> bool:
    """Whether a form has a value wherever the expression has one and one symbol is far out.

    >>> x = sp.Symbol("x", real=True)
    >>> reaches(sp.exp(-x) * expm1(x), 1 - sp.exp(-x), {x: "real"}, x)
    False
    """
    read = sorted(expression.free_symbols, key=lambda s: (s.name, str(type(s))))
    kinds = tuple(domains[s] for s in read)
    marks = tuple(_mark(i, kind) for i, kind in enumerate(kinds))
    to = dict(zip(read, marks, strict=True))
    f = in_doubles(form.xreplace(to), marks)
    n = read.index(far)
    near = points(kinds)[:, :2]
    signs = (1.0, -1.0) if kinds[n] == "real" else (1.0,)
    there = np.repeat(near[:, :1], len(signs) * len(_FAR_OUT), axis=1)
    there[n] = [sign * size * 1.03 for sign in signs for size in _FAR_OUT]
    sane = _sane(expression.xreplace(to), marks, there)
    exactly = _exactly((expression.xreplace(to),), marks)
    for at in there[:, sane].T:
        value = _at(exactly, at.tolist())
        finite = value is not None and abs(value[0]) < _HUGE
        if finite and (f is None or not np.isfinite(f(at[:, None])[0])):
            return False
    return True


def _mark(i: int, kind: str) -> sp.Symbol:
    assumed = {"real": {"real": True}, "positive": {"positive": True}, "unit": {"positive": True}}
    return sp.Symbol(f"probe{i}_", **assumed.get(kind, {"nonnegative": True}))


def _worth_trying(e: sp.Expr) -> bool:
    """Whether something in it could cancel or overflow: a sum of other than plain symbols."""
    if sp.count_ops(e) > _MOST_OPERATIONS:
        return False
    return any(
        (n.is_Add and not _linear(n)) or isinstance(n, sp.log | log1p | Softplus)
        or (n.is_Mul and n.has(sp.exp))
        for n in sp.preorder_traversal(e)
    )  # fmt: skip


def _by_symbol(total: sp.Add) -> list[sp.Expr]:
    """The terms of a sum in several symbols; those that read one alone are one sum, its own node.

    A normaliser, such as log λ − log(1 − e^−λ), cancels within itself, whatever stands beside it.
    """
    groups: dict[frozenset[sp.Basic], list[sp.Expr]] = {}
    for term in total.args:
        groups.setdefault(frozenset(term.free_symbols), []).append(term)
    if len(total.free_symbols) == 1:
        return list(total.args)
    curved = [
        terms
        for read, terms in groups.items()
        if len(read) == 1 and not all(t.as_coeff_Mul()[1].is_Symbol for t in terms)
    ]
    if len(curved) == 1:  # a number beside one function is that function's
        curved[0].extend(groups.pop(frozenset(), []))
    return [
        part
        for read, terms in groups.items()
        for part in ([sp.Add(*terms)] if len(read) == 1 else terms)
    ]


def _linear(total: sp.Add) -> bool:
    """Whether a sum is one of symbols and numbers, each symbol once: its roundings are its own."""
    bases = [t.as_coeff_Mul()[1] for t in total.args if not t.is_number]
    return all(b.is_Symbol for b in bases)


@functools.lru_cache(maxsize=2048)
def _kept(e: sp.Expr, marks: tuple[sp.Symbol, ...], kinds: tuple[str, ...], least: float) -> Kept:
    with np.errstate(all="ignore"):
        search = _Search(marks, kinds)
        best = search.rewritten(e)
        if not search.left:
            return Kept(best)
        tried = search.judge(e)
        if tried is None or not tried.points.size:
            return Kept(best)
        losses, sizes = tried.losses(best), np.abs(tried.points)
        told = np.isfinite(losses) | (sizes.max(axis=0) <= _FAR)
        losses = np.where(told & (sizes >= least).all(axis=0), losses, 0.0)
        worst = int(losses.argmax())
        if losses[worst] <= LOST:
            return Kept(best)
        at = zip(marks, tried.points[:, worst].tolist(), strict=True)
        return Kept(best, float(losses[worst]), ", ".join(f"{s.name} = {v:.4g}" for s, v in at))


class _Search:
    """The rewriting of one expression, from inside."""

    def __init__(
        self,
        marks: Sequence[sp.Symbol],
        kinds: Sequence[str],
        region: tuple[sp.Expr, ...] = (),
    ) -> None:
        self.marks, self.kinds, self.region = tuple(marks), tuple(kinds), region
        self.points = self._inside(points(kinds))
        self.done: dict[sp.Expr, sp.Expr] = {}
        self.left = False  # whether some node could not be mended

    def rewritten(self, e: sp.Expr) -> sp.Expr:
        """The expression with what is inside of it mended first."""
        if not e.args or e.is_number:
            return e
        if isinstance(e, Choice):
            return self._branches(e)
        if e not in self.done:
            parts = _by_symbol(e) if e.is_Add else e.args
            inner = [self.rewritten(a) for a in parts]
            whole = e.func(*inner) if inner != list(e.args) else e
            self.done[e] = self._mended(e, whole)
        return self.done[e]

    def _inside(self, there: Array) -> Array:
        """The points at which every sign of the region is positive."""
        for z in self.region:
            g = in_doubles(z, self.marks)
            if g is not None:
                there = there[:, g(there) > 0.0]
        return there

    def _branches(self, e: Choice) -> sp.Expr:
        """A choice with each branch mended where it holds."""
        z, *both = e.args
        out = []
        for sign, branch in zip((z, -z), both, strict=True):
            inner = _Search(self.marks, self.kinds, (*self.region, sign))
            out.append(inner.rewritten(branch) if inner.points.size else branch)
            self.left |= inner.left
        return Choice(z, *out)

    def judge(self, e: sp.Expr) -> _Judge | None:
        """What measures forms of an expression; None where nothing in it looks lost."""
        f = in_doubles(e, self.marks)
        if f is None:
            return None
        zeros = beside_zeros(f, self.kinds) if e.is_Add else np.empty((len(self.kinds), 0))
        there = np.concatenate([self.points, self._inside(zeros)], axis=1)
        doubt = _doubt(e, self.marks, there)
        if doubt is None:
            return None
        sane = _sane(e, self.marks, there)
        there, doubt = there[:, sane], doubt[sane]
        if not there.size:
            return None
        order = np.argsort(-doubt, kind="stable")
        return _Judge(e, self.marks, there[:, order], doubt[order])

    def _mended(self, e: sp.Expr, whole: sp.Expr) -> sp.Expr:
        """The best form of a node whose inside is mended."""
        if not isinstance(e, sp.Add | sp.Mul | sp.Pow | sp.log | log1p | Softplus):
            return whole
        if e.is_Add and _linear(e):
            return whole
        judge = self.judge(e)
        if judge is None:
            return whole
        if not judge.suspicious:
            return judge.continued(whole)
        best, rank = whole, judge.rank(whole)
        forms = [whole]
        for _ in range(_ROUNDS):
            here = best
            if rank.perfect:
                break
            tries = (
                [candidates(here)]
                if here is not whole or e == whole
                else [candidates(here), candidates(e)]
            )
            for form in itertools.chain(*(itertools.islice(c, _MOST_FORMS) for c in tries)):
                forms.append(form)
                found = judge.rank(form)
                if found.beats(rank):
                    best, rank = form, found
            if best == here:
                break
        if rank.bad:
            for turn in range(3):
                if not rank.bad:
                    break
                form = judge.joined([best, *forms]) if turn < 2 else judge.with_series(best)
                if form is not None and judge.rank(form).beats(rank):
                    best, rank = form, judge.rank(form)
        self.left |= rank.bad > 0
        return judge.continued(best)


@dataclass(frozen=True)
class _Rank:
    """How many points are bad, how many are to the digits of the value alone, the worst loss."""

    bad: int
    strict: int
    worst: float

    @property
    def perfect(self) -> bool:
        return self.bad == self.strict == 0

    def beats(self, other: _Rank) -> bool:
        """Fewer bad points; or as many and a far smaller loss; or far fewer digits lost."""
        if self.bad != other.bad:
            return self.bad < other.bad
        if other.bad and self.worst < other.worst / 4:
            return True
        return self.strict <= other.strict // 2 < other.strict


class _Judge:
    """What forms of one node are measured by: its values in mpmath, where they are in doubt."""

    def __init__(
        self, e: sp.Expr, marks: tuple[sp.Symbol, ...], there: Array, doubt: Array
    ) -> None:
        self.e, self.marks = e, marks
        self.suspicious = bool((doubt > GOOD / 4).any())
        self._there, self._doubt = there, doubt
        self._known: dict[sp.Expr, Array] = {}

    @functools.cached_property
    def _exact(self) -> tuple[Array, list[Any], Array]:
        """Points, values there, and the size of one unit."""
        slopes = [sp.diff(self.e, s) for s in self.marks]
        f = _exactly((self.e, *slopes), self.marks)
        kept: list[int] = []
        values, units = [], []
        doubtful = int((self._doubt > GOOD / 4).sum())
        last = self._there.shape[1] - 1
        spread = np.linspace(min(doubtful, last), last, 12).astype(int).tolist()
        step = max(1, doubtful // _TRIED)
        for i in dict.fromkeys([*range(0, doubtful, step), *spread]):
            at = self._there[:, i].tolist()
            found = _settled(f, at)
            if found is None:
                continue
            value, size = found
            if not (abs(value) < _HUGE and _TINY < size < _HUGE) or 0 < abs(value) < _TINY:
                continue
            kept.append(i)
            values.append(value)
            units.append(float(size) * UNIT)
        return self._there[:, kept], values, np.array(units)

    @property
    def points(self) -> Array:
        """The points at which forms are measured."""
        return self._exact[0]

    def losses(self, form: sp.Expr) -> Array:
        """The loss at each point; infinite where the form has no value."""
        if form not in self._known:
            there, values, units = self._exact
            f = in_doubles(form, self.marks)
            got = np.full(len(values), np.nan) if f is None else f(there)
            with mp.workprec(_BITS):
                out = [
                    float(abs(mpmath.mpf(g) - v)) / u if np.isfinite(g) else np.inf
                    for g, v, u in zip(got.tolist(), values, units.tolist(), strict=True)
                ]
            self._known[form] = np.array([*out])
        return self._known[form]

    def rank(self, form: sp.Expr) -> _Rank:
        """How good a form is."""
        losses = self.losses(form)
        _, values, units = self._exact
        with np.errstate(all="ignore"):
            size = np.array([abs(float(v)) for v in values]) * UNIT
            strict = losses * units > 4 * GOOD * size
        return _Rank(int((losses > GOOD).sum()), int(strict.sum()), float(losses.max(initial=0.0)))

    def joined(self, forms: Sequence[sp.Expr]) -> sp.Expr | None:
        """Two forms, each where it is good, told apart by the sign of something in them."""
        ranked = sorted(dict.fromkeys(forms), key=lambda f: self.rank(f).bad)[:6]
        signs = [s for s in self.marks if s.is_positive is None]
        signs += [1 - s**2 for s in self.marks]
        for form in ranked:
            inner = [a for call in form.atoms(sp.Function) for a in call.args]
            inner += sorted(form.atoms(sp.Add), key=sp.default_sort_key)
            signs += [a for a in inner if a.free_symbols and not a.is_Symbol]
            signs += [1 - a**2 for a in inner if a.free_symbols and not a.is_Symbol]
        there = self.points
        losses = {form: self.losses(form) > GOOD for form in ranked}
        least, best = min(int(bad.sum()) for bad in losses.values()), None
        for z in list(dict.fromkeys(signs))[:20]:
            g = in_doubles(z, self.marks)
            if g is None:
                continue
            above = g(there) > 0.0
            for one, other in itertools.permutations(ranked, 2):
                bad = int(np.where(above, losses[one], losses[other]).sum())
                if bad < least:
                    least, best = bad, Choice(z, one, other)
        return best

    def with_series(self, form: sp.Expr) -> sp.Expr | None:
        """The form, and near a zero of its only variable the Taylor polynomial about it."""
        if len(self.e.free_symbols) != 1:
            return None
        (s,) = self.e.free_symbols
        here = self.points[self.marks.index(s)]
        bad = np.abs(here[self.losses(form) > GOOD])
        if bad.size == 0 or bad.max() > 1.0:
            return None
        return _with_polynomial(self.e, s, form)

    def continued(self, form: sp.Expr) -> sp.Expr:
        """The form, with its limit where its only variable is zero and 0/0 would stand there."""
        if len(self.e.free_symbols) != 1 or not (self.e.is_Mul or self.e.is_Add):
            return form
        (s,) = self.e.free_symbols
        if s.is_positive:
            return form
        n = self.marks.index(s)
        zero = np.zeros((len(self.marks), 1))
        f = in_doubles(form, self.marks)
        if f is None or np.isfinite(f(zero)[0]) or not self._there[n].size:
            return form
        there = [[0.0] * n + [v] + [0.0] * (len(self.marks) - n - 1) for v in (1e-30, 1e-40)]
        near = [_at(_exactly((self.e,), self.marks), at) for at in there]
        if any(v is None or not abs(v[0]) < 1e9 for v in near):
            return form
        return _with_polynomial(self.e, s, form) or form


_TERMS = 16
_STEP = mpmath.mpf("1e-20")


def _with_polynomial(e: sp.Expr, s: sp.Symbol, form: sp.Expr) -> sp.Expr | None:
    """``form``, and for |s| < 1/4 the Taylor polynomial of an expression in s about 0."""
    coefficients = _taylor(e, s)
    if coefficients is None:
        return None
    polynomial = sp.Add(*(c * s**n for n, c in enumerate(coefficients)))
    return Choice(sp.Rational(1, 16) - s**2, sp.horner(polynomial), form)


def _taylor(e: sp.Expr, s: sp.Symbol) -> list[sp.Expr] | None:
    """Taylor coefficients about 0, by divided differences of a step of 1e-20 in many digits."""
    half = _TERMS // 2
    nodes = [_STEP * n for n in (*range(-half, 0), *range(1, half + 1))]
    f = sp.lambdify([s], e, modules=[_EXACT, "mpmath"])
    with mp.workprec(2 * _BITS):
        try:
            table = [_real(mpmath.mpmathify(f(x))) for x in nodes]
        except (ValueError, ZeroDivisionError, OverflowError, TypeError):
            return None
        if any(isinstance(v, mpmath.mpc) or not mpmath.isfinite(v) for v in table):
            return None
        for k in range(1, _TERMS):
            for i in range(_TERMS - 1, k - 1, -1):
                table[i] = (table[i] - table[i - 1]) / (nodes[i] - nodes[i - k])
        power = [mp.zero] * _TERMS  # Newton's form multiplied out
        for c, x in zip(reversed(table), reversed(nodes), strict=True):
            power = [c - x * power[0], *(a - x * b for a, b in itertools.pairwise(power))]
        top = max(map(abs, power))
        if not 0 < top < 1e6:
            return None  # another singularity is near
        return [_rational(c) if abs(c) > top * 1e-15 * _STEP**0.25 else sp.Integer(0)
                for c in power[: _TERMS - 1]]  # fmt: skip


def _real(value: Any) -> Any:
    """A real number that two logarithms of negative ones have left complex."""
    return value.real if isinstance(value, mpmath.mpc) and value.imag == 0 else value


def _rational(value: Any) -> sp.Expr:
    """A simple fraction to sixteen digits of it, or the number to twenty."""
    exact = Fraction(int(value * 2**200), 2**200)
    simple = exact.limit_denominator(10**13)
    close = abs(simple - exact) <= abs(exact) * Fraction(1, 10**17)
    return sp.Rational(simple.numerator, simple.denominator) if close else sp.Float(value, 20)


# ------------------------------------------------------------------------------ evaluation


def _doubt(e: sp.Expr, marks: tuple[sp.Symbol, ...], there: Array) -> Array | None:
    """How much each point is in doubt: what the node's terms are beside its value, in doubles."""
    f = in_doubles(e, marks)
    slopes = [in_doubles(sp.diff(e, s), marks) for s in marks]
    if f is None or any(d is None for d in slopes):
        return None
    value = f(there)
    size = np.abs(value)
    for at, d in zip(there, slopes, strict=True):
        if d is not None:
            moved = np.abs(at * d(there))
            size = size + np.where(np.isfinite(moved), moved, 0.0)
    terms = np.abs(value)
    if e.is_Add:
        parts = [in_doubles(t, marks) for t in e.args]
        terms = np.sum([np.abs(p(there)) for p in parts if p is not None], axis=0)
    elif isinstance(e, sp.log | log1p):
        inner = in_doubles(e.args[0], marks)
        if inner is not None:
            around = np.abs(inner(there))
            terms = np.where(around < 4.0, 1.0, terms) if isinstance(e, sp.log) else terms
            if isinstance(e, sp.log) and e.args[0].is_Symbol:
                terms = np.abs(value)  # the logarithm of an input is as good as that
    with np.errstate(all="ignore"):
        doubt = np.maximum(terms / np.maximum(size, 1e-300), STRICT * terms / np.abs(value))
    return np.where(np.isfinite(value) & np.isfinite(doubt), doubt, 1e9)


def _sane(e: sp.Expr, marks: tuple[sp.Symbol, ...], there: Array) -> NDArray[np.bool_]:
    """Points at which no function is asked for what mpmath could not hold, such as exp(exp(99))."""
    out = np.ones(there.shape[1], bool)
    for call in e.atoms(sp.Function, sp.exp):
        for a in () if isinstance(call, sp.log | log1p) else call.args:
            inner = in_doubles(a, marks)
            if inner is not None:
                out &= np.abs(inner(there)) < 1e17
    return out


def _exactly(expressions: Sequence[sp.Expr], marks: Sequence[sp.Symbol]) -> Callable[..., Any]:
    return sp.lambdify(list(marks), list(expressions), modules=[_EXACT, "mpmath"])


def _settled(f: Callable[..., Any], at: Sequence[float]) -> tuple[Any, Any] | None:
    """The value at a point and the size of its unit over u, to twenty digits of that size."""
    before: tuple[Any, Any] | None = None
    for bits in (200, 240, _BITS):
        found = _at(f, at, bits)
        if found is None:
            return None
        value, *by = found
        size = abs(value) + mp.fsum(abs(v * d) for v, d in zip(at, by, strict=True))
        if before is not None:
            near = abs(value - before[0]) <= 1e-20 * size
            if near and abs(value) > 1e-30 and abs(size - before[1]) <= 1e-4 * size:
                return value, size
        before = value, size
    return before


def _at(f: Callable[..., Any], at: Sequence[float], bits: int = 1100) -> list[Any] | None:
    """Values at a point; None where there are none, or none that are real."""
    with mp.workprec(bits):
        try:
            found = [mpmath.mpmathify(v) for v in f(*(mpmath.mpf(v) for v in at))]
        except (ValueError, ZeroDivisionError, OverflowError, TypeError, NotImplementedError):
            return None
        if any(isinstance(v, mpmath.mpc) or not mpmath.isfinite(v) for v in found):
            return None
        return found


def _hazard(a: Any) -> Any:
    return 2 * mpmath.exp(-a * a) / (mpmath.sqrt(mp.pi) * mpmath.erfc(a))


def _excess(a: Any) -> Any:
    return _hazard(a) - 2 * a


_EXACT: dict[str, Any] = {
    Softplus.__name__: lambda a: mpmath.log1p(mpmath.exp(a)),
    Logistic.__name__: lambda a: 1 / (1 + mpmath.exp(-a)),
    SoftplusInverse.__name__: lambda y: mpmath.log(mpmath.expm1(y)),
    expm1.__name__: mpmath.expm1,
    log1p.__name__: mpmath.log1p,
    Choice.__name__: lambda z, one, other: one if z > 0 else other,
    "Erfc": mpmath.erfc,
    "LogErfc": lambda a: mpmath.log(mpmath.erfc(a)),
    "LogErfcx": lambda a: a * a + mpmath.log(mpmath.erfc(a)),
    "ErfcHazard": _hazard,
    "ErfcExcess": _excess,
    "ErfcBend": lambda a: _hazard(a) * _excess(a) - 2,
    "LogRatio": lambda d, b, w: mpmath.log(w / b),
    "LogGammaRatio": lambda d, b, w: mpmath.loggamma(w) - mpmath.loggamma(b),
    "DigammaDifference": lambda d, b, w: mpmath.psi(0, w) - mpmath.psi(0, b),
    "TrigammaDifference": lambda d, b, w: mpmath.psi(1, w) - mpmath.psi(1, b),
}
"""Functions of the forms in mpmath, by their definitions."""
