"""The README's picture, drawn anew: ``.venv/bin/python docs/pictures/old_faithful.py``.

Left, the waiting times of Old Faithful and the fitted mixture. Right, the averaged learning
equations that the same sample makes, over the lower mean and the gap between the means, and the
paths that EM and ECM take through them. Needs matplotlib, the extra ``plot``.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np

import relrep_sym as rs
from relrep_sym.data import faithful

START = {"pi_1": 0.5, "mu_1": 66.0, "Delta_1": 4.0, "sigma_1": 9.0, "sigma_2": 9.0}


def main() -> None:
    """Draw it beside this script."""
    mpl.use("agg")
    import matplotlib.pyplot as plt

    model = rs.mixture("normal", components=2)
    d = rs.derive(model, rs.relative(model, "mu"), name="normal2_relative")
    k = d.compile()
    waiting = faithful()[:, 1]
    fits = {m: k.fit(waiting, START, m, max_iter=500) for m in ("em", "ecm")}
    best = fits["em"]

    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    left.hist(waiting, bins=np.arange(41, 100, 3), density=True, color="0.85")
    x = np.linspace(40, 100, 400)
    density = np.exp(k.log_density(x, best.coords))
    shares = k.responsibilities(x, best.coords).T * density
    left.plot(x, shares.T, color="0.45", lw=1, ls="--")
    left.plot(x, density, color="#1f5fa8", lw=2)
    left.set(xlabel="waiting time, minutes", ylabel="density", title="fitted mixture")

    others = {n: v for n, v in best.parameters.items() if n in ("pi_1", "sigma_1", "sigma_2")}
    sample = (waiting, np.ones(waiting.size))
    rs.plot.field(
        d, sample, "mu_1", "Delta_1", others, xlim=(48, 72), ylim=(0, 32), n=41, ax=right,
        density=1.1, linewidth=0.6, arrowsize=0.7,
    )  # fmt: skip
    for (method, fit), color in zip(fits.items(), ("#b3392f", "#2a7f3f"), strict=True):
        along = fit.path[: fit.iterations + 1, [1, 2]]
        right.plot(*along.T, ".-", color=color, ms=3, lw=1.4, label=method.upper())
    right.plot(*best.coords[[1, 2]], "o", color="black", ms=5, zorder=5)
    right.legend(loc="upper right")
    right.set(title="learning dynamics")
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=130, metadata={"Software": None})


if __name__ == "__main__":
    main()
