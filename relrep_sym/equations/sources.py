r"""What equations cite, as BibTeX entries.

In: nothing. Out: :data:`SOURCES`, by the short key that an equation's ``cites`` opens with. An
entry holds what is known of its work and no more: no page, number or DOI that was not seen.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["SOURCES", "Source", "cited"]


@dataclass(frozen=True)
class Source:
    r"""One work: its BibTeX key and type, and its fields in order.

    >>> print(SOURCES["LC98"].bibtex())
    @book{LehmannCasella1998,
      author = {Lehmann, Erich L. and Casella, George},
      title = {Theory of Point Estimation},
      edition = {2nd},
      publisher = {Springer},
      year = {1998},
    }
    >>> print(SOURCES["LC98"].text)
    Lehmann and Casella, Theory of Point Estimation, 2nd ed., Springer (1998)
    """

    key: str
    kind: str
    fields: tuple[tuple[str, str], ...]

    def bibtex(self) -> str:
        """The entry."""
        body = "".join(f"  {name} = {{{value}}},\n" for name, value in self.fields)
        return f"@{self.kind}{{{self.key},\n{body}}}"

    @property
    def text(self) -> str:
        """The work on one line, to read."""
        f = {name: _plain(value) for name, value in self.fields}
        families = [a.partition(",")[0] for a in f["author"].split(" and ")]
        who = families[0] if len(families) == 1 else ", ".join(families[:-1])
        who += f" and {families[-1]}" if len(families) > 1 else ""
        parts = [who, f["title"]]
        if "version" in f:
            parts.append(f"version {f['version']}")
        if "edition" in f:
            parts.append(f"{f['edition']} ed.")
        if "booktitle" in f:
            parts.append(f["booktitle"])
        if "journal" in f:
            parts.append(" ".join(v for v in (f["journal"], f.get("volume", "")) if v))
        if "eprint" in f:
            parts.append(f"arXiv:{f['eprint']}")
        if "publisher" in f:
            parts.append(f["publisher"])
        return ", ".join(parts) + (f" ({f['year']})" if "year" in f else "")


def _plain(value: str) -> str:
    """A field without TeX's braces and dashes."""
    return value.replace("{", "").replace("}", "").replace("\\_", "_").replace("--", "–")


SOURCES = {
    "EN22": Source(
        "EsserNielsen2022",
        "misc",
        (
            ("author", "Esser, Pascal Mattia and Nielsen, Frank"),
            (
                "title",
                "On the Influence of Enforcing Model Identifiability on Learning dynamics of "
                "{Gaussian} Mixture Models",
            ),
            ("year", "2022"),
            ("eprint", "2206.08598"),
            ("archivePrefix", "arXiv"),
            ("primaryClass", "cs.LG"),
        ),
    ),
    "PO09": Source(
        "ParkOzeki2009",
        "article",
        (
            ("author", "Park, Hyeyoung and Ozeki, Tomoko"),
            (
                "title",
                "Singularity and Slow Convergence of the {EM} algorithm for {Gaussian} Mixtures",
            ),
            ("journal", "Neural Processing Letters"),
            ("volume", "29"),
            ("year", "2009"),
        ),
    ),
    "DLR77": Source(
        "DempsterLairdRubin1977",
        "article",
        (
            ("author", "Dempster, Arthur P. and Laird, Nan M. and Rubin, Donald B."),
            ("title", "Maximum Likelihood from Incomplete Data via the {EM} Algorithm"),
            ("journal", "Journal of the Royal Statistical Society, Series B"),
            ("volume", "39"),
            ("number", "1"),
            ("pages", "1--38"),
            ("year", "1977"),
        ),
    ),
    "LO82": Source(
        "Louis1982",
        "article",
        (
            ("author", "Louis, Thomas A."),
            (
                "title",
                "Finding the Observed Information Matrix when Using the {EM} Algorithm",
            ),
            ("journal", "Journal of the Royal Statistical Society, Series B"),
            ("volume", "44"),
            ("year", "1982"),
        ),
    ),
    "W82": Source(
        "White1982",
        "article",
        (
            ("author", "White, Halbert"),
            ("title", "Maximum Likelihood Estimation of Misspecified Models"),
            ("journal", "Econometrica"),
            ("volume", "50"),
            ("year", "1982"),
        ),
    ),
    "MR93": Source(
        "MengRubin1993",
        "article",
        (
            ("author", "Meng, Xiao-Li and Rubin, Donald B."),
            (
                "title",
                "Maximum Likelihood Estimation via the {ECM} Algorithm: A General Framework",
            ),
            ("journal", "Biometrika"),
            ("volume", "80"),
            ("year", "1993"),
        ),
    ),
    "M94": Source(
        "Meng1994",
        "article",
        (
            ("author", "Meng, Xiao-Li"),
            ("title", "On the Rate of Convergence of the {ECM} Algorithm"),
            ("journal", "The Annals of Statistics"),
            ("volume", "22"),
            ("year", "1994"),
        ),
    ),
    "BBBB72": Source(
        "BarlowBartholomewBremnerBrunk1972",
        "book",
        (
            (
                "author",
                "Barlow, Richard E. and Bartholomew, David J. and Bremner, John M. and "
                "Brunk, H. Daniel",
            ),
            ("title", "Statistical Inference under Order Restrictions"),
            ("publisher", "Wiley"),
            ("year", "1972"),
        ),
    ),
    "RWD88": Source(
        "RobertsonWrightDykstra1988",
        "book",
        (
            ("author", "Robertson, Tim and Wright, F. T. and Dykstra, Richard L."),
            ("title", "Order Restricted Statistical Inference"),
            ("publisher", "Wiley"),
            ("year", "1988"),
        ),
    ),
    "A98": Source(
        "Amari1998",
        "article",
        (
            ("author", "Amari, Shun-ichi"),
            ("title", "Natural Gradient Works Efficiently in Learning"),
            ("journal", "Neural Computation"),
            ("volume", "10"),
            ("year", "1998"),
        ),
    ),
    "OMA23": Source(
        "VanOostrumMuellerAy2023",
        "article",
        (
            ("author", "van Oostrum, Jesse and Müller, Johannes and Ay, Nihat"),
            (
                "title",
                "Invariance Properties of the Natural Gradient in Overparametrised Systems",
            ),
            ("journal", "Information Geometry"),
            ("volume", "6"),
            ("year", "2023"),
        ),
    ),
    "BWY17": Source(
        "BalakrishnanWainwrightYu2017",
        "article",
        (
            ("author", "Balakrishnan, Sivaraman and Wainwright, Martin J. and Yu, Bin"),
            (
                "title",
                "Statistical Guarantees for the {EM} Algorithm: From Population to Sample-based "
                "Analysis",
            ),
            ("journal", "The Annals of Statistics"),
            ("volume", "45"),
            ("number", "1"),
            ("pages", "77--120"),
            ("year", "2017"),
        ),
    ),
    "XFD24": Source(
        "XuFazelDu2024",
        "inproceedings",
        (
            ("author", "Xu, Weihang and Fazel, Maryam and Du, Simon S."),
            (
                "title",
                "Toward Global Convergence of Gradient {EM} for Over-Parameterized {Gaussian} "
                "Mixture Models",
            ),
            ("booktitle", "Advances in Neural Information Processing Systems"),
            ("year", "2024"),
            ("eprint", "2407.00490"),
            ("archivePrefix", "arXiv"),
        ),
    ),
    "ST81": Source(
        "Stein1981",
        "article",
        (
            ("author", "Stein, Charles M."),
            ("title", "Estimation of the Mean of a Multivariate Normal Distribution"),
            ("journal", "The Annals of Statistics"),
            ("volume", "9"),
            ("number", "6"),
            ("pages", "1135--1151"),
            ("year", "1981"),
        ),
    ),
    "LC98": Source(
        "LehmannCasella1998",
        "book",
        (
            ("author", "Lehmann, Erich L. and Casella, George"),
            ("title", "Theory of Point Estimation"),
            ("edition", "2nd"),
            ("publisher", "Springer"),
            ("year", "1998"),
        ),
    ),
}
"""The works, by the key that ``cites`` opens with."""


def cited(cites: Iterable[str]) -> list[Source]:
    """The sources of citations such as ``EN22, Eq. (2)``, each once, by their BibTeX keys.

    >>> [s.key for s in cited(["EN22, Eq. (2)", "DLR77", "EN22, section 2"])]
    ['DempsterLairdRubin1977', 'EsserNielsen2022']
    """
    keys = {c.partition(",")[0] for c in cites}
    return sorted((SOURCES[k] for k in keys), key=lambda s: s.key)
