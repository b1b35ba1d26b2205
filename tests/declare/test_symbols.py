r"""Names as the papers set them."""

from __future__ import annotations

import pytest
import sympy as sp

from relrep_sym.declare.symbols import GREEK, Parameter, latex_name, script, split_index


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("pi_1", r"\pi_1"),
        ("mu_12", r"\mu_{12}"),
        ("sigma", r"\sigma"),
        ("Delta_1", r"\Delta_1"),
        ("Delta_sigma_1", r"\Delta_{\sigma,1}"),
        ("Delta_rate_10", r"\Delta_{\rho,10}"),
        ("rate_3", r"\rho_3"),
        ("log_sigma_2", r"\log\sigma_2"),
        ("log_rate_2", r"\log\rho_2"),
        ("log_s", r"\log s"),
        ("log_1", r"\mathrm{log}_1"),
        ("v", "v"),
        ("u1", "u_1"),
        ("mu1", r"\mu_1"),
        ("mu1_2", r"\mu_{1,2}"),
        ("a_b_3", "a_{b,3}"),
        ("lam", r"\lambda"),
        ("lambda", r"\lambda"),
        ("lamda_1", r"\lambda_1"),
        ("Gamma", r"\Gamma"),
        ("Alpha", r"\mathrm{Alpha}"),
        ("clearance", r"\mathrm{clearance}"),
        ("~mu_2", r"\tilde{\mu}_2"),
        ("~w", r"\tilde{w}"),
    ],
)
def test_names_are_set_as_in_the_papers(name: str, shown: str) -> None:
    assert latex_name(name) == shown


@pytest.mark.parametrize("index", ["k", "k-1", "12"])
def test_an_index_is_the_last_subscript(index: str) -> None:
    assert latex_name("mu", index) == rf"\mu_{script(index)}"
    assert latex_name("Delta_sigma", index) == rf"\Delta_{{\sigma,{index}}}"
    assert latex_name("log_sigma", index) == r"\log" + latex_name("sigma", index)


@pytest.mark.parametrize("stem", ["mu", "Delta_sigma", "log_rate", "a_b", "w"])
@pytest.mark.parametrize("number", [0, 1, 9, 10, 128])
def test_a_name_is_its_stem_and_its_number(stem: str, number: int) -> None:
    assert split_index(f"{stem}_{number}") == (stem, number)
    assert latex_name(f"{stem}_{number}") == latex_name(stem, str(number))


def test_names_without_a_number_have_none() -> None:
    for name in ("w", "mu", "mu_01", "q1", "a_b"):
        assert split_index(name) == (name, None)


def test_parameters_and_coordinates_are_two_kinds_that_print_alike() -> None:
    assert Parameter("mu_1") != sp.Symbol("mu_1")
    assert str(Parameter("mu_1")) == str(sp.Symbol("mu_1"))


def test_every_greek_word_is_a_command_of_latex() -> None:
    assert all(latex_name(word) == "\\" + word for word in GREEK)
