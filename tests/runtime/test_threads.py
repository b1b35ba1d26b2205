"""Blocks in threads: the same results in the same order, whatever the number of threads."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from relrep_sym.errors import DataError
from relrep_sym.runtime.threads import in_threads, thread_count
from tests.runtime.models import compiled, normals, theta

SETTING = "RELREP_NUM_THREADS"


def square(numbers, results):
    for n in numbers:
        results[n] = n * n


@pytest.mark.parametrize("threads", ["1", "2", "3", "16"])
@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 64, 101])
def test_results_come_in_order(monkeypatch, threads, count):
    monkeypatch.setenv(SETTING, threads)
    assert in_threads(square, count) == [n * n for n in range(count)]


def test_the_setting_bounds_the_threads(monkeypatch):
    seen = set()

    def who(numbers, results):
        seen.add(threading.get_ident())
        square(numbers, results)

    monkeypatch.setenv(SETTING, "1")
    in_threads(who, 100)
    assert seen == {threading.get_ident()}
    monkeypatch.setenv(SETTING, "3")
    assert thread_count() == 3


def test_without_the_setting_there_are_as_many_as_cores_but_at_most_eight(monkeypatch):
    monkeypatch.delenv(SETTING, raising=False)
    assert 1 <= thread_count() <= 8


@pytest.mark.parametrize("given", ["0", "-1", "two", "1.5", "", " 2", "²"])
def test_a_setting_that_is_no_count_is_refused(monkeypatch, given):
    monkeypatch.setenv(SETTING, given)
    with pytest.raises(DataError, match="RELREP_NUM_THREADS is not a count"):
        thread_count()


@pytest.mark.parametrize("at", [0, 1, 7])
def test_an_exception_in_any_thread_is_raised_here(monkeypatch, at):
    monkeypatch.setenv(SETTING, "2")

    def fail(numbers, results):
        for n in numbers:
            if n == at:
                raise DataError(f"at {n}")
            results[n] = n

    before = threading.active_count()
    with pytest.raises(DataError, match=f"at {at}"):
        in_threads(fail, 8)
    assert threading.active_count() == before


def test_a_long_pass_does_not_depend_on_the_number_of_threads(monkeypatch):
    """Bitwise: the blocks and the order of their sums are the same."""
    module = compiled("normal", 3, "relative")
    coords = module.from_model(theta(module, normals(3)))
    x = np.random.default_rng(0).normal(size=300_000)
    weights = np.random.default_rng(1).random(x.size)
    batch = np.stack([coords, coords * 1.01, coords * 0.99])

    def everything():
        return [
            module.score(x, coords),
            module.score(x, batch, weights),
            module.log_likelihood(x, coords),
            module.log_density(x, coords),
            module.em_step(x, coords, weights),
        ]

    monkeypatch.setenv(SETTING, "1")
    once = everything()
    for threads in ("1", "2", "5"):
        monkeypatch.setenv(SETTING, threads)
        for a, b in zip(once, everything(), strict=True):
            np.testing.assert_array_equal(a, b)


def test_an_error_of_a_long_pass_comes_out_of_its_threads(monkeypatch):
    monkeypatch.setenv(SETTING, "2")
    module = compiled("normal", 2)
    x = np.zeros(300_000)
    x[200_000] = 1e200
    from relrep_sym.errors import DomainError

    with pytest.raises(DomainError, match="overflows"):
        module.score(x, [0.5, 0.0, 1.0, 1.0, 2.0])


def test_calls_from_several_threads_do_not_disturb_each_other():
    """The memory that passes reuse belongs to one pass at a time."""
    module = compiled("normal", 3, "relative")
    coords = module.from_model(theta(module, normals(3)))
    rng = np.random.default_rng(0)
    samples = [rng.normal(size=size) for size in (10, 5_000, 70_000, 150_000)]

    def everything(x):
        return [module.score(x, coords), module.score_samples(x, coords), module.em_step(x, coords)]

    alone = [everything(x) for x in samples]
    found = {}

    def run(n):
        for _ in range(5):
            found[n] = everything(samples[n % 4])
            for a, b in zip(found[n], alone[n % 4], strict=True):
                np.testing.assert_array_equal(a, b)
        found[n] = True

    threads = [threading.Thread(target=run, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == dict.fromkeys(range(8), True)


def test_results_are_not_overwritten_by_later_calls():
    module = compiled("normal", 3, "relative")
    coords = module.from_model(theta(module, normals(3)))
    x = np.linspace(-3.0, 3.0, 1000)
    functions = [module.log_density, module.responsibilities, module.score_samples, module.score]
    kept = [f(x, coords) for f in functions]
    copies = [k.copy() for k in kept]
    for f in functions:
        f(x[::-1] + 1.0, coords)
    for k, c in zip(kept, copies, strict=True):
        np.testing.assert_array_equal(k, c)
