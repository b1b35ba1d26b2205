"""Names in generated Python: which identifier stands for which coordinate or parameter.

In: names a user chose (any ASCII identifier, keywords included). Out: identifiers that collide
neither with Python's keywords nor with the names the templates use, nor with each other.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable

__all__ = ["LONGEST", "identifiers"]

LONGEST = 26
"""Characters of an identifier, so that two of them and an operation fit into a line."""

_TAKEN = frozenset(
    "x np out weights rows theta basis spare mass means shares coefficients odds value "
    "rate_of log_gamma components Components l O".split()  # l and O: ruff takes them for 1 and 0
)
_PREFIXES = re.compile(r"(d|delta|new|g|b)_")
_NUMBERED = re.compile(r"([ct]|total_|part)\d+(_\d+)?$")


def identifiers(names: Iterable[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """A distinct identifier for each name; the name itself wherever that is possible.

    A name of more than :data:`LONGEST` characters is cut.

    >>> identifiers(["mu_1", "lambda", "x", "x_", "d_mu_1"])
    {'mu_1': 'mu_1', 'lambda': 'lambda_', 'x': 'x__', 'x_': 'x_', 'd_mu_1': 'own_d_mu_1'}
    """
    wanted = list(dict.fromkeys(names))
    barred = _TAKEN | set(taken)
    clear = {n for n in wanted if len(n) <= LONGEST and not _bars(n, barred)}
    used = set(clear)
    out: dict[str, str] = {}
    for name in wanted:
        chosen = f"own_{name}" if _PREFIXES.match(name) else name
        if len(chosen) > LONGEST:
            chosen = f"{chosen[: LONGEST - 4]}_{len(out) + 1}"
        while _bars(chosen, barred) or (chosen != name and chosen in used):
            # an underscore may make a reserved prefix of a name, such as b_ of b
            chosen = f"own_{chosen}" if _PREFIXES.match(chosen) else f"{chosen}_"
        used.add(chosen)
        out[name] = chosen
    return {n: out[n] for n in wanted}


def _bars(name: str, barred: frozenset[str]) -> bool:
    made = _PREFIXES.match(name) or _NUMBERED.match(name)
    return keyword.iskeyword(name) or name in barred or made is not None
