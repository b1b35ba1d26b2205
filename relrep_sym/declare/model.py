"""Models: mixtures Σ_k π_k f(x | φ_k) with parameters free, tied or fixed.

In: a family, a number of components, and a pattern for the weights and for each of the family's
parameters. Out: a frozen :class:`Mixture` that names θ, says each component's weight and
parameters as expressions in θ, and lists what is fixed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import sympy as sp
from sympy.core.sympify import _sympify

from relrep_sym.declare.domains import Domain, domain
from relrep_sym.declare.family import Family, FamilyParameter, arguments_of, family_named
from relrep_sym.declare.identifiable import insist_identifiable
from relrep_sym.declare.notebook import mixture_latex
from relrep_sym.declare.parser import number
from relrep_sym.declare.symbols import Parameter
from relrep_sym.errors import DeclarationError, problem

__all__ = ["Mixture", "ModelParameter", "mixture"]

MAX_COMPONENTS = 256
Pattern = tuple[sp.Expr | None, ...] | str


@dataclass(frozen=True, slots=True)
class ModelParameter:
    """One entry of θ: its symbol, domain, what it belongs to and the components that use it."""

    name: str
    symbol: Parameter
    domain: Domain
    role: str
    components: tuple[int, ...]


@dataclass(frozen=True)
class Mixture:
    """A mixture of ``components`` densities of one family.

    ``weights`` and each entry of ``patterns`` (the family's parameters in order) is ``"free"``,
    ``"tied"`` or a tuple with an exact number or None (free) for each component.

    >>> m = mixture("normal", components=2, scales=1)
    >>> m.names, dict(m.fixed)
    (('pi_1', 'mu_1', 'mu_2'), {'sigma_1': 1, 'sigma_2': 1})
    """

    family: Family
    components: int
    weights: Pattern
    patterns: tuple[Pattern, ...]

    def __repr__(self) -> str:
        return f"<M{self.describe()[1:]}>"

    def _repr_latex_(self) -> str:
        return mixture_latex(self)

    @cached_property
    def parameters(self) -> tuple[ModelParameter, ...]:
        """θ in order: weights, then the family's parameters, each by component."""
        out = [
            ModelParameter(f"pi_{k + 1}", Parameter(f"pi_{k + 1}"), domain("unit"), "weight", (k,))
            for k in self.free_weights[:-1]
        ]
        for p, pattern in zip(self.family.parameters, self.patterns, strict=True):
            every = tuple(range(self.components))
            if pattern == "tied":
                out.append(ModelParameter(p.name, Parameter(p.name), p.domain, p.name, every))
                continue
            for k in every:
                if pattern == "free" or pattern[k] is None:
                    name = f"{p.name}_{k + 1}"
                    out.append(ModelParameter(name, Parameter(name), p.domain, p.name, (k,)))
        return tuple(out)

    @cached_property
    def free_weights(self) -> tuple[int, ...]:
        """The components whose weight is learned; the last of them is what the others leave."""
        if isinstance(self.weights, str):
            return tuple(range(self.components))
        return tuple(k for k, w in enumerate(self.weights) if w is None)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of θ, in order."""
        return tuple(p.name for p in self.parameters)

    @cached_property
    def fixed(self) -> Mapping[str, sp.Expr]:
        """The numbers that were given, by the name they would have in θ."""
        out: dict[str, sp.Expr] = {}
        roles = [("pi", self.weights)]
        roles += [(p.name, q) for p, q in zip(self.family.parameters, self.patterns, strict=True)]
        for name, pattern in roles:
            if not isinstance(pattern, str):
                out |= {f"{name}_{k + 1}": v for k, v in enumerate(pattern) if v is not None}
        return out

    @cached_property
    def weight_expressions(self) -> tuple[sp.Expr, ...]:
        """π_1 … π_K in θ; they sum to one identically."""
        free = self.free_weights
        fixed = {} if isinstance(self.weights, str) else dict(enumerate(self.weights))
        rest = 1 - sum((w for w in fixed.values() if w is not None), sp.Integer(0))
        out: list[sp.Expr] = []
        for k in range(self.components):
            if k not in free:
                out.append(fixed[k])
            elif k == free[-1]:
                out.append(rest - sum(Parameter(f"pi_{j + 1}") for j in free[:-1]))
            else:
                out.append(Parameter(f"pi_{k + 1}"))
        return tuple(_sympify(w) for w in out)

    def component(self, role: str) -> tuple[sp.Expr, ...]:
        """φ_1 … φ_K of one of the family's parameters, in θ."""
        index = [p.name for p in self.family.parameters].index(role)
        pattern = self.patterns[index]
        if pattern == "tied":
            return (Parameter(role),) * self.components
        return tuple(
            Parameter(f"{role}_{k + 1}") if pattern == "free" or pattern[k] is None else pattern[k]
            for k in range(self.components)
        )

    def of_role(self, role: str) -> tuple[ModelParameter, ...]:
        """The entries of θ that belong to ``role`` (``"weight"`` or a family parameter's name)."""
        return tuple(p for p in self.parameters if p.role == role)

    def describe(self) -> str:
        """One line that names the model and its patterns.

        >>> mixture("normal", components=3, scales="tied").describe()
        'mixture of 3 normal components: weights free, means free, scales tied'
        """
        parts = [f"weights {_shown(self.weights)}"]
        for p, pattern in zip(self.family.parameters, self.patterns, strict=True):
            parts.append(f"{p.plural} {_shown(pattern)}")
        noun = "component" if self.components == 1 else "components"
        return f"mixture of {self.components} {self.family.title} {noun}: {', '.join(parts)}"


def _shown(pattern: Pattern) -> str:
    if isinstance(pattern, str):
        return pattern
    if len(set(pattern)) == 1:
        return f"fixed at {pattern[0]}"
    return "(" + ", ".join("free" if v is None else str(v) for v in pattern) + ")"


def mixture(
    family: str | Family, components: int, *, weights: object = "free", **patterns: object
) -> Mixture:
    """A mixture of a family, built in (:func:`~relrep_sym.declare.family.family_named`) or own.

    ``"normal"`` and ``"laplace"`` have ``means=`` and ``scales=``, ``"exponential"`` and
    ``"poisson"`` ``rates=``, ``"gamma"`` ``shapes=`` and ``scales=``, ``"geometric"`` and
    ``"binomial"`` ``probabilities=``; a binomial family is made with ``trials=``. Each of
    ``weights=`` and the family's plural names is ``"free"``, ``"tied"`` (one shared parameter), one
    number for all components, or one entry for each: a number, or None for free.
    Numbers are int, Fraction, a string such as ``"1/3"``, SymPy, or a float (which stands for its
    shortest decimal). θ is pi_1 … pi_{K-1}, then the family's parameters by component; the last
    free weight is what the others leave.

    Raises DeclarationError for an unknown family, pattern or keyword, for numbers outside the
    parameter's domain, and for a mixture that no data can identify (a finite support with too few
    points for θ, such as a binomial one with fewer than 2K − 1 trials).

    >>> mixture("poisson", components=3).names
    ('pi_1', 'pi_2', 'rate_1', 'rate_2', 'rate_3')
    >>> mixture("normal", components=2, weights="1/2", scales="tied").names
    ('mu_1', 'mu_2', 'sigma')
    """
    if patterns.get("dimension", 0) is None:
        del patterns["dimension"]
    made = {n: patterns.pop(n) for n in arguments_of(family) if n in patterns}
    chosen = family_named(family, **made)
    if isinstance(components, bool) or not isinstance(components, int | np.integer):
        raise DeclarationError(
            problem("components is not a whole number", components, "1, 2, 3, …")
        )
    count = int(components)
    if not 1 <= count <= MAX_COMPONENTS:
        raise DeclarationError(
            problem("components is out of range", count, f"1 to {MAX_COMPONENTS}")
        )
    plurals = [p.plural for p in chosen.parameters]
    for name in patterns:
        if name not in plurals and name in _SEVERAL:
            asked = f"{name}={patterns[name]!r}"
            raise DeclarationError(problem("models are of one dimension so far", asked, _ONE))
        if name not in plurals:
            raise DeclarationError(
                problem(
                    f"a {chosen.name} mixture has no argument of this name",
                    name,
                    "weights, " + ", ".join(plurals),
                )
            )
    given = [_pattern(patterns.get(p.plural, "free"), p, count) for p in chosen.parameters]
    model = Mixture(chosen, count, _weights(weights, count), tuple(given))
    insist_identifiable(model)
    return model


_SEVERAL = ("dimension", "dimensions", "covariances", "covariance")
_ONE = "observations x that are numbers, and no such argument"


def _pattern(value: object, parameter: FamilyParameter, count: int) -> Pattern:
    where = parameter.plural
    if isinstance(value, str) and value in ("free", "tied"):
        return value
    numbers = _numbers(value, where, count)
    for v in numbers:
        if v is not None and parameter.domain.proves_violation(v):
            raise DeclarationError(
                problem(
                    f"an entry of {where} is outside its domain",
                    str(v),
                    f"numbers in the {parameter.domain.name} domain",
                )
            )
    return "free" if all(v is None for v in numbers) else numbers


def _weights(value: object, count: int) -> Pattern:
    if isinstance(value, str) and value == "free":
        return "free"
    if isinstance(value, str) and value == "tied":
        value = sp.Rational(1, count)
    numbers = _numbers(value, "weights", count)
    fixed = [v for v in numbers if v is not None]
    free = count - len(fixed)
    total = sum(fixed, sp.Integer(0))
    if free == count:
        return "free"
    right = "sum exactly one" if free == 0 else "sum below one, leaving room for the free ones"
    if any(not v.is_positive for v in fixed) or (total != 1 if free == 0 else not (total < 1)):
        raise DeclarationError(
            problem("the fixed weights cannot be weights", _show_all(fixed), f"positive, {right}")
        )
    if free == 1:  # what the others leave is fixed too
        return tuple(1 - total if v is None else v for v in numbers)
    return numbers


def _numbers(value: object, where: str, count: int) -> tuple[sp.Expr | None, ...]:
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, Sequence | np.ndarray) and not isinstance(value, str):
        if len(value) != count:
            raise DeclarationError(
                problem(f"{where} has {len(value)} entries", list(value), f"{count} entries")
            )
        vectors = [v for v in value if isinstance(v, Sequence | np.ndarray) and np.shape(v)]
        if vectors:
            wrong = f"{where}: a vector, where models are of one dimension so far"
            raise DeclarationError(problem(wrong, vectors[0], "a number for each component"))
        return tuple(None if v is None else number(v, where=where) for v in value)
    if isinstance(value, str) and not any(c.isdigit() for c in value):
        raise DeclarationError(
            problem(
                f"unknown pattern for {where}",
                value,
                '"free", "tied", one number, or one entry for each component',
            )
        )
    return (number(value, where=where),) * count


def _show_all(values: Sequence[sp.Expr]) -> str:
    return "[" + ", ".join(str(v) for v in values) + "]"
