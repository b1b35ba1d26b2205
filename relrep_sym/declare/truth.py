"""Truths: the density q that data come from, as a mixture in numbers or with symbols.

In: a family, weights and one list for each of its parameters. Out: a frozen :class:`Truth` whose
:meth:`~Truth.arrays` are what every kernel takes as ``truth``. Symbols stay symbolic in what is
derived, and are given as keywords where numbers are wanted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import sympy as sp

from relrep_sym.declare.family import Family, arguments_of, family_named
from relrep_sym.declare.moments import MOST, component_moments
from relrep_sym.declare.notebook import listed, truth_latex
from relrep_sym.declare.parser import AnyName, expression, number
from relrep_sym.declare.symbols import Constant
from relrep_sym.errors import DeclarationError, problem

__all__ = ["Truth", "truth"]


@dataclass(frozen=True)
class Truth:
    """A mixture of a family; it need not have the model's number of components.

    Entries are exact numbers, or expressions in :class:`~.symbols.Constant` symbols.
    """

    family: Family
    weights: tuple[sp.Expr, ...]
    parameters: tuple[tuple[sp.Expr, ...], ...]

    def __repr__(self) -> str:
        rows = zip(self.weights, *self.parameters, strict=True)
        terms = (f"{w} {self.family.name}({', '.join(map(str, row))})" for w, *row in rows)
        return f"<Truth: {listed(terms, mark=' + ')}>"

    def _repr_latex_(self) -> str:
        return truth_latex(self)

    @cached_property
    def symbols(self) -> tuple[Constant, ...]:
        """The symbols in it, by name."""
        rows = (self.weights, *self.parameters)
        found = {s for row in rows for e in row for s in e.free_symbols}
        return tuple(sorted(found, key=lambda s: s.name))

    def at(self, **values: object) -> Truth:
        """The truth with numbers for symbols, each of them a keyword.

        Raises DeclarationError for a symbol that is missing or unknown, and where the numbers
        leave a domain.
        """
        names = [s.name for s in self.symbols]
        if set(values) != set(names):
            raise DeclarationError(
                problem(
                    "the truth takes exactly its own symbols",
                    ", ".join(values) or "none",
                    ", ".join(f"{n}=…" for n in names) or "no keywords",
                )
            )
        given = {s: number(values[s.name], where=s.name) for s in self.symbols}
        weights = tuple(w.xreplace(given) for w in self.weights)
        rows = (tuple(v.xreplace(given) for v in row) for row in self.parameters)
        plurals = [p.plural for p in self.family.parameters]
        return truth(self.family, weights=weights, **dict(zip(plurals, rows, strict=True)))

    def arrays(self, **values: object) -> tuple[np.ndarray, ...]:
        """(weights, then the family's parameters in order), float64, K′ entries each.

        ``values`` gives a number for each symbol.
        """
        found = self.at(**values) if self.symbols or values else self
        rows = (found.weights, *found.parameters)
        return tuple(np.array([float(v) for v in row]) for row in rows)

    def moment(self, n: int, about: object = 0) -> sp.Expr:
        """E_q[(X − about)^n], exactly, in the truth's symbols.

        ``about`` is a number, a text in constants, or any SymPy expression (a view's ``w``).
        Raises DeclarationError for an ``n`` that is no whole number from 0 to 64; DerivationError
        for a family whose moments have no closed form that is found.

        >>> q = truth("normal", weights=["r", "1 - r"], means=["a", 0], scales=1)
        >>> q.moment(1), q.moment(2, about="a"), q.at(a=2, r="1/4").moment(3, about="1/2")
        (a*r, -a**2*r + a**2 + 1, 3/4)
        """
        return self.moments(n, about)[n]

    def moments(self, n: int, about: object = 0) -> tuple[sp.Expr, ...]:
        """E_q[(X − about)^k] for k = 0 … n; see :meth:`moment`."""
        if isinstance(n, bool) or not isinstance(n, int | np.integer) or not 0 <= n <= MOST:
            raise DeclarationError(problem("this is no moment", n, f"0, 1, … {MOST}"))
        centre = about if isinstance(about, sp.Expr) else _entry(about, "about")
        found = [
            component_moments(self.family, phi, int(n), centre)
            for phi in zip(*self.parameters, strict=True)
        ]
        return tuple(
            sp.expand(sp.Add(*(w * m[k] for w, m in zip(self.weights, found, strict=True))))
            for k in range(int(n) + 1)
        )


def truth(family: str | Family, *, weights: object, **parameters: object) -> Truth:
    """A truth: weights and the family's parameters by their plural names, in numbers or symbols.

    One number stands for all components. A text may name symbols (``"1 - r"``): they stay symbolic
    in what is derived; ``arrays(r=0.3)`` and ``at(r=0.3)`` put numbers in. Raises DeclarationError
    for unknown names, lengths that disagree, weights that are not positive or do not sum to one
    (identically, with symbols), and values outside a domain.

    >>> q = truth("normal", weights=["1/3", "2/3"], means=[0, 1], scales=1)
    >>> [a.tolist() for a in q.arrays()[1:]]
    [[0.0, 1.0], [1.0, 1.0]]
    >>> q = truth("normal", weights=["r", "1 - r"], means=["a", "b"], scales=1)
    >>> [s.name for s in q.symbols], q.arrays(a=0, b=2, r="1/4")[0].tolist()
    (['a', 'b', 'r'], [0.25, 0.75])
    """
    made = {n: parameters.pop(n) for n in arguments_of(family) if n in parameters}
    chosen = family_named(family, **made)
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
    total = sp.expand(sp.Add(*shares) - 1)
    whole = abs(float(total)) <= 1e-12 if total.is_number else False
    if not whole or any(w.is_positive is False or w.is_zero for w in shares):
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
        vectors = [v for v in value if isinstance(v, Sequence | np.ndarray) and np.shape(v)]
        if vectors:
            wrong = f"{where}: a vector, where models are of one dimension so far"
            raise DeclarationError(problem(wrong, vectors[0], "a number for each component"))
        row = tuple(_entry(v, where) for v in value)
    else:
        row = (_entry(value, where),) * (length or 1)
    if not row or (length is not None and len(row) != length):
        raise DeclarationError(
            problem(f"{where} has {len(row)} entries", str(list(row)), f"{length or 'at least 1'}")
        )
    return row


_SYMBOLS = AnyName("truth's symbol", make=Constant)


def _entry(value: object, where: str) -> sp.Expr:
    """A number, or an expression in constants."""
    if isinstance(value, str | sp.Expr) and value not in ("free", "tied"):  # a model's words
        return expression(value, _SYMBOLS, where=where)
    return number(value, where=where)
