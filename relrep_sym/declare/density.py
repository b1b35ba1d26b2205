"""Families: the densities f(x | φ) that a mixture is made of.

In: a log-density in SymPy, with the names and domains of its parameters. Out: a frozen
:class:`Family`. Nothing about a family is *known* further down the flow: what is special about it
(standardised form, sufficient statistics, location and scale) is derived from the log-density.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import sympy as sp

from relrep_sym.declare.domains import Domain
from relrep_sym.declare.notebook import family_latex, listed
from relrep_sym.declare.support import Support, support_text
from relrep_sym.errors import DeclarationError, problem

__all__ = ["Family", "FamilyParameter", "Sampler"]


@dataclass(frozen=True, slots=True)
class Sampler:
    """How :class:`numpy.random.Generator` draws from a family.

    ``method`` takes ``arguments``, expressions in the family's parameters; ``shift`` is added to
    what it draws.
    """

    method: str
    arguments: tuple[sp.Expr, ...]
    shift: int = 0


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
    evaluated. ``support`` is one of :mod:`relrep_sym.declare.support`. ``arguments`` are the
    numbers that the family was made with, such as the trials of a binomial one. A parameter of the
    unit interval is inside of it.

    >>> from relrep_sym.declare.family import family_named
    >>> family_named("poisson").parameters[0].name
    'rate'
    """

    name: str
    log_density: sp.Expr
    parameters: tuple[FamilyParameter, ...]
    support: Support
    sampler: Sampler | None = None
    arguments: tuple[tuple[str, int], ...] = ()

    def __repr__(self) -> str:
        roles = ", ".join(f"{p.name} {p.domain.name}" for p in self.parameters)
        formula = listed([self.log_density])
        return f"<Family {self.title} on {support_text(self.support)}: {roles}; log f = {formula}>"

    def _repr_latex_(self) -> str:
        return family_latex(self)

    @property
    def title(self) -> str:
        """The name, with the numbers that the family was made with.

        >>> from relrep_sym.declare.family import family_named
        >>> family_named("binomial", trials=10).title
        'binomial(trials=10)'
        """
        shown = ", ".join(f"{name}={value}" for name, value in self.arguments)
        return f"{self.name}({shown})" if shown else self.name

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
    def discrete(self) -> bool:
        """Whether densities are sums over points."""
        return (
            self.support != "line"
            and self.support != "half-line"
            and (self.support == "integers" or self.support[0] != "interval")
        )

    @property
    def kink(self) -> sp.Expr | None:
        """What stands inside of |…| with the parameters in it, such as x − μ; None where nothing
        does.
        """
        return _kink(self)

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
    plain = expression.replace(sp.Abs, lambda inner: sp.Abs(sp.factor(inner)))
    return sp.expand(sp.expand_log(sp.expand(plain), force=True)) == 0


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
    if family.support not in ("line", "half-line"):
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


@cache
def _kink(family: Family) -> sp.Expr | None:
    """The one inner function of the absolute values that parameters enter, up to a factor."""
    found: list[sp.Expr] = []
    for whole in sorted(family.log_density.atoms(sp.Abs), key=sp.default_sort_key):
        inner = whole.args[0]
        if not inner.free_symbols & set(family.symbols):
            continue
        slope = sp.diff(inner, family.x)
        if slope == 0 or slope.has(family.x):
            found.append(inner)
        else:
            found.append(sp.expand(sp.expand(inner) / slope))
    distinct = list(dict.fromkeys(found))
    if len(distinct) > 1 or any(not _straight(e, family) for e in distinct):
        raise DeclarationError(
            problem(
                f"the {family.name} log-density is not smooth in its parameters",
                ", ".join(f"|{e}|" for e in distinct),
                "at most one kink, at x = a parameter times a number plus a number, as in |x - mu|",
            )
        )
    return distinct[0] if distinct else None


def _straight(inner: sp.Expr, family: Family) -> bool:
    """Whether it is x plus what is linear in the parameters with numbers for coefficients."""
    rest = sp.expand(inner - family.x)
    return not rest.has(family.x) and all(
        sp.diff(rest, s).is_number for s in family.symbols if rest.has(s)
    )
