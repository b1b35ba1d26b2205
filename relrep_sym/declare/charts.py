"""The named charts but those of the weights: relative, log, affine.

In: a model, or a chart to compose with, and options. Out: a :class:`~.chart.Chart`. Each takes a
chart in the place of the model; its coordinates are then what is mapped, as in
``relative(log(model, "sigma"), "log_sigma")`` for scales of a fixed ratio.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sympy as sp

from relrep_sym.declare.chart import (
    Chart,
    Coordinate,
    Given,
    Local,
    Slot,
    model_of,
    slots,
)
from relrep_sym.declare.compose import declared
from relrep_sym.declare.domains import domain
from relrep_sym.declare.functions import Softplus
from relrep_sym.declare.model import Mixture
from relrep_sym.declare.parser import AnyName, check_name, expression
from relrep_sym.declare.symbols import Constant, Parameter
from relrep_sym.errors import DeclarationError, problem

__all__ = ["affine", "clearance_of", "log", "relative", "untouched"]

GAPS: Mapping[str, tuple[str, Callable[[sp.Symbol], sp.Expr]]] = {
    "plain": ("nonnegative", lambda d: d),
    "square": ("real", lambda d: d**2),
    "exp": ("real", sp.exp),
    "softplus": ("real", Softplus),
}
"""The gaps: domain of Δ, and the step that it makes."""


_CONSTANTS = AnyName("constant", make=Constant)
"""Every well-formed name is a constant."""


def clearance_of(value: object, most: sp.Expr | None = None) -> tuple[sp.Expr, tuple[Given, ...]]:
    """A clearance: a number >= 0, or a text or SymPy expression in constants; and the constants."""
    room = expression(value, _CONSTANTS, where="clearance")
    symbols = sorted(room.free_symbols, key=lambda s: s.name)
    given = tuple(Given(s.name, domain("nonnegative")) for s in symbols)
    assumed = room.xreplace({s: sp.Dummy(s.name, nonnegative=True) for s in symbols})
    if room.is_negative:
        raise DeclarationError(problem("the clearance is negative", str(room), "a number >= 0"))
    if assumed.is_nonnegative is not True:
        right = "a number >= 0, or constants that make one, such as 'lam'"
        raise DeclarationError(problem("the clearance may be negative", str(room), right))
    if most is not None and room.is_number and not room < most:
        right = f"a number below {most}, so that the weights have room"
        raise DeclarationError(problem("the clearance is too large", str(room), right))
    return room, given


def untouched(on: Mixture | Chart, moved: Sequence[Slot]) -> dict[str, tuple[Coordinate, sp.Expr]]:
    """What leaves every other entry as it is."""
    names = {s.name for s in moved}
    return {
        s.name: (Coordinate(s.name, s.domain), sp.Symbol(s.name))
        for s in slots(on)
        if s.name not in names
    }


def _of_role(on: Mixture | Chart, role: str, purpose: str) -> tuple[Slot, ...]:
    """The slots of a role that is free in every component."""
    count = model_of(on).components
    found = tuple(s for s in slots(on) if s.role == role or (role == "pi" and s.role == "weight"))
    if not found and isinstance(on, Mixture):
        on.family.parameter(role)  # refuses a name that the family has not
    numbers = [s.number for s in found]
    if numbers != list(range(1, count + 1)):
        roles = sorted({s.role for s in slots(on) if s.role != "weight"})
        plural = (
            f'{on.family.parameter(role).plural}="free"'
            if isinstance(on, Mixture)
            else "one of " + ", ".join(roles)
        )
        raise DeclarationError(
            problem(
                f"{purpose} needs {role} free in every component",
                model_of(on).describe() if isinstance(on, Mixture) else ", ".join(on.names),
                plural,
            )
        )
    return found


# ------------------------------------------------------------------------------ relative


def relative(
    model: Mixture | Chart,
    parameter: str | Sequence[str] = "mu",
    *,
    gap: str = "plain",
    clearance: object = 0,
    reference: str = "first",
) -> Chart:
    """The relative chart: θ_k = θ_{k−1} + gap(Δ_{k−1}) + clearance, with θ_1 the reference.

    ``parameter`` is one of the family's parameters, or several. ``gap`` is ``"plain"`` (Δ ≥ 0),
    ``"square"`` (Δ²), ``"exp"`` (e^Δ) or ``"softplus"`` (log(1 + e^Δ)), Δ real in these.
    ``clearance`` is a number ≥ 0 or a constant, such as ``"lam"``, that stays a symbol and is given
    with each call; Δ never contains it. ``reference="last"`` starts from the other end: θ_K is the
    reference and θ_k = θ_{k+1} − gap(Δ_k) − clearance. Gaps are named ``Delta_k`` on a location,
    ``Delta_sigma_k`` on the scale ``sigma``. Source: Esser and Nielsen 2022, section 2.

    Raises DeclarationError for an unknown parameter, gap or reference, a negative clearance, fewer
    than two components, or a parameter that is not free in every component.

    >>> from relrep_sym.declare.model import mixture
    >>> c = relative(mixture("normal", components=2, scales=1), "mu", gap="square", clearance="1/2")
    >>> c.program[2][1] - c.program[1][0]
    Delta_1**2 + 1/2
    """
    entries = slots(model)
    roles = (parameter,) if isinstance(parameter, str) else parameter
    if not isinstance(roles, Sequence) or not roles or len(set(map(str, roles))) < len(roles):
        right = "one of the family's parameters, or several distinct ones"
        raise DeclarationError(problem("a relative chart is on parameters", parameter, right))
    if gap not in GAPS:
        raise DeclarationError(problem("unknown gap", gap, ", ".join(f'"{g}"' for g in GAPS)))
    if reference not in ("first", "last"):
        raise DeclarationError(problem("unknown reference", reference, '"first" or "last"'))
    room, constants = clearance_of(clearance)
    count = model_of(model).components
    if count < 2:
        raise DeclarationError(
            problem(
                "a relative chart orders components",
                model_of(model).describe(),
                "two or more of them",
            )
        )
    for role in roles:
        _of_role(model, role, "a relative chart")
    where, step = GAPS[gap]
    location = model_of(model).family.location
    coordinates: list[Coordinate] = []
    rules: dict[Parameter, sp.Expr] = {}
    first = reference == "first"
    for s in entries:
        k = s.number
        if s.role not in roles or k == (1 if first else count) or k is None:
            coordinates.append(Coordinate(s.name, s.domain))
            rules[s.symbol] = sp.Symbol(s.name)
            continue
        stem = "Delta" if location and s.role == location.name else f"Delta_{s.role}"
        delta = Coordinate(f"{stem}_{k - 1 if first else k}", domain(where))
        coordinates.append(delta)
        before = Parameter(f"{s.role}_{k - 1 if first else k + 1}")
        move = step(delta.symbol) + room
        rules[s.symbol] = before + move if first else before - move
    program = list(rules.items())
    if not first:  # from the last component down
        moved = [s.symbol for s in entries if s.role in roles]
        program = [(t, r) for t, r in program if t not in moved]
        program += [(t, rules[t]) for t in reversed(moved)]
    title = f"relative chart on {', '.join(roles)}, {gap} gap"
    title += "" if first else ", from the last"
    title += f", clearance {room}" if room else ""
    return declared(model, Local(tuple(coordinates), tuple(program), title, constants=constants))


def log(model: Mixture | Chart, parameter: str) -> Chart:
    """The chart with the logarithm of a positive parameter: θ_k = exp(log_θ_k).

    >>> from relrep_sym.declare.model import mixture
    >>> log(mixture("poisson", components=2), "rate").names
    ('pi_1', 'log_rate_1', 'log_rate_2')
    """
    entries = slots(model)
    moved = [s for s in entries if s.role == parameter]
    where = {s.domain.name for s in moved}
    if isinstance(model, Mixture):
        where.add(model.family.parameter(parameter).domain.name)
    if where - {"positive"}:
        wrong = f"{parameter} is {min(where - {'positive'})}"
        raise DeclarationError(problem(wrong, parameter, "a positive parameter"))
    if not moved:
        wrong = f"no {parameter} is learned"
        given = model.describe() if isinstance(model, Mixture) else ", ".join(model.names)
        raise DeclarationError(problem(wrong, given, "a parameter in θ"))
    coordinates, program = [], []
    for s in entries:
        logged = s.role == parameter
        c = Coordinate(
            f"log_{s.name}" if logged else s.name, domain("real") if logged else s.domain
        )
        coordinates.append(c)
        program.append((s.symbol, sp.exp(c.symbol) if logged else c.symbol))
    title = f"log chart on {parameter}"
    return declared(model, Local(tuple(coordinates), tuple(program), title))


# ------------------------------------------------------------------------------ affine


def affine(
    model: Mixture | Chart,
    matrix: object,
    offset: object = 0,
    *,
    parameter: str | None = None,
    names: Sequence[str] | None = None,
) -> Chart:
    """An affine chart: θ = M β + C, on all of θ, or on one parameter's entries.

    ``matrix`` has a row for each entry of θ (or of ``parameter``) and a column for each coordinate;
    it may have fewer columns than rows, which ties entries. ``offset`` is one number for all rows,
    or a row's worth of them. Entries are numbers, or texts with constants in them. Coordinates are
    ``beta_1, …`` unless ``names`` says otherwise.

    Raises DeclarationError for shapes that disagree, and for a matrix of columns that depend on
    each other, so that no θ would tell the coordinates.

    >>> from relrep_sym.declare.model import mixture
    >>> m = mixture("normal", components=3, weights="1/3", scales=1)
    >>> c = affine(m, [[1, -1], [1, 0], [1, 1]], names=["centre", "spread"])
    >>> [str(e) for e in c.unrolled.values()]
    ['centre - spread', 'centre', 'centre + spread']
    """
    moved = (
        slots(model) if parameter is None else tuple(s for s in slots(model) if s.role == parameter)
    )
    if not moved and isinstance(model, Mixture) and parameter is not None:
        model.family.parameter(parameter)
    rows = _table(matrix)
    width = len(rows[0])
    if len(rows) != len(moved) or any(len(row) != width for row in rows) or not width:
        shape = f"{len(rows)} rows of {', '.join(str(n) for n in sorted({len(r) for r in rows}))}"
        right = f"{len(moved)} rows of one length, for {', '.join(s.name for s in moved)}"
        raise DeclarationError(
            problem("the matrix of an affine chart has another shape", shape, right)
        )
    entries = [[expression(v, _CONSTANTS, where="the matrix") for v in row] for row in rows]
    shift = _offsets(offset, len(rows))
    whole = sp.Matrix(entries)
    if whole.rank() < width:
        right = "columns that are linearly independent"
        raise DeclarationError(problem("the matrix has dependent columns", str(entries), right))
    chosen = [f"beta_{j}" for j in range(1, width + 1)] if names is None else list(names)
    chosen = [check_name(n, kind="coordinate") for n in chosen]
    if len(chosen) != width:
        right = f"{width} names, one a column"
        raise DeclarationError(problem("names= has another length", ", ".join(chosen), right))
    real = domain("real")
    made = [Coordinate(n, real) for n in chosen]
    rest = untouched(model, moved)
    own = {
        s.symbol: sp.Add(*(v * c.symbol for v, c in zip(row, made, strict=True)), extra)
        for s, row, extra in zip(moved, entries, shift, strict=True)
    }
    coordinates: list[Coordinate] = []
    for s in slots(model):
        if s.name in rest:
            coordinates.append(rest[s.name][0])
        elif made:
            coordinates += made
            made = []
    program = tuple((s.symbol, own.get(s.symbol, sp.Symbol(s.name))) for s in slots(model))
    constants = {s.name for row in (*entries, shift) for e in row for s in e.free_symbols}
    title = "affine chart" + (f" on {parameter}" if parameter else "")
    local = Local(
        tuple(coordinates),
        program,
        title,
        constants=tuple(Given(n, real) for n in sorted(constants)),
    )
    return declared(model, local)


def _table(matrix: Any) -> list[list[object]]:
    if isinstance(matrix, sp.MatrixBase):
        return [list(row) for row in matrix.tolist()]
    matrix = _as_list(matrix)
    listed = isinstance(matrix, Sequence) and not isinstance(matrix, str)
    if (
        not listed
        or not matrix
        or not all(isinstance(r, Sequence) and not isinstance(r, str) for r in matrix)
    ):
        right = "rows of numbers, such as [[1, -1], [1, 1]]"
        raise DeclarationError(problem("the matrix of an affine chart is no matrix", matrix, right))
    return [list(row) for row in matrix]


def _as_list(value: Any) -> Any:
    """An array as lists."""
    return value.tolist() if hasattr(value, "tolist") else value


def _offsets(offset: Any, count: int) -> list[sp.Expr]:
    offset = _as_list(offset)
    row = (
        list(offset)
        if isinstance(offset, Sequence) and not isinstance(offset, str)
        else [offset] * count
    )
    if len(row) != count:
        right = f"one number, or {count} of them"
        raise DeclarationError(problem("the offset has another length", f"{len(row)}", right))
    return [expression(v, _CONSTANTS, where="the offset") for v in row]
