"""Two unit-variance normal components, learned in (π₁, μ₁, μ₂) and seen in (v, u, w).

v = π₁, u = μ₁ − μ₂, w = π₁μ₁ + (1 − π₁)μ₂ is the view of Park and Ozeki (2009); its Jacobian and
mobility JJᵀ are their Eq. (17), which Esser and Nielsen (2022) print in appendix D. The averaged
equations here are exact, where both papers expand them near u = 0.
"""

import relrep_sym as rs


def derivation() -> rs.Derivation:
    """The identity chart with the (v, u, w) view."""
    model = rs.mixture("normal", components=2, scales=1)
    chart = rs.identity(model)
    seen = rs.view(chart, {"v": "pi_1", "u": "mu_1 - mu_2", "w": "pi_1*mu_1 + (1 - pi_1)*mu_2"})
    return rs.derive(model, chart, view=seen, name="normal2_unit")
