"""Compiled modules that these tests share, and the same mathematics written by hand."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy import special, stats

import relrep_sym as rs

OWN = {"pi_1": "v", "mu_1": "w + (1 - v)*u", "mu_2": "w - v*u"}


def declared(family, components, chart="identity", **patterns):
    """A chart by name: identity, relative, square, log, or own (two unit normals)."""
    model = rs.mixture(family, components=components, **patterns)
    parameter = "mu" if family == "normal" else "rate"
    made = {
        "identity": lambda: rs.identity(model),
        "relative": lambda: rs.relative(model, parameter),
        "square": lambda: rs.relative(model, parameter, gap="square", clearance="1/8"),
        "log": lambda: rs.log(model, "sigma" if family == "normal" else "rate"),
        "own": lambda: rs.chart(model, OWN, domains={"v": "unit"}),
    }
    return made[chart]()


@cache
def derived(family, components, chart="identity", **patterns):
    """The derivation of a model in a chart by name."""
    used = declared(family, components, chart, **patterns)
    return rs.derive(used.model, used, name=f"{family}{components}_{chart}")


@cache
def compiled(family, components, chart="identity", **patterns):
    """Its module."""
    return derived(family, components, chart, **patterns).compile()


def weights_of(components, rng):
    """Random weights, none of them small."""
    return rng.dirichlet(np.full(components, 5.0))


def family_of(module):
    """(the family's name, the number of components) of a module."""
    names = [n for n in (*module.PARAMETERS, *module.FIXED) if "_" in n]
    count = max(int(n.rpartition("_")[2]) for n in names)
    return ("normal" if any(n.startswith("mu") for n in names) else "poisson"), count


def theta(module, mixture):
    """θ of a mixture (weights, parameters …) for a module in which all or some are free."""
    weights, *parameters = (np.asarray(row, dtype=float) for row in mixture)
    roles = dict(
        zip(("mu", "sigma") if len(parameters) == 2 else ("rate",), parameters, strict=True)
    )
    out = []
    for name in module.PARAMETERS:
        stem, _, number = name.rpartition("_")
        row = weights if stem == "pi" else roles[stem or name]
        out.append(row[int(number) - 1] if stem else row[0])
    return np.array(out)


def normals(components, seed=0, spread=2.0):
    """A random ordered mixture of normals: weights, means, scales."""
    rng = np.random.default_rng(seed)
    means = np.cumsum(rng.uniform(0.2, spread, components)) - 1.0
    return weights_of(components, rng), means, np.exp(rng.uniform(-0.7, 0.7, components))


def poissons(components, seed=0):
    """A random ordered mixture of Poisson counts: weights, rates."""
    rng = np.random.default_rng(seed)
    return weights_of(components, rng), np.cumsum(rng.uniform(0.3, 4.0, components))


# --------------------------------------------------------------------------- by hand, with SciPy


def log_terms(x, mixture):
    """log π_k + log f_k(x), (K, N): SciPy's densities."""
    weights, *parameters = (np.asarray(v, dtype=float)[:, None] for v in mixture)
    x = np.asarray(x, dtype=float)[None]
    with np.errstate(divide="ignore"):
        logs = np.log(weights)
    law = stats.norm.logpdf if len(parameters) == 2 else stats.poisson.logpmf
    return logs + law(x, *parameters)


def log_density(x, mixture):
    """log p(x), (N,)."""
    return special.logsumexp(log_terms(x, mixture), axis=0)


def responsibilities(x, mixture):
    """r_k(x), (N, K)."""
    return special.softmax(log_terms(x, mixture), axis=0).T


def components_by_hand(coords, components, chart, family="normal"):
    """(weights, parameters …) in plain arithmetic, for real or complex coordinates, all free."""
    k = components
    weights = np.append(coords[: k - 1], 1 - coords[: k - 1].sum())
    rest = coords[k - 1 :]
    first = rest[:k]
    if chart in ("relative", "square"):
        gaps = first[1:] if chart == "relative" else first[1:] * first[1:] + 0.125
        first = first[0] + np.concatenate([[0.0], np.cumsum(gaps)])
    if family == "poisson":
        return weights, np.exp(first) if chart == "log" else first
    second = np.exp(rest[k:]) if chart == "log" else rest[k:]
    return weights, first, second


def mean_log_likelihood(x, coords, components, chart, family="normal"):
    """The mean of log p over x in plain arithmetic that a complex step can go through."""
    weights, *parameters = components_by_hand(coords, components, chart, family)
    x = np.asarray(x, dtype=float)[:, None]
    if family == "poisson":
        (rate,) = parameters
        logs = x * np.log(rate) - rate - special.gammaln(x + 1.0)
    else:
        mean, scale = parameters
        logs = -0.5 * ((x - mean) / scale) ** 2 - np.log(scale) - 0.5 * np.log(2.0 * np.pi)
    shift = logs.real.max(axis=1, keepdims=True)
    return (shift[:, 0] + np.log((weights * np.exp(logs - shift)).sum(axis=1))).mean()


def complex_step(function, coords):
    """∇ of a function that is analytic in its coordinates, to rounding."""
    coords = np.asarray(coords, dtype=float)
    out = np.empty(len(coords))
    for j in range(len(coords)):
        moved = coords.astype(complex)
        moved[j] += 1e-40j
        out[j] = function(moved).imag / 1e-40
    return out


def textbook_em(x, mixture, weights=None):
    """One EM step of a mixture with everything free, as a textbook writes it."""
    x = np.asarray(x, dtype=float)
    share = np.full(len(x), 1.0) if weights is None else np.asarray(weights, dtype=float)
    r = responsibilities(x, mixture) * share[:, None]
    mass = r.sum(axis=0)
    first = (r * x[:, None]).sum(axis=0) / mass
    if len(mixture) == 2:
        return mass / mass.sum(), first
    square = (r * (x[:, None] - first) ** 2).sum(axis=0) / mass
    return mass / mass.sum(), first, np.sqrt(square)
