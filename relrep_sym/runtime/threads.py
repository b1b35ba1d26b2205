"""Blocks in threads: NumPy releases the interpreter lock inside its loops.

In: work that is cut into numbered pieces. Out: the pieces' results in order, whatever the number of
threads. ``RELREP_NUM_THREADS`` bounds them; by default there are as many as cores, at most eight.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

from relrep_sym.errors import DataError, problem

__all__ = ["in_threads", "thread_count"]

T = TypeVar("T")

_ENOUGH = 4
"""Fewer pieces than this are not worth a thread."""


def thread_count() -> int:
    """How many threads a long pass may use.

    Raises DataError where ``RELREP_NUM_THREADS`` is not a positive whole number.
    """
    given = os.environ.get("RELREP_NUM_THREADS")
    if given is None:
        try:
            cores = len(os.sched_getaffinity(0))
        except AttributeError:  # not on this platform
            cores = os.cpu_count() or 1
        return min(cores, 8)
    if not given.isdecimal() or int(given) < 1:
        raise DataError(problem("RELREP_NUM_THREADS is not a count", given, "1, 2, 3, …"))
    return int(given)


def in_threads(work: Callable[[Iterator[int], list[T | None]], None], count: int) -> list[T]:
    """Results 0 … count − 1 of ``work(numbers, results)``, which fills ``results`` at ``numbers``.

    Each thread claims the next number when it is done with one, so that a thread that is held up
    holds up one piece only. An exception in a thread is raised here.

    >>> def square(numbers, results):
    ...     for n in numbers:
    ...         results[n] = n * n
    >>> in_threads(square, 5)
    [0, 1, 4, 9, 16]
    """
    results: list[T | None] = [None] * count
    threads = min(thread_count(), count // 2) if count >= _ENOUGH else 1
    if threads <= 1:
        work(iter(range(count)), results)
        return results  # type: ignore[return-value]
    failures: list[BaseException] = []
    numbers, lock = iter(range(count)), threading.Lock()

    def claim() -> Iterator[int]:
        while not failures:
            with lock:
                n = next(numbers, None)
            if n is None:
                return
            yield n

    def guarded() -> None:
        try:
            work(claim(), results)
        except BaseException as why:
            failures.append(why)

    helpers = [threading.Thread(target=guarded, daemon=True) for _ in range(1, threads)]
    for helper in helpers:
        helper.start()
    guarded()
    for helper in helpers:
        helper.join()
    if failures:
        raise failures[0]
    return results  # type: ignore[return-value]
