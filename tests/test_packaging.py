"""The wheel, built from the source distribution, holds every module and no deleted one."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).resolve().parents[1]

LOOK = """
import relrep_sym, relrep_sym.data, relrep_sym.generated
print(relrep_sym.__file__)
print(relrep_sym.generated.__file__)
print(len(relrep_sym.data.faithful()))
"""


def run(*command: object, cwd: Path) -> str:
    """Standard output of a command that must succeed."""
    done = subprocess.run([str(c) for c in command], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_wheel_is_whole(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in ("relrep_sym", "generated"):
        shutil.copytree(ROOT / name, tree / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copy(ROOT / name, tree)
    stale = tree / "build" / "lib" / "relrep_sym" / "deleted.py"
    stale.parent.mkdir(parents=True)
    stale.touch()

    run(sys.executable, "-m", "build", "--outdir", tmp_path / "dist", tree, cwd=tmp_path)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    inside = {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}
    modules = {path.relative_to(tree).as_posix() for path in tree.glob("relrep_sym/**/*")}
    modules = {name for name in modules if (tree / name).is_file()}
    modules |= {f"relrep_sym/{p.relative_to(tree)}" for p in tree.glob("generated/**/*.py")}
    assert inside == modules
    assert project["project"]["version"] in wheel.name

    # The dependencies are those of this environment; the package itself is the wheel's.
    target = tmp_path / "installed"
    run(
        *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", target),
        wheel,
        cwd=tmp_path,
    )
    probe = f"import sys; sys.path.insert(0, {str(target)!r})\n{LOOK}"
    package, generated, rows = run(sys.executable, "-c", probe, cwd=tmp_path).splitlines()
    assert Path(package) == target / "relrep_sym" / "__init__.py"
    assert Path(generated) == target / "relrep_sym" / "generated" / "__init__.py"
    assert rows == "272"
