"""Pictures of learning dynamics: fields and trajectories over any two coordinates.

In: a derivation or its module, a truth, and two names. Out: a matplotlib Axes with the drawing on
it, its axes labelled as the paper's formulas are. Needs matplotlib, the extra ``plot``.

Names are the chart's coordinates; or, with ``view=``, those of another chart of the same model or a
view's functions: the dynamics stay the first chart's, the axes are the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from relrep_sym.declare.symbols import latex_name
from relrep_sym.errors import DataError, NotInstalledError, problem
from relrep_sym.frames import Frame, by_halves, frame_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["field", "trajectories"]


def __dir__() -> list[str]:
    return sorted(__all__)


_INK, _LINE, _EDGE = "0.15", "#1f5fa8", "#b3392f"


def field(
    model: Any,
    truth: object,
    x: str,
    y: str,
    at: Mapping[str, float] | None = None,
    *,
    xlim: tuple[float, float],
    ylim: tuple[float, float],
    n: int = 61,
    field: str = "gradient",
    view: Any = None,
    style: str = "stream",
    ax: Axes | None = None,
    **options: Any,
) -> Axes:
    r"""The field's two components over x and y, the other coordinates held at ``at``.

    Shading is the logarithm of the speed in the two coordinates. Where the other coordinates would
    move too, this is a section through the field, not a flow. Points outside the chart's domain or
    the model's stay empty, and an end of a domain in the picture, such as Δ = 0 where components
    merge, is a dashed line.

    Args:
        model: a Derivation, or its module.
        truth: as for ``averaged_field``.
        x, y: names of two coordinates, or of two axes of ``view``.
        at: the other coordinates' values, all of them, and the constants' of both charts.
        xlim, ylim: the picture's ends.
        n: points along each side.
        field: ``"gradient"`` or ``"natural"``.
        view: what to look in: a view of the chart with as many functions as it has coordinates, or
            a derivation or module of the same model in another chart. The velocities are the first
            chart's, carried over.
        style: ``"stream"`` for streamlines, ``"quiver"`` for arrows of one length.
        ax: where to draw; by default on the current Axes.
        **options: go on to ``Axes.streamplot`` or ``Axes.quiver``.

    Raises DataError for a wrong name, a missing value or wrong ends; NotInstalledError without
    matplotlib.

    >>> import relrep_sym as rs
    >>> model = rs.mixture("normal", components=2, scales=1)
    >>> d = rs.derive(model, rs.relative(model, "mu"))
    >>> q = rs.truth("normal", weights=["1/2", "1/2"], means=[-1, 1], scales=1)
    >>> import matplotlib.pyplot as plt
    >>> figure, axes = plt.subplots()
    >>> ax = rs.plot.field(d, q, "mu_1", "Delta_1", {"pi_1": 0.5}, xlim=(-3, 3), ylim=(0, 4), n=9,
    ...                    ax=axes)
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('$\\mu_1$', '$\\Delta_1$')
    """
    module, frame, given = _framed(model, view, dict(at or {}))
    names = frame.names
    i, j = _place(names, x), _place(names, y)
    if i == j:
        raise DataError(problem("x and y are the same coordinate", x, "two coordinates"))
    if style not in ("stream", "quiver"):
        raise DataError(problem("unknown style", style, '"stream" or "quiver"'))
    if isinstance(n, bool) or not isinstance(n, int) or n < 2:
        raise DataError(problem("n is no number of points", n, "an integer >= 2"))
    kernels = {"gradient": "averaged_field", "natural": "natural_field"}
    if field not in kernels:
        raise DataError(problem("unknown field", field, '"gradient" or "natural"'))
    point = _held(names, (x, y), given)
    across, along = (np.linspace(*_ends(e, w), n) for e, w in ((xlim, "xlim"), (ylim, "ylim")))
    grid = np.broadcast_to(point, (n, n, len(names))).copy()
    grid[..., i], grid[..., j] = np.meshgrid(across, along)
    points = grid.reshape(-1, len(names))
    coords = by_halves(frame.to_coords, len(module.COORDINATES), points)
    velocity = _where_it_exists(module, kernels[field], coords, truth)
    found = by_halves(frame.push, len(names), points, coords, velocity).reshape(grid.shape)
    u, v = found[..., i], found[..., j]
    speed = np.hypot(u, v)

    axes = _axes(ax)
    _shade(axes, across, along, speed)
    if style == "stream":
        drawn = _with(options, color=_INK, linewidth=0.7, arrowsize=0.8, density=1.1)
        axes.streamplot(across, along, np.ma.masked_invalid(u), np.ma.masked_invalid(v), **drawn)
    else:
        step = max(1, n // 20)
        thin = (slice(step // 2, None, step),) * 2
        with np.errstate(invalid="ignore", divide="ignore"):
            arrows = (across[thin[0]], along[thin[0]], (u / speed)[thin], (v / speed)[thin])
        drawn = _with(options, color=_INK, pivot="mid", width=0.0035, scale=26)
        axes.quiver(*arrows, **drawn)
    _dress(axes, names, x, y)
    axes.set(xlim=(across[0], across[-1]), ylim=(along[0], along[-1]))
    _edges(axes, frame, x, y)
    return axes


def trajectories(
    model: Any,
    x: str,
    y: str,
    paths: Any = None,
    *,
    truth: object = None,
    start: ArrayLike | None = None,
    times: ArrayLike | None = None,
    field: str = "gradient",
    view: Any = None,
    constants: Mapping[str, float] | None = None,
    ax: Axes | None = None,
    **options: Any,
) -> Axes:
    """Trajectories over two coordinates, or two of a view's functions.

    A ring is a start, a dot an end; a cross is where a member was stopped. ``paths`` are what
    ``flow`` returned, (…, T, P), or with ``full_output=True`` (array, stops); or a fit, whose
    iterates are drawn; without them a flow from ``start`` under ``truth`` at ``times`` is drawn.

    Args:
        model: a Derivation, or its module.
        x, y: names of two coordinates, of two functions of the module's view, or of two axes of
            ``view``.
        paths: coordinates (…, T, P), NaN where a member was stopped; (these, stops); or a Fit.
        truth, start, times, field: of a flow, where no paths are given.
        view: another view, or another chart of the model, to look in, as in :func:`field`.
        constants: values of the constants of both charts.
        ax: where to draw; by default on the current Axes.
        **options: go on to ``Axes.plot``.

    Raises DataError for a wrong name or shape; NotInstalledError without matplotlib.

    >>> import relrep_sym as rs
    >>> d = rs.derive(rs.mixture("normal", components=2, scales=1))
    >>> q = rs.truth("normal", weights=["1/2", "1/2"], means=[-1, 1], scales=1)
    >>> import matplotlib.pyplot as plt
    >>> figure, axes = plt.subplots()
    >>> ax = rs.plot.trajectories(d, "mu_1", "mu_2", truth=q, start=[[0.5, 0, 1], [0.5, 1, 2]],
    ...                           times=[0.0, 0.5, 1.0], ax=axes)
    >>> len(ax.lines)  # of each a path, a ring and a dot
    6
    """
    module, frame, left = _framed(model, view, dict(constants or {}))
    if left:
        right = ", ".join(module.CONSTANTS) or "none"
        raise DataError(problem("unknown constants", ", ".join(left), right))
    if hasattr(paths, "path") and hasattr(paths, "converged"):
        paths = _iterates(paths)
    if paths is None:
        if truth is None or start is None or times is None:
            right = "paths, or truth=, start= and times="
            raise DataError(problem("there is nothing to draw", "no paths", right))
        paths = module.flow(start, truth, times, field, full_output=True)
    elif not (truth is None and start is None and times is None):
        raise DataError(problem("paths and a flow were given", "both", "one of them"))
    paths, stops = paths if isinstance(paths, tuple) else (paths, [])
    array = np.array(paths, dtype=float)
    names = tuple(module.COORDINATES)
    if array.ndim < 2 or array.shape[-1] != len(names):
        right = f"shape (…, T, {len(names)}), as flow returns them"
        raise DataError(problem("paths has the wrong shape", f"shape {array.shape}", right))
    for stop in stops:  # where it was stopped follows its last known point
        path = array[stop.member]
        path[np.flatnonzero(np.isnan(path).any(axis=1))[:1]] = stop.coords
    flat = array.reshape(-1, *array.shape[-2:])
    seen = _seen(module, flat, (x, y)) if view is None else _framed_paths(frame, flat, (x, y))
    axes = _axes(ax)
    drawn: dict[str, Any] = {"color": _LINE, "linewidth": 1.1, "solid_capstyle": "round"} | options
    halted = {_number(stop.member, array.shape[:-2]) for stop in stops}
    for n, path in enumerate(seen):
        axes.plot(path[:, 0], path[:, 1], **drawn)
        known = np.flatnonzero(np.isfinite(path).all(axis=1))
        if not len(known):
            continue
        first, last = path[known[0]], path[known[-1]]
        ink: dict[str, Any] = {"color": drawn["color"], "linestyle": "none", "zorder": 3}
        axes.plot(*first, marker="o", markersize=4.5, markerfacecolor="white", **ink)
        if known[-1] == len(path) - 1 and len(known) == len(path) and n not in halted:
            axes.plot(*last, marker="o", markersize=4.0, **ink)
        else:
            axes.plot(*last, marker="x", markersize=5.5, markeredgewidth=1.4, **ink)
    _dress(axes, (*frame.names, *getattr(module, "VIEW", ())), x, y)
    _edges(axes, frame, x, y)
    return axes


# ------------------------------------------------------------------------------- what is asked


def _module(model: Any) -> Any:
    """The module of a derivation, or the module itself."""
    if hasattr(model, "COORDINATES") and hasattr(model, "averaged_field"):
        return model
    if hasattr(model, "compile") and hasattr(model, "chart"):
        return model.compile()
    right = "a derivation, or a generated module"
    raise DataError(problem("there is nothing to draw of this", type(model).__name__, right))


def _framed(model: Any, view: Any, given: dict[str, float]) -> tuple[Any, Frame, dict[str, float]]:
    """The module with its constants, the frame with its own, and what else was given."""
    whole = _module(model)
    wanted = {c for m in (whole, view) for c in getattr(m, "CONSTANTS", ())}
    if hasattr(view, "chart") and hasattr(view, "compile"):
        view = view.compile()
        wanted |= set(view.CONSTANTS)
    held = {c: given[c] for c in wanted if c in given}
    module = _Given(whole, {c: held[c] for c in whole.CONSTANTS if c in held})
    others = {c: held[c] for c in getattr(view, "CONSTANTS", ()) if c in held}
    rest = {n: v for n, v in given.items() if n not in held}
    return module, frame_of(module, view, others), rest


def _iterates(fit: Any) -> Any:
    """A fit's path, each start's last iterate repeated to the end; (these, no stops)."""
    path = np.array(fit.path, dtype=float)
    flat = path.reshape(-1, *path.shape[-2:])
    for one in flat:
        known = np.flatnonzero(np.isfinite(one).all(axis=1))
        if len(known):
            one[known[-1] + 1 :] = one[known[-1]]
    return flat.reshape(path.shape), []


def _framed_paths(frame: Frame, paths: Any, pair: tuple[str, str]) -> Any:
    """Two columns of paths (M, T, P), seen in a frame."""
    which = [_place(frame.names, n) for n in pair]
    flat = paths.reshape(-1, paths.shape[-1])
    found = by_halves(frame.from_coords, len(frame.names), flat)
    return found.reshape(*paths.shape[:2], -1)[..., which]


class _Given:
    """A module whose kernels are given the chart's constants."""

    def __init__(self, module: Any, constants: Mapping[str, float]) -> None:
        if set(constants) != set(module.CONSTANTS):
            right = ", ".join(module.CONSTANTS) or "none"
            raise DataError(
                problem("the chart's constants are not given", sorted(constants), right)
            )
        self._module, self._constants = module, constants

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._module, name)
        kernel = callable(found) and not name.startswith("_") and self._constants
        return partial(found, **self._constants) if kernel else found


def _place(names: Sequence[str], name: str) -> int:
    if name not in names:
        raise DataError(problem("unknown coordinate", name, "one of " + ", ".join(names)))
    return list(names).index(name)


def _held(
    names: Sequence[str], drawn: Sequence[str], at: Mapping[str, float] | None
) -> NDArray[np.float64]:
    """The point whose drawn coordinates are still to be filled in."""
    given = dict(at or {})
    wanted = [n for n in names if n not in drawn]
    if set(given) != set(wanted):
        right = "values for " + (", ".join(wanted) or "none")
        raise DataError(problem("at does not hold the other coordinates", sorted(given), right))
    return np.array([given.get(n, 0.0) for n in names], dtype=float)


def _ends(ends: tuple[float, float], what: str) -> tuple[float, float]:
    pair = np.asarray(ends, dtype=float)
    if pair.shape != (2,) or not np.isfinite(pair).all() or not pair[0] < pair[1]:
        raise DataError(problem(f"{what} is no interval", ends, "(low, high) with low < high"))
    return float(pair[0]), float(pair[1])


def _where_it_exists(module: Any, kernel: str, coords: Any, truth: object) -> Any:
    """The field at rows of coordinates, NaN where the chart or the model ends."""
    call = getattr(module, kernel)
    options = {"full_output": True} if kernel == "natural_field" else {}

    def found(some: Any) -> Any:
        out = call(some, truth, **options)
        return out.field if options else out

    return by_halves(found, coords.shape[-1], coords)


def _number(member: tuple[int, ...], shape: tuple[int, ...]) -> int:
    return int(np.ravel_multi_index(member, shape)) if shape else 0


def _seen(module: Any, paths: Any, pair: tuple[str, str]) -> Any:
    """Two columns of paths (M, T, P): of the coordinates, or of the view."""
    names = tuple(module.COORDINATES)
    view = tuple(getattr(module, "VIEW", ()))
    if all(n in names for n in pair):
        return paths[..., [names.index(n) for n in pair]]
    if not all(n in view for n in pair):
        known = ", ".join(names) + (f"; or of the view, {', '.join(view)}" if view else "")
        raise DataError(problem("unknown coordinates", ", ".join(pair), f"two of {known}"))
    out = np.full((*paths.shape[:2], 2), np.nan)
    there = np.isfinite(paths).all(axis=-1)
    out[there] = module.to_view(paths[there])[:, [view.index(n) for n in pair]]
    return out


# ------------------------------------------------------------------------------- how it looks


def _with(options: dict[str, Any], **usual: Any) -> dict[str, Any]:
    """What is usual, unless it was asked for otherwise."""
    return usual | options


def _axes(ax: Axes | None) -> Axes:
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        right = "pip install 'relrep_sym[plot]'"
        raise NotInstalledError(problem("pictures need matplotlib", "none", right)) from None
    return plt.gca() if ax is None else ax


def _shade(axes: Axes, across: Any, along: Any, speed: Any) -> None:
    """The logarithm of the speed, from its second to its ninety-eighth percentile."""
    known = np.log10(speed[np.isfinite(speed) & (speed > 0)])
    low, high = np.percentile(known, [2, 98]) if known.size else (0.0, 1.0)
    with np.errstate(divide="ignore"):
        shade = np.ma.masked_invalid(np.log10(np.where(speed > 0, speed, 10.0**low)))
    shade.mask |= ~np.isfinite(speed)
    half = 0.5 * (across[1] - across[0]), 0.5 * (along[1] - along[0])
    axes.imshow(
        shade, origin="lower", aspect="auto", interpolation="bilinear", cmap="Blues", alpha=0.5,
        vmin=low - 0.2 * (high - low), vmax=high + 0.6 * (high - low) + 1e-9, zorder=0,
        extent=(across[0] - half[0], across[-1] + half[0], along[0] - half[1], along[-1] + half[1]),
    )  # fmt: skip


def _dress(axes: Axes, names: Sequence[str], x: str, y: str) -> None:
    for name, put in ((x, axes.set_xlabel), (y, axes.set_ylabel)):
        put(f"${latex_name(name)}$" if name in names else name)
    axes.tick_params(direction="out", length=3, width=0.6)
    for side in axes.spines.values():
        side.set_linewidth(0.6)


def _edges(axes: Axes, frame: Frame, x: str, y: str) -> None:
    """A line where a coordinate's domain ends inside the picture: Δ = 0, a weight of 0 or 1."""
    for name, limits, draw in (
        (x, axes.get_xlim(), axes.axvline),
        (y, axes.get_ylim(), axes.axhline),
    ):
        for end in frame.ends.get(name, ()):
            if np.isfinite(end) and limits[0] <= end <= limits[1]:
                draw(
                    end, color=_EDGE, linewidth=1.2, linestyle=(0, (4, 2)), zorder=2, clip_on=False
                )
