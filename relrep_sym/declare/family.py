"""The built-in families, by name.

In: a name, and for some families a number it is made with (the trials of a binomial one). Out: a
:class:`~relrep_sym.declare.density.Family`. These state log-densities as a user's
own do; nothing further down the flow knows them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
import sympy as sp

from relrep_sym.declare.density import Family, FamilyParameter, Sampler
from relrep_sym.declare.domains import domain
from relrep_sym.errors import DeclarationError, problem

__all__ = ["Family", "FamilyParameter", "Sampler", "arguments_of", "family_named", "names"]

MAX_TRIALS = 1000
"""Beyond, the terms of the binomial log-density are so large that its digits are lost."""

X = sp.Symbol("x", real=True)


def family_named(name: str | Family, **arguments: object) -> Family:
    r"""The built-in family of that name, or the family itself.

    * ``"normal"``: ``means`` μ and standard deviations ``scales`` σ.
    * ``"laplace"``: exp(−\|x − μ\|/b)/(2b), ``means`` μ and ``scales`` b. At x = μ its derivatives
      take sign(0) = 0, the mean of both sides.
    * ``"exponential"``: rate·exp(−rate·x) on x ≥ 0, ``rates``.
    * ``"gamma"``: ``shapes`` and ``scales``; its mean is shape times scale.
    * ``"poisson"``: ``rates``.
    * ``"geometric"``: prob·(1 − prob)ˣ on x = 0, 1, 2, …, the failures before the first success;
      ``probabilities``.
    * ``"binomial"``: x successes in ``trials=`` trials; ``probabilities``.

    Raises DeclarationError for an unknown name or argument.

    >>> family_named("normal").scale.name
    'sigma'
    >>> family_named("binomial", trials=10).support
    ('integers', 0, 10)
    """
    if isinstance(name, Family):
        if arguments:
            raise DeclarationError(
                problem("a family takes no arguments", ", ".join(arguments), "the family alone")
            )
        return name
    if not isinstance(name, str) or name not in _BUILTIN:
        raise DeclarationError(problem("unknown family", name, "one of " + ", ".join(_BUILTIN)))
    wanted = arguments_of(name)
    if set(wanted) != set(arguments):
        raise DeclarationError(
            problem(
                f"the {name} family is made with {', '.join(wanted) or 'no arguments'}",
                ", ".join(arguments) or "nothing",
                ", ".join(f"{n}={hint}" for n, hint in wanted.items()) or "nothing",
            )
        )
    return _made(name, tuple(_whole(n, arguments[n]) for n in wanted))


def names() -> tuple[str, ...]:
    """The names of the built-in families.

    >>> "geometric" in names()
    True
    """
    return tuple(_BUILTIN)


def arguments_of(name: str | Family) -> Mapping[str, str]:
    """The numbers that a family is made with, each with an example.

    >>> arguments_of("binomial"), arguments_of("normal")
    ({'trials': '10'}, {})
    """
    return {"trials": "10"} if isinstance(name, str) and name == "binomial" else {}


def _whole(name: str, value: object) -> int:
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or not 1 <= int(value) <= MAX_TRIALS:  # type: ignore[call-overload]
        right = f"a whole number from 1 to {MAX_TRIALS}"
        raise DeclarationError(problem(f"{name} is no number of trials", value, right))
    return int(value)  # type: ignore[call-overload]


@cache
def _made(name: str, arguments: tuple[int, ...]) -> Family:
    return _BUILTIN[name](*arguments)


MU = FamilyParameter("mu", "means", domain("real"))
SIGMA = FamilyParameter("sigma", "scales", domain("positive"))
B = FamilyParameter("b", "scales", domain("positive"))
RATE = FamilyParameter("rate", "rates", domain("positive"))
SHAPE = FamilyParameter("shape", "shapes", domain("positive"))
SCALE = FamilyParameter("scale", "scales", domain("positive"))
PROB = FamilyParameter("prob", "probabilities", domain("unit"))


def _normal() -> Family:
    mu, sigma = MU.symbol, SIGMA.symbol
    logarithm = -(((X - mu) / sigma) ** 2) / 2 - sp.log(sigma) - sp.log(2 * sp.pi) / 2
    return Family("normal", logarithm, (MU, SIGMA), "line", Sampler("normal", (mu, sigma)))


def _laplace() -> Family:
    mu, b = MU.symbol, B.symbol
    logarithm = -sp.Abs(X - mu) / b - sp.log(2 * b)
    return Family("laplace", logarithm, (MU, B), "line", Sampler("laplace", (mu, b)))


def _exponential() -> Family:
    rate = RATE.symbol
    logarithm = sp.log(rate) - rate * X
    return Family(
        "exponential", logarithm, (RATE,), "half-line", Sampler("exponential", (1 / rate,))
    )


def _gamma() -> Family:
    shape, scale = SHAPE.symbol, SCALE.symbol
    logarithm = (shape - 1) * sp.log(X / scale) - X / scale - sp.loggamma(shape) - sp.log(scale)
    return Family("gamma", logarithm, (SHAPE, SCALE), "half-line", Sampler("gamma", (shape, scale)))


def _poisson() -> Family:
    rate = RATE.symbol
    logarithm = X * sp.log(rate) - rate - sp.loggamma(X + 1)
    return Family("poisson", logarithm, (RATE,), "integers", Sampler("poisson", (rate,)))


def _geometric() -> Family:
    prob = PROB.symbol
    logarithm = sp.log(prob) + X * sp.log(1 - prob)
    return Family(
        "geometric", logarithm, (PROB,), "integers", Sampler("geometric", (prob,), shift=-1)
    )


def _binomial(trials: int) -> Family:
    prob, n = PROB.symbol, sp.Integer(trials)
    logarithm = (
        X * sp.log(prob)
        + (n - X) * sp.log(1 - prob)
        + sp.loggamma(n + 1)
        - sp.loggamma(X + 1)
        - sp.loggamma(n - X + 1)
    )
    return Family(
        "binomial",
        logarithm,
        (PROB,),
        ("integers", 0, trials),
        Sampler("binomial", (n, prob)),
        (("trials", trials),),
    )


_BUILTIN: dict[str, Callable[..., Family]] = {
    "normal": _normal,
    "poisson": _poisson,
    "laplace": _laplace,
    "exponential": _exponential,
    "gamma": _gamma,
    "geometric": _geometric,
    "binomial": _binomial,
}
