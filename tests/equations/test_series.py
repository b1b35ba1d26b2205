"""Series in the overlap, in exact rationals: log p by cumulants, L by moments, learning by both."""

from __future__ import annotations

from functools import cache

import pytest
import sympy as sp

from relrep_sym.declare.chart import identity
from relrep_sym.declare.charts import relative
from relrep_sym.declare.domains import domain
from relrep_sym.declare.family import Family, FamilyParameter
from relrep_sym.declare.model import mixture
from relrep_sym.declare.own_map import chart
from relrep_sym.declare.truth import truth
from relrep_sym.declare.view import view
from relrep_sym.equations.nodes import Expectation
from relrep_sym.equations.series import Moment, Series
from relrep_sym.equations.series import expand_in as expand
from relrep_sym.errors import DeclarationError, DerivationError

VUW = {"v": "pi_1", "u": "mu_1 - mu_2", "w": "pi_1*mu_1 + (1 - pi_1)*mu_2"}
UNIT = mixture("normal", 2, scales=1)
SEEN = view(identity(UNIT), VUW)
THREE = mixture("normal", 3, scales=1)
FIRST = {
    "c": "pi_1 + pi_2",
    "v": "pi_1/(pi_1 + pi_2)",
    "m": "mu_3",
    "u": "mu_1 - mu_2",
    "w": "(pi_1*mu_1 + pi_2*mu_2)/(pi_1 + pi_2)",
}
v, u, w, x, eta = *sp.symbols("v u w"), sp.Symbol("x", real=True), sp.Symbol("eta", positive=True)
M = [sp.Integer(1), *(Moment(f"M_{n}") for n in range(1, 13))]


@cache
def _expanded(view: object, overlap: object, order: object, options: object) -> Series:
    return expand(view, overlap, order, **dict(options))  # type: ignore[arg-type, call-overload]


def expand_in(view: object, overlap: object, order: object, **options: object) -> Series:
    """One derivation for all tests that ask for the same."""
    if isinstance(overlap, str) and type(order) is int and not options.get("truth"):
        return _expanded(view, overlap, order, tuple(options.items()))
    return expand(view, overlap, order, **options)  # type: ignore[arg-type]


def same(a: sp.Expr, b: sp.Expr) -> bool:
    return sp.cancel(sp.expand(a - b)) == 0


def test_log_p_is_what_sympy_expands_by_itself() -> None:
    found = expand_in(SEEN, "u", 3, of="log_density").rows[0].coefficients
    y = x - w
    ratio = sum(k * sp.exp(y * d * u - d**2 * u**2 / 2) for k, d in ((v, 1 - v), (1 - v, -v)))
    for n in range(1, 4):
        wanted = sp.log(ratio).diff(u, n).subs(u, 0) / sp.factorial(n)
        assert same(sp.simplify(wanted), found.get(n, sp.Integer(0)))


def test_singular_truth_of_unit_variance_attracts_at_the_fourth_order_only() -> None:
    """q = N(w, 1), that is M_1 = M_3 = 0, M_2 = 1, M_4 = 3: L_2 = L_3 = 0, L_4 < 0."""
    q = truth("normal", weights=1, means="m", scales=1)
    (m,) = q.symbols
    found = expand_in(SEEN, "u", 4, of="log_likelihood", truth=q).rows[0].coefficients
    at = {w: m}
    assert [same(found.get(n, sp.Integer(0)).xreplace(at), 0) for n in (1, 2, 3)] == [True] * 3
    assert same(found[4].xreplace(at), -(v**2) * (1 - v) ** 2 / 4)
    rates = expand_in(SEEN, "u", 4, truth=q).rows[1].coefficients
    assert [same(rates.get(n, sp.Integer(0)).xreplace(at), 0) for n in (0, 1, 2)] == [True] * 3
    assert same(rates[3].xreplace(at), -2 * v**2 * (1 - v) ** 2)


def test_the_second_and_third_order_vanish_with_their_moments_alone() -> None:
    found = expand_in(SEEN, "u", 4, of="log_likelihood").rows[0].coefficients
    assert 1 not in found
    assert same(found[2], v * (1 - v) * (M[2] - 1) / 2)
    assert same(found[3], v * (1 - v) * (1 - 2 * v) * (M[3] - 3 * M[1]) / 6)
    fourth = found[4].xreplace({M[2]: sp.Integer(1)})
    k4 = v * (1 - v) * (1 - 6 * v * (1 - v))
    assert same(fourth, k4 * (M[4] - 3) / 24 - v**2 * (1 - v) ** 2 / 4)


def test_spread_data_repel_and_narrow_data_attract_at_the_first_order() -> None:
    found = expand_in(SEEN, "u", 2).rows[1].coefficients[1]
    assert same(found, 2 * v * (1 - v) * (M[2] - 1))


def test_a_fixed_scale_is_the_unit_scale_in_other_units() -> None:
    half = view(identity(mixture("normal", 2, scales="1/2")), VUW)
    found = expand_in(half, "u", 5, of="log_likelihood").rows[0].coefficients
    unit = expand_in(SEEN, "u", 5, of="log_likelihood").rows[0].coefficients
    s = sp.Rational(1, 2)
    for n in (2, 3, 4, 5):  # u/s, and M_k/s^k
        scaled = unit[n].xreplace({M[k]: M[k] / s**k for k in range(1, 6)}) / s**n
        assert same(found[n], scaled)


def test_a_tied_scale_set_to_a_number_is_the_fixed_one() -> None:
    tied = view(identity(mixture("normal", 2, scales="tied")), VUW | {"s": "sigma"})
    fixed = view(identity(mixture("normal", 2, scales="1/2")), VUW)
    at = {sp.Symbol("s"): sp.Rational(1, 2)}
    for a, b in zip(expand_in(tied, "u", 4).rows, expand_in(fixed, "u", 4).rows, strict=False):
        assert a.remainder == b.remainder
        assert all(same(a.coefficients[n].xreplace(at), c) for n, c in b.coefficients.items())


def free(order: int, of: str = "log_likelihood") -> Series:
    seen = view(identity(mixture("normal", 2)), VUW | {"s": "sigma_2", "t": "sigma_1 - sigma_2"})
    return expand_in(seen, ["u", "t"], order, of=of)


def test_free_scales_at_equal_scales_are_the_tied_ones() -> None:
    tied = view(identity(mixture("normal", 2, scales="tied")), VUW | {"s": "sigma"})
    wanted = expand_in(tied, "u", 4, of="log_likelihood").rows[0].coefficients
    found = free(4).rows[0].coefficients
    for n in range(1, 5):
        equal = sp.expand(found.get(n, sp.Integer(0)).subs(sp.Symbol("t"), 0))
        assert same(equal, wanted.get(n, sp.Integer(0)) * u**n)


def test_a_quotient_of_differences_is_the_direction_in_which_two_vanish() -> None:
    ratio = view(
        identity(mixture("normal", 2)),
        VUW | {"s": "sigma_2", "t": "(sigma_1 - sigma_2)/(mu_1 - mu_2)"},
    )
    found = expand_in(ratio, "u", 4, of="log_likelihood").rows[0].coefficients
    both = free(4).rows[0].coefficients
    t = sp.Symbol("t")
    for n in range(1, 5):
        one = found.get(n, sp.Integer(0)) * u**n
        assert same(one, both[n].xreplace({t: t * u}) if n in both else sp.Integer(0))


def test_unequal_free_scales_do_not_meet() -> None:
    seen = view(identity(mixture("normal", 2)), VUW | {"s": "sigma_1", "r": "sigma_2"})
    with pytest.raises(DerivationError, match="no two components meet") as caught:
        expand_in(seen, "u", 4)
    assert "component 1: w, s; component 2: w, r" in str(caught.value)
    assert "difference of scales" in str(caught.value)


@pytest.mark.parametrize("gap", ["plain", "square"])
def test_the_density_knows_no_chart_but_its_learning_does(gap: str) -> None:
    other = view(relative(UNIT, "mu", gap=gap), VUW)
    here, there = (expand_in(s, "u", 5, of="log_likelihood").rows for s in (SEEN, other))
    assert here == there
    rate = expand_in(other, "u", 4).rows[1].coefficients
    factor = {"plain": sp.Rational(1, 2), "square": -2 * u}[gap]  # JJᵀ_uu is 1, and −4u, for 2
    own = expand_in(SEEN, "u", 4, of="log_likelihood").rows[0].coefficients
    lead = 2 * u * own[2] * 2 * factor  # JJᵀ_uu ∂_u L, where w is the mean and M_3 = 0
    at = {M[1]: sp.Integer(0), M[3]: sp.Integer(0)}
    total = sum(c.xreplace(at) * u**n for n, c in rate.items())
    first = sp.Poly(sp.expand(total), u).as_dict()
    lowest = min(first)
    assert same(first[lowest] * u ** lowest[0], lead)


def test_where_all_three_meet_the_series_is_in_moments() -> None:
    seen = view(
        identity(mixture("normal", 3, weights="1/3", scales=1)),
        {"w": "(mu_1 + mu_2 + mu_3)/3", "a": "mu_1 - mu_2", "b": "mu_2 - mu_3"},
    )
    found = expand_in(seen, ["a", "b"], 3, of="log_likelihood").rows[0].coefficients
    a, b = sp.symbols("a b")
    means = sp.Matrix([2 * a + b, b - a, -a - 2 * b]) / 3
    variance = sum(e**2 for e in means) / 3
    third = sum(e**3 for e in means) / 3
    assert same(found[2], variance * (M[2] - 1) / 2)
    assert same(found[3], third * (M[3] - 3 * M[1]) / 6)


def test_a_pair_among_three_has_expectations_of_its_posterior() -> None:
    seen = view(identity(THREE), FIRST)
    row = expand_in(seen, "u", 3, of="log_likelihood").rows[0]
    series = expand_in(seen, "u", 3, of="log_likelihood")
    r = series.overlap.responsibilities[0]
    q = sp.Symbol("q")

    def mean(k: int) -> sp.Expr:
        return Expectation(r * (x - w) ** k, x, q)

    assert same(row.coefficients[2], v * (1 - v) * (mean(2) - mean(0)) / 2)
    third = v * (1 - v) * (1 - 2 * v) * (mean(3) - 3 * mean(1)) / 6
    assert same(row.coefficients[3], third)
    assert [g.members for g in series.overlap.groups] == [(0, 1), (2,)]


def test_the_pair_becomes_the_mixture_of_two_where_the_third_has_no_weight() -> None:
    found = expand_in(view(identity(THREE), FIRST), "u", 3)
    two = expand_in(SEEN, "u", 3)
    at = {sp.Symbol("c"): sp.Integer(1)}

    def alone(e: sp.Expr) -> sp.Expr:  # r = 1 there: E[r^a y^k] = M_k
        def moment(inner: sp.Expr, *_: sp.Expr) -> sp.Expr:
            r = found.overlap.responsibilities[0]
            k = sp.degree(inner.xreplace({r: sp.Integer(1)}), x)
            return M[int(k)]

        return e.replace(Expectation, moment)

    for row, wanted in ((found.rows[3], two.rows[1]),):  # du/dt has no other weight in it
        for n, c in wanted.coefficients.items():
            assert same(alone(row.coefficients[n]).xreplace(at), c)


def test_gradients_are_those_of_l() -> None:
    """In coordinates that are the view itself JJᵀ = 1, and a rate is ∂L/∂b term by term."""
    own = chart(
        UNIT, {"pi_1": "v", "mu_1": "w + (1 - v)*u", "mu_2": "w - v*u"}, domains={"v": "unit"}
    )
    seen = view(own, {"v": "v", "u": "u", "w": "w"})
    rates = expand_in(seen, "u", 6)
    (row,) = expand_in(seen, "u", 6, of="log_likelihood").rows
    whole = sum(c * u**n for n, c in row.coefficients.items())
    shifts = {m: -n * M[n - 1] for n, m in enumerate(M) if n}  # ∂M_n/∂w
    slopes = [
        whole.diff(v),
        whole.diff(u),
        sum(whole.diff(m) * slope for m, slope in shifts.items()),
    ]
    for found, slope in zip(rates.rows, slopes, strict=True):
        assert same(sum(c * u**n for n, c in found.coefficients.items()), slope)


def test_poisson_components_that_meet() -> None:
    seen = view(
        identity(mixture("poisson", 2)),
        {"v": "pi_1", "u": "rate_1 - rate_2", "w": "pi_1*rate_1 + (1 - pi_1)*rate_2"},
    )
    found = expand_in(seen, "u", 3, of="log_likelihood").rows[0].coefficients
    falling = M[2] - M[1] - 2 * w * M[1] + w**2  # E[(X − w)² − X]
    assert same(found[2], v * (1 - v) * falling / (2 * w**2))
    assert any(e.has(sp.loggamma) for e in found[0].atoms(Expectation))


def test_orders_are_counted_in_l() -> None:
    for order in (1, 2, 5):
        assert [r.remainder for r in expand_in(SEEN, "u", order).rows] == [
            order + 1,
            order,
            order,
        ]
        assert expand_in(SEEN, "u", order, of="log_likelihood").rows[0].remainder == order + 1


def test_a_lower_order_is_the_higher_one_cut() -> None:
    low, high = expand_in(SEEN, "u", 3), expand_in(SEEN, "u", 8)
    for a, b in zip(low.rows, high.rows, strict=True):
        cut = {n: c for n, c in b.coefficients.items() if n < a.remainder}
        assert cut == dict(a.coefficients)


def test_value_is_a_column_with_eta() -> None:
    found = expand_in(SEEN, "u", 1)
    assert found.value.shape == (3, 1)
    assert same(found.value[0], eta * u * M[1])
    assert found.moments == {M[1]: Expectation(x - w, x, sp.Symbol("q"))}


# ------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("overlap", "order", "why"),
    [
        ("z", 4, "no function z"),
        ([], 4, "in functions of the view"),
        (["u", "u"], 4, "in functions of the view"),
        (3, 4, "in functions of the view"),
        ("u", 0, "out of range"),
        ("u", -1, "out of range"),
        ("u", 13, "1 to 12"),
        ("u", True, "no whole number"),
        ("u", 4.0, "no whole number"),
        ("u", "4", "no whole number"),
    ],
)
def test_bad_requests(overlap: object, order: object, why: str) -> None:
    with pytest.raises(DeclarationError, match=why):
        expand_in(SEEN, overlap, order)


def test_bad_kinds_and_truths() -> None:
    with pytest.raises(DeclarationError, match="one of log_density"):
        expand_in(SEEN, "u", 2, of="score")
    with pytest.raises(DeclarationError, match="another family"):
        expand_in(SEEN, "u", 2, truth=truth("poisson", weights=1, rates=1))
    with pytest.raises(DeclarationError, match="no truth"):
        expand_in(SEEN, "u", 2, truth=([1], [0], [1]))
    with pytest.raises(DeclarationError, match="called like the view"):
        expand_in(SEEN, "u", 2, truth=truth("normal", weights=1, means="w", scales=1))
    with pytest.raises(DeclarationError, match="no view"):
        expand_in("u", "u", 2)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("overlap", "why"), [("v", "no two components meet"), ("w", "no two components meet")]
)
def test_functions_at_whose_zero_nothing_meets(overlap: str, why: str) -> None:
    with pytest.raises(DerivationError, match=why):
        expand_in(SEEN, overlap, 2)


def test_a_root_of_the_overlap_is_no_power_series() -> None:
    """u = Δ³ has Δ = u^(1/3), and no derivative of the density by u at u = 0."""
    seen = view(
        relative(UNIT, "mu"),
        {"v": "pi_1", "u": "(mu_2 - mu_1)**3", "w": "pi_1*mu_1 + (1 - pi_1)*mu_2"},
    )
    with pytest.raises(DerivationError, match="no power series"):
        expand_in(seen, "u", 2)


def test_a_family_not_polynomial_in_x_is_refused() -> None:
    mu = FamilyParameter("mu", "means", domain("real"))
    logistic = -(x - mu.symbol) - 2 * sp.log(1 + sp.exp(-(x - mu.symbol)))
    model = mixture(Family("logistic", logistic, (mu,), "line"), 2)
    with pytest.raises(DerivationError, match="no series in moments"):
        expand_in(view(identity(model), VUW), "u", 2)
