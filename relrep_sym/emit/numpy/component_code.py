"""Bodies of the functions that are a family's: basis, log-odds, score. They hold for any K.

In: a :class:`~relrep_sym.equations.component.ComponentForm`. Out: lines for the slots of
``templates/module.py.j2``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cache

import sympy as sp

from relrep_sym.declare.family import Family
from relrep_sym.emit.lowering import lower as lowered
from relrep_sym.emit.numpy.layout import (
    Leaf,
    assignments,
    bare,
    returned,
    tuple_of,
)
from relrep_sym.emit.numpy.own_code import family_forms, warn_of_loss
from relrep_sym.emit.numpy.printer import filled, infix
from relrep_sym.equations.component import ComponentForm
from relrep_sym.equations.ends import end_exponents
from relrep_sym.equations.kernels import with_kernels
from relrep_sym.errors import DerivationError, problem
from relrep_sym.statements.language import Assign, Node, Num, Op, Stage, Var
from relrep_sym.statements.passes import hoist, share

__all__ = ["component_fragments"]


def lower(expression: sp.Expr, leaf: Leaf) -> Node:
    """The expression in the statement language, functions replaced by their kernels."""
    return lowered(with_kernels(expression), leaf)


@cache
def component_fragments(form: ComponentForm) -> Mapping[str, object]:
    """Bodies and facts of the functions that one family needs; they hold for any K."""
    family = form.family
    roles = [p.name for p in family.parameters]
    if form.slopes is not None:
        return _general_fragments(form)
    form = _own_forms(form)
    buffers = {b: f"basis[{j}]" for j, b in enumerate(form.basis)}
    prepare: list[Assign] = []
    stages = {"x": Stage.SAMPLE}
    block: list[str] = []
    if form.own:
        block += _fill_basis(form, buffers, stages, prepare)
    else:
        for b, buffer in buffers.items():
            node = lower(b.subs(form.z, family.x), bare)
            block += filled(node, buffer, "spare")
    coefficients = [a.target for a in prepare]
    odds, exponents, more = _exponents(form, buffers)
    prepare_lines = _spread([*prepare, *more, Assign("heights", lower(form.height, bare))], roles)
    coefficients += [a.target for a in more]
    shown = _locations(block + odds + exponents, roles)
    arrays = [n for n in roles if n in shown] + coefficients
    return {
        "prepare": prepare_lines,
        "coefficients": arrays,
        "block": block,
        "log_odds": odds,
        "exponents": exponents,
        "odds": _return_lines("odds", form.odds),
        "score": _score_lines(form),
        "common": infix(lower(form.common, bare)) if form.common != 0 else None,
        "quadratic": _quadratic_lines(form),
        "kink": None,
        "ends": _end_lines(family),
        "steep": _steep(family),
    }


def _own_forms(form: ComponentForm) -> ComponentForm:
    """A separated form, that of a user's own family with its coefficients in their best forms."""
    forms = family_forms(form.family)
    if not forms.own:
        return form
    made = replace(
        form,
        height=forms(form.height),
        constant=forms(form.constant, f"the log-density of {form.family.name}"),
        coefficients=tuple(map(forms, form.coefficients)),
        common=forms(form.common),
        score=tuple(tuple(map(forms, row)) for row in form.score),
    )
    warn_of_loss(forms)
    return made


def _spread(program: Sequence[Assign], roles: Sequence[str]) -> list[str]:
    """Assignments whose values are all of the parameters' shape, numbers too."""
    lines: list[str] = []
    for a in program:
        if isinstance(a.value, Num):
            one = a.value.value == 1
            like = f"ones_like({roles[0]})" if one else f"full_like({roles[0]}, {infix(a.value)})"
            lines.append(f"{a.target} = np.{like}")
        else:
            lines += assignments([a])
    return lines


def _general_fragments(form: ComponentForm) -> dict[str, object]:
    """The same where the basis functions are log f and its slopes."""
    family = form.family
    roles = [p.name for p in family.parameters]
    forms = family_forms(family)
    written = [forms(b, _called(form, j)) for j, b in enumerate(form.basis)]
    warn_of_loss(forms)
    program = share([Assign(f"basis[{j}][...]", lower(b, bare)) for j, b in enumerate(written)])
    kink = None if family.kink is None else f"return {infix(lower(family.kink, bare))}"
    return {
        "prepare": [f"heights = np.ones_like({roles[0]})"],
        "coefficients": roles,
        "block": assignments(program),
        "log_odds": ["np.subtract(basis[0][:-1], basis[0][-1], out=out)"],
        "exponents": ["np.copyto(out, basis[0][rows])"],
        "odds": None,
        "score": _score_lines(form),
        "common": None,
        "quadratic": None,
        "kink": None if kink is None else [kink],
        "ends": _end_lines(family),
        "steep": _steep(family),
    }


def _called(form: ComponentForm, j: int) -> str:
    """What a basis function of the general form is called."""
    name = f"the log-density of {form.family.name}"
    return f"{name}, its slope by {form.family.parameters[j - 1].name}," if j else name


def _locations(lines: Sequence[str], roles: Sequence[str]) -> set[str]:
    """Family parameters that per-sample lines read directly."""
    text = _words(" ".join(lines))
    return {r for r in roles if r in text}


def _words(text: str) -> list[str]:
    for mark in "()[],-":
        text = text.replace(mark, " ")
    return text.split()


def _fill_basis(
    form: ComponentForm,
    buffers: Mapping[sp.Expr, str],
    stages: Mapping[str, Stage],
    prepare: list[Assign],
) -> list[str]:
    """Fill z first, then what is built from it."""
    lines: list[str] = []
    target = buffers.get(form.z, "spare")
    raw = hoist(lower(form.standard, bare), stages, "c", prepare)
    lines += filled(raw, target, "")

    def leaf(symbol: sp.Symbol) -> Node:
        return Var(target) if symbol == form.z else bare(symbol)

    for b, buffer in buffers.items():
        if b != form.z:
            lines += filled(lower(b, leaf), buffer, "spare" if target != "spare" else "")
    return lines


def _exponents(
    form: ComponentForm, buffers: Mapping[sp.Expr, str]
) -> tuple[list[str], list[str], list[Assign]]:
    """Lines that fill log f_k − log f_K, and log f_k for some rows k, both without heights.

    Where z is x itself the kernel takes the log-odds from their coefficients, and there are no
    lines for them.
    """
    more: list[Assign] = []
    if form.anchored is not None:
        return [], _anchored_lines(form), more
    terms = [(c, buffers[b]) for c, b in zip(form.coefficients, form.basis, strict=True) if c != 0]
    odds: list[str] = []
    logs: list[str] = []
    for n, (c, buffer) in enumerate(terms):
        first = n == 0
        sign = {sp.Integer(1): "add", sp.Integer(-1): "subtract"}.get(c)
        into = "out" if first else "spare[:-1]"
        own = f"{buffer}[rows]" if form.own else buffer
        if form.own and sign is not None:
            ends = [f"{buffer}[:-1]", f"{buffer}[-1]"]
            left, right = ends if sign == "add" else reversed(ends)
            odds.append(f"np.subtract({left}, {right}, out={into})")
            verb = "positive" if sign == "add" else "negative"
            logs.append(
                f"np.{verb}({own}, out=out)" if first else f"np.{sign}(out, {own}, out=out)"
            )
        else:
            name = f"slope{n + 1}"
            more.append(Assign(name, lower(c, bare)))
            odds.append(f"np.multiply({name}, {buffer}, out=spare)")
            odds.append(f"np.subtract(spare[:-1], spare[-1], out={into})")
            logs.append(
                f"np.multiply({name}[rows], {own}, out={'out' if first else 'spare[rows]'})"
            )
            if not first:
                logs.append("np.add(out, spare[rows], out=out)")
        if not first:
            odds.append("np.add(out, spare[:-1], out=out)")
    if form.constant != 0:
        more.append(Assign("constant", lower(form.constant, bare)))
        odds.append("np.add(out, constant[:-1] - constant[-1], out=out)")
        logs.append("np.add(out, constant[rows], out=out)")
    return odds if form.own else [], logs, more


def _anchored_lines(form: ComponentForm) -> list[str]:
    """log f_k where large terms cancel: the two parts of the anchored form, evaluated apart."""
    assert form.anchored is not None
    roles = {p.symbol for p in form.family.parameters}

    def leaf(symbol: sp.Symbol) -> Node:
        if symbol == form.family.x:
            return Var("point")
        return Var(f"{symbol.name}[rows]") if symbol in roles else bare(symbol)

    logarithms, rest = (lower(part, leaf) for part in form.anchored)
    return [
        "point = np.maximum(basis[0], 1e-290)",
        f"out[...] = {infix(rest)}",
        f"out += {infix(logarithms)}",
    ]


def _return_lines(prefix: str, values: Sequence[sp.Expr]) -> list[str]:
    program = share([Assign(f"{prefix}{j}", lower(v, bare)) for j, v in enumerate(values)])
    targets = [f"{prefix}{j}" for j in range(len(values))]
    comma = "," if len(targets) == 1 else ""
    return [*assignments(program), f"return {', '.join(targets)}{comma}"]


def _score_lines(form: ComponentForm) -> list[str]:
    """Body of ``_score(mu, …)``: for each parameter and each b_j a (slope, offset), or None.

    The constant a_0 goes with the last b_j there is, as slope · (b_j + offset), so that a mean of
    zero keeps its digits.
    """
    program: list[Assign] = []
    rows = []
    first = form.family.parameters[0].name
    for p, (constant, *slopes) in zip(form.family.parameters, form.score, strict=True):
        last = max((j for j, a in enumerate(slopes) if a != 0), default=None)
        if last is None:
            raise DerivationError(
                problem(
                    f"the log-density does not depend on {p.name}", str(constant), "x and φ in it"
                )
            )
        cells = []
        for j, a in enumerate(slopes):
            if a == 0:
                cells.append("None")
                continue
            slope = f"{p.name}_slope{j + 1}"
            program.append(Assign(slope, lower(a, bare)))
            if a.is_number:
                program[-1] = Assign(
                    slope, Op("add", (Op("mul", (Var(first), Num(Fraction(0)))), lower(a, bare)))
                )
            offset = "0.0"
            if j == last and constant != 0:
                node = lower(sp.cancel(constant / a), bare)
                offset = infix(node)
                if isinstance(node, Op):
                    program.append(Assign(f"{p.name}_offset", node))
                    offset = f"{p.name}_offset"
            cells.append(f"({slope}, {offset})")
        rows.append(tuple_of(cells))
    return [
        *assignments(share(program)),
        *([f"return {tuple_of(rows)}"] if len(rows) == 1 else returned(rows)),
    ]


def _end_lines(family: Family) -> list[str] | None:
    """Body of ``_ends(shape, …)``: the exponent of the density at each end of the support."""
    found = end_exponents(family)
    if not found:
        return None
    shown = ["np.inf" if e is sp.oo else infix(lower(e, bare)) for e in found]
    return [f"return {tuple_of(shown)}"]


def _steep(family: Family) -> list[str]:
    """The numbers of the parameters in each of these exponents, as tuples."""
    return [
        tuple_of([str(i) for i, s in enumerate(family.symbols) if e.has(s)])
        for e in end_exponents(family)
    ]


def _quadratic_lines(form: ComponentForm) -> list[str] | None:
    """Body of ``_quadratic(mu, …)``: log f as c_0 + c_1 x + c_2 x², or None."""
    family = form.family
    if family.support != "line" or not form.log_density.is_polynomial(family.x):
        return None
    expanded = sp.expand(sp.expand_log(family.log_density, force=True))
    polynomial = sp.Poly(expanded, family.x)
    if polynomial.degree() > 2:
        return None
    found = [sp.factor_terms(polynomial.coeff_monomial(family.x**j)) for j in range(3)]
    return _return_lines("q", found)
