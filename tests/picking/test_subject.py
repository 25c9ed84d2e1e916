"""A user's function is recognised, and the lines that name it run; or one line says why not."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from jacbench import registry, tree
from jacbench.errors import JacbenchError
from jacbench.evaluator import Evaluator
from jacbench.picking import inputs, named, subject
from jacbench.picking.inputs import Inputs
from jacbench.picking.recognition import libraries, owner_of
from jacbench.picking.spelling import Spelling
from jacbench.picking.subject import Subject
from jacbench.problem import Problem

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
autograd = pytest.importorskip("autograd")
jnp = jax.numpy
anp = pytest.importorskip("autograd.numpy")

pytestmark = [
    # torch's own, at the first use of forward mode
    pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning"),
]

Write = Callable[..., str]
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
        return Evaluator(problem, name).value(problem.x, problem.constants)


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


# Which library


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
    assert "returned a tuple, not an array" in refusal(lambda x: (torch.sin(x), x), X)


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
    y, _ = pasted(subject.of(native).spelled("jax"), problem=native)
    assert np.allclose(host(y), np.sin(X) * X * X)
    for backend in found.backends:
        y, _ = pasted(found.spelled(backend), problem=neutral)
        assert np.allclose(host(y), np.sin(X) * X)
    assert refusal(neutral, X) == "problem 'a/b' has its own x: pass no other"
    integers = Problem(name="a/d", function=neutral_f, x=np.arange(3))
    assert "which has no derivative" in refusal(integers)


# Arguments


@pytest.mark.parametrize("library", OWN)
def test_other_arguments_are_constants(library: str) -> None:
    module = {"torch": torch, "jax": jnp, "autograd": anp}[library]
    array = OWN[library][1]

    def f(a: Any, tree: Any, b: Any, flag: str, *, shift: float) -> Any:
        assert flag == "on"
        assert isinstance(tree["steps"], int)
        return module.sin(b) * a * tree["w"] + shift

    values = {"a": array(X), "tree": {"w": array(X), "steps": 3}, "b": array(2 * X), "flag": "on"}
    given = Inputs(
        arguments=tuple(values.values()),
        names=tuple(values),
        argnum=2,
        keywords={"shift": 1.0},
    )
    found = subject.of(f, given)
    assert found.backends == (library,)
    expected = np.sin(2 * X) * X * X + 1
    assert len(found.problem.constants) == 2
    assert np.allclose(evaluated(found), expected)
    y, x = pasted(found.spelling, f=f, shift=1.0, **values)
    assert np.allclose(host(y), expected)
    assert np.allclose(host(x), 2 * X)


def test_a_function_that_takes_its_arguments_in_order_is_left_as_it_is() -> None:
    def f(x: Any, w: Any) -> Any:
        return torch.sin(x) * w["w"]

    given = Inputs(arguments=(torch.tensor(X), {"w": torch.tensor(X)}), names=("x", "w"))
    found = subject.of(f, given)
    assert found.problem.native["torch"] is f
    assert np.allclose(evaluated(found), np.sin(X) * X)


@pytest.mark.parametrize("library", OWN)
def test_a_tree(library: str) -> None:
    module, array = {"torch": torch, "jax": jnp, "autograd": anp}[library], OWN[library][1]

    def f(x: Any) -> Any:
        return module.sin(x["w"][0]) * x["c"]

    x = {"w": [array(X)], "c": array(X)}
    for given in (x, {"w": [X], "c": X}):
        found = subject.of(f, given)
        assert found.backends == (library,)
        assert tree.names(found.problem.x) == ["['c']", "['w'][0]"]
        y, _ = pasted(found.spelling, f=f, x=given)
        assert np.allclose(host(y), np.sin(X) * X)


def test_plain_numbers() -> None:
    found = subject.of(torch_f, X.tolist())
    assert found.notes == ("x is a list of plain numbers: taken as an array",)
    assert found.problem.x.shape == (3,)
    y, _ = pasted(found.spelling, torch_f=torch_f, x=X.tolist())
    assert np.allclose(host(y), np.sin(X) * X)
    assert subject.of(jax_f, 2).problem.x.shape == ()
    found = subject.of(lambda x: jnp.sin(x["a"]) * x["b"], {"a": 1.0, "b": 2.0})
    assert tree.names(found.problem.x) == ["['a']", "['b']"]


@pytest.mark.parametrize(
    ("x", "told"),
    [
        (np.arange(3), "x is of dtype int64, which has no derivative: pass floats, or make it a "),
        (X.astype("float16"), "x is of dtype float16: Jacobians are computed in float64 or "),
        (X + 1j, "x is of dtype complex128: a complex input has no real Jacobian"),
        ("text", "x is a str, not an array: pass an array, or a dict, list or tuple of them"),
        ({"a": X, "b": object()}, "x['b'] is an object, not an array"),
        (np.array([]), "problem 'torch_f': x is empty"),
        (np.array([np.nan]), "problem 'torch_f': x is not finite"),
    ],
    ids=["int", "half", "complex", "text", "object", "empty", "nan"],
)
def test_an_x_without_a_derivative(x: Any, told: str) -> None:
    assert told in refusal(torch_f, x)


def test_what_is_no_function() -> None:
    assert refusal(3, X) == (
        "an int is no function: pass a function of x, a module of a library, or a jacbench.Problem"
    )
    assert refusal(torch.nn.Linear, X).startswith("Linear is a class: pass an instance of it")
    assert refusal(torch_f) == "torch_f: there is no x: pass the point at which to differentiate"
    assert refusal(torch_f, X, dtype="float16") == "dtype 'float16': give float64 or float32"
    assert refusal(torch_f, X, output=0).startswith("torch_f: output=0 is for modules")


# Precision


def narrow(library: str) -> Any:
    """Return a function that holds float32 values."""
    module, array = {"torch": torch, "jax": jnp, "autograd": anp}[library], OWN[library][1]
    w = array(X.astype("float32"))
    if library == "torch":
        return lambda x: w @ x * torch.sin(x)
    return lambda x: (module.sin(x) * w).astype("float32")


@pytest.mark.parametrize("library", OWN)
def test_a_function_without_a_value_in_float64(library: str) -> None:
    found = subject.of(narrow(library), OWN[library][1](X.astype("float32")))
    assert found.dtype == "float32"
    assert not found.evaluates_float64
    (note,) = found.notes
    assert note.startswith("it has no value in float64 (")
    assert note.endswith("): what is right is settled in float32")


@pytest.mark.parametrize("library", OWN)
def test_it_takes_numpys_numbers_all_the_same(library: str) -> None:
    found = subject.of(narrow(library), X)
    assert found.dtype == "float32"
    assert not found.evaluates_float64
    y, x = pasted(found.spelling, f=narrow(library), x=X)
    assert str(x.dtype).endswith("float32")
    assert str(y.dtype).endswith("float32")


def test_float64_where_it_was_asked_for() -> None:
    assert "its function raised RuntimeError" in refusal(narrow("torch"), X, dtype="float64")
    found = subject.of(torch_f, X, dtype="float32")
    assert found.dtype == "float32"
    assert found.evaluates_float64
    assert found.notes == ()
    _, x = pasted(found.spelling, torch_f=torch_f, x=X)
    assert x.dtype == torch.float32


@pytest.mark.parametrize("library", OWN)
def test_float32_stays(library: str) -> None:
    f, array, _ = OWN[library]
    found = subject.of(f, array(X.astype("float32")))
    assert found.dtype == "float32"
    assert found.evaluates_float64
    assert found.notes == ()
    assert found.problem.x.dtype == "float64"


def test_a_function_that_holds_float64_values() -> None:
    w = jnp.asarray(X)
    found = subject.of(lambda x: jnp.sin(x) * w, jnp.asarray(X, dtype="float32"))
    assert found.dtype == "float64"
    assert found.notes == ("its value is float64 where x is float32: computed in float64",)


def test_leaves_of_two_dtypes() -> None:
    found = subject.of(lambda x: jnp.sin(x[0]) * x[1], (X, X.astype("float32")))
    assert found.dtype == "float64"
    assert found.notes == ("x holds float32 and float64: computed in float64",)


@as_jax_comes
def test_jax_as_it_comes() -> None:
    found = subject.of(jax_f, X)
    assert found.dtype == "float32"
    assert found.evaluates_float64
    assert found.notes == ("JAX makes float32 of x here: jax_enable_x64 is off",)
    assert evaluated(found).dtype == "float64"
    assert not jax.config.jax_enable_x64
    asked = subject.of(jax_f, X, dtype="float64")
    assert asked.dtype == "float64"
    assert asked.spelling.setup[:2] == (
        "import jax",
        'jax.config.update("jax_enable_x64", True)',
    )
    y, _ = pasted(asked.spelling, jax_f=jax_f, x=X)
    assert y.dtype == "float64"


@as_jax_comes
def test_arrays_that_widen_once_float64_is_on() -> None:
    def f(x: Any) -> Any:
        return jnp.sin(x) * jnp.ones(3)

    x = jnp.asarray(X)
    here = subject.of(f, x)
    assert (here.dtype, here.notes) == ("float32", ())
    there = subject.of(f, Inputs(arguments=(x,), convertible=True))
    assert there.dtype == "float64"
    assert there.notes == (
        "with jax_enable_x64 on, as it is while measuring, its value is float64 for a float32 x: "
        "computed in float64",
    )
    assert 'jax.config.update("jax_enable_x64", True)' in there.spelling.setup
    assert there.evaluates_float64


# Modules


class Net(torch.nn.Module):
    """Two layers, in float32 as torch makes them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = torch.nn.Linear(3, 4), torch.nn.Linear(4, 2)

    def forward(self, x: Any) -> Any:
        return self.last(torch.tanh(self.first(x)))


def test_a_torch_module() -> None:
    net = Net()
    x = torch.tensor(X, dtype=torch.float32)
    expected = host(net(x))
    for given, notes in (
        (x, ()),
        (X, ("x is converted to float32, in which the module computes",)),
    ):
        found = subject.of(net, given)
        assert found.kind == "torch.nn.Module"
        assert found.backends == ("torch",)
        assert (found.dtype, found.device, found.notes) == ("float32", "cpu", notes)
        assert found.evaluates_float64
        assert np.allclose(evaluated(found), expected, rtol=1e-5)
        assert found.spelling.f == "model"
        y, _ = pasted(found.spelling, model=net, x=given)
        assert np.allclose(host(y), expected, rtol=1e-5)
    assert subject.of(net.double(), X).dtype == "float64"
    assert refusal(net, jnp.asarray(X)).startswith("model is a module of torch, and x is an array")


def test_a_torch_module_by_its_parameters() -> None:
    net = Net()
    found = subject.of(net, X, wrt="parameters", name="net", f="net")
    assert set(found.problem.x) == {name for name, _ in net.named_parameters()}
    y, params = pasted(found.spelling, net=net, x=X)
    assert list(params) == [name for name, _ in net.named_parameters()]
    assert np.allclose(host(y), evaluated(found), rtol=1e-5)
    tokens = torch.nn.Sequential(torch.nn.Embedding(5, 3), torch.nn.Linear(3, 2))
    assert refusal(tokens, torch.arange(3)).endswith("wrt='parameters' differentiates by those")
    assert subject.of(tokens, torch.arange(3), wrt="parameters").dtype == "float32"
    assert "give 'parameters' or 'inputs'" in refusal(net, X, wrt="weights")


def test_a_module_that_holds_plain_tensors() -> None:
    class Plain(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = torch.tensor(X, dtype=torch.float32)

        def forward(self, x: Any) -> Any:
            return self.w @ x * torch.sin(x)

    found = subject.of(Plain(), X)
    assert found.kind == "torch.nn.Module"
    assert (found.dtype, found.evaluates_float64) == ("float32", False)


def test_a_module_of_several_inputs() -> None:
    class Step(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(3, 3)

        def forward(self, state: Any, action: Any) -> Any:
            return {"next": self.layer(state) * action}

    step = Step().double()
    given = Inputs(arguments=(X, 2 * X), names=("state", "action"), argnum=1)
    found = subject.of(step, given, output="next")
    assert found.problem.x.tolist() == (2 * X).tolist()
    y, x = pasted(found.spelling, model=step, state=X, action=2 * X)
    assert np.allclose(host(x), 2 * X)
    assert np.allclose(host(y), evaluated(found), rtol=1e-12)
    assert "output='next'" in refusal(step, given)


@as_jax_comes
def test_an_equinox_module() -> None:
    eqx = pytest.importorskip("equinox")
    model = eqx.nn.MLP(3, 2, 4, 1, key=jax.random.key(0))
    found = subject.of(model, X)
    assert found.kind == "Equinox module"
    assert (found.backends, found.dtype) == (("jax",), "float32")
    y, _ = pasted(found.spelling, model=model, x=X)
    assert np.allclose(y, evaluated(found), rtol=1e-5)
    found = subject.of(model, X, wrt="parameters")
    y, _ = pasted(found.spelling, model=model, x=X)
    assert np.allclose(y, evaluated(found), rtol=1e-5)


@as_jax_comes
def test_a_flax_module() -> None:
    nnx = pytest.importorskip("flax.nnx")
    model = nnx.Linear(3, 2, rngs=nnx.Rngs(0))
    for wrt in ("inputs", "parameters"):
        found = subject.of(model, jnp.asarray(X), wrt=wrt)
        assert found.kind == "Flax NNX module"
        y, _ = pasted(found.spelling, model=model, x=jnp.asarray(X))
        assert np.allclose(y, evaluated(found), rtol=1e-5)


def test_a_linen_module() -> None:
    linen = pytest.importorskip("flax.linen")
    assert refusal(linen.Dense(2), X).endswith(
        "is a Flax Linen module, which holds no parameters: pass the function "
        "lambda x: model.apply(variables, x)"
    )


# From a command line


def of_named(text: str, **options: Any) -> Subject:
    found = named.load(text)
    wrt = options.pop("wrt", "inputs")
    return subject.of_named(found, inputs.find(found, **options), wrt=wrt)


@pytest.mark.parametrize(
    ("text", "library"),
    [
        ("import torch\nx = torch.ones(3)\ndef f(x): return torch.sin(x)", "torch"),
        ("import jax.numpy as jnp\nx = jnp.ones(3)\ndef f(x): return jnp.sin(x)", "jax"),
        ("import autograd.numpy as np\nx = np.ones(3)\ndef f(x): return np.sin(x)", "autograd"),
        ("import jax\nimport numpy as np\nx = np.ones(3)\nf = jax.jit(lambda x: x ** 2)", "jax"),
        (
            "import torch\ndef inputs(): return torch.ones(3), torch.ones(3)\n"
            "def f(x, w): return torch.sin(x) * w",
            "torch",
        ),
        (
            "import torch, jax.numpy as jnp\nx = jnp.ones(3)\ndef f(x): return torch.sin(x)",
            "torch",
        ),
        ("import torch\nx = torch.ones(3)\nf = torch.nn.Linear(3, 2)", "torch"),
        ("import torch\nx = torch.ones(3)\ndef f(): return torch.nn.Linear(3, 2)", "torch"),
        (
            "import torch\nclass Model:\n    def run(self, x): return torch.sin(x)\n"
            "model = Model()\nf = model.run\nx = torch.ones(3)",
            "torch",
        ),
    ],
)
def test_what_a_file_names(write: Write, text: str, library: str) -> None:
    write(text)
    found = of_named("model.py:f")
    assert found.backends == (library,)
    assert found.problem.name.startswith("model.py:f")
    y, x = pasted(found.spelling)
    assert owner_of(x) == (None if library == "autograd" else library)
    if "nn" not in text:  # which starts anew from other random numbers
        assert np.allclose(host(y), evaluated(found), rtol=1e-6)


def test_a_shape_for_a_module(write: Write) -> None:
    write("import torch\nnet = torch.nn.Linear(3, 2)")
    found = of_named("model.py:net", shape=["5,3"])
    assert found.dtype == "float32"
    assert found.problem.x.shape == (5, 3)
    y, x = pasted(found.spelling)
    assert x.dtype == torch.float32
    assert y.shape == (5, 2)


def test_a_module_that_is_named_by_an_import(write: Write) -> None:
    write("", "project/__init__.py")
    write("import torch\nx = torch.ones(3)\ndef f(x): return torch.sin(x)", "project/model.py")
    found = of_named("project.model:f")
    assert found.problem.name == "project.model:f"
    assert found.spelling.setup == ("from project.model import f, x",)


def test_a_problem_in_a_file(write: Write) -> None:
    write("""
        import numpy as np
        from jacbench import Problem
        found = Problem(name="a/b", function=lambda xp, x: xp.sin(x), x=np.ones(3))
    """)
    found = of_named("model.py:found")
    assert found.problem.name == "a/b"
    y, _ = pasted(found.spelled("torch"))
    assert np.allclose(host(y), np.sin(1.0))


def test_nothing_is_called_to_see_what_it_refers_to() -> None:
    def loud(x: Any) -> Any:
        raise AssertionError

    assert libraries(lambda x: loud(torch.sin(x))) == ("torch",)
