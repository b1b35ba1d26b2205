"""What the letters and the numbers of a generated module stand for, as comment lines.

In: the component's form and the module's text. Out: lines that say what z, b_j and R_k are, and
beside each long number of the code the expression of which it is the nearest double. The code
itself stays as it is.
"""

from __future__ import annotations

import io
import re
import textwrap
import tokenize
from contextlib import suppress
from fractions import Fraction
from functools import cache

from mpmath import mp

from relrep_sym.equations.component import ComponentForm

__all__ = ["family_notes", "number_notes", "spelled"]

_LONG = re.compile(r"\d[\d.]{11}")
_LOGARITHMS = ((2, "2"), (3, "3"), (5, "5"), ("pi", "π"), ("2 pi", "(2π)"))


def family_notes(form: ComponentForm) -> list[str]:
    """What the data pass sums, in the family's own terms.

    >>> from relrep_sym.declare.family import family_named
    >>> from relrep_sym.equations.component import component_form
    >>> for line in family_notes(component_form(family_named("normal"))):
    ...     print(line)
    # A data pass sums R_k and R_k b_j over x, where R_k = f(x | mu_k, sigma_k)/p(x) and
    #     b_1 = z, b_2 = z**2, z = sqrt(2)*(-mu + x)/(2*sigma)
    """
    names = ", ".join(f"{p.name}_k" for p in form.family.parameters)
    if form.slopes is not None:
        basis = ["b_1 = log f"]
        basis += [f"b_{j} = ∂ log f/∂{p.name}" for j, p in enumerate(form.family.parameters, 2)]
        last = ""
    else:
        basis = [f"b_{j} = {b}" for j, b in enumerate(form.basis, 1)]
        last = f", z = {form.standard}"
    head = f"# A data pass sums R_k and R_k b_j over x, where R_k = f(x | {names})/p(x) and"
    return [head, *_comment(f"{', '.join(basis)}{last}", "    ")]


def number_notes(text: str) -> list[str]:
    r"""The long numbers of a module's code, each with the expression that it is.

    >>> number_notes("a = 0.5*x - 1.4142135623730951*y  # 0.3333333333333333\n")
    ['# and the numbers of the code are', '#     1.4142135623730951 = √2']
    """
    lines = [
        line.strip() for line in text.split("\n") if _LONG.search(line)
    ]  # few, and tokens slow
    literals = {t.string for line in lines for t in _tokens(line) if t.type == tokenize.NUMBER}
    long = [n for n in literals if len(re.sub(r"e.*|\D", "", n).lstrip("0")) >= 12]
    found = {n: s for n in sorted(long, key=float) if (s := spelled(float(n))) is not None}
    said = ", ".join(f"{n} = {s}" for n, s in found.items())
    return ["# and the numbers of the code are", *_comment(said, "    ")] if found else []


def _tokens(line: str) -> list[tokenize.TokenInfo]:
    """The tokens of one line, up to where it is no code of its own."""
    found: list[tokenize.TokenInfo] = []
    with suppress(tokenize.TokenError):  # a bracket or a string that goes on in the next line
        found.extend(tokenize.generate_tokens(io.StringIO(line).readline))
    return found


def _comment(said: str, indent: str) -> list[str]:
    whole = said.replace(" = ", "\0=\0")  # no line ends beside a sign of equality
    lines = textwrap.wrap(whole, 90, break_on_hyphens=False, break_long_words=False)
    return [f"# {indent}{line}".replace("\0", " ") for line in lines]


@cache
def spelled(value: float) -> str | None:
    """The fraction, root or logarithm of which a positive number is the nearest double.

    None where it is neither of these with small numbers in it.

    >>> spelled(2.8284271247461903), spelled(0.3989422804014327), spelled(0.1234567891234)
    ('√8', '1/√(2π)', None)
    """
    with mp.workdps(40):
        if (q := _fraction(mp.mpf(value), value, lambda q: q)) is not None:
            return str(q)
        for factor, above, below in ((mp.mpf(1), "", ""), (mp.pi, "π", ""), (1 / mp.pi, "", "π")):
            square = mp.mpf(value) ** 2 / factor
            root = _fraction(square, value, lambda q, f=factor: mp.sqrt(q * f))
            if root is not None:
                return _root(root, above, below)
        for of, shown in _LOGARITHMS:
            logarithm = mp.log({"pi": mp.pi, "2 pi": 2 * mp.pi}.get(str(of)) or mp.mpf(of))
            ratio = mp.mpf(value) / logarithm
            times = _fraction(ratio, value, lambda q, c=logarithm: q * c, most=24)
            if times is not None:
                over = f"/{times.denominator}" if times.denominator > 1 else ""
                first = f"{times.numerator} " if times.numerator > 1 else ""
                return f"{first}log{shown if shown[0] == '(' else f'({shown})'}{over}"
    return None


def _fraction(ratio: mp.mpf, value: float, made: object, most: int = 1000) -> Fraction | None:
    """A fraction of small numbers near ``ratio`` that makes just this double, or None."""
    near = Fraction(str(mp.nstr(ratio, 30))).limit_denominator(most)
    small = 0 < near.numerator <= most
    exact = small and float(made(mp.mpf(near.numerator) / near.denominator)) == value  # type: ignore[operator]
    return near if exact else None


def _root(inside: Fraction, above: str, below: str) -> str:
    """√inside, with π above or below the line."""
    up, down = inside.numerator, inside.denominator
    over = f"{up if up > 1 or not above else ''}{above}"
    under = f"{down if down > 1 or not below else ''}{below}"
    if under == "1":
        return f"√{over}" if over.isdigit() or over == "π" else f"√({over})"
    if over == "1":
        return f"1/√{under}" if under.isdigit() or under == "π" else f"1/√({under})"
    return f"√({over}/({under}))" if below and down > 1 else f"√({over}/{under})"
