"""Nodes and steps for expectations E_q[g(X)] whose g is built from a mixture density.

In: numbers only: centres, scales and weights of the truth's components (tails no heavier than
Gaussian), and the quadratics of the models' component log-densities (see `zeros`).
Out: rules, each with its nodes, its steps dx, the batch members it serves and its error bound:

    E_q[g] = sum_i steps_i q(nodes_i) g(nodes_i)

`line` takes the trapezoidal rule where it is cheap, so that many members share nodes, and else
Gauss-Legendre panels that keep clear of every zero; `integers` sums a window of {0, 1, 2, …}.
Nodes are exact: the trapezoidal ones are integer multiples of a step of few bits, and the steps of
the panels are corrected for the rounding of their nodes, which at x = 1e5 would cost five digits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from relrep_sym.errors import DomainError, problem
from relrep_sym.runtime.zeros import landmarks, nearest_zero

__all__ = ["Rule", "integers", "line", "reach", "window"]

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

_SLACK = 64.0  # double poles of r_j r_k cost 2 pi d / h = 37, measured 62
_DIGITS = math.log(1e16 * _SLACK)
_SQUARE = 92.0  # reach**2 at which z**4 exp(-z**2 / 2) has lost all but 1e-17 of its integral
_FARTHEST = 38.0  # beyond, exp(-z**2 / 2) is below the smallest double
_POINTS = 16
_RHO = 3.6  # zeros are outside the Bernstein ellipse with this sum of half-axes about each panel
_KAPPA = 0.5 * (_RHO + 1.0 / _RHO)
_PANEL_ERROR = _SLACK * _RHO ** (-2.0 * _POINTS)
_WIDEST = 2.5  # panel length over scale up to which the weight itself is integrated to 1e-16
_MOST = 4096  # panels of one member
_BLOCK = 256  # members whose panels are laid at once
_SURVEY = 4096  # members that are surveyed at once, in cache


@dataclass(frozen=True, eq=False)
class Rule:
    """Nodes and steps that serve some members of a batch.

    Attributes:
        nodes: (n,), shared by the members, or (n, m), a column for each.
        steps: as `nodes`; zero where a column is padded.
        members: (m,) indices into the batch.
        component: the truth's component j, whose pi_j f_j(x) is then the weight, or None: the
            weight is the whole density q(x).
        method: "trapezoid", "panels" or "integers".
        bound: largest relative error over the members, short of rounding.
    """

    nodes: Array
    steps: Array
    members: Indices
    component: int | None
    method: str
    bound: float


def line(
    polynomials: Array | tuple[Array, ...],
    centres: Array,
    scales: Array,
    weights: Array | None = None,
    *,
    origin: Array | float = 0.0,
    separate: bool = True,
    limit: float = 2000.0,
) -> list[Rule]:
    """Rules for expectations over the real line.

    A member of the batch is served by one rule for all of q, or by one rule for each component.

    Args:
        polynomials: (3, K, B) quadratics in x - `origin` of the log-densities whose zeros limit
            the rule: the model, and for a divergence also the truth (where B may be 1).
        centres: (J,) or (J, B) centres of what is to be covered: the truth's components, and for
            a divergence also the model's.
        scales: as `centres`; tails no heavier than exp(-z**2 / 2).
        weights: (J,) or (J, B), of the truth's components. Given, the rules extend to where the
            first model's responsibilities live (see `reach`).
        origin: of the quadratics, a number or (B,).
        separate: whether a rule may serve one component of the truth: only where the integrand is
            linear in the truth's density. A divergence says False.
        limit: trapezoidal nodes of a member, above which it goes to panels.

    Normal truth of scale 1 at 0, model with means -0.5 and 0.5:

    >>> halves = np.array([[-0.125, -0.125], [-0.5, 0.5], [-0.5, -0.5]])[:, :, None]
    >>> (rule,) = line(halves, np.array([0.0]), np.array([1.0]), np.array([1.0]))
    >>> rule.method, rule.nodes.shape, float(rule.steps[0]), rule.bound < 1e-15
    ('trapezoid', (47,), 0.421875, True)
    >>> density = np.exp(-0.5 * rule.nodes**2) / np.sqrt(2.0 * np.pi)
    >>> error = rule.steps * density @ rule.nodes**4 - 3.0
    >>> bool(abs(error) < 2e-15)
    True
    """
    models = polynomials if isinstance(polynomials, tuple) else (polynomials,)
    batch = max(model.shape[2] for model in models)
    x0 = np.asarray(origin, dtype=float).reshape(1, -1)
    m, s, pi = (
        None if v is None else v[:, None] if v.ndim == 1 else v for v in (centres, scales, weights)
    )
    if batch <= _SURVEY:
        step, half, growth, low, high = _survey(models, m, s, pi, x0)
    else:
        found = []
        for i in range(0, batch, _SURVEY):
            block = slice(i, i + _SURVEY)
            inputs = (None if v is None else _members(v, block) for v in (m, s, pi, x0))
            found.append(_survey(tuple(_members(v, block) for v in models), *inputs))
        step, half, growth, low, high = (np.concatenate(v, axis=1) for v in zip(*found))

    least, most, finest = low.min(axis=0), high.max(axis=0), step.min(axis=0)
    together = (most - least) / finest
    whole = together <= limit
    parts = np.zeros(batch, dtype=bool)
    if separate and len(step) > 1:
        apart = ((high - low) / step).sum(axis=0)
        whole &= 0.7 * together <= apart  # one rule for all is less to do
        parts = ~whole & (apart <= limit)

    rules: list[Rule] = []
    chosen = whole.nonzero()[0]
    if len(chosen):
        ends = least[chosen], most[chosen]
        rules += _trapezoids(finest[chosen], *ends, half, growth, chosen, None)
    if len(chosen) == batch:
        return rules
    chosen = parts.nonzero()[0]
    for j in range(len(step) if len(chosen) else 0):
        ends = low[j, chosen], high[j, chosen]
        rules += _trapezoids(step[j, chosen], *ends, half[j : j + 1], growth[j : j + 1], chosen, j)
    chosen = (~(whole | parts)).nonzero()[0]
    for i in range(0, len(chosen), _BLOCK):
        rules += _panels(models, s, low, high, x0, chosen[i : i + _BLOCK])
    return rules


def _members(values: Array, chosen: slice | Indices) -> Array:
    """The chosen members along the last axis, where there is more than one."""
    return values[..., chosen] if values.shape[-1] > 1 else values


def _survey(
    models: tuple[Array, ...], m: Array, s: Array, pi: Array | None, x0: Array
) -> tuple[Array, Array, Array, Array, Array]:
    """For each centre and member (J, B): step, strip used, log growth on its edge, and the ends."""
    strip, bend = nearest_zero(models[0]), models[0][2].max(axis=0) - models[0][2].min(axis=0)
    for model in models[1:]:
        strip = np.minimum(strip, nearest_zero(model))
        bend = np.maximum(bend, model[2].max(axis=0) - model[2].min(axis=0))
    far = np.full(1, math.sqrt(_SQUARE)) if pi is None else reach(models[0], pi, m, s, x0)
    if len(far) > 1:
        far = -_few_bits(-far, 3)
    # A light component narrower than the others is a bump on them: the truth times r_k**2 is
    # narrower than the truth, and grows faster off the real line. A factor z**4 grows too.
    precision = 1.0 / (s * s)
    narrowed = precision + 4.0 * bend
    half = np.minimum(strip, math.sqrt(2.0 * _DIGITS) / np.sqrt(narrowed))
    square = half * half
    growth = 0.5 * square * narrowed + 2.0 * np.log1p(square * precision)
    step = 2.0 * np.pi * half / (_DIGITS + growth)
    spread = np.broadcast_to(far * s, step.shape)
    return step, half, growth, m - spread, m + spread


def reach(
    coefficients: Array, weights: Array, centres: Array, scales: Array, origin: Array | float = 0.0
) -> Array:
    """How many scales from its centres E_q[r_k**2 z**4] extends, for every k: (B,).

    Where component k of the model is far from the truth, or light, E_q[r_k**2] is small and comes
    from a tail: the rule must go to R with exp(-R**2 / 2) small beside the maximum of q r_k**2. A
    lower bound of that is its value at the truth's centres, and where this is below e**-16
    also its value where the two tails meet. `weights`, `centres`, `scales` are (J, 1) or (J, B).

    >>> halves = np.array([[-0.125, -0.125], [-0.5, 0.5], [-0.5, -0.5]])[:, :, None]
    >>> one = np.ones((1, 1))
    >>> reach(halves, one, 0 * one, one).round(1), reach(halves * 8, one, -one, one).round(1)
    (array([9.7]), array([9.9]))
    """
    c0, c1, c2 = coefficients
    m, s, log_pi = (centres - origin)[:, None], scales[:, None], np.log(weights)[:, None]
    value = c0 + m * (c1 + m * c2)  # (J, K, B)
    best = (2.0 * (value - value.max(axis=1, keepdims=True)) + log_pi).max(axis=0)  # (K, B)
    best[np.isneginf(c0)] = 0.0
    lowest = best.min(axis=0)
    far = (lowest < -16.0).nonzero()[0]  # above, the range is at most a seventh too long
    if len(far):
        with np.errstate(all="ignore"):
            tail = _meeting(*(_members(v, far) for v in (coefficients, m, s, value)))
        tail = (tail + _members(log_pi, far)).max(axis=0)
        lowest[far] = np.maximum(best[:, far], tail).min(axis=0)
    return np.minimum(np.sqrt(_SQUARE - 2.0 * lowest), _FARTHEST)


def _meeting(coefficients: Array, m: Array, s: Array, value: Array) -> Array:
    """log(f_j r_k**2) less log f_j's top, (J, K, b), where component k takes over from the chief.

    The chief is the component that rules at the truth's centre. With D(z) its log-odds against k,
    f_j r_k**2 is largest where D crosses zero or where -z**2 / 2 + 2 D(z) turns.
    """
    c0, c1, c2 = coefficients
    chief = value.argmax(axis=1)[:, None]  # (J, 1, b)
    c = value - np.take_along_axis(value, chief, axis=1)
    b1, a1 = (v - np.take_along_axis(v[None], chief, axis=1) for v in (c1, c2))
    a, b = a1 * s * s, (b1 + 2.0 * a1 * m) * s
    crossing = -2.0 * c / (np.abs(b) + np.sqrt(b * b - 4.0 * a * c))
    turning = np.where(a < 0.25, 2.0 * np.abs(b) / (1.0 - 4.0 * a), np.inf)
    z = np.copysign(np.fmin(np.fmin(crossing, turning), _FARTHEST), b)
    x = (m + s * z)[:, :, None]  # (J, K, 1, b): k's meeting point, seen by every component
    everyone = (c0 + x * (c1 + x * c2)).max(axis=2)
    x = x[:, :, 0]
    tail: Array = 2.0 * (c0 + x * (c1 + x * c2) - everyone) - 0.5 * z * z
    return np.where(np.isfinite(tail), tail, -np.inf)


def _trapezoids(
    step: Array,
    low: Array,
    high: Array,
    half: Array,
    growth: Array,
    members: Indices,
    component: int | None,
) -> Iterator[Rule]:
    """Trapezoidal rules with steps no longer than `step` (m,), for members that can share them.

    Step and ends are rounded so that few differ: the step to three bits, the ends to an eighth
    to a sixteenth of their distance; a member alone keeps its own, to six bits.
    """
    alone = len(members) == 1
    step = _few_bits(step, 6 if alone else 3)
    half, growth = _members(half, members), _members(growth, members)
    error = _SLACK * np.exp((growth - 2.0 * np.pi * half / step).max(axis=0))
    if alone:
        yield _grid(step[0], low[0], high[0], members, component, error[0])
        return
    unit = np.ldexp(1.0, np.frexp(high - low)[1] - 4)
    low, high = np.floor(low / unit) * unit, np.ceil(high / unit) * unit
    # Any order will do that brings equal rules together; should two keys collide, rules are split.
    order = np.argsort(step + math.sqrt(0.5) * low + math.sqrt(0.3) * high)
    step, low, high, error = step[order], low[order], high[order], error[order]
    new = (np.diff(step) != 0.0) | (np.diff(low) != 0.0) | (np.diff(high) != 0.0)
    starts = np.concatenate([[0], np.flatnonzero(new) + 1])
    worst = np.maximum.reduceat(error, starts)
    for i, k, bound in zip(starts, [*starts[1:], len(order)], worst, strict=True):
        yield _grid(step[i], low[i], high[i], members[order[i:k]], component, bound)


def _few_bits(values: Array, bits: int) -> Array:
    """The next number below with a mantissa of `bits`."""
    fraction, exponent = np.frexp(values)
    return np.ldexp(np.floor(np.ldexp(fraction, bits)), exponent - bits)


def _grid(
    h: float, low: float, high: float, members: Indices, component: int | None, bound: float
) -> Rule:
    index = np.arange(math.floor(low / h), math.ceil(high / h) + 1.0)
    return Rule(h * index, np.full(len(index), h), members, component, "trapezoid", float(bound))


@lru_cache(maxsize=1)
def _gauss() -> tuple[Array, Array, Array]:
    """Nodes and weights (16, 1) of Gauss-Legendre on [-1, 1], and D^T: D differentiates there."""
    nodes, weights = np.polynomial.legendre.leggauss(_POINTS)
    gaps = nodes[:, None] - nodes + np.eye(_POINTS)
    pole = gaps.prod(axis=1)
    matrix = pole[:, None] / pole / gaps
    np.fill_diagonal(matrix, 0.0)
    np.fill_diagonal(matrix, -matrix.sum(axis=1))
    return nodes[:, None], weights[:, None], matrix.T


def _panels(
    models: Sequence[Array], s: Array, low: Array, high: Array, x0: Array, members: Indices
) -> Iterator[Rule]:
    """Gauss-Legendre panels over the union of the ranges, for each member its own.

    Panels follow one another from the left, each as long as the zeros, and the scales where the
    truth lives, let it be. The truth's components enter as zeros of the same kind, at a height
    that makes a panel `_WIDEST` scales long, that move along with the panel within their range.
    """
    s, low, high, x0 = (_members(v, members) for v in (s, low, high, x0))
    rise = 0.5 * _WIDEST * (_KAPPA - 1.0 / _KAPPA)
    ceiling = rise * s
    start, end, above = low.min(axis=0), high.max(axis=0), ceiling.max(axis=0)
    ceiling = np.broadcast_to(ceiling, low.shape)
    found = [
        landmarks(_members(model, members), float(s.max()), rise)
        for model in models
    ]
    left, right, height = (
        np.concatenate([np.broadcast_to(v[i], (len(v[i]), len(members))) for v in found])
        for i in range(3)
    )
    left, right = left + x0, right + x0
    near = (height < above) & (right > start - above) & (left < end + above)
    kept = np.argsort(~near, axis=0, kind="stable")[: near.sum(axis=0).max()]
    left, right, height = (
        np.concatenate([np.take_along_axis(v, kept, axis=0), w])
        for v, w in ((left, low), (right, high), (height, ceiling))
    )
    edges = _march(start, end, left, right, height)
    count = (edges[1:] > edges[:-1]).sum(axis=0)
    rounded = -(-count // 8)
    for group in np.unique(rounded):
        chosen = np.flatnonzero(rounded == group)
        nodes, steps = _nodes(edges[: count[chosen].max() + 1, chosen])
        yield Rule(nodes, steps, members[chosen], None, "panels", _PANEL_ERROR)


def _march(start: Array, end: Array, left: Array, right: Array, height: Array) -> Array:
    """Panel edges (n + 1, m) from `start` to `end`, the last repeated where a member has fewer.

    A panel [x, x + l] keeps clear of z where |z - x| + |z - x - l| >= kappa l, which is linear in
    l: l (kappa**2 - 1) <= 2 (kappa |z - x| - Re(z - x)). A landmark from `left` to `right` stands
    where it is nearest to x.
    """
    edges, x = [start], start
    square, scale = height * height, 2.0 / (_KAPPA**2 - 1.0)
    while (x < end).any():
        if len(edges) > _MOST:
            raise DomainError(
                problem(
                    "zeros of the density lie too near the line for quadrature",
                    f"more than {_MOST} panels from {start.min()} to {end.max()}",
                    "scales of model and truth within a ratio of 1e6",
                )
            )
        ahead = np.clip(x, left, right) - x
        length = (_KAPPA * np.sqrt(ahead * ahead + square) - ahead).min(axis=0)
        x = np.minimum(x + scale * length, end)
        edges.append(x)
    return np.array(edges)


def _nodes(edges: Array) -> tuple[Array, Array]:
    """Nodes and steps (16 n, m) of panels with `edges` (n + 1, m).

    A node x rounds by delta: the steps lose D^T (steps delta), so that the rule stays exact for
    polynomials of degree 15 at the nodes as they are.
    """
    nodes, weights, transposed = _gauss()
    low = edges[:-1, None]
    half = 0.5 * (edges[1:, None] - low)
    offset = half * (1.0 + nodes)
    x = low + offset
    steps = half * weights - transposed @ (weights * ((x - low) - offset))
    return x.reshape(-1, edges.shape[1]), steps.reshape(-1, edges.shape[1])


def integers(log_masses: Sequence[Callable[[Array], Array]], starts: Sequence[float]) -> Rule:
    """The rule on {0, 1, 2, …}: every integer that any of the densities' windows holds."""
    spans = [window(f, start) for f, start in zip(log_masses, starts, strict=True)]
    raise NotImplementedError(spans)


def window(log_mass: Callable[[Array], Array], start: float, depth: float = 45.0) -> tuple[int, int]:
    raise NotImplementedError
