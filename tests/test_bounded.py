"""Searches that nothing bounded: each ends with an error that says what was looked for."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from relrep_sym.errors import CertificateError, DomainError
from relrep_sym.runtime.quadrature import window
from relrep_sym.verify.quadrature import landmarks


@pytest.mark.parametrize("density", [lambda x: -mpmath.log(1 + abs(x)), lambda _: mpmath.mpf(0)])
def test_a_density_whose_tail_cannot_be_integrated(density):
    """1/(1 + |x|), and a constant: doubling the distance would go on for ever."""
    with pytest.raises(CertificateError, match=r"a tail has no end|no mode was found"):
        landmarks(density, "line", 30)


def test_a_plateau_has_no_mode_to_climb_to():
    with pytest.raises(CertificateError, match="no mode was found"):
        landmarks(lambda x: -mpmath.log(abs(x)), "half-line", 30)


def test_a_log_mass_that_changes_between_calls_is_refused():
    calls = iter(range(1000))

    def fickle(x):
        out = -np.abs(x - 5.0)
        return out if next(calls) < 2 else out - 1e9

    with pytest.raises(DomainError, match="no end of its mass"):
        window(fickle, 10.0)
