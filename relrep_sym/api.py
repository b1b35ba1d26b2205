"""The face: :func:`derive` and the :class:`Derivation` it returns.

A derivation goes through these stages; each is a floor of its own.

1. declare:    model, chart, view            -> frozen statements of what is wanted
2. equations:  those                         -> a Record of named equations (SymPy), on demand
3. statements: lowered equations             -> assignments, hoisted and shared
4. emit:       assignments, equations        -> a NumPy module's source; LaTeX
5. verify:     the density and the functions -> a Certificate, measured against mpmath
"""

from __future__ import annotations

import keyword
import types
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import sympy as sp

from relrep_sym.declare.chart import Chart, held, identity
from relrep_sym.declare.model import Mixture
from relrep_sym.declare.parser import check_name
from relrep_sym.declare.truth import Truth
from relrep_sym.declare.view import View
from relrep_sym.emit import files, latex
from relrep_sym.emit.numpy.module import render
from relrep_sym.equations.injective import Verdict, verdict
from relrep_sym.equations.record import Equation, Record
from relrep_sym.errors import ChartWarning, DeclarationError, problem

__all__ = ["Derivation", "Shown", "derive", "nodes"]


@dataclass(frozen=True)
class Shown:
    """An equation as a user handles it: a SymPy value, its label, its LaTeX.

    Attributes and methods of the SymPy value are reached directly (``d.jacobian.shape``); SymPy
    functions take it as they take the value.
    """

    equation: Equation

    @property
    def value(self) -> sp.Basic:
        """The right side in SymPy."""
        return self.equation.value

    @property
    def label(self) -> str:
        """The equation's LaTeX label."""
        return self.equation.label

    def latex(self) -> str:
        """The labelled LaTeX fragment."""
        return latex.fragment(self.equation)

    def _repr_latex_(self) -> str:
        return latex.display(self.equation)

    def _sympy_(self) -> sp.Basic:
        return self.value

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.value, name)

    def __getitem__(self, key: Any) -> Any:
        return self.value[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.value)

    def __repr__(self) -> str:
        return f"{self.label}: {self.value}"


@dataclass(frozen=True)
class Derivation:
    """A model in a chart, with everything that is derived from them on demand.

    Made by :func:`derive`. Derivations are immutable and pickle.
    """

    record: Record

    # ------------------------------------------------------------------------- what was stated

    @property
    def name(self) -> str:
        """The name that labels and the generated module carry."""
        return self.record.name

    @property
    def model(self) -> Mixture:
        """The model."""
        return self.record.model

    @property
    def chart(self) -> Chart:
        """The chart."""
        return self.record.chart

    @cached_property
    def symbols(self) -> dict[str, sp.Symbol]:
        """Coordinates' symbols by name; θ's entries that are no coordinate too."""
        out: dict[str, sp.Symbol] = {p.name: p.symbol for p in self.model.parameters}
        return out | {c.name: c.symbol for c in self.chart.coordinates}

    # ------------------------------------------------------------------------- equations

    @property
    def jacobian(self) -> Shown:
        """∂θ/∂λ."""
        return Shown(self.record["jacobian"])

    @property
    def log_likelihood(self) -> Shown:
        """L(λ) = E_q[log p(X | c(λ))]."""
        return Shown(self.record["log_likelihood"])

    @property
    def score(self) -> Shown:
        """∂ log p(x | c(λ))/∂λ."""
        return Shown(self.record["score"])

    @property
    def responsibilities(self) -> Shown:
        """The E-step: r_k ∝ π_k f(x | φ_k)."""
        return Shown(self.record["responsibilities"])

    @property
    def averaged(self) -> Shown:
        """The averaged learning equations dλ/dt = η ∇_λ L (paper 000, Eq. 2)."""
        return Shown(self.record["averaged"])

    def averaged_in(self, view: View) -> Shown:
        """The averaged learning equations seen in a view: db/dt = η J ∇_λ L."""
        self._own(view)
        return Shown(self.record.averaged_in(view))

    def mobility(self, view: View) -> sp.ImmutableMatrix:
        """JJᵀ of a view, in the view's own functions where these can be solved for coordinates.

        Source: Park and Ozeki 2009, Eq. (17); paper 000, appendix D.

        >>> import relrep_sym as rs
        >>> model = rs.mixture("normal", components=2, scales=1)
        >>> d = rs.derive(model)
        >>> seen = rs.view(d.chart, {"v": "pi_1", "u": "mu_1 - mu_2",
        ...                          "w": "pi_1*mu_1 + (1 - pi_1)*mu_2"})
        >>> d.mobility(seen)
        Matrix([
        [1,         0,                      u],
        [0,         2,                2*v - 1],
        [u, 2*v - 1, u**2 + 2*v**2 - 2*v + 1]])
        """
        self._own(view)
        return self.record.mobility(view)

    @property
    def kl(self) -> Shown:
        """KL(truth ‖ model)."""
        return Shown(self.record["kl"])

    @property
    def fisher(self) -> Shown:
        """Fisher information and its pull-back Jᵀ I J (paper 000, section 5.1)."""
        return Shown(self.record["fisher"])

    @property
    def hessian(self) -> Shown:
        """The observed Hessian E_q[∂² log p/∂λ∂λ], with the chart's curvature term."""
        return Shown(self.record["hessian"])

    @property
    def m_step(self) -> Shown:
        """The joint M-step; DerivationError where there is no closed form."""
        return Shown(self.record["m_step"])

    def __iter__(self) -> Iterator[Shown]:
        return (Shown(e) for e in self.record)

    @property
    def injective(self) -> Verdict:
        """Whether the chart tells its points apart by their densities: a verdict in words.

        It is about the inside of the chart's domain, and true where proven. Where refuted, its
        ``collision`` is a pair of points with the same density.

        >>> import relrep_sym as rs
        >>> model = rs.mixture("normal", components=2)
        >>> rs.derive(model, rs.relative(model, "mu")).injective.status
        'proven'
        """
        return verdict(self.chart)

    # ------------------------------------------------------------------------- LaTeX and code

    def latex(self, label: str | None = None) -> str:
        r"""The whole document, or with a label (or an equation's name) one fragment to input.

        >>> import relrep_sym as rs
        >>> d = rs.derive(rs.mixture("poisson", components=2), name="demo")
        >>> print(d.latex("jacobian").splitlines()[0])
        \begin{equation}
        """
        if label is None:
            return latex.document(self.record)
        for equation in self.record:
            if label in (equation.label, equation.name):
                return latex.fragment(equation)
        known = ", ".join(e.label for e in self.record)
        raise DeclarationError(problem("no equation has this label", label, known))

    def source(self, origin: str | None = None, command: str | None = None) -> str:
        """The generated module's source. ``origin`` and ``command`` are what its header names."""
        return render(
            self.record,
            origin or "relrep_sym.derive",
            command or f"derivation.write({self.name + '.py'!r})",
        )

    def compile(self) -> types.ModuleType:
        """The generated module, in memory.

        >>> import relrep_sym as rs
        >>> k = rs.derive(rs.mixture("poisson", components=2)).compile()
        >>> k.score([0, 1, 4], [0.5, 1.0, 3.0]).round(6)
        array([ 0.234172, -0.210002, -0.002082])
        """
        module = types.ModuleType(self.name, "Generated in memory.")
        code = compile(self.source(), f"<{self.name}>", "exec")
        exec(code, module.__dict__)  # noqa: S102 - only source that this package rendered
        return module

    def write(self, path: str | Path) -> bool:
        """Write the generated module, atomically; True if the file changed."""
        return files.write(Path(path), self.source())

    def verify(self, digits: int = 30, **options: Any) -> Any:
        """Certify the compiled functions against the mpmath oracle.

        What misses the yardstick is in the certificate, whose ``check()`` raises CertificateError.
        """
        from relrep_sym.certify import certify_derivation

        return certify_derivation(self, digits=digits, **options)

    def _own(self, view: View) -> None:
        if not isinstance(view, View):
            raise DeclarationError(problem("this is no view", type(view).__name__, "rs.view(…)"))
        if view.chart != self.chart:
            raise DeclarationError(
                problem("the view is of another chart", view.chart.title, self.chart.title)
            )


def derive(
    model: Mixture,
    chart: Chart | None = None,
    *,
    view: View | None = None,
    name: str | None = None,
    moving: Sequence[str] | None = None,
) -> Derivation:
    """Derive a model in a chart (by default the identity chart), seen in a view where one is given.

    ``name`` is what labels and the generated module are called; by default it is made from the
    family, the number of components and the chart. ``moving`` lists the coordinates that learn: the
    others are held, and become constants, required keywords of every kernel.

    A chart such as (v, u, w), whose coordinates mix weights with other parameters, draws a
    ChartWarning: plain gradient ascent in it is another flow than that of the parameters, which a
    view shows.

    Raises DeclarationError where the chart or the view belongs to another model or chart.

    >>> import relrep_sym as rs
    >>> model = rs.mixture("normal", components=2, scales=1)
    >>> d = rs.derive(model, rs.relative(model, "mu", gap="square"))
    >>> d.name, d.jacobian.shape
    ('normal2_relative', (3, 3))
    """
    if not isinstance(model, Mixture):
        right = "an rs.mixture(…)"
        raise DeclarationError(problem("this is no model", type(model).__name__, right))
    used = identity(model) if chart is None else chart
    if not isinstance(used, Chart):
        raise DeclarationError(problem("this is no chart", type(used).__name__, "an rs.chart(…)"))
    if used.model != model:
        raise DeclarationError(
            problem("the chart is of another model", used.model.describe(), model.describe())
        )
    mixed = used.mixed
    if mixed:
        warnings.warn(
            f"{', '.join(mixed)}: a coordinate of weights and of other parameters at once. Plain "
            "gradient ascent in such a chart is another flow than that of the parameters seen in "
            "these functions; for the latter, derive in the parameters' chart and pass "
            "view=rs.view(chart, {…}).",
            ChartWarning,
            stacklevel=2,
        )
    if moving is not None:
        used = held(used, moving)
    if name is None:
        stem = used.title.split()[0]
        kind = "" if stem == "identity" else "_relative" if stem == "relative" else f"_{stem}"
        name = f"{model.family.name}{model.components}{kind}"
    if keyword.iskeyword(check_name(name, kind="derivation")):
        raise DeclarationError(
            problem("a derivation is named like a keyword", name, "another name")
        )
    derivation = Derivation(Record(name, used, view))
    if view is not None:
        derivation._own(view)
    return derivation


def nodes(truth: Truth, coords: Any = None, *, derivation: Derivation | None = None) -> Any:
    """Quadrature nodes and weights of a truth: E_q[g] = Σ weights · g(nodes).

    With a derivation and its coordinates they are fit for integrands made of that model's score,
    log-density and their products; without, for integrands made of the truth's own. Returns a
    :class:`~relrep_sym.runtime.expectation.Nodes` pair, (n,) each, which every kernel takes as
    ``truth``.

    >>> import relrep_sym as rs
    >>> q = rs.truth("normal", weights=["1/4", "3/4"], means=[0, 2], scales=1)
    >>> x, w = rs.nodes(q)
    >>> round(float(w @ x), 13)
    1.5
    """
    if not isinstance(truth, Truth):
        raise DeclarationError(problem("this is no truth", type(truth).__name__, "rs.truth(…)"))
    if derivation is not None and not isinstance(derivation, Derivation):
        given = type(derivation).__name__
        raise DeclarationError(problem("this is no derivation", given, "rs.derive(…)"))
    if derivation is not None and derivation.model.family != truth.family:
        right = f"a truth of the {derivation.model.family.name} family"
        raise DeclarationError(problem("the truth is of another family", truth.family.name, right))
    if derivation is None:
        if coords is not None:
            right = "derivation=, whose coordinates they are"
            raise DeclarationError(problem("coords were given alone", coords, right))
        weights, *parameters = truth.arrays()
        derivation = derive(
            Mixture(truth.family, len(weights), "free", ("free",) * len(parameters))
        )
        coords = [*weights[:-1], *(v for row in parameters for v in row)]
    return derivation.compile()._solver().nodes(truth, coords)
