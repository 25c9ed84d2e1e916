"""Products with one factor that moves: the same tangents as jvp's, without products of zeros."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

one_factor = pytest.importorskip("jacbench_torch.one_factor")

# torch's own, at its first use of forward mode
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")

SEEDED = torch.Generator().manual_seed(7)


def normal(*shape: int) -> Any:
    return torch.randn(*shape, dtype=torch.float64, generator=SEEDED)


A, B, BIAS, KERNEL = normal(6, 5), normal(5, 6), normal(6), normal(3, 2, 2)
X = normal(5)


def by_two_paths(x: Any) -> Any:
    return torch.ops.aten.mv(A, x) * torch.ops.aten.mv(A, torch.tanh(x))


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "mv, matrix constant": lambda x: torch.ops.aten.mv(A, torch.tanh(x)),
    "mv, vector constant": lambda x: torch.ops.aten.mv(torch.tanh(x).expand(3, 5) * 2, B[:, 0]),
    "mm": lambda x: torch.ops.aten.mm(torch.tanh(x)[None], B),
    "mm from the left": lambda x: torch.ops.aten.mm(A, torch.tanh(x)[:, None]),
    "addmm": lambda x: torch.ops.aten.addmm(BIAS, torch.tanh(x)[None], B, beta=2, alpha=3),
    "addmm, the summand moves": lambda x: torch.ops.aten.addmm(B @ BIAS * x, x[None], B[:, :5]),
    "addmv": lambda x: torch.ops.aten.addmv(BIAS, A, torch.sin(x)),
    "linear": lambda x: torch.ops.aten.linear(torch.sin(x), A, BIAS),
    "convolution": lambda x: torch.ops.aten.convolution(
        (x[None, :] * x[:2, None])[None], KERNEL, BIAS[:3], [1], [0], [1], False, [0], 1
    ),
    "a product of two that move": lambda x: torch.ops.aten.mm(x[:, None], torch.sin(x)[None]),
    "times a constant": lambda x: torch.ops.aten.mul(x, BIAS[:5]) * 3.0,
    "by two paths": by_two_paths,
}


def traced(f: Callable[[Any], Any]) -> Any:
    from torch.fx.experimental.proxy_tensor import make_fx

    graph: Any = make_fx(f)(X)
    return graph


def columns(f: Callable[[Any], Any]) -> Any:
    return torch.func.vmap(lambda t: torch.func.jvp(f, (X,), (t,))[1])(torch.eye(5).double())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_tangents_stay_the_same(name: str) -> None:
    f = FUNCTIONS[name]
    changed = one_factor.told_its_tangent(traced(f), 1)
    torch.testing.assert_close(changed(X), f(X), rtol=1e-15, atol=0)
    torch.testing.assert_close(columns(changed), columns(f), rtol=1e-13, atol=1e-14)


class Zeros(TorchDispatchMode):
    """Count the products that one factor makes zero."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.ops.aten.mm.default, torch.ops.aten.mv.default):
            self.count += any(not bool(factor.any()) for factor in args)
        return func(*args, **(kwargs or {}))


def products_of_zeros(f: Callable[[Any], Any]) -> int:
    with Zeros() as zeros:
        columns(f)
    return zeros.count


def test_nothing_is_multiplied_by_zeros() -> None:
    f = FUNCTIONS["mm"]
    assert products_of_zeros(traced(f)) > 0  # else there is nothing to spare any more
    assert products_of_zeros(one_factor.told_its_tangent(traced(f), 1)) == 0
