"""Code that autodiff libraries stumble over, each with the Jacobian that it should give.

The NumPy side is written so that it can be checked; the functions of the libraries, in
``jacbench_<library>.problems.awkward``, are written as the library's users would write them. What
a library cannot do becomes ``unsupported`` in its own words.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from jacbench.core.arrays import Array
from jacbench.core.function_types import Namespace, NativeFunction
from jacbench.core.known_fault import KnownFault
from jacbench.problems import Entry
from jacbench.problems.problem import Problem


def _in(function: str, *backends: str) -> dict[str, NativeFunction | str]:
    """Return where each of ``backends`` keeps its own version of ``function``."""
    return {name: f"jacbench_{name}.problems.awkward:{function}" for name in backends}


# --- awkward/while-loop ---

_LOOP_ENDS = 0.25


def while_loop(entry: Entry) -> Problem:
    """Build x = 0.8 sin(A x), repeated until |x|^2 is at most 0.25: 3 x 3.

    The loop runs four times at x and once elsewhere, and no |x|^2 on the way is near the limit.
    """
    return Problem(
        name=entry.name,
        summary=entry.summary,
        source=entry.source,
        function=_while_loop,
        native=_in("while_loop", "jax"),
        x=np.array([1.5, -1.2, 0.9]),
        elsewhere=np.array([0.3, 0.4, 0.35]),
        constants=(np.array([[0.8, -0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]]),),
        jacobian=_while_loop_by_x,
    )


def _while_loop(xp: Namespace, x: Any, A: Any) -> Any:
    while xp.sum(x * x) > _LOOP_ENDS:
        x = 0.8 * xp.sin(A @ x)
    return x


def _while_loop_by_x(x: Array, A: Array) -> Array:
    J = np.eye(x.size, dtype=x.dtype)
    while np.sum(x * x) > _LOOP_ENDS:
        z = A @ x
        J = 0.8 * np.cos(z)[:, None] * (A @ J)
        x = 0.8 * np.sin(z)
    return J


# --- awkward/in-place ---


def in_place(entry: Entry) -> Problem:
    """Build (x1 x2, x0 x1, x0 x2, x0 x3) times cos(x), written into a copy of x: 4 x 4."""
    return Problem(
        name=entry.name,
        summary=entry.summary,
        source=entry.source,
        function=_in_place,
        native=_in("in_place", "torch", "jax", "autograd"),
        x=np.array([0.7, -0.4, 1.1, 0.6]),
        elsewhere=np.array([-0.5, 0.8, 0.9, -1.2]),
        jacobian=_in_place_by_x,
        known_faults=(
            KnownFault(
                methods=("torch.func.linearize", "torch.func.linearize-jvp"),
                jacobian=_in_place_by_x_folded,
                reason="linearize folds what it reads of the values before they are written to",
                link="https://github.com/pytorch/pytorch/issues/107538",
            ),
        ),
    )


def _in_place(xp: Namespace, x: Any) -> Any:
    return xp.concat([xp.reshape(x[1] * x[2], (1,)), x[0] * x[1:]]) * xp.cos(x)


def _written(x: Array) -> tuple[Array, Array]:
    """Return what stands in the copy before the last product, and its Jacobian."""
    J = x[0] * np.eye(4, dtype=x.dtype)
    J[1:, 0] = x[1:]
    J[0] = [0, x[2], x[1], 0]
    return np.concatenate([x[1:2] * x[2], x[0] * x[1:]]), J


def _in_place_by_x(x: Array) -> Array:
    u, by_x = _written(x)
    J: Array = np.cos(x)[:, None] * by_x - np.diag(u * np.sin(x))
    return J


def _in_place_by_x_folded(x: Array) -> Array:
    """Return it as if the last product had x itself for what was written over it."""
    _, by_x = _written(x)
    J: Array = np.cos(x)[:, None] * by_x - np.diag(x * np.sin(x))
    return J


# --- awkward/cond, awkward/item-branch ---


def cond(entry: Entry) -> Problem:
    """Build x sin(x) where the sum of x is positive and x^3 elsewhere: 3 x 3, both taken."""
    return _branch(entry, _in("cond", "jax"))


def item_branch(entry: Entry) -> Problem:
    """Build the same branches, chosen by a Python number taken out of an array."""
    return _branch(entry, _in("item_branch", "torch", "jax", "autograd"))


def _branch(entry: Entry, native: dict[str, NativeFunction | str]) -> Problem:
    return Problem(
        name=entry.name,
        summary=entry.summary,
        source=entry.source,
        function=_branches,
        native=native,
        x=np.array([0.7, -0.4, 1.1]),
        elsewhere=np.array([-0.9, 0.3, -0.6]),
        jacobian=_branches_by_x,
        kink_distance=1.2,
    )


def _branches(xp: Namespace, x: Any) -> Any:
    if xp.sum(x) > 0:
        return x * xp.sin(x)
    return x**3


def _branches_by_x(x: Array) -> Array:
    slope = np.sin(x) + x * np.cos(x) if np.sum(x) > 0 else 3 * x**2
    J: Array = np.diag(slope)
    return J


# --- awkward/where ---


def where(entry: Entry) -> Problem:
    """Build x log(x) where x is positive and x elsewhere: 4 x 4.

    The log is given 1 where it is not wanted: of a negative number it is nan, and so would be the
    derivative of the product, although ``where`` multiplies it by 0.
    """
    return Problem(
        name=entry.name,
        summary=entry.summary,
        source=entry.source,
        function=_where,
        native=_in("where", "autograd"),
        x=np.array([0.7, -0.4, 1.6, -1.1]),
        elsewhere=np.array([-0.8, 0.5, 2.3, -0.3]),
        jacobian=_where_by_x,
        kink_distance=0.3,
    )


def _where(xp: Namespace, x: Any) -> Any:
    safe = xp.where(x > 0, x, xp.ones_like(x))
    return xp.where(x > 0, x * xp.log(safe), x)


def _where_by_x(x: Array) -> Array:
    slope = np.ones_like(x)
    slope[x > 0] += np.log(x[x > 0])
    J: Array = np.diag(slope)
    return J


# --- awkward/custom-vjp, awkward/custom-vjp-setup-context, awkward/custom-jvp ---


def custom_vjp(entry: Entry) -> Problem:
    """Build A log(1 + exp(x)) with a reverse rule written by hand: 3 x 4."""
    return _custom(entry, _in("custom_vjp", "torch", "jax", "autograd"))


def custom_vjp_setup_context(entry: Entry) -> Problem:
    """Build the same with the rule in the form that torch's transforms take."""
    return _custom(entry, _in("custom_vjp_setup_context", "torch"))


def custom_jvp(entry: Entry) -> Problem:
    """Build the same with a forward rule written by hand, and a reverse rule where it needs one."""
    return _custom(entry, _in("custom_jvp", "torch", "jax", "autograd"))


def _custom(entry: Entry, native: dict[str, NativeFunction | str]) -> Problem:
    return Problem(
        name=entry.name,
        summary=entry.summary,
        source=entry.source,
        function=_of_softplus,
        native=native,
        x=np.array([0.7, -0.4, 1.6, -2.1]),
        elsewhere=np.array([-0.8, 0.5, 2.3, 1.4]),
        constants=(
            np.array([[1.2, -0.5, 0.3, 0.8], [0.4, 0.9, -1.1, 0.2], [-0.7, 0.6, 0.5, 1.3]]),
        ),
        jacobian=_of_softplus_by_x,
    )


def _of_softplus(xp: Namespace, x: Any, A: Any) -> Any:
    return A @ xp.softplus(x)


def _of_softplus_by_x(x: Array, A: Array) -> Array:
    J: Array = A / (1 + np.exp(-x))
    return J


# --- awkward/dropout ---


def dropout(entry: Entry) -> Problem:
    """Build A dropout(tanh(x)) with a fixed seed: 3 x 6; each library draws a mask of its own."""
    return Problem(
        name=entry.name,
        summary=entry.summary,
        source=entry.source,
        native=_in("dropout", "torch", "jax", "autograd"),
        x=np.array([0.7, -0.4, 1.6, -1.1, 0.2, 0.9]),
        elsewhere=np.array([-0.8, 0.5, 0.3, -0.6, 1.2, -1.4]),
        constants=(
            np.array(
                [
                    [1.2, -0.5, 0.3, 0.8, -0.9, 0.6],
                    [0.4, 0.9, -1.1, 0.2, 1.4, -0.3],
                    [-0.7, 0.6, 0.5, 1.3, 0.1, -0.8],
                ]
            ),
        ),
        known_faults=(
            KnownFault(
                methods=("torch.func.linearize-jvp",),
                jacobian=_dropout_drawn_again,
                reason="linearize traces the draw and not its seed, and draws another mask",
                link="https://github.com/pytorch/pytorch/issues/107187",
            ),
        ),
    )


def _dropout_drawn_again(x: Array, A: Array) -> Array:
    torch_side = importlib.import_module("jacbench_torch.problems.awkward")
    J: Array = torch_side.dropout_drawn_again(x, A)
    return J


# --- awkward/no-grad, awkward/detach ---

_FORWARD_IGNORES_NO_GRAD = (
    "torch.functional-forward",
    "torch.vmap-jvp",
    "torch.func.jacfwd",
    "torch.func.linearize",
    "torch.compile-jacfwd",
    "torch.func.jacfwd-aux",
    "torch.vmap-jacfwd",
    "torch.func.jvp",
    "torch.forward-ad",
    "torch.func.linearize-jvp",
    "torch.jvp-by-jacfwd",
)


def no_grad(entry: Entry) -> Problem:
    """Build x times a copy of x made under no_grad: 2 x 2, diag(x) and not diag(2 x)."""
    return Problem(
        name=entry.name,
        summary=entry.summary,
        source=entry.source,
        function=_half_frozen,
        native=_in("no_grad", "torch"),
        x=np.array([2.0, 3.0]),
        elsewhere=np.array([-1.5, 0.5]),
        in_axes=(0,),
        jacobian=np.diag,
        stops_gradient=True,
        known_faults=(
            KnownFault(
                methods=_FORWARD_IGNORES_NO_GRAD,
                jacobian=_half_frozen_twice,
                reason="forward mode does not heed torch.no_grad, detach() stops both modes",
                link="https://github.com/pytorch/pytorch/issues/128600",
            ),
        ),
    )


def detach(entry: Entry) -> Problem:
    """Build x times x cut from differentiation: 2 x 2, diag(x)."""
    return Problem(
        name=entry.name,
        summary=entry.summary,
        source=entry.source,
        function=_half_frozen,
        x=np.array([2.0, 3.0]),
        elsewhere=np.array([-1.5, 0.5]),
        in_axes=(0,),
        jacobian=np.diag,
        stops_gradient=True,
    )


def _half_frozen(xp: Namespace, x: Any) -> Any:
    return x * xp.stop_gradient(x)


def _half_frozen_twice(x: Array) -> Array:
    J: Array = np.diag(2 * x)
    return J


# --- awkward/complex-input, awkward/integer-input ---


def complex_input(entry: Entry) -> Problem:
    """Build |x|^2 of a complex x: 2 x 2; no method is asked for its derivative."""
    return Problem(
        name=entry.name,
        summary=entry.summary,
        source=entry.source,
        function=_squared_modulus,
        x=np.array([1.0 + 2.0j, -0.5 + 0.3j]),
    )


def _squared_modulus(xp: Namespace, x: Any) -> Any:
    return xp.square(x.real) + xp.square(x.imag)


def integer_input(entry: Entry) -> Problem:
    """Build x / 2 of an integer x: 3 x 3; no method is asked for its derivative."""
    return Problem(
        name=entry.name,
        summary=entry.summary,
        source=entry.source,
        function=_half,
        x=np.array([1, 2, 3]),
    )


def _half(xp: Namespace, x: Any) -> Any:
    del xp
    return x / 2


# --- awkward/constant-output ---


def constant_output(entry: Entry) -> Problem:
    """Build sin(c), which x does not enter: 3 x 4 zeros."""
    return Problem(
        name=entry.name,
        summary=entry.summary,
        source=entry.source,
        function=_constant_output,
        x=np.array([0.7, -0.4, 1.6, -1.1]),
        constants=(np.array([0.3, 1.2, -0.5]),),
        jacobian=_no_dependence,
    )


def _constant_output(xp: Namespace, x: Any, c: Any) -> Any:
    del x
    return xp.sin(c)


def _no_dependence(x: Array, c: Array) -> Array:
    return np.zeros((c.size, x.size), dtype=x.dtype)


# --- awkward/linalg ---


def linalg(entry: Entry) -> Problem:
    """Build the solution of X y = b, det X and log |det X| as a function of X: 5 x 9.

    The torch side multiplies by the inverse: compiled by Inductor, the forward derivative of
    ``torch.linalg.solve`` ends the process (torch 2.13, on the CPU).
    """
    return Problem(
        name=entry.name,
        summary=entry.summary,
        source=entry.source,
        function=_linalg,
        native=_in("linalg", "torch", "jax", "autograd"),
        x=np.array([[2.0, 0.3, 0.1], [0.2, 1.5, -0.4], [0.5, -0.1, 1.0]]),
        elsewhere=np.array([[1.4, -0.2, 0.6], [0.3, 2.1, 0.5], [-0.3, 0.4, 1.7]]),
        constants=(np.array([0.8, -1.3, 0.4]),),
        jacobian=_linalg_by_x,
    )


def _linalg(xp: Namespace, X: Any, b: Any) -> Any:
    # the inverse by the adjugate, whose columns are the cross products of the rows
    by_row = [_cross(xp, X[1], X[2]), _cross(xp, X[2], X[0]), _cross(xp, X[0], X[1])]
    determinant = xp.sum(X[0] * by_row[0])
    solution = xp.stack(by_row, axis=1) @ b / determinant
    return xp.concat([solution, xp.stack([determinant, xp.log(xp.abs(determinant))])])


def _cross(xp: Namespace, u: Any, v: Any) -> Any:
    return xp.roll(u, 2, axis=0) * xp.roll(v, 1, axis=0) - xp.roll(u, 1, axis=0) * xp.roll(
        v, 2, axis=0
    )


def _linalg_by_x(X: Array, b: Array) -> Array:
    """d(X^-1 b) = -X^-1 dX X^-1 b and d det X = det X tr(X^-1 dX).

    Reference: K. B. Petersen and M. S. Pedersen, The Matrix Cookbook (2012), equations 40 and 46.
    """
    inverse = np.linalg.inv(X)
    by_solution = -inverse[:, :, None] * (inverse @ b)
    by_log = inverse.T[None]
    return np.concatenate([by_solution, np.linalg.det(X) * by_log, by_log]).reshape(5, 9)


# --- awkward/trace ---


def trace(entry: Entry) -> Problem:
    """Build X[0] X[1] entry by entry beside the trace of X X: 4 x 9.

    Autograd gets the neutral sum: its ``trace`` has float64 derivatives even of float32.
    """
    return Problem(
        name=entry.name,
        summary=entry.summary,
        source=entry.source,
        function=_trace,
        native=_in("trace", "torch", "jax"),
        x=np.array([[2.0, 0.3, 0.1], [0.2, 1.5, -0.4], [0.5, -0.1, 1.0]]),
        elsewhere=np.array([[1.4, -0.2, 0.6], [0.3, 2.1, 0.5], [-0.3, 0.4, 1.7]]),
        jacobian=_trace_by_x,
        known_faults=(
            KnownFault(
                methods=("torch.compile-jacrev",),
                jacobian=_trace_in_every_row,
                reason="the compiled gradient of torch.trace is added to every other row too",
                link="https://github.com/pytorch/pytorch/issues/190855",
            ),
        ),
    )


def _trace(xp: Namespace, X: Any) -> Any:
    return xp.concat([X[0] * X[1], xp.reshape(xp.sum(X * xp.matrix_transpose(X)), (1,))])


def _trace_by_x(X: Array) -> Array:
    nothing = np.zeros_like(X)
    products = np.concatenate([np.diag(X[1]), np.diag(X[0]), nothing], axis=1)
    return np.concatenate([products, 2 * X.T.reshape(1, 9)])


def _trace_in_every_row(X: Array) -> Array:
    J = _trace_by_x(X)
    J[:3] += J[3]
    return J
