"""Libraries for sparse Jacobians in JAX, called as their users call them.

References: https://github.com/adrhill/asdex, https://github.com/mfschubert/sparsejac
"""

from __future__ import annotations

import functools
import importlib.util
import warnings
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.sparse import BCOO
from jax.flatten_util import ravel_pytree

from jacbench.backend import Target, UnfitError
from jacbench.core import layouts
from jacbench.core.pattern import Pattern
from jacbench.structure import compression, compression_plan
from jacbench.structure.guard import Structured, StructuredMethod
from jacbench.structure.pattern_check import Products
from jacbench_jax import coloured, guarded
from jacbench_jax.staged import Staged

if TYPE_CHECKING:
    from jacbench.backend.method import ProblemFacts
    from jacbench.core.layouts import Layout

INSTALL = 'pip install "jacbench[sparse]"'


class Library(StructuredMethod, Staged):
    """What a library returns for a pattern, as the data of a CSR matrix."""

    def __init__(self, name: str, module: str) -> None:
        super().__init__(name)
        self.module = module

    def unsupported(
        self, problem: ProblemFacts | None, operator: str, device: str, dtype: str
    ) -> str | None:
        """Say how to get a library that is not installed."""
        reason = super().unsupported(problem, operator, device, dtype)
        if reason is None and importlib.util.find_spec(self.module) is None:
            return f"{self.module} is not installed: run {INSTALL}"
        return reason

    def layout(self, target: Target) -> Layout:
        """Return (nnz,), of a pattern that is known beforehand only where it is given."""
        return coloured.given_layout(self.info.name, target)

    def structured(self, target: Target, before: Pattern | None = None) -> Structured:
        """Find and check the pattern, then lower and compile the library's function."""
        plan = self.plan(target, before)
        function, constants = self.to_compile(replace(target, pattern=plan.pattern))
        pattern = plan.pattern
        rows, columns = (places.astype(np.int32) for places in (pattern.rows, pattern.indices))

        def whole(x: Any, rest: tuple[Any, ...]) -> tuple[Any, Any]:
            data = function(x, *rest)
            return data, data

        def apart(x: Any, data: Any, rest: tuple[Any, ...], t: Any) -> tuple[Any, Any]:
            one = jax.jvp(lambda x: target.function(x, *rest), (x,), (t,))[1].reshape(-1)
            along = jnp.concatenate([leaf.reshape(-1) for leaf in jax.tree.leaves(t)])
            terms = data * along[columns]

            def added(terms: Any) -> Any:
                return jax.ops.segment_sum(terms, rows, pattern.shape[0], indices_are_sorted=True)

            return added(terms) - one, added(jnp.abs(terms)) + jnp.abs(one)

        made = Structured(
            layout=layouts.sparse(pattern),
            notes=plan.notes,
            everywhere=plan.everywhere,
            pattern=pattern,
        )
        return guarded.compiled(
            target,
            made,
            whole,
            constants,
            apart,
            functools.partial(coloured.drawn, target, "columns"),
        )

    def products_of(self, target: Target) -> Callable[[Any], Products]:
        """Return from x to products by the library, forward and back."""
        return coloured.products_of(target)

    @abstractmethod
    def plan(self, target: Target, before: Pattern | None) -> compression_plan.Plan:
        """Return the pattern, checked."""


class Asdex(Library):
    """asdex: its own pattern by tracing, its own colouring, products and decompression."""

    def plan(self, target: Target, before: Pattern | None) -> compression_plan.Plan:
        """Take the pattern that is given, else asdex's own alone."""
        detect = [("asdex", lambda: coloured.traced_pattern(target))]
        points = coloured.products(target)
        return compression_plan.plan(target, points, detect, probe=False, before=before)

    def to_compile(self, target: Target) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Colour by asdex, which chooses between rows and columns; its data are in CSR order."""
        import asdex  # noqa: PLC0415 - with Numba it takes seconds

        assert target.pattern is not None  # noqa: S101 - set by prepare
        pattern, constants = target.pattern, target.constants
        like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), target.x)
        places = asdex.SparsityPattern.from_coo(
            pattern.rows, pattern.indices, pattern.shape, input_avals=(like,)
        )
        with warnings.catch_warnings():
            warnings.simplefilter("error", asdex.DenseColoringWarning)
            try:
                coloring = asdex.jacobian_coloring_from_sparsity(places)
            except asdex.DenseColoringWarning as exc:
                raise UnfitError(f"asdex says: {exc}") from exc

        def data(x: Any, *constants: Any) -> Any:
            compressed = asdex.compressed_jacobian_from_coloring(
                lambda x: target.function(x, *constants), coloring
            )
            return asdex.decompress_data(compressed(x), coloring)

        return data, constants


class Sparsejac(Library):
    """sparsejac: given a pattern, its colouring by NetworkX, ``jacfwd`` or ``jacrev``."""

    def plan(self, target: Target, before: Pattern | None) -> compression_plan.Plan:
        """Find the pattern, since sparsejac does not."""
        at = coloured.products_of(target)
        return compression_plan.plan(
            target,
            [at(x) for x in (target.x, target.elsewhere) if x is not None],
            coloured.detection(target),
            before=before,
            further=lambda: map(at, self.further(target)),
        )

    def to_compile(self, target: Target) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Flatten x and y: sparsejac takes vectors alone."""
        import sparsejac  # noqa: PLC0415

        assert target.pattern is not None  # noqa: S101 - set by prepare
        pattern, function = target.pattern, target.function
        transform = sparsejac.jacfwd if self._forward(target) else sparsejac.jacrev
        indices = np.stack([pattern.rows, pattern.indices], axis=1).astype(np.int32)
        marked = (jnp.ones(pattern.nnz, dtype=bool), jnp.asarray(indices))
        _, unflatten = ravel_pytree(target.x)

        def of_vector(vector: Any, *constants: Any) -> Any:
            return function(unflatten(vector), *constants).reshape(-1)

        # built here and not while tracing: it colours, and so asks for the places' numbers
        jacobian = transform(of_vector, BCOO(marked, shape=pattern.shape))

        def data(x: Any, *constants: Any) -> Any:
            return jacobian(ravel_pytree(x)[0], *constants).data

        return data, target.constants

    def _forward(self, target: Target) -> bool:
        """Say whether columns take fewer colours; in float32 under x64 its tangents are float64."""
        assert target.pattern is not None  # noqa: S101
        if target.dtype != str(jnp.ones(()).dtype):
            return False
        by_columns = compression.by_columns(target.pattern)
        return by_columns.count <= compression.by_rows(target.pattern).count


METHODS = (Asdex("jax.asdex-csr", "asdex"), Sparsejac("jax.sparsejac-csr", "sparsejac"))
