"""Truths: the density q that data come from, as a mixture with numbers.

In: a family, weights and one list for each of its parameters. Out: a frozen :class:`Truth` whose
:meth:`~Truth.arrays` are what every kernel takes as ``truth``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import sympy as sp

from relrep_sym.declare.family import Family, family_named
from relrep_sym.declare.parser import number
from relrep_sym.errors import DeclarationError, problem

__all__ = ["Truth", "truth"]


@dataclass(frozen=True)
class Truth:
    """A mixture of a family, in numbers; it need not have the model's number of components."""

    family: Family
    weights: tuple[sp.Expr, ...]
    parameters: tuple[tuple[sp.Expr, ...], ...]

    def arrays(self) -> tuple[np.ndarray, ...]:
        """(weights, then the family's parameters in order), float64, K′ entries each."""
        rows = (self.weights, *self.parameters)
        return tuple(np.array([float(v) for v in row]) for row in rows)


def truth(family: str | Family, *, weights: object, **parameters: object) -> Truth:
    """A truth in numbers: weights and the family's parameters by their plural names.

    One number stands for all components. Raises DeclarationError for unknown names, lengths that
    disagree, weights that are not positive or do not sum to one, and values outside a domain.

    >>> q = truth("normal", weights=["1/3", "2/3"], means=[0, 1], scales=1)
    >>> [a.tolist() for a in q.arrays()[1:]]
    [[0.0, 1.0], [1.0, 1.0]]
    """
    chosen = family_named(family)
    plurals = {p.plural: p for p in chosen.parameters}
    wrong = sorted(set(parameters) ^ set(plurals))
    if wrong:
        raise DeclarationError(
            problem(
                f"a {chosen.name} truth takes exactly the family's parameters",
                ", ".join(parameters) or "none",
                ", ".join(plurals),
            )
        )
    shares = _row(weights, "weights", None)
    if any(not w.is_positive for w in shares) or abs(float(sum(shares)) - 1) > 1e-12:
        raise DeclarationError(
            problem("these are not weights", str(list(shares)), "positive numbers that sum to one")
        )
    rows = []
    for plural, p in plurals.items():
        row = _row(parameters[plural], plural, len(shares))
        if any(p.domain.proves_violation(v) for v in row):
            raise DeclarationError(
                problem(f"{plural} leave their domain", str(list(row)), f"{p.domain.name} numbers")
            )
        rows.append(row)
    return Truth(chosen, shares, tuple(rows))


def _row(value: object, where: str, length: int | None) -> tuple[sp.Expr, ...]:
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, Sequence | np.ndarray) and not isinstance(value, str):
        row = tuple(number(v, where=where) for v in value)
    else:
        row = (number(value, where=where),) * (length or 1)
    if not row or (length is not None and len(row) != length):
        raise DeclarationError(
            problem(f"{where} has {len(row)} entries", str(list(row)), f"{length or 'at least 1'}")
        )
    return row
