"""A slope is told from values alone, and nothing else is taken for one."""

from __future__ import annotations

import numpy as np
import pytest

from jacbench.core.errors import JacbenchError
from jacbench.derivatives import moving

X = np.array([0.3, -1.2, 0.0, 40.0])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("f", [np.sin, np.square, lambda x: x[:2] * 1e-9, lambda x: 1e3 + x.sum()])
def test_a_slope_is_found(f, dtype):
    assert moving.slope(lambda x: np.asarray(f(x.astype(dtype))), X, dtype) is not None


def draws(x):
    return x + np.random.default_rng().standard_normal(x.shape)


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (lambda x: np.ones(3), X),
        (lambda x: np.zeros(3), X),
        (np.round, X),
        (np.floor, np.arange(4.0)),
        (lambda x: np.maximum(x, 0), np.zeros(4)),
        (np.abs, np.zeros(4)),
        (lambda x: np.maximum(x - 1e3, 0), X),
        (lambda x: x**3, np.zeros(4)),
        (lambda x: (x > 0.3).astype(float), X),
        (draws, X),
    ],
)
def test_what_has_a_derivative_of_zero_by_right_has_no_slope(f, x):
    assert moving.slope(f, x, "float64") is None


def test_where_there_is_no_value_there_is_no_slope():
    def f(x):
        raise JacbenchError("its function raised")

    assert moving.slope(f, X, "float64") is None
