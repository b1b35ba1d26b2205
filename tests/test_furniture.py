"""What stands around the package agrees with itself: one version, one package list, the data."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

import relrep_sym
from relrep_sym import data

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def first_match(pattern: str, name: str) -> str:
    found = re.search(pattern, (ROOT / name).read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert found, f"{name} has nothing like {pattern}"
    return found[1]


def python_folders(folder: Path, name: str) -> set[str]:
    """Dotted names of the folders under ``folder`` that hold Python files, itself included."""
    return {
        ".".join([name, *path.parent.relative_to(folder).parts]) for path in folder.rglob("*.py")
    }


def test_one_version_everywhere() -> None:
    version = PROJECT["project"]["version"]
    assert first_match(r"^version: (\S+)$", "CITATION.cff") == version
    assert first_match(r"^## (\S+)", "CHANGELOG.md") == version
    assert relrep_sym.__version__ == version


def test_one_license_everywhere() -> None:
    assert PROJECT["project"]["license"] == first_match(r"^license: (\S+)$", "CITATION.cff")
    assert PROJECT["project"]["license"] == "BSD-3-Clause"
    assert first_match(r"^(.+)$", "LICENSE") == "BSD 3-Clause License"


def test_generated_is_marked_as_such_and_has_unix_line_endings() -> None:
    rules = (ROOT / ".gitattributes").read_text(encoding="utf-8").splitlines()
    (rule,) = [line.split()[1:] for line in rules if line.startswith("generated/**")]
    assert {"linguist-generated=true", "text", "eol=lf"} <= set(rule)


def test_the_package_list_is_what_is_on_disk() -> None:
    on_disk = python_folders(ROOT / "relrep_sym", "relrep_sym")
    on_disk |= python_folders(ROOT / "generated", "relrep_sym.generated")
    assert sorted(PROJECT["tool"]["setuptools"]["packages"]) == sorted(on_disk)
    for package in on_disk - {"relrep_sym.generated"}:
        assert ROOT.joinpath(*package.split("."), "__init__.py").exists(), package


def test_every_template_is_packaged() -> None:
    other = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "relrep_sym").rglob("*")
        if path.is_file() and path.suffix not in {".py", ".pyc"}
    }
    listed = set()
    for package, patterns in PROJECT["tool"]["setuptools"]["package-data"].items():
        folder = ROOT.joinpath(*package.split("."))
        for pattern in patterns:
            listed |= {path.relative_to(ROOT).as_posix() for path in folder.glob(pattern)}
    assert other == listed


def test_old_faithful_has_272_eruptions() -> None:
    lines = files("relrep_sym.data").joinpath("faithful.csv").read_text("ascii").splitlines()
    assert lines[0] == '"eruptions","waiting"'
    assert len(lines) == 1 + 272
    assert data.faithful().shape == (272, 2)


def test_no_generated_module_loads_sympy() -> None:
    script = """
import importlib, pkgutil, sys
import relrep_sym.generated as generated
for module in pkgutil.iter_modules(generated.__path__):
    importlib.import_module(f"relrep_sym.generated.{module.name}")
print(sorted({"sympy", "mpmath", "jinja2", "scipy"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


@pytest.mark.slow
def test_the_tests_have_the_same_names_in_every_process() -> None:
    """Several processes share the tests by name: no name may hold an address or a set's order."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "slow or not slow"]
    found = []
    for seed in ("1", "2"):
        done = subprocess.run(
            [*command, "-p", "no:cacheprovider", "-p", "no:xdist"],
            cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-2000:]
        found.append([line for line in done.stdout.splitlines() if "::" in line])
    assert found[0] == found[1]
    assert len(set(found[0])) == len(found[0]) > 0
    assert not [name for name in found[0] if re.search(r"0x[0-9a-fA-F]{6}| object at ", name)]
