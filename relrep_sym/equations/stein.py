r"""The gradient of the loss by second moments of the responsibilities: Stein's identity.

In: a model whose components have one fixed scale and no other shape, and a truth of the same
family. Out: :class:`SteinForm`: the slopes of the responsibilities in x, and ∇ KL by

.. math:: C_j = \operatorname{E}_{q_j}[\psi \psi^\top], \quad \psi = (r_1(x), \dots, r_K(x))^\top.

Where the log-odds of any two components are linear in x, r_k has the slope r_k (t_k − Σ_i r_i t_i),
t_k what of ∂ log f_k/∂x is not common to all. A truth's component with ∂ log q_j/∂x = (m_j −
x)/s_j² turns E_j[x g] into m_j E_j[g] + s_j² E_j[∂g/∂x]: integration by parts. With both, means of
x r_k become means of r_k and of r_k r_i. Nothing is known of a family by name: what it must be like
is proven of its log-density, and what is not so is refused.

Source: Xu, Fazel and Du 2024, Lemma 9 and Corollary 10, for unit scales and the truth N(0, I).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import sympy as sp
from sympy.core.sympify import _sympify

from relrep_sym.declare.chart import Chart
from relrep_sym.declare.family import Family
from relrep_sym.declare.model import Mixture
from relrep_sym.declare.truth import Truth
from relrep_sym.equations.nodes import Expectation, Responsibility
from relrep_sym.errors import DerivationError, problem

__all__ = ["SteinForm", "by_parts", "components_of", "insist_apart", "pulled_back", "stein_form"]


@dataclass(frozen=True)
class SteinForm:
    """What the derivation leaves of a model: every entry exact, r_k opaque.

    Attributes:
        model: the model.
        responsibilities: r_1(x) … r_K(x).
        locations: μ_1 … μ_K: parameters, or the numbers that some are fixed at.
        scale: the one scale σ of all components.
        tilts: t_k = μ_k/σ², the slopes of log f_k in x less what all have in common.
    """

    model: Mixture
    responsibilities: tuple[Responsibility, ...]
    locations: tuple[sp.Expr, ...]
    scale: sp.Expr
    tilts: tuple[sp.Expr, ...]

    @property
    def posterior_mean(self) -> sp.Expr:
        """ψ̃(x) = Σ_k r_k(x) μ_k."""
        return sp.Add(*(r * m for r, m in zip(self.responsibilities, self.locations, strict=True)))

    def slope(self, k: int) -> sp.Expr:
        """∂r_k/∂x, k from zero."""
        r = self.responsibilities
        common = sp.Add(*(a * t for a, t in zip(r, self.tilts, strict=True)))
        return r[k] * (self.tilts[k] - common)

    @property
    def mean_slope(self) -> sp.Expr:
        """∂ψ̃/∂x as ½ Σ_i Σ_j r_i r_j (μ_i − μ_j)(t_i − t_j): nowhere negative."""
        r, m, t = self.responsibilities, self.locations, self.tilts
        pairs = [(i, j) for i in range(len(r)) for j in range(i)]
        return sp.Add(*(r[i] * r[j] * (m[i] - m[j]) * (t[i] - t[j]) for i, j in pairs))

    def gradient(self, truth: Truth | None = None) -> tuple[sp.Expr, ...]:
        """∂ KL(q ‖ p)/∂μ_k, component by component; by default q is N(0, σ²).

        Means under the truth's component j are taken under ``q_j``, those under a truth of one
        component under ``q``.

        Raises DerivationError for a truth of another family.
        """
        x = self.model.family.x
        parts = components_of(self.model.family, truth, self.scale)
        out = []
        for k, (r, mean) in enumerate(zip(self.responsibilities, self.locations, strict=True)):
            total: sp.Expr = sp.Integer(0)
            for p, m, s, name in parts:
                # −E_j[∂ log p/∂μ_k] = (μ_k E_j[r_k] − E_j[x r_k])/σ²
                integrand = mean * r - by_parts(r, self.slope(k), m, s)
                total += p * _mean(integrand / self.scale**2, x, name, self.responsibilities)
            out.append(total)
        return tuple(out)


def by_parts(g: sp.Expr, slope: sp.Expr, place: sp.Expr, scale: sp.Expr) -> sp.Expr:
    """What has the mean of x g under N(place, scale²): place · g + scale² ∂g/∂x."""
    return place * g + scale**2 * slope


def stein_form(
    model: Mixture, responsibilities: Callable[[], Sequence[Responsibility]]
) -> SteinForm:
    """The slopes of a model's responsibilities in x, where they need no x.

    ``responsibilities`` makes them: only where the model qualifies are they needed.

    Raises DerivationError, and says what would be right, where a scale is learned or the scales
    differ, where no location is learned, and where the family is not the normal one by its shape.

    >>> from relrep_sym.declare.chart import identity
    >>> from relrep_sym.declare.model import mixture
    >>> from relrep_sym.equations.record import Record
    >>> record = Record("demo", identity(mixture("normal", components=3, scales=2)))
    >>> form = stein_form(record.model, lambda: record.responsibilities)
    >>> form.tilts, form.slope(0).subs(dict(zip(form.responsibilities, (1, 0, 0))))
    ((mu_1/4, mu_2/4, mu_3/4), 0)
    """
    family, right = model.family, "a mixture of normals with one fixed scale and free means"
    location = family.location
    if model.components == 1:
        raise _no("one component", right)
    if location is None or family.support != "line":
        raise _no(f"a {family.name} family", "a family with a location on the line")
    if not any(p.role == location.name for p in model.parameters):
        raise _no(f"{location.plural} that are all given", right)
    if model.patterns[family.parameters.index(location)] == "tied":
        raise _no(f"one {location.name} for all components", right)
    learned = [p.name for p in model.parameters if p.role not in ("weight", location.name)]
    if learned:
        raise _no(f"{learned[0]} is learned", right)
    values = {p.symbol: model.component(p.name) for p in family.parameters}
    slope = sp.diff(family.log_density, family.x)
    slopes = [
        sp.expand(slope.xreplace({s: _sympify(v[k]) for s, v in values.items()}))
        for k in range(model.components)
    ]
    curved = {sp.diff(s, family.x) for s in slopes}
    if len(curved) != 1 or not (width := next(iter(curved))).is_number or not width < 0:
        raise _no("scales that differ, or a family of another shape", right)
    scale = sp.sqrt(-1 / width)
    tilts = tuple(sp.expand(s - width * family.x) for s in slopes)
    means = tuple(_sympify(v) for v in values[location.symbol])
    if any(sp.expand(t * scale**2 - m) != 0 for t, m in zip(tilts, means, strict=True)):
        raise _no(f"a {family.name} family, whose mode is not its location", right)
    return SteinForm(model, tuple(responsibilities()), means, scale, tilts)


def insist_apart(chart: Chart, form: SteinForm) -> None:
    """Raise DerivationError where a coordinate belongs to weights and to locations, or none moves.

    There the weights' own slopes would be missing.
    """
    if chart.mixed:
        raise _no(
            f"{', '.join(chart.mixed)}, coordinates of weights and of locations at once",
            "a chart in which the weights have coordinates of their own",
        )
    moving = {s for m in form.locations for s in m.xreplace(chart.unrolled).free_symbols}
    if not moving & set(chart.symbols):
        raise _no("locations that are held", "a location that learns")


def pulled_back(chart: Chart, form: SteinForm, slopes: Sequence[sp.Expr]) -> dict[str, sp.Expr]:
    """∂/∂λ by the name of each coordinate that the locations depend on, from ∂/∂μ_k."""
    means = [m.xreplace(chart.unrolled) for m in form.locations]
    out = {}
    for name, symbol in zip(chart.names, chart.symbols, strict=True):
        pairs = [(g, sp.diff(m, symbol)) for g, m in zip(slopes, means, strict=True)]
        if any(d != 0 for _, d in pairs):
            out[name] = sp.Add(*(g * d for g, d in pairs))
    return out


def _no(given: str, right: str) -> DerivationError:
    return DerivationError(problem("the gradient has no Stein form", given, right))


def components_of(
    family: Family, truth: Truth | None, scale: sp.Expr
) -> list[tuple[sp.Expr, sp.Expr, sp.Expr, str]]:
    """(p_j, m_j, s_j, the density's name) of each component of the truth, all proven."""
    if truth is None:
        return [(sp.Integer(1), sp.Integer(0), scale, "q")]
    if truth.family.log_density != family.log_density:
        raise _no(f"a truth of the {truth.family.name} family", f"one of the {family.name} family")
    out = []
    rows = zip(*truth.parameters, strict=True)
    for j, (p, row) in enumerate(zip(truth.weights, rows, strict=True)):
        values = dict(zip(family.symbols, row, strict=True))
        slope = sp.expand(sp.diff(family.log_density, family.x).xreplace(values))
        width = sp.diff(slope, family.x)
        name = "q" if len(truth.weights) == 1 else f"q_{j + 1}"
        place = sp.simplify(-(slope - width * family.x) / width)
        out.append((p, place, sp.sqrt(sp.simplify(-1 / width)), name))
    return out


def _mean(integrand: sp.Expr, x: sp.Symbol, name: str, nodes: Sequence[Responsibility]) -> sp.Expr:
    """E[…], each product of responsibilities a mean of its own, what multiplies it outside."""
    held = {r: sp.Dummy("r") for r in nodes}
    back = {d: r for r, d in held.items()}
    found = sp.Poly(integrand.xreplace(held), *back)
    means = []
    for powers, c in found.terms():
        body = sp.Mul(*(r**n for r, n in zip(nodes, powers, strict=True)))
        means.append(c * Expectation(body, x, sp.Symbol(name)))
    return sp.Add(*means)
