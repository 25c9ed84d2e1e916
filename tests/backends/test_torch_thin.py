"""Products of a few rows with a large constant: the same numbers, from a transposed copy."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")
from torch.fx.experimental.proxy_tensor import make_fx  # noqa: E402

thin = pytest.importorskip("jacbench_torch.thin")

SEEDED = torch.Generator().manual_seed(11)
ROWS, K, N = 16, 512, 640


def normal(*shape: int) -> Any:
    return torch.randn(*shape, dtype=torch.float64, generator=SEEDED)


X, W = normal(ROWS, K), normal(K, N)
SMALL, SINGLE = W[:64, :64].contiguous(), W.float()


def recorded(f: Any, x: Any = X) -> Any:
    graph: Any = make_fx(f)(x)
    thin.transpose_constants(graph)
    return graph


def copies(graph: Any) -> list[Any]:
    return [buffer for name, buffer in graph.named_buffers() if name.endswith("_transposed")]


def test_the_same_product_from_a_copy() -> None:
    graph = recorded(lambda x: torch.tanh(x) @ W)
    (copy,) = copies(graph)
    assert copy.shape == (N, K)
    assert copy.is_contiguous()
    other = normal(ROWS, K)
    torch.testing.assert_close(graph(other), torch.tanh(other) @ W, rtol=1e-13, atol=1e-13)


def test_two_products_share_a_copy() -> None:
    graph = recorded(lambda x: (x @ W) + torch.tanh(x) @ W)
    assert len(copies(graph)) == 1
    torch.testing.assert_close(graph(X), X @ W + torch.tanh(X) @ W, rtol=1e-13, atol=1e-12)


@pytest.mark.parametrize(
    ("f", "x"),
    [
        pytest.param(lambda x: x @ SMALL, normal(ROWS, 64), id="small"),
        pytest.param(lambda x: x @ W, normal(2, K), id="two rows"),
        pytest.param(lambda x: x @ SINGLE, normal(ROWS, K).float(), id="float32"),
        pytest.param(lambda x: x @ W, normal(200, K), id="many rows"),
        pytest.param(lambda x: x @ W.t(), normal(ROWS, N), id="read transposed already"),
        pytest.param(lambda x: x @ torch.tanh(x).t(), normal(600, 600), id="no constant"),
    ],
)
def test_what_does_not_pay_stays_as_it_is(f: Any, x: Any) -> None:
    graph = recorded(f, x)
    assert not copies(graph)
    torch.testing.assert_close(graph(x), f(x))


def test_a_very_large_constant_is_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thin, "ENTRIES", range(thin.ENTRIES.start, W.numel()))
    assert not copies(recorded(lambda x: x @ W))


def test_a_parameter_that_is_trained_is_not_copied() -> None:
    weight = torch.nn.Parameter(W.clone())
    with torch.no_grad():
        graph = recorded(lambda x: x @ weight)
        weight.mul_(2)
        assert not copies(graph)
        torch.testing.assert_close(graph(X), 2 * X @ W)
