"""The oracle against closed forms, against itself, and against a planted error."""

from __future__ import annotations

import mpmath
import pytest
from mpmath import mp, mpf

from relrep_sym.errors import CertificateError
from relrep_sym.verify import Density, Oracle
from tests.verify.mixtures import (
    BETA,
    EXPONENTIAL,
    GAMMA,
    NORMAL,
    POISSON,
    RELATIVE_NAMES,
    THREE,
    TRUTH,
    closeness,
    identity,
    names,
    normals,
    relative,
)

TIGHT = mpf(10) ** -28


def test_the_field_of_one_normal_is_rational():
    """E_q[(X−μ)/σ²] and E_q[(X−μ)²/σ³ − 1/σ] from the truth's moments."""
    here = normals(1).at([0.5, 2.0])
    weights, means, scales = TRUTH
    first = sum(w * (m - 0.5) for w, m in zip(weights, means, strict=True))
    second = sum(
        w * (s**2 + (m - 0.5) ** 2) for w, m, s in zip(weights, means, scales, strict=True)
    )
    field = here.averaged_field(TRUTH)
    assert closeness(field[0].value, mpf(first) / 4) < TIGHT
    assert closeness(field[1].value, mpf(second) / 8 - mpf("0.5")) < TIGHT


def test_the_fisher_information_of_one_normal():
    fisher = normals(1).at([3.0, 0.5]).fisher()
    assert closeness(fisher[0][0].value, 4) < TIGHT
    assert closeness(fisher[1][1].value, 8) < TIGHT
    assert closeness(fisher[0][1].value, 0) < TIGHT


def test_the_fisher_information_of_discrete_half_line_and_interval_families():
    poisson = Oracle(POISSON, identity(1, 1), ["rate"]).at([2.5]).fisher()
    exponential = Oracle(EXPONENTIAL, identity(1, 1), ["rate"]).at([4.0]).fisher()
    gamma = Oracle(GAMMA, identity(1, 2), ["shape", "rate"]).at([0.5, 2.0]).fisher()
    beta = Oracle(BETA, identity(1, 2), ["a", "b"]).at([1.5, 4.0]).fisher()
    with mp.workdps(60):
        assert closeness(poisson[0][0].value, mpf(2) / 5) < TIGHT
        assert closeness(exponential[0][0].value, mpf(1) / 16) < TIGHT
        assert closeness(gamma[0][0].value, mpmath.psi(1, mpf("0.5"))) < TIGHT
        assert closeness(gamma[0][1].value, mpf("-0.5")) < TIGHT
        both = mpmath.psi(1, mpf("5.5"))
        assert closeness(beta[0][0].value, mpmath.psi(1, mpf("1.5")) - both) < TIGHT
        assert closeness(beta[0][1].value, -both) < TIGHT


def test_a_large_rate_is_summed_where_its_mass_is():
    fisher = Oracle(POISSON, identity(1, 1), ["rate"], digits=20).at([1e4]).fisher()
    with mp.workdps(60):
        assert closeness(fisher[0][0].value, mpf("1e-4")) < mpf(10) ** -18
    assert int(fisher[0][0].method.split()[2]) < 4000


def test_the_divergence_of_two_normals():
    with mp.workdps(60):
        exact = mpmath.log(mpf(2) / mpf("0.25")) + (mpf("0.0625") + mpf("2.25")) / 8 - mpf("0.5")
    assert closeness(normals(1).at([0.5, 2.0]).kl(([1.0], [2.0], [0.25])).value, exact) < TIGHT


def test_a_scale_ratio_of_a_hundred_and_a_location_of_a_hundred_thousand():
    with mp.workdps(60):
        ratio = mpf(1) / mpf("0.0078125")
        exact = -mpmath.log(ratio) + (1 + mpf("0.25") ** 2) * ratio**2 / 2 - mpf("0.5")
    value = normals(1).at([100000.0, 0.0078125]).kl(([1.0], [100000.25], [1.0])).value
    assert closeness(value, exact) < TIGHT


def test_another_family_may_be_the_truth():
    """E under Laplace(0, 1): its variance is 2. Its kink is bisected down to."""
    laplace = Density(lambda x, mu: -abs(x - mu) - mpmath.log(2))
    field = normals(1).at([0.0, 1.0]).averaged_field(([1.0], [0.0]), laplace)
    assert closeness(field[1].value, 1) < TIGHT


def test_responsibilities_sum_to_one_at_fifty_digits():
    here = normals(3).at(THREE)
    for x in (-40.0, 0.3, 1e5):
        with mp.workdps(80):
            total = mpmath.fsum(r.value for r in here.responsibilities(x))
        assert closeness(total, 1) < mpf(10) ** -50


def test_responsibilities_carry_their_sensitivity():
    """∂r_1/∂λ_j by mpmath.diff, at K = 2."""
    coords = [0.25, -1.0, 1.5, 0.5]
    here = Oracle(NORMAL, relative, RELATIVE_NAMES).at(coords)
    with mp.workdps(60):

        def first(*c):
            (w1, w2), (phi1, phi2) = relative(c)
            f1 = w1 * mpmath.exp(NORMAL.component_log_density(mpf("0.5"), *phi1))
            f2 = w2 * mpmath.exp(NORMAL.component_log_density(mpf("0.5"), *phi2))
            return f1 / (f1 + f2)

        order = [tuple(int(i == j) for i in range(4)) for j in range(4)]
        slopes = [mpmath.diff(first, tuple(map(mpf, coords)), o) for o in order]
        expected = sum(abs(c * s) for c, s in zip(coords, slopes, strict=True))
    got = here.responsibilities(0.5)[0]
    assert closeness(got.value, first(*map(mpf, coords))) < mpf(10) ** -14
    assert closeness(got.sensitivity, expected) < mpf(10) ** -30


def test_the_model_expects_no_score():
    """E_p[∂ log p/∂λ] = 0 for X from the model itself, K = 3."""
    here = normals(3).at(THREE)
    weights = [0.25, 0.3, 1 - 0.25 - 0.3]
    assert sum(weights) == 1.0
    with mp.workdps(90):
        field = here.expect(lambda x: here.located.jets([x])[0][1])
    for value in field:
        assert abs(value.value) < TIGHT * value.scale


@pytest.fixture(scope="module")
def field():
    """The averaged field of three normals, everything free, at thirty digits."""
    return normals(3).at(THREE).averaged_field(TRUTH)


def test_thirty_digits_agree_with_forty(field):
    finer = normals(3, digits=40).at(THREE).averaged_field(TRUTH)
    for low, high in zip(field, finer, strict=True):
        assert abs(low.value - high.value) < mpf(10) ** -29 * high.scale
        assert low.error < mpf(10) ** -29 * low.scale
        assert closeness(low.sensitivity, high.sensitivity) < mpf("0.01")


def test_two_rules_agree(field):
    other = normals(3, rule="trapezoid").at(THREE).averaged_field(TRUTH)
    for panels, trapezoid in zip(field, other, strict=True):
        assert abs(panels.value - trapezoid.value) < mpf(10) ** -29 * panels.scale
    assert "panels" in field[0].method
    assert "trapezoid" in other[0].method


def test_a_sample_and_its_mean():
    here, x, w = normals(3).at(THREE), [0.5, -3.0, 7.0], [1.0, 0.0, 3.0]
    rows = [here.score_sample(v) for v in x]
    for j, mean in enumerate(here.score(x, w)):
        assert closeness(mean.value, (rows[0][j].value + 3 * rows[2][j].value) / 4) < mpf("1e-14")
    logs = [here.log_density(v).value for v in x]
    assert closeness(here.log_likelihood(x, w).value, (logs[0] + 3 * logs[2]) / 4) < mpf("1e-14")


def test_the_sensitivity_of_a_score_is_that_of_its_hessian():
    """Σ_j |λ_j ∂_j s_i| two ways: differences of the score, and the rows of the Hessian."""
    here, x = normals(3).at(THREE), [0.5, -3.0, 7.0]
    score, hessian = here.score(x), here.hessian(x)
    for value, row in zip(score, hessian, strict=True):
        expected = mpmath.fsum(abs(c * h.value) for c, h in zip(THREE, row, strict=True))
        assert closeness(value.sensitivity, expected) < mpf("1e-12")


def test_the_hessian_is_symmetric_and_that_of_the_log_likelihood():
    coords, x, w = [0.25, -1.0, 1.5, 0.5], [0.5, -3.0, 7.0], [1.0, 2.0, 3.0]
    oracle = Oracle(NORMAL, relative, RELATIVE_NAMES)
    hessian = oracle.at(coords).hessian(x, w)
    with mp.workdps(60):

        def mean(*c):
            place = oracle.at([float(v) for v in coords]).located
            moved = type(place)(NORMAL, relative, c)
            jets = moved.jets([mpf(v) for v in x])
            return mpmath.fsum(v * jet[0] for v, jet in zip(w, jets, strict=True)) / 6

        for i, j, order in [(0, 2, (1, 0, 1, 0)), (2, 2, (0, 0, 2, 0)), (3, 1, (0, 1, 0, 1))]:
            reference = mpmath.diff(mean, tuple(map(mpf, coords)), order)
            assert closeness(hessian[i][j].value, reference) < mpf(10) ** -18
            assert closeness(hessian[j][i].value, hessian[i][j].value) < mpf(10) ** -25
    assert all(entry.sensitivity > 0 for row in hessian for entry in row)


def test_the_time_budget_names_the_point():
    oracle = normals(3, seconds=0.0)
    with pytest.raises(
        CertificateError, match=r"averaged_field at pi_1 = 0\.25, .*sigma_3 = 1\.25"
    ):
        oracle.at(THREE).averaged_field(TRUTH)


def test_a_density_that_does_not_integrate_to_one_is_refused():
    doubled = Density(lambda x, mu: mpmath.log(2) - (x - mu) ** 2 / 2 - mpmath.log(2 * mp.pi) / 2)
    with pytest.raises(CertificateError, match="integral"):
        Oracle(doubled, identity(1, 1), ["mu"]).at([0.0]).fisher()


def test_truth_arrays_must_match():
    with pytest.raises(CertificateError, match="the truth"):
        normals(1).at([0.0, 1.0]).kl(([0.5, 0.5], [0.0], [1.0]))
    with pytest.raises(CertificateError, match="weights"):
        normals(1).at([0.0, 1.0]).score([1.0, 2.0], [1.0])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("components", "kind"),
    [(2, "ratio"), *((k, kind) for k in (2, 3, 5) for kind in ("ordinary", "merging"))],
)
def test_fields_by_two_rules_at_hard_points(components, kind):
    means = [2.0 * k - components for k in range(components)]
    scales = [0.75 + 0.125 * k for k in range(components)]
    if kind == "merging":
        means[1], scales[1] = means[0] + 1e-6, scales[0]
    if kind == "ratio":
        scales[0] /= 16
    weights = [1 / components] * (components - 1)
    coords = [*weights, *means, *scales]
    labels = names(components, "mu", "sigma")
    fields = [
        Oracle(NORMAL, identity(components, 2), labels, rule=rule).at(coords).averaged_field(TRUTH)
        for rule in ("panels", "trapezoid")
    ]
    for panels, trapezoid in zip(*fields, strict=True):
        assert abs(panels.value - trapezoid.value) < mpf(10) ** -28 * panels.scale
