"""Torch functions with a thin middle, found in what make_fx records, against autograd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import jacbench
from jacbench.backend import Prepared, Target, UnfitError, registry
from jacbench.core import tree
from jacbench.core.errors import JacbenchError

torch = pytest.importorskip("torch")
pytest.importorskip("networkx")

# torch's own, at its first use of forward mode
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")

METHODS = ("torch.bottleneck", "torch.factors")
N = 24
RNG = np.random.default_rng(5)


def normal(*shape: int) -> Any:
    return torch.tensor(RNG.standard_normal(shape))


X, ELSEWHERE = normal(2, N)
ENCODE, NARROW = normal(12, N) / 5, normal(2, 12) / 3
WIDEN, DECODE = normal(12, 2), normal(N, 12) / 3


def encode(x: Any) -> Any:
    return torch.tanh(NARROW @ torch.tanh(ENCODE @ x))


def decode(z: Any) -> Any:
    return DECODE @ torch.tanh(WIDEN @ z)


def target_of(f: Callable[..., Any], x: Any = X, other: Any = ELSEWHERE, *constants: Any) -> Target:
    return Target(
        function=f,
        x=x,
        constants=constants,
        y_shape=tuple(f(x, *constants).shape),
        device="cpu",
        dtype=str(tree.first(x).dtype).removeprefix("torch."),
        elsewhere=other,
    )


def jacobian(f: Callable[..., Any], x: Any, *constants: Any) -> Any:
    def of_leaves(*leaves: Any) -> Any:
        return f(tree.unflatten(x, leaves), *constants)

    blocks = torch.autograd.functional.jacobian(of_leaves, tuple(tree.leaves(x)))
    m = of_leaves(*tree.leaves(x)).numel()
    return torch.cat([block.reshape(m, -1) for block in blocks], dim=1)


def check(f: Callable[..., Any], x: Any = X, other: Any = ELSEWHERE, *constants: Any) -> Prepared:
    """Hold the factors and their product against autograd, away from where they were prepared."""
    target = target_of(f, x, other, *constants)
    product, factors = (registry.method(name).prepare(target) for name in METHODS)
    before = [leaf.clone() for leaf in tree.leaves(other)]
    for point in (other, x):
        expected = jacobian(f, point, *constants)
        (m, n), k = expected.shape, factors.notes["k"]
        found = product.call(point)
        Jg, Jh = factors.call(point)
        assert (found.shape, Jg.shape, Jh.shape) == ((m, n), (m, k), (k, n))
        assert found.dtype == Jg.dtype == Jh.dtype == torch.float64
        assert not any(array.requires_grad for array in (found, Jg, Jh))
        scale = expected.norm()
        assert scale > 0
        assert (found - expected).norm() < 1e-12 * scale
        assert (Jg @ Jh - expected).norm() < 1e-12 * scale
        # what a caller does with the results is no matter of the next call
        for array in (found, Jg, Jh):
            array.zero_()
    assert all(map(torch.equal, before, tree.leaves(other)))
    assert factors.layout is not None
    assert factors.layout.shapes(target.y_shape, [(n,)]) == [(m, k), (k, n)]
    return factors


def refused(f: Callable[..., Any], x: Any = X, other: Any = ELSEWHERE) -> str:
    with pytest.raises(UnfitError) as caught:
        registry.method("torch.bottleneck").prepare(target_of(f, x, other))
    return str(caught.value)


# --- what is found ---


def test_an_autoencoder() -> None:
    found = check(lambda x: decode(encode(x)))
    assert (found.notes["k"], found.notes["cut"]) == (2, "tanh (2,)")
    assert "constant" not in found.notes


def test_what_is_called_is_one_recorded_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = registry.method("torch.factors").prepare(target_of(lambda x: decode(encode(x))))

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("a transform in a call")

    for transform in ("vmap", "vjp", "jvp"):
        monkeypatch.setattr(f"jacbench_torch.bottleneck.{transform}", never)
    Jg, Jh = prepared.call(ELSEWHERE)
    expected = jacobian(lambda x: decode(encode(x)), ELSEWHERE)
    torch.testing.assert_close(Jg @ Jh, expected, rtol=1e-12, atol=1e-13)


def test_what_cannot_be_recorded_is_called_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: Any, **__: Any) -> None:
        raise NotImplementedError("not in a graph")

    monkeypatch.setattr("jacbench_torch.bottleneck.make_fx", refuses)
    check(lambda x: decode(encode(x)))


def test_every_entry_has_a_place_of_its_own() -> None:
    """One value repeated is an expanded view: what writes to an entry must not write to others."""

    prepared = registry.method("torch.factors").prepare(
        target_of(lambda x: torch.tanh(x.sum()).expand(N))
    )
    for factor in prepared.call(X):
        places = {factor[index].data_ptr() for index in np.ndindex(*factor.shape)}
        assert len(places) == factor.numel()


def test_float32_stays_float32() -> None:
    parts = [part.float() for part in (ENCODE, NARROW, WIDEN, DECODE)]

    def f(x: Any) -> Any:
        for part in parts:
            x = torch.tanh(part @ x)
        return x

    target = target_of(f, X.float(), ELSEWHERE.float())
    for name in METHODS:
        arrays = tree.leaves(registry.method(name).prepare(target).call(target.x))
        assert {array.dtype for array in arrays} == {torch.float32}


def module() -> Any:
    return torch.nn.Sequential(
        torch.nn.LayerNorm(N),
        torch.nn.Linear(N, 2),
        torch.nn.GELU(),
        torch.nn.Linear(2, 12),
        torch.nn.ReLU(),
        torch.nn.LayerNorm(12),
        torch.nn.Linear(12, N),
        torch.nn.Softmax(dim=-1),
    ).double()


def test_a_module_with_layer_norms_and_parameters_that_require_a_gradient() -> None:
    assert check(module().requires_grad_(True)).notes["k"] == 2


def test_several_values_in_the_cut() -> None:
    found = check(lambda x: decode(encode(x)) * torch.exp(x.mean()) + torch.sin(x[3]))
    assert found.notes["k"] == 4
    assert str(found.notes["cut"]).count(" (") == 3


def test_a_middle_of_several_axes() -> None:
    def f(x: Any) -> Any:
        z = torch.tanh(torch.einsum("ijk,k->ij", ENCODE[:4].reshape(2, 2, N), x))
        return torch.einsum("nij,ij->n", DECODE[:, :4].reshape(N, 2, 2), z**3).reshape(4, 6)

    assert check(f).notes["k"] == 4


def test_constants_and_a_tree() -> None:
    def f(x: Any, w: Any, shift: Any) -> Any:
        z = torch.tanh(w @ x["v"].reshape(-1) * x["s"][0])
        return decode(z) * shift[1]

    x = {"v": X.reshape(4, 6), "s": (torch.tensor(1.5).double(),)}
    other = {"v": ELSEWHERE.reshape(4, 6), "s": (torch.tensor(-0.5).double(),)}
    assert check(f, x, other, normal(2, N), torch.tensor([1, 3])).notes["k"] == 2


def test_what_has_no_derivative_passes_beside() -> None:
    def f(x: Any) -> Any:
        z = encode(x)
        turned = torch.where(x > 0, decode(z), 2 * decode(z))
        return (
            turned * torch.arange(N).gather(0, torch.argmax(x).reshape(1))
            + x.detach() * z[0]
            + torch.sign(x)
        )

    assert check(f).notes["k"] == 2


def test_values_written_in_place() -> None:
    def f(x: Any) -> Any:
        z = torch.zeros(2, dtype=x.dtype)
        for i in range(2):
            z[i] = torch.tanh(ENCODE[i] @ x)
        z.mul_(2).add_(1)
        y = decode(z)
        y[:3] *= 2
        return y

    assert check(f).notes["k"] == 2


def test_products_from_the_left_end_in_place_and_are_found() -> None:
    def f(x: Any) -> Any:
        return torch.tanh(torch.tanh(x @ ENCODE.T) @ NARROW.T) @ WIDEN.T @ DECODE.T

    found = check(f)
    assert (found.notes["k"], found.notes["constant"]) == (2, "Jg")


def test_a_batch_norm_in_train_mode_writes_into_copies() -> None:
    norm = torch.nn.BatchNorm1d(2).double()
    kept = {name: buffer.clone() for name, buffer in norm.named_buffers()}

    def f(x: Any) -> Any:
        buffers = {name: buffer.clone() for name, buffer in kept.items()}
        rows = torch.tanh(x.reshape(6, 4) @ NARROW[:, :4].T)
        pooled = torch.func.functional_call(norm, buffers, (rows,))[0]
        return decode(pooled)

    assert check(f).notes["k"] == 2
    assert all(torch.equal(kept[name], buffer) for name, buffer in norm.named_buffers())


def test_a_write_that_someone_else_sees_stays_one() -> None:
    def f(x: Any) -> Any:
        z = 2 * encode(x)
        same = z.view(1, 2)
        same.mul_(3)
        both = z.clone()
        both.add_(z)
        return decode(both + z)

    assert check(f).notes["k"] == 2


def test_a_loop_in_python_and_a_transform_inside() -> None:
    def f(x: Any) -> Any:
        state = torch.zeros(2, dtype=x.dtype)
        for row in x.reshape(6, 4):
            state = torch.tanh(state + NARROW[:, :4] @ row)
        return torch.vmap(lambda weights: weights @ torch.tanh(WIDEN @ state))(DECODE)

    assert check(f).notes["k"] == 2


# --- linear halves ---


def test_a_linear_outer_half_is_computed_once() -> None:
    last = torch.nn.Linear(2, 3 * N).double()
    found = check(lambda x: last(torch.tanh(NARROW @ (ENCODE @ x))).reshape(6, -1) / 3)
    assert found.notes["constant"] == "Jg"


def test_a_linear_inner_half_is_computed_once() -> None:
    assert check(lambda x: decode(NARROW @ (ENCODE @ x))).notes["constant"] == "Jh"


def test_a_linear_function_has_two_constants() -> None:
    found = check(lambda x: DECODE @ (WIDEN @ (NARROW @ (ENCODE @ x))))
    assert found.notes["constant"] == "Jg and Jh"


def test_what_only_looks_linear_is_not_taken_for_it() -> None:
    def squared(x: Any) -> Any:
        wide = WIDEN @ encode(x)
        return DECODE @ (wide * wide)

    def frozen(x: Any) -> Any:
        wide = WIDEN @ encode(x)
        return DECODE @ (wide * wide.detach())

    def masked(x: Any) -> Any:
        return torch.where(x > 0, DECODE[:, :2] @ encode(x), 0)

    for f in (squared, frozen, masked):
        assert "Jg" not in str(check(f).notes.get("constant"))


# --- what the recording loses ---


class StraightThrough(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Any) -> Any:
        return torch.round(x) + x * 0

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, ct: Any) -> Any:
        return ct


def without_gradient(x: Any) -> Any:
    with torch.no_grad():
        scale = x.sum()
    return decode(encode(x)) * scale


def through_numpy(x: Any) -> Any:
    scale = float(np.abs(x.detach().numpy()).sum())
    return decode(encode(x)) * scale


@pytest.mark.parametrize(
    "f", [lambda x: decode(encode(StraightThrough.apply(x))), without_gradient, through_numpy]
)
def test_another_derivative_than_autograds_is_no_answer(f: Callable[..., Any]) -> None:
    assert "another derivative than autograd" in refused(f)


def test_a_branch_on_numbers_is_declined() -> None:
    def branching(x: Any) -> Any:
        return decode(encode(x)) if x.sum() > 0 else 2 * decode(encode(x))

    with pytest.raises(RuntimeError) as caught:
        registry.method("torch.bottleneck").prepare(target_of(branching))
    said = registry.load("torch").declined(caught.value) or ""
    assert "trying to get value out of a tracing tensor" in said


def test_a_branch_outside_of_torch_is_seen_at_the_second_point() -> None:
    def branching(x: Any) -> Any:
        positive = x.detach().numpy().sum() > 0
        return decode(encode(x)) if positive else 2 * decode(encode(x))

    assert (X.sum() > 0) != (-X.sum() > 0)
    assert "branches in Python" in refused(branching, X, -X)
    assert check(branching, X, 2 * X).notes["k"] == 2  # where it does not matter


def test_writing_into_what_is_not_its_own_is_refused() -> None:
    kept = torch.zeros(2, dtype=torch.float64)

    def f(x: Any) -> Any:
        kept.copy_(encode(x))
        return decode(kept)

    with pytest.raises((UnfitError, RuntimeError)):
        registry.method("torch.bottleneck").prepare(target_of(f))


# --- what has no thin middle ---


def test_a_skip_is_told_with_its_figures() -> None:
    said = refused(lambda x: x + decode(encode(x)))
    assert said.startswith("the narrowest place between x and y holds 24 values, of min(m, n) = 24")


def test_complex_values_are_not_cut() -> None:
    assert "too wide" in refused(lambda x: torch.fft.irfft(torch.fft.rfft(x)[:1], n=N))


def test_no_derivative_is_said() -> None:
    for f in (lambda x: torch.zeros(N), torch.sign, lambda x: (x > 0).double(), torch.detach):
        assert "the Jacobian is zero" in refused(f)


@pytest.mark.parametrize("method", METHODS)
def test_the_reason_is_the_methods_own(method: str) -> None:
    chosen = registry.method(method)
    assert chosen.info.structure == "bottleneck"
    with pytest.raises(UnfitError) as caught:
        chosen.prepare(target_of(lambda x: x * 2))
    assert chosen.declined(caught.value) == str(caught.value)


def test_a_branch_that_was_not_taken_is_split_anew() -> None:
    down, up = torch.ones(2, 30, dtype=torch.float64), torch.ones(30, 2, dtype=torch.float64)
    steps = torch.arange(30, dtype=torch.float64)

    def function(x: Any) -> Any:
        middle = torch.tanh(down @ x)
        return up @ middle if float(x.detach().numpy()[0]) > 0 else steps * (up @ middle**2)

    start = torch.linspace(0.01, 0.02, 30, dtype=torch.float64)
    made = jacbench.prepare(function, start, "torch.factors")
    assert made.notes["guard"] == "every call: repair"
    for x in (start, -start, start):
        outer, inner = made(x)
        right = torch.autograd.functional.jacobian(function, x)
        torch.testing.assert_close(outer @ inner, right)
    refusing = jacbench.prepare(function, start, "torch.bottleneck", guard="raise")
    with pytest.raises(JacbenchError, match=r"column 0 of J times a random vector"):
        refusing(-start)


class _Shut(torch.autograd.Function):  # type: ignore[misc, name-defined]
    """A step whose surrogate gradient is zero far away from it."""

    generate_vmap_rule = True

    @staticmethod
    def forward(v: Any) -> Any:
        return (v > 9).to(v.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(inputs[0])

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return g * (abs(ctx.saved_tensors[0] - 9) < 1)


@pytest.mark.parametrize("method", METHODS)
def test_a_rule_of_its_own_that_is_shut_where_it_was_prepared_is_not_lost_later(
    method: str,
) -> None:
    def f(x: Any) -> Any:
        return decode(_Shut.apply(NARROW @ x[:12]) + 0.1 * x[12:14])

    prepared = jacbench.prepare(f, torch.zeros(N, dtype=torch.float64), method)
    later = torch.cat([9 * torch.linalg.pinv(NARROW).sum(1), torch.zeros(12, dtype=torch.float64)])
    assert torch.autograd.functional.jacobian(f, later)[:, :12].any()
    with pytest.raises(JacbenchError, match="take a method that needs no structure"):
        prepared(later)
