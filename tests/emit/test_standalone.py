"""One file: nothing but NumPy, the same bytes, the same numbers, errors of its own."""

from __future__ import annotations

import importlib.util
import os
import pickle
import subprocess
import sys
import types
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import relrep_sym
import relrep_sym as rs
import relrep_sym.runtime
from relrep_sym import errors
from relrep_sym.cli import main
from relrep_sym.emit import pieces
from relrep_sym.emit.files import carries_signature
from relrep_sym.emit.standalone import standalone
from relrep_sym.regenerate import read_header
from tests.emit.modules import CASES, compiled, derivation, source

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(relrep_sym.__file__).parent
SOME = ("relative3", "viewed", "nasty", "poisson relative", "no m-step")

ALONE = """
import sys

BLOCKED = set({blocked})

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ImportError("not on this machine: " + name)

sys.meta_path.insert(0, Blocker())
"""
BLOCKED = {"relrep_sym", "sympy", "scipy", "mpmath", "jinja2", "click"}


def alone(script: str, cwd: Path) -> str:
    """Output of a script in a process that has NumPy and nothing of ours."""
    text = ALONE.replace("{blocked}", repr(sorted(BLOCKED))) + script
    done = subprocess.run([sys.executable, "-c", text], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@cache
def text_of(name: str) -> str:
    return standalone(source(name))


@cache
def module_of(name: str) -> types.ModuleType:
    spec = importlib.util.spec_from_loader(f"alone_{name.replace(' ', '_')}", None)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    exec(text_of(name), module.__dict__)
    return module


def loaded(path: Path) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


# ------------------------------------------------------------------------------------- numbers


def hard(name: str) -> Iterator[np.ndarray]:
    """The case's point, and points near the edges of its chart."""
    point = np.array(CASES[name].point)
    yield point
    names = derivation(name).chart.names
    for value, stems in ((1e-12, ("pi_1", "Delta")), (1e5, ("mu_1",)), (1e-3, ("sigma_1", "rate"))):
        moved = point.copy()
        for j, n in enumerate(names):
            if n.startswith(stems):
                moved[j] = value
        yield moved


def values(
    k: types.ModuleType, coords: np.ndarray, x: np.ndarray, truth: object
) -> Iterator[object]:
    """What every function of a module says at a point; an error is said by its name."""
    weights = np.arange(1.0, len(x) + 1)
    calls = {
        "to_model": lambda: k.to_model(coords),
        "from_model": lambda: k.from_model(k.to_model(coords)),
        "jacobian": lambda: k.jacobian(coords),
        "components": lambda: k.components(coords),
        "log_density": lambda: k.log_density(x, coords),
        "responsibilities": lambda: k.responsibilities(x, coords),
        "score_samples": lambda: k.score_samples(x, coords),
        "log_likelihood": lambda: k.log_likelihood(x, coords, weights),
        "score": lambda: k.score(x, coords),
        "statistics": lambda: k.statistics(x, coords, weights),
        "averaged_field": lambda: k.averaged_field(coords, truth),
        "kl": lambda: k.kl(coords, truth),
        "fisher": lambda: k.fisher(coords),
        "em_step": lambda: k.em_step(x, coords),
        "fit": lambda: k.fit(x, coords, max_iter=5).coords,
        "sample": lambda: k.sample(coords, 9, rng=1),
        "bad data": lambda: k.score([np.nan], coords),
        "bad shape": lambda: k.score(x, coords[:-1]),
    }
    for what, call in calls.items():
        try:
            found = call()
        except Exception as why:
            yield what, type(why).__name__, str(why)
        else:
            rows = found if isinstance(found, tuple) else (found,)
            yield what, [np.asarray(row).tobytes() for row in rows]


@pytest.mark.parametrize("name", SOME)
def test_numbers_and_errors_are_those_of_the_ordinary_module_to_the_last_bit(name: str) -> None:
    plain, k = compiled(name), module_of(name)
    line = derivation(name).model.family.support == "line"
    x = np.array([-30.0, -0.5, 0.25, 0.75, 3.0, 1e5] if line else [0.0, 1.0, 1.0, 4.0, 9.0, 60.0])
    truth = plain.components(np.array(CASES[name].point))
    for coords in hard(name):
        want = list(values(plain, coords, x, truth))
        assert list(values(k, coords, x, truth)) == want
    assert sum(isinstance(row[1], list) for row in want) >= 8


def test_on_a_machine_without_this_package_the_numbers_are_the_same(tmp_path: Path) -> None:
    d = derivation("relative3")
    assert d.write(tmp_path / "mine.py", standalone=True)
    script = """
import mine
c = (0.25, 0.5, -0.5, 0.5, 1, 0.5, 0.25, 0.75)
x = [-1.5, -0.75, -0.25, 0.0, 0.5, 1.25, 2.0, 3.5, 7.5]
for found in (
    mine.score(x, c), mine.fisher(c), mine.em_step(x, c),
    mine.averaged_field(c, mine.components(c)),
    mine.from_model(mine.to_model(c)), mine.fit(x, c, max_iter=3).history,
):
    print(found.tobytes().hex())
try:
    mine.to_model((2,) * 8)
except mine.DomainError as why:
    print(type(why).__module__, why)
print(sorted({name.partition(".")[0] for name in sys.modules} & BLOCKED))
"""
    k, c, x = (
        compiled("relative3"),
        CASES["relative3"].point,
        [-1.5, -0.75, -0.25, 0.0, 0.5, 1.25, 2.0, 3.5, 7.5],
    )
    want = [
        k.score(x, c), k.fisher(c), k.em_step(x, c), k.averaged_field(c, k.components(c)),
        k.from_model(k.to_model(c)), k.fit(x, c, max_iter=3).history,
    ]  # fmt: skip
    *rows, error, reached = alone(script, tmp_path).splitlines()
    assert rows == [w.tobytes().hex() for w in want]
    with pytest.raises(errors.DomainError) as why:
        k.to_model((2,) * 8)
    assert error == f"mine {why.value}"
    assert reached == "[]"


def test_a_flow_is_the_same_and_alone_needs_numpy(tmp_path: Path) -> None:
    k, own, c = compiled("relative3"), module_of("relative3"), CASES["relative3"].point
    truth, times = k.components(np.array(c) * 1.25), (0.0, 0.01, 0.02)
    for options in ({}, {"method": "RK23", "rtol": 1e-4}):
        want = k.flow(c, truth, times, **options)
        got = own.flow(c, truth, times, **options)
        assert np.array_equal(np.asarray(got), np.asarray(want))
    (tmp_path / "mine.py").write_text(text_of("relative3"), encoding="utf-8")
    script = f"""
import mine
print(mine.flow({c}, mine.components({c}), (0, 1)).shape)
"""
    assert alone(script, tmp_path).strip() == "(2, 8)"


def test_a_start_that_needs_scipy_says_so(tmp_path: Path) -> None:
    """The package's own error, which names what would be right; the other starts need NumPy."""
    (tmp_path / "mine.py").write_text(text_of("relative3"), encoding="utf-8")
    script = """
import mine
x = [0.1, 0.2, 1.1, 1.3, 4.0, 4.4, 5.0, -2.0, -2.2]
try:
    mine.fit(x, "k-means++", max_iter=2)
except mine.NotInstalledError as why:
    print(isinstance(why, ImportError), why)
print(mine.fit(x, "quantiles", max_iter=2).iterations)
"""
    said = alone(script, tmp_path).splitlines()
    assert said[0].startswith('True the start "k-means++" needs SciPy; given: it is not installed')
    assert "pip install scipy" in said[0]
    assert said[1] == "2"


@pytest.mark.slow
def test_a_standalone_module_of_three_components_is_certified() -> None:
    model = rs.mixture("normal", 3)
    d = rs.derive(model, rs.relative(model, "mu"))
    certificate = d.verify(module=d.compile(standalone=True))
    certificate.check()
    assert {"score", "fisher", "averaged_field", "em_step"} <= {
        e.function for e in certificate.entries
    }


def test_a_point_that_the_chart_does_not_reach_is_left_out_of_the_certificate() -> None:
    from relrep_sym.certify import _located

    d = derivation("poisson relative")  # its rates ascend; not those of every point
    own, plain = module_of("poisson relative"), compiled("poisson relative")
    got = [(p.name, c) for p, c, _ in _located(d, own, True)]
    assert got == [(p.name, c) for p, c, _ in _located(d, plain, True)]


def test_nodes_of_the_package_are_nodes_to_a_file_of_its_own() -> None:
    own, plain = module_of("poisson relative"), compiled("poisson relative")
    c = (0.2, 0.3, 1.0, 1.0, 2.0)
    nodes = rs.nodes(rs.truth("poisson", weights=[1], rates=[2]))
    assert type(nodes) is not own.Nodes
    want = plain.averaged_field(c, nodes)
    assert np.array_equal(own.averaged_field(c, nodes), want)
    assert np.array_equal(own.averaged_field(c, own.Nodes(*nodes)), want)


def test_errors_are_classes_of_the_file() -> None:
    k = module_of("viewed")
    with pytest.raises(k.DataError) as why:
        k.score("x", (0.5, 0, 1))
    assert not isinstance(why.value, errors.RelrepError)
    assert isinstance(why.value, k.RelrepError)


def test_a_fit_pickles(tmp_path: Path) -> None:
    (tmp_path / "alone_and_pickled.py").write_text(text_of("viewed"), encoding="utf-8")
    k = loaded(tmp_path / "alone_and_pickled.py")
    fit = k.fit([0.0, 1.0, 4.0], (0.5, 0.0, 1.0), max_iter=2)
    assert pickle.loads(pickle.dumps(fit)).converged == fit.converged
    del sys.modules["alone_and_pickled"]


def test_compiling_leaves_no_module_behind() -> None:
    before = set(sys.modules)
    rs.derive(rs.mixture("poisson", 2), name="json").compile(standalone=True)
    import json

    assert json.__spec__ is not None
    assert set(sys.modules) <= before | {"json"}


# ------------------------------------------------------------------------------------- text


def test_the_text_is_clean_for_ruff_and_says_what_it_is(tmp_path: Path) -> None:
    assert derivation("viewed").write(tmp_path / "m0.py", standalone=True)
    for number, name in enumerate(SOME, start=1):
        (tmp_path / f"m{number}.py").write_text(text_of(name), encoding="utf-8")
    for command in (["check", "--no-cache"], ["format", "--check", "--no-cache"]):
        call = [
            sys.executable,
            "-m",
            "ruff",
            *command,
            "--config",
            ROOT / "pyproject.toml",
            tmp_path,
        ]
        done = subprocess.run(call, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    text = (tmp_path / "m0.py").read_text("utf-8")
    header, ordinary = read_header(tmp_path / "m0.py"), source("viewed")
    assert header is not None
    assert header.command == "derivation.write('m0.py', standalone=True)"
    assert f"Specification sha256: {header.digest}" in ordinary
    assert carries_signature(text)
    assert not carries_signature(text.replace("_TOP = 60.0", "_TOP = 61.0"))
    assert not [n for n in text.splitlines() if n.lstrip().startswith(("import r", "from r"))]
    licence = (ROOT / "LICENSE").read_text("utf-8")
    assert "".join(f"# {line}".rstrip() + "\n" for line in licence.splitlines()) in text
    # what was derived is word for word that of the ordinary module, but for renamed runtime names
    for function in ("_components", "_pull_back", "_m_step", "score", "em_step"):
        body = ordinary[ordinary.index(f"\ndef {function}(") :].partition("\n\n\n")[0]
        assert body in text


def test_the_bytes_do_not_depend_on_the_hash_seed() -> None:
    text = text_of("viewed")
    script = "import sys; from relrep_sym.emit.standalone import standalone\n"
    script += "sys.stdout.buffer.write(standalone(sys.stdin.buffer.read().decode()).encode())"
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=source("viewed").encode(),
        capture_output=True,
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )
    assert (done.returncode, done.stdout) == (0, text.encode()), done.stderr.decode()


def test_the_command_line_writes_one_file(tmp_path: Path) -> None:
    request, path = ROOT / "examples" / "normal2_square.toml", tmp_path / "alone.py"
    done = CliRunner().invoke(main, ["derive", str(request), "-o", str(path), "--standalone"])
    assert (done.exit_code, done.output) == (0, f"wrote {path}\n")
    header = read_header(path)
    assert header is not None
    assert header.command == "relrep derive normal2_square.toml -o alone.py --standalone"
    assert alone("import alone; print(alone.PARAMETERS)", tmp_path) == "('pi_1', 'mu_1', 'mu_2')\n"


# ------------------------------------------------------------------------------------- the bundler


def test_whatever_the_runtime_holds_can_be_bundled(tmp_path: Path) -> None:
    """Every name of every module of the runtime, in one file that runs without the package."""
    modules = sorted(FOLDER.glob("runtime/**/*.py"))
    names = [".".join(p.relative_to(FOLDER.parent).with_suffix("").parts) for p in modules]
    lines, reached = [], []
    for number, name in enumerate(n for n in names if not n.endswith("__init__")):
        for defined in pieces.read_runtime(name).defined:
            reached.append(f"n{number}_{defined}")
            lines.append(f"    from {name} import {defined} as {reached[-1]}")
    head = source("viewed").partition("from __future__")[0]
    text = head + "from __future__ import annotations\n\n\n" + "\n".join(
        ["def everything() -> list[object]:", '    """All."""', *lines,
         f"    return [{', '.join(reached)}]", ""]
    )  # fmt: skip
    (tmp_path / "whole.py").write_text(standalone(text), encoding="utf-8")
    script = (
        "import whole; print(len(whole.everything()), [v for v in whole.everything() if v is None])"
    )
    assert alone(script, tmp_path) == f"{len(reached)} []\n"


A = '''
"""First."""
from __future__ import annotations
import math
from collections.abc import Callable
from math import floor as score
from relrep_sym.runtime import b
from relrep_sym.runtime.b import scale as other, twice

LIMIT = 3
_state: list[int] = []
"""What was asked for."""


def scale(x: float, twice: Callable[[float], float] = twice) -> float:
    """Its own, with a default of the other's.

    >>> scale(1.0)
    4.0
    """
    _state.append(LIMIT)
    return twice(other(x)) + math.floor(x) + b.LIMIT


class scaled:
    """A class whose method is called like a function of the module."""

    limit: int = LIMIT

    def scale(self, x: float) -> tuple[float, int, int]:
        LIMIT = b.scale(x) + scale(x)
        return LIMIT, self.limit, len(_state)

    def numbers(self, scale: int) -> list[int]:
        return [b.LIMIT + scale for b_scale in range(scale) for scale in [2 * b_scale]]


def reset() -> None:
    global LIMIT
    LIMIT = 5


def later(x: float) -> str:
    from relrep_sym.runtime.c import LIMIT as far, score as lazily

    def inner() -> str:
        return f"{lazily(x)} {far} {LIMIT:>3} {score(2.5)} {b_LIMIT}"

    b_LIMIT = 7
    return inner()
'''
B = """
from __future__ import annotations
LIMIT = 10


def twice(x: float) -> float:
    return 2 * x


def scale(x: float) -> float:
    return x / LIMIT
"""
C = """
from __future__ import annotations
from relrep_sym.runtime.a import _state, reset, twice
LIMIT = "c"


def score(x: float) -> float:
    reset()
    return twice(x) + len(_state)
"""
MINE = '''"""Made here.

Text sha256: 00000000000000000000000000000000
"""

from __future__ import annotations

LIMIT = "mine"


def score(x: float) -> object:
    """All of it."""
    from relrep_sym.runtime.a import later, scale, scaled

    s = scaled()
    return scale(x), s.scale(x), s.numbers(3), later(x), later(x), LIMIT
'''


def test_names_that_meet_keep_their_meaning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules that use the same names for different things, run as modules and as one file."""
    texts = {f"relrep_sym.runtime.{n}": t for n, t in (("a", A), ("b", B), ("c", C))}
    one = bundled(texts, MINE, monkeypatch)
    for name in ("b", "a", "c"):
        module = types.ModuleType(f"relrep_sym.runtime.{name}")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setattr(relrep_sym.runtime, name, module, raising=False)
        exec(texts[module.__name__], module.__dict__)
    apart: dict[str, object] = {"__name__": "mine"}
    exec(MINE, apart)
    assert one["score"](1.5) == apart["score"](1.5)  # type: ignore[operator]


def bundled(texts: dict[str, str], mine: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """The names of the one file made of some modules."""
    forget()
    monkeypatch.setattr(pieces, "_file", texts.get)
    try:
        text = standalone(mine)
    finally:
        monkeypatch.undo()
        forget()
    assert ">>>" not in text
    names: dict[str, object] = {"__name__": "one"}
    exec(text, names)
    return names


def forget() -> None:
    standalone.cache_clear()
    pieces.read_runtime.cache_clear()
    pieces._is_module.cache_clear()


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("try:\n    import scipy\nexcept ImportError:\n    scipy = None", "Try at module level"),
        ("for name in (1, 2):\n    a = name", "For at module level"),
        ("a = 1\na = 2", "a is bound twice"),
        ("import scipy\na = 1", "scipy is needed as soon as the module is loaded"),
        ("from math import *\na = pi", "an import of another kind"),
        ("from . import check\na = 1", "an import of another kind"),
        ("import relrep_sym.errors\na = 1", "for two things"),
        ("from relrep_sym.declare.domains import domain\na = domain('unit')", "cannot hold this"),
        ("from relrep_sym.runtime import d\na = getattr(d, 'x')", "the module d used as a value"),
        ("from relrep_sym.runtime import d\na = d.nothing", "has no nothing"),
        ("def a(x: 'int'): ...", "an annotation in quotes"),
        ("def a():\n    import relrep_sym.errors; return 1", "among other things"),
        ("def a():\n    return __file__", "__file__ is not bound"),
        ("from relrep_sym.runtime.d import e\na = e", "import each other"),
    ],
)
def test_what_cannot_be_bundled_is_named(
    text: str, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = {
        "relrep_sym.runtime.a": text,
        "relrep_sym.runtime.d": "from relrep_sym.runtime.a import a\ne = 1",
    }
    mine = MINE.partition("LIMIT")[0]
    mine += (
        'def f() -> object:\n    """F."""\n    from relrep_sym.runtime.a import a\n\n    return a\n'
    )
    with pytest.raises(errors.GenerationError, match=wrong):
        bundled(texts, mine, monkeypatch)
