"""What JAX says of functions that it cannot trace or differentiate.

Each entry is about what tracing and the derivatives of primitives can do, and none about what a
function may get wrong by itself. A missing rule is mostly a NotImplementedError, which every method
knows.
"""

from __future__ import annotations

import re

DECLINES: tuple[tuple[str, str], ...] = (
    # the number of steps, and so the memory of a reverse pass, is unknown:
    # https://docs.jax.dev/en/latest/_autosummary/jax.lax.while_loop.html
    ("ValueError", r"Reverse-mode differentiation does not work for lax\.while_loop"),
    # a custom_vjp replaces the forward rule by nothing:
    # https://docs.jax.dev/en/latest/_autosummary/jax.custom_vjp.html
    ("TypeError", r"can't apply forward-mode \w+ \(jvp\) to a custom_vjp function"),
    # code outside JAX: https://docs.jax.dev/en/latest/external-callbacks.html
    ("ValueError", r"(Pure|IO|Buffer) callbacks do not support JVP"),
    # what is traced has no numbers, for Python, for NumPy and for shapes:
    # https://docs.jax.dev/en/latest/errors.html
    ("ConcretizationTypeError", r"Abstract tracer value encountered"),
    ("TracerBoolConversionError", r"Attempted boolean conversion of traced array"),
    ("TracerIntegerConversionError", r"The __index__\(\) method was called on traced array"),
    ("TracerArrayConversionError", r"The numpy\.ndarray conversion method"),
    ("NonConcreteBooleanIndexError", r"Array boolean indices must be concrete"),
    ("IndexError", r"Slice entries must be static integers\. Got slice\(.*Tracer"),
    ("TypeError", r"Shapes must be 1D sequences of concrete values of integer type, got .*Tracer"),
    # https://docs.jax.dev/en/latest/notebooks/Common_Gotchas_in_JAX.html#in-place-updates
    ("TypeError", r"JAX arrays are immutable and do not support in-place item assignment"),
)
"""Names of exceptions, and what the message begins with."""


def reason(exc: Exception) -> str | None:
    """Return the first line of what JAX says if it declines by ``exc``, else None.

    The lines after it tell places in files and general advice.
    """
    said = str(exc).strip().partition("\n")[0]
    if not any(type(exc).__name__ == n and re.match(begins, said) for n, begins in DECLINES):
        return None
    return f"JAX says: {said}"


def out_of_memory(exc: BaseException) -> bool:
    """Say whether ``exc`` is XLA's status RESOURCE_EXHAUSTED, or Python's own want of memory."""
    # jaxlib's class has had several names; the status comes first in what it says.
    raised = isinstance(exc, RuntimeError) and str(exc).startswith("RESOURCE_EXHAUSTED")
    return raised or isinstance(exc, MemoryError)
