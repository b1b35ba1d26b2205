"""The alternatives that the benchmarks name: what a researcher would write without this package.

All are of a normal mixture with everything free, θ = (π_1 … π_{K−1}, μ_1 … μ_K, σ_1 … σ_K), or of
its relative chart on the means.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import sympy as sp


def naive(components: int, *, cse: bool, relative: bool = False) -> Callable[..., Any]:
    """SymPy's diff of log p, expanded as stated, through lambdify."""
    k = components
    x = sp.Symbol("x")
    pi = sp.symbols(f"pi_1:{k}") if k > 1 else ()
    places = sp.symbols(f"mu_1:{k + 1}")
    sigma = sp.symbols(f"sigma_1:{k + 1}")
    mu = list(places)
    if relative:
        mu = [sum(places[: j + 1]) for j in range(k)]
    weights = [*pi, 1 - sum(pi)]
    density = sum(
        w * sp.exp(-(((x - m) / s) ** 2) / 2) / (s * sp.sqrt(2 * sp.pi))
        for w, m, s in zip(weights, mu, sigma, strict=True)
    )
    parameters = [*pi, *places, *sigma]
    score = [sp.diff(sp.log(density), p) for p in parameters]
    return sp.lambdify([x, *parameters], score, "numpy", cse=cse)


def jax_functions(components: int) -> dict[str, Callable[..., Any]]:
    """JAX: jitted gradient of the mean log-likelihood, and vmapped over points for a fixed rule."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    k = components

    def log_density(theta: Any, x: Any) -> Any:
        weights = jnp.concatenate([theta[: k - 1], 1 - theta[: k - 1].sum(keepdims=True)])
        mu, sigma = theta[k - 1 : 2 * k - 1], theta[2 * k - 1 :]
        z = (x - mu[:, None]) / sigma[:, None]
        terms = jnp.log(weights / sigma)[:, None] - z * z / 2 - np.log(2 * np.pi) / 2
        return jax.scipy.special.logsumexp(terms, axis=0)

    def mean(theta: Any, x: Any) -> Any:
        return log_density(theta, x).mean()

    def expected(theta: Any, x: Any, w: Any) -> Any:
        return log_density(theta, x) @ w

    return {
        "score": jax.jit(jax.grad(mean)),
        "field": jax.jit(jax.vmap(jax.grad(expected), in_axes=(0, None, None))),
    }


def numba_score(components: int) -> Callable[..., Any]:
    """Numba: one hand-written parallel loop for the mean score."""
    import math

    import numba

    k = components

    @numba.njit(parallel=True, fastmath=True)  # type: ignore[misc]
    def score(x, weights, mu, sigma):  # type: ignore[no-untyped-def]
        total = np.zeros((3, k))
        for n in numba.prange(x.size):
            terms = np.empty(k)
            z = np.empty(k)
            p = 0.0
            for j in range(k):
                z[j] = (x[n] - mu[j]) / sigma[j]
                terms[j] = math.exp(-0.5 * z[j] * z[j]) / sigma[j]
                p += weights[j] * terms[j]
            part = np.zeros((3, k))
            for j in range(k):
                ratio = terms[j] / p
                part[0, j] = ratio
                part[1, j] = ratio * z[j]
                part[2, j] = ratio * (z[j] * z[j] - 1.0)
            total += part
        return total / x.size

    return score


def by_hand(x: np.ndarray, theta: np.ndarray, components: int) -> np.ndarray:
    """Plain hand-written NumPy for the mean score, as a careful user would write it."""
    k = components
    weights = np.append(theta[: k - 1], 1 - theta[: k - 1].sum())
    mu, sigma = theta[k - 1 : 2 * k - 1, None], theta[2 * k - 1 :, None]
    z = (x - mu) / sigma
    logs = -0.5 * z * z - np.log(sigma)
    logs -= logs.max(axis=0)
    f = np.exp(logs)
    ratio = f / (weights @ f)
    return np.concatenate(
        [
            (ratio[:-1] - ratio[-1]).mean(axis=1),
            weights * (ratio * z).mean(axis=1) / sigma[:, 0],
            weights * (ratio * (z * z - 1)).mean(axis=1) / sigma[:, 0],
        ]
    )
