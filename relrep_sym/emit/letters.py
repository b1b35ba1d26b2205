r"""The table of the letters that equations print beside a user's names.

In: the letters that a derivation's own names take up, and those that a user chose. Out: for every
other quantity of the equations (r_k, E_q, N_k, multipliers, indices …) a letter of its own.

Equations write such a quantity as its mark: an ``@`` and one token, ``@r_@k(@x)``. No name of a
user's can hold an ``@``, so that a mark is never mistaken for a name, and which letter it gets is
decided in one place, :func:`assigned`, once for a document. Two quantities never get one letter,
and none gets a letter that stands in a name.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from relrep_sym.errors import DeclarationError, problem

__all__ = ["LETTERS", "MARK", "Letter", "assigned", "default", "lettered", "letters_in"]

MARK = re.compile(r"@(\{[A-Za-z]+\}|\\[A-Za-z]+|.)")
"""A mark in an equation's text; its group is the token."""


@dataclass(frozen=True)
class Letter:
    """A quantity: its mark, what it is printed by, and by what where that is taken."""

    mark: str
    shown: str
    others: tuple[str, ...] = ()
    says: str = ""


def _letter(mark: str, says: str, others: str = "", shown: str = "") -> Letter:
    return Letter(mark, shown or mark, tuple(others.split()), says)


LETTERS: Mapping[str, Letter] = {
    # what a statement is made of
    "x": _letter("x", "the observation", r"y z \chi"),
    "p": _letter("p", "the model's density", r"P \wp"),
    "q": _letter("q", "the density of the data", r"g P_0"),
    "f": _letter("f", "a component's density", r"\varphi g h"),
    "theta": _letter(r"\theta", "the model's parameters together", r"\vartheta \Theta"),
    "lambda": _letter(r"\lambda", "the coordinates together", r"\xi \zeta \Lambda"),
    "phi": _letter(r"\phi", "one component's parameters together", r"\varphi \Phi"),
    "r": _letter("r", "responsibilities", r"\varrho \tau \gamma"),
    "E": _letter("E", "the mean", r"\mathsf{E}", r"\operatorname{E}"),
    "KL": _letter("{KL}", "the Kullback–Leibler divergence", r"\mathrm{D}", r"\mathrm{KL}"),
    "L": _letter("L", "the mean log-likelihood", r"\mathcal{L} \Lambda"),
    "Q": _letter("Q", "the expected complete-data log-likelihood", r"\mathcal{Q}"),
    "N": _letter("N", "the components' masses", r"\mathcal{N} \nu"),
    "n": _letter("n", "the size of a sample", r"\mathsf{n}"),
    "eta": _letter(r"\eta", "the rate of learning", r"\epsilon \alpha"),
    "t": _letter("t", "time", r"\tau s \mathsf{t}"),
    "d": _letter("d", "a differential", r"\mathrm{d}"),
    "e": _letter("e", "the base of exponentials", r"\mathrm{e}"),
    "number": Letter(r"{number}", r"\pi", (), "the number π"),
    "J": _letter("J", "the Jacobian", r"\mathcal{J} D"),
    "I": _letter("I", "the Fisher information", r"\mathcal{I} F"),
    "H": _letter("H", "the Hessian", r"\mathcal{H}"),
    "C": _letter("C", "a covariance", r"\mathcal{C} V"),
    "b": _letter("b", "a view's functions together", r"h y B"),
    # indices
    "k": _letter("k", "an index", r"c h"),
    "j": _letter("j", "an index", r"g o"),
    "i": _letter("i", "an index", r"a v"),
    "l": _letter("l", "an index", r"o h"),
    # what steps are made of
    "M": _letter("M", "moments of the data", r"\mathcal{M}"),
    "m": _letter("m", "means of the observation", r"\bar{x} S"),
    "w": _letter("w", "precisions", r"W c"),
    "y": _letter("y", "targets of a regression", r"Y h"),
    "u": _letter("u", "fitted values of a regression", r"U v"),
    "nu": _letter(r"\nu", "multipliers of an order", r"\upsilon \zeta"),
    "kappa": _letter(r"\kappa", "multipliers of a bound", r"\omega \upsilon"),
    "s": _letter("s", "targets in one unknown", r"S h"),
    "A": _letter("A", "the matrix of a least-squares problem", r"\mathcal{A}"),
    "W": _letter("W", "the weights of a least-squares problem", r"\mathcal{W}"),
    "B": _letter("B", "offsets", r"\mathcal{B}"),
    "c": _letter("c", "a clearance", r"\epsilon \varsigma"),
    "z": _letter("z", "the component that a point is of", r"Z \zeta"),
    "v": _letter("v", "a value on the way to the parameters", r"\upsilon V"),
    "a": _letter("a", "rows of a chart", r"\alpha"),
    "gamma": _letter(r"\gamma", "curvatures", r"\Gamma \omega"),
    "omega": _letter(r"\omega", "the weights of a sample", r"\varpi"),
    "g": _letter("g", "any function", r"h \psi"),
    "ell": _letter(r"\ell", "a component's log-density", r"\mathsf{l}"),
    "score": _letter("{score}", "the score", r"\mathcal{S} \varsigma", r"\varsigma"),
    "psi": _letter(r"\psi", "the posterior mean of the location", r"\tilde{\chi}", r"\tilde{\psi}"),
    "digamma": _letter("{digamma}", "the digamma function", r"\operatorname{digamma}", r"\psi"),
    "Gamma": _letter(r"\Gamma", "the gamma function", r"\operatorname{Gamma}"),
    "G": _letter("G", "second moments of the responsibilities", r"\mathcal{G}"),
    # series
    "rho": _letter("{rho}", "posterior probabilities of groups", r"\chi", r"\varrho"),
    "epsilon": _letter(r"\varepsilon", "what vanishes", r"\epsilon"),
    "O": _letter("O", "what is left out", r"\mathsf{O}", r"\mathcal{O}"),
}  # fmt: skip
"""By the name under which ``symbols=`` knows it."""

_SPARE = (
    "a b c g h o v y z A B D F G K P R S T U V X Y Z "
    r"\alpha \beta \gamma \delta \zeta \iota \tau \upsilon \phi \chi \omega \vartheta \varrho "
    r"\varsigma \varphi \Phi \Psi \Omega \Xi \Upsilon"
).split()
"""Letters for what finds none of its own."""

_DEFAULTS = {letter.mark: letter.shown for letter in LETTERS.values()}

_ALPHABET = re.compile(
    r"\\(?:mathrm|mathbf|mathbb|mathcal|mathsf|mathfrak|mathscr|mathit|operatorname\*?|text|bm|"
    r"boldsymbol|tilde|bar)\s*(?:\{[^{}]*\}|\\[A-Za-z]+|[A-Za-z])"
)
_SIGN = re.compile(r"\\[A-Za-z]+|[A-Za-z]")
_ACCENTS = frozenset(
    r"\hat \vec \dot \ddot \check \acute \grave \breve \mathring \widehat \widetilde \widebar "
    r"\overline \underline \prime \dagger \top".split()
)


def lettered(text: str, letters: Mapping[str, str]) -> str:
    r"""A text with each mark's letter in its place.

    >>> lettered(r"@r_@k(@x)", {"r": r"\varrho", "k": "k", "x": "x"})
    '\\varrho_k(x)'
    """
    if "@" not in text:
        return text

    def put(found: re.Match[str]) -> str:
        shown = letters[found[1]]
        after, before = text[found.end() : found.end() + 1], text[: found.start()][-1:]
        single = len(shown) == 1 or re.fullmatch(r"\\[A-Za-z]+", shown)
        if before in ("_", "^") and not single:
            return f"{{{shown}}}"
        return f"{shown} " if after.isalpha() and re.search(r"\\[A-Za-z]+$", shown) else shown

    return MARK.sub(put, text)


def default(text: str) -> str:
    r"""A text in the letters that quantities have where no name takes them.

    >>> default(r"@E_@q[@r_@k(@x)]")
    '\\operatorname{E}_q[r_k(x)]'
    """
    return lettered(text, _DEFAULTS)


def letters_in(names: Iterable[str]) -> frozenset[str]:
    r"""What stands in the LaTeX of names: letters, Greek ones, and letters of other alphabets.

    >>> sorted(letters_in([r"\Delta_{\sigma,1}", r"\mathbf{x}", r"\hat{m}"]))
    ['\\Delta', '\\mathbf{x}', '\\sigma', 'm']
    """
    found: set[str] = set()
    for name in names:
        whole = [_squeezed(w) for w in _ALPHABET.findall(name)]
        found.update(whole)
        found.update(s for s in _SIGN.findall(_ALPHABET.sub(" ", name)) if s not in _ACCENTS)
    return frozenset(found)


def _squeezed(text: str) -> str:
    word, _, inner = text.replace("{", " ").replace("}", "").partition(" ")
    return f"{word}{{{inner.strip()}}}" if inner else word


def assigned(
    names: Collection[str], chosen: Mapping[str, str], bare: Collection[str] = ()
) -> dict[str, str]:
    r"""A letter for every mark, no two alike, none of them a letter of a name's.

    ``names`` are the names' LaTeX, ``chosen`` what a user wants for some quantities, by their names
    in :data:`LETTERS`; ``bare`` are the names that are also printed without a subscript.

    >>> found = assigned([r"\mu_1", "r_1"], {"eta": "h"})
    >>> found["r"], found[r"\eta"], found["q"]
    ('\\varrho', 'h', 'q')
    """
    taken = set(letters_in([*names, *chosen.values()]))
    out = {LETTERS[n].mark: shown for n, shown in chosen.items()}
    for name, letter in LETTERS.items():
        if letter.mark in out:
            continue
        if name == "number":
            if r"\pi" in {n.replace(" ", "") for n in bare}:
                wrong = "a name would be printed like the number π"
                raise DeclarationError(problem(wrong, r"\pi", "another symbol"))
            out[letter.mark] = letter.shown
            continue
        wanted = (letter.shown, *letter.others, *_SPARE, rf"\mathsf{{{name}}}")
        out[letter.mark] = next((w for w in wanted if w not in taken), wanted[-1])
        taken.add(out[letter.mark])
    return out
