"""Identities are proven or verified where they are true, and refuted where they are not."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import sympy as sp

import relrep_sym as rs
from relrep_sym.declare.domains import domain
from relrep_sym.declare.family import Family, FamilyParameter
from relrep_sym.equations.prove import prove
from relrep_sym.errors import CertificateError, DeclarationError, DerivationError
from relrep_sym.identities import Verdict
from tests.identities import PROVEN, TABLE, Row, setting

SAMPLE = (
    "mobility of the primed view",
    "slope of psi",
    "mirrored responsibility",
    "Louis' identity",
    "the bound that is met",
    "mean responsibility",
    "overdispersion",
)
ROWS = {row.name: row for row in TABLE}


def judged(row: Row, right: str) -> Verdict:
    return rs.check(row.left, right, where=row.where, **setting(row.setting))


def holds_and_wrong_ones_do_not(row: Row) -> None:
    verdict = judged(row, row.right)
    assert verdict.status == row.status, str(verdict)
    assert bool(verdict.rules) == (row.status == PROVEN)
    assert verdict.points
    assert verdict.digits >= 25
    for wrong in row.wrong:
        refuted = judged(row, wrong)
        assert refuted.status == "refuted", str(refuted)
        found = refuted.counterexample
        assert found is not None
        assert found.left != found.right


def test_the_table_is_large_and_each_row_has_a_wrong_one() -> None:
    assert len(TABLE) == len(ROWS) >= 40
    assert all(row.wrong and row.right not in row.wrong for row in TABLE)
    three = [r for r in TABLE if "3" in r.setting]
    assert 2 * len(three) >= len(TABLE)
    assert sum(r.status == PROVEN for r in TABLE) >= 60
    cited = {r.source.split(",")[0] for r in TABLE}
    assert {"EsserNielsen2022", "VanOostrumMuellerAy2023", "XuFazelDu2024"} <= cited


@pytest.mark.parametrize("name", SAMPLE)
def test_a_sample_of_the_table(name: str) -> None:
    holds_and_wrong_ones_do_not(ROWS[name])


@pytest.mark.slow
@pytest.mark.parametrize("row", [r for r in TABLE if r.name not in SAMPLE], ids=lambda r: r.name)
def test_the_rest_of_the_table(row: Row) -> None:
    holds_and_wrong_ones_do_not(row)


@pytest.mark.slow
@pytest.mark.parametrize("row", TABLE, ids=lambda r: r.name)
def test_nothing_wrong_is_proven(row: Row) -> None:
    """The prover alone, without the numbers that would refute first."""
    from relrep_sym.identities import _scope

    given = {"model": None, "chart": None, "truth": None, **setting(row.setting)}
    scope = _scope(**given, where=row.where)
    left = scope.read(row.left, "left")
    for wrong in row.wrong:
        assert not prove(scope, left, scope.read(wrong, "right")).proven, wrong


# ----------------------------------------------------------------------------- what a verdict says

NORMAL3 = rs.mixture("normal", components=3, scales=1)
ONE = rs.truth("normal", weights=[1], means=["a"], scales=["s"])


def test_a_counterexample_has_thirty_digits_that_can_be_checked_by_hand() -> None:
    verdict = rs.check("E[x**2]", "a**2 + s", model=NORMAL3, truth=ONE)
    found = verdict.counterexample
    assert verdict.status == "refuted"
    assert found is not None
    values = {s.name: v for s, v in found.place.values.items()}
    with mpmath.workdps(60):
        a, s = (mpmath.mpf(int(values[n].p)) / int(values[n].q) for n in "as")
        assert abs(mpmath.mpf(found.left) - (a**2 + s**2)) < mpmath.mpf("1e-29")
        assert abs(mpmath.mpf(found.right) - (a**2 + s)) < mpmath.mpf("1e-29")
    assert "refuted at pi_1 = " in str(verdict)
    assert r"\neq" in verdict._repr_latex_()
    with pytest.raises(CertificateError, match="refuted at"):
        verdict.insist()


def test_what_does_not_converge_is_undecided() -> None:
    wide = rs.truth("normal", weights=[1], means=["a"], scales=2)
    verdict = rs.check("E[exp(x**2)]", "1", model=NORMAL3, truth=wide, points=1)
    assert verdict.status == "undecided"
    assert not verdict.holds
    assert "die out" in str(verdict)


def test_a_side_without_a_value_is_undecided() -> None:
    verdict = rs.check("log(-pi_1)", "pi_1", model=NORMAL3, points=1)
    assert verdict.status == "undecided"


def test_equations_of_a_derivation_are_taken() -> None:
    d = rs.derive(NORMAL3)
    eta = {"eta": "1"}
    averaged = d.averaged.value[3]
    found = rs.check(averaged, "E[r_2*(x - mu_2)]", model=NORMAL3, truth=ONE, where=eta)
    assert found.status == "proven"
    wrong = rs.check(averaged, "E[r_2*(x - mu_1)]", model=NORMAL3, truth=ONE, where=eta)
    assert wrong.status == "refuted"
    with pytest.raises(DeclarationError, match="another model"):
        rs.check(d.score.value[0], "0", model=rs.mixture("normal", components=4, scales=1))


@pytest.mark.slow
def test_a_family_of_ones_own_has_its_own_rule() -> None:
    """Gamma components: E_k[x g] = scale (shape E_k[g] + E_k[x g'])."""
    x = sp.Symbol("x", real=True)
    shape = FamilyParameter("shape", "shapes", domain("positive"))
    scale = FamilyParameter("scale", "scales", domain("positive"))
    a, s = shape.symbol, scale.symbol
    log_density = (a - 1) * sp.log(x) - x / s - sp.loggamma(a) - a * sp.log(s)
    model = rs.mixture(Family("gamma", log_density, (shape, scale), "half-line"), components=3)
    right = "scale_1*E_1[shape_1*r_2 + x*D[r_2, x]]"
    verdict = rs.check("E_1[x*r_2]", right, model=model)
    assert (verdict.status, verdict.rules[-2]) == ("proven", "parts"), str(verdict)
    assert verdict.points
    variance = rs.check("E_2[x**2] - E_2[x]**2", "shape_2*scale_2**2", model=model)
    assert variance.status == "proven"
    wrong = rs.check("E_1[x*r_2]", "scale_1*E_1[shape_1*r_2 + D[r_2, x]]", model=model)
    assert wrong.status == "refuted"


def test_a_density_with_a_kink_is_never_wrongly_proven() -> None:
    """Laplace components: derivatives in x that need a delta have no rule."""
    x, m = sp.Symbol("x", real=True), sp.Symbol("m", real=True)
    place = FamilyParameter("m", "ms", domain("real"))
    log_density = -sp.Abs(x - m) - sp.log(2)
    family = Family("laplace", log_density, (place,), "line")
    scope_model = rs.mixture(family, components=2)
    from relrep_sym.identities import _scope

    scope = _scope(scope_model, None, None, None)
    second = scope.read("E_p[D[log_p, x, x]]", "left")
    proof = prove(scope, second, scope.read("-E_p[D[log_p, x]**2]", "right"))
    assert not proof.proven
    assert "not smooth" in proof.reason
    assert prove(scope, scope.read("E_p[r_1]", "l"), scope.read("pi_1", "r")).proven


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "no model"),
        ({"model": "normal"}, "another kind"),
        ({"model": NORMAL3, "truth": rs.truth("poisson", weights=[1], rates=1)}, "lives elsewhere"),
        ({"model": NORMAL3, "where": {"r_1": "x"}}, "takes a name"),
        ({"model": NORMAL3, "where": {"eta": "foo"}}, "definition of eta"),
        ({"model": NORMAL3, "digits": 100}, "digits"),
        ({"model": NORMAL3, "points": 0}, "points"),
        (
            {"model": NORMAL3, "chart": rs.identity(rs.mixture("poisson", components=2))},
            "another model",
        ),
        (
            {"model": NORMAL3, "truth": rs.truth("normal", weights=[1], means=["mu_1"], scales=1)},
            "two meanings",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(DeclarationError, match=message):
        rs.check("x", "x", **arguments)  # type: ignore[arg-type]


# ----------------------------------------------------------------------------- means as objects


def test_means_add_and_multiply_and_are_rewritten() -> None:
    mean = rs.E("r_2*(x - mu_2)", under="model")
    opened = mean.rewrite_by("linearity", model=NORMAL3)
    split = rs.E.rewrite(opened, "balance", model=NORMAL3)
    assert str(split) == "-mu_2*pi_2 + pi_2*E_2[x]"
    assert rs.E.rewrite(split, "moments", model=NORMAL3) == 0
    assert rs.check(3 * mean**2 + 1, "1", model=NORMAL3).status == "proven"


@pytest.mark.parametrize(
    ("rule", "text", "family"),
    [
        ("linearity", "E[(x - mu_1)**2*r_1 + 2*x]", "normal"),
        ("balance", "E_p[r_1*x] + E[x]", "poisson"),
        ("moments", "E_2[x*r_1**2] + E[x]", "poisson"),
        ("stein", "E_2[x**2] + 3*E[x]", "poisson"),
        *(
            pytest.param(rule, text, family, marks=pytest.mark.slow)
            for rule in ("derivative", "linearity", "balance", "moments", "stein")
            for text, family in (
                ("E[(x - mu_1)**2*r_1 + 2*x]", "normal"),
                ("E_1[x**2*r_2 + r_1] - E_p[r_1*r_2*x]", "normal"),
                ("E_2[x*r_1**2] + E[x]", "poisson"),
            )
        ),
    ],
)
def test_a_rewrite_is_equal_to_what_it_rewrites(rule: str, text: str, family: str) -> None:
    model = rs.mixture(family, components=3)
    normal = {"weights": ["t", "1 - t"], "means": ["a", 1], "scales": ["s", 2]}
    poisson = {"weights": ["t", "1 - t"], "rates": ["a", 1]}
    truth = rs.truth(family, **(normal if family == "normal" else poisson))
    found = rs.E.rewrite(text, rule, model=model, truth=truth)
    verdict = rs.check(text, found, model=model, truth=truth, points=1)
    assert verdict.holds, str(verdict)


def test_steins_identity_lowers_a_power() -> None:
    model = rs.mixture("normal", components=3)
    found = rs.E("x*r_2", under=1).rewrite_by("stein", model=model)
    assert str(found) == "E_1[r_2*mu_1 + sigma_1**2*D[r_2, x]]"
    counts = rs.mixture("poisson", components=3)
    assert str(rs.E("x*r_2", under=1).rewrite_by("stein", model=counts)) == (
        "E_1[rate_1*At[r_2, x + 1]]"
    )


def test_a_mean_differentiated_is_recorded() -> None:
    slope = rs.E("r_2*x", under="model").diff("mu_1")
    assert rs.check(slope, "0", model=NORMAL3).status == "proven"


def test_unknown_rules_and_densities_are_refused() -> None:
    with pytest.raises(DerivationError, match="no such rule"):
        rs.E("x").rewrite_by("magic", model=NORMAL3, truth=ONE)
    with pytest.raises(DeclarationError, match="no density"):
        rs.E("x", under="posterior")
    with pytest.raises(DeclarationError, match="without a truth"):
        rs.E("x").rewrite_by("linearity", model=NORMAL3)


# ----------------------------------------------------------------------------- kernels


def test_a_checked_equation_becomes_a_certified_kernel(tmp_path: object) -> None:
    q = rs.truth("normal", weights=["t", "1 - t"], means=["a", 1], scales=1)
    left, right = "D[E[log_p], a]", "t*E_q_1[D[log_p, x]]"
    verdict = rs.check(left, right, model=NORMAL3, truth=q)
    kernel = verdict.emit("right", name="bonnet", points=1)
    assert kernel.certificate.ok
    assert len(kernel.certificate.entries) == 1
    coords = np.array([[0.25, 0.25, -1.0, 0.5, 2.0], [0.5, 0.25, -1.0, 0.0, 0.3]])
    truth = q.arrays(a=0.5, t=0.25)
    found = kernel.function(coords, truth, t=0.25)
    k = rs.derive(NORMAL3).compile()
    step = 1e-5
    sides = []
    for a in (0.5 + step, 0.5 - step):
        nodes = q.arrays(a=a, t=0.25)
        sides.append(
            [w @ k.log_density(x, c) for c in coords for x, w in [k._solver().nodes(nodes, c)]]
        )
    numeric = (np.array(sides[0]) - sides[1]) / (2 * step)
    np.testing.assert_allclose(found, numeric, rtol=0, atol=1e-8)
    assert "Certificate: " in kernel.source
    assert "sympy" not in kernel.source
    assert kernel.write(tmp_path / "bonnet.py")  # type: ignore[operator]
    assert not kernel.write(tmp_path / "bonnet.py")  # type: ignore[operator]


def test_a_kernel_at_given_points() -> None:
    verdict = rs.check("D[r_2, x]", "r_2*(mu_2 - x - D[log_p, x])", model=NORMAL3)
    kernel = verdict.emit(name="slope", points=1)
    x, c = np.linspace(-2, 2, 5), [0.25, 0.25, -1.0, 0.5, 2.0]
    k = rs.derive(NORMAL3).compile()
    step = 1e-6
    numeric = (k.responsibilities(x + step, c) - k.responsibilities(x - step, c))[:, 1] / (2 * step)
    np.testing.assert_allclose(kernel.function(x, c), numeric, atol=1e-9)


def test_a_divergence_with_the_truths_own_logarithm() -> None:
    verdict = rs.check("E[log_q - log_p]", "E[log(q/p)]", model=NORMAL3, truth=ONE)
    kernel = verdict.emit(points=2)
    coords, truth = [0.25, 0.25, -1.0, 0.5, 2.0], ONE.arrays(a=0.2, s=0.7)
    reference = rs.derive(NORMAL3).compile().kl(coords, truth)
    assert kernel.function(coords, truth) == pytest.approx(reference, rel=1e-13)


def test_a_wrong_kernel_is_caught_by_its_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    from relrep_sym import identity_kernel

    plain = identity_kernel.with_function

    def broken(*arguments: object) -> str:
        return plain(*arguments).replace("r[1]", "r[0]")  # type: ignore[arg-type]

    monkeypatch.setattr(identity_kernel, "with_function", broken)
    verdict = rs.check("E[r_2*x]", "E[x*r_2] + 0*x", model=NORMAL3, truth=ONE)
    with pytest.raises(CertificateError, match="units of the yardstick"):
        verdict.emit(points=1)


def test_only_what_holds_and_can_be_printed_is_emitted() -> None:
    wrong = rs.check("E[r_1]", "pi_1", model=NORMAL3, truth=ONE)
    with pytest.raises(CertificateError, match="refuted"):
        wrong.emit()
    mirrored = rs.check("At[log_p, 2]", "log(At[p, 2])", model=NORMAL3)
    with pytest.raises(DerivationError, match="another point"):
        mirrored.emit()
    with pytest.raises(DeclarationError, match="no side"):
        mirrored.emit("middle")


# ----------------------------------------------------------------------------- other charts


def test_charts_with_constants_and_stable_functions() -> None:
    soft = rs.relative(NORMAL3, "mu", gap="softplus", clearance="lam")
    assert rs.check("mu_2 - mu_1 - lam", "log(1 + exp(Delta_1))", chart=soft).status == "proven"
    assert rs.check("mu_2 - mu_1", "log(1 + exp(Delta_1))", chart=soft).status == "refuted"
    weights = rs.softmax(NORMAL3)
    assert rs.check("D[log_p, alpha_1]", "r_1 - pi_1", chart=weights).status == "proven"
    assert rs.check("D[log_p, alpha_1]", "r_1 - pi_2", chart=weights).status == "refuted"
    held = rs.check("E_p[r_2]", "pi_2", chart=soft)
    with pytest.raises(DeclarationError, match="chart without constants"):
        held.emit()
