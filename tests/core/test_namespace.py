"""Every backend offers every operation, and none of them is silently wrong.

Each operation is differentiated by each library in reverse and in forward mode. Two oracles that
know no derivative rule say what is right: the complex step over the NumPy namespace, and central
differences of the same function on real arrays.
"""

from __future__ import annotations

import decimal
import importlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jacbench_numpy import xp as numpy_xp

from jacbench.core import namespace

# torch's forward mode loads scripted rules on first use, and warns of its own scripting
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.*` is deprecated:DeprecationWarning")

Function = Callable[[Any, Any], Any]
Derive = Callable[[Function, np.ndarray], tuple[np.ndarray, np.ndarray]]

_RNG = np.random.default_rng(1)
X = _RNG.uniform(0.2, 0.8, (3, 4))
C = _RNG.uniform(-0.9, 0.9, (3, 4))
VECTORS = _RNG.uniform(-1, 1, (3, 4))
MATRIX = _RNG.uniform(-1, 1, (4, 2))
INDICES = np.array([2, 0, -1, 2])
PLACES = np.array([[3, 0], [1, 1], [0, 2]])
MASK = C > 0

CASES: dict[str, list[Function]] = {
    "abs": [lambda xp, x: xp.abs(x - xp.asarray(C))],
    "sign": [lambda xp, x: x * xp.sign(x - 0.5)],
    "square": [lambda xp, x: xp.square(x)],
    "sqrt": [lambda xp, x: xp.sqrt(x)],
    "reciprocal": [lambda xp, x: xp.reciprocal(x)],
    "exp": [lambda xp, x: xp.exp(x)],
    "expm1": [lambda xp, x: xp.expm1(x - 0.5), lambda xp, x: xp.sqrt(xp.expm1(1e-9 * x))],
    "log": [lambda xp, x: xp.log(x)],
    "log1p": [lambda xp, x: xp.log1p(-x), lambda xp, x: xp.sqrt(xp.log1p(1e-9 * x))],
    "sin": [lambda xp, x: xp.sin(x)],
    "cos": [lambda xp, x: xp.cos(x)],
    "tan": [lambda xp, x: xp.tan(x)],
    "asin": [lambda xp, x: xp.asin(x - 0.5)],
    "acos": [lambda xp, x: xp.acos(x - 0.5)],
    "atan": [lambda xp, x: xp.atan(10 * x - 5)],
    "sinh": [lambda xp, x: xp.sinh(x)],
    "cosh": [lambda xp, x: xp.cosh(x)],
    "tanh": [lambda xp, x: xp.tanh(x), lambda xp, x: xp.tanh(40 * x - 20)],
    "asinh": [lambda xp, x: xp.asinh(10 * x - 5)],
    "acosh": [lambda xp, x: xp.acosh(1 + x)],
    "atanh": [lambda xp, x: xp.atanh(x - 0.5)],
    "pow": [
        lambda xp, x: xp.pow(x, 2),
        lambda xp, x: xp.pow(x - 0.5, 3.0),
        lambda xp, x: xp.pow(x, 0.3),
        lambda xp, x: xp.pow(2 + xp.asarray(C), x),
        lambda xp, x: xp.pow(x, x),
    ],
    "atan2": [
        lambda xp, x: xp.atan2(x, xp.asarray(C)),
        lambda xp, x: xp.atan2(xp.asarray(C), x),
        lambda xp, x: xp.atan2(-x, x - 1.0),
        lambda xp, x: xp.atan2(x, -0.5),
    ],
    "logaddexp": [
        lambda xp, x: xp.logaddexp(x, 3 * xp.asarray(C)),
        lambda xp, x: xp.logaddexp(50 * x, 1.0),
    ],
    "maximum": [
        lambda xp, x: xp.maximum(x, xp.asarray(C)),
        lambda xp, x: xp.maximum(x, 0.5),
        lambda xp, x: xp.maximum(x[:, :1], xp.asarray(C)),
    ],
    "minimum": [lambda xp, x: xp.minimum(xp.asarray(C), x), lambda xp, x: xp.minimum(x, 0.5)],
    "where": [
        lambda xp, x: xp.where(x > 0.5, x * x, 0.0),
        lambda xp, x: xp.where(xp.asarray(MASK), xp.asarray(C), x),
        lambda xp, x: xp.where(xp.asarray(MASK), x[0], xp.exp(x)),
        lambda xp, x: xp.where(xp.asarray(MASK[:, :1]), x[0, 0], xp.asarray(C)),
    ],
    "leaky_relu": [lambda xp, x: xp.leaky_relu(x - xp.asarray(C), 0.2)],
    "softplus": [lambda xp, x: xp.softplus(100 * (x - 0.5)), lambda xp, x: xp.softplus(-x)],
    "stop_gradient": [
        lambda xp, x: xp.stop_gradient(x * x) * x,
        lambda xp, x: xp.log(xp.stop_gradient(xp.sum(x)) + x) + xp.stop_gradient(2.0 * x),
        lambda xp, x: x * xp.stop_gradient(xp.asarray(C)),
    ],
    "sum": [
        lambda xp, x: xp.sum(x * x),
        lambda xp, x: xp.sum(x * x, axis=1, keepdims=True),
        lambda xp, x: xp.sum(x * x, axis=(0, 1)),
    ],
    "mean": [lambda xp, x: xp.mean(x * x), lambda xp, x: xp.mean(x * x, axis=0)],
    "prod": [
        lambda xp, x: xp.prod(x),
        lambda xp, x: xp.prod(x, axis=-1, keepdims=True),
        lambda xp, x: xp.prod(x, axis=(0, 1)),
    ],
    "max": [
        lambda xp, x: xp.max(x),
        lambda xp, x: xp.max(x, axis=1),
        lambda xp, x: xp.max(x, axis=(0, 1), keepdims=True),
    ],
    "min": [lambda xp, x: xp.min(x), lambda xp, x: xp.min(x, axis=-1, keepdims=True)],
    "var": [
        lambda xp, x: xp.var(x),
        lambda xp, x: xp.var(x, axis=(0, 1), keepdims=True),
        lambda xp, x: xp.var(x, axis=1, correction=1),
    ],
    "std": [lambda xp, x: xp.std(x), lambda xp, x: xp.std(x, axis=0, correction=1, keepdims=True)],
    "cumulative_sum": [
        lambda xp, x: xp.cumulative_sum(x * x, axis=1),
        lambda xp, x: xp.cumulative_sum(x[0] ** 2),
    ],
    "matmul": [
        lambda xp, x: xp.matmul(x, xp.asarray(MATRIX)) ** 2,
        lambda xp, x: x[0] @ xp.asarray(MATRIX),
    ],
    "tensordot": [
        lambda xp, x: xp.tensordot(x * x, xp.asarray(MATRIX), axes=1),
        lambda xp, x: xp.tensordot(x, xp.asarray(C), axes=([0], [0])),
        lambda xp, x: xp.tensordot(x, x),
    ],
    "einsum": [
        lambda xp, x: xp.einsum("ij,jk->ki", x, xp.asarray(MATRIX)),
        lambda xp, x: xp.einsum("ij,ij->i", x, x),
    ],
    "matrix_transpose": [lambda xp, x: xp.matrix_transpose(x * x)],
    "vecdot": [
        lambda xp, x: xp.vecdot(x, x * xp.asarray(VECTORS)),
        lambda xp, x: xp.vecdot(xp.asarray(VECTORS), x, axis=0),
    ],
    "outer": [lambda xp, x: xp.outer(x[0], x[1])],
    "vector_norm": [
        lambda xp, x: xp.vector_norm(x),
        lambda xp, x: xp.vector_norm(x, axis=1, keepdims=True),
        lambda xp, x: xp.vector_norm(x, axis=(0, 1)),
    ],
    "reshape": [lambda xp, x: xp.reshape(x * x, (2, -1))],
    "concat": [
        lambda xp, x: xp.concat([x * x, xp.asarray(C), x], axis=1),
        lambda xp, x: xp.concat((x, x[:1] ** 2)),
    ],
    "stack": [
        lambda xp, x: xp.stack([x * x, xp.asarray(C), x]),
        lambda xp, x: xp.stack([x, x * x], axis=-1),
    ],
    "unstack": [
        lambda xp, x: xp.unstack(x)[2] * xp.unstack(x)[0],
        lambda xp, x: xp.unstack(x, axis=-1)[1] ** 2,
    ],
    "permute_dims": [lambda xp, x: xp.permute_dims(xp.stack([x * x, x]), (2, 0, 1))],
    "expand_dims": [lambda xp, x: xp.expand_dims(x * x, axis=1)],
    "squeeze": [lambda xp, x: xp.squeeze(x[:, :1] ** 2, axis=1)],
    "broadcast_to": [lambda xp, x: xp.broadcast_to(x * x, (2, 3, 4))],
    "flip": [lambda xp, x: xp.flip(x * x), lambda xp, x: xp.flip(x, axis=-1) * x],
    "roll": [
        lambda xp, x: xp.roll(x, 5) * x,
        lambda xp, x: xp.roll(x, 1, axis=0) * x,
        lambda xp, x: xp.roll(x, (1, -1), axis=(0, 1)) * x,
    ],
    "take": [
        lambda xp, x: xp.take(x * x, xp.asarray(INDICES), axis=0),
        lambda xp, x: xp.take(x * x, xp.asarray(INDICES), axis=-1),
    ],
    "take_along_axis": [
        lambda xp, x: xp.take_along_axis(x * x, xp.asarray(PLACES), axis=1),
        lambda xp, x: xp.take_along_axis(x[:, :2] ** 2, xp.asarray(PLACES % 3), axis=0),
    ],
    "zeros_like": [lambda xp, x: x * x + xp.zeros_like(x)],
    "ones_like": [lambda xp, x: x * x + xp.ones_like(x)],
    "full_like": [lambda xp, x: x * x * xp.full_like(x, 0.1)],
    "asarray": [
        lambda xp, x: xp.asarray([x[0, 0] ** 2, x[1, 1]]),
        lambda xp, x: xp.asarray([[x[0, 0], x[1, 2]], [x[0, 1], x[0, 0]]]) ** 2,
        lambda xp, x: x * xp.asarray(0.1) * xp.asarray([0.1, 2.0, 3.0, 0.7]),
        lambda xp, x: x * xp.asarray([1, 2, 3, 4]),
    ],
    "zeros": [lambda xp, x: x * x + xp.zeros((3, 1)) + xp.zeros(4, dtype=x.dtype)],
    "ones": [lambda xp, x: x * x @ xp.ones((4, 2))],
    "arange": [lambda xp, x: x * xp.arange(4) * xp.arange(0.1, 0.45, 0.1)],
    "eye": [lambda xp, x: x * x @ xp.eye(4) @ xp.eye(4, 2, dtype=x.dtype)],
}


# Differences see through the cut, so that here the complex step is the only oracle.
CUT = "stop_gradient"


def complex_step(function: Function, x: np.ndarray) -> np.ndarray:
    columns = []
    for index in np.ndindex(x.shape):
        z = x.astype(complex)
        z[index] += 1e-40j
        columns.append(np.imag(np.ravel(function(numpy_xp, z))) / 1e-40)
    return np.stack(columns, axis=1)


def torch_way(mode: str) -> Derive:
    torch = pytest.importorskip("torch")
    from jacbench_torch import xp

    derive = {"reverse": torch.func.jacrev, "forward": torch.func.jacfwd}[mode]

    def run(function: Function, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        point = torch.tensor(x)
        J = derive(lambda x: function(xp, x))(point)
        return function(xp, point).numpy(), J.numpy()

    return run


def jax_way(mode: str) -> Derive:
    jax = pytest.importorskip("jax")
    from jacbench_jax import xp

    jax.config.update("jax_enable_x64", True)
    derive = {"reverse": jax.jacrev, "forward": jax.jacfwd}[mode]

    def run(function: Function, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        point = jax.numpy.asarray(x)
        # compiled whole: one by one, its primitives take many times as long to compile
        y, J = jax.jit(lambda x: (function(xp, x), derive(lambda x: function(xp, x))(x)))(point)
        return np.asarray(y), np.asarray(J)

    return run


def autograd_way(mode: str) -> Derive:
    autograd = pytest.importorskip("autograd")
    from jacbench_autograd import xp

    def run(function: Function, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        def flat(x: Any) -> Any:
            return xp.reshape(function(xp, x), (-1,))

        y = np.asarray(function(xp, x))
        if mode == "reverse":
            pull, _ = autograd.make_vjp(flat)(x)
            return y, np.stack([pull(row) for row in np.eye(y.size)])
        push = autograd.make_jvp(flat)(x)
        columns = [push(column.reshape(x.shape))[1] for column in np.eye(x.size)]
        return y, np.stack(columns, axis=1)

    return run


WAYS = {
    f"{library}-{mode}": (way, mode)
    for library, way in [("torch", torch_way), ("jax", jax_way), ("autograd", autograd_way)]
    for mode in ["reverse", "forward"]
}


@pytest.fixture(params=WAYS)
def derive(request: pytest.FixtureRequest) -> Derive:
    way, mode = WAYS[request.param]
    return way(mode)


def test_every_operation_has_a_case() -> None:
    assert set(CASES) == set(namespace.OPERATIONS) - set(namespace.CONSTANTS)
    assert len(set(namespace.OPERATIONS)) == len(namespace.OPERATIONS)


@pytest.mark.parametrize("library", ["torch", "jax", "autograd", "numpy"])
def test_a_namespace_has_every_operation(library: str) -> None:
    pytest.importorskip(library)
    xp = importlib.import_module(f"jacbench_{library}.xp")
    assert [name for name in namespace.OPERATIONS if not hasattr(xp, name)] == []
    assert (xp.pi, xp.e) == (math.pi, math.e)


@pytest.mark.parametrize("operation", [operation for operation in CASES if operation != CUT])
def test_the_two_oracles_agree(operation: str) -> None:
    v = np.random.default_rng(2).standard_normal(X.shape)
    h = 1e-6
    for function in CASES[operation]:
        upper, lower = (np.ravel(function(numpy_xp, X + s * v)) for s in (h, -h))
        along = complex_step(function, X) @ v.ravel()
        assert np.linalg.norm((upper - lower) / (2 * h) - along) <= 1e-7 * np.linalg.norm(along)


@pytest.mark.parametrize("operation", CASES)
def test_value_and_jacobian_are_right(operation: str, derive: Derive) -> None:
    for function in CASES[operation]:
        y, J = derive(function, X)
        expected_y = np.asarray(function(numpy_xp, X))
        expected_J = complex_step(function, X)
        assert y.shape == expected_y.shape
        assert y.dtype == np.float64
        assert np.linalg.norm(y - expected_y) <= 1e-14 * np.linalg.norm(expected_y)
        error = np.linalg.norm(J.reshape(expected_J.shape) - expected_J)
        assert error <= 1e-12 * np.linalg.norm(expected_J)


def test_what_is_cut_is_a_constant(derive: Derive) -> None:
    y, J = derive(lambda xp, x: xp.stop_gradient(x * x) * x, X)
    assert np.allclose(y, X**3, rtol=1e-15, atol=0)
    assert np.allclose(J.reshape(X.size, X.size), np.diag(X.ravel() ** 2), rtol=1e-15, atol=0)


def test_what_is_cut_is_real_to_the_complex_step() -> None:
    z = numpy_xp.stop_gradient(X + 1e-20j)
    assert z.dtype == np.float64
    assert np.array_equal(z, X)
    assert numpy_xp.stop_gradient(X.astype(np.float32)).dtype == np.float32
    assert numpy_xp.stop_gradient(np.complex128(2 + 1e-20j)) == 2


def cubic(xp: Any) -> Callable[[Any], Any]:
    # the gradient is cut(x^2) + 2x; a cut that held in the first derivative alone would give
    # 2x + 2 for the second
    return lambda x: xp.sum(xp.stop_gradient(x * x) * x + x * x)


def test_the_cut_holds_in_second_derivatives_of_torch() -> None:
    torch = pytest.importorskip("torch")
    from jacbench_torch import xp

    for outer in (torch.func.jacrev, torch.func.jacfwd):
        for inner in (torch.func.jacrev, torch.func.jacfwd):
            H = outer(inner(cubic(xp)))(torch.tensor(X[0]))
            assert np.array_equal(H.numpy(), 2 * np.eye(4))


def test_the_cut_holds_in_second_derivatives_of_jax() -> None:
    jax = pytest.importorskip("jax")
    from jacbench_jax import xp

    jax.config.update("jax_enable_x64", True)
    for outer in (jax.jacrev, jax.jacfwd):
        for inner in (jax.jacrev, jax.jacfwd):
            H = jax.jit(outer(inner(cubic(xp))))(X[0])
            assert np.array_equal(H, 2 * np.eye(4))


def test_the_cut_holds_in_second_derivatives_of_autograd() -> None:
    autograd = pytest.importorskip("autograd")
    from jacbench_autograd import xp

    gradient = autograd.grad(cubic(xp))
    assert np.array_equal(autograd.jacobian(gradient)(X[0]), 2 * np.eye(4))
    columns = [autograd.make_jvp(gradient)(X[0])(column)[1] for column in np.eye(4)]
    assert np.array_equal(columns, 2 * np.eye(4))


def test_prod_with_a_zero(derive: Derive, request: pytest.FixtureRequest) -> None:
    if "autograd" in request.node.name:
        reason = "autograd divides the product by each factor: NaN where a factor is 0"
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
    with np.errstate(all="ignore"):
        _, J = derive(lambda xp, x: xp.prod(x), np.array([0.0, 2.0, 3.0]))
    assert np.array_equal(J.ravel(), [6.0, 0.0, 0.0])


# What autograd.numpy has without the derivative that its namespace here therefore rewrites. The
# day one of these passes upstream, the strict mark says so and the rewriting can go.
AUTOGRAD_GAPS: dict[str, Function] = {
    "concat": lambda anp, x: anp.concat([x, x]),
    "flip": lambda anp, x: anp.flip(x),
    "matrix_transpose": lambda anp, x: anp.matrix_transpose(x),
    "take": lambda anp, x: anp.take(x, INDICES, axis=0),
    "take_along_axis": lambda anp, x: anp.take_along_axis(x, PLACES, axis=1),
    "vecdot": lambda anp, x: anp.vecdot(x, x),
    "vector_norm": lambda anp, x: anp.linalg.vector_norm(x),
    "cumulative_sum": lambda anp, x: anp.cumulative_sum(x, axis=0),
    "asarray": lambda anp, x: anp.asarray([x[0, 0], x[1, 1]]),
}


@pytest.mark.xfail(reason="no derivative in autograd.numpy", strict=True)
@pytest.mark.parametrize("name", AUTOGRAD_GAPS)
def test_known_gaps_of_autograd(name: str) -> None:
    autograd = pytest.importorskip("autograd")
    import autograd.numpy as anp

    function = AUTOGRAD_GAPS[name]
    J = autograd.jacobian(lambda x: function(anp, x))(X)
    assert np.abs(J).max() > 0


@pytest.mark.xfail(reason="a list of tensors is read as numbers", strict=True)
def test_known_gap_of_torch_asarray() -> None:
    torch = pytest.importorskip("torch")
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    assert torch.asarray([x[0], x[1]]).requires_grad


@pytest.mark.xfail(reason="torch's softplus is x above its threshold of 20", strict=True)
def test_known_gap_of_torch_softplus() -> None:
    torch = pytest.importorskip("torch")
    x = torch.tensor(20.5, dtype=torch.float64)
    assert torch.nn.functional.softplus(x).item() > 20.5


def exact_softplus(x: float) -> float:
    with decimal.localcontext(decimal.Context(prec=350, Emin=-9999, Emax=9999)):
        return float((1 + decimal.Decimal(x).exp()).ln())


@pytest.mark.parametrize("library", ["torch", "jax", "autograd", "numpy"])
def test_softplus_is_exact(library: str) -> None:
    pytest.importorskip(library)
    if library == "jax":
        importlib.import_module("jax").config.update("jax_enable_x64", True)
    xp = importlib.import_module(f"jacbench_{library}.xp")
    points = np.concatenate([np.linspace(-60, 60, 97), [19.9, 20.1, 36.7, 39.9, 40.1, 300.0]])
    expected = np.array([exact_softplus(x) for x in points])
    got = np.asarray(xp.softplus(xp.asarray(points)))
    assert np.max(np.abs(got / expected - 1)) <= 1e-15


off_zero = st.floats(1e-3, 1e3) | st.floats(-1e3, -1e-3)


def step(function: Callable[..., Any], x: float, *rest: float) -> float:
    return float(np.imag(function(np.complex128(complex(x, 1e-40)), *rest)) / 1e-40)


@given(x=off_zero)
def test_complex_step_of_one_argument(x: float) -> None:
    assert step(numpy_xp.abs, x) == math.copysign(1, x)
    assert step(numpy_xp.sign, x) == 0
    assert step(numpy_xp.leaky_relu, x, 0.2) == (1 if x > 0 else 0.2)
    sigmoid = 1 / (1 + math.exp(-x)) if x > -700 else 0.0
    assert step(numpy_xp.softplus, x) == pytest.approx(sigmoid, rel=1e-12, abs=1e-250)
    assert step(numpy_xp.log1p, abs(x)) == pytest.approx(1 / (1 + abs(x)), rel=1e-15)


@given(x=off_zero, y=off_zero)
def test_complex_step_of_two_arguments(x: float, y: float) -> None:
    norm = x * x + y * y
    assert step(numpy_xp.atan2, y, x) == pytest.approx(x / norm, rel=1e-14)
    assert step(lambda x, y: numpy_xp.atan2(y, x), x, y) == pytest.approx(-y / norm, rel=1e-14)
    if x != y:
        assert step(numpy_xp.maximum, x, y) == (x > y)
        assert step(numpy_xp.minimum, x, y) == (x < y)
