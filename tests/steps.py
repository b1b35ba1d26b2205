"""Q from its definition, and charts and samples to try steps of learning on.

Nothing here was derived: a component's log-density is SciPy's, a chart's map is the one that was
declared, and responsibilities are weights times densities over their sum.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from types import ModuleType

import numpy as np
import sympy as sp
from scipy import special, stats

import relrep_sym as rs
from relrep_sym.declare.chart import Chart
from relrep_sym.declare.model import Mixture
from relrep_sym.errors import ChartWarning

LOG_DENSITY: dict[str, Callable[..., np.ndarray]] = {
    "normal": lambda x, m, s: stats.norm.logpdf(x, m, s),
    "poisson": lambda x, r: stats.poisson.logpmf(x, r),
    "exponential": lambda x, r: stats.expon.logpdf(x, scale=1 / r),
    "gamma": lambda x, a, s: stats.gamma.logpdf(x, a, scale=s),
}
TERMS: dict[str, Callable[..., np.ndarray]] = {
    "gamma": lambda x, a, s: (
        np.abs(a * np.log(x)) + np.abs(a * np.log(s)) + np.abs(special.gammaln(a)) + x / s
    ),
}
"""What log-densities are sums of, in absolute values, where these are larger than the sums."""
DECLARED = {
    "Softplus": lambda a: np.logaddexp(0.0, a),
    "Logistic": special.expit,
    "LogTotal": lambda *a: special.logsumexp([0.0, *a]),
}
"""The language's own functions, by their definitions."""
MODELS: dict[str, Callable[[int], Mixture]] = {
    "normal": lambda count: rs.mixture("normal", components=count),
    "normal, tied": lambda count: rs.mixture("normal", components=count, scales="tied"),
    "normal, unit": lambda count: rs.mixture("normal", components=count, scales=1),
    "poisson": lambda count: rs.mixture("poisson", components=count),
    "exponential": lambda count: rs.mixture("exponential", components=count),
    "gamma": lambda count: rs.mixture("gamma", components=count),
}


def first(model: Mixture) -> str:
    return model.family.parameters[0].name


def last(model: Mixture) -> str:
    return model.family.parameters[-1].name


def relative(model: Mixture, **options: object) -> Chart:
    return rs.relative(model, first(model), **options)  # type: ignore[arg-type]


CHARTS: dict[str, Callable[[Mixture], Chart]] = {
    "identity": rs.identity,
    "plain": relative,
    "cleared": partial(relative, clearance="3/4"),
    "square": partial(relative, gap="square", clearance="1/4"),
    "from the last": partial(relative, reference="last", clearance="1/2"),
    "softmax": rs.softmax,
    "weights cleared": partial(rs.cleared, clearance="1/16"),
    "scales in order": lambda model: rs.relative(model, last(model), clearance="1/8"),
}

MORE: dict[str, Callable[[Mixture], Chart]] = {
    **CHARTS,
    "exp": partial(relative, gap="exp"),
    "softplus": partial(relative, gap="softplus", clearance="1/8"),
    "stick": rs.stick_breaking,
    "log": lambda model: rs.log(model, last(model)),
    "every parameter": lambda model: rs.relative(model, [p.name for p in model.family.parameters]),
    "ordered, stick, log": lambda model: rs.relative(
        rs.stick_breaking(rs.log(model, last(model))), first(model)
    ),
}


@dataclass(frozen=True)
class Stated:
    """A module with what it is judged by."""

    chart: Chart
    module: ModuleType
    log_density: Callable[..., np.ndarray]
    mixture: Callable[[np.ndarray], tuple[np.ndarray, list[np.ndarray]]]

    def logs(self, x: np.ndarray, coords: np.ndarray) -> np.ndarray:
        """log π_k f(x | φ_k), (K, N); −∞ where the coordinates are those of no mixture."""
        weights, phis = self.mixture(coords)
        with np.errstate(all="ignore"):
            logs = np.array([self.log_density(x, *phi) for phi in zip(*phis, strict=True)])
            logs = logs + np.log(np.where(weights > 0, weights, 0))[:, None]
        return np.where(np.isnan(logs), -np.inf, logs)

    def log_likelihood(self, x: np.ndarray, coords: np.ndarray, w: np.ndarray) -> float:
        return float(w / w.sum() @ special.logsumexp(self.logs(x, coords), axis=0))

    def q(self, x: np.ndarray, old: np.ndarray, w: np.ndarray) -> Callable[[np.ndarray], float]:
        """Q(· | old) = Σ_n w_n Σ_k r_k(x_n) log(π_k f(x_n | φ_k))."""
        logs = self.logs(x, old)
        share = np.exp(logs - special.logsumexp(logs, axis=0)) * (w / w.sum())

        def value(coords: np.ndarray) -> float:
            found = self.logs(x, coords)
            return float(np.where(share > 0, share * np.where(share > 0, found, 0), 0).sum())

        return value

    @property
    def bounds(self) -> list[tuple[float, float]]:
        return [(c.domain.lower, c.domain.upper) for c in self.chart.coordinates]

    def inside(self, coords: np.ndarray) -> np.ndarray:
        low, high = np.array(self.bounds).T
        open_ = np.array([c.domain.open_lower for c in self.chart.coordinates])
        return np.clip(coords, np.where(open_, 1e-6, low), high)


@cache
def stated(model_name: str, chart_name: str, count: int) -> Stated:
    model = MODELS[model_name](count)
    chart = MORE[chart_name](model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ChartWarning)
        module = rs.derive(model, chart, name="stated").compile()
    values = chart.every_value
    rows = [chart.weight_expressions]
    rows += [model.component(p.name) for p in model.family.parameters]
    plain = [[sp.S(e).xreplace(values) for e in row] for row in rows]
    f = sp.lambdify(chart.symbols, plain, modules=[DECLARED, "numpy"])

    def mixture(coords: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        with np.errstate(all="ignore"):
            weights, *phis = f(*coords)
        return np.array(weights, float), [np.array(phi, float) for phi in phis]

    return Stated(chart, module, LOG_DENSITY[model.family.name], mixture)


def start(case: Stated, rng: np.random.Generator) -> np.ndarray:
    """A point inside the chart: some gaps zero, some components on each other."""
    count = case.chart.model.components
    out = []
    for c in case.chart.coordinates:
        low, high = c.domain.lower, c.domain.upper
        if high == 1.0:
            out.append(rng.uniform(0.4, 1.0) / count * (0.02 if rng.random() < 0.3 else 1.0))
        elif low == 0.0 and not c.domain.open_lower:
            out.append(0.0 if rng.random() < 0.25 else rng.exponential(0.7))
        elif low == 0.0:
            out.append(rng.uniform(0.5, 2.0))
        else:
            out.append(rng.normal(0.0, 1.0))
    coords = np.array(out)
    positive = [p.domain.lower == 0.0 for p in case.chart.model.family.parameters]
    own = np.array([c.domain.lower == 0.0 and c.domain.open_lower for c in case.chart.coordinates])
    for _ in range(8):  # counted from the last a rate is what the gaps leave of it
        phis = case.mixture(coords)[1]
        if all((phi > 0.0).all() for phi, least in zip(phis, positive, strict=True) if least):
            break
        coords = np.where(own, 2.0 * coords, coords)
    return coords


def sample(case: Stated, rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Points with weights over six orders of magnitude; not from the model."""
    support = case.chart.model.family.support
    spread = np.exp(rng.normal(0.0, 1.0))
    x = spread * rng.standard_t(4, size) + rng.normal(0.0, 2.0)
    if support == "integers":
        x = np.floor(np.abs(x) * 2)
        x[: 1 + size // 8] += 1.0  # of counts that are all zero no rate is a maximum
    elif support == "half-line":
        x = np.abs(x) + 1e-3
    return x, 10 ** rng.uniform(-3, 3, size)


def rounding(case: Stated, x: np.ndarray, coords: np.ndarray, w: np.ndarray) -> float:
    """What a mean log-likelihood may fall by: a few roundings of its mean absolute terms."""
    logs = case.logs(x, coords)
    top = np.abs(np.where(np.isfinite(logs), logs, 0)).max(axis=0)
    return 64 * 2.0**-53 * float(1 + w / w.sum() @ top)


def weighing(case: Stated, x: np.ndarray, old: np.ndarray, new: np.ndarray, w: np.ndarray) -> float:
    """What Q(new) − Q(old) loses to the roundings of responsibilities and of the parameters.

    The exponential of a rounded log-odds has as many roundings as the logarithms are large, and
    weighs the change of each; a location is rounded where a gap is added to it, however small its
    scale is.
    """
    before, after = case.logs(x, old), case.logs(x, new)
    share = np.exp(before - special.logsumexp(before, axis=0)) * (w / w.sum())
    with np.errstate(invalid="ignore"):
        sizes = np.abs(before) + np.abs(before).max(axis=0, where=share > 0, initial=0.0)
        terms = np.where(share > 0, share * sizes * np.abs(after - before), 0.0)
    total, step = float(terms.sum()), 1e-6
    for coords, logs in ((old, before), (new, after)):
        weights, phis = case.mixture(coords)
        sizes_of = TERMS.get(case.chart.model.family.name)
        if sizes_of is not None:
            own = np.array([sizes_of(x, *phi) for phi in zip(*phis, strict=True)])
            total += float((share * own).sum())
        for i in range(len(phis)):
            moved = [p * (1 + step * (i == j)) for j, p in enumerate(phis)]
            with np.errstate(all="ignore"):
                there = np.array([case.log_density(x, *phi) for phi in zip(*moved, strict=True)])
                change = np.abs(there + np.log(weights)[:, None] - logs)
            total += (
                float(np.where((share > 0) & np.isfinite(change), share * change, 0).sum()) / step
            )
    return 4 * 2.0**-53 * total


def nudged(case: Stated, coords: np.ndarray, rng: np.random.Generator, reach: float) -> np.ndarray:
    """A point of the domain nearby, half of the coordinates where they were."""
    move = reach * rng.normal(size=coords.size) * (rng.random(coords.size) < 0.5)
    scale = np.where(np.array(case.bounds)[:, 1] == 1.0, coords, 1 + np.abs(coords))
    return case.inside(coords + move * scale)
