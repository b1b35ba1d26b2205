"""relrep fit: what it reads, what it refuses, and that its numbers are those of the module."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import stats

import relrep_sym as rs
from relrep_sym.cli import main
from relrep_sym.columns import Sample
from relrep_sym.data import faithful
from relrep_sym.fitting import Plan, fitted


@pytest.fixture
def waiting(tmp_path: Path) -> Path:
    rows = [f"{a},{b}" for a, b in faithful()]
    return _written(tmp_path, "\n".join(["eruptions,waiting", *rows]))


def _written(folder: Path, text: str) -> Path:
    path = folder / "sample.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_table_holds_the_modules_own_numbers() -> None:
    model = rs.mixture("normal", components=2)
    d = rs.derive(model, rs.relative(model, "mu", clearance="lam"))
    x = faithful()[:, 1]
    plan = Plan("quantiles", 2, 0, "em", "sandwich", 1e-10, 500, None, {"lam": 2.0}, False)
    text = fitted(d, Sample(x), plan)
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
    started = [*arguments, "--start", "0.5,55,25,5,5", "--kind", "none", "--max-iter", "3"]
    found = CliRunner().invoke(main, started)
    assert found.exit_code == 0, found.output
    assert "NOT converged: max_iter = 3 steps were taken" in found.output
    assert "std. error" not in found.output


def _table(*arguments: object, given: str | None = None) -> dict[str, list[str]]:
    """The rows of the table that relrep fit prints, by their first word."""
    found = CliRunner().invoke(main, ["fit", *map(str, arguments)], input=given)
    assert found.exit_code == 0, found.output
    return {line.split()[0]: line.split()[1:] for line in found.output.splitlines() if line.strip()}


def test_frequencies_are_the_observations_they_count(tmp_path: Path, waiting: Path) -> None:
    """A histogram gives the table of the sample, its AIC, BIC and standard errors included."""
    values, counts = np.unique(faithful()[:, 1], return_counts=True)
    rows = [f"{v:g};{n};" for v, n in zip(values, counts, strict=True)]
    path = _written(tmp_path, "\n".join(["wait;count;note", *rows]).replace("50;", "50,0;"))
    start = ["--start", "0.5,55,25,5,5"]
    weighted = _table(
        "normal2_relative", path, "--column", "wait", "--weights", "count", "--decimal", ",", *start
    )
    whole = faithful()[:, 1]
    lines = "".join(f"{v:g}\n" for v in whole)
    plain = _table("normal2_relative", "-", *start, given=lines)
    for row in ("pi_1", "Delta_1", "sigma_2", "mu_2", "log-likelihood", "AIC", "BIC"):
        np.testing.assert_allclose(
            [float(v) for v in weighted[row][:1]], [float(v) for v in plain[row][:1]], rtol=2e-6
        )
    for row in ("pi_1", "Delta_1", "sigma_2", "mu_2"):
        assert float(weighted[row][1]) == pytest.approx(float(plain[row][1]), rel=1e-4)
    k = rs.derive(rs.mixture("normal", components=2)).compile()
    total = stats_of_two_normals(k, whole)
    assert float(weighted["BIC"][0]) == pytest.approx(5 * np.log(272) - 2 * total, rel=1e-6)


def stats_of_two_normals(k: object, x: np.ndarray) -> float:
    """The total log-likelihood at the fit, by SciPy's densities."""
    w, m, s = k.components(k.fit(x, "quantiles").coords)  # type: ignore[attr-defined]
    return float(np.log(stats.norm.pdf(x[:, None], m, s) @ w).sum())


def test_what_was_left_out_is_said(tmp_path: Path) -> None:
    path = _written(tmp_path, "a,b\n" + "".join(f"{v},NA\n{v},{v}\n" for v in faithful()[:, 1]))
    arguments = ["fit", "normal2_relative", str(path), "--column", "b"]
    refused = CliRunner().invoke(main, arguments)
    assert refused.exit_code == 2
    assert "line 2 has no number in column b; given: NA; expected: a number, or --drop-missing" in (
        refused.output
    )
    found = CliRunner().invoke(main, [*arguments, "--drop-missing"])
    assert "272 points, 272 dropped, em" in found.output


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--column", "waits"], "no such column"),
        (["--column", "2", "--weights", "waiting"], "both the sample and its weights"),
        (["--column", "2", "--delimiter", ";"], "no such column; given: 2"),
        (["--column", "2", "--delimiter", ",,"], "this cannot be a delimiter"),
        (["--column", "2", "--delimiter", ",", "--decimal", ","], "the decimal mark too"),
        (["--column", "2", "--encoding", "klingon"], "unknown encoding; given: klingon"),
        (["--column", "2", "--no-header"], "line 1 holds no number; given: waiting"),
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
    """Near the singularity, where a fit of one step still is, −H is not positive definite."""
    model = rs.mixture("normal", components=2, weights="1/2", scales=1)
    d = rs.derive(model, rs.relative(model, "mu"))
    plan = Plan([-0.05, 0.1], 1, 0, "em", "observed", 1e-10, 1, None, {}, False)
    text = fitted(d, Sample(np.linspace(-3.0, 3.0, 21)), plan)
    assert "no standard errors: " in text
    assert "std. error" not in text
