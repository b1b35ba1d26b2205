"""A file is whole, old or new, whoever writes, fails or is killed, and however many at once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from relrep_sym.emit import files
from relrep_sym.errors import GenerationError

OLD, NEW = "old\n" * 50_000, "new λ\n" * 50_000

WRITER = """
import itertools, sys
from pathlib import Path
from relrep_sym.emit.files import write
paths, texts = [Path(p) for p in sys.argv[1:]], ("old\\n" * 50_000, "new λ\\n" * 50_000)
print("ready", flush=True)
for text in itertools.cycle(texts):
    for path in paths:
        write(path, text)
"""


def writer(*paths: Path) -> subprocess.Popen[bytes]:
    """A process that writes the old and the new text by turns until it is killed."""
    command = [sys.executable, "-c", WRITER, *map(str, paths)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def kill(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def scraps(folder: Path) -> list[Path]:
    return list(folder.glob(".relrep-*"))


# Writing


def test_a_text_is_written_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    assert files.write(path, "μ = 1\n")
    assert path.read_bytes() == "μ = 1\n".encode()
    assert os.listdir(tmp_path) == ["a.py"]


def test_an_unchanged_file_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    files.write(path, OLD)
    before = path.stat()
    assert not files.write(path, OLD)
    after = path.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_line_ends_count_as_changes(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_bytes(b"a\r\n")
    assert files.write(path, "a\n")
    assert path.read_bytes() == b"a\n"


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(GenerationError, match=r"cannot write .*none/a\.py; given: No such file"):
        files.write(tmp_path / "none" / "a.py", NEW)


def test_a_folder_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a.py").mkdir()
    with pytest.raises(GenerationError, match="cannot write"):
        files.write(tmp_path / "a.py", NEW)
    assert not scraps(tmp_path)


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failure_leaves_the_old_file_and_no_scrap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException, step: str
) -> None:
    def fail(*_: object) -> None:
        raise failure

    path = tmp_path / "a.py"
    files.write(path, OLD)
    monkeypatch.setattr(os, step, fail)
    expected = GenerationError if isinstance(failure, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        files.write(path, NEW)
    assert path.read_text(encoding="utf-8") == OLD
    assert os.listdir(tmp_path) == ["a.py"]


# Removing


def test_a_file_is_removed_once_and_that_is_enough(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.touch()
    files.remove(path)
    files.remove(path)
    assert not path.exists()


def test_what_cannot_be_removed_is_named(tmp_path: Path) -> None:
    with pytest.raises(GenerationError, match="cannot remove"):
        files.remove(tmp_path)


# Scraps


def test_scraps_of_dead_writers_are_cleared_and_of_living_ones_kept(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    gone = tmp_path / f".relrep-{dead.pid}-0123abcd.tmp"
    living = tmp_path / f".relrep-{os.getppid()}-0123abcd.tmp"
    foreign = tmp_path / ".relrep-notes.tmp"
    for path in (gone, living, foreign):
        path.touch()
    files.write(tmp_path / "a.py", NEW)
    assert not gone.exists()
    assert living.exists()
    assert foreign.exists()


def test_an_old_scrap_is_cleared_although_its_number_lives_on(tmp_path: Path) -> None:
    path = tmp_path / f".relrep-{os.getppid()}-0123abcd.tmp"
    path.touch()
    hour_ago = time.time() - 3600
    os.utime(path, (hour_ago, hour_ago))
    files.clear_scraps(tmp_path)
    assert not path.exists()


# Killed, and at once


def killed(folder: Path, times: int) -> None:
    paths = [folder / f"{name}.py" for name in "abc"]
    for path in paths:
        files.write(path, OLD)
    chance = random.Random(times)
    for _ in range(times):
        process = writer(*paths)
        time.sleep(chance.uniform(0, 0.03))
        kill(process)
        for path in paths:
            assert path.read_text(encoding="utf-8") in (OLD, NEW)
    files.clear_scraps(folder)
    assert not scraps(folder)


def test_killed_at_any_moment_every_file_is_whole(tmp_path: Path) -> None:
    killed(tmp_path, 8)


@pytest.mark.slow
def test_killed_a_hundred_times_every_file_is_whole(tmp_path: Path) -> None:
    killed(tmp_path, 100)


def test_two_writers_at_once_never_show_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    files.write(path, OLD)
    processes = [writer(path), writer(path)]
    seen = set()
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        seen.add(path.read_text(encoding="utf-8"))
    alive = [process.poll() is None for process in processes]
    for process in processes:
        kill(process)
    assert alive == [True, True]
    assert seen == {OLD, NEW}
