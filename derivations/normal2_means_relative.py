"""Two normal components of equal weight and unit scale, the second mean relative to the first.

Esser and Nielsen (2022), section 4.2: only the means are learned, in (μ₁, Δ₁) with μ₂ = μ₁ + Δ₁,
Δ₁ ≥ 0. This is the setting of their Algorithm 1 (ECM) and of the comparison with EM in Figure 2.
"""

import relrep_sym as rs


def derivation() -> rs.Derivation:
    """The relative chart with a plain gap on the means alone."""
    model = rs.mixture("normal", components=2, weights="1/2", scales=1)
    return rs.derive(model, rs.relative(model, "mu"), name="normal2_means_relative")
