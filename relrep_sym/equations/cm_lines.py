r"""What the conditional steps of ECM show: each coordinate's new value, the others held.

In: a :class:`~relrep_sym.equations.generic.Generic` and its conditional steps (:mod:`.cm`). Out:
lines, one for all coordinates that share a formula, sums over the components in it. A gap is shown
by its unconstrained value, under a hat; where the domain ends at zero that is clipped, and the
multiplier of the bound follows.

Steps are taken one after another: on a right side coordinates are the latest ones, while N_k and
r_k(x) stay those of the one E-step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import sympy as sp
from sympy.core.sympify import _sympify

from relrep_sym.declare.symbols import Constant, Parameter, split_index
from relrep_sym.equations.cm import CMStep, gap_of, powers_of, root_of
from relrep_sym.equations.em import shift_symbol, statistic_symbol, statistics_of
from relrep_sym.equations.generic import Coordinates, Generic
from relrep_sym.equations.isotonic import Pull, pull_of
from relrep_sym.equations.linear import shifted, summed
from relrep_sym.equations.lines import (
    Line,
    listed,
    mark_at,
    name_at,
    numbers_to,
    spaced,
    where_text,
)
from relrep_sym.equations.nodes import (
    Auxiliary,
    Clip,
    ComponentSum,
    Entry,
    Expectation,
    Hat,
    Index,
    Terms,
)
from relrep_sym.equations.q_lines import mass_line

__all__ = ["cm_lines", "cm_words"]

_Q = sp.Symbol("q")
_Y = sp.Symbol("y", real=True)
_ZERO, _ONE = sp.Integer(0), sp.Integer(1)


def cm_lines(g: Generic, steps: Sequence[CMStep]) -> tuple[Line, ...]:
    """N_k, the means m_k and precisions w_k that are used, then each coordinate's new value.

    >>> from relrep_sym.declare.charts import relative
    >>> from relrep_sym.declare.model import mixture
    >>> from relrep_sym.equations.cm import cm_steps
    >>> c = relative(mixture("normal", components=2, weights="1/2", scales=1), "mu")
    >>> for line in cm_lines(Generic(c), cm_steps(c))[2:5]:
    ...     print(line.left, "=", line.right)  # doctest: +NORMALIZE_WHITESPACE
    mu^+[1] = Terms(N[1]*m[1], N[2]*Terms(m[2], -mu[2], mu[1]))
    Hat(Delta[1]) = m[2] - mu[1]
    Delta^+[1] = Clip(Hat(Delta[1]))
    """
    by_name = {s.name: s for s in steps}
    runs = g.runs if g.regular else tuple(_alone(g, n) for n in g.chart.names)
    shown = [_Run.of(g, part, by_name) for run in runs for part in _parts(run, by_name)]
    marked = sum(s.bounded for s in shown) > 1
    lines: list[Line] = []
    unsolved: list[str] = []
    for s in shown:
        found = s.lines(marked)
        lines += found
        if not found:
            unsolved += [("~" if sp.Symbol(n) in g.clashes else "") + n for n in s.run.names]
    if unsolved:
        left = r"\frac{\partial @Q}{\partial @\lambda_@j}"
        where = rf"{_NUMERICALLY} {listed(unsolved)}"
        lines.append(Line(left, "0", where))
    ahead = [mass_line(g)] if g.model.components > 1 else []
    return (*ahead, *_shorthands(g, lines), *lines)


_NUMERICALLY = r"\text{solved numerically for }"
"""Where a line is an equation, not a value."""


def cm_words(g: Generic, steps: Sequence[CMStep]) -> str:
    """What is said of the weights, which are taken together unless an order says otherwise."""
    free = g.model.free_weights
    if sum(s.role == "weight" for s in steps) < 2 or len(free) < 2:
        return ""
    return (
        "Unless an order says otherwise the weights' coordinates are taken together, as one block."
    )


def _shorthands(g: Generic, lines: Sequence[Line]) -> list[Line]:
    """m_k and w_k, where a line reads them."""
    read = {s.stem for line in lines if isinstance(line.right, sp.Basic)
            for s in line.right.atoms(Auxiliary)}  # fmt: skip
    out = []
    where = where_text(numbers_to(g.model.components))
    family = g.model.family
    if "m" in read:
        right = Expectation(g.posterior("k") * family.x, family.x, _Q) / _mass(g, "k")
        out.append(Line(Auxiliary.of("m", "k"), right, where))
    if "w" in read and family.location is not None:
        pull = pull_of(family, family.location.name)
        assert pull is not None
        factor = _sympify(g.at_component(pull.factor * pull.shape, "k"))
        out.append(Line(Auxiliary.of("w", "k"), factor * _mass(g, "k"), where))
    return out


def _alone(g: Generic, name: str) -> Coordinates:
    stem, number = g.entry(name)
    return Coordinates(stem, (name,), () if number is None else (number,))


def _parts(run: Coordinates, steps: Mapping[str, CMStep]) -> list[Coordinates]:
    """A run in pieces that are solved alike: the last gap of scales moves one of them alone."""
    out = []
    for _, group in groupby(range(len(run.names)), key=lambda n: steps[run.names[n]].kind):
        own = list(group)
        names = tuple(run.names[n] for n in own)
        out.append(Coordinates(run.stem, names, tuple(run.numbers[n] for n in own if run.numbers)))
    return out


def _mass(g: Generic, i: Index) -> sp.Expr:
    return Auxiliary.of("N", i) if g.model.components > 1 else _ONE


@dataclass(frozen=True)
class _Run:
    """One run of coordinates with one formula, the step of its first, and what that moves.

    ``first`` and ``last`` are the components moved, in the run's index; None where the run's
    coordinates do not move components in one pattern.
    """

    g: Generic
    run: Coordinates
    step: CMStep
    first: Index | None
    last: Index | None

    @staticmethod
    def of(g: Generic, run: Coordinates, steps: Mapping[str, CMStep]) -> _Run:
        step, end = steps[run.names[0]], steps[run.names[-1]]
        members = step.members
        if not members or list(members) != list(range(members[0], members[-1] + 1)):
            return _Run(g, run, step, None, None)
        if len(run.names) == 1:
            return _Run(g, run, step, members[0] + 1, members[-1] + 1)
        many = run.numbers[-1] - run.numbers[0]
        ends: list[Index] = []
        for here, there in ((members[0], end.members[0]), (members[-1], end.members[-1])):
            if there - here not in (0, many):
                return _Run(g, run, step, None, None)
            ends.append(here + 1 if here == there else shifted("k", here + 1 - run.numbers[0]))
        return _Run(g, run, step, ends[0], ends[-1])

    # ------------------------------------------------------------------------- names

    @property
    def index(self) -> Index | None:
        """The index at which the run is shown."""
        numbers = self.run.numbers
        return None if not numbers else numbers[0] if len(numbers) == 1 else "k"

    @property
    def where(self) -> str:
        """For which numbers its lines hold."""
        return where_text(self.run.numbers) if len(self.run.numbers) > 1 else ""

    @property
    def letter(self) -> str:
        """The letter of sums."""
        return "j" if self.index == "k" else "k"

    def _entry(self, mark: str = "") -> Entry:
        stem = self.run.stem + mark
        return Entry(stem) if self.index is None else Entry.of(stem, self.index)

    @property
    def name(self) -> str:
        """The coordinate in LaTeX."""
        return name_at(self.run.stem, self.index)

    @property
    def gap(self) -> sp.Expr:
        """The gap's function of the coordinate."""
        return gap_of(self.step.gap, self._entry())

    @cached_property
    def rest(self) -> sp.Expr | None:
        """What is added to the gap in the one rule that reads it; None where there are several."""
        g, symbol = self.g, sp.Symbol(self.run.names[0])
        readers = [(t, r) for t, r in g.chart.program if symbol in r.free_symbols]
        if len(readers) != 1 or self.step.kind == "scaled":
            return None
        target, rule = readers[0]
        whole = rule - self.step.slopes[0][1] * gap_of(self.step.gap, symbol)
        if whole == 0 or target not in {p.symbol for p in g.model.of_role(self.step.role)}:
            return None if whole != 0 else sp.Integer(0)
        shown: dict[sp.Symbol, sp.Expr] = {}
        number = self.run.numbers[0] if self.index == "k" else 0
        for s in whole.free_symbols:
            stem, own = g.entry(s.name) if isinstance(s, sp.Symbol) else ("", None)
            if isinstance(s, Parameter):
                stem, own = split_index(s.name)
            if own is None or isinstance(s, Constant):
                shown[s] = s if isinstance(s, Constant) else Entry(stem)
            else:
                shown[s] = Entry.of(stem, shifted("k", own - number) if self.index == "k" else own)
        return whole.xreplace(shown)

    @property
    def bounded(self) -> bool:
        """Whether the step is clipped at the end of the coordinate's domain."""
        place = self.g.chart.names.index(self.run.names[0])
        domain = self.g.chart.coordinates[place].domain
        kind = self.step.kind
        moved = kind in ("shift", "scaled") or (kind == "own" and self.rest != 0)
        return moved and domain.name == "nonnegative"

    # ------------------------------------------------------------------------- lines

    def lines(self, marked: bool) -> list[Line]:
        """The run's lines; none where there is no closed form that is shown here."""
        kind = self.step.kind
        if kind == "none" or (kind != "shift" and self.step.pull and self.first is None):
            return self._unsolved()
        if kind == "shift":
            value, precision = self._shift()
            return self._from_gap(value, precision, marked)
        if kind == "own":
            return self._own(marked)
        if kind == "scaled":
            return self._scaled(marked)
        own = self._weight
        n, p = _mass(self.g, own), self._entry()
        right: sp.Expr
        if kind == "softmax":
            odds = Entry.of("pi", own) / (1 - Entry.of("pi", own))
            right = Terms(p, sp.log(n / (1 - n)), -sp.log(odds))
        elif kind == "stick":
            j, count = self.letter, self.g.model.components
            right = n / ComponentSum.over(_mass(self.g, j), j, own, count)
        else:
            last = self.g.model.free_weights[-1] + 1
            right = Terms(p, Entry.of("pi", last)) * n / Terms(n, _mass(self.g, last))
            if self.g.model.components == 2:  # what the two share is all there is
                right = n
        return [Line(self._entry("^+"), right, self.where)]

    @property
    def _weight(self) -> Index:
        """The component whose weight the coordinate is, or is a share of."""
        if self.step.kind != "simplex":
            assert self.index is not None
            return self.index
        symbol = sp.Symbol(self.run.names[0])
        target = next(t for t, r in self.g.chart.program if r == symbol)
        number = split_index(target.name)[1] or 1
        return shifted("k", number - self.run.numbers[0]) if self.index == "k" else number

    def _unsolved(self) -> list[Line]:
        if not self.g.regular:
            return []
        right = self.g.averaged(self.run, self.index)
        which = ", ".join(w for w in (self.name, self.where) if w)
        return [Line("0", right, rf"{_NUMERICALLY} {which}")]

    def _from_gap(self, value: sp.Expr, precision: sp.Expr, marked: bool) -> list[Line]:
        """The coordinate, from the unconstrained value of its gap."""
        gap, hat, new = self.step.gap, Hat(self.gap), self._entry("^+")
        if gap == "plain" and not self.bounded:
            return [Line(new, value, self.where)]
        lines = [Line(hat, value, self.where)]
        if gap == "plain":
            kappa = self._multiplier(marked)
            lines.append(Line(new, Clip(hat), self.where))
            lines.append(Line(kappa, precision * Clip(-hat), self.where))
            product = rf"{kappa} {self.name}^+"
            lines.append(Line(product, "0", rf"{kappa} \ge 0"))
        elif gap == "square":
            left = rf"\frac{{\partial @Q}}{{\partial {spaced(self.name)}}}"
            slope = 2 * self._entry() * precision * Terms(hat, -self.gap)
            lines.append(Line(left, slope, self.where))
            lines.append(Line(new, sp.sqrt(Clip(hat)), self.where))
        else:
            right = gap_of(gap, hat, inverse=True)
            lines.append(Line(new, right, self._open_end()))
        return lines

    # ------------------------------------------------------------------------- parameters

    def _sum(self, term: Callable[[Index], sp.Expr]) -> sp.Expr:
        """The sum over the components that the coordinate moves; the masses of all make one."""
        first, last = self.first, self.last
        if first is None or last is None:
            return summed([term(k + 1) for k in self.step.members])
        if first == last:
            return term(first)
        everyone = len(self.step.members) == self.g.model.components
        if everyone and term("k") == _mass(self.g, "k"):
            return _ONE
        if isinstance(first, int) and isinstance(last, int) and last - first < 2:
            return summed([term(first), term(last)])
        return ComponentSum.over(term(self.letter), self.letter, first, last)

    def _statistic(self, pull: Pull, i: Index) -> sp.Expr:
        """N_i s_i, a location's about the latest one."""
        g, family = self.g, self.g.model.family
        value, place = pull.statistic, sp.Integer(0)
        if family.location is not None:
            value = value.subs(shift_symbol(family), 0)
            place = _sympify(g.phi(family.location.name, i))
        back: dict[sp.Basic, sp.Basic] = {
            p.symbol: _sympify(g.phi(p.name, i)) for p in family.parameters
        }
        for j, function in enumerate(statistics_of(family)[0], start=1):
            inner = g.posterior(i) * function.subs(_Y, family.x - place)
            back[statistic_symbol(j)] = Expectation(inner, family.x, _Q) / _mass(g, i)
        return sp.expand(value * _mass(g, i).xreplace(back)).xreplace(back)

    def _factor(self, pull: Pull, i: Index) -> sp.Expr:
        """v_i, with the number that h is where Q is quadratic."""
        whole = pull.factor * (pull.shape if pull.quadratic else _ONE)
        return _sympify(self.g.at_component(whole, i))

    def _precision(self, pull: Pull, i: Index) -> sp.Expr:
        """N_i v_i, by its own letter where it is more than a number times N_i."""
        factor = self._factor(pull, i)
        located = self.g.model.family.location
        if factor.free_symbols and located is not None and located.name == pull.role:
            return Auxiliary.of("w", i)
        return factor * _mass(self.g, i)

    def _residual(self, pull: Pull, i: Index, slope: sp.Expr, gap: sp.Expr) -> sp.Expr:
        """A (s_i − φ_i) + h."""
        g = self.g
        if not self._mean_is_statistic(pull):
            return slope * self._statistic(pull, i) / _mass(g, i) + gap
        mean, phi = Auxiliary.of("m", i), _sympify(g.phi(pull.role, i))
        alone = pull.role in g.tied or (i == self.first == self.index and i != "k")
        if gap != 0 and alone and self.rest is not None:
            return slope * (mean - self.rest)
        if gap == 0:
            return slope * (mean - phi)
        if slope == 1 and self._is_place(pull, i):
            return mean
        return Terms(phi, -mean, gap) if slope == -1 else Terms(mean, -phi, gap)

    def _is_place(self, pull: Pull, i: Index) -> bool:
        """Whether the coordinate is component i's parameter itself."""
        if not isinstance(i, int) or len(self.run.names) != 1:
            return False
        rules = {target.name: rule for target, rule in self.g.chart.program}
        return rules.get(f"{pull.role}_{i}") == sp.Symbol(self.run.names[0])

    def _mean_is_statistic(self, pull: Pull) -> bool:
        """Whether s is the mean of x, as a location's is."""
        first = statistics_of(self.g.model.family)[0][0]
        return bool(pull.statistic == statistic_symbol(1) and first == _Y)

    def _shift(self) -> tuple[sp.Expr, sp.Expr]:
        """The gap's unconstrained value and the curvature, Q being quadratic in the gap."""
        pull, g, gap = self.step.pull, self.g, self.gap
        assert pull is not None
        kinds = {a for _, a in self.step.slopes}
        if len(kinds) == 1 and abs(next(iter(kinds))) == 1:
            (a,) = kinds
            precision = self._sum(lambda i: self._precision(pull, i))
            if self.first == self.last and self.first is not None:
                rest = self.rest
                if self._mean_is_statistic(pull) and rest is not None:
                    return a * Auxiliary.of("m", self.first) - a * rest, precision
                return self._residual(pull, self.first, a, gap), precision
            above = self._sum(lambda i: self._precision(pull, i) * self._residual(pull, i, a, gap))
            return above / precision, precision

        def slopes(i: Index) -> sp.Expr:
            if isinstance(i, int):
                return g.shown(dict(self.step.slopes)[i - 1])
            return sp.Symbol(rf"\frac{{\partial {name_at(pull.role, i)}}}{{\partial {self.name}}}")

        def above_of(i: Index) -> sp.Expr:
            return slopes(i) * self._precision(pull, i) * self._residual(pull, i, _ONE, _ZERO)

        def below_of(i: Index) -> sp.Expr:
            return slopes(i) ** 2 * self._precision(pull, i)

        if len(self.step.members) <= 3:
            members = [k + 1 for k in self.step.members]
            above, below = (summed([f(i) for i in members]) for f in (above_of, below_of))
        else:
            count = g.model.components
            above, below = (ComponentSum.over(f("k"), "k", 1, count) for f in (above_of, below_of))
        return Terms(gap, above / below), below

    def _own(self, marked: bool) -> list[Line]:
        pull = self.step.pull
        assert pull is not None
        found = root_of(self.g.model.family, pull.role)
        assert found is not None
        root, s = found
        factor = self._factor(pull, self.letter)
        uneven = bool(factor.free_symbols) and self.first != self.last

        def term(i: Index) -> sp.Expr:
            return self._statistic(pull, i) * (self._factor(pull, i) if uneven else _ONE)

        def weight(i: Index) -> sp.Expr:
            return _mass(self.g, i) * (self._factor(pull, i) if uneven else _ONE)

        mean = self._sum(term) / self._sum(weight)
        rest = self.rest
        if rest == 0:  # the parameter itself, or its logarithm
            closed = sp.expand_log(gap_of(self.step.gap, root, inverse=True), force=True)
            return [Line(self._entry("^+"), closed.xreplace({s: mean}), self.where)]
        value = root.xreplace({s: mean})
        last = self.g.phi(pull.role, self.first or 1)
        whole = value - rest if rest is not None else Terms(self.gap, value, -last)
        return self._from_hat(whole, marked)

    def _scaled(self, marked: bool) -> list[Line]:
        """A factor of one parameter or several, by the logarithm of a mean."""
        pull = self.step.pull
        assert pull is not None
        powers = powers_of(self.g.model.family, pull.role)
        assert powers is not None
        a, b = powers
        g = self.g

        def above(i: Index) -> sp.Expr:
            return self._statistic(pull, i) * self._factor(pull, i) * g.phi(pull.role, i) ** b

        def below(i: Index) -> sp.Expr:
            return _mass(g, i) * self._factor(pull, i) * g.phi(pull.role, i) ** (a + b)

        moved = sp.log(self._sum(above) / self._sum(below)) / a
        value = Terms(self.gap, moved)
        return self._from_hat(value, marked)

    def _from_hat(self, value: sp.Expr, marked: bool) -> list[Line]:
        """As :meth:`_from_gap`, where Q is not quadratic in the gap."""
        gap, hat, new = self.step.gap, Hat(self.gap), self._entry("^+")
        if gap == "plain" and not self.bounded:
            return [Line(new, value, self.where)]
        lines = [Line(hat, value, self.where)]
        if gap == "plain":
            slope = rf"\frac{{\partial @Q}}{{\partial {spaced(self.name)}}}"
            kappa = self._multiplier(marked)
            at_end = rf"\max\left(0, -\left.{slope}\right|_{{{self.name} = 0}}\right)"
            lines += [Line(new, Clip(hat), self.where), Line(kappa, at_end, self.where)]
        elif gap == "square":
            lines.append(Line(new, sp.sqrt(Clip(hat)), self.where))
        else:
            lines.append(Line(new, gap_of(gap, hat, inverse=True), self._open_end()))
        return lines

    def _multiplier(self, marked: bool) -> str:
        """The multiplier's name, with the coordinate's where several runs have one."""
        if marked:
            return rf"@\kappa_{{{self.name}}}"
        return r"@\kappa" if self.index is None else mark_at(r"\kappa", self.index)

    def _open_end(self) -> str:
        says = rf"\text{{if its argument is positive; else }} {self.name} \to -\infty"
        return ", ".join(w for w in (self.where, says) if w)
