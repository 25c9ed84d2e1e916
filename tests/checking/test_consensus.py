"""Where one library alone has a function, its methods are believed only if differences agree."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from jacbench.backend import Prepared, Target, registry
from jacbench.checking import standing
from jacbench.checking.reference import Reference, reference
from jacbench.core import tree
from jacbench.core.cell import Cell, CellResult, Verdict
from jacbench.problems.problem import Problem
from jacbench.running.prepared_cells import Harness, Limits

# torch's own: the first use of forward mode
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")

A = np.array([[1.0, -2.0, 0.5], [0.3, 0.7, -1.1]])
X = {"w": np.array([0.3, -0.4]), "b": np.array(0.9)}  # in tree order: b, w
BACKENDS = ("torch", "jax", "autograd")


def in_torch(x: Any, A: Any) -> Any:
    import torch

    return torch.tanh(A @ torch.cat([x["b"].reshape(1), x["w"]]))


def in_jax(x: Any, A: Any) -> Any:
    import jax.numpy as jnp

    return jnp.tanh(A @ jnp.concatenate([x["b"].reshape(1), x["w"]]))


def in_autograd(x: Any, A: Any) -> Any:
    import autograd.numpy as anp

    return anp.tanh(A @ anp.concatenate([anp.reshape(x["b"], (1,)), x["w"]]))


def exact(x: Any) -> np.ndarray:
    v = np.concatenate([x["b"].reshape(1), x["w"]])
    return (1 - np.tanh(A @ v) ** 2)[:, None] * A


def make(backend: str, **parts: Any) -> Problem:
    functions = {"torch": in_torch, "jax": in_jax, "autograd": in_autograd}
    known = {"name": "mine", "native": {backend: functions[backend]}, "x": X, "constants": (A,)}
    return Problem(**known | parts)


def found(backend: str, dtype: str = "float64", **parts: Any) -> Reference:
    pytest.importorskip(backend)
    registry.load(backend).configure(1)  # in JAX, float64
    return reference(make(backend, **parts), dtype, backend)


def distance(J: np.ndarray, R: np.ndarray) -> float:
    return float(np.linalg.norm(J - R) / np.linalg.norm(R))


@pytest.mark.parametrize("backend", BACKENDS)
def test_two_modes_agree_and_differences_confirm(backend: str) -> None:
    agreed = found(backend)
    assert (agreed.kind, agreed.error) == ("consensus", 0.0)
    for point in (agreed.here, agreed.elsewhere):
        assert distance(point.jacobian, exact(point.x)) < 1e-14


@pytest.mark.parametrize("backend", ["torch", "autograd"])
def test_for_float32_cells_it_is_float64_at_points_that_float32_can_hold(backend: str) -> None:
    agreed = found(backend, "float32")
    assert agreed.here.jacobian.dtype == np.float64
    rounded = A.astype(np.float32).astype(np.float64)
    assert np.array_equal(agreed.here.constants[0], rounded)
    assert agreed.here.x["b"] == np.float32(0.9)
    v = np.concatenate([leaf.reshape(-1) for leaf in tree.leaves(agreed.here.x)])
    right = (1 - np.tanh(rounded @ v) ** 2)[:, None] * rounded
    assert distance(agreed.here.jacobian, right) < 1e-14


@pytest.mark.parametrize("backend", BACKENDS)
def test_witnesses_are_one_in_each_mode(backend: str) -> None:
    pytest.importorskip(backend)
    names = registry.load(backend).witnesses
    assert len(names) == 2
    known = {info.name: info for info in registry.descriptors()[backend].methods}
    assert {known[name].operator for name in names} == {"jacobian"}


def test_what_stands_beside_y_is_left_out_by_the_witnesses() -> None:
    def with_aux(x: Any, A: Any) -> Any:
        return in_torch(x, A), {"z": x["w"]}

    agreed = found("torch", native={"torch": with_aux}, has_aux=True)
    assert agreed.kind == "consensus"
    assert distance(agreed.here.jacobian, exact(X)) < 1e-14
    assert np.array_equal(agreed.here.aux["z"], X["w"])


# --- who is not believed ---


Spoil = Callable[[np.ndarray, Any], Any]


def one_entry_off(array: Any, x: Any) -> Any:
    array = array.clone()
    array[1, 0] += 1e-6
    return array


def one_entry_off_elsewhere(array: Any, x: Any) -> Any:
    here = float(tree.leaves(x)[0]) == X["b"]
    return array if here else one_entry_off(array, x)


def unable(array: Any, x: Any) -> Any:
    raise NotImplementedError("no rule for this")


@pytest.fixture
def spoil(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let methods of torch give their block by ``w`` through ``how``."""
    pytest.importorskip("torch")

    def spoil(how: Spoil, *names: str) -> None:
        for name in names:
            method = registry.method(name)

            def prepare(target: Target, right: Any = method.prepare) -> Prepared:
                made = right(target)

                def call(x: Any) -> Any:
                    by_b, by_w = tree.leaves(made.call(x))
                    return tree.unflatten(X, [by_b, how(by_w, x)])

                return dataclasses.replace(made, call=call)

            monkeypatch.setattr(method, "prepare", prepare)

    return spoil


def settled(*methods: str, **parts: Any) -> dict[str, CellResult]:
    own = Harness(1, Limits(), {"mine": make("torch", **parts)}, verify_pins=False)
    return {
        method: own.settle(Cell("mine", "jacobian", method, "torch", "cpu", "float64", 1)).result
        for method in methods
    }


REVERSE, FORWARD = "torch.functional", "torch.func.jacfwd"
CONTESTANTS = (REVERSE, FORWARD, "torch.func.jacrev", "torch.grad-loop")


@pytest.mark.parametrize("how", [one_entry_off, one_entry_off_elsewhere])
@pytest.mark.parametrize("wrong", [(REVERSE,), (FORWARD,), (REVERSE, FORWARD)])
def test_a_wrong_witness_is_not_believed_and_disagrees_itself(
    spoil: Callable[..., None], how: Spoil, wrong: tuple[str, ...]
) -> None:
    spoil(how, *wrong)
    kind = "consensus" if len(wrong) == 1 else "central-difference"
    for method, result in settled(*CONTESTANTS).items():
        assert result.reference == kind
        assert result.verdict is (Verdict.DISAGREES if method in wrong else Verdict.AGREES)
        if method in wrong:
            worst = result.worst or {}
            assert (worst["row"], worst["input"]) == (1, "['w'][0]")
            assert result.tolerance is not None
            assert result.tolerance < 1e-8 < (result.error or 0)


@pytest.mark.parametrize("missing", [REVERSE, FORWARD])
def test_one_witness_alone_is_confirmed_by_differences(
    spoil: Callable[..., None], missing: str
) -> None:
    spoil(unable, missing)
    results = settled(*CONTESTANTS)
    assert {r.reference for m, r in results.items() if m != missing} == {"consensus"}
    for method, result in results.items():
        told = "the library says: no rule for this" if method == missing else None
        expected = Verdict.AGREES if told is None else Verdict.UNSUPPORTED
        assert (result.verdict, result.reason) == (expected, told)


def test_one_witness_alone_that_is_wrong(spoil: Callable[..., None]) -> None:
    spoil(unable, REVERSE)
    spoil(one_entry_off, FORWARD)
    results = settled(*CONTESTANTS)
    assert {m: r.verdict for m, r in results.items()} == {
        REVERSE: Verdict.UNSUPPORTED,
        FORWARD: Verdict.DISAGREES,
        "torch.func.jacrev": Verdict.AGREES,
        "torch.grad-loop": Verdict.AGREES,
    }


def test_where_no_witness_is_able_there_are_differences(spoil: Callable[..., None]) -> None:
    spoil(unable, REVERSE, FORWARD)
    agreed = found("torch")
    assert agreed.kind == "central-difference"
    assert 0 < agreed.error < 1e-8
    assert distance(agreed.here.jacobian, exact(X)) < agreed.error


@pytest.mark.parametrize("off", [1e-14, 1e-7, 1e-5])
def test_witnesses_may_differ_by_rounding_alone(spoil: Callable[..., None], off: float) -> None:
    spoil(lambda array, x: array * (1 + off), REVERSE)
    agreed = found("torch")
    assert (agreed.kind, agreed.error) == ("consensus", 0.0)
    assert distance(agreed.here.jacobian, exact(X)) < 2e-14


def test_of_two_that_rounding_may_tell_apart_differences_are_the_judge(
    spoil: Callable[..., None],
) -> None:
    # differences by themselves would let 1e-9 pass: the other witness does not
    spoil(lambda array, x: array * (1 + 1e-9), REVERSE)
    agreed = found("torch")
    assert agreed.kind == "central-difference"
    assert 0 < agreed.error < 1e-8


def test_two_that_are_both_denied_leave_differences(spoil: Callable[..., None]) -> None:
    spoil(lambda array, x: array * (1 + 1e-5), REVERSE)
    spoil(lambda array, x: array * (1 - 1e-5), FORWARD)
    agreed = found("torch")
    assert agreed.kind == "central-difference"
    assert distance(agreed.here.jacobian, exact(X)) < agreed.error < 1e-8


def test_a_function_without_a_derivative_anywhere_has_zeros() -> None:
    agreed = found("torch", native={"torch": lambda x, A: A @ A.T}, constants=(A,))
    assert agreed.kind == "consensus"
    assert agreed.here.jacobian.shape == (4, 3)
    assert not agreed.here.jacobian.any()
    assert agreed.unused == ["['b']", "['w']"]


@pytest.mark.parametrize("silent", [REVERSE, FORWARD])
def test_a_witness_that_gives_no_number_says_nothing(
    spoil: Callable[..., None], silent: str
) -> None:
    spoil(lambda array, x: array * np.nan, silent)
    agreed = found("torch")
    assert (agreed.kind, agreed.error) == ("consensus", 0.0)
    assert distance(agreed.here.jacobian, exact(X)) < 1e-14


@pytest.mark.parametrize("size", [1e-200, 1.0, 1e200])
def test_how_far_two_are_apart_does_not_depend_on_their_size(size: float) -> None:
    one = size * np.array([[1.0, 2.0], [3.0, 4.0]])
    assert standing._apart(one, 1.5 * one) == pytest.approx(0.5)
    assert standing._apart(one, one) == 0
