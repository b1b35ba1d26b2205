"""The demonstration, which ``make derive`` runs: everything once, from the statement to the proof.

In: the folders of scripts and modules, and one for results. Out: regenerated modules; two normal
components fitted to the waiting times of Old Faithful by the module just written, with the learning
equations behind it; the LaTeX of each derivation; and last, since they take longest, a quick
certificate of each. A progress bar on a terminal, plain lines in a log.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import click

from relrep_sym.batch import certified
from relrep_sym.data import faithful
from relrep_sym.emit import files
from relrep_sym.emit.terminal import show, takes_unicode
from relrep_sym.errors import CertificateError, GenerationError, problem
from relrep_sym.regenerate import Module, Report, regenerate
from relrep_sym.scripts import Folders, load, run_file

__all__ = ["run"]

SOLVER = "normal2_relative"
START = {"pi_1": 0.5, "mu_1": 55.0, "Delta_1": 25.0, "sigma_1": 5.0, "sigma_2": 5.0}
EQUATIONS = ("averaged", "m_step")
_ELSEWHERE = "the file elsewhere, or another folder by --out"
_MEANING = {
    "pi_1": "share of the short waits",
    "mu_1": "their mean, in minutes",
    "Delta_1": "how much longer the others are",
    "mu_2": "mean of the others",
    "sigma_1": "spread of the short waits",
    "sigma_2": "spread of the others",
}


def run(folders: Folders, out: Path) -> None:
    """Run every stage. Raises CertificateError at the end if a certificate failed."""
    begin = time.perf_counter()
    out.mkdir(parents=True, exist_ok=True)
    with _stage(1, "derive and generate"):
        report = _generate(folders)
    with _stage(2, f"fit Old Faithful with {folders.generated.name}/{SOLVER}.py"):
        _fit(folders)
        _show(report.modules)
    with _stage(3, f"write the LaTeX, into {out.name}/"):
        _typeset(report.modules, out)
    with _stage(4, "certify against mpmath (quickly; `relrep verify --all --full` is thorough)"):
        failed = _certify(report.modules, folders, out)
    click.echo(f"all of it took {time.perf_counter() - begin:.1f} s")
    if failed:
        wrong = f"{len(failed)} of {len(report.modules)} certificates failed"
        raise CertificateError(problem(wrong, ", ".join(failed), f"see {out.name}/"))
    click.echo(f"\n{_next()}")


@contextmanager
def _stage(number: int, title: str) -> Iterator[None]:
    click.secho(f"{number}/4 {title}", bold=True)
    start = time.perf_counter()
    yield
    click.echo(f"    {time.perf_counter() - start:.1f} s\n")


# ----------------------------------------------------------------------------- the stages


def _generate(folders: Folders) -> Report:
    if sys.stdout.isatty():
        with click.progressbar(length=1, label="    deriving", show_eta=False) as bar:

            def step(done: int, total: int, name: str) -> None:
                bar.length = total
                bar.update(done - bar.pos)

            report = regenerate(folders.derivations, folders.generated, progress=step)
            bar.update((bar.length or 1) - bar.pos)
    else:
        report = regenerate(folders.derivations, folders.generated)
    for m in report.modules:
        equations = sum(1 for _ in m.derivation)
        lines = m.text.count("\n")
        click.echo(
            f"    {m.name:<28}{equations:>3} equations{lines:>6} lines{m.seconds:>7.2f} s"
            f"   {m.derivation.chart.title}"
        )
    changed = len(report.written) + len(report.removed)
    click.echo(f"    {len(report.modules)} modules, {changed} files changed")
    return report


def _certify(modules: Sequence[Module], folders: Folders, out: Path) -> list[str]:
    """Certificates of the files as they were written, and the names of those that fail.

    The largest come first, so that no process is left with one at the end.
    """
    names = [m.name for m in sorted(modules, key=lambda m: -len(m.derivation.chart.names))]
    written = {name: folders.generated / f"{name}.py" for name in names}
    failed = []
    live = sys.stdout.isatty()
    bar: Any = nullcontext()
    if live:
        label = "    certifying"
        bar = click.progressbar(length=len(names), label=label, item_show_func=lambda said: said)

    def measured(name: str, function: str, point: str) -> None:
        bar.update(0, f"{name}: {function}, {point}")

    lines = []
    with bar:
        judged = certified(
            names, load, folders.derivations, modules=written, progress=measured if live else None
        )
        for done in judged:
            if not done.ok:
                failed.append(done.name)
            text = files.signed(f"Text sha256: {files.UNSIGNED}\n\n{done}\n")
            files.put(out / f"{done.name}.certificate.txt", text, unless=_ELSEWHERE)
            lines.append(f"    {str(done).partition(chr(10))[0]}  ({done.seconds:.1f} s)")
            if live:
                bar.update(1)
            else:
                click.echo(lines[-1])
    if live:
        click.echo("\n".join(lines))
    click.echo(f"    {len(modules) - len(failed)} of {len(modules)} certificates pass")
    return failed


def _typeset(modules: Sequence[Module], out: Path) -> None:
    for module in modules:
        path = out / f"{module.name}.tex"
        head = f"% Generated by relrep demo. Text sha256: {files.UNSIGNED}"
        text = files.signed(f"{head}\n{module.derivation.latex()}")
        files.put(path, text, unless=_ELSEWHERE)
        click.echo(f"    {out.name}/{path.name:<32}{text.count(chr(10)):>5} lines")


def _fit(folders: Folders) -> None:
    """EM by the generated file itself, loaded from where it was written."""
    path = folders.generated / f"{SOLVER}.py"
    if not path.exists():
        right = f"a script {SOLVER}.py in {folders.derivations.name}/"
        raise GenerationError(problem("the demonstration needs a module", SOLVER, right))
    solver: Any = run_file(path, f"relrep_sym.generated.{SOLVER}")
    waiting = faithful()[:, 1]
    found = solver.fit(waiting, [START[name] for name in solver.COORDINATES])
    at = dict(zip(solver.COORDINATES, map(float, found.coords), strict=True))
    values = at | found.parameters
    click.echo(f"    {len(waiting)} waiting times, two normal components, mu_2 = mu_1 + Delta_1\n")
    click.echo(f"    {'':<10}{'start':>10}{'fitted':>12}")
    for name in _MEANING:
        start = f"{START[name]:.4g}" if name in START else ""
        click.echo(f"    {name:<10}{start:>10}{values[name]:>12.5f}   {_MEANING[name]}")
    mean = found.log_likelihood
    click.echo(f"\n    log-likelihood  {mean * len(waiting):.6f}, {mean:.8f} for each wait")
    verdict = "converged" if found.converged else "not converged"
    click.echo(f"    EM iterations   {found.iterations}, {verdict}: {found.reason}")


def _show(modules: Sequence[Module]) -> None:
    """The equations behind the fit, as they are in the paper."""
    (solver,) = (m.derivation for m in modules if m.name == SOLVER)
    width = min(shutil.get_terminal_size((100, 24)).columns, 120) - 4
    for entry in solver:
        if entry.equation.name in EQUATIONS:
            shown = show(entry.equation, width=width, unicode=takes_unicode())
            click.echo()
            click.echo("\n".join(f"    {line}".rstrip() for line in shown.splitlines()))


def _next() -> str:
    """How to call what was installed, where it is not on the PATH."""
    scripts = Path(sys.prefix) / ("Scripts" if os.name == "nt" else "bin")
    found = shutil.which("relrep")
    here = found is not None and Path(found).resolve().parent == scripts.resolve()
    if here or not (scripts / "activate").exists():
        return f"next: relrep show {SOLVER}, relrep list, relrep --help"
    try:
        shown = scripts.relative_to(Path.cwd())
    except ValueError:
        shown = scripts
    first = f"{shown}{os.sep}activate" if os.name == "nt" else f"source {shown}/activate"
    return f"""next, once in each terminal, so that `relrep` and its Python are found:

    {first}

then: relrep show {SOLVER}, relrep list, relrep --help; without it: {shown}{os.sep}relrep --help"""
