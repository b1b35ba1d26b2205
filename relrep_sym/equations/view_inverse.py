"""A view solved for its chart's coordinates, and what that makes of the mixture.

In: a :class:`~relrep_sym.declare.view.View` with as many functions as the chart has coordinates.
Out: a :class:`Solved`: coordinates, weights, parameters and mobility in the view's own functions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import sympy as sp

from relrep_sym.declare.domains import Domain
from relrep_sym.declare.symbols import Parameter
from relrep_sym.declare.view import View
from relrep_sym.equations.program import _invert, _invert_linear
from relrep_sym.errors import DerivationError, problem

__all__ = ["Solved", "solve_view"]

_BLOCK = 4
"""The most equations that are solved together."""


@dataclass(frozen=True)
class Solved:
    """A view and its inverse: every coordinate in the view's functions.

    ``branches`` are coordinates found as an even root, whose sign the view does not tell; what is
    derived here does not depend on it (checked).
    """

    view: View
    coordinates: dict[sp.Symbol, sp.Expr]
    branches: tuple[sp.Symbol, ...]

    @cached_property
    def weights(self) -> tuple[sp.Expr, ...]:
        """π_1 … π_K in the view's functions."""
        return tuple(self._seen(w) for w in self.view.chart.model.weight_expressions)

    @cached_property
    def parameters(self) -> tuple[tuple[sp.Expr, ...], ...]:
        """φ_1 … φ_K, each with the family's parameters in order."""
        model = self.view.chart.model
        roles = [model.component(p.name) for p in model.family.parameters]
        return tuple(tuple(self._seen(v) for v in phi) for phi in zip(*roles, strict=True))

    @cached_property
    def mobility(self) -> sp.ImmutableMatrix:
        """JJᵀ, J = ∂b/∂λ, in the view's functions."""
        coordinates = self.view.chart.symbols
        j = sp.Matrix([[e.diff(s) for s in coordinates] for e in self.view.expressions])
        product = j * j.T
        return sp.ImmutableMatrix(product.rows, product.cols, [self._even(e) for e in product])

    def _seen(self, expression: sp.Expr) -> sp.Expr:
        """An expression in θ, in the view's functions."""
        whole = sp.Integer(1) * expression
        return self._even(whole.xreplace(self.view.chart.unrolled))

    def _even(self, expression: sp.Expr) -> sp.Expr:
        """An expression in coordinates, in the view's functions."""
        for s in self.branches:
            if sp.expand(expression.xreplace({s: -s}) - expression) != 0:
                raise DerivationError(
                    problem(
                        f"the view does not tell the sign of {s}",
                        str(expression),
                        "a view in whose functions weights, parameters and mobility are single",
                    )
                )
        seen = expression.xreplace(self.coordinates)
        return sp.cancel(seen) if seen.is_rational_function() else sp.expand(seen)


def solve_view(view: View) -> Solved:
    """The view's inverse, by one equation at a time or small linear systems of them.

    Raises DerivationError for a view with another number of functions than the chart has
    coordinates, and for one that is not solved.

    >>> from relrep_sym.declare.charts import relative
    >>> from relrep_sym.declare.model import mixture
    >>> from relrep_sym.declare.view import view
    >>> c = relative(mixture("normal", 2, scales=1), "mu", gap="square")
    >>> seen = view(c, {"v": "pi_1", "u": "mu_1 - mu_2", "w": "pi_1*mu_1 + (1 - pi_1)*mu_2"})
    >>> solved = solve_view(seen)
    >>> {str(k): e for k, e in solved.coordinates.items()}
    {'pi_1': v, 'mu_1': -u*v + u + w, 'Delta_1': sqrt(-u)}
    >>> solved.mobility[1, 1]
    -4*u
    """
    chart = view.chart
    names = ", ".join(chart.names)
    if len(view.names) != len(chart.coordinates):
        raise DerivationError(
            problem(
                "a series needs a view that is a full set of coordinates",
                f"{len(view.names)} functions: {', '.join(view.names)}",
                f"{len(chart.coordinates)} functions of {names}",
            )
        )
    domains = {c.symbol: c.domain for c in chart.coordinates}
    # a view's function may be called like a coordinate that it is not: marked, they stay apart
    marks = [Parameter(n) for n in view.names]
    pending = list(zip(view.expressions, marks, strict=True))
    pending, hidden = _with_gaps(pending, chart.symbols)
    unknowns = [hidden[s][0] if s in hidden else s for s in chart.symbols]
    found: dict[sp.Symbol, sp.Expr] = {}
    while pending:
        new, used = _single(pending, unknowns, domains) or _block(pending, unknowns)
        if not new:
            shown = "; ".join(f"{m} = {e}" for e, m in pending[:4])
            right = f"functions from which {names} follow one after another, or linearly"
            raise DerivationError(problem("the view is not solved", shown, right))
        found |= new
        pending = [(e.xreplace(new), m) for e, m in pending if (e, m) not in used]
    branches = []
    for s, (q, atom) in hidden.items():
        value = _invert(atom, q, s, domains[s])
        if value is None:
            right = "a chart whose gaps are inverted in their domain"
            raise DerivationError(problem("the view is not solved", f"{q} = {atom}", right))
        if domains[s].lower < 0 and sp.expand(atom.xreplace({s: -s}) - atom) == 0:
            branches.append(s)
        found[s] = value.xreplace({q: found.pop(q)})
    back = dict(zip(marks, view.symbols, strict=True))
    return Solved(view, {s: found[s].xreplace(back) for s in chart.symbols}, tuple(branches))


Item = tuple[sp.Expr, Parameter]
Found = tuple[dict[sp.Symbol, sp.Expr], list[Item]]


def _with_gaps(
    pending: Sequence[Item], symbols: Sequence[sp.Symbol]
) -> tuple[list[Item], dict[sp.Symbol, tuple[sp.Symbol, sp.Expr]]]:
    """Gaps such as Δ² in one symbol each, where a coordinate occurs in no other form."""
    hidden = {}
    for s in symbols:
        atoms = {a for e, _ in pending for a in _own_atoms(e, s)}
        if len(atoms) == 1 and s not in atoms:
            hidden[s] = (sp.Dummy(f"gap_{s.name}"), atoms.pop())
    gaps = {atom: q for q, atom in hidden.values()}
    return [(e.xreplace(gaps), m) for e, m in pending], hidden


def _own_atoms(e: sp.Expr, s: sp.Symbol) -> list[sp.Expr]:
    """The largest parts of an expression that hold s and no other symbol, numbers apart."""
    if s not in e.free_symbols:
        return []
    linear = e.is_Add or e.is_Mul
    if e.free_symbols == {s} and not (linear and any(a.is_number for a in e.args)):
        return [e]
    return [atom for a in e.args for atom in _own_atoms(a, s)]


def _single(
    pending: Sequence[Item], unknowns: Sequence[sp.Symbol], domains: Mapping[sp.Symbol, Domain]
) -> Found | None:
    """One equation with one unknown."""
    for item in pending:
        unknown = [s for s in unknowns if item[0].has(s)]
        if len(unknown) == 1:
            solved = _invert(item[0], item[1], unknown[0], domains.get(unknown[0]))
            if solved is not None:
                return {unknown[0]: solved}, [item]
    return None


def _block(pending: Sequence[Item], unknowns: Sequence[sp.Symbol]) -> Found:
    """As few equations as can be solved together, linear in as many unknowns."""
    for size in range(2, min(_BLOCK, len(pending)) + 1):
        for chosen in combinations(pending, size):
            unknown = [s for s in unknowns if any(e.has(s) for e, _ in chosen)]
            if len(unknown) != size:
                continue
            cleared = [sp.fraction(sp.together(e - m))[0] for e, m in chosen]

            def among(
                rule: sp.Expr, these: Sequence[sp.Symbol] = tuple(unknown)
            ) -> list[sp.Symbol]:
                return [s for s in these if rule.has(s)]

            solved = dict(_invert_linear([(sp.Integer(0), e) for e in cleared], among))
            if solved:
                return solved, list(chosen)
    return {}, []
