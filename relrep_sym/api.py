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
import re
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import sympy as sp

from relrep_sym.declare.chart import Chart, held, identity
from relrep_sym.declare.model import Mixture
from relrep_sym.declare.notebook import listed
from relrep_sym.declare.parser import check_name
from relrep_sym.declare.truth import Truth
from relrep_sym.declare.view import View
from relrep_sym.emit import bibliography, files, latex
from relrep_sym.emit.notation import PLAIN, Notation, notation
from relrep_sym.emit.numpy.module import render
from relrep_sym.emit.standalone import standalone as bundled
from relrep_sym.equations.absorb import Absorption, absorption
from relrep_sym.equations.injective import Injectivity, verdict
from relrep_sym.equations.joint import JointStep
from relrep_sym.equations.record import Equation, Record
from relrep_sym.equations.safe_rate import SafeRate
from relrep_sym.equations.series import expand_in
from relrep_sym.equations.sweep import Sweep, sweep
from relrep_sym.errors import ChartWarning, DeclarationError, DerivationError, problem
from relrep_sym.expansion import Expansion
from relrep_sym.kernel import Kernel

__all__ = ["Derivation", "Expansion", "Seen", "Shown", "derive", "nodes"]


def _operator(name: str) -> Callable[[Shown, Any], Any]:
    def apply(self: Shown, *others: Any) -> Any:
        return getattr(self.value, name)(*(o.value if isinstance(o, Shown) else o for o in others))

    return apply


@dataclass(frozen=True, eq=False)
class Shown:
    """An equation as a user handles it: a SymPy value, its label, its LaTeX.

    Attributes, methods and operators of the SymPy value are reached directly
    (``d.jacobian.shape``, ``d.jacobian.T * d.jacobian``); SymPy functions take it as they take the
    value, and it equals what the value equals.
    """

    equation: Equation
    notation: Notation = PLAIN

    _op_priority = 1000.0  # SymPy's matrices leave an operator to what is higher

    @property
    def value(self) -> sp.Basic:
        """The right side in SymPy."""
        return self.equation.value

    @property
    def label(self) -> str:
        """The equation's LaTeX label."""
        return self.equation.label

    @property
    def words(self) -> str:
        """What is said of it beside the formula, in LaTeX; often nothing."""
        return latex.in_words(self.equation, self.equation.words, self.notation)

    def latex(self) -> str:
        """The labelled LaTeX fragment."""
        return latex.fragment(self.equation, self.notation)

    def _repr_latex_(self) -> str:
        return latex.display(self.equation, self.notation)

    def _sympy_(self) -> sp.Basic:
        return self.value

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in ("equation", "value"):
            raise AttributeError(name)
        return getattr(self.value, name)

    def __getitem__(self, key: Any) -> Any:
        return self.value[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.value)

    def __len__(self) -> int:
        return len(self.value)

    def __eq__(self, other: object) -> bool:
        return bool(self.value == (other.value if isinstance(other, Shown) else other))

    def __hash__(self) -> int:
        return hash(self.value)

    __add__, __radd__ = _operator("__add__"), _operator("__radd__")
    __sub__, __rsub__ = _operator("__sub__"), _operator("__rsub__")
    __mul__, __rmul__ = _operator("__mul__"), _operator("__rmul__")
    __matmul__, __rmatmul__ = _operator("__matmul__"), _operator("__rmatmul__")
    __truediv__, __pow__, __neg__ = map(_operator, ("__truediv__", "__pow__", "__neg__"))

    def __repr__(self) -> str:
        value = self.value
        if sum(1 for _ in islice(sp.preorder_traversal(value), _SHORT + 1)) <= _SHORT:
            return f"{self.label}: {value}"
        kind = " by ".join(map(str, value.shape)) if hasattr(value, "shape") else "one expression"
        return f"{self.label}: {self.equation.title}, {kind} (.value, .latex())"


_SHORT = 60
"""A value of no more parts is shown whole."""


class Steps(tuple[Shown, ...]):
    """Equations of one step: a tuple that is shown and printed as one equation is."""

    __slots__ = ()

    def latex(self) -> str:
        """The labelled LaTeX fragments, one after another; nothing where there is none."""
        return "\n".join(e.latex() for e in self)

    @property
    def words(self) -> str:
        """What is said of them beside the formulas, in LaTeX."""
        return " ".join(e.words for e in self)

    def _repr_latex_(self) -> str:
        if not self:
            return r"$\text{Nothing is constrained.}$"
        return "\n".join(e._repr_latex_() for e in self)


@dataclass(frozen=True, eq=False, kw_only=True)
class Seen(Shown):
    """The averaged learning equations in a view, which can be expanded where components meet."""

    derivation: Derivation
    view: View

    def series(
        self, overlap: str | Sequence[str], order: int = 4, *, truth: Truth | None = None
    ) -> Expansion:
        """The equations as a series where ``overlap`` vanishes; see :meth:`Derivation.series`."""
        return self.derivation.series(self.view, overlap, order, truth=truth)


@dataclass(frozen=True)
class Derivation:
    """A model in a chart, with everything that is derived from them on demand.

    Made by :func:`derive`. Derivations are immutable and pickle.
    """

    record: Record
    notation: Notation = PLAIN

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
        return self._shown(self.record["jacobian"])

    @property
    def log_likelihood(self) -> Shown:
        """L(λ) = E_q[log p(X | c(λ))]."""
        return self._shown(self.record["log_likelihood"])

    @property
    def score(self) -> Shown:
        """∂ log p(x | c(λ))/∂λ."""
        return self._shown(self.record["score"])

    @property
    def responsibilities(self) -> Shown:
        """The E-step: r_k ∝ π_k f(x | φ_k)."""
        return self._shown(self.record["responsibilities"])

    @property
    def averaged(self) -> Shown:
        """The averaged learning equations dλ/dt = η ∇_λ L (Esser and Nielsen 2022, Eq. 2)."""
        return self._shown(self.record["averaged"])

    def averaged_in(self, view: View) -> Seen:
        """The averaged learning equations seen in a view: db/dt = η J ∇_λ L.

        Their :meth:`Seen.series` is in closed form where components meet.
        """
        self._own(view)
        return Seen(self.record.averaged_in(view), self.notation, derivation=self, view=view)

    def series(
        self,
        view: View,
        overlap: str | Sequence[str],
        order: int = 4,
        *,
        of: str = "averaged",
        truth: Truth | None = None,
    ) -> Expansion:
        """A series where functions of a view vanish and components meet there, exact.

        ``overlap`` is the view's function that vanishes, or several that vanish together; ``order``
        is counted in L, from 1 to 12; ``of`` is ``"averaged"`` (the learning equations),
        ``"log_likelihood"`` or ``"log_density"``. Coefficients are in the moments M_n of the
        truth, or in those of ``truth``; where other components stay apart, in expectations of
        their posterior probabilities. Asymptotic: see :attr:`Expansion.validity`, ``measured`` and
        ``certify``.

        Raises DeclarationError for bad names, orders or truths; DerivationError for a view that is
        not solved for the coordinates, or where no components meet.

        >>> import relrep_sym as rs
        >>> d = rs.derive(rs.mixture("normal", components=2, scales=1))
        >>> seen = rs.view(d.chart, {"v": "pi_1", "u": "mu_1 - mu_2",
        ...                          "w": "pi_1*mu_1 + (1 - pi_1)*mu_2"})
        >>> d.series(seen, "u", order=2, of="log_likelihood").coefficients[0][2]
        v*(1 - v)*(M_2 - 1)/2
        >>> d.averaged_in(seen).series("u", order=2).rows[1]
        Row(name='u', coefficients={0: M_1*(2*v - 1), 1: 2*v*(1 - v)*(M_2 - 1)}, remainder=2)

        Source: Park and Ozeki 2009, Eqs. (20) to (22); Esser and Nielsen 2022, appendix D, to whose
        printed third order the tests object.
        """
        self._own(view)
        return Expansion(self, expand_in(view, overlap, order, of=of, truth=truth))

    def mobility(self, view: View) -> Shown:
        """J_b J_bᵀ of a view, in its own functions where they can be solved for coordinates.

        Source: Park and Ozeki 2009, Eq. (17); Esser and Nielsen 2022, appendix D.

        >>> import relrep_sym as rs
        >>> model = rs.mixture("normal", components=2, scales=1)
        >>> d = rs.derive(model)
        >>> seen = rs.view(d.chart, {"v": "pi_1", "u": "mu_1 - mu_2",
        ...                          "w": "pi_1*mu_1 + (1 - pi_1)*mu_2"})
        >>> d.mobility(seen).value
        Matrix([
        [1,         0,                      u],
        [0,         2,                2*v - 1],
        [u, 2*v - 1, u**2 + 2*v**2 - 2*v + 1]])
        """
        self._own(view)
        return self._shown(self.record.mobility_in(view))

    @property
    def kl(self) -> Shown:
        """KL(truth ‖ model)."""
        return self._shown(self.record["kl"])

    @property
    def fisher(self) -> Shown:
        """Fisher information and its pull-back Jᵀ I J (Esser and Nielsen 2022, section 5.1)."""
        return self._shown(self.record["fisher"])

    @property
    def hessian(self) -> Shown:
        """The observed Hessian E_q[∂² log p/∂λ∂λ], with the chart's curvature term."""
        return self._shown(self.record["hessian"])

    @property
    def covariance(self) -> Shown:
        r"""The covariance of the maximum likelihood estimator, by four kinds of information.

        Its value is the observed one, (−N H)⁻¹, not worked out. The delta method gives that of any
        function of the coordinates: a view of the derivation, in whose module ``of="view"`` asks
        for it (Louis 1982; White 1982).

        >>> import relrep_sym as rs
        >>> from relrep_sym.data import faithful
        >>> chart = rs.identity(rs.mixture("normal", components=2, scales="tied"))
        >>> wanted = {"last": "1 - pi_1", "distance": "(mu_2 - mu_1)/sigma"}
        >>> k = rs.derive(chart.model, chart, view=rs.view(chart, wanted)).compile()
        >>> waiting = faithful()[:, 1]
        >>> found = k.fit(waiting, [0.5, 55, 80, 5], tol=1e-14)
        >>> k.to_view(found.coords).round(3)
        array([0.639, 4.341])
        >>> k.standard_errors(waiting, found.coords, of="view").round(3)
        array([0.03 , 0.241])
        """
        return self._shown(self.record["covariance"])

    @property
    def natural(self) -> Shown:
        r"""Natural gradient learning dλ/dt = η F† ∇_λ L, F† the pseudo-inverse where F is singular.

        Source: Amari 1998; van Oostrum, Müller and Ay 2023, section 2.

        >>> import relrep_sym as rs
        >>> print(rs.derive(rs.mixture("poisson", components=2)).natural.latex().splitlines()[2])
          \frac{d\lambda}{dt} = \eta \, I_\lambda^{\dagger} \nabla_\lambda L(\lambda)
        """
        return self._shown(self.record["natural"])

    @property
    def q(self) -> Shown:
        """Q(λ⁺ | λ) = E[log p(x, z | λ⁺)], the mean over z at the present λ: what EM maximises.

        Its value is in the coordinates, which are the new ones; the present parameters, θ's own
        symbols, are in the responsibilities alone.

        >>> import relrep_sym as rs
        >>> d = rs.derive(rs.mixture("poisson", components=1))
        >>> d.q.value.diff(d.symbols["rate_1"])
        Expectation(-1 + x/rate_1, x, q)

        Source: Dempster, Laird and Rubin 1977; Esser and Nielsen 2022, section 4.1.
        """
        return self._shown(self.record["q"])

    @property
    def m_step(self) -> Shown:
        """The joint M-step; where it has no closed form, ∂Q/∂λ = 0. ``words`` says which.

        Its value is the column of θ's new values, in the responsibilities; where it is closed in
        the coordinates only, or not at all, that of ∂Q/∂λ⁺.

        >>> import relrep_sym as rs
        >>> d = rs.derive(rs.mixture("normal", components=2, means="tied"))
        >>> print(d.m_step.words.partition(":")[0])
        No closed form is derived
        """
        return self._shown(self.record["m_step"])

    @property
    def cm_steps(self) -> Shown:
        """The conditional steps of ECM: each coordinate's maximiser of Q, the others held.

        Its value is an equation for each coordinate: λ_j⁺ = …, or ∂Q/∂λ_j = 0 where there is no
        closed form (Meng and Rubin 1993; Esser and Nielsen 2022, section 4.2, appendices B, C).

        >>> import relrep_sym as rs
        >>> model = rs.mixture("normal", components=2, weights="1/2", scales=1)
        >>> d = rs.derive(model, rs.relative(model, "mu"))
        >>> d.cm_steps[1].rhs
        Max(0, Delta_1 + Expectation((-mu_2 + x)*r_2(x), x, q)/Expectation(r_2(x), x, q))
        """
        return self._shown(self.record["cm_steps"])

    def sweep(self, order: Sequence[str] | None = None, sweeps: int = 1) -> Sweep:
        """What sweeps of conditional steps over means do to EM's step: h⁺ = h^EM + G (h − h^EM).

        It holds where no step is clipped, h being the coordinates or their gaps (Meng 1994).
        DerivationError where Q is not quadratic in one of ``order``.

        >>> import relrep_sym as rs
        >>> model = rs.mixture("normal", components=2, weights="1/2", scales=1)
        >>> rs.derive(model, rs.relative(model, "mu")).sweep(["mu_1", "Delta_1"]).new()[1]
        Delta_1*w_2/(w_1 + w_2) + Delta_1^EM*w_1/(w_1 + w_2)
        """
        return sweep(self.chart, order, sweeps)

    def absorbs(self, gap: str, order: Sequence[str] | None = None) -> Absorption:
        """Whether a location gap of zero stays zero in EM, and in an order of ECM: proven in words.

        >>> import relrep_sym as rs
        >>> model = rs.mixture("normal", components=2, weights="1/2", scales=1)
        >>> d = rs.derive(model, rs.relative(model, "mu"))
        >>> [d.absorbs("Delta_1", o).ecm for o in (["mu_1", "Delta_1"], ["Delta_1", "mu_1"])]
        [True, False]
        """
        return absorption(self.chart, gap, order)

    @property
    def m_step_constrained(self) -> Steps:
        """The M-step where what the chart asks of θ binds: an equation for each ordered parameter.

        The isotonic regression, its solution and its multipliers; and of weights with a clearance.

        >>> import relrep_sym as rs
        >>> model = rs.mixture("normal", components=3, scales=1)
        >>> d = rs.derive(model, rs.relative(model, "mu", clearance="lam"))
        >>> [e.label for e in d.m_step_constrained]
        ['eq:normal3_relative:m-step-mu']
        """
        return Steps(self._shown(e) for e in self.record.constrained_m_step)

    @property
    def joint(self) -> JointStep:
        """How the joint M-step is solved in the chart: the way, why, and what the chart asks of θ.

        >>> import relrep_sym as rs
        >>> model = rs.mixture("normal", components=3)
        >>> rs.derive(model, rs.softmax(model)).joint.way
        'mapped'
        """
        return self.record.joint

    @property
    def gradient_em(self) -> Shown:
        """One step of gradient EM: λ⁺ = λ + η ∇_λ' Q(λ'|λ) at λ' = λ, which is λ + η ∇L(λ).

        Source: Xu, Fazel and Du 2024, Eq. (3) and Fact 1, up to their signs and a factor of two.

        >>> import relrep_sym as rs
        >>> rs.derive(rs.mixture("normal", components=2, scales=1)).gradient_em[2]
        eta*Expectation((-mu_2 + x)*r_2(x), x, q) + mu_2
        """
        return self._shown(self.record["gradient_em"])

    @property
    def safe_rate(self) -> SafeRate:
        """Rates at which gradient EM lowers the likelihood for no data: charts linear in the means.

        ``sharp`` is 2/max_k |a_k|²/σ_k², a_k the rows of the chart: above it, some data refute.
        ``rate`` is 2/λ_max(Aᵀ diag(1/σ²) A), which is never larger. DerivationError, with the
        reason, where no rate is safe.

        >>> import relrep_sym as rs
        >>> model = rs.mixture("normal", components=3, weights="1/3", scales=1)
        >>> found = rs.derive(model, rs.relative(model, "mu")).safe_rate
        >>> found.sharp, round(found.rate, 3)
        (2/3, 0.396)
        """
        found = self.record.safe_rate_or_reason
        if isinstance(found, str):
            raise DerivationError(found)
        return found

    def stein(self, truth: Truth | None = None) -> Shown:
        """∇ KL(q ‖ p) by second moments of the responsibilities: a normal's one fixed scale.

        One row for each coordinate that the means depend on. By default q is N(0, σ²), and ∂ KL/∂μ
        is Cμ/σ² with C = E_q[ψψᵀ], ψ the responsibilities; else q is ``truth``, a mixture of
        normals of any scales. DerivationError where the model or the chart is not so.

        Source: Xu, Fazel and Du 2024, Lemma 9 and Corollary 10, there for unit scales and one
        component.

        >>> import relrep_sym as rs
        >>> d = rs.derive(rs.mixture("normal", components=2, weights="1/2", scales=2))
        >>> d.stein()[0]
        mu_1*Expectation(r_1(x)**2, x, q)/4 + mu_2*Expectation(r_1(x)*r_2(x), x, q)/4
        """
        if truth is not None and not isinstance(truth, Truth):
            right = "rs.truth(…)"
            raise DeclarationError(problem("this is no truth", type(truth).__name__, right))
        return self._shown(self.record.stein_under(truth))

    def __iter__(self) -> Iterator[Shown]:
        return (self._shown(e) for e in self.record)

    def __repr__(self) -> str:
        seen = f", seen in {listed(self.record.view.names)}" if self.record.view else ""
        return (
            f"<Derivation {self.name}: {self.model.describe()};\n"
            f" {self.chart.title}, coordinates {listed(self.chart.names)}{seen}>"
        )

    def _shown(self, equation: Equation) -> Shown:
        return Shown(equation, self.notation)

    def _repr_latex_(self) -> str:
        """What a notebook shows: the model, the chart, and the equations that learning follows."""
        return latex.overview(self.record, self.notation)

    @property
    def injective(self) -> Injectivity:
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

    def latex(self, label: str | None = None, *, assumptions: bool = False) -> str:
        r"""The whole document, or with a label (or an equation's name) one fragment to input.

        A fragment is one labelled equation that needs amsmath alone. What it assumes, and what it
        cites by the keys of :meth:`citation`, follows in comments; with ``assumptions=True`` it is
        typeset after the equation. The document says it in any case.

        >>> import relrep_sym as rs
        >>> d = rs.derive(rs.mixture("poisson", components=2), name="demo")
        >>> print(d.latex("jacobian").splitlines()[0])
        \begin{equation}
        """
        if label is None:
            return latex.document(self.record, self.notation)
        for equation in self.record:
            if label in (equation.label, equation.name, equation.label.rpartition(":")[2]):
                return latex.passage(self.record, equation, self.notation, assumptions)
        if label in ("stein", self.record.label("stein")):
            return self.stein().latex()
        known = ", ".join(e.label for e in self.record)
        raise DeclarationError(problem("no equation has this label", label, known))

    def in_symbols(
        self,
        symbols: Mapping[str, str] | None = None,
        macros: bool | Collection[str] | Mapping[str, str] = False,
    ) -> Derivation:
        r"""The same derivation, its LaTeX in the user's own symbols; labels stay as they are.

        ``symbols`` maps a name (``"mu_1"``), a stem (``"mu"``, for every component) or a letter of
        the equations (``"E"``, ``"eta"``, ``"lambda"``, ``"x"`` …) to LaTeX. ``macros=True``, or
        names, writes them by macros (``\relmu``), which :meth:`latex_macros` defines; a mapping
        has the user's own macros and their bodies. Raises DeclarationError for unknown names, and
        for LaTeX that could be more than symbols.

        >>> import relrep_sym as rs
        >>> d = rs.derive(rs.mixture("poisson", components=2), name="demo")
        >>> mine = d.in_symbols({"rate": r"\nu", "E": r"\EX"}, {"EX": r"\mathbb{E}"})
        >>> print(mine.latex("log_likelihood").splitlines()[2])
          L(\lambda) = \EX_q\left[\log \sum_{k=1}^2 \pi_k f(x \mid \nu_k)\right]
        >>> print(mine.latex_macros(), end="")
        \providecommand{\EX}{\mathbb{E}}
        """
        names = latex.printed_names(self.record)
        given = symbols if isinstance(symbols, Mapping) else {}
        formed: dict[str, str] = {}
        if self.model.components == 2 and self.model.weights == "free":
            own = given.get("pi_1")
            if isinstance(own, str) and not {"pi", "pi_2"} & {*given, *self.chart.names}:
                formed["pi_2"] = f"(1 - {own})"  # the other weight has no letter beside it
        return Derivation(self.record, notation(names, symbols, macros, formed))

    def latex_macros(self) -> str:
        """Definitions of the macros that fragments use, for a paper's preamble."""
        return self.notation.definitions()

    def citation(self, format: str = "bibtex") -> str:
        """The works that this derivation's equations cite, and relrep_sym itself.

        BibTeX entries under the keys that fragments cite; with ``format="text"`` lines to read.

        >>> import relrep_sym as rs
        >>> d = rs.derive(rs.mixture("poisson", components=2))
        >>> print(d.citation("text").splitlines()[-1])  # doctest: +ELLIPSIS
        relrep_sym: The relrep_sym developers, relrep_sym: learning equations of ...
        """
        return bibliography.citation(self.record, format)

    def source(
        self, origin: str | None = None, command: str | None = None, *, standalone: bool = False
    ) -> str:
        """The generated module's source. ``origin`` and ``command`` are what its header names.

        With ``standalone`` it holds the runtime too, and needs NumPy alone.
        """
        option = ", standalone=True" if standalone else ""
        text = render(
            self.record,
            origin or "relrep_sym.derive",
            command or f"derivation.write({self.name + '.py'!r}{option})",
        )
        return bundled(text) if standalone else text

    def compile(self, *, standalone: bool = False) -> Kernel:
        """The generated module, in memory: its functions and constants are attributes.

        >>> import relrep_sym as rs
        >>> k = rs.derive(rs.mixture("poisson", components=2)).compile()
        >>> k.score([0, 1, 4], [0.5, 1.0, 3.0]).round(6)
        array([ 0.234172, -0.210002, -0.002082])
        """
        return Kernel(self.name, self.source(standalone=standalone))

    def write(self, path: str | Path, *, standalone: bool = False, overwrite: bool = False) -> bool:
        """Write the generated module, atomically; True if the file changed.

        With ``standalone`` the file holds the runtime too: NumPy is all that it needs, and errors
        are classes of its own. Raises GenerationError, unless ``overwrite``, where there is a file
        that was not written so, or was edited since.
        """
        # the header goes into Python source: a file's name enters it only where that is harmless
        plain = re.fullmatch(r"[A-Za-z0-9_][\w.-]{0,99}", Path(path).name, re.ASCII)
        name = Path(path).name if plain else f"{self.name}.py"
        option = ", standalone=True" if standalone else ""
        command = f"derivation.write({name!r}{option})"
        text = self.source(command=command, standalone=standalone)
        return files.put(Path(path), text, overwrite=overwrite)

    def verify(self, digits: int = 30, **options: Any) -> Any:
        """Certify the compiled functions against the mpmath oracle, at 16 to 100 digits.

        What misses the yardstick is in the certificate, whose ``check()`` raises CertificateError.
        """
        from relrep_sym.certify import certify_derivation

        whole = isinstance(digits, int) and not isinstance(digits, bool)
        if not whole or not 16 <= digits <= 100:
            right = "a whole number from 16 to 100"
            raise DeclarationError(problem("digits is out of range", digits, right))
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
    symbols: Mapping[str, str] | None = None,
    macros: bool | Collection[str] | Mapping[str, str] = False,
) -> Derivation:
    """Derive a model in a chart (by default the identity chart), seen in a view where one is given.

    ``name`` is what labels and the generated module are called; by default it is made from the
    family, the number of components and the chart. ``moving`` lists the coordinates that learn: the
    others are held, and become constants, required keywords of every kernel. ``symbols`` and
    ``macros`` are how the LaTeX writes names (:meth:`Derivation.in_symbols`).

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
    return derivation.in_symbols(symbols, macros) if symbols or macros else derivation


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
