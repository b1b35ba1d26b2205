r"""Every name of a user's that equations print, with its LaTeX.

In: a :class:`~.generic.Generic`, and the view where there is one. Out: a mapping from names, and
from their stems, to LaTeX: the model's parameters, weights, the chart's coordinates and constants,
the view's functions. What equations print beside these has marks
(:mod:`relrep_sym.emit.letters`).
"""

from __future__ import annotations

from relrep_sym.declare.symbols import latex_name, split_index
from relrep_sym.declare.view import View
from relrep_sym.equations.chart_lines import view_name
from relrep_sym.equations.generic import Generic

__all__ = ["printed_names"]


def printed_names(g: Generic, view: View | None = None) -> dict[str, str]:
    r"""Every name that a record's equations print, stems too, with its LaTeX.

    A name that is spelled like what it is not is there with the mark that sets it apart, and
    without it too where nothing else has that name.

    >>> from relrep_sym.declare.chart import identity
    >>> from relrep_sym.declare.model import mixture
    >>> sorted(printed_names(Generic(identity(mixture("poisson", components=2)))))
    ['pi', 'pi_1', 'pi_2', 'rate', 'rate_1', 'rate_2']
    """
    model, chart = g.model, g.chart
    names = [*model.names, *model.fixed]
    if model.components > 1:
        names += [f"pi_{k + 1}" for k in range(model.components)]
    names += [p.name for p in model.family.parameters]
    names += g.constant_names
    names += [t.name for t in chart.intermediates]
    found = {n: latex_name(n) for n in names}
    marked = [("~" if c.symbol in g.clashes else "", c.name) for c in chart.coordinates]
    if view is not None:
        for n in view.names:
            marked.append(("-" if view_name(g, view, n).startswith(r"\bar") else "", n))
    for mark, name in marked:
        key = mark + name if name in found else name
        found[key] = latex_name(mark + name)
    stems: dict[str, str] = {}
    for key, shown in found.items():
        mark = key[0] if key[0] in "~-" else ""
        stem, number = split_index(key)
        if number is not None:
            accent = (
                "~" if shown.startswith(r"\tilde") else "-" if shown.startswith(r"\bar") else ""
            )
            stems.setdefault(stem, latex_name(accent + stem.removeprefix(mark)))
    return {**stems, **found}
