"""JAX's ways of computing a Jacobian; importing this imports no jax."""

from __future__ import annotations

import importlib.util
import os

from jacbench.backend import Descriptor, MethodInfo
from jacbench.measuring import cuda


def cuda_devices() -> int:
    """Return how many CUDA devices JAX would see, from its CUDA plugin and the driver."""
    plugins = ("jax_cuda13_plugin", "jax_cuda12_plugin")
    if not any(importlib.util.find_spec(name) for name in plugins):
        return 0
    platforms = os.environ.get("JAX_PLATFORMS", "")
    if platforms and not {"cuda", "gpu"} & set(platforms.split(",")):
        return 0
    return cuda.visible_devices()


MODEL_CLASSES = {
    "flax.nnx.module.Module": "jacbench_jax.flax_model",
    "equinox._module._module.Module": "jacbench_jax.equinox_model",
    "equinox._module.Module": "jacbench_jax.equinox_model",  # before Equinox 0.13
}
"""The base classes of models in their own spelling, and the module that adapts each."""

_VALUE = "value_and_jacobian"
_BATCH = "batch_jacobian"
_FACTORED = "factored_jacobian"
_SPARSE = "sparse_jacobian"

descriptor = Descriptor(
    name="jax",
    module="jax",
    distribution="jax",
    install='pip install "jacbench[jax]"',
    loader="jacbench_jax.backend:JaxBackend",
    cuda_devices=cuda_devices,
    methods=(
        MethodInfo("jax.jacrev", "jax.jacrev, compiled ahead of time", mode="reverse"),
        MethodInfo("jax.jacfwd", "jax.jacfwd, compiled ahead of time", mode="forward"),
        MethodInfo(
            "jax.jacrev-eager", "jax.jacrev without jit", mode="reverse", eager_form_of="jax.jacrev"
        ),
        MethodInfo(
            "jax.jacfwd-eager", "jax.jacfwd without jit", mode="forward", eager_form_of="jax.jacfwd"
        ),
        MethodInfo(
            "jax.vjp-loop",
            "jax.vjp once, its pull-back per one-hot vector, without jit",
            mode="reverse",
            eager_form_of="jax.jacrev",
        ),
        MethodInfo(
            "jax.linearize", "jax.linearize, mapped over one-hot columns, compiled", mode="forward"
        ),
        MethodInfo(
            "jax.map-vjp", "jax.lax.map over batches of one-hot rows, compiled", mode="reverse"
        ),
        MethodInfo(
            "jax.per-sample",
            "the blocks of all samples at once among zeros, in one executable",
            structure="samples",
        ),
        MethodInfo(
            "jax.coloured",
            "one product per colour of the sparsity pattern, in one executable",
            structure="sparse",
        ),
        MethodInfo(
            "jax.coloured-csr",
            "the data of a CSR matrix by one product per colour, in one executable",
            _SPARSE,
            structure="sparse",
        ),
        MethodInfo(
            "jax.asdex-csr", "asdex: pattern, colours, products", _SPARSE, structure="sparse"
        ),
        MethodInfo("jax.sparsejac-csr", "sparsejac, given a pattern", _SPARSE, structure="sparse"),
        MethodInfo(
            "jax.bottleneck",
            "the product of two thin factors, split where f is narrowest, in one executable",
            structure="bottleneck",
        ),
        MethodInfo(
            "jax.factors",
            "the two thin factors themselves, in one executable",
            _FACTORED,
            structure="bottleneck",
        ),
        MethodInfo("jax.jacrev-aux", "jax.jacrev with the value as its aux, compiled", _VALUE),
        MethodInfo("jax.jacfwd-aux", "jax.jacfwd with the value as its aux, compiled", _VALUE),
        MethodInfo(
            "jax.value-and-vjp", "jax.vjp: its value, its pull-back over one-hot rows", _VALUE
        ),
        MethodInfo("jax.vmap-jacrev", "jax.jacrev mapped over samples, compiled", _BATCH),
        MethodInfo("jax.vmap-jacfwd", "jax.jacfwd mapped over samples, compiled", _BATCH),
        MethodInfo("jax.sum-trick", "one vjp per output of a sample, for all samples", _BATCH),
        MethodInfo("jax.sample-loop", "jax.lax.map of jax.jacrev over samples, compiled", _BATCH),
        MethodInfo("jax.vjp", "jax.vjp, compiled ahead of time", "vjp"),
        MethodInfo("jax.vjp-eager", "jax.vjp without jit", "vjp"),
        MethodInfo(
            "jax.vjp-by-jacrev", "the product with the whole of jax.jacrev, compiled", "vjp"
        ),
        MethodInfo("jax.jvp", "jax.jvp, compiled ahead of time", "jvp"),
        MethodInfo("jax.jvp-eager", "jax.jvp without jit", "jvp"),
        MethodInfo("jax.linearize-jvp", "jax.linearize, then its push-forward, compiled", "jvp"),
        MethodInfo(
            "jax.jvp-by-jacfwd", "the product with the whole of jax.jacfwd, compiled", "jvp"
        ),
    ),
    model_classes=tuple(MODEL_CLASSES),
)
