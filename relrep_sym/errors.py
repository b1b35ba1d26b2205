"""The errors of the package: one small family under :class:`RelrepError`, and its warnings.

Stands below every other floor. Each message says what was wrong, what was given, and what would
be right; :func:`problem` puts the three in that order, so that no floor words them differently.
"""

from __future__ import annotations

import os
from dataclasses import is_dataclass
from enum import Enum
from typing import Any

__all__ = [
    "CertificateError",
    "ChartWarning",
    "ConditionWarning",
    "DataError",
    "DeclarationError",
    "DerivationError",
    "DomainError",
    "FitWarning",
    "FlowWarning",
    "GenerationError",
    "InferenceWarning",
    "NoInverseError",
    "NotInstalledError",
    "ParseError",
    "PrecisionWarning",
    "RelrepError",
    "RelrepWarning",
    "problem",
]


def __dir__() -> list[str]:
    return sorted(__all__)


class RelrepError(Exception):
    """Base of every error that relrep_sym raises on purpose."""


class DeclarationError(RelrepError, ValueError):
    """A model, chart, view, truth or request that cannot be what was meant."""


class ParseError(DeclarationError):
    """A text that is not an expression of the small language users write maps in."""


class DomainError(RelrepError, ValueError):
    """Coordinates or parameters outside the domain on which the map or model is defined."""


class DataError(RelrepError, ValueError):
    """A sample, its weights, or an array of the wrong shape, empty, or not finite."""


class NoInverseError(RelrepError):
    """``from_model`` was asked of a chart whose inverse is neither given nor found."""


class DerivationError(RelrepError):
    """The engine cannot derive what was asked for; the text says which step has no closed form."""


class CertificateError(RelrepError):
    """A kernel missed its yardstick against the oracle; the text names the worst point."""


class GenerationError(RelrepError):
    """A generated file is stale, edited, missing or untracked, or could not be written."""


class NotInstalledError(RelrepError, ImportError):
    """A function needs a package of an extra that is not installed; the text names the extra."""


class RelrepWarning(UserWarning):
    """Base of every warning that relrep_sym gives on purpose."""


class ChartWarning(RelrepWarning):
    """A chart that is used for what a view is meant for: its plain gradient flow differs."""


class ConditionWarning(RelrepWarning):
    """A matrix that cannot be inverted, or so near to it that what follows means little; see the
    text.
    """


class FitWarning(RelrepWarning):
    """A fit that can mean little, such as one with fewer points than parameters."""


class FlowWarning(RelrepWarning):
    """Members of a flow that were stopped; the text names each, when and why."""


class InferenceWarning(RelrepWarning):
    """Standard errors at a point where they do not mean what they say; the text says why."""


class PrecisionWarning(RelrepWarning):
    """An expression of the user's own that loses digits somewhere, however it is written."""


def problem(wrong: str, given: object, right: str) -> str:
    """The text of an error: what was wrong, what was given, what would be right.

    >>> problem("a weight is negative", -0.5, "weights >= 0 that sum to one")
    'a weight is negative; given: -0.5; expected: weights >= 0 that sum to one'
    """
    try:
        shown = _shown(given)
    except ValueError:  # an integer of more digits than Python prints
        shown = f"a number of some {given.bit_length()} bits" if isinstance(given, int) else "?"
    if len(shown) > 200:
        shown = f"{shown[:160]}… ({len(shown)} characters)"
    return f"{wrong}; given: {shown}; expected: {right}"


def _shown(value: Any, inside: bool = False) -> str:
    """A value as a user would write it: no ``np.float64(…)``, ``PosixPath(…)`` or dataclass.

    >>> from pathlib import PurePosixPath
    >>> _shown(PurePosixPath("a.csv")), _shown([PurePosixPath("a.csv"), 1])
    ('a.csv', "['a.csv', 1]")
    """
    if isinstance(value, str):
        return repr(value) if inside else value
    if isinstance(value, os.PathLike):
        return _shown(str(value), inside)
    if isinstance(value, Enum):
        return _shown(value.value, inside)
    if is_dataclass(value) and not isinstance(value, type):
        return f"a {type(value).__name__}"
    kind = type(value)
    if kind in (list, tuple, set, frozenset) and value:
        inner = ", ".join(_shown(v, True) for v in value)
        if kind is tuple:
            return f"({inner},)" if len(value) == 1 else f"({inner})"
        return f"[{inner}]" if kind is list else f"{{{inner}}}"
    if kind is dict:
        return f"{{{', '.join(f'{_shown(k, True)}: {_shown(v, True)}' for k, v in value.items())}}}"
    if hasattr(value, "dtype") and hasattr(value, "tolist"):  # NumPy's scalars and arrays
        return _shown(value.tolist(), inside) if value.size <= 100 else f"an array {value.shape}"
    return repr(value)
