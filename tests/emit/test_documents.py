r"""Whole documents, read back: what every equation prints is what was derived, in any symbols.

Each derivation and example is read in its own symbols, and in adversarial ones that take the
letters of the equations' own quantities: means m_k, precisions w_k, responsibilities r_k, E_q, the
indices, hats, the mark of a new value. Numbers are held against the SymPy values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import sympy as sp
from scipy.optimize import isotonic_regression

import relrep_sym as rs
from relrep_sym.declare.request import read_request
from relrep_sym.emit import latex
from relrep_sym.equations.record import Equation
from tests.emit.cases import BEYOND, SCRIPTS, case
from tests.emit.reading import Printed, World, lines_of, number, remarked

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(ROOT.glob("examples/*.toml"))
SHOWN = [*(p.stem for p in SCRIPTS), *(p.stem for p in EXAMPLES)]
ETA = 0.7

RENAMINGS: dict[str, dict[str, str]] = {
    "means": {"mu": "m", "rate": "m", "sigma": "s"},
    "precisions": {"sigma": "w", "mu": "y", "rate": "y", "Delta": "M", "pi": "m"},
    "regression": {"mu": "u", "rate": "u", "sigma": r"\nu", "Delta": r"\kappa", "pi": "y"},
    "masses": {"pi": "N", "mu": "Q", "rate": "Q", "sigma": "L", "Delta": "J"},
    "indices": {"pi": "i", "mu": "k", "rate": "k", "sigma": "j", "Delta": "l"},
    "densities": {"pi": "p", "mu": "r", "rate": "r", "sigma": "q", "Delta": "f"},
    "observation": {"pi": "t", "mu": "x", "rate": "x", "sigma": r"\eta", "Delta": r"\lambda"},
    "hats": {"mu": r"\hat{\mu}", "rate": r"\hat{\rho}", "Delta": r"\hat{\delta}", "pi": "C"},
    "marks": {"mu": r"\mu^+", "rate": r"\rho^+", "Delta": r"\delta'", "sigma": r"\sigma^\dagger"},
    "calculus": {"pi": "e", "mu": "d", "rate": "d", "sigma": r"\ell", "Delta": "E", "pi_1": "H"},
}
"""Ten that take the letters of the equations' own quantities; each for the names that are there."""


@cache
def derivation(name: str) -> rs.Derivation:
    path = next((p for p in EXAMPLES if p.stem == name), None)
    if path is None:
        return case(name)
    r = read_request(path)
    return rs.derive(
        r.model, r.chart, view=r.view, name=r.name, moving=r.moving, symbols=dict(r.symbols)
    )


def renamed(d: rs.Derivation, which: str) -> rs.Derivation:
    """The derivation in adversarial symbols, of those names that it prints."""
    known = latex.printed_names(d.record)
    taken = dict(d.notation.symbols) if which == "own" else {}
    wanted = RENAMINGS.get(which, {})
    if which == "calculus" and d.model.components == 2:
        wanted = {n: s for n, s in wanted.items() if n != "pi_1"}
    plain = set(known.values())
    return d.in_symbols(
        {**taken, **{n: s for n, s in wanted.items() if n in known and s not in plain}}
    )


class Page:
    """A derivation's document at random coordinates and new coordinates, for a weighted sample."""

    def __init__(self, d: rs.Derivation, seed: int) -> None:
        self.d, self.record, self.model = d, d.record, d.model
        self.rng = rng = np.random.default_rng(seed)
        family = d.model.family
        n = 60
        self.x = rng.poisson(3.0, n).astype(float) if family.discrete else rng.normal(0.0, 2.0, n)
        if isinstance(family.support, tuple):  # a few whole numbers
            self.x = rng.integers(0, 6, n).astype(float)
        self.x = np.abs(self.x) if family.support == "half-line" else self.x
        self.w = rng.dirichlet(np.full(n, 5.0))
        self.eta = {sp.Symbol("eta", positive=True): ETA}
        self.constants = {
            c.symbol if hasattr(c, "symbol") else sp.Symbol(c.name): float(rng.uniform(0.1, 0.4))
            for c in d.chart.constants
        }
        self.now, self.theta = self.drawn()
        self.new, self.new_theta = self.drawn()
        self.values = {**self.eta, **self.constants, **self.now, **self.theta}
        self.world = World(
            self.x, self.w, self._density(), rng.uniform(0.1, 1.0, n),
            [self.number(e) for e in self.record.responsibilities],
        )  # fmt: skip
        names = d.record.printed_names
        self.notation = latex.notation_of(d.record["chart"], d.notation)
        self.world.spelled = self.notation.letters
        assert not set(names) & {"@"}
        self.world.let(self.notation.written(r"@\eta"), ETA)
        self.alias: dict[object, object] = {}
        for mark, values in (
            ("", self._named(self.now, self.theta)),
            ("^+", self._named(self.new, self.new_theta)),
        ):
            for name, value in values.items():
                self.world.let(self.written(name) + mark, value)

        for general, own in self.notation.exceptions():  # said in words: "Here H is e_1"
            for mark in ("", "^+"):
                here = self.world.key(self._apart(own) + mark)
                self.alias[here] = self.world.key(self._apart(general) + mark)
                self.world.let(self._apart(general) + mark, self.world.names[here])

    def written(self, name: str) -> str:
        return self._apart(self.notation.written(self.record.printed_names[name]))

    def _apart(self, text: str) -> str:
        """A text with the user's symbols that hold a mark of ours as one sign each."""
        for n, (_, symbol) in enumerate(self.d.notation.symbols):
            if symbol in RENAMINGS["marks"].values():
                sign = rf"\mathsf{{z{n}}}"
                text = text.replace(symbol, sign)
                text = re.sub(
                    rf"\{{({re.escape(sign)}(?:_(?:\{{[^{{}}]*\}}|[^{{}}]))?)\}}(?=\^)", r"\1", text
                )
        return re.sub(r"\^\{\\mathrm\{new\}\}", "^+", text)

    def drawn(self) -> tuple[dict[sp.Symbol, float], dict[sp.Symbol, float]]:
        rng, chart = self.rng, self.d.chart
        shares = list(rng.dirichlet(np.full(len(chart.coordinates) + 1, 3.0)))
        draw: Mapping[str, Callable[[], float]] = {
            "real": lambda: float(rng.uniform(-1.0, 1.0)),
            "positive": lambda: float(rng.uniform(0.5, 2.0)),
            "nonnegative": lambda: float(rng.uniform(0.2, 1.5)),
            "unit": shares.pop,
        }
        for _ in range(100):
            now = {c.symbol: float(draw[c.domain.name]()) for c in chart.coordinates}
            known = {**now, **self.constants}
            theta = {s: float(number(e, known, self.x, self.w)) for s, e in chart.unrolled.items()}
            if all(theta[p.symbol] > p.domain.lower for p in self.model.parameters):
                return now, theta
            shares[:] = list(rng.dirichlet(np.full(len(chart.coordinates) + 1, 3.0)))
        raise AssertionError("no point in the model's domain was drawn")

    def _named(
        self, now: dict[sp.Symbol, float], theta: dict[sp.Symbol, float]
    ) -> dict[str, object]:
        g, out = self.record.generic, {}
        for name, value in self.model.fixed.items():
            out[name] = float(value)
        for k, weight in enumerate(self.model.weight_expressions):
            if self.model.components > 1:
                out[f"pi_{k + 1}"] = number(weight, {**theta, **self.constants}, self.x, self.w)
        for s, value in theta.items():
            out[s.name] = value
        for s, value in self.constants.items():
            out[s.name] = value
        for c in self.d.chart.coordinates:
            mark = "~" if c.symbol in g.clashes else ""
            key = mark + c.name if mark + c.name in self.record.printed_names else c.name
            out[key] = now[c.symbol]
        return {n: v for n, v in out.items() if n in self.record.printed_names}

    def _density(self) -> Callable[..., np.ndarray]:
        family, fixed = self.model.family, self.record.generic.constants
        free = [p.symbol for p in family.parameters if p.name not in fixed]
        given = {p.symbol: float(fixed[p.name]) for p in family.parameters if p.name in fixed}

        def density(*arguments: object) -> np.ndarray:
            values = {**given, **dict(zip(free, arguments, strict=True))}
            return np.exp(number(family.log_density, values, self.x, self.w))

        return density

    # ------------------------------------------------------------------ reading

    def number(self, e: sp.Basic, **more: object) -> object:
        return number(e, self.values, self.x, self.w)

    def lines(self, equation: Equation) -> list[Printed]:
        text = self._apart(latex.fragment(equation, self.d.notation))
        return lines_of(remarked(text, self.world.spelled))

    def key(self, printed: str, **place: int) -> object:
        found = self.world.key(printed, **place)
        return self.alias.get(found, found)

    def coordinate(self, name: str, mark: str = "") -> object:
        tilde = "~" if sp.Symbol(name) in self.record.generic.clashes else ""
        key = tilde + name if tilde + name in self.record.printed_names else name
        return self.key(self.written(key) + mark)

    def take(self, line: Printed) -> None:
        for place in line.places():
            self.world.names[self.key(line.left, **place)] = self.world.read(line.right, **place)

    def read(self, lines: list[Printed], left: str) -> dict[object, object]:
        """Right sides by the name in the left side, of every place of a generic line."""
        out: dict[object, object] = {}
        for line in lines:
            found = re.fullmatch(left, line.left)
            assert found, line.left
            for place in line.places():
                names = tuple(self.key(n.replace(r"\, ", ""), **place) for n in found.groups())
                assert names not in out
                out[names] = self.world.read(line.right, **place)
        return out


def agree(read: object, derived: object) -> None:
    np.testing.assert_allclose(read + np.zeros_like(derived), derived, rtol=1e-9, atol=1e-11)


def each_coordinate(page: Page, read: dict[object, object], derived: Iterator[object]) -> None:
    values = list(derived)
    assert len(read) == len(values)
    for name, value in zip(page.d.chart.names, values, strict=True):
        agree(read[(page.coordinate(name),)], value)


# ------------------------------------------------------------------------------ by equation


def chart(page: Page, lines: list[Printed]) -> None:
    assert lines[0].left in (r"@\lambda", r"@\lambda = @\theta")
    for line in lines[1:]:
        for place in line.places():
            value, key = page.world.read(line.right, **place), page.key(line.left, **place)
            agree(value, page.world.names.setdefault(key, value))  # what stands between is new
            if key[0] == "log":  # printed like the logarithm of something, and read as that
                page.world.names.setdefault(key[1:], np.exp(value))


def jacobian(page: Page, lines: list[Printed]) -> None:
    value = page.record["jacobian"].value
    derived = np.array([[page.number(e) for e in value.row(i)] for i in range(value.rows)], float)
    if len(lines) == 1:
        agree(page.world.read(lines[0].right), derived)
        return
    if any(r"\right|" in line.right for line in lines) or "<" in lines[0].where + lines[0].left:
        return  # local slopes: the reader of charts with intermediates is tests/equations
    sides = [line for line in lines[:-1] if re.search(r"@k (=|\\ne|>|<) @j", line.where)]
    if sides:
        return
    read = page.read(lines[:-1], r"\\frac\{\\partial (.*)\}\{\\partial (.*)\}")
    for i, row in enumerate(page.model.names):
        for j, column in enumerate(page.d.chart.names):
            place = (page.key(page.written(row)), page.coordinate(column))
            agree(read.pop(place, 0.0), derived[i, j])
    assert not read


def log_likelihood(page: Page, lines: list[Printed]) -> None:
    (line,) = lines
    agree(page.world.read(line.right), page.number(page.record["log_likelihood"].value))


def kl(page: Page, lines: list[Printed]) -> None:
    (line,) = lines
    mean = page.number(page.record["log_likelihood"].value)
    agree(page.world.read(line.right), np.sum(page.w * np.log(page.world.truth)) - mean)


def responsibilities(page: Page, lines: list[Printed]) -> None:
    *ratios, density = lines
    for ratio in ratios:
        for place in ratio.places():
            k = place.get("k", 1)
            agree(
                page.world.read(ratio.right, **place) + 0 * page.x,
                page.world.responsibilities[k - 1],
            )
    _density_line(page, density)


def _density_line(page: Page, line: Printed) -> None:
    family, constants = page.model.family, page.record.generic.constants
    values = {p.symbol: 0.3 + 0.1 * n for n, p in enumerate(family.parameters)}
    values |= {p.symbol: float(constants[p.name]) for p in family.parameters if p.name in constants}
    kept = dict(page.world.names)
    for p in family.parameters:
        page.world.let(page.written(p.name), values[p.symbol])
    agree(page.world.read(line.right), np.exp(number(family.log_density, values, page.x, page.w)))
    page.world.names = kept


_SCORE = r"\\frac\{\\partial \\log @p\(@x\)\}\{\\partial (.*)\}"


def score(page: Page, lines: list[Printed]) -> None:
    value = [page.number(e) + 0 * page.x for e in page.record["score"].value]
    if r"@J^{\top}" in lines[0].right:
        read = page.read(lines[2:], _SCORE)
        for name, e in page.record.model_score.items():
            agree(read[(page.key(page.written(name.name)),)], page.number(e) + 0 * page.x)
        return
    each_coordinate(page, page.read(lines, _SCORE), iter(value))


def averaged(page: Page, lines: list[Printed]) -> None:
    if r"@J^{\top}" in lines[0].right:
        read = page.read(lines[2:], r"\\frac\{\\partial @L\}\{\\partial (.*)\}")
        for name, e in page.record.model_score.items():
            agree(read[(page.key(page.written(name.name)),)], np.sum(page.w * page.number(e)))
        return
    value = (page.number(e) for e in page.record["averaged"].value)
    each_coordinate(page, page.read(lines, r"\\frac\{@d(.*)\}\{@d@t\}"), value)


def view(page: Page, lines: list[Printed]) -> None:
    assert page.record.view is not None
    for line, e in zip(lines, page.record.view.expressions, strict=True):
        agree(page.world.read(line.right), page.number(e))


def mobility(page: Page, lines: list[Printed]) -> None:
    seen = page.record.view
    assert seen is not None
    j = page.record.view_jacobian(seen)
    derived = np.array([[page.number(e) for e in j.row(i)] for i in range(j.rows)], dtype=float)
    if not lines[0].left.startswith("@J_@b ="):
        return
    first, second = lines
    if r"\sum_@k" in second.right:  # of a large view the rule alone
        return
    agree(page.world.read(first.right), derived)
    kept = dict(page.world.names)
    if page.record.mobility_is_seen:
        page.world.names.clear()
    for line, e in zip(page.lines(page.record["view"]), seen.expressions, strict=True):
        page.world.names[page.key(line.left)] = page.number(e)
    agree(page.world.read(second.right), derived @ derived.T)
    page.world.names = kept


def averaged_in_view(page: Page, lines: list[Printed]) -> None:
    for line, e in zip(lines, page.record["averaged_in_view"].value, strict=True):
        agree(page.world.read(line.right), page.number(e))


def fisher(page: Page, lines: list[Printed]) -> None:
    s = r"\frac{\partial \log @p(@x)}{\partial @\theta}"
    printed = {line.left: line.right for line in lines}
    if page.model.components > 1:  # of one alone: tests/equations/test_single.py
        assert printed[r"@I_@\theta"] == rf"@E_@p\left[{s} \left({s}\right)^{{\top}}\right]"
        assert printed[r"@I_@\lambda"] == r"@J^{\top} @I_@\theta @J"
        assert printed["@J"] == r"\frac{\partial @\theta}{\partial @\lambda}"


def natural(page: Page, lines: list[Printed]) -> None:
    (line,) = lines
    new = re.sub(r"\^\{?(\\dagger|\{\\mathrm\{MP\}\})\}?", "^*", line.right)
    assert new == r"@\eta \, @I_@\lambda^* \nabla_@\lambda @L(@\lambda)"


def q(page: Page, lines: list[Printed]) -> None:
    values = {**page.values, **page.new}  # coordinates are new, θ in the responsibilities is not
    for line in lines[1:-1]:
        page.take(line)
    agree(page.world.read(lines[0].right), number(page.record["q"].value, values, page.x, page.w))
    _density_line(page, lines[-1])


def m_step(page: Page, lines: list[Printed]) -> None:
    way, record = page.record.joint.way, page.record
    if record.joint.medians is not None:
        return
    if way == "none" and record.profile is None:
        values = {**page.values, **page.new}
        slopes = [number(e, values, page.x, page.w) for e in record["m_step"].value]
        for line in lines:
            if r"@J^{\top}" in line.right or line.left == "@J":
                return
        read = page.read(lines, r"0 = \\frac\{\\partial @Q\}\{\\partial (.*)\}")
        for name, value in zip(page.d.chart.names, slopes, strict=True):
            agree(read[(page.coordinate(name, "^+"),)], value)
        return
    if way in ("none", "coordinates"):
        return
    for line in lines:
        page.take(line)
    derived = [page.number(e) for e in record["m_step"].value]
    for name, value in zip(page.model.names, derived, strict=True):
        agree(page.world.names[page.key(page.written(name) + "^+")], value)


def constrained(page: Page, lines: list[Printed]) -> None:
    """The problem, its solution, slackness, and the multipliers' ends."""
    count = page.model.components
    for line in page.lines(page.record["m_step"]):
        page.take(line)
    fit = next(n for n, line in enumerate(lines) if r"arg\,min" in line.right)
    for line in lines[:fit]:
        for place in line.places():
            page.world.names[page.key(line.left, **place)] = page.world.read(line.right, **place)
    y, w = ([float(page.world.names[(f"@{s}", str(k + 1))]) for k in range(count)] for s in "yw")
    rising = r"\le" in lines[fit].right
    u = isotonic_regression(y, weights=w, increasing=rising).x
    for k in range(count):
        page.world.names[("@u", str(k + 1), "+")] = u[k]
    for line in lines[fit + 2 :]:
        if line.right.startswith("0"):
            break
        simple = re.fullmatch(r"@\\nu_@k|.*\^\+", line.left)
        if simple and r"\partial" not in line.left and "(" not in line.left:
            page.take(line)
    nu = [float(page.world.names[(r"@\nu", str(k + 1))]) for k in range(count - 1)]
    assert min(nu, default=0.0) >= -1e-10
    assert np.all(np.abs(nu) * np.abs(np.diff(u)) <= 1e-10)


def cm_steps(page: Page, lines: list[Printed]) -> None:
    equation = page.record["cm_steps"]
    steps = {
        e.lhs.name.removesuffix("^+"): e.rhs for e in equation.value if str(e.lhs).endswith("^+")
    }
    slopes = {
        n: page.number(e) / ETA
        for n, e in zip(page.d.chart.names, page.record["averaged"].value, strict=True)
    }
    kept = dict(page.world.names)
    left = set(page.d.chart.names)
    names = {page.coordinate(n): n for n in page.d.chart.names}
    new = {page.coordinate(n, "^+"): n for n in page.d.chart.names}
    for line in lines:
        if r"@\kappa" in line.left or r"@\lambda_@j" in line.left:
            continue
        if line.left == "0":
            _stationary(page, line, slopes)
            continue
        for place in line.places():
            gradient = re.fullmatch(r"\\frac\{\\partial @Q\}\{\\partial (?:\\, )?(.*)\}", line.left)
            with np.errstate(invalid="ignore"):
                value = page.world.read(line.right, **place)
            if gradient:
                agree(value, slopes[names[page.key(gradient[1], **place)]])
                continue
            key = page.key(line.left, **place)
            if r"\text{if its" in line.where and not np.isfinite(value):
                left.discard(new[key])
                continue
            if key in new:
                agree(value, page.number(steps[new[key]]))
                left.discard(new[key])
                continue
            page.world.names[key] = value
    page.world.names = kept
    assert {n for n in left if n in steps} <= set(), left


def _stationary(page: Page, line: Printed, slopes: Mapping[str, object]) -> None:
    """0 = ∂Q/∂λ_j, of the coordinates that are named after it."""
    names, _, where = line.where.removeprefix(r"\text{solved numerically for } ").partition(", @k")
    places = list(Printed("", "", f"@k{where}").places()) if where else [{}]
    for place in places:
        named = [n for n in slopes if page.coordinate(n) == page.key(names, **place)]
        assert len(named) == 1
        agree(page.world.read(line.right, **place), slopes[named[0]])


def gradient_em(page: Page, lines: list[Printed]) -> None:
    assert lines[0].left == r"@\lambda^+"
    if any(r"@J^{\top}" in line.right for line in lines):
        return
    read = {}
    for line in lines[2:]:
        for place in line.places():
            read[page.key(line.left, **place)] = page.world.read(line.right, **place)
    for name, e in zip(page.d.chart.names, page.record["gradient_em"].value, strict=True):
        agree(read[page.coordinate(name, "^+")], page.number(e))


def nothing(page: Page, lines: list[Printed]) -> None:
    """Definitions in words of matrices: read in :func:`test_second_derivatives`."""


READERS: Mapping[str, Callable[[Page, list[Printed]], None]] = {
    f.__name__: f
    for f in (
        chart, jacobian, log_likelihood, responsibilities, score, averaged, view, mobility,
        averaged_in_view, kl, fisher, natural, q, m_step, cm_steps, gradient_em,
    )
} | dict.fromkeys(("hessian", "covariance", "stein", "m_step_weights"), nothing)  # fmt: skip


def read_back(d: rs.Derivation, seed: int) -> None:
    page = Page(d, seed)
    for equation in d.record:
        reader = READERS.get(equation.name, constrained)
        kept = dict(page.world.names)
        try:
            reader(page, page.lines(equation))
        except Exception as why:
            raise AssertionError(
                f"{equation.name}:\n{latex.fragment(equation, d.notation)}"
            ) from why
        page.world.names = kept


@pytest.mark.parametrize("name", SHOWN)
def test_a_document_in_its_own_symbols_says_what_was_derived(name: str) -> None:
    for seed in (1, 2):
        read_back(derivation(name), seed)


CLEARED = {
    "stick": lambda m: rs.stick_breaking(m, clearance="1/10"),
    "softmax": lambda m: rs.softmax(m, clearance="1/10"),
    "cleared": lambda m: rs.cleared(m, clearance="1/10"),
}


@pytest.mark.parametrize("name", [n for n in BEYOND if n != "relative8"])
def test_documents_of_every_kind_say_what_was_derived(name: str) -> None:
    read_back(case(name), 5)


@pytest.mark.parametrize("family", ["laplace", "gamma", "geometric", "binomial"])
def test_documents_of_every_family_say_what_was_derived(family: str) -> None:
    given = {"trials": 5} if family == "binomial" else {}
    read_back(rs.derive(rs.mixture(family, components=3, **given)), 5)


@pytest.mark.parametrize("name", CLEARED)
def test_weights_with_a_clearance_say_what_was_derived(name: str) -> None:
    model = rs.mixture("normal", components=3)
    read_back(rs.derive(model, CLEARED[name](model)), 5)


OWN = {
    "negative binomial": (
        "loggamma(x + r) - loggamma(r) - loggamma(x + 1) + r*log(1 - p) + x*log(p)",
        {"r": "positive", "p": "unit"}, "integers",
    ),
    "Weibull": (
        "log(k) - k*log(L) + (k - 1)*log(x) - (x/L)**k",
        {"k": "positive", "L": "positive"}, "half-line",
    ),
    "normal": (
        "-((x - m)/w)**2/2 - log(w) - log(2*pi)/2", {"m": "real", "w": "positive"}, "line",
    ),
}  # fmt: skip
"""Families whose parameters are called as the equations' own quantities are."""


@pytest.mark.parametrize("components", [1, 2, 3])
@pytest.mark.parametrize("name", OWN)
def test_own_parameters_that_are_spelled_like_letters(name: str, components: int) -> None:
    density, parameters, support = OWN[name]
    family = rs.family(density, parameters, support, name="own")
    model = rs.mixture(family, components=components)
    read_back(rs.derive(model, name="own"), 4)
    if components > 1 and name == "normal":
        read_back(rs.derive(model, rs.relative(model, "m"), name="own"), 4)


@pytest.mark.parametrize("which", RENAMINGS)
@pytest.mark.parametrize("name", SHOWN)
def test_a_document_in_adversarial_symbols_says_what_was_derived(name: str, which: str) -> None:
    read_back(renamed(derivation(name), which), 3)
