"""The command line, ``relrep``: requests and derivation scripts into code, LaTeX and certificates.

In: what a user typed. Out: text on standard output, or files that are whole, old or new. Errors of
the package are one line on standard error, and exit code 2; a failed ``--check`` exits with 1.
SymPy is imported by the commands that need it, so that help and lists come at once.
"""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from relrep_sym import __version__
from relrep_sym.emit import files
from relrep_sym.errors import CertificateError, DeclarationError, RelrepError
from relrep_sym.errors import problem as _problem
from relrep_sym.regenerate import check as check_generated
from relrep_sym.regenerate import regenerate as regenerate_all
from relrep_sym.regenerate import stated
from relrep_sym.scripts import Folders, find_folders, load, scripts, summary

if TYPE_CHECKING:
    from relrep_sym.api import Derivation

__all__ = ["main"]

F = TypeVar("F", bound=Callable[..., Any])


class _Refused(click.ClickException):
    exit_code = 2


class _Command(click.Command):
    """A command whose help ends with examples, and with a file to go with them."""

    def __init__(self, *args: Any, examples: list[str], shown: str = "", **options: Any) -> None:
        super().__init__(*args, **options)
        self.examples, self.shown = examples, shown

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, lines in (("A request", self.shown.splitlines()), ("Examples", self.examples)):
            if lines:
                with formatter.section(title):
                    formatter.write("".join(f"  {line}\n" for line in lines))


def _say(message: Warning | str, *_: object) -> None:
    """A warning as a line of its own, without the place in this package."""
    click.echo(f"warning: {message}", err=True)


class _Commands(_Command, click.Group):
    """Commands whose errors of the package are one line each, and no traceback."""

    command_class = _Command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _say  # type: ignore[assignment]
                return super().invoke(ctx)
        except RelrepError as why:
            raise _Refused(_one_line(str(why))) from why


def _one_line(text: str) -> str:
    """The text on one line; what a terminal would obey is spelled out."""
    flat = " ".join(text.split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in flat)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    examples=[
        "relrep list",
        "relrep fit normal2_relative relrep_sym/data/faithful.csv --column waiting",
        "relrep show normal2_relative averaged",
        "relrep derive examples/normal2_square.toml -o mine.py --latex mine.tex",
        "relrep regenerate --check",
    ],
)
@click.version_option(__version__, prog_name="relrep")
def main() -> None:
    """Learning equations of statistical models in the coordinates you choose.

    A derivation is a script in derivations/, or a request file in TOML: a model (a mixture in one
    dimension) and coordinates. From it come a NumPy module, the LaTeX of every equation, and a
    certificate: how far each function is from a computation of many digits. Begin with a fit, or
    with `relrep demo`, which does everything once.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # μ on a terminal that has no μ is no reason to fail
            stream.reconfigure(errors="replace")


def _folder_options(command: F) -> F:
    """--derivations and --generated, for commands that work on the project."""
    kind = click.Path(file_okay=False, path_type=Path)
    for name, what in (("generated", "the modules"), ("derivations", "the scripts")):
        says = f"Folder of {what}.  [default: the nearest one from here upward]"
        command = click.option(f"--{name}", type=kind, help=says)(command)
    return command


def _folders(derivations: Path | None, generated: Path | None) -> Folders:
    """Both folders. One alone could pair one project's scripts with another's modules."""
    if derivations is None and generated is None:
        return find_folders()
    if derivations is None or generated is None:
        raise click.UsageError("--derivations and --generated are given together, or neither.")
    return Folders(derivations, generated)


def _scripts_folder(derivations: Path | None) -> Path:
    return find_folders().derivations if derivations is None else derivations


_only_derivations = click.option(
    "--derivations",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the scripts.  [default: the nearest one from here upward]",
)
_force = click.option(
    "--force",
    is_flag=True,
    help="Overwrite a file that relrep did not write, or that was edited since.",
)


# ----------------------------------------------------------------------------- requests


_REQUEST = """\
name = "mine"
[model]
family = "normal"      # or "poisson"
components = 2
scales = 1             # or "free", "tied", [1, "free"]
[chart]
kind = "relative"      # or "identity", "log", "map"
parameter = "mu"
gap = "square"         # or "plain"
clearance = "1/10"
[view]
u = "mu_1 - mu_2"
[symbols]              # how LaTeX writes a name, or a stem (mu_1, mu_2, ...)
mu = '\\vec m'
"""


@main.command(
    examples=[
        "relrep derive examples/normal2_square.toml -o mine.py",
        "relrep derive examples/normal2_square.toml -o alone.py --standalone",
        "relrep derive examples/poisson3_log.toml --latex poisson3.tex",
    ],
    shown=_REQUEST,
)
@click.argument("request", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the module here.")
@click.option("--latex", type=click.Path(path_type=Path), help="Write the equations' LaTeX here.")
@click.option("--standalone", is_flag=True, help="One file that needs NumPy alone.")
@_force
def derive(
    request: Path, output: Path | None, latex: Path | None, standalone: bool, force: bool
) -> None:
    """Derive what a request file states.

    The module goes to standard output unless -o or --latex ask for files. A REQUEST is TOML, and
    nothing in it is executed.
    """
    if output is not None and latex is not None and output.resolve() == latex.resolve():
        right = "two files, such as -o mine.py --latex mine.tex"
        raise DeclarationError(_problem("-o and --latex name one file", str(output), right))
    made = _requested(request)
    origin = _harmless(request) or "a request"
    written = f"{made.name}.py" if output is None else _harmless(output) or "a file"
    option = " --standalone" if standalone else ""
    command = f"relrep derive {origin} -o {written}{option}"
    text = made.source(origin=origin, command=command, standalone=standalone)
    if output is not None:
        _put(output, text, force)
    if latex is not None:
        command = f"derive {origin} --latex {_harmless(latex) or 'a file'}"
        _put(latex, _marked(made.latex(), origin, command), force)
    if output is None and latex is None:
        click.echo(text.encode(), nl=False)


def _harmless(path: Path) -> str | None:
    """The file's name, where it may enter a header, which is Python source."""
    plain = re.fullmatch(r"[A-Za-z0-9_][\w.-]{0,99}", path.name, re.ASCII)
    return path.name if plain else None


# ----------------------------------------------------------------------------- regeneration


@main.command(
    examples=[
        "relrep regenerate",
        "relrep regenerate normal2 normal2_relative",
        "relrep regenerate --check",
    ]
)
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 unless all is up to date.")
@_force
@_folder_options
def regenerate(
    names: tuple[str, ...],
    check: bool,
    force: bool,
    derivations: Path | None,
    generated: Path | None,
) -> None:
    """Write generated/ anew, or check it.

    Each derivations/NAME.py gives generated/NAME.py: those named, or all. Files are replaced whole,
    and only if they change; files that are not as relrep wrote them are refused, unless git has
    them as they are. Without names, modules whose script is gone are removed. --check says what is
    missing, stale, edited, orphaned or unknown to git, and which command mends it.
    """
    folders = _folders(derivations, generated)
    if check:
        _check(folders, names)
        return
    report = regenerate_all(
        folders.derivations, folders.generated, names or None, overwrite=force, unless="--force"
    )
    for path in report.written:
        click.echo(f"wrote {_short(path)}")
    for path in report.removed:
        click.echo(f"removed {_short(path)}: its script is gone")
    for path in report.left:
        edited = files.whose(path) if path.is_file() else None
        why = edited or "it was not generated from a script"
        click.echo(f"left {_short(path)}: {why}", err=True)
    if not report.written and not report.removed:
        click.echo(f"nothing to do: {_modules(len(report.modules))} up to date")


def _check(folders: Folders, names: tuple[str, ...]) -> None:
    found = check_generated(folders.derivations, folders.generated, names or None)
    if found.note:
        click.echo(f"note: {_one_line(found.note)}", err=True)
    if found.ok:
        click.echo(f"{folders.generated.name}/ is up to date: {_modules(found.modules)}")
        return
    for finding in found.findings:
        click.echo(f"{finding}\n    {finding.mend}")
    sys.exit(1)


def _modules(count: int) -> str:
    return f"{count} module{'' if count == 1 else 's'}"


# ----------------------------------------------------------------------------- certificates


@main.command(
    examples=[
        "relrep verify normal2_relative",
        "relrep verify examples/normal5_relative.toml --full",
        "relrep verify --all --full --update",
    ]
)
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Every derivation; with --full, examples/ too.")
@click.option(
    "--digits",
    type=click.IntRange(16, 100),
    default=30,
    show_default=True,
    help="How many the oracle must be sure of.",
)
@click.option("--full", is_flag=True, help="All points, the slow ones too.")
@click.option("--update", is_flag=True, help="Rewrite docs/certificates.md; needs --all.")
@click.option(
    "--processes", type=click.IntRange(1), help="How many at once.  [default: as many as cores]"
)
@_only_derivations
def verify(
    names: tuple[str, ...],
    every: bool,
    digits: int,
    full: bool,
    update: bool,
    processes: int | None,
    derivations: Path | None,
) -> None:
    """Certify derivations against mpmath.

    Every function is held against an oracle at hard points, and the errors are printed. The oracle
    starts again from the density and shares no formula with the engine. Exits with 2, naming the
    worst point, where a function misses its yardstick. A name that ends in .toml is a request
    file.
    """
    folder = _scripts_folder(derivations)
    if every == bool(names):
        raise click.UsageError("Give names, or --all.")
    if update and not every:
        raise click.UsageError("--update writes the table of all derivations: it needs --all.")
    from relrep_sym.batch import certified

    certificates, failed = [], []
    if every:
        requests = sorted((folder.resolve().parent / "examples").glob("*.toml")) if full else []
        names = (*scripts(folder), *map(str, requests))
    judged = certified(
        names, _named, folder, digits=digits, full=full, processes=processes, progress=_ticker()
    )
    for done in judged:
        name = Path(done.name).stem if done.name.endswith(".toml") else done.name
        if sys.stderr.isatty():
            click.echo("\r\x1b[K", nl=False, err=True)
        if done.certificate is None:
            click.echo(f"{name} FAILS: {_one_line(done.why)}\n")
        else:
            click.echo(f"{done.certificate}\n")
            certificates.append(done.certificate)
        if not done.ok:
            failed.append(name)
    if failed:
        right = "errors within the yardstick; nothing was written" if update else "small errors"
        raise CertificateError(_problem("certificates failed", ", ".join(failed), right))
    if update:
        from relrep_sym.certify import table

        path = folder.resolve().parent / "docs" / "certificates.md"
        text = table(certificates)
        if not files.held_by_git(path):
            files.insist_ours(path, text, f"{path.name} elsewhere or in git")
        changed = files.write(path, text)
        click.echo(f"{'wrote' if changed else 'unchanged:'} {_short(path)}")


def _requested(path: Path) -> Derivation:
    """The derivation that a request file states."""
    from relrep_sym.api import derive as derive_model
    from relrep_sym.declare.request import read_request

    stated = read_request(path)
    made = derive_model(stated.model, stated.chart, view=stated.view, name=stated.name)
    try:
        return made.in_symbols(dict(stated.symbols)) if stated.symbols else made
    except DeclarationError as why:
        raise DeclarationError(f"{path}: [symbols]: {why}") from None


def _named(name: str, derivations: Path | None) -> Derivation:
    """A derivation by its script's name, or by a request file."""
    if name.endswith(".toml"):
        return _requested(Path(name))
    return load(name, _scripts_folder(derivations))


def _ticker() -> Callable[[str, str, str], None] | None:
    """On a terminal, one line that says what was measured last."""
    if not sys.stderr.isatty():
        return None
    return lambda name, function, point: click.echo(
        f"\r\x1b[K{name}: {function} at {point}\r", nl=False, err=True
    )


# ----------------------------------------------------------------------------- reading


@main.command(
    examples=[
        "relrep latex normal2_relative -o normal2_relative.tex",
        "relrep latex normal2_relative --label averaged",
        "relrep latex normal2_unit --symbol 'mu=\\vec m' --symbol pi_1=v",
    ]
)
@click.argument("name")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write here.")
@click.option("--label", help="One equation, by its label or name: a fragment to \\input.")
@click.option("--assumptions", is_flag=True, help="With --label: typeset what is assumed too.")
@click.option("--symbol", "symbols", metavar="NAME=LATEX", multiple=True, help="Your own symbol.")
@_force
@_only_derivations
def latex(
    name: str,
    output: Path | None,
    label: str | None,
    assumptions: bool,
    symbols: tuple[str, ...],
    force: bool,
    derivations: Path | None,
) -> None:
    """Print or write the LaTeX of a derivation.

    It is a document that compiles, or with --label one equation to input. A name that ends in .toml
    is a request file.
    """
    made = _named(name, derivations)
    if symbols:
        wanted = dict(_pair(text) for text in symbols)
        made = made.in_symbols({**dict(made.notation.symbols), **wanted})
    text = made.latex(label, assumptions=assumptions)
    if output is None:
        click.echo(text.encode(), nl=False)
    else:
        option = f" --label {label}" if label else ""
        plain = re.fullmatch(r"[A-Za-z0-9][\w./-]{0,99}", name, re.ASCII)
        shown = name if plain else "a request"
        origin = shown if name.endswith(".toml") else f"derivations/{name}.py"
        _put(output, _marked(text, origin, f"latex {shown}{option}"), force)


def _pair(text: str, like: str = "--symbol takes NAME=LATEX, such as mu=m") -> tuple[str, str]:
    name, mark, wanted = text.partition("=")
    if not mark:
        raise click.UsageError(f"{like}; given: {text}")
    return name, wanted


@main.command(
    examples=[
        "relrep fit normal2_relative relrep_sym/data/faithful.csv --column waiting",
        "relrep fit examples/normal3_tied.toml mine.csv --column 2 --starts 20",
        "relrep fit normal2 mine.csv --column depth --weights count --decimal ,",
        "grep -v NA mine.txt | relrep fit normal2 - --kind sandwich",
    ]
)
@click.argument("name")
@click.argument("sample", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--column", help="The observations: a column's name, or its number from 1.")
@click.option("--weights", metavar="COLUMN", help="How often each was observed, likewise.")
@click.option(
    "--delimiter",
    help="comma, semicolon, tab, space or a character.  [default: the first of tab, ;, comma and "
    "space that divides every line alike]",
)
@click.option(
    "--decimal", type=click.Choice([".", ","]), default=".", show_default=True, help="Decimal mark."
)
@click.option(
    "--header/--no-header",
    default=None,
    help="Whether the first line holds names.  [default: where nothing in it begins like a number]",
)
@click.option("--encoding", help="Such as latin-1.  [default: UTF-8, or what a BOM says]")
@click.option("--drop-missing", is_flag=True, help="Leave out lines whose cell is empty or NA.")
@click.option(
    "--start",
    default="k-means++",
    show_default=True,
    help="quantiles, k-means++ or random; or coordinates, parted by commas.",
)
@click.option(
    "--starts",
    type=click.IntRange(1, 10_000),
    default=8,
    show_default=True,
    help="How many starts of that kind; the best fit is shown.",
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Of random starts."
)
@click.option(
    "--method", type=click.Choice(["em", "ecm", "gradient_em"]), default="em", show_default=True
)
@click.option(
    "--kind",
    default="observed",
    show_default=True,
    type=click.Choice(["observed", "expected", "opg", "sandwich", "none"]),
    help="Of standard errors: the information that is inverted.",
)
@click.option(
    "--tol",
    type=float,
    default=1e-10,
    show_default=True,
    help="Stop at this increase of the mean log-likelihood.",
)
@click.option("--max-iter", type=click.IntRange(1), default=1000, show_default=True)
@click.option("--floor", type=float, help="The least scale that a component may have.")
@click.option(
    "--constant",
    "constants",
    metavar="NAME=VALUE",
    multiple=True,
    help="The value of a constant of the chart.",
)
@_only_derivations
def fit(
    name: str,
    sample: Path,
    column: str | None,
    weights: str | None,
    delimiter: str | None,
    decimal: str,
    header: bool | None,
    encoding: str | None,
    drop_missing: bool,
    start: str,
    constants: tuple[str, ...],
    derivations: Path | None,
    **options: Any,
) -> None:
    """Fit a derivation's model to a column of numbers: estimates, standard errors, AIC and BIC.

    NAME is a derivation or a request file (.toml). SAMPLE is a text file with a number a line, or
    with columns as in RFC 4180 (CSV); - is standard input. Blank lines and lines that begin with #
    are skipped. It is only read, and whatever in it is no number is an error that names the line.
    """
    from relrep_sym.columns import Layout, read_sample
    from relrep_sym.fitting import Plan, fitted

    made = _named(name, derivations)
    like = "--constant takes NAME=VALUE, such as lam=0.1"
    given = {n: _float(v, "--constant") for n, v in (_pair(c, like) for c in constants)}
    named = not start[:1].isdecimal() and start[:1] not in tuple("+-.")
    at = start if named else [_float(v, "--start") for v in start.split(",")]
    plan = Plan(at, constants=given, progress=sys.stderr.isatty(), **options)
    layout = Layout(delimiter, decimal, header, encoding, drop_missing)
    click.echo(fitted(made, read_sample(sample, column, weights, layout), plan))


def _float(text: str, option: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise DeclarationError(_problem(f"{option} holds no number", text, "a number")) from None


@main.command(examples=["relrep cite normal2_relative", "relrep cite examples/normal2_vuw.toml"])
@click.argument("name")
@click.option("--text", "as_text", is_flag=True, help="Lines to read instead of BibTeX.")
@_only_derivations
def cite(name: str, as_text: bool, derivations: Path | None) -> None:
    """Print what a derivation cites, as BibTeX.

    The keys are those that its LaTeX cites; relrep_sym itself is there too.
    """
    text = _named(name, derivations).citation("text" if as_text else "bibtex")
    click.echo(text.encode(), nl=False)


@main.command("list", examples=["relrep list"])
@_folder_options
def list_(derivations: Path | None, generated: Path | None) -> None:
    """List the derivations.

    Name, number of coordinates, chart (the two as generated), and what it is.
    """
    folders = _folders(derivations, generated)
    rows = [
        (name, *stated(folders.generated / f"{name}.py"), summary(path))
        for name, path in scripts(folders.derivations).items()
    ]
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(3)]
    for name, count, chart, says in rows:
        click.echo(
            f"{name:<{widths[0]}}  {count:>{widths[1]}}  {chart:<{widths[2]}}  {says}".rstrip()
        )


@main.command(
    examples=[
        "relrep show normal2_relative",
        "relrep show normal2_unit mobility",
        "relrep show examples/normal2_vuw.toml --equation averaged_in_view",
    ]
)
@click.argument("name")
@click.argument("equation", required=False)
@click.option("--equation", "chosen_equation", metavar="EQUATION", help="One equation only.")
@_only_derivations
def show(
    name: str, equation: str | None, chosen_equation: str | None, derivations: Path | None
) -> None:
    """Show equations in the terminal.

    All of a derivation, or one by its name or label. A name that ends in .toml is a request file.
    """
    if equation is not None and chosen_equation is not None:
        raise click.UsageError("Name one equation, in one way.")
    equation = chosen_equation if equation is None else equation
    from relrep_sym.emit.terminal import show as show_one
    from relrep_sym.emit.terminal import sources, takes_unicode

    made = _named(name, derivations)
    chosen = [
        e.equation
        for e in made
        if equation in (None, e.equation.name, e.label, e.label.rpartition(":")[2])
    ]
    if not chosen:
        known = ", ".join(e.equation.name for e in made)
        raise DeclarationError(_problem(f"{name} has no such equation", equation, known))
    width = min(shutil.get_terminal_size((100, 24)).columns, 200)
    unicode = takes_unicode()
    if equation is None:
        click.echo(_about(made) + "\n")
    click.echo("\n\n".join(show_one(e, width=width, unicode=unicode) for e in chosen))
    if cited := sources(chosen):
        lines = [
            textwrap.fill(line, max(width, 40), subsequent_indent="  ", break_on_hyphens=False)
            for line in cited.splitlines()
        ]
        click.echo("\n" + "\n".join(lines))


def _about(made: Derivation) -> str:
    lines = [
        made.name,
        f"  model        {made.model.describe()}",
        f"  chart        {made.chart.title}",
    ]
    domains = ", ".join(f"{c.name} {c.domain.name}" for c in made.chart.coordinates)
    lines.append(f"  coordinates  {domains}")
    return "\n".join(lines)


# ----------------------------------------------------------------------------- everything


@main.command(examples=["relrep demo --out /tmp/relrep"])
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Where results go.")
@_folder_options
def demo(out: Path | None, derivations: Path | None, generated: Path | None) -> None:
    """Run everything once.

    Derive, generate, fit real data, typeset and certify: less than a minute.
    """
    from relrep_sym.demo import run

    folders = _folders(derivations, generated)
    run(folders, out or folders.derivations.resolve().parent / "out")


# ----------------------------------------------------------------------------- files


def _put(path: Path, text: str, force: bool) -> None:
    """Write what a user asked for; never over what is hers, unless she says so."""
    changed = files.put(path, text, overwrite=force, unless="another path, or --force")
    click.echo(f"{'wrote' if changed else 'unchanged:'} {_short(path)}")


def _marked(text: str, origin: str, command: str) -> str:
    mark = f"% Generated by relrep from {origin}. Do not edit: `relrep {command}` writes it anew.\n"
    return files.signed(f"{mark}% Text sha256: {files.UNSIGNED}\n{text}")


def _short(path: Path) -> str:
    """The path as it is reached from here, where it lies below."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


if __name__ == "__main__":
    main(prog_name="relrep")
