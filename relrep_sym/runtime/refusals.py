"""What a fit refuses before it begins, and what it warns of.

In: a solver, a sample and what a user passed. Out: an error that says what would be right, or a
:class:`~relrep_sym.errors.FitWarning`.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from relrep_sym.errors import DataError, DomainError, FitWarning, problem
from relrep_sym.runtime import check
from relrep_sym.runtime.check import Array, Coords, Entries
from relrep_sym.runtime.point import Point

if TYPE_CHECKING:
    from relrep_sym.runtime.learning import Learning

__all__ = ["insist_spread", "learned_of", "starting", "warn_of_few"]

_SOME = 4096
"""Points that are looked at first: in most samples there are enough distinct ones among them."""


def learned_of(solver: Learning, role: int | None) -> set[int]:
    """The components whose parameter of this role is learned, tied ones included."""
    if role is None:
        return set()
    form, names = solver.form, solver.chart.parameters
    name = form.names[role]
    every = range(form.components)
    return {k for k in every if name in names or f"{name}_{k + 1}" in names}


def insist_spread(solver: Learning, x: Array, weights: Array | None) -> None:
    """Refuse a sample of equal points where a component can shrink onto it.

    It can where a location and a scale are learned, and where two parameters are of a family with
    two statistics on a continuum: the mean statistic of equal points then is on the edge of all
    means (Barndorff-Nielsen 1978, theorem 9.13), as of a gamma density whose shape grows. A chart
    with fewer coordinates than θ may forbid that: there the steps say what happens.
    """
    seen = x if weights is None else x[weights > 0]
    if seen.min() < seen.max() or len(solver.chart.coordinates) < len(solver.chart.parameters):
        return
    form = solver.form
    learned = [learned_of(solver, i) for i in range(len(form.names))]
    if form.location is not None and form.scale is not None:
        shrinks, name = learned[form.location] & learned[form.scale], form.names[form.scale]
        right = f"points that differ, a model with fixed {name}, or a lower bound floor="
    elif form.second is not None and form.basis > 1 and _continuous(form.support):
        shrinks = {k for k in range(form.components) if sum(k in of for of in learned) > 1}
        name = " and ".join(form.names)
        right = "points that differ, or a model in which fewer parameters are learned"
    else:
        return
    if shrinks:
        raise DataError(
            problem(
                "all points of the sample are equal, where the likelihood has no maximum in "
                f"{name}",
                f"x = {seen[0]}",
                right,
            )
        )


def _continuous(support: check.Support) -> bool:
    kind = support if isinstance(support, str) else support[0]
    return kind in ("line", "half-line", "interval")


def warn_of_few(solver: Learning, x: Array, weights: Array | None, stacklevel: int) -> None:
    """A FitWarning where there are fewer distinct points than coordinates to learn."""
    names = solver.chart.coordinates
    seen = x if weights is None else x[weights > 0]
    distinct = len(np.unique(seen[:_SOME]))
    if distinct < len(names) and seen.size > _SOME:
        distinct = len(np.unique(seen))
    if distinct < len(names):
        what = "the sample has fewer distinct points than there are coordinates to learn"
        given = f"{distinct} distinct points, {len(names)} coordinates"
        right = "a larger sample, or a model with fewer free parameters: fixed or tied ones"
        warnings.warn(problem(what, given, right), FitWarning, stacklevel=stacklevel)


def starting(solver: Learning, start: Entries) -> tuple[Coords, Point]:
    """Checked starts and their mixtures; DomainError names the coordinate, and which start."""
    try:
        return solver.point(start)
    except DomainError as why:
        named = check.named(start, solver.chart.coordinates, "start")
        array = check.numbers(named, "start")
        for place in np.ndindex(array.shape[:-1]):
            member = int(np.ravel_multi_index(place, array.shape[:-1])) if place else 0
            try:
                solver.at_member(array.shape[:-1], member).point(array[place])
            except DomainError as own:
                which = f"start{list(place)}" if place else "start"
                raise DomainError(f"{which} is outside the model's domain: {own}") from None
        raise DomainError(f"start: {why}") from None
