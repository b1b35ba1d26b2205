"""Timing of named alternatives side by side in one run.

Each round times every contender once, in turn, so that what else the machine does falls on all of
them; a ratio is the median over rounds of (contender / ours).
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections.abc import Callable


def seconds(run: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def compare(
    title: str, ours: Callable[[], object], others: dict[str, Callable[[], object]], rounds: int = 7
) -> dict[str, float]:
    """Print and return, for each alternative, how many times our time it takes."""
    contenders = {"relrep_sym": ours, **others}
    for run in contenders.values():
        run()  # warm: compilation, caches, memory
    gc.disable()
    try:
        times: dict[str, list[float]] = {name: [] for name in contenders}
        for _ in range(rounds):
            for name, run in contenders.items():
                times[name].append(seconds(run))
    finally:
        gc.enable()
    mine = times["relrep_sym"]
    sys.stdout.write(f"\n{title}\n")
    ratios = {}
    for name, row in times.items():
        each = [t / m for t, m in zip(row, mine, strict=True)]
        ratios[name] = statistics.median(each)
        sys.stdout.write(
            f"  {name:42s} {statistics.median(row) * 1e3:10.3f} ms   best {min(row) * 1e3:10.3f} ms"
            f"   x {ratios[name]:8.2f}\n"
        )
    return ratios
