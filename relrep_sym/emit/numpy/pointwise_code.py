"""Bodies of the functions that give a log-density's derivatives point by point.

In: a family's form, and what a record knows of its second derivatives. Out: lines for the slots of
``templates/module.py.j2``; None for what is a sum over the basis, or not known.
"""

from __future__ import annotations

from collections.abc import Sequence

import sympy as sp

from relrep_sym.emit.lowering import lower
from relrep_sym.emit.numpy.layout import assignments, bare, returned, tuple_of
from relrep_sym.emit.numpy.own_code import Forms, family_forms
from relrep_sym.equations.component import ComponentForm
from relrep_sym.equations.kernels import with_kernels
from relrep_sym.equations.pointwise import Pointwise
from relrep_sym.statements.language import Assign
from relrep_sym.statements.passes import share

__all__ = ["pointwise_fragments"]


def pointwise_fragments(form: ComponentForm, found: object) -> dict[str, list[str] | None]:
    """Bodies of ``_slopes``, ``_curves``, ``_jumps`` and ``_softened``."""
    forms = family_forms(form.family)
    if not isinstance(found, Pointwise):
        slopes = None if form.slopes is None else _body("slope", form.slopes, forms)
        return {"slopes": slopes, "curves": None, "jumps": None, "softened": None}
    return {
        "slopes": _body("slope", found.slopes, forms),
        "curves": _body("curve", found.curves, forms),
        "jumps": _body("jump", found.jumps, forms) if found.jumps else None,
        "softened": _body("value", found.softened, forms) if found.softened else None,
    }


def _body(name: str, expressions: Sequence[sp.Expr], forms: Forms) -> list[str]:
    """The values one by one, then their tuple."""
    expressions = [forms(e) for e in expressions]
    values = [f"{name}{i + 1}" for i in range(len(expressions))]
    quotients: dict[sp.Expr, sp.Symbol] = {}
    found = [_tempered(with_kernels(e), quotients) for e in expressions]
    named = [(s.name, q) for q, s in quotients.items()]
    pairs = [*named, *zip(values, found, strict=True)]
    lines = assignments(share([Assign(v, lower(e, bare)) for v, e in pairs]))
    return lines + ([f"return {tuple_of(values)}"] if len(values) == 1 else returned(values))


def _tempered(expression: sp.Expr, quotients: dict[sp.Expr, sp.Symbol]) -> sp.Expr:
    """The expression with x⁴/(1 + x²)² as the square of a quotient, which far out is no ∞/∞.

    Each quotient becomes a symbol, since SymPy would multiply it out again.
    """

    def term(whole: sp.Expr) -> sp.Expr:
        powers = [f.as_base_exp() for f in sp.Mul.make_args(whole)]
        sums = [(b, e) for b, e in powers if b.is_Add and e.is_Integer and e <= -2]
        tops = [(b, e) for b, e in powers if e.is_Integer and e > 0]
        for below, e in sums:
            for above, p in tops:
                whole_part = p // -e
                if whole_part and above.free_symbols & below.free_symbols:
                    quotient = above**whole_part / below
                    name = f"quotient{len(quotients) + 1}"
                    mark = quotients.setdefault(quotient, sp.Symbol(name, real=True))
                    rest = whole / above ** (whole_part * -e) / below**e
                    return rest * mark**-e
        return whole

    return expression.replace(lambda e: e.is_Mul, term)
