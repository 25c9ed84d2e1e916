"""Points near x: each entry by its own scale, with its sign, and nearer where f has no value."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from jacbench.core import nearby, tree
from jacbench.problems.problem import Problem

SIZES = st.floats(1e-8, 1e8) | st.floats(-1e8, -1e-8)


def test_flat_and_like_are_inverse() -> None:
    x = {"b": np.ones((2, 2)), "a": [np.array(3.0), np.zeros(1)]}
    vector = nearby.flat(x)
    assert np.array_equal(vector, [3, 0, 1, 1, 1, 1])
    again = nearby.like(vector, x)
    assert np.array_equal(again["b"], x["b"])
    assert again["a"][0].shape == ()


def test_units_are_sizes_or_those_of_a_small_leaf() -> None:
    x = [np.array([3.0, 0.0, -4.0]), np.zeros(2), np.array([1e-6, 0.0]), np.zeros(0)]
    assert np.allclose(nearby.units(x), [3.0, 1.0, 4.0, 1.0, 1.0, 1e-6, 1e-6 / np.sqrt(2)])


@given(st.lists(SIZES, min_size=1, max_size=8), st.integers(0, 2**32 - 1))
def test_every_entry_moves_in_proportion_to_itself_and_keeps_its_sign(
    entries: list[float], seed: int
) -> None:
    x = np.array(entries)
    moved = nearby.moved(x, np.random.default_rng(seed))
    assert np.array_equal(np.sign(moved), np.sign(x))
    share = np.abs(moved - x) / np.abs(x)
    assert np.all(share <= nearby.SHARE * nearby.FARTHEST * (1 + 1e-12))
    assert np.all(share > 0)


def test_no_draw_is_far_enough_to_change_a_sign() -> None:
    class Far(np.random.Generator):
        def standard_normal(self, *args: object, **options: object) -> np.ndarray:  # type: ignore[override]
            return np.full(2, -20.0)

    x = np.array([3.0, -3.0])
    moved = nearby.moved(x, Far(np.random.PCG64(0)))
    assert np.allclose(moved, [1.5, -4.5])


def test_metres_beside_radians_move_by_as_much_each() -> None:
    problem = Problem(name="polar", function=lambda xp, x: x, x=np.array([6.378e6, 0.7]))
    share = np.abs(problem.elsewhere - problem.x) / problem.x
    assert np.all((share > 1e-3) & (share < 0.5))


def test_zero_moves_and_integers_stay() -> None:
    x = (np.array([5e6, 0.0]), np.array([1, 2]))
    far, kept = nearby.point(x, np.random.default_rng(0))
    assert 0 < abs(far[1]) < 1
    assert kept is x[1]


def test_nearer_points_lie_on_the_way() -> None:
    x, other = (np.array([1.0, 2.0]),), (np.array([2.0, 0.0]),)
    found = dict(nearby.nearer(x, other))
    assert list(found) == [1, 10, 100, 1000]
    assert found[1] is other
    for factor, (point,) in found.items():
        assert np.allclose(point - x[0], (other[0] - x[0]) / factor)


def test_between_leaves_integers_as_they_are() -> None:
    x = [np.array([1.0]), np.array([3])]
    half = nearby.between(x, [np.array([2.0]), np.array([5])], 0.5)
    assert [leaf.tolist() for leaf in tree.leaves(half)] == [[1.5], [3]]


def test_entries_that_are_0_leave_it_on_either_side_and_at_last_not_at_all():
    x, other = np.array([0.0, 2.0]), np.array([-0.1, 2.2])
    near = [point for _, point in nearby.nearer(x, other)]
    assert [np.sign(point[0]) for point in near[-3:]] == [1, -1, 0]
    assert all(point[1] != 2.0 for point in near)
    assert len([*nearby.nearer(other, x)]) == len(nearby.NEARER)
