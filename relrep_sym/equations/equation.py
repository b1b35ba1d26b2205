"""One equation of a derivation, and what equations cite.

In: two functions, one that gives the lines to print and one that gives the value. Out: a frozen
:class:`Equation`, which calls them when they are first asked for, so that a derivation of which one
equation is used does not pay for the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import sympy as sp

from relrep_sym.equations.lines import Line

__all__ = ["PAPERS", "Equation"]

PAPERS = {
    "000": "On the Influence of Enforcing Model Identifiability on Learning dynamics of Gaussian "
    "Mixture Models (2022)",
    "PO09": "Park and Ozeki, Singularity and slow convergence of the EM algorithm for Gaussian "
    "mixtures, Neural Processing Letters 29 (2009)",
    "DLR77": "Dempster, Laird and Rubin, Maximum likelihood from incomplete data via the EM "
    "algorithm, JRSS B 39 (1977)",
    "LO82": "Louis, Finding the observed information matrix when using the EM algorithm, JRSS B 44 "
    "(1982)",
    "A98": "Amari, Natural gradient works efficiently in learning, Neural Computation 10 (1998)",
    "002": "van Oostrum, Müller and Ay, Invariance properties of the natural gradient in "
    "overparametrised systems, Information Geometry 6 (2023)",
    "LC98": "Lehmann and Casella, Theory of Point Estimation, 2nd ed. (1998), section 2.6",
}
"""What equations cite, by key."""


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
    """

    name: str
    title: str
    label: str
    show: Callable[[], tuple[Line, ...]] = field(repr=False, compare=False)
    derive: Callable[[], sp.Basic] = field(repr=False, compare=False)
    cites: tuple[str, ...] = ()
    kernels: tuple[str, ...] = ()
    symmetric: bool = False

    @cached_property
    def lines(self) -> tuple[Line, ...]:
        """What is printed: left = right, one line for all components that share a formula."""
        return self.show()

    @cached_property
    def value(self) -> sp.Basic:
        """The right side in SymPy, entry by entry: an expression, a column or a matrix."""
        return self.derive()
