r"""The record: every equation of one derivation, named, labelled, cited.

In: a model, a chart and (where asked for) a view. Out: a frozen :class:`Record` whose equations are
derived when they are first asked for. The LaTeX writer, the kernels and the docstrings all read the
same record.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from relrep_sym.equations.equation import PAPERS, Equation
from relrep_sym.equations.lines import Line
from relrep_sym.equations.stein import SteinForm
from relrep_sym.equations.stepping import Stepping
from relrep_sym.errors import DerivationError, problem

__all__ = ["PAPERS", "Equation", "Line", "Record"]


@dataclass(frozen=True)
class Record(Stepping):
    """All equations of a model in a chart, seen in a view where one is given.

    >>> from relrep_sym.declare.charts import relative
    >>> from relrep_sym.declare.model import mixture
    >>> record = Record("demo", relative(mixture("normal", components=2, scales=1), "mu"))
    >>> [e.name for e in record]  # doctest: +NORMALIZE_WHITESPACE
    ['chart', 'jacobian', 'log_likelihood', 'responsibilities', 'score', 'averaged', 'kl',
     'fisher', 'natural', 'hessian', 'covariance', 'q', 'm_step', 'm_step_mu', 'cm_steps',
     'gradient_em', 'stein']
    >>> record["score"].value[2]
    (-mu_2 + x)*r_2(x)
    >>> record["score"].lines[2].right  # what is printed
    r[2]*(-mu[2] + x)
    """

    @property
    def names(self) -> tuple[str, ...]:
        """The equations' names, in order."""
        stein = ("stein",) if isinstance(self.stein_or_reason, SteinForm) else ()
        constrained = (e.name for e in self.constrained_m_step)
        return (*self._always, "m_step", *constrained, "cm_steps", "gradient_em", *stein)

    @property
    def _always(self) -> tuple[str, ...]:
        """The names of what every derivation has: nothing is solved for them."""
        base = ("chart", "jacobian", "log_likelihood", "responsibilities", "score", "averaged")
        seen = ("view", "mobility", "averaged_in_view") if self.view is not None else ()
        return (*base, *seen, "kl", "fisher", "natural", "hessian", "covariance", "q")

    def __repr__(self) -> str:
        return f"<Record {self.name}: {self.model.describe()}; {self.chart.title}>"

    def __iter__(self) -> Iterator[Equation]:
        return (self[name] for name in self.names)

    def __getitem__(self, name: str) -> Equation:
        if name.startswith("m_step_"):
            for equation in self.constrained_m_step:
                if equation.name == name:
                    return equation
        if name == "stein":
            _ = self.stein_form  # raises with the reason where there is none
        elif name not in ("m_step", "cm_steps", "gradient_em", *self._always):
            raise DerivationError(
                problem("no such equation", name, "one of " + ", ".join(self.names))
            )
        return getattr(self, f"_{name}")
