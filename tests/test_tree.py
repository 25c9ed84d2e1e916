"""Trees are taken apart and put together in the order of the libraries."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jacbench import tree

trees = st.recursive(
    st.integers(),
    lambda children: (
        st.lists(children, max_size=3)
        | st.lists(children, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=2), children, max_size=3)
    ),
    max_leaves=12,
)


class Pair(NamedTuple):
    left: Any
    right: Any


@given(trees)
def test_leaves_put_back_give_the_tree(value: Any) -> None:
    leaves = tree.leaves(value)
    assert tree.unflatten(value, leaves) == value
    assert tree.map_leaves(lambda leaf: leaf, value) == value
    assert tree.leaves(tree.map_leaves(lambda leaf: [leaf][0], value)) == leaves
    assert len(set(tree.names(value))) == len(leaves)


@given(trees)
def test_names_lead_to_the_leaves(value: Any) -> None:
    found = [eval(f"value{path}", {"value": value}) for path in tree.names(value)]  # noqa: S307
    assert found == tree.leaves(value)


@given(trees)
def test_order_is_that_of_jax(value: Any) -> None:
    jax = pytest.importorskip("jax")
    assert tree.leaves(value) == jax.tree.leaves(value)


def test_order_is_that_of_autograd() -> None:
    flatten = pytest.importorskip("autograd.misc.flatten").flatten
    value = {"b": [np.array([1.0, 2.0]), (np.array(3.0),)], "a": np.array([[4.0]])}
    flat, _ = flatten(value)
    assert np.array_equal(flat, np.concatenate([np.ravel(leaf) for leaf in tree.leaves(value)]))


def test_named_tuples_and_the_order_of_keys_are_kept() -> None:
    value = Pair({"b": 1, "a": 2}, [3])
    doubled = tree.map_leaves(lambda leaf: 2 * leaf, value)
    assert doubled == Pair({"b": 2, "a": 4}, [6])
    assert isinstance(doubled, Pair)
    assert list(doubled.left) == ["b", "a"]
    assert tree.names(value) == ["[0]['a']", "[0]['b']", "[1][0]"]


def test_a_leaf_is_a_tree() -> None:
    assert (tree.leaves(5), tree.names(5)) == ([5], [""])
    assert tree.is_leaf(np.ones(3))
    assert not tree.is_leaf([])
