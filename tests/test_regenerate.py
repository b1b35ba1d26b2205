"""generated/ is what the derivations say, whatever fails, is killed, or runs at once."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from relrep_sym import regenerate as package
from relrep_sym.emit import files
from relrep_sym.errors import GenerationError
from relrep_sym.regenerate import Check, check, read_header, regenerate
from relrep_sym.scripts import Folders, find_folders, load, run_file, scripts

SCRIPT = '''"""Poisson, {count} components.

More about it.
"""

import relrep_sym as rs


def derivation() -> rs.Derivation:
    """The identity chart."""
    return rs.derive(rs.mixture("poisson", components={count}), name="{name}")
'''

OUTSIDE = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}


def put(project: Folders, name: str, text: str = SCRIPT, count: int = 1) -> Path:
    path = project.derivations / f"{name}.py"
    path.write_text(text.replace("{count}", str(count)).replace("{name}", name), encoding="utf-8")
    return path


@pytest.fixture
def project(tmp_path: Path) -> Folders:
    """Two scripts, and nothing generated."""
    found = Folders(tmp_path / "derivations", tmp_path / "generated")
    found.derivations.mkdir()
    found.generated.mkdir()
    put(found, "one")
    put(found, "two", count=2)
    return found


def run(project: Folders, names: list[str] | None = None) -> package.Report:
    return regenerate(project.derivations, project.generated, names)


def checked(project: Folders) -> Check:
    return check(project.derivations, project.generated)


def state(folder: Path) -> dict[str, tuple[int, int]]:
    """Every entry below a folder, with its inode and time of change."""
    return {
        str(p.relative_to(folder)): (p.stat().st_ino, p.stat().st_mtime_ns)
        for p in folder.rglob("*")
    }


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, env=OUTSIDE, check=True, capture_output=True)


# Regeneration


def test_every_script_becomes_a_module_that_works(project: Folders) -> None:
    report = run(project)
    assert [m.name for m in report.modules] == ["one", "two"]
    assert sorted(p.name for p in report.written) == ["__init__.py", "one.py", "two.py"]
    module = run_file(project.generated / "two.py", "two")
    assert module.COORDINATES == ("pi_1", "rate_1", "rate_2")
    assert np.isfinite(module.score([0, 1, 4], [0.5, 1.0, 3.0])).all()


def test_the_header_names_script_command_and_specification(project: Folders) -> None:
    run(project)
    header = read_header(project.generated / "one.py")
    assert header is not None
    assert header.origin == "derivations/one.py"
    assert header.command == "relrep regenerate one"
    assert header.template.endswith(".j2")
    assert len(header.digest) >= 32


def test_what_has_not_changed_is_not_written(project: Folders) -> None:
    run(project)
    before = state(project.generated)
    report = run(project)
    assert (report.written, report.removed, report.left) == ((), (), ())
    assert state(project.generated) == before


def test_only_what_has_changed_is_written(project: Folders) -> None:
    run(project)
    put(project, "two", count=3)
    assert sorted(p.name for p in run(project).written) == ["__init__.py", "two.py"]


def test_names_limit_what_is_rendered_and_listed(project: Folders) -> None:
    put(project, "broken", "raise RuntimeError")
    report = run(project, ["two"])
    assert [m.name for m in report.modules] == ["two"]
    assert sorted(os.listdir(project.generated)) == ["__init__.py", "two.py"]
    assert '"one"' not in (project.generated / "__init__.py").read_text(encoding="utf-8")


def test_one_name_after_the_other_is_the_same_as_all_at_once(project: Folders) -> None:
    run(project, ["one"])
    run(project, ["two"])
    assert run(project).written == ()


def test_the_package_lists_its_modules_and_loads_none(project: Folders) -> None:
    put(project, "ten10", count=2)
    put(
        project,
        "ten9",
        '''r"""A 'quote', a \\\\ and a " in it."""\n''' + SCRIPT[SCRIPT.index("import") :],
    )
    run(project)
    source = (project.generated / "__init__.py").read_text(encoding="utf-8")
    tree = ast.parse(source)
    said = ast.get_docstring(tree) or ""
    assert "one: Poisson, 1 components." in said
    assert "ten9: A 'quote', a \\\\ and a ' in it." in said
    assert not [n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom)]
    listed = run_file(project.generated / "__init__.py", "listed").__all__
    assert listed == ["one", "ten9", "ten10", "two"]


def test_no_bytecode_is_left_and_none_is_read(project: Folders) -> None:
    run(project)
    assert [p for p in project.derivations.rglob("*") if p.suffix != ".py"] == []
    path = put(project, "one", count=1)
    stamp = path.stat()
    load("one", project.derivations)
    put(project, "one", count=2)
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # same size and time as before
    assert load("one", project.derivations).model.components == 2


def test_helpers_and_hidden_files_are_no_scripts(project: Folders) -> None:
    put(project, "_common", "raise RuntimeError")
    put(project, ".hidden", "raise RuntimeError")
    assert list(scripts(project.derivations)) == ["one", "two"]


# What a script may do wrong


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x = 1\nraise RuntimeError('no')", "failed; given: RuntimeError: no (line 2)"),
        ("def derivation():\n    return 1 / 0", "ZeroDivisionError: division by zero (line 2)"),
        ("import sys\nsys.exit(3)", "failed; given: SystemExit: 3 (line 2)"),
        ("def (", "failed; given: SyntaxError"),
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module' (line 1)"),
        ("x = 1", "does not say what to derive; given: no function derivation()"),
        ("derivation = 3", "given: no function derivation()"),
        ("def derivation():\n    return 3", "returns no derivation; given: a value of type int"),
        (SCRIPT.replace("{name}", "other"), "of another name; given: other"),
        (
            "import relrep_sym as rs\ndef derivation():\n    return rs.mixture('normal', 0)",
            "DeclarationError: components is out of range",
        ),
    ],
)
def test_a_script_that_fails_is_named_and_nothing_is_written(
    project: Folders, text: str, says: str
) -> None:
    run(project)
    put(project, "one", count=2)
    put(project, "bad", text)
    before = state(project.generated)
    with pytest.raises(GenerationError) as caught:
        run(project)
    assert "derivations/bad.py" in str(caught.value)
    assert says in str(caught.value)
    assert state(project.generated) == before
    with pytest.raises(GenerationError, match=r"derivations/bad\.py"):
        checked(project)
    assert run(project, ["one"]).written[0].name == "one.py"


def test_a_name_that_is_no_script_is_refused_with_a_close_one(project: Folders) -> None:
    with pytest.raises(GenerationError, match=r"given: twoo; .* \(did you mean two\?\)"):
        run(project, ["twoo"])


@pytest.mark.parametrize("stem", ["a-b", "1st", "class", "métrique"])
def test_a_script_must_be_named_like_a_module(project: Folders, stem: str) -> None:
    put(project, stem)
    with pytest.raises(GenerationError, match="cannot name a module"):
        run(project)


def test_missing_folders_are_named(project: Folders, tmp_path: Path) -> None:
    for folders in (
        (tmp_path / "none", project.generated),
        (project.derivations, tmp_path / "none"),
    ):
        for function in (regenerate, check):
            with pytest.raises(GenerationError, match=r"no such folder; given: .*none"):
                function(*folders)


# What lies in generated/ besides


def test_orphans_go_unless_names_are_given_and_strangers_stay(project: Folders) -> None:
    run(project)
    (project.derivations / "two.py").unlink()
    for name in ("notes.py", "data.csv", ".gitattributes"):
        (project.generated / name).write_text("x = 1\n", encoding="utf-8")
    (project.generated / "sub").mkdir()
    (project.generated / "__pycache__").mkdir()
    strangers = ["data.csv", "notes.py", "sub"]

    report = run(project, ["one"])
    assert report.removed == ()
    assert [p.name for p in report.left] == strangers
    assert (project.generated / "two.py").exists()

    report = run(project)
    assert [p.name for p in report.removed] == ["two.py"]
    assert [p.name for p in report.left] == strangers
    every = {"__init__.py", "one.py", ".gitattributes", "__pycache__", *strangers}
    assert set(os.listdir(project.generated)) == every


def test_a_module_that_a_user_wrote_by_derivation_write_is_no_orphan(project: Folders) -> None:
    load("one", project.derivations).write(project.generated / "mine.py")
    report = run(project)
    assert report.removed == ()
    assert [p.name for p in report.left] == ["mine.py"]


# The check. Each mistake is found, and the command that is printed mends it


def mend(project: Folders, command: str) -> None:
    match shlex.split(command):
        case ["relrep", "regenerate", *names]:
            force = "--force" in names
            before = state(project.generated)
            if force:  # a user's edits are not lost unless she says so
                with pytest.raises(GenerationError, match="elsewhere or in git, or overwrite=True"):
                    run(project)
                assert state(project.generated) == before
            chosen = [n for n in names if n != "--force"]
            regenerate(project.derivations, project.generated, chosen or None, overwrite=force)
        case ["git", "add", path]:
            git(project.generated.parent, "add", path)
        case ["move", path, "elsewhere"]:
            (project.generated.parent / path).unlink()
        case _:
            pytest.fail(f"no command that is known: {command}")


def missing(project: Folders) -> None:
    (project.generated / "two.py").unlink()


def new_script(project: Folders) -> None:
    put(project, "three", count=3)


def stale(project: Folders) -> None:
    put(project, "two", count=3)


def edited(project: Folders) -> None:
    with (project.generated / "two.py").open("a", encoding="utf-8") as stream:
        stream.write("# a note\n")


def edited_header(project: Folders) -> None:
    path = project.generated / "two.py"
    path.write_text(path.read_text("utf-8").replace("Specification", "S"), encoding="utf-8")


def not_utf8(project: Folders) -> None:
    (project.generated / "two.py").write_bytes(b"\xff")


def windows_line_ends(project: Folders) -> None:
    path = project.generated / "two.py"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))


def old_template(project: Folders) -> None:
    """What an older template would have written, signed by it."""
    path = project.generated / "two.py"
    text = re.sub(r"Text sha256: \w+", f"Text sha256: {files.UNSIGNED}", path.read_text("utf-8"))
    path.write_text(files.signed(text.replace("module.py.j2", "old.py.j2")), encoding="utf-8")


def edited_package(project: Folders) -> None:
    (project.generated / "__init__.py").write_text("import os\n", encoding="utf-8")


def missing_package(project: Folders) -> None:
    (project.generated / "__init__.py").unlink()


def orphan(project: Folders) -> None:
    (project.derivations / "two.py").unlink()


def stranger(project: Folders) -> None:
    (project.generated / "notes.py").touch()


def untracked(project: Folders) -> None:
    git(project.generated.parent, "init")
    git(project.generated.parent, "add", "derivations", "generated")
    git(project.generated.parent, "rm", "--cached", "generated/two.py")


def untracked_package(project: Folders) -> None:
    git(project.generated.parent, "init")
    git(project.generated.parent, "add", "derivations", "generated/one.py", "generated/two.py")


FAULTS = {
    missing: [("missing", "two.py", "relrep regenerate two")],
    new_script: [("missing", "three.py", "relrep regenerate three")],
    stale: [
        ("stale", "two.py", "relrep regenerate two"),
        ("stale", "__init__.py", "relrep regenerate"),
    ],
    edited: [("edited", "two.py", "relrep regenerate two --force")],
    edited_header: [("edited", "two.py", "relrep regenerate two --force")],
    not_utf8: [("edited", "two.py", "relrep regenerate two --force")],
    windows_line_ends: [("edited", "two.py", "relrep regenerate two --force")],
    old_template: [("stale", "two.py", "relrep regenerate two")],
    edited_package: [("edited", "__init__.py", "relrep regenerate --force")],
    missing_package: [("missing", "__init__.py", "relrep regenerate")],
    orphan: [
        ("stale", "__init__.py", "relrep regenerate"),
        ("orphan", "two.py", "relrep regenerate"),
    ],
    stranger: [("stranger", "notes.py", "move generated/notes.py elsewhere")],
    untracked: [("untracked", "two.py", "git add generated/two.py")],
    untracked_package: [("untracked", "__init__.py", "git add generated/__init__.py")],
}
needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


@pytest.mark.parametrize(
    "fault",
    [pytest.param(f, marks=needs_git if "untracked" in f.__name__ else ()) for f in FAULTS],
    ids=lambda f: f.__name__,
)
def test_check_finds_it_and_says_what_mends_it(project: Folders, fault) -> None:  # type: ignore[no-untyped-def]
    run(project)
    assert checked(project) == Check((), 2)
    fault(project)
    before = state(project.generated)
    found = checked(project)
    assert state(project.generated) == before
    assert [(f.kind, f.path.name, f.mend) for f in found.findings] == FAULTS[fault]
    assert not found.ok
    for finding in found.findings:
        assert str(finding).startswith(f"generated/{finding.path.name} is {finding.kind}: ")
        mend(project, finding.mend)
    assert checked(project).ok


@needs_git
def test_edits_that_git_has_may_go(project: Folders) -> None:
    """What git holds is not lost: after a merge the modules are simply written anew."""
    run(project)
    root = project.generated.parent
    git(root, "init")
    edited(project)
    (project.generated / "__init__.py").write_text(
        (project.generated / "__init__.py").read_text("utf-8") + "# merged\n", encoding="utf-8"
    )
    git(root, "add", "derivations", "generated")
    with pytest.raises(GenerationError, match=r"two\.py exists, and it was edited since"):
        run(project, ["two"])  # added, and in no commit yet
    git(root, "-c", "user.name=n", "-c", "user.email=e@x", "commit", "-q", "-m", "merged")
    run(project)
    assert checked(project).ok
    (project.generated / "two.py").write_text("mine = 1\n", encoding="utf-8")
    git(root, "-c", "user.name=n", "-c", "user.email=e@x", "commit", "-q", "-a", "-m", "mine")
    with pytest.raises(GenerationError, match=r"two\.py exists, and relrep did not write it"):
        run(project)


def test_an_edited_orphan_is_left(project: Folders) -> None:
    run(project)
    edited(project)
    orphan(project)
    path = project.generated / "two.py"
    assert [f.mend for f in checked(project).findings if f.path == path] == [
        "move generated/two.py elsewhere"
    ]
    report = run(project)
    assert report.removed == ()
    assert report.left == (path,)
    assert path.read_text("utf-8").endswith("# a note\n")


def test_check_of_one_name_looks_at_no_other(project: Folders) -> None:
    run(project)
    edited(project)
    orphaned = put(project, "three")
    run(project, ["three"])
    orphaned.unlink()
    assert check(project.derivations, project.generated, ["one"]).ok
    assert not check(project.derivations, project.generated, ["two"]).ok


def test_scraps_are_no_findings(project: Folders) -> None:
    run(project)
    scrap = project.generated / f".relrep-{os.getppid()}-0123abcd.tmp"
    scrap.touch()
    assert checked(project).ok
    run(project)
    assert scrap.exists()  # its writer lives


@needs_git
def test_a_git_that_cannot_answer_is_noted(project: Folders) -> None:
    run(project)
    (project.generated.parent / ".git").write_text("nonsense", encoding="utf-8")
    found = checked(project)
    assert found.ok
    assert found.note.startswith("git could not be asked what it tracks: ")


@needs_git
def test_a_hook_s_environment_does_not_mislead(
    project: Folders, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run(project)
    untracked(project)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    assert [f.kind for f in checked(project).findings] == ["untracked"]


# Folders


def test_folders_are_found_from_below(project: Folders) -> None:
    below = project.derivations.parent / "a" / "b"
    below.mkdir(parents=True)
    assert find_folders(below) == project
    assert find_folders(project.generated) == project


def test_failing_that_the_checkout_is_taken(tmp_path: Path) -> None:
    root = Path(package.__file__).parents[1]
    assert find_folders(tmp_path) == Folders(root / "derivations", root / "generated")


def test_failing_that_too_it_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relrep_sym.scripts.__file__", str(tmp_path / "lib" / "x" / "scripts.py"))
    with pytest.raises(GenerationError, match="no folders derivations/ and generated/"):
        find_folders(tmp_path)


# Killed, and at once. One process imports SymPy and forks the others

FORKS = """
import json, os, random, signal, sys, time
from pathlib import Path
from relrep_sym.emit import files
from relrep_sym.errors import RelrepError
from relrep_sym.regenerate import regenerate
import relrep_sym.api

root, times = Path(sys.argv[1]), int(sys.argv[2])
old, new, out = root / "derivations", root / "other", root / "generated"
texts = {}
for folder in (old, new, old):
    report = regenerate(folder, out)
    for path in out.glob("*.py"):
        texts.setdefault(path.name, set()).add(path.read_bytes())

def forked(*sources, rounds=10**9):
    pid = os.fork()
    if pid:
        return pid
    try:
        for _ in range(rounds):
            for folder in sources:
                regenerate(folder, out)
        os._exit(0)
    except BaseException as why:
        print(repr(why), file=sys.stderr, flush=True)
        os._exit(1)

def whole():
    names = {p.name for p in out.iterdir() if not p.name.startswith(".")}
    return names == set(texts) and all((out / n).read_bytes() in t for n, t in texts.items())

chance, broken, scraps = random.Random(times), 0, 0
for _ in range(times):
    pid = forked(new, old)
    time.sleep(chance.uniform(0, 0.2))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    broken += not whole()
    scraps += len(list(out.glob(".relrep-*")))
pair = [forked(new, old, rounds=3), forked(old, new, rounds=3)]
codes = [os.waitpid(pid, 0)[1] for pid in pair]
between = whole()
pair = [forked(old, rounds=2), forked(old, rounds=2)]
codes += [os.waitpid(pid, 0)[1] for pid in pair]
print(json.dumps({
    "broken": broken, "codes": codes, "between": between,
    "left": sorted(p.name for p in out.iterdir() if p.name.startswith(".")),
    "versions": sorted(map(len, texts.values())),
    "generated": "relrep_sym.generated" in sys.modules,
}))
"""


def forks(project: Folders, times: int) -> None:
    other = Folders(project.derivations.parent / "other", project.generated)
    other.derivations.mkdir()
    put(other, "one", count=2)
    put(other, "two", count=3)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKS, str(project.generated.parent), str(times)],
        capture_output=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        timeout=600,
    )
    assert (done.returncode, done.stderr.decode()) == (0, "")
    said = json.loads(done.stdout)
    assert said["versions"] == [2, 2, 2]  # old and new differ in every file
    assert said["broken"] == 0
    assert said["codes"] == [0, 0, 0, 0]
    assert said["between"]
    assert said["left"] == []
    assert not said["generated"]  # what is written is never imported
    assert checked(project).ok


def test_killed_or_at_once_every_file_is_whole(project: Folders) -> None:
    forks(project, 12)


@pytest.mark.slow
def test_killed_two_hundred_times_every_file_is_whole(project: Folders) -> None:
    forks(project, 200)


def test_two_interpreters_write_the_same_bytes(project: Folders) -> None:
    script = (
        "import sys; from pathlib import Path; from relrep_sym.regenerate import regenerate; "
        "regenerate(Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    texts = []
    for seed in ("1", "2"):
        command = [sys.executable, "-c", script, str(project.derivations), str(project.generated)]
        subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": seed})
        texts.append({p.name: p.read_bytes() for p in project.generated.glob("*.py")})
        shutil.rmtree(project.generated)
        project.generated.mkdir()
    assert texts[0] == texts[1]
    assert len(texts[0]) == 3
