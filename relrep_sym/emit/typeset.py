r"""Expressions as a person would write them in LaTeX.

In: a SymPy expression of the package's own language (declared functions, opaque nodes, generic
entries). Out: LaTeX; or, for a long one, LaTeX in pieces between which a line may be broken. What
is no name of a user's is written by its mark (:mod:`.letters`): x as ``@x``.

Positive terms first (x − μ, 1 − π_1 − π_2), components in ascending order, r_k(x) before what it
weighs, one fraction for a product, brackets only where needed and tall only around what is tall
(the order is that of :mod:`.order`). What is not known here is left to SymPy.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

import sympy as sp
from sympy.printing.latex import LatexPrinter

from relrep_sym.declare.functions import Erfc, Logistic, LogTotal, Softplus, SoftplusInverse
from relrep_sym.declare.symbols import at_index, latex_name, script, split_index
from relrep_sym.emit.letters import default
from relrep_sym.emit.measure import width
from relrep_sym.emit.order import (
    LARGE,
    PLAIN,
    POSTERIOR,
    RANDOM,
    Hole,
    in_order,
    negative,
    place,
    starts_negative,
    terms_of,
)
from relrep_sym.equations.nodes import (
    Auxiliary,
    Clip,
    ComponentSum,
    Density,
    Entry,
    Expectation,
    Hat,
    LogSumExp,
    Posterior,
    Responsibility,
    Terms,
)

__all__ = ["marked", "pieces", "tex"]

_SUM, _PRODUCT, _ATOM = range(3)
"""How tightly a text binds."""
_SHORT = 16
"""An exponent with no more signs is written e^{…}."""
_COMMAND = re.compile(r"\\mathrm\b|\\[A-Za-z]+|[{}_^ @]")

_X = sp.Symbol("x", real=True)
_ETA = sp.Symbol("eta", positive=True)

Shown = tuple[str, int]


def tex(expression: sp.Basic | str) -> str:
    r"""The LaTeX of an expression.

    >>> x, mu, sigma = sp.symbols("x mu_1 sigma_1")
    >>> tex((x - mu) / sigma**2), tex(1 - sp.Symbol("pi_1") - sp.Symbol("pi_2"))
    ('\\frac{x - \\mu_1}{\\sigma_1^2}', '1 - \\pi_1 - \\pi_2')
    """
    return default(marked(expression))


def marked(expression: sp.Basic | str) -> str:
    r"""The LaTeX of an expression, marks in the place of what is no name.

    >>> marked(sp.exp(-sp.Symbol("x", real=True)))
    '@e^{-@x}'
    """
    return expression if isinstance(expression, str) else _show(expression)[0]


def pieces(expression: sp.Basic | str, room: float) -> list[str]:
    r"""The marked LaTeX of an expression in pieces: a line may be broken before each but the first.

    Sums are taken apart from outside, and what is in brackets only where it is wider than ``room``.

    >>> a, b, eta = sp.symbols("a b eta")
    >>> pieces(eta * Terms(a, -b), room=20.0)
    ['\\eta \\Bigl(a', '{} - b\\Bigr)']
    """
    whole = marked(expression)
    if isinstance(expression, str):
        row = whole.startswith("(") and ", " in whole and width(whole) > room
        return _row(whole) if row else [whole]
    if width(whole) <= room:
        return [whole]
    if isinstance(expression, sp.Add | Terms):
        out: list[str] = []
        for n, term in enumerate(terms_of(expression)):
            first, *rest = pieces(term, room)
            out += [first if n == 0 else _continued(first), *rest]
        return out
    if isinstance(expression, sp.Mul | Expectation):
        long = [a for a in sp.Mul.make_args(expression) if isinstance(a, Terms | Expectation)]
        if len(long) == 1:
            inner = long[0].args[0] if isinstance(long[0], Expectation) else long[0]
            if isinstance(inner, sp.Add | Terms):
                return _opened(expression, long[0], inner, room)
    return [whole]


def _row(text: str) -> list[str]:
    """A row of names in pieces after its commas."""
    parts = text.split(", ")
    return [f"{p}," for p in parts[:-1]] + [parts[-1]]


def _opened(whole: sp.Expr, long: sp.Expr, inner: sp.Expr, room: float) -> list[str]:
    """A product with one long bracket, the bracket's terms apart."""
    mark = r"\relrephole{}"
    before, _, after = marked(whole.xreplace({long: Hole(sp.Symbol("h"))})).partition(mark)
    if before.count("{") != before.count("}"):  # inside a fraction or a root
        return [marked(whole)]
    if isinstance(long, Expectation):
        before += rf"@E_{script(_density(long))}"
        opening, closing = r"\Bigl[", r"\Bigr]"
    else:
        opening, closing = r"\Bigl(", r"\Bigr)"
    parts = pieces(inner, room - width(before) - 10.0)
    if len(parts) == 1:
        parts = pieces(inner, 0.0)
    parts[0] = before + opening + parts[0]
    parts[-1] += closing + after
    return parts


def _continued(text: str) -> str:
    return "{} - " + text[1:].lstrip() if text.startswith("-") else "{} + " + text


# ------------------------------------------------------------------------------ by type


@lru_cache(maxsize=8192, typed=True)
def _show(e: sp.Basic) -> Shown:
    for kind in type(e).__mro__:
        writer = _WRITERS.get(kind)
        if writer is not None:
            return writer(e)
    return _Foreign({"mul_symbol": None}).doprint(e), _SUM


class _Foreign(LatexPrinter):
    """SymPy's printer, for what is not known here; what is known inside comes back here."""

    def _print_Symbol(self, expr: sp.Symbol, style: str = "plain") -> str:
        return _symbol(expr)[0]

    _print_Parameter = _print_Entry = _print_Auxiliary = _print_Symbol


def _symbol(e: sp.Symbol) -> Shown:
    name = e.name
    if isinstance(e, Auxiliary):
        return _auxiliary(name), _ATOM
    if isinstance(e, Entry):
        return _entry(name), _ATOM
    if e in (_X, _ETA):
        return ("@x" if e == _X else r"@\eta"), _ATOM
    return (name if "\\" in name or "@" in name else latex_name(name)), _ATOM


@lru_cache(maxsize=4096)
def _entry(name: str) -> str:
    stem, mark, index = name.rstrip("]").partition("[")
    new = stem.endswith("^+")
    stem = stem.removesuffix("^+")
    if not mark:
        plain, number = split_index(stem)
        stem, index = (stem, "") if number is None else (plain, str(number))
    return latex_name(stem, at_index(index) or None) + ("^+" if new else "")


@lru_cache(maxsize=4096)
def _auxiliary(name: str) -> str:
    """A quantity's mark, and its index."""
    stem, mark, index = name.rstrip("]").partition("[")
    new = stem.endswith("^+")
    below = f"_{script(at_index(index))}" if mark else ""
    return f"@{stem.removesuffix('^+')}{below}" + ("^+" if new else "")


def _posterior(e: Posterior) -> Shown:
    return _auxiliary(e.name) + "(@x)", _ATOM


def _responsibility(e: Responsibility) -> Shown:
    return f"@r_{script(str(e.component))}(@x)", _ATOM


def _expectation(e: Expectation) -> Shown:
    inner = _show(e.args[0])[0]
    return rf"@E_{script(_density(e))}{_bracketed(inner, '[]')}", _ATOM


def _density(e: Expectation) -> str:
    """The density under which a mean is: q, p, or one of the components of q."""
    letter, mark, number = e.args[2].name.partition("_")
    return f"@{letter}" + (f"_{script(number)}" if mark else "")


def _log_sum_exp(e: LogSumExp) -> Shown:
    terms = []
    for a in e.args:
        logs = [t for t in sp.Add.make_args(a) if isinstance(t, sp.log)]
        rest = a - sp.Add(*logs)
        terms.append(_show(sp.Mul(*(t.args[0] for t in logs), sp.exp(rest)))[0])
    return rf"\log\left({' + '.join(terms)}\right)", _PRODUCT


def _component_sum(e: ComponentSum) -> Shown:
    body, letter, first, last = e.args
    text, level = _show(body)
    if level == _SUM:
        text = _bracketed(text)
    sign, text = ("-", text[1:].lstrip()) if text.startswith("-") else ("", text)
    return (
        rf"{sign}\sum_{{{at_index(letter.name)}={at_index(first.name)}}}"
        rf"^{script(at_index(last.name))} {text}"
    ), _PRODUCT


def _matrix(e: sp.MatrixBase) -> Shown:
    rows = [" & ".join(_show(v)[0] for v in e.row(i)) for i in range(e.rows)]
    body = r" \\ ".join(rows)
    if e.cols <= 10:  # amsmath's MaxMatrixCols
        return rf"\begin{{pmatrix}} {body} \end{{pmatrix}}", _ATOM
    columns = "c" * e.cols
    return rf"\left(\begin{{array}}{{{columns}}} {body} \end{{array}}\right)", _ATOM


def _number(e: sp.Number) -> Shown:
    if e.is_Rational and e.q != 1:
        sign = "-" if e.p < 0 else ""
        return rf"{sign}\frac{{{abs(e.p)}}}{{{e.q}}}", _PRODUCT
    text = f"{float(e):.15g}" if e.is_Float else str(e)
    return text, _ATOM if not e.is_negative else _PRODUCT


def _add(e: sp.Expr) -> Shown:
    terms = terms_of(e)
    if not terms:
        return "0", _ATOM
    out, level = _show(terms[0])
    if len(terms) == 1:
        return out, level
    if level == _SUM:
        out = _bracketed(out)
    for term in terms[1:]:
        text, level = _show(term)
        if level == _SUM:
            text = _bracketed(text)
        out += f" - {text[1:].lstrip()}" if text.startswith("-") else f" + {text}"
    return out, _SUM


def _power(e: sp.Pow) -> Shown:
    base, exponent = e.base, e.exp
    if exponent.is_Rational and exponent.is_negative:
        return _product(e)
    if exponent == sp.Rational(1, 2):
        return rf"\sqrt{{{_show(base)[0]}}}", _ATOM
    if base.is_Add and exponent.is_Integer and exponent % 2 == 0 and starts_negative(base):
        base = -base
    text, level = _show(base)
    if level != _ATOM or "^" in text or text.startswith(r"\log"):
        text = _bracketed(text)
    above = _show(exponent)[0]
    if exponent.is_Rational and exponent.q != 1:
        above = f"{exponent.p}/{exponent.q}"
    return f"{text}^{script(above)}", _ATOM


def _exponential(e: sp.exp) -> Shown:
    inner = _show(e.args[0])[0]
    if not _tall(inner) and len(_COMMAND.sub("", inner)) <= _SHORT:
        return f"@e^{script(inner)}", _ATOM
    return rf"\exp{_bracketed(inner)}", _ATOM


def _function(name: str) -> Callable[[sp.Expr], Shown]:
    def write(e: sp.Expr) -> Shown:
        text, level = _show(e.args[0])
        if level == _ATOM and not text.startswith(("\\sqrt", "@E", "\\exp", "\\log")):
            return f"{name} {text}", _PRODUCT
        return f"{name}{_bracketed(text)}", _PRODUCT

    return write


def _factorial(e: sp.factorial) -> Shown:
    text, level = _show(e.args[0])
    return (text if level == _ATOM and "^" not in text else _bracketed(text)) + "!", _ATOM


def _absolute(e: sp.Abs) -> Shown:
    inner = e.args[0]
    if inner.is_Add and inner.coeff(_X).could_extract_minus_sign():  # |x − μ|, not |μ − x|
        inner = -inner
    return rf"\left|{_show(inner)[0]}\right|", _ATOM


def _applied(name: str) -> Callable[[sp.Expr], Shown]:
    """A function whose argument always stands in brackets."""

    def write(e: sp.Expr) -> Shown:
        return name + _bracketed(_show(e.args[-1])[0]), _ATOM

    return write


def _polygamma(e: sp.polygamma) -> Shown:
    order = e.args[0]
    name = r"@{digamma}" + ("" if order == 0 else f"^{{({order})}}")
    return _applied(name)(e)


def _log_total(e: LogTotal) -> Shown:
    """log(1 + e^a + e^b + …), of more than four the first and the last."""
    terms = ["1", *(_show(sp.exp(a))[0] for a in e.args)]
    if len(terms) > 5:
        terms = [*terms[:2], r"\dots", terms[-1]]
    return r"\log" + _bracketed(" + ".join(terms)), _PRODUCT


def _clip(e: Clip) -> Shown:
    return r"\max" + _bracketed(f"0, {_show(e.args[0])[0]}"), _ATOM


def _component_density(e: Density) -> Shown:
    inner = ", ".join(_show(a)[0] for a in e.args)
    return rf"@f(@x \mid {inner})" if inner else "@f(@x)", _ATOM


def _hat(e: Hat) -> Shown:
    """A hat over a name's letter, or over all of an expression."""
    inner = e.args[0]
    text = _show(inner)[0]
    if inner.is_Symbol:
        head, mark, below = text.partition("_")
        return rf"\hat{{{head}}}{mark}{below}", _ATOM
    return rf"\widehat{{{text}}}", _ATOM


def _binomial(e: sp.binomial) -> Shown:
    above, below = (_show(a)[0] for a in e.args)
    return rf"\binom{{{above}}}{{{below}}}", _ATOM


def _density_of_truth(e: sp.Expr) -> Shown:
    return f"@{e.func.__name__}({', '.join(_show(a)[0] for a in e.args)})", _ATOM


def _bracketed(text: str, pair: str = "()") -> str:
    """A text in brackets as tall as they need be."""
    if _tall(text):
        return rf"\left{pair[0]}{text}\right{pair[1]}"
    inner = text.replace("(@x)", "") if pair == "()" else text.replace("(", "")
    if "(" in inner or "[" in inner or r"\big" in inner:
        return rf"\bigl{pair[0]}{text}\bigr{pair[1]}"
    return pair[0] + text + pair[1]


def _tall(text: str) -> bool:
    return any(mark in text for mark in (r"\frac", r"\sum", "matrix", "array"))


# ------------------------------------------------------------------------------ products


def _product(e: sp.Expr) -> Shown:
    """One product: numbers, plain factors, r_k(x), what holds x, then the large operators."""
    coefficient, factors = e.as_coeff_mul()
    if coefficient.is_Float:
        coefficient, factors = sp.Integer(1), (coefficient, *factors)
    square, rest = _square(factors)
    above: list[sp.Expr] = []
    below: list[sp.Expr] = []
    for f in rest:
        power = f.exp if isinstance(f, sp.Pow) else sp.Integer(1)
        if power.is_Rational and power.is_negative:
            below.append(f.base if power == -1 else f.base**-power)
        else:
            above.append(f)
    sign, above, below = _signed(coefficient, above, below)
    if square is not None and coefficient.q != 1:  # √2/2 is 1/√2
        square, coefficient = square * coefficient**2, sp.Integer(1)
    over, under = sp.fraction(square) if square is not None else (1, 1)
    p = _joined(["" if abs(coefficient.p) == 1 else str(abs(coefficient.p)), _root(over)])
    q = "" if coefficient.q == 1 else str(coefficient.q)
    return _laid_out("-" if sign < 0 else "", p, q, _root(under), above, below)


def _signed(
    coefficient: sp.Rational, above: list[sp.Expr], below: list[sp.Expr]
) -> tuple[int, list[sp.Expr], list[sp.Expr]]:
    """The product's sign, and factors with their sums turned so that they begin with a plus."""
    sign = -1 if coefficient < 0 else 1
    for group in (above, below):
        for n, f in enumerate(group):
            if not f.is_Add:
                continue
            turned = starts_negative(f) and (sign < 0 or all(map(negative, f.args)))
            if turned:
                group[n], sign = -f, -sign
    return sign, above, below


def _laid_out(
    sign: str, p: str, q: str, root: str, above: Sequence[sp.Expr], below: Sequence[sp.Expr]
) -> Shown:
    """The product's text: p·above over q·below·root."""
    ordered = in_order(above)
    plain, posteriors, random, large = (
        [f for f in ordered if place(f) == n] for n in (PLAIN, POSTERIOR, RANDOM, LARGE)
    )
    bottom = in_order(below, sums_last=True)
    if not bottom and not q and not root:
        texts = _texts([*plain, *posteriors, *random, *large], alone=not p and not sign)
        out = _joined([p, *texts])
        single = len(texts) == 1 and not p and not sign
        return sign + out, (_show(ordered[0])[1] if single else _PRODUCT)
    denominator = _joined([q, *_texts(bottom, alone=not q and not root), root])
    before: list[str] = []
    large_texts = _texts(large, alone=False)
    functions = not any(isinstance(f, Expectation | ComponentSum | Terms | Hole) for f in large)
    if functions and not random and not posteriors and not any(map(_tall, large_texts)):
        powers = [f for f in plain if not isinstance(f, sp.exp)]
        plain = [*powers, *large, *(f for f in plain if isinstance(f, sp.exp))]
        large_texts = []
    if random:
        before = [p, *_texts([*plain, *posteriors], alone=False)]
        numerator = _joined(_texts(random, alone=True))
    elif posteriors or plain or p:
        numerator = _joined([p, *_texts([*plain, *posteriors], alone=not p)])
    elif len(large) == 1 and isinstance(large[0], Expectation | ComponentSum | Terms):
        numerator, large_texts = _show(large[0])[0], []
    else:
        numerator = "1"
    fraction = rf"\frac{{{numerator}}}{{{denominator}}}"
    return sign + _joined([*before, fraction, *large_texts]), _PRODUCT


def _texts(factors: Sequence[sp.Expr], alone: bool) -> list[str]:
    """Factors side by side, sums in brackets unless one stands alone."""
    out = []
    for n, f in enumerate(factors):
        text, level = _show(f)
        last = n == len(factors) - 1
        open_ended = level == _PRODUCT and not last  # \log a, \sum …: what follows would join it
        negative = level == _PRODUCT and text.startswith("-")
        if (level == _SUM or open_ended or negative) and not (alone and len(factors) == 1):
            text = _bracketed(text)
        out.append(text)
    return out


def _joined(texts: Sequence[str]) -> str:
    out = ""
    for text in texts:
        if text:
            times = r" \cdot " if out and out[-1].isdigit() and text[0].isdigit() else " "
            times = r" \, " if text == "@x" and out.endswith("(@x)") else times
            out += (times if out else "") + text
    return out


def _square(factors: Sequence[sp.Expr]) -> tuple[sp.Expr | None, list[sp.Expr]]:
    """The square of the roots of numbers among factors, and the other factors."""
    roots = [
        f
        for f in factors
        if isinstance(f, sp.Pow) and f.exp.is_Rational and f.exp.q == 2 and f.base.is_number
    ]
    if not roots:
        return None, list(factors)
    square = sp.Mul(*(r**2 for r in roots))
    return square, [f for f in factors if f not in roots]


def _root(square: sp.Expr) -> str:
    """The root of a number, nothing where it is one."""
    if square == 1:
        return ""
    whole = sp.sqrt(square)
    return str(whole) if whole.is_Integer else rf"\sqrt{{{marked(square)}}}"


_WRITERS: dict[type, Callable[..., Shown]] = {
    sp.Symbol: _symbol,
    Auxiliary: _symbol,
    Posterior: _posterior,
    Responsibility: _responsibility,
    Expectation: _expectation,
    Hole: lambda _: (r"\relrephole{}", _ATOM),
    LogSumExp: _log_sum_exp,
    ComponentSum: _component_sum,
    Terms: _add,
    sp.Add: _add,
    sp.Mul: _product,
    sp.Pow: _power,
    sp.exp: _exponential,
    sp.MatrixBase: _matrix,
    sp.Number: _number,
    sp.log: _function(r"\log"),
    sp.factorial: _factorial,
    sp.binomial: _binomial,
    sp.Abs: _absolute,
    sp.sign: _applied(r"\operatorname{sign}"),
    sp.erf: _applied(r"\operatorname{erf}"),
    Erfc: _applied(r"\operatorname{erfc}"),
    sp.gamma: _applied(r"@\Gamma"),
    sp.loggamma: _applied(r"\log@\Gamma"),
    sp.polygamma: _polygamma,
    Softplus: lambda e: _function(r"\log")(sp.log(1 + sp.exp(e.args[0]), evaluate=False)),
    SoftplusInverse: lambda e: _function(r"\log")(sp.log(sp.exp(e.args[0]) - 1, evaluate=False)),
    LogTotal: _log_total,
    Clip: _clip,
    Density: _component_density,
    Hat: _hat,
    Logistic: lambda e: _show(sp.Pow(1 + sp.exp(-e.args[0]), -1, evaluate=False)),
    sp.core.function.AppliedUndef: _density_of_truth,
    type(sp.pi): lambda _: ("@{number}", _ATOM),
    type(sp.E): lambda _: ("@e", _ATOM),
    **{
        f: _function("\\" + f.__name__) for f in (sp.sin, sp.cos, sp.tan, sp.sinh, sp.cosh, sp.tanh)
    },
}
