"""Which libraries take part in a pick, and a line for each that cannot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from jacbench.backend import registry
from jacbench.core import redaction
from jacbench.core.errors import JacbenchError
from jacbench.workers.lost import LostError


def contestants(backends: Sequence[str]) -> list[str]:
    """Return those of ``backends`` that are no reference: those are not ranked."""
    known = registry.descriptors()
    found = [name for name in backends if not known[name].oracle]
    if not found:
        raise JacbenchError(
            f"the function is written for {', '.join(backends)} alone, a reference: give one over "
            "torch, JAX or autograd, or f(xp, x)"
        )
    return found


@contextmanager
def lost_is_told(what: str) -> Iterator[None]:
    """Raise, for a process that is lost, one line that says ``what`` that means."""
    try:
        yield
    except LostError as exc:
        raise JacbenchError(f"{what}: {exc.reason}") from None


def left_out(backend: str, exc: JacbenchError) -> str:
    """Return the line for a library that cannot take part."""
    return f"{backend} is left out: {redaction.one_line(exc, 300)}"
