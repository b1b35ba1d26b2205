"""A family's second derivatives, and the difference of two components' scores, over its basis."""

from __future__ import annotations

from dataclasses import replace

import mpmath
import pytest
import sympy as sp

from relrep_sym.declare.domains import domain
from relrep_sym.declare.family import Family, FamilyParameter, family_named
from relrep_sym.equations.component import component_form, difference_symbol, own_symbol
from relrep_sym.equations.second import second_form
from relrep_sym.errors import DerivationError

X = sp.Symbol("x", real=True)
RATE = FamilyParameter("rate", "rates", domain("positive"))
EXPONENTIAL = Family("exponential", sp.log(RATE.symbol) - RATE.symbol * X, (RATE,), "half-line")
FAMILIES = {f.name: f for f in (family_named("normal"), family_named("poisson"), EXPONENTIAL)}


def joined(form, row):
    """Σ_j a_j b_j(z) with z written out."""
    ordered = (sp.Integer(1), *form.basis)
    return sum(a * b.subs(form.z, form.standard) for a, b in zip(row, ordered, strict=True))


@pytest.mark.parametrize("name", FAMILIES)
def test_second_derivatives_are_those_of_the_log_density(name):
    family = FAMILIES[name]
    form = component_form(family)
    found = second_form(form)
    for (i, j), row in zip(found.pairs, found.second, strict=True):
        reference = sp.diff(family.log_density, family.symbols[i], family.symbols[j])
        assert sp.simplify(joined(form, row) - reference) == 0


@pytest.mark.parametrize("name", FAMILIES)
def test_the_contrast_is_the_difference_of_two_scores(name):
    family = FAMILIES[name]
    form = component_form(family)
    moved = {s: s + difference_symbol(s.name) for s in family.symbols}
    for s, row in zip(family.symbols, second_form(form).contrast, strict=True):
        score = sp.diff(family.log_density, s)
        reference = score.subs(moved, simultaneous=True) - score
        whole = joined(form, row).subs({own_symbol(t.name): moved[t] for t in family.symbols})
        assert sp.simplify(whole - reference) == 0


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("size", [1e-3, 1e-9, 1e-15])
def test_the_contrast_keeps_its_digits_where_components_merge(name, size):
    """In doubles, against fifty digits at the same doubles."""
    family = FAMILIES[name]
    form = component_form(family)
    deltas = [difference_symbol(s.name) for s in family.symbols]
    base = {s: 0.7 + 0.4 * i for i, s in enumerate(family.symbols)}
    move = {d: size * (1.3 - i) for i, d in enumerate(deltas)}
    for s, row in zip(family.symbols, second_form(form).contrast, strict=True):
        score = sp.diff(family.log_density, s)
        for point in (2.0, 11.0):
            symbols = [*base, *move, form.family.x]
            f = sp.lambdify(symbols, joined(form, row), modules="math")
            found = f(*base.values(), *move.values(), point)
            with mpmath.workdps(60):
                g = sp.lambdify([*base, form.family.x], score, modules="mpmath")
                here = [mpmath.mpf(v) for v in base.values()]
                there = [v + mpmath.mpf(d) for v, d in zip(here, move.values(), strict=True)]
                exact = g(*there, mpmath.mpf(point)) - g(*here, mpmath.mpf(point))
                assert abs(found - exact) <= 1e-13 * abs(exact)


def test_what_leaves_the_basis_is_refused():
    """log f = k e⁻ˣ − k³ x/3 − log k has ∂² = 1/k² − 2 k x: none without x in the basis."""
    k = FamilyParameter("k", "ks", domain("positive"))
    log_density = k.symbol * sp.exp(-X) - k.symbol**3 * X / 3 - sp.log(k.symbol)
    form = component_form(Family("made up", log_density, (k,), "half-line"))
    ((constant, *slopes),) = second_form(form).second
    assert constant == k.symbol**-2
    assert dict(zip(form.basis, slopes, strict=True)) == {form.z: -2 * k.symbol, sp.exp(-form.z): 0}
    with pytest.raises(DerivationError, match=r"made up .* do not separate.*given: z;"):
        second_form(replace(form, basis=(sp.exp(-form.z),)))
