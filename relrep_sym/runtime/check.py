"""What enters a kernel, checked once: samples, sample weights, coordinates.

In: whatever a user passes. Out: float64 arrays of the shapes the kernels work on, or an error that
names what was wrong. NumPy only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from relrep_sym.errors import DataError, DomainError, problem

__all__ = [
    "Array",
    "Coords",
    "Entries",
    "Support",
    "below",
    "constant",
    "coordinates",
    "filled",
    "generator",
    "interval",
    "named",
    "numbers",
    "per_coordinate",
    "sample",
    "sample_weights",
    "stacked",
]

Array = NDArray[np.float64]
Entries = ArrayLike | Mapping[str, ArrayLike]
"""Coordinates or θ: an array, the entries in its last axis, or a mapping by their names."""
Support = str | tuple[Any, ...]
"""``"line"``, ``"half-line"``, ``"integers"``, ``("interval", a, b)``, ``("integers", a, b)`` or
``("finite", (x_1, …))``."""


class Coords(NamedTuple):
    """Coordinates as rows, (P, B), with the leading shape they came in."""

    rows: Array
    shape: tuple[int, ...]


def stacked(rows: Sequence[ArrayLike], batch: int) -> Array:
    """Rows, each (B,) or a number, as one array (len(rows), B).

    >>> stacked([np.array([1.0, 2.0]), 0], 2)
    array([[1., 2.],
           [0., 0.]])
    """
    out = np.empty((len(rows), batch))
    for target, row in zip(out, rows, strict=True):
        target[...] = row
    return out


def numbers(value: ArrayLike, what: str) -> Array:
    """``value`` as a float64 array of finite numbers.

    >>> numbers([1, 2], "coords")
    array([1., 2.])
    """
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise DataError(problem(f"{what} has masked entries", _kind(value), "none masked"))
    try:
        array = np.asarray(value)
        if array.dtype.kind == "O" and hasattr(value, "to_numpy"):  # a data frame's own numbers
            array = value.to_numpy(dtype=np.float64)
        if array.dtype.kind not in "fiub":
            raise TypeError
        with np.errstate(
            over="ignore"
        ):  # a wider float becomes an infinity, which is refused below
            array = array.astype(np.float64, copy=False)
    except (TypeError, ValueError):
        raise DataError(problem(f"{what} is not numeric", _kind(value), "real numbers")) from None
    with np.errstate(over="ignore", invalid="ignore"):
        suspect = array.size > 0 and not np.isfinite(array.min() + array.max())
    if suspect and not np.isfinite(array).all():
        bad = array[~np.isfinite(array)][0]
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        place = f"{what}{list(where)}" if where else what
        raise DataError(problem(f"{place} is not finite", f"{bad}", "finite numbers"))
    return array


def _kind(value: object) -> str:
    dtype = getattr(value, "dtype", None)
    return f"{type(value).__name__}" + (f" of {dtype}" if dtype is not None else "")


def named(value: Entries, names: Sequence[str], what: str) -> ArrayLike:
    """Numbers by name as an array (…, P) in the order of ``names``; all else is handed through.

    ``value`` may be a mapping, or a labelled row such as a pandas Series whose labels are text: it
    has an entry for each name and no other. Entries are numbers, or arrays that broadcast against
    each other.

    >>> named({"mu": 2, "pi": [0.25, 0.5]}, ("pi", "mu"), "coords")
    array([[0.25, 2.  ],
           [0.5 , 2.  ]])
    """
    labelled: Any = value
    if isinstance(value, np.ndarray | list | tuple) or not hasattr(value, "keys"):
        return labelled
    keys = list(labelled.keys())
    if not isinstance(value, Mapping) and not all(isinstance(k, str) for k in keys):
        return labelled
    missing = [n for n in names if n not in keys]
    strange = [k for k in keys if k not in names]
    if missing or strange or len(keys) != len(names):
        wrong = (
            f"{what} has no entry {missing[0]}"
            if missing
            else f"{what} has an entry that is no name here: {strange[0]}"
            if strange
            else f"{what} has an entry twice"
        )
        given = ", ".join(map(str, keys)) or "nothing"
        raise DataError(problem(wrong, given, f"an entry for each of {', '.join(names)}"))
    entries = [numbers(labelled[n], f"{what}[{n!r}]") for n in names]
    try:
        return np.stack(np.broadcast_arrays(*entries), axis=-1)
    except ValueError:
        shapes = ", ".join(f"{n} {e.shape}" for n, e in zip(names, entries, strict=True))
        wrong = f"the entries of {what} differ in shape"
        raise DataError(problem(wrong, shapes, "numbers, or arrays of one shape")) from None


def generator(rng: object) -> np.random.Generator:
    """A source of random numbers: a generator as it is, or a new one from a seed.

    >>> float(generator(0).random()) == float(generator(0).random())
    True
    """
    if isinstance(rng, np.random.Generator):
        return rng
    if isinstance(rng, bool) or not isinstance(rng, int | np.integer) or rng < 0:
        right = "a seed (an integer >= 0), or a numpy.random.Generator"
        raise DataError(problem("rng is no source of random numbers", rng, right))
    return np.random.default_rng(int(rng))


def _one_column(array: Array, what: str) -> Array:
    """A single column (N, 1), as a data frame gives it, as (N,); other shapes as they are."""
    if array.ndim == 2 and array.shape[1] == 1:
        return array[:, 0]
    if array.ndim > 1:
        right = "shape (N,) or (N, 1): models are of one-dimensional observations"
        raise DataError(problem(f"{what} has too many dimensions", f"shape {array.shape}", right))
    return array


def sample(x: ArrayLike, support: Support) -> Array:
    """A sample as an (N,) array, N ≥ 1, within the support; a scalar is a sample of one.

    A single column (N, 1), such as ``frame[["y"]]``, is a sample too.
    """
    array = np.atleast_1d(_one_column(numbers(x, "x"), "x"))
    if array.size == 0:
        raise DataError(problem("the sample x is empty", "shape (0,)", "at least one point"))
    if support == "integers" and ((array < 0) | (array != np.floor(array))).any():
        bad = array[(array < 0) | (array != np.floor(array))][0]
        raise DataError(problem("x is not a count", f"{bad}", "integers 0, 1, 2, …"))
    if support == "half-line" and (array < 0).any():
        raise DataError(problem("x is negative", f"{array.min()}", "numbers >= 0"))
    if not isinstance(support, str):
        _insist_inside(array, support)
    return np.ascontiguousarray(array)


def _insist_inside(array: Array, support: tuple[Any, ...]) -> None:
    kind, *ends = support
    if kind == "finite":
        points = np.asarray(ends[0])
        outside = ~np.isin(array, points)
        right = f"one of {len(points)} numbers from {points[0]} to {points[-1]}"
    else:
        low, high = ends
        outside = (array < low) | (array > high)
        right = f"numbers from {low} to {high}"
        if kind == "integers":
            outside |= array != np.floor(array)
            right = f"integers {low}, …, {high}"
    if outside.any():
        raise DataError(problem("x is outside the support", f"{array[outside][0]}", right))


def below(names: Sequence[str], upper: Sequence[float], rows: Sequence[Array], what: str) -> None:
    """Refuse family parameters at or above their upper end; ``upper`` may be empty."""
    for name, end, values in zip(names, upper, rows, strict=False):
        if not values.max() < end:
            bad = values[~(values < end)]
            raise DomainError(
                problem(f"{what}{name} is outside its domain", f"{bad[0]}", f"{name} < {end:g}")
            )


def sample_weights(weights: ArrayLike | None, count: int) -> Array | None:
    """Sample weights normalised to sum one, or None for equal ones."""
    if weights is None:
        return None
    array = _one_column(numbers(weights, "weights"), "weights")
    if array.shape != (count,):
        raise DataError(
            problem("weights and x differ in shape", f"weights {array.shape}", f"shape ({count},)")
        )
    if (array < 0).any():
        raise DataError(problem("a weight is negative", f"{array.min()}", "weights >= 0"))
    top = array.max()
    if not top > 0:
        raise DataError(problem("the weights are all zero", "0", "weights with a positive sum"))
    scaled = array / top  # the sum of huge weights must not overflow
    return scaled / scaled.sum()


def constant(
    value: ArrayLike,
    name: str,
    shape: tuple[int, ...],
    floor: float,
    ceiling: float,
    strict: bool,
) -> Array:
    """A chart's constant over a batch of coordinates of leading shape ``shape``, as a row (B,)."""
    array = numbers(value, name)
    try:
        row = np.broadcast_to(array, shape).reshape(-1)
    except ValueError:
        right = f"a number, or an array that broadcasts to {shape}"
        raise DataError(problem(f"{name} has the wrong shape", f"{array.shape}", right)) from None
    low, high = row.min(), row.max()
    if low < floor or high > ceiling or (strict and low <= floor):
        bad = high if high > ceiling else low
        right = interval(floor, ceiling, strict)
        raise DomainError(problem(f"the constant {name} is outside its domain", f"{bad}", right))
    return row


def coordinates(
    coords: Entries,
    names: Sequence[str],
    lower: Sequence[float],
    upper: Sequence[float],
    positive: Sequence[bool],
) -> Coords:
    """Coordinates (…, P), or by name, as rows (P, B), each inside its domain.

    ``lower`` and ``upper`` are the ends, which belong to the domain but where ``positive``.
    """
    array = numbers(named(coords, names, "coords"), "coords")
    if array.ndim == 0 or array.shape[-1] != len(names):
        raise DataError(
            problem(
                "coords has the wrong shape",
                f"shape {array.shape}",
                f"shape (…, {len(names)}) for ({', '.join(names)})",
            )
        )
    shape = array.shape[:-1]
    rows = np.ascontiguousarray(array.reshape(-1, len(names)).T)
    if rows.shape[1] == 0:
        raise DataError(problem("coords is empty", f"shape {array.shape}", "at least one point"))
    least, most = rows.min(axis=1).tolist(), rows.max(axis=1).tolist()
    for name, low, high, floor, ceiling, strict in zip(
        names, least, most, lower, upper, positive, strict=True
    ):
        if low < floor or high > ceiling or (strict and low <= floor):
            bad = low if (low < floor or (strict and low <= floor)) else high
            right = interval(floor, ceiling, strict)
            raise DomainError(problem(f"{name} is outside its domain", repr(bad), right))
    return Coords(rows, shape)


def interval(lower: float, upper: float, strict: bool) -> str:
    """An interval in words; infinite ends do not belong to it, nor the lower one where ``strict``.

    >>> interval(0.0, 1.0, False), interval(0.0, np.inf, True), interval(-np.inf, np.inf, False)
    ('[0.0, 1.0]', '(0.0, inf)', '(-inf, inf)')
    """
    opening = "(" if strict or lower == -np.inf else "["
    return f"{opening}{lower}, {upper}{')' if upper == np.inf else ']'}"


def per_coordinate(value: ArrayLike, count: int, what: str, *, positive: bool) -> Array:
    """One number, or one for each coordinate: above zero, or at least zero."""
    array = numbers(value, what)
    if array.shape not in ((), (count,)):
        right = f"a number, or shape ({count},)"
        raise DataError(problem(f"{what} has the wrong shape", f"shape {array.shape}", right))
    if not ((array > 0) if positive else (array >= 0)).all():
        right = f"{what} > 0" if positive else f"{what} >= 0"
        raise DataError(problem(f"{what} is too small", f"{array.min()}", right))
    return np.broadcast_to(array, (count,)).astype(float)


def filled(found: Array, out: Array | None) -> Array:
    """What was found, in ``out`` where that is given."""
    if out is None:
        return found
    fits = isinstance(out, np.ndarray) and out.shape == found.shape and out.dtype == np.float64
    if not fits or not out.flags.writeable:
        raise DataError(
            problem(
                "out does not fit",
                f"{getattr(out, 'dtype', type(out).__name__)} {np.shape(out)}",
                f"writeable float64 {found.shape}",
            )
        )
    np.copyto(out, found)
    return out
