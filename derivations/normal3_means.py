"""Three normal components of equal weights and unit scale: the over-parameterized student.

Xu, Fazel and Du (2024), sections 1.1 and 1.2: weights and covariances are fixed, the means learn by
gradient EM from a truth that may be a single normal density.
"""

import relrep_sym as rs


def derivation() -> rs.Derivation:
    """The means themselves."""
    model = rs.mixture("normal", components=3, weights="1/3", scales=1)
    return rs.derive(model, name="normal3_means")
