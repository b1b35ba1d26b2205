"""Families as a textbook prints them, each with SciPy's own and three components of it.

A family joins by an entry of :data:`FAMILIES`. Those that the package has by name are taken by
name; the others are stated by ``rs.family``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from scipy import stats

import relrep_sym as rs

__all__ = ["FAMILIES", "Textbook", "coordinates", "kernel", "log_mixture", "record", "sample"]

REAL, POSITIVE, UNIT = "real", "positive", "unit"
M_S = {"m": REAL, "s": POSITIVE}
S = {"s": POSITIVE}
Z = "(x - m)/s"


@dataclass(frozen=True)
class Textbook:
    """A family: what it is stated by, SciPy's distribution of its parameters, three components."""

    log_density: str | None
    parameters: dict[str, str]
    support: Any
    scipy: Callable[..., Any]
    three: tuple[tuple[float, ...], ...]
    shift: float = 0.0
    """SciPy's variable less ours."""
    arguments: dict[str, object] = field(default_factory=dict)
    most: int = 3
    """The largest number of components that the support identifies."""

    def family(self, name: str) -> Any:
        """The family, by its name where there is no log-density."""
        if self.log_density is None:
            return name
        return rs.family(self.log_density, self.parameters, self.support, name=name)


def _own(
    log_density: str,
    parameters: dict[str, str],
    support: Any,
    scipy: Callable[..., Any],
    *three: tuple[float, ...],
    **more: Any,
) -> Textbook:
    return Textbook(log_density, parameters, support, scipy, three, **more)


def _named(
    support: Any, scipy: Callable[..., Any], *three: tuple[float, ...], **more: Any
) -> Textbook:
    return Textbook(None, {}, support, scipy, three, **more)


LINE, HALF = "line", "half-line"

FAMILIES: dict[str, Textbook] = {
    # by name
    "normal": _named(LINE, stats.norm, (-1.5, 0.8), (0.4, 1.3), (2.5, 0.6)),
    "laplace": _named(LINE, stats.laplace, (-1.5, 0.8), (0.4, 1.3), (2.5, 0.6)),
    "exponential": _named(HALF, lambda r: stats.expon(scale=1 / r), (0.4,), (2.0,), (9.0,)),
    "gamma": _named(HALF, lambda a, s: stats.gamma(a, scale=s), (1.4, 0.5), (3.5, 1.2), (8.0, 0.3)),
    "poisson": _named("integers", stats.poisson, (0.8,), (5.0,), (14.0,)),
    "geometric": _named("integers", lambda p: stats.geom(p, loc=-1), (0.6,), (0.2,), (0.05,)),
    "binomial": _named(
        ("integers", 0, 12),
        lambda p: stats.binom(12, p),
        (0.15,),
        (0.5,),
        (0.9,),
        arguments={"trials": 12},
    ),
    # on the line
    "logistic": _own(
        f"-{Z} - log(s) - 2*log(1 + exp(-{Z}))",
        M_S, LINE, stats.logistic, (-1.5, 0.8), (0.4, 0.5), (3.5, 0.6),
    ),
    "student3": _own(
        f"loggamma(2) - loggamma(3/2) - log(3*pi)/2 - log(s) - 2*log(1 + ({Z})**2/3)",
        M_S, LINE, lambda m, s: stats.t(3, m, s), (-1.5, 0.8), (0.4, 1.3), (2.5, 0.6),
    ),
    "student": _own(
        "loggamma((nu + 1)/2) - loggamma(nu/2) - log(nu*pi)/2 - log(s)"
        f" - (nu + 1)/2*log(1 + ({Z})**2/nu)",
        {**M_S, "nu": POSITIVE}, LINE, lambda m, s, nu: stats.t(nu, m, s),
        (-1.5, 0.8, 3.0), (0.4, 1.3, 6.0), (2.5, 0.6, 9.0),
    ),
    "cauchy": _own(
        f"-log(pi) - log(s) - log(1 + ({Z})**2)",
        M_S, LINE, stats.cauchy, (-1.5, 0.8), (0.4, 1.3), (4.5, 0.6),
    ),
    "gumbel_max": _own(
        f"-{Z} - exp(-{Z}) - log(s)",
        M_S, LINE, stats.gumbel_r, (-1.5, 0.8), (0.4, 1.3), (4.5, 0.6),
    ),
    "gumbel_min": _own(
        f"{Z} - exp({Z}) - log(s)",
        M_S, LINE, stats.gumbel_l, (-1.5, 0.8), (0.4, 1.3), (4.5, 0.6),
    ),
    "hyperbolic_secant": _own(
        f"-log(pi) - log(s) - log(cosh({Z}))",
        M_S, LINE, stats.hypsecant, (-1.5, 0.8), (0.4, 1.3), (4.5, 0.6),
    ),
    "generalised_normal": _own(
        f"log(2) - log(s) - loggamma(1/4) - ({Z})**4",
        M_S, LINE, lambda m, s: stats.gennorm(4, m, s), (-1.5, 0.8), (0.4, 1.3), (2.5, 0.6),
    ),
    "skew_normal": _own(
        f"log(erfc(-a*{Z}/sqrt(2))) - ({Z})**2/2 - log(s) - log(2*pi)/2",
        {**M_S, "a": REAL}, LINE, lambda m, s, a: stats.skewnorm(a, m, s),
        (-1.5, 0.8, 1.0), (0.4, 1.3, -1.5), (2.5, 0.6, 0.5),
    ),
    "normal_known_deviation": _own(
        "-(x - m)**2/2 - log(2*pi)/2", {"m": REAL}, LINE, stats.norm, (-1.5,), (0.4,), (2.5,)
    ),
    "normal_known_mean": _own(
        "-x**2/(2*s**2) - log(s) - log(2*pi)/2",
        S, LINE, lambda s: stats.norm(0, s), (0.5,), (1.5,), (5.0,),
    ),
    "normal_by_precision": _own(
        "log(t)/2 - log(2*pi)/2 - t*(x - m)**2/2",
        {"m": REAL, "t": POSITIVE}, LINE, lambda m, t: stats.norm(m, t**-0.5),
        (-1.5, 1.2), (0.4, 0.7), (2.5, 3.0),
    ),
    # on the half-line
    "rayleigh": _own(
        "log(x) - 2*log(s) - (x/s)**2/2",
        S, HALF, lambda s: stats.rayleigh(scale=s), (0.5,), (1.5,), (5.0,),
    ),
    "maxwell": _own(
        "log(2/pi)/2 + 2*log(x) - 3*log(s) - x**2/(2*s**2)",
        S, HALF, lambda s: stats.maxwell(scale=s), (0.5,), (1.5,), (5.0,),
    ),
    "half_normal": _own(
        "log(2/pi)/2 - log(s) - x**2/(2*s**2)",
        S, HALF, lambda s: stats.halfnorm(scale=s), (0.5,), (1.5,), (5.0,),
    ),
    "half_cauchy": _own(
        "log(2/pi) - log(s) - log(1 + (x/s)**2)",
        S, HALF, lambda s: stats.halfcauchy(scale=s), (0.2,), (1.5,), (9.0,),
    ),
    "weibull": _own(
        "log(k) - log(s) + (k - 1)*log(x/s) - (x/s)**k",
        {"k": POSITIVE, "s": POSITIVE}, HALF, lambda k, s: stats.weibull_min(k, scale=s),
        (1.3, 0.5), (2.5, 2.0), (5.0, 4.0),
    ),
    "inverse_gamma": _own(
        "a*log(b) - loggamma(a) - (a + 1)*log(x) - b/x",
        {"a": POSITIVE, "b": POSITIVE}, HALF, lambda a, b: stats.invgamma(a, scale=b),
        (3.5, 1.0), (5.0, 9.0), (12.0, 60.0),
    ),
    "lognormal": _own(
        "-log(x) - log(s) - log(2*pi)/2 - (log(x) - m)**2/(2*s**2)",
        M_S, HALF, lambda m, s: stats.lognorm(s, scale=np.exp(m)),
        (-0.5, 0.4), (0.8, 0.5), (2.0, 0.3),
    ),
    "chi_square": _own(
        "-(n/2)*log(2) - loggamma(n/2) + (n/2 - 1)*log(x) - x/2",
        {"n": POSITIVE}, HALF, stats.chi2, (3.0,), (7.0,), (18.0,),
    ),
    "inverse_gaussian": _own(
        "log(k/(2*pi*x**3))/2 - k*(x - m)**2/(2*m**2*x)",
        {"m": POSITIVE, "k": POSITIVE}, HALF, lambda m, k: stats.invgauss(m / k, scale=k),
        (0.7, 2.0), (3.0, 8.0), (9.0, 60.0),
    ),
    "log_logistic": _own(
        "log(b) - log(a) + (b - 1)*log(x/a) - 2*log(1 + (x/a)**b)",
        {"a": POSITIVE, "b": POSITIVE}, HALF, lambda a, b: stats.fisk(b, scale=a),
        (0.5, 3.0), (2.0, 4.0), (8.0, 6.0),
    ),
    "lomax": _own(
        "log(a) - log(s) - (a + 1)*log(1 + x/s)",
        {"a": POSITIVE, "s": POSITIVE}, HALF, lambda a, s: stats.lomax(a, scale=s),
        (3.0, 0.5), (4.0, 8.0), (6.0, 60.0),
    ),
    "pareto": _own(  # the excess over the known threshold 2
        "log(a) + a*log(2) - (a + 1)*log(x + 2)",
        {"a": POSITIVE}, HALF, lambda a: stats.pareto(a, scale=2.0), (0.9,), (3.0,), (9.0,),
        shift=2.0,
    ),
    "frechet": _own(
        "log(a) - log(s) - (a + 1)*log(x/s) - (x/s)**(-a)",
        {"a": POSITIVE, "s": POSITIVE}, HALF, lambda a, s: stats.invweibull(a, scale=s),
        (3.0, 0.5), (4.0, 3.0), (6.0, 12.0),
    ),
    "nakagami": _own(
        "log(2) + h*log(h) - loggamma(h) - h*log(w) + (2*h - 1)*log(x) - h*x**2/w",
        {"h": POSITIVE, "w": POSITIVE}, HALF, lambda h, w: stats.nakagami(h, scale=w**0.5),
        (1.3, 0.5), (2.5, 4.0), (5.0, 20.0),
    ),
    "levy": _own(
        "log(c/(2*pi))/2 - c/(2*x) - 3*log(x)/2",
        {"c": POSITIVE}, HALF, lambda c: stats.levy(scale=c), (0.2,), (2.0,), (20.0,),
    ),
    "gompertz": _own(
        "log(c) - log(s) + x/s - c*(exp(x/s) - 1)",
        {"c": POSITIVE, "s": POSITIVE}, HALF, lambda c, s: stats.gompertz(c, scale=s),
        (0.7, 0.5), (0.2, 1.5), (0.05, 2.0),
    ),
    "erlang2": _own(
        "log(x) - 2*log(s) - x/s",
        S, HALF, lambda s: stats.gamma(2, scale=s), (0.3,), (1.5,), (6.0,),
    ),
    "burr": _own(
        "log(c) + log(k) + (c - 1)*log(x) - (k + 1)*log(1 + x**c)",
        {"c": POSITIVE, "k": POSITIVE}, HALF, stats.burr12, (2.0, 0.8), (4.0, 2.0), (6.0, 0.5),
    ),
    # on an interval
    "beta": _own(
        "loggamma(a + b) - loggamma(a) - loggamma(b) + (a - 1)*log(x) + (b - 1)*log(1 - x)",
        {"a": POSITIVE, "b": POSITIVE}, (0, 1), stats.beta, (2.0, 9.0), (5.0, 4.0), (9.0, 1.5),
    ),
    "kumaraswamy": _own(
        "log(a) + log(b) + (a - 1)*log(x) + (b - 1)*log(1 - x**a)",
        {"a": POSITIVE, "b": POSITIVE}, (0, 1), lambda a, b: _Kumaraswamy(a, b),
        (2.0, 9.0), (5.0, 4.0), (9.0, 1.5),
    ),
    "power": _own(
        "log(a) + (a - 1)*log(x)", {"a": POSITIVE}, (0, 1), stats.powerlaw, (0.7,), (3.0,), (12.0,)
    ),
    "von_mises_2": _own(  # the concentration is 2, and I_0(2) a number
        "2*cos(x - m) - log(2*pi*2.279585302336067267437204440811533353285841102785459054)",
        {"m": REAL}, ("interval", "-pi", "pi"), lambda m: _Wrapped(m), (-1.5,), (0.4,), (2.5,),
    ),
    # on integers
    "negative_binomial": _own(
        "loggamma(x + r) - loggamma(r) - loggamma(x + 1) + r*log(p) + x*log(1 - p)",
        {"r": POSITIVE, "p": UNIT}, "integers", stats.nbinom, (2.0, 0.6), (5.0, 0.4), (9.0, 0.2),
    ),
    "logarithmic": _own(  # x + 1 has the logarithmic series
        "(x + 1)*log(p) - log(x + 1) - log(-log(1 - p))",
        {"p": UNIT}, "integers", stats.logser, (0.3,), (0.8,), (0.97,), shift=1.0,
    ),
    "truncated_poisson": _own(  # x + 1 is Poisson, known not to be zero
        "(x + 1)*log(m) - loggamma(x + 2) - log(expm1(m))",
        {"m": POSITIVE}, "integers", lambda m: _Truncated(m), (0.8,), (5.0,), (14.0,), shift=1.0,
    ),
    "bernoulli": _own(
        "x*log(p) + (1 - x)*log(1 - p)", {"p": UNIT}, {0, 1}, stats.bernoulli, (0.3,), most=1
    ),
    "die": _own(
        "a*x - log(1 + exp(a) + exp(2*a) + exp(3*a) + exp(4*a) + exp(5*a))",
        {"a": REAL}, range(6), lambda a: stats.boltzmann(-a, 6), (-1.5,), (-0.2,), (-4.0,),
    ),
}  # fmt: skip


class _Kumaraswamy:
    """f(x) = a b x^(a−1) (1 − x^a)^(b−1): X^a is beta(1, b)."""

    def __init__(self, a: float, b: float) -> None:
        self.a, self.b = a, b

    def logpdf(self, x: np.ndarray) -> np.ndarray:
        rest = stats.beta(1.0, self.b).logpdf(x**self.a)
        return rest + np.log(self.a) + (self.a - 1) * np.log(x)

    def rvs(self, size: int, random_state: Any) -> np.ndarray:
        return stats.beta(1.0, self.b).rvs(size, random_state) ** (1 / self.a)


class _Wrapped:
    """SciPy's von Mises of concentration 2, its draws brought into (−π, π)."""

    def __init__(self, m: float) -> None:
        self.of = stats.vonmises(2.0, loc=m)
        self.logpdf = self.of.logpdf

    def rvs(self, size: int, random_state: Any) -> np.ndarray:
        return (self.of.rvs(size, random_state) + np.pi) % (2 * np.pi) - np.pi


class _Truncated:
    """A Poisson variable that is not zero."""

    def __init__(self, m: float) -> None:
        self.of = stats.poisson(m)

    def logpmf(self, x: np.ndarray) -> np.ndarray:
        return self.of.logpmf(x) - np.log1p(-self.of.pmf(0))

    def rvs(self, size: int, random_state: Any) -> np.ndarray:
        found = self.of.rvs(40 * size, random_state)
        return found[found > 0][:size]


WEIGHTS = {1: (1.0,), 2: (0.4, 0.6), 3: (0.3, 0.45, 0.25)}


@cache
def record(name: str, components: int, **patterns: object) -> Any:
    """The derivation of a family's mixture."""
    book = FAMILIES[name]
    model = rs.mixture(book.family(name), components=components, **book.arguments, **patterns)
    return rs.derive(model)


@cache
def kernel(name: str, components: int) -> Any:
    """Its compiled kernels."""
    return record(name, components).compile()


def coordinates(name: str, components: int) -> np.ndarray:
    """Where all is free: π_1 … π_{K−1}, then each parameter of all components."""
    three = FAMILIES[name].three[:components]
    rows = [row[i] for i in range(len(three[0])) for row in three]
    return np.array([*WEIGHTS[components][:-1], *rows])


def log_mixture(name: str, components: int, x: np.ndarray) -> np.ndarray:
    """SciPy's logarithm of the mixture's density."""
    book = FAMILIES[name]
    rows = []
    for w, phi in zip(WEIGHTS[components], book.three, strict=False):
        law = book.scipy(*phi)
        log = getattr(law, "logpmf", None) if _discrete(book) else law.logpdf
        rows.append(np.log(w) + log(x + book.shift))
    return np.logaddexp.reduce(rows)


def sample(name: str, components: int, size: int, seed: int = 0) -> np.ndarray:
    """SciPy's draws from the mixture."""
    book, rng = FAMILIES[name], np.random.default_rng(seed)
    counts = rng.multinomial(size, WEIGHTS[components])
    parts = [
        book.scipy(*phi).rvs(n, random_state=rng)
        for n, phi in zip(counts, book.three, strict=False)
    ]
    return np.concatenate(parts).astype(float) - book.shift


def _discrete(book: Textbook) -> bool:
    support = book.support
    return (
        support == "integers"
        or isinstance(support, set | range)
        or (isinstance(support, tuple) and support[0] == "integers")
    )
