"""One equation of a derivation, and what equations cite.

In: two functions, one that gives the lines to print and one that gives the value. Out: a frozen
:class:`Equation`, which calls them when they are first asked for, so that a derivation of which one
equation is used does not pay for the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import sympy as sp

from relrep_sym.equations.lines import Line
from relrep_sym.equations.sources import SOURCES

__all__ = ["PAPERS", "Equation"]

PAPERS = {key: source.text for key, source in SOURCES.items()}
"""What equations cite, by key, in words."""


@dataclass(frozen=True)
class Equation:
    """A named, labelled, cited equation, its parts derived when they are first asked for.

    Attributes:
        name: what it is called in ``relrep show`` and in the record.
        title: in words.
        label: its LaTeX label.
        show: gives its lines.
        derive: gives its value.
        cites: keys of :data:`PAPERS`, with the place.
        kernels: functions of the generated module that compute it.
        symmetric: whether the value is a symmetric matrix.
        say: gives what is said of it in words, formulas between dollars.
        names: gives every name of a user's that its document prints, with its LaTeX.
    """

    name: str
    title: str
    label: str
    show: Callable[[], tuple[Line, ...]] = field(repr=False, compare=False)
    derive: Callable[[], sp.Basic] = field(repr=False, compare=False)
    cites: tuple[str, ...] = ()
    kernels: tuple[str, ...] = ()
    symmetric: bool = False
    say: Callable[[], str] | None = field(default=None, repr=False, compare=False)
    names: Callable[[], Mapping[str, str]] = field(default=dict, repr=False, compare=False)

    @cached_property
    def lines(self) -> tuple[Line, ...]:
        """What is printed: left = right, one line for all components that share a formula.

        Names are in LaTeX, other quantities marked (:mod:`relrep_sym.emit.letters`).
        """
        return self.show()

    @cached_property
    def value(self) -> sp.Basic:
        """The right side in SymPy, entry by entry: an expression, a column or a matrix."""
        return self.derive()

    @cached_property
    def words(self) -> str:
        """What is said of it, formulas between dollars; empty where its lines say it all.

        Formulas are marked as lines are.
        """
        return "" if self.say is None else self.say()
