"""A derivative prepared once, for many points; and the operators that use structure."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
import pytest

import jacbench
from jacbench.backend import registry
from jacbench.core import tree
from jacbench.core.errors import JacbenchError
from jacbench.derivatives.call import Call

anp = pytest.importorskip("autograd.numpy")
pytest.importorskip("scipy")

X = np.linspace(0.1, 1.0, 12)


def stencil(x):
    inner = x[1:-1] ** 2 + x[:-2] - 3.0 * x[2:]
    return anp.concatenate([x[:1], inner, x[-1:]])


def right(x):
    J = np.zeros((12, 12))
    J[0, 0] = J[-1, -1] = 1.0
    for i in range(1, 11):
        J[i, i - 1 : i + 2] = 1.0, 2 * x[i], -3.0
    return J


def mistake(call, *given, **options):
    with pytest.raises(JacbenchError) as caught:
        call(*given, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_one_preparation_serves_every_point_like_x():
    calls = []

    def watched(x):
        calls.append(1)
        return stencil(x)

    jacobian = jacbench.prepare(watched, X, "autograd.jacobian")
    before = len(calls)
    for point in (X, X**2):
        np.testing.assert_allclose(jacobian(point), right(point))
        np.testing.assert_allclose(jacobian.matrix(point), right(point))
    assert len(calls) - before == 4


def test_trees_keep_their_structure():
    x = {"a": np.ones(2), "b": [np.full((1, 3), 2.0)]}

    def f(x):
        return anp.sum(x["a"]) * x["b"][0].reshape(3)

    jacobian = jacbench.prepare(f, x, "autograd.jacobian")
    J = jacobian(x)
    assert J["a"].shape == (3, 2)
    assert J["b"][0].shape == (3, 1, 3)
    assert jacobian.matrix(x).shape == (3, 5)


@pytest.mark.parametrize("form", ["csr", "dense", "operator", "banded"])
def test_a_sparse_one_comes_in_the_form_asked_for(form):
    made = jacbench.prepare(stencil, X, "autograd.coloured-csr", form=form)
    for point in (X, X**2):
        J = made(point)
        if form == "banded":
            (lower, upper), bands = J
            found = sum(
                np.diag(bands[upper - k, max(k, 0) : 12 + min(k, 0)], k)
                for k in range(-lower, upper + 1)
            )
        else:
            found = J @ np.eye(12)
        np.testing.assert_allclose(found, right(point), atol=1e-12)


def test_sparse_and_factored_functions_are_those_prepared():
    J = jacbench.sparse_jacobian(stencil, X, "autograd.coloured-csr", pattern=right(X) != 0)
    np.testing.assert_allclose(J.toarray(), right(X), atol=1e-12)


def test_samples_are_asked_for_by_axis():
    made = jacbench.prepare(lambda x: x**2, X, "autograd.sum-trick", in_axis=0)
    np.testing.assert_allclose(made(X), 2 * X)
    whole = jacbench.prepare(lambda x: x**2, X, "autograd.per-sample", in_axis=0)
    np.testing.assert_allclose(whole(X), np.diag(2 * X))


def test_points_unlike_the_one_prepared_are_refused():
    jacobian = jacbench.prepare(stencil, X, "autograd.jacobian")
    assert "prepared for x of shape (12,) and float64, and given (13,)" in mistake(
        jacobian, np.ones(13)
    )
    assert "float32" in mistake(jacobian, X.astype(np.float32))
    assert "prepared for x that holds x, and given x['a']" in mistake(jacobian, {"a": X})
    assert "is a builtins.str" in mistake(jacobian, "x")


# What goes in, and comes out, as it is


def of_library(library):
    """Return two methods, by rows and by columns, and what makes an array of the library's."""
    if library == "torch":
        return "torch.func.jacrev", "torch.vmap-jvp", pytest.importorskip("torch").tensor
    if library == "jax":
        return "jax.jacrev", "jax.linearize", pytest.importorskip("jax.numpy").asarray
    return "autograd.jacobian", "autograd.jvp", np.asarray


@pytest.fixture
def converted(monkeypatch):
    """The points that were looked at leaf by leaf."""
    seen, like_x = [], Call.like_x

    def watched(self, x):
        seen.append(x)
        return like_x(self, x)

    monkeypatch.setattr(Call, "like_x", watched)
    return seen


def lopsided(x):
    """Return y of x's shape; its square Jacobian is not symmetric."""
    return x * x[0]


def lopsided_by_hand(x):
    J = x[0] * np.eye(len(x))
    J[:, 0] += x
    return J


libraries = pytest.mark.parametrize("library", ["torch", "jax", "autograd"])


@libraries
@pytest.mark.parametrize("place", [0, 1], ids=["rows", "columns"])
@pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")
def test_an_array_like_x_is_not_looked_into(library, place, converted):
    *methods, array = of_library(library)
    numbers = np.array([2.0, 3.0, 5.0], dtype="float32")
    made = jacbench.prepare(lopsided, array(numbers), methods[place])
    for point in (numbers, numbers[::-1].copy()):
        x = array(point)
        for J in (made(x), made.matrix(x)):
            assert type(J) is type(x)
            assert tuple(J.shape) == (3, 3)
            assert str(J.dtype).endswith("float32")
            np.testing.assert_allclose(np.asarray(J), lopsided_by_hand(point), rtol=1e-6)
    assert converted == []


@libraries
def test_each_result_is_an_array_of_its_own(library):
    method, _, array = of_library(library)
    numbers = np.array([2.0, 3.0, 5.0], dtype="float32")
    made = jacbench.prepare(lopsided, array(numbers), method)
    first = made(array(numbers))
    kept = np.asarray(first).copy()
    made(array(2 * numbers))
    np.testing.assert_array_equal(np.asarray(first), kept)


@libraries
def test_other_points_are_converted_or_refused_in_one_line(library, converted):
    method, _, array = of_library(library)
    numbers = np.array([2.0, 3.0, 5.0], dtype="float32")
    made = jacbench.prepare(lopsided, array(numbers), method)
    np.testing.assert_allclose(np.asarray(made(numbers)), lopsided_by_hand(numbers), rtol=1e-6)
    assert len(converted) == (library != "autograd")  # whose arrays are NumPy's
    assert "of shape (3,) and" in mistake(made, array(numbers[:2]))
    assert "given (3, 1) and" in mistake(made, array(numbers.reshape(3, 1)))
    assert "given (3,) and" in mistake(made, array(numbers.astype("float16")))
    assert "float16" in mistake(made, numbers.astype("float16"))
    assert "float64" in mistake(made, numbers.astype("float64"))
    assert "given x[0]" in mistake(made, [array(numbers)])
    assert "is a builtins.str" in mistake(made.matrix, "x")
    assert len(converted) == (library != "autograd") + 7


@libraries
def test_a_tree_like_x_is_not_looked_into(library, converted):
    method, _, array = of_library(library)
    w = np.array([2.0, 3.0], dtype="float32")

    def point(scale):
        return {"w": array(scale * w), "more": (array(scale * w), [array(scale * w[:1])])}

    def f(x):
        return x["w"] * x["more"][0] * x["more"][1][0]

    made = jacbench.prepare(f, point(1), method)
    for scale in (1, 2):
        J, known = made(point(scale)), scale**2 * w[0] * np.diag(w)
        assert list(J) == ["w", "more"]
        assert isinstance(J["more"], tuple)
        found = [np.asarray(part) for part in tree.leaves(J)]
        expected = [known, scale**2 * (w * w)[:, None], known]
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-6)
        whole = np.asarray(made.matrix(point(scale)))
        np.testing.assert_allclose(whole, np.hstack(expected), rtol=1e-6)
    assert converted == []
    other = point(1) | {"w": w}
    np.testing.assert_allclose(np.asarray(made(other)["w"]), w[0] * np.diag(w), rtol=1e-6)
    for wrong, told in (
        (point(1) | {"w": array(w[:1])}, "prepared for x['w'] of shape (2,)"),
        (point(1) | {"b": array(w)}, "given x['b'], x['more'][0]"),
        (point(1) | {"more": (array(w), [])}, "given x['more'][0], x['w']"),
        (point(1) | {"more": (array(w),)}, "given x['more'][0], x['w']"),
        (point(1) | {"more": (array(w), [w[0]])}, "prepared for x['more'][1][0] of shape (1,)"),
    ):
        assert told in mistake(made, wrong)


def test_tensors_that_require_grad_and_parameters():
    torch = pytest.importorskip("torch")
    numbers = np.array([2.0, 3.0, 5.0])
    made = jacbench.prepare(lopsided, torch.tensor(numbers), "torch.func.jacrev")
    for x in (torch.tensor(numbers, requires_grad=True), torch.nn.Parameter(torch.tensor(numbers))):
        np.testing.assert_allclose(made(x).detach(), lopsided_by_hand(numbers))
        assert x.requires_grad
        assert x.grad is None


# What cannot be prepared


def test_what_cannot_be_prepared_is_one_line():
    assert "it computes vjp: give a method of" in mistake(
        jacbench.prepare, stencil, X, "autograd.make_vjp"
    )
    assert "jacbench.pick(f, x).method" in mistake(jacbench.prepare, stencil, X, "auto")
    assert "unknown method" in mistake(jacbench.prepare, stencil, X, "autograd.jacobain")
    assert "unknown format 'coo'" in mistake(
        jacbench.prepare, stencil, X, "autograd.coloured-csr", form="coo"
    )
    assert "form is for a sparse one" in mistake(
        jacbench.prepare, stencil, X, "autograd.jacobian", form="dense"
    )
    assert "in_axis is None" in mistake(jacbench.prepare, stencil, X, "autograd.sum-trick")
    assert "it computes jacobian, not sparse_jacobian" in mistake(
        jacbench.sparse_jacobian, stencil, X, "autograd.jacobian"
    )
    assert "it computes jacobian, not factored_jacobian" in mistake(
        jacbench.factored_jacobian, stencil, X, "autograd.jacobian"
    )


def test_a_function_without_the_structure_is_one_line():
    def dense(x):
        return anp.sin(x) * anp.sum(x)

    assert "J is dense" in mistake(jacbench.prepare, dense, X, "autograd.coloured-csr")
    made = jacbench.prepare(stencil, X, "autograd.coloured-csr")
    assert "its result is no (m, n) array" in mistake(made.matrix, X)


def test_a_pattern_that_misses_a_place_is_refused():
    wrong = right(X) != 0
    wrong[5, 4] = False
    assert "5" in mistake(jacbench.prepare, stencil, X, "autograd.coloured-csr", pattern=wrong)


def test_factors_multiply_to_the_jacobian():
    jnp = pytest.importorskip("jax.numpy")
    rng = np.random.default_rng(0)
    wide, narrow = rng.standard_normal((2, 64)), rng.standard_normal((64, 2))

    def f(x):
        return jnp.sin(narrow.astype("float32") @ jnp.tanh(wide.astype("float32") @ x))

    x = rng.standard_normal(64).astype("float32")
    outer, inner = jacbench.factored_jacobian(f, x, "jax.factors")
    assert (outer.shape, inner.shape) == ((64, 2), (2, 64))
    whole = jacbench.jacobian(f, x, "jax.jacrev")
    np.testing.assert_allclose(outer @ inner, whole, rtol=1e-4, atol=1e-4)


def test_a_place_that_is_zero_at_x_alone_is_found_beside_it():
    def f(x):
        return anp.concatenate([x[:1] * x[1:2], x[1:]])

    x = np.array([0.0, *X[1:]])
    made = jacbench.prepare(f, x, "autograd.coloured-csr", guard="off")
    J = made(X).toarray()
    assert J[0, 1] == X[0]


def test_what_a_derivative_raises_is_one_line_that_names_the_users():
    def assigning(x):
        y = np.zeros(2)
        y[0], y[1] = x[1], x[0]
        return y

    def without_a_rule(x):
        return anp.atleast_1d(anp.median(x))

    x = np.array([0.3, 1.2])
    for method in ("autograd.jacobian", "autograd.jvp", "autograd.vjp-loop"):
        with pytest.raises(JacbenchError, match=r"raised ValueError: .* \(line \d+ of test_prep"):
            jacbench.prepare(assigning, x, method)(x)
        with pytest.raises(JacbenchError, match=r"median wrt argnums .* not defined"):
            jacbench.prepare(without_a_rule, x, method)(x)


def test_what_an_eager_method_cannot_do_is_one_line_at_its_first_call():
    jax = pytest.importorskip("jax")
    jnp = jax.numpy

    def loop(x):
        return jax.lax.while_loop(lambda v: v.sum() < 9, lambda v: 2 * v, x)

    x = jnp.ones(2)
    with pytest.raises(JacbenchError, match="JAX says: Reverse-mode differentiation"):
        jacbench.prepare(loop, x, "jax.vjp-loop")(x)
    with pytest.raises(JacbenchError, match=r"raised ValueError: Betainc gradient"):
        jacbench.prepare(lambda a: jax.scipy.special.betainc(a, 2.0, 0.3), x, "jax.jacrev")


def test_want_of_memory_stays_what_it_is(monkeypatch):
    def short(x):
        raise MemoryError

    prepared = jacbench.prepare(lambda x: x**2, np.ones(2), "autograd.jacobian")
    monkeypatch.setattr(prepared, "_call", short)
    with pytest.raises(MemoryError):
        prepared(np.ones(2))


def test_static_fields_are_those_it_was_prepared_for():
    jax = pytest.importorskip("jax")

    @jax.tree_util.register_dataclass
    @dataclasses.dataclass
    class Power:
        u: Any
        k: int = dataclasses.field(metadata={"static": True})

    prepared = jacbench.prepare(lambda p: p.u**p.k, Power(jax.numpy.ones(2), 3), "jax.jacrev")
    assert np.allclose(prepared(Power(2 * jax.numpy.ones(2), 3)).u, 12 * np.eye(2))
    with pytest.raises(JacbenchError, match="other static fields"):
        prepared(Power(jax.numpy.ones(2), 2))


def test_a_function_that_takes_the_memory_of_x_leaves_the_users_alone():
    jax = pytest.importorskip("jax")

    @functools.partial(jax.jit, donate_argnums=0)
    def donating(x):
        return x**2

    x = jax.numpy.arange(1.0, 3.0)
    for method in ("jax.jacrev", "jax.vjp-loop", "jax.jacfwd-eager"):
        prepared = jacbench.prepare(donating, x, method)
        for _ in range(2):
            assert np.allclose(prepared(x), np.diag([2.0, 4.0]))
        assert not x.is_deleted()


def _cut(library: str, x: Any) -> Any:
    """Return x ** 2, of which the library knows nothing."""
    if library == "jax":
        import jax

        return jax.lax.stop_gradient(x) ** 2
    if library == "torch":
        return x.detach() ** 2
    return np.array(getattr(x, "_value", x)) ** 2


@pytest.mark.parametrize(
    "method",
    [
        "torch.func.jacrev",
        "torch.coloured-csr",
        "jax.jacfwd",
        "jax.coloured-csr",
        "jax.vmap-jacrev",
        "autograd.jacobian",
        "autograd.per-sample",
    ],
)
@pytest.mark.filterwarnings("ignore:Output seems independent:UserWarning")
def test_zeros_of_a_graph_that_is_cut_are_refused_as_in_a_single_call(method: str) -> None:
    library = method.partition(".")[0]
    pytest.importorskip(library)
    backend = registry.load(library)
    axis = {"in_axis": 0} if "vmap" in method else {}
    x = np.linspace(0.3, 1.2, 4).astype("float32" if library == "jax" else "float64")
    with pytest.raises(JacbenchError, match="is 0 everywhere, but y moves with x") as told:
        jacbench.prepare(
            lambda x: _cut(library, x), backend.put(x, "cpu", str(x.dtype)), method, **axis
        )
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("method", ["torch.func.jacrev", "torch.coloured-csr"])
def test_zeros_by_right_are_prepared(method: str) -> None:
    torch = pytest.importorskip("torch")
    made = jacbench.prepare(torch.relu, torch.zeros(6, dtype=torch.float64), method)
    later = made(torch.arange(-3.0, 3.0, dtype=torch.float64))
    later = later.toarray() if "csr" in method else later.numpy()
    assert np.array_equal(later, np.diag([0.0, 0, 0, 0, 1, 1]))


def test_a_structure_is_looked_at_at_a_second_point_too(monkeypatch):
    pytest.importorskip("autograd")
    method, seen = registry.method("autograd.coloured"), []
    structured = method.structured

    def watched(target, before=None):
        seen.append(target)
        return structured(target, before)

    monkeypatch.setattr(method, "structured", watched)
    prepared = jacbench.prepare(lambda x: x * x, np.arange(1.0, 31.0), "autograd.coloured")
    assert np.array_equal(prepared(np.arange(30.0)), np.diag(2 * np.arange(30.0)))
    (target,) = seen
    assert target.elsewhere is not None
    assert (target.elsewhere != target.x).all()
