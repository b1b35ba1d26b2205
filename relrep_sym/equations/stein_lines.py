r"""What the Stein form shows: slopes in x, C = E[ψψᵀ], and the gradient of the loss by them.

In: a :class:`~.stein.SteinForm` and a :class:`~.generic.Generic`. Out: lines for every component at
once. ψ̃ is the posterior mean of the location, as in paper 004.
"""

from __future__ import annotations

import sympy as sp

from relrep_sym.declare.symbols import latex_name, script
from relrep_sym.declare.truth import Truth
from relrep_sym.equations.generic import Generic
from relrep_sym.equations.lines import Line, name_at, numbers_to, where_text
from relrep_sym.equations.nodes import ComponentSum, Entry, Expectation, Posterior, Terms
from relrep_sym.equations.stein import SteinForm, components_of

__all__ = ["stein_lines"]

_PSI = Posterior("~psi")
_LOSS = r"\mathrm{KL}(q \,\|\, p)"


def stein_lines(g: Generic, form: SteinForm, truth: Truth | None = None) -> tuple[Line, ...]:
    """ψ̃, its slope and those of r_k; then the gradient, by C where q is N(0, σ²)."""
    count = form.model.components
    over = form.scale**2
    location = form.model.family.location
    assert location is not None
    mean = g.phi(location.name, "k")
    slope = Posterior.of("r", "k") * Terms(mean, -_PSI) / over
    each = where_text(numbers_to(count))
    psi = ComponentSum.over(g.posterior("k") * mean, "k", 1, count)
    lines = [
        Line(_PSI, psi),
        Line(r"\frac{\partial r_k(x)}{\partial x}", slope, each),
        Line(r"\frac{\partial \tilde{\psi}(x)}{\partial x}", _spread(g, form, location.name)),
    ]
    left = rf"\frac{{\partial {_LOSS}}}{{\partial {name_at(location.name, 'k')}}}"
    if truth is not None:
        return (*lines, Line(left, _under(g, form, truth), each))
    square = Expectation(_PSI**2, form.model.family.x, sp.Symbol("q"))
    entry = Entry("C[kj]") * g.phi(location.name, "j")
    product = ComponentSum.over(entry, "j", 1, count) / over
    total = rf"\sum_{{k=1}}^{script(str(count))} {name_at(location.name, 'k')} {left}"
    c = Expectation(g.posterior("k") * g.posterior("j"), form.model.family.x, sp.Symbol("q"))
    return (
        *lines,
        Line("C_{kj}", c),
        Line(left, product, each),
        Line(total, square / over),
        Line(
            rf"\nabla_{script(g.point)} {_LOSS}",
            rf"\left(\frac{{\partial {latex_name(location.name)}}}{{\partial {g.point}}}\right)"
            rf"^{{\top}} \frac{{\partial {_LOSS}}}{{\partial {latex_name(location.name)}}}",
        ),
    )


def _spread(g: Generic, form: SteinForm, role: str) -> sp.Expr:
    """Σ_{i<j} r_i r_j (μ_i − μ_j)²/σ², as half of the double sum."""
    count = form.model.components
    apart = Terms(g.phi(role, "i"), -g.phi(role, "j")) ** 2
    body = g.posterior("i") * g.posterior("j") * apart
    inner = ComponentSum.over(body, "j", 1, count)
    return ComponentSum.over(inner, "i", 1, count) / (2 * form.scale**2)


def _under(g: Generic, form: SteinForm, truth: Truth) -> sp.Expr:
    """The gradient under a truth, a mean for each of its components."""
    family = form.model.family
    assert family.location is not None
    mean, x = g.phi(family.location.name, "k"), family.x
    terms = []
    for p, place, scale, name in components_of(family, truth, form.scale):
        ratio = sp.cancel(scale**2 / form.scale**2)
        inner = [ratio * _PSI, (1 - ratio) * mean, -place]
        inner = [e for e in inner if e != 0]
        inside = Terms(*inner) if len(inner) > 1 else inner[0]
        terms.append(p * Expectation(g.posterior("k") * inside, x, sp.Symbol(name)))
    whole = terms[0] if len(terms) == 1 else Terms(*terms)
    return whole / form.scale**2
