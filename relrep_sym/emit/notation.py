r"""What a document writes: a user's own symbols and macros, and the letters of all else.

In: LaTeX as :mod:`.typeset` and the record's lines write it, in which every name is printed in one
way only and everything else is a mark (:mod:`.letters`); and what the user wants for some names.
Out: LaTeX. Names are found as names, a head with its subscripts, so that ``\mu_{@k-1}`` follows
where ``mu`` leads, and so that a hat follows what it stands on; words and operators stay as they
are. What is no name gets a letter that no name takes up. Labels do not depend on it.

What a user wants may come from a request file: :mod:`.harmless` holds it to mathematics.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

from relrep_sym.declare.symbols import script, split_index
from relrep_sym.emit.harmless import forbidden, harmless, symbol
from relrep_sym.emit.letters import LETTERS, assigned, lettered
from relrep_sym.errors import DeclarationError, problem

__all__ = ["PLAIN", "Notation", "macro", "notation", "plain"]

_MACROED = frozenset("E KL L J I N b d eta f lambda p q r t theta x".split())
"""Letters that ``macros=True`` makes macros of."""

_TOKEN = re.compile(
    r"@(?:\{[A-Za-z]+\}|\\[A-Za-z]+|.)|"
    r"\\(?:begin|end|text|texttt|label|mathrm|operatorname)\{[^{}]*\}|\\[A-Za-z]+\*?|\\.|\s+|.",
    re.DOTALL,
)
_INDEX = re.compile(r"\d+|@[a-z](?:[+-]\d+)?")
_MATHS = re.compile(r"(?<!\\)\$([^$]+)\$|\\\[(.+?)\\\]", re.DOTALL)
_DIGITS = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")

Name = tuple[str, tuple[str, ...]]
"""A head and its subscripts."""

_NEW = (("+", "+"), (r"{\mathrm{new}}", "new"))
_PSEUDO = ((r"{\dagger}", r"\dagger"), (r"{\mathrm{MP}}", "MP"))
_PRIMES = (("'", "'"), (r"^{\circ}", r"\circ"), (r"^{\ast}", r"\ast"))
_HATS = (
    (r"\hat", r"\widehat", "A hat", r"\\(?:wide)?hat\b"),
    (r"\overline", r"\overline", "An overline", r"\\(?:overline|bar|widebar)\b"),
    (r"\underline", r"\underline", "An underline", r"\\underline\b"),
    (r"\check", r"\check", "A check", r"\\check\b"),
)
"""Marks of a new value, a pseudo-inverse, a primed point and an unconstrained value: each as it is
written, and by what in a user's symbols it is taken."""


@dataclass(frozen=True)
class Notation:
    r"""How names, and all that is printed beside them, are written.

    ``symbols`` pairs a name, a stem, or a key of :data:`.letters.LETTERS` with LaTeX, ``printed``
    every name that the equations print with its LaTeX there; ``macros`` are the names that are
    written by a macro, ``own`` the user's macros with their bodies.

    >>> n = notation({"mu": r"\mu", "pi_1": r"\pi_1"}, {"mu": r"\vec r", "pi_1": "v", "E": r"\EX"})
    >>> n.written(r"\pi_1 @E_@q[@r_1 \mu_{@k-1}]")
    'v \\EX_q[\\varrho_1 \\vec r_{k-1}]'
    """

    symbols: tuple[tuple[str, str], ...] = ()
    printed: tuple[tuple[str, str], ...] = ()
    macros: frozenset[str] = frozenset()
    own: tuple[tuple[str, str], ...] = ()

    # ------------------------------------------------------------------------- the one table

    @cached_property
    def letters(self) -> Mapping[str, str]:
        """The letter of every mark: the user's where she chose one, else one that is free."""
        symbols = dict(self.symbols)
        chosen = {n: text for n, text in symbols.items() if n in LETTERS and n not in self._names}
        texts = [self._opened(t) for t in self._texts]
        bare = [symbols.get(n, shown) for n, shown in self.printed if n != "pi"]  # never alone
        found = assigned(texts, {n: self._opened(t) for n, t in chosen.items()}, bare)
        return {**found, **{LETTERS[n].mark: text for n, text in chosen.items()}}

    @cached_property
    def _names(self) -> Mapping[str, str]:
        return dict(self.printed)

    @cached_property
    def _texts(self) -> tuple[str, ...]:
        """The notation in which names are written."""
        symbols = dict(self.symbols)
        return tuple(symbols.get(n, shown) for n, shown in self.printed)

    def _opened(self, text: str) -> str:
        """A text with the user's macros opened."""
        bodies = dict(self.own)
        return re.sub(
            r"\\([A-Za-z]+)", lambda m: f"{{{bodies[m[1]]}}}" if m[1] in bodies else m[0], text
        )

    @cached_property
    def marks(self) -> Mapping[str, str]:
        """How a new value, a pseudo-inverse, a primed point and a hat are written."""
        chosen = " ".join(self._opened(text) for _, text in self.symbols)
        every = chosen + " ".join(self._texts)

        def free(ways: tuple[tuple[str, str], ...]) -> str:
            return next((w for w, sign in ways if sign not in chosen), ways[-1][0])

        hat = next((h for h in _HATS if not re.search(h[3], every)), _HATS[-1])
        return {
            "+": free(_NEW), r"\dagger": free(_PSEUDO), "'": free(_PRIMES),
            r"\hat": hat[0], r"\widehat": hat[1], "hat": hat[2],
        }  # fmt: skip

    def knowing(self, names: Mapping[str, str]) -> Notation:
        """The notation of a document that prints these names too."""
        if not names.keys() - self._names.keys():
            return self
        return dataclasses.replace(self, printed=(*self.printed, *(
            (n, shown) for n, shown in names.items() if n not in self._names
        )))  # fmt: skip

    # ------------------------------------------------------------------------- writing

    def spelled(self, text: str) -> str:
        """The text in the user's symbols, macros spelled out: as wide as it will be set."""
        if not self.symbols:
            return text
        return _Writer(self._tables[0], self._marks_of(False), self.marks).write(text)

    def written(self, text: str) -> str:
        """The text in the user's symbols and macros, and in the letters of all else."""
        if not self.symbols and not self.macros:
            return lettered(text, self.letters)
        return _Writer(self._tables[1], self._marks_of(True), self.marks).write(text)

    def in_words(self, text: str) -> str:
        """A text of words, the formulas in it written."""

        def formula(m: re.Match[str]) -> str:
            inner = self.written(m[1] or m[2])
            return f"${inner}$" if m[1] else rf"\[{inner}\]"

        if not self.symbols and not self.macros:
            return lettered(text, self.letters)
        return _MATHS.sub(formula, text)

    def definitions(self) -> str:
        r"""The macros' definitions, to stand once before what uses them.

        ``\providecommand``: what a paper defines already stays as it is there.
        """
        symbols, names = dict(self.symbols), self._names
        rows = [(name, body) for name, body in self.own]
        for n in sorted(self.macros):
            body = symbols.get(n) or names.get(n) or self.letters[LETTERS[n].mark]
            rows.append((macro(n), body))
        return "".join(f"\\providecommand{{\\{name}}}{{{_closed(body)}}}\n" for name, body in rows)

    def _marks_of(self, macros: bool) -> Mapping[str, str]:
        if not macros:
            return self.letters
        made = {n for n in self.macros if n not in self._names}
        return {**self.letters, **{LETTERS[n].mark: "\\" + macro(n) for n in made}}

    @cached_property
    def _tables(self) -> tuple[Mapping[Name, tuple[str, bool]], Mapping[Name, tuple[str, bool]]]:
        """Names as they are printed → (what is wanted, whether an index may follow)."""
        spelled: dict[Name, tuple[str, bool]] = {}
        written: dict[Name, tuple[str, bool]] = {}
        symbols = dict(self.symbols)
        for name, shown in self.printed:
            bare = name.lstrip("~-")
            stem = split_index(bare)[1] is None
            if name in symbols:
                spelled[_name(shown)] = (symbols[name], stem)
            if name in self.macros:
                written[_name(shown)] = ("\\" + macro(name), stem)
            elif name in symbols:
                written[_name(shown)] = (symbols[name], stem)
        return spelled, written

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
"""The notation of equations that print no name of a user's."""


@lru_cache(maxsize=64)
def _plain(names: tuple[tuple[str, str], ...]) -> Notation:
    return Notation(printed=names)


def plain(names: Mapping[str, str]) -> Notation:
    r"""The notation in which equations with these names are derived.

    >>> plain({"r": "r"}).written(r"@r_@k(@x \mid r)")
    '\\varrho_k(x \\mid r)'
    """
    return _plain(tuple(names.items()))


def notation(
    printed: Mapping[str, str],
    symbols: Mapping[str, str] | None = None,
    macros: bool | Collection[str] | Mapping[str, str] = False,
    formed: Mapping[str, str] | None = None,
) -> Notation:
    r"""The notation that a user wants.

    ``printed`` has every name that the equations print, stems included, with its LaTeX there.
    ``symbols`` maps some of them, or keys of :data:`.letters.LETTERS`, to LaTeX. ``macros`` is True
    (a macro ``\relmu`` for every stem and for the letters of a statement), names that are to have
    one, or her own macros and their bodies, such as ``{"EX": r"\mathbb{E}"}``. ``formed`` has names
    that are written as an expression in given symbols, such as π_2 as 1 − α.

    Raises DeclarationError for unknown names, for LaTeX that is not harmless, and where two names
    would be printed alike.

    >>> print(notation({"mu": r"\mu"}, {"mu": "m"}, {"mu", "E"}).definitions(), end="")
    \providecommand{\relE}{\operatorname{E}}
    \providecommand{\relmu}{m}
    """
    known = {**{n: letter.shown for n, letter in LETTERS.items()}, **printed}
    given = {} if symbols is None else symbols
    if not isinstance(given, Mapping):
        right = r'{"mu": r"\vec m"}'
        raise DeclarationError(problem("symbols= is no mapping", type(given).__name__, right))
    for name, text in given.items():
        _insist_known(name, known, "symbols=")
        symbol(text, f"the symbol of {name}")
    given = {**given, **(formed or {})}
    own: dict[str, str] = {}
    names: Iterable[str] = ()
    if isinstance(macros, Mapping):
        own = {
            _macro_name(name): harmless(body, f"the macro {name}") for name, body in macros.items()
        }
    elif isinstance(macros, bool):
        wanted = [n for n in known if n in given or n in _MACROED or (n in printed and _is_stem(n))]
        names = wanted if macros else ()
    elif isinstance(macros, str) or not isinstance(macros, Collection):
        right = 'True, names such as {"mu", "E"}, or {"EX": r"\\mathbb{E}"}'
        raise DeclarationError(problem("macros= is of a wrong kind", repr(macros), right))
    else:
        names = list(macros)
    for name in names:
        _insist_known(name, known, "macros=")
    _insist_apart(names)
    made = Notation(
        tuple((n, given[n]) for n in known if n in given),
        tuple(printed.items()),
        frozenset(names),
        tuple(own.items()),
    )
    _insist_distinct(made)
    return made


def _insist_known(name: object, known: Mapping[str, str], where: str) -> None:
    if name not in known:
        right = "one of " + ", ".join(known)
        raise DeclarationError(problem(f"{where} names nothing that is printed", str(name), right))


def _insist_distinct(made: Notation) -> None:
    """Refuse symbols by which two names, or a name and a chosen letter, would be printed alike."""
    symbols, last = dict(made.symbols), dict[str, str]()
    writer = _Writer(made._tables[0], made.letters, made.marks)
    texts = {n: writer.write(shown) for n, shown in made.printed}
    texts |= {n: text for n, text in symbols.items() if n not in texts}
    for name, text in texts.items():
        other = last.setdefault(re.sub(r"[\s{}]", "", made._opened(text)), name)
        if other != name and made._names.get(name, name) != made._names.get(other, other):
            wrong = f"{other} and {name} would be printed alike"
            raise DeclarationError(problem(wrong, text, "symbols that differ"))


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

    def __init__(
        self,
        table: Mapping[Name, tuple[str, bool]],
        letters: Mapping[str, str],
        marks: Mapping[str, str],
    ) -> None:
        self.table, self.letters, self.marks = table, letters, marks
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
            if token == "^" and inner in ("+", r"\dagger"):
                return token + self.marks[inner], at
            return token + script_of(inner, self.write(inner)), at
        if token == "'":
            return self.marks[token], at + 1
        if token[0] == "@":
            shown, following = self.letters[token[1:]], tokens[at + 1 : at + 2]
            open_top = following and following[0] in ("^", "_") and _at_top(following[0], shown)
            return (f"{{{shown}}}" if open_top else shown), at + 1
        if token in (r"\hat", r"\widehat"):
            return self._hatted(tokens, at)
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
        raised = after < len(tokens) and tokens[after] in ("^", "'")
        return (f"{{{found}}}" if raised and _at_top("^", found) else found), after

    def _hatted(self, tokens: list[str], at: int) -> tuple[str, int]:
        """A hat, over what its name is written by."""
        narrow, wide = self.marks[r"\hat"], self.marks[r"\widehat"]
        inner, after = _argument(tokens, at + 1)
        if tokens[at] == r"\widehat":
            return f"{wide}{{{self.write(inner)}}}", after
        below = ""
        if after < len(tokens) and tokens[after] == "_":
            below, after = _argument(tokens, after + 1)
        parts = tuple(below.split(",")) if below else ()
        if (inner, parts) in self.table:
            text, parts = self.table[inner, parts][0], ()
        elif parts and (inner, parts[:-1]) in self.table:
            text, parts = self.table[inner, parts[:-1]][0], parts[-1:]
        else:
            text = self.write(inner)
        head, mark, under = text.partition("_")
        if mark and not parts and not _at_top("^", text) and head.count("{") == head.count("}"):
            return f"{narrow}{{{head}}}_{under}", after
        over = f"{wide if _at_top('_', text) or _at_top('^', text) else narrow}{{{text}}}"
        return over + (f"_{script(self.write(','.join(parts)))}" if parts else ""), after

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
        if (head, below) in self.table:
            return self.table[head, below][0]
        stem = self.table.get((head, below[:-1])) if below else None
        if stem is None:
            return None
        text, indexed = stem
        if not indexed or not _INDEX.fullmatch(below[-1]):
            return None
        return _indexed(text, self.write(below[-1]))


def _indexed(symbol: str, index: str) -> str:
    """A symbol with one more subscript."""
    base = f"{{{symbol}}}" if _at_top("_", symbol) else symbol
    return f"{base}_{script(index)}"


def _closed(body: str) -> str:
    """A body that may be followed by a script of any kind."""
    return f"{{{body}}}" if _at_top("_", body) or _at_top("^", body) else body


def script_of(before: str, after: str) -> str:
    """A script that may have become longer than one sign."""
    kept = len(after) == 1 or after in (before, before.replace("@", ""))
    return script(after) if kept else f"{{{after}}}"


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
