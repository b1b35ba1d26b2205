"""Ratios of speed against named alternatives, each pair measured in one run. ``make bench``.

A benchmark is not a test: it asserts that the contenders agree, never how long they took. An
alternative that is not installed is named as absent.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import warnings

import numpy as np
import pytest

import relrep_sym as rs
from benchmarks import alternatives
from benchmarks.measure import compare

THETA = np.array([0.3, 0.3, -1.0, 0.5, 2.0, 0.7, 1.1, 0.9])
TRUTH = (np.array([0.5, 0.5]), np.array([-1.0, 1.0]), np.array([1.0, 1.0]))


def _have(name: str) -> bool:
    found = importlib.util.find_spec(name) is not None
    if not found:
        sys.stdout.write(f"  ({name} is not installed: left out)\n")
    return found


@pytest.fixture(scope="module")
def kernel():
    return rs.derive(rs.mixture("normal", components=3)).compile()


@pytest.fixture(scope="module")
def sample():
    return np.random.default_rng(0).normal(size=1_000_000) * 1.5


@pytest.mark.parametrize("components", [2, 4, 8])
def test_derivation(components):
    """score + field + Fisher of the relative chart, derived and rendered, against naive
    lambdify.
    """

    def ours():
        model = rs.mixture("normal", components=components)
        return rs.derive(model, rs.relative(model, "mu")).source()

    others = {
        "diff + lambdify(cse=True)": lambda: alternatives.naive(
            components, cse=True, relative=True
        ),
    }
    compare(f"derive and render, relative chart, K = {components}", ours, others, rounds=3)


def test_derivation_of_many_components():
    """K = 32, where the naive way takes minutes and is left out."""

    def ours():
        model = rs.mixture("normal", components=32)
        return rs.derive(model, rs.relative(model, "mu")).source()

    compare("derive and render, relative chart, K = 32", ours, {}, rounds=5)


def test_mean_score(kernel, sample):
    """Mean score of 1e6 points, K = 3."""
    others = {}
    for cse in (True, False):
        f = alternatives.naive(3, cse=cse)
        others[f"lambdify, cse={cse}"] = lambda f=f: np.array(
            [np.mean(v) for v in f(sample, *THETA)]
        )
    others["NumPy by hand, not blocked"] = lambda: alternatives.by_hand(sample, THETA, 3)
    expected = kernel.score(sample, THETA)
    for run in others.values():
        np.testing.assert_allclose(run(), expected, rtol=1e-9, atol=1e-12)
    if _have("jax"):
        grad = alternatives.jax_functions(3)["score"]
        others["JAX jit(grad)"] = lambda: np.asarray(grad(THETA, sample))
        np.testing.assert_allclose(others["JAX jit(grad)"](), expected, rtol=1e-9, atol=1e-12)
    if _have("numba"):
        loop = alternatives.numba_score(3)
        weights, mu, sigma = kernel.components(THETA)
        others["Numba, parallel, fastmath, by hand"] = lambda: loop(sample, weights, mu, sigma)
    compare("mean score, N = 1e6, K = 3", lambda: kernel.score(sample, THETA), others)


def test_score_samples(kernel, sample):
    """Per-sample score of 1e6 points, K = 3."""
    f = alternatives.naive(3, cse=True)
    others = {"lambdify, cse=True": lambda: np.array(f(sample, *THETA)).T}
    compare("per-sample score, N = 1e6, K = 3", lambda: kernel.score_samples(sample, THETA), others)


def test_small_sample(kernel):
    """Mean score of 200 points: overhead, not throughput."""
    x = np.random.default_rng(1).normal(size=200)
    f = alternatives.naive(3, cse=True)
    others = {
        "lambdify, cse=True": lambda: np.array([np.mean(v) for v in f(x, *THETA)]),
        "NumPy by hand": lambda: alternatives.by_hand(x, THETA, 3),
    }
    compare("mean score, N = 200, K = 3", lambda: kernel.score(x, THETA), others, rounds=200)


def test_field(kernel):
    """Population field on a 200 × 200 grid, K = 3; JAX gets nodes that are good enough for all."""
    side = np.linspace(-2.5, 2.5, 200)
    grid = np.tile(THETA, (200, 200, 1))
    grid[..., 2], grid[..., 4] = np.meshgrid(side, side)
    others = {}
    if _have("jax"):
        x = np.linspace(-10.0, 10.0, 401)
        w = np.full(401, x[1] - x[0]) * sum(
            p * np.exp(-0.5 * ((x - m) / s) ** 2) / (s * np.sqrt(2 * np.pi))
            for p, m, s in zip(*TRUTH, strict=True)
        )
        field = alternatives.jax_functions(3)["field"]
        flat = grid.reshape(-1, 8)
        others["JAX jit(vmap(grad)), 401 shared nodes"] = lambda: np.asarray(field(flat, x, w))
        ours = kernel.averaged_field(grid, TRUTH).reshape(-1, 8)
        found = others["JAX jit(vmap(grad)), 401 shared nodes"]()
        sys.stdout.write(f"\n  largest difference to JAX: {np.abs(ours - found).max():.1e}\n")
    run = lambda: kernel.averaged_field(grid, TRUTH)  # noqa: E731
    compare("averaged field, 200 × 200 points, K = 3", run, others, rounds=3)


def test_em_iteration(kernel, sample):
    """One EM iteration on 1e6 points, K = 3, against scikit-learn's, from the same start."""
    if not _have("sklearn"):
        return
    from sklearn.mixture import GaussianMixture

    weights, mu, sigma = kernel.components(THETA)
    column = sample[:, None]

    def theirs(iterations: int) -> float:
        model = GaussianMixture(
            3,
            max_iter=iterations,
            tol=0,
            reg_covar=0,
            weights_init=weights,
            means_init=mu[:, None],
            precisions_init=1 / sigma[:, None, None] ** 2,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return model.fit(column).score(column)

    # twenty-four iterations less four, so that neither side's set-up counts
    from benchmarks.measure import seconds

    ratios, rows = [], []
    for _ in range(5):
        ours = seconds(lambda: kernel.fit(sample, THETA, tol=0, max_iter=24)) - seconds(
            lambda: kernel.fit(sample, THETA, tol=0, max_iter=4)
        )
        other = seconds(lambda: theirs(8)) - seconds(lambda: theirs(4))
        ratios.append((other / 4) / (ours / 20))
        rows.append((ours / 20, other / 4))
    reached = kernel.fit(sample, THETA, tol=0, max_iter=8).log_likelihood
    sys.stdout.write("\nEM iteration, N = 1e6, K = 3\n")
    sys.stdout.write(f"  mean log-likelihood after 8: {reached:.12f}; theirs {theirs(8):.12f}\n")
    own, other = (np.median(column) * 1e3 for column in zip(*rows, strict=True))
    sys.stdout.write(f"  relrep_sym   {own:8.2f} ms\n")
    sys.stdout.write(f"  scikit-learn {other:8.2f} ms   x {np.median(ratios):.2f}\n")


def test_import():
    """Import of a generated module, against NumPy alone."""

    def python(code: str) -> None:
        subprocess.run([sys.executable, "-c", code], check=True)

    compare(
        "import in a fresh interpreter",
        lambda: python("import relrep_sym.generated.normal2_relative"),
        {"numpy alone": lambda: python("import numpy")},
        rounds=15,
    )
