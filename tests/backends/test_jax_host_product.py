"""A large product on the host: the same numbers, in memory that JAX takes over."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")
host_product = pytest.importorskip("jacbench_jax.host_product")

RNG = np.random.default_rng(3)
SHAPES = [((5, 2), (2, 7)), ((64, 16), (16, 33)), ((1, 1), (1, 1)), ((3, 0), (0, 4))]


def pair(left: tuple[int, int], right: tuple[int, int]) -> list[Any]:
    cpu = jax.devices("cpu")[0]
    drawn = (RNG.standard_normal(shape).astype(np.float32) for shape in (left, right))
    return [jax.device_put(array, cpu) for array in drawn]


@pytest.mark.parametrize(("left", "right"), SHAPES)
def test_it_is_the_product_as_an_array_of_jax(
    left: tuple[int, int], right: tuple[int, int]
) -> None:
    a, b = pair(left, right)
    found = host_product.product(a, b)
    assert isinstance(found, jax.Array)
    assert (found.shape, found.dtype, found.device) == ((left[0], right[1]), a.dtype, a.device)
    expected = np.asarray(a, np.float64) @ np.asarray(b, np.float64)
    np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-5, atol=1e-5)


def test_each_result_has_memory_of_its_own_that_is_not_copied(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a, b = pair((300, 4), (4, 200))
    made = []
    aligned = host_product._aligned

    def seen(*args: Any) -> Any:
        made.append(aligned(*args))
        return made[-1]

    monkeypatch.setattr(host_product, "_aligned", seen)
    first, second = host_product.product(a, b), host_product.product(2 * a, b)
    pointers = [array.unsafe_buffer_pointer() for array in (first, second)]
    assert pointers == [array.ctypes.data for array in made]
    np.testing.assert_array_equal(2 * np.asarray(first), np.asarray(second))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (("cpu", 2048, 2048, "float64"), True),
        (("cpu", 2048, 2048, "float32"), False),
        (("cpu", 4096, 2048, "float32"), True),
        (("cpu", 2047, 2048, "float64"), False),
        (("cuda:0", 4096, 4096, "float64"), False),
        (("cpu", 4096, 4096, "bfloat16"), False),
    ],
)
def test_it_is_for_results_beyond_the_allocators_limit(
    asked: tuple[str, int, int, str], expected: bool
) -> None:
    assert host_product.pays(*asked) is expected
