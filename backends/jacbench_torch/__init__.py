"""PyTorch's ways of computing a Jacobian; importing this imports no torch."""

from __future__ import annotations

import functools
import importlib.util
import re
from pathlib import Path

from jacbench import cuda
from jacbench.backend import Descriptor, MethodInfo


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


descriptor = Descriptor(
    name="torch",
    module="torch",
    distribution="torch",
    install='pip install "jacbench[torch]"',
    loader="jacbench_torch.backend:TorchBackend",
    cuda_devices=cuda_devices,
    methods=(
        MethodInfo("torch.functional", "torch.autograd.functional.jacobian, one pass per output"),
        MethodInfo("torch.functional-vectorized", "functional.jacobian(vectorize=True)"),
        MethodInfo("torch.functional-forward", "functional.jacobian(strategy='forward-mode')"),
        MethodInfo("torch.backward-loop", "y.backward(one-hot, retain_graph=True), .grad read"),
        MethodInfo("torch.grad-loop", "torch.autograd.grad per one-hot vector"),
        MethodInfo("torch.grad-batched", "torch.autograd.grad(is_grads_batched=True)"),
        MethodInfo("torch.vmap-vjp", "torch.func.vjp mapped over one-hot rows"),
        MethodInfo("torch.vmap-jvp", "torch.func.jvp mapped over one-hot columns"),
        MethodInfo("torch.func.jacrev", "torch.func.jacrev"),
        MethodInfo("torch.func.jacfwd", "torch.func.jacfwd"),
        MethodInfo("torch.func.linearize", "torch.func.linearize, mapped over one-hot columns"),
        MethodInfo("torch.compile-jacrev", "torch.compile of torch.func.jacrev"),
        MethodInfo("torch.compile-jacfwd", "torch.compile of torch.func.jacfwd"),
    ),
)
