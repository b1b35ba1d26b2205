"""Three normal components, everything free, the means in order.

μ₁, μ₂ = μ₁ + Δ₁, μ₃ = μ₂ + Δ₂: Esser and Nielsen (2022), section 2, for K = 3, where each gap moves
every mean after it.
"""

import relrep_sym as rs


def derivation() -> rs.Derivation:
    """The relative chart of the general three-component normal mixture."""
    model = rs.mixture("normal", components=3)
    return rs.derive(model, rs.relative(model, "mu"), name="normal3_relative")
