"""A fit from a file of numbers, as ``relrep fit`` does it: read, fit, and a table of estimates.

In: a derivation, a text file with one column of observations or several, and how to fit. Out: text.
The file is only read: a column of numbers, or columns parted by commas, semicolons, tabs or spaces,
with or without a line of names.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from relrep_sym.errors import DataError, DomainError, RelrepError, problem

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from relrep_sym.api import Derivation

__all__ = ["Plan", "fitted", "read_column"]

_LARGEST = 1 << 30
"""Bytes above which a file is no sample for a table on a terminal."""


@dataclass(frozen=True)
class Plan:
    """How to fit: what the options of ``relrep fit`` say.

    ``start`` is the name of a kind of start, or coordinates; ``errors`` a kind of standard errors,
    or ``"none"``; ``constants`` are the values of the chart's.
    """

    start: str | Sequence[float]
    starts: int
    seed: int
    method: str
    errors: str
    tol: float
    max_iter: int
    floor: float | None
    constants: Mapping[str, float]
    progress: bool


def read_column(path: Path, column: str | None = None) -> NDArray[np.float64]:
    """One column of a text file, by its name or its number from 1; the only one, if None.

    Raises DataError for a file that is missing, empty, or holds no numbers there: it names the
    line.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise DataError(problem("the file is too large", path, "at most a gigabyte"))
        text = path.read_text(encoding="utf-8-sig")
    except OSError as why:
        said = f"{path}: {why.strerror}"
        raise DataError(problem("the sample cannot be read", said, "a text file")) from None
    except UnicodeDecodeError:
        raise DataError(problem("the sample is no text", path, "numbers as UTF-8")) from None
    lines = [(n, line) for n, line in enumerate(text.splitlines(), 1) if _says_something(line)]
    if not lines:
        raise DataError(problem("the file holds no numbers", path, "a number a line"))
    rows = [(n, _cells(line)) for n, line in lines]
    named = any(_number(cell) is None and cell.upper() not in _MISSING for cell in rows[0][1])
    names = rows[0][1] if named else [str(j) for j in range(1, len(rows[0][1]) + 1)]
    j = _place(names, column, path)
    out = []
    for n, cells in rows[1:] if named else rows:
        value = _number(cells[j]) if j < len(cells) else None
        if value is None:
            given = cells[j] if j < len(cells) else f"{len(cells)} columns"
            right = f"a finite number in column {names[j]}"
            raise DataError(problem(f"{path}: line {n} holds no number", given, right))
        out.append(value)
    if not out:
        raise DataError(problem("the file holds no numbers", path, "numbers below the names"))
    return np.array(out)


_MISSING = frozenset({"", "NA", "NAN", "NULL", "?"})


def _says_something(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _cells(line: str) -> list[str]:
    for mark in (",", ";", "\t"):
        if mark in line:
            return [cell.strip().strip('"') for cell in line.split(mark)]
    return [cell.strip('"') for cell in line.split()]


def _number(cell: str) -> float | None:
    """A finite number, or None: only digits, a sign, a point and an exponent make one."""
    if not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", cell, re.ASCII):
        return None
    value = float(cell)
    return value if np.isfinite(value) else None


def _place(names: Sequence[str], column: str | None, path: Path) -> int:
    shown = ", ".join(names[:20])
    if column is None:
        if len(names) > 1:
            wrong = f"{path} has {len(names)} columns"
            raise DataError(problem(wrong, shown, "--column with one of them"))
        return 0
    if column in names:
        return list(names).index(column)
    if column.isdecimal() and 1 <= int(column) <= len(names):
        return int(column) - 1
    raise DataError(problem(f"{path} has no such column", column, shown))


def fitted(derivation: Derivation, x: NDArray[np.float64], plan: Plan) -> str:
    """Fit the derivation's compiled module and say what was found, as lines of text.

    Raises what ``fit`` raises; a standard error that does not exist is said in the text.
    """
    module = derivation.compile()
    given = _given(derivation, plan.constants)
    options: dict[str, Any] = {}
    if isinstance(plan.start, str):
        options |= {"starts": plan.starts, "rng": plan.seed}
    found = module.fit(
        x,
        plan.start,
        plan.method,
        tol=plan.tol,
        max_iter=plan.max_iter,
        floor=plan.floor,
        progress=plan.progress,
        **options,
        **given,
    )
    best = found.best
    lines = [
        f"{derivation.name}: {derivation.model.describe()}",
        f"{derivation.chart.title}; {x.size} points, {plan.method}"
        + (f", {plan.starts} starts" if np.ndim(found.converged) else ""),
        "",
    ]
    lines += _table(module, best, x, plan, given)
    total = best.log_likelihood * x.size
    lines += [
        "",
        f"log-likelihood  {total:.6f}   ({best.log_likelihood:.9f} a point)",
        f"AIC             {best.aic:.4f}",
        f"BIC             {best.bic:.4f}",
        f"iterations      {best.iterations}, {'' if best.converged else 'NOT '}converged: "
        f"{best.reason}",
    ]
    return "\n".join([*lines, *(f"note            {note}" for note in best.notes)])


def _given(derivation: Derivation, constants: Mapping[str, float]) -> dict[str, float]:
    names = [c.name for c in derivation.chart.constants]
    strange = [n for n in constants if n not in names]
    missing = [n for n in names if n not in constants]
    if strange or missing:
        given = ", ".join(f"{n}={v:g}" for n, v in constants.items()) or "none"
        right = ", ".join(names) if names else "none: the chart has no constants"
        wrong = (
            f"no constant {strange[0]}" if strange else f"the constant {missing[0]} has no value"
        )
        raise DataError(problem(wrong, given, right))
    return dict(constants)


def _table(
    module: Any, best: Any, x: NDArray[np.float64], plan: Plan, given: Mapping[str, float]
) -> list[str]:
    """Name, estimate and standard error of each coordinate, then of what else is in θ."""
    rest = [n for n in module.PARAMETERS if n not in module.COORDINATES]
    names = [*module.COORDINATES, *rest]
    values = [*map(float, best.coords), *(best.parameters[n] for n in rest)]
    errors: list[float] | None = None
    why = ""
    if plan.errors != "none":
        try:
            own = module.standard_errors(x, best.coords, plan.errors, **given)
            with warnings.catch_warnings():  # what there is to warn of was said already
                warnings.simplefilter("ignore")
                theta = module.standard_errors(
                    x, best.coords, plan.errors, of="parameters", **given
                )
            by_name = dict(zip(module.PARAMETERS, theta, strict=True))
            errors = [*map(float, own), *(float(by_name[n]) for n in rest)]
        except DomainError as none:
            why = f"no standard errors: {none}"
        except RelrepError as none:  # such as a family without a Hessian
            why = f"no {plan.errors} standard errors: {none}"
    wide = max(10, *(len(n) for n in names)) + 2
    lines = [f"{'':<{wide}}{'estimate':>14}" + (f"{'std. error':>14}" if errors else "")]
    for i, (name, value) in enumerate(zip(names, values, strict=True)):
        if i == len(module.COORDINATES):
            lines.append("")
        error = f"{errors[i]:>14.6g}" if errors else ""
        lines.append(f"{name:<{wide}}{value:>14.7g}{error}")
    return [*lines, *(["", why] if why else [])]
