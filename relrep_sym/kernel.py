"""Generated modules in memory: :class:`Kernel`, which pickles, because it holds its source.

In: the source that this package rendered. Out: an object with the module's functions and constants
as its attributes, as if the source had been written to a file and imported.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from threading import RLock
from typing import Any, NoReturn

__all__ = ["Kernel"]

_LOADING = RLock()


class Kernel(types.ModuleType):
    """The functions of a generated module, compiled in memory.

    Made by :meth:`Derivation.compile`. Functions and constants are attributes (``k.score``,
    ``k.COORDINATES``); ``help(k)`` says what they are, ``k.source`` is the text that
    :meth:`Derivation.write` would write. A kernel cannot be changed. It and its functions pickle,
    so that they can be sent to other processes; several threads may call them at once.

    >>> import pickle
    >>> import relrep_sym as rs
    >>> k = rs.derive(rs.mixture("poisson", components=2)).compile()
    >>> k
    <Kernel poisson2: mixture of 2 poisson components: weights free, rates free; coordinates pi_1, \
rate_1, rate_2>
    >>> again = pickle.loads(pickle.dumps(k.score))
    >>> again([0, 1, 4], [0.5, 1.0, 3.0]).round(6)
    array([ 0.234172, -0.210002, -0.002082])
    """

    def __init__(self, name: str, source: str) -> None:
        super().__init__(name)
        code = compile(source, f"<{name}>", "exec", dont_inherit=True)
        with _findable(self):
            exec(code, self.__dict__)  # noqa: S102 - only source that this package rendered
        inside = self.__dict__
        for public in inside["__all__"]:
            if isinstance(inside[public], types.FunctionType):
                inside[public] = _Function(self, inside[public])
        inside["_source"] = source

    @property
    def source(self) -> str:
        """The module's source."""
        return str(self.__dict__["_source"])

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a kernel cannot be changed: {name}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a kernel cannot be changed: {name}")

    def __dir__(self) -> list[str]:
        return sorted({*self.__dict__["__all__"], "source"})

    def __repr__(self) -> str:
        title = (self.__doc__ or "").partition("\n")[0].rstrip(".")
        every = self.__dict__["COORDINATES"]
        names = ", ".join(every if len(every) <= 8 else [*every[:7], "…", every[-1]])
        return f"<Kernel {self.__name__}: {title[:1].lower()}{title[1:]}; coordinates {names}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Kernel) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[str, str]:
        return self.__name__, self.source

    def __copy__(self) -> Kernel:
        return self

    def __deepcopy__(self, memo: object) -> Kernel:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _loaded, self._key


class _Function(partial):  # type: ignore[type-arg]
    """A public function of a kernel: the function itself, but that it pickles."""

    kernel: Kernel
    __name__: str

    def __new__(cls, kernel: Kernel, function: types.FunctionType) -> _Function:
        out = super().__new__(cls, function)
        out.kernel = kernel
        out.__dict__.update(
            __name__=function.__name__,
            __qualname__=function.__qualname__,
            __module__=function.__module__,
            __doc__=function.__doc__,
            __wrapped__=function,
        )
        return out

    def __get__(self, instance: object, owner: type | None = None) -> _Function:
        return self  # an attribute of a module, no method; what is here is a routine for help()

    def __repr__(self) -> str:
        return f"<function {self.kernel.__name__}.{self.__name__}>"

    def __copy__(self) -> _Function:
        return self

    def __deepcopy__(self, memo: object) -> _Function:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (self.kernel, self.__name__)


@lru_cache(maxsize=32)
def _loaded(name: str, source: str) -> Kernel:
    """A kernel that comes out of a pickle: once for each source, however often it comes."""
    return Kernel(name, source)


@contextmanager
def _findable(module: types.ModuleType) -> Iterator[None]:
    """Where ``dataclass`` looks for a class's module while it is made, one thread at a time."""
    with _LOADING:
        name = module.__name__
        before = sys.modules.get(name)
        sys.modules[name] = module
        try:
            yield
        finally:
            if before is None:
                del sys.modules[name]
            else:
                sys.modules[name] = before
