r"""The order in which factors and terms are printed: that of names and numbers, never of hashes.

In: SymPy's factors or terms, in whatever order. Out: numbers, η, weights π, locations μ, other
names, scales σ and gaps Δ, one kind after the other, components ascending; in a sum the terms of x
first, then powers descending, the number last, and a positive term before all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache

import sympy as sp

from relrep_sym.declare.symbols import split_index
from relrep_sym.equations.nodes import ComponentSum, Expectation, Posterior, Responsibility, Terms

__all__ = [
    "LARGE",
    "PLAIN",
    "POSTERIOR",
    "RANDOM",
    "Hole",
    "in_order",
    "negative",
    "place",
    "starts_negative",
    "terms_of",
]

PLAIN, POSTERIOR, RANDOM, LARGE = range(4)
"""Where a factor stands: without x; r_k(x); with x; an expectation, a sum or a function."""

_RANKS = {"eta": -1, "pi": 0, "mu": 1, "rate": 1, "sigma": 3, "Delta": 4}


class Hole(sp.Function):
    """Where a long bracket stands in a product."""


def place(f: sp.Expr) -> int:
    """Where a factor stands in a product."""
    base = f.base if isinstance(f, sp.Pow) and f.exp.is_Integer else f
    if isinstance(base, Posterior | Responsibility):
        return POSTERIOR
    if isinstance(base, Expectation | ComponentSum | Terms | Hole | sp.MatrixBase):
        return LARGE
    random = any(s.name == "x" for s in f.free_symbols)
    if isinstance(base, sp.exp):
        return LARGE if random else PLAIN
    if isinstance(base, sp.Function) or (isinstance(base, sp.Pow) and not base.exp.is_number):
        return LARGE
    return RANDOM if random else PLAIN


def in_order(factors: Iterable[sp.Expr], sums_last: bool = False) -> list[sp.Expr]:
    """Factors as they are printed; with ``sums_last``, as under a fraction's line."""

    def key(f: sp.Expr) -> tuple[object, ...]:
        base = f.base if isinstance(f, sp.Pow) else f
        return (sums_last and base.is_Add, f.is_number is False, _names(f), not base.is_Symbol)

    return _sorted(factors, key)


def terms_of(e: sp.Expr) -> list[sp.Expr]:
    """A sum's terms as they are printed, a positive one first where there is one.

    >>> x, mu, v = sp.symbols("x mu_1 v")
    >>> terms_of(x - mu), terms_of(1 - v), terms_of(1 + v**2 - 2*v)
    ([x, -mu_1], [1, -v], [v**2, -2*v, 1])
    """
    if isinstance(e, Terms):
        return list(e.args)
    terms = _sorted(e.args, _term_key)
    if terms[-1].is_number and all(t.has(sp.Function) for t in terms[:-1]):
        terms = [terms[-1], *terms[:-1]]  # 1 + e^t, but v^2 + 1
    first = next((n for n, t in enumerate(terms) if not negative(t)), 0)
    return [terms[first], *terms[:first], *terms[first + 1 :]]


def starts_negative(e: sp.Expr) -> bool:
    """Whether the first term is negative before a positive one is moved to the front."""
    return negative(_sorted(e.args, _term_key)[0])


def negative(term: sp.Expr) -> bool:
    """Whether a term is printed with a minus."""
    return bool(term.as_coeff_Mul()[0].is_negative)


def _sorted(
    items: Iterable[sp.Expr], key: Callable[[sp.Expr], tuple[object, ...]]
) -> list[sp.Expr]:
    """Items by key; where two keys agree, by how SymPy writes the items."""
    pairs = [(key(item), item) for item in items]
    if len({k for k, _ in pairs}) < len(pairs):
        pairs = [((*k, str(item)), item) for k, item in pairs]
    return [item for _, item in sorted(pairs, key=lambda pair: pair[0])]


def _term_key(t: sp.Expr) -> tuple[object, ...]:
    if t.is_number:
        return (1,)
    names, factors = _names(t), sp.Mul.make_args(t)
    powers = [f.exp if isinstance(f, sp.Pow) else 1 for f in factors if not f.is_number]
    degree = sum(int(n) for n in powers if isinstance(n, int | sp.Integer))
    compound = any(f.is_Add for f in factors)
    return (0, _component(t), compound, names[:1], -degree, names)


def _component(e: sp.Expr) -> int:
    """The first component whose responsibility a term holds."""
    found = [r.component for r in e.atoms(Responsibility)]
    numbers = [s.index for s in e.free_symbols if isinstance(s, Posterior)]
    return min([*found, *(int(n) for n in numbers if n.isdigit())], default=0)


def _names(e: sp.Expr) -> tuple[tuple[float, str, str], ...]:
    return tuple(sorted(_rank(s.name) for s in e.free_symbols))


@lru_cache(maxsize=4096)
def _rank(name: str) -> tuple[float, str, str]:
    """A name's place: the observation, η, weights, locations, others, scales, gaps."""
    if name == "x":
        return (-2, "", "")
    stem, mark, index = name.rstrip("]").partition("[")
    if not mark:
        stem, number = split_index(name)
        index = "" if number is None else str(number)
    head = stem.lstrip("~-").removesuffix("^+").partition("_")[0]
    return (_RANKS.get(head, 2), stem, index.rjust(6, "0") if index.isdigit() else index)
