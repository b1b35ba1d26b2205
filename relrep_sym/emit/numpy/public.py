"""What users call in a generated module: names, signatures, docstrings with their equations.

In: a record. Out: for each public function what ``templates/module.py.j2`` prints of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from relrep_sym.declare.chart import Chart
from relrep_sym.emit.latex import notation_of, one_line
from relrep_sym.emit.numpy.layout import filled_text
from relrep_sym.emit.numpy.naming import identifiers
from relrep_sym.equations.component import ComponentForm
from relrep_sym.equations.record import Equation, Record

__all__ = ["given_keywords", "public_functions"]


@dataclass(frozen=True)
class _Function:
    name: str
    signature: str
    call: str
    says: str
    equation: str | None
    returns: str


_FUNCTIONS: tuple[_Function, ...] = (
    _Function(
        "to_model",
        "coords",
        "coords",
        "θ = c(λ), in the order of PARAMETERS.",
        "chart",
        "(…, {theta})",
    ),
    _Function(
        "from_model",
        "theta",
        "theta",
        "Coordinates of θ: (…, {theta}), or a mapping by the names of PARAMETERS. DomainError "
        "where θ is not in the chart's image.",
        None,
        "(…, {p})",
    ),
    _Function(
        "relabel",
        "theta",
        "theta",
        "θ (…, {theta}) with its components in an order that the chart takes. DomainError where "
        "there is none.",
        None,
        "(…, {theta})",
    ),
    _Function("jacobian", "coords", "coords", "∂θ/∂λ.", "jacobian", "(…, {theta}, {p})"),
    _Function(
        "components",
        "coords",
        "coords",
        "({truth}) of the mixture, usable as a truth.",
        None,
        "(…, {k}) each",
    ),
    _Function(
        "log_density",
        "x, coords, out=None",
        "x, coords, out",
        "log p(x | c(λ)) point by point.",
        None,
        "(…, N)",
    ),
    _Function(
        "responsibilities",
        "x, coords, out=None",
        "x, coords, out",
        "Posterior probability of each component at each point.",
        None,
        "(…, N, {k})",
    ),
    _Function(
        "score_samples",
        "x, coords, out=None",
        "x, coords, out",
        "Score of each point.",
        "score",
        "(…, N, {p})",
    ),
    _Function(
        "log_likelihood",
        "x, coords, weights=None",
        "x, coords, weights",
        "Mean log-likelihood of a sample.",
        None,
        "(…,)",
    ),
    _Function(
        "score",
        "x, coords, weights=None",
        "x, coords, weights",
        "Gradient of the mean log-likelihood: the mean of `score_samples`.",
        None,
        "(…, {p})",
    ),
    _Function(
        "hessian",
        "x, coords, weights=None",
        "x, coords, weights",
        "Hessian of the mean log-likelihood in the chart, exactly symmetric.",
        "hessian",
        "(…, {p}, {p})",
    ),
    _Function(
        "statistics",
        "x, coords, weights=None",
        "x, coords, weights",
        "N_k, then the sums Σ w r_k b_j of each basis function {basis}.",
        None,
        "(…, {k}) each",
    ),
    _Function(
        "averaged_field",
        "coords, truth",
        "coords, truth",
        "Averaged learning equations at η = 1: ∇_λ E_q[log p(X | c(λ))], by certified quadrature.",
        "averaged",
        "(…, {p})",
    ),
    _Function(
        "averaged_hessian",
        "coords, truth",
        "coords, truth",
        "Hessian of E_q[log p(X | c(λ))] in the chart: `hessian` of the truth's nodes and weights.",
        None,
        "(…, {p}, {p})",
    ),
    _Function(
        "kl",
        "coords, truth",
        "coords, truth",
        "KL(truth ‖ model), never negative; `truth` must be a mixture.",
        None,
        "(…,)",
    ),
    _Function(
        "fisher",
        "coords",
        "coords",
        "Fisher information in the chart, exactly symmetric.",
        "fisher",
        "(…, {p}, {p})",
    ),
    _Function(
        "responsibility_gram",
        "coords, truth",
        "coords, truth",
        "C = E_q[ψψᵀ], ψ the responsibilities, exactly symmetric.",
        "stein",
        "(…, {k}, {k})",
    ),
    _Function(
        "natural_field",
        "coords, truth, *, rcond=None, full_output=False",
        "coords, truth, rcond=rcond, full_output=full_output",
        "Natural gradient learning at η = 1: I⁺ ∇_λ L, I the Fisher information. Where "
        "an eigenvalue of I, scaled to a unit diagonal, is below `rcond` (64 P eps) of the largest "
        "it is cut off, a ConditionWarning says so, and I⁺ is the Moore–Penrose inverse "
        "in these coordinates. `full_output=True` gives a Natural (field, "
        "condition, rank) and no warning.",
        "natural",
        "(…, {p})",
    ),
    _Function(
        "flow",
        'start, truth, times, field="gradient", *, rates=None, method="auto", rtol=1e-8, '
        "atol=1e-10, rcond=None, max_evaluations=20_000, full_output=False",
        "start, truth, times, field, rates=rates, method=method, rtol=rtol, atol=atol, "
        "rcond=rcond, max_evaluations=max_evaluations, full_output=full_output",
        "Learning from `start` (…, {p}), at `times`, the first that of the start; times that "
        "descend go backwards. "
        'dλ/dt is `averaged_field`, or `natural_field` where `field="natural"`, each coordinate '
        "times its entry of `rates`. `method` is DOP853, RK45 or RK23, explicit; Radau, implicit; "
        'or "auto": DOP853, and Radau for a member that proves stiff. Radau needs SciPy. Each '
        "member has its own step; `atol` is in units of each coordinate's own size. A member that "
        "fails, leaves the chart's domain or needs more than `max_evaluations` of the field is "
        "stopped there: its later entries are NaN, and a FlowWarning names it. "
        "`full_output=True` gives (array, list of Stop) instead.",
        None,
        "(…, len(times), {p})",
    ),
    _Function(
        "to_view",
        "coords",
        "coords",
        "The view's functions b(λ), in the order of VIEW.",
        "view",
        "(…, {b})",
    ),
    _Function(
        "view_field",
        "coords, truth, rates=None",
        "coords, truth, rates",
        "The learning of the chart, seen in the view, at η = 1: J ∇_λ L. `rates` ({p},) gives each "
        "coordinate a rate of its own: J diag(η) ∇_λ L.",
        "averaged_in_view",
        "(…, {b})",
    ),
    _Function(
        "em_step",
        "x, coords, weights=None, *, full_output=False",
        "x, coords, weights, full_output=full_output",
        "One E-step, then the joint maximiser of Q over the chart's closed domain. DomainError "
        "where a component is empty or a scale collapses. `full_output=True` gives a Step (coords, "
        "gain, multipliers, residual, notes).",
        "m_step",
        "(…, {p})",
    ),
    _Function(
        "ecm_step",
        "x, coords, order=None, sweeps=1, *, weights=None, full_output=False",
        "x, coords, order, sweeps, weights=weights, full_output=full_output",
        "One E-step, then conditional maximisers of Q. `order` has coordinates' names, or tuples "
        "of names for joint blocks: each is maximised over, the others held at their latest "
        "values, in its closed domain; None is the weights as one block, then every other "
        "coordinate. It is gone through `sweeps` times; what is left out of it stays. DomainError "
        "as from `em_step`. `full_output=True` gives a Step, its multipliers and residual those of "
        "each entry right after it.",
        "cm_steps",
        "(…, {p})",
    ),
    _Function(
        "ecm_rates",
        "x, coords, order=None, sweeps=1, *, weights=None",
        "x, coords, order, sweeps, weights=weights",
        "The factors by which EM and ECM shrink an error in one iteration near a fixed point "
        "`coords` ({p},), and the order in which ECM is fastest: spectral radii of 1 − H⁻¹I and of "
        "1 − (D + L)⁻¹I, with H = −∂²Q, I = −∂²L and D + L the lower triangle of H in the order.",
        None,
        "a Rates: em, ecm, order, best, best_order, residual",
    ),
    _Function(
        "gradient_em_step",
        "x, coords, rate=None, *, weights=None, full_output=False",
        "x, coords, rate, weights=weights, full_output=full_output",
        "One step of gradient EM, uphill on Q: `rate` is a number or ({p},); DomainError where the "
        "step leaves the domain. {safe} Projected onto the domain; L falls by rounding at most. "
        "`full_output=True` gives a Step (coords, gain, multipliers, residual, notes).",
        "gradient_em",
        "(…, {p})",
    ),
    _Function(
        "fit",
        'x, start, method="em", *, order=None, sweeps=1, rate=None, weights=None, tol=1e-10, '
        "max_iter=1000, floor=None, starts=None, rng=0, callback=None, progress=False, count=None",
        "x, start, method, order=order, sweeps=sweeps, rate=rate, weights=weights, tol=tol, "
        "max_iter=max_iter, floor=floor, starts=starts, rng=rng, callback=callback, "
        "progress=progress, count=count",
        "Maximise the mean log-likelihood from `start` until a step gains no more than `tol`. "
        "`start` is coordinates (…, {p}), each member a fit of its own, or a mapping by the names "
        "of COORDINATES or of PARAMETERS (a Fit's `parameters`), or one of "
        '"quantiles", "k-means++" (needs SciPy) and "random": then `starts` says how many '
        "(None: one, as a single fit), and `rng`, a seed or a numpy.random.Generator, which. "
        '`method` is "em", "ecm" (with `order` and `sweeps`) or "gradient_em" (with '
        "`rate`), as `em_step` and its fellows. `floor` is a lower bound on the scales. "
        "`callback(state)` is called at the start and after each iteration, and stops the fit by "
        "returning True; `progress` writes a line on standard error. `count` is N in `aic` and "
        "`bic`, or how many points have a positive weight: for weights that are frequencies, "
        "their sum. The end point is judged by gradient, observed Hessian and bounds: `converged` "
        "means a local maximum, a saddle is left along a direction that rises, and a fit that "
        "does not converge says why.",
        None,
        "a Fit: coords, parameters, history, path, iterations, converged, reason, best, aic, bic",
    ),
    _Function(
        "covariance",
        'x, coords, kind="observed", *, of="coordinates", weights=None, count=None',
        "x, coords, kind, of=of, weights=weights, count=count",
        "Estimated covariance of the maximum likelihood estimator. `kind` is the information that "
        'is inverted: "observed", "expected" (`fisher`), "opg" (outer products of scores), or '
        '"sandwich", which holds in a wrong model too. `of` is what is estimated: "coordinates" '
        '(Q = {p}), "parameters" (Q = {theta}) or "view", by the delta method. {count} `x` may be '
        'None where `kind="expected"` and `count` is given. DomainError where the information is '
        "singular, or −H not positive definite: no maximum. ConditionWarning where the model is "
        "within two standard errors of where it is singular; InferenceWarning at an end of a "
        "domain, and off the maximum.",
        "covariance",
        "(…, Q, Q)",
    ),
    _Function(
        "standard_errors",
        'x, coords, kind="observed", *, of="coordinates", weights=None, count=None',
        "x, coords, kind, of=of, weights=weights, count=count",
        "Square roots of the diagonal of `covariance`, which says what the arguments are.",
        None,
        "(…, Q)",
    ),
    _Function(
        "confidence_intervals",
        'x, coords, level=0.95, kind="observed", *, of="coordinates", weights=None, count=None',
        "x, coords, level, kind, of=of, weights=weights, count=count",
        "Wald's intervals, kept inside the domains; arguments as of `covariance`. A parameter that "
        "depends on one coordinate alone has the image of that coordinate's interval.",
        None,
        "(…, Q, 2): lower and upper ends",
    ),
    _Function(
        "criteria",
        "x, coords, weights=None, *, count=None",
        "x, coords, weights, count=count",
        "AIC and BIC. {count} ConditionWarning where the model is so near to where it is singular "
        "that they mean little.",
        None,
        "a Criteria: aic, bic, log_likelihood (the total), parameters, points",
    ),
    _Function(
        "sample",
        "coords, n, *, rng=0",
        "coords, n, rng=rng",
        "n draws. `rng` is a seed or a numpy.random.Generator.",
        None,
        "(…, n)",
    ),
)


def public_functions(record: Record) -> list[dict[str, object]]:
    """For each function: name, annotated arguments, return type, call and docstring."""
    model, chart = record.model, record.chart
    facts = {
        "theta": len(model.parameters),
        "p": len(chart.coordinates),
        "k": model.components,
        "b": len(record.view.names) if record.view else 0,
        "truth": ", ".join(["weights", *(p.name for p in model.family.parameters)]),
        "basis": _basis(record.form),
        "count": "N is `count`, or how many points have a positive weight: a weight w is N w "
        "observations.",
        "safe": _safe(record),
    }
    given = given_keywords(chart)
    out: list[dict[str, object]] = []
    for f in _FUNCTIONS:
        if f.name in ("to_view", "view_field") and record.view is None:
            continue
        says = f.says.format(**facts)
        named = f.equation if f.equation in record.names else None
        equation = record[named] if named is not None else None
        doc = _docstring(says, equation, f.returns.format(**facts))
        arguments = [_annotated(a, f.name) for a in f.signature.split(", ")]
        if given and "*" not in arguments:
            arguments.append("*")
        arguments += [f"{name}: ArrayLike" for name in given]
        out.append(
            {
                "name": f.name,
                "arguments": arguments,
                "type": _RETURNS.get(f.name, "Array"),
                "call": f.call,
                "given": f".given({', '.join(given)})" if given else "",
                "docstring": doc,
            }
        )
    return out


def given_keywords(chart: Chart) -> list[str]:
    """The keywords of a chart's constants, mangled where the code uses the name."""
    return list(identifiers([c.name for c in chart.constants], _ARGUMENTS).values())


def _safe(record: Record) -> str:
    """What a rate of None is."""
    found = record.safe_rate_or_reason
    if isinstance(found, str):
        return "None is a line search: Q must rise, and L is no less."
    return (
        f"None is {found.sharp / 2}: below {found.sharp} no step lowers L, whatever the data, and "
        "half of that guarantees most."
    )


def _basis(form: ComponentForm) -> str:
    if form.slopes is not None:
        names = ", ".join(f"∂ log f/∂{p.name}" for p in form.family.parameters)
        return f"log f, {names}"
    shown = ", ".join(str(b) for b in form.basis)
    return shown + (f" with z = {form.standard}" if form.own else " with z = x")


def _annotated(argument: str, function: str) -> str:
    """``x`` → ``x: ArrayLike``, ``out=None`` → ``out: Array | None = None``."""
    name, _, default = argument.partition("=")
    if name == "*":
        return name
    kind = _OWN_TYPES.get((function, name)) or _TYPES.get(name, "ArrayLike")
    return f"{name}: {kind} = {default}" if default else f"{name}: {kind}"


_ARGUMENTS = frozenset(
    "x coords theta out weights truth rng n start method tol max_iter rows given order sweeps "
    "rate floor starts callback progress kind of count level".split()
)

_TYPES = {
    "coords": "Entries",
    "theta": "Entries",
    "out": "Array | None",
    "weights": "ArrayLike | None",
    "truth": "object",
    "method": "str",
    "tol": "float",
    "max_iter": "int",
    "rng": "int | np.random.Generator",
    "n": "int",
    "order": "object",
    "sweeps": "int",
    "rate": "ArrayLike | None",
    "floor": "float | None",
    "starts": "int | None",
    "callback": "Callback | None",
    "progress": "bool",
    "rcond": "float | None",
    "full_output": "bool",
    "field": "str",
    "rates": "ArrayLike | None",
    "rtol": "float",
    "kind": "str",
    "of": "str",
    "count": "float | None",
    "level": "float",
}


_OWN_TYPES = {
    "coords": "Entries",
    "theta": "Entries",
    ("covariance", "x"): "ArrayLike | None",
    ("standard_errors", "x"): "ArrayLike | None",
    ("confidence_intervals", "x"): "ArrayLike | None",
    ("flow", "start"): "Entries",
    ("fit", "start"): "Entries | str",
}


_RETURNS = {
    "components": "tuple[Array, ...]",
    "statistics": "tuple[Array, ...]",
    "em_step": "Array | Step",
    "ecm_step": "Array | Step",
    "ecm_rates": "Rates",
    "gradient_em_step": "Array | Step",
    "fit": "Fit",
    "criteria": "Criteria",
    "natural_field": "Array | Natural",
    "flow": "Array | tuple[Array, list[Stop]]",
}


def _docstring(says: str, equation: Equation | None, returns: str) -> str:
    sentence, _, rest = says.partition(". ")
    head = sentence if not rest else sentence + "."
    lines = filled_text(head, 92)
    lines[0] = 'r"""' + lines[0]
    if rest:
        lines += ["", *filled_text(rest, 94)]
    lines += ["", *filled_text(f"Returns: {returns}.", 94)]
    if equation is not None:
        lines += ["", f"Equation {equation.label}:", ""]
        notation = notation_of(equation)
        for line in equation.lines:
            first, *more = filled_text(one_line(line, notation), 86)
            lines += [f"    {first}", *(f"        {m}" for m in more)]
    if len(lines) == 1:
        return f'    {lines[0]}"""'
    lines.append('"""')
    return "\n".join(f"    {line}" if line else "" for line in lines)
