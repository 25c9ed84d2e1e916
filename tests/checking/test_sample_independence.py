"""Samples that see each other are found, and samples that do not are never accused."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import jacbench as jb
from jacbench.backend import registry
from jacbench.checking import sample_independence
from jacbench.checking.reference import reference
from jacbench.core.cell import Verdict
from jacbench.core.errors import JacbenchError
from jacbench.problems.problem import Problem
from jacbench.running import selection
from jacbench.running.prepared_cells import Harness, Limits
from jacbench.running.selection import Selection
from jacbench.structure.sample_coupling import coupled, masks, told_of

# torch's own: the first use of forward mode
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")


class Counted:
    """A function of NumPy arguments that counts its evaluations."""

    def __init__(self, function: Callable[..., np.ndarray]) -> None:
        self.function = function
        self.evaluations = 0

    def __call__(self, arguments: list[Any]) -> np.ndarray:
        self.evaluations += 1
        return self.function(*arguments)


def at_most(count: int) -> int:
    """Return how many evaluations a batch of ``count`` may take."""
    return 2 * math.ceil(math.log2(count)) + 1 if count > 1 else 1


def chained(pairs: set[tuple[int, int]]) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that adds to sample j something of sample i, for each pair (i, j)."""

    def function(x: np.ndarray) -> np.ndarray:
        y = np.sin(x)
        for i, j in pairs:
            y[j] += 0.01 * np.sum(x[i] ** 2)
        return y

    return function


def points(count: int, seed: int = 0, features: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, features))


# --- a coupling is found ---


@st.composite
def single_pairs(draw: st.DrawFn) -> tuple[int, tuple[int, int]]:
    count = draw(st.integers(2, 300))
    i = draw(st.integers(0, count - 1))
    j = draw(st.integers(0, count - 2))
    return count, (i, j + (j >= i))


@given(asked=single_pairs(), seed=st.integers(0, 3))
def test_one_coupled_pair_is_found_with_few_evaluations(
    asked: tuple[int, tuple[int, int]], seed: int
) -> None:
    count, (i, j) = asked
    value = Counted(chained({(i, j)}))
    found = coupled(value, [points(count, seed)], (0,), seed=seed)
    assert found is not None
    moved, changed = found
    assert changed == j
    assert i in moved
    assert j not in moved
    assert value.evaluations <= at_most(count) + 1  # what changed is looked at once more, unmoved


@given(data=st.data(), count=st.integers(2, 40))
def test_what_is_named_really_changed(data: st.DataObject, count: int) -> None:
    sample = st.integers(0, count - 1)
    pairs = data.draw(st.sets(st.tuples(sample, sample), min_size=1, max_size=5))
    pairs = {(i, j) for i, j in pairs if i != j}
    found = coupled(Counted(chained(pairs)), [points(count)], (0,))
    assert (found is None) == (not pairs)
    if found is not None:
        moved, changed = found
        assert changed not in moved
        assert any((i, changed) in pairs for i in moved)


@given(count=st.integers(1, 500))
def test_any_two_samples_are_parted_both_ways(count: int) -> None:
    every = np.array(list(masks(count)), dtype=bool).reshape(-1, count)
    assert len(every) == at_most(count) - 1
    # parted[i, j]: some mask moves i and leaves j where it is
    parted = (every[:, :, None] & ~every[:, None, :]).any(axis=0)
    assert np.array_equal(parted, ~np.eye(count, dtype=bool))


def test_as_many_random_halves_would_miss_pairs() -> None:
    count = 16
    rng = np.random.default_rng(0)
    halves = []
    while len(halves) < at_most(count) - 1:
        half = rng.permutation(count) < count // 2
        halves += [half, ~half]
    missed, ours = set(), list(masks(count))
    for i, j in itertools.permutations(range(count), 2):
        if not any(half[i] and not half[j] for half in halves):
            missed.add((i, j))
        assert any(mask[i] and not mask[j] for mask in ours)
    # 1 in 2^4 is expected of four halves and their complements
    assert len(missed) > 5
    for i, j in missed:
        assert coupled(Counted(chained({(i, j)})), [points(count)], (0,)) is not None


@pytest.mark.parametrize(("axis", "shape"), [(0, (5, 3)), (1, (3, 5)), (-1, (3, 5)), (-2, (5, 3))])
def test_samples_lie_along_any_axis(axis: int, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).standard_normal(shape)

    def apart(x: np.ndarray) -> np.ndarray:
        return np.moveaxis(x, axis, 0) ** 2

    def together(x: np.ndarray) -> np.ndarray:
        y = apart(x)
        return y - y.mean(axis=0)

    assert coupled(Counted(apart), [x], (axis,)) is None
    assert coupled(Counted(together), [x], (axis,)) is not None


def test_samples_of_a_constant_and_of_a_tree_are_moved_too() -> None:
    w, c = np.ones(2), {"a": points(6), "b": (points(6, 1),)}

    def apart(w: np.ndarray, c: Any) -> np.ndarray:
        return np.tanh(c["a"] @ w) * c["b"][0].sum(axis=1)

    def together(w: np.ndarray, c: Any) -> np.ndarray:
        return np.tanh(c["a"] @ w) * c["b"][0].sum()

    assert coupled(Counted(apart), [w, c], (None, 0)) is None
    assert coupled(Counted(together), [w, c], (None, 0)) is not None


def test_whole_numbers_move_to_a_neighbour_s() -> None:
    table, ids = points(4), np.array([3, 1, 0, 2, 1, 3, 0])
    seen = []

    def rows(table: np.ndarray, ids: np.ndarray) -> np.ndarray:
        seen.append(ids)
        return table[ids]

    def centred(table: np.ndarray, ids: np.ndarray) -> np.ndarray:
        return table[ids] - table[ids].mean(axis=0)

    assert coupled(Counted(rows), [table, ids], (None, 0)) is None
    assert {i for some in seen for i in some.tolist()} == {0, 1, 2, 3}
    assert coupled(Counted(centred), [table, ids], (None, 0)) is not None


def test_what_is_given_is_left_as_it_is() -> None:
    arguments = [points(5), {"labels": np.arange(5)}]
    before = [arguments[0].copy(), arguments[1]["labels"].copy()]
    coupled(Counted(lambda x, c: x * c["labels"][:, None]), arguments, (0, 0))
    assert np.array_equal(arguments[0], before[0])
    assert np.array_equal(arguments[1]["labels"], before[1])


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_an_output_that_is_no_number_any_more_has_changed() -> None:
    lowest = []

    def value(x: np.ndarray) -> np.ndarray:
        lowest.append(x[0, 0])
        return x + 0 * np.sqrt(x[0, 0] - 1)  # seen by the others as nothing, or as no number

    x = points(16)
    x[0, 0] = 1
    found = coupled(Counted(value), [x], (0,))
    assert min(lowest) < 1
    assert found is not None


def test_a_positive_input_stays_positive() -> None:
    x = np.array([[1e-9, 3.0], [0.2, 7.0], [40.0, 1e-5]])
    seen = []

    def logarithms(x: np.ndarray) -> np.ndarray:
        seen.append(x)
        return np.log(x)

    for seed in range(20):
        assert coupled(Counted(logarithms), [x], (0,), seed=seed) is None
    assert min(some.min() for some in seen) > 0


# --- independent samples are not accused ---


@given(
    count=st.integers(1, 64),
    width=st.integers(1, 40),
    dtype=st.sampled_from(["float64", "float32"]),
    seed=st.integers(0, 1000),
)
def test_independent_samples_are_never_accused(
    count: int, width: int, dtype: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((count, width)).astype(dtype)
    W = rng.standard_normal((width, 3)).astype(dtype)

    def network(x: np.ndarray, W: np.ndarray) -> np.ndarray:
        # another order of summation, and so other rounding, in every evaluation
        order = rng.permutation(width)
        return np.tanh(x[:, order].astype(dtype) @ W[order].astype(dtype))

    value = Counted(network)
    assert coupled(value, [x, W], (0, None), seed=seed, dtype=dtype) is None
    assert value.evaluations == at_most(count)


# --- what is random is not called coupled ---


def test_an_output_that_changes_without_any_move_is_told_as_that() -> None:
    rng = np.random.default_rng(0)
    value = Counted(lambda x: x * (rng.random(x.shape) < 0.5))  # a dropout in train mode
    found = coupled(value, [points(4)], (0,))
    assert found is not None
    assert found[0] == []
    told = told_of(*found)
    assert "interact" not in told
    assert "changes from call to call" in told
    assert value.evaluations == 3


# --- batch norm and its like, in cells of every backend ---

COUNT, FEATURES = 5, 3
X = 1.5 * points(COUNT, 7, FEATURES) + 0.3


def batch_norm(xp: Any, x: Any) -> Any:
    centred = x - xp.mean(x, axis=0, keepdims=True)
    return xp.tanh(centred / xp.sqrt(xp.mean(centred * centred, axis=0, keepdims=True) + 1e-5))


def batch_norm_by_hand(x: np.ndarray) -> np.ndarray:
    J = np.zeros((COUNT, FEATURES, COUNT, FEATURES))
    for k in range(FEATURES):
        s = math.sqrt(np.var(x[:, k]) + 1e-5)
        u = (x[:, k] - x[:, k].mean()) / s
        for b, a in itertools.product(range(COUNT), repeat=2):
            J[b, k, a, k] = (1 - math.tanh(u[b]) ** 2) * (
                (a == b) - 1 / COUNT - u[a] * u[b] / COUNT
            )
            J[b, k, a, k] /= s
    return J


def softmax(xp: Any, x: Any) -> Any:
    weights = xp.exp(x)
    return 2 * x + weights / xp.sum(weights, axis=0, keepdims=True)


def softmax_by_hand(x: np.ndarray) -> np.ndarray:
    J = np.zeros((COUNT, FEATURES, COUNT, FEATURES))
    for k in range(FEATURES):
        p = np.exp(x[:, k]) / np.exp(x[:, k]).sum()
        for b, a in itertools.product(range(COUNT), repeat=2):
            J[b, k, a, k] = 2 * (a == b) + p[b] * (a == b) - p[b] * p[a]
    return J


def centred(xp: Any, x: Any) -> Any:
    return x - xp.mean(x, axis=0, keepdims=True)


def centred_by_hand(x: np.ndarray) -> np.ndarray:
    samples = np.eye(COUNT) - 1 / COUNT
    return np.einsum("ba,ki->bkai", samples, np.eye(FEATURES))


def percentages(J: np.ndarray) -> tuple[float, float]:
    """Return what share of ‖J‖² is off the diagonal, and how wrong the sum trick is, in percent."""
    whole = own = wrong = 0.0
    for b, k, a, i in np.ndindex(*J.shape):
        whole += J[b, k, a, i] ** 2
        own += (a == b) * J[b, k, a, i] ** 2
    for b, k, i in np.ndindex(COUNT, FEATURES, FEATURES):
        # the inputs of sample b get what the outputs k of all samples give
        wrong += (sum(J[c, k, b, i] for c in range(COUNT)) - J[b, k, b, i]) ** 2
    return 100 * (whole - own) / whole, 100 * math.sqrt(wrong / own)


FOUND = re.compile(
    r"samples interact: the outputs of sample (\d) depend on sample (\d); (\S+) % of ‖J‖² lies off "
    r"the diagonal blocks, and the sum trick would be (\S+) % wrong \(.*\): ask for the jacobian"
)
INTERACTING = {
    "batch-norm": (batch_norm, batch_norm_by_hand),
    "softmax": (softmax, softmax_by_hand),
    "centred": (centred, centred_by_hand),
}


def settled(problem: Problem) -> dict[str, Any]:
    """Return what became of every cell per sample, by method."""
    own = Harness(1, Limits(), {problem.name: problem}, verify_pins=False)
    cells = selection.cells(Selection(operators=["batch_jacobian"]), given={problem.name: problem})
    return {cell.method: own.settle(cell).result for cell in cells}


@pytest.mark.parametrize("name", INTERACTING)
def test_no_backend_is_asked_for_a_jacobian_per_sample(name: str) -> None:
    function, by_hand = INTERACTING[name]
    problem = Problem(
        name=name,
        function=function,
        x=X,
        in_axes=(0,),
        jacobian=lambda x: by_hand(x).reshape(x.size, x.size),
    )
    results = settled(problem)
    assert {r.cell.backend for r in results.values()} == {
        d.name for d in registry.descriptors().values() if d.absent() is None
    }
    assert {r.verdict for r in results.values()} == {Verdict.UNSUPPORTED}
    assert {(r.m, r.n) for r in results.values()} == {(X.size, X.size)}
    (reason,) = {r.reason for r in results.values()}
    match = FOUND.fullmatch(reason or "")
    assert match is not None
    assert match[1] != match[2]
    share, wrong = percentages(by_hand(X))
    for told, exact in ((match[3], share), (match[4], wrong)):
        assert "e" not in told
        assert abs(float(told) - exact) <= max(0.5, 0.05 * exact)
    if name == "centred":
        # B (B - 1) / B² of B - 1, and the sum over all samples is nothing at all
        assert (match[3], match[4]) == ("20", "100")


def test_the_hand_written_jacobians_of_this_file_are_right() -> None:
    for name, (function, by_hand) in INTERACTING.items():
        bare = reference(Problem(name=name, function=function, x=X), "float64")
        exact = by_hand(X).reshape(X.size, X.size)
        assert bare.kind == "complex-step"
        assert np.allclose(bare.here.jacobian, exact, rtol=1e-12, atol=1e-13)


def by_parameters(norm: bool) -> Callable[..., Any]:
    def function(xp: Any, w: Any, batch: Any) -> Any:
        z = batch @ w
        return batch_norm(xp, z) if norm else xp.tanh(z)

    return function


def test_a_batch_norm_is_found_where_samples_share_x() -> None:
    W = points(FEATURES, 3)
    alone = Problem(
        name="alone", function=by_parameters(False), x=W, constants=(X,), in_axes=(None, 0)
    )
    assert sample_independence.of_problem(alone, reference(alone, "float64"), "numpy") is None
    together = Problem(
        name="together", function=by_parameters(True), x=W, constants=(X,), in_axes=(None, 0)
    )
    results = settled(together)
    assert {r.verdict for r in results.values()} == {Verdict.UNSUPPORTED}
    # the sum trick and what is hand-written have reasons of their own
    told = {r.reason for method, r in results.items() if method.endswith(("-jacrev", "-loop"))}
    assert len(told) == any(method.endswith("-loop") for method in results)
    for reason in told:
        assert re.fullmatch(
            r"samples interact: the output of sample \d changes with (sample \d|other samples), so "
            r"that there is no Jacobian per sample \(.*\): ask for the jacobian",
            reason or "",
        )
    assert (
        sample_independence.of_problem(together, reference(together, "float64"), "numpy")
        is not None
    )


def test_an_embedding_shared_by_samples_that_are_whole_numbers() -> None:
    def rows(xp: Any, table: Any, ids: Any) -> Any:
        return xp.take(table, ids, axis=0)

    def centred_rows(xp: Any, table: Any, ids: Any) -> Any:
        return centred(xp, xp.take(table, ids, axis=0))

    for function, interact in ((rows, False), (centred_rows, True)):
        problem = Problem(
            name="embedding",
            function=function,
            x=points(4),
            constants=(np.array([3, 1, 0, 2, 1]),),
            in_axes=(None, 0),
        )
        told = sample_independence.of_problem(problem, reference(problem, "float64"), "numpy")
        assert (told is not None) == interact


def test_a_first_axis_that_does_not_run_over_samples_is_told() -> None:
    for function, shape in (
        (lambda xp, x: xp.sum(x), "()"),
        (lambda xp, x: xp.sum(x, axis=0), f"({FEATURES},)"),
        (lambda xp, x: xp.matrix_transpose(x), f"({FEATURES}, {COUNT})"),
    ):
        problem = Problem(name="turned", function=function, x=X, in_axes=(0,))
        told = sample_independence.of_problem(problem, reference(problem, "float64"), "numpy")
        assert told == (
            f"in_axes says that there are {COUNT} samples, and y has shape {shape}: its first "
            "axis must run over samples"
        )


def test_a_single_sample_sees_no_other() -> None:
    problem = Problem(name="one", function=centred, x=X[:1], in_axes=(0,))
    assert sample_independence.of_problem(problem, reference(problem, "float64"), "numpy") is None


def test_outputs_of_another_sample_alone_are_infinitely_wrong() -> None:
    problem = Problem(
        name="turned", function=lambda xp, x: xp.flip(x, axis=0), x=X[:4], in_axes=(0,)
    )
    told = sample_independence.of_problem(problem, reference(problem, "float64"), "numpy") or ""
    assert "; 100 % of ‖J‖² lies off" in told
    assert "the sum trick would be infinitely wrong" in told


# --- functions of one's own ---

METHODS = [
    info.name
    for descriptor in registry.descriptors().values()
    for info in descriptor.methods
    if info.operator == "batch_jacobian" and info.name != "numpy.analytic-batch"
]


def minus_mean(x: Any) -> Any:
    return x - x.mean(0)


def native(method: str) -> tuple[Any, Callable[[Any], np.ndarray], float]:
    """Return the point in the method's library, the way back, and a tolerance."""
    library = method.partition(".")[0]
    pytest.importorskip(library)
    backend = registry.load(library)
    dtype = "float32" if library == "jax" else "float64"  # jax.numpy may have no other
    return backend.put(X, "cpu", dtype), backend.to_numpy, 1e-5 if library == "jax" else 1e-12


@pytest.mark.parametrize("method", METHODS)
def test_an_own_function_whose_samples_interact_is_refused(method: str) -> None:
    x, _, _ = native(method)
    with pytest.raises(JacbenchError) as caught:
        jb.batch_jacobian(minus_mean, x, method)
    told = str(caught.value)
    assert "\n" not in told
    assert re.match(
        rf"batch_jacobian\(method='{re.escape(method)}'\): samples interact: the output of sample "
        r"\d changes with",
        told,
    )


@pytest.mark.parametrize(
    "method", [m for m in METHODS if not m.startswith("jax.") or m == "jax.sum-trick"]
)
def test_what_is_not_checked_is_computed_and_wrong(method: str) -> None:
    x, to_numpy, tolerance = native(method)
    found = to_numpy(jb.batch_jacobian(minus_mean, x, method, check=False))
    right = np.broadcast_to((1 - 1 / COUNT) * np.eye(FEATURES), (COUNT, FEATURES, FEATURES))
    assert found.shape == right.shape
    # by the sum trick, and on a batch of one, nothing is left of the derivative
    assert np.allclose(found, 0, atol=tolerance)
    assert not np.allclose(found, right, atol=0.5)


def test_a_batch_norm_layer_of_torch() -> None:
    torch = pytest.importorskip("torch")
    layer = torch.nn.BatchNorm1d(FEATURES, dtype=torch.float64)
    x = torch.tensor(X)
    with pytest.raises(JacbenchError, match="samples interact"):
        jb.batch_jacobian(layer.train(), x, "torch.sum-trick")
    J = jb.batch_jacobian(layer.eval(), x, "torch.sum-trick")
    slope = np.diag((layer.running_var + layer.eps).numpy() ** -0.5)
    assert np.allclose(J.numpy(), np.broadcast_to(slope, J.shape), rtol=1e-13)


def test_a_coupling_that_is_dead_at_x_is_seen_at_the_second_point() -> None:
    def gated(xp: Any, x: Any) -> Any:
        return x + xp.maximum(-x[:1], 0.0 * x[:1])

    def by_hand(x: np.ndarray) -> np.ndarray:
        J = np.eye(x.size)
        open_gates = (x[0] < 0).astype(float)
        for k, gate in enumerate(open_gates):
            J[k :: x.shape[1], k] -= gate
        return J

    x = np.array([[1.0, 2.0], [0.5, -0.7], [1.5, 0.3]])
    there = x * np.array([[1.0, -1.0], [1.0, 1.0], [1.0, 1.0]])
    problem = Problem(
        name="gated", function=gated, x=x, elsewhere=there, jacobian=by_hand, in_axes=(0,)
    )
    found = sample_independence.of_problem(problem, reference(problem, "float64"), "numpy")
    assert found is not None
    assert found.startswith("samples interact: the outputs of sample")
    shut = Problem(
        name="shut", function=gated, x=x, elsewhere=2 * x, jacobian=by_hand, in_axes=(0,)
    )
    assert sample_independence.of_problem(shut, reference(shut, "float64"), "numpy") is None
