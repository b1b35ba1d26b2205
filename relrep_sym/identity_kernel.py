"""A side of an identity as a NumPy kernel, with its certificate.

In: a scope and an expression, as they were checked. Out: a :class:`Kernel`: source that stands
alone beside the runtime, and the measured errors of its function against the densities.
"""

from __future__ import annotations

import inspect
import keyword
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import sympy as sp

from relrep_sym.api import derive
from relrep_sym.declare.identity import Scope
from relrep_sym.declare.nodes import Atom, Expected
from relrep_sym.declare.parser import check_name
from relrep_sym.emit import files
from relrep_sym.emit.numpy.identity_code import TAKEN, with_function
from relrep_sym.emit.numpy.naming import identifiers
from relrep_sym.equations.expect import Calculus
from relrep_sym.equations.rewrite import rewritten
from relrep_sym.errors import DeclarationError, problem
from relrep_sym.evaluate import Evaluator, Place
from relrep_sym.kernel import Kernel
from relrep_sym.scatter import places
from relrep_sym.verify.certificate import Case, Certificate, certify
from relrep_sym.verify.yardstick import Measured

__all__ = ["Emitted", "kernel"]


@dataclass(frozen=True)
class Emitted:
    """A generated function: its name, the module's source, and its certificate."""

    name: str
    source: str
    certificate: Certificate

    def __repr__(self) -> str:
        return f"<Emitted {self.name}: {self.certificate!r}>"

    def compile(self) -> Kernel:
        """The module, in memory."""
        return Kernel(self.name, self.source)

    @property
    def function(self) -> Callable[..., Any]:
        """The function, compiled: ``f(coords, truth, …)``, one value for each point."""
        return getattr(self.compile(), self.name)

    def write(self, path: str | Path, *, overwrite: bool = False) -> bool:
        """Write the module, atomically; True if the file changed.

        Raises GenerationError, unless ``overwrite``, where there is a file that was not written so,
        or was edited since.
        """
        return files.put(Path(path), self.source, overwrite=overwrite)


def kernel(
    scope: Scope, e: sp.Expr, name: str, said: list[str], free_x: bool, points: int
) -> Emitted:
    """The kernel of an expression, certified at ``points`` points.

    Raises DerivationError for what no kernel can be printed, CertificateError where the kernel
    misses the yardstick.
    """
    if keyword.iskeyword(check_name(name, kind="function")) or scope.constants:
        given = name if not scope.constants else ", ".join(s.name for s in scope.constants)
        right = "a name that is no keyword, and a chart without constants"
        raise DeclarationError(problem("no kernel of this name or chart", given, right))
    base = derive(scope.model, scope.chart, name="identity")
    plain = base.source("rs.check", "Verdict.emit")
    if hasattr(base.compile(), name):
        raise DeclarationError(problem("the module has a function of this name", name, "another"))
    resolved = _by_components(scope, Calculus(scope).resolved(e))
    draft = with_function(plain, scope, resolved, name, said, free_x)
    function = getattr(Kernel(name, draft), name)
    if name in TAKEN:
        raise DeclarationError(problem("the function needs this name itself", name, "another"))
    taken = [_exact(p) for p in places(scope, points, free_x=free_x)]
    evaluator = Evaluator(scope)
    cases = [_case(evaluator, e, place, function, name) for place in taken]
    found = certify(name, cases)
    found.check()
    lines = [*said, "", *(f"Certificate: {_row(entry)}" for entry in found.entries)]
    return Emitted(name, with_function(plain, scope, resolved, name, lines, free_x), found)


def _by_components(scope: Scope, e: sp.Expr) -> sp.Expr:
    """Means with the truth's posteriors in them as means under its components."""
    own = {Atom.of(f"s_{j + 1}") for j in range(len(scope.truth.weights) if scope.truth else 0)}
    means = [m for m in e.atoms(Expected) if m.args[0].free_symbols & own]
    return e.xreplace({m: rewritten(scope, m, "balance") for m in means})


def _row(entry: Any) -> str:
    return f"{entry.ratio:.2g} of 64 units of the yardstick at {entry.coordinates}"


def _exact(place: Place) -> Place:
    """The same place at the floats nearest to it."""
    values = {s: sp.Rational(float(v)) for s, v in place.values.items()}
    x = None if place.x is None else sp.Rational(float(place.x))
    return Place(values, x, place.name)


def _case(
    evaluator: Evaluator,
    e: sp.Expr,
    place: Place,
    function: Callable[..., Any],
    name: str,
) -> Case:
    scope = evaluator.scope
    truth = scope.truth
    numbers = {s: float(v) for s, v in place.values.items()}
    names = [s.name for s in truth.symbols] if truth is not None else []
    own = identifiers(names, TAKEN)
    keywords = inspect.signature(function).parameters

    def call(given: dict[sp.Symbol, float]) -> Any:
        """The function at a point."""
        symbols = {s.name: v for s, v in given.items() if s.name in own}
        arrays = truth.arrays(**symbols) if truth is not None else None
        chosen = {own[n]: v for n, v in symbols.items() if own[n] in keywords}
        first = [] if place.x is None else [float(place.x)]
        return function(*first, [given[s] for s in scope.coordinates], arrays, **chosen)

    def slope(s: sp.Symbol, step: float = 1e-6) -> float:
        """λ ∂v/∂λ to a few digits, of the function itself: it only scales the yardstick."""
        up, down = (call({**numbers, s: numbers[s] * (1 + d)}) for d in (step, -step))
        return float((up - down) / (2 * step))

    def oracle() -> Measured:
        (value,) = evaluator.at(place, [e])
        sensitivity = mpmath.mpf(float(np.sum(np.abs([slope(s) for s in numbers]))))
        return Measured(
            value.value, value.scale, sensitivity, value.error * value.scale, "evaluated as stated"
        )

    return Case(
        name,
        place.name,
        lambda: np.asarray(call(numbers)),
        oracle,
        ", ".join(f"{s.name} = {v!r}" for s, v in numbers.items()),
    )
