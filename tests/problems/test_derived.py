"""Problems made from others: by some inputs, of some outputs, by an intermediate value."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jacbench import problems
from jacbench.checking.reference import reference
from jacbench.core import tree
from jacbench.core.cell import Cell, CellResult, Verdict
from jacbench.core.errors import JacbenchError
from jacbench.core.function_types import untapped
from jacbench.core.known_fault import KnownFault
from jacbench.problems.counted_function import Calls
from jacbench.problems.problem import Problem
from jacbench.running.prepared_cells import Harness, Limits

# torch's own: the first use of forward mode
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")

NESTED = problems.get("wrt/dict-of-parameters")
NETWORK = problems.get("basics/mlp-weights")
LINEAR = problems.get("basics/linear-sum")
PATHS = tree.paths(NESTED.x)


@functools.cache
def matrix(problem: Problem, backend: str = "numpy") -> np.ndarray:
    return reference(problem, "float64", backend).here.jacobian


def by_hand(problem: Problem) -> np.ndarray:
    """Return what was written by hand, and make sure that it is right."""
    found = reference(problem, "float64")
    assert found.kind == "analytic"
    bare = reference(dataclasses.replace(problem, jacobian=None), "float64")
    assert bare.kind == "complex-step"
    for one, other in ((found.here, bare.here), (found.elsewhere, bare.elsewhere)):
        assert np.allclose(one.jacobian, other.jacobian, rtol=1e-12, atol=1e-14)
    return found.here.jacobian


@functools.cache
def blocks(problem: Problem) -> dict[str, np.ndarray]:
    """Return the columns of each leaf of x in the whole Jacobian, by path."""
    J = matrix(problem)
    columns = problem.columns().values()
    return {path: J[:, c] for path, c in zip(tree.paths(problem.x), columns, strict=True)}


def value(problem: Problem) -> np.ndarray:
    return Calls(problem, "numpy").value(problem.x, problem.constants)


def settled(problem: Problem, method: str, operator: str = "jacobian", **limits: Any) -> CellResult:
    backend = method.partition(".")[0]
    pytest.importorskip(backend)
    own = Harness(1, Limits(**limits), {problem.name: problem}, verify_pins=False)
    cell = Cell(problem.name, operator, method, backend, "cpu", "float64", 1)
    return own.settle(cell).result


def refused(call: Any) -> str:
    with pytest.raises(JacbenchError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- by some of the inputs ---


@settings(max_examples=15)  # of 127 sets
@given(st.sets(st.sampled_from(PATHS), min_size=1))
def test_columns_are_the_blocks_of_the_whole_in_the_order_of_sorted_keys(chosen: set[str]) -> None:
    some = NESTED.subset(*chosen)
    assert sorted(some.x) == sorted(chosen)
    assert tree.leaves(some.x)[0] is some.x[min(chosen)]
    expected = np.concatenate([blocks(NESTED)[path] for path in sorted(chosen)], axis=1)
    assert np.array_equal(by_hand(some), expected)
    assert np.array_equal(value(some), value(NESTED))
    assert list(some.columns()) == [f"[{path!r}]" for path in sorted(chosen)]


@pytest.mark.parametrize(
    ("patterns", "paths"),
    [
        (["2"], ["2.0", "2.1"]),
        (["2.*"], ["2.0", "2.1"]),
        (["2.0"], ["2.0"]),
        (["*.1"], ["0.1", "1.1", "2.1"]),
        (["[02]"], ["0.0", "0.1", "2.0", "2.1"]),
        (["2", "0.1", "2.0"], ["0.1", "2.0", "2.1"]),
        (["*"], ["0.0", "0.1", "1.0", "1.1", "2.0", "2.1"]),
    ],
)
def test_patterns_over_dotted_paths(patterns: list[str], paths: list[str]) -> None:
    some = NETWORK.subset(*patterns)
    assert list(some.x) == paths
    assert some.n == sum(leaf.size for leaf in tree.leaves(some.x))
    assert some.name == f"basics/mlp-weights[wrt={','.join(patterns)}]"


def test_a_prefix_ends_at_a_dot_and_keys_are_sorted_as_text() -> None:
    layers = [{"bias": np.array([float(k)]), "w": np.array([k, -k], float)} for k in range(1, 13)]

    def function(xp: Any, x: Any) -> Any:
        return xp.stack([xp.sum(layer["w"]) * layer["bias"][0] for layer in x])

    problem = Problem(name="deep", function=function, x=layers)
    assert list(problem.subset("1").x) == ["1.bias", "1.w"]
    some = problem.subset("*.bias")
    ordered = [str(k) for k in sorted(map(str, range(12)))]
    assert [path.partition(".")[0] for path in sorted(some.x)] == ordered
    biases = [blocks(problem)[f"{k}.bias"] for k in ordered]
    assert np.array_equal(matrix(some), np.concatenate(biases, axis=1))


def test_the_other_inputs_become_a_constant_at_both_points() -> None:
    some = NETWORK.subset("1")
    rest, batch = some.constants
    assert sorted(rest) == ["0.0", "0.1", "2.0", "2.1"]
    assert np.array_equal(batch, NETWORK.constants[0])
    for point, whole in ((some.x, NETWORK.x), (some.elsewhere, NETWORK.elsewhere)):
        assert np.array_equal(point["1.0"], whole[1][0])
    assert np.array_equal(rest["0.0"], NETWORK.x[0][0])


def test_samples_stay_where_they_are() -> None:
    assert NETWORK.subset("2").in_axes == (None, None, 0)
    x = {"a": np.ones((4, 3)), "b": np.full((4, 2), 2.0)}

    def function(xp: Any, x: Any, w: Any) -> Any:
        return x["a"] @ w * xp.sum(x["b"], axis=1)

    whole = Problem(
        name="batch", function=function, x=x, constants=(np.ones(3),), in_axes=(0, None)
    )
    assert whole.subset("a").in_axes == (0, 0, None)
    for method in ("torch.vmap-jacrev", "torch.sum-trick", "autograd.sample-loop"):
        found = settled(whole.subset("a"), method, "batch_jacobian")
        assert (found.verdict, found.reason) == (Verdict.AGREES, None)


def test_an_array_is_an_input_without_a_name() -> None:
    some = problems.get("basics/shifted-square").subset("*")
    assert np.array_equal(by_hand(some), matrix(problems.get("basics/shifted-square")))


def test_inputs_that_do_not_exist() -> None:
    assert refused(lambda: NETWORK.subset("0.0", "9")) == (
        "problem 'basics/mlp-weights': unknown input '9': it has 0.0, 0.1, 1.0, 1.1, 2.0, 2.1"
    )
    assert "did you mean 'input.gain'" in refused(lambda: NESTED.subset("input.gian"))
    assert "x holds no arrays" in refused(NETWORK.subset)


def test_paths_that_are_the_same_are_told() -> None:
    problem = Problem(
        name="dots",
        function=lambda xp, x: x["a.b"] * x["a"]["b"],
        x={"a.b": np.ones(2), "a": {"b": np.full(2, 3.0)}},
    )
    told = refused(lambda: problem.subset("a.b"))
    assert told == "problem 'dots': two inputs are called 'a.b': use keys without dots"


# --- of some of the outputs ---


@given(st.lists(st.integers(-20, 19), min_size=1, max_size=6))
def test_rows_are_those_of_the_whole_also_counted_from_the_end(rows: list[int]) -> None:
    some = NETWORK.outputs(rows)
    assert np.array_equal(by_hand(some), matrix(NETWORK)[rows])
    assert np.array_equal(value(some), value(NETWORK).reshape(-1)[rows])
    assert some.name == f"basics/mlp-weights[outputs={','.join(str(r % 20) for r in rows)}]"
    assert some.in_axes is None


def test_outputs_are_counted_in_c_order() -> None:
    problem = Problem(name="grid", function=lambda xp, x: xp.matrix_transpose(x), x=np.ones((2, 3)))
    assert np.array_equal(matrix(problem.outputs([1, 2])), np.eye(6)[[3, 1]])
    scalar = problems.get("basics/logistic-loss")
    assert np.array_equal(matrix(scalar.outputs([0])), matrix(scalar))


@pytest.mark.parametrize(
    "rows", [[20], [-21], [0, 3, 77], [], [0.5], [True, False], np.zeros(0, dtype=int)]
)
def test_outputs_that_do_not_exist(rows: Any) -> None:
    asked = np.asarray(rows).tolist()
    assert refused(lambda: NETWORK.outputs(rows)) == (
        f"problem 'basics/mlp-weights': outputs {asked} asked for, and it has 20: "
        "give numbers from 0 to 19"
    )


def test_what_stands_beside_the_outputs_stays_whole() -> None:
    def function(xp: Any, x: Any) -> Any:
        return x * x, {"twice": 2 * x}

    problem = Problem(name="aux", function=function, x=np.array([1.0, 2.0, 3.0]), has_aux=True)
    some = problem.outputs([2, 0])
    assert np.array_equal(matrix(some), [[0, 0, 6], [2, 0, 0]])
    y, aux = Calls(some, "numpy").value_and_aux(some.x, some.constants)
    assert y.tolist() == [9, 1]
    assert aux["twice"].tolist() == [2, 4, 6]
    for method in ("torch.func.jacrev-aux", "autograd.value-and-vjp-loop"):
        assert settled(some, method, "value_and_jacobian").verdict is Verdict.AGREES


# --- by an intermediate value ---


def test_the_sum_has_ones_by_what_it_sums() -> None:
    by_z = LINEAR.at("Z")
    assert by_z.name == "basics/linear-sum[wrt=Z]"
    assert by_z.intermediate == "Z"
    assert (by_z.x.shape, by_z.in_axes) == ((2, 2), None)
    assert not by_z.x.any()
    assert np.allclose(matrix(by_z), np.ones((1, 4)), rtol=1e-14)
    assert value(by_z) == value(LINEAR)
    assert np.array_equal(by_z.constants[0], LINEAR.x)


@pytest.mark.parametrize("method", ["torch.retain-grad", "torch.register-hook"])
def test_hooks_see_what_the_shift_gives(method: str) -> None:
    for problem in (LINEAR.at("Z"), deep().at("h1"), deep().at("h0")):
        found = settled(problem, method)
        assert (found.verdict, found.reason) == (Verdict.AGREES, None)
    found = settled(LINEAR, method)
    assert found.verdict is Verdict.UNSUPPORTED
    assert found.reason == (
        "takes derivatives by an intermediate value, and this problem names none: see Problem at"
    )


def deep() -> Problem:
    """Return a network of two layers that names what comes out of each."""
    rng = np.random.default_rng(5)

    def function(xp: Any, x: Any, layers: Any, tap: Any = untapped) -> Any:
        for k, (W, b) in enumerate(layers):
            x = tap(f"h{k}", xp.tanh(x @ W + b))
        return xp.sum(x, axis=1)

    layers = tuple(
        (rng.standard_normal((i, o)), rng.standard_normal(o)) for i, o in ((3, 4), (4, 2))
    )
    return Problem(
        name="deep",
        function=function,
        x=rng.standard_normal((2, 3)),
        constants=(layers,),
        tapped=True,
    )


def test_the_chain_rule_holds_through_an_intermediate_value() -> None:
    problem = deep()
    layers = problem.constants[0]
    h = np.tanh(problem.x @ layers[0][0] + layers[0][1])
    y = np.tanh(h @ layers[1][0] + layers[1][1])
    # of sample s: 1' diag(1 - y²) W', and nothing by the other sample
    expected = np.zeros((2, 2, 4))
    for s in range(2):
        expected[s, s] = (1 - y[s] ** 2) @ layers[1][0].T
    assert np.allclose(matrix(problem.at("h0")), expected.reshape(2, 8), rtol=1e-13)


def test_a_jacobian_by_the_shift_may_be_given() -> None:
    by_z = LINEAR.at("Z", jacobian=lambda shift, *_: np.ones((1, shift.size)))
    assert np.array_equal(by_hand(by_z), np.ones((1, 4)))
    assert settled(by_z, "numpy.analytic").verdict is Verdict.AGREES
    assert settled(LINEAR.at("Z"), "numpy.analytic").verdict is Verdict.UNSUPPORTED


def test_intermediate_values_that_do_not_exist() -> None:
    assert refused(lambda: deep().at("h7")) == (
        "problem 'deep': unknown intermediate value 'h7': did you mean 'h1' or 'h0'?"
    )
    assert refused(lambda: deep().at("logits")) == (
        "problem 'deep': unknown intermediate value 'logits': it passes h0, h1 through tap()"
    )
    told = refused(lambda: NETWORK.at("Z"))
    assert told == (
        "problem 'basics/mlp-weights': unknown intermediate value 'Z': it passes none through tap()"
    )
    # a shift has no intermediate values of its own
    assert "it passes none through tap()" in refused(lambda: LINEAR.at("Z").at("Z"))


def test_a_value_that_is_computed_twice_is_told() -> None:
    def function(xp: Any, x: Any, tap: Any = untapped) -> Any:
        return tap("h", tap("h", xp.sin(x)) * 2)

    problem = Problem(name="twice", function=function, x=np.ones(2), tapped=True)
    assert refused(lambda: problem.at("h")) == (
        "problem 'twice': intermediate value 'h' is computed 2 times in one evaluation: give each "
        "its own name"
    )


# --- by name, in brackets ---


def test_brackets_name_inputs_and_intermediate_values() -> None:
    by_z = problems.get("basics/linear-sum[wrt=Z]")
    assert (by_z.name, by_z.intermediate) == ("basics/linear-sum[wrt=Z]", "Z")
    assert np.allclose(matrix(by_z), np.ones((1, 4)))
    last = problems.get("basics/mlp-weights[wrt=2]")
    assert (last.name, last.n) == ("basics/mlp-weights[wrt=2]", 4)
    assert np.array_equal(by_hand(last), matrix(NETWORK)[:, -4:])
    both = problems.get("basics/mlp-weights[wrt=0.1,2]")
    assert list(both.x) == ["0.1", "2.0", "2.1"]
    small = problems.get("basics/mlp-weights[batch=3,wrt=*.1]")
    assert (matrix(small).shape, list(small.x)) == ((3, 8), ["0.1", "1.1", "2.1"])


def test_names_in_brackets_that_do_not_exist_list_those_that_do() -> None:
    assert refused(lambda: problems.get("basics/linear-sum[wrt=W]")) == (
        "problem 'basics/linear-sum[wrt=W]': unknown input or intermediate value 'W': inputs: "
        "x alone; intermediate values: Z"
    )
    told = refused(lambda: problems.get("basics/mlp-weights[wrt=0,7]"))
    assert told.endswith("inputs: 0.0, 0.1, 1.0, 1.1, 2.0, 2.1; intermediate values: none")


def test_a_whole_family_by_the_same_inputs() -> None:
    name = "basics/mlp-*[wrt=2]"
    assert problems.matching([name]) == ["basics/mlp-weights[wrt=2]"]


# --- what is carried along ---


def test_known_faults_are_cut_in_the_same_way() -> None:
    fault = KnownFault(
        methods=("torch.*",),
        jacobian=lambda x, c: 2 * matrix_of_tree(x, c),
        reason="twice",
        link="https://example.org",
    )

    def matrix_of_tree(x: Any, c: Any) -> np.ndarray:
        return np.concatenate([np.diag(c * x["b"]), np.diag(c * x["a"])], axis=1)

    problem = Problem(
        name="faulty",
        function=lambda xp, x, c: c * x["a"] * x["b"],
        x={"a": np.array([1.0, 2.0]), "b": np.array([3.0, 5.0])},
        constants=(np.array([7.0, 11.0]),),
        jacobian=matrix_of_tree,
        known_faults=(fault,),
        tapped=False,
    )
    for some in (problem.subset("b"), problem.outputs([1]), problem.outputs([-1]).subset("a")):
        (carried,) = some.known_faults
        assert (carried.methods, carried.reason, carried.link) == (
            fault.methods,
            fault.reason,
            fault.link,
        )
        assert np.array_equal(carried.jacobian(some.x, *some.constants), 2 * by_hand(some))
    assert LINEAR.at("Z").known_faults == ()


def test_derived_problems_can_be_derived_again() -> None:
    J, columns = matrix(NETWORK), NETWORK.columns()
    last = np.concatenate([J[:, columns["[2][0]"]], J[:, columns["[2][1]"]]], axis=1)
    for some in (NETWORK.subset("2").outputs([3, -1]), NETWORK.outputs([3, -1]).subset("2")):
        assert np.array_equal(by_hand(some), last[[3, -1]])
        assert settled(some, "torch.func.jacrev").verdict is Verdict.AGREES
    once = NETWORK.subset("1", "2").subset("2.*")
    assert np.array_equal(by_hand(once), last)
    by_h0 = matrix(deep().at("h0"))
    for some in (deep().outputs([1]).at("h0"), deep().at("h0").outputs([-1])):
        assert np.allclose(matrix(some), by_h0[1:], rtol=1e-14)
        assert settled(some, "autograd.vjp-loop").verdict is Verdict.AGREES
    assert settled(deep().outputs([1]).at("h0"), "torch.retain-grad").verdict is Verdict.AGREES
    # rows of something by a shift: the value itself is not at hand any more, and that is said
    found = settled(deep().at("h0").outputs([1]), "torch.retain-grad")
    assert (found.verdict, found.reason) == (
        Verdict.UNSUPPORTED,
        "takes derivatives by an intermediate value, and this problem names none: see Problem at",
    )


@pytest.mark.parametrize(
    "method", ["torch.func.jacrev", "torch.func.jacfwd", "jax.jacrev", "autograd.jacobian"]
)
def test_each_library_agrees(method: str) -> None:
    derived = (NESTED.subset("layers", "scale").outputs([0, -1]), deep().at("h0"))
    for problem in derived[: 1 if method.startswith("jax.") else 2]:
        found = settled(problem, method)
        assert (found.verdict, found.reason) == (Verdict.AGREES, None)


# --- functions of one library ---

MODULE = """
def function(x, c, tap=lambda name, value: value):
    a = tap("a", x["w"][0] * c)
    return (a + x["b"]) ** 2
"""


@pytest.mark.parametrize("spelling", ["callable", "module:name"])
def test_native_functions_are_derived_too(
    spelling: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    name = f"written_for_{spelling.partition(':')[0]}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    function: Any = f"{name}:function"
    if spelling == "callable":
        space: dict[str, Any] = {}
        exec(MODULE, space)  # noqa: S102 - the very text of the module
        function = space["function"]
    w, b, c = np.array([0.5, 2.0, -1.0]), np.array([1.0, 3.0, 0.5]), np.array([2.0, -1.0, 0.25])
    problem = Problem(
        name="native",
        native={"torch": function},
        x={"w": (w,), "b": b},
        constants=(c,),
        tapped=True,
    )
    by_b = 2 * (w * c + b)
    expected = {
        problem.subset("w"): np.diag(by_b * c),
        problem.subset("b").outputs([-1]): np.diag(by_b)[2:],
        problem.outputs([2, 0]): np.concatenate([np.diag(by_b), np.diag(by_b * c)], 1)[[2, 0]],
        problem.at("a"): np.diag(by_b),
        problem.subset("w").at("a"): np.diag(by_b),
    }
    for some, right in expected.items():
        assert np.allclose(matrix(some, "torch"), right, rtol=1e-12)
        for method in ("torch.func.jacrev", "torch.grad-loop"):
            found = settled(some, method)
            assert (found.verdict, found.reason) == (Verdict.AGREES, None)
            assert found.reference == "consensus"
        by_hook = settled(some, "torch.register-hook")
        is_at = some.intermediate is not None
        assert by_hook.verdict is (Verdict.AGREES if is_at else Verdict.UNSUPPORTED)
        other = settled(some, "numpy.complex-step")
        assert other.reason == f"problem {some.name!r} is written for torch alone"


def fields(problem: Problem) -> dict[str, Any]:
    return {field.name: getattr(problem, field.name) for field in dataclasses.fields(problem)}


def test_no_derived_problem_changes_its_base() -> None:
    before = fields(LINEAR)
    for derived in (LINEAR.at("Z"), LINEAR.outputs([0]), LINEAR.subset("*")):
        assert derived is not LINEAR
    assert fields(LINEAR) == before


def test_the_hooks_leave_aux_alone() -> None:
    pytest.importorskip("torch")

    def function(xp: Any, x: Any, tap: Any = untapped) -> Any:
        z = tap("z", xp.sin(x))
        return xp.square(z), {"z": z}

    base = Problem(
        name="both", function=function, x=np.array([0.3, 0.8]), tapped=True, has_aux=True
    )
    problem = base.at("z")
    own = Harness(1, Limits(), {problem.name: problem}, verify_pins=False)
    for method in ("torch.retain-grad", "torch.register-hook", "torch.func.jacrev"):
        cell = Cell(problem.name, "jacobian", method, "torch", "cpu", "float64", 1)
        result = own.settle(cell).result
        assert result.verdict is Verdict.AGREES, (method, result.reason, result.traceback)
