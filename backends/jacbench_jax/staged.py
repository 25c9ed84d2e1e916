"""Methods that are traced and compiled ahead of time in ``prepare``.

Reference: https://docs.jax.dev/en/latest/aot.html
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax

from jacbench.backend import Chunking, Prepared, Target
from jacbench.core import layouts
from jacbench_jax.method import JaxMethod, first_ready, input_basis, output_basis

if TYPE_CHECKING:
    from jacbench.core.layouts import Layout

MAP_BATCH = 32
"""Rows that ``jax.map-vjp`` computes at once where no chunk size is asked for."""


class Staged(JaxMethod):
    """Compile a function of (x, basis, constants) for the shapes at hand; call the executable."""

    @abstractmethod
    def to_compile(self, target: Target) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Return the function to compile and what it takes besides x."""

    def prepare(self, target: Target) -> Prepared:
        """Lower and compile; inside of another transformation leave that to the outer one."""
        function, rest = self.to_compile(target)
        if target.traced:
            return Prepared(lambda x: function(x, *rest))

        def of_two(x: Any, rest: tuple[Any, ...]) -> Any:
            # What stays the same goes in as one tuple: unpacking it would be 1 % of a 26 µs call.
            return function(x, *rest)

        compiled = jax.jit(of_two).lower(target.x, rest).compile()
        return Prepared(first_ready(compiled, rest), memory(compiled))


def memory(compiled: jax.stages.Compiled) -> dict[str, int]:
    """Return what XLA planned for one call, in bytes; nothing where it does not say.

    On the host's memory, where the device is the host, and on the device's elsewhere.
    """
    try:
        planned = compiled.memory_analysis()
    except Exception:  # noqa: BLE001 - a note more or less is no reason to fail
        return {}
    sizes = {
        "temp_bytes": getattr(planned, "temp_size_in_bytes", None),
        "output_bytes": getattr(planned, "output_size_in_bytes", None),
        "argument_bytes": getattr(planned, "argument_size_in_bytes", None),
        "code_bytes": getattr(planned, "generated_code_size_in_bytes", None),
    }
    return {name: int(size) for name, size in sizes.items() if isinstance(size, int)}


class Transform(Staged):
    """``jax.jacrev`` or ``jax.jacfwd``."""

    def __init__(self, name: str, transform: Callable[..., Any]) -> None:
        super().__init__(name)
        self.transform = transform

    def to_compile(self, target: Target) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Differentiate with respect to the first argument."""
        return self.transform(target.function), target.constants


class Linearize(Staged):
    """``jax.linearize``, its push-forward mapped over the one-hot columns."""

    def layout(self, target: Target) -> Layout:
        """Return (n,) + y.shape."""
        del target
        return layouts.COLUMNS

    def to_compile(self, target: Target) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Linearise once, push all columns."""

        def columns(x: Any, basis: Any, *constants: Any) -> Any:
            _, push = jax.linearize(lambda x: target.function(x, *constants), x)
            return jax.vmap(push)(basis)

        return columns, (input_basis(target), *target.constants)


class MapVjp(Staged):
    """``jax.lax.map`` of the pull-back over batches of one-hot rows: bounded memory."""

    chunking: Chunking = "chunked"

    def layout(self, target: Target) -> Layout:
        """Return (m,) + leaf.shape for each leaf."""
        del target
        return layouts.ROWS

    def to_compile(self, target: Target) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Pull back batch by batch."""
        batch = target.chunk_size or MAP_BATCH

        def rows(x: Any, basis: Any, *constants: Any) -> Any:
            _, pull = jax.vjp(lambda x: target.function(x, *constants), x)
            return jax.lax.map(lambda row: pull(row)[0], basis, batch_size=batch)

        return rows, (output_basis(target), *target.constants)


TRANSFORMS = (Transform("jax.jacrev", jax.jacrev), Transform("jax.jacfwd", jax.jacfwd))
PRODUCTS = (Linearize("jax.linearize"), MapVjp("jax.map-vjp"))
