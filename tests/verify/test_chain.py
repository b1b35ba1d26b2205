"""The chain rule's summands: where they count, and that they are those of the chain rule."""

from __future__ import annotations

import mpmath
import pytest

from relrep_sym.verify import Oracle
from relrep_sym.verify.chain import Chain
from tests.verify.mixtures import NORMAL, identity, names

X, W = [0.5, -3.0, 7.0], [1.0, 2.0, 3.0]


def shared(c):
    """(π_1, π_2, μ, δ): three unit-scale means μ, μ + δ, μ + δ²."""
    weights = [c[0], c[1], 1 - c[0] - c[1]]
    return weights, [(c[2], 1), (c[2] + c[3], 1), (c[2] + c[3] ** 2, 1)]


POINT = [0.25, 0.5, -1.0, 1.75]
PLAIN = Oracle(NORMAL, identity(3, 2), names(3, "mu", "sigma"))
HERE = Oracle(NORMAL, shared, ("pi_1", "pi_2", "mu", "delta")).at(POINT)


def test_only_entries_by_one_weight_count_in_a_named_chart():
    strict, wide = HERE.hessian(X, W), Chain(HERE, PLAIN).hessian(X, W)
    for i, (row, other) in enumerate(zip(wide, strict, strict=True)):
        for j, (a, b) in enumerate(zip(row, other, strict=True)):
            assert (a.value, a.sensitivity) == (b.value, b.sensitivity)
            assert a.scale >= b.scale
            if (i < 2) is (j < 2):
                assert a.scale == b.scale


def test_scales_are_the_chain_rules():
    """∂²/∂π_1∂μ sums over the means; ∂²/∂δ² has 1 and 2δ as slopes, and 2 as a bend."""
    at = PLAIN.at([0.25, 0.5, -1.0, 0.75, 1.75**2 - 1.0, 1.0, 1.0, 1.0])
    inner, score = at.hessian(X, W), at.score(X, W)
    wide = Chain(HERE, PLAIN, own=True).hessian(X, W)
    expected = mpmath.fsum(inner[0][k].scale for k in (2, 3, 4))
    assert abs(wide[0][2].scale / expected - 1) < 1e-15
    slopes = {3: mpmath.mpf(1), 4: mpmath.mpf("3.5")}
    expected = mpmath.fsum(a * b * inner[i][j].scale for i, a in slopes.items()
                           for j, b in slopes.items()) + 2 * score[4].scale  # fmt: skip
    assert abs(wide[3][3].scale / expected - 1) < 1e-12


@pytest.mark.parametrize(("mapped", "count"), [(False, 0), (True, 5)])
def test_two_components_are_judged_strictly_unless_their_weights_are_made(mapped, count):
    def two(c):
        return [c[0], 1 - c[0]], [(c[1], 1), (c[1] + c[2], 1)]

    at = Oracle(NORMAL, two, ("pi_1", "mu", "delta")).at([0.25, -1.0, 1e-6])
    plain = Oracle(NORMAL, identity(2, 2), names(2, "mu", "sigma"))
    wide, strict = Chain(at, plain, mapped=mapped).hessian(X, W), at.hessian(X, W)
    pairs = [(i, j) for i in range(3) for j in range(3)]
    differ = sum(wide[i][j].scale != strict[i][j].scale for i, j in pairs)
    assert differ <= count
    assert (differ > 0) is mapped
