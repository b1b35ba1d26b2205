"""What is integrated under a truth, as the adaptive rules measure it.

In: a model and a truth, both points. Out: rules fit for the mean score and its second moments, or
for the Kullback–Leibler divergence. Every row of what is wanted has to settle, relative to its own
mean absolute value, so that the part of a component far from the truth keeps its digits too.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from relrep_sym.runtime import kernel
from relrep_sym.runtime.adaptive import component_logs, nested_rules
from relrep_sym.runtime.block import score_rows
from relrep_sym.runtime.check import Array
from relrep_sym.runtime.point import Point
from relrep_sym.runtime.quadrature import Indices, Rule

__all__ = ["bregman", "searched", "searched_divergence"]


def mixture_log(point: Point, x: Array) -> Array:
    """log p at points (m, n), minus infinity where there is none: the batch is m, or one for
    all.
    """
    single = point.heights.shape[1] == 1
    flat = x.reshape(1, -1) if single else x
    logs = component_logs(point, flat)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = logs + np.log(point.components.weights)[..., None]
        top = logs.max(axis=0)
        safe = np.where(np.isfinite(top), top, 0.0)
        out = safe + np.log(np.exp(logs - safe).sum(axis=0))
    out = np.where(np.isfinite(top), out, top)
    if point.form.common is not None:
        out = out + point.form.common(flat)
    return out.reshape(x.shape)


def _density(truth: Point, members: Indices, x: Array) -> Array:
    single = truth.heights.shape[1] == 1
    return np.exp(mixture_log(truth if single else truth.take(members), x))


def searched(point: Point, truth: Point) -> Iterator[Rule]:
    """Rules for E_q of the score's rows, of their squares, and of log p."""

    def measure(members: Indices, nodes: Array, steps: Array) -> tuple[Array, Array]:
        part = point.take(members)
        share = steps * _density(truth, members, nodes)
        k, names = len(point.heights), len(point.form.names)
        count = k - (part.order is None) + names * k  # weights' rows are one more where reordered
        values = np.zeros((2 * count + 1, len(members)))
        sizes = np.zeros_like(values)

        def use(b, i, inner, _, block, work):  # type: ignore[no-untyped-def]
            by_weight, by_family = score_rows(inner, block, work)
            rows = np.concatenate([by_weight, *by_family])
            w = share[b, i]
            signed, weighed = rows * w, np.abs(rows) * w
            square = (weighed * np.abs(rows)).sum(axis=-1)
            return b, signed.sum(axis=-1), weighed.sum(axis=-1), square

        for b, signed, weighed, square in kernel.over_blocks(part, nodes, None, use):
            values[:count, b] += signed
            sizes[:count, b] += weighed
            values[count:-1, b] += square
            sizes[count:-1, b] += square
        logs = share * mixture_log(part, nodes)
        values[-1], sizes[-1] = logs.sum(axis=1), np.abs(logs).sum(axis=1)
        return values, sizes

    batch = point.heights.shape[1]
    points = [point] if truth is point else [truth, point]
    yield from nested_rules(
        points, np.arange(batch), measure, lambda members, x: _density(truth, members, x)
    )


def searched_divergence(alone: Point, truth: Point) -> Iterator[Rule]:
    """Rules for the divergence of one model from one truth.

    Its integrand is nonnegative; what it settles against is E_q|log q/p|, which rounding of the
    two logarithms costs.
    """

    def measure(members: Indices, nodes: Array, steps: Array) -> tuple[Array, Array]:
        log_q, log_p = mixture_log(truth, nodes), mixture_log(alone, nodes)
        with np.errstate(all="ignore"):
            value = steps * bregman(log_q, log_p)
            first = steps * np.exp(log_q) * np.abs(log_q - log_p)
        return value.sum(axis=1)[None], (value + first).sum(axis=1)[None]

    def either(members: Indices, x: Array) -> Array:
        return np.exp(np.maximum(mixture_log(truth, x), mixture_log(alone, x)))

    yield from nested_rules([truth, alone], np.arange(1), measure, either)


def bregman(log_q: Array, log_p: Array) -> Array:
    """q log(q/p) − q + p, from whichever of q and p is the larger, so that nothing overflows."""
    t = log_p - log_q
    low, high = np.minimum(t, 0.0), np.maximum(t, 0.0)
    below = np.exp(log_q) * (np.expm1(low) - t)
    above = np.exp(log_p) * -(np.expm1(-high) + t * np.exp(-high))
    return np.where(t <= 0, below, above)
