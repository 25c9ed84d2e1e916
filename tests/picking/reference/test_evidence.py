"""What is right without a reference: what modes cannot or get wrong is told."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jacbench.core.errors import JacbenchError, NothingRightError
from tests import own_rule
from tests.picking.gathering import gathered, off
from tests.picking.planted import A, X, configured

anp = pytest.importorskip("autograd.numpy")

# torch's own: the first use of forward mode
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")


def custom(wrong: float, *, forward: bool) -> Callable[[Any], Any]:
    """Return the sine whose reverse, or forward, rule is ``wrong`` times what it should be."""
    from autograd.extend import defjvp, defvjp, primitive

    @primitive
    def sine(x: Any) -> Any:
        return np.sin(x)

    back, push = (1.0, wrong) if forward else (wrong, 1.0)
    defvjp(sine, lambda ans, x: lambda g: back * g * np.cos(x))
    defjvp(sine, lambda g, ans, x: push * g * np.cos(x))
    return sine


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("forward", [True, False])
def test_a_wrong_rule_in_one_mode_is_left_out(forward: bool) -> None:
    found = gathered(custom(1.01, forward=forward))
    assert off(found, np.diag(np.cos(X))) < 1e-14
    assert found.products.agreement is not None
    assert found.products.agreement > 1e-3
    assert "one method in float64" in found.told
    assert "gives something else, and is not believed" in found.told
    assert "from one side" in found.told
    assert found.doubt is None


@pytest.mark.parametrize("wrong", [2.0, 0.5, -1.0, 1.01])
def test_a_rule_that_is_wrong_in_both_modes_leaves_nothing_to_pick(wrong: float) -> None:
    from autograd.extend import defjvp, defvjp, primitive

    @primitive
    def sine(x: Any) -> Any:
        return np.sin(x)

    defvjp(sine, lambda ans, x: lambda g: wrong * g * np.cos(x))
    defjvp(sine, lambda g, ans, x: wrong * g * np.cos(x))
    with pytest.raises(NothingRightError, match=r"f: nothing is picked.* nothing in it stops"):
        gathered(sine)
    # one written by hand settles it, and is confirmed
    found = gathered(sine, jacobian=lambda x: np.diag(np.cos(x)))
    assert (found.reference.kind, found.doubt) == ("analytic", None)
    assert found.told == (
        "the hand-written Jacobian alone, confirmed by differences, against autograd.jvp and "
        "autograd.vjp-loop"
    )
    for other in (wrong, 0.9):
        with pytest.raises(JacbenchError, match="its own jacobian= is the odd one out"):
            gathered(sine, jacobian=lambda x, c=other: c * np.diag(np.cos(x)))


def test_a_cut_gradient_is_not_confirmed_and_its_methods_still_agree() -> None:
    torch = pytest.importorskip("torch")
    found = gathered(lambda x: x * torch.tanh(x).detach(), backend="torch")
    assert "is cut in part, by .detach() at test_evidence.py:" in (found.doubt or "")
    assert off(found, np.diag(np.tanh(X))) < 1e-14


def wrong_rule() -> Any:
    """Return torch's sine with a rule that is twice what it should be."""
    return own_rule.sine(lambda given, cosine: 2 * given * cosine)


def test_a_cut_that_does_not_reach_y_excuses_no_wrong_rule() -> None:
    torch = pytest.importorskip("torch")
    sine, logged = wrong_rule(), []

    def printed(x: Any) -> Any:
        logged.append(x.detach().sum())
        return sine(x) + 0 * torch.softmax(x - x.max().detach(), 0)

    with pytest.raises(NothingRightError, match="nothing in it stops gradients"):
        gathered(printed, backend="torch")


def test_a_number_made_of_x_is_refused_by_its_line() -> None:
    pytest.importorskip("torch")
    with pytest.raises(NothingRightError, match=r"in part, by \.item\(\) at test_evidence\.py:\d"):
        gathered(lambda x: x * (x[0] ** 2).item(), backend="torch")


def test_a_stop_gradient_is_not_confirmed_either() -> None:
    jax = pytest.importorskip("jax")
    configured("jax")
    found = gathered(lambda x: x * jax.lax.stop_gradient(jax.numpy.tanh(x)), backend="jax")
    assert "is cut in part, by stop_gradient at test_evidence.py:" in (found.doubt or "")
    assert off(found, np.diag(np.tanh(X))) < 1e-14


def test_a_cut_that_is_not_confirmed_says_how_to_tell_that_it_is_meant() -> None:
    torch = pytest.importorskip("torch")
    found = gathered(lambda x: x * torch.tanh(x).detach(), backend="torch")
    assert (found.doubt or "").endswith("if that is meant, say --stops-gradient")


def test_zeros_of_a_function_that_is_cut_off_on_purpose_are_right() -> None:
    torch = pytest.importorskip("torch")

    def cut(x: Any) -> Any:
        return 0 * x + torch.tanh(x).detach()

    with pytest.raises(JacbenchError, match="if that is meant, say --stops-gradient"):
        gathered(cut, backend="torch")
    found = gathered(cut, backend="torch", stops_gradient=True)
    assert off(found, np.zeros((3, 3))) == 0


def test_what_detaches_to_no_effect_is_confirmed() -> None:
    torch = pytest.importorskip("torch")

    def softmax(x: Any) -> Any:
        shifted = torch.exp(x - x.max().detach())
        return shifted / shifted.sum()

    assert gathered(softmax, backend="torch").doubt is None


def test_a_mode_that_a_switch_cuts_is_left_out() -> None:
    torch = pytest.importorskip("torch")

    @torch.no_grad()
    def sine(x: Any) -> Any:
        return torch.sin(x)

    found = gathered(sine, backend="torch")
    assert found.doubt is None
    told = r"gives something else \(the graph is cut, by torch\.no_grad\(\) at test_evidence\.py:\d"
    assert re.search(told, found.told)
    assert off(found, np.diag(np.cos(X))) < 1e-14
    assert off(found, np.zeros((3, 3))) > 0.9
    assert found.reference.error < 1e-12


@pytest.mark.parametrize("wrong", [0.0, 0.5, 1.5])
@pytest.mark.parametrize("forward", [True, False])
def test_what_is_disbelieved_widens_no_tolerance(wrong: float, forward: bool) -> None:
    found = gathered(custom(wrong, forward=forward))
    assert found.products.agreement is not None
    assert found.products.agreement > 0.1
    assert found.reference.error < 1e-12
    assert found.judgement.confirmed is not None


def test_a_cut_that_the_problem_tells_of_is_no_contradiction() -> None:
    torch = pytest.importorskip("torch")
    found = gathered(lambda x: x * torch.tanh(x).detach(), backend="torch", stops_gradient=True)
    assert "differences were not asked: it stops gradients on purpose" in (found.doubt or "")


@pytest.mark.usefixtures("large")
def test_one_mode_alone() -> None:
    from autograd.extend import defvjp, primitive

    @primitive
    def sine(x: Any) -> Any:
        return np.sin(x)

    defvjp(sine, lambda ans, x: lambda g: g * np.cos(np.array(x)))
    found = gathered(sine)
    assert off(found, np.diag(np.cos(X))) < 1e-14
    assert "autograd.vjp-loop" in found.told
    assert "autograd.make_jvp_reversemode" in found.told


@pytest.mark.usefixtures("large")
def test_no_mode_at_all_leaves_differences() -> None:
    found = gathered(lambda x: np.sin(np.array([float(part) for part in x])))
    assert found.reference.kind == "central-difference"
    assert "differences alone, good to" in found.told
    assert off(found, np.diag(np.cos(X))) < found.reference.error < 1e-6


def test_a_branch_that_gives_no_number_backwards() -> None:
    x = np.array([0.0, 1.0])
    found = gathered(lambda x: anp.where(x > 0.5, anp.sqrt(x - 0.5), 0.1 * x), x)
    # 0 times what the branch not taken gives is no number in reverse mode alone
    assert off(found, np.diag([0.1, 0.5 / np.sqrt(0.5)])) < 1e-14
    assert found.told.startswith("one method in float64 (autograd.jvp), as autograd.vjp-loop ")
    assert "not finite" in found.told


def test_where_the_slope_is_infinite_it_is_looked_at_beside_it() -> None:
    found = gathered(lambda x: anp.sqrt(anp.abs(x)), np.array([0.0, 1.0]))
    assert found.reference.kind == "consensus"
    assert np.abs(found.reference.here.x[0]) > 0


@pytest.mark.parametrize("backend", ["torch", "autograd"])
def test_a_function_that_is_cut_off_from_x_is_refused(backend: str) -> None:
    pytest.importorskip(backend)
    cut = {
        "torch": lambda x: x.detach() ** 2,
        "autograd": lambda x: np.sin(getattr(x, "_value", x)),
    }[backend]
    with pytest.raises(
        JacbenchError, match=r"f: its derivative is 0 by .*, but y moves with x"
    ) as told:
        gathered(cut, backend=backend)
    if backend == "torch":
        assert f"is cut, by .detach() at {Path(__file__).name}:" in str(told.value)


def test_where_modes_differ_and_differences_are_not_asked_nothing_is_right() -> None:
    wrong = custom(1.01, forward=True)
    with pytest.raises(JacbenchError, match="what is right cannot be told: forward and reverse"):
        gathered(wrong, stops_gradient=True)
    found = gathered(wrong, stops_gradient=True, jacobian=lambda x: np.diag(np.cos(x)))
    assert found.told.startswith("the hand-written Jacobian alone: forward and reverse mode differ")
    assert found.reference.kind == "analytic"


@pytest.mark.parametrize("scale", [1e-5, 1.0, 1e5])
def test_differences_know_the_scale_of_x(scale: float) -> None:
    found = gathered(lambda x: anp.log(anp.abs(x) / scale + 1.1), X * scale)
    assert found.doubt is None
    assert found.judgement.confirmed is not None
    assert found.judgement.confirmed < 1e-7


def test_inputs_of_many_scales() -> None:
    x = np.array([1e5, 1e-3, 3.0])
    found = gathered(lambda x: anp.sin(x / np.array([1e5, 1e-3, 1.0])), x)
    assert found.doubt is None
    assert found.judgement.confirmed is not None
    assert found.judgement.confirmed < 1e-7


def test_a_large_offset_is_no_contradiction() -> None:
    assert gathered(lambda x: 1e6 + 1e-3 * anp.sin(x)).doubt is None


def test_a_jacobian_of_zero() -> None:
    found = gathered(lambda x: anp.zeros(2) * x[0] + 1.0)
    assert found.doubt is None
    assert off(found, np.zeros((2, 3))) == 0.0
    assert off(found, np.eye(2, 3)) > 1


def test_float32_alone_is_weaker_and_says_so() -> None:
    torch = pytest.importorskip("torch")
    W = torch.tensor(A, dtype=torch.float32)
    found = gathered(lambda x: torch.tanh(W @ x.float()), backend="torch", dtype="float32")
    assert not found.whole
    assert "methods in float32" in found.told
    assert "weaker" in found.told
    single = A.astype(np.float32).astype(float)
    x = X.astype(np.float32).astype(float)
    J = (1 - np.tanh(single @ x) ** 2)[:, None] * single
    assert off(found, J) < 2e-6
    assert off(found, J * 1.001) > 1e-4


def test_a_derivative_that_is_not_finite_at_a_kink_is_told() -> None:
    def length(x: Any) -> Any:
        return anp.sqrt(anp.sum(x**2)).reshape((1,))

    found = gathered(length, np.zeros(2))
    assert found.doubt is not None
    assert found.doubt.startswith("at x itself autograd.vjp-loop and autograd.jvp give a")
    assert "not finite" in found.doubt
    assert gathered(anp.abs, np.array([0.0, 1.0])).doubt is None


def test_x_at_the_edge_of_the_domain_has_a_second_point_within() -> None:
    found = gathered(lambda x: x**1.5, np.array([0.0, 1.0, 2.0]))
    assert found.doubt is None


def softmax_adds_up(x: Any) -> Any:
    shifted = anp.exp(x - anp.max(x))
    return anp.sum(shifted / anp.sum(shifted)) * anp.array([1.0, 3.0])


def norm_of_a_direction(x: Any) -> Any:
    direction = x / anp.sqrt(anp.sum(x**2))
    return anp.sqrt(anp.sum(direction**2)) * anp.array([1.0, -2.0])


@pytest.mark.parametrize("f", [softmax_adds_up, norm_of_a_direction])
@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_what_is_zero_but_for_rounding_is_zero(f: Callable[[Any], Any], size: float) -> None:
    found = gathered(f, size * X, backend="autograd")
    assert found.doubt is None or not found.doubt
    assert not np.any(found.reference.here.jacobian)
    assert "give zeros, but for rounding, and differences" in found.told


def test_under_an_offset_nothing_is_taken_for_zero() -> None:
    found = gathered(lambda x: 1e17 + anp.sin(x), backend="autograd")
    assert found.doubt
    assert np.allclose(found.reference.here.jacobian, np.diag(np.cos(X)))


def test_a_rule_of_zeros_is_not_taken_for_rounding() -> None:
    from autograd.extend import defjvp, defvjp, primitive

    @primitive
    def sine(x: Any) -> Any:
        return np.sin(x)

    defvjp(sine, lambda ans, x: lambda g: 1e-17 * g)
    defjvp(sine, lambda g, ans, x: 1e-17 * g)
    with pytest.raises(JacbenchError):
        gathered(sine, backend="autograd")
