"""Planted faults of the operators beside the Jacobian, and of inputs that y does not depend on."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from jacbench_numpy.method import flat, parts

from jacbench.backend import Method, Target
from jacbench.core import tree
from jacbench.core.arrays import Array
from tests.faults import BY_HAND, copied
from tests.planting import Faults

FAULTS = Faults()
in_preparation, in_result = FAULTS.in_preparation, FAULTS.in_result

Call = Callable[[Any], Any]


def whole(target: Target) -> Callable[[Any], Array]:
    """Return the (m, n) Jacobian by hand as a function of x."""
    analytic, constants = target.analytic, target.constants
    assert analytic is not None
    return lambda x: np.array(analytic(x, *constants))


# --- any of them: entries, dtypes, shapes ---


def in_derivative(name: str, **about: Any) -> Any:
    """Register ``change(leaves) -> leaves``, of a derivative's arrays, for each operator."""

    def register(change: Callable[[list[Array]], list[Any]]) -> Any:
        def prepare(inner: Method, target: Target) -> Call:
            right, has_value = inner.prepare(target).call, inner.info.operator.startswith("value")

            def call(x: Any) -> Any:
                result = copied(right(x))
                derivative = result[1] if has_value else result
                changed = tree.unflatten(derivative, change(tree.leaves(derivative)))
                return (result[0], changed) if has_value else changed

            return call

        for operator, base in BY_HAND.items():
            if operator != "jacobian":  # its own are in tests.faults
                in_preparation(f"{operator}: {name}", base, **about)(prepare)
        return change

    return register


@in_derivative("one entry NaN")
def nan_entry(leaves: list[Array]) -> list[Any]:
    leaves[-1].reshape(-1)[-1] = np.nan
    return leaves


@in_derivative("opposite sign")
def sign(leaves: list[Array]) -> list[Any]:
    return [-leaf for leaf in leaves]


@in_derivative("result of another dtype", wrong_numbers=False)
def other_dtype(leaves: list[Array]) -> list[Any]:
    return [leaf.astype(np.float32) for leaf in leaves]


@in_derivative("an axis too many", wrong_numbers=False)
def axis_too_many(leaves: list[Array]) -> list[Any]:
    return [leaf[None] for leaf in leaves]


@in_derivative("a list of numbers, not an array", wrong_numbers=False)
def numbers(leaves: list[Array]) -> list[Any]:
    return [leaf.tolist() for leaf in leaves]


# --- vjp and jvp: another vector ---


def with_vector(operator: str, name: str) -> Any:
    """Register ``change(vector, target) -> vector`` as a fault of a product with a vector."""

    def register(change: Callable[[Any, Target], Any]) -> Any:
        def prepare(inner: Method, target: Target) -> Call:
            vector = change(target.vector, target)
            return inner.prepare(dataclasses.replace(target, vector=vector)).call

        in_preparation(f"{operator}: {name}", BY_HAND[operator])(prepare)
        return change

    return register


@with_vector("vjp", "the cotangent is ignored, ones in its place")
def ones(vector: Any, target: Target) -> Any:
    return np.ones_like(vector)


@with_vector("vjp", "the cotangent is transposed")
def transposed(vector: Any, target: Target) -> Any:
    return vector.T.reshape(vector.shape)


@with_vector("vjp", "the cotangent is divided by the number of outputs")
def of_the_mean(vector: Any, target: Target) -> Any:
    return vector / vector.size


@with_vector("vjp", "the cotangent went through float32")
def single_cotangent(vector: Any, target: Target) -> Any:
    return vector.astype(np.float32).astype(np.float64)


@with_vector("vjp", "only the first output is pulled back")
def first_output(vector: Any, target: Target) -> Any:
    kept = np.zeros_like(vector)
    kept.reshape(-1)[0] = vector.reshape(-1)[0]
    return kept


@with_vector("jvp", "the tangent of an earlier draw")
def other_draw(vector: Any, target: Target) -> Any:
    rng = np.random.default_rng(0)
    return tree.map_leaves(lambda leaf: rng.standard_normal(leaf.shape), vector)


@with_vector("jvp", "the tangent of the first leaf alone")
def first_leaf(vector: Any, target: Target) -> Any:
    first, *rest = tree.leaves(vector)
    return tree.unflatten(vector, [first, *map(np.zeros_like, rest)])


@with_vector("jvp", "the tangent is normalised")
def normalised(vector: Any, target: Target) -> Any:
    return tree.map_leaves(lambda leaf: leaf / np.linalg.norm(flat(vector)), vector)


@with_vector("jvp", "leaves of the tangent in the order of the dict")
def unsorted(vector: Any, target: Target) -> Any:
    def leaves(part: Any) -> list[Array]:
        if tree.is_leaf(part):
            return [part]
        children = part.values() if isinstance(part, dict) else part
        return [leaf for child in children for leaf in leaves(child)]

    return parts(np.concatenate([leaf.reshape(-1) for leaf in leaves(vector)]), vector)


@in_preparation("jvp: along x, not along the tangent", BY_HAND["jvp"])
def along_x(inner: Method, target: Target) -> Call:
    jacobian = whole(target)
    return lambda x: (jacobian(x) @ flat(x)).reshape(target.y_shape)


# --- vjp and jvp: one for the other, which only a square Jacobian lets pass ---


@in_preparation("vjp: J v in its place, where J is square", BY_HAND["vjp"])
def pushed(inner: Method, target: Target) -> Call:
    right, jacobian = inner.prepare(target).call, whole(target)

    def call(x: Any) -> Any:
        J = jacobian(x)
        return right(x) if J.shape[0] != J.shape[1] else parts(J @ target.vector.reshape(-1), x)

    return call


@in_preparation("jvp: t J in its place, where J is square", BY_HAND["jvp"])
def pulled(inner: Method, target: Target) -> Call:
    right, jacobian = inner.prepare(target).call, whole(target)

    def call(x: Any) -> Any:
        J = jacobian(x)
        if J.shape[0] != J.shape[1]:
            return right(x)
        return (flat(target.vector) @ J).reshape(target.y_shape)

    return call


# --- batch_jacobian ---

in_blocks = functools.partial(in_result, base=BY_HAND["batch_jacobian"])


def by_sample(J: Array, target: Target) -> Array:
    """Return J as an array whose first axis is that of samples, over the same memory."""
    return J.reshape(target.y_shape[0], -1, J.shape[1])


@in_blocks("batch_jacobian: samples permuted")
def permuted(J: Array, target: Target) -> Array:
    return np.roll(by_sample(J, target), 1, axis=0).reshape(J.shape)


@in_blocks("batch_jacobian: the first sample's for every sample")
def repeated(J: Array, target: Target) -> Array:
    by_sample(J, target)[:] = by_sample(J, target)[:1].copy()
    return J


@in_blocks("batch_jacobian: the mean over samples for every sample")
def averaged(J: Array, target: Target) -> Array:
    by_sample(J, target)[:] = by_sample(J, target).mean(axis=0)
    return J


@in_blocks("batch_jacobian: the last sample is left out")
def last_left_out(J: Array, target: Target) -> Array:
    by_sample(J, target)[-1] = 0
    return J


@in_blocks("batch_jacobian: outputs before samples")
def outputs_first(J: Array, target: Target) -> Array:
    return by_sample(J, target).swapaxes(0, 1).reshape(J.shape)


@in_blocks("batch_jacobian: another shape than declared", wrong_numbers=False)
def blocks_apart(J: Array, target: Target) -> Array:
    return by_sample(J, target)


def columns_of_samples(target: Target) -> list[Array]:
    """Return which columns of the (m, n) matrix belong to each sample; all where x is shared."""
    numbered, axis = parts(np.arange(flat(target.x).size), target.x), target.in_axes[0]
    if axis is None:
        return [flat(numbered)] * target.y_shape[0]
    samples = range(target.y_shape[0])
    return [
        flat(tree.map_leaves(lambda leaf, b=b: np.take(leaf, b, axis), numbered)) for b in samples
    ]


@in_preparation("batch_jacobian: by the inputs of the next sample", BY_HAND["batch_jacobian"])
def of_the_neighbour(inner: Method, target: Target) -> Call:
    jacobian, columns = whole(target), columns_of_samples(target)

    def call(x: Any) -> Any:
        rows = by_sample(jacobian(x), target)
        own = [row[:, columns[b - 1]] for b, row in enumerate(rows)]
        return np.concatenate(own)

    return call


@in_preparation("batch_jacobian: by the sum over samples", BY_HAND["batch_jacobian"])
def sum_trick(inner: Method, target: Target) -> Call:
    """Right where no sample sees another, and x is not theirs in common."""
    jacobian, columns = whole(target), columns_of_samples(target)

    def call(x: Any) -> Any:
        summed = by_sample(jacobian(x), target).sum(axis=0)
        return np.concatenate([summed[:, own] for own in columns])

    return call


# --- value_and_jacobian: the value ---


def beside(name: str) -> Any:
    """Register ``change(y) -> y``, of the value beside a right J, as a fault."""

    def register(change: Callable[[Array], Any]) -> Any:
        def prepare(inner: Method, target: Target) -> Call:
            right = inner.prepare(target).call

            def call(x: Any) -> Any:
                value, J = right(x)
                if target.has_aux:
                    return (change(np.array(value[0])), value[1]), J
                return change(np.array(value)), J

            return call

        in_preparation(
            f"value_and_jacobian: {name}", BY_HAND["value_and_jacobian"], wrong_numbers=False
        )(prepare)
        return change

    return register


@beside("the value scaled by 1 + 1e-9")
def scaled(y: Array) -> Array:
    return y * (1 + 1e-9)


@beside("the value went through float32")
def rounded(y: Array) -> Array:
    return y.astype(np.float32).astype(np.float64)


@beside("the value in float32")
def single_value(y: Array) -> Array:
    return y.astype(np.float32)


@beside("the value in another shape")
def flat_value(y: Array) -> Array:
    return y.reshape(1, -1)


@beside("the value is summed")
def summed_value(y: Array) -> Array:
    return np.array(y.sum())


@beside("a list of numbers for a value")
def listed_value(y: Array) -> Any:
    return [float(entry) for entry in y.reshape(-1)]


@beside("no value")
def no_value(y: Array) -> Any:
    return None


def in_pair(name: str) -> Any:
    """Register ``prepare(right, target) -> call`` as a fault of what stands beside J."""

    def register(prepare: Callable[[Call, Target], Call]) -> Any:
        def spoilt(inner: Method, target: Target) -> Call:
            return prepare(inner.prepare(target).call, target)

        in_preparation(
            f"value_and_jacobian: {name}", BY_HAND["value_and_jacobian"], wrong_numbers=False
        )(spoilt)
        return prepare

    return register


@in_pair("the value of the prepared point")
def value_of_preparation(right: Call, target: Target) -> Call:
    kept, _ = copied(right(target.x))
    return lambda x: (copied(kept), right(x)[1])


@in_pair("the value of the first call")
def value_of_first_call(right: Call, target: Target) -> Call:
    kept: list[Any] = []

    def call(x: Any) -> Any:
        value, J = right(x)
        kept.append(copied(value))
        return copied(kept[0]), J

    return call


@in_pair("J of the first call beside a new value")
def jacobian_of_first_call(right: Call, target: Target) -> Call:
    kept: list[Any] = []

    def call(x: Any) -> Any:
        value, J = right(x)
        kept.append(np.array(J))
        return value, kept[0].copy()

    return call


@in_pair("one buffer for all values")
def one_value(right: Call, target: Target) -> Call:
    buffer, _ = copied(right(target.x))

    def call(x: Any) -> Any:
        value, J = right(x)
        for into, found in zip(tree.leaves(buffer), tree.leaves(value), strict=True):
            into[...] = found
        return buffer, J

    return call


@in_pair("J before the value")
def swapped(right: Call, target: Target) -> Call:
    return lambda x: right(x)[::-1]


@in_pair("J alone")
def jacobian_alone(right: Call, target: Target) -> Call:
    return lambda x: right(x)[1]


# --- value_and_jacobian: aux ---


def in_aux(name: str) -> Any:
    """Register ``change(aux) -> aux`` as a fault; it changes nothing where there is no aux."""

    def register(change: Callable[[Any], Any]) -> Any:
        def prepare(right: Call, target: Target) -> Call:
            def call(x: Any) -> Any:
                value, J = right(x)
                if not target.has_aux:
                    return value, J
                return (value[0], change(copied(value[1]))), J

            return call

        in_pair(name)(prepare)
        return change

    return register


@in_aux("aux scaled by 1 + 1e-9")
def scaled_aux(aux: Any) -> Any:
    return tree.map_leaves(lambda leaf: leaf * (1 + 1e-9) if leaf.dtype.kind == "f" else leaf, aux)


@in_aux("a count in aux off by one")
def miscounted(aux: Any) -> Any:
    return tree.map_leaves(
        lambda leaf: np.asarray(leaf + 1) if leaf.dtype.kind in "iu" else leaf, aux
    )


@in_aux("a part of aux left out")
def part_of_aux(aux: Any) -> Any:
    return tree.leaves(aux)[1:]


@in_aux("aux in float32")
def single_aux(aux: Any) -> Any:
    return tree.map_leaves(
        lambda leaf: leaf.astype(np.float32) if leaf.dtype.kind == "f" else leaf, aux
    )


@in_pair("aux left out")
def without_aux(right: Call, target: Target) -> Call:
    def call(x: Any) -> Any:
        value, J = right(x)
        return (value[0] if target.has_aux else value), J

    return call


@in_pair("aux of the prepared point")
def aux_of_preparation(right: Call, target: Target) -> Call:
    kept, _ = copied(right(target.x))

    def call(x: Any) -> Any:
        value, J = right(x)
        return ((value[0], copied(kept[1])) if target.has_aux else value), J

    return call


# --- inputs that y does not depend on ---


def unused(J: Array, target: Target) -> list[bool]:
    """Say of each leaf of x whether its columns are zero."""
    return [not J[:, columns].any() for columns in tree.columns(target.x).values()]


@in_result("unused input: NaN in its place")
def nan_for_unused(J: Array, target: Target) -> Array:
    for columns, zero in zip(tree.columns(target.x).values(), unused(J, target), strict=True):
        if zero:
            J[:, columns] = np.nan
    return J


@in_result("unused input: its columns left out", wrong_numbers=False)
def columns_left_out(J: Array, target: Target) -> Array:
    blocks = zip(tree.columns(target.x).values(), unused(J, target), strict=True)
    return np.concatenate([J[:, :0], *(J[:, columns] for columns, zero in blocks if not zero)], 1)


@in_preparation("unused input: left out of a vjp", BY_HAND["vjp"], wrong_numbers=False)
def leaf_left_out(inner: Method, target: Target) -> Call:
    right = inner.prepare(target).call

    def call(x: Any) -> Any:
        products = right(x)
        kept = [leaf for leaf in tree.leaves(products) if leaf.any()]
        return products if len(kept) == len(tree.leaves(products)) else kept

    return call


@in_preparation("torch: an unused input is None", "torch.autograd.grad", wrong_numbers=False)
def unused_is_none(inner: Method, target: Target) -> Call:
    import torch

    def call(x: Any) -> Any:
        leaves = [leaf.detach().requires_grad_() for leaf in tree.leaves(x)]
        y = target.function(tree.unflatten(x, leaves), *target.constants)
        return tree.unflatten(x, torch.autograd.grad(y, leaves, target.vector, allow_unused=True))

    return call


# --- as it happens in each library ---


@in_preparation("torch: a vjp adds to the .grad of the call before", "torch.backward")
def grad_kept(inner: Method, target: Target) -> Call:
    import torch

    leaves = [torch.zeros_like(leaf).requires_grad_() for leaf in tree.leaves(target.x)]

    def call(x: Any) -> Any:
        with torch.no_grad():
            for leaf, entries in zip(leaves, tree.leaves(x), strict=True):
                leaf.copy_(entries)
        y = target.function(tree.unflatten(x, leaves), *target.constants)
        if y.requires_grad:
            y.backward(target.vector)
        found = [torch.zeros_like(a) if a.grad is None else a.grad.clone() for a in leaves]
        return tree.unflatten(x, found)

    return call


@in_preparation("torch: per sample the gradient of the sum", "torch.sample-loop")
def summed_by_torch(inner: Method, target: Target) -> Call:
    """Every sample gets the sum over samples, which is what shared parameters' .grad holds."""
    right = inner.prepare(target).call

    def spread(block: Any) -> Any:
        return block.sum(dim=0, keepdim=True).expand_as(block).clone()

    def call(x: Any) -> Any:
        found = right(x)
        return found if target.in_axes[0] is not None else tree.map_leaves(spread, found)

    return call


@in_preparation("jax: the tangent of the prepared x is baked in", "jax.jvp")
def baked_primal(inner: Method, target: Target) -> Call:
    import jax

    _, push = jax.linearize(lambda x: target.function(x, *target.constants), target.x)
    pushed_once = jax.jit(push)
    return lambda x: pushed_once(target.vector)


@in_preparation("autograd: a vjp of the sum of outputs", "autograd.make_vjp")
def of_sum_in_autograd(inner: Method, target: Target) -> Call:
    from autograd.differential_operators import make_vjp

    def call(x: Any) -> Any:
        pull, y = make_vjp(lambda x: target.function(x, *target.constants))(x)
        return pull(np.ones(np.shape(y)))

    return call
