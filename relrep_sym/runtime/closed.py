"""What a generated module says of M-steps that are closed in ways of their own: plain data.

In: nothing. Out: :class:`Order` (solved by pooling), :class:`Medians` (by sorting) and
:class:`Roots` (by polynomials), which a generated chart holds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from relrep_sym.runtime.check import Array

__all__ = ["Medians", "Order", "Roots"]


class Order(NamedTuple):
    """One parameter that a chart keeps in order, and how Q depends on it.

    Attributes:
        role: which family parameter.
        gaps: the coordinates Δ_1 … Δ_{K−1}, by position.
        kinds: what each gap is of its coordinate: ``"plain"``, ``"square"``, ``"exp"`` or
            ``"softplus"``.
        multiplicative: whether it is the logarithms that are kept apart.
        shape: ``("location", c, beside)``, a slope N c (m − y)/σ² with a scale that is ``"fixed"``,
            ``"tied"`` or ``"own"``; ``("power", c, of, p, q)``, a slope α yᵖ − β y^q with N c the
            coefficient ``"alpha"`` or ``"beta"``; ``("logit", c, of)``, a slope a/y − b/(1 − y)
            with N c the ``"a"`` or the ``"a+b"``.
    """

    role: int
    gaps: tuple[int, ...]
    kinds: tuple[str, ...]
    multiplicative: bool
    shape: tuple[str | float, ...]


class Medians(NamedTuple):
    """What a generated module says of its M-step of medians.

    Attributes:
        location: which family parameter is the median.
        groups: the components that share one.
        tension: family parameters → what a component's share counts in its group's median.
        step: (mass, E[r |x − μ|]/N, family parameters with the new μ) → (weights, parameters).
    """

    location: int
    groups: tuple[tuple[int, ...], ...]
    tension: Callable[..., Array]
    step: Callable[..., tuple[Array, tuple[Array, ...]]]


class Roots(NamedTuple):
    """One coordinate's stationarity as polynomials.

    Attributes:
        coordinate: the coordinate, by position.
        kind: what z is: ``"value"``, the coordinate; ``"shift"``, what is added to the present one;
            ``"exp"``, its exponential.
        terms: (N_k, means of b_j, family parameters) → coefficients of a_k and of b_k, lowest
            first, (degree + 1, K, B) each.
    """

    coordinate: int
    kind: str
    terms: Callable[..., tuple[Array, Array]]
