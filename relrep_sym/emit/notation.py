r"""A user's own symbols and macros, put in place of those that the equations are derived with.

In: LaTeX as :mod:`.typeset` and the record's lines write it, in which every name is printed in one
way only, and what the user wants for some names. Out: LaTeX. Names are found as names, a head with
its subscripts, so that ``\mu_{k-1}`` follows where ``mu`` leads; words, operators and the number π
stay as they are. Labels do not depend on it.

What a user wants may come from a request file: :mod:`.harmless` holds it to mathematics.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from relrep_sym.declare.symbols import script, split_index
from relrep_sym.emit.harmless import forbidden, harmless
from relrep_sym.errors import DeclarationError, problem

__all__ = ["LETTERS", "PLAIN", "Notation", "macro", "notation"]

LETTERS: Mapping[str, str] = {
    "E": r"\operatorname{E}", "KL": r"\mathrm{KL}", "L": "L", "J": "J", "I": "I", "N": "N",
    "b": "b", "d": "d", "eta": r"\eta", "f": "f", "lambda": r"\lambda", "p": "p", "q": "q",
    "r": "r", "t": "t", "theta": r"\theta", "x": "x",
}  # fmt: skip
"""What the equations print beside the names of a model, a chart and a view."""

_TOKEN = re.compile(
    r"\\(?:begin|end|text|texttt|label|mathrm|operatorname)\{[^{}]*\}|\\[A-Za-z]+\*?|\\.|\s+|.",
    re.DOTALL,
)
_INDEX = re.compile(r"\d+|[ijk](?:[+-]\d+)?|[nN]")
_MATHS = re.compile(r"(?<!\\)\$([^$]+)\$|\\\[(.+?)\\\]", re.DOTALL)
_DIGITS = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")

Name = tuple[str, tuple[str, ...]]
"""A head and its subscripts."""


@dataclass(frozen=True)
class Notation:
    r"""How names are written.

    ``symbols`` pairs a name or a stem with LaTeX, ``printed`` every name that the equations print
    with its LaTeX there; ``macros`` are the names that are written by a macro, ``own`` the user's
    macros with their bodies.

    >>> n = notation({"mu": r"\mu", "pi_1": r"\pi_1"}, {"mu": r"\vec m", "pi_1": "v", "E": r"\EX"})
    >>> n.written(r"\pi_1 \operatorname{E}_q[\mu_{k-1}]")
    'v \\EX_q[\\vec m_{k-1}]'
    """

    symbols: tuple[tuple[str, str], ...] = ()
    printed: tuple[tuple[str, str], ...] = ()
    macros: frozenset[str] = frozenset()
    own: tuple[tuple[str, str], ...] = ()

    def spelled(self, text: str) -> str:
        """The text in the user's symbols, macros spelled out: as wide as it will be set."""
        return _Writer(self._table(macros=False)).write(text) if self.symbols else text

    def written(self, text: str) -> str:
        """The text in the user's symbols and macros."""
        if not self.symbols and not self.macros:
            return text
        return _Writer(self._table(macros=True)).write(text)

    def in_words(self, text: str) -> str:
        """A text of words, the formulas in it written."""

        def formula(m: re.Match[str]) -> str:
            inner = self.written(m[1] or m[2])
            return f"${inner}$" if m[1] else rf"\[{inner}\]"

        return _MATHS.sub(formula, text) if self.symbols or self.macros else text

    def definitions(self) -> str:
        r"""The macros' definitions, to stand once before what uses them.

        ``\providecommand``: what a paper defines already stays as it is there.
        """
        symbols, printed = dict(self.symbols), dict(self.printed)
        rows = [(name, body) for name, body in self.own]
        rows += [(macro(n), symbols.get(n, printed[n])) for n in sorted(self.macros)]
        return "".join(f"\\providecommand{{\\{name}}}{{{_closed(body)}}}\n" for name, body in rows)

    def _table(self, macros: bool) -> Mapping[Name, tuple[str, bool]]:
        return self._tables[macros]

    @cached_property
    def _tables(self) -> tuple[Mapping[Name, tuple[str, bool]], Mapping[Name, tuple[str, bool]]]:
        """Names as they are printed → (what is wanted, whether an index may follow)."""
        plain: dict[Name, tuple[str, bool]] = {}
        written: dict[Name, tuple[str, bool]] = {}
        symbols = dict(self.symbols)
        for name, shown in self.printed:
            bare = name.lstrip("~-")
            stem = split_index(bare)[1] is None
            if name in symbols:
                plain[_name(shown)] = (symbols[name], stem)
            if name in self.macros:
                written[_name(shown)] = ("\\" + macro(name), stem)
            elif name in symbols:
                written[_name(shown)] = (symbols[name], stem)
        return plain, written

    def exceptions(self) -> list[tuple[str, str]]:
        """Names of one component that are written otherwise than their stem: (printed, wanted)."""
        symbols, out = dict(self.symbols), []
        for name, shown in self.printed:
            stem, number = split_index(name.lstrip("~-"))
            if name in symbols and number is not None:
                general = symbols.get(stem)
                before = shown if general is None else _indexed(general, str(number))
                out.append((before, symbols[name]))
        return out


PLAIN = Notation()
"""The notation in which equations are derived."""


def notation(
    printed: Mapping[str, str],
    symbols: Mapping[str, str] | None = None,
    macros: bool | Collection[str] | Mapping[str, str] = False,
) -> Notation:
    r"""The notation that a user wants.

    ``printed`` has every name that the equations print, stems included, with its LaTeX there.
    ``symbols`` maps some of them, or of :data:`LETTERS`, to LaTeX. ``macros`` is True (a macro
    ``\relmu`` for every stem and letter), names that are to have one, or her own macros and their
    bodies, such as ``{"EX": r"\mathbb{E}"}``.

    Raises DeclarationError for unknown names, and for LaTeX that is not harmless.

    >>> print(notation({"mu": r"\mu"}, {"mu": "m"}, {"mu", "E"}).definitions(), end="")
    \providecommand{\relE}{\operatorname{E}}
    \providecommand{\relmu}{m}
    """
    known = {**LETTERS, **printed}
    given = {} if symbols is None else symbols
    if not isinstance(given, Mapping):
        right = r'{"mu": r"\vec m"}'
        raise DeclarationError(problem("symbols= is no mapping", type(given).__name__, right))
    for name, text in given.items():
        _insist_known(name, known, "symbols=")
        harmless(text, f"the symbol of {name}")
    _insist_distinct(given, known)
    own: dict[str, str] = {}
    names: Iterable[str] = ()
    if isinstance(macros, Mapping):
        own = {
            _macro_name(name): harmless(body, f"the macro {name}") for name, body in macros.items()
        }
    elif isinstance(macros, bool):
        names = [n for n in known if n in given or _is_stem(n)] if macros else ()
    elif isinstance(macros, str) or not isinstance(macros, Collection):
        right = 'True, names such as {"mu", "E"}, or {"EX": r"\\mathbb{E}"}'
        raise DeclarationError(problem("macros= is of a wrong kind", repr(macros), right))
    else:
        names = list(macros)
    for name in names:
        _insist_known(name, known, "macros=")
    _insist_apart(names)
    return Notation(
        tuple((n, given[n]) for n in known if n in given),
        tuple(known.items()),
        frozenset(names),
        tuple(own.items()),
    )


def _insist_known(name: object, known: Mapping[str, str], where: str) -> None:
    if name not in known:
        right = "one of " + ", ".join(known)
        raise DeclarationError(problem(f"{where} names nothing that is printed", str(name), right))


def _insist_distinct(given: Mapping[str, str], known: Mapping[str, str]) -> None:
    """Refuse a symbol that something else is printed by."""
    last: dict[str, str] = {}
    for name, shown in known.items():
        wanted = "".join(given.get(name, shown).split())
        other = last.setdefault(wanted, name)
        # a view's letter is there only where a view is
        if other != name and (name in given or other in given) and "b" not in (name, other):
            wrong = f"{other} and {name} would be printed alike"
            raise DeclarationError(problem(wrong, given.get(name, shown), "symbols that differ"))


def _insist_apart(names: Iterable[str]) -> None:
    seen: dict[str, str] = {}
    for name in sorted(names):
        other = seen.setdefault(macro(name), name)
        if other != name:
            wrong = f"{other} and {name} would have one macro"
            raise DeclarationError(problem(wrong, "\\" + macro(name), "one of them"))


def _is_stem(name: str) -> bool:
    return split_index(name.lstrip("~-"))[1] is None


def _macro_name(name: object) -> str:
    bare = str(name).removeprefix("\\")
    if not re.fullmatch(r"[A-Za-z]{1,40}", bare) or forbidden(bare):
        right = "letters, such as EX"
        raise DeclarationError(problem("this is no name for a macro", str(name), right))
    return bare


def macro(name: str) -> str:
    r"""The macro of a name, letters alone.

    >>> macro("Delta_sigma"), macro("pi_1")
    ('relDeltasigma', 'relpiOne')
    """
    mark = {"~": "tilde", "-": "bar"}.get(name[0], "")
    bare = re.sub(r"\d", lambda m: _DIGITS[int(m[0])], name.lstrip("~-"))
    return "rel" + mark + bare.replace("_", "")


# ------------------------------------------------------------------------------ reading names


def _name(latex: str) -> Name:
    """A printed name as its head and its subscripts."""
    head, mark, below = latex.partition("_")
    if not mark:
        return head, ()
    inner = below[1:-1] if below.startswith("{") else below
    return head, tuple(inner.split(","))


class _Writer:
    """Goes through LaTeX once and puts what is wanted in the place of names."""

    def __init__(self, table: Mapping[Name, tuple[str, bool]]) -> None:
        self.table = table
        self.logs = sorted((h for h, _ in table if h.startswith(r"\log")), key=len, reverse=True)

    def write(self, text: str) -> str:
        tokens, out, at = _TOKEN.findall(text), "", 0
        while at < len(tokens):
            piece, at = self._next(tokens, at)
            glued = out and re.search(r"\\[A-Za-z]+$", out) and piece[:1].isalpha()
            out += (" " if glued else "") + piece
        return out

    def _next(self, tokens: list[str], at: int) -> tuple[str, int]:
        """What is written for the next name or token."""
        token = tokens[at]
        if token in ("^", "_"):
            inner, at = _argument(tokens, at + 1)
            return token + script_of(inner, self.write(inner)), at
        head, at = self._head(tokens, at)
        if head.isspace() or head[0] in "{}()[]&,+-=|!<>/.:'":
            return head, at
        below, after = "", at
        if after < len(tokens) and tokens[after] == "_":
            below, after = _argument(tokens, after + 1)
        found = self._wanted(head, tuple(below.split(",")) if below else ())
        if found is None:
            if head.startswith((r"\tilde{", r"\bar{")) or not below:
                return head, at
            return f"{head}_{script_of(below, self.write(below))}", after
        raised = after < len(tokens) and tokens[after] == "^"
        return (f"{{{found}}}" if raised and _at_top("^", found) else found), after

    def _head(self, tokens: list[str], at: int) -> tuple[str, int]:
        token = tokens[at]
        if token in (r"\tilde", r"\bar") and at + 1 < len(tokens) and tokens[at + 1] == "{":
            inner, after = _argument(tokens, at + 1)
            return f"{token}{{{inner}}}", after
        if token == r"\log":
            for head in self.logs:
                whole = _TOKEN.findall(head)
                if tokens[at : at + len(whole)] == whole:
                    return head, at + len(whole)
        return token, at + 1

    def _wanted(self, head: str, below: tuple[str, ...]) -> str | None:
        if (head, below) in self.table and (head, below) != (r"\pi", ()):  # the number
            return self.table[head, below][0]
        stem = self.table.get((head, below[:-1])) if below else None
        if stem is None:
            return None
        text, indexed = stem
        if not indexed or not (_INDEX.fullmatch(below[-1]) or head in _SCRIPTED):
            return None
        return _indexed(text, self.write(below[-1]))


_SCRIPTED = frozenset((r"\operatorname{E}", "I", "J", "L"))
"""Letters whose subscripts are no components."""


def _indexed(symbol: str, index: str) -> str:
    """A symbol with one more subscript."""
    base = f"{{{symbol}}}" if _at_top("_", symbol) else symbol
    return f"{base}_{script(index)}"


def _closed(body: str) -> str:
    """A body that may be followed by a script of any kind."""
    return f"{{{body}}}" if _at_top("_", body) or _at_top("^", body) else body


def script_of(before: str, after: str) -> str:
    """A script that may have become longer than one sign."""
    return script(before) if after == before else f"{{{after}}}"


def _at_top(mark: str, text: str) -> bool:
    """Whether a mark stands outside all braces."""
    depth = 0
    for c in text:
        depth += {"{": 1, "}": -1}.get(c, 0)
        if depth == 0 and (c == mark or (c == "'" and mark == "^")):
            return True
    return False


def _argument(tokens: list[str], at: int) -> tuple[str, int]:
    """The argument that begins here, without its braces, and what follows it."""
    if at >= len(tokens):
        return "", at
    if tokens[at] != "{":
        return tokens[at], at + 1
    depth, end = 1, at + 1
    while end < len(tokens) and depth:
        depth += {"{": 1, "}": -1}.get(tokens[end], 0)
        end += 1
    return "".join(tokens[at + 1 : end - 1]), end
