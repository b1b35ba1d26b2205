"""What enters a kernel: accepted in every harmless form, refused in words otherwise."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
import pytest

from relrep_sym.errors import DataError, DomainError
from relrep_sym.runtime import check

NAMES, LOWER, UPPER, OPEN = ("v", "s", "m"), (0.0, 0.0, -np.inf), (1.0, np.inf, np.inf), (0, 1, 0)
LARGEST = np.finfo(float).max


def rows(coords):
    return check.coordinates(coords, NAMES, LOWER, UPPER, [bool(o) for o in OPEN])


# ------------------------------------------------------------------------------ numbers


@pytest.mark.parametrize(
    "value",
    [1, 1.5, True, [1, 2], (1, 2.5), np.float32([1, 2]), np.uint8([3]), np.ma.array([1.0]), []],
    ids=repr,
)
def test_real_numbers_of_any_kind_become_float64(value):
    found = check.numbers(value, "x")
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, np.asarray(value, dtype=float))


def test_float64_is_not_copied():
    x = np.arange(3.0)
    assert check.numbers(x, "x") is x


@pytest.mark.parametrize(
    "value",
    ["abc", ["1", "2"], [1j], np.array([None, 1]), [[1], [1, 2]], None, {}, object(), 10**400],
    ids=lambda v: type(v).__name__,
)
def test_what_is_not_real_numbers_is_refused_by_name(value):
    with pytest.raises(DataError, match=r"^coords is not numeric; given: .*real numbers$"):
        check.numbers(value, "coords")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_is_named_with_its_place(bad):
    x = np.zeros((2, 3))
    x[1, 2] = bad
    with pytest.raises(DataError, match=rf"x\[1, 2\] is not finite; given: {bad}"):
        check.numbers(x, "x")


def test_infinities_of_both_signs_are_found():
    with pytest.raises(DataError, match=r"x\[0\] is not finite"):
        check.numbers([np.inf, -np.inf], "x")


def test_the_largest_numbers_are_finite():
    np.testing.assert_array_equal(check.numbers([LARGEST, LARGEST], "x"), LARGEST)
    np.testing.assert_array_equal(check.numbers([-LARGEST, LARGEST], "x"), [-LARGEST, LARGEST])


@pytest.mark.skipif(np.finfo(np.longdouble).max == LARGEST, reason="long double is double here")
def test_what_overflows_in_float64_is_not_finite():
    with pytest.raises(DataError, match=r"x\[0\] is not finite"):
        check.numbers(np.array([np.longdouble("1e400")]), "x")


# ------------------------------------------------------------------------------ samples


@pytest.mark.parametrize("x", [2.0, [2.0], np.array([2.0])], ids=["scalar", "list", "array"])
def test_a_scalar_is_a_sample_of_one(x):
    assert check.sample(x, "line").shape == (1,)


def test_a_strided_sample_is_made_contiguous():
    found = check.sample(np.arange(10.0)[::-3], "line")
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, [9.0, 6.0, 3.0, 0.0])


@pytest.mark.parametrize(
    ("x", "support", "text"),
    [
        ([], "line", "the sample x is empty"),
        (
            [[1.0, 2.0]],
            "line",
            r"x has too many dimensions; given: shape \(1, 2\).*one-dimensional",
        ),
        (np.zeros((4, 2)), "line", r"x has too many dimensions; given: shape \(4, 2\)"),
        (np.zeros((4, 1, 1)), "line", "x has too many dimensions"),
        ([0, 1, 2.5], "integers", "x is not a count; given: 2.5"),
        ([0, -3], "integers", "x is not a count; given: -3.0"),
        ([1.0, -0.5], "half-line", "x is negative; given: -0.5"),
    ],
)
def test_a_sample_that_cannot_be_is_refused(x, support, text):
    with pytest.raises(DataError, match=text):
        check.sample(x, support)


class Frame:
    """A column of a data frame, as pandas and polars hand their numbers out."""

    def __init__(self, values, *, nullable=False):
        self.values, self.nullable = np.asarray(values, dtype=float), nullable

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype=object if self.nullable else dtype)

    def to_numpy(self, dtype=None):
        return self.values.astype(dtype)


@pytest.mark.parametrize(
    "x",
    [
        np.array([[1.0], [2.0], [4.0]]),
        [[1.0], [2.0], [4.0]],
        Frame([1, 2, 4]),
        Frame([[1], [2], [4]]),
        Frame([[1], [2], [4]], nullable=True),
    ],
    ids=["array", "lists", "series", "frame", "nullable"],
)
def test_a_single_column_is_a_sample_and_weights(x):
    np.testing.assert_array_equal(check.sample(x, "integers"), [1.0, 2.0, 4.0])
    np.testing.assert_array_equal(check.sample_weights(x, 3), np.array([1.0, 2.0, 4.0]) / 7)


# ------------------------------------------------------------------------------ weights


def test_weights_are_normalised():
    np.testing.assert_array_equal(check.sample_weights([1, 3], 2), [0.25, 0.75])
    assert check.sample_weights(None, 2) is None


@pytest.mark.parametrize("top", [5e-324, 1e-300, 1e300, LARGEST])
def test_tiny_and_huge_weights_normalise_too(top):
    np.testing.assert_array_equal(check.sample_weights([top, top], 2), [0.5, 0.5])


@pytest.mark.parametrize(
    ("weights", "text"),
    [
        ([1.0, -1e-9], "a weight is negative; given: -1e-09"),
        ([0.0, 0.0], "the weights are all zero"),
        ([1.0], r"weights and x differ in shape; given: weights \(1,\)"),
        ([[1.0, 1.0]], "weights has too many dimensions"),
        ([[1.0]], "weights and x differ in shape"),
        (2.0, "weights and x differ in shape"),
        ([np.nan, 1.0], r"weights\[0\] is not finite"),
        (["a", "b"], "weights is not numeric"),
    ],
)
def test_weights_that_cannot_be_are_refused(weights, text):
    with pytest.raises(DataError, match=text):
        check.sample_weights(weights, 2)


# ------------------------------------------------------------------------------ coordinates


class Labelled:
    """A row with labels, such as a pandas Series."""

    def __init__(self, labels, values):
        self.entries = dict(zip(labels, values, strict=True))

    def keys(self):
        return self.entries.keys()

    def __getitem__(self, key):
        return self.entries[key]

    def __array__(self, dtype=None, copy=None):
        return np.array(list(self.entries.values()), dtype=dtype)


@pytest.mark.parametrize("kind", [dict, MappingProxyType, lambda d: Labelled(d.keys(), d.values())])
def test_coordinates_by_name_are_put_in_order(kind):
    found = rows(kind({"m": 2.0, "v": 0.5, "s": [1.0, 3.0]}))
    np.testing.assert_array_equal(found.rows, [[0.5, 0.5], [1.0, 3.0], [2.0, 2.0]])
    assert found.shape == (2,)


def test_a_row_labelled_by_place_is_an_array():
    assert rows(Labelled(range(3), [0.5, 1.0, 2.0])).rows.ravel().tolist() == [0.5, 1.0, 2.0]


@pytest.mark.parametrize(
    ("coords", "text"),
    [
        ({"v": 0.5, "m": 2.0}, "coords has no entry s; given: v, m; expected: an entry for each"),
        ({"v": 0.5, "m": 2.0, "s": 1.0, "w": 0}, "coords has an entry that is no name here: w"),
        ({}, "coords has no entry v; given: nothing"),
        ({"v": 0.5, "m": "2.0", "s": 1.0}, r"coords\['m'\] is not numeric"),
        ({"v": 0.5, "m": np.nan, "s": 1.0}, r"coords\['m'\] is not finite"),
        ({"v": [0.5, 0.5], "m": [1.0, 2.0, 3.0], "s": 1.0}, "entries of coords differ in shape"),
    ],
)
def test_coordinates_by_name_that_cannot_be_are_refused(coords, text):
    with pytest.raises(DataError, match=text):
        rows(coords)


def test_coordinates_become_rows_with_the_leading_shape():
    found = rows(np.full((4, 2, 3), 0.5))
    assert found.shape == (4, 2)
    assert found.rows.shape == (3, 8)
    assert found.rows.flags.c_contiguous
    assert rows([0.5, 1.0, 2.0]).shape == ()


@pytest.mark.parametrize(
    ("coords", "text"),
    [
        (
            0.5,
            r"coords has the wrong shape; given: shape \(\); expected: .* for \(v, s, m\)",
        ),
        ([0.5, 1.0], "coords has the wrong shape"),
        ([[0.5], [1.0], [2.0]], "coords has the wrong shape"),
        (np.empty((0, 3)), "coords is empty"),
        (["a", "b", "c"], "coords is not numeric"),
        ([0.5, 1.0, np.inf], r"coords\[2\] is not finite"),
    ],
)
def test_coordinates_of_a_wrong_form_are_refused(coords, text):
    with pytest.raises(DataError, match=text):
        rows(coords)


@pytest.mark.parametrize(
    ("coords", "text"),
    [
        ([-1e-9, 1.0, 0.0], r"v is outside its domain; given: -1e-09; expected: \[0.0, 1.0\]"),
        ([1.0 + 1e-9, 1.0, 0.0], r"v is outside its domain; given: 1.000000001"),
        ([0.5, 0.0, 0.0], r"s is outside its domain; given: 0.0; expected: \(0.0, inf"),
        ([[0.5, 1.0, 0.0], [0.5, -2.0, 0.0]], r"s is outside its domain; given: -2.0"),
        ([[0.5, 1.0, 0.0], [2.0, 1.0, 0.0]], r"v is outside its domain; given: 2.0"),
    ],
)
def test_coordinates_outside_their_domain_are_named(coords, text):
    with pytest.raises(DomainError, match=text):
        rows(coords)


def test_the_ends_of_a_closed_domain_belong_to_it():
    assert rows([[0.0, 1.0, 0.0], [1.0, 5e-324, -LARGEST]]).shape == (2,)
