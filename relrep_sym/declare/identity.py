r"""Identities: what a user states about a model, its chart and a truth, as two expressions.

In: a text or a SymPy expression, and the model, chart and truth it is about. Out: a SymPy tree of
coordinates, constants, :class:`Atom` (what depends on x: r_1, p, log_p, …) and three nodes that
stand for what is *not yet done*: :class:`Expected`, :class:`Slope` and :class:`At`. The prover in
``equations`` works on the tree, and the evaluator evaluates it as it stands.

The language is that of :mod:`relrep_sym.declare.parser`, between the brackets too, and

- ``E[g]`` or ``E_q[g]`` is the mean under the truth, ``E_q_j[g]`` under its component j,
- ``E_p[g]`` is the mean under the model, ``E_k[g]`` under its component k,
- ``D[g, name]`` is the derivative in a coordinate, in x or in a symbol of the truth, ``D[g, a, b]``
  a second one; ``D_theta[g, mu_2]`` differentiates in an entry of θ, the others held,
- ``At[g, y]`` is g with y for x.

The names are ``x``, the coordinates, θ's entries (the last weight and fixed ones too; a coordinate
of the same name goes first), the symbols of the truth, ``r_k`` (responsibilities), ``f_k`` (the
components' densities), ``p`` and ``log_p`` (the model's), ``q`` and ``log_q`` (the truth's).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import sympy as sp
from sympy.core.sympify import _sympify

from relrep_sym.declare.chart import Chart
from relrep_sym.declare.model import Mixture
from relrep_sym.declare.nodes import Atom, Expected, Slope
from relrep_sym.declare.parser import check_name
from relrep_sym.declare.reader import Condition, read_identity
from relrep_sym.declare.truth import Truth
from relrep_sym.errors import DeclarationError, problem

__all__ = ["Scope"]


@dataclass(frozen=True)
class Scope:
    """What the names in an identity's text mean.

    Coordinates become symbols with the assumptions of the inside of their domains.

    >>> from relrep_sym.declare.chart import identity
    >>> from relrep_sym.declare.model import mixture
    >>> scope = Scope(identity(mixture("normal", components=2, scales=1)))
    >>> scope.read("E_p[r_1*(x - mu_1)] + D[log_p, mu_2]", "the left side")
    E_p[r_1*(-mu_1 + x)] + D[log_p, mu_2]
    """

    chart: Chart
    truth: Truth | None = None
    definitions: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        truth = self.truth
        if truth is not None and truth.family.support != self.model.family.support:
            right = f"a truth on the model's support, {self.model.family.support}"
            given = f"a {truth.family.name} truth on {truth.family.support}"
            raise DeclarationError(problem("the truth lives elsewhere", given, right))
        own = {c.name for c in self.chart.coordinates} | {c.name for c in self.constants}
        theirs = {s.name for s in truth.symbols} if truth is not None else set()
        twice = sorted((own & theirs) | ((own | theirs) & set(self._atoms)))
        if twice:
            right = "different names for coordinates, the truth's symbols and what is given at x"
            raise DeclarationError(problem("a name has two meanings", ", ".join(twice), right))

    @property
    def model(self) -> Mixture:
        """The model."""
        return self.chart.model

    @property
    def x(self) -> sp.Symbol:
        """The observation."""
        return self.model.family.x

    @cached_property
    def coordinates(self) -> tuple[sp.Symbol, ...]:
        """The coordinates, each positive if its domain is."""
        return tuple(
            sp.Symbol(c.name, **({"positive": True} if c.domain.lower >= 0 else {"real": True}))
            for c in self.chart.coordinates
        )

    @cached_property
    def constants(self) -> tuple[sp.Symbol, ...]:
        """What is given in the chart's map, not learned."""
        return tuple(c.symbol for c in self.chart.constants)

    @cached_property
    def theta(self) -> dict[sp.Symbol, sp.Expr]:
        """θ in the coordinates."""
        back = dict(zip(self.chart.symbols, self.coordinates, strict=True))
        return {t: rule.xreplace(back) for t, rule in self.chart.unrolled.items()}

    @cached_property
    def _atoms(self) -> dict[str, Atom]:
        names = ["x", "p", "log_p", *("q log_q".split() if self.truth is not None else ())]
        for k in range(1, self.model.components + 1):
            names += [f"r_{k}", f"f_{k}"]
        return {n: Atom.of(n) for n in names}

    @cached_property
    def _entries(self) -> dict[str, sp.Expr]:
        """Entries of θ, and what the model writes for the others, by name."""
        out: dict[str, sp.Expr] = {p.name: p.symbol for p in self.model.parameters}
        rows = {"pi": self.model.weight_expressions}
        rows |= {p.name: self.model.component(p.name) for p in self.model.family.parameters}
        for stem, row in rows.items():
            for k, value in enumerate(row, start=1):
                out.setdefault(f"{stem}_{k}", _sympify(value))
        return out

    @property
    def meanings(self) -> dict[str, sp.Expr]:
        """Every name that may stand in a text, with what it stands for."""
        return self._meanings[0]

    @cached_property
    def _meanings(self) -> tuple[dict[str, sp.Expr], dict[str, list[Condition]]]:
        """The same, and what the definitions ask to be real."""
        asked: dict[str, list[Condition]] = {}
        out: dict[str, sp.Expr] = dict(self._entries)
        for s in (*self.coordinates, *self.constants, *(self.truth.symbols if self.truth else ())):
            out[s.name] = s
        out |= self._atoms
        out["x"] = self.x
        for name, value in self.definitions.items():
            check_name(name, kind="definition")
            if name in out:
                right = "a name that stands for nothing yet"
                raise DeclarationError(problem("a definition takes a name", name, right))
            asked[name] = []
            where = f"the definition of {name}"
            out[name] = read_identity(value, self, dict(out), where, asked[name])
            asked[name] += self._asked(value, asked)
        return out, asked

    def read(self, value: object, where: str) -> sp.Expr:
        """The tree of a text or a SymPy expression; DeclarationError for what it cannot mean."""
        return read_identity(value, self, dict(self.meanings), where)

    def conditions(self, value: object, where: str) -> list[Condition]:
        """What a text or a SymPy expression asks to be real, as it was written."""
        met: list[Condition] = []
        read_identity(value, self, dict(self.meanings), where, met)
        means = bool(re.search(r"\bE(_\w+)?\[", value) if isinstance(value, str)
                     else isinstance(value, sp.Basic) and value.has(Expected))  # fmt: skip
        for c in self._asked(value, self._meanings[1]):
            met.append(c._replace(averaged=c.averaged or means))
        return list(dict.fromkeys(met))

    @staticmethod
    def _asked(value: object, asked: Mapping[str, list[Condition]]) -> list[Condition]:
        """The conditions of the definitions that are named in a text or an expression."""
        if isinstance(value, str):
            named = set(re.findall(r"[A-Za-z]\w*", value))
        else:
            named = {s.name for s in value.free_symbols} if isinstance(value, sp.Basic) else set()
        return [c for name in asked if name in named for c in asked[name]]

    def variable(self, name: str, head: str) -> sp.Symbol | None:
        """What ``D[g, name]`` or ``D_theta[g, name]`` differentiates in, or None."""
        if head == "D_theta":
            return next((p.symbol for p in self.model.parameters if p.name == name), None)
        symbols = (self.x, *self.coordinates, *self.constants)
        every = (*symbols, *(self.truth.symbols if self.truth else ()))
        return next((s for s in every if s.name == name), None)

    def in_theta(self, e: sp.Expr) -> sp.Expr | None:
        """An expression with θ's entries for the coordinates that stand for them, if that is all.

        None where another coordinate is in it: what ``D_theta`` holds fixed is then not known.
        """
        if any(s.args[1] in self.coordinates for s in e.atoms(Slope)):
            return None
        stands = self.chart.stands_for
        entries = {p.name: p.symbol for p in self.model.parameters}
        found = e.xreplace(
            {s: entries[stands[s.name]] for s in self.coordinates if s.name in stands}
        )
        return None if found.free_symbols & set(self.coordinates) else found
