"""Writing files so that each is whole, old or new, whatever happens.

In: a path and a text. Out: the file, replaced in one step and only if it changes. Two writers at once
end with one of the texts; a writer that is killed leaves the old file, and a hidden scrap that the
next writer removes.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from relrep_sym.errors import GenerationError, problem

__all__ = ["clear_scraps", "write"]

_SCRAP = re.compile(r"\.relrep-(\d+)-.*\.tmp$")


def write(path: Path, text: str) -> bool:
    """Put ``text`` into ``path`` (UTF-8, \\n); True if the file changed.

    Raises GenerationError where the folder is missing or the file cannot be written.
    """
    data = text.encode()
    with contextlib.suppress(OSError):
        if path.read_bytes() == data:
            return False
    scrap = path.with_name(f".relrep-{os.getpid()}-{path.name}.tmp")
    try:
        clear_scraps(path.parent)
        with scrap.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(scrap, path)
    except OSError as why:
        with contextlib.suppress(OSError):
            scrap.unlink()
        right = "a writable file in an existing folder"
        raise GenerationError(problem(f"cannot write {path}", why.strerror or str(why), right)) from why
    return True


def clear_scraps(folder: Path) -> None:
    """Remove what writers that are no longer alive left in ``folder``."""
    for entry in folder.glob(".relrep-*.tmp"):
        found = _SCRAP.search(entry.name)
        if found and not _alive(int(found[1])):
            with contextlib.suppress(OSError):
                entry.unlink()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
