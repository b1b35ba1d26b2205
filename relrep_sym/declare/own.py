"""A family of the user's own: ``rs.family``.

In: a log-density in x and named parameters, their domains, a support. Out: a frozen
:class:`~relrep_sym.declare.density.Family`, data like the built-in ones. It is held to what the
engine can do with it before it is used: its functions have kernels, it is smooth in its
parameters but for one |x − m|, it depends on x and on each parameter, and it integrates to one.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping

import sympy as sp

from relrep_sym.declare.density import Family, FamilyParameter
from relrep_sym.declare.domains import domain
from relrep_sym.declare.family import names as built_in
from relrep_sym.declare.functions import spelled_out
from relrep_sym.declare.normalised import insist_normalised
from relrep_sym.declare.parser import check_name, expression
from relrep_sym.declare.support import support_of
from relrep_sym.errors import DeclarationError, problem

__all__ = ["family"]

DOMAINS = ("real", "positive", "unit")

_TAKEN = frozenset(
    "x np out rng rows theta basis spare mass means shares coefficients heights constant free "
    "point weight weights components family truth name coords chart view model l O "
    "log_ratio log_gamma_ratio log_gamma digamma trigamma softplus logistic stirling_remainder "
    "sign".split()
)
_MADE = re.compile(r"((own|delta|new|d|g|b)_.*|([cqt]|slope|odds|part|total_)\d+)$")
_NUMBERED = re.compile(r".*_\d+$")


def family(
    log_density: object,
    parameters: Mapping[str, str],
    support: object = "line",
    *,
    name: str = "own",
    plurals: Mapping[str, str] | None = None,
) -> Family:
    """A family f(x | φ) by its log-density, for ``rs.mixture`` and ``rs.truth``.

    Args:
        log_density: a text or a SymPy expression in ``x`` and the parameters' names.
        parameters: each name with its domain, ``"real"``, ``"positive"`` or ``"unit"`` (between 0
            and 1), in the order of θ.
        support: ``"line"``, ``"half-line"``, ``"integers"`` (0, 1, 2, …), a pair of ends
            ``(a, b)`` or ``("interval", a, b)``, or a finite set of numbers, ``{0, 1, 2}``.
        name: what it is called in texts.
        plurals: the keyword of ``rs.mixture`` for each parameter; its name and an s unless given.

    Raises DeclarationError for unknown names and functions, a log-density without x or without one
    of the parameters, one that is not smooth in them except at |x − m|, and one that does not
    integrate to one (measured at three values of the parameters; the error gives the integral).

    Where x lies on a kink, as at x = m of |x − m|, derivatives take sign(0) = 0, the mean of those
    from both sides.

    >>> logistic = family(
    ...     "-(x - m)/s - 2*log(1 + exp(-(x - m)/s)) - log(s)",
    ...     {"m": "real", "s": "positive"},
    ...     name="logistic",
    ... )
    >>> logistic.location.name, logistic.scale.name, [p.plural for p in logistic.parameters]
    ('m', 's', ['ms', 'ss'])
    """
    check_name(name, kind="family")
    if keyword.iskeyword(name) or name in built_in():
        raise DeclarationError(problem("the family's name is taken", name, "another name"))
    if not isinstance(parameters, Mapping) or not parameters:
        given = repr(parameters)
        raise DeclarationError(
            problem("parameters is no mapping", given, '{"mu": "real", "s": "positive"}')
        )
    found = _parameters(parameters, dict(plurals or {}))
    x = sp.Symbol("x", real=True)
    known = {"x": x, **{p.name: p.symbol for p in found}}
    logarithm = spelled_out(expression(log_density, known, where="the log-density"))
    made = Family(name, logarithm, found, support_of(support))
    _insist_dependence(made)
    _ = made.kink  # refuses what is not smooth
    insist_normalised(made)
    return made


def _parameters(
    parameters: Mapping[str, str], plurals: dict[str, str]
) -> tuple[FamilyParameter, ...]:
    unknown = sorted(set(plurals) - set(parameters))
    if unknown:
        right = "plurals of " + ", ".join(parameters)
        raise DeclarationError(problem("plurals of no parameters", ", ".join(unknown), right))
    out: list[FamilyParameter] = []
    for name, where in parameters.items():
        check_name(name, kind="family parameter's")
        if name in _TAKEN or keyword.iskeyword(name) or _MADE.match(name) or _NUMBERED.match(name):
            right = "another name, without a number at its end"
            wrong = f"a family parameter's name is taken: {_by_what(name)}"
            raise DeclarationError(problem(wrong, name, right))
        if not isinstance(where, str) or where not in DOMAINS:
            right = "one of " + ", ".join(DOMAINS)
            raise DeclarationError(problem(f"unknown domain of {name}", where, right))
        plural = check_name(plurals.get(name, f"{name}s"), kind="plural")
        if plural in ("weights", "components", "family", "trials", *(p.plural for p in out)):
            right = f'another word, by plurals={{"{name}": …}}'
            raise DeclarationError(problem(f"the plural of {name} is taken", plural, right))
        out.append(FamilyParameter(name, plural, domain(where)))
    return tuple(out)


def _by_what(name: str) -> str:
    """What takes a name that no family parameter can have."""
    if keyword.iskeyword(name):
        return "it is a keyword of Python, and modules are written in it"
    if _NUMBERED.match(name):
        return "a number at the end of a name is a component's"
    if name == "x":
        return "x is the observation"
    if name in ("l", "O"):
        return "in code it looks like a digit"
    if name in ("weight", "weights", "components", "family", "truth", "model", "chart", "view"):
        return "it is a word of models"
    return "generated modules use it"


def _insist_dependence(made: Family) -> None:
    needed = {made.x: "x", **{p.symbol: p.name for p in made.parameters}}
    missing = [name for symbol, name in needed.items() if not made.log_density.has(symbol)]
    if missing:
        right = "a log-density in " + ", ".join(needed.values())
        raise DeclarationError(
            problem(f"the log-density has no {missing[0]} in it", str(made.log_density), right)
        )
