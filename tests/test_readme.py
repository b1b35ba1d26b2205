"""What the README tells a newcomer to type works as it stands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from relrep_sym.cli import main

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")
LINES = [
    line
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
]
COMMANDS = [shlex.split(line, comments=True)[1:] for line in LINES if line.startswith("relrep ")]


def test_the_readme_is_short_and_its_files_exist() -> None:
    assert len(README.splitlines()) <= 150
    for path in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / path).is_file(), path
    targets = set(
        re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    )
    assert set(re.findall(r"`?\bmake ([a-z-]+)", README)) <= targets
    assert "source .venv/bin/activate" in LINES[1]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_of_the_readme_works(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("derivations", "generated", "examples", "relrep_sym"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    assert done.output.strip()


def test_there_are_commands() -> None:
    assert {c[0] for c in COMMANDS} >= {"list", "fit", "show", "latex", "derive", "verify"}
