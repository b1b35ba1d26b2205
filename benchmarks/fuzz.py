"""A million hostile texts for the parser and for request files; nothing but our errors may escape.

    python benchmarks/fuzz.py --count 1000000 --seed 0
    python benchmarks/fuzz.py --seed 0 --only 12345        one text again, shown

Every text is made from the seed and its own number, so that one can be had again by itself. It goes
to the parser, into a chart, or to the reader of requests. Checked of each: only errors of the
package escape; what is read holds no name and no function that is not allowed; it takes less than
``--seconds`` of processor time; and Python's audit hooks see nothing executed, opened, imported or
started, and nothing compiled but the shape of an expression (operators and ``_0``, ``_1``, …).
Of the whole run: that memory stays below ``--megabytes``. Exits with 1 where something is wrong.
"""

from __future__ import annotations

import contextlib
import heapq
import importlib
import pkgutil
import random
import re
import resource
import signal
import string
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import click
import sympy as sp

import relrep_sym as rs
from relrep_sym.declare.parser import FUNCTIONS, check_name, number, parse_expression
from relrep_sym.declare.request import parse_request
from relrep_sym.errors import RelrepError

ROOT = Path(__file__).resolve().parents[1]
NAMES = {n: sp.Symbol(n, real=True) for n in ("v", "w", "u", "mu_1", "Delta_1", "lambda", "x1")}
MAPS = (
    "w + (1 - v)*u",
    "w - v*u",
    "1/(1 + exp(-v))",
    "mu_1 + Delta_1**2 + 0.1",
    "sqrt(1 + u**2)*sinh(w) - asinh(v)**5/3 + atan(u)*cosh(w)",
    "exp(tanh(v*w) + u/3)",
    "expm1(u)**2 + cos(v)**2 + tan(1/10) + w**(1/3) + 2**u + w**u",
    "-log(1 + v) + loggamma(x1 + 1) - gamma(1 + u**2)",
    "3.25e-3*lambda/(1e2 - .5*erf(v))",
)
CODE = (
    "__import__('os').system('touch witness')",
    "(lambda: open('witness', 'w'))()",
    "[c for c in ().__class__.__base__.__subclasses__()]",
    "f'{__import__(\"os\").getcwd()}'",
    "(y := exec('import os'))",
    "eval('1')",
    "exec('x = 1')",
    "v.__class__.__mro__",
    "getattr(v, 'func')",
    "globals()['v']",
    "os.system('id')",
    "print(1)",
    "import os",
    "v if v else u",
    "not v",
    "v and u",
    "*v",
    "**v",
    "v; u",
    "v\nimport os",
    "await v",
    "yield",
    "{v: u}",
    "v[0]",
    "`id`",
    "$(id)",
    "0x10",
    "1_000",
    "1j",
    "\\x41",
    "S('1')",
    "Symbol('y')",
    "Integral(v)",
    "oo",
    "nan",
    "zoo",
    "I",
    "E",
    "pi",
    "True",
    "None",
    "lambda",
    "__debug__",
    "__builtins__",
)
OPERATORS = ("+", "-", "*", "/", "**")
EXAMPLES = sorted((ROOT / "examples").glob("*.toml"))
PIECES = (
    '"', "'", "=", "[", "]", "{", "}", ",", ".", "#", "\n", "\r\n", "\t", "\\", '"""', "'''",
    "[chart]", "[model]", "[view]", "[chart.map]", "[[chart]]", 'kind = "map"', 'kind = "log"',
    "components = 3", "components = -1", "components = 10**9", "components = 99999999999999999999",
    "scales = 1", 'scales = "free"', "scales = nan", "scales = inf", "scales = [1, 2]",
    "1979-05-27T07:32:00Z", "true", "0x10", "1e999", "\\u0000", "\\U0010FFFF", "\ufeff",
    'family = "poisson"', 'family = "../etc/passwd"', 'parameter = "mu"', "weights = [0.5, 0.5]",
)  # fmt: skip


# ------------------------------------------------------------------------------ texts


def atom(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.6:
        return rng.choice(list(NAMES))
    if kind < 0.9:
        return str(rng.randrange(0, 12))
    return rng.choice(["0.1", "1e-3", "2.5e10", ".5", "3.", "1e300", "7e-300", "1/3", "0"])


def sentence(rng: random.Random, depth: int) -> str:
    """A sentence of the language."""
    kind = rng.random()
    if depth <= 0 or kind < 0.15:
        return atom(rng)
    if kind < 0.6:
        left, right = sentence(rng, depth - 1), sentence(rng, depth - 1)
        return f"{left} {rng.choice(OPERATORS[:4])} {right}"
    if kind < 0.72:
        power = rng.choice(["2", "3", "-1", "1/2", "1/3", "0.37", "-5/7", "40", "v", "u"])
        return f"({sentence(rng, depth - 1)})**({power})"
    if kind < 0.78:
        return f"-({sentence(rng, depth - 1)})"
    return f"{rng.choice(list(FUNCTIONS))}({sentence(rng, depth - 1)})"


def tall(rng: random.Random) -> str:
    """Nested: brackets, functions, powers, signs."""
    count = rng.choice([3, 8, 20, 99, 101, 500, 3000])
    inner = rng.choice([*NAMES, "2", "(1 + u**2)", "v/3"])
    kind = rng.randrange(8)
    if kind == 0:
        return "(" * count + inner + ")" * (count + rng.choice([-1, 0, 0, 0, 1]))
    if kind == 1:
        names = rng.choices(list(FUNCTIONS), k=rng.choice([1, 2, 5]))
        opened = [names[i % len(names)] for i in range(min(count, rng.choice([8, 20, 120])))]
        return "".join(f"{n}(" for n in opened) + inner + ")" * len(opened)
    if kind == 2:
        return "**".join([inner] * min(count, 600))
    if kind == 3:
        return rng.choice("-+") * count + inner
    if kind == 4:
        return rng.choice(OPERATORS[:4]).join([inner] * min(count, 1500))
    roots = rng.choices(["1/2", "1/3", "2/3", "0.37", "-1/2", "5", "-3/7"], k=min(count, 12))
    out = inner
    for power in roots:
        other = rng.choice([*NAMES, "1", "7/3"])
        join = rng.choice(OPERATORS[:4])
        name = rng.choice(["", "", "", *FUNCTIONS]) if kind == 5 else ""
        out = f"{name}(({out}){join}{other})**({power})" if kind < 7 else f"({out})**({power})"
    return out


def huge(rng: random.Random) -> str:
    """Numbers that no memory holds."""
    big = rng.choice(["9" * rng.choice([5, 50, 1300, 5000]), "1e9", "1e9999", "10**9", "2.5e308"])
    return rng.choice(
        [
            "{0}", "{0}**{0}", "9**9**9**{0}", "gamma({0})", "exp({0})", "exp(v + {0}*log(2))",
            "2**(v + {0})*2**(-v)", "(1 + 1/{0})**{0}", "sin({0})", "{0}**(1/2)", "v**{0}",
            "(v + u)**{0}", "exp(exp({0}))", "log(log({0}))", "erf({0})", "1/({0} - {0})",
            "loggamma(-{0})", "tan({0}*atan(1))", "(-{0})**(1/3)", "sqrt(-{0})", "0**(-{0})",
            "{0}*v*{0}*u*{0}", "exp(-{0})*exp({0})", "(2**v)**{0}", "abs({0})",
        ]
    ).format(big)  # fmt: skip


def mutated(rng: random.Random, text: str, pieces: tuple[str, ...], most: int = 6) -> str:
    """A text with a few cuts, copies, insertions and swaps."""
    for _ in range(rng.randint(1, most)):
        i, j = sorted((rng.randrange(len(text) + 1), rng.randrange(len(text) + 1)))
        j = min(j, i + rng.choice([1, 1, 2, 8, 60]))
        text = rng.choice(
            [
                text[:i] + text[j:],
                text[:i] + text[i:j] * rng.choice([2, 3, 20]) + text[j:],
                text[:i] + rng.choice(pieces) + text[i:],
                text[:i] + rng.choice(pieces) + text[j:],
                text[:i] + text[i:j][::-1] + text[j:],
                text[:i] + chr(rng.choice([0, 10, 13, 32, 39, 34, 92, 95, 0x3BC, 0x202E, 0xD7]))
                + text[j:],
            ]
        )  # fmt: skip
        text = text[:20_000]
    return text


def noise(rng: random.Random) -> str:
    """Bytes and characters of any kind."""
    length = int(rng.expovariate(1 / 30)) + 1
    kind = rng.randrange(4)
    if kind == 0:
        return rng.randbytes(length).decode("latin-1")
    if kind == 1:
        return "".join(chr(rng.randrange(0x110000)) for _ in range(length))
    if kind == 2:
        return "".join(rng.choices(string.printable, k=length))
    words = (*OPERATORS, *NAMES, *FUNCTIONS, "(", ")", " ", ",", "0", "1.5", "e", "_", "__", ".")
    return "".join(rng.choices(words, k=length))


TOKENS = (
    *OPERATORS,
    *NAMES,
    *FUNCTIONS,
    *CODE,
    "(",
    ")",
    "(",
    ")",
    ",",
    "=",
    ":=",
    "//",
    "1e5",
    "__",
)


def expression_text(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.15:
        return noise(rng)
    if kind < 0.45:
        return sentence(rng, rng.choice([1, 2, 3, 3, 4, 5]))
    if kind < 0.785:
        return mutated(rng, rng.choice(MAPS), TOKENS)
    if kind < 0.80:
        return tall(rng)
    if kind < 0.88:
        return huge(rng)
    if kind < 0.94:
        return rng.choice(CODE)
    return mutated(rng, rng.choice(MAPS), CODE, 2)


def request_text(rng: random.Random) -> str:
    text = rng.choice(EXAMPLES).read_text("utf-8") if not TEXTS else rng.choice(TEXTS)
    kind = rng.random()
    if kind < 0.1:
        return noise(rng)
    if kind < 0.5:
        return mutated(rng, text, PIECES)
    lines = text.split("\n")
    if kind < 0.7:
        rng.shuffle(lines)
        return "\n".join(lines[: rng.randrange(len(lines) + 1)])
    where = [i for i, line in enumerate(lines) if re.match(r"^\w+ *= *\"", line)]
    at = rng.choice(where)
    said = expression_text(rng).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    lines[at] = f'{lines[at].partition("=")[0]}= "{said}"'
    return "\n".join(lines)


TEXTS: list[str] = []


# ------------------------------------------------------------------------------ what reads them


MODEL = rs.mixture("poisson", components=1)
PLACES = (rs.mixture("normal", components=2), rs.mixture("normal", components=2, scales=1))


def to_parser(text: str) -> None:
    """The parser alone; what it gives is of the language."""
    found = parse_expression(text, NAMES, where="fuzz")
    assert found.free_symbols <= set(NAMES.values()), found
    assert not found.has(sp.nan, sp.zoo, sp.oo, -sp.oo, sp.I), found
    assert all(f.func in KINDS for f in found.atoms(sp.Function)), found


_any = sp.Symbol("any")
KINDS = {f.func for make in FUNCTIONS.values() for f in make(_any).atoms(sp.Function)} | {sp.sign}
"""The functions of the language, by their classes."""


def to_chart(text: str) -> None:
    """A map of the user's own, where every name is a coordinate."""
    assert rs.chart(MODEL, {"rate_1": text}).names


def to_number(text: str) -> None:
    """A number, such as a clearance."""
    assert not number(text, where="fuzz").free_symbols


def to_name(text: str) -> None:
    """The name of a coordinate."""
    assert check_name(text, kind="fuzz") == text


def to_view(text: str) -> None:
    """A function of a chart's coordinates, which are spelled otherwise: most names are unknown."""
    assert rs.view(rs.identity(PLACES[1]), {"a": text}).names == ("a",)


class Reader(NamedTuple):
    """One way in, how often it is taken, and the texts for it."""

    read: Callable[[str], object]
    share: float
    make: Callable[[random.Random], str]


READERS = (
    Reader(to_parser, 0.60, expression_text),
    Reader(to_chart, 0.20, expression_text),
    Reader(to_view, 0.05, expression_text),
    Reader(to_number, 0.05, expression_text),
    Reader(to_name, 0.02, expression_text),
    Reader(parse_request, 0.08, request_text),
)


def made(seed: int, number: int) -> tuple[Reader, str]:
    """The text of a number, and who reads it."""
    rng = random.Random(f"{seed}:{number}")
    (reader,) = rng.choices(READERS, [r.share for r in READERS])
    return reader, reader.make(rng)


# ------------------------------------------------------------------------------ what is watched


class Watch:
    """Python's own audit events while a text is read; an audit hook stays for good."""

    SHAPE = re.compile(r"[-+*/()_0-9]*")
    QUIET = frozenset(
        ["builtins.id", "object.__getattr__", "sys._getframe", "sys.setprofile", "array.__new__"]
    )

    def __init__(self) -> None:
        self.on = False
        self.seen: list[str] = []
        sys.addaudithook(self)

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.on or event in self.QUIET:
            return
        if event == "compile":
            text, where = args
            text = text.decode() if isinstance(text, bytes) else text
            if where == "<unknown>" and isinstance(text, str) and self.SHAPE.fullmatch(text):
                return
        self.seen.append(f"{event} {args!r:.200}")


class Hung(BaseException):
    """A text that takes too long by far; no error of ours, and not caught as one."""


def _hung(_: int, __: FrameType | None) -> None:
    raise Hung("stopped")


SKIPPED = re.compile(
    r"test|benchmarks|__main__|plotting|parsing|this|interactive|deprecated|physics|galgebra"
    r"|utilities\.(pytest|randtest|runtests|tmpfiles|pkgdata)"
)


def load_everything() -> None:
    """What SymPy imports when it first needs it, so that an import in the run means something."""
    for name in ("sympy", "mpmath"):
        for module in pkgutil.walk_packages(sys.modules[name].__path__, f"{name}.", lambda _: None):
            if not SKIPPED.search(module.name):
                with warnings.catch_warnings(), contextlib.suppress(Exception):
                    warnings.simplefilter("ignore")  # some are old, some want what is not here
                    importlib.import_module(module.name)


def megabytes() -> float:
    """The most memory that this process has had."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / (2**20 if sys.platform == "darwin" else 2**10)


def one(reader: Reader, text: str, watch: Watch, patience: float) -> tuple[str, float, str]:
    """(what came of it, seconds of processor time, what is wrong)."""
    watch.seen.clear()
    signal.setitimer(signal.ITIMER_REAL, patience)
    start = time.process_time()
    watch.on = True
    wrong = ""
    try:
        reader.read(text)
        came = "read"
    except RelrepError as why:
        watch.on = False
        came = type(why).__name__
        str(why).encode(errors="surrogatepass")
    except (Hung, Exception) as why:
        watch.on = False
        came = type(why).__name__
        last = traceback.extract_tb(why.__traceback__)[-1]
        wrong = f"{came}: {str(why)[:200]} ({Path(last.filename).name}, line {last.lineno})"
    finally:
        watch.on = False
        signal.setitimer(signal.ITIMER_REAL, 0)
    taken = time.process_time() - start
    if watch.seen:
        wrong += f" audit: {'; '.join(watch.seen[:3])}"
    return came, taken, wrong


@click.command()
@click.option("--count", default=1_000_000, envvar="RELREP_FUZZ_COUNT", show_default=True)
@click.option("--seed", default=0, envvar="RELREP_FUZZ_SEED", show_default=True)
@click.option("--only", type=int, help="One text again, by its number.")
@click.option("--start", default=0, help="The first number.")
@click.option("--seconds", default=2.0, show_default=True, help="Most processor time of one text.")
@click.option("--megabytes", "most", default=1000.0, show_default=True, help="Most memory of all.")
def main(count: int, seed: int, only: int | None, start: int, seconds: float, most: float) -> None:
    """Texts from anybody: only the package's own errors, in bounded time and memory."""
    TEXTS.extend(path.read_text("utf-8") for path in EXAMPLES)
    signal.signal(signal.SIGALRM, _hung)
    load_everything()
    watch = Watch()
    if only is not None:
        reader, text = made(seed, only)
        came, taken, wrong = one(reader, text, watch, 600.0)
        click.echo(f"{reader.read.__name__} {text!r}\n{came} in {taken:.3f} s  {wrong}")
        sys.exit(bool(wrong))
    before = megabytes()
    click.echo(f"{count} texts from seed {seed}, number {start} on; {before:.0f} MB before")
    slowest: list[tuple[float, int, str]] = []
    outcomes: Counter[str] = Counter()
    bad: list[str] = []
    busy = 0.0
    with click.progressbar(range(start, start + count), label="fuzz", update_min_steps=500) as bar:
        for number in bar:
            reader, text = made(seed, number)
            came, taken, wrong = one(reader, text, watch, 20.0 + 10.0 * seconds)
            busy += taken
            outcomes[f"{reader.read.__name__}: {came}"] += 1
            heapq.heappush(slowest, (taken, number, f"{reader.read.__name__} {text!r:.160}"))
            if len(slowest) > 10:
                heapq.heappop(slowest)
            if taken > seconds:
                wrong += f" {taken:.2f} s"
            if wrong:
                bad.append(f"{number}: {reader.read.__name__} {text!r:.300}\n    {wrong}")
    after = megabytes()
    for what, times in sorted(outcomes.items()):
        click.echo(f"{times:9d}  {what}")
    click.echo(f"{busy / max(count, 1) * 1e3:.3f} ms each; memory {after:.0f} MB at most")
    click.echo("the slowest:")
    for taken, number, shown in sorted(slowest, reverse=True):
        click.echo(f"  {taken:7.3f} s  {number}: {shown}")
    if after > most:
        bad.append(f"{after:.0f} MB of memory, more than {most:.0f}")
    for line in bad[:50]:
        click.echo(f"WRONG {line}", err=True)
    if bad:
        click.echo(f"{len(bad)} wrong; --seed {seed} --only NUMBER shows one again", err=True)
        sys.exit(1)
    click.echo("nothing wrong")


if __name__ == "__main__":
    main()
