"""Writing files so that each is whole, old or new, whatever happens.

In: a path and a text. Out: the file, replaced in one step and only if it changes. Two writers at
once end with one of the texts; a writer that is killed leaves the old file, and a hidden scrap that
the next writer removes.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import time
from pathlib import Path

from relrep_sym.errors import GenerationError, problem

__all__ = ["UNSIGNED", "carries_signature", "clear_scraps", "remove", "write"]

_SCRAP = re.compile(r"\.relrep-(\d+)-[0-9a-f]+\.tmp$")
_ABANDONED = 600.0  # seconds after which no writer is still at work on its scrap


def write(path: Path, text: str) -> bool:
    """Put ``text`` into ``path`` as UTF-8, with its line ends; True if the file changed.

    Raises GenerationError where the folder is missing or the file cannot be written.
    """
    data = text.encode()
    with contextlib.suppress(OSError):
        if path.read_bytes() == data:
            return False
    scrap = path.with_name(f".relrep-{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        clear_scraps(path.parent)
        with scrap.open("xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(scrap, path)
    except BaseException as why:
        with contextlib.suppress(OSError):
            scrap.unlink()
        if isinstance(why, OSError):
            raise _refused("write", path, why, "a writable file in an existing folder") from why
        raise
    return True


def remove(path: Path) -> None:
    """Remove a file, if it is still there. Raises GenerationError where it cannot be removed."""
    try:
        path.unlink(missing_ok=True)
    except OSError as why:
        raise _refused("remove", path, why, "a file that may be removed") from why


def _refused(what: str, path: Path, why: OSError, right: str) -> GenerationError:
    return GenerationError(problem(f"cannot {what} {path}", why.strerror or str(why), right))


def clear_scraps(folder: Path) -> None:
    """Remove what writers that are no longer at work left in ``folder``."""
    for entry in folder.glob(".relrep-*.tmp"):
        found = _SCRAP.search(entry.name)
        with contextlib.suppress(OSError):
            old = time.time() - entry.stat().st_mtime > _ABANDONED
            if found and (old or not _may_live(int(found[1]))):
                entry.unlink()


def _may_live(pid: int) -> bool:
    """Whether a process of this number may be running here."""
    if os.name == "nt":  # there, signal 0 is no question: it is Ctrl-C
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


UNSIGNED = "0" * 32
"""What stands in a text for its own digest while that is taken."""


def signed(text: str) -> str:
    """The text with its digest where it holds :data:`UNSIGNED`.

    >>> carries_signature(signed("a 00000000000000000000000000000000"))
    True
    """
    return text.replace(UNSIGNED, _digest(text), 1)


def carries_signature(text: str) -> bool:
    """Whether some word of the text is the digest of the rest: it was not edited since."""
    return any(
        _digest(text.replace(word, UNSIGNED, 1)) == word
        for word in re.findall(r"\b[0-9a-f]{32}\b", text[:4000])
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
