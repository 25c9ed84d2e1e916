"""JAX's ways of computing a Jacobian; importing this imports no jax."""

from __future__ import annotations

import importlib.util
import os

from jacbench import cuda
from jacbench.backend import Descriptor, MethodInfo


def cuda_devices() -> int:
    """Return how many CUDA devices JAX would see, from its CUDA plugin and the driver."""
    plugins = ("jax_cuda13_plugin", "jax_cuda12_plugin")
    if not any(importlib.util.find_spec(name) for name in plugins):
        return 0
    platforms = os.environ.get("JAX_PLATFORMS", "")
    if platforms and not {"cuda", "gpu"} & set(platforms.split(",")):
        return 0
    return cuda.visible_devices()


descriptor = Descriptor(
    name="jax",
    module="jax",
    distribution="jax",
    install='pip install "jacbench[jax]"',
    loader="jacbench_jax.backend:JaxBackend",
    cuda_devices=cuda_devices,
    methods=(
        MethodInfo("jax.jacrev", "jax.jacrev, compiled ahead of time"),
        MethodInfo("jax.jacfwd", "jax.jacfwd, compiled ahead of time"),
        MethodInfo("jax.jacrev-eager", "jax.jacrev without jit"),
        MethodInfo("jax.jacfwd-eager", "jax.jacfwd without jit"),
        MethodInfo("jax.vjp-loop", "jax.vjp once, its pull-back per one-hot vector, without jit"),
        MethodInfo("jax.linearize", "jax.linearize, mapped over one-hot columns, compiled"),
        MethodInfo("jax.map-vjp", "jax.lax.map over batches of one-hot rows, compiled"),
    ),
)
