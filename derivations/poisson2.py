"""Two Poisson components, everything free: counts in place of the line.

The same equations with sums over 0, 1, 2, … for integrals. Nothing in the engine is about the
normal family.
"""

import relrep_sym as rs


def derivation() -> rs.Derivation:
    """The identity chart of the two-component Poisson mixture."""
    model = rs.mixture("poisson", components=2)
    return rs.derive(model, name="poisson2")
