r"""∂Q/∂φ_k as it is printed: statistics about the new location, factors at the new parameters.

In: a :class:`~.generic.Generic` and a :class:`~.isotonic.Pull`. Out: expressions in generic
entries; what the lines of constrained steps (:mod:`.ordered_lines`, :mod:`.joint_lines`) are made
of.
"""

from __future__ import annotations

import sympy as sp
from sympy.core.sympify import _sympify

from relrep_sym.equations.em import shift_symbol
from relrep_sym.equations.em_lines import (
    mass_of,
    new_entry,
    plain_value,
    relocated,
    stayed,
    sum_over,
    uncentred,
)
from relrep_sym.equations.generic import Generic
from relrep_sym.equations.isotonic import Pull, inverse_link, pull_of
from relrep_sym.equations.lines import Line, numbers_to, where_text
from relrep_sym.equations.nodes import Index
from relrep_sym.equations.shapes import shape_of
from relrep_sym.errors import DerivationError

__all__ = [
    "affected",
    "blocks_compared",
    "factor_at",
    "is_learned",
    "new_value",
    "renewed",
    "role_line",
    "target_at",
]


def is_learned(g: Generic, role: str) -> bool:
    """Whether some component's parameter of that role is learned."""
    return bool(g.model.of_role(role))


def new_value(g: Generic, role: str, i: Index) -> sp.Expr:
    """A component's parameter after the step; as it is where it is fixed."""
    if not is_learned(g, role) or f"{role}_{i}" in g.model.fixed:
        return _sympify(g.phi(role, i))
    return new_entry(role, None if role in g.tied else i)


def renewed(g: Generic, expression: sp.Expr, i: Index) -> sp.Expr:
    """The family's symbols as component i's values after the step."""
    return expression.xreplace(
        {p.symbol: new_value(g, p.name, i) for p in g.model.family.parameters}
    )


def target_at(g: Generic, pull: Pull, i: Index) -> sp.Expr:
    """s_i; of a location the place itself, not the shift to it."""
    family = g.model.family
    location = family.location
    if location is not None and pull.role == location.name:
        return uncentred(g, pull.statistic, i)
    others = {p.symbol: new_value(g, p.name, i) for p in family.parameters if p is not location}
    moved = location is not None and is_learned(g, location.name)
    show = relocated if moved else stayed
    if location is None:
        return plain_value(g, pull.statistic.xreplace(others), i)
    return show(g, pull.statistic.xreplace(others), i)


def factor_at(g: Generic, pull: Pull, i: Index, tied: bool = False) -> sp.Expr:
    """N_i v_i, what all components share (a tied parameter's part) left out, or that alone."""
    shared = [p.symbol for p in g.model.family.parameters if p.name in g.tied]
    own, common = pull.factor.as_independent(*shared, as_Add=False)
    own = renewed(g, own, i)
    numbers = own.is_number and own.is_positive
    if tied:
        return renewed(g, common, i) * (own if numbers else 1)
    return mass_of(g, i) * (1 if numbers else own)


def role_line(g: Generic, role: str) -> Line | None:
    """A parameter's update about the new location; None where it has no closed form."""
    pull = pull_of(g.model.family, role)
    if pull is None:
        return None
    count, tied = g.model.components, role in g.tied
    if not tied:
        value = inverse_link(pull, target_at(g, pull, "k"))
        learned = [p.components[0] + 1 for p in g.model.of_role(role)]
        return None if value is None else Line(new_entry(role, "k"), value, where_text(learned))
    members = numbers_to(count)
    below = sum_over(g, lambda i: factor_at(g, pull, i), members)
    above = sum_over(g, lambda i: factor_at(g, pull, i) * target_at(g, pull, i), members)
    value = inverse_link(pull, above / below)
    return None if value is None else Line(new_entry(role, None), value)


def blocks_compared(g: Generic, role: str) -> bool:
    """Whether the step in order is solved by comparing the maxima of blocks."""
    try:
        shape_of(g.model, role)
    except DerivationError:
        return False
    return True


def affected(g: Generic, role: str) -> list[str]:
    """The other learned parameters whose update is about the role's new value."""
    family = g.model.family
    location = family.location
    if location is None or location.name != role:
        return []
    out = []
    for p in family.parameters:
        pull = pull_of(family, p.name)
        if pull is not None and is_learned(g, p.name) and pull.statistic.has(shift_symbol(family)):
            out.append(p.name)
    return out
