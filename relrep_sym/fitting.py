"""A fit from a file of numbers, as ``relrep fit`` does it: read, fit, and a table of estimates.

In: a derivation, a :class:`~relrep_sym.columns.Sample`, and how to fit. Out: text.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from relrep_sym.columns import Sample
from relrep_sym.errors import DataError, DomainError, RelrepError, problem

if TYPE_CHECKING:
    from relrep_sym.api import Derivation

__all__ = ["Plan", "fitted"]


@dataclass(frozen=True)
class Plan:
    """How to fit: what the options of ``relrep fit`` say.

    ``start`` is the name of a kind of start, or coordinates; ``kind`` is the kind of standard
    errors, or ``"none"``; ``constants`` are the values of the chart's.
    """

    start: str | Sequence[float]
    starts: int
    seed: int
    method: str
    kind: str
    tol: float
    max_iter: int
    floor: float | None
    constants: Mapping[str, float]
    progress: bool


def fitted(derivation: Derivation, sample: Sample, plan: Plan) -> str:
    """Fit the derivation's compiled module and say what was found, as lines of text.

    Weights are frequencies: N, of which AIC, BIC and standard errors are, is their sum.

    Raises what ``fit`` raises; a standard error that does not exist is said in the text.
    """
    module = derivation.compile()
    x, size = sample.x, sample.size
    given = _given(derivation, plan.constants)
    options: dict[str, Any] = {}
    if isinstance(plan.start, str):
        options |= {"starts": plan.starts, "rng": plan.seed}
    found = module.fit(
        x,
        plan.start,
        plan.method,
        tol=plan.tol,
        max_iter=plan.max_iter,
        floor=plan.floor,
        progress=plan.progress,
        weights=sample.weights,
        count=size,
        **options,
        **given,
    )
    best = found.best
    lines = [
        f"{derivation.name}: {derivation.model.describe()}",
        f"{derivation.chart.title}; {_points(sample)}, {plan.method}"
        + (f", {plan.starts} starts" if np.ndim(found.converged) else ""),
        "",
    ]
    lines += _table(module, best, sample, plan, given)
    total = best.log_likelihood * size
    lines += [
        "",
        f"log-likelihood  {total:.6f}   ({best.log_likelihood:.9f} a point)",
        f"AIC             {best.aic:.4f}",
        f"BIC             {best.bic:.4f}",
        f"iterations      {best.iterations}, {'' if best.converged else 'NOT '}converged: "
        f"{best.reason}",
    ]
    return "\n".join([*lines, *(f"note            {note}" for note in best.notes)])


def _points(sample: Sample) -> str:
    """How many there are, and what was left out."""
    said = f"{sample.x.size} points"
    if sample.weights is not None:
        said += f" of weight {sample.size:.10g}"
    return said + (f", {sample.dropped} dropped" if sample.dropped else "")


def _given(derivation: Derivation, constants: Mapping[str, float]) -> dict[str, float]:
    names = [c.name for c in derivation.chart.constants]
    strange = [n for n in constants if n not in names]
    missing = [n for n in names if n not in constants]
    if strange or missing:
        given = ", ".join(f"{n}={v:g}" for n, v in constants.items()) or "none"
        right = ", ".join(names) if names else "none: the chart has no constants"
        wrong = (
            f"no constant {strange[0]}" if strange else f"the constant {missing[0]} has no value"
        )
        raise DataError(problem(wrong, given, right))
    return dict(constants)


def _table(
    module: Any, best: Any, sample: Sample, plan: Plan, given: Mapping[str, float]
) -> list[str]:
    """Name, estimate and standard error of each coordinate, then of what else is in θ."""
    rest = [n for n in module.PARAMETERS if n not in module.COORDINATES]
    names = [*module.COORDINATES, *rest]
    values = [*map(float, best.coords), *(best.parameters[n] for n in rest)]
    errors: list[float] | None = None
    why = ""
    if plan.kind != "none":
        of = {"weights": sample.weights, "count": sample.size, **given}
        try:
            own = module.standard_errors(sample.x, best.coords, plan.kind, **of)
            with warnings.catch_warnings():  # what there is to warn of was said already
                warnings.simplefilter("ignore")
                theta = module.standard_errors(
                    sample.x, best.coords, plan.kind, of="parameters", **of
                )
            by_name = dict(zip(module.PARAMETERS, theta, strict=True))
            errors = [*map(float, own), *(float(by_name[n]) for n in rest)]
        except DomainError as none:
            why = f"no standard errors: {none}"
        except RelrepError as none:  # such as a family without a Hessian
            why = f"no {plan.kind} standard errors: {none}"
    wide = max(10, *(len(n) for n in names)) + 2
    lines = [f"{'':<{wide}}{'estimate':>14}" + (f"{'std. error':>14}" if errors else "")]
    for i, (name, value) in enumerate(zip(names, values, strict=True)):
        if i == len(module.COORDINATES):
            lines.append("")
        error = f"{errors[i]:>14.6g}" if errors else ""
        lines.append(f"{name:<{wide}}{value:>14.7g}{error}")
    return [*lines, *(["", why] if why else [])]
