"""Names in generated Python: which identifier stands for which coordinate or parameter.

In: names a user chose (any ASCII identifier, keywords included). Out: identifiers that collide
neither with Python's keywords nor with the names the templates use, nor with each other.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable

__all__ = ["identifiers"]

_TAKEN = frozenset(
    "x np out weights rows theta basis spare mass means shares coefficients odds value "
    "rate_of log_gamma components".split()
)
_PREFIXES = re.compile(r"(d|delta|new|g|b)_|[ct]\d+$|total_\d+$")


def identifiers(names: Iterable[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """A distinct identifier for each name; the name itself wherever that is possible.

    >>> identifiers(["mu_1", "lambda", "x", "x_"])
    {'mu_1': 'mu_1', 'lambda': 'lambda_', 'x': 'x__', 'x_': 'x_'}
    """
    wanted = list(dict.fromkeys(names))
    barred = _TAKEN | set(taken)
    clear = {n for n in wanted if not _bars(n, barred)}
    used, out = set(clear), {}
    for name in wanted:
        chosen = name
        while _bars(chosen, barred) or (chosen != name and chosen in used):
            chosen += "_"
        used.add(chosen)
        out[name] = chosen
    return {n: out[n] for n in wanted}


def _bars(name: str, barred: frozenset[str]) -> bool:
    return keyword.iskeyword(name) or name in barred or _PREFIXES.match(name) is not None
