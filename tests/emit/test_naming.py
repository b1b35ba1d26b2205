"""Every name that a user may choose becomes an identifier, and none collides."""

from __future__ import annotations

import keyword

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relrep_sym.declare.grammar import IS_NAME
from relrep_sym.emit.numpy.naming import LONGEST, identifiers

ROLES = ("mu", "sigma")
NASTY = [
    "lambda", "None", "class", "x", "np", "out", "weights", "rows", "theta", "mu", "sigma", "t1",
    "c12", "total_3", "part1", "part1_2", "d_mu_1", "d_", "delta_mu_1", "new_mu", "g_v", "b_v",
    "Components", "components", "log_gamma", "l", "O", "x_", "x__", "lambda_", "t1_", "own_d_mu_1",
    "match", "print", "a" * 64, "a" * 63 + "b", "d_" + "a" * 62,
]  # fmt: skip
plain = st.from_regex(r"[A-Za-z](?:_?[A-Za-z0-9])*_?", fullmatch=True).filter(
    lambda n: IS_NAME.fullmatch(n) is not None
)
name_lists = st.lists(st.sampled_from(NASTY) | plain, max_size=12, unique=True)


@given(name_lists)
def test_names_become_distinct_identifiers_that_nothing_else_has(names: list[str]) -> None:
    found = identifiers(names, ROLES)
    assert list(found) == names
    chosen = list(found.values())
    assert len(set(chosen)) == len(chosen)
    for c in chosen:
        assert c.isidentifier()
        assert not keyword.iskeyword(c)
        assert c not in {*ROLES, "x", "np", "out", "weights", "rows", "theta", "Components"}
        assert not c.startswith(("d_", "g_", "b_", "delta_", "new_"))
        assert len(c) <= LONGEST + 8


@given(name_lists)
def test_a_name_that_is_free_stays_as_it_is(names: list[str]) -> None:
    found = identifiers(names, ROLES)
    for name, chosen in found.items():
        if (
            name not in NASTY
            and len(name) <= LONGEST
            and "_" not in name
            and not name[1:].isdigit()
        ):
            assert chosen == name or keyword.iskeyword(name)


@given(name_lists)
def test_the_choice_is_reproducible_and_follows_the_order(names: list[str]) -> None:
    assert identifiers(names, ROLES) == identifiers(tuple(names), set(ROLES))
    assert identifiers([*names, *names], ROLES) == identifiers(names, ROLES)


@pytest.mark.parametrize("name", NASTY)
def test_each_alone(name: str) -> None:
    (chosen,) = identifiers([name], ROLES).values()
    assert chosen.isidentifier()
    assert identifiers([chosen], ROLES)[chosen] == chosen, "what was chosen is free"


def test_a_role_whose_name_with_an_underscore_is_a_prefix() -> None:
    """The tied scale b of Laplace components is a coordinate and a role at once."""
    assert identifiers(["b", "g"], ["b", "g"]) == {"b": "own_b_", "g": "own_g_"}
