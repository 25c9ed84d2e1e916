"""Every recipe is run as a user would paste it, and gives what its method gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jacbench as jb
from jacbench.backend import recipes, registry
from jacbench.backend.user_code import Spelling
from jacbench.core import tree

pytestmark = [
    # torch's own: the first use of forward mode, and torch.func.linearize
    pytest.mark.filterwarnings("ignore:`torch.jit.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Attempted to insert a get_attr Node:UserWarning"),
    # and of Inductor
    pytest.mark.filterwarnings("ignore:`torch._prims_common.check:FutureWarning"),
]

LIBRARIES = ("torch", "jax", "autograd")
OPERATOR = {
    info.name: info.operator
    for name in LIBRARIES
    for info in registry.descriptors()[name].methods
    if info.operator in ("jacobian", "batch_jacobian")
    and info.structure in ("", "samples")
    and not info.by_intermediate
}
"""What has to have a recipe."""

SETUP = {
    "torch": (
        "import torch",
        "W = torch.linspace(-1, 1, 6, dtype=torch.float64).reshape(3, 2)",
        "def loss_residual(X): return torch.tanh(X @ W) + X[:, :1] ** 2",
        "inputs = torch.linspace(-1, 2, 12, dtype=torch.float64).reshape(4, 3)",
    ),
    "jax": (
        "import jax.numpy as jnp",
        "W = jnp.linspace(-1, 1, 6).reshape(3, 2)",
        "def loss_residual(X): return jnp.tanh(X @ W) + X[:, :1] ** 2",
        "inputs = jnp.linspace(-1, 2, 12).reshape(4, 3)",
    ),
    "autograd": (
        "import autograd.numpy as np",
        "W = np.linspace(-1, 1, 6).reshape(3, 2)",
        "def loss_residual(X): return np.tanh(np.dot(X, W)) + X[:, :1] ** 2",
        "inputs = np.linspace(-1, 2, 12).reshape(4, 3)",
    ),
}
"""Samples along the first axis, three inputs and two outputs each."""

AXES = {
    0: ("loss_residual", "inputs"),
    1: ("lambda X: loss_residual(X.T)", "inputs.T"),
    -1: ("lambda X: loss_residual(X.T)", "inputs.T"),
}


def library_of(method: str) -> str:
    name = method.partition(".")[0]
    pytest.importorskip(name)
    reason = registry.method(method).unsupported(None, OPERATOR[method], "cpu", "float64")
    if reason is not None:
        pytest.skip(reason)
    return name


def spelled(library: str, f: str = "loss_residual", x: str = "inputs", *more: str) -> Spelling:
    return Spelling((*SETUP[library], *more), f, x, library)


def lines(
    method: str, spelling: Spelling, chunk_size: int | None = None, **facts: Any
) -> list[str] | None:
    return registry.load(spelling.library).recipe(method, spelling, chunk_size, facts)


def ran(spelling: Spelling, recipe: list[str] | None) -> dict[str, Any]:
    """Return what is there once the setup and the recipe have run."""
    assert recipe is not None
    assert not any("\n" in line or line != line.rstrip() for line in recipe)
    assert max(map(len, recipe)) <= 100
    names: dict[str, Any] = {}
    exec(compile("\n".join([*spelling.setup, "", *recipe]), "<pasted>", "exec"), names)  # noqa: S102
    return names


PLAIN = {
    "jacobian": {
        "torch": "torch.func.jacrev",
        "jax": "jax.jacrev",
        "autograd": "autograd.jacobian",
    },
    "batch_jacobian": {
        "torch": "torch.vmap-jacrev",
        "jax": "jax.vmap-jacrev",
        "autograd": "autograd.sample-loop",
    },
}
"""By operator and library, the method whose answer all recipes have to give, asked once for each
function and point: that every method gives it too is the contract's."""

_ANSWERS: dict[tuple[Any, ...], Any] = {}


def answer(method: str, names: dict[str, Any], spelling: Spelling, axis: int = 0) -> Any:
    operator = OPERATOR[method]
    key = operator, spelling, axis
    if key not in _ANSWERS:
        f, x = eval(spelling.f, names), eval(spelling.x, names)  # noqa: S307
        plain = PLAIN[operator][library_of(method)]
        if operator == "jacobian":
            _ANSWERS[key] = jb.jacobian(f, x, plain)
        else:
            _ANSWERS[key] = jb.batch_jacobian(f, x, plain, in_axis=axis)
    return _ANSWERS[key]


def agree(found: Any, expected: Any) -> None:
    assert tree.names(found) == tree.names(expected)
    for one, other in zip(tree.leaves(found), tree.leaves(expected), strict=True):
        assert tuple(one.shape) == tuple(other.shape)
        assert one.dtype == other.dtype
        limit = 1e-5 if str(one.dtype) == "float32" else 1e-13
        assert np.allclose(np.asarray(one), np.asarray(other), rtol=limit, atol=limit)


def test_there_is_a_recipe_for_every_method() -> None:
    for library in LIBRARIES:
        pytest.importorskip(library)
        every = {method for method in OPERATOR if method.startswith(f"{library}.")}
        assert every == {m for m in every if lines(m, spelled(library)) is not None}


@pytest.mark.parametrize("method", OPERATOR)
def test_a_recipe_computes_what_its_method_computes(method: str) -> None:
    spelling = spelled(library_of(method))
    names = ran(spelling, lines(method, spelling))
    agree(names["J"], answer(method, names, spelling))


@pytest.mark.parametrize(
    "method", [m for m, o in OPERATOR.items() if o == "batch_jacobian" or m.endswith("per-sample")]
)
@pytest.mark.parametrize("axis", AXES)
def test_samples_lie_along_any_axis(method: str, axis: int) -> None:
    spelling = spelled(library_of(method), *AXES[axis])
    names = ran(spelling, lines(method, spelling, in_axes=(axis,)))
    agree(names["J"], answer(method, names, spelling, axis))


WAYS = {
    "torch.per-sample": ("grad", "grad-batched", "jvp"),
    "jax.per-sample": ("vjp", "jvp"),
    "autograd.per-sample": ("vjp", "jvp"),
}


@pytest.mark.parametrize(("method", "way"), [(m, way) for m, ways in WAYS.items() for way in ways])
@pytest.mark.parametrize("axis", AXES)
def test_the_way_that_a_method_chose_is_the_one_pasted(method: str, way: str, axis: int) -> None:
    spelling = spelled(library_of(method), *AXES[axis])
    recipe = lines(method, spelling, in_axes=(axis,), way=way)
    names = ran(spelling, recipe)
    agree(names["J"], answer(method, names, spelling, axis))
    said = {
        "grad": "torch.autograd.grad(",
        "grad-batched": "is_grads_batched=True",
        "vjp": "vjp(",
        "jvp": "linearize(" if method.startswith("jax.") else "jvp(",
    }
    assert any(said[way] in line for line in recipe or [])


CHUNKED = (
    *("torch.grad-batched", "torch.vmap-vjp", "torch.vmap-jvp", "torch.func.jacrev"),
    *("torch.func.linearize", "torch.vmap-jacrev", "torch.vmap-jacfwd", "torch.per-sample"),
    *("jax.map-vjp", "jax.sample-loop"),
)


@pytest.mark.parametrize("method", CHUNKED)
def test_chunks(method: str) -> None:
    library = library_of(method)
    assert registry.method(method).chunking == "chunked"
    ways: tuple[str, ...] = WAYS.get(method, ("",))
    for way in ways:
        spelling = spelled(library)
        recipe = lines(method, spelling, 3, way=way)
        if way != "grad":  # one at a time anyway
            assert any("3" in line for line in recipe or [])
        names = ran(spelling, recipe)
        agree(names["J"], answer(method, names, spelling))


# --- shapes of y and x ---

FORMS = {
    "a number of a vector": ("lambda X: (loss_residual(X) ** 2).sum()", "inputs[:, :]"),
    "a vector of a number": ("lambda t: loss_residual(t * inputs)[0]", "W[0, 0] * 1"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "method",
    [m for m, operator in OPERATOR.items() if operator == "jacobian" and "compile" not in m],
)
def test_forms(method: str, form: str) -> None:
    if method.endswith("per-sample"):
        return  # there are no samples in them
    library = library_of(method)
    spelling = spelled(library, *FORMS[form])
    if library == "autograd" and form == "a vector of a number":
        spelling = spelled(library, FORMS[form][0], "np.array(0.5)")
    names = ran(spelling, lines(method, spelling))
    agree(names["J"], answer(method, names, spelling))


TREES = {
    "torch": ("torch.func.jacrev", "torch.func.jacfwd"),
    "jax": (
        *("jax.jacrev", "jax.jacfwd", "jax.jacrev-eager", "jax.jacfwd-eager", "jax.vjp-loop"),
        *("jax.map-vjp", "jax.vmap-jacrev", "jax.vmap-jacfwd"),
    ),
    "autograd": (),
}


OF_TREE = (
    "def of_tree(t): return loss_residual(t['b']) * t['a'][0][:, :1]",
    "x = dict(b=inputs * 2, a=(inputs,))",
)


@pytest.mark.parametrize("method", [m for m in OPERATOR if "compile" not in m])
def test_trees_where_the_library_takes_them(method: str) -> None:
    library = library_of(method)
    spelling = spelled(library, "of_tree", "x", *OF_TREE)
    recipe = lines(method, spelling, tree=True)
    assert (recipe is not None) == (method in TREES[library])
    if recipe is not None:
        names = ran(spelling, recipe)
        agree(names["J"], answer(method, names, spelling))


@pytest.mark.parametrize(
    "method", ["torch.grad-loop", "torch.sum-trick", "jax.linearize", "autograd.per-sample"]
)
def test_what_has_no_recipe_runs_through_jacbench(method: str) -> None:
    spelling = spelled(library_of(method), "of_tree", "x", *OF_TREE)
    recipe = recipes.through_jacbench(method, OPERATOR[method], spelling, None, {"tree": True})
    names = ran(spelling, recipe)
    agree(names["J"], answer(method, names, spelling))


# --- names ---


@pytest.mark.parametrize("library", LIBRARIES)
def test_names_of_the_users_stand_in_nobodys_way(library: str) -> None:
    pytest.importorskip(library)
    for f, x in (("jacobian", "y"), ("rows", "f"), ("x", "J"), ("y", "x")):
        more = (f"{x}, {f} = inputs, loss_residual",)
        spelling = spelled(library, f, x, *more)
        method = {"torch": "torch.grad-loop", "jax": "jax.map-vjp"}.get(
            library, "autograd.vjp-loop"
        )
        names = ran(spelling, lines(method, spelling))
        plain = ran(spelled(library), lines(method, spelled(library)))
        agree(names["J"], plain["J"])


def test_an_expression_is_computed_once() -> None:
    torch = pytest.importorskip("torch")
    spelling = Spelling(
        (
            *SETUP["torch"],
            "made = []",
            "def point(): made.append(1); return inputs",
        ),
        "torch.nn.Sequential(torch.nn.Flatten())",
        "point()",
        "torch",
    )
    recipe = lines("torch.vmap-vjp", spelling)
    names = ran(spelling, recipe)
    assert len(names["made"]) == 1
    assert torch.equal(names["J"].reshape(12, 12), torch.eye(12, dtype=torch.float64))
    assert (recipe or [])[0] == "f, x = torch.nn.Sequential(torch.nn.Flatten()), point()"


def test_imports_are_not_repeated() -> None:
    pytest.importorskip("torch")
    pytest.importorskip("jax")
    bare = Spelling((), "loss", "x", "torch")
    assert lines("torch.func.jacrev", bare) == [
        "import torch",
        "",
        "J = torch.func.jacrev(loss)(x)",
    ]
    there = Spelling(("import torch",), "loss", "x", "torch")
    assert lines("torch.func.jacrev", there) == ["J = torch.func.jacrev(loss)(x)"]
    assert lines("jax.jacrev", Spelling((), "loss", "x", "jax")) == [
        "import jax",
        "",
        "# outside of any loop: the first call traces and compiles",
        "jacobian = jax.jit(jax.jacrev(loss))",
        "J = jacobian(x)",
    ]


# --- what has no plain form ---


def test_what_maps_one_sample_is_not_pasted_where_the_function_holds_others() -> None:
    for library, alone in (
        ("torch", ("torch.vmap-jacrev", "torch.vmap-jacfwd", "torch.sample-loop")),
        ("jax", ("jax.vmap-jacrev", "jax.vmap-jacfwd", "jax.sample-loop")),
        ("autograd", ("autograd.sample-loop",)),
    ):
        pytest.importorskip(library)
        for method in alone:
            assert lines(method, spelled(library), in_axes=(0, 0)) is None
            assert lines(method, spelled(library), in_axes=(0, None)) is not None
        assert lines(f"{library}.sum-trick", spelled(library), in_axes=(0, 0)) is not None
        assert lines(f"{library}.per-sample", spelled(library), in_axes=(0, 0)) is not None


def test_other_operators_have_no_recipe() -> None:
    for library in LIBRARIES:
        pytest.importorskip(library)
        for info in registry.descriptors()[library].methods:
            if info.name not in OPERATOR:
                assert lines(info.name, spelled(library)) is None
    assert (
        registry.load("numpy").recipe("numpy.analytic", Spelling((), "f", "x", "numpy"), None, {})
        is None
    )


def test_jacbench_is_asked_for_the_rest() -> None:
    spelling = Spelling((), "loss", "x", "jax")
    told = recipes.through_jacbench(
        "jax.coloured-csr", "sparse_jacobian", spelling, None, {"pattern": "problem.pattern"}
    )
    assert told[-2].endswith('"jax.coloured-csr", pattern=problem.pattern)')
    told = recipes.through_jacbench("jax.coloured-csr", "sparse_jacobian", spelling, None, {})
    assert told[:2] == ["import jacbench", ""]
    assert told[-2:] == [
        'jacobian = jacbench.prepare(loss, x, "jax.coloured-csr")',
        "J = jacobian(x)",
    ]
    there = Spelling(("import jacbench",), "loss", "x", "jax")
    told = recipes.through_jacbench("jax.map-vjp", "jacobian", there, 8, {"in_axes": (1,)})
    assert told[1:] == [
        'jacobian = jacbench.prepare(loss, x, "jax.map-vjp", chunk_size=8)',
        "J = jacobian(x)",
    ]
    told = recipes.through_jacbench(
        "jax.sum-trick", "batch_jacobian", there, None, {"in_axes": (1,)}
    )
    assert told[1] == 'jacobian = jacbench.prepare(loss, x, "jax.sum-trick", in_axis=1)'


@pytest.mark.parametrize(
    "method", [m for m in OPERATOR if "compile" not in m and OPERATOR[m] == "jacobian"]
)
@pytest.mark.filterwarnings("ignore:Output seems independent of input")
def test_what_is_pasted_holds_for_a_y_that_is_constant(method: str) -> None:
    library = library_of(method)
    spelling = spelled(
        library, "constant", "inputs", "def constant(X): return loss_residual(inputs)"
    )
    way = {"way": "grad"} if registry.method(method).info.structure else {}
    names = ran(spelling, lines(method, spelling, zero=True, **way))
    assert tuple(names["J"].shape) == (4, 2, 4, 3)
    assert not np.asarray(names["J"]).any()
