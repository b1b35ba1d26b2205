"""What `relrep regenerate` wrote: one module for each script in derivations/.

Do not edit: `relrep regenerate` writes it anew. Importing this package loads no module.
Text sha256: 729cb3c8fc8f8dae7a302949e211dc9c

normal2: Two normal components, everything free, in the model's own parameters.
normal2_means_relative: Two normal components of equal weight and unit scale, the second mean
    relative to the first.
normal2_relative: Two normal components, everything free, the second mean relative to the first.
normal2_relative_square: Two normal components, everything free, the gap between the means a
    square with a clearance.
normal2_unit: Two unit-variance normal components, learned in (π₁, μ₁, μ₂) and seen in (v, u, w).
normal2_unit_relative: Two unit-variance normal components in the relative chart, seen in a primed
    view.
normal3_means: Three normal components of equal weights and unit scale: the over-parameterized
    student.
normal3_relative: Three normal components, everything free, the means in order.
poisson2: Two Poisson components, everything free: counts in place of the line.
"""

__all__ = [
    "normal2",
    "normal2_means_relative",
    "normal2_relative",
    "normal2_relative_square",
    "normal2_unit",
    "normal2_unit_relative",
    "normal3_means",
    "normal3_relative",
    "poisson2",
]
