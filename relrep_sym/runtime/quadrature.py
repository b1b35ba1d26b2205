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
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from relrep_sym.errors import DomainError, problem
from relrep_sym.runtime.panels import PANEL_ERROR, RISE, panel_edges, panel_nodes
from relrep_sym.runtime.zeros import landmarks, nearest_zero

__all__ = ["Rule", "integers", "line", "reach", "window"]

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

_POLES = 128.0  # error over exp(growth - 2 pi d / h): the double poles of r_j r_k cost 2 pi d / h
_DIGITS = math.log(0.5e16 * _POLES)
_SQUARE = 92.0  # reach**2 at which z**4 exp(-z**2 / 2) has lost all but 1e-17 of its integral
_FARTHEST = 38.0  # beyond, exp(-z**2 / 2) is below the smallest double
_BLOCK = 256  # members whose panels are laid at once
_SURVEY = 4096  # members that are surveyed at once, in cache
_PASS = 10000.0  # nodes times members that cost as much as a pass of its own
_LONGEST = 1e7  # integers in one window


class Rule(NamedTuple):
    """Nodes and steps that serve some members of a batch.

    Attributes:
        nodes: (n,), shared by the members, or (n, m), a column for each.
        steps: as `nodes`; zero where a column is padded.
        members: (m,) indices into the batch.
        component: the truth's component j, whose pi_j f_j(x) is then the weight, or None: the
            weight is the whole density q(x).
        method: "trapezoid", "panels" or "integers".
        bound: of the error relative to E|g|, largest over the members, short of rounding.
    """

    nodes: Array
    steps: Array
    members: Indices
    component: int | None
    method: str
    bound: float


@np.errstate(all="ignore")  # an overflow loses its member, and no other
def line(
    polynomials: Array | tuple[Array, ...],
    centres: Array,
    scales: Array,
    weights: Array | None = None,
    *,
    origin: Array | float = 0.0,
    separate: bool = True,
    limit: float = 2000.0,
) -> tuple[Rule, ...]:
    """Rules for expectations over the real line.

    A member of the batch is served by one rule for all of q, or by one rule for each component.
    One for which there is no rule (a number overflowed, or a zero lies as near the line as
    doubles lie together) is served a node that is not a number, so that it alone is lost.

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
    >>> rule.method, rule.nodes.shape, float(rule.steps[0]), rule.bound < 2e-16
    ('trapezoid', (53,), 0.3828125, True)
    >>> density = np.exp(-0.5 * rule.nodes**2) / np.sqrt(2.0 * np.pi)
    >>> error = rule.steps * density @ rule.nodes**4 - 3.0
    >>> bool(abs(error) < 2e-15)
    True
    """
    models = polynomials if isinstance(polynomials, tuple) else (polynomials,)
    batch = max(model.shape[2] for model in models)
    x0 = np.asarray(origin, dtype=float).reshape(1, -1)
    m, s = _columns(centres), _columns(scales)
    pi = None if weights is None else _columns(weights)
    if batch <= _SURVEY:
        step, half, growth, low, high = _survey(models, m, s, pi, x0)
    else:
        found = [
            _survey(
                tuple(_members(model, block) for model in models),
                _members(m, block),
                _members(s, block),
                None if pi is None else _members(pi, block),
                _members(x0, block),
            )
            for block in (slice(i, i + _SURVEY) for i in range(0, batch, _SURVEY))
        ]
        joined = (np.concatenate(v, axis=1) for v in zip(*found, strict=True))
        step, half, growth, low, high = joined
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
        return tuple(rules)
    chosen = parts.nonzero()[0]
    for j in range(len(step) if len(chosen) else 0):
        ends = low[j, chosen], high[j, chosen]
        rules += _trapezoids(step[j, chosen], *ends, half[j : j + 1], growth[j : j + 1], chosen, j)
    rest = ~(whole | parts)
    lost = (rest & ~np.isfinite(together)).nonzero()[0]
    if len(lost):
        rest[lost] = False
        rules.append(Rule(np.full(1, np.nan), np.full(1, np.nan), lost, None, "none", np.nan))
    chosen = rest.nonzero()[0]
    for i in range(0, len(chosen), _BLOCK):
        rules += _panels(models, s, low, high, x0, chosen[i : i + _BLOCK])
    return tuple(rules)


def _columns(values: Array) -> Array:
    return values[:, None] if values.ndim == 1 else values


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

    >>> means = np.array([0.0, 20.0])
    >>> apart = np.array([-0.5 * means**2, means, [-0.5, -0.5]])[:, :, None]
    >>> one = np.ones((1, 1))
    >>> reach(apart, one, 0 * one, one).round(1)
    array([13.9])
    """
    c0, c1, c2 = coefficients
    m, s, log_pi = (centres - origin)[:, None], scales[:, None], np.log(weights)[:, None]
    value = c0 + m * (c1 + m * c2)  # (J, K, B)
    best = (2.0 * (value - value.max(axis=1, keepdims=True)) + log_pi).max(axis=0)  # (K, B)
    lowest = best.min(axis=0)
    far = (lowest < -16.0).nonzero()[0]  # above, the range is at most a seventh too long
    if len(far):
        with np.errstate(all="ignore"):  # two components that do not meet
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
    to a sixteenth of their distance; a member alone keeps its own, to six bits. Rules of few
    members are made one.
    """
    alone = len(members) == 1
    step = _few_bits(step, 6 if alone else 3)
    half, growth = _members(half, members), _members(growth, members)
    error = _POLES * np.exp((growth - 2.0 * np.pi * half / step).max(axis=0))
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
    starts = starts[_apart(step[starts], low[starts], high[starts], starts, len(order))]
    finest, worst = np.minimum.reduceat(step, starts), np.maximum.reduceat(error, starts)
    low, high = np.minimum.reduceat(low, starts), np.maximum.reduceat(high, starts)
    ends = [*starts[1:], len(order)]
    for h, a, b, i, k, bound in zip(finest, low, high, starts, ends, worst, strict=True):
        yield _grid(h, a, b, members[order[i:k]], component, bound)


def _apart(step: Array, low: Array, high: Array, starts: Indices, total: int) -> list[int]:
    """Which of the rules, in order of their steps, to begin a new one with.

    A rule serves the next members too, by its finer step and over all ends, while the nodes that
    this adds cost less than another pass.
    """
    sizes = np.diff(starts, append=total).tolist()
    rules = list(zip(step.tolist(), low.tolist(), high.tolist(), sizes, strict=True))
    kept, (h, a, b, m) = [0], rules[0]
    for n, (own, start, end, more) in enumerate(rules[1:], 1):
        fine, least, most = min(h, own), min(a, start), max(b, end)
        apart = (b - a) * m / h + (end - start) * more / own
        if (most - least) * (m + more) / fine - apart <= _PASS:
            h, a, b, m = fine, least, most, m + more
        else:
            kept.append(n)
            h, a, b, m = own, start, end, more
    return kept


def _few_bits(values: Array, bits: int) -> Array:
    """The next number below with a mantissa of `bits`."""
    fraction, exponent = np.frexp(values)
    return np.ldexp(np.floor(np.ldexp(fraction, bits)), exponent - bits)


def _grid(
    h: float, low: float, high: float, members: Indices, component: int | None, bound: float
) -> Rule:
    index = np.arange(math.floor(low / h), math.ceil(high / h) + 1.0)
    return Rule(h * index, np.full(len(index), h), members, component, "trapezoid", float(bound))


def _panels(
    models: Sequence[Array], s: Array, low: Array, high: Array, x0: Array, members: Indices
) -> Iterator[Rule]:
    """Gauss-Legendre panels over the union of the ranges, for each member its own.

    Members with a similar number of panels make one rule, in which the shorter columns are padded.
    """
    s, low, high, x0 = (_members(v, members) for v in (s, low, high, x0))
    ceiling = np.broadcast_to(RISE * s, low.shape)
    start, end, above = low.min(axis=0), high.max(axis=0), ceiling.max(axis=0)
    found = [landmarks(_members(model, members), float(s.max()), RISE) for model in models]
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
    edges = panel_edges(start, end, left, right, height)
    count = np.maximum((edges[1:] > edges[:-1]).sum(axis=0), 1)
    alike = -(-count // 8)
    for number in np.unique(alike):
        chosen = (alike == number).nonzero()[0]
        nodes, steps = panel_nodes(edges[: count[chosen].max() + 1, chosen])
        yield Rule(nodes, steps, members[chosen], None, "panels", PANEL_ERROR)


def integers(
    log_masses: Sequence[Callable[[Array], Array]], members: Indices, depth: float = 46.0
) -> tuple[Rule, ...]:
    """The rule on {0, 1, 2, …}, one for all members: every integer that some window holds.

    `log_masses` are unimodal: the components of the truth, and for a divergence of the model too.
    `depth`: how far below its maximum a component is left out. 46 keeps z**4 to 1e-17 in
    Gaussian and Poisson tails; a geometric tail keeps 1e-15.

    >>> poisson = lambda x: x * np.log(3.0) - 3.0 - np.array([math.lgamma(t + 1.0) for t in x])
    >>> (rule,) = integers([poisson], np.arange(1))
    >>> rule.nodes[0], rule.nodes[-1], rule.bound < 1e-17
    (np.float64(0.0), np.float64(31.0), True)
    >>> bool(abs(np.exp(poisson(rule.nodes)) @ rule.nodes - 3.0) < 1e-15)
    True
    """
    windows = [window(log_mass, depth) for log_mass in log_masses]
    # a rare count has next to no mass, and a score to match: a dozen are summed in any case
    spans = [np.arange(low, max(high, low + 12.0) + 1.0) for low, high in windows]
    nodes = np.unique(np.concatenate(spans))
    bound = max(
        _left_out(log_mass, *ends) for log_mass, ends in zip(log_masses, windows, strict=True)
    )
    return (Rule(nodes, np.ones_like(nodes), members, None, "integers", bound),)


_NARROWINGS = 60
"""An interval of integers below 2**41 is narrowed by at least a half each time."""


def window(log_mass: Callable[[Array], Array], depth: float) -> tuple[float, float]:
    """First and last integer at which a unimodal log mass is within `depth` of its maximum.

    >>> window(lambda x: -0.5 * (x - 1000.0) ** 2, 32.0)
    (992.0, 1008.0)
    """
    powers = np.concatenate([[0.0], np.ldexp(1.0, np.arange(41))])
    x = powers
    for _ in range(_NARROWINGS):
        values = log_mass(x)
        i = int(values.argmax())
        mode, low, high = x[i], x[max(i - 1, 0)], x[min(i + 1, len(x) - 1)]
        if not np.isfinite(values[i]):
            right = "components with mass on the integers below 2**40"
            raise DomainError(problem("a component cannot be summed over", "no mass", right))
        if high - low <= 2.0:
            break
        x = _between(low, high)
    least = values[i] - depth
    ends = [_last(log_mass, x, least) for x in (np.maximum(mode - powers, 0.0), mode + powers)]
    if ends[1] - ends[0] > _LONGEST:
        raise DomainError(
            problem(
                "a component is too wide to be summed over",
                f"mass from {ends[0]:.0f} to {ends[1]:.0f}",
                f"at most {_LONGEST:.0f} integers",
            )
        )
    return ends[0], ends[1]


def _last(log_mass: Callable[[Array], Array], x: Array, least: float) -> float:
    """The last integer, from x[0] outward, at which the log mass is at least that."""
    for _ in range(_NARROWINGS):
        inside = log_mass(x) >= least
        i = int(inside.argmin())  # the first outside
        if inside[i]:
            return float(x[-1])
        if i == 0:
            break
        if abs(x[i] - x[i - 1]) == 1.0:
            return float(x[i - 1])
        x = _between(x[i - 1], x[i])
    right = "a log mass that falls on both sides of its mode"
    raise DomainError(problem("a component cannot be summed over", "no end of its mass", right))


def _between(first: float, last: float) -> Array:
    """65 integers, fewer where there are no more, from `first` to `last` in this order."""
    x = np.round(np.linspace(first, last, 65))
    return x[np.concatenate([[True], np.diff(x) != 0.0])]


def _left_out(log_mass: Callable[[Array], Array], low: float, high: float) -> float:
    """Mass outside [low, high] over the mass inside: tails fall at least geometrically."""
    values = log_mass(np.arange(low, high + 1.0))
    top, out = values.max(), 0.0
    for first, step in ((low - 1.0, -1.0), (high + 1.0, 1.0)):
        tail = np.array([first, first + step])
        mass = np.exp(log_mass(tail[tail >= 0.0]) - top) if first >= 0.0 else np.zeros(0)
        if len(mass) == 2 and mass[0] > mass[1]:
            out += mass[0] / (1.0 - mass[1] / mass[0])
        else:
            out += mass.sum()
    return float(out / np.exp(values - top).sum())
