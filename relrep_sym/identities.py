r"""Identities of a user's own: :func:`check` proves them, verifies them, or refutes them.

In: two expressions, as texts or in SymPy, over a model, a chart and a truth. Out: a
:class:`Verdict`. A proof is exact (``equations.prove``); the numbers come from the densities alone
(:mod:`relrep_sym.evaluate`), and whatever was proven is evaluated too.

>>> import relrep_sym as rs
>>> model = rs.mixture("normal", components=3, scales=1)
>>> print(rs.check("E_p[r_2*(x - mu_2)**2]", "pi_2", model=model))
E_p[r_2*(-mu_2 + x)**2] = pi_2
proven by balance, linearity, moments; evaluated at 1 point, equal to 30 digits or more
>>> q = rs.truth("normal", weights=[1], means=["a"], scales=["s"])
>>> print(rs.check("E[r_2*(x - a)]", "s*E[D[r_2, x]]", model=model, truth=q))  # doctest: +ELLIPSIS
E_q[r_2*(-a + x)] = s*E_q[D[r_2, x]]
refuted at pi_1 = ..., s = ...
  left:  ...
  right: ...
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import mpmath
import sympy as sp

from relrep_sym.declare.chart import Chart, identity
from relrep_sym.declare.identity import Scope
from relrep_sym.declare.model import Mixture
from relrep_sym.declare.nodes import At, Atom, Expected, Slope, density_symbol
from relrep_sym.declare.notebook import listed
from relrep_sym.declare.parser import AnyName, expression
from relrep_sym.declare.reader import Condition
from relrep_sym.declare.truth import Truth
from relrep_sym.defined import Survey, survey
from relrep_sym.emit.typeset import tex
from relrep_sym.equations.prove import Proof, prove, residual
from relrep_sym.equations.rewrite import rewritten
from relrep_sym.errors import CertificateError, DeclarationError, RelrepError, problem
from relrep_sym.evaluate import Evaluation, Evaluator, Place
from relrep_sym.remainder import FAINT, remainder, separated
from relrep_sym.scatter import places

if TYPE_CHECKING:
    from relrep_sym.identity_kernel import Emitted

__all__ = ["Counterexample", "E", "Verdict", "check"]

SLACK = 5
"""Equal: so many digits fewer than the means have."""
GAP = 14
"""Different: at so many digits fewer than the means have; between the two nothing is said."""
SHOWN = 30
"""Digits of a counterexample's values."""


@dataclass(frozen=True)
class Counterexample:
    """A point at which the sides differ, with both values at 30 digits."""

    place: Place
    left: str
    right: str


@dataclass(frozen=True)
class Verdict:
    """What was found of left = right.

    ``status`` is ``"proven"`` (by ``rules``, in symbols), ``"verified"`` (equal to ``digits``
    digits at every one of ``points``, no proof), ``"refuted"`` (by ``counterexample``) or
    ``"undecided"``. ``reason`` says why there is no proof, or no number.

    An identity of which one side is real where the other is not, as log(x²) = 2 log(x) is for
    negative x, is refuted there; ``reason`` says whether the sides are equal wherever both are
    real. Where neither is real, or one is not at single points, ``undefined`` says so, with a
    point: what is proven or verified then holds where both are.
    """

    status: str
    left: sp.Expr
    right: sp.Expr
    scope: Scope = field(repr=False)
    rules: tuple[str, ...] = ()
    points: tuple[Place, ...] = ()
    digits: int = 0
    counterexample: Counterexample | None = None
    reason: str = ""
    undefined: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Proven, or verified."""
        return self.status in ("proven", "verified")

    def insist(self) -> Verdict:
        """The verdict itself; CertificateError unless the identity holds."""
        if not self.holds:
            raise CertificateError(str(self))
        return self

    def emit(self, side: str = "left", *, name: str = "value", points: int = 2) -> Emitted:
        """A side of an identity that holds, as a NumPy kernel, certified at ``points`` points.

        ``kernel.function(coords, truth, …)`` gives one value for each point of the chart, first
        ``x`` where it stands free, and the truth's symbols by keyword where the side names them.
        ``kernel.write(path)`` writes the module. Raises CertificateError where the identity does
        not hold or the kernel misses the yardstick, DerivationError where nothing can be printed.

        >>> import relrep_sym as rs
        >>> model = rs.mixture("normal", components=3, scales=1)
        >>> q = rs.truth("normal", weights=[1], means=[0], scales=1)
        >>> psi = {"psi": "r_1*mu_1 + r_2*mu_2 + r_3*mu_3"}
        >>> found = rs.check("-D[E[log_p], mu_2]", "E[r_2*psi]", model=model, truth=q, where=psi)
        >>> kernel = found.emit("right", name="stein", points=1)
        >>> kernel.certificate.ok, float(kernel.function([0.25, 0.25, -1.0, 0.0, 2.0], q))
        (True, 0.027882887629)
        """
        from relrep_sym.identity_kernel import kernel

        self.insist()
        if side not in ("left", "right"):
            raise DeclarationError(problem("this is no side", side, '"left" or "right"'))
        chosen = self.left if side == "left" else self.right
        free = depends_on_x(chosen, self.scope.x)
        said = [f"{chosen}.", "", *str(self).splitlines()]
        return kernel(self.scope, chosen, name, said, free, points)

    def __repr__(self) -> str:
        return f"<Verdict: {self.status}: {listed([f'{self.left} = {self.right}'])}>"

    def __str__(self) -> str:
        lines = [f"{self.left} = {self.right}"]
        count = f"{len(self.points)} point" + "s" * (len(self.points) != 1)
        if self.status == "proven":
            seen = f"evaluated at {count}, equal to {self.digits} digits or more"
            seen = seen if self.points else f"not evaluated: {self.reason}"
            lines.append(f"proven by {', '.join(self.rules)}; {seen}")
        elif self.status == "verified":
            lines.append(
                f"verified, not proven: equal to {self.digits} digits or more at {count}"
                f" ({self.reason})"
            )
        elif self.counterexample is not None:
            lines.append(f"refuted at {self.counterexample.place}")
            lines.append(f"  left:  {self.counterexample.left}")
            lines.append(f"  right: {self.counterexample.right}")
            lines += [f"  {self.reason}"] if self.reason else []
        else:
            lines.append(f"undecided: {self.reason}")
        if self.undefined and self.holds:
            lines.append(f"where both sides are real; {'; '.join(self.undefined)}")
        return "\n".join(lines)

    def _repr_latex_(self) -> str:
        sign = r"\neq" if self.status == "refuted" else "="
        said = {"proven": "proven", "verified": "verified", "refuted": "refuted"}
        note = said.get(self.status, "undecided")
        return rf"$\displaystyle {tex(self.left)} {sign} {tex(self.right)}\quad\text{{({note})}}$"


def check(
    left: object,
    right: object,
    *,
    model: Mixture | None = None,
    chart: Chart | None = None,
    truth: Truth | None = None,
    where: Mapping[str, object] | None = None,
    points: int = 4,
    digits: int = 30,
    seconds: float = 120.0,
) -> Verdict:
    """Whether left = right over a model (in a chart, by default its own parameters) and a truth.

    Each side is a text of the language of :mod:`relrep_sym.declare.identity`, or a SymPy expression
    with symbols of the same names, :func:`relrep_sym.E` and a derivation's equations in it.
    ``where`` defines names, each an expression in what is known before it. Sides are compared at
    up to ``points`` points (three times as many where there are no means), the means in them to
    ``digits`` digits, in about ``seconds`` seconds.

    Refuted is said only where the sides differ by at least 1e16 times the means' errors; what
    cannot be decided is undecided, with the reason. Raises DeclarationError for what cannot be
    read.

    >>> import relrep_sym as rs
    >>> model = rs.mixture("poisson", components=3)
    >>> rs.check("E_1[x*r_2]", "rate_1*E_1[At[r_2, x + 1]]", model=model).rules[-1]
    'stein-chen'
    """
    scope = _scope(model, chart, truth, where)
    if isinstance(digits, bool) or not isinstance(digits, int) or not 20 <= digits <= 45:
        raise DeclarationError(problem("digits is out of range", digits, "20 to 45"))
    if isinstance(points, bool) or not isinstance(points, int) or not 1 <= points <= 100:
        raise DeclarationError(problem("points is out of range", points, "1 to 100"))
    sides = scope.read(left, "the left side"), scope.read(right, "the right side")
    asked = [scope.conditions(s, "a side") for s in (left, right)]
    deadline = time.monotonic() + seconds
    return _Check(scope, sides, points, digits, deadline, asked).verdict()


def _scope(model: Mixture | None, chart: Chart | None, truth: Truth | None, where: object) -> Scope:
    for given, kind, right in (
        (model, Mixture, "model=rs.mixture(…)"),
        (chart, Chart, "chart=rs.relative(…) or another chart"),
        (truth, Truth, "truth=rs.truth(…)"),
        (where, Mapping, 'where={"psi": "r_1*mu_1 + r_2*mu_2"}'),
    ):
        if given is not None and not isinstance(given, kind):
            raise DeclarationError(problem("of another kind", type(given).__name__, right))
    if chart is None:
        if model is None:
            raise DeclarationError(problem("no model", "neither model= nor chart=", "one of them"))
        chart = identity(model)
    elif model is not None and chart.model != model:
        right = model.describe()
        raise DeclarationError(
            problem("the chart is of another model", chart.model.describe(), right)
        )
    return Scope(chart, truth, dict(where or {}))  # type: ignore[call-overload]


def depends_on_x(e: sp.Basic, x: sp.Symbol) -> bool:
    """Whether x stands free in an expression: not under a mean, nor with a point in its place."""
    if isinstance(e, Expected):
        return False
    if isinstance(e, At):
        return depends_on_x(e.args[0], x) and depends_on_x(e.args[1], x)
    if isinstance(e, Slope):
        return depends_on_x(e.args[0], x)
    return e == x or isinstance(e, Atom) or any(depends_on_x(a, x) for a in e.args)


@dataclass
class _Check:
    scope: Scope
    sides: tuple[sp.Expr, sp.Expr]
    count: int
    digits: int
    deadline: float
    asked: list[list[Condition]]

    def verdict(self) -> Verdict:
        left, right = self.sides
        x, asked = self.scope.x, [c for side in self.asked for c in side if not c.averaged]
        free = any(depends_on_x(e, x) for e in (*self.sides, *(c.inner for c in asked)))
        averaged = any(s.has(Expected) for s in self.sides)
        count = self.count if averaged else 3 * self.count
        self.evaluator = Evaluator(self.scope, self.digits)
        known = survey(self.scope, self.evaluator, self.asked, free)
        out = Verdict("undecided", left, right, self.scope, undefined=known.said)
        if known.one_sided is not None:
            return self._one_sided(out, known)
        near = known.near[:2] if averaged else known.near
        seen: list[Place] = []
        proof: Proof | None = None
        why = ""
        least = mpmath.inf
        for place in itertools.chain(places(self.scope, count, free_x=free), near):
            if known.at(place):
                continue
            try:
                judged, agreement = self._judge(place)
            except (RelrepError, ArithmeticError, ValueError, TypeError) as error:
                judged, agreement, why = "unknown", least, str(error)
            if judged == "different":
                if proof is not None and proof.proven:
                    raise CertificateError(
                        problem("a proof and a number disagree", str(place), f"{left} = {right}")
                    )
                shown = self._shown(place)
                return replace(out, status="refuted", points=(place,), counterexample=shown)
            if judged == "unknown" and not why:
                refuted = self._small(out, (place,))
                if refuted is not None:
                    return refuted
            if judged == "equal":
                seen.append(place)
                least = min(least, agreement)
            elif not why:
                why = f"the sides agree to {int(agreement)} digits only at {place}"
            if proof is None:
                left_over = max(1.0, self.deadline - time.monotonic())
                proof = prove(self.scope, left, right, seconds=min(20.0, left_over))
            if (proof.proven and averaged) or time.monotonic() > self.deadline:
                break
        found = tuple(seen)
        digits = int(min(least, 60)) if seen else 0
        if proof is not None and proof.proven:
            if why and ("agree to" in why or "no real value" in why):
                return replace(out, reason=f"proven, but {why}", rules=proof.rules)
            return replace(
                out, status="proven", rules=proof.rules, points=found, digits=digits, reason=why
            )
        if why or not seen:
            return replace(out, points=found, reason=why or "no time")
        reason = proof.reason if proof is not None else "no time for a proof"
        refuted = self._small(out, found[:2] if averaged else found)
        if refuted is not None:
            return refuted
        left_over = max(1.0, self.deadline - time.monotonic())
        agreed = separated(self.scope, found[0], self.sides, left_over) if averaged else None
        if agreed is not None:
            why = f"the sides agree to {agreed} digits only at {found[0]}"
            return replace(out, points=found, reason=why)
        return replace(out, status="verified", points=found, digits=digits, reason=reason)

    def _one_sided(self, out: Verdict, known: Survey) -> Verdict:
        """Refuted where one side is real and the other is not."""
        hole = known.one_sided
        assert hole is not None
        try:
            value = _digits(self.evaluator.at(hole.place, (self.sides[1 - hole.side],))[0])
        except (RelrepError, ArithmeticError, ValueError, TypeError):
            value = "real"
        shown = [f"not real: {hole.said}", value]
        proof = prove(self.scope, *self.sides)
        where = "equal wherever both sides are real, by " + ", ".join(proof.rules)
        return replace(
            out,
            status="refuted",
            points=(hole.place,),
            counterexample=Counterexample(hole.place, *shown[:: 1 - 2 * hole.side]),
            reason=where if proof.proven else "",
        )

    def _small(self, out: Verdict, found: tuple[Place, ...]) -> Verdict | None:
        """Refuted where what the rules leave of the difference is certainly not zero."""
        rest = residual(self.scope, *self.sides)
        if rest is None and not any(s.has(Expected, Slope, At) for s in self.sides):
            rest = self.sides[0] - self.sides[1]
        if rest is None:
            return None
        for place in found:
            size = sum(
                max(abs(e.value), FAINT * e.scale) for e in self.evaluator.at(place, self.sides)
            )
            value = remainder(self.evaluator, place, rest, size)
            if value:
                shown = self._shown(place)
                why = f"left - right is {mpmath.nstr(value, 8)}"
                return replace(
                    out, status="refuted", points=(place,), counterexample=shown, reason=why
                )
        return None

    def _judge(self, place: Place) -> tuple[str, float]:
        """Whether the sides are equal or different at a place, and the digits that agree."""
        self.evaluator.seconds = max(1.0, self.deadline - time.monotonic())
        a, b = self.evaluator.at(place, self.sides)
        difference, scale = abs(a.value - b.value), a.scale + b.scale
        if not difference:
            return "equal", float(self.digits)
        ratio = difference / scale if scale else mpmath.mpf(1)
        agreement = float(-mpmath.log10(ratio))
        if ratio <= mpmath.mpf(10) ** (SLACK - self.digits):
            return "equal", min(agreement, float(self.digits))
        error = max(a.error, b.error, mpmath.mpf(10) ** -self.digits)
        if ratio >= mpmath.mpf(10) ** GAP * error:
            return "different", agreement
        return "unknown", agreement

    def _shown(self, place: Place) -> Counterexample:
        """Both values again, with digits enough to print thirty."""
        finer = Evaluator(self.scope, min(45, max(self.digits, SHOWN + 8)))
        try:
            values = finer.at(place, self.sides)
        except RelrepError:
            values = self.evaluator.at(place, self.sides)
        return Counterexample(place, *map(_digits, values))


def _digits(found: Evaluation) -> str:
    """A value at thirty digits, or as many as are sure."""
    error = found.scale * max(found.error, mpmath.mpf("1e-42"))
    if abs(found.value) <= 10 * error:
        return "0"
    sure = int(mpmath.log10(abs(found.value) / error))
    return str(mpmath.nstr(found.value, max(1, min(SHOWN, sure)), strip_zeros=False))


class E(Expected):
    r"""The mean of an expression under a density, as a SymPy object.

    ``under`` is ``"truth"``, ``"model"`` or the number of a component of the model; the expression
    is a text of the plain language or in SymPy, its names those of :func:`check`. Means add and
    multiply as SymPy expressions do, and :func:`check` takes what comes of it. What a name depends
    on only a model says: :meth:`rewrite_by` and :func:`check` are given one, and ``diff`` is
    recorded, to be done there.

    >>> import relrep_sym as rs
    >>> model = rs.mixture("normal", components=3)
    >>> mean = rs.E("r_2*(x - mu_2)", under="model")
    >>> mean.rewrite_by("linearity", model=model)
    -mu_2*E_p[r_2] + E_p[r_2*x]
    >>> rs.E.rewrite(_, "balance", model=model)
    -mu_2*pi_2 + pi_2*E_2[x]
    """

    def __new__(cls, expr: object, under: object = "truth") -> E:
        """The mean of ``expr``."""
        density = under if isinstance(under, sp.Symbol) else density_symbol(under)
        inner = expr
        if isinstance(expr, str):
            inner = expression(expr, AnyName("symbol"), where="the expression of a mean")
        return super().__new__(cls, inner, density)

    def rewrite_by(
        self,
        rule: str,
        *,
        model: Mixture | None = None,
        chart: Chart | None = None,
        truth: Truth | None = None,
    ) -> sp.Expr:
        """An equal expression by a rule: derivative, linearity, balance, moments, stein, parts."""
        return E.rewrite(self, rule, model=model, chart=chart, truth=truth)

    @staticmethod
    def rewrite(
        expr: object,
        rule: str,
        *,
        model: Mixture | None = None,
        chart: Chart | None = None,
        truth: Truth | None = None,
    ) -> sp.Expr:
        """A rule applied to every mean in an expression, or a text as :func:`check` takes it."""
        scope = _scope(model, chart, truth, None)
        return rewritten(scope, scope.read(expr, "the expression"), rule)
