r"""Charts of the weights, for display: ∂ log π_k/∂c_j, and the score that they make.

In: a chart that knows every weight. Out: for a run of coordinates c_j the three numbers that
∂ log π_k/∂c_j is for k < j, k = j and k > j, found by following logarithmic derivatives through the
program; then

.. math:: \frac{\partial \log p}{\partial c_j} = \sum_k r_k \frac{\partial \log \pi_k}{\partial c_j}

is a line such as r_j − π_j (softmax) or r_j/v_j − Σ_{k>j} r_k/(1 − v_j) (stick-breaking).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import sympy as sp

from relrep_sym.declare.chart import Chart, is_plain
from relrep_sym.declare.functions import LogTotal
from relrep_sym.declare.symbols import Constant, Parameter, split_index
from relrep_sym.equations.nodes import ComponentSum, Entry, Index, Posterior, Terms
from relrep_sym.equations.program import slopes

__all__ = ["WeightSlopes", "weight_slopes"]

Row = dict[sp.Symbol, sp.Expr]


@dataclass(frozen=True)
class WeightSlopes:
    """∂ log π_k/∂c_j for k < j, k = j, k > j, in entries at the index ``@`` (None: no such k)."""

    count: int
    before: sp.Expr | None
    here: sp.Expr
    after: sp.Expr | None

    def score(self, at: Callable[[sp.Expr, Index], sp.Expr], i: Index) -> sp.Expr:
        """Σ_k r_k ∂ log π_k/∂c_i, with Σ_k r_k = 1 used where both sides are alike."""
        r = Posterior.of("r", i)
        before = self.before if self.before is not None else self.after
        after = self.after if self.after is not None else self.before
        assert before is not None
        assert after is not None
        if before == after:
            return Terms(at(sp.expand(self.here - before), i) * r, at(before, i))
        terms = [at(self.here, i) * r] if self.here != 0 else []
        letter = "j" if i != "j" else "l"
        other = Posterior.of("r", letter)
        if before != 0:
            terms.append(at(before, i) * ComponentSum.over(other, letter, 1, _next(i, -1)))
        if after != 0:
            terms.append(at(after, i) * ComponentSum.over(other, letter, _next(i, 1), self.count))
        return Terms(*terms) if len(terms) > 1 else terms[0]


def _next(i: Index, offset: int) -> Index:
    return i + offset if isinstance(i, int) else f"{i}{offset:+d}"


@lru_cache(maxsize=8)
def weight_slopes(chart: Chart) -> Mapping[str, WeightSlopes]:
    """The slopes by the stems of the coordinates that make the weights; empty where there are none.

    >>> from relrep_sym.declare.model import mixture
    >>> from relrep_sym.declare.weight_charts import softmax
    >>> found = weight_slopes(softmax(mixture("poisson", components=4)))["alpha"]
    >>> found.before, found.here, found.after
    (-pi[@], 1 - pi[@], -pi[@])
    """
    model = chart.model
    if chart.weights is None or len(model.free_weights) < model.components:
        return {}
    weights = chart.weights
    rows = _log_rows(chart)
    if any(w not in rows for w in weights):
        return {}
    rules = dict(chart.program)
    known = {
        rules[w]: Entry.of("pi", k)
        for k, w in enumerate(weights, start=1)
        if not is_plain(rules[w])
    }
    known |= {w: Entry.of("pi", k) for k, w in enumerate(weights, start=1)}
    own = {c for w in weights for c in rows[w]}
    made = {t for t in rules if t in weights or t in chart.intermediates}
    if any(r.free_symbols & own for t, r in rules.items() if t not in made):
        return {}  # a coordinate of the weights and of something else
    out: dict[str, WeightSlopes] = {}
    for c in sorted(own, key=lambda s: s.name):
        stem, j = split_index(c.name)
        if j is None:
            return {}
        plain = [rows[w].get(c, sp.Integer(0)) for w in weights]
        # most components' slopes are the same one
        shapes = {value: _shape(value.xreplace(known), j) for value in set(plain)}
        if None in shapes.values():  # the name of a weight brought another index in
            shapes = {value: _shape(value, j) for value in shapes}
        found = [shapes[value] for value in plain]
        sides = {None if k == j else k < j: set[sp.Expr | None]() for k in range(1, len(found) + 1)}
        for k, value in enumerate(found, start=1):
            sides[None if k == j else k < j].add(value)
        if any(len(values) > 1 or None in values for values in sides.values()):
            return {}
        one = {side: next(iter(values)) for side, values in sides.items()}
        slopes = WeightSlopes(
            len(weights), one.get(True), one[None] or sp.Integer(0), one.get(False)
        )
        merged = _merged(out.get(stem), slopes)
        if merged is None:
            return {}
        out[stem] = merged
    return out


def _merged(first: WeightSlopes | None, second: WeightSlopes) -> WeightSlopes | None:
    """Two neighbours' slopes as those of one run, or None."""
    if first is None:
        return second
    before = {v for v in (first.before, second.before) if v is not None}
    after = {v for v in (first.after, second.after) if v is not None}
    if first.here != second.here or len(before) > 1 or len(after) > 1:
        return None
    return WeightSlopes(first.count, next(iter(before), None), first.here, next(iter(after), None))


def _log_rows(chart: Chart) -> dict[Parameter, Row]:
    """D log(target)/d(coordinate) of the weights and what they are made of, in targets.

    That of a logarithm (a softmax's) is its own derivative, not the derivative of its logarithm.
    """
    rows: dict[Parameter, Row] = {}
    logarithms: set[Parameter] = set()
    for target, rule in chart.program:
        if target not in (chart.weights or ()) and target not in chart.intermediates:
            continue
        row: Row = {}
        local: list[tuple[sp.Symbol, sp.Expr]]
        if isinstance(rule, LogTotal):
            logarithms.add(target)
            local = list(slopes(chart, target, rule))
        else:
            inner, below = (rule.args[0], 1) if isinstance(rule, sp.exp) else (rule, rule)
            read = sorted(rule.free_symbols, key=lambda s: s.name)
            local = [(s, sp.diff(inner, s) / below) for s in read if not isinstance(s, Constant)]
        for s, ratio in local:
            if isinstance(s, Parameter):
                factor = ratio if s in logarithms else ratio * s
                for c, value in rows.get(s, {}).items():
                    term = factor * value
                    row[c] = row[c] + term if c in row else term
            else:
                row[s] = row.get(s, sp.Integer(0)) + ratio
        rows[target] = row
    return rows


def _shape(value: sp.Expr, j: int) -> sp.Expr | None:
    """The value with index j as ``@``; None where another one is in it."""
    put = {}
    for s in value.free_symbols:
        stem, number = (s.stem, s.index) if isinstance(s, Entry) else split_index(s.name)
        if str(number) != str(j):
            return None
        put[s] = Entry.of(stem, "@")
    return value.xreplace(put)
