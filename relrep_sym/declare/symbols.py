"""The two kinds of names: coordinates are plain symbols, model parameters are :class:`Parameter`.

A coordinate may be spelled like a parameter (``mu_1`` in a map for ``mu_1``); the two kinds keep
them apart, and print alike.
"""

from __future__ import annotations

import sympy as sp

__all__ = ["Parameter", "latex_name"]


class Parameter(sp.Symbol):
    """A model parameter θ_i as a symbol: never equal to the coordinate of the same name."""

    __slots__ = ()


_GREEK = frozenset(
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau "
    "upsilon phi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega pi".split()
)


def latex_name(name: str) -> str:
    r"""How a name is set in LaTeX: Greek spelled out, the last number as a subscript.

    >>> latex_name("Delta_sigma_1"), latex_name("mu_12"), latex_name("u"), latex_name("log_sigma_1")
    ('\\Delta^{\\sigma}_{1}', '\\mu_{12}', 'u', '\\log\\sigma_{1}')
    """
    words = name.split("_")
    index = words.pop() if len(words) > 1 and words[-1].isdigit() else ""
    if len(words) > 1 and words[0] == "log":
        head = r"\log" + latex_name("_".join(words[1:]))
        if not head.startswith(r"\log" + "\\"):
            head = r"\log " + head[4:]
        return head + (f"_{{{index}}}" if index else "")
    shown = [_word(w) for w in words if w]
    head = shown[0] if shown else r"\_"
    upper = ",".join(shown[1:])
    return head + (f"^{{{upper}}}" if upper else "") + (f"_{{{index}}}" if index else "")


def _word(word: str) -> str:
    if word in _GREEK:
        return "\\" + word
    if word in ("lam", "lamda"):
        return r"\lambda"
    if word.startswith("d") and word[1:] in _GREEK:
        return r"d\\" + word[1:]
    digits = word.lstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    stem = word[: len(word) - len(digits)]
    if digits.isdigit() and stem:
        return f"{_word(stem)}_{{{digits}}}"
    return word if len(word) == 1 else rf"\mathrm{{{word}}}"
