"""The language of identities: the plain one, and operators with square brackets."""

from __future__ import annotations

import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st

from relrep_sym.declare.chart import identity
from relrep_sym.declare.charts import relative
from relrep_sym.declare.identity import Scope
from relrep_sym.declare.model import mixture
from relrep_sym.declare.nodes import At, Atom, Expected, Slope, density_symbol
from relrep_sym.declare.own_map import chart
from relrep_sym.declare.parser import parse_expression
from relrep_sym.declare.truth import truth
from relrep_sym.errors import DeclarationError, ParseError

NORMAL = mixture("normal", components=3, scales=1)
TRUTH = truth("normal", weights=["t", "1 - t"], means=["a", 2], scales=1)
SCOPE = Scope(identity(NORMAL), TRUTH, {"psi": "r_1*mu_1 + r_2*mu_2"})
RELATIVE = Scope(relative(NORMAL, "mu", gap="square"), TRUTH)


def read(text: object, scope: Scope = SCOPE) -> sp.Expr:
    return scope.read(text, "the left side")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("E[x]", "E_q[x]"),
        ("E_q_2[x]", "E_q_2[x]"),
        ("E_p[r_3**2]", "E_p[r_3**2]"),
        ("E_3[ x ]", "E_3[x]"),
        ("D[log_p, x, pi_1]", "D[D[log_p, x], pi_1]"),
        ("D_theta[log_p, mu_2]", "D_theta[log_p, mu_2]"),
        ("D[E[log_q], a]", "D[E_q[log_q], a]"),
        ("At[r_2, x + 1]", "At[r_2, x + 1]"),
        ("E[E_p[x]*x]", "E_q[x*E_p[x]]"),
        ("E[psi]", "E_q[r_1*mu_1 + r_2*mu_2]"),
        ("sigma_2 + 0*pi_3", "1"),
    ],
)
def test_operators_stand_for_nodes(text: str, shown: str) -> None:
    found = read(text)
    if not found.has(Expected, Slope, At):
        found = sp.expand(found)
    assert str(found) == shown


def test_a_coordinate_goes_before_an_entry_of_theta() -> None:
    found = read("mu_1 + mu_2", RELATIVE)
    assert found.free_symbols & set(RELATIVE.coordinates) == {sp.Symbol("mu_1", real=True)}
    assert sp.expand(found.xreplace(RELATIVE.theta)) == sp.expand(
        2 * sp.Symbol("mu_1", real=True) + sp.Symbol("Delta_1", real=True) ** 2
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("E[x", "never closed at column 2"),
        ("E[x]]", "column 5"),
        ("E[x, 2]", "takes one expression at column 4"),
        ("F[x]", "no operator 'F' at column 1"),
        ("x[2]", "no operator 'x'"),
        ("D[x]", "lacks its variable"),
        ("D[x, foo]", "nothing to differentiate in at column 5"),
        ("D[x, 2*a]", "nothing to differentiate in"),
        ("D_theta[x, a]", "nothing to differentiate in"),
        ("E_4[x]", "no component 4"),
        ("E_q_3[x]", "no component 3"),
        ("1 + E[2*foo]", "unknown name 'foo' at column 9"),
        ("At[x]", "an expression and a point"),
        ("E[]", "column"),
        ("2E[x]", "right after the number"),
        ("E", "'E' is reserved"),
        ("E(x)", "reserved"),
        ("E[x](2)", "column"),
        ("E[x]E[x]", "no operator before"),
        ("E[lambda x: x]", "column"),
        ("E[__import__]", "column"),
        ("E[x.real]", "column"),
        ("E['x']", "string"),
        ("[x]", "subscript"),
        ("E[" * 13 + "x" + "]" * 13, "nested too deeply"),
        ("+".join(["E[x]"] * 101), "too many operators"),
        ("E[9**9**9**9]", "too large"),
        ("E[x]" + " " * 10_000, "characters"),
    ],
)
def test_what_is_outside_the_language_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ParseError, match=message):
        read(text)


def test_the_plain_language_has_no_square_brackets_still() -> None:
    for text in ("E[x]", "x[0]", "D[x, x]"):
        with pytest.raises(ParseError):
            parse_expression(text, {"x": sp.Symbol("x", real=True)}, where="a map")


@given(st.text(alphabet="ED_pq12[](),+-*/ xr.", max_size=24))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = read(text)
    except DeclarationError:
        return
    assert isinstance(found, sp.Expr)


def test_derivatives_in_theta_hold_the_entries_not_the_coordinates() -> None:
    assert read("D_theta[mu_2*x, mu_2]", RELATIVE).args[1].name == "mu_2"
    with pytest.raises(ParseError, match="no entry of θ"):
        read("D_theta[Delta_1*x, mu_2]", RELATIVE)
    with pytest.raises(ParseError, match="no entry of θ"):
        read("D_theta[D[log_p, mu_1], mu_2]", RELATIVE)


def test_sympy_is_read_by_name() -> None:
    r, x, mu = sp.symbols("r_1 x mu_1")
    mean = Expected(r * (x - mu), density_symbol("model"))
    assert read(2 * mean) == 2 * read("E_p[r_1*(x - mu_1)]")
    assert read(Slope(mean, mu)) == read("D[E_p[r_1*(x - mu_1)], mu_1]")
    assert read(At(r, x + 1)) == read("At[r_1, x + 1]")
    with pytest.raises(DeclarationError, match="unknown symbol"):
        read(sp.Symbol("foo"))
    with pytest.raises(DeclarationError, match="not a number"):
        read([1])


def test_atoms_know_their_signs() -> None:
    assert Atom.of("p").is_positive
    assert Atom.of("log_p").is_real
    assert Atom.of("log_p").is_positive is None


def test_names_do_not_collide() -> None:
    own = chart(mixture("normal", components=2, scales=1), {"pi_1": "v", "mu_1": "p", "mu_2": "w"})
    with pytest.raises(DeclarationError, match="two meanings"):
        Scope(own)
    with pytest.raises(DeclarationError, match="takes a name"):
        read("x", Scope(identity(NORMAL), None, {"mu_1": "x"}))
    assert read("q", Scope(identity(NORMAL), TRUTH)) == Atom.of("q")
    with pytest.raises(ParseError, match="unknown name 'q'"):
        read("q", Scope(identity(NORMAL)))
