"""The command line: what is printed, what is written, what is refused, and with which exit code."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import relrep_sym as rs
from relrep_sym import certify
from relrep_sym.cli import main
from relrep_sym.scripts import Folders, find_folders, run_file

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "normal2_square.toml"

SCRIPT = '''"""Poisson, {count} components."""

import relrep_sym as rs


def derivation() -> rs.Derivation:
    """The identity chart."""
    return rs.derive(rs.mixture("poisson", components={count}), name="{name}")
'''


def relrep(*arguments: object) -> Result:
    """A command, in this process; an exception that is no error of the package's comes out."""
    return CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)


def process(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A command, in a process of its own."""
    script = "from relrep_sym.cli import main; main(prog_name='relrep')"
    command = [sys.executable, "-c", script, *map(str, arguments)]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


def refusal(*arguments: object) -> str:
    """The one line of a command that is refused."""
    done = relrep(*arguments)
    assert done.exit_code == 2, done.output
    assert done.output.startswith("Error: ")
    assert done.output.count("\n") == 1
    return done.output


def put(project: Folders, name: str, count: int = 1) -> Path:
    path = project.derivations / f"{name}.py"
    path.write_text(SCRIPT.replace("{count}", str(count)).replace("{name}", name), "utf-8")
    return path


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folders:
    """Two scripts, nothing generated, and the working directory beside them."""
    found = Folders(tmp_path / "derivations", tmp_path / "generated")
    found.derivations.mkdir()
    found.generated.mkdir()
    put(found, "one")
    put(found, "two", count=2)
    monkeypatch.chdir(tmp_path)
    return found


@dataclass(frozen=True)
class FakeCertificate:
    ok: bool = True

    def __str__(self) -> str:
        return "fake passes: nothing was measured" if self.ok else "fake FAILS: of course"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Certificates that measure nothing, and with what they were asked for; in this process."""
    monkeypatch.setenv("RELREP_NUM_THREADS", "1")
    calls: list[dict[str, Any]] = []

    def fake(derivation: rs.Derivation, **options: Any) -> FakeCertificate:
        calls.append({"name": derivation.name, **options})
        return FakeCertificate(ok=derivation.name != "bad")

    monkeypatch.setattr(certify, "certify_derivation", fake)
    monkeypatch.setattr(
        certify, "table", lambda certificates: f"{len(list(certificates))} of them\n"
    )
    return calls


# Help


@pytest.mark.parametrize("command", ["", *main.commands])
def test_help_teaches_with_an_example(command: str) -> None:
    done = relrep(*command.split(), "--help")
    assert done.exit_code == 0
    assert f"\n  relrep {command}".rstrip() in done.output
    assert max(map(len, done.output.splitlines())) <= 80


def test_the_commands_are_these() -> None:
    assert set(main.commands) == {
        *("cite", "demo", "derive", "fit", "latex", "list", "regenerate", "show", "verify")
    }


def test_the_version_is_the_package_s() -> None:
    assert relrep("--version").output == f"relrep, version {rs.__version__}\n"


@pytest.mark.parametrize("module", ["relrep_sym", "relrep_sym.cli"])
def test_python_runs_it_by_the_package_s_name(module: str) -> None:
    command = [sys.executable, "-m", module, "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: relrep [OPTIONS] COMMAND")


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["derive", "--help"]])
def test_help_and_lists_do_not_wait_for_sympy(arguments: list[str]) -> None:
    script = (
        "import sys\nfrom relrep_sym.cli import main\n"
        f"main({arguments!r}, standalone_mode=False)\n"
        "assert not {'sympy', 'mpmath', 'numpy', 'jinja2'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


# Requests


def test_a_request_goes_to_standard_output_or_to_files(tmp_path: Path) -> None:
    module, latex = tmp_path / "m.py", tmp_path / "m.tex"
    done = relrep("derive", EXAMPLE, "-o", module, "--latex", latex)
    assert done.exit_code == 0
    assert done.output == f"wrote {module}\nwrote {latex}\n"
    here = relrep("derive", EXAMPLE, "-o", tmp_path / "normal2_square.py")
    assert here.exit_code == 0
    printed = relrep("derive", EXAMPLE).output
    assert printed == (tmp_path / "normal2_square.py").read_text(encoding="utf-8")
    compiled = run_file(module, "m")
    assert compiled.COORDINATES == ("pi_1", "mu_1", "Delta_1")
    assert compiled.VIEW == ("v", "u")
    first, rest = latex.read_text(encoding="utf-8").split("\n", 1)
    assert first == (
        "% Generated by relrep from normal2_square.toml. Do not edit: "
        "`relrep derive normal2_square.toml --latex m.tex` writes it anew."
    )
    assert r"\begin{document}" in rest


def test_the_header_names_the_command_that_writes_the_file(tmp_path: Path) -> None:
    relrep("derive", EXAMPLE, "-o", tmp_path / "mine.py")
    text = (tmp_path / "mine.py").read_text("utf-8")
    assert "\n`relrep derive normal2_square.toml -o mine.py` writes it anew.\n" in text
    relrep("derive", EXAMPLE, "-o", tmp_path / "m`i.py")
    text = (tmp_path / "m`i.py").read_text("utf-8")
    assert "\n`relrep derive normal2_square.toml -o a file` writes it anew.\n" in text


def test_with_latex_alone_no_module_is_printed(tmp_path: Path) -> None:
    done = relrep("derive", EXAMPLE, "--latex", tmp_path / "m.tex")
    assert done.output == f"wrote {tmp_path / 'm.tex'}\n"


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.toml")), ids=lambda p: p.stem)
def test_every_example_is_derived_typeset_shown_and_cited(path: Path, tmp_path: Path) -> None:
    module = tmp_path / "m.py"
    relrep("derive", path, "-o", module, "--latex", tmp_path / "m.tex")
    compile(module.read_text("utf-8"), "m.py", "exec")
    assert "\\end{document}" in (tmp_path / "m.tex").read_text("utf-8")
    assert "\\label{eq:" in relrep("latex", path, "--label", "averaged", "--assumptions").output
    assert "averaged learning equations" in relrep("show", path, "--equation", "averaged").output
    assert "@misc{EsserNielsen2022," in relrep("cite", path).output


def test_symbols_of_a_request_are_used_and_checked(tmp_path: Path) -> None:
    path = ROOT / "examples" / "normal3_symbols.toml"
    text = relrep("latex", path, "--label", "chart").output
    assert "m_k &= m_{k-1} + \\delta_{k-1}^2 + \\frac{1}{4}" in text
    assert "mu" not in text
    text = relrep("latex", path, "--label", "chart", "--symbol", "mu=\\vec m").output
    assert "\\vec m_k &= \\vec m_{k-1} + \\delta_{k-1}^2" in text
    bad = tmp_path / "bad.toml"
    for line, says in (
        ("mu = '\\input{x}'", r"\input is more than a sign"),
        ("nought = 'n'", "names nothing that is printed; given: nought"),
        ("mu = 3", "of a wrong type"),
    ):
        bad.write_text(path.read_text("utf-8").rpartition("[symbols]")[0] + f"[symbols]\n{line}\n")
        said = refusal("latex", bad)
        assert "[symbols]" in said
        assert says in said


def test_what_relrep_wrote_is_written_again(tmp_path: Path) -> None:
    module, latex = tmp_path / "m.py", tmp_path / "m.tex"
    arguments = ["-o", module, "--latex", latex]
    relrep("derive", EXAMPLE, *arguments)
    assert relrep("derive", EXAMPLE, *arguments).output == (
        f"unchanged: {module}\nunchanged: {latex}\n"
    )
    done = relrep("derive", ROOT / "examples" / "poisson3_log.toml", *arguments)
    assert done.output == f"wrote {module}\nwrote {latex}\n"


@pytest.mark.parametrize("option", ["-o", "--latex"])
@pytest.mark.parametrize("content", ["", "mine\n", "\udcff"])
def test_what_a_user_wrote_is_kept_unless_she_says_so(
    tmp_path: Path, option: str, content: str
) -> None:
    path = tmp_path / "mine"
    path.write_text(content, encoding="utf-8", errors="surrogateescape")
    before = path.read_bytes()
    assert "relrep did not write it" in refusal("derive", EXAMPLE, option, path)
    assert path.read_bytes() == before
    assert relrep("derive", EXAMPLE, option, path, "--force").exit_code == 0
    assert path.read_bytes() != before


@pytest.mark.parametrize("option", ["-o", "--latex"])
def test_an_edited_file_is_kept_unless_she_says_so(tmp_path: Path, option: str) -> None:
    path = tmp_path / "mine"
    relrep("derive", EXAMPLE, option, path)
    edited = path.read_text("utf-8") + "% a note\n"
    path.write_text(edited, encoding="utf-8")
    assert "it was edited since relrep wrote it" in refusal("derive", EXAMPLE, option, path)
    assert path.read_text("utf-8") == edited
    assert relrep("derive", EXAMPLE, option, path, "--force").exit_code == 0


def test_what_is_no_file_is_not_written_to(tmp_path: Path) -> None:
    for path in (tmp_path, Path(os.devnull)):
        assert "cannot be written to" in refusal("derive", EXAMPLE, "-o", path, "--force")
    assert "No such file or directory" in refusal("derive", EXAMPLE, "-o", tmp_path / "no" / "m.py")


def test_a_module_and_its_latex_are_two_files(tmp_path: Path) -> None:
    path = tmp_path / "one.py"
    same = tmp_path / "." / ".." / tmp_path.name / "one.py"
    assert "-o and --latex name one file" in refusal("derive", EXAMPLE, "-o", path, "--latex", same)
    assert not path.exists()


@pytest.mark.parametrize(
    "name", ['x"""; import os; """.toml', "x\nimport os\n.toml", "`x`.toml", "ü.toml", " .toml"]
)
def test_a_file_s_name_cannot_get_into_the_source(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(EXAMPLE.read_bytes())
    text = relrep("derive", path).output
    assert "Generated by a request from the template" in text
    assert relrep("derive", path, "--latex", tmp_path / "m.tex").exit_code == 0
    assert (
        (tmp_path / "m.tex").read_text("utf-8").startswith("% Generated by relrep from a request.")
    )


MAP = """
name = "n"
[model]
family = "normal"
components = 2
scales = 1
[chart]
kind = "map"
[chart.map]
pi_1 = "v"
mu_2 = "b"
"""


@pytest.mark.parametrize(
    "text",
    [
        MAP + "mu_1 = \"__import__('os').system('touch witness')\"",
        MAP + 'mu_1 = "a"\n"x); import os" = "b"',
        MAP + 'mu_1 = "' + "a + " * 250_000 + 'a"',
        MAP + 'mu_1 = "' + "(" * 5000 + "a" + ")" * 5000 + '"',
        MAP + "mu_1 = " + "[" * 15_000,
        MAP + 'mu_1 = "9**9**9**9"',
        MAP,
        MAP + 'mu_1 = "a"\nmu_3 = "b"',
        MAP + 'mu_1 = "a"\n"\\u001b[31m\\r\\n" = "b"',
        "",
        "#" * 1_000_001,
        "\x00",
    ],
    ids=range(12),
)
def test_attacks_are_refused_in_one_line_and_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("r.toml").write_text(text, encoding="utf-8")
    start = time.thread_time()
    message = refusal("derive", "r.toml", "-o", "m.py")
    assert time.thread_time() - start < 1.0
    assert message.startswith("Error: r.toml: ")
    assert message.rstrip("\n").isprintable()
    assert os.listdir() == ["r.toml"]


def test_errors_go_to_standard_error_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(MAP, encoding="utf-8")
    done = process("derive", "r.toml", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "Error: r.toml: [chart] map: the map misses mu_1; given: pi_1, mu_2; "
        "expected: an expression for each of pi_1, mu_1, mu_2\n"
    )


# Regeneration


def test_regenerate_says_what_it_did(project: Folders) -> None:
    done = relrep("regenerate")
    assert done.output.splitlines() == [
        f"wrote generated/{name}.py" for name in ("one", "two", "__init__")
    ]
    assert relrep("regenerate").output == "nothing to do: 2 modules up to date\n"
    (project.derivations / "two.py").unlink()
    (project.generated / "notes.py").touch()
    assert relrep("regenerate").output.splitlines() == [
        "wrote generated/__init__.py",
        "removed generated/two.py: its script is gone",
        "left generated/notes.py: relrep did not write it",
    ]


def test_regenerate_some(project: Folders) -> None:
    assert relrep("regenerate", "one").exit_code == 0
    assert sorted(os.listdir(project.generated)) == ["__init__.py", "one.py"]
    assert "(did you mean two?)" in refusal("regenerate", "twoo")


def test_check_exits_with_one_and_says_what_mends(project: Folders) -> None:
    relrep("regenerate")
    done = relrep("regenerate", "--check")
    assert (done.exit_code, done.output) == (0, "generated/ is up to date: 2 modules\n")
    (project.generated / "one.py").unlink()
    with (project.generated / "two.py").open("a", encoding="utf-8") as stream:
        stream.write("\n")
    done = relrep("regenerate", "--check")
    assert done.exit_code == 1
    assert done.output == (
        "generated/one.py is missing: there is no such file\n"
        "    relrep regenerate one\n"
        "generated/two.py is edited: its text is not what `relrep regenerate` gives\n"
        "    relrep regenerate two --force\n"
    )
    assert not (project.generated / "one.py").exists()


def test_a_script_that_fails_is_one_line(project: Folders) -> None:
    put(project, "one").write_text("def derivation():\n    return 1 / 0\n", "utf-8")
    for arguments in (["regenerate"], ["regenerate", "--check"], ["show", "one"]):
        message = refusal(*arguments)
        assert "derivations/one.py failed; given: ZeroDivisionError" in message
        assert "(line 2)" in message


def test_folders_may_be_said_but_only_both(project: Folders, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    done = relrep("regenerate", "--derivations", project.derivations, "--generated", other)
    assert done.exit_code == 0
    assert sorted(os.listdir(other)) == ["__init__.py", "one.py", "two.py"]
    done = relrep("regenerate", "--generated", other)
    assert done.exit_code == 2
    assert "are given together" in done.output


def test_the_folders_of_this_checkout_are_found() -> None:
    assert find_folders(ROOT / "tests") == Folders(ROOT / "derivations", ROOT / "generated")


# Certificates


def test_verify_passes_its_options_on(project: Folders, quick: list[dict[str, Any]]) -> None:
    done = relrep("verify", "two", "one", "--digits", 40, "--full")
    assert done.exit_code == 0
    assert done.output.count("fake passes") == 2
    assert [c["name"] for c in quick] == ["two", "one"]
    assert all(c["digits"] == 40 and c["full"] for c in quick)


def test_a_failed_certificate_is_an_error(project: Folders, quick: list[dict[str, Any]]) -> None:
    put(project, "bad")
    (project.derivations.parent / "docs").mkdir()
    done = relrep("verify", "--all", "--update")
    assert done.exit_code == 2
    assert done.output.count("fake passes") == 2
    assert "Error: certificates failed; given: bad; expected: " in done.output
    assert os.listdir("docs") == []


def test_update_rewrites_the_table(project: Folders, quick: list[dict[str, Any]]) -> None:
    (project.derivations.parent / "docs").mkdir()
    done = relrep("verify", "--all", "--update")
    assert done.exit_code == 0
    assert done.output.endswith("wrote docs/certificates.md\n")
    assert Path("docs/certificates.md").read_text("utf-8") == "2 of them\n"


@pytest.mark.parametrize("arguments", [[], ["one", "--all"], ["one", "--update"]])
def test_verify_wants_names_or_all(project: Folders, arguments: list[str]) -> None:
    done = relrep("verify", *arguments)
    assert done.exit_code == 2
    assert "Usage: " in done.output


def test_a_true_certificate(project: Folders) -> None:
    done = relrep("verify", "one")
    assert done.exit_code == 0
    assert "one passes: at most" in done.output
    assert "score" in done.output


# Reading


def test_list_has_a_line_for_each(project: Folders) -> None:
    relrep("regenerate", "two")
    assert relrep("list").output == (
        "one  ?  not generated yet  Poisson, 1 components.\n"
        "two  3  identity chart     Poisson, 2 components.\n"
    )


def test_latex_is_a_document_or_a_fragment(project: Folders, tmp_path: Path) -> None:
    whole = relrep("latex", "two").output
    assert whole.startswith("\\documentclass")
    for label in ("score", "eq:two:score"):
        fragment = relrep("latex", "two", "--label", label).output
        assert "\\label{eq:two:score}" in fragment
        equation, said = fragment.split("% ", 1)
        assert equation.strip() in whole
        assert said.startswith("The coordinates $\\lambda$: ")
    path = tmp_path / "two.tex"
    assert relrep("latex", "two", "-o", path).output == "wrote two.tex\n"
    assert path.read_text("utf-8").split("\n", 2)[2] == whole
    assert "no equation has this label; given: nonsense" in refusal(
        "latex", "two", "--label", "nonsense"
    )


def test_show_prints_equations_with_label_and_source(project: Folders) -> None:
    done = relrep("show", "two")
    assert done.output.startswith("two\n  model        mixture of 2 poisson components")
    assert "label      eq:two:averaged" in done.output
    assert "source     EsserNielsen2022, Eq. (2)" in done.output
    assert "EsserNielsen2022: Esser and Nielsen, On the Influence" in done.output
    one = relrep("show", "two", "score").output
    assert one == relrep("show", "two", "eq:two:score").output
    assert one.startswith("score: ")
    assert "averaged" not in one
    message = refusal("show", "two", "scor")
    assert "two has no such equation; given: scor; expected: chart, jacobian" in message


def test_show_is_plain_where_there_is_no_unicode(project: Folders) -> None:
    script = "from relrep_sym.cli import main; main(['show', 'two'])"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"eta E_q[" in done.stdout


# Everything


def test_the_demonstration(project: Folders, quick: list[dict[str, Any]], tmp_path: Path) -> None:
    assert "the demonstration needs a module; given: normal2_relative" in relrep("demo").output
    script = ROOT / "derivations" / "normal2_relative.py"
    (project.derivations / script.name).write_bytes(script.read_bytes())
    done = relrep("demo", "--out", "results")
    assert done.exit_code == 0
    text = done.output
    for said in (
        "1/4 derive and generate",
        "3 modules, ",
        "3 of 3 certificates pass",
        "results/normal2_relative.tex",
        "272 waiting times",
        "pi_1             0.5     0.36089   share of the short waits",
        "mu_2                    80.09112",
        "averaged: averaged learning equations",
        "m_step: joint M-step",
        "log-likelihood  -1034.0017",
        "converged: a step gained",
        "all of it took",
    ):
        assert said in text, said
    order = [text.index(f"{n}/4 ") for n in (1, 2, 3, 4)]
    assert order == sorted(order)
    assert order[1] < text.index("272 waiting") < text.index("m_step:") < order[2]
    names = [
        f"{n}.{e}" for n in ("normal2_relative", "one", "two") for e in ("certificate.txt", "tex")
    ]
    assert sorted(os.listdir("results")) == names
    judged = {c["name"]: c["module"] for c in quick}
    assert judged["two"].__file__ == str(project.generated / "two.py")


def test_a_failed_certificate_shows_in_the_demonstration(
    project: Folders, quick: list[dict[str, Any]]
) -> None:
    put(project, "bad")
    script = ROOT / "derivations" / "normal2_relative.py"
    (project.derivations / script.name).write_bytes(script.read_bytes())
    done = relrep("demo")
    assert done.exit_code == 2
    assert "EM iterations" in done.output
    assert "Error: 1 of 4 certificates failed; given: bad; expected: see out/\n" in done.output


@pytest.mark.slow
def test_the_whole_demonstration_takes_less_than_ninety_seconds(tmp_path: Path) -> None:
    start = os.times().children_user
    generated = tmp_path / "generated"
    generated.mkdir()
    folders = ["--derivations", ROOT / "derivations", "--generated", generated]
    done = process("demo", *folders, "--out", tmp_path / "out", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert os.times().children_user - start < 90
