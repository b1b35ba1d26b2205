"""Stein's form of the gradient: derived, and held against quadrature of the score itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import mpmath
import pytest
import sympy as sp

import relrep_sym as rs
from relrep_sym.equations.nodes import Expectation, Responsibility
from relrep_sym.equations.stein import SteinForm
from relrep_sym.errors import DeclarationError, DerivationError
from tests.identities import PSI

K = (2, 3, 5)
MEANS = {2: ["-0.7", "1.3"], 3: ["-1.5", "0.25", "0.5"], 5: ["-2", "-0.5", "0", "1", "3"]}
WEIGHTS = {2: ["1/4", "3/4"], 3: ["1/2", "1/3", "1/6"], 5: ["1/8", "1/8", "1/4", "1/4", "1/4"]}
TRUTH = [("0.3", "-1", "1"), ("0.7", "2", "1")]
WIDE = [("0.25", "-1", "0.5"), ("0.5", "0.5", "2"), ("0.25", "3", "1.25")]


def _form(k: int, scale: str = "1") -> SteinForm:
    model = rs.mixture("normal", k, weights=WEIGHTS[k], scales=scale)
    return rs.derive(model).record.stein_form


def _truth(parts: Sequence[tuple[str, str, str]]) -> rs.Truth:
    p, m, s = zip(*parts, strict=True)
    return rs.truth("normal", weights=list(p), means=list(m), scales=list(s))


def _normal(x: mpmath.mpf, m: str, s: str) -> mpmath.mpf:
    return mpmath.npdf(x, mpmath.mpf(m), mpmath.mpf(s))


def _posterior(x: mpmath.mpf, k: int, scale: str) -> list[mpmath.mpf]:
    terms = [_rational(w) * _normal(x, m, scale) for w, m in zip(WEIGHTS[k], MEANS[k], strict=True)]
    return [t / mpmath.fsum(terms) for t in terms]


def _rational(text: str) -> mpmath.mpf:
    exact = sp.Rational(text)
    return mpmath.mpf(exact.p) / exact.q


def _mean(g: Callable[[mpmath.mpf], mpmath.mpf], parts: Sequence[tuple[str, str, str]]):
    """E_q[g], term by term, by the trapezoidal rule: exp(−2π · 12 d) wrong, d > 0.6 the nearest
    pole's distance.
    """
    total = mpmath.mpf(0)
    for p, m, s in parts:
        reach = int(12 * 12 * mpmath.mpf(s)) + 1
        nodes = [mpmath.mpf(m) + mpmath.mpf(n) / 12 for n in range(-reach, reach + 1)]
        total += mpmath.mpf(p) * mpmath.fsum(_normal(x, m, s) * g(x) for x in nodes) / 12
    return total


def _value(e: sp.Expr, form: SteinForm, scale: str, parts: Sequence[tuple[str, str, str]]):
    """A derived expression in numbers: its means by quadrature."""
    k = len(form.locations)
    theta = {m: sp.Rational(v) for m, v in zip(form.locations, MEANS[k], strict=True)}

    def mean(integrand: sp.Expr, x: sp.Symbol, density: sp.Symbol) -> sp.Expr:
        number = density.name.partition("_")[2]
        one = parts if not number else [("1", *parts[int(number) - 1][1:])]

        held = [sp.Dummy(f"r_{j}") for j in range(k)]
        back = {a: held[a.component - 1] for a in integrand.atoms(Responsibility)}
        plain = sp.lambdify(held, integrand.xreplace(back), "mpmath")
        return sp.Float(str(_mean(lambda at: plain(*_posterior(at, k, scale)), one)), 30)

    found = e.replace(Expectation, mean).xreplace(theta)
    return mpmath.mpf(str(sp.N(found, 30)))


def _slope(j: int, k: int, scale: str, parts: Sequence[tuple[str, str, str]]) -> mpmath.mpf:
    """∂ KL/∂μ_j as −E_q of the score, by quadrature."""
    over = mpmath.mpf(scale) ** 2

    def g(x: mpmath.mpf) -> mpmath.mpf:
        return -_posterior(x, k, scale)[j] * (x - mpmath.mpf(MEANS[k][j])) / over

    return _mean(g, parts)


CASES = [
    pytest.param(2, "1", None, id="N(0, 1), 2"),
    pytest.param(3, "1", None, id="N(0, 1), 3"),
    pytest.param(3, "1", TRUTH, id="mixture truth, 3"),
    pytest.param(3, "1.5", None, id="N(0, 9/4), 3"),
    pytest.param(2, "0.75", WIDE, id="other scales, 2"),
    pytest.param(5, "1", TRUTH, id="mixture truth, 5", marks=pytest.mark.slow),
    pytest.param(5, "1.5", WIDE, id="other scales, 5", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("k", "scale", "parts"), CASES)
def test_the_form_is_the_gradient_of_the_loss(k: int, scale: str, parts: object) -> None:
    """Lemma 9 of Xu, Fazel and Du (2024), beyond unit scales and one component, to 15 digits."""
    form = _form(k, scale)
    under = [("1", "0", scale)] if parts is None else parts
    truth = None if parts is None else _truth(parts)
    with mpmath.workdps(20):
        for j, e in enumerate(form.gradient(truth)):
            if j in (0, k - 1):
                found, plain = _value(e, form, scale, under), _slope(j, k, scale, under)
                assert abs(found - plain) < mpmath.mpf("1e-15") * (1 + abs(plain))


@pytest.mark.parametrize("k", K)
def test_it_is_c_times_the_means(k: int) -> None:
    """∂ KL/∂μ_k = Σ_j C_kj μ_j for unit scales and q = N(0, 1), C = E[ψψᵀ]."""
    form = _form(k)
    x, q, r = form.model.family.x, sp.Symbol("q"), form.responsibilities
    for i, e in enumerate(form.gradient()):
        c = [Expectation(r[i] * r[j], x, q) * m for j, m in enumerate(form.locations)]
        assert sp.expand(e - sp.Add(*c)) == 0


@pytest.mark.parametrize("k", K)
def test_a_mixture_truth_adds_its_means_by_their_responsibilities(k: int) -> None:
    """(Cμ)_k − Σ_j p_j E_j[r_k] m_j, with C = Σ_j p_j E_j[ψψᵀ]."""
    form = _form(k)
    q = rs.truth("normal", weights=["p", "1 - p"], means=["a", "b"], scales=1)
    x, r = form.model.family.x, form.responsibilities
    weights, means = q.weights, q.parameters[0]
    for i, e in enumerate(form.gradient(q)):
        total = sp.Integer(0)
        for j, (w, place) in enumerate(zip(weights, means, strict=True), start=1):
            name = sp.Symbol(f"q_{j}")
            cmu = [Expectation(r[i] * r[n], x, name) * v for n, v in enumerate(form.locations)]
            total += w * (sp.Add(*cmu) - place * Expectation(r[i], x, name))
        assert sp.expand(e - total) == 0


@pytest.mark.parametrize("k", K)
def test_the_slopes_in_x(k: int) -> None:
    """∂r_k/∂x and ∂ψ̃/∂x (Xu, Fazel and Du 2024, (8) and (5)), by differentiating r_k itself."""
    form = _form(k, "1.5")
    x = form.model.family.x
    exact = [r.rewrite(sp.exp) for r in form.responsibilities]
    back = dict(zip(form.responsibilities, exact, strict=True))
    theta = {m: sp.Rational(v) for m, v in zip(form.locations, MEANS[k], strict=True)}
    for at in ("-3.5", "0.25", "4"):
        here = {**theta, x: sp.Rational(at)}
        pairs = [(sp.diff(exact[j], x), form.slope(j).xreplace(back)) for j in range(k)]
        psi = form.posterior_mean.xreplace(back)
        pairs.append((sp.diff(psi, x), form.mean_slope.xreplace(back)))
        for left, right in pairs:
            a, b = (sp.N(e.xreplace(here), 30) for e in (left, right))
            assert abs(a - b) < sp.Float("1e-25", 30)


@pytest.mark.parametrize("k", K)
def test_the_projected_gradient_is_a_square(k: int) -> None:
    """Σ_k μ_k ∂ KL/∂μ_k = E[ψ̃²]/σ²: Xu, Fazel and Du (2024), Corollary 10."""
    form = _form(k, "2")
    product = sp.Add(*(m * g for m, g in zip(form.locations, form.gradient(), strict=True)))
    x, q = form.model.family.x, sp.Symbol("q")
    held = {r: sp.Dummy("r") for r in form.responsibilities}
    back = {d: r for r, d in held.items()}
    square = sp.expand(form.posterior_mean.xreplace(held) ** 2)
    mean = sp.Add(
        *(
            c
            * Expectation(sp.Mul(*(s**n for s, n in zip(back.values(), powers, strict=True))), x, q)
            for powers, c in sp.Poly(square, *back).terms()
        )
    )
    assert sp.expand(product - mean / 4) == 0


def test_the_chart_pulls_it_back() -> None:
    """In the relative chart: sums over later components, weights' coordinates left out."""
    model = rs.mixture("normal", 3, scales=1)
    d, plain = rs.derive(model, rs.relative(model, "mu")), rs.derive(model)
    one, two, three = plain.stein()
    sums = (one + two + three, two + three, three)
    assert all(sp.expand(a - b) == 0 for a, b in zip(d.stein(), sums, strict=True))
    square = rs.derive(model, rs.relative(model, "mu", gap="square"))
    delta = square.symbols["Delta_2"]
    assert sp.expand(square.stein()[2] - 2 * delta * three) == 0


def test_equation_6_of_the_paper_is_an_inequality() -> None:
    """E[ψ̃²] ≥ ¼ E[(∫₋₁¹ x ψ̃'(tx) dt)²], which the main text prints with =, the appendix with ≥.

    The integral is ψ̃(x) − ψ̃(−x): what is left out is ¼ E[(ψ̃(x) + ψ̃(−x))²].
    """
    with mpmath.workdps(20):

        def psi(x: mpmath.mpf) -> mpmath.mpf:
            r = _posterior(x, 3, "1")
            return mpmath.fsum(a * mpmath.mpf(m) for a, m in zip(r, MEANS[3], strict=True))

        unit = [("1", "0", "1")]
        whole = _mean(lambda x: psi(x) ** 2, unit)
        printed = _mean(lambda x: (psi(x) - psi(-x)) ** 2 / 4, unit)
        rest = _mean(lambda x: (psi(x) + psi(-x)) ** 2 / 4, unit)
        assert printed < 0.9 * whole
        assert abs(whole - printed - rest) < mpmath.mpf("1e-15")


NORMAL3 = rs.mixture("normal", 3, weights="1/3", scales=1)
STANDARD = rs.truth("normal", weights=[1], means=[0], scales=1)
TWO = rs.truth("normal", weights=["r", "1 - r"], means=["a", "b"], scales=1)
OTHER = rs.truth("normal", weights=[1], means=["a"], scales=["s"])
LEFT = "D[-E[log_p], mu_2]"
IDENTITIES = [
    ("E[r_2*psi]", STANDARD),
    ("E[r_2*(s**2*psi + (1 - s**2)*mu_2 - a)]", OTHER),
]


@pytest.mark.parametrize(("right", "truth"), IDENTITIES)
def test_the_prover_agrees(right: str, truth: rs.Truth) -> None:
    verdict = rs.check(LEFT, right, model=NORMAL3, truth=truth, where={"psi": PSI}, points=1)
    assert verdict.status == "proven", str(verdict)


def test_a_mixture_truth_by_its_own_posterior() -> None:
    """Σ_j p_j E_j[r_k] m_j is E_q[(Σ_j s_j m_j) r_k], s_j the truth's posterior."""
    near, far = "r*exp(-(x - a)**2/2)", "(1 - r)*exp(-(x - b)**2/2)"

    def judged(one: str, other: str) -> str:
        where = {"psi": PSI, "n": near, "f": far, "m": f"({one}*n + {other}*f)/(n + f)"}
        right = "E[r_2*(psi - m)]"
        return rs.check(LEFT, right, model=NORMAL3, truth=TWO, where=where, points=1).status

    assert judged("a", "b") in ("proven", "verified")
    assert judged("b", "a") == "refuted"


OWN = {"pi_1": "v", "mu_1": "w + (1 - v)*u", "mu_2": "w - v*u"}
REFUSED = {
    "sigma_1 is learned": lambda: rs.derive(rs.mixture("normal", 3)),
    "scales that differ": lambda: rs.derive(rs.mixture("normal", 3, scales=[1, 2, 1])),
    "means that are all given": lambda: rs.derive(rs.mixture("normal", 2, means=[0, 1], scales=1)),
    "one mu for all": lambda: rs.derive(rs.mixture("normal", 3, means="tied", scales=1)),
    "one component": lambda: rs.derive(rs.mixture("normal", 1, scales=1)),
    "poisson family": lambda: rs.derive(rs.mixture("poisson", 3)),
    "weights and of locations at once": lambda: _mixed(),
}


def _mixed() -> rs.Derivation:
    model = rs.mixture("normal", 2, scales=1)
    with pytest.warns(rs.ChartWarning if hasattr(rs, "ChartWarning") else UserWarning):
        return rs.derive(model, rs.chart(model, OWN, domains={"v": "unit"}))


@pytest.mark.parametrize("said", REFUSED)
def test_what_has_no_stein_form_is_refused(said: str) -> None:
    d = REFUSED[said]()
    assert "stein" not in d.record.names
    with pytest.raises(DerivationError, match=said):
        d.stein()
    with pytest.raises(DerivationError, match=said):
        d.latex("stein")


def test_a_truth_of_another_kind_is_refused() -> None:
    d = rs.derive(NORMAL3)
    counts = rs.truth("poisson", weights=[1], rates=[2])
    with pytest.raises(DerivationError, match="poisson family"):
        _ = d.stein(counts).value
    with pytest.raises(DeclarationError, match="no truth"):
        d.stein((0.0, 1.0))


def test_the_printed_lines() -> None:
    d = rs.derive(rs.mixture("normal", 3, weights="1/3", scales="1/2"))
    text = d.stein().latex()
    for said in (
        r"\tilde{\psi}(x) &= \sum_{k=1}^3 \mu_k r_k(x)",
        r"\frac{\partial r_k(x)}{\partial x} &= 4 r_k(x) (\mu_k - \tilde{\psi}(x))",
        r"&= 2 \sum_{i=1}^3 \sum_{j=1}^3 r_i(x) r_j(x) (\mu_i - \mu_j)^2",
        r"G_{kj} &= \operatorname{E}_q[r_j(x) r_k(x)]",
        r"\partial \mu_k} &= 4 \sum_{j=1}^3 G_{kj} \mu_j, \quad k = 1, 2, 3",
        r"&= 4 \operatorname{E}_q[\tilde{\psi}(x)^2]",
    ):
        assert said in text
    unit = rs.derive(NORMAL3).stein(TWO).latex()
    assert r"q(x) &= r q_1(x) + (1 - r) q_2(x)" in unit
    assert r"r \operatorname{E}_{q_1}[r_k(x) (\tilde{\psi}(x) - a)]" in unit
