"""Two normal components, everything free, in the model's own parameters.

The score, the averaged learning equations, Fisher information and EM of
θ = (π₁, μ₁, μ₂, σ₁, σ₂). The mixture of Esser and Nielsen (2022),
sections 3.1 and 4.1, before it is reparameterized.
"""

import relrep_sym as rs


def derivation() -> rs.Derivation:
    """The identity chart of the general two-component normal mixture."""
    model = rs.mixture("normal", components=2)
    return rs.derive(model, rs.identity(model), name="normal2")
