"""The narrowest place of a graph, and of straight-line code."""

from __future__ import annotations

import itertools
from collections.abc import Sequence, Set
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jacbench.backend import UnfitError
from jacbench.structure.bottleneck import halve
from jacbench.structure.minimum_cut import minimum_cut
from jacbench.structure.program import Program, Step, Value

pytest.importorskip("networkx")


# --- graphs ---


def test_a_chain_is_cut_where_it_is_narrowest() -> None:
    sizes = {"x": 9, "a": 5, "z": 2, "b": 6, "y": 7}
    cut = minimum_cut(sizes, itertools.pairwise(sizes), ["x"], ["y"])
    assert cut is not None
    assert (cut.size, cut.near_inputs, cut.near_outputs) == (2, {"z"}, {"z"})


def test_both_ends_of_equally_narrow_places_are_told() -> None:
    sizes = {"x": 9, "u": 2, "wide": 8, "v": 2, "y": 9}
    cut = minimum_cut(sizes, itertools.pairwise(sizes), ["x"], ["y"])
    assert cut is not None
    assert (cut.size, cut.near_inputs, cut.near_outputs) == (2, {"u"}, {"v"})


def test_a_cut_may_hold_several_values_inputs_and_outputs() -> None:
    sizes = {"x": 9, "p": 1, "a": 2, "b": 3, "y": 9}
    edges = [("x", "a"), ("a", "y"), ("x", "b"), ("b", "y"), ("p", "y")]
    cut = minimum_cut(sizes, edges, ["x", "p"], ["y"])
    assert cut is not None
    assert (cut.size, cut.near_outputs) == (6, {"a", "b", "p"})
    past = minimum_cut({"x": 2, "y": 1}, [("x", "y")], ["x"], ["y"])
    assert past is not None
    assert past.near_inputs == past.near_outputs == {"y"}


def test_what_cannot_be_cut_is_passed_by() -> None:
    sizes = {"x": 9, "c": None, "z": 4, "y": 9}
    cut = minimum_cut(sizes, itertools.pairwise(sizes), ["x"], ["y"])
    assert cut is not None
    assert cut.near_outputs == {"z"}


def test_no_path_is_no_cut() -> None:
    assert minimum_cut({"x": 3, "y": 3}, [], ["x"], ["y"]) is None


def test_long_graphs_are_no_matter_of_recursion() -> None:
    sizes: dict[Any, int | None] = dict.fromkeys(range(3000), 5)
    sizes[1234] = 1
    cut = minimum_cut(sizes, itertools.pairwise(sizes), [0], [2999])
    assert cut is not None
    assert cut.near_inputs == cut.near_outputs == {1234}


def separates(removed: Set[int], edges: Sequence[tuple[int, int]], count: int) -> bool:
    """Say whether no path leads from 0 to the last of ``count`` without those removed."""
    reached = {0} - removed
    for _ in range(count):
        reached |= {b for a, b in edges if a in reached and b not in removed}
    return count - 1 not in reached


GRAPHS = st.integers(2, 7).flatmap(
    lambda count: st.tuples(
        st.lists(st.integers(1, 4), min_size=count, max_size=count),
        st.sets(st.sampled_from(list(itertools.combinations(range(count), 2)))),
    )
)


@given(GRAPHS)
def test_no_set_of_values_is_smaller(graph: tuple[list[int], set[tuple[int, int]]]) -> None:
    sizes, edges = graph
    count = len(sizes)
    subsets = itertools.chain.from_iterable(
        itertools.combinations(range(count), length) for length in range(count + 1)
    )
    separating = [s for s in subsets if separates(set(s), list(edges), count)]
    least = min(sum(sizes[v] for v in s) for s in separating)
    cut = minimum_cut(dict(enumerate(sizes)), edges, [0], [count - 1])
    if cut is None:
        assert least == 0
        return
    for ends in (cut.near_inputs, cut.near_outputs):
        assert separates(ends, list(edges), count)
        assert sum(sizes[v] for v in ends) == cut.size == least


# --- straight-line code ---

LINEAR = ("affine", "copy")


def step(name: str, reads: str, writes: str) -> Step:
    return Step(
        name=name,
        reads=tuple(reads.split()),
        writes=tuple(writes.split()),
        linear=lambda moving: name in LINEAR,
        blind=name == "stop",
    )


def program(*steps: Step, whole: str = "", **sizes: int) -> Program:
    """Return code from x to y; names in capitals have no derivative, those in ``whole`` no cut."""
    return Program(
        steps=steps,
        values={
            name: Value((size,), carries=name.islower(), flat=name.islower() and name not in whole)
            for name, size in sizes.items()
        },
        inputs=("x",),
        output="y",
    )


def test_the_halves_meet_at_the_cut() -> None:
    code = program(
        step("curve", "x c", "a"),
        step("curve", "a", "z"),
        step("curve", "c", "d"),
        step("curve", "z d", "y"),
        step("curve", "a", "unused"),
        x=20,
        a=10,
        z=2,
        c=3,
        d=3,
        y=20,
        unused=1,
    )
    halves = halve(code)
    assert (halves.cut, halves.k, halves.side, halves.place) == (("z",), 2, (), "curve (2,)")
    assert halves.inner.steps == code.steps[:2]
    assert halves.outer.steps == code.steps[2:4]
    assert halves.notes() == {"k": 2, "cut": "curve (2,)"}


def test_what_has_no_derivative_is_no_path_and_is_handed_on() -> None:
    code = program(
        step("compare", "x", "MASK"),
        step("curve", "x", "z"),
        step("compare", "z", "OWN"),
        step("curve", "z MASK OWN", "y"),
        x=20,
        MASK=20,
        z=2,
        OWN=2,
        y=20,
    )
    halves = halve(code)
    assert (halves.cut, halves.side) == (("z",), ("MASK",))
    assert [s.writes for s in halves.inner.steps] == [("MASK",), ("z",)]
    assert [s.writes for s in halves.outer.steps] == [("OWN",), ("y",)]


def test_a_stopped_derivative_is_no_path() -> None:
    code = program(
        step("stop", "x", "s"),
        step("curve", "x", "z"),
        step("curve", "z s", "y"),
        x=20,
        s=20,
        z=2,
        y=20,
    )
    assert (halve(code).k, halve(code).side) == (2, ("s",))


def test_a_linear_half_is_told_and_preferred() -> None:
    def chain(first: str, middle: str, last: str) -> Program:
        return program(
            step(first, "x", "u"),
            step(middle, "u", "v"),
            step(last, "v", "y"),
            x=20,
            u=2,
            v=2,
            y=30,
        )

    outer = halve(chain("affine", "curve", "affine"))  # y is wider than x
    assert (outer.cut, outer.notes()["constant"]) == (("v",), "Jg")
    inner = halve(chain("affine", "curve", "curve"))
    assert (inner.cut, inner.notes()["constant"]) == (("u",), "Jh")
    both = halve(chain("affine", "affine", "copy"))
    assert both.notes()["constant"] == "Jg and Jh"
    assert "constant" not in halve(chain("curve", "curve", "curve")).notes()


def test_a_factor_that_depends_on_x_makes_no_constant() -> None:
    code = program(
        step("curve", "x", "z"),
        step("stop", "z", "s"),
        step("affine", "z s", "y"),
        x=20,
        z=2,
        s=2,
        y=20,
    )
    assert not halve(code).outer.linear


@pytest.mark.parametrize(("k", "narrow"), [(5, True), (6, False)])
def test_the_middle_must_be_far_narrower_than_both_ends(k: int, narrow: bool) -> None:
    code = program(step("curve", "x", "z"), step("curve", "z", "y"), x=20, z=k, y=30)
    if narrow:
        assert halve(code).k == k
        return
    with pytest.raises(UnfitError, match=r"holds 6 values, of min\(m, n\) = 20: too wide"):
        halve(code)


def test_a_skip_leaves_no_narrow_place() -> None:
    code = program(step("curve", "x", "z"), step("curve", "z x", "y"), x=20, z=1, y=20)
    with pytest.raises(UnfitError, match="holds 20 values"):
        halve(code)


def test_values_that_are_no_vector_are_not_cut() -> None:
    code = program(step("fourier", "x", "z"), step("curve", "z", "y"), whole="z", x=20, z=1, y=20)
    with pytest.raises(UnfitError, match="holds 20 values"):
        halve(code)


def test_no_derivative_at_all_is_said() -> None:
    for code in (
        program(step("stop", "x", "y"), x=20, y=20),
        program(step("curve", "c", "y"), x=20, c=3, y=20),
        program(x=20),
    ):
        with pytest.raises(UnfitError, match="the Jacobian is zero"):
            halve(code)
