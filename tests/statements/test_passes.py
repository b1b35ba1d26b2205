"""Passes are identities of mathematics: they change what is computed when, never what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from relrep_sym.statements.language import Assign, Item, Node, Num, Op, Stage, Var, names, stage
from relrep_sym.statements.passes import count, hoist, prune, share
from tests.statements.trees import evaluate, nodes, programs, run, values

INPUTS = ("a", "b", "x", "y")
STAGES = {"x": Stage.SAMPLE, "y": Stage.SAMPLE}
LEAVES = [Var(n) for n in INPUTS]
a, b, x, y = LEAVES


def parts(node: Node) -> Iterator[Node]:
    yield node
    if isinstance(node, Op):
        for inner in node.args:
            yield from parts(inner)


def known(program: list[Assign], at: dict[str, Fraction]) -> dict[str, Fraction]:
    """The program's values, where it has any."""
    try:
        return run(program, at)
    except ZeroDivisionError:
        assume(False)
        raise


# ------------------------------------------------------------------------------------- hoist


@given(nodes(LEAVES), values(INPUTS))
def test_hoisting_keeps_the_value(node: Node, at: dict[str, Fraction]) -> None:
    known([Assign("v", node)], at)
    found: list[Assign] = []
    left = hoist(node, STAGES, "c", found)
    try:
        fit = run(found, at)
        got = evaluate(left, fit)
    except ZeroDivisionError:  # a/b is a times 1/b: only b = 0 may divide by zero, and that did not
        pytest.fail("hoisting divides by zero where the value did not")
    assert got == evaluate(node, at)


@given(nodes(LEAVES))
def test_what_is_hoisted_is_per_fit_and_what_is_left_is_per_sample(node: Node) -> None:
    found: list[Assign] = []
    left = hoist(node, STAGES, "c", found)
    after = {**STAGES, **{f.target: Stage.FIT for f in found}}
    for assign in found:
        assert isinstance(assign.value, Op)
        assert stage(assign.value, STAGES) is Stage.FIT
    for part in parts(left):
        if isinstance(part, Op):
            assert stage(part, after) is Stage.SAMPLE


@given(nodes(LEAVES), nodes(LEAVES))
def test_equal_coefficients_share_a_name(one: Node, other: Node) -> None:
    found: list[Assign] = []
    for node in (one, other, one):
        hoist(node, STAGES, "c", found)
    assert len({f.value for f in found}) == len(found)
    assert [f.target for f in found] == [f"c{n}" for n in range(1, len(found) + 1)]


def test_factors_and_terms_without_the_sample_are_gathered() -> None:
    found: list[Assign] = []
    left = hoist(Op("mul", (a, Op("add", (x, b, a)), b)), STAGES, "c", found)
    assert left == Op("mul", (Op("add", (x, Var("c1"))), Var("c2")))
    assert [f.value for f in found] == [Op("add", (b, a)), Op("mul", (a, b))]


def test_a_division_per_sample_becomes_a_multiplication() -> None:
    found: list[Assign] = []
    left = hoist(Op("div", (Op("sub", (x, a)), b)), STAGES, "c", found)
    assert left == Op("mul", (Op("sub", (x, a)), Var("c1")))
    assert found == [Assign("c1", Op("div", (Num(Fraction(1)), b)))]
    assert not any(isinstance(p, Op) and p.op == "div" for p in parts(left))


# ------------------------------------------------------------------------------------- share


@given(programs(INPUTS), values(INPUTS))
def test_sharing_keeps_every_targets_value(program: list[Assign], at: dict[str, Fraction]) -> None:
    want = known(program, at)
    got = run(share(program), at)
    assert {n: got[n] for n in want} == want


@given(programs(INPUTS))
def test_nothing_is_computed_twice(program: list[Assign]) -> None:
    shared = share(program)
    computed = Counter(p for s in shared for p in parts(s.value) if isinstance(p, Op))
    assert all(times == 1 for times in computed.values())
    assert len({s.target for s in shared}) == len(shared)


@given(programs(INPUTS))
def test_names_are_read_after_they_are_set(program: list[Assign]) -> None:
    set_by_now = set(INPUTS)
    for s in share(program):
        assert set(names(s.value)) <= set_by_now
        set_by_now.add(s.target)


@given(programs(INPUTS))
def test_sharing_twice_changes_nothing(program: list[Assign]) -> None:
    once = share(program)
    assert share(once) == once


@given(programs(("t1", "b", "t2")), values(("t1", "b", "t2")))
def test_new_names_are_no_inputs_names(program: list[Assign], at: dict[str, Fraction]) -> None:
    want, targets = known(program, at), [p.target for p in program]
    got = run(share(program), at)
    assert [got[n] for n in targets] == [want[n] for n in targets]


def test_the_order_is_that_of_first_need() -> None:
    e = Op("exp", (Op("add", (a, b)),))
    program = [
        Assign("p", Op("mul", (x, Op("log", (y,))))),
        Assign("q", Op("sub", (e, Op("log", (y,))))),
        Assign("r", e),
    ]
    assert [s.target for s in share(program)] == ["t1", "p", "t2", "q", "r"]
    assert share(program)[-1] == Assign("r", Var("t2"))


# ------------------------------------------------------------------------------------- prune


@given(programs(INPUTS), values(INPUTS), st.data())
def test_pruning_keeps_what_is_wanted_and_drops_what_nothing_reads(
    program: list[Assign], at: dict[str, Fraction], data: st.DataObject
) -> None:
    want = known(program, at)
    targets = [p.target for p in program]
    wanted = data.draw(st.lists(st.sampled_from(targets), unique=True))
    kept = prune(program, wanted)
    got = run(kept, at)
    assert {n: got[n] for n in wanted} == {n: want[n] for n in wanted}
    assert [p for p in program if p in kept] == kept
    read = {n for p in kept for n in names(p.value)} | set(wanted)
    assert all(p.target in read for p in kept)


def test_pruning_for_nothing_leaves_nothing() -> None:
    assert prune([Assign("p", a)], []) == []


# ------------------------------------------------------------------------------------- count


@given(programs(INPUTS))
def test_operations_are_counted_one_by_one(program: list[Assign]) -> None:
    total = sum(
        len(p.args) - 1 if p.op in ("add", "mul") else 1
        for assign in program
        for p in parts(assign.value)
        if isinstance(p, Op)
    )
    assert sum(count(program).values()) == total


@given(programs(INPUTS))
def test_sharing_never_costs(program: list[Assign]) -> None:
    before, after = count(program), count(share(program))
    assert all(after.get(op, 0) <= times for op, times in before.items())
    assert set(after) <= set(before)


def test_a_report_of_counts_is_sorted() -> None:
    program = [Assign("p", Op("sub", (Op("mul", (a, b, x)), Op("exp", (Op("neg", (y,)),)))))]
    assert list(count(program).items()) == [("exp", 1), ("mul", 2), ("neg", 1), ("sub", 1)]


# ------------------------------------------------------------------------------------- language


@given(nodes(LEAVES))
def test_a_values_stage_is_the_highest_of_what_it_reads(node: Node) -> None:
    read = set(names(node))
    assert stage(node, STAGES) is (Stage.SAMPLE if read & set(STAGES) else Stage.FIT)


def test_names_come_in_order_as_often_as_they_are_read() -> None:
    node = Op("add", (Item("rows", 3), Op("mul", (x, Num(Fraction(2)), x)), a))
    assert list(names(node)) == ["rows", "x", "x", "a"]
    assert stage(Num(1.5), STAGES) is Stage.FIT


def test_nodes_are_values() -> None:
    assert Op("add", (a, b)) == Op("add", (Var("a"), Var("b")))
    assert len({Op("add", (a, b)), Op("add", (Var("a"), Var("b")))}) == 1
    with pytest.raises(AttributeError):
        Var("a").name = "b"  # type: ignore[misc]
