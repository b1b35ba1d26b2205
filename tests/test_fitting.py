"""relrep fit: what it reads, what it refuses, and that its numbers are those of the module."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import relrep_sym as rs
from relrep_sym.cli import main
from relrep_sym.data import faithful
from relrep_sym.errors import DataError
from relrep_sym.fitting import Plan, fitted, read_column


@pytest.fixture
def waiting(tmp_path: Path) -> Path:
    rows = [f"{a},{b}" for a, b in faithful()]
    return _written(tmp_path, "\n".join(["eruptions,waiting", *rows]))


def _written(folder: Path, text: str) -> Path:
    path = folder / "sample.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "column", "values"),
    [
        ("1\n2\n-3.5e1\n", None, [1, 2, -35]),
        ("x\n1\n2\n", None, [1, 2]),
        ("# said above\n1 2\n3 4\n", "2", [2, 4]),
        ('"a","b"\n1,2\n3,4\n', "b", [2, 4]),
        ("a;b\n1;.5\n\n3;+4.\n", "2", [0.5, 4]),
        ("\ufeffa\tb\n1\t2\n", "a", [1]),
    ],
)
def test_a_column_is_read(tmp_path: Path, text: str, column: str | None, values: list) -> None:
    np.testing.assert_array_equal(read_column(_written(tmp_path, text), column), values)


@pytest.mark.parametrize(
    ("text", "column", "said"),
    [
        ("", None, "holds no numbers"),
        ("a,b\n", "a", "holds no numbers"),
        ("1\nNA\n2\n", None, "line 2 holds no number; given: NA"),
        ("1\ninf\n", None, "line 2 holds no number; given: inf"),
        ("1\n1_0\n", None, "line 2 holds no number; given: 1_0"),
        ("1\n1e999\n", None, "line 2 holds no number; given: 1e999"),
        ("a,b\n1,2\n3\n", "b", "line 3 holds no number; given: 1 columns"),
        ("1,2\n3,4\n", None, "has 2 columns; given: 1, 2; expected: --column"),
        ("a,b\n1,2\n", "c", "no such column; given: c; expected: a, b"),
        ("a,b\n1,2\n", "3", "no such column; given: 3"),
    ],
)
def test_what_is_no_sample_is_named(
    tmp_path: Path, text: str, column: str | None, said: str
) -> None:
    with pytest.raises(DataError, match=re.escape(said)):
        read_column(_written(tmp_path, text), column)


def test_a_file_that_is_not_there_or_no_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the sample cannot be read"):
        read_column(tmp_path / "none.csv")
    (tmp_path / "raw").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(DataError, match="the sample is no text"):
        read_column(tmp_path / "raw")


def test_the_table_holds_the_modules_own_numbers() -> None:
    model = rs.mixture("normal", components=2)
    d = rs.derive(model, rs.relative(model, "mu", clearance="lam"))
    x = faithful()[:, 1]
    plan = Plan("quantiles", 2, 0, "em", "sandwich", 1e-10, 500, None, {"lam": 2.0}, False)
    text = fitted(d, x, plan)
    k = d.compile()
    best = k.fit(x, "quantiles", starts=2, rng=0, max_iter=500, lam=2.0).best
    errors = k.standard_errors(x, best.coords, "sandwich", lam=2.0)
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.strip()}
    for name, value, error in zip(k.COORDINATES, best.coords, errors, strict=True):
        np.testing.assert_allclose([float(v) for v in rows[name]], [value, error], rtol=1e-5)
    assert float(rows["mu_2"][0]) == pytest.approx(best.coords[1] + best.coords[2] + 2.0, rel=1e-6)
    assert float(rows["AIC"][0]) == pytest.approx(best.aic, rel=1e-6)


def test_from_the_command_line(waiting: Path) -> None:
    arguments = ["fit", "normal2_relative", str(waiting), "--column", "waiting"]
    found = CliRunner().invoke(main, arguments)
    assert found.exit_code == 0, found.output
    assert "log-likelihood  -1034.001750" in found.output
    started = [*arguments, "--start", "0.5,55,25,5,5", "--errors", "none", "--max-iter", "3"]
    found = CliRunner().invoke(main, started)
    assert found.exit_code == 0, found.output
    assert "NOT converged: max_iter = 3 steps were taken" in found.output
    assert "std. error" not in found.output


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--column", "waits"], "no such column"),
        (["--column", "2", "--start", "1,2"], "coords has the wrong shape"),
        (["--column", "2", "--start", "0.5,55,x"], "--start holds no number; given: x"),
        (["--column", "2", "--start", "best"], "unknown start; given: best"),
        (["--column", "2", "--constant", "lam=1"], "no constant lam"),
        (["--column", "2", "--constant", "lam"], "--constant takes NAME=VALUE"),
    ],
)
def test_bad_requests_are_one_line(waiting: Path, more: list[str], said: str) -> None:
    found = CliRunner().invoke(main, ["fit", "normal2_relative", str(waiting), *more])
    assert found.exit_code == 2
    assert said in found.output
    assert "Traceback" not in found.output


@pytest.mark.filterwarnings("ignore::relrep_sym.errors.InferenceWarning")
def test_errors_that_do_not_exist_are_said() -> None:
    """Where EM started on the singularity it stays, and the likelihood has no maximum there."""
    model = rs.mixture("normal", components=2, weights="1/2", scales=1)
    d = rs.derive(model, rs.relative(model, "mu"))
    plan = Plan([0.0, 0.0], 1, 0, "em", "observed", 1e-10, 500, None, {}, False)
    text = fitted(d, np.linspace(-3.0, 3.0, 21), plan)
    assert "no standard errors: " in text
    assert "std. error" not in text
