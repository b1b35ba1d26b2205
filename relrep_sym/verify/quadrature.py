"""Integrals and sums of vector-valued functions to a stated number of digits.

In: an integrand ``f(xs) -> [vector, …]`` that contains its density, and where the density and the
model's features lie, found from log-densities alone by :func:`landmarks`. Out: an
:class:`Integral`: values, mean absolute values, the measured error, and a coarse rule that is good
to a few digits, for sensitivities.

Two rules that share nothing but the map of the nodes. Gauss–Legendre panels, bisected until a panel
agrees with its halves, are the rule of the oracle: complex zeros of the model's density close to
the real axis cost them little. The trapezoidal rule, halved until two steps agree, is the second
opinion. On the line the variable is x, or asinh x where tails are heavy; on the half-line log x, on
an interval its logit; integers and finite sets are summed. Panels end at the kinks that are given,
where an integrand is not smooth. A density like (b − x)^(a − 1) at an interval's end is within
reach for a ≥ 0.7 at 30 digits, and for a ≥ 0.5 at 20.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import mpmath
from mpmath import mp

from relrep_sym.errors import CertificateError, problem
from relrep_sym.verify.jets import WORKING, Number

__all__ = [
    "HEAVY",
    "Budget",
    "Integral",
    "Mark",
    "Rule",
    "Support",
    "heavy",
    "integrate",
    "landmarks",
]

Vector = list[Number]
Integrand = Callable[[list[Number]], list[Vector]]
Support = str | tuple[Any, ...]
Mark = tuple[Number, Number]
"""A point t and its spacing."""

HEAVY = "line by asinh"
"""The line in the variable asinh x, in which tails like a power of x fall like an exponential."""
PANEL_NODES = 28
COARSE_NODES = 6
MOST_PANELS = 500
WIDTHS = 4
"""A panel is at most this many times as wide as the spacing of a landmark in it."""


@dataclass(frozen=True)
class Budget:
    """A deadline, and what to say when it has passed."""

    deadline: float | None
    where: str

    def check(self) -> None:
        """Raise :class:`CertificateError` if the deadline has passed."""
        if self.deadline is not None and time.monotonic() > self.deadline:
            text = problem("the oracle ran out of time", self.where, "a larger time budget")
            raise CertificateError(text)


@dataclass(frozen=True)
class Rule:
    """Nodes x and weights, the map's derivative included."""

    nodes: list[Number]
    weights: list[Number]


@dataclass(frozen=True)
class Integral:
    """∫ f, ∫ |f| (two digits or better), the error relative to ∫ |f|, and a coarse rule."""

    values: Vector
    absolutes: Vector
    error: Number
    coarse: Rule
    method: str


def _map(support: Support, t: Number) -> tuple[Number, Number]:
    """x(t) and dx/dt."""
    if support == "line":
        return t, mp.one
    if support == HEAVY:
        return mpmath.sinh(t), mpmath.cosh(t)
    if support == "half-line":
        x = mpmath.exp(t)
        return x, x
    low, high = mpmath.mpf(support[1]), mpmath.mpf(support[2])
    up, down = 1 / (1 + mpmath.exp(-t)), 1 / (1 + mpmath.exp(t))
    x = low + (high - low) * up if t < 0 else high - (high - low) * down
    return x, (high - low) * up * down


def _unmap(support: Support, x: Number) -> Number:
    """t with x(t) = x; infinite where there is none."""
    if support == "line":
        return x
    if support == HEAVY:
        return mpmath.asinh(x)
    if support == "half-line":
        return mpmath.log(x) if x > 0 else -mp.inf
    low, high = mpmath.mpf(support[1]), mpmath.mpf(support[2])
    if not low < x < high:
        return mp.inf
    return mpmath.log((x - low) / (high - x))


def points_of(support: Support) -> list[Number] | None:
    """Every point of a finite support; None of an infinite one."""
    if isinstance(support, str) or support[0] == "interval":
        return None
    if support[0] == "finite":
        return [mpmath.mpf(v) for v in support[1]]
    return [mpmath.mpf(n) for n in range(int(support[1]), int(support[2]) + 1)]


MOST_DOUBLINGS = 5000
"""Of a step on the line: tails that are not integrable, and plateaus, would need ever more."""


def _climb(g: Callable[[Number], Number], smallest: Number) -> tuple[Number, Number]:
    """The highest point of a unimodal g, and a step there that loses less than one half."""
    t, step, value = mp.zero, mp.one, g(mp.zero)
    for _ in range(4000):
        options = [(g(t + s), t + s) for s in (step, -step)]
        best, there = max(options, key=lambda o: o[0])
        if best > value:
            t, value, step = there, best, 2 * step
        elif step <= smallest or value - min(o[0] for o in options) < mpmath.mpf("0.5"):
            for _ in range(MOST_DOUBLINGS):
                if any(value - g(t + s) >= mpmath.mpf("0.5") for s in (2 * step, -2 * step)):
                    return t, step
                step *= 2
            break
        else:
            step /= 2
    right = "a unimodal log-density that falls on both sides"
    raise CertificateError(problem("no mode was found", "4000 steps", right))


def _cut(g: Callable[[Number], Number], outer: Number, inner: Number, level: Number) -> Number:
    """A point between, nearer the inner end, where g is still below the level."""
    for _ in range(5):
        middle = (outer + inner) / 2
        outer, inner = (middle, inner) if g(middle) < level else (outer, middle)
    return outer


def landmarks(log_density: Callable[[Number], Number], support: Support, digits: int) -> list[Mark]:
    """Points t with their spacing: the mode, and dyadic steps from it until nothing is left.

    Outermost, the density times the step has lost ``digits`` + 20 digits against the mode.
    """
    if points_of(support) is not None:
        return []
    depth = (digits + 20) * mpmath.log(10)
    discrete = support == "integers"
    # near an interval's end the distance from it must keep the digits that are asked for
    kept = max(WORKING - digits - 8, 10) * mpmath.log(10)
    limit = mp.inf if isinstance(support, str) else kept

    def g(t: Number) -> Number:
        if discrete:
            return log_density(mpmath.nint(t)) if t >= 0 else -mp.inf
        if abs(t) > limit:
            return -mp.inf
        x, slope = _map(support, t)
        return log_density(x) + mpmath.log(slope)

    mode, step = _climb(g, mp.one if discrete else mpmath.mpf(10) ** -WORKING)
    peak = g(mode)
    points = [(mode, step)]
    for sign in (-1, 1):
        reach = step
        for n in range(MOST_DOUBLINGS + 1):
            if n == MOST_DOUBLINGS:
                given = f"{n} doublings of the distance from the mode do not reach it"
                right = f"a density that loses {digits + 20} digits"
                raise CertificateError(problem("a tail has no end", given, right))
            t = mode + sign * reach
            if discrete and t < 0:
                points.append((mp.zero, reach))
                break
            if abs(t) > limit:
                points.append((sign * limit, reach))
                break
            if g(t) + mpmath.log(reach / step) < peak - depth:
                inner = mode if reach == step else t - sign * reach / 2
                cut = _cut(g, t, inner, peak - depth)
                points.append((sign * mpmath.ceil(sign * cut) if discrete else cut, reach))
                break
            points.append((t, reach))
            reach *= 2
    return sorted(points)


def heavy(marks: list[list[Mark]]) -> bool:
    """Whether some component on the line has tails that end only after some forty doublings."""
    return any(max(s for _, s in row) > 2**40 * min(s for _, s in row) for row in marks)


def _breaks(marks: list[Mark], low: Number, high: Number) -> list[Number]:
    """Panel ends: [low, high] is bisected until no panel is wider than its marks allow.

    Without this a narrow mode between two nodes would go unseen, by a panel and its halves alike.
    """
    ends = [low]
    stack = [(low, high, [m for m in marks if low <= m[0] <= high])]
    while stack:
        a, b, inside = stack.pop()
        if inside and b - a > WIDTHS * min(spacing for _, spacing in inside):
            middle = (a + b) / 2
            stack.append((middle, b, [m for m in inside if m[0] >= middle]))
            stack.append((a, middle, [m for m in inside if m[0] <= middle]))
        else:
            ends.append(b)
    return ends


@lru_cache(maxsize=8)
def _legendre(n: int, digits: int) -> tuple[tuple[Number, ...], tuple[Number, ...]]:
    """Nodes and weights on [−1, 1]: Newton's method on the three-term recurrence."""
    nodes, weights = [], []
    for i in range(n):
        x = mpmath.cos(mp.pi * (4 * i + 3) / (4 * n + 2))
        for _ in range(20):
            before, value = mp.one, x
            for m in range(1, n):
                before, value = value, ((2 * m + 1) * x * value - m * before) / (m + 1)
            slope = n * (before - x * value) / (1 - x * x)
            step = value / slope
            x -= step
            if abs(step) < mpmath.mpf(10) ** -(digits // 2 + 5):
                break
        # the slope still belongs to the last but one x: evaluate once more at the root
        before, value = mp.one, x
        for m in range(1, n):
            before, value = value, ((2 * m + 1) * x * value - m * before) / (m + 1)
        slope = n * (before - x * value) / (1 - x * x)
        nodes.append(x)
        weights.append(2 / ((1 - x * x) * slope * slope))
    return tuple(nodes), tuple(weights)


def _panel(support: Support, low: Number, high: Number, n: int) -> Rule:
    nodes, weights = _legendre(n, WORKING)
    middle, half = (low + high) / 2, (high - low) / 2
    mapped = [_map(support, middle + half * u) for u in nodes]
    slopes = zip(weights, mapped, strict=True)
    return Rule([x for x, _ in mapped], [w * half * slope for w, (_, slope) in slopes])


def _apply(f: Integrand, rule: Rule) -> tuple[Vector, Vector]:
    """The rule's ∫ f and ∫ |f|."""
    columns = list(zip(*f(rule.nodes), strict=True))
    values = [mp.fdot(rule.weights, column) for column in columns]
    return values, [mp.fdot(rule.weights, map(abs, column)) for column in columns]


def _add(vectors: Sequence[Vector]) -> Vector:
    return [mpmath.fsum(column) for column in zip(*vectors, strict=True)]


def _largest(differences: Vector, scales: Vector) -> Number:
    """The largest difference in units of its scale; a scale of zero is an identical zero."""
    parts = [abs(d) / s for d, s in zip(differences, scales, strict=True) if s]
    return max(parts, default=mp.zero)


def _panels(
    f: Integrand, support: Support, ends: list[Number], tol: Number, budget: Budget
) -> Integral:
    """Gauss–Legendre panels, each bisected until it agrees with its two halves."""
    done: list[tuple[Vector, Vector, Vector]] = []
    coarse = Rule([], [])
    pending = [
        (a, b, _apply(f, _panel(support, a, b, PANEL_NODES))) for a, b in itertools.pairwise(ends)
    ]
    while pending:
        scales = _add([p[2][1] for p in pending] + [d[1] for d in done])
        waiting = []
        for a, b, (whole, _) in pending:
            budget.check()
            middle = (a + b) / 2
            left = _apply(f, _panel(support, a, middle, PANEL_NODES))
            right = _apply(f, _panel(support, middle, b, PANEL_NODES))
            values = _add([left[0], right[0]])
            difference = [v - w for v, w in zip(values, whole, strict=True)]
            if _largest(difference, scales) <= tol / 10:
                done.append((values, _add([left[1], right[1]]), difference))
                rule = _panel(support, a, b, COARSE_NODES)
                coarse.nodes.extend(rule.nodes)
                coarse.weights.extend(rule.weights)
            else:
                waiting += [(a, middle, left), (middle, b, right)]
        pending = waiting
        if len(pending) > MOST_PANELS:
            where = ", ".join(mpmath.nstr(p[0], 5) for p in pending[:3])
            given = f"{len(pending)} panels do not agree with their halves, at {where}, …"
            raise CertificateError(problem("the integrand", given, "a piecewise analytic one"))
    values, absolutes = _add([d[0] for d in done]), _add([d[1] for d in done])
    error = _largest(_add([list(map(abs, d[2])) for d in done]), absolutes)
    method = f"{2 * len(done)} Gauss–Legendre panels of {PANEL_NODES} nodes"
    return Integral(values, absolutes, error, coarse, method)


def _trapezoid(
    f: Integrand, support: Support, ends: list[Number], step: Number, tol: Number, budget: Budget
) -> Integral:
    """The trapezoidal rule, its step halved until two agree."""
    low, high = ends[0], ends[-1]
    count = int(mpmath.ceil((high - low) / step))
    old, coarse = None, None
    everything = Rule([], [])
    parts: list[tuple[Vector, Vector]] = []
    for level in itertools.count():
        step = (high - low) / (count << level)
        grid = range(1, count << level, 2) if level else range(count + 1)
        for start in range(0, len(grid), 64):
            budget.check()
            mapped = [_map(support, low + i * step) for i in grid[start : start + 64]]
            block = Rule([x for x, _ in mapped], [slope for _, slope in mapped])
            parts.append(_apply(f, block))
            everything.nodes.extend(block.nodes)
            everything.weights.extend(block.weights)
        parts = [(_add([p[0] for p in parts]), _add([p[1] for p in parts]))]
        values, absolutes = ([step * v for v in part] for part in parts[0])
        if old is not None:
            error = _largest([v - w for v, w in zip(values, old, strict=True)], absolutes)
            if coarse is None and error < mpmath.mpf("1e-3"):
                coarse = Rule(everything.nodes[:], [step * w for w in everything.weights])
            if error <= tol and coarse is not None:
                method = f"trapezoidal rule of {len(everything.nodes)} nodes"
                return Integral(values, absolutes, error, coarse, method)
        old = values
    raise AssertionError("itertools.count ended")


def _sum(f: Integrand, truth: list[list[Mark]], budget: Budget) -> Integral:
    """The plain sum over the integers where some component of the truth is not negligible."""
    runs: list[tuple[int, int]] = []
    for low, high in sorted((int(marks[0][0]), int(marks[-1][0])) for marks in truth):
        if runs and low <= runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], max(high, runs[-1][1]))
        else:
            runs.append((low, high))
    everything = [n for low, high in runs for n in range(low, high + 1)]
    sums = []
    for start in range(0, len(everything), 64):
        budget.check()
        nodes = [mpmath.mpf(n) for n in everything[start : start + 64]]
        sums.append(_apply(f, Rule(nodes, [mp.one] * len(nodes))))
    values, absolutes = _add([s[0] for s in sums]), _add([s[1] for s in sums])
    stride = max(1, int(min(spacing for marks in truth for _, spacing in marks)) // 8)
    few = [mpmath.mpf(n) for low, high in runs for n in range(low, high + 1, stride)]
    coarse = Rule(few, [mpmath.mpf(stride)] * len(few))
    return Integral(values, absolutes, mp.zero, coarse, f"sum of {len(everything)} terms")


def integrate(
    f: Integrand,
    support: Support,
    truth: list[list[Mark]],
    features: list[list[Mark]],
    digits: int,
    budget: Budget,
    rule: str = "panels",
    kinks: Sequence[Number] = (),
) -> Integral:
    """∫ f over the support, each value to ``digits`` digits of ∫ |f|.

    ``truth`` and ``features`` are lists of :func:`landmarks`, of the density's components and of
    the model's; ``rule`` is ``"panels"`` or ``"trapezoid"``, which takes no ``kinks``: the x where
    f is not smooth. Raises :class:`CertificateError` if the integrand has not died out at the ends.
    """
    tol = mpmath.mpf(10) ** -digits
    everything = points_of(support)
    if everything is not None:
        whole = Rule(everything, [mp.one] * len(everything))
        values, absolutes = _apply(f, whole)
        return Integral(values, absolutes, mp.zero, whole, f"sum of {len(everything)} terms")
    if kinks and rule == "trapezoid":
        text = problem("the trapezoidal rule", "an integrand with kinks", "rule='panels'")
        raise CertificateError(text)
    low, high = min(m[0][0] for m in truth), max(m[-1][0] for m in truth)
    inner = [mark for marks in truth for mark in marks]
    extra = [mark for marks in features for mark in marks]
    if support == "integers":
        result = _sum(f, truth, budget)
        edges = Rule([high], [mp.one]) if low == 0 else Rule([low, high], [mp.one] * 2)
        scale = mp.one
    else:
        cuts = sorted({t for t in (_unmap(support, x) for x in kinks) if low < t < high})
        ends = [low]
        for a, b in itertools.pairwise([low, *cuts, high]):
            ends += _breaks(inner + extra, a, b)[1:]
        step = min(spacing for t, spacing in inner + extra if low <= t <= high)
        if rule == "trapezoid":
            result = _trapezoid(f, support, ends, step, tol, budget)
        else:
            result = _panels(f, support, ends, tol, budget)
        mapped = [_map(support, t) for t in (low, high)]
        edges = Rule([x for x, _ in mapped], [slope for _, slope in mapped])
        scale = high - low
    rows = zip(edges.weights, f(edges.nodes), strict=True)
    left = max(_largest([scale * w * v for v in row], result.absolutes) for w, row in rows)
    if left > tol:
        given = f"{mpmath.nstr(left, 3)} of the whole is left at an end"
        right = f"less than {mpmath.nstr(tol, 1)}, so a truth with lighter tails"
        raise CertificateError(problem("the integrand does not die out", given, right))
    return result
