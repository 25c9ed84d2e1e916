"""`jacbench.jacobian`: a native function's Jacobian, in the shapes that its users know."""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jacbench as jb
from jacbench import JacbenchError
from jacbench.backend import Descriptor, registry
from jacbench.core import tree
from tests.runs import environment, run

pytestmark = [
    # torch's own: the first use of forward mode, and torch.func.linearize.
    pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Attempted to insert a get_attr Node:UserWarning"),
]

METHODS = [
    (d.name, info.name)
    for d in registry.descriptors().values()
    for info in d.methods
    if d.name in ("torch", "jax", "autograd", "numpy")
    and info.operator == "jacobian"
    # Of a function of one's own there is nothing hand-written and no value in between is named;
    # compiling takes its seconds.
    and info.name != "numpy.analytic"
    and not info.by_intermediate
    # what relies on a structure of the Jacobian has tests of its own
    and not info.structure
    and "compile" not in info.name
]
LIBRARIES = ("torch", "jax", "autograd", "numpy")
FIRST = {"torch": "torch.func.jacrev", "jax": "jax.jacrev", "autograd": "autograd.jacobian"}
FIRST["numpy"] = "numpy.complex-step"


class Library:
    """One library as its users write it: its functions, and arrays of its own."""

    def __init__(self, name: str) -> None:
        module = {"jax": "jax.numpy", "autograd": "autograd.numpy"}.get(name, name)
        pytest.importorskip(name)
        self.name = name
        self.np = pytest.importorskip(module)
        # JAX computes in float32 unless a whole process is told otherwise.
        self.dtype = "float32" if name == "jax" else "float64"
        self.tolerance = 2e-5 if name == "jax" else 1e-12

    def array(self, value: Any) -> Any:
        value = np.asarray(value, dtype=self.dtype)
        return self.np.asarray(value) if self.name != "torch" else self.np.tensor(value)

    def to_numpy(self, value: Any) -> Any:
        return np.asarray(value.detach() if self.name == "torch" else value)


@pytest.fixture
def library(request: pytest.FixtureRequest) -> Library:
    return Library(request.param)


every_method = pytest.mark.parametrize(
    ("library", "method"), METHODS, indirect=["library"], ids=[method for _, method in METHODS]
)
every_library = pytest.mark.parametrize("library", LIBRARIES, indirect=True)

X = np.array([[0.3, -0.2, 0.5], [1.1, 0.7, -0.4]])


def products(lib: Library) -> Callable[[Any], Any]:
    """Return x of shape (2, 3) -> y of shape (4, 1, 2), its Jacobian known below."""

    def f(x: Any) -> Any:
        squares = x * x
        pairs = x[0] * x[1]
        flat = lib.np.stack([x[0, 0] * x[1, 2], pairs[1], squares[1, 0], lib.np.sin(x[0, 1])])
        return lib.np.stack([flat, 2 * flat]).reshape(4, 1, 2)

    return f


def products_by_hand() -> Any:
    flat = np.zeros((4, 2, 3))
    flat[0, 0, 0], flat[0, 1, 2] = X[1, 2], X[0, 0]
    flat[1, 0, 1], flat[1, 1, 1] = X[1, 1], X[0, 1]
    flat[2, 1, 0] = 2 * X[1, 0]
    flat[3, 0, 1] = math.cos(X[0, 1])
    return np.stack([flat, 2 * flat]).reshape(4, 1, 2, 2, 3)


def close(lib: Library, method: str, found: Any, expected: Any) -> bool:
    tolerance = 1e-7 if method == "numpy.central-difference" else lib.tolerance
    return bool(np.allclose(lib.to_numpy(found), expected, rtol=tolerance, atol=tolerance))


@every_method
def test_shape_is_that_of_y_and_that_of_x(library: Library, method: str) -> None:
    x = library.array(X)
    J = jb.jacobian(products(library), x, method=method)
    assert tuple(J.shape) == (4, 1, 2, 2, 3)
    assert type(J) is type(x) or library.name == "jax"
    assert str(J.dtype).endswith(library.dtype)
    assert close(library, method, J, products_by_hand())
    assert close(library, method, x, X)
    # A tensor that still has a graph behind it would keep everything alive.
    assert not getattr(J, "requires_grad", False)


@every_method
def test_matrix_has_a_row_per_output(library: Library, method: str) -> None:
    J = jb.jacobian(products(library), library.array(X), method=method, matrix=True)
    assert tuple(J.shape) == (8, 6)
    assert close(library, method, J, products_by_hand().reshape(8, 6))


def tree_function(x: Any) -> Any:
    return x["w"] @ x["more"][0] + x["b"]


@every_method
def test_trees_keep_their_structure(library: Library, method: str) -> None:
    w, v, b = X, np.array([2.0, 3.0, 5.0]), np.array([7.0, 11.0])
    x = {"w": library.array(w), "more": (library.array(v),), "b": library.array(b)}
    J = jb.jacobian(tree_function, x, method=method)
    assert list(J) == ["w", "more", "b"]
    assert isinstance(J["more"], tuple)
    by_w = np.zeros((2, 2, 3))
    by_w[0, 0], by_w[1, 1] = v, v
    for found, expected in ((J["w"], by_w), (J["more"][0], w), (J["b"], np.eye(2))):
        assert tuple(found.shape) == expected.shape
        assert close(library, method, found, expected)
    # Side by side in tree order, dicts by sorted key.
    whole = jb.jacobian(tree_function, x, method=method, matrix=True)
    assert close(library, method, whole, np.hstack([np.eye(2), w, by_w.reshape(2, 6)]))
    assert [leaf.shape for leaf in tree.leaves(J)] == [(2, 2), (2, 3), (2, 2, 3)]


@every_library
def test_scalars_in_and_out(library: Library) -> None:
    method = FIRST[library.name]
    J = jb.jacobian(lambda x: x * x, library.array(3.0), method=method)
    assert tuple(J.shape) == ()
    assert close(library, method, J, 6.0)
    J = jb.jacobian(lambda x: (x * x).sum(), library.array(X), method=method)
    assert tuple(J.shape) == (2, 3)
    assert close(library, method, J, 2 * X)


@every_library
def test_numpy_input_is_converted_at_its_own_dtype(library: Library) -> None:
    x = X.astype("float32")
    J = jb.jacobian(lambda x: x * x, x, method=FIRST[library.name])
    native = type(library.array(X))
    assert isinstance(J, native)
    assert str(J.dtype).endswith("float32")
    assert np.allclose(library.to_numpy(J).reshape(6, 6), np.diag(2 * x.ravel()), rtol=1e-6)


@every_library
def test_nothing_global_is_changed(library: Library) -> None:
    def state() -> list[Any]:
        found: list[Any] = [dict(os.environ), np.geterr()]
        if "torch" in sys.modules:
            import torch

            found += [torch.get_default_dtype(), torch.get_num_threads()]
            found += [torch.get_float32_matmul_precision(), torch.is_grad_enabled()]
        if "jax" in sys.modules:
            import jax

            found += [jax.config.jax_enable_x64, jax.config.jax_default_matmul_precision]
        return found

    before = state()
    for matrix in (False, True):
        jb.jacobian(products(library), library.array(X), method=FIRST[library.name], matrix=matrix)
    assert state() == before


# Mistakes


def mistake(*words: Any, **named: Any) -> str:
    with pytest.raises(JacbenchError) as caught:
        jb.jacobian(*words, **named)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def raises(x: Any) -> Any:
    raise ValueError("the user's\nown trouble")


@every_library
@pytest.mark.parametrize(
    ("f", "message"),
    [
        (raises, "its function raised ValueError: the user's own trouble"),
        (lambda _: None, "its function returned None, not an array"),
        (lambda _: ["y"], "a list that holds y[0], of which none is an array of floats"),
        (lambda _: {}, "a dict that holds nothing, of which none is an array of floats"),
        (lambda _: {"y": object()}, "a dict that holds y['y'], of which none is an array"),
        (lambda _: 2.5, "its function returned the Python float 2.5, not an array"),
        (lambda _: True, "its function returned the Python bool True"),
        (lambda x: x > 0, "an array of dtype bool, which has no derivative"),
        (lambda x: x * 1j, "its function returned complex numbers"),
        (lambda x: (x - x) / (x - x), "its function returned nan at y[0, 0]: choose a point"),
        (lambda x: 1 / (x - x), "its function returned inf at y[0, 0]: choose a point"),
        (lambda x: {"a": x, "b": x / (x - x)}, "its function returned"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_functions_without_a_jacobian(
    library: Library, f: Callable[[Any], Any], message: str
) -> None:
    method = FIRST[library.name]
    told = mistake(f, library.array(X), method=method)
    assert told.startswith(f"jacobian(method={method!r}): ")
    assert message in told


@pytest.mark.parametrize(
    "odd",
    [
        lambda x: x.to_sparse(),
        lambda x: x.to_sparse_csr(),
        lambda x: x.to("meta"),
        lambda x: {"fine": x, "odd": x.to_sparse()},
    ],
    ids=["sparse", "csr", "meta", "in a tree"],
)
@pytest.mark.filterwarnings("ignore:Sparse CSR")
def test_tensors_whose_numbers_cannot_be_read_are_one_line(odd: Callable[[Any], Any]) -> None:
    torch = pytest.importorskip("torch")
    x = torch.tensor(X)
    assert "whose numbers cannot be read" in mistake(odd, x, method="torch.functional")
    assert "whose numbers cannot be read" in mistake(lambda x: x, odd(x), method="torch.functional")


def test_what_the_function_raised_is_the_cause() -> None:
    with pytest.raises(JacbenchError) as caught:
        jb.jacobian(raises, X, method="numpy.complex-step")
    assert isinstance(caught.value.__cause__, ValueError)
    line = raises.__code__.co_firstlineno + 1
    assert f"(line {line} of {Path(__file__).name})" in str(caught.value)


@every_library
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.arange(3), "x is of dtype int"),
        (np.array([True]), "x is of dtype bool"),
        (np.array([1j]), "x is of dtype complex"),
        (np.array([1.0, None]), "x is of dtype object"),
        (np.array(["a"]), "x is of dtype <U1"),
        (np.array([1.0, np.nan]), "x is not finite"),
        (np.array([1.0, np.inf]), "x is not finite"),
        ([], "x holds no arrays"),
        ({"a": ()}, "x holds no arrays"),
        ({"a": np.ones(2), "b": np.array([1j])}, "x['b'] is of dtype complex"),
        ({"b": np.arange(2), "c": None}, "x holds no arrays of floats"),
        ("text", "x is a builtins.str, not one of this library's arrays"),
        (None, "x is a builtins.NoneType"),
    ],
)
def test_points_without_a_jacobian(library: Library, x: Any, message: str) -> None:
    if library.name == "jax":
        x = tree.map_leaves(
            lambda a: a.astype("float32") if getattr(a, "dtype", "") == "float64" else a, x
        )
    assert message in mistake(lambda x: x * x, x, method=FIRST[library.name])


@every_library
def test_points_of_the_library_itself_are_checked_too(library: Library) -> None:
    method = FIRST[library.name]
    f = products(library)
    integers = library.array(X) > 0
    assert "x is of dtype bool" in mistake(f, integers, method=method)
    assert "x is not finite" in mistake(f, library.array(X) * math.nan, method=method)


def test_arrays_of_another_library() -> None:
    torch = pytest.importorskip("torch")
    told = mistake(lambda x: x, torch.ones(2), method="numpy.complex-step")
    assert "x is a torch.Tensor, not one of this library's arrays: convert it" in told


def test_methods_that_are_not_there() -> None:
    told = mistake(lambda x: x, X, method="numpy.complex")
    assert told.startswith("unknown method 'numpy.complex': did you mean 'numpy.complex-step'")
    assert "'jax.jacrev'" in mistake(lambda x: x, X, method="jacrev")


def test_method_that_needs_what_a_native_function_has_not() -> None:
    told = mistake(lambda x: x, X, method="numpy.analytic")
    assert told.endswith("a native function has no hand-written Jacobian")


def test_what_is_not_callable() -> None:
    assert "f is a ndarray: give a callable" in mistake(X, X, method="numpy.complex-step")


def test_chunk_sizes() -> None:
    torch = pytest.importorskip("torch")
    x = torch.ones(3, dtype=torch.float64)
    method = "torch.func.jacrev"
    J = jb.jacobian(lambda x: x * x, x, method=method, chunk_size=2)
    assert torch.equal(J, 2 * torch.eye(3, dtype=torch.float64))
    assert "chunk_size is 0" in mistake(lambda x: x, x, method=method, chunk_size=0)
    whole = "torch.functional-vectorized"
    assert "no chunk size" in mistake(lambda x: x * x, x, method=whole, chunk_size=2)


def test_absent_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    registry.load.cache_clear()
    monkeypatch.setattr(Descriptor, "absent", lambda d: f"run {d.install}")
    assert mistake(lambda x: x, X, method="jax.jacrev") == 'run pip install "jacbench[jax]"'


def test_float64_where_jax_has_it_switched_off(tmp_path: Path) -> None:
    pytest.importorskip("jax")
    code = (
        "import numpy as np, jacbench, warnings; warnings.simplefilter('ignore')\n"
        "try: jacbench.jacobian(lambda x: x * x, np.ones(2), method='jax.jacrev')\n"
        "except jacbench.JacbenchError as exc: print(exc)\n"
        "import jax; print(jax.config.jax_enable_x64)\n"
    )
    done = run([sys.executable, "-c", code], tmp_path, env=environment(JAX_ENABLE_X64="0"))
    told, flag = done.stdout.splitlines()
    assert re.search(r"x is float64 and the library made it float32: .*jax_enable_x64", told)
    assert flag == "False"


def test_a_function_that_writes_into_its_argument_is_told_so() -> None:
    torch = pytest.importorskip("torch")

    def in_place(x: Any) -> Any:
        x *= 3
        return torch.tanh(x)

    x = torch.tensor([0.1, 0.5])
    for method in ("torch.func.jacrev", "torch.grad-loop"):
        with pytest.raises(JacbenchError, match=r"f writes into its argument: x is another one"):
            jb.jacobian(in_place, x, method)
        assert torch.equal(x, torch.tensor([0.1, 0.5]))

    def by_numpy(x: Any) -> Any:
        x["a"] -= 1
        return np.sin(x["a"])

    held = {"a": np.array([1.0, 2.0])}
    with pytest.raises(JacbenchError, match=r"x\['a'\] is another one"):
        jb.jacobian(by_numpy, held, "numpy.central-difference")
    assert held["a"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize("method", ["torch.func.jacrev", "torch.grad-loop"])
def test_results_that_torch_negates_or_conjugates_by_a_mark_are_read(method: str) -> None:
    torch = pytest.importorskip("torch")
    z = torch.tensor([1 + 2j, 3 - 1j], dtype=torch.complex128)

    def imaginary(x: Any) -> Any:
        return torch.imag((x * z).conj())

    x = torch.tensor([0.5, 2.0], dtype=torch.float64)
    assert imaginary(x).is_neg()
    J = jb.jacobian(imaginary, x, method)
    assert torch.allclose(J, -torch.diag(z.imag))
    assert registry.load("torch").to_numpy(imaginary(x)).tolist() == [-1.0, 2.0]
    # torch cannot map it, and says so in a line of its own
    with pytest.raises(JacbenchError, match=r"torch says: Batching rule not implemented for"):
        jb.jacobian(imaginary, x, "torch.func.jacfwd")
