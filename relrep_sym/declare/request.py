"""Requests: a family, a model, a chart and a view stated in a TOML file, as data.

In: a TOML text or file, from anybody. Out: a frozen :class:`Request` for :func:`relrep_sym.derive`.
Stands at the end of the first stage: it holds the text to what may stand in a request, and hands
each entry to the functions that a script would call. Nothing in a request is ever executed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from relrep_sym.declare.chart import Chart, held, identity
from relrep_sym.declare.charts import affine, log, relative
from relrep_sym.declare.domains import domain
from relrep_sym.declare.family import Family, arguments_of, family_named
from relrep_sym.declare.model import Mixture, mixture
from relrep_sym.declare.own import family as own_family
from relrep_sym.declare.own_map import chart
from relrep_sym.declare.parser import check_name
from relrep_sym.declare.toml import MAX_BYTES, Decimal, read_toml
from relrep_sym.declare.view import View, view
from relrep_sym.declare.weight_charts import cleared, softmax, stick_breaking
from relrep_sym.errors import DeclarationError, problem

__all__ = ["Request", "parse_request", "read_request"]

#: The keys of [chart] beside ``kind``, for each kind.
CHARTS: Mapping[str, tuple[str, ...]] = {
    "identity": (),
    "relative": ("parameter", "gap", "clearance", "reference"),
    "log": ("parameter",),
    "softmax": ("clearance",),
    "stick_breaking": ("clearance",),
    "cleared": ("clearance",),
    "affine": ("matrix", "offset", "parameter", "names"),
    "map": ("map", "domains", "inverse", "coordinates", "constants"),
}
_WEIGHTS: Mapping[str, Callable[..., Chart]] = {
    "softmax": softmax,
    "stick_breaking": stick_breaking,
    "cleared": cleared,
}

Table = dict[str, Any]


@dataclass(frozen=True)
class Request:
    """What a request file states; the view is None where there is no ``[view]``, and so is
    ``moving``, the coordinates that learn, where all do. Several ``[[chart]]`` tables are one
    chart, composed from the outermost in.

    >>> r = parse_request('''
    ... name = "demo"
    ... [model]
    ... family = "normal"
    ... components = 2
    ... scales = 1
    ... [chart]
    ... kind = "relative"
    ... parameter = "mu"
    ... gap = "square"
    ... ''')
    >>> r.name, r.chart.names, r.view
    ('demo', ('pi_1', 'mu_1', 'Delta_1'), None)
    """

    name: str
    model: Mixture
    chart: Chart
    view: View | None
    moving: tuple[str, ...] | None = None
    symbols: tuple[tuple[str, str], ...] = ()


def read_request(path: str | Path) -> Request:
    """The request in a TOML file of at most 1 MB.

    Raises DeclarationError, its text beginning with the file and the key, where the file cannot be
    read, is no TOML, has unknown or missing keys, or states what a model, chart or view cannot be.
    """
    file = Path(path)
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as why:
        reason = why.strerror or str(why)
        raise DeclarationError(problem(f"cannot read {file}", reason, "a request file")) from None
    if len(data) > MAX_BYTES:
        wrong = f"{file}: the request is too large"
        right = f"at most {MAX_BYTES} bytes"
        raise DeclarationError(problem(wrong, f"more than {MAX_BYTES} bytes", right))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as why:
        given = f"byte {data[why.start]:#04x} at offset {why.start}"
        raise DeclarationError(problem(f"{file}: this is no UTF-8", given, "UTF-8")) from None
    return parse_request(text, place=str(file))


def parse_request(text: str, *, place: str = "request") -> Request:
    """The request in a TOML text; ``place`` opens the text of each error.

    >>> parse_request("[model]")
    Traceback (most recent call last):
    ...
    relrep_sym.errors.DeclarationError: request: 'name' is missing; given: model; expected: \
name, model and perhaps family, chart, view, moving, symbols
    """
    top = _Section(place, "", read_toml(text.replace("\r\n", "\n"), place))
    top.only(("name", "model"), ("family", "chart", "view", "moving", "symbols"))
    with top.placed():
        name = check_name(top.text("name"), kind="request's")
    own = _family(top.section("family")) if "family" in top.table else None
    model = _model(top.section("model"), own)
    used = identity(model)
    for n, section in enumerate(top.sections("chart") if "chart" in top.table else ()):
        with section.placed():
            used = _chart(section, model, used if n else None)
    moving = None
    if "moving" in top.table:
        moving = tuple(top.get("moving", _names, "a list of the chart's coordinates"))
        with top.placed("moving"):
            used = held(used, moving)
    seen = _view(top.section("view"), used) if "view" in top.table else None
    return Request(name, model, used, seen, moving, _symbols(top))


def _symbols(top: _Section) -> tuple[tuple[str, str], ...]:
    """Names and the LaTeX that the user wants for them; what writes LaTeX checks both."""
    if "symbols" not in top.table:
        return ()
    section = top.section("symbols")
    return tuple((key, section.text(key)) for key in section.table)


def _family(section: _Section) -> Family:
    """A family of the request's own; its parameters in the order in which they are written."""
    section.only(("log_density", "parameters"), ("support", "name", "plurals"))
    words = {
        key: {k: inner.text(k) for k in inner.table}
        for key in ("parameters", "plurals")
        if key in section.table
        for inner in (section.section(key),)
    }
    support: object = "line"
    if "support" in section.table:
        right = "a word, {interval = [a, b]}, or a list of numbers"
        support = section.get("support", _support, right)
    with section.placed():
        name = section.text("name") if "name" in section.table else "own"
        return own_family(
            section.text("log_density"),
            words["parameters"],
            support,
            name=name,
            plurals=words.get("plurals"),
        )


def _support(value: object) -> object | None:
    if isinstance(value, dict):
        row = value.get("interval")
        ends = [_number(v) for v in row] if isinstance(row, list) and len(value) == 1 else []
        return None if len(ends) != 2 or None in ends else ("interval", *ends)
    if isinstance(value, list):
        points = [_number(v) for v in value]
        return None if None in points else points
    return value if type(value) is str else None


def _model(section: _Section, own: Family | None) -> Mixture:
    with section.placed():
        named: str | Family = section.text("family") if own is None else own
        made = arguments_of(named)
        for key in made:
            section.get(key, _whole, "a whole number")
        family = family_named(named, **{key: section.table[key] for key in made})
        plurals = tuple(p.plural for p in family.parameters)
        needed = ("components",) if own is not None else ("family", "components")
        section.only((*needed, *made), ("weights", *plurals))
        count = section.get("components", _whole, "a whole number")
        patterns = {
            key: section.get(key, _pattern, '"free", "tied", one number, or a list of them')
            for key in ("weights", *plurals)
            if key in section.table
        }
        return mixture(family, count, **patterns)


def _chart(section: _Section, model: Mixture, outer: Chart | None) -> Chart:
    """The chart of a table: of the model, or of the outer chart's coordinates."""
    on: Mixture | Chart = model if outer is None else outer
    kind = section.text("kind")
    if kind not in CHARTS:
        raise section.error("unknown kind of chart", kind, _any_of(kind, CHARTS))
    section.only(("kind", "map") if kind == "map" else ("kind",), CHARTS[kind])
    with section.placed():
        if kind == "identity":
            return identity(on)
        if kind == "map":
            return _map(section, on)
        if kind == "log":
            return log(on, section.text("parameter"))
        options: Table = {}
        if kind == "affine":
            return _affine(section, on)
        if "parameter" in section.table:
            options["parameter"] = section.get("parameter", _names, "a name, or a list of them")
        if "gap" in section.table:
            options["gap"] = section.text("gap")
        if "clearance" in section.table:
            right = 'a number, such as 0.1, or a constant in quotes, such as "lam"'
            options["clearance"] = section.get("clearance", _number, right)
        if "reference" in section.table:
            options["reference"] = section.text("reference")
        if kind in _WEIGHTS:
            if kind == "cleared" and "clearance" not in options:
                raise section.error("'clearance' is missing", kind, 'such as clearance = "lam"')
            return _WEIGHTS[kind](on, **options)
        return relative(on, **options)


def _affine(section: _Section, on: Mixture | Chart) -> Chart:
    options: Table = {}
    if "offset" in section.table:
        options["offset"] = section.get("offset", _row, "a number, or a list of them")
    if "parameter" in section.table:
        options["parameter"] = section.text("parameter")
    if "names" in section.table:
        options["names"] = section.get("names", _names, "a list of names")
    matrix = section.get("matrix", _rows, "rows of numbers, such as [[1, -1], [1, 1]]")
    return affine(on, matrix, **options)


def _map(section: _Section, on: Mixture | Chart) -> Chart:
    rules = section.section("map").expressions()
    domains: dict[str, str] = {}
    if "domains" in section.table:
        named = section.section("domains")
        for key in named.table:
            with named.placed(key):
                domains[key] = domain(named.text(key)).name
    order = None
    if "coordinates" in section.table:
        order = section.get("coordinates", _names, "a list of names")
    inverse = section.section("inverse").expressions() if "inverse" in section.table else None
    constants: dict[str, str] = {}
    if "constants" in section.table:
        named = section.section("constants")
        for key in named.table:
            with named.placed(key):
                constants[key] = domain(named.text(key)).name
    return chart(
        on, rules, domains=domains, coordinates=order, inverse=inverse, constants=constants
    )


def _view(section: _Section, used: Chart) -> View:
    with section.placed():
        return view(used, section.expressions())


# ----------------------------------------------------------------------------- one table of it


@dataclass(frozen=True)
class _Section:
    """A table of the request, and where it stands."""

    place: str
    name: str  # "" for the whole file
    table: Table

    def error(self, wrong: str, given: object, right: str, key: str = "") -> DeclarationError:
        return DeclarationError(problem(f"{self._where(key)}: {wrong}", given, right))

    def _where(self, key: str = "") -> str:
        if not self.name:
            return f"{self.place}: {_shown(key)}" if key else self.place
        return f"{self.place}: [{self.name}]" + (f" {_shown(key)}" if key else "")

    def only(self, needed: Sequence[str], allowed: Sequence[str]) -> None:
        """Refuse keys that are neither, and the absence of those that are needed."""
        every = tuple(dict.fromkeys((*needed, *allowed)))
        for key in self.table:
            if key in ("dimension", "covariances"):
                right = "a model of numbers x, without this key"
                raise self.error("models are of one dimension so far", _shown(key), right)
            if key not in every:
                raise self.error("unknown key", _shown(key), _any_of(key, every))
        for key in needed:
            if key not in self.table:
                extra = [k for k in allowed if k not in needed]
                right = ", ".join(needed) + (f" and perhaps {', '.join(extra)}" if extra else "")
                raise self.error(f"'{key}' is missing", ", ".join(self.table) or "nothing", right)

    def get(self, key: str, read: Callable[[Any], Any], right: str) -> Any:
        """An entry as ``read`` takes it; an error where that is None, or where there is none."""
        if key not in self.table:
            raise self.error(f"'{key}' is missing", ", ".join(self.table) or "nothing", right)
        value = read(self.table[key])
        if value is None:
            raise self.error("of a wrong type", _kind(self.table[key]), right, key)
        return value

    def text(self, key: str) -> str:
        return self.get(key, lambda v: v if type(v) is str else None, "a string")

    def section(self, key: str) -> _Section:
        table = self.get(key, lambda v: v if isinstance(v, dict) else None, "a table")
        return _Section(self.place, f"{self.name}.{key}" if self.name else key, table)

    def sections(self, key: str) -> list[_Section]:
        """A table, or the tables of an array of them."""
        value = self.table[key]
        if not isinstance(value, list):
            return [self.section(key)]
        if not value or not all(isinstance(v, dict) for v in value):
            raise self.error("of a wrong type", _kind(value), f"[{key}] or [[{key}]] tables", key)
        return [_Section(self.place, f"{key} {n}", v) for n, v in enumerate(value, start=1)]

    def expressions(self) -> dict[str, str | int]:
        """Every entry, an expression in a string or a number."""
        right = 'an expression in quotes, such as "w + (1 - v)*u"'
        return {key: self.get(key, _number, right) for key in self.table}

    @contextmanager
    def placed(self, key: str = "") -> Iterator[None]:
        """Errors of declare, opened with the place: the file, the table and the key it is about."""
        try:
            yield
        except DeclarationError as why:
            said = str(why)
            if said.startswith(f"{self.place}:"):
                raise
            where = self._where(key) if key else self._blamed(said)
            raise type(why)(f"{where}: {said}") from None

    def _blamed(self, said: str) -> str:
        """The place of the one entry that an error's first clause names, where it names one."""
        clause = said.partition("; given:")[0]
        for key, value in self.table.items():
            if isinstance(value, dict):
                inner = _Section(self.place, f"{self.name}.{key}", value)
                if (found := inner._blamed(clause)) != inner._where():
                    return found
        named = [k for k in self.table if re.search(rf"\b{re.escape(k)}\b", clause)]
        return self._where(named[0] if len(named) == 1 else "")


# ----------------------------------------------------------------------------- values


def _whole(value: object) -> int | None:
    return value if type(value) is int else None


def _number(value: object) -> str | int | None:
    if type(value) is int:
        return value
    return str(value) if isinstance(value, str) else None


def _pattern(value: object) -> object | None:
    if not isinstance(value, list):
        return _number(value)
    row = [_number(v) for v in value]
    return None if any(v is None for v in row) else [None if v == "free" else v for v in row]


def _row(value: object) -> object | None:
    if not isinstance(value, list):
        return _number(value)
    row = [_number(v) for v in value]
    return None if any(v is None for v in row) else row


def _rows(value: object) -> object | None:
    if not isinstance(value, list) or not all(isinstance(r, list) for r in value):
        return None
    rows = [_row(r) for r in value]
    return None if any(r is None for r in rows) else rows


def _names(value: object) -> list[str] | None:
    row: list[Any] = value if isinstance(value, list) else [value]
    return row if row and all(type(v) is str for v in row) else None


def _kind(value: object) -> str:
    """What a value is called in TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    names = {dict: "a table", list: "a list", Decimal: "a float", str: "a string", int: "a number"}
    said = names.get(type(value), "a date or time")
    if isinstance(value, list) and value:
        odd = sorted({_kind(v) for v in value})
        said += f" with {', '.join(odd)}"
    return said


def _shown(key: str) -> str:
    return key if re.fullmatch(r"[\w-]{1,64}", key, re.ASCII) else f"{key[:64]!r}"


def _any_of(given: str, known: Sequence[str] | Mapping[str, object]) -> str:
    close = get_close_matches(given[:64], list(known), n=1)
    return ", ".join(known) + (f" (did you mean {close[0]}?)" if close else "")
