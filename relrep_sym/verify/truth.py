"""What expectations are taken under: a truth's arrays, or the model itself, and sample weights.

In: a density and (weights, parameters) arrays, or a :class:`Located` mixture. Out: the values of
its density at nodes, and the landmarks that tell quadrature where it lives.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import mpmath
from mpmath import mp

from relrep_sym.errors import CertificateError, problem
from relrep_sym.verify.jets import Density, Located, Number, exact
from relrep_sym.verify.quadrature import Integral, Mark, Support, landmarks

__all__ = ["Truth", "Weighing", "masses", "normalised"]

Truth = Sequence[Sequence[float]]
"""(weights, then the family's parameters in order), K′ entries each."""


def normalised(weights: Sequence[float] | None, count: int) -> list[Number]:
    """Weights that sum to one; None means equal weights."""
    plain = [mp.one] * count if weights is None else [exact(w) for w in weights]
    if len(plain) != count or not mpmath.fsum(plain) > 0:
        right = f"{count} nonnegative weights, not all zero"
        raise CertificateError(problem("weights", str(weights), right))
    total = mpmath.fsum(plain)
    return [w / total for w in plain]


class Weighing:
    """A mixture to integrate against: the truth's arrays, or the model itself."""

    def __init__(
        self, density: Density, truth: Truth | None, located: Located | None = None
    ) -> None:
        self.density = density
        if located is not None:
            pairs = zip(located.weights, located.phis, strict=True)
        else:
            arrays = [list(a) for a in truth or []]
            if not arrays or len({len(a) for a in arrays}) != 1:
                right = "(weights, then each parameter), K′ entries each"
                raise CertificateError(problem("the truth", str(truth), right))
            weights = normalised(arrays[0], len(arrays[0]))
            phis = [tuple(map(exact, phi)) for phi in zip(*arrays[1:], strict=True)]
            pairs = zip(weights, phis, strict=True)
        self.parts = [(w, phi) for w, phi in pairs if w > 0]

    def logs(self, xs: list[Number]) -> list[Number]:
        """log q(x)."""
        f, result = self.density.component_log_density, []
        for x in xs:
            logs = [f(x, *phi) for _, phi in self.parts]
            shift = max(logs)
            pairs = zip(self.parts, logs, strict=True)
            total = mpmath.fsum(w * mpmath.exp(v - shift) for (w, _), v in pairs)
            result.append(shift + mpmath.log(total))
        return result

    def densities(self, xs: list[Number]) -> list[Number]:
        """q(x)."""
        f = self.density.component_log_density
        return [mpmath.fsum(w * mpmath.exp(f(x, *phi)) for w, phi in self.parts) for x in xs]

    def landmarks(self, digits: int, support: Support) -> list[list[Mark]]:
        """Where its components lie, on the support's own axis."""
        f = self.density.component_log_density

        def one(phi: tuple[Number, ...], x: Number) -> Number:
            return f(x, *phi)

        return [landmarks(partial(one, phi), support, digits) for _, phi in self.parts]

    def kinks(self) -> list[Number]:
        """Where its components are not smooth, in x."""
        f = self.density.kinks
        return [] if f is None else [x for _, phi in self.parts for x in f(*phi)]


def masses(q: Weighing, integral: Integral) -> list[Number]:
    """The coarse rule's weights times the density."""
    pairs = zip(q.densities(integral.coarse.nodes), integral.coarse.weights, strict=True)
    return [d * w for d, w in pairs]
