"""What a derivation cites, for a paper's bibliography.

In: a :class:`~relrep_sym.equations.record.Record`. Out: BibTeX entries, or lines to read, of the
works that its equations cite and of this package.
"""

from __future__ import annotations

from relrep_sym import __version__
from relrep_sym.equations.record import Record
from relrep_sym.equations.sources import Source, cited
from relrep_sym.errors import DeclarationError, problem

__all__ = ["PACKAGE", "citation"]

PACKAGE = Source(
    "relrep_sym",
    "misc",
    (
        ("author", "{The relrep\\_sym developers}"),
        (
            "title",
            "{relrep\\_sym}: learning equations of statistical models in the coordinates you "
            "choose",
        ),
        ("howpublished", "Software"),
        ("version", __version__),
        ("note", f"Version {__version__}"),
    ),
)
"""This package, as its CITATION.cff has it."""


def citation(record: Record, format: str = "bibtex") -> str:
    """The works cited, by their keys, and the package last; ``format`` is "bibtex" or "text".

    Raises DeclarationError for another format.
    """
    if format not in ("bibtex", "text"):
        raise DeclarationError(problem("unknown format", format, '"bibtex" or "text"'))
    sources = [*cited(c for e in record for c in e.cites), PACKAGE]
    if format == "text":
        return "".join(f"{s.key}: {s.text}\n" for s in sources)
    return "\n\n".join(s.bibtex() for s in sources) + "\n"
