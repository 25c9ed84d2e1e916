"""Every operator for a function that is native to one library, by any of its methods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jacbench import tree
from jacbench.backend import Native
from jacbench.native_call import Call
from jacbench.tree import Tree


def jacobian(
    f: Callable[[Any], Any],
    x: Tree,
    method: str,
    *,
    chunk_size: int | None = None,
    matrix: bool = False,
) -> Native:
    """Return the Jacobian of ``f`` at ``x``, computed by ``method``.

    Parameters
    ----------
    f
        ``f(x) -> y`` over the library's own arrays (``torch``, ``jax.numpy``, ``autograd.numpy``,
        NumPy); y is one floating-point array of any shape.
    x
        One of the library's arrays, or a dict, list or tuple of them; NumPy arrays are converted,
        to the CPU and at their own dtype.
    method
        A name of ``jacbench list``: ``torch.func.jacrev``, ``jax.jacfwd``, ...
    chunk_size
        Rows or columns at a time, for methods that take it.
    matrix
        True: one (m, n) array, rows and columns in C order, the leaves of x side by side;
        :func:`jacbench.tree.columns` says which columns are whose.

    Returns
    -------
    The library's own arrays, of shape ``y.shape + leaf.shape`` for each leaf of x and in the
    structure of x, as ``torch.func.jacrev`` and ``jax.jacrev`` return them. A leaf that y does not
    depend on has zeros.

    Raises
    ------
    JacbenchError
        In one line: an unknown method, an absent backend, an x or y that has no derivative.

    Notes
    -----
    Nothing global is changed: threads, float64 in JAX and TF32 are as the caller set them.
    """
    asked = Call("jacobian", f, x, method, chunk_size)
    parts = asked.arranged(asked.call())
    return asked.as_matrix(parts) if matrix else tree.unflatten(asked.x, parts)


def value_and_jacobian(
    f: Callable[[Any], Any],
    x: Tree,
    method: str,
    *,
    chunk_size: int | None = None,
    has_aux: bool = False,
) -> tuple[Native, Native]:
    """Return ``(y, J)``, or ``((y, aux), J)``, from one evaluation of ``f`` at ``x``.

    Parameters, shapes and errors are those of :func:`jacobian`, and:

    Parameters
    ----------
    method
        One whose operator is ``value_and_jacobian``: ``torch.func.jacrev-aux``, ...
    has_aux
        True where ``f(x)`` returns ``(y, aux)``; aux is not differentiated.

    Notes
    -----
    Before it calls the method, jacbench evaluates f once more, to check y. The method itself needs
    one evaluation.
    """
    asked = Call("value_and_jacobian", f, x, method, chunk_size, has_aux=has_aux)
    value, aux, derivative = asked.operator.parts(asked.call(), has_aux=has_aux)
    J = tree.unflatten(asked.x, asked.arranged(derivative))
    return ((value, aux) if has_aux else value), J


def batch_jacobian(
    f: Callable[[Any], Any],
    x: Tree,
    method: str,
    *,
    in_axis: int = 0,
    chunk_size: int | None = None,
    check: bool = True,
) -> Native:
    """Return for each sample the Jacobian of its outputs by its own inputs.

    Parameters, and errors, are those of :func:`jacobian`, and:

    Parameters
    ----------
    method
        One whose operator is ``batch_jacobian``: ``torch.vmap-jacrev``, ``jax.sum-trick``, ...
    in_axis
        The axis of every leaf of x that runs over samples; the first axis of y does.
    check
        Make sure that no sample sees another, by 2 log2(B) evaluations of f in which some samples
        are moved; what is dead at this point is not seen. False: you know that.

    Returns
    -------
    The library's own arrays, of shape ``y.shape + leaf.shape`` without the leaf's ``in_axis``.

    Raises
    ------
    JacbenchError
        Also where samples interact: a batch norm in train mode, a softmax over the batch.
    """
    asked = Call("batch_jacobian", f, x, method, chunk_size, in_axis=in_axis)
    if check:
        asked.refuse_interacting_samples()
    return tree.unflatten(asked.x, asked.arranged(asked.call()))


def vjp(f: Callable[[Any], Any], x: Tree, v: Any, method: str) -> Native:
    """Return ``Σ_i v_i J_ij``, in the structure of x: what ``y.backward(v)`` accumulates.

    ``v`` has the shape and dtype of y, into which NumPy's arrays and plain floats are converted;
    ``method`` is one whose operator is ``vjp``. Errors are those of :func:`jacobian`.
    """
    asked = Call("vjp", f, x, method, None)
    return tree.unflatten(asked.x, asked.arranged(asked.call(v)))


def jvp(f: Callable[[Any], Any], x: Tree, t: Tree, method: str) -> Native:
    """Return ``Σ_j J_ij t_j``, of y's shape: the derivative of f along ``t``.

    ``t`` is a tree like x, converted likewise; ``method`` is one whose operator is ``jvp``. Errors
    are those of :func:`jacobian`.
    """
    asked = Call("jvp", f, x, method, None)
    (product,) = tree.leaves(asked.call(t))
    return product
