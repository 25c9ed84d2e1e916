"""``torch.compile`` of ``torch.func.jacrev`` and ``torch.func.jacfwd``.

Each cell gets a code object of its own. All results of ``jacrev`` share one, and dynamo keeps its
graphs per code object: the second problem would be compiled with dynamic shapes, and with
``dynamic=False`` the ninth would silently run eagerly (``torch._dynamo.config.recompile_limit``).
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import itertools
import os
import shutil
import sysconfig
import types
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch._dynamo.utils
from torch.func import jacfwd, jacrev

from jacbench.backend import Chunking, Prepared, Target
from jacbench_torch.method import TorchMethod, prepared

if TYPE_CHECKING:
    from jacbench.problem import Problem

_serial = itertools.count()


class Compiled(TorchMethod):
    """A ``torch.func`` transform under ``torch.compile(dynamic=False)``."""

    def __init__(self, name: str, transform: Callable[..., Any], chunking: Chunking) -> None:
        super().__init__(name)
        self.transform = transform
        self.chunking = chunking

    def unsupported(
        self, problem: Problem | None, operator: str, device: str, dtype: str
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
        compiled(target.x, *constants)
        graphs, breaks = (now - then for now, then in zip(_counts(), before, strict=True))
        notes: dict[str, str | int] = {"graphs": graphs, "graph_breaks": breaks}
        if graphs == 0:
            notes["fell_back"] = "torch.compile ran this cell eagerly"
        return prepared(lambda x: compiled(x, *constants), target, **notes)

    def warm_up(self, target: Target) -> None:
        """Start Inductor with a function of one operation: seconds, once per process."""
        _start_inductor(target.device)


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
