r"""What the Stein form shows: slopes in x, G = E[ψψᵀ], and the gradient of the loss by them.

In: a :class:`~.stein.SteinForm` and a :class:`~.generic.Generic`. Out: lines for every component at
once. ψ̃ is the posterior mean of the location, as in Xu, Fazel and Du (2024).
"""

from __future__ import annotations

import sympy as sp

from relrep_sym.declare.symbols import latex_name, script
from relrep_sym.declare.truth import Truth
from relrep_sym.equations.generic import Generic
from relrep_sym.equations.lines import Line, name_at, numbers_to, where_text
from relrep_sym.equations.nodes import ComponentSum, Expectation, Posterior, Terms
from relrep_sym.equations.stein import SteinForm, components_of

__all__ = ["stein_lines"]

_PSI = Posterior(r"\psi")
_LOSS = r"@{KL}(@q \,\|\, @p)"


def stein_lines(g: Generic, form: SteinForm, truth: Truth | None = None) -> tuple[Line, ...]:
    """ψ̃, its slope and those of r_k; then the gradient, by G where q is N(0, σ²)."""
    count = form.model.components
    over, top = form.scale**2, script(str(count))
    location = form.model.family.location
    assert location is not None
    mean = g.phi(location.name, "k")
    slope = Posterior.of("r", "k") * Terms(mean, -_PSI) / over
    each = where_text(numbers_to(count))
    psi = ComponentSum.over(g.posterior("k") * mean, "k", 1, count)
    apart = f"({name_at(location.name, 'i')} - {name_at(location.name, 'j')})^2"
    half = _over(2 * over) + (
        rf"\sum_{{@i=1}}^{top} \sum_{{@j=1}}^{top} @r_@i(@x) @r_@j(@x) {apart}"
    )
    lines = [
        Line(_PSI, psi),
        Line(r"\frac{\partial @r_@k(@x)}{\partial @x}", slope, each),
        Line(r"\frac{\partial @\psi(@x)}{\partial @x}", half),
    ]
    left = rf"\frac{{\partial {_LOSS}}}{{\partial {name_at(location.name, 'k')}}}"
    if truth is not None:
        return (*lines, *_parts(form, truth), Line(left, _under(g, form, truth), each))
    square = Expectation(_PSI**2, form.model.family.x, sp.Symbol("q"))
    product = _over(over) + (rf"\sum_{{@j=1}}^{top} @G_{{@k@j}} {name_at(location.name, 'j')}")
    total = rf"\sum_{{@k=1}}^{top} {name_at(location.name, 'k')} {left}"
    c = Expectation(g.posterior("k") * g.posterior("j"), form.model.family.x, sp.Symbol("q"))
    return (
        *lines,
        Line("@G_{@k@j}", c),
        Line(left, product, each),
        Line(total, square / over),
        Line(
            rf"\nabla_@\lambda {_LOSS}",
            rf"\left(\frac{{\partial {latex_name(location.name)}}}{{\partial @\lambda}}\right)"
            rf"^{{\top}} \frac{{\partial {_LOSS}}}{{\partial {latex_name(location.name)}}}",
        ),
    )


def _over(divisor: sp.Expr) -> str:
    """1/divisor before a sum, nothing where that is one."""
    return "" if divisor == 1 else f"{sp.latex(1 / divisor)} "


def _parts(form: SteinForm, truth: Truth) -> tuple[Line, ...]:
    """Q as the sum of its components, where there are several."""
    parts = components_of(form.model.family, truth, form.scale)
    if len(parts) == 1:
        return ()
    terms = [p * Posterior.of("q", j) for j, (p, *_) in enumerate(parts, start=1)]
    return (Line("@q(@x)", Terms(*terms)),)


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
