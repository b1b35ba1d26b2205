"""Writing files so that each is whole, old or new, and nothing of a user's is lost.

In: a path and a text. Out: the file, replaced in one step and only if it changes. Two writers at
once end with one of the texts; a writer that is killed leaves the old file, and a hidden scrap that
the next writer removes. A text that holds its own digest is *signed*; :func:`put` replaces signed
files alone, those that are still as they were written.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import subprocess
import time
from pathlib import Path

from relrep_sym.errors import GenerationError, problem

__all__ = [
    "UNSIGNED",
    "carries_signature",
    "clear_scraps",
    "held_by_git",
    "insist_ours",
    "put",
    "remove",
    "signed",
    "whose",
    "write",
]

_SCRAP = re.compile(r"\.relrep-(\d+)-[0-9a-f]+\.tmp$")
_ABANDONED = 600.0  # seconds after which no writer is still at work on its scrap


def write(path: Path, text: str) -> bool:
    """Put ``text`` into ``path`` as UTF-8, with its line ends; True if the file changed.

    Raises GenerationError where the folder is missing or the file cannot be written.
    """
    data = text.encode()
    if _reads(path, text):
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


def put(
    path: Path,
    text: str,
    *,
    overwrite: bool = False,
    unless: str = "another path, or overwrite=True",
) -> bool:
    """:func:`write`, but never over what somebody else wrote or changed.

    Raises GenerationError where the file exists and is not as relrep_sym wrote it, unless
    ``overwrite``; ``unless`` is what the error says would be right.
    """
    if path.exists() and not path.is_file():
        raise GenerationError(problem("cannot be written to", str(path), "a file"))
    if not overwrite:
        insist_ours(path, text, unless)
    return write(path, text)


def insist_ours(path: Path, text: str, right: str) -> None:
    """Refuse to replace a user's file by this text; :func:`whose` says what is a user's."""
    if not _reads(path, text) and (wrong := whose(path)):
        raise GenerationError(problem(f"{path.name} exists, and {wrong}", str(path), right))


def whose(path: Path) -> str | None:
    """Why a file is a user's; None where relrep_sym wrote it as it is, or where there is none."""
    try:
        text = path.read_bytes().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as why:
        raise _refused("read", path, why, "a readable file") from why
    if carries_signature(text):
        return None
    if re.search(r"\bText sha256: [0-9a-f]{32}$", text[:_HEAD], re.MULTILINE):
        return "it was edited since relrep wrote it"
    return "relrep did not write it"


def held_by_git(path: Path) -> bool:
    """Whether git has the file as it is in its last commit, so that nothing is lost with it."""
    # a hook sets GIT_DIR and others for the folder that it runs in, which is not this one
    outside = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    command = ["git", "-C", str(path.parent), "status", "--porcelain", "--ignored", "--", path.name]
    try:
        done = subprocess.run(command, capture_output=True, env=outside, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and not done.stdout


def _reads(path: Path, text: str) -> bool:
    with contextlib.suppress(OSError):
        return path.read_bytes() == text.encode()
    return False


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


_HEAD = 4000  # characters within which a signature stands
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
        for word in re.findall(r"\b[0-9a-f]{32}\b", text[:_HEAD])
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
