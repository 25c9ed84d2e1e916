"""PyTorch's per-sample Jacobian, each of its ways, against the complex step and by its passes."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import jacbench as jb
from jacbench.backend import Guarding, UnfitError, registry
from jacbench.core.errors import JacbenchError
from tests import own_rule
from tests.backends import answers, guarded_samples
from tests.backends.per_sample import (
    DTYPES,
    PROBLEMS,
    check,
    check_a_nan_stays_with_its_sample,
    check_interactions_are_declined,
    check_no_samples_is_declined,
    of_function,
    refused,
)

torch = pytest.importorskip("torch")

from jacbench_torch import per_sample  # noqa: E402 - it imports torch

# torch's own: the first use of forward mode
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")

METHOD = "torch.per-sample"
WAYS = ("grad", "grad-batched", "jvp")


@pytest.fixture
def forced(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Have the method take one way, wherever that is among those it would try."""
    way: str = request.param

    def chosen(ways: Any, same: Any) -> str:
        return way if way in ways else next(iter(ways))

    monkeypatch.setattr(per_sample, "fastest", chosen)
    return way


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("forced", WAYS, indirect=True)
@pytest.mark.parametrize("name", PROBLEMS)
def test_blocks_among_zeros(name: str, forced: str, dtype: str) -> None:
    prepared = check("torch", PROBLEMS[name], dtype)
    assert prepared.notes["samples"] == answers.value(PROBLEMS[name], PROBLEMS[name].x).shape[0]
    if name.startswith("more outputs"):
        assert prepared.notes["way"] == forced


@pytest.mark.parametrize("chunk_size", [1, 2, 9])
@pytest.mark.parametrize("forced", WAYS, indirect=True)
def test_chunks(forced: str, chunk_size: int) -> None:
    for name in ("more outputs than inputs", "not all of x"):
        check("torch", PROBLEMS[name], chunk_size=chunk_size)


@pytest.mark.parametrize("chunk_size", [None, 2])
@pytest.mark.parametrize("way", ["grad-batched", "jvp"])
def test_a_chunk_bounds_what_is_computed_at_a_time(way: str, chunk_size: int | None) -> None:
    passes: list[int] = []
    sine = own_rule.counted(passes)

    def twice(x: Any) -> Any:
        return torch.stack([sine(x)] * 2, dim=2)

    x = np.random.default_rng(0).standard_normal((4, 3))
    asked = of_function("torch", twice, x, chunk_size=chunk_size)
    ways = per_sample._ways(asked, 0)
    passes.clear()
    (stacked,) = ways[way].run(asked.x, None)
    pushed = {"grad-batched": 6, "jvp": 3}[way]
    assert len(stacked) == pushed
    assert len(passes) == math.ceil(pushed / (chunk_size or pushed))


def test_one_of_the_ways_is_chosen_by_itself() -> None:
    for name, problem in PROBLEMS.items():
        ways = WAYS if name.startswith("more outputs") else WAYS[:2]
        assert check("torch", problem).notes["way"] in ways


@pytest.mark.parametrize("forced", ["grad"], indirect=True)
def test_as_many_passes_as_one_sample_has_outputs(forced: str) -> None:
    passes = []

    class Counted(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            passes.append(1)
            return g * 2

    x = np.random.default_rng(0).standard_normal((50, 3))
    asked = of_function("torch", Counted.apply, x)
    call = registry.method(METHOD).prepare(replace(asked, guard=Guarding("off"))).call
    passes.clear()
    assert np.array_equal(call(asked.x).numpy(), 2 * np.eye(150))
    assert len(passes) == 3
    guarded = replace(asked, guard=Guarding(every=1))
    call = registry.method(METHOD).prepare(guarded).call
    passes.clear()
    call(asked.x)
    assert len(passes) == 3 + 1


def test_what_has_no_rule_for_vmap_goes_one_by_one() -> None:
    class Old(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return torch.from_numpy(x.detach().numpy() ** 2)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            (x,) = ctx.saved_tensors
            return torch.from_numpy(2 * x.numpy() * g.numpy())

    x = np.random.default_rng(0).standard_normal((4, 3))
    asked = of_function("torch", Old.apply, x)
    prepared = registry.method(METHOD).prepare(asked)
    assert prepared.notes["way"] == "grad"
    assert np.allclose(prepared.call(asked.x).numpy(), np.diag(2 * x.ravel()), rtol=1e-15)


def test_forward_mode_is_not_taken_where_it_is_wrong() -> None:
    def partly(x: Any) -> Any:  # forward mode of torch.func sees through no_grad
        with torch.no_grad():
            held = x**2
        return (x + held) * torch.ones(1, 64, dtype=torch.float64)

    x = np.random.default_rng(0).standard_normal((4, 1))
    asked = of_function("torch", partly, x)
    forward = torch.func.jacfwd(partly)(asked.x).reshape(256, 4)
    prepared = registry.method(METHOD).prepare(asked)
    J = prepared.call(asked.x)
    assert prepared.notes["way"] != "jvp"
    assert np.array_equal(J.numpy(), np.kron(np.eye(4), np.ones((64, 1))))
    assert not torch.allclose(J, forward)


@pytest.mark.parametrize("forced", WAYS, indirect=True)
def test_parameters_in_a_closure_leave_no_graph(forced: str) -> None:
    scale = torch.nn.Parameter(torch.ones(2, 5, dtype=torch.float64))
    x = np.random.default_rng(0).standard_normal((4, 2))
    asked = of_function("torch", lambda x: x @ scale, x)
    J = registry.method(METHOD).prepare(asked).call(asked.x)
    assert not J.requires_grad
    assert np.array_equal(J.numpy(), np.kron(np.eye(4), np.ones((5, 2))))


def test_a_nan_stays_with_its_sample() -> None:
    check_a_nan_stays_with_its_sample("torch", torch.sqrt)


# --- what is declined ---


def test_samples_that_see_each_other_are_declined() -> None:
    check_interactions_are_declined(
        "torch", lambda x: x - x.mean(0), lambda x: x + torch.relu(x.sum() - 100)
    )


def test_what_has_no_samples_is_declined() -> None:
    check_no_samples_is_declined("torch")
    for axis, function in ((0, lambda x: x.sum()), (0, lambda x: x[:3]), (1, torch.sin)):
        asked = of_function("torch", function, np.ones((4, 3)), axis)
        refused(asked, "torch", "no Jacobian per sample: y ")


def test_of_a_native_function_the_axis_is_found() -> None:
    x = torch.tensor(np.random.default_rng(0).standard_normal((3, 4)))
    W = torch.tensor(np.random.default_rng(1).standard_normal((3, 2)))
    J = jb.jacobian(lambda x: torch.tanh(x.T @ W), x, METHOD)
    assert tuple(J.shape) == (4, 2, 3, 4)
    assert torch.allclose(J, torch.func.jacrev(lambda x: torch.tanh(x.T @ W))(x), rtol=1e-13)
    with pytest.raises((UnfitError, JacbenchError), match="samples interact along axis 0"):
        jb.jacobian(lambda x: x - x.mean(0), x, METHOD)


def test_samples_that_start_to_see_each_other() -> None:
    guarded_samples.check("torch")
