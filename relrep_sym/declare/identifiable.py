"""Whether a mixture can be told from its distribution, beyond the labels of its components.

In: a model. Out: nothing, or an error that says why not. On a support of m points a distribution
is m − 1 numbers, so a model with more parameters has whole surfaces of θ with one distribution: its
Fisher information is singular everywhere. For K binomial components with n trials, of which weights
and probabilities are learned, that is n < 2K − 1 (Teicher 1961; Blischke 1964), and so every
mixture of Bernoulli variables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from relrep_sym.declare.support import size, support_text
from relrep_sym.errors import DeclarationError, problem

if TYPE_CHECKING:
    from relrep_sym.declare.model import Mixture

__all__ = ["insist_identifiable"]


def insist_identifiable(model: Mixture) -> None:
    """Raise DeclarationError where the support has too few points for the model's θ.

    >>> from relrep_sym.declare.model import mixture
    >>> mixture("binomial", components=2, trials=2)
    Traceback (most recent call last):
    ...
    relrep_sym.errors.DeclarationError: the mixture is not identifiable: a distribution on \
integers 0, …, 2 is 2 numbers, and θ has 3; given: mixture of 2 binomial(trials=2) components: \
weights free, probabilities free; expected: a support of at least 4 points (3 trials), fewer \
components, or parameters fixed or tied
    """
    points = size(model.family.support)
    needed = len(model.parameters)
    if points is None or needed <= points - 1:
        return
    made = dict(model.family.arguments)
    trials = f" ({needed} trials)" if "trials" in made else ""
    raise DeclarationError(
        problem(
            "the mixture is not identifiable: a distribution on "
            f"{support_text(model.family.support)} is {points - 1} numbers, and θ has {needed}",
            model.describe(),
            f"a support of at least {needed + 1} points{trials}, fewer components, or parameters "
            "fixed or tied",
        )
    )
