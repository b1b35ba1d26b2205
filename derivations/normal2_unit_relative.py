"""Two unit-variance normal components in the relative chart, seen in a primed view.

μ₂ = μ₁ + Δ₁, seen in (v, u′, w′) = (π₁, Δ₁, π₁μ₁ + (1 − π₁)(μ₁ + Δ₁)): section 3.1 and
appendix D of Esser and Nielsen (2022). With w′ = μ₁ + (1 − v)Δ₁ its row of the Jacobian is
(−Δ₁, 1, 1 − v) in (π₁, μ₁, Δ₁); the matrix printed in appendix D differs.
"""

import relrep_sym as rs


def derivation() -> rs.Derivation:
    """The relative chart with the primed view."""
    model = rs.mixture("normal", components=2, scales=1)
    chart = rs.relative(model, "mu")
    seen = rs.view(chart, {"v": "pi_1", "u": "Delta_1", "w": "pi_1*mu_1 + (1 - pi_1)*mu_2"})
    return rs.derive(model, chart, view=seen, name="normal2_unit_relative")
