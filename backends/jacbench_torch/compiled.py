"""``torch.compile`` of ``torch.func.jacrev`` and ``torch.func.jacfwd``.

Each cell gets a code object of its own. All results of ``jacrev`` share one, and dynamo keeps its
graphs per code object: the second problem would be compiled with dynamic shapes, and with
``dynamic=False`` the ninth would silently run eagerly (``torch._dynamo.config.recompile_limit``).
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib.util
import itertools
import os
import re
import shutil
import sysconfig
import traceback
import types
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch._dynamo.utils
from torch.func import jacfwd, jacrev

from jacbench.backend import Chunking, Prepared, Target
from jacbench_torch import declines
from jacbench_torch.method import TorchMethod, prepared

if TYPE_CHECKING:
    from jacbench.backend.method import ProblemFacts

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_serial = itertools.count()


class Compiled(TorchMethod):
    """A ``torch.func`` transform under ``torch.compile(dynamic=False)``."""

    def __init__(self, name: str, transform: Callable[..., Any], chunking: Chunking) -> None:
        super().__init__(name)
        self.transform = transform
        self.chunking = chunking

    def unsupported(
        self, problem: ProblemFacts | None, operator: str, device: str, dtype: str
    ) -> str | None:
        """Say what Inductor would lack on this machine."""
        reason = super().unsupported(problem, operator, device, dtype)
        if reason is None and device == "cpu":
            return _missing_tool()
        if reason is None and importlib.util.find_spec("triton") is None:
            return "torch.compile builds Triton kernels on CUDA and triton is missing: install it"
        return reason

    def prepare(self, target: Target) -> Prepared:
        """Compile, by a first call at x: dynamo traces and Inductor builds only when called."""
        options = {"chunk_size": target.chunk_size} if self.chunking == "chunked" else {}
        jacobian, constants = self.transform(target.function, **options), target.constants

        def run(x: Any, *constants: Any) -> Any:
            return jacobian(x, *constants)

        compiled = torch.compile(_fresh(run), dynamic=False)
        before = _counts()
        _first_call(lambda: compiled(target.x, *constants))
        graphs, breaks = (now - then for now, then in zip(_counts(), before, strict=True))
        notes: dict[str, str | int] = {"graphs": graphs, "graph_breaks": breaks}
        if graphs == 0:
            notes["fell_back"] = "torch.compile ran this cell eagerly"
        return prepared(lambda x: compiled(x, *constants), target, **notes)

    def declined(self, exc: Exception) -> str | None:
        """Take a failure of dynamo or Inductor as theirs: the function itself was just called."""
        if isinstance(exc, NotCompiledError):
            return f"torch.compile says: {exc}" if exc.by_torch else exc.declined
        return super().declined(exc)

    def warm_up(self, target: Target) -> None:
        """Start Inductor with a function of one operation: seconds, once per process."""
        _start_inductor(target.device)


class NotCompiledError(RuntimeError):
    """A first call that raised, with what was raised as text and nothing that refers to it.

    Attributes
    ----------
    by_torch
        True where the exception is one of dynamo's or of Inductor's, or says that torch lacks
        something.
    declined
        What :mod:`jacbench_torch.declines` says of it.
    """

    def __init__(self, exc: Exception) -> None:
        super().__init__(_told(exc))
        module = type(exc).__module__
        self.by_torch = isinstance(exc, NotImplementedError) or module.startswith(
            ("torch._dynamo", "torch._inductor")
        )
        self.declined = declines.reason(exc)
        self.add_note("".join(traceback.format_exception(exc)))


def _told(exc: Exception) -> str:
    """Return the exception in one line, without addresses and the code that dynamo appends."""
    text = " ".join(str(exc).partition("\n\nfrom user code")[0].split())
    return f"{type(exc).__name__}: {_ADDRESS.sub('', text)}"


def _first_call(call: Callable[[], object]) -> None:
    """Compile by calling; where that fails, leave the process as it was.

    A failed trace of ``jacfwd`` over a batch norm (torch 2.13) changes the thread's dispatch keys
    once it is collected, and every later transform, compiled or not, then raises. So it is
    collected here, while the keys are held.
    """
    keys = (
        torch._C._dispatch_tls_local_include_set(),
        torch._C._dispatch_tls_local_exclude_set(),
    )
    failure = None
    try:
        call()
    except Exception as exc:  # noqa: BLE001 - whatever it is, its frames must not live on
        failure = NotCompiledError(exc)
    if failure is not None:
        with torch._C._ForceDispatchKeyGuard(*keys):
            gc.collect()
        raise failure


@functools.cache
def _start_inductor(device: str) -> None:
    with contextlib.suppress(Exception):  # a fault shows, with its text, in the first cell
        torch.compile(lambda x: x * 2, dynamic=False)(torch.ones(2, device=device))


def _fresh(function: Callable[..., Any]) -> Callable[..., Any]:
    # A code object compares by content: without a name of its own the copy would equal the
    # original and share its graphs.
    code = function.__code__.replace(co_name=f"jacobian_{next(_serial)}")
    return types.FunctionType(
        code, function.__globals__, code.co_name, function.__defaults__, function.__closure__
    )


def _counts() -> tuple[int, int]:
    counters = torch._dynamo.utils.counters
    return counters["stats"]["unique_graphs"], sum(counters["graph_break"].values())


def _missing_tool() -> str | None:
    compiler = os.environ.get("CXX", "g++")
    if not any(shutil.which(name) for name in (compiler, "clang++", "c++")):
        return "torch.compile builds C++ on the CPU and no compiler was found: install g++"
    header = Path(sysconfig.get_path("include")) / "Python.h"
    if not header.is_file():
        return "torch.compile builds C++ on the CPU and Python.h is missing: install python3-dev"
    return None


METHODS = (
    Compiled("torch.compile-jacrev", jacrev, "chunked"),
    Compiled("torch.compile-jacfwd", jacfwd, "whole"),
)
