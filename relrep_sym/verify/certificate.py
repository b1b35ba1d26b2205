"""Certificates: kernels held against the oracle, point by point.

In: cases, each a kernel and an oracle as callables of nothing. Out: a :class:`Certificate`, a
table of measured errors in units of the yardstick, which raises where one of them is too large.

>>> from relrep_sym.verify.yardstick import Measured
>>> import mpmath
>>> third = Measured(mpmath.mpf(1) / 3, mpmath.mpf(1) / 3, mpmath.mpf(0))
>>> good = certify("thirds", [Case("third", "ordinary", lambda: 1 / 3, lambda: third)])
>>> good.ok, good.worst.function
(True, 'third')
>>> certify("thirds", [Case("third", "planted", lambda: 0.33334, lambda: third)]).ok
False
"""

from __future__ import annotations

import html
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
from mpmath import mp

from relrep_sym.errors import CertificateError, problem
from relrep_sym.verify.jets import WORKING
from relrep_sym.verify.yardstick import LIMIT, UNIT, Measured, bound, ratio

__all__ = ["Case", "Certificate", "Entry", "certify"]

Kernel = Callable[[], Any]


@dataclass(frozen=True)
class Case:
    """One function at one point: the kernel's floats, and what the oracle says of each.

    ``kernel()`` gives a number or an array, ``oracle()`` a :class:`Measured` or nested sequences
    of them in the same shape. ``coordinates`` is what a failure prints, ``digits`` the oracle's.
    """

    function: str
    point: str
    kernel: Kernel
    oracle: Callable[[], Any]
    coordinates: str = ""
    digits: int = 30


@dataclass(frozen=True)
class Entry:
    """The worst value of one function at one point.

    ``error`` and ``bound`` are absolute, ``ratio`` is the error in units of the yardstick, at most
    64 to pass; ``relative`` is the error over |v|; ``seconds`` are the oracle's, a search for what
    is to be compared included.
    """

    function: str
    point: str
    error: float
    bound: float
    ratio: float
    digits: int
    method: str
    seconds: float
    relative: float = 0.0
    coordinates: str = ""
    index: tuple[int, ...] = ()
    value: float = 0.0
    reference: str = ""
    plain: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether the ratio is at most the limit."""
        return self.ratio <= LIMIT


@dataclass(frozen=True)
class Certificate:
    """The measured errors of a generated module."""

    name: str
    entries: tuple[Entry, ...]

    @property
    def worst(self) -> Entry:
        """The entry with the largest ratio."""
        if not self.entries:
            raise CertificateError(problem(f"certificate {self.name}", "no entries", "a case"))
        return max(self.entries, key=lambda entry: entry.ratio)

    @property
    def ok(self) -> bool:
        """Whether every entry passes."""
        return self.worst.ok

    def check(self) -> None:
        """Raise :class:`CertificateError` naming the worst point, unless every entry passes."""
        if self.ok:
            return
        entry = self.worst
        failed = sum(not e.ok for e in self.entries)
        where = f"{entry.function}{list(entry.index) if entry.index else ''} at {entry.point}"
        given = (
            f"{entry.value!r}, {_two(entry.ratio)} units of the yardstick from the oracle's "
            f"{entry.reference} ({entry.digits} digits, {entry.method}); "
            f"{failed} of {len(self.entries)} entries fail"
        )
        at = f" ({entry.coordinates})" if entry.coordinates else ""
        text = f"{self.name}: {where}{at}; given: {given}; expected: at most {LIMIT} units"
        raise CertificateError(text)

    def rows(self, seconds: bool = False) -> list[list[str]]:
        """The table, its head first; the same for the same errors unless ``seconds`` are shown."""
        head = ["function", "point", "ratio", "plain", "relative", "digits", "method"]
        body = [
            [
                e.function,
                e.point,
                _two(e.ratio),
                _two(e.plain),
                _two(e.relative),
                str(e.digits),
                e.method,
            ]
            for e in self.entries
        ]
        if seconds:
            head.append("seconds")
            for row, e in zip(body, self.entries, strict=True):
                row.append(f"{e.seconds:.2f}")
        return [head, *body]

    def to_text(self, seconds: bool = False) -> str:
        """An aligned table below one line that sums it up."""
        rows = self.rows(seconds)
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        return "\n".join([self._summary(), *lines])

    def to_markdown(self) -> str:
        """A table for a committed file: no times in it."""
        head, *body = self.rows()
        lines = ["| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *body]]
        return "\n".join([f"### {self.name}", "", self._summary(), "", *lines, ""])

    def _summary(self) -> str:
        worst = self.worst
        verdict = "passes" if self.ok else "FAILS"
        return (
            f"{self.name} {verdict}: at most {_two(worst.ratio)} of {LIMIT} units of the yardstick "
            f"({worst.function}, {worst.point}; "
            f"{_two(max(e.plain for e in self.entries))} where no tolerance is widened)"
        )

    def __repr__(self) -> str:
        return f"<Certificate of {self._summary()}; {len(self.entries)} entries>"

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"

    def __str__(self) -> str:
        return self.to_text(seconds=True)


def certify(
    name: str, cases: Iterable[Case], progress: Callable[[Entry], None] | None = None
) -> Certificate:
    """Run every case; ``progress`` is called with each entry as it is measured.

    A miss does not raise here: ask :meth:`Certificate.check`. Shapes that differ, and an oracle
    whose own error is too large to judge by, raise :class:`CertificateError`.
    """
    entries = []
    start = time.perf_counter()
    for case in cases:
        entry = _measure(case, start)
        if progress:
            progress(entry)
        entries.append(entry)
        start = time.perf_counter()
    return Certificate(name, tuple(entries))


def _flatten(nested: Any) -> tuple[list[Measured], tuple[int, ...]]:
    """The Measured values in row-major order, and their shape."""
    if isinstance(nested, Measured):
        return [nested], ()
    parts = [_flatten(item) for item in nested]
    shapes = {shape for _, shape in parts}
    if len(shapes) > 1:
        text = problem("the oracle's shape", f"rows of shapes {sorted(shapes)}", "one shape")
        raise CertificateError(text)
    inner = shapes.pop() if shapes else ()
    return [m for flat, _ in parts for m in flat], (len(parts), *inner)


def _measure(case: Case, start: float) -> Entry:
    measured, shape = _flatten(case.oracle())
    seconds = time.perf_counter() - start
    where = f"{case.function} at {case.point}"
    values = np.asarray(case.kernel(), dtype=float)
    if values.shape != shape or not measured:
        raise CertificateError(problem(f"the shape of {where}", values.shape, f"{shape}"))
    with mp.workdps(WORKING):
        flat = [float(v) for v in values.ravel()]
        _insist_better(where, measured)
        ratios = [ratio(v, m) for v, m in zip(flat, measured, strict=True)]
        n = max(range(len(flat)), key=lambda i: ratios[i])
        worst, value = measured[n], flat[n]
        error = abs(mpmath.mpf(value) - worst.value) if np.isfinite(value) else mp.inf
        scale = abs(worst.value)
        return Entry(
            function=case.function,
            point=case.point,
            error=float(error),
            bound=float(bound(worst)),
            ratio=float(ratios[n]),
            digits=case.digits,
            method=worst.method,
            seconds=seconds,
            relative=float(error / scale) if scale else (0.0 if not error else float("inf")),
            coordinates=case.coordinates,
            index=tuple(int(i) for i in np.unravel_index(n, shape)) if shape else (),
            value=value,
            reference=mpmath.nstr(worst.value, 30),
            plain=float(max(ratio(v, m.plain) for v, m in zip(flat, measured, strict=True))),
        )


def _insist_better(where: str, measured: Sequence[Measured]) -> None:
    """An oracle judges only what it knows a hundred times better than the yardstick's unit."""
    for m in measured:
        unit = UNIT * (abs(m.value) + m.scale + m.sensitivity)
        if not m.error <= unit / 100:
            given = f"{mpmath.nstr(m.error, 3)} against a unit of {mpmath.nstr(unit, 3)}"
            raise CertificateError(problem(f"the oracle's own error in {where}", given, "less"))


def _two(number: float) -> str:
    """Two significant digits."""
    return f"{number:.2g}"
