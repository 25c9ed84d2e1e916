"""Each operator's shapes and right answer, against loops over single entries."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jacbench.backend import registry
from jacbench.core import layouts, operators, tree
from jacbench.core.errors import JacbenchError
from jacbench.core.operators.batch_jacobian import by_sample
from jacbench.core.operators.operator import Sizes, typical_product

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """A Jacobian of random numbers, and the shapes that it belongs to."""

    sizes: Sizes
    jacobian: np.ndarray

    def blocks(self) -> list[np.ndarray]:
        """Return the Jacobian as an array y.shape + leaf.shape for each leaf."""
        ends = np.cumsum([0, *map(math.prod, self.sizes.leaf_shapes)])
        return [
            self.jacobian[:, a:b].reshape(self.sizes.y_shape + shape)
            for (a, b), shape in zip(itertools.pairwise(ends), self.sizes.leaf_shapes, strict=True)
        ]


lengths = st.integers(1, 3)


@st.composite
def cases(draw: st.DrawFn, *, batched: bool | None = None) -> Case:
    batch = draw(st.integers(1, 4))
    y_shape = (batch, *draw(st.lists(lengths, max_size=2)))
    inner = draw(st.lists(st.lists(lengths, max_size=2), min_size=1, max_size=3))
    has_axis = draw(st.booleans()) if batched is None else batched
    axis = None
    if has_axis:
        room = min(map(len, inner))
        axis = draw(st.integers(-room - 1, room))
        places = [axis if axis >= 0 else len(shape) + 1 + axis for shape in inner]
        inner = [[*s[:at], batch, *s[at:]] for s, at in zip(inner, places, strict=True)]
    elif batched is None and draw(st.booleans()):
        y_shape = y_shape[1:]  # a scalar, or no axis that runs over samples
    sizes = Sizes(y_shape, [tuple(shape) for shape in inner], axis)
    n = sum(map(math.prod, inner))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    return Case(sizes, rng.standard_normal((sizes.m, n)))


def flat(vector: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([part.reshape(-1) for part in vector])


def arranged(name: str, case: Case, blocks: list[np.ndarray]) -> np.ndarray:
    """Return native arrays of the shapes that ``name`` declares as its (rows, columns) matrix."""
    rows, columns = operators.get(name).shapes(case.sizes)
    assert [block.shape for block in blocks] == layouts.OUTPUT_BY_INPUT.shapes(rows, columns)
    return layouts.OUTPUT_BY_INPUT.matrix(blocks, math.prod(rows))


# --- the right answer, entry by entry ---


@pytest.mark.parametrize("name", ["jacobian", "value_and_jacobian"])
@given(case=cases())
def test_the_jacobian_is_what_it_is(name: str, case: Case) -> None:
    operator = operators.get(name)
    expected = operator.expected(case.jacobian, case.sizes, None)
    assert np.array_equal(expected, arranged(name, case, case.blocks()))
    assert operator.vector(case.sizes, 0) is None
    assert operator.scale(case.jacobian, None) == 0


@given(case=cases(), seed=st.integers(0, 5))
def test_vjp_sums_over_outputs(case: Case, seed: int) -> None:
    operator = operators.get("vjp")
    vector = operator.vector(case.sizes, seed)
    assert vector is not None
    (v,) = vector
    assert (v.shape, v.dtype) == (case.sizes.y_shape, np.float64)
    parts = []
    for block, shape in zip(case.blocks(), case.sizes.leaf_shapes, strict=True):
        part = np.zeros(shape)
        for output in np.ndindex(*case.sizes.y_shape):
            part += v[output] * block[output]
        parts.append(part)
    expected = operator.expected(case.jacobian, case.sizes, flat(vector))
    assert np.allclose(expected, arranged("vjp", case, parts), rtol=1e-12, atol=1e-13)


@given(case=cases(), seed=st.integers(0, 5))
def test_jvp_sums_over_inputs(case: Case, seed: int) -> None:
    operator = operators.get("jvp")
    vector = operator.vector(case.sizes, seed)
    assert vector is not None
    assert [part.shape for part in vector] == list(case.sizes.leaf_shapes)
    product = np.zeros(case.sizes.y_shape)
    for output in np.ndindex(*case.sizes.y_shape):
        for block, tangent in zip(case.blocks(), vector, strict=True):
            product[output] += sum(
                block[output][place] * tangent[place] for place in np.ndindex(*tangent.shape)
            )
    expected = operator.expected(case.jacobian, case.sizes, flat(vector))
    assert np.allclose(expected, arranged("jvp", case, [product]), rtol=1e-12, atol=1e-13)


def own_inputs(case: Case) -> list[np.ndarray]:
    """Return the derivatives of each sample by its own inputs, picked one by one."""
    axis, picked = case.sizes.batch_axis, []
    assert axis is not None
    for block, leaf in zip(case.blocks(), case.sizes.leaf_shapes, strict=True):
        at = axis % len(leaf)
        own = np.full(case.sizes.y_shape + leaf[:at] + leaf[at + 1 :], np.nan)
        for output in np.ndindex(*case.sizes.y_shape):
            for place in np.ndindex(*leaf):
                if place[at] == output[0]:
                    own[output + place[:at] + place[at + 1 :]] = block[output][place]
        picked.append(own)
    return picked


@given(case=cases(batched=True))
def test_batch_jacobian_is_the_diagonal_of_the_blocks(case: Case) -> None:
    expected = operators.get("batch_jacobian").expected(case.jacobian, case.sizes, None)
    assert np.array_equal(expected, arranged("batch_jacobian", case, own_inputs(case)))


@given(case=cases(batched=False))
def test_batch_jacobian_by_what_samples_share_is_all_of_it(case: Case) -> None:
    expected = operators.get("batch_jacobian").expected(case.jacobian, case.sizes, None)
    assert np.array_equal(expected, arranged("batch_jacobian", case, case.blocks()))


@given(case=cases(batched=True))
def test_blocks_by_sample_lose_no_entry(case: Case) -> None:
    numbered = np.arange(case.jacobian.size, dtype=float).reshape(case.jacobian.shape)
    blocks = by_sample(numbered, case.sizes)
    batch = case.sizes.y_shape[0]
    for block, leaf in zip(blocks, case.sizes.leaf_shapes, strict=True):
        per_sample = (case.sizes.m // batch, batch, math.prod(leaf) // batch)
        assert block.shape == (batch, *per_sample)
    together = np.concatenate([block.reshape(-1) for block in blocks])
    assert np.array_equal(np.sort(together), numbered.reshape(-1))


@given(case=cases(batched=True))
def test_ones_for_all_samples_pull_back_the_sum_of_the_blocks(case: Case) -> None:
    batch, axis = case.sizes.y_shape[0], case.sizes.batch_axis
    components = case.sizes.m // batch
    blocks = by_sample(case.jacobian, case.sizes)
    for k in range(components):
        ones = np.zeros((batch, components))
        ones[:, k] = 1
        row = Case(Sizes((), case.sizes.leaf_shapes), ones.reshape(1, -1) @ case.jacobian)
        for pulled, block in zip(row.blocks(), blocks, strict=True):
            of_samples = np.moveaxis(pulled, axis, 0).reshape(batch, -1)
            assert np.allclose(of_samples, block.sum(axis=0)[k], rtol=1e-12, atol=1e-13)


# --- vectors ---


@pytest.mark.parametrize("name", ["vjp", "jvp"])
@given(case=cases())
def test_vectors_follow_from_their_seed(name: str, case: Case) -> None:
    operator = operators.get(name)
    first, same, other = (operator.vector(case.sizes, seed) for seed in (3, 3, 4))
    assert first is not None
    assert same is not None
    assert other is not None
    assert all(map(np.array_equal, first, same))
    assert not any(map(np.array_equal, first, other))


@pytest.mark.parametrize("name", ["vjp", "jvp"])
@given(case=cases(), length=st.floats(0.1, 10))
def test_scale_is_the_root_mean_square_over_directions(
    name: str, case: Case, length: float
) -> None:
    J = case.jacobian if name == "jvp" else case.jacobian.T
    size = J.shape[1]
    # over the columns of any orthogonal matrix the mean is exact
    Q, _ = np.linalg.qr(np.random.default_rng(size).standard_normal((size, size)))
    products = [np.linalg.norm(J @ (length * q)) for q in Q.T]
    mean = math.sqrt(np.mean(np.square(products)))
    found = operators.get(name).scale(case.jacobian, length * Q[:, 0])
    assert found == typical_product(case.jacobian, length * Q[:, 0])
    assert math.isclose(found, mean, rel_tol=1e-10)


def test_a_tangent_has_the_structure_of_x_and_a_cotangent_is_one_array() -> None:
    x = {"b": np.ones(2), "a": (np.ones(3), [np.array(1.0)])}
    sizes = Sizes((4,), [leaf.shape for leaf in tree.leaves(x)])
    jvp, vjp = operators.get("jvp"), operators.get("vjp")
    tangent = jvp.vector_like(jvp.vector(sizes, 0), x)
    assert list(tangent) == ["b", "a"]
    assert isinstance(tangent["a"], tuple)
    assert [leaf.shape for leaf in tree.leaves(tangent)] == list(sizes.leaf_shapes)
    assert vjp.vector_like(vjp.vector(sizes, 0), x).shape == (4,)


# --- what stands beside a derivative ---


def test_value_and_jacobian_comes_apart() -> None:
    parts = operators.get("value_and_jacobian").parts
    assert parts(("y", "J"), has_aux=False) == ("y", None, "J")
    assert parts((("y", "aux"), "J"), has_aux=True) == ("y", "aux", "J")
    # an aux of None is an aux
    assert parts((("y", None), "J"), has_aux=True) == ("y", None, "J")


@pytest.mark.parametrize(
    ("native", "has_aux", "form"),
    [
        ("J", False, "(y, J)"),
        (["y", "J"], False, "(y, J)"),
        (("y", "aux", "J"), False, "(y, J)"),
        (("y", "J"), True, "((y, aux), J)"),
        ((["y", "aux"], "J"), True, "((y, aux), J)"),
        ("J", True, "(y, J)"),
    ],
)
def test_what_is_no_pair_is_told(native: Any, has_aux: bool, form: str) -> None:
    with pytest.raises(TypeError) as caught:
        operators.get("value_and_jacobian").parts(native, has_aux=has_aux)
    told = str(caught.value)
    assert told == f"value_and_jacobian returns {form}, and this is no such pair"


@pytest.mark.parametrize("name", [n for n in operators.NAMES if n != "value_and_jacobian"])
def test_every_other_operator_returns_its_derivative_alone(name: str) -> None:
    native = ("a", "tree")
    assert operators.get(name).parts(native, has_aux=False) == (None, None, native)


# --- names ---


def test_every_name_has_its_operator_and_a_line() -> None:
    assert set(operators.NAMES) >= {"jacobian", "value_and_jacobian", "batch_jacobian"}
    for name in operators.NAMES:
        assert operators.get(name).name == name
        assert operators.get(name) is operators.get(name)
        assert operators.SUMMARIES[name]
        assert "\n" not in operators.SUMMARIES[name]


def test_only_a_batch_has_a_jacobian_per_sample() -> None:
    assert operators.offered(batch=True) == operators.NAMES
    assert set(operators.NAMES) - set(operators.offered(batch=False)) == {"batch_jacobian"}


def test_every_operator_has_a_method_and_every_method_an_operator() -> None:
    named = [i.operator for d in registry.descriptors().values() for i in d.methods]
    assert set(named) == set(operators.NAMES)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("jacobain", "did you mean 'jacobian'"),
        ("VJP", "did you mean 'vjp'"),
        ("hvp", "unknown operator 'hvp': "),
    ],
)
def test_unknown_names_say_what_is_near(asked: str, told: str) -> None:
    with pytest.raises(JacbenchError) as caught:
        operators.get(asked)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_naming_operators_imports_no_numpy() -> None:
    code = (
        "import sys\n"
        "from jacbench.core import operators\n"
        "assert operators.NAMES and operators.offered(batch=True)\n"
        "print(sorted({'numpy', 'torch', 'jax', 'autograd'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "[]"
