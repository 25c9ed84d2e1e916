"""`jacbench.vjp`, `jvp`, `value_and_jacobian`, `batch_jacobian` of a native function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jacbench as jb
from jacbench import JacbenchError
from jacbench.backend import registry
from jacbench.core import tree
from jacbench.problems.checked_value import article
from tests.derivatives.test_functions import Library, close

pytestmark = [
    # torch's own: the first use of forward mode, and torch.func.linearize.
    pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Attempted to insert a get_attr Node:UserWarning"),
]


def methods(operator: str) -> list[tuple[str, str]]:
    """Return backends and methods; of a function of one's own there is nothing hand-written."""
    return [
        (d.name, info.name)
        for d in registry.descriptors().values()
        for info in d.methods
        if d.name in ("torch", "jax", "autograd", "numpy")
        and info.operator == operator
        and not info.name.startswith("numpy.analytic")
    ]


def every_method(operator: str) -> pytest.MarkDecorator:
    asked = methods(operator)
    return pytest.mark.parametrize(
        ("library", "method"), asked, indirect=["library"], ids=[method for _, method in asked]
    )


def first_methods(*operators: str) -> pytest.MarkDecorator:
    """Return one method of each library for each operator: JAX's are compiled."""
    asked = []
    for operator in operators:
        seen = {}
        for library, method in methods(operator):
            seen.setdefault(library, (library, operator, method))
        asked += seen.values()
    return pytest.mark.parametrize(
        ("library", "operator", "method"),
        asked,
        indirect=["library"],
        ids=[method for _, _, method in asked],
    )


@pytest.fixture
def library(request: pytest.FixtureRequest) -> Library:
    return Library(request.param)


X = np.array([[0.3, -0.2], [1.1, 0.7], [-0.5, 0.4]])


def pairs(lib: Library) -> Callable[[Any], Any]:
    """Return x of shape (3, 2), a pair (a, b) in each row, -> (a b, sin a, 2 b) in each row."""

    def f(x: Any) -> Any:
        a, b = x[:, 0], x[:, 1]
        columns = [a * b, lib.np.sin(a), 2 * b]
        return lib.np.stack(columns, 1)

    return f


def value() -> np.ndarray:
    a, b = X.T
    return np.stack([a * b, np.sin(a), 2 * b], axis=1)


def by_sample() -> np.ndarray:
    """Return the derivatives of each row by its own pair, (3, 3, 2)."""
    return np.array([[[b, a], [np.cos(a), 0], [0, 2]] for a, b in X])


def whole() -> np.ndarray:
    J = np.zeros((3, 3, 3, 2))
    J[range(3), :, range(3)] = by_sample()
    return J


# --- every method, against numbers by hand ---


@every_method("value_and_jacobian")
def test_value_and_jacobian(library: Library, method: str) -> None:
    x = library.array(X)
    y, J = jb.value_and_jacobian(pairs(library), x, method)
    assert tuple(y.shape) == (3, 3)
    assert tuple(J.shape) == (3, 3, 3, 2)
    assert close(library, method, y, value())
    assert close(library, method, J, whole())
    for part in (y, J):
        assert str(part.dtype).endswith(library.dtype)
        assert not getattr(part, "requires_grad", False)
    assert close(library, method, x, X)


@every_method("value_and_jacobian")
def test_aux_comes_beside_the_value(library: Library, method: str) -> None:
    def f(x: Any) -> Any:
        return pairs(library)(x), {"twice": 2 * x, "sums": (x[:, 0] + x[:, 1],)}

    (y, aux), J = jb.value_and_jacobian(f, library.array(X), method, has_aux=True)
    assert close(library, method, y, value())
    assert close(library, method, J, whole())
    assert sorted(aux) == ["sums", "twice"]
    assert close(library, method, aux["twice"], 2 * X)
    assert close(library, method, aux["sums"][0], X.sum(axis=1))


@every_method("batch_jacobian")
def test_batch_jacobian(library: Library, method: str) -> None:
    J = jb.batch_jacobian(pairs(library), library.array(X), method)
    assert tuple(J.shape) == (3, 3, 2)
    assert str(J.dtype).endswith(library.dtype)
    assert close(library, method, J, by_sample())
    assert not getattr(J, "requires_grad", False)


V = np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75], [-2.0, 3.0, 1.0]])
T = np.array([[2.0, -1.0], [0.5, 0.3], [-0.7, 1.2]])


@every_method("vjp")
def test_vjp(library: Library, method: str) -> None:
    v = library.array(V)
    product = jb.vjp(pairs(library), library.array(X), v, method)
    assert tuple(product.shape) == (3, 2)
    assert str(product.dtype).endswith(library.dtype)
    assert close(library, method, product, np.einsum("bo,boi->bi", V, by_sample()))
    assert close(library, method, v, V)


@every_method("jvp")
def test_jvp(library: Library, method: str) -> None:
    t = library.array(T)
    product = jb.jvp(pairs(library), library.array(X), t, method)
    right = np.einsum("boi,bi->bo", by_sample(), T)
    assert tuple(product.shape) == (3, 3)
    assert str(product.dtype).endswith(library.dtype)
    if method.startswith("numpy.central"):
        assert np.allclose(product, right, rtol=1e-7, atol=1e-7)
    else:
        assert close(library, method, product, right)
    assert close(library, method, t, T)


# --- samples along another axis ---


@first_methods("batch_jacobian")
@pytest.mark.parametrize("axis", [1, -1, -2])
def test_samples_along_another_axis(
    library: Library, operator: str, method: str, axis: int
) -> None:
    x = library.array(np.moveaxis(X, 0, axis))

    def f(x: Any) -> Any:
        return pairs(library)(x if axis == -2 else x.T)

    J = jb.batch_jacobian(f, x, method, in_axis=axis)
    assert tuple(J.shape) == (3, 3, 2)
    assert close(library, method, J, by_sample())


@first_methods("batch_jacobian")
def test_one_number_for_each_sample(library: Library, operator: str, method: str) -> None:
    J = jb.batch_jacobian(lambda x: (x * x)[:, 0], library.array(X), method)
    assert tuple(J.shape) == (3, 2)
    assert close(library, method, J, 2 * X * [1, 0])


# --- trees, and what y does not depend on ---


def unused(x: Any) -> Any:
    return x["a"] * x["more"][0]


@first_methods("value_and_jacobian", "batch_jacobian", "vjp", "jvp")
def test_trees_keep_their_structure_and_unused_leaves_have_zeros(
    library: Library, operator: str, method: str
) -> None:
    a, b, c = np.array([2.0, 3.0]), np.array([5.0, 7.0]), np.array([[1.0, 4.0, 6.0], [8.0, 9.0, 0]])
    x = {"more": (library.array(b), library.array(c)), "a": library.array(a)}
    t = {"more": (np.array([1.0, -1.0]), np.ones((2, 3))), "a": np.array([0.5, 2.0])}
    if operator == "jvp":
        product = jb.jvp(unused, x, tree.map_leaves(library.array, t), method)
        right = t["a"] * b + a * t["more"][0]
        assert np.allclose(library.to_numpy(product), right, rtol=1e-6)
        return
    if operator == "vjp":
        found = jb.vjp(unused, x, library.array(t["a"]), method)
        by_a, by_b, by_c = t["a"] * b, t["a"] * a, np.zeros((2, 3))
    elif operator == "batch_jacobian":
        found = jb.batch_jacobian(unused, x, method)
        by_a, by_b, by_c = b, a, np.zeros((2, 3))
    else:
        y, found = jb.value_and_jacobian(unused, x, method)
        assert close(library, method, y, a * b)
        by_a, by_b, by_c = np.diag(b), np.diag(a), np.zeros((2, 2, 3))
    assert list(found) == ["more", "a"]
    assert isinstance(found["more"], tuple)
    for one, right in ((found["a"], by_a), (found["more"][0], by_b), (found["more"][1], by_c)):
        assert tuple(one.shape) == right.shape
        assert close(library, method, one, right)


# --- mistakes, one line each ---


def mistake(call: Callable[..., Any], *words: Any, **named: Any) -> str:
    with pytest.raises(JacbenchError) as caught:
        call(*words, **named)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def double(x: Any) -> Any:
    return 2 * x


@pytest.mark.parametrize(
    ("call", "words", "asked", "right"),
    [
        (jb.value_and_jacobian, (), "value_and_jacobian", "autograd.value-and-vjp-loop"),
        (jb.batch_jacobian, (), "batch_jacobian", "autograd.sample-loop, autograd.sum-trick"),
        (jb.vjp, (X,), "vjp", "autograd.make_vjp, autograd.vjp-by-jacobian"),
        (jb.jvp, (X,), "jvp", "autograd.make_jvp, autograd.make_jvp_reversemode, autograd.jvp-by"),
    ],
)
def test_a_method_for_another_operator(
    call: Callable[..., Any], words: tuple[Any, ...], asked: str, right: str
) -> None:
    pytest.importorskip("autograd")
    told = mistake(call, double, X, *words, method="autograd.jacobian")
    assert told.startswith(
        f"{asked}(method='autograd.jacobian'): it computes jacobian, not {asked}: use {right}"
    )
    assert mistake(jb.jacobian, double, X, "autograd.make_vjp") == (
        "jacobian(method='autograd.make_vjp'): it computes vjp, not jacobian: use "
        "autograd.jacobian, autograd.vjp-loop, autograd.jvp"
    )


def test_advice_names_no_method_that_needs_more_than_a_function() -> None:
    told = mistake(jb.jvp, double, X, X, "numpy.complex-step")
    assert told.endswith("use numpy.central-difference-jvp, numpy.complex-step-jvp")
    told = mistake(jb.vjp, double, X, X, "numpy.complex-step")
    assert told.endswith(
        "it computes jacobian, not vjp, and no method of numpy does that of a native function"
    )
    pytest.importorskip("torch")
    assert "register-hook" not in mistake(jb.jacobian, double, X, "torch.func.vjp")
    assert "names none" in mistake(jb.jacobian, double, X, "torch.register-hook")


@pytest.mark.parametrize("name", ["value", "batch", "vjp", "jvp"])
def test_what_needs_a_hand_written_jacobian(name: str) -> None:
    calls = {
        "value": (jb.value_and_jacobian, (X,)),
        "batch": (jb.batch_jacobian, (X,)),
        "vjp": (jb.vjp, (X, X)),
        "jvp": (jb.jvp, (X, X)),
    }
    call, words = calls[name]
    told = mistake(call, double, *words, method=f"numpy.analytic-{name}")
    assert told.endswith("a native function has no hand-written Jacobian")


@first_methods("vjp", "jvp")
def test_vectors_of_another_shape(library: Library, operator: str, method: str) -> None:
    x, f = library.array(X), pairs(library)
    call, letter, like, shape = {
        "vjp": (jb.vjp, "v", "y", "(3, 3)"),
        "jvp": (jb.jvp, "t", "x", "(3, 2)"),
    }[operator]
    who = f"{operator}(method={method!r}): {letter}"
    for vector, told in (
        (library.array(np.ones((3, 4))), "has shape (3, 4)"),
        (library.array(1.0), "has shape ()"),
        ([library.array(X), library.array(X)], "has shape (3, 2), (3, 2)"),
    ):
        assert mistake(call, f, x, vector, method) == (
            f"{who} {told}: give one like {like}, of shape {shape}"
        )
    odd = np.ones((3, 3 if operator == "vjp" else 2))
    for vector, told in (
        (odd.astype(int), "is of dtype int64, which has no real derivative: pass floats"),
        (odd * np.nan, "is not finite"),
        (odd * 1j, "is of dtype complex128"),
        ("text", "is a builtins.str, not one of this library's arrays"),
        (None, "is a builtins.NoneType"),
    ):
        assert mistake(call, f, x, vector, method).startswith(f"{who} {told}")


@first_methods("vjp", "jvp")
def test_numpy_vectors_and_plain_numbers_take_the_dtype_at_hand(
    library: Library, operator: str, method: str
) -> None:
    x = library.array(X) if library.name == "jax" else library.array(X.astype("float32"))
    if library.name == "torch":
        x = x.float()
    elif library.name != "jax":
        x = x.astype("float32")

    def f(x: Any) -> Any:
        return x[0] * x[1]

    if operator == "vjp":
        product = jb.vjp(f, x, np.array([2.0, -1.0]), method)
        right = np.array([2.0, -1.0]) * [X[1], X[0], 0 * X[0]]
    else:
        product = jb.jvp(f, x, T, method)
        right = T[0] * X[1] + X[0] * T[1]
    assert str(product.dtype).endswith("float32")
    tolerance = 1e-2 if "central" in method else 1e-6
    assert np.allclose(library.to_numpy(product), right, rtol=tolerance, atol=tolerance)
    if operator == "vjp":
        product = jb.vjp(lambda x: (x * x).sum(), x, -1.5, method)
        assert np.allclose(library.to_numpy(product), -3 * X, rtol=1e-6)


def test_vectors_of_the_library_in_another_dtype() -> None:
    torch = pytest.importorskip("torch")
    x, narrow = torch.tensor(X), torch.tensor(X, dtype=torch.float32)
    for _, method in methods("vjp"):
        if method.startswith("torch."):
            assert mistake(jb.vjp, double, x, narrow, method).endswith(
                ": v is float32 and y is float64: convert it"
            )
    # y is not always as wide as x, and v goes with y
    wide = jb.vjp(lambda x: x.double(), narrow, X, "torch.autograd.grad")
    assert torch.equal(wide, narrow)
    for _, method in methods("jvp"):
        if method.startswith("torch."):
            assert mistake(jb.jvp, double, narrow, x, method).endswith(
                ": t is float64 and x is float32: convert it"
            )


def test_tangents_of_another_structure() -> None:
    x = {"a": np.ones(2), "b": np.ones(2)}
    for tangent, holds in (
        ({"a": X[0], "c": X[0]}, "t['a'], t['c']"),
        ([X[0], X[0]], "t[0], t[1]"),
    ):
        told = mistake(jb.jvp, lambda x: x["a"] * x["b"], x, tangent, "numpy.complex-step-jvp")
        assert told.endswith(f"t holds {holds}: give a tree like x, which holds x['a'], x['b']")


@first_methods("value_and_jacobian")
def test_aux_that_is_not_there(library: Library, operator: str, method: str) -> None:
    x = library.array(X)
    for f, name in (
        (double, type(x).__name__),
        (lambda x: [x, x], "list"),
        (lambda x: (x, x, x), "tuple"),
    ):
        told = mistake(jb.value_and_jacobian, f, x, method, has_aux=True)
        assert told == (
            f"value_and_jacobian(method={method!r}): has_aux is True and f returned "
            f"{article(name)}: return (y, aux)"
        )
    value, J = jb.value_and_jacobian(lambda x: (x, x), x, method)  # without has_aux: two outputs
    assert len(value) == len(J) == 2


@first_methods("batch_jacobian")
def test_an_axis_of_samples_that_is_not_there(library: Library, operator: str, method: str) -> None:
    x, who = library.array(X), f"batch_jacobian(method={method!r}): "
    for axis in (2, -3):
        assert mistake(jb.batch_jacobian, double, x, method, in_axis=axis) == (
            f"{who}samples lie along axis {axis}, and x has shape (3, 2): name an axis that is "
            "there as in_axis"
        )
    number = {"a": x, "n": library.array(1.0)}
    told = mistake(jb.batch_jacobian, lambda x: x["a"] * x["n"], number, method)
    assert told == (
        f"{who}samples lie along axis 0, and x['n'] has shape (): name an axis that is there as "
        "in_axis"
    )
    several = {"a": x, "b": x[:2]}
    told = mistake(jb.batch_jacobian, lambda x: x["a"] * x["b"].sum(), several, method)
    assert told.startswith(f"{who}x has 2 or 3 samples along axis 0, and y has shape (3, 2)")
    for f, shape in ((lambda x: x.sum(), "()"), (lambda x: x[:2], "(2, 2)")):
        assert mistake(jb.batch_jacobian, f, x, method) == (
            f"{who}x has 3 samples along axis 0, and y has shape {shape}: its first axis must run "
            "over samples"
        )


@pytest.mark.parametrize("method", [m for _, m in methods("batch_jacobian") if "jax" not in m])
def test_a_function_that_cannot_be_evaluated_at_moved_samples(method: str) -> None:
    library = Library(method.partition(".")[0])

    def picky(x: Any) -> Any:
        if library.to_numpy(x)[0, 0] not in X[:, 0]:
            raise LookupError("not in the table")
        return 3 * x

    told = mistake(jb.batch_jacobian, picky, library.array(X), method)
    assert told.endswith(
        "f raised LookupError where some samples were moved by a tenth to see whether others "
        "notice: pass check=False if you know that none do"
    )
    if method.endswith(("-loop", "sum-trick")) and library.name == "torch":
        J = jb.batch_jacobian(picky, library.array(X), method, check=False)
        assert close(library, method, J, np.broadcast_to(3 * np.eye(2), (3, 2, 2)))


@pytest.mark.parametrize("call", [jb.vjp, jb.jvp])
def test_x_and_f_are_checked_as_for_the_jacobian(call: Callable[..., Any]) -> None:
    method = "numpy.complex-step-jvp" if call is jb.jvp else "autograd.make_vjp"
    pytest.importorskip(method.partition(".")[0])
    assert "x is of dtype int" in mistake(call, double, np.arange(3), X, method)
    assert "x holds no arrays" in mistake(call, double, [], X, method)
    assert "f is a ndarray: give a callable" in mistake(call, X, X, X, method)
    assert "its function returned None" in mistake(call, lambda _: None, X, X, method)
    assert "unknown method 'vjp'" in mistake(call, double, X, X, "vjp")


def test_chunk_sizes_of_other_operators() -> None:
    torch = pytest.importorskip("torch")
    x = torch.tensor(X)
    J = jb.batch_jacobian(double, x, "torch.vmap-jacrev", chunk_size=2)
    assert torch.equal(J, 2 * torch.eye(2, dtype=x.dtype).expand(3, 2, 2))
    y, J = jb.value_and_jacobian(double, x, "torch.func.jacrev-aux", chunk_size=4)
    assert torch.equal(J.reshape(6, 6), 2 * torch.eye(6, dtype=x.dtype))
    assert torch.equal(y, 2 * x)
    told = mistake(jb.value_and_jacobian, double, x, "torch.func.jacfwd-aux", chunk_size=4)
    assert "no chunk size" in told
