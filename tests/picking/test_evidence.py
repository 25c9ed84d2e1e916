"""What is right without a reference: how strong it says it is, and what it catches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from jacbench import layout
from jacbench.backend import Method, MethodInfo, Prepared, Target
from jacbench.cell import Cell, Verdict
from jacbench.errors import JacbenchError
from jacbench.layout import Layout
from jacbench.picking import allowance, calls, closely, evidence, right
from jacbench.picking.evidence import truth
from jacbench.picking.examination import examine
from jacbench.picking.truth import Truth, settle_large
from jacbench.picking.witnesses import Witnesses
from jacbench.structure.pattern import Pattern
from jacbench.trial import Settled
from tests.picking.planted import A, X, configured, subject

anp = pytest.importorskip("autograd.numpy")

# torch's own: the first use of forward mode
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")

BACKENDS = ("torch", "jax", "autograd")


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat every Jacobian as too large to compare entry by entry."""
    monkeypatch.setattr(right, "SMALL", 0)


def smooth(xp: Any) -> Callable[[Any], Any]:
    return lambda x: xp.tanh(xp.matmul(xp.asarray(A), x))


def exact(x: np.ndarray) -> np.ndarray:
    return (1 - np.tanh(A @ x) ** 2)[:, None] * A


def gathered(f: Callable[..., Any], x: Any = X, **options: Any) -> Truth:
    asked = subject(f, x, **options)
    backend = asked.backends[0]
    return truth(asked, backend, examine(asked, backend))


def of(backend: str, **options: Any) -> Truth:
    pytest.importorskip(backend)
    return gathered(smooth(configured(backend).xp), backend=backend, **options)


# --- (a) small ---


@pytest.mark.parametrize("backend", BACKENDS)
def test_small_and_consensus(backend: str) -> None:
    found = of(backend)
    assert found.whole
    assert found.reference.kind == "consensus"
    assert np.allclose(found.reference.here.jacobian, exact(X), rtol=0, atol=1e-14)
    assert len(found.witnesses) == 2
    assert found.agreement is not None
    assert found.agreement < 1e-14
    assert found.confirmed is not None
    assert found.confirmed < 1e-8
    assert found.contradicted is None
    assert found.notes == ()
    assert found.told.startswith("two independent methods in float64 (")
    assert "confirm them to" in found.told
    assert "\n" not in found.told
    assert found.error(exact(X)) < 1e-14


def test_a_neutral_function_has_the_complex_step() -> None:
    asked = subject(smooth(anp), native={}, function=lambda xp, x: xp.tanh(xp.sum(x) * x))
    found = truth(asked, "autograd", examine(asked, "autograd"))
    assert found.reference.kind == "complex-step"
    assert found.told.startswith("the complex step is right; two independent methods")


def test_without_an_examination_it_makes_one() -> None:
    found = truth(subject(smooth(configured("autograd").xp)), "autograd")
    assert found.whole
    assert found.confirmed is not None


def test_a_hand_written_jacobian_is_checked() -> None:
    right = gathered(smooth(configured("autograd").xp), jacobian=exact)
    assert right.reference.kind == "analytic"
    assert right.told.startswith("the hand-written Jacobian is right; two independent methods")
    with pytest.raises(JacbenchError, match=r"f: its jacobian= is .* away from what"):
        gathered(smooth(configured("autograd").xp), jacobian=lambda x: exact(x) * 1.001)


def test_what_takes_too_long_is_seen_through_products() -> None:
    asked = subject(smooth(configured("autograd").xp))
    found = truth(asked, "autograd", examine(asked, "autograd"), budget_s=0.0)
    assert not found.whole


# --- (b) large ---


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_large_by_products(backend: str, dtype: str) -> None:
    f = {"torch": in_torch, "jax": in_jax, "autograd": in_autograd}[backend]
    pytest.importorskip(backend)
    configured(backend)
    x = {"w": np.array([0.3, -0.4]), "b": np.array(0.9)}
    asked = subject(f, x, backend=backend, dtype=dtype, constants=(A,))
    found = truth(asked, backend, examine(asked, backend))
    assert not found.whole
    assert found.precision == "float64"
    assert found.reference.error == 0.0
    at = {name: leaf.astype(dtype).astype(float) for name, leaf in x.items()}
    c = A.astype(dtype).astype(float)
    v = np.concatenate([at["b"].reshape(1), at["w"]])
    J = (1 - np.tanh(c @ v) ** 2)[:, None] * c
    assert found.error(J) < 1e-14
    J[1, 2] += 1e-9
    assert found.error(J) > 1e-11
    assert "on 3 random products from either side" in found.told


def in_torch(x: Any, A: Any) -> Any:
    import torch

    return torch.tanh(A @ torch.cat([x["b"].reshape(1), x["w"]]))


def in_jax(x: Any, A: Any) -> Any:
    import jax.numpy as jnp

    return jnp.tanh(A @ jnp.concatenate([x["b"].reshape(1), x["w"]]))


def in_autograd(x: Any, A: Any) -> Any:
    return anp.tanh(anp.dot(A, anp.concatenate([anp.reshape(x["b"], (1,)), x["w"]])))


@pytest.mark.usefixtures("large")
def test_a_large_jacobian_is_never_held() -> None:
    n = 200_000
    found = gathered(lambda x: x**2 * anp.roll(x, 1), np.linspace(0.5, 1.5, n))
    assert (found.reference.m, found.reference.here.jacobian.shape) == (n, (n, 3))
    rows = np.arange(n)
    sparse = pytest.importorskip("scipy.sparse")
    x = found.reference.here.x
    values = np.concatenate([2 * x * np.roll(x, 1), x**2])
    columns = np.concatenate([rows, (rows - 1) % n])
    J = sparse.csr_array((values, (np.tile(rows, 2), columns)), shape=(n, n))
    assert found.error(J) < 1e-14
    J.data[12345] *= 1.01
    assert found.error(J) > 1e-7


# --- what modes cannot, or get wrong ---


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
    assert found.error(np.diag(np.cos(X))) < 1e-14
    assert found.agreement is not None
    assert found.agreement > 1e-3
    assert "one method in float64" in found.told
    assert "contradicts" in found.told
    assert "from one side" in found.told
    assert found.contradicted is None


def test_a_rule_that_is_wrong_in_both_modes_is_told() -> None:
    from autograd.extend import defjvp, defvjp, primitive

    @primitive
    def sine(x: Any) -> Any:
        return np.sin(x)

    defvjp(sine, lambda ans, x: lambda g: 2 * g * np.cos(x))
    defjvp(sine, lambda g, ans, x: 2 * g * np.cos(x))
    found = gathered(sine)
    assert found.contradicted is not None
    assert "central differences are 1 away" in found.contradicted
    assert found.contradicted in found.told
    assert not found.whole


def test_a_cut_gradient_is_told_and_its_methods_still_agree() -> None:
    torch = pytest.importorskip("torch")
    found = gathered(lambda x: x * torch.tanh(x).detach(), backend="torch")
    assert found.contradicted is not None
    assert "detach" in found.contradicted
    assert found.error(np.diag(np.tanh(X))) < 1e-14


def test_a_cut_that_the_problem_tells_of_is_no_contradiction() -> None:
    torch = pytest.importorskip("torch")
    found = gathered(lambda x: x * torch.tanh(x).detach(), backend="torch", stops_gradient=True)
    assert found.contradicted is None
    assert "differences were not asked: it stops gradients on purpose" in found.told


@pytest.mark.usefixtures("large")
def test_one_mode_alone() -> None:
    from autograd.extend import defvjp, primitive

    @primitive
    def sine(x: Any) -> Any:
        return np.sin(x)

    defvjp(sine, lambda ans, x: lambda g: g * np.cos(np.array(x)))
    found = gathered(sine)
    assert found.error(np.diag(np.cos(X))) < 1e-14
    assert "autograd.vjp-loop" in found.told
    assert found.notes


@pytest.mark.usefixtures("large")
def test_no_mode_at_all_leaves_differences() -> None:
    found = gathered(lambda x: np.sin(np.array([float(part) for part in x])))
    assert found.reference.kind == "central-difference"
    assert "central differences alone" in found.told
    assert found.error(np.diag(np.cos(X))) < found.reference.error < 1e-6


def test_a_branch_that_gives_no_number_backwards() -> None:
    x = np.array([0.0, 1.0])
    found = gathered(lambda x: anp.where(x > 0.5, anp.sqrt(x - 0.5), 0.1 * x), x)
    # 0 times what the branch not taken gives is no number in reverse mode alone
    assert found.error(np.diag([0.1, 0.5 / np.sqrt(0.5)])) < 1e-14
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
    with pytest.raises(JacbenchError, match=r"f: its derivative is 0 by .*, but y moves with x"):
        gathered(cut, backend=backend)


def test_where_modes_differ_and_differences_are_not_asked_nothing_is_right() -> None:
    wrong = custom(1.01, forward=True)
    with pytest.raises(JacbenchError, match="f: what is right cannot be told: forward and reverse"):
        gathered(wrong, stops_gradient=True)
    found = gathered(wrong, stops_gradient=True, jacobian=lambda x: np.diag(np.cos(x)))
    assert found.told.startswith("the hand-written Jacobian alone: forward and reverse mode differ")
    assert found.reference.kind == "analytic"


# --- scales, noise ---


@pytest.mark.parametrize("scale", [1e-5, 1.0, 1e5])
def test_differences_know_the_scale_of_x(scale: float) -> None:
    found = gathered(lambda x: anp.log(anp.abs(x) / scale + 1.1), X * scale)
    assert found.contradicted is None
    assert found.confirmed is not None
    assert found.confirmed < 1e-7


def test_inputs_of_many_scales() -> None:
    x = np.array([1e5, 1e-3, 3.0])
    found = gathered(lambda x: anp.sin(x / np.array([1e5, 1e-3, 1.0])), x)
    assert found.contradicted is None
    assert "at x (at the second point they are" in found.told


def test_a_large_offset_is_no_contradiction() -> None:
    assert gathered(lambda x: 1e6 + 1e-3 * anp.sin(x)).contradicted is None


def test_a_jacobian_of_zero() -> None:
    found = gathered(lambda x: anp.zeros(2) * x[0] + 1.0)
    assert found.contradicted is None
    assert found.error(np.zeros((2, 3))) == 0.0
    assert found.error(np.eye(2, 3)) > 1


# --- float32 alone ---


def test_float32_alone_is_weaker_and_says_so() -> None:
    torch = pytest.importorskip("torch")
    W = torch.tensor(A, dtype=torch.float32)
    found = gathered(lambda x: torch.tanh(W @ x.float()), backend="torch", dtype="float32")
    assert (found.dtype, found.precision, found.whole) == ("float32", "float32", False)
    assert "methods in float32" in found.told
    assert "weaker" in found.told
    single = A.astype(np.float32).astype(float)
    x = X.astype(np.float32).astype(float)
    J = (1 - np.tanh(single @ x) ** 2)[:, None] * single
    assert found.error(J) < 2e-6
    assert found.error(J * 1.001) > 1e-4


# --- float32 constants, lifted ---


def test_float32_constants_have_the_evidence_of_float64() -> None:
    torch = pytest.importorskip("torch")
    W = torch.tensor(A, dtype=torch.float32)
    found = gathered(lambda x: torch.tanh(W @ x), backend="torch", dtype="float32")
    assert (found.dtype, found.precision, found.whole) == ("float32", "float64", True)
    assert found.told.startswith("two independent methods in float64 (")
    assert "its float32 constants were lifted to float64 for the reference" in found.told
    single = A.astype(np.float32).astype(float)
    x = X.astype(np.float32).astype(float)
    J = (1 - np.tanh(single @ x) ** 2)[:, None] * single
    assert found.error(J) < 1e-15
    assert found.confirmed is not None
    assert found.confirmed < 1e-8


@pytest.mark.usefixtures("large")
def test_a_module_in_float32_has_it_too() -> None:
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))
    found = gathered(module, backend="torch", dtype="float32")
    assert (found.precision, found.whole) == ("float64", False)
    assert found.agreement is not None
    assert found.agreement < 1e-14
    assert found.reference.error == 0.0


def test_jax_lifts_by_itself() -> None:
    jnp = pytest.importorskip("jax.numpy")
    configured("jax")
    W = jnp.asarray(A, dtype="float32")
    found = gathered(lambda x: jnp.tanh(W @ x), backend="jax", dtype="float32")
    assert (found.dtype, found.precision, found.whole) == ("float32", "float64", True)
    assert "lifted" not in found.told


def test_autograd_lifts_by_itself() -> None:
    W = A.astype(np.float32)
    found = gathered(lambda x: anp.tanh(anp.dot(W, x)), dtype="float32")
    assert (found.dtype, found.precision, found.whole) == ("float32", "float64", True)


def test_where_a_mode_cannot_lift_both_are_asked_in_float32() -> None:
    torch = pytest.importorskip("torch")
    W = torch.tensor(A, dtype=torch.float32)

    class Product(torch.autograd.Function):
        """A rule that runs where no mode sees it."""

        generate_vmap_rule = True

        @staticmethod
        def forward(x: Any) -> Any:
            return W @ x

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            pass

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g @ W

        @staticmethod
        def jvp(ctx: Any, t: Any) -> Any:
            return W @ t

    f = Product.apply
    assert examine(subject(f, backend="torch", dtype="float32"), "torch").lifted
    found = gathered(f, backend="torch", dtype="float32")
    assert (found.precision, len(found.witnesses)) == ("float32", 2)
    assert "methods in float32" in found.told
    assert "lifted" not in found.told


# --- little time ---


def slow(monkeypatch: pytest.MonkeyPatch, call_s: float) -> tuple[Callable[[Any], Any], list[Any]]:
    """Return a function that takes so long by a clock that only its calls move, and its calls."""
    clock = Clock()
    for module in (allowance, calls, closely, evidence, right):
        monkeypatch.setattr(module, "time", clock)
    seen: list[Any] = []

    def f(x: Any) -> Any:
        seen.append(x)
        clock.now += call_s
        return anp.tanh(anp.dot(A, x))

    return f, seen


class Clock:
    """A clock that is moved by hand."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("call_s", "most"), [(0.001, 100), (0.04, 70), (0.1, 40), (0.3, 13), (0.8, 10)]
)
def test_evidence_keeps_to_its_share(
    call_s: float, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    f, seen = slow(monkeypatch, call_s)
    asked = subject(f)
    found = truth(asked, "autograd", examine(asked, "autograd", time_limit_s=10.0))
    assert len(seen) <= most
    # something else than the first method confirms it all the same
    assert found.agreement is not None or found.confirmed is not None
    assert found.error(exact(X)) < 1e-14
    assert found.error(exact(X) * 1.001) > 1e-4
    assert ("as one call takes" in found.told) == (call_s > 0.05)


def test_what_was_left_out_for_time_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    f, _ = slow(monkeypatch, 0.3)
    asked = subject(f)
    looked = examine(asked, "autograd", time_limit_s=10.0)
    found = truth(asked, "autograd", looked)
    assert looked.skipped == (
        "not looked for: noise, kinks, linearity: one call takes 300 ms and the time limit is 10 s",
    )
    assert "as the forward mode was left out for time" in found.told
    assert "central differences in 1 random direction confirm it to" in found.told
    assert "on 1 random product from one side" in found.told
    assert found.told.endswith(
        "less was asked than usual, as one call takes 300 ms and the time limit is 10 s"
    )
    assert not found.whole


def test_without_a_limit_nothing_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    f, _ = slow(monkeypatch, 3.0)
    asked = subject(f)
    found = truth(asked, "autograd", examine(asked, "autograd"))
    assert len(found.witnesses) == 2
    assert "3 random directions" in found.told
    assert "less was asked" not in found.told


def test_a_wrong_rule_is_found_in_no_time_too(monkeypatch: pytest.MonkeyPatch) -> None:
    from autograd.extend import defvjp, primitive

    f, _ = slow(monkeypatch, 0.8)

    @primitive
    def wrong(x: Any) -> Any:
        return f(x)

    defvjp(wrong, lambda ans, x: lambda g: 1.01 * (g * (1 - ans**2)) @ A)
    asked = subject(wrong)
    found = truth(asked, "autograd", examine(asked, "autograd", time_limit_s=10.0))
    assert found.reference.kind == "central-difference"
    assert found.error(exact(X)) < 1e-6


def test_where_the_reverse_mode_cannot_the_forward_mode_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    f, _ = slow(monkeypatch, 0.3)
    asked = subject(f)
    looked = examine(asked, "autograd", time_limit_s=10.0)
    # the reverse mode comes to nothing
    monkeypatch.setattr(Witnesses, "reverse", lambda *_: ("", []))
    found = truth(asked, "autograd", looked)
    assert found.witnesses == ("autograd.jvp",)
    assert found.confirmed is not None


def test_two_modes_that_agree_can_do_without_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    f, _ = slow(monkeypatch, 0.05)
    asked, forward = subject(f), Witnesses.forward

    def long(*arguments: Any) -> Any:
        allowance.time.now += 10.0
        return forward(*arguments)

    looked = examine(asked, "autograd", time_limit_s=10.0)
    monkeypatch.setattr(Witnesses, "forward", long)
    found = truth(asked, "autograd", looked)
    assert (len(found.witnesses), found.confirmed) == (2, None)
    assert "differences were not asked: there was no time for them" in found.told


# --- cells ---


class Told(Method):
    """A method that makes what the test tells of the right Jacobian."""

    def __init__(
        self,
        call: Callable[[np.ndarray], Any],
        operator: str = "jacobian",
        declared: Layout = layout.MATRIX,
    ) -> None:
        self.info = MethodInfo("autograd.told", "what the test tells it", operator)
        self.call, self.declared = call, declared

    def layout(self, target: Target) -> Layout:
        return self.declared

    def prepare(self, target: Target) -> Prepared:
        return Prepared(self.call)


def verdict(method: Method, known: Truth | None = None, **options: Any) -> Settled:
    asked = subject(smooth(configured("autograd").xp))
    cell = Cell(
        "f", method.info.operator, method.info.name, "autograd", "cpu", "float64", threads=1
    )
    right = known or truth(asked, "autograd", examine(asked, "autograd"))
    return settle_large(cell, asked.problem, configured("autograd"), method, right, **options)


def test_a_whole_truth_is_held_against_every_entry() -> None:
    found = verdict(Told(exact)).result
    assert (found.verdict, found.reference) == (Verdict.AGREES, "consensus")
    assert "compared_on" not in found.notes


@pytest.mark.usefixtures("large")
class TestByProducts:
    """The steps of a cell, on products alone."""

    def test_the_right_one_agrees(self) -> None:
        found = verdict(Told(exact))
        assert found.result.verdict is Verdict.AGREES
        assert found.prepared is not None
        assert found.result.error is not None
        assert found.result.error < 1e-14
        assert found.result.tolerance == 1e-12
        assert found.result.notes["compared_on"] == "3 random products a side"

    def test_a_wrong_entry_is_placed(self) -> None:
        def spoiled(x: np.ndarray) -> np.ndarray:
            J = exact(x)
            J[1, 2] += 1e-6
            return J

        found = verdict(Told(spoiled))
        assert found.prepared is None
        assert found.result.verdict is Verdict.DISAGREES
        told = found.result.reason or ""
        assert told.startswith("at another point than it prepared: ‖(J-R)v‖/‖Rv‖ = ")
        assert "at row 1 of J v and at column 2 (x[2]) of v J" in told

    @pytest.mark.parametrize(
        ("call", "part"),
        [
            (lambda x: exact(X), "at another point than it prepared"),
            (lambda x: exact(x)[:1], "native shape (1, 3)"),
            (lambda x: exact(x).astype(np.float32), "float32 in a float64 cell"),
            (lambda x: exact(x) * np.nan, "at another point"),
            (lambda x: [], "native shape"),
        ],
    )
    def test_every_step_is_taken(self, call: Callable[[Any], Any], part: str) -> None:
        found = verdict(Told(call)).result
        assert found.verdict is Verdict.DISAGREES
        assert part in (found.reason or "")

    def test_a_changed_input_is_caught(self) -> None:
        def moves(x: np.ndarray) -> np.ndarray:
            J = exact(x)
            x += 1.0
            return J

        assert verdict(Told(moves)).result.verdict is Verdict.DISAGREES

    def test_an_overwritten_result_is_caught(self) -> None:
        kept = np.empty((2, 3))

        def reused(x: np.ndarray) -> np.ndarray:
            kept[...] = exact(x)
            return kept

        assert "overwrote" in (verdict(Told(reused)).result.reason or "")

    def test_what_raises_has_failed(self) -> None:
        def broken(x: np.ndarray) -> np.ndarray:
            raise ValueError("no")

        found = verdict(Told(broken)).result
        assert (found.verdict, found.reason) == (Verdict.FAILED, "ValueError: no")

    def test_sparse_and_factored_answers(self) -> None:
        pattern = Pattern.of(np.ones((2, 3)))
        csr = Told(lambda x: exact(x).reshape(-1), "sparse_jacobian", layout.sparse(pattern))
        assert verdict(csr).result.verdict is Verdict.AGREES
        thin = Told(
            lambda x: (np.diag(1 - np.tanh(A @ x) ** 2), A.copy()),
            "factored_jacobian",
            layout.factored(2),
        )
        assert verdict(thin).result.verdict is Verdict.AGREES
        wrong = Told(
            lambda x: (np.diag(1 - np.tanh(A @ x) ** 2), A * 1.1),
            "factored_jacobian",
            layout.factored(2),
        )
        assert verdict(wrong).result.verdict is Verdict.DISAGREES

    def test_blocks_of_a_batch(self) -> None:
        x = np.arange(6.0).reshape(3, 2) / 10
        asked = subject(anp.sin, x, in_axes=(0,))
        right = truth(asked, "autograd", examine(asked, "autograd"))
        cell = Cell("f", "batch_jacobian", "autograd.told", "autograd", "cpu", "float64", 1)

        def blocks(x: np.ndarray) -> np.ndarray:
            return np.einsum("bi,ij->bij", np.cos(x), np.eye(2)).reshape(6, 2)

        library = configured("autograd")
        for scale, verdict_ in ((1.0, Verdict.AGREES), (1.001, Verdict.DISAGREES)):
            method = Told(lambda x, s=scale: s * blocks(x), "batch_jacobian")
            found = settle_large(cell, asked.problem, library, method, right)
            assert found.result.verdict is verdict_

    def test_memory_is_guarded(self) -> None:
        found = verdict(Told(exact), memory_bytes=10).result
        assert found.verdict is Verdict.TOO_LARGE

    def test_an_operator_without_products_is_refused(self) -> None:
        with pytest.raises(JacbenchError, match="is not held against random products"):
            verdict(Told(exact, "vjp"))
