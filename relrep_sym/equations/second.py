r"""A component's second derivatives over the basis of its first: what a Hessian's data pass needs.

In: a :class:`~relrep_sym.equations.component.ComponentForm`. Out: a frozen :class:`SecondForm`:

.. math:: \frac{\partial^2 \log f}{\partial \varphi_i \partial \varphi_j} = \sum_j a_j(\varphi)\,
    b_j(z)

and the difference of two components' scores over the basis of one of them, with coefficients that
vanish with the difference of their parameters. All is derived from the family's log-density.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import sympy as sp

from relrep_sym.equations.component import (
    ComponentForm,
    _in_z,
    _separate,
    _without_cancellation,
    difference_symbol,
)
from relrep_sym.errors import DerivationError, problem

__all__ = ["SecondForm", "new_symbol", "second_form"]

Row = tuple[sp.Expr, ...]


@dataclass(frozen=True)
class SecondForm:
    """Second derivatives of a family's log-density, over its form's basis 1, b_1 … b_J.

    Attributes:
        pairs: (i, j), i ≤ j, numbers of family parameters.
        second: for each pair the coefficients (a_0, …, a_J) of ∂² log f/∂φ_i∂φ_j.
        contrast: for each parameter the coefficients (e_0, …, e_J), in the reference's parameters
            and the differences to them, of ∂ log f(x | φ + δ)/∂φ_i − ∂ log f(x | φ)/∂φ_i over the
            basis in the reference's z; each vanishes with δ without cancellation.
        rebased: for each b_j the coefficients, over the basis in one component's z, of b_j in
            another's, whose parameters are the ``new_symbol`` of each; empty where all share z.
    """

    pairs: tuple[tuple[int, int], ...]
    second: tuple[Row, ...]
    contrast: tuple[Row, ...]
    rebased: tuple[Row, ...]


def new_symbol(parameter: str) -> sp.Symbol:
    """The symbol of a family parameter after a step."""
    return sp.Symbol(f"new_{parameter}", real=True)


@cache
def second_form(form: ComponentForm) -> SecondForm:
    """Derive the second derivatives of a family.

    Raises DerivationError where they are no combinations of the form's basis functions.

    >>> from relrep_sym.declare.family import family_named
    >>> from relrep_sym.equations.component import component_form
    >>> found = second_form(component_form(family_named("normal")))
    >>> found.second  # over 1, z, z**2
    ((-1/sigma**2, 0, 0), (0, -2*sqrt(2)/sigma**2, 0), (sigma**(-2), 0, -6/sigma**2))
    >>> second_form(component_form(family_named("poisson"))).contrast
    ((0, -delta_rate/(rate*(delta_rate + rate))),)
    >>> found.rebased[0]  # z about new_mu, in units of new_sigma, over 1, z, z**2
    (sqrt(2)*(mu - new_mu)/(2*new_sigma), sigma/new_sigma, 0)
    """
    family, z = form.family, form.z
    offset = form.standard.subs(family.x, 0)
    slope = sp.diff(form.standard, family.x)
    if slope.has(family.x) or any(b.free_symbols != {z} for b in form.basis):
        raise DerivationError(_refusal(form, "the basis"))
    observed = (z - offset) / slope  # x in terms of z: the standard variable is linear in x

    def over_basis(expression: sp.Expr) -> Row:
        found = _separate(_in_z(family, observed, expression), z)
        stray = [b for b in found if b != 1 and b not in form.basis]
        if stray:
            raise DerivationError(_refusal(form, ", ".join(map(str, stray))))
        return tuple(found.get(b, sp.Integer(0)) for b in (sp.Integer(1), *form.basis))

    symbols = family.symbols
    pairs = tuple((i, j) for i in range(len(symbols)) for j in range(i, len(symbols)))
    second = [over_basis(sp.diff(family.log_density, symbols[i], symbols[j])) for i, j in pairs]
    moved = {s: s + difference_symbol(s.name) for s in symbols}
    contrast = []
    for s in symbols:
        score = sp.diff(family.log_density, s)
        if form.own:
            row = over_basis(score.subs(moved, simultaneous=True) - score)
        else:  # functions of x alone, whose coefficients move
            row = tuple(a.subs(moved, simultaneous=True) - a for a in over_basis(score))
        contrast.append(tuple(_without_cancellation(e) for e in row))
    other = form.standard.subs({s: new_symbol(s.name) for s in symbols}, simultaneous=True)
    rebased = [over_basis(b.subs(z, other)) for b in form.basis] if form.own else []
    return SecondForm(
        pairs,
        tuple(tuple(sp.factor(a) for a in row) for row in second),
        tuple(contrast),
        tuple(tuple(sp.factor(a) for a in row) for row in rebased),
    )


def _refusal(form: ComponentForm, found: str) -> str:
    return problem(
        f"the {form.family.name} family's second derivatives do not separate over its basis",
        found,
        f"combinations of {', '.join(map(str, form.basis))} with coefficients in the parameters",
    )
