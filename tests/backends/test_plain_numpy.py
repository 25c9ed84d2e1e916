"""NumPy's own functions on what autograd traces: never a number, where it would be a wrong one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jacbench
from jacbench.core.errors import JacbenchError, NothingRightError
from tests.picking.gathering import gathered

anp = pytest.importorskip("autograd.numpy")

A = np.arange(9.0).reshape(3, 3)
X = np.arange(3.0)
HALF_SEEN: dict[str, Callable[[Any], Any]] = {
    "dot": lambda x: np.dot(A, x) + np.sin(x),
    "array": lambda x: np.array([x[0] * x[1], x[2]]),
    "outer": lambda x: np.outer(x, x),
    "inner": lambda x: x * np.dot(A, x),
}

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.mark.parametrize("name", HALF_SEEN)
@pytest.mark.parametrize("method", ["autograd.jacobian", "autograd.vjp-loop", "autograd.jvp"])
def test_no_method_hands_out_what_autograd_half_sees(name: str, method: str) -> None:
    for asked in (jacbench.jacobian, jacbench.prepare):
        with pytest.raises(JacbenchError, match=r"take np from autograd\.numpy"):
            asked(HALF_SEEN[name], X, method)


def test_a_pick_says_so_too() -> None:
    with pytest.raises(NothingRightError, match=r"take np from autograd\.numpy"):
        gathered(HALF_SEEN["dot"], X + 0.3)


@pytest.mark.parametrize(
    "f", [lambda x: A @ x, np.sin, lambda x: anp.dot(A, x) + 1, lambda x: np.sum(x) * x]
)
def test_what_autograd_sees_through_numpy_is_taken(f: Any) -> None:
    J = jacbench.jacobian(f, X, "autograd.jacobian")
    step = 1e-6
    columns = [(f(X + step * e) - f(X - step * e)) / (2 * step) for e in np.eye(3)]
    np.testing.assert_allclose(J, np.stack(columns, axis=1), atol=1e-8)
