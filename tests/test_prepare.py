"""A derivative prepared once, for many points; and the operators that use structure."""

from __future__ import annotations

import numpy as np
import pytest

import jacbench
from jacbench.errors import JacbenchError

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
