r"""One generic component, differentiated once: what the data pass of every mixture needs.

In: a :class:`~relrep_sym.declare.family.Family`. Out: a frozen :class:`ComponentForm`,

.. math:: f(x \mid \varphi) = h(\varphi)\, e^{c_0(\varphi) + \sum_j c_j(\varphi)\, b_j(z)}\, g(x)

with a standard variable z (for a location and scale family (x − μ)/σ, up to a constant; else x) and
functions b_j of z alone, found by separating z from the parameters. All is derived from the
family's log-density; no family is known by name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import sympy as sp

from relrep_sym.declare.family import Family
from relrep_sym.equations.kernels import StirlingRemainder, stable_density
from relrep_sym.equations.special_nodes import DigammaDifference, LogGammaRatio, LogRatio

__all__ = [
    "ComponentForm",
    "component_form",
    "difference_symbol",
    "opened",
    "own_symbol",
]


def difference_symbol(parameter: str) -> sp.Symbol:
    """The symbol of a component's parameter less the reference component's."""
    return sp.Symbol(f"delta_{parameter}", real=True)


@dataclass(frozen=True)
class ComponentForm:
    """The derived form of a family; all expressions are in its parameters' symbols, ``z`` and x.

    Attributes:
        family: the family it was derived from.
        z: the standard variable's symbol.
        standard: z as an expression in x and the parameters.
        own: whether z differs from component to component; if not, z is x.
        basis: the functions b_1 … b_J of z (b_0 is the constant one).
        height: the factor h(φ), free of exponentials.
        constant: c_0(φ).
        coefficients: c_1(φ) … c_J(φ).
        common: log g(x), the term that no parameter enters.
        anchored: where z is x and g(x) holds a factorial: log f − common with large terms that
            cancel brought together (see :class:`StirlingRemainder`), as two terms that are to be
            evaluated apart; else None.
        score: for each parameter the coefficients (a_0, …, a_J) of ∂ log f/∂φ_i = Σ_j a_j b_j.
        odds: the coefficients (e_0, …, e_J), in the reference's parameters and the differences to
            them (and the component's own), of log f(x | φ + δ) − log f(x | φ) = Σ_j e_j b_j(z);
            each vanishes with δ without cancellation. Empty where there are ``slopes``.
        slopes: None where the form is separated as above; else ∂ log f/∂φ_i in x and the
            parameters. The basis is then log f and these, z is x, and the log-odds of components
            that nearly coincide are the integral of the slopes along the way between them.
    """

    family: Family
    z: sp.Symbol
    standard: sp.Expr
    own: bool
    basis: tuple[sp.Expr, ...]
    height: sp.Expr
    constant: sp.Expr
    coefficients: tuple[sp.Expr, ...]
    common: sp.Expr
    anchored: tuple[sp.Expr, sp.Expr] | None
    score: tuple[tuple[sp.Expr, ...], ...]
    odds: tuple[sp.Expr, ...]
    slopes: tuple[sp.Expr, ...] | None = None

    @property
    def log_density(self) -> sp.Expr:
        """The family's log-density put together again from the parts (for checks)."""
        if self.anchored is not None:
            return sp.Add(*self.anchored) + self.common
        terms = sum(
            (c * b for c, b in zip(self.coefficients, self.basis, strict=True)), sp.Integer(0)
        )
        inner = terms.subs(self.z, self.standard)
        return sp.log(self.height) + self.constant + inner + self.common


@cache
def component_form(family: Family) -> ComponentForm:
    """Derive the form of a family: separated where that is possible, else general.

    >>> from relrep_sym.declare.family import family_named
    >>> form = component_form(family_named("normal"))
    >>> form.basis, form.height, form.score[0]
    ((z, z**2), sqrt(2)/(2*sqrt(pi)*sigma), (0, sqrt(2)/sigma, 0))
    >>> component_form(family_named("poisson")).odds
    (-delta_rate, LogRatio(delta_rate, rate, own_rate))
    >>> component_form(family_named("laplace")).slopes[0]
    -sign(mu - x)/b
    """
    return _separated(family) or _general(family)


def _separated(family: Family) -> ComponentForm | None:
    """The exponential-family form; None where something does not separate."""
    z = sp.Symbol("z", real=True)
    location, scale = family.location, family.scale
    own = location is not None or scale is not None
    centre = location.symbol if location else sp.Integer(0)
    spread = scale.symbol if scale else sp.Integer(1)
    unscaled = _separate(_in_z(family, centre + spread * z, family.log_density), z)
    stretch = _stretch(unscaled, z)
    observed = centre + spread * z * stretch
    standard = (family.x - centre) / (spread * stretch)

    density = _separate(_in_z(family, observed, family.log_density), z)
    scores = [
        _separate(_in_z(family, observed, sp.diff(family.log_density, s)), z)
        for s in family.symbols
    ]
    moved = {s: s + difference_symbol(s.name) for s in family.symbols}
    if own:
        shifted = family.log_density.subs(moved, simultaneous=True) - family.log_density
        odds = _separate(_in_z(family, observed, shifted), z)
    else:  # functions of x alone, whose coefficients move
        odds = {b: c.subs(moved, simultaneous=True) - c for b, c in density.items()}
        odds = {b: c for b, c in odds.items() if c != 0}

    common = sp.Integer(0)
    if not own:
        for b in [b for b, c in density.items() if b != 1 and not c.free_symbols]:
            common += density.pop(b) * b.subs(z, family.x)
    found = {b for part in (density, *scores, odds) for b in part} - {sp.Integer(1)}
    basis = tuple(sorted(found, key=lambda b: (sp.count_ops(b), sp.default_sort_key(b))))
    if any(b.free_symbols != {z} for b in basis):
        return None
    if not _curves_separate(family, observed, z, basis):
        return None
    ordered = (sp.Integer(1), *basis)
    coefficients = tuple(_without_cancellation(odds.get(b, sp.Integer(0))) for b in ordered)
    if not all(map(_vanishes_openly, coefficients)):
        return None
    anchored = None
    if family.support == "integers" and common.has(sp.loggamma(family.x + 1)):
        common, anchored = _anchor(family, common)
    at_one = density.get(sp.Integer(1), sp.Integer(0))
    height, constant = _height(at_one) if own else (sp.Integer(1), at_one)
    return ComponentForm(
        family=family,
        z=z,
        standard=standard,
        own=own,
        basis=basis,
        height=height,
        constant=constant,
        coefficients=tuple(sp.factor(density.get(b, sp.Integer(0))) for b in basis),
        common=common,
        anchored=anchored,
        score=tuple(tuple(sp.factor(s.get(b, sp.Integer(0))) for b in ordered) for s in scores),
        odds=coefficients,
    )


def _curves_separate(
    family: Family, observed: sp.Expr, z: sp.Symbol, basis: tuple[sp.Expr, ...]
) -> bool:
    """Whether the second derivatives are over the same basis, without which no step is."""
    for i, s in enumerate(family.symbols):
        slope = sp.diff(family.log_density, s)
        for t in family.symbols[i:]:
            found = _separate(_in_z(family, observed, sp.diff(slope, t)), z)
            if set(found) - {sp.Integer(1), *basis}:
                return False
    return True


def _general(family: Family) -> ComponentForm:
    """The form whose basis functions are log f and its slopes."""
    logarithm = stable_density(family)
    slopes = tuple(sp.diff(logarithm, s) for s in family.symbols)
    zero, one = sp.Integer(0), sp.Integer(1)
    return ComponentForm(
        family=family,
        z=family.x,
        standard=family.x,
        own=True,
        basis=(logarithm, *slopes),
        height=one,
        constant=zero,
        coefficients=(one, *(zero for _ in slopes)),
        common=zero,
        anchored=None,
        score=tuple(
            (zero, zero, *(one if i == j else zero for j in range(len(slopes))))
            for i in range(len(slopes))
        ),
        odds=(),
        slopes=slopes,
    )


def _vanishes_openly(coefficient: sp.Expr) -> bool:
    """Whether differences are in it as rational functions and logarithmic ratios of such alone."""
    plain = coefficient.replace(
        lambda e: isinstance(e, LogRatio | LogGammaRatio | DigammaDifference),
        lambda e: sp.Dummy() * e.args[0],
    )
    varying = [
        e
        for e in sp.preorder_traversal(plain)
        if isinstance(e, sp.Function) or (e.is_Pow and not e.exp.is_Integer)
    ]
    return not any(s.name.startswith("delta_") for e in varying for s in e.free_symbols)


def _anchor(family: Family, common: sp.Expr) -> tuple[sp.Expr, tuple[sp.Expr, sp.Expr]]:
    """(common, rest) of log f with log Γ(x + 1) = s(x) + x log x − x put in.

    The rest is what the parameters enter, with x log x − x: terms of the size of x log x that
    cancel, so its logarithms are brought together into one.
    """
    x = family.x
    remainder = StirlingRemainder(x)
    stirling = remainder + x * sp.log(x) - x
    whole = sp.expand(family.log_density.xreplace({sp.loggamma(x + 1): stirling}))
    kept = sp.expand(common.xreplace({sp.loggamma(x + 1): remainder}))
    rest = sp.expand(whole - kept)
    logs = [t for t in sp.Add.make_args(rest) if t.has(sp.log)]
    merged = _without_cancellation(sp.Add(*logs))
    return kept, (merged, sp.expand(rest - sp.Add(*logs)))


def _in_z(family: Family, observed: sp.Expr, expression: sp.Expr) -> sp.Expr:
    return sp.expand(opened(expression.subs(family.x, observed)))


def opened(expression: sp.Expr) -> sp.Expr:
    """Logarithms of products as sums; one of −a, such as log(−log(1 − p)), stays whole."""
    whole: dict[sp.Expr, sp.Expr] = {}

    def kept(inner: sp.Expr) -> sp.Expr:
        if not inner.as_coeff_Mul()[0].is_negative:
            return sp.log(inner)
        mark = sp.Dummy(positive=True)
        whole[mark] = sp.log(inner)
        return mark

    out = sp.expand_log(expression.replace(sp.log, kept), force=True)
    return out.xreplace(whole)


def _separate(expression: sp.Expr, z: sp.Symbol) -> dict[sp.Expr, sp.Expr]:
    """{function of z: coefficient} with the expression their sum of products."""
    out: dict[sp.Expr, sp.Expr] = {}
    for term in sp.Add.make_args(expression):
        coefficient, function = term.as_independent(z, as_Add=False)
        out[function] = out.get(function, sp.Integer(0)) + coefficient
    return {b: c for b, c in out.items() if c != 0}


def _stretch(density: dict[sp.Expr, sp.Expr], z: sp.Symbol) -> sp.Expr:
    """The factor s that turns a lone term −|c| zᵖ of the log-density into −(z/s)ᵖ, else 1."""
    terms = {b: c for b, c in density.items() if b != 1}
    if len(terms) != 1:
        return sp.Integer(1)
    ((function, c),) = terms.items()
    base, power = function.as_base_exp()
    if base != z or not (c.is_Rational and c < 0 and power.is_Integer and power % 2 == 0):
        return sp.Integer(1)
    return (-c) ** (-sp.Integer(1) / power)


def _height(c0: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """(h, c): e^{c0} = h e^c with h free of exponentials, the logarithms gone into it."""
    logs = [t for t in sp.Add.make_args(c0) if t.has(sp.log)]
    height = sp.exp(sp.Add(*logs))
    if height.has(sp.exp):
        return sp.Integer(1), c0
    return height, sp.expand(c0 - sp.Add(*logs))


def own_symbol(parameter: str) -> sp.Symbol:
    """The symbol of a component's own parameter, beside the reference's and the difference."""
    return sp.Symbol(f"own_{parameter}", positive=True)


def _own(value: sp.Expr) -> sp.Expr:
    """``value`` with every parameter plus its difference written as the component's own."""
    moved = [s for s in value.free_symbols if s.name.startswith("delta_")]
    for delta in moved:
        name = delta.name.removeprefix("delta_")
        for base in [s for s in value.free_symbols if s.name == name]:
            value = value.subs(base + delta, own_symbol(name))
    return value


def _without_cancellation(coefficient: sp.Expr) -> sp.Expr:
    """A coefficient that vanishes with the differences, with the vanishing factor explicit.

    Logarithms log a − log b become one :class:`LogRatio`, those of Γ one :class:`LogGammaRatio`,
    digammas one :class:`DigammaDifference`; what is rational is brought together and factored.
    Differences are then factors, not small results of large subtractions.
    """
    parts: dict[sp.Expr, dict[sp.Expr, sp.Expr]] = {node: {} for node in _RATIOS}
    rational = sp.Integer(0)
    for term in sp.Add.make_args(sp.expand(coefficient)):
        inside = [f for f in sp.Mul.make_args(term) if _ratio_of(f) is not None]
        if len(inside) == 1:
            logs = parts[_ratio_of(inside[0])]
            argument = inside[0].args[-1]
            logs[argument] = logs.get(argument, 0) + term / inside[0]
        else:
            rational += term
    out = sp.factor(sp.together(rational))
    for node, logs in parts.items():
        arguments = sorted(logs, key=lambda a: (-sp.count_ops(a), sp.default_sort_key(a)))
        while arguments:
            a = arguments.pop(0)
            partner = next((b for b in arguments if sp.expand(logs[b] + logs[a]) == 0), None)
            if partner is None:
                out += logs[a] * _RATIOS[node](a)
                continue
            arguments.remove(partner)
            out += logs[a] * node(sp.factor(a - partner), partner, _own(a))
    return out


_RATIOS: dict[sp.Expr, Callable[[sp.Expr], sp.Expr]] = {
    LogRatio: sp.log,
    LogGammaRatio: sp.loggamma,
    DigammaDifference: sp.digamma,
}
"""Differences of two values of one function, and that function."""


def _ratio_of(function: sp.Expr) -> sp.Expr | None:
    """The node of a difference of two such functions."""
    if isinstance(function, sp.polygamma):
        return DigammaDifference if function.args[0] == 0 else None
    kinds = {sp.log: LogRatio, sp.loggamma: LogGammaRatio}
    return kinds.get(type(function))
