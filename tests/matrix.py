"""The matrix: charts, families, numbers of components and truths, a cell each.

A family joins by a line in ``FAMILIES``, a chart by one in ``CHARTS``. A cell's certificate holds
the functions that its truth is for at an ordinary point and where two components merge, by the
oracle; where weights are mapped, also where one of them is 1e-12.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from types import ModuleType

import sympy as sp

import relrep_sym as rs
from relrep_sym.certify import _Bound, _Judge, _keywords, _located
from relrep_sym.declare.chart import Chart, held, with_constants
from relrep_sym.declare.domains import domain
from relrep_sym.declare.model import Mixture
from relrep_sym.errors import ChartWarning
from relrep_sym.oracle_input import components_of, oracle_of
from relrep_sym.runtime.expectation import Nodes
from relrep_sym.verify.certificate import Case, Certificate, certify
from relrep_sym.verify.oracle import OracleAt
from relrep_sym.verify.points import Point

DIGITS = 25
SECONDS = 600.0

FAMILIES: dict[str, Callable[[int], Mixture]] = {
    "normal": lambda count: rs.mixture("normal", components=count),
    "poisson": lambda count: rs.mixture("poisson", components=count),
    "exponential": lambda count: rs.mixture("exponential", components=count),
    "laplace": lambda count: rs.mixture("laplace", components=count),
    "gamma": lambda count: rs.mixture("gamma", components=count),
}


def first(on: Mixture | Chart) -> str:
    """The family parameter that components are put in order by."""
    model = on.model if isinstance(on, Chart) else on
    return model.family.parameters[0].name


def positive(model: Mixture) -> str:
    """The family's last positive parameter."""
    found = [p.name for p in model.family.parameters if p.domain == domain("positive")]
    return found[-1]


def relative(on: Mixture | Chart, **options: object) -> Chart:
    return rs.relative(on, first(on), **options)  # type: ignore[arg-type]


def spread(model: Mixture) -> Chart:
    """The first parameter as a polynomial in the component's number, of full degree."""
    count = model.components
    middle = sp.Rational(count - 1, 2)
    rows = [[(k - middle) ** j for j in range(count)] for k in range(count)]
    return rs.affine(model, rows, offset="shift", parameter=first(model))


def grown(model: Mixture) -> Chart:
    """A map of a chart's coordinates: gaps as exponentials, each scaled by the one before."""
    chart = relative(model)
    gaps = [n for n in chart.names if n.startswith("Delta")]
    rules = {gaps[0]: "exp(rho_1)"}
    for j in range(2, len(gaps) + 1):
        rules[gaps[j - 1]] = f"exp(rho_{j - 1} + rho_{j})"
    return rs.chart(chart, rules)


def centred(model: Mixture) -> Chart:
    """Deviations from the mixture's mean of the first parameter: weights are mixed into it."""
    name, count = first(model), model.components
    mean = " + ".join(f"pi_{k}*u_{k}" for k in range(1, count))
    rules = {p.name: p.name for p in model.parameters}
    for k in range(1, count):
        rules[f"{name}_{k}"] = f"w + u_{k} - ({mean})"
    rules[f"{name}_{count}"] = f"w - ({mean})"
    return rs.chart(model, rules)


def half(model: Mixture) -> Chart:
    """A relative chart in which every second coordinate is held."""
    chart = relative(model, gap="exp")
    return held(chart, list(chart.names[::2]))


def every(model: Mixture) -> Chart:
    return rs.relative(model, [p.name for p in model.family.parameters])


def scaled(model: Mixture) -> Chart:
    """Ratios of a positive parameter from one component to the next."""
    name = positive(model)
    return rs.relative(rs.log(model, name), f"log_{name}", gap="square")


CHARTS: dict[str, Callable[[Mixture], Chart]] = {
    "identity": rs.identity,
    "plain": relative,
    "square, constant": partial(relative, gap="square", clearance="lam"),
    "exp": partial(relative, gap="exp"),
    "softplus, constant": partial(relative, gap="softplus", clearance="lam"),
    "from the last": partial(relative, reference="last"),
    "from the last, exp, constant": partial(
        relative, reference="last", gap="exp", clearance="lam/2"
    ),
    "every parameter": every,
    "log": lambda model: rs.log(model, positive(model)),
    "ratios": scaled,
    "softmax": rs.softmax,
    "softmax, constant": partial(rs.softmax, clearance="lam"),
    "stick": rs.stick_breaking,
    "stick, cleared": partial(rs.stick_breaking, clearance="1/32"),
    "cleared": partial(rs.cleared, clearance="lam"),
    "relative @ softmax": lambda model: relative(model) @ rs.softmax(model),
    "square @ stick": lambda model: relative(rs.stick_breaking(model), gap="square"),
    "log @ softmax, constant": lambda model: (
        rs.log(model, positive(model)) @ rs.softmax(model, clearance="lam")
    ),
    "affine": spread,
    "own on relative": grown,
    "own, mixed": centred,
    "half held": half,
}
ROUGH = ("laplace",)
"""Families that have no second derivatives."""
ON_WEIGHTS = ("softmax", "stick")
COUNTS = (2, 3, 5)
TRUTHS = ("in the model", "out of it", "weighted sample")


@dataclass(frozen=True)
class Cell:
    """A place in the matrix."""

    family: str
    chart: str
    components: int
    truth: str

    def __str__(self) -> str:
        return f"{self.family} {self.components}, {self.chart}, {self.truth}"


CELLS = [Cell(f, c, k, t) for f in FAMILIES for c in CHARTS for k in COUNTS for t in TRUTHS]


@cache
def derived(family: str, chart: str, components: int) -> tuple[rs.Derivation, ModuleType]:
    """A derivation and its module, made once for all truths."""
    model = FAMILIES[family](components)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ChartWarning)
        derivation = rs.derive(model, CHARTS[chart](model), name="cell")
    return derivation, derivation.compile()


def near(point: Point) -> tuple[tuple[float, ...], ...]:
    """A truth in the model: as many components, each near one of the point's."""
    count = len(point.weights)
    weights = {2: (0.25, 0.75), 3: (0.25, 0.25, 0.5), 5: (0.125, 0.125, 0.25, 0.25, 0.25)}[count]
    rows = zip(*point.parameters, strict=True)
    return (weights, *(tuple(1.125 * v + 0.0625 for v in row) for row in rows))


def cases(cell: Cell) -> Iterator[Case]:
    """The functions that the cell's truth is for, at the points that are for it."""
    derivation, module = derived(cell.family, cell.chart, cell.components)
    declared = derivation.chart
    oracle = replace(oracle_of(declared), digits=DIGITS, seconds=SECONDS)
    wanted = ["ordinary", "merging 1e-6"]
    if cell.chart in ON_WEIGHTS and cell.truth == "weighted sample":
        wanted += ["first weight 1e-12", "last weight 1e-12"]
    for point, coords, constants in _located(derivation, module, full=True):
        if point.name not in wanted:
            continue
        wanted.remove(point.name)
        exact = {n: sp.Rational(v) for n, v in constants.items()}
        chart = with_constants(declared, exact) if constants else declared
        at = _Judge(replace(oracle, components=components_of(chart)).at(coords), chart, coords)
        kernels = _Bound(module, _keywords(declared, constants))
        shown = "; ".join([str(at), *(f"{n} = {v!r}" for n, v in constants.items())])
        for name, kernel, judge in functions(cell, kernels, at, point, coords):
            yield Case(name, point.name, kernel, judge, shown, oracle.digits)
    assert not wanted, f"{cell}: not reached: {wanted}"


def functions(
    cell: Cell, k: _Bound, at: _Judge | OracleAt, point: Point, coords: list[float]
) -> Iterator[tuple[str, Callable[[], object], Callable[[], object]]]:
    x, w = point.sample, point.sample_weights
    if cell.truth == "weighted sample":
        yield "score", lambda: k.score(x, coords, w), lambda: at.score(x, w)
        sample = Nodes(x, w)  # type: ignore[arg-type]
        yield "averaged_field", lambda: k.averaged_field(coords, sample), lambda: at.score(x, w)
        if cell.components < 5 and cell.family not in ROUGH:
            yield "hessian", lambda: k.hessian(x, coords, w), lambda: at.hessian(x, w)
        return
    # beyond two components each integral is taken at one of the points, for the oracle's time
    few, ordinary = cell.components > 2, point.name == "ordinary"
    truth = near(point) if cell.truth == "in the model" else point.truth
    if not few or ordinary != (cell.truth == "in the model"):
        yield (
            "averaged_field",
            lambda: k.averaged_field(coords, truth),
            lambda: at.averaged_field(truth),
        )
    if cell.truth == "in the model":
        if not few or ordinary:
            yield "kl", lambda: k.kl(coords, truth), lambda: at.kl(truth)
    elif cell.components == 2 or (cell.family != "normal" and ordinary):
        yield "fisher", lambda: k.fisher(coords), at.fisher


def certificate(cell: Cell) -> Certificate:
    """The cell's measured errors."""
    return certify(str(cell), cases(cell))
