"""Example data that travel with the package, read through ``importlib.resources``.

In: nothing. Out: arrays. Stands beside ``errors``, below every floor; the README in this folder
names the source of each file.
"""

from __future__ import annotations

from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

__all__ = ["faithful"]


def __dir__() -> list[str]:
    return sorted(__all__)


def faithful() -> NDArray[np.float64]:
    """The Old Faithful geyser: 272 rows of (length of the eruption, waiting time), in minutes.

    Source: Azzalini and Bowman (1990), as distributed with R's ``datasets``.

    >>> eruptions, waiting = faithful().T
    >>> waiting.shape, float(waiting.min()), float(waiting.max())
    ((272,), 43.0, 96.0)
    """
    text = files(__name__).joinpath("faithful.csv").read_text(encoding="ascii")
    return np.loadtxt(text.splitlines(), delimiter=",", skiprows=1, dtype=np.float64)
