r"""What an M-step shows that is not that of θ: in the coordinates, or where it is not closed.

In: a :class:`~.generic.Generic` and its :class:`~.joint.JointStep`. Out: lines and words: weighted
least squares and equations in one unknown for what is closed in the coordinates, ∂Q/∂λ = 0 for what
is not.
"""

from __future__ import annotations

import re
from functools import partial

import sympy as sp

from relrep_sym.declare.chart import identity
from relrep_sym.declare.symbols import Constant, Parameter, latex_name, script
from relrep_sym.equations.component import component_form
from relrep_sym.equations.em import shift_symbol, statistic_symbol
from relrep_sym.equations.em_lines import mass_of, new_entry, relocated, sum_over, weight_lines
from relrep_sym.equations.generic import Generic
from relrep_sym.equations.isotonic import pull_of
from relrep_sym.equations.joint import JointStep, LeastSquares, OneUnknown, Profile, entry_symbol
from relrep_sym.equations.lines import (
    Line,
    name_at,
    numbers_to,
    spaced,
    where_text,
)
from relrep_sym.equations.median import MedianStep
from relrep_sym.equations.nodes import (
    Auxiliary,
    ComponentSum,
    Entry,
    Expectation,
    Index,
    Terms,
)
from relrep_sym.equations.pull_lines import (
    affected,
    blocks_compared,
    factor_at,
    new_value,
    renewed,
    role_line,
    target_at,
)

__all__ = ["coordinate_lines", "joint_words", "median_lines", "profile_lines", "stationary_lines"]

_ROWS = 12
"""Components whose matrix is written out."""


def coordinate_lines(g: Generic, step: JointStep) -> tuple[Line, ...]:
    """The new coordinates of a step that is closed in them."""
    rows = list(weight_lines(g))
    done: set[str] = set()
    for square in step.squares:
        rows += _square_lines(g, square)
        done |= {square.role}
    for root in step.roots:
        rows += _root_lines(g, root)
        done |= {root.role}
    for role in [s.role for s in step.squares]:
        for other in affected(g, role):
            line = role_line(g, other) if other not in done else None
            if line is not None:
                rows.append(line)
                done.add(other)
    for p in g.model.family.parameters:
        line = role_line(g, p.name) if g.model.of_role(p.name) and p.name not in done else None
        if line is not None:
            rows.append(line)
    return tuple(rows)


def _square_lines(g: Generic, square: LeastSquares) -> list[Line]:
    """β⁺ = (Aᵀ W A)⁻¹ Aᵀ W (m − C)."""
    count = g.model.components
    every = where_text(numbers_to(count))
    rows = [
        Line(Auxiliary.of("m", "k"), target_at(g, square.pull, "k"), every),
        Line(Auxiliary.of("w", "k"), factor_at(g, square.pull, "k"), every),
    ]
    names = [name_at(*_stem(g, n)) + "^+" for n in square.names]
    shifts = any(c != 0 for c in square.offset)
    left = "@m - @B" if shifts else "@m"
    if len(names) == 1:
        above, below = _one_column(square, count)
        rows.append(Line(names[0], above / below))
    else:
        column = " \\\\ ".join(names)
        vector = rf"\begin{{pmatrix}} {column} \end{{pmatrix}}"
        shifted = f"({left})" if shifts else left
        right = rf"(@A^{{\top}} @W @A)^{{-1}} @A^{{\top}} @W {shifted}"
        rows.append(Line(vector, right))
        last = script(str(count))
        rows.append(Line("@W", rf"\operatorname{{diag}}(@w_1, \dots, @w_{last})"))
        if count <= _ROWS:
            rows.append(Line("@A", square.matrix))
        if shifts and count <= _ROWS:
            rows.append(Line("@B", sp.ImmutableMatrix(square.offset)))
    if count <= _ROWS:
        for k, (e, c) in enumerate(zip(square.matrix.tolist(), square.offset, strict=True), 1):
            terms = [
                v * Entry(f"{_mark(g, n)}^+")
                for v, n in zip(e, square.names, strict=True)
                if v != 0
            ]
            value = Terms(*terms, *([c] if c != 0 else []))
            rows.append(Line(new_entry(square.role, k), value))
    return rows


def _one_column(square: LeastSquares, count: int) -> tuple[sp.Expr, sp.Expr]:
    """Σ w a (m − c) and Σ w a², component by component."""
    above, below = [], []
    for k in numbers_to(count):
        a, c = square.matrix[k - 1, 0], square.offset[k - 1]
        if a == 0:
            continue
        apart = Auxiliary.of("m", k) - c
        above.append(a * Auxiliary.of("w", k) * apart)
        below.append(a**2 * Auxiliary.of("w", k))
    return _added(above), _added(below)


def _added(terms: list[sp.Expr]) -> sp.Expr:
    return terms[0] if len(terms) == 1 else Terms(*terms)


def _stem(g: Generic, name: str) -> tuple[str, Index | None]:
    stem, number = g.entry(name)
    return stem, number


def _mark(g: Generic, name: str) -> str:
    return ("~" if sp.Symbol(name) in g.clashes else "") + name


def _root_lines(g: Generic, root: OneUnknown) -> list[Line]:
    """One coordinate's root, or its equation."""
    symbol, new = sp.Symbol(root.name), Entry(f"{_mark(g, root.name)}^+")
    count = g.model.components
    rows = [
        Line(Auxiliary.of("s", "k"), target_at(g, root.pull, "k"), where_text(numbers_to(count)))
    ]
    if root.value is not None:
        back: dict[sp.Basic, sp.Basic] = {symbol: new}
        for k in numbers_to(count):
            back[entry_symbol("N", k)] = factor_at(g, root.pull, k)
            back[entry_symbol("s", k)] = Auxiliary.of("s", k)
        rows.append(Line(new, root.value.xreplace(back)))
    else:
        terms = []
        for k, value in enumerate(root.entries, start=1):
            target = sp.Dummy("s")
            slope = root.pull.shape * (target - root.pull.link)
            whole = slope.xreplace({root.pull.symbol: value}) * sp.diff(value, symbol)
            shown = whole.xreplace({symbol: new, target: Auxiliary.of("s", k)})
            terms.append(factor_at(g, root.pull, k) * shown)
        rows.append(Line("0", _added(terms)))
    for k, value in enumerate(root.entries, start=1):
        rows.append(Line(new_entry(root.role, k), value.xreplace({symbol: new})))
    return rows


# ------------------------------------------------------------------------------ medians


def median_lines(g: Generic, step: MedianStep) -> tuple[Line, ...]:
    """Locations at weighted medians, and what follows from the distances to them."""
    rows = list(weight_lines(g))
    count = g.model.components
    tied = step.location in g.tied
    members = sorted({k + 1 for group in step.groups for k in group})
    if tied:
        inner = r"@E_@q[@r_@k(@x) \, |@x - @a|]"
        shared = step.tension.as_independent(
            *(p.symbol for p in g.model.family.parameters if p.name in g.tied), as_Add=False
        )[0]
        share = renewed(g, shared, "k")
        weigh = share != 1 and not share.is_number
        if weigh:
            rows.append(Line(Auxiliary.of("w", "k"), share, where_text(numbers_to(count))))
        head = rf"\sum_{{@k=1}}^{script(str(count))} {'@w_@k ' if weigh else ''}"
        right = rf"\operatorname*{{arg\,min}}_@a \, {head}{inner}"
        rows.append(Line(new_entry(step.location, None), right))
    elif members:
        inner = r"\operatorname*{arg\,min}_@a \, @E_@q[@r_@k(@x) \, |@x - @a|]"
        rows.append(Line(new_entry(step.location, "k"), inner, where_text(members)))
    for u in step.updates:
        those = [k + 1 for k in u.components]
        if u.totals:
            sums = {t: sum_over(g, partial(_about_median, g, step, e), those) for t, e in u.totals}
            rows.append(Line(new_entry(u.parameter, None), u.value.xreplace(sums)))
        else:
            value = _about_median(g, step, u.value, "k")
            rows.append(Line(new_entry(u.parameter, "k"), value, where_text(those)))
    return tuple(rows)


def _about_median(g: Generic, step: MedianStep, value: sp.Expr, i: Index) -> sp.Expr:
    """N and t_1 as N_i and E_q[r_i |x − μ_i⁺|]/N_i."""
    x = g.model.family.x
    distance = Expectation(
        g.posterior(i) * sp.Abs(x - new_value(g, step.location, i)), x, sp.Symbol("q")
    )
    back = {statistic_symbol(0): mass_of(g, i), statistic_symbol(1): distance / mass_of(g, i)}
    return renewed(g, value.xreplace(back), i)


# ------------------------------------------------------------------------------ not closed


def stationary_lines(g: Generic) -> tuple[Line, ...]:
    """∂Q/∂λ⁺ = 0 at the new coordinates, the responsibilities held."""
    if g.regular:
        rows = []
        for run in g.runs:
            i: Index | None = None if not run.numbers else "k"
            where = ""
            if run.numbers:
                i = run.numbers[0] if len(run.numbers) == 1 else "k"
                where = "" if len(run.numbers) == 1 else where_text(run.numbers)
            left = rf"0 = \frac{{\partial @Q}}{{\partial {spaced(name_at(run.stem, i))}^+}}"
            rows.append(Line(left, _renew(g, g.averaged(run, i)), where))
        return tuple(rows)
    plain = Generic(identity(g.model))
    total = r"@J^{\top} \frac{\partial @Q}{\partial @\theta^+}"
    rows = [
        Line(r"0 = \frac{\partial @Q}{\partial @\lambda^+}", total),
        Line("@J", r"\frac{\partial @\theta^+}{\partial @\lambda^+}"),
    ]
    for run in plain.runs:
        i = None if not run.numbers else run.numbers[0] if len(run.numbers) == 1 else "k"
        where = where_text(run.numbers) if len(run.numbers) > 1 else ""
        left = rf"\frac{{\partial @Q}}{{\partial {spaced(name_at(run.stem, i))}^+}}"
        rows.append(Line(left, _renew(plain, plain.averaged(run, i)), where))
    return tuple(rows)


def _renew(g: Generic, expression: sp.Expr) -> sp.Expr:
    """Every parameter and coordinate at its new value; r_k(x), N_k, x and constants as they are."""
    given = {c.name for c in g.chart.constants} | set(g.model.fixed)
    back: dict[sp.Basic, sp.Basic] = {}
    for s in expression.free_symbols:
        if isinstance(s, Auxiliary | Constant) or s == g.model.family.x:
            continue
        if isinstance(s, Entry):
            stem, index = s.stem, s.index
            if stem in given or (index.isdigit() and f"{stem}_{index}" in given):
                continue
            back[s] = Entry(f"{stem}^+[{index}]") if index else Entry(f"{stem}^+")
        elif isinstance(s, Parameter):
            back[s] = Entry(f"{s.name}^+")
    return expression.xreplace(back)


def profile_lines(g: Generic, profile: Profile) -> tuple[Line, ...]:
    """The tied parameter's equation with the others at their maximisers; and those."""
    family, count = g.model.family, g.model.components
    symbol = family.parameter(profile.role).symbol
    location = family.location
    moved = location is not None and location.name == profile.role
    back = {symbol: shift_symbol(family)} if moved else {symbol: new_entry(profile.role, None)}

    pull = pull_of(family, profile.role)
    assert pull is not None
    others = {s: new_value(g, s.name, "k") for s in family.symbols if s != symbol}
    slope = sp.expand(pull.statistic - pull.link) * pull.factor * pull.shape
    body = relocated(g, statistic_symbol(0) * slope.xreplace({**others, **back}), "k")
    rows = [*weight_lines(g), Line("0", ComponentSum.over(body, "k", 1, count))]
    for name, value in profile.own:
        rows.append(
            Line(
                new_entry(name, "k"),
                relocated(g, value.xreplace(back), "k"),
                where_text(numbers_to(count)),
            )
        )
    return tuple(rows)


# ------------------------------------------------------------------------------ words


def joint_words(g: Generic, step: JointStep, profile: Profile | None) -> str:
    """Which way the step is solved, and why, formulas between dollars."""
    point = r"@\lambda"
    newton = (
        "Newton's method, with the derived gradient and Hessian of $@Q$, solves it and never "
        "lowers $@Q$."
    )
    if component_form(g.model.family).slopes is not None:
        newton = "The maximum is found numerically, by steps that never lower $@Q$."
    if step.way == "mapped" and step.medians is not None:
        return (
            r"The chart reaches every $@\theta$, so that this is EM itself, mapped. The locations "
            "are weighted medians: $@Q$ falls on both sides of them."
        )
    if step.way == "mapped":
        return (
            r"The chart reaches every $@\theta$, so that this is EM itself: the new values of "
            rf"$@\theta$, mapped to ${point}^+$ by the inverse of the chart, make every "
            rf"$\partial @Q / \partial {point}^+$ vanish."
        )
    if step.way == "ordered":
        return (
            r"New values of $@\theta$ where they satisfy what the chart asks of them, and "
            rf"${point}^+$ then follows by its inverse; where they do not, the constrained problem "
            "is solved exactly."
        )
    if step.way == "partly":
        found = step.orders.orders
        searched = "The maximum is then found numerically, by steps that never lower $@Q$."
        if step.orders.exact and len(found) == 1 and blocks_compared(g, found[0].role):
            searched = (
                "The maximum in order is then found by blocks of pooled components: all local "
                "maxima of every block are found, and the best choice of them in order is taken."
            )
        return (
            r"New values of $@\theta$ where they lie in the chart's image, and "
            rf"${point}^+$ then follows by its inverse. Elsewhere no closed form is derived: "
            f"{_sentence(_named(g, step.reason))} {searched}"
        )
    if step.way == "coordinates":
        polynomials = [r for r in step.roots if r.value is None]
        words = rf"The equations $\partial @Q / \partial {point}^+ = 0$ are solved as they stand."
        for r in polynomials:
            unknown = latex_name(_mark(g, r.name)) + "^+"
            if r.unknown != sp.Symbol(r.name):
                unknown = f"@e^{{{unknown}}}"
            words += (
                rf" That for ${unknown}$ is a polynomial of degree {r.degree}: its real roots "
                "inside of the domain, and the domain's ends, are compared by $@Q$."
            )
        return words
    if profile is not None:
        plural = g.model.family.parameter(profile.role).plural
        return (
            "No closed form is derived: with the other parameters at their maximisers the equation "
            f"for the tied one of the {plural} is a polynomial of degree {profile.degree}, "
            rf"which has no solution in radicals in general. {newton}"
        )
    return f"No closed form is derived: {_sentence(_named(g, _short(step.reason)))} {newton}"


def _short(reason: str) -> str:
    """Why the M-step of θ has no closed form, without what would be right instead."""
    head, _, rest = reason.partition("; given: ")
    given = rest.partition("; expected: ")[0]
    if head != "the M-step has no closed form":
        return head.removeprefix("no closed form: ").removeprefix("no closed form for ")
    if given.startswith("the equations"):
        return f"{given} are not solved one unknown at a time"
    return "log is no sum of products of a function of x and one of the parameters"


def _named(g: Generic, text: str) -> str:
    """Words in which names of the derivation are set as formulas."""
    known = {*g.model.names, *g.chart.names, *(p.name for p in g.model.family.parameters)}
    plurals = {p.plural for p in g.model.family.parameters}

    def shown(found: re.Match[str]) -> str:
        name = found[0]
        if name in ("Q", "x"):
            return f"$@{name}$"
        if name == "log":
            return r"$\log @f$"
        return f"${latex_name(name)}$" if name in known - plurals else name

    return re.sub(r"[A-Za-z]\w*", shown, text)


def _sentence(text: str) -> str:
    return text if text.endswith(".") else text + "."
