"""The printed text means the tree: parentheses where they are needed, and none wrong."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from relrep_sym.emit.numpy.printer import filled, infix
from relrep_sym.errors import DerivationError
from relrep_sym.statements.language import Item, Node, Num, Op, Var
from tests.statements.trees import evaluate, nodes, values

INPUTS = ("a", "b", "x", "rows[1]")
LEAVES: list[Node] = [Var("a"), Var("b"), Var("x"), Item("rows", 1)]
a, b, x, row = LEAVES


class _Exact(ast.NodeTransformer):
    """Literals as the fractions that they are."""

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        return ast.Call(ast.Name("Fraction", ast.Load()), [node], [])

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        return node


def exactly(text: str, at: Mapping[str, Fraction]) -> Fraction:
    """What Python makes of the text, in fractions."""

    def named(op: str):  # type: ignore[no-untyped-def]
        def f(*args: Fraction) -> Fraction:
            leaves = tuple(Var(f"v{k}") for k in range(len(args)))
            return evaluate(Op(op, leaves), {f"v{k}": v for k, v in enumerate(args)})

        return f

    np_ = SimpleNamespace(
        **{op: named(op) for op in ("exp", "log", "tanh", "sqrt", "square", "power")}
    )
    tree = ast.fix_missing_locations(_Exact().visit(ast.parse(text, mode="eval")))
    names = {n: v for n, v in at.items() if "[" not in n}
    scope = {"np": np_, "Fraction": Fraction, "rows": {1: at["rows[1]"]}, **names}
    found = eval(compile(tree, "text", "eval"), scope)
    return Fraction(found)


def doubled(node: Node) -> Node:
    """The tree with its numbers as the doubles that are printed."""
    if isinstance(node, Num):
        return Num(Fraction(float(node.value)))
    if isinstance(node, Op):
        return Op(node.op, tuple(map(doubled, node.args)))
    return node


@given(nodes(LEAVES), values(INPUTS))
def test_the_text_is_worth_the_tree(node: Node, at: dict[str, Fraction]) -> None:
    try:
        want = evaluate(doubled(node), at)
    except ZeroDivisionError:
        assume(False)
        raise
    assert exactly(infix(node), at) == want


two = st.sampled_from(["add", "mul", "sub", "div"])
one = st.sampled_from(["neg", "square", "exp"])
small = st.sampled_from([*LEAVES, Num(Fraction(-2)), Num(Fraction(1, 4)), Num(-0.5)])


@given(two, two, two, one, one, small, small, small, small, values(INPUTS))
def test_every_pair_of_operations_nests(
    p: str,
    q: str,
    r: str,
    f: str,
    g: str,
    s: Node,
    t: Node,
    m: Node,
    n: Node,
    at: dict[str, Fraction],
) -> None:
    inner = Op(g, (Op(q, (s, t)),))
    for node in (
        Op(p, (Op(q, (s, t)), Op(r, (m, n)))),
        Op(p, (inner, Op(r, (m, Op(f, (n,)))))),
        Op(f, (Op(p, (m, inner)),)),
        Op(p, (Op(f, (s,)), Op(g, (t,)))),
    ):
        try:
            want = evaluate(doubled(node), at)
        except ZeroDivisionError:
            continue
        assert exactly(infix(node), at) == want, infix(node)


@pytest.mark.parametrize(
    ("node", "text"),
    [
        (Op("div", (a, Op("div", (b, x)))), "a / (b / x)"),
        (Op("div", (Op("div", (a, b)), x)), "a / b / x"),
        (Op("div", (a, Op("mul", (b, x)))), "a / (b * x)"),
        (Op("mul", (Op("div", (a, b)), x)), "a / b * x"),
        (Op("sub", (a, Op("sub", (b, x)))), "a - (b - x)"),
        (Op("sub", (a, Op("add", (b, x)))), "a - (b + x)"),
        (Op("sub", (Op("sub", (a, b)), x)), "a - b - x"),
        (Op("neg", (Op("sub", (a, b)),)), "-(a - b)"),
        (Op("neg", (Op("mul", (a, b)),)), "-a * b"),
        (Op("mul", (a, Op("neg", (b,)))), "a * (-b)"),
        (Op("square", (a,)), "a * a"),
        (Op("mul", (b, Op("square", (a,)))), "b * (a * a)"),
        (Op("square", (Op("add", (a, b)),)), "np.square(a + b)"),
        (Op("power", (a, Op("div", (b, x)))), "np.power(a, b / x)"),
        (Op("add", (row, Num(Fraction(3)))), "rows[1] + 3"),
    ],
)
def test_a_person_can_read_it(node: Node, text: str) -> None:
    assert infix(node) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Fraction(3), "3"),
        (Fraction(-7), "-7"),
        (Fraction(2**53), "9007199254740992.0"),
        (Fraction(1, 3), "0.3333333333333333"),
        (Fraction(1, 10), "0.1"),
        (0.1, "0.1"),
        (2.0, "2.0"),
        (Fraction(10**300), "1e300"),
    ],
)
def test_numbers_are_their_shortest_literals(value: Fraction | float, text: str) -> None:
    assert infix(Num(value)) == text
    assert float(eval(text)) == float(value)


@pytest.mark.parametrize(
    "value", [Fraction(10) ** 400, -(Fraction(10) ** 400), float("inf"), float("nan")]
)
def test_a_number_that_is_no_double_is_refused(value: Fraction | float) -> None:
    with pytest.raises(DerivationError, match="too large for double precision"):
        infix(Op("add", (a, Num(value))))


# ------------------------------------------------------------------------------------- ufuncs


def run(lines: list[str], at: dict[str, np.ndarray]) -> np.ndarray:
    out, spare = np.full_like(at["x"], None), np.full_like(at["x"], None)
    scope = {"np": np, "out": out, "spare": spare, "rows": {1: at["rows[1]"]}, **at}
    exec("\n".join(lines), scope)
    return out


def arithmetic(node: Node) -> bool:
    if not isinstance(node, Op):
        return True
    return node.op not in ("exp", "log", "tanh", "sqrt", "power") and all(
        map(arithmetic, node.args)
    )


whole = nodes(LEAVES).filter(arithmetic)


@given(whole, st.lists(values(INPUTS), min_size=2, max_size=2))
def test_ufunc_calls_leave_the_value_in_the_buffer(
    node: Node, at: list[dict[str, Fraction]]
) -> None:
    """In fractions, so that the order of rounding does not matter."""
    try:
        want = [evaluate(doubled(node), point) for point in at]
    except ZeroDivisionError:
        assume(False)
        raise
    try:
        lines = filled(node, "out", "spare")
    except DerivationError:
        assume(False)
        raise
    scope = {n: np.array([point[n] for point in at], dtype=object) for n in INPUTS}
    exact = ["\n".join(lines)]
    tree = ast.fix_missing_locations(_Exact().visit(ast.parse(exact[0])))
    got = run([ast.unparse(tree)], {**scope, "Fraction": Fraction})  # type: ignore[dict-item]
    assert list(got) == want


@given(whole)
def test_each_call_writes_into_a_buffer_and_reads_only_inputs_and_buffers(node: Node) -> None:
    try:
        lines = filled(node, "out", "spare")
    except DerivationError:
        assume(False)
        raise
    for line in lines:
        (call,) = [s.value for s in ast.parse(line).body]  # type: ignore[attr-defined]
        assert isinstance(call, ast.Call)
        read = {n.id for n in ast.walk(call) if isinstance(n, ast.Name)}
        assert read <= {"np", "out", "spare", "a", "b", "x", "rows"}
        target = [k.value for k in call.keywords if k.arg == "out"] or call.args[:1]
        assert target[0].id in ("out", "spare")  # type: ignore[attr-defined]
    assert "out" in lines[-1]


def test_functions_of_numpy_are_ufuncs_with_a_buffer() -> None:
    node = Op("mul", (Op("exp", (Op("neg", (x,)),)), Op("sqrt", (Op("sub", (x, a)),))))
    scope = {"x": np.array([1.5, 2.0]), "a": np.array(0.25), "rows[1]": np.zeros(2)}
    got = run(filled(node, "out", "spare"), scope)
    np.testing.assert_array_equal(got, np.exp(-scope["x"]) * np.sqrt(scope["x"] - 0.25))


def test_more_than_one_spare_buffer_is_refused() -> None:
    deep = Op("mul", (Op("add", (a, x)), Op("sub", (b, x))))
    with pytest.raises(DerivationError, match="more than one spare buffer"):
        filled(Op("div", (deep, deep)), "out", "spare")
    with pytest.raises(DerivationError, match="more than one spare buffer"):
        filled(deep, "out", "")
    assert len(filled(deep, "out", "spare")) == 3
