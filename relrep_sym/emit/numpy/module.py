"""A generated NumPy module, from a record: fragments and docstrings into one template.

In: a :class:`~relrep_sym.equations.record.Record`. Out: Python source, byte-identical for the same
specification, formatted already. The keys that the template uses and those passed are the same, or
rendering fails.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import jinja2

from relrep_sym.emit.files import UNSIGNED, signed
from relrep_sym.emit.latex import one_line
from relrep_sym.emit.numpy.fragments import (
    ChartFragments,
    bracketed,
    component_fragments,
    m_step_lines,
)
from relrep_sym.equations.program import find_inverse
from relrep_sym.equations.record import Equation, Record
from relrep_sym.errors import DeclarationError, NoInverseError, problem

__all__ = ["render", "specification"]

_TEMPLATES = Path(__file__).parent / "templates"


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
        "Coordinates of θ (…, {theta}). DomainError where θ is not in the chart's image.",
        None,
        "(…, {p})",
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
        "to_view",
        "coords",
        "coords",
        "The view's functions b(λ), in the order of VIEW.",
        "view",
        "(…, {b})",
    ),
    _Function(
        "view_field",
        "coords, truth",
        "coords, truth",
        "The learning of the chart, seen in the view, at η = 1: J ∇_λ L.",
        "averaged_in_view",
        "(…, {b})",
    ),
    _Function(
        "em_step",
        "x, coords, weights=None",
        "x, coords, weights",
        "One E-step, then the joint maximiser of Q. DomainError where it leaves the chart's image, "
        "where a component is empty or a scale collapses.",
        "m_step",
        "(…, {p})",
    ),
    _Function(
        "fit",
        'x, start, method="em", *, weights=None, tol=1e-10, max_iter=1000',
        "x, start, method, weights=weights, tol=tol, max_iter=max_iter",
        "Maximise the mean log-likelihood from `start` ({p},) until a step gains no more than "
        "`tol`.",
        None,
        "a Fit: coords, parameters, history, iterations, converged, reason",
    ),
    _Function(
        "sample",
        "rng, n, coords",
        "rng, n, coords",
        "n draws by a numpy.random.Generator.",
        None,
        "(…, n)",
    ),
)


def specification(record: Record) -> str:
    """A text that says all that determines the module: what its hash is taken of.

    >>> from relrep_sym.declare.chart import identity
    >>> from relrep_sym.declare.model import mixture
    >>> print(specification(Record("p", identity(mixture("poisson", components=1)))))
    mixture of 1 poisson component: rates free
    log f = -rate + x*log(rate) - loggamma(x + 1) on integers
    identity chart
    rate_1 positive
    rate_1 = rate_1
    """
    model, chart, view = record.model, record.chart, record.view
    lines = [
        model.describe().replace("weights free, ", "")
        if model.components == 1
        else model.describe()
    ]
    lines.append(f"log f = {model.family.log_density} on {model.family.support}")
    lines.append(chart.title)
    lines += [f"{c.name} {c.domain.name}" for c in chart.coordinates]
    lines += [f"{t} = {r}" for t, r in chart.program]
    lines += [f"inverse {n} = {e}" for n, e in chart.inverse or ()]
    if view is not None:
        lines += [f"view {n} = {e}" for n, e in zip(view.names, view.expressions, strict=True)]
    return "\n".join(lines)


def render(record: Record, source: str, command: str) -> str:
    r"""The module's source. ``source`` and ``command`` are what its header names.

    >>> from relrep_sym.declare.chart import identity
    >>> from relrep_sym.declare.model import mixture
    >>> text = render(Record("p", identity(mixture("poisson", components=2))), "a script", "make")
    >>> "COORDINATES = (\"pi_1\", \"rate_1\", \"rate_2\")" in text
    True
    """
    for what, text in (("source", source), ("command", command)):
        if not re.fullmatch(r"[\w./()'\" -]*", text) or '"""' in text:
            right = "letters, digits and ./()'- in one line"
            raise DeclarationError(
                problem(f"the header's {what} holds other characters", text, right)
            )
    context = _context(record, source, command)
    template = _environment().get_template("module.py.j2")
    return signed(template.render(text_digest=UNSIGNED, **context))


@cache
def _environment() -> jinja2.Environment:
    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    env.globals.update(
        define=_define,
        arrays=lambda names: [f"{n}: Array" for n in names],
        body=lambda lines: "\n".join(f"    {line}" for line in lines),
        quoted=lambda names: [_quote(n) for n in names],
        quote_all=lambda names: [_quote(n) for n in names],
        tuple=_inner_tuple,
        tuple_target=lambda names: ", ".join(names) if len(names) > 1 else f"({names[0]},)",
        assign=lambda name, items: "\n".join(bracketed(f"{name} = (", items, ")", 0)),
        keyword=lambda name, items: _indented(bracketed(f"{name}=(", items, "),", 8), 8),
        mapping=lambda name, items: "\n".join(bracketed(f"{name} = {{", items, "}", 0)),
        keyword_mapping=lambda name, items: _indented(_mapping(name, items), 8),
    )
    return env


def _define(name: str, arguments: Sequence[str], returns: str) -> str:
    """The head of a function, broken as ruff would where it is too long."""
    head, tail = f"def {name}(", f") -> {returns}:"
    inner = ", ".join(arguments)
    if len(head) + len(inner) + len(tail) <= 100:
        return head + inner + tail
    if len(inner) + 4 <= 100:
        return f"{head}\n    {inner}\n{tail}"
    return "\n".join([head, *(f"    {a}," for a in arguments), tail])


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _inner_tuple(items: Sequence[str]) -> str:
    return ", ".join(items) + ("," if len(items) == 1 else "")


def _indented(lines: Sequence[str], depth: int) -> str:
    return "\n".join(" " * depth + line for line in lines)


def _mapping(name: str, items: dict[str, str]) -> list[str]:
    """A keyword with a dictionary of long texts, each broken into literals of one line."""
    if not items:
        return [f"{name}={{}},"]
    lines = [f"{name}={{"]
    for key, text in items.items():
        pieces = _wrapped(text, 74)
        if len(pieces) == 1:
            lines.append(f"    {_quote(key)}: {_quote(pieces[0])},")
        else:
            lines.append(f"    {_quote(key)}: (")
            lines += [f"        {_quote(p)}" for p in pieces]
            lines.append("    ),")
    return [*lines, "},"]


def _wrapped(text: str, width: int) -> list[str]:
    """The text in pieces that join to it again, broken after spaces."""
    pieces, current = [], ""
    for word in text.split(" "):
        if current and len(current) + len(word) + 1 > width:
            pieces.append(current)
            current = ""
        current += word + " "
    pieces.append(current.removesuffix(" "))
    return pieces


def _context(record: Record, source: str, command: str) -> dict[str, object]:
    model, chart, form = record.model, record.chart, record.form
    family, view = model.family, record.view
    roles = [p.name for p in family.parameters]
    pieces = ChartFragments(chart)
    why: dict[str, str] = {}
    try:
        inverse = find_inverse(chart)
        from_model = pieces.from_model(inverse)
    except NoInverseError as missing:
        from_model = None
        why["from_model"] = str(missing)
    step = record.m_step_or_reason
    if isinstance(step, str):
        why["m_step"] = step
    if view is None:
        why["view"] = "no view was asked for in this derivation"
    if family.sampler is None:
        why["sample"] = f"no sampler is known for the {family.name} family"
    fragments = component_fragments(form)
    bodies = {k: " ".join(v) for k, v in fragments.items() if isinstance(v, list)}
    reads = {
        f"{name}_reads": _mentions(bodies[name], fragments["coefficients"])
        for name in ("block", "log_odds", "exponents")
    }
    positions = {p: i for i, p in enumerate(family.parameters)}
    return {
        "title": "\n".join(_fill(f"{model.describe().capitalize()}.", 94)),
        "source": source,
        "command": command,
        "digest": hashlib.sha256(specification(record).encode()).hexdigest()[:32],
        "summary": _summary(record),
        "truth": ", ".join(["weights", *roles]),
        "pair": "a (nodes, weights) pair"
        if len(roles) > 1
        else "a Nodes pair of relrep_sym.runtime.expectation",
        "special": [
            n for n in ("log_gamma", "stirling_remainder") if n in str(fragments["common"])
        ],
        "parameters": model.names,
        "fixed": [f"{_quote(n)}: {float(v)!r}" for n, v in model.fixed.items()],
        "role_names": roles,
        "own_names": [f"own_{r}" for r in roles],
        "delta_names": [f"delta_{r}" for r in roles],
        "d_role_names": [f"d_{r}" for r in roles],
        "family": {**fragments, **reads},
        "chart": {
            "coordinates": chart.names,
            "components": pieces.components(),
            "to_model": pieces.to_model(),
            "pull_back": pieces.pull_back(),
            "pull_back_model": pieces.pull_back_model(),
            "from_model": from_model,
            "model_components": pieces.model_components(),
            "to_parameters": pieces.to_parameters(),
            "view": pieces.view(view) if view else None,
            "push_view": pieces.push_view(view) if view else None,
        },
        "m_step": None if isinstance(step, str) else m_step_lines(model, step),
        "view": view.names if view else None,
        "count": model.components,
        "positive": [str(p.domain.name == "positive") for p in family.parameters],
        "support": family.support,
        "own": form.own,
        "basis": len(form.basis),
        "location": positions.get(family.location) if family.location else None,
        "scale": positions.get(family.scale) if family.scale else None,
        "lower": [_end(c.domain.lower) for c in chart.coordinates],
        "upper": [_end(c.domain.upper) for c in chart.coordinates],
        "open_lower": [str(c.domain.open_lower) for c in chart.coordinates],
        "sampler": _quote(family.sampler) if family.sampler else None,
        "why": why,
        "functions": _functions(record),
    }


def _mentions(text: str, names: object) -> bool:
    assert isinstance(names, list)
    for mark in "()[],:-":
        text = text.replace(mark, " ")
    return any(n in text.split() for n in names)


def _end(value: float) -> str:
    if value in (float("inf"), float("-inf")):
        return "np.inf" if value > 0 else "-np.inf"
    return repr(value)


def _summary(record: Record) -> str:
    lines = [f"Chart: {record.chart.title}."]
    if record.view is not None:
        pairs = zip(record.view.names, record.view.expressions, strict=True)
        lines += _fill("View: " + ", ".join(f"{n} = {e}" for n, e in pairs) + ".", 96)
    return "\n".join(lines)


def _functions(record: Record) -> list[dict[str, object]]:
    model, chart = record.model, record.chart
    facts = {
        "theta": len(model.parameters),
        "p": len(chart.coordinates),
        "k": model.components,
        "b": len(record.view.names) if record.view else 0,
        "truth": ", ".join(["weights", *(p.name for p in model.family.parameters)]),
        "basis": ", ".join(str(b) for b in record.form.basis)
        + (f" with z = {record.form.standard}" if record.form.own else " with z = x"),
    }
    out: list[dict[str, object]] = []
    for f in _FUNCTIONS:
        if f.name in ("to_view", "view_field") and record.view is None:
            continue
        says = f.says.format(**facts)
        named = f.equation if f.equation in record.names else None
        equation = record[named] if named is not None else None
        doc = _docstring(says, equation, f.returns.format(**facts))
        arguments = [_annotated(a) for a in f.signature.split(", ")]
        out.append(
            {
                "name": f.name,
                "arguments": arguments,
                "type": _RETURNS.get(f.name, "Array"),
                "call": f.call,
                "docstring": doc,
            }
        )
    return out


def _annotated(argument: str) -> str:
    """``x`` → ``x: ArrayLike``, ``out=None`` → ``out: Array | None = None``."""
    name, _, default = argument.partition("=")
    if name == "*":
        return name
    kind = _TYPES.get(name, "ArrayLike")
    return f"{name}: {kind} = {default}" if default else f"{name}: {kind}"


_TYPES = {
    "out": "Array | None",
    "weights": "ArrayLike | None",
    "truth": "object",
    "method": "str",
    "tol": "float",
    "max_iter": "int",
    "rng": "np.random.Generator",
    "n": "int",
}
_RETURNS = {
    "components": "tuple[Array, ...]",
    "statistics": "tuple[Array, ...]",
    "fit": "Fit",
}


def _docstring(says: str, equation: Equation | None, returns: str) -> str:
    sentence, _, rest = says.partition(". ")
    head = sentence if not rest else sentence + "."
    lines = _fill(head, 92)
    lines[0] = 'r"""' + lines[0]
    if rest:
        lines += ["", *_fill(rest, 94)]
    lines += ["", f"Returns: {returns}."]
    if equation is not None:
        lines += ["", f"Equation {equation.label}:", ""]
        for line in equation.lines:
            first, *more = _fill(one_line(line), 86)
            lines += [f"    {first}", *(f"        {m}" for m in more)]
    if len(lines) == 1:
        return f'    {lines[0]}"""'
    lines.append('"""')
    return "\n".join(f"    {line}" if line else "" for line in lines)


def _fill(text: str, width: int) -> list[str]:
    """The text in lines of at most ``width`` where spaces allow it, trailing spaces gone."""
    return [p.rstrip() for p in _wrapped(text, width)]
