r"""The kinds of names: coordinates are plain symbols; :class:`Parameter` and :class:`Constant`.

In: a name such as ``Delta_sigma_1``. Out: how it is set in LaTeX. A coordinate may be spelled like
a parameter (``mu_1`` in a map for ``mu_1``); the kinds keep them apart, and print alike.
"""

from __future__ import annotations

from functools import lru_cache

import sympy as sp

__all__ = [
    "GREEK",
    "Constant",
    "Intermediate",
    "Parameter",
    "at_index",
    "latex_name",
    "script",
    "split_index",
]


class Parameter(sp.Symbol):
    """A model parameter θ_i as a symbol: never equal to the coordinate of the same name."""

    __slots__ = ()


class Intermediate(Parameter):
    """A value on the way from coordinates to θ: a target of a chart's program, no entry of θ."""

    __slots__ = ()


class Constant(sp.Symbol):
    """A symbol that is given, not learned: real, never differentiated.

    >>> Constant("lam") == sp.Symbol("lam"), Constant("lam").is_real
    (False, True)
    """

    __slots__ = ()

    def __new__(cls, name: str, **assumptions: bool) -> Constant:
        """The constant of that name; real, and what else is assumed of it."""
        return super().__new__(cls, name, **{"real": True, **assumptions})


GREEK = frozenset(
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau "
    "upsilon phi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega pi".split()
)
"""Words that LaTeX sets as a Greek letter by a command of the same name."""

_ACCENTS = {"~": r"\tilde", "-": r"\bar"}
_OTHER = {"lam": r"\lambda", "lamda": r"\lambda", "rate": r"\rho"}
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def split_index(name: str) -> tuple[str, int | None]:
    """A name's stem and its last number, or None where it ends in none.

    >>> split_index("Delta_sigma_12"), split_index("mu_01"), split_index("w")
    (('Delta_sigma', 12), ('mu_01', None), ('w', None))
    """
    stem, mark, last = name.rpartition("_")
    if mark and stem and last.isascii() and last.isdigit() and (last == "0" or last[0] != "0"):
        return stem, int(last)
    return name, None


def script(text: str) -> str:
    """A subscript or superscript: braces only where there is more than one sign.

    >>> script("k"), script("k-1"), script("@k")
    ('k', '{k-1}', '@k')
    """
    return text if len(text.removeprefix("@")) == 1 else f"{{{text}}}"


def at_index(index: str) -> str:
    """An index whose letter is written by its mark, so that no name is mistaken for it.

    >>> at_index("k-1"), at_index("12"), at_index("")
    ('@k-1', '12', '')
    """
    return f"@{index}" if index[:1].isalpha() else index


@lru_cache(maxsize=4096)
def latex_name(name: str, index: str | None = None) -> str:
    r"""How a name is set in LaTeX: Greek spelled out, what follows the first word as subscripts.

    ``index``, where given, is a last subscript in LaTeX, such as ``k-1``. A name that opens with
    ``~`` is set with a tilde: a coordinate spelled like what it is not. One that opens with ``-``
    is set with a bar: a view's function of that kind.

    >>> latex_name("mu_12"), latex_name("rate_1"), latex_name("~u"), latex_name("shape_1")
    ('\\mu_{12}', '\\rho_1', '\\tilde{u}', '\\mathrm{shape}_1')
    >>> latex_name("Delta_sigma_1"), latex_name("Delta", "k-1"), latex_name("log_sigma_1")
    ('\\Delta_{\\sigma,1}', '\\Delta_{k-1}', '\\log\\sigma_1')
    """
    accent = _ACCENTS.get(name[0])
    if accent:
        head, mark, rest = latex_name(name[1:], index).partition("_")
        return f"{accent}{{{head}}}{mark}{rest}"
    words = [w for w in name.split("_") if w]
    if len(words) > 1 and words[0] == "log" and not words[1].isdigit():
        inner = latex_name(name[name.index("_") + 1 :], index)
        return r"\log" + (inner if inner.startswith("\\") else " " + inner)
    head, *below = [piece for word in words for piece in _pieces(word)]
    if index is not None:
        below.append(index)
    return head + (f"_{script(','.join(below))}" if below else "")


def _pieces(word: str) -> list[str]:
    """A word set in LaTeX; letters that end in a number are a symbol and its subscript."""
    if word in GREEK:
        return ["\\" + word]
    if word in _OTHER:
        return [_OTHER[word]]
    stem = word.rstrip("0123456789")
    if stem and stem != word and not stem.strip(_LETTERS):
        return [*_pieces(stem), word[len(stem) :]]
    return [word if len(word) == 1 or word.isdigit() else rf"\mathrm{{{word}}}"]
