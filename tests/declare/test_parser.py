"""What a user may write means what it says, exactly; all else is refused, and quickly."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator, Mapping
from fractions import Fraction

import numpy as np
import pytest
import sympy as sp
from hypothesis import assume, given
from hypothesis import strategies as st

from relrep_sym.declare.grammar import RESERVED
from relrep_sym.declare.parser import FUNCTIONS, check_name, expression, number, parse_expression
from relrep_sym.errors import DeclarationError, ParseError

w, u, v, mu = sp.symbols("w u v mu", real=True)
p = sp.Symbol("p", positive=True)
NAMES: dict[str, sp.Symbol] = {str(s): s for s in (w, u, v, mu, p)}
KEYWORDS = [
    "lambda",
    "if",
    "else",
    "is",
    "in",
    "as",
    "or",
    "and",
    "not",
    "for",
    "None",
    "True",
    "del",
]


def read(text: str, names: Mapping[str, sp.Symbol] = NAMES) -> sp.Expr:
    return parse_expression(text, names, where="the map of mu_1")


def refusal(text: str, names: Mapping[str, sp.Symbol] = NAMES) -> str:
    """Why the text is refused; it must be, without much work."""
    start = time.thread_time()
    with pytest.raises(ParseError) as caught:
        read(text, names)
    assert time.thread_time() - start < 1.0
    assert str(caught.value).startswith("the map of mu_1: ")
    return str(caught.value)


# What is written is what is meant


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("w + (1 - v)*u", w + (1 - v) * u),
        ("w - v*u", w - v * u),
        ("-w**2", -(w**2)),
        ("(-w)**2", w**2),
        ("2**-w", 2 ** (-w)),
        ("w**v**u", w ** (v**u)),
        ("w/v/u", w / (v * u)),
        ("w/v*u", w * u / v),
        ("w - v - u", w - v - u),
        ("w - (v - u)", w - v + u),
        ("--w", w),
        ("-+-+w", w),
        ("  w\t+ v ", w + v),
        ("mu", mu),
        ("p**0.5 * p**0.5", p),
        ("u**2/(1 + u**2)", u**2 / (1 + u**2)),
    ],
)
def test_the_precedence_is_that_of_mathematics_as_python_writes_it(
    text: str, meant: sp.Expr
) -> None:
    assert read(text) == meant


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.1", Fraction(1, 10)),
        ("1/3", Fraction(1, 3)),
        (".5", Fraction(1, 2)),
        ("5.", Fraction(5)),
        ("1e-3", Fraction(1, 1000)),
        ("2.50E+2", Fraction(250)),
        ("007", Fraction(7)),
        ("0.1 + 0.2", Fraction(3, 10)),
        ("-2**2", Fraction(-4)),
        ("0**0", Fraction(1)),
        ("1e00000000000002", Fraction(100)),
        ("5e-324", Fraction(5, 10**324)),
    ],
)
def test_decimals_are_exact(text: str, value: Fraction) -> None:
    assert read(text) == sp.Rational(value.numerator, value.denominator)


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_every_function_of_the_language_can_be_called(name: str) -> None:
    assert read(f"{name}(p)") == FUNCTIONS[name](p)
    assert read(f"-{name} (p)**2") == -(FUNCTIONS[name](p) ** 2)


def test_expm1_and_log1p_are_what_they_say() -> None:
    assert read("expm1(u)") == sp.exp(u) - 1
    assert read("log1p(u)") == sp.log(1 + u)


@pytest.mark.parametrize("word", [*KEYWORDS, "x", "np", "out", "weights", "e"])
def test_keywords_of_python_are_names_like_any_other(word: str) -> None:
    names = {**NAMES, word: sp.Symbol(word, real=True)}
    assert check_name(word, kind="coordinate") == word
    assert read(f"mu + {word}", names) == mu + names[word]
    assert read(f"{word}*{word} - exp({word})", names) == names[word] ** 2 - sp.exp(names[word])


def test_all_keywords_at_once_stay_apart() -> None:
    names = {word: sp.Symbol(word, real=True) for word in KEYWORDS}
    text = " + ".join(f"{i}*{word}" for i, word in enumerate(KEYWORDS, 2))
    assert read(text, names) == sum(i * names[word] for i, word in enumerate(KEYWORDS, 2))


def test_the_symbols_are_those_that_were_given() -> None:
    text_symbols = read("w + p").free_symbols
    assert text_symbols == {w, p}
    assert all(any(s is known for known in NAMES.values()) for s in text_symbols)


class _Marked(sp.Symbol):
    """A symbol of another kind, as a model's parameters are."""


def test_symbols_of_a_kind_of_their_own_are_kept() -> None:
    marked = _Marked("w")
    assert read("w**2", {"w": marked}).free_symbols == {marked}
    found = expression(marked + 1, {"w": marked}, where="here").free_symbols
    assert {type(s) for s in found} == {_Marked}


class _AnyName(Mapping[str, sp.Symbol]):
    def __getitem__(self, name: str) -> sp.Symbol:
        return sp.Symbol(check_name(name, kind="coordinate"), real=True)

    def __contains__(self, name: object) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def test_names_may_be_open_ended() -> None:
    assert {s.name for s in read("a + lambda*b_1", _AnyName()).free_symbols} == {
        "a",
        "b_1",
        "lambda",
    }
    for text in ("E", "__import__", "exp", "f(a)", "_a", "a__b", "a" * 65):
        assert "column 1" in refusal(text, _AnyName())


# What is not of the language is refused by name


@pytest.mark.parametrize(
    ("text", "wrong", "right"),
    [
        ("w^2", "'^' is no power here at column 2", "** for powers"),
        ("w + delta", "unknown name 'delta' at column 5", "one of mu, p, u, v, w"),
        ("w + muu", "unknown name 'muu'", "did you mean mu?"),
        ("if", "unknown name 'if' (a keyword of Python)", "one of"),
        ("ln(w)", "'ln' is not a function", "did you mean log?"),
        ("logg(w)", "'logg' is not a function", "did you mean log?"),
        ("w (v)", "'w' is not a function of the language, yet called at column 1", "a*(b)"),
        ("exp", "the function 'exp' without argument", "exp(...)"),
        ("2*pi(3)", "the number pi is not a function at column 3", "pi*(...)"),
        ("besseli(w)", "'besseli' is not a function of the language", "exp, log, sqrt"),
        ("min(w, v)", "'min' is not a function of the language", "exp, log, sqrt"),
        ("max(w, v)", "'max' is not a function of the language", "exp, log, sqrt"),
        ("Piecewise((w, v))", "'Piecewise' is not a function of the language", "erf, erfc"),
        ("2*logcdf(w)", "'logcdf' is not a function of the language", "log(erfc(-z/sqrt(2))/2)"),
        ("E", "reserved", "exp(1)"),
        ("I", "reserved", "real"),
        ("oo", "reserved", "finite"),
        ("nan", "reserved", "finite"),
        ("e", "unknown name 'e'", "did you mean exp(1)?"),
        ("2w", "'w' right after the number '2' at column 2", "2*x"),
        ("2(w)", "no operator before '(' at column 2", "a*(b)"),
        ("w v", "no operator before 'v' at column 3", "a*b"),
        ("(w)(v)", "no operator before '(' at column 4", "a*(b)"),
        ("2j", "'j' right after the number", "'j'"),
        ("0x10", "'x' right after the number", "'0x'"),
        ("1_000", "'_' right after the number", "'_'"),
        ("1.2.3", "'.' right after the number", "decimal"),
        ("", "an empty text", "an expression"),
        ("  ", "an empty text", "an expression"),
        ("w +", "ends where an operand", "an expression"),
        ("* w", "no operand before '*' at column 1", "starred"),
        ("w * / v", "no operand before '/' at column 5", "a name or number"),
        ("()", "no operand before ')'", "a name"),
        ("exp()", "no operand before ')'", "no empty calls"),
        ("exp(w, v)", "a comma at column 6", "one argument"),
        ("exp(*w)", "no operand before '*'", "starred"),
        ("exp(**w)", "no operand before '**'", "starred"),
        ("exp(w=1)", "keyword argument", "right-hand side"),
        ("w = 1", "an assignment", "right-hand side"),
        ("(w := 1)", "an assignment (':=')", "right-hand side"),
        ("(w", "'(' is never closed at column 1", "matching"),
        ("w)", "')' without '(' at column 2", "matching"),
        ("w.real", "an attribute", "dot"),
        ("w[0]", "a subscript or list", "mu_1"),
        ("[w]", "a subscript or list", "round"),
        ("{w}", "a set or dictionary", "round"),
        ("'w'", "a string", "quotation"),
        ('f"{w}"', "a string at column 1", "quotation"),
        ("b'w'", "a string", "quotation"),
        ("w // v", "a floor division", "/"),
        ("w % v", "a remainder", "+ - * / **"),
        ("w @ v", "a matrix product", "*"),
        ("w < v", "a comparison", "an expression"),
        ("w == v", "a comparison", "an expression"),
        ("w << 2", "bits", "**"),
        ("~w", "bits", "**"),
        ("w if v else u", "unknown name 'if' (a keyword", "one of"),
        ("lambda w: w", "unknown name 'lambda' (a keyword", "one of"),
        ("not w", "unknown name 'not' (a keyword", "one of"),
        ("w; v", "a second statement", "one expression"),
        ("w # v", "a comment", "alone"),
        ("w \\", "a backslash", "one line"),
        ("w\n+ v", "a line break at column 2", "one line"),
        ("w\0", "a NUL", "ASCII"),
        ("w $ v", "'$'", "ASCII"),
        ("w\x0c", "'\\x0c'", "ASCII"),
        ("μ + 1", "the character 'μ' (GREEK SMALL LETTER MU) at column 1", "spelled out"),
        ("w − v", "(MINUS SIGN)", "'-' for minus"),
        ("ｗ", "FULLWIDTH", "ASCII"),
        ("\ud800", "U+D800", "ASCII"),
    ],
)
def test_a_refusal_says_what_was_wrong_and_what_would_be_right(
    text: str, wrong: str, right: str
) -> None:
    said, expected = refusal(text).split("; expected: ")
    assert wrong in said
    assert right in expected


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "__import__('os').system('…')",
        "__import__(w)",
        "x); import os",
        "w.__class__.__mro__",
        "().__class__.__bases__[0].__subclasses__()",
        "exp.__globals__",
        "(lambda: 0)()",
        "[c for c in (1,)]",
        "eval(w)",
        "open(w)",
        "_0",
        "_1 + w",
        "__debug__",
        "exp(1)(2)",
        "exp exp",
        "f'{w!r}'",
        "w\r\nimport os",
        "print(w)",
        "S(w)",
        "sympify(w)",
        "Symbol(w)",
    ],
)
def test_no_text_reaches_python(text: str) -> None:
    before = set(sys.modules)
    refusal(text)
    assert set(sys.modules) == before


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("1/0", "a division by zero at column 3"),
        ("w/(v - v)", "a division by zero at column 4"),
        ("0**-1", "a division by zero"),
        ("log(0)", "the logarithm of zero"),
        ("0*log(0)", "the logarithm of zero"),
        ("log(-2)", "no finite real value"),
        ("sqrt(-1)", "no finite real value at column 1"),
        ("w + sqrt(1 - 2)", "no finite real value at column 5"),
        ("(-8)**(1/3)", "no finite real value"),
        ("gamma(-3)", "no finite real value"),
        ("gamma(w - w)", "no finite real value"),
        ("loggamma(-1/2)", "no finite real value"),
        ("tan(2*atan(1))", "no finite real value"),
        ("log(log(1/2))", "no finite real value"),
        ("sqrt(-p)", "not real"),
        ("(-2)**w", "a power of zero or of a negative number"),
        ("0**w", "a power of zero or of a negative number"),
        ("1/(sin(1)**2 + cos(1)**2 - 1)", "cannot be told from zero"),
        ("erf(2000) - 1", "cannot be told from zero"),
        ("gamma(erf(-10))", "SymPy fails at it (ValueError: gamma function pole)"),
    ],
)
def test_what_has_no_finite_real_value_is_refused(text: str, wrong: str) -> None:
    assert wrong in refusal(text)


# Limits


def test_long_sums_and_products_are_read() -> None:
    assert read("+".join(["w"] * 1000)) == 1000 * w
    assert read("-".join(["w"] * 1000)) == -998 * w
    assert read("*".join(["w"] * 1000)) == w**1000
    assert read("/".join(["w"] * 1000)) == w**-998
    assert read("+".join(f"w*u**{i}" for i in range(400))) == sum(w * u**i for i in range(400))
    assert read(" " * 9_999 + "w") == w


def test_a_constant_counts_once_however_often_it_stands() -> None:
    assert read("+".join(f"sqrt(2)*w**{i}" for i in range(300))).count(sp.sqrt(2)) == 300


def test_nesting_is_read_to_a_hundred() -> None:
    assert read("(" * 100 + "w" + ")" * 100) == w
    assert read("-" * 100 + "w") == w
    assert read("sqrt(" * 99 + "p" + ")" * 99) == p ** sp.Rational(1, 2**99)
    assert read("exp(" * 50 + "w" + ")" * 50).count(sp.exp) == 50


ATTACKS = [
    "w+" * 499_999 + "w",
    "(" * 5_000 + ")" * 5_000,
    "(" * 101 + "w" + ")" * 101,
    "(" * 10_000,
    ")" * 10_000,
    "-" * 101 + "w",
    "-" * 9_999 + "w",
    "-(" * 4_000,
    "exp(" * 2_000 + "w" + ")" * 2_000,
    "w**" * 101 + "w",
    "w**" * 3_000 + "w",
    "w**-" * 2_400 + "w",
    "+".join("w" * 4_999),
    "*".join("w" * 4_999),
    "(" * 99 + "w" + ("+w" * 40 + ")") * 99,
    "1" * 10_000,
    "0." + "0" * 5_000 + "1",
    "1e999999",
    "1e" + "9" * 5_000,
    "1e-999999",
    "a" * 10_000,
    "9**9**9**9",
    "(9**99)**99",
    "9**(99**99)",
    "2**100000",
    "2**-100000",
    "(1/3)**100000",
    "1.0000001**1000",
    "2**(10**300*sqrt(2))",
    "exp(exp(exp(9**9)))",
    "exp(exp(exp(10)))",
    "exp(10**1000)",
    "exp(-10**1000)",
    "exp(1)**(10**9)",
    "exp(10**9*log(2))",
    "sinh(10**9)",
    "cosh(10**9)",
    "w**(10**9)",
    "w**-(10**9)",
    "w**1000*w**1000",
    "(w**1000)**1000",
    "gamma(10**9)",
    "gamma(100000)",
    "gamma(-99999.5)",
    "loggamma(10**9)",
    "loggamma(99999.5)",
    "exp(w + 10**9*log(2))",
    "exp(1)**(w + 10**9*log(2))",
    "2**(w + 10**9) * 2**(-w)",
    "(2*p)**(w + 10**9) * (2*p)**(-w)",
    "exp(w + 2000) * exp(w + 2000) * exp(-2*w)",
    "*".join(["(10**1000*w)"] * 700),
    "2**1000*(" * 90 + "w + v" + ")" * 90,
    "+".join(f"sqrt(10**1000 + {i})" for i in range(450)),
    "+".join(f"log(10**1000 + {i})" for i in range(450)),
    "+".join(f"w/(10**1000 + {i})" for i in range(450)),
    "+".join(f"1/{i}" for i in range(100_000_007, 100_000_700)),
    "+".join(f"sin({i})" for i in range(1, 900)),
    "+".join(f"(1 - tanh({i}))" for i in range(30, 500)),
]


@pytest.mark.parametrize("text", ATTACKS, ids=lambda text: text[:24])
def test_no_text_costs_more_than_a_refusal(text: str) -> None:
    refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "sin(10**1000)",
        "tanh(10**1000)",
        "erf(10**1000)",
        "gamma(w + 10**9)",
        "2**(10**9*w)*3**(10**9*w)",
        "cosh(10**9*w)",
        "7**(1/10**1000)",
        "w**0.12345678901234567",
        "(1 + w/10)**1000",
        "gamma(500)",
        "exp(2800)",
        "exp(exp(7))",
        "sqrt(10**1000 + 7)",
    ],
)
def test_what_only_looks_dangerous_is_read_quickly(text: str) -> None:
    start = time.thread_time()
    read(text)
    assert time.thread_time() - start < 1.0


@pytest.mark.parametrize("pattern", ["abs(1 + p*@)", "sinh(w - @/3)", "exp(@)**0.5 + p"])
def test_nesting_that_sympy_cannot_cope_with_ends_in_a_refusal(pattern: str) -> None:
    text = "w"
    for _ in range(12):
        text = pattern.replace("@", text)
    start = time.thread_time()
    try:
        read(text)
    except ParseError as error:
        assert re.search("too (hard|deep)|SymPy fails", str(error))  # noqa: PT017
    assert time.thread_time() - start < 30.0


def test_exhaustion_is_an_error_of_ours() -> None:
    def at_depth(levels: int) -> sp.Expr:
        return at_depth(levels - 1) if levels else read("exp(" * 60 + "w + 1" + ")" * 60)

    for levels in range(0, 900, 100):
        try:
            at_depth(levels)
        except ParseError as error:
            assert "too deep" in str(error)  # noqa: PT017
        except RecursionError:
            pass  # the caller's own frames; the parser's would be a ParseError


# SymPy expressions and numbers


def test_a_sympy_expression_is_matched_by_name() -> None:
    plain = sp.Symbol("w") ** 2 / sp.Symbol("p", negative=True)
    assert expression(plain, NAMES, where="here") == w**2 / p
    assert expression(sp.sqrt(sp.Symbol("p") ** 2), NAMES, where="here") == p
    assert expression(sp.Symbol("w") * 0.1, NAMES, where="here") == w / 10
    assert expression(0.1 + w, NAMES, where="here") == w + sp.Rational(1, 10)


@pytest.mark.parametrize("number_", [3, 0.1, Fraction(1, 3), np.float64(0.1), np.int64(3), sp.pi])
def test_a_number_is_an_expression(number_: object) -> None:
    assert expression(number_, NAMES, where="here") == number(number_, where="here")


_unknown = sp.Symbol("unknown")
_deep: sp.Expr = w
for _ in range(3_000):
    _deep = sp.sin(_deep, evaluate=False)
_wide: sp.Expr = w
for _ in range(60):
    _wide = sp.Mul(_wide, sp.Add(_wide, 1, evaluate=False), evaluate=False)
_tower = sp.Pow(9, sp.Pow(9, sp.Pow(9, 9, evaluate=False), evaluate=False), evaluate=False)


@pytest.mark.parametrize(
    "value",
    [
        _unknown + w,
        sp.Dummy("w"),
        sp.Wild("w"),
        sp.I * w,
        w + sp.I,
        sp.nan,
        sp.oo,
        -sp.oo,
        sp.zoo,
        sp.Mul(w, sp.oo, evaluate=False),
        sp.log(-2),
        sp.log(w + _unknown),
        sp.Float("inf"),
        sp.Float("1e99999"),
        sp.Float("1e-99999"),
        sp.Max(w, 1),
        sp.Piecewise((w, w > 0), (0, True)),
        sp.Integral(w, (w, 0, 1)),
        sp.Sum(w, (u, 0, 1)),
        sp.Derivative(sp.Function("f")(w), w),
        sp.Function("f")(w),
        sp.besselj(0, w),
        sp.floor(w),
        sp.Integer(2) ** 5000,
        sp.Rational(1, 3**5000),
        _tower,
        sp.exp(10**10),
        sp.gamma(10**9, evaluate=False),
        w**5000,
        sp.MatrixSymbol("w", 2, 2)[0, 0],
        _deep,
        _wide,
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_sympy_expression_outside_the_language_is_refused(value: sp.Expr) -> None:
    start = time.thread_time()
    with pytest.raises(DeclarationError, match=r"^here: .*; given: .*; expected: "):
        expression(value, NAMES, where="here")
    assert time.thread_time() - start < 1.0


@pytest.mark.parametrize(
    "value",
    [
        True,
        False,
        np.True_,
        None,
        1j,
        np.complex128(1),
        float("nan"),
        float("inf"),
        -np.float32("inf"),
        10**5000,
        1 << 33_219_281,  # of ten million digits
        Fraction(1, 10**5000),
        b"1",
        [1],
        (1,),
        {},
        np.array([1.0]),
        object(),
        sp.true,
        sp.Matrix([1]),
        w,
        "w",
        "nan",
        "inf",
        "1e9999",
        "True",
        "1,5",
        sp.Float("nan"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_number_is_refused(value: object) -> None:
    with pytest.raises(DeclarationError, match=r"^the weight: .*; given: .*; expected: "):
        number(value, where="the weight")


@pytest.mark.parametrize("value", [None, True, [w], sp.Eq(w, 1), sp.Matrix([w]), sp.Tuple(w), b"w"])
def test_what_is_no_expression_is_refused(value: object) -> None:
    with pytest.raises(DeclarationError, match=r"^here: .*; given: .*; expected: "):
        expression(value, NAMES, where="here")


def test_parse_expression_takes_texts_only() -> None:
    with pytest.raises(ParseError, match="not a text; given: a value of type int"):
        parse_expression(3, NAMES, where="here")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "exact"),
    [
        (3, sp.Integer(3)),
        (-3, sp.Integer(-3)),
        (0.1, sp.Rational(1, 10)),
        (-2.5e-3, sp.Rational(-1, 400)),
        (-0.0, sp.Integer(0)),
        (1e300, sp.Integer(10) ** 300),
        (5e-324, sp.Rational(5, 10**324)),
        (Fraction(-1, 3), sp.Rational(-1, 3)),
        ("1/3", sp.Rational(1, 3)),
        ("sqrt(2)", sp.sqrt(2)),
        ("4*atan(1)", sp.pi),
        ("pi", sp.pi),
        ("pi**2/6 - 2*pi", sp.pi**2 / 6 - 2 * sp.pi),
        ("erfc(0)", 1),
        ("exp(1)", sp.E),
        (sp.pi, sp.pi),
        (sp.E, sp.E),
        (sp.sqrt(2) / 3, sp.sqrt(2) / 3),
        (sp.Float(0.1), sp.Rational(1, 10)),
        (sp.Float(0.1) + sp.Float(0.2), sp.Rational(30000000000000004, 10**17)),
        (sp.Float("0.1", 40), sp.Rational(1, 10)),
        (np.float64(0.1), sp.Rational(1, 10)),
        (np.float32(0.1), sp.Rational(1, 10)),
        (np.float16(0.5), sp.Rational(1, 2)),
        (np.int64(-7), sp.Integer(-7)),
        (np.uint8(7), sp.Integer(7)),
        (np.str_("1/4"), sp.Rational(1, 4)),
    ],
)
def test_a_number_is_read_exactly(value: object, exact: sp.Expr) -> None:
    assert number(value, where="the weight") == exact


# Names


@pytest.mark.parametrize(
    "name", ["mu_1", "Delta_sigma_2", "x", "np", "a_", "A1", "a" * 64, *KEYWORDS]
)
def test_names_that_may_be_declared(name: str) -> None:
    assert check_name(name, kind="coordinate") == name


@pytest.mark.parametrize(
    "name",
    [
        *RESERVED,
        *FUNCTIONS,
        "",
        " ",
        "1a",
        "_a",
        "__a",
        "a__b",
        "a__",
        "a b",
        "a-b",
        "a.b",
        "a\n",
        "a" * 65,
        "a" * 1_000_000,
        "μ",
        "ａ",
        "a\u0301",
        "\\alpha",
        "x); import os",
        "{{ x }}",
        "a\0",
    ],
    ids=lambda name: name[:12],
)
def test_names_that_may_not(name: str) -> None:
    with pytest.raises(
        DeclarationError, match=r"(?s)^the coordinate name .*; given: .*; expected: "
    ) as e:
        check_name(name, kind="coordinate")
    assert len(str(e.value)) < 500


@pytest.mark.parametrize("name", [None, 3, b"a", ["a"]])
def test_a_name_is_a_string(name: object) -> None:
    with pytest.raises(DeclarationError, match="a value of type"):
        check_name(name, kind="coordinate")  # type: ignore[arg-type]


# Properties

_operands = st.sampled_from(["w", "u", "v", "p", "1", "2", "7", "10", "12"])


def _longer(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operator = st.sampled_from(["+", "-", "*", "/", " + ", " - ", " * ", " / ", "*-", "- -"])
    chain = st.builds("{}{}{}{}{}".format, inner, operator, inner, operator, inner)
    power = st.builds(
        "{}**{}".format,
        st.one_of(_operands, chain.map("({})".format)),
        st.sampled_from(["2", "3", "-1", "-2", "(1 - 3)", "0", "2**1"]),
    )
    return st.one_of(chain, power, inner.map("({})".format), inner.map("-{}".format))


@given(st.recursive(_operands, _longer, max_leaves=15))
def test_a_rational_text_has_the_value_that_python_gives_it(text: str) -> None:
    point = {"w": Fraction(3, 7), "u": Fraction(-5, 3), "v": Fraction(11, 2), "p": Fraction(13, 5)}
    try:
        value = eval(re.sub(r"(\d+)", r"F(\1)", text), {"F": Fraction, **point})
    except ZeroDivisionError:
        value = None
    try:
        parsed = read(text)
    except ParseError as error:
        assert "division by zero" in str(error)  # noqa: PT017
        assert value is None
        return
    assume(value is not None)
    at = {NAMES[n]: sp.Rational(q.numerator, q.denominator) for n, q in point.items()}
    assert parsed.subs(at) == sp.Rational(value.numerator, value.denominator)


_NOT_REAL = (sp.I, sp.nan, sp.oo, -sp.oo, sp.zoo, sp.AccumBounds)


@st.composite
def trees(draw: st.DrawFn, depth: int = 3) -> tuple[str, sp.Expr, bool]:
    """A text with all its brackets, what SymPy makes of the same steps, and if each was real."""
    kind = draw(st.integers(0, 6)) if depth else 0
    if kind == 0:
        name = draw(st.sampled_from([*sorted(NAMES), "0", "1", "2", "3"]))
        return name, NAMES.get(name) or sp.Integer(name), True
    a, x, real = draw(trees(depth=depth - 1))
    if kind == 1:
        name = draw(st.sampled_from(sorted(set(FUNCTIONS) - {"gamma", "loggamma", "tan"})))
        text, value = f"{name}({a})", FUNCTIONS[name](x)
    elif kind == 2:
        n = draw(st.sampled_from([2, 3, -1, -2]))
        text, value = f"({a})**{n}", x**n
    else:
        b, y, both = draw(trees(depth=depth - 1))
        real = real and both
        text = f"({a}) {'+-*/'[kind - 3]} ({b})"
        value = [lambda: x + y, lambda: x - y, lambda: x * y, lambda: x / y][kind - 3]()
    return text, value, real and not value.has(*_NOT_REAL)


@given(trees())
def test_a_text_is_what_sympy_makes_of_the_same_steps(tree: tuple[str, sp.Expr, bool]) -> None:
    text, direct, real = tree
    try:
        parsed = read(text)
    except ParseError as error:
        assert not real or "cannot be told from zero" in str(error)  # noqa: PT017
        return
    assert same(parsed, direct)
    assert same(expression(direct, NAMES, where="here"), direct)


def same(a: sp.Expr, b: sp.Expr) -> bool:
    """Equal in form, as a rule; SymPy may distribute a number or leave an Abs(Abs(mu))."""
    point = {s: sp.Rational(i, 3) for i, s in enumerate(NAMES.values(), 1)}
    return a == b or bool(sp.Abs((a - b).subs(point).evalf(20, maxn=200)) < 1e-15)


_pieces = st.sampled_from(
    [
        *"w u v p mu 0 1 2 9 99 0.5 1e9 1e-400 + - * / ** ( ) ** ( ) +".split(),
        *"exp( log( sqrt( gamma( loggamma( tan( abs( erf( sinh( tanh(".split(),
        *", . .. = ^ ' [ ] { } : ; # % @ ! < > // _ __import__ lambda if pi E oo nan".split(),
        *["x).y", "0x1", "2j", "1_0", "é", "−", '"', "\\", "\0", "\t", "\n", "\x7f", " "],
    ]
)
_sane = [
    "w + (1 - v)*u",
    "exp(-w**2/2)/sqrt(2*p)",
    "log1p(exp(u))",
    "1/(1 + exp(-(w - u)/p))",
    "(w*v)**2.5",
]


@given(st.lists(_pieces, max_size=30).map("".join) | st.text(max_size=60))
def test_any_text_is_read_or_refused_by_us(text: str) -> None:
    start = time.thread_time()
    try:
        result = read(text)
    except ParseError:
        pass
    else:
        assert isinstance(result, sp.Expr)
        assert result.free_symbols <= set(NAMES.values())
        assert not result.has(sp.I, sp.nan, sp.oo, -sp.oo, sp.zoo, sp.Float)
    assert time.thread_time() - start < 3.0


@given(
    st.sampled_from(_sane),
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3), _pieces), max_size=4),
)
def test_a_mutated_text_is_read_or_refused_by_us(
    text: str, cuts: list[tuple[int, int, str]]
) -> None:
    for at, length, piece in cuts:
        text = text[:at] + piece + text[at + length :]
    start = time.thread_time()
    try:
        assert isinstance(read(text), sp.Expr)
    except ParseError as error:
        assert "; given: " in str(error)  # noqa: PT017
    assert time.thread_time() - start < 3.0


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_stands_for_its_shortest_decimal(x: float) -> None:
    exact = number(x, where="here")
    assert exact == sp.Rational(Fraction(repr(x)).numerator, Fraction(repr(x)).denominator)
    assert exact == number(repr(x), where="here")
    assert exact == number(np.float64(x), where="here")


@given(st.fractions())
def test_a_fraction_is_itself(q: Fraction) -> None:
    assert number(q, where="here") == number(str(q), where="here")
    assert number(q, where="here") == sp.Rational(q.numerator, q.denominator)


@given(st.text(max_size=70) | st.from_regex(r"[A-Za-z][A-Za-z0-9_]*", fullmatch=True))
def test_a_name_that_passes_is_a_name_in_a_text(name: str) -> None:
    try:
        check_name(name, kind="coordinate")
    except DeclarationError:
        return
    symbol = sp.Symbol(name, real=True)
    assert name.isascii()
    assert name.isidentifier()
    assert read(f"2*{name}", {name: symbol}) == 2 * symbol
