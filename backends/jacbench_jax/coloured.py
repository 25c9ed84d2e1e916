"""The Jacobian from as many tangents, or cotangents, as its sparsity pattern takes colours.

The pattern is the user's own, that of asdex where it is installed and copes with the function, or
found from products; see :mod:`jacbench.structure.compression_plan`.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from jacbench.backend import Chunking, Target, UnfitError
from jacbench.core import layouts, tree
from jacbench.core.errors import JacbenchError
from jacbench.core.pattern import Pattern
from jacbench.core.redaction import one_line
from jacbench.structure import compression_plan, guard
from jacbench.structure.compression import Compression
from jacbench.structure.compression_plan import Detection
from jacbench.structure.guard import Structured, StructuredMethod
from jacbench.structure.pattern_check import Products
from jacbench.structure.probe_order import shape_of
from jacbench.structure.probing import Product
from jacbench_jax import dependence, guarded
from jacbench_jax.method import JaxMethod

if TYPE_CHECKING:
    from jacbench.core.layouts import Layout

EMBEDDED = 2**22
"""Bytes of vectors and places up to which they become constants of the executable.

XLA then applies what is linear in f to the vectors once and for all: a tenth of the time of a
tridiagonal matrix. Larger ones would take long to fold and be held twice.
"""

AT_ONCE = 16
"""Vectors per compiled product: one executable, whatever number is asked for."""


UNROLLED = 64
"""Products that are added up one by one; more would take long to compile."""


class Coloured(StructuredMethod, JaxMethod):
    """Compressed products as one executable; the dense (m, n) matrix."""

    chunking: Chunking = "chunked"

    def layout(self, target: Target) -> Layout:
        """Return (m, n)."""
        del target
        return layouts.MATRIX

    def structured(self, target: Target, before: Pattern | None = None) -> Structured:
        """Find and check the pattern, compile the products and what puts them in place."""
        at = products_of(target)
        plan = compression_plan.plan(
            target,
            [at(x) for x in (target.x, target.elsewhere) if x is not None],
            detection(target),
            before=before,
            further=lambda: map(at, self.further(target)),
        )
        best = plan.best
        stacked_at = stacked(target, best.by, target.chunk_size)
        vectors = _beside(target, _in_shape(target, best.by, best.seeds(target.dtype)))
        places = _beside(target, self.places(best))

        embedded = sum(leaf.nbytes for leaf in tree.leaves((vectors, places))) <= EMBEDDED
        rest = (target.constants,) if embedded else (target.constants, vectors, places)

        def whole(x: Any, rest: tuple[Any, ...]) -> tuple[Any, Any]:
            constants, *given = rest
            own_vectors, own_places = given or (vectors, places)
            found = stacked_at(x, own_vectors, constants)
            return self.arranged(found, best.pattern, own_places), found

        def apart(x: Any, found: Any, rest: tuple[Any, ...], more: Any) -> tuple[Any, Any]:
            vector, partners = more
            (one,) = stacked(target, best.by)(x, vector, rest[0])
            terms = found * partners
            return _added(terms) - one, _added(jnp.abs(terms)) + jnp.abs(one)

        made = Structured(
            layout=self.result_layout(best.pattern),
            notes=plan.notes,
            everywhere=plan.everywhere,
            side=best.by,
            pattern=best.pattern,
        )
        return guarded.compiled(
            target, made, whole, rest, apart, functools.partial(_more, target, best)
        )

    def products_of(self, target: Target) -> Callable[[Any], Products]:
        """Return from x to products by the library, forward and back."""
        return products_of(target)

    def result_layout(self, pattern: Pattern) -> Layout | None:
        """Return the layout that only the pattern reveals; None: that of ``layout``."""
        del pattern
        return None

    def places(self, best: Compression) -> tuple[Any, ...]:
        """Return where each entry stands in the products, and where it goes in the matrix."""
        return _in_products(best), np.stack([best.pattern.rows, best.pattern.indices], axis=1)

    def arranged(self, products: Any, pattern: Pattern, places: tuple[Any, ...]) -> Any:
        """Return the result, from the stacked products."""
        at, to = places
        zeros = jnp.zeros(pattern.shape, products.dtype)
        return jax.lax.scatter(
            zeros,
            to,
            _taken(products, at),
            jax.lax.ScatterDimensionNumbers((), (0, 1), (0, 1)),
            indices_are_sorted=True,
            unique_indices=True,
            mode="promise_in_bounds",
        )


class ColouredCsr(Coloured):
    """Compressed products as one executable; the data of a CSR matrix."""

    def layout(self, target: Target) -> Layout:
        """Return (nnz,), of a pattern that is known beforehand only where it is given."""
        return given_layout(self.info.name, target)

    def result_layout(self, pattern: Pattern) -> Layout | None:
        """Return (nnz,)."""
        return layouts.sparse(pattern)

    def places(self, best: Compression) -> tuple[Any, ...]:
        """Return where each entry stands in the products."""
        return (_in_products(best),)

    def arranged(self, products: Any, pattern: Pattern, places: tuple[Any, ...]) -> Any:
        """Take each entry from its place."""
        del pattern
        return _taken(products, *places)


def _added(terms: Any) -> Any:
    """Return the sum over the first axis; XLA takes a reduction along it ten times as long."""
    if not 0 < len(terms) <= UNROLLED:
        return jnp.sum(terms, axis=0)
    return functools.reduce(jnp.add, [terms[k] for k in range(len(terms))])


def _more(target: Target, best: Compression, met: Any) -> list[Any]:
    """Return random vectors, each with what the products are multiplied with to add up to its."""
    width = best.pattern.shape[0 if best.by == "columns" else 1]
    item = np.dtype(target.dtype).itemsize
    drawn = guard.vectors(met, target.dtype, item * (met.size + best.count * width))
    return [
        _beside(target, (_in_shape(target, best.by, vector[None]), best.partners(vector)))
        for vector in drawn
    ]


def _in_products(best: Compression) -> Any:
    """Return the row and column of each entry in the stacked products, of shape (nnz, 2)."""
    width = best.pattern.shape[0 if best.by == "columns" else 1]
    return np.stack(np.divmod(best.gather, width), axis=1)


def _taken(products: Any, places: Any) -> Any:
    """Return the entries at ``places``; plain indexing would look for negative ones first."""
    return jax.lax.gather(
        products,
        places,
        jax.lax.GatherDimensionNumbers((), (0, 1), (0, 1)),
        (1, 1),
        unique_indices=True,
        mode="promise_in_bounds",
    )


def given_layout(method: str, target: Target) -> Layout:
    """Return the layout of a given pattern, or say that preparing reveals it."""
    if target.pattern is None:
        raise JacbenchError(
            f"{method} finds the pattern when it is prepared: its layout is that of what prepare "
            "returns"
        )
    return layouts.sparse(target.pattern)


def _beside(target: Target, value: Any) -> Any:
    """Return ``value``, a tree of NumPy arrays, on the device of x; indices as int32."""
    device = tree.first(target.x).device

    def placed(array: Any) -> Any:
        small = array.astype(np.int32) if array.dtype.kind == "i" else array
        return jax.device_put(small, device)

    return tree.map_leaves(placed, value)


# --- products ---


def _in_shape(target: Target, by: str, vectors: Any) -> Any:
    """Return (k, n) tangents as a tree like x, or (k, m) cotangents like y, k in front of each."""
    if by == "rows":
        return vectors.reshape(len(vectors), *target.y_shape)
    leaves = tree.leaves(target.x)
    ends = np.cumsum([leaf.size for leaf in leaves])[:-1]
    parts = [
        part.reshape(len(vectors), *leaf.shape)
        for part, leaf in zip(np.split(vectors, ends, axis=1), leaves, strict=True)
    ]
    return tree.unflatten(target.x, parts)


def drawn(target: Target, by: str, met: Any) -> list[Any]:
    """Return random vectors for the guard, each in the shape of x or of y."""
    vectors = guard.vectors(met, target.dtype, met.size * np.dtype(target.dtype).itemsize)
    return [
        tree.map_leaves(lambda leaf: leaf[0], _beside(target, _in_shape(target, by, vector[None])))
        for vector in vectors
    ]


def stacked(target: Target, by: str, chunk: int | None = None) -> Callable[..., Any]:
    """Return ``(x, vectors, constants)`` to k products as rows, ``chunk`` of them at a time."""
    function = target.function
    width = shape_of(target)[0 if by == "columns" else 1]

    def mapped(of_one: Callable[[Any], Any], vectors: Any) -> Any:
        if not len(tree.first(vectors)):
            return jnp.zeros((0, width), target.dtype)
        if chunk is None or chunk >= len(tree.first(vectors)):
            return jax.vmap(of_one)(vectors)
        return jax.lax.map(of_one, vectors, batch_size=chunk)

    def pushed(x: Any, tangents: Any, constants: Any) -> Any:
        def push(tangent: Any) -> Any:
            return jax.jvp(lambda x: function(x, *constants), (x,), (tangent,))[1].reshape(-1)

        return mapped(push, tangents)

    def pulled(x: Any, cotangents: Any, constants: Any) -> Any:
        _, pull = jax.vjp(lambda x: function(x, *constants), x)

        def flat(cotangent: Any) -> Any:
            leaves = jax.tree.leaves(pull(cotangent)[0])
            return jnp.concatenate([leaf.reshape(-1) for leaf in leaves])

        return mapped(flat, cotangents)

    return pushed if by == "columns" else pulled


def products(target: Target) -> list[Products]:
    """Return products at x and elsewhere."""
    at = products_of(target)
    return [at(x) for x in (target.x, target.elsewhere) if x is not None]


def products_of(target: Target) -> Callable[[Any], Products]:
    """Return from x to products on NumPy arrays: an executable for each direction."""
    m, n = shape_of(target)
    compiled = {by: jax.jit(stacked(target, by)) for by in ("columns", "rows")}

    def product(by: str, x: Any) -> Product:
        def of_vectors(vectors: Any) -> Any:
            parts = []
            for first in range(0, len(vectors), AT_ONCE):
                block = vectors[first : first + AT_ONCE]
                padded = np.zeros((AT_ONCE, vectors.shape[1]), target.dtype)
                padded[: len(block)] = block
                put = _beside(target, _in_shape(target, by, padded))
                parts.append(np.asarray(compiled[by](x, put, target.constants))[: len(block)])
            return np.concatenate(parts)

        return of_vectors

    def traced(by: str) -> object:
        one = _in_shape(target, by, np.zeros((1, n if by == "columns" else m), target.dtype))
        return jax.eval_shape(stacked(target, by), target.x, one, target.constants)

    return lambda x: Products(product("columns", x), product("rows", x), traced)


# --- patterns by tracing ---


def detection(target: Target) -> list[Detection]:
    """Return what finds the pattern from the program text: asdex, where it is installed, first."""
    found: list[Detection] = [("program", lambda: dependence.pattern(target))]
    if importlib.util.find_spec("asdex") is not None:
        found.insert(0, ("asdex", lambda: traced_pattern(target)))
    return found


def traced_pattern(target: Target) -> Pattern:
    """Return asdex's pattern, which holds for every x; what asdex cannot trace is not fit.

    It reads values, and so misses what a derivative rule of a function's own adds to them.
    """
    try:
        import asdex  # noqa: PLC0415 - seconds, which those without a sparse Jacobian do without
    except Exception as exc:
        raise UnfitError(f"cannot be imported: {type(exc).__name__}: {one_line(exc, 100)}") from exc

    def of_x(x: Any) -> Any:
        return target.function(x, *target.constants)

    try:
        found = asdex.jacobian_sparsity(of_x, target.x)
    except Exception as exc:
        raise UnfitError(f"says {type(exc).__name__}: {one_line(exc, 100)}") from exc
    dependence.refuse_rules_beyond_values(target)
    import scipy.sparse  # noqa: PLC0415

    marked = (np.ones(found.nnz, dtype=bool), (found.rows, found.cols))
    return Pattern.of(scipy.sparse.coo_array(marked, shape=found.shape))


METHODS = (Coloured("jax.coloured"), ColouredCsr("jax.coloured-csr"))
