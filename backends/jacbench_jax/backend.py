"""JAX as a backend: devices, conversion, threads and precision."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from jacbench.backend import Backend, Method
from jacbench_jax import (
    batch,
    bottleneck,
    coloured,
    cuts,
    declines,
    eager,
    jvp,
    per_sample,
    process,
    recipes,
    sparse_libraries,
    staged,
    values,
    vjp,
    xp,
)
from jacbench_jax import model as models
from jacbench_jax.method import UNTRACEABLE

if TYPE_CHECKING:
    from jacbench.backend.adapted import Adapted, Inputs
    from jacbench.backend.graph_cut import GraphCut
    from jacbench.backend.user_code import Spelling


class JaxBackend(Backend):
    """JAX on the CPU and on every CUDA device it sees."""

    xp = xp
    witnesses = ("jax.jacrev", "jax.jacfwd")

    def methods(self) -> Sequence[Method]:
        """Return every method, in the descriptor's order."""
        jacobians = (*staged.TRANSFORMS, *eager.METHODS, *staged.PRODUCTS)
        return (
            *jacobians,
            *per_sample.METHODS,
            *coloured.METHODS,
            *sparse_libraries.METHODS,
            *bottleneck.METHODS,
            *values.METHODS,
            *batch.METHODS,
            *vjp.METHODS,
            *jvp.METHODS,
        )

    def declined(self, exc: Exception) -> str | None:
        """Return JAX's words where it cannot trace or differentiate the function, else None."""
        return declines.reason(exc)

    def adapt(self, model: Any, inputs: Inputs, wrt: str, output: str | int | None) -> Adapted:
        """Return a Flax NNX or an Equinox module as a function of arrays."""
        return models.adapt(self, model, inputs, wrt, output)

    def recipe(
        self,
        method: str,
        spelling: Spelling,
        chunk_size: int | None,
        facts: Mapping[str, Any],
    ) -> list[str] | None:
        """Return the method as lines of JAX."""
        return recipes.of(method, spelling, chunk_size, facts)

    def configure(self, threads: int) -> Mapping[str, str | int | bool]:
        """Switch on float64 and full-precision products; compute where Python calls.

        The size of XLA's thread pool is read from the environment when the client is made (see
        :mod:`jacbench.measuring.threads`), so ``threads`` needs nothing here.
        """
        del threads
        jax.config.update("jax_enable_x64", True)
        jax.config.update("jax_default_matmul_precision", "highest")
        jax.config.update("jax_cpu_enable_async_dispatch", False)
        jax.config.update("jax_enable_compilation_cache", False)
        return process.settings()

    def precise(self) -> contextlib.AbstractContextManager[object]:
        """Return a context with float64 and full-precision products, for this thread alone."""
        stack = contextlib.ExitStack()
        # before jax 0.8 it is in jax.experimental alone
        home: Any = jax if hasattr(jax, "enable_x64") else jax.experimental
        stack.enter_context(home.enable_x64(True))
        stack.enter_context(jax.default_matmul_precision("highest"))
        return stack

    def cuts(self, function: Callable[..., Any], x: Any, *constants: Any) -> tuple[GraphCut, ...]:
        """Return the lines with a ``stop_gradient``."""
        return cuts.of(function, x, *constants)

    def staged(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``function`` under ``jit``, or as it is where it cannot be traced.

        Without, a loop or a branch of JAX's is compiled anew in every call.
        """
        # a wrapper of its own: of one function jit keeps what it has traced
        compiled = jax.jit(lambda *arguments: function(*arguments))  # noqa: PLW0108

        def call(*arguments: Any) -> Any:
            try:
                return compiled(*arguments)
            except UNTRACEABLE:
                return function(*arguments)

        return call

    def state(self) -> Mapping[str, Any]:
        """Return the values of JAX's configuration that change numbers or times."""
        return process.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Put back what ``state`` returned."""
        process.restore(state)

    def out_of_memory(self, exc: BaseException) -> bool:
        """Say whether ``exc`` is XLA's want of memory, on the host or on a device."""
        return declines.out_of_memory(exc)

    def put(self, array: Any, device: str, dtype: str) -> jax.Array:
        """Return an array committed to ``device``; integer constants keep their dtype."""
        array = np.asarray(array)
        # A copy of its own: on the CPU a device array may share NumPy's memory.
        own = np.array(array, dtype=dtype if array.dtype.kind == "f" else None)
        placed: jax.Array = jax.device_put(own, _device(device))
        return placed

    def to_numpy(self, array: jax.Array) -> Any:
        """Return a copy on the host."""
        host = np.array(array)
        narrow = host.dtype.kind == "V" and jnp.issubdtype(host.dtype, jnp.floating)
        return host.astype(np.float32) if narrow else host

    def traces(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> bool:
        """Say whether it goes through without a number being looked at."""
        try:
            jax.eval_shape(function, *arguments)
        except Exception:  # noqa: BLE001 - sizes, masks and branches say it in many ways
            return False
        return True

    def traced(self, array: jax.Array) -> bool:
        """Say whether it is a tracer."""
        return isinstance(array, jax.core.Tracer)

    def copied(self, array: jax.Array) -> jax.Array:
        """Return a copy: nobody can write to an array, but a jitted function may donate it."""
        return jnp.copy(array)

    def given_away(self, array: jax.Array) -> bool:
        """Say whether its memory was donated (``jax.jit(f, donate_argnums=0)``)."""
        return not self.traced(array) and array.is_deleted()

    def was_written(self, copy: jax.Array, array: jax.Array) -> bool:
        """Return False: nobody can."""
        del copy, array
        return False

    def is_array(self, value: Any) -> bool:
        """Say whether ``value`` is a JAX array."""
        return isinstance(value, jax.Array)

    def device_of(self, array: jax.Array) -> str:
        """Return where the array lies; of a tracer, where JAX computes unless it is told."""
        if isinstance(array, jax.core.Tracer):
            return _name(jax.devices()[0])
        return ", ".join(sorted(_name(device) for device in array.devices()))

    def synchronise(self, value: Any) -> None:
        """Wait until every leaf of ``value`` is computed."""
        jax.block_until_ready(value)

    def device_peak_bytes(self, call: Callable[[], object], device: str) -> int | None:
        """Return None: XLA's allocator keeps a peak since the start and cannot reset it."""
        del call, device
        return None

    def device_seconds(self, call: Callable[[], object], device: str) -> float | None:
        """Return None: JAX has no public events; its profiler writes traces to files."""
        del call, device
        return None


def _name(device: jax.Device) -> str:
    return "cpu" if device.platform == "cpu" else f"cuda:{device.id}"


def _device(name: str) -> jax.Device:
    platform, _, index = name.partition(":")
    return jax.devices(platform)[int(index or 0)]
