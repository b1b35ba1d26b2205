"""Every function of a module takes a sample as a column and coordinates by name."""

from __future__ import annotations

import inspect
import warnings
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

import relrep_sym as rs
from relrep_sym.errors import DataError

X = np.random.default_rng(3).poisson(2.0, 60).astype(float)
W = np.arange(1.0, 61.0)
OPTIONS: dict[str, dict[str, Any]] = {
    "fit": {"max_iter": 3},
    "flow": {"times": [0.0, 0.1]},
    "sample": {"n": 5},
    "gradient_em_step": {"rate": 0.01},
    "covariance": {"kind": "opg"},
    "standard_errors": {"kind": "opg"},
    "confidence_intervals": {"kind": "opg"},
}


@cache
def kernel(family: str) -> rs.Kernel:
    model = rs.mixture(family, components=2)
    role = model.family.parameters[0].name
    chart = rs.relative(model, role, clearance="lam")
    functions = {"a": f"{role}_1", "b": f"{role}_2 - {role}_1"}
    return rs.derive(model, chart, view=rs.view(chart, functions), name="arguments").compile()


def values(k: rs.Kernel) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates and their θ."""
    coords = np.array([0.4, 1.0, 1.5, 1.0, 1.5][: len(k.COORDINATES)])
    return coords, k.to_model(coords, lam=0.25)


def called(k: rs.Kernel, name: str, **changed: Any) -> Any:
    """The function at the usual arguments, some of them changed."""
    coords, theta = values(k)
    truth = k.components(coords, lam=0.25)
    usual = {"x": X, "weights": W, "coords": coords, "start": coords, "theta": theta}
    usual |= {"truth": truth, "lam": 0.25} | OPTIONS.get(name, {})
    wanted = inspect.signature(getattr(k, name)).parameters
    given = {n: v for n, v in (usual | changed).items() if n in wanted}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rs.RelrepWarning)
        out = getattr(k, name)(**given)
    return out.coords if name == "fit" else out


def same(one: Any, other: Any) -> None:
    pairs = zip(one, other, strict=True) if isinstance(one, tuple) else [(one, other)]
    for a, b in pairs:
        np.testing.assert_array_equal(a, b, strict=True)


FUNCTIONS = [n for n in dir(kernel("poisson")) if n.islower() and n != "source"]


@pytest.mark.parametrize("family", ["poisson", "normal"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_arguments_in_every_form_are_the_same_arguments(family: str, name: str) -> None:
    k = kernel(family)
    coords, theta = values(k)
    plain = called(k, name)
    by_name = MappingProxyType(dict(zip(k.COORDINATES, coords, strict=True)))
    backward = dict(reversed(list(zip(k.PARAMETERS, theta, strict=True))))
    if name == "ecm_rates":  # a record of orders and numbers
        assert called(k, name, coords=by_name, x=X[:, None]) == plain
        return
    same(plain, called(k, name, x=X[:, None], weights=W[:, None]))
    same(plain, called(k, name, coords=by_name, start=dict(by_name), theta=backward))
    for wrong in ({"x": np.stack([X, X], 1)}, {"coords": {"nonsense": 1.0}}):
        if next(iter(wrong)) in inspect.signature(getattr(k, name)).parameters:
            with pytest.raises(DataError, match=r"one-dimensional|has no entry"):
                called(k, name, **wrong)
