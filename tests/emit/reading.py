r"""Reads printed LaTeX back as numbers: so that what is printed is held against what was derived.

It knows the notation of textbooks (fractions, roots, sums over components, E_q[…], r_k(x),
f(x | …)), and which letters a document has for them; nothing of how the package writes it. Letters
are read as marks, ``@r_@k(@x)``: a name that is spelled like one of them is another thing.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce

import numpy as np
import sympy as sp
from scipy.special import erf, gammaln, logsumexp, psi

from relrep_sym.declare.functions import Logistic, LogTotal, Softplus, SoftplusInverse
from relrep_sym.emit.letters import LETTERS
from relrep_sym.equations.nodes import Expectation, LogSumExp, Responsibility

Key = tuple[str, ...]
_TOKEN = re.compile(r"@\{[A-Za-z]+\}|@\\[A-Za-z]+|@.|\\[A-Za-z]+\*?|\\.|\d+\.?\d*|\S")
_SKIPPED = set(r"\left \right \bigl \bigr \Bigl \Bigr \, \! \quad".split())
_FUNCTIONS: dict[str, Callable[..., object]] = {
    r"\log": np.log, r"\exp": np.exp, r"\sin": np.sin, r"\cos": np.cos, r"\tanh": np.tanh,
    r"\max": lambda values: np.max(values, axis=0),
}  # fmt: skip
DEFAULT: Mapping[str, str] = {letter.mark: letter.shown for letter in LETTERS.values()}


def remarked(text: str, letters: Mapping[str, str] = DEFAULT) -> str:
    r"""A printed text with every letter of the document's own as its mark.

    >>> remarked(r"\operatorname{E}_q[r_k(x) \pi_k] + \pi")
    '@E_@q[@r_@k(@x) \\pi_@k] + @{number}'
    """
    back = {shown: mark for mark, shown in letters.items()}
    longer = "".join(
        rf"\{{{re.escape(s)}\}}|{re.escape(s)}|" for s in back if len(s) > 1 and s[-1] == "}"
    )
    words = r"\\(?:begin|end|label|text|mathrm|operatorname\*?|mathbf|mathcal|mathsf)\{[^{}]*\}"
    signs = r"@\{[A-Za-z]+\}|@\\[A-Za-z]+|@.|\\[A-Za-z]+|\\.|.|\n"
    out, pieces = [], re.findall(f"{longer}{words}|{signs}", text)
    for n, piece in enumerate(pieces):
        if piece[0] == "{" and piece[1:-1] in back:
            piece = piece[1:-1]
        mark = back.get(piece)
        if mark == "{number}" and pieces[n + 1 : n + 2] == ["_"]:
            mark = None
        out.append(piece if mark is None else f"@{mark}")
    return re.sub(r"([_^])\{(@(?:\{\w+\}|\\[A-Za-z]+|.))\}", r"\1\2", "".join(out))


@dataclass
class World:
    """What the letters stand for: the sample and its weights, densities, and numbers by name."""

    x: np.ndarray
    w: np.ndarray
    density: Callable[..., np.ndarray]
    truth: np.ndarray
    responsibilities: Sequence[np.ndarray] = ()
    names: dict[Key, object] = field(default_factory=dict)
    letters: dict[str, int] = field(default_factory=dict)
    spelled: Mapping[str, str] = field(default_factory=lambda: DEFAULT)

    def let(self, printed: str, value: object) -> None:
        """Give a printed name a value."""
        self.names[Reader(printed, self).name()] = value

    def read(self, printed: str, **letters: int) -> object:
        """The value of a printed expression, its free letters given."""
        self.letters = {f"@{name}": n for name, n in letters.items()}
        reader = Reader(printed, self)
        value = reader.sum()
        assert reader.at_end(), f"left unread: {reader.rest()} of {printed}"
        return value

    def key(self, printed: str, **letters: int) -> Key:
        """A printed name, its index a number."""
        self.letters = {f"@{name}": n for name, n in letters.items()}
        return Reader(printed, self).name()


class Reader:
    """Recursive descent over the tokens of one formula."""

    def __init__(self, text: str, world: World) -> None:
        text = remarked(text.replace("{}", ""), world.spelled)
        self.tokens = [t for t in _TOKEN.findall(text) if t not in _SKIPPED]
        self.at = 0
        self.world = world
        self.barred = False  # between the bars of an absolute value

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, wanted: str | None = None) -> str:
        token = self.peek()
        assert wanted in (None, token), f"{token!r} where {wanted!r} was expected: {self.rest()}"
        self.at += 1
        return token

    def at_end(self) -> bool:
        return self.at == len(self.tokens)

    def rest(self) -> str:
        return " ".join(self.tokens[self.at :])

    # --------------------------------------------------------------------- arithmetic

    def sum(self) -> object:
        sign = 1.0
        if self.peek() in "+-" and self.peek():
            sign = -1.0 if self.take() == "-" else 1.0
        total = sign * self.product()
        while self.peek() in ("+", "-"):
            sign = -1.0 if self.take() == "-" else 1.0
            total = total + sign * self.product()
        return total

    def product(self) -> object:
        value = self.factor()
        while self.peek() not in ("", "+", "-", ")", "]", "}", ",", "&", r"\\", r"\end", r"\mid"):
            if self.barred and self.peek() == "|":
                break
            if self.peek() == "/":  # as in an exponent 3/2
                self.take()
                value = value / self.factor()
            else:
                value = value * self.factor()
        return value

    def factor(self) -> object:
        if self.peek() == r"\cdot":
            self.take()
        value, plus = self.atom()
        if self.peek() == "!":
            self.take()
            value = np.exp(gammaln(np.asarray(value) + 1))
        if self.peek() == "^":
            assert not plus
            self.take()
            value = value ** self.argument()
        return value

    def argument(self) -> object:
        """What follows ^, or a brace."""
        if self.peek() == "{":
            self.take()
            value = self.sum()
            if self.peek() == "/":
                self.take()
                value = value / self.sum()
            self.take("}")
            return value
        token = self.take()
        if token[0].isdigit() and len(token) > 1:  # TeX takes one digit
            self.at -= 1
            self.tokens[self.at] = token[1:]
            token = token[0]
        return self.number_or_name(token)

    def number_or_name(self, token: str) -> object:
        if token[0].isdigit():
            return float(token)
        self.at -= 1
        return self.atom()[0]

    def atom(self) -> tuple[object, bool]:
        token = self.peek()
        if token[0].isdigit():
            return float(self.take()), False
        if token in ("(", "["):
            self.take()
            value = self.sum()
            if self.peek() == ",":  # of max(a, b)
                values = [value]
                while self.peek() == ",":
                    self.take()
                    values.append(self.sum())
                size = sum(np.asarray(v) for v in values) * 0
                value = np.array([v + size for v in values])
            self.take(")" if token == "(" else "]")
            return value, False
        if token in (r"\frac", r"\tfrac"):
            self.take()
            return self.braced() / self.braced(), False
        if token == r"\sqrt":
            self.take()
            return np.sqrt(self.braced()), False
        if token == r"\sum":
            return self.component_sum(), False
        if token == r"\begin":
            return self.matrix(), False
        if token == "@E":
            return self.expectation(), False
        if token in _FUNCTIONS:
            self.take()
            inner = self.product() if self.peek() == r"\sum" else self.factor()
            return _FUNCTIONS[token](inner), False
        if token == "|":
            self.take()
            self.barred = True
            value = self.sum()
            self.barred = False
            self.take("|")
            return np.abs(value), False
        if token == r"\binom":
            self.take()
            n, k = self.braced(), self.braced()
            return np.exp(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)), False
        if token == r"\operatorname":
            self.take()
            self.take("{")
            word = "".join(iter(self.take, "}"))
            return {"sign": np.sign, "erf": erf}[word](self.bracketed()), False
        if token in (r"@\Gamma", "@{digamma}"):
            self.take()
            return {r"@\Gamma": lambda v: np.exp(gammaln(v)), "@{digamma}": psi}[token](
                self.bracketed()
            ), False
        return self.variable()

    def bracketed(self) -> object:
        self.take("(")
        value = self.sum()
        self.take(")")
        return value

    def braced(self) -> object:
        self.take("{")
        value = self.sum()
        self.take("}")
        return value

    def expectation(self) -> object:
        self.take("@E")
        self.take("_")
        self.take("@q")
        self.take("[")
        value = self.sum()
        self.take("]")
        return np.sum(self.world.w * value)

    def component_sum(self) -> object:
        self.take(r"\sum")
        self.take("_")
        self.take("{")
        letter = self.take()
        self.take("=")
        first = self.index()
        self.take("}")
        self.take("^")
        last = self.bare_index()
        start, before = self.at, dict(self.world.letters)
        total: object = 0.0
        for n in range(first, last + 1):
            self.at = start
            self.world.letters[letter] = n
            total = total + self.product()
        if last < first:
            raise AssertionError("an empty sum was printed")
        self.world.letters = before
        return total

    def matrix(self) -> np.ndarray:
        self.take(r"\begin")
        while self.take() != "}":
            pass
        rows = [[self.sum()]]
        while self.peek() != r"\end":
            if self.take() == r"\\":
                rows.append([])
            rows[-1].append(self.sum())
        self.take(r"\end")
        while self.take() != "}":
            pass
        return np.array(rows, dtype=float)

    # --------------------------------------------------------------------- names

    def index(self) -> int:
        total, sign = 0, 1
        while self.peek() not in ("}", ",", ""):
            token = self.take()
            if token in "+-":
                sign = -1 if token == "-" else 1
            else:
                total += sign * (int(token) if token.isdigit() else self.world.letters[token])
        return total

    def bare_index(self) -> int:
        if self.peek() == "{":
            self.take()
            value = self.index()
            self.take("}")
            return value
        token = self.take()
        if token.isdigit() and len(token) > 1:
            self.at -= 1
            self.tokens[self.at] = token[1:]
            token = token[0]
        return int(token) if token.isdigit() else self.world.letters[token]

    def name(self) -> Key:
        head = self.take()
        if head in (r"\hat", r"\widehat", r"\overline"):
            self.take("{")
            inner = [self.take()]
            depth = 1
            while depth:
                inner.append(self.take())
                depth += {"{": 1, "}": -1}.get(inner[-1], 0)
            hatted = Reader("", self.world)
            hatted.tokens = inner[:-1]
            head = "hat of " + " ".join(hatted.settled())
        elif head in (r"\mathrm", r"\tilde", r"\bar", r"\mathbf", r"\mathsf", r"\vec", r"\mathcal"):
            self.take("{")
            open_braces = 1
            while open_braces:
                token = self.take()
                open_braces += {"{": 1, "}": -1}.get(token, 0)
                head += token if token not in "{}" else ""
        elif head == r"\log":
            return ("log", *self.name())
        key = [head]
        if self.peek() == "_":
            self.take()
            if self.peek() == "{":
                self.take()
                key.append(self.part())
                while self.peek() == ",":
                    self.take()
                    key.append(self.part())
                self.take("}")
            else:
                key.append(str(self.bare_index()) if self.is_index() else self.take())
        if self.peek() == "^" and self.tokens[self.at + 1] == "+":
            self.at += 2
            key.append("+")
        if self.tokens[self.at : self.at + 5] == ["^", "{", r"\mathrm", "{", "n"]:
            self.at += 9
            key.append("+")
        return tuple(key)

    def settled(self) -> list[str]:
        """The tokens, index letters as numbers."""
        letters = self.world.letters
        return [str(letters[t]) if t in letters else t for t in self.tokens]

    def is_index(self) -> bool:
        return self.peek().isdigit() or self.peek() in self.world.letters

    def part(self) -> str:
        return str(self.index()) if self.is_index() else self.name()[0]

    def variable(self) -> tuple[object, bool]:
        key = self.name()
        world = self.world
        if key == ("@x",):
            return world.x, False
        if key == ("@{number}",):
            return np.pi, False
        if key[0] == "@r" and len(key) == 2 and self.peek() == "(":
            assert [self.take() for _ in range(3)] == ["(", "@x", ")"]
            return world.responsibilities[int(key[1]) - 1], False
        if key == ("@q",):
            assert [self.take() for _ in range(3)] == ["(", "@x", ")"]
            return world.truth, False
        if key == ("@f",):
            return self.component(), False
        if key == ("@e",):
            return np.e, False
        if len(key) == 1 and key[0] in world.letters:
            return float(world.letters[key[0]]), False
        return world.names[key], False

    def component(self) -> np.ndarray:
        self.take("(")
        self.take("@x")
        arguments = []
        if self.peek() == r"\mid":
            self.take()
            arguments.append(self.sum())
            while self.peek() == ",":
                self.take()
                arguments.append(self.sum())
        self.take(")")
        return self.world.density(*arguments)


# ------------------------------------------------------------------------------ fragments


@dataclass
class Printed:
    """One line of a fragment: left, right, and where it holds."""

    left: str
    right: str
    where: str

    def places(self) -> Iterator[dict[str, int]]:
        """The letters' values for which the line holds."""
        where = remarked(self.where)
        order = re.fullmatch(r"(\d+) \\le @j (<|\\le) @k \\le (\d+)", where)
        if order:
            low, sign, high = int(order[1]), order[2], int(order[3])
            for k in range(low, high + 1):
                for j in range(low, k + (sign != "<")):
                    yield {"j": j, "k": k}
        elif where.startswith("@k ="):
            said = where.partition(r"\text")[0]
            numbers = [int(n) for n in re.findall(r"\d+", said)]
            if r"\dots" in said:
                numbers = list(range(numbers[0], numbers[-1] + 1))
            yield from ({"k": n} for n in numbers)
        elif where != r"\text{otherwise}":
            assert not where or where.startswith(r"\text{if its")
            yield {}


def lines_of(fragment: str) -> list[Printed]:
    """The lines of a printed fragment, broken ones put together."""
    body = re.sub(
        r"\\(begin|end)\{(equation|align|aligned)\}|\\label\{[^}]*\}|\\notag", "", fragment
    )
    rows: list[str] = []
    for row in re.split(r"\\\\\n", body):
        text = row.strip()
        if text.startswith("&"):
            rows[-1] += " " + text.removeprefix(r"&\quad")
        else:
            rows.append(text)
    out = []
    for row in rows:
        where = re.search(r"(?:, \\quad|\\qquad) ((?:@?k =|\d+ \\le|\\text).*)$", row)
        text = row[: where.start()] if where else row
        parts = text.split(" &= ") if " &= " in text else text.split(" = ", 1)
        if " &= " not in text and text.startswith("0 = "):
            parts = text.rsplit(" = ", 1)
        out.append(Printed(parts[0].strip(), parts[1].strip(), where[1].strip() if where else ""))
    return out


# ------------------------------------------------------------------------------ SymPy as numbers


def number(e: sp.Basic, values: Mapping[sp.Symbol, float], x: np.ndarray, w: np.ndarray) -> object:
    """The value of a derived expression, its nodes by their definitions."""

    def of(e: sp.Basic) -> object:
        if isinstance(e, sp.Symbol):
            return x if e.name == "x" and e not in values else values[e]
        if e.is_Number or e.is_NumberSymbol:
            return float(e)
        if isinstance(e, Expectation):
            return np.sum(w * of(e.args[0]))
        if isinstance(e, Responsibility):
            terms = np.array([of(a) + 0 * x for a in e.args[1:]])
            return np.exp(terms[e.component - 1] - logsumexp(terms, axis=0))
        if isinstance(e, LogSumExp):
            return logsumexp(np.array([of(a) + 0 * x for a in e.args]), axis=0)
        if e.is_Add:
            return sum(of(a) for a in e.args)
        if e.is_Mul:
            return reduce(operator.mul, (of(a) for a in e.args))
        if e.is_Pow:
            return of(e.base) ** of(e.exp)
        if isinstance(e, sp.Max):
            return np.max(
                np.array([of(a) + 0 * sum(of(b) for b in e.args) for a in e.args]), axis=0
            )
        if isinstance(e, Softplus | SoftplusInverse | LogTotal | Logistic):
            plain = e.rewrite((Softplus, SoftplusInverse, LogTotal), sp.log).rewrite(
                Logistic, sp.exp
            )
            return of(plain)
        if isinstance(e, sp.polygamma):
            assert e.args[0] == 0
            return psi(of(e.args[1]))
        one = {
            sp.exp: np.exp, sp.log: np.log, sp.loggamma: gammaln, sp.tanh: np.tanh, sp.Abs: np.abs,
            sp.sign: np.sign, sp.erf: erf, sp.sin: np.sin, sp.cos: np.cos,
        }  # fmt: skip
        return one[type(e)](of(e.args[0]))

    return of(e)
