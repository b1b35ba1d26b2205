"""A kernel is a module in memory that can be sent elsewhere and used by several threads."""

from __future__ import annotations

import copy
import io
import multiprocessing
import pickle
import pydoc
import sys
import types
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import relrep_sym as rs
from relrep_sym.errors import DomainError
from relrep_sym.scripts import run_file

NORMAL = rs.mixture("normal", components=3)
DERIVED = {
    "normal": rs.derive(NORMAL, rs.relative(NORMAL, "mu"), name="normal3"),
    "poisson": rs.derive(rs.mixture("poisson", components=2), name="poisson2"),
}
AT = {
    "normal": [0.3, 0.3, -2.0, 1.0, 2.0, 1.0, 0.5, 1.5],
    "poisson": [0.4, 1.0, 4.0],
}
X = np.random.default_rng(0).poisson(2.0, 400).astype(float)
KINDS = ("log_likelihood", "score", "hessian", "em_step", "statistics", "score_samples")


def found(k: rs.Kernel, at: list[float]) -> list[np.ndarray]:
    """What the kernel's functions give, every floor of the runtime among them."""
    out = [np.asarray(getattr(k, name)(X, at)) for name in KINDS]
    out += [k.fisher(at), k.averaged_field(at, k.components([0.9 * v for v in at]))]
    return [*out, k.fit(X, at, max_iter=5).coords, k.sample(at, 7, rng=1)]


def equal(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.fixture(params=[False, True], ids=["kernel", "standalone"], scope="module")
def kernels(request: pytest.FixtureRequest) -> dict[str, rs.Kernel]:
    return {name: d.compile(standalone=request.param) for name, d in DERIVED.items()}


def test_it_has_the_modules_functions_and_constants(
    kernels: dict[str, rs.Kernel], tmp_path: Path
) -> None:
    """Those of the file, bit for bit."""
    for name, k in kernels.items():
        standalone = "Standalone:" in k.source
        path = tmp_path / f"{name}.py"
        DERIVED[name].write(path, standalone=standalone)
        file = run_file(path, f"_written_{name}_{standalone}")
        assert dir(file) == [n for n in dir(k) if n != "source"]
        assert k.COORDINATES == DERIVED[name].chart.names == file.COORDINATES
        assert equal(found(k, AT[name]), found(file, AT[name]))
        assert isinstance(k, types.ModuleType)
        assert k.__name__ not in sys.modules


def test_dir_has_what_users_call_and_nothing_else(kernels: dict[str, rs.Kernel]) -> None:
    for k in kernels.values():
        constants = {"CONSTANTS", "COORDINATES", "FIXED", "PARAMETERS", "source"}
        assert all(n in constants or callable(getattr(k, n)) for n in dir(k))
        assert not [n for n in dir(k) if n.startswith("_")]
        assert not {"np", "cache", "annotations", "TYPE_CHECKING"} & set(dir(k))


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_it_pickles_with_its_functions(kernels: dict[str, rs.Kernel], protocol: int) -> None:
    for name, k in kernels.items():
        again = pickle.loads(pickle.dumps(k, protocol))
        assert again is not k
        assert again == k
        assert hash(again) == hash(k)
        assert again.source == k.source
        assert equal(found(again, AT[name]), found(k, AT[name]))
        score = pickle.loads(pickle.dumps(k.score, protocol))
        np.testing.assert_array_equal(score(X, AT[name]), k.score(X, AT[name]))
        bound = pickle.loads(pickle.dumps(partial(k.score, X), protocol))
        np.testing.assert_array_equal(bound(AT[name]), k.score(X, AT[name]))


def test_it_is_copied_with_what_holds_it(kernels: dict[str, rs.Kernel]) -> None:
    held = {"k": kernels["normal"], "f": kernels["normal"].fisher, "list": [1]}
    deep, flat = copy.deepcopy(held), copy.copy(held["k"])
    assert deep["list"] is not held["list"]
    for k in (deep["k"], flat):
        assert k == kernels["normal"]
        np.testing.assert_array_equal(k.fisher(AT["normal"]), deep["f"](AT["normal"]))


def test_it_cannot_be_changed(kernels: dict[str, rs.Kernel]) -> None:
    k = kernels["poisson"]
    for change in (
        lambda: setattr(k, "score", None),
        lambda: setattr(k, "new", None),
        lambda: delattr(k, "score"),
    ):
        with pytest.raises(AttributeError, match="a kernel cannot be changed"):
            change()


def test_kernels_are_equal_where_their_sources_are() -> None:
    one, other = (DERIVED["poisson"].compile() for _ in range(2))
    assert one == other
    assert one != DERIVED["normal"].compile()
    assert one != DERIVED["poisson"].compile(standalone=True)
    assert one != object()


def test_it_says_what_it_is_and_what_it_can() -> None:
    k = DERIVED["normal"].compile()
    assert repr(k) == (
        "<Kernel normal3: mixture of 3 normal components: weights free, means free, scales free; "
        f"coordinates {', '.join(k.COORDINATES)}>"
    )
    assert repr(k.score) == "<function normal3.score>"
    with redirect_stdout(io.StringIO()) as said:
        pydoc.help(k)
        pydoc.help(k.em_step)
    text = pydoc.plain(said.getvalue())
    assert "Help on Kernel in module" not in text
    for part in (
        "normal3 - Mixture of 3 normal",
        "score(x: ",
        "Equation eq:normal3:score:",
        "DATA",
    ):
        assert part in text
    assert "_block(" not in text
    assert "Help on _Function" in text or "em_step(x: " in text


def test_threads_share_it(kernels: dict[str, rs.Kernel]) -> None:
    """Eight threads, every function, from the first call on: the same bits as alone."""
    alone = {name: found(k, AT[name]) for name, k in kernels.items()}
    fresh = {name: rs.Kernel(k.__name__, k.source) for name, k in kernels.items()}
    names = [name for name in fresh for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for name, seen in zip(
            names, pool.map(lambda n: found(fresh[n], AT[n]), names), strict=True
        ):
            assert equal(seen, alone[name])


def test_threads_compile_at_once() -> None:
    """Classes of a standalone kernel look for their module while they are made."""
    source = DERIVED["poisson"].source(standalone=True)
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda n: rs.Kernel(f"poisson{n % 2}", source), range(8)))
    for k in made:
        assert equal(found(k, AT["poisson"]), found(made[0], AT["poisson"]))
    assert not {"poisson0", "poisson1"} & set(sys.modules)


def test_a_spawned_process_takes_it() -> None:
    """A new interpreter, which inherits nothing, gets the kernel and its functions by pickle."""
    k, at = DERIVED["poisson"].compile(), AT["poisson"]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        np.testing.assert_array_equal(pool.apply(k.score, (X, at)), k.score(X, at))
        fits = pool.map(partial(k.fit, X, max_iter=5), [at, [0.5, 0.5, 3.0]])
        np.testing.assert_array_equal(fits[0].coords, k.fit(X, at, max_iter=5).coords)
        with pytest.raises(DomainError, match="pi_1 is outside its domain"):
            pool.apply(k.fisher, ([2.0, 1.0, 4.0],))
