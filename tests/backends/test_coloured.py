"""Coloured Jacobians of each library against complex steps, by themselves."""

from __future__ import annotations

import functools
import importlib.util
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from jacbench.backend import Prepared, Target, UnfitError, registry
from jacbench.core import tree
from jacbench.core.errors import JacbenchError
from jacbench.core.pattern import Pattern
from jacbench.problems.problem import Problem
from jacbench.structure import compression
from tests import own_rule
from tests.backends.answers import jacobian

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.* is deprecated:DeprecationWarning")

LIBRARIES = ("torch", "jax", "autograd")
METHODS = [f"{library}.coloured{form}" for library in LIBRARIES for form in ("", "-csr")]
DIRECT = ["jax.asdex-csr", "jax.sparsejac-csr"]
LIMIT = {"float64": 1e-13, "float32": 1e-5}


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    if importlib.util.find_spec("jax") is None:
        yield
        return
    import jax

    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


RNG = np.random.default_rng(17)


def _burgers(xp: Any, u: Any) -> Any:
    left, here, right = u[:-2], u[1:-1], u[2:]
    return 0.1 * (right - 2 * here + left) - 0.5 * here * (right - left)


def _tree(xp: Any, x: Any) -> Any:
    a, b = x["a"], x["b"][0]
    return xp.stack([a[:-1] * b + xp.sin(a[1:]), b * b], axis=1)


def _stencil(xp: Any, u: Any) -> Any:
    around = u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:]
    return xp.exp(u[1:-1, 1:-1]) - around


PROBLEMS = {
    problem.name: problem
    for problem in (
        Problem(name="burgers", function=_burgers, x=RNG.uniform(0.5, 1.5, 50)),
        Problem(
            name="tree",
            function=_tree,
            x={"b": (RNG.uniform(0.5, 1.5, 29),), "a": RNG.uniform(0.5, 1.5, 30)},
        ),
        Problem(name="stencil", function=_stencil, x=RNG.uniform(0.5, 1.5, (9, 10))),
        Problem(
            name="samples last",
            function=lambda xp, x: xp.sum(x * xp.sin(x), axis=0),
            x=RNG.uniform(0.5, 1.5, (5, 40)),
        ),
        Problem(
            name="tall",
            function=lambda xp, x: xp.stack([x, x * x, xp.sin(x)], axis=1),
            x=RNG.uniform(0.5, 1.5, 20),
        ),
        Problem(
            name="a part without effect",
            function=lambda xp, x: x[:20] * x[:20],
            x=RNG.uniform(0.5, 1.5, 30),
        ),
    )
}


def put(library: str, value: Any, dtype: str) -> Any:
    pytest.importorskip(library)
    backend = registry.load(library)
    return tree.map_leaves(lambda leaf: backend.put(leaf, "cpu", dtype), value)


def target_of(library: str, problem: Problem, dtype: str = "float64", **rest: Any) -> Target:
    x, elsewhere = (put(library, value, dtype) for value in (problem.x, problem.elsewhere))
    xp, neutral = registry.load(library).xp, problem.function
    assert neutral is not None
    return Target(
        function=lambda x, *constants: neutral(xp, x, *constants),
        x=x,
        constants=(),
        y_shape=tuple(neutral(xp, x).shape),
        device="cpu",
        dtype=dtype,
        elsewhere=elsewhere,
        **rest,
    )


def prepared(method: str, target: Target) -> Prepared:
    chosen = registry.method(method)
    reason = chosen.unsupported(None, chosen.info.operator, "cpu", target.dtype)
    if reason is not None:
        pytest.skip(reason)
    return chosen.prepare(target)


def check(method: str, made: Prepared, target: Target, problem: Problem) -> None:
    """Look at shape, dtype and numbers at both points, and at x again."""
    library = method.partition(".")[0]
    backend = registry.load(library)
    n = sum(leaf.size for leaf in tree.leaves(problem.x))
    m = int(np.prod(target.y_shape))
    layout = made.layout or registry.method(method).layout(target)
    kept = []
    for point in (problem.elsewhere, problem.x, problem.elsewhere):
        native = made.call(put(library, point, target.dtype))
        assert backend.is_array(native)
        found = backend.to_numpy(native)
        shapes = [leaf.shape for leaf in tree.leaves(problem.x)]
        assert [found.shape] == layout.shapes(target.y_shape, shapes)
        assert str(found.dtype) == target.dtype
        matrix, expected = layout.matrix([found], m), jacobian(problem, point)
        assert matrix.shape == (m, n)
        assert np.allclose(matrix, expected, rtol=LIMIT[target.dtype], atol=LIMIT[target.dtype])
        kept.append((native, found))
    for native, found in kept:
        assert np.array_equal(backend.to_numpy(native), found)
    assert np.array_equal(kept[0][1], kept[2][1])


COMPILED = ("jax.coloured", *DIRECT)
"""Beside ``jax.coloured-csr``: what is their own takes no more than a tree and many colours."""

CASES = [
    (name, method)
    for method in (*METHODS, *DIRECT)
    for name in (("tree", "stencil") if method in COMPILED else PROBLEMS)
]


@pytest.mark.parametrize(("name", "method"), CASES)
def test_the_jacobian(name: str, method: str) -> None:
    problem = PROBLEMS[name]
    target = target_of(method.partition(".")[0], problem)
    made = prepared(method, target)
    check(method, made, target, problem)
    J = jacobian(problem, problem.x)
    assert made.notes["nnz"] == np.count_nonzero(J)
    fewest = min(np.count_nonzero(J, axis=axis).max() for axis in (0, 1))
    assert fewest <= made.notes["colours"] <= 2 * fewest, made.notes


@pytest.mark.parametrize("method", [*METHODS, *DIRECT])
def test_in_float32(method: str) -> None:
    problem = PROBLEMS["stencil"]
    target = target_of(method.partition(".")[0], problem, "float32")
    check(method, prepared(method, target), target, problem)


@pytest.mark.parametrize("method", [m for m in METHODS if not m.startswith("autograd")])
def test_chunks(method: str) -> None:
    problem = PROBLEMS["stencil"]
    target = target_of(method.partition(".")[0], problem, chunk_size=2)
    check(method, prepared(method, target), target, problem)


@pytest.mark.parametrize("method", [*METHODS, *DIRECT])
def test_what_is_dense_is_declined(method: str) -> None:
    C = RNG.standard_normal((40, 40))
    library = method.partition(".")[0]
    problem = Problem(
        name="dense", function=lambda xp, x, c: xp.sin(c @ x), x=np.ones(40), constants=(C,)
    )
    base = target_of(library, PROBLEMS["burgers"])
    xp = registry.load(library).xp
    target = Target(
        function=lambda x, c: xp.sin(c @ x),
        x=put(library, problem.x, "float64"),
        constants=(put(library, C, "float64"),),
        y_shape=(40,),
        device="cpu",
        dtype="float64",
        elsewhere=put(library, problem.elsewhere, "float64"),
    )
    assert base.y_shape == (48,)
    with pytest.raises(UnfitError, match=r"J is dense|1600 of 40 x 40 places") as raised:
        prepared(method, target)
    assert "\n" not in str(raised.value)
    assert registry.method(method).declined(raised.value) == str(raised.value)


@pytest.mark.parametrize("method", [*METHODS, *DIRECT])
def test_a_given_pattern(method: str) -> None:
    problem = PROBLEMS["burgers"]
    J = jacobian(problem, problem.x) != 0
    library = method.partition(".")[0]
    wider = J.copy()
    wider[3, 20] = True
    target = target_of(library, problem, pattern=Pattern.of(wider))
    made = prepared(method, target)
    assert made.notes["pattern"] == "given"
    check(method, made, target, problem)
    if made.layout is not None:
        assert made.layout.shapes(target.y_shape, []) == [(J.sum() + 1,)]
    fewer = J.copy()
    fewer[7, 8] = False
    target = target_of(library, problem, pattern=Pattern.of(fewer))
    with pytest.raises(JacbenchError, match=r"the given pattern is wrong: row 7 .* in column 8:"):
        prepared(method, target)


@pytest.mark.parametrize("method", [*METHODS, *DIRECT])
def test_the_layout_before_it_is_prepared(method: str) -> None:
    problem = PROBLEMS["burgers"]
    library = method.partition(".")[0]
    chosen = registry.method(method)
    if chosen.info.operator == "jacobian":
        assert chosen.layout(target_of(library, problem)).name == "(m, n)"
        return
    with pytest.raises(JacbenchError, match="finds the pattern when it is prepared"):
        chosen.layout(target_of(library, problem))
    pattern = Pattern.of(jacobian(problem, problem.x))
    given = target_of(library, problem, pattern=pattern)
    assert chosen.layout(given).name == f"({pattern.nnz},): the data of a CSR matrix"


# --- functions with one mode alone ---


@pytest.mark.parametrize("method", ["torch.coloured", "torch.coloured-csr"])
def test_torch_without_a_forward_rule(method: str) -> None:
    torch = pytest.importorskip("torch")

    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx: Any, v: Any) -> Any:
            return 3 * ctx.saved_tensors[0] ** 2 * v

    problem = Problem(
        name="cube", function=lambda xp, x: x[1:] ** 3 + x[:-1], x=RNG.uniform(0.5, 1.5, 40)
    )
    target = Target(
        **{
            **vars(target_of("torch", problem)),
            "function": lambda x: Cube.apply(x[1:]) + x[:-1],
        }
    )
    made = prepared(method, target)
    assert made.notes["compressed_by"] == "rows"
    assert "no forward mode here: " in str(made.notes["pattern_because"])
    check(method, made, target, problem)


def test_torch_tries_passes_and_names_the_one_it_keeps() -> None:
    pytest.importorskip("torch")
    from jacbench_torch import coloured

    problem = PROBLEMS["tree"]
    target = target_of("torch", problem)
    expected = jacobian(problem, problem.x)
    plan = coloured.compression_plan.plan(target, coloured.products(target))
    names = []
    for one in plan.compressions:
        for name, run in coloured.passes(target, one).items():
            data = one.data(run(target.x, None).detach().numpy())
            assert np.allclose(plan.pattern.dense(data), expected, rtol=1e-13), name
            names.append(name)
    assert set(names) >= {"forward, mapped", "forward, one by one"}
    made = prepared("torch.coloured", target)
    assert made.notes["passes"] in names


def test_of_two_ways_that_differ_the_first_is_taken() -> None:
    # both modes take three passes: the first is slow and right, the other quick and wrong
    for library, rule in (("torch", _wrong_back_in_torch), ("autograd", _wrong_back_in_autograd)):
        pytest.importorskip(library)
        sine = rule()
        problem = Problem(
            name="band",
            function=lambda xp, x: xp.sin(x[1:-1]) + x[:-2] * x[2:],
            x=RNG.uniform(0.5, 1.5, 30),
        )
        target = target_of(library, problem)
        f = functools.partial(_band, sine)
        made = prepared(f"{library}.coloured", Target(**{**vars(target), "function": f}))
        assert made.notes["compressed_by"] == "columns"
        check(f"{library}.coloured", made, target, problem)


def _band(sine: Any, x: Any) -> Any:
    return sine(x[1:-1]) + x[:-2] * x[2:]


def _wrong_back_in_torch() -> Any:
    def slowly(tangent: Any, cosine: Any) -> Any:
        time.sleep(0.002)
        return tangent * cosine

    return own_rule.sine(lambda g, cosine: 0.5 * g * cosine, slowly)


def _wrong_back_in_autograd() -> Any:
    from autograd.extend import defjvp, defvjp, primitive

    def pushed(g: Any, y: Any, x: Any) -> Any:
        time.sleep(0.002)
        return g * np.cos(x)

    @primitive
    def sine(x: Any) -> Any:  # not np.sin itself, whose rule for everybody this would become
        return np.sin(x)

    defvjp(sine, lambda y, x: lambda g: 0.5 * g * np.cos(x))
    defjvp(sine, pushed)
    return sine


@pytest.mark.parametrize("chunk_size", [None, 2])
def test_a_chunk_bounds_what_jax_computes_at_a_time(chunk_size: int | None) -> None:
    jax = pytest.importorskip("jax")
    sizes = []

    @jax.custom_batching.custom_vmap
    def slope(x: Any, t: Any) -> Any:
        return t * jax.numpy.cos(x)

    @slope.def_vmap
    def mapped(size: int, batched: Any, x: Any, t: Any) -> Any:
        sizes.append(size)
        axes = tuple(0 if one else None for one in batched)
        return jax.vmap(lambda x, t: t * jax.numpy.cos(x), in_axes=axes)(x, t), True

    @jax.custom_jvp
    def sine(x: Any) -> Any:
        return jax.numpy.sin(x)

    sine.defjvp(lambda x, t: (sine(*x), slope(*x, *t)))
    x = jax.numpy.asarray(RNG.uniform(0.5, 1.5, 30))
    target = Target(
        function=lambda x: sine(x) + jax.numpy.roll(x, 1) * jax.numpy.roll(x, 2),
        x=x,
        constants=(),
        y_shape=(30,),
        device="cpu",
        dtype="float64",
        elsewhere=x + 0.25,
        chunk_size=chunk_size,
    )
    made = prepared("jax.coloured-csr", target)
    assert made.notes["colours"] == 3
    # of three colours at a time, or two and one
    assert (3 in sizes) is (chunk_size is None)


def test_torch_where_a_parameter_requires_a_gradient() -> None:
    torch = pytest.importorskip("torch")
    weight = torch.ones(40, dtype=torch.float64, requires_grad=True)
    problem = Problem(name="closure", function=lambda xp, x: x * x, x=RNG.uniform(0.5, 1.5, 40))
    target = Target(**{**vars(target_of("torch", problem)), "function": lambda x: weight * x * x})
    for method in ("torch.coloured", "torch.coloured-csr"):
        made = prepared(method, target)
        assert not made.call(target.x).requires_grad
        check(method, made, target, problem)
    assert weight.grad is None


def test_torch_where_nothing_can_be_mapped() -> None:
    pytest.importorskip("torch")

    def function(x: Any) -> Any:
        return x * x if x.sum().item() > 0 else x

    problem = Problem(name="item", function=lambda xp, x: x * x, x=RNG.uniform(0.5, 1.5, 40))
    target = Target(**{**vars(target_of("torch", problem)), "function": function})
    made = prepared("torch.coloured-csr", target)
    check("torch.coloured-csr", made, target, problem)


@pytest.mark.parametrize("method", ["jax.coloured", "jax.coloured-csr"])
def test_jax_with_one_mode_alone(method: str) -> None:
    jax = pytest.importorskip("jax")

    @jax.custom_vjp
    def cube(x: Any) -> Any:
        return x**3

    cube.defvjp(lambda x: (x**3, x), lambda x, v: (3 * x**2 * v,))

    def halved(x: Any) -> Any:
        return jax.lax.while_loop(lambda x: (x > 1).any(), lambda x: x / 2, x * x)

    of_cube = Problem(
        name="cube", function=lambda xp, x: x[1:] ** 3 + x[:-1], x=RNG.uniform(0.5, 1.5, 40)
    )
    of_loop = Problem(
        name="loop",
        function=lambda xp, x: x * x / 2,
        x=RNG.uniform(1.1, 1.3, 40),
        elsewhere=RNG.uniform(1.1, 1.3, 40),
    )
    for problem, function, by, lacks in (
        (of_cube, lambda x: cube(x[1:]) + x[:-1], "rows", "forward"),
        (of_loop, halved, "columns", "reverse"),
    ):
        target = Target(**{**vars(target_of("jax", problem)), "function": function})
        made = prepared(method, target)
        assert made.notes["compressed_by"] == by
        assert f"no {lacks} mode here: " in str(made.notes["pattern_because"])
        check(method, made, target, problem)


# --- asdex and sparsejac ---


def test_what_is_not_installed_is_told_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("jax")
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name in ("asdex", "sparsejac") else found(name, *rest),
    )
    for method in DIRECT:
        module = method.partition(".")[2].removesuffix("-csr")
        said = registry.method(method).unsupported(None, "sparse_jacobian", "cpu", "float64")
        assert said == f'{module} is not installed: run pip install "jacbench[sparse]"'
    # and without asdex jacbench's own walk through the program finds the pattern
    problem = PROBLEMS["burgers"]
    target = target_of("jax", problem)
    made = prepared("jax.coloured-csr", target)
    assert made.notes["pattern"] == "program"
    check("jax.coloured-csr", made, target, problem)


def test_where_asdex_finds_the_pattern_it_holds_everywhere() -> None:
    pytest.importorskip("jax")
    pytest.importorskip("asdex")
    jnp = pytest.importorskip("jax.numpy")
    # x[0] x[1] is dead at x[1] = 0, and so is the other way round
    x = RNG.uniform(0.5, 1.5, 40)
    x[:2] = 0
    problem = Problem(
        name="dead",
        function=lambda xp, x: xp.concat([x[:1] * x[1:2], x[1:] * x[1:]]),
        x=x,
        elsewhere=np.concatenate([[0.0, 0.0], RNG.uniform(0.5, 1.5, 38)]),
    )
    target = target_of("jax", problem)
    made = prepared("jax.coloured-csr", target)
    assert made.notes["pattern"] == "asdex"
    assert made.notes["nnz"] == 41
    found = np.array(made.call(jnp.ones(40)))
    assert found.tolist() == [1.0, 1.0, *[2.0] * 39]


def test_what_asdex_cannot_trace_is_probed() -> None:
    jax = pytest.importorskip("jax")
    pytest.importorskip("asdex")
    segments = np.arange(40) // 2

    def function(x: Any) -> Any:
        return jax.ops.segment_sum(x * x, segments, num_segments=20)

    problem = Problem(
        name="pairs",
        function=lambda xp, x: xp.sum(xp.reshape(x * x, (20, 2)), axis=1),
        x=RNG.uniform(0.5, 1.5, 40),
    )
    target = Target(**{**vars(target_of("jax", problem)), "function": function})
    made = prepared("jax.coloured-csr", target)
    check("jax.coloured-csr", made, target, problem)
    assert made.notes["nnz"] == 40


@pytest.mark.parametrize("chunk_size", [None, 2])
@pytest.mark.parametrize("by", ["columns", "rows"])
def test_a_chunk_bounds_what_torch_computes_at_a_time(by: str, chunk_size: int | None) -> None:
    torch = pytest.importorskip("torch")
    from jacbench_torch import coloured

    count: list[int] = []
    x = torch.linspace(0.1, 0.6, 5, dtype=torch.float64)
    target = Target(
        function=own_rule.counted(count),
        x=x,
        constants=(),
        y_shape=(5,),
        device="cpu",
        dtype="float64",
        chunk_size=chunk_size,
    )
    dense = Pattern.of(np.ones((5, 5)))
    compress = {"columns": compression.by_columns, "rows": compression.by_rows}[by]
    ways = coloured.passes(target, compress(dense))
    (mapped,) = (way for name, way in ways.items() if name.endswith("mapped"))
    stacked = mapped(x, None)
    assert len(count) == (1 if chunk_size is None else 3)
    assert np.allclose(stacked.numpy(), np.diag(np.cos(x.numpy())), rtol=1e-15)
