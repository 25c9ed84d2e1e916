"""What surrounds a call of a torch method: gradients switched off, an outer graph or transform."""

from __future__ import annotations

import contextlib
import math
import re
from typing import Any

import numpy as np
import pytest

import jacbench as jb
from jacbench.backend import Method, Target, registry
from jacbench.core import tree
from jacbench.core.errors import JacbenchError

torch = pytest.importorskip("torch")

pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit.* is deprecated:DeprecationWarning"),
    # and of functional.jacobian's forward mode, mapped: it is slow there
    pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning"),
    pytest.mark.filterwarnings("ignore:Attempted to insert a get_attr Node:UserWarning"),
]

EVERY = [
    info
    for info in registry.descriptors()["torch"].methods
    # compiling takes its seconds; what surrounds a call is the same
    if not info.compiled
]
NAMES = [info.name for info in EVERY]
OUTSIDE = [torch.no_grad, torch.inference_mode]
X = torch.tensor([[0.3, -0.7], [1.1, 0.4], [-0.5, 0.9], [0.2, 1.3]], dtype=torch.float64)


def cubes(x: Any) -> Any:
    """Samples apart, a diagonal Jacobian that is another one at another x."""
    return x**3 + 2 * x


def narrow(x: Any) -> Any:
    return torch.outer((x.flatten() ** 2).sum().reshape(1), torch.arange(1.0, 9.0).to(x)).flatten()


def target_of(method: Method, x: Any = X) -> Target:
    info = method.info
    function = narrow if info.structure == "bottleneck" else cubes
    y = function(x.detach())
    plain: dict[str, Any] = {}
    if info.operator in {"vjp", "jvp"}:
        like = y if info.operator == "vjp" else X
        plain["vector"] = torch.linspace(1.0, 2.0, like.numel(), dtype=X.dtype).reshape(like.shape)
    if info.operator == "batch_jacobian" or info.structure == "samples":
        plain["in_axes"] = (0,)
    if info.by_intermediate:
        plain["intermediate"] = shifted
    return Target(
        function=function,
        x=x,
        constants=(),
        y_shape=tuple(y.shape),
        device="cpu",
        dtype="float64",
        elsewhere=X * 1.1 + 0.1 if info.structure else None,
        **plain,
    )


def shifted(shift: Any) -> Any:
    Z = X * 2 + shift
    return cubes(Z), Z


def plainly(method: Method, x: Any = X) -> list[Any]:
    """Return what the method gives with nothing around it."""
    found = tree.leaves(method.prepare(target_of(method)).call(x))
    assert all(leaf.abs().max() > 0.1 for leaf in found)
    return found


def same(found: Any, expected: list[Any]) -> bool:
    pairs = zip(tree.leaves(found), expected, strict=True)
    return all(torch.allclose(one, other, rtol=1e-12, atol=1e-12) for one, other in pairs)


# --- gradients switched off ---


@pytest.mark.parametrize("name", NAMES)
def test_a_jacobian_is_right_where_gradients_are_switched_off(name: str) -> None:
    method = registry.method(name)
    expected, outside = plainly(method), method.prepare(target_of(method))
    for off in OUTSIDE:
        with off():
            inside = method.prepare(target_of(method))
            given = X.clone()  # under inference mode an inference tensor
            answers = [prepared.call(x) for prepared in (outside, inside) for x in (X, given)]
            grad_mode = torch.is_grad_enabled()
        assert not grad_mode
        answers.append(inside.call(X))
        for answer in answers:
            assert same(answer, expected), off.__name__
            assert not any(leaf.requires_grad for leaf in tree.leaves(answer))


def test_inference_mode_with_gradients_switched_on_in_it_is_one_too() -> None:
    prepared = jb.prepare(cubes, X, "torch.grad-loop")
    with torch.inference_mode(), torch.enable_grad():
        J = prepared(X)
    assert torch.equal(J, prepared(X))


def test_what_a_model_holds_stays_out_of_the_graph_of_a_result() -> None:
    model = torch.nn.Linear(3, 2).double()
    x = torch.ones(3, dtype=torch.float64)
    with torch.no_grad():
        inside = jb.prepare(model, x, "torch.func.jacrev")
        J = inside(x)
    assert not J.requires_grad
    assert torch.equal(J, model.weight.detach())


# --- an outer graph, an outer transform ---


def loss(method: Method, x: Any) -> Any:
    """Return a number that depends on all that the method gives at ``x``, prepared there."""
    return sum(
        (leaf**2).sum() for leaf in tree.leaves(method.prepare(target_of(method, x)).call(x))
    )


def by_differences(method: Method) -> Any:
    prepared, h = method.prepare(target_of(method)), 1e-5

    def value(x: Any) -> float:
        return float(sum((leaf**2).sum() for leaf in tree.leaves(prepared.call(x))))

    slopes = np.zeros(X.numel())
    for j in range(X.numel()):
        step = torch.zeros(X.numel(), dtype=X.dtype)
        step[j] = h
        step = step.reshape(X.shape)
        slopes[j] = (value(X + step) - value(X - step)) / (2 * h)
    return slopes.reshape(X.shape)


def by_autograd(method: Method) -> Any:
    leaf = X.clone().requires_grad_()
    return torch.autograd.grad(loss(method, leaf), leaf)[0]


def prepared_outside(method: Method) -> Any:
    prepared, leaf = method.prepare(target_of(method)), X.clone().requires_grad_()
    value: Any = sum((part**2).sum() for part in tree.leaves(prepared.call(leaf)))
    return torch.autograd.grad(value, leaf)[0]


def by_functional(method: Method) -> Any:
    return torch.autograd.functional.jacobian(lambda x: loss(method, x), X)


def by_grad(method: Method) -> Any:
    return torch.func.grad(lambda x: loss(method, x))(X)


def by_jacfwd(method: Method) -> Any:
    return torch.func.jacfwd(lambda x: loss(method, x))(X)


def by_duals(method: Method) -> Any:
    found = torch.zeros_like(X)
    for place in np.ndindex(*X.shape):
        tangent = torch.zeros_like(X)
        tangent[place] = 1
        with torch.autograd.forward_ad.dual_level():
            dual = torch.autograd.forward_ad.make_dual(X, tangent)
            out = torch.autograd.forward_ad.unpack_dual(loss(method, dual)).tangent
        found[place] = 0 if out is None else out
    return found


OUTER = [by_autograd, prepared_outside, by_functional, by_grad, by_jacfwd, by_duals]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_differentiated_once_more_is_right_or_refused(name: str) -> None:
    method = registry.method(name)
    expected = by_differences(method)
    assert np.abs(expected).max() > 0.1
    for outer in OUTER:
        try:
            found = outer(method)
        except JacbenchError as refused:
            assert re.match(rf"{name}: .* take torch\.", str(refused))  # noqa: PT017 - or right
            # what says that it keeps the graph does not refuse there
            assert not (method.differentiable and outer is by_autograd)
            continue
        assert np.allclose(found.detach(), expected, rtol=1e-7, atol=1e-7), outer.__name__


@pytest.mark.parametrize("name", NAMES)
def test_what_is_mapped_is_right_or_refused(name: str) -> None:
    method, points = registry.method(name), torch.stack([X, X + 0.25])
    expected = [plainly(method, x) for x in points]
    prepared = method.prepare(target_of(method))

    def within(x: Any) -> Any:
        return tuple(tree.leaves(method.prepare(target_of(method, x)).call(x)))

    def outside(x: Any) -> Any:
        return tuple(tree.leaves(prepared.call(x)))

    for call in (within, outside):
        try:
            found = torch.func.vmap(call)(points)
        except JacbenchError as refused:
            assert name in str(refused)  # noqa: PT017 - or it is right
            continue
        for index, one in enumerate(expected):
            assert same([leaf[index] for leaf in found], one)


INNER = ["torch.functional", "torch.grad-loop", "torch.func.jacrev", "torch.func.jacfwd"]


@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize("outer", [*INNER, "torch.functional-forward", "torch.coloured"])
def test_a_jacobian_of_a_jacobian_is_right_or_refused(inner: str, outer: str) -> None:
    x = torch.ones(2, dtype=torch.float64)

    def sums(p: Any) -> Any:
        return jb.jacobian(lambda q: q**3, p, inner).sum(0)

    with contextlib.suppress(JacbenchError):
        found = jb.jacobian(sums, x, outer)
        assert torch.allclose(found, 6 * torch.eye(2, dtype=torch.float64))


def test_functional_nests_in_itself() -> None:
    def inner(p: Any) -> Any:
        return jb.jacobian(lambda q: q**3, p, "torch.functional").sum(0)

    found = jb.jacobian(inner, torch.ones(2, dtype=torch.float64), "torch.functional")
    assert torch.allclose(found, 6 * torch.eye(2, dtype=torch.float64))


def test_a_jacobian_maps_over_points() -> None:
    found = torch.func.vmap(lambda p: jb.jacobian(torch.sin, p, "torch.func.jacrev"))(X)
    assert torch.allclose(found, torch.diag_embed(X.cos()))


@pytest.mark.parametrize("transform", [torch.func.jacrev, torch.func.jacfwd, torch.func.vmap])
def test_what_looks_for_a_structure_refuses_what_has_no_numbers(transform: Any) -> None:
    for name in ("torch.coloured", "torch.per-sample"):
        with pytest.raises(JacbenchError, match="x is traced here"):
            transform(lambda p, name=name: jb.jacobian(torch.sin, p, name))(X)


def test_a_result_at_a_leaf_that_requires_grad_is_right_and_says_what_it_is_not() -> None:
    x = X[0].clone().requires_grad_()
    J = jb.jacobian(torch.sin, x, "torch.backward-loop")
    assert torch.allclose(J, torch.diag(x.detach().cos()))
    assert x.grad is None
    with pytest.raises(JacbenchError, match=r"take torch.func.jacrev, or give it x.detach\(\)"):
        J.sum().backward()


# --- what is the user's ---


@pytest.mark.parametrize("name", [n for n in NAMES if "backward" in n or "loop" in n])
def test_the_grad_of_parameters_is_left_alone(name: str) -> None:
    model = torch.nn.Linear(2, 2).double()
    method = registry.method(name)
    target = target_of(method)
    found = method.prepare(
        Target(
            function=model,
            x=target.x,
            constants=(),
            y_shape=(4, 2),
            device="cpu",
            dtype="float64",
            vector=target.vector,
            in_axes=target.in_axes,
        )
    ).call(X)
    assert math.isfinite(float(tree.leaves(found)[0].sum()))
    assert model.weight.grad is None
    assert X.grad is None


@pytest.mark.parametrize(
    "make",
    [
        lambda a, b: {"a": a, "b": b},
        lambda a, b: [a, b],
        lambda a, b: {"a": (a,), "b": {"b": b}},
    ],
)
def test_one_leaf_of_a_tree_that_is_part_of_a_graph_is_enough(make: Any) -> None:
    a, b = X[0].clone(), X[1].clone()

    def f(x: Any) -> Any:
        one, other = tree.leaves(x)
        return one * other

    prepared = jb.prepare(f, make(a, b), "torch.grad-loop")
    J = prepared(make(a, b.clone().requires_grad_()))
    with pytest.raises(JacbenchError, match="it keeps no graph of x"):
        tree.leaves(J)[0].sum().backward()
    with torch.no_grad():
        assert torch.equal(tree.leaves(prepared(make(a, b)))[0], torch.diag(b))
