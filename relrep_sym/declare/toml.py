"""TOML from anybody, as plain data: what would keep the reader busy for long is refused before.

In: a text. Out: tables, lists, texts and numbers, decimals as they were written.
"""

from __future__ import annotations

import tomllib
from typing import Any

from relrep_sym.errors import DeclarationError, problem

__all__ = ["MAX_BYTES", "Decimal", "read_toml"]

MAX_BYTES = 1_000_000
MAX_LINE = 20_000  # characters; one expression may have 10 000
MAX_LINES = 5000
MAX_KEYS = 5000
MAX_DOTS = 4  # in a key: tomllib's work grows with their square
MAX_BITS = 4096  # of a whole number


class Decimal(str):
    """A TOML float as it was written, so that it is read exactly."""

    __slots__ = ()


def read_toml(text: str, place: str) -> dict[str, Any]:
    """The text as plain data. What would keep tomllib busy for long is refused beforehand."""
    lines, keys = text.split("\n"), text.count("=")
    if len(text) > MAX_BYTES or len(lines) > MAX_LINES or keys > MAX_KEYS:
        given = f"{len(text)} characters in {len(lines)} lines with {keys} equals signs"
        right = f"at most {MAX_BYTES} characters, {MAX_LINES} lines, {MAX_KEYS} keys"
        raise DeclarationError(problem(f"{place}: the request is too large", given, right))
    for number, line in enumerate(lines, start=1):
        if len(line) > MAX_LINE:
            given, right = f"{len(line)} characters", f"at most {MAX_LINE}"
            raise DeclarationError(problem(f"{place}: line {number} is too long", given, right))
        if _dots(line) > MAX_DOTS:
            given, right = f"{line[:40]}…", "keys such as chart.map.mu_1"
            raise DeclarationError(
                problem(f"{place}: too many dots in a key in line {number}", given, right)
            )
    try:
        table = tomllib.loads(text, parse_float=Decimal)
        _check_size(table, place)
    except tomllib.TOMLDecodeError as why:
        raise DeclarationError(problem(f"{place}: this is no TOML", str(why), "TOML 1.0")) from None
    except RecursionError:
        right = "tables and lists as in the examples"
        raise DeclarationError(problem(f"{place}: nested too deeply", "TOML", right)) from None
    except ValueError as why:
        if isinstance(why, DeclarationError):
            raise
        # Python refuses to read whole numbers of more than 4300 digits
        right = f"at most {MAX_BITS} bits"
        raise DeclarationError(problem(f"{place}: a number too large", str(why), right)) from None
    return table


def _dots(line: str) -> int:
    """The most dots in what may be a key of this line: what stands before an equals sign."""
    bare = line.strip()
    if bare.startswith("#"):
        return 0
    pieces = bare.split("=")
    keys = pieces if bare.startswith("[") else pieces[:-1]
    return max((k.count(".") for k in keys), default=0)


def _check_size(value: object, place: str) -> None:
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            _check_size(inner, place)
    elif type(value) is int and value.bit_length() > MAX_BITS:
        given, right = f"{value.bit_length()} bits", f"at most {MAX_BITS} bits"
        raise DeclarationError(problem(f"{place}: a number too large", given, right))
