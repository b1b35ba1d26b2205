"""Expectations under a truth: its nodes and weights, by the support of the family.

In: model points and a truth. Out: for groups of the batch, nodes with weights that the data pass
takes like a weighted sample; and the Kullback–Leibler divergence, whose summands are nonnegative.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from relrep_sym.errors import DataError, DomainError, problem
from relrep_sym.runtime import check, kernel
from relrep_sym.runtime.block import log_density
from relrep_sym.runtime.check import Array
from relrep_sym.runtime.point import Components, Form, Point
from relrep_sym.runtime.quadrature import Indices, Rule, integers, line
from relrep_sym.runtime.search import bregman, searched, searched_divergence

__all__ = ["Nodes", "Truth", "density_at", "divergence", "nodes_of_both", "weighted_nodes"]


_FARTHEST = 1e11
"""Scales between zero and a component at which nodes still tell its shape to eleven digits."""

_STEEPEST = 1e150
"""Coefficients of log-densities whose products do not overflow."""


_DEPTH = 740.0
"""How far below its largest a mass is still summed: to where doubles end, because the part of a
component that is far from the truth lives in the truth's tail."""
_OWN_DEPTH = 46.0
"""The same where the truth is the model itself: every component has its mass within."""


class Nodes(NamedTuple):
    """A truth given by points and weights, (N,) each: a weighted sample, or a rule of one's own."""

    nodes: Array
    weights: Array


class Truth(NamedTuple):
    """A truth given as a mixture, its component arrays (K′, 1), or one for each of a batch (K′,
    B).
    """

    point: Point

    @property
    def single(self) -> bool:
        """Whether one truth stands for the whole batch."""
        return self.point.heights.shape[1] == 1

    @staticmethod
    def of_components(components: Components, form: Form) -> Truth:
        """The truth that is the model itself."""
        return Truth(Point(form._replace(components=len(components.weights)), components))

    @staticmethod
    def of(value: object, form: Form) -> Truth | Nodes:
        """What a user passed as ``truth``: (weights, parameters …), a Nodes pair, or a declaration.

        A pair is (nodes, weights), unless the family has a single parameter: then it is (weights,
        parameter), and nodes are passed as :class:`Nodes`.
        """
        wanted = "(weights, " + ", ".join(form.names) + "), or (nodes, weights)"
        if hasattr(value, "arrays"):
            declared = tuple(value.arrays())
            if len(declared) != 1 + len(form.names):  # two would pass for nodes and weights
                given = f"{len(declared)} arrays"
                raise DataError(problem("the truth is of another family", given, wanted))
            value = declared
        if not isinstance(value, tuple | list):
            raise DataError(problem("this is no truth", type(value).__name__, wanted))
        # by its fields, not its class: a file that stands alone has a class Nodes of its own
        named = getattr(value, "_fields", None) == Nodes._fields
        if named or (len(value) == 2 and len(form.names) != 1):
            points = check.sample(value[0], form.support)
            weights = check.sample_weights(value[1], points.size)
            return Nodes(
                points, np.full(points.size, 1 / points.size) if weights is None else weights
            )
        if len(value) != 1 + len(form.names):
            raise DataError(problem("this is no truth", f"{len(value)} arrays", wanted))
        names = ("weights", *form.names)
        rows = [
            np.atleast_1d(check.numbers(v, f"truth {n}")) for n, v in zip(names, value, strict=True)
        ]
        if any(r.shape != rows[0].shape or r.ndim != 1 for r in rows) or not rows[0].size:
            shapes = ", ".join(f"{n} {r.shape}" for n, r in zip(names, rows, strict=True))
            raise DataError(problem("the truth's arrays differ in shape", shapes, "(K′,) each"))
        weights = rows[0]
        if (weights < 0).any() or abs(weights.sum() - 1) > 1e-9:
            right = "weights >= 0 that sum to one"
            raise DomainError(problem("the truth's weights are no weights", f"{weights}", right))
        for name, positive, row in zip(form.names, form.positive, rows[1:], strict=True):
            if positive and not (row > 0).all():
                raise DomainError(problem(f"truth {name} is not positive", f"{row}", f"{name} > 0"))
        check.below(form.names, form.upper, rows[1:], "truth ")
        kept = weights > 0
        columns = tuple(r[kept, None] for r in rows[1:])
        shares = (weights[kept] / weights.sum())[:, None]
        found = Components(shares, columns, tuple(c[:-1] - c[-1] for c in columns))
        return Truth.of_components(found, form)


def weighted_nodes(
    point: Point, truth: Truth, *, own: bool = False
) -> Iterator[tuple[Indices, Array, Array]]:
    """(members of the batch, nodes, weights) with E_q[g] the sum over all that serve a member.

    The truth is one for the batch or has the batch's own size. Nodes are (n,), shared by the
    members, or (members, n); weights are (members, n). ``own`` says that the truth is the model.
    """
    for rule in _rules(point, truth, own):
        nodes = np.ascontiguousarray(rule.nodes.T)
        density = truth.point if truth.single else truth.point.take(rule.members)
        weights = rule.steps.T * _density(density, nodes, rule.component)
        shape = (len(rule.members), nodes.shape[-1])
        yield rule.members, nodes, np.broadcast_to(weights, shape)


def _rules(point: Point, truth: Truth, own: bool) -> Iterable[Rule]:
    form, q = point.form, truth.point.components
    batch = np.arange(point.heights.shape[1])
    if form.support == "integers":
        return _windows(point, truth.point, _OWN_DEPTH if own else _DEPTH)
    if not isinstance(form.support, str) and form.support[0] != "interval":
        return (_every(form.support, batch),)
    if form.support != "line" or form.quadratic is None:
        return searched(point, truth.point)
    centres, scales = _place(form, q)
    heaviest = np.argmax(q.weights, axis=0)
    origin = np.take_along_axis(centres, heaviest[None], axis=0)[0]
    if truth.single:
        centres, scales, weights = centres[:, 0], scales[:, 0], q.weights[:, 0]
        return tuple(line(_log_polynomials(point, origin), centres, scales, weights, origin=origin))
    return tuple(line(_log_polynomials(point, origin), centres, scales, q.weights, origin=origin))


def _every(support: tuple[Any, ...], members: Indices) -> Rule:
    """Every point of a finite support."""
    if support[0] == "finite":
        nodes = np.asarray(support[1], dtype=float)
    else:
        nodes = np.arange(support[1], support[2] + 1.0)
    return Rule(nodes, np.ones_like(nodes), members, None, "sum", 0.0)


def _place(form: Form, components: Components) -> tuple[Array, Array]:
    """Centres and scales of normal components: the family's location and scale where it has both.

    In other parameters, such as a precision or a mean m³, they are those of the quadratic.
    """
    if form.location is not None and form.scale is not None:
        centres = components.parameters[form.location]
        scales = components.parameters[form.scale]
    else:
        assert form.quadratic is not None  # the callers take this way for quadratics alone
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            _, slope, curvature = np.broadcast_arrays(
                *form.quadratic(*components.parameters), components.weights
            )[:3]
            centres, scales = -0.5 * slope / curvature, np.sqrt(-0.5 / curvature)
    if not (np.abs(centres) <= _FARTHEST * scales).all():  # nodes would be rounded to nothing
        b = int(np.argmax((np.abs(centres) / scales).max(axis=0)))
        name = "centres" if form.location is None else form.names[form.location]
        given = f"{name} = {centres[:, b]}, scales {scales[:, b]}"
        right = f"an origin within {_FARTHEST:.0e} scales of every component"
        raise DomainError(problem("a component is too far away for quadrature", given, right))
    return centres, scales


def _log_polynomials(point: Point, origin: Array) -> Array:
    """log π_k + log f_k as quadratics in x − origin, (3, K, B)."""
    form, c = point.form, point.components
    moved = tuple(p - origin if i == form.location else p for i, p in enumerate(c.parameters))
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        if form.location is None:  # a quadratic that integrates to one is a normal's
            centres, scales = _place(form, c)
            away = (centres - origin) / scales
            half = -0.5 * (math.log(2.0 * math.pi) + away * away) - np.log(scales)
            out = np.array([half, away / scales, -0.5 / scales**2])
        else:
            assert form.quadratic is not None  # as above
            out = np.array(np.broadcast_arrays(*form.quadratic(*moved), c.weights)[:3])
        out[0] += np.maximum(np.log(c.weights), -1e4)
    if not (np.abs(out) < _STEEPEST).all():
        given = ", ".join(f"{n} = {p.ravel()[:4]}" for n, p in zip(form.names, moved, strict=True))
        right = "scales and distances within 1e-75 and 1e75"
        raise DomainError(problem("a component is too extreme for quadrature", given, right))
    return out


def _windows(point: Point, truth: Point, depth: float) -> tuple[Rule, ...]:
    """Every integer on which a component of the truth has mass above rounding."""
    batch = point.heights.shape[1]
    if truth.heights.shape[1] == 1:
        return integers(_log_masses(truth), np.arange(batch), depth)
    each = [
        integers(_log_masses(truth.take(np.array([b]))), np.array([b]), depth) for b in range(batch)
    ]
    return tuple(rule for rules in each for rule in rules)


def _log_masses(single: Point) -> list[Callable[[Array], Array]]:
    """The log mass function of each component of a single mixture."""

    def log_mass(k: int) -> Callable[[Array], Array]:
        alone = _alone(single, k)
        return lambda x: _log_density(alone, np.atleast_1d(np.asarray(x, dtype=float)))

    return [log_mass(k) for k in range(len(single.heights))]


def _alone(truth: Point, k: int) -> Point:
    """One component of a truth, as a mixture of one."""
    c = truth.components
    one = slice(k, k + 1)
    parameters = tuple(p[one] for p in c.parameters)
    empty = tuple(p[:0] for p in parameters)
    return Point(
        truth.form._replace(components=1),
        Components(np.ones_like(c.weights[one]), parameters, empty),
    )


def _log_density(point: Point, x: Array) -> Array:
    """log p: of a single mixture at points of any shape, or (B, n) of a batch at (n,) or (B, n)."""
    batch = point.heights.shape[1]
    flat = np.ascontiguousarray(x.reshape(-1)) if batch == 1 else x
    out = np.empty((batch, flat.shape[-1]))

    def use(b, i, part, _, block, work):  # type: ignore[no-untyped-def]
        out[b, i] = log_density(part, block, work.spare)

    kernel.over_blocks(point, flat, None, use)
    if point.form.common is not None:
        out += point.form.common(flat)
    return out.reshape(x.shape) if batch == 1 else out


def _density(truth: Point, x: Array, component: int | None) -> Array:
    """π_j f_j(x) of one component, or q(x) of all."""
    if component is None:
        return np.exp(_log_density(truth, x))
    weight = truth.components.weights[component]
    return np.exp(_log_density(_alone(truth, component), x)) * (
        weight[0] if len(weight) == 1 else weight[:, None]
    )


def density_at(truth: Truth, x: Array) -> Array:
    """q(x): of a single truth at points of any shape, of a batch at (B, n)."""
    return _density(truth.point, x, None)


def divergence(point: Point, truth: Truth) -> Array:
    """KL(q ‖ p) for each member of the batch, (B,).

    The integral is of q log(q/p) − q + p, which is nowhere negative and keeps its digits where p
    is close to q; its nodes cover both.
    """
    batch = point.heights.shape[1]
    out = np.empty(batch)
    for b in range(batch):
        alone = point.take(slice(b, b + 1))
        total = 0.0
        for rule in _divergence_rules(alone, truth):
            nodes = np.ascontiguousarray(rule.nodes.reshape(-1))
            steps = rule.steps.reshape(-1)
            log_q, log_p = _log_density(truth.point, nodes), _log_density(alone, nodes)
            total += float(steps @ bregman(log_q, log_p))
        out[b] = total
    return out


def _divergence_rules(alone: Point, truth: Truth) -> tuple[Rule, ...]:
    form = alone.form
    if form.support == "integers":
        return integers(_log_masses(truth.point) + _log_masses(alone), np.arange(1))
    if not isinstance(form.support, str) and form.support[0] != "interval":
        return (_every(form.support, np.arange(1)),)
    if form.support != "line" or form.quadratic is None:
        return tuple(searched_divergence(alone, truth.point))
    centres, scales = _place(form, truth.point.components)
    more_centres, more_scales = _place(form, alone.components)
    origin = centres[np.argmax(truth.point.components.weights)]
    rules = line(
        (_log_polynomials(alone, origin), _log_polynomials(truth.point, origin)),
        np.concatenate([centres, more_centres])[:, 0],
        np.concatenate([scales, more_scales])[:, 0],
        origin=origin,
        separate=False,
    )
    return tuple(rules)


def nodes_of_both(alone: Point, truth: Truth, density: Truth) -> Nodes:
    """Nodes for integrands made of both log-densities, weighted by a third: E[g] = weights @ g."""
    parts = []
    for rule in _divergence_rules(alone, truth):
        nodes = np.ascontiguousarray(rule.nodes.reshape(-1))
        weights = rule.steps.reshape(-1) * np.exp(_log_density(density.point, nodes))
        parts.append((nodes, weights))
    found, masses = zip(*parts, strict=True)
    return Nodes(np.concatenate(found), np.concatenate(masses))
