"""Families: the densities f(x | φ) that a mixture is made of.

In: a log-density in SymPy, with the names and domains of its parameters. Out: a frozen
:class:`Family`. Nothing about a family is *known* further down the flow: what is special about it
(standardised form, sufficient statistics, location and scale) is derived from the log-density.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import sympy as sp

from relrep_sym.declare.domains import Domain, domain
from relrep_sym.errors import DeclarationError, problem

__all__ = ["SUPPORTS", "Family", "FamilyParameter", "family_named"]

SUPPORTS = ("line", "half-line", "integers")


@dataclass(frozen=True, slots=True)
class FamilyParameter:
    """One parameter of a family: its symbol, its plural (the model's keyword), its domain."""

    name: str
    plural: str
    domain: Domain

    @property
    def symbol(self) -> sp.Symbol:
        """The parameter's symbol, with the assumptions of its domain."""
        return sp.Symbol(self.name, **self.domain.assumptions())


@dataclass(frozen=True)
class Family:
    """A density f(x | φ) by its logarithm.

    ``log_density`` is in :attr:`x` and in the parameters' symbols, in the form in which it is to be
    evaluated. ``support`` is ``"line"``, ``"half-line"`` or ``"integers"`` (0, 1, 2, …).
    ``sampler`` names the method of :class:`numpy.random.Generator` that draws from it, taking the
    parameters in order, or is None.

    >>> family_named("poisson").parameters[0].name
    'rate'
    """

    name: str
    log_density: sp.Expr
    parameters: tuple[FamilyParameter, ...]
    support: str
    sampler: str | None = None

    @property
    def x(self) -> sp.Symbol:
        """The observation."""
        return sp.Symbol("x", real=True)

    @property
    def symbols(self) -> tuple[sp.Symbol, ...]:
        """The parameters' symbols, in order."""
        return tuple(p.symbol for p in self.parameters)

    def parameter(self, name: str) -> FamilyParameter:
        """The parameter of that name."""
        for p in self.parameters:
            if p.name == name:
                return p
        raise DeclarationError(
            problem(
                f"the {self.name} family has no such parameter",
                name,
                "one of " + ", ".join(p.name for p in self.parameters),
            )
        )

    @property
    def location(self) -> FamilyParameter | None:
        """The parameter m for which f(x + c | m + c) = f(x | m), proven symbolically; or None."""
        return _location(self)

    @property
    def scale(self) -> FamilyParameter | None:
        """The parameter s for which c·f(c x | c m, c s) = f(x | m, s), proven; or None."""
        return _scale(self)


def _vanishes(expression: sp.Expr) -> bool:
    """Whether a difference of log-densities is zero, by expansion alone (a proof when true)."""
    return sp.expand(sp.expand_log(sp.expand(expression), force=True)) == 0


@cache
def _location(family: Family) -> FamilyParameter | None:
    if family.support != "line":
        return None
    shift = sp.Symbol("shift", real=True)
    for p in family.parameters:
        moved = family.log_density.subs(
            {family.x: family.x + shift, p.symbol: p.symbol + shift}, simultaneous=True
        )
        if p.domain.name == "real" and _vanishes(moved - family.log_density):
            return p
    return None


@cache
def _scale(family: Family) -> FamilyParameter | None:
    if family.support == "integers":
        return None
    factor = sp.Symbol("factor", positive=True)
    location = family.location
    stretch = {family.x: factor * family.x}
    if location is not None:
        stretch[location.symbol] = factor * location.symbol
    for p in family.parameters:
        if p is location or p.domain.name != "positive":
            continue
        moved = family.log_density.subs({**stretch, p.symbol: factor * p.symbol}, simultaneous=True)
        if _vanishes(moved + sp.log(factor) - family.log_density):
            return p
    return None


def family_named(name: str | Family) -> Family:
    """The built-in family of that name: ``"normal"`` or ``"poisson"``.

    The normal density is in means μ and standard deviations σ; the Poisson density in its rate.

    >>> family_named("normal").scale.name
    'sigma'
    """
    if isinstance(name, Family):
        return name
    for family in _builtin():
        if family.name == name:
            return family
    raise DeclarationError(
        problem("unknown family", name, "one of " + ", ".join(f.name for f in _builtin()))
    )


@cache
def _builtin() -> tuple[Family, ...]:
    x = sp.Symbol("x", real=True)
    real, positive = domain("real"), domain("positive")
    mu = FamilyParameter("mu", "means", real)
    sigma = FamilyParameter("sigma", "scales", positive)
    rate = FamilyParameter("rate", "rates", positive)
    normal = (
        -(((x - mu.symbol) / sigma.symbol) ** 2) / 2 - sp.log(sigma.symbol) - sp.log(2 * sp.pi) / 2
    )
    poisson = x * sp.log(rate.symbol) - rate.symbol - sp.loggamma(x + 1)
    return (
        Family("normal", normal, (mu, sigma), "line", "normal"),
        Family("poisson", poisson, (rate,), "integers", "poisson"),
    )
