"""Every operator for a function that is native to one library, by any of its methods."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from jacbench.backend import Guarding, Native, Prepared, registry
from jacbench.core import tree
from jacbench.core.errors import JacbenchError, unknown
from jacbench.core.layouts import Layout, SparseLayout
from jacbench.core.tree import Tree
from jacbench.derivatives.call import Call
from jacbench.structure import formats

Finish: TypeAlias = Callable[[Native, "Layout | None"], Any]
"""From a method's result, and its layout, to what the user gets."""


def jacobian(
    f: Callable[..., Any],
    x: Tree,
    method: str,
    *,
    argnums: int | Sequence[int] | None = None,
    chunk_size: int | None = None,
    matrix: bool = False,
) -> Native:
    """Return the Jacobian of ``f`` at ``x`` by ``method``, see :func:`jacbench.jacobian`."""
    asked = Call("jacobian", f, x, method, chunk_size, argnums=argnums)
    parts = asked.arranged(asked.call())
    return asked.as_matrix(parts) if matrix else asked.structured(parts)


def prepare(
    f: Callable[[Any], Any],
    x: Tree,
    method: str,
    *,
    argnums: int | Sequence[int] | None = None,
    chunk_size: int | None = None,
    in_axis: int | None = None,
    pattern: Any = None,
    form: str = "csr",
    guard: str = "repair",
    guard_every: int | None = None,
) -> Derivative:
    """Return the Jacobian of ``f`` as a function of points like ``x``, prepared once by ``method``.

    Whatever a method does once (trace, compile, find a sparsity pattern, split the function) is
    done here. A call then costs what :func:`jacbench.pick` and ``jacbench run`` measure, and hardly
    more for an array of the library's own, of the shape and dtype prepared for.

    Parameters
    ----------
    f, x, method, argnums, chunk_size
        As in :func:`jacobian`; the operator is that of the method: a whole Jacobian, one per
        sample, a sparse one or its factors.
    in_axis
        For a method per sample: the axis of x that runs over samples.
    pattern, form
        For a sparse one, as in :func:`sparse_jacobian`.
    guard
        What is done where a method relies on a structure (zeros, samples that are apart, a narrow
        middle) that is not there at a later x, as one random product of f itself tells.
        ``repair``: the structure is found anew from that x on, and the right answer returned; an
        error where there is none, as where samples of a ``batch_jacobian`` begin to see each other.
        ``raise``: an error. ``off``: nothing is looked at.
    guard_every
        One call in so many is looked at. None: each, unless the structure follows from the program
        text and so holds for every x. A look costs about one product more: where a Jacobian is put
        together from k of them, a call takes about (k + 1) / k times as long, as ``guard_cost`` of
        the notes tells.

    Returns
    -------
    A function of x, which returns what the function of the operator's name returns.

    Raises
    ------
    JacbenchError
        As :func:`jacobian`; and where a method that uses structure finds none.

    Notes
    -----
    What a traced method (of JAX, or one that uses structure) has seen of what ``f`` closes over is
    kept, as under ``jax.jit``: f is taken to be a function of x alone.

    More is paid in each call for a tree (some microseconds a leaf), for a NumPy array where the
    library has arrays of its own (checked, and converted), and for a result that the method lays
    out in another way than is returned (columns first, the leaves of a tree side by side, the form
    of a sparse one): the library itself rearranges that.
    """
    if method == "auto":
        raise JacbenchError(
            "prepare(method='auto'): name a method: jacbench.pick(f, x).method is the fastest"
        )
    operator = registry.method(method).info.operator
    if operator not in _PREPARED:
        raise JacbenchError(
            f"prepare(method={method!r}): it computes {operator}: give a method of "
            f"{', '.join(_PREPARED)}"
        )
    if operator == "sparse_jacobian":
        if form not in formats.FORMATS:
            raise unknown("format", form, formats.FORMATS)
    elif form != "csr":
        raise JacbenchError(
            f"prepare(method={method!r}, form={form!r}): it computes {operator}: form is for a "
            "sparse one: leave it out"
        )
    asked = Call(
        operator,
        f,
        x,
        method,
        chunk_size,
        argnums=argnums,
        in_axis=in_axis,
        pattern=pattern,
        guard=Guarding(guard, guard_every),
    )
    return Derivative(asked, form)


class Derivative:
    """A derivative that was prepared for points like one: a function of x.

    Attributes
    ----------
    notes
        What preparing it found out: the pattern and what gave it, the guard, the way it goes; as
        ``guard_cost`` about how many times as long a call takes for being guarded.
    """

    def __init__(self, asked: Call, form: str) -> None:
        self._asked = asked
        prepared = asked.prepare_to_keep()
        self._call = _answering(prepared)
        self.notes = prepared.notes
        self._matrix = asked.backend.staged(lambda result: asked.as_matrix(asked.arranged(result)))
        # of anything else than plain trees a method gets the arrays, taken out in each call
        self._is_like_x = _recogniser(asked.x) if asked.point.as_given else lambda _: False
        self._finish = _PREPARED[asked.operator.name](asked, form)

    def __call__(self, x: Tree) -> Any:
        """Return the derivative at ``x``."""
        if not self._is_like_x(x):
            traced = self._asked.anew_where_traced(x)
            if traced is not None:
                return traced.structured(traced.arranged(traced.call()))
            x = self._asked.like_x(x)
        return self._finish(*self._answer(x))

    def matrix(self, x: Tree) -> Native:
        """Return the (m, n) array of a whole Jacobian at ``x``."""
        asked = self._asked
        if asked.operator.name != "jacobian":
            raise JacbenchError(
                f"{asked.who}: its result is no (m, n) array: prepare a method of jacobian"
            )
        if not self._is_like_x(x):
            traced = asked.anew_where_traced(x)
            if traced is not None:
                return traced.as_matrix(traced.arranged(traced.call()))
            x = asked.like_x(x)
        return self._matrix(self._answer(x)[0])

    def _answer(self, x: Native) -> tuple[Native, Layout | None]:
        """Return the native result and its layout, or raise the line that says why not."""
        try:
            return self._call(x)
        except Exception as exc:
            told = self._asked.told(exc)
            if told is None:
                raise
            raise JacbenchError(told) from exc


def _answering(prepared: Prepared) -> Callable[[Native], tuple[Native, Layout | None]]:
    """Return from x to the native result and its layout, which a guard may have changed."""
    answer: Callable[[Native], tuple[Native, Layout | None]] | None
    answer = getattr(prepared.call, "answer", None)
    call, known = prepared.call, prepared.layout
    return answer or (lambda x: (call(x), known))


def _recogniser(known: Tree) -> Callable[[Tree], bool]:
    """Return what says that a point can go in as it is: of the types, shapes and dtypes of one.

    In a fraction of a microsecond for an array. What it does not recognise may be convertible.
    """
    kind = type(known)
    if isinstance(known, dict):
        by_key = {key: _recogniser(part) for key, part in known.items()}
        return lambda x: (
            type(x) is kind
            and x.keys() == by_key.keys()
            and all(alike(x[key]) for key, alike in by_key.items())
        )
    if isinstance(known, (list, tuple)):
        by_place = [_recogniser(part) for part in known]
        return lambda x: (
            type(x) is kind
            and len(x) == len(by_place)
            and all(alike(part) for alike, part in zip(by_place, x, strict=True))
        )
    shape, dtype = known.shape, known.dtype
    return lambda x: type(x) is kind and x.shape == shape and x.dtype == dtype


def _whole(asked: Call, form: str) -> Finish:
    del form
    shapes = asked.shapes_as_they_are
    bare = asked.outputs.alone and asked.point.as_given and tree.is_leaf(asked.x)
    alone = shapes[0] if shapes is not None and bare else None
    # staged: step by step JAX takes five times as long as for the Jacobian of a small function
    arranged = asked.backend.staged(asked.arranged)

    def finish(result: Native, made: Layout | None) -> Native:
        del made
        if alone is not None and getattr(result, "shape", None) == alone:
            return result
        parts = tree.leaves(result)
        if [part.shape for part in parts] != shapes:
            parts = arranged(result)
        return asked.structured(parts)

    return finish


def _sparse(asked: Call, form: str) -> Finish:
    def finish(result: Native, made: Layout | None) -> Any:
        assert isinstance(made, SparseLayout)  # noqa: S101 - what the operator's methods return
        (data,) = tree.leaves(result)
        return formats.convert(made.pattern, asked.backend.to_numpy(data), form)

    return finish


def _factors(asked: Call, form: str) -> Finish:
    del asked, form

    def finish(result: Native, made: Layout | None) -> tuple[Native, Native]:
        del made
        outer, inner = tree.leaves(result)
        return outer, inner

    return finish


_PREPARED: dict[str, Callable[[Call, str], Finish]] = {
    "jacobian": _whole,
    "batch_jacobian": _whole,
    "sparse_jacobian": _sparse,
    "factored_jacobian": _factors,
}
"""By operator, what makes of a method's result that which a user gets."""


def value_and_jacobian(
    f: Callable[[Any], Any],
    x: Tree,
    method: str,
    *,
    argnums: int | Sequence[int] | None = None,
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
    asked = Call("value_and_jacobian", f, x, method, chunk_size, argnums=argnums, has_aux=has_aux)
    flat, aux, derivative = asked.operator.parts(asked.call(), has_aux=has_aux)
    J = asked.structured(asked.arranged(derivative))
    value = asked.outputs.value_of(flat)
    return ((value, aux) if has_aux else value), J


def batch_jacobian(
    f: Callable[[Any], Any],
    x: Tree,
    method: str,
    *,
    argnums: int | Sequence[int] | None = None,
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
        are moved, at x and at a few points of other signs and scales; what is dead at all of them
        is not seen. False: you know that.

    Returns
    -------
    The library's own arrays, of shape ``y.shape + leaf.shape`` without the leaf's ``in_axis``.

    Raises
    ------
    JacbenchError
        Also where samples interact: a batch norm in train mode, a softmax over the batch.
    """
    asked = Call("batch_jacobian", f, x, method, chunk_size, argnums=argnums, in_axis=in_axis)
    if check:
        asked.refuse_interacting_samples()
    return asked.structured(asked.arranged(asked.call(refuse_zeros=check, apart=check)))


def sparse_jacobian(
    f: Callable[[Any], Any],
    x: Tree,
    method: str,
    *,
    pattern: Any = None,
    form: str = "csr",
    guard: str = "repair",
    guard_every: int | None = None,
) -> Any:
    """Return the Jacobian of ``f`` at ``x`` by its entries that may be other than zero.

    Parameters, and errors, are those of :func:`jacobian`, and:

    Parameters
    ----------
    method
        One whose operator is ``sparse_jacobian``: ``jax.coloured-csr``, ...
    pattern
        Where it may be other than zero, an (m, n) SciPy sparse array or a NumPy array of booleans;
        it is checked. None: it is found.
    guard, guard_every
        As in :func:`prepare`.
    form
        ``csr``: a SciPy CSR array; ``banded``: what :func:`scipy.linalg.solve_banded` takes, the
        pair of bandwidths and the diagonals; ``operator``: a SciPy LinearOperator; ``dense``: a
        NumPy array.

    Notes
    -----
    The pattern is found anew in every call, which costs far more than the Jacobian: for many calls
    take :func:`prepare`, which keeps it.
    """
    prepared = prepare(
        f,
        x,
        _of("sparse_jacobian", method),
        pattern=pattern,
        form=form,
        guard=guard,
        guard_every=guard_every,
    )
    return prepared(x)


def factored_jacobian(
    f: Callable[[Any], Any],
    x: Tree,
    method: str,
    *,
    guard: str = "repair",
    guard_every: int | None = None,
) -> tuple[Native, Native]:
    """Return ``(Jg, Jh)``, of shapes (m, k) and (k, n), whose product is the Jacobian of ``f``.

    Parameters, and errors, are those of :func:`jacobian`; ``method`` is one whose operator is
    ``factored_jacobian``: ``jax.factors``, ...; ``guard`` and ``guard_every`` are those of
    :func:`prepare`.
    """
    method = _of("factored_jacobian", method)
    pair: tuple[Native, Native]
    pair = prepare(f, x, method, guard=guard, guard_every=guard_every)(x)
    return pair


def _of(operator: str, method: str) -> str:
    """Return ``method``, or raise where its operator is another one."""
    found = registry.method(method).info.operator
    if found != operator:
        raise JacbenchError(f"{operator}(method={method!r}): it computes {found}, not {operator}")
    return method


def vjp(
    f: Callable[[Any], Any],
    x: Tree,
    v: Tree,
    method: str,
    *,
    argnums: int | Sequence[int] | None = None,
) -> Native:
    """Return ``Σ_i v_i J_ij``, in the structure of x: what ``y.backward(v)`` accumulates.

    ``v`` is a tree like y, of its shapes and dtypes, into which NumPy's arrays and plain floats are
    converted; ``method`` is one whose operator is ``vjp``. Errors, and ``argnums``, are those of
    :func:`jacobian`.
    """
    asked = Call("vjp", f, x, method, None, argnums=argnums)
    return asked.pulled_back(asked.arranged(asked.call(v)))


def jvp(
    f: Callable[[Any], Any],
    x: Tree,
    t: Tree,
    method: str,
    *,
    argnums: int | Sequence[int] | None = None,
) -> Native:
    """Return ``Σ_j J_ij t_j``, a tree like y: the derivative of f along ``t``.

    ``t`` is a tree like x, or like the arguments that argnums choose, converted likewise; what is
    a constant in x counts for nothing. ``method`` is one whose operator is ``jvp``. Errors, and
    ``argnums``, are those of :func:`jacobian`.
    """
    asked = Call("jvp", f, x, method, None, argnums=argnums)
    (product,) = tree.leaves(asked.call(t))
    return asked.outputs.tree_of([parts[0] for parts in asked.outputs.by_leaf([product])])
