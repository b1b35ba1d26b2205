r"""Whether a user's LaTeX for a symbol is mathematics that TeX only sets.

In: a text, which may come from a request file. Out: the text, or an error that says what may not
stand in it. Control words of TeX and LaTeX that read, write, define, test or open something are
refused; others are signs, accents, alphabets, or macros of the user's own paper.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from relrep_sym.errors import DeclarationError, problem

__all__ = ["forbidden", "harmless", "symbol"]

MAX_LENGTH = 80
_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|\s+|.", re.DOTALL)
_SIGNS = re.compile(r"(?:\\[A-Za-z]+|\\[,;:!|]|[A-Za-z0-9{}_^'*+\-=<>()\[\]|/.,:;! ])*")
_ACTIVE = re.compile(
    r"input|include|import|write|read|open|lua|shell|exec|file|def|csname|catcode|special|"
    r"immediate|package|require|command|environment|^if|^pdf|^every|^expandafter|^new|^the$",
    re.IGNORECASE,
)
"""Parts of control words that read, write, define, test or run something."""
_BARRED = frozenset(
    "above abovewithdelims accent advance afterassignment aftergroup allowdisplaybreaks atop "
    "atopwithdelims badness batchmode begin begingroup bgroup bibitem bibliography big bigg "
    "biggl biggr bigl bigr bigskip bye caption chapter char chardef choose cite closeout "
    "columnwidth count countdef cr crcr ctrlcut day delcode delimiter dimen discretionary "
    "displaylimits displaystyle divide documentclass dp dump egroup eject else end endgroup "
    "endinput eqno eqref errmessage errorcontextlines errorstopmode escapechar fam fi font "
    "footnote futurelet gdef global halign hbox href hrule hsize hskip hspace ht hyperref "
    "indent input inputlineno insert item jobname kern label language lastbox left leqno let "
    "limits linebreak llap long loop lower lowercase mag makeatletter makeatother mark "
    "mathaccent mathbin mathchar mathchoice mathclose mathcode mathinner mathop mathopen "
    "mathord mathpunct mathrel meaning medmuskip message middle mkern month moveleft moveright "
    "mskip multiply muskip newline newpage noalign noboundary noexpand noindent nolimits "
    "nonscript nonstopmode nonumber notag number omit or outer output over overfullrule "
    "overwithdelims pagebreak pageref par paragraph parbox parshape penalty phantom protect "
    "protected radical raise raisebox ref relax repeat right rlap romannumeral rule "
    "scantextokens scantokens scrollmode section setbox setcounter setlength sfcode shipout "
    "show showbox showlists showthe skip skipdef span string subsection substack tag thanks "
    "time toks toksdef uccode uchyph undefined unexpanded unhbox unskip unvbox uppercase url "
    "vadjust valign vbox vcenter verb verbatim vfill vrule vskip vspace vsplit vtop wd xdef "
    "year".split()
)
"""TeX's own words, and LaTeX's, that do more than set a sign."""


def forbidden(word: str) -> bool:
    """Whether a control word could be more than a sign, an accent or a macro of the user's."""
    return word in _BARRED or _ACTIVE.search(word) is not None


def harmless(text: object, where: str) -> str:
    r"""The text, if it is mathematics on one line that TeX only sets.

    At most 80 signs; control words that read, write, define or open an environment are refused, as
    are braces that do not balance, a script without its argument, two of one kind at one base, and
    TeX's special signs.

    >>> harmless(r"\vec m", "the symbol of mu")
    '\\vec m'
    >>> harmless(r"\input{x}", "the symbol of mu")  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    relrep_sym.errors.DeclarationError: the symbol of mu: \input is more than a sign
    """
    right = r"a symbol, such as \vec m or \delta"
    if not isinstance(text, str) or not text.strip():
        raise DeclarationError(problem(f"{where} is no LaTeX", repr(text), right))
    if len(text) > MAX_LENGTH:
        raise DeclarationError(
            problem(f"{where} is too long", f"{len(text)} signs", f"at most {MAX_LENGTH}")
        )
    wrong = _wrong(text)
    if wrong:
        raise DeclarationError(problem(f"{where}: {wrong}", repr(text), right))
    return text


def symbol(text: object, where: str) -> str:
    r"""The text, if it is harmless and a symbol: neither a number nor an operator, outside scripts.

    >>> symbol(r"\hat m^+", "the symbol of mu")
    '\\hat m^+'
    >>> symbol("2", "the symbol of x")  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    relrep_sym.errors.DeclarationError: the symbol of x is a number, or nothing
    """
    read = harmless(text, where)
    bases = list(_bases(read))
    operator = any(b in _OPERATORS or b[1:] in _WORDS for b in bases)
    if operator or not any(b.isalpha() or _LETTER.fullmatch(b) for b in bases):
        wrong = f"{where} is {'an operator' if operator else 'a number, or nothing'}"
        raise DeclarationError(problem(wrong, repr(read), r"a symbol, such as \vec m or \delta"))
    return read


_OPERATORS = frozenset("+-=<>/,.:;!")
_WORDS = frozenset(
    "infty cdot cdots ldots dots times div pm mp sum prod int partial nabla in to le ge leq geq "
    "ne neq sim approx equiv propto".split()
)
"""Control words that are a number or an operator wherever they stand."""
_LETTER = re.compile(
    r"\\(?!hat$|vec$|bar$|tilde$|d?dot$|check$|acute$|grave$|breve$|mathring$|sqrt$|frac$|bm$|"
    r"boldsymbol$|operatorname$|text|math|wide|over|under|q?quad$|log$|ln$|exp$|max$|min$|sup$|inf$|"
    r"lim$|det$|sin$|cos$|tan$|arg$)[A-Za-z]+"
)
"""Control words that are a letter or a user's macro: no accent, alphabet or function."""


def _bases(text: str) -> Iterator[str]:
    """The signs of a symbol that stand in none of its scripts."""
    scripts, before = [False], ""
    for sign in (t for t in _TOKEN.findall(text) if not t.isspace()):
        within = scripts[-1] or before in ("_", "^")
        if sign == "{":
            scripts.append(within)
        elif sign == "}":
            scripts.pop()
        elif sign not in ("_", "^") and not within:
            yield sign
        before = sign


def _wrong(text: str) -> str:
    """What is wrong with a symbol's LaTeX, or nothing."""
    read = _SIGNS.match(text)
    if read is None or read.end() < len(text):
        end = read.end() if read else 0
        return f"{text[end : end + 1]!r} may not stand in a symbol"
    if "^^" in text:
        return "^^ is TeX's escape"
    for word in re.findall(r"\\([A-Za-z]+)", text):
        if forbidden(word):
            return f"\\{word} is more than a sign"
    if _WAITING.search(text):
        return "an accent or an alphabet without its letter"
    scripts: list[set[str]] = [set()]  # those of the present base, for each open brace
    flat = [t for t in _TOKEN.findall(text) if not t.isspace()]
    for before, sign, after in zip(["", *flat], flat, [*flat[1:], ""], strict=False):
        if sign == "{":
            if before not in ("_", "^"):
                scripts[-1] = set()
            scripts.append(set())
        elif sign == "}":
            if len(scripts) == 1:
                return "a brace is closed that was not opened"
            scripts.pop()
        elif sign in ("_", "^"):
            if after in ("", "}", "_", "^") or sign in scripts[-1]:
                return f"{sign} without its own argument or base"
            scripts[-1].add(sign)
        elif before not in ("_", "^") and sign != "'":
            scripts[-1] = set()
    return "a brace is not closed" if len(scripts) > 1 else ""


_WAITING = re.compile(
    r"\\(?:hat|vec|bar|tilde|dot|ddot|check|acute|grave|breve|mathring|sqrt|frac|bm|boldsymbol|"
    r"operatorname|text\w*|math(?:rm|bf|bb|cal|sf|it|tt|frak|scr)|wide\w+|over\w+|under\w+)\s*"
    r"(?:[}_^]|$)"
)
