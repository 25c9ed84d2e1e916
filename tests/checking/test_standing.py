"""Which Jacobian stands: differences outrank where they can tell, and say so where they cannot."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from jacbench.backend import registry
from jacbench.checking.reference import Reference, reference
from jacbench.core.cell import Cell, CellResult, Verdict
from jacbench.core.errors import JacbenchError, WrongJacobianError
from jacbench.problems.problem import Problem
from jacbench.running.prepared_cells import Harness, Limits
from tests.picking.planted import attending

X = np.array([0.3, -0.4, 0.9])


def over_numpy(f: Callable[..., Any], x: Any = X, **parts: Any) -> Reference:
    return reference(Problem(name="mine", function=f, x=x, **parts), "float64")


def in_torch(f: Callable[..., Any], x: Any = X, **parts: Any) -> Reference:
    pytest.importorskip("torch")
    registry.load("torch").configure(1)
    # what torch loads at the first forward derivative warns of itself
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _in_torch(f, x, **parts)


def _in_torch(f: Callable[..., Any], x: Any, **parts: Any) -> Reference:
    return reference(Problem(name="mine", native={"torch": f}, x=x, **parts), "float64", "torch")


def in_autograd(f: Callable[..., Any], x: Any = X, **parts: Any) -> Reference:
    pytest.importorskip("autograd")
    problem = Problem(name="mine", native={"autograd": f}, x=x, **parts)
    return reference(problem, "float64", "autograd")


def settled(problem: Problem, *methods: str) -> list[CellResult]:
    own = Harness(1, Limits(), {problem.name: problem}, verify_pins=False)
    return [
        own.settle(
            Cell(problem.name, "jacobian", method, method.partition(".")[0], "cpu", "float64", 1)
        ).result
        for method in methods
    ]


def distance(J: np.ndarray, R: np.ndarray) -> float:
    return float(np.linalg.norm(J - R) / np.linalg.norm(R))


# --- smooth functions whose differences need care ---


def test_singular_values_and_reciprocals_are_what_the_methods_say() -> None:
    torch = pytest.importorskip("torch")
    B = np.arange(1.0, 13.0).reshape(4, 3) ** 0.7
    for f, x in (
        (torch.linalg.svdvals, B),
        (lambda x: 1 / x, np.array([1e-3, 2.0])),
        (lambda x: torch.sin(1000 * x), np.array([1.0, 2.0])),
        (lambda x: torch.sigmoid(1000 * x), np.array([5e-4, 1.0])),
    ):
        found = in_torch(f, x)
        assert (found.kind, found.error) == ("consensus", 0.0)


def test_a_second_point_out_of_the_domain_is_taken_nearer() -> None:
    def narrow(x: Any) -> Any:
        import autograd.numpy as anp

        return anp.sqrt(1e-3 - (x - X) ** 2)

    found = in_autograd(narrow)
    assert found.kind == "consensus"
    assert 0 < np.max(np.abs(found.elsewhere.x - X)) < 0.04


def test_a_second_point_that_was_given_is_never_moved() -> None:
    given = Problem(
        name="mine",
        native={"numpy": np.sqrt},
        x=np.ones(1),
        elsewhere=np.array([-1.0]),
    )
    with np.errstate(invalid="ignore"), pytest.raises(JacbenchError, match="returned nan"):
        reference(given, "float64")


# --- noise and zeros ---


def rounded_inside(x: Any) -> Any:
    import torch

    W = torch.arange(9.0, dtype=x.dtype).reshape(3, 3) / 9
    return torch.softmax((W @ x).float(), 0).to(x.dtype)


def test_float32_inside_is_no_fault_of_the_methods() -> None:
    found = in_torch(rounded_inside)
    W = np.arange(9.0).reshape(3, 3) / 9
    p = np.exp(W @ X) / np.exp(W @ X).sum()
    assert distance(found.here.jacobian, (np.diag(p) - np.outer(p, p)) @ W) < 1e-6
    assert found.kind == "consensus"
    assert 1e-9 < found.error < 1e-5
    assert found.doubt.startswith("differences cannot confirm the reference, good to")
    methods = ("torch.func.jacrev", "torch.functional", "torch.func.jacfwd")
    problem = Problem(name="mine", native={"torch": rounded_inside}, x=X)
    for result in settled(problem, *methods):
        assert result.verdict is Verdict.AGREES
        assert result.notes["reference_doubt"] == found.doubt


def test_a_zero_jacobian_is_zero() -> None:
    torch = pytest.importorskip("torch")

    def gated(v: Any) -> Any:
        return torch.stack([v[0] * torch.nn.functional.silu(v[1]), v[0] ** 2, v[1] ** 3])

    found = in_torch(gated, np.zeros(2))
    assert (found.kind, found.error) == ("consensus", 0.0)
    assert not found.here.jacobian.any()


def test_at_a_kink_what_the_methods_agree_on_stands_and_that_is_told() -> None:
    torch = pytest.importorskip("torch")
    found = in_torch(torch.relu, np.array([0.0, 1.0, -1.0]))
    assert found.kind == "consensus"
    assert found.doubt == (
        "differences cannot confirm the reference, at a kink: torch.functional and "
        "torch.func.jacfwd agree"
    )


def test_what_is_confirmed_has_no_doubt() -> None:
    assert over_numpy(lambda xp, x: xp.sin(x)).doubt == ""


# --- who is not believed ---


def test_a_rule_that_is_wrong_in_both_modes_is_outranked_by_differences() -> None:
    pytest.importorskip("autograd")
    from autograd.extend import defjvp, defvjp, primitive

    @primitive
    def square(x: Any) -> Any:
        return x**2

    defvjp(square, lambda ans, x: lambda g: g * x)
    defjvp(square, lambda g, ans, x: g * x)
    found = in_autograd(square)
    assert found.kind == "central-difference"
    assert found.error < 1e-8
    assert distance(found.here.jacobian, np.diag(2 * X)) < found.error


def test_what_nothing_can_tell_is_refused() -> None:
    def rough(x: Any) -> Any:
        return np.abs(x) + 1e-3 * np.sin(1e12 * x)

    with pytest.raises(JacbenchError, match="what is right cannot be told"):
        reference(Problem(name="mine", native={"numpy": rough}, x=X), "float64")


def test_what_differs_from_call_to_call_is_told_so() -> None:
    noise = np.random.default_rng(0)

    def random(x: Any) -> Any:
        return np.abs(x) + 1e-3 * noise.standard_normal(x.shape)

    with pytest.raises(JacbenchError, match="a later call of its function at the same x gives"):
        reference(Problem(name="mine", native={"numpy": random}, x=X), "float64")


def test_a_spectral_norm_in_train_mode_is_told_so() -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    layer = torch.nn.utils.spectral_norm(torch.nn.Linear(3, 3)).double()
    with pytest.raises(JacbenchError, match="spectral norm in train mode"):
        in_torch(layer)
    assert in_torch(layer.eval()).kind == "consensus"


# --- a Jacobian written by hand ---

WRONG = {
    "another sign": lambda x: -np.diag(np.cos(x)),
    "half": lambda x: np.diag(np.cos(x)) / 2,
    "one entry": lambda x: np.diag(np.cos(x)) + 1e-4 * np.eye(3)[::-1],
    "zero": lambda x: np.zeros((3, 3)),
    "the transpose of another": lambda x: np.outer(np.cos(x), np.ones(3)),
}


@pytest.mark.parametrize("how", WRONG)
def test_a_wrong_jacobian_written_by_hand_is_the_odd_one_out(how: str) -> None:
    with pytest.raises(WrongJacobianError) as caught:
        over_numpy(lambda xp, x: xp.sin(x), jacobian=WRONG[how])
    told = str(caught.value)
    assert told.startswith("problem 'mine': its own jacobian= is the odd one out: ")
    assert "with which complex steps agree" in told
    assert told.endswith("is right: mend it, or leave it out")


def test_wrong_at_the_second_point_alone() -> None:
    def by_hand(x: Any) -> Any:
        return np.diag(np.cos(x)) if np.array_equal(x, X) else np.eye(3)

    with pytest.raises(WrongJacobianError):
        over_numpy(lambda xp, x: xp.sin(x), jacobian=by_hand)


def test_of_a_native_function_the_methods_are_named() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(WrongJacobianError) as caught:
        in_torch(torch.sin, jacobian=WRONG["half"])
    assert "with which torch.functional and torch.func.jacfwd agree" in str(caught.value)


def test_no_method_is_blamed_for_it() -> None:
    problem = Problem(
        name="mine", function=lambda xp, x: xp.sin(x), x=X, jacobian=WRONG["one entry"]
    )
    for result in settled(problem, "numpy.complex-step", "numpy.analytic"):
        assert result.verdict is Verdict.FAILED
        assert (result.reason or "").startswith("problem 'mine': its own jacobian= is the odd one")


def test_a_right_one_stands_also_where_differences_cannot_tell() -> None:
    kinked = over_numpy(
        lambda xp, x: xp.abs(x), np.array([0.0, 1.0]), jacobian=lambda x: np.diag(np.sign(x))
    )
    assert kinked.kind == "analytic"


def test_what_stops_gradients_is_held_against_no_difference() -> None:
    found = over_numpy(
        lambda xp, x: x * xp.stop_gradient(x),
        jacobian=np.diag,
        stops_gradient=True,
    )
    assert found.kind == "analytic"


def test_the_second_point_is_known_to_be_drawn() -> None:
    drawn = Problem(name="mine", function=lambda xp, x: x, x=X)
    assert drawn.draws_elsewhere
    assert not dataclasses.replace(drawn, elsewhere=X + 1).draws_elsewhere


def test_a_witness_that_gives_no_number_says_nothing() -> None:
    pytest.importorskip("autograd")
    from autograd.extend import defjvp, defvjp, primitive

    square = primitive(lambda x: x**2)
    defvjp(square, lambda ans, x: lambda g: np.nan * g)
    defjvp(square, lambda g, ans, x: 2 * g * x)
    found = in_autograd(square)
    assert (found.kind, found.error) == ("consensus", 0.0)
    assert np.array_equal(found.here.jacobian, np.diag(2 * X))


def test_one_method_alone_does_not_stand_where_differences_cannot_tell() -> None:
    pytest.importorskip("autograd")
    from autograd.extend import defvjp, primitive

    # neighbouring values scatter by a thousandth, and there is no second mode
    rough = primitive(lambda x: np.sin(x) + 1e-3 * np.sin(1e9 * x))
    defvjp(rough, lambda ans, x: lambda g: g * np.cos(x))
    with pytest.raises(JacbenchError, match=r"what is right cannot be told: .* alone says so"):
        in_autograd(rough)


def test_a_cut_that_methods_follow_is_named_beside_what_differences_say() -> None:
    found = in_torch(lambda x: x * x.detach())
    assert found.kind == "central-difference"
    assert ".detach() at test_standing.py:" in found.doubt
    assert "stops_gradient=True" in found.doubt
    problem = Problem(name="mine", native={"torch": lambda x: x * x.detach()}, x=X)
    (told,) = settled(problem, "torch.func.jacrev")
    assert told.verdict is Verdict.DISAGREES
    assert "; not certain: the graph from x to y is cut in part" in (told.reason or "")


# --- what differences deny stands no more, however small it is ---


def forgets_a_factor(x: Any) -> Any:
    """Return x³, whose backward and whose jvp give 2 x² instead of 3 x²."""
    import torch

    class Cube(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(x: Any) -> Any:
            return x**3

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.save_for_backward(inputs[0])
            ctx.save_for_forward(inputs[0])

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return 2 * ctx.saved_tensors[0] ** 2 * g

        @staticmethod
        def jvp(ctx: Any, t: Any) -> Any:
            return 2 * ctx.saved_tensors[0] ** 2 * t

    return Cube.apply(x)


def test_a_wrong_row_that_is_lost_beside_others_is_not_called_right() -> None:
    torch = pytest.importorskip("torch")

    def rows(x: Any) -> Any:
        return torch.stack([1e-30 * forgets_a_factor(x[0]), x[1], x[2]])

    with pytest.raises(JacbenchError, match="in rows that are small beside others"):
        in_torch(rows)
    right = in_torch(lambda x: torch.stack([1e-30 * x[0] ** 3, x[1], x[2]]))
    assert (right.kind, right.doubt) == ("consensus", "")


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_values_whose_squares_are_no_floats_are_judged_like_others(size: float) -> None:
    pytest.importorskip("torch")
    wrong = Problem(name="mine", native={"torch": lambda x: size * forgets_a_factor(x)}, x=X)
    right = dataclasses.replace(wrong, native={"torch": lambda x: size * x**3})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what torch loads at the first forward derivative
        (told,) = settled(wrong, "torch.functional")
        (agrees,) = settled(right, "torch.functional")
    assert told.verdict is not Verdict.AGREES
    assert agrees.verdict is Verdict.AGREES


def test_a_dropout_that_falls_the_same_way_twice_is_told_as_random() -> None:
    torch = pytest.importorskip("torch")
    for seed in range(6):
        torch.manual_seed(seed)
        with pytest.raises(JacbenchError, match="at the same x gives another value"):
            in_torch(lambda x: torch.nn.functional.dropout(1 + x[:1], 0.5))


# --- a value that is another one where no gradient is wanted ---


def test_attention_over_padded_positions_agrees_at_the_value_under_gradients() -> None:
    torch = pytest.importorskip("torch")
    f, x = attending()
    (found,) = settled(Problem(name="mine", native={"torch": f}, x=x), "torch.functional")
    assert (found.verdict, found.reason) == (Verdict.AGREES, None)
    assert "where no gradient is wanted, its value is 0." in found.cautions[0]
    assert torch.backends.mha.get_fastpath_enabled()
    (found,) = settled(
        Problem(name="mine", native={"torch": lambda x: f(x)[:, :2]}, x=x), "torch.functional"
    )
    assert (found.verdict, found.cautions) == (Verdict.AGREES, ())
