"""Domains: the sets that parameters and coordinates live in.

In: a name such as ``"positive"``. Out: a :class:`Domain` with its ends, which the equations print,
the kernels check and the inverses use to pick a branch. First stage of the flow.
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from relrep_sym.errors import DeclarationError, problem

__all__ = ["DOMAINS", "Domain", "domain"]


@dataclass(frozen=True, slots=True)
class Domain:
    """An interval of the real line, its ends included or not.

    >>> domain("unit").latex
    '[0, 1]'
    """

    name: str
    lower: float
    upper: float
    open_lower: bool
    latex: str

    def assumptions(self) -> dict[str, bool]:
        """The SymPy assumptions that hold for every number of the domain."""
        if self.lower < 0:
            return {"real": True}
        return {"positive": True} if self.open_lower else {"nonnegative": True}

    def proves_violation(self, value: sp.Expr) -> bool:
        """Whether ``value`` (its symbols carrying assumptions) lies outside for certain."""
        if self.lower < 0:
            return value.is_real is False
        below = value.is_nonpositive if self.open_lower else value.is_negative
        above = (value - 1).is_positive if self.upper == 1 else False
        return bool(below) or bool(above) or value.is_real is False


DOMAINS: tuple[Domain, ...] = (
    Domain("real", float("-inf"), float("inf"), False, r"\mathbb{R}"),
    Domain("positive", 0.0, float("inf"), True, r"(0, \infty)"),
    Domain("nonnegative", 0.0, float("inf"), False, r"[0, \infty)"),
    Domain("unit", 0.0, 1.0, False, "[0, 1]"),
)


def domain(name: str | Domain) -> Domain:
    """The domain of that name: ``real``, ``positive``, ``nonnegative`` or ``unit``.

    >>> domain("positive").open_lower
    True
    """
    if isinstance(name, Domain):
        return name
    for known in DOMAINS:
        if known.name == name:
            return known
    raise DeclarationError(
        problem("unknown domain", name, "one of " + ", ".join(d.name for d in DOMAINS))
    )
