"""Certificates by several processes are those of one, in the order of the names."""

from __future__ import annotations

from pathlib import Path

import mpmath
import pytest

import relrep_sym as rs
from relrep_sym.batch import Judged, certified
from relrep_sym.errors import CertificateError
from relrep_sym.scripts import load
from relrep_sym.verify.yardstick import LIMIT

SCRIPT = '''"""Poisson."""

import multiprocessing
import os

import relrep_sym as rs


def derivation() -> rs.Derivation:
    {first}
    return rs.derive(rs.mixture("poisson", components={count}), name="{name}")
'''


def put(folder: Path, name: str, count: int, first: str = "") -> None:
    text = SCRIPT.format(name=name, count=count, first=first)
    (folder / f"{name}.py").write_text(text, encoding="utf-8")


def rows(done: Judged) -> list[list[str]]:
    assert done.certificate is not None
    return done.certificate.rows()


def test_two_processes_give_what_one_gives(tmp_path: Path) -> None:
    put(tmp_path, "one", 1)
    put(tmp_path, "two", 2)
    wrong = tmp_path / "wrong.txt"
    text = load("one", tmp_path).source()
    wrong.write_text(text + "\n\n_right = score\n\n\ndef score(*a):\n    return 2 * _right(*a)\n")
    alone, heard = [], []
    for processes in (1, 2):
        said: list[tuple[str, str, str]] = []
        done = list(
            certified(
                ["two", "one"],
                load,
                tmp_path,
                modules={"one": wrong},
                processes=processes,
                progress=lambda *entry, said=said: said.append(entry),
            )
        )
        assert [d.name for d in done] == ["two", "one"]
        assert [d.ok for d in done] == [True, False]
        assert done[1].certificate is not None
        assert done[1].certificate.worst.function == "score"
        assert done[1].certificate.worst.ratio > LIMIT
        alone.append([rows(d) for d in done])
        heard.append(sorted(said))
    assert alone[0] == alone[1]
    assert heard[0] == heard[1]
    assert len(heard[0]) == sum(len(r) - 1 for r in alone[0])


def test_a_process_that_is_ended_is_said(tmp_path: Path) -> None:
    put(tmp_path, "ends", 1, "if multiprocessing.parent_process() is not None: os._exit(3)")
    with pytest.raises(CertificateError, match="a process that certified was ended"):
        list(certified(["ends"], load, tmp_path, processes=2))


def test_the_precision_that_a_caller_works_in_changes_no_figure() -> None:
    d = rs.derive(rs.mixture("poisson", components=2))
    with mpmath.mp.workdps(40):
        fine = d.verify().rows()
    assert fine == d.verify().rows()
