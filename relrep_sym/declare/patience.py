"""An end to what SymPy may take forever over.

In: seconds of processor time, and work to be done in this thread. Out: the work's result, or
:class:`TooLong`. What SymPy asks itself about signs and imaginary parts can grow tenfold with each
level of nested roots and functions, in one single call; no count of nodes tells when. So the time
is looked at from inside: Python tells a profile function of every call, and that one may raise.
"""

from __future__ import annotations

import inspect
import sys
import time
from types import FrameType, TracebackType
from typing import Any

__all__ = ["Patience", "TooLong"]

_CALLS = 500  # between two looks at the clock, far less than a millisecond


class TooLong(BaseException):
    """The time is over. Not an Exception, so that nothing on the way takes it for its own."""


class Patience:
    """A limit on processor time, looked at from inside once :meth:`watch` was called.

    Watching makes Python some two times slower, so it is left until it may matter. Where a profiler
    is at work in this thread it is left in place, and the time is not watched.

    >>> with Patience(0.01) as patience:
    ...     patience.watch()
    ...     while True:
    ...         abs(0)
    Traceback (most recent call last):
    ...
    relrep_sym.declare.patience.TooLong
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.started = 0.0
        self._watching = False
        self._left = _CALLS

    def __enter__(self) -> Patience:
        self.started = time.thread_time()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        if self._watching:
            sys.setprofile(None)
            self._watching = False

    def spent(self) -> float:
        """Seconds of processor time so far."""
        return time.thread_time() - self.started

    def check(self) -> None:
        """Raise TooLong if the time is over."""
        if self.spent() > self.seconds:
            raise TooLong

    def watch(self) -> None:
        """From here on look at the time from inside too."""
        if not self._watching and sys.getprofile() is None:
            self._watching = True
            sys.setprofile(self._look)

    def _look(self, frame: FrameType, event: str, argument: Any) -> None:
        self._left -= 1
        # a generator may be on its way out, where Python would drop what is raised
        if self._left < 0 and not frame.f_code.co_flags & inspect.CO_GENERATOR:
            self._left = _CALLS
            self.check()
