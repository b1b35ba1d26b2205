r"""Expectations as objects: differentiated, made linear, rewritten by the rules of the trade.

In: the tree of an identity (:mod:`relrep_sym.declare.identity`). Out: the same number, written in
fewer and fewer means. The rules, by the name under which a user applies them:

- ``derivative``: ∂r_k = r_k (s_k − Σ_j r_j s_j) with s_k = ∂ log(π_k f_k), ∂ log p = Σ_j r_j s_j;
  under a density that moves, ∂E_p[g] = E_p[∂g + g ∂ log p];
- ``posterior``: f_k = r_k p/π_k, log r_k = log(π_k f_k) − log p, Σ_k r_k = 1;
- ``density``: log p of a single component as it is declared;
- ``linearity``: E[a g + b h] = a E[g] + b E[h] for what does not depend on x;
- ``balance``: E_p[r_k g] = π_k E_k[g], so that E_p[r_k] = π_k; and E_p[g q/p] = E_q[g];
- ``moments``: E_k[x^m] in closed form, by recursion from the next rule;
- ``parts``: 0 = E_k[g' + g (log f_k)'] on the line, 0 = E_k[(x g)' + x g (log f_k)'] on the
  half-line, E_k[x g(x)] = E_k[(x + 1) ρ(x) g(x + 1)] on the integers, ρ(x) = f_k(x + 1)/f_k(x).
  For a normal density it is Stein's identity, for a Poisson density the Stein–Chen identity.

Everything is derived from the family's log-density; no family is known here by name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import sympy as sp
from sympy.core.sympify import _sympify

from relrep_sym.declare.family import Family
from relrep_sym.declare.identity import Scope
from relrep_sym.declare.nodes import At, Atom, Expected, Slope
from relrep_sym.declare.symbols import Parameter
from relrep_sym.equations.parts import may_part, moment, ratio
from relrep_sym.errors import DerivationError, problem

__all__ = ["Calculus", "Law", "Linear", "Mean"]

MAX_TERMS = 3000
"""Terms of one expanded integrand."""
_BROKEN = (sp.DiracDelta, sp.Derivative, sp.Subs, sp.Integral)

Mean = tuple[str, int, sp.Expr]
"""A mean that is not reduced further: law ("p" or "q"), component (0: the mixture), integrand."""
Linear = dict[Mean | None, sp.Expr]
"""A combination of means; the key None is what stands alone."""


@dataclass(frozen=True)
class Law:
    """A mixture to take means under: its weights, log-densities and posteriors."""

    name: str
    family: Family
    weights: tuple[sp.Expr, ...]
    parameters: tuple[tuple[sp.Expr, ...], ...]
    posteriors: tuple[Atom, ...]

    @property
    def log(self) -> Atom:
        """log of its density at x."""
        return Atom.of(f"log_{self.name}")

    @cached_property
    def values(self) -> tuple[dict[sp.Symbol, sp.Expr], ...]:
        """Each component's parameters, by the family's symbols."""
        rows = zip(*self.parameters, strict=True)
        return tuple(dict(zip(self.family.symbols, row, strict=True)) for row in rows)

    @cached_property
    def logs(self) -> tuple[sp.Expr, ...]:
        """log f(x | φ_k)."""
        return tuple(self.family.log_density.xreplace(v) for v in self.values)


def _combined(parts: Iterable[tuple[sp.Expr, Linear]]) -> Linear:
    out: Linear = {}
    for factor, form in parts:
        for key, value in form.items():
            out[key] = out.get(key, sp.Integer(0)) + factor * value
    return {k: v for k, v in out.items() if v != 0}


@dataclass(frozen=True)
class Calculus:
    """The rules for one model, chart and truth; ``used`` collects the names of those applied."""

    scope: Scope
    used: set[str] = field(default_factory=set)
    slopes: dict[Any, tuple[sp.Expr, sp.Expr]] = field(default_factory=dict, repr=False)

    # ------------------------------------------------------------------------- densities

    @cached_property
    def laws(self) -> dict[str, Law]:
        """The model in coordinates, "p"; the truth, "q"; the model in θ, "theta"."""
        model, truth = self.scope.model, self.scope.truth
        posts = tuple(Atom.of(f"r_{k}") for k in range(1, model.components + 1))
        rows = [model.component(p.name) for p in model.family.parameters]
        theta = tuple(tuple(map(_sympify, row)) for row in rows)
        out = {}
        for name, back in (("p", self.scope.theta), ("theta", {})):
            weights = tuple(w.xreplace(back) for w in model.weight_expressions)
            parameters = tuple(tuple(v.xreplace(back) for v in row) for row in theta)
            out[name] = Law("p", model.family, weights, parameters, posts)
        if truth is not None:
            posts = tuple(Atom.of(f"s_{j}") for j in range(1, len(truth.weights) + 1))
            out["q"] = Law("q", truth.family, truth.weights, truth.parameters, posts)
        return out

    @cached_property
    def at_x(self) -> frozenset[sp.Symbol]:
        """x, and all that depends on it."""
        laws = self.laws.values()
        return frozenset({self.scope.x, *(a for w in laws for a in (w.log, *w.posteriors))})

    def law(self, density: sp.Symbol) -> tuple[Law, int]:
        """The law of a density's symbol, and its component from one; 0 is the mixture."""
        name, _, number = density.name.partition("_")
        return self.laws[name], int(number or 0)

    # ------------------------------------------------------------------------- names

    def plain(self, e: sp.Expr) -> sp.Expr:
        """p, q and f_k by log p, log q and r_k (``posterior``)."""
        back: dict[sp.Symbol, sp.Expr] = {}
        for name, law in self.laws.items():
            if name == "theta":
                continue
            back[Atom.of(law.name)] = sp.exp(law.log)
        law = self.laws["theta" if e.atoms(Parameter) else "p"]
        for k, (w, r) in enumerate(zip(law.weights, law.posteriors, strict=True), start=1):
            back[Atom.of(f"f_{k}")] = r * sp.exp(law.log) / w
        found = e.xreplace({a: v for a, v in back.items() if e.has(a)})
        if e.has(*(Atom.of(f"f_{k}") for k in range(1, len(law.weights) + 1))):
            self.used.add("posterior")
        return found

    # ------------------------------------------------------------------------- derivatives

    def resolved(self, e: sp.Expr) -> sp.Expr:
        """``e`` with its derivatives done and other points put in; means stay.

        Raises DerivationError where a derivative or another point has no rule.
        """
        if not e.has(Slope, At, Expected):
            return self.plain(e)
        if isinstance(e, Expected):
            return Expected(self.resolved(e.args[0]), e.args[1])
        if isinstance(e, At):
            return self._moved(self.resolved(e.args[0]), self.resolved(e.args[1]))
        if isinstance(e, Slope):
            inner, variable = self.resolved(e.args[0]), e.args[1]
            return self.derivative(inner, variable)
        return e.func(*(self.resolved(a) for a in e.args))

    def _moved(self, e: sp.Expr, point: sp.Expr) -> sp.Expr:
        inside = e.free_symbols & (self.at_x - {self.scope.x})
        if not inside and not e.has(Expected):
            return e.xreplace({self.scope.x: point})
        step = sp.expand(point - self.scope.x)
        if self.scope.model.family.support == "integers" and step.is_Integer and 0 <= step <= 4:
            for _ in range(int(step)):
                e = self.shifted(e)
            return e
        raise _unknown("what is given at x, at another point", point)

    def derivative(self, e: sp.Expr, variable: sp.Symbol) -> sp.Expr:
        """∂e/∂variable, with the posteriors' own derivatives (``derivative``)."""
        self.used.add("derivative")
        entry = isinstance(variable, Parameter)
        if not entry:
            e = e.xreplace(self.scope.theta)
        means = {m: sp.Dummy("m") for m in _means(e)}
        plain = e.xreplace(means)
        out = sp.diff(plain, variable)
        for atom in sorted(plain.atoms(Atom), key=lambda a: a.name):
            out += sp.diff(plain, atom) * self._slope_of(atom, variable, entry)
        for mean, dummy in means.items():
            out += sp.diff(plain, dummy) * self._slope_of_mean(mean, variable, entry)
        out = out.xreplace({d: m for m, d in means.items()})
        if out.has(*_BROKEN):
            raise _unknown("a derivative that is not smooth", variable)
        return out

    def _scores(self, law: Law, variable: sp.Symbol, weighted: bool = True) -> list[sp.Expr]:
        """∂ log(π_k f_k) of each component, each part as it stands or factored."""
        out = []
        for k, (w, f) in enumerate(zip(law.weights, law.logs, strict=True)):
            key = (law is self.laws["theta"], law.name, k, variable)
            if key not in self.slopes:
                self.slopes[key] = sp.diff(sp.log(w), variable), _shorter(sp.diff(f, variable))
            weight, family = self.slopes[key]
            out.append(weight + family if weighted else family)
        return out

    def _owner(self, atom: Atom, entry: bool) -> Law:
        name = atom.name.replace("log_", "")
        if name[0] in "qs":
            return self.laws["q"]
        return self.laws["theta" if entry else "p"]

    def _slope_of(self, atom: Atom, variable: sp.Symbol, entry: bool) -> sp.Expr:
        law = self._owner(atom, entry)
        scores = self._scores(law, variable)
        if len(scores) == 1:  # the posterior of a single component is one
            return scores[0] if atom == law.log else sp.Integer(0)
        common = sp.Add(*(r * s for r, s in zip(law.posteriors, scores, strict=True)))
        if atom == law.log:
            return common
        return atom * (scores[law.posteriors.index(atom)] - common)

    def _slope_of_mean(self, mean: Expected, variable: sp.Symbol, entry: bool) -> sp.Expr:
        if variable == self.scope.x:
            return sp.Integer(0)
        inner, density = mean.args
        law, k = self.law(density)
        if entry and law.name == "p":
            law = self.laws["theta"]
        if k:
            weight = self._scores(law, variable, weighted=False)[k - 1]
        else:
            weight = self._slope_of(law.log, variable, entry)
        out = self.derivative(inner, variable) + inner * weight
        return Expected(out, density) if out != 0 else sp.Integer(0)

    # ------------------------------------------------------------------------- other points

    def shifted(self, e: sp.Expr) -> sp.Expr:
        """``e`` at x + 1, on the integers: every component times its ratio."""
        self.used.add("shift")
        back: dict[sp.Expr, sp.Expr] = {self.scope.x: self.scope.x + 1}
        for name, law in self.laws.items():
            if name == "theta":
                continue
            ratios = [ratio(law.family).xreplace(v) for v in law.values]
            whole = sp.Add(*(r * c for r, c in zip(law.posteriors, ratios, strict=True)))
            common = sp.factor(whole)
            back[law.log] = law.log + sp.log(common)
            pairs = list(zip(law.posteriors, ratios, strict=True))
            for r, c in pairs[:-1]:
                back[r] = sp.cancel(r * c / common)
            back[law.posteriors[-1]] = 1 - sp.Add(*(back[r] for r, _ in pairs[:-1]))
        return e.xreplace(back)

    # ------------------------------------------------------------------------- means

    def combined(self, e: sp.Expr) -> tuple[sp.Expr, dict[sp.Symbol, Mean]]:
        """A resolved expression with a symbol for each mean that is left, and what they are."""
        known: dict[Mean, sp.Symbol] = {}
        found = self._reduced(e.xreplace(self.scope.theta), known)
        return self._bare(found), {s: m for m, s in known.items()}

    def _reduced(self, e: sp.Expr, known: dict[Mean, sp.Symbol]) -> sp.Expr:
        means = {}
        for mean in _means(e):
            inner = self._reduced(mean.args[0], known)
            law, k = self.law(mean.args[1])
            means[mean] = named(self.mean(inner, law, k), known)
        return e.xreplace(means)

    def _bare(self, e: sp.Expr) -> sp.Expr:
        """Logarithms of posteriors opened, the last posterior by the others (``posterior``)."""
        for name, law in self.laws.items():
            if name == "theta" or not e.has(law.log, *law.posteriors):
                continue
            e = sp.expand_log(e)
            rows = zip(law.posteriors, law.weights, law.logs, strict=True)
            logs = {sp.log(r): sp.log(w) + f - law.log for r, w, f in rows if e.has(sp.log(r))}
            last = law.posteriors[-1]
            rest = {last: 1 - sp.Add(*law.posteriors[:-1])}
            if logs or e.has(last):
                self.used.add("posterior")
            e = sp.expand_log(e.xreplace(logs)).xreplace(rest)
        return e

    def mean(self, e: sp.Expr, law: Law, k: int) -> Linear:
        """E[e] under a law (k = 0) or its component k, as a combination of means."""
        e = self._bare(e)
        bound = 1
        for factor in sp.Mul.make_args(e):
            if factor.is_Pow and factor.exp.is_Integer and factor.base.is_Add:
                bound *= len(factor.base.args) ** min(abs(int(factor.exp)), 8)
            elif factor.is_Add:
                bound *= len(factor.args)
        if bound > MAX_TERMS:
            raise DerivationError(problem("an integrand is too long", f"{bound} terms", "less"))
        terms = sp.Add.make_args(sp.expand(e))
        if len(terms) > MAX_TERMS:
            raise DerivationError(
                problem("an integrand is too long", f"{len(terms)} terms", "less")
            )
        if len(terms) > 1:
            self.used.add("linearity")
        return _combined(self._term(t, law, k) for t in terms)

    def _term(self, term: sp.Expr, law: Law, k: int) -> tuple[sp.Expr, Linear]:
        factor, body = self._split(term)
        if factor != 1:
            self.used.add("linearity")
        return factor, self._body(body, law, k)

    def _split(self, term: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
        """What does not depend on x, and what does."""
        factor, body = term.as_independent(*self.at_x, as_Add=False)
        parts = []
        for piece in sp.Mul.make_args(body):
            if isinstance(piece, sp.exp):
                outside, inside = sp.expand(piece.args[0]).as_independent(*self.at_x, as_Add=True)
                factor *= sp.exp(outside)
                piece = sp.exp(inside)
            parts.append(piece)
        return factor, sp.Mul(*parts)

    def _body(self, body: sp.Expr, law: Law, k: int) -> Linear:
        alone = {
            w.log: w.logs[0]
            for name, w in self.laws.items()
            if name != "theta" and len(w.weights) == 1 and body.has(w.log)
        }
        if alone and not any(self._powers(body).values()):
            self.used.add("density")  # one component alone: its logarithm is known
            return self.mean(body.xreplace(alone), law, k)
        if k and (law.name == "p" and body.has(self.laws["p"].log)):
            powers = self._powers(body)
            if any(powers.values()):  # a density among the factors: over the whole mixture first
                return self._over_mixture(body, law, k)
        if not k:
            moved = self._measure(body, law)
            if moved is not None:
                return moved
            return self._of_mixture(body, law)
        if self._posteriors_in(body, law):
            return self._over_mixture(body, law, k)
        return self._of_component(body, law, k)

    def _over_mixture(self, body: sp.Expr, law: Law, k: int) -> Linear:
        """E_k[g] = E_p[r_k g]/π_k."""
        self.used.add("balance")
        whole = self.mean(law.posteriors[k - 1] * body, law, 0)
        return _combined([(1 / law.weights[k - 1], whole)])

    def _powers(self, body: sp.Expr) -> dict[str, sp.Expr]:
        """The exponents of p and q among the factors."""
        out = {name: sp.Integer(0) for name in self.laws if name != "theta"}
        for piece in sp.Mul.make_args(body):
            if isinstance(piece, sp.exp):
                for name in out:
                    out[name] += sp.expand(piece.args[0]).coeff(self.laws[name].log, 1)
        return out

    def _measure(self, body: sp.Expr, law: Law) -> Linear | None:
        """E_p[g q/p] = E_q[g]: under q wherever a whole q is to be had."""
        if "q" not in self.laws or len({id(w) for n, w in self.laws.items() if n != "theta"}) < 2:
            return None
        powers = self._powers(body)
        if law.name == "p" and powers["q"].is_Integer and powers["q"] >= 1:
            self.used.add("balance")
            return self.mean(body * sp.exp(law.log - self.laws["q"].log), self.laws["q"], 0)
        under_p = powers["p"].is_Integer and powers["p"] >= 1
        if law.name == "q" and powers["q"].is_Integer and powers["q"] <= -1 and under_p:
            self.used.add("balance")
            return self.mean(body * sp.exp(law.log - self.laws["p"].log), self.laws["p"], 0)
        return None

    @staticmethod
    def _posteriors_in(body: sp.Expr, law: Law) -> list[Atom]:
        found = body.free_symbols & set(law.posteriors)
        return sorted(found, key=lambda a: a.name)

    def _of_mixture(self, body: sp.Expr, law: Law) -> Linear:
        """E_p[g] = Σ π_k E_k[g], E_p[r_k g] = π_k E_k[g]; two posteriors stay as they are."""
        present = self._posteriors_in(body, law)
        if any(self._powers(body).values()):
            return {(law.name, 0, body): sp.Integer(1)}
        if not present:
            if len(law.weights) > 1 and body != 1:
                self.used.add("balance")
            if body == 1:
                return {None: sp.Integer(1)}
            parts = enumerate(law.weights, start=1)
            return _combined((w, self._of_component(body, law, k)) for k, w in parts)
        (first, *others), rest = present, body / present[0]
        if not others and not rest.has(first):
            self.used.add("balance")
            k = law.posteriors.index(first)
            return _combined([(law.weights[k], self._of_component(rest, law, k + 1))])
        return {(law.name, 0, body): sp.Integer(1)}

    def _of_component(self, body: sp.Expr, law: Law, k: int) -> Linear:
        x = self.scope.x
        if body == 1:
            return {None: sp.Integer(1)}
        degree = sp.degree(body, x) if body.is_polynomial(x) and body.free_symbols == {x} else None
        if degree is not None:
            closed = moment(law.family, int(degree))
            if closed is not None:
                self.used.add("moments")
                return {None: closed.xreplace(law.values[k - 1])}
        return {(law.name, k, body): sp.Integer(1)}

    # ------------------------------------------------------------------------- by parts

    def by_parts(self, g: sp.Expr, law: Law, k: int) -> Linear | None:
        """A combination of means that vanishes, from a test function g (``parts``); or None."""
        values = law.values[k - 1]
        if not may_part(law.family):
            return None
        x, support = self.scope.x, law.family.support
        if support == "integers":
            there = self.shifted(g) * ((x + 1) * ratio(law.family).xreplace(values))
            return self.mean(x * g - there, law, k)
        score = sp.diff(law.family.log_density, x).xreplace(values)
        h = x * g if support == "half-line" else g
        return self.mean(self.derivative(h, x) + sp.expand(h * score), law, k)


def _shorter(e: sp.Expr) -> sp.Expr:
    """An expression or its factored form, whichever is shorter."""
    return e if e.is_Symbol or e.is_number else min((e, sp.factor(e)), key=sp.count_ops)


def named(form: Linear, known: dict[Mean, sp.Symbol]) -> sp.Expr:
    """A combination as an expression, a symbol for each mean."""
    total = sp.Integer(0)
    for key, value in form.items():
        if key is None:
            total += value
            continue
        if key not in known:
            known[key] = sp.Dummy(f"m{len(known)}", real=True)
        total += value * known[key]
    return total


def _means(e: sp.Expr) -> list[Expected]:
    """The means in an expression that stand in no other mean, in a stable order."""
    out: dict[Expected, None] = {}
    stack = [e]
    while stack:
        node = stack.pop()
        if isinstance(node, Expected):
            out[node] = None
        else:
            stack.extend(node.args)
    return list(out)


def _unknown(what: str, given: object) -> DerivationError:
    return DerivationError(problem(f"no rule for {what}", given, "a numerical check"))
