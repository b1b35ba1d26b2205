r"""Series in the overlap: of log p, of the averaged log-likelihood, of the learning equations.

In: a view, the names of its functions that vanish, an order, and a truth or none. Out: a
:class:`Series` whose coefficients are exact: polynomials in the moments M_n = E_q[(x − c)ⁿ], or,
where components stay apart, in expectations of posterior probabilities times powers of x − c.

The order is counted in L. A derivative by the overlap costs one order, so that order 4 in L gives
u³ in du/dt and u⁴ in dv/dt; every row says what it leaves out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import sympy as sp

from relrep_sym.declare.truth import Truth
from relrep_sym.declare.view import View
from relrep_sym.equations import values
from relrep_sym.equations.nodes import LogSumExp
from relrep_sym.equations.overlap import Overlap
from relrep_sym.equations.truncated import Truncated
from relrep_sym.equations.view_inverse import solve_view
from relrep_sym.errors import DeclarationError, problem

__all__ = ["HIGHEST", "KINDS", "Moment", "Row", "Series", "expand_in"]

HIGHEST = 12
"""The highest order that is written out."""
KINDS = ("log_density", "log_likelihood", "averaged")
"""What can be expanded."""
_ETA = sp.Symbol("eta", positive=True)


class Moment(sp.Symbol):
    """M_n = E_q[(x − c)ⁿ] as a symbol, c being the series' centre.

    >>> Moment("M_3").power
    3
    """

    __slots__ = ()

    @property
    def power(self) -> int:
        """The n of M_n."""
        return int(self.name.rpartition("_")[2])


@dataclass(frozen=True)
class Row:
    """One series: Σ_n coefficients[n] uⁿ + O(u^remainder).

    ``name`` is the function of the view whose learning it is, or what was expanded. In several
    functions that vanish together a coefficient of order n holds their monomials of degree n.
    """

    name: str
    coefficients: Mapping[int, sp.Expr]
    remainder: int


@dataclass(frozen=True)
class Series:
    """One expansion near the overlap; made by :func:`expand_in`."""

    overlap: Overlap
    of: str
    truth: Truth | None = None

    @property
    def view(self) -> View:
        """The view in whose functions it is."""
        return self.overlap.solved.view

    @property
    def order(self) -> int:
        """The order, counted in L."""
        return self.overlap.order

    @property
    def centre(self) -> sp.Expr:
        """About what the moments are: c in M_n = E_q[(x − c)ⁿ]."""
        return self.overlap.centre

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """The series, exact coefficient by coefficient; of the learning equations one for each
        function of the view, divided by η.
        """
        if self.of == "averaged":
            pairs = zip(self.view.names, self.overlap.rates, strict=True)
            return tuple(self._row(name, s, {}) for name, s in pairs)
        start = self._averaged_limit() if self.of == "log_likelihood" else self._limit()
        return (self._row(self.of, self.overlap.log_density, {0: start}),)

    @cached_property
    def value(self) -> sp.Basic:
        """The truncated series in SymPy: an expression, or a column with η."""
        sums = [sp.Add(*(self.whole(n, c) for n, c in r.coefficients.items())) for r in self.rows]
        if self.of == "averaged":
            return sp.ImmutableMatrix([_ETA * s for s in sums])
        return sums[0]

    def whole(self, n: int, coefficient: sp.Expr) -> sp.Expr:
        """The term of order n."""
        return coefficient * self.overlap.vanishing[0] ** n if self.overlap.single else coefficient

    @cached_property
    def moments(self) -> dict[Moment, sp.Expr]:
        """The moments that stand in the rows, and what each of them is."""
        found = {m for r in self.rows for c in r.coefficients.values() for m in c.atoms(Moment)}
        x = self.overlap.family.x
        ordered = sorted(found, key=lambda m: m.power)
        return {m: values.mean((x - self.centre) ** m.power, x) for m in ordered}

    # ------------------------------------------------------------------------- from the ring

    def _row(self, name: str, series: Truncated, first: Mapping[int, sp.Expr]) -> Row:
        coefficients = dict(first)
        for n in range(series.low, series.end):
            if n in coefficients:
                continue
            factor, terms = self.overlap.terms(series[n])
            value = sp.Mul(*factor, sp.Add(*(sp.Mul(*c, self._atom(m)) for m, c in terms)))
            if value != 0:
                coefficients[n] = value
        return Row(name, coefficients, series.end)

    def _atom(self, powers: tuple[int, ...]) -> sp.Expr:
        """What a monomial y^k r_1^a … is on average; of the log-density, the monomial itself."""
        if powers not in self._atoms:
            self._atoms[powers] = self._new_atom(powers)
        return self._atoms[powers]

    @cached_property
    def _atoms(self) -> dict[tuple[int, ...], sp.Expr]:
        return {}

    def _new_atom(self, powers: tuple[int, ...]) -> sp.Expr:
        k, *others = powers
        x = self.overlap.family.x
        r = sp.Mul(*(p**a for p, a in zip(self.overlap.responsibilities, others, strict=False)))
        whole = r * (x - self.centre) ** k
        if self.of == "log_density":
            return whole
        if r != 1:
            return values.mean(whole, x)
        return self._moment(k)

    def _moment(self, k: int) -> sp.Expr:
        if k == 0:
            return sp.Integer(1)
        if self.truth is not None:
            return self._given_moments[k]
        return Moment(f"{self._stem}_{k}")

    @cached_property
    def _given_moments(self) -> tuple[sp.Expr, ...]:
        assert self.truth is not None
        highest = max(
            (p[0] for s in self._ring_series for c in s.terms for p in c.itermonoms()),
            default=0,
        )
        return self.truth.moments(max(highest, self._own_degree), about=self.centre)

    @property
    def _ring_series(self) -> tuple[Truncated, ...]:
        return self.overlap.rates if self.of == "averaged" else (self.overlap.log_density,)

    @property
    def _own_degree(self) -> int:
        """How high the moments of log p_0 can be."""
        return 8

    @cached_property
    def _stem(self) -> str:
        taken = {n.rpartition("_")[0] for n in self.view.names}
        return "M" if "M" not in taken else "moment"

    def _limit(self) -> sp.Expr:
        """log p_0."""
        logs = self.overlap.log_weighted
        return logs[0] if len(logs) == 1 else LogSumExp(*logs)

    def _averaged_limit(self) -> sp.Expr:
        """E_q[log p_0]: in moments where all components meet and log f is polynomial in x."""
        x, logs = self.overlap.family.x, self.overlap.log_weighted
        if len(logs) > 1:
            return values.mean(LogSumExp(*logs), x)
        y = sp.Dummy("y")
        total = sp.Integer(0)
        for term in sp.Add.make_args(sp.expand(logs[0].xreplace({x: y + self.centre}))):
            if term.is_polynomial(y) and sp.degree(term, y) <= self._own_degree:
                factor, power = term.as_independent(y, as_Add=False)
                k = int(sp.degree(power, y)) if power.has(y) else 0
                total += factor * self._moment(k)
            else:
                total += values.mean(term.xreplace({y: x - self.centre}), x)
        return total


# ------------------------------------------------------------------------------ what is asked for


def expand_in(
    view: View, overlap: object, order: object = 4, *, of: str = "averaged", truth: object = None
) -> Series:
    """The series of a view's mixture where the named functions of the view vanish.

    ``overlap`` is one name or several that vanish together; ``order`` is counted in L, from 1 to
    12; ``of`` is ``"averaged"``, ``"log_likelihood"`` or ``"log_density"``; with a truth its
    moments stand for M_n.

    Raises DeclarationError for a name that is none of the view's, an order out of bounds, another
    kind, a truth of another family; DerivationError where the view cannot be solved, no two
    components meet, or the model is not analytic there.

    >>> from relrep_sym.declare.chart import identity
    >>> from relrep_sym.declare.model import mixture
    >>> from relrep_sym.declare.view import view
    >>> seen = view(identity(mixture("normal", 2, scales=1)),
    ...             {"v": "pi_1", "u": "mu_1 - mu_2", "w": "pi_1*mu_1 + (1 - pi_1)*mu_2"})
    >>> expand_in(seen, "u", 3, of="log_likelihood").rows[0].coefficients[2]
    v*(1 - v)*(M_2 - 1)/2
    """
    if not isinstance(view, View):
        raise DeclarationError(problem("this is no view", type(view).__name__, "rs.view(…)"))
    names = (overlap,) if isinstance(overlap, str) else overlap
    if not isinstance(names, list | tuple) or not names or len(set(map(str, names))) < len(names):
        right = "one of the view's functions, or several distinct ones"
        raise DeclarationError(problem("a series is in functions of the view", overlap, right))
    unknown = [n for n in names if n not in view.names]
    if unknown:
        wrong = f"the view has no function {', '.join(map(str, unknown))}"
        raise DeclarationError(problem(wrong, overlap, "one of " + ", ".join(view.names)))
    if isinstance(order, bool) or not isinstance(order, int | np.integer):
        raise DeclarationError(problem("order is no whole number", order, f"1, 2, … {HIGHEST}"))
    if not 1 <= order <= HIGHEST:
        raise DeclarationError(problem("order is out of range", order, f"1 to {HIGHEST}"))
    if of not in KINDS:
        raise DeclarationError(problem("this has no series", of, "one of " + ", ".join(KINDS)))
    if truth is not None:
        _insist_truth(view, truth)
        if of == "log_density":
            right = 'of="log_likelihood" or "averaged"'
            raise DeclarationError(problem("a log-density is under no truth", of, right))
    found = Series(Overlap(solve_view(view), tuple(map(str, names)), int(order)), of, truth)  # type: ignore[arg-type]
    found.rows  # noqa: B018 - what cannot be derived is refused here
    return found


def _insist_truth(view: View, truth: object) -> None:
    if not isinstance(truth, Truth):
        raise DeclarationError(problem("this is no truth", type(truth).__name__, "rs.truth(…)"))
    family = view.chart.model.family
    if truth.family != family:
        right = f"a truth of the {family.name} family"
        raise DeclarationError(problem("the truth is of another family", truth.family.name, right))
    shared = [s.name for s in truth.symbols if s.name in view.names]
    if shared:
        right = "symbols that the view does not use"
        raise DeclarationError(
            problem("the truth's symbols are called like the view's", ", ".join(shared), right)
        )
