"""The networks are one function however they are written, and their Jacobians are right."""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from typing import Any

import numpy as np
import pytest
from jacbench_numpy import xp

from jacbench.backend import registry
from jacbench.core import tree
from jacbench.core.errors import JacbenchError
from jacbench.core.operators.batch_jacobian import by_sample
from jacbench.core.operators.operator import Sizes
from jacbench.problems import Entry, nn
from jacbench.problems.problem import Problem

SMALL: dict[str, dict[str, int]] = {
    "digits-cnn": {"batch": 2, "channels": 2},
    "attention": {"batch": 2, "seq": 3, "width": 8},
    "attention-fused": {"batch": 2, "seq": 3, "width": 8},
    "layernorm": {"batch": 3, "width": 4, "hidden": 5},
    "batch-norm": {"batch": 4, "features": 2, "hidden": 5, "out": 3},
    "batch-norm-eval": {"batch": 4, "features": 2, "hidden": 5, "out": 3},
    "softmax-over-batch": {"batch": 4, "width": 3, "keys": 2},
}
SIZES = [
    *SMALL.items(),
    ("digits-cnn", {"batch": 1, "channels": 1}),
    ("digits-cnn", {"batch": 5, "channels": 3}),
    ("attention", {"batch": 1, "seq": 1, "width": 4}),
    ("attention", {"batch": 4, "seq": 2, "width": 12}),
    ("layernorm", {"batch": 1, "width": 2, "hidden": 1}),
    ("layernorm", {"batch": 6, "width": 5, "hidden": 7}),
    ("batch-norm", {"batch": 3, "features": 1, "hidden": 4, "out": 1}),
    ("batch-norm", {"batch": 9, "features": 5, "hidden": 3, "out": 2}),
    ("batch-norm-eval", {"batch": 1, "features": 3, "hidden": 4, "out": 1}),
    ("softmax-over-batch", {"batch": 1, "width": 2, "keys": 3}),
    ("softmax-over-batch", {"batch": 7, "width": 4, "keys": 1}),
]
PER_SAMPLE = {"attention", "attention-fused", "batch-norm-eval"}
NATIVE = sorted(set(SMALL) - {"softmax-over-batch"})
# torch's fused kernel says, when it is mapped, that it is slow
SLOW = "ignore:There is a performance drop:UserWarning"


@functools.cache
def build(name: str, **sizes: int) -> Problem:
    if name == "digits-cnn":
        pytest.importorskip("sklearn", reason="the digits come with scikit-learn")
    entry = Entry(
        name=f"nn/{name}",
        m=1,
        n=1,
        summary="a network",
        source="a paper",
        build=f"jacbench.problems.nn:{name.replace('-', '_')}",
        parameters=SMALL[name] | sizes,
    )
    built: Problem = getattr(nn, entry.build.partition(":")[2])(entry)
    return built


def value(problem: Problem, x: Any) -> np.ndarray:
    return problem.function(xp, x, *problem.constants)


def complex_step(problem: Problem, x: Any) -> np.ndarray:
    columns = []
    for j in range(problem.n):
        leaves = [leaf.astype(complex) for leaf in tree.leaves(x)]
        flat = np.concatenate([leaf.reshape(-1) for leaf in leaves])
        flat[j] += 1e-40j
        ends = np.cumsum([leaf.size for leaf in leaves])[:-1]
        parts = [
            part.reshape(leaf.shape)
            for part, leaf in zip(np.split(flat, ends), leaves, strict=True)
        ]
        columns.append(np.ravel(value(problem, tree.unflatten(x, parts))).imag / 1e-40)
    return np.stack(columns, axis=1)


def off_by(found: Any, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found - expected)) / (float(np.linalg.norm(expected)) or 1.0)


def placed(problem: Problem, library: str, dtype: str) -> tuple[Any, tuple[Any, ...]]:
    backend = registry.load(library)

    def put(value: Any) -> Any:
        return tree.map_leaves(lambda leaf: backend.put(leaf, "cpu", dtype), value)

    return put(problem.x), tuple(put(constant) for constant in problem.constants)


def matrix(library: str, jacobian: Any, m: int) -> np.ndarray:
    blocks = [registry.load(library).to_numpy(leaf) for leaf in tree.leaves(jacobian)]
    return np.concatenate([block.reshape(m, -1) for block in blocks], axis=1)


@pytest.mark.parametrize(("name", "sizes"), SIZES)
def test_analytic_jacobian_agrees_with_complex_step(name: str, sizes: dict[str, int]) -> None:
    problem = build(name, **sizes)
    for x in (problem.x, problem.elsewhere):
        J = problem.jacobian(x, *problem.constants)
        assert J.shape == (value(problem, x).size, problem.n)
        assert off_by(J, complex_step(problem, x)) <= 1e-13


@pytest.mark.parametrize("name", SMALL)
def test_float32_stays_float32(name: str) -> None:
    problem = build(name)
    x, constants = placed(problem, "numpy", "float32")
    y, J = problem.function(xp, x, *constants), problem.jacobian(x, *constants)
    assert y.dtype == J.dtype == np.float32
    assert off_by(y, value(problem, problem.x)) <= 1e-6
    assert off_by(J, problem.jacobian(problem.x, *problem.constants)) <= 2e-6


@pytest.mark.parametrize("library", ["torch", "jax", "autograd"])
@pytest.mark.parametrize("name", SMALL)
def test_neutral_function_is_the_same_over_every_namespace(name: str, library: str) -> None:
    pytest.importorskip(library)
    backend, problem = registry.load(library), build(name)
    backend.configure(1)
    for dtype, allowed in (("float64", 1e-14), ("float32", 1e-6)):
        x, constants = placed(problem, library, dtype)
        function = functools.partial(problem.function, backend.xp)
        if library == "jax":
            function = importlib.import_module("jax").jit(function)  # one by one takes seconds
        y = backend.to_numpy(function(x, *constants))
        assert y.dtype == dtype
        assert off_by(y, value(problem, problem.x)) <= allowed


@pytest.mark.filterwarnings(SLOW)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", NATIVE)
def test_torch_module_is_the_same_function(name: str, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    problem = build(name)
    x, constants = placed(problem, "torch", dtype)
    f = problem.native_function("torch")
    y, allowed = f(x, *constants).numpy(), {"float64": 1e-12, "float32": 1e-5}[dtype]
    assert y.dtype == dtype
    assert off_by(y, value(problem, problem.x)) <= allowed
    found = matrix("torch", torch.func.jacrev(f)(x, *constants), y.size)
    assert found.dtype == dtype
    assert off_by(found, problem.jacobian(problem.x, *problem.constants)) <= allowed


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("name", sorted(set(NATIVE) - {"attention-fused"}))
def test_torch_module_has_a_forward_mode(name: str) -> None:
    torch = pytest.importorskip("torch")
    problem = build(name)
    x, constants = placed(problem, "torch", "float64")
    J = torch.func.jacfwd(problem.native_function("torch"))(x, *constants)
    expected = problem.jacobian(problem.x, *problem.constants)
    assert off_by(matrix("torch", J, len(expected)), expected) <= 1e-12


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", NATIVE)
def test_jax_code_is_the_same_function(name: str, dtype: str) -> None:
    jax = pytest.importorskip("jax")
    registry.load("jax").configure(1)
    problem = build(name)
    x, constants = placed(problem, "jax", dtype)
    f = problem.native_function("jax")
    both = jax.jit(lambda *a: (f(*a), jax.jacrev(f)(*a), jax.jacfwd(f)(*a)))
    y, *jacobians = both(x, *constants)
    allowed = {"float64": 1e-12, "float32": 1e-5}[dtype]
    assert y.dtype == dtype
    assert off_by(np.asarray(y), value(problem, problem.x)) <= allowed
    for jacobian in jacobians:
        found = matrix("jax", jacobian, y.size)
        assert found.dtype == dtype
        assert off_by(found, problem.jacobian(problem.x, *problem.constants)) <= allowed


@pytest.mark.parametrize("name", SMALL)
def test_autograd_differentiates_the_neutral_function(name: str) -> None:
    autograd = pytest.importorskip("autograd")
    from autograd.misc import flatten

    problem, namespace = build(name), registry.load("autograd").xp
    flat, unflatten = flatten(problem.x)

    def function(v: Any) -> Any:
        return problem.function(namespace, unflatten(v), *problem.constants)

    expected = problem.jacobian(problem.x, *problem.constants)
    found = autograd.jacobian(function)(flat).reshape(expected.shape)
    assert off_by(found, expected) <= 1e-12


@pytest.mark.filterwarnings(SLOW)
@pytest.mark.parametrize("name", NATIVE)
def test_torch_calls_leave_nothing_behind(name: str) -> None:
    torch = pytest.importorskip("torch")
    problem = build(name)
    x, constants = placed(problem, "torch", "float64")
    before = [leaf.clone() for leaf in tree.leaves((x, *constants))]
    f = problem.native_function("torch")
    network = inspect.getclosurevars(f).nonlocals["network"]
    own = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    mode = network.training
    first = f(x, *constants)
    torch.func.jacrev(f)(x, *constants)
    assert torch.equal(f(x, *constants), first)
    for leaf in tree.leaves(x):
        leaf.requires_grad_()
    f(x, *constants).sum().backward()
    assert all(map(torch.equal, before, tree.leaves((x, *constants))))
    after = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    assert all(own[key] is after[key] for key in own | after)
    assert all(leaf.is_meta and leaf.grad is None for leaf in after.values())
    assert network.training is mode is (name != "batch-norm-eval")


def test_torch_module_is_built_once_and_outside_of_any_transform() -> None:
    torch = pytest.importorskip("torch")
    sizes = {"batch": 3, "features": 3, "hidden": 6, "out": 2}
    problem = build("batch-norm", **sizes)
    f = problem.native_function("torch")
    assert problem.native_function("torch") is f
    x, constants = placed(problem, "torch", "float64")
    J = torch.func.jacrev(f)(x, *constants)  # its first call
    assert off_by(J.reshape(6, 9).numpy(), problem.jacobian(problem.x, *problem.constants)) < 1e-12


@pytest.mark.parametrize("name", ["layernorm", "resnet_3", "_layernorm_3_4", "layernorm_3_x"])
def test_torch_function_without_sizes_is_none(name: str) -> None:
    pytest.importorskip("torch")
    from jacbench_torch.problems import nn as networks

    assert not hasattr(networks, name)


@pytest.mark.parametrize("name", SMALL)
def test_batch_is_where_in_axes_says(name: str) -> None:
    larger, problem = build(name, batch=7), build(name)
    assert larger.in_axes == problem.in_axes
    small, large = (
        [value(p, p.x), *tree.leaves(p.x), *tree.leaves(p.constants)] for p in (problem, larger)
    )
    axes = [0]
    for axis, argument in zip(problem.in_axes, (problem.x, *problem.constants), strict=True):
        axes += [axis] * len(tree.leaves(argument))
    for axis, few, many in zip(axes, small, large, strict=True):
        assert many.shape == (few.shape if axis is None else (7, *few.shape[1:]))
    # the samples that both have are the same, and so is what the samples share
    for axis, few, many in zip(axes[1:], small[1:], large[1:], strict=True):
        assert np.array_equal(few, many if axis is None else many[: len(few)])


@pytest.mark.parametrize("name", sorted(set(SMALL) - {"digits-cnn", "layernorm"}))
def test_samples_interact_only_where_the_summary_says(name: str) -> None:
    problem = build(name)
    y = value(problem, problem.x)
    J = problem.jacobian(problem.x, *problem.constants)
    (blocks,) = by_sample(J, Sizes(y.shape, problem.leaf_shapes, 0))
    between = ~np.eye(len(y), dtype=bool)
    pairs = np.linalg.norm(blocks, axis=(1, 3))
    if name in PER_SAMPLE:
        assert not pairs[between].any()
    else:
        assert pairs[between].min() > 1e-3 * pairs.max()


def test_images_are_the_digits() -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    (images,) = build("digits-cnn", batch=1797).constants
    assert images.shape == (1797, 1, 8, 8)
    assert (images.min(), images.max(), 16 * images.sum()) == (0, 1, 561718)
    data = datasets.load_digits()
    ours, theirs = (np.sort(a.reshape(1797, 64) @ np.arange(1, 65)) for a in (images, data.images))
    assert np.array_equal(16 * ours, theirs)
    # the seeded order mixes the labels, which the file has in turns of 0 to 9
    places = {image.tobytes(): label for image, label in zip(data.images, data.target, strict=True)}
    labels = [places[image.tobytes()] for image in 16 * images[:32, 0]]
    assert len(set(labels)) == 10
    assert labels != [i % 10 for i in range(32)]


def test_default_network_has_a_few_hundred_parameters() -> None:
    problem = build("digits-cnn", batch=32, channels=4)
    assert (problem.n, value(problem, problem.x).shape) == (666, (32, 10))


def test_digits_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    entry = Entry(
        name="nn/digits-cnn",
        m=1,
        n=1,
        summary="",
        source="",
        build="",
        parameters=SMALL["digits-cnn"],
    )
    with pytest.raises(JacbenchError) as caught:
        nn.digits_cnn(entry)
    assert str(caught.value) == (
        "problem 'nn/digits-cnn' needs scikit-learn for its data: "
        'run pip install "jacbench[data]"'
    )


@pytest.mark.parametrize(
    ("name", "sizes", "told"),
    [
        ("digits-cnn", {"batch": 1798}, "batch is 1798 and there are 1797 images"),
        ("attention", {"width": 6}, "width is 6, and a head has 4: give a multiple of 4"),
        ("batch-norm", {"batch": 1}, "batch is 1, .* give batch=3 or more"),
        ("batch-norm", {"batch": 2}, "batch is 2, .* give batch=3 or more"),
    ],
)
def test_sizes_that_cannot_be(name: str, sizes: dict[str, int], told: str) -> None:
    with pytest.raises(JacbenchError, match=f"^problem 'nn/{name}': {told}[^\n]*$"):
        build(name, **sizes)
