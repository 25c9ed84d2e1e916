"""Functions as users write them in each library, and what holds for every one of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from jacbench.backend import registry
from jacbench.backend.user_code import Spelling
from jacbench.core.errors import JacbenchError
from jacbench.picking.loading import subject
from jacbench.picking.loading.subject import Subject
from jacbench.problems.counted_function import Calls

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
jnp = jax.numpy
anp = pytest.importorskip("autograd.numpy")

X = np.array([0.3, -0.2, 0.5])


@pytest.fixture(autouse=True, params=[True])
def float64(request: pytest.FixtureRequest) -> Iterator[None]:
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", request.param)
    yield
    jax.config.update("jax_enable_x64", before)


as_jax_comes = pytest.mark.parametrize("float64", [False], indirect=True)


def refusal(*given: Any, **options: Any) -> str:
    with pytest.raises(JacbenchError) as caught:
        subject.of(*given, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def host(value: Any) -> Any:
    return np.asarray(value.detach() if isinstance(value, torch.Tensor) else value)


def pasted(spelling: Spelling, **scope: Any) -> tuple[Any, Any]:
    """Run the lines to paste; return f(x) and x."""
    exec("\n".join(spelling.setup), scope)  # noqa: S102
    x = eval(spelling.x, scope)  # noqa: S307
    scope[spelling.x] = x
    return eval(f"({spelling.f})({spelling.x})", scope), x  # noqa: S307


def evaluated(found: Subject, backend: str | None = None) -> np.ndarray:
    problem, name = found.problem, backend or found.backends[0]
    with registry.load(name).precise():
        return Calls(problem, name).value(problem.x, problem.constants)


def torch_f(x: Any) -> Any:
    return torch.sin(x) * x


def jax_f(x: Any) -> Any:
    return jnp.sin(x) * x


def autograd_f(x: Any) -> Any:
    return anp.sin(x) * x


def neutral_f(xp: Any, x: Any) -> Any:
    return xp.sin(x) * x


OWN = {
    "torch": (torch_f, torch.tensor, "torch function"),
    "jax": (jax_f, jnp.asarray, "JAX function"),
    "autograd": (autograd_f, np.asarray, "autograd function"),
}
