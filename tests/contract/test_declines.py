"""What a library says that it cannot do is told from a fault of the function, by its own words.

Every pattern meets an exception that the library really raises, so that a change of its words is
noticed, and no pattern takes a plain mistake for one.
"""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jacbench
from jacbench.backend import registry
from jacbench.core.errors import JacbenchError

# torch's forward mode uses what torch deprecates
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script.* is deprecated")

X = np.array([0.7, -0.4, 1.1])


def caught(call: Callable[[], Any]) -> Exception:
    with pytest.raises(Exception) as info:  # noqa: PT011 - each library raises its own
        call()
    assert isinstance(info.value, Exception)
    return info.value


def patterns(library: str) -> list[tuple[str, str]]:
    reason = registry.descriptors()[library].absent()
    if reason is not None:
        pytest.skip(reason)
    return list(importlib.import_module(f"jacbench_{library}.declines").DECLINES)


def matched(library: str, exc: Exception) -> set[tuple[str, str]]:
    said = " ".join(str(exc).split())
    return {
        (name, begins)
        for name, begins in patterns(library)
        if type(exc).__name__ == name and re.match(begins, said)
    }


# --- torch ---


def torch_cases() -> dict[str, Callable[[], Any]]:
    import torch
    from torch.autograd import functional
    from torch.func import jacfwd, jacrev, jvp, linearize, vjp, vmap
    from torch.utils.checkpoint import checkpoint

    class Old(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return 2 * x

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            return 2 * grad

    class Unmapped(torch.autograd.Function):
        @staticmethod
        def forward(x: Any) -> Any:
            return 2 * x

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            pass

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            return 2 * grad

    x = torch.tensor(X)
    batch = torch.stack([x, 2 * x])

    def own_gradient(x: Any) -> Any:
        z = x.detach().clone().requires_grad_()
        (z**2).sum().backward()
        return x * z.grad

    def own_backward(x: Any) -> Any:
        y = (x**2).sum()
        y.backward()
        return y

    def filled(x: Any) -> Any:
        y = torch.zeros(3, dtype=x.dtype)
        y[0] = x[0]
        return y

    def attention(x: Any) -> Any:
        heads = x.reshape(1, 1, 3, 1)
        return torch.nn.functional.scaled_dot_product_attention(heads, heads, heads)

    def in_numpy(x: Any) -> Any:
        return torch.as_tensor(np.sin(x.numpy()))

    def reentrant() -> Any:
        leaf = x.clone().requires_grad_()
        return torch.autograd.grad(checkpoint(torch.sin, leaf, use_reentrant=True).sum(), leaf)

    norm = torch.nn.BatchNorm1d(3).double()
    return {
        "item": lambda: vmap(lambda x: x * x[0].item())(batch),
        "control flow": lambda: vmap(jacrev(lambda x: x if x.sum() > 0 else -x))(batch),
        "random": lambda: jacfwd(torch.nn.functional.dropout)(x),
        "random, legacy vmap": lambda: functional.jacobian(
            torch.nn.functional.dropout, x, vectorize=True, strategy="forward-mode"
        ),
        "dynamic shape": lambda: vmap(jacrev(lambda x: x[x > 0]))(batch),
        "in place": lambda: vmap(filled)(batch),
        "allclose": lambda: vmap(lambda x: torch.allclose(x, x))(batch),
        "equal": lambda: vmap(lambda x: torch.equal(x, x))(batch),
        "batch norm": lambda: vmap(lambda x: norm(x[None].expand(2, 3)))(batch),
        "old Function": lambda: jacrev(Old.apply)(x),
        "Function without vmap": lambda: vmap(jacrev(Unmapped.apply))(batch),
        "own gradient": lambda: jvp(own_gradient, (x,), (x,)),
        "own backward": lambda: vjp(own_backward, x),
        "checkpoint": lambda: vjp(lambda x: checkpoint(torch.sin, x, use_reentrant=False), x),
        "reentrant checkpoint": reentrant,
        "expanded": lambda: jacfwd(torch.sin)(x[:1].expand(3)),
        "traced": lambda: linearize(lambda x: x * x[0].item(), x),
        "NumPy, backward": lambda: jacrev(in_numpy)(x),
        "NumPy, forward": lambda: jacfwd(in_numpy)(x),
        "double backward": lambda: functional.jvp(attention, x, x),
    }


# --- JAX ---


def jax_cases() -> dict[str, Callable[[], Any]]:
    import jax
    import jax.numpy as jnp
    from jax.experimental import io_callback

    @jax.custom_vjp
    def reverse_only(x: Any) -> Any:
        return 2 * x

    reverse_only.defvjp(lambda x: (2 * x, None), lambda _, g: (2 * g,))

    def loop(x: Any) -> Any:
        return jax.lax.while_loop(lambda x: x.sum() < 9, lambda x: 2 * x, x)

    def outside(x: Any) -> Any:
        return jax.pure_callback(np.sin, jax.ShapeDtypeStruct(x.shape, x.dtype), x)

    def printed(x: Any) -> Any:
        return io_callback(np.sin, jax.ShapeDtypeStruct(x.shape, x.dtype), x)

    def assigned(x: Any) -> Any:
        x[0] = 1.0
        return x

    def first(x: Any) -> Any:
        return x[: jnp.argmax(x)]

    x = jnp.asarray(X)
    return {
        "while_loop": lambda: jax.jacrev(loop)(x),
        "custom_vjp": lambda: jax.jacfwd(reverse_only)(x),
        "pure_callback": lambda: jax.jacrev(outside)(x),
        "io_callback": lambda: jax.jacfwd(printed)(x),
        "float": lambda: jax.jacrev(lambda x: x * float(jnp.sum(x)))(x),
        "item": lambda: jax.jit(lambda x: x * x[0].item())(x),
        "nonzero": lambda: jax.jit(lambda x: x[jnp.nonzero(x > 0)])(x),
        "bool": lambda: jax.jit(lambda x: x if jnp.sum(x) > 0 else -x)(x),
        "index": lambda: jax.jit(lambda x: [1.0, 2.0, 3.0][jnp.argmax(x)] * x)(x),
        "NumPy": lambda: jax.jacrev(lambda x: jnp.asarray(np.sin(x)))(x),
        "boolean mask": lambda: jax.jit(lambda x: x[x > 0])(x),
        "slice": lambda: jax.jit(first)(x),
        "shape": lambda: jax.jit(lambda x: jnp.zeros(jnp.sum(x > 0)))(x),
        "assignment": lambda: assigned(x),
        "assignment, traced": lambda: jax.jacrev(assigned)(x),
    }


# --- autograd ---


def autograd_cases() -> dict[str, Callable[[], Any]]:
    import autograd
    import autograd.numpy as anp

    def assigned(x: Any) -> Any:
        y = anp.array(x)
        y[0] = 1.0
        return y

    def in_dict(x: Any) -> Any:
        x["a"] = x["b"]
        return x["a"]

    def of(f: Callable[[Any], Any]) -> Callable[[], Any]:
        return lambda: autograd.jacobian(f)(X)

    return {
        "assignment": of(assigned),
        "assignment in a dict": lambda: autograd.grad(in_dict)({"a": 1.0, "b": 2.0}),
        "float": of(lambda x: x * float(x[0])),
        "int": of(lambda x: x * int(x[0])),
        "complex": of(lambda x: x * complex(x[0])),
        "math": of(lambda x: x * math.sin(x[0])),
        "range": of(lambda x: sum((x for _ in range(x[0])), 0 * x)),
        "item": of(lambda x: x * x[0].item()),
        "copy": of(lambda x: x.copy()),
    }


CASES = {"torch": torch_cases, "jax": jax_cases, "autograd": autograd_cases}
WORDS = {"torch": "torch says: ", "jax": "JAX says: ", "autograd": "autograd says: "}


@pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")
@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad=True:UserWarning")
@pytest.mark.parametrize("library", CASES)
def test_every_pattern_meets_what_the_library_says(library: str) -> None:
    unmet = set(patterns(library))
    backend = registry.load(library)
    for what, call in CASES[library]().items():
        exc = caught(call)
        assert len(matched(library, exc)) == 1, (what, type(exc).__name__, str(exc)[:200])
        unmet -= matched(library, exc)
        reason = backend.declined(exc)
        assert reason is not None
        assert reason.startswith(WORDS[library])
        assert "\n" not in reason
        assert len(reason) < 250
    assert not unmet


MISTAKES: dict[str, Callable[[Any], Any]] = {
    "raised": lambda x: (_ for _ in ()).throw(ValueError("my bug")),
    "divided by zero": lambda x: 1 // 0 * x,
    "a string": lambda x: x + "1",
    "not a function": lambda x: x(),
    "a typo": lambda x: x.summ(),
    "an unknown name": lambda x: undefined_name * x,  # type: ignore[name-defined]  # noqa: F821
    "too many indices": lambda x: x[0, 0],
    "shapes": lambda x: x.reshape(7),
    "a product of odd shapes": lambda x: x @ x[:2],
    "an argument": lambda x: math.sin(x, x),
    "a missing key": lambda x: {"a": x}["b"],
    "float of a list": lambda x: float([x]),
    "item of a list": lambda x: [x].item(),
    "assignment to a tuple": lambda x: (x,).__setitem__(0, x),
    "assignment to a number": lambda x: exec("y = 1.0; y[0] = 2"),  # noqa: S102
}


def differentiate(library: str, f: Callable[[Any], Any]) -> Callable[[], Any]:
    module = pytest.importorskip(library)
    if library == "torch":
        return lambda: module.func.jacrev(f)(module.tensor(X))
    if library == "jax":
        return lambda: module.jit(module.jacrev(f))(module.numpy.asarray(X))
    return lambda: module.jacobian(f)(X)


@pytest.mark.parametrize("library", CASES)
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_no_refusal(mistake: str, library: str) -> None:
    exc = caught(differentiate(library, MISTAKES[mistake]))
    assert registry.load(library).declined(exc) is None, str(exc)


@pytest.mark.parametrize("library", CASES)
def test_words_alone_do_not_decline(library: str) -> None:
    # a user's function may quote the library, in another exception or further on in its message
    patterns(library)
    backend = registry.load(library)
    for call in list(CASES[library]().values())[:3]:
        said = str(caught(call))
        assert backend.declined(KeyError(said)) is None
        assert backend.declined(ValueError(f"while fitting: {said}")) is None


def test_torch_declines_in_compiled_code_too() -> None:
    patterns("torch")
    compiled = importlib.import_module("jacbench_torch.compiled")
    method, backend = registry.method("torch.compile-jacfwd"), registry.load("torch")
    for what in ("random", "old Function"):
        exc = caught(CASES["torch"]()[what])
        assert method.declined(compiled.NotCompiledError(exc)) == backend.declined(exc)
    assert method.declined(compiled.NotCompiledError(RuntimeError("my bug"))) is None


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad:UserWarning")
def test_a_reentrant_checkpoint_is_told_what_to_call_instead() -> None:
    torch = pytest.importorskip("torch")
    from torch.utils.checkpoint import checkpoint

    x = torch.tensor(X)

    def f(x: Any, *, reentrant: bool = True) -> Any:
        return checkpoint(lambda z: torch.sin(z) * z, x, use_reentrant=reentrant)

    for method in ("torch.func.jacfwd", "torch.func.jacrev", "torch.grad-batched"):
        with pytest.raises(JacbenchError, match="pass use_reentrant=False to checkpoint, and take"):
            jacbench.jacobian(f, x, method=method)
    for method in ("torch.func.jacfwd", "torch.grad-batched"):  # as the line says
        J = jacbench.jacobian(lambda x: f(x, reentrant=False), x, method=method)
        assert torch.allclose(J, torch.diag(torch.cos(x) * x + torch.sin(x)))
    exc = caught(CASES["torch"]()["old Function"])
    assert "reentrant" not in (registry.load("torch").declined(exc) or "")


def test_a_missing_derivative_is_told_by_every_method() -> None:
    torch = pytest.importorskip("torch")
    x = torch.tensor(X).abs()
    exc = caught(lambda: torch.func.jacfwd(lambda x: torch.special.gammainc(x, x))(x))
    told = registry.method("torch.func.jacfwd").declined(exc)
    assert told is not None
    assert "Trying to use forward AD with igamma" in told
