r"""Where components meet: log p, its gradient and the learning equations as series in the overlap.

In: a solved view and the names of the functions that vanish together, b_i = ε b_i. Out: series in
ε with exact coefficients. At ε = 0 the mixture is one of fewer components, each a group of
components that coincide there:

    p = Σ_g W_g f_g (1 + c_{g,1} ε + c_{g,2} ε² + …),    log p = log p_0 + Σ_n l_n εⁿ,

with c_{g,n} polynomials in x and l_n polynomials in x and the posterior probabilities r_g of the
groups. They are differentiated in that form (∂r_g = r_g (∂ℓ_g − Σ_h r_h ∂ℓ_h)), and only then
averaged: where all components meet, in moments of x alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import sympy as sp
from sympy.polys.constructor import construct_domain
from sympy.polys.rings import PolyRing

from relrep_sym.declare.family import Family
from relrep_sym.equations.factored import Factors, common_factor
from relrep_sym.equations.nodes import Responsibility
from relrep_sym.equations.taylor import Quotient, derivatives, taylor
from relrep_sym.equations.truncated import Coefficient, Truncated, exponential, logarithm
from relrep_sym.equations.view_inverse import Solved
from relrep_sym.errors import DerivationError, problem

__all__ = ["Group", "Overlap"]

_EPSILON = sp.Dummy("epsilon")


@dataclass(frozen=True)
class Group:
    """Components that coincide at ε = 0: their numbers from zero, joint weight and parameters."""

    members: tuple[int, ...]
    weight: sp.Expr
    parameters: tuple[sp.Expr, ...]


@dataclass(frozen=True)
class Overlap:
    """The mixture near the overlap, to ``order`` in ε.

    ``names`` are the view's functions that vanish: one, in whose powers the series are; or several,
    whose common scale ε is then counted.
    """

    solved: Solved
    names: tuple[str, ...]
    order: int

    def __reduce__(self) -> tuple[object, ...]:  # SymPy's rings do not pickle
        return Overlap, (self.solved, self.names, self.order)

    # ------------------------------------------------------------------------- what is stated

    @property
    def family(self) -> Family:
        """The family of the components."""
        return self.solved.view.chart.model.family

    @cached_property
    def vanishing(self) -> tuple[sp.Symbol, ...]:
        """The view's functions that vanish."""
        view = self.solved.view
        return tuple(s for s in view.symbols if s.name in self.names)

    @property
    def single(self) -> bool:
        """Whether the series is in one function's powers."""
        return len(self.vanishing) == 1

    @cached_property
    def _scaled(self) -> dict[sp.Symbol, sp.Expr]:
        if self.single:
            return {self.vanishing[0]: _EPSILON}
        return {s: s * _EPSILON for s in self.vanishing}

    def _series_of(self, expression: sp.Expr, end: int) -> Quotient:
        whole = expression.xreplace(self._scaled)
        return taylor(whole, _EPSILON, end, f"{expression} at {self._where}")

    @property
    def _where(self) -> str:
        return ", ".join(f"{s} = 0" for s in self.vanishing)

    @cached_property
    def _weights(self) -> tuple[Quotient, ...]:
        return tuple(self._series_of(w, self.order + 1) for w in self.solved.weights)

    @cached_property
    def _parameters(self) -> tuple[tuple[Quotient, ...], ...]:
        return tuple(
            tuple(self._series_of(v, self.order + 1) for v in phi) for phi in self.solved.parameters
        )

    @cached_property
    def _mobility(self) -> dict[tuple[int, int], Quotient]:
        m = self.solved.mobility
        return {
            (i, j): self._series_of(m[i, j], self.order + 3)
            for i in range(m.rows)
            for j in range(m.cols)
            if m[i, j] != 0
        }

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """The components of the mixture at ε = 0; those that meet come first.

        Raises DerivationError where no components meet, or a weight vanishes.
        """
        limits = [tuple(q.limit for q in phi) for phi in self._parameters]
        found: dict[tuple[sp.Expr, ...], list[int]] = {}
        for k, phi in enumerate(limits):
            found.setdefault(phi, []).append(k)
        if len(found) == len(limits):
            shown = "; ".join(
                f"component {k + 1}: {', '.join(map(str, phi))}" for k, phi in enumerate(limits)
            )
            right = "functions of the view at whose zero all parameters of two components agree"
            hint = " (name a difference of scales too, or a view with scales tied)"
            raise DerivationError(
                problem(f"no two components meet at {self._where}", shown, right + hint)
            )
        out = []
        for phi, members in sorted(found.items(), key=lambda item: (len(item[1]) == 1, item[1])):
            weight = sp.cancel(sp.Add(*(self._weights[k].limit for k in members)))
            if weight == 0:
                shown = f"weight of component {members[0] + 1}"
                raise DerivationError(
                    problem(f"a weight vanishes at {self._where}", shown, "weights that stay")
                )
            out.append(Group(tuple(members), weight, phi))
        return tuple(out)

    @cached_property
    def centre(self) -> sp.Expr:
        """About what x is measured: where the first group lies, or zero without a location."""
        location = self.family.location
        if location is None:
            return sp.Integer(0)
        return self.groups[0].parameters[self.family.parameters.index(location)]

    # ------------------------------------------------------------------------- the ring

    @cached_property
    def _slopes(self) -> tuple[dict[tuple[int, ...], list[sp.Expr]], ...]:
        """For each group ∂^α log f/∂φ^α as coefficients of powers of x − centre, 1 ≤ |α| ≤ order.

        Of a group that is one component, the first derivatives alone.
        """
        out = []
        y = sp.Dummy("y")
        for g in self.groups:
            moving = self._moving(g)
            found = {}
            for alpha, slope in derivatives(self.family, moving, self.order).items():
                at = dict(zip(self.family.symbols, g.parameters, strict=True))
                at[self.family.x] = y + self.centre
                value = slope.xreplace(at)
                try:
                    powers = sp.Poly(value, y).all_coeffs()[::-1]
                except sp.PolynomialError:
                    powers = None
                if powers is None or any(c.has(y) for c in powers):
                    right = "a family whose log-density has derivatives polynomial in x"
                    raise DerivationError(problem("no series in moments", str(slope), right))
                found[alpha] = powers
            out.append(found)
        return tuple(out)

    def _moving(self, g: Group) -> tuple[int, ...]:
        """How often each parameter is differentiated: to the order if it moves, else once."""
        everywhere = range(len(self.family.parameters))
        return tuple(
            self.order if any(self._parameters[k][i].moves for k in g.members) else 1
            for i in everywhere
        )

    @cached_property
    def _field(self) -> tuple[object, dict[sp.Symbol, dict[object, sp.Expr]]]:
        """The field of coefficients, and how its generators change with the view's functions."""
        parts: list[sp.Expr] = [self.centre, *self.solved.view.symbols]
        parts += [g.weight for g in self.groups] + [v for g in self.groups for v in g.parameters]
        quotients = [*self._weights, *(q for phi in self._parameters for q in phi)]
        for q in [*quotients, *self._mobility.values()]:
            parts += [*q.numerator, *q.denominator]
        parts += [c for found in self._slopes for row in found.values() for c in row]
        domain = construct_domain(parts, field=True, composite=True)[0]
        slopes = {
            b: {g: g.diff(b) for g in domain.symbols if g.has(b)} for b in self.solved.view.symbols
        }
        more = [e for found in slopes.values() for e in found.values()]
        return construct_domain([*parts, *more], field=True, composite=True)[0], slopes

    @cached_property
    def _ring(self) -> PolyRing:
        names = [sp.Dummy("y"), *(sp.Dummy(f"r{g}") for g in range(len(self.groups) - 1))]
        return PolyRing(names, self._field[0])

    @property
    def _y(self) -> Coefficient:
        return self._ring.gens[0]

    @cached_property
    def _posteriors(self) -> tuple[Coefficient, ...]:
        """r_g in the ring: the last one is what the others leave."""
        one, (_, *others) = self._ring.one, self._ring.gens
        return (*others, one - sum(others, self._ring.zero))

    def _in_field(self, expression: sp.Expr) -> Coefficient:
        return self._field[0].from_sympy(expression)  # type: ignore[attr-defined]

    def _truncated(self, quotient: Quotient, end: int) -> Truncated:
        return quotient.divided(self._in_field, end)

    def _polynomial(self, powers: Sequence[sp.Expr]) -> Coefficient:
        total = self._ring.zero
        for n, c in enumerate(powers):
            total += (self._y**n).mul_ground(self._in_field(c))
        return total

    # ------------------------------------------------------------------------- log p

    @cached_property
    def log_density(self) -> Truncated:
        """Σ_{n ≥ 1} l_n εⁿ, the part of log p beyond log p_0; in the ring."""
        ring = self._ring
        terms = [ring.zero] * (self.order + 1)
        for g, group in enumerate(self.groups):
            relative = self._relative(g, group)
            for n in range(1, self.order + 1):
                terms[n] += self._posteriors[g] * relative[n]
        return Truncated(0, tuple(logarithm(terms)))

    def _relative(self, g: int, group: Group) -> list[Coefficient]:
        """(1/W_g) Σ_{k in g} π_k f_k/f_g, in powers of ε."""
        end, ring = self.order + 1, self._ring
        whole = [ring.zero] * end
        share = 1 / self._in_field(group.weight)
        powers = {a: self._polynomial(c) for a, c in self._slopes[g].items()}
        for k in group.members:
            steps = []
            for q, limit in zip(self._parameters[k], group.parameters, strict=True):
                start = Truncated(0, (-self._in_field(limit),) + (self._field[0].zero,) * (end - 1))  # type: ignore[attr-defined]
                steps.append((self._truncated(q, end) + start).stripped())
            exponent = [ring.zero] * end
            for alpha, slope in powers.items():
                step = _monomial(steps, alpha, end)
                if step is None:
                    continue
                for n in range(max(step.low, 1), end):
                    c = step[n]
                    if c:
                        exponent[n] += slope.mul_ground(c)
            grown = exponential(exponent, ring.one)
            weight = self._truncated(self._weights[k], end)
            for n in range(end):
                for m in range(n + 1):
                    c = weight[m]
                    if c:
                        whole[n] += grown[n - m].mul_ground(c * share)
        return whole

    # ------------------------------------------------------------------------- its gradient

    @cached_property
    def gradient(self) -> dict[sp.Symbol, Truncated]:
        """∂ log p/∂b_j as series, for each function of the view; in the ring."""
        return {b: self._derivative(b) for b in self.solved.view.symbols}

    def _derivative(self, b: sp.Symbol) -> Truncated:
        series = self.log_density
        if b in self.vanishing:
            if self.single:
                return series.diff()
            return series.map(lambda c: self._coefficientwise(c, b)).shifted(-1)
        log_weights = [self._log_slope(g, group, b) for g, group in enumerate(self.groups)]
        mean = sum(
            (r * s for r, s in zip(self._posteriors, log_weights, strict=True)), self._ring.zero
        )
        turns = [
            r * (s - mean) for r, s in zip(self._posteriors[:-1], log_weights[:-1], strict=True)
        ]
        shift = -self._in_field(self.centre.diff(b))

        def along(c: Coefficient) -> Coefficient:
            total = self._coefficientwise(c, b) + c.diff(self._y).mul_ground(shift)
            for generator, turn in zip(self._ring.gens[1:], turns, strict=True):
                total += c.diff(generator) * turn
            return total

        moved = series.map(along)
        return Truncated(0, (mean, *moved.terms[1:]))

    def _log_slope(self, g: int, group: Group, b: sp.Symbol) -> Coefficient:
        """∂/∂b of log W_g + log f_g."""
        weight = self._in_field(group.weight)
        total = self._ring.ground_new(self._in_field(group.weight.diff(b)) / weight)
        for i, value in enumerate(group.parameters):
            change = value.diff(b)
            if change != 0:
                alpha = tuple(int(j == i) for j in range(len(group.parameters)))
                total += self._polynomial(self._slopes[g][alpha]).mul_ground(self._in_field(change))
        return total

    def _coefficientwise(self, c: Coefficient, b: sp.Symbol) -> Coefficient:
        """∂/∂b of the coefficients alone."""
        slopes = {g: self._in_field(e) for g, e in self._field[1][b].items()}
        field = self._field[0]
        if not slopes:
            return self._ring.zero
        generators = dict(zip(field.symbols, field.gens, strict=True))  # type: ignore[attr-defined]
        out = self._ring.zero
        for monomial, value in c.terms():
            total = field.zero  # type: ignore[attr-defined]
            for g, slope in slopes.items():
                total += value.diff(generators[g]) * slope
            out += self._ring({monomial: total})
        return out

    @cached_property
    def rates(self) -> tuple[Truncated, ...]:
        """Σ_j (JJᵀ)_ij ∂ log p/∂b_j: the learning of each function of the view, before the mean."""
        out = []
        view = self.solved.view
        for i in range(len(view.symbols)):
            total: Truncated | None = None
            for j, b in enumerate(view.symbols):
                if (i, j) not in self._mobility:
                    continue
                slope = self.gradient[b].stripped()
                q = self._mobility[i, j]
                m = self._truncated(q, self.order + 3 + max(0, q.low)).map(self._ring.ground_new)
                term = m * slope
                total = term if total is None else total + term
            assert total is not None  # a row of JJᵀ is zero only where the function is a constant
            out.append(total)
        return tuple(out)

    # ------------------------------------------------------------------------- back to SymPy

    def terms(self, c: Coefficient) -> tuple[Factors, list[tuple[tuple[int, ...], Factors]]]:
        """A ring element as common factors, and pairs (powers of x − centre, r_1, …; factors).

        Low powers of r and high powers of x come first.
        """
        pairs = sorted(c.terms(), key=lambda t: (sum(t[0][1:]), t[0][1:], -t[0][0]))
        if not pairs:
            return (), []
        factor, rest = common_factor(self._field[0], [value for _, value in pairs])
        return factor, [(m, r) for (m, _), r in zip(pairs, rest, strict=True)]

    @cached_property
    def log_weighted(self) -> tuple[sp.Expr, ...]:
        """log W_g + log f(x | φ_g) of the mixture at ε = 0."""
        out = []
        for g in self.groups:
            at = dict(zip(self.family.symbols, g.parameters, strict=True))
            logarithm_ = sp.log(g.weight) if len(self.groups) > 1 else sp.Integer(0)
            out.append(logarithm_ + self.family.log_density.xreplace(at))
        return tuple(out)

    @cached_property
    def responsibilities(self) -> tuple[Responsibility, ...]:
        """r_g as nodes."""
        return tuple(Responsibility(g + 1, *self.log_weighted) for g in range(len(self.groups)))


def _monomial(steps: Sequence[Truncated], alpha: Sequence[int], end: int) -> Truncated | None:
    """Π steps_i^alpha_i, or None where it is beyond the end."""
    total: Truncated | None = None
    for step, n in zip(steps, alpha, strict=True):
        for _ in range(n):
            if not step.terms:
                return None
            total = step if total is None else (total * step).cut(end)
    return total
