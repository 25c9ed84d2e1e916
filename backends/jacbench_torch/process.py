"""What torch keeps for the whole process: settings to be recorded, and state to be watched."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

_CUDNN = torch.backends.cudnn
_MATMUL = torch.backends.cuda.matmul

_SUBNORMAL = 5e-324


def settings() -> dict[str, str | int | bool]:
    """Return what times and results depend on."""
    return {
        "torch_num_threads": torch.get_num_threads(),
        "torch_num_interop_threads": torch.get_num_interop_threads(),
        "torch_float32_matmul_precision": _precision() or "mixed",
        "torch_allow_tf32": _MATMUL.allow_tf32,
        "torch_default_dtype": _name(torch.get_default_dtype()),
        "torch_grad_mode": torch.is_grad_enabled(),
        "torch_deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "torch_cudnn_benchmark": _CUDNN.benchmark,
        "torch_cudnn_deterministic": _CUDNN.deterministic,
        "torch_cudnn_allow_tf32": _CUDNN.allow_tf32,
        "torch_cuda": torch.version.cuda or "none",
    }


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _default_device() -> str | None:
    """Return the device that was set, None where none was: setting one slows every call."""
    context = getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)
    return None if context is None else str(context.device)


def _flushes() -> bool:
    """Say whether numbers below the normal range are rounded to zero, as this thread computes."""
    return abs(_SUBNORMAL) * 1.0 == 0.0


def _precision() -> str | None:
    """Return the precision of float32 products; None where it was set backend by backend."""
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:
        return None


def _set_precision(value: str | None) -> None:
    if value is not None:
        torch.set_float32_matmul_precision(value)


def _set_deterministic(value: tuple[bool, bool]) -> None:
    torch.use_deterministic_algorithms(value[0], warn_only=value[1])


def _deterministic() -> tuple[bool, bool]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )


def _of(module: Any, name: str) -> tuple[Callable[[], Any], Callable[[Any], object]]:
    return lambda: getattr(module, name), lambda value: setattr(module, name, value)


_PARTS: Mapping[str, tuple[Callable[[], Any], Callable[[Any], object]]] = {
    "torch's default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "torch's default device": (_default_device, torch.set_default_device),
    "torch's number of threads": (torch.get_num_threads, torch.set_num_threads),
    "torch's grad mode": (torch.is_grad_enabled, torch._C._set_grad_enabled),
    "torch's anomaly mode": (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    # before the precision, which sets it too: set after it, torch calls the two mixed
    "torch's TF32 in products": _of(_MATMUL, "allow_tf32"),
    "torch's float32 matmul precision": (_precision, _set_precision),
    "torch's deterministic algorithms": (_deterministic, _set_deterministic),
    "torch's autocast on the CPU": (
        lambda: torch.is_autocast_enabled("cpu"),
        lambda value: torch.set_autocast_enabled("cpu", value),
    ),
    "torch's flushing of subnormal numbers": (_flushes, torch.set_flush_denormal),
    "torch's TF32 in cuDNN": _of(_CUDNN, "allow_tf32"),
    "torch's cuDNN benchmark": _of(_CUDNN, "benchmark"),
    "torch's deterministic cuDNN": _of(_CUDNN, "deterministic"),
}
"""By what a person calls it: how to read each, and how to put it back."""

_HOST = "torch"


def state() -> dict[str, Any]:
    """Return the value of each; 15 us in all."""
    return {name: read() for name, (read, _) in _PARTS.items()}


def generators() -> dict[str, bytes]:
    """Return the state of the generator of the CPU, and of each CUDA device that has been used."""
    with torch._C._DisableFuncTorch():  # inside of a transform the state has no storage
        found = {_HOST: torch.get_rng_state().numpy().tobytes()}
    if torch.cuda.is_initialized():
        for index in range(torch.cuda.device_count()):
            state = torch.cuda.get_rng_state(index)
            found[f"{_HOST} on cuda:{index}"] = state.numpy().tobytes()
    return found


def restore(changed: Mapping[str, Any]) -> None:
    """Put back entries of :func:`state` and of :func:`generators`."""
    for name, value in changed.items():
        if name in _PARTS:
            _PARTS[name][1](value)
            continue
        generator = torch.frombuffer(bytearray(value), dtype=torch.uint8)
        if name == _HOST:
            with torch._C._DisableFuncTorch():
                torch.set_rng_state(generator)
        else:
            torch.cuda.set_rng_state(generator, name.rpartition(" ")[2])
