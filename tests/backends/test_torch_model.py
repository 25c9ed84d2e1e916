"""A ``torch.nn.Module`` as a function: of what, with what kept, and the module left as it is."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from jacbench.backend import Target, registry
from jacbench.backend.adapted import Adapted, Inputs
from jacbench.core import tree
from jacbench.core.errors import JacbenchError
from jacbench.problems.problem import Problem

torch = pytest.importorskip("torch")
nn = torch.nn

pytestmark = pytest.mark.filterwarnings(
    "ignore:`torch.jit.* is deprecated:DeprecationWarning",
    "ignore:Attempted to insert a get_attr Node:UserWarning",
)

RNG = np.random.default_rng(3)
INPUT = RNG.standard_normal((5, 3))


def adapt(
    model: Any, *inputs: Any, wrt: str = "parameters", output: str | int | None = None
) -> Adapted:
    return registry.load("torch").adapt(model, Inputs(inputs, {}), wrt, output)


def placed(value: Any, dtype: str = "float64") -> Any:
    backend = registry.load("torch")
    return tree.map_leaves(lambda leaf: backend.put(leaf, "cpu", dtype), value)


def called(adapted: Adapted, dtype: str = "float64", **tap: Any) -> Any:
    return adapted.function(*placed((adapted.x, *adapted.constants), dtype), **tap)


def derivative(adapted: Adapted, method: str, dtype: str = "float64", **rest: Any) -> Any:
    x, *constants = placed((adapted.x, *adapted.constants), dtype)
    target = Target(
        function=adapted.function,
        x=x,
        constants=tuple(constants),
        y_shape=tuple(adapted.function(x, *constants).shape),
        device="cpu",
        dtype=dtype,
        **rest,
    )
    return registry.method(method).prepare(target).call(x)


class State:
    """All that a module holds: values, objects, training flags, hooks."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.values = copy.deepcopy(model.state_dict())
        self.objects = [*map(id, model.parameters()), *map(id, model.buffers())]
        self.training = [module.training for module in model.modules()]

    def check(self) -> None:
        now = self.model.state_dict()
        assert list(now) == list(self.values)
        assert all(
            torch.equal(now[k], v) and now[k].dtype == v.dtype for k, v in self.values.items()
        )
        assert self.objects == [*map(id, self.model.parameters()), *map(id, self.model.buffers())]
        assert self.training == [module.training for module in self.model.modules()]
        assert all(p.grad is None for p in self.model.parameters())
        assert not any(module._forward_hooks for module in self.model.modules())


def seeded(model: Any) -> Any:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(-1, 1, generator=generator)
    return model


def network(train: bool = True) -> Any:
    model = seeded(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2)))
    model[1].running_mean.add_(0.25)
    return model.train(train)


def network_by_hand(model: Any, p: dict[str, Any], x: Any) -> Any:
    h = x @ p["0.weight"].T + p["0.bias"]
    mean, var = h.mean(0), h.var(0)
    if not model.training:
        mean, var = (v.double().numpy() for v in (model[1].running_mean, model[1].running_var))
    h = (h - mean) / np.sqrt(var + model[1].eps) * p["1.weight"] + p["1.bias"]
    return np.tanh(h) @ p["3.weight"].T + p["3.bias"]


METHODS = (
    "torch.functional",
    "torch.grad-loop",
    "torch.func.jacrev",
    "torch.func.jacfwd",
    "torch.func.linearize",
)


# --- by parameters and by inputs ---


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("train", [True, False])
def test_the_function_is_the_model(train: bool, dtype: str) -> None:
    model = network(train)
    state = State(model)
    for wrt in ("parameters", "inputs"):
        adapted = adapt(model, INPUT, wrt=wrt)
        y = called(adapted, dtype)
        p = adapted.x if wrt == "parameters" else adapted.constants[0]
        assert str(y.dtype) == f"torch.{dtype}"
        error = np.abs(y.detach().numpy() - network_by_hand(model, p, INPUT)).max()
        assert error < (1e-14 if dtype == "float64" else 2e-6)
    state.check()


def test_names_and_dtypes_of_what_it_holds() -> None:
    model = network()
    adapted = adapt(model, INPUT.astype(np.float32))
    inputs, state = adapted.constants
    assert set(adapted.x) == {n for n, _ in model.named_parameters()}
    assert set(state) == {"1.running_mean", "1.running_var", "1.num_batches_tracked"}
    assert {str(leaf.dtype) for leaf in tree.leaves(adapted.x)} == {"float64"}
    assert state["1.num_batches_tracked"].dtype == np.int64
    assert inputs.shape == (5, 3)
    for name, parameter in model.named_parameters():
        assert np.array_equal(adapted.x[name], parameter.detach().numpy())
    # copies: they do not follow the module, nor the module them
    with torch.no_grad():
        model[0].bias.add_(1)
    assert not np.array_equal(adapted.x["0.bias"], model[0].bias.detach().numpy())


def central_difference(adapted: Adapted, step: float = 1e-6) -> np.ndarray:
    x, *constants = placed((adapted.x, *adapted.constants))
    columns = []
    for leaf in tree.leaves(x):
        flat = leaf.view(-1)
        for i in range(flat.numel()):
            kept, sides = flat[i].item(), []
            for at in (kept + step, kept - step):
                flat[i] = at
                sides.append(adapted.function(x, *constants).numpy().ravel())
            flat[i] = kept
            columns.append((sides[0] - sides[1]) / (2 * step))
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("wrt", ["parameters", "inputs"])
def test_derivatives_in_train_and_eval_mode(wrt: str, train: bool) -> None:
    model = network(train)
    state = State(model)
    adapted = adapt(model, INPUT, wrt=wrt)
    expected = central_difference(adapted)
    for method in METHODS:
        chosen = registry.method(method)
        blocks = [leaf.numpy() for leaf in tree.leaves(derivative(adapted, method))]
        if chosen.layout(None).name == "(n,) + y.shape":  # type: ignore[arg-type]
            J = blocks[0].reshape(-1, 10).T
        else:
            J = np.concatenate([block.reshape(10, -1) for block in blocks], axis=1)
        assert np.abs(J - expected).max() < 1e-8, method
    state.check()


def test_batch_statistics_are_functions_of_the_input() -> None:
    # the derivative of one sample's output by another's input is 0 in eval mode alone
    for train in (True, False):
        (J,) = tree.leaves(
            derivative(adapt(network(train), INPUT, wrt="inputs"), "torch.func.jacrev")
        )
        between = [J[a, :, b].abs().max().item() for a in range(5) for b in range(5) if a != b]
        assert (min(between) > 1e-3) if train else (max(between) == 0)


def test_buffers_start_anew_in_each_call() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3))
            self.register_buffer("calls", torch.zeros(()))
            self.register_buffer("replaced", torch.zeros(()), persistent=False)

        def forward(self, x: Any) -> Any:
            self.calls.add_(1)
            self.replaced = self.replaced + 1
            return x * self.weight * self.calls * self.replaced

    model = Counting()
    adapted = adapt(model, INPUT)
    x, *constants = placed((adapted.x, *adapted.constants))
    for _ in range(2):
        assert np.allclose(adapted.function(x, *constants).numpy(), INPUT)
    derivative(adapted, "torch.func.jacfwd")
    assert constants[1]["calls"].item() == model.calls.item() == model.replaced.item() == 0


@pytest.mark.parametrize("fails", [True, False])
def test_an_error_in_the_forward_leaves_the_module_as_it_was(fails: bool) -> None:
    model = network()
    state = State(model)
    adapted = adapt(model, INPUT)
    x, (_, buffers) = placed(adapted.x), placed(adapted.constants)

    def tap(name: str, value: Any) -> Any:
        if fails and name == "2":
            raise KeyError(name)
        return value

    if fails:
        with pytest.raises(KeyError):
            adapted.function(x, placed(INPUT), buffers, tap=tap)
    else:
        adapted.function(x, placed(INPUT), buffers, tap=tap)
    state.check()


# --- what becomes x ---


def test_frozen_parameters_are_constants() -> None:
    model = network()
    model[0].weight.requires_grad_(False)
    for wrt in ("parameters", "inputs"):
        adapted = adapt(model, INPUT, wrt=wrt)
        parameters, state = (
            (adapted.x, adapted.constants[1]) if wrt == "parameters" else adapted.constants
        )
        assert "0.weight" not in parameters
        assert np.array_equal(state["0.weight"], model[0].weight.numpy())
        expected = called(adapt(network(), INPUT))
        assert torch.equal(called(adapted), expected.detach())
    (by_bias, *_) = tree.leaves(derivative(adapt(model, INPUT), "torch.grad-loop"))
    assert by_bias.shape == (10, 4)
    with pytest.raises(JacbenchError, match="no parameter that requires a gradient"):
        adapt(network().requires_grad_(False), INPUT)
    with pytest.raises(JacbenchError, match="no parameter that requires a gradient"):
        adapt(nn.Tanh(), INPUT)
    assert adapt(nn.Tanh(), INPUT, wrt="inputs").constants == ({}, {})


def test_shared_parameters_are_one() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encode = nn.Linear(3, 3, bias=False)
            self.decode = nn.Linear(3, 3, bias=False)
            self.decode.weight = self.encode.weight

        def forward(self, x: Any) -> Any:
            return self.decode(self.encode(x))

    model = seeded(Tied())
    adapted = adapt(model, INPUT)
    assert list(adapted.x) == ["encode.weight"]
    # y = x W' W': by W, both places count
    W = adapted.x["encode.weight"]
    J = derivative(adapted, "torch.func.jacrev")["encode.weight"].numpy()
    eye = np.eye(3)
    expected = np.einsum("bj,ki->bkij", INPUT, W) + np.einsum("ki,bj->bkij", eye, INPUT @ W.T)
    assert np.allclose(J, expected, rtol=1e-13, atol=1e-14)
    assert model.decode.weight is model.encode.weight


def test_several_inputs_and_integer_ones() -> None:
    class Looked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(4, 3)

        def forward(self, places: Any, scale: Any) -> Any:
            return self.table(places) * scale[:, None]

    model, places = seeded(Looked()), torch.tensor([2, 0, 2])
    scale = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    adapted = adapt(model, places, scale)
    assert adapted.constants[0][0].dtype == np.int64
    assert adapted.constants[1] == {}
    J = derivative(adapted, "torch.func.jacfwd")["table.weight"].numpy()
    expected = np.zeros((3, 3, 4, 3))
    for row, (place, factor) in enumerate([(2, 1), (0, 2), (2, 3)]):
        expected[row, :, place] = factor * np.eye(3)
    assert np.array_equal(J, expected)
    by_inputs = adapt(model, places, scale, wrt="inputs")
    assert isinstance(by_inputs.x, tuple)
    assert torch.equal(called(by_inputs), called(adapted))
    assert scale.grad is None


def test_a_model_in_low_precision_on_the_host() -> None:
    model = seeded(nn.Linear(3, 2)).bfloat16()
    adapted = adapt(model, torch.tensor(INPUT).bfloat16())
    assert adapted.x["weight"].dtype == adapted.constants[0].dtype == np.float64
    assert np.array_equal(adapted.x["weight"], model.weight.detach().float().numpy())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device here")
def test_a_model_on_cuda_is_copied_to_the_host() -> None:
    model = network().cuda()
    adapted = adapt(model, torch.tensor(INPUT, device="cuda"))
    assert torch.equal(called(adapted), called(adapt(network(), INPUT)))
    assert {parameter.device.type for parameter in model.parameters()} == {"cuda"}


# --- batches ---


def test_per_sample_in_eval_mode_by_inputs_and_parameters() -> None:
    model = network(train=False)
    for wrt, in_axes in (("inputs", (0, None, None)), ("parameters", (None, 0, None))):
        adapted = adapt(model, INPUT, wrt=wrt)
        whole = tree.leaves(derivative(adapted, "torch.func.jacrev"))
        for method in ("torch.vmap-jacrev", "torch.vmap-jacfwd", "torch.sample-loop"):
            found = tree.leaves(derivative(adapted, method, in_axes=in_axes))
            for one, J in zip(found, whole, strict=True):
                b = torch.arange(5)
                expected = J[b, :, b] if wrt == "inputs" else J
                assert torch.allclose(one, expected, rtol=1e-12, atol=1e-14), method


def test_batch_norm_under_vmap_is_declined() -> None:
    model = seeded(nn.Sequential(nn.Conv1d(1, 2, 2), nn.BatchNorm1d(2), nn.Flatten()))
    adapted = adapt(model, RNG.standard_normal((3, 1, 4)), wrt="inputs")
    with pytest.raises(RuntimeError) as caught:
        derivative(adapted, "torch.vmap-jacrev", in_axes=(0, None, None))
    assert "running_mean" in (registry.load("torch").declined(caught.value) or "")


# --- outputs ---


class Several(nn.Module):
    def __init__(self, kind: type) -> None:
        super().__init__()
        self.linear = seeded(nn.Linear(3, 2))
        self.kind = kind

    def forward(self, x: Any) -> Any:
        y = self.linear(x)
        if self.kind is dict:
            return {"mean": y, "twice": 2 * y, "name": "linear"}
        return (y, 2 * y, "linear")


@pytest.mark.parametrize(("kind", "which"), [(tuple, 1), (tuple, -2), (dict, "twice")])
def test_one_of_several_outputs(kind: type, which: str | int) -> None:
    model = Several(kind)
    adapted = adapt(model, INPUT, output=which)
    plain = called(adapt(model.linear, INPUT))
    assert torch.equal(called(adapted), 2 * plain)


@pytest.mark.parametrize(
    ("kind", "which", "told"),
    [
        (tuple, None, "returns a tuple with 0, 1, 2: say which"),
        (tuple, 3, "not 3: give one of them"),
        (dict, None, "say which one to differentiate, e.g. output='mean'"),
        (dict, "name", "a str there, which is no tensor"),
    ],
)
def test_outputs_that_need_a_choice_are_told_at_once(kind: type, which: Any, told: str) -> None:
    with pytest.raises(JacbenchError, match=told) as caught:
        adapt(Several(kind), INPUT, output=which)
    assert "\n" not in str(caught.value)


# --- mistakes ---


def test_a_model_without_data_is_told_in_one_line() -> None:
    with torch.device("meta"):
        model = nn.Linear(3, 2)
    with pytest.raises(JacbenchError, match="device meta, which holds no data") as caught:
        adapt(model, INPUT)
    assert "parameter 'weight' of Linear" in str(caught.value)
    model = network()
    model[1].running_mean = model[1].running_mean.to("meta")
    with pytest.raises(JacbenchError, match=r"buffer '1.running_mean' of Sequential is on device"):
        adapt(model, INPUT)
    with pytest.raises(JacbenchError, match="input 0 of Sequential is on device meta"):
        adapt(network(), torch.ones(5, 3, device="meta"))


@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature:UserWarning")
def test_lazy_and_scripted_models_are_told() -> None:
    with pytest.raises(JacbenchError, match="is lazy, and its parameter 'weight' has no shape yet"):
        adapt(nn.LazyLinear(2), INPUT)
    with pytest.raises(JacbenchError, match=r"compiled by torch\.jit"):
        adapt(torch.jit.script(nn.Linear(3, 2)), INPUT)


def test_inputs_that_the_model_does_not_take_are_told() -> None:
    with pytest.raises(JacbenchError, match=r"cannot be called on these inputs.*shapes") as caught:
        adapt(network(), INPUT.T)
    assert "\n" not in str(caught.value)
    with pytest.raises(JacbenchError, match="cannot be called on these inputs"):
        adapt(network(), INPUT, INPUT)


def test_trying_it_out_draws_no_random_numbers() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.Dropout())
    before = torch.random.get_rng_state()
    adapt(model, INPUT)
    assert torch.equal(torch.random.get_rng_state(), before)


# --- taps ---


def test_submodules_by_name() -> None:
    class Nested(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Sequential(nn.Linear(3, 2), nn.Tanh())
            self.pair = Several(tuple)
            self.unused = nn.Linear(3, 3)

        def forward(self, x: Any) -> Any:
            return self.inner(x) + self.pair(x)[0]

    model = seeded(Nested())
    state = State(model)
    adapted = adapt(model, INPUT)
    seen: dict[str, Any] = {}

    def tap(name: str, value: Any) -> Any:
        seen[name] = value
        return value

    y = called(adapted, tap=tap)
    # in the order of the forward; not what returns a tuple, is not called, or is the model itself
    assert list(seen) == ["inner.0", "inner.1", "inner", "pair.linear"]
    assert torch.equal(seen["inner"] + seen["pair.linear"], y)
    assert torch.equal(torch.tanh(seen["inner.0"]), seen["inner"])
    state.check()


@pytest.mark.parametrize(
    "method", ["torch.retain-grad", "torch.register-hook", "torch.func.jacrev", "torch.func.jacfwd"]
)
def test_by_the_output_of_a_submodule(method: str) -> None:
    model = network()
    adapted = adapt(model, INPUT)
    arguments = placed((adapted.x, *adapted.constants))

    def intermediate(shift: Any, *arguments: Any) -> Any:
        seen = []

        def tap(name: str, value: Any) -> Any:
            if name != "2":
                return value
            seen.append(value + shift)
            return seen[-1]

        y = adapted.function(*arguments, tap=tap)
        return y, seen[0]

    target = Target(
        function=lambda shift, *arguments: intermediate(shift, *arguments)[0],
        x=torch.zeros(5, 4, dtype=torch.float64),
        constants=arguments,
        y_shape=(5, 2),
        device="cpu",
        dtype="float64",
        intermediate=intermediate,
    )
    J = registry.method(method).prepare(target).call(target.x).reshape(5, 2, 5, 4)
    expected = np.einsum("ab,ki->akbi", np.eye(5), adapted.x["3.weight"])
    assert np.allclose(J.numpy(), expected, rtol=1e-14, atol=0)


# --- as a problem ---


class Attends(nn.Module):
    """Self-attention over a padded batch, the mask by keyword."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(4, 2, 4, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1)

    def forward(self, x: Any, *, mask: Any) -> Any:
        return self.encoder(x, src_key_padding_mask=mask)


def test_attention_has_the_value_that_is_differentiated_on_padded_positions() -> None:
    torch.manual_seed(0)
    model = Attends().double().eval()
    x = torch.randn(2, 3, 4, dtype=torch.float64)
    mask = torch.tensor([[False] * 3, [False, False, True]])
    expected = model(x.clone().requires_grad_(), mask=mask).detach().numpy()
    given = Inputs((x,), {"mask": mask})
    adapted = registry.load("torch").adapt(model, given, "inputs", None)
    assert np.allclose(called(adapted).numpy(), expected, rtol=1e-12)
    with torch.no_grad():
        assert np.allclose(called(adapted).numpy(), expected, rtol=1e-12)
    assert torch.backends.mha.get_fastpath_enabled()


def test_a_module_is_recognised_and_becomes_a_problem() -> None:
    model = network(train=False)
    problem = Problem.from_model(model, INPUT, batch_axis=0)
    assert problem.name == "model/Sequential"
    assert set(problem.native) == {"torch"}
    assert problem.in_axes == (None, 0, None)
    assert problem.tapped
    assert problem.n == sum(parameter.numel() for parameter in model.parameters())
    y = problem.bound("torch", registry.load("torch").xp)(*placed((problem.x, *problem.constants)))
    assert np.allclose(y.numpy(), network_by_hand(model, problem.x, INPUT), rtol=1e-13)
    by_inputs = Problem.from_model(model, INPUT, wrt="inputs", name="my/net", batch_axis=0)
    assert by_inputs.name == "my/net"
    assert by_inputs.x.shape == (5, 3)
    assert by_inputs.in_axes == (0, None, None)
