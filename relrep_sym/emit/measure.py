r"""How wide a formula is on the page, by a table of widths; where to go on in a new line.

In: LaTeX as :mod:`relrep_sym.emit.typeset` writes it, marked or not. Out: points at ten-point
type. It need not be exact: lines are broken a little before the edge.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

__all__ = ["filled", "width"]

_TOKEN = re.compile(r"@\{[A-Za-z]+\}|\\[A-Za-z]+\*?|\\.|[^\s@]")
_WIDE = {
    "+": 12.2, "-": 12.2, "=": 13.4, "(": 3.9, ")": 3.9, "[": 2.8, "]": 2.8, ",": 4.5, "!": 2.8,
    "&": 10.0, r"\log": 14.5, r"\exp": 17.5, r"\sin": 13.0, r"\cos": 15.0, r"\tan": 16.0,
    r"\sinh": 19.0, r"\cosh": 21.0, r"\tanh": 22.0, r"\mid": 8.4, r"\dots": 13.4, r"\quad": 10.0,
    r"\qquad": 20.0, r"\,": 1.7, r"\|": 5.0, r"\cdot": 7.2, r"\in": 12.2, r"\le": 13.4, "<": 13.4,
    r"\Delta": 8.4, r"\top": 7.8, r"\partial": 5.9, r"\bigl": 1.0, r"\bigr": 1.0, r"\Bigl": 2.0,
    r"\Bigr": 2.0, r"\left": 3.0, r"\right": 3.0, r"\infty": 10.0,
}  # fmt: skip
_NOTHING = frozenset(
    (
        r"\mathrm",
        r"\operatorname",
        r"\text",
        r"\displaystyle",
        r"\!",
        "{",
        "}",
        r"\hat",
        r"\vec",
        r"\tilde",
        r"\bar",
        r"\mathbf",
        r"\mathbb",
        r"\mathcal",
        r"\boldsymbol",
        r"\bm",
    )
)
_LETTER = 5.6
_SUM = 16.1
_SCRIPT = 0.72


def width(formula: str) -> float:
    r"""About how many points wide a formula is set.

    >>> round(width(r"\frac{x - \mu_1}{\sigma_1^2}")), round(width("x"))
    (30, 6)
    """
    return _sequence(_TOKEN.findall(formula), 0, "")[0]


def _sequence(tokens: list[str], at: int, until: str) -> tuple[float, int]:
    """The width of what follows up to a closing token, and where that is passed."""
    total = script = 0.0
    while at < len(tokens):
        token = tokens[at]
        if token == until:
            return total, at + 1
        if token in ("^", "_"):
            inner, at = _argument(tokens, at + 1)
            total += max(0.0, _SCRIPT * inner - script)  # one above the other
            script = max(script, _SCRIPT * inner)
            continue
        script = 0.0
        if token in (r"\frac", r"\tfrac"):
            above, at = _argument(tokens, at + 1)
            below, at = _argument(tokens, at)
            total += max(above, below) + 2.4
        elif token == r"\sqrt":
            inner, at = _argument(tokens, at + 1)
            total += inner + 8.4
        elif token == r"\sum":
            at += 1
            limits = [_SUM]
            while at < len(tokens) and tokens[at] in ("^", "_"):
                inner, at = _argument(tokens, at + 1)
                limits.append(_SCRIPT * inner + 2.0)
            total += max(limits)
        elif token == r"\begin":
            inner, at = _matrix(tokens, at + 1)
            total += inner
        elif token == "{":
            inner, at = _sequence(tokens, at + 1, "}")
            total += inner
        else:
            total += 0.0 if token in _NOTHING else _WIDE.get(token, _LETTER)
            at += 1
    return total, at


def _argument(tokens: list[str], at: int) -> tuple[float, int]:
    if tokens[at] == "{":
        return _sequence(tokens, at + 1, "}")
    return _WIDE.get(tokens[at], _LETTER), at + 1


def _matrix(tokens: list[str], at: int) -> tuple[float, int]:
    """The width of a matrix: its columns' widest cells."""
    end = tokens.index(r"\end", at)
    body = tokens[tokens.index("}", at) + 1 : end]
    columns: dict[int, float] = {}
    column, cell = 0, list[str]()
    for token in [*body, r"\\"]:
        if token in ("&", r"\\"):
            columns[column] = max(columns.get(column, 0.0), _sequence(cell, 0, "")[0])
            column, cell = (column + 1 if token == "&" else 0), []
        else:
            cell.append(token)
    return sum(columns.values()) + 10.0 * len(columns) + 8.0, tokens.index("}", end) + 1


def filled(
    pieces: Sequence[str], room: float, measure: Callable[[str], float] = width
) -> list[str]:
    """Pieces joined to lines that are no wider than ``room``, where pieces allow it.

    >>> filled(["a", "{} + b", "{} + c"], 30.0)
    ['a {} + b', '{} + c']
    """
    lines: list[str] = []
    used = 0.0
    for piece in pieces:
        here = measure(piece)
        if lines and used + here <= room:
            lines[-1] += " " + piece
            used += here
        else:
            lines.append(piece)
            used = here
    return lines
