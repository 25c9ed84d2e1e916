"""What JAX keeps for the whole process: settings to be recorded, and state to be watched."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import jax

_WATCHED = (
    *("jax_enable_x64", "jax_default_matmul_precision", "jax_disable_jit", "jax_default_device"),
    *("jax_debug_nans", "jax_debug_infs", "jax_check_tracer_leaks", "jax_numpy_dtype_promotion"),
    *("jax_numpy_rank_promotion", "jax_default_prng_impl", "jax_enable_compilation_cache"),
    *("jax_platforms", "jax_enable_custom_prng", "jax_debug_key_reuse"),
)
"""Options of ``jax.config`` that change numbers or times."""

_RECORDED = ("jax_enable_x64", "jax_default_matmul_precision", "jax_enable_compilation_cache")

_PREALLOCATE = "XLA_PYTHON_CLIENT_PREALLOCATE"


def _value(name: str) -> Any:
    return getattr(jax.config, name, None)


def settings() -> dict[str, str | int | bool]:
    """Return what times and results depend on; the devices' kinds are those of the client."""
    devices = jax.devices()
    return {
        **{name: _value(name) for name in _RECORDED},
        "jax_cpu_enable_async_dispatch": False,  # set in configure(); it cannot be read back
        "jax_platform": devices[0].platform,
        "jax_device_kind": devices[0].device_kind,
        "jax_devices": len(devices),
        "xla_python_client_preallocate": os.environ.get(_PREALLOCATE, "true"),
    }


def state() -> dict[str, Any]:
    """Return the value of each option that this version of JAX has; 5 us in all."""
    return {f"JAX's option {name}": _value(name) for name in _WATCHED}


def restore(changed: Mapping[str, Any]) -> None:
    """Put back entries of :func:`state`."""
    for told, value in changed.items():
        jax.config.update(told.rpartition(" ")[2], value)
