"""The contract of a generated module: shapes, what is accepted, what is refused and how."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import numpy as np
import pytest
from scipy import stats

import relrep_sym as rs
from relrep_sym.errors import DataError, DomainError, NoInverseError, RelrepError
from tests.runtime.models import OWN, compiled, derived, family_of, normals, poissons, theta

X = np.array([-1.0, 0.0, 0.5, 2.0])
TRUTH = ([0.3, 0.7], [0.0, 1.5], [1.0, 0.75])


def viewed():
    model = rs.mixture("normal", components=2)
    chart = rs.relative(model, "mu")
    view = rs.view(chart, {"v": "pi_1", "w": "pi_1*mu_1 + (1 - pi_1)*mu_2"})
    return rs.derive(model, chart, view=view, name="viewed")


MODULES = {
    "normal, K = 1": lambda: compiled("normal", 1),
    "normal, relative, K = 2": lambda: compiled("normal", 2, "relative"),
    "normal, view": lambda: viewed().compile(),
    "normal, square, K = 3": lambda: compiled("normal", 3, "square"),
    "normal, tied, K = 3": lambda: compiled("normal", 3, "relative", scales="tied"),
    "poisson, K = 2": lambda: compiled("poisson", 2),
    "poisson, log, K = 3": lambda: compiled("poisson", 3, "log"),
}


def start(module):
    """A point of the module's chart, and a sample and a truth for it."""
    family, count = family_of(module)
    normal = family == "normal"
    mixture = normals(count) if normal else poissons(count)
    mixture = (mixture[0], np.arange(count) + 0.25, *mixture[2:])
    if "sigma" in module.PARAMETERS:
        mixture = (mixture[0], mixture[1], np.full(count, 0.8))
    truth = TRUTH if normal else ([0.3, 0.7], [1.0, 4.0])
    return module.from_model(theta(module, mixture)), X if normal else np.arange(4.0), truth


@pytest.fixture(params=MODULES)
def module(request):
    return MODULES[request.param]()


# ------------------------------------------------------------------------------ shapes


@pytest.mark.parametrize("leading", [(), (1,), (5,), (2, 3)])
def test_every_function_broadcasts_over_leading_axes(module, leading):
    coords, x, truth = start(module)
    many = np.broadcast_to(coords, (*leading, coords.size)).copy()
    p, t, k, n = coords.size, len(module.PARAMETERS), family_of(module)[1], x.size
    assert module.to_model(many).shape == (*leading, t)
    assert module.from_model(module.to_model(many)).shape == (*leading, p)
    assert module.jacobian(many).shape == (*leading, t, p)
    assert {a.shape for a in module.components(many)} == {(*leading, k)}
    assert module.log_density(x, many).shape == (*leading, n)
    assert module.responsibilities(x, many).shape == (*leading, n, k)
    assert module.score_samples(x, many).shape == (*leading, n, p)
    assert np.shape(module.log_likelihood(x, many)) == leading
    assert module.score(x, many).shape == (*leading, p)
    assert {a.shape for a in module.statistics(x, many)} == {(*leading, k)}
    assert module.averaged_field(many, truth).shape == (*leading, p)
    assert np.shape(module.kl(many, truth)) == leading
    assert module.fisher(many).shape == (*leading, p, p)
    assert module.sample(many, 6, rng=0).shape == (*leading, 6)
    if hasattr(module, "VIEW"):
        assert module.to_view(many).shape == (*leading, 2)
        assert module.view_field(many, truth).shape == (*leading, 2)
    try:
        assert module.em_step(x, many).shape == (*leading, p)
    except DomainError:  # the maximiser may lie outside an ordered chart
        assert any(c.startswith("Delta") for c in module.COORDINATES)


def test_a_scalar_point_has_no_sample_axis(module):
    coords, x, _ = start(module)
    one, row = x[1], module.score_samples(x[1:2], coords)
    assert np.shape(module.log_density(one, coords)) == ()
    assert module.responsibilities(one, coords).shape == (family_of(module)[1],)
    np.testing.assert_array_equal(module.score_samples(one, coords), row[0])
    np.testing.assert_array_equal(module.score(one, coords), module.score([one], coords))
    assert module.log_density(one, [list(coords)] * 3).shape == (3,)


def test_lists_tuples_and_integers_are_accepted(module):
    coords, x, truth = start(module)
    as_lists = ([float(v) for v in x], [float(c) for c in coords])
    np.testing.assert_array_equal(module.score(*as_lists), module.score(x, coords))
    np.testing.assert_array_equal(module.fisher(tuple(coords)), module.fisher(coords))
    arrays = tuple(np.asarray(row) for row in truth)
    np.testing.assert_array_equal(
        module.averaged_field(coords, arrays), module.averaged_field(coords, truth)
    )
    whole = np.array([0, 1, 2, 5])
    for kind in (int, np.int32, np.uint8, np.float32):
        np.testing.assert_array_equal(
            module.score(whole.astype(kind), coords), module.score(whole.astype(float), coords)
        )


def test_every_result_is_float64(module):
    coords, x, truth = start(module)
    single = np.float32(x)
    found = [
        module.to_model(coords), module.jacobian(coords), *module.components(coords),
        module.log_density(single, coords), module.responsibilities(single, coords),
        module.score_samples(single, coords), module.log_likelihood(single, coords),
        module.score(single, coords), *module.statistics(single, coords),
        module.averaged_field(coords, truth), module.kl(coords, truth), module.fisher(coords),
        module.sample(coords, 2, rng=0),
    ]  # fmt: skip
    assert {np.asarray(a).dtype for a in found} == {np.dtype(np.float64)}


def test_what_was_passed_is_left_alone_and_what_is_returned_is_new(module):
    coords, x, truth = start(module)
    kept = coords.copy(), x.copy()
    coords.flags.writeable = x.flags.writeable = False
    for found in (
        module.to_model(coords), module.from_model(module.to_model(coords)),
        *module.components(coords), module.score(x, coords), module.score_samples(x, coords),
        module.fisher(coords), module.averaged_field(coords, truth),
    ):  # fmt: skip
        found[...] = np.nan
    np.testing.assert_array_equal(coords, kept[0])
    np.testing.assert_array_equal(x, kept[1])


@pytest.mark.parametrize("name", ["log_density", "responsibilities", "score_samples"])
def test_out_is_filled_and_returned(module, name):
    coords, x, _ = start(module)
    many = np.stack([coords, coords])
    f = getattr(module, name)
    expected = f(x, many)
    out = np.full(expected.shape, np.nan)
    assert f(x, many, out=out) is out
    np.testing.assert_array_equal(out, expected)
    strided = np.full((*expected.shape, 2), np.nan)[..., 0]
    assert f(x, many, out=strided) is strided
    np.testing.assert_array_equal(strided, expected)


@pytest.mark.parametrize("name", ["log_density", "responsibilities", "score_samples"])
def test_an_out_that_does_not_fit_is_refused(module, name):
    coords, x, _ = start(module)
    f = getattr(module, name)
    fitting = f(x, coords)
    locked = np.empty_like(fitting)
    locked.flags.writeable = False
    for wrong in (
        fitting[..., None], fitting[1:], fitting.astype(np.float32), fitting.tolist(), locked, 0.0,
    ):  # fmt: skip
        with pytest.raises(DataError, match=r"out does not fit; given: .*expected: .*float64 \("):
            f(x, coords, out=wrong)


def test_results_do_not_depend_on_the_layout_of_what_is_passed(module):
    coords, x, _ = start(module)
    many = np.stack([coords, coords * 1.001, coords])
    np.testing.assert_array_equal(module.score(x, np.asfortranarray(many)), module.score(x, many))
    np.testing.assert_array_equal(module.score(np.repeat(x, 2)[::2], many), module.score(x, many))


# ------------------------------------------------------------------------------ bad input


def functions_of_x(module):
    coords, _, _ = start(module)
    names = "log_density responsibilities score_samples log_likelihood score statistics em_step fit"
    return [(name, lambda x, name=name: getattr(module, name)(x, coords)) for name in names.split()]


BAD_X = {
    "nan": ([0.0, np.nan], r"x\[1\] is not finite; given: nan"),
    "inf": ([np.inf], r"x\[0\] is not finite; given: inf"),
    "empty": ([], "the sample x is empty"),
    "2-D": ([[1.0, 2.0]], "x has too many dimensions"),
    "text": ("abc", "x is not numeric"),
    "words": (["1", "2"], "x is not numeric"),
    "objects": (np.array([None, 1]), "x is not numeric"),
    "complex": ([1j], "x is not numeric"),
    "ragged": ([[1.0], [1.0, 2.0]], "x is not numeric"),
    "none": (None, "x is not numeric"),
    "masked": (np.ma.array([1.0, 2.0], mask=[0, 1]), "x has masked entries"),
    "dates": (np.array(["2020-01-01"], dtype="M8[D]"), "x is not numeric"),
}


@pytest.mark.parametrize("case", BAD_X)
def test_a_bad_sample_is_refused_everywhere(module, case):
    bad, text = BAD_X[case]
    for _, f in functions_of_x(module):
        with pytest.raises(DataError, match=text):
            f(bad)


def functions_of_coords(module):
    _, x, truth = start(module)
    rng = np.random.default_rng(0)
    out = [
        (n, lambda c, n=n: getattr(module, n)(x, c))
        for n in (
            "log_density responsibilities score_samples log_likelihood score statistics em_step fit"
        ).split()
    ]
    out += [
        (n, lambda c, n=n: getattr(module, n)(c))
        for n in ("to_model", "jacobian", "components", "fisher")
    ]
    out += [(n, lambda c, n=n: getattr(module, n)(c, truth)) for n in ("averaged_field", "kl")]
    out.append(("sample", lambda c: module.sample(c, 3, rng=rng)))
    if hasattr(module, "VIEW"):
        out.append(("to_view", module.to_view))
        out.append(("view_field", lambda c: module.view_field(c, truth)))
    return out


BAD_COORDS = {
    "nan": (lambda c: [np.nan, *c[1:]], DataError, r"coords\[0\] is not finite"),
    "inf": (lambda c: [*c[:-1], np.inf], DataError, r"coords\[\d+\] is not finite"),
    "too few": (lambda c: c[:-1], DataError, "coords has the wrong shape"),
    "transposed": (lambda c: np.tile(c, (4, 1)).T[:, :1], DataError, "coords has the wrong shape"),
    "scalar": (lambda c: 0.5, DataError, "coords has the wrong shape"),
    "empty": (lambda c: np.empty((0, c.size)), DataError, "coords is empty"),
    "text": (lambda c: ["a"] * c.size, DataError, "coords is not numeric"),
    "complex": (lambda c: c + 0j, DataError, "coords is not numeric"),
}


@pytest.mark.parametrize("case", BAD_COORDS)
def test_bad_coordinates_are_refused_everywhere(module, case):
    make, error, text = BAD_COORDS[case]
    coords, _, _ = start(module)
    for name, f in functions_of_coords(module):
        if name == "fit" and case == "empty":
            continue
        with pytest.raises(error, match=text):
            f(make(coords))


OUTSIDE = [
    ("identity", [0.5, 0.0, 1.0, 0.0, 1.0], r"sigma_1 is outside its domain; given: 0.0"),
    ("identity", [0.5, 0.0, 1.0, 1.0, -2.0], r"sigma_2 is outside its domain; given: -2.0"),
    ("identity", [-0.1, 0.0, 1.0, 1.0, 1.0], r"pi_1 is outside its domain; given: -0.1"),
    ("identity", [1.1, 0.0, 1.0, 1.0, 1.0], r"pi_1 is outside its domain; given: 1.1"),
    ("relative", [0.5, 0.0, -1e-9, 1.0, 1.0], r"Delta_1 is outside its domain; given: -1e-09"),
    ("log", [0.5, 0.0, 1.0, 1000.0, 0.0], r"sigma is not finite at these coordinates"),
    ("log", [0.5, 0.0, 1.0, 0.0, -1000.0], r"sigma of component 2 is not positive; given: 0.0"),
]


@pytest.mark.parametrize(("chart", "coords", "text"), OUTSIDE)
def test_coordinates_outside_the_domain_are_refused_everywhere(chart, coords, text):
    module = compiled("normal", 2, chart)
    for _, f in functions_of_coords(module):
        for given in (coords, [module.from_model([0.5, 0.0, 1.0, 1.0, 1.0]), coords]):
            if np.ndim(given) == 2 and f.__defaults__ == ("fit",):
                continue
            with pytest.raises(DomainError, match=text):
                f(given)


def test_weights_outside_the_simplex_are_refused():
    module = compiled("normal", 3)
    coords = [0.6, 0.5, 0.0, 1.0, 2.0, 1.0, 1.0, 1.0]
    for _, f in functions_of_coords(module):
        with pytest.raises(
            DomainError, match=r"the weight of component 3 is negative; given: -0\.1"
        ):
            f(coords)
    module.score(X, [0.6, 0.4 + 1e-16, *coords[2:]])  # a last weight of -1e-16 is rounding


@pytest.mark.parametrize("scale", [10**6, 10**10, 10**20, "1/3"], ids=str)
def test_fixed_numbers_are_floats_whatever_they_look_like(scale):
    """10¹⁰ squared is no int64: the Fisher information scales as it must."""
    module, unit = compiled("normal", 2, scales=scale), compiled("normal", 2, scales=1)
    size = module.FIXED["sigma_1"]
    assert {a.dtype for a in module.components([0.25, 0.0, size])} == {np.dtype(np.float64)}
    grow = np.array([1.0, 1.0 / size, 1.0 / size])
    expected = grow[:, None] * unit.fisher([0.25, 0.0, 1.0]) * grow
    np.testing.assert_allclose(module.fisher([0.25, 0.0, size]), expected, rtol=1e-12)
    x = size * X
    kept = module.em_step(x, [0.25, 0.0, size]) * [1.0, 1.0 / size, 1.0 / size]
    np.testing.assert_allclose(kept, unit.em_step(X, [0.25, 0.0, 1.0]), rtol=1e-13)


def test_absurd_but_finite_locations_are_no_warning():
    module, huge = compiled("normal", 2), np.finfo(float).max
    np.testing.assert_array_equal(module.to_model([0.5, huge, huge, 1, 1])[1], huge)
    with pytest.raises(DomainError, match="overflows"):
        module.score(X, [0.5, huge, huge, 1.0, 1.0])
    with pytest.raises(DomainError, match="mu is not finite"):
        compiled("normal", 2, "relative").score(X, [0.5, huge, huge, 1.0, 1.0])


@pytest.mark.parametrize(
    ("weights", "text"),
    [
        ([1.0, 1.0, -0.5, 1.0], "a weight is negative; given: -0.5"),
        (np.zeros(4), "the weights are all zero"),
        (
            np.ones(3),
            r"weights and x differ in shape; given: weights \(3,\); expected: shape \(4,\)",
        ),
        (np.ones((4, 2)), "weights has too many dimensions"),
        ([1, 1, np.nan, 1], r"weights\[2\] is not finite"),
        ("equal", "weights is not numeric"),
    ],
)
def test_bad_sample_weights_are_refused_everywhere(module, weights, text):
    coords, x, _ = start(module)
    for f in (module.log_likelihood, module.score, module.statistics, module.em_step):
        with pytest.raises(DataError, match=text):
            f(x, coords, weights)
    with pytest.raises(DataError, match=text):
        module.fit(x, coords, weights=weights)


@pytest.mark.parametrize(
    ("x", "shown"), [([0, 1.5], "1.5"), ([-1], "-1.0"), ([2.0, 1e-9], "1e-09")]
)
def test_counts_are_whole_and_not_negative(x, shown):
    for name, f in functions_of_x(compiled("poisson", 2)):
        with pytest.raises(DataError, match=f"x is not a count; given: {shown}"):
            f(x)
        assert name


# ------------------------------------------------------------------------------ truths


BAD_TRUTHS = [
    ("normal", ([0.5, 0.5],), DataError, "this is no truth; given: 1 arrays"),
    (
        "normal",
        ([0.5, 0.5], [0, 1], [1, 1], [1, 1]),
        DataError,
        "this is no truth; given: 4 arrays",
    ),
    ("normal", None, DataError, "this is no truth; given: NoneType"),
    ("normal", "N(0, 1)", DataError, "this is no truth; given: str"),
    ("normal", np.ones((3, 2)), DataError, "this is no truth; given: ndarray"),
    ("normal", ([0.5, 0.5], [0, 1], [1]), DataError, "the truth's arrays differ in shape"),
    ("normal", ([], [], []), DataError, "the truth's arrays differ in shape"),
    ("normal", ([[1.0]], [[0]], [[1]]), DataError, "the truth's arrays differ in shape"),
    ("normal", ([0.5, 0.5], [0, 1], [1, -1]), DomainError, r"truth sigma is not positive"),
    ("normal", ([0.5, 0.5], [0, 1], [1, 0]), DomainError, r"truth sigma is not positive"),
    ("normal", ([0.5, 0.6], [0, 1], [1, 1]), DomainError, "the truth's weights are no weights"),
    ("normal", ([1.5, -0.5], [0, 1], [1, 1]), DomainError, "the truth's weights are no weights"),
    ("normal", ([0.5, 0.5], [0, np.nan], [1, 1]), DataError, r"truth mu\[1\] is not finite"),
    ("normal", ([0.5, 0.5], ["a", "b"], [1, 1]), DataError, "truth mu is not numeric"),
    ("normal", ([], []), DataError, "the sample x is empty"),
    ("normal", ([0.0, 1.0], [0.5]), DataError, "weights and x differ in shape"),
    ("normal", ([0.0, 1.0], [0.5, -0.5]), DataError, "a weight is negative"),
    ("poisson", ([0.5, 0.5],), DataError, "this is no truth; given: 1 arrays"),
    ("poisson", ([1.0], [-1.0]), DomainError, "truth rate is not positive"),
    ("poisson", ([0.5, 0.4], [1.0, 2.0]), DomainError, "the truth's weights are no weights"),
]


@pytest.mark.parametrize(("family", "truth", "error", "text"), BAD_TRUTHS)
def test_a_bad_truth_is_refused_everywhere(family, truth, error, text):
    module = compiled(family, 2)
    coords, _, _ = start(module)
    for f in (module.averaged_field, module.kl):
        with pytest.raises(error, match=text):
            f(coords, truth)


def test_a_weighted_sample_has_no_divergence():
    module = compiled("normal", 2)
    coords, _, _ = start(module)
    with pytest.raises(DataError, match="a weighted sample has no density"):
        module.kl(coords, (X, np.ones(4)))


# ------------------------------------------------------------------------------ charts


@pytest.mark.parametrize("components", [2, 3, 5, 8])
@pytest.mark.parametrize("chart", ["identity", "relative", "square", "log"])
def test_charts_round_trip(components, chart):
    module = compiled("normal", components, chart)
    weights, means, scales = normals(components, seed=4)
    means = means + 0.2 * np.arange(components)
    given = theta(module, (weights, means, scales))
    coords = module.from_model(given)
    np.testing.assert_allclose(module.to_model(coords), given, rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(module.from_model(module.to_model(coords)), coords, rtol=1e-12)
    for found, row in zip(module.components(coords), (weights, means, scales), strict=True):
        np.testing.assert_allclose(found, row, rtol=1e-13, atol=1e-14)
    assert module.components(coords)[0].sum() == pytest.approx(1.0, abs=1e-15)


@pytest.mark.parametrize(
    ("components", "chart"),
    [(k, c) for k in (3, 5) for c in ("identity", "relative", "square", "log")]
    + [(1, "identity"), (1, "log")],
)
def test_the_jacobian_is_that_of_the_map(components, chart):
    module = compiled("normal", components, chart)
    weights, means, scales = normals(components, seed=5)
    coords = module.from_model(
        theta(module, (weights, means + 0.3 * np.arange(components), scales))
    )
    steps = 1e-5 * np.eye(coords.size)
    slopes = (module.to_model(coords + steps) - module.to_model(coords - steps)) / 2e-5
    np.testing.assert_allclose(module.jacobian(coords), slopes.T, atol=1e-9)


def test_theta_off_the_image_is_refused_by_name():
    for chart, given in (("relative", "Delta_1 = -1.0"), ("square", "no real Delta_1")):
        module = compiled("normal", 2, chart)
        with pytest.raises(DomainError, match=f"given: mu_1 = .*, mu_2 = .*, so {given}"):
            module.from_model([0.5, 1.0, 0.0, 1.0, 1.0])
    with pytest.raises(DataError, match="theta has the wrong shape"):
        module.from_model([0.5, 1.0, 0.0])
    with pytest.raises(DataError, match=r"theta\[0\] is not finite"):
        module.from_model([np.nan, 1.0, 2.0, 1.0, 1.0])
    with pytest.raises(DomainError, match="sigma of component 1 is not positive"):
        module.from_model([0.5, 1.0, 2.0, -1.0, 1.0])
    with pytest.raises(DomainError, match="the weight of component 2 is negative"):
        module.from_model([1.5, 1.0, 2.0, 1.0, 1.0])


def test_a_chart_without_an_inverse_says_so():
    model = rs.mixture("normal", components=2, weights="1/2", scales=1)
    curved = rs.chart(model, {"mu_1": "m*exp(m)", "mu_2": "m + sin(m)"})
    low = rs.derive(model, curved, name="low").compile()
    assert low.score(X, [0.5]).shape == (1,)
    with pytest.raises(NoInverseError, match="no inverse was found for m"):
        low.from_model([0.0, 1.0])
    step = low.em_step(X, [0.5], full_output=True)  # Q is climbed in m itself
    assert step.residual <= 1e-14
    assert low.fit(X, [0.5]).converged


def test_the_inverse_of_fewer_coordinates_holds_on_the_image_only():
    model = rs.mixture("normal", components=2, weights="1/2", scales=1)
    chart = rs.chart(model, {"mu_1": "m", "mu_2": "m + 1"})
    low = rs.derive(model, chart, name="low").compile()
    np.testing.assert_array_equal(low.from_model([0.25, 1.25]), [0.25])
    np.testing.assert_array_equal(low.from_model([0.0, 1.0]), [0.0])
    with pytest.raises(DomainError, match=r"not in the image of the chart.*given: mu_2 = 3.0"):
        low.from_model([0.25, 3.0])
    r = low.responsibilities(X, [0.5])  # the maximiser along the line: a weighted mean
    want = (r[:, 0] * X + r[:, 1] * (np.asarray(X) - 1)).mean()
    np.testing.assert_allclose(low.em_step(X, [0.5]), [want], rtol=0, atol=1e-15)
    assert low.fit(X, [0.5]).converged


def test_a_map_of_ones_own():
    module = compiled("normal", 2, "own", scales=1)
    v, w, u = 0.3, 0.5, -1.5
    np.testing.assert_allclose(
        module.to_model([v, w, u]), [v, w + (1 - v) * u, w - v * u], rtol=1e-15
    )
    np.testing.assert_allclose(module.from_model(module.to_model([v, w, u])), [v, w, u], rtol=1e-14)
    assert set(OWN) == set(module.PARAMETERS)


# ------------------------------------------------------------------------------ views, draws


def test_a_view_is_its_functions_and_pushes_the_field_by_its_jacobian():
    module = viewed().compile()
    coords, _, truth = start(module)
    many = np.stack([coords, coords * 1.1])
    pi, mu, gap = many[:, 0], many[:, 1], many[:, 2]
    np.testing.assert_allclose(
        module.to_view(many), np.stack([pi, pi * mu + (1 - pi) * (mu + gap)], axis=1), rtol=1e-15
    )
    zero, one = np.zeros(2), np.ones(2)
    jacobian = np.stack(
        [np.stack([one, zero, zero, zero, zero]), np.stack([-gap, one, 1 - pi, zero, zero])]
    )
    expected = np.einsum("fpb,bp->bf", jacobian, module.averaged_field(many, truth))
    np.testing.assert_allclose(module.view_field(many, truth), expected, rtol=1e-13, atol=1e-16)


@pytest.mark.parametrize("family", ["normal", "poisson"])
def test_draws_have_the_models_distribution(family):
    module = compiled(family, 2)
    coords, _, _ = start(module)
    weights, *parameters = module.components(coords)
    draws = module.sample(coords, 20_000, rng=0)
    if family == "normal":
        law = lambda x: weights @ stats.norm.cdf(x, *(p[:, None] for p in parameters))  # noqa: E731
        assert stats.kstest(draws, law).pvalue > 1e-3
    else:
        counts = np.bincount(draws.astype(int), minlength=8)[:8]
        rates = 20_000 * weights @ stats.poisson.pmf(np.arange(8), parameters[0][:, None])
        assert (np.abs(counts - rates) < 4.5 * np.sqrt(rates)).all()


def test_draws_of_a_batch_and_of_a_component_without_weight():
    module = compiled("normal", 2)
    coords = np.array([[0.0, -50.0, 1.0, 1.0, 1.0], [1.0, -50.0, 1.0, 1.0, 1.0]])
    draws = module.sample(coords, 1000, rng=0)
    assert (draws[0] > -10).all()
    assert (draws[1] < -10).all()
    again = module.sample(coords, 1000, rng=0)
    np.testing.assert_array_equal(draws, again)


@pytest.mark.parametrize(
    "rng",
    [-1, 1.5, True, None, np.random.RandomState(0), np.random],
    ids=lambda r: type(r).__name__,
)
def test_an_rng_that_is_neither_seed_nor_generator_is_refused(module, rng):
    coords, _, _ = start(module)
    with pytest.raises(DataError, match="rng is no source of random numbers"):
        module.sample(coords, 3, rng=rng)


def test_a_seed_is_its_generator_in_draws_and_in_starts(module):
    coords, _, _ = start(module)
    draws = module.sample(coords, 200)
    for rng in (0, np.int64(0), np.random.default_rng(0)):
        np.testing.assert_array_equal(module.sample(coords, 200, rng=rng), draws)
    first, second = (
        module.fit(draws, "random", rng=rng, max_iter=3).coords
        for rng in (5, np.random.default_rng(5))
    )
    np.testing.assert_array_equal(first, second)
    generator = np.random.default_rng(0)
    assert (module.sample(coords, 200, rng=generator) == draws).all()
    assert (module.sample(coords, 200, rng=generator) != draws).any(), "a generator goes on"


@pytest.mark.parametrize("n", [0, -1, 2.0, "3", None, True, [3]], ids=repr)
def test_a_number_of_draws_that_is_none_is_refused(module, n):
    coords, _, _ = start(module)
    with pytest.raises(DataError, match="n is not a number of draws"):
        module.sample(coords, n, rng=0)


def test_a_rate_that_numpy_cannot_draw_from_is_refused():
    with pytest.raises(DomainError, match="no draw: lam value too large"):
        compiled("poisson", 2).sample([0.5, 1e20, 2.0], 3, rng=0)


# ------------------------------------------------------------------------------ what it is


def test_a_module_says_what_it_is(module):
    coords, _, _ = start(module)
    assert len(module.COORDINATES) == coords.size
    assert all(isinstance(n, str) for n in (*module.COORDINATES, *module.PARAMETERS))
    assert module.CONSTANTS == ()
    assert isinstance(module.FIXED, dict)
    assert compiled("normal", 2, scales=1).FIXED == {"sigma_1": 1.0, "sigma_2": 1.0}


def test_every_error_is_of_the_family():
    assert all(issubclass(e, RelrepError) for e in (DataError, DomainError, NoInverseError))
    assert issubclass(DataError, ValueError)


def test_importing_a_generated_module_loads_numpy_alone(tmp_path):
    """In a fresh interpreter: no SymPy, mpmath, SciPy or Jinja."""
    derived("normal", 2, "relative").write(tmp_path / "fresh.py")
    script = """
        import sys
        import fresh

        assert fresh.score([0.0, 1.0], [0.5, 0.0, 1.0, 1.0, 1.0]).shape == (5,)
        fresh.fisher([0.5, 0.0, 1.0, 1.0, 1.0])
        fresh.kl([0.5, 0.0, 1.0, 1.0, 1.0], ([1.0], [0.0], [1.0]))
        fresh.fit([0.0, 1.0, 3.0, 4.0, 4.5], [0.5, 0.0, 1.0, 1.0, 1.0])
        heavy = {"sympy", "mpmath", "scipy", "jinja2", "matplotlib", "click"}
        assert not heavy & set(sys.modules), heavy & set(sys.modules)
        floors = {m.split(".")[1] for m in sys.modules if m.startswith("relrep_sym.")}
        assert floors == {"errors", "runtime"}, floors
    """
    (tmp_path / "load.py").write_text(textwrap.dedent(script))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "load"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_a_view_shows_learning_with_a_rate_for_each_coordinate():
    model = rs.mixture("normal", components=3, scales=1)
    chart = rs.relative(model, "mu", gap="exp", clearance="lam")
    seen = rs.view(chart, {"low": "mu_1", "width": "mu_3 - mu_1", "share": "pi_1*pi_2"})
    k = rs.derive(model, chart, view=seen).compile()
    coords, truth = [0.2, 0.3, -1.0, 0.1, 0.4], ([0.5, 0.5], [-1.0, 2.0], [1.0, 1.0])
    rates = np.array([1.0, 0.5, 2.0, 0.25, 3.0])
    speed = rates * k.averaged_field(coords, truth, lam=0.1)
    step = 1e-6
    moved = k.to_view(coords + step * speed, lam=0.1) - k.to_view(coords - step * speed, lam=0.1)
    found = k.view_field(coords, truth, rates, lam=0.1)
    np.testing.assert_allclose(found, moved / (2 * step), rtol=1e-8)
    with pytest.raises(DataError, match="rates has the wrong shape"):
        k.view_field(coords, truth, [1.0, 2.0], lam=0.1)
    with pytest.raises(DataError, match="rates is too small"):
        k.view_field(coords, truth, 0.0, lam=0.1)
