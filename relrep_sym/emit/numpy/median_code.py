"""Bodies of the functions that take an M-step of weighted medians.

In: a model and its :class:`~relrep_sym.equations.median.MedianStep`. Out: lines for the slots of
``templates/module.py.j2``.
"""

from __future__ import annotations

from relrep_sym.declare.model import Mixture
from relrep_sym.emit.lowering import lower
from relrep_sym.emit.numpy.em_code import update_lines, weight_lines
from relrep_sym.emit.numpy.layout import bare, tuple_of
from relrep_sym.emit.numpy.printer import infix
from relrep_sym.equations.em import MStep, statistic_symbol
from relrep_sym.equations.kernels import with_kernels
from relrep_sym.equations.median import MedianStep

__all__ = ["median_fragments"]


def median_fragments(model: Mixture, found: MedianStep | None) -> dict[str, object] | None:
    """The index of μ, the groups, and the bodies of ``_tension`` and ``_median_step``."""
    if found is None:
        return None
    roles = [p.name for p in model.family.parameters]
    step = MStep(found.free_weights, found.updates)
    lines = weight_lines(model, step)
    read = [e for u in found.updates for e in (u.value, *(t for _, t in u.totals))]
    if any(e.has(statistic_symbol(1)) for e in read):
        lines.append(f"{statistic_symbol(1)} = away")
    current: dict[str, str | None] = dict.fromkeys(roles)
    for u in found.updates:
        lines += update_lines(model, u, current)
    results = [current[r] or r for r in roles]
    return {
        "location": roles.index(found.location),
        "groups": [tuple_of([str(k) for k in g]) for g in found.groups],
        "tension": [f"return {infix(lower(with_kernels(found.tension), bare))} + 0.0 * {roles[0]}"],
        "step": [*lines, f"return shares, {tuple_of(results)}"],
    }
