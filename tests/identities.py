"""Identities that are true, and beside each a planted wrong one: a sign, a factor, an index.

From the papers' own lemmas and from textbooks. ``PROVEN`` and ``VERIFIED`` say how each true one is
decided; K = 3 unless the identity is about two components or one.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import relrep_sym as rs

PROVEN, VERIFIED = "proven", "verified"


class Row(NamedTuple):
    """One identity, its wrong right sides, where it lives, where it is from."""

    name: str
    setting: str
    left: str
    right: str
    wrong: tuple[str, ...]
    status: str
    source: str
    where: dict[str, str]


@cache
def setting(name: str) -> dict[str, Any]:
    """The model or chart, and the truth, by the name of a row's setting."""
    n1 = rs.mixture("normal", components=1)
    n2 = rs.mixture("normal", components=2, scales=1)
    n3 = rs.mixture("normal", components=3, scales=1)
    free3 = rs.mixture("normal", components=3)
    tied3 = rs.mixture("normal", components=3, scales="tied")
    half = rs.mixture("normal", components=2, weights="1/2", scales=1)
    p1 = rs.mixture("poisson", components=1)
    p2 = rs.mixture("poisson", components=2)
    p3 = rs.mixture("poisson", components=3)
    one = rs.truth("normal", weights=[1], means=["a"], scales=["s"])
    two = rs.truth("normal", weights=["t", "1 - t"], means=["a", "b"], scales=["s", 1])
    standard = rs.truth("normal", weights=[1], means=[0], scales=1)
    counts = rs.truth("poisson", weights=["t", "1 - t"], rates=["a", "b"])
    vuw = {"pi_1": "v", "mu_1": "w + (1 - v)*u", "mu_2": "w - v*u"}
    pair = {"pi_1": "v", "pi_2": "o", "mu_1": "m + d", "mu_2": "m - d", "mu_3": "e"}
    return {
        "normal1": {"model": n1, "truth": one},
        "normal2": {"model": n2, "truth": two},
        "normal3": {"model": n3, "truth": one},
        "normal3 two": {"model": n3, "truth": two},
        "normal3 standard": {"model": n3, "truth": standard},
        "normal3 free": {"model": free3, "truth": one},
        "normal3 tied": {"model": tied3},
        "relative2": {"chart": rs.relative(n2, "mu"), "truth": two},
        "relative3 square": {
            "chart": rs.relative(n3, "mu", gap="square", clearance="1/4"),
            "truth": two,
        },
        "vuw": {"chart": rs.chart(n2, vuw, domains={"v": "unit"}), "truth": two},
        "pair3": {"chart": rs.chart(n3, pair, domains={"v": "unit", "o": "unit"}), "truth": one},
        "symmetric": {
            "chart": rs.chart(half, {"mu_1": "m", "mu_2": "-m"}),
            "truth": standard,
        },
        "poisson1": {"model": p1},
        "poisson2": {"model": p2, "truth": counts},
        "poisson3": {"model": p3, "truth": counts},
        "log poisson3": {"chart": rs.log(p3, "rate"), "truth": counts},
    }[name]


PSI = "r_1*mu_1 + r_2*mu_2 + r_3*mu_3"
VIEW = {"u": "mu_1 - mu_2", "w": "pi_1*mu_1 + (1 - pi_1)*mu_2"}
PRIMED = {"w": "mu_1 + (1 - pi_1)*Delta_1"}


def row(
    name: str,
    setting: str,
    left: str,
    right: str,
    *wrong: str,
    source: str,
    status: str = PROVEN,
    **where: str,
) -> Row:
    """A row of the table."""
    return Row(name, setting, left, right, wrong, status, source, where)


TABLE: tuple[Row, ...] = (
    # --------------------------------------------------- Esser and Nielsen (2022)
    row(
        "mobility entry vw", "normal2",
        "D[pi_1, pi_1]*D[w, pi_1] + D[pi_1, mu_1]*D[w, mu_1] + D[pi_1, mu_2]*D[w, mu_2]", "u",
        "-u", source="EsserNielsen2022, appendix D", **VIEW,
    ),
    row(
        "mobility entry uw", "normal2",
        "D[u, pi_1]*D[w, pi_1] + D[u, mu_1]*D[w, mu_1] + D[u, mu_2]*D[w, mu_2]", "2*pi_1 - 1",
        "1 - 2*pi_1", source="EsserNielsen2022, appendix D", **VIEW,
    ),
    row(
        "mobility entry ww", "normal2",
        "D[w, pi_1]**2 + D[w, mu_1]**2 + D[w, mu_2]**2", "2*pi_1**2 - 2*pi_1 + u**2 + 1",
        "2*pi_1**2 - 2*pi_1 + 2*u**2 + 1", source="EsserNielsen2022, appendix D", **VIEW,
    ),
    row(
        "Jacobian of the primed view", "relative2", "D[w, pi_1]", "-Delta_1",
        "mu_1 - Delta_1",  # what is printed
        source="EsserNielsen2022, appendix D", **PRIMED,
    ),
    row(
        "mobility of the primed view", "relative2",
        "D[w, pi_1]**2 + D[w, mu_1]**2 + D[w, Delta_1]**2", "Delta_1**2 + 1 + (1 - pi_1)**2",
        "3*Delta_1**3 + 2*mu_1*Delta_1 - 4*Delta_1 + mu_1**2 + 2*pi_1**2 + 2",  # what is printed
        source="EsserNielsen2022, appendix D", **PRIMED,
    ),
    row(
        "learning equation of v", "vuw",
        "D_theta[E[log_p], pi_1]", "D[E[log_p], v] + u*D[E[log_p], w]",
        "D[E[log_p], v] - u*D[E[log_p], w]", source="EsserNielsen2022, appendix D, dv/dt",
    ),
    row(
        "learning equation of u", "vuw",
        "D_theta[E[log_p], mu_1] - D_theta[E[log_p], mu_2]",
        "2*D[E[log_p], u] - (1 - 2*v)*D[E[log_p], w]",
        "2*D[E[log_p], u] + (1 - 2*v)*D[E[log_p], w]", source="EsserNielsen2022, appendix D, du/dt",
    ),
    row(
        "learning equation of w", "vuw",
        "u*D_theta[E[log_p], pi_1] + v*D_theta[E[log_p], mu_1] + (1 - v)*D_theta[E[log_p], mu_2]",
        "u*D[E[log_p], v] - (1 - 2*v)*D[E[log_p], u] + (u**2 + v**2 + (1 - v)**2)*D[E[log_p], w]",
        "u*D[E[log_p], v] - (1 - 2*v)*D[E[log_p], u] + (u**2 + v**2 - (1 - v)**2)*D[E[log_p], w]",
        source="EsserNielsen2022, appendix D, dw/dt",
    ),
    row(
        "gradient in the reference mean", "relative3 square",
        "D[E[log_p], mu_1]",
        "D_theta[E[log_p], mu_1] + D_theta[E[log_p], mu_2] + D_theta[E[log_p], mu_3]",
        "D_theta[E[log_p], mu_1] + D_theta[E[log_p], mu_2]", source="EsserNielsen2022, section 3",
    ),
    row(
        "gradient in a gap", "relative3 square",
        "D[E[log_p], Delta_1]",
        "2*Delta_1*E[r_2*(x - mu_2) + r_3*(x - mu_3)]",
        "2*Delta_1*E[r_2*(x - mu_2)]", "Delta_1*E[r_2*(x - mu_2) + r_3*(x - mu_3)]",
        source="EsserNielsen2022, section 3",
    ),
    row(
        "Fisher information pulled back", "relative3 square",
        "E_p[D[log_p, Delta_1]*D[log_p, Delta_2]]",
        "4*Delta_1*Delta_2*E_p[(r_2*(x - mu_2) + r_3*(x - mu_3))*r_3*(x - mu_3)]",
        "4*Delta_1*Delta_2*E_p[r_2*(x - mu_2)*r_3*(x - mu_3)]",
        source="EsserNielsen2022, section 5.1",
    ),
    row(
        "the step for the reference mean", "relative2",
        "E[r_1*x + r_2*(x - Delta_1)] - mu_1*E[r_1 + r_2]", "D[E[log_p], mu_1]",
        "D[E[log_p], Delta_1]", source="EsserNielsen2022, appendix B",
    ),
    row(
        "the step for the gap", "relative2",
        "(E[r_2*x] - mu_1*E[r_2])/E[r_2] - Delta_1", "D[E[log_p], Delta_1]/E[r_2]",
        "D[E[log_p], Delta_1]/E[r_1]", source="EsserNielsen2022, appendix B",
    ),
    # ------------------------------------- Van Oostrum, Müller and Ay
    row(
        "Gram matrix pulled back", "log poisson3",
        "E_p[D[log_p, log_rate_1]*D[log_p, log_rate_2]]",
        "exp(log_rate_1 + log_rate_2)*E_p[D_theta[log_p, rate_1]*D_theta[log_p, rate_2]]",
        "exp(log_rate_1)*E_p[D_theta[log_p, rate_1]*D_theta[log_p, rate_2]]",
        source="VanOostrumMuellerAy2023, definition of the Gram matrix",
    ),
    row(
        "gradient is a covector", "log poisson3",
        "D[E[log_p], log_rate_3]", "rate_3*D_theta[E[log_p], rate_3]",
        "D_theta[E[log_p], rate_3]/rate_3", source="VanOostrumAy2021, gradient on parameters",
    ),
    row(
        "Gram matrix of sum and difference", "pair3",
        "E_p[D[log_p, m]*D[log_p, d]]",
        "E_p[D_theta[log_p, mu_1]**2 - D_theta[log_p, mu_2]**2]",
        "E_p[D_theta[log_p, mu_1]**2 + D_theta[log_p, mu_2]**2]",
        source="VanOostrumMuellerAy2023, change of parametrisation",
    ),
    row(
        "push-forward of a coordinate vector", "pair3",
        "D[E[log_p], d]", "D_theta[E[log_p], mu_1] - D_theta[E[log_p], mu_2]",
        "D_theta[E[log_p], mu_1] + D_theta[E[log_p], mu_2]", source="VanOostrumAy2021, chain rule",
    ),
    row(
        "Fisher metric of the normal family", "normal1",
        "E_p[D[log_p, sigma_1]**2]", "2/sigma_1**2", "1/sigma_1**2",
        source="VanOostrumMuellerAy2023, Fisher metric",
    ),
    row(
        "orthogonal coordinates", "normal1",
        "E_p[D[log_p, mu_1]*D[log_p, sigma_1]]", "0", "1/sigma_1**2",
        source="VanOostrumMuellerAy2023, Fisher metric",
    ),
    # ---------------------------------------------------- Xu, Fazel and Du (2024)
    row(
        "gradient EM is gradient descent", "normal3 two",
        "D[E[log_q - log_p], mu_2]", "E[r_2*(mu_2 - x)]",
        "E[r_2*(x - mu_2)]", "E[r_3*(mu_2 - x)]", source="XuFazelDu2024, Fact 1",
    ),
    row(
        "Stein form of the gradient", "normal3 standard",
        "D[-E[log_p], mu_2]", "E[r_2*psi]", "-E[r_2*psi]", "E[r_1*psi]",
        source="XuFazelDu2024, Lemma 9", psi=PSI,
    ),
    row(
        "projected gradient", "normal3 standard",
        "-mu_1*D[E[log_p], mu_1] - mu_2*D[E[log_p], mu_2] - mu_3*D[E[log_p], mu_3]", "E[psi**2]",
        "E[psi**2]/2", "E[psi]**2", source="XuFazelDu2024, Corollary 10", psi=PSI,
    ),
    row(
        "gradient by the matrix C", "normal3 standard",
        "D[-E[log_p], mu_3]", "E[r_3*r_1]*mu_1 + E[r_3*r_2]*mu_2 + E[r_3**2]*mu_3",
        "E[r_3*r_1]*mu_1 + E[r_3*r_2]*mu_2 + E[r_3]*mu_3", source="XuFazelDu2024, Lemma 9 as C mu",
    ),
    row(
        "rows of C", "normal3 two", "E[r_1**2] + E[r_1*r_2] + E[r_1*r_3]", "E[r_1]",
        "E[r_1]**2", source="XuFazelDu2024, C = E[psi psi^T]",
    ),
    row(
        "Stein's lemma", "normal3", "E[sin(x)*(x - a)]", "s**2*E[cos(x)]", "s*E[cos(x)]",
        "-s**2*E[cos(x)]", source="XuFazelDu2024, Lemma 16",
    ),
    row(
        "Stein's lemma of a responsibility", "normal3 free",
        "E[r_2*(x - a)]", "s**2*E[D[r_2, x]]", "s**2*E[D[r_1, x]]",
        source="XuFazelDu2024, Lemma 16",
    ),
    row(
        "slope of psi", "normal3",
        "D[psi, x]",
        "r_1*r_2*(mu_1 - mu_2)**2 + r_1*r_3*(mu_1 - mu_3)**2 + r_2*r_3*(mu_2 - mu_3)**2",
        "2*r_1*r_2*(mu_1 - mu_2)**2 + 2*r_1*r_3*(mu_1 - mu_3)**2 + 2*r_2*r_3*(mu_2 - mu_3)**2",
        source="XuFazelDu2024, equation (5)", psi=PSI,
    ),
    row(
        "slope of a responsibility", "normal3", "D[r_2, x]", "r_2*(mu_2 - psi)",
        "r_2*(psi - mu_2)", source="XuFazelDu2024, proof of Lemma 9", psi=PSI,
    ),
    row(
        "responsibility against another mean", "normal3 free",
        "D[r_1, mu_2]", "-r_1*r_2*(x - mu_2)/sigma_2**2",
        "r_1*r_2*(x - mu_2)/sigma_2**2", "-r_1*r_2*(x - mu_1)/sigma_2**2",
        source="XuFazelDu2024, smoothness of the loss",
    ),
    row(
        "E step of a mean", "normal3 standard", "E[r_1*x]", "E[r_1*(mu_1 - psi)]",
        "E[r_1*(mu_1 + psi)]", source="XuFazelDu2024, proof of Lemma 9", psi=PSI,
    ),
    row(
        "mixed curvature of the loss", "normal3 two",
        "D[E[log_p], mu_1, mu_2]", "-E[r_1*r_2*(x - mu_1)*(x - mu_2)]",
        "E[r_1*r_2*(x - mu_1)*(x - mu_2)]", source="XuFazelDu2024, Theorem 13",
    ),
    row(
        "curvature of the loss", "normal3 two",
        "D[E[log_p], mu_1, mu_1]", "E[r_1*(1 - r_1)*(x - mu_1)**2 - r_1]",
        "E[r_1*(1 - r_1)*(x - mu_1)**2 + r_1]", source="XuFazelDu2024, Theorem 13",
    ),
    row(
        "mirrored responsibility", "symmetric", "At[r_1, -x]", "r_2", "r_1",
        source="XuFazelDu2024, appendix: symmetric pairs", status=VERIFIED,
    ),
    row(
        "opposite gradients", "symmetric",
        "D_theta[E[log_p], mu_1]", "-D_theta[E[log_p], mu_2]", "D_theta[E[log_p], mu_2]",
        source="XuFazelDu2024, appendix: symmetric pairs", status=VERIFIED,
    ),
    # ------------------------------------------------------------------ textbooks: the model's own
    row("mean responsibility", "normal3 free", "E_p[r_2]", "pi_2", "pi_1", source="textbook"),
    row(
        "responsibilities sum to one", "poisson3", "r_1 + r_2", "1 - r_3", "1 + r_3",
        source="textbook",
    ),
    row(
        "what two components confuse", "normal3 free", "pi_2*E_2[r_1]", "pi_1*E_1[r_2]",
        "pi_1*E_1[r_3]", "pi_2*E_1[r_2]", source="Bayes",
    ),
    row(
        "score in a mean", "normal3 free", "E_p[D[log_p, mu_3]]", "0", "1/sigma_3",
        source="Bartlett, first",
    ),
    row(
        "score in a weight", "normal3 free", "E_p[D[log_p, pi_1]]", "0", "pi_1 - pi_3",
        source="Bartlett, first",
    ),
    row(
        "score in a scale", "normal3 free", "E_p[D[log_p, sigma_2]]", "0", "pi_2/sigma_2",
        source="Bartlett, first",
    ),
    row(
        "second Bartlett identity", "normal3 free",
        "E_p[D[log_p, pi_1, sigma_2]]", "-E_p[D[log_p, pi_1]*D[log_p, sigma_2]]",
        "E_p[D[log_p, pi_1]*D[log_p, sigma_2]]", source="Bartlett, second",
    ),
    row(
        "third-order Bartlett identity", "poisson2",
        "E_p[D[log_p, rate_1, rate_1, rate_2]]",
        "-2*E_p[D[log_p, rate_1, rate_2]*D[log_p, rate_1]]"
        " - E_p[D[log_p, rate_1, rate_1]*D[log_p, rate_2]]"
        " - E_p[D[log_p, rate_1]**2*D[log_p, rate_2]]",
        "-E_p[D[log_p, rate_1, rate_2]*D[log_p, rate_1]]"
        " - E_p[D[log_p, rate_1, rate_1]*D[log_p, rate_2]]"
        " - E_p[D[log_p, rate_1]**2*D[log_p, rate_2]]",
        source="Bartlett, third",
    ),
    row(
        "Fisher's identity", "normal3 free", "D[log_p, sigma_2]", "r_2*D[log(f_2), sigma_2]",
        "r_1*D[log(f_2), sigma_2]", source="Fisher; Dempster, Laird and Rubin",
    ),
    row(
        "Louis' identity", "normal3 free", "-D[log_p, mu_1, mu_1]",
        "-r_1*D[log(f_1), mu_1, mu_1] - r_1*D[log(f_1), mu_1]**2 + (r_1*D[log(f_1), mu_1])**2",
        "-r_1*D[log(f_1), mu_1, mu_1] + r_1*D[log(f_1), mu_1]**2 - (r_1*D[log(f_1), mu_1])**2",
        source="Louis 1982",
    ),
    row(
        "the bound that is met", "normal3 free", "log_p",
        "r_1*(log(pi_1*f_1) - log(r_1)) + r_2*(log(pi_2*f_2) - log(r_2))"
        " + r_3*(log(pi_3*f_3) - log(r_3))",
        "r_1*(log(pi_1*f_1) + log(r_1)) + r_2*(log(pi_2*f_2) + log(r_2))"
        " + r_3*(log(pi_3*f_3) + log(r_3))",
        source="EM as maximisation of a bound",
    ),
    row(
        "log-odds are affine", "normal3", "log(r_1/r_3)",
        "log(pi_1/pi_3) + (mu_1 - mu_3)*x - (mu_1**2 - mu_3**2)/2",
        "log(pi_1/pi_3) + (mu_1 - mu_3)*x + (mu_1**2 - mu_3**2)/2", source="textbook",
    ),
    row(
        "logistic responsibility", "normal2", "r_1",
        "1/(1 + (1 - pi_1)/pi_1*exp((mu_1**2 - mu_2**2)/2 - (mu_1 - mu_2)*x))",
        "1/(1 + (1 - pi_1)/pi_1*exp((mu_1 - mu_2)*x - (mu_1**2 - mu_2**2)/2))",
        source="textbook", status=VERIFIED,
    ),
    row(
        "weight's gradient of the cross-entropy", "normal3 two",
        "D[E[log_p], pi_2]", "E[r_2]/pi_2 - E[r_3]/pi_3", "E[r_2]/pi_2 - E[r_1]/pi_1",
        source="textbook",
    ),
    row(
        "Tweedie's formula", "normal3", "psi", "x + D[log_p, x]", "x - D[log_p, x]",
        source="Tweedie; Robbins", psi=PSI,
    ),
    row(
        "Tweedie's second formula", "normal3",
        "r_1*mu_1**2 + r_2*mu_2**2 + r_3*mu_3**2 - psi**2", "1 + D[log_p, x, x]",
        "1 - D[log_p, x, x]", source="textbook", psi=PSI,
    ),
    row(
        "Fisher information of location", "normal3 free",
        "E_p[D[log_p, x]**2]", "-E_p[D[log_p, x, x]]", "-E_p[D[log_p, x, x]]/2", source="textbook",
    ),
    row(
        "heat equation", "normal3 tied", "D[p, sigma]", "sigma*D[p, x, x]", "D[p, x, x]/2",
        source="textbook",
    ),
    # ------------------------------------------------------------------ textbooks: moments
    row(
        "law of total variance", "normal3 free", "E_p[x**2] - E_p[x]**2",
        "pi_1*sigma_1**2 + pi_2*sigma_2**2 + pi_3*sigma_3**2"
        " + pi_1*(mu_1 - E_p[x])**2 + pi_2*(mu_2 - E_p[x])**2 + pi_3*(mu_3 - E_p[x])**2",
        "pi_1*sigma_1**2 + pi_2*sigma_2**2 + pi_3*sigma_3**2"
        " + pi_1*(mu_1 - E_p[x])**2 + pi_2*(mu_2 - E_p[x])**2 - pi_3*(mu_3 - E_p[x])**2",
        source="textbook",
    ),
    row(
        "third central moment", "normal2", "E_p[(x - E_p[x])**3]",
        "pi_1*(1 - pi_1)*(1 - 2*pi_1)*(mu_1 - mu_2)**3",
        "pi_1*(1 - pi_1)*(2*pi_1 - 1)*(mu_1 - mu_2)**3", source="textbook",
    ),
    row(
        "fourth moment", "normal3 two", "E[x**4]",
        "t*(a**4 + 6*a**2*s**2 + 3*s**4) + (1 - t)*(b**4 + 6*b**2 + 3)",
        "t*(a**4 + 6*a**2*s**2 + s**4) + (1 - t)*(b**4 + 6*b**2 + 3)", source="textbook",
    ),
    row(
        "posterior moment", "normal3 free", "E_p[r_2*x**3]",
        "pi_2*(mu_2**3 + 3*mu_2*sigma_2**2)", "pi_2*(mu_2**3 + mu_2*sigma_2**2)",
        source="textbook",
    ),
    row(
        "moment generating function", "normal3 free", "E_1[exp(x)]",
        "exp(mu_1 + sigma_1**2/2)", "exp(mu_1 + sigma_1**2)", source="textbook", status=VERIFIED,
    ),
    row(
        "factorial moment", "poisson3", "E_p[x*(x - 1)*(x - 2)]",
        "pi_1*rate_1**3 + pi_2*rate_2**3 + pi_3*rate_3**3",
        "pi_1*rate_1**2 + pi_2*rate_2**2 + pi_3*rate_3**2", source="textbook",
    ),
    row(
        "overdispersion", "poisson2", "E_p[x**2] - E_p[x]**2 - E_p[x]",
        "pi_1*(1 - pi_1)*(rate_1 - rate_2)**2", "-pi_1*(1 - pi_1)*(rate_1 - rate_2)**2",
        source="textbook",
    ),
    row(
        "Stein–Chen identity", "poisson3", "E_1[x*r_2]", "rate_1*E_1[At[r_2, x + 1]]",
        "rate_2*E_1[At[r_2, x + 1]]", "rate_1*E_1[r_2]", source="Chen 1975",
    ),
    row(
        "Stein–Chen identity under the truth", "poisson3",
        "E[x*r_3]", "t*a*E_q_1[At[r_3, x + 1]] + (1 - t)*b*E_q_2[At[r_3, x + 1]]",
        "t*a*E_q_1[At[r_3, x + 1]] + (1 - t)*a*E_q_2[At[r_3, x + 1]]", source="Chen 1975",
    ),
    row(
        "Poisson score", "poisson3", "D[log_p, rate_2]", "r_2*(x/rate_2 - 1)",
        "r_2*(x - 1)/rate_2", source="textbook",
    ),
    row(
        "derivative in a rate is a difference", "poisson1", "D[E_p[x**3], rate_1]",
        "E_p[(x + 1)**3 - x**3]", "E_p[x**3 - (x - 1)**3]", source="textbook",
    ),
    # ------------------------------------------------------------------ textbooks: the truth's side
    row(
        "Bonnet's theorem", "normal3 free", "D[E[log_p], a]", "E[D[log_p, x]]",
        "-E[D[log_p, x]]", source="Bonnet 1964",
    ),
    row(
        "Price's theorem", "normal3", "D[E[log_p], s]", "s*E[D[log_p, x, x]]",
        "s*E[D[log_p, x, x]]/2", source="Price 1958",
    ),
    row(
        "gradient of the divergence in the truth", "normal3",
        "D[E[log_q - log_p], a]", "E[(log_q - log_p)*(x - a)]/s**2",
        "E[(log_q - log_p)*(x - a)]/s", source="score function identity",
    ),
    row(
        "change of measure", "normal3 two", "E_p[r_2*x*q/p]", "E[r_2*x]", "E_p[r_2*x]",
        source="textbook",
    ),
    row(
        "a density as a ratio", "normal3", "E[f_2/q]", "1", "pi_2",
        source="textbook",
    ),
    row(
        "divergence of two normals", "normal1", "E[log_q - log_p]",
        "log(sigma_1/s) + (s**2 + (a - mu_1)**2)/(2*sigma_1**2) - 1/2",
        "log(sigma_1/s) + (s**2 + (a - mu_1)**2)/(2*sigma_1**2) + 1/2", source="textbook",
    ),
    row(
        "Bhattacharyya coefficient", "normal1", "E[sqrt(p/q)]",
        "sqrt(2*s*sigma_1/(s**2 + sigma_1**2))*exp(-(a - mu_1)**2/(4*(s**2 + sigma_1**2)))",
        "sqrt(2*s*sigma_1/(s**2 + sigma_1**2))*exp(-(a - mu_1)**2/(2*(s**2 + sigma_1**2)))",
        source="textbook", status=VERIFIED,
    ),
)  # fmt: skip
