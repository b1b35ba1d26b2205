"""The named charts of the weights: softmax, stick-breaking, and weights with a clearance.

In: a model, or a chart to compose with. Out: a :class:`~.chart.Chart` that knows every weight, the
last one too, to its digits.
"""

from __future__ import annotations

from collections.abc import Sequence

import sympy as sp

from relrep_sym.declare.chart import (
    Chart,
    Coordinate,
    Given,
    Local,
    Slot,
    model_of,
    slots,
)
from relrep_sym.declare.charts import clearance_of, untouched
from relrep_sym.declare.compose import declared
from relrep_sym.declare.domains import domain
from relrep_sym.declare.functions import LogTotal
from relrep_sym.declare.model import Mixture
from relrep_sym.declare.symbols import Intermediate, Parameter
from relrep_sym.errors import DeclarationError, problem

__all__ = ["cleared", "softmax", "stick_breaking"]


def _weights(on: Mixture | Chart, purpose: str) -> tuple[Slot, ...]:
    """The slots of the free weights but the last, which the others leave."""
    found = tuple(s for s in slots(on) if s.role == "weight")
    free = model_of(on).free_weights
    if not found or [s.number for s in found] != [k + 1 for k in free[:-1]]:
        raise DeclarationError(
            problem(
                f"{purpose} needs free weights",
                model_of(on).describe() if isinstance(on, Mixture) else ", ".join(on.names),
                'weights="free", or free in two components or more',
            )
        )
    return found


def _room(on: Mixture | Chart, clearance: object) -> tuple[sp.Expr, sp.Expr, tuple[Given, ...]]:
    """(what the free weights share above their clearance, the clearance, its constants)."""
    model = model_of(on)
    fixed = () if isinstance(model.weights, str) else model.weights
    whole = 1 - sp.Add(*(w for w in fixed if w is not None))
    count = len(model.free_weights)
    room, constants = clearance_of(clearance, whole / count)
    return whole - count * room, room, constants


def _weight_chart(
    on: Mixture | Chart,
    moved: Sequence[Slot],
    made: Sequence[Coordinate],
    program: Sequence[tuple[Parameter, sp.Expr]],
    last: Parameter,
    title: str,
    inverse: Sequence[tuple[sp.Symbol, sp.Expr]],
    constants: tuple[Given, ...],
) -> Chart:
    """The chart that maps the weights so, and leaves the rest as it is."""
    model = model_of(on)
    rest = untouched(on, moved)
    own = dict(zip([s.name for s in moved], made, strict=True))
    coordinates = [own[s.name] if s.name in own else rest[s.name][0] for s in slots(on)]
    others = [(s.symbol, rest[s.name][1]) for s in slots(on) if s.name in rest]
    free = model.free_weights
    names = {k: s.symbol for k, s in zip(free, moved, strict=False)} | {free[-1]: last}
    weights = tuple(names.get(k, w) for k, w in enumerate(model.weight_expressions))
    local = Local(
        tuple(coordinates),
        (*program, *others),
        title,
        tuple(inverse),
        constants,
        weights,
    )
    return declared(on, local)


def softmax(model: Mixture | Chart, *, clearance: object = 0) -> Chart:
    """Weights as a softmax: π_k = exp(α_k)/(1 + Σ_j exp(α_j)), α_K = 0; α_k real.

    With a ``clearance`` c (a number, or a constant such as ``"lam"``) no weight is below it:
    π_k = c + (1 − K c) softmax_k. The last weight keeps its digits however small it is.

    Raises DeclarationError where fewer than two weights are free, and for a clearance that leaves
    them no room.

    >>> from relrep_sym.declare.model import mixture
    >>> softmax(mixture("poisson", components=3)).names
    ('alpha_1', 'alpha_2', 'rate_1', 'rate_2', 'rate_3')
    """
    moved = _weights(model, "a softmax chart")
    share, room, constants = _room(model, clearance)
    made = [Coordinate(f"alpha_{s.number}", domain("real")) for s in moved]
    total = Intermediate("log_Z")
    last = Intermediate(f"pi_{model_of(model).free_weights[-1] + 1}")
    program: list[tuple[Parameter, sp.Expr]] = [(total, LogTotal(*(c.symbol for c in made)))]
    program += [
        (s.symbol, room + share * sp.exp(c.symbol - total))
        for s, c in zip(moved, made, strict=True)
    ]
    program.append((last, room + share * sp.exp(-total)))
    free = len(moved) + 1
    left = share + free * room - sp.Add(*(s.symbol for s in moved))
    inverse: list[tuple[sp.Symbol, sp.Expr]] = [(last, left)]
    inverse += [
        (c.symbol, sp.log(s.symbol - room) - sp.log(last - room))
        for s, c in zip(moved, made, strict=True)
    ]
    title = "softmax chart on the weights" + (f", clearance {room}" if room else "")
    return _weight_chart(model, moved, made, program, last, title, inverse, constants)


def stick_breaking(model: Mixture | Chart, *, clearance: object = 0) -> Chart:
    """Weights by breaking a stick: π_k = v_k (1 − v_1) ⋯ (1 − v_{k−1}), the last what is left.

    With a ``clearance`` c no weight is below it: π_k = c + (1 − K c) times that. The fractions
    ``v_k`` are in [0, 1]. Raises as :func:`softmax` does.

    >>> from relrep_sym.declare.model import mixture
    >>> c = stick_breaking(mixture("poisson", components=3))
    >>> [str(e) for e in list(c.unrolled.values())[:2]]
    ['v_1', 'v_2*(1 - v_1)']
    """
    moved = _weights(model, "a stick-breaking chart")
    share, room, constants = _room(model, clearance)
    made = [Coordinate(f"v_{s.number}", domain("unit")) for s in moved]
    program: list[tuple[Parameter, sp.Expr]] = []
    left: sp.Expr = share
    for n, (s, c) in enumerate(zip(moved, made, strict=True), start=1):
        program.append((s.symbol, room + c.symbol * left))
        rest = Intermediate(f"rest_{n}")
        program.append((rest, left * (1 - c.symbol)))
        left = rest
    last = Intermediate(f"pi_{model_of(model).free_weights[-1] + 1}")
    program.append((last, room + left))
    if not room:  # what is left is the last weight itself
        program[-2:] = [(last, program[-2][1])]
    title = "stick_breaking chart on the weights" + (f", clearance {room}" if room else "")
    return _weight_chart(model, moved, made, program, last, title, (), constants)


def cleared(model: Mixture | Chart, *, clearance: object) -> Chart:
    """Weights with a clearance: π_k = ω_k + clearance for all but the last, which is the rest.

    A component then keeps the weight ``clearance`` at ω_k = 0 and is not eliminated. Coordinates
    are ``omega_k`` in [0, 1]. Source: Esser and Nielsen 2022, section 2, where the weight enters as
    θ_1 + λ.

    >>> from relrep_sym.declare.model import mixture
    >>> c = cleared(mixture("normal", components=2, scales=1), clearance="lam")
    >>> c.program[0], [g.name for g in c.constants]
    ((pi_1, lam + omega_1), ['lam'])
    """
    moved = _weights(model, "a chart of cleared weights")
    _, room, constants = _room(model, clearance)
    rest = untouched(model, moved)
    coordinates, program = [], []
    for s in slots(model):
        if s.name in rest:
            coordinates.append(rest[s.name][0])
            program.append((s.symbol, rest[s.name][1]))
        else:
            c = Coordinate(f"omega_{s.number}", domain("unit"))
            coordinates.append(c)
            program.append((s.symbol, c.symbol + room))
    title = f"cleared chart on the weights, clearance {room}"
    return declared(model, Local(tuple(coordinates), tuple(program), title, constants=constants))
