"""Columns of numbers from a text file: one dialect for all of it, and no silent guesses.

In: a path, or ``-`` for standard input, which column, and a :class:`Layout`. Out: a
:class:`Sample`, or a DataError that names the line. Records are those of RFC 4180, by the standard
library's csv module: quoted fields may hold delimiters, line ends and doubled quotes. Blank lines,
and lines whose first character is ``#``, are skipped.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from relrep_sym.errors import DataError, problem

__all__ = ["Layout", "Sample", "read_sample"]

_LARGEST = 1 << 30
"""Bytes above which a file is no sample for a table on a terminal."""

_LOOKED_AT = 200
"""Records from which the delimiter is found; all others must have as many cells."""

_WORDS = {"comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "space": " "}
_CANDIDATES = ("\t", ";", ",", " ")
_MISSING = frozenset(
    {"", "-", "--", ".", "NA", "N/A", "N.A.", "#N/A", "<NA>", "NAN", "NULL", "NONE", "?"}
)
_LIKE_A_NUMBER = re.compile(r"[-+−]?[$€£]?[.,]?\d|[-+]?inf(inity)?$", re.IGNORECASE)  # no name
_THOUSANDS = re.compile(r"[+-]?\d{1,3}([,.' ]\d{3})+([.,]\d*)?", re.ASCII)


@dataclass(frozen=True)
class Layout:
    """How a file is written.

    Attributes:
        delimiter: one character, or ``"comma"``, ``"semicolon"``, ``"tab"``, ``"space"`` (runs of
            spaces count as one). None: the first of tab, semicolon, comma and space that gives the
            same number of cells, more than one, in every record.
        decimal: the decimal mark, ``"."`` or ``","``.
        header: whether the first record holds names. None: it does where none of its cells looks
            like a number; a first record with both names and numbers is refused.
        encoding: what Python calls it. None: UTF-8, or what a byte order mark says.
        drop_missing: leave out records whose cell is empty, NA, NaN, NULL or the like; otherwise
            they are refused.
    """

    delimiter: str | None = None
    decimal: str = "."
    header: bool | None = None
    encoding: str | None = None
    drop_missing: bool = False


@dataclass(frozen=True)
class Sample:
    """What was read: observations (N,), weights (N,) or None, and how many records were dropped."""

    x: NDArray[np.float64]
    weights: NDArray[np.float64] | None = None
    dropped: int = 0

    @property
    def size(self) -> float:
        """The number of observations: the sum of their frequencies, where they are weighted."""
        return float(self.x.size if self.weights is None else self.weights.sum())


def read_sample(
    path: Path,
    column: str | None = None,
    weights: str | None = None,
    layout: Layout | None = None,
) -> Sample:
    """One column of a text file, and a column of weights where one is named.

    A column is named by its header, or else by its number from 1; None is the only one that is not
    the weights.

    Raises DataError for a file that cannot be read, a delimiter that does not fit, records of
    unequal length, a column that is not there or there twice, and for cells that are no finite
    numbers; it names the line.
    """
    used = layout or Layout()
    where = "standard input" if path == Path("-") else str(path)
    text = _decoded(_bytes(path, where), used.encoding, where)
    mark = _delimiter(text, used, where)
    records = list(_records(text, mark, where))
    if not records:
        raise DataError(problem("the file holds no numbers", where, "a number a line"))
    _insist_even(records, mark, where)
    names, body = _named(records, used, where)
    if not body:
        right = "numbers below the names; --no-header where the first line holds none"
        raise DataError(problem("the file holds no numbers", where, right))
    heavy = None if weights is None else _place(names, weights, where, "--weights")
    j = _only(names, heavy, where) if column is None else _place(names, column, where, "--column")
    if heavy == j:
        right = "a column of observations, and another of weights"
        raise DataError(problem("one column is both the sample and its weights", names[j], right))
    wanted = [j] if heavy is None else [j, heavy]
    rows = []
    doubt = records[0][0] if used.header is None and body is records else 0
    for line, cells in body:
        found = [cells[i] for i in wanted]
        if used.drop_missing and any(_missing(cell) for cell in found):
            continue
        try:
            rows.append([_number(cells[i], used, where, line, names[i]) for i in wanted])
        except DataError as why:
            also = "; --header where this line holds names" if line == doubt else ""
            raise DataError(f"{why}{also}") from None
    if not rows:
        raise DataError(problem("every record has a missing cell", where, "numbers"))
    table = np.array(rows)
    share = None if heavy is None else _frequencies(table[:, 1], where)
    return Sample(table[:, 0].copy(), share, len(body) - len(rows))


# ------------------------------------------------------------------------------- the text


def _bytes(path: Path, where: str) -> bytes:
    try:
        if path == Path("-"):
            return sys.stdin.buffer.read(_LARGEST)
        if path.stat().st_size > _LARGEST:
            raise DataError(problem("the file is too large", where, "at most a gigabyte"))
        return path.read_bytes()
    except OSError as why:
        said = f"{where}: {why.strerror}"
        raise DataError(problem("the sample cannot be read", said, "a text file")) from None


def _decoded(data: bytes, encoding: str | None, where: str) -> str:
    marked = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16"}
    marked[codecs.BOM_UTF16_BE] = "utf-16"
    chosen = encoding or next((e for bom, e in marked.items() if data.startswith(bom)), "utf-8")
    try:
        text = data.decode(chosen)
    except LookupError:
        right = "utf-8, latin-1, cp1252 or another that Python knows"
        raise DataError(problem("unknown encoding", chosen, right)) from None
    except UnicodeDecodeError as why:
        line = data.count(b"\n", 0, why.start) + 1
        given = f"the byte {data[why.start]:#04x}"
        right = "text in that encoding, or --encoding with another, such as latin-1"
        raise DataError(problem(f"{where}: line {line} is not {chosen}", given, right)) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DataError(problem(f"{where}: line {line} is no text", "a zero byte", "a text file"))
    return text


# ------------------------------------------------------------------------------- records


class _Lines:
    """Lines for a csv reader, less blank lines and comments between records.

    ``new`` is set where a record begins: lines inside a quoted field are handed on as they are.
    """

    def __init__(self, text: str, spaces: bool) -> None:
        self.stream, self.spaces = io.StringIO(text, newline=""), spaces
        self.number = self.began = 0
        self.new = True

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        for line in self.stream:
            self.number += 1
            if self.new:
                said = line.strip()
                if not said or said.startswith("#"):
                    continue
                self.new, self.began = False, self.number
            return line.strip(" \r\n") if self.spaces else line
        raise StopIteration


def _records(text: str, mark: str, where: str) -> Iterator[tuple[int, list[str]]]:
    """Each record's first line and its cells, less the spaces about them."""
    lines = _Lines(text, mark == " ")
    reader = csv.reader(lines, delimiter=mark, skipinitialspace=True, strict=True)
    while True:
        lines.new = True
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as why:
            right = 'fields as in RFC 4180: in quotes as a whole, quotes inside doubled ("")'
            wrong = f"{where}: line {lines.began} is no record"
            raise DataError(problem(wrong, str(why), right)) from None
        yield lines.began, [cell.strip() for cell in cells]


def _delimiter(text: str, layout: Layout, where: str) -> str:
    """The file's delimiter: the given one, or one that divides all records alike."""
    if layout.delimiter is not None:
        return _given(layout.delimiter, layout.decimal)
    candidates = [m for m in _CANDIDATES if m != layout.decimal]
    first: str | None = None
    failed: dict[str, DataError] = {}
    for mark in candidates:
        try:
            seen = [cells for _, cells in islice(_records(text, mark, where), _LOOKED_AT)]
        except DataError as why:
            failed[mark] = why
            continue
        counts = [len(cells) for cells in seen]
        if counts and counts[0] > 1:
            if len(set(counts)) == 1:
                return mark
            title = mark == " " and max(counts[1:]) == 1  # a heading of several words
            if first is None and not (title and not all(map(_like_a_number, seen[0]))):
                first = mark
        elif counts and max(counts) > 1 and mark == " ":
            first = first or mark
    if first is None and failed:
        heading = next((line for line in _Lines(text, spaces=False)), "")
        raise next((failed[m] for m in failed if m in heading), next(iter(failed.values())))
    # no delimiter fits: the records are refused where it divides the first, else one column is read
    return first or "\t"


def _given(delimiter: str, decimal: str) -> str:
    mark = _WORDS.get(delimiter, delimiter)
    if len(mark) != 1 or mark.isalnum() or mark in "\"'#+-.\r\n" or not mark.isascii():
        right = "comma, semicolon, tab, space, or a character such as |"
        raise DataError(problem("this cannot be a delimiter", delimiter, right))
    if mark == decimal:
        right = "--delimiter semicolon, or --decimal ."
        raise DataError(problem("the delimiter is the decimal mark too", delimiter, right))
    return mark


def _insist_even(records: Sequence[tuple[int, list[str]]], mark: str, where: str) -> None:
    start, first = records[0]
    for line, cells in records:
        if len(cells) != len(first):
            wrong = f"{where}: line {line} has {len(cells)} cells, line {start} has {len(first)}"
            also = ", or --decimal , if that is what the comma is" if mark == "," else ""
            shown = {"\t": "tab", " ": "space"}.get(mark, mark)
            right = f"as many in every line, the delimiter being {shown}; --delimiter for another"
            raise DataError(problem(wrong, _joined(cells), right + also))


def _joined(cells: Sequence[str]) -> str:
    return " | ".join(cells)[:80]


# ------------------------------------------------------------------------------- names


def _named(
    records: list[tuple[int, list[str]]], layout: Layout, where: str
) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The columns' names and the records below them; numbers from 1 where there are no names."""
    line, first = records[0]
    header = layout.header
    if header is None:
        numbers = [cell for cell in first if _like_a_number(cell)]
        words = [cell for cell in first if not _like_a_number(cell) and not _missing(cell)]
        if numbers and words:
            wrong = f"{where}: line {line} holds words and numbers: names, or a record?"
            right = "--header where it holds names, --no-header where it does not"
            raise DataError(problem(wrong, _joined(first), right))
        header = bool(words)
    if header:
        return first, records[1:]
    return [str(j) for j in range(1, len(first) + 1)], records


def _place(names: Sequence[str], column: str, where: str, option: str) -> int:
    found = [j for j, name in enumerate(names) if name == column]
    if len(found) > 1:
        wrong = f"{where} has {len(found)} columns of this name"
        right = f"{option} with a number: " + ", ".join(str(j + 1) for j in found)
        raise DataError(problem(wrong, column, right))
    if found:
        return found[0]
    if column.isascii() and column.isdecimal() and 1 <= int(column) <= len(names):
        return int(column) - 1
    raise DataError(problem(f"{where} has no such column", column, ", ".join(names[:20])))


def _only(names: Sequence[str], weights: int | None, where: str) -> int:
    free = [j for j in range(len(names)) if j != weights]
    if len(free) != 1:
        wrong = f"{where} has {len(names)} columns"
        raise DataError(problem(wrong, ", ".join(names[:20]), "--column with one of them"))
    return free[0]


# ------------------------------------------------------------------------------- cells


def _frequencies(weights: NDArray[np.float64], where: str) -> NDArray[np.float64]:
    if (weights < 0).any() or not 0 < weights.sum() < np.inf:
        given = f"{weights.min():g}" if (weights < 0).any() else f"a sum of {weights.sum():g}"
        right = "numbers >= 0 with a positive sum"
        raise DataError(problem(f"the weights of {where} are no frequencies", given, right))
    return weights.copy()


def _missing(cell: str) -> bool:
    return cell.upper() in _MISSING


def _like_a_number(cell: str) -> bool:
    return _LIKE_A_NUMBER.match(cell) is not None


def _number(cell: str, layout: Layout, where: str, line: int, name: str) -> float:
    """A finite number: only digits, a sign, the decimal mark and an exponent make one."""
    mark = re.escape(layout.decimal)
    form = rf"[+-]?(\d+{mark}?\d*|{mark}\d+)([eE][+-]?\d{{1,4}})?"
    if re.fullmatch(form, cell, re.ASCII):
        value = float(cell.replace(layout.decimal, "."))
        if np.isfinite(value):
            return value
    if _missing(cell):
        wrong = f"{where}: line {line} has no number in column {name}"
        raise DataError(problem(wrong, cell or "nothing", "a number, or --drop-missing"))
    raise DataError(
        problem(f"{where}: line {line} holds no number", cell, _right(cell, layout, name))
    )


def _right(cell: str, layout: Layout, name: str) -> str:
    """What a cell should have been, and the option that may be missing."""
    other = "," if layout.decimal == "." else "."
    if _THOUSANDS.fullmatch(cell):
        right = f"digits without separators of thousands in column {name}"
        single = other in cell and layout.decimal not in cell
        return right + (f", or --decimal {other} if that is the decimal mark" * single)
    if other in cell and layout.decimal not in cell and _like_a_number(cell):
        return f"a number with the decimal mark {layout.decimal}, or --decimal {other}"
    return f"a finite number in column {name}"
