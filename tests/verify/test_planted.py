"""Faults planted into generated code: a certificate finds each of them.

A full certificate finds all. A quick one misses those of ``FULL``: a tolerance or a clipped
exponent that acts only nearer or further out than its points. What no certificate can find is a
natural field whose pseudo-inverse is cut nowhere: it is certified only where Fisher information is
well conditioned.
"""

from __future__ import annotations

import types
from functools import cache

import numpy as np
import pytest

import relrep_sym as rs
from relrep_sym.certify import certify_derivation
from relrep_sym.errors import RelrepError


@cache
def derivation(which):
    if which == "own":
        m = rs.mixture("normal", components=2, scales=1)
        rules = {"pi_1": "v", "mu_1": "c", "mu_2": "c + expm1(D)"}
        return rs.derive(m, rs.chart(m, rules), name="own")
    m = rs.mixture("normal", components=2)
    if which == "constant":
        return rs.derive(m, rs.relative(m, "mu", clearance="lam"), name="constant")
    if which == "square":
        return rs.derive(m, rs.relative(m, "mu", gap="square"), name="square")
    return rs.derive(m, rs.relative(m, "mu"), name="relative")


@cache
def source(which):
    return derivation(which).source()


class _Found(Exception):
    """A certificate has a miss."""


def finds(which, module, full):
    """Whether a certificate misses the yardstick, or is refused."""

    def progress(entry):
        if not entry.ok:
            raise _Found

    try:
        certify_derivation(derivation(which), module=module, full=full, progress=progress)
    except (_Found, RelrepError, ValueError, TypeError):
        return True
    return False


def compiled(which, *edits):
    """The module with pieces of its text replaced, each of which must be there."""
    text = source(which)
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new)
    module = types.ModuleType("planted")
    exec(compile(text, "<planted>", "exec"), module.__dict__)
    return module


def wrapped(which, name, change):
    """The module with a function whose result is changed."""
    module = compiled(which)
    right = getattr(module, name)
    setattr(module, name, lambda *a, **k: change(right(*a, **k)))
    return module


TEXT = {
    "naive exp(D) - 1": ("own", ("np.expm1(D)", "(np.exp(D) - 1)")),
    "a lost sign": ("relative", ("odds0 = -(log_ratio", "odds0 = (log_ratio")),
    "a swapped index": ("relative", ("d_sigma[0], d_sigma[1]]", "d_sigma[1], d_sigma[0]]")),
    "a dropped term": ("relative", ("d_mu_1 = d_mu[0] + d_mu[1]", "d_mu_1 = d_mu[0]")),
    "an absolute tolerance": (
        "relative",
        ("np.array([Delta_1])", "np.array([np.where(np.abs(Delta_1) < 1e-8, 0.0, Delta_1)])"),
    ),
    "a wrong constant": ("relative", ("0.3989422804014327 / sigma", "0.39894228040140 / sigma")),
    "float32 rounding": (
        "relative",
        ("c1 = 0.7071067811865476 / sigma", "c1 = np.float32(0.7071067811865476) / sigma"),
    ),
    "a wrong bound": ("relative", ("lower=(0.0, -np.inf, 0.0,", "lower=(0.0, -np.inf, 3.0,")),
    "a transposed Jacobian": (
        "relative",
        ("d_mu_1 = d_mu[0] + d_mu[1]", "d_mu_1 = d_mu[0]"),
        ("d_mu_1, d_mu[1], d_sigma", "d_mu_1, d_mu[0] + d_mu[1], d_sigma"),
    ),
    "a missing factor 2 in the Hessian": (
        "relative",
        ("mu_sigma1 = -2.8284271247461903", "mu_sigma1 = -1.4142135623730951"),
    ),
    "a missing normaliser": ("relative", ("0.3989422804014327 / sigma", "1.0 / sigma")),
    "weights that do not sum to one": ("relative", ("[pi_1, 1 - pi_1]", "[pi_1, 1.001 - pi_1]")),
    "a wrong order of components": (
        "relative",
        ("sigma = np.array([sigma_1, sigma_2])", "sigma = np.array([sigma_2, sigma_1])"),
    ),
    "an off-by-one in a sum": (
        "relative",
        ("d_mu_1 = d_mu[0] + d_mu[1]", "d_mu_1 = d_mu[1] + d_mu[1]"),
    ),
    "a clipped exponent": (
        "relative",
        ("np.negative(basis[1][rows], out=out)", "np.maximum(-basis[1][rows], -300.0, out=out)"),
    ),
    "an M-step of the wrong block": ("relative", ("new_mu = mu + t_1", "new_mu = mu[::-1] + t_1")),
    "a stale constant": ("constant", ("Delta_1 + lam + mu_1", "Delta_1 + 0.06 + mu_1")),
    "a score without its offset": ("relative", ("(sigma_slope2, -0.5)", "(sigma_slope2, 0.0)")),
    "a curvature term left out": ("square", ("2 * d_mu[1] * d_rows[2]", "0 * d_mu[1] * d_rows[2]")),
    "a wrong sign in a second derivative": ("relative", ("_sigma0 = t2", "_sigma0 = -t2")),
}  # fmt: skip
RESULT = {
    "a symmetric Hessian of which half is there": ("relative", "hessian", np.triu),
    "a natural field that is the plain one": ("relative", "natural_field", lambda v: 1.0000001 * v),
    "a divergence without its constant": ("relative", "kl", lambda v: v + 1e-9),
    "Fisher information of half a sample": ("relative", "fisher", lambda v: v / 2),
}
FULL = ("an absolute tolerance", "a clipped exponent")
"""What only a full certificate finds."""


@pytest.mark.parametrize("fault", [f for f in TEXT if f not in FULL])
def test_a_quick_certificate_finds(fault):
    which, *edits = TEXT[fault]
    assert finds(which, compiled(which, *edits), full=False)


@pytest.mark.parametrize("fault", RESULT)
def test_a_quick_certificate_finds_a_wrong_result(fault):
    which, name, change = RESULT[fault]
    assert finds(which, wrapped(which, name, change), full=False)


@pytest.mark.slow
@pytest.mark.parametrize("fault", TEXT)
def test_a_full_certificate_finds(fault):
    which, *edits = TEXT[fault]
    assert finds(which, compiled(which, *edits), full=True)


@pytest.mark.slow
@pytest.mark.parametrize("which", ["own", "constant", "square", "relative"])
@pytest.mark.parametrize("full", [False, True])
def test_nothing_is_found_where_nothing_is_planted(which, full):
    assert not finds(which, compiled(which), full=full)
