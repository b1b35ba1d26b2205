"""Two normal components, everything free, the second mean relative to the first.

μ₂ = μ₁ + Δ₁ with Δ₁ ≥ 0: the relative chart of Esser and Nielsen (2022), section 2, on the
means. The likelihood is the same; gradient learning is not, and the ordering makes the labels
identifiable.
"""

import relrep_sym as rs


def derivation() -> rs.Derivation:
    """The relative chart with a plain gap."""
    model = rs.mixture("normal", components=2)
    return rs.derive(model, rs.relative(model, "mu"), name="normal2_relative")
