r"""What the equations of a derivation show: lines left = right, for every component at once.

In: a :class:`~relrep_sym.equations.generic.Generic`. Out: tuples of :class:`Line`. A line says what
its equation's ``value`` says entry by entry; the tests read the printed lines back and hold them
against it. Nothing here costs more than a few lines, however many components there are. Lines of
charts and views are in :mod:`.chart_lines`, those of the M-step in :mod:`.em_lines`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sympy as sp
from sympy.core.sympify import _sympify

from relrep_sym.declare.chart import identity
from relrep_sym.declare.symbols import at_index, latex_name, script, split_index
from relrep_sym.equations import single
from relrep_sym.equations.generic import Coordinates, Generic, turned
from relrep_sym.equations.nodes import Index

__all__ = [
    "Line",
    "at_one",
    "averaged_lines",
    "density",
    "density_latex",
    "density_lines",
    "each",
    "fisher_lines",
    "jacobian_line",
    "kl_lines",
    "likelihood_lines",
    "listed",
    "log_weighted_latex",
    "mark_at",
    "mixture_latex",
    "name_at",
    "numbers_to",
    "pulled_averaged_lines",
    "pulled_score_lines",
    "rate_left",
    "score_left",
    "score_lines",
    "spaced",
    "where_text",
]


@dataclass(frozen=True)
class Line:
    r"""One line of an equation: left side and right side in SymPy or ready LaTeX.

    ``where`` says in LaTeX for which components a generic line holds, such as ``k = 1, \dots, 8``;
    it is empty where there is nothing to say.
    """

    left: sp.Basic | str
    right: sp.Basic | str
    where: str = ""


# ------------------------------------------------------------------------------ words in LaTeX


def listed(names: Sequence[str]) -> str:
    r"""Names in a row; of a run of more than three numbers the first and the last.

    >>> listed(["mu_1", "Delta_1", "Delta_2", "Delta_3", "Delta_4"])
    '\\mu_1, \\Delta_1, \\dots, \\Delta_4'
    """
    groups: list[list[str]] = []
    before: tuple[str, int | None] | None = None
    for name in names:
        stem, number = split_index(name)
        follows = before is not None and number is not None and before == (stem, number - 1)
        if follows:
            groups[-1].append(name)
        else:
            groups.append([name])
        before = (stem, number)
    shown: list[str] = []
    for group in groups:
        words = [latex_name(group[0]), r"\dots", latex_name(group[-1])]
        shown += words if len(group) > 3 else [latex_name(n) for n in group]
    return ", ".join(shown)


def where_text(numbers: Sequence[int], letter: str = "k") -> str:
    """For which numbers a generic line holds."""
    if len(numbers) > 3 and list(numbers) == list(range(numbers[0], numbers[-1] + 1)):
        return rf"@{letter} = {numbers[0]}, \dots, {numbers[-1]}"
    return f"@{letter} = {', '.join(map(str, numbers))}"


def numbers_to(count: int) -> list[int]:
    """The components' numbers."""
    return list(range(1, count + 1))


def name_at(stem: str, i: Index | None) -> str:
    """An entry in LaTeX."""
    return latex_name(stem, None if i is None else at_index(str(i)))


def mark_at(mark: str, i: Index) -> str:
    """A quantity of the equations' own at a component, by its mark."""
    return f"@{mark}_{script(at_index(str(i)))}"


def each(run: Coordinates) -> tuple[Index | None, str]:
    """The index at which a run is shown, and where it holds."""
    if not run.numbers:
        return None, ""
    if len(run.numbers) == 1:
        return run.numbers[0], ""
    return "k", where_text(run.numbers)


# ------------------------------------------------------------------------------ the model


def _arguments(g: Generic, i: Index | None) -> str:
    """What stands after the bar in f(x | …): the family's parameters that are no given number."""
    shown = []
    for p in g.model.family.parameters:
        if p.name not in g.constants:
            shown.append(name_at(p.name, None if p.name in g.tied else i))
    return ", ".join(shown)


def density_latex(g: Generic, i: Index | None) -> str:
    """F(x | φ_i)."""
    inner = _arguments(g, i)
    return rf"@f(@x \mid {inner})" if inner else "@f(@x)"


def mixture_latex(g: Generic, letter: str = "k") -> str:
    r"""Σ_k π_k f(x | φ_k).

    >>> from relrep_sym.declare.chart import identity
    >>> from relrep_sym.declare.model import mixture
    >>> mixture_latex(Generic(identity(mixture("poisson", components=2))))
    '\\sum_{@k=1}^2 \\pi_@k @f(@x \\mid \\rho_@k)'
    """
    count = g.model.components
    if count == 1:
        return density_latex(g, 1)
    head = rf"\sum_{{@{letter}=1}}^{script(str(count))} "
    return head + _weighted(g, letter)


def _weighted(g: Generic, i: Index) -> str:
    weight = g.constants.get("weight")
    if weight is None:
        shown = name_at("pi", i)
    else:
        shown = rf"\tfrac{{{weight.p}}}{{{weight.q}}}" if weight.is_Rational else sp.latex(weight)
    return f"{shown} {density_latex(g, i)}"


def density(g: Generic) -> sp.Expr:
    """One component's density, as a product: powers, factorials and one exponential.

    >>> from relrep_sym.declare.chart import identity
    >>> from relrep_sym.declare.model import mixture
    >>> density(Generic(identity(mixture("poisson", components=2))))
    rate**x*exp(-rate)/factorial(x)
    """
    family = g.model.family
    logarithm = family.log_density.xreplace(
        {
            p.symbol: _sympify(g.constants[p.name])
            for p in family.parameters
            if p.name in g.constants
        }
    )
    factors, exponent = [], []
    for term in sp.Add.make_args(logarithm):
        rest, logs = term.as_independent(sp.log, sp.loggamma, as_Add=False)
        if isinstance(logs, sp.log):
            factors.append(logs.args[0] ** rest)
        elif isinstance(logs, sp.loggamma) and rest.is_Integer:
            inner = logs.args[0]
            whole = family.discrete and inner == family.x + 1
            factors.append((sp.factorial(inner - 1) if whole else sp.gamma(inner)) ** rest)
        else:
            exponent.append(term)
    return sp.Mul(*_with_binomial(factors, family.x), sp.exp(sp.Add(*exponent)))


def _with_binomial(factors: Sequence[sp.Expr], x: sp.Symbol) -> list[sp.Expr]:
    """Factors with 1/(x! Γ(n − x + 1)) as a binomial coefficient over n!."""
    out = list(factors)
    for f in factors:
        if isinstance(f, sp.Pow) and f.exp == -1 and isinstance(f.base, sp.gamma):
            n = f.base.args[0] + x - 1
            if n.is_Integer and 1 / sp.factorial(x) in out:
                out.remove(f)
                out.remove(1 / sp.factorial(x))
                out += [sp.binomial(n, x, evaluate=False), 1 / sp.factorial(n)]
    return out


def density_lines(g: Generic) -> tuple[Line, ...]:
    """The E-step: responsibilities, and the component's density written out."""
    count = g.model.components
    if count == 1:
        first = Line(_r(1), sp.Integer(1))
    else:
        ratio = rf"\frac{{{_weighted(g, 'k')}}}{{{mixture_latex(g, 'j')}}}"
        first = Line(_r("k"), ratio, where_text(numbers_to(count)))
    return (first, Line(density_latex(g, None), density(g)))


def _r(i: Index) -> str:
    return mark_at("r", i) + "(@x)"


def likelihood_lines(g: Generic) -> tuple[Line, ...]:
    """L(λ) = E_q[log p]."""
    return (Line(r"@L(@\lambda)", rf"@E_@q\left[\log {mixture_latex(g)}\right]"),)


def kl_lines(g: Generic) -> tuple[Line, ...]:
    """KL(q ‖ p)."""
    ratio = rf"\log \frac{{@q(@x)}}{{{mixture_latex(g)}}}"
    return (Line(r"@{KL}(@q \,\|\, @p)", rf"@E_@q\left[{ratio}\right]"),)


def log_weighted_latex(g: Generic, left: str) -> Line:
    """ℓ_k(x) = log π_k f(x | φ_k)."""
    return Line(left, rf"\log {_weighted(g, 'k')}", where_text(numbers_to(g.model.components)))


def fisher_lines(g: Generic) -> tuple[Line, ...]:
    """Fisher information in θ, and its pull-back."""
    s = r"\frac{\partial \log @p(@x)}{\partial @\theta}"
    outer: sp.Basic | str = rf"@E_@p\left[{s} \left({s}\right)^{{\top}}\right]"
    if g.model.components == 1:  # worked out, by the rules
        outer = at_one(g, single.information(g.model.family))
    return (
        Line(r"@I_@\theta", outer),
        Line(r"@I_@\lambda", r"@J^{\top} @I_@\theta @J"),
        jacobian_line(),
    )


def at_one(g: Generic, matrix: sp.ImmutableMatrix) -> sp.ImmutableMatrix:
    """A matrix in a family's symbols as one component's, of what is learned."""
    family = g.model.family
    places = [family.parameters.index(family.parameter(p.role)) for p in g.model.parameters]
    shown = matrix.extract(places, places)
    return sp.ImmutableMatrix(shown.applyfunc(lambda e: g.at_component(turned(e, family), 1)))


def jacobian_line() -> Line:
    """J = ∂θ/∂λ."""
    return Line("@J", r"\frac{\partial @\theta}{\partial @\lambda}")


# ------------------------------------------------------------------------------ the gradient


def score_left(coordinate: str) -> str:
    """∂ log p(x)/∂λ_j, the coordinate in LaTeX."""
    return rf"\frac{{\partial \log @p(@x)}}{{\partial {spaced(coordinate)}}}"


def rate_left(coordinate: str) -> str:
    """dλ_j/dt, the coordinate in LaTeX."""
    return rf"\frac{{@d{spaced(coordinate)}}}{{@d@t}}"


def spaced(name: str) -> str:
    """A name after d or ∂: a word stands a little apart."""
    return rf"\, {name}" if name.startswith((r"\mathrm", r"\log")) else name


def score_lines(g: Generic) -> tuple[Line, ...]:
    """∂ log p(x)/∂λ_j."""
    lines = []
    for run in g.runs:
        i, where = each(run)
        lines.append(Line(score_left(name_at(run.stem, i)), g.score(run, i), where))
    return tuple(lines)


def pulled_score_lines(g: Generic) -> tuple[Line, ...]:
    """∂ log p(x)/∂λ by the Jacobian, and ∂ log p(x)/∂θ: for charts with intermediates."""
    total = r"@J^{\top} \frac{\partial \log @p(@x)}{\partial @\theta}"
    first = Line(r"\frac{\partial \log @p(@x)}{\partial @\lambda}", total)
    return (first, jacobian_line(), *score_lines(Generic(identity(g.model))))


def pulled_averaged_lines(g: Generic) -> tuple[Line, ...]:
    """dλ/dt = η Jᵀ ∂L/∂θ: for charts with intermediates."""
    total = r"@\eta @J^{\top} \frac{\partial @L}{\partial @\theta}"
    plain = Generic(identity(g.model))
    lines = [Line(rate_left(r"@\lambda"), total), jacobian_line()]
    for run in plain.runs:
        i, where = each(run)
        left = rf"\frac{{\partial @L}}{{\partial {spaced(name_at(run.stem, i))}}}"
        lines.append(Line(left, plain.averaged(run, i), where))
    return tuple(lines)


def averaged_lines(g: Generic) -> tuple[Line, ...]:
    """dλ_j/dt = η E_q[…]."""
    eta = sp.Symbol("eta", positive=True)
    lines = []
    for run in g.runs:
        i, where = each(run)
        lines.append(Line(rate_left(name_at(run.stem, i)), eta * g.averaged(run, i), where))
    return tuple(lines)
