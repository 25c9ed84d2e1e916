"""What a function holds in float32, lifted: values, both modes, and what is left as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from jacbench_torch.lifting import Lifting  # noqa: E402

# torch's own: the first use of forward mode
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")

SINGLE, DOUBLE = torch.float32, torch.float64
W = torch.linspace(-1.0, 1.3, 12, dtype=SINGLE).reshape(4, 3)
B = torch.linspace(0.1, 0.7, 4, dtype=SINGLE)
C = torch.complex(W, W.flip(0))
X = torch.tensor([0.3, -0.4, 0.9], dtype=DOUBLE)
EYE = torch.eye(3, dtype=DOUBLE)
INDEX = torch.tensor([2, 0])


def module(made: Any) -> Any:
    for parameter in made.parameters():
        torch.nn.init.constant_(parameter, 0.3)
    return made


LINEAR = module(torch.nn.Linear(3, 4))
CONVOLUTION = module(torch.nn.Conv1d(1, 2, 2))
RECURRENT = module(torch.nn.LSTM(3, 2))


def written(x: Any) -> Any:
    y = torch.zeros(4)
    y[:3] = x
    y += B
    y.addmv_(W, x)
    return y


def taken_over(x: Any) -> Any:
    return torch.zeros_like(W).index_put((torch.tensor(1),), x) * x.new_ones(3)


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "closure": lambda x: torch.tanh(W @ x + B),
    "linear": LINEAR,
    "functional": lambda x: torch.nn.functional.linear(x, weight=W, bias=B),
    "convolution": lambda x: CONVOLUTION(x[None]),
    "recurrent": lambda x: RECURRENT(x[None])[0],
    "lists": lambda x: torch.linalg.multi_dot([W, x[:, None]]),
    "complex": lambda x: (C @ x.to(torch.complex128)).abs(),
    "indices": lambda x: (W @ x)[INDEX],
    "written": written,
    "taken over": taken_over,
    "cast to that of a constant": lambda x: W @ x.to(W.dtype),
    "named dtype of a constant": lambda x: W @ (x * torch.ones(3, dtype=W.dtype)),
}


def numpy(tensor: Any) -> np.ndarray:
    return np.asarray(tensor.detach().numpy())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_it_computes_in_float64_with_the_same_numbers(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    f = FUNCTIONS[name]
    with Lifting():
        y = numpy(f(X))
        found = [
            numpy(torch.autograd.functional.jacobian(f, X)),
            numpy(torch.func.jacrev(f)(X)),
            numpy(torch.func.jacfwd(f)(X)),
            numpy(torch.func.vmap(lambda v: torch.func.jvp(f, (X,), (v,))[1])(EYE)),
        ]
    found[3] = np.moveaxis(found[3], 0, -1)
    # as if the constants had been made in float64 of the same numbers
    for constant in ("W", "B", "C"):
        wide = globals()[constant]
        wider = torch.complex128 if wide.is_complex() else DOUBLE
        monkeypatch.setitem(globals(), constant, wide.to(wider))
    modules = (LINEAR, CONVOLUTION, RECURRENT)
    default = torch.get_default_dtype()
    try:
        torch.set_default_dtype(DOUBLE)
        for one in modules:
            one.double()
        expected, J = numpy(f(X)), numpy(torch.autograd.functional.jacobian(f, X))
    finally:
        torch.set_default_dtype(default)
        for one in modules:
            one.float()
    assert y.dtype == np.float64
    assert np.allclose(y, expected, rtol=1e-14, atol=1e-15)
    for one in found:
        assert one.dtype == np.float64
        assert np.allclose(one, J, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: torch.tanh(W @ x.float()),
        lambda x: W @ x.to(SINGLE) + B,
        lambda x: x.type(SINGLE) * 2,
        lambda x: torch.sum(x * B[:3], 0, dtype=SINGLE),
        lambda x: torch.mul(x, B[:3], out=torch.empty(3, dtype=SINGLE)),
    ],
)
def test_what_is_made_float32_by_name_stays_so(f: Callable[[Any], Any]) -> None:
    with Lifting():
        assert numpy(f(X)).dtype == np.float32


def test_constants_alone_are_computed_as_in_float32() -> None:
    with Lifting():
        found = numpy(torch.softmax(W, 1))
    assert found.dtype == np.float32
    assert np.array_equal(found, numpy(torch.softmax(W, 1)))


def test_what_writes_into_a_constant_writes_into_it() -> None:
    own = torch.zeros(3)
    with Lifting():
        own.copy_(X)
        own.add_(X)
    assert own.dtype is SINGLE
    assert np.allclose(numpy(own), 2 * numpy(X), rtol=1e-6)


def test_integers_and_halves_stay() -> None:
    with Lifting():
        assert torch.arange(3).sum().item() == 3
        assert (INDEX + 1).dtype is torch.int64
        assert X[INDEX].shape == (2,)
        assert W.half().dtype is torch.float16


def test_a_derivative_within_is_of_the_tensor_that_was_meant() -> None:
    w = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)

    def slope(x: Any) -> Any:
        (found,) = torch.autograd.grad((w * x**2).sum(), w, create_graph=True)
        return found * x

    with Lifting():
        assert np.allclose(numpy(slope(X)), numpy(X) ** 3, rtol=1e-6)


def test_nothing_stays_behind() -> None:
    with Lifting():
        pass
    with pytest.raises(RuntimeError):
        W @ X
    assert W.dtype is SINGLE
