"""Flax NNX and Equinox modules as functions of arrays."""

from __future__ import annotations

import functools
import subprocess
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from jacbench.backend import registry
from jacbench.backend.adapted import Adapted, Inputs
from jacbench.core import tree
from jacbench.core.errors import JacbenchError
from jacbench.problems.problem import Problem

jax = pytest.importorskip("jax")
nnx = pytest.importorskip("flax.nnx")
eqx = pytest.importorskip("equinox")
jnp = jax.numpy


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", False)  # models are built in float32, as users do
    yield
    jax.config.update("jax_enable_x64", before)


def enable_float64() -> None:
    jax.config.update("jax_enable_x64", True)


def adapt(
    model: Any, *inputs: Any, wrt: str = "parameters", output: str | int | None = None
) -> Adapted:
    return registry.load("jax").adapt(model, Inputs(inputs, {}), wrt, output)


def put(value: Any, dtype: str = "float64") -> Any:
    backend = registry.load("jax")
    return tree.map_leaves(lambda leaf: backend.put(leaf, "cpu", dtype), value)


def value(adapted: Adapted, **tap: Any) -> np.ndarray:
    function = functools.partial(adapted.function, **tap)
    return np.array(jax.jit(function)(put(adapted.x), *put(adapted.constants)))


def jacobian(adapted: Adapted, transform: Any = jax.jacrev) -> Any:
    J = jax.jit(transform(adapted.function))(put(adapted.x), *put(adapted.constants))
    return jax.tree.map(np.array, J)


def tapped(adapted: Adapted) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return what the function passes through tap, by name, and the names as they come."""
    names: list[str] = []

    def of_all(x: Any, *constants: Any) -> Any:
        seen: dict[str, Any] = {}

        def keep(name: str, z: Any) -> Any:
            names.append(name)
            seen[name] = z
            return z

        return adapted.function(x, *constants, tap=keep), seen

    y, seen = jax.jit(of_all)(put(adapted.x), *put(adapted.constants))
    assert np.allclose(y, value(adapted), rtol=1e-14)
    return jax.tree.map(np.array, seen), names


def filled(abstract: Any) -> Any:
    """Return a pytree of shapes with numbers in it: initialising layers would be compiled."""

    def filled_leaf(leaf: Any) -> Any:
        if not isinstance(leaf, jax.ShapeDtypeStruct):
            return leaf
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.key(0)
        return np.zeros(leaf.shape, leaf.dtype)

    return jax.tree.map(filled_leaf, abstract)


X = np.random.default_rng(5).uniform(-1, 1, (4, 3))


class FlaxMlp(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.layers = nnx.List([nnx.Linear(3, 5, rngs=rngs), nnx.Linear(5, 2, rngs=rngs)])

    def __call__(self, x: Any) -> Any:
        return self.layers[1](jnp.tanh(self.layers[0](x)))


class EquinoxMlp(eqx.Module):
    layers: list[eqx.nn.Linear]

    def __init__(self, key: Any) -> None:
        one, two = jax.random.split(key)
        self.layers = [eqx.nn.Linear(3, 5, key=one), eqx.nn.Linear(5, 2, key=two)]

    def __call__(self, x: Any) -> Any:
        return self.layers[1](jnp.tanh(self.layers[0](x)))


class Mapped(eqx.Module):
    """A module of one sample over a batch, as users of Equinox write it."""

    inner: eqx.Module

    def __call__(self, x: Any) -> Any:
        return jax.vmap(self.inner)(x)


def flax_mlp() -> FlaxMlp:
    return FlaxMlp(nnx.Rngs(0))


def equinox_mlp() -> EquinoxMlp:
    return EquinoxMlp(jax.random.key(0))


# --- both ---


@pytest.mark.parametrize("build", [flax_mlp, equinox_mlp])
def test_classes_are_recognised_by_the_spelling_installed_here(build: Any) -> None:
    assert registry.descriptors()["jax"].recognises(build())
    assert not registry.descriptors()["jax"].recognises(object())


def test_neither_is_imported_before_a_model_arrives() -> None:
    code = (
        "import sys, jacbench_jax.backend as b; b.JaxBackend().methods(); "
        "print(*({'flax', 'equinox'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_same_weights_give_the_same_numbers_everywhere() -> None:
    torch = pytest.importorskip("torch")
    flax, equinox = flax_mlp(), Mapped(equinox_mlp())
    ours = {key: np.asarray(a, float) for key, a in adapt(flax, X).x.items()}
    theirs = {
        "inner.layers.0.weight": ours["layers.0.kernel"].T,
        "inner.layers.0.bias": ours["layers.0.bias"],
        "inner.layers.1.weight": ours["layers.1.kernel"].T,
        "inner.layers.1.bias": ours["layers.1.bias"],
    }
    enable_float64()
    by_flax = jacobian(adapt(flax, X))
    of_equinox = adapt(equinox, X)
    assert sorted(of_equinox.x) == sorted(theirs)
    of_equinox = Adapted(function=of_equinox.function, x=theirs, constants=of_equinox.constants)
    by_equinox = jacobian(of_equinox)

    module = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Tanh(), torch.nn.Linear(5, 2))
    names = {"0": "inner.layers.0", "2": "inner.layers.1"}
    tensors = {
        f"{ours}.{part}": torch.tensor(theirs[f"{name}.{part}"])
        for ours, name in names.items()
        for part in ("weight", "bias")
    }
    by_torch = torch.func.jacrev(
        lambda p: torch.func.functional_call(module, p, (torch.tensor(X),))
    )(tensors)
    for ours, name in names.items():
        for part in ("weight", "bias"):
            expected = by_torch[f"{ours}.{part}"].numpy()
            other = by_flax[f"{name[6:]}.{'kernel' if part == 'weight' else part}"]
            other = np.swapaxes(other, -1, -2) if part == "weight" else other
            assert np.allclose(by_equinox[f"{name}.{part}"], expected, rtol=1e-13, atol=1e-14)
            assert np.allclose(other, expected, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("build", [flax_mlp, lambda: Mapped(equinox_mlp())])
def test_by_the_inputs(build: Any) -> None:
    model = build()
    adapted = adapt(model, X, wrt="inputs")
    enable_float64()
    assert np.array_equal(adapted.x, X)
    J = jacobian(adapted)
    assert J.shape == (4, 2, 4, 3)
    parameters, state = adapted.constants
    assert len(parameters) == 4
    assert state == {}
    first, last = (next(k for k in parameters if k.endswith(f"{i}.bias")) for i in (0, 1))
    weights = [parameters[k.replace("bias", "kernel")] for k in (first, last) if "inner" not in k]
    weights = weights or [parameters[k.replace("bias", "weight")].T for k in (first, last)]
    slope = 1 - np.tanh(X @ weights[0] + parameters[first]) ** 2
    for sample in range(4):
        expected = (weights[0] * slope[sample]) @ weights[1]
        assert np.allclose(J[sample, :, sample], expected.T, rtol=1e-13, atol=1e-14)
    assert value(adapted).dtype == np.float64


class Two(eqx.Module):
    w: jax.Array

    def __call__(self, x: Any, y: Any) -> Any:
        return self.w * x - y


def test_several_inputs_are_a_tuple() -> None:
    model = Two(jnp.asarray([2.0, 3.0]))
    adapted = adapt(model, np.ones(2), jnp.zeros(2), wrt="inputs")
    by_x, by_y = jacobian(adapted)
    assert np.array_equal(by_x, np.diag([2.0, 3.0]))
    assert np.array_equal(by_y, -np.eye(2))
    ((first, second), state) = adapt(model, np.ones(2), np.zeros(2, dtype=np.int32)).constants
    assert (first.dtype, second.dtype, state) == ("float64", "int32", {})


class FlaxMany(nnx.Module):
    def __init__(self) -> None:
        self.w = nnx.Param(jnp.ones(2))

    def __call__(self, x: Any) -> Any:
        return {"logits": self.w * x, "hidden": x}


class EquinoxMany(eqx.Module):
    w: jax.Array

    def __call__(self, x: Any) -> Any:
        return self.w * x, x


def test_an_output_of_several_is_told_or_chosen() -> None:
    x, flax, equinox = np.ones(2), FlaxMany(), EquinoxMany(jnp.ones(2))
    with pytest.raises(
        JacbenchError, match=r"^FlaxMany returns a dict with hidden, logits: say wh"
    ):
        adapt(flax, x)
    with pytest.raises(JacbenchError, match=r"^EquinoxMany returns a tuple with 0, 1: say which"):
        adapt(equinox, x, wrt="inputs")
    with pytest.raises(JacbenchError, match=r"^EquinoxMany returns a tuple with 0, 1, not 2"):
        adapt(equinox, x, output=2)
    for adapted in (adapt(flax, x, output="logits"), adapt(equinox, x, output=0)):
        assert np.array_equal(jacobian(adapted)["w"], np.eye(2))


class Choosing(eqx.Module):
    w: Any

    def __call__(self, x: Any) -> Any:
        return self.w * x if x.sum() > 0 else x


def test_a_model_that_cannot_be_traced_is_left_to_the_methods_that_need_not() -> None:
    adapted = adapt(Choosing(jnp.ones(2)), np.ones(2))
    assert np.array_equal(adapted.function(put(adapted.x), *put(adapted.constants)), np.ones(2))


class Text(eqx.Module):
    def __call__(self, x: Any) -> Any:
        return jax.tree_util.Partial(jnp.sin, x)


def test_models_that_cannot_be_adapted_are_told_in_a_line() -> None:
    x = np.ones((4, 3))

    def told(model: Any, *inputs: Any, **rest: Any) -> str:
        with pytest.raises(JacbenchError) as caught:
            adapt(model, *inputs, **rest)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "calling FlaxMlp raised" in told(flax_mlp(), np.ones(7))
    abstract = eqx.filter_eval_shape(equinox_mlp)
    assert told(abstract, x) == (
        "EquinoxMlp has shapes and no data: build the model with its arrays"
    )
    assert "has a shape and no data" in told(nnx.eval_shape(flax_mlp), x)
    assert told(eqx.nn.Identity(), x) == (
        "Identity has no parameters: differentiate it by wrt='inputs'"
    )
    assert "object is no model that this backend" in told(object(), x)
    dotted = FlaxMany()
    dotted.more = nnx.Dict({"a.b": nnx.Param(jnp.ones(1)), "a": nnx.Dict(b=nnx.Param(jnp.ones(1)))})
    assert "two arrays called 'more.a.b'" in told(dotted, np.ones(2))
    assert told(Text(), x, wrt="inputs").startswith("Text returns a Partial, not an array: wrap")
    assert "Dropout" in told(eqx.nn.Sequential([eqx.nn.Dropout(0.5)]), x, wrt="inputs")


def test_through_from_model() -> None:
    problem = Problem.from_model(flax_mlp(), X, batch_axis=0)
    assert problem.name == "model/FlaxMlp"
    assert problem.in_axes == (None, 0, None)
    assert problem.n == 3 * 5 + 5 + 5 * 2 + 2
    assert {leaf.dtype for leaf in tree.leaves(problem.x)} == {np.dtype("float64")}
    assert problem.written_for("jax") is None
    assert problem.written_for("torch") is not None


# --- Flax NNX ---


class Trained(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.linear = nnx.Linear(3, 4, rngs=rngs)
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        return self.drop(self.norm(self.linear(x)))


def arrays_of(model: Any) -> list[np.ndarray]:
    leaves = jax.tree.leaves(nnx.split(model)[1])
    keys = jax.dtypes.prng_key
    return [
        np.array(jax.random.key_data(a) if jnp.issubdtype(a.dtype, keys) else a) for a in leaves
    ]


def test_train_mode_leaves_the_model_untouched() -> None:
    model = Trained(nnx.Rngs(1))
    before = arrays_of(model)
    adapted = adapt(model, X)
    inputs, state = adapted.constants
    assert sorted(adapted.x) == ["linear.bias", "linear.kernel", "norm.bias", "norm.scale"]
    assert sorted(state) == ["drop.rngs.count", "drop.rngs.key", "norm.mean", "norm.var"]
    assert state["drop.rngs.key"].dtype == state["drop.rngs.count"].dtype == np.uint32
    assert {str(a.dtype) for a in tree.leaves([inputs, adapted.x])} == {"float64"}

    enable_float64()
    first = value(adapted)
    J = jacobian(adapted)
    assert np.array_equal(value(adapted), first)  # the same mask, the same running statistics
    assert 0 < (first == 0).sum() < first.size
    # batch statistics: the bias before the norm has no effect
    assert np.allclose(J["linear.bias"], 0, atol=1e-13)
    assert not np.allclose(J["norm.bias"], 0)
    for name, block in jacobian(adapted, jax.jacfwd).items():
        assert np.allclose(block, J[name], rtol=1e-11, atol=1e-13)
    # a tracer that stayed in the model could not become an array
    assert all(map(np.array_equal, before, arrays_of(model)))

    model.eval()
    evaluated = adapt(model, X)
    assert not np.allclose(jacobian(evaluated)["linear.bias"], 0)
    expected = (X @ adapted.x["linear.kernel"]) / np.sqrt(1 + 1e-5)
    assert np.allclose(value(evaluated), expected, rtol=1e-12)


class Layers(nnx.Module):
    """One of each layer that could hold on to float32."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.embed = nnx.Embed(5, 3, rngs=rngs)
        self.conv = nnx.Conv(3, 4, kernel_size=(2,), rngs=rngs)
        self.norms = nnx.List([nnx.BatchNorm(4, rngs=rngs), nnx.LayerNorm(4, rngs=rngs)])
        self.rnn = nnx.RNN(nnx.LSTMCell(4, 3, rngs=rngs))
        self.cell = nnx.RNN(nnx.SimpleCell(3, 3, rngs=rngs))
        self.half = nnx.Linear(3, 2, dtype=jnp.bfloat16, rngs=rngs)
        self.scale = nnx.Param(2.5)

    def __call__(self, words: Any) -> Any:
        z = self.norms[1](self.norms[0](self.conv(self.embed(words))))
        return self.scale[...] * self.half(self.cell(self.rnn(z)))


def test_built_in_float32_it_computes_in_float64() -> None:
    graph, state = nnx.split(nnx.eval_shape(lambda: Layers(nnx.Rngs(2))))
    model = nnx.merge(graph, filled(state))
    adapted = adapt(model, np.array([[0, 3, 1], [4, 4, 2]]))
    enable_float64()
    for dtype in ("float64", "float32"):
        x, constants = put(adapted.x, dtype), put(adapted.constants, dtype)
        traced = jax.make_jaxpr(adapted.function)(x, *constants)
        assert [str(aval.dtype) for aval in traced.out_avals] == [dtype]
        assert "bf16[" not in str(traced)
        assert ("f32[" in str(traced)) is (dtype == "float32")
    assert model.half.dtype == jnp.bfloat16


class Rounding(nnx.Module):
    def __init__(self, dtype: Any) -> None:
        self.w = nnx.Param(jnp.ones(2))
        self.narrow = dtype

    def __call__(self, x: Any) -> Any:
        inner = jax.jit(lambda z: jnp.exp(z.astype(self.narrow)))
        return inner(self.w * x).astype(x.dtype)


def test_rounding_on_the_way_is_warned_of() -> None:
    with pytest.warns(UserWarning, match=r"^Rounding rounds float64 to float32 on its way"):
        adapt(Rounding(jnp.float32), np.ones(2))
    heads = nnx.MultiHeadAttention(2, 4, decode=False, rngs=nnx.Rngs(0))
    with pytest.warns(UserWarning, match=r"^MultiHeadAttention rounds float64 to float32"):
        adapt(heads, np.ones((3, 4)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        adapt(Rounding(None), np.ones(2))


def test_taps_see_each_submodule_of_a_flax_model() -> None:
    model = flax_mlp()
    adapted = adapt(model, X)
    enable_float64()

    def shift(name: str, z: Any) -> Any:
        return z + 1 if name == "layers.0" else z

    y = value(adapted)
    seen, _ = tapped(adapted)
    assert sorted(seen) == ["layers.0", "layers.1"]
    kernel, bias = adapted.x["layers.0.kernel"], adapted.x["layers.0.bias"]
    assert np.allclose(seen["layers.0"], X @ kernel + bias, rtol=1e-13)
    z = np.tanh(X @ kernel + bias + 1)
    expected = z @ adapted.x["layers.1.kernel"] + adapted.x["layers.1.bias"]
    assert np.allclose(value(adapted, tap=shift), expected, rtol=1e-13)
    assert np.array_equal(value(adapted), y)
    assert type(model.layers[0]) is nnx.Linear


class Inspecting(nnx.Module):
    """Asks for its parts by class and by attribute, and calls one of them twice."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.same = nnx.Linear(3, 3, rngs=rngs)
        self.parts = nnx.Sequential(self.same, jnp.tanh, nnx.Dropout(0.0, rngs=rngs))

    def __call__(self, x: Any) -> Any:
        assert isinstance(self.same, nnx.Linear)
        graph, state = nnx.split(self.same)
        return self.parts(self.same(x)) + self.same.kernel[...].sum() + nnx.merge(graph, state)(x)


def test_a_tapped_flax_model_is_still_itself() -> None:
    adapted = adapt(Inspecting(nnx.Rngs(0)), X)
    enable_float64()
    _, names = tapped(adapted)
    assert sorted(set(names)) == ["parts", "parts.layers.0", "parts.layers.2"]
    assert names.count("parts.layers.0") == 3


# --- Equinox ---


class Rich(eqx.Module):
    conv: eqx.nn.Conv1d
    norm: eqx.nn.LayerNorm
    heads: eqx.nn.MultiheadAttention
    mlp: eqx.nn.MLP
    cell: eqx.nn.GRUCell
    table: eqx.nn.Embedding
    offsets: jax.Array
    key: jax.Array

    def __init__(self, key: Any) -> None:
        keys = jax.random.split(key, 5)
        self.conv = eqx.nn.Conv1d(2, 4, 2, key=keys[0])
        self.norm = eqx.nn.LayerNorm(4)
        self.heads = eqx.nn.MultiheadAttention(2, 4, key=keys[1])
        self.mlp = eqx.nn.MLP(4, 3, 5, 2, key=keys[2])
        self.cell = eqx.nn.GRUCell(3, 3, key=keys[3])
        self.table = eqx.nn.Embedding(3, 4, key=keys[4])
        self.offsets = jnp.array([0, 1, 2])
        self.key = key

    def __call__(self, x: Any) -> Any:
        z = jax.vmap(self.norm)(self.conv(x).T + jax.vmap(self.table)(self.offsets))
        z = jax.vmap(self.mlp)(self.heads(z, z, z))
        noise = jax.random.uniform(self.key, (), z.dtype)
        return self.cell(z[0], z[1]) * noise


def test_equinox_layers_keep_their_other_arrays_as_they_are() -> None:
    model = filled(eqx.filter_eval_shape(Rich, jax.random.key(3)))
    adapted = adapt(model, np.random.default_rng(0).uniform(-1, 1, (2, 4)))
    _, state = adapted.constants
    assert {name: str(a.dtype) for name, a in state.items()} == {
        "offsets": "int32",
        "key": "uint32",
    }
    assert "mlp.layers.0.weight" in adapted.x
    enable_float64()
    traced = jax.make_jaxpr(adapted.function)(put(adapted.x), *put(adapted.constants))
    assert [str(aval.dtype) for aval in traced.out_avals] == ["float64"]
    assert "f32[" not in str(traced)


def test_taps_see_each_submodule_of_an_equinox_model() -> None:
    model = equinox_mlp()
    adapted = adapt(model, X[0])
    enable_float64()
    seen, _ = tapped(adapted)
    assert sorted(seen) == ["layers.0", "layers.1"]
    weight, bias = adapted.x["layers.0.weight"], adapted.x["layers.0.bias"]
    assert np.allclose(seen["layers.0"], weight @ X[0] + bias, rtol=1e-13)
    z = np.tanh(weight @ X[0] + bias + 1)
    shifted = value(adapted, tap=lambda name, z: z + 1 if name == "layers.0" else z)
    expected = adapted.x["layers.1.weight"] @ z + adapted.x["layers.1.bias"]
    assert np.allclose(shifted, expected, rtol=1e-13)
    assert isinstance(model.layers[0], eqx.nn.Linear)


class Nested(eqx.Module):
    inner: dict[str, Any]
    shape: eqx.nn.MLP

    def __call__(self, x: Any) -> Any:
        width = self.inner["one"].layers[0].out_features
        return self.inner["one"](x) * width + self.shape.layers[0].weight.sum() + self.inner["f"](x)


def test_a_tapped_equinox_model_answers_for_its_parts() -> None:
    one, shape = equinox_mlp(), eqx.nn.MLP(2, 2, 2, 1, key=jax.random.key(1))
    adapted = adapt(Nested({"one": one, "f": lambda x: x[:2]}, shape), X[0])
    enable_float64()
    _, names = tapped(adapted)
    assert names == ["inner.one.layers.0", "inner.one.layers.1", "inner.one"]


class Stateful(eqx.Module):
    """A batch norm of Equinox, its state and axis bound, as a function of arrays."""

    layers: eqx.nn.Sequential
    state: eqx.nn.State

    def __call__(self, x: Any) -> Any:
        mapped = jax.vmap(self.layers, in_axes=(0, None), out_axes=(0, None), axis_name="batch")
        return mapped(x, self.state)[0]


@pytest.mark.parametrize("tap", [None, lambda name, z: z])
def test_an_equinox_batch_norm_with_its_state_inside(tap: Any) -> None:
    def build(key: Any) -> eqx.nn.Sequential:
        linear = eqx.nn.Linear(3, 4, key=key)
        return eqx.nn.Sequential([linear, eqx.nn.BatchNorm(4, "batch", mode="batch")])

    layers, state = eqx.nn.make_with_state(build)(jax.random.key(0))
    before = [np.array(leaf) for leaf in jax.tree.leaves(state)]
    adapted = adapt(Stateful(layers, state), X)
    enable_float64()
    y = value(adapted, tap=tap)
    assert np.allclose(y.mean(axis=0), 0, atol=1e-12)
    assert np.allclose(jacobian(adapted)["layers.layers.0.bias"], 0, atol=1e-12)
    assert all(map(np.array_equal, before, map(np.array, jax.tree.leaves(state))))
