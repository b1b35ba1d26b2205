"""Densities and charts that the tests of this folder share, written by hand in mpmath."""

from __future__ import annotations

import mpmath

from relrep_sym.verify import Density, Oracle


def _normal(x, mu, sigma):
    return -(((x - mu) / sigma) ** 2) / 2 - mpmath.log(sigma) - mpmath.log(2 * mpmath.pi) / 2


NORMAL = Density(_normal)
POISSON = Density(lambda x, r: x * mpmath.log(r) - r - mpmath.loggamma(x + 1), "integers")
EXPONENTIAL = Density(lambda x, r: mpmath.log(r) - r * x, "half-line")
GAMMA = Density(
    lambda x, a, r: a * mpmath.log(r) + (a - 1) * mpmath.log(x) - r * x - mpmath.loggamma(a),
    "half-line",
)
BETA = Density(
    lambda x, a, b: (
        (a - 1) * mpmath.log(x)
        + (b - 1) * mpmath.log(1 - x)
        + mpmath.loggamma(a + b)
        - mpmath.loggamma(a)
        - mpmath.loggamma(b)
    ),
    ("interval", 0.0, 1.0),
)


def identity(components, parameters):
    """(π_1 … π_{K−1}, then each parameter's K entries) to components."""

    def chart(c):
        weights = [*c[: components - 1]]
        weights.append(1 - sum(weights))
        rest = c[components - 1 :]
        columns = [rest[p * components : (p + 1) * components] for p in range(parameters)]
        return weights, list(zip(*columns, strict=True))

    return chart


def names(components, *parameters):
    """The coordinates of the identity chart."""
    weights = [f"pi_{k}" for k in range(1, components)]
    return weights + [f"{p}_{k}" for p in parameters for k in range(1, components + 1)]


def coordinates(weights, parameters):
    """A point of component space in the identity chart."""
    return [*weights[:-1], *(v for column in zip(*parameters, strict=True) for v in column)]


def normals(components, **options):
    """The oracle of normal components, everything free."""
    chart, labels = identity(components, 2), names(components, "mu", "sigma")
    return Oracle(NORMAL, chart, labels, **options)


def relative(c):
    """(π_1, μ_1, Δ_1, σ) with μ_2 = μ_1 + Δ_1² and one scale."""
    return [c[0], 1 - c[0]], [(c[1], c[3]), (c[1] + c[2] ** 2, c[3])]


RELATIVE_NAMES = ("pi_1", "mu_1", "Delta_1", "sigma")
THREE = [0.25, 0.3, -2.0, 0.5, 3.0, 0.75, 1.0, 1.25]
TRUTH = ([0.25, 0.75], [-1.0, 2.0], [1.25, 0.5])


def closeness(value, exact):
    """Relative difference, absolute where the exact value is zero."""
    with mpmath.mp.workdps(80):
        return abs(value - exact) / (abs(exact) or 1)
