"""The demonstration, which ``make derive`` runs: everything once, from the statement to a fit.

In: the folders of scripts and modules, and one for results. Out: regenerated modules; a quick
certificate and the LaTeX of each derivation; and two normal components fitted to the waiting times
of Old Faithful by the module just written. A progress bar on a terminal, plain lines in a log.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from relrep_sym.data import faithful
from relrep_sym.emit import files
from relrep_sym.errors import CertificateError, GenerationError, problem
from relrep_sym.regenerate import Module, Report, regenerate
from relrep_sym.scripts import Folders, run_file

__all__ = ["run"]

SOLVER = "normal2_relative"
START = {"pi_1": 0.5, "mu_1": 55.0, "Delta_1": 25.0, "sigma_1": 5.0, "sigma_2": 5.0}
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
    with _stage(2, "certify against mpmath (quickly; `relrep verify --all --full` is thorough)"):
        failed = _certify(report.modules, folders.generated, out)
    with _stage(3, f"write the LaTeX, into {out.name}/"):
        _typeset(report.modules, out)
    with _stage(4, f"fit Old Faithful with {folders.generated.name}/{SOLVER}.py"):
        _fit(folders)
    click.echo(f"all of it took {time.perf_counter() - begin:.1f} s")
    if failed:
        wrong = f"{len(failed)} of {len(report.modules)} certificates failed"
        raise CertificateError(problem(wrong, ", ".join(failed), f"see {out.name}/"))


@contextmanager
def _stage(number: int, title: str) -> Iterator[None]:
    click.secho(f"{number}/4 {title}", bold=True)
    start = time.perf_counter()
    yield
    click.echo(f"    {time.perf_counter() - start:.1f} s\n")


def _each(modules: Sequence[Module], label: str, work: Callable[[Module], str]) -> None:
    """A line for each module as it is done; on a terminal under a bar that is then gone."""
    if not sys.stdout.isatty():
        for module in modules:
            click.echo(work(module))
        return
    with click.progressbar(modules, label=f"    {label}", item_show_func=_name) as bar:
        lines = [work(module) for module in bar]
    click.echo("\n".join(lines))


def _name(module: Module | None) -> str:
    return module.name if module else ""


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


def _certify(modules: Sequence[Module], generated: Path, out: Path) -> list[str]:
    """Certificates of the files as they were written, and the names of those that fail."""
    failed = []

    def work(module: Module) -> str:
        start = time.perf_counter()
        try:
            written = run_file(generated / f"{module.name}.py", f"_relrep_{module.name}")
            certificate = module.derivation.verify(module=written)
            text, ok = str(certificate), certificate.ok
        except CertificateError as why:
            text, ok = str(why), False
        if not ok:
            failed.append(module.name)
        files.write(out / f"{module.name}.certificate.txt", text + "\n")
        return f"    {text.partition(chr(10))[0]}  ({time.perf_counter() - start:.1f} s)"

    _each(modules, "certifying", work)
    click.echo(f"    {len(modules) - len(failed)} of {len(modules)} certificates pass")
    return failed


def _typeset(modules: Sequence[Module], out: Path) -> None:
    def work(module: Module) -> str:
        path = out / f"{module.name}.tex"
        text = module.derivation.latex()
        files.write(path, text)
        return f"    {out.name}/{path.name:<32}{text.count(chr(10)):>5} lines"

    _each(modules, "typesetting", work)


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
