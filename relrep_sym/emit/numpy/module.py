"""A generated NumPy module, from a record: fragments and docstrings into one template.

In: a :class:`~relrep_sym.equations.record.Record`. Out: Python source, byte-identical for the same
specification, formatted already. The keys that the template uses and those passed are the same, or
rendering fails.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import jinja2

from relrep_sym.declare.family import Family
from relrep_sym.declare.support import Support, support_text
from relrep_sym.emit.files import UNSIGNED, signed
from relrep_sym.emit.lowering import lower
from relrep_sym.emit.numpy.chart_code import ChartFragments
from relrep_sym.emit.numpy.cm_code import conditional_lines, conditional_words
from relrep_sym.emit.numpy.component_code import component_fragments
from relrep_sym.emit.numpy.em_code import m_step_lines
from relrep_sym.emit.numpy.layout import bare, bracketed, filled_text, wrapped
from relrep_sym.emit.numpy.median_code import median_fragments
from relrep_sym.emit.numpy.orders_code import orders_code
from relrep_sym.emit.numpy.own_code import warn_of_loss
from relrep_sym.emit.numpy.pointwise_code import pointwise_fragments
from relrep_sym.emit.numpy.printer import infix, special_names
from relrep_sym.emit.numpy.public import public_functions
from relrep_sym.emit.numpy.roots_code import roots_code
from relrep_sym.emit.numpy.second_code import (
    bend_lines,
    contrast_lines,
    rebased_lines,
    second_lines,
)
from relrep_sym.emit.numpy.spelled import family_notes, number_notes
from relrep_sym.equations.median import median_step
from relrep_sym.equations.program import find_inverse
from relrep_sym.equations.record import Record
from relrep_sym.equations.second import SecondForm
from relrep_sym.equations.units import unit_powers
from relrep_sym.errors import DeclarationError, NoInverseError, problem
from relrep_sym.statements.language import SPECIAL

__all__ = ["render", "specification"]

_TEMPLATES = Path(__file__).parent / "templates"


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
    lines.append(f"log f = {model.family.log_density} on {support_text(model.family.support)}")
    lines.append(chart.title)
    lines += [f"{c.name} {c.domain.name}" for c in chart.coordinates]
    lines += [f"constant {c.name} {c.domain.name}" for c in chart.constants]
    lines += [f"{t} = {r}" for t, r in chart.program]
    lines += [f"weights {', '.join(map(str, chart.weights))}"] if chart.weights else []
    lines += [f"inverse {n} = {e}" for n, e in chart.inverse]
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
        if not re.fullmatch(r"[\w./()'\",= -]*", text) or '"""' in text:
            right = "letters, digits and ./()',=- in one line"
            raise DeclarationError(
                problem(f"the header's {what} holds other characters", text, right)
            )
    context = _context(record, source, command)
    template = _environment().get_template("module.py.j2")
    text = template.render(text_digest=UNSIGNED, **context)
    notes = [*family_notes(record.form), *number_notes(text)]
    return signed(text.replace("# @notes\n", "".join(f"{line}\n" for line in notes)))


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
        returned=_returned,
        arrays=lambda names: [f"{n}: Array" for n in names],
        body=lambda lines: "\n".join(f"    {line}" for line in lines),
        quoted=lambda names: [_quote(n) for n in names],
        quote_all=lambda names: [_quote(n) for n in names],
        tuple=_inner_tuple,
        tuple_target=lambda names: ", ".join(names) if len(names) > 1 else f"({names[0]},)",
        assign=lambda name, items: "\n".join(bracketed(f"{name} = (", items, ")", 0)),
        keyword=lambda name, items: _indented(bracketed(f"{name}=(", items, "),", 8), 8),
        mapping=lambda name, items: "\n".join(bracketed(f"{name} = {{", items, "}", 0)),
        special=_special,
        read=lambda names, body: [n if _mentions(" ".join(body), [n]) else f"_{n}" for n in names],
        deeper=lambda lines: _indented(lines, 12),
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


def _returned(name: str, call: str, given: str) -> str:
    """The call of the runtime's method, broken as ruff would where it is too long."""
    head = f"return _solver(){given}.{name}("
    line = f"    {head}{call})"
    if len(line) <= 100:
        return line
    return _indented(bracketed(head, call.split(", "), ")"), 4)


def _special(body: Sequence[str] | str | None) -> str:
    """The import of the runtime's own functions that a body calls, with an empty line after it."""
    names = special_names("\n".join([body] if isinstance(body, str) else body or []))
    if not names:
        return ""
    lines = []
    for home in sorted({SPECIAL[n] for n in names}):
        own = ", ".join(n for n in names if SPECIAL[n] == home)
        lines.append(f"    from relrep_sym.runtime.{home} import {own}\n")
    return "".join(lines) + "\n"


def _draw(family: Family) -> str | None:
    """The call that draws from one component for each of the given parameters."""
    sampler = family.sampler
    if sampler is None:
        return None
    arguments = ", ".join(infix(lower(a, bare)) for a in sampler.arguments)
    shift = (
        "" if not sampler.shift else f" {'-' if sampler.shift < 0 else '+'} {abs(sampler.shift)}"
    )
    drawn = f"rng.{sampler.method}({arguments})"
    if not family.discrete:
        return drawn + shift
    return f"({drawn}{shift}).astype(float)" if shift else f"{drawn}.astype(float)"


def _support(support: Support) -> str:
    return _quote(support) if isinstance(support, str) else repr(support).replace("'", '"')


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
        pieces = wrapped(text, 74)
        if len(pieces) == 1:
            lines.append(f"    {_quote(key)}: {_quote(pieces[0])},")
        else:
            lines.append(f"    {_quote(key)}: (")
            lines += [f"        {_quote(p)}" for p in pieces]
            lines.append("    ),")
    return [*lines, "},"]


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
    safe = record.safe_rate_or_reason
    if isinstance(safe, str):
        why["safe_rate"] = safe
    second = record.second_or_reason
    if isinstance(second, str):
        why["hessian"] = second
    fragments = {**component_fragments(form), **pointwise_fragments(form, second)}
    bodies = {k: " ".join(v) for k, v in fragments.items() if isinstance(v, list)}
    reads = {
        f"{name}_reads": _mentions(bodies[name], fragments["coefficients"])
        for name in ("block", "log_odds", "exponents")
    }
    domains = [c.domain for c in chart.coordinates] + [c.domain for c in chart.constants]
    positions = {p: i for i, p in enumerate(family.parameters)}
    warn_of_loss(pieces.forms)
    functions = public_functions(record)
    constants = ["CONSTANTS", "COORDINATES", "FIXED", "PARAMETERS", *(["VIEW"] if view else [])]
    return {
        "public": [*constants, *sorted(str(f["name"]) for f in functions)],
        "title": "\n".join(filled_text(f"{model.describe().capitalize()}.", 94)),
        "source": source,
        "command": command,
        "digest": hashlib.sha256(specification(record).encode()).hexdigest()[:32],
        "summary": _summary(record),
        "truth": ", ".join(["weights", *roles]),
        "pair": "a (nodes, weights) pair"
        if len(roles) > 1
        else "a Nodes pair of relrep_sym.runtime.expectation",
        "parameters": model.names,
        "fixed": [f"{_quote(n)}: {float(v)!r}" for n, v in model.fixed.items()],
        "role_names": roles,
        "own_names": [f"own_{r}" for r in roles],
        "delta_names": [f"delta_{r}" for r in roles],
        "new_names": [f"new_{r}" for r in roles],
        "d_role_names": [f"d_{r}" for r in roles],
        "family": {**fragments, **reads},
        "second": second_lines(form, second) if isinstance(second, SecondForm) else None,
        "contrast": contrast_lines(form, second) if isinstance(second, SecondForm) else None,
        "rebased": rebased_lines(form, second) if isinstance(second, SecondForm) else None,
        "chart": {
            "coordinates": chart.names,
            "components": pieces.components(),
            "to_model": pieces.to_model(),
            "pull_back": pieces.pull_back(),
            "pull_back_model": pieces.pull_back_model(),
            "bend": bend_lines(pieces, pieces.curvature(record.curvature)),
            "from_model": from_model,
            "model_components": pieces.model_components(),
            "to_parameters": pieces.to_parameters(),
            "view": pieces.view(view) if view else None,
            "push_view": pieces.push_view(view) if view else None,
        },
        "m_step": None if isinstance(step, str) else m_step_lines(model, step),
        "roots": roots_code(record),
        "orders": None
        if isinstance(step, str) or not from_model
        else orders_code(chart, record.joint.orders),
        "conditional": conditional_lines(model, record.cm_steps),
        "conditional_words": [_quote(w) for w in conditional_words(chart, record.cm_steps)],
        "medians": median_fragments(model, median_step(model)),
        "view": view.names if view else None,
        "count": model.components,
        "positive": [str(p.domain.lower == 0.0) for p in family.parameters],
        "upper_ends": [_end(p.domain.upper) for p in family.parameters]
        if any(p.domain.upper != float("inf") for p in family.parameters)
        else None,
        "support": _support(family.support),
        "own": form.own,
        "basis": len(form.basis),
        "location": positions.get(family.location) if family.location else None,
        "scale": positions.get(family.scale) if family.scale else None,
        "units": [repr(d) for d in unit_powers(family) or ()],
        "lower": [_end(d.lower) for d in domains],
        "upper": [_end(d.upper) for d in domains],
        "open_lower": [str(d.open_lower) for d in domains],
        "constants": [c.name for c in chart.constants],
        "reference": pieces.reference,
        "draw": _draw(family),
        "safe_rate": None if isinstance(safe, str) else (repr(safe.rate), repr(safe.sharp_rate)),
        "why": why,
        "functions": functions,
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
        lines += filled_text("View: " + ", ".join(f"{n} = {e}" for n, e in pairs) + ".", 96)
    return "\n".join(lines)
