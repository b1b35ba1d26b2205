"""Columns of numbers from text: RFC 4180, one dialect for a file, errors that name the line."""

from __future__ import annotations

import csv
import io
import random
import re
from pathlib import Path

import numpy as np
import pytest

from relrep_sym.columns import Layout, Sample, read_sample
from relrep_sym.errors import DataError

COMMA, PLAIN, TITLED = Layout(decimal=","), Layout(header=False), Layout(header=True)


def read(
    folder: Path,
    text: str | bytes,
    column: str | None = None,
    layout: Layout | None = None,
    weights: str | None = None,
) -> Sample:
    path = folder / "sample.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_sample(path, column, weights, layout)


@pytest.mark.parametrize(
    ("text", "column", "layout", "values"),
    [
        # a number a line
        ("1\n2\n-3.5e1\n", None, None, [1, 2, -35]),
        ("x\n1\n2\n", None, None, [1, 2]),
        ("waiting time\n1\n2\n", None, None, [1, 2]),
        ("1\r2\r", None, None, [1, 2]),
        # delimiters
        ("# said above\n1 2\n3 4\n", "2", None, [2, 4]),
        ("  a   b\n 1    2 \n3  4\n", "b", None, [2, 4]),
        ("a;b\n1;.5\n\n3;+4.\n", "2", None, [0.5, 4]),
        ("a\tb\n1\t2\n", "b", None, [2]),
        ("a\tb\nx, y\t2\nu, v\t3\n", "b", None, [2, 3]),
        ("a|b\n1|2\n", "b", Layout("|"), [2]),
        ("a,b\n1,2\n", "b", Layout("comma"), [2]),
        ("a, b\n1, 2\n", "b", None, [2]),
        ("a,b,\n1,2,\n", "b", None, [2]),
        # decimal marks
        ("id;depth\n1;1,5\n2;0,25\n", "depth", COMMA, [1.5, 0.25]),
        ("1,5\n2\n,25\n", None, COMMA, [1.5, 2, 0.25]),
        ("1,5 2\n2,5 3\n", "1", COMMA, [1.5, 2.5]),
        ('"1,5";"2"\n', "1", COMMA, [1.5]),
        # RFC 4180: rules 1 to 7, by their number there
        ("a,b\r\n1,2\r\n3,4\r\n", "a", None, [1, 3]),
        ("a,b\r\n1,2\r\n3,4", "b", None, [2, 4]),
        ('"a","b"\r\n"1","2"\r\n', "b", None, [2]),
        ('"a\r\nb",c\r\n1,2\r\n', "c", None, [2]),
        ('"a,b",c\r\n1,2\r\n', "a,b", None, [1]),
        ('"a ""b""",c\r\n1,2\r\n', 'a "b"', None, [1]),
        ('note,n\r\n"two\r\n\r\n# lines",2\r\n"",3\r\n', "n", None, [2, 3]),
        # comments and blank lines
        ("x\n1\n\n  \n# it's, \"unclosed\n2\n", None, None, [1, 2]),
        # names
        ("name,2019\nx,3\n", "2019", TITLED, [3]),
        ("M,0.5\nF,0.6\n", "2", PLAIN, [0.5, 0.6]),
        ('"new york" 3\n"oslo" 4\n', "2", PLAIN, [3, 4]),
        ("a,b,a\n1,2,3\n", "b", None, [2]),
        ("a,b,a\n1,2,3\n", "3", None, [3]),
        ("2,1\n5,6\n", "2", TITLED, [5]),
        ("1,NA\n3,4\n", "1", None, [1, 3]),
        # encodings
        (b"\xef\xbb\xbfa,b\n1,2\n", "a", None, [1]),
        ("a,b\n1,2\n".encode("utf-16"), "b", None, [2]),
        ("t°\n1\n".encode("latin-1"), None, Layout(encoding="latin-1"), [1]),
    ],
)
def test_a_column_is_read(
    tmp_path: Path, text: str | bytes, column: str | None, layout: Layout | None, values: list
) -> None:
    found = read(tmp_path, text, column, layout)
    np.testing.assert_array_equal(found.x, values)
    assert found.weights is None
    assert (found.size, found.dropped) == (len(values), 0)


@pytest.mark.parametrize(
    ("text", "column", "layout", "said"),
    [
        ("", None, None, "holds no numbers"),
        ("a,b\n", "a", None, "holds no numbers"),
        # delimiters and decimal marks that nobody named
        (
            "id;depth\n1;1,5\n2;0,25\n",
            "depth",
            None,
            "line 2 holds no number; given: 1,5; expected: "
            "a number with the decimal mark ., or --decimal ,",
        ),
        ("1;1,5\n2;0,25\n", "2", None, "line 1 holds no number; given: 1,5"),
        ("1,5\n", None, None, "has 2 columns; given: 1, 2; expected: --column"),
        (
            "1,5\n2\n",
            None,
            None,
            "line 2 has 1 cells, line 1 has 2; given: 2; expected: as many in "
            "every line, the delimiter being ,; --delimiter for another, or --decimal ,",
        ),
        ("2\n1,5\n", None, None, "line 2 holds no number; given: 1,5"),
        ("1.5\n", None, COMMA, "decimal mark ,, or --decimal ."),
        (
            "a\n1,234\n5,678\n",
            None,
            Layout(";"),
            "without separators of thousands in column a, or --decimal ,",
        ),
        ('a,b\n"1,234.5",2\n', "a", None, "without separators of thousands in column a"),
        ("a;b\n1.234,5;2\n", "a", COMMA, "without separators of thousands in column a"),
        ("1 234\n5\n", None, Layout(";"), "without separators of thousands"),
        # ragged records
        ("a,b\n1,2\n3\n", "a", None, "line 3 has 1 cells, line 1 has 2; given: 3"),
        ("a,b\n1,2\n3,4,5\n", "a", None, "line 3 has 3 cells, line 1 has 2; given: 3 | 4 | 5"),
        ('a,b\n"1\n1",2\n3\n', "b", None, "line 4 has 1 cells"),
        ("1 2\n3\n4\n", "1", None, "line 2 has 1 cells, line 1 has 2"),
        ("1\n2 3\n", None, None, "line 2 has 2 cells, line 1 has 1"),
        ("a b\n1 2 3\n", "b", None, "line 2 has 3 cells, line 1 has 2"),
        # fields that RFC 4180 has not
        ('a,b\n"1,2\n3,4\n', "b", None, "line 2 is no record"),
        ('a,b\n1,2\n"1"x,2\n', "b", None, "line 3 is no record; given: ',' expected after '\"'"),
        # columns
        ("1,2\n3,4\n", None, None, "has 2 columns; given: 1, 2; expected: --column"),
        ("a,b\n1,2\n", "c", None, "no such column; given: c; expected: a, b"),
        ("a,b\n1,2\n", "3", None, "no such column; given: 3"),
        ("a,b\n1,2\n", "0", None, "no such column; given: 0"),
        (
            "a,b,a\n1,2,3\n",
            "a",
            None,
            "has 2 columns of this name; given: a; expected: --column with a number: 1, 3",
        ),
        ("M,0.5\nF,0.6\n", "2", None, "line 1 holds words and numbers: names, or a record?"),
        ("name,2019\nx,3\n", "2", None, "line 1 holds words and numbers: names, or a record?"),
        # cells
        (
            "1\nNA\n2\n",
            None,
            None,
            "line 2 has no number in column 1; given: NA; expected: a number, or --drop-missing",
        ),
        ("a,b\n1,\n2,3\n", "b", None, "line 2 has no number in column b; given: nothing"),
        ("-\n1\n", None, None, "line 1 has no number in column 1; given: -"),
        ("x\n1\nnan\n", None, None, "line 3 has no number"),
        ("1\ninf\n", None, None, "line 2 holds no number; given: inf"),
        ("1\n1_0\n", None, None, "line 2 holds no number; given: 1_0"),
        ("1\n1e999\n", None, None, "line 2 holds no number; given: 1e999"),
        ("1\n\uff11\n", None, None, "line 2 holds no number; given: \uff11"),
        # bytes
        ("t°\n1\n".encode("latin-1"), None, None, "line 1 is not utf-8; given: the byte 0xb0"),
        (b"1\n2\x00\n", None, None, "line 2 is no text; given: a zero byte"),
        (b"\xff\xfe\x00", None, None, "line 1 is not utf-16"),
        ("1\n", None, Layout(encoding="klingon"), "unknown encoding; given: klingon"),
    ],
)
def test_what_is_no_sample_is_named(
    tmp_path: Path, text: str | bytes, column: str | None, layout: Layout | None, said: str
) -> None:
    with pytest.raises(DataError, match=re.escape(said)):
        read(tmp_path, text, column, layout)


@pytest.mark.parametrize("first", "1_0 inf -inf \uff11 1e5x $5 2020-01-01 12:30 .5x 7up".split())
def test_a_broken_number_is_not_taken_for_a_name(tmp_path: Path, first: str) -> None:
    with pytest.raises(DataError, match=re.escape(f"line 1 holds no number; given: {first}; ")):
        read(tmp_path, f"{first}\n2\n")
    assert read(tmp_path, f"{first}\n2\n", layout=TITLED).x.tolist() == [2.0]


def test_records_with_a_missing_cell_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = ["a,n", "1,1", "NA,1", "2,", "3,n/a", "4,NULL", "?,?", "5,2"]
    found = read(tmp_path, "\n".join(rows), "a", Layout(drop_missing=True), weights="n")
    assert found.x.tolist() == [1.0, 5.0]
    assert found.weights is not None
    assert (found.weights.tolist(), found.size, found.dropped) == ([1.0, 2.0], 3.0, 5)
    for cell in ("x", "inf", "1,5"):
        with pytest.raises(DataError, match="line 2 holds no number"):
            read(tmp_path, f'a\n"{cell}"\n1\n', layout=Layout(drop_missing=True))
    with pytest.raises(DataError, match="every record has a missing cell"):
        read(tmp_path, "a\nNA\n", layout=Layout(drop_missing=True))


def test_the_other_column_of_two_is_the_sample(tmp_path: Path) -> None:
    assert read(tmp_path, "x,n\n1,2\n3,4\n", weights="n").x.tolist() == [1.0, 3.0]
    with pytest.raises(DataError, match="one column is both"):
        read(tmp_path, "x,n\n1,2\n", "n", weights="2")


@pytest.mark.parametrize(("rows", "given"), [("1,-1", "-1"), ("1,0", "a sum of 0")])
def test_weights_that_count_nothing_are_refused(tmp_path: Path, rows: str, given: str) -> None:
    with pytest.raises(DataError, match=f"are no frequencies; given: {given}"):
        read(tmp_path, f"x,n\n{rows}\n", "x", weights="n")


@pytest.mark.parametrize("mark", ["1", "ab", '"', "\n", ".", "é"])
def test_what_cannot_part_cells_is_refused(tmp_path: Path, mark: str) -> None:
    with pytest.raises(DataError, match="this cannot be a delimiter"):
        read(tmp_path, "1\n", layout=Layout(mark))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(DataError, match="the sample cannot be read"):
            read_sample(path)


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
@pytest.mark.parametrize("decimal", [".", ","])
def test_what_the_csv_module_writes_is_read_back(tmp_path: Path, mark: str, decimal: str) -> None:
    """Three columns, one of them text with every delimiter, quote and line end in it."""
    if mark == decimal:
        with pytest.raises(DataError, match="the delimiter is the decimal mark too"):
            read(tmp_path, "1\n", layout=Layout(mark, decimal))
        return
    chance = random.Random(5)
    x = [chance.gauss(0, 1) * 10.0 ** chance.randint(-300, 300) for _ in range(50)]
    words = ["w" + "".join(chance.choices('ab,;\t"\r\n#. 5', k=8)) for _ in x]
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=mark)
    writer.writerow(["word", "x", "last"])
    writer.writerows([w, repr(v).replace(".", decimal), 1] for w, v in zip(words, x, strict=True))
    for layout in (Layout(mark, decimal), Layout(decimal=decimal)):
        if layout.delimiter or mark != "|":  # which nobody would guess
            assert read(tmp_path, stream.getvalue(), "x", layout).x.tolist() == x
