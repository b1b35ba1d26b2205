"""A user's own maps and densities in the forms that keep their digits.

In: a chart or a family as it was declared. Out: the same with its expressions rewritten
(:mod:`relrep_sym.emit.digits`), and in words what is lost where no form helps. What the package
itself declares is written in such forms from the start and is left alone.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise

import sympy as sp
from sympy.core.sympify import _sympify

from relrep_sym.declare.chart import Chart
from relrep_sym.declare.family import Family
from relrep_sym.declare.family import names as built_in
from relrep_sym.declare.symbols import Intermediate
from relrep_sym.emit.digits import UNIT, Kept, kept, reaches
from relrep_sym.errors import PrecisionWarning, problem

__all__ = ["Forms", "chart_forms", "family_forms", "is_own", "warn_of_loss"]


@dataclass
class Forms:
    """How expressions are written: a function of an expression.

    ``domains`` names each symbol's domain; without ``own`` every expression stays as it is. A loss
    where a symbol is smaller than ``least`` is no news. A form that has no value where ``far`` is
    far out and the expression has one is not taken: what is derived is computed by quotients there.
    """

    domains: Mapping[sp.Symbol, str]
    own: bool = True
    least: float = 0.0
    far: sp.Symbol | None = None
    losses: dict[str, Kept] = field(default_factory=dict)

    def __call__(self, expression: sp.Expr, what: str = "") -> sp.Expr:
        """The expression in its best form; with ``what`` a loss that is left is remembered."""
        if not self.own or not expression.free_symbols <= self.domains.keys():
            return expression
        found = kept(expression, self.domains, self.least)
        if self.far in expression.free_symbols and found.expression != expression:
            if not reaches(found.expression, expression, self.domains, self.far):
                return expression
        if found.loss and what:
            self.losses.setdefault(what, found)
        return found.expression

    def chart(self, chart: Chart) -> Chart:
        """The chart with its program in its best forms."""
        if not self.own:
            return chart
        program = tuple((t, self(r, f"the map of {t.name}")) for t, r in chart.program)
        return replace(chart, program=program, over=None, whole=None)

    def share(self, chart: Chart, weight: sp.Expr) -> sp.Expr:
        """A weight that is left over by others, in the coordinates where that keeps its digits."""
        weight = _sympify(weight)
        if not self.own or not weight.is_Add:
            return weight
        whole = weight.xreplace(chart.every_value)
        found = kept(whole, self.domains)
        return weight if found.expression == whole or found.loss else found.expression

    def steps(self, chart: Chart, role: str) -> list[sp.Expr] | None:
        """φ_{k+1} − φ_k in the coordinates, where one of them keeps digits that subtracting loses.

        None where nothing does, or where there are too many components to try.
        """
        values = chart.model.component(role)
        if not self.own or not 1 < len(values) <= _MOST:
            return None
        full = [_sympify(v).xreplace(chart.every_value) for v in values]
        out, gained = [], False
        for (here, after), (low, high) in zip(pairwise(values), pairwise(full), strict=True):
            difference = sp.expand(high - low, power_exp=False, log=False, trig=False)
            found = kept(difference, self.domains)
            if found.loss or difference.is_number:
                out.append(_sympify(after - here))
                continue
            shorter = len(difference.free_symbols) < len(low.free_symbols | high.free_symbols)
            better = found.expression != difference
            gained |= shorter or better
            out.append(found.expression if shorter or better else _sympify(after - here))
        return out if gained else None


_MOST = 8


def is_own(family: Family) -> bool:
    """Whether a family is a user's own."""
    return family.name not in built_in()


def chart_forms(chart: Chart) -> Forms:
    """How the expressions of a chart, and of views of it, are written."""
    domains: dict[sp.Symbol, str] = {c.symbol: c.domain.name for c in chart.coordinates}
    domains |= {c.symbol: c.domain.name for c in chart.constants}
    domains |= {p.symbol: p.domain.name for p in chart.model.parameters}
    domains |= {t: "real" for t, _ in chart.program if isinstance(t, Intermediate)}
    return Forms(domains, chart.own)


def family_forms(family: Family) -> Forms:
    """How the expressions of a family in x and its parameters are written."""
    kind = "integers" if family.discrete else "real"
    kind = "positive" if family.support == "half-line" else kind
    if not isinstance(family.support, str) and family.support[:3] == ("interval", 0, 1):
        kind = "unit"
    domains = {family.x: kind, **{p.symbol: p.domain.name for p in family.parameters}}
    far = family.x if family.support in ("line", "half-line") else None
    return Forms(domains, is_own(family), least=1e-6, far=far)


def warn_of_loss(forms: Forms) -> None:
    """Warn of each expression that loses digits in every form."""
    for what, found in forms.losses.items():
        size = found.loss * UNIT
        lost = "all digits" if size >= 1 else f"a relative error of {size:.0e}"
        text = problem(
            f"{what} loses digits in every form that was tried",
            f"{lost} at {found.where}",
            "a form without the cancellation, or coordinates that stay away from there",
        )
        warnings.warn(text, PrecisionWarning, stacklevel=2)
