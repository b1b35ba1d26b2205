"""The oracle: every number a generated module returns, again, from the density alone.

In: a :class:`Density` (one component's log-density), a chart's map from coordinates to components,
a point. Out: values at fifty digits, each a :class:`Measured` with what its yardstick needs. This
floor stands beside the engine and judges it: it knows densities and callables, differentiates with
its own means (``jets.py``) and integrates with its own rules (``quadrature.py``).

>>> import mpmath
>>> def normal(x, mu, sigma):
...     return -(((x - mu) / sigma) ** 2) / 2 - mpmath.log(sigma) - mpmath.log(2 * mpmath.pi) / 2
>>> def chart(c):
...     return [c[0], 1 - c[0]], [(c[1], c[3]), (c[1] + c[2] ** 2, c[3])]
>>> oracle = Oracle(Density(normal), chart, ("pi_1", "mu_1", "Delta_1", "sigma"))
>>> here = oracle.at([0.25, -1.0, 1.5, 0.5])
>>> [mpmath.nstr(r.value, 20) for r in here.responsibilities(0.5)]
['0.011277408866936061646', '0.98872259113306393835']
>>> field = here.averaged_field(([1.0], [0.25], [1.0]))  # data from one normal, N(1/4, 1)
>>> [mpmath.nstr(v.value, 12) for v in field]
['0.82289531664', '-0.36136415317', '-2.59028782018', '2.14472477126']
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import mpmath
from mpmath import mp

from relrep_sym.errors import CertificateError, problem
from relrep_sym.verify.em import EMObjective
from relrep_sym.verify.jets import WORKING, Chart, Density, Jet, Located, Memo, Number, exact
from relrep_sym.verify.quadrature import HEAVY, Budget, Integral, heavy, integrate
from relrep_sym.verify.second import hessian
from relrep_sym.verify.truth import Truth, Weighing, masses, normalised
from relrep_sym.verify.yardstick import Measured

__all__ = ["Density", "Oracle", "OracleAt", "Truth"]

Sample = tuple[tuple[float, ...], tuple[float, ...] | None]
Values = tuple[Measured, ...]

NUDGE = mpmath.mpf("-1e-20")
"""The relative step of sensitivities: toward zero, so that a coordinate stays in its domain."""


@dataclass(frozen=True)
class Oracle:
    """A mixture in a chart. ``at`` gives the oracle of one point, whose methods do the work.

    ``components`` maps coordinates to ``(weights, [phi_1, …, phi_K])`` in mpmath numbers;
    ``names`` are the coordinates'; integrals are good to ``digits`` digits of the mean absolute
    integrand; a call that takes longer than ``seconds`` raises :class:`CertificateError`; ``rule``
    is ``"panels"``, or ``"trapezoid"`` for a second opinion.
    """

    density: Density
    components: Chart
    names: Sequence[str]
    digits: int = 30
    seconds: float | None = None
    rule: str = "panels"

    def at(self, coords: Sequence[float]) -> OracleAt:
        """The oracle at these coordinates, floats taken exactly."""
        if len(coords) != len(self.names):
            right = f"{len(self.names)}: {', '.join(self.names)}"
            raise CertificateError(problem("number of coordinates", len(coords), right))
        with mp.workdps(WORKING):
            return OracleAt(self, Located(self.density, self.components, coords))


def _means(
    columns: Sequence[Sequence[Number]], weights: Sequence[Number]
) -> tuple[list[Number], list[Number]]:
    """Weighted means of the columns, and of their absolute values."""
    values = [mp.fdot(weights, column) for column in columns]
    return values, [mp.fdot(weights, map(abs, column)) for column in columns]


@dataclass(frozen=True)
class OracleAt:
    """The oracle of one point. Everything it returns is a :class:`Measured`."""

    oracle: Oracle
    located: Located
    _near: dict[int, Located] = field(default_factory=dict, repr=False)
    _checked: list[bool] = field(default_factory=list, repr=False)
    _objectives: dict[Sample, EMObjective] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        pairs = zip(self.oracle.names, self.located.coords, strict=True)
        return ", ".join(f"{name} = {float(c)!r}" for name, c in pairs)

    # ---- one x -------------------------------------------------------------------------------

    def log_density(self, x: float) -> Measured:
        """log p(x | c(λ))."""
        with mp.workdps(WORKING):
            value, score = self._jets([exact(x)])[0]
            return Measured(value, abs(value), self._pairing(score))

    def responsibilities(self, x: float) -> Values:
        """w_k f_k(x) / p(x), k = 1 … K."""
        with mp.workdps(WORKING):
            self._jets([exact(x)])
            (row,) = zip(*self.located.tables([exact(x)]), strict=True)
            _, duals = self.located.joint(row)
            total = duals[0]
            for dual in duals[1:]:
                total = total + dual
            log_total = total.log()
            result = []
            for dual in duals:
                value = dual.value / total.value
                tangent = {i: -value * t for i, t in log_total.tangent.items()}
                for i, t in dual.tangent.items():
                    tangent[i] += t / total.value
                pulled = self.located.pull_back(tangent)
                result.append(Measured(value, value, self._pairing(pulled)))
            return tuple(result)

    def score_sample(self, x: float) -> Values:
        """∂ log p(x | c(λ)) / ∂λ_j."""
        return self.score([x])

    # ---- a sample ----------------------------------------------------------------------------

    def log_likelihood(self, x: Sequence[float], w: Sequence[float] | None = None) -> Measured:
        """The weighted mean of log p over a sample."""
        with mp.workdps(WORKING):
            weights = normalised(w, len(x))
            jets = self._jets([exact(v) for v in x])
            (value,), (scale,) = _means([[j[0] for j in jets]], weights)
            score, _ = _means(list(zip(*(j[1] for j in jets), strict=True)), weights)
            return Measured(value, scale, self._pairing(score))

    def score(self, x: Sequence[float], w: Sequence[float] | None = None) -> Values:
        """The weighted mean of the score over a sample."""
        with mp.workdps(WORKING):
            xs, weights = [exact(v) for v in x], normalised(w, len(x))
            budget = self._budget("score")

            def mean(place: Located, memo: Memo | None) -> list[Number]:
                rows = [jet[1] for jet in place.jets(xs, memo)]
                return [mp.fdot(weights, column) for column in zip(*rows, strict=True)]

            rows = [jet[1] for jet in self._jets(xs)]
            values, scales = _means(list(zip(*rows, strict=True)), weights)
            sensitivities = self._sensitivities(mean, budget)
            return tuple(map(Measured, values, scales, sensitivities))

    def hessian(self, x: Sequence[float], w: Sequence[float] | None = None) -> tuple[Values, ...]:
        """The Hessian in λ of the weighted mean of log p over a sample, P rows."""
        with mp.workdps(WORKING):
            xs, weights = [exact(v) for v in x], normalised(w, len(x))
            self._jets(xs[:1])
            return hessian(self.located, xs, weights, self._budget("hessian"))

    def em_objective(self, x: Sequence[float], w: Sequence[float] | None = None) -> EMObjective:
        """Q(· | λ): what an EM step from this point maximises over the sample; remembered."""
        sample = tuple(map(float, x)), None if w is None else tuple(map(float, w))
        if sample not in self._objectives:
            with mp.workdps(WORKING):
                xs = [exact(v) for v in x]
                self._jets(xs[:1])
                near = [self._neighbour(j) for j in range(len(self.located.coords))]
                weights = normalised(w, len(x))
                self._objectives[sample] = EMObjective(
                    self.located, near, NUDGE, xs, weights, self.oracle.names
                )
        return self._objectives[sample]

    # ---- a density ---------------------------------------------------------------------------

    def averaged_field(self, truth: Truth, density: Density | None = None) -> Values:
        """E_q[∂ log p(X)/∂λ_j] for X from the truth; ``density`` if it is of another family."""
        with mp.workdps(WORKING):
            q = Weighing(density or self.oracle.density, truth)

            def rows(xs: list[Number]) -> list[list[Number]]:
                pairs = zip(q.densities(xs), self._jets(xs), strict=True)
                return [[d, *(d * s for s in jet[1])] for d, jet in pairs]

            budget = self._budget("averaged_field")
            integral = self._integral(rows, q, budget)
            mass = masses(q, integral)

            def coarse(place: Located, memo: Memo | None) -> list[Number]:
                jets = place.jets(integral.coarse.nodes, memo)
                return [mp.fdot(mass, c) for c in zip(*(j[1] for j in jets), strict=True)]

            return _measured(integral, self._sensitivities(coarse, budget))

    def kl(self, truth: Truth, density: Density | None = None) -> Measured:
        """E_q[log q(X) − log p(X)]."""
        with mp.workdps(WORKING):
            q = Weighing(density or self.oracle.density, truth)

            def rows(xs: list[Number]) -> list[list[Number]]:
                logs, jets = q.logs(xs), self._jets(xs)
                pairs = [(mpmath.exp(v), v - jet[0]) for v, jet in zip(logs, jets, strict=True)]
                return [[d, d * difference] for d, difference in pairs]

            integral = self._integral(rows, q, self._budget("kl"))
            scores = [jet[1] for jet in self._jets(integral.coarse.nodes)]
            slope = [mp.fdot(masses(q, integral), c) for c in zip(*scores, strict=True)]
            return _measured(integral, [self._pairing(slope)])[0]

    def fisher(self) -> tuple[Values, ...]:
        """E_p[score scoreᵀ], P rows."""
        with mp.workdps(WORKING):
            size = len(self.located.coords)
            pairs = [(i, j) for i in range(size) for j in range(i + 1)]
            budget = self._budget("fisher")

            def rows(place: Located, xs: list[Number], memo: Memo | None) -> list[list[Number]]:
                result = []
                for value, score in place.jets(xs, memo):
                    p = mpmath.exp(value)
                    weighted = [p * s for s in score]
                    result.append([p, *(weighted[i] * score[j] for i, j in pairs)])
                return result

            integral = self._integral(lambda xs: rows(self.located, xs, None), None, budget)
            nodes, weights = integral.coarse.nodes, integral.coarse.weights

            def coarse(place: Located, memo: Memo | None) -> list[Number]:
                columns = zip(*rows(place, nodes, memo), strict=True)
                return [mp.fdot(weights, c) for c in columns][1:]

            values = _measured(integral, self._sensitivities(coarse, budget))
            table = dict(zip(pairs, values, strict=True))
            order = range(size)
            return tuple(tuple(table[max(i, j), min(i, j)] for j in order) for i in order)

    def expect(
        self,
        fn: Callable[[Number], Sequence[Number]],
        truth: Truth | None = None,
        density: Density | None = None,
    ) -> Values:
        """E[fn(X)] for X from the truth, or from the model itself; ``fn`` gives a list."""
        with mp.workdps(WORKING):
            q = Weighing(density or self.oracle.density, truth) if truth else None
            budget = self._budget("expect")

            def rows(place: Located, xs: list[Number], memo: Memo | None) -> list[list[Number]]:
                masses = q.densities(xs) if q else [mpmath.exp(j[0]) for j in place.jets(xs, memo)]
                return [[d, *(d * v for v in fn(x))] for d, x in zip(masses, xs, strict=True)]

            integral = self._integral(lambda xs: rows(self.located, xs, None), q, budget)

            def coarse(place: Located, memo: Memo | None) -> list[Number]:
                columns = zip(*rows(place, integral.coarse.nodes, memo), strict=True)
                return [mp.fdot(integral.coarse.weights, c) for c in columns][1:]

            fixed = [mp.zero] * (len(integral.values) - 1)
            return _measured(integral, fixed if q else self._sensitivities(coarse, budget))

    # ---- what the methods share --------------------------------------------------------------

    def _jets(self, xs: list[Number]) -> list[Jet]:
        if not self._checked:
            self.located.insist_analytic(xs[:1])
            self._checked.append(True)
        return self.located.jets(xs)

    def _budget(self, what: str) -> Budget:
        seconds = self.oracle.seconds
        deadline = None if seconds is None else time.monotonic() + seconds
        return Budget(deadline, f"{what} at {self}, {seconds} seconds")

    def _neighbour(self, j: int) -> Located:
        if j not in self._near:
            self._near[j] = self.located.moved(j, NUDGE)
        return self._near[j]

    def _pairing(self, slope: Sequence[Number]) -> Number:
        """Σ_j |λ_j ∂_j v|."""
        return mp.fdot(map(abs, self.located.coords), map(abs, slope))

    def _sensitivities(
        self, functional: Callable[[Located, Memo | None], list[Number]], budget: Budget
    ) -> list[Number]:
        """Σ_j |λ_j ∂_j v_i| by one-sided differences of a functional on fixed nodes."""
        memo: Memo = {}
        base = functional(self.located, memo)
        result = [mp.zero] * len(base)
        for j, coordinate in enumerate(self.located.coords):
            budget.check()
            if coordinate:
                values = functional(self._neighbour(j), memo)
                for i, (v, b) in enumerate(zip(values, base, strict=True)):
                    result[i] += abs((v - b) / NUDGE)
        return result

    def _integral(
        self, rows: Callable[[list[Number]], list[list[Number]]], q: Weighing | None, budget: Budget
    ) -> Integral:
        digits = self.oracle.digits
        model = Weighing(self.oracle.density, None, self.located)
        support = (q or model).density.support
        features = model.landmarks(digits, support)
        truth = q.landmarks(digits, support) if q else features
        if support == "line" and heavy([*features, *truth]):
            support = HEAVY
            features = model.landmarks(digits, support)
            truth = q.landmarks(digits, support) if q else features
        kinks = [*model.kinks(), *(q.kinks() if q else [])]
        integral = integrate(
            rows, support, truth, features, digits, budget, self.oracle.rule, kinks
        )
        if not abs(integral.values[0] - 1) <= mpmath.mpf(10) ** (1 - digits):
            given = mpmath.nstr(integral.values[0], digits)
            raise CertificateError(problem(f"a density's integral at {self}", given, "1"))
        return integral


def _measured(integral: Integral, sensitivities: list[Number]) -> Values:
    """The integrals after the first, which is that of the density itself."""
    rows = zip(integral.values[1:], integral.absolutes[1:], sensitivities, strict=True)
    return tuple(Measured(v, a, s, a * integral.error, integral.method) for v, a, s in rows)
