"""Two normal components, everything free, the gap between the means a square with a clearance.

μ₂ = μ₁ + Δ₁² + ξ with ξ = 1/10: the second way of Esser and Nielsen (2022), section 2, to keep the
order (optimise the square, and add a clearance). Every point with Δ₁ = 0 is stationary in Δ₁.
"""

import relrep_sym as rs


def derivation() -> rs.Derivation:
    """The relative chart with a square gap and clearance 1/10."""
    model = rs.mixture("normal", components=2)
    chart = rs.relative(model, "mu", gap="square", clearance="1/10")
    return rs.derive(model, chart, name="normal2_relative_square")
