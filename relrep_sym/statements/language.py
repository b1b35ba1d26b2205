"""The small language between SymPy and a backend: expressions, assignments, stages.

In (from emit/lowering): assignments over names. Out (to a printer): the same, after the passes of
:mod:`relrep_sym.statements.passes`. No SymPy here: a backend that prints these five node kinds
prints everything the engine derives.

Stages say how often a value is needed: ``FIT`` once for a point of the chart (or for each of a
batch of points), ``SAMPLE`` for each data point or quadrature node.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from fractions import Fraction

__all__ = [
    "FUNCTIONS",
    "SPECIAL",
    "Assign",
    "Item",
    "Node",
    "Num",
    "Op",
    "Stage",
    "Var",
    "names",
    "stage",
]


class Stage(IntEnum):
    """How often a value is computed; a value's stage is the highest of what it reads."""

    FIT = 0
    SAMPLE = 1


@dataclass(frozen=True, slots=True)
class Num:
    """A number: exact, or a double for an irrational constant."""

    value: Fraction | float


@dataclass(frozen=True, slots=True)
class Var:
    """A name: an input or the target of an earlier assignment."""

    name: str


@dataclass(frozen=True, slots=True)
class Item:
    """Row ``index`` of the array ``name``: what an input such as ``mu[2]`` is."""

    name: str
    index: int


@dataclass(frozen=True, slots=True)
class Op:
    """``add`` and ``mul`` of two or more, ``sub``, ``div``, ``neg``, ``square``, or a function."""

    op: str
    args: tuple[Node, ...]


Node = Num | Var | Item | Op

SPECIAL: Mapping[str, str] = {
    **dict.fromkeys(
        "log_ratio log_gamma_ratio log_gamma digamma digamma_difference trigamma "
        "trigamma_difference gamma stirling_remainder".split(),
        "special",
    ),
    **dict.fromkeys(
        "erf erfc erfcx log_erfc log_erfcx erfc_hazard erfc_excess erfc_bend".split(),
        "error_function",
    ),
}
"""Elementwise functions that an array library lacks, each with the runtime's module it is in."""

FUNCTIONS = frozenset(SPECIAL) | frozenset(
    "exp log expm1 log1p sqrt abs sign sin cos tan sinh cosh tanh arcsinh arctan power "
    "logaddexp where greater".split()
)
"""Elementwise functions that an :class:`Op` may name beside the arithmetic."""


@dataclass(frozen=True, slots=True)
class Assign:
    """``target = value``."""

    target: str
    value: Node


def names(node: Node) -> Iterator[str]:
    """Each name that ``node`` reads, in order, repeated as often as it is read.

    >>> list(names(Op("sub", (Var("x"), Op("square", (Var("x"),))))))
    ['x', 'x']
    """
    if isinstance(node, Var | Item):
        yield node.name
    elif isinstance(node, Op):
        for a in node.args:
            yield from names(a)


def stage(node: Node, stages: Mapping[str, Stage]) -> Stage:
    """The stage of a value whose inputs have the given stages (``FIT`` where none is given)."""
    return max((stages.get(n, Stage.FIT) for n in names(node)), default=Stage.FIT)
