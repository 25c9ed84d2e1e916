"""What torch says of functions that it cannot differentiate, transform or map.

Each entry is about what reverse mode, ``torch.func``, ``vmap``, ``linearize`` or double backward
can do, and none about what a function may get wrong by itself. A missing derivative is mostly a
NotImplementedError, which every method knows.
"""

from __future__ import annotations

import re
import traceback

import torch
from torch.utils import checkpoint

DECLINES: tuple[tuple[str, str], ...] = (
    # .item() and branches on numbers, random numbers, results whose shape depends on them,
    # writing a mapped value into one that is not:
    # https://docs.pytorch.org/docs/stable/func.ux_limitations.html
    ("RuntimeError", r"vmap: "),
    ("RuntimeError", r"vmap over \S+ isn't supported yet"),
    ("RuntimeError", r"Batching rule not implemented for "),
    # its running statistics are written in place:
    # https://docs.pytorch.org/docs/stable/func.batch_norm.html
    ("RuntimeError", r"Batch norm got a batched tensor as input while the running_mean"),
    # a Function of the older form: https://docs.pytorch.org/docs/stable/notes/extending.func.html
    ("RuntimeError", r"In order to use an autograd\.Function with functorch transforms"),
    # a Function without vmap and without generate_vmap_rule: the same page
    ("RuntimeError", r"You tried to vmap over \S+ but it does not have vmap support"),
    # functions that differentiate by autograd themselves
    ("RuntimeError", r"You are attempting to call Tensor\.requires_grad_\(\)"),
    ("RuntimeError", r"backward\(\) called inside "),
    # torch.utils.checkpoint
    ("RuntimeError", r"torch\.func\.\{grad, vjp, jacrev, hessian\} don't yet support saved tensor"),
    ("RuntimeError", r"When use_reentrant=True, torch\.utils\.checkpoint is incompatible with"),
    # linearize traces, and a traced tensor has no numbers
    ("RuntimeError", r"It appears that you're trying to get value out of a tracing tensor"),
    # computing in NumPy
    ("RuntimeError", r"Can't call numpy\(\) on Tensor that requires grad"),
    ("RuntimeError", r"Cannot access data pointer of Tensor that doesn't have storage"),
    # forward mode of an expanded tensor, whose entries share memory
    ("RuntimeError", r"unsupported operation: more than one element of the written-to tensor"),
    # a backward that has no derivative of its own, as jvp by two passes back needs it
    ("RuntimeError", r"derivative for aten::\S+ is not implemented"),
)
"""Names of exceptions, and what the message begins with."""

_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")


def reason(exc: Exception) -> str | None:
    """Return the first sentence of what torch says if it declines by ``exc``, else None."""
    said = " ".join(str(exc).split())
    if not any(type(exc).__name__ == n and re.match(begins, said) for n, begins in DECLINES):
        return None
    told = f"torch says: {_SENTENCE.split(said, maxsplit=1)[0]}"
    return f"{told.rstrip('.')}{_NOT_REENTRANT}" if _is_reentrant(exc, said) else told


_NOT_REENTRANT = (
    ": pass use_reentrant=False to checkpoint, and take torch.grad-batched or torch.func.jacfwd"
)


def _is_reentrant(exc: Exception, said: str) -> bool:
    """Say whether a reentrant checkpoint is what declines: torch.func names its Function alone."""
    if "use_reentrant=True" in said:
        return True
    frames = traceback.extract_tb(exc.__traceback__)
    within = any(frame.filename == checkpoint.__file__ for frame in frames)
    return within and "setup_context" in said


_MEMORY = re.compile(
    # the caching allocator's, in its own class since 2.5 and by name where it was wrapped; the
    # CPU's; NumPy's and Python's, wrapped by torch.compile
    r"CUDA out of memory|OutOfMemoryError|CUDA error: out of memory"
    r"|DefaultCPUAllocator: (can't allocate|not enough) memory|MemoryError"
)


def out_of_memory(exc: BaseException) -> bool:
    """Say whether torch says by ``exc`` that memory is short."""
    if isinstance(exc, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(exc, RuntimeError) and _MEMORY.search(str(exc)) is not None
