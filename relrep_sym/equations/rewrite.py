r"""Named rewrites of expectations, one rule at a time, as a user applies them.

In: an expression with means in it (:class:`~relrep_sym.declare.nodes.Expected`), read in a scope.
Out: an equal one. The rules are those of :mod:`.expect`:

- ``derivative`` does derivatives, ``linearity`` takes out what does not depend on x;
- ``balance`` splits a mixture, E_p[g] = Σ π_k E_k[g] and E_p[r_k g] = π_k E_k[g];
- ``moments`` puts in closed moments (after linearity and balance);
- ``stein`` (on the integers the Stein–Chen identity) lowers a power of x by one,
  E_k[x g] = μ_k E_k[g] + σ_k² E_k[g'] for a normal component; ``parts`` is another name for it.
"""

from __future__ import annotations

from collections.abc import Callable

import sympy as sp

from relrep_sym.declare.identity import Scope
from relrep_sym.declare.nodes import At, Expected, Slope
from relrep_sym.declare.symbols import Parameter
from relrep_sym.equations.expect import Calculus, Law
from relrep_sym.equations.parts import may_part, ratio
from relrep_sym.errors import DerivationError, problem

__all__ = ["RULES", "rewritten"]


def rewritten(scope: Scope, e: sp.Expr, rule: str) -> sp.Expr:
    """The expression with a rule applied to every mean in it.

    Raises DerivationError for an unknown rule, and where the rule says nothing of a mean.

    >>> from relrep_sym.declare.chart import identity
    >>> from relrep_sym.declare.model import mixture
    >>> scope = Scope(identity(mixture("normal", components=2)))
    >>> e = scope.read("E_1[x*r_2]", "an expression")
    >>> rewritten(scope, e, "stein")
    E_1[r_2*mu_1 + sigma_1**2*D[r_2, x]]
    """
    if rule not in RULES:
        raise DerivationError(problem("there is no such rule", rule, "one of " + ", ".join(RULES)))
    calculus = Calculus(scope)
    found = calculus.resolved(e) if rule == "derivative" else _each(calculus, e, RULES[rule])
    if any(isinstance(s.args[1], Parameter) for s in found.atoms(Slope)):
        return found
    same = {t: c for t, c in scope.theta.items() if c.is_Symbol}
    return found.xreplace(same)  # entries of θ that are coordinates, as coordinates


Rule = Callable[[Calculus, Expected], sp.Expr]


def _each(calculus: Calculus, e: sp.Expr, rule: Rule) -> sp.Expr:
    if isinstance(e, Expected):
        inner = _each(calculus, e.args[0], rule)
        return rule(calculus, Expected(inner, e.args[1]))
    if not e.has(Expected):
        return e
    return e.func(*(_each(calculus, a, rule) for a in e.args))


def _terms(calculus: Calculus, mean: Expected) -> list[tuple[sp.Expr, sp.Expr]]:
    """Factors that do not depend on x, and what they multiply."""
    inner = sp.expand(mean.args[0], power_exp=False, power_base=False, log=False)
    names = [a for a in inner.free_symbols if a in calculus.at_x or a.name[0] in "fpq"]
    at_x = {calculus.scope.x, *names}
    out = []
    for term in sp.Add.make_args(inner):
        factor, body = term.as_independent(*at_x, as_Add=False)
        out.append((factor, body))
    return out


def _linearity(calculus: Calculus, mean: Expected) -> sp.Expr:
    density = mean.args[1]
    return sp.Add(*(c * (Expected(b, density) if b != 1 else 1) for c, b in _terms(calculus, mean)))


def _component(density: sp.Symbol, k: int) -> sp.Symbol:
    return sp.Symbol(f"{density.name[0]}_{k}")


def _law(calculus: Calculus, density: sp.Symbol) -> tuple[Law, int]:
    name, _, number = density.name.partition("_")
    law = calculus.laws["theta" if name == "p" else name]
    return law, int(number or 0)


def _balance(calculus: Calculus, mean: Expected) -> sp.Expr:
    density = mean.args[1]
    law, k = _law(calculus, density)
    if k:
        return mean
    out = []
    for factor, body in _terms(calculus, mean):
        present = [i for i, r in enumerate(law.posteriors, start=1) if body.has(r)]
        if body == 1:
            out.append(factor)
        elif len(present) == 1 and not (body / law.posteriors[present[0] - 1]).has(
            law.posteriors[present[0] - 1]
        ):
            i = present[0]
            rest = body / law.posteriors[i - 1]
            whole = Expected(rest, _component(density, i)) if rest != 1 else sp.Integer(1)
            out.append(factor * law.weights[i - 1] * whole)
        elif not present:
            parts = enumerate(law.weights, start=1)
            out.append(
                factor * sp.Add(*(w * Expected(body, _component(density, i)) for i, w in parts))
            )
        else:
            out.append(factor * Expected(body, density))
    return sp.Add(*out)


def _moments(calculus: Calculus, mean: Expected) -> sp.Expr:
    """Means of polynomials in closed form; others stay."""
    plain = calculus.resolved(mean)
    law, k = calculus.law(plain.args[1])
    form = calculus.mean(plain.args[0].xreplace(calculus.scope.theta), law, k)
    out = sp.Integer(0)
    for key, value in form.items():
        name = None if key is None else sp.Symbol(key[0] + (f"_{key[1]}" if key[1] else ""))
        out += value if key is None else value * Expected(key[2], name)
    return out


def _stein(calculus: Calculus, mean: Expected) -> sp.Expr:
    density, x = mean.args[1], calculus.scope.x
    law, k = _law(calculus, density)
    if not k and len(law.weights) > 1:
        parts = enumerate(law.weights, start=1)
        return sp.Add(
            *(
                w * _stein(calculus, Expected(mean.args[0], _component(density, i)))
                for i, w in parts
            )
        )
    if not may_part(law.family):
        right = "a smooth log-density whose tails fall exponentially"
        raise DerivationError(problem("parts leave something at the ends", law.family.name, right))
    values, support = law.values[max(k, 1) - 1], law.family.support
    out = sp.Integer(0)
    for factor, body in _terms(calculus, mean):
        power = body.as_coeff_exponent(x)[1] if body != 1 else 0
        g = body / x
        if not (getattr(power, "is_integer", False) and power >= 1) or g.subs(x, 0).has(sp.zoo):
            out += factor * body
            continue
        if support == "integers":
            there = At(g, x + 1) if g.free_symbols & (calculus.at_x - {x}) else g.subs(x, x + 1)
            out += factor * sp.cancel((x + 1) * ratio(law.family).xreplace(values)) * there
            continue
        score = sp.diff(law.family.log_density, x).xreplace(values)
        score = sp.expand(x * score if support == "half-line" else score)
        if not score.is_polynomial(x) or sp.degree(score, x) != 1:
            right = "a log-density whose derivative in x is linear (on the half-line, times x)"
            raise DerivationError(problem("no such rule for", law.family.name, right))
        slope, level = score.coeff(x, 1), score.coeff(x, 0)
        opaque = bool(g.free_symbols & (calculus.at_x - {x}))
        moved = Slope(g, x) if opaque else sp.diff(g, x)
        moved = g + x * moved if support == "half-line" else moved
        out += factor * sp.expand(-(moved + level * g) / slope, deep=False)
    return Expected(out, density)


RULES: dict[str, Rule] = {
    "derivative": _linearity,  # done before any rule is applied to means
    "linearity": _linearity,
    "balance": _balance,
    "moments": _moments,
    "stein": _stein,
    "parts": _stein,
}
