"""Timing of named alternatives side by side in one run.

Each round times every contender once, in turn, so that what else the machine does falls on all of
them; a ratio is the median over rounds of (contender / ours). No contender may take longer than
:data:`BOUND` seconds at a time, the first time, when some compile, :data:`FIRST`: one that does is
printed as "> BOUND s" and left out of the rounds, of which there are as many as fit in
:data:`WHOLE` seconds.
"""

from __future__ import annotations

import gc
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

BOUND = 15.0
FIRST = 45.0
WHOLE = 20.0


class Overrun(Exception):
    """A contender took longer than it may."""


@contextmanager
def bounded(most: float = BOUND) -> Iterator[None]:
    """Raise Overrun inside where that takes longer; in the main thread, on systems with alarms."""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def stop(_: int, __: object) -> None:
        raise Overrun

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, most)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


def seconds(run: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def compare(
    title: str, ours: Callable[[], object], others: dict[str, Callable[[], object]], rounds: int = 7
) -> dict[str, float]:
    """Print and return, for each alternative, how many times our time it takes; inf beyond."""
    contenders = {"relrep_sym": ours, **others}
    slow, once = [], 0.0
    for name, run in contenders.items():  # warm: compilation, caches, memory
        try:
            with bounded(FIRST):
                run()
            with bounded():
                once += seconds(run)
        except Overrun:
            slow.append(name)
    rounds = max(1, min(rounds, int(WHOLE / max(once, 1e-9))))
    gc.disable()
    try:
        times: dict[str, list[float]] = {name: [] for name in contenders if name not in slow}
        for _ in range(rounds):
            for name, row in times.items():
                row.append(seconds(contenders[name]))
    finally:
        gc.enable()
    sys.stdout.write(f"\n{title}\n")
    mine, ratios = times.get("relrep_sym", []), {}
    for name in contenders:
        if name in slow:
            ratios[name] = float("inf")
            sys.stdout.write(f"  {name:42s} > {BOUND:.0f} s: left out\n")
            continue
        row = times[name]
        ratios[name] = (
            statistics.median(t / m for t, m in zip(row, mine, strict=True)) if mine else 0
        )
        sys.stdout.write(
            f"  {name:42s} {statistics.median(row) * 1e3:10.3f} ms   best {min(row) * 1e3:10.3f} ms"
            f"   x {ratios[name]:8.2f}\n"
        )
    return ratios
