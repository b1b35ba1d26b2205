"""Certificates of many derivations, by as many processes as there are cores.

In: derivations' names, and the function that makes the derivation of a name. Out: their
certificates, in the order of the names, the same as one process gives. A task is one derivation at
one point; each process makes the derivations it needs for itself, so that only names and measured
errors travel. With one core, or one task, everything is done here.
"""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relrep_sym.errors import CertificateError, problem
from relrep_sym.runtime.threads import thread_count
from relrep_sym.scripts import run_file

if TYPE_CHECKING:
    from relrep_sym.api import Derivation
    from relrep_sym.verify.certificate import Certificate, Entry

__all__ = ["Judged", "certified"]

Make = Callable[[str, Path], "Derivation"]
"""The derivation of a name, from a folder of scripts; a function of a module, by which it travels
to other processes."""
Progress = Callable[[str, str, str], None]
"""Called with each function that was measured: derivation, function and point."""
POLL = 0.1
"""Seconds between two looks at what was measured meanwhile."""


@dataclass(frozen=True)
class Judged:
    """A derivation's certificate; or None, and why the oracle could give none."""

    name: str
    certificate: Certificate | None
    why: str
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether there is a certificate and it passes."""
        return self.certificate is not None and self.certificate.ok

    def __str__(self) -> str:
        return self.why if self.certificate is None else str(self.certificate)


@dataclass(frozen=True)
class _Plan:
    """What every task of a run shares."""

    make: Make
    folder: Path
    modules: Mapping[str, Path] = field(default_factory=dict)
    digits: int = 30
    full: bool = False

    def judge(
        self, name: str, made: Derivation, progress: Progress | None, **options: Any
    ) -> Certificate:
        """The certificate of one derivation, in this process."""
        module = None
        if name in self.modules:
            module = run_file(self.modules[name], f"_relrep_{made.name}")
        tell: Callable[[Entry], None] | None = None
        if progress is not None:

            def tell(entry: Entry) -> None:
                progress(made.name, entry.function, entry.point)

        certificate: Certificate = made.verify(
            self.digits, full=self.full, module=module, progress=tell, **options
        )
        return certificate


def certified(
    names: Sequence[str],
    make: Make,
    folder: Path,
    *,
    modules: Mapping[str, Path] | None = None,
    digits: int = 30,
    full: bool = False,
    processes: int | None = None,
    progress: Progress | None = None,
) -> Iterator[Judged]:
    """The certificates of ``names``, one after another, as they are done.

    ``make(name, folder)`` gives a derivation; ``modules`` names files to judge, where it is not the
    derivation compiled in memory. ``processes`` is by default the number of cores, which
    ``RELREP_NUM_THREADS`` bounds. What ``make`` raises comes out; a CertificateError is the outcome
    of its derivation. Raises CertificateError where a process is ended from outside.
    """
    plan = _Plan(make, folder, modules or {}, digits, full)
    count = thread_count() if processes is None else processes
    if count > 1 and names:
        yield from _by_several(plan, names, count, progress)
        return
    for name in names:
        start = time.perf_counter()
        try:
            certificate, why = plan.judge(name, make(name, folder), progress), ""
        except CertificateError as error:
            certificate, why = None, str(error)
        yield Judged(name, certificate, why, time.perf_counter() - start)


# ----------------------------------------------------------------------------- several processes

Outcome = tuple[tuple["Entry", ...], str, float]
"""The entries of one derivation at one point, why there are none, and the seconds."""


def _by_several(
    plan: _Plan, names: Sequence[str], count: int, progress: Progress | None
) -> Iterator[Judged]:
    from relrep_sym.certify import point_names
    from relrep_sym.verify.certificate import Certificate

    context = multiprocessing.get_context("spawn")
    queue = context.SimpleQueue() if progress is not None else None
    made = {name: plan.make(name, plan.folder) for name in names}
    with ProcessPoolExecutor(
        count, mp_context=context, initializer=_begin, initargs=(queue,)
    ) as pool:
        tasks = {
            name: [
                pool.submit(_judge, plan, name, point)
                for point in point_names(made[name], full=plan.full)
            ]
            for name in names
        }
        try:
            for name, futures in tasks.items():
                _attend(futures, queue, progress)
                parts: list[Outcome] = [future.result() for future in futures]
                why = next((why for _, why, _ in parts if why), "")
                entries = tuple(entry for own, _, _ in parts for entry in own)
                certificate = None if why else Certificate(made[name].name, entries)
                yield Judged(name, certificate, why, sum(seconds for *_, seconds in parts))
        except BrokenProcessPool as why:
            right = "processes that run to their end; --processes 1 certifies in one"
            text = problem("a process that certified was ended", str(why), right)
            raise CertificateError(text) from None
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _attend(futures: Sequence[Future[Outcome]], queue: Any, progress: Progress | None) -> None:
    """Wait, and pass on meanwhile what is measured."""
    waiting = set(futures)
    while waiting:
        _, waiting = wait(waiting, timeout=POLL if progress is not None else None)
        while progress is not None and not queue.empty():
            progress(*queue.get())


_queue: Any = None


def _begin(queue: Any) -> None:
    """In a new process: an interrupt ends it, and what is measured is told through the queue."""
    global _queue
    _queue = queue
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@lru_cache(maxsize=16)
def _made(make: Make, folder: Path, name: str) -> Derivation:
    """Remembered in a process that only certifies: the points of a derivation are several tasks."""
    return make(name, folder)


def _judge(plan: _Plan, name: str, point: str) -> Outcome:
    start = time.perf_counter()
    tell = None if _queue is None else (lambda *said: _queue.put(said))
    made = _made(plan.make, plan.folder, name)
    try:
        entries, why = plan.judge(name, made, tell, at=point).entries, ""
    except CertificateError as error:
        entries, why = (), str(error)
    return entries, why, time.perf_counter() - start
