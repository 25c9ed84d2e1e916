"""A user's function is recognised, and the lines that name it run; or one line says why not."""

from __future__ import annotations

import dataclasses
import functools
import math
import sys
import types
from collections.abc import Callable
from importlib import metadata
from typing import Any

import numpy as np
import pytest

from jacbench.backend import registry
from jacbench.picking.loading import subject
from jacbench.picking.loading.inputs import Inputs
from jacbench.picking.loading.recognition import libraries, owner_of
from jacbench.problems.problem import Problem
from tests.picking import subjects
from tests.picking.subjects import (
    OWN,
    X,
    evaluated,
    host,
    jax_f,
    neutral_f,
    pasted,
    refusal,
    torch_f,
)

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
jnp = pytest.importorskip("jax.numpy")
anp = pytest.importorskip("autograd.numpy")

pytestmark = [
    # torch's own, at the first use of forward mode
    pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning"),
]

float64 = subjects.float64


# Which library


def test_a_library_that_is_not_asked_is_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded, load = set(), registry.load
    monkeypatch.setattr(registry, "load", lambda name: loaded.add(name) or load(name))
    subject.of(lambda x: x * anp.sin(x), np.ones(3))
    assert loaded <= {"autograd", "numpy"}


@pytest.mark.parametrize("library", OWN)
@pytest.mark.parametrize("as_numpy", [False, True])
def test_a_function_of_each_library(library: str, as_numpy: bool) -> None:
    f, array, kind = OWN[library]
    found = subject.of(f, X if as_numpy else array(X))
    assert found.backends == (library,)
    assert found.kind == kind
    assert found.dtype == "float64"
    assert found.device == "cpu"
    assert found.notes == ()
    assert found.evaluates_float64
    assert found.problem.native[library] is f
    assert found.problem.x.tolist() == X.tolist()
    assert np.allclose(evaluated(found), np.sin(X) * X, rtol=1e-14)
    assert (found.spelling.f, found.spelling.x, found.spelling.library) == (
        f.__name__,
        "x",
        library,
    )
    y, x = pasted(found.spelling, x=X if as_numpy else array(X), **{f.__name__: f})
    assert owner_of(x) == (None if library == "autograd" else library)
    assert np.allclose(host(y), np.sin(X) * X, rtol=1e-14)


def with_closure(library: str) -> Any:
    module = {"torch": torch, "jax": jnp, "autograd": anp}[library]

    def helper(x: Any) -> Any:
        return module.sin(x) * x

    def f(x: Any) -> Any:
        return helper(x)

    return f


class Holder:
    """Has the function as a method, and holds it."""

    def __init__(self, f: Any) -> None:
        self.f = f

    def method(self, x: Any) -> Any:
        return self.f(x)

    __call__ = method


def imports_inside(library: str) -> Any:
    module = {"torch": "torch", "jax": "jax.numpy", "autograd": "autograd.numpy"}[library]
    scope: dict[str, Any] = {"__name__": "nowhere"}
    code = f"def f(x):\n    import {module} as m\n    return m.sin(x) * x"
    exec(code, scope)  # noqa: S102
    return scope["f"]


def as_lambda(f: Any) -> Any:
    return lambda x: 1.0 * f(x)


def in_a_list(functions: list[Any]) -> Any:
    def f(x: Any) -> Any:
        return functions[0](x)

    return f


FORMS: dict[str, Callable[[str], Any]] = {
    "closure": with_closure,
    "lambda": lambda library: as_lambda(OWN[library][0]),
    "partial": lambda library: functools.partial(lambda scale, x: OWN[library][0](x) * scale, 1.0),
    "default": lambda library: lambda x, f=OWN[library][0]: f(x),
    "bound method": lambda library: Holder(OWN[library][0]).method,
    "instance": lambda library: Holder(OWN[library][0]),
    "wrapped": lambda library: functools.wraps(OWN[library][0])(
        lambda *a, f=OWN[library][0]: f(*a)
    ),
    "imports inside": imports_inside,
    "in a list": lambda library: in_a_list([OWN[library][0]]),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("library", OWN)
def test_the_forms_a_function_has(form: str, library: str) -> None:
    f = FORMS[form](library)
    # the partial's lambda has a table of all before it: what differentiates decides
    assert libraries(f)[0] == library or form == "partial"
    found = subject.of(f, X)
    assert found.backends == (library,)
    assert np.allclose(evaluated(found, library), np.sin(X) * X, rtol=1e-14)


def test_a_jitted_and_a_compiled_function() -> None:
    assert libraries(jax.jit(lambda x: x)) == ("jax",)
    assert subject.of(jax.jit(jax_f), X).backends == ("jax",)
    assert subject.of(jax.jit(lambda x: x**2), X).backends == ("jax",)
    assert "torch" in libraries(torch.sin)
    assert subject.of(torch.sin, X).backends == ("torch",)
    assert subject.of(jnp.sin, X).backends == ("jax",)
    assert subject.of(anp.sin, X).backends == ("autograd",)


def test_operators_alone_are_of_every_library() -> None:
    scope: dict[str, Any] = {"__name__": "nowhere"}
    exec("def f(x): return x ** 2 + x[0]", scope)  # noqa: S102
    found = subject.of(scope["f"], X)
    assert set(found.backends) == set(OWN)
    assert found.kind == "function of operators"
    for backend in found.backends:
        assert np.allclose(evaluated(found, backend), X**2 + X[0])
        y, _ = pasted(found.spelled(backend), x=X, f=scope["f"])
        assert np.allclose(host(y), X**2 + X[0])
    # with an array of its own it is that library's
    assert subject.of(scope["f"], torch.tensor(X)).backends == ("torch",)


def test_what_the_file_imports_decides_on_operators() -> None:
    scope: dict[str, Any] = {"__name__": "nowhere", "jnp": jnp}
    exec("def f(x): return x ** 2", scope)  # noqa: S102
    assert subject.of(scope["f"], X).backends == ("jax",)


def test_numpy_alone() -> None:
    scope: dict[str, Any] = {"__name__": "nowhere", "np": np}
    exec("def f(x): return np.linalg.eigvals(np.outer(x, x)).real", scope)  # noqa: S102
    assert refusal(scope["f"], X) == (
        "f uses NumPy alone, through which nothing differentiates: write import autograd.numpy as "
        "np, or import jax.numpy as np, in its place, or write it as f(xp, x)"
    )


def test_an_error_of_its_own_is_told() -> None:
    scope: dict[str, Any] = {"__name__": "nowhere"}
    exec("def f(x): return x @ [[1.0, 2.0]]", scope)  # noqa: S102
    assert refusal(scope["f"], X).startswith("f: its function raised ValueError: ")

    def broken(x: Any) -> Any:
        return torch.linalg.inv(x)

    assert refusal(broken, X).startswith("broken: its function raised ")
    assert refusal(lambda x: torch.tensor([math.nan]) + x, X).endswith(
        "choose a point where it is finite"
    )


def test_arrays_of_another_library() -> None:
    assert refusal(torch_f, jnp.asarray(X)) == (
        "torch_f is written for torch, and x is an array of JAX: pass one of torch, or NumPy's"
    )
    assert refusal(jax_f, torch.tensor(X)).startswith("jax_f is written for JAX, and x is an array")
    assert refusal(torch_f, (torch.tensor(X), jnp.asarray(X))) == (
        "torch_f: x holds arrays of JAX and torch: convert them to one library"
    )
    found = subject.of(torch_f, Inputs(arguments=(jnp.asarray(X),), convertible=True))
    assert found.backends == ("torch",)
    assert found.notes == ("x is an array of JAX: converted to torch",)
    y, _ = pasted(found.spelling, torch_f=torch_f, x=jnp.asarray(X))
    assert np.allclose(host(y), np.sin(X) * X)


def test_nothing_is_called_to_see_what_it_refers_to() -> None:
    def loud(x: Any) -> Any:
        raise AssertionError

    assert libraries(lambda x: loud(torch.sin(x))) == ("torch",)


# Over xp, and problems


@pytest.mark.parametrize("x", [X, torch.tensor(X), X.tolist()], ids=["numpy", "torch", "list"])
def test_a_function_over_xp(x: Any) -> None:
    found = subject.of(neutral_f, x)
    assert found.kind == "function over xp"
    assert set(found.backends) == {*OWN, "numpy"}
    assert found.backends[-1] == "numpy"
    assert found.problem.function is neutral_f
    for backend in found.backends:
        assert np.allclose(evaluated(found, backend), np.sin(X) * X)
        y, _ = pasted(found.spelled(backend), neutral_f=neutral_f, x=x)
        assert np.allclose(host(y), np.sin(X) * X)


def test_more_arguments_over_xp() -> None:
    def f(xp: Any, a: Any, b: Any, power: int) -> Any:
        return xp.sin(a) * b**power

    given = Inputs(arguments=(X, 2 * X, 3), names=("a", "b", "power"), argnum=1)
    found = subject.of(f, given)
    assert found.problem.x.tolist() == (2 * X).tolist()
    for backend in found.backends:
        assert np.allclose(evaluated(found, backend), np.sin(X) * (2 * X) ** 3)
        y, x = pasted(found.spelled(backend), f=f, a=X, b=2 * X, power=3)
        assert np.allclose(host(y), np.sin(X) * (2 * X) ** 3)
        assert np.allclose(host(x), 2 * X)


def test_a_problem() -> None:
    neutral = Problem(name="a/b", function=neutral_f, x=X)
    found = subject.of(neutral)
    assert found.problem is neutral
    assert found.kind == "jacbench.Problem"
    assert set(found.backends) == {*OWN, "numpy"}
    native = Problem(
        name="a/c",
        native={"jax": lambda x, c: (jax_f(x) * c, x), "torch": torch_f},
        x=X,
        constants=(X,),
        has_aux=True,
    )
    assert subject.of(native).backends == ("jax", "torch")
    jax.config.update("jax_enable_x64", False)  # as in a process that runs the lines alone
    y, _ = pasted(subject.of(native).spelled("jax"), problem=native)
    assert y.dtype == "float64"
    assert np.allclose(host(y), np.sin(X) * X * X)
    for backend in found.backends:
        y, _ = pasted(found.spelled(backend), problem=neutral)
        assert np.allclose(host(y), np.sin(X) * X)
    assert refusal(neutral, X) == "problem 'a/b' has its own x: pass no other"
    integers = Problem(name="a/d", function=neutral_f, x=np.arange(3))
    assert "which has no derivative" in refusal(integers)


def test_a_backend_that_builds_on_another_takes_nothing_from_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from jacbench_torch.backend import TorchBackend

    from jacbench.backend import registry
    from jacbench.picking.loading import recognition

    class Evil(TorchBackend):
        pass

    own = registry.descriptors()["torch"]
    evil = dataclasses.replace(own, name="evil", methods=(), loader="evil_backend:Evil")
    module = types.ModuleType("evil_backend")
    module.Evil = Evil  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "evil_backend", module)
    entry = types.SimpleNamespace(name="evil", value="", load=lambda: evil)
    every = metadata.entry_points(group=registry.GROUP)
    monkeypatch.setattr(metadata, "entry_points", lambda **_: [entry, *every])
    caches = (registry._entries, recognition._packages)
    for cache in caches:
        cache.cache_clear()
    try:
        assert "evil" in registry.descriptors()
        assert owner_of(torch.ones(2)) == "torch"
        assert libraries(torch_f) == ("torch",)
        assert subject.of(torch_f, torch.ones(2)).backends == ("torch",)
        assert subject.of(torch.nn.Linear(2, 2), torch.ones(2)).backends == ("torch",)
    finally:
        monkeypatch.undo()
        for cache in caches:
            cache.cache_clear()
