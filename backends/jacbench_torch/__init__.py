"""PyTorch's ways of computing a Jacobian; importing this imports no torch."""

from __future__ import annotations

import functools
import importlib.util
import re
from pathlib import Path

from jacbench.backend import Descriptor, MethodInfo
from jacbench.measuring import cuda


def cuda_devices() -> int:
    """Return how many CUDA devices torch would see, from torch's version file and the driver."""
    if not _built_for_cuda():
        return 0
    return cuda.visible_devices()


@functools.cache
def _built_for_cuda() -> bool:
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return False
    version = Path(spec.origin).with_name("version.py")
    if not version.is_file():
        return False
    return re.search(r"^cuda\b[^=\n]*=\s*['\"]", version.read_text(), re.MULTILINE) is not None


_VALUE = "value_and_jacobian"
_BATCH = "batch_jacobian"
_FACTORED = "factored_jacobian"
_SPARSE = "sparse_jacobian"

descriptor = Descriptor(
    name="torch",
    module="torch",
    distribution="torch",
    install='pip install "jacbench[torch]"',
    loader="jacbench_torch.backend:TorchBackend",
    cuda_devices=cuda_devices,
    methods=(
        MethodInfo(
            "torch.functional",
            "torch.autograd.functional.jacobian, one pass per output",
            mode="reverse",
        ),
        MethodInfo(
            "torch.functional-vectorized", "functional.jacobian(vectorize=True)", mode="reverse"
        ),
        MethodInfo(
            "torch.functional-forward",
            "functional.jacobian(strategy='forward-mode')",
            mode="forward",
        ),
        MethodInfo(
            "torch.backward-loop",
            "y.backward(one-hot, retain_graph=True, inputs=[x]), .grad read",
            mode="reverse",
        ),
        MethodInfo("torch.grad-loop", "torch.autograd.grad per one-hot vector", mode="reverse"),
        MethodInfo(
            "torch.grad-batched", "torch.autograd.grad(is_grads_batched=True)", mode="reverse"
        ),
        MethodInfo("torch.vmap-vjp", "torch.func.vjp mapped over one-hot rows", mode="reverse"),
        MethodInfo("torch.vmap-jvp", "torch.func.jvp mapped over one-hot columns", mode="forward"),
        MethodInfo("torch.func.jacrev", "torch.func.jacrev", mode="reverse"),
        MethodInfo("torch.func.jacfwd", "torch.func.jacfwd", mode="forward"),
        MethodInfo(
            "torch.func.linearize",
            "torch.func.linearize, mapped over one-hot columns",
            mode="forward",
        ),
        MethodInfo(
            "torch.compile-jacrev",
            "torch.compile of torch.func.jacrev",
            mode="reverse",
            compiled=True,
        ),
        MethodInfo(
            "torch.compile-jacfwd",
            "torch.compile of torch.func.jacfwd",
            mode="forward",
            compiled=True,
        ),
        MethodInfo(
            "torch.retain-grad", "Z.retain_grad(), Z.grad after each backward", by_intermediate=True
        ),
        MethodInfo(
            "torch.register-hook", "Z.register_hook, what it saw of each", by_intermediate=True
        ),
        MethodInfo(
            "torch.per-sample",
            "the blocks of all samples at once among zeros, by the quickest of three ways",
            structure="samples",
        ),
        MethodInfo(
            "torch.coloured",
            "one product per colour of the sparsity pattern, the entries among zeros",
            structure="sparse",
        ),
        MethodInfo(
            "torch.coloured-csr",
            "one product per colour of the sparsity pattern, the data of a CSR matrix",
            _SPARSE,
            structure="sparse",
        ),
        MethodInfo(
            "torch.bottleneck",
            "the product of two thin factors, split where f is narrowest",
            structure="bottleneck",
        ),
        MethodInfo(
            "torch.factors", "the two thin factors themselves", _FACTORED, structure="bottleneck"
        ),
        MethodInfo("torch.func.jacrev-aux", "jacrev(has_aux=True), the value as aux", _VALUE),
        MethodInfo("torch.func.jacfwd-aux", "jacfwd(has_aux=True), the value as aux", _VALUE),
        MethodInfo(
            "torch.value-and-vmap-vjp", "torch.func.vjp: its y, its pull-back over rows", _VALUE
        ),
        MethodInfo(
            "torch.value-and-grad-loop", "y detached, torch.autograd.grad per one-hot", _VALUE
        ),
        MethodInfo("torch.vmap-jacrev", "torch.func.jacrev mapped over samples", _BATCH),
        MethodInfo("torch.vmap-jacfwd", "torch.func.jacfwd mapped over samples", _BATCH),
        MethodInfo("torch.sum-trick", "torch.autograd.grad(y[:, k], x, ones) per output k", _BATCH),
        MethodInfo("torch.sample-loop", "torch.autograd.grad per output of each sample", _BATCH),
        MethodInfo("torch.autograd.grad", "torch.autograd.grad(y, x, v)", "vjp"),
        MethodInfo("torch.backward", "y.backward(v, inputs=[x]), .grad read", "vjp"),
        MethodInfo("torch.func.vjp", "torch.func.vjp", "vjp"),
        MethodInfo("torch.functional.vjp", "torch.autograd.functional.vjp", "vjp"),
        MethodInfo("torch.vjp-by-jacrev", "v times the whole of torch.func.jacrev", "vjp"),
        MethodInfo("torch.func.jvp", "torch.func.jvp", "jvp"),
        MethodInfo("torch.forward-ad", "dual numbers of torch.autograd.forward_ad", "jvp"),
        MethodInfo("torch.functional.jvp", "torch.autograd.functional.jvp, two passes back", "jvp"),
        MethodInfo("torch.func.linearize-jvp", "torch.func.linearize, its push-forward", "jvp"),
        MethodInfo("torch.jvp-by-jacfwd", "the whole of torch.func.jacfwd times t", "jvp"),
    ),
    model_classes=("torch.nn.modules.module.Module",),
)
