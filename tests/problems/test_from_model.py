"""Models of three libraries as problems: the same weights, the same Jacobian, one line each."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import jacbench as jb
from jacbench import Problem
from jacbench.core import tree
from jacbench.core.cell import Cell, CellResult, Verdict
from jacbench.core.errors import JacbenchError
from jacbench.problems.counted_function import Calls
from jacbench.running.prepared_cells import Harness, Limits

# torch's own: the first use of forward mode
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")

RNG = np.random.default_rng(8)
W1, B1 = RNG.standard_normal((4, 3)), RNG.standard_normal(4)
W2, B2 = RNG.standard_normal((2, 4)), RNG.standard_normal(2)
X = RNG.standard_normal((3, 3))


# --- the same network three times: fc1, tanh, fc2 ---


def of_torch() -> Any:
    torch = pytest.importorskip("torch")

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc1 = torch.nn.Linear(3, 4)
            self.fc2 = torch.nn.Linear(4, 2)

        def forward(self, x: Any) -> Any:
            return self.fc2(torch.tanh(self.fc1(x)))

    model = Net().double()
    for layer, W, b in ((model.fc1, W1, B1), (model.fc2, W2, B2)):
        layer.weight.data, layer.bias.data = torch.tensor(W), torch.tensor(b)
    return model


def of_flax() -> Any:
    nnx = pytest.importorskip("flax.nnx")
    import jax.numpy as jnp

    class Linear(nnx.Module):
        def __init__(self, W: Any, b: Any) -> None:
            self.kernel, self.bias = nnx.Param(jnp.asarray(W.T)), nnx.Param(jnp.asarray(b))

        def __call__(self, x: Any) -> Any:
            return x @ self.kernel + self.bias

    class Net(nnx.Module):
        def __init__(self) -> None:
            self.fc1, self.fc2 = Linear(W1, B1), Linear(W2, B2)

        def __call__(self, x: Any) -> Any:
            return self.fc2(jnp.tanh(self.fc1(x)))

    return Net()


def of_equinox() -> Any:
    eqx = pytest.importorskip("equinox")
    import jax
    import jax.numpy as jnp

    class Linear(eqx.Module):
        weight: Any
        bias: Any

        def __call__(self, x: Any) -> Any:
            return x @ self.weight.T + self.bias

    class Net(eqx.Module):
        fc1: Linear
        fc2: Linear

        def __call__(self, x: Any) -> Any:
            return self.fc2(jax.nn.tanh(self.fc1(x)))

    return Net(*(Linear(jnp.asarray(W), jnp.asarray(b)) for W, b in ((W1, B1), (W2, B2))))


@pytest.fixture(scope="module")
def _float64() -> Iterator[None]:
    """Let JAX build its arrays in float64: these weights are not representable in float32."""
    try:
        import jax
    except ImportError:
        yield
        return
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


BUILD: dict[str, Callable[[], Any]] = {"torch": of_torch, "flax": of_flax, "equinox": of_equinox}
BACKEND = {"torch": "torch", "flax": "jax", "equinox": "jax"}
library = pytest.mark.parametrize("library", BUILD)


@functools.cache
def problem(library: str, wrt: str) -> Problem:
    return Problem.from_model(BUILD[library](), X, wrt=wrt, name=f"{library}/{wrt}", batch_axis=0)


@functools.cache
def harness() -> Harness:
    return Harness(1, Limits(), {}, verify_pins=False)


def settled(
    asked: Problem, method: str, operator: str = "jacobian", dtype: str = "float64"
) -> CellResult:
    backend = method.partition(".")[0]
    pytest.importorskip(backend)
    harness().given.setdefault(asked.name, asked)
    assert harness().given[asked.name] is asked
    return harness().settle(Cell(asked.name, operator, method, backend, "cpu", dtype, 1)).result


def refused(call: Callable[[], Any]) -> str:
    with pytest.raises(JacbenchError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- by hand ---


def hidden() -> np.ndarray:
    return np.tanh(X @ W1.T + B1)


def by_hidden() -> np.ndarray:
    """Return the derivatives of each sample by its own values of fc1, (3, 2, 4)."""
    return W2 * (1 - hidden() ** 2)[:, None, :]


def by_parameters(library: str) -> np.ndarray:
    h, d, eye = hidden(), by_hidden(), np.eye(2)
    blocks = {
        "fc1.bias": d,
        "fc1.weight": np.einsum("sok,si->soki", d, X),
        "fc2.bias": np.broadcast_to(eye, (3, 2, 2)),
        "fc2.weight": np.einsum("op,sk->sopk", eye, h),
    }
    if library == "flax":  # a kernel is the transposed weight
        blocks = {name: np.swapaxes(b, 2, 3) if b.ndim == 4 else b for name, b in blocks.items()}
    return np.concatenate([block.reshape(6, -1) for block in blocks.values()], axis=1)


def by_inputs() -> np.ndarray:
    J = np.zeros((3, 2, 3, 3))
    J[range(3), :, range(3)] = by_hidden() @ W1
    return J.reshape(6, 9)


def jacobian(asked: Problem, library: str) -> np.ndarray:
    """Return the reference that the harness holds every method against, at x."""
    where = BACKEND[library]
    found = harness()._references[asked.name, "float64", where, True]
    assert not isinstance(found, JacbenchError)
    assert found.kind == "consensus"
    return found.here.jacobian


# --- by parameters and by inputs ---

METHODS = {
    "torch": [
        ("torch.func.jacrev", "jacobian"),
        ("torch.backward-loop", "jacobian"),
        ("torch.value-and-grad-loop", "value_and_jacobian"),
        ("torch.vmap-jacrev", "batch_jacobian"),
        ("torch.backward", "vjp"),
        ("torch.func.jvp", "jvp"),
    ],
    "flax": [("jax.jacrev", "jacobian"), ("jax.vmap-jacrev", "batch_jacobian")],
    "equinox": [("jax.jacfwd", "jacobian"), ("jax.sample-loop", "batch_jacobian")],
}


@pytest.mark.usefixtures("_float64")
@pytest.mark.parametrize("wrt", ["parameters", "inputs"])
@library
def test_methods_of_the_library_agree(library: str, wrt: str) -> None:
    asked = problem(library, wrt)
    for method, operator in METHODS[library]:
        found = settled(asked, method, operator)
        assert (found.verdict, found.reason) == (Verdict.AGREES, None)
        assert (found.reference, found.tolerance) == ("consensus", 1e-12)
    right = by_inputs() if wrt == "inputs" else by_parameters(library)
    assert np.allclose(jacobian(asked, library), right, rtol=1e-12, atol=1e-14)


@pytest.mark.usefixtures("_float64")
@library
def test_names_and_shapes(library: str) -> None:
    weight = "kernel" if library == "flax" else "weight"
    asked = problem(library, "parameters")
    names = [f"{layer}.{what}" for layer in ("fc1", "fc2") for what in ("bias", weight)]
    assert sorted(asked.x) == names
    assert asked.in_axes == (None, 0, None)
    assert asked.tapped
    assert {leaf.dtype for leaf in tree.leaves(asked.x)} == {np.dtype("float64")}
    assert set(asked.native) == {BACKEND[library]}
    by_x = problem(library, "inputs")
    assert by_x.in_axes == (0, None, None)
    assert np.array_equal(by_x.x, X)
    assert sorted(by_x.constants[0]) == names


@pytest.mark.usefixtures("_float64")
@library
def test_other_libraries_cannot_be_asked(library: str) -> None:
    asked = problem(library, "parameters")
    told = f"problem {asked.name!r} is written for {BACKEND[library]} alone"
    others = {"torch.func.jacrev", "jax.jacrev", "autograd.jacobian", "numpy.complex-step"}
    for method in others:
        if method.partition(".")[0] != BACKEND[library]:
            found = settled(asked, method)
            assert (found.verdict, found.reason) == (Verdict.UNSUPPORTED, told)
            assert (found.m, found.n) == (None, asked.n)


def test_a_model_in_float32_is_checked_in_both_precisions() -> None:
    asked = Problem.from_model(of_torch().float(), X, name="torch/single")
    assert asked.x["fc1.weight"].dtype == np.float64
    assert np.array_equal(asked.x["fc1.weight"], W1.astype(np.float32))
    for dtype in ("float64", "float32"):
        assert settled(asked, "torch.func.jacrev", dtype=dtype).verdict is Verdict.AGREES


# --- a layer, and what comes out of one ---


@pytest.mark.usefixtures("_float64")
@library
def test_the_last_layer_alone(library: str) -> None:
    last = problem(library, "parameters").subset("fc2")
    assert [name.partition(".")[0] for name in last.x] == ["fc2", "fc2"]
    assert last.n == W2.size + B2.size
    # a layer by its parameters is known to be linear: the difference needs no small step
    calls = Calls(last, BACKEND[library])
    y = calls.value(last.x, last.constants)
    assert np.allclose(y, hidden() @ W2.T + B2, rtol=1e-13)
    twice = calls.value(tree.map_leaves(lambda leaf: 2 * leaf, last.x), last.constants)
    assert np.allclose(twice, 2 * y, rtol=1e-13)
    if library == "torch":
        assert settled(last, "torch.func.jacrev").verdict is Verdict.AGREES
        assert settled(last, "torch.sample-loop", "batch_jacobian").verdict is Verdict.AGREES
        columns = by_parameters(library)[:, -last.n :]
        assert np.allclose(jacobian(last, library), columns, rtol=1e-12, atol=1e-14)


@pytest.mark.usefixtures("_float64")
@library
def test_by_what_comes_out_of_a_submodule(library: str) -> None:
    asked = problem(library, "inputs").at("fc1")
    assert asked.x.shape == (3, 4)
    methods = {
        "torch": ["torch.retain-grad", "torch.register-hook", "torch.func.jacfwd"],
        "flax": ["jax.jacrev"],
        "equinox": ["jax.jacfwd"],
    }
    for method in methods[library]:
        found = settled(asked, method)
        assert (found.verdict, found.reason) == (Verdict.AGREES, None)
    right = np.zeros((3, 2, 3, 4))
    right[range(3), :, range(3)] = by_hidden()
    assert np.allclose(jacobian(asked, library), right.reshape(6, 12), rtol=1e-12, atol=1e-14)


@pytest.mark.usefixtures("_float64")
@library
def test_layers_that_do_not_exist(library: str) -> None:
    asked = problem(library, "parameters")
    who, has = f"problem '{library}/parameters': ", ", ".join(sorted(asked.x))
    told = refused(lambda: asked.subset("fc1", "fc9.*"))
    assert told == f"{who}unknown input 'fc9.*': it has {has}"
    told = refused(lambda: asked.at("fc9"))
    assert told == f"{who}unknown intermediate value 'fc9': did you mean 'fc2' or 'fc1'?"
    assert "it passes fc1, fc2 through tap()" in refused(lambda: asked.at("logits"))


# --- train mode ---

by_batch = pytest.mark.filterwarnings("ignore:.* in train mode. y of a sample:UserWarning")


@by_batch
def test_a_batch_norm_of_torch_in_train_mode() -> None:
    torch = pytest.importorskip("torch")
    norm = torch.nn.BatchNorm1d(3, dtype=torch.float64)
    model = torch.nn.Sequential(norm, torch.nn.Linear(3, 2, dtype=torch.float64)).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    asked = Problem.from_model(model, X, wrt="inputs", batch_axis=0, name="torch/train")
    for method in ("torch.func.jacrev", "torch.grad-loop", "torch.functional-forward"):
        assert settled(asked, method).verdict is Verdict.AGREES
    found = settled(asked, "torch.sum-trick", "batch_jacobian")
    assert found.verdict is Verdict.UNSUPPORTED
    assert (found.reason or "").startswith("samples interact: the outputs of sample ")
    by_weights = Problem.from_model(model, X, batch_axis=0, name="torch/train-weights")
    found = settled(by_weights, "torch.vmap-jacrev", "batch_jacobian")
    assert (found.reason or "").startswith("samples interact: the output of sample ")
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert model.training
    evaluated = Problem.from_model(model.eval(), X, wrt="inputs", batch_axis=0, name="torch/eval")
    assert settled(evaluated, "torch.sum-trick", "batch_jacobian").verdict is Verdict.AGREES


@by_batch
@pytest.mark.usefixtures("_float64")
def test_a_batch_norm_of_flax_in_train_mode() -> None:
    nnx = pytest.importorskip("flax.nnx")
    import jax

    model = nnx.BatchNorm(3, rngs=nnx.Rngs(0), param_dtype=np.float64)
    before = [np.array(leaf) for leaf in jax.tree.leaves(nnx.state(model))]
    asked = Problem.from_model(model, X, wrt="inputs", batch_axis=0, name="flax/train")
    assert settled(asked, "jax.jacrev").verdict is Verdict.AGREES
    found = settled(asked, "jax.vmap-jacrev", "batch_jacobian")
    assert (found.reason or "").startswith("samples interact: the outputs of sample ")
    after = [np.array(leaf) for leaf in jax.tree.leaves(nnx.state(model))]
    assert len(after) == 4
    assert all(map(np.array_equal, before, after))


def test_layers_of_torch_in_train_mode_are_named() -> None:
    torch = pytest.importorskip("torch")
    nn = torch.nn
    model = nn.Sequential(
        nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout(0.5), nn.Dropout(0.0), nn.RReLU()
    )
    with pytest.warns(UserWarning, match="in train mode") as caught:
        Problem.from_model(model, X)
    batch, draws = (str(one.message) for one in caught)
    assert batch.startswith("layer '1' (BatchNorm1d) is in train mode: y of a sample depends on")
    assert draws.startswith("layers '2' (Dropout), '4' (RReLU) are in train mode: each call draws")
    with pytest.warns(UserWarning, match=r"'0' \(Dropout\), '1' .* and 1 more are in train mode"):
        Problem.from_model(nn.Sequential(*[nn.Dropout(0.5) for _ in range(4)]), X, wrt="inputs")
    with pytest.warns(UserWarning, match=r"^the model itself \(BatchNorm1d\) is in train mode"):
        Problem.from_model(nn.BatchNorm1d(3), X)
    Problem.from_model(model.eval(), X)  # warnings are errors in this suite
    Problem.from_model(nn.BatchNorm1d(3, track_running_stats=False), X)  # eval is the same


def test_layers_of_jax_in_train_mode_are_named() -> None:
    nnx = pytest.importorskip("flax.nnx")
    rngs = nnx.Rngs(0)
    model = nnx.Sequential(nnx.BatchNorm(3, rngs=rngs), nnx.Dropout(0.5, rngs=rngs))
    with pytest.warns(UserWarning, match="in train mode") as caught:
        Problem.from_model(model, X)
    batch, draws = (str(one.message) for one in caught)
    assert batch.startswith("layer 'layers.0' (BatchNorm) is in train mode")
    assert draws.startswith("layer 'layers.1' (Dropout) is in train mode")
    model.eval()
    Problem.from_model(model, X)
    eqx = pytest.importorskip("equinox")
    import jax

    class Dropping(eqx.Module):
        drop: Any

        def __call__(self, x: Any) -> Any:
            return self.drop(x * 2.0, key=jax.random.key(0))

    with pytest.warns(UserWarning, match=r"^layer 'drop' \(Dropout\) is in train mode"):
        Problem.from_model(Dropping(eqx.nn.Dropout(0.5)), X, wrt="inputs")
    Problem.from_model(Dropping(eqx.nn.Dropout(0.5, inference=True)), X, wrt="inputs")


# --- what is no model, or not one that can be differentiated ---


def test_what_is_no_model() -> None:
    for stranger, name in ((np.ones(3), "ndarray"), (np.tanh, "ufunc"), ("net", "str")):
        told = refused(lambda stranger=stranger: Problem.from_model(stranger, X))
        assert told.startswith(
            f"problem 'model/{name}': a {name} is no model that a backend knows ("
        )
        for known in ("torch.nn.modules.module.Module", "flax.nnx.module.Module", "equinox."):
            assert known in told
        assert told.endswith("pass function=f(xp, x, *constants) or native={backend: f}")
    # a class of models is none
    torch = pytest.importorskip("torch")
    assert "a type is no model" in refused(lambda: Problem.from_model(torch.nn.Linear, X))


def test_slips_are_told_before_the_model_is_called() -> None:
    assert refused(lambda: Problem.from_model(object(), X, wrt="weights")) == (
        "problem 'model/object': wrt is 'weights': give 'parameters' or 'inputs'"
    )
    assert refused(lambda: Problem.from_model(object(), name="my/net")) == (
        "problem 'my/net': the model has no input: pass what it is called on"
    )


def test_a_batch_axis_that_is_not_there() -> None:
    told = refused(lambda: Problem.from_model(of_torch(), X, batch_axis=2))
    assert told.startswith(
        "problem 'model/Net': in_axes says that samples lie along axis 2 of constants[0]"
    )


def branching(kind: type) -> Any:
    torch = pytest.importorskip("torch")

    class Branching(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = torch.nn.Linear(3, 2, dtype=torch.float64)

        def forward(self, x: Any) -> Any:
            y = self.fc(x)
            return {"logits": y, "loss": y.sum()} if kind is dict else (y, y.sum())

    return Branching()


@pytest.mark.parametrize(
    ("kind", "remedy", "wrong", "told"),
    [
        (dict, "loss", "logit", "Branching returns a dict with logits, loss"),
        (tuple, 1, 2, "Branching returns a tuple with 0, 1"),
    ],
)
def test_one_of_several_outputs_has_to_be_named(
    kind: type, remedy: Any, wrong: Any, told: str
) -> None:
    model = branching(kind)
    first = {"dict": "'logits'", "tuple": "0"}[kind.__name__]
    assert refused(lambda: Problem.from_model(model, X)) == (
        f"{told}: say which one to differentiate, e.g. output={first}"
    )
    assert refused(lambda: Problem.from_model(model, X, output=wrong)) == (
        f"{told}, not {wrong!r}: give one of them as output="
    )
    loss = Problem.from_model(model, X, output=remedy, name=f"torch/{kind.__name__}")
    found = settled(loss, "torch.func.jacrev")
    assert (found.verdict, found.m, found.n) == (Verdict.AGREES, 1, 8)
    assert refused(lambda: Problem.from_model(of_torch(), X, output=0)) == (
        "Net returns one array: leave output=0 out"
    )


def test_a_model_without_data_or_without_what_learns() -> None:
    torch = pytest.importorskip("torch")
    with torch.device("meta"):
        meta = torch.nn.Linear(3, 2)
    assert refused(lambda: Problem.from_model(meta, X)) == (
        "parameter 'weight' of Linear is on device meta, which holds no data: build it on another "
        "device, or call model.to_empty(device='cpu') and load its weights"
    )
    frozen = of_torch().requires_grad_(False)
    assert refused(lambda: Problem.from_model(frozen, X)) == (
        "Net has no parameter that requires a gradient: call requires_grad_(), or take wrt='inputs'"
    )
    by_x = Problem.from_model(frozen, X, wrt="inputs", name="torch/frozen")
    assert settled(by_x, "torch.func.jacrev").verdict is Verdict.AGREES
    assert np.allclose(jacobian(by_x, "torch"), by_inputs(), rtol=1e-12, atol=1e-14)


def test_a_model_that_cannot_be_called_on_its_input() -> None:
    told = refused(lambda: Problem.from_model(of_torch(), np.ones((3, 7))))
    assert told.startswith("Net cannot be called on these inputs in float64 on the CPU (Runtime")


def test_fields_of_a_problem_may_be_given() -> None:
    J = by_parameters("torch")
    asked = Problem.from_model(
        of_torch(), X, name="torch/by-hand", jacobian=lambda *_: J, summary="fc1, fc2"
    )
    assert asked.summary == "fc1, fc2"
    found = settled(asked, "torch.func.jacrev")
    # what is wrong at the second point is found there, and told of whoever gave it
    assert found.verdict is Verdict.FAILED
    assert "jacobian" in str(found.reason)
    same = Problem.from_model(
        of_torch(), X, name="torch/same", jacobian=lambda *_: J, elsewhere=asked.x
    )
    assert settled(same, "torch.func.jacrev").verdict is Verdict.AGREES


def test_inputs_may_be_dicts_none_tokens_and_keywords() -> None:
    torch = pytest.importorskip("torch")

    class Tokens(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = torch.nn.Embedding(7, 3).double()

        def forward(self, given: Any, weights: Any = None, *, mask: Any = None) -> Any:
            rows = self.table(given["ids"])
            if mask is not None:
                rows = rows * mask[:, None]
            return (rows if weights is None else rows * weights).sum(1)

    model = Tokens()
    ids = torch.tensor([1, 2])
    plain = Problem.from_model(model, {"ids": ids}, None)
    assert list(plain.x) == ["table.weight"]
    both = Problem.from_model(
        model,
        {"ids": ids},
        np.ones((2, 3)),
        keywords={"mask": np.array([True, False])},
        wrt="inputs",
    )
    assert both.x.shape == (2, 3)  # what is not floating is a constant
    run = jb.check(both, methods=["torch.func.jacrev"])
    assert [cell.verdict.value for cell in run.cells if cell.cell.operator == "jacobian"] == [
        "agrees"
    ]
    with pytest.raises(JacbenchError, match=r"none of its inputs is floating \(0\['ids'\] of"):
        Problem.from_model(model, {"ids": ids}, wrt="inputs")


def test_the_field_of_a_dataclass_is_chosen_by_its_name() -> None:
    torch = pytest.importorskip("torch")

    @dataclasses.dataclass
    class Out:
        logits: Any
        hidden: Any

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(3, 2)

        def forward(self, x: Any) -> Any:
            return Out(self.linear(x), x)

    problem = Problem.from_model(Net(), np.ones((1, 3)), output="logits")
    assert sorted(problem.x) == ["linear.bias", "linear.weight"]
    with pytest.raises(JacbenchError, match="Net returns a Out with logits, hidden: say which"):
        Problem.from_model(Net(), np.ones((1, 3)))
    with pytest.raises(JacbenchError, match="logits, hidden, not 'other': give one of them"):
        Problem.from_model(Net(), np.ones((1, 3)), output="other")
