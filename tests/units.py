"""Models in several charts, each with how its coordinates follow a change of units.

The unit of x is divided by 2^e: x, locations and scales are multiplied by 2^e, rates divided. A
coordinate that is a length is multiplied too, the logarithm of one gains e log 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

import relrep_sym as rs
from relrep_sym.errors import DomainError

LOG2 = np.log(2.0)

OWN = {
    "logistic": (
        "-(x - m)/s - 2*log(1 + exp(-(x - m)/s)) - log(s)",
        {"m": "real", "s": "positive"},
        "line",
    ),
    "student": (  # with five degrees of freedom
        "log(8/3) - log(4*atan(1)) - log(5)/2 - log(s) - 3*log(1 + ((x - m)/s)**2/5)",
        {"m": "real", "s": "positive"},
        "line",
    ),
    "gumbel": (
        "-(x - m)/s - exp(-(x - m)/s) - log(s)",
        {"m": "real", "s": "positive"},
        "line",
    ),
    "cauchy": (
        "-log(1 + ((x - m)/s)**2) - log(s) - log(4*atan(1))",
        {"m": "real", "s": "positive"},
        "line",
    ),
    "inverse_gamma": (
        "a*log(s/x) - log(x) - s/x - loggamma(a)",
        {"a": "positive", "s": "positive"},
        "half-line",
    ),
    "rayleigh": ("log(x/s) - log(s) - (x/s)**2/2", {"s": "positive"}, "half-line"),
    "weibull": (
        "log(k) - log(s) + (k - 1)*log(x/s) - (x/s)**k",
        {"k": "positive", "s": "positive"},
        "half-line",
    ),
}
"""Log-densities of families of one's own."""

POWERS = {"mu": 1, "m": 1, "w": 1, "u": 1, "Delta": 1, "sigma": 1, "b": 1, "s": 1, "scale": 1,
          "rate": -1}  # fmt: skip
"""The power of a length that a name's stem stands for; none for what is not listed."""


@dataclass(frozen=True)
class Case:
    """One model in one chart."""

    family: str
    components: int
    chart: str
    patterns: tuple[tuple[str, object], ...] = ()

    def __str__(self) -> str:
        return f"{self.family} {self.components} {self.chart}"

    def made(self):
        """The chart."""
        family = self.family
        if family in OWN:
            text, parameters, support = OWN[family]
            family = rs.family(text, parameters, support, name=family)
        model = rs.mixture(family, components=self.components, **dict(self.patterns))
        stems = [n.rpartition("_")[0] for n in model.names]
        first = next(s for s in ("mu", "m", "scale", "rate", "s") if s in stems)
        spread = next((s for s in ("sigma", "b", "s", "scale", "rate") if s in stems), first)
        if self.chart == "identity":
            return rs.identity(model)
        if self.chart in ("plain", "exp", "square"):
            return rs.relative(model, first, gap=self.chart)
        if self.chart == "log":
            return rs.log(model, spread)
        if self.chart == "weights":
            return rs.relative(model, first) @ rs.softmax(model)
        assert self.chart == "own"
        own = {n: n for n in model.names}
        own |= {first + "_1": "w + (1 - pi_1)*u", first + "_2": "w - pi_1*u"}
        return rs.chart(model, own)

    def coordinate_powers(self, names):
        """By coordinate (power, whether it is the logarithm of a length)."""
        out = []
        for name in names:
            logarithm = name.startswith("log_")
            stem = name.removeprefix("log_")
            stem = stem.rpartition("_")[0] or stem
            power = float(POWERS.get(stem, 0))
            if stem.startswith("Delta"):  # a gap of locations, or of what it is named after
                power = float(POWERS[stem.removeprefix("Delta_")])
                if self.chart == "exp":
                    logarithm = True
                elif self.chart == "square":
                    power *= 0.5
            out.append((power, logarithm))
        return out


@cache
def compiled(case: Case):
    """(the derivation, its module) of a case."""
    chart = case.made()
    d = rs.derive(chart.model, chart)
    return d, d.compile()


class Units:
    """A case's coordinates, parameters and sample in other units."""

    def __init__(self, case: Case, e: int) -> None:
        self.case, self.e = case, e
        self.d, self.k = compiled(case)
        found = case.coordinate_powers(self.k.COORDINATES)
        self.power = np.array([0.0 if log else p for p, log in found])
        self.shift = np.array([p * e * LOG2 if log else 0.0 for p, log in found])
        self.theta_power = np.array([
            float(POWERS.get(n.rpartition("_")[0] or n, 0)) for n in self.k.PARAMETERS
        ])  # fmt: skip

    def unit(self, power):
        """2^(e·power)."""
        return np.exp2(self.e * np.asarray(power, dtype=float))

    def x(self, x):
        return np.asarray(x) * self.unit(1.0)

    def coords(self, coords):
        return np.asarray(coords) * self.unit(self.power) + self.shift

    def theta(self, theta):
        return np.asarray(theta) * self.unit(self.theta_power)

    def truth(self, truth):
        """(weights, parameters …)."""
        names = _roles(self.case)
        return (
            truth[0],
            *(
                np.asarray(p) * self.unit(POWERS.get(n, 0))
                for p, n in zip(truth[1:], names, strict=True)
            ),
        )

    # back to the units of e = 0

    def vector(self, values, power=1):
        """A vector over coordinates with the units λ^power, the logarithms' shift left alone."""
        return values * self.unit(-power * self.power)

    def matrix(self, values, power=1):
        return self.vector(np.swapaxes(self.vector(values, power), -1, -2), power)

    def point(self, values):
        return (values - self.shift) * self.unit(-self.power)


@cache
def _roles(case: Case):
    chart = case.made()
    return tuple(p.name for p in chart.model.family.parameters)


def problem_of(case: Case):
    """(a sample, weights, coordinates, a truth, one line of parameters) of order one."""
    rng = np.random.default_rng(7)
    k = case.components
    roles = _roles(case)
    line = roles[0] in ("mu", "m")
    values = {
        "mu": np.array([-0.75, 0.8125, 2.0])[:k],
        "m": np.array([-0.75, 0.8125, 2.0])[:k],
        "sigma": np.array([0.75, 1.25, 0.625])[:k],
        "b": np.array([0.75, 1.25, 0.625])[:k],
        "s": np.array([0.75, 1.25, 1.625])[:k],
        "scale": np.array([0.5, 0.875, 1.5])[:k],
        "rate": np.array([0.5, 1.25, 2.5])[:k],
        "shape": np.array([1.5, 2.5, 3.25])[:k],
        "k": np.array([1.5, 2.5, 3.25])[:k],
        "a": np.array([2.5, 3.0, 1.75])[:k],
    }
    weights = {1: [1.0], 2: [0.4375, 0.5625], 3: [0.3125, 0.25, 0.4375]}[k]
    x = np.concatenate([rng.normal(-0.7, 0.8, 12), rng.normal(1.0, 1.2, 16), [2.25, 2.5, 3.0]])
    if not line:  # quantiles of two scales
        part = -np.log1p(-(np.arange(16) + 0.5) / 16)
        x = np.concatenate([0.25 * part, 4.0 * part])
    x = np.round(x * 256) / 256
    share = rng.integers(1, 5, x.size) / 8.0
    share[0] += 1 / 16  # no part of the sample has half of the weight: a median is one point
    truth = (np.array([0.375, 0.625]), *(np.array([0.9375, 1.0625]) * values[r][0] + (
        np.array([-0.5, 1.0]) if r in ("mu", "m") else 0.0) for r in roles))  # fmt: skip
    parameters = {r: values[r] for r in roles}
    return x, share, (np.array(weights), parameters), truth


def coords_of(case: Case):
    """The coordinates of the problem's mixture."""
    _, module = compiled(case)
    _, _, (weights, parameters), _ = problem_of(case)
    theta = []
    for name in module.PARAMETERS:
        stem, _, number = name.rpartition("_")
        if not stem:
            theta.append(parameters[name][0])
        elif stem == "pi":
            theta.append(weights[int(number) - 1])
        else:
            theta.append(parameters[stem][int(number) - 1])
    return module.from_model(np.array(theta))


# ------------------------------------------------------------------------------ kernels


EXACT = (
    "responsibilities score_samples score hessian em_step em_details ecm_step ecm_details "
    "gradient_em_step statistics sample to_model jacobian"
).split()
"""Kernels whose results are multiplied with powers of two and nothing else: equal to the bit where
the log-density separates into functions of (x − μ)/σ; else log f itself, which gains e log 2, is
rounded.
"""


@cache
def maximum(case: Case):
    """The fitted coordinates in the base units; None where no fit converges."""
    x, weights, _, _ = problem_of(case)
    module = compiled(case)[1]
    fit = module.fit(x, coords_of(case), weights=weights, tol=1e-13, max_iter=20000)
    if not fit.converged:
        return None
    try:
        module.covariance(x, fit.coords, "opg", weights=weights, count=500.0)
        if case.family != "laplace":
            module.covariance(x, fit.coords, weights=weights, count=500.0)
    except DomainError:  # a mixture of equal components, where nothing has an inverse
        return None
    return fit.coords


def kernels(case: Case, e: int):
    """By name a function that computes in the units e and gives the result in those of e = 0."""
    u = Units(case, e)
    k = u.k
    sample, weights, _, density = problem_of(case)
    x, at, truth = u.x(sample), u.coords(coords_of(case)), u.truth(density)
    shift = e * LOG2

    def details(step):
        forces = [
            step.multipliers[n] * u.unit(p)
            for n, p in zip(k.COORDINATES, u.power, strict=True)
            if n in step.multipliers
        ]
        return np.array([step.gain, step.residual, *forces])

    def fit(start, **options):
        found = k.fit(x, start, weights=weights, **options)
        theta = np.array([found.parameters[n] for n in k.PARAMETERS]) * u.unit(-u.theta_power)
        last = [found.log_likelihood + shift, found.converged]
        return np.concatenate([u.point(found.coords), theta, last])

    out = {
        "to_model": lambda: k.to_model(at) * u.unit(-u.theta_power),
        "from_model": lambda: u.point(k.from_model(k.to_model(at))),
        "jacobian": lambda: k.jacobian(at) * u.unit(-u.theta_power)[:, None] * u.unit(u.power),
        "log_density": lambda: k.log_density(x, at) + shift,
        "responsibilities": lambda: k.responsibilities(x, at),
        "score_samples": lambda: u.vector(k.score_samples(x, at), -1),
        "log_likelihood": lambda: k.log_likelihood(x, at, weights) + shift,
        "score": lambda: u.vector(k.score(x, at, weights), -1),
        "averaged_field": lambda: u.vector(k.averaged_field(at, truth), -1),
        "averaged_hessian": lambda: u.matrix(k.averaged_hessian(at, truth), -1),
        "fisher": lambda: u.matrix(k.fisher(at), -1),
        "responsibility_gram": lambda: k.responsibility_gram(at, truth),
        "natural_field": lambda: u.vector(k.natural_field(at, truth)),
        "kl": lambda: k.kl(at, truth),
        "hessian": lambda: u.matrix(k.hessian(x, at, weights), -1),
        "em_step": lambda: u.point(k.em_step(x, at, weights)),
        "em_details": lambda: details(k.em_step(x, at, weights, full_output=True)),
        "ecm_step": lambda: u.point(k.ecm_step(x, at, weights=weights)),
        "ecm_details": lambda: details(k.ecm_step(x, at, weights=weights, full_output=True)),
        "gradient_em_step": lambda: u.point(
            k.gradient_em_step(x, at, 2.0**-10 * u.unit(2 * u.power), weights=weights)
        ),
        "fit": lambda: fit(at, tol=1e-8, max_iter=8),
        "fit_ecm": lambda: fit(at, method="ecm", tol=1e-8, max_iter=8),
    }
    if case.family not in OWN:
        out["sample"] = lambda: k.sample(at, 10, rng=1) * u.unit(-1.0)
    if case.family != "weibull":  # of which neither a location nor an M-step is known
        for kind in ("quantiles", "k-means++", "random"):
            out[f"start_{kind}"] = lambda kind=kind: fit(kind, rng=0, max_iter=1)
    if case.family == "normal":
        out["flow"] = lambda: u.point(k.flow(at, truth, [0.0, 0.25, 1.0], "natural"))
        # along the gradient, a step of a coordinate is worth the square of its unit
        out["flow_gradient"] = lambda: u.point(
            k.flow(at, truth, [0.0, 0.0625], rates=u.unit(2 * u.power))
        )
        out["statistics"] = lambda: np.array(k.statistics(x, at, weights))
    if maximum(case) is None:
        return out
    best, size = u.coords(maximum(case)), 500.0
    if case.family != "laplace":
        asked = {"weights": weights, "count": size}
        out["covariance"] = lambda: u.matrix(k.covariance(x, best, **asked))
        out["covariance_expected"] = lambda: u.matrix(k.covariance(x, best, "expected", **asked))
        out["covariance_sandwich"] = lambda: u.matrix(k.covariance(x, best, "sandwich", **asked))
        out["errors"] = lambda: (
            k.standard_errors(x, best, of="parameters", **asked) * u.unit(-u.theta_power)
        )
        out["intervals"] = lambda: (
            k.confidence_intervals(x, best, of="parameters", **asked)
            * u.unit(-u.theta_power)[:, None]
        )
        out["ecm_rates"] = lambda: np.array([k.ecm_rates(x, best, weights=weights).em])
    out["criteria"] = lambda: (
        np.array(k.criteria(x, best, weights=weights, count=size)[:2]) - 2 * size * shift
    )
    return out


@cache
def base(case: Case, name: str):
    """A kernel's result at e = 0."""
    return np.asarray(kernels(case, 0)[name](), dtype=float)
