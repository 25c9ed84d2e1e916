"""Trees are taken apart and put together in the order of the libraries."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict, defaultdict
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jacbench.core import tree

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


@dataclasses.dataclass(frozen=True)
class Layer:
    weight: Any
    bias: Any

    def __post_init__(self) -> None:
        assert self.weight is not None


def test_a_dataclass_is_taken_apart_by_its_fields() -> None:
    value = {"a": Layer(1, [2, 3]), "b": 4}
    assert tree.leaves(value) == [1, 2, 3, 4]
    assert tree.names(value) == ["['a'].weight", "['a'].bias[0]", "['a'].bias[1]", "['b']"]
    assert tree.paths(value) == ["a.weight", "a.bias.0", "a.bias.1", "b"]
    assert tree.map_leaves(lambda leaf: -leaf, value) == {"a": Layer(-1, [-2, -3]), "b": -4}
    assert not tree.is_plain(value)
    assert not tree.is_leaf(value["a"])


def test_mappings_keep_their_type() -> None:
    ordered = OrderedDict(b=1, a=2)
    made = tree.map_leaves(lambda leaf: 10 * leaf, ordered)
    assert isinstance(made, OrderedDict)
    assert list(made.items()) == [("b", 10), ("a", 20)]
    counted = defaultdict(list, a=1)
    assert tree.map_leaves(lambda leaf: leaf, counted).default_factory is list
    assert counted == {"a": 1}


def test_what_a_library_registers_is_taken_apart_as_it_does() -> None:
    jax = pytest.importorskip("jax")

    @jax.tree_util.register_pytree_node_class
    class Scaled:
        def __init__(self, array: Any, scale: float) -> None:
            self.array, self.scale = array, scale

        def tree_flatten(self) -> Any:
            return [self.array], self.scale

        @classmethod
        def tree_unflatten(cls, scale: float, children: Any) -> Any:
            return cls(children[0], scale)

    value = (Scaled(np.ones(2), 3.0), np.zeros(1))
    assert [leaf.shape for leaf in tree.leaves(value)] == [(2,), (1,)]
    doubled = tree.map_leaves(lambda leaf: 2 * leaf, value)
    assert doubled[0].scale == 3.0
    assert doubled[0].array.tolist() == [2.0, 2.0]


def test_modules_of_equinox_and_states_of_flax_are_trees() -> None:
    jax = pytest.importorskip("jax")
    eqx = pytest.importorskip("equinox")
    nnx = pytest.importorskip("flax.nnx")
    linear = eqx.nn.Linear(2, 3, key=jax.random.key(0))
    assert [leaf.shape for leaf in tree.leaves(linear)[:2]] == [(3, 2), (3,)]
    assert type(tree.map_leaves(lambda leaf: leaf, linear)) is type(linear)
    state = nnx.state(nnx.Linear(2, 3, rngs=nnx.Rngs(0)))
    assert [leaf.shape for leaf in tree.leaves(state)] == [(3,), (2, 3)]
    assert type(tree.map_leaves(lambda leaf: leaf, state)) is type(state)


def test_what_torch_registers_is_taken_apart_too() -> None:
    torch = pytest.importorskip("torch")
    from torch.utils import _pytree

    class Pieces:
        def __init__(self, *parts: Any) -> None:
            self.parts = parts

    _pytree.register_pytree_node(
        Pieces, lambda p: (list(p.parts), None), lambda parts, _: Pieces(*parts)
    )
    value = Pieces(torch.ones(2), [torch.zeros(1)])
    assert [tuple(leaf.shape) for leaf in tree.leaves(value)] == [(2,), (1,)]
    assert type(tree.map_leaves(lambda leaf: leaf, value)) is Pieces


def test_arrays_none_and_modules_of_torch_are_leaves() -> None:
    torch = pytest.importorskip("torch")
    for leaf in (np.ones(2), None, 1.0, "x", torch.nn.Parameter(torch.ones(1)), torch.nn.ReLU()):
        assert tree.leaves(leaf) == [leaf] or tree.leaves(leaf)[0] is leaf
        assert tree.is_leaf(leaf)
