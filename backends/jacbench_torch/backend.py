"""PyTorch as a backend: devices, conversion, threads and precision."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from jacbench.backend import Backend, Method
from jacbench_torch import (
    batch,
    bottleneck,
    buffers,
    coloured,
    compiled,
    declines,
    func,
    functional,
    hooks,
    isolation,
    jvp,
    lifting,
    loops,
    lost_graph,
    per_sample,
    process,
    recipes,
    values,
    vjp,
    xp,
)
from jacbench_torch import model as models

if TYPE_CHECKING:
    from jacbench.backend.adapted import Adapted, Inputs
    from jacbench.backend.graph_cut import GraphCut
    from jacbench.backend.user_code import Spelling

DTYPES = {
    "float64": torch.float64,
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}


class TorchBackend(Backend):
    """PyTorch on the CPU and on every CUDA device it sees."""

    xp = xp
    witnesses = ("torch.functional", "torch.func.jacfwd")

    def methods(self) -> Sequence[Method]:
        """Return every method, in the descriptor's order."""
        return (
            *functional.METHODS,
            *loops.METHODS,
            *func.METHODS,
            *compiled.METHODS,
            *hooks.METHODS,
            *per_sample.METHODS,
            *coloured.METHODS,
            *bottleneck.METHODS,
            *values.METHODS,
            *batch.METHODS,
            *vjp.METHODS,
            *jvp.METHODS,
        )

    def declined(self, exc: Exception) -> str | None:
        """Return torch's words where it cannot transform the function, else None."""
        return declines.reason(exc)

    def adapt(self, model: Any, inputs: Inputs, wrt: str, output: str | int | None) -> Adapted:
        """Return a ``torch.nn.Module`` as a function of its parameters or of its inputs."""
        return models.adapt(model, inputs, wrt, output)

    def recipe(
        self,
        method: str,
        spelling: Spelling,
        chunk_size: int | None,
        facts: Mapping[str, Any],
    ) -> list[str] | None:
        """Return the method as lines of torch."""
        return recipes.of(method, spelling, chunk_size, facts)

    def configure(self, threads: int) -> Mapping[str, str | int | bool]:
        """Pin the thread pools and keep float32 products at full precision (no TF32)."""
        torch.set_num_threads(threads)
        if torch.get_num_interop_threads() != 1:
            # Refused once the pool runs; what it has is recorded below.
            with contextlib.suppress(RuntimeError):
                torch.set_num_interop_threads(1)
        torch.set_float32_matmul_precision("highest")
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        return process.settings()

    def state(self) -> Mapping[str, Any]:
        """Return what torch keeps for the whole process: default dtype, threads, grad mode, ..."""
        return process.state()

    def generators(self) -> Mapping[str, Any]:
        """Return the states of torch's default generators, one for each device in use."""
        return process.generators()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Put back what the two above returned."""
        process.restore(state)

    def out_of_memory(self, exc: BaseException) -> bool:
        """Say whether ``exc`` is torch's want of memory, on the host or on a device."""
        return declines.out_of_memory(exc)

    def put(self, array: Any, device: str, dtype: str) -> torch.Tensor:
        """Return a tensor of its own memory; integer constants keep their dtype."""
        array = np.asarray(array)
        tensor = torch.tensor(array)
        return tensor.to(device, DTYPES[dtype] if array.dtype.kind == "f" else None)

    def to_numpy(self, array: torch.Tensor) -> Any:
        """Return a copy on the host; torch keeps a negation or a conjugation as a mere mark."""
        host = array.detach().cpu().resolve_conj().resolve_neg()
        if host.dtype is torch.bfloat16:
            host = host.float()
        return np.array(host.numpy())

    def beside(self, constant: Any) -> torch.Tensor:
        """Return a tensor: an embedding takes no array of NumPy's."""
        return torch.tensor(constant)

    def traced(self, array: torch.Tensor) -> bool:
        """Say whether ``torch.func`` maps or differentiates the tensor."""
        return isolation.transformed(array)

    def copied(self, array: torch.Tensor) -> torch.Tensor:
        """Return a clone, which stays in the graph."""
        return array.clone()

    def was_written(self, copy: torch.Tensor, array: torch.Tensor) -> bool:
        """Say whether torch has counted a write, or another one has left its trace."""
        counted = not copy.is_inference() and copy._version > 0
        return counted or (not self.traced(array) and super().was_written(copy, array))

    def recorded(self, function: Callable[[Any], Any], x: Any) -> bool:
        """Say whether the value of ``function`` at x is part of a graph."""
        return lost_graph.is_recorded(function, x)

    def held(self, function: Callable[..., Any]) -> Any:
        """Return the buffers of the modules that ``function`` is or names."""
        return buffers.of(function)

    def put_held(self, holds: Any) -> None:
        """Put back the buffers that were written to."""
        buffers.put_back(holds)

    def cuts(self, function: Callable[..., Any], x: Any, *constants: Any) -> tuple[GraphCut, ...]:
        """Return where the graph from x is cut."""
        return lost_graph.of(function, x, *constants)

    def is_array(self, value: Any) -> bool:
        """Say whether ``value`` is a tensor."""
        return isinstance(value, torch.Tensor)

    def device_of(self, array: torch.Tensor) -> str:
        """Return where the tensor lies."""
        return str(array.device)

    def lifting(self) -> contextlib.AbstractContextManager[object]:
        """Return a mode that lifts float32 tensors where they meet float64 ones."""
        return lifting.Lifting()

    def as_differentiated(self) -> contextlib.AbstractContextManager[object] | None:
        """Return a context without attention's fast path, which gradients do not take."""
        return models.slow_attention() if torch.backends.mha.get_fastpath_enabled() else None

    def synchronise(self, value: Any) -> None:
        """Wait for the current CUDA device, if there is one."""
        del value
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    def device_peak_bytes(self, call: Callable[[], object], device: str) -> int | None:
        """Return the peak that torch's caching allocator handed out on a CUDA device."""
        if not device.startswith("cuda"):
            return None
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        call()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before

    def device_seconds(self, call: Callable[[], object], device: str) -> float | None:
        """Return the time between two CUDA events around ``call``, seconds.

        Events tell to half a microsecond: with them the launch is seen too, while the device waits.
        """
        if not device.startswith("cuda"):
            return None
        with torch.cuda.device(device):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            torch.cuda.synchronize()
            start.record()
            call()
            end.record()
            torch.cuda.synchronize()
        return float(start.elapsed_time(end)) / 1e3
